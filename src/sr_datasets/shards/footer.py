"""The footer of a Parquet file, looked at before Arrow's C++ does.

Arrow ends the whole process, past any ``except``, when it is asked about a column chunk whose description contradicts
the schema: another type, a histogram of another length, a statistic of another size; or whose codec has no number that
it knows. One altered byte is enough. So what it would stumble over is looked for here, in one pass over the footer's
Thrift (compact protocol).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_TAIL_BYTES: Final = 8
_MAGIC: Final = b"PAR1"
_DEEPEST: Final = 24
# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
# parquet.thrift: BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY (any length), FIXED_LEN_BYTE_ARRAY.
_SIZES: Final = (1, 4, 8, 12, 4, 8, None, None)
_BYTE_ARRAY: Final = 6
_FIXED: Final = 7
_REPEATED: Final = 2
_CODECS: Final = 8  # CompressionCodec: UNCOMPRESSED, SNAPPY, GZIP, LZO, BROTLI, LZ4, ZSTD, LZ4_RAW


class FooterError(Exception):
    """What a footer says contradicts itself."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column without columns below it."""

    name: str
    path: bytes
    """Its name and those above it, as a column chunk gives them: a list in Thrift's compact protocol."""
    kind: int
    size: int | None
    """Bytes of a value; None for any number."""
    repetition: int
    """Highest repetition level."""
    definition: int
    """Highest definition level."""


@dataclass(slots=True)
class _Above:
    """A column with columns below it, of which some are still to come."""

    left: int
    repetition: int
    definition: int
    path: tuple[bytes, ...]


def check_footer_of(path: Path, source: BinaryIO | None = None) -> None:
    """Look at the footer of a file; what is no Parquet file at all is left to its reader to tell.

    Args:
        path: The file.
        source: What to read in place of it; it is left where it ends.

    Raises:
        FooterError: It contradicts itself, or reaches beyond the file's start.
        OSError: The file cannot be read.
    """
    if source is not None:
        footer = _footer_of(source)
    else:
        with path.open("rb") as file:
            footer = _footer_of(file)
    if footer is not None:
        check_footer(footer)


def _footer_of(file: BinaryIO) -> bytes | None:
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL_BYTES + len(_MAGIC):
        return None
    file.seek(size - _TAIL_BYTES)
    tail = file.read(_TAIL_BYTES)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length > size - _TAIL_BYTES:
        return None
    file.seek(size - _TAIL_BYTES - length)
    return file.read(length)


def check_footer(footer: bytes) -> None:
    """Look at a footer, a ``FileMetaData`` of ``parquet.thrift``.

    Raises:
        FooterError: It cannot be read, or contradicts itself.
    """
    try:
        _check_file(footer)
    except (IndexError, ValueError, RecursionError) as error:
        raise FooterError("it cannot be read as a description of columns") from error


def _check_file(data: bytes) -> None:
    leaves: list[_Leaf] | None = None
    at = number = 0
    while head := data[at]:
        number, at = _field(data, at, head, number)
        if number == 2:
            leaves, at = _schema(data, at)
        elif number == 4:
            if leaves is None:
                raise FooterError("its row groups stand before its schema")
            count, at = _structs(data, at)
            for _ in range(count):
                at = _row_group(data, at, leaves)
        else:
            at = _skip(data, at, head & 15)


def _schema(data: bytes, at: int) -> tuple[list[_Leaf], int]:
    """Read the tree of columns, which stands in depth-first order."""
    leaves: list[_Leaf] = []
    above: list[_Above] = []
    count, at = _structs(data, at)
    for place in range(count):
        found = [0, -1, 0, 0, 0, 0]  # by number: 1 type, 2 length of a value, 3 repetition, 5 children
        name, number = b"", 0
        while head := data[at]:
            number, at = _field(data, at, head, number)
            if number == 4 and head & 15 == _BINARY:
                size, at = _varint(data, at)
                name, at = data[at : at + size], at + size
            elif number in (1, 2, 3, 5) and head & 15 == _I32:
                value, at = _varint(data, at)
                found[number] = (value >> 1) ^ -(value & 1)
            else:
                at = _skip(data, at, head & 15)
        at += 1
        while above and not above[-1].left:
            above.pop()
        if bool(above) == (place == 0):
            raise FooterError("its schema has columns below none")
        path: tuple[bytes, ...] = ()
        repetition = definition = 0
        if above:
            above[-1].left -= 1
            path = (*above[-1].path, _text(name))
            repetition = above[-1].repetition + (found[3] == _REPEATED)
            definition = above[-1].definition + (found[3] != 0)
        if found[5] > 0 or not place:
            above.append(_Above(found[5], repetition, definition, path))
            if len(above) > _DEEPEST:
                raise FooterError(f"its columns are nested more than {_DEEPEST} deep")
            continue
        if not 0 <= found[1] < len(_SIZES):
            raise FooterError(f"column {_shown(name)} has the type {found[1]}, which is none")
        length = found[2] if found[1] == _FIXED else _SIZES[found[1]]
        leaves.append(_Leaf(_shown(name), _list_of(path), found[1], length, repetition, definition))
    if any(one.left for one in above):
        raise FooterError("its schema ends before its columns")
    return leaves, at


def _row_group(data: bytes, at: int, leaves: list[_Leaf]) -> int:
    number, seen = 0, False
    while head := data[at]:
        number, at = _field(data, at, head, number)
        if number == 1:
            count, at = _structs(data, at)
            if count != len(leaves) or seen:
                raise FooterError(f"a row group has {count} columns, its schema {len(leaves)}")
            for leaf in leaves:
                at = _chunk(data, at, leaf)
            seen = True
        else:
            at = _skip(data, at, head & 15)
    if not seen and leaves:
        raise FooterError("a row group has no columns")
    return at + 1


