"""Receipts of finished shards, by which jobs that do not know each other learn what is done.

``.parts/<name of the shard>`` lies in the set's place while its build is under way: a small Parquet file with the shard's
lines of the index, and in its metadata what the shard is made of, its hashes, and the clips that it lacks. It is written
after the shard, so that its shard is whole. A build without receipts, or with wrong ones, ends in the same set: shards
without one are verified, or made again.
"""

import json
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sr_datasets.build.cutting import ShardResult, build_shard
from sr_datasets.build.folder import finished
from sr_datasets.build.planning import ShardTask
from sr_datasets.errors import RemoteError, ShardError
from sr_datasets.remotes import Place
from sr_datasets.shards.sets import (
    DATA_DIR,
    INDEX_SCHEMA,
    PARTS_DIR,
    ShardSummary,
    SkippedInput,
    index_tables,
)

_KEY = b"sr-datasets.receipt"
_THREADS = 16
"""Receipts that are read at once from an object store, where each takes a round trip."""


def settle_shard(task: ShardTask, place: Place) -> ShardResult:
    """Make sure that a shard and its receipt are in a place; what is there and right is not made again.

    A shard of another machine is made in a temporary folder here, sent, and read back; it appears there whole or not at
    all.

    Raises:
        StoreError: As ``build_shard``.
        DecodeError: As ``build_shard``.
        RemoteError: The place refuses, is full, or cannot be reached, or alters bytes.
    """
    if place.local is not None:
        result = finished(task) or build_shard(task)
        _write_receipt(task, result, place)
        return result
    with tempfile.TemporaryDirectory(prefix="sr-data-shard-") as made:
        task = replace(task, out_dir=Path(made))
        there = _fetched(task, place)
        result = there or build_shard(task)
        if there is None:
            send_checked(task.path, place, _shard(task), result.summary.sha256)
        _write_receipt(task, result, place)
        return result


def send_checked(source: Path, place: Place, name: str, sha256: str) -> None:
    """Send a file to a place and read it back.

    Raises:
        RemoteError: The place refuses, is full, or cannot be reached, or alters bytes.
    """
    place.send(source, name)
    if place.local is None and place.sha256_of(name) != sha256:
        raise RemoteError(
            f"{place.shown(name)} is not what was sent there: the place, or the way to it, alters bytes. Run the same "
            "command again; if it happens again, choose another place."
        )


def _shard(task: ShardTask) -> str:
    return f"{DATA_DIR}/{task.name}"


def _receipt(name: str) -> str:
    return f"{PARTS_DIR}/{name}"


def _fetched(task: ShardTask, place: Place) -> ShardResult | None:
    """Return what a shard without a receipt is, if it is there and right: of a run that was killed before the receipt."""
    if place.size_of(_shard(task)) is None:
        return None
    task.path.parent.mkdir(parents=True, exist_ok=True)
    with task.path.open("wb") as file:
        for chunk in place.chunks(_shard(task)):
            file.write(chunk)
    return finished(task)


def _write_receipt(task: ShardTask, result: ShardResult, place: Place) -> None:
    (table,) = index_tables(task.out_dir, [result.summary])
    text = json.dumps(
        {
            "plan": task.digest(),
            "summary": result.summary.model_dump(mode="json"),
            "skipped": [clip.model_dump() for clip in result.skipped],
            "seconds": result.seconds,
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({_KEY: text}), sink, compression="zstd")
    place.send(sink.getvalue().to_pybytes(), _receipt(task.name))


def receipts_there(place: Place) -> set[str]:
    """Return the file names of the shards that have a receipt.

    Raises:
        RemoteError: The place cannot be reached or refuses.
    """
    return {name for name in place.sizes(PARTS_DIR) if name.endswith(".parquet")}


def read_receipts(
    tasks: Sequence[ShardTask], place: Place, there: Collection[str], folder: Path
) -> dict[str, ShardResult]:
    """Return what finished shards are, by file name; those without a right receipt are left out.

    Args:
        tasks: The shards.
        place: Where they are.
        there: What ``receipts_there`` returned.
        folder: Receipts of places elsewhere are copied into it, for ``tables_of``.

    Raises:
        RemoteError: The place cannot be reached or refuses.
    """
    sizes = place.sizes(DATA_DIR)

    def _of(task: ShardTask) -> ShardResult | None:
        path = _path(task.name, place, folder)
        try:
            if place.local is None:
                path.write_bytes(place.read(_receipt(task.name)))
            with pa.OSFile(os.fsencode(path)) as source:
                said = json.loads(pq.read_schema(source).metadata[_KEY])
            result = ShardResult(
                ShardSummary(**said["summary"]),
                tuple(SkippedInput(**clip) for clip in said["skipped"]),
                said["seconds"],
            )
        except RemoteError as error:
            if not error.final:
                raise
            return None  # deleted a moment ago
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
            # Damaged, of another version, or deleted a moment ago by a job that finished the set.
            return None
        right = said["plan"] == task.digest() and sizes.get(task.name) == result.summary.size_bytes
        return result if right and not (result.skipped and task.on_error == "fail") else None

    ours = [task for task in tasks if task.name in there]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = zip(ours, pool.map(_of, ours), strict=True)
        return {task.name: result for task, result in found if result is not None}


def tables_of(tasks: Sequence[ShardTask], place: Place, folder: Path) -> Iterator[pa.Table]:
    """Yield the lines of the index that each shard gives, shards by name, from receipts that ``read_receipts`` has read.

    Raises:
        ShardError: A receipt is gone.
    """
    for name in sorted(task.name for task in tasks):
        try:
            with pa.OSFile(os.fsencode(_path(name, place, folder))) as source:
                table = pq.read_table(source, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise ShardError(
                f"the receipt of {name} cannot be read any more: {error}. Run the same command again."
            ) from error
        yield table.replace_schema_metadata(None).cast(INDEX_SCHEMA)


def _path(name: str, place: Place, folder: Path) -> Path:
    return (folder if place.local is None else place.local / PARTS_DIR) / name


def drop_receipts(place: Place) -> None:
    """Delete all receipts, when the set is finished; those that cannot be deleted may stay."""
    with suppress(RemoteError):
        place.delete_folder(PARTS_DIR)
