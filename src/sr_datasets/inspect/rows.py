"""Single rows of a set: where they lie, what they say of themselves."""

import json
from pathlib import Path
from typing import Any

from sr_datasets.errors import ShardError
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.sets import DATA_DIR, ShardInfo, read_set


def describe_row(path: Path, number: int, *, split: str | None = None) -> dict[str, Any]:
    """Return everything that a row says of itself, without its pixels.

    Args:
        path: Folder of a set.
        number: The row's place in the order of ``PairDataset``: shard name, group, row.
        split: Count the rows of this split only.

    Raises:
        ShardError: There is no such row or split, or its shard is damaged.
    """
    shard, row = locate_row(path, number, split=split)
    facts = ShardReader(path / DATA_DIR / shard.name).row(row)
    degradation = facts.pop("degradation")
    return {"shard": shard.name, **facts, "degradation": json.loads(degradation)}


def locate_row(path: Path, number: int, *, split: str | None = None) -> tuple[ShardInfo, int]:
    """Return the shard that holds a row of the set, and the row's number inside it.

    Raises:
        ShardError: There is no such row or split.
    """
    info = read_set(path)
    if split is not None and split not in info.splits:
        raise ShardError(f"{path} has no split {split!r}; it has {', '.join(info.splits)}.")
    shards = [shard for shard in info.shards if split in (None, shard.split)]
    total = sum(shard.rows for shard in shards)
    if not 0 <= number < total:
        raise ShardError(
            f"{path} has {total} rows{f' in {split}' if split else ''}, so there is no row {number}."
        )
    for shard in shards:
        if number < shard.rows:
            return shard, number
        number -= shard.rows
    raise AssertionError("the row counts were just summed up")
