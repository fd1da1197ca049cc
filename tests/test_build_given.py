"""Sets whose LR is the publisher's own, and sets that keep none."""

import numpy as np
import pytest
from made import made_store, put_clip, recipe_of
from pydantic import ValidationError
from test_build_errors import rows_of

from sr_datasets.build import build_pairs, rederive_set
from sr_datasets.degrade import Degrader, Region, degrade_frame
from sr_datasets.errors import BuildError, StoreError
from sr_datasets.files import sha256_of
from sr_datasets.forget import forget
from sr_datasets.inspect import describe_row, inspect_set
from sr_datasets.recipe import BdDuf, Bicubic, NoLr, Provided, Recipe, Split, UniformSampling
from sr_datasets.report import row_pictures
from sr_datasets.shards.sets import read_set
from sr_datasets.store import FileRecord
from sr_datasets.video import open_clip, probe


@pytest.fixture
def store(tmp_path, monkeypatch):
    return made_store(tmp_path, monkeypatch)


def put_lr(store, clip, *, scale, shift=0, frames=None, degradation=None):
    """Write the LR of a clip as a y4m of its own, ``<clip>_lr``, luma only; ``shift`` moves it right."""
    record = store.find("made", clip)
    with open_clip(store.path_of(record), record.info) as reader:
        hr = [frame.planes[0] for frame in reader.frames(range(frames or record.info.num_frames))]
    lr = [degrade_frame(luma[np.newaxis], degradation or Bicubic(), scale)[0] for luma in hr]
    path = store.root / "made" / f"{clip}_lr.y4m"
    height, width = lr[0].shape
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 Cmono\n".encode())
        for luma in lr:
            file.write(b"FRAME\n" + np.roll(luma, shift, axis=1).tobytes())
    stat = path.stat()
    file_record = FileRecord(
        path=f"made/{path.name}", size_bytes=stat.st_size, sha256=sha256_of(path), mtime_ns=stat.st_mtime_ns
    )
    store.put(
        record.model_copy(
            update={
                "clip": f"{clip}_lr",
                "path": f"made/{path.name}",
                "files": (file_record,),
                "sha256": file_record.sha256,
                "info": probe(path),
            }
        )
    )


def provided(tmp_path, **changes):
    changes = {"degradation": Provided(clips="made/{clip}_lr"), **changes}
    return recipe_of(tmp_path, clips=("made/smooth",), scale=2, split=Split(counts={"train": -1}), **changes)


@pytest.fixture
def smooth(store):
    """A clip of waves, in which one pixel's shift is seen."""
    record = put_clip(store, "smooth", width=96, height=80, num_frames=5, seed=3)
    y, x = np.mgrid[:80, :96]
    path = store.path_of(record)
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W96 H80 F25:1 Ip A1:1 Cmono\n")
        for frame in range(5):
            luma = 126 + 60 * np.sin(x / 5 + frame) + 40 * np.cos(y / 7 - x / 9)
            file.write(b"FRAME\n" + luma.astype(np.uint8).tobytes())
    stat = path.stat()
    file = FileRecord(
        path="made/smooth.y4m", size_bytes=stat.st_size, sha256=sha256_of(path), mtime_ns=stat.st_mtime_ns
    )
    store.put(record.model_copy(update={"files": (file,), "sha256": file.sha256, "info": probe(path)}))
    return store


def test_lr_that_the_publisher_made_as_we_do_gives_the_same_rows(smooth, tmp_path):
    put_lr(smooth, "smooth", scale=2)
    build_pairs(provided(tmp_path), out_dir=tmp_path / "given", store=smooth)
    build_pairs(provided(tmp_path, degradation=Bicubic()), out_dir=tmp_path / "made", store=smooth)

    made = rows_of(tmp_path / "made")
    given = rows_of(tmp_path / "given")
    assert given.keys() == made.keys()
    for name, row in given.items():
        np.testing.assert_array_equal(row.lr, made[name].lr)
        np.testing.assert_array_equal(row.hr, made[name].hr)
    (one,) = read_set(tmp_path / "given").inputs
    assert (one.lr.clip, one.lr.sha256) == ("smooth_lr", smooth.find("made", "smooth_lr").sha256)
    assert rederive_set(tmp_path / "given", store=smooth).ok
    inspect_set(tmp_path / "given", verify=True)


def test_rows_of_provided_lr_go_when_the_lr_clip_is_forgotten(smooth, tmp_path):
    put_lr(smooth, "smooth", scale=2)
    build_pairs(provided(tmp_path), out_dir=tmp_path / "given", store=smooth)

    report = forget(smooth, ["made/smooth_lr"])

    assert report.problems == ()
    assert not (tmp_path / "given" / "sr-data.json").exists()
    assert not list((tmp_path / "given").rglob("*.parquet"))
    assert smooth.find("made", "smooth") is not None


