"""Blur by the kernels of Real-ESRGAN, in an order of sums that neither the window nor the machine changes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sr_datasets import exact
from sr_datasets.color import Floats
from sr_datasets.degrade.effect import EachFrame, draw_numbers
from sr_datasets.degrade.step import Context, Region, Samples, StepDraws
from sr_datasets.degrade.taps import border_index
from sr_datasets.recipe.effects import Blur, widest
from sr_datasets.recipe.numbers import is_drawn

# Samples that are made at a time: what a sum works on stays in the nearest cache of a core.
_BLOCK = 1 << 13


@dataclass(frozen=True, slots=True)
class KernelShape:
    """A kernel with its numbers, drawn or fixed."""

    shape: str
    """As ``Blur.shape``."""
    size: int
    """Width and height, odd."""
    sigma: float = 0.0
    """Standard deviation along the first axis."""
    sigma_across: float = 0.0
    """Standard deviation along the second axis."""
    rotation: float = 0.0
    """Angle of the first axis, radians."""
    beta: float = 1.0
    """Exponent."""
    cutoff: float = 0.0
    """Cutoff of ``sinc``, radians per pixel."""

    @property
    def mirrored(self) -> bool:
        """Whether the kernel is the same upside down and from left to right."""
        return self.rotation == 0 or self.sigma == self.sigma_across

    @property
    def separable(self) -> bool:
        """Whether the kernel is a column times a row."""
        return self.shape == "gaussian" and self.mirrored


@lru_cache(maxsize=64)
def kernel_of(shape: KernelShape) -> Floats:
    """Return a kernel's weights, which add up to 1.

    Returns:
        ``(size, size)`` float64, the same when turned by half a turn, to the last bit.
    """
    offsets = np.arange(-(shape.size // 2), shape.size // 2 + 1).astype(np.float64)
    x, y = offsets[np.newaxis, :], offsets[:, np.newaxis]
    if shape.shape == "sinc":
        weights = _low_pass(np.sqrt(x * x + y * y), shape.cutoff)
    else:
        angle = np.array([shape.rotation if shape.sigma != shape.sigma_across else 0.0])
        cosine, sine = exact.cos(angle)[0], exact.sin(angle)[0]
        along = (cosine * x + sine * y) / shape.sigma
        across = (cosine * y - sine * x) / shape.sigma_across
        distance = along * along + across * across
        if shape.shape == "gaussian":
            weights = exact.exp(-0.5 * distance)
        elif shape.shape == "generalized":
            weights = exact.exp(-0.5 * exact.power(distance, shape.beta))
        else:
            weights = 1.0 / (exact.power(distance, shape.beta) + 1.0)
    result: Floats = weights / _total(weights)
    result.flags.writeable = False
    return result


def _total(weights: Floats) -> float:
    """Return the sum, rounded once: the order of a plain sum is NumPy's own."""
    return math.fsum(weights.ravel().tolist())


def _low_pass(radius: Floats, cutoff: float) -> Floats:
    """Return ``cutoff J1(cutoff r) / (2 pi r)``, and its limit ``cutoff**2 / (4 pi)`` in the centre."""
    # The same distance occurs at many places: one evaluation for each.
    squares = np.rint(radius * radius).astype(np.int64)
    found, places = np.unique(squares, return_inverse=True)
    distances = np.sqrt(found[1:].astype(np.float64))
    values = cutoff * exact.bessel_j1(cutoff * distances) / (2.0 * exact.PI * distances)
    centre = np.array([cutoff * cutoff / (4.0 * exact.PI)])
    result: Floats = np.concatenate([centre, values])[places.reshape(radius.shape)]
    return result


class BlurStep(EachFrame[KernelShape]):
    """Filters each frame by its kernel; a border rule answers beyond the frame."""

    def __init__(self, part: Blur, context: Context) -> None:
        super().__init__(context)
        self._part, self._radius = part, widest(part) // 2
        self.draws = any(
            is_drawn(number) for name in part.drawn if (number := getattr(part, name)) is not None
        )

    def needs(self, out: Region, height: int, width: int) -> Region:
        """Return the part of the input that the widest kernel reaches, the border rule answered."""
        rows = border_index(_reach(out.top, out.bottom, self._radius), height, self._part.border)
        columns = border_index(_reach(out.left, out.right, self._radius), width, self._part.border)
        top, left = int(rows.min()), int(columns.min())
        return Region(top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left)

    def values(self, count: int, draws: StepDraws) -> list[KernelShape]:
        """Return the kernel of each frame."""
        part = self._part
        size = int(draw_numbers("size", part.size, 1, draws, whole=True)[0])
        if part.cutoff is not None:
            cutoffs = draw_numbers("cutoff", part.cutoff, count, draws)
            return [KernelShape("sinc", size, cutoff=cutoff) for cutoff in cutoffs]
        assert part.sigma is not None  # the model sees to it
        sigmas = draw_numbers("sigma", part.sigma, count, draws)
        across, rotations = sigmas, [0.0] * count
        if part.sigma_across is not None:
            across = draw_numbers("sigma_across", part.sigma_across, count, draws)
            rotations = draw_numbers("rotation", part.rotation, count, draws)
        betas = [1.0] * count if part.beta is None else draw_numbers("beta", part.beta, count, draws)
        return [
            KernelShape(part.shape, size, *numbers)
            for numbers in zip(sigmas, across, rotations, betas, strict=True)
        ]

    def frame(
        self,
        samples: Samples,
        value: KernelShape,
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        number: int,
        draws: StepDraws,
    ) -> Samples:
        """Filter one frame."""
        radius, border = value.size // 2, self._part.border
        rows = border_index(_reach(out.top, out.bottom, radius), height, border) - at.top
        columns = border_index(_reach(out.left, out.right, radius), width, border) - at.left
        padded = samples[:, rows][:, :, columns].astype(np.float64, copy=False)
        return self.finished(convolve(padded, value), samples)


