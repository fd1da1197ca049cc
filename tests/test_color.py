"""Colour conversion against the equations of the standards, computed a second time in floating point."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.color import (
    PlaneLayout,
    check_yuv420,
    chroma_window,
    luma_of_rgb,
    luma_of_rgb_float,
    pack_yuv420,
    split_yuv420,
    window,
)

WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}
MATRICES = tuple(WEIGHTS)
RANGES = ("limited", "full")


def standard_rgb(y, u, v, matrix, range_, bit_depth):
    """R'G'B' 0..peak by the standards' equations, neither rounded nor clipped; float64."""
    kr, kb = WEIGHTS[matrix]
    step, peak = 2 ** (bit_depth - 8), 2**bit_depth - 1
    y, u, v = (np.asarray(plane, np.float64) for plane in (y, u, v))
    if range_ == "limited":
        luma, cb, cr = (y / step - 16) / 219, (u / step - 128) / 224, (v / step - 128) / 224
    else:
        luma, cb, cr = y / peak, (u - 128 * step) / peak, (v - 128 * step) / peak
    red = luma + 2 * (1 - kr) * cr
    blue = luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([red, green, blue]) * peak


def rounded(values, bit_depth):
    # A half is rounded up; 1e-9 makes up for what floating point lacks of an exact half.
    return np.floor(np.clip(values, 0, 2**bit_depth - 1) + 0.5 + 1e-9)


def whole(planes, layout, color="rgb"):
    height, width = planes[0].shape
    return window(planes, layout, color=color, top=0, left=0, height=height, width=width)


def pixel(y, u, v, matrix, range_):
    planes = [np.uint8([[value]]) for value in (y, u, v)]
    return whole(planes, PlaneLayout("yuv", matrix=matrix, range=range_)).ravel().tolist()


def test_the_red_pixel_is_what_the_standards_round_to():
    # FFmpeg's swscale gives (253, 0, 0), (255, 23, 0) and (255, 35, 10): its tables round on the way.
    for matrix, range_, expected in (
        ("bt601", "limited", [254, 0, 0]),
        ("bt709", "limited", [255, 24, 0]),
        ("bt709", "full", [255, 36, 10]),
    ):
        assert pixel(81, 90, 240, matrix, range_) == expected
        np.testing.assert_array_equal(rounded(standard_rgb(81, 90, 240, matrix, range_, 8), 8), expected)


# (Y, U, V) in 8 bits: the pixel of the notes, colours near the primaries, greys, and corners far out of gamut.
GOLDEN = [
    (81, 90, 240),
    (145, 54, 34),
    (41, 240, 110),
    (210, 16, 146),
    (170, 166, 16),
    (106, 202, 222),
    (16, 128, 128),
    (126, 128, 128),
    (235, 128, 128),
    (100, 129, 127),
    (0, 0, 0),
    (255, 255, 255),
]


def exact_rgb(y, u, v, matrix, range_, bit_depth):
    """R'G'B' by the standards' equations in rational numbers, rounded half up and clipped."""
    kr = {"bt601": Fraction(299, 1000), "bt709": Fraction(2126, 10000), "bt2020nc": Fraction(2627, 10000)}[
        matrix
    ]
    kb = {"bt601": Fraction(114, 1000), "bt709": Fraction(722, 10000), "bt2020nc": Fraction(593, 10000)}[
        matrix
    ]
    step, peak = 2 ** (bit_depth - 8), 2**bit_depth - 1
    if range_ == "limited":
        luma, cb, cr = (
            Fraction(y - 16 * step, 219 * step),
            *(Fraction(c - 128 * step, 224 * step) for c in (u, v)),
        )
    else:
        luma, cb, cr = Fraction(y, peak), *(Fraction(c - 128 * step, peak) for c in (u, v))
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return [min(max(floor(value * peak + Fraction(1, 2)), 0), peak) for value in (red, green, blue)]


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_golden_pixels_are_the_standards_in_rational_numbers(matrix, range_, bit_depth):
    # Deeper pixels lie between those of 8 bits too, so that a shift by two bits cannot pass.
    step = 2 ** (bit_depth - 8)
    pixels = [
        tuple(value * step + (7 * place + value) % step for value in one) for place, one in enumerate(GOLDEN)
    ]
    planes = list(np.array(pixels, np.uint8 if bit_depth == 8 else np.uint16).T[:, np.newaxis])
    layout = PlaneLayout("yuv", bit_depth=bit_depth, matrix=matrix, range=range_)

    rgb = whole(planes, layout)

    assert rgb.dtype == (np.uint8 if bit_depth == 8 else np.uint16)
    assert rgb[:, 0].T.tolist() == [exact_rgb(*one, matrix, range_, bit_depth) for one in pixels]


@pytest.mark.parametrize(
    ("matrix", "range_", "eight", "ten"),
    [
        ("bt601", "limited", [254, 0, 0], [1021, 0, 0]),
        ("bt601", "full", [238, 14, 14], [952, 56, 55]),
        ("bt709", "limited", [255, 24, 0], [1023, 97, 0]),
        ("bt709", "full", [255, 36, 10], [1023, 143, 42]),
        ("bt2020nc", "limited", [255, 10, 0], [1023, 40, 0]),
        ("bt2020nc", "full", [246, 23, 10], [985, 93, 38]),
    ],
)
def test_the_red_pixel_in_numbers(matrix, range_, eight, ten):
    assert exact_rgb(81, 90, 240, matrix, range_, 8) == eight
    assert exact_rgb(324, 360, 960, matrix, range_, 10) == ten
    assert pixel(81, 90, 240, matrix, range_) == eight
    planes = [np.uint16([[value]]) for value in (324, 360, 960)]
    layout = PlaneLayout("yuv", bit_depth=10, matrix=matrix, range=range_)
    assert whole(planes, layout).ravel().tolist() == ten


def test_black_white_and_what_lies_beyond_are_where_the_range_says():
    for matrix in MATRICES:
        assert pixel(16, 128, 128, matrix, "limited") == [0, 0, 0]
        assert pixel(235, 128, 128, matrix, "limited") == [255, 255, 255]
        assert pixel(0, 128, 128, matrix, "limited") == [0, 0, 0]
        assert pixel(255, 128, 128, matrix, "limited") == [255, 255, 255]
        assert pixel(0, 128, 128, matrix, "full") == [0, 0, 0]
        assert pixel(77, 128, 128, matrix, "full") == [77, 77, 77]


@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_eight_bit_444_is_the_correctly_rounded_value(matrix, range_):
    # All 2**16 of R and of B, which depend on luma and one chroma; two million of G.
    y, u, v = np.meshgrid(
        *(np.arange(256, dtype=np.uint8),) * 2, np.arange(0, 256, 17, dtype=np.uint8), indexing="ij"
    )
    for cb, cr in ((u, v), (v, u)):
        planes = [plane.reshape(256, -1) for plane in (y, cb, cr)]
        expected = rounded(standard_rgb(*planes, matrix, range_, 8), 8)

        np.testing.assert_array_equal(
            whole(planes, PlaneLayout("yuv", matrix=matrix, range=range_)), expected
        )


@pytest.mark.parametrize("bit_depth", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_deeper_444_is_within_a_millionth_of_the_rounded_value(matrix, range_, bit_depth):
    planes = np.random.default_rng(bit_depth).integers(0, 2**bit_depth, (3, 100, 300), dtype=np.uint16)
    planes[:, 0, :8] = np.array(
        np.meshgrid([0, 2**bit_depth - 1], [0, 2**bit_depth - 1], [0, 2**bit_depth - 1])
    ).reshape(3, 8)

    rgb = whole(list(planes), PlaneLayout("yuv", bit_depth=bit_depth, matrix=matrix, range=range_))

    exact = np.clip(standard_rgb(*planes, matrix, range_, bit_depth), 0, 2**bit_depth - 1)
    assert rgb.dtype == np.uint16
    assert np.abs(rgb - exact).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("bit_depth", [8, 10, 16])
def test_a_half_is_rounded_up_at_every_depth(bit_depth):
    # Full range BT.601: blue is luma + 1.772 (U - centre), a half for 125 steps of U.
    luma = 2 ** (bit_depth - 2)
    planes = [np.full((1, 2), value, np.uint16) for value in (luma, 0, 2 ** (bit_depth - 1))]
    planes[1][:] = np.array([-125, 125]) + 2 ** (bit_depth - 1)
    planes = [plane.astype(np.uint8 if bit_depth == 8 else np.uint16) for plane in planes]
    layout = PlaneLayout("yuv", bit_depth=bit_depth, matrix="bt601", range="full")

    peak = 2**bit_depth - 1
    assert whole(planes, layout)[2].tolist() == [[max(luma - 221, 0), min(luma + 222, peak)]]


# Siting: chroma is a slope over luma coordinates, sampled where the siting says. Interpolated between its
# neighbours it is the same slope again, so the frame equals its 4:4:4 original, but at the border.


@pytest.mark.parametrize(("log2_x", "log2_y"), [(1, 1), (1, 0), (0, 1), (2, 0), (2, 2)])
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_lies_where_its_siting_says(siting, log2_x, log2_y):
    height, width, slope = 24, 32, 8
    y = np.random.default_rng(0).integers(0, 65536, (height, width), dtype=np.uint16)

    def chroma_at(rows, columns):
        return (20000 + 100 * slope * rows[:, np.newaxis] - 30 * slope * columns).astype(np.uint16)

    def places(size, log2, centred):
        return np.arange(size >> log2) * 2**log2 + ((2**log2 - 1) / 2 if centred else 0)

    rows = places(height, log2_y, siting != "topleft")
    columns = places(width, log2_x, siting == "center")
    small = chroma_at(rows, columns)
    full = chroma_at(np.arange(height), np.arange(width))
    facts = {"bit_depth": 16, "matrix": "bt709", "range": "limited"}

    rgb = whole([y, small, small], PlaneLayout("yuv", log2_x=log2_x, log2_y=log2_y, siting=siting, **facts))

    inside = np.s_[:, 4:-4, 4:-4]
    np.testing.assert_array_equal(rgb[inside], whole([y, full, full], PlaneLayout("yuv", **facts))[inside])


def test_chroma_beyond_the_frame_is_the_nearest_sample():
    y = np.full((2, 4), 100, np.uint8)
    layout = PlaneLayout("yuv", log2_x=1, log2_y=1, siting="center", matrix="bt601", range="full")
    u = np.full((1, 2), 128, np.uint8)
    v = np.uint8([[128, 228]])

    red = whole([y, u, v], layout)[0, 0]

    # At columns 0..3 chroma is 0, 1/4, 3/4 and all of the way from 128 to 228.
    assert red.tolist() == [round(100 + 1.402 * part) for part in (0, 25, 75, 100)]


# Windows


@st.composite
def frames(draw):
    model = draw(st.sampled_from(["gray", "yuv", "yuv", "yuv", "rgb"]))
    log2_x, log2_y = (
        draw(st.sampled_from([(0, 0), (1, 0), (1, 1), (2, 0), (0, 1)])) if model == "yuv" else (0, 0)
    )
    bit_depth = draw(st.sampled_from([8, 10, 16]))
    height, width = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    shapes = [(height, width)]
    if model != "gray":
        shapes += [(-(-height // 2**log2_y), -(-width // 2**log2_x))] * 2
    planes = [rng.integers(0, 2**bit_depth, shape, dtype=dtype) for shape in shapes]
    layout = PlaneLayout(
        model,
        log2_x=log2_x,
        log2_y=log2_y,
        bit_depth=bit_depth,
        siting=draw(st.sampled_from(["left", "center", "topleft"])),
        matrix=draw(st.sampled_from(MATRICES)),
        range=draw(st.sampled_from(RANGES)),
    )
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    box = top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left))
    return planes, layout, box


@settings(deadline=None, max_examples=300)
@given(frames(), st.sampled_from(["y", "rgb"]))
def test_a_window_equals_the_crop_of_the_whole(case, color):
    planes, layout, (top, left, height, width) = case

    part = window(planes, layout, color=color, top=top, left=left, height=height, width=width)

    crop = whole(planes, layout, color)[:, top : top + height, left : left + width]
    np.testing.assert_array_equal(part, crop)
    assert part.dtype == planes[0].dtype
    assert part.shape == (1 if color == "y" else 3, height, width)


@pytest.mark.parametrize("samples", [1, 40, 100, 1 << 20])
def test_the_bands_of_the_conversion_do_not_show(monkeypatch, samples):
    planes = [
        np.random.default_rng(0).integers(0, 1024, shape, dtype=np.uint16)
        for shape in ((23, 20), (12, 10), (12, 10))
    ]
    layout = PlaneLayout("yuv", 1, 1, 10, siting="left", matrix="bt709", range="limited")
    expected = whole(planes, layout)
    monkeypatch.setattr("sr_datasets.color._BAND_SAMPLES", samples)

    np.testing.assert_array_equal(whole(planes, layout), expected)
    part = window(planes, layout, color="rgb", top=3, left=5, height=19, width=11)
    np.testing.assert_array_equal(part, expected[:, 3:22, 5:16])


def test_luma_of_video_is_the_decoders_own_plane():
    y, u, v = np.random.default_rng(0).integers(0, 256, (3, 4, 6), dtype=np.uint8)
    for layout, planes in (
        (PlaneLayout("yuv", matrix="bt709", range="limited"), [y, u, v]),
        (PlaneLayout("gray", range="limited"), [y]),
    ):
        np.testing.assert_array_equal(whole(planes, layout, "y"), y[np.newaxis])


def test_gray_becomes_three_equal_planes_and_limited_range_is_expanded():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)

    full = whole([gray], PlaneLayout("gray", range="full"))
    limited = whole([gray], PlaneLayout("gray", range="limited"))

    np.testing.assert_array_equal(full, np.stack([gray] * 3))
    np.testing.assert_array_equal(limited[0], rounded((gray - 16.0) * 255 / 219, 8))
    np.testing.assert_array_equal(limited[0], limited[2])


def test_rgb_is_handed_on_and_its_luma_is_bt601():
    rgb = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)

    np.testing.assert_array_equal(whole(list(rgb), PlaneLayout("rgb")), rgb)
    np.testing.assert_array_equal(whole(list(rgb), PlaneLayout("rgb"), "y"), luma_of_rgb(rgb))


# Planes of 4:2:0


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([8, 10]), st.data())
def test_yuv420_is_the_planes_as_they_are(half_height, half_width, bit_depth, data):
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    rng = np.random.default_rng(half_height)
    planes = [
        rng.integers(0, 2**bit_depth, shape, dtype=dtype)
        for shape in ((2 * half_height, 2 * half_width), *[(half_height, half_width)] * 2)
    ]
    layout = PlaneLayout("yuv", 1, 1, bit_depth=bit_depth)
    top, left = data.draw(st.integers(0, half_height - 1)), data.draw(st.integers(0, half_width - 1))
    height, width = (
        data.draw(st.integers(1, half_height - top)),
        data.draw(st.integers(1, half_width - left)),
    )

    chroma = chroma_window(planes, layout, top=top, left=left, height=height, width=width)
    luma = window(planes, layout, color="y", top=2 * top, left=2 * left, height=2 * height, width=2 * width)
    packed = pack_yuv420(luma, chroma)
    y, u, v = split_yuv420(packed)
    at_once = window(
        planes, layout, color="yuv420", top=2 * top, left=2 * left, height=2 * height, width=2 * width
    )

    box = np.s_[top : top + height, left : left + width]
    np.testing.assert_array_equal(chroma, np.stack([planes[1][box], planes[2][box]]))
    np.testing.assert_array_equal(at_once, packed, strict=True)
    assert packed.shape == (1, 3 * height, 2 * width)
    assert packed.dtype == dtype
    assert packed.tobytes() == luma.tobytes() + planes[1][box].tobytes() + planes[2][box].tobytes()
    for view, expected in ((y, luma), (u, chroma[:1]), (v, chroma[1:])):
        np.testing.assert_array_equal(view, expected, strict=True)
        assert np.shares_memory(view, packed)


def test_many_packed_pictures_are_split_at_once():
    packed = np.arange(2 * 5 * 9 * 4, dtype=np.uint16).reshape(2, 5, 1, 9, 4)

    y, u, v = split_yuv420(packed)

    assert (y.shape, u.shape, v.shape) == ((2, 5, 1, 6, 4), (2, 5, 1, 3, 2), (2, 5, 1, 3, 2))
    for part, whole_part in zip(split_yuv420(packed[1, 3]), (y, u, v), strict=True):
        np.testing.assert_array_equal(part, whole_part[1, 3])


def test_what_is_not_420_is_refused_for_yuv420():
    y = np.zeros((4, 8), np.uint8)
    box = {"top": 0, "left": 0, "height": 1, "width": 1}
    for layout, name in (
        (PlaneLayout("gray"), "grey"),
        (PlaneLayout("rgb"), "R'G'B'"),
        (PlaneLayout("yuv"), "4:4:4 Y'CbCr"),
        (PlaneLayout("yuv", 1, 0), "4:2:2 Y'CbCr"),
        (PlaneLayout("yuv", 2, 0), "4:1:1 Y'CbCr"),
    ):
        with pytest.raises(ValueError, match=f"has {name} samples; .* needs 4:2:0"):
            check_yuv420(layout)
        with pytest.raises(ValueError, match="needs 4:2:0"):
            chroma_window([y, y, y], layout, **box)
    layout = PlaneLayout("yuv", 1, 1)
    with pytest.raises(ValueError, match=r"leaves the chroma plane \(4x2\)"):
        chroma_window([y, y[:2, :4], y[:2, :4]], layout, **box | {"top": 2})
    for odd in ({"top": 1}, {"left": 1}, {"height": 1}, {"width": 1}):
        even = {"top": 0, "left": 0, "height": 2, "width": 2}
        with pytest.raises(ValueError, match="all four must be even"):
            window([y, y[:2, :4], y[:2, :4]], layout, color="yuv420", **even | odd)
    for luma, chroma in (((1, 3, 4), (2, 1, 2)), ((1, 4, 4), (2, 2, 4)), ((4, 4), (2, 2, 2))):
        with pytest.raises(ValueError, match="are no 4:2:0"):
            pack_yuv420(np.zeros(luma, np.uint8), np.zeros(chroma, np.uint8))
    with pytest.raises(ValueError, match="are no 4:2:0"):
        pack_yuv420(np.zeros((1, 2, 2), np.uint8), np.zeros((2, 1, 1), np.uint16))
    for shape in ((3, 4), (1, 4, 4), (2, 3, 4), (1, 3, 5)):
        with pytest.raises(ValueError, match="packed 4:2:0"):
            split_yuv420(np.zeros(shape, np.uint8))


# Luma


def test_luma_is_matlabs_formula_rounded():
    rgb = np.random.default_rng(0).integers(0, 256, (3, 500, 500), dtype=np.uint8)
    red, green, blue = rgb.astype(np.float64) / 255
    exact = 16 + 65.481 * red + 128.553 * green + 24.966 * blue

    np.testing.assert_allclose(luma_of_rgb_float(rgb)[0], exact, atol=1e-12)
    assert luma_of_rgb(rgb).dtype == np.uint8
    assert np.abs(luma_of_rgb(rgb)[0] - exact).max() <= 0.5 + 1e-9


def test_luma_of_primaries_is_that_of_the_standard():
    primaries = np.uint8([[[0, 255, 255, 0, 0]], [[0, 255, 0, 255, 0]], [[0, 255, 0, 0, 255]]])

    assert luma_of_rgb(primaries).tolist() == [[[16, 235, 81, 145, 41]]]
    assert luma_of_rgb(np.where(primaries, 1023, 0).astype(np.uint16), 10).tolist() == [
        [[64, 940, 326, 578, 164]]
    ]


def test_a_half_of_luma_is_rounded_up():
    # 299 R + 587 G + 114 B = 127500 gives 16 + 109.5.
    rgb = next(
        (red, green, blue)
        for red in range(256)
        for green in range(256)
        for blue in range(256)
        if 299 * red + 587 * green + 114 * blue == 127500
    )

    assert luma_of_rgb(np.uint8(rgb).reshape(3, 1, 1)).item() == 126


# Refusals


def test_what_does_not_fit_is_refused():
    y, u = np.zeros((4, 6), np.uint8), np.zeros((2, 3), np.uint8)
    layout = PlaneLayout("yuv", log2_x=1, log2_y=1, siting="left", matrix="bt709", range="limited")
    box = {"color": "rgb", "top": 0, "left": 0, "height": 4, "width": 6}

    with pytest.raises(ValueError, match="leaves the frame"):
        window([y, u, u], layout, **box | {"top": 1})
    with pytest.raises(ValueError, match="3 planes, 1 came"):
        window([y], layout, **box)
    with pytest.raises(ValueError, match=r"the layout wants \(2, 3\)"):
        window([y, y, y], layout, **box)
    with pytest.raises(ValueError, match="needs a siting"):
        window([y, u, u], PlaneLayout("yuv", 1, 1, matrix="bt709", range="limited"), **box)
    with pytest.raises(ValueError, match="without a matrix"):
        window([y, y, y], PlaneLayout("yuv"), **box)
    with pytest.raises(ValueError, match=r"is \(3, height, width\)"):
        luma_of_rgb(y[np.newaxis])
    with pytest.raises(ValueError, match="bit_depth is 7"):
        PlaneLayout("rgb", bit_depth=7)
    with pytest.raises(ValueError, match="log2_x"):
        PlaneLayout("yuv", log2_x=3)
    with pytest.raises(ValueError, match="only yuv"):
        PlaneLayout("rgb", log2_x=1)
