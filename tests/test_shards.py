"""Shards: what is written is what is read, and what was altered is named."""

import dataclasses
import hashlib
import inspect
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_sets import SMALL, make_rows, rewrite, write_set, write_shard

from sr_datasets.errors import ShardError
from sr_datasets.models import Model
from sr_datasets.shards.index import load_index
from sr_datasets.shards.mapped import MappedRows
from sr_datasets.shards.reader import FileMap, ShardReader, summarize_shard
from sr_datasets.shards.schema import SCHEMA, Row, group_digest, set_digest, shape_of_row, shard_digest
from sr_datasets.shards.sets import (
    DATA_DIR,
    INDEX_NAME,
    SET_NAME,
    SetInfo,
    ShardInfo,
    read_set,
    write_set_json,
)
from sr_datasets.shards.verify import verify_set, verify_shard
from sr_datasets.shards.writer import ShardWriter


def assert_same_row(found: Row, expected: Row) -> None:
    for field in dataclasses.fields(Row):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name in ("lr", "hr"):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
            assert one.shape == other.shape
        else:
            assert one == other, field.name


def is_mapped(reader: ShardReader) -> list[bool]:
    return [reader.group(number).lr_offset is not None for number in range(reader.num_groups)]


@st.composite
def groups_of_rows(draw: st.DrawFn) -> list[list[Row]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups = []
    for number in range(draw(st.integers(1, 3))):
        frames = draw(st.sampled_from([1, 3]))
        color = draw(st.sampled_from(["y", "rgb", "yuv420"]))
        even = 2 if color == "yuv420" else 1
        groups.append(
            make_rows(
                f"clip{number}",
                draw(st.integers(1, 5)),
                rng=rng,
                frames=frames,
                hr_all=frames > 1 and draw(st.booleans()),
                color=color,
                height=even * draw(st.integers(1, 9)),
                width=even * draw(st.integers(1, 9)),
                scale=draw(st.sampled_from([2, 3, 4, 8])),
                bit_depth=draw(st.sampled_from([8, 10, 16])),
            )
        )
    return groups


@given(groups=groups_of_rows())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_what_is_read_mapped_or_not(groups: list[list[Row]]) -> None:
    rows = [row for group in groups for row in group]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train-00000-of-00001.parquet"
        summary = write_shard(path, groups)
        foreign = Path(folder) / "foreign.parquet"
        rewrite(path, foreign, compression="zstd")

        for file, mapped in ((path, True), (foreign, False)):
            reader = ShardReader(file)
            assert reader.num_rows == summary.rows == len(rows)
            assert is_mapped(reader) == [mapped] * len(groups)
            assert reader.split == "train"
            for number, expected in enumerate(rows):
                assert_same_row(reader.read_row(number), expected)
            assert verify_shard(file) == []
            reader.close()
        assert verify_shard(path, summary) == []


def test_the_pixel_columns_are_stored_so_that_they_can_be_mapped_by_the_rule_in_the_docs(
    tmp_path: Path,
) -> None:
    rows = make_rows("clip", 7)
    path = tmp_path / "a.parquet"
    write_shard(path, [rows])

    data = path.read_bytes()
    group = pq.read_metadata(path).row_group(0)
    for index, name in ((SCHEMA.get_field_index("lr"), "lr"), (SCHEMA.get_field_index("hr"), "hr")):
        column = group.column(index)
        assert column.compression == "UNCOMPRESSED"
        assert "PLAIN_DICTIONARY" not in column.encodings
        assert "RLE_DICTIONARY" not in column.encodings
        assert not column.has_dictionary_page
        assert not column.is_stats_set
        size = getattr(rows[0], name).nbytes
        at = column.data_page_offset + column.total_compressed_size - len(rows) * (size + 4)
        for row in rows:
            assert int.from_bytes(data[at : at + 4], "little") == size
            assert data[at + 4 : at + 4 + size] == getattr(row, name).tobytes()
            at += size + 4


def test_id_columns_have_statistics_and_repeated_strings_a_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, [make_rows("one", 5), make_rows("two", 5)])

    metadata = pq.read_metadata(path)
    columns = {
        metadata.row_group(1).column(index).path_in_schema: metadata.row_group(1).column(index)
        for index in range(metadata.num_columns)
    }
    assert columns["clip"].statistics.min == columns["clip"].statistics.max == "two"
    assert columns["row"].statistics.max == 4
    assert columns["clip"].has_dictionary_page
    assert not columns["sample_id"].has_dictionary_page
    assert columns["clip"].has_column_index
    assert columns["hr"].has_offset_index
    field = pq.ParquetFile(path).schema.column(metadata.num_columns - 1)
    assert (field.name, field.max_definition_level) == ("hr", 0)


