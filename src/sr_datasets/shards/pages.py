"""The pages of a column chunk: where each lies, whether its bytes are those that were written, and its values.

Parquet libraries read a column of a row group as a whole. A row of a compressed shard stays cheap because a reader of
its pages takes apart the one page that holds it. Headers of pages are Thrift structs in the compact protocol.
"""

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

PREFIX_BYTES: Final = 4
"""Each value of a PLAIN binary page stands behind its length, a little-endian uint32."""

_DATA_PAGE = 0
_DICTIONARY_PAGE = 2
_PLAIN = 0
_LONGEST_HEADER = 1 << 20
_LARGEST_PAGE = 1 << 30  # a row group has less (MAX_GROUP_BYTES), and a page is a part of one
_I32, _STRUCT = 5, 12  # types of Thrift's compact protocol
_HEADER_FIELDS = {(1, _I32), (2, _I32), (3, _I32), (4, _I32), (5, _STRUCT), (7, _STRUCT)}
_OWN_FIELDS = {(1, _I32), (2, _I32), (3, _I32), (4, _I32), (5, _STRUCT), (3, 1), (3, 2)}
_CODECS = {"UNCOMPRESSED": None, "ZSTD": "zstd"}


class PageError(Exception):
    """The bytes at a place of a file are no page; where, and what they are instead."""

    def __init__(self, message: str, *, at: int, page: "Page | None" = None) -> None:
        super().__init__(message)
        self.at = at
        """Byte of the file where the page, or its header, begins."""
        self.page = page
        """The page, when its header could be read."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page, as its header describes it."""

    header_at: int
    """Byte of the file where its header begins."""
    at: int
    """Byte of the file where its data begin, right behind the header."""
    size: int
    """Bytes of the data as they lie in the file."""
    raw_size: int
    """Bytes of the data before compression."""
    crc: int | None
    """CRC-32 of the data as they lie in the file; None when the header has none."""
    is_dictionary: bool
    """A dictionary page; otherwise a data page (version 1)."""
    num_values: int
    """Values of the page: of a list column its elements."""
    plain: bool
    """Values are PLAIN."""

    @property
    def end(self) -> int:
        """First byte behind the page."""
        return self.at + self.size


def iter_pages(view: memoryview, start: int, end: int) -> Iterator[Page]:
    """Yield the pages that lie between two places of a file, one after another without a gap.

    Raises:
        PageError: What lies there is no page, or reaches beyond ``end``.
    """
    at = start
    while at < end:
        page = _page_at(view, at, end)
        yield page
        at = page.end


@dataclass(frozen=True, slots=True)
class StoredPage:
    """What a page of any kind takes, as its header says it."""

    at: int
    """Byte of the file where its data begin."""
    size: int
    """Bytes of the data as they lie in the file."""
    raw_size: int
    """Bytes of the data before compression."""
    num_values: int
    """Its values."""
    is_dictionary: bool
    """Whether other pages' values are numbers of its own."""


def stored_pages(view: memoryview, start: int, end: int) -> Iterator[StoredPage]:
    """Yield the pages that lie between two places of a file, whoever wrote them and in whichever version.

    Raises:
        PageError: What lies there is no page, or reaches beyond ``end``.
    """
    at = start
    while at < end:
        try:
            fields, data_at = _read_struct(view[:end], at)
            found = (fields.get((number, _STRUCT)) for number in (5, 7, 8))
            own: dict[tuple[int, int], Any] = next(filter(None, found), {})
            page = StoredPage(
                at=data_at,
                size=fields[3, _I32],
                raw_size=fields[2, _I32],
                num_values=own.get((1, _I32), 0),
                is_dictionary=fields[1, _I32] == _DICTIONARY_PAGE,
            )
        except (IndexError, KeyError, TypeError, ValueError, RecursionError, struct.error) as error:
            raise PageError("no header of a page can be read", at=at) from error
        if min(page.size, page.raw_size, page.num_values) < 0 or data_at + page.size > end:
            raise PageError(f"its page claims {page.size} bytes, of which {end - data_at} are there", at=at)
        yield page
        at = data_at + page.size


