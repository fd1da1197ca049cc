"""Interest points of pictures and their descriptors: 128 bits that stay the same through rescaling and re-encoding.

A point is an extremum of the difference of Gaussians over place and scale (D. G. Lowe, "Distinctive Image Features
from Scale-Invariant Keypoints", IJCV 2004: three scales an octave, quadratic fit, edges left out), so that a crop of a
picture has the points that the picture has there, and a smaller copy has them at smaller scales. Pictures are taken
upright: rows of a set are not turned, though a copy may be mirrored.

The descriptor of a point is of our own making: the signs of 128 windowed cosine coefficients of the surroundings, in
units of the point's scale. Signs do not change with brightness, contrast or bit depth; and mirroring the picture
flips exactly the signs of odd columns, so that a mirrored copy is found by one exclusive-or.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

DESCRIPTOR_BYTES: Final = 16
"""Bytes of a descriptor."""

_SCALES = 3  # per octave, as Lowe found best
SIGMA = 1.1  # of the finest level; Lowe has 1.6 on a picture enlarged twice, which is 0.8 on the picture
_CAMERA_SIGMA = 0.5  # blur that pictures come with, Lowe's assumption
_CONTRAST = 1.0  # least difference of Gaussians at an extremum, in 8-bit levels
_EDGE_RATIO = 10.0  # Lowe's
_SAMPLES = 16  # of the descriptor's window on each axis
_RADIUS = 6.0  # half the window's side, in units of sigma
INSET = 2.5  # least distance of a point from the picture's edge, in units of sigma
_SMALLEST = 16  # side of the smallest octave
_BATCH_SAMPLES = 1 << 17  # pictures are taken in batches that stay in the cache


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Interest points of a batch of pictures, pictures in order; arrays of one length."""

    picture: npt.NDArray[np.int32]
    """Number of the picture in the batch."""
    x: Floats
    """Column, in samples; the centre of the first sample is 0."""
    y: Floats
    """Row, likewise."""
    sigma: Floats
    """Scale: the standard deviation of the Gaussian, in samples."""
    bits: npt.NDArray[np.uint8]
    """``(points, 16)``: the descriptor."""

    def __len__(self) -> int:
        return len(self.x)

    def take(self, where: npt.NDArray[np.bool_ | np.intp] | slice) -> "Points":
        """Return some of the points, in the order that is asked for."""
        return Points(self.picture[where], self.x[where], self.y[where], self.sigma[where], self.bits[where])


def find_points(pictures: Floats) -> Points:
    """Find the interest points of pictures of one size.

    Args:
        pictures: ``(pictures, height, width)`` luma in 8-bit levels, 0..255, of whatever range and depth.
    """
    count, height, width = pictures.shape
    step = max(1, _BATCH_SAMPLES // (height * width))
    found = [_find(pictures[start : start + step], start) for start in range(0, count, step)]
    return join_points(found)


def join_points(parts: list[Points]) -> Points:
    """Return the points of several batches, one after another."""
    if not parts:
        empty = np.empty(0, np.float32)
        return Points(np.empty(0, np.int32), empty, empty, empty, np.empty((0, DESCRIPTOR_BYTES), np.uint8))
    return Points(
        np.concatenate([part.picture for part in parts]),
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.sigma for part in parts]),
        np.concatenate([part.bits for part in parts]),
    )


def _find(pictures: Floats, first: int) -> Points:
    height, width = pictures.shape[1:]
    level = blurred(pictures, (SIGMA**2 - _CAMERA_SIGMA**2) ** 0.5)
    parts, step = [], 1
    while min(level.shape[1:]) >= _SMALLEST:
        levels = [level]
        for number in range(1, _SCALES + 3):
            before, sigma = SIGMA * 2 ** ((number - 1) / _SCALES), SIGMA * 2 ** (number / _SCALES)
            levels.append(blurred(levels[-1], (sigma**2 - before**2) ** 0.5))
        parts.append(_octave(np.stack(levels), step, first, (height, width)))
        level = np.ascontiguousarray(levels[_SCALES][:, ::2, ::2])
        step *= 2
    points = join_points(parts)
    return points.take(np.argsort(points.picture, kind="stable"))


