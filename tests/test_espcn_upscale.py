"""Pictures and videos through a network: pixels, time stamps, tags, pipes, and files that appear whole."""

import io
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from clips import formula_clip, formula_planes, write_y4m
from PIL import Image

import sr_datasets.espcn.upscale as upscale_module
from sr_datasets.color import PlaneLayout
from sr_datasets.degrade import resize_bicubic
from sr_datasets.errors import DecodeError, ModelError
from sr_datasets.espcn.config import EspcnConfig, preset
from sr_datasets.espcn.media import _windows, upscale_file
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.upscale import Upscaler, upscale_luma, upscale_rgb
from sr_datasets.video import open_clip, probe
from sr_datasets.video.streamed import open_stream

pytestmark = pytest.mark.torch


def drawn(scale: int, **changes: Any) -> Espcn:
    model = {"last_gain": 1.0, **changes}
    return Espcn(preset("residual", scale=scale, model=model).model, seed=3)


def nearest(scale: int, **changes: Any) -> Espcn:
    return Espcn(EspcnConfig(scale=scale, residual="nearest", last_gain=0.0, **changes))


def frames_of(path: Path) -> list[tuple[np.ndarray[Any, Any], ...]]:
    info = probe(path)
    with open_clip(path, info) as clip:
        return [frame.planes for frame in clip.frames(range(info.num_frames))]


def upscale(source: object, out: object, model: Espcn, **options: Any) -> Any:
    with Upscaler(model, device="cpu", threads=2) as upscaler:
        return upscale_file(str(source), str(out), upscaler, **options)


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("tile_pixels", [1 << 16, 400])
def test_tiles_give_what_the_whole_plane_gives(monkeypatch: pytest.MonkeyPatch, depth: int, tile_pixels: int):
    monkeypatch.setattr(upscale_module, "_TILE_PIXELS", tile_pixels)
    model = drawn(3)
    luma = (
        np.random.default_rng(0)
        .integers(0, 1 << depth, (37, 61))
        .astype(np.uint8 if depth == 8 else np.uint16)
    )

    with Upscaler(model, device="cpu", threads=2) as upscaler:
        layout = PlaneLayout("gray", bit_depth=depth)
        (made,) = upscaler.submit([[[luma]]], layout).result()

    monkeypatch.setattr(upscale_module, "_TILE_PIXELS", 1 << 20)
    wanted = upscale_luma(model, luma[np.newaxis], bit_depth=depth)[0]
    peak = (1 << depth) - 1
    assert np.abs(made[0] - np.clip(wanted, 0, peak)).max() <= 0.502
    assert made[0].dtype == luma.dtype


@pytest.mark.parametrize("colors", [1, 3])
def test_pixels_of_rgb_are_those_of_the_exact_way(colors: int):
    model = drawn(2, colors=colors)
    rgb = np.random.default_rng(1).integers(0, 256, (3, 21, 30), np.uint8)

    with Upscaler(model, device="cpu", threads=1) as upscaler:
        (made,) = upscaler.submit([[list(rgb)]], PlaneLayout("rgb")).result()

    wanted = np.clip(upscale_rgb(model, rgb.astype(np.float64)), 0, 255)
    assert np.abs(np.stack(made) - wanted).max() <= 0.51


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_centred_chroma_is_that_of_bicubic_and_sited_chroma_stays_on_its_luma(scale: int):
    chroma = np.random.default_rng(2).integers(0, 256, (13, 17), np.uint8)
    luma = np.zeros((26, 34), np.uint8)
    ramp = np.tile(np.arange(17, dtype=np.uint8) * 10, (13, 1))

    def made(plane: Any, siting: Any) -> Any:
        layout = PlaneLayout("yuv", 1, 1, siting=siting, matrix="bt709", range="limited")
        with Upscaler(nearest(scale), device="cpu", threads=1) as upscaler:
            return upscaler.submit([[[luma, plane, plane]]], layout).result()[0][1]

    wanted = np.clip(resize_bicubic(chroma[np.newaxis].astype(float), 13 * scale, 17 * scale)[0], 0, 255)
    assert np.abs(made(chroma, "center") - wanted).max() <= 0.51
    # HR chroma sample j lies on luma column 2j, which was column (2j - (scale - 1) / 2) / scale of LR.
    columns = (2 * np.arange(17 * scale) - (scale - 1) / 2) / scale / 2
    inside = slice(3 * scale, -3 * scale)
    np.testing.assert_allclose(made(ramp, "left")[5, inside], (10 * columns)[inside], atol=0.51)


