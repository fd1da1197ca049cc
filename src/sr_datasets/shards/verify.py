"""Proves a shard or a whole set: every byte against what was written, and where it differs."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sr_datasets.errors import ShardError
from sr_datasets.files import sha256_of
from sr_datasets.shards.reader import ShardReader, summarize_shard
from sr_datasets.shards.schema import group_digest, pixel_bytes, set_digest, shard_digest
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, SET_NAME, FileInfo, SetInfo, ShardInfo, read_set


def verify_set(set_dir: Path) -> list[str]:
    """Prove a whole set: every shard, the index, and that nothing is missing or too much.

    Returns:
        One sentence for each problem; empty when there is none.

    Raises:
        ShardError: The folder is not a finished set.
    """
    info = read_set(set_dir)
    problems = []
    known = {shard.name for shard in info.shards}
    for path in sorted((set_dir / DATA_DIR).glob("*.parquet")):
        if path.name not in known:
            problems.append(f"{path}: {SET_NAME} does not know this file: move it out of {DATA_DIR}/")
    for shard in info.shards:
        problems += verify_shard(set_dir / DATA_DIR / shard.name, shard)
    problems += _verify_index(set_dir / INDEX_NAME, info.index, info.rows)
    if not problems:
        summaries = [summarize_shard(set_dir / DATA_DIR / shard.name) for shard in info.shards]
        if set_digest((shard.split, shard.group_digests) for shard in summaries) != info.content_digest:
            problems.append(f"{set_dir / SET_NAME}: its content digest is not that of its shards")
        problems += _other_recipes(set_dir, info)
    if sum(shard.rows for shard in info.shards) != info.rows:
        problems.append(f"{set_dir / SET_NAME}: {info.rows} rows, its shards have another sum")
    return problems


def _other_recipes(set_dir: Path, info: SetInfo) -> list[str]:
    """Hold the description's recipe against the one that each shard carries in its metadata."""
    for shard in info.shards:
        reader = ShardReader(set_dir / DATA_DIR / shard.name)
        said = reader.metadata.get("recipe")
        reader.close()
        if said is not None and json.loads(said) != info.recipe:
            return [f"{set_dir / SET_NAME}: its recipe is not the one that {shard.name} was built from"]
    return []


def _verify_index(path: Path, expected: FileInfo, rows: int) -> list[str]:
    if not path.is_file():
        return [f"{path}: the file is missing"]
    if path.stat().st_size != expected.size_bytes or sha256_of(path) != expected.sha256:
        return [f"{path}: altered: not the {expected.size_bytes} bytes with SHA-256 {expected.sha256}"]
    try:
        found = pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        return [f"{path}: not a whole Parquet file: {error}"]
    return [] if found == rows else [f"{path}: {found} rows, the shards have {rows}"]


def verify_shard(path: Path, expected: ShardInfo | None = None) -> list[str]:
    """Read a whole shard and name everything that is wrong with it, and where.

    Args:
        path: The shard.
        expected: What ``sr-data.json`` says of it; without it, the shard is held against itself.

    Returns:
        One sentence for each problem; empty when there is none.
    """
    if not path.is_file():
        return [f"{path}: the file is missing"]
    problems = _verify_outside(path, expected) if expected is not None else []
    reader = ShardReader(path)
    try:
        inside = _verify_inside(reader, expected)
    except ShardError as error:
        inside = [str(error)]
    except (ArithmeticError, LookupError, MemoryError, OSError, ValueError, pa.ArrowException) as error:
        # A footer with a flipped bit can claim anything; what it claims is no bug of the reader.
        inside = [f"{path}: its footer contradicts its pages ({type(error).__name__}: {error})"]
    finally:
        reader.close()
    if problems and not inside:
        inside = [
            f"{path}: every page and digest is right: the change lies outside the pages, in a page header, "
            "the page index or the footer"
        ]
    return problems + inside


def _verify_outside(path: Path, expected: ShardInfo) -> list[str]:
    size = path.stat().st_size
    if size < expected.size_bytes:
        missing = expected.size_bytes - size
        return [f"{path}: truncated: {size} of {expected.size_bytes} bytes, the last {missing} are missing"]
    if size > expected.size_bytes:
        return [f"{path}: altered: {size} bytes, {size - expected.size_bytes} more than when it was written"]
    if (found := sha256_of(path)) != expected.sha256:
        return [f"{path}: altered: its SHA-256 is {found}, when it was written {expected.sha256}"]
    return []


def _verify_inside(reader: ShardReader, expected: ShardInfo | None) -> list[str]:
    path = reader.path
    problems = []
    if expected is not None and reader.num_rows != expected.rows:
        problems.append(f"{path}: {reader.num_rows} rows, {expected.rows} when it was written")
    if expected is not None and reader.num_groups != expected.groups:
        problems.append(f"{path}: {reader.num_groups} row groups, {expected.groups} when it was written")
    digests: list[str | None] = [None] * reader.num_groups
    metadata = reader.metadata
    if "group_digests" in metadata:
        try:
            digests = json.loads(metadata["group_digests"])
            content = shard_digest(str(digest) for digest in digests)
        except (ValueError, TypeError):
            problems.append(f"{path}: footer: the group digests are altered")
            content, digests = "", [None] * reader.num_groups
        if content and content != metadata.get("content_digest"):
            problems.append(f"{path}: footer: the content digest does not go with the group digests")
        elif content and expected is not None and content != expected.content_digest:
            problems.append(
                f"{path}: content digest {content}, when it was written {expected.content_digest}"
            )
        if len(digests) != reader.num_groups:
            problems.append(
                f"{path}: footer: {len(digests)} group digests for {reader.num_groups} row groups"
            )
            digests = [None] * reader.num_groups
    for number, digest in enumerate(digests):
        problems += verify_group(reader, number, digest)
    return problems


def verify_group(reader: ShardReader, number: int, digest: str | None) -> list[str]:
    """Read a row group and name what is wrong with it: pages, lengths, content.

    Args:
        reader: Its shard.
        number: Its number.
        digest: Content digest that it had when it was written, if that is known.

    Returns:
        One sentence for each problem; empty when there is none.
    """
    first, count = reader.rows_of(number)
    if not count:
        return []
    where = f"{reader.path}: row group {number} (rows {first} to {first + count - 1})"
    problems = []
    columns: dict[str, pa.ChunkedArray] = {}
    for name in reader.column_names:
        try:
            columns[name] = reader.read_columns(number, [name]).column(name)
        except ShardError as error:
            start, end = reader.span_of(number, name)
            problems.append(f"{where}, column {name}, within bytes {start} to {end}: {error.__cause__}")
    if problems:
        return problems
    try:
        shape = reader.shape(number)
        values = [tuple(map(pixel_bytes, reader.pixels(first + row))) for row in range(count)]
    except ShardError as error:
        return [str(error)]
    if digest is None or not {"sample_id", "drawn"} <= columns.keys():
        return []
    ids, drawn = columns["sample_id"].to_pylist(), columns["drawn"].to_pylist()
    rows = ((ids[row], drawn[row], *values[row]) for row in range(count))
    if (found := group_digest(rows, shape)) != digest:
        return [f"{where}, from {ids[0]}: its content has digest {found}, when it was written {digest}"]
    return []
