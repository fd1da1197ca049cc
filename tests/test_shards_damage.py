"""One altered byte anywhere in a set is found, and where: file, row group, column, rows."""

import hashlib
import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_sets import make_rows

from sr_datasets.errors import ShardError
from sr_datasets.shards.damage import chunks_of
from sr_datasets.shards.pages import crc_bytes, crc_field, iter_pages
from sr_datasets.shards.sets import (
    DATA_DIR,
    INDEX_NAME,
    SET_NAME,
    InputInfo,
    SkippedInput,
    describe_set,
    read_set,
    write_index,
    write_set_json,
)
from sr_datasets.shards.storage import Storage
from sr_datasets.shards.verify import verify_set
from sr_datasets.shards.writer import ShardWriter

SHARD = "train-00000-of-00001.parquet"
STORAGES: tuple[Storage, ...] = ("raw", "zstd", "png")


def write_set(set_dir: Path, storage: Storage) -> None:
    recipe = {"id": "small", "title": "Small", "seed": 7}
    path = set_dir / DATA_DIR / SHARD
    with ShardWriter(path, metadata={"recipe": json.dumps(recipe)}, storage=storage, preview=True) as writer:
        writer.write_group(make_rows("one", 5, height=24, width=24))
        writer.write_group(make_rows("two", 4, height=24, width=24))
    info = describe_set(
        recipe=recipe,
        shards=[writer.summary],
        index=write_index(set_dir, [writer.summary]),
        inputs=[InputInfo(source="xiph", clip="one", split="train", sha256="a" * 64, origin="imported")],
        skipped=[SkippedInput(source="xiph", clip="c9", reason="too small")],
        packages={"pyarrow": pa.__version__},
    )
    write_set_json(set_dir, info)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[Storage, Path]:
    root = tmp_path_factory.mktemp("sets")
    for storage in STORAGES:
        write_set(root / storage, storage)
        assert verify_set(root / storage) == []
    return {storage: root / storage for storage in STORAGES}


def problems_of(set_dir: Path) -> list[str]:
    try:
        return verify_set(set_dir)
    except ShardError as error:
        return [str(error)]


def problems_after(set_dir: Path, name: str, at: int, change: int) -> list[str]:
    path = set_dir / name
    data = path.read_bytes()
    altered = bytearray(data)
    altered[at] ^= change
    path.write_bytes(altered)
    try:
        return problems_of(set_dir)
    finally:
        path.write_bytes(data)


def layout(path: Path) -> list[tuple[int, int, str]]:
    """Return the parts of a Parquet file: first byte, byte behind the last, what its problem must say."""
    data = path.read_bytes()
    footer = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    parts = [(0, 4, "first 4 bytes")]
    for chunk in chunks_of(pq.read_metadata(path)):
        column = rf"row group {chunk.group} \(rows? [\d to]+\), column {re.escape(chunk.column)}"
        for page in iter_pages(memoryview(data), chunk.start, chunk.end):
            parts.append((page.header_at, page.at, column))
            parts.append((page.at, page.end, f"{column}, page at bytes {page.at} to {page.end} .*CRC-32"))
    parts += [(parts[-1][1], footer, "in the page index"), (footer, len(data) - 8, "footer")]
    return [*parts, (len(data) - 8, len(data) - 4, "footer"), (len(data) - 4, len(data), "last 4 bytes")]


@given(
    storage=st.sampled_from(STORAGES),
    name=st.sampled_from([f"{DATA_DIR}/{SHARD}", INDEX_NAME, SET_NAME]),
    place=st.floats(0, 1, exclude_max=True),
    change=st.integers(1, 255),
)
@settings(max_examples=250, deadline=None)
def test_any_altered_byte_is_found_in_its_file(
    sets: dict[Storage, Path], storage: Storage, name: str, place: float, change: int
) -> None:
    set_dir = sets[storage]
    at = int(place * (set_dir / name).stat().st_size)

    problems = problems_after(set_dir, name, at, change)

    assert problems
    assert any(str(set_dir / name) in problem for problem in problems)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", [f"{DATA_DIR}/{SHARD}", INDEX_NAME])
def test_an_altered_byte_of_each_part_of_a_file_is_located(
    sets: dict[Storage, Path], storage: Storage, name: str
) -> None:
    path = sets[storage] / name
    rng = np.random.default_rng(0)
    parts = layout(path)
    some = rng.permutation(len(parts) - 5)[:40].tolist() + list(range(len(parts) - 5, len(parts))) + [0]
    for start, end, expected in (parts[number] for number in some):
        if start == end:
            continue
        at = int(rng.integers(start, end))
        problems = problems_after(sets[storage], name, at, 1 << int(rng.integers(8)))
        text = "\n".join(problems)
        assert re.search(expected, text), (at, start, end, expected, text)


