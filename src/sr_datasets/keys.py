"""Keys of what is drawn or ordered: a hash of its parts, the same on every machine."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache


def digest_of(*parts: str | int) -> bytes:
    """Return the SHA-256 over length-prefixed parts, so that no two lists of parts share one.

    Each part counts as its UTF-8 text (numbers in decimal) behind its length in bytes as a
    little-endian 64-bit number.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(_framed(part))
    return digest.digest()


def digests_of_numbers(before: Sequence[str | int], count: int, after: Sequence[str | int]) -> list[bytes]:
    """Return ``digest_of(*before, number, *after)`` for each number from 0 to ``count - 1``."""
    head = b"".join(map(_framed, before))
    return [hashlib.sha256(head + tail).digest() for tail in _tails(count, tuple(after))]


def _framed(part: str | int) -> bytes:
    text = str(part).encode()
    return len(text).to_bytes(8, "little") + text


@lru_cache(maxsize=4)
def _tails(count: int, after: tuple[str | int, ...]) -> tuple[bytes, ...]:
    """Return what stands behind the first parts; the rows of all clips of a plan share it."""
    end = b"".join(map(_framed, after))
    return tuple(_framed(number) + end for number in range(count))
