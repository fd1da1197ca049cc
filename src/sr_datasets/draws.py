"""Random draws that belong to a row, not to a run.

The draws of a row are a pure function of the seed, the row's name and the purpose. They do not depend
on which rows were drawn before, on the number of workers, or on NumPy's version: the bits are those of
Philox4x64-10 (Salmon et al., SC 2011), whose raw stream NumPy keeps (NEP 19), and integers, fractions and normal
variates come from rules of our own, since ``numpy.random.Generator`` may change its streams between versions.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sr_datasets.exact import normal_quantile
from sr_datasets.keys import digest_of

_MASK = (1 << 64) - 1
_WORDS_PER_BLOCK = 4  # one step of Philox4x64 gives four words

# Philox4x64-10 (Salmon et al., SC 2011): the two multipliers, their high and low halves, and what keys grow by in each round.
_MULTIPLIERS = np.array([[0xD2E7470EE14C6C93], [0xCA5A826395121157]], np.uint64)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_HIGHS, _LOWS = _MULTIPLIERS >> _HALF, _MULTIPLIERS & _LOW
_WEYL = np.array([[0x9E3779B97F4A7C15], [0xBB67AE8584CAA73B]], np.uint64)
_ROUNDS = 10


class KeyedDraws:
    """Draws whose 128-bit Philox key is the head of ``digest_of(*parts)``.

    Example:
        >>> draws = KeyedDraws("plan-1", 0, "xiph", "akiyo_cif", 7, "sample")
        >>> [draws.below(100) for _ in range(4)]
        [90, 15, 94, 38]
    """

    def __init__(self, *parts: str | int) -> None:
        self._key = int.from_bytes(digest_of(*parts)[:16], "little")
        self._bits = np.random.Philox(key=self._key)

    def below(self, bound: int) -> int:
        """Return an integer of [0, bound), each with the same probability.

        The high word of ``raw * bound``; raws that would favour some results are drawn again
        (Lemire, ACM TOMACS 2019).

        Raises:
            ValueError: ``bound`` is not in 1..2**64 - 1.
        """
        if not 1 <= bound <= _MASK:
            raise ValueError(f"bound is {bound}, must be 1..2**64 - 1")
        unfair = (1 << 64) % bound
        while True:
            product = int(self._bits.random_raw()) * bound
            if product & _MASK >= unfair:
                return product >> 64

    def uniform(self) -> float:
        """Return a fraction of [0, 1): the high 53 bits of a raw word, over 2**53."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """Return ``low + (high - low) * uniform()``, never above ``high``."""
        return min(low + (high - low) * self.uniform(), high)

    def choice(self, weights: Sequence[float]) -> int:
        """Return an index, each with its share of the weights' sum; one fraction is drawn.

        Raises:
            ValueError: There is no weight, one is negative, or all are 0.
        """
        total = 0.0
        for weight in weights:
            if not weight >= 0:
                raise ValueError(f"a weight is {weight}, must be at least 0")
            total += weight
        if not total > 0:
            raise ValueError("at least one weight must be above 0")
        reached, sought = 0.0, self.uniform() * total
        for index, weight in enumerate(weights):
            reached += weight
            if sought < reached:
                return index
        # The product was rounded up to the sum: the last that can be chosen.
        return max(index for index, weight in enumerate(weights) if weight > 0)

    def raws_at(self, first: int, count: int) -> npt.NDArray[np.uint64]:
        """Return words of the stream from its word ``first``, wherever the other draws stand.

        Args:
            first: Place of the first word, from 0.
            count: How many.

        Returns:
            ``(count,)`` uint64.
        """
        block, skipped = divmod(first, _WORDS_PER_BLOCK)
        bits = np.random.Philox(key=self._key, counter=block)
        words: npt.NDArray[np.uint64] = bits.random_raw(count + skipped)[skipped:]
        return words


def first_words(digests: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Return the first words of many streams at once, as ``KeyedDraws`` of each would draw them one by one.

    Args:
        digests: What ``keys.digest_of`` returns, one for each stream.

    Returns:
        ``(streams, 4)`` uint64.
    """
    keys = np.frombuffer(b"".join(digests), "<u8").reshape(len(digests), -1).T[:2].astype(np.uint64)
    # Words 0 and 2 of the counter, then words 1 and 3. NumPy counts on before the first block: it is block 1.
    even = np.zeros((2, len(digests)), np.uint64)
    even[0] = 1
    odd = np.zeros_like(even)
    for _ in range(_ROUNDS):
        high, low = _high_product(even), even * _MULTIPLIERS
        even, odd = high[::-1] ^ odd ^ keys, low[::-1]
        keys += _WEYL
    return np.stack([even[0], odd[0], even[1], odd[1]], axis=1)


def _high_product(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the high words of the 128-bit products with the multipliers, by halves: no sum of them overflows."""
    high, low = words >> _HALF, words & _LOW
    crossed = _LOWS * high
    middle = (_LOWS * low >> _HALF) + (crossed & _LOW) + _HIGHS * low
    found: npt.NDArray[np.uint64] = _HIGHS * high + (crossed >> _HALF) + (middle >> _HALF)
    return found


def below_each(
    raws: npt.NDArray[np.uint64], bounds: npt.NDArray[np.int64] | int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return what ``KeyedDraws.below`` makes of raw words, one each.

    Args:
        raws: ``(n,)``, a word of each stream.
        bounds: Of each word or of all, 1 to 2**32 - 1.

    Returns:
        ``(n,)`` int64, and ``(n,)`` whether the word counts: where it does not, ``below`` draws again.
    """
    bound = np.asarray(bounds).astype(np.uint64)
    low = raws * bound
    high = ((raws >> _HALF) * bound + ((raws & _LOW) * bound >> _HALF)) >> _HALF
    # 2**64 - bound, in words, has the same rest.
    unfair = (~bound + np.uint64(1)) % bound
    return high.astype(np.int64), low >= unfair


def to_uniforms(raws: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Return fractions of [0, 1): the high 53 bits of each raw word, over 2**53."""
    return (raws >> np.uint64(11)).astype(np.float64) * 2.0**-53


def to_normals(raws: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Return standard normal variates: the quantile of the middle of one of 2**52 equal parts of (0, 1).

    The high 52 bits of each raw word say which part. The variates lie within 8.21.
    """
    return normal_quantile(((raws >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)
