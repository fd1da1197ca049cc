"""Storages: other bytes in the file, the same pixels out of it, and one row stays cheap."""

import dataclasses
import io
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import RECIPE, made_store, recipe_of
from PIL import Image
from shard_sets import make_rows, rewrite
from test_shards import assert_same_row, groups_of_rows

from sr_datasets.build import build_pairs, rederive_set
from sr_datasets.errors import BuildError, RecipeError, ShardError
from sr_datasets.forget import forget
from sr_datasets.shards.mapped import MappedRows
from sr_datasets.shards.pages import iter_pages
from sr_datasets.shards.pictures import planes_of_png, png_of_planes, preview_of
from sr_datasets.shards.reader import ShardReader, summarize_shard
from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, ShardSummary, read_set
from sr_datasets.shards.storage import PAGE_BYTES, Storage
from sr_datasets.shards.verify import verify_set, verify_shard
from sr_datasets.shards.writer import ShardWriter

STORAGES: tuple[Storage, ...] = ("raw", "zstd", "png")


def write(path: Path, groups: list[list[Row]], storage: Storage, *, preview: bool = False) -> ShardSummary:
    with ShardWriter(path, storage=storage, preview=preview, metadata={"recipe": "{}"}) as writer:
        for rows in groups:
            writer.write_group(rows)
    return writer.summary


def fits_png(row: Row) -> bool:
    return row.color == "y" or (row.color == "rgb" and row.bit_depth == 8)


