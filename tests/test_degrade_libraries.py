"""Downscalers against the libraries that they are named after, and against arrays that those made."""

from pathlib import Path

import numpy as np
import PIL
import pytest
from degrading import SCALES, noise
from PIL import Image

from sr_datasets.degrade import Degrader, Region, degrade_frame
from sr_datasets.recipe import (
    Area,
    Chain,
    OpenCvBicubic,
    PillowBicubic,
    SwscaleBicubic,
    TorchBicubic,
)

DATA = Path(__file__).parent / "data"
SIZES = ((1, 1), (2, 3), (1, 7), (5, 2), (41, 70))


# Pillow

PILLOW = PillowBicubic(
    tall="vertical-first" if int(PIL.__version__.partition(".")[0]) >= 13 else "horizontal-first"
)
"""As the installed Pillow."""


@pytest.mark.parametrize("scale", SCALES)
def test_pillow_bicubic_equals_pillow_in_every_sample(scale):
    for seed, (height, width) in enumerate(SIZES):
        hr = noise((3, height * scale, width * scale), seed=seed)
        picture = Image.fromarray(np.ascontiguousarray(hr.transpose(1, 2, 0)))

        theirs = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)).transpose(2, 0, 1)

        np.testing.assert_array_equal(degrade_frame(hr, PILLOW, scale), theirs)


@pytest.mark.parametrize("scale", SCALES)
def test_pillow_bicubic_of_16_bits_equals_pillows_mode_i16(scale):
    for seed, (height, width) in enumerate(SIZES):
        hr = noise((1, height * scale, width * scale), bit_depth=16, seed=seed)

        theirs = np.asarray(Image.fromarray(hr[0]).resize((width, height), Image.Resampling.BICUBIC))

        np.testing.assert_array_equal(degrade_frame(hr, PILLOW, scale, bit_depth=16)[0], theirs)


def test_pillow_bicubic_clips_to_the_clips_own_depth():
    edge = np.full((1, 24, 24), 1023, np.uint16)
    edge[:, :, 11:] = 0

    assert degrade_frame(edge, PILLOW, 2, bit_depth=10).max() == 1023


def test_releases_of_pillow_differ_in_tall_frames_alone():
    for height, width, differ in ((21, 10, True), (20, 10, False), (10, 30, False)):
        hr = noise((1, 4 * height, 4 * width))
        first, second = (
            degrade_frame(hr, PillowBicubic(tall=tall), 4) for tall in ("horizontal-first", "vertical-first")
        )

        assert (first != second).any() == differ


# PyTorch


@pytest.mark.torch
@pytest.mark.parametrize("scale", SCALES)
def test_torch_bicubic_equals_torch_in_every_sample_of_8_bits(scale):
    torch = pytest.importorskip("torch")
    for seed, (height, width) in enumerate(SIZES):
        hr = noise((3, height * scale, width * scale), seed=seed)

        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(hr)[None].float(), size=(height, width), mode="bicubic", antialias=True
        )

        np.testing.assert_array_equal(
            degrade_frame(hr, TorchBicubic(), scale), theirs[0].clamp(0, 255).round().numpy()
        )


@pytest.mark.torch
@pytest.mark.parametrize("scale", SCALES)
def test_torch_bicubic_is_within_a_millionth_of_the_peak_before_it_is_rounded(scale):
    torch = pytest.importorskip("torch")
    hr = noise((1, 41 * scale, 70 * scale)).astype(np.float64)
    chain = Chain(steps=(TorchBicubic(),), between="floats")
    step = Degrader(chain, scale, color="y").steps[0]
    whole = Region(0, 0, *hr.shape[1:])

    (ours,) = step.apply(
        [hr],
        at=whole,
        height=whole.height,
        width=whole.width,
        out=Region(0, 0, 41, 70),
        numbers=[0],
        draws=None,
    )
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(hr)[None].float(), size=(41, 70), mode="bicubic", antialias=True
    )

    assert np.abs(ours - theirs[0].numpy()).max() < 255e-6


