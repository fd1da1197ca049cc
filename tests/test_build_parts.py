"""Sets built in parts by jobs that know nothing of each other, and straight into an object store."""

import errno
import fcntl
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from made import RECIPE, made_store, put_clip, recipe_of
from objectstore import ObjectStore, object_store
from test_build import hashes
from test_build_errors import spoil
from typer.testing import CliRunner

from sr_datasets.build import Part, PartReport, ShardTask, build_pairs, build_part, packages, parts, receipts
from sr_datasets.build.cutting import ShardResult
from sr_datasets.built import built_sets
from sr_datasets.cli.main import app
from sr_datasets.errors import BuildError, DecodeError, RemoteError, ShardError
from sr_datasets.files import lock_beside
from sr_datasets.inspect import inspect_set
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import Place
from sr_datasets.shards.remote import RemoteSet
from sr_datasets.store import Store

PROGRAM = (
    "import sys; from pathlib import Path; from sr_datasets.build import Part, build_part\n"
    "from sr_datasets.catalog import find_recipe; from sr_datasets.store import Store\n"
    "report = build_part(find_recipe(sys.argv[1]), part=Part.parse(sys.argv[4]), out_dir=Path(sys.argv[2]),\n"
    "                    store=Store(Path(sys.argv[3])))\n"
    "print('finished' if report.built else report.missing)\n"
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return made_store(tmp_path, monkeypatch)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with object_store(monkeypatch) as server:
        yield server


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return recipe_of(tmp_path, RECIPE.replace("clips_per_shard: 2", "clips_per_shard: 1"))


@pytest.fixture
def alone(recipe: Recipe, store: Store, tmp_path: Path) -> dict[str, str]:
    """Return the hashes of the files of one build: five shards."""
    build_pairs(recipe, out_dir=tmp_path / "alone", store=store)
    return hashes(tmp_path / "alone")


@contextmanager
def no_lock(path: Path, *, exclusive: bool) -> Iterator[bool]:
    """Lock nothing, as file systems without locks do."""
    yield True


def job(recipe: Recipe, store: Store, out_dir: Path | str, part: str) -> PartReport:
    return build_part(recipe, part=Part.parse(part), out_dir=out_dir, store=store)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_parts_in_any_order_make_the_bytes_of_one_build(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str], count: int
):
    order = random.Random(count).sample(range(1, count + 1), count)
    reports = [job(recipe, store, tmp_path / "set", f"{number}/{count}") for number in order]

    assert hashes(tmp_path / "set") == alone
    assert [report.built is not None for report in reports][-1]
    assert sum(report.num_shards for report in reports) == 5
    assert not [path for path in (tmp_path / "set").iterdir() if path.name.startswith(".")]


def test_parts_that_have_no_shard_end_without_one(recipe: Recipe, store: Store, tmp_path: Path):
    report = job(recipe, store, tmp_path / "set", "7/8")

    assert (report.num_shards, report.missing) == (0, (1, 2, 3, 4, 5))


def test_inspect_says_which_parts_are_missing(recipe: Recipe, store: Store, tmp_path: Path):
    job(recipe, store, tmp_path / "set", "2/3")

    with pytest.raises(
        ShardError, match=r"in 3 parts, and 2 of 5 shards.*2 of the parts \(1, 3\).*--part I/3"
    ):
        inspect_set(tmp_path / "set")


def test_a_part_that_comes_again_makes_nothing_twice(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str]
):
    job(recipe, store, tmp_path / "set", "1/2")
    again = job(recipe, store, tmp_path / "set", "1/2")
    assert (again.num_reused, again.missing) == (3, (2,))
    assert job(recipe, store, tmp_path / "set", "2/2").built is not None
    late = job(recipe, store, tmp_path / "set", "1/2")

    assert late.num_reused == 3
    assert late.built is not None
    assert hashes(tmp_path / "set") == alone


def test_the_same_command_without_part_finishes_what_is_missing(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str]
):
    job(recipe, store, tmp_path / "set", "3/4")
    assert build_pairs(recipe, out_dir=tmp_path / "set", store=store).num_reused == 1
    assert hashes(tmp_path / "set") == alone