@pytest.mark.parametrize("upsampling", ["transposed", "resize-nearest", "resize-bilinear"])
def test_every_last_layer_upscales(upsampling: str):
    model = drawn(2, upsampling=upsampling)
    luma = np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8)

    with Upscaler(model, device="cpu", threads=1) as upscaler:
        (made,) = upscaler.submit([[[luma]]], PlaneLayout("gray")).result()

    wanted = np.clip(upscale_luma(model, luma[np.newaxis])[0], 0, 255)
    assert np.abs(made[0] - wanted).max() <= 0.51


def test_narrow_numbers_change_little():
    luma = np.random.default_rng(0).integers(60, 200, (20, 24), np.uint8)
    planes = []
    for precision in ("fp32", "bf16"):
        with Upscaler(preset_network(), device="cpu", threads=1, precision=precision) as upscaler:
            planes.append(upscaler.submit([[[luma]]], PlaneLayout("gray")).result()[0][0].astype(int))

    assert np.abs(planes[0] - planes[1]).max() <= 3


def preset_network() -> Espcn:
    from sr_datasets.espcn.pretrained import open_model

    return open_model("espcn-x3")[1]


@pytest.mark.parametrize(
    ("pixel_format", "chroma"),
    [("yuv420p", "420mpeg2"), ("yuv420p10le", "420p10"), ("yuv422p", "422"), ("yuv422p10le", "422p10"),
     ("yuv444p", "444"), ("yuv444p10le", "444p10"), ("gray", "mono")],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".y4m", ".mkv"])
def test_depth_and_chroma_of_a_video_stay(tmp_path: Path, pixel_format: str, chroma: str, suffix: str):
    clip = [formula_planes(pixel_format, 22, 18, index) for index in range(5)]
    source = write_y4m(tmp_path / "in.y4m", clip, f"F30000:1001 Ip A4:3 C{chroma} XCOLORRANGE=FULL")

    report = upscale(source, tmp_path / f"out{suffix}", nearest(3))

    info, frames = probe(tmp_path / f"out{suffix}"), frames_of(tmp_path / f"out{suffix}")
    assert (info.pixel_format, info.width, info.height, info.num_frames) == (pixel_format, 66, 54, 5)
    assert (info.color.range, info.frame_rate) == ("full", Fraction(30000, 1001))
    assert report.num_frames == 5
    for frame, made in zip(clip, frames, strict=True):
        np.testing.assert_array_equal(made[0], np.kron(frame[0], np.ones((3, 3), frame[0].dtype)))


