"""Records that come one by one cost a time each that does not grow, and survive what the file itself survives."""

import datetime
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from disks import small_disk
from made import made_store
from test_many_clips import bring, records_of
from typer.testing import CliRunner

from sr_datasets import files, store
from sr_datasets.cli.main import app
from sr_datasets.doctor import stored
from sr_datasets.errors import FetchError, SrDataError, StoreError
from sr_datasets.fetch.youtube.ledger import Entry, Ledger
from sr_datasets.forget import forget
from sr_datasets.journal import Journaled, journal_of
from sr_datasets.store import LOCK_NAME, ClipRecord, Store, lockfile, read_lock

SOURCE = str(Path(files.__file__).parents[1])
TESTS = str(Path(__file__).parent)
DAY = datetime.date(2026, 11, 20)


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many records each writing of a whole file has."""
    found: list[int] = []
    real = Journaled._replace

    def note(self: Journaled[object], records: dict[str, object]) -> None:
        found.append(len(records))
        real(self, records)

    monkeypatch.setattr(Journaled, "_replace", note)
    return found


def begun(root: Path, count: int = 8, more: int = 6) -> list[ClipRecord]:
    """Leave a store as a kill leaves it: so many records in the file, and more in its journal."""
    records = records_of(count + more)
    home = Store(root)
    home.put(*records[:count])
    with killed(root / LOCK_NAME), home.batch():
        for record in records[count:]:
            home.put(record)
    return records


@contextmanager
def killed(path: Path) -> Iterator[None]:
    """Leave a file and its journal as they were when the batch in this block ended."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journaled, "_end_batch", lambda _: None)
        yield
    assert journal_of(path).exists()


def right_text(records: list[ClipRecord]) -> str:
    """Return the lock file as it must be, made in the plainest way."""
    clips = {f"{record.source}/{record.clip}": record for record in records}
    return lockfile._Lock(clips=dict(sorted(clips.items()))).model_dump_json(indent=1) + "\n"


# ---- cost ------------------------------------------------------------------------------------------------


def test_many_clips_write_the_lock_file_a_few_times_and_leave_it_as_one_put_does(
    tmp_path: Path, saves: list[int]
):
    records = records_of(150)
    shuffled = random.Random(1).sample(records, len(records))
    home = Store(tmp_path)
    with home.batch():
        for record in shuffled:
            home.put(record)

    assert sum(saves) < 3 * len(records)
    assert not journal_of(tmp_path / LOCK_NAME).exists()
    assert (tmp_path / LOCK_NAME).read_text() == right_text(records)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".locks", LOCK_NAME]


def test_without_a_batch_each_put_is_in_the_lock_file(tmp_path: Path):
    records = records_of(3)
    for number, record in enumerate(records, start=1):
        Store(tmp_path).put(record)
        assert (tmp_path / LOCK_NAME).read_text() == right_text(records[:number])


@pytest.mark.parametrize("count", [0, 1, 1000, 1001, 2500])
def test_a_lock_file_written_in_pieces_is_the_one_written_at_once(tmp_path: Path, count: int):
    records = records_of(count)
    home = Store(tmp_path)
    home.put(*records, *records_of(1))
    home.drop(*(("youtube-8m", "clip-00000") for _ in range(1 - min(count, 1))))
    assert (tmp_path / LOCK_NAME).read_text() == right_text(records)
    assert Store(tmp_path).records() == records


def test_what_is_asked_for_each_clip_of_an_import_is_looked_up_and_keeps_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    records = records_of(20)
    archive = store.ArchiveRecord(id="pack", size_bytes=1, sha256="0" * 64)
    home, other = Store(tmp_path), Store(tmp_path)
    home.put(*records[:10])
    assert home.find_bytes("youtube-8m", records[3].sha256) == [records[3]]
    assert home.find_bytes("other", records[3].sha256) == []
    assert home.find_archive("youtube-8m", "pack") is None
    twin = records[11].model_copy(update={"sha256": records[3].sha256})
    with other.batch():
        other.put(twin)
        other.put(records[12].model_copy(update={"archive": archive}))
        assert home.find_bytes("youtube-8m", records[3].sha256) == [records[3], twin]
        assert home.find_archive("youtube-8m", "pack") == archive
        monkeypatch.setattr(home, "records", None)  # nothing goes through all of them
        other.put(records[11])
        assert home.find_bytes("youtube-8m", records[3].sha256) == [records[3]]
    other.drop(("youtube-8m", records[3].clip))
    assert home.find_bytes("youtube-8m", records[3].sha256) == []


