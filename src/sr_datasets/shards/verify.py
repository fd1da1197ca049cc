"""Proves a shard or a whole set: every byte against what was written, and where it differs."""

import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from sr_datasets.errors import ShardError
from sr_datasets.files import sha256_of
from sr_datasets.shards.damage import check_container, first_difference, place_of_change, region_of
from sr_datasets.shards.reader import ShardReader, small_parquet, summarize_shard
from sr_datasets.shards.schema import group_digest, pixel_bytes, set_digest, shard_digest
from sr_datasets.shards.sets import (
    DATA_DIR,
    INDEX_NAME,
    SET_NAME,
    SetInfo,
    ShardInfo,
    index_tables,
    is_as_written,
    read_set,
    write_index_file,
)

_MOST_LISTED = 10


def verify_set(set_dir: Path) -> list[str]:
    """Prove a whole set: its description, every shard, the index, and that nothing is missing or too much.

    Returns:
        One sentence for each problem, with file, row group, column and rows where it lies in one; empty when there is
        none.

    Raises:
        ShardError: The folder is not a finished set, or its description cannot be read.
    """
    info = read_set(set_dir)
    problems = []
    trusted = is_as_written(set_dir)
    if not trusted:
        problems.append(f"{set_dir / SET_NAME}: altered: it has not the SHA-256 that it says it has")
    known = {shard.name for shard in info.shards}
    for path in sorted((set_dir / DATA_DIR).glob("*.parquet")):
        if path.name not in known:
            problems.append(f"{path}: {SET_NAME} does not know this file: move it out of {DATA_DIR}/")
    damaged: list[str] = []
    for shard in info.shards:
        path = set_dir / DATA_DIR / shard.name
        damaged += verify_shard(path, shard if trusted else None)
        if not trusted and not damaged:
            problems += _other_line(set_dir, shard)
    problems += damaged
    problems += _verify_index(set_dir, info, trusted=trusted)
    if not trusted and not damaged:
        problems += _other_recipes(set_dir, info)
    if not problems:
        summaries = [summarize_shard(set_dir / DATA_DIR / shard.name) for shard in info.shards]
        if set_digest((shard.split, shard.group_digests) for shard in summaries) != info.content_digest:
            problems.append(f"{set_dir / SET_NAME}: its content digest is not that of its shards")
        problems += _other_recipes(set_dir, info)
        problems += _other_lines_of_index(set_dir, info)
    if sum(shard.rows for shard in info.shards) != info.rows:
        problems.append(f"{set_dir / SET_NAME}: {info.rows} rows, its shards have another sum")
    return problems


def require_whole(set_dir: Path) -> SetInfo:
    """Prove a whole set and return its description.

    Raises:
        ShardError: The folder is not a finished set, or is damaged; the message names each file with what is wrong.
    """
    if problems := verify_set(set_dir):
        raise damage_error(str(set_dir), problems)
    return read_set(set_dir)


def damage_error(shown: str, problems: Sequence[str]) -> ShardError:
    """Return the error of a set of which something is wrong."""
    more = f"\n  and {len(problems) - _MOST_LISTED} more" if len(problems) > _MOST_LISTED else ""
    listed = "\n  ".join(problems[:_MOST_LISTED])
    return ShardError(
        f"{shown} is damaged:\n  {listed}{more}\nRun the same sr-data build-pairs again, or copy these files again."
    )


def _other_line(set_dir: Path, said: ShardInfo) -> list[str]:
    """Say where a description that was altered differs from a shard that is whole."""
    found = summarize_shard(set_dir / DATA_DIR / said.name)
    return [
        f"{set_dir / SET_NAME}: {name} of {said.name} is {getattr(said, name)}, the file has {getattr(found, name)}"
        for name in ShardInfo.model_fields
        if getattr(found, name) != getattr(said, name)
    ]


def _other_recipes(set_dir: Path, info: SetInfo) -> list[str]:
    """Hold the description's recipe against the one that each shard carries in its metadata."""
    for shard in info.shards:
        reader = ShardReader(set_dir / DATA_DIR / shard.name)
        said = reader.metadata.get("recipe")
        reader.close()
        if said is not None and json.loads(said) != info.recipe:
            return [f"{set_dir / SET_NAME}: its recipe is not the one that {shard.name} was built from"]
    return []


def _verify_index(set_dir: Path, info: SetInfo, *, trusted: bool) -> list[str]:
    path, expected = set_dir / INDEX_NAME, info.index
    if not path.is_file():
        return [f"{path}: the file is missing"]
    if path.stat().st_size == expected.size_bytes and sha256_of(path) == expected.sha256:
        return []
    found = check_container(path, expected.sha256) if path.stat().st_size else []
    if not trusted and not found:
        return [f"{set_dir / SET_NAME}: what it says of {INDEX_NAME} is not that file"]
    if path.stat().st_size == expected.size_bytes:
        with tempfile.TemporaryDirectory(prefix="sr-data-") as folder, suppress(ShardError):
            again = Path(folder) / INDEX_NAME
            write_index_file(again, set_dir, info.shards)
            if sha256_of(again) == expected.sha256 and (at := first_difference(path, again)) is not None:
                found = [*found, f"{path}: byte {at}, in {region_of(again, at)}"]
    return [f"{path}: altered: not the {expected.size_bytes} bytes with SHA-256 {expected.sha256}", *found]


def _other_lines_of_index(set_dir: Path, info: SetInfo) -> list[str]:
    """Hold each line of the index against the row that it stands for."""
    with small_parquet(set_dir / INDEX_NAME) as file:
        groups = (file.read_row_group(group, use_threads=False) for group in range(file.num_row_groups))
        waiting: pa.Table | None = None
        for shard, table in zip(
            sorted(info.shards, key=lambda shard: shard.name), index_tables(set_dir, info.shards), strict=True
        ):
            while waiting is None or len(waiting) < len(table):
                following = next(groups, None)
                if following is None:
                    break
                waiting = following if waiting is None else pa.concat_tables([waiting, following])
            lines = None if waiting is None else waiting.slice(0, len(table))
            if len(table) and (lines is None or not lines.equals(table.select(lines.column_names))):
                return [f"{set_dir / INDEX_NAME}: its lines of {shard.name} are not the rows of that shard"]
            waiting = None if waiting is None else waiting.slice(len(table))
        if (waiting is not None and len(waiting)) or next(groups, None) is not None:
            return [f"{set_dir / INDEX_NAME}: it has lines of no shard"]
    return []


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
    if problems and (
        found := check_container(path, expected.sha256 if expected is not None else None)
        if path.stat().st_size
        else []
    ):
        return problems + found
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
    if problems and not inside and expected is not None:
        inside = [f"{path}: {place_of_change(path, expected.sha256)}"]
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
