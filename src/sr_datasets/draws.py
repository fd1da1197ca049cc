"""Random draws that belong to a row, not to a run.

The draws of a row are a pure function of the seed, the row's name and the purpose. They do not depend
on which rows were drawn before, on the number of workers, or on NumPy's version: the bits are those of
Philox4x64-10 (Salmon et al., SC 2011), whose raw stream NumPy keeps (NEP 19), and bounded integers come
from a rule of our own, since ``numpy.random.Generator`` may change its streams between versions.
"""

import numpy as np

from sr_datasets.keys import digest_of

_MASK = (1 << 64) - 1


class KeyedDraws:
    """Draws whose 128-bit Philox key is the head of ``digest_of(*parts)``.

    Example:
        >>> draws = KeyedDraws("plan-1", 0, "xiph", "akiyo_cif", 7, "sample")
        >>> [draws.below(100) for _ in range(4)]
        [90, 15, 94, 38]
    """

    def __init__(self, *parts: str | int) -> None:
        key = int.from_bytes(digest_of(*parts)[:16], "little")
        self._bits = np.random.Philox(key=key)

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
