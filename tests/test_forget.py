"""Forgetting: what goes, what stays bit for bit, and what happens when it is killed."""

import errno
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disks import small_disk
from made import RECIPE, SIZES, made_store, put_clip, recipe_of
from objectstore import object_store
from test_build import hashes
from typer.testing import CliRunner

from sr_datasets.build import build_pairs, locked_folder
from sr_datasets.built import RECIPES_NAME, built_sets, read_recipe_lock, recipe_locks, remote_sets
from sr_datasets.cli.main import app
from sr_datasets.errors import BuildError, RemoteError, SelectionError, ShardError, StoreError
from sr_datasets.forget import ForgetReport, RemoteHolder, _Work, forget, plan_forget
from sr_datasets.ingest import verify_store
from sr_datasets.inspect import inspect_set, measure_set
from sr_datasets.inspect.measuring import MEASURES_NAME
from sr_datasets.remotes import Place
from sr_datasets.shards.reader import ShardReader, summarize_shard
from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import read_set
from sr_datasets.shards.verify import verify_set
from sr_datasets.store import ClipRecord, Store
from sr_datasets.store.lockfile import LockFile

SOURCE = Path(__file__).parents[1] / "src"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return made_store(tmp_path, monkeypatch)


@pytest.fixture
def built(store: Store, tmp_path: Path) -> Path:
    """Return a set of five clips: one to test, four to train in two shards."""
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "set", store=store)
    return tmp_path / "set"


def rows_of(folder: Path) -> dict[str, Row]:
    rows = {}
    for path in sorted((folder / "data").iterdir()):
        reader = ShardReader(path)
        for number in range(reader.num_rows):
            row = reader.read_row(number)
            rows[row.sample_id] = row
    return rows


def same(left: Row, right: Row) -> bool:
    names = [name for name in Row.__dataclass_fields__ if name not in ("lr", "hr")]
    return all(getattr(left, name) == getattr(right, name) for name in names) and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in ("lr", "hr")
    )


def digests_of(folder: Path) -> list[str]:
    paths = sorted((folder / "data").iterdir())
    return [digest for path in paths for digest in summarize_shard(path).group_digests]


def in_train_with_another(folder: Path) -> tuple[str, str]:
    """Return the two clips of the first train shard."""
    (name,) = [path.name for path in (folder / "data").iterdir() if path.name.startswith("train-00000")]
    reader = ShardReader(folder / "data" / name)
    clips = dict.fromkeys(reader.row(number)["clip"] for number in range(reader.num_rows))
    first, second = clips
    return first, second


def test_a_forgotten_clip_is_nowhere_and_all_other_rows_are_what_they_were(
    store: Store,
    built: Path,
    tmp_path: Path,
):
    clip, other = in_train_with_another(built)
    before, old_digests = rows_of(built), digests_of(built)
    untouched = {
        name: digest for name, digest in hashes(built).items() if "test-" in name or "train-00001" in name
    }
    file = store.path_of(store.get("made", clip))

    report = forget(store, [f"made/{clip}"])

    assert not file.exists()
    assert store.find("made", clip) is None
    assert store.find("made", other) is not None
    after = rows_of(built)
    assert after.keys() == {name for name in before if f"/{clip}/" not in name}
    assert all(same(before[name], row) for name, row in after.items())
    assert len(set(old_digests) - set(digests_of(built))) == 1
    assert set(digests_of(built)) < set(old_digests)
    assert untouched.items() <= hashes(built).items()
    assert verify_set(built) == []
    assert inspect_set(built).pairs == {"test": 1, "train": 3}
    assert verify_store(store, full=True) == []
    everything = [path for root in (built, store.root) for path in root.rglob("*") if path.is_file()]
    assert not [path for path in everything if f"made/{clip}".encode() in path.read_bytes()]
    assert not [
        path for path in everything if f'"clip":"{clip}"'.encode() in path.read_bytes().replace(b" ", b"")
    ]
    assert not (store.root / "forgetting.json").exists()
    (change,) = report.sets
    assert (change.rows_deleted, change.rows_left) == (12, 48)
    assert (change.rewritten, change.deleted) == (("train-00000-of-00002.parquet",), ())
    assert report.problems == report.gone == ()
    assert report.files[0].path == file


