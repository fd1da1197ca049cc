"""A build goes on with the packages that made what is there, and with no others."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from made import RECIPE, made_store, recipe_of
from objectstore import ObjectStore, object_store
from test_build import hashes

import sr_datasets.build
from sr_datasets.build import ShardTask, build_pairs, build_part, packages, receipts
from sr_datasets.build.cutting import ShardResult, build_shard
from sr_datasets.build.planning import Part
from sr_datasets.errors import BuildError
from sr_datasets.progress import Silent
from sr_datasets.recipe import Recipe
from sr_datasets.shards.sets import read_set
from sr_datasets.store import Store

MIXED = (
    r"numpy 2\.3\.5 here, {} there.*same versions.*start anew: delete what is there, or give --out".format(
        version("numpy").replace(".", r"\.")
    )
)
UNKNOWN = "did not note the versions.*Finish it with that version, or start anew"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return made_store(tmp_path, monkeypatch)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return recipe_of(tmp_path, RECIPE.replace("clips_per_shard: 2", "clips_per_shard: 1"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with object_store(monkeypatch) as server:
        yield server


def begin(recipe: Recipe, store: Store, place: Path | str, *, shards: int = 3) -> None:
    """Build until so many shards are there, and then be killed."""
    left = [shards]

    def dying(task: ShardTask) -> ShardResult:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return build_shard(task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sr_datasets.build, "build_shard", dying)
        patch.setattr(receipts, "build_shard", dying)
        with pytest.raises(KeyboardInterrupt):
            build_pairs(recipe, out_dir=place, store=store)


def another_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "version", lambda name: "2.3.5" if name == "numpy" else version(name))


class Said(Silent):
    """Keeps what a build says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


def test_a_build_that_was_killed_does_not_go_on_with_another_numpy(
    recipe: Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build_pairs(recipe, out_dir=tmp_path / "whole", store=store)
    begin(recipe, store, tmp_path / "set")
    before = hashes(tmp_path / "set")
    with monkeypatch.context() as patch:
        another_numpy(patch)
        with pytest.raises(BuildError, match=MIXED):
            build_pairs(recipe, out_dir=tmp_path / "set", store=store)
        with pytest.raises(BuildError, match=MIXED):
            build_part(recipe, part=Part(2, 3), out_dir=tmp_path / "set", store=store)
    assert hashes(tmp_path / "set") == before

    assert build_pairs(recipe, out_dir=tmp_path / "set", store=store).num_reused == 3
    assert hashes(tmp_path / "set") == hashes(tmp_path / "whole")


def test_a_build_in_parts_is_not_finished_with_another_numpy(
    recipe: Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build_part(recipe, part=Part(1, 3), out_dir=tmp_path / "set", store=store)
    with monkeypatch.context() as patch:
        another_numpy(patch)
        with pytest.raises(BuildError, match=MIXED):
            build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    assert build_pairs(recipe, out_dir=tmp_path / "set", store=store).num_reused == 2


def test_nothing_is_mixed_in_an_object_store_either(
    recipe: Recipe, store: Store, server: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    begin(recipe, store, server.address("mixed"))
    with monkeypatch.context() as patch:
        another_numpy(patch)
        for part in (Part(1, 1), Part(2, 3)):
            with pytest.raises(BuildError, match=MIXED):
                build_part(recipe, part=part, out_dir=server.address("mixed"), store=store)
    build_pairs(recipe, out_dir=server.address("mixed"), store=store)
    server.filesystem.delete_file("tests/mixed/data/train-00002-of-00004.parquet")
    another_numpy(monkeypatch)
    with pytest.raises(BuildError, match=MIXED):
        build_pairs(recipe, out_dir=server.address("mixed"), store=store)
    assert not [name for name in server.names("mixed") if name.startswith(".")]


def test_a_build_that_was_killed_before_its_first_shard_goes_on_with_any_packages(
    recipe: Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    begin(recipe, store, tmp_path / "set", shards=0)
    another_numpy(monkeypatch)
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)

    assert read_set(tmp_path / "set").packages["numpy"] == "2.3.5"


def test_a_finished_set_keeps_the_versions_that_made_it(
    recipe: Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    before = hashes(tmp_path / "set")
    another_numpy(monkeypatch)
    said = Said()
    for _ in range(2):
        assert build_pairs(recipe, out_dir=tmp_path / "set", store=store, progress=said).num_reused == 5
    assert "was made with other packages (numpy 2.3.5 here" in said.lines[0]
    assert hashes(tmp_path / "set") == before
    assert sorted(path.name for path in (tmp_path / "set").iterdir() if path.name.startswith(".")) == []

    shard = tmp_path / "set/data/test-00000-of-00001.parquet"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(BuildError, match=MIXED):
        build_pairs(recipe, out_dir=tmp_path / "set", store=store)


def test_a_build_of_a_version_that_did_not_note_its_packages_is_refused_once_it_has_shards(
    recipe: Recipe, store: Store, tmp_path: Path
):
    begin(recipe, store, tmp_path / "set")
    state = tmp_path / "set" / ".build.json"
    said = json.loads(state.read_bytes())
    state.write_text(json.dumps({"recipe": said["recipe"], "plan": said["plan"]}))
    with pytest.raises(BuildError, match=UNKNOWN):
        build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    for shard in (tmp_path / "set" / "data").iterdir():
        shard.unlink()
    assert build_pairs(recipe, out_dir=tmp_path / "set", store=store).num_reused == 0


def test_shards_of_which_nothing_says_who_made_them_are_not_mixed_with_others(
    recipe: Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    (tmp_path / "set" / "sr-data.json").write_text("{")  # the report beside it still says
    with monkeypatch.context() as patch:
        another_numpy(patch)
        with pytest.raises(BuildError, match=MIXED):
            build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    (tmp_path / "set" / "build-report.json").unlink()
    with pytest.raises(BuildError, match=UNKNOWN):
        build_pairs(recipe, out_dir=tmp_path / "set", store=store)
