"""FFmpeg's filters on our planes: its R'G'B', and deinterlacing that is the same by random access."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from clips import formula_planes, write_y4m
from scan_clips import Shown, frames_of, moments, texture

from sr_datasets.color import PlaneLayout, window
from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import open_clip, probe
from sr_datasets.video.deinterlace import DeinterlacingReader
from sr_datasets.video.filters import deinterlaced, ffmpeg_rgb
from sr_datasets.video.scan import detect_field_order, with_scan

FFMPEG = shutil.which("ffmpeg")
Planes = tuple[npt.NDArray[Any], ...]


def noise(pixel_format: str, width: int, height: int, count: int, seed: int = 0) -> list[Planes]:
    shapes = [plane.shape for plane in formula_planes(pixel_format, width, height, 0)]
    depth = 10 if "p10" in pixel_format else 8
    dtype = np.uint8 if depth == 8 else np.uint16
    draws = np.random.default_rng(seed)
    return [
        tuple(draws.integers(0, 1 << depth, shape, dtype=dtype) for shape in shapes) for _ in range(count)
    ]


def by_ffmpeg(path: Path, *options: str) -> bytes:
    assert FFMPEG is not None
    command = [FFMPEG, "-v", "error", "-i", str(path), *options, "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


# R'G'B' by swscale


@pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg on PATH to compare with")
@pytest.mark.parametrize(
    ("pixel_format", "header"),
    [
        ("yuv420p", "C420jpeg"),
        ("yuv420p", "C420mpeg2 XCOLORRANGE=FULL"),
        ("yuv422p", "C422"),
        ("yuv444p", "C444"),
        ("yuv420p10le", "C420p10"),
    ],
)
def test_swscale_default_is_what_the_ffmpeg_command_writes_to_png(
    tmp_path: Path, pixel_format: str, header: str
):
    made = noise(pixel_format, 130, 74, 1)
    path = write_y4m(tmp_path / "a.y4m", made, f"F25:1 Ip {header}")
    info = probe(path)

    planes, layout = ffmpeg_rgb(made[0], info)

    with av.open(io.BytesIO(by_ffmpeg(path, "-f", "image2pipe", "-c:v", "png"))) as container:
        picture = next(container.decode(video=0))
    expected = picture.to_ndarray().astype(np.uint16 if layout.bit_depth == 16 else np.uint8)
    assert layout == PlaneLayout("rgb", bit_depth=16 if info.bit_depth > 8 else 8)
    np.testing.assert_array_equal(np.stack(planes), expected.transpose(2, 0, 1), strict=True)


def test_the_red_pixel_is_what_swscale_makes_of_it(tmp_path: Path):
    made = [(np.full((48, 64), 81, np.uint8), *(np.full((24, 32), value, np.uint8) for value in (90, 240)))]
    path = write_y4m(tmp_path / "a.y4m", made, "F25:1 Ip C420jpeg")
    for clip, expected in (
        (Clip(id="a"), (253, 0, 0)),
        (Clip(id="a", matrix="bt709", range="limited"), (255, 23, 0)),
        (Clip(id="a", matrix="bt709", range="full"), (255, 35, 10)),
    ):
        planes, _ = ffmpeg_rgb(made[0], probe(path, clip=clip))
        assert tuple(int(plane[20, 20]) for plane in planes) == expected


def test_swscale_and_our_own_conversion_differ_by_rounding_where_chroma_is_flat(tmp_path: Path):
    luma = np.random.default_rng(0).integers(16, 236, (48, 64), dtype=np.uint8)
    made = [(luma, np.full((24, 32), 120, np.uint8), np.full((24, 32), 140, np.uint8))]
    info = probe(write_y4m(tmp_path / "a.y4m", made, "F25:1 Ip C420jpeg"))

    planes, _ = ffmpeg_rgb(made[0], info)

    ours = window(made[0], info.layout, color="rgb", top=0, left=0, height=48, width=64)
    assert np.abs(np.stack(planes).astype(int) - ours).max() <= 2


def test_what_is_rgb_already_is_not_converted(tmp_path: Path):
    made = [(formula_planes("gray", 64, 48, 0)[0],)]
    info = probe(write_y4m(tmp_path / "a.y4m", made, "F25:1 Ip Cmono"))

    with pytest.raises(ValueError, match="only Y'CbCr"):
        ffmpeg_rgb(made[0], info)


# Deinterlacing


def digests(frames: Sequence[Planes]) -> list[bytes]:
    return [b"".join(plane.tobytes() for plane in planes) for planes in frames]


FORMATS = {
    "yuv420p": "C420jpeg",
    "yuv422p": "C422",
    "yuv420p10le": "C420p10",
    "yuv444p": "C444",
    "gray": "Cmono",
}


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("order", ["t", "b"])
def test_deinterlaced_frames_by_random_access_equal_the_sequential_ones(
    tmp_path: Path, pixel_format: str, order: str
):
    made = noise(pixel_format, 66, 46, 9)
    path = write_y4m(tmp_path / "a.y4m", made, f"F25:1 I{order} {FORMATS[pixel_format]}")
    info = probe(path)
    assert (info.scan, info.field_order) == ("interlaced", "top" if order == "t" else "bottom")
    in_order = digests(list(deinterlaced(made, info, top_first=order == "t")))
    assert len(in_order) == 9

    with open_clip(path, info, interlaced="deinterlace") as reader:
        assert digests([frame.planes for frame in reader.frames(range(9))]) == in_order
        for index in random.Random(1).sample(range(9), 9):
            frame = reader.frame_at(index)
            assert (frame.index, frame.pts) == (index, index)
            assert digests([frame.planes]) == [in_order[index]]
        some = {frame.index: frame.planes for frame in reader.frames([8, 2, 3, 0])}
        assert sorted(some) == [0, 2, 3, 8]
        assert digests([some[index] for index in (0, 2, 3, 8)]) == [in_order[k] for k in (0, 2, 3, 8)]


@pytest.mark.parametrize("order", ["t", "b"])
def test_the_rows_of_the_first_field_are_kept_and_the_others_made(tmp_path: Path, order: str):
    made = noise("yuv420p", 64, 48, 5)
    path = write_y4m(tmp_path / "a.y4m", made, f"F25:1 I{order} C420jpeg")

    with open_clip(path, probe(path), interlaced="deinterlace") as reader:
        planes = reader.frame_at(2).planes

    kept, other = (0, 1) if order == "t" else (1, 0)
    for plane, woven in zip(planes, made[2], strict=True):
        np.testing.assert_array_equal(plane[kept::2], woven[kept::2])
        assert (plane[other::2] != woven[other::2]).mean() > 0.9


@pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg on PATH to compare with")
def test_deinterlaced_frames_are_those_of_the_ffmpeg_command(tmp_path: Path):
    path = write_y4m(tmp_path / "a.y4m", noise("yuv420p", 64, 48, 7), "F25:1 It C420jpeg")

    theirs = by_ffmpeg(path, "-vf", "bwdif=send_frame:tff:all", "-fps_mode", "passthrough", "-f", "rawvideo")

    with open_clip(path, probe(path), interlaced="deinterlace") as reader:
        ours = b"".join(digests([frame.planes for frame in reader.frames(range(7))]))
    # Builds of FFmpeg differ at the edge rows of a clip's first frame, which has no frame before it.
    frame_bytes = 64 * 48 * 3 // 2
    assert len(ours) == len(theirs) == 7 * frame_bytes
    assert ours[frame_bytes:] == theirs[frame_bytes:]


def test_a_clip_of_one_frame_and_planar_rgb_are_deinterlaced_too(tmp_path: Path):
    one = write_y4m(tmp_path / "a.y4m", noise("yuv420p", 64, 48, 1), "F25:1 It C420jpeg")
    with open_clip(one, probe(one), interlaced="deinterlace") as reader:
        assert reader.frame_at(0).planes[0].shape == (48, 64)

    red, green, blue = (plane for (plane,) in noise("gray", 64, 48, 3))
    info = probe(one).model_copy(update={"model": "rgb", "pixel_format": "rgb24"})
    (planes,) = deinterlaced([(red, green, blue)], info, top_first=True)
    for plane, woven in zip(planes, (red, green, blue), strict=True):
        np.testing.assert_array_equal(plane[::2], woven[::2])


def moving(way: Any, count: int = 10) -> list[npt.NDArray[np.uint8]]:
    return frames_of(moments(texture("natural", height=96, width=128), 2 * count, right=2), way)


@pytest.mark.parametrize(
    ("way", "order"), [("top first", "top"), ("bottom first", "bottom"), ("progressive", "unknown")]
)
def test_the_order_of_fields_is_seen_in_the_frames(way: Any, order: str):
    with Shown(moving(way)) as reader:
        assert detect_field_order(reader) == order


def test_an_interlaced_clip_is_refused_deinterlaced_or_kept_by_choice(tmp_path: Path):
    path = tmp_path / "a.yuv"
    made = moving("bottom first")
    path.write_bytes(b"".join(frame.tobytes() for frame in made))
    facts: dict[str, Any] = {"id": "a", "media": "raw", "width": 128, "height": 96, "pixel_format": "gray"}
    clip = Clip(**facts)
    info = with_scan(path, probe(path, clip=clip), clip=clip)
    assert (info.scan, info.scan_from, info.field_order) == ("interlaced", "detected", "unknown")

    with pytest.raises(
        DecodeError, match=r"a\.yuv: is interlaced, as its frames show.*`interlaced: deinterlace`"
    ):
        open_clip(path, info, clip=clip, interlaced="refuse")
    with open_clip(path, info, clip=clip, interlaced="keep") as reader:
        np.testing.assert_array_equal(reader.frame_at(3).planes[0], made[3])
    with open_clip(path, info, clip=clip, interlaced="deinterlace") as reader:
        assert isinstance(reader, DeinterlacingReader)
        assert reader.field_order == "bottom"
        np.testing.assert_array_equal(reader.frame_at(3).planes[0][1::2], made[3][1::2])
    declared = Clip(**facts, field_order="top")  # goes before what the frames show
    with open_clip(path, info, clip=declared, interlaced="deinterlace") as reader:
        np.testing.assert_array_equal(reader.frame_at(3).planes[0][::2], made[3][::2])


def test_a_clip_at_rest_is_not_deinterlaced_by_a_guess(tmp_path: Path):
    path = write_y4m(tmp_path / "a.y4m", [formula_planes("yuv420p", 64, 48, 0)] * 5, "F25:1 Im C420jpeg")
    info = probe(path)
    assert (info.scan, info.field_order) == ("interlaced", "unknown")

    with pytest.raises(DecodeError, match="which field of a frame was taken first"):
        open_clip(path, info, interlaced="deinterlace")
    with open_clip(path, info, clip=Clip(id="a", field_order="top"), interlaced="deinterlace") as reader:
        assert reader.frame_at(4).planes[0].shape == (48, 64)


def test_a_progressive_clip_is_left_as_it_is(tmp_path: Path):
    made = noise("yuv420p", 64, 48, 3)
    path = write_y4m(tmp_path / "a.y4m", made, "F25:1 Ip C420jpeg")
    info: VideoInfo = probe(path)

    for choice in ("refuse", "deinterlace", "keep"):
        with open_clip(path, info, interlaced=choice) as reader:  # type: ignore[arg-type]
            np.testing.assert_array_equal(reader.frame_at(1).planes[0], made[1][0])
