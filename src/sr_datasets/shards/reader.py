"""Reads one shard: values straight out of the mapped file, or row groups through pyarrow."""

import json
import math
import os
import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import as_strided

from sr_datasets.errors import ShardError
from sr_datasets.files import sha256_of
from sr_datasets.shards.footer import FooterError, check_footer_of
from sr_datasets.shards.growth import LARGEST_READ, GrowthError, check_file, check_growth
from sr_datasets.shards.pages import (
    PREFIX_BYTES,
    ChunkPlace,
    PagedColumn,
    PageError,
    can_be_paged,
)
from sr_datasets.shards.schema import (
    BULKY_COLUMNS,
    FORMAT_VERSION,
    MAX_GROUP_BYTES,
    META_PREFIX,
    PIXEL_COLUMNS,
    PREVIEW_COLUMN,
    SCHEMA,
    SHAPE_COLUMNS,
    Pixels,
    Row,
    Shape,
    shape_of_columns,
    shard_digest,
    unlike_schema,
    with_later_columns,
)
from sr_datasets.shards.sets import ShardSummary, split_of_name
from sr_datasets.shards.storage import Storage

_CACHED_GROUPS = 2
_FILLED_COLUMNS = frozenset(SCHEMA.names).difference(BULKY_COLUMNS)
"""Columns that have a value in each row; those of pixels are looked at where they are read."""


@dataclass(frozen=True, slots=True)
class Group:
    """Where the rows of one row group are.

    ``lr_offset`` and ``hr_offset`` are the file offsets of the first value's bytes; value r of ``b``
    bytes is at ``offset + r * (b + 4)``. Both are None when the group cannot be mapped (compressed,
    pictures, several pages, values of several lengths): then it is read page by page where ``paged``
    is there, else through pyarrow.
    """

    number: int
    first_row: int
    num_rows: int
    lr_offset: int | None
    hr_offset: int | None
    paged: "PagedRows | None" = None


class PagedRows:
    """The pixels of one row group, one page at a time; lives on when its reader is closed."""

    def __init__(
        self, path: Path, group: tuple[int, int], columns: dict[str, PagedColumn], shape: Shape, *, png: bool
    ) -> None:
        """Name the group.

        Args:
            path: The shard, for messages.
            group: Number of the row group, and of its first row.
            columns: ``lr`` and ``hr``.
            shape: Shape of its rows.
            png: Whether values are PNG, one per frame.
        """
        self._path, self._group, self._columns, self._shape, self._png = path, group, columns, shape, png

    def pixels(self, number: int) -> tuple[Pixels, Pixels]:
        """Return ``lr`` and ``hr`` of the ``number``-th row of the group as new arrays.

        Raises:
            ShardError: A page is altered, or a value is not of its shape.
        """
        return self._array("lr", number, self._shape.lr), self._array("hr", number, self._shape.hr)

    def _array(self, name: str, number: int, dims: tuple[int, ...]) -> Pixels:
        group, first = self._group
        try:
            values = self._columns[name].values(number)
            return decoded(values, dims, self._shape.dtype, png=self._png)
        except PageError as error:
            why = f"the page at byte {error.at}: {error}"
        except ValueError as error:
            why = str(error)
        raise ShardError(
            f"{self._path}: {name} of row {first + number} (row group {group}): {why}. "
            "The shard is altered: copy or build it again."
        )


def decoded(
    values: Sequence[memoryview], dims: tuple[int, ...], dtype: np.dtype[Any], *, png: bool
) -> Pixels:
    """Return stored values of a row as a new array.

    Args:
        values: Its samples, or a PNG for each frame.
        dims: Shape of the array.
        dtype: Its type.
        png: Whether ``values`` are PNG.

    Raises:
        ValueError: They are not of that shape or type.
    """
    if not png:
        (value,) = values
        if len(value) != math.prod(dims) * dtype.itemsize:
            raise ValueError(
                f"{len(value)} bytes where its shape {dims} needs {math.prod(dims) * dtype.itemsize}"
            )
        return np.frombuffer(value, dtype).reshape(dims).copy()
    from sr_datasets.shards.pictures import planes_of_png  # Pillow: only who reads pictures waits for it

    frames = [planes_of_png(value) for value in values]
    for frame in frames:
        if frame.shape != dims[-3:] or frame.dtype != dtype:
            raise ValueError(f"a PNG of {frame.shape} {frame.dtype}, its row says {dims[-3:]} {dtype}")
    return np.stack(frames) if len(dims) == 4 else frames[0]


