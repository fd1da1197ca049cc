"""Libraries with loaders of their own: Hugging Face datasets, LitData, MosaicML streaming, WebDataset."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from peers.base import (
    CHUNK_BYTES,
    HR_SHAPE,
    LR_SHAPE,
    SHUFFLE_BUFFER,
    Batch,
    Peer,
    batch_loader,
    common,
    parts,
)
from peers.pixels import SAMPLE_BYTES, Pair


class HuggingFace(Peer):
    name = "HF datasets"
    settings = (
        "`Array3D` of uint8, saved as Arrow files and mapped, `with_format('torch')`, lists of rows; "
        f"beyond memory `to_iterable_dataset(num_shards=64).shuffle(buffer_size={SHUFFLE_BUFFER})`"
    )
    packages = ("datasets",)
    modules = ("datasets",)

    def write(self, pairs: Iterator[Pair]) -> None:
        import datasets

        kinds = {"lr": datasets.Array3D(LR_SHAPE, "uint8"), "hr": datasets.Array3D(HR_SHAPE, "uint8")}
        features = datasets.Features(kinds)
        datasets.disable_progress_bars()
        path = self.folder / "data.arrow"
        with datasets.arrow_writer.ArrowWriter(
            path=str(path), features=features, writer_batch_size=100
        ) as writer:
            for lr, hr in pairs:
                writer.write({"lr": lr, "hr": hr})
            writer.finalize()

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        ds = self._dataset()
        for rows in parts(order, size):
            yield ds[rows]

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        return batch_loader(self._dataset(), size, workers, pin=pin)

    def large_batches(self, size: int) -> Iterator[Batch]:
        stream = self._dataset().to_iterable_dataset(num_shards=64)
        yield from stream.shuffle(seed=0, buffer_size=SHUFFLE_BUFFER).batch(size)

    def _dataset(self) -> Any:
        if not hasattr(self, "_ds"):
            import datasets

            self._ds = datasets.Dataset.from_file(str(self.folder / "data.arrow")).with_format("torch")
        return self._ds


class LitData(Peer):
    name = "LitData"
    settings = (
        "chunks of 64 MiB, uint8 tensors; `StreamingDataset(shuffle=True)` in its `StreamingDataLoader`"
    )
    packages = ("litdata",)
    modules = ("litdata",)

    def write(self, pairs: Iterator[Pair]) -> None:
        from litdata.streaming import Cache

        cache = Cache(str(self.folder), chunk_bytes=CHUNK_BYTES)
        for row, (lr, hr) in enumerate(pairs):
            cache[row] = {"lr": torch.from_numpy(lr), "hr": torch.from_numpy(hr)}
        cache.done()
        cache.merge()

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        ds = self._dataset(shuffle=False)
        for rows in parts(order, size):
            yield default_collate([ds[row] for row in rows])

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        from litdata import StreamingDataLoader

        return StreamingDataLoader(
            self._dataset(shuffle=True), batch_size=size, shuffle=True, **common(workers, pin=pin)
        )

    def large_batches(self, size: int) -> Iterator[Batch]:
        yield from self.loader(size, 0, pin=False)

    def _dataset(self, *, shuffle: bool) -> Any:
        from litdata import StreamingDataset

        # Chunks lie in a local folder already; the bound keeps LitData from counting them as a cache.
        return StreamingDataset(str(self.folder), shuffle=shuffle, drop_last=False)


class Mds(Peer):
    name = "MosaicML MDS"
    settings = "shards of 64 MiB, `ndarray:uint8` columns, no compression or hashes; `StreamingDataset(shuffle=True)`"
    packages = ("mosaicml-streaming",)
    modules = ("streaming",)

    def write(self, pairs: Iterator[Pair]) -> None:
        from streaming import MDSWriter

        columns = {
            "lr": f"ndarray:uint8:{','.join(map(str, LR_SHAPE))}",
            "hr": f"ndarray:uint8:{','.join(map(str, HR_SHAPE))}",
        }
        with MDSWriter(out=str(self.folder), columns=columns, size_limit=CHUNK_BYTES, exist_ok=True) as out:
            for lr, hr in pairs:
                out.write({"lr": lr, "hr": hr})

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        ds = self._dataset(size, shuffle=False)
        for rows in parts(order, size):
            yield default_collate([ds[row] for row in rows])

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        return DataLoader(self._dataset(size, shuffle=True), batch_size=size, **common(workers, pin=pin))

    def large_batches(self, size: int) -> Iterator[Batch]:
        yield from self.loader(size, 0, pin=False)

    def _dataset(self, size: int, *, shuffle: bool) -> Any:
        # One data set at a time: its shared memory is named by the folder.
        if getattr(self, "_shuffle", None) is not shuffle:
            import streaming

            self.close()
            streaming.base.util.clean_stale_shared_memory()
            self._ds = streaming.StreamingDataset(
                local=str(self.folder), shuffle=shuffle, batch_size=size, num_canonical_nodes=1
            )
            self._shuffle = shuffle
        return self._ds

    def close(self) -> None:
        self.__dict__.pop("_ds", None)
        self.__dict__.pop("_shuffle", None)


class WebDataset(Peer):
    name = "WebDataset"
    settings = f"tar files of 64 MiB, raw bytes; shards shuffled, buffer of {SHUFFLE_BUFFER}, `WebLoader`"
    packages = ("webdataset",)
    modules = ("webdataset",)

    def write(self, pairs: Iterator[Pair]) -> None:
        per_file = CHUNK_BYTES // SAMPLE_BYTES
        tar = None
        for row, (lr, hr) in enumerate(pairs):
            if not row % per_file:
                if tar is not None:
                    tar.close()
                tar = tarfile.open(self.folder / f"{row // per_file:06d}.tar", "w")  # noqa: SIM115
            for name, pixels in (("lr", lr), ("hr", hr)):
                info = tarfile.TarInfo(f"{row:08d}.{name}")
                info.size = pixels.nbytes
                tar.addfile(info, io.BytesIO(pixels.tobytes()))
        if tar is not None:
            tar.close()

    def batches(self, order: np.ndarray, size: int) -> Iterator[Batch]:
        yield from self._dataset(size)

    def loader(self, size: int, workers: int, *, pin: bool) -> Iterable[Batch]:
        import webdataset as wds

        return wds.WebLoader(self._dataset(size), batch_size=None, **common(workers, pin=pin))

    def large_batches(self, size: int) -> Iterator[Batch]:
        yield from self._dataset(size)

    def _dataset(self, size: int) -> Any:
        import webdataset as wds

        urls = [str(path) for path in sorted(self.folder.glob("*.tar"))]
        return (
            wds.WebDataset(
                urls, shardshuffle=len(urls), workersplitter=wds.split_by_worker, empty_check=False
            )
            .shuffle(SHUFFLE_BUFFER)
            .map(_tensors)
            .batched(size, collation_fn=default_collate)
        )


def _tensors(sample: dict[str, Any]) -> Batch:
    lr = np.frombuffer(bytearray(sample["lr"]), np.uint8).reshape(LR_SHAPE)
    hr = np.frombuffer(bytearray(sample["hr"]), np.uint8).reshape(HR_SHAPE)
    return {"lr": torch.from_numpy(lr), "hr": torch.from_numpy(hr)}
