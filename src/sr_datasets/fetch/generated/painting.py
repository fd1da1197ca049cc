"""A canvas that is painted from the front to the back, and the materials that its shapes are made of.

A canvas has several points per pixel (``oversample`` on each axis). Shapes only say which points are theirs; what a
material looks like is worked out afterwards, once for each point. What lies in front is painted first, so no point
is painted twice; the picture is the one that an endless rain of leaves would leave (Kendall and Thoennes, 1999).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sr_datasets.fetch.generated.font import CAPITAL_UNITS, advance_units, glyph
from sr_datasets.fetch.generated.integers import UNIT, Draws, Int32Array, cosine, lattice, sine

Shape = Literal["ellipse", "leaf", "board"]
Points = NDArray[np.uint16]

_GRAIN_SIDE = 512
_BAND_ROWS = 16


@dataclass(frozen=True, slots=True)
class Material:
    """What a shape is made of. Brightness is in units of 1/256 of the colour, lengths in points of the canvas."""

    rgb: tuple[int, int, int]
    """Colour, 0..255 each."""
    grain: int = 0
    """Standard deviation of the 1/f grain, in brightness."""
    grain_zoom: tuple[int, int] = (256, 256)
    """How fast the grain runs along and across the shape, in 1/256; unequal makes fibres."""
    slope: int = 0
    """Brightness gained from the centre to the end of the longer axis."""
    dome: int = 0
    """Brightness lost from the centre to the rim."""
    stripes: tuple[int, int] = (0, 0)
    """Strength of the lines that are counted along and across the shape, in brightness."""
    periods: tuple[int, int] = (64, 64)
    """Period of these lines, in points."""
    hard: bool = False
    """Lines with edges, instead of sine waves."""


class Canvas:
    """Points that take a material once, and keep it.

    Args:
        height: Height in points.
        width: Width in points.
        draws: Where the canvas takes its own draws from: for grain.
    """

    def __init__(self, height: int, width: int, *, draws: Draws) -> None:
        self.height, self.width = height, width
        self.num_free = height * width
        self._free = np.ones((height, width), np.bool_)
        self._owner = np.zeros((height, width), np.uint16)
        self._rows = [_Row()]
        self._grain = _grain_tile(draws.below(1 << 62))
        self._draws = draws

    def paint(
        self, shape: Shape, x: int, y: int, half_length: int, half_width: int, angle: int, material: Material
    ) -> None:
        """Give the free points of a shape about ``(x, y)`` to a material.

        Args:
            shape: ``ellipse``, ``leaf`` (two arcs that meet in points) or ``board`` (a rectangle).
            x: Centre, in points; may lie outside the canvas.
            y: Centre, in points; may lie outside the canvas.
            half_length: Half of the longer axis, in points, 1..4000.
            half_width: Half of the shorter axis, in points: ``half_length // 5`` to ``half_length``; any for a board.
            angle: Direction of the longer axis in ``TURN`` units, clockwise on the screen.
            material: What the shape is made of.
        """
        along, across = cosine(angle), sine(angle)
        reach_x = reach_y = half_length
        if shape == "board":
            reach_x = (half_length * abs(along) + half_width * abs(across)) // UNIT + 1
            reach_y = (half_length * abs(across) + half_width * abs(along)) // UNIT + 1
        top, left = max(0, y - reach_y), max(0, x - reach_x)
        area = slice(top, max(0, y + reach_y + 1)), slice(left, max(0, x + reach_x + 1))
        free = self._free[area]
        rows, columns = _places(free)
        dx, dy = columns + (left - x), rows + (top - y)
        u = (dx * along + dy * across) >> 14
        v = (dy * along - dx * across) >> 14
        match shape:
            case "ellipse":
                v = (v * (half_length * 64 // half_width)) >> 6
                inside = u * u + v * v <= half_length * half_length
            case "leaf":
                offset = (half_length * half_length - half_width * half_width) // (2 * half_width)
                v = np.abs(v) + offset
                inside = u * u + v * v <= (offset + half_width) ** 2
            case "board":
                inside = (np.abs(u) <= half_length) & (np.abs(v) <= half_width)
        taken = inside & free if inside.ndim == 2 else (rows[inside], columns[inside])
        num_taken = int(np.count_nonzero(inside if isinstance(taken, tuple) else taken))
        if num_taken:
            free[taken] = False
            self._owner[area][taken] = self._add(x, y, angle, half_length, material)
            self.num_free -= num_taken

    def has_room(self, x: int, y: int, reach: int) -> bool:
        """Return whether a point of the square of ``reach`` about ``(x, y)`` is free."""
        area = self._free[
            max(0, y - reach) : max(0, y + reach + 1), max(0, x - reach) : max(0, x + reach + 1)
        ]
        return bool(area.any())

    def write(
        self, text: str, x: int, y: int, *, capital: int, pen: int, angle: int, material: Material
    ) -> None:
        """Write a line of text from the point ``(x, y)`` of its base line; see ``font.glyph``."""
        along, across = cosine(angle), sine(angle)
        number = self._add(x, y, angle, capital, material)
        run = 0
        for character in text:
            if character != " ":
                stamp = glyph(character, capital, pen, angle)
                top = y + run * across * capital // (UNIT * CAPITAL_UNITS) + stamp.top
                left = x + run * along * capital // (UNIT * CAPITAL_UNITS) + stamp.left
                cut_top, cut_left = max(0, -top), max(0, -left)
                mask = stamp.mask[cut_top : max(0, self.height - top), cut_left : max(0, self.width - left)]
                if mask.size:
                    self._take(top + cut_top, left + cut_left, mask, number)
            run += advance_units(character)

    def _add(self, x: int, y: int, angle: int, size: int, material: Material) -> int:
        self._rows.append(_Row.of(x, y, angle, size, material, self._draws))
        return len(self._rows) - 1

    def _take(self, top: int, left: int, inside: NDArray[np.bool_], number: int) -> None:
        area = slice(top, top + inside.shape[0]), slice(left, left + inside.shape[1])
        taken = inside & self._free[area]
        self.num_free -= int(np.count_nonzero(taken))
        self._free[area] ^= taken
        self._owner[area][taken] = number

    def render(self) -> Points:
        """Work out every point.

        Returns:
            ``(height, width, 4)`` uint16: R, G, B of 0..255 and coverage: 255 where there is a material, and all four
            0 where the canvas is free.
        """
        table = np.array([row.numbers for row in self._rows], dtype=np.int32).T.copy()
        out = np.empty((self.height, self.width, 4), np.uint16)
        x = np.arange(self.width, dtype=np.int32)[None, :]
        for top in range(0, self.height, _BAND_ROWS):
            rows = slice(top, min(top + _BAND_ROWS, self.height))
            y = np.arange(rows.start, rows.stop, dtype=np.int32)[:, None]
            self._shade(table, self._owner[rows].astype(np.intp), x, y, out[rows])
        return out

    def _shade(
        self, table: Int32Array, owner: NDArray[np.intp], x: Int32Array, y: Int32Array, out: Points
    ) -> None:
        def of(field: int) -> Int32Array:
            column: Int32Array = table[field]
            return column.take(owner)

        dx, dy, along, across = x - of(0), y - of(1), of(2), of(3)
        u = (dx * along + dy * across) >> 14
        v = (dy * along - dx * across) >> 14
        light = ((u * of(4)) >> 10) - (((u * u + v * v) * of(5)) >> 14) + 256
        grain_x = (((u * of(6)) >> 8) + of(8)) & (_GRAIN_SIDE - 1)
        grain_y = (((v * of(7)) >> 8) + of(9)) & (_GRAIN_SIDE - 1)
        light += (self._grain.take(grain_y * _GRAIN_SIDE + grain_x) * of(10)) >> 6
        wave = of(15)
        light += (_WAVES.take(wave + (((u * of(11)) >> 8) & 1023)) * of(13)) >> 8
        light += (_WAVES.take(wave + (((v * of(12)) >> 8) & 1023)) * of(14)) >> 8
        for channel in range(3):
            np.clip((of(16 + channel) * light) >> 8, 0, 255, out=out[..., channel], casting="unsafe")
        out[..., 3] = of(19)


def _places(free: NDArray[np.bool_]) -> tuple[Int32Array, Int32Array]:
    """Return rows and columns to look at: of all points, to broadcast, or one by one of the free when few are."""
    if 4 * int(np.count_nonzero(free)) < free.size:
        rows, columns = np.nonzero(free)
        return rows.astype(np.int32), columns.astype(np.int32)
    return np.arange(free.shape[0], dtype=np.int32)[:, None], np.arange(free.shape[1], dtype=np.int32)[
        None, :
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    """One shape's line of the table that ``_shade`` reads."""

    numbers: tuple[int, ...] = (0,) * 20

    @classmethod
    def of(cls, x: int, y: int, angle: int, size: int, material: Material, draws: Draws) -> "_Row":
        return cls(
            (
                x,
                y,
                cosine(angle),
                sine(angle),
                material.slope * 1024 // size,
                material.dome * UNIT // (size * size),
                *material.grain_zoom,
                draws.below(_GRAIN_SIDE),
                draws.below(_GRAIN_SIDE),
                material.grain,
                1024 * 256 // material.periods[0],
                1024 * 256 // material.periods[1],
                *material.stripes,
                1024 if material.hard else 0,
                *material.rgb,
                255,
            )
        )


