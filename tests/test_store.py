"""The data folder says what is here, notices what changed, and survives several writers."""

import hashlib
import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest

from sr_datasets import files
from sr_datasets.errors import SrDataError, StoreError
from sr_datasets.files import (
    atomic_path,
    disk_errors,
    human_bytes,
    locked,
    move_into_place,
    require_space,
    write_atomic,
)
from sr_datasets.manifest import ColorTags, VideoInfo
from sr_datasets.store import LOCK_NAME, ClipRecord, Store, default_root, digest_of

INFO = VideoInfo(
    media="video",
    container="y4m",
    codec="rawvideo",
    width=16,
    height=8,
    num_frames=2,
    frame_rate="30000/1001",
    pixel_format="yuv420p",
    bit_depth=8,
    model="yuv",
    chroma_log2_x=1,
    chroma_log2_y=1,
    time_base="1001/30000",
    scan="progressive",
    color=ColorTags(
        matrix="bt601",
        range="limited",
        transfer="bt709",
        siting="left",
        matrix_from="guessed",
        range_from="guessed",
        transfer_from="guessed",
        siting_from="guessed",
    ),
)


def put_clip(store: Store, source: str, clip: str, data: bytes = b"data") -> ClipRecord:
    path = store.place_for(source, clip, ".y4m")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    file = store.record_file(path, hashlib.sha256(data).hexdigest())
    record = ClipRecord(
        source=source,
        clip=clip,
        path=file.path,
        files=(file,),
        sha256=file.sha256,
        origin="https://example.org/clip.y4m",
        proof="first-fetch",
        info=INFO,
    )
    store.put(record)
    return record


def test_what_is_put_is_found_by_another_store_object(tmp_path: Path):
    record = put_clip(Store(tmp_path), "xiph", "akiyo")
    again = Store(tmp_path)
    assert again.get("xiph", "akiyo") == record
    assert again.find("xiph", "other") is None
    assert again.path_of(record).read_bytes() == b"data"
    assert again.records("vid4") == []
    assert record.size_bytes == 4


def test_records_are_sorted_and_replaced(tmp_path: Path):
    store = Store(tmp_path)
    for source, clip in [("xiph", "b"), ("vid4", "z"), ("xiph", "a"), ("xiph", "b")]:
        put_clip(store, source, clip)
    assert [(record.source, record.clip) for record in store.records()] == [
        ("vid4", "z"),
        ("xiph", "a"),
        ("xiph", "b"),
    ]
    assert [record.clip for record in store.records("xiph")] == ["a", "b"]


def test_a_store_sees_what_another_one_writes(tmp_path: Path):
    mine, other = Store(tmp_path), Store(tmp_path)
    put_clip(mine, "xiph", "a")
    put_clip(other, "xiph", "b")
    put_clip(mine, "xiph", "c")
    assert [record.clip for record in other.records()] == ["a", "b", "c"]


def _put_many(root: Path, prefix: str) -> None:
    store = Store(root)
    for index in range(15):
        put_clip(store, "xiph", f"{prefix}{index:02d}")


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path):
    context = get_context("spawn")
    workers = [context.Process(target=_put_many, args=(tmp_path, prefix)) for prefix in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(Store(tmp_path).records()) == 45


def test_a_missing_clip_says_how_to_bring_it_in(tmp_path: Path):
    with pytest.raises(StoreError, match=r"xiph/akiyo is not in the store .*sr-data fetch xiph/akiyo"):
        Store(tmp_path).get("xiph", "akiyo")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "EOF"),
        ("{", "EOF"),
        ('{"format": 2, "clips": {}}', "format"),
        ('{"clips": {"a/b": {}}}', "clips.a/b"),
    ],
)
def test_a_damaged_lock_file_is_named_and_left_alone(tmp_path: Path, text: str, reason: str):
    (tmp_path / LOCK_NAME).write_text(text)
    with pytest.raises(StoreError, match=rf"{LOCK_NAME} is not a lock file of this version.*{reason}"):
        Store(tmp_path).records()
    with pytest.raises(StoreError):
        put_clip(Store(tmp_path), "xiph", "a")
    assert (tmp_path / LOCK_NAME).read_text() == text


def test_a_quick_look_sees_missing_cut_and_touched_files(tmp_path: Path):
    store = Store(tmp_path)
    record = put_clip(store, "xiph", "akiyo")
    path = store.path_of(record)
    store.check(record)
    assert store.problems(record) == []

    path.write_bytes(b"more data")
    with pytest.raises(
        StoreError,
        match=r"xiph/akiyo: .*akiyo.y4m has 9 bytes, its record says 4. Bring it in again.*fetch xiph/a",
    ):
        store.check(record)
    path.write_bytes(b"atad")
    os.utime(path, ns=(0, record.files[0].mtime_ns + 1))
    assert "was modified" in store.problems(record)[0]
    path.unlink()
    assert store.problems(record) == [f"{path} is missing"]


