"""Work that hangs, crashes or raises in a process of its own: told, and the next work is done."""

import ctypes
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sr_datasets import guarded
from sr_datasets.errors import DecodeError, MissingExtraError, SrDataError
from sr_datasets.guarded import Began, StuckError, alive, run_guarded


def work(task: str, began: Began) -> int:
    began(f"clip {task}")
    match task:
        case "hang":
            ctypes.PyDLL(None).sleep(3600)  # with the interpreter's lock held, as a broken extension does
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "starve":
            os.kill(os.getpid(), signal.SIGKILL)
        case "refuse":
            raise DecodeError("clip refuse cannot be read")
        case "extra":
            raise MissingExtraError("this", extra="that")
    began("")
    return os.getpid()


@pytest.mark.parametrize(
    ("task", "words", "seconds"),
    [
        ("hang", "clip hang: took longer than 1 s", 1),
        ("crash", r"clip crash: its decoder crashed \(signal 11\)", 60),
        ("starve", "clip starve: .* for want of memory", 60),
    ],
)
def test_work_that_is_stuck_is_named_and_the_next_work_is_done(task: str, words: str, seconds: float):
    with pytest.raises(StuckError, match=words) as caught:
        run_guarded(work, task, seconds=seconds)

    assert caught.value.piece == f"clip {task}"
    assert run_guarded(work, "well", seconds=60) != os.getpid()


def test_the_process_is_kept_also_after_an_error():
    first = run_guarded(work, "well", seconds=60)
    with pytest.raises(DecodeError, match="clip refuse cannot be read"):
        run_guarded(work, "refuse", seconds=60)

    assert run_guarded(work, "well", seconds=60) == first


def read(task: Path, _: Began) -> str:
    return task.read_text()


def test_relative_paths_begin_in_the_folder_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert run_guarded(read, Path("clip")) == name

    (tmp_path / "second" / "clip").unlink()
    (tmp_path / "second").rmdir()
    with pytest.raises(FileNotFoundError):
        run_guarded(read, Path("clip"))
    assert run_guarded(read, tmp_path / "first" / "clip") == "first"


def test_an_error_that_does_not_come_through_is_told_in_its_words():
    with pytest.raises(SrDataError, match="this needs the 'that' extra"):
        run_guarded(work, "extra", seconds=60)


def decode(task: tuple[int, float], began: Began) -> str:
    began("long")
    for _ in range(task[0]):
        time.sleep(task[1])
        alive()
    return "done"


def test_signs_of_life_carry_a_long_piece_past_the_limit_of_silence():
    assert run_guarded(decode, (25, 0.15), silent_seconds=3) == "done"
    with pytest.raises(StuckError, match="long: nothing came of it for 1 s"):
        run_guarded(decode, (1, 600.0), silent_seconds=1)
    with pytest.raises(StuckError, match="long: took longer than 1 s"):
        run_guarded(decode, (600, 0.6), seconds=1)


def test_threads_take_turns_at_one_process_while_the_work_is_short(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guarded, "_BUSY_SECONDS", 60.0)
    run_guarded(work, "well", seconds=60)
    with ThreadPoolExecutor(4) as threads:
        answers = set(threads.map(lambda _: run_guarded(work, "well", seconds=60), range(40)))
    assert len(answers) == 1


def wait_in(task: Path, began: Began) -> str:
    began("long")
    (task / "begun").touch()
    while not (task / "end").exists():
        time.sleep(0.01)
    return "done"


def test_another_process_is_started_when_the_first_is_busy_for_long(tmp_path: Path):
    with ThreadPoolExecutor(2) as threads:
        long = threads.submit(run_guarded, wait_in, tmp_path)
        try:
            while not (tmp_path / "begun").exists() and not long.done():
                time.sleep(0.01)
            assert run_guarded(work, "well", seconds=60)
            assert not long.done()
        finally:
            (tmp_path / "end").touch()
        assert long.result() == "done"
