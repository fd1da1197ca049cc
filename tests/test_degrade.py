"""Degradations against definitions written a second time, and crop first against whole frame first."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from degrading import BICUBICS, DEGRADATIONS, NAMES, SCALES, degrade, hr_window, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.degrade import degrade_frame, halo, resize_bicubic, resize_bicubic_pixels
from sr_datasets.degrade.taps import border_index, taps_of
from sr_datasets.recipe import (
    Area,
    BdBasicVsr,
    BdDuf,
    BdSofVsr,
    BdSpmc,
    BdTecoGan,
    Bicubic,
    GaussianSubsample,
    Lanczos,
    OpenCvBicubic,
    PillowBicubic,
    TorchBicubic,
)

DATA = Path(__file__).parent / "data"


# Bicubic, from the formula, in exact fractions


def exact_cubic(x):
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    if x <= 2:
        return Fraction(-1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2
    return Fraction(0)


def exact_bicubic_line(line, scale, border):
    size = len(line)
    result = []
    for index in range(size // scale):
        centre = Fraction(2 * index + 1, 2) * scale - Fraction(1, 2)
        taps = range(int(centre) - 3 * scale, int(centre) + 3 * scale + 1)
        weights = [exact_cubic((centre - tap) / scale) for tap in taps]
        if border == "replicate":
            places = [min(max(tap, 0), size - 1) for tap in taps]
        else:
            mirrored = [*range(size), *reversed(range(size))]
            places = [mirrored[tap % (2 * size)] for tap in taps]
        total = sum(weight * line[place] for weight, place in zip(weights, places, strict=True))
        result.append(total / sum(weights))
    return result


def exact_bicubic(plane, scale, rounding, border, peak):
    def whole(value):
        return min(max((2 * value + 1) // 2, 0), peak)  # floor(value + 1/2)

    columns = [exact_bicubic_line([int(v) for v in column], scale, border) for column in plane.T]
    if rounding == "each-pass":
        columns = [[whole(value) for value in column] for column in columns]
    rows = [exact_bicubic_line(list(row), scale, border) for row in zip(*columns, strict=True)]
    return np.array([[int(whole(value)) for value in row] for row in rows])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("degradation", BICUBICS, ids=NAMES[:4])
def test_bicubic_equals_the_formula_in_exact_fractions(degradation, scale):
    for bit_depth, height, width in ((8, 2, 3), (8, 1, 1), (10, 1, 4), (16, 3, 2)):
        plane = noise((height * scale, width * scale), bit_depth=bit_depth, seed=scale)

        lr = degrade_frame(plane[np.newaxis], degradation, scale, bit_depth=bit_depth)

        peak = (1 << bit_depth) - 1
        expected = exact_bicubic(plane, scale, degradation.rounding, degradation.border, peak)
        np.testing.assert_array_equal(lr[0], expected)


def test_a_half_is_rounded_up_after_either_pass():
    # Two rows of one grey each: x2 of (0, 1) is exactly 1/2 with the border mirrored.
    rows = np.uint8([[[0, 0], [1, 1]]])
    columns = np.uint8([[[0, 1], [0, 1]]])

    for degradation in (Bicubic(), Bicubic(rounding="once")):
        assert degrade_frame(rows, degradation, 2).tolist() == [[[1]]]
        assert degrade_frame(columns, degradation, 2).tolist() == [[[1]]]


@pytest.mark.parametrize("rounding", ["each-pass", "once"])
def test_overshoot_is_clipped_to_the_depth(rounding):
    edge = np.full((1, 24, 24), 1023, np.uint16)
    edge[:, :, 11:] = 0

    lr = degrade_frame(edge, Bicubic(rounding=rounding), 2, bit_depth=10)

    assert lr.max() == 1023
    assert lr.min() == 0


def test_rounding_and_border_change_some_samples():
    frame = noise((1, 48, 48))
    lr = [degrade_frame(frame, degradation, 4) for degradation in BICUBICS]

    for one, other in ((0, 2), (1, 3), (0, 1), (2, 3)):
        assert (lr[one] != lr[other]).any()
    # The border rule reaches two LR samples into the frame.
    np.testing.assert_array_equal(lr[0][:, 2:-2, 2:-2], lr[1][:, 2:-2, 2:-2])


# Blur and subsample, from the papers' scripts: one dense 2-D window for each LR sample


def dense_blur(plane, kernel, before, mode, first, scale):
    """Correlate with a 2-D kernel that reaches ``before`` samples up and left of the sample."""
    taps = len(kernel)
    padded = np.pad(plane.astype(np.float64), taps, mode=mode)
    lr = np.empty((plane.shape[0] // scale, plane.shape[1] // scale))
    for y, x in np.ndindex(lr.shape):
        top, left = first + scale * y - before + taps, first + scale * x - before + taps
        lr[y, x] = np.sum(kernel * padded[top : top + taps, left : left + taps])
    return lr


def fspecial_gaussian(taps, sigma):
    """MATLAB's fspecial('gaussian', taps, sigma)."""
    y, x = np.mgrid[0:taps, 0:taps] - (taps - 1) / 2
    bell = np.exp(-(x * x + y * y) / (2 * sigma * sigma))
    bell[bell < np.finfo(float).eps * bell.max()] = 0
    return bell / bell.sum()


