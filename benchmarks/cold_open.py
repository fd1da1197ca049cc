"""Cold open: a set of 1000 shards, page cache dropped, up to the first sample, in a process of its own.

    pip install -e '.[torch]'
    python benchmarks/cold_open.py [--shards 1000] [--rounds 5]

Prints the seconds of ``PairDataset(path)`` and of the first ``ds[i]`` (imports come before, and are given too), the
files of the set that were opened, by an audit hook and by what is mapped, and the bytes that came from the disk for
the process (``/proc/self/io``). Dropped is what the set's own files have in the page cache, with ``posix_fadvise``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import stored

ROWS_PER_GROUP = 30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=2, help="row groups of 30 patch pairs in a shard")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; the system's place for temporary files")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    stored.save_option(parser, "cold_open")
    options = parser.parse_args()
    if options.once is not None:
        print(json.dumps(open_once(options.once)))
        return
    with tempfile.TemporaryDirectory(prefix="cold-open-", dir=options.folder) as folder:
        set_dir = Path(folder)
        write_many_shards(set_dir, options.shards, options.groups)
        size = sum(path.stat().st_size for path in set_dir.rglob("*") if path.is_file())
        found = []
        for _ in range(options.rounds):
            drop_cached(set_dir)
            command = [sys.executable, __file__, "--once", str(set_dir)]
            found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        index = {name: (set_dir / name).stat().st_size for name in ("index.parquet", "sr-data.json")}
    rows = options.shards * options.groups * ROWS_PER_GROUP
    print(
        f"{options.shards} shards, {rows} rows, {size / 1e6:.0f} MB; {index} bytes; {options.rounds} rounds"
    )
    for name in ("import", "open", "first sample", "open and first sample"):
        seconds = [one[name] for one in found]
        print(f"{name:24}median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s")
    print(f"bytes from the disk: {statistics.median(one['read_bytes'] for one in found) / 1e6:.2f} MB")
    print("opened of the set:", ", ".join(found[-1]["opened"]))
    print("mapped of the set:", ", ".join(found[-1]["mapped"]))
    middle = {
        name: statistics.median(one[name] for one in found)
        for name in found[0]
        if name not in ("opened", "mapped")
    }
    worst = max(one["open and first sample"] for one in found)
    seconds: stored.Table = [
        [
            f"{options.shards} shards, {rows:,} rows, {size / 1e6:.0f} MB, caches of the set dropped",
            "seconds",
        ],
        ["`PairDataset(path)`", f"{middle['open']:.3f}"],
        ["the first sample", f"{middle['first sample']:.3f}"],
        ["together", f"{middle['open and first sample']:.2f} (worst {worst:.2f})"],
    ]
    came: stored.Table = [["came from the disk", "MB"]]
    came += [[f"`{name}`", f"{index[name] / 1e6:.2f}"] for name in ("sr-data.json", "index.parquet")]
    came.append(["all, with footer and row of one shard", f"{middle['read_bytes'] / 1e6:.1f}"])
    stored.save(
        options.save, {"seconds": seconds, "bytes": came}, conditions=f"medians of {options.rounds} rounds"
    )


def open_once(set_dir: Path) -> dict[str, object]:
    """Open the set in this process, and return what that took."""
    start = time.perf_counter()
    from sr_datasets import PairDataset

    imported = time.perf_counter()
    opened: list[str] = []

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "open" and str(args[0]).startswith(str(set_dir)):
            opened.append(str(Path(str(args[0])).relative_to(set_dir)))

    sys.addaudithook(hook)
    before, begin = bytes_read(), time.perf_counter()
    ds = PairDataset(set_dir)
    there = time.perf_counter()
    ds[len(ds) // 2]
    end = time.perf_counter()
    maps = Path("/proc/self/maps").read_text().splitlines()
    return {
        "import": imported - start,
        "open": there - begin,
        "first sample": end - there,
        "open and first sample": end - begin,
        "read_bytes": bytes_read() - before,
        "opened": sorted(set(opened)),
        "mapped": sorted({Path(line.split()[-1]).name for line in maps if str(set_dir) in line}),
    }


def bytes_read() -> int:
    """Return how many bytes the system fetched from disks for this process."""
    text = Path("/proc/self/io").read_text()
    return int(text.split("read_bytes: ")[1].split()[0])


def drop_cached(folder: Path) -> None:
    """Let the system forget what it keeps of a folder's files."""
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)


def write_many_shards(set_dir: Path, shards: int, groups: int) -> None:
    """Write a set of many small shards."""
    from peers.pixels import iter_pairs, write_shards
    from random_access import natural_picture

    count = shards * groups * ROWS_PER_GROUP
    picture = natural_picture(1080, 1920, np.random.default_rng(0))
    write_shards(set_dir, iter_pairs([picture], count), count, groups_per_shard=groups)


if __name__ == "__main__":
    main()