# ---- what others see -------------------------------------------------------------------------------------


def test_other_processes_see_each_clip_as_it_comes_and_the_end_of_the_batch(tmp_path: Path):
    records = records_of(12)
    home, other = Store(tmp_path), Store(tmp_path)
    with home.batch():
        for number, record in enumerate(records, start=1):
            home.put(record)
            assert other.records() == records[:number]
            assert Store(tmp_path).records() == records[:number]
            assert list(read_lock(tmp_path / LOCK_NAME).values()) == records[:number]
    assert other.records() == records


def test_a_batch_that_fails_writes_what_came_and_says_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    records = records_of(12)
    home = Store(tmp_path)

    def bring(wanted: list[ClipRecord], error: BaseException) -> None:
        with home.batch():
            for record in wanted:
                home.put(record)
            raise error

    with pytest.raises(KeyboardInterrupt):
        bring(records, KeyboardInterrupt())
    assert (tmp_path / LOCK_NAME).read_text() == right_text(records)

    more = records_of(14)
    monkeypatch.setattr(lockfile.LockFile, "save", _full)
    with pytest.raises(KeyError, match="first"):
        bring(more[12:], KeyError("first"))
    assert Store(tmp_path).records() == more


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_batches_in_batches_and_of_two_stores_write_once_each(tmp_path: Path, saves: list[int]):
    records = records_of(40)
    one, two = Store(tmp_path), Store(tmp_path)
    one.put(*records[:30])
    saves.clear()
    with one.batch():
        with one.batch(), two.batch():
            one.put(records[30])
            two.put(records[31])
            one.put(records[32])
        assert saves == [33]
        two.put(*records[33:])  # in no batch of its own
        assert one.records() == records
    assert saves == [33, 40]


def test_a_clock_that_goes_backwards_hides_nothing(tmp_path: Path):
    records = begun(tmp_path)
    reader = Store(tmp_path)
    assert reader.records() == records
    path = tmp_path / LOCK_NAME
    for year in (4e9, 1e9):
        for one in (path, journal_of(path)):
            if one.exists():
                os.utime(one, (year, year))
        changed = records[2].model_copy(update={"origin": f"{year}"})
        Store(tmp_path).put(changed)
        os.utime(path, (1, 1))
        assert reader.get(changed.source, changed.clip) == changed
        assert len(reader.records()) == len(records)


_PUTTING = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_many_clips import records_of
from sr_datasets.store import Store
home, first, last, paced = Store(Path(sys.argv[2])), *map(int, sys.argv[3:])
records = records_of(last)
print("ready", flush=True)
sys.stdin.readline()
for start in range(first, last, 25):
    with home.batch():
        for record in records[start:min(start + 25, last)]:
            home.put(record)
            print(record.clip, flush=True)
            if record is records[-1]:
                sys.stdin.readline()  # it is not over before it is killed, or its input ends
    if paced:
        sys.stdin.readline()
