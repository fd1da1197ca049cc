"""Sets pushed to other places: whole or no set, verified, and only where licences let them."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
import requests
from fsspec.implementations.memory import MemoryFileSystem
from made import MANIFEST, made_store, recipe_of
from objectstore import BreakingLine, ObjectStore, object_store
from typer.testing import CliRunner

from sr_datasets import remotes
from sr_datasets.build import build_pairs
from sr_datasets.built import read_recipe_lock
from sr_datasets.card import CROISSANT_NAME
from sr_datasets.catalog import load_recipe
from sr_datasets.cli.main import app
from sr_datasets.errors import RemoteError, ShardError, TermsError
from sr_datasets.files import sha256_of
from sr_datasets.progress import Silent
from sr_datasets.push import LOCK_NAME, MARKER_NAME, PLAN_NAME, RECIPE_NAME, push_set
from sr_datasets.shards.remote import RemoteSet
from sr_datasets.shards.sets import INDEX_NAME, SET_NAME, read_set
from sr_datasets.shards.verify import verify_set
from sr_datasets.store import Store

GRANTED = MANIFEST.replace(
    "{own: {name: own}}", '{own: {name: CC BY 4.0, redistribute_derived: "yes", attribution: "yes"}}'
)


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as opened:
        yield opened


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """Return a store and the folder of a set that was built of it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        store = made_store(folder, patch)
        build_pairs(recipe_of(folder), out_dir=folder / "set", store=store)
    return store, folder / "set"


