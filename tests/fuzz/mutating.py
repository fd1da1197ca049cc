"""Bytes that are almost right: valid files with a few things changed in them."""

import random
import re
from collections.abc import Sequence

_NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    (1 << 64) - 1,
)
_TEXTS = (
    b"0", b"1", b"-1", b"007", b"65536", b"2147483648", b"18446744073709551616", b"9" * 40, b"1e999", b"0.5", b"NaN",
    b"null", b"true", b"[]", b"{}", b'""', b"../../x", b"/etc/passwd", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\n", b"*a", b"&a",
)  # fmt: skip
_MOST_BYTES = 1 << 17


def mutated(draws: random.Random, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """Return random bytes, now and then, or one of the seeds with one to eight changes.

    Args:
        draws: What decides.
        seeds: Valid files.
        words: Words of the format, that are put in.
    """
    if draws.random() < 0.03:
        return draws.randbytes(draws.randrange(64))
    data = bytearray(draws.choice(seeds))
    for _ in range(draws.choice((1, 1, 1, 2, 3, 5, 8))):
        _change(draws, data, seeds, words)
    return bytes(data[:_MOST_BYTES])


def _change(draws: random.Random, data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = draws.randrange(len(data) + 1)
    if draws.random() < 0.25:  # where most formats keep what says how the rest is read
        at = (
            min(at, draws.randrange(1, 65))
            if draws.random() < 0.5
            else max(0, len(data) - draws.randrange(1, 400))
        )
    length = min(1 << draws.randrange(10), 1 + draws.randrange(len(data) + 1))
    match draws.randrange(11):
        case 0 if at < len(data):
            data[at] ^= 1 << draws.randrange(8)
        case 1 if at < len(data):
            data[at] = draws.choice((0, 1, 0x7F, 0x80, 0xFF, draws.randrange(256)))
        case 2:
            size = draws.choice((1, 2, 4, 8))
            value = draws.choice(_NUMBERS) & ((1 << 8 * size) - 1)
            data[at : at + size] = value.to_bytes(size, draws.choice(("little", "big")))
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = data[at : at + length]
        case 5:
            data[at:at] = draws.randbytes(min(length, 16))
        case 6:
            data[at:at] = draws.choice((*words, *_TEXTS))
        case 7:
            del data[at:]
        case 8:
            other = draws.choice(seeds)
            start = draws.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        case 9:
            numbers = list(re.finditer(rb"[0-9]+", bytes(data[: 1 << 16])))
            if numbers:
                first, end = draws.choice(numbers).span()
                data[first:end] = draws.choice(_TEXTS)
        case _:
            # A whole word or line doubled, dropped or moved: keys that stand twice, entries that are missing.
            lines = bytes(data).split(b"\n")
            here, there = draws.randrange(len(lines)), draws.randrange(len(lines))
            if draws.random() < 0.5:
                lines.insert(there, lines[here])
            else:
                lines[here], lines[there] = lines[there], lines[here]
            data[:] = b"\n".join(lines)