@pytest.mark.parametrize("storage", ["zstd", "png"])
def test_an_altered_pixel_of_a_compressed_shard_is_located_by_its_row(
    sets: dict[Storage, Path], storage: Storage
) -> None:
    path = sets[storage] / DATA_DIR / SHARD
    data = memoryview(path.read_bytes())
    (chunk,) = [
        one
        for one in chunks_of(pq.read_metadata(path))
        if one.group == 1 and one.column in ("hr", "hr.bytes")
    ]
    pages = list(iter_pages(data, chunk.start, chunk.end))
    assert len(pages) == 4

    found = problems_after(sets[storage], f"{DATA_DIR}/{SHARD}", pages[2].at + 50, 1)

    assert any(f"row group 1 (row 7), column {chunk.column}, page at bytes" in problem for problem in found)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", [f"{DATA_DIR}/{SHARD}", INDEX_NAME])
def test_an_altered_checksum_is_told_from_altered_data(
    sets: dict[Storage, Path], storage: Storage, name: str
) -> None:
    path = sets[storage] / name
    data = memoryview(path.read_bytes())
    rng = np.random.default_rng(1)
    pages = [
        page
        for chunk in chunks_of(pq.read_metadata(path))
        for page in iter_pages(data, chunk.start, chunk.end)
    ]
    for page in (pages[number] for number in rng.permutation(len(pages))[:8]):
        start, end = crc_field(data, page)
        assert crc_bytes(zlib.crc32(data[page.at : page.end])) == data[start:end]
        at = int(rng.integers(start, min(end, start + 4)))  # a fifth byte has bits that mean nothing
        text = "\n".join(problems_after(sets[storage], name, at, 1 << int(rng.integers(6))))
        assert f"byte {at}, in the CRC-32 that the header of a page holds" in text
        assert "the page's data are right" in text


def test_a_footer_of_the_index_that_cannot_be_read_is_located_to_the_byte(sets: dict[Storage, Path]) -> None:
    path = sets["raw"] / INDEX_NAME
    data = path.read_bytes()
    footer = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]

    for at in range(footer, len(data) - 8, 97):
        assert f"byte {at}, in the footer" in "\n".join(problems_after(sets["raw"], INDEX_NAME, at, 255))


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        (b'"rows": 9', b'"rows": 8', r"rows of train-00000-of-00001\.parquet is 8, the file has 9"),
        (b'"imported"', b'"importes"', "altered: it has not the SHA-256 that it says it has"),
        (b"too small", b"too smell", "altered: it has not the SHA-256 that it says it has"),
        (b'"seed": 7', b'"seed": 6', "altered: it has not the SHA-256"),
        (b'"shards"', b'"shardz"', "does not say what format 2 says: shards"),
        (b'"sha256": "', b'"sha257": "', "does not say what format 2 says"),
    ],
)
def test_what_was_altered_in_the_description_is_told_from_damage_of_shards(
    sets: dict[Storage, Path], tmp_path: Path, find: bytes, replace: bytes, message: str
) -> None:
    set_dir = Path(shutil.copytree(sets["raw"], tmp_path / "set"))
    text = (set_dir / SET_NAME).read_bytes()
    head, found, tail = text.rpartition(find)
    assert found
    (set_dir / SET_NAME).write_bytes(head + replace + tail)

    problems = problems_of(set_dir)

    assert all(problem.startswith(str(set_dir / SET_NAME)) for problem in problems), problems
    assert any(re.search(message, problem) for problem in problems), problems


def test_an_index_whose_lines_are_not_the_rows_is_found(sets: dict[Storage, Path], tmp_path: Path) -> None:
    set_dir = Path(shutil.copytree(sets["raw"], tmp_path / "set"))
    table = pq.read_table(set_dir / INDEX_NAME)
    place = table.column_names.index("top")
    pq.write_table(
        table.set_column(place, table.schema.field("top"), pa.array([9] * 9, pa.int32())),
        set_dir / INDEX_NAME,
    )
    other = set_dir / INDEX_NAME
    info = read_set(set_dir)
    changed = info.index.model_copy(
        update={
            "size_bytes": other.stat().st_size,
            "sha256": hashlib.sha256(other.read_bytes()).hexdigest(),
        }
    )
    write_set_json(set_dir, info.model_copy(update={"index": changed}))

    assert verify_set(set_dir) == [f"{other}: its lines of {SHARD} are not the rows of that shard"]


def test_the_description_says_its_own_hash_as_the_page_says(sets: dict[Storage, Path]) -> None:
    text = (sets["raw"] / SET_NAME).read_text()
    said = json.loads(text)["sha256"]

    assert hashlib.sha256(text.replace(said, "0" * 64).encode()).hexdigest() == said
