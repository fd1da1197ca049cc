"""Random access on this machine: our shards, LMDB, picture files, one tensor in memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from peers.base import (
    HR_SHAPE,
    LR_BYTES,
    LR_SHAPE,
    Batch,
    ByBatch,
    ByRow,
    Peer,
    batch_loader,
    common,
    parts,
    row_loader,
    stacked,
)
from peers.pixels import Pair, write_shards
from sr_datasets import PairDataset, ResumableSampler

LMDB_KEYS_AT_ONCE = 4096


class Ours(Peer):
    name = "sr-datasets, ds[list]"
    settings = (
        "raw shards, 30 rows a row group; `sampler.batches(64)`, `batch_size=None`; `block=8` beyond memory"
    )
    packages = ("sr-datasets",)

    def write(self, pairs: Iterator[Pair]) -> None:
        write_shards(self.folder, pairs, self.num_rows)

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        ds = self._dataset()
        for rows in parts(order, size):
            yield ds[rows]

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        sampler = ResumableSampler(PairDataset(self.folder), num_samples=self.num_rows)
        return DataLoader(
            self._dataset(), sampler=sampler.batches(size), batch_size=None, **common(workers, pin=pin)
        )

    def large_batches(self, size: int) -> Iterator[Batch]:
        ds = self._dataset()
        for rows in ResumableSampler(ds, block=8, num_samples=self.num_rows).batches(size):
            yield ds[rows]

    def _dataset(self) -> PairDataset:
        if not hasattr(self, "_ds"):
            self._ds = PairDataset(self.folder)
        return self._ds

    def close(self) -> None:
        self.__dict__.pop("_ds", None)


class OursOneByOne(Ours):
    name = "sr-datasets, ds[i]"
    settings = "the same shards; stock `DataLoader(ds, batch_size=64, shuffle=True)`"

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        ds = self._dataset()
        for row in order.tolist():
            yield ds[row]

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        return row_loader(self._dataset(), size, workers, pin=pin)


class Lmdb(Peer):
    name = "LMDB, raw bytes"
    settings = (
        "one value a pair (LR then HR), integer keys; `lock=False, readahead=False`, one transaction kept, "
        "values as buffers joined into a batch"
    )
    packages = ("lmdb",)
    modules = ("lmdb",)

    def write(self, pairs: Iterator[Pair]) -> None:
        write_lmdb(
            self.folder / "raw.lmdb",
            ((_key(row), lr.tobytes() + hr.tobytes()) for row, (lr, hr) in enumerate(pairs)),
        )

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        for rows in parts(order, size):
            yield self.batch(rows)

    def batch(self, rows: Sequence[int]) -> Batch:
        get = self._transaction().get
        values = [get(_key(row)) for row in rows]
        lr = np.frombuffer(bytearray().join([value[:LR_BYTES] for value in values]), np.uint8)
        hr = np.frombuffer(bytearray().join([value[LR_BYTES:] for value in values]), np.uint8)
        return {
            "lr": torch.from_numpy(lr.reshape(-1, *LR_SHAPE)),
            "hr": torch.from_numpy(hr.reshape(-1, *HR_SHAPE)),
        }

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        self.close()  # an environment must not cross a fork
        return batch_loader(ByBatch(self), size, workers, pin=pin)

    def _transaction(self) -> Any:
        if not hasattr(self, "_txn"):
            self._env = open_lmdb(self.folder / "raw.lmdb")
            self._txn = self._env.begin(buffers=True)
        return self._txn

    def close(self) -> None:
        if hasattr(self, "_txn"):
            self._txn.abort()
            self._env.close()
            del self._txn, self._env


class PngFiles(Peer):
    name = "PNG files"
    settings = "one file a picture, `cv2.imread` of LR and HR, stock collation"
    packages = ("opencv-python-headless",)
    modules = ("cv2",)

    def write(self, pairs: Iterator[Pair]) -> None:
        for row, (lr, hr) in enumerate(pairs):
            for name, picture in (("lr", lr), ("hr", hr)):
                path = self.folder / name / f"{row // 1000:04d}" / f"{row:07d}.png"
                if not row % 1000:
                    path.parent.mkdir(parents=True)
                path.write_bytes(png_of(picture))

    def pair(self, row: int) -> Pair:
        import cv2

        name = f"{row // 1000:04d}/{row:07d}.png"
        lr, hr = (planes_of(cv2.imread(f"{self.folder}/{kind}/{name}")) for kind in ("lr", "hr"))
        return lr, hr

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        for rows in parts(order, size):
            yield stacked([self.pair(row) for row in rows])

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        self.close()
        return row_loader(ByRow(self), size, workers, pin=pin)


class BasicSr(PngFiles):
    name = "LMDB of PNG (BasicSR)"
    settings = (
        "`lr.lmdb` and `hr.lmdb`, one PNG a value; a transaction a picture and `cv2.imdecode`, as its `FileClient` "
        "does; its conversion to float and its augmentation left out"
    )
    packages = ("lmdb", "opencv-python-headless")
    modules = ("lmdb", "cv2")

    def write(self, pairs: Iterator[Pair]) -> None:
        # Both in one pass: a few thousand pairs wait in memory at a time.
        done, waiting = 0, []
        for pair in pairs:
            waiting.append(pair)
            if len(waiting) == LMDB_KEYS_AT_ONCE or done + len(waiting) == self.num_rows:
                for place, name in enumerate(("lr", "hr")):
                    values = (
                        (f"{done + at:08d}".encode(), png_of(one[place])) for at, one in enumerate(waiting)
                    )
                    write_lmdb(self.folder / f"{name}.lmdb", values)
                done, waiting = done + len(waiting), []

    def pair(self, row: int) -> Pair:
        import cv2

        if not hasattr(self, "_envs"):
            self._envs = [open_lmdb(self.folder / f"{name}.lmdb") for name in ("lr", "hr")]
        pictures = []
        for env in self._envs:
            with env.begin(write=False) as transaction:
                value = transaction.get(f"{row:08d}".encode("ascii"))
            pictures.append(planes_of(cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)))
        lr, hr = pictures
        return lr, hr

    def close(self) -> None:
        for env in self.__dict__.pop("_envs", ()):
            env.close()


class RamTensor(Peer):
    name = "RAM, tensor[indices]"
    settings = "the whole set in two tensors; through the `DataLoader` as a data set that takes lists"

    def write(self, pairs: Iterator[Pair]) -> None:
        self.lr = torch.empty((self.num_rows, *LR_SHAPE), dtype=torch.uint8)
        self.hr = torch.empty((self.num_rows, *HR_SHAPE), dtype=torch.uint8)
        for row, (lr, hr) in enumerate(pairs):
            self.lr[row], self.hr[row] = torch.from_numpy(lr), torch.from_numpy(hr)

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        for rows in torch.from_numpy(order).split(size):
            yield {"lr": self.lr[rows], "hr": self.hr[rows]}

    def batch(self, rows: Sequence[int]) -> Batch:
        return {"lr": self.lr[rows], "hr": self.hr[rows]}

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        return batch_loader(ByBatch(self), size, workers, pin=pin)


class RamSelect(RamTensor):
    name = "RAM, index_select(out=)"
    settings = "the same tensors into one batch made beforehand; through the `DataLoader` into a new one"

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        lr = torch.empty((size, *LR_SHAPE), dtype=torch.uint8)
        hr = torch.empty((size, *HR_SHAPE), dtype=torch.uint8)
        for rows in torch.from_numpy(order).split(size):
            count = len(rows)
            yield {
                "lr": torch.index_select(self.lr, 0, rows, out=lr[:count]),
                "hr": torch.index_select(self.hr, 0, rows, out=hr[:count]),
            }

    def batch(self, rows: Sequence[int]) -> Batch:
        at = torch.tensor(rows)
        return {"lr": self.lr.index_select(0, at), "hr": self.hr.index_select(0, at)}


def write_lmdb(path: Path, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Add sorted keys and their values to an environment."""
    import lmdb

    with lmdb.open(str(path), map_size=1 << 40, sync=False, metasync=False) as env:
        with env.begin(write=True) as transaction:
            cursor = transaction.cursor()
            for key, value in items:
                cursor.put(key, value, append=True)
        env.sync(True)


def open_lmdb(path: Path) -> Any:
    """Open an environment as its users do for training."""
    import lmdb

    return lmdb.open(str(path), readonly=True, lock=False, readahead=False, meminit=False)


def _key(row: int) -> bytes:
    return row.to_bytes(8, "big")


def png_of(picture: np.ndarray) -> bytes:
    """Return ``(3, h, w)`` R'G'B' as PNG, with OpenCV's own settings."""
    import cv2

    ok, data = cv2.imencode(".png", np.ascontiguousarray(picture[::-1].transpose(1, 2, 0)))
    if not ok:
        raise RuntimeError("OpenCV did not write a PNG")
    return data.tobytes()


def planes_of(picture: np.ndarray) -> np.ndarray:
    """Return OpenCV's ``(h, w, 3)`` B'G'R' as contiguous ``(3, h, w)`` R'G'B'."""
    import cv2

    return np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).transpose(2, 0, 1))
