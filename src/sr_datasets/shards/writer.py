"""Writes one shard: rows in, a Parquet file whose pixel columns can be memory-mapped out."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from sr_datasets.files import atomic_path, sha256_of
from sr_datasets.shards.schema import (
    FORMAT_VERSION,
    MAX_GROUP_BYTES,
    MAX_GROUP_ROWS,
    META_PREFIX,
    Row,
    Shape,
    digest_of_rows,
    shape_of_row,
    shard_digest,
)
from sr_datasets.shards.sets import ShardSummary, split_of_name
from sr_datasets.shards.storage import Storage, schema_of, table_of_rows, writer_options

WRITER_KEYS = frozenset({"format", "group_digests", "content_digest", "split", "storage"})
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

    def __init__(
        self,
        path: Path,
        *,
        metadata: Mapping[str, str] | None = None,
        storage: Storage = "raw",
        preview: bool = False,
    ) -> None:
        """Name the file; nothing is written before the ``with`` block begins.

        Args:
            path: Where the shard shall stand; its folder is made. A file that is there is replaced.
            metadata: What the file shall say of itself (such as ``recipe``); JSON or plain text.
                Keys get ``sr-datasets.`` before them in the file.
            storage: How pixels are stored: ``raw`` can be mapped; ``zstd`` and ``png`` are smaller and lossless too.
            preview: Whether each row gets a small picture of LR and HR, for viewers.

        Raises:
            ValueError: A key is one that the writer itself writes.
        """
        self._path = path
        self._metadata = dict(metadata or {})
        self._storage, self._preview = storage, preview
        if taken := self._metadata.keys() & WRITER_KEYS:
            raise ValueError(f"metadata keys {sorted(taken)} are written by the shard writer itself")
        self._stack = ExitStack()
        self._partial: Path | None = None
        self._file: pq.ParquetWriter | None = None
        self._schema: pa.Schema = None
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
        return self

    def write_group(self, rows: Sequence[Row]) -> None:
        """Write the rows of one pair (or a part of a dense one) as one row group.

        Args:
            rows: 1 to 20,000 rows of one shape and bit depth, under 1 GiB together.

        Raises:
            ValueError: The rows do not make a group; nothing was written then.
        """
        if self._partial is None:
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
        schema = self._schema_for(rows[0], shape)
        file = self._file or self._open(self._partial, schema)
        file.write_table(table_of_rows(rows, shape, schema), row_group_size=len(rows))
        self._group_digests.append(digest_of_rows(rows))
        self._split = rows[0].split
        self._num_rows += len(rows)

    def _schema_for(self, row: Row, shape: Shape) -> pa.Schema:
        """Return the columns of a group, which are those of the groups before it."""
        if self._storage == "png":
            from sr_datasets.shards.pictures import check_png

            try:
                check_png(row.color, row.bit_depth, has_lr=row.lr.size > 0)
            except ValueError as error:
                raise ValueError(f"{row.sample_id}: {error}") from None
        schema = schema_of(self._storage, shape, preview=self._preview)
        if self._file is not None and schema != self._schema:
            raise ValueError(
                f"{self._path}: {row.sample_id} is {shape}, rows before it have another number of frames: "
                "a shard of PNG holds single pictures, or windows"
            )
        return schema

    def _open(self, partial: Path, schema: pa.Schema) -> pq.ParquetWriter:
        self._schema = schema
        sink = self._stack.enter_context(pa.OSFile(os.fsencode(partial), "wb"))  # which has no buffer
        self._file = pq.ParquetWriter(sink, schema, **writer_options(self._storage))
        return self._file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        partial, self._partial = self._partial, None
        if partial is None:
            return
        if error is not None:
            # The handle does not outlive the block; the stack deletes the partial file.
            if self._file is not None:
                self._stack.callback(_close, self._file)
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            file = self._file or self._open(partial, schema_of(self._storage, None, preview=self._preview))
            self._stack.callback(_close, file)
            file.add_key_value_metadata(self._footer())
            file.close()
            summary = ShardSummary(
                name=self._path.name,
                split=self._split or split_of_name(self._path.name) or "",
                rows=self._num_rows,
                groups=len(self._group_digests),
                size_bytes=partial.stat().st_size,
                sha256=sha256_of(partial),
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
            **({"storage": self._storage} if self._storage != "raw" else {}),
        }
        # Sorted, so that the order in which a caller filled its dict does not change the bytes.
        return {META_PREFIX + key: value for key, value in sorted((self._metadata | own).items())}


def _close(file: pq.ParquetWriter) -> None:
    with suppress(OSError):  # the disk that was full is still full; the first error is the one to tell
        file.close()
