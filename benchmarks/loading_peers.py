"""Shuffled epochs of patch pairs: ``PairDataset`` against the storages and loaders that people use.

    pip install -e '.[torch,bench]'
    python benchmarks/loading_peers.py [--data DATA] [--rows 12288] [--rounds 5] [--only NAME ...]

LR 32x32x3 and HR 96x96x3 uint8, batches of 64, page cache warm. DATA is the folder of real test material (its T91 and
Set5 are cut up); without it, a picture with a 1/f spectrum is. First one process, then the ``DataLoader`` with workers,
pinned where there is a GPU. Each round runs all of them in turn, so that a busy moment of the machine hits all; the
figure is the median of the rounds. Before, one epoch of each is summed up and compared with what was written. What is
not installed is named in the output.
"""

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import stored
import torch
from peers.base import Batch, Peer
from peers.local import BasicSr, Lmdb, Ours, OursOneByOne, PngFiles, RamSelect, RamTensor
from peers.pixels import SAMPLE_BYTES, iter_pairs, pictures_of
from peers.streams import HuggingFace, LitData, Mds, WebDataset

BATCH = 64
PEERS: tuple[type[Peer], ...] = (
    Ours,
    OursOneByOne,
    RamSelect,
    RamTensor,
    Lmdb,
    LitData,
    Mds,
    HuggingFace,
    WebDataset,
    BasicSr,
    PngFiles,
)
Rates = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = os.environ.get("SR_TEST_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--rows", type=int, default=12288)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="torch.set_num_threads, for the RAM tensors")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="parts of names, such as lmdb litdata"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    stored.save_option(parser, "loading_peers")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pictures, what = pictures_of(options.data)
    with tempfile.TemporaryDirectory(prefix="loading-peers-") as folder:
        peers, missing = write_all(chosen(options.only), Path(folder), pictures, options.rows)
        alone = measure_alone(peers, options.rounds)
        loaded = measure_loaders(peers, options.rounds, options.workers)
    if options.json:
        print(json.dumps({"missing": missing, "one process": alone, "workers": loaded}, indent=1))
        return
    print(
        f"torch {torch.__version__}, {options.threads} thread(s), {options.rows} rows of {what}, batch {BATCH}"
    )
    for name, why in missing.items():
        print(f"MISSING: {name}: {why}")
    print_table("One process", alone)
    pinned = "pinned" if torch.cuda.is_available() else "not pinned: no GPU"
    print_table(f"DataLoader, {options.workers} workers ({pinned})", loaded)
    for peer in peers:
        print(f"- {peer.name} ({peer.version()}): {peer.settings}")
    heads = ["samples/s", "MB/s", "`ds[list]` / it"]
    rows: stored.Table = [
        ["", f"one process, {heads[0]}", *heads[1:], f"{options.workers} workers, {heads[0]}", *heads[1:]]
    ]
    for name in [*alone, *(name for name in loaded if name not in alone)]:
        rows.append([name, *_cells(alone, name), *_cells(loaded, name)])
    stored.save(
        options.save,
        {"rates": rows},
        conditions=f"{what} cut into LR 32x32x3 and HR 96x96x3 uint8, batch {BATCH}, page cache warm, {options.threads} torch "
        f"thread(s), {pinned}; every figure of a column is of one run, rounds in turn, medians of {options.rounds}; torch "
        f"{torch.__version__}, " + ", ".join(f"{peer.name} {peer.version()}" for peer in peers),
    )


def _cells(rates: Rates, name: str) -> list[str]:
    if name not in rates:
        return ["", "", ""]
    rate = rates[name]
    return [f"{rate:,.0f}", f"{rate * SAMPLE_BYTES / 1e6:,.0f}", f"{next(iter(rates.values())) / rate:.2f}"]


def chosen(only: Sequence[str]) -> list[type[Peer]]:
    """Return our own ways and the peers whose names hold one of the words; all without words."""
    return [
        peer
        for peer in PEERS
        if issubclass(peer, Ours) or not only or any(word.lower() in peer.name.lower() for word in only)
    ]


def write_all(
    kinds: Sequence[type[Peer]], folder: Path, pictures: Sequence[np.ndarray], rows: int
) -> tuple[list[Peer], dict[str, str]]:
    """Write the same pairs into each storage; return them, and why others cannot run here."""
    peers: list[Peer] = []
    missing: dict[str, str] = {}
    for kind in kinds:
        if (why := kind.missing()) is not None:
            missing[kind.name] = why
            continue
        made = [peer for peer in peers if type(peer) in kind.__mro__]
        peer = kind(made[0].folder if made else folder / kind.__name__, rows)
        if not made:
            peer.folder.mkdir()
            peer.write(iter_pairs(pictures, rows))
        elif isinstance(peer, RamTensor):
            peer.write(iter_pairs(pictures, rows))
        peers.append(peer)
    return peers, missing


def measure_alone(peers: Sequence[Peer], rounds: int) -> Rates:
    """Return samples per second of a shuffled epoch in one process."""
    ways = [(peer, Epochs(peer)) for peer in peers]
    return measure(ways, rounds)


class Epochs:
    """Shuffled epochs in one process, each in another order."""

    def __init__(self, peer: Peer) -> None:
        self._peer, self._epoch = peer, 0

    def __iter__(self) -> Iterator[Batch]:
        order = np.random.default_rng(self._epoch).permutation(self._peer.num_rows)
        self._epoch += 1
        return iter(self._peer.batches(order, BATCH))


def measure_loaders(peers: Sequence[Peer], rounds: int, workers: int) -> Rates:
    """Return samples per second of a shuffled epoch through each peer's loader; its workers live on between rounds."""
    pin = torch.cuda.is_available()
    ways: list[tuple[Peer, Iterable[Batch]]] = []
    for peer in peers:
        peer.close()
        ways.append((peer, peer.loader(BATCH, workers, pin=pin)))
    rates = measure(ways, rounds)
    ways.clear()
    gc.collect()  # ends the workers before their files go
    return rates


def measure(ways: Sequence[tuple[Peer, Iterable[Batch]]], rounds: int) -> Rates:
    """Run all ways in turn, a round more than is counted; the first one is checked."""
    truth = None
    times: dict[str, list[float]] = {peer.name: [] for peer, _ in ways}
    for peer, way in ways:
        found = summed(way)
        truth = truth or found
        if found != truth:
            raise SystemExit(f"{peer.name} handed out {found} (rows, sums), the first one {truth}")
    for _ in range(rounds):
        for peer, way in ways:
            start = time.perf_counter()
            for _ in way:
                pass
            times[peer.name].append(time.perf_counter() - start)
    return {peer.name: peer.num_rows / statistics.median(times[peer.name]) for peer, _ in ways}


def summed(batches: Iterable[Batch]) -> tuple[int, int, int]:
    """Return how many samples an epoch has, and the sums of LR and HR, which no order changes."""
    rows, sums = 0, [0, 0]
    for batch in batches:
        lr, hr = batch["lr"], batch["hr"]
        rows += len(hr) if hr.ndim == 4 else 1
        sums[0] += int(lr.sum(dtype=torch.int64))
        sums[1] += int(hr.sum(dtype=torch.int64))
    return rows, sums[0], sums[1]


def print_table(title: str, rates: Rates) -> None:
    """Print rates, and how many times as fast the first one is."""
    ours = next(iter(rates.values()))
    print(f"\n| {title} | samples/s | MB/s | `ds[list]` is faster by |\n|---|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate * SAMPLE_BYTES / 1e6:,.0f} | {ours / rate:.2f} |")


if __name__ == "__main__":
    main()
