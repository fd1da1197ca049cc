"""Clips of the CDVL as people bring them: packed AVI that says nothing of its fields, zips, doubles."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from clips import Planes, encode
from scan_clips import Way, frames_of, moments, texture
from typer.testing import CliRunner

from sr_datasets import catalog
from sr_datasets.build import build_pairs, choose_pairs
from sr_datasets.cli.main import app
from sr_datasets.errors import BuildError, StoreError
from sr_datasets.files import sha256_of
from sr_datasets.ingest import ImportReport, import_files, verify_store
from sr_datasets.inspect import inspect_set
from sr_datasets.progress import Silent
from sr_datasets.store import ClipRecord, Store
from sr_datasets.video import open_clip

HD = (1080, 1920)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def bring(store: Store, *paths: Path, force: bool = False) -> ImportReport:
    return import_files(catalog.find_source("cdvl"), paths, store, progress=Silent(), force=force)


def uyvy_of(luma: np.ndarray) -> Planes:
    """Return one packed 4:2:2 plane: U, Y, V, Y."""
    height, width = luma.shape
    packed = np.full((height, 2 * width), 128, np.uint8)
    packed[:, 1::2] = luma
    packed[:, ::4] = 100 + np.arange(width // 2, dtype=np.uint8) % 50
    return (packed,)


def write_avi(
    path: Path, way: Way, *, size: tuple[int, int] = HD, num_frames: int = 4, seed: int = 0
) -> Path:
    """Write UYVY in AVI, as most files of the CDVL may be: a moving scene, taken in some way."""
    enlarge = 4 if size == HD else 1
    picture = texture("natural", height=size[0] // enlarge, width=size[1] // enlarge, seed=seed)
    scene = [
        np.kron(moment, np.ones((enlarge, enlarge))) for moment in moments(picture, 2 * num_frames, right=1.5)
    ]
    frames = [uyvy_of(luma) for luma in frames_of(scene, way)]
    return encode(path, frames, codec="rawvideo", pixel_format="uyvy422")


def test_uyvy_in_avi_is_identified_hashed_and_registered_under_its_title(store: Store, tmp_path: Path):
    path = write_avi(tmp_path / "ntia_bpit1-525_original.avi", "progressive")
    report = bring(store, path)

    (record,) = report.imported
    info = record.info
    assert (record.source, record.clip, record.path) == ("cdvl", "ntia_bpit1-525", "cdvl/ntia_bpit1-525.avi")
    assert (info.container, info.width, info.height, info.num_frames) == ("avi", 1920, 1080, 4)
    assert (info.pixel_format, info.bit_depth, str(info.frame_rate)) == ("yuv422p", 8, "30000/1001")
    assert (info.scan, info.scan_from) == ("progressive", "detected")
    assert record.sha256 == sha256_of(path) == sha256_of(store.path_of(record))
    assert (
        "cdvl/ntia_bpit1-525: 1920x1080 yuv422p, 4 frames at 30000/1001; scan progressive, by its frames"
        in str(report)
    )
    assert verify_store(store, full=True) == []


@pytest.mark.parametrize("way", ["top first", "bottom first", "telecine"])
def test_interlaced_avi_without_a_flag_is_refused_by_the_recipe(way: Way, store: Store, tmp_path: Path):
    bring(store, write_avi(tmp_path / "good.avi", "progressive"))
    bring(store, write_avi(tmp_path / "woven.avi", way, num_frames=6))
    assert store.get("cdvl", "woven").info.scan == "interlaced"

    recipe = catalog.find_recipe("cdvl-30")
    pairs = choose_pairs(recipe, store).pairs
    assert [pair.record.clip for pair in pairs] == ["good"]

    alone = Store(tmp_path / "alone")
    bring(alone, tmp_path / "woven.avi")
    with pytest.raises(BuildError, match=r"no clip in the store .* fits cdvl"):
        choose_pairs(recipe, alone)


def test_an_avi_at_rest_is_unknown_and_taken(store: Store, tmp_path: Path):
    (frame,) = frames_of(moments(texture("natural"), 2), "progressive")
    encode(tmp_path / "still.avi", [uyvy_of(frame)] * 5, codec="rawvideo", pixel_format="uyvy422")
    report = bring(store, tmp_path / "still.avi")

    assert (report.imported[0].info.scan, report.imported[0].info.scan_from) == ("unknown", "unknown")
    assert "scan unknown, its frames do not tell either" in str(report)


def luma_of(store: Store, record: ClipRecord) -> tuple[np.ndarray, ...]:
    with open_clip(store.path_of(record), record.info) as reader:
        return tuple(np.ascontiguousarray(plane) for plane in reader.frame_at(1).planes)


def test_v210_and_yv12_keep_their_samples(store: Store, tmp_path: Path):
    draws = np.random.default_rng(3)
    ten = [
        (
            draws.integers(64, 940, (64, 96), dtype=np.uint16),
            *(draws.integers(64, 960, (64, 48), dtype=np.uint16) for _ in "uv"),
        )
        for _ in range(3)
    ]
    encode(tmp_path / "ten.avi", ten, codec="v210", pixel_format="yuv422p10le")
    eight = [
        tuple(draws.integers(16, 235, shape, dtype=np.uint8) for shape in ((64, 96), (32, 48), (32, 48)))
        for _ in range(3)
    ]
    # YV12 stores V before U; the decoder hands them out in the usual order.
    stored = [(y, v, u) for y, u, v in eight]
    encode(
        tmp_path / "eight.avi", stored, codec="rawvideo", pixel_format="yuv420p", tags={"codec_tag": "YV12"}
    )
    bring(store, tmp_path / "ten.avi", tmp_path / "eight.avi")

    for name, frames, pixel_format in (("ten", ten, "yuv422p10le"), ("eight", eight, "yuv420p")):
        record = store.get("cdvl", name)
        assert record.info.pixel_format == pixel_format
        for found, expected in zip(luma_of(store, record), frames[1], strict=True):
            np.testing.assert_array_equal(found, expected)


def y4m_of(way: Way, seed: int) -> bytes:
    frames = frames_of(moments(texture("natural", seed=seed), 10, right=2), way)
    chroma = np.full((80, 120), 128, np.uint8).tobytes()
    return b"YUV4MPEG2 W240 H160 F30000:1001\n" + b"".join(
        b"FRAME\n" + frame.tobytes() + 2 * chroma for frame in frames
    )


def test_a_zip_of_y4m_gives_a_clip_for_each_video(store: Store, tmp_path: Path):
    path = tmp_path / "ElFuente_shots.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("shots/ElFuente_01.y4m", y4m_of("progressive", 1))
        packed.writestr("shots/ElFuente_02.y4m", y4m_of("top first", 2))
        packed.writestr("readme.txt", "terms")
    report = bring(store, path)

    words = {record.clip: record.info.scan for record in report.imported}
    assert words == {"ElFuente_01": "progressive", "ElFuente_02": "interlaced"}
    assert path.exists()
    assert verify_store(store, full=True) == []
    assert not list((store.root / "cdvl" / ".incoming").iterdir())
    again = bring(store, path)
    assert (len(again.imported), len(again.present)) == (0, 2)


def test_a_zip_without_a_video_is_refused_with_the_next_step(store: Store, tmp_path: Path):
    path = tmp_path / "papers.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("readme.txt", "terms")
    with pytest.raises(StoreError, match=r"papers\.zip holds no video\. Unpack it yourself"):
        bring(store, path)


def test_the_same_bytes_under_another_name_are_not_taken_twice(store: Store, tmp_path: Path):
    first = write_avi(tmp_path / "ntia_snow_original.avi", "progressive", size=(96, 128))
    twin = tmp_path / "download (3).avi"
    twin.write_bytes(first.read_bytes())
    report = bring(store, first, twin)

    assert len(report.imported) == len(store.records()) == 1
    assert len(report.present) == 1
    again = bring(store, twin)
    assert again.present[0].clip == report.imported[0].clip


def test_the_command_says_what_came_and_how_it_is_known(tmp_path: Path):
    write_avi(tmp_path / "ntia_bpit1-525_original.avi", "top first", size=(96, 128), num_frames=6)
    result = CliRunner().invoke(
        app,
        ["import", "cdvl", str(tmp_path / "ntia_bpit1-525_original.avi"), "--store", str(tmp_path / "store")],
    )

    assert result.exit_code == 0, result.output
    assert "scan interlaced, by its frames" in result.output


def test_cdvl_30_runs_with_the_clips_that_are_there(store: Store, tmp_path: Path):
    for number in range(8):
        bring(store, write_avi(tmp_path / f"clip{number}.avi", "progressive", seed=number))
    report = build_pairs(catalog.find_recipe("cdvl-30"), out_dir=tmp_path / "set", store=store)

    assert report.pairs == {"test": 1, "train": 7}
    assert (report.num_rows, report.asked) == (240, 115)
    assert inspect_set(tmp_path / "set").pairs == {"test": 1, "train": 7}