def test_the_bytes_depend_on_rows_and_metadata_only(tmp_path: Path) -> None:
    rows = make_rows("clip", 6)
    one = write_shard(tmp_path / "a" / "train-00000-of-00001.parquet", [rows], {"a": "1", "b": "2"})
    two = write_shard(tmp_path / "b" / "train-00000-of-00001.parquet", [rows], {"b": "2", "a": "1"})
    other = write_shard(tmp_path / "c" / "train-00000-of-00001.parquet", [rows], {"a": "1", "b": "3"})

    assert one == two
    assert (
        one.sha256
        == hashlib.sha256((tmp_path / "b" / "train-00000-of-00001.parquet").read_bytes()).hexdigest()
    )
    assert other.sha256 != one.sha256
    assert other.content_digest == one.content_digest
    assert str(tmp_path).encode() not in (tmp_path / "a" / "train-00000-of-00001.parquet").read_bytes()
    assert summarize_shard(tmp_path / "a" / "train-00000-of-00001.parquet") == one


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "from shard_sets import *; from pathlib import Path; import sys;"
        "print(write_shard(Path(sys.argv[1]), [make_rows('clip', 6)], {'recipe': '{}'}).sha256)"
    )
    found = set()
    for number in range(2):
        result = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / f"{number}.parquet")],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ
            | {
                "PYTHONHASHSEED": str(number),
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
            },
        )
        found.add(result.stdout)
    assert len(found) == 1


def test_the_content_digest_is_that_of_the_docs(tmp_path: Path) -> None:
    rows = make_rows("clip", 2, drawn='{"sigma": 1.5}')
    summary = write_shard(tmp_path / "a.parquet", [rows])

    def part(data: bytes) -> bytes:
        return len(data).to_bytes(8, "little") + data

    text = part(b"sr-datasets group 1")
    for row in rows:
        text += part(row.sample_id.encode()) + part(b'{"sigma": 1.5}')
        text += part(b"uint8/8 3x4x5") + part(row.lr.tobytes())
        text += part(b"uint8/8 3x12x15") + part(row.hr.tobytes())
    group = hashlib.sha256(text).digest()
    assert summary.group_digests == (group.hex(),)
    assert summary.content_digest == hashlib.sha256(part(b"sr-datasets shard 1") + part(group)).hexdigest()


def test_the_content_digest_of_a_set_does_not_depend_on_how_groups_are_dealt_to_shards() -> None:
    a, b, c = ("aa" * 32, "bb" * 32, "cc" * 32)
    whole = set_digest([("test", [a]), ("train", [b, c])])

    assert set_digest([("test", [a]), ("train", [b]), ("train", [c])]) == whole
    assert set_digest([("test", [a]), ("train", [c, b])]) != whole
    assert set_digest([("test", [a, b]), ("train", [c])]) != whole
    assert set_digest([("test", [a]), ("train2", [b, c])]) != whole