def convolve(padded: Floats, shape: KernelShape) -> Floats:
    """Return the sum of the kernel's weights times the samples around each sample, where all lie inside.

    The order of the sum is fixed. Samples that a weight shares are added first: two that face each other across
    the centre; of a mirrored kernel, the rows that face each other, then the columns. A separable kernel goes
    over the rows, then over the columns, outer samples first.

    Args:
        padded: ``(planes, height + size - 1, width + size - 1)`` float64.
        shape: The kernel.

    Returns:
        ``(planes, height, width)`` float64.
    """
    padded_height, width = padded.shape[1:]
    reach = shape.size - 1
    # Each plane is one line of samples: a row up or down is ``width`` samples away, and what a line holds at the
    # seams between rows is cut off at the end. So one operation runs over thousands of samples, not over a row.
    line = np.ascontiguousarray(padded).reshape(-1)
    count = line.size - reach * width - reach
    result = np.zeros(line.size)
    if shape.separable:
        weights = _bell(shape.size, shape.sigma), _bell(shape.size, shape.sigma_across)
    else:
        kernel = kernel_of(shape)
    for first in range(0, count, _BLOCK):
        total = result[first : min(first + _BLOCK, count)]
        if shape.separable:
            _add_separable(total, line[first:], width, *weights)
        elif shape.mirrored:
            _add_mirrored(total, line[first:], width, kernel)
        else:
            _add_facing(total, line[first:], width, kernel)
    return result.reshape(padded.shape)[:, : padded_height - reach, : width - reach].copy()


@lru_cache(maxsize=64)
def _bell(size: int, sigma: float) -> Floats:
    """Return a row of a separable Gaussian, which adds up to 1."""
    offsets = np.arange(-(size // 2), size // 2 + 1).astype(np.float64) / sigma
    weights = exact.exp(-0.5 * (offsets * offsets))
    result: Floats = weights / _total(weights)
    result.flags.writeable = False
    return result


def _add_separable(total: Floats, line: Floats, width: int, across: Floats, down: Floats) -> None:
    size, reach = len(down), len(down) - 1
    columns = np.zeros(len(total) + reach)
    _add_line(columns, [line[row * width :] for row in range(size)], down)
    _add_line(total, [columns[column:] for column in range(size)], across)


def _add_mirrored(total: Floats, line: Floats, width: int, kernel: Floats) -> None:
    size, reach = len(kernel), len(kernel) - 1
    for row in range(size // 2 + 1):
        rows = line[row * width : row * width + len(total) + reach]
        if row != reach - row:
            facing = (reach - row) * width
            rows = rows + line[facing : facing + len(rows)]
        _add_line(total, [rows[column:] for column in range(size)], kernel[row])


def _add_line(total: Floats, samples: Sequence[Floats], weights: Floats) -> None:
    """Add weighted samples, those that face each other across the middle one together; outer ones first."""
    count, middle = len(total), len(weights) // 2
    pair = np.empty(count)
    for place in range(middle):
        np.add(samples[place][:count], samples[-1 - place][:count], out=pair)
        np.multiply(pair, weights[place], out=pair)
        np.add(total, pair, out=total)
    np.multiply(samples[middle][:count], weights[middle], out=pair)
    np.add(total, pair, out=total)


def _add_facing(total: Floats, line: Floats, width: int, kernel: Floats) -> None:
    size = len(kernel)
    starts = [row * width + column for row in range(size) for column in range(size)]
    _add_line(total, [line[start:] for start in starts], kernel.reshape(-1))


def _reach(first: int, stop: int, radius: int) -> npt.NDArray[np.int64]:
    return np.arange(first - radius, stop + radius)
