"""Size and speed of the storages of a shard on natural pixels: T91, and clips of a store.

    python benchmarks/storages.py T91_FOLDER [--clips FILE.y4m ...]

Cuts patches of each kind, writes them in every storage, and reads a shuffled epoch in batches of 64 in one process, page
cache warm. Prints a Markdown table; every figure of one row is of one run.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from sr_datasets.color import luma_of_rgb
from sr_datasets.shards.mapped import MappedRows
from sr_datasets.shards.schema import Row
from sr_datasets.shards.storage import Storage
from sr_datasets.shards.writer import ShardWriter
from sr_datasets.video import open_clip, probe

STORAGES: tuple[Storage, ...] = ("raw", "zstd", "png")
ROWS_PER_GROUP = 30
BATCH = 64
SCALE = 3
Planes = npt.NDArray[Any]


def pictures_of(folder: Path) -> list[Planes]:
    """Return the pictures of a folder as ``(3, h, w)`` R'G'B'."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".bmp")):
        with open_clip(path, probe(path)) as reader:
            (frame,) = reader.frames([0])
            if len(frame.planes) == 3:
                found.append(np.stack(frame.planes))
    return found


def frames_of(paths: Sequence[Path]) -> list[Planes]:
    """Return the first luma plane of clips, ``(1, h, w)``."""
    found = []
    for path in paths:
        with open_clip(path, probe(path)) as reader:
            (frame,) = reader.frames([0])
            found.append(frame.planes[0][None])
    return found


def cut_rows(pictures: Sequence[Planes], count: int, lr_size: int, color: str) -> list[Row]:
    """Cut HR patches at random; LR is every third sample (its bytes count, not its look)."""
    rng = np.random.default_rng(0)
    size = lr_size * SCALE
    large = [picture for picture in pictures if min(picture.shape[1:]) >= size]
    rows = []
    for number in range(count):
        picture = large[int(rng.integers(len(large)))]
        top = int(rng.integers(picture.shape[1] - size + 1))
        left = int(rng.integers(picture.shape[2] - size + 1))
        hr = np.ascontiguousarray(picture[:, top : top + size, left : left + size])
        rows.append(
            Row(
                sample_id=f"natural/c/{number:06d}",
                source="natural",
                clip="c",
                split="train",
                row=number,
                frame_indices=(0,),
                pts=(0,),
                time_base="1/25",
                top=0,
                left=0,
                scale=SCALE,
                color=color,
                bit_depth=8,
                matrix="bt601",
                matrix_from="guessed",
                range="limited",
                range_from="guessed",
                transfer="bt709",
                transfer_from="guessed",
                siting="none",
                siting_from="guessed",
                degradation="{}",
                lr=np.ascontiguousarray(hr[:, ::SCALE, ::SCALE]),
                hr=hr,
            )
        )
    return rows


def measure(rows: Sequence[Row], storage: Storage, folder: Path) -> tuple[int, float, float, float]:
    """Return bytes of the file, seconds to write, and samples per second in batches and one by one."""
    path = folder / f"{storage}.parquet"
    start = perf_counter()
    with ShardWriter(path, storage=storage) as writer:
        for first in range(0, len(rows), ROWS_PER_GROUP):
            writer.write_group(rows[first : first + ROWS_PER_GROUP])
    written = perf_counter() - start
    groups = [len(rows[first : first + ROWS_PER_GROUP]) for first in range(0, len(rows), ROWS_PER_GROUP)]
    mapped = MappedRows([path], [0] * len(groups), groups)
    order = np.random.default_rng(1).permutation(len(rows))
    mapped.batch(order)  # every page of the file has been touched
    seconds = []
    for _ in range(3):
        start = perf_counter()
        for first in range(0, len(order), BATCH):
            mapped.batch(order[first : first + BATCH])
        seconds.append(perf_counter() - start)
    start = perf_counter()
    for number in order.tolist():
        mapped.pair(number)
    alone = perf_counter() - start
    return path.stat().st_size, written, len(rows) / min(seconds), len(rows) / alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("t91", type=Path)
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    parser.add_argument("--rows", type=int, default=3000)
    options = parser.parse_args()
    pictures = pictures_of(options.t91)
    kinds = [
        ("T91, rgb, LR 32x32", cut_rows(pictures, options.rows, 32, "rgb")),
        ("T91, y, LR 17x17", cut_rows([luma_of_rgb(one) for one in pictures], options.rows, 17, "y")),
    ]
    if options.clips:
        kinds.append(("clips, y, LR 33x33", cut_rows(frames_of(options.clips), options.rows, 33, "y")))
    print(
        "| pixels | storage | size | of raw | written, rows/s | batches of 64, samples/s | of raw | one by one |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, rows in kinds:
        raw: tuple[int, float, float, float] | None = None
        with tempfile.TemporaryDirectory() as folder:
            for storage in STORAGES:
                found = measure(rows, storage, Path(folder))
                raw = raw or found
                size, written, batches, alone = found
                print(
                    f"| {name} | `{storage}` | {size / 1e6:.1f} MB | {size / raw[0]:.2f} | {len(rows) / written:,.0f} | "
                    f"{batches:,.0f} | {batches / raw[2]:.3f} | {alone:,.0f} |"
                )


if __name__ == "__main__":
    main()