@given(groups=groups_of_rows(), preview=st.booleans(), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_every_storage_gives_back_the_same_rows_and_has_the_same_content_digest(
    groups: list[list[Row]], preview: bool, seed: int
) -> None:
    rows = [row for group in groups for row in group]
    same_frames = len({(row.lr.ndim, row.hr.ndim) for row in rows}) == 1
    storages = [one for one in STORAGES if one != "png" or (same_frames and all(map(fits_png, rows)))]
    with tempfile.TemporaryDirectory() as folder:
        digests = set()
        for storage in storages:
            path = Path(folder) / f"{storage}.parquet"
            summary = write(path, groups, storage, preview=preview)
            digests.add(summary.content_digest)
            reader = ShardReader(path)
            assert (reader.storage, reader.has_preview) == (storage, preview)
            for number, row in enumerate(rows):
                assert_same_row(reader.read_row(number), row)
                assert not {"lr", "hr", "preview"} & reader.row(number).keys()
            mapped = MappedRows([path], [0] * len(groups), [len(group) for group in groups])
            for number in np.random.default_rng(seed).permutation(len(rows)).tolist():
                lr, hr = mapped.pair(number)
                np.testing.assert_array_equal(lr, rows[number].lr)
                np.testing.assert_array_equal(hr, rows[number].hr)
                assert lr.dtype == rows[number].lr.dtype
            assert verify_shard(path, summary) == []
            assert (
                write(Path(folder) / "again.parquet", groups, storage, preview=preview).sha256
                == summary.sha256
            )
            foreign = Path(folder) / "foreign.parquet"
            rewrite(path, foreign, compression="snappy")
            assert verify_shard(foreign) == []
            assert_same_row(ShardReader(foreign).read_row(0), rows[0])
        assert len(digests) == 1


@pytest.mark.parametrize("storage", ["zstd", "png"])
def test_a_row_costs_little_more_than_its_own_pages(tmp_path: Path, storage: Storage) -> None:
    path = tmp_path / "a.parquet"
    write(path, [make_rows("clip", 40, height=32, width=32)], storage)  # LR 3072 bytes, HR 27,648

    data = memoryview(path.read_bytes())
    group = pq.read_metadata(path).row_group(0)
    chunks = {
        group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)
    }
    for name in ("lr", "hr"):
        chunk = chunks[f"{name}.bytes" if storage == "png" else name]
        start = chunk.data_page_offset
        pages = list(iter_pages(data, start, start + chunk.total_compressed_size))
        row_bytes = max(page.raw_size // page.num_values for page in pages)
        assert sum(page.num_values for page in pages) == 40
        assert max(page.raw_size for page in pages) < PAGE_BYTES + row_bytes
        assert chunk.has_offset_index
        assert chunk.compression == ("ZSTD" if storage == "zstd" else "UNCOMPRESSED")
    assert chunks["row"].has_column_index
    assert chunks["row"].compression == "UNCOMPRESSED"
    assert (
        sum(
            1
            for _ in iter_pages(
                data,
                chunks["row"].data_page_offset,
                chunks["lr.bytes" if storage == "png" else "lr"].data_page_offset,
            )
        )
        < 60
    )


def test_rows_are_read_by_a_reader_that_is_closed_and_by_a_process_of_its_own(tmp_path: Path) -> None:
    rows = make_rows("clip", 6)
    paths = [tmp_path / f"{number}.parquet" for number in range(12)]
    for path in paths:
        write(path, [rows], "zstd")
    mapped = MappedRows(paths, range(12), [6] * 12)
    np.testing.assert_array_equal(mapped.batch(np.arange(72))[1], np.stack([row.hr for row in rows] * 12))
    again = pickle.loads(pickle.dumps(mapped))
    np.testing.assert_array_equal(again.pair(71)[0], rows[5].lr)


@pytest.mark.parametrize("storage", ["zstd", "png"])
def test_an_altered_page_is_an_error_that_names_the_row(tmp_path: Path, storage: Storage) -> None:
    path = tmp_path / "a.parquet"
    write(path, [make_rows("clip", 8, height=40, width=40)], storage)
    paged = ShardReader(path).group(0).paged
    assert paged is not None
    hr = paged._columns["hr"]
    hr.values(5)
    assert hr._pages is not None
    data = bytearray(path.read_bytes())
    data[hr._pages[5].at + 100] ^= 4
    path.write_bytes(data)

    reader = ShardReader(path)
    reader.pixels(4)
    with pytest.raises(ShardError, match=r"hr of row 5 \(row group 0\): the page at byte \d+: its CRC-32 is"):
        reader.pixels(5)


@pytest.mark.parametrize(
    ("planes", "mode"),
    [
        (np.arange(256, dtype=np.uint8).reshape(1, 16, 16), "L"),
        (np.arange(65536, dtype=np.uint16).reshape(1, 256, 256), "I;16"),
        (np.random.default_rng(0).integers(0, 256, (3, 7, 5), np.uint8), "RGB"),
    ],
)
def test_a_png_is_lossless_and_any_viewer_reads_it(planes: Any, mode: str) -> None:
    data = png_of_planes(planes)
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.mode) == ("PNG", mode)
    found = planes_of_png(data)
    np.testing.assert_array_equal(found, planes)
    assert found.dtype == planes.dtype


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (make_rows("clip", 1, color="yuv420", height=4, width=4), "PNG has no 4:2:0 planes"),
        (make_rows("clip", 1, bit_depth=10), "rgb of up to 8 bits, not 10"),
    ],
)
def test_what_png_cannot_hold_is_refused(tmp_path: Path, rows: list[Row], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "a.parquet", [rows], "png")
    assert list(tmp_path.iterdir()) == []


