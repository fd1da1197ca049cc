"""Sets in other trainers' layouts: nothing is lost, and BasicSR's own data set reads them."""

import importlib.util
import io
import subprocess
import sys
import time
import types
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shard_sets import make_rows, write_set
from typer.testing import CliRunner

from sr_datasets.cli.main import app
from sr_datasets.errors import SelectionError, ShardError
from sr_datasets.export import Target, export_set, name_of, sample_id_of
from sr_datasets.shards.schema import Row

TRAIN = [make_rows("city.v2", 5), make_rows("a_b", 3)]
SHARDS = {
    "test-00000-of-00001.parquet": [make_rows("t0", 2, split="test")],
    "train-00000-of-00001.parquet": TRAIN,
}
TARGETS: Sequence[Target] = ("png", "basicsr-lmdb")


def planes_of(png: bytes | Path) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(png) if isinstance(png, bytes) else png))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def one_shard(folder: Path, rows: Sequence[Row]) -> Path:
    write_set(folder, {"train-00000-of-00001.parquet": [rows]})
    return folder


@given(st.text(min_size=1))
def test_a_name_is_plain_and_goes_back_to_its_id(sample_id: str):
    name = name_of(sample_id)

    assert sample_id_of(name) == sample_id
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+%")


def test_a_tree_holds_every_row_of_a_split_bit_for_bit(tmp_path: Path):
    write_set(tmp_path / "set", SHARDS)

    report = export_set(tmp_path / "set", tmp_path / "out", to="png", split="train")

    assert report.rows == {"train": 8}
    for row in (row for rows in TRAIN for row in rows):
        name = name_of(row.sample_id)
        np.testing.assert_array_equal(planes_of(tmp_path / "out" / "lq" / f"{name}.png"), row.lr)
        np.testing.assert_array_equal(planes_of(tmp_path / "out" / "gt" / f"{name}.png"), row.hr)
    lines = (tmp_path / "out" / "meta_info.txt").read_text().splitlines()
    assert lines[0] == "xiph+city%2Ev2+000000.png (12,15,3)"
    assert [sample_id_of(line.split(".png")[0]) for line in lines] == [
        row.sample_id for rows in TRAIN for row in rows
    ]


def test_without_a_split_each_has_its_folder(tmp_path: Path):
    write_set(tmp_path / "set", SHARDS)

    report = export_set(tmp_path / "set", tmp_path / "out", to="png")

    assert report.rows == {"test": 2, "train": 8}
    assert len(list((tmp_path / "out" / "test" / "gt").iterdir())) == 2
    assert len(list((tmp_path / "out" / "train" / "lq").iterdir())) == 8


def test_the_lmdb_has_one_key_for_lq_and_gt_and_lists_them(tmp_path: Path):
    lmdb = pytest.importorskip("lmdb")
    write_set(tmp_path / "set", SHARDS)

    export_set(tmp_path / "set", tmp_path / "out", to="basicsr-lmdb", split="train")

    for kind in ("lq", "gt"):
        folder = tmp_path / "out" / f"{kind}.lmdb"
        assert {path.name for path in folder.iterdir()} == {"data.mdb", "lock.mdb", "meta_info.txt"}
        listed = [line.split(".")[0] for line in (folder / "meta_info.txt").read_text().splitlines()]
        assert listed == [name_of(row.sample_id) for rows in TRAIN for row in rows]
        with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as transaction:
            for row in (row for rows in TRAIN for row in rows):
                planes = planes_of(transaction.get(name_of(row.sample_id).encode("ascii")))
                np.testing.assert_array_equal(planes, row.lr if kind == "lq" else row.hr)


