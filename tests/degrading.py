"""Degrading by numbers, as the tests like it."""

import numpy as np

from sr_datasets.degrade import Degrader, Region
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

SCALES = (2, 3, 4, 8)
BICUBICS = [
    Bicubic(rounding=rounding, border=border)
    for rounding in ("each-pass", "once")
    for border in ("symmetric", "replicate")
]
OTHERS = [
    BdDuf(),
    BdBasicVsr(),
    BdSofVsr(),
    BdTecoGan(),
    BdSpmc(),
    PillowBicubic(),
    PillowBicubic(tall="vertical-first"),
    TorchBicubic(),
    OpenCvBicubic(),
    Area(),
    Area(halves="up"),
    Lanczos(),
    Lanczos(lobes=2, rounding="once", border="replicate"),
    *(
        GaussianSubsample(sigma=sigma, phase=phase, border=border)
        for sigma, phase, border in (
            (1.0, "centre", "replicate"),
            (0.9, "first", "symmetric"),
            (2.3, "centre", "reflect"),
        )
    ),
]
DEGRADATIONS = [*BICUBICS, *OTHERS]
NAMES = [f"{one.kind}-{number}" for number, one in enumerate(DEGRADATIONS)]


def noise(shape, *, bit_depth=8, seed=0):
    """Pixels of which a good part sits at both limits, so that overshoot is clipped."""
    peak = (1 << bit_depth) - 1
    values = np.random.default_rng(seed).integers(-peak // 4, peak + peak // 4, shape)
    return np.clip(values, 0, peak).astype(np.uint8 if bit_depth == 8 else np.uint16)


def lr_region(place):
    return Region(place["lr_top"], place["lr_left"], place["lr_height"], place["lr_width"])


def hr_window(degradation, scale, *, frame_height, frame_width, **place):
    return Degrader(degradation, scale).hr_region(lr_region(place), frame_height, frame_width)


def degrade(
    window,
    degradation,
    scale,
    *,
    window_top,
    window_left,
    frame_height,
    frame_width,
    bit_depth=8,
    **place,
):
    (lr,), drawn = Degrader(
        degradation, scale, bit_depth=bit_depth, color="y" if len(window) == 1 else "rgb"
    ).degrade(
        [window],
        at=Region(window_top, window_left, *window.shape[1:]),
        height=frame_height,
        width=frame_width,
        lr=lr_region(place),
    )
    assert drawn == []
    return lr
