"""y4m and raw planes by offset: every header form, every marker, every byte."""

from __future__ import annotations

import os
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import Planes, formula_planes, write_y4m, y4m_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip
from sr_datasets.video import open_clip, probe
from sr_datasets.video.compressed import CompressedReader, probe_compressed


def made_frames(
    pixel_format: str = "yuv420p", count: int = 4, width: int = 34, height: int = 26
) -> list[Planes]:
    return [formula_planes(pixel_format, width, height, index) for index in range(count)]


def assert_planes_equal(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


# The forms of facts/sources.md section 1 ("Exact size of a y4m"), at their own sizes where they are
# small: size, header, bytes of the header line, and what is expected of it.
HEADERS = {
    "CIF at 29.97": (
        352,
        288,
        "F30000:1001 Ip A128:117",
        44,
        "yuv420p",
        Fraction(30000, 1001),
        "center",
        "guessed",
    ),
    "CIF at 30": (352, 288, "F30:1 Ip A128:117", 38, "yuv420p", Fraction(30), "center", "guessed"),
    "QCIF": (176, 144, "F30000:1001 Ip A128:117", 44, "yuv420p", Fraction(30000, 1001), "center", "guessed"),
    "4CIF": (704, 576, "F60:1 Ip A128:117", 38, "yuv420p", Fraction(60), "center", "guessed"),
    "TUM 1080p25": (1920, 1080, "F25:1 Ip A1:1", 36, "yuv420p", Fraction(25), "center", "guessed"),
    "SVT 1080p50": (1920, 1080, "F50:1 Ip A1:1", 36, "yuv420p", Fraction(50), "center", "guessed"),
    "720p60 talkers": (
        1280,
        720,
        "F60:1 Ip A0:0 C420jpeg XYSCSS=420JPEG",
        59,
        "yuv420p",
        Fraction(60),
        "center",
        "tagged",
    ),
    "Netflix 4K": (4096, 2160, "F60:1 Ip A1:1 C420p10", 44, "yuv420p10le", Fraction(60), "left", "guessed"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_the_header_forms_of_the_publishers_are_read(tmp_path: Path, name: str):
    width, height, header, header_bytes, pixel_format, rate, siting, known = HEADERS[name]
    frames = made_frames(pixel_format, 2, width, height)
    path = write_y4m(tmp_path / "a.y4m", frames, header)
    assert path.read_bytes().index(b"\n") + 1 == header_bytes

    info = probe(path)

    assert (info.width, info.height, info.num_frames) == (width, height, 2)
    assert (info.pixel_format, info.frame_rate, info.time_base) == (pixel_format, rate, 1 / rate)
    assert (info.container, info.codec, info.scan) == ("y4m", "rawvideo", "progressive")
    assert (info.color.siting, info.color.siting_from) == (siting, known)
    assert info.color.matrix == ("bt709" if height >= 720 else "bt601")
    with open_clip(path, info) as reader:
        assert_planes_equal(reader.frame_at(1).planes, frames[1])


FORMATS = {
    "": "yuv420p",
    "C420": "yuv420p",
    "C420jpeg": "yuv420p",
    "C420mpeg2": "yuv420p",
    "C420paldv": "yuv420p",
    "C422": "yuv422p",
    "C444": "yuv444p",
    "Cmono": "gray",
    "Cmono10": "gray10le",
    "Cmono16": "gray16le",
    "C420p9": "yuv420p9le",
    "C420p10": "yuv420p10le",
    "C420p12": "yuv420p12le",
    "C420p14": "yuv420p14le",
    "C420p16": "yuv420p16le",
    "C422p10": "yuv422p10le",
    "C444p12": "yuv444p12le",
    "XYSCSS=422": "yuv422p",
    "XYSCSS=420P10": "yuv420p10le",
    "C444 XYSCSS=420JPEG": "yuv444p",
    "C420p10 XYSCSS=420P10 XCOLORRANGE=FULL": "yuv420p10le",
    "C420jpeg XCOLORRANGE=LIMITED": "yuv420p",
}


@pytest.mark.parametrize("header", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(34, 26), (35, 27)])
def test_files_written_by_hand_equal_what_ffmpeg_decodes(
    tmp_path: Path, header: str, width: int, height: int
):
    frames = made_frames(FORMATS[header], 4, width, height)
    path = write_y4m(tmp_path / "a.y4m", frames, f"F30:1 Ip A1:1 {header}")
    ours, theirs = probe(path), probe_compressed(path, None)
    assert ours.num_frames == theirs.num_frames == 4
    assert ours.pixel_format == theirs.pixel_format == FORMATS[header]
    assert (ours.color.range, ours.color.range_from) == (theirs.color.range, theirs.color.range_from)

    with open_clip(path, ours) as one, CompressedReader(path, theirs) as other:
        for index in (3, 0, 2, 1):
            assert_planes_equal(one.frame_at(index).planes, frames[index])
            assert_planes_equal(one.frame_at(index).planes, other.frame_at(index).planes)


def test_chroma_siting_is_read_from_the_variant(tmp_path: Path):
    for variant, siting in (("420jpeg", "center"), ("420mpeg2", "left"), ("420paldv", "topleft")):
        color = probe(write_y4m(tmp_path / "a.y4m", made_frames(), f"F30:1 C{variant}")).color
        assert (color.siting, color.siting_from) == (siting, "tagged")
    color = probe(write_y4m(tmp_path / "a.y4m", made_frames("yuv444p"), "F30:1 C444")).color
    assert color.siting == "none"


def test_interlacing_is_read_from_the_header(tmp_path: Path):
    for letter, scan in (("p", "progressive"), ("t", "interlaced"), ("b", "interlaced"), ("?", "unknown")):
        assert probe(write_y4m(tmp_path / "a.y4m", made_frames(), f"F30:1 I{letter}")).scan == scan
    assert probe(write_y4m(tmp_path / "a.y4m", made_frames(), "F30:1")).scan == "unknown"


def test_a_header_without_a_rate_takes_the_declared_one(tmp_path: Path):
    for header in ("", "F0:0"):
        path = write_y4m(tmp_path / "a.y4m", made_frames(), header)
        assert (probe(path).frame_rate, probe(path).time_base) == (None, 1)
        declared = probe(path, clip=Clip(id="a", frame_rate="24000/1001"))
        assert declared.frame_rate == Fraction(24000, 1001)


@pytest.mark.parametrize("tail", [b"", b"\n"])
@pytest.mark.parametrize("frame_line", ["FRAME", "FRAME Ip", "FRAME It XSOMETHING=1"])
def test_frame_parameters_and_one_stray_newline_are_tolerated(tmp_path: Path, frame_line: str, tail: bytes):
    frames = made_frames(count=5)
    path = tmp_path / "a.y4m"
    path.write_bytes(y4m_bytes(frames, "F30:1 C420jpeg", frame_line=frame_line) + tail)
    info = probe(path)
    assert info.num_frames == 5

    with open_clip(path, info) as reader:
        for frame in reader.frames([4, 1, 3]):
            assert_planes_equal(frame.planes, frames[frame.index])


def test_frames_with_and_without_parameters_may_be_mixed(tmp_path: Path):
    frames = made_frames(count=6)
    whole = y4m_bytes(frames, "F30:1 C420jpeg")
    head = whole.index(b"FRAME")
    size = (len(whole) - head) // 6
    pieces = [whole[head + k * size : head + (k + 1) * size] for k in range(6)]
    pieces[2] = pieces[2].replace(b"FRAME\n", b"FRAME Ip\n", 1)
    path = tmp_path / "a.y4m"
    path.write_bytes(whole[:head] + b"".join(pieces))

    with open_clip(path, probe(path)) as reader:
        for frame in reader.frames(range(6)):
            assert_planes_equal(frame.planes, frames[frame.index])


@settings(max_examples=60, deadline=None)
@given(kept=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path_factory: pytest.TempPathFactory, kept: float):
    data = y4m_bytes(made_frames(), "F30:1 C420jpeg")
    head = data.index(b"FRAME")
    size = (len(data) - head) // 4
    length = int(len(data) * kept)
    path = tmp_path_factory.mktemp("cut") / "a.y4m"
    path.write_bytes(data[:length])
    whole, rest = divmod(length - head, size) if length >= head else (0, -1)

    if rest == 0 and whole:
        assert probe(path).num_frames == whole  # cut between two frames: the file cannot know
        return
    with pytest.raises(DecodeError) as caught:
        probe(path)
    if rest > 0:
        assert f"the file is cut after {whole} whole frames" in str(caught.value)


def test_a_wrong_marker_is_named_by_byte_and_frame(tmp_path: Path):
    data = bytearray(y4m_bytes(made_frames(), "F30:1 C420jpeg"))
    third = [at for at in range(len(data)) if data[at : at + 6] == b"FRAME\n"][2]
    data[third] = ord("X")
    path = tmp_path / "a.y4m"
    path.write_bytes(data)

    with pytest.raises(
        DecodeError, match=rf"at byte {third} of .* frame 2 must begin with FRAME.*2 whole frames"
    ):
        probe(path)


def test_a_marker_that_is_lost_after_the_probe_is_found_when_its_frame_is_read(tmp_path: Path):
    path = write_y4m(tmp_path / "a.y4m", made_frames())
    info = probe(path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"FRAME\n")] = 0
    path.write_bytes(data)

    with open_clip(path, info) as reader:
        reader.frame_at(2)
        with pytest.raises(DecodeError, match="frame 3 must begin with FRAME"):
            reader.frame_at(3)


def test_a_file_that_was_replaced_after_the_probe_is_refused(tmp_path: Path):
    path = write_y4m(tmp_path / "a.y4m", made_frames())
    info = probe(path)
    write_y4m(path, made_frames(count=7))

    with pytest.raises(DecodeError, match="holds 7 frames of 34x26 yuv420p, but had 4"):
        open_clip(path, info)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("F30:1 C411", "chroma format C411"),
        ("F30:1 C444alpha", "chroma format C444alpha"),
        ("F30:1 C420p11", "chroma format C420p11"),
        ("Fabc", "frame rate 'abc'"),
    ],
)
def test_a_header_that_is_not_read_is_named(tmp_path: Path, header: str, message: str):
    with pytest.raises(DecodeError, match=message):
        probe(write_y4m(tmp_path / "a.y4m", made_frames(), header))