def test_the_set_that_is_left_has_the_content_digest_of_a_build_of_the_list_that_is_left(
    store: Store,
    built: Path,
    tmp_path: Path,
):
    clip, _ = in_train_with_another(built)
    report = forget(store, [f"made/{clip}"])
    recipe = recipe_of(tmp_path)
    lock = read_recipe_lock(store.root / RECIPES_NAME, recipe.id)
    again = build_pairs(recipe, out_dir=tmp_path / "again", store=store, lock=lock)

    assert again.content_digest == report.sets[0].content_digest == read_set(built).content_digest


def test_a_card_that_was_edited_is_written_anew_and_named(store: Store, built: Path):
    clip, _ = in_train_with_another(built)
    with (built / "README.md").open("a") as file:
        file.write(f"Thanks for made/{clip}.\n")
    plan = plan_forget(store, [f"made/{clip}"])
    assert "Thanks" in (built / "README.md").read_text()
    report = forget(store, [f"made/{clip}"])

    assert "Thanks" not in (built / "README.md").read_text()
    assert plan.sets[0].cards == report.sets[0].cards == ("README.md",)
    assert "what was added goes: README.md\n" in report.to_text(done=True)
    assert forget(store, ["made/clip*"]).sets[0].cards == ()


def test_a_shard_of_forgotten_clips_alone_goes_whole(store: Store, built: Path):
    clips = in_train_with_another(built)
    measure_set(built)
    report = forget(store, [f"made/{clip}" for clip in clips])

    assert not (built / MEASURES_NAME).exists()  # it has numbers of their pixels
    assert report.sets[0].deleted == ("train-00000-of-00002.parquet",)
    assert sorted(path.name for path in (built / "data").iterdir()) == [
        "test-00000-of-00001.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert verify_set(built) == []
    assert inspect_set(built).info.splits == {"test": 12, "train": 24}
    assert "| train | 2 | 24 |" in (built / "README.md").read_text()


def test_a_source_forgotten_whole_leaves_no_set_and_no_folder(store: Store, built: Path):
    waiting = store.incoming("made")
    waiting.mkdir()
    (waiting / "clip9.y4m.part").write_bytes(b"half")
    (store.root / "made" / "orphan.avi").write_bytes(b"no record")
    report = forget(store, ["made"])

    assert len(report.clips) == len(SIZES)
    assert not built.exists()
    assert not (store.root / "made").exists()
    assert store.records() == []
    assert built_sets(store) == ()
    assert recipe_locks(store.root / RECIPES_NAME) == {}
    assert {file.path.name for file in report.files} >= {".incoming", "orphan.avi", "clip0.y4m"}
    assert "the whole set was deleted" in report.to_text(done=True)


def test_a_dry_run_changes_nothing_and_names_what_will_go(store: Store, built: Path):
    clip, _ = in_train_with_another(built)
    before = hashes(built) | hashes(store.root)
    plan = plan_forget(store, [f"made/{clip}"])

    assert hashes(built) | hashes(store.root) == before
    report = forget(store, [f"made/{clip}"])
    assert (plan.clips, plan.files, plan.recipes) == (report.clips, report.files, report.recipes)
    for planned, done in zip(plan.sets, report.sets, strict=True):
        assert (planned.path, planned.clips, planned.rows_deleted, planned.rows_left) == (
            done.path,
            done.clips,
            done.rows_deleted,
            done.rows_left,
        )
        assert (planned.rewritten, planned.deleted) == (done.rewritten, done.deleted)


def test_a_set_that_is_gone_is_named_and_found_again_by_its_new_place(
    store: Store,
    built: Path,
    tmp_path: Path,
):
    moved = tmp_path / "elsewhere"
    built.rename(moved)
    clip, _ = in_train_with_another(moved)
    report = forget(store, [f"made/{clip}"])

    assert report.gone == (str(built),)
    assert str(built) in report.to_text(done=True)
    assert f"/{clip}/" in "".join(rows_of(moved))
    again = forget(store, [f"made/{clip}"], sets=[moved])
    assert again.sets[0].path == moved
    assert f"/{clip}/" not in "".join(rows_of(moved))
    assert verify_set(moved) == []


def test_an_id_alone_is_a_clip_of_any_source_or_all_pieces_of_a_video(store: Store):
    record = store.get("made", "clip0")
    for name in ("yt-tvvJFX90eh0.0e0", "yt-tvvJFX90eh0.0e0.1000-2000", "yt-tvvJFX90eh1.0e0"):
        path = store.root / "made" / f"{name}.y4m"
        shutil.copy(store.path_of(record), path)
        file = store.record_file(path, record.sha256)
        store.put(record.model_copy(update={"clip": name, "path": f"made/{name}.y4m", "files": (file,)}))
    report = forget(store, ["tvvJFX90eh0", "clip1"])

    assert report.clips == ("made/clip1", "made/yt-tvvJFX90eh0.0e0", "made/yt-tvvJFX90eh0.0e0.1000-2000")
    assert store.find("made", "yt-tvvJFX90eh1.0e0") is not None


def test_what_fits_nothing_is_an_error_and_nothing_goes(store: Store):
    before = hashes(store.root)
    with pytest.raises(SelectionError, match=r"'made/nothing' fits no clip .* clips of: made"):
        forget(store, ["made/clip0", "made/nothing"])
    assert hashes(store.root) == before


def test_a_disk_too_full_for_the_list_of_what_stays_gets_room_from_what_goes(
    store: Store, built: Path, monkeypatch: pytest.MonkeyPatch
):
    gone = store.path_of(store.get("made", "clip0"))
    save = LockFile.save

    def no_room(self: LockFile, records: Mapping[str, ClipRecord]) -> None:
        if gone.exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        save(self, records)

    monkeypatch.setattr(LockFile, "save", no_room)
    assert forget(store, ["made/clip0"]).problems == ()

    assert store.find("made", "clip0") is None
    assert not (store.root / "forgetting.json").exists()
    assert verify_store(store, full=True) == []


@pytest.fixture
def full_disk(store: Store) -> Iterator[Store]:
    """Give a copy of the store on a disk of its own, on which nothing is free."""
    with small_disk("4m") as disk:
        shutil.copytree(store.root, disk / "store")
        with suppress(OSError), (disk / "fill").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        assert shutil.disk_usage(disk).free == 0
        yield Store(disk / "store")


def test_clips_are_forgotten_on_a_disk_with_nothing_free(full_disk: Store):
    report = forget(full_disk, ["made/clip0", "made/clip1"])

    assert report.clips == ("made/clip0", "made/clip1")
    assert len(report.files) == 2
    assert not any(file.path.exists() for file in report.files)
    assert [record.clip for record in Store(full_disk.root).records()] == ["clip2", "clip3", "clip4"]
    assert verify_store(full_disk, full=True) == []
    assert not (full_disk.root / "forgetting.json").exists()


@pytest.mark.parametrize("stays_full", [True, False])
def test_what_makes_room_for_the_plan_is_found_again_by_the_same_call(
    store: Store, built: Path, monkeypatch: pytest.MonkeyPatch, *, stays_full: bool
):
    clips = [f"made/{clip}" for clip in in_train_with_another(built)]
    tried = []

    def no_room(work: _Work) -> None:
        tried.append(work)
        if len(tried) == 2 and not stays_full:
            raise KeyboardInterrupt  # as a kill ends it
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_Work, "_write_journal", no_room)
    with pytest.raises((StoreError, KeyboardInterrupt)) as said:
        forget(store, clips)
    monkeypatch.undo()
    assert not stays_full or "although the files of 2 clips were deleted to make room" in str(said.value)
    assert not (store.root / "forgetting.json").exists()
    assert len(verify_store(store)) == len(tried) - 1
    report = forget(Store(store.root), clips)

    assert report.sets[0].rows_deleted == 24
    assert not {f"made/{record.clip}" for record in store.records()} & set(clips)
    assert verify_store(store, full=True) == []