"""


def putting(root: Path, first: int, last: int, *, paced: bool = False) -> subprocess.Popen[str]:
    """Start a process that puts records in batches of 25 once it is told to go; each one if it is paced."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PUTTING, TESTS, str(root), str(first), str(last), str(int(paced))],
        env=os.environ | {"PYTHONPATH": SOURCE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_with_a_batch_each_lose_nothing_and_a_reader_sees_no_step_back(tmp_path: Path):
    writers = [putting(tmp_path, first, first + 150, paced=True) for first in (0, 150)]
    reader, seen, wrong = Store(tmp_path), [0], []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for home in (reader, Store(tmp_path)):
                count = len(home.records())
                if count < seen[-1]:
                    wrong.append((seen[-1], count))
                seen.append(count)

    thread = threading.Thread(target=watch)
    thread.start()
    for count in range(50, 301, 50):
        for writer in writers:
            go(writer)
        end = time.monotonic() + 60
        while seen[-1] < count and time.monotonic() < end:
            time.sleep(0.001)
    for writer in writers:
        assert len(writer.communicate()[0].splitlines()) == 150
        assert writer.returncode == 0
    done.set()
    thread.join()
    assert wrong == []
    assert len(set(seen)) > 5
    assert (tmp_path / LOCK_NAME).read_text() == right_text(records_of(300))
    assert not journal_of(tmp_path / LOCK_NAME).exists()


# ---- kills, torn lines, full disks -----------------------------------------------------------------------


def kill_writers(folder: Path, kills: int) -> int:
    """Kill processes between and within puts; what they said had come must be there. Return how many left a journal."""
    draws, records, left = random.Random(kills), records_of(2000), 0
    for number in range(kills):
        root = folder / str(number)
        Store(root).put(*records[:20])
        writer = putting(root, 20, 2000)
        assert writer.stdout is not None
        go(writer)
        writer.stdout.readline()
        time.sleep(draws.uniform(0, 0.1))
        writer.kill()
        said = 1 + len(writer.stdout.readlines())
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        found = Store(root).records()
        assert found == records[: len(found)]
        assert 20 + said <= len(found) <= 20 + said + 1
        left += journal_of(root / LOCK_NAME).exists()
        go_on = Store(root)
        with go_on.batch():
            go_on.put(records[-1])
        assert (root / LOCK_NAME).read_text() == right_text([*found, records[-1]])
        assert sorted(path.name for path in root.iterdir()) == [".locks", LOCK_NAME]
    return left


def test_writers_killed_at_random_moments_lose_nothing_that_they_said_had_come(tmp_path: Path):
    assert kill_writers(tmp_path, 4)


@pytest.mark.slow
def test_writers_killed_sixty_times_lose_nothing(tmp_path: Path):
    print(f"{kill_writers(tmp_path, 60)} of 60 left a journal")


def test_a_journal_cut_at_any_byte_has_its_whole_lines_and_the_next_writer_goes_on(tmp_path: Path):
    records = begun(tmp_path, 8, 3)
    path, last = tmp_path / LOCK_NAME, records_of(30)[-1]
    file, whole = path.read_bytes(), journal_of(path).read_bytes()
    ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
    for cut in sorted({0, 1, 34, 35, 36, *range(0, len(whole), 397), *ends, *(end - 1 for end in ends)}):
        path.write_bytes(file)
        journal_of(path).write_bytes(whole[:cut])
        there = 8 + sum(end <= cut for end in ends[1:])
        assert Store(tmp_path).records() == records[:there]
        home = Store(tmp_path)
        with home.batch():
            home.put(last)
            assert home.records() == Store(tmp_path).records() == [*records[:there], last]
        assert path.read_text() == right_text([*records[:there], last])
        assert not journal_of(path).exists()


def wide(root: Path) -> tuple[list[ClipRecord], list[bytes]]:
    """Leave a store as a kill leaves it whose last line has several sectors; return its records and the journal's lines."""
    begun(root, 8, 4)
    journal = journal_of(root / LOCK_NAME)
    with killed(root / LOCK_NAME), (home := Store(root)).batch():
        home.put(*records_of(18)[12:])
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines[-1]) > 2000
    return records_of(18), lines


def unwritten(data: bytes, first: int, last: int) -> bytes:
    """Return a file of which sectors of 512 bytes, from the first to the one before the last, are zeros."""
    hole = data[first * 512 : last * 512]
    return data[: first * 512] + bytes(len(hole)) + data[first * 512 + len(hole) :]


