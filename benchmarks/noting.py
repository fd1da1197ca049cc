"""Measure what it takes to note a clip in a data folder, by how many clips it has already.

    python benchmarks/noting.py
    python benchmarks/noting.py --counts 1000 10000 100000 --save

For each number of clips, in a process of its own: 200 clips are noted in a batch, as a fetch does (each is on the disk before
the next one: ``sr-data.lock.journal``); before that three by themselves, which writes the whole list for each, as every put
did once. Then what a command does at its begin and end: read the list, and write it. The same for the ledger of YouTube's
videos. Records are made up, with names, addresses and attributions as long as those of videos of YouTube.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import stored
from costs import child

LISTS = {"lock": "sr-data.lock", "ledger": "availability.parquet"}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--work", type=Path, help="Folder on the disk to measure.")
    stored.save_option(options, "noting")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="noting-", dir=given.work) as folder:
        found = {count: child(do="records", count=count, work=folder) for count in given.counts}
    tables = {name: table_of({count: one[name] for count, one in found.items()}) for name in LISTS}
    for name, rows in tables.items():
        print(LISTS[name], *stored.markdown_rows(rows), sep="\n")
    stored.save(given.save, tables, conditions="each noted clip is synced to the disk (ext4)")


def table_of(found: dict[int, dict[str, Any]]) -> stored.Table:
    """Return one list's figures, a row for each number of clips."""
    rows: stored.Table = [
        ["clips there", "noted in a batch, us", "of it processor", "noted by itself, us", "times", "read, us a clip", "write, us a clip", "memory, bytes a clip"]
    ]  # fmt: skip
    for count, one in found.items():
        batch, alone = one["put"] * 1e6, one["alone"] * 1e6
        rows.append(
            [count, round(batch), round(one["processor"] * 1e6), round(alone), f"{alone / batch:,.1f}"]
            + [f"{one[what] * 1e6:.1f}" for what in ("read", "write")]
            + [round(one["memory"] / 10) * 10 if count >= 100_000 else ""]
        )
    return rows


if __name__ == "__main__":
    main()
