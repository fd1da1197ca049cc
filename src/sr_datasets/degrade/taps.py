"""The taps of each degradation: which HR samples make one LR sample, and with which weights.

Every degradation here is separable and the same at each place: on each axis, LR sample ``i`` is the
sum over ``t`` of ``weights[t] * HR[scale * i + offsets[t]]``, in the order of ``t``. The weights are
made by operations that IEEE 754 or the decimal specification define to the last bit (no ``exp`` of a
C library), so they are the same on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache
from typing import Literal, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from sr_datasets.recipe.degradations import (
    Area,
    BdBasicVsr,
    BdDuf,
    BdSofVsr,
    BdTecoGan,
    Bicubic,
    Border,
    GaussianSubsample,
    Lanczos,
    OpenCvBicubic,
)

Separable: TypeAlias = (
    Bicubic | OpenCvBicubic | Lanczos | Area | BdDuf | BdBasicVsr | BdSofVsr | BdTecoGan | GaussianSubsample
)
"""Degradations whose taps are the same at each place, rows and columns one after the other."""


@dataclass(frozen=True, slots=True)
class Taps:
    """How one axis is filtered and subsampled."""

    scale: int
    """HR-to-LR ratio."""
    offsets: tuple[int, ...]
    """HR coordinate of each tap, from ``scale`` times the LR coordinate; ascending."""
    weights: tuple[float, ...]
    """Weight of each tap; they add up to 1."""
    border: Border
    """What lies beyond the frame."""
    rounds_each_pass: bool = False
    """Whether the vertical pass is rounded and clipped before the horizontal one."""
    halves: Literal["up", "even"] = "up"
    """Where an exact half goes when the result is rounded."""

    def span(self, start: int, count: int) -> tuple[int, int]:
        """Return the first HR coordinate that ``count`` LR samples from ``start`` use, and the one after the last.

        They may lie outside the frame, where the border rule answers.
        """
        return self.scale * start + self.offsets[0], self.scale * (start + count - 1) + self.offsets[-1] + 1


def check_scale(scale: int) -> None:
    """Refuse scales that no degradation has.

    Raises:
        ValueError: The scale is not 2, 3, 4 or 8.
    """
    if scale not in (2, 3, 4, 8):
        raise ValueError(f"scale is {scale}, must be 2, 3, 4 or 8")


@lru_cache
def taps_of(degradation: Separable, scale: int) -> Taps:
    """Return the taps of a degradation.

    Raises:
        ValueError: The scale is not 2, 3, 4 or 8.
    """
    check_scale(scale)
    match degradation:
        case Bicubic(rounding=rounding, border=border):
            return bicubic_taps(scale, border, rounds_each_pass=rounding == "each-pass")
        case OpenCvBicubic():
            # The LR sample lies at HR (scale - 1) / 2: on a sample at x3, halfway between two otherwise.
            if scale == 3:
                return Taps(scale, (1,), (1.0,), "replicate", halves="even")
            first = scale // 2 - 2
            weights = (-3 / 32, 19 / 32, 19 / 32, -3 / 32)  # Keys' cubic with a = -0.75 at 1.5 and 0.5
            return Taps(scale, tuple(range(first, first + 4)), weights, "replicate", halves="even")
        case Lanczos(lobes=lobes, rounding=rounding, border=border):
            return _lanczos(scale, lobes, border, rounds_each_pass=rounding == "each-pass")
        case Area(halves=halves):
            even = halves == "opencv" and scale > 2
            return Taps(
                scale=scale,
                offsets=tuple(range(scale)),
                # Exact but for x3, where the sum is a ninth of a whole number and never near a half.
                weights=(1 / scale,) * scale,
                border="replicate",
                halves="even" if even else "up",
            )
        case BdDuf():
            # SciPy's gaussian_filter of a delta, sigma 0.4 scale, cut at int(4 sigma + 0.5): 7, 11, 13, 27 taps.
            return _gaussian(
                scale, Decimal("0.4") * scale, radius=Decimal((16 * scale + 5) // 10), border="reflect"
            )
        case BdBasicVsr():
            # Even scales: sampled at 1-based scale / 2 : scale : end; an even kernel of 12 covers -5..+6 about it.
            # x3: 7 taps about the middle of each three, as imresize(..., 1/3, 'nearest') picks it.
            radius = Decimal(3) if scale == 3 else Decimal("5.5")
            return _gaussian(scale, Decimal("1.6"), radius, "replicate", centre=Decimal(scale - 1) / 2)
        case BdSofVsr():
            return _gaussian(scale, Decimal("1.6"), Decimal(6), "symmetric")
        case BdTecoGan():
            return _gaussian(scale, Decimal("1.5"), Decimal(4), "reflect", halves="even")
        case GaussianSubsample(sigma=sigma, radius=given, phase=phase, border=border):
            decimal_sigma = Decimal(str(sigma))
            radius = (
                Decimal(str(given)) if given is not None else Decimal(int(4 * decimal_sigma + Decimal("0.5")))
            )
            centre = Decimal(scale - 1) / 2 if phase == "centre" else Decimal(0)
            return _gaussian(scale, decimal_sigma, radius, border, centre=centre)
        case _:
            assert_never(degradation)


def border_index(coordinates: npt.NDArray[np.int64], size: int, border: Border) -> npt.NDArray[np.int64]:
    """Return the frame coordinate whose sample stands for each coordinate, inside the frame or beyond."""
    match border:
        case "replicate":
            return np.clip(coordinates, 0, size - 1)
        case "symmetric":
            folded = coordinates % (2 * size)
            return np.minimum(folded, 2 * size - 1 - folded)
        case "reflect":
            # A frame of one sample reflects onto itself.
            period = max(2 * (size - 1), 1)
            folded = coordinates % period
            return np.minimum(folded, period - folded) if size > 1 else folded
        case _:
            assert_never(border)


def cubic(distance: float) -> float:
    """Return Keys' cubic with a = -0.5, as MATLAB's ``imresize`` (OpenCV has a = -0.75)."""
    x = abs(distance)
    if x <= 1:
        return 1.5 * x * x * x - 2.5 * x * x + 1
    if x <= 2:
        return -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2
    return 0.0


def bicubic_taps(scale: int, border: Border, *, rounds_each_pass: bool) -> Taps:
    """Return MATLAB's bicubic taps.

    The kernel is stretched by the scale against aliasing. LR sample 0 lies at HR (scale - 1) / 2, so every distance
    is exact in binary and the weights are the same for all samples.
    """
    ratio = 1 / scale
    centre = (scale - 1) / 2
    pairs = [
        (offset, weight)
        for offset in range(-2 * scale, 3 * scale)
        if (weight := ratio * cubic(ratio * (centre - offset))) != 0
    ]
    total = sum_in_order([weight for _, weight in pairs])
    return Taps(
        scale=scale,
        offsets=tuple(offset for offset, _ in pairs),
        weights=tuple(weight / total for _, weight in pairs),
        border=border,
        rounds_each_pass=rounds_each_pass,
    )


def sum_in_order(values: list[float]) -> float:
    """Add from left to right (``sum`` compensates since Python 3.12, which would change the last bit)."""
    total = 0.0
    for value in values:
        total += value
    return total


def _gaussian(
    scale: int,
    sigma: Decimal,
    radius: Decimal,
    border: Border,
    *,
    centre: Decimal = Decimal(0),
    halves: Literal["up", "even"] = "up",
) -> Taps:
    """Return a sampled Gaussian: the taps within ``radius`` of ``centre``."""
    with localcontext(prec=40):
        return _kernel(
            scale,
            centre,
            radius,
            lambda x: (-(x * x) / (2 * sigma * sigma)).exp(),
            border=border,
            halves=halves,
        )


def _lanczos(scale: int, lobes: int, border: Border, *, rounds_each_pass: bool) -> Taps:
    """Return MATLAB's Lanczos taps, stretched by the scale against aliasing as its bicubic."""
    with localcontext(prec=40):
        return _kernel(
            scale,
            Decimal(scale - 1) / 2,
            Decimal(lobes * scale),
            lambda x: _sinc(x / scale) * _sinc(x / (lobes * scale)),
            border=border,
            rounds_each_pass=rounds_each_pass,
        )