def test_a_line_of_which_sectors_never_came_to_the_disk_counts_for_nothing_and_is_spoken_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    records, lines = wide(tmp_path)
    path = tmp_path / LOCK_NAME
    file, whole, last = path.read_bytes(), b"".join(lines), len(b"".join(lines[:-1]))
    inside = -(-last // 512)
    shared = (
        whole[:last] + bytes(inside * 512 - last) + whole[inside * 512 :]
    )  # its part of a sector of others
    cases = [
        shared,
        unwritten(shared, inside, inside + 1),
        unwritten(whole, inside, inside + 1),
        unwritten(whole, inside + 1, inside + 3),
        unwritten(whole, inside, inside + 1)[: last + 1500],
        whole[: last + 700] + bytes(900),  # the file had grown, and what was to be there had not come
        whole[:last] + bytes(4096),
        whole[:last] + bytes(1),
    ]
    for number, torn in enumerate(cases):
        path.write_bytes(file)
        journal_of(path).write_bytes(torn)
        assert Store(tmp_path).records() == read_records(path) == records[:12], number
        assert caplog.messages == []  # who reads takes nothing away
        home = Store(tmp_path)
        with home.batch():
            home.put(records[-1])
            home.put(records[-2])
        assert path.read_text() == right_text([*records[:12], *records[-2:]])
        assert len(caplog.messages) == 1, number
        assert f"{journal_of(path)} ended with zeros" in caplog.messages[0]
        caplog.clear()


def read_records(path: Path) -> list[ClipRecord]:
    found = read_lock(path)
    return [found[name] for name in sorted(found)]


def test_a_journal_of_which_nothing_came_to_the_disk_is_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    begun(tmp_path, 8, 1)
    path = tmp_path / LOCK_NAME
    file, whole = path.read_bytes(), journal_of(path).read_bytes()
    assert len(whole) > 512
    for torn in (bytes(5000), bytes(20), unwritten(whole, 0, 1), unwritten(whole, 0, 1)[:-1]):
        path.write_bytes(file)
        journal_of(path).write_bytes(torn)
        assert Store(tmp_path).records() == records_of(8)
        home = Store(tmp_path)
        with home.batch():
            home.put(records_of(9)[-1])
        assert path.read_text() == right_text(records_of(9))
        assert caplog.text.count("ended with zeros") == 1
        caplog.clear()


def line_of(text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(text), text)


def altered(line: bytes, at: int, byte: bytes) -> bytes:
    """Return a line with another byte; from the end where ``at`` is negative."""
    at %= len(line)
    assert line[at : at + 1] != byte
    return line[:at] + byte + line[at + 1 :]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda lines: [b"x" * 35, *lines[1:]], "is not a journal of this version"),
        (lambda lines: [lines[0].replace(b"1", b"2", 1), *lines[1:]], "is not a journal of this version"),
        (lambda lines: [b"my own work"], "is not a journal of this version"),
        (lambda lines: [bytes(35), *lines[1:]], "line 1, from byte 0 on, has a wrong checksum"),
        (lambda lines: [bytes(35), lines[1]], "line 1, from byte 0 on, has zeros in it"),
        (lambda lines: [*lines[:2], lines[2].replace(b"clip", b"clap", 1), *lines[3:]], "line 3.*has a wrong checksum"),
        (lambda lines: [lines[0], line_of(b"{"), *lines[1:]], "line 2, from byte 35 on, cannot be read"),
        (lambda lines: [lines[0], line_of(b'{"clips": {"a/b": {}}}')], r"line 2.*cannot be read: clips.a/b"),
        (lambda lines: [*lines, line_of(lines[1][9:-1].replace(b"youtube-8m/clip", b"../../etc/clip"))], "line 8.*cannot be"),
        (lambda lines: [*lines, line_of(b"\xff\xfe")], "line 8.*cannot be read"),
        (lambda lines: [*lines, line_of(b"[" * 100_000)], "line 8.*cannot be read"),
        # The last line has its end: its writer may have been told that it is kept.
        (lambda lines: [*lines[:-1], altered(lines[-1], 100, b"~")], "line 7.*has a wrong checksum"),
        (lambda lines: [*lines[:-1], altered(lines[-1], 3, b"~")], "line 7.*has a wrong checksum"),
        (lambda lines: [*lines[:-1], altered(lines[-1], 100, b"\0")], "line 7.*has zeros in it"),
        (lambda lines: [*lines[:-1], altered(lines[-1], 100, b"\n")], "line 7.*has a wrong checksum"),
        (lambda lines: [*lines[:-1], lines[-1][:80] + lines[-1][90:]], "line 7.*has a wrong checksum"),
        (lambda lines: [*lines, b"\n"], "line 8.*has a wrong checksum"),
        # It has none, and yet it is no beginning of a line.
        (lambda lines: [*lines[:-1], altered(lines[-1], -1, b"\x0b")], "line 7.*does not end as it was written"),
        (lambda lines: [*lines[:-1], altered(lines[-1], -1, b"\0")], "line 7.*does not end as it was written"),
        (lambda lines: [*lines[:-1], lines[-1][:200] + b"\xff" * 300], "line 7.*has bytes that no line has"),
        (lambda lines: [*lines[:-1], lines[-1][:200] + b"\x01"], "line 7.*has bytes that no line has"),
        (lambda lines: [*lines, b"more of my own"], "line 8.*has bytes that no line has"),
    ],
)  # fmt: skip
def test_a_damaged_journal_is_named_and_left_alone(
    tmp_path: Path, harm: Callable[[list[bytes]], list[bytes]], words: str
):
    records = begun(tmp_path)
    path = tmp_path / LOCK_NAME
    file, lines = path.read_bytes(), journal_of(path).read_bytes().splitlines(keepends=True)
    harmed = b"".join(harm(lines))
    journal_of(path).write_bytes(harmed)
    home = Store(tmp_path)
    step = (
        "Move it away" if "version" in words else r"Take out that line and no other: sed -i (\d+d|'1c .*') /"
    )
    for act in (home.records, home.records, lambda: home.put(records[0]), lambda: read_lock(path)):
        with pytest.raises(StoreError, match=rf"{LOCK_NAME}\.journal (is damaged: )?{words}.*{step}"):
            act()
    with pytest.raises(StoreError, match=words), home.batch():
        home.put(records[0])
    assert [path.read_bytes(), journal_of(path).read_bytes()] == [file, harmed]
    journal_of(path).unlink()
    assert home.records() == records[:8]


