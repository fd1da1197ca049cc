"""HR pixels to LR pixels: a window with its halo, or a whole frame.

Crop first, degrade second: ``degrade`` of a window equals, bit for bit, the crop of the degraded
frame. Taps are in frame coordinates, sums run over the taps in order, elementwise in float64, and the
border rule applies at the frame's border only.
"""

from dataclasses import dataclass

import numpy as np

from sr_datasets.color import Floats, Pixels
from sr_datasets.degrade.taps import Taps, border_index, taps_of
from sr_datasets.recipe import Degradation

# LR rows that a whole frame is degraded at a time: the working set stays in the cache of a core, which
# halves the time, and memory does not grow with the frame.
_BAND_ROWS = 32


@dataclass(frozen=True, slots=True)
class HrWindow:
    """A rectangle of the mod-cropped HR frame."""

    top: int
    """First row."""
    left: int
    """First column."""
    height: int
    """Rows."""
    width: int
    """Columns."""


def halo(degradation: Degradation, scale: int) -> int:
    """Return how many HR pixels around its own an LR window can need, on any side.

    Raises:
        ValueError: The scale is not 2, 3, 4 or 8.

    Example:
        >>> from sr_datasets.recipe import Bicubic
        >>> halo(Bicubic(), 4)
        6
    """
    taps = taps_of(degradation, scale)
    return max(-taps.offsets[0], taps.offsets[-1] - (scale - 1))


def hr_window(
    degradation: Degradation,
    scale: int,
    *,
    lr_top: int,
    lr_left: int,
    lr_height: int,
    lr_width: int,
    frame_height: int,
    frame_width: int,
) -> HrWindow:
    """Return the HR pixels that an LR window is made of; its own HR patch lies inside.

    Args:
        degradation: How LR is made.
        scale: HR-to-LR ratio.
        lr_top: First row on the LR grid.
        lr_left: First column on the LR grid.
        lr_height: LR rows.
        lr_width: LR columns.
        frame_height: Rows of the HR frame, a multiple of the scale.
        frame_width: Columns of the HR frame, a multiple of the scale.

    Raises:
        ValueError: The frame is no multiple of the scale, or the LR window leaves it.
    """
    taps = taps_of(degradation, scale)
    top, bottom = _needed(taps, lr_top, lr_height, frame_height, "rows")
    left, right = _needed(taps, lr_left, lr_width, frame_width, "columns")
    return HrWindow(top=top, left=left, height=bottom - top, width=right - left)


def degrade(
    window: Pixels,
    degradation: Degradation,
    scale: int,
    *,
    window_top: int,
    window_left: int,
    frame_height: int,
    frame_width: int,
    lr_top: int,
    lr_left: int,
    lr_height: int,
    lr_width: int,
    bit_depth: int = 8,
) -> Pixels:
    """Return LR pixels of a window of the frame, equal to the crop of the whole degraded frame.

    Args:
        window: ``(planes, height, width)`` uint8, or uint16 above 8 bits: at least the HR window that
            ``hr_window`` names.
        degradation: How LR is made.
        scale: HR-to-LR ratio.
        window_top: Row of the frame at which ``window`` starts.
        window_left: Column of the frame at which ``window`` starts.
        frame_height: Rows of the HR frame, a multiple of the scale (mod-cropped).
        frame_width: Columns of the HR frame, a multiple of the scale.
        lr_top: First row that is wanted, on the LR grid.
        lr_left: First column that is wanted, on the LR grid.
        lr_height: LR rows.
        lr_width: LR columns.
        bit_depth: Bits per sample, 8..16; results are clipped to 0..2**bit_depth - 1.

    Returns:
        ``(planes, lr_height, lr_width)`` in the window's dtype.

    Raises:
        ValueError: The frame is no multiple of the scale, the LR window leaves it, or ``window`` lacks
            pixels that are needed.
    """
    taps = taps_of(degradation, scale)
    _check_pixels(window, bit_depth)
    _needed(taps, lr_top, lr_height, frame_height, "rows")
    _needed(taps, lr_left, lr_width, frame_width, "columns")
    peak = float((1 << bit_depth) - 1)
    lines = _gather(taps, window, 1, window_top, frame_height, lr_top, lr_height)
    pixels = _gather(taps, lines, 2, window_left, frame_width, lr_left, lr_width).astype(np.float64)
    rows = _filter(taps, pixels, 1, lr_height)
    if taps.rounds_each_pass:
        np.floor(_clipped_plus_half(rows, peak), out=rows)
    # The cast drops the fraction: with the half added before, a half is rounded up, as MATLAB does.
    lr: Pixels = _clipped_plus_half(_filter(taps, rows, 2, lr_width), peak).astype(window.dtype)
    return lr


