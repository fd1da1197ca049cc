"""Frame n is the n-th shown frame, on real clips and on clips made to be hard."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from clips import encode, formula_clip, formula_planes, remux, video_frame

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import ClipReader, Frame, open_clip, probe
from sr_datasets.video.compressed import CompressedReader, probe_compressed

# (width, height, frames, pixel format) as ../shared/data/video/README.md has them, with these readings:
# nasa_13013 by its best video stream (the README's row is the first); the rotated one as it is shown.
REAL_CLIPS = {
    "640x360_420p10.y4m": (640, 360, 3, "yuv420p10le"),
    "av1_video.mkv": (640, 360, 125, "yuv420p"),
    "bbb_642x642_vp9.webm": (642, 642, 90, "yuv420p"),
    "bear-vp9.webm": (320, 240, 82, "yuv420p"),
    "bikes.mp4": (640, 272, 250, "yuv420p"),
    "carphone_pristine.mp4": (176, 144, 120, "yuv420p"),
    "h265_10bits.mp4": (200, 200, 30, "yuv420p10le"),
    "nasa_13013.mp4": (480, 270, 390, "yuv420p"),
    "nasa_13013_rotated.mp4": (270, 480, 17, "yuv420p"),
    "newtonscradle.gif": (200, 150, 36, "rgb24"),
    "park_joy_480x270_50p_420p8.y4m": (480, 270, 10, "yuv420p"),
    "roadtrip-vp92-10bit.webm": (426, 240, 72, "yuv420p10le"),
    "small_bunny_1080p_60fps.mp4": (1920, 1080, 120, "yuv420p"),
}
FFMPEG = shutil.which("ffmpeg")


def digest(frame: Frame) -> tuple[str, int]:
    """Return a frame's samples as FFmpeg's framemd5 hashes them, and its pts."""
    md5 = hashlib.md5()
    for plane in frame.planes:
        md5.update(plane.tobytes())
    return md5.hexdigest(), frame.pts


def shuffled(count: int) -> list[int]:
    indices = list(range(count))
    random.Random(5).shuffle(indices)
    return indices


def assert_random_equals_sequential(reader: ClipReader, *, limit: int | None = None) -> list[tuple[str, int]]:
    """Read the clip in order, then frames in a shuffled order; return the digests in order."""
    count = reader.info.num_frames
    in_order = [digest(frame) for frame in reader.frames(range(count))]
    assert len(in_order) == count
    for index in shuffled(count)[:limit]:
        frame = reader.frame_at(index)
        assert frame.index == index
        assert digest(frame) == in_order[index], f"frame {index} is another one by random access"
    # Several at once: decoders may leave out what serves none of them.
    for seed in range(1 if limit else 4):
        some = random.Random(seed).sample(
            range(count), min(count, 2 + count // 8 if limit else 2 + count // 4)
        )
        for frame in reader.frames(some):
            assert digest(frame) == in_order[frame.index], f"frame {frame.index} is another one among {some}"
    return in_order


@pytest.mark.parametrize("name", REAL_CLIPS)
def test_real_clips_have_the_frames_and_the_format_that_are_listed(real_data: Path, name: str):
    info = probe(real_data / "video" / name)

    assert (info.width, info.height, info.num_frames, info.pixel_format) == REAL_CLIPS[name]


@pytest.mark.parametrize("name", REAL_CLIPS)
def test_frames_of_real_clips_by_random_access_equal_the_sequential_decode(real_data: Path, name: str):
    path = real_data / "video" / name
    info = declared_info(path, REAL_CLIPS[name])

    with open_clip(path, info) as reader:
        assert_random_equals_sequential(reader, limit=4 if info.height == 1080 else 15)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL_CLIPS)
def test_every_frame_of_real_clips_by_random_access_equals_the_sequential_decode(real_data: Path, name: str):
    path = real_data / "video" / name

    with open_clip(path, probe(path)) as reader:
        assert_random_equals_sequential(reader)


def declared_info(path: Path, facts: tuple[int, int, int, str]) -> VideoInfo:
    """Probe small clips; take the facts of the table for the large one, to decode it once less."""
    if path.name != "small_bunny_1080p_60fps.mp4":
        return probe(path)
    small = probe(path.with_name("bikes.mp4"))
    width, height, num_frames, _ = facts
    return small.model_copy(update={"width": width, "height": height, "num_frames": num_frames})


@pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg on PATH to compare with")
@pytest.mark.parametrize("name", [name for name in REAL_CLIPS if not name.endswith(".gif")])
def test_frames_equal_those_of_the_ffmpeg_command(real_data: Path, name: str):
    path = real_data / "video" / name
    info = declared_info(path, REAL_CLIPS[name])
    assert FFMPEG is not None
    done = subprocess.run(
        [
            FFMPEG,
            "-v",
            "error",
            "-i",
            path,
            "-an",
            "-sn",
            "-dn",
            "-fps_mode",
            "passthrough",
            "-f",
            "framemd5",
            "-",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]

    with open_clip(path, info) as reader:
        assert [digest(frame)[0] for frame in reader.frames(range(info.num_frames))] == theirs


def test_a_corrupted_clip_is_refused_with_the_frame_that_fails(real_data: Path):
    path = real_data / "video" / "corrupted.mp4"

    with pytest.raises(DecodeError, match=r"corrupted\.mp4: frame 28 of 50 cannot be decoded"):
        probe(path)


def test_the_rotated_clip_is_handed_out_as_it_is_shown(real_data: Path):
    path = real_data / "video" / "nasa_13013_rotated.mp4"
    info = probe(path)
    with av.open(str(path)) as container:
        coded = next(container.decode(video=0))
    assert coded.rotation == 90  # counter-clockwise

    with open_clip(path, info) as reader:
        planes = reader.frame_at(0).planes

    for plane, stored in zip(planes, coded.planes, strict=True):
        rows = np.frombuffer(bytes(stored), np.uint8).reshape(-1, stored.line_size)[:, : stored.width]
        np.testing.assert_array_equal(plane, np.rot90(rows, 1))
    assert (info.color.siting, info.color.siting_from) == ("center", "guessed")


X264 = {"bf": "3", "g": "10", "crf": "30", "preset": "veryfast"}
OPEN_GOP = X264 | {"x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0:bframes=3:b-pyramid=2"}
X265 = {
    "x265-params": "keyint=10:min-keyint=10:open-gop=1:bframes=3:scenecut=0:log-level=none:pools=none:frame-threads=1"
}
HARD_CLIPS: dict[str, dict[str, Any]] = {
    "b-frames.mp4": {"codec": "libx264", "options": X264},
    "b-frames.mkv": {"codec": "libx264", "options": X264},
    "b-frames.ts": {"codec": "libx264", "options": X264},
    "b-frames.flv": {"codec": "libx264", "options": X264},
    "no-pts.avi": {"codec": "libx264", "options": X264},
    "no-pts-open-gop.avi": {"codec": "libx264", "options": OPEN_GOP},
    "no-container.h264": {"codec": "libx264", "options": X264},
    "open-gop.mp4": {"codec": "libx264", "options": OPEN_GOP},
    "open-gop.mkv": {"codec": "libx264", "options": OPEN_GOP},
    "open-gop.ts": {"codec": "libx264", "options": OPEN_GOP},
    "intra-refresh.mp4": {"codec": "libx264", "options": X264 | {"x264-params": "intra-refresh=1:keyint=10"}},
    "ten-bit-422.mp4": {"codec": "libx264", "options": X264, "pixel_format": "yuv422p10le"},
    "odd-444.mp4": {
        "codec": "libx264",
        "options": X264,
        "pixel_format": "yuv444p",
        "width": 65,
        "height": 49,
    },
    "hevc-open-gop.mkv": {"codec": "libx265", "options": X265},
    "hevc-open-gop.mp4": {"codec": "libx265", "options": X265},
    "hidden-frames-vp8.webm": {
        "codec": "libvpx",
        "options": {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "8"},
    },
    "hidden-frames-vp9.webm": {
        "codec": "libvpx-vp9",
        "options": {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8"},
    },
    "mpeg2-open-gop.ts": {"codec": "mpeg2video", "options": {"bf": "2", "g": "10"}},
    "mpeg2-open-gop.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "10"}},
    "mpeg2-open-gop.mkv": {"codec": "mpeg2video", "options": {"bf": "2", "g": "10"}},
    "mpeg4-b-frames.avi": {"codec": "mpeg4", "options": {"bf": "2", "g": "10"}},
    "jpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pixel_format": "yuv422p10le"},
    "late-start.mp4": {"codec": "libx264", "options": X264, "pts": [100 + k for k in range(33)]},
    "late-start.mkv": {"codec": "libx264", "options": X264, "pts": [100 + k for k in range(33)]},
    "varying-rate.mp4": {"codec": "libx264", "options": X264, "pts": [k * k // 3 + k for k in range(33)]},
    "varying-rate.mkv": {"codec": "libx264", "options": X264, "pts": [k * k // 3 + k for k in range(33)]},
}


@pytest.mark.parametrize("name", HARD_CLIPS)
def test_frames_of_hard_clips_by_random_access_equal_the_sequential_decode(tmp_path: Path, name: str):
    path = tmp_path / name
    formula_clip(path, num_frames=33, **HARD_CLIPS[name])
    info = probe(path)
    assert info.num_frames == 33

    with open_clip(path, info) as reader:
        in_order = assert_random_equals_sequential(reader)

    assert len(set(in_order)) == 33
    stamps = [pts for _, pts in in_order]
    assert stamps == sorted(set(stamps))


def test_a_clip_shows_the_same_frames_in_every_container(tmp_path: Path):
    # Encoded once and copied packet by packet: an encoder may choose otherwise the next time.
    source = tmp_path / "clip.mp4"
    formula_clip(source, num_frames=25, codec="libx264", options=OPEN_GOP)
    shown = {}
    for suffix in ("mp4", "mkv", "ts", "h264"):
        path = tmp_path / f"clip.{suffix}"
        if suffix != "mp4":
            remux(source, path)
        with open_clip(path, probe(path)) as reader:
            shown[suffix] = [digest(frame)[0] for frame in reader.frames(range(25))]

    for suffix, digests in shown.items():
        assert digests == shown["mp4"], suffix


LOSSLESS: dict[str, dict[str, Any]] = {
    "plain.mkv": {},
    "odd.mkv": {"width": 65, "height": 49},
    "422.mkv": {"pixel_format": "yuv422p", "width": 65, "height": 49},
    "444.mkv": {"pixel_format": "yuv444p", "width": 65, "height": 49},
    "440.mkv": {"pixel_format": "yuv440p", "width": 65, "height": 49},
    "ten.mkv": {"pixel_format": "yuv420p10le", "width": 65, "height": 49},
    "twelve-444.mkv": {"pixel_format": "yuv444p12le"},
    "sixteen.mkv": {"pixel_format": "yuv420p16le"},
    "gray.mkv": {"pixel_format": "gray"},
    "gray-16.mkv": {"pixel_format": "gray16le"},
    "opaque.mkv": {"pixel_format": "yuva420p"},
    "plain.avi": {},
    "plain.mp4": {},
    "raw.avi": {"codec": "rawvideo"},
    "raw.nut": {"codec": "rawvideo", "pixel_format": "yuv420p10le"},
    "utvideo.avi": {"codec": "utvideo", "pixel_format": "yuv422p"},
    "uneven-times.mkv": {"pts": [0, 1, 2, 5, 9, 10, 11, 17, 30, 31, 32, 50]},
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_clips_give_back_every_sample(tmp_path: Path, name: str):
    path = tmp_path / name
    made = formula_clip(path, **LOSSLESS[name])
    info = probe(path)
    pixel_format = LOSSLESS[name].get("pixel_format", "yuv420p")
    assert info.pixel_format == pixel_format.replace("yuva", "yuv")
    assert info.bit_depth == (8 if made[0][0].dtype == np.uint8 else info.bit_depth)

    with open_clip(path, info) as reader:
        for index in shuffled(len(made)):
            planes = reader.frame_at(index).planes
            for plane, expected in zip(planes, made[index][:3], strict=True):
                np.testing.assert_array_equal(plane, expected, strict=True)


def packed_frames(pixel_format: str, per_row: int) -> list[tuple[np.ndarray]]:
    rng = np.random.default_rng(2)
    frames = [(rng.integers(0, 256, (48, per_row), dtype=np.uint8),) for _ in range(3)]
    if pixel_format in ("rgba", "bgra"):
        for (plane,) in frames:
            plane[:, 3::4] = 255
    return frames


@pytest.mark.parametrize(
    ("name", "pixel_format", "slices", "unpacked"),
    [
        ("a.avi", "uyvy422", [(1, 2), (0, 4), (2, 4)], "yuv422p"),
        ("a.avi", "yuyv422", [(0, 2), (1, 4), (3, 4)], "yuv422p"),
        ("a.mov", "uyvy422", [(1, 2), (0, 4), (2, 4)], "yuv422p"),
        ("a.avi", "bgr24", [(2, 3), (1, 3), (0, 3)], "rgb24"),
        ("a.nut", "rgb24", [(0, 3), (1, 3), (2, 3)], "rgb24"),
        ("a.nut", "rgba", [(0, 4), (1, 4), (2, 4)], "rgb24"),
        ("a.avi", "bgra", [(2, 4), (1, 4), (0, 4)], "rgb24"),
    ],
)
def test_packed_formats_are_taken_apart_into_planes(
    tmp_path: Path, name: str, pixel_format: str, slices: list[tuple[int, int]], unpacked: str
):
    per_row = 64 * {"uyvy422": 2, "yuyv422": 2, "bgr24": 3, "rgb24": 3}.get(pixel_format, 4)
    made = packed_frames(pixel_format, per_row)
    path = encode(tmp_path / name, made, codec="rawvideo", pixel_format=pixel_format)
    info = probe(path)
    assert info.pixel_format == unpacked

    with open_clip(path, info) as reader:
        for frame in reader.frames(range(3)):
            for plane, (start, step) in zip(frame.planes, slices, strict=True):
                np.testing.assert_array_equal(plane, made[frame.index][0][:, start::step], strict=True)


def test_an_avi_stored_from_the_bottom_up_is_read_upright(tmp_path: Path):
    path = encode(tmp_path / "a.avi", packed_frames("bgr24", 192), codec="rawvideo", pixel_format="bgr24")
    data = path.read_bytes()
    at = data.index(b"strf") + 16  # biHeight: negative from the top down, positive from the bottom up
    assert int.from_bytes(data[at : at + 4], "little", signed=True) == -48
    turned = tmp_path / "turned.avi"
    turned.write_bytes(data[:at] + (48).to_bytes(4, "little") + data[at + 4 :])

    with open_clip(path, probe(path)) as upright, open_clip(turned, probe(turned)) as reader:
        for a, b in zip(upright.frame_at(1).planes, reader.frame_at(1).planes, strict=True):
            np.testing.assert_array_equal(a[::-1], b)


def test_planar_rgb_comes_in_the_order_red_green_blue(tmp_path: Path):
    made = [formula_planes("gbrp10le", 64, 48, index) for index in range(2)]
    path = encode(tmp_path / "a.mkv", made, pixel_format="gbrp10le")
    info = probe(path)
    assert (info.model, info.color.matrix, info.color.range) == ("rgb", "rgb", "full")

    with open_clip(path, info) as reader:
        green, blue, red = made[1]
        for plane, expected in zip(reader.frame_at(1).planes, (red, green, blue), strict=True):
            np.testing.assert_array_equal(plane, expected, strict=True)


def test_the_frames_that_an_edit_list_leaves_out_are_not_counted(tmp_path: Path):
    path = tmp_path / "a.mp4"
    formula_clip(path, num_frames=30, codec="libx264", options=X264, rate=Fraction(25))
    whole = probe(path)
    with open_clip(path, whole) as reader:
        digests = [digest(frame)[0] for frame in reader.frames(range(30))]
    data = path.read_bytes()
    at = data.index(b"elst") + 16  # version, flags, count, duration, then the media time of the first entry
    media_time = int.from_bytes(data[at : at + 4], "big")
    later = media_time + 7 * round(1 / whole.time_base / 25)
    path.write_bytes(data[:at] + later.to_bytes(4, "big") + data[at + 4 :])

    info = probe(path)

    assert info.num_frames == 23
    with open_clip(path, info) as reader:
        assert [digest for digest, _ in assert_random_equals_sequential(reader)] == digests[7:]


def test_frames_keep_their_samples_while_later_ones_are_decoded(tmp_path: Path):
    path = tmp_path / "a.mp4"
    formula_clip(path, num_frames=40, codec="libx264", options=X264)

    with open_clip(path, probe(path)) as reader:
        kept, at_once = [], []
        for frame in reader.frames(range(40)):
            kept.append(frame)
            at_once.append(digest(frame))

    assert [digest(frame) for frame in kept] == at_once


def test_decoder_threads_change_no_sample(tmp_path: Path):
    path = tmp_path / "a.mp4"
    formula_clip(path, num_frames=40, codec="libx264", options=OPEN_GOP)
    info = probe(path)
    assert probe(path, threads=3) == info

    with open_clip(path, info) as one, open_clip(path, info, threads=3) as three:
        assert_random_equals_sequential(three)
        assert [digest(f) for f in one.frames(range(40))] == [digest(f) for f in three.frames(range(40))]


def test_only_the_frames_from_the_keyframe_on_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.mkv"
    formula_clip(path, num_frames=60, codec="libx264", options=X264 | {"bf": "0"})
    reader = open_clip(path, probe(path))
    assert isinstance(reader, CompressedReader)
    decoded = []
    monkeypatch.setattr(
        "sr_datasets.video.stream.VideoFile.decode",
        lambda self, packets, needed: (decoded.append(f) or f for packet in packets for f in packet.decode()),
    )

    with reader:
        assert [frame.index for frame in reader.frames([55, 34, 36, 34])] == [34, 36, 55]

    assert len(decoded) <= 7 + 10  # 30..36 and 50..55, and what the decoder has in hand


def test_pictures_that_serve_no_other_are_left_out_and_none_past_the_last_is_decoded(tmp_path: Path):
    path = tmp_path / "a.mp4"
    formula_clip(
        path, num_frames=60, codec="libx264", options=X264 | {"g": "60", "bf": "3", "b_strategy": "0"}
    )
    info = probe(path)
    wanted = [7, 22, 41]

    with CompressedReader(path, info) as reader:
        some = [digest(frame) for frame in reader.frames(wanted)]
        assert reader.frames_decoded < 30  # of the 42 up to the last
        # Later calls see every frame, also those that were left out.
        whole = [digest(frame) for frame in reader.frames(range(60))]
        assert some == [whole[index] for index in wanted]
        assert [digest(reader.frame_at(index)) for index in (40, 41, 42, 8)] == [
            whole[index] for index in (40, 41, 42, 8)
        ]


def test_two_readings_of_one_reader_may_take_turns(tmp_path: Path):
    path = tmp_path / "a.mp4"
    formula_clip(path, num_frames=40, codec="libx264", options=X264)

    with open_clip(path, probe(path)) as reader:
        whole = [digest(frame) for frame in reader.frames(range(40))]
        one, other = reader.frames([3, 14, 29]), reader.frames([5, 13, 30])
        turns = [(digest(a), digest(b)) for a, b in zip(one, other, strict=True)]

    assert turns == [(whole[a], whole[b]) for a, b in ((3, 5), (14, 13), (29, 30))]


def test_frames_are_cropped_as_the_stream_says_and_keep_their_shape_of_a_sample(tmp_path: Path):
    plain, cropped = tmp_path / "plain.h264", tmp_path / "cropped.h264"
    formula_clip(plain, codec="libx264", options=X264 | {"crf": "10"})
    crops = "crop_left=4:crop_right=6:crop_top=2:crop_bottom=8:sample_aspect_ratio=16/11"
    with av.open(str(plain)) as given, cropped.open("wb") as file:
        video = given.streams.video[0]
        bits = BitStreamFilterContext(f"h264_metadata={crops}", video)
        for packet in given.demux(video):
            for changed in bits.filter(packet if packet.size else None):
                file.write(bytes(changed))
    whole, info = probe(plain), probe(cropped)
    assert (whole.width, whole.height, info.width, info.height) == (64, 48, 54, 38)
    with av.open(str(cropped)) as container:
        assert container.streams.video[0].codec_context.sample_aspect_ratio == Fraction(16, 11)

    with open_clip(plain, whole) as full, open_clip(cropped, info) as reader:
        for a, b in zip(full.frame_at(7).planes, reader.frame_at(7).planes, strict=True):
            step = len(a) / 48
            top, left = round(2 * step), round(4 * step)
            np.testing.assert_array_equal(b, a[top : top + b.shape[0], left : left + b.shape[1]])
        assert_random_equals_sequential(reader)


def test_an_index_outside_the_clip_is_a_wrong_argument(tmp_path: Path):
    path = tmp_path / "a.mkv"
    formula_clip(path)

    with open_clip(path, probe(path)) as reader:
        for index in (-1, 12):
            with pytest.raises(ValueError, match=rf"no frame {index}; the clip has frames 0\.\.11"):
                reader.frames([3, index])


def test_a_transparent_frame_is_refused_by_its_number(tmp_path: Path):
    made = [formula_planes("yuva420p", 64, 48, index) for index in range(5)]
    made[3][3][10, 20] = 254
    path = encode(tmp_path / "a.mkv", made, pixel_format="yuva420p")

    with pytest.raises(DecodeError, match="frame 3 is partly transparent"):
        probe(path)


def test_a_change_of_size_on_the_way_is_refused_by_its_frame(tmp_path: Path):
    for number, width in enumerate((64, 96)):
        formula_clip(tmp_path / f"{number}.h264", width=width, num_frames=5, codec="libx264", options=X264)
    path = tmp_path / "both.h264"
    path.write_bytes((tmp_path / "0.h264").read_bytes() + (tmp_path / "1.h264").read_bytes())

    with pytest.raises(DecodeError, match="frame 5 is 96x48 yuv420p, but the frames before it are 64x48"):
        probe(path)


def test_a_pixel_format_that_is_not_read_is_named(tmp_path: Path):
    frames = [video_frame(formula_planes("yuv444p", 64, 48, 0), "yuv444p").reformat(format="yuv411p")]
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv411p"
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                container.mux(packet)

    with pytest.raises(DecodeError, match="pixel format yuv411p, which is not read here"):
        probe(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi", "a.nut"])
@pytest.mark.parametrize("part", [0.4, 0.95])
def test_a_cut_clip_is_refused(tmp_path: Path, name: str, part: float):
    path = tmp_path / name
    formula_clip(path, num_frames=30, codec="rawvideo" if name == "a.nut" else "ffv1")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])

    with pytest.raises(DecodeError, match=rf"{name}: .*(cut|damaged)"):
        probe(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi"])
def test_a_clip_that_is_cut_between_two_frames_is_refused(tmp_path: Path, name: str):
    path = tmp_path / name
    formula_clip(
        path, num_frames=30, container_options={"movflags": "faststart"} if name == "a.mp4" else None
    )
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        end = (packets[-2].pos or 0) + packets[-2].size + (8 if name == "a.avi" else 0)
    path.write_bytes(path.read_bytes()[:end])

    with pytest.raises(DecodeError, match=rf"{name}: the file is cut: it has \d+ bytes"):
        probe(path)


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        ("mpeg2video", "was patched up by the decoder"),
        ("libx264", "was patched up"),
        ("ffv1", "its own checksum"),
    ],
)
def test_a_frame_that_the_decoder_patched_up_is_refused(tmp_path: Path, codec: str, message: str):
    path = tmp_path / "a.mkv"
    formula_clip(path, width=176, height=144, num_frames=30, codec=codec, options={"g": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 30] = bytes(30)
    path.write_bytes(data)

    with pytest.raises(DecodeError, match=rf"a\.mkv: frame \d+ .*{message}"):
        probe(path)


def test_what_is_no_video_is_refused_without_a_traceback(tmp_path: Path):
    files = {
        "page.mp4": b"<!DOCTYPE html><html><title>Not found</title></html>" * 50,
        "notes.txt": b"Frames of a clip\n" * 500,
        "list.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nclip.ts\n#EXT-X-ENDLIST\n",
        "empty.mp4": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DecodeError, match=name):
            probe(tmp_path / name)
    with pytest.raises(DecodeError, match=r"absent\.mp4: cannot be opened"):
        probe(tmp_path / "absent.mp4")


def test_a_file_with_sound_only_is_refused(tmp_path: Path):
    path = tmp_path / "sound.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)

    with pytest.raises(DecodeError, match="no video stream"):
        probe(path)


def test_a_replaced_file_is_not_read_as_the_one_that_was_probed(tmp_path: Path):
    path = tmp_path / "a.mkv"
    formula_clip(path, num_frames=12)
    info = probe(path)
    formula_clip(path, num_frames=9)

    with open_clip(path, info) as reader, pytest.raises(DecodeError, match="shows 9 frames, but had 12"):
        reader.frame_at(10)


def test_interlaced_clips_say_so(tmp_path: Path):
    path = tmp_path / "a.mp4"
    formula_clip(path, codec="libx264", options=X264 | {"flags": "+ildct+ilme"})
    assert probe(path).scan == "interlaced"

    formula_clip(path, codec="libx264", options=X264)
    assert probe(path).scan == "progressive"


def test_colour_is_declared_before_it_is_tagged_and_tagged_before_it_is_guessed(tmp_path: Path):
    tagged = tmp_path / "tagged.mp4"
    formula_clip(
        tagged, codec="libx264", options=X264, tags={"colorspace": 9, "color_range": 2, "color_trc": 16}
    )
    plain = tmp_path / "plain.mp4"
    formula_clip(plain, codec="libx264", options=X264)
    clip = Clip(id="a", matrix="bt709", range="limited")

    color = probe(tagged).color
    assert (color.matrix, color.range, color.transfer) == ("bt2020nc", "full", "smpte2084")
    assert (color.matrix_from, color.range_from, color.transfer_from) == ("tagged", "tagged", "tagged")
    color = probe(tagged, clip=clip).color
    assert (color.matrix, color.range, color.matrix_from, color.range_from) == (
        "bt709",
        "limited",
        "declared",
        "declared",
    )
    color = probe(plain).color
    assert (color.matrix, color.range, color.transfer, color.siting) == ("bt601", "limited", "bt709", "left")
    assert {color.matrix_from, color.range_from, color.transfer_from, color.siting_from} == {"guessed"}


@pytest.mark.parametrize(
    ("width", "height", "matrix"), [(1280, 534, "bt709"), (720, 576, "bt601"), (608, 1080, "bt709")]
)
def test_the_guessed_matrix_follows_the_size(tmp_path: Path, width: int, height: int, matrix: str):
    path = tmp_path / "a.mkv"
    formula_clip(path, width=width, height=height, num_frames=1)

    assert probe(path).color.matrix == matrix


def test_a_matrix_that_is_not_read_is_refused_until_one_is_declared(tmp_path: Path):
    path = tmp_path / "a.mp4"
    formula_clip(path, codec="libx264", options=X264, tags={"colorspace": 8})

    with pytest.raises(DecodeError, match="tagged with the matrix YCgCo"):
        probe(path)
    assert probe(path, clip=Clip(id="a", matrix="bt709")).color.matrix_from == "declared"


def test_jpeg_video_is_full_range_with_centred_chroma(tmp_path: Path):
    path = tmp_path / "a.avi"
    formula_clip(path, codec="mjpeg", pixel_format="yuvj420p")
    color = probe(path).color

    assert (color.range, color.range_from, color.siting) == ("full", "tagged", "center")


def turned_clip(path: Path, matrix: tuple[int, int, int, int], **how: Any) -> Path:
    """Write a display matrix a, b, c, d into the track header of an mp4."""
    formula_clip(path, num_frames=3, codec="libx264", options=X264 | {"crf": "10"}, **how)
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44  # a version 0 track header; its matrix is nine 32-bit numbers
    a, b, c, d = (value.to_bytes(4, "big", signed=True) for value in matrix)
    zero = bytes(4)
    path.write_bytes(data[:at] + a + b + zero + c + d + zero + data[at + 24 :])
    return path


ONE = 65536


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, ONE, -ONE, 0), lambda plane: np.rot90(plane, -1)),
        ((0, -ONE, ONE, 0), lambda plane: np.rot90(plane, 1)),
        ((-ONE, 0, 0, -ONE), lambda plane: np.rot90(plane, 2)),
        ((-ONE, 0, 0, ONE), lambda plane: plane[:, ::-1]),
        ((ONE, 0, 0, -ONE), lambda plane: plane[::-1]),
        ((0, ONE, ONE, 0), lambda plane: plane.T),
    ],
)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p"])
def test_turned_and_mirrored_clips_keep_every_sample(
    tmp_path: Path, matrix: Any, turn: Any, pixel_format: str
):
    plain = tmp_path / "plain.mp4"
    formula_clip(
        plain, num_frames=3, codec="libx264", options=X264 | {"crf": "10"}, pixel_format=pixel_format
    )
    path = turned_clip(tmp_path / "turned.mp4", matrix, pixel_format=pixel_format)
    info = probe(path)

    with open_clip(plain, probe(plain)) as upright, open_clip(path, info) as reader:
        for a, b in zip(upright.frame_at(1).planes, reader.frame_at(1).planes, strict=True):
            np.testing.assert_array_equal(b, turn(a))
    assert (info.height, info.width) == turn(np.empty((48, 64))).shape
    chroma = turn(np.empty((48, 32) if pixel_format == "yuv422p" else (24, 32))).shape
    assert chroma == (info.height >> info.chroma_log2_y, info.width >> info.chroma_log2_x)


def test_a_clip_turned_by_other_than_a_quarter_is_refused(tmp_path: Path):
    path = turned_clip(tmp_path / "a.mp4", (46341, 46341, -46341, 46341))

    with pytest.raises(DecodeError, match="quarter turns and flips"):
        probe(path)


def test_pyav_and_our_y4m_reader_agree_on_real_clips(real_data: Path):
    for name in ("640x360_420p10.y4m", "park_joy_480x270_50p_420p8.y4m"):
        path = real_data / "video" / name
        ours, theirs = probe(path), probe_compressed(path, None)
        assert (ours.num_frames, ours.pixel_format, ours.time_base) == (
            theirs.num_frames,
            theirs.pixel_format,
            theirs.time_base,
        )
        with open_clip(path, ours) as one, CompressedReader(path, theirs) as other:
            for a, b in zip(one.frames(range(3)), other.frames(range(3)), strict=True):
                assert digest(a) == digest(b)