@pytest.mark.parametrize("name", ["lr", "hr", "sample_id", "drawn"])
def test_ids_draws_and_each_pixel_move_the_content_digest(name: str) -> None:
    (row,) = make_rows("clip", 1)
    value = getattr(row, name)
    if name in ("lr", "hr"):
        value = value.copy()
        value.flat[-1] ^= 1
        other = dataclasses.replace(row, **{name: value})
    else:
        other = dataclasses.replace(row, **{name: value + "x"})

    def digest(row: Row) -> str:
        return group_digest(
            [(row.sample_id, row.drawn, row.lr.tobytes(), row.hr.tobytes())], shape_of_row(row)
        )

    assert digest(other) != digest(row)
    assert shard_digest([digest(other)]) != shard_digest([digest(row)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": np.zeros((3, 4, 5), np.float32)}, "uint8 or uint16"),
        ({"lr": np.zeros((3, 4, 6), np.uint8)}, "at scale 3 hr must be"),
        ({"scale": 2}, "at scale 2 hr must be"),
        ({"bit_depth": 10}, "do not go with uint8"),
        ({"color": "y"}, "3 channels do not go with colour 'y'"),
        ({"color": "yuv420"}, "3 channels do not go with colour 'yuv420'"),
        ({"frame_indices": (1, 2, 3)}, "3 frame indices and 1 pts"),
        ({"pts": ()}, "1 frame indices and 0 pts"),
        ({"split": "test"}, "holds one split"),
    ],
)
def test_a_row_that_contradicts_itself_or_its_group_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    rows = make_rows("clip", 3)
    rows[2] = dataclasses.replace(rows[2], **change)  # type: ignore[arg-type]
    path = tmp_path / "a.parquet"

    with pytest.raises(ValueError, match=message), ShardWriter(path) as writer:
        writer.write_group(rows)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_two_shapes_make_no_group(tmp_path: Path) -> None:
    rows = [*make_rows("clip", 1), *make_rows("clip", 1, height=6)]

    with (
        pytest.raises(ValueError, match="one row group has one shape"),
        ShardWriter(tmp_path / "a") as writer,
    ):
        writer.write_group(rows)


def test_groups_that_pyarrow_could_not_hold_are_refused(tmp_path: Path) -> None:
    (row,) = make_rows("clip", 1)
    huge = dataclasses.replace(
        row,
        lr=np.broadcast_to(np.uint8(0), (3, 2048, 2048)),
        hr=np.broadcast_to(np.uint8(0), (3, 6144, 6144)),
    )
    with ShardWriter(tmp_path / "a.parquet") as writer:
        with pytest.raises(ValueError, match="1 to 20000 rows, not 0"):
            writer.write_group([])
        with pytest.raises(ValueError, match="1 to 20000 rows, not 20001"):
            writer.write_group([row] * 20_001)
        with pytest.raises(ValueError, match="write its 10 rows as several groups"):
            writer.write_group([huge] * 10)
        writer.write_group([row])
    assert writer.summary.rows == 1


def test_a_dense_group_of_the_most_rows_has_one_page(tmp_path: Path) -> None:
    (row,) = make_rows("clip", 1, color="y", height=2, width=2, scale=2)
    path = tmp_path / "a.parquet"
    write_shard(path, [[row] * 20_000])

    reader = ShardReader(path)
    assert is_mapped(reader) == [True]
    assert_same_row(reader.read_row(19_999), row)


