"""The rows of many mapped shards by one number, copied out of one address range."""

import ctypes
import math
import mmap
import sys
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from sr_datasets.errors import ShardError
from sr_datasets.shards.pages import PREFIX_BYTES
from sr_datasets.shards.reader import FileMap, Group, PagedRows, ShardReader
from sr_datasets.shards.schema import Pixels, Shape

_UNOPENED: Final = 0
_NOT_MAPPED: Final = -1
_OPEN_READERS = 8
_REMEMBERED_GROUPS = 256
"""Row groups that were asked for lately, and are not asked for again."""
_MADVISE: Final = ctypes.CDLL(None).madvise if sys.platform == "linux" else None
_MADV_RANDOM: Final = getattr(mmap, "MADV_RANDOM", 1)
_MADV_NORMAL: Final = getattr(mmap, "MADV_NORMAL", 0)
_MADV_WILLNEED: Final = getattr(mmap, "MADV_WILLNEED", 3)
_PICKLED = ("_reader_of_path", "_ahead", "_paths", "_shard", "_starts", "_first_group")

_Bytes: TypeAlias = npt.NDArray[np.uint8]


class _One(NamedTuple):
    """What copying a single row needs, flat, since its cost counts 50,000 times a second."""

    base: int
    """Lowest address of the span."""
    length_at: Callable[[int], int]
    """The uint32 at a position of the span."""
    lr_size: int
    """Bytes of an LR value."""
    lr: _Bytes
    """``(span, *shape)``, the last axis in bytes: the LR value at each position."""
    hr_size: int
    """Bytes of an HR value."""
    hr: _Bytes
    """As ``lr``."""
    wide: bool
    """Samples are uint16."""


class _Kind(NamedTuple):
    """The pixels of one shape, seen from every byte of the span.

    Shards are mapped at addresses of the system's choice. One NumPy array that begins at the lowest
    and ends at the highest makes each value of each shard a position in one array, so that a batch
    is one gather however many shards it touches. Only positions inside shards are ever read.
    """

    one: _One
    lengths: npt.NDArray[np.uint32]
    """The uint32 at each position."""
    lr: _Bytes
    """``(span, bytes)``: indexing with an array of positions gathers a batch in one call."""
    hr: _Bytes
    """As ``lr``."""


class ReadsAhead(Protocol):
    """Brings row groups here, several at once (``RemoteSet``)."""

    def open_shards(self, names: Sequence[str]) -> None:
        """Read the footers of shards by name."""

    def bringing(self, groups: Sequence[tuple[str, int]]) -> Generator[None, None, None]:
        """Yield when the next of the row groups, each a shard's name and a number, is in memory."""


