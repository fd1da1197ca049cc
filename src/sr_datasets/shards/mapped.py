"""Files mapped into memory, and the rows of many mapped shards as one address range."""

import math
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from sr_datasets.errors import ShardError
from sr_datasets.shards.reader import PREFIX_BYTES, FileMap, ShardReader
from sr_datasets.shards.schema import Pixels, Shape

_UNOPENED: Final = -1
_NOT_MAPPED: Final = -2
_OPEN_READERS = 8


class _Kind(NamedTuple):
    """The pixel columns of one shape, seen from every byte of the span: element ``p`` is the value at byte ``p``."""

    pair: tuple[int, npt.NDArray[np.uint8], int, npt.NDArray[np.uint8], bool]
    """Bytes of an LR value and all LR values, ``(span, *shape)`` with the last axis in bytes; so for HR; uint16?"""
    lr: npt.NDArray[np.uint8]
    """LR values ``(span, bytes)``: indexing with an array of positions gathers a batch in one call."""
    hr: npt.NDArray[np.uint8]
    """HR values, as ``lr``."""


class _Span(NamedTuple):
    """The address range from the lowest mapped byte to the highest, and what lies in it.

    Shards are mapped at addresses of the system's choice. One NumPy array that begins at the lowest
    and ends at the highest makes each value of each shard a position in one array, so that a batch
    is one gather however many shards it touches. Only positions inside shards are ever read.
    """

    base: int
    length_at: Any
    lengths: npt.NDArray[np.uint32]
    kinds: tuple[_Kind, ...]