def test_time_stamps_of_a_variable_rate_and_tags_stay(tmp_path: Path):
    import av

    source, stamps = tmp_path / "in.mp4", [0, 1001, 5005, 6006, 9009]
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 30000)
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        stream.codec_context.color_trc = stream.codec_context.color_primaries = 1
        for index, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((36, 32), 40 * index, np.uint8), "yuv420p")
            frame.pts, frame.time_base = stamp, Fraction(1, 30000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    for name, tolerance in (("out.mp4", 0), ("out.mkv", Fraction(1, 1000))):
        upscale(source, tmp_path / name, nearest(2))
        with open_stream(tmp_path / name) as made:
            times = [frame.pts * made.info.time_base for frame in made]
            tags = made.info.color
            assert made.primaries == 1
        assert all(
            abs(time - Fraction(stamp, 30000)) <= tolerance for time, stamp in zip(times, stamps, strict=True)
        )
        assert (tags.matrix, tags.matrix_from, tags.transfer, tags.range) == (
            "bt709",
            "tagged",
            "bt709",
            "limited",
        )

    report = upscale(source, tmp_path / "out.y4m", nearest(2))
    assert "uneven times" in report.to_text()


def test_a_matrix_that_players_would_guess_by_size_is_tagged(tmp_path: Path):
    formula_clip(tmp_path / "in.mkv", width=400, height=300, num_frames=2)

    upscale(tmp_path / "in.mkv", tmp_path / "out.mkv", nearest(4))

    color = probe(tmp_path / "out.mkv").color
    assert (color.matrix, color.matrix_from) == ("bt601", "tagged")


def test_a_network_of_several_frames_sees_the_neighbours_and_the_end_frames_again(tmp_path: Path):
    model = drawn(2, frames=3)
    torch.nn.init.uniform_(model.conv1.weight, -0.1, 0.1)  # a fresh one looks at the centre frame alone
    clip = [formula_planes("gray", 24, 20, 3 * index) for index in range(4)]
    source = write_y4m(tmp_path / "in.y4m", clip, "F25:1 Ip Cmono")

    upscale(source, tmp_path / "out.y4m", model)

    for index, made in enumerate(frames_of(tmp_path / "out.y4m")):
        window = np.stack([clip[min(max(each, 0), 3)][0] for each in (index - 1, index, index + 1)])
        wanted = upscale_luma(model, window[:, np.newaxis].astype(np.float64))[0]
        assert np.abs(made[0] - np.clip(wanted, 0, 255)).max() <= 0.51


@pytest.mark.parametrize(("length", "count"), [(1, 3), (3, 1), (3, 2), (5, 1), (5, 2), (5, 7)])
def test_each_frame_has_its_window(length: int, count: int):
    half = length // 2
    wanted = [[min(max(i + d, 0), count - 1) for d in range(-half, half + 1)] for i in range(count)]

    assert list(_windows(range(count), length)) == wanted


def test_y4m_goes_through_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clip = [formula_planes("yuv420p", 16, 12, index) for index in range(3)]
    source = write_y4m(tmp_path / "in.y4m", clip)
    taken, given = io.BytesIO(source.read_bytes()), io.BytesIO()
    taken.seekable = lambda: False  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(taken))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(given, write_through=True))

    upscale("-", "-", nearest(2))
    (tmp_path / "out.y4m").write_bytes(given.getvalue())
    monkeypatch.undo()

    assert [frame[0].shape for frame in frames_of(tmp_path / "out.y4m")] == [(24, 32)] * 3


def test_a_pipe_that_claims_frames_of_no_size_is_refused(monkeypatch: pytest.MonkeyPatch):
    taken = io.BytesIO(b"YUV4MPEG2 W999999 H999999 F25:1\nFRAME\n")
    taken.seekable = lambda: False  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(taken))

    with pytest.raises(
        DecodeError, match="standard input: claims frames of 999999x999999; at most 134217728 pixels"
    ):
        upscale("-", "-", nearest(2))


@pytest.mark.parametrize(("depth", "planes"), [(8, 1), (8, 3), (16, 1), (16, 3)])
def test_pictures_keep_depth_and_colours(tmp_path: Path, depth: int, planes: int):
    from sr_datasets.video.writing import write_png

    dtype = np.uint8 if depth == 8 else np.uint16
    picture = np.random.default_rng(0).integers(0, 1 << depth, (planes, 11, 13)).astype(dtype)
    write_png(tmp_path / "in.png", list(picture))

    upscale(
        tmp_path / "in.png", tmp_path / "new" / "out.png", nearest(2, colors=planes if planes == 3 else 1)
    )

    (made,) = frames_of(tmp_path / "new" / "out.png")
    np.testing.assert_array_equal(np.stack(made), np.kron(picture, np.ones((1, 2, 2), dtype)))


def test_a_folder_of_unlike_pictures_becomes_a_folder(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name, size in (("a.png", (8, 9)), ("b.jpg", (12, 10))):
        Image.new("RGB", size, (200, 30, 60)).save(tmp_path / "in" / name)

    report = upscale(tmp_path / "in", tmp_path / "out", nearest(3))

    assert report.num_frames == 2
    sizes = [
        (info.width, info.height) for info in (probe(tmp_path / "out" / name) for name in ("a.png", "b.png"))
    ]
    assert sizes == [(24, 27), (36, 30)]


def test_sound_alone_is_one_sentence(tmp_path: Path):
    import av

    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))

    with pytest.raises(DecodeError, match="holds no video stream"):
        upscale(tmp_path / "a.wav", tmp_path / "out.mkv", nearest(2))
    assert not (tmp_path / "out.mkv").exists()