class MappedRows:
    """Rows of many shards by one number, copied straight out of the mapped files.

    Shards are opened at first touch. Row groups that cannot be mapped are read page by page (compressed
    ones, pictures), or through pyarrow (what other tools wrote).
    Costs 16 bytes of memory per row (its two addresses) in each process that reads. Pickles as paths
    and counts per row group; what is mapped survives a fork. Several threads may read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        shard_of_group: npt.ArrayLike,
        rows_of_group: npt.ArrayLike,
        *,
        reader_of: Callable[[Path], ShardReader] = ShardReader,
        ahead: "ReadsAhead | None" = None,
    ) -> None:
        """Name the rows; nothing is opened yet.

        Args:
            paths: The shards, in order.
            shard_of_group: For each row group its shard's place in ``paths``, never falling.
            rows_of_group: For each row group how many rows it has.
            reader_of: Opens a shard by its path (``RemoteSet.reader`` for what does not lie here).
            ahead: What brings the row groups of a batch here, several at once; None for what lies here.
        """
        self._reader_of_path = reader_of
        self._ahead = ahead
        self._paths = list(paths)
        self._shard = np.asarray(shard_of_group, np.int32)
        self._starts = np.concatenate(([0], np.cumsum(np.asarray(rows_of_group, np.int64))))
        self._first_group = np.searchsorted(self._shard, np.arange(len(self._paths) + 1)).astype(np.int64)
        self._reset()

    def _reset(self) -> None:
        self._num_rows = int(self._starts[-1])
        self._lock = threading.Lock()
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._maps: list[FileMap] = []
        self._paged: dict[int, PagedRows] = {}
        self._shapes: list[Shape] = []
        self._kind_of_group = np.full(len(self._shard), -1, np.int16)
        self._kinds: tuple[_Kind, ...] | None = None
        self._brought: OrderedDict[int, None] = OrderedDict()
        self._calm = 0
        """Maps around whose faults nothing is read ahead."""
        self._one: _One | None = None
        """The only kind; None while nothing is mapped, and when there are several."""
        # Addresses of the values. Zeros cost no memory until their shard is opened.
        self._lr = np.zeros(self._num_rows, np.int64)
        self._hr = np.zeros(self._num_rows, np.int64)
        # A memoryview hands out a Python int in 25 ns, an array takes 100.
        self._lr_view = self._lr.data
        self._hr_view = self._hr.data

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in _PICKLED}

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
        lr_at = self._lr_view[row]
        one = self._one
        if lr_at <= 0 or one is None:
            return self._pair_of_any_kind(row)
        base, length_at, lr_size, lr, hr_size, hr, wide = one
        lr_at -= base
        hr_at = self._hr_view[row] - base
        if length_at(lr_at - PREFIX_BYTES) != lr_size or length_at(hr_at - PREFIX_BYTES) != hr_size:
            self._complain(row)
        if wide:
            return lr[lr_at].copy().view("<u2"), hr[hr_at].copy().view("<u2")
        return lr[lr_at].copy(), hr[hr_at].copy()

    def _pair_of_any_kind(self, row: int) -> tuple[Pixels, Pixels]:
        lr, hr = self.batch(np.array([row]))
        return lr[0], hr[0]

    def batch(self, rows: npt.NDArray[np.int64]) -> tuple[Pixels, Pixels]:
        """Return ``lr`` and ``hr`` of several rows of one shape as two new arrays, ``(B, ...)``.

        Args:
            rows: ``(B,)`` int64, each from 0 to ``len - 1``, in any order.

        Raises:
            IndexError: There is no such row.
            ShardError: A shard is missing, truncated or altered, or the rows have several shapes.
        """
        found = self._located(rows)
        if isinstance(found, Shape):
            return self._read_batch(rows, found)
        (one, _, lr_all, hr_all), shape, lr_at, hr_at = found
        lr, hr = lr_all[lr_at], hr_all[hr_at]
        if one.wide:
            lr, hr = lr.view("<u2"), hr.view("<u2")
        return lr.reshape(len(rows), *shape.lr), hr.reshape(len(rows), *shape.hr)

    def pieces(self, rows: npt.NDArray[np.int64]) -> tuple[list[_Bytes], list[_Bytes], Shape] | None:
        """Return each row's ``lr`` and ``hr`` as bytes in the mapped files, uncopied, and the one shape of the rows.

        Lengths are checked as ``batch`` does. None when the rows are not mapped, or none is named.

        Args:
            rows: As ``batch`` takes them.

        Raises:
            IndexError: There is no such row.
            ShardError: As ``batch``.
        """
        found = self._located(rows)
        if isinstance(found, Shape):
            return None
        (_, _, lr, hr), shape, lr_at, hr_at = found
        return [lr[at] for at in lr_at.tolist()], [hr[at] for at in hr_at.tolist()], shape

    def _located(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[_Kind, Shape, npt.NDArray[np.int64], npt.NDArray[np.int64]] | Shape:
        """Return where the values of rows lie in their kind's views, lengths checked; the shape alone if not mapped."""
        self._check(rows)
        lr_at = self._lr[rows]
        number = 0
        if not rows.size or self._one is None or lr_at.min() <= 0:
            shape = self.shape_of(rows)
            if shape is None:
                raise ShardError(self._several_shapes(rows))
            number = self._shapes.index(shape)
            lr_at = self._lr[rows]
            if not rows.size or self._kinds is None or lr_at.min() <= 0:
                return shape
        kinds = self._kinds
        assert kinds is not None
        kind = kinds[number]
        one, lengths, _, _ = kind
        lr_at -= one.base
        hr_at = self._hr[rows]
        hr_at -= one.base
        wrong = lengths[lr_at - PREFIX_BYTES] != one.lr_size
        wrong |= lengths[hr_at - PREFIX_BYTES] != one.hr_size
        if np.count_nonzero(wrong):
            self._complain(int(rows[np.argmax(wrong)]))
        return kind, self._shapes[number], lr_at, hr_at

    def row(self, row: int) -> dict[str, Any]:
        """Return a row without its pixels.

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is missing, truncated or altered there.
        """
        if not 0 <= row < self._num_rows:
            raise IndexError(f"there are {self._num_rows} rows, there is no row {row}")
        with self._lock:
            reader, number = self._reader_of(row)
            return reader.row(number)

    def bring(self, rows: npt.NDArray[np.int64]) -> None:
        """Have the system read the row groups of these rows whole, and nothing around them.

        For orders that take a few row groups at a time. Without it each fault reads ahead into groups that come much
        later, by when they may have been forgotten.

        Args:
            rows: As ``batch`` takes them.

        Raises:
            IndexError: There is no such row.
            ShardError: A shard is missing, truncated or altered.
        """
        self.shape_of(rows)  # opens the shards
        with self._lock:
            for mapped in self._maps[self._calm :]:
                _advise_file(mapped, _MADV_RANDOM)
            self._calm = len(self._maps)
            for group in np.unique(self._starts.searchsorted(rows, "right") - 1).tolist():
                if group in self._brought:
                    continue
                self._brought[group] = None
                if len(self._brought) > _REMEMBERED_GROUPS:
                    self._brought.popitem(last=False)
                first, last = int(self._starts[group]), int(self._starts[group + 1]) - 1
                shape = self._shapes[self._kind_of_group[group]]
                for at, size in ((self._lr, shape.lr_bytes), (self._hr, shape.hr_bytes)):
                    if at[first] > 0:
                        _advise(int(at[first]) - PREFIX_BYTES, int(at[last]) + size, _MADV_WILLNEED)

    def shape_of(self, rows: npt.NDArray[np.int64]) -> Shape | None:
        """Return the one shape of rows (of row 0 when none is named), None when they have several.

        Opens the shards that the rows lie in.

        Raises:
            IndexError: There is no such row.
            ShardError: A shard is missing, truncated or altered.
        """
        self._check(rows)
        if not rows.size:
            rows = np.zeros(1, np.int64)
        groups = self._starts.searchsorted(rows, "right") - 1
        unopened = np.unique(self._shard[groups[self._kind_of_group[groups] < 0]]).tolist()
        if self._ahead is not None and unopened:
            self._ahead.open_shards([self._paths[shard].name for shard in unopened])
        for shard in unopened:
            self._open(shard)
        kinds = self._kind_of_group[groups]
        return self._shapes[int(kinds[0])] if (kinds == kinds[0]).all() else None

    def _check(self, rows: npt.NDArray[np.int64]) -> None:
        # Seen without a sign a negative number is a huge one: one look instead of two.
        if rows.size and int(rows.view(np.uint64).max()) >= self._num_rows:
            bad = rows[(rows < 0) | (rows >= self._num_rows)][0]
            raise IndexError(f"there are {self._num_rows} rows, there is no row {bad}")

    def _open(self, shard: int) -> None:
        with self._lock:
            first, end = int(self._first_group[shard]), int(self._first_group[shard + 1])
            if (self._kind_of_group[first:end] >= 0).any():
                return
            reader = self._reader_of_path(self._paths[shard])
            sizes = [reader.rows_of(number)[1] for number in range(reader.num_groups)]
            indexed = np.diff(self._starts[first : end + 1]).tolist()
            if sizes != indexed:
                raise ShardError(
                    f"{reader.path}: its row groups have {sizes} rows, the index says {indexed}. "
                    "The shard is not the one that was indexed: copy or build the set again."
                )
            numbers = [number for number, size in enumerate(sizes) if size]  # some writers leave empty groups
            shapes = [reader.shape(number) for number in numbers]
            if reader.stays_mapped:
                # A look at the first and last value of each row group is not to read what lies between.
                _advise_file(reader.map(), _MADV_RANDOM)
                groups = [reader.group(number) for number in numbers]
                _advise_file(reader.map(), _MADV_NORMAL)
            else:  # row groups come and go: each row is asked of its reader
                groups = [Group(number, *reader.rows_of(number), None, None) for number in numbers]
            for shape in shapes:
                if shape not in self._shapes:
                    self._shapes.append(shape)
            if any(group.lr_offset is not None for group in groups):
                self._maps.append(reader.map())
            self._kinds = _kinds_of(self._maps, self._shapes)
            self._one = self._kinds[0].one if self._kinds is not None and len(self._kinds) == 1 else None
            # Another thread may be reading: the span that holds the new addresses came first.
            for number, shape, group in zip(numbers, shapes, groups, strict=True):
                begin, stop = int(self._starts[first + number]), int(self._starts[first + number + 1])
                if group.paged is not None:
                    self._paged[first + number] = group.paged
                if group.lr_offset is None or group.hr_offset is None or self._kinds is None:
                    self._lr[begin:stop] = _NOT_MAPPED
                else:
                    address, steps = reader.map().address, np.arange(stop - begin)
                    self._hr[begin:stop] = address + group.hr_offset + steps * (shape.hr_bytes + PREFIX_BYTES)
                    self._lr[begin:stop] = address + group.lr_offset + steps * (shape.lr_bytes + PREFIX_BYTES)
                self._kind_of_group[first + number] = self._shapes.index(shape)
            reader.close()

    def _reader_of(self, row: int) -> tuple[ShardReader, int]:
        """Return the reader of a row's shard, of which a few are kept open, and the row's number in it."""
        shard = int(self._shard[bisect_right(self._starts, row) - 1])
        reader = self._readers.get(shard)
        if reader is None:
            reader = self._readers[shard] = self._reader_of_path(self._paths[shard])
            if len(self._readers) > _OPEN_READERS:
                self._readers.popitem(last=False)[1].close()
        else:
            self._readers.move_to_end(shard)
        return reader, row - int(self._starts[self._first_group[shard]])

    def _read(self, row: int) -> tuple[Pixels, Pixels]:
        group = bisect_right(self._starts, row) - 1
        if (paged := self._paged.get(group)) is not None:
            return paged.pixels(row - int(self._starts[group]))
        with self._lock:
            reader, number = self._reader_of(row)
            return reader.pixels(number)

    def _read_batch(self, rows: npt.NDArray[np.int64], shape: Shape) -> tuple[Pixels, Pixels]:
        lr = np.empty((len(rows), *shape.lr), shape.dtype)
        hr = np.empty((len(rows), *shape.hr), shape.dtype)
        order = np.argsort(rows, kind="stable")  # so that each row group is read once
        if self._ahead is None:
            for place in order.tolist():
                lr[place], hr[place] = self._read(int(rows[place]))
            return lr, hr
        groups = self._starts.searchsorted(rows[order], "right") - 1
        firsts = np.flatnonzero(np.diff(groups, prepend=-1)).tolist()
        wanted = []
        for group in groups[firsts].tolist():
            shard = int(self._shard[group])
            wanted.append((self._paths[shard].name, group - int(self._first_group[shard])))
        with closing(self._ahead.bringing(wanted)) as coming:
            for first, end, _ in zip(firsts, [*firsts[1:], len(order)], coming, strict=True):
                for place in order[first:end].tolist():
                    lr[place], hr[place] = self._read(int(rows[place]))
        return lr, hr

    def _complain(self, row: int) -> None:
        """Raise the error that the careful reader has for a row whose lengths are wrong."""
        self._read(row)
        raise ShardError(f"The shard of row {row} changed while it was open: open the data set again.")

    def _several_shapes(self, rows: npt.NDArray[np.int64]) -> str:
        kinds = self._kind_of_group[self._starts.searchsorted(rows, "right") - 1]
        other = int(np.argmax(kinds != kinds[0]))
        return (
            f"rows {rows[0]} and {rows[other]} cannot be in one batch: {self._shapes[kinds[0]]} and "
            f"{self._shapes[kinds[other]]}. Batch rows of one shape and bit depth, or read them one by one."
        )


