"""Folders and addresses of unusual names: they work, or one sentence says why they do not."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made import MANIFEST, made_store, recipe_of
from objectstore import object_store
from typer.testing import CliRunner

from sr_datasets import remotes
from sr_datasets.build import build_pairs
from sr_datasets.cli.main import app
from sr_datasets.errors import RemoteError
from sr_datasets.shards.remote import RemoteSet
from sr_datasets.store import Store, default_root

GRANTED = MANIFEST.replace(
    "{own: {name: own}}", '{own: {name: CC BY 4.0, redistribute_derived: "yes", attribution: "yes"}}'
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the test's own folder the current one: it has a store and the recipe ``made.yaml``."""
    made_store(tmp_path, monkeypatch)
    recipe_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sr_data(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_relative_folder_with_a_colon_is_a_folder(here: Path):
    (here / "config/sr-datasets/manifests/sources/made.yaml").write_text(GRANTED)

    sr_data("build-pairs", "made.yaml", "--out", "./run:1", "--store", "store")
    sr_data("inspect", "./run:1", "--verify")
    sr_data("build-pairs", "made.yaml", "--out", "./run:1", "--store", "store")  # which reads what is there
    sr_data("build-pairs", "made.yaml", "--out", "in:parts", "--store", "store", "--part", "1/2")
    assert "the set is finished" in sr_data(
        "build-pairs", "made.yaml", "--out", "in:parts", "--store", "store", "--part", "2/2"
    )
    sr_data("push", "./run:1", "pushed:1/set")
    sr_data("inspect", "pushed:1/set", "--verify")
    sr_data("export", "./run:1", "--to", "png", "--out", "png:1")
    assert list((here / "png:1").rglob("*.png"))
    sr_data("audit", "pushed:1/set")


@pytest.mark.torch
def test_a_dataset_reads_a_relative_folder_with_a_colon(here: Path):
    from sr_datasets import PairDataset

    sr_data("build-pairs", "made.yaml", "--out", "run:1", "--store", "store")
    data = PairDataset("run:1")
    assert {name: tuple(data[0][name].shape) for name in ("lr", "hr")} == {"lr": (1, 8, 8), "hr": (1, 24, 24)}


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3:/tests/x", r"two slashes. Write s3://tests/x, or \./s3:/tests/x"),
        ("file:x", r"two slashes. Write file:///.*/x, or \./file:x"),
        (" s3://tests/x", r"begins or ends with a blank.* Write s3://tests/x"),
        ("memory://x", "is the memory of this process"),
        ("s3://tests/k#1?region=x", r"s3://tests/k#\.\.\. has a '#'.* write %23"),
        ("file:///tmp/a#1", r"has a '#'.* write %23"),
        (" ", "is empty"),
        (os.fsdecode(b"out\xfe"), r"The name out\\xfe is not UTF-8"),
    ],
)
def test_a_place_that_nobody_can_mean_is_refused(here: Path, place: str, said: str):
    before = sorted(here.iterdir())
    build = ["build-pairs", "made.yaml", "--store", "store", "--out", place]
    for words in (build, ["push", "made", place]):
        if words[0] == "push" and not place.strip():
            continue  # a wrong use, which test_push.py tries
        with pytest.raises(RemoteError, match=said):
            CliRunner().invoke(app, words, catch_exceptions=False)
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("words", [("--out", "", "--store", "s"), ("--out", "o", "--store", ""), ("--out=",)])
def test_an_empty_folder_is_not_the_current_one(here: Path, words: tuple[str, ...]):
    result = CliRunner().invoke(app, ["build-pairs", "made.yaml", *words])
    assert (result.exit_code, "is empty: name a folder" in result.output) == (2, True)


def test_a_store_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SR_DATA_HOME", "~/x y")
    assert default_root() == tmp_path / "x y"


def test_keys_with_blanks_and_letters_beyond_ascii(here: Path, monkeypatch: pytest.MonkeyPatch):
    with object_store(monkeypatch) as s3:
        build_pairs(recipe_of(here), out_dir=s3.address("a b/ä%20+"), store=Store(here / "store"))
        assert s3.get("a b/ä +/sr-data.json")
        assert RemoteSet(s3.address("a b/ä +"), cache_dir=here / "cache").info.rows == 60


def test_a_push_to_a_read_only_disk_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(remotes, "atomic_path", refuse)
    with pytest.raises(
        RemoteError, match=r"x cannot be written: the file system is read-only\. Choose a folder that you may"
    ):
        remotes.Place(tmp_path).send(b"", "x")


@pytest.mark.parametrize("words", [["doctor"], ["push", "a", "b"]])
def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path, words: list[str]):
    code = "import os, sys; os.rmdir(os.getcwd()); from sr_datasets.cli.main import main; main()"
    (tmp_path / "gone").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("sr-data: error: the current folder was deleted. Go to one")


def test_other_names_that_are_not_utf8_are_named(tmp_path: Path):
    code = "from sr_datasets.cli.main import main; main()"
    words = [b"export", os.fsencode(tmp_path) + b"/x\xfe", b"--to", b"png", b"--out", b"y"]
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False), ended.stderr