def test_a_killed_forgetting_is_ended_by_the_next_one(store: Store, built: Path, tmp_path: Path):
    clips = in_train_with_another(built)
    expected = tmp_path / "expected"
    places = (
        "write_journal",
        "delete_files",
        "_rewrite",
        "_finish",
        "drop_from_recipes",
        "drop_from_register",
    )
    for number, (place, after) in enumerate((place, after) for place in places for after in (False, True)):
        root, folder = tmp_path / f"store{number}", tmp_path / f"set{number}"
        shutil.copytree(store.root, root)
        shutil.copytree(built, folder)
        (root / "sets.json").write_text((root / "sets.json").read_text().replace(str(built), str(folder)))
        program = (
            "import os, sys; from pathlib import Path; from sr_datasets import forget as module\n"
            "from sr_datasets.store import Store\n"
            f"holder = module._Work if hasattr(module._Work, {place!r}) else module\n"
            f"real = getattr(holder, {place!r})\n"
            "def dying(*arguments, **options):\n"
            + ("    real(*arguments, **options)\n" if after else "")
            + "    os.kill(os.getpid(), 9)\n"
            f"setattr(holder, {place!r}, dying)\n"
            "module.forget(Store(Path(sys.argv[1])), [sys.argv[2]])\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, str(root), f"made/{clips[0]}"],
            env={
                "PYTHONPATH": str(SOURCE),
                "HOME": str(tmp_path),
                "XDG_CONFIG_HOME": str(tmp_path / "config"),
            },
            check=False,
        )
        assert run.returncode == -9
        home = Store(root)
        if (folder / ".forget.json").exists() and not (folder / "sr-data.json").exists():
            with pytest.raises(ShardError, match="forget` was interrupted"):
                inspect_set(folder)
        begun = (root / "forgetting.json").exists()
        assert begun == (after or place != "write_journal")
        forget(home, [] if begun else [f"made/{clips[0]}"])
        if not expected.exists():
            shutil.copytree(folder, expected, ignore=shutil.ignore_patterns(".build.lock"))
        # Who is killed last of all leaves the empty file behind that was locked.
        (folder / ".build.lock").unlink(missing_ok=True)
        assert hashes(folder) == hashes(expected)
        assert verify_set(folder) == []
        assert not (root / "forgetting.json").exists()
        assert not (root / "made" / f"{clips[0]}.y4m").exists()
        assert verify_store(home, full=True) == []
        assert clips[0] not in (root / "sets.json").read_text()
        assert clips[0] not in (root / RECIPES_NAME).read_text()


