"""Where in a shard, or in another Parquet file of a set, an altered byte lies.

Every page has a CRC-32, so damage inside a page is found by reading. Headers of pages, the page index and the footer
have none: there, a shard is written again from what it still says, and the first byte that differs tells the place.
"""

import hashlib
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sr_datasets.errors import ShardError
from sr_datasets.files import sha256_of
from sr_datasets.shards.footer import FooterError, check_footer_of
from sr_datasets.shards.pages import Page, PageError, check_page, crc_bytes, crc_field, iter_pages
from sr_datasets.shards.reader import FileMap, ShardReader

MAGIC: Final = b"PAR1"
_TAIL_BYTES: Final = 8
_COMPARED_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of a row group, as the footer places it."""

    group: int
    """Row group."""
    column: str
    """Path of the column, such as ``lr`` or ``lr.bytes``."""
    first_row: int
    """Number of the group's first row in the file."""
    num_rows: int
    """Rows of the group."""
    start: int
    """Byte of the file where its first page begins."""
    end: int
    """First byte behind its last page."""
    num_values: int
    """Values; of a list column its elements."""

    def rows(self, page_first: int = 0, page_rows: int | None = None) -> str:
        """Name rows of the group: all, or those of a page."""
        first = self.first_row + page_first
        last = first + (self.num_rows if page_rows is None else page_rows) - 1
        return f"row {first}" if first == last else f"rows {first} to {last}"

    def where(self, rows: str | None = None) -> str:
        """Name the place for people."""
        return f"row group {self.group} ({rows or self.rows()}), column {self.column}"


def _metadata_of(path: Path) -> pq.FileMetaData:
    # A name such as run:1/data would be an address to Arrow: nowhere is it given a bare path.
    with pa.OSFile(os.fsencode(path)) as source:
        return pq.read_metadata(source)


def chunks_of(metadata: pq.FileMetaData) -> Iterator[Chunk]:
    """Yield the column chunks of a file in the order in which a writer puts them."""
    first = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            end = start + column.total_compressed_size
            yield Chunk(number, column.path_in_schema, first, group.num_rows, start, end, column.num_values)
        first += group.num_rows


def check_container(path: Path, sha256: str | None = None) -> list[str]:
    """Hold every byte of a Parquet file of ours that has a checksum, or a place, against it.

    Looks at the magic at both ends, at the footer's length, at whether column chunks follow each other without a gap, at
    each page's header and CRC-32.

    Args:
        path: The file.
        sha256: What the file had when it was written, if that is known: it tells an altered checksum from altered data.

    Returns:
        One sentence for each problem, with row group, column and rows where it lies in one; empty when there is none.
    """
    view = FileMap(path).view
    problems = []
    if bytes(view[:4]) != MAGIC:
        problems.append(f"{path}: its first 4 bytes are {bytes(view[:4])!r}, not {MAGIC!r}")
    if bytes(view[-4:]) != MAGIC:
        return [*problems, f"{path}: its last 4 bytes are {bytes(view[-4:])!r}, not {MAGIC!r}"]
    (footer_bytes,) = struct.unpack_from("<I", view, len(view) - _TAIL_BYTES)
    footer_at = len(view) - _TAIL_BYTES - footer_bytes
    if footer_at < len(MAGIC):
        return [*problems, f"{path}: its footer claims {footer_bytes} bytes of {len(view)}"]
    try:
        check_footer_of(path)
        metadata = _metadata_of(path)
        chunks = list(chunks_of(metadata))
    except (
        FooterError,
        ArithmeticError,
        LookupError,
        MemoryError,
        OSError,
        ValueError,
        pa.ArrowException,
    ) as error:
        return [
            *problems,
            f"{path}: footer (bytes {footer_at} to {len(view) - _TAIL_BYTES}): cannot be read: {error}",
        ]
    at = len(MAGIC)
    bad: list[tuple[str, Page]] = []
    for chunk in chunks:
        if chunk.start != at or not chunk.start <= chunk.end <= footer_at:
            problems.append(
                f"{path}: footer (from byte {footer_at}): {chunk.where()} is said to lie at bytes {chunk.start} to "
                f"{chunk.end}; it follows on byte {at}"
            )
            return problems
        at = chunk.end
        problems += _check_chunk(path, view, chunk, bad)
    if (
        len(problems) == len(bad) == 1
        and sha256 is not None
        and (place := _altered_crc(view, bad[0][1], sha256))
    ):
        return [f"{path}: {bad[0][0]}, {place}: the page's data are right"]
    return problems