def check_page(view: memoryview, page: Page) -> None:
    """Hold the data of a page against its CRC-32.

    Raises:
        PageError: They are not what was written.
    """
    if page.crc is not None and (found := zlib.crc32(view[page.at : page.end])) != page.crc:
        raise PageError(
            f"its CRC-32 is {found:08x}, when it was written {page.crc:08x}", at=page.at, page=page
        )


def crc_field(view: memoryview, page: Page) -> tuple[int, int]:
    """Return where the CRC-32 stands in a page's header: its first byte in the file, and the one behind its last.

    Raises:
        PageError: The header has none.
    """
    at, number = page.header_at, 0
    while (head := view[at]) != 0:
        number += head >> 4
        kind = head & 15
        if not head >> 4:
            number, at = _read_int(view, at + 1)
            at -= 1
        end = _read_value(view, at + 1, kind)[1]
        if (number, kind) == (4, _I32):
            return at + 1, end
        at = end
    raise PageError("a header without a CRC-32", at=page.header_at, page=page)


def crc_bytes(crc: int) -> bytes:
    """Return a CRC-32 as a header has it: an int32, zigzag, in groups of seven bits, the lowest first."""
    signed = crc - (1 << 32) if crc >= 1 << 31 else crc
    value = (signed << 1) ^ (signed >> 31)
    value &= 0xFFFFFFFF
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _page_at(view: memoryview, at: int, end: int) -> Page:
    try:
        fields, data_at = _read_struct(view[:end], at)
        kind = fields[1, _I32]
        if kind not in (_DATA_PAGE, _DICTIONARY_PAGE):
            raise PageError(f"a page of type {kind}", at=at)
        is_dictionary = kind == _DICTIONARY_PAGE
        own = fields[7 if is_dictionary else 5, _STRUCT]
        if strange := (fields.keys() - _HEADER_FIELDS) | (own.keys() - _OWN_FIELDS):
            raise PageError(f"a header with the fields {sorted(strange)}, which no page has", at=at)
        crc = fields.get((4, _I32))
        page = Page(
            header_at=at,
            at=data_at,
            size=fields[3, _I32],
            raw_size=fields[2, _I32],
            crc=None if crc is None else crc & 0xFFFFFFFF,
            is_dictionary=is_dictionary,
            num_values=own[1, _I32],
            plain=own[2, _I32] == _PLAIN,
        )
    except (IndexError, KeyError, TypeError, ValueError, RecursionError, struct.error) as error:
        raise PageError("no header of a page can be read", at=at) from error
    if not 0 <= page.raw_size <= _LARGEST_PAGE or not 0 <= page.num_values <= _LARGEST_PAGE:
        raise PageError(f"its page claims {page.num_values} values in {page.raw_size} bytes", at=at)
    if page.size < 0 or page.end > end:
        raise PageError(f"its page claims {page.size} bytes, of which {end - data_at} are there", at=at)
    return page


def _read_struct(view: memoryview, at: int) -> tuple[dict[tuple[int, int], Any], int]:
    """Read a struct of Thrift's compact protocol: its fields by number and type, and where it ends."""
    fields: dict[tuple[int, int], Any] = {}
    number = 0
    first = at
    while True:
        head = view[at]
        at += 1
        if head == 0:
            return fields, at
        if at - first > _LONGEST_HEADER:
            raise ValueError("no end")
        if head >> 4:
            number += head >> 4
        else:
            number, at = _read_int(view, at)
        kind = head & 15
        fields[number, kind], at = _read_value(view, at, kind)