def test_a_damaged_row_group_is_not_written_anew_as_if_it_were_whole(store: Store, built: Path):
    clip, other = in_train_with_another(built)
    shard = built / "data/train-00000-of-00002.parquet"
    reader = ShardReader(shard)
    group = next(
        group for group in range(reader.num_groups) if reader.row(reader.rows_of(group)[0])["clip"] == other
    )
    offset = reader.group(group).hr_offset
    reader.close()
    assert offset is not None
    data = bytearray(shard.read_bytes())
    data[offset + 3] ^= 1
    shard.write_bytes(data)
    report = forget(store, [f"made/{clip}"])

    assert len(report.problems) == 1
    assert "is damaged" in report.problems[0]
    assert shard.read_bytes() == bytes(data)
    assert (store.root / "forgetting.json").exists()
    shutil.rmtree(built)
    again = forget(store, [])
    assert again.problems == ()
    assert again.gone == (str(built),)
    assert not (store.root / "forgetting.json").exists()


def test_shards_of_a_build_that_did_not_end_go_too(store: Store, built: Path):
    (built / "sr-data.json").unlink()
    (built / ".build.json").write_text(json.dumps({"recipe": "made", "plan": "0"}))
    (built / "data" / ".train-00009-of-00010.parquet.0123abcd.part").write_bytes(b"half")
    clip, _ = in_train_with_another(built)
    report = forget(store, [f"made/{clip}"])

    assert report.sets[0].deleted == ("train-00000-of-00002.parquet",)
    assert f"/{clip}/" not in "".join(rows_of(built))
    assert not list((built / "data").glob(".*"))