def test_lr_of_another_phase_within_a_sample_is_taken(smooth, tmp_path):
    put_lr(smooth, "smooth", scale=2, degradation=BdDuf())

    report = build_pairs(provided(tmp_path), out_dir=tmp_path / "given", store=smooth)

    assert report.num_rows == 12


@pytest.mark.parametrize("shift", [-2, 1])
def test_lr_that_lies_elsewhere_is_refused(smooth, tmp_path, shift):
    put_lr(smooth, "smooth", scale=2, shift=shift)

    with pytest.raises(
        BuildError, match=rf"made/smooth_lr: frame 0 fits best 0 rows down and {shift} columns"
    ):
        build_pairs(provided(tmp_path), out_dir=tmp_path / "given", store=smooth)


def test_lr_of_another_size_or_with_fewer_frames_is_refused(smooth, tmp_path):
    put_lr(smooth, "smooth", scale=4)
    with pytest.raises(BuildError, match=r"made/smooth_lr is 24x20, 5 frames, 8 bits; .* must be 48x40"):
        build_pairs(provided(tmp_path), out_dir=tmp_path / "given", store=smooth)
    put_lr(smooth, "smooth", scale=2, frames=4)
    with pytest.raises(BuildError, match="4 frames"):
        build_pairs(provided(tmp_path), out_dir=tmp_path / "given", store=smooth)


def test_lr_that_is_not_here_is_named_with_the_command_that_brings_it(smooth, tmp_path):
    with pytest.raises(StoreError, match="sr-data fetch made/smooth_lr"):
        build_pairs(provided(tmp_path), out_dir=tmp_path / "given", store=smooth)


@pytest.mark.parametrize("color", ["y", "rgb", "yuv420"])
@pytest.mark.parametrize("degradation", [Bicubic(), BdDuf()], ids=lambda kind: kind.kind)
def test_hr_that_was_kept_with_its_halo_gives_the_lr_of_a_build(store, tmp_path, degradation, color):
    # The margin is what the halo needs, so that both plans draw the same places.
    sampling = UniformSampling(lr_size=6, patches_per_pair=5, margin=4)
    settings = {"scale": 2, "color": color, "sampling": sampling}
    build_pairs(
        recipe_of(tmp_path, degradation=NoLr(halo=8), **settings), out_dir=tmp_path / "none", store=store
    )
    build_pairs(
        recipe_of(tmp_path, degradation=degradation, **settings), out_dir=tmp_path / "made", store=store
    )

    made = rows_of(tmp_path / "made")
    kept = rows_of(tmp_path / "none")
    assert kept.keys() == made.keys()
    degrader = Degrader(degradation, 2, color=color)
    for name, row in kept.items():
        assert row.lr.size == 0
        lr = Region(row.top, row.left, 6, 6)
        assert (row.top, row.left) == (made[name].top, made[name].left)
        (again,), _ = degrader.degrade(
            [row.hr], at=lr.times(2).grown(8), height=1 << 16, width=1 << 16, lr=lr
        )
        np.testing.assert_array_equal(again, made[name].lr)
    inspect_set(tmp_path / "none", verify=True)
    assert rederive_set(tmp_path / "none", store=store).ok


def test_a_row_without_lr_is_shown_by_its_hr(store, tmp_path):
    recipe = recipe_of(tmp_path, degradation=NoLr(halo=4), sampling=UniformSampling(lr_size=6), color="rgb")
    build_pairs(recipe, out_dir=tmp_path / "none", store=store)

    ((caption, picture),) = row_pictures(tmp_path / "none", 2)

    assert caption == "HR with its halo"
    row = rows_of(tmp_path / "none")[describe_row(tmp_path / "none", 2)["sample_id"]]
    zoom = picture.shape[1] // row.hr.shape[1]
    np.testing.assert_array_equal(picture[:, ::zoom, ::zoom], row.hr)


@pytest.mark.torch
def test_a_set_without_lr_loads_its_hr(store, tmp_path):
    torch = pytest.importorskip("torch")
    from sr_datasets import PairDataset

    recipe = recipe_of(tmp_path, degradation=NoLr(halo=4), sampling=UniformSampling(lr_size=6))
    build_pairs(recipe, out_dir=tmp_path / "none", store=store)
    dataset = PairDataset(tmp_path / "none", split="train")

    assert set(dataset[0]) == {"hr"}
    assert dataset[0]["hr"].shape == (1, 26, 26)
    assert dataset[[3, 1]]["hr"].shape == (2, 1, 26, 26)
    assert torch.equal(dataset.__getitems__([3, 1])[1]["hr"], dataset[1]["hr"])


def test_windows_without_lr_must_keep_every_frame(tmp_path):
    with pytest.raises(ValidationError, match="hr_frames: all"):
        Recipe(
            format=1,
            id="made",
            title="Made",
            clips=("made",),
            scale=2,
            degradation={"kind": "none"},
            sampling={"kind": "uniform", "window": 3},
            split={"counts": {"train": -1}},
        )