def degrade_frame(frame: Pixels, degradation: Degradation, scale: int, *, bit_depth: int = 8) -> Pixels:
    """Return LR of a whole frame.

    Args:
        frame: ``(planes, height, width)`` uint8, or uint16 above 8 bits; both sides multiples of the scale.
        degradation: How LR is made.
        scale: HR-to-LR ratio.
        bit_depth: Bits per sample, 8..16.

    Returns:
        ``(planes, height / scale, width / scale)`` in the frame's dtype.

    Raises:
        ValueError: A side is no multiple of the scale, or the scale is not 2, 3, 4 or 8.
    """
    _check_pixels(frame, bit_depth)
    height, width = frame.shape[1:]
    taps = taps_of(degradation, scale)
    _needed(taps, 0, height // scale, height, "rows")
    _needed(taps, 0, width // scale, width, "columns")
    lr = np.empty((frame.shape[0], height // scale, width // scale), frame.dtype)
    for plane in range(frame.shape[0]):
        for top in range(0, lr.shape[1], _BAND_ROWS):
            rows = min(_BAND_ROWS, lr.shape[1] - top)
            lr[plane : plane + 1, top : top + rows] = degrade(
                frame[plane : plane + 1],
                degradation,
                scale,
                window_top=0,
                window_left=0,
                frame_height=height,
                frame_width=width,
                lr_top=top,
                lr_left=0,
                lr_height=rows,
                lr_width=lr.shape[2],
                bit_depth=bit_depth,
            )
    return lr


def _check_pixels(pixels: Pixels, bit_depth: int) -> None:
    if pixels.ndim != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"pixels are (planes, height, width) uint8 or uint16, not {pixels.shape} {pixels.dtype}"
        )
    if not 8 <= bit_depth <= 8 * pixels.dtype.itemsize:
        raise ValueError(
            f"bit_depth is {bit_depth}, must be 8..{8 * pixels.dtype.itemsize} for {pixels.dtype}"
        )


def _needed(taps: Taps, start: int, count: int, size: int, what: str) -> tuple[int, int]:
    """Return the first HR coordinate that is needed inside the frame, and the one after the last."""
    if size < taps.scale or size % taps.scale:
        raise ValueError(
            f"the frame has {size} {what}, no multiple of the scale {taps.scale}: mod-crop it first"
        )
    if start < 0 or count < 1 or start + count > size // taps.scale:
        raise ValueError(
            f"{count} LR {what} from {start} leave the frame: it has {size // taps.scale} LR {what}"
        )
    first, stop = taps.span(start, count)
    if first < 0 or stop > size:
        inside = border_index(np.arange(first, stop), size, taps.border)
        first, stop = int(inside.min()), int(inside.max()) + 1
    return min(first, taps.scale * start), max(stop, taps.scale * (start + count))


def _gather(taps: Taps, pixels: Pixels, axis: int, origin: int, size: int, start: int, count: int) -> Pixels:
    """Return the span of taps on one axis, the border filled by its rule; ``origin`` is where pixels start."""
    first, stop = taps.span(start, count)
    length = pixels.shape[axis]
    if first >= max(origin, 0) and stop <= min(origin + length, size):
        return pixels[(slice(None),) * axis + (slice(first - origin, stop - origin),)]
    inside = border_index(np.arange(first, stop), size, taps.border) - origin
    if inside.min() < 0 or inside.max() >= length:
        raise ValueError(
            f"the window has {length} samples from {origin} on axis {axis}; "
            f"{inside.min() + origin}..{inside.max() + origin} are needed: take what hr_window names"
        )
    return pixels.take(inside, axis=axis)


def _filter(taps: Taps, pixels: Floats, axis: int, count: int) -> Floats:
    """Filter and subsample one axis of a span of taps: a sum over the taps in their order."""
    before = (slice(None),) * axis
    steps = [
        (*before, slice(first, first + taps.scale * (count - 1) + 1, taps.scale))
        for first in (offset - taps.offsets[0] for offset in taps.offsets)
    ]
    total = pixels[steps[0]] * taps.weights[0]
    product = np.empty_like(total)
    for step, weight in zip(steps[1:], taps.weights[1:], strict=True):
        np.multiply(pixels[step], weight, out=product)
        np.add(total, product, out=total)
    return total


def _clipped_plus_half(values: Floats, peak: float) -> Floats:
    """Clip to 0..peak and add a half, in place."""
    np.clip(values, 0.0, peak, out=values)
    return np.add(values, 0.5, out=values)
