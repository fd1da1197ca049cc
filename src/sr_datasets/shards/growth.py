"""How much memory columns of a Parquet file take when Arrow reads them, known before it does.

A few bytes of a file can stand for gigabytes: a page that was compressed, a dictionary's long text that is named in
every row, a run of one value as long as the footer says that there are rows. Arrow makes room for what it is told. So
the headers of the pages are read first, and what would take too much is refused.
"""

import struct
from collections.abc import Iterable
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sr_datasets.files import human_bytes
from sr_datasets.shards.pages import PREFIX_BYTES, PageError, StoredPage, stored_pages

LARGEST_READ: Final = 1 << 30
"""Most bytes that the columns of a row group may take, pixels aside; those of a set of ours take some kilobytes a clip."""
_LARGEST_GROWTH: Final = 1000
"""Most bytes that a file read as a whole may take for each of its own, beyond ``LARGEST_READ``; an index of ours takes up to 550."""
_WIDTHS: Final = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_LOOKED_INTO: Final = 1 << 26
"""A dictionary that makes no more than this, if each row had all of it, is not opened; nor is a larger one opened."""
_CODECS: Final = {"SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd"}
_OFFSET_BYTES: Final = 8


class GrowthError(Exception):
    """Columns would take more memory than they may, or do not say how much."""


def check_growth(
    file: pq.ParquetFile,
    view: memoryview,
    groups: Iterable[int],
    leaves: Iterable[int],
    *,
    most: int = LARGEST_READ,
) -> None:
    """Make sure that columns of row groups take no more memory than they may.

    Args:
        file: The file, whose footer was looked at (``footer``).
        view: Its bytes; those of these row groups are there.
        groups: Row groups, which are read together.
        leaves: Columns, by their place among the column chunks.
        most: Most bytes of all of it.

    Raises:
        GrowthError: They would take more, or a page's header cannot be read.
    """
    places = list(leaves)
    total = 0
    for number in groups:
        group = file.metadata.row_group(number)
        for place in places:
            chunk = group.column(place)
            total += _size_of(chunk, file.schema.column(place), group.num_rows, view)
            if total > most:
                raise GrowthError(
                    f"row group {number} would take more than {human_bytes(most)} of memory, at column {chunk.path_in_schema}"
                )


def check_file(file: pq.ParquetFile, view: memoryview, columns: Iterable[str] | None) -> None:
    """Make sure that columns of a whole file take no more memory than they may, each row group and all of them.

    Args:
        file: The file, whose footer was looked at (``footer``).
        view: Its bytes.
        columns: Which columns; all when None.

    Raises:
        GrowthError: They would take more.
    """
    wanted = None if columns is None else set(columns)
    leaves = [
        place
        for place in range(file.metadata.num_columns)
        if wanted is None or file.schema.column(place).path.split(".")[0] in wanted
    ]
    for number in range(file.num_row_groups):
        check_growth(file, view, [number], leaves)
    check_growth(
        file, view, range(file.num_row_groups), leaves, most=LARGEST_READ + _LARGEST_GROWTH * len(view)
    )


def _size_of(chunk: pq.ColumnChunkMetaData, kind: pq.ColumnSchema, num_rows: int, view: memoryview) -> int:
    """Return the most bytes that a column chunk takes in memory."""
    start, end = chunk.data_page_offset, 0
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    end = start + chunk.total_compressed_size
    if not 0 < start <= end <= len(view):
        raise GrowthError(
            f"column {chunk.path_in_schema} is said to lie at bytes {start} to {end} of {len(view)}"
        )
    try:
        pages = list(stored_pages(view, start, end))
    except PageError as error:
        raise GrowthError(f"column {chunk.path_in_schema} at byte {error.at}: {error}") from error
    raw = sum(page.raw_size for page in pages)
    values: int = max(
        num_rows, chunk.num_values, sum(page.num_values for page in pages if not page.is_dictionary)
    )
    # Levels are decoded beside the values: two bytes each, and a bit for what is null.
    levels = 4 * values * bool(kind.max_definition_level > 0 or kind.max_repetition_level > 0)
    if chunk.physical_type in _WIDTHS:
        return raw + levels + values * _WIDTHS[chunk.physical_type]
    if chunk.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return raw + levels + values * int(kind.length)
    return raw + levels + values * _OFFSET_BYTES + _repeated_bytes(chunk, pages, values, view)


def _repeated_bytes(
    chunk: pq.ColumnChunkMetaData, pages: list[StoredPage], values: int, view: memoryview
) -> int:
    """Return the most bytes of texts that are stored once and stand in many rows."""
    total = sum(page.raw_size for page in pages)
    if "DELTA_BYTE_ARRAY" in chunk.encodings and values * total > total:
        return values * total  # each value may begin with all of the one before
    most = 0
    for page in pages:
        if page.is_dictionary:
            longest = page.raw_size
            if values * longest > _LOOKED_INTO and longest <= _LOOKED_INTO:
                longest = _longest(chunk, page, view)
            most = max(most, values * longest)
    return most


def _longest(chunk: pq.ColumnChunkMetaData, page: StoredPage, view: memoryview) -> int:
    """Return the length of the longest text of a dictionary."""
    data = view[page.at : page.at + page.size]
    if chunk.compression != "UNCOMPRESSED":
        if chunk.compression not in _CODECS:
            return page.raw_size
        try:
            data = memoryview(pa.Codec(_CODECS[chunk.compression]).decompress(data, page.raw_size))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise GrowthError(f"column {chunk.path_in_schema} cannot be decompressed: {error}") from error
    at = longest = 0
    try:
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at)
            longest = max(longest, length)
            at += PREFIX_BYTES + length
    except struct.error as error:
        raise GrowthError(f"column {chunk.path_in_schema} has a dictionary that is cut") from error
    return longest