def test_a_line_that_was_read_and_then_damaged_is_damage_too(tmp_path: Path):
    records = begun(tmp_path)
    journal = journal_of(tmp_path / LOCK_NAME)
    home = Store(tmp_path)
    assert home.records() == records
    with journal.open("ab") as file:
        file.write(line_of(b"{}")[:-2] + b"]\n")
    with pytest.raises(StoreError, match=r"line 8.*wrong checksum"):
        home.records()
    journal.write_bytes(journal.read_bytes()[: -len(line_of(b"{}"))])
    assert home.records() == records


@pytest.mark.parametrize("damaged", [0, 3, 6])
def test_what_the_sentence_about_a_damaged_line_says_to_do_loses_that_line_alone(
    tmp_path: Path, damaged: int
):
    records = begun(tmp_path / "a store")
    path = tmp_path / "a store" / LOCK_NAME
    lines = journal_of(path).read_bytes().splitlines(keepends=True)
    lines[damaged] = bytes(35) if damaged == 0 else altered(lines[damaged], 100, b"~")
    journal_of(path).write_bytes(b"".join(lines))
    with pytest.raises(StoreError) as caught:
        Store(path.parent).records()
    found = re.search(r"sed -i .*'", str(caught.value))
    assert found is not None
    subprocess.run(found[0], shell=True, check=True)
    lost = records.pop(8 + max(0, damaged - 1))
    assert Store(path.parent).records() == records
    home = Store(path.parent)
    with home.batch():
        home.put(lost)
    assert path.read_text() == right_text([*records, lost])


@pytest.mark.parametrize(
    "command", ["fetch xiph/akiyo_cif", "import made .", "verify", "verify --full", "doctor"]
)
def test_each_command_says_that_a_journal_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
):
    root = made_store(tmp_path, monkeypatch).root
    monkeypatch.setenv("SR_DATA_HOME", str(root))
    monkeypatch.chdir(tmp_path)
    begun(root)
    journal = journal_of(root / LOCK_NAME)
    journal.write_bytes(altered(journal.read_bytes(), -100, b"~"))
    before = journal.read_bytes()

    result = CliRunner().invoke(app, command.split(), env={"COLUMNS": "1000"})

    said = " ".join((result.output + str(result.exception or "")).split())
    assert result.exit_code == 1
    assert f"{LOCK_NAME}.journal is damaged: line 7" in said
    assert "sed -i 7d" in said
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    ("step", "count"), [("write", 0), ("fsync", 0), ("sync_folder", 0), ("write", 2), ("fsync", 2)]
)
def test_a_record_that_could_not_be_kept_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, count: int
):
    records = records_of(12)
    home, reader = Store(tmp_path), Store(tmp_path)
    home.put(*records[:8])

    def full(*args: object) -> None:
        if step == "write":
            args[0].write(args[1][:50])  # type: ignore[attr-defined, index]
        elif reader.records()[-1] == records[8 + count]:
            seen.append(True)  # by who looks in between
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    seen: list[bool] = []
    with killed(tmp_path / LOCK_NAME), home.batch():
        for record in records[8 : 8 + count]:
            home.put(record)
        with monkeypatch.context() as patched:
            name = {"write": "write_all", "fsync": "os.fsync", "sync_folder": "sync_folder"}[step]
            patched.setattr(f"sr_datasets.journal.{name}", full)
            with pytest.raises(SrDataError, match="quota"):
                home.put(records[8 + count])
        assert seen or step == "write"
        assert home.records() == reader.records() == Store(tmp_path).records() == records[: 8 + count]
        home.put(records[-1])
        assert home.records() == reader.records() == [*records[: 8 + count], records[-1]]
    assert Store(tmp_path).records() == [*records[: 8 + count], records[-1]]


