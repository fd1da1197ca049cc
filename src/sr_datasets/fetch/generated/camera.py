"""Layers that move before a camera, and the 4:2:0 frames that it takes of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sr_datasets.fetch.generated.integers import TURN, UNIT, cosine, sine
from sr_datasets.fetch.generated.painting import Points

PIXEL = 256
"""Steps of a position in one pixel."""

FULL = 4080
"""A channel of 255 when the points of a pixel are averaged: 8 bits and 4 more; also full coverage."""

Picture = NDArray[np.uint16]

_FRACTION = 16
_BAND_ROWS = 48


@dataclass(frozen=True, slots=True)
class Motion:
    """Where a layer is in each frame. Positions are in 1/256 pixel, angles in ``TURN`` units."""

    start: tuple[int, int]
    """Where the layer's centre stands in frame 0: x and y from the top left corner of the frame."""
    step: tuple[int, int] = (0, 0)
    """How far it moves from one frame to the next."""
    sway: tuple[int, int] = (0, 0)
    """Amplitude of a swinging motion on top of it."""
    sway_period: int = 16
    """Frames of one swing."""
    turn: int = 0
    """Its angle in frame 0."""
    turn_step: int = 0
    """Angle from one frame to the next."""
    zoom: int = 4096
    """Its magnification in frame 0, in 1/4096."""
    zoom_step: int = 0
    """Change of the magnification from one frame to the next."""

    def centre(self, frame_index: int) -> tuple[int, int]:
        """Return where the layer's centre stands, x and y in 1/256 pixel."""
        phase = TURN * frame_index // self.sway_period
        return (
            self.start[0] + self.step[0] * frame_index + (self.sway[0] * sine(phase)) // UNIT,
            self.start[1] + self.step[1] * frame_index + (self.sway[1] * cosine(phase)) // UNIT,
        )

    def matrix(self, frame_index: int) -> tuple[int, int]:
        """Return a and b, in 1/65536, of ``(u, v) = (a dx + b dy, a dy - b dx)`` from the frame to the layer."""
        angle = self.turn + self.turn_step * frame_index
        zoom = self.zoom + self.zoom_step * frame_index
        return (cosine(angle) << 14) // zoom, (sine(angle) << 14) // zoom