def test_a_full_look_sees_other_bytes_of_the_same_size_and_time(tmp_path: Path):
    store = Store(tmp_path)
    record = put_clip(store, "xiph", "akiyo")
    path = store.path_of(record)
    path.write_bytes(b"atad")
    os.utime(path, ns=(0, record.files[0].mtime_ns))
    assert store.problems(record) == []
    assert "has SHA-256" in store.problems(record, full=True)[0]
    assert store.refresh(record) == record  # refresh looks closer only at what seems changed


def test_a_copied_store_is_good_once_its_bytes_were_looked_at(tmp_path: Path):
    store = Store(tmp_path)
    record = put_clip(store, "xiph", "akiyo")
    os.utime(store.path_of(record), ns=(0, 5))
    fresh = store.refresh(record)
    assert fresh is not None
    assert fresh.files[0].mtime_ns == 5
    store.check(store.get("xiph", "akiyo"))
    store.path_of(record).write_bytes(b"atad")
    assert store.refresh(fresh) is None


def test_the_digest_of_frames_is_that_of_what_sha256sum_prints(tmp_path: Path):
    store = Store(tmp_path)
    folder = tmp_path / "vid4" / "calendar"
    folder.mkdir(parents=True)
    records = []
    for name in ("2.png", "10.png"):
        (folder / name).write_bytes(name.encode())
        records.append(store.record_file(folder / name, files.sha256_of(folder / name)))
    printed = subprocess.run(
        ["sha256sum", "2.png", "10.png"], cwd=folder, capture_output=True, check=True
    ).stdout
    assert digest_of(records, media="frames") == hashlib.sha256(printed).hexdigest()
    assert digest_of(records[:1], media="image") == records[0].sha256


def test_the_data_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("SR_DATA_HOME", raising=False)
    assert default_root() == tmp_path / "data" / "sr-datasets"
    monkeypatch.setenv("SR_DATA_HOME", str(tmp_path / "mine"))
    assert default_root() == Store().root == tmp_path / "mine"


def test_a_file_that_fails_while_it_is_written_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def write_half() -> None:
        with atomic_path(path) as partial:
            partial.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_was_killed_leaves_one_partial_file_that_the_next_one_takes_over(tmp_path: Path):
    path = tmp_path / "a"
    for _ in range(2):
        files.partial_name(path).write_bytes(b"half of a longer text")
        write_atomic(path, b"new", alone=True)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", ["nothing", "file", "folder"])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_a_finished_file_or_folder_replaces_whatever_was_there(tmp_path: Path, old: str, new: str):
    place, partial = tmp_path / "place", tmp_path / "partial"
    for path, kind in ((place, old), (partial, new)):
        if kind == "file":
            path.write_text(kind)
        elif kind == "folder":
            path.mkdir()
            (path / path.name).write_text("inside")
    move_into_place(partial, place)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert place.read_text() == "file" if new == "file" else [p.name for p in place.iterdir()] == ["partial"]


def test_a_lock_keeps_others_out_and_says_that_one_waits(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from sr_datasets.files import locked\n"
        "with locked(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    source = str(Path(files.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")],
        env={**os.environ, "PYTHONPATH": source},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        told = []

        def waiting() -> None:
            told.append("waiting")
            process.kill()  # a lock ends with its process

        with locked(tmp_path / "lock", waiting=waiting):
            assert told == ["waiting"]
    with locked(tmp_path / "lock", waiting=lambda: pytest.fail("nobody holds it")):
        pass


def test_a_full_disk_and_a_forbidden_folder_are_one_sentence(tmp_path: Path):
    def fill() -> None:
        with disk_errors("xiph/akiyo", tmp_path), open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
            file.write(b"x")

    with pytest.raises(
        SrDataError, match=r"^xiph/akiyo: the disk is full at .*Make room or choose another folder"
    ):
        fill()
    with pytest.raises(SrDataError, match=r"permission denied at /etc/x"), disk_errors("a", tmp_path):
        raise PermissionError(13, "no", "/etc/x")
    with pytest.raises(FileNotFoundError), disk_errors("a", tmp_path):
        raise FileNotFoundError(2, "no", "x")


def test_room_is_looked_for_where_the_folder_will_be(tmp_path: Path):
    require_space(tmp_path / "not" / "yet", 1, "a clip")
    with pytest.raises(SrDataError, match=rf"a clip needs 1000000.0 TB, but the disk at {tmp_path} has only"):
        require_space(tmp_path / "not" / "yet", 10**18, "a clip")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (10**9, "1.0 GB"),
        (10**13, "10.0 TB"),
    ],
)
def test_bytes_are_printed_for_people(count: int, text: str):
    assert human_bytes(count) == text