def _read_value(view: memoryview, at: int, kind: int) -> tuple[Any, int]:
    match kind:
        case 1 | 2:
            return kind == 1, at
        case 3:
            return view[at], at + 1
        case 4 | 5 | 6:
            return _read_int(view, at)
        case 7:
            return struct.unpack_from("<d", view, at)[0], at + 8
        case 8:
            size, at = _read_varint(view, at)
            if at + size > len(view):
                raise ValueError("a text that has no end")
            return bytes(view[at : at + size]), at + size
        case 12:
            return _read_struct(view, at)
        case _:  # lists, sets and maps are not in headers of pages
            raise ValueError(f"a field of type {kind}")


def _read_int(view: memoryview, at: int) -> tuple[int, int]:
    value, at = _read_varint(view, at)
    return (value >> 1) ^ -(value & 1), at


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where a column chunk lies, and how its values are stored."""

    start: int
    """Byte of the file where its first page begins."""
    end: int
    """First byte behind its last page."""
    codec: str
    """``UNCOMPRESSED`` or ``ZSTD``."""
    levels: int
    """How many kinds of levels (repetition, definition) stand before the values of a page."""
    values_per_row: int
    """Values of a row: 1, or the elements of its list."""


def can_be_paged(codec: str, encodings: tuple[str, ...], *, has_dictionary: bool) -> bool:
    """Return whether pages of such a column chunk can be read one by one, by what its footer says."""
    return codec in _CODECS and not has_dictionary and "PLAIN" in encodings


class PagedColumn:
    """The binary values of a column chunk, of which only the asked-for rows' page is read and decompressed."""

    def __init__(self, view: memoryview, place: ChunkPlace) -> None:
        """Name the chunk; its headers are read at the first touch.

        Args:
            view: The whole file.
            place: Where in it the chunk lies.
        """
        self._view, self._place = view, place
        self._pages: list[Page] | None = None
        self._first: list[int] = []
        self._codec = None if (name := _CODECS[place.codec]) is None else pa.Codec(name)
        self._last: tuple[int, memoryview, list[int]] = (-1, memoryview(b""), [])

    def values(self, row: int) -> list[memoryview]:
        """Return the values of a row: one, or the elements of its list.

        Raises:
            PageError: A page is altered, or no page of the kind that a shard has.
        """
        if self._pages is None:
            pages = list(iter_pages(self._view, self._place.start, self._place.end))
            first = [0]
            for page in pages:
                if page.is_dictionary or not page.plain or page.num_values % self._place.values_per_row:
                    raise PageError("a page of another kind than shards have", at=page.header_at, page=page)
                first.append(first[-1] + page.num_values // self._place.values_per_row)
            self._first, self._pages = first, pages
        number = bisect_right(self._first, row) - 1
        if number >= len(self._pages):
            raise PageError(f"its pages have {self._first[-1]} rows", at=self._place.start)
        _, data, starts = self._open(number, self._pages[number])
        place = (row - self._first[number]) * self._place.values_per_row
        return [
            data[starts[one] + PREFIX_BYTES : starts[one + 1]]
            for one in range(place, place + self._place.values_per_row)
        ]

    def _open(self, number: int, page: Page) -> tuple[int, memoryview, list[int]]:
        """Return the data of a page and where each of its values begins, kept for the next row of it."""
        last = self._last  # one look: another thread may put another page there
        if last[0] == number:
            return last
        check_page(self._view, page)
        data = self._view[page.at : page.end]
        if self._codec is not None:
            try:
                data = memoryview(self._codec.decompress(data, page.raw_size))
            except (OSError, pa.ArrowException) as error:
                raise PageError(f"it cannot be decompressed: {error}", at=page.at, page=page) from error
        at = 0
        try:
            for _ in range(self._place.levels):
                at += PREFIX_BYTES + struct.unpack_from("<I", data, at)[0]
            starts = [at]
            for _ in range(page.num_values):
                at += PREFIX_BYTES + struct.unpack_from("<I", data, at)[0]
                starts.append(at)
        except struct.error as error:
            raise PageError("its values reach beyond its end", at=page.at, page=page) from error
        if at != len(data):
            raise PageError(f"its values end at byte {at} of {len(data)}", at=page.at, page=page)
        self._last = last = (number, data, starts)
        return last