# OpenCV, through arrays that scripts/golden_downscalers.py made


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("degradation", [OpenCvBicubic(), Area()], ids=["cubic", "area"])
def test_opencv_in_every_sample_of_8_bits(degradation, scale):
    with np.load(DATA / "golden_downscalers.npz") as golden:
        hr, theirs = golden[f"hr_x{scale}"], golden[f"opencv_{degradation.kind}_x{scale}"]

    np.testing.assert_array_equal(degrade_frame(hr, degradation, scale), theirs)


@pytest.mark.parametrize("scale", SCALES)
def test_area_is_the_exact_mean_of_each_block(scale):
    for bit_depth in (8, 10, 16):
        hr = noise((2, 12 * scale, 9 * scale), bit_depth=bit_depth, seed=scale)
        sums = hr.reshape(2, 12, scale, 9, scale).astype(np.int64).sum(axis=(2, 4))

        # floor(sum / scale**2 + 1/2)
        expected = (2 * sums + scale**2) // (2 * scale**2)
        np.testing.assert_array_equal(
            degrade_frame(hr, Area(halves="up"), scale, bit_depth=bit_depth), expected
        )


def test_halves_of_area_go_up_at_x2_and_to_the_even_level_at_x4_as_in_opencv():
    flat = np.zeros((1, 4, 4), np.uint8)
    flat[0, ::2] = 1  # every mean is 1/2

    assert degrade_frame(flat, Area(), 2).tolist() == [[[1, 1], [1, 1]]]
    assert degrade_frame(flat, Area(), 4).tolist() == [[[0]]]
    assert degrade_frame(flat + 1, Area(), 4).tolist() == [[[2]]]
    assert degrade_frame(flat, Area(halves="up"), 4).tolist() == [[[1]]]


# FFmpeg


@pytest.mark.parametrize("bit_depth", [8, 10, 16])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_accurate_swscale_is_a_stretched_cubic_with_a_of_minus_six_tenths(scale, bit_depth):
    # The middle grays, since swscale clips what overshoots between the passes.
    hr = noise((3, 40 * scale, 48 * scale), bit_depth=bit_depth, seed=scale) // 2 + (1 << (bit_depth - 2))

    lr = degrade_frame(hr, SwscaleBicubic(accurate=True), scale, bit_depth=bit_depth)

    assert lr.dtype == hr.dtype
    assert lr.shape == (3, 40, 48)
    taps, centre = np.arange(-2 * scale, 3 * scale), (scale - 1) / 2
    distance = np.abs(taps - centre) / scale
    a = -0.6
    weights = np.where(
        distance < 1,
        (a + 2) * distance**3 - (a + 3) * distance**2 + 1,
        np.where(distance < 2, a * (distance**3 - 5 * distance**2 + 8 * distance - 4), 0),
    )
    weights /= weights.sum()
    rows = np.stack([hr[:, scale * i + taps].transpose(0, 2, 1) @ weights for i in range(4, 36)], axis=1)
    values = np.stack([rows[:, :, scale * i + taps] @ weights for i in range(4, 44)], axis=2)
    peak = (1 << bit_depth) - 1
    # Weights of 14 bits and sums of 15: swscale is within a level of 8 bits of the formula.
    assert np.abs(lr[:, 4:36, 4:44] - np.clip(values, 0, peak)).max() < 1.5 * (1 << (bit_depth - 8))


def test_swscale_needs_the_whole_frame_and_crops_it():
    hr = noise((3, 48, 64))
    degrader = Degrader(SwscaleBicubic(), 4)
    part = Region(3, 5, 4, 6)

    assert degrader.scope == "frame"
    at = degrader.hr_region(part, 48, 64)
    assert at == Region(0, 0, 48, 64)
    (lr,), _ = degrader.degrade([hr], at=at, height=48, width=64, lr=part)
    np.testing.assert_array_equal(lr, part.cut(degrader.degrade_frame(hr), Region(0, 0, 12, 16)))


def test_what_swscale_cannot_do_is_said():
    with pytest.raises(ValueError, match="no grey pixels of 11 bits"):
        Degrader(SwscaleBicubic(), 2, bit_depth=11)
    floats = Degrader(Chain(steps=(SwscaleBicubic(),), between="floats"), 2)
    with pytest.raises(ValueError, match="take between: pixels"):
        floats.degrade_frame(noise((3, 8, 8)))
