"""Reads one shard: values straight out of the mapped file, or row groups through pyarrow."""

import json
import os
import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import as_strided

from sr_datasets.errors import ShardError
from sr_datasets.files import sha256_of
from sr_datasets.shards.schema import (
    FORMAT_VERSION,
    META_PREFIX,
    PIXEL_COLUMNS,
    SHAPE_COLUMNS,
    Pixels,
    Row,
    Shape,
    shape_of_columns,
    shard_digest,
)
from sr_datasets.shards.sets import ShardSummary, split_of_name

PREFIX_BYTES: Final = 4
"""Each value of a PLAIN binary page stands behind its length, a little-endian uint32."""

_CACHED_GROUPS = 2


@dataclass(frozen=True, slots=True)
class Group:
    """Where the rows of one row group are.

    ``lr_offset`` and ``hr_offset`` are the file offsets of the first value's bytes; value r of ``b``
    bytes is at ``offset + r * (b + 4)``. Both are None when the group cannot be mapped (compressed,
    several pages, values of several lengths): then it is read through pyarrow.
    """

    number: int
    first_row: int
    num_rows: int
    lr_offset: int | None
    hr_offset: int | None


class FileMap:
    """A whole file in memory, read-only, without a file descriptor, so that thousands can be mapped at once."""

    def __init__(self, path: Path) -> None:
        """Map a file that has at least one byte.

        Raises:
            ShardError: The file is missing or empty.
        """
        try:
            with pa.memory_map(str(path)) as file:
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
            self._file.close()
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
            self._shapes[group] = shape_of_columns(*kinds.pop())
        return self._shapes[group]

    def pixels(self, row: int) -> tuple[Pixels, Pixels]:
        """Return ``lr`` and ``hr`` of a row as new arrays, shaped as ``Row`` says.

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is truncated or altered there.
        """
        group, number = self._find(row)
        shape = self.shape(group.number)
        lr, hr = self.value_bytes(group, number, shape)
        return (
            np.frombuffer(lr, shape.dtype).reshape(shape.lr).copy(),
            np.frombuffer(hr, shape.dtype).reshape(shape.hr).copy(),
        )

    def value_bytes(self, group: Group, number: int, shape: Shape) -> tuple[memoryview, memoryview]:
        """Return the bytes of ``lr`` and ``hr`` of the ``number``-th row of a group, not copied.

        Raises:
            ShardError: A value has another length than its shape.
        """
        if group.lr_offset is not None and group.hr_offset is not None:
            return (
                self._mapped(group, "lr", group.lr_offset, number, shape.lr_bytes),
                self._mapped(group, "hr", group.hr_offset, number, shape.hr_bytes),
            )
        table = self._table(group.number, pixels=True)
        found = []
        for name, size in (("lr", shape.lr_bytes), ("hr", shape.hr_bytes)):
            value = table.column(name)[number].as_buffer()
            if value is None or value.size != size:
                length = "no" if value is None else value.size
                raise ShardError(_wrong_length(self.path, group, name, number, length, size))
            found.append(memoryview(value))
        return found[0], found[1]

    def row(self, row: int) -> dict[str, Any]:
        """Return a row without its pixels, as plain Python values by column name.

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is truncated or altered there.
        """
        group, number = self._find(row)
        return self._table(group.number, pixels=False).slice(number, 1).to_pylist()[0]  # type: ignore[no-any-return]

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
            file = _open_parquet(self.path)
            self._groups = [None] * file.num_row_groups
            self._starts = [0]
            for group in range(file.num_row_groups):
                self._starts.append(self._starts[-1] + file.metadata.row_group(group).num_rows)
            self._leaves = _leaves(file)
            self._file = file
        return self._file

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
        return Group(
            number=number,
            first_row=self._starts[number],
            num_rows=num_rows,
            lr_offset=offsets[0] if mapped else None,
            hr_offset=offsets[1] if mapped else None,
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
        plain = column.compression == "UNCOMPRESSED" and not column.has_dictionary_page
        if not plain or column.physical_type != "BYTE_ARRAY" or column.num_values != num_rows:
            return None
        end = column.data_page_offset + column.total_compressed_size
        first = end - num_rows * (size + PREFIX_BYTES) + PREFIX_BYTES
        view = self.map().view
        if end > len(view):
            raise ShardError(
                f"{self.path}: column {column.path_in_schema} should reach byte {end}, the file has {len(view)}. "
                "The shard is truncated or altered: copy or build it again."
            )
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
        names = [name for name in self._parquet().schema_arrow.names if (name in PIXEL_COLUMNS) == pixels]
        table = self._tables[key] = self.read_columns(group, names)
        if len(self._tables) > _CACHED_GROUPS:
            self._tables.popitem(last=False)
        return table

    def read_columns(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Return columns of a row group as an Arrow table, page checksums verified.

        Raises:
            ShardError: The shard is truncated or altered there.
        """
        try:
            # One thread: a pool inherited by fork would hang.
            return self._parquet().read_row_group(group, columns=list(columns), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise ShardError(
                f"{self.path}: row group {group} cannot be read ({error}). "
                "The shard is truncated or altered: copy or build it again."
            ) from error


def length_before(view: memoryview, offset: int) -> int:
    """Return the length that stands before the value at ``offset``, in bytes."""
    return int(struct.unpack_from("<I", view, offset - PREFIX_BYTES)[0])


def _wrong_length(path: Path, group: Group, name: str, number: int, found: object, size: int) -> str:
    return (
        f"{path}: {name} of row {group.first_row + number} (row group {group.number}) has {found} bytes, its shape "
        f"needs {size}. The shard is altered: copy or build it again."
    )


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise ShardError(f"{path} is missing. Copy or build the set again.") from None
    except (OSError, pa.ArrowException) as error:
        raise ShardError(f"{path} is not a whole Parquet file: {_why_not_parquet(path, error)}") from error
    metadata = file.metadata.metadata or {}
    version = metadata.get(f"{META_PREFIX}format".encode(), str(FORMAT_VERSION).encode()).decode()
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        file.close()
        raise ShardError(
            f"{path} has shard format {version}; this sr-datasets reads up to {FORMAT_VERSION}. "
            "Install a newer sr-datasets."
        )
    needed = (*SHAPE_COLUMNS, *PIXEL_COLUMNS)
    if missing := [name for name in needed if name not in file.schema_arrow.names]:
        file.close()
        raise ShardError(
            f"{path} is a Parquet file but not a shard: it lacks the columns {', '.join(missing)}. "
            "docs/shards.md lists what a shard needs."
        )
    return file


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