def blurred(pictures: Floats, sigma: float) -> Floats:
    """Return ``(pictures, height, width)`` convolved with a Gaussian, mirrored at the edges."""
    weights = _gaussian(sigma)
    radius = len(weights) - 1
    for axis in (1, 2):
        padding = [(0, 0)] * 3
        padding[axis] = (radius, radius)
        padded = np.pad(pictures, padding, mode="symmetric")
        padded = np.moveaxis(padded, axis, 0)
        size = pictures.shape[axis]
        out = padded[radius : radius + size] * weights[0]
        for tap in range(1, radius + 1):
            both = padded[radius - tap : radius - tap + size] + padded[radius + tap : radius + tap + size]
            both *= weights[tap]
            out += both
        pictures = np.moveaxis(out, 0, axis)
    return np.ascontiguousarray(pictures)


@lru_cache
def _gaussian(sigma: float) -> Floats:
    """Return the centre and one side of a normalised Gaussian, cut at 3.5 sigma."""
    side = np.exp(-0.5 * (np.arange(int(3.5 * sigma + 0.5) + 1) / sigma) ** 2)
    weights: Floats = (side / (2 * side.sum() - side[0])).astype(np.float32)
    return weights


def _octave(levels: Floats, step: int, first: int, size: tuple[int, int]) -> Points:
    """Find the points of one octave: ``levels`` is ``(6, pictures, height, width)``."""
    differences = levels[1:] - levels[:-1]
    scale, picture, row, column = _extrema(differences)
    offset, keep = _refined(differences, scale, picture, row, column)
    scale, picture, offset = scale[keep], picture[keep], offset[keep]
    y = row[keep].astype(np.float32) + offset[:, 1]
    x = column[keep].astype(np.float32) + offset[:, 2]
    sigma = (SIGMA * 2.0 ** ((scale + offset[:, 0]) / _SCALES)).astype(np.float32)
    height, width = size
    inset = INSET * sigma
    inside = (x >= inset) & (x <= (width - 1) / step - inset)
    inside &= (y >= inset) & (y <= (height - 1) / step - inset)
    scale, picture = scale[inside], picture[inside]
    x, y, sigma = x[inside], y[inside], sigma[inside]
    return Points(
        (picture + first).astype(np.int32),
        x * np.float32(step),
        y * np.float32(step),
        sigma * np.float32(step),
        _describe(levels, scale, picture, x, y, sigma),
    )


