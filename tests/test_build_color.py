"""Colours, depths and interlaced clips all the way: from the planes of a clip to the samples of its rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from clips import formula_planes, y4m_bytes
from made import MANIFEST, RECIPE, recipe_of

from sr_datasets.build import build_pairs
from sr_datasets.color import split_yuv420, window
from sr_datasets.degrade import degrade_frame
from sr_datasets.errors import SrDataError
from sr_datasets.files import sha256_of
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.schema import Row
from sr_datasets.store import ClipRecord, FileRecord, Store
from sr_datasets.video import open_clip, probe
from sr_datasets.video.filters import ffmpeg_rgb

ONE_SPLIT = RECIPE.replace("{test: 1, train: -1}", "{train: -1}")


def noise(pixel_format: str, width: int, height: int, depth: int, seed: int) -> tuple[npt.NDArray[Any], ...]:
    draws = np.random.default_rng(seed)
    dtype: Any = np.uint8 if depth == 8 else np.uint16
    shapes = [plane.shape for plane in formula_planes(pixel_format, width, height, 0)]
    return tuple(draws.integers(0, 1 << depth, shape, dtype=dtype) for shape in shapes)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    manifests = tmp_path / "config" / "sr-datasets" / "manifests" / "sources"
    manifests.mkdir(parents=True)
    (manifests / "made.yaml").write_text(MANIFEST)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Store(tmp_path / "store")


def put(
    store: Store, pixel_format: str = "yuv420p", depth: int = 8, header: str = "F25:1 Ip C420jpeg"
) -> None:
    """Put one clip of noise, 97x83, into the store."""
    frames = [noise(pixel_format, 97, 83, depth, index) for index in range(4)]
    path = store.root / "made" / "clip.y4m"
    path.parent.mkdir(parents=True)
    path.write_bytes(y4m_bytes(frames, header))
    facts = {
        "size_bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "mtime_ns": path.stat().st_mtime_ns,
    }
    store.put(
        ClipRecord(
            source="made",
            clip="clip",
            path="made/clip.y4m",
            files=(FileRecord.model_validate({"path": "made/clip.y4m", **facts}),),
            sha256=sha256_of(path),
            origin="imported",
            proof="imported",
            info=probe(path),
        )
    )


def rows_of(folder: Path) -> Iterator[Row]:
    for path in sorted((folder / "data").iterdir()):
        reader = ShardReader(path)
        yield from (reader.read_row(number) for number in range(reader.num_rows))


def built(store: Store, tmp_path: Path, **changes: object) -> list[Row]:
    recipe = recipe_of(tmp_path, ONE_SPLIT, **changes)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    rows = list(rows_of(tmp_path / "set"))
    assert len(rows) == 12
    return rows


@pytest.mark.parametrize(
    ("pixel_format", "depth", "variant"),
    [
        ("yuv420p", 8, "420jpeg"),
        ("yuv420p10le", 10, "420p10"),
        ("yuv420p12le", 12, "420p12"),
        ("gray16le", 16, "mono16"),
    ],
)
@pytest.mark.parametrize("color", ["y", "rgb"])
def test_the_true_depth_goes_all_the_way(
    store: Store, tmp_path: Path, pixel_format: str, depth: int, variant: str, color: Any
):
    put(store, pixel_format, depth, f"F25:1 Ip C{variant}")
    info = store.get("made", "clip").info
    assert info.bit_depth == depth

    for row in built(store, tmp_path, color=color):
        planes = noise(pixel_format, 97, 83, depth, row.frame_indices[0])
        hr = window(planes, info.layout, color=color, top=0, left=0, height=81, width=96)
        assert row.bit_depth == depth
        assert row.hr.dtype == row.lr.dtype == (np.uint8 if depth == 8 else np.uint16)
        top, left = 3 * row.top, 3 * row.left
        np.testing.assert_array_equal(row.hr, hr[:, top : top + 24, left : left + 24])
        lr = degrade_frame(hr, recipe_of(tmp_path).degradation, 3, bit_depth=depth)
        np.testing.assert_array_equal(row.lr, lr[:, row.top : row.top + 8, row.left : row.left + 8])


@pytest.mark.parametrize(("pixel_format", "depth"), [("yuv420p", 8), ("yuv420p10le", 10)])
def test_rows_of_yuv420_are_each_plane_degraded_by_itself(
    store: Store, tmp_path: Path, pixel_format: str, depth: int
):
    put(store, pixel_format, depth, f"F25:1 Ip C420{'jpeg' if depth == 8 else 'p10'}")
    degradation = recipe_of(tmp_path).degradation

    for row in built(store, tmp_path, color="yuv420"):
        assert (row.lr.shape, row.hr.shape, row.bit_depth) == ((1, 12, 8), (1, 36, 24), depth)
        assert (row.top % 2, row.left % 2) == (0, 0)
        planes = noise(pixel_format, 97, 83, depth, row.frame_indices[0])
        for plane, lr, hr, part in zip(
            planes, split_yuv420(row.lr), split_yuv420(row.hr), (1, 2, 2), strict=True
        ):
            whole = plane[np.newaxis, : 78 // part, : 96 // part]  # cropped to a multiple of 6
            top, left, size = row.top // part, row.left // part, 8 // part
            box = np.s_[:, 3 * top : 3 * (top + size), 3 * left : 3 * (left + size)]
            np.testing.assert_array_equal(hr, whole[box])
            expected = degrade_frame(whole, degradation, 3, bit_depth=depth)
            np.testing.assert_array_equal(lr, expected[:, top : top + size, left : left + size])


def test_yuv420_of_another_sampling_is_refused_by_the_name_of_the_clip(store: Store, tmp_path: Path):
    put(store, "yuv422p", 8, "F25:1 Ip C422")

    with pytest.raises(SrDataError, match=r"made/clip has 4:2:2 Y'CbCr samples; .* it needs 4:2:0"):
        built(store, tmp_path, color="yuv420")


@pytest.mark.parametrize(("pixel_format", "depth", "out"), [("yuv420p", 8, 8), ("yuv420p10le", 10, 16)])
def test_rgb_of_ffmpeg_is_cut_out_of_the_converted_frame(
    store: Store, tmp_path: Path, pixel_format: str, depth: int, out: int
):
    put(store, pixel_format, depth, f"F25:1 Ip C420{'jpeg' if depth == 8 else 'p10'}")
    info = store.get("made", "clip").info

    for row in built(store, tmp_path, color="rgb", rgb_from_yuv="swscale-default"):
        planes, layout = ffmpeg_rgb(noise(pixel_format, 97, 83, depth, row.frame_indices[0]), info)
        assert (row.bit_depth, layout.bit_depth, row.chroma_filter) == (out, out, "swscale-default")
        top, left = 3 * row.top, 3 * row.left
        np.testing.assert_array_equal(row.hr, np.stack(planes)[:, top : top + 24, left : left + 24])


def test_interlaced_clips_are_refused_deinterlaced_or_kept(store: Store, tmp_path: Path):
    put(store, header="F25:1 Ib C420jpeg")
    record = store.get("made", "clip")

    with pytest.raises(SrDataError, match="is interlaced, as its stream says"):
        built(store, tmp_path)
    for choice in ("deinterlace", "keep"):
        folder = tmp_path / choice
        folder.mkdir()
        rows = built(store, folder, interlaced=choice)
        with open_clip(store.path_of(record), record.info, interlaced=choice) as reader:  # type: ignore[arg-type]
            frames = {frame.index: frame.planes[0] for frame in reader.frames(range(4))}
        for row in rows:
            top, left = 3 * row.top, 3 * row.left
            hr = frames[row.frame_indices[0]][top : top + 24, left : left + 24]
            np.testing.assert_array_equal(row.hr[0], hr)
