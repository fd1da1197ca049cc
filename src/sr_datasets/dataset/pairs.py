"""``PairDataset``: HR-LR patch pairs of a shard set as torch tensors, at the speed of memory."""

import hashlib
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import index as as_index
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, from_numpy
from torch.utils.data import Dataset, default_collate, get_worker_info

from sr_datasets.dataset.augment import Augmentation
from sr_datasets.dataset.facts import RowFacts
from sr_datasets.dataset.fresh import FACTS, FreshLr
from sr_datasets.dataset.handing import hands_over, shared_tensor
from sr_datasets.dataset.memory import check_fits
from sr_datasets.dataset.numbered import SampleRow, SampleRows, sample_numbers
from sr_datasets.errors import SelectionError, ShardError
from sr_datasets.recipe.chains import Degradation
from sr_datasets.shards.arrays import arrow_numbers
from sr_datasets.shards.index import fact_names, load_index, read_facts
from sr_datasets.shards.mapped import MappedRows
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.schema import FRAME_COLUMNS, SHAPE_COLUMNS, shape_of_columns
from sr_datasets.shards.where import parse_where

if TYPE_CHECKING:
    from sr_datasets.shards.remote import RemoteSet

Sample: TypeAlias = dict[str, Any]
"""``lr`` and ``hr`` (or what ``keys`` calls them) as tensors, and the columns that were asked for."""
Many: TypeAlias = Sequence[int] | npt.NDArray[Any] | Tensor | slice

SAMPLE_NUMBER: Final = "sample_number"
"""The column that says which sample of the run a row is; no column of the set."""
_ROWS_AT_ONCE = 4096
_DTYPES: Final = {1: torch.uint8, 2: torch.uint16}
"""Of samples that take so many bytes."""


