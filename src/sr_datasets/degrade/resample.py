"""MATLAB's bicubic ``imresize`` to any size, on doubles and on pixels, for evaluation and pictures."""

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from sr_datasets.color import Floats, Pixels
from sr_datasets.degrade.taps import border_index, cubic, sum_in_order


def resize_bicubic(
    image: Floats,
    out_height: int,
    out_width: int,
    *,
    border: Literal["symmetric", "replicate"] = "symmetric",
) -> Floats:
    """Resize as MATLAB's ``imresize(double, [out_height out_width], 'bicubic')``, in either direction.

    Shrinking is antialiased. Nothing is rounded or clipped: bicubic overshoots by some percent.

    Args:
        image: ``(planes, height, width)`` float64, any range.
        out_height: Rows of the result.
        out_width: Columns of the result.
        border: ``symmetric`` as current MATLAB, ``replicate`` as older releases.

    Returns:
        ``(planes, out_height, out_width)`` float64.

    Raises:
        ValueError: A size is not positive.
    """
    values = np.asarray(image, np.float64)
    for axis in _pass_order(values.shape, out_height, out_width):
        values = _resize_axis(values, axis, (out_height, out_width)[axis - 1], border)
    return values


def resize_bicubic_pixels(
    image: Pixels,
    out_height: int,
    out_width: int,
    *,
    rounding: Literal["each-pass", "once"] = "each-pass",
    border: Literal["symmetric", "replicate"] = "symmetric",
    bit_depth: int = 8,
) -> Pixels:
    """Resize pixels as MATLAB's bicubic ``imresize``, in either direction.

    Args:
        image: ``(planes, height, width)`` uint8, or uint16 above 8 bits.
        out_height: Rows of the result.
        out_width: Columns of the result.
        rounding: ``each-pass`` as on a uint8 array; ``once`` as on doubles that are rounded when written.
        border: ``symmetric`` as current MATLAB, ``replicate`` as older releases.
        bit_depth: Bits per sample; results are clipped to 0..2**bit_depth - 1.

    Returns:
        ``(planes, out_height, out_width)`` in the image's dtype.

    Raises:
        ValueError: A size is not positive.
    """
    peak = (1 << bit_depth) - 1
    values = image.astype(np.float64)
    for axis in _pass_order(values.shape, out_height, out_width):
        values = _resize_axis(values, axis, (out_height, out_width)[axis - 1], border)
        if rounding == "each-pass":
            values = to_whole(values, peak)
    result: Pixels = to_whole(values, peak).astype(image.dtype)
    return result


def to_whole(values: Floats, peak: int) -> Floats:
    """Clip to 0..peak and round to whole numbers, a half up, as MATLAB's conversion to an integer class."""
    return np.floor(np.clip(values, 0.0, peak) + 0.5)


def _pass_order(shape: tuple[int, ...], out_height: int, out_width: int) -> tuple[int, int]:
    """Return the axes in MATLAB's order: the smaller ratio first, rows first when equal."""
    if len(shape) != 3 or min(shape) < 1 or out_height < 1 or out_width < 1:
        raise ValueError(f"cannot resize {shape} to {out_height} rows and {out_width} columns")
    return (1, 2) if out_height * shape[2] <= out_width * shape[1] else (2, 1)


def _resize_axis(
    values: Floats, axis: int, out_size: int, border: Literal["symmetric", "replicate"]
) -> Floats:
    size = values.shape[axis]
    if size == out_size:
        return values
    weights, indices = _contributions(size, out_size, border)
    column = (-1, 1) if axis == 1 else (-1,)
    total: Floats = values.take(indices[0], axis=axis)
    total *= weights[0].reshape(column)
    product = np.empty_like(total)
    for tap in range(1, len(weights)):
        np.take(values, indices[tap], axis=axis, out=product, mode="clip")
        product *= weights[tap].reshape(column)
        total += product
    return total


@lru_cache(maxsize=64)
def _contributions(
    size: int, out_size: int, border: Literal["symmetric", "replicate"]
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return weights and frame coordinates, ``(taps, out_size)``, as ``contributions`` of MATLAB's ``imresize``."""
    scale = out_size / size
    stretch = min(scale, 1.0)  # below 1, the kernel is widened against aliasing
    width = 4 / stretch
    taps = math.ceil(width) + 2
    weights = np.zeros((taps, out_size))
    first = np.empty(out_size, np.int64)
    for index in range(out_size):
        # Coordinates are MATLAB's, from 1, so that they round as MATLAB's do.
        centre = (index + 1) / scale + 0.5 * (1 - 1 / scale)
        first[index] = math.floor(centre - width / 2)
        row = [stretch * cubic(stretch * (centre - (first[index] + tap))) for tap in range(taps)]
        total = sum_in_order(row)
        weights[:, index] = [weight / total for weight in row]
    used = weights.any(axis=1)
    coordinates = first + np.arange(taps)[:, np.newaxis] - 1
    weights, indices = weights[used], border_index(coordinates[used], size, border)
    weights.flags.writeable = indices.flags.writeable = False
    return weights, indices
