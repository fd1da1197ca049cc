"""From clips in a store to shards: the same bytes however they are built."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made import RECIPE, made_store, put_clip, recipe_of, write_y4m

from sr_datasets import color
from sr_datasets.build import REPORT_NAME, build_pairs, choose_pairs, plan_rows
from sr_datasets.catalog import find_recipe
from sr_datasets.degrade import degrade_frame
from sr_datasets.errors import BuildError, SrDataError, StoreError
from sr_datasets.files import sha256_of
from sr_datasets.inspect import inspect_set
from sr_datasets.inspect.measuring import measure_set
from sr_datasets.progress import Silent
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.sets import MEASURES_NAME
from sr_datasets.store import Store
from sr_datasets.video import open_clip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return made_store(tmp_path, monkeypatch)


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a set, but of the report, which has the run's own seconds."""
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != REPORT_NAME
    }


def test_one_worker_and_four_write_the_same_bytes(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path)
    one = build_pairs(recipe, out_dir=tmp_path / "one", store=store, workers=1)
    four = build_pairs(recipe, out_dir=tmp_path / "elsewhere" / "four", store=store, workers=4)

    assert hashes(tmp_path / "one") == hashes(tmp_path / "elsewhere" / "four")
    assert one.content_digest == four.content_digest
    assert set(hashes(tmp_path / "one")) == {
        "README.md",
        "croissant.json",
        "index.parquet",
        "sr-data.json",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
    }


@pytest.mark.parametrize("color_name", ["y", "rgb"])
@pytest.mark.parametrize("kind", ["bicubic", "bd-duf", "bd-basicvsr"])
def test_each_row_is_the_crop_of_the_whole_degraded_frame(
    store: Store, tmp_path: Path, kind: str, color_name: str
):
    text = RECIPE.replace("color: y", f"color: {color_name}\ndegradation: {{kind: {kind}}}")
    recipe = recipe_of(tmp_path, text)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)

    seen = 0
    for path in sorted((tmp_path / "set" / "data").iterdir()):
        reader = ShardReader(path)
        for number in range(reader.num_rows):
            row = reader.read_row(number)
            record = store.get(row.source, row.clip)
            info = record.info
            with open_clip(store.path_of(record), info) as clip:
                frame = clip.frame_at(row.frame_indices[0])
            layout = color.PlaneLayout("yuv", 1, 1, 8, info.color.siting, info.color.matrix, info.color.range)
            height, width = info.height // 3 * 3, info.width // 3 * 3
            hr = color.window(
                frame.planes, layout, color=color_name, top=0, left=0, height=height, width=width
            )
            lr = degrade_frame(hr, recipe.degradation, 3)
            np.testing.assert_array_equal(row.lr, lr[:, row.top : row.top + 8, row.left : row.left + 8])
            top, left = row.top * 3, row.left * 3
            np.testing.assert_array_equal(row.hr, hr[:, top : top + 24, left : left + 24])
            assert row.pts == (frame.pts,)
            seen += 1
    assert seen == 5 * 12


def test_overlapping_patches_are_cut_from_the_frame_degraded_once_with_the_same_bits(
    store: Store, tmp_path: Path
):
    dense = RECIPE.replace(
        "kind: uniform, patches_per_pair: 12, lr_size: 8", "kind: grid, lr_size: 8, stride: 3"
    )
    sparse = RECIPE.replace(
        "kind: uniform, patches_per_pair: 12, lr_size: 8", "kind: grid, lr_size: 8, stride: 9"
    )
    build_pairs(recipe_of(tmp_path, dense), out_dir=tmp_path / "dense", store=store)
    build_pairs(recipe_of(tmp_path, sparse), out_dir=tmp_path / "sparse", store=store)

    def by_place(folder: Path) -> dict[tuple[object, ...], tuple[bytes, bytes]]:
        rows = {}
        for path in sorted((folder / "data").iterdir()):
            reader = ShardReader(path)
            for row in (reader.read_row(number) for number in range(reader.num_rows)):
                rows[row.clip, row.frame_indices, row.top, row.left] = (row.lr.tobytes(), row.hr.tobytes())
        return rows

    few, many = by_place(tmp_path / "sparse"), by_place(tmp_path / "dense")
    assert few
    assert few.items() <= many.items()