def _altered_crc(view: memoryview, page: Page, sha256: str) -> str | None:
    """Name the CRC-32 of a page, if the file is as it was written but for that; None when the data were altered."""
    first, end = crc_field(view, page)
    right = crc_bytes(zlib.crc32(view[page.at : page.end]))
    if len(right) != end - first:
        return None
    digest = hashlib.sha256(view[:first])
    digest.update(right)
    digest.update(view[end:])
    if digest.hexdigest() != sha256:
        return None
    altered = next(place for place, byte in enumerate(right) if view[first + place] != byte)
    return f"byte {first + altered}, in the CRC-32 that the header of a page holds (it begins at byte {page.header_at})"


def _check_chunk(path: Path, view: memoryview, chunk: Chunk, bad: list[tuple[str, Page]]) -> list[str]:
    """Return what is wrong with a column chunk; pages whose CRC-32 is not that of their data go into ``bad``."""
    problems = []
    num_values = 0
    pages: list[Page] = []
    try:
        for page in iter_pages(view, chunk.start, chunk.end):
            pages.append(page)
            num_values += 0 if page.is_dictionary else page.num_values
    except PageError as error:
        return [f"{path}: {chunk.where()}, header of a page at byte {error.at}: {error}"]
    if num_values != chunk.num_values:
        return [
            f"{path}: {chunk.where()}: its pages' headers (from byte {chunk.start}) say {num_values} values, the "
            f"footer {chunk.num_values}"
        ]
    first = 0
    for page in pages:
        rows = None
        if not page.is_dictionary and chunk.num_values % chunk.num_rows == 0:
            per_row = chunk.num_values // chunk.num_rows
            rows = chunk.rows(first // per_row, max(1, page.num_values // per_row))
            first += page.num_values
        try:
            check_page(view, page)
        except PageError as error:
            bad.append((chunk.where(rows), page))
            problems.append(
                f"{path}: {chunk.where(rows)}, page at bytes {page.at} to {page.end} (its header begins at byte "
                f"{page.header_at}): {error}"
            )
        if page.crc is None:
            problems.append(
                f"{path}: {chunk.where(rows)}, header of a page at byte {page.header_at}: no CRC-32"
            )
    return problems


def place_of_change(path: Path, sha256: str) -> str:
    """Say where a shard differs from what was written, when all its pages and digests are right.

    The shard is written again, from its own rows and metadata, and compared.

    Args:
        path: The shard.
        sha256: What ``sr-data.json`` says of it.
    """
    vague = (
        "every page and digest is right: the change lies outside the pages, in a page header, the page index or the "
        "footer"
    )
    with tempfile.TemporaryDirectory(prefix="sr-data-") as folder:
        again = Path(folder) / path.name
        try:
            _write_again(path, again)
        except (ShardError, ArithmeticError, LookupError, OSError, ValueError, pa.ArrowException):
            return vague
        if sha256_of(again) == sha256:
            at = first_difference(path, again)
            if at is not None:
                return f"byte {at}, in {region_of(again, at)}: pixels and columns are right"
        elif first_difference(path, again) is None:
            return "the change lies in the footer, in what the file says of itself (its key-value metadata)"
    return vague


def _write_again(path: Path, again: Path) -> None:
    from sr_datasets.shards.writer import WRITER_KEYS, ShardWriter

    with closing(ShardReader(path)) as reader:
        metadata = {key: value for key, value in reader.metadata.items() if key not in WRITER_KEYS}
        writer = ShardWriter(again, metadata=metadata, storage=reader.storage, preview=reader.has_preview)
        with writer:
            for group in range(reader.num_groups):
                first, count = reader.rows_of(group)
                writer.write_group([reader.read_row(first + number) for number in range(count)])


def first_difference(one: Path, other: Path) -> int | None:
    """Return the first byte at which two files differ, None when they are equal."""
    at = 0
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            here, there = left.read(_COMPARED_BYTES), right.read(_COMPARED_BYTES)
            if here != there:
                pairs = zip(here, there, strict=False)
                return at + next(
                    (place for place, (a, b) in enumerate(pairs) if a != b), min(len(here), len(there))
                )
            if not here:
                return None
            at += len(here)


def region_of(path: Path, at: int) -> str:
    """Name the part of a whole Parquet file that a byte lies in."""
    view = FileMap(path).view
    (footer_bytes,) = struct.unpack_from("<I", view, len(view) - _TAIL_BYTES)
    footer_at = len(view) - _TAIL_BYTES - footer_bytes
    if at < len(MAGIC):
        return "the magic at its start"
    if at >= len(view) - _TAIL_BYTES:
        return "the footer's length, or the magic behind it"
    if at >= footer_at:
        return "the footer"
    for chunk in chunks_of(_metadata_of(path)):
        if chunk.start <= at < chunk.end:
            pages = iter_pages(view, chunk.start, chunk.end)
            page = next(page for page in pages if page.header_at <= at < page.end)
            return f"{chunk.where()}, {'the header of a page' if at < page.at else 'a page'}"
    return "the page index"