def test_headers_without_size_or_frames_are_refused(tmp_path: Path):
    for data, message in (
        (b"YUV4MPEG2 F30:1\nFRAME\n", "no width and height"),
        (b"YUV4MPEG2 W0 H2\nFRAME\n", "no width and height"),
        (b"YUV4MPEG2 W4 H4 F30:1\n", "no frames"),
        (b"YUV4MPEG2 W4 H4 F30:1", "no y4m file"),
        (b"YUV4MPEG25 W4 H4 F30:1\n", "no y4m file"),
    ):
        (tmp_path / "a.y4m").write_bytes(data)
        with pytest.raises(DecodeError, match=message):
            probe(tmp_path / "a.y4m")


def test_samples_beyond_the_depth_are_refused(tmp_path: Path):
    frames = made_frames("yuv420p10le")
    frames[2][1][3, 4] = 1024
    path = write_y4m(tmp_path / "a.y4m", frames, "F30:1 C420p10")

    with (
        open_clip(path, probe(path)) as reader,
        pytest.raises(DecodeError, match="frame 2 has the sample 1024"),
    ):
        list(reader.frames(range(4)))


def test_frames_of_a_sparse_file_of_many_gigabytes_are_read_by_offset(tmp_path: Path):
    frame_bytes = 3840 * 2160 * 3 // 2
    header = b"YUV4MPEG2 W3840 H2160 F60:1 Ip A1:1 C420jpeg\n"
    path = tmp_path / "a.y4m"
    with path.open("wb") as file:
        file.write(header)
        for index in range(500):  # 6.2 GB, of which the disk holds the markers
            file.seek(len(header) + index * (6 + frame_bytes))
            file.write(b"FRAME\n" + bytes([index % 251]))
        file.truncate(len(header) + 500 * (6 + frame_bytes))
    info = probe(path)
    assert info.num_frames == 500

    with open_clip(path, info) as reader:
        for index in (499, 0, 333):
            frame = reader.frame_at(index)
            assert (int(frame.planes[0][0, 0]), int(frame.planes[0][-1, -1]), frame.pts) == (
                index % 251,
                0,
                index,
            )


