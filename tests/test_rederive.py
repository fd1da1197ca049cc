"""LR is a pure function of HR, degradation and key: every LR of a set can be made again."""

import json

import numpy as np
import pytest
from made import RECIPE, made_store, recipe_of
from test_build_errors import rows_of

from sr_datasets.build import build_pairs, rederive_set
from sr_datasets.recipe import BdBasicVsr, BdDuf, Bicubic, UniformSampling
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.writer import WRITER_KEYS, ShardWriter
from sr_datasets.store import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    return made_store(tmp_path, monkeypatch)


def rewrite(path, change):
    """Write a shard anew with other pixels in its first row, everything else as it was."""
    reader = ShardReader(path)
    groups = [
        [reader.read_row(number) for number in range(first, first + count)]
        for first, count in (reader.rows_of(group) for group in range(reader.num_groups))
    ]
    metadata = {key: value for key, value in reader.metadata.items() if key not in WRITER_KEYS}
    reader.close()
    change(groups[0][0])
    with ShardWriter(path, metadata=metadata) as writer:
        for rows in groups:
            writer.write_group(rows)


@pytest.mark.parametrize("degradation", [Bicubic(), BdDuf(), BdBasicVsr()], ids=lambda kind: kind.kind)
def test_every_row_comes_out_equal_from_its_clip(store, tmp_path, degradation):
    recipe = recipe_of(tmp_path, degradation=degradation, sampling=UniformSampling(lr_size=8, window=3))
    build_pairs(recipe, out_dir=tmp_path / "out", store=store)

    report = rederive_set(tmp_path / "out", store=store)

    assert report.ok
    assert report.from_source == 150
    assert report.missing_clips == []


@pytest.mark.parametrize("hr_frames", ["centre", "all"])
def test_windows_of_frames_are_made_of_the_stored_hr_too(store, tmp_path, hr_frames):
    sampling = UniformSampling(lr_size=12, window=3, hr_frames=hr_frames)
    build_pairs(recipe_of(tmp_path, sampling=sampling), out_dir=tmp_path / "out", store=store)
    place = 1 if hr_frames == "centre" else 2

    report = rederive_set(tmp_path / "out", store=Store(tmp_path / "empty"))
    assert report.ok
    assert report.from_hr == 150

    def flip(row):
        row.lr[place, 0, 6, 6] ^= 1

    rewrite(min((tmp_path / "out" / "data").glob("*.parquet")), flip)
    assert len(rederive_set(tmp_path / "out", store=Store(tmp_path / "empty")).different) == 1


def test_a_damaged_index_is_no_success(store, tmp_path):
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)
    (tmp_path / "out" / "index.parquet").unlink()

    report = rederive_set(tmp_path / "out", store=store)

    assert not report.ok
    assert "index.parquet" in report.to_text()


def test_one_altered_sample_is_found_with_its_row(store, tmp_path):
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)
    changed = []

    def flip(row):
        row.lr[0, 3, 4] ^= 1
        changed.append(row.sample_id)

    shard = min((tmp_path / "out" / "data").glob("train-*.parquet"))
    rewrite(shard, flip)

    report = rederive_set(tmp_path / "out", store=store)

    assert not report.ok
    assert report.different == [f"{changed[0]}: lr (1 of 64 samples, at most 1 apart)"]
    assert "altered" in report.to_text()


def test_without_the_clips_the_interior_is_made_of_the_stored_hr(store, tmp_path):
    recipe = recipe_of(tmp_path, sampling=UniformSampling(lr_size=12))
    build_pairs(recipe, out_dir=tmp_path / "out", store=store)
    empty = Store(tmp_path / "empty")

    report = rederive_set(tmp_path / "out", store=empty)

    assert report.ok
    assert (report.from_source, report.from_hr, report.unknown) == (0, 150, 0)
    assert len(report.missing_clips) == 5
    inside = []

    def flip(row):
        row.lr[0, 6, 6] ^= 1
        inside.append(row.sample_id)

    rewrite(min((tmp_path / "out" / "data").glob("*.parquet")), flip)
    report = rederive_set(tmp_path / "out", store=empty)
    assert [line.partition(":")[0] for line in report.different] == inside


@pytest.mark.parametrize("hr_frames", ["centre", "all"])
def test_noise_is_made_again_of_the_stored_hr_too(store, tmp_path, hr_frames):
    noisy = "degradation: {kind: chain, steps: [{kind: bicubic}, {kind: gaussian-noise, sigma: {low: 2, high: 9}}]}\n"
    sampling = UniformSampling(lr_size=12, patches_per_pair=3, window=3, hr_frames=hr_frames)
    build_pairs(
        recipe_of(tmp_path, text=RECIPE + noisy, sampling=sampling), out_dir=tmp_path / "out", store=store
    )
    empty = Store(tmp_path / "empty")

    report = rederive_set(tmp_path / "out", store=empty)
    assert (report.ok, report.from_hr, report.unknown) == (True, 15, 0)

    def flip(row):
        row.lr[1, 0, 6, 6] ^= 1

    rewrite(min((tmp_path / "out" / "data").glob("*.parquet")), flip)
    assert len(rederive_set(tmp_path / "out", store=empty).different) == 1


def test_when_nothing_can_be_made_again_that_is_no_success(store, tmp_path):
    recipe = recipe_of(tmp_path, text=RECIPE + "degradation: {kind: none, halo: 3}\n")
    build_pairs(recipe, out_dir=tmp_path / "out", store=store)

    report = rederive_set(tmp_path / "out", store=Store(tmp_path / "empty"))

    assert not report.ok
    assert "nothing was compared" in report.to_text()


def test_a_set_of_other_software_says_so_before_it_says_altered(store, tmp_path):
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)
    path = tmp_path / "out" / "sr-data.json"
    info = json.loads(path.read_text())
    info["packages"]["av"] = "1.0.0"
    path.write_text(json.dumps(info))
    rewrite(min((tmp_path / "out" / "data").glob("*.parquet")), lambda row: np.copyto(row.lr, 0))

    report = rederive_set(tmp_path / "out", store=store)

    assert not report.ok
    assert "av: 1.0.0, here " in report.to_text()
    assert "altered" not in report.to_text()


def test_rows_of_the_interior_do_not_touch_the_set(store, tmp_path):
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)
    before = {name: row.lr.copy() for name, row in rows_of(tmp_path / "out").items()}

    rederive_set(tmp_path / "out", store=store)

    for name, row in rows_of(tmp_path / "out").items():
        np.testing.assert_array_equal(row.lr, before[name])


def test_another_build_of_an_encoder_is_named_and_the_set_is_not_called_altered(store, tmp_path):
    recipe = recipe_of(tmp_path, text=RECIPE + "degradation: ntire-rtsr\n")
    build_pairs(recipe, out_dir=tmp_path / "out", store=store)
    assert rederive_set(tmp_path / "out", store=store).ok
    path = tmp_path / "out" / "sr-data.json"
    info = json.loads(path.read_text())
    assert info["packages"]["encoder jpeg"]
    info["packages"]["encoder jpeg"] = "libjpeg of 1991"
    path.write_text(json.dumps(info))
    rewrite(min((tmp_path / "out" / "data").glob("*.parquet")), lambda row: np.copyto(row.lr, 0))

    text = rederive_set(tmp_path / "out", store=store).to_text()

    assert "made with another encoder" in text
    assert "encoder jpeg: libjpeg of 1991, here " in text
    assert "altered" not in text
