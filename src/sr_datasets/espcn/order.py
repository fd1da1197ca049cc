"""Which sample comes n-th, and how it is turned: a pure function of (seed, n).

One endless sequence of epochs, each a permutation of the rows. The permutation is arithmetic on the row's number,
not an array that was shuffled, so that the whole state of a run is one integer: how many samples it has taken.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sr_datasets.sampling import digest_of

Integers: TypeAlias = npt.NDArray[np.int64]
_Words: TypeAlias = npt.NDArray[np.uint64]

SYMMETRIES: Final = 8
"""Flips and rotations of a square."""
_ROUNDS = 6


class SampleOrder:
    """The order of ``num_rows`` rows under a seed.

    Example:
        >>> SampleOrder(5, seed=0).rows(0, 10).tolist()
        [4, 1, 2, 0, 3, 0, 4, 1, 3, 2]
    """

    def __init__(self, num_rows: int, *, seed: int) -> None:
        """Fix the order.

        Raises:
            ValueError: There are no rows.
        """
        if num_rows < 1:
            raise ValueError(f"an order needs at least one row, not {num_rows}")
        self.num_rows = num_rows
        self._key = _key("espcn-order-1", seed)
        self._symmetry_key = _key("espcn-symmetry-1", seed)
        # A Feistel network permutes 2 * half bits; numbers beyond the last row are permuted again until they fall
        # among the rows, which takes fewer than four tries on average.
        self._half = np.uint64(max(1, ((num_rows - 1).bit_length() + 1) // 2))

    def rows(self, first: int, count: int) -> Integers:
        """Return the rows of samples ``first`` to ``first + count - 1``, ``(count,)`` int64."""
        samples = np.arange(first, first + count, dtype=np.uint64)
        size = np.uint64(self.num_rows)
        epochs, found = samples // size, samples % size
        keys = [
            _mix(epochs * np.uint64(_ROUNDS) + np.uint64(number) ^ self._key) for number in range(_ROUNDS)
        ]
        waiting = np.arange(count)
        while waiting.size:
            found[waiting] = self._permuted(found[waiting], [key[waiting] for key in keys])
            waiting = waiting[found[waiting] >= size]
        return found.astype(np.int64)

    def symmetries(self, first: int, count: int) -> Integers:
        """Return how each of these samples is turned, ``(count,)`` int64.

        Bit 0 says left-right, bit 1 up-down, bit 2 (after them) exchange of rows and columns.
        """
        samples = np.arange(first, first + count, dtype=np.uint64)
        return (_mix(samples ^ self._symmetry_key) % np.uint64(SYMMETRIES)).astype(np.int64)

    def _permuted(self, numbers: _Words, keys: list[_Words]) -> _Words:
        left, right = numbers >> self._half, numbers & ((np.uint64(1) << self._half) - np.uint64(1))
        for key in keys:
            left, right = right, left ^ (_mix(right ^ key) >> (np.uint64(64) - self._half))
        return (left << self._half) | right


def _key(purpose: str, seed: int) -> np.uint64:
    return np.uint64(int.from_bytes(digest_of(purpose, seed)[:8], "little"))


def _mix(words: _Words) -> _Words:
    """Return each word stirred, one to one: the last step of SplitMix64 (Steele et al., OOPSLA 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