def raw_clip(path: Path, pixel_format: str, frames: list[Planes], **facts: object) -> Clip:
    path.write_bytes(b"".join(np.ascontiguousarray(plane).tobytes() for planes in frames for plane in planes))
    height, width = frames[0][0].shape
    return Clip.model_validate(
        {"id": "a", "media": "raw", "width": width, "height": height, "pixel_format": pixel_format, **facts}
    )


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuv444p16le", "gray", "yuv420p12le"])
def test_raw_planes_are_read_by_their_declared_geometry(tmp_path: Path, pixel_format: str):
    frames = made_frames(pixel_format, 5, 35, 27)
    path = tmp_path / "a.yuv"
    clip = raw_clip(path, pixel_format, frames, frame_rate="50", range="full", matrix="bt709")
    info = probe(path, clip=clip)
    assert (info.media, info.container, info.num_frames, info.frame_rate) == ("raw", "raw", 5, 50)
    assert (info.color.matrix, info.color.matrix_from) == ("bt709", "declared")
    assert (info.color.range, info.color.range_from) == ("full", "declared")

    with open_clip(path, info, clip=clip) as reader:
        order = list(range(5))
        random.Random(0).shuffle(order)
        for index in order:
            assert_planes_equal(reader.frame_at(index).planes, frames[index])


