"""What ``PairDataset`` hands out beside stored pixels: chosen rows, facts, names, types, whole splits."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shard_sets import SMALL, make_rows, write_set, write_shard

from sr_datasets.errors import SelectionError, ShardError

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, default_collate  # noqa: E402

from sr_datasets import Augmentation, PairDataset, ResumableSampler  # noqa: E402
from sr_datasets.dataset import memory  # noqa: E402
from sr_datasets.shards.sets import DATA_DIR  # noqa: E402

pytestmark = pytest.mark.torch
FACTS = ("sample_id", "source", "row", "frame_indices", "drawn", "sample_number")


@pytest.fixture(scope="module", params=["set", "shards"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a set, or a mere folder of shards, which has no index."""
    folder = tmp_path_factory.mktemp("options")
    write_set(folder, SMALL)
    return folder if request.param == "set" else folder / DATA_DIR


def test_where_hands_out_the_rows_that_fit_and_no_others(path: Path) -> None:
    whole = PairDataset(path)
    ds = PairDataset(path, where="clip = 'c1' or (clip = 'c0' and row >= 3)")

    assert len(ds) == 4
    assert "where=\"clip = 'c1'" in repr(ds)
    for number, stored in enumerate([3, 4, 5, 6]):
        assert torch.equal(ds[number]["hr"], whole[stored]["hr"])
        assert torch.equal(ds[number - 4]["lr"], whole[stored]["lr"])
        assert ds.row(number) == whole.row(stored)
    assert torch.equal(ds[[2, -1]]["hr"], whole[[5, 6]]["hr"])
    assert torch.equal(ds.__getitems__([2, 0])[0]["hr"], whole[5]["hr"])
    assert torch.equal(ds[:]["lr"], whole[3:7]["lr"])
    assert ds.rows_of_group.tolist() == [2, 2]
    assert whole.rows_of_group.tolist() == [5, 2, 2]
    for index in (4, -5, [0, 4], [-5]):
        with pytest.raises(IndexError, match="there is no row"):
            ds[index]
    again = pickle.loads(pickle.dumps(ds))
    assert torch.equal(again[3]["hr"], ds[3]["hr"])
    assert len(again) == 4


def test_where_that_fits_nothing_or_names_no_column_says_so(path: Path) -> None:
    with pytest.raises(SelectionError, match=r"none of 9 rows of split 'train' fits where 'row > 99'"):
        PairDataset(path, where="row > 99")
    with pytest.raises(SelectionError, match=r"there is no column 'clips'\. Did you mean clip"):
        PairDataset(path, where="clips = 'c0'")
    with pytest.raises(ShardError, match=r"no column 'clips'\. Did you mean clip"):
        PairDataset(path, columns=["clips"])
    with pytest.raises(ShardError, match="no column 'hr'"):
        PairDataset(path, columns=["hr"], keys=("lq", "gt"))
    with pytest.raises(ValueError, match="different names"):
        PairDataset(path, columns=["row"], keys=("row", "gt"))


def test_facts_come_with_samples_and_batches_as_stock_collation_makes_them(path: Path) -> None:
    ds = PairDataset(path, columns=FACTS)

    assert ds[6]["sample_id"] == ds.row(6)["sample_id"] == "xiph/c1/000001"
    assert ds[6]["frame_indices"].tolist() == [8]
    assert ds[6]["row"] == 1
    for batch in (ds[[6, 0]], default_collate([ds[6], ds[0]]), default_collate(ds.__getitems__([6, 0]))):
        assert batch["sample_id"] == ["xiph/c1/000001", "xiph/c0/000000"]
        assert batch["source"] == ["xiph", "xiph"]
        assert batch["drawn"] == ["{}", "{}"]
        assert batch["row"].tolist() == [1, 0]
        assert batch["row"].dtype == torch.int64
        assert batch["frame_indices"].tolist() == [[8], [7]]
        assert batch["sample_number"].tolist() == [6, 0]
    ds.set_epoch(2)
    assert ds[[6]]["sample_number"].tolist() == [24]
    assert ds[6]["sample_number"] == 24
    picked = PairDataset(path, columns=["sample_id"], where="clip = 'c1'")
    assert picked[[1]]["sample_id"] == ["xiph/c1/000001"]


@pytest.mark.parametrize("whole", [True, False])
def test_the_sampler_tells_a_batch_which_samples_it_is(path: Path, whole: bool) -> None:
    ds = PairDataset(path, columns=("sample_number",))
    sampler = ResumableSampler(ds, seed=1, num_samples=20, rank=1, world_size=2)
    if whole:
        loader = DataLoader(ds, sampler=sampler.batches(4), batch_size=None)
    else:
        loader = DataLoader(ds, sampler=sampler, batch_size=4)

    batches = list(loader)
    numbers = torch.cat([batch["sample_number"] for batch in batches])
    assert numbers.tolist() == list(range(1, 20, 2))
    order = sampler.order.rows(0, 20)
    assert torch.equal(torch.cat([batch["lr"] for batch in batches]), PairDataset(path)[order[1::2]]["lr"])


