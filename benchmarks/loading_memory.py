"""Memory of a training process and its two workers over three epochs of a set, after one to warm up.

    pip install -e '.[torch]'
    python benchmarks/loading_memory.py [--rows 12000] [--epochs 3] [--workers 2]

After each epoch, and at four places within it, the proportional set size (PSS) and the private memory of the parent and each worker are
read from ``/proc/PID/smaps_rollup``. Mapped shards count in PSS: their pages are the system's to take back, so that
anonymous memory and private memory are given beside. Growth is from the mean of the first counted epoch to that of
the last one.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import stored
import torch
from peers.pixels import iter_pairs, write_shards
from random_access import natural_picture
from torch.utils.data import DataLoader

from sr_datasets import PairDataset, ResumableSampler

FIELDS = {
    "PSS": ("Pss",),
    "private": ("Private_Clean", "Private_Dirty"),
    "anonymous": ("Pss_Anon",),
    "shared": ("Pss_Shmem",),
}
PLACES = 4
"""In an epoch."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=12000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    stored.save_option(parser, "loading_memory")
    options = parser.parse_args()
    if options.write is not None:
        picture = natural_picture(1080, 1920, np.random.default_rng(0))
        write_shards(options.write, iter_pairs([picture], options.rows), options.rows, groups_per_shard=8)
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="loading-memory-") as folder:
        # In a process of its own: what writing leaves behind is not to be measured.
        write = [sys.executable, __file__, "--write", folder, "--rows", str(options.rows)]
        subprocess.run(write, check=True)
        found = report(measure(Path(folder), options.batch, options.epochs, options.workers))
    stored.save(
        options.save,
        {"memory": found},
        conditions=f"{options.workers} workers, {options.epochs} epochs after one to warm up",
    )


def measure(set_dir: Path, batch: int, epochs: int, workers: int) -> list[dict[str, dict[str, float]]]:
    """Return, for each epoch (the first to warm up), the mean memory of each process, MB by kind."""
    ds = PairDataset(set_dir)
    sampler = ResumableSampler(ds, seed=0)  # endless: the workers live through all epochs
    loader = iter(DataLoader(ds, sampler=sampler.batches(batch), batch_size=None, num_workers=workers))
    processes = {"parent": "self"}
    processes |= {f"worker {at}": str(worker.pid) for at, worker in enumerate(loader._workers)}
    places = [(len(ds) // batch) * (at + 1) // PLACES for at in range(PLACES)]
    found = []
    for _ in range(epochs + 1):
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in processes}
        for step in range(1, len(ds) // batch + 1):
            each = next(loader)
            sampler.advance(len(each["lr"]))
            # Every page of the batch is touched, as training does; a sum would make int64 of it all, whose
            # memory torch keeps for a while.
            each["lr"].flatten()[::1024].max(), each["hr"].flatten()[::1024].max()
            if step in places:
                for name, pid in processes.items():
                    seen[name].append(memory_of(pid))
        found.append({name: mean(places_of) for name, places_of in seen.items()})
    del loader
    return found


def memory_of(pid: str) -> dict[str, float]:
    """Return the memory of a process in MB, by kind."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        sizes[name] = int(value.split()[0])
    return {kind: sum(sizes[name] for name in names) / 1000 for kind, names in FIELDS.items()}


def mean(sizes: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each kind."""
    listed = list(sizes)
    return {kind: statistics.fmean(each[kind] for each in listed) for kind in FIELDS}


def report(epochs: list[dict[str, dict[str, float]]]) -> stored.Table:
    """Print and return a table of MB, and the growth from the first counted epoch to the last."""
    print("| process | kind | " + " | ".join(["warm-up", *map(str, range(1, len(epochs)))]) + " | growth |")
    print("|" + "---|" * (len(epochs) + 3))
    found: stored.Table = [["MB after epoch", "warm-up", *map(str, range(1, len(epochs))), "growth"]]
    totals = [{kind: sum(sizes[kind] for sizes in epoch.values()) for kind in FIELDS} for epoch in epochs]
    rows = {name: [epoch[name] for epoch in epochs] for name in epochs[0]} | {"all": totals}
    for name, sizes in rows.items():
        for kind in FIELDS:
            values = [each[kind] for each in sizes]
            growth = values[-1] / values[1] - 1 if values[1] else 0.0
            cells = " | ".join(f"{value:.1f}" for value in values)
            print(f"| {name} | {kind} | {cells} | {growth:+.1%} |")
            found.append([f"{name}, {kind}", *(f"{value:.1f}" for value in values), f"{growth:+.1%}"])
    return found


if __name__ == "__main__":
    main()
