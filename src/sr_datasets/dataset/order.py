"""Which sample comes n-th, and how it is turned: a pure function of (seed, n).

One endless sequence of epochs, each a permutation of the rows. The permutation is arithmetic on the row's number,
not an array that was shuffled, so that the whole state of a run is one integer: how many samples it has taken.
"""

from abc import ABC, abstractmethod
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from sr_datasets.keys import digest_of

Integers: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]

SYMMETRIES: Final = 8
"""Flips and rotations of a square."""
_ROUNDS = 6
_CACHED_EPOCHS = 4


class Order(ABC):
    """An endless sequence of epochs, each of which has every row once."""

    num_rows: int
    """Rows of an epoch."""
    seed: int
    """What the order is drawn from."""

    def rows(self, first: int, count: int) -> Integers:
        """Return the rows of samples ``first`` to ``first + count - 1``, ``(count,)`` int64."""
        return self.rows_at(np.arange(first, first + count, dtype=np.uint64))

    @abstractmethod
    def rows_at(self, samples: Words) -> Integers:
        """Return the rows of samples.

        Args:
            samples: ``(N,)`` uint64, each number from 0, in any order.

        Returns:
            ``(N,)`` int64.
        """


class SampleOrder(Order):
    """The order of ``num_rows`` rows under a seed: every epoch a permutation of all of them.

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
        self.num_rows, self.seed = num_rows, seed
        # The words are those of the first release: another word would be another order of every run.
        self._key = key_word("espcn-order-1", seed)
        self._symmetry_key = key_word("espcn-symmetry-1", seed)

    def rows_at(self, samples: Words) -> Integers:
        """Return the rows of samples, ``(N,)`` int64."""
        size = np.uint64(self.num_rows)
        epochs, places = samples // size, samples % size
        keys = [
            stirred(epochs * np.uint64(_ROUNDS) + np.uint64(number) ^ self._key) for number in range(_ROUNDS)
        ]
        return _permuted(places, size, keys).astype(np.int64)

    def symmetries(self, first: int, count: int) -> Integers:
        """Return how each of these samples is turned, ``(count,)`` int64.

        Bit 0 says left-right, bit 1 up-down, bit 2 (after them) exchange of rows and columns.
        """
        return self.symmetries_at(np.arange(first, first + count, dtype=np.uint64))

    def symmetries_at(self, samples: Words) -> Integers:
        """Return how each of these samples is turned, ``(N,)`` int64, as ``symmetries`` does."""
        return (stirred(samples ^ self._symmetry_key) % np.uint64(SYMMETRIES)).astype(np.int64)


class _Epoch(NamedTuple):
    groups: Integers
    """Row groups in the order in which they are taken."""
    starts: Words
    """Places in the epoch where each of them would begin, and the end."""
    bounds: Words
    """Places where each block begins, and the end."""


class BlockOrder(Order):
    """An order that stays within a few row groups at a time, for sets that are remote or larger than memory.

    Every epoch permutes the row groups; the rows of each ``block`` of them that follow one another are permuted among
    themselves. Costs a few numbers per row group and epoch, none per row.

    Example:
        >>> BlockOrder([3, 2, 2], seed=0, block=2).rows(0, 7).tolist()
        [6, 3, 4, 5, 1, 0, 2]
    """

    def __init__(self, rows_of_group: npt.ArrayLike, *, seed: int, block: int) -> None:
        """Fix the order.

        Args:
            rows_of_group: How many rows each row group has, in order of the rows.
            seed: What the order is drawn from.
            block: Row groups whose rows are mixed.

        Raises:
            ValueError: There are no rows, or a block has no group.
        """
        sizes = np.asarray(rows_of_group, np.int64)
        if sizes.sum() < 1:
            raise ValueError(f"an order needs at least one row, not {sizes.sum()}")
        if block < 1:
            raise ValueError(f"block is {block}, must be at least one row group")
        self.num_rows, self.seed, self.block = int(sizes.sum()), seed, block
        self._firsts = np.concatenate(([0], np.cumsum(sizes)))[:-1]
        self._sizes = sizes
        self._groups = SampleOrder(len(sizes), seed=seed)
        self._key = key_word("block-order-1", seed)
        self._epochs: dict[int, _Epoch] = {}

    def rows_at(self, samples: Words) -> Integers:
        """Return the rows of samples, ``(N,)`` int64."""
        size = np.uint64(self.num_rows)
        epochs, places = samples // size, samples % size
        rows = np.empty(len(samples), np.int64)
        for number in np.unique(epochs).tolist():
            here = epochs == number
            rows[here] = self._rows_of_epoch(number, places[here])
        return rows

    def _rows_of_epoch(self, number: int, places: Words) -> Integers:
        epoch = self._epoch(number)
        blocks = epoch.bounds.searchsorted(places, "right") - 1
        first = epoch.bounds[blocks]
        key = stirred(np.array([number], np.uint64) ^ self._key)
        words = stirred(blocks.astype(np.uint64) + np.uint64(1) ^ key)
        keys = [stirred(words + np.uint64(turn)) for turn in range(_ROUNDS)]
        mixed = first + _permuted(places - first, epoch.bounds[blocks + 1] - first, keys)
        at = epoch.starts.searchsorted(mixed, "right") - 1
        inside = (mixed - epoch.starts[at]).astype(np.int64)
        rows: Integers = self._firsts[epoch.groups[at]] + inside
        return rows

    def _epoch(self, number: int) -> _Epoch:
        found = self._epochs.get(number)
        if found is None:
            groups = self._groups.rows(number * len(self._sizes), len(self._sizes))
            starts = np.concatenate(([0], np.cumsum(self._sizes[groups]))).astype(np.uint64)
            bounds = np.append(starts[: -1 : self.block], starts[-1])
            while len(self._epochs) >= _CACHED_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
            found = self._epochs[number] = _Epoch(groups, starts, bounds)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_epochs": {}}


def _permuted(numbers: Words, sizes: Any, keys: list[Words]) -> Words:
    """Return each number's place in a permutation of ``0..size - 1`` that its keys name; one size, or one each.

    A Feistel network permutes 2 * half bits; numbers beyond the last are permuted again until they fall below the size,
    which takes fewer than four tries on average.
    """
    found = numbers.copy()
    halves = _half_bits(sizes)
    waiting = np.arange(len(numbers))
    while waiting.size:
        some_sizes = sizes if sizes.ndim == 0 else sizes[waiting]
        some_halves = halves if halves.ndim == 0 else halves[waiting]
        found[waiting] = _round_about(found[waiting], some_halves, [key[waiting] for key in keys])
        waiting = waiting[found[waiting] >= some_sizes]
    return found


def _half_bits(sizes: Any) -> Any:
    """Return half of the bits, rounded up, that the numbers below each size need; at least one."""
    if sizes.ndim == 0:
        return np.uint64(max(1, ((int(sizes) - 1).bit_length() + 1) // 2))
    distinct, place = np.unique(sizes, return_inverse=True)
    return np.array([_half_bits(size) for size in distinct], np.uint64)[place]


def _round_about(numbers: Words, half: Any, keys: list[Words]) -> Words:
    left: Words = numbers >> half
    right: Words = numbers & ((np.uint64(1) << half) - np.uint64(1))
    for key in keys:
        left, right = right, left ^ (stirred(right ^ key) >> (np.uint64(64) - half))
    whole: Words = (left << half) | right
    return whole


def key_word(purpose: str, seed: int) -> np.uint64:
    """Return 64 bits that belong to a purpose under a seed."""
    return np.uint64(int.from_bytes(digest_of(purpose, seed)[:8], "little"))


def stirred(words: Words) -> Words:
    """Return each word stirred, one to one: the last step of SplitMix64 (Steele et al., OOPSLA 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
