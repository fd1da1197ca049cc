"""Single rows of a set: where they lie, what they say of themselves."""

import json
from typing import Any

import pyarrow as pa

from sr_datasets.errors import ShardError, nearest_names
from sr_datasets.shards.reader import small_parquet
from sr_datasets.shards.schema import with_later_columns
from sr_datasets.shards.setplace import SetPlace, folder_of, shard_reader
from sr_datasets.shards.sets import INDEX_NAME, ShardInfo, read_set


def read_index(path: SetPlace) -> pa.Table:
    """Return every row of a set without its pixels: the columns of ``index.parquet``, in its order.

    Raises:
        ShardError: The index cannot be read.
    """
    index = folder_of(path) / INDEX_NAME
    try:
        with small_parquet(index) as file:
            return with_later_columns(file.read(use_threads=False))
    except (OSError, pa.ArrowException) as error:
        raise ShardError(
            f"{index} cannot be read: {error}. Copy it again, or run the same sr-data build-pairs command again."
        ) from error


def describe_row(path: SetPlace, number: int, *, split: str | None = None) -> dict[str, Any]:
    """Return everything that a row says of itself, without its pixels.

    Args:
        path: Where the set lies.
        number: The row's place in the order of ``PairDataset``: shard name, group, row.
        split: Count the rows of this split only.

    Raises:
        ShardError: There is no such row or split, or its shard is damaged.
    """
    shard, row = locate_row(path, number, split=split)
    reader = shard_reader(path, shard.name)
    try:
        facts = reader.row(row)
    finally:
        reader.close()
    degradation = facts.pop("degradation")
    return {"shard": shard.name, **facts, "degradation": json.loads(degradation)}


def locate_row(path: SetPlace, number: int, *, split: str | None = None) -> tuple[ShardInfo, int]:
    """Return the shard that holds a row of the set, and the row's number inside it.

    Raises:
        ShardError: There is no such row or split.
    """
    info = read_set(folder_of(path))
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


def number_of_row(path: SetPlace, name: str, *, split: str | None = None) -> int:
    """Return the number of a row by its number or its id, in the order of ``PairDataset``.

    Args:
        path: Where the set lies.
        name: A number, such as ``7``, or a ``sample_id``, such as ``xiph/akiyo_cif/000012``.
        split: Count the rows of this split only.

    Raises:
        ShardError: There is no such row; the message has the nearest ids.
    """
    if name.isdecimal():
        return int(name)
    index = read_index(path)
    ids, splits = index.column("sample_id").to_pylist(), index.column("split").to_pylist()
    own = [sample for sample, found in zip(ids, splits, strict=True) if split in (None, found)]
    if name not in own:
        where = f" in {split}" if split else ""
        raise ShardError(f"{path} has no row {name!r}{where}.{nearest_names(name, own)}")
    return own.index(name)
