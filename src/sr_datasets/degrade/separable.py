"""Filters that go over rows and columns one after the other, the same at each place."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sr_datasets.color import Floats, Pixels
from sr_datasets.degrade.step import Context, Region, Samples, Step, StepDraws
from sr_datasets.degrade.taps import Taps, border_index

_Sample = TypeVar("_Sample", bound=np.generic)

# LR rows that are made at a time: the working set stays in the cache of a core, which halves the time of
# a whole frame, and memory does not grow with it.
_BAND_ROWS = 32


class SeparableStep(Step):
    """Filters and subsamples by taps that are the same for every sample.

    Sums run over the taps in order, elementwise in float64, and the border rule applies at the frame's
    border only, so that a part of the output equals the crop of the whole output, bit for bit.
    """

    def __init__(self, taps: Taps, context: Context) -> None:
        self.taps, self.peak, self.ratio = taps, context.peak, taps.scale

    def needs(self, out: Region, height: int, width: int) -> Region:
        """Return the part of the input that taps reach, the border rule answered."""
        top, bottom = _reached(self.taps, out.top, out.height, height)
        left, right = _reached(self.taps, out.left, out.width, width)
        return Region(top, left, bottom - top, right - left)

    def apply(
        self,
        frames: Sequence[Samples],
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        numbers: Sequence[int],
        draws: StepDraws,
    ) -> list[Samples]:
        """Filter and subsample each frame."""
        return [self._frame(frame, at, height, width, out) for frame in frames]

    def _frame(self, frame: Samples, at: Region, height: int, width: int, out: Region) -> Samples:
        if out.height <= 2 * _BAND_ROWS:  # a patch
            return self._band(frame, at, height, width, out)
        result = np.empty((frame.shape[0], out.height, out.width), frame.dtype)
        for plane in range(frame.shape[0]):
            for first in range(0, out.height, _BAND_ROWS):
                rows = min(_BAND_ROWS, out.height - first)
                band = Region(out.top + first, out.left, rows, out.width)
                result[plane : plane + 1, first : first + rows] = self._band(
                    frame[plane : plane + 1], at, height, width, band
                )
        return result

    def _band(self, frame: Samples, at: Region, height: int, width: int, out: Region) -> Samples:
        taps = self.taps
        lines = gather(taps, frame, 1, at.top, height, out.top, out.height)
        pixels = gather(taps, lines, 2, at.left, width, out.left, out.width).astype(np.float64)
        rows = filtered(taps, taps.weights, pixels, 1, out.height)
        if taps.rounds_each_pass and frame.dtype != np.float64:
            np.floor(_clipped_plus_half(rows, self.peak), out=rows)
        values = filtered(taps, taps.weights, rows, 2, out.width)
        if frame.dtype == np.float64:
            return values
        if taps.halves == "even":
            np.rint(np.clip(values, 0.0, self.peak, out=values), out=values)
        else:
            # The cast drops the fraction: with the half added before, a half is rounded up, as MATLAB does.
            _clipped_plus_half(values, self.peak)
        result: Pixels = values.astype(frame.dtype)
        return result


def _reached(taps: Taps, start: int, count: int, size: int) -> tuple[int, int]:
    """Return the first coordinate that is needed inside the frame, and the one after the last."""
    first, stop = taps.span(start, count)
    if first < 0 or stop > size:
        inside = border_index(np.arange(first, stop), size, taps.border)
        return int(inside.min()), int(inside.max()) + 1
    return first, stop


def gather(
    taps: Taps, pixels: npt.NDArray[_Sample], axis: int, origin: int, size: int, start: int, count: int
) -> npt.NDArray[_Sample]:
    """Return the span of taps on one axis, the border filled by its rule; ``origin`` is where pixels start."""
    first, stop = taps.span(start, count)
    length = pixels.shape[axis]
    if first >= max(origin, 0) and stop <= min(origin + length, size):
        return pixels[(slice(None),) * axis + (slice(first - origin, stop - origin),)]
    inside = border_index(np.arange(first, stop), size, taps.border) - origin
    return pixels.take(inside, axis=axis)


def filtered(
    taps: Taps, weights: Sequence[Any], samples: npt.NDArray[Any], axis: int, count: int
) -> npt.NDArray[Any]:
    """Filter and subsample one axis of a span of taps: a sum over the taps in their order.

    Args:
        taps: Which samples are taken.
        weights: Of each tap its weight: a number, or one for each output sample on this axis.
        samples: ``(planes, height, width)``, on this axis the span that ``gather`` returns.
        axis: 1 or 2.
        count: Output samples on this axis.

    Returns:
        The sums, in the dtype of the samples' and the weights' product.
    """
    if axis == 2:
        return filtered(taps, weights, samples.swapaxes(1, 2), 1, count).swapaxes(1, 2)
    # Each tap takes every scale-th line: laid out one after another they are read in one go.
    phases = [np.ascontiguousarray(samples[:, phase :: taps.scale]) for phase in range(taps.scale)]
    places = [divmod(offset - taps.offsets[0], taps.scale) for offset in taps.offsets]
    lines = [phases[phase][:, first : first + count] for first, phase in places]
    columns = [weight[:, np.newaxis] if np.ndim(weight) else weight for weight in weights]
    total: npt.NDArray[Any] = lines[0] * columns[0]
    product = np.empty_like(total)
    for line, weight in zip(lines[1:], columns[1:], strict=True):
        np.multiply(line, weight, out=product)
        np.add(total, product, out=total)
    return total


def _clipped_plus_half(values: Floats, peak: float) -> Floats:
    """Clip to 0..peak and add a half, in place."""
    np.clip(values, 0.0, peak, out=values)
    return np.add(values, 0.5, out=values)