def test_a_shard_that_was_harmed_behind_its_receipt_is_made_again(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str]
):
    job(recipe, store, tmp_path / "set", "1/2")
    shard = tmp_path / "set/data/test-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-7])
    assert job(recipe, store, tmp_path / "set", "2/2").missing == (1,)
    assert job(recipe, store, tmp_path / "set", "1/2").built is not None
    assert hashes(tmp_path / "set") == alone


def test_harmed_and_lost_receipts_change_nothing(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str]
):
    job(recipe, store, tmp_path / "set", "1/2")
    lost, harmed, _ = sorted((tmp_path / "set/.parts").glob("*.parquet"))
    lost.unlink()
    harmed.write_bytes(b"PAR1")
    assert job(recipe, store, tmp_path / "set", "2/2").missing == (1,)
    assert job(recipe, store, tmp_path / "set", "1/2").built is not None
    assert hashes(tmp_path / "set") == alone


def test_a_job_with_another_plan_or_number_of_parts_is_refused(recipe: Recipe, store: Store, tmp_path: Path):
    job(recipe, store, tmp_path / "set", "1/2")

    with pytest.raises(BuildError, match=r"in 2 parts, and this is part 1/3"):
        job(recipe, store, tmp_path / "set", "1/3")
    put_clip(store, "extra", width=96, height=80, num_frames=4, seed=77)
    with pytest.raises(BuildError, match="shards of another build"):
        job(recipe, store, tmp_path / "set", "2/2")
    (known,) = built_sets(store)
    assert "made/extra" not in known.clips  # what the folder holds is what forget looks for there