@pytest.mark.parametrize("step", ["save", "sync_folder", "unlink"])
def test_a_journal_that_is_in_the_file_already_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    records = begun(tmp_path)
    newer = records[-1].model_copy(update={"origin": "newer"})

    def die(*_: object, **__: object) -> None:
        raise SystemError("here the process ends")

    with monkeypatch.context() as patched:
        if step == "save":
            patched.setattr(lockfile.LockFile, "save", die)
        elif step == "sync_folder":
            patched.setattr("sr_datasets.journal.sync_folder", die)
        else:
            patched.setattr(Path, "unlink", die)
        for change in (
            lambda: Store(tmp_path).put(newer),
            lambda: Store(tmp_path).drop(("youtube-8m", newer.clip)),
        ):
            with pytest.raises(SystemError):
                change()
            assert Store(tmp_path).records() == records
    Store(tmp_path).put(newer)
    assert Store(tmp_path).records() == [*records[:-1], newer]
    assert (tmp_path / LOCK_NAME).read_text() == right_text([*records[:-1], newer])


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk("64k") as disk:
        yield disk


def test_a_disk_that_fills_up_keeps_what_came_and_goes_on_when_there_is_room(disk: Path):
    records, home, came = records_of(200), Store(disk), list[ClipRecord]()
    for kilobytes in (64, 80, 100, 144, 240):
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)
        before = len(came)
        with pytest.raises(SrDataError, match="the disk is full"):
            bring(home, records, came)
        # To go on, a writer needs room for the whole file first.
        assert len(came) > before or kilobytes < 200
        assert Store(disk).records() == home.records() == came
    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    bring(home, records, came)
    assert (disk / LOCK_NAME).read_text() == right_text(records)
    assert sorted(path.name for path in disk.iterdir()) == [".locks", LOCK_NAME]


# ---- forget, doctor --------------------------------------------------------------------------------------


def test_what_is_forgotten_while_a_journal_is_there_is_in_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = made_store(tmp_path, monkeypatch)
    records = home.records()
    gone, stays = (record.model_copy(update={"etag": f"tag of {record.clip}"}) for record in records[:2])
    with killed(home.root / LOCK_NAME), home.batch():
        home.put(gone)
        home.put(stays)
    assert b"tag of" in journal_of(home.root / LOCK_NAME).read_bytes()

    forget(Store(home.root), [f"{gone.source}/{gone.clip}"])

    assert home.find(gone.source, gone.clip) is None
    assert home.find(stays.source, stays.clip) == stays
    left = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
    assert gone.etag.encode() not in left
    assert stays.etag.encode() in left


def test_a_journal_that_was_left_is_in_nobodys_way_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    records = begun(tmp_path)

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path))

    monkeypatch.setattr(Journaled, "_replace", read_only)
    home = Store(tmp_path)
    with home.batch():
        assert home.records() == records
    with pytest.raises(SrDataError, match="read-only"), home.batch():
        home.put(*records_of(20)[14:])