def _kernel(
    scale: int,
    centre: Decimal,
    radius: Decimal,
    value: Callable[[Decimal], Decimal],
    *,
    border: Border,
    rounds_each_pass: bool = False,
    halves: Literal["up", "even"] = "up",
) -> Taps:
    """Sample a kernel at whole offsets within ``radius`` of ``centre``: weights that add up to 1, correctly rounded."""
    first, last = (
        (centre - radius).to_integral_value(ROUND_CEILING),
        (centre + radius).to_integral_value(ROUND_FLOOR),
    )
    offsets = range(int(first), int(last) + 1)
    values = [value(offset - centre) for offset in offsets]
    total = sum(values, Decimal(0))
    weights = {offset: float(v / total) for offset, v in zip(offsets, values, strict=True) if v}
    return Taps(
        scale,
        tuple(weights),
        tuple(weights.values()),
        border,
        rounds_each_pass=rounds_each_pass,
        halves=halves,
    )


_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


def _sinc(x: Decimal) -> Decimal:
    """Return sin(pi x) / (pi x), 1 at 0 and exactly 0 at other whole numbers, by its power series."""
    if x == 0:
        return Decimal(1)
    if x == x.to_integral_value():
        return Decimal(0)
    square = (_PI * x) ** 2
    term = total = Decimal(1)
    number = 0
    while abs(term) > Decimal("1e-38"):
        number += 2
        term *= -square / (number * (number + 1))
        total += term
    return total
