"""A set four times larger than memory: ``block=`` order against the orders that users of other storages have there.

    pip install -e '.[torch,bench]'
    python benchmarks/loading_larger.py --cgroup DIR [--limit-mb 512] [--seconds 20] [--data DATA] [--only NAME ...]

DIR is a memory control group made beforehand, with a limit of ``--limit-mb`` (of version 2, ``memory.max``; of version 1,
``memory.limit_in_bytes``): the process that reads enters it, so that the page cache of what it reads is limited too.
Without one, caches are dropped and nothing is limited. The set has four times the limit. Of each storage: it is written,
its files are dropped from the page cache (``posix_fadvise``), one process reads batches of 64 for an epoch or for
``--seconds``, and it is deleted. Bytes read are those that came from the disk for the process (``/proc/self/io``), bytes
used the pixels of the samples: PNG has fewer bytes than pixels.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stored
from cold_open import bytes_read, drop_cached

TIMES_LARGER = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = os.environ.get("SR_TEST_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--cgroup", type=Path, help="memory control group of the process that reads")
    parser.add_argument("--limit-mb", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--folder", type=Path, help="where to write; the system's place for temporary files")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    stored.save_option(parser, "loading_larger")
    options = parser.parse_args()
    if options.once is not None:
        read(options.once, options.folder, options.limit_mb, options.seconds, options.cgroup)
        return
    limit = f"{options.limit_mb} MB" if options.cgroup else "no limit"
    print(f"{rows_of(options.limit_mb)} rows; memory of the reading process: {limit}", flush=True)
    print(
        "| storage | samples/s | MB/s | bytes read over bytes used | `block=` is faster by |\n|---|---|---|---|---|"
    )
    ours = None
    rows: stored.Table = [["", "samples/s", "MB/s", "bytes read over bytes used", "`ds[list]` / it"]]
    for name, why in kinds(options.only):
        if why is not None:
            print(f"MISSING: {name}: {why}", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="loading-larger-", dir=options.folder) as folder:
            write(name, Path(folder), options.limit_mb, options.data)
            drop_cached(Path(folder))
            command = [sys.executable, *sys.argv, "--once", name, "--folder", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"| {name} | ended with {done.returncode} (-9: more memory than there is) |", flush=True)
            rows.append(
                [
                    name,
                    f"ended with {done.returncode}" + " (lack of memory)" * (done.returncode == -9),
                    "",
                    "",
                    "",
                ]
            )
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        ours = ours or found["rate"]
        print(
            f"| {name} | {found['rate']:,.0f} | {found['rate'] * found['sample_bytes'] / 1e6:,.0f} | "
            f"{found['read'] / found['used']:.2f} | {ours / found['rate']:.2f} |",
            flush=True,
        )
        rate = found["rate"]
        shares = [f"{found['read'] / found['used']:.2f}", f"{ours / rate:.2f}"]
        rows.append([name, f"{rate:,.0f}", f"{rate * found['sample_bytes'] / 1e6:,.0f}", *shares])
    stored.save(
        options.save,
        {"rates": rows},
        conditions=f"{TIMES_LARGER * options.limit_mb / 1000:.2f} GB, memory of the reading process: {limit}, caches dropped, "
        "one process; all of one run",
    )


def rows_of(limit_mb: int) -> int:
    """Return how many rows make a set of four times the limit."""
    return TIMES_LARGER * limit_mb * 1_000_000 // (3 * (32**2 + 96**2))


def kinds(only: list[str]) -> list[tuple[str, str | None]]:
    """Return the storages, ours first, each with why it cannot run here."""
    from loading_peers import chosen
    from peers.local import OursOneByOne, RamTensor

    return [
        (kind.name, kind.missing())
        for kind in chosen(only)
        if not issubclass(kind, OursOneByOne | RamTensor)  # a tensor in memory is what does not fit
    ]


def write(name: str, folder: Path, limit_mb: int, data: Path | None) -> None:
    """Write a storage."""
    from loading_peers import PEERS
    from peers.pixels import iter_pairs, pictures_of

    (kind,) = (kind for kind in PEERS if kind.name == name)
    rows = rows_of(limit_mb)
    kind(folder, rows).write(iter_pairs(pictures_of(data)[0], rows))


def read(name: str, folder: Path, limit_mb: int, seconds: float, cgroup: Path | None) -> None:
    """Read an epoch, or as much as fits into the seconds, within the control group."""
    if cgroup is not None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    import torch
    from loading_peers import BATCH, PEERS
    from peers.pixels import SAMPLE_BYTES

    torch.set_num_threads(1)
    (kind,) = (kind for kind in PEERS if kind.name == name)
    peer = kind(folder, rows_of(limit_mb))
    kind.missing()  # imports its modules, whose files are not to be counted
    before, start, count, total = bytes_read(), time.perf_counter(), 0, 0
    for batch in peer.large_batches(BATCH):
        count += len(batch["hr"])
        total += int(batch["hr"][:, 0, 0, 0].sum())
        if time.perf_counter() - start > seconds:
            break
    taken, fetched = time.perf_counter() - start, bytes_read() - before
    used = count * SAMPLE_BYTES
    print(json.dumps({"rate": count / taken, "read": fetched, "used": used, "sample_bytes": SAMPLE_BYTES}))


if __name__ == "__main__":
    main()