def test_a_shard_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    before = write_shard(path, [make_rows("clip", 2)])

    writer = ShardWriter(path)

    def fail_half_way() -> None:
        with writer:
            writer.write_group(make_rows("clip", 5))
            raise RuntimeError("decoder")

    with pytest.raises(RuntimeError, match="decoder"):
        fail_half_way()
    with pytest.raises(ValueError, match="not finished"):
        _ = writer.summary
    assert summarize_shard(path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_a_disk_that_takes_no_more_is_an_oserror_and_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    groups = [make_rows(f"clip{number}", 5) for number in range(20)]
    try:
        with pytest.raises(OSError, match="File too large"):
            write_shard(tmp_path / "a.parquet", groups)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_metadata_comes_back_and_the_writers_own_keys_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "test-00000-of-00001.parquet"
    write_shard(path, [make_rows("clip", 2, split="test")], {"recipe": '{"id": "é"}'})

    reader = ShardReader(path)
    assert reader.metadata["recipe"] == '{"id": "é"}'
    assert reader.metadata["format"] == "2"
    assert reader.split == "test"
    with pytest.raises(ValueError, match="split"):
        ShardWriter(path, metadata={"split": "train"})


def test_an_empty_shard_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "train-00001-of-00002.parquet"
    summary = write_shard(path, [])

    assert (summary.rows, summary.groups, summary.split) == (0, 0, "train")
    assert verify_shard(path, summary) == []
    assert ShardReader(path).num_rows == 0


# Damage


def test_each_way_of_cutting_a_shard_is_an_error_and_found(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001.parquet"
    summary = write_shard(path, [make_rows("one", 4), make_rows("two", 4)])
    data = path.read_bytes()

    for length in (0, 3, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ShardError, match=r"train-00000-of-00001\.parquet is not a whole Parquet file"):
            ShardReader(path).pixels(0)
        problems = verify_shard(path, summary)
        assert (
            f"truncated: {length} of {len(data)} bytes, the last {len(data) - length} are missing"
            in problems[0]
        )
    path.write_bytes(data + b"x")
    assert "1 more than when it was written" in verify_shard(path, summary)[0]
    path.unlink()
    assert verify_shard(path, summary) == [f"{path}: the file is missing"]
    with pytest.raises(ShardError, match="is missing"):
        ShardReader(path).pixels(0)


def test_a_flipped_bit_anywhere_is_found_and_among_the_pixels_located(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    groups = [make_rows("one", 3), make_rows("two", 3)]
    summary = write_shard(path, groups)
    data = path.read_bytes()
    reader = ShardReader(path)
    rng = np.random.default_rng(0)

    def problems_after(at: int) -> list[str]:
        altered = bytearray(data)
        altered[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(altered)
        found = verify_shard(path, summary)
        assert "altered: its SHA-256 is" in found[0]
        assert len(found) > 1
        return found

    for number, rows in enumerate(groups):
        for name in ("lr", "hr"):
            start, end = reader.span_of(number, name)
            values = 3 * (getattr(rows[0], name).nbytes + 4)
            for at in rng.integers(end - values, end, size=10).tolist():
                where = f"row group {number} (rows {3 * number} to {3 * number + 2}), column {name}"
                (found,) = problems_after(at)[1:]
                assert found.startswith(f"{path}: {where}, page at bytes ")
                assert f"to {end} (its header begins at byte {start}): its CRC-32 is " in found
    for at in rng.integers(len(data), size=80).tolist():
        problems_after(at)


def test_a_flipped_pixel_with_a_mended_checksum_is_found_by_the_content_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    groups = [make_rows("one", 3), make_rows("two", 3)]
    summary = write_shard(path, groups)
    lr = groups[1][2].lr.copy()
    lr[0, 0, 0] ^= 1
    forged_path = tmp_path / "forged.parquet"
    write_shard(forged_path, [groups[0], [*groups[1][:2], dataclasses.replace(groups[1][2], lr=lr)]])
    forged = pq.ParquetFile(forged_path)
    original = pq.ParquetFile(path).metadata.metadata
    with pq.ParquetWriter(tmp_path / "b.parquet", SCHEMA.with_metadata(None), compression="none") as writer:
        for number in range(2):
            writer.write_table(forged.read_row_group(number))
        writer.add_key_value_metadata({k: v for k, v in original.items() if k != b"ARROW:schema"})

    problems = verify_shard(tmp_path / "b.parquet")
    assert len(problems) == 1
    assert "row group 1 (rows 3 to 5), from xiph/two/000000: its content has digest" in problems[0]
    assert summary.group_digests[1] in problems[0]


def test_an_altered_length_is_an_error_when_the_row_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = make_rows("clip", 5)
    write_shard(path, [rows])
    group = ShardReader(path).group(0)
    assert group.hr_offset is not None
    data = bytearray(path.read_bytes())
    at = group.hr_offset + 2 * (rows[0].hr.nbytes + 4) - 4
    data[at : at + 4] = (7).to_bytes(4, "little")
    path.write_bytes(data)

    reader = ShardReader(path)
    np.testing.assert_array_equal(reader.pixels(1)[1], rows[1].hr)
    with pytest.raises(ShardError, match=r"hr of row 2 \(row group 0\) has 7 bytes, its shape needs 540"):
        reader.pixels(2)
    mapped = MappedRows([path], [0], [5])
    np.testing.assert_array_equal(mapped.pair(3)[1], rows[3].hr)
    with pytest.raises(ShardError, match="hr of row 2"):
        mapped.pair(2)
    with pytest.raises(ShardError, match="hr of row 2"):
        mapped.batch(np.array([4, 2, 0]))


def test_an_altered_first_length_makes_the_group_unmappable_not_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, [make_rows("clip", 5)])
    group = ShardReader(path).group(0)
    assert group.lr_offset is not None
    data = bytearray(path.read_bytes())
    data[group.lr_offset - 4] ^= 1
    path.write_bytes(data)

    reader = ShardReader(path)
    assert is_mapped(reader) == [False]
    with pytest.raises(ShardError, match=r"lr of row 0 \(row group 0\): the page at byte \d+: its CRC-32 is"):
        reader.pixels(0)


def test_a_newer_format_and_a_foreign_table_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"x": [1]})
    pq.write_table(table, path)
    with pytest.raises(ShardError, match="not a shard: it lacks the columns num_frames"):
        ShardReader(path).pixels(0)
    pq.write_table(table.replace_schema_metadata({"sr-datasets.format": "3"}), path)
    with pytest.raises(ShardError, match="shard format 3; this sr-datasets reads up to 2"):
        ShardReader(path).pixels(0)
    pq.write_table(table.replace_schema_metadata({"sr-datasets.format": b"\xff"}), path)
    with pytest.raises(ShardError, match="shard format \ufffd; this sr-datasets reads up to 2"):
        ShardReader(path).pixels(0)
    path.write_text("<html>not here</html>")
    with pytest.raises(ShardError, match="not a whole Parquet file: 21 bytes"):
        ShardReader(path).pixels(0)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("sample_id", pa.binary(), "column sample_id holds binary, expected texts"),
        ("lr_width", pa.float64(), "column lr_width holds double, expected whole numbers"),
        ("pts", pa.list_(pa.string()), "column pts holds list<.*>, expected lists of whole numbers"),
        ("hr", pa.list_(pa.int8()), "column hr holds list<.*>, expected bytes"),
        ("lr", pa.struct([("path", pa.string())]), "column lr holds struct<path: string>, expected bytes"),
    ],
)
def test_a_column_of_other_values_is_told_before_it_is_read(
    tmp_path: Path, name: str, kind: pa.DataType, message: str
) -> None:
    write_shard(tmp_path / "ours.parquet", [make_rows("clip", 3)])
    table = pq.read_table(tmp_path / "ours.parquet")
    place = table.column_names.index(name)
    path = tmp_path / "a.parquet"
    pq.write_table(table.set_column(place, pa.field(name, kind), pa.nulls(3, kind)), path)

    with pytest.raises(ShardError, match=f"not a shard: {message}"):
        ShardReader(path).read_row(0)


