"""Pictures and folders of pictures as frames."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip
from sr_datasets.video import open_clip, probe


def coordinates(height: int = 18, width: int = 23, number: int = 0) -> np.ndarray:
    """Return (height, width, 3) uint8: row, column, number."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y, x, np.full_like(x, number)], axis=2).astype(np.uint8)


def read_one(path: Path) -> tuple[np.ndarray, ...]:
    with open_clip(path, probe(path)) as reader:
        return reader.frame_at(0).planes


def write_folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(coordinates(number=number)).save(folder / name)
    return folder


def test_frames_of_a_folder_come_in_the_order_of_their_numbers(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", ["im1.png", "im2.png", "im9.png", "im10.png", "im100.png"])
    info = probe(folder, clip=Clip(id="a", media="frames", frame_rate="30000/1001"))
    assert (info.media, info.container, info.num_frames) == ("frames", "png", 5)
    assert (info.width, info.height, info.pixel_format, info.scan) == (23, 18, "rgb24", "progressive")
    assert str(info.frame_rate) == "30000/1001"
    assert info.time_base == 1 / info.frame_rate

    with open_clip(folder, info) as reader:
        found = [
            (frame.index, int(frame.planes[2][0, 0]), frame.pts) for frame in reader.frames([4, 0, 3, 1, 2])
        ]

    assert found == [(n, n, n) for n in range(5)]


def test_other_and_hidden_files_of_a_folder_are_left_out(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", ["1.png", "2.png"])
    (folder / "README.md").write_text("about")
    (folder / "._1.png").write_bytes(b"junk")
    (folder / "masks.png").mkdir()

    assert probe(folder).num_frames == 2


def test_a_file_that_is_only_named_as_a_picture_is_refused_as_such(tmp_path: Path):
    (tmp_path / "1.png").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(DecodeError, match=r"1\.png: is named as a picture, and holds no PNG"):
        probe(tmp_path / "1.png")


def test_the_odd_one_of_a_folder_is_named(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", ["1.png", "2.png", "3.png"])
    Image.fromarray(coordinates(width=24)).save(folder / "2.png")
    with pytest.raises(DecodeError, match=r"2\.png: is png 24x18 rgb24, but 2 of the 3 pictures"):
        probe(folder)

    Image.fromarray(coordinates()[..., 0]).save(folder / "2.png")
    with pytest.raises(DecodeError, match=r"2\.png: is png 23x18 gray, but 2 of the 3 pictures"):
        probe(folder)

    (folder / "2.png").unlink()
    Image.fromarray(coordinates()).save(folder / "2.jpg")
    with pytest.raises(DecodeError, match=r"2\.jpg: is jpeg 23x18 rgb24, but 2 of the 3 pictures"):
        probe(folder)


def test_a_folder_without_pictures_is_refused(tmp_path: Path):
    with pytest.raises(DecodeError, match="no frames in this folder"):
        probe(tmp_path)


def test_a_cut_picture_of_a_folder_is_named(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", ["1.png", "2.png"])
    noise = np.random.default_rng(0).integers(0, 256, (18, 23, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "2.png")
    data = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(data[: len(data) // 2])

    with pytest.raises(DecodeError, match=r"2\.png: cannot be read as a picture"):
        probe(folder)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_pictures_give_red_green_and_blue_planes(tmp_path: Path, suffix: str):
    pixels = coordinates(number=7)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    info = probe(path)
    assert (info.media, info.container, info.codec, info.num_frames) == ("image", suffix, suffix, 1)
    assert (info.model, info.bit_depth, info.frame_rate) == ("rgb", 8, None)
    assert (info.color.matrix, info.color.range, info.color.transfer) == ("rgb", "full", "iec61966-2-1")

    np.testing.assert_array_equal(np.stack(read_one(path), axis=2), pixels, strict=True)


def test_a_picture_is_known_by_its_bytes_not_its_name(tmp_path: Path):
    Image.fromarray(coordinates()).save(tmp_path / "a.png")
    shutil.move(tmp_path / "a.png", tmp_path / "a.dat")

    assert probe(tmp_path / "a.dat").container == "png"


def test_grey_pictures_stay_one_plane_of_full_range(tmp_path: Path):
    gray = coordinates()[..., 1]
    path = tmp_path / "a.png"
    Image.fromarray(gray).save(path)
    info = probe(path)
    assert (info.model, info.pixel_format, info.color.range) == ("gray", "gray", "full")

    (plane,) = read_one(path)
    np.testing.assert_array_equal(plane, gray, strict=True)


def test_few_bits_of_grey_are_spread_to_eight(tmp_path: Path):
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1").save(tmp_path / "a.png")

    (plane,) = read_one(tmp_path / "a.png")
    np.testing.assert_array_equal(plane, np.array([[0, 255], [255, 0]], np.uint8), strict=True)


def test_palettes_become_colours(tmp_path: Path):
    image = Image.fromarray(coordinates(height=8, width=8)).quantize(64)
    image.save(tmp_path / "a.png")

    np.testing.assert_array_equal(
        np.stack(read_one(tmp_path / "a.png"), axis=2), np.asarray(image.convert("RGB"))
    )


def test_opaque_alpha_is_dropped_and_any_other_refused(tmp_path: Path):
    path = tmp_path / "a.png"
    pixels = np.dstack([coordinates(), np.full((18, 23), 255, np.uint8)])
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(np.stack(read_one(path), axis=2), pixels[..., :3])

    pixels[3, 4, 3] = 0
    Image.fromarray(pixels).save(path)
    with pytest.raises(DecodeError, match=r"a\.png: partly transparent"):
        probe(path)

    Image.fromarray(coordinates()).save(path, transparency=(3, 4, 0))
    with pytest.raises(DecodeError, match=r"a\.png: partly transparent"):
        probe(path)


def write_wide_png(path: Path, pixel_format: str, samples: np.ndarray) -> None:
    """Write a 16-bit PNG with FFmpeg; ``samples`` are (height, width * channels) uint16."""
    with av.open(str(path), "w", format="image2") as container:
        stream: Any = container.add_stream("png", rate=1)
        frame = av.VideoFrame(
            samples.shape[1] // {"rgb48be": 3, "gray16be": 1}[pixel_format], len(samples), pixel_format
        )
        rows = np.zeros((len(samples), frame.planes[0].line_size), np.uint8)
        stored = samples.astype(">u2").view(np.uint8)
        rows[:, : stored.shape[1]] = stored
        frame.planes[0].update(rows.tobytes())
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixel_format
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def test_sixteen_bits_of_a_png_are_kept(tmp_path: Path):
    rng = np.random.default_rng(1)
    for pixel_format, channels, name in (("rgb48be", 3, "rgb48le"), ("gray16be", 1, "gray16le")):
        samples = rng.integers(0, 65536, (18, 23 * channels)).astype(np.uint16)
        path = tmp_path / "a.png"
        write_wide_png(path, pixel_format, samples)
        info = probe(path)
        assert (info.bit_depth, info.pixel_format, info.container, info.codec) == (16, name, "png", "png")

        planes = read_one(path)
        assert len(planes) == channels
        for channel, plane in enumerate(planes):
            np.testing.assert_array_equal(plane, samples[:, channel::channels], strict=True)


def test_a_cut_png_of_sixteen_bits_is_refused(tmp_path: Path):
    path = tmp_path / "a.png"
    write_wide_png(path, "rgb48be", np.random.default_rng(1).integers(0, 65536, (18, 69)).astype(np.uint16))
    path.write_bytes(path.read_bytes()[:900])

    with pytest.raises(DecodeError, match=r"a\.png"):
        probe(path)


def test_jpeg_is_turned_as_its_exif_orientation_says(tmp_path: Path):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    Image.fromarray(np.rot90(upright)).save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif)
    info = probe(tmp_path / "a.jpg")
    assert (info.width, info.height, info.container, info.codec) == (24, 16, "jpeg", "mjpeg")

    planes = read_one(tmp_path / "a.jpg")
    assert int(planes[0][4, 4]) > 250
    assert int(planes[0][12, 20]) < 5


def test_kinds_of_pictures_that_are_not_read_are_named(tmp_path: Path):
    Image.fromarray(coordinates()).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(DecodeError, match=r"a\.jpg: a JPEG with samples of the kind CMYK"):
        probe(tmp_path / "a.jpg")


def test_animated_and_other_pictures_are_no_frames(tmp_path: Path):
    frames = [Image.fromarray(coordinates(number=number)) for number in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(DecodeError, match="an animated PNG"):
        probe(tmp_path / "a.png")

    frames[0].save(tmp_path / "a.tif")
    with pytest.raises(DecodeError, match=r"a\.tif: a picture of a kind that is not read \(tiff_pipe\)"):
        probe(tmp_path / "a.tif")


def test_a_folder_that_changed_after_the_probe_is_refused(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", ["1.png", "2.png"])
    info = probe(folder)
    Image.fromarray(coordinates(width=24)).save(folder / "2.png")
    with (
        open_clip(folder, info) as reader,
        pytest.raises(DecodeError, match=r"2\.png: is 24x18 .* but was 23x18"),
    ):
        reader.frame_at(1)
    (folder / "2.png").unlink()
    with pytest.raises(DecodeError, match="holds 1 pictures, but had 2"):
        open_clip(folder, info)


def test_planes_do_not_share_memory_with_later_frames(tmp_path: Path):
    folder = write_folder(tmp_path / "clip", ["1.png", "2.png", "3.png"])

    with open_clip(folder, probe(folder)) as reader:
        frames = list(reader.frames(range(3)))

    assert [int(frame.planes[2][5, 5]) for frame in frames] == [0, 1, 2]


def test_the_real_picture_sets_are_read(real_data: Path):
    calendar = probe(real_data / "vid4" / "calendar" / "GT")
    assert (calendar.width, calendar.height, calendar.model, calendar.container) == (720, 576, "rgb", "png")
    for path in sorted((real_data / "set5" / "GT").glob("*.png")):
        info = probe(path)
        with Image.open(path) as image:
            assert (info.width, info.height) == image.size
            expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(np.stack(read_one(path), axis=2), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_is_turned_as_its_orientation_says(tmp_path: Path, orientation: int, depth: int):
    from sr_datasets.video.writing import write_png

    planes = list(np.moveaxis(coordinates(), 2, 0))
    write_png(
        tmp_path / "a.png", [plane.astype(np.uint16) * 257 for plane in planes] if depth == 16 else planes
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    data = (tmp_path / "a.png").read_bytes()
    plain = Image.fromarray(coordinates())
    plain.getexif()[0x0112] = orientation
    wanted = np.moveaxis(np.asarray(ImageOps.exif_transpose(plain)), 2, 0)

    for place in (33, len(data) - 12):  # in front of the samples, and behind them
        (tmp_path / "b.png").write_bytes(data[:place] + chunk + data[place:])
        found = np.stack(read_one(tmp_path / "b.png"))
        np.testing.assert_array_equal(
            found, wanted.astype(found.dtype) * (257 if depth == 16 else 1), strict=False
        )