def _extrema(differences: Floats) -> tuple[npt.NDArray[np.intp], ...]:
    """Return scale, picture, row and column of what is larger, or smaller, than its 26 neighbours."""
    found = []
    for scale in range(1, _SCALES + 1):
        middle = differences[scale]
        inner = middle[:, 1:-1, 1:-1]
        rows = np.maximum(np.maximum(middle[:, :-2], middle[:, 2:]), middle[:, 1:-1])
        highest = np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 2:]), rows[:, :, 1:-1])
        np.minimum(np.minimum(middle[:, :-2], middle[:, 2:], out=rows), middle[:, 1:-1], out=rows)
        lowest = np.minimum(np.minimum(rows[:, :, :-2], rows[:, :, 2:]), rows[:, :, 1:-1])
        mask = ((inner == highest) & (inner > _CONTRAST)) | ((inner == lowest) & (inner < -_CONTRAST))
        picture, row, column = np.nonzero(mask)
        row, column = row + 1, column + 1
        value = middle[picture, row, column]
        sign = np.sign(value)
        beyond = np.ones(len(row), bool)
        for other in (scale - 1, scale + 1):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    beyond &= (value - differences[other][picture, row + dy, column + dx]) * sign > 0
        found.append((np.full(beyond.sum(), scale), picture[beyond], row[beyond], column[beyond]))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _refined(
    differences: Floats,
    scale: npt.NDArray[np.intp],
    picture: npt.NDArray[np.intp],
    row: npt.NDArray[np.intp],
    column: npt.NDArray[np.intp],
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Fit a quadratic; return its extremum's ``(points, 3)`` offset, and which points lie on no mere edge."""

    def at(ds: int, dy: int, dx: int) -> npt.NDArray[np.float64]:
        return differences[scale + ds, picture, row + dy, column + dx].astype(np.float64)

    middle = at(0, 0, 0)
    ss = at(1, 0, 0) + at(-1, 0, 0) - 2 * middle
    yy = at(0, 1, 0) + at(0, -1, 0) - 2 * middle
    xx = at(0, 0, 1) + at(0, 0, -1) - 2 * middle
    sy = (at(1, 1, 0) - at(1, -1, 0) - at(-1, 1, 0) + at(-1, -1, 0)) / 4
    sx = (at(1, 0, 1) - at(1, 0, -1) - at(-1, 0, 1) + at(-1, 0, -1)) / 4
    yx = (at(0, 1, 1) - at(0, 1, -1) - at(0, -1, 1) + at(0, -1, -1)) / 4
    s, y, x = (
        (at(1, 0, 0) - at(-1, 0, 0)) / 2,
        (at(0, 1, 0) - at(0, -1, 0)) / 2,
        (at(0, 0, 1) - at(0, 0, -1)) / 2,
    )
    # Cramer's rule on the symmetric 3x3 system H offset = -gradient.
    a, b, c = yy * xx - yx * yx, sx * yx - sy * xx, sy * yx - sx * yy
    determinant = ss * a + sy * b + sx * c
    safe = np.where(determinant == 0, 1.0, determinant)
    d, e, f = ss * xx - sx * sx, sx * sy - ss * yx, ss * yy - sy * sy
    offset = (
        -np.stack([a * s + b * y + c * x, b * s + d * y + e * x, c * s + e * y + f * x], 1) / safe[:, None]
    )
    planar = yy * xx - yx * yx
    keep = (planar > 0) & ((yy + xx) ** 2 * _EDGE_RATIO < (_EDGE_RATIO + 1) ** 2 * planar)
    keep &= (determinant != 0) & (np.abs(offset) < 1).all(1)
    return np.clip(offset, -1, 1).astype(np.float32), keep


def _describe(
    levels: Floats,
    scale: npt.NDArray[np.intp],
    picture: npt.NDArray[np.intp],
    x: Floats,
    y: Floats,
    sigma: Floats,
) -> npt.NDArray[np.uint8]:
    height, width = levels.shape[2:]
    steps = ((np.arange(_SAMPLES) + 0.5) * (2 * _RADIUS / _SAMPLES) - _RADIUS).astype(np.float32)
    rows = np.clip(y[:, None] + steps * sigma[:, None], 0, height - 1)
    columns = np.clip(x[:, None] + steps * sigma[:, None], 0, width - 1)
    top = np.minimum(rows.astype(np.intp), height - 2)
    left = np.minimum(columns.astype(np.intp), width - 2)
    down, right = (rows - top)[:, :, None], (columns - left)[:, None, :]
    flat = levels.reshape(-1)
    place = ((scale * levels.shape[1] + picture) * height)[:, None, None]
    corner = (place + top[:, :, None]) * width + left[:, None, :]
    upper = flat[corner] * (1 - right) + flat[corner + 1] * right
    corner += width
    lower = flat[corner] * (1 - right) + flat[corner + 1] * right
    samples = (upper * (1 - down) + lower * down).reshape(len(x), _SAMPLES**2)
    return np.packbits(samples @ basis() > 0, axis=1, bitorder="little")


@lru_cache
def frequencies() -> npt.NDArray[np.int64]:
    """Return row and column frequency of each bit of a descriptor, ``(128, 2)``, lowest first."""
    pairs = [(v, u) for v in range(16) for u in range(16) if v or u]
    pairs.sort(key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))
    return np.array(pairs[: 8 * DESCRIPTOR_BYTES])


@lru_cache
def mirror_mask() -> npt.NDArray[np.uint8]:
    """Return the bits that a mirrored picture flips: cosines of odd column frequency are odd functions."""
    return np.packbits(frequencies()[:, 1] % 2 == 1, bitorder="little")


@lru_cache
def basis() -> Floats:
    """Return ``(samples, 128)``: cosines under a Gaussian window, each without a mean."""
    place = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    window = np.exp(-0.5 * ((place - 0.5) / 0.27) ** 2)
    cosines = np.cos(np.pi * np.arange(16)[:, None] * place)
    columns = []
    for v, u in frequencies():
        wave = np.outer(cosines[v], cosines[u])
        weight = np.outer(window, window)
        columns.append((weight * (wave - (weight * wave).sum() / weight.sum())).reshape(-1))
    basis: Floats = np.stack(columns, 1).astype(np.float32)
    return basis