def test_values_that_are_missing_and_shapes_that_no_row_has_are_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "ours.parquet", [make_rows("clip", 3)])
    table = pq.read_table(tmp_path / "ours.parquet")
    path = tmp_path / "a.parquet"

    def changed(name: str, values: list[Any]) -> ShardReader:
        place = table.column_names.index(name)
        kind = SCHEMA.field(name).type
        if pa.types.is_list(kind):
            kind = pa.list_(kind.value_type)
        pq.write_table(table.set_column(place, pa.field(name, kind), pa.array(values, kind)), path)
        return ShardReader(path)

    with pytest.raises(ShardError, match="column drawn of row group 0 lacks 1 values"):
        changed("drawn", ["{}", None, "{}"]).row(0)
    with pytest.raises(ShardError, match="column pts of row group 0 lacks 1 values"):
        changed("pts", [[1], [None], [2]]).row(0)
    with pytest.raises(ShardError, match="column lr_width of row group 0 lacks 3 values"):
        changed("lr_width", [None] * 3).pixels(0)
    with pytest.raises(ShardError, match=r"no row can have the shape of row group 0: .*lr_height -4"):
        changed("lr_height", [-4] * 3).pixels(0)
    with pytest.raises(ShardError, match=r"no row can have the shape of row group 0: .*bit_depth 17"):
        changed("bit_depth", [17] * 3).pixels(0)


# Readers