def test_packed_and_big_endian_raw_planes_become_planes(tmp_path: Path):
    rng = np.random.default_rng(0)
    width, height = 8, 4
    cases = {
        "nv12": (np.uint8, width * height * 3 // 2),
        "uyvy422": (np.uint8, width * height * 2),
        "p010le": (np.uint16, width * height * 3 // 2),
        "yuv420p10be": (np.uint16, width * height * 3 // 2),
        "bgr24": (np.uint8, width * height * 3),
    }
    for pixel_format, (dtype, count) in cases.items():
        data = rng.integers(0, 256 if dtype is np.uint8 else 1024, count).astype(dtype)
        stored = {"p010le": data << 6, "yuv420p10be": data.byteswap()}.get(pixel_format, data)
        path = tmp_path / "a.yuv"
        path.write_bytes(stored.tobytes())
        clip = Clip(id="a", media="raw", width=width, height=height, pixel_format=pixel_format)
        info = probe(path, clip=clip)
        with open_clip(path, info, clip=clip) as reader:
            planes = reader.frame_at(0).planes
        luma, chroma = data[: width * height].reshape(height, width), data[width * height :]
        if pixel_format in ("nv12", "p010le"):
            expected = (luma, chroma[::2].reshape(2, 4), chroma[1::2].reshape(2, 4))
        elif pixel_format == "uyvy422":
            expected = (data[1::2].reshape(4, 8), data[::4].reshape(4, 4), data[2::4].reshape(4, 4))
        elif pixel_format == "bgr24":
            expected = tuple(data[k::3].reshape(4, 8) for k in (2, 1, 0))
        else:
            expected = (luma, chroma[:8].reshape(2, 4), chroma[8:].reshape(2, 4))
        assert_planes_equal(planes, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 36}, "bytes more at the declared 36x27"),
        ({"num_frames": 4}, "are 5 frames at the declared .* the manifest says 4 frames"),
        ({"pixel_format": "yuv411p"}, "pixel format yuv411p, which is not read"),
        ({"pixel_format": None}, "must declare pixel_format"),
        ({"width": None, "height": None}, "must declare width, height"),
    ],
)
def test_a_geometry_that_does_not_fit_the_bytes_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
):
    path = tmp_path / "a.yuv"
    clip = raw_clip(path, "yuv420p", made_frames(count=5, width=35, height=27))
    clip = Clip.model_validate(clip.model_dump() | change)

    with pytest.raises(DecodeError, match=message):
        probe(path, clip=clip)


def test_raw_planes_without_a_manifest_say_what_is_missing(tmp_path: Path):
    path = tmp_path / "a.yuv"
    raw_clip(path, "yuv420p", made_frames())

    with pytest.raises(DecodeError, match="must declare width, height, pixel_format"):
        probe(path)


def test_a_wrong_byte_order_of_raw_planes_shows_in_the_samples(tmp_path: Path):
    path = tmp_path / "a.yuv"
    clip = raw_clip(path, "yuv420p10be", made_frames("yuv420p10le"))

    with pytest.raises(DecodeError, match="10 bits reach 1023 only"):
        probe(path, clip=clip)


def test_a_raw_file_that_is_cut_while_it_is_open_is_refused(tmp_path: Path):
    path = tmp_path / "a.yuv"
    clip = raw_clip(path, "yuv420p", made_frames())
    with open_clip(path, probe(path, clip=clip), clip=clip) as reader:
        os.truncate(path, 4000)
        with pytest.raises(DecodeError, match="the file ends at byte 4000, inside a frame"):
            reader.frame_at(3)


def test_of_a_frame_that_is_only_cut_into_only_the_touched_rows_are_read(tmp_path: Path):
    side = 20000
    header = b"YUV4MPEG2 W%d H%d F60:1 Ip A1:1 C420jpeg\n" % (side, side)
    path = tmp_path / "a.y4m"
    with path.open("wb") as file:
        file.write(header + b"FRAME\n")
        file.seek(len(header) + 6 + 7000 * side + 11)
        file.write(b"\xaa")
        file.truncate(len(header) + 6 + side * side * 3 // 2)  # 600 MB, of which the disk holds a few pages
    info = probe(path)

    def resident() -> int:
        words = dict(
            line.split(":", 1)
            for line in Path("/proc/self/status").read_text("utf-8").splitlines()
            if ":" in line
        )
        return int(words["VmRSS"].split()[0]) << 10

    with open_clip(path, info) as reader:
        before = resident()
        luma = reader.frame_at(0).planes[0]
        window = luma[6990:7010, :20].copy()
        grown = resident() - before

    assert window[10, 11] == 0xAA
    assert int(window.sum(dtype=np.int64)) == 0xAA
    assert grown < 32 << 20


def test_frames_that_are_held_keep_their_samples_while_others_are_read(tmp_path: Path):
    made = made_frames("yuv420p", 9, 256, 128)
    path = write_y4m(tmp_path / "a.y4m", made)

    with open_clip(path, probe(path)) as reader:
        held = list(reader.frames(range(9)))
    for frame, planes in zip(held, made, strict=True):
        assert_planes_equal(frame.planes, planes)