def test_the_doctor_tells_of_journals_and_takes_none_for_a_stranger(tmp_path: Path):
    begun(tmp_path)
    entries_begun(tmp_path / "youtube-8m")
    found = {check.name: check for check in stored.check_store(Store(tmp_path))}
    assert found["journal"].state == "note"
    assert "of what came since sr-data.lock was written" in found["journal"].found
    assert "unknown" not in found
    assert found["youtube-8m/availability.parquet"].found == "10 videos"
    ledger = journal_of(tmp_path / "youtube-8m" / "availability.parquet")
    ledger.write_bytes(altered(ledger.read_bytes(), -50, b"~"))
    found = {check.name: check for check in stored.check_store(Store(tmp_path))}
    assert found["youtube-8m/availability.parquet"].state == "broken"
    assert "line 5" in found["youtube-8m/availability.parquet"].found
    journal_of(tmp_path / LOCK_NAME).write_bytes(b"x" * 100)
    broken = {check.name: check for check in stored.check_store(Store(tmp_path))}
    assert broken[LOCK_NAME].state == "broken"
    assert f"{LOCK_NAME}.journal" in broken[LOCK_NAME].found


# ---- the ledger of YouTube's videos ----------------------------------------------------------------------


def entries_of(count: int) -> list[Entry]:
    return [
        Entry(f"yt-{number:011d}", "", f"{number:011d}", "ok", DAY, title=f'Title {number} "ü"\n', start_ms=number or None)
        for number in range(count)
    ]  # fmt: skip


def entries_begun(folder: Path) -> list[Entry]:
    """Leave a ledger as a kill leaves it."""
    entries = entries_of(10)
    ledger = Ledger(folder / "availability.parquet")
    ledger.put(*entries[:6])
    with killed(ledger.path), ledger.batch():
        for entry in entries[6:]:
            ledger.put(entry)
    return entries


def test_many_videos_write_the_ledger_a_few_times_and_leave_it_as_one_put_does(
    tmp_path: Path, saves: list[int]
):
    entries = entries_of(200)
    one, all_at_once = Ledger(tmp_path / "one.parquet"), Ledger(tmp_path / "all.parquet")
    with one.batch():
        for number, entry in enumerate(reversed(entries)):
            one.put(entry)
            assert number % 20 or Ledger(one.path).entries()[0] == entry
    assert sum(saves) < 3 * len(entries)
    all_at_once.put(*entries)
    assert one.path.read_bytes() == all_at_once.path.read_bytes()
    assert not journal_of(one.path).exists()


def test_a_ledger_that_was_cut_short_has_its_whole_lines(tmp_path: Path):
    entries = entries_begun(tmp_path)
    path = tmp_path / "availability.parquet"
    assert Ledger(path).entries() == entries
    journal_of(path).write_bytes(journal_of(path).read_bytes()[:-1])
    assert Ledger(path).entries() == entries[:-1]
    again = Ledger(path)
    with again.batch():
        again.put(replace(entries[0], status="gone"))
    assert not journal_of(path).exists()
    assert Ledger(path).entries() == [replace(entries[0], status="gone"), *entries[1:-1]]


def test_a_video_forgotten_by_another_process_stays_forgotten_and_is_in_no_journal(tmp_path: Path):
    entries = entries_begun(tmp_path)
    path = tmp_path / "availability.parquet"
    fetching, other = Ledger(path), Ledger(path)
    with fetching.batch():
        fetching.put(entries[7])
        assert other.forget(entries[7].youtube_id, today=DAY) == [entries[7].clip]
        assert not journal_of(path).exists()
        fetching.put(replace(entries[7], status="ok"))
        fetching.put(replace(entries[8], status="gone"))
        assert b"Title 7" not in journal_of(path).read_bytes()
        assert fetching.forgotten() == {entries[7].youtube_id}
        other.drop(entries[9].clip)
    assert [entry.status for entry in other.entries()] == ["forgotten"] + ["ok"] * 7 + ["gone"]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "fine"},
        {"more": 1},
        {"checked": "soon"},
        {"clip": None},
        {"start_ms": "x"},
        {"width": 1 << 63},
    ],
)
def test_a_damaged_journal_of_a_ledger_is_named(tmp_path: Path, change: dict[str, object]):
    entries_begun(tmp_path)
    path = tmp_path / "availability.parquet"
    title, line, *_ = journal_of(path).read_bytes().splitlines(keepends=True)
    text = json.dumps([json.loads(line[9:])[0] | change]).encode()
    journal_of(path).write_bytes(title + line_of(text))
    with pytest.raises(FetchError, match=r"availability\.parquet\.journal is damaged: line 2.*cannot be read.*sed -i 2d"):  # fmt: skip
        Ledger(path).entries()
