"""A small stroke font: thin text for pictures, drawn by whole numbers at any size and angle."""

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from sr_datasets.fetch.generated.integers import UNIT, cosine, sine

CAPITAL_UNITS = 6
"""Grid units from the top of a capital to the base line."""
DESCENT_UNITS = 2
"""Grid units that letters such as g reach below the base line."""
LINE_UNITS = 11
"""Grid units from one base line to the next."""

# Pen strokes on a grid: each two digits are x (0..4, rightwards) and y (0..8, downwards; the base line is 6, the top
# of small letters 2, of capitals 0). Commas lift the pen; a stroke of one point is a dot.
_STROKES = {
    "A": "062046,1434",
    "B": "00063645443303,3342413000",
    "C": "4130100105163645",
    "D": "00062644422000",
    "E": "40000646,0333",
    "F": "400006,0333",
    "G": "41301001051636454323",
    "H": "0006,4046,0343",
    "I": "0006",
    "J": "4045361605",
    "K": "0006,400346",
    "L": "000646",
    "M": "0600234046",
    "N": "06004640",
    "O": "103041453616050110",
    "P": "06003041423303",
    "Q": "103041453616050110,2446",
    "R": "06003041423303,2346",
    "S": "413010010213334445361605",
    "T": "0040,2026",
    "U": "000516364540",
    "V": "002640",
    "W": "0016233640",
    "X": "0046,4006",
    "Y": "002340,2326",
    "Z": "00400646",
    "a": "1232434616051444",
    "b": "00063645433202",
    "c": "4332120305163645",
    "d": "40461605031242",
    "e": "04444332120305163645",
    "f": "30201116,0232",
    "g": "4247381807,421203051646",
    "h": "0006,0312324346",
    "i": "0206,00",
    "j": "22271808,20",
    "k": "0006,320436",
    "l": "0006",
    "m": "0206,03122326,23324346",
    "n": "0206,0312324346",
    "o": "123243453616050312",
    "p": "0208,023243453606",
    "q": "4248,421203051646",
    "r": "0206,031232",
    "s": "43321203143445361605",
    "t": "10152636,0232",
    "u": "0205163645,4246",
    "v": "022642",
    "w": "0216233642",
    "x": "0246,4206",
    "y": "0226,4218",
    "z": "02420646",
    "0": "103041453616050110,0541",
    "1": "112026,1636",
    "2": "01103041420646",
    "3": "0110304142334445361605,2333",
    "4": "36300444",
    "5": "400003334445361605",
    "6": "30100105163645443303",
    "7": "004016",
    "8": "13020110304142331304051636454433",
    "9": "43130201103041453616",
    ".": "06",
    ",": "0608",
    "-": "0333",
    "/": "0640",
}


@dataclass(frozen=True, eq=False)
class Glyph:
    """One character, ready to be stamped."""

    mask: NDArray[np.bool_]
    """``(height, width)``: where the pen has been."""
    top: int
    """Row of the mask's first row, counted from the pen's start on the base line."""
    left: int
    """Column of the mask's first column, counted likewise."""


def advance_units(character: str) -> int:
    """Return how far the pen moves on after a character, in grid units."""
    strokes = _STROKES.get(character)
    if strokes is None:
        return 4
    return 2 + max(int(x) for stroke in strokes.split(",") for x in stroke[::2])


@lru_cache(maxsize=4096)
def glyph(character: str, capital: int, pen: int, angle: int) -> Glyph:
    """Draw one character.

    Args:
        character: One that the font has.
        capital: Height of a capital in points of the canvas.
        pen: Width of the stroke in points of the canvas.
        angle: Direction of the base line in ``TURN`` units, clockwise on the screen.
    """
    # Eight steps to a point keep the strokes of small letters in place.
    scale, radius, reach = 8 * capital, 4 * pen, 0
    along, across = cosine(angle), sine(angle)
    points = []
    for stroke in _STROKES[character].split(","):
        line = []
        for x, y in zip(stroke[::2], stroke[1::2], strict=True):
            u, v = int(x) * scale // CAPITAL_UNITS, (int(y) - CAPITAL_UNITS) * scale // CAPITAL_UNITS
            line.append(((u * along - v * across) // UNIT, (u * across + v * along) // UNIT))
        points.append(line)
        reach = max([reach, *(isqrt(x * x + y * y) for x, y in line)])
    side = (reach + radius) // 8 + 2
    steps = np.arange(-side, side + 1, dtype=np.int64) * 8
    x_grid, y_grid = steps[None, :], steps[:, None]
    mask = np.zeros((len(steps), len(steps)), np.bool_)
    for line in points:
        for (x0, y0), (x1, y1) in zip(line, line[1:] or line, strict=False):
            mask |= _near_segment(x_grid - x0, y_grid - y0, x1 - x0, y1 - y0, radius)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    cut = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].copy()
    return Glyph(cut, top - side, left - side)


def _near_segment(
    x: NDArray[np.int64], y: NDArray[np.int64], dx: int, dy: int, radius: int
) -> NDArray[np.bool_]:
    length_square = dx * dx + dy * dy
    near = (x * x + y * y <= radius * radius) | ((x - dx) ** 2 + (y - dy) ** 2 <= radius * radius)
    if length_square:
        along = x * dx + y * dy
        across = x * dy - y * dx
        near |= (along >= 0) & (along <= length_square) & (across * across <= radius * radius * length_square)
    return near
