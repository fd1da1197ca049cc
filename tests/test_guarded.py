"""Work that hangs, crashes or raises in a process of its own: told, and the next work is done."""

import ctypes
import os
import signal

import pytest

from sr_datasets.errors import DecodeError, MissingExtraError, SrDataError
from sr_datasets.guarded import Began, StuckError, run_guarded


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
    ("task", "words"),
    [
        ("hang", "clip hang: took longer than 1 s"),
        ("crash", r"clip crash: its decoder crashed \(signal 11\)"),
        ("starve", "clip starve: .* for want of memory"),
    ],
)
def test_work_that_is_stuck_is_named_and_the_next_work_is_done(task: str, words: str):
    with pytest.raises(StuckError, match=words) as caught:
        run_guarded(work, task, seconds=1)

    assert caught.value.piece == f"clip {task}"
    assert run_guarded(work, "well", seconds=60) != os.getpid()


def test_the_process_is_kept_also_after_an_error():
    first = run_guarded(work, "well", seconds=60)
    with pytest.raises(DecodeError, match="clip refuse cannot be read"):
        run_guarded(work, "refuse", seconds=60)

    assert run_guarded(work, "well", seconds=60) == first


def test_an_error_that_does_not_come_through_is_told_in_its_words():
    with pytest.raises(SrDataError, match="this needs the 'that' extra"):
        run_guarded(work, "extra", seconds=60)
