"""Writes one shard: rows in, a Parquet file whose pixel columns can be memory-mapped out."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow.parquet as pq

from sr_datasets.files import atomic_path, sha256_of
from sr_datasets.shards.schema import (
    DICTIONARY_COLUMNS,
    FORMAT_VERSION,
    MAX_GROUP_BYTES,
    MAX_GROUP_ROWS,
    META_PREFIX,
    SCHEMA,
    STATISTICS_COLUMNS,
    Row,
    digest_of_rows,
    shape_of_row,
    shard_digest,
    table_of_rows,
)
from sr_datasets.shards.sets import ShardSummary, split_of_name

WRITER_KEYS = frozenset({"format", "group_digests", "content_digest", "split"})
"""Metadata that the writer itself writes."""


class ShardWriter:
    """Writes a shard, row group by row group; the file appears whole or not at all.

    Its bytes depend on the rows and the metadata only (and on the version of pyarrow): no time,
    path or host goes in.

    Example:
        with ShardWriter(path, metadata={"recipe": recipe_json}) as writer:
            for pair in pairs:
                writer.write_group(pair)
        summary = writer.summary
    """

    def __init__(self, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
        """Name the file; nothing is written before the ``with`` block begins.

        Args:
            path: Where the shard shall stand; its folder is made. A file that is there is replaced.
            metadata: What the file shall say of itself (such as ``recipe``); JSON or plain text.
                Keys get ``sr-datasets.`` before them in the file.

        Raises:
            ValueError: A key is one that the writer itself writes.
        """
        self._path = path
        self._metadata = dict(metadata or {})
        if taken := self._metadata.keys() & WRITER_KEYS:
            raise ValueError(f"metadata keys {sorted(taken)} are written by the shard writer itself")
        self._stack = ExitStack()
        self._partial: Path | None = None
        self._file: pq.ParquetWriter | None = None
        self._group_digests: list[str] = []
        self._num_rows = 0
        self._split = ""
        self._summary: ShardSummary | None = None

    @property
    def summary(self) -> ShardSummary:
        """What was written; known when the ``with`` block has ended well.

        Raises:
            ValueError: The shard is not finished.
        """
        if self._summary is None:
            raise ValueError(f"{self._path} is not finished: read `summary` after the `with` block")
        return self._summary

    def __enter__(self) -> Self:
        self._partial = self._stack.enter_context(atomic_path(self._path))
        self._file = pq.ParquetWriter(
            self._partial,
            SCHEMA,
            compression="none",
            use_dictionary=list(DICTIONARY_COLUMNS),
            write_statistics=list(STATISTICS_COLUMNS),
            write_page_index=True,
            write_page_checksum=True,
            # One page per column and row group, which is what makes the pixels mappable.
            write_batch_size=MAX_GROUP_ROWS,
            data_page_size=1 << 30,
            data_page_version="1.0",
        )
        return self

    def write_group(self, rows: Sequence[Row]) -> None:
        """Write the rows of one pair (or a part of a dense one) as one row group.

        Args:
            rows: 1 to 20,000 rows of one shape and bit depth, under 1 GiB together.

        Raises:
            ValueError: The rows do not make a group; nothing was written then.
        """
        if self._file is None:
            raise ValueError(f"{self._path}: write_group is called inside `with ShardWriter(...)`")
        if not 1 <= len(rows) <= MAX_GROUP_ROWS:
            raise ValueError(f"{self._path}: a row group has 1 to {MAX_GROUP_ROWS} rows, not {len(rows)}")
        shape = shape_of_row(rows[0])
        for row in rows:
            if (other := shape_of_row(row)) != shape:
                raise ValueError(
                    f"{self._path}: one row group has one shape: {rows[0].sample_id} is {shape}, "
                    f"{row.sample_id} is {other}"
                )
            if row.split != (self._split or rows[0].split):
                raise ValueError(
                    f"{self._path}: a shard holds one split: {self._split or rows[0].split}, "
                    f"but {row.sample_id} belongs to {row.split}"
                )
        size_bytes = len(rows) * (shape.lr_bytes + shape.hr_bytes + 8)
        if size_bytes > MAX_GROUP_BYTES:
            raise ValueError(
                f"{self._path}: the group has {size_bytes} bytes of pixels, the most is {MAX_GROUP_BYTES}: "
                f"write its {len(rows)} rows as several groups"
            )
        self._file.write_table(table_of_rows(rows, shape), row_group_size=len(rows))
        self._group_digests.append(digest_of_rows(rows))
        self._split = rows[0].split
        self._num_rows += len(rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is None or self._partial is None:
            return
        # Whatever happens, the handle does not outlive the block; the stack deletes the partial file.
        self._stack.callback(_close, file)
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            file.add_key_value_metadata(self._footer())
            file.close()
            summary = ShardSummary(
                name=self._path.name,
                split=self._split or split_of_name(self._path.name) or "",
                rows=self._num_rows,
                groups=len(self._group_digests),
                size_bytes=self._partial.stat().st_size,
                sha256=sha256_of(self._partial),
                content_digest=shard_digest(self._group_digests),
                group_digests=tuple(self._group_digests),
            )
        self._summary = summary

    def _footer(self) -> dict[str, str]:
        own = {
            "format": str(FORMAT_VERSION),
            "split": self._split or split_of_name(self._path.name) or "",
            "content_digest": shard_digest(self._group_digests),
            "group_digests": json.dumps(self._group_digests),
        }
        # Sorted, so that the order in which a caller filled its dict does not change the bytes.
        return {META_PREFIX + key: value for key, value in sorted((self._metadata | own).items())}


def _close(file: pq.ParquetWriter) -> None:
    with suppress(OSError):  # the disk that was full is still full; the first error is the one to tell
        file.close()
