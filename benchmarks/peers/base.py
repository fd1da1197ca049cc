"""What every storage can do: be written, and be read in the order and the way of its users."""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from peers.pixels import HR_SIZE, LR_SIZE, Pair

Batch = dict[str, Tensor]
LR_SHAPE, HR_SHAPE = (3, LR_SIZE, LR_SIZE), (3, HR_SIZE, HR_SIZE)
LR_BYTES, HR_BYTES = int(np.prod(LR_SHAPE)), int(np.prod(HR_SHAPE))
CHUNK_BYTES = 64 << 20
"""Size of a chunk, shard or archive, where a storage has such a thing."""
SHUFFLE_BUFFER = 1000
PREFETCH = 4


class Peer:
    """One storage, and how its users read it; ``settings`` is what the page says of both."""

    name: ClassVar[str]
    settings: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions that it needs, the main one first."""
    modules: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path, num_rows: int) -> None:
        """Name the folder that holds the storage; nothing is opened yet."""
        self.folder, self.num_rows = folder, num_rows

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot run here; None when it can."""
        for module in cls.modules:
            try:
                importlib.import_module(module)
            except Exception as error:  # noqa: BLE001 - a peer that breaks on import is named, whatever it raises
                return f"{type(error).__name__}: {error}".splitlines()[0]
        return None

    @classmethod
    def version(cls) -> str:
        """Return the versions of its packages."""
        found = []
        for name in cls.packages:
            try:
                found.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                found.append(f"{name} ?")
        return ", ".join(found)

    def write(self, pairs: Iterator[Pair]) -> None:
        """Write ``num_rows`` pairs."""
        raise NotImplementedError

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        """Yield an epoch in one process, in the given order; or in an order of its own, where it has no other."""
        raise NotImplementedError

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        """Return a loader of shuffled epochs that its users would write."""
        raise NotImplementedError

    def large_batches(self, size: int) -> Iterator[Batch]:
        """Yield an epoch in one process, in the order that its users have for sets larger than memory."""
        order = np.random.default_rng(0).permutation(self.num_rows)
        yield from self.batches(order, size)

    def close(self) -> None:
        """Let go of what is open."""


class ByRow(Dataset[Batch]):
    """A map-style data set of single samples, which the stock ``DataLoader`` collates."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer

    def __len__(self) -> int:
        return int(self.peer.num_rows)

    def __getitem__(self, row: int) -> Batch:
        lr, hr = self.peer.pair(row)
        return {"lr": torch.from_numpy(lr), "hr": torch.from_numpy(hr)}


class ByBatch(ByRow):
    """A map-style data set that takes a list of rows for one batch, for storages that gain by it."""

    def __getitem__(self, rows: Sequence[int]) -> Batch:  # type: ignore[override]
        return self.peer.batch(rows)


def row_loader(dataset: Dataset[Batch], size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
    """Return the usual loader of a map-style data set."""
    return DataLoader(dataset, size, shuffle=True, **common(workers, pin=pin))


def batch_loader(dataset: Any, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
    """Return a loader that hands whole lists of rows to the data set."""
    sampler = BatchSampler(RandomSampler(range(len(dataset))), size, drop_last=False)
    return DataLoader(dataset, sampler=sampler, batch_size=None, **common(workers, pin=pin))


def common(workers: int, *, pin: bool) -> dict[str, Any]:
    """Return the options that every loader has."""
    if not workers:
        return {"pin_memory": pin}
    return {
        "num_workers": workers,
        "persistent_workers": True,
        "prefetch_factor": PREFETCH,
        "pin_memory": pin,
    }


def parts(order: np.ndarray, size: int) -> Iterator[list[int]]:
    """Yield the rows of each batch."""
    for first in range(0, len(order), size):
        yield order[first : first + size].tolist()


def stacked(pairs: Sequence[Pair]) -> Batch:
    """Return samples as one batch."""
    lr, hr = zip(*pairs, strict=True)
    return {"lr": torch.from_numpy(np.stack(lr)), "hr": torch.from_numpy(np.stack(hr))}