def test_a_cut_video_leaves_nothing_under_the_final_name(tmp_path: Path):
    source = write_y4m(tmp_path / "in.y4m", [formula_planes("yuv420p", 16, 12, index) for index in range(9)])
    source.write_bytes(source.read_bytes()[:-20])
    (tmp_path / "out.mkv").write_bytes(b"before")

    with pytest.raises(DecodeError, match="cut after 8 whole frames"):
        upscale(source, tmp_path / "out.mkv", nearest(2))

    assert (tmp_path / "out.mkv").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.y4m", "out.mkv"]


def test_what_cannot_be_is_said(tmp_path: Path):
    odd = write_y4m(tmp_path / "odd.y4m", [formula_planes("yuv420p", 15, 12, 0)])
    rgb = tmp_path / "rgb.mkv"
    formula_clip(rgb, pixel_format="gbrp10le", width=16, height=12, num_frames=2)
    for source, out, model, error, words in (
        (odd, "out.mp4", nearest(3), DecodeError, "even sides"),
        (odd, "out.webm", nearest(3), ValueError, "video is written as"),
        (odd, "out.mkv", nearest(2, colors=3), ModelError, "the network takes R'G'B'"),
        (rgb, "out.y4m", nearest(2), DecodeError, "y4m holds grey and Y'CbCr"),
        (rgb, "out.mp4", nearest(2), DecodeError, "ffv1"),
    ):
        with pytest.raises(error, match=words):
            upscale(source, tmp_path / out, model)
        assert not (tmp_path / out).exists()
    upscale(rgb, tmp_path / "out.mkv", nearest(2, colors=3))
    assert probe(tmp_path / "out.mkv").pixel_format == "gbrp10le"


def test_the_threads_of_torch_are_as_before():
    before = torch.get_num_threads()
    with Upscaler(nearest(2), device="cpu", threads=2):
        pass
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("frames", [1, 3])
def test_a_batch_gives_what_single_frames_give(monkeypatch: pytest.MonkeyPatch, frames: int):
    monkeypatch.setattr(upscale_module, "_TILE_PIXELS", 900)
    model, layout = (
        drawn(3, frames=frames),
        PlaneLayout("yuv", 1, 1, siting="left", matrix="bt709", range="limited"),
    )
    clip = [formula_planes("yuv420p", 30, 22, index) for index in range(4)]

    with Upscaler(model, device="cpu", threads=2) as upscaler:
        windows = list(_windows(clip, frames))
        together = upscaler.submit(windows, layout).result()
        single = [upscaler.submit([window], layout).result()[0] for window in windows]

    for ours, theirs in zip(together, single, strict=True):
        for plane, other in zip(ours, theirs, strict=True):
            assert np.abs(plane.astype(int) - other).max() <= 1


def test_the_report_says_that_sound_was_left_out(tmp_path: Path):
    import av

    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        video: Any = container.add_stream("ffv1", rate=25)
        sound: Any = container.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt = 16, 12, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((18, 16), np.uint8), "yuv420p")
        frame.pts = 0
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.int16), "s16", "mono")
        samples.sample_rate, samples.pts = 8000, 0
        for stream, one in ((video, frame), (sound, samples)):
            container.mux(stream.encode(one))
            container.mux(stream.encode(None))

    report = upscale(tmp_path / "in.mkv", tmp_path / "out.mkv", nearest(2))

    assert "Sound was left out" in report.to_text()
    assert f"-i {tmp_path / 'out.mkv'} -i {tmp_path / 'in.mkv'} -map 0:v -map 1:a -c copy" in report.to_text()


@pytest.mark.parametrize("name", ["run:1.mkv", "run:1.mp4", "run:1/out.mkv"])
def test_names_with_a_colon_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    formula_clip(tmp_path / "x:1.mkv", width=16, height=12, num_frames=2)
    upscale("x:1.mkv", name, drawn(2))
    assert len(frames_of(Path(name))) == 2
