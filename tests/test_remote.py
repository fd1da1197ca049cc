"""Sets on an object store: read by row group, kept in a bounded cache, and nothing believed unchecked."""

import errno
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.spec import AbstractFileSystem
from objectstore import BreakingLine, ObjectStore, object_store
from pyarrow import fs
from shard_sets import make_rows, write_set
from typer.testing import CliRunner

from sr_datasets import remotes
from sr_datasets.cli.main import app
from sr_datasets.errors import RemoteError, ShardError
from sr_datasets.inspect import inspect_set
from sr_datasets.remotes import Place, RangeReader
from sr_datasets.shards.cache import PieceCache
from sr_datasets.shards.index import load_index
from sr_datasets.shards.mapped import MappedRows
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.remote import RemoteSet, RemoteShard
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, SET_NAME
from sr_datasets.shards.storage import Storage

NAMES = [f"train-{number:05d}-of-00002.parquet" for number in range(2)]
SHARDS = {
    name: [make_rows(f"{name[6:11]}_{group}", 12, height=16, width=16) for group in range(4)]
    for name in NAMES
}


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as opened:
        yield opened


@pytest.fixture(scope="module")
def set_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_set(folder, SHARDS)
    return folder


@pytest.fixture
def remote(store: ObjectStore, set_dir: Path, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return the path, inside the bucket, of a copy of the set for one test."""
    path = f"{request.node.name.replace('[', '-').rstrip(']')}/set"
    store.put_folder(path, set_dir)
    return path


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotes, "_PAUSES", (0.01,) * 5)


def test_every_row_of_a_remote_set_is_that_of_the_set(
    store: ObjectStore, set_dir: Path, remote: str, tmp_path: Path
):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache")

    for name in NAMES:
        here, there = ShardReader(set_dir / DATA_DIR / name), opened.shard(name)
        assert there.num_rows == here.num_rows
        for row in (0, 11, 12, 47):
            assert there.row(row) == here.row(row)
            for found, expected in zip(there.pixels(row), here.pixels(row), strict=True):
                np.testing.assert_array_equal(found, expected)
    assert (opened.folder / INDEX_NAME).read_bytes() == (set_dir / INDEX_NAME).read_bytes()
    assert opened.verify() == []
    assert opened.wrong_sizes() == []


def test_one_row_asks_for_its_row_group_and_the_footer_only(store: ObjectStore, remote: str, tmp_path: Path):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache")
    shard = opened.shard(NAMES[0])
    asked: list[tuple[int, int]] = []
    shard._range = lambda start, end, read=shard._range: (asked.append((start, end)), read(start, end))[1]  # type: ignore[method-assign]

    shard.pixels(25)
    shard.pixels(26)

    assert asked[1:] == [shard.span(2)]
    assert asked[0][1] == shard.info.size_bytes
    start, end = shard.span(2)
    assert len(opened.group_bytes(NAMES[0], 2)) == end - start


def test_what_was_read_once_is_read_from_the_cache(store: ObjectStore, remote: str, tmp_path: Path):
    line = BreakingLine(store.port)
    address = store.address(remote, port=line.port)
    first = RemoteSet(address, cache_dir=tmp_path / "cache")
    expected = [first.shard(name).pixels(40)[1] for name in NAMES]
    copy = pickle.dumps(first)
    line.close()
    asked = line.requests

    again = pickle.loads(copy)

    for name, pixels in zip(NAMES, expected, strict=True):
        np.testing.assert_array_equal(again.shard(name).pixels(40)[1], pixels)
    assert line.requests == asked


def test_the_cache_keeps_to_its_bound_and_the_memory_to_its_own(
    store: ObjectStore, remote: str, tmp_path: Path
):
    whole = RemoteSet(store.address(remote), cache_dir=tmp_path / "whole")
    size = len(whole.group_bytes(NAMES[0], 0))
    bound = 3 * size + 60_000
    opened = RemoteSet(
        store.address(remote), cache_dir=tmp_path / "cache", cache_bytes=bound, memory_bytes=2 * size + 100
    )

    for row in [0, 13, 26, 39, 1, 14, 27, 40] * 2:
        for name in NAMES:
            expected = SHARDS[name][row // 12][row % 12].hr
            np.testing.assert_array_equal(opened.shard(name).pixels(row)[1], expected)
            pieces = [
                path
                for path in (tmp_path / "cache" / "pieces").iterdir()
                if path.name[0] in "0123456789abcdef"
            ]
            assert 0 < sum(path.stat().st_size for path in pieces) <= bound
            held = sum(len(opened.shard(name).map().groups.keys() - {-1}) for name in NAMES)
            assert held <= 2


def test_a_piece_of_the_cache_that_was_altered_is_read_again_from_afar(
    store: ObjectStore, remote: str, tmp_path: Path
):
    address = store.address(remote)
    RemoteSet(address, cache_dir=tmp_path / "cache").shard(NAMES[0]).pixels(0)
    for piece in (tmp_path / "cache" / "pieces").glob("*-*"):
        data = bytearray(piece.read_bytes())
        data[len(data) // 2] ^= 1
        piece.write_bytes(data)

    lr, _ = RemoteSet(address, cache_dir=tmp_path / "cache").shard(NAMES[0]).pixels(0)

    np.testing.assert_array_equal(lr, SHARDS[NAMES[0]][0][0].lr)


@pytest.mark.torch
@pytest.mark.parametrize("context", [None, "fork", "spawn", "forkserver"])
def test_a_data_set_reads_a_remote_set_as_one_that_lies_here(
    store: ObjectStore,
    set_dir: Path,
    remote: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    context: str | None,
):
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    from sr_datasets import PairDataset

    monkeypatch.setenv("SR_DATA_CACHE", str(tmp_path / "cache"))
    here, there = PairDataset(set_dir), PairDataset(store.address(remote))
    assert repr(there) == f"PairDataset('s3://tests/{remote}', split='train'): 96 rows"
    assert there.row(50) == here.row(50)
    order = np.random.default_rng(0).permutation(len(here)).tolist()
    batch = there[order]
    for name, pixels in here[order].items():
        assert torch.equal(batch[name], pixels)

    workers = 0 if context is None else 2
    loaders = [
        DataLoader(data, batch_size=16, num_workers=workers, multiprocessing_context=context)
        for data in (here, there)
    ]
    for expected, found in zip(*loaders, strict=True):
        assert torch.equal(found["hr"], expected["hr"])


def test_inspect_describes_and_verifies_a_remote_set(
    store: ObjectStore, remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SR_DATA_CACHE", str(tmp_path / "cache"))

    report = inspect_set(store.address(remote), verify=True)

    assert report.path == f"s3://tests/{remote}"
    assert report.checked == "sha256"
    assert report.pairs == {"train": 8}
    path = f"{remote}/{DATA_DIR}/{NAMES[1]}"
    store.put(path, store.get(path)[:-1])
    with pytest.raises(ShardError, match=rf"s3://tests/{remote} is damaged:\s+.*{NAMES[1]}: has"):
        inspect_set(store.address(remote))


def test_a_read_that_fails_in_the_middle_is_tried_again(store: ObjectStore, remote: str, tmp_path: Path):
    line = BreakingLine(store.port)
    opened = RemoteSet(store.address(remote, port=line.port), cache_dir=tmp_path / "cache")
    shard = opened.shard(NAMES[1])
    shard.num_rows  # noqa: B018 - the footer is here; the row group is what breaks
    line.breaks = 3

    lr, _ = shard.pixels(30)

    np.testing.assert_array_equal(lr, SHARDS[NAMES[1]][2][6].lr)
    assert line.broken == 3
    line.close()


def test_a_server_that_is_gone_is_an_error_that_names_the_file(
    store: ObjectStore, remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remotes, "_PATIENCE_SECONDS", 0.0)
    line = BreakingLine(store.port)
    opened = RemoteSet(store.address(remote, port=line.port), cache_dir=tmp_path / "cache")
    line.close()

    with pytest.raises(RemoteError, match=rf"s3://tests/.*/data/{NAMES[0]} cannot be read"):
        opened.shard(NAMES[0]).pixels(0)


def test_an_object_of_another_size_is_an_error_that_names_it(store: ObjectStore, remote: str, tmp_path: Path):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache")
    store.put(f"{remote}/{DATA_DIR}/{NAMES[0]}", b"another")

    with pytest.raises(ShardError, match=rf"{NAMES[0]} has 7 bytes, sr-data.json says .* changed since"):
        opened.shard(NAMES[0]).pixels(0)
    assert [NAMES[0] in problem for problem in opened.wrong_sizes()] == [True]
    assert [NAMES[0] in problem for problem in opened.verify()] == [True]


def test_an_object_with_one_other_byte_is_an_error_that_names_it(
    store: ObjectStore, remote: str, tmp_path: Path
):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache")
    shard = opened.shard(NAMES[0])
    path = f"{remote}/{DATA_DIR}/{NAMES[0]}"
    data = bytearray(store.get(path))
    start, end = shard.span(3)
    data[(start + end) // 2] ^= 1
    store.put(path, bytes(data))

    with pytest.raises(ShardError, match=rf"{NAMES[0]}: row group 3 .* changed since it was pushed"):
        shard.pixels(40)
    np.testing.assert_array_equal(shard.pixels(0)[0], SHARDS[NAMES[0]][0][0].lr)


def rows_of(opened: RemoteSet) -> MappedRows:
    index = load_index(opened.folder, "train")
    return MappedRows(
        index.paths, index.shard_of_group, index.rows_of_group, reader_of=opened.reader, ahead=opened
    )


def expected_of(rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    every = [row for name in NAMES for group in SHARDS[name] for row in group]
    return np.stack([every[row].lr for row in rows]), np.stack([every[row].hr for row in rows])


class Ranges:
    """Notes which ranges are asked of which object, and how many at once; row groups come once so many were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, together: int = 0) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.most, self._now, self._lock = 0, 0, threading.Lock()
        plain, enough = RemoteShard._range, threading.Event()

        def counted(shard: RemoteShard, start: int, end: int) -> bytes:
            with self._lock:
                self.asked.append((shard.info.name, start, end))
                self._now += 1
                self.most = max(self.most, self._now)
                if self.most >= together:
                    enough.set()
            try:
                if end < shard.info.size_bytes:  # no footer
                    enough.wait(60)
                return plain(shard, start, end)
            finally:
                with self._lock:
                    self._now -= 1

        monkeypatch.setattr(RemoteShard, "_range", counted)