def test_files_of_the_users_own_in_the_folder_of_a_killed_build_stay(store: Store, built: Path):
    (built / "sr-data.json").unlink()
    (built / ".build.json").write_text(json.dumps({"recipe": "made", "plan": "0"}))
    (built / ".parts").mkdir()
    mine = ["README.md", "croissant.json", "index.parquet", ".parts/notes.txt", "data/.mine.part", "a.txt"]
    for name in mine:
        (built / name).write_text("mine")

    planned = plan_forget(store, ["made"])
    report = forget(store, ["made"])

    assert planned.sets[0].others == report.sets[0].others == tuple(sorted(mine))
    for done, said in ((False, planned), (True, report)):
        assert (
            "no build wrote these, so they stay: .parts/notes.txt, README.md, a.txt, croissant.json, data/.mine.part and 1"
            in said.to_text(done=done)
        )
    found = [path for path in built.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(built)) for path in found) == sorted(mine)
    assert {path.read_text() for path in found} == {"mine"}


def test_a_set_that_is_being_built_is_left_for_the_next_call(store: Store, built: Path):
    clip, _ = in_train_with_another(built)
    with locked_folder(built):
        report = forget(store, [f"made/{clip}"])
    assert "another build is writing" in report.problems[0]
    assert verify_set(built) == []
    assert forget(store, []).problems == ()
    assert f"/{clip}/" not in "".join(rows_of(built))


def test_a_set_of_which_clips_were_forgotten_is_not_built_on(store: Store, built: Path, tmp_path: Path):
    clips = in_train_with_another(built)
    forget(store, [f"made/{clip}" for clip in clips])
    before = hashes(built)
    with pytest.raises(BuildError, match="holds shards of another build"):
        build_pairs(recipe_of(tmp_path), out_dir=built, store=store)
    assert hashes(built) == before


def test_a_store_forgets_what_its_sets_were_built_of_even_when_the_originals_are_gone(
    store: Store,
    built: Path,
):
    clip, _ = in_train_with_another(built)
    store.path_of(store.get("made", clip)).unlink()
    store.drop(("made", clip))
    report = forget(store, [f"made/{clip}"])

    assert report.files == ()
    assert report.sets[0].rows_deleted == 12


def test_what_a_fetch_brings_meanwhile_is_told_and_not_counted_as_deleted(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    whole = _Work.delete_files

    def beside_a_fetch(work: _Work) -> None:
        whole(work)
        put_clip(store, "clip1", width=96, height=80, num_frames=6, seed=5)
        put_clip(store, "fresh", width=96, height=80, num_frames=6, seed=6)
        store.incoming("made").mkdir()

    monkeypatch.setattr(_Work, "delete_files", beside_a_fetch)
    code, text = run("forget", "made", "--yes", store=store)

    assert code == 1
    deleted, _, left = text.partition("not reached:")
    assert "deleted: 4 clips" in deleted
    assert "clip1" not in deleted
    assert "  made/clip1: came while this was at work, and is there\n  made/fresh: came" in left
    monkeypatch.undo()
    assert forget(store, ["made"]).came == ()
    assert not (store.root / "made").exists()


def test_a_file_that_another_command_is_recording_stays_with_its_record(store: Store):
    record = store.get("made", "clip1")
    store.drop(("made", "clip1"))
    reports = []
    forgets = threading.Thread(target=lambda: reports.append(forget(Store(store.root), ["made"])))
    with store.lock("made", "clip1"):
        forgets.start()
        while (store.root / "made" / "clip4.y4m").exists() or (store.root / "made" / "clip0.y4m").exists():
            time.sleep(0.01)
        store.put(record)
    forgets.join()

    assert reports[0].came == ("made/clip1",)
    assert store.path_of(record) not in [file.path for file in reports[0].files]
    assert verify_store(store, full=True) == []


# The list of a recipe


def test_a_build_writes_down_which_clips_it_took_without_date_or_place(
    store: Store,
    built: Path,
    tmp_path: Path,
):
    text = (store.root / RECIPES_NAME).read_text()
    lock = json.loads(text)["recipes"]["made"]

    assert lock["seed"] == 0
    assert [(clip["source"], clip["clip"], clip["split"]) for clip in lock["clips"]] == [
        (clip.source, clip.clip, clip.split) for clip in read_set(built).inputs
    ]
    assert all(clip["sha256"] == store.get("made", clip["clip"]).sha256 for clip in lock["clips"])
    assert str(tmp_path) not in text
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "again", store=store, workers=2)
    assert (store.root / RECIPES_NAME).read_text() == text