class MappedRows:
    """Rows of many shards by one number, copied straight out of the mapped files.

    Shards are opened at first touch. Groups that cannot be mapped are read through pyarrow. Pickles
    as paths and counts; what is mapped survives a fork.
    """

    def __init__(
        self, paths: Sequence[Path], shard_of_group: npt.ArrayLike, rows_of_group: npt.ArrayLike
    ) -> None:
        """Name the rows; nothing is opened yet.

        Args:
            paths: The shards, in order.
            shard_of_group: For each row group its shard's place in ``paths``, never falling.
            rows_of_group: For each row group how many rows it has.
        """
        self._paths = list(paths)
        self._shard = np.asarray(shard_of_group, np.int32)
        self._starts = np.concatenate(([0], np.cumsum(np.asarray(rows_of_group, np.int64))))
        self._first_group = np.searchsorted(self._shard, np.arange(len(self._paths) + 1)).astype(np.int64)
        self._reset()

    def _reset(self) -> None:
        groups = len(self._shard)
        self._lock = threading.Lock()
        self._lr = np.full(groups, _UNOPENED, np.int64)
        self._hr = np.full(groups, _UNOPENED, np.int64)
        self._kind = np.full(groups, -1, np.int16)
        self._shapes: list[Shape] = []
        self._maps: list[FileMap] = []
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._span: _Span | None = None
        self._num_rows = int(self._starts[-1])
        # Row r lies in a group between those of its bucket's ends: nearly always the search has one step.
        self._shift = max(0, (self._num_rows // max(1, groups)).bit_length() - 1)
        ends = np.arange((self._num_rows >> self._shift) + 2) << self._shift
        self._buckets = np.searchsorted(self._starts, ends, side="right").data
        # Views for single rows: a memoryview hands out a Python int in 40 ns, an array in 100.
        self._starts_view = self._starts.data
        self._lr_view = self._lr.data
        self._hr_view = self._hr.data
        self._kind_view = self._kind.data

    def __getstate__(self) -> dict[str, Any]:
        return {
            "_paths": self._paths,
            "_shard": self._shard,
            "_starts": self._starts,
            "_first_group": self._first_group,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __len__(self) -> int:
        return self._num_rows

    def pair(self, row: int) -> tuple[Pixels, Pixels]:
        """Return ``lr`` and ``hr`` of a row as new arrays.

        Args:
            row: From 0 to ``len - 1``.

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is missing, truncated or altered there.
        """
        if not 0 <= row < self._num_rows:
            raise IndexError(f"there are {self._num_rows} rows, there is no row {row}")
        bucket = row >> self._shift
        group = bisect_right(self._starts_view, row, self._buckets[bucket], self._buckets[bucket + 1]) - 1
        lr_at = self._lr_view[group]
        span = self._span
        if lr_at < 0 or span is None:
            if lr_at == _UNOPENED:
                self._open(int(self._shard[group]))
                return self.pair(row)
            lr, hr = self._read(row, group)
            return lr.copy(), hr.copy()
        base, length_at, _, kinds = span
        lr_size, lr_one, hr_size, hr_one, wide = kinds[self._kind_view[group]].pair
        number = row - self._starts_view[group]
        lr_at += number * (lr_size + PREFIX_BYTES) - base
        hr_at = self._hr_view[group] + number * (hr_size + PREFIX_BYTES) - base
        if length_at(lr_at - PREFIX_BYTES) != lr_size or length_at(hr_at - PREFIX_BYTES) != hr_size:
            self._complain(row, group)
        if wide:
            return lr_one[lr_at].copy().view("<u2"), hr_one[hr_at].copy().view("<u2")
        return lr_one[lr_at].copy(), hr_one[hr_at].copy()

    def batch(self, rows: npt.NDArray[np.int64]) -> tuple[Pixels, Pixels]:
        """Return ``lr`` and ``hr`` of several rows of one shape as two new arrays, ``(B, ...)``.

        Args:
            rows: ``(B,)`` int64, each from 0 to ``len - 1``, in any order.

        Raises:
            IndexError: There is no such row.
            ShardError: A shard is missing, truncated or altered, or the rows have several shapes.
        """
        self._check(rows)
        groups = self._starts.searchsorted(rows, "right") - 1
        lr_at = self._lr[groups]
        if not rows.size or lr_at.min() < 0:
            self._open_all(groups)
            lr_at = self._lr[groups]
        shape = self._one_shape(groups)
        if shape is None:
            raise ShardError(self._several_shapes(rows, groups))
        span = self._span
        if not rows.size or span is None or lr_at.min() < 0:
            return self._read_batch(rows, groups, shape)
        pair, lr_flat, hr_flat = span.kinds[self._kind_view[int(groups[0])]]
        lr_size, _, hr_size, _, wide = pair
        numbers = rows - self._starts[groups]
        lr_at += numbers * (lr_size + PREFIX_BYTES) - span.base
        hr_at = self._hr[groups] + (numbers * (hr_size + PREFIX_BYTES) - span.base)
        wrong = span.lengths[lr_at - PREFIX_BYTES] != lr_size
        wrong |= span.lengths[hr_at - PREFIX_BYTES] != hr_size
        if np.count_nonzero(wrong):
            worst = int(np.argmax(wrong))
            self._complain(int(rows[worst]), int(groups[worst]))
        lr, hr = lr_flat[lr_at], hr_flat[hr_at]
        if wide:
            lr, hr = lr.view("<u2"), hr.view("<u2")
        return lr.reshape(-1, *shape.lr), hr.reshape(-1, *shape.hr)

    def row(self, row: int) -> dict[str, Any]:
        """Return a row without its pixels.

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is missing, truncated or altered there.
        """
        if not 0 <= row < self._num_rows:
            raise IndexError(f"there are {self._num_rows} rows, there is no row {row}")
        group = bisect_right(self._starts_view, row) - 1
        shard = int(self._shard[group])
        return self._reader(shard).row(row - self._first_row(shard))

    def same_shape(self, rows: npt.NDArray[np.int64]) -> bool:
        """Tell whether rows (each from 0 to ``len - 1``) can be one batch.

        Raises:
            ShardError: A shard is missing, truncated or altered.
        """
        self._check(rows)
        groups = self._starts.searchsorted(rows, "right") - 1
        self._open_all(groups)
        return self._one_shape(groups) is not None

    def _one_shape(self, groups: npt.NDArray[np.intp]) -> Shape | None:
        """Return the shape of rows of opened groups (of row 0 when none is named), None if several."""
        if not groups.size:
            self._open(int(self._shard[0]))
            return self._shapes[self._kind_view[0]]
        first = self._kind_view[int(groups[0])]
        same = len(self._shapes) == 1 or bool((self._kind[groups] == first).all())
        return self._shapes[first] if same else None

    def _check(self, rows: npt.NDArray[np.int64]) -> None:
        # Seen without a sign a negative number is a huge one: one look instead of two.
        if rows.size and int(rows.view(np.uint64).max()) >= self._num_rows:
            bad = rows[(rows < 0) | (rows >= self._num_rows)][0]
            raise IndexError(f"there are {self._num_rows} rows, there is no row {bad}")

    def _open_all(self, groups: npt.NDArray[np.intp]) -> None:
        for shard in np.unique(self._shard[groups[self._lr[groups] == _UNOPENED]]).tolist():
            self._open(shard)

    def _open(self, shard: int) -> None:
        with self._lock:
            first, end = int(self._first_group[shard]), int(self._first_group[shard + 1])
            if self._lr[first] != _UNOPENED:
                return
            reader = ShardReader(self._paths[shard])
            sizes = [reader.rows_of(number)[1] for number in range(reader.num_groups)]
            if sizes != np.diff(self._starts[first : end + 1]).tolist():
                raise ShardError(
                    f"{reader.path}: its row groups have {sizes} rows, the index says "
                    f"{np.diff(self._starts[first : end + 1]).tolist()}. The shard is not the one that was "
                    "indexed: copy or build the set again."
                )
            found = []
            mapped = False
            for number in range(end - first):
                if not sizes[number]:  # some writers leave empty groups
                    found.append((_NOT_MAPPED, _NOT_MAPPED, -1))
                    continue
                shape, group = reader.shape(number), reader.group(number)
                if shape not in self._shapes:
                    self._shapes.append(shape)
                kind = self._shapes.index(shape)
                if group.lr_offset is None or group.hr_offset is None:
                    found.append((_NOT_MAPPED, _NOT_MAPPED, kind))
                else:
                    address = reader.map().address
                    found.append((address + group.lr_offset, address + group.hr_offset, kind))
                    mapped = True
            if mapped:
                self._maps.append(reader.map())
            # First the span that holds the new addresses, then the addresses: another thread may be reading.
            self._span = _span_of(self._maps, self._shapes)
            if self._span is None:
                found = [(_NOT_MAPPED, _NOT_MAPPED, kind) for _, _, kind in found]
            reader.close()
            for group_index, (lr_at, hr_at, kind) in enumerate(found, start=first):
                self._kind[group_index] = kind
                self._hr[group_index] = hr_at
                self._lr[group_index] = lr_at

    def _reader(self, shard: int) -> ShardReader:
        """Return an open reader, of which a few are kept."""
        reader = self._readers.get(shard)
        if reader is None:
            reader = self._readers[shard] = ShardReader(self._paths[shard])
            if len(self._readers) > _OPEN_READERS:
                self._readers.popitem(last=False)[1].close()
        else:
            self._readers.move_to_end(shard)
        return reader

    def _first_row(self, shard: int) -> int:
        return int(self._starts[self._first_group[shard]])

    def _read(self, row: int, group: int) -> tuple[Pixels, Pixels]:
        shard = int(self._shard[group])
        return self._reader(shard).pixels(row - self._first_row(shard))

    def _read_batch(
        self, rows: npt.NDArray[np.int64], groups: npt.NDArray[np.intp], shape: Shape
    ) -> tuple[Pixels, Pixels]:
        lr = np.empty((len(rows), *shape.lr), shape.dtype)
        hr = np.empty((len(rows), *shape.hr), shape.dtype)
        for place in np.argsort(groups, kind="stable").tolist():  # each row group is read once
            lr[place], hr[place] = self._read(int(rows[place]), int(groups[place]))
        return lr, hr

    def _complain(self, row: int, group: int) -> None:
        """Raise the error that the careful reader has for a row whose lengths are wrong."""
        self._read(row, group)
        raise ShardError(
            f"{self._paths[self._shard[group]]} has changed while it was open: open the data set again."
        )

    def _several_shapes(self, rows: npt.NDArray[np.int64], groups: npt.NDArray[np.intp]) -> str:
        kinds = self._kind[groups]
        other = int(np.argmax(kinds != kinds[0]))
        return (
            f"rows {rows[0]} and {rows[other]} cannot be in one batch: {self._shapes[kinds[0]]} and "
            f"{self._shapes[kinds[other]]}. Batch rows of one shape and bit depth, or read them one by one."
        )


def _span_of(maps: Sequence[FileMap], shapes: Sequence[Shape]) -> _Span | None:
    if not maps:
        return None
    lowest = min(maps, key=lambda mapped: mapped.address)
    length = max(mapped.address + len(mapped.array) for mapped in maps) - lowest.address
    kinds = []
    for shape in shapes:
        if length * max(shape.lr_bytes, shape.hr_bytes) >= 1 << 62:
            return None  # NumPy counts the elements of a view in 63 bits
        lr_one, lr_flat = _windows(lowest.array, length, shape.lr, shape.dtype.itemsize)
        hr_one, hr_flat = _windows(lowest.array, length, shape.hr, shape.dtype.itemsize)
        pair = (shape.lr_bytes, lr_one, shape.hr_bytes, hr_one, shape.dtype.itemsize > 1)
        kinds.append(_Kind(pair, lr_flat, hr_flat))
    lengths = as_strided(
        lowest.array[:PREFIX_BYTES].view("<u4"), (length - PREFIX_BYTES + 1,), (1,), writeable=False
    )
    return _Span(lowest.address, lengths.item, lengths, tuple(kinds))


def _windows(
    array: npt.NDArray[np.uint8], length: int, shape: tuple[int, ...], itemsize: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    dims = (*shape[:-1], shape[-1] * itemsize)
    size = math.prod(dims)
    strides = [math.prod(dims[axis + 1 :]) for axis in range(len(dims))]
    places = length - size + 1
    return (
        as_strided(array, (places, *dims), (1, *strides), writeable=False),
        as_strided(array, (places, size), (1, 1), writeable=False),
    )
