"""The generated source: the same bytes everywhere, and pictures that super-resolution can learn from."""

import ast
import hashlib
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from sr_datasets.catalog import find_clip, find_recipe, find_source, select
from sr_datasets.color import PlaneLayout, window
from sr_datasets.degrade import degrade_frame, resize_bicubic
from sr_datasets.errors import SelectionError
from sr_datasets.fetch import generated
from sr_datasets.fetch.generated import CLIPS, generate
from sr_datasets.fetch.generated.camera import FULL, PIXEL, Layer, Motion, to_yuv420
from sr_datasets.fetch.generated.font import glyph
from sr_datasets.fetch.generated.integers import TURN, UNIT, Draws, cosine, lattice, mix, sine
from sr_datasets.fetch.generated.pages import _WORDS
from sr_datasets.fetch.generated.painting import Canvas, Material
from sr_datasets.fetch.generated.scenes import SCENES, ClipSpec, build_layers
from sr_datasets.metrics import psnr
from sr_datasets.progress import Silent
from sr_datasets.recipe import Bicubic
from sr_datasets.video import open_clip, probe

EVERY_CLIP = pytest.mark.parametrize("clip_id", list(CLIPS))
EVERY_SCENE = pytest.mark.parametrize("scene", list(SCENES))


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that generates a clip once and says where it is."""
    folder = tmp_path_factory.mktemp("demo")

    @cache
    def path_of(clip_id: str) -> Path:
        path = folder / f"{clip_id}.y4m"
        generate(clip_id, path, progress=Silent())
        return path

    return path_of


def planes_of(data: bytes, width: int, height: int) -> list[list[np.ndarray]]:
    """Cut a 4:2:0 y4m file by its own arithmetic; each frame as Y, Cb, Cr."""
    header, _, rest = data.partition(b"\n")
    assert header.startswith(b"YUV4MPEG2 ")
    luma, chroma = width * height, width * height // 4
    frames = []
    while rest:
        assert rest[:6] == b"FRAME\n"
        payload, rest = (
            np.frombuffer(rest[6 : 6 + luma + 2 * chroma], np.uint8),
            rest[6 + luma + 2 * chroma :],
        )
        assert payload.size == luma + 2 * chroma
        y, cb, cr = np.split(payload, (luma, luma + chroma))
        frames.append([y.reshape(height, width), cb.reshape(height // 2, -1), cr.reshape(height // 2, -1)])
    return frames


def luma_of(path: Path, clip_id: str) -> np.ndarray:
    spec = CLIPS[clip_id]
    return np.stack([frame[0] for frame in planes_of(path.read_bytes(), spec.width, spec.height)])


def spectrum_slope(luma: np.ndarray, lowest: float, highest: float) -> float:
    """Fit a power law to the radial mean of the power spectrum between two frequencies in cycles per pixel."""
    height, width = luma.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((luma - luma.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    edges = np.geomspace(lowest, highest, 13)
    rings = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    middle = np.log(np.sqrt(edges[:-1] * edges[1:]))
    return float(np.polyfit(middle, [np.log(power[ring].mean()) for ring in rings], 1)[0])


@EVERY_CLIP
def test_each_clip_has_the_bytes_that_the_manifest_names(clip_id, clip_path):
    data = clip_path(clip_id).read_bytes()

    clip = find_clip(find_source("demo"), clip_id)
    assert len(data) == clip.size_bytes == CLIPS[clip_id].size_bytes
    assert hashlib.sha256(data).hexdigest() == clip.sha256


def test_the_manifest_lists_exactly_the_clips_that_can_be_generated():
    clips = find_source("demo").clips

    assert [clip.id for clip in clips] == list(CLIPS)
    for clip in clips:
        spec = CLIPS[clip.id]
        assert (clip.width, clip.height, clip.frame_rate, clip.num_frames) == (
            spec.width,
            spec.height,
            spec.frame_rate,
            spec.num_frames,
        )
        assert set(clip.evidence) >= {"size_bytes", "sha256", "width", "height", "frame_rate", "num_frames"}
    assert any(
        clip.width % 3 and clip.height % 3 and clip.width % 4 and clip.height % 4 for clip in CLIPS.values()
    )
    assert {spec.frame_rate for spec in CLIPS.values()} == {Fraction(25), Fraction(30000, 1001)}
    assert sum(spec.size_bytes for spec in CLIPS.values()) < 60e6


@EVERY_CLIP
def test_each_clip_is_a_y4m_of_whole_frames_in_the_studio_range(clip_id, clip_path):
    spec = CLIPS[clip_id]
    frames = planes_of(clip_path(clip_id).read_bytes(), spec.width, spec.height)

    assert len(frames) == spec.num_frames
    for luma, cb, cr in frames:
        assert luma.min() >= 16
        assert luma.max() <= 235
        assert luma.std() > 20
        for chroma in (cb, cr):
            assert chroma.min() >= 16
            assert chroma.max() <= 240
            assert chroma.std() > 2


@pytest.mark.parametrize("clip_id", ["leaves_2", "movers_2"])
def test_the_reader_sees_the_size_the_rate_and_the_colours_of_the_manifest(clip_id, clip_path):
    path, clip = clip_path(clip_id), find_clip(find_source("demo"), clip_id)

    info = probe(path, clip=clip)

    assert (info.width, info.height, info.num_frames) == (clip.width, clip.height, clip.num_frames)
    assert (info.frame_rate, info.pixel_format) == (clip.frame_rate, "yuv420p")
    assert (info.color.matrix, info.color.range, info.color.siting) == ("bt601", "limited", "left")
    assert probe(path).color.matrix == "bt601"  # what a player guesses is what was meant
    with open_clip(path, info, clip=clip) as reader:
        last = reader.frame_at(info.num_frames - 1)
    np.testing.assert_array_equal(last.planes[0], luma_of(path, clip_id)[-1])


@EVERY_CLIP
def test_power_falls_about_as_one_over_the_square_of_frequency(clip_id, clip_path):
    luma = luma_of(clip_path(clip_id), clip_id).astype(float)

    slope = np.mean([spectrum_slope(frame, 0.02, 0.25) for frame in luma[::5]])

    # Natural pictures: 2, give or take the scene. Dead leaves with a smallest leaf are steeper beyond its size.
    assert -2.75 < slope < -1.7, slope


@EVERY_CLIP
def test_frames_move_but_belong_together(clip_id, clip_path):
    luma = luma_of(clip_path(clip_id), clip_id).astype(float)

    near = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairwise(luma)]
    assert 0.6 < min(near) <= max(near) < 0.999
    assert np.corrcoef(luma[0].ravel(), luma[-1].ravel())[0, 1] < min(near)


def test_no_two_frames_of_all_clips_are_the_same(clip_path):
    digests = [
        hashlib.sha256(plane.tobytes()).digest()
        for clip_id in CLIPS
        for plane in luma_of(clip_path(clip_id), clip_id)
    ]

    assert len(set(digests)) == len(digests) == sum(spec.num_frames for spec in CLIPS.values())


def test_every_kind_of_scene_is_trained_on_and_held_out():
    recipe = find_recipe("demo")
    splits = {
        split: [chosen.clip.id for chosen in select(patterns)]
        for split, patterns in recipe.split.clips.items()
    }

    held_out = [clip_id for split, ids in splits.items() if split != "train" for clip_id in ids]
    assert sorted(splits["train"] + held_out) == sorted(CLIPS)
    for ids in (splits["train"], held_out):
        assert {CLIPS[clip_id].scene for clip_id in ids} == set(SCENES)
    assert len({spec.seed for spec in CLIPS.values()}) == len(CLIPS)


@EVERY_CLIP
def test_bicubic_leaves_detail_to_be_learned(clip_id, clip_path):
    luma = luma_of(clip_path(clip_id), clip_id)[0]
    hr = luma[None, : luma.shape[0] // 3 * 3, : luma.shape[1] // 3 * 3]

    lr = degrade_frame(hr, Bicubic(), 3)
    sr = resize_bicubic(lr.astype(np.float64), hr.shape[1], hr.shape[2])

    inner = np.s_[:, 3:-3, 3:-3]
    assert 24.5 < psnr(np.clip(np.round(sr), 0, 255)[inner], hr[inner]) < 33


def test_an_unknown_clip_is_named_with_its_neighbours(tmp_path):
    with pytest.raises(SelectionError, match=r"demo/leafs_1 is not a generated clip.*Did you mean leaves_1"):
        generate("leafs_1", tmp_path / "x.y4m", progress=Silent())
    assert not any(tmp_path.iterdir())


def test_the_code_has_no_floating_point_number_and_no_division_that_makes_one():
    for path in Path(generated.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            place = f"{path.name}:{getattr(node, 'lineno', 0)}"
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), place
            assert not (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)), place
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                assert name not in {
                    "float",
                    "float32",
                    "float64",
                    "random",
                    "mean",
                    "linspace",
                    "sqrt",
                    "dot",
                }, place
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                # An array of a platform's own integers could be 32 or 64 bits wide.
                named = {keyword.arg for keyword in node.keywords}
                if node.func.attr in {"arange", "array", "full"}:
                    assert "dtype" in named, place


@EVERY_SCENE
def test_no_float_appears_while_a_clip_is_made(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "CLIPS", {"tiny": ClipSpec(scene, 1, 96, 64, Fraction(25), 2)})
    folder, seen, floats = str(Path(generated.__file__).parent), set(), []

    def watch(frame: FrameType, event: str, value: object) -> None:
        if event != "return" or not frame.f_code.co_filename.startswith(folder):
            return
        for name, held in [*frame.f_locals.items(), ("returned", value)]:
            for item in held if isinstance(held, list | tuple) else [held]:
                if isinstance(item, np.ndarray):
                    seen.add(item.dtype.name)
                    if item.dtype.kind not in "iub":
                        floats.append((frame.f_code.co_name, name))
                elif isinstance(item, float):
                    floats.append((frame.f_code.co_name, name))

    sys.setprofile(watch)
    try:
        generate("tiny", tmp_path / "tiny.y4m", progress=Silent())
    finally:
        sys.setprofile(None)

    assert floats == []
    assert {"int32", "uint16", "uint64", "bool"} <= seen


@EVERY_SCENE
def test_the_camera_never_looks_beyond_the_canvas(scene):
    spec = ClipSpec(scene, 7, 96, 64, Fraction(25), 5)
    ground = build_layers(spec)[0]

    for frame_index in range(spec.num_frames):
        over_black = np.zeros((3, spec.height, spec.width), np.uint16)
        over_white = np.full_like(over_black, FULL)
        ground.draw(over_black, frame_index)
        ground.draw(over_white, frame_index)
        np.testing.assert_array_equal(over_black, over_white)


def test_a_clip_is_a_function_of_its_seed(tmp_path, monkeypatch):
    size = (96, 64, Fraction(25), 2)
    monkeypatch.setattr(
        generated,
        "CLIPS",
        {
            "a": ClipSpec("leaves", 1, *size),
            "again": ClipSpec("leaves", 1, *size),
            "b": ClipSpec("leaves", 2, *size),
        },
    )
    for clip_id in ("a", "again", "b"):
        generate(clip_id, tmp_path / clip_id, progress=Silent())

    assert (tmp_path / "a").read_bytes() == (tmp_path / "again").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_splitmix64_gives_the_published_sequence():
    assert mix(1234567) == 6457827717110365317
    assert [Draws(5)._next(), Draws(5)._next()] == [mix(mix(5))] * 2
    values = lattice(9, 3, 4)
    golden = 0x9E3779B97F4A7C15
    expected = [(mix((mix(9) + (n - 1) * golden) % 2**64) >> 56) - 128 for n in range(12)]
    assert values.reshape(-1).tolist() == expected


def test_the_sine_of_whole_numbers_is_close_to_the_sine():
    for angle in range(-TURN, 2 * TURN, 331):
        assert abs(sine(angle) / UNIT - math.sin(2 * math.pi * angle / TURN)) < 0.0017
        assert abs(cosine(angle) / UNIT - math.cos(2 * math.pi * angle / TURN)) < 0.0017


def test_radii_follow_the_inverse_cube():
    draws = Draws(3)
    radii = np.sort([draws.radius(10, 400) for _ in range(20_000)])

    # P(r < x) = (1 / 10^2 - 1 / x^2) / (1 / 10^2 - 1 / 400^2)
    for x in (12, 20, 50, 150):
        expected = (1e-2 - 1 / x**2) / (1e-2 - 1 / 400**2)
        assert abs(np.searchsorted(radii, x) / len(radii) - expected) < 0.015
    assert radii[0] >= 10
    assert radii[-1] <= 400


def test_the_font_has_every_character_that_is_written():
    for character in {c for word in _WORDS for c in word + word.upper() + word.capitalize()}:
        assert glyph(character, 40, 6, 0).mask.any()


def test_a_letter_turns_with_its_line():
    level, upright = glyph("L", 120, 9, 0), glyph("L", 120, 9, -TURN // 4)

    # Turned a quarter to the left, columns become rows; the pen starts at the same point.
    turned = np.rot90(level.mask)
    assert abs(turned.shape[0] - upright.mask.shape[0]) <= 1
    height, width = (min(pair) for pair in zip(turned.shape, upright.mask.shape, strict=True))
    assert (turned[:height, :width] == upright.mask[:height, :width]).mean() > 0.97
    assert (upright.top, upright.left) == pytest.approx((-level.left - level.mask.shape[1], level.top), abs=2)


def test_what_is_painted_first_stays_in_front():
    canvas = Canvas(40, 40, draws=Draws(0))
    canvas.paint("ellipse", 20, 20, 8, 8, 0, Material(rgb=(200, 10, 10)))
    canvas.paint("board", 20, 20, 15, 10, 0, Material(rgb=(10, 200, 10)))

    points = canvas.render()

    assert points[20, 20].tolist() == [200, 10, 10, 255]
    assert points[20, 33].tolist() == [10, 200, 10, 255]
    assert points[2, 2].tolist() == [0, 0, 0, 0]
    assert canvas.num_free == 40 * 40 - 31 * 21


@pytest.mark.parametrize("shape", ["ellipse", "leaf", "board"])
def test_the_few_free_points_of_a_shape_are_found_as_the_many_are(shape):
    blank, dotted = Canvas(64, 64, draws=Draws(0)), Canvas(64, 64, draws=Draws(0))
    for y in range(0, 64, 2):  # three quarters and more of the points are taken
        dotted.paint("board", 32, y, 64, 0, 0, Material(rgb=(1, 1, 1)))
    for x in range(1, 64, 4):
        dotted.paint("board", x, 32, 1, 64, 0, Material(rgb=(1, 1, 1)))
    free = dotted.render()[..., 3] == 0
    assert 0 < free.mean() < 0.25
    for canvas in (blank, dotted):
        canvas.paint(shape, 30, 34, 25, 12, TURN // 11, Material(rgb=(9, 99, 199)))

    np.testing.assert_array_equal(dotted.render()[..., 2] == 199, free & (blank.render()[..., 2] == 199))


def test_a_sensor_element_collects_what_falls_on_it():
    points = np.zeros((40, 40, 4), np.uint16)
    points[..., 3] = 255
    points[:, 21:, :3] = 255  # an edge a quarter of a pixel beyond the middle
    layer = Layer(points, oversample=4, motion=Motion(start=(4 * PIXEL, 4 * PIXEL)))

    picture = np.zeros((3, 8, 8), np.uint16)
    layer.draw(picture, 0)

    assert picture[0, 4].tolist() == [0, 0, 0, 0, FULL * 3 // 4, FULL, FULL, FULL]


def test_half_covered_pixels_let_half_of_the_ground_through():
    points = np.zeros((32, 32, 4), np.uint16)
    points[:, 14:18] = 255
    layer = Layer(points, oversample=4, motion=Motion(start=(4 * PIXEL, 4 * PIXEL)), whole=False)

    picture = np.full((3, 8, 8), FULL // 2, np.uint16)
    layer.draw(picture, 0)

    half, mixed = FULL // 2, FULL * 3 // 4
    assert picture[1, 4].tolist() == [half, half, half, mixed, mixed, half, half, half]


def test_a_layer_that_moves_by_whole_pixels_shifts_the_picture():
    canvas = Canvas(160, 200, draws=Draws(2))
    for n in range(9):
        canvas.paint(
            "leaf", 20 * n, 17 * n, 30, 12, n * 5000, Material(rgb=(20 * n, 255 - 20 * n, 90), grain=20)
        )
    canvas.paint("board", 100, 80, 200, 200, 0, Material(rgb=(9, 9, 9)))
    layer = Layer(
        canvas.render(),
        oversample=4,
        motion=Motion(start=(20 * PIXEL, 15 * PIXEL), step=(3 * PIXEL, -2 * PIXEL)),
    )

    first, second = np.zeros((3, 30, 40), np.uint16), np.zeros((3, 30, 40), np.uint16)
    layer.draw(first, 0)
    layer.draw(second, 1)

    np.testing.assert_array_equal(second[:, 2:-4, 5:-2], first[:, 4:-2, 2:-5])


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (81, 90, 240)),
        ((0, 255, 0), (145, 54, 34)),
        ((0, 0, 255), (41, 240, 110)),
    ],
)
def test_colours_become_those_of_bt601(rgb, yuv):
    picture = np.empty((3, 4, 6), np.uint16)
    picture[...] = 16 * np.array(rgb, np.uint16)[:, None, None]

    assert [set(plane.ravel().tolist()) for plane in to_yuv420(picture)] == [{value} for value in yuv]


def test_colours_read_with_left_siting_are_those_that_were_painted():
    y, x = np.mgrid[0:32, 0:48]
    painted = np.stack([40 + 4 * x, 200 - 3 * y, 30 + 2 * x + 3 * y])
    planes = to_yuv420((painted * 16).astype(np.uint16))

    def read(siting):
        layout = PlaneLayout("yuv", 1, 1, siting=siting, matrix="bt601", range="limited")
        rgb = window(planes, layout, color="rgb", top=0, left=0, height=32, width=48).astype(int)
        return np.abs(rgb - painted)[:, 2:-2, 2:-2]

    assert read("left").max() <= 2
    assert read("center").mean() > 2 * read("left").mean()