def test_single_pictures_and_windows_do_not_mix_in_a_shard_of_png(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another number of frames"):
        write(tmp_path / "a.parquet", [make_rows("a", 1), make_rows("b", 1, frames=3)], "png")


@pytest.mark.parametrize("storage", STORAGES)
def test_an_empty_shard_of_each_storage_is_whole(tmp_path: Path, storage: Storage) -> None:
    path = tmp_path / "train-00001-of-00002.parquet"
    summary = write(path, [], storage, preview=True)

    assert verify_shard(path, summary) == []
    assert ShardReader(path).num_rows == 0


def test_a_preview_shows_lr_beside_hr(tmp_path: Path) -> None:
    (row,) = make_rows("clip", 1)
    picture = planes_of_png(preview_of(row))
    assert picture.shape == (3, 12, 30)
    np.testing.assert_array_equal(picture[:, ::3, :15:3], row.lr)
    np.testing.assert_array_equal(picture[:, :, 15:], row.hr)

    (wide,) = make_rows("clip", 1, color="yuv420", height=60, width=60, scale=4, bit_depth=10)
    assert planes_of_png(preview_of(wide)).shape == (1, 120, 240)
    without = dataclasses.replace(wide, lr=wide.lr[:, :0, :0])
    assert planes_of_png(preview_of(without)).shape == (1, 120, 120)


# Sets


@pytest.fixture
def store(tmp_path, monkeypatch):
    return made_store(tmp_path, monkeypatch)


@pytest.mark.parametrize("storage", ["zstd", "png"])
@pytest.mark.parametrize("window", [1, 3])
def test_a_set_of_each_storage_is_built_verified_rederived_and_forgotten(store, tmp_path, storage, window):
    sampling = f"sampling: {{kind: uniform, patches_per_pair: 4, lr_size: 8, window: {window}}}"
    text = "\n".join(sampling if line.startswith("sampling") else line for line in RECIPE.splitlines())
    recipe = recipe_of(tmp_path, text, storage=storage, preview=True)
    raw = build_pairs(recipe_of(tmp_path, text), out_dir=tmp_path / "raw", store=store)
    one = build_pairs(recipe, out_dir=tmp_path / "one", store=store)
    build_pairs(recipe, out_dir=tmp_path / "two", store=store, workers=2)

    names = sorted(path.name for path in (tmp_path / "one" / DATA_DIR).iterdir())
    for name in names:
        assert (tmp_path / "one" / DATA_DIR / name).read_bytes() == (
            tmp_path / "two" / DATA_DIR / name
        ).read_bytes()
    assert one.content_digest == raw.content_digest
    assert not {"lr", "hr", "preview"} & set(pq.read_schema(tmp_path / "one" / INDEX_NAME).names)
    assert verify_set(tmp_path / "one") == []
    report = rederive_set(tmp_path / "one", store=store)
    assert report.ok
    assert report.from_source == one.num_rows

    forget(store, ["made/clip1"])

    assert verify_set(tmp_path / "one") == []
    left = read_set(tmp_path / "one")
    assert left.rows == one.num_rows - 4
    assert left.content_digest == read_set(tmp_path / "raw").content_digest
    for shard in left.shards:
        reader = ShardReader(tmp_path / "one" / DATA_DIR / shard.name)
        assert (reader.storage, reader.has_preview) == (storage, True)
        assert summarize_shard(reader.path).sha256 == shard.sha256


@pytest.mark.torch
@pytest.mark.parametrize("storage", STORAGES)
def test_pair_dataset_reads_each_storage(store, tmp_path, storage):
    torch = pytest.importorskip("torch")
    from sr_datasets import PairDataset

    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "raw", store=store)
    build_pairs(recipe_of(tmp_path, storage=storage, preview=True), out_dir=tmp_path / "other", store=store)
    expected, found = PairDataset(tmp_path / "raw"), PairDataset(tmp_path / "other")

    order = torch.randperm(len(expected)).tolist()
    for name in ("lr", "hr"):
        torch.testing.assert_close(found[order][name], expected[order][name], rtol=0, atol=0)
        torch.testing.assert_close(found[order[0]][name], expected[order[0]][name], rtol=0, atol=0)
    assert found.row(3) == expected.row(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("color: yuv420\nstorage: png", "storage: png has no 4:2:0 planes"),
        ("color: y\nstorage: png\ndegradation: {kind: none}", "storage: png has no picture without samples"),
    ],
)
def test_a_recipe_that_png_cannot_hold_is_refused(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message):
        recipe_of(tmp_path, RECIPE.replace("color: y", changes))


def test_a_clip_whose_samples_png_cannot_hold_is_refused_before_anything_is_built(
    store, tmp_path, monkeypatch
):
    from sr_datasets.build import planning

    monkeypatch.setattr(planning, "hr_depth", lambda recipe, info: 10)
    recipe = recipe_of(tmp_path, color="rgb", storage="png")

    with pytest.raises(BuildError, match=r"made/clip\d has R'G'B' of 10 bits, and storage: png holds 8"):
        build_pairs(recipe, out_dir=tmp_path / "out", store=store)


def test_shards_that_polars_wrote_again_are_read_alike(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    rows = make_rows("c0", 4)
    shard = tmp_path / "shard.parquet"
    write(shard, [rows], "raw")
    for compression in ("uncompressed", "zstd"):
        again = tmp_path / f"{compression}.parquet"
        polars.read_parquet(shard).write_parquet(again, compression=compression)
        reader = ShardReader(again)
        for number, row in enumerate(rows):
            for found, stored in zip(reader.pixels(number), (row.lr, row.hr), strict=True):
                np.testing.assert_array_equal(found, stored)