def test_windows_of_frames_hold_their_frames_in_order(store: Store, tmp_path: Path):
    text = RECIPE.replace("lr_size: 8", "lr_size: 8, window: 3, hr_frames: all")
    recipe = recipe_of(tmp_path, text)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    row = ShardReader(tmp_path / "set/data/train-00000-of-00002.parquet").read_row(5)

    assert row.lr.shape == (3, 1, 8, 8)
    assert row.hr.shape == (3, 1, 24, 24)
    record = store.get(row.source, row.clip)
    with open_clip(store.path_of(record), record.info) as clip:
        for place, index in enumerate(row.frame_indices):
            luma = clip.frame_at(index).planes[0]
            top, left = row.top * 3, row.left * 3
            np.testing.assert_array_equal(row.hr[place, 0], luma[top : top + 24, left : left + 24])


def test_a_build_that_was_killed_goes_on_and_ends_in_the_same_bytes(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    build_pairs(recipe, out_dir=whole, store=store)
    # A run that was killed leaves its state, the shards that were done, and the beginning of another.
    program = (
        "import os, sys; from pathlib import Path; from sr_datasets import build; from sr_datasets.store import Store\n"
        "from sr_datasets.catalog import find_recipe\n"
        "real = build.build_shard\n"
        "def dying(task):\n"
        "    if 'train-00001' in task.name: os.kill(os.getpid(), 9)\n"
        "    return real(task)\n"
        "build.build_shard = dying\n"
        "build.build_pairs(find_recipe(sys.argv[1]), out_dir=Path(sys.argv[2]), store=Store(Path(sys.argv[3])))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "made.yaml"), str(killed), str(store.root)],
        check=False,
    )
    assert run.returncode == -9
    (killed / "data" / ".train-00001-of-00002.parquet.0123abcd.part").write_bytes(b"half")
    assert not (killed / "sr-data.json").exists()
    report = build_pairs(recipe, out_dir=killed, store=store)

    assert report.num_reused == 2
    assert hashes(killed) == hashes(whole)


@pytest.mark.parametrize("name", ["index.parquet", "sr-data.json", ".build.json", "README.md"])
def test_a_build_that_was_killed_while_it_described_the_set_goes_on(store: Store, tmp_path: Path, name: str):
    recipe = recipe_of(tmp_path)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    before = hashes(tmp_path / "set")
    (tmp_path / "set" / f".{name}.0123abcd.part").write_bytes(b"half")
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)

    assert hashes(tmp_path / "set") == before
    assert not list((tmp_path / "set").glob(".*.part"))


def test_a_build_whose_state_is_damaged_goes_on_by_its_shards(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    before = hashes(tmp_path / "set")
    (tmp_path / "set" / "sr-data.json").unlink()
    (tmp_path / "set" / ".build.json").write_bytes(b"{")

    assert build_pairs(recipe, out_dir=tmp_path / "set", store=store).num_reused == 3
    assert hashes(tmp_path / "set") == before


PLACES = [
    {"TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "1"},
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place["TZ"])
def test_another_time_zone_locale_and_hash_seed_give_the_same_bytes(
    store: Store, tmp_path: Path, place: dict[str, str]
):
    recipe = recipe_of(tmp_path, text=RECIPE + "degradation: real-esrgan\n")
    build_pairs(recipe, out_dir=tmp_path / "here", store=store)
    program = (
        "import sys; from pathlib import Path; from sr_datasets.build import build_pairs\n"
        "from sr_datasets.catalog import find_recipe; from sr_datasets.store import Store\n"
        "build_pairs(find_recipe(sys.argv[1]), out_dir=Path(sys.argv[2]), store=Store(Path(sys.argv[3])))\n"
    )
    subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            str(tmp_path / "made.yaml"),
            str(tmp_path / "there"),
            str(store.root),
        ],
        check=True,
        env=os.environ | place,
    )

    assert hashes(tmp_path / "there") == hashes(tmp_path / "here")


