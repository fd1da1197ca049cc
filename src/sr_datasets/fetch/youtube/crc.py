"""CRC-32C (Castagnoli; RFC 3720, appendix B.4) and TFRecord's mask of it, with NumPy."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

# The polynomial 0x1EDC6F41 with its bits reversed, since the register shifts to the right.
_POLYNOMIAL = 0x82F63B78
_BLOCK = 1024
_MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of some bytes.

    A CRC is linear: the register after a block is the exclusive or of what each of its bytes does from its own
    distance to the end. So a block is one look-up in a table of distances and one reduction.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    table, rows = _distances()
    values = np.frombuffer(data, np.uint8)
    register = 0xFFFFFFFF
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].astype(np.intp)
        count = len(block)
        if count < 4:
            for value in block.tolist():
                register = (register >> 8) ^ int(table[(register ^ value) & 0xFF])
            break
        block[:4] ^= np.array([(register >> shift) & 0xFF for shift in (0, 8, 16, 24)], np.intp)
        register = int(np.bitwise_xor.reduce(table[rows[_BLOCK - count :] + block]))
    return register ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C as TFRecord files store it: rotated right by 15 bits, plus a constant.

    The mask keeps a CRC over bytes that hold CRCs from being a weak one (TensorFlow, ``lib/hash/crc32c.h``).
    """
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


@lru_cache(maxsize=1)
def _distances() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.intp]]:
    """Return what byte ``b`` does ``d`` bytes before a block's end, at ``256 * d + b``; and ``256 * d`` by place."""
    first = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        first = np.where(first & 1, (first >> 1) ^ np.uint32(_POLYNOMIAL), first >> 1)
    table = np.empty((_BLOCK, 256), np.uint32)
    table[0] = first
    for distance in range(1, _BLOCK):
        before = table[distance - 1]
        table[distance] = (before >> 8) ^ first[before & 0xFF]
    rows = np.arange(_BLOCK - 1, -1, -1, dtype=np.intp) * 256
    return table.reshape(-1), rows