def assert_rounded(pixels, values):
    """Each pixel is its value rounded; either neighbour will do within 1e-9 of a half."""
    assert np.abs(pixels - values).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("height", "width", "bit_depth"), [(8, 9, 8), (7, 5, 12)])
def test_bd_duf_equals_the_delta_filtered_by_scipy(scale, height, width, bit_depth):
    kernel = np.array(json.loads((DATA / "reference_numbers.json").read_text())["duf_kernels"][str(scale)])
    plane = noise((height * scale, width * scale), bit_depth=bit_depth, seed=1)

    lr = degrade_frame(plane[np.newaxis], BdDuf(), scale, bit_depth=bit_depth)

    assert_rounded(lr[0], dense_blur(plane, kernel, before=6, mode="reflect", first=0, scale=scale))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("height", "width", "bit_depth"), [(8, 9, 8), (7, 5, 12)])
def test_bd_basicvsr_equals_the_published_script(scale, height, width, bit_depth):
    plane = noise((height * scale, width * scale), bit_depth=bit_depth, seed=2)
    if scale == 3:
        # 7x7 about the middle sample of each three.
        values = dense_blur(plane, fspecial_gaussian(7, 1.6), before=3, mode="edge", first=1, scale=3)
    else:
        # imfilter puts the origin of 12 taps on the sixth; samples are scale / 2, 3 scale / 2, ... from 1.
        kernel = fspecial_gaussian(12, 1.6)
        values = dense_blur(plane, kernel, before=5, mode="edge", first=scale // 2 - 1, scale=scale)

    lr = degrade_frame(plane[np.newaxis], BdBasicVsr(), scale, bit_depth=bit_depth)

    assert_rounded(lr[0], values)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("height", "width", "bit_depth"), [(8, 9, 8), (7, 5, 12)])