class PairDataset(Dataset[Sample]):
    """HR-LR patch pairs of one split of a shard set.

    A sample is ``{"lr", "hr"}``: ``lr`` is ``(C, h, w)``, or ``(T, C, h, w)`` when the rows hold T > 1
    frames; ``hr`` is ``(C, H, W)``, the centre frame, or ``(T, C, H, W)`` when every frame has HR. Sets of
    ``degradation: none`` have no ``lr``, and an ``hr`` with its halo, unless ``degrade`` makes them.
    Values are as stored: uint8, or ``torch.uint16`` above 8 bits, from 0 to ``2**bit_depth - 1``.
    Rows of ``color: yuv420`` hold packed planes, ``(1, 3 h / 2, w)``: ``sr_datasets.split_yuv420`` gives Y, U
    and V of a tensor or a batch, as views.

    The order is shard name, row group, row. ``ds[7]`` hands out tensors that own their memory; a
    list, slice, array or tensor of row numbers gives one batch with a first axis more. Files are
    mapped at first touch, in each process; the data set pickles as names and counts.

    Which sample of a run a row is (its number n) keys augmentation and fresh LR. ``ResumableSampler`` hands it along
    with the row's number; without it, row i is sample ``epoch * len(ds) + i``, and ``set_epoch`` says the epoch.

    Example:
        ds = PairDataset("shards/", split="train")
        sampler = ResumableSampler(ds, seed=0)
        # One gather per batch, no collation:
        loader = DataLoader(ds, sampler=sampler.batches(64), batch_size=None, num_workers=2)
        # As any other data set:
        loader = DataLoader(ds, batch_size=64, shuffle=True, num_workers=2)
    """

    def __init__(
        self,
        path: "str | PathLike[str] | RemoteSet",
        *,
        split: str | None = "train",
        columns: Sequence[str] = (),
        where: str | None = None,
        transform: Callable[[Sample], Sample] | Augmentation | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        keys: tuple[str, str] = ("lr", "hr"),
        degrade: FreshLr | Degradation | Mapping[str, Any] | str | None = None,
    ) -> None:
        """Read which rows there are; no pixel is touched.

        Args:
            path: Folder that ``sr-data build-pairs`` wrote; also a folder of shards, or one shard. A set behind an
                address, such as ``s3://bucket/set``, is read by row group (docs/sharing.md); a ``RemoteSet`` says how much
                of it is kept here.
            split: Which split to hand out; None for the rows of all splits.
            columns: What else to hand out of each row, such as ``source`` or ``frame_indices`` (``docs/shards.md``), and
                ``sample_number``. Numbers become int64 or float64 tensors in batches, texts lists.
            where: Hand out only rows that fit a condition on those columns, such as ``"source = 'xiph' and top > 8"``.
            transform: Called with each sample after all else; what it returns is handed out. For a batch it is called
                per row, and the rows are stacked; an ``Augmentation`` takes the whole batch, and samples' numbers.
            dtype: Type to convert pixels to, such as ``torch.float32``; numbers keep their values (0 to 255), and a type
                that cannot hold them all is refused. The stored type when left out.
            device: Where to put the pixels, before they are converted. Not in worker processes of a ``DataLoader``.
            keys: What LR and HR are called, such as ``("lq", "gt")``.
            degrade: How to make LR of a set that keeps none (``degradation: none``), as in a recipe or, to say the
                seed, a ``FreshLr``: other draws in each epoch.

        Raises:
            ShardError: There is no such set, split or column (the message lists what there is), or LR cannot be made
                of it as ``degrade`` says.
            SelectionError: ``where`` is no condition, names no column, or fits no row.
            ValueError: An argument is out of range, or ``dtype`` does not hold every sample as it is.
        """
        if isinstance(columns, str):
            raise ValueError(f"columns is a list of names: columns=({columns!r},), not columns={columns!r}")
        if isinstance(keys, str) or len(keys) != 2:
            raise ValueError(f'keys is what LR and HR are called, such as ("lq", "gt"), not {keys!r}')
        if dtype is not None and not isinstance(dtype, torch.dtype):
            raise ValueError(f"dtype is a type of torch, such as torch.float32, not {dtype!r}")
        remote = _remote_of(path)
        self.path = Path(cast("str | PathLike[str]", path)) if remote is None else remote.folder
        self._shown = str(path) if remote is None else str(remote)
        self.split = split
        self.columns = tuple(columns)
        self.where = where
        self.dtype = dtype
        self.device = _device(device)
        self.transform = transform
        self.keys = (keys[0], keys[1])
        if degrade is None or isinstance(degrade, FreshLr):
            self.degrade = degrade
        else:
            self.degrade = FreshLr(degrade)
        self.epoch = 0
        if len({*self.keys, *self.columns}) != 2 + len(self.columns):
            raise ValueError(f"keys {self.keys} and columns {self.columns} must have different names")
        found = load_index(self.path, split)
        self._digest = found.digest
        self._rows = MappedRows(
            found.paths,
            found.shard_of_group,
            found.rows_of_group,
            reader_of=ShardReader if remote is None else remote.reader,
            ahead=remote,
        )
        self._rows_of_group = found.rows_of_group.astype(np.int64)
        wanted = [name for name in self.columns if name != SAMPLE_NUMBER]
        self._facts = RowFacts(self.path, split, [*wanted, *(FACTS if self.degrade is not None else ())])
        self._wanted = tuple(wanted)
        self._pick(self._rows_that_fit(where) if where is not None else None)
        converts = dtype is not None or device is not None or transform is not None
        self._unchanged = not converts and self.degrade is None
        self._plain = self._unchanged and not self.columns
        self._check_kinds()
        self._check_dtype()

    def _rows_that_fit(self, text: str) -> npt.NDArray[np.bool_]:
        where = parse_where(text)
        names = fact_names(self.path, self.split)
        if not set(where.columns) <= set(names):
            from sr_datasets.inspect.measuring import (
                COMPUTED,
            )  # measuring loads much that loading does not need

            if measured := [name for name in where.columns if name in COMPUTED]:
                raise SelectionError(
                    f"where {text!r}: {', '.join(measured)} is measured from pixels, by `sr-data inspect --where` alone. "
                    f"Choose by columns of the index: {', '.join(names)}."
                )
            where.check_columns(names)
        mask = where.mask(read_facts(self.path, self.split, where.columns))
        if not mask.any():
            raise SelectionError(
                f"{self.path}: none of {len(mask)} rows of split {self.split!r} fits where {text!r}."
            )
        return mask

    def _check_kinds(self) -> None:
        """Refuse rows that cannot be degraded or augmented as was asked, before any is read."""
        if self.degrade is None and not isinstance(self.transform, Augmentation):
            return
        kinds = ("scale", "color", "bit_depth", "degradation", *FRAME_COLUMNS)
        table = read_facts(self.path, self.split, kinds)
        if self._picked is not None:
            table = table.take(arrow_numbers(self._picked))
        for kind in table.group_by(kinds, use_threads=False).aggregate([]).to_pylist():
            if self.degrade is not None:
                self.degrade.check(kind, str(self.path))
            elif json.loads(kind["degradation"]).get("kind") == "none":
                raise ShardError(
                    f"{self.path}: its rows hold no LR to augment. Say how to make it: degrade=."
                )
            if isinstance(self.transform, Augmentation):
                self.transform.check_color(kind["color"])

    def _check_dtype(self) -> None:
        """Refuse a type that would change samples: 10 bits do not fit in uint8, nor 255 in int8."""
        if self.dtype is None:
            return
        depths = read_facts(self.path, self.split, ["bit_depth"])
        if self._picked is not None:
            depths = depths.take(arrow_numbers(self._picked))
        depth = max(depths.column("bit_depth").unique().to_pylist(), default=8)
        if (1 << depth) - 1 > _greatest_exact(self.dtype):
            raise ValueError(
                f"{self!r}: {self.dtype} does not hold samples of {depth} bits (0 to {(1 << depth) - 1}) as they are. "
                "Use torch.float32, or leave dtype out and convert in the loop."
            )

    def _pick(self, mask: npt.NDArray[np.bool_] | None) -> None:
        self._picked = None if mask is None else np.flatnonzero(mask)
        # A memoryview hands out a Python int in 25 ns, an array takes 100.
        self._picked_view = None if self._picked is None else self._picked.data
        self._num_rows = len(self._rows) if self._picked is None else len(self._picked)

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if not name.startswith("_picked")}
        if self._picked is not None:
            mask = np.zeros(len(self._rows), bool)
            mask[self._picked] = True
            state["_mask_bits"] = zlib.compress(np.packbits(mask).tobytes(), 1)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed = state.pop("_mask_bits", None)
        self.__dict__.update(state)
        mask = None
        if packed is not None:
            bits = np.frombuffer(zlib.decompress(packed), np.uint8)
            mask = np.unpackbits(bits, count=len(self._rows)).astype(bool)
        self._pick(mask)

    def __len__(self) -> int:
        return self._num_rows

    def __repr__(self) -> str:
        where = f", where={self.where!r}" if self.where is not None else ""
        return f"PairDataset({self._shown!r}, split={self.split!r}{where}): {self._num_rows} rows"

    def __iter__(self) -> Iterator[Sample]:
        """Yield every sample, in order."""
        return (self[number] for number in range(self._num_rows))

    def __getitem__(self, index: SupportsIndex | Many) -> Sample:
        """Return one sample, or one batch for a list, slice, array or tensor of row numbers.

        Raises:
            IndexError: There is no such row; negative numbers count from the end.
            ShardError: The shard is missing, truncated or altered there.
        """
        if type(index) is int and self._plain:
            row = index if index >= 0 else self._from_end(index)
            lr, hr = self._rows.pair(row if self._picked_view is None else self._stored_row(row))
            return _sample(lr, hr, self.keys)
        if isinstance(index, Sequence | slice | np.ndarray) or (isinstance(index, Tensor) and index.ndim):
            return self._batch(index)
        row = int(as_index(index))  # NumPy's and torch's numbers
        row = row if row >= 0 else self._from_end(row)
        number = index.number if isinstance(index, SampleRow) else self.epoch * self._num_rows + row
        return self._one(self._stored_row(row), number)

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples as a list, as a stock ``DataLoader`` asks for them before it collates.

        They are read as one batch where they have one shape; then they are views of it.
        """
        rows = self._numbers(indices)
        stored, numbers = self._stored(rows), self._samples(rows, indices)
        if self.degrade is not None or self._rows.shape_of(stored) is None:
            return [self._one(*pair) for pair in zip(stored.tolist(), numbers.tolist(), strict=True)]
        lr, hr = self._rows.batch(stored)
        whole = {name: pixels.unbind() for name, pixels in _sample(lr, hr, self.keys).items()}
        samples: list[Sample] = [
            {name: pixels[place] for name, pixels in whole.items()} for place in range(len(rows))
        ]
        if self._plain:
            return samples
        places = zip(samples, stored.tolist(), numbers.tolist(), strict=True)
        return [self._finish(sample, row, number) for sample, row, number in places]

    def row(self, index: SupportsIndex) -> dict[str, Any]:
        """Return all that is known of a row, without its pixels (columns: ``docs/shards.md``).

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is missing, truncated or altered there.
        """
        number = as_index(index)
        return self._rows.row(self._stored_row(number if number >= 0 else self._from_end(number)))

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch it is, for augmentation and fresh LR of rows that come without a sample's number.

        Workers know what was said before they were started. With ``ResumableSampler`` this changes nothing.
        """
        self.epoch = epoch

    @property
    def rows_digest(self) -> str:
        """SHA-256 that tells these rows, in this order, from others: the set's content digest, the split, ``where``."""
        picked = b"" if self._picked is None else self._picked.astype("<i8").tobytes()
        return hashlib.sha256(self._digest.encode() + picked).hexdigest()

    @property
    def rows_of_group(self) -> npt.NDArray[np.int64]:
        """How many rows of each row group are handed out, in order; groups without any are left out."""
        sizes = self._rows_of_group
        if self._picked is not None:
            sizes = np.diff(np.searchsorted(self._picked, np.cumsum(sizes)), prepend=0)
        return sizes[sizes > 0]

    def tensor_bytes(self) -> int:
        """Return how many bytes of pixels ``to_tensors`` takes, known from the index alone (but for ``degrade``).

        Raises:
            ShardError: The rows have several shapes or depths, so that no tensor holds them all.
        """
        table = read_facts(self.path, self.split, SHAPE_COLUMNS)
        kinds = np.stack(
            [np.from_dlpack(table.column(name).combine_chunks()) for name in SHAPE_COLUMNS], axis=1
        )
        distinct = np.unique(kinds if self._picked is None else kinds[self._picked], axis=0)
        shapes = [shape_of_columns(*kind) for kind in distinct.tolist()]
        if len(shapes) > 1:
            listing = "; ".join(
                f"LR {shape.lr}, HR {shape.hr}, {shape.bit_depth} bits" for shape in shapes[:3]
            )
            raise ShardError(
                f"{self!r}: the rows are of {len(shapes)} kinds, and one tensor holds one: {listing}. Choose rows of one "
                'kind with where=, such as "lr_height = 32 and bit_depth = 8".'
            )
        sizes = [math.prod(shapes[0].lr), math.prod(shapes[0].hr)]
        if self.degrade is not None:
            sizes = [
                pixels.numel()
                for pixels in self._pixels(self._stored(np.zeros(1, np.int64)), [0])[0].values()
            ]
        item = shapes[0].dtype.itemsize if self.dtype is None else self.dtype.itemsize
        return item * len(self) * sum(sizes)

    def to_tensors(self, device: torch.device | str | None = None) -> Sample:
        """Return every row at once: a batch of ``len(ds)``, for sets that fit where the model is.

        ``transform`` is not applied: augment what you take out of the tensors. With ``degrade``, LR is that of the epoch.

        Args:
            device: Where to; the data set's own device, or the CPU, when left out.

        Raises:
            MemoryError: There is not so much memory free; the message says how much is needed.
            ShardError: The rows have several shapes or depths; or a shard is missing or altered.
        """
        to = torch.device(device) if device is not None else self.device or torch.device("cpu")
        check_fits(self.tensor_bytes(), to, what=repr(self))
        whole: Sample = {}
        numbers = np.arange(len(self))
        stored = self._stored(numbers)
        samples = self._samples(numbers, None)
        for start in range(0, len(self), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            pixels, facts = self._pixels(stored[part], samples[part].tolist())
            for name, some in self._converted(pixels, to).items():
                if not start:
                    whole[name] = torch.empty((len(self), *some.shape[1:]), dtype=some.dtype, device=to)
                whole[name][part] = some
            for name, texts in facts.items():
                whole[name] = whole.get(name, []) + texts
        return self._facts_of_rows(stored, samples) | whole

    def _one(self, stored: int, number: int) -> Sample:
        lr, hr = self._rows.pair(stored)
        if self.degrade is None:
            return self._finish(_sample(lr, hr, self.keys), stored, number)
        lr, hr, drawn = self.degrade.pair(hr, self._facts.of_row(stored, FACTS), number // self._num_rows)
        return self._finish(_sample(lr, hr, self.keys), stored, number, drawn)

    def _finish(self, sample: Sample, stored: int, number: int, drawn: str | None = None) -> Sample:
        """Return one sample's pixels where and as they were asked for, with its facts."""
        sample = self._converted(sample, self.device)
        if isinstance(self.transform, Augmentation):
            sample = dict(zip(self.keys, self.transform(*_both(sample, self.keys), number), strict=True))
        if self.columns:
            sample |= self._facts.of_row(stored, self._wanted)
            if SAMPLE_NUMBER in self.columns:
                sample[SAMPLE_NUMBER] = number
            if drawn is not None:
                sample |= {name: text for name, text in self._made(drawn).items() if name in self.columns}
        if self.transform is None or isinstance(self.transform, Augmentation):
            return sample
        return self.transform(sample)

    def _batch(self, index: Many) -> Sample:
        rows = self._numbers(index)
        stored, numbers = self._stored(rows), self._samples(rows, index)
        if isinstance(index, SampleRows) and index.near:
            self._rows.bring(stored)
        if self._plain:
            return self._read(stored)
        augments = isinstance(self.transform, Augmentation)
        if self.transform is not None and not augments and rows.size:
            samples = [self._one(*pair) for pair in zip(stored.tolist(), numbers.tolist(), strict=True)]
            batch: Sample = default_collate(samples)
            return batch
        pixels, facts = self._pixels(stored, numbers.tolist())
        pixels = self._converted(pixels, self.device)
        if isinstance(self.transform, Augmentation) and rows.size:
            pixels = dict(zip(self.keys, self.transform(*_both(pixels, self.keys), numbers), strict=True))
        return pixels | self._facts_of_rows(stored, numbers) | facts

    def _pixels(self, stored: npt.NDArray[np.int64], numbers: Sequence[int]) -> tuple[Sample, Sample]:
        """Return a batch as it is stored, or as it was degraded, and then what was drawn, where it was asked for."""
        if self.degrade is None or not stored.size:
            return self._read(stored), {}
        made = []
        _, windows = self._rows.batch(stored)
        for hr, row, number in zip(windows, stored.tolist(), numbers, strict=True):
            made.append(self.degrade.pair(hr, self._facts.of_row(row, FACTS), number // self._num_rows))
        lr, hr, drawn = zip(*made, strict=True)
        facts = [self._made(text) for text in drawn]
        return _sample(np.stack(lr), np.stack(hr), self.keys), {
            name: [fact[name] for fact in facts] for name in ("drawn", "degradation") if name in self.columns
        }

    def _read(self, stored: npt.NDArray[np.int64]) -> Sample:
        """Return a batch as it is stored; a worker's, where nothing is made of it, in memory that it hands over."""
        if self._unchanged and hands_over() and (found := self._rows.pieces(stored)) is not None:
            lr, hr, shape = found
            each = ((self.keys[0], lr, shape.lr), (self.keys[1], hr, shape.hr))
            return {
                name: shared_tensor(rows, (len(rows), *dims), _DTYPES[shape.dtype.itemsize])
                for name, rows, dims in each
                if dims[-1]
            }
        return _sample(*self._rows.batch(stored), self.keys)

    def _made(self, drawn: str) -> dict[str, str]:
        """Return what the columns say of LR that was made here."""
        assert self.degrade is not None
        return {"drawn": drawn, "degradation": self.degrade.text}

    def _facts_of_rows(self, stored: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]) -> Sample:
        if not self.columns:
            return {}
        facts: Sample = self._facts.of_rows(stored, self._wanted)
        if SAMPLE_NUMBER in self.columns:
            facts[SAMPLE_NUMBER] = from_numpy(numbers)
        return facts

    def _converted(self, pixels: Sample, device: torch.device | None) -> Sample:
        if device is not None:
            if device.type == "cuda" and get_worker_info() is not None:
                raise ValueError(
                    f"device={str(device)!r} does not work in a DataLoader's workers, which hand pixels over in memory: "
                    "leave it out and move batches in the loop, or use num_workers=0"
                )
            pixels = {name: each.to(device, non_blocking=True) for name, each in pixels.items()}
        if self.dtype is not None:
            pixels = {name: each.to(self.dtype) for name, each in pixels.items()}
        return pixels

    def _stored_row(self, row: int) -> int:
        """Return which row of the split a row is."""
        if self._picked_view is None:
            return row
        if row >= self._num_rows:
            raise IndexError(f"{self!r}: there is no row {row}")
        return self._picked_view[row]

    def _stored(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if self._picked is None:
            return rows
        if rows.size and int(rows.max()) >= self._num_rows:
            raise IndexError(f"{self!r}: there is no row {rows.max()}")
        return self._picked[rows]

    def _samples(self, rows: npt.NDArray[np.int64], index: Any) -> npt.NDArray[np.int64]:
        """Return which samples rows are: as the sampler said, or of this epoch in order."""
        if self._plain:
            return rows
        said = sample_numbers(index)
        return rows + self.epoch * self._num_rows if said is None else said

    def _numbers(self, index: Many) -> npt.NDArray[np.int64]:
        """Return row numbers, counted from the start, as an array; it may be the caller's own."""
        if isinstance(index, slice):
            return np.arange(*index.indices(self._num_rows))
        numbers = np.asarray(index)
        if numbers.ndim != 1:
            raise ValueError(f"row numbers are a list or a 1-D array, not an array of shape {numbers.shape}")
        if numbers.dtype == bool:
            if len(numbers) != self._num_rows:
                raise IndexError(
                    f"a mask has one truth value for each of {self._num_rows} rows, not {len(numbers)}"
                )
            return np.flatnonzero(numbers)
        if numbers.dtype != np.int64:
            if numbers.size and numbers.dtype.kind not in "iu":
                raise TypeError(f"row numbers are whole numbers, not {numbers.dtype}")
            numbers = numbers.astype(np.int64)
        if numbers.size and int(numbers.min()) < 0:
            if int(numbers.min()) < -self._num_rows:
                raise IndexError(f"{self!r}: there is no row {numbers.min()}")
            numbers = np.where(numbers < 0, numbers + self._num_rows, numbers)
        return numbers

    def _from_end(self, index: int) -> int:
        if index < -self._num_rows:
            raise IndexError(f"{self!r}: there is no row {index}")
        return index + self._num_rows


def _device(name: torch.device | str | None) -> torch.device | None:
    try:
        return None if name is None else torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device is one of torch's, such as 'cuda' or 'cuda:0', not {name!r}") from error


def _greatest_exact(dtype: torch.dtype) -> int:
    """Return up to which number a type holds every whole number from 0; nothing of types that are no real numbers."""
    if dtype is torch.bool or dtype.is_complex:
        return 0
    # eps is the step above 1.0: whole numbers are exact up to 2 / eps.
    return int(2 / torch.finfo(dtype).eps) if dtype.is_floating_point else torch.iinfo(dtype).max


def _remote_of(path: "str | PathLike[str] | RemoteSet") -> "RemoteSet | None":
    if not isinstance(path, str | PathLike):
        return path
    if not (isinstance(path, str) and "://" in path):
        return None
    # Reading from afar loads what a set of this machine does not need.
    from sr_datasets.shards.remote import RemoteSet

    return RemoteSet(path)


def _sample(lr: npt.NDArray[Any], hr: npt.NDArray[Any], keys: tuple[str, str]) -> Sample:
    """Return a sample or batch; without LR where the set keeps none (``degradation: none``)."""
    if lr.shape[-1]:
        return {keys[0]: from_numpy(lr), keys[1]: from_numpy(hr)}
    return {keys[1]: from_numpy(hr)}


def _both(pixels: Sample, keys: tuple[str, str]) -> tuple[Tensor, Tensor]:
    return pixels[keys[0]], pixels[keys[1]]
