"""What no build made is never written over by one, whatever it is called."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made import made_store, recipe_of
from objectstore import ObjectStore, object_store
from test_build import hashes
from test_build_makers import begin

from sr_datasets.build import build_pairs, build_part
from sr_datasets.build.planning import Part
from sr_datasets.errors import BuildError
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import RangeReader
from sr_datasets.shards.sets import read_set
from sr_datasets.store import Store

MINE = [
    "README.md",
    "index.parquet",
    "croissant.json",
    "build-report.json",
    "sr-data.json",
    ".build.json",
    ".build.lock",
    ".measures.npz",
    ".README.md.0123abcd.part",
    ".parts/notes.parquet",
    "data/.mine.part",
    "data/notes.txt",
    "data",
]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return made_store(tmp_path, monkeypatch)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return recipe_of(tmp_path)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with object_store(monkeypatch) as server:
        yield server


@pytest.mark.parametrize("name", MINE)
def test_a_file_of_the_users_own_is_named_and_stays_as_it_is(
    recipe: Recipe, store: Store, tmp_path: Path, name: str
):
    mine = tmp_path / "set" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own work")
    before = hashes(tmp_path / "set")
    for _ in range(2):
        with pytest.raises(BuildError, match=name.partition("/")[0].replace(".", r"\.")):
            build_pairs(recipe, out_dir=tmp_path / "set", store=store)
        with pytest.raises(BuildError, match=name.partition("/")[0].replace(".", r"\.")):
            build_part(recipe, part=Part(1, 2), out_dir=tmp_path / "set", store=store)
    assert hashes(tmp_path / "set") == before


def parquet(columns: list[str]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: ["mine"] for name in columns}), sink)
    return sink.getvalue().to_pybytes()


AMONG = [
    ("README.md", b"my own work"),
    ("README.md", b"# My notes\nI made this with sr-datasets, see its docs.\n"),
    ("README.md", b"# Our lab's notes. Built with sr-datasets by Alice.\n"),
    ("README.md", b"HR-LR patch pairs at x3, built with sr-datasets from the recipe `made`.\n"),
    (
        "README.md",
        b"<!-- written by sr-datasets; SHA-256 of this text with zeros here: " + b"0" * 64 + b" -->\n",
    ),
    ("README.md", b"work " * 700_000),
    ("README.md", b""),
    ("croissant.json", b'{"name": "mine"}'),
    ("croissant.json", b'{\n "name": "mine",\n "description": "docs/shards.md of sr-datasets"\n}\n'),
    ("build-report.json", b'{"built": "by hand"}'),
    ("build-report.json", b'{\n "content_digest": "none yet"\n}\n'),
    ("index.parquet", b"my own work"),
    ("index.parquet", b"PAR1"),
    ("index.parquet", b"PAR1" + b"\xff\xff\xff\x7fPAR1"),
    ("index.parquet", b"PAR1 broken \x05\0\0\0PAR1"),
    ("index.parquet", parquet(["word", "page"])),
    ("index.parquet", parquet(["shard", "row_group", "notes"])),
    (".parts/notes.txt", b"my own work"),
    ("README.md/notes.txt", b"my own work"),
]
"""What somebody may have put among the files of a build that was killed."""


@pytest.mark.parametrize(
    ("name", "data"), [*AMONG, ("sr-data.json", b'{"name": "mine"}'), ("sr-data.json", b"my own work")]
)
def test_a_file_of_the_users_own_among_those_of_a_killed_build_stays_too(
    recipe: Recipe, store: Store, tmp_path: Path, name: str, data: bytes
):
    begin(recipe, store, tmp_path / "set", shards=1)
    mine = tmp_path / "set" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(data)
    before = hashes(tmp_path / "set")
    with pytest.raises(
        BuildError, match=rf"no build wrote: {name.removesuffix('/notes.txt') if name[0] != '.' else name}\."
    ):
        build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    assert hashes(tmp_path / "set") == before
    assert mine.read_bytes() == data


def test_a_file_of_the_users_own_in_an_object_store_is_named_and_stays_as_it_is(
    recipe: Recipe, store: Store, server: ObjectStore
):
    names = ["README.md", "index.parquet", "build-report.json", "sr-data.json", ".build.json"]
    for place, name in enumerate([*names, ".parts/notes.parquet", "data/notes.txt"]):
        server.put(f"mine{place}/{name}", b"my own work")
        with pytest.raises(BuildError, match=rf"(something else|no build wrote): {name.partition('/')[0]}"):
            build_pairs(recipe, out_dir=server.address(f"mine{place}"), store=store)
        assert server.names(f"mine{place}") == [name]
        assert server.get(f"mine{place}/{name}") == b"my own work"


def test_a_file_of_the_users_own_among_those_of_a_killed_build_in_an_object_store_stays_too(
    recipe: Recipe, store: Store, server: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    begin(recipe, store, server.address("amidst"), shards=1)
    names = server.names("amidst")
    read, real = [0], RangeReader.read_at

    def count(self: RangeReader, start: int, length: int) -> bytes:
        read[0] += length
        return real(self, start, length)

    monkeypatch.setattr(RangeReader, "read_at", count)
    for name, data in AMONG:
        server.put(f"amidst/{name}", data)
        before, read[0] = {one: server.get(f"amidst/{one}") for one in server.names("amidst")}, 0
        said = name.removesuffix("/notes.txt") if name[0] != "." else name
        for act in (build_pairs, lambda *args, **options: build_part(*args, part=Part(1, 1), **options)):
            with pytest.raises(
                BuildError,
                match=rf"amidst holds files that no build wrote: {said}\. .*a new or an empty folder",
            ):
                act(recipe, out_dir=server.address("amidst"), store=store)
        assert {one: server.get(f"amidst/{one}") for one in server.names("amidst")} == before
        assert read[0] < 2 * (1 << 20) + 100_000
        server.filesystem.delete_file(f"tests/amidst/{name}")
    assert server.names("amidst") == names

    right = build_pairs(recipe, out_dir=server.address("amidst-right"), store=store)
    for name in (
        "index.parquet",
        "README.md",
        "croissant.json",
        "build-report.json",
    ):  # killed before sr-data.json
        server.put(f"amidst/{name}", server.get(f"amidst-right/{name}"))
    again = build_pairs(recipe, out_dir=server.address("amidst"), store=store)
    assert (again.content_digest, again.num_reused) == (right.content_digest, 1)
    assert server.names("amidst") == server.names("amidst-right")


def test_cards_of_a_finished_set_that_were_edited_stay(recipe: Recipe, store: Store, tmp_path: Path):
    set_dir = tmp_path / "set"
    build_pairs(recipe, out_dir=set_dir, store=store)
    for name in ("README.md", "croissant.json"):
        (set_dir / name).write_text((set_dir / name).read_text().replace("Noise", "Noise, by Alice"))
    times = {path: path.stat().st_mtime_ns for path in set_dir.rglob("*")}
    before = hashes(set_dir)

    again = build_pairs(recipe, out_dir=set_dir, store=store)
    assert again.num_reused == again.num_shards
    assert {path: path.stat().st_mtime_ns for path in set_dir.rglob("*") if path != set_dir} == {
        path: time for path, time in times.items() if path != set_dir
    }

    shard = next((set_dir / "data").glob("train-*"))
    for act in (build_pairs, lambda *args, **options: build_part(*args, part=Part(1, 1), **options)):
        shard.unlink()
        act(recipe, out_dir=set_dir, store=store)  # the same set, made whole again
        assert hashes(set_dir) == before

    (set_dir / "croissant.json").unlink()
    build_pairs(recipe, out_dir=set_dir, store=store)
    assert "by Alice" in (set_dir / "README.md").read_text()
    assert (set_dir / "croissant.json").exists()


def test_cards_that_were_edited_before_a_killed_build_went_on_stay(
    recipe: Recipe, store: Store, tmp_path: Path
):
    build_pairs(recipe, out_dir=tmp_path / "set", store=store)
    for cut in (lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:100])):
        cut(tmp_path / "set" / "sr-data.json")
        for name in ("README.md", "croissant.json"):
            right = (tmp_path / "set" / name).read_bytes()
            (tmp_path / "set" / name).write_bytes(right.replace(b"Noise", b"Noise, by Alice", 1))
            before = hashes(tmp_path / "set")
            with pytest.raises(BuildError, match=rf"no build wrote: {name}\. "):
                build_pairs(recipe, out_dir=tmp_path / "set", store=store)
            assert hashes(tmp_path / "set") == before
            (tmp_path / "set" / name).write_bytes(right)
        build_pairs(recipe, out_dir=tmp_path / "set", store=store)


def test_a_file_that_is_alone_in_a_folder_is_named_once(recipe: Recipe, store: Store, tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "README.md").write_text("mine")
    for act in (build_pairs, lambda *args, **options: build_part(*args, part=Part(1, 2), **options)):
        with pytest.raises(BuildError, match=r"no build wrote: README\.md\. Nothing"):
            act(recipe, out_dir=tmp_path / "one", store=store)


def test_what_a_killed_build_of_ours_left_does_not_keep_it_from_going_on(
    recipe: Recipe, store: Store, tmp_path: Path
):
    build_pairs(recipe, out_dir=tmp_path / "right", store=store)
    right = hashes(tmp_path / "right")
    set_dir = tmp_path / "set"
    for shards in (0, 2):
        begin(recipe, store, set_dir, shards=shards)
    for name in ("README.md", "index.parquet"):  # killed behind these, before sr-data.json
        (set_dir / name).write_bytes((tmp_path / "right" / name).read_bytes())
    (set_dir / ".build.lock").touch()
    (set_dir / ".croissant.json.0123abcd.part").write_bytes(b"half")
    build_pairs(recipe, out_dir=set_dir, store=store)
    assert hashes(set_dir) == right

    (set_dir / "sr-data.json").unlink()  # the shards tell what they are
    build_pairs(recipe, out_dir=set_dir, store=store)
    assert hashes(set_dir) == right

    at_once = tmp_path / "at-once"  # killed before it could say what it is
    (at_once / ".parts").mkdir(parents=True)
    (at_once / ".parts" / "1-of-2.lock").touch()
    (at_once / "..build.json.0123abcd.part").touch()
    build_pairs(recipe, out_dir=at_once, store=store)
    assert hashes(at_once) == right


def test_cards_that_were_edited_stay_when_a_clip_comes_back(
    recipe: Recipe, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    build_pairs(recipe, out_dir=tmp_path / "right", store=store)
    one = read_set(tmp_path / "right").inputs[0]
    clip = store.path_of(store.find(one.source, one.clip))
    whole, stat = clip.read_bytes(), clip.stat()
    clip.write_bytes(whole[:100])
    few = build_pairs(recipe, out_dir=tmp_path / "set", store=store, on_error="skip")
    assert sum(few.pairs.values()) == 4
    card = (tmp_path / "set" / "README.md").read_bytes() + b"PUBLISHER NOTE"
    (tmp_path / "set" / "README.md").write_bytes(card)
    clip.write_bytes(whole)
    os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    build_pairs(recipe, out_dir=tmp_path / "set", store=store)

    cards = {"README.md", "croissant.json"}
    right, found = hashes(tmp_path / "right"), hashes(tmp_path / "set")
    assert {name: found[name] for name in found.keys() - cards} == {
        name: right[name] for name in right.keys() - cards
    }
    assert sha256(card).hexdigest() in (tmp_path / "set" / "croissant.json").read_text()
    assert (tmp_path / "set" / "README.md").read_bytes() == card
    assert "README.md: not as this version writes it" in caplog.text
    assert "croissant.json" not in caplog.text
