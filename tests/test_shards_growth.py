"""Parquet files of few bytes that would fill the memory: refused before Arrow makes room, in one sentence."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_sets import SMALL, make_rows, rewrite, write_set, write_shard

from sr_datasets.audit.rows import read_names
from sr_datasets.errors import ShardError
from sr_datasets.inspect.rows import read_index
from sr_datasets.shards.growth import GrowthError, check_file, check_growth
from sr_datasets.shards.index import load_index, read_facts
from sr_datasets.shards.reader import FileMap, ShardReader
from sr_datasets.shards.sets import INDEX_NAME

MIB = 1 << 20
ROWS = 5000


def written(path: Path, table: pa.Table, **options: object) -> tuple[pq.ParquetFile, memoryview]:
    pq.write_table(table, path, compression="zstd", **options)
    return pq.ParquetFile(path), FileMap(path).view


def repeated(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data_page_version": "2.0"},
        {"use_dictionary": False},
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
    ],
    ids=["dictionary", "version 2", "plain", "delta"],
)
def test_a_text_that_stands_in_many_rows_counts_in_each(tmp_path: Path, options: dict[str, object]):
    table = pa.table({"text": pa.array(["x" * 20_000] * 500)})
    file, view = written(tmp_path / "a.parquet", table, **options)

    assert len(view) < 100_000
    check_growth(file, view, [0], [0], most=5300 * MIB)
    with pytest.raises(GrowthError, match=r"row group 0 would take more than .*, at column text"):
        check_growth(file, view, [0], [0], most=9 * MIB)


def test_numbers_count_by_rows_however_few_bytes_they_take(tmp_path: Path):
    table = pa.table({"number": pa.array(np.zeros(2_000_000, np.int32)), "list": pa.array([[1]] * 2_000_000)})
    file, view = written(tmp_path / "a.parquet", table)

    check_growth(file, view, [0], [0], most=64 * MIB)
    for leaf in (0, 1):
        with pytest.raises(GrowthError):
            check_growth(file, view, [0], [leaf], most=7 * MIB)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_a_dictionary_counts_by_its_longest_text_not_by_all_of_it(tmp_path: Path, codec: str):
    names = [f"clip-{number:05}" * 20 for number in range(2000)]
    table = pa.table({"clip": pa.array(names * 300)})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, compression=codec)
    file, view = pq.ParquetFile(path), FileMap(path).view
    if codec == "lz4":  # of which Arrow has several, so it is not opened here
        with pytest.raises(GrowthError):
            check_file(file, view, None)
        return
    check_growth(file, view, [0], [0], most=(200 + 16) * 600_000 + 16 * MIB)


def test_sets_of_ours_and_of_other_tools_are_taken(tmp_path: Path):
    write_set(tmp_path, SMALL)
    places = [*tmp_path.rglob("*.parquet"), *(Path(__file__).parent / "data").glob("shards-*/**/*.parquet")]
    for number, codec in enumerate(("none", "snappy", "gzip", "brotli", "zstd", "lz4")):
        for version in ("1.0", "2.0"):
            foreign = tmp_path / f"foreign-{number}-{version}.parquet"
            rewrite(
                next(tmp_path.rglob("train*.parquet")), foreign, compression=codec, data_page_version=version
            )
            places.append(foreign)
            reader = ShardReader(foreign)
            assert reader.read_row(0).source
            reader.close()
    for path in places:
        with pq.ParquetFile(path) as file:
            check_file(file, FileMap(path).view, None)


def bomb(path: Path, column: str) -> None:
    """Write a file again with a text of a megabyte in each of its rows, 5000 times as many: gigabytes in some kilobytes."""
    table = pq.read_table(path)
    many = table.take(pa.array(np.zeros(ROWS, np.int64)))
    place = many.schema.get_field_index(column)
    many = many.set_column(place, column, repeated("x" * MIB, ROWS))
    pq.write_table(many.replace_schema_metadata(table.schema.metadata), path, compression="zstd")
    assert path.stat().st_size < 200_000


def test_a_row_of_a_shard_that_would_fill_the_memory_is_a_sentence(tmp_path: Path):
    path = tmp_path / "train-00000-of-00001.parquet"
    write_shard(path, [make_rows("c0", 2)])
    bomb(path, "drawn")
    start, taken = time.process_time(), pa.default_memory_pool().max_memory()
    reader = ShardReader(path)
    with pytest.raises(
        ShardError, match=r"row group 0 would take more than 1.1 GB of memory, at column drawn"
    ):
        reader.row(0)
    assert reader.pixels(0)[0].size
    reader.close()
    assert pa.default_memory_pool().max_memory() - taken < 64 * MIB
    assert time.process_time() - start < 5


def test_an_index_that_would_fill_the_memory_is_a_sentence(tmp_path: Path):
    write_set(tmp_path, SMALL)
    bomb(tmp_path / INDEX_NAME, "sample_id")
    refused = pytest.raises(ShardError, match=r"index.parquet cannot be right: row group 0 would take")
    with refused:
        read_names(tmp_path)
    with refused:
        read_index(tmp_path)
    bomb(tmp_path / INDEX_NAME, "shard")
    with refused:
        load_index(tmp_path, "train")
    with refused:
        read_facts(tmp_path, "train", ["clip"])


def test_a_chunk_beyond_the_file_and_a_header_that_is_none_are_told(tmp_path: Path):
    file, view = written(tmp_path / "a.parquet", pa.table({"a": pa.array(range(100))}))
    with pytest.raises(GrowthError, match=r"column a is said to lie at bytes 4 to \d+ of 20"):
        check_growth(file, view[:20], [0], [0])
    with pytest.raises(GrowthError, match=r"column a at byte 4: no header of a page can be read"):
        check_growth(file, memoryview(b"\xff" * len(view)), [0], [0])
