"""``PairDataset``: HR-LR patch pairs of a shard set as torch tensors, at the speed of memory."""

from collections.abc import Callable, Iterator, Sequence
from operator import index as as_index
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, from_numpy
from torch.utils.data import Dataset, default_collate

from sr_datasets.shards.index import load_index
from sr_datasets.shards.mapped import MappedRows

Sample: TypeAlias = dict[str, Tensor]
Many: TypeAlias = Sequence[int] | npt.NDArray[Any] | Tensor | slice


class PairDataset(Dataset[Sample]):
    """HR-LR patch pairs of one split of a shard set.

    A sample is ``{"lr", "hr"}``: ``lr`` is ``(C, h, w)``, or ``(T, C, h, w)`` when the rows hold T > 1
    frames; ``hr`` is ``(C, H, W)``, the centre frame, or ``(T, C, H, W)`` when every frame has HR. Sets of
    ``degradation: none`` have no ``lr``, and an ``hr`` with its halo.
    Values are as stored: uint8, or ``torch.uint16`` above 8 bits, from 0 to ``2**bit_depth - 1``.
    Rows of ``color: yuv420`` hold packed planes, ``(1, 3 h / 2, w)``: ``sr_datasets.split_yuv420`` gives Y, U
    and V of a tensor or a batch, as views.

    The order is shard name, row group, row. ``ds[7]`` hands out tensors that own their memory; a
    list, slice, array or tensor of row numbers gives one batch with a first axis more. Files are
    mapped at first touch, in each process; the data set pickles as names and counts.

    Example:
        ds = PairDataset("shards/", split="train")
        loader = DataLoader(ds, batch_size=64, shuffle=True, num_workers=2)
        # One gather per batch, no collation:
        sampler = BatchSampler(RandomSampler(ds), batch_size=64, drop_last=True)
        loader = DataLoader(ds, sampler=sampler, batch_size=None, num_workers=2)
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        split: str = "train",
        dtype: torch.dtype | None = None,
        transform: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Read which rows there are; no pixel is touched.

        Args:
            path: Folder that ``sr-data build-pairs`` wrote; also a folder of shards, or one shard.
            split: Which split to hand out.
            dtype: Type to convert to, such as ``torch.float32``; numbers keep their values (0 to 255).
                The stored type when left out.
            transform: Called with each sample after the conversion; what it returns is handed out.
                For a batch it is called per row, and the rows are stacked.

        Raises:
            ShardError: There is no such set or split; the message lists what there is.
        """
        self.path = Path(path)
        self.split = split
        self.dtype = dtype
        self.transform = transform
        found = load_index(self.path, split)
        self._rows = MappedRows(found.paths, found.shard_of_group, found.rows_of_group)
        self._num_rows = len(self._rows)
        self._plain = dtype is None and transform is None

    def __len__(self) -> int:
        return self._num_rows

    def __repr__(self) -> str:
        return f"PairDataset({str(self.path)!r}, split={self.split!r}): {self._num_rows} rows"

    def __iter__(self) -> Iterator[Sample]:
        """Yield every sample, in order."""
        return (self[number] for number in range(self._num_rows))

    def __getitem__(self, index: SupportsIndex | Many) -> Sample:
        """Return one sample, or one batch for a list, slice, array or tensor of row numbers.

        Raises:
            IndexError: There is no such row; negative numbers count from the end.
            ShardError: The shard is missing, truncated or altered there.
        """
        if type(index) is not int:
            if isinstance(index, Sequence | slice | np.ndarray) or (isinstance(index, Tensor) and index.ndim):
                return self._batch(index)
            index = as_index(index)  # NumPy's and torch's numbers
        lr, hr = self._rows.pair(index if index >= 0 else self._from_end(index))
        sample = _sample(lr, hr)
        return sample if self._plain else self._finish(sample)

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples as a list, as a stock ``DataLoader`` asks for them before it collates.

        They are read as one batch where they have one shape; then they are views of it.
        """
        rows = self._numbers(indices)
        if self._rows.shape_of(rows) is None:
            return [self[int(row)] for row in rows]
        lr, hr = self._rows.batch(rows)
        whole = {name: pixels.unbind() for name, pixels in _sample(lr, hr).items()}
        samples = [{name: pixels[place] for name, pixels in whole.items()} for place in range(len(rows))]
        return samples if self._plain else [self._finish(sample) for sample in samples]

    def row(self, index: SupportsIndex) -> dict[str, Any]:
        """Return all that is known of a row, without its pixels (columns: ``docs/shards.md``).

        Raises:
            IndexError: There is no such row.
            ShardError: The shard is missing, truncated or altered there.
        """
        number = as_index(index)
        return self._rows.row(number if number >= 0 else self._from_end(number))

    def _batch(self, index: Many) -> Sample:
        rows = self._numbers(index)
        if self.transform is not None and rows.size:
            samples: list[Sample] = [self[row] for row in rows.tolist()]
            batch: Sample = default_collate(samples)
            return batch
        sample = _sample(*self._rows.batch(rows))
        if self.dtype is not None:
            sample = {name: pixels.to(self.dtype) for name, pixels in sample.items()}
        return sample

    def _finish(self, sample: Sample) -> Sample:
        if self.dtype is not None:
            sample = {name: pixels.to(self.dtype) for name, pixels in sample.items()}
        return sample if self.transform is None else self.transform(sample)

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


def _sample(lr: npt.NDArray[Any], hr: npt.NDArray[Any]) -> Sample:
    """Return a sample or batch; without LR where the set keeps none (``degradation: none``)."""
    return {"lr": from_numpy(lr), "hr": from_numpy(hr)} if lr.shape[-1] else {"hr": from_numpy(hr)}