def _chunk(data: bytes, at: int, leaf: _Leaf) -> int:
    number, seen = 0, False
    while head := data[at]:
        number, at = _field(data, at, head, number)
        if number == 3 and head & 15 == _STRUCT:
            at, seen = _column(data, at, leaf), True
        elif number in (8, 9):
            raise FooterError(f"column {leaf.name} is encrypted")
        else:
            at = _skip(data, at, head & 15)
    if not seen:
        raise FooterError(f"column {leaf.name} is not described")
    return at + 1


def _column(data: bytes, at: int, leaf: _Leaf) -> int:
    number, found = 0, -1
    while head := data[at]:
        number, at = _field(data, at, head, number)
        if number == 1 and head & 15 == _I32:
            value, at = _varint(data, at)
            found = (value >> 1) ^ -(value & 1)
            if found != leaf.kind:
                raise FooterError(f"column {leaf.name} has the type {found}, its schema says {leaf.kind}")
        elif number == 3 and head & 15 == _LIST:
            start, at = at, _skip(data, at, _LIST)
            if data[start:at] != leaf.path:
                raise FooterError(f"the chunk of column {leaf.name} has another name than its schema says")
        elif number == 4 and head & 15 == _I32:
            value, at = _varint(data, at)
            codec = (value >> 1) ^ -(value & 1)
            if not 0 <= codec < _CODECS:
                raise FooterError(f"column {leaf.name} is compressed by codec {codec}, which is none")
        elif number == 12 and head & 15 == _STRUCT:
            at = _statistics(data, at, leaf)
        elif number == 16 and head & 15 == _STRUCT:
            at = _sizes(data, at, leaf)
        else:
            at = _skip(data, at, head & 15)
    if found < 0:
        raise FooterError(f"column {leaf.name} has no type")
    return at + 1


def _statistics(data: bytes, at: int, leaf: _Leaf) -> int:
    number = 0
    while head := data[at]:
        number, at = _field(data, at, head, number)
        if head & 15 != _BINARY:
            at = _skip(data, at, head & 15)
            continue
        size, at = _varint(data, at)
        if leaf.size is not None and size != leaf.size:
            raise FooterError(f"a statistic of column {leaf.name} has {size} bytes, not {leaf.size}")
        at += size
    return at + 1


def _sizes(data: bytes, at: int, leaf: _Leaf) -> int:
    number = 0
    while head := data[at]:
        number, at = _field(data, at, head, number)
        if number == 1 and leaf.kind != _BYTE_ARRAY:
            raise FooterError(f"column {leaf.name} has a size of texts, and is none")
        start, at = at, _skip(data, at, head & 15)
        if number in (2, 3) and head & 15 == _LIST:
            count, _ = _list_head(data, start)
            levels = 1 + (leaf.repetition if number == 2 else leaf.definition)
            if count not in (0, levels):
                raise FooterError(f"column {leaf.name} has {count} levels, its schema {levels}")
    return at + 1


# ---- Thrift's compact protocol: each function is given a place and returns the one behind what it read -------


def _field(data: bytes, at: int, head: int, number: int) -> tuple[int, int]:
    """Return the number of the field that begins at a place, and where its value begins."""
    if head >> 4:
        return number + (head >> 4), at + 1
    value, at = _varint(data, at + 1)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 128:
        return byte, at
    value, shift = byte & 127, 7
    while byte > 127:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if shift > 70:
            raise ValueError("a number without end")
    return value, at


def _structs(data: bytes, at: int) -> tuple[int, int]:
    if data[at] & 15 != _STRUCT and data[at] >> 4:
        raise ValueError("a list of another type")
    return _list_head(data, at)


def _list_head(data: bytes, at: int) -> tuple[int, int]:
    count, at = data[at] >> 4, at + 1
    if count == 15:
        count, at = _varint(data, at)
    # Each element has a byte at least, so that no length makes us count for long.
    if count > len(data) - at:
        raise ValueError("a list without end")
    return count, at


def _skip(data: bytes, at: int, kind: int, depth: int = 0) -> int:
    if _I16 <= kind <= _I64:
        while data[at] > 127:
            at += 1
        return at + 1
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in (_TRUE, _FALSE):
        return at
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    if kind == _STRUCT:
        while head := data[at]:
            at = at + 1 if head >> 4 else _varint(data, at + 1)[1]
            at = _skip(data, at, head & 15, depth + 1)
        return at + 1
    if kind in (_LIST, _SET):
        inner = data[at] & 15
        count, at = _list_head(data, at)
        for _ in range(count):
            at = at + 1 if inner in (_TRUE, _FALSE) else _skip(data, at, inner, depth + 1)
        return at
    if kind == _DOUBLE:
        return at + 8
    if kind == _BYTE:
        return at + 1
    raise ValueError(f"a field of type {kind}")


def _text(name: bytes) -> bytes:
    try:
        name.decode()
    except UnicodeDecodeError:
        raise FooterError(f"the name of column {_shown(name)} is no text") from None
    return name


def _list_of(texts: Sequence[bytes]) -> bytes:
    """Return texts as Thrift's compact protocol writes a list of them."""
    count = len(texts)
    head = bytes([count << 4 | _BINARY]) if count < 15 else bytes([15 << 4 | _BINARY, count])
    return head + b"".join(_number(len(text)) + text for text in texts)


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _shown(name: bytes) -> str:
    return name[:60].decode("utf-8", "replace")
