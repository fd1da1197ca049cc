"""Another reader, written from docs/shards.md alone: struct, and the footer as pyarrow tells it."""

import io
import json
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shard_sets import make_rows

from sr_datasets.shards.storage import Storage
from sr_datasets.shards.writer import ShardWriter


class Reader:
    """Reads rows of one shard of format 1 or 2."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.footer = pq.read_metadata(path)
        own = {key.decode(): value.decode() for key, value in self.footer.metadata.items()}
        if int(own["sr-datasets.format"]) > 2:
            raise ValueError("a newer format")
        self.storage = own.get("sr-datasets.storage", "raw")
        self.split = own["sr-datasets.split"]
        json.loads(own["sr-datasets.group_digests"])

    def samples(self, group: int, row: int, name: str) -> npt.NDArray[Any]:
        of_group = self.footer.row_group(group)
        columns = {
            of_group.column(number).path_in_schema: (
                of_group.column(number),
                self.footer.schema.column(number),
            )
            for number in range(of_group.num_columns)
        }

        def number(column: str) -> int:
            statistics = columns[column][0].statistics
            assert statistics.min == statistics.max
            return int(statistics.min)

        frames = number("num_frames" if name == "lr" else "hr_num_frames")
        shape = (number("channels"), number(f"{name}_height"), number(f"{name}_width"))
        dtype = "<u2" if number("bit_depth") > 8 else "u1"
        whole = (frames, *shape) if frames > 1 else shape
        if self.storage == "raw":
            chunk, _ = columns[name]
            b = int(np.prod(whole)) * np.dtype(dtype).itemsize
            at = (
                chunk.data_page_offset
                + chunk.total_compressed_size
                - of_group.num_rows * (b + 4)
                + row * (b + 4)
            )
            assert struct.unpack_from("<I", self.data, at) == (b,)
            return np.frombuffer(
                self.data, dtype, offset=at + 4, count=b // np.dtype(dtype).itemsize
            ).reshape(whole)
        path = next(path for path in columns if path.split(".")[0] == name and not path.endswith(".path"))
        chunk, column = columns[path]
        per_row = frames if column.max_repetition_level else 1
        levels = (column.max_repetition_level > 0) + (column.max_definition_level > 0)
        values: list[bytes] = []
        for page in self.pages(chunk):
            at = 0
            for _ in range(levels):
                at += 4 + struct.unpack_from("<I", page, at)[0]
            while at < len(page):
                (size,) = struct.unpack_from("<I", page, at)
                values.append(page[at + 4 : at + 4 + size])
                at += 4 + size
        mine = values[row * per_row : (row + 1) * per_row]
        if self.storage == "zstd":
            return np.frombuffer(mine[0], dtype).reshape(whole)
        pictures = [np.asarray(Image.open(io.BytesIO(png))) for png in mine]
        planes = [one[None] if one.ndim == 2 else one.transpose(2, 0, 1) for one in pictures]
        return np.stack(planes) if frames > 1 else planes[0]

    def pages(self, chunk: Any) -> Iterator[bytes]:
        at = chunk.data_page_offset
        end = at + chunk.total_compressed_size
        while at < end:
            header, at = self.header(at)
            data = self.data[at : at + header[3]]
            assert header[1] == 0
            assert zlib.crc32(data) == header[4] & 0xFFFFFFFF
            at += header[3]
            if chunk.compression == "ZSTD":
                data = pa.Codec("zstd").decompress(data, header[2], asbytes=True)
            yield data

    def header(self, at: int) -> tuple[dict[int, Any], int]:
        """Thrift's compact protocol: structs, integers, texts, truth values."""
        fields: dict[int, Any] = {}
        last = 0
        while head := self.data[at]:
            at += 1
            if head >> 4:
                last += head >> 4
            else:
                last, at = self.integer(at)
            kind = head & 15
            if kind in (1, 2):
                fields[last] = kind == 1
            elif kind == 12:
                fields[last], at = self.header(at)
            elif kind == 8:
                size, at = self.varint(at)
                fields[last], at = self.data[at : at + size], at + size
            else:
                fields[last], at = self.integer(at)
        return fields, at + 1

    def integer(self, at: int) -> tuple[int, int]:
        value, at = self.varint(at)
        return (value >> 1) ^ -(value & 1), at

    def varint(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self.data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at


@given(
    storage=st.sampled_from(["raw", "zstd", "png"]),
    preview=st.booleans(),
    frames=st.sampled_from([1, 3]),
    hr_all=st.booleans(),
    color=st.sampled_from(["y", "rgb", "yuv420"]),
    bit_depth=st.sampled_from([8, 10]),
    size=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_a_reader_written_from_the_page_alone_reads_every_storage(
    storage: Storage, preview: bool, frames: int, hr_all: bool, color: str, bit_depth: int, size: int
) -> None:
    if storage == "png" and (color == "yuv420" or (color == "rgb" and bit_depth > 8)):
        color = "y"
    groups = [
        make_rows(
            name,
            4,
            frames=frames,
            hr_all=hr_all and frames > 1,
            color=color,
            height=2 * size,
            width=2 * size,
            bit_depth=bit_depth,
        )
        for name in ("one", "two")
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        with ShardWriter(path, storage=storage, preview=preview) as writer:
            for rows in groups:
                writer.write_group(rows)
        reader = Reader(path)
        assert reader.split == "train"
        for group, rows in enumerate(groups):
            for number, row in enumerate(rows):
                np.testing.assert_array_equal(reader.samples(group, number, "lr"), row.lr)
                np.testing.assert_array_equal(reader.samples(group, number, "hr"), row.hr)


def test_it_reads_a_shard_of_version_1() -> None:
    from sr_datasets.shards.reader import ShardReader

    path = Path(__file__).parent / "data" / "shards-1" / "data" / "train-00000-of-00001.parquet"
    reader, ours = Reader(path), ShardReader(path)
    first = ours.rows_of(1)[0]
    np.testing.assert_array_equal(reader.samples(1, 2, "hr"), ours.pixels(first + 2)[1])


@pytest.mark.parametrize("storage", ["raw", "zstd", "png"])
def test_every_row_group_has_statistics_of_ids_and_a_page_index(tmp_path: Path, storage: Storage) -> None:
    path = tmp_path / "a.parquet"
    with ShardWriter(path, storage=storage, preview=True) as writer:
        writer.write_group(make_rows("one", 5))
        writer.write_group(make_rows("two", 3))

    footer = pq.read_metadata(path)
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [5, 3]
    group = footer.row_group(1)
    columns = {
        group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)
    }
    for name in ("sample_id", "source", "clip", "split", "row", "top", "left", "scale"):
        assert columns[name].statistics.has_min_max, name
        assert columns[name].has_column_index, name
    assert columns["clip"].statistics.min == columns["clip"].statistics.max == "two"
    assert all(column.has_offset_index for column in columns.values())
    for name, column in columns.items():
        if name.split(".")[0] in ("lr", "hr", "preview", "drawn"):
            assert not column.is_stats_set, name
    found = pq.read_table(path, columns=["sample_id"], filters=[("clip", "==", "two")])
    assert len(found) == 3
