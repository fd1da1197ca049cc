"""Resizing of drawn crops to any size, as PyTorch's ``F.interpolate`` does without antialias."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from sr_datasets.color import Floats
from sr_datasets.degrade.effect import EachFrame, draw_numbers
from sr_datasets.degrade.step import Context, Region, Samples, StepDraws
from sr_datasets.recipe.effects import Resize
from sr_datasets.recipe.numbers import is_drawn

Method = Literal["area", "bilinear", "bicubic"]


class ResizeStep(EachFrame[float]):
    """Resizes crops by a factor of their own size, or of the size of LR."""

    def __init__(self, part: Resize, context: Context) -> None:
        super().__init__(context)
        self._part = part
        self.draws = is_drawn(part.factor) or len(part.methods) > 1

    def values(self, count: int, draws: StepDraws) -> Sequence[float]:
        """Return the factor of each frame."""
        return draw_numbers("factor", self._part.factor, count, draws)

    def frame(
        self,
        samples: Samples,
        value: float,
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        number: int,
        draws: StepDraws,
    ) -> Samples:
        """Refuse windows: a resized frame has no grid that a window keeps."""
        raise ValueError("resize is for chains of: crop")

    def whole(
        self, frames: Sequence[Samples], *, target: tuple[int, int], numbers: Sequence[int], draws: StepDraws
    ) -> list[Samples]:
        """Resize each crop by its factor, all by one method."""
        methods = self._part.methods
        method: Method = methods[0]
        if len(methods) > 1:
            method = methods[draws.shared("method").below(len(methods))]
            draws.record["method"] = method
        results = []
        for samples, factor in zip(frames, self.values(len(frames), draws), strict=True):
            if self._part.base == "input":
                size, step = samples.shape[-2:], 1.0 / factor
            else:
                size, step = target, None
            rows, columns = (max(1, math.floor(side * factor)) for side in size)
            values = samples.astype(np.float64, copy=False)
            results.append(self.finished(interpolate(values, rows, columns, method, step=step), samples))
        return results


def interpolate(
    values: Floats, rows: int, columns: int, method: Method, *, step: float | None = None
) -> Floats:
    """Resize as ``torch.nn.functional.interpolate(values, mode=method)`` with ``align_corners=False``, in float64.

    Rows first, then columns; sums over the taps in their order.

    Args:
        values: ``(planes, height, width)`` float64, any range.
        rows: Rows of the result.
        columns: Columns of the result.
        method: As ``mode``.
        step: Input samples from one output sample to the next, as PyTorch computes with ``scale_factor`` (its
            inverse); left out: the ratio of the sizes, as it does with ``size``. ``area`` always takes the ratio.

    Returns:
        ``(planes, rows, columns)`` float64.
    """
    for axis, count in ((1, rows), (2, columns)):
        weights, places = _weights(values.shape[axis], count, method, step)
        shape = (-1, 1) if axis == 1 else (-1,)
        total: Floats = values.take(places[0], axis=axis)
        total *= weights[0].reshape(shape)
        for weight, place in zip(weights[1:], places[1:], strict=True):
            total += values.take(place, axis=axis) * weight.reshape(shape)
        values = total
    return values


@lru_cache(maxsize=256)
def _weights(
    size: int, count: int, method: Method, step: float | None
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return weights and input samples of each output sample, ``(taps, count)``."""
    index = np.arange(count)
    if method == "area":
        first, stop = index * size // count, -((-(index + 1) * size) // count)
        taps = np.arange(int((stop - first).max()))[:, np.newaxis]
        inside = first + taps < stop
        return inside / (stop - first).astype(np.float64), np.minimum(first + taps, size - 1)
    centres = (index + 0.5) * (size / count if step is None else step) - 0.5
    if method == "bilinear":
        centres = np.maximum(centres, 0.0)
    near = np.floor(centres)
    t = centres - near
    places = near.astype(np.int64) + np.arange(-1, 3)[:, np.newaxis]
    if method == "bilinear":
        weights, places = np.stack([1.0 - t, t]), places[1:3]
    else:
        weights = np.stack([_cubic(t + 1.0), _cubic(t), _cubic(1.0 - t), _cubic(2.0 - t)])
    return weights, np.clip(places, 0, size - 1)


def _cubic(distance: Floats) -> Floats:
    """Return Keys' cubic with a = -0.75, PyTorch's, for distances of 0..2."""
    a = -0.75
    inner = ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1.0
    outer = ((a * distance - 5.0 * a) * distance + 8.0 * a) * distance - 4.0 * a
    result: Floats = np.where(distance <= 1.0, inner, outer)
    return result