class FileMap:
    """A whole file in memory, read-only, without a file descriptor, so that thousands can be mapped at once."""

    def __init__(self, path: Path) -> None:
        """Map a file that has at least one byte.

        Raises:
            ShardError: The file is missing or empty.
        """
        try:
            with pa.memory_map(os.fsencode(path)) as file:
                size = file.size()
                # Arrow keeps the map while a slice of it lives, and closes the descriptor with the file.
                # The slice is one byte, since Arrow asks the system to read ahead what is sliced.
                first = np.frombuffer(file.read_buffer(1), np.uint8)
        except (OSError, pa.ArrowException) as error:
            raise ShardError(f"{path} cannot be mapped: {error}. Copy or build the set again.") from error
        self.array = as_strided(first, (size,), (1,), writeable=False)
        """``(size,)`` uint8: every byte of the file."""
        self.view = self.array.data
        """The same, for slices without NumPy."""
        self.address = int(first.ctypes.data)
        """Where the first byte lies in memory."""


class ShardReader:
    """Reads a shard by row number.

    Opens lazily, pickles as its path, and opens again after a fork.
    """

    stays_mapped = True
    """Whether what is mapped stays so, and addresses in it may be kept (not in ``RemoteShard``)."""

    def __init__(self, path: Path) -> None:
        """Name the shard; nothing is read yet.

        Args:
            path: A Parquet file with the columns of ``docs/shards.md``, written by whom ever.
        """
        self.path = Path(path)
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._file: pq.ParquetFile | None = None
        self._map: FileMap | None = None
        self._groups: list[Group | None] = []
        self._starts: list[int] = []
        self._shapes: dict[int, Shape] = {}
        self._leaves: dict[str, list[int]] = {}
        self._tables: OrderedDict[tuple[int, bool], pa.Table] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def close(self) -> None:
        """Give back the file and the map; the next use opens them again."""
        if self._file is not None and self._pid == os.getpid():
            self._file.close(force=True)
        self._reset()

    @property
    def num_rows(self) -> int:
        """Rows of the shard."""
        return self._parquet().metadata.num_rows  # type: ignore[no-any-return]

    @property
    def num_groups(self) -> int:
        """Row groups of the shard."""
        return self._parquet().metadata.num_row_groups  # type: ignore[no-any-return]

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself: the writer's keys, without their prefix."""
        found = self._parquet().metadata.metadata or {}
        try:
            return {
                key.decode()[len(META_PREFIX) :]: value.decode()
                for key, value in found.items()
                if key.startswith(META_PREFIX.encode())
            }
        except UnicodeDecodeError as error:
            raise ShardError(
                f"{self.path}: the metadata in its footer is not text ({error}). "
                "The shard is altered: copy or build it again."
            ) from error

    @property
    def split(self) -> str | None:
        """The split of all rows, from the metadata or the file's name; None when neither tells."""
        return self.metadata.get("split") or split_of_name(self.path.name)

    @property
    def column_names(self) -> list[str]:
        """Columns of the file, in its order."""
        return list(self._parquet().schema_arrow.names)

    @property
    def has_pictures(self) -> bool:
        """Whether pixels are stored as PNG."""
        kind = self._parquet().schema_arrow.field("hr").type
        # Other tools write bytes as large_binary or binary_view, lists as large_list.
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            kind = kind.value_type
        return bool(pa.types.is_struct(kind))

    @property
    def has_preview(self) -> bool:
        """Whether rows have a small picture for viewers."""
        return PREVIEW_COLUMN in self.column_names

    @property
    def storage(self) -> Storage:
        """How its writer stored pixels."""
        if self.has_pictures:
            return "png"
        return "zstd" if self.metadata.get("storage") == "zstd" else "raw"

    @property
    def format_version(self) -> int:
        """Version of the format that it was written in; the newest of files that say none."""
        return int(self.metadata.get("format", FORMAT_VERSION))

    def rows_of(self, group: int) -> tuple[int, int]:
        """Return the first row of a row group and how many it has."""
        self._parquet()
        return self._starts[group], self._starts[group + 1] - self._starts[group]

    def span_of(self, group: int, column: str) -> tuple[int, int]:
        """Return where the pages of a column of a row group begin and end, in bytes from the file's start."""
        metadata = self._parquet().metadata.row_group(group)
        found = [metadata.column(leaf) for leaf in self._leaves[column]]
        starts = [
            chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
            for chunk in found
        ]
        return min(starts), max(
            start + chunk.total_compressed_size for start, chunk in zip(starts, found, strict=True)
        )

    def group(self, number: int) -> Group:
        """Return where the rows of a row group are, after a look at its first and last value.

        Raises:
            ShardError: The group claims to lie where the file has ended.
        """
        self._parquet()
        group = self._groups[number]
        if group is None:
            group = self._groups[number] = self._locate(number)
        return group

    def shape(self, group: int) -> Shape:
        """Return the shape of the rows of a row group.

        Raises:
            ShardError: Its rows have several shapes, which no writer of ours makes.
        """
        if group not in self._shapes:
            kinds = self._shape_statistics(group)
            if len(kinds) != 1:
                table = self.read_columns(group, SHAPE_COLUMNS)
                kinds = {tuple(row[name] for name in SHAPE_COLUMNS) for row in table.to_pylist()}
            if len(kinds) != 1:
                raise ShardError(
                    f"{self.path}: row group {group} holds rows of {len(kinds)} shapes, a group has one. "
                    "Rewrite the shard with row groups of one shape."
                )
            numbers = dict(zip(SHAPE_COLUMNS, kinds.pop(), strict=True))
            if min(numbers.values()) < 0 or not 1 <= numbers["bit_depth"] <= 16:
                said = ", ".join(f"{name} {value}" for name, value in numbers.items())
                raise ShardError(
                    f"{self.path}: no row can have the shape of row group {group}: {said}. "
                    "The shard is altered: copy or build it again."
                )
            self._shapes[group] = shape_of_columns(**numbers)
        return self._shapes[group]

    def pixels(self, row: int) -> tuple[Pixels, Pixels]:
        """Return ``lr`` and ``hr`` of a row as new arrays, shaped as ``Row`` says.

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is truncated or altered there.
        """
        group, number = self._find(row)
        if group.paged is not None:
            return group.paged.pixels(number)
        shape = self.shape(group.number)
        if group.lr_offset is not None and group.hr_offset is not None:
            lr = self._mapped(group, "lr", group.lr_offset, number, shape.lr_bytes)
            hr = self._mapped(group, "hr", group.hr_offset, number, shape.hr_bytes)
            return (
                np.frombuffer(lr, shape.dtype).reshape(shape.lr).copy(),
                np.frombuffer(hr, shape.dtype).reshape(shape.hr).copy(),
            )
        return self._through_arrow(group, "lr", number, shape.lr), self._through_arrow(
            group, "hr", number, shape.hr
        )

    def _through_arrow(self, group: Group, name: str, number: int, dims: tuple[int, ...]) -> Pixels:
        """Return a value of a group that another tool wrote in its own way."""
        value = self._table(group.number, pixels=True).column(name)[number]
        parts = value.values if isinstance(value, pa.ListScalar) else [value]
        values = [part["bytes"] if isinstance(part, pa.StructScalar) else part for part in parts]
        buffers = [one.as_buffer() for one in values]
        try:
            if any(one is None for one in buffers):
                raise ValueError("it has no samples")
            dtype = self.shape(group.number).dtype
            return decoded([memoryview(one) for one in buffers], dims, dtype, png=self.has_pictures)
        except ValueError as error:
            raise ShardError(
                f"{self.path}: {name} of row {group.first_row + number} (row group {group.number}): {error}. "
                "The shard is altered: copy or build it again."
            ) from error

    def row(self, row: int) -> dict[str, Any]:
        """Return a row without its pixels, as plain Python values by column name.

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is truncated or altered there.
        """
        group, number = self._find(row)
        try:
            return self._table(group.number, pixels=False).slice(number, 1).to_pylist()[0]  # type: ignore[no-any-return]
        except UnicodeDecodeError as error:
            raise ShardError(
                f"{self.path}: row {row} holds what is no text ({error}). The shard is altered: copy or build it again."
            ) from error

    def read_row(self, row: int) -> Row:
        """Return a row with its pixels.

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is truncated or altered there, or lacks columns.
        """
        values = self.row(row)
        lr, hr = self.pixels(row)
        names = [name for name in Row.__dataclass_fields__ if name not in PIXEL_COLUMNS]
        if missing := [name for name in names if name not in values]:
            raise ShardError(
                f"{self.path} lacks the columns {', '.join(missing)} of format {FORMAT_VERSION}."
            )
        known = {name: values[name] for name in names}
        known["frame_indices"] = tuple(known["frame_indices"])
        known["pts"] = tuple(known["pts"])
        return Row(**known, lr=lr, hr=hr)

    def map(self) -> "FileMap":
        """Return the whole file, mapped read-only."""
        if self._map is None:
            self._map = FileMap(self.path)
        return self._map

    def _parquet(self) -> pq.ParquetFile:
        if self._pid != os.getpid():
            # The parent's handle shares its file position with ours: leave it alone, open our own.
            self._reset()
        if self._file is None:
            self._take(open_parquet(self.path))
        return self._file

    def _take(self, file: pq.ParquetFile) -> None:
        """Make an opened file the one that is read."""
        self._groups = [None] * file.num_row_groups
        self._starts = [0]
        for group in range(file.num_row_groups):
            self._starts.append(self._starts[-1] + file.metadata.row_group(group).num_rows)
        if self._starts[-1] != file.metadata.num_rows:
            raise ShardError(
                f"{self.path} claims {file.metadata.num_rows} rows, its row groups have {self._starts[-1]}. The shard is altered: "
                "copy or build it again."
            )
        self._leaves = _leaves(file)
        self._file = file

    def _find(self, row: int) -> tuple[Group, int]:
        num_rows = self.num_rows
        if not 0 <= row < num_rows:
            raise IndexError(f"{self.path} has {num_rows} rows, there is no row {row}")
        number = bisect_right(self._starts, row) - 1
        return self.group(number), row - self._starts[number]

    def _locate(self, number: int) -> Group:
        metadata = self._parquet().metadata.row_group(number)
        num_rows = metadata.num_rows
        offsets: list[int | None] = [None]
        if num_rows:
            shape = self.shape(number)
            sizes = {"lr": shape.lr_bytes, "hr": shape.hr_bytes}
            offsets = [
                self._offset_of(metadata.column(self._leaves[name][0]), num_rows, sizes[name])
                for name in PIXEL_COLUMNS
            ]
        mapped = all(offset is not None for offset in offsets)
        paged = None if mapped or not num_rows else self._paged(number)
        return Group(
            number=number,
            first_row=self._starts[number],
            num_rows=num_rows,
            lr_offset=offsets[0] if mapped else None,
            hr_offset=offsets[1] if mapped else None,
            paged=paged,
        )

    def _paged(self, number: int) -> PagedRows | None:
        """Return the pixels of a row group page by page; None when its columns are stored in another way."""
        metadata = self._parquet().metadata.row_group(number)
        shape = self.shape(number)
        columns = {}
        for name in PIXEL_COLUMNS:
            leaf = self._leaves[name][0]
            chunk, kind = metadata.column(leaf), self._parquet().schema.column(leaf)
            if chunk.physical_type != "BYTE_ARRAY" or not can_be_paged(
                chunk.compression, chunk.encodings, has_dictionary=chunk.has_dictionary_page
            ):
                return None
            dims = getattr(shape, name)
            several = kind.max_repetition_level > 0
            start = chunk.data_page_offset
            place = ChunkPlace(
                start=start,
                end=start + chunk.total_compressed_size,
                codec=chunk.compression,
                levels=several + (kind.max_definition_level > 0),
                values_per_row=dims[0] if several and len(dims) == 4 else 1,
            )
            if place.end > len(self.map().view):
                raise ShardError(self._too_short(chunk.path_in_schema, place.end))
            columns[name] = PagedColumn(self.map().view, place)
        return PagedRows(self.path, (number, self._starts[number]), columns, shape, png=self.has_pictures)

    def _too_short(self, column: str, end: int) -> str:
        return (
            f"{self.path}: column {column} should reach byte {end}, the file has {len(self.map().view)}. "
            "The shard is truncated or altered: copy or build it again."
        )

    def _shape_statistics(self, group: int) -> set[tuple[int, ...]]:
        """Return the lowest and the highest shape that the footer tells; nothing when it tells none."""
        metadata = self._parquet().metadata.row_group(group)
        kinds: list[list[int]] = [[], []]
        for name in SHAPE_COLUMNS:
            statistics = metadata.column(self._leaves[name][0]).statistics
            if statistics is None or not statistics.has_min_max:
                return set()
            kinds[0].append(statistics.min)
            kinds[1].append(statistics.max)
        return set(map(tuple, kinds))

    def _offset_of(self, column: pq.ColumnChunkMetaData, num_rows: int, size: int) -> int | None:
        if column.physical_type != "BYTE_ARRAY":
            return None
        plain = column.compression == "UNCOMPRESSED" and not column.has_dictionary_page
        if not plain or column.path_in_schema not in PIXEL_COLUMNS or column.num_values != num_rows:
            return None
        end = column.data_page_offset + column.total_compressed_size
        first = end - num_rows * (size + PREFIX_BYTES) + PREFIX_BYTES
        view = self.map().view
        if end > len(view):
            raise ShardError(self._too_short(column.path_in_schema, end))
        if first - PREFIX_BYTES <= column.data_page_offset:
            return None
        last = first + (num_rows - 1) * (size + PREFIX_BYTES)
        lengths = {length_before(view, first), length_before(view, last)}
        return first if lengths == {size} else None

    def _mapped(self, group: Group, name: str, offset: int, number: int, size: int) -> memoryview:
        at = offset + number * (size + PREFIX_BYTES)
        view = self.map().view
        if (length := length_before(view, at)) != size:
            raise ShardError(_wrong_length(self.path, group, name, number, length, size))
        return view[at : at + size]

    def _table(self, group: int, *, pixels: bool) -> pa.Table:
        """Return a row group, kept for the next row of it."""
        key = (group, pixels)
        if key in self._tables:
            self._tables.move_to_end(key)
            return self._tables[key]
        others = [name for name in self.column_names if name not in BULKY_COLUMNS]
        names = PIXEL_COLUMNS if pixels else others
        table = self._tables[key] = with_later_columns(self.read_columns(group, names))
        if len(self._tables) > _CACHED_GROUPS:
            self._tables.popitem(last=False)
        return table

    def read_columns(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Return columns of a row group as an Arrow table, page checksums verified.

        Raises:
            ShardError: The shard is truncated or altered there.
        """
        file = self._parquet()
        leaves = [leaf for name in columns for leaf in self._leaves.get(name, ())]
        most = LARGEST_READ + (MAX_GROUP_BYTES if any(name in BULKY_COLUMNS for name in columns) else 0)
        try:
            check_growth(file, self.map().view, [group], leaves, most=most)
        except GrowthError as error:
            raise ShardError(
                f"{self.path}: {error}. The shard is altered, or was made to do harm: copy or build it again."
            ) from error
        try:
            # One thread: a pool inherited by fork would hang.
            table = file.read_row_group(group, columns=list(columns), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise ShardError(
                f"{self.path}: row group {group} cannot be read ({error}). "
                "The shard is truncated or altered: copy or build it again."
            ) from error
        for name in _FILLED_COLUMNS.intersection(table.column_names):
            if empty := _missing_values(table.column(name)):
                raise ShardError(
                    f"{self.path}: column {name} of row group {group} lacks {empty} values, and a shard has each of them. "
                    "Rewrite the shard, or copy or build it again."
                )
        return table


def _missing_values(column: pa.ChunkedArray) -> int:
    """Return how many values a column lacks, those of its lists too."""
    empty = int(column.null_count)
    if pa.types.is_nested(column.type):
        empty += sum(chunk.flatten().null_count for chunk in column.chunks)
    return empty


def length_before(view: memoryview, offset: int) -> int:
    """Return the length that stands before the value at ``offset``, in bytes."""
    return int(struct.unpack_from("<I", view, offset - PREFIX_BYTES)[0])


def _wrong_length(path: Path, group: Group, name: str, number: int, found: object, size: int) -> str:
    return (
        f"{path}: {name} of row {group.first_row + number} (row group {group.number}) has {found} bytes, its shape "
        f"needs {size}. The shard is altered: copy or build it again."
    )


def open_parquet(path: Path, source: BinaryIO | None = None) -> pq.ParquetFile:
    """Open a shard's footer.

    Args:
        path: The shard.
        source: What to read in place of the file at ``path``, which then only names it.

    Raises:
        ShardError: It is no whole Parquet file, no shard, or of a newer format.
    """
    try:
        check_footer_of(path, source)
        file = pq.ParquetFile(
            # Never a bare path: Arrow takes one that begins as run:1/ for an address.
            pa.OSFile(os.fsencode(path)) if source is None else source,
            page_checksum_verification=True,
            pre_buffer=False,  # which would start threads that a fork of this process lacks
        )
    except FileNotFoundError:
        raise ShardError(f"{path} is missing. Copy or build the set again.") from None
    except (OSError, pa.ArrowException) as error:
        raise ShardError(f"{path} is not a whole Parquet file: {_why_not_parquet(path, error)}") from error
    except (FooterError, UnicodeDecodeError) as error:
        raise ShardError(
            f"{path} has a footer that cannot be right: {error}. The shard is altered: copy or build it again."
        ) from error
    metadata = file.metadata.metadata or {}
    version = metadata.get(f"{META_PREFIX}format".encode(), str(FORMAT_VERSION).encode()).decode(
        errors="replace"
    )
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        file.close(force=True)
        raise ShardError(
            f"{path} has shard format {version}; this sr-datasets reads up to {FORMAT_VERSION}. "
            "Install a newer sr-datasets."
        )
    needed = (*SHAPE_COLUMNS, *PIXEL_COLUMNS)
    if missing := [name for name in needed if name not in file.schema_arrow.names]:
        file.close(force=True)
        raise ShardError(
            f"{path} is a Parquet file but not a shard: it lacks the columns {', '.join(missing)}. "
            "docs/shards.md lists what a shard needs."
        )
    if unlike := unlike_schema(file.schema_arrow):
        file.close(force=True)
        raise ShardError(
            f"{path} is a Parquet file but not a shard: {unlike}. docs/shards.md lists what a shard needs."
        )
    return file


@contextmanager
def small_parquet(
    path: Path, columns: Iterable[str] | None = None, **options: Any
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file of a set that has no pixels, such as its index, after a look at what its columns take in memory.

    Args:
        path: The file.
        columns: Which columns are going to be read; all when None.
        options: As ``pyarrow.parquet.ParquetFile`` takes them.

    Raises:
        ShardError: The footer contradicts itself, or the columns would take more memory than a file of its size may.
        OSError: It cannot be read.
        pyarrow.ArrowException: It is no Parquet file.
    """
    try:
        check_footer_of(path)
        with (
            pa.OSFile(os.fsencode(path)) as source,
            # Without pre-buffering no thread is started, which a fork of this process would lack.
            pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False, **options) as file,
        ):
            check_file(file, FileMap(path).view, columns)
            yield file
    except (FooterError, GrowthError) as error:
        raise ShardError(
            f"{path} cannot be right: {error}. It is altered, or was made to do harm: copy the set again, or build it again."
        ) from error