@pytest.fixture
def set_dir(made: tuple[Store, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the set, of clips whose licence lets patches be passed on."""
    grant(tmp_path, monkeypatch, GRANTED)
    shutil.copytree(made[1], tmp_path / "set")
    return tmp_path / "set"


def grant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: str) -> None:
    folder = tmp_path / "config" / "sr-datasets" / "manifests" / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made.yaml").write_text(manifest)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "build-report.json"
    }


def test_a_pushed_folder_is_the_set(set_dir: Path, tmp_path: Path):
    report = push_set(set_dir, str(tmp_path / "there" / "set"))

    assert files_of(tmp_path / "there" / "set") == files_of(set_dir)
    assert verify_set(tmp_path / "there" / "set") == []
    assert report.files[-2:] == (INDEX_NAME, SET_NAME)
    assert (report.sent, report.present) == (len(report.files), 0)


def test_a_pushed_object_is_the_set_and_a_second_push_sends_nothing(
    s3: ObjectStore, set_dir: Path, tmp_path: Path
):
    first = push_set(set_dir, s3.address("whole"))
    again = push_set(set_dir, s3.address("whole"))

    assert s3.names("whole") == sorted(files_of(set_dir))
    assert (again.sent, again.present) == (0, first.sent)
    opened = RemoteSet(s3.address("whole"), cache_dir=tmp_path / "cache")
    assert opened.verify() == []
    assert opened.info == read_set(set_dir)


@pytest.mark.parametrize("answer", ["no", "unstated"])
def test_without_a_grant_nothing_goes_and_the_message_names_the_source(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
):
    grant(
        tmp_path,
        monkeypatch,
        GRANTED.replace('redistribute_derived: "yes"', f'redistribute_derived: "{answer}"'),
    )

    with pytest.raises(TermsError) as error:
        push_set(set_dir, str(tmp_path / "there"))

    assert f"made: 5 clips, licence: CC BY 4.0 (redistribute_derived: {answer})" in str(error.value)
    assert "--recipe-only" in str(error.value)
    assert not (tmp_path / "there").exists()


def test_a_source_that_the_catalog_lacks_is_no_grant(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))

    with pytest.raises(TermsError, match="made: 5 clips, licence: not known"):
        push_set(set_dir, str(tmp_path / "there"))


def test_from_a_recipe_without_pixels_others_build_the_same_set(
    made: tuple[Store, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, set_dir = made
    grant(tmp_path, monkeypatch, MANIFEST)
    report = push_set(set_dir, str(tmp_path / "plan"), recipe_only=True)

    there = tmp_path / "plan"
    assert {path.name for path in there.iterdir()} == {
        RECIPE_NAME, LOCK_NAME, INDEX_NAME, PLAN_NAME, "README.md",
    }  # fmt: skip
    assert not report.pixels
    assert "There are no pixels here" in (there / "README.md").read_text()
    with pytest.raises(ShardError, match="is not a shard set"):
        read_set(there)
    recipe = load_recipe(there / RECIPE_NAME)
    built = build_pairs(
        recipe, out_dir=tmp_path / "again", store=store, lock=read_recipe_lock(there / LOCK_NAME, recipe.id)
    )
    assert built.content_digest == report.content_digest == read_set(set_dir).content_digest
    assert json.loads((there / PLAN_NAME).read_text())["content_digest"] == built.content_digest


def test_a_damaged_set_is_not_pushed(set_dir: Path, tmp_path: Path):
    shard = next((set_dir / "data").iterdir())
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)

    with pytest.raises(ShardError, match=rf"damaged, so nothing was pushed:\s+.*{shard.name}"):
        push_set(set_dir, str(tmp_path / "there"))
    assert not (tmp_path / "there").exists()


def test_a_push_that_was_killed_goes_on_and_is_no_set_before(s3: ObjectStore, set_dir: Path, tmp_path: Path):
    wanted = 0

    def has_enough() -> bool:
        return len(s3.names("killed")) >= wanted

    line = BreakingLine(s3.port, held=has_enough)
    address = s3.address("killed", port=line.port)
    code = "from sr_datasets.cli.main import main; main()"
    command = [sys.executable, "-c", code, "push", str(set_dir), address]
    kills = 0
    for wanted in (2, 4):  # noqa: B007  # the marker and a shard; then more: `has_enough` reads it
        process = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
        while process.poll() is None and not has_enough():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert SET_NAME not in s3.names("killed")
        assert MARKER_NAME in s3.names("killed")
        with pytest.raises(ShardError, match="is not a shard set"):
            RemoteSet(s3.address("killed"), cache_dir=tmp_path / "cache")
    line.close()

    report = push_set(set_dir, s3.address("killed"))

    assert kills == 2
    assert report.present >= 1
    assert s3.names("killed") == sorted(files_of(set_dir))
    assert RemoteSet(s3.address("killed"), cache_dir=tmp_path / "cache").verify() == []


def test_half_files_of_killed_pushes_go_and_those_of_another_one_stay(set_dir: Path, tmp_path: Path):
    (tmp_path / "there" / "data").mkdir(parents=True)
    shard = next((set_dir / "data").iterdir()).name
    dead = [
        tmp_path / "there" / name
        for name in (f".{MARKER_NAME}.0123abcd.part", f"data/.{shard}.89abcdef.part")
    ]
    alive = tmp_path / "there" / f".{SET_NAME}.0123abcd.part"
    for path in (*dead, alive):
        path.write_bytes(b"half")
    for path in dead:
        os.utime(path, (1e9, 1e9))
    os.utime(alive, (time.time() + 60,) * 2)
    push_set(set_dir, str(tmp_path / "there"))

    assert [path.name for path in (tmp_path / "there").rglob("*.part")] == [alive.name]


def test_what_arrives_broken_is_sent_again(s3: ObjectStore, set_dir: Path):
    name = next(name for name in files_of(set_dir) if name.startswith("data/"))
    push_set(set_dir, s3.address("broken"))
    s3.filesystem.delete_file(f"tests/broken/{SET_NAME}")
    data = bytearray(s3.get(f"broken/{name}"))
    data[7] ^= 1
    s3.put(f"broken/{name}", bytes(data))
    with pytest.raises(RemoteError, match="holds something else"):
        push_set(set_dir, s3.address("broken"))
    push_set(set_dir, s3.address("other"))
    s3.put(f"broken/{MARKER_NAME}", b"{}")
    with pytest.raises(RemoteError, match="another set, whose push did not finish"):
        push_set(set_dir, s3.address("broken"))


def test_a_place_that_holds_something_else_is_left_alone(s3: ObjectStore, set_dir: Path, tmp_path: Path):
    s3.put("taken/README.md", b"mine")
    with pytest.raises(RemoteError, match=r"s3://tests/taken holds something else: README\.md"):
        push_set(set_dir, s3.address("taken"))
    assert s3.names("taken") == ["README.md"]
    (tmp_path / "there" / "data").mkdir(parents=True)
    (tmp_path / "there" / "data" / "train-00009-of-00010.parquet").write_bytes(b"x")
    with pytest.raises(RemoteError, match=r"data/train-00009-of-00010\.parquet"):
        push_set(set_dir, str(tmp_path / "there"))


@pytest.mark.parametrize("recipe_only", [False, True])
def test_a_file_of_the_users_own_among_those_of_a_killed_push_stays(
    s3: ObjectStore, set_dir: Path, monkeypatch: pytest.MonkeyPatch, recipe_only: bool
):
    there, real = f"killed-{recipe_only}", remotes.Place.send

    def dying(self: remotes.Place, source: Path | bytes, name: str, **how: Any) -> None:
        if name == INDEX_NAME:
            raise KeyboardInterrupt  # behind the cards
        real(self, source, name, **how)

    with monkeypatch.context() as patch:
        patch.setattr(remotes.Place, "send", dying)
        with pytest.raises(KeyboardInterrupt):
            push_set(set_dir, s3.address(there), recipe_only=recipe_only)
    ours = s3.get(f"{there}/README.md")
    mine = [
        ("README.md", b"my own work"),
        ("README.md", ours.replace(b"Noise", b"Alice")),
        (INDEX_NAME, b"mine"),
    ]
    mine += [(RECIPE_NAME if recipe_only else CROISSANT_NAME, b'{"name": "mine"}')]
    for name, data in mine:
        before = s3.get(f"{there}/{name}") if name in s3.names(there) else None
        s3.put(f"{there}/{name}", data)
        with pytest.raises(
            RemoteError, match=rf"{there} holds something else: {name}\..*Nothing was changed there"
        ):
            push_set(set_dir, s3.address(there), recipe_only=recipe_only)
        assert s3.get(f"{there}/{name}") == data
        s3.filesystem.delete_file(f"tests/{there}/{name}")
        if before is not None:
            s3.put(f"{there}/{name}", before)
    assert push_set(set_dir, s3.address(there), recipe_only=recipe_only).sent == 2


@pytest.mark.parametrize("recipe_only", [False, True])
def test_a_card_that_was_edited_where_it_was_pushed_stays(s3: ObjectStore, set_dir: Path, recipe_only: bool):
    class Said(Silent):
        lines: ClassVar[list[str]] = []

        def log(self, message: str) -> None:
            self.lines.append(message)

    there = f"edited-{recipe_only}"
    first = push_set(set_dir, s3.address(there), recipe_only=recipe_only)
    s3.put(f"{there}/README.md", b"by Alice")
    again = push_set(set_dir, s3.address(there), recipe_only=recipe_only, progress=Said())

    assert s3.get(f"{there}/README.md") == b"by Alice"
    assert (again.sent, again.present) == (0, len(first.files))
    assert Said.lines.pop().endswith(
        f"{there}/README.md is another one than here, and stays: the set is there already. Delete it there to have this "
        "one sent."
    )
    s3.filesystem.delete_file(f"tests/{there}/README.md")
    assert push_set(set_dir, s3.address(there), recipe_only=recipe_only).sent == 1


@pytest.mark.parametrize("name", ["a", "holiday/1.jpg", "data/notes.txt", "data/data/x"])
def test_a_folder_that_holds_anything_else_is_left_alone(set_dir: Path, tmp_path: Path, name: str):
    (tmp_path / "there" / name).parent.mkdir(parents=True)
    (tmp_path / "there" / name).write_text("mine")

    for recipe_only in (False, True):
        with pytest.raises(
            RemoteError, match=r"there holds something else: (data/)?\w+.*Nothing was changed"
        ):
            push_set(set_dir, str(tmp_path / "there"), recipe_only=recipe_only)

    assert [
        str(p.relative_to(tmp_path / "there")) for p in (tmp_path / "there").rglob("*") if p.is_file()
    ] == [name]


def test_hidden_files_of_a_repository_may_stay(set_dir: Path, tmp_path: Path):
    (tmp_path / "there" / ".git").mkdir(parents=True)
    (tmp_path / "there" / ".gitattributes").write_text("")

    assert push_set(set_dir, str(tmp_path / "there")).sent


def test_a_set_is_not_pushed_into_itself_nor_around_itself(set_dir: Path, tmp_path: Path):
    before = files_of(set_dir)
    (tmp_path / "door").symlink_to(set_dir)

    for place in (set_dir / "data", set_dir / "sub", set_dir / "sub" / "x", tmp_path / "door" / "sub"):
        with pytest.raises(ShardError, match="lies in the set"):
            push_set(set_dir, str(place))
    with pytest.raises(ShardError, match=r"holds .*set itself"):
        push_set(set_dir, str(tmp_path))
    assert push_set(set_dir, str(tmp_path / "door")).sent == 0
    assert files_of(set_dir) == before
    assert verify_set(set_dir) == []


def test_an_empty_address_is_no_place(set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    with pytest.raises(ValueError, match="address is empty"):
        push_set(set_dir, " ")
    result = CliRunner().invoke(app, ["push", str(set_dir), ""])

    assert result.exit_code == 2
    assert "is empty: name a folder" in result.output
    assert list((tmp_path / "here").iterdir()) == []


def test_a_new_repository_of_a_hub_takes_a_set_through_fsspec(set_dir: Path, tmp_path: Path):
    class Hub(MemoryFileSystem):
        """A file system as huggingface_hub's: folders are names of files, a file is there when it was closed."""

        protocol = "fakehub"
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return super()._strip_protocol(path.removeprefix("fakehub:/"))

        def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
            pass

    fsspec.register_implementation("fakehub", Hub, clobber=True)
    Hub().pipe("/datasets/me/demo/.gitattributes", b"*.parquet filter=lfs\n")
    address = "fakehub://datasets/me/demo"

    first = push_set(set_dir, address)
    again = push_set(set_dir, address)

    assert (first.sent, again.sent) == (len(first.files), 0)
    stored = {name.removeprefix("/datasets/me/demo/") for name in Hub.store}
    assert stored == {".gitattributes", *files_of(set_dir)}
    assert RemoteSet(address, cache_dir=tmp_path / "cache").verify() == []
    Hub().pipe("/datasets/me/demo/mine.txt", b"mine")
    with pytest.raises(RemoteError, match=r"holds something else: mine\.txt"):
        push_set(set_dir, address)


def test_no_bucket_and_wrong_credentials_are_one_sentence(
    s3: ObjectStore, set_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remotes, "_PATIENCE_SECONDS", 0.0)
    nowhere = s3.address("x").replace("s3://tests/", "s3://no-such-bucket/")
    with pytest.raises(RemoteError, match="no such bucket"):
        push_set(set_dir, nowhere)
    admin = f"http://127.0.0.1:{s3.port}/moto-api/reset-auth"
    requests.post(admin, data=b"0", timeout=10).raise_for_status()
    try:
        with pytest.raises(
            RemoteError, match=r"s3://tests/denied/\S+ cannot be .*: the place refuses.*AWS_ACCESS_KEY_ID"
        ):
            push_set(set_dir, s3.address("denied"))
    finally:
        requests.post(admin, data=b"inf", timeout=10).raise_for_status()


def test_a_folder_that_may_not_be_written_is_one_sentence(set_dir: Path, tmp_path: Path):
    if os.geteuid() == 0:
        (tmp_path / "file").write_text("")
        with pytest.raises(RemoteError, match="cannot be"):
            push_set(set_dir, str(tmp_path / "file" / "set"))
        return
    (tmp_path / "there").mkdir(mode=0o500)
    with pytest.raises(RemoteError, match="permission denied"):
        push_set(set_dir, str(tmp_path / "there" / "set"))


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(set_dir: Path, tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heed = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(RemoteError, match="the disk is full"):
            push_set(set_dir, str(tmp_path / "there"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heed)

    assert [path.name for path in (tmp_path / "there").rglob("*") if path.is_file()] == [MARKER_NAME]
    assert push_set(set_dir, str(tmp_path / "there")).sent


def test_the_command_says_what_is_in_a_push_without_pixels(set_dir: Path, tmp_path: Path):
    result = CliRunner().invoke(app, ["push", str(set_dir), str(tmp_path / "plan"), "--recipe-only"])

    assert result.exit_code == 0, result.output
    assert "no pixels: recipe.yaml, recipes.lock, README.md, index.parquet, sr-plan.json" in result.stdout
    whole = CliRunner().invoke(app, ["push", str(set_dir), str(tmp_path / "set2"), "--json"])
    assert json.loads(whole.stdout)["pixels"] is True
