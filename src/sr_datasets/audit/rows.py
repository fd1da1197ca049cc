"""The rows of a set as an audit sees them: who they are, and the points of their HR patches."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sr_datasets.audit.fingerprints import luma_of
from sr_datasets.audit.matching import can_tell
from sr_datasets.audit.points import Points, find_points, join_points
from sr_datasets.errors import ShardError
from sr_datasets.shards.reader import ShardReader, small_parquet
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, SetInfo

_MOST_POINTS = 300  # of a patch: those of the largest scale, which survive most
_TASK_ROWS = 256
_TEXTURED_LEVELS = (
    32  # a patch of fewer distinct samples may be the same by chance: a sky, an edge, a drawn shape
)


@dataclass(frozen=True, slots=True)
class RowName:
    """Which row."""

    sample_id: str
    """Its id in the set."""
    source: str
    """Source id."""
    clip: str
    """Clip id."""
    split: str
    """Its split."""


@dataclass(frozen=True, slots=True, eq=False)
class RowPoints:
    """The points of some rows of a shard, in order."""

    points: Points
    """``picture`` numbers the rows from 0."""
    widths: npt.NDArray[np.int64]
    """Columns of each patch."""
    heights: npt.NDArray[np.int64]
    """Rows of each patch."""
    tells: npt.NDArray[np.bool_]
    """Whether a perfect copy of each would be found."""
    digests: tuple[bytes, ...]
    """Hash of the samples of each; empty where the same samples may come by chance."""


@dataclass(frozen=True, slots=True)
class RowsTask:
    """Rows of one row group."""

    path: Path
    """The shard."""
    group: int
    """Row group."""
    first: int
    """First row, counted in the shard."""
    count: int
    """Rows."""


def read_names(set_dir: Path) -> list[RowName]:
    """Return every row of a set in order of shard, row group, row.

    Raises:
        ShardError: The index cannot be read.
    """
    path = set_dir / INDEX_NAME
    columns = ["sample_id", "source", "clip", "split"]
    try:
        with small_parquet(path, columns) as file:
            table = file.read(columns=columns, use_threads=False)
        values = [table.column(name).to_pylist() for name in columns]
    except (OSError, KeyError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ShardError(
            f"{path} cannot be read: {error}. Copy it again, or run the same sr-data build-pairs command again."
        ) from error
    return [RowName(*row) for row in zip(*values, strict=True)]


def row_tasks(set_dir: Path, info: SetInfo) -> Iterator[RowsTask]:
    """Yield the rows of a set in pieces, in the order of ``read_names``.

    Raises:
        ShardError: A shard is missing, or is not a shard.
    """
    for shard in sorted(info.shards, key=lambda shard: shard.name):
        path = set_dir / DATA_DIR / shard.name
        reader = ShardReader(path)
        try:
            for group in range(reader.num_groups):
                first, count = reader.rows_of(group)
                for start in range(first, first + count, _TASK_ROWS):
                    yield RowsTask(path, group, start, min(_TASK_ROWS, first + count - start))
        finally:
            reader.close()


def fingerprint_rows(task: RowsTask) -> RowPoints:
    """Find the points of the HR patches of rows; of several frames, those of the middle one.

    Raises:
        ShardError: The shard is truncated or altered there.
    """
    luma = read_luma(task)
    points = _strongest(find_points(luma), task.count)
    height, width = luma.shape[1:]
    return RowPoints(
        points=points,
        widths=np.full(task.count, width),
        heights=np.full(task.count, height),
        tells=can_tell(points, task.count),
        digests=tuple(_digest(patch) for patch in luma),
    )


def read_luma(task: RowsTask) -> npt.NDArray[np.float32]:
    """Return luma of the HR patches of rows, ``(rows, height, width)``, in 8-bit levels.

    Raises:
        ShardError: The shard is truncated or altered there.
    """
    reader = ShardReader(task.path)
    try:
        shape = reader.shape(task.group)
        hr = [_middle(reader.pixels(row)[1]) for row in range(task.first, task.first + task.count)]
        color = reader.row(task.first)["color"]
    finally:
        reader.close()
    return luma_of(np.stack(hr), color=color, bit_depth=shape.bit_depth)


def _middle(hr: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return hr[len(hr) // 2] if hr.ndim == 4 else hr


def _strongest(points: Points, count: int) -> Points:
    if np.bincount(points.picture, minlength=count).max(initial=0) <= _MOST_POINTS:
        return points
    order = np.lexsort((points.x, points.y, -points.sigma, points.picture))
    first = np.searchsorted(points.picture[order], np.arange(count))
    rank = np.arange(len(order)) - first[points.picture[order]]
    return points.take(np.sort(order[rank < _MOST_POINTS]))


def _digest(luma: npt.NDArray[np.float32]) -> bytes:
    """Return a hash of the luma samples, shape included; empty where they are too plain to be told by it."""
    if len(np.unique(luma)) < _TEXTURED_LEVELS:
        return b""
    return hashlib.sha256(str(luma.shape).encode() + np.ascontiguousarray(luma).tobytes()).digest()


def join_rows(parts: Sequence[RowPoints]) -> RowPoints:
    """Return rows of several tasks as one, numbered through."""
    starts = np.cumsum([0, *(len(part.widths) for part in parts)])
    numbered = [
        replace(part.points, picture=part.points.picture + np.int32(start))
        for part, start in zip(parts, starts, strict=False)
    ]
    return RowPoints(
        points=join_points(numbered),
        widths=np.concatenate([part.widths for part in parts]),
        heights=np.concatenate([part.heights for part in parts]),
        tells=np.concatenate([part.tells for part in parts]),
        digests=tuple(digest for part in parts for digest in part.digests),
    )