def test_keys_name_lr_and_hr_as_a_trainer_wants_them(path: Path) -> None:
    ds = PairDataset(path, keys=("lq", "gt"), dtype=torch.float32)

    for sample in (ds[0], ds[[0]], ds.__getitems__([0])[0], ds.to_tensors()):
        assert list(sample) == ["lq", "gt"]
        assert sample["lq"].dtype == torch.float32
    assert ds[0]["gt"].shape == (3, 12, 15)


def test_device_is_where_batches_end(path: Path) -> None:
    for device in ("cpu", "meta"):
        ds = PairDataset(path, device=device, dtype=torch.float32, columns=["row"])
        assert ds[[1, 2]]["hr"].device.type == ds[1]["hr"].device.type == device
        assert ds[[1, 2]]["row"].device.type == "cpu"


def test_a_whole_split_is_one_pair_of_tensors_whose_size_is_told_before(path: Path) -> None:
    ds = PairDataset(path, columns=("row",), where="clip = 'c0'")
    whole = ds.to_tensors()

    assert torch.equal(whole["lr"], ds[:]["lr"])
    assert torch.equal(whole["hr"], ds[:]["hr"])
    assert whole["row"].tolist() == [0, 1, 2, 3, 4]
    assert ds.tensor_bytes() == whole["lr"].nbytes + whole["hr"].nbytes
    wide = PairDataset(path, dtype=torch.float32)
    assert wide.tensor_bytes() == sum(each.nbytes for each in wide.to_tensors().values())


def test_a_split_beyond_memory_is_refused_before_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    with pytest.raises(
        MemoryError, match=r"takes 0\.00 GiB, 0\.00 GiB are free on cpu\. Take fewer rows \(where=\)"
    ):
        PairDataset(path).to_tensors()


def test_free_memory_is_what_the_system_and_its_control_group_leave() -> None:
    free = memory.free_bytes(torch.device("cpu"))
    assert free is not None
    assert 1 << 20 < free < 1 << 50
    assert memory.free_bytes(torch.device("meta")) is None


def test_rows_of_several_shapes_make_no_tensor_but_say_how_to_choose(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "train-00000-of-00001.parquet", [make_rows("one", 2), make_rows("two", 2, height=6)]
    )

    with pytest.raises(ShardError, match=r"the rows are of 2 kinds.* where=, such as \"lr_height = 32"):
        PairDataset(tmp_path).to_tensors()
    assert PairDataset(tmp_path, where="lr_height = 6").to_tensors()["lr"].shape == (2, 3, 6, 5)


def test_an_augmentation_takes_whole_batches_and_single_samples_alike(path: Path) -> None:
    plain, augment = PairDataset(path), Augmentation(seed=3, crop=2, shuffle_channels=True)
    ds = PairDataset(path, transform=augment, columns=("row",))

    batch = ds[[5, 1, 2]]
    assert batch["hr"].shape == (3, 3, 6, 6)
    for name, pixels in zip(
        ("lr", "hr"), augment(*plain[[5, 1, 2]].values(), np.array([5, 1, 2])), strict=True
    ):
        assert torch.equal(batch[name], pixels)
        for place, number in enumerate((5, 1, 2)):
            assert torch.equal(ds[number][name], pixels[place])
            assert torch.equal(ds.__getitems__([number])[0][name], pixels[place])
    ds.set_epoch(1)
    assert not torch.equal(ds[[5, 1, 2]]["hr"], batch["hr"])


def test_rows_that_cannot_be_augmented_are_refused_at_once(tmp_path: Path) -> None:
    packed, grey = tmp_path / "packed", tmp_path / "grey"
    write_shard(packed / "a.parquet", [make_rows("clip", 3, color="yuv420", height=4, width=6)])
    write_shard(grey / "a.parquet", [make_rows("clip", 3, color="y")])

    with pytest.raises(ValueError, match="yuv420 are not cropped or turned"):
        PairDataset(packed, transform=Augmentation())
    with pytest.raises(ValueError, match="no three channels to shuffle"):
        PairDataset(grey, transform=Augmentation(shuffle_channels=True))
    assert PairDataset(grey, transform=Augmentation())[[0]]["lr"].shape == (1, 1, 4, 5)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_options_work_in_workers_of_every_start_method(path: Path, context: str) -> None:
    ds = PairDataset(path, columns=("sample_id",), where="clip != 'c2'", transform=Augmentation(crop=3))
    expected = ds[[0, 6]]
    sampler = ResumableSampler(ds, num_samples=7)

    loader = DataLoader(
        ds, sampler=sampler.batches(3), batch_size=None, num_workers=2, multiprocessing_context=context
    )
    batches = list(loader)
    assert sorted(name for batch in batches for name in batch["sample_id"]) == [
        *(f"xiph/c0/{row:06d}" for row in range(5)),
        *(f"xiph/c1/{row:06d}" for row in range(2)),
    ]
    assert expected["hr"].shape == (2, 3, 9, 9)


