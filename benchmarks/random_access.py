"""Random access: a shuffled epoch of ``PairDataset`` against one tensor in RAM, in one process.

Run it on an otherwise idle machine; it writes its shards into a temporary folder and needs about
0.6 GB of memory and 0.2 GB of disk at the default size:

    python benchmarks/random_access.py [--rows 6000] [--batch 64] [--epochs 9] [--threads 1]

Rows are LR 32x32x3 and HR 96x96x3 uint8, cut from a picture with a 1/f spectrum; 30 a row group, 8
row groups a shard, as ``build-pairs`` writes them. Each figure is the median over the epochs; the
ways run in turn within each epoch, so that a busy moment of the machine hits all of them.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import stored
import torch

from sr_datasets import PairDataset
from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import DATA_DIR, describe_set, shard_name, write_index, write_set_json
from sr_datasets.shards.writer import ShardWriter

ROWS_PER_GROUP = 30
GROUPS_PER_SHARD = 8
SCALE = 3
LR_SIZE = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="torch.set_num_threads, for the RAM tensors")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    stored.save_option(parser, "random_access")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        set_dir = Path(folder)
        write_set(set_dir, options.rows)
        figures = measure(set_dir, options.batch, options.epochs)
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {options.rows} rows, batch {options.batch}"
    )
    gather, into = figures["tensor[indices]"], figures["index_select(out=)"]
    print(f"{'':38}{'samples/s':>10}  {'of tensor[indices]':>18}  {'of index_select(out=)':>21}")
    for name, rate in figures.items():
        print(f"{name:38}{rate:>10,.0f}  {rate / gather:>18.2f}  {rate / into:>21.2f}")
    rows: stored.Table = [["", "samples/s", "of `tensor[indices]` (allocating)", "of `index_select(out=)`"]]
    rows += [
        [
            "`{}`{}{}".format(*name.partition(",")),
            f"{rate:,.0f}",
            f"{rate / gather:.2f}",
            f"{rate / into:.2f}",
        ]
        for name, rate in figures.items()
    ]
    stored.save(
        options.save,
        {"rates": rows},
        conditions=f"shuffled epoch in one process, LR 32x32x3 and HR 96x96x3, {options.rows} rows, batch {options.batch}, "
        f"{options.threads} torch thread(s), page cache warm; ways interleaved, medians of {options.epochs} epochs",
    )


def measure(set_dir: Path, batch: int, epochs: int) -> dict[str, float]:
    """Return samples per second of each way to read a shuffled epoch."""
    ds = PairDataset(set_dir)
    whole = ds[:]
    lr, hr = whole["lr"], whole["hr"]
    lr_out = torch.empty((batch, *lr.shape[1:]), dtype=lr.dtype)
    hr_out = torch.empty((batch, *hr.shape[1:]), dtype=hr.dtype)
    lr_one, hr_one = lr_out[:1].clone(), hr_out[:1].clone()

    def dataset_items(order: torch.Tensor) -> None:
        for row in order.tolist():
            ds[row]

    def dataset_lists(order: torch.Tensor) -> None:
        for rows in order.split(batch):
            ds[rows.tolist()]

    def gathered(order: torch.Tensor) -> None:
        for rows in order.split(batch):
            lr[rows], hr[rows]

    def selected(order: torch.Tensor) -> None:
        for rows in order.split(batch):
            torch.index_select(lr, 0, rows, out=lr_out)
            torch.index_select(hr, 0, rows, out=hr_out)

    def cloned_items(order: torch.Tensor) -> None:
        for row in order.tolist():
            lr[row].clone(), hr[row].clone()

    def selected_items(order: torch.Tensor) -> None:
        for row in order.split(1):
            torch.index_select(lr, 0, row, out=lr_one)
            torch.index_select(hr, 0, row, out=hr_one)

    ways: dict[str, Callable[[torch.Tensor], None]] = {
        "PairDataset[i]": dataset_items,
        "PairDataset[list]": dataset_lists,
        "tensor[indices]": gathered,
        "index_select(out=)": selected,
        "tensor[i].clone(), one by one": cloned_items,
        "index_select(out=), one by one": selected_items,
    }
    check(ds, lr, hr)
    times: dict[str, list[float]] = {name: [] for name in ways}
    num_rows = len(ds) - len(ds) % batch
    for epoch in range(epochs + 1):
        order = torch.from_numpy(np.random.default_rng(epoch).permutation(len(ds))[:num_rows])
        for name, way in ways.items():
            start = time.perf_counter()
            way(order)
            if epoch:  # the first one warms caches
                times[name].append(time.perf_counter() - start)
    return {name: num_rows / statistics.median(seconds) for name, seconds in times.items()}


def check(ds: PairDataset, lr: torch.Tensor, hr: torch.Tensor) -> None:
    """Make sure that all ways hand out the same samples."""
    rows = np.random.default_rng(0).integers(len(ds), size=64).tolist()
    batch = ds[rows]
    for place, row in enumerate(rows):
        assert torch.equal(ds[row]["lr"], lr[row])
        assert torch.equal(batch["hr"][place], hr[row])


def write_set(set_dir: Path, num_rows: int) -> None:
    """Write a set of random patches of a picture with natural statistics."""
    rng = np.random.default_rng(0)
    picture = natural_picture(1080, 1920, rng)
    groups = [ROWS_PER_GROUP] * (num_rows // ROWS_PER_GROUP)
    shards = [groups[at : at + GROUPS_PER_SHARD] for at in range(0, len(groups), GROUPS_PER_SHARD)]
    summaries = []
    for number, sizes in enumerate(shards):
        path = set_dir / DATA_DIR / shard_name("train", number, len(shards))
        with ShardWriter(path) as writer:
            for place, size in enumerate(sizes):
                clip = f"clip{number * GROUPS_PER_SHARD + place:05d}"
                writer.write_group([patch(picture, clip, row, rng) for row in range(size)])
        summaries.append(writer.summary)
    index = write_index(set_dir, summaries)
    write_set_json(
        set_dir, describe_set(recipe={"id": "benchmark"}, shards=summaries, index=index, inputs=())
    )


def natural_picture(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``(3, height, width)`` uint8 noise whose amplitude falls as 1/f, as that of photographs."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0
    spectrum = rng.normal(size=(3, *frequency.shape)) + 1j * rng.normal(size=(3, *frequency.shape))
    planes = np.fft.irfft2(spectrum / frequency, s=(height, width))
    planes = (planes - planes.mean()) / planes.std() * 48 + 128
    return planes.clip(0, 255).astype(np.uint8)


def patch(picture: np.ndarray, clip: str, row: int, rng: np.random.Generator) -> Row:
    """Cut one patch pair; LR is every third HR sample, since only its bytes matter here."""
    size = LR_SIZE * SCALE
    top = int(rng.integers((picture.shape[1] - size) // SCALE))
    left = int(rng.integers((picture.shape[2] - size) // SCALE))
    hr = picture[:, top * SCALE : top * SCALE + size, left * SCALE : left * SCALE + size]
    return Row(
        sample_id=f"benchmark/{clip}/{row:06d}",
        source="benchmark",
        clip=clip,
        split="train",
        row=row,
        frame_indices=(row,),
        pts=(row,),
        time_base="1/25",
        top=top,
        left=left,
        scale=SCALE,
        color="rgb",
        bit_depth=8,
        matrix="rgb",
        matrix_from="declared",
        range="full",
        range_from="declared",
        transfer="iec61966-2-1",
        transfer_from="declared",
        siting="none",
        siting_from="declared",
        degradation='{"kind": "subsample"}',
        lr=hr[:, ::SCALE, ::SCALE],
        hr=hr,
    )


if __name__ == "__main__":
    main()