def _waves() -> Int32Array:
    soft = [sine(64 * step) >> 6 for step in range(1024)]
    hard = [256 if step < 512 else -256 for step in range(1024)]
    return np.array(soft + hard, dtype=np.int32)


_WAVES = _waves()
"""One period of the soft lines and one of the hard, 1024 steps each, -256..256."""


def _grain_tile(key: int) -> Int32Array:
    """Return ``(512, 512)`` value noise that repeats without a seam, with a standard deviation of about 64."""
    total = np.zeros((_GRAIN_SIDE, _GRAIN_SIDE), np.int32)
    strength = 256
    for octave, step in enumerate((128, 64, 32, 16, 8, 4)):
        count = _GRAIN_SIDE // step
        noise = _stretch(_stretch(lattice(key + octave, count, count), step).T.copy(), step)
        total += noise * strength >> 8
        strength = strength * 3 // 4
    return total


def _stretch(values: Int32Array, step: int) -> Int32Array:
    """Interpolate along the last axis, ``step`` points for one, by the smooth step 3 k^2 - 2 k^3."""
    weight = np.array(
        [(3 * k * k * step - 2 * k * k * k) * 256 // step**3 for k in range(step)], dtype=np.int32
    )
    here, there = values[:, :, None], np.roll(values, -1, axis=1)[:, :, None]
    mixed = (here * (256 - weight) + there * weight) >> 8
    return mixed.reshape(values.shape[0], -1)