def own_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("sr-datasets")]


SHUFFLED = [95, 0, 40, 13, 60, 1, 94, 77, 26, 14, 50, 0]


@pytest.mark.parametrize("storage", ["raw", "zstd", "png"])
def test_a_batch_asks_for_each_row_group_once_and_for_several_at_a_time(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: Storage
):
    write_set(tmp_path / "set", SHARDS, storage=storage)
    store.put_folder(f"batch-{storage}", tmp_path / "set")
    opened = RemoteSet(store.address(f"batch-{storage}"), cache_dir=tmp_path / "cache")
    rows, ranges = rows_of(opened), Ranges(monkeypatch, together=4)

    lr, hr = rows.batch(np.array(SHUFFLED))

    np.testing.assert_array_equal(lr, expected_of(SHUFFLED)[0])
    np.testing.assert_array_equal(hr, expected_of(SHUFFLED)[1])
    groups = {(NAMES[row // 48], *opened.shard(NAMES[row // 48]).span(row % 48 // 12)) for row in SHUFFLED}
    footers = [one for one in ranges.asked if one not in groups]
    assert sorted(set(ranges.asked)) == sorted(ranges.asked)
    assert len(ranges.asked) == len(groups) + len(footers)
    assert sorted(name for name, *_ in footers) == NAMES
    assert 4 <= ranges.most <= 8
    assert own_threads() == []
    rows.batch(np.array(SHUFFLED))
    assert len(ranges.asked) == len(groups) + len(footers)


def test_a_batch_larger_than_the_memory_bound_reads_each_row_group_once(
    store: ObjectStore, remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache", cache_bytes=0, memory_bytes=1)
    rows, ranges = rows_of(opened), Ranges(monkeypatch)

    lr, _ = rows.batch(np.array(SHUFFLED))

    np.testing.assert_array_equal(lr, expected_of(SHUFFLED)[0])
    assert len(set(ranges.asked)) == len(ranges.asked)
    assert sum(len(opened.shard(name).map().groups.keys() - {-1}) for name in NAMES) == 1


def test_a_batch_goes_on_where_its_reads_broke(store: ObjectStore, remote: str, tmp_path: Path):
    line = BreakingLine(store.port, after=20_000)
    opened = RemoteSet(store.address(remote, port=line.port), cache_dir=tmp_path / "cache")
    rows = rows_of(opened)
    rows.shape_of(np.arange(96))
    line.breaks = 3

    lr, hr = rows.batch(np.array(SHUFFLED))

    line.close()
    assert line.broken == 3
    np.testing.assert_array_equal(lr, expected_of(SHUFFLED)[0])
    np.testing.assert_array_equal(hr, expected_of(SHUFFLED)[1])


def test_an_object_that_changed_is_an_error_in_a_batch_and_leaves_no_thread(
    store: ObjectStore, remote: str, tmp_path: Path
):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache")
    rows = rows_of(opened)
    path = f"{remote}/{DATA_DIR}/{NAMES[1]}"
    data = bytearray(store.get(path))
    start, end = opened.shard(NAMES[1]).span(1)
    data[(start + end) // 2] ^= 1
    store.put(path, bytes(data))

    with pytest.raises(ShardError, match=rf"{NAMES[1]}: row group 1 .* changed since it was pushed"):
        rows.batch(np.array(SHUFFLED))
    assert own_threads() == []
    np.testing.assert_array_equal(rows.batch(np.array([0, 95]))[0], expected_of([0, 95])[0])

    store.put(path, bytes(data)[:-1])
    again = rows_of(RemoteSet(store.address(remote), cache_dir=tmp_path / "other"))
    with pytest.raises(
        ShardError, match=rf"{NAMES[1]} has {len(data) - 1} bytes, sr-data.json says {len(data)}"
    ):
        again.batch(np.array(SHUFFLED))


def _sum_of_batch(rows: MappedRows, wanted: list[int], answers: Any) -> None:
    answers.put(int(rows.batch(np.array(wanted))[1].astype(np.int64).sum()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_that_comes_after_a_batch_reads_its_own(
    store: ObjectStore, remote: str, tmp_path: Path, method: str
):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache", cache_bytes=0)
    rows = rows_of(opened)
    rows.batch(np.array(SHUFFLED))
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    child = context.Process(target=_sum_of_batch, args=(rows, [30, 70, 90], answers))
    child.start()
    try:
        assert answers.get(timeout=60) == int(expected_of([30, 70, 90])[1].astype(np.int64).sum())
    finally:
        child.join(10)
        child.kill()


def test_another_shard_under_the_name_is_an_error_that_names_it(
    store: ObjectStore, remote: str, tmp_path: Path
):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache")
    store.put(f"{remote}/{DATA_DIR}/{NAMES[0]}", store.get(f"{remote}/{DATA_DIR}/{NAMES[1]}"))

    with pytest.raises(ShardError, match=rf"{NAMES[0]}"):
        opened.shard(NAMES[0]).pixels(0)


def test_another_index_and_another_set_are_told(store: ObjectStore, remote: str, tmp_path: Path):
    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "one")
    copy = pickle.dumps(opened)
    described = store.get(f"{remote}/{SET_NAME}")
    store.put(f"{remote}/{INDEX_NAME}", b"nothing")
    with pytest.raises(ShardError, match=r"index\.parquet is not what sr-data\.json"):
        RemoteSet(store.address(remote), cache_dir=tmp_path / "two")
    store.put(f"{remote}/{SET_NAME}", described + b"\n")
    (opened.folder / SET_NAME).unlink()
    with pytest.raises(ShardError, match=r"sr-data\.json changed since the set was opened"):
        pickle.loads(copy)


OLD = Path(__file__).parent / "data" / "shards-1"


def inspected(*args: str) -> str:
    result = CliRunner().invoke(app, ["inspect", *args])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_remote_set_is_looked_at_as_one_that_lies_here(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SR_DATA_CACHE", str(tmp_path / "cache"))
    here = str(shutil.copytree(OLD, tmp_path / "here"))
    store.put_folder("looked-at", OLD)
    address = store.address("looked-at")
    ranges = Ranges(monkeypatch)

    for args in (["--where", "row < 2"], ["--row", "3"], ["--row", "made/clip4/000001", "--json"]):
        assert inspected(address, *args) == inspected(here, *args)
    groups = [one for one in ranges.asked if one[1] == 4]
    assert len(groups) <= 2  # a condition on the index touches no shard, a row its group alone

    for args in (["--where", "psnr > 4 and flat = false", "--json"], ["--stats"]):
        found = inspected(address, *args)
        assert found.replace("s3://tests/looked-at", here) == inspected(here, *args)
    assert len(set(ranges.asked)) == len(ranges.asked)
    for args in (["--row", "4", "--png"], ["--sheet", "5", "--png"], ["--html"]):
        names = [f"{where}.{args[-1].removeprefix('--')}" for where in ("there", "here")]
        inspected(address, *args, str(tmp_path / names[0]))
        inspected(here, *args, str(tmp_path / names[1]))
        assert (tmp_path / names[0]).read_bytes() == (tmp_path / names[1]).read_bytes()
    assert "s3://tests/looked-at: 9 rows" in inspected(address, "--against", here)
    assert "s3://tests/looked-at: 9 rows" in inspected(here, "--against", address)


@pytest.mark.parametrize("args", [["--rederive"], ["--html", "x.html", "--audit"]])
def test_what_needs_every_sample_here_says_how_to_copy_a_remote_set(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
):
    monkeypatch.setenv("SR_DATA_CACHE", str(tmp_path / "cache"))
    store.put_folder("too-far", OLD)

    result = CliRunner().invoke(app, ["inspect", store.address("too-far"), *args])

    assert result.exit_code == 2
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())
    assert "aws s3 sync s3://tests/too-far DIR" in said


def test_a_place_without_a_set_says_what_to_do(store: ObjectStore, tmp_path: Path):
    with pytest.raises(ShardError, match=r"s3://tests/nothing is not a shard set: .* push"):
        RemoteSet(store.address("nothing"), cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("address", ["s3://", "s3:///set", "gs://"])
def test_an_address_without_a_bucket_says_how_one_is_written(address: str, tmp_path: Path):
    with pytest.raises(RemoteError, match=r"names no bucket\. Write \w\w://BUCKET/FOLDER"):
        RemoteSet(address, cache_dir=tmp_path / "cache")


def test_a_host_that_is_not_found_is_no_set_whose_push_did_not_finish(tmp_path: Path):
    class NoHost(AbstractFileSystem):
        protocol = "nohost"

        def info(self, path: str, **_: Any) -> Any:
            raise FileNotFoundError(path) from socket.gaierror(-2, "Name or service not known")

        _open = info

    fsspec.register_implementation("nohost", NoHost, clobber=True)

    with pytest.raises(
        RemoteError, match=r"sr-data.json cannot be read: its host cannot be reached \(.*not known"
    ):
        RemoteSet("nohost://x.invalid/y", cache_dir=tmp_path / "cache")


def test_a_shard_is_shown_by_its_address(store: ObjectStore, remote: str, tmp_path: Path):
    shard = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache").shard(NAMES[0])

    assert str(shard.path) == f"s3://tests/{remote}/data/{NAMES[0]}"


def test_a_cache_that_cannot_be_made_is_told_as_such(store: ObjectStore, remote: str, tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(RemoteError, match=r"local cache cannot be written: .*Point SR_DATA_CACHE"):
        RemoteSet(store.address(remote), cache_dir=tmp_path / "file" / "cache")


def test_reading_goes_on_when_the_caches_disk_is_full_and_says_so_once(
    store: ObjectStore,
    set_dir: Path,
    remote: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def _full(path: Path) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    opened = RemoteSet(store.address(remote), cache_dir=tmp_path / "cache")
    monkeypatch.setattr("sr_datasets.shards.cache.atomic_path", _full)

    for name in NAMES:
        here, there = ShardReader(set_dir / DATA_DIR / name), opened.shard(name)
        for row in range(48):
            np.testing.assert_array_equal(there.pixels(row)[1], here.pixels(row)[1])
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("sr_datasets")]
    assert re.search(
        r"cache/pieces: No space left on device\. Pieces .* no longer kept .*SR_DATA_CACHE", said
    )


def test_messages_keep_passwords_to_themselves():
    place = Place("s3://key:secret@bucket/set?endpoint_override=http://127.0.0.1:1&scheme=http")

    assert str(place) == "s3://bucket/set"
    with pytest.raises(RemoteError, match="unusable") as error:
        RangeReader(Place("s3://key:secret@bucket/set?unusable=1"), "x")
    assert "secret" not in str(error.value)


def test_a_cache_is_shared_by_processes_that_forget_what_it_held(tmp_path: Path):
    cache = PieceCache(tmp_path, 1000)
    for number in range(30):
        cache.put(f"{number:02d}", bytes([number]) * 200)
        (tmp_path / "usage").unlink() if number % 7 == 3 else None
    kept = [number for number in range(30) if cache.get(f"{number:02d}") is not None]

    assert 29 in kept
    assert 2 <= len(kept) <= 4
    assert cache.get("29") == bytes([29]) * 200
    cache.put("large", bytes(1001))
    assert cache.get("large") is None


@pytest.mark.parametrize(
    ("address", "setting", "endpoint"),
    [
        (
            "s3://bucket/set?endpoint_override=http://me:secret@127.0.0.1:9",
            {},
            r"127\.0\.0\.1:9 \(its address",
        ),
        (
            "s3://bucket/set",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            r"http://127\.0\.0\.1:9 \(AWS_ENDPOINT_URL says",
        ),
        ("s3://bucket/set", {}, r"Amazon's \(AWS_ENDPOINT_URL names no other\)"),
    ],
)
def test_a_store_that_does_not_answer_is_told_with_its_endpoint_and_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, address: str, setting: dict[str, str], endpoint: str
):
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    asked: list[bool] = []

    class Silent:
        up = False

        def get_file_info(self, _: str) -> Any:
            asked.append(self.up)
            if self.up:
                return fs.FileInfo("bucket/set/a", type=fs.FileType.File, size=7)
            raise OSError(
                "When getting information for key 'a': AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, "
                "Could not connect to server; Details: Failed to connect to 127.0.0.1:9 after 0 ms"
            )

    silent = Silent()
    monkeypatch.setattr("sr_datasets.remotes._filesystem_of", lambda *_: (silent, "bucket/set"))
    place = Place(address)
    said = rf"a cannot be looked at: .*does not answer \(Could not connect to server\)\. .* is {endpoint}.*network.*credentials"
    with pytest.raises(RemoteError, match=said) as told:
        place.size_of("a")
    assert "secret" not in str(told.value)
    assert asked == [False]  # Arrow itself has tried ten times

    silent.up = True
    assert place.size_of("a") == 7
    silent.up = False
    worker = pickle.loads(pickle.dumps(place))
    for known in (place, worker):
        asked.clear()
        with pytest.raises(RemoteError, match=said):
            known.size_of("a")
        assert len(asked) == 6  # it was there, and may come back


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_answered_while_a_place_does_not_answer(number: signal.Signals, code: int):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"s3://bucket/set?endpoint_override=http://127.0.0.1:{silent.getsockname()[1]}&scheme=http"
        program = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            f"sys.argv = ['sr-data', 'inspect', {address!r}]; from sr_datasets.cli.start import main; main()"
        )
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        with subprocess.Popen(
            [sys.executable, "-c", program], env=os.environ | keys, stderr=subprocess.PIPE, text=True
        ) as command:
            connection, _ = silent.accept()
            with connection:
                command.send_signal(number)
                _, said = command.communicate(timeout=300)  # nothing comes from there, however long it waits
    assert command.returncode == code
    assert said.count("sr-data: interrupted.") == 1
    assert "Traceback" not in said


def test_what_waits_at_a_place_is_known_until_it_ends():
    begun, over = threading.Event(), threading.Event()

    def interrupted() -> None:
        begun.set()
        over.wait()

    def act() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGUSR1)

    class LeftError(Exception):
        pass

    def leave(*_: object) -> None:
        raise LeftError

    before = signal.signal(signal.SIGUSR1, leave)
    try:
        killer = threading.Thread(target=act)
        killer.start()
        with pytest.raises(LeftError):
            remotes.retried(interrupted)
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert remotes.is_waiting()
    over.set()
    for thread in threading.enumerate():
        if thread.name == "sr-data remote":
            thread.join()
    assert not remotes.is_waiting()


@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_google_storage_that_does_not_answer_is_told_in_seconds(scheme: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sr_datasets.remotes._GOOGLE_SECONDS", 1)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    place = Place(f"{scheme}://anonymous@bucket/set?endpoint_override=127.0.0.1:{free}&scheme=http")
    with pytest.raises(
        RemoteError, match=r"set/a cannot be looked at: Google's storage does not answer \(.+\)"
    ):
        place.size_of("a")


def test_the_limit_of_google_storage_is_that_of_the_address_where_it_has_one():
    assert remotes._with_limit("gs://bucket/set").endswith("set?retry_limit_seconds=8")
    assert remotes._with_limit("gs://bucket/set?scheme=http").endswith("scheme=http&retry_limit_seconds=8")
    for address in ("gs://bucket/set?retry_limit_seconds=60", "s3://bucket/set", "/data/set"):
        assert remotes._with_limit(address) == address