def _leaves(file: pq.ParquetFile) -> dict[str, list[int]]:
    """Return for each column the places of its leaves among the column chunks (a list has one, a struct several)."""
    found: dict[str, list[int]] = {}
    for place in range(file.metadata.num_columns):
        found.setdefault(file.schema.column(place).path.split(".")[0], []).append(place)
    return found


def _why_not_parquet(path: Path, error: Exception) -> str:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(0, size - 4))
            tail = file.read(4)
    except OSError as unread:  # a folder, or no permission
        return f"it cannot be read ({unread.strerror}). Make it readable, or copy or build it again."
    if head == b"PAR1" and tail != b"PAR1":
        return f"its {size} bytes begin as one, but their end is missing. Copy or build it again."
    return f"{size} bytes, {error}. Copy or build it again."


def summarize_shard(path: Path) -> ShardSummary:
    """Return what its writer returned, read back from a finished shard.

    Raises:
        ShardError: It is no shard of ours.
    """
    reader = ShardReader(path)
    try:
        metadata = reader.metadata
        if "group_digests" not in metadata:
            raise ShardError(f"{path} has no content digests: it was not written by sr-datasets.")
        digests = tuple(json.loads(metadata["group_digests"]))
        return ShardSummary(
            name=path.name,
            split=metadata.get("split", ""),
            rows=reader.num_rows,
            groups=reader.num_groups,
            size_bytes=path.stat().st_size,
            sha256=sha256_of(path),
            content_digest=shard_digest(digests),
            group_digests=digests,
        )
    finally:
        reader.close()
