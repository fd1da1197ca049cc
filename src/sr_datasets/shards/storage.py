"""How the pixels of a shard are stored: as they are, compressed, or as PNG."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa

from sr_datasets.shards.arrays import arrow_values
from sr_datasets.shards.schema import (
    DICTIONARY_COLUMNS,
    MAX_GROUP_ROWS,
    PIXEL_COLUMNS,
    PREVIEW_COLUMN,
    SCHEMA,
    STATISTICS_COLUMNS,
    Pixels,
    Row,
    Shape,
    pixel_bytes,
)

Storage: TypeAlias = Literal["raw", "zstd", "png"]

PAGE_BYTES: Final = 4096
"""Of ``zstd`` and ``png``: a page ends with the row that makes it so long, so that one row costs little more than itself."""

ZSTD_LEVEL: Final = 3
"""Zstandard's own default."""

IMAGE: Final = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""A picture as Hugging Face's ``Image`` has it: an encoded file, and a path, which is null here. No picture is missing,
but only a field that might be null counts as an ``Image`` there."""


def schema_of(storage: Storage, shape: Shape | None, *, preview: bool) -> pa.Schema:
    """Return the columns of a shard.

    Args:
        storage: How its pixels are stored.
        shape: Shape of its rows; None of a shard without rows.
        preview: Whether it has the column ``preview``.

    Returns:
        The columns; with pictures among them also the metadata by which Hugging Face's libraries show them.
    """
    columns = list(SCHEMA)
    if storage == "png":
        for name in PIXEL_COLUMNS:
            several = shape is not None and len(getattr(shape, name)) == 4
            kind = pa.list_(IMAGE) if several else IMAGE
            columns[SCHEMA.get_field_index(name)] = pa.field(name, kind)
    if preview:
        columns.append(pa.field(PREVIEW_COLUMN, IMAGE))
    schema = pa.schema(columns)
    if storage != "png" and not preview:
        return schema
    features = {column.name: _feature(column.type) for column in columns}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        # Releases before 4 know no other list; later ones read it as their own.
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    return {"dtype": str(kind), "_type": "Value"}


def writer_options(storage: Storage) -> dict[str, Any]:
    """Return what ``pyarrow.parquet.ParquetWriter`` is told for a storage.

    ``raw`` has one page per column and row group, which is what makes the pixels mappable. The others end a page
    after ``PAGE_BYTES``.
    """
    options: dict[str, Any] = {
        "use_dictionary": list(DICTIONARY_COLUMNS),
        "write_statistics": list(STATISTICS_COLUMNS),
        "write_page_index": True,
        "write_page_checksum": True,
        "data_page_version": "1.0",
    }
    if storage == "raw":
        return options | {
            "compression": "none",
            "write_batch_size": MAX_GROUP_ROWS,
            "data_page_size": 1 << 30,
        }
    options |= {"compression": "none", "write_batch_size": 1, "data_page_size": PAGE_BYTES}
    if storage == "zstd":
        options |= {
            "compression": dict.fromkeys(PIXEL_COLUMNS, "zstd"),
            "compression_level": dict.fromkeys(PIXEL_COLUMNS, ZSTD_LEVEL),
        }
    return options


def table_of_rows(rows: Sequence[Row], shape: Shape, schema: pa.Schema) -> pa.Table:
    """Return the rows of one group as an Arrow table.

    Args:
        rows: Rows of one shape.
        shape: That shape.
        schema: What ``schema_of`` says of their storage.
    """
    counts = {
        "num_frames": shape.lr[0] if len(shape.lr) == 4 else 1,
        "hr_num_frames": shape.hr[0] if len(shape.hr) == 4 else 1,
        "channels": shape.lr[-3],
        "lr_height": shape.lr[-2],
        "lr_width": shape.lr[-1],
        "hr_height": shape.hr[-2],
        "hr_width": shape.hr[-1],
    }
    names = {field.name for field in fields(Row)}
    columns = []
    for field in schema:
        values: list[object]
        if field.name == PREVIEW_COLUMN:
            from sr_datasets.shards.pictures import preview_of  # Pillow: only who makes pictures waits for it

            values = [{"bytes": preview_of(row), "path": None} for row in rows]
        elif field.name in PIXEL_COLUMNS:
            values = [_stored(getattr(row, field.name), field.type) for row in rows]
        elif field.name in names:
            values = [getattr(row, field.name) for row in rows]
        else:
            values = [counts[field.name]] * len(rows)
        columns.append(arrow_values(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _stored(pixels: Pixels, kind: pa.DataType) -> object:
    if kind == pa.binary():
        return pixel_bytes(pixels)
    from sr_datasets.shards.pictures import png_of_planes

    if pixels.ndim == 3:
        return {"bytes": png_of_planes(pixels), "path": None}
    return [{"bytes": png_of_planes(frame), "path": None} for frame in pixels]
