"""Clips that fail, dry runs and reports of a build."""

import json
import shutil

import numpy as np
import pytest
from made import RECIPE, made_store, recipe_of
from typer.testing import CliRunner

from sr_datasets.build import REPORT_NAME, build_pairs, estimate_build
from sr_datasets.build.checking import unpublished_scale
from sr_datasets.cli.main import app
from sr_datasets.errors import BuildError, DecodeError, StoreError
from sr_datasets.inspect import inspect_set
from sr_datasets.recipe import BdSpmc
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.sets import read_set


@pytest.fixture
def store(tmp_path, monkeypatch):
    return made_store(tmp_path, monkeypatch)


def rows_of(folder):
    rows = {}
    for path in sorted((folder / "data").glob("*.parquet")):
        reader = ShardReader(path)
        for number in range(reader.num_rows):
            row = reader.read_row(number)
            rows[row.sample_id] = row
    return rows


def spoil(store, clip):
    """Break the marker of the clip's third frame, and let the store think that it verified those bytes."""
    record = store.find("made", clip)
    path = store.path_of(record)
    data = bytearray(path.read_bytes())
    data[data.index(b"FRAME", data.index(b"FRAME", data.index(b"FRAME") + 1) + 1)] = ord("x")
    path.write_bytes(data)
    stat = path.stat()
    file = record.files[0].model_copy(update={"mtime_ns": stat.st_mtime_ns})
    store.put(record.model_copy(update={"files": (file,)}))


def test_a_clip_that_cannot_be_read_ends_the_build(store, tmp_path):
    spoil(store, "clip1")

    with pytest.raises(Exception, match=r"clip1\.y4m"):
        build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)

    assert not (tmp_path / "out" / "sr-data.json").exists()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_clip_left_out_moves_no_other_row_and_is_named_with_the_reason(store, tmp_path, workers):
    recipe = recipe_of(tmp_path)
    build_pairs(recipe, out_dir=tmp_path / "all", store=store)
    whole = rows_of(tmp_path / "all")
    spoil(store, "clip1")

    report = build_pairs(recipe, out_dir=tmp_path / "out", store=store, on_error="skip", workers=workers)

    (failed,) = report.failed
    assert (failed.source, failed.clip) == ("made", "clip1")
    assert "FRAME" in failed.reason
    assert str(tmp_path) not in failed.reason
    left = rows_of(tmp_path / "out")
    assert set(whole) - set(left) == {name for name in whole if "/clip1/" in name}
    for name, row in left.items():
        np.testing.assert_array_equal(row.hr, whole[name].hr)
        np.testing.assert_array_equal(row.lr, whole[name].lr)
    info = read_set(tmp_path / "out")
    assert "clip1" in {clip.clip for clip in info.skipped}
    assert "clip1" not in {clip.clip for clip in info.inputs}
    assert info.rows == len(left) == report.num_rows
    assert json.loads((tmp_path / "out" / REPORT_NAME).read_text())["failed"][0]["clip"] == "clip1"
    inspect_set(tmp_path / "out", verify=True)


def test_a_build_that_skipped_runs_again_and_one_that_must_not_skip_fails(store, tmp_path):
    recipe = recipe_of(tmp_path)
    spoil(store, "clip1")
    first = build_pairs(recipe, out_dir=tmp_path / "out", store=store, on_error="skip")

    again = build_pairs(recipe, out_dir=tmp_path / "out", store=store, on_error="skip")

    assert again.num_reused == again.num_shards
    assert again.failed == first.failed
    assert again.content_digest == first.content_digest
    with pytest.raises(Exception, match="clip1"):
        build_pairs(recipe, out_dir=tmp_path / "out", store=store)


def test_a_clip_that_is_gone_is_left_out_too(store, tmp_path):
    store.path_of(store.find("made", "clip2")).unlink()
    with pytest.raises(StoreError, match="clip2"):
        build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)

    report = build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store, on_error="skip")

    assert [clip.clip for clip in report.failed] == ["clip2"]


def test_a_build_of_which_no_clip_can_be_read_is_an_error_all_the_same(store, tmp_path):
    for number in range(5):
        store.path_of(store.find("made", f"clip{number}")).unlink()

    with pytest.raises(BuildError, match="none of its 5 clips"):
        build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store, on_error="skip")


def test_the_report_counts_seconds_by_stage(store, tmp_path):
    report = build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)

    assert set(report.seconds) == {"decode", "degrade", "write", "wall"}
    assert all(seconds > 0 for seconds in report.seconds.values())
    written = json.loads((tmp_path / "out" / REPORT_NAME).read_text())
    assert written["rows"] == 60
    assert {"numpy", "av", "sr-datasets"} <= set(written["packages"])


def test_a_dry_run_says_what_a_build_writes_and_writes_nothing(store, tmp_path):
    recipe = recipe_of(tmp_path)

    guess = estimate_build(recipe, store=store)

    assert not (tmp_path / "out").exists()
    report = build_pairs(recipe, out_dir=tmp_path / "out", store=store)
    assert guess.num_rows == report.num_rows
    assert guess.pairs == report.pairs
    assert guess.num_shards == report.num_shards
    assert 0 < guess.size_bytes < report.size_bytes
    assert guess.seconds > 0