def test_a_data_set_pickles_small_whatever_was_asked_of_it(tmp_path: Path) -> None:
    rows = [make_rows(f"c{number}", 200, height=1, width=1) for number in range(10)]
    write_set(tmp_path, {"train-00000-of-00001.parquet": rows})
    ds = PairDataset(
        tmp_path, columns=("sample_id", "drawn"), where="row in (3, 77)", transform=Augmentation()
    )
    ds[[1, 2]]

    assert len(pickle.dumps(ds)) < 3000


def test_what_a_parent_opened_leaves_no_threads_to_be_forked(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)
    code = (
        "import os, sys, json\n"
        "import numpy, torch, pyarrow, pyarrow.parquet, pyarrow.compute\n"
        "from sr_datasets import PairDataset\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "ds = PairDataset(sys.argv[1], columns=('sample_id', 'row'), where=\"clip like 'c%' and row < 9\")\n"
        "ds[[0, 8]], ds[1], ds.row(2), ds.__getitems__([1, 2]), ds.tensor_bytes()\n"
        "print(json.dumps([before, len(os.listdir('/proc/self/task'))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    before, after = json.loads(done.stdout)
    assert after == before


@pytest.mark.parametrize(
    ("bits", "dtype", "holds"),
    [
        (8, torch.uint8, True),
        (8, torch.bfloat16, True),
        (8, torch.int8, False),
        (8, torch.bool, False),
        (10, torch.uint8, False),
        (10, torch.bfloat16, False),
        (10, torch.float16, True),
        (10, torch.int16, True),
        (12, torch.float16, False),
        (16, torch.int16, False),
        (16, torch.float32, True),
    ],
)
def test_a_type_that_would_change_samples_is_refused(
    tmp_path: Path, bits: int, dtype: torch.dtype, holds: bool
) -> None:
    rows = make_rows("c0", 3, bit_depth=bits)
    write_set(tmp_path, {"train-00000-of-00001.parquet": [rows]})
    if holds:
        found = PairDataset(tmp_path, dtype=dtype)[:]["hr"]
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.double().numpy(), np.stack([row.hr for row in rows]))
    else:
        with pytest.raises(ValueError, match=f"does not hold samples of {bits} bits"):
            PairDataset(tmp_path, dtype=dtype)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": "sample_id"}, r"columns=\('sample_id',\), not columns='sample_id'"),
        ({"keys": ("lq",)}, r"what LR and HR are called"),
        ({"keys": "ab"}, r"what LR and HR are called"),
        ({"dtype": "float32"}, r"such as torch\.float32, not 'float32'"),
        ({"device": "nope"}, r"not 'nope'"),
    ],
)
def test_options_of_the_wrong_kind_are_refused_at_once(
    path: Path, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        PairDataset(path, **options)  # type: ignore[arg-type]


def test_what_only_inspect_measures_is_told_from_what_is_nowhere(path: Path) -> None:
    with pytest.raises(
        SelectionError, match=r"psnr, flat is measured from pixels, by `sr-data inspect --where`"
    ):
        PairDataset(path, where="psnr < 30 or flat = true")


def test_all_splits_come_as_one_in_the_order_of_their_shards(tmp_path: Path) -> None:
    splits = {name: make_rows(name, 3, split=name) for name in ("val", "train", "test")}
    write_set(tmp_path, {f"{name}-00000-of-00001.parquet": [rows] for name, rows in splits.items()})
    for place in (tmp_path, tmp_path / DATA_DIR):
        ds = PairDataset(place, split=None, columns=("split",))
        assert ds[:]["split"] == ["test"] * 3 + ["train"] * 3 + ["val"] * 3
        np.testing.assert_array_equal(ds[4]["hr"].numpy(), splits["train"][1].hr)
        assert len(PairDataset(place, split=None, where="split != 'val'")) == 6


def test_a_state_of_other_rows_is_refused_though_there_are_as_many(tmp_path: Path) -> None:
    write_set(tmp_path / "a", {"train-00000-of-00001.parquet": [make_rows("c0", 6)]})
    write_set(tmp_path / "b", {"train-00000-of-00001.parquet": [make_rows("c1", 6)]})
    state = ResumableSampler(PairDataset(tmp_path / "a", where="row < 3")).state_dict()
    ResumableSampler(PairDataset(tmp_path / "a", where="row in (0, 1, 2)")).load_state_dict(state)
    for other in (
        PairDataset(tmp_path / "a", where="row >= 3"),
        PairDataset(tmp_path / "b", where="row < 3"),
    ):
        with pytest.raises(ValueError, match="counts in another sequence: its rows is"):
            ResumableSampler(other).load_state_dict(state)
