"""Reads numeric arrays out of a MAT-file of version 5 (MathWorks, "MAT-File Format", 2019)."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

_TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
_COMPRESSED, _MATRIX = 15, 14


def read_mat(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Return every numeric array of the file as float64, by name."""
    data = path.read_bytes()
    assert data[:10] == b"MATLAB 5.0", "not a MAT-file of version 5"
    assert data[126:128] == b"IM", "not little-endian"
    return dict(_matrices(data[128:]))


def _matrices(data: bytes) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    for kind, payload in _elements(data):
        if kind == _COMPRESSED:
            yield from _matrices(zlib.decompress(payload))
        elif kind == _MATRIX:
            _, dimensions, name, values = list(_elements(payload))[:4]
            shape = np.frombuffer(dimensions[1], "<i4")
            array = np.frombuffer(values[1], _TYPES[values[0]]).astype(np.float64)
            yield name[1].decode(), array.reshape(shape, order="F")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        kind, size = struct.unpack_from("<II", data, position)
        if kind >> 16:  # a small element: its size in the upper half, its data in the tag
            yield kind & 0xFFFF, data[position + 4 : position + 4 + (kind >> 16)]
            position += 8
        else:
            yield kind, data[position + 8 : position + 8 + size]
            # Elements end on multiples of eight bytes, compressed ones do not.
            position += 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