def test_a_reader_pickles_as_its_path_and_reads_again(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = make_rows("clip", 4)
    write_shard(path, [rows])
    reader = ShardReader(path)
    reader.pixels(0)

    pickled = pickle.dumps(reader)
    assert len(pickled) < 300
    assert_same_row(pickle.loads(pickled).read_row(3), rows[3])
    with pytest.raises(IndexError, match="has 4 rows, there is no row 4"):
        reader.pixels(4)
    reader.close()
    assert_same_row(reader.read_row(1), rows[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_through_a_handle_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = make_rows("clip", 4)
    write_shard(path, [rows])
    foreign = tmp_path / "b.parquet"
    rewrite(path, foreign, compression="zstd")
    readers = [ShardReader(path), ShardReader(foreign)]
    handles = [reader._parquet() for reader in readers]

    child = os.fork()
    if child == 0:
        try:
            same = all(np.array_equal(reader.pixels(2)[0], rows[2].lr) for reader in readers)
            own = all(
                reader._parquet() is not handle for reader, handle in zip(readers, handles, strict=True)
            )
            os._exit(0 if same and own else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert all(np.array_equal(reader.pixels(1)[0], rows[1].lr) for reader in readers)


def test_more_shards_are_mapped_than_files_may_be_open(tmp_path: Path) -> None:
    rows = make_rows("clip", 2)
    write_shard(tmp_path / "0.parquet", [rows])
    paths = [tmp_path / f"{number}.parquet" for number in range(150)]
    for path in paths[1:]:
        path.hardlink_to(paths[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, used + 40), hard))
    try:
        mapped = MappedRows(paths, np.arange(150), np.full(150, 2))
        lr, hr = mapped.batch(np.arange(300))
        for number in range(0, 300, 7):
            mapped.row(number)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    np.testing.assert_array_equal(lr, np.stack([rows[number % 2].lr for number in range(300)]))
    np.testing.assert_array_equal(hr, np.stack([rows[number % 2].hr for number in range(300)]))


def test_a_mapped_file_is_its_bytes_and_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    mapped = FileMap(path)

    assert bytes(mapped.view) == path.read_bytes()
    assert mapped.array.tobytes() == path.read_bytes()
    with pytest.raises(ValueError, match="read-only"):
        mapped.array[0] = 1
    with pytest.raises(ShardError, match="cannot be mapped"):
        FileMap(tmp_path / "none")


@given(groups=groups_of_rows(), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_rows_of_mapped_and_foreign_shards_mix_by_number(groups: list[list[Row]], seed: int) -> None:
    rows = [row for group in groups for row in group]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.parquet" for number in range(2)]
        write_shard(paths[0], groups)
        rewrite(paths[0], paths[1], compression="zstd")
        sizes = [len(group) for group in groups]
        mapped = MappedRows(paths, [0] * len(sizes) + [1] * len(sizes), sizes * 2)

        order = np.random.default_rng(seed).permutation(2 * len(rows))
        for number in order.tolist():
            lr, hr = mapped.pair(number)
            np.testing.assert_array_equal(lr, rows[number % len(rows)].lr)
            np.testing.assert_array_equal(hr, rows[number % len(rows)].hr)
            assert mapped.row(number)["sample_id"] == rows[number % len(rows)].sample_id
        shapes = {(row.lr.shape, row.hr.shape, row.bit_depth) for row in rows}
        assert (mapped.shape_of(order) is not None) == (len(shapes) == 1)
        if len(shapes) > 1:
            with pytest.raises(ShardError, match="cannot be in one batch"):
                mapped.batch(order)
        else:
            lr, hr = mapped.batch(order)
            np.testing.assert_array_equal(lr, np.stack([rows[number % len(rows)].lr for number in order]))
            np.testing.assert_array_equal(hr, np.stack([rows[number % len(rows)].hr for number in order]))


def test_empty_row_groups_of_other_writers_are_passed_over(tmp_path: Path) -> None:
    rows = make_rows("clip", 4)
    write_shard(tmp_path / "a.parquet", [rows])
    table = pq.read_table(tmp_path / "a.parquet")
    path = tmp_path / "b.parquet"
    with pq.ParquetWriter(path, table.schema) as writer:
        for part in (table[:0], table[:3], table[:0], table[3:], table[:0]):
            writer.write_table(part)

    index = load_index(path, "train")
    assert index.rows_of_group.tolist() == [0, 3, 0, 1, 0]
    mapped = MappedRows(index.paths, index.shard_of_group, index.rows_of_group)
    np.testing.assert_array_equal(mapped.batch(np.arange(4))[0], np.stack([row.lr for row in rows]))
    np.testing.assert_array_equal(mapped.pair(3)[1], rows[3].hr)
    assert mapped.row(3)["row"] == 3
    assert verify_shard(path) == []


def test_a_shard_that_is_not_the_indexed_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, [make_rows("clip", 4)])

    with pytest.raises(ShardError, match=r"have \[4\] rows, the index says \[5\]"):
        MappedRows([path], [0], [5]).pair(0)


# Sets


def test_a_set_is_read_as_it_was_written_and_is_the_same_twice(tmp_path: Path) -> None:
    info = write_set(tmp_path / "a", SMALL)
    again = write_set(tmp_path / "b", SMALL)

    assert read_set(tmp_path / "a") == info == again
    assert info.splits == {"test": 2, "train": 9}
    assert info.rows == 11
    assert [shard.name for shard in info.shards] == sorted(shard.name for shard in info.shards)
    for name in (SET_NAME, INDEX_NAME):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert verify_set(tmp_path / "a") == []


def test_the_index_has_each_row_without_pixels(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)

    index = pq.read_table(tmp_path / INDEX_NAME)
    assert index.column_names[:2] == ["shard", "row_group"]
    assert not {"lr", "hr"} & set(index.column_names)
    rows = [row for groups in SMALL.values() for group in groups for row in group]
    assert index["sample_id"].to_pylist() == [row.sample_id for row in rows]
    assert index["pts"].to_pylist() == [list(row.pts) for row in rows]
    assert index["row_group"].to_pylist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0]


def test_verify_names_what_is_missing_too_much_or_altered(tmp_path: Path) -> None:
    info = write_set(tmp_path, SMALL)
    shard = tmp_path / DATA_DIR / info.shards[1].name
    stray = tmp_path / DATA_DIR / "train-00007-of-00009.parquet"
    stray.write_bytes(b"x")
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.write_bytes(data)
    index = bytearray((tmp_path / INDEX_NAME).read_bytes())
    index[50] ^= 1
    (tmp_path / INDEX_NAME).write_bytes(index)
    (tmp_path / DATA_DIR / info.shards[0].name).unlink()

    problems = verify_set(tmp_path)
    assert any("does not know this file" in problem and stray.name in problem for problem in problems)
    assert any("altered: its SHA-256" in problem and shard.name in problem for problem in problems)
    assert any("the file is missing" in problem and info.shards[0].name in problem for problem in problems)
    assert any(INDEX_NAME in problem and "altered" in problem for problem in problems)


def test_a_changed_content_digest_in_the_set_file_is_found(tmp_path: Path) -> None:
    info = write_set(tmp_path, SMALL)
    write_set_json(tmp_path, info.model_copy(update={"content_digest": "0" * 64}))

    assert verify_set(tmp_path) == [f"{tmp_path / SET_NAME}: its content digest is not that of its shards"]


def test_a_folder_that_is_no_set_is_told_apart(tmp_path: Path) -> None:
    write_set(tmp_path / "set", SMALL)
    cases: Sequence[tuple[Path, str]] = [
        (tmp_path / "none", "there is no such folder"),
        (tmp_path, "it has no sr-data.json"),
        (tmp_path / "set" / DATA_DIR, "lies one folder up"),
        (tmp_path / "set" / SET_NAME, "it is a file"),
    ]
    for path, message in cases:
        with pytest.raises(ShardError, match=message):
            read_set(path)
    (tmp_path / "set" / SET_NAME).rename(tmp_path / "away")
    with pytest.raises(ShardError, match="its build did not finish"):
        read_set(tmp_path / "set")
    info = json.loads((tmp_path / "away").read_text())
    for change, message in (({"format": 9}, "has format 9"), ({"rows": "many"}, "rows")):
        (tmp_path / "set" / SET_NAME).write_text(json.dumps(info | change))
        with pytest.raises(ShardError, match=message):
            read_set(tmp_path / "set")
    (tmp_path / "set" / SET_NAME).write_text("{")
    with pytest.raises(ShardError, match="not the description of a shard set"):
        read_set(tmp_path / "set")


def test_the_index_of_a_split_is_the_same_from_the_set_and_from_the_footers(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)

    for split in ("train", "test"):
        of_set = load_index(tmp_path, split)
        of_footers = load_index(tmp_path / DATA_DIR, split)
        assert of_set.paths == of_footers.paths
        np.testing.assert_array_equal(of_set.shard_of_group, of_footers.shard_of_group)
        np.testing.assert_array_equal(of_set.rows_of_group, of_footers.rows_of_group)


def test_an_index_of_another_build_is_an_error(tmp_path: Path) -> None:
    write_set(tmp_path / "a", SMALL)
    write_set(tmp_path / "b", dict(list(SMALL.items())[:2]))
    (tmp_path / "a" / INDEX_NAME).write_bytes((tmp_path / "b" / INDEX_NAME).read_bytes())

    with pytest.raises(ShardError, match="does not go with"):
        load_index(tmp_path / "a", "train")


# Other people's tools


def test_pandas_and_pyarrow_dataset_open_the_shards_as_they_are(tmp_path: Path) -> None:
    write_set(tmp_path, SMALL)
    rows = [row for groups in SMALL.values() for group in groups for row in group]

    frame = pd.read_parquet(tmp_path / DATA_DIR)
    assert sorted(frame["sample_id"]) == sorted(row.sample_id for row in rows)
    one: Any = frame.set_index("sample_id").loc[rows[0].sample_id].to_dict()
    shape = (one["channels"], one["hr_height"], one["hr_width"])
    np.testing.assert_array_equal(np.frombuffer(one["hr"], np.uint8).reshape(shape), rows[0].hr)

    data = pyarrow.dataset.dataset(tmp_path / DATA_DIR, format="parquet")
    found = data.to_table(filter=pc.field("clip") == "c1", columns=["sample_id", "lr"])
    expected = [row for row in rows if row.clip == "c1"]
    assert found["lr"].to_pylist() == [row.lr.tobytes() for row in expected]


# The page


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, False),
        ({"top": 1}, True),
        ({"left": 3}, True),
        ({"lr": np.zeros((1, 4, 8), np.uint8), "hr": np.zeros((1, 12, 24), np.uint8)}, True),
        ({"lr": np.zeros((1, 6, 5), np.uint8), "hr": np.zeros((1, 18, 15), np.uint8)}, True),
    ],
)
def test_packed_planes_are_of_even_place_and_size(change: dict[str, Any], refused: bool) -> None:
    (row,) = make_rows("clip", 1, color="yuv420", height=4, width=8)
    assert (row.lr.shape, row.hr.shape) == ((1, 6, 8), (1, 18, 24))
    changed = dataclasses.replace(row, **change)

    if refused:
        with pytest.raises(ValueError, match="yuv420 has 3/2 of an even number of luma rows"):
            shape_of_row(changed)
    else:
        assert shape_of_row(changed).lr == (1, 6, 8)


