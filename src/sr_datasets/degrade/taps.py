"""The taps of each degradation: which HR samples make one LR sample, and with which weights.

Every degradation here is separable and the same at each place: on each axis, LR sample ``i`` is the
sum over ``t`` of ``weights[t] * HR[scale * i + offsets[t]]``, in the order of ``t``. The weights are
made by operations that IEEE 754 or the decimal specification define to the last bit (no ``exp`` of a
C library), so they are the same on every machine.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

from sr_datasets.recipe.degradations import BdBasicVsr, BdDuf, Bicubic

Border = Literal["symmetric", "replicate", "reflect"]
"""What lies beyond the frame. ``symmetric``: ``b a | a b c``; ``replicate``: ``a a | a b c``;
``reflect``: ``c b | a b c``."""


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
    rounds_each_pass: bool
    """Whether the vertical pass is rounded and clipped before the horizontal one."""

    def span(self, start: int, count: int) -> tuple[int, int]:
        """Return the first HR coordinate that ``count`` LR samples from ``start`` use, and the one after the last.

        They may lie outside the frame, where the border rule answers.
        """
        return self.scale * start + self.offsets[0], self.scale * (start + count - 1) + self.offsets[-1] + 1


@lru_cache
def taps_of(degradation: Bicubic | BdDuf | BdBasicVsr, scale: int) -> Taps:
    """Return the taps of a degradation.

    Raises:
        ValueError: The scale is not 2, 3, 4 or 8.
    """
    if scale not in (2, 3, 4, 8):
        raise ValueError(f"scale is {scale}, must be 2, 3, 4 or 8")
    match degradation:
        case Bicubic(rounding=rounding, border=border):
            return _bicubic(scale, border, rounds_each_pass=rounding == "each-pass")
        case BdDuf():
            # SciPy's gaussian_filter of a delta, sigma 0.4 scale, cut at int(4 sigma + 0.5): 7, 11, 13, 27 taps.
            radius = (16 * scale + 5) // 10
            return Taps(
                scale=scale,
                offsets=tuple(range(-radius, radius + 1)),
                weights=_gaussian(2 * radius + 1, sigma=Decimal("0.4") * scale),
                border="reflect",
                rounds_each_pass=False,
            )
        case BdBasicVsr():
            # Even scales: sampled at 1-based scale / 2 : scale : end; an even kernel covers -(n/2 - 1)..+n/2
            # about it. x3: the middle of each three, as imresize(..., 1/3, 'nearest') picks it.
            taps, sample = (7, 1) if scale == 3 else (12, scale // 2 - 1)
            first = sample - (taps - 1) // 2
            return Taps(
                scale=scale,
                offsets=tuple(range(first, first + taps)),
                weights=_gaussian(taps, sigma=Decimal("1.6")),
                border="replicate",
                rounds_each_pass=False,
            )
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


def _bicubic(scale: int, border: Border, *, rounds_each_pass: bool) -> Taps:
    # MATLAB stretches the kernel by the scale against aliasing. LR sample 0 lies at HR (scale - 1) / 2,
    # so every distance is exact in binary and the weights are the same for all samples.
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


def _gaussian(taps: int, *, sigma: Decimal) -> tuple[float, ...]:
    """Return a sampled Gaussian about its middle, adding up to 1, each weight correctly rounded."""
    with localcontext(prec=40):
        middle = Decimal(taps - 1) / 2
        bell = [(-((index - middle) ** 2) / (2 * sigma * sigma)).exp() for index in range(taps)]
        total = sum(bell, Decimal(0))
        return tuple(float(weight / total) for weight in bell)