def test_hr_of_a_source_that_is_not_pristine_is_the_shrunken_frame(store, tmp_path):
    from sr_datasets.degrade import degrade_frame
    from sr_datasets.recipe import Bicubic, HrStep
    from sr_datasets.video import open_clip

    recipe = recipe_of(tmp_path, hr=HrStep(downscale=2), scale=2)
    build_pairs(recipe, out_dir=tmp_path / "out", store=store)

    rows = rows_of(tmp_path / "out")
    assert len(rows) == 60
    for row in rows.values():
        record = store.find("made", row.clip)
        with open_clip(store.path_of(record), record.info) as reader:
            luma = reader.frame_at(row.frame_indices[0]).planes[0][np.newaxis]
        height, width = (side // 4 * 4 for side in luma.shape[1:])
        hr = degrade_frame(luma[:, :height, :width], Bicubic(), 2)
        lr = degrade_frame(hr, Bicubic(), 2)
        size = row.lr.shape[1]
        np.testing.assert_array_equal(
            row.hr,
            hr[:, 2 * row.top : 2 * (row.top + size), 2 * row.left : 2 * (row.left + size)],
        )
        np.testing.assert_array_equal(row.lr, lr[:, row.top : row.top + size, row.left : row.left + size])


def test_strict_color_names_every_guess_before_anything_is_made(store, tmp_path):
    with pytest.raises(BuildError, match=r"made/clip0: matrix bt601 is guessed .*declare `matrix`"):
        build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store, strict_color=True)

    assert not (tmp_path / "out").exists()


def test_strict_color_takes_clips_whose_manifest_declares_every_fact(store, tmp_path):
    manifest = tmp_path / "config" / "sr-datasets" / "manifests" / "sources" / "made.yaml"
    declared = "{id: clip%d, matrix: bt709, range: limited, transfer: bt709, siting: left}"
    manifest.write_text(
        manifest.read_text() + "clips: [" + ", ".join(declared % number for number in range(5)) + "]\n"
    )

    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store, strict_color=True)

    for row in rows_of(tmp_path / "out").values():
        assert (row.matrix, row.matrix_from, row.siting_from) == ("bt709", "declared", "declared")


@pytest.mark.parametrize("color", ["y", "yuv420"])
def test_a_degradation_that_cannot_take_the_colour_names_recipe_and_clip(store, tmp_path, color):
    recipe = recipe_of(tmp_path, text=RECIPE + "degradation: comisr-crf25\n", color=color)

    for run in (
        lambda: estimate_build(recipe, store=store),
        lambda: build_pairs(recipe, out_dir=tmp_path / "out", store=store),
    ):
        with pytest.raises(BuildError, match=rf"recipe made: .* made/clip0 \({color}, 8 bits\): .*4:4:4"):
            run()


def test_a_damaged_description_is_written_anew_by_the_same_build(store, tmp_path):
    recipe = recipe_of(tmp_path)
    first = build_pairs(recipe, out_dir=tmp_path / "out", store=store)
    (tmp_path / "out" / "sr-data.json").write_text("{")

    again = build_pairs(recipe, out_dir=tmp_path / "out", store=store)

    assert again.num_reused == again.num_shards
    assert again.content_digest == first.content_digest
    (tmp_path / "out" / "sr-data.json").write_text("{")
    with pytest.raises(BuildError, match="damaged"):
        build_pairs(recipe_of(tmp_path, seed=9), out_dir=tmp_path / "out", store=store)


def test_a_stray_shard_among_ours_is_named(store, tmp_path):
    recipe = recipe_of(tmp_path)
    build_pairs(recipe, out_dir=tmp_path / "out", store=store)
    shard = min((tmp_path / "out" / "data").glob("*.parquet"))
    shutil.copy(shard, shard.with_name("train-00009-of-00099.parquet"))

    with pytest.raises(BuildError, match=r"train-00009-of-00099\.parquet"):
        build_pairs(recipe, out_dir=tmp_path / "out", store=store)


def test_an_interlaced_clip_is_left_out_with_the_others_that_fail(store, tmp_path):
    record = store.find("made", "clip3")
    store.put(
        record.model_copy(
            update={"info": record.info.model_copy(update={"scan": "interlaced", "scan_from": "detected"})}
        )
    )
    with pytest.raises(DecodeError, match="interlaced"):
        build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)

    report = build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store, on_error="skip")

    assert [(clip.clip, "interlaced" in clip.reason) for clip in report.failed] == [("clip3", True)]
    assert not report.failed[0].reason.startswith("made/clip3: made/clip3")


def test_a_scale_that_no_paper_has_is_told(store, tmp_path):
    assert "x4" in unpublished_scale(recipe_of(tmp_path, degradation=BdSpmc(), scale=2))
    assert unpublished_scale(recipe_of(tmp_path, degradation=BdSpmc(), scale=4)) == ""
    assert unpublished_scale(recipe_of(tmp_path)) == ""


def test_a_recipe_whose_chain_cannot_take_its_colour_is_found_by_the_check(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(RECIPE.replace("id: made", "id: wrong") + "degradation: comisr-crf25\n")

    result = CliRunner().invoke(app, ["manifest", "check", str(path)])

    assert result.exit_code == 1
    assert "recipe wrong: its degradation cannot be made in colour y" in str(result.exception)
    path.write_text(path.read_text().replace("color: y", "color: rgb"))
    assert CliRunner().invoke(app, ["manifest", "check", str(path)]).exit_code == 0


def test_inspect_names_of_a_sampling_what_is_not_as_usual(store, tmp_path):
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "out", store=store)

    text = inspect_set(tmp_path / "out").to_text()

    assert "sampling        uniform (patches_per_pair 12, lr_size 8)" in text