def test_a_set_that_was_looked_at_may_be_built_again(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    measure_set(tmp_path / "set")
    assert (tmp_path / "set" / MEASURES_NAME).is_file()

    assert build_pairs(recipe, out_dir=tmp_path / "set", store=store).num_reused == 3


def test_a_shard_cut_short_is_made_again(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    before = hashes(tmp_path / "set")
    shard = tmp_path / "set/data/train-00000-of-00002.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    report = build_pairs(recipe, out_dir=tmp_path / "set", store=store)

    assert report.num_reused == 2
    assert hashes(tmp_path / "set") == before


def test_a_shard_with_altered_pixels_is_made_again(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    before = hashes(tmp_path / "set")
    shard = tmp_path / "set/data/train-00000-of-00002.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)

    assert hashes(tmp_path / "set") == before


def test_a_folder_with_another_recipes_shards_is_refused_and_left_alone(store: Store, tmp_path: Path):
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "set", store=store)
    before = hashes(tmp_path / "set")

    with pytest.raises(BuildError, match="holds shards of another build"):
        build_pairs(recipe_of(tmp_path, seed=1), out_dir=tmp_path / "set", store=store)
    assert hashes(tmp_path / "set") == before


def test_a_folder_with_strangers_is_refused(store: Store, tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("")

    with pytest.raises(BuildError, match=r"thesis\.tex"):
        build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "home", store=store)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.tex"]


def test_a_clip_too_small_for_the_patch_is_named_before_anything_is_written(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path, RECIPE.replace("lr_size: 8", "lr_size: 30"))

    with pytest.raises(BuildError, match=r"made/clip\d.*too small for patches of 30x30 LR"):
        build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    assert not (tmp_path / "set").exists()


def test_a_clip_with_fewer_frames_than_the_window_is_named(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path, RECIPE.replace("lr_size: 8", "lr_size: 8, window: 5"))

    with pytest.raises(BuildError, match=r"made/clip3 has 4 frames, fewer than the window of 5"):
        build_pairs(recipe, out_dir=tmp_path / "set", store=store)


def test_a_clip_changed_since_it_was_verified_stops_the_build(store: Store, tmp_path: Path):
    write_y4m(store.root / "made/clip2.y4m", width=120, height=64, num_frames=7, seed=99)

    with pytest.raises(StoreError, match="clip2"):
        build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "set", store=store)
    assert not (tmp_path / "set" / "sr-data.json").exists()


def test_clips_with_the_same_bytes_are_taken_once(store: Store, tmp_path: Path):
    put_clip(store, "again", width=96, height=80, num_frames=6, seed=0)
    chosen = choose_pairs(recipe_of(tmp_path), store)

    (left_out,) = chosen.skipped
    assert (left_out.clip, left_out.reason) == ("clip0", "has the same bytes as made/again")
    assert len(chosen.pairs) == 5


def test_keyed_order_a_limit_and_filters_choose_the_same_clips_in_any_store(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path, RECIPE + "order: keyed\nlimit: 2\nwhere: {width: 96}\n")
    pairs = choose_pairs(recipe, store).pairs

    assert {pair.record.clip for pair in pairs} == {"clip0", "clip3"}
    assert [pair.split for pair in pairs] == ["test", "train"]


def test_nothing_that_fits_says_what_was_asked(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path, RECIPE + "where: {width: 1920, height: 1080}\n")

    with pytest.raises(BuildError, match=r"no clip.*width 1920, height 1080"):
        choose_pairs(recipe, store)


def test_a_clip_in_no_split_or_in_two_is_an_error(store: Store, tmp_path: Path):
    named = RECIPE.replace(
        "counts: {test: 1, train: -1}", "clips: {train: ['made/clip*'], test: [made/clip0]}"
    )

    with pytest.raises(BuildError, match="made/clip0 is in train and test"):
        choose_pairs(recipe_of(tmp_path, named), store)


def test_missing_clips_of_a_recipe_are_named_with_the_command_that_brings_them(tmp_path: Path):
    with pytest.raises(StoreError, match=r"(?s)t91/t1.*sr-data"):
        choose_pairs(find_recipe("espcn-t91"), Store(tmp_path / "empty"))


def test_two_builds_into_one_folder_do_not_mix(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path)
    program = (
        "import sys; from pathlib import Path; from sr_datasets import build; from sr_datasets.store import Store\n"
        "from sr_datasets.catalog import find_recipe\n"
        "real = build.build_shard\n"
        "def slow(task):\n"
        "    print('building', flush=True); sys.stdin.read(1); return real(task)\n"
        "build.build_shard = slow\n"
        "build.build_pairs(find_recipe(sys.argv[1]), out_dir=Path(sys.argv[2]), store=Store(Path(sys.argv[3])))\n"
    )
    arguments = [str(tmp_path / "made.yaml"), str(tmp_path / "set"), str(store.root)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == "building\n"
        with pytest.raises(BuildError, match="another build is writing"):
            build_pairs(recipe, out_dir=tmp_path / "set", store=store)
        first.stdin.write("go on")
        first.stdin.close()
        assert first.wait() == 0
    build_pairs(recipe, out_dir=tmp_path / "alone", store=store)

    assert hashes(tmp_path / "set") == hashes(tmp_path / "alone")


def test_the_description_names_every_input_by_its_hash(store: Store, tmp_path: Path):
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "set", store=store)
    said = json.loads((tmp_path / "set/sr-data.json").read_text())

    for entry in said["inputs"]:
        path = store.root / "made" / f"{entry['clip']}.y4m"
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(said["inputs"]) == 5
    assert str(tmp_path) not in json.dumps(said)


def test_inspect_counts_what_was_built_and_finds_damage(store: Store, tmp_path: Path):
    folder = tmp_path / "set"
    build_pairs(recipe_of(tmp_path), out_dir=folder, store=store)
    report = inspect_set(folder)

    assert report.info.splits == {"test": 12, "train": 48}
    assert report.pairs == {"test": 1, "train": 4}
    assert report.to_json()["shapes"] == [
        {"lr": [1, 8, 8], "hr": [1, 24, 24], "dtype": "uint8", "bit_depth": 8, "rows": 60}
    ]
    assert max(len(line) for line in report.to_text().splitlines()) <= 80
    shard = folder / "data/test-00000-of-00001.parquet"
    good = shard.read_bytes()
    for bad in (good[:-10], good[:500] + bytes([good[500] ^ 1]) + good[501:]):
        shard.write_bytes(bad)
        with pytest.raises(SrDataError, match=r"test-00000-of-00001\.parquet"):
            inspect_set(folder)
    shutil.rmtree(folder / "data")
    with pytest.raises(SrDataError, match="missing"):
        inspect_set(folder)


def test_rows_of_a_plan_do_not_depend_on_the_other_clips(store: Store, tmp_path: Path):
    recipe = recipe_of(tmp_path)
    before = plan_rows(recipe, store.get("made", "clip1"))
    put_clip(store, "another", width=96, height=80, num_frames=6, seed=77)

    assert plan_rows(recipe, store.get("made", "clip1")) == before


def test_a_split_pattern_that_fits_no_clip_is_an_error_with_the_nearest_name(store: Store, tmp_path: Path):
    typo = RECIPE.replace("counts: {test: 1, train: -1}", "clips: {train: ['made/*'], test: [made/clip9]}")

    with pytest.raises(BuildError, match=r"'made/clip9' fits none.*Did you mean made/clip"):
        choose_pairs(recipe_of(tmp_path, typo), store)


def test_clips_of_two_bit_depths_are_refused_by_name(store: Store, tmp_path: Path):
    record = store.get("made", "clip1")
    store.put(record.model_copy(update={"info": record.info.model_copy(update={"bit_depth": 10})}))

    with pytest.raises(BuildError, match=r"10 bits: made/clip1.*bit_depth=8"):
        choose_pairs(recipe_of(tmp_path), store)
    only = choose_pairs(recipe_of(tmp_path, RECIPE + "where: {facts: bit_depth=8}\n"), store)
    assert len(only.pairs) == 4
    assert [clip.clip for clip in only.skipped] == ["clip1"]


def test_clips_left_out_stand_in_the_description_with_the_reason(store: Store, tmp_path: Path):
    build_pairs(recipe_of(tmp_path, RECIPE + "where: {width: 96}\n"), out_dir=tmp_path / "set", store=store)
    said = json.loads((tmp_path / "set/sr-data.json").read_text())

    assert {clip["clip"] for clip in said["skipped"]} == {"clip1", "clip2", "clip4"}
    assert all("width 96" in clip["reason"] for clip in said["skipped"])


def test_counts_of_more_clips_than_there_are_say_how_they_were_dealt(store: Store, tmp_path: Path):
    class Log(Silent):
        lines: list[str] = []  # noqa: RUF012 - one test, one list

        def log(self, text: str) -> None:
            self.lines.append(text)

    recipe = recipe_of(tmp_path, RECIPE.replace("{test: 1, train: -1}", "{train: 3, test: 20}"))
    choose_pairs(recipe, store, progress=Log())

    assert any("dealt in proportion: 1 train, 4 test" in line for line in Log.lines)


def test_an_out_folder_that_is_a_file_is_refused(store: Store, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    for out_dir in (tmp_path / "file", tmp_path / "file" / "set"):
        with pytest.raises(BuildError, match="is a file, or lies in one"):
            build_pairs(recipe_of(tmp_path), out_dir=out_dir, store=store)


def test_a_strangers_file_among_the_shards_is_named(store: Store, tmp_path: Path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "holiday.mp4").write_text("")

    with pytest.raises(BuildError, match=r"data/holiday\.mp4"):
        build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "set", store=store)


def test_a_description_whose_recipe_was_edited_is_found(store: Store, tmp_path: Path):
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "set", store=store)
    path = tmp_path / "set/sr-data.json"
    path.write_text(path.read_text().replace('"scale": 3', '"scale": 4'))

    with pytest.raises(SrDataError, match=r"sr-data\.json: altered"):
        inspect_set(tmp_path / "set")