def test_a_locked_build_takes_the_same_clips_when_others_have_come(
    store: Store,
    built: Path,
    tmp_path: Path,
):
    put_clip(store, "another", width=96, height=80, num_frames=6, seed=77)
    recipe = recipe_of(tmp_path)
    lock = read_recipe_lock(store.root / RECIPES_NAME, "made")
    build_pairs(recipe, out_dir=tmp_path / "locked", store=store, lock=lock)
    free = build_pairs(recipe, out_dir=tmp_path / "free", store=store)

    assert hashes(tmp_path / "locked") == hashes(built)
    assert sum(free.pairs.values()) == 6
    assert len(read_recipe_lock(store.root / RECIPES_NAME, "made").clips) == 6


def test_a_locked_build_refuses_another_list_bytes_or_recipe(
    store: Store,
    built: Path,
    tmp_path: Path,
):
    recipe = recipe_of(tmp_path)
    lock = read_recipe_lock(store.root / RECIPES_NAME, "made")
    with pytest.raises(BuildError, match=r"made for another seed"):
        build_pairs(recipe_of(tmp_path, seed=3), out_dir=tmp_path / "no", store=store, lock=lock)
    store.drop(("made", "clip1"))
    put_clip(store, "clip2", width=96, height=80, num_frames=6, seed=99)
    with pytest.raises(
        BuildError, match=r"1 not in the store: made/clip1; 1 in the store with other bytes: made/clip2"
    ):
        build_pairs(recipe, out_dir=tmp_path / "no", store=store, lock=lock)
    with pytest.raises(StoreError, match=r"has no list of clips of the recipe other: it has lists of: made"):
        read_recipe_lock(store.root / RECIPES_NAME, "other")
    with pytest.raises(StoreError, match="is missing or has no list"):
        read_recipe_lock(tmp_path / "nowhere.lock", "made")
    assert not (tmp_path / "no").exists()


def test_a_store_that_cannot_be_written_still_gives_a_set(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sr_datasets.build.register_set", refuse)
    monkeypatch.setattr("sr_datasets.build.lock_recipe", refuse)
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "set", store=store)

    assert verify_set(tmp_path / "set") == []
    assert "sr-data forget will not find" in caplog.text


# The commands


