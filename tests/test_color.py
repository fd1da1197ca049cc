"""Colour conversion against the equations of the standards, computed a second time in floating point."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.color import PlaneLayout, luma_of_rgb, luma_of_rgb_float, window

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
