"""Which rows a split has and in which row groups they lie, without a look at any pixel."""

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sr_datasets.errors import ShardError, nearest_names
from sr_datasets.shards.arrays import arrow_numbers
from sr_datasets.shards.reader import ShardReader, small_parquet
from sr_datasets.shards.schema import DICTIONARY_COLUMNS, LATER_COLUMNS, PIXEL_COLUMNS, with_later_columns
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, SET_NAME, read_set

_KIND_COLUMNS = ("source", "clip", "scale", "color", "num_frames", "lr_height", "lr_width", "bit_depth")

DEFAULT_SPLIT = "train"
"""The split of foreign files that name none."""


@dataclass(frozen=True, slots=True, eq=False)
class RowIndex:
    """The rows of a split in order of shard name, row group, row: numbers per row group, none per row."""

    paths: tuple[Path, ...]
    """The shards of the split."""
    shard_of_group: npt.NDArray[np.int32]
    """For each row group its shard's place in ``paths``."""
    rows_of_group: npt.NDArray[np.int32]
    """For each row group how many rows it has."""
    digest: str
    """SHA-256 that tells these rows from those of another set or split: over the set's content digest; of shards
    without a set, over their names and the sizes of their row groups."""


def load_index(path: Path, split: str | None) -> RowIndex:
    """Find the row groups of a split, or of every split (None).

    A finished set is read from ``sr-data.json`` and ``index.parquet`` alone, however many shards it
    has. Of a folder of nothing but shards, or of one shard, the footers are read.

    Raises:
        ShardError: There are no shards, none of that split, the set's build did not finish, or index
            and set contradict each other.
    """
    if (path / SET_NAME).is_file():
        return _of_set(path, split)
    if path.is_file():
        return _of_footers(path, [path], split)
    files = sorted(file for file in path.glob("*.parquet") if file.name != INDEX_NAME)
    if not files:
        read_set(path)  # says what is there instead
    return _of_footers(path, files, split)


def _of_set(set_dir: Path, split: str | None) -> RowIndex:
    info = read_set(set_dir, inputs=False)
    ours = [shard for shard in info.shards if shard.rows and split in (None, shard.split)]
    if not info.splits if split is None else split not in info.splits:
        raise ShardError(_no_such_split(set_dir, split, info.splits))
    shards = sorted(ours, key=lambda shard: shard.name)
    numbers = {shard.name: number for number, shard in enumerate(shards)}
    shard_of_group: list[int] = []
    rows_of_group: list[int] = []
    for name, rows in _groups_of_index(set_dir / INDEX_NAME):
        if name in numbers:
            shard_of_group.append(numbers[name])
            rows_of_group.append(rows)
    index = RowIndex(
        paths=tuple(set_dir / DATA_DIR / shard.name for shard in shards),
        shard_of_group=np.array(shard_of_group, np.int32),
        rows_of_group=np.array(rows_of_group, np.int32),
        digest=_digest("set", info.content_digest, split),
    )
    found = np.bincount(index.shard_of_group, index.rows_of_group, len(shards)).astype(np.int64)
    expected = np.array([shard.rows for shard in shards])
    if (found != expected).any() or (np.diff(index.shard_of_group) < 0).any():
        wrong = shards[int(np.argmax(found != expected))].name
        raise ShardError(
            f"{set_dir / INDEX_NAME} does not go with {SET_NAME} (see {wrong}): "
            "one of them is of another build. Build the set again, or copy both again."
        )
    return index


def kinds_of(set_dir: Path, split: str) -> list[dict[str, Any]]:
    """Return what kinds of patches each clip of a split has, each kind of each clip once.

    Args:
        set_dir: A finished set.
        split: The split.

    Returns:
        ``source``, ``clip``, ``scale``, ``color``, ``num_frames``, ``lr_height``, ``lr_width`` and ``bit_depth``.

    Raises:
        ShardError: The index cannot be read.
    """
    found: dict[tuple[Any, ...], None] = {}
    with _reading(set_dir / INDEX_NAME, also=["split", *_KIND_COLUMNS]) as file:
        for part in range(file.num_row_groups):
            table = file.read_row_group(part, columns=["split", *_KIND_COLUMNS], use_threads=False)
            kinds = table.group_by(["split", *_KIND_COLUMNS], use_threads=False).aggregate([])
            for row in kinds.to_pylist():
                if row["split"] == split:
                    found[tuple(row[name] for name in _KIND_COLUMNS)] = None
    return [dict(zip(_KIND_COLUMNS, values, strict=True)) for values in found]


def fact_names(path: Path, split: str | None) -> tuple[str, ...]:
    """Return the columns that ``read_facts`` can read: all but the pixels, and ``shard`` and ``row_group`` of a set.

    Raises:
        ShardError: As ``load_index``.
    """
    place = path / INDEX_NAME if (path / SET_NAME).is_file() else load_index(path, split).paths[0]
    with _reading(place) as file:
        names = file.schema_arrow.names
    later = [
        name for name, needed in LATER_COLUMNS.items() if name not in names and set(needed) <= set(names)
    ]
    return tuple(name for name in (*names, *later) if name not in PIXEL_COLUMNS)


