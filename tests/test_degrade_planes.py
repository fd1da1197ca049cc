"""Downscalers on 4:2:0 planes and on floats: the same rule for each plane, and crop first equals whole frame first."""

import numpy as np
import pytest
from degrading import DEGRADATIONS, NAMES, SCALES, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.color import pack_yuv420, split_yuv420
from sr_datasets.degrade import Degrader, Region
from sr_datasets.recipe import Bicubic, Chain, Lanczos, SwscaleBicubic

EVERY = [*DEGRADATIONS, SwscaleBicubic(), SwscaleBicubic(accurate=True)]


@st.composite
def even_windows(draw):
    """LR frame and a window of it on a grid of 2x2 samples."""
    height, width = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    rows, columns = draw(st.integers(1, height - top)), draw(st.integers(1, width - left))
    return 2 * height, 2 * width, Region(2 * top, 2 * left, 2 * rows, 2 * columns)


@settings(deadline=None, max_examples=200)
@given(even_windows(), st.sampled_from(EVERY), st.sampled_from(SCALES), st.sampled_from([8, 10, 16]))
def test_a_window_of_420_planes_equals_the_crop_of_the_whole_frame(window, degradation, scale, bit_depth):
    height, width, part = window
    luma = noise((1, height * scale, width * scale), bit_depth=bit_depth)
    chroma = noise((2, height * scale // 2, width * scale // 2), bit_depth=bit_depth, seed=1)
    packed = pack_yuv420(luma, chroma)
    degrader = Degrader(degradation, scale, bit_depth=bit_depth, color="yuv420")
    size = {"height": height * scale, "width": width * scale}

    at = degrader.hr_region(part, **size)
    (lr,), _ = degrader.degrade(
        [degrader.cut(packed, Region(0, 0, *luma.shape[1:]), at)], at=at, lr=part, **size
    )

    whole = degrader.degrade_frame(packed)
    np.testing.assert_array_equal(lr, degrader.cut(whole, Region(0, 0, height, width), part))
    # Every plane is shrunk as if it were alone.
    alone = Degrader(degradation, scale, bit_depth=bit_depth, color="y")
    for plane, shrunk in zip(split_yuv420(packed), split_yuv420(whole), strict=True):
        np.testing.assert_array_equal(alone.degrade_frame(plane), shrunk)


@settings(deadline=None, max_examples=200)
@given(even_windows(), st.sampled_from(DEGRADATIONS), st.sampled_from(SCALES), st.sampled_from([8, 12]))
def test_a_window_of_floats_equals_the_crop_of_the_whole_frame(window, degradation, scale, bit_depth):
    height, width, part = window
    hr = noise((2, height * scale, width * scale), bit_depth=bit_depth)
    chain = Chain(steps=(degradation,), between="floats")
    degrader = Degrader(chain, scale, bit_depth=bit_depth)
    size = {"height": height * scale, "width": width * scale}

    at = degrader.hr_region(part, **size)
    (lr,), _ = degrader.degrade([at.cut(hr, Region(0, 0, *hr.shape[1:]))], at=at, lr=part, **size)

    np.testing.assert_array_equal(lr, part.cut(degrader.degrade_frame(hr), Region(0, 0, height, width)))


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=NAMES)
def test_floats_are_within_a_rounding_or_two_of_pixels(degradation):
    # The middle grays, so that nothing is clipped between the passes.
    hr = noise((2, 96, 96)) // 2 + 64
    pixels = Degrader(degradation, 4).degrade_frame(hr).astype(int)
    floats = Degrader(Chain(steps=(degradation,), between="floats"), 4).degrade_frame(hr)

    assert np.abs(pixels - floats).max() <= 1


@pytest.mark.parametrize("kind", [Bicubic, Lanczos])
def test_floats_of_matlabs_kernels_are_rounded_once(kind):
    hr = noise((1, 60, 60))

    np.testing.assert_array_equal(
        Degrader(Chain(steps=(kind(),), between="floats"), 3).degrade_frame(hr),
        Degrader(kind(rounding="once"), 3).degrade_frame(hr),
    )
