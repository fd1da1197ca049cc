"""``PairDataset``: the same samples by number, list, slice and loader, in every kind of worker."""

import errno
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from shard_sets import SMALL, make_rows, rewrite, write_set, write_shard

from sr_datasets.errors import ShardError
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, SET_NAME

torch = pytest.importorskip("torch")
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler  # noqa: E402

from sr_datasets import split_yuv420  # noqa: E402
from sr_datasets.dataset import PairDataset  # noqa: E402

pytestmark = pytest.mark.torch

TRAIN = [
    row for name, groups in SMALL.items() if name.startswith("train") for group in groups for row in group
]


@pytest.fixture(scope="module", params=["mapped", "foreign"])
def set_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small set; once as it is written, once with its shards compressed by another tool."""
    folder = tmp_path_factory.mktemp(request.param)
    write_set(folder, SMALL)
    if request.param == "foreign":
        for path in (folder / DATA_DIR).iterdir():
            rewrite(path, folder / "rewritten", compression="zstd")
            (folder / "rewritten").replace(path)
    return folder


def assert_is_row(sample: dict[str, Any], number: int) -> None:
    np.testing.assert_array_equal(sample["lr"].numpy(), TRAIN[number].lr)
    np.testing.assert_array_equal(sample["hr"].numpy(), TRAIN[number].hr)


def test_samples_stand_in_the_order_of_shard_group_and_row(set_dir: Path) -> None:
    ds = PairDataset(set_dir)

    assert len(ds) == 9
    for number in range(9):
        assert_is_row(ds[number], number)
        assert_is_row(ds[number - 9], number)
        assert_is_row(ds[np.int32(number)], number)
        assert_is_row(ds[torch.tensor(number)], number)
    assert [sample["lr"].sum().item() for sample in ds] == [row.lr.sum() for row in TRAIN]
    assert len(PairDataset(set_dir, split="test")) == 2
    assert repr(ds).endswith("split='train'): 9 rows")


@pytest.mark.parametrize(
    ("index", "numbers"),
    [
        ([3, 0, 8, 3, -1], [3, 0, 8, 3, 8]),
        ((2, 5), [2, 5]),
        (range(1, 9, 3), [1, 4, 7]),
        (np.array([7, 6], np.uint8), [7, 6]),
        (np.array([-9, 0], np.int32), [0, 0]),
        (torch.tensor([4, 4, 5]), [4, 4, 5]),
        (slice(None), list(range(9))),
        (slice(7, 2, -2), [7, 5, 3]),
        (slice(5, 100), [5, 6, 7, 8]),
        (np.arange(9) % 4 == 1, [1, 5]),
        (torch.arange(9) > 6, [7, 8]),
        ([], []),
        (slice(3, 3), []),
    ],
)
def test_several_numbers_give_one_batch(set_dir: Path, index: Any, numbers: list[int]) -> None:
    batch = PairDataset(set_dir)[index]

    assert batch["lr"].shape == (len(numbers), 3, 4, 5)
    assert batch["hr"].shape == (len(numbers), 3, 12, 15)
    assert batch["lr"].dtype == batch["hr"].dtype == torch.uint8
    for place, number in enumerate(numbers):
        assert_is_row({name: pixels[place] for name, pixels in batch.items()}, number)


@pytest.mark.parametrize("index", [9, -10, [0, 9], [0, -10], np.array([2**40]), torch.tensor([-(2**40)])])
def test_a_number_too_far_is_an_indexerror(set_dir: Path, index: Any) -> None:
    with pytest.raises(IndexError, match="there is no row"):
        PairDataset(set_dir)[index]


def test_what_is_no_number_is_refused(set_dir: Path) -> None:
    ds = PairDataset(set_dir)
    with pytest.raises(TypeError):
        ds[1.5]  # type: ignore[index]
    with pytest.raises(TypeError, match="whole numbers"):
        ds[[1.5]]  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        ds[np.array([[1, 2]])]
    with pytest.raises(IndexError, match="a mask has one truth value for each of 9 rows, not 2"):
        ds[np.array([True, False])]


def test_tensors_own_their_memory_and_outlive_the_data_set(set_dir: Path) -> None:
    ds = PairDataset(set_dir)
    one, batch = ds[4], ds[[4, 4]]
    for sample in (one, batch):
        for pixels in sample.values():
            assert pixels.is_contiguous()
            assert pixels.untyped_storage().nbytes() == pixels.nbytes
    batch["lr"][0] = 0
    one["hr"] += 1
    assert_is_row(ds[4], 4)
    assert_is_row({name: pixels[1] for name, pixels in ds[[4, 4]].items()}, 4)
    kept = ds[5]
    del ds
    assert_is_row(kept, 5)


def test_getitems_is_a_list_that_stock_collation_takes(set_dir: Path) -> None:
    ds = PairDataset(set_dir)

    samples = ds.__getitems__([8, 0, 3])
    assert isinstance(samples, list)
    for sample, number in zip(samples, (8, 0, 3), strict=True):
        assert_is_row(sample, number)
    assert ds.__getitems__([]) == []


def test_row_is_all_that_is_known_but_the_pixels(set_dir: Path) -> None:
    ds = PairDataset(set_dir)

    row = ds.row(6)
    assert row["sample_id"] == TRAIN[6].sample_id
    assert row["frame_indices"] == list(TRAIN[6].frame_indices)
    assert (row["top"], row["left"], row["scale"], row["num_frames"]) == (1, 2, 3, 1)
    assert (row["range"], row["range_from"]) == ("limited", "tagged")
    assert not {"lr", "hr"} & row.keys()
    assert ds.row(-3) == row
    with pytest.raises(IndexError, match="no row 9"):
        ds.row(9)


def test_dtype_converts_without_scaling_and_transform_sees_each_sample(set_dir: Path) -> None:
    def flip(sample: dict[str, Any]) -> dict[str, Any]:
        assert sample["lr"].ndim == 3
        return {name: pixels.flip(-1) for name, pixels in sample.items()}

    plain = PairDataset(set_dir)
    ds = PairDataset(set_dir, dtype=torch.float32, transform=flip)
    for sample in (ds[3], ds.__getitems__([3])[0]):
        assert sample["hr"].dtype == torch.float32
        assert torch.equal(sample["hr"], plain[3]["hr"].flip(-1).float())
    batch = ds[[2, 3]]
    assert torch.equal(batch["lr"], plain[[2, 3]]["lr"].flip(-1).float())
    assert torch.equal(PairDataset(set_dir, dtype=torch.float32)[[2]]["lr"], plain[[2]]["lr"].float())
    assert ds[[]]["lr"].dtype == torch.float32


@pytest.mark.parametrize("hr_all", [False, True])
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_windows_of_frames_and_deep_samples_keep_shape_and_type(
    tmp_path: Path, hr_all: bool, bit_depth: int
) -> None:
    rows = make_rows("clip", 3, frames=5, hr_all=hr_all, bit_depth=bit_depth, color="y")
    write_shard(tmp_path / "train-00000-of-00001.parquet", [rows])
    ds = PairDataset(tmp_path)

    dtype = torch.uint8 if bit_depth == 8 else torch.uint16
    assert ds[1]["lr"].shape == (5, 1, 4, 5)
    assert ds[1]["hr"].shape == ((5, 1, 12, 15) if hr_all else (1, 12, 15))
    for sample in (
        ds[1],
        {name: pixels[0] for name, pixels in ds[[1, 2]].items()},
        ds.__getitems__([1, 2])[0],
    ):
        assert sample["lr"].dtype == sample["hr"].dtype == dtype
        np.testing.assert_array_equal(sample["lr"].numpy(), rows[1].lr)
        np.testing.assert_array_equal(sample["hr"].numpy(), rows[1].hr)
    (batch,) = DataLoader(ds, batch_size=3)
    assert batch["hr"].dtype == dtype
    np.testing.assert_array_equal(batch["hr"].numpy(), np.stack([row.hr for row in rows]))


@pytest.mark.parametrize("bit_depth", [8, 10])
def test_packed_planes_come_apart_as_views_of_a_sample_or_a_batch(tmp_path: Path, bit_depth: int) -> None:
    rows = make_rows("clip", 3, color="yuv420", height=4, width=6, bit_depth=bit_depth)
    write_shard(tmp_path / "train-00000-of-00001.parquet", [rows])
    ds = PairDataset(tmp_path)

    for packed, shapes in (
        (ds[1]["hr"], [(1, 12, 18), (1, 6, 9), (1, 6, 9)]),
        (ds[[1, 2]]["hr"], [(2, 1, 12, 18), (2, 1, 6, 9), (2, 1, 6, 9)]),
    ):
        parts = split_yuv420(packed)
        assert [tuple(part.shape) for part in parts] == shapes
        flat = rows[1].hr.reshape(-1)
        for part, expected in zip(parts, (flat[:216], flat[216:270], flat[270:]), strict=True):
            first = part if packed.ndim == 3 else part[0]
            np.testing.assert_array_equal(first.numpy().reshape(-1), expected)
            assert part.untyped_storage().data_ptr() == packed.untyped_storage().data_ptr()


def test_rows_of_several_shapes_are_read_one_by_one_but_make_no_batch(tmp_path: Path) -> None:
    groups = [make_rows("one", 2), make_rows("two", 2, height=6), make_rows("deep", 2, bit_depth=10)]
    write_shard(tmp_path / "train-00000-of-00001.parquet", groups)
    ds = PairDataset(tmp_path)

    rows = [row for group in groups for row in group]
    for sample, row in zip(ds.__getitems__([5, 0, 3]), (rows[5], rows[0], rows[3]), strict=True):
        np.testing.assert_array_equal(sample["lr"].numpy(), row.lr)
    np.testing.assert_array_equal(ds[[3, 2]]["hr"].numpy(), np.stack([rows[3].hr, rows[2].hr]))
    with pytest.raises(ShardError, match="rows 0 and 2 cannot be in one batch"):
        ds[[0, 1, 2]]


def test_a_folder_of_shards_or_one_shard_is_a_data_set_too(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)

    assert len(PairDataset(tmp_path / DATA_DIR)) == 9
    assert len(PairDataset(tmp_path / DATA_DIR / "train-00001-of-00002.parquet")) == 2
    (tmp_path / SET_NAME).unlink()
    with pytest.raises(ShardError, match="its build did not finish"):
        PairDataset(str(tmp_path))
    foreign = tmp_path / "part.parquet"
    rewrite(tmp_path / DATA_DIR / "test-00000-of-00001.parquet", foreign)
    assert len(PairDataset(foreign, split="test")) == 2


def test_only_the_index_is_read_before_the_first_sample(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)
    shutil.rmtree(tmp_path / DATA_DIR)

    ds = PairDataset(tmp_path)
    assert len(ds) == 9
    with pytest.raises(ShardError, match=r"train-00000-of-00002\.parquet is missing"):
        ds[0]
    with pytest.raises(ShardError, match=r"train-00001-of-00002\.parquet is missing"):
        ds[[8]]


def test_a_data_set_opens_and_reads_without_pandas(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)
    code = (
        "import sys\n"
        "from sr_datasets import PairDataset\n"
        "ds = PairDataset(sys.argv[1])\n"
        "ds[0], ds[[1, 8]], ds.row(3)\n"
        "print('pandas' in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def test_a_set_or_split_that_is_not_there_says_what_is(tmp_path: Path) -> None:
    write_set(tmp_path / "set", SMALL)

    with pytest.raises(
        ShardError, match=r"no split 'trian'. Did you mean train\? It has: test \(2 rows\), train"
    ):
        PairDataset(tmp_path / "set", split="trian")
    with pytest.raises(ShardError, match=r"no split 'val'.* It has: test \(2 rows\), train \(9 rows\)"):
        PairDataset(tmp_path / "set" / DATA_DIR, split="val")
    with pytest.raises(ShardError, match=r"is not a shard set: it has no sr-data\.json"):
        PairDataset(tmp_path)
    with pytest.raises(ShardError, match="there is no such folder"):
        PairDataset(tmp_path / "none")
    write_shard(tmp_path / "empty" / "train-00000-of-00001.parquet", [])
    with pytest.raises(ShardError, match="has no rows at all"):
        PairDataset(tmp_path / "empty")
    (tmp_path / "set" / INDEX_NAME).write_bytes(b"PAR1")
    with pytest.raises(ShardError, match=r"index\.parquet cannot be read"):
        PairDataset(tmp_path / "set")


def test_a_cut_shard_is_a_sharderror(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)
    path = tmp_path / DATA_DIR / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-20])

    ds = PairDataset(tmp_path)
    assert_is_row(ds[0], 0)
    for index in (8, [0, 8]):
        with pytest.raises(ShardError, match=r"train-00001-of-00002\.parquet is not a whole Parquet file"):
            ds[index]


def test_pickles_small_and_reads_again(set_dir: Path) -> None:
    ds = PairDataset(set_dir)
    ds[[0, 8]]
    ds.row(3)

    pickled = pickle.dumps(ds)
    assert len(pickled) < 2000
    again = pickle.loads(pickled)
    for number in (0, 5, 8):
        assert_is_row(again[number], number)


def _stock(ds: PairDataset, **options: Any) -> Iterator[dict[str, Any]]:
    yield from DataLoader(ds, batch_size=4, **options)


def _whole_batches(ds: PairDataset, **options: Any) -> Iterator[dict[str, Any]]:
    sampler = BatchSampler(SequentialSampler(ds), batch_size=4, drop_last=False)
    yield from DataLoader(ds, sampler=sampler, batch_size=None, **options)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("context", "load"),
    [("fork", _stock), ("fork", _whole_batches), ("spawn", _stock), ("forkserver", _whole_batches)],
)
def test_loaders_of_every_start_method_hand_out_every_row(
    set_dir: Path, context: str, load: Callable[..., Iterator[dict[str, Any]]]
) -> None:
    ds = PairDataset(set_dir)
    assert_is_row(ds[0], 0)  # what the parent has open must not disturb the workers
    ds.row(0)

    batches = list(load(ds, num_workers=2, multiprocessing_context=context))
    assert [len(batch["lr"]) for batch in batches] == [4, 4, 1]
    for name in ("lr", "hr"):
        found = torch.cat([batch[name] for batch in batches]).numpy()
        np.testing.assert_array_equal(found, np.stack([getattr(row, name) for row in TRAIN]))
    assert_is_row(ds[8], 8)


def test_a_shuffled_epoch_has_each_row_once(set_dir: Path) -> None:
    ds = PairDataset(set_dir)
    sampler = BatchSampler(RandomSampler(ds, generator=torch.Generator().manual_seed(0)), 2, drop_last=False)

    batches = list(DataLoader(ds, sampler=sampler, batch_size=None))
    found = sorted(pixels.numpy().tobytes() for batch in batches for pixels in batch["lr"])
    assert found == sorted(row.lr.tobytes() for row in TRAIN)


def test_without_torch_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from sr_datasets.errors import MissingExtraError\n"
        "import sr_datasets\n"
        "try: sr_datasets.PairDataset\n"
        "except MissingExtraError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "PairDataset needs the 'torch' extra: pip install 'sr-datasets[torch]'"


def test_a_shard_that_is_a_folder_is_an_error_of_the_set(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)
    shard = tmp_path / DATA_DIR / "train-00000-of-00002.parquet"
    shard.unlink()
    shard.mkdir()

    for path in (tmp_path, tmp_path / DATA_DIR):
        with pytest.raises(
            ShardError, match=r"train-00000-of-00002\.parquet .*cannot be read \(Is a directory\)"
        ):
            PairDataset(path)[0]


def test_a_shard_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path, SMALL)
    ds = PairDataset(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pq, "ParquetFile", refuse)  # whoever runs the tests may be allowed everything
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        ShardError, match=r"train-00000-of-00002\.parquet .*cannot be read \(Permission denied\)"
    ):
        ds[0]