def _advise_file(mapped: FileMap, advice: int) -> None:
    _advise(mapped.address, mapped.address + len(mapped.array), advice)


def _advise(start: int, end: int, advice: int) -> None:
    """Tell the system how memory will be used; it is free to ignore that, and so are we where it cannot be told."""
    if _MADVISE is not None:
        start -= start % mmap.PAGESIZE
        _MADVISE(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def _kinds_of(maps: Sequence[FileMap], shapes: Sequence[Shape]) -> tuple[_Kind, ...] | None:
    """Return each shape's view of the span of all maps; None when nothing is mapped."""
    if not maps:
        return None
    lowest = min(maps, key=lambda mapped: mapped.address)
    array = lowest.array
    span = max(mapped.address + len(mapped.array) for mapped in maps) - lowest.address
    lengths = as_strided(array[:PREFIX_BYTES].view("<u4"), (span - PREFIX_BYTES + 1,), (1,), writeable=False)
    kinds = []
    for shape in shapes:
        if span * max(shape.lr_bytes, shape.hr_bytes) >= 1 << 62:
            return None  # NumPy counts the elements of a view in 63 bits
        wide = shape.dtype.itemsize
        lr, hr = (_everywhere(array, span, (*dims[:-1], dims[-1] * wide)) for dims in (shape.lr, shape.hr))
        one = _One(lowest.address, lengths.item, shape.lr_bytes, lr, shape.hr_bytes, hr, wide > 1)
        flat = (_everywhere(array, span, (size,)) for size in (shape.lr_bytes, shape.hr_bytes))
        kinds.append(_Kind(one, lengths, *flat))
    return tuple(kinds)


def _everywhere(array: _Bytes, span: int, dims: tuple[int, ...]) -> _Bytes:
    """Return a view ``(places, *dims)`` of the span's bytes: a block of ``dims`` at each place."""
    strides = [math.prod(dims[axis + 1 :]) for axis in range(len(dims))]
    return as_strided(array, (span - math.prod(dims) + 1, *dims), (1, *strides), writeable=False)
