"""Whole-number stand-ins for random numbers and trigonometry, the same on every machine.

Nothing here knows a floating-point number: hashes are SplitMix64 (Steele, Lea and Flood, 2014), the sine is the
rational formula of Bhaskara I. Bytes made of them do not depend on a C library, a processor or NumPy's version.
"""

from collections.abc import Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Int32Array = NDArray[np.int32]

TURN = 1 << 16
"""Angle units of one whole turn."""
UNIT = 1 << 14
"""What ``sine`` and ``cosine`` call one."""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def mix(value: int) -> int:
    """Return the 64-bit hash of a whole number: the output function of SplitMix64."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


def lattice(key: int, rows: int, columns: int) -> Int32Array:
    """Return ``(rows, columns)`` hashed values in -128..127, each a function of key, row and column."""
    count = np.arange(rows * columns, dtype=np.uint64).reshape(rows, columns)
    value = count * np.uint64(_GOLDEN) + np.uint64(mix(key))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(_MIX_1)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(_MIX_2)
    return (value >> np.uint64(56)).astype(np.int32) - np.int32(128)


class Draws:
    """A SplitMix64 sequence with draws of bounded whole numbers."""

    def __init__(self, key: int) -> None:
        self._state = mix(key)

    def fork(self) -> "Draws":
        """Return a sequence of its own, so that more draws in one place move nothing elsewhere."""
        return Draws(self._next())

    def below(self, bound: int) -> int:
        """Return one of 0..bound-1; the bias of the multiplication is under bound / 2^64."""
        return (self._next() * bound) >> 64

    def between(self, low: int, high: int) -> int:
        """Return one of low..high, both included."""
        return low + ((self._next() * (high - low + 1)) >> 64)

    def chance(self, percent: int) -> bool:
        """Return True ``percent`` times of a hundred."""
        return self.below(100) < percent

    def pick(self, items: Sequence[str]) -> str:
        """Return one of the items."""
        return items[self.below(len(items))]

    def radius(self, smallest: int, largest: int) -> int:
        """Return a radius under the density r^-3, which makes a dead-leaves picture scale-invariant.

        Under that law 1 / r^2 is uniform (the model: Lee, Mumford and Huang, IJCV 41, 2001).
        """
        inverse_square = self.between((1 << 48) // largest**2, (1 << 48) // smallest**2)
        return isqrt((1 << 48) // inverse_square)

    def _next(self) -> int:
        self._state = (self._state + _GOLDEN) & _MASK
        value = self._state
        value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
        value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
        return value ^ (value >> 31)


def sine(angle: int) -> int:
    """Return the sine of an angle in ``TURN`` units, as a multiple of 1 / ``UNIT``.

    Bhaskara I: sin x is about 16 x (pi - x) / (5 pi^2 - 4 x (pi - x)); the error is under 0.0017.

    Example:
        >>> sine(0), sine(TURN // 12), sine(TURN // 4), sine(-TURN // 4)
        (0, 8191, 16384, -16384)
    """
    half = TURN // 2
    angle %= TURN
    sign, x = (1, angle) if angle < half else (-1, angle - half)
    product = x * (half - x)
    return sign * ((16 * product * UNIT + 2 * half * half) // (5 * half * half - 4 * product))


def cosine(angle: int) -> int:
    """Return the cosine of an angle in ``TURN`` units, as a multiple of 1 / ``UNIT``."""
    return sine(angle + TURN // 4)