class Layer:
    """A painted canvas, seen through a lens and moved about.

    Args:
        points: As ``Canvas.render`` returns them.
        oversample: Points per pixel and axis: 2 or 4.
        motion: How the layer moves.
        blur: Widths of the lens's box filters in powers of two of a point, such as ``(1,)`` or ``(3, 3)``; on top
            of the box of one pixel that each sensor element collects.
        whole: Whether the layer fills the frame; otherwise it is looked for only where it is, and must not be
            magnified.
    """

    def __init__(
        self,
        points: Points,
        *,
        oversample: int,
        motion: Motion,
        blur: tuple[int, ...] = (),
        whole: bool = True,
    ) -> None:
        self.motion = motion
        self._whole = whole
        self._oversample = oversample
        pixel = oversample.bit_length() - 1
        boxes = (pixel, *blur)
        taps = 1 + sum((1 << log2) - 1 for log2 in boxes)
        rows, columns = points.shape[0] - taps + 1, points.shape[1] - taps + 1
        # A point of `_packed` is the mean of the `taps` points from its own on: R, G, B and coverage in 64 bits.
        collected = np.empty((rows, columns, 4), np.uint16)
        for top in range(0, rows, _BAND_ROWS):
            bottom = min(top + _BAND_ROWS, rows)
            collected[top:bottom] = _collect(points[top : bottom + taps - 1], boxes)
        self._packed = collected.view(np.uint64)[..., 0]
        self._origin = ((columns - 1) * _FRACTION // 2, (rows - 1) * _FRACTION // 2)
        self._reach = (max(points.shape[:2]) * 3 // 4 // oversample + 2) * PIXEL

    def draw(self, picture: Picture, frame_index: int) -> None:
        """Lay one frame's view of the layer over ``(3, height, width)`` uint16 R, G, B of 0..4080."""
        height, width = picture.shape[1:]
        centre_x, centre_y = self.motion.centre(frame_index)
        first, last, left, right = 0, height, 0, width
        if not self._whole:
            first, last = (
                max(0, (centre_y - self._reach) // PIXEL),
                min(height, (centre_y + self._reach) // PIXEL),
            )
            left, right = (
                max(0, (centre_x - self._reach) // PIXEL),
                min(width, (centre_x + self._reach) // PIXEL),
            )
        a, b = (self._oversample * part for part in self.motion.matrix(frame_index))
        # The middle of pixel n is n + 1/2.
        dx = (np.arange(left, right, dtype=np.int64) * PIXEL + (PIXEL // 2 - centre_x))[None, :]
        for top in range(first, last, _BAND_ROWS):
            bottom = min(top + _BAND_ROWS, last)
            dy = (np.arange(top, bottom, dtype=np.int64) * PIXEL + (PIXEL // 2 - centre_y))[:, None]
            # 1/256 pixel times 1/65536 is 2^-24; positions on the canvas are in 1/16 of a point.
            view = self._sample(
                ((dx * a + dy * b) >> 20) + self._origin[0], ((dy * a - dx * b) >> 20) + self._origin[1]
            )
            _lay_over(picture[:, top:bottom, left:right], view[..., None].view(np.uint16))

    def _sample(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Interpolate between the four points about each position, given in 1/16 of a point."""
        rows, columns = self._packed.shape
        x = np.clip(x, 0, (columns - 1) * _FRACTION - 1)
        y = np.clip(y, 0, (rows - 1) * _FRACTION - 1)
        corner = ((y >> 4) * columns + (x >> 4)).astype(np.intp)
        right, below = (x & 15).astype(np.uint64), (y & 15).astype(np.uint64)
        flat = self._packed.reshape(-1)
        upper = _between(flat.take(corner), flat.take(corner + 1), right)
        corner += columns
        lower = _between(flat.take(corner), flat.take(corner + 1), right)
        return _between(upper, lower, below)


def _collect(points: Points, boxes: tuple[int, ...]) -> Picture:
    """Average over boxes of ``2**log2`` points one after another; 255 becomes 4080."""
    bits = 0
    for log2 in boxes:
        for axis in (0, 1):
            if bits + log2 > 8:
                points, bits = points >> np.uint16(log2), bits - log2
            for step in (1 << power for power in range(log2)):
                here, there = (
                    (points[:-step], points[step:]) if axis == 0 else (points[:, :-step], points[:, step:])
                )
                points = here + there
            bits += log2
    return points << np.uint16(4 - bits) if bits < 4 else points >> np.uint16(bits - 4)


def _between(
    here: NDArray[np.uint64], there: NDArray[np.uint64], share: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Interpolate four packed channels at once; ``share`` of 16 parts is ``there``.

    16 * 4080 and the rounding fit the 16 bits of a channel, so that nothing runs over into the next.
    """
    mixed: NDArray[np.uint64] = (
        here * (np.uint64(_FRACTION) - share) + there * share + np.uint64(0x0008_0008_0008_0008)
    )
    return (mixed >> np.uint64(4)) & np.uint64(0x0FFF_0FFF_0FFF_0FFF)


def _lay_over(picture: Picture, view: Picture) -> None:
    free = FULL - view[..., 3].astype(np.int32)
    for channel, plane in enumerate(picture):
        behind = plane * free
        # (n + n / 256) / 4096 is n / 4080 to one part in 65536.
        plane[...] = np.minimum(((behind + (behind >> 8) + 2048) >> 12) + view[..., channel], FULL)


def to_yuv420(picture: Picture) -> list[NDArray[np.uint8]]:
    """Convert R'G'B' to Y'CbCr: BT.601-7 matrix, limited range, 4:2:0 with chroma sited left (as MPEG-2).

    A chroma sample lies on an even column, halfway between two rows: weights (1 2 1) / 4 across and (1 1) / 2 down,
    applied to R'G'B' before they are rounded to 8 bits.

    Args:
        picture: ``(3, height, width)`` uint16 of 0..4080; sides even.

    Returns:
        Y', Cb and Cr as uint8.
    """
    red, green, blue = picture.astype(np.int32)
    # 219 / 4080 and 224 / 32640 times the matrix, both in 1/2^20.
    luma = (16829 * red + 33039 * green + 6416 * blue + (16 << 20) + (1 << 19)) >> 20
    pairs = (picture[:, 0::2] + picture[:, 1::2]).astype(np.int32)
    padded = np.concatenate([pairs[..., :1], pairs], axis=2)
    red, green, blue = padded[..., 0:-1:2] + 2 * padded[..., 1::2] + padded[..., 2::2]
    cb = (-1214 * red - 2384 * green + 3598 * blue + (128 << 20) + (1 << 19)) >> 20
    cr = (3598 * red - 3013 * green - 585 * blue + (128 << 20) + (1 << 19)) >> 20
    return [plane.astype(np.uint8) for plane in (luma, cb, cr)]