def run(*arguments: str, store: Store, answer: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--store", str(store.root)], input=answer)
    return result.exit_code, result.output


def test_the_command_prints_what_it_deleted_and_what_it_could_not_reach(store: Store, built: Path):
    clip, _ = in_train_with_another(built)
    code, text = run("forget", f"made/{clip}", "--yes", store=store)

    assert code == 0, text
    assert "deleted: 1 clip, " in text
    assert str(store.root / "made" / f"{clip}.y4m") in text
    assert "train-00000-of-00002.parquet: rewritten without them" in text
    assert f"content digest {read_set(built).content_digest}" in text
    assert "deleted in the list of recipe made: 1 clip" in text
    assert "not reached:" in text


def test_a_set_at_an_address_is_looked_at_and_named_until_the_clip_is_there_no_more(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with object_store(monkeypatch) as server:
        address = server.address("set")
        build_pairs(recipe_of(tmp_path), out_dir=address, store=store)
        build_pairs(recipe_of(tmp_path), out_dir=server.address("kept"), store=store)
        (register,) = [one for one in remote_sets(store) if one.address.startswith("s3://tests/set?")]
        assert "made/clip1" in register.clips
        assert "secret" not in (store.root / "sets.json").read_text()
        assert plan_forget(store, ["made/clip1"]).remote[0].clips == ("made/clip1",)

        report = forget(store, ["made/clip1"])

        assert {str(Place(one.address)) for one in report.remote} == {"s3://tests/kept", "s3://tests/set"}
        said = report.to_text(done=True)
        endpoint = f"http://127.0.0.1:{server.port}"
        assert (
            f"s3://tests/set: a set there has 1 clip of these. Delete it (aws s3 rm --recursive --endpoint-url {endpoint} "
            "s3://tests/set/), and build it again where you still want it: sr-data build-pairs made.yaml --out "
            f"'{Place(address).plain}' (the file of your recipe)\n" in said
        )
        assert "endpoint_override=" in Place(address).plain

        server.filesystem.delete_dir("tests/set")
        build_pairs(recipe_of(tmp_path), out_dir=address, store=store)  # of the clips that are left
        again = forget(store, ["made/clip1"])
        assert [str(Place(one.address)) for one in again.remote] == ["s3://tests/kept"]
        server.filesystem.delete_file("tests/kept/sr-data.json")
        assert len(plan_forget(store, ["made/clip1"]).remote) == 1  # its shards are there
        server.filesystem.delete_dir("tests/kept")
        assert forget(store, ["made/clip1"]).remote == ()
        assert [one.clips for one in remote_sets(store)] == [
            ("made/clip0", "made/clip2", "made/clip3", "made/clip4")
        ] * 2

    def refuse(place: Place, name: str) -> int:
        raise RemoteError(f"{place}/{name} was refused", final=True)

    monkeypatch.setattr(Place, "size_of", refuse)
    (unseen,) = [one for one in plan_forget(store, ["made/clip2"]).remote if "/set" in one.address]
    assert "s3://tests/set: could not be looked at, and was built with 1 clip of these (" in unseen.to_text()


def test_what_is_to_be_typed_for_a_set_of_a_known_recipe_in_amazons_store_is_short():
    text = RemoteHolder("s3://b/set?region=eu-west-1", "demo", ("demo/leaves_1",), "").to_text()
    assert "(aws s3 rm --recursive --region eu-west-1 s3://b/set/)" in text
    assert text.endswith("sr-data build-pairs demo --out 's3://b/set?region=eu-west-1'")
    assert "Delete it (all that lies there), " in RemoteHolder("gs://b/set", "demo", (), "").to_text()


def test_the_command_asks_first_and_needs_a_terminal_for_that(
    store: Store,
    built: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    before = hashes(built) | hashes(store.root)
    code, text = run("forget", "made", store=store)
    assert code == 2
    assert "--yes" in text
    code, text = run("forget", store=store)
    assert code == 2
    code, text = run("forget", "made", "--dry-run", "--json", store=store)
    assert json.loads(text)["sets"][0]["rows_deleted"] == 60
    monkeypatch.setattr("sr_datasets.cli.forget._has_terminal", lambda: True)
    code, text = run("forget", "made", store=store, answer="n\n")
    assert code == 1
    assert hashes(built) | hashes(store.root) == before
    code, text = run("forget", "made", store=store, answer="y\n")
    assert code == 0
    assert not built.exists()


def test_the_command_builds_from_a_shared_list(store: Store, built: Path, tmp_path: Path):
    shared = tmp_path / "shared.lock"
    shutil.copy(store.root / RECIPES_NAME, shared)
    put_clip(store, "another", width=96, height=80, num_frames=6, seed=77)
    (tmp_path / "made.yaml").write_text(RECIPE)
    recipe = str(tmp_path / "made.yaml")
    code, text = run("build-pairs", recipe, "--out", str(tmp_path / "b"), "--lock", str(shared), store=store)

    assert code == 0, text
    assert f"the 5 clips of {shared}" in text
    assert read_set(tmp_path / "b").content_digest == read_set(built).content_digest
    code, _ = run("build-pairs", recipe, "--out", str(tmp_path / "c"), "--locked", store=store)
    assert code == 0
    assert hashes(tmp_path / "c") == hashes(built)


def test_show_of_the_cdvl_says_that_its_terms_ask_to_destroy_copies():
    result = CliRunner().invoke(app, ["show", "cdvl"])

    assert "sr-data forget cdvl" in result.output
    assert "destroy" in result.output.lower()


def test_a_report_knows_its_size():
    empty = ForgetReport((), (), (), {}, (), (), ())
    assert empty.size_bytes == 0
    assert "0 clips" in empty.to_text(done=True)


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    "place",
    ["../victim", "/tmp/victim", "made/../../victim", "made//x", "made", "other/x.y4m", "made/.locks"],
)
@pytest.mark.parametrize("of_file", [False, True])
def test_a_lock_file_whose_paths_lead_out_of_the_store_is_refused(
    store: Store, tmp_path: Path, place: str, *, of_file: bool
):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    clip = store.records()[0].clip

    def change(data: dict[str, Any]) -> None:
        entry = data["clips"][f"made/{clip}"]
        (entry["files"][0] if of_file else entry)["path"] = place

    edit_json(store.root / "sr-data.lock", change)
    for act in (plan_forget, forget):
        with pytest.raises(StoreError, match=f"made/{clip}"):
            act(Store(store.root), ["made"])
    assert (victim / "file").read_text() == "mine"


def test_an_entry_under_another_clips_name_is_refused(store: Store):
    clip = store.records()[0].clip
    edit_json(
        store.root / "sr-data.lock", lambda data: data["clips"].update({"x/y": data["clips"][f"made/{clip}"]})
    )
    with pytest.raises(StoreError, match=f"the entry 'x/y' is of made/{clip}"):
        Store(store.root).records()


def test_a_link_in_the_store_is_deleted_and_never_what_it_leads_to(store: Store, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    record = store.records()[0]
    store.path_of(record).unlink()
    store.path_of(record).symlink_to(victim)

    forget(store, [f"made/{record.clip}"])

    assert not store.path_of(record).is_symlink()
    assert (victim / "file").read_text() == "mine"


def test_nothing_is_deleted_behind_a_linked_folder(store: Store, tmp_path: Path):
    record = store.records()[0]
    victim = tmp_path / "victim"
    (store.root / "made").rename(victim)
    (store.root / "made").symlink_to(victim)
    with pytest.raises(StoreError, match="lies outside"):
        forget(store, ["made"])
    assert (victim / store.path_of(record).name).exists()
    assert store.find("made", record.clip) is not None


@pytest.mark.parametrize(
    "wrong", [{"paths": ["../victim"]}, {"clips": ["../victim"]}, {"folders": ["victim"]}]
)
def test_a_journal_that_leads_out_of_the_store_is_refused(
    store: Store, tmp_path: Path, wrong: dict[str, list[str]]
):
    (tmp_path / "victim").mkdir()
    journal = {"format": 1, "clips": [], "paths": [], "folders": []} | wrong
    (store.root / "forgetting.json").write_text(json.dumps(journal))
    with pytest.raises(StoreError, match=r"forgetting\.json does not say"):
        forget(store, [])
    assert (tmp_path / "victim").exists()


def test_a_folder_that_only_the_register_takes_for_a_set_is_left_alone(
    store: Store, built: Path, tmp_path: Path
):
    clip = store.records()[0].clip
    other = tmp_path / "other"
    shutil.copytree(built, other)
    edit_json(other / "sr-data.json", lambda data: data.update(inputs=[]))
    (other / "data" / ".mine.part").write_text("mine")
    before = hashes(other)
    edit_json(store.root / "sets.json", lambda data: data["sets"][0].update(path=str(other)))

    forget(store, [f"made/{clip}"])

    assert hashes(other) == before


def test_a_register_with_names_that_lead_elsewhere_is_refused(store: Store, built: Path):
    edit_json(store.root / "sets.json", lambda data: data["sets"][0].update(clips=["../victim"]))
    with pytest.raises(StoreError, match=r"sets\.json is not of this version"):
        plan_forget(store, [".."])