@pytest.fixture
def basicsr(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Return BasicSR's own module of ``PairedImageDataset``, without those parts that newer libraries broke."""
    found = importlib.util.find_spec("cv2") and next(
        (
            path
            for path in map(Path, sys.path)
            if (path / "basicsr" / "data" / "paired_image_dataset.py").is_file()
        ),
        None,
    )
    if not found:
        pytest.skip("basicsr and opencv are not installed (docs/sharing.md says how to run this test)")
    functional = types.ModuleType("torchvision.transforms.functional")
    functional.normalize = None  # type: ignore[attr-defined]  # called for opt["mean"] only
    stubs = {
        "torchvision": types.ModuleType("torchvision"),
        "torchvision.transforms": types.ModuleType("torchvision.transforms"),
        "torchvision.transforms.functional": functional,
        "torchvision.utils": types.ModuleType("torchvision.utils"),
    }
    stubs["torchvision.utils"].make_grid = None  # type: ignore[attr-defined]
    # The packages' own __init__ import every model of BasicSR, and those a torchvision of 2023.
    for package in ("basicsr", "basicsr.data"):
        module = types.ModuleType(package)
        module.__path__ = [str(found / Path(*package.split(".")))]  # type: ignore[attr-defined]
        stubs[package] = module
    has_torchvision = importlib.util.find_spec("torchvision") is not None
    for name, module in stubs.items():
        if name.startswith("basicsr") or not has_torchvision:
            monkeypatch.setitem(sys.modules, name, module)
    yield importlib.import_module("basicsr.data.paired_image_dataset")
    for name in [name for name in sys.modules if name.split(".")[0] == "basicsr"]:
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("phase", ["train", "val"])
def test_basicsrs_own_data_set_reads_every_pair(
    basicsr: types.ModuleType, tmp_path: Path, to: Target, phase: str
):
    write_set(tmp_path / "set", SHARDS)
    out = tmp_path / "out"
    export_set(tmp_path / "set", out, to=to, split="train")
    ends = {"png": ("lq", "gt", "disk"), "basicsr-lmdb": ("lq.lmdb", "gt.lmdb", "lmdb")}[to]
    options = {
        "dataroot_lq": str(out / ends[0]),
        "dataroot_gt": str(out / ends[1]),
        "io_backend": {"type": ends[2]},
        "meta_info_file": str(out / "meta_info.txt") if to == "png" else None,
        "scale": 3,
        "phase": phase,
        "gt_size": 12,
        "use_hflip": False,
        "use_rot": False,
    }

    data = basicsr.PairedImageDataset(options)

    rows = {name_of(row.sample_id): row for pairs in TRAIN for row in pairs}
    assert len(data) == len(rows)
    seen = set()
    for number in range(len(data)):
        sample = data[number]
        name = Path(sample["gt_path"]).name.removesuffix(".png")
        row = rows[name]
        seen.add(name)
        lq = np.rint(sample["lq"].numpy() * 255).astype(np.uint8)
        gt = np.rint(sample["gt"].numpy() * 255).astype(np.uint8)
        if phase == "train":
            assert lq.shape == (3, 4, 4)
            assert gt.shape == (3, 12, 12)
            places = [x for x in range(2) if (row.lr[:, :, x : x + 4] == lq).all()]
            assert any((row.hr[:, :, 3 * x : 3 * x + 12] == gt).all() for x in places)
        else:
            np.testing.assert_array_equal(lq, row.lr)
            np.testing.assert_array_equal(gt, row.hr)
    assert seen == set(rows)


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("hr_all", [False, True])
def test_windows_are_folders_of_frames(tmp_path: Path, to: Target, hr_all: bool):
    rows = make_rows("w", 2, frames=5, hr_all=hr_all)
    if to == "basicsr-lmdb":
        lmdb = pytest.importorskip("lmdb")

    export_set(one_shard(tmp_path / "set", rows), tmp_path / "out", to=to, split="train")

    name = name_of(rows[1].sample_id)
    wanted = range(5) if hr_all else [2]
    if to == "png":
        lq = tmp_path / "out" / "lq" / name
        assert [path.name for path in sorted(lq.iterdir())] == [f"{frame:08d}.png" for frame in range(5)]
        np.testing.assert_array_equal(planes_of(lq / "00000003.png"), rows[1].lr[3])
        gt = tmp_path / "out" / "gt" / name
        assert [path.name for path in sorted(gt.iterdir())] == [f"{frame:08d}.png" for frame in wanted]
        meta = (tmp_path / "out" / "meta_info.txt").read_text().splitlines()
        assert meta[1] == f"{name} 5 (12,15,3)"
    else:
        with (
            lmdb.open(str(tmp_path / "out" / "gt.lmdb"), readonly=True, lock=False) as env,
            env.begin() as found,
        ):
            keys = [key.decode() for key in found.cursor().iternext(values=False)]
            assert keys[len(wanted) :] == [f"{name}/{frame:08d}" for frame in wanted]
            frame = planes_of(found.get(f"{name}/00000002".encode()))
            np.testing.assert_array_equal(frame, rows[1].hr[2] if hr_all else rows[1].hr)


def test_ten_bits_fill_sixteen_and_come_back(tmp_path: Path):
    rows = make_rows("deep", 2, color="y", bit_depth=10)

    export_set(one_shard(tmp_path / "set", rows), tmp_path / "out", to="png", split="train")

    found = planes_of(tmp_path / "out" / "gt" / f"{name_of(rows[0].sample_id)}.png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found >> 6, rows[0].hr)
    assert int(found.max()) > 60_000


@pytest.mark.parametrize(
    ("rows", "to", "message"),
    [
        (make_rows("p", 1, color="yuv420", height=4, width=4), "png", "no 4:2:0 planes"),
        (
            make_rows("d", 1, color="y", bit_depth=10),
            "basicsr-lmdb",
            "10 bits, and BasicSR turns every picture",
        ),
        (make_rows("d", 1, bit_depth=12), "png", "12 bits of R, G and B"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused_and_leaves_nothing(
    tmp_path: Path, rows: Sequence[Row], to: Target, message: str
):
    if to == "basicsr-lmdb":
        pytest.importorskip("lmdb")

    with pytest.raises(ShardError, match=message):
        export_set(one_shard(tmp_path / "set", rows), tmp_path / "out", to=to)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path):
    write_set(tmp_path / "set", SHARDS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")

    with pytest.raises(ShardError, match="is no empty folder"):
        export_set(tmp_path / "set", tmp_path / "out", to="png")
    with pytest.raises(SelectionError, match=r"no split 'tran'.* Did you mean train"):
        export_set(tmp_path / "set", tmp_path / "new", to="png", split="tran")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("to", TARGETS)
def test_a_set_without_lr_gives_gt_alone(tmp_path: Path, to: Target):
    if to == "basicsr-lmdb":
        lmdb = pytest.importorskip("lmdb")
    nothing = np.empty((3, 0, 0), np.uint8)
    rows = [replace(row, lr=nothing) for row in make_rows("alone", 2)]

    export_set(one_shard(tmp_path / "set", rows), tmp_path / "out", to=to, split="train")

    name = name_of(rows[1].sample_id)
    if to == "png":
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gt", "meta_info.txt"]
        found = planes_of(tmp_path / "out" / "gt" / f"{name}.png")
    else:
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["gt.lmdb"]
        with (
            lmdb.open(str(tmp_path / "out" / "gt.lmdb"), readonly=True, lock=False) as env,
            env.begin() as stored,
        ):
            found = planes_of(stored.get(name.encode()))
    np.testing.assert_array_equal(found, rows[1].hr)


def test_nothing_is_exported_into_a_set(tmp_path: Path):
    write_set(tmp_path / "set", SHARDS)

    with pytest.raises(ShardError, match="lies in the set"):
        export_set(tmp_path / "set", tmp_path / "set" / "png", to="png")
    with pytest.raises(ShardError, match="Name a new folder"):
        export_set(tmp_path / "set", Path(), to="png")
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "data",
        "index.parquet",
        "sr-data.json",
    ]


KILLED = """
import os, signal, sys
from pathlib import Path
from sr_datasets import export

def stop(*_):
    (Path(sys.argv[2]).parent / "begun").touch()
    signal.pause()

export._rows_of = stop
export.export_set(Path(sys.argv[1]), Path(sys.argv[2]), to="png")
"""


def test_what_a_killed_export_left_goes_with_the_next_run_and_not_before(tmp_path: Path):
    write_set(tmp_path / "set", SHARDS)
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "set"), str(out)])
    try:
        while process.poll() is None and not (tmp_path / "begun").exists():
            time.sleep(0.01)
        with pytest.raises(ShardError, match=r"Another export to .*out is running"):
            export_set(tmp_path / "set", out, to="png")
        assert (tmp_path / ".out.part" / "test").is_dir()
    finally:
        process.kill()
        process.wait()
    assert not out.exists()

    export_set(tmp_path / "set", out, to="png")

    assert {path.name for path in tmp_path.iterdir()} == {"set", "out", "begun"}


def test_the_command_says_what_it_wrote(tmp_path: Path):
    write_set(tmp_path / "set", SHARDS)

    arguments = ["export", str(tmp_path / "set"), "--to", "png", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0, result.output
    assert "10 pairs (2 test, 8 train)" in result.stdout