def read_facts(path: Path, split: str | None, columns: Sequence[str]) -> pa.Table:
    """Read columns of a split's rows, in their order, without a look at any pixel.

    Args:
        path: As ``load_index`` takes it.
        split: The split; None for all.
        columns: Some of ``fact_names``.

    Returns:
        One row per row; texts that repeat as dictionaries.

    Raises:
        ShardError: As ``load_index``; or the index cannot be read.
    """
    index = load_index(path, split)
    parts = []
    if (path / SET_NAME).is_file():
        names = {shard.name for shard in index.paths}
        with _reading(path / INDEX_NAME, columns) as file:
            for part in range(file.num_row_groups):
                table = _columns_of(file, part, ["shard", *columns])
                shard = table.column("shard").combine_chunks()
                ours = np.array([name in names for name in shard.dictionary.to_pylist()], bool)
                rows = np.flatnonzero(ours[np.from_dlpack(shard.indices)])
                parts.append(table.select(list(columns)).take(arrow_numbers(rows)))
    else:
        for shard in index.paths:
            with _reading(shard, columns) as file:
                parts += [
                    _columns_of(file, part, columns).select(list(columns))
                    for part in range(file.num_row_groups)
                ]
    table = pa.concat_tables(
        [part.replace_schema_metadata(None) for part in parts], promote_options="permissive"
    )
    if table.num_rows != index.rows_of_group.sum():
        raise ShardError(
            f"{path}: its index names {table.num_rows} rows of {_named(split)}, its row groups hold "
            f"{index.rows_of_group.sum()}. Copy the set again, or run the same sr-data build-pairs command again."
        )
    return table.unify_dictionaries().combine_chunks()


def _columns_of(file: pq.ParquetFile, group: int, columns: Sequence[str]) -> pa.Table:
    """Return columns of a row group, those with their values of old that the file was written too early for."""
    names = set(file.schema_arrow.names)
    later = [name for name in columns if name not in names and name in LATER_COLUMNS]
    read = [name for name in columns if name in names or name not in LATER_COLUMNS]
    read += sorted({one for name in later for one in LATER_COLUMNS[name]} - set(read))
    if not read:
        read = [file.schema_arrow.names[0]]  # a table without columns would not say how many rows it has
    return with_later_columns(file.read_row_group(group, columns=read, use_threads=False), later)


@contextmanager
def _reading(
    path: Path, columns: Sequence[str] = (), *, also: Sequence[str] = ()
) -> Iterator[pq.ParquetFile]:
    repeated = [name for name in columns if name in DICTIONARY_COLUMNS]
    if path.name == INDEX_NAME:
        repeated.append("shard")
    try:
        if not LATER_COLUMNS.keys().isdisjoint(repeated):
            with pa.OSFile(os.fsencode(path)) as source:
                there = set(pq.read_schema(source).names)
            repeated = [name for name in repeated if name in there]
        read = {*columns, *repeated, *also}.union(*(LATER_COLUMNS.get(name, ()) for name in columns))
        with small_parquet(path, read, read_dictionary=repeated) as file:
            yield file
    except (
        OSError,
        LookupError,
        UnicodeDecodeError,
        pa.ArrowException,
    ) as error:  # LookupError: no such text
        raise ShardError(
            f"{path} cannot be read: {error}. Copy it again, or run the same sr-data build-pairs command again."
        ) from error


def _groups_of_index(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the shard and the number of rows of each row group, in order."""
    with _reading(path, also=["row_group"]) as file:
        last: tuple[str, int] | None = None
        count = 0
        for part in range(file.num_row_groups):
            table = file.read_row_group(part, columns=["shard", "row_group"], use_threads=False)
            for key, rows in _runs(table):
                if key == last:
                    count += rows
                    continue
                if last is not None:
                    yield last[0], count
                last, count = key, rows
        if last is not None:
            yield last[0], count


def _runs(table: pa.Table) -> Iterator[tuple[tuple[str, int], int]]:
    shard = table.column("shard").combine_chunks()
    names = shard.dictionary.to_pylist()
    codes = np.from_dlpack(shard.indices)  # to_numpy() would import pandas
    groups = np.from_dlpack(table.column("row_group").combine_chunks())
    if not len(codes):
        return
    if not 0 <= int(codes.min()) <= int(codes.max()) < len(names):
        raise LookupError("its rows name shards that it does not list")
    starts = np.flatnonzero((np.diff(codes) != 0) | (np.diff(groups) != 0)) + 1
    bounds = [0, *starts.tolist(), len(codes)]
    for first, end in itertools.pairwise(bounds):
        yield (names[codes[first]], int(groups[first])), end - first


def _of_footers(path: Path, files: Sequence[Path], split: str | None) -> RowIndex:
    paths: list[Path] = []
    shard_of_group: list[int] = []
    rows_of_group: list[int] = []
    splits: dict[str, int] = {}
    for file in files:
        reader = ShardReader(file)
        try:
            found = reader.split or DEFAULT_SPLIT
            splits[found] = splits.get(found, 0) + reader.num_rows
            if split in (None, found) and reader.num_rows:
                sizes = [reader.rows_of(group)[1] for group in range(reader.num_groups)]
                shard_of_group += [len(paths)] * len(sizes)
                rows_of_group += sizes
                paths.append(file)
        finally:
            reader.close()
    if not paths:
        raise ShardError(_no_such_split(path, split, {name: rows for name, rows in splits.items() if rows}))
    return RowIndex(
        tuple(paths),
        np.array(shard_of_group, np.int32),
        np.array(rows_of_group, np.int32),
        _digest(
            "shards", *(file.name for file in paths), *map(str, shard_of_group), *map(str, rows_of_group)
        ),
    )


def _digest(*parts: str | None) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _named(split: str | None) -> str:
    return "all splits" if split is None else f"split {split!r}"


def _no_such_split(path: Path, split: str | None, splits: dict[str, int]) -> str:
    if split is None or not splits:
        return f"{path} has no rows at all, so none of {_named(split)}. Build it again from clips that are there."
    listing = ", ".join(f"{name} ({rows} rows)" for name, rows in sorted(splits.items()))
    return f"{path} has no split {split!r}.{nearest_names(split, splits)} It has: {listing}."