@pytest.mark.parametrize(
    ("degradation", "taps", "sigma", "mode"),
    [(BdSofVsr(), 13, 1.6, "symmetric"), (BdTecoGan(), 9, 1.5, "reflect")],
    ids=["bd-sofvsr", "bd-tecogan"],
)
def test_blurs_with_samples_from_the_first_equal_their_published_scripts(
    degradation, taps, sigma, mode, scale, height, width, bit_depth
):
    plane = noise((height * scale, width * scale), bit_depth=bit_depth, seed=3)

    lr = degrade_frame(plane[np.newaxis], degradation, scale, bit_depth=bit_depth)

    kernel = fspecial_gaussian(taps, sigma)
    assert_rounded(lr[0], dense_blur(plane, kernel, before=taps // 2, mode=mode, first=0, scale=scale))


@pytest.mark.parametrize("scale", SCALES)
def test_bd_spmc_drops_the_fraction_of_nine_by_nine_taps(scale):
    plane = noise((9 * scale, 7 * scale), seed=4)

    lr = degrade_frame(plane[np.newaxis], BdSpmc(), scale)

    values = dense_blur(plane, fspecial_gaussian(9, 1.6), before=4, mode="edge", first=0, scale=scale)
    # Weights are rounded to float32.
    assert (values - lr[0]).min() > -1e-4
    assert (values - lr[0]).max() < 1 + 1e-4


def test_bd_spmc_loses_a_level_in_flat_parts_as_the_published_frames_do():
    # 70 samples of the first 16 frames of calendar lie in flat parts of level 2; all are 1 there.
    for level, expected in ((0, 0), (2, 1)):
        assert (degrade_frame(np.full((1, 36, 36), level, np.uint8), BdSpmc(), 4) == expected).all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("phase", ["centre", "first"])
@pytest.mark.parametrize(("sigma", "radius"), [(1.0, None), (0.7, 2.5), (2.2, None)])
def test_gaussian_subsample_takes_the_taps_within_its_radius(sigma, radius, phase, scale):
    plane = noise((6 * scale, 9 * scale), bit_depth=10, seed=5)
    degradation = GaussianSubsample(sigma=sigma, radius=radius, phase=phase, border="symmetric")

    lr = degrade_frame(plane[np.newaxis], degradation, scale, bit_depth=10)

    centre = (scale - 1) / 2 if phase == "centre" else 0
    reach = int(4 * sigma + 0.5) if radius is None else radius
    places = np.arange(-40, 60)
    places = places[np.abs(places - centre) <= reach]
    bell = np.exp(-((places - centre) ** 2) / (2 * sigma**2))
    kernel = np.outer(bell, bell) / bell.sum() ** 2
    assert_rounded(
        lr[0], dense_blur(plane, kernel, before=-places[0], mode="symmetric", first=0, scale=scale)
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("lobes", [2, 3])
def test_lanczos_equals_matlabs_formula(lobes, scale):
    plane = noise((10 * scale, 12 * scale), seed=6)

    lr = degrade_frame(plane[np.newaxis], Lanczos(lobes=lobes, rounding="once"), scale)

    tiny = np.finfo(float).eps  # MATLAB adds it against 0 / 0
    places = np.arange(-lobes * scale, (lobes + 1) * scale)
    x = (places - (scale - 1) / 2) / scale
    weights = (np.sin(np.pi * x) * np.sin(np.pi * x / lobes) + tiny) / (np.pi**2 * x**2 / lobes + tiny)
    weights *= np.abs(x) < lobes
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    values = dense_blur(plane, kernel, before=lobes * scale, mode="symmetric", first=0, scale=scale)
    assert_rounded(lr[0], np.clip(values, 0, 255))


def test_a_gaussian_that_fits_no_pixel_is_refused():
    for wrong in ({"sigma": 0}, {"sigma": 21}, {"radius": 0.4}, {"phase": "middle"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            GaussianSubsample.model_validate(wrong)


@pytest.mark.parametrize("scale", SCALES)
def test_a_slope_shows_where_each_lr_grid_lies(scale):
    # Pixels hold their column: away from the border LR holds the HR coordinate of its sample.
    frame = np.tile(np.arange(30 * scale, dtype=np.uint16) * 64, (1, 30 * scale, 1))
    at = np.arange(8, 22) * scale

    def row(degradation):
        return degrade_frame(frame, degradation, scale, bit_depth=16)[0, 15, 8:22] / 64

    centred = [Bicubic(), BdBasicVsr(), PillowBicubic(), TorchBicubic(), OpenCvBicubic(), Area()]
    for degradation in [*centred, Lanczos(), GaussianSubsample()]:
        np.testing.assert_array_equal(row(degradation), at + (scale - 1) / 2)
    for degradation in (BdDuf(), BdSofVsr(), BdTecoGan(), GaussianSubsample(phase="first")):
        np.testing.assert_array_equal(row(degradation), at)
    np.testing.assert_allclose(row(BdSpmc()), at, atol=1 / 32)  # the fraction is dropped


def test_weights_are_the_same_numbers_on_every_machine():
    assert [weight.hex() for weight in taps_of(BdDuf(), 2).weights[:4]] == DUF_X2
    assert [weight.hex() for weight in taps_of(BdBasicVsr(), 4).weights[:6]] == BASICVSR_X4
    assert [weight.hex() for weight in taps_of(Bicubic(), 3).weights[:5]] == BICUBIC_X3


DUF_X2 = ["0x1.ce27258cea93ep-12", "0x1.66fa84b3e9041p-6", "0x1.d39491a41f9dfp-3", "0x1.fea50a329ccc4p-2"]
BASICVSR_X4 = [
    "0x1.633d1c9ce1b39p-11",
    "0x1.3915a8db319cbp-8",
    "0x1.756928fecbcbep-6",
    "0x1.2d58a00e22a45p-4",
    "0x1.4919ad2d5715dp-3",
    "0x1.e660f34847b00p-3",
]
BICUBIC_X3 = [
    "-0x1.948b0fcd6ea02p-7",
    "-0x1.948b0fcd6ea02p-6",
    "0x1.c71c71c71c722p-4",
    "0x1.097b425ed097cp-2",
    "0x1.5555555555556p-2",
]


# Crop first


@st.composite
def windows(draw):
    """A degradation, a frame, and a window of its LR."""
    degradation = draw(st.sampled_from(DEGRADATIONS))
    scale = draw(st.sampled_from(SCALES))
    bit_depth = draw(st.sampled_from([8, 8, 9, 10, 12, 16]))
    lr_shape = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    top, left = (draw(st.integers(0, side - 1)) for side in lr_shape)
    height = draw(st.integers(1, lr_shape[0] - top))
    width = draw(st.integers(1, lr_shape[1] - left))
    planes = draw(st.sampled_from([1, 3]))
    shape = (planes, lr_shape[0] * scale, lr_shape[1] * scale)
    frame = noise(shape, bit_depth=bit_depth, seed=draw(st.integers(0, 99)))
    return (
        degradation,
        scale,
        bit_depth,
        frame,
        {"lr_top": top, "lr_left": left, "lr_height": height, "lr_width": width},
    )


@settings(deadline=None, max_examples=300)
@given(windows(), st.integers(0, 5), st.integers(0, 5))
def test_crop_first_equals_whole_frame_first(case, more_before, more_after):
    degradation, scale, bit_depth, frame, place = case
    size = {"frame_height": frame.shape[1], "frame_width": frame.shape[2]}
    whole = degrade_frame(frame, degradation, scale, bit_depth=bit_depth)

    window = hr_window(degradation, scale, **place, **size)
    # A window that is larger than need be changes nothing.
    top, left = max(window.top - more_before, 0), max(window.left - more_before, 0)
    bottom, right = window.top + window.height + more_after, window.left + window.width + more_after
    lr = degrade(
        frame[:, top:bottom, left:right],
        degradation,
        scale,
        window_top=top,
        window_left=left,
        bit_depth=bit_depth,
        **place,
        **size,
    )

    rows = slice(place["lr_top"], place["lr_top"] + place["lr_height"])
    columns = slice(place["lr_left"], place["lr_left"] + place["lr_width"])
    np.testing.assert_array_equal(lr, whole[:, rows, columns])
    assert lr.dtype == frame.dtype


@settings(deadline=None)
@given(windows())
def test_the_hr_window_holds_the_hr_patch_and_no_more_than_the_halo(case):
    degradation, scale, _, frame, place = case

    window = hr_window(degradation, scale, **place, frame_height=frame.shape[1], frame_width=frame.shape[2])

    around = halo(degradation, scale)
    for start, length, lr_start, lr_length, size in (
        (window.top, window.height, place["lr_top"], place["lr_height"], frame.shape[1]),
        (window.left, window.width, place["lr_left"], place["lr_width"], frame.shape[2]),
    ):
        assert max(scale * lr_start - around, 0) <= start <= scale * lr_start
        stop = scale * (lr_start + lr_length)
        assert stop <= start + length <= min(stop + around, size)


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=NAMES)
def test_what_lies_beyond_the_frame_does_not_matter(degradation):
    frame = noise((1, 47, 46))
    size = {"frame_height": 36, "frame_width": 36}
    place = {"lr_top": 4, "lr_left": 3, "lr_height": 5, "lr_width": 6}

    lr = degrade(frame, degradation, 4, window_top=0, window_left=0, **place, **size)

    np.testing.assert_array_equal(lr, degrade_frame(frame[:, :36, :36], degradation, 4)[:, 4:, 3:])


def test_pixels_outside_the_hr_window_do_not_matter():
    frame = noise((1, 96, 96))
    other = noise((1, 96, 96), seed=1)
    place = {"lr_top": 9, "lr_left": 11, "lr_height": 5, "lr_width": 4}
    for degradation in DEGRADATIONS:
        window = hr_window(degradation, 3, **place, frame_height=96, frame_width=96)
        box = np.s_[:, window.top : window.top + window.height, window.left : window.left + window.width]
        mixed = other.copy()
        mixed[box] = frame[box]

        crop = np.s_[:, 9:14, 11:15]
        np.testing.assert_array_equal(
            degrade_frame(mixed, degradation, 3)[crop], degrade_frame(frame, degradation, 3)[crop]
        )


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=NAMES)
@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
def test_a_window_that_lacks_a_needed_line_is_refused(degradation, edge):
    frame = noise((1, 96, 96))
    place = {"lr_top": 9, "lr_left": 9, "lr_height": 5, "lr_width": 5, "frame_height": 96, "frame_width": 96}
    window = hr_window(degradation, 4, **place)
    top, left = window.top + (edge == "top"), window.left + (edge == "left")
    bottom = window.top + window.height - (edge == "bottom")
    right = window.left + window.width - (edge == "right")

    with pytest.raises(ValueError, match="hr_region"):
        degrade(frame[:, top:bottom, left:right], degradation, 4, window_top=top, window_left=left, **place)


def test_wrong_arguments_are_refused_with_what_was_found():
    frame = np.zeros((1, 12, 13), np.uint8)
    with pytest.raises(ValueError, match="13 columns, no multiple of the scale 2"):
        degrade_frame(frame, Bicubic(), 2)
    with pytest.raises(ValueError, match="scale is 5"):
        degrade_frame(frame, Bicubic(), 5)
    with pytest.raises(ValueError, match="uint8 or uint16"):
        degrade_frame(np.zeros((1, 12, 12)), Bicubic(), 2)
    with pytest.raises(ValueError, match="uint8 or uint16"):
        degrade_frame(frame[0], Bicubic(), 2)
    with pytest.raises(ValueError, match="bit_depth is 10"):
        degrade_frame(frame[:, :, :12], Bicubic(), 2, bit_depth=10)
    with pytest.raises(ValueError, match="leave the frame"):
        hr_window(Bicubic(), 2, lr_top=2, lr_left=0, lr_height=5, lr_width=1, frame_height=12, frame_width=12)


# Borders and resizing


def test_borders_fold_as_numpy_pads():
    for border, mode in (("symmetric", "symmetric"), ("replicate", "edge"), ("reflect", "reflect")):
        for size in (1, 2, 3, 7):
            folded = border_index(np.arange(-20, size + 20), size, border)
            assert folded.tolist() == np.pad(np.arange(size), 20, mode=mode).tolist()


@given(
    st.integers(1, 9), st.integers(1, 9), st.sampled_from(SCALES), st.sampled_from(["symmetric", "replicate"])
)
def test_shrinking_doubles_and_degrading_pixels_are_one_rule(height, width, scale, border):
    frame = noise((1, height * scale, width * scale), seed=height)

    for rounding in ("each-pass", "once"):
        np.testing.assert_array_equal(
            resize_bicubic_pixels(frame, height, width, rounding=rounding, border=border),
            degrade_frame(frame, Bicubic(rounding=rounding, border=border), scale),
        )


def test_enlarging_keeps_a_slope_and_a_constant():
    slope = np.tile(np.arange(20.0), (1, 20, 1))

    enlarged = resize_bicubic(slope, 60, 60)

    np.testing.assert_allclose(enlarged[0, 30, 6:-6], (np.arange(60) / 3 - 1 / 3)[6:-6], atol=1e-12)
    np.testing.assert_allclose(resize_bicubic(np.full((2, 5, 7), 9.0), 11, 3), 9.0, atol=1e-12)


def test_unequal_ratios_take_the_smaller_first_as_matlab():
    picture = noise((1, 24, 24))

    # Columns shrink more than rows, so they go first; rounding between the passes tells the order.
    flat = resize_bicubic_pixels(picture, 12, 6)
    columns_first = resize_bicubic_pixels(resize_bicubic_pixels(picture, 24, 6), 12, 6)
    rows_first = resize_bicubic_pixels(resize_bicubic_pixels(picture, 12, 24), 12, 6)

    np.testing.assert_array_equal(flat, columns_first)
    assert (flat != rows_first).any()


def test_resizing_to_nothing_is_refused():
    with pytest.raises(ValueError, match="cannot resize"):
        resize_bicubic(np.zeros((1, 4, 4)), 0, 4)
