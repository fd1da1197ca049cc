"""Sets of old stay readable: tests/data/shards-1 is of version 1, shards-2 of version 2 before it knew the size of frames."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made import made_store

from sr_datasets.build import build_pairs, rederive_set
from sr_datasets.errors import ShardError
from sr_datasets.forget import forget
from sr_datasets.inspect import describe_row, inspect_set, read_index
from sr_datasets.recipe import Recipe
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.schema import SCHEMA
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, SET_NAME, read_set
from sr_datasets.shards.verify import verify_set
from sr_datasets.store import Store

OLD = Path(__file__).parent / "data" / "shards-1"
EARLY = Path(__file__).parent / "data" / "shards-2"
DIGEST = "f621b3cf8ac4a19587842c5c9aa468d78ff927239e167de360d0ec8db882263d"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_it_is_of_version_1_and_lacks_what_came_later():
    info = read_set(OLD)
    reader = ShardReader(OLD / DATA_DIR / info.shards[0].name)

    assert (info.format, reader.format_version) == (1, 1)
    assert not {"chroma_filter", "frame_height", "frame_width"} & set(reader.column_names)
    assert info.content_digest == DIGEST


def test_its_rows_are_read_with_defaults_for_the_columns_that_came_later():
    info = read_set(OLD)
    reader = ShardReader(OLD / DATA_DIR / info.shards[0].name)

    row = reader.read_row(1)
    assert (row.chroma_filter, row.color, row.siting) == ("linear", "rgb", "center")
    assert (row.lr.shape, row.hr.shape) == ((3, 10, 10), (3, 30, 30))
    assert list(reader.row(1)) == [name for name in SCHEMA.names if name not in ("lr", "hr")]


def test_it_is_verified_and_inspected(old):
    assert verify_set(old) == []
    assert inspect_set(old, verify=True).info.rows == 9
    assert describe_row(old, 0)["chroma_filter"] == "linear"


@pytest.mark.torch
def test_pair_dataset_hands_it_out():
    pytest.importorskip("torch")
    from sr_datasets import PairDataset

    ds = PairDataset(OLD)
    batch = ds[[5, 0, 3]]
    assert (tuple(batch["lr"].shape), tuple(batch["hr"].shape)) == ((3, 3, 10, 10), (3, 3, 30, 30))
    assert ds.row(5)["chroma_filter"] == "linear"
    told = PairDataset(OLD, columns=("frame_width", "chroma_filter"), where="chroma_filter = 'linear'")
    assert (told[0]["frame_width"], told[0]["chroma_filter"], len(told)) == (0, "linear", len(ds))


def test_sets_of_version_2_without_frame_sizes_are_whole_and_say_that_they_know_none():
    info = read_set(EARLY)
    reader = ShardReader(EARLY / DATA_DIR / info.shards[0].name)

    assert (info.format, verify_set(EARLY)) == (2, [])
    assert "frame_height" not in reader.column_names
    assert list(reader.row(0)) == [name for name in SCHEMA.names if name not in ("lr", "hr")]
    assert (reader.read_row(0).frame_height, describe_row(EARLY, 0)["frame_width"]) == (0, 0)
    assert inspect_set(EARLY).info.rows == 9


@pytest.mark.torch
def test_lr_is_made_of_them_but_for_the_noise_of_a_build():
    pytest.importorskip("torch")
    from sr_datasets import FreshLr, PairDataset

    noisy = {"kind": "chain", "steps": [{"kind": "bicubic"}, {"kind": "gaussian-noise", "sigma": 5}]}
    assert tuple(PairDataset(EARLY, degrade=noisy)[[0, 4]]["lr"].shape) == (2, 3, 6, 6)
    assert len(PairDataset(EARLY, degrade=FreshLr("bicubic", every_epoch=False))[0]["lr"]) == 3
    with pytest.raises(ShardError, match="this set was built before rows said how large that is"):
        PairDataset(EARLY, degrade=FreshLr(noisy, every_epoch=False))


@pytest.mark.parametrize("storage", ["raw", "zstd"])
def test_a_build_of_today_has_the_content_digest_of_then_and_says_how_large_frames_are(
    storage, tmp_path, monkeypatch
):
    store = made_store(tmp_path, monkeypatch)
    recipe = Recipe.model_validate(read_set(EARLY).recipe).model_copy(update={"storage": storage})

    report = build_pairs(recipe, out_dir=tmp_path / "out", store=store)

    assert report.content_digest == read_set(EARLY).content_digest
    sizes = {
        (row["clip"], row["frame_height"], row["frame_width"])
        for row in read_index(tmp_path / "out").to_pylist()
    }
    assert sizes == {("clip0", 80, 96), ("clip2", 64, 120), ("clip4", 72, 100)}


def test_its_lr_is_made_again_from_its_clips_and_from_its_hr(tmp_path, monkeypatch):
    store = made_store(tmp_path, monkeypatch)

    report = rederive_set(OLD, store=store)
    assert (report.ok, report.from_source) == (True, 9)
    report = rederive_set(OLD, store=Store(tmp_path / "empty"))
    assert (report.ok, report.from_hr) == (True, 9)


def test_a_recipe_that_is_no_longer_followed_is_an_error_that_says_whose_it_is(old):
    text = json.loads((old / SET_NAME).read_text())
    text["recipe"]["sampling"]["kind"] = "spiral"
    (old / SET_NAME).write_text(json.dumps(text))

    with pytest.raises(
        ShardError,
        match=r"its recipe cannot be followed by this version: sampling: .*sr-datasets 0\.1\.0: use that",
    ):
        rederive_set(old, store=Store(old / "empty"))


def test_clips_are_forgotten_in_it_and_what_is_left_is_of_this_version(old, tmp_path, monkeypatch):
    store = made_store(tmp_path, monkeypatch)
    kept = ShardReader(old / DATA_DIR / "train-00000-of-00001.parquet")
    names = [kept.row(number)["sample_id"] for number in range(kept.num_rows)]
    gone = names[0].rsplit("/", 1)[0]
    pixels = {name: kept.pixels(number) for number, name in enumerate(names)}
    kept.close()

    forget(store, [gone], sets=[old])

    assert verify_set(old) == []
    info = read_set(old)
    assert (info.format, info.rows) == (2, 6)
    versions = {shard.name: ShardReader(old / DATA_DIR / shard.name).format_version for shard in info.shards}
    assert versions == {"test-00000-of-00001.parquet": 1, "train-00000-of-00001.parquet": 2}
    index = pq.read_table(old / INDEX_NAME)
    assert set(index["chroma_filter"].to_pylist()) == {"linear"}
    reader = ShardReader(old / DATA_DIR / "train-00000-of-00001.parquet")
    for number in range(reader.num_rows):
        lr, hr = reader.pixels(number)
        np.testing.assert_array_equal(lr, pixels[reader.row(number)["sample_id"]][0])
        np.testing.assert_array_equal(hr, pixels[reader.row(number)["sample_id"]][1])


def test_a_newer_version_of_a_set_or_shard_is_refused(old):
    text = (old / SET_NAME).read_text()
    (old / SET_NAME).write_text(text.replace('"format": 1', '"format": 3', 1))
    with pytest.raises(
        ShardError, match=r"has format 3; this sr-datasets reads up to 2\. Install a newer sr-datasets"
    ):
        read_set(old)

    path = old / DATA_DIR / "test-00000-of-00001.parquet"
    data = pq.read_table(path)
    pq.write_table(data.replace_schema_metadata({"sr-datasets.format": "3"}), path)
    with pytest.raises(ShardError, match="has shard format 3; this sr-datasets reads up to 2"):
        ShardReader(path).pixels(0)


def test_the_same_recipe_has_the_same_content_digest_today(tmp_path, monkeypatch):
    store = made_store(tmp_path, monkeypatch)
    recipe = Recipe.model_validate(read_set(OLD).recipe)

    for storage in ("raw", "zstd", "png"):
        out_dir = tmp_path / storage
        report = build_pairs(recipe.model_copy(update={"storage": storage}), out_dir=out_dir, store=store)
        assert report.content_digest == DIGEST
