"""Bicubic as Pillow and PyTorch do it: the window is cut at the frame's border, the horizontal pass goes first.

Where a window would leave the frame, its taps beyond the border are left out and the weights of the others are
divided by their own sum. Away from the border the taps are MATLAB's.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sr_datasets.color import Pixels
from sr_datasets.degrade.resample import to_whole
from sr_datasets.degrade.separable import SeparableStep, filtered, gather
from sr_datasets.degrade.step import Context, Region, Samples
from sr_datasets.degrade.taps import Taps, bicubic_taps, check_scale, sum_in_order

_Numbers: TypeAlias = npt.NDArray[Any]
"""int32, float32 or float64: samples and weights of one pass have the same."""
_Cut: TypeAlias = tuple[int, int]
"""Offsets that lie inside the frame: from, and the one after the last."""


class _CutWindowStep(SeparableStep):
    """A separable filter whose weights change where the frame cuts the window."""

    def __init__(self, context: Context) -> None:
        check_scale(context.scale)
        # What is read beyond the frame does not matter: its weight is 0.
        super().__init__(bicubic_taps(context.scale, "replicate", rounds_each_pass=True), context)

    @abstractmethod
    def _weights(self, cut: _Cut, dtype: npt.DTypeLike) -> _Numbers:
        """Return the weight of each tap of a window that is cut, 0 where a tap is left out."""

    def _horizontal(self, values: _Numbers, at: Region, width: int, out: Region) -> _Numbers:
        """Filter and subsample rows, in the dtype of ``values``, which are the rectangle ``at`` of the frame."""
        span = gather(self.taps, values, 2, at.left, width, out.left, out.width)
        weights = self._along(width, out.left, out.width, values.dtype)
        return filtered(self.taps, weights, span, 2, out.width)

    def _vertical(self, values: _Numbers, at: Region, height: int, out: Region) -> _Numbers:
        span = gather(self.taps, values, 1, at.top, height, out.top, out.height)
        weights = self._along(height, out.top, out.height, values.dtype)
        return filtered(self.taps, weights, span, 1, out.height)

    def _along(self, size: int, start: int, count: int, dtype: npt.DTypeLike) -> list[_Numbers]:
        """Return for each tap its weight at every output sample: one number where no window is cut."""
        taps = self.taps
        first, last = taps.offsets[0], taps.offsets[-1] + 1
        # Windows start at scale * i + first: those of samples below ``low`` and from ``high`` on are cut.
        low, high = -(first // taps.scale), (size - last) // taps.scale + 1
        whole = self._weights((first, last), dtype)
        if start >= low and start + count <= high:
            return list(whole)
        table = np.repeat(whole[:, np.newaxis], count, axis=1)
        stop = start + count
        for index in {*range(start, min(low, stop)), *range(max(high, start), stop)}:
            place = taps.scale * index
            table[:, index - start] = self._weights((max(first, -place), min(last, size - place)), dtype)
        return list(table)


class PillowBicubicStep(_CutWindowStep):
    """Pillow's ``resize(BICUBIC)``.

    8 bits: weights are whole multiples of 2**-22 and sums are integers. Above, and on floats: double sums.
    """

    def __init__(self, context: Context, *, tall: Literal["horizontal-first", "vertical-first"]) -> None:
        super().__init__(context)
        self._turns_if_tall = tall == "vertical-first"

    def _weights(self, cut: _Cut, dtype: npt.DTypeLike) -> _Numbers:
        return _pillow_fixed(self.taps, cut) if dtype == np.int32 else _pillow_weights(self.taps, cut)

    def _band(self, frame: Samples, at: Region, height: int, width: int, out: Region) -> Samples:
        inside = self.needs(out, height, width)
        values: _Numbers = inside.cut(frame, at).astype(np.int32 if frame.dtype == np.uint8 else np.float64)
        if self._turns_if_tall and height > 2 * width:
            values = self._rounded(self._vertical(values, inside, height, out), frame)
            values = self._rounded(self._horizontal(values, inside, width, out), frame)
        else:
            values = self._rounded(self._horizontal(values, inside, width, out), frame)
            values = self._rounded(self._vertical(values, inside, height, out), frame)
        result: Samples = values.astype(frame.dtype, copy=False)
        return result

    def _rounded(self, sums: _Numbers, frame: Samples) -> _Numbers:
        if frame.dtype == np.float64:
            return sums
        if frame.dtype != np.uint8:
            return to_whole(sums, self.peak)
        np.add(sums, 1 << (_FIXED_BITS - 1), out=sums)
        np.right_shift(sums, _FIXED_BITS, out=sums)
        return np.clip(sums, 0, self.peak, out=sums)


class TorchBicubicStep(_CutWindowStep):
    """PyTorch's antialiased bicubic of float32 in 0..peak, clamped and rounded, an exact half to the even level."""

    def _weights(self, cut: _Cut, dtype: npt.DTypeLike) -> _Numbers:
        return _torch_weights(self.taps, cut)

    def _band(self, frame: Samples, at: Region, height: int, width: int, out: Region) -> Samples:
        inside = self.needs(out, height, width)
        values = self._horizontal(inside.cut(frame, at).astype(np.float32), inside, width, out)
        values = self._vertical(values, inside, height, out)
        if frame.dtype == np.float64:
            return values.astype(np.float64)
        pixels: Pixels = np.rint(np.clip(values, 0, self.peak)).astype(frame.dtype)
        return pixels


_FIXED_BITS = 22  # of a weight in Pillow: 32, less 8 of the pixel and 2 for overshoot


@lru_cache(maxsize=4096)
def _pillow_weights(taps: Taps, cut: _Cut) -> npt.NDArray[np.float64]:
    return _within(taps, cut, _pillow_cubic)


@lru_cache(maxsize=4096)
def _pillow_fixed(taps: Taps, cut: _Cut) -> npt.NDArray[np.int32]:
    # A half is added away from 0 and the fraction dropped, as C casts.
    scaled = _pillow_weights(taps, cut) * (1 << _FIXED_BITS)
    return np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int32)


def _within(taps: Taps, cut: _Cut, kernel: Callable[[float], float]) -> npt.NDArray[np.float64]:
    centre, ratio = (taps.scale - 1) / 2, 1 / taps.scale
    values = [
        kernel((offset - centre) * ratio) if cut[0] <= offset < cut[1] else 0.0 for offset in taps.offsets
    ]
    total = sum_in_order(values)
    return np.array([value / total for value in values])


def _pillow_cubic(distance: float) -> float:
    """Return Keys' cubic with a = -0.5 as Pillow nests it, below 2."""
    x = abs(distance)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5


@lru_cache(maxsize=4096)
def _torch_weights(taps: Taps, cut: _Cut) -> npt.NDArray[np.float32]:
    """Return the float32 weights of PyTorch's builds with fused multiply-add."""
    one = np.float32(1)
    centre, ratio = np.float32((taps.scale - 1) / 2), one / np.float32(taps.scale)
    values = [
        _torch_cubic(np.abs((np.float32(offset) - centre) * ratio))
        if cut[0] <= offset < cut[1]
        else np.float32(0)
        for offset in taps.offsets
    ]
    total = np.float32(0)
    for value in values:
        total += value
    return np.array([value / total for value in values], np.float32)


def _torch_cubic(x: np.float32) -> np.float32:
    def fused(left: np.float32, plus: float) -> np.float32:
        # A product of two float32 is exact in float64.
        return np.float32(float(left) * float(x) + plus)

    if x < 1:
        return fused(fused(np.float32(1.5), -2.5) * x, 1)
    return fused(fused(fused(np.float32(-0.5), 2.5), -4), 2)