def test_a_job_with_other_packages_is_refused(
    recipe: Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    job(recipe, store, tmp_path / "set", "1/2")
    monkeypatch.setattr(packages, "version", lambda name: "0.0")
    with pytest.raises(BuildError, match=r"other packages.*numpy 0\.0 here.*same versions"):
        job(recipe, store, tmp_path / "set", "2/2")


def test_a_part_does_not_begin_beside_a_build_of_the_whole_or_beside_itself(
    recipe: Recipe, store: Store, tmp_path: Path
):
    folder = tmp_path / "set"
    job(recipe, store, folder, "1/2")
    for name, exclusive, message in [
        (".build.lock", True, "without --part"),
        (".parts/2-of-2.lock", True, "another job is building part 2/2"),
    ]:
        with lock_beside(folder / name, exclusive=exclusive), pytest.raises(BuildError, match=message):
            job(recipe, store, folder, "2/2")
    with (
        lock_beside(folder / ".build.lock", exclusive=False),
        pytest.raises(BuildError, match="another build"),
    ):
        build_pairs(recipe, out_dir=folder, store=store)


def test_without_locks_two_jobs_of_one_part_end_in_the_same_bytes(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    """On a file system without locks both go on; here the second one comes when the first has made its shards."""
    monkeypatch.setattr(parts, "lock_beside", no_lock)
    real = parts.receipts_there
    inner: list[PartReport] = []

    def in_between(place: Place) -> set[str]:
        monkeypatch.setattr(parts, "receipts_there", real)
        inner.append(job(recipe, store, tmp_path / "set", "1/1"))
        return real(place)

    monkeypatch.setattr(parts, "receipts_there", in_between)
    outer = job(recipe, store, tmp_path / "set", "1/1")

    assert inner[0].built is not None
    assert outer.built is not None
    assert hashes(tmp_path / "set") == alone


def test_a_job_whose_half_written_shard_is_cleared_by_the_job_that_finished_says_that_the_set_is_there(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    def too_late(task: ShardTask, place: Place) -> ShardResult:
        build_pairs(recipe, out_dir=tmp_path / "other", store=store)
        shutil.rmtree(tmp_path / "set")
        shutil.copytree(tmp_path / "other", tmp_path / "set")
        raise FileNotFoundError(task.path)

    monkeypatch.setattr(parts, "settle_shard", too_late)
    assert job(recipe, store, tmp_path / "set", "1/2").built is not None
    assert hashes(tmp_path / "set") == alone


def test_a_part_that_finishes_while_another_one_has_just_finished_says_that_the_set_is_there(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    """The other one has deleted the receipts between the two looks at them."""
    real = parts.tables_of

    def after_the_other(*arguments: Any) -> Iterator[Any]:
        monkeypatch.setattr(parts, "tables_of", real)
        with monkeypatch.context() as patch:
            patch.setattr(parts, "lock_beside", no_lock)
            job(recipe, store, tmp_path / "set", "2/2")
        return real(*arguments)

    job(recipe, store, tmp_path / "set", "1/2")
    monkeypatch.setattr(parts, "tables_of", after_the_other)
    assert job(recipe, store, tmp_path / "set", "2/2").built is not None
    assert hashes(tmp_path / "set") == alone


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with lock_beside(tmp_path / "lock", exclusive=True) as ours:
        assert ours
    assert "cannot be locked" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_who_waited_for_a_lock_file_that_is_gone_locks_the_next_one(tmp_path: Path):
    path = tmp_path / "lock"
    with lock_beside(path, exclusive=False) as one, lock_beside(path, exclusive=False) as two:
        assert one
        assert two
        with lock_beside(path, exclusive=True) as alone:
            assert not alone
    with lock_beside(path, exclusive=True) as alone:
        assert alone
        with lock_beside(path, exclusive=False) as beside:
            assert not beside
    assert not path.exists()


@pytest.mark.slow
def test_jobs_at_once_and_killed_and_repeated_end_in_the_same_bytes(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str]
):
    arguments = [
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path / "made.yaml"),
        str(tmp_path / "set"),
        str(store.root),
    ]
    draws = random.Random(4)
    jobs = [
        subprocess.Popen([*arguments, f"{number}/3"], stderr=subprocess.DEVNULL) for number in (1, 2, 3, 2)
    ]
    deadline = time.monotonic() + 60
    while not list((tmp_path / "set" / "data").glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    draws.choice(jobs[:3]).send_signal(signal.SIGKILL)
    for process in jobs:
        process.wait()
    again = [
        subprocess.Popen([*arguments, f"{number}/3"], stderr=subprocess.DEVNULL, stdout=subprocess.PIPE)
        for number in (3, 1, 2)
    ]
    said = [process.communicate()[0] for process in again]

    assert b"finished\n" in said
    assert hashes(tmp_path / "set") == alone


def test_a_part_leaves_out_a_clip_that_cannot_be_read_when_it_is_told_to(
    recipe: Recipe, store: Store, tmp_path: Path
):
    spoil(store, "clip3")
    with pytest.raises(DecodeError, match="clip3"):
        job(recipe, store, tmp_path / "set", "2/2")  # clip3 is in the fourth shard
    for number in (1, 2):
        report = build_part(
            recipe, part=Part(number, 2), out_dir=tmp_path / "set", store=store, on_error="skip"
        )
    assert report.built is not None
    assert [clip.clip for clip in report.built.failed] == ["clip3"]


def test_the_command_says_how_far_it_is(recipe: Recipe, store: Store, tmp_path: Path):
    arguments = ["build-pairs", str(tmp_path / "made.yaml"), "--out", str(tmp_path / "set")]
    arguments += ["--store", str(store.root), "--part"]
    first = CliRunner().invoke(app, [*arguments, "1/2"])
    second = CliRunner().invoke(app, [*arguments, "2/2"])
    wrong = CliRunner().invoke(app, [*arguments, "3/2"])

    assert "part 1/2: 3 shards, 36 rows\nnot finished: 1 part of 2 (2)." in first.stdout
    assert "the set is finished:" in second.stdout
    assert "content digest" in second.stdout
    assert wrong.exit_code == 2


def test_a_set_is_built_into_an_object_store(
    recipe: Recipe, store: Store, tmp_path: Path, alone: dict[str, str], server: ObjectStore
):
    report = build_pairs(recipe, out_dir=server.address("set"), store=store, workers=1)

    assert digests(server, "set") == alone
    assert report.num_rows == 60
    assert "?" not in str(report.out_dir)
    again = build_pairs(recipe, out_dir=server.address("set"), store=store)
    assert again.num_reused == 5
    assert digests(server, "set") == alone
    assert RemoteSet(server.address("set")).verify() == []


def digests(server: ObjectStore, folder: str) -> dict[str, str]:
    """Return the SHA-256 of every object of a set, but of the report."""
    return {
        name: hashlib.sha256(server.get(f"{folder}/{name}")).hexdigest()
        for name in server.names(folder)
        if name != "build-report.json"
    }


def test_parts_go_into_an_object_store_too_and_what_is_there_is_not_made_again(
    recipe: Recipe, store: Store, alone: dict[str, str], server: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    address = server.address("parts1")
    job(recipe, store, address, "1/2")
    made: list[str] = []
    real = receipts.build_shard
    monkeypatch.setattr(
        receipts,
        "build_shard",
        lambda task: (made.append(task.name), real(task))[1],  # type: ignore[func-returns-value]
    )
    lost, *_ = [name for name in server.names("parts1") if name.startswith(".parts/")]
    server.filesystem.delete_file(f"tests/parts1/{lost}")  # killed between shard and receipt
    server.put("parts1/data/train-00001-of-00004.parquet", b"half")
    assert job(recipe, store, address, "1/2").missing == (2,)
    assert made == ["train-00001-of-00004.parquet"]
    assert job(recipe, store, address, "2/2").built is not None
    assert digests(server, "parts1") == alone


def test_an_object_store_is_no_set_before_its_description_which_comes_last(
    recipe: Recipe, store: Store, alone: dict[str, str], server: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    address = server.address("parts2")
    real = Place.send

    def breaking(self: Place, source: Path | bytes, name: str, **options: object) -> None:
        if name == "croissant.json":
            raise RemoteError("the line is cut", final=True)
        real(self, source, name)

    monkeypatch.setattr(Place, "send", breaking)
    with pytest.raises(RemoteError, match="the line is cut"):
        build_pairs(recipe, out_dir=address, store=store)
    assert "sr-data.json" not in server.names("parts2")
    with pytest.raises(ShardError):
        RemoteSet(address)
    monkeypatch.setattr(Place, "send", real)
    assert build_pairs(recipe, out_dir=address, store=store).num_reused == 5
    assert digests(server, "parts2") == alone


def test_inspect_tells_a_build_that_is_not_finished_from_a_push(
    recipe: Recipe, store: Store, server: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    job(recipe, store, server.address("begun-parts"), "2/3")
    with pytest.raises(
        ShardError, match=r"begun-parts is not a shard set: its build is in 3 parts, and 2 of 5 .*--part I/3"
    ):
        RemoteSet(server.address("begun-parts"))

    def cut(*_: object) -> None:
        raise RemoteError("the line is cut", final=True)

    monkeypatch.setattr(parts, "send_checked", cut)
    with pytest.raises(RemoteError, match="the line is cut"):
        build_pairs(recipe, out_dir=server.address("begun"), store=store)
    with pytest.raises(
        ShardError, match=r"has not finished, and 5 of 5 shards .* run the same sr-data build-pairs command"
    ):
        RemoteSet(server.address("begun"))


@pytest.mark.parametrize("text", ["٣/٤", "3/٤", "3", "3/", "-1/4", "1/2/3", " 1/2"])
def test_a_part_is_two_numbers_of_ascii_digits(text: str):
    with pytest.raises(ValueError, match="write I/N"):
        Part.parse(text)


def test_an_object_stores_folder_with_something_else_is_left_alone(
    recipe: Recipe, store: Store, server: ObjectStore
):
    server.put("parts3/thesis.tex", b"\\end")
    with pytest.raises(BuildError, match=r"no build wrote: thesis\.tex"):
        build_pairs(recipe, out_dir=server.address("parts3"), store=store)
    server.put("parts-other/data/train-00000-of-00009.parquet", b"x")
    with pytest.raises(BuildError, match=r"no build wrote: data/train-00000-of-00009\.parquet"):
        build_pairs(recipe, out_dir=server.address("parts-other"), store=store)

    assert server.names("parts3") == ["thesis.tex"]