def test_the_page_has_every_column_with_its_type_and_the_words_of_its_docstring() -> None:
    page = (Path(__file__).parents[1] / "docs" / "shards.md").read_text()
    kinds = {
        pa.string(): "string",
        pa.int32(): "int32",
        pa.binary(): "binary",
        pa.list_(pa.field("element", pa.int32(), nullable=False)): "list of int32",
        pa.list_(pa.field("element", pa.int64(), nullable=False)): "list of int64",
    }
    lines = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([\w ]+) \| (.+) \|$", page, flags=re.MULTILINE)
    columns = [(name.strip("`"), kind, words) for names, kind, words in lines for name in names.split(", ")]

    assert [(name, kind) for name, kind, _ in columns] == [
        (field.name, kinds[field.type]) for field in SCHEMA
    ]
    source = inspect.getsource(Row)
    docstrings = dict(re.findall(r'^    (\w+): [^\n]+\n    """(.*?)"""$', source, flags=re.MULTILINE))
    for name, _, words in columns:
        if name in {field.name for field in dataclasses.fields(Row)} - {"lr", "hr"}:
            assert words == docstrings[name].replace("``", "`"), name


@pytest.mark.parametrize("model", [SetInfo, ShardInfo])
def test_the_page_has_every_field_of_the_set_file(model: type[Model]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "shards.md").read_text()

    for name, field in model.model_fields.items():
        words = (field.description or "").replace("``", "`")
        assert f"| `{name}` | {words} |" in page


def test_the_example_of_the_page_maps_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "shards.md").read_text()
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "memmap" in code]
    rows = make_rows("clip", 9)
    write_shard(tmp_path / "data" / "train-00000-of-00013.parquet", [rows])
    monkeypatch.chdir(tmp_path)

    names: dict[str, Any] = {}
    exec(example, names)
    np.testing.assert_array_equal(names["hr"], rows[7].hr)
