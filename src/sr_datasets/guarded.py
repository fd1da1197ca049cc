"""Work in a process of its own, which may hang or die without harm: decoders read what strangers made."""

import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, TypeVar

from sr_datasets.errors import SrDataError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
Began = Callable[[str], None]
"""Told the name of each piece of work when it begins; an empty one when what follows belongs to none."""

_STARTING_SECONDS: Final = 120.0
"""A process that has imported nothing after so long is as good as dead."""


class StuckError(SrDataError):
    """A piece of work took too long, or ended its process."""

    def __init__(self, piece: str, reason: str) -> None:
        super().__init__(f"{piece}: {reason}" if piece else reason)
        self.piece = piece
        """Which one; empty when it belongs to none."""
        self.reason = reason
        """What happened, the same on every machine."""

    def __reduce__(self) -> tuple[type["StuckError"], tuple[str, str]]:
        return StuckError, (self.piece, self.reason)


def run_guarded(function: Callable[[_Task, Began], _Result], task: _Task, *, seconds: float) -> _Result:
    """Call a function with a task in a process of its own, and end that process when a piece of the work takes too long.

    The process is kept for the next call of this one, and ends with it. Function, task and result must pickle.

    Args:
        function: Called with the task and with what it tells the names of its pieces.
        task: The task.
        seconds: Longest time of a piece.

    Raises:
        StuckError: A piece took longer, or the process died in it.
        Exception: What the function raised.
    """
    child = _kept.pop(threading.get_ident(), None)
    if child is None or not child.process.is_alive():
        child = _Child.start()
    try:
        result = child.call(function, task, seconds)
    except BaseException:
        if child.busy:
            child.end()
        else:
            _kept[threading.get_ident()] = child
        raise
    _kept[threading.get_ident()] = child
    return result  # type: ignore[no-any-return]  # what came through the pipe is what the function returned


@dataclass(slots=True)
class _Child:
    process: SpawnProcess
    pipe: "Connection[Any, Any]"
    busy: bool = False
    """Whether it works on something, so that it cannot be asked for anything else."""

    @classmethod
    def start(cls) -> "_Child":
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        # A daemon: it is ended when this process exits as it should; its own watch sees all other ends.
        process = context.Process(target=_serve, args=(theirs,), daemon=True, name="guarded")
        process.start()
        theirs.close()
        child = cls(process, ours)
        child.busy = True
        if not child._wait(time.monotonic() + _STARTING_SECONDS):
            child.end()
            raise StuckError("", f"a process was started and did nothing for {_STARTING_SECONDS:.0f} s")
        child.pipe.recv()
        child.busy = False
        return child

    def call(self, function: Callable[..., Any], task: Any, seconds: float) -> Any:
        self.pipe.send((function, task))
        self.busy = True
        piece, end = "", float("inf")
        while True:
            if not self._wait(end):
                raise StuckError(piece, f"took longer than {seconds:g} s, and was given up")
            try:
                kind, value = self.pipe.recv()
            except (EOFError, ConnectionResetError):
                self.process.join()
                raise StuckError(piece, _how_it_ended(self.process.exitcode)) from None
            if kind == "began":
                piece, end = value, (time.monotonic() + seconds if value else float("inf"))
                continue
            self.busy = False
            if kind == "raised":
                raise value
            return value

    def _wait(self, end: float) -> bool:
        return self.pipe.poll(None if end == float("inf") else max(0.0, end - time.monotonic()))

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


_kept: dict[int, _Child] = {}
"""The process of each thread that has called."""


def _how_it_ended(code: int | None) -> str:
    if code == -9:
        return "its process was killed, most likely for want of memory"
    if code is not None and code < 0:
        return f"its decoder crashed (signal {-code})"
    return f"its process ended with {code}"


def end_with_the_parent() -> None:
    """End this process when the one that started it is gone, be it by kill -9: it would wait for its next work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a process of this kind has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _serve(pipe: "Connection[Any, Any]") -> None:
    """Do what comes through the pipe, one piece of work after another."""
    end_with_the_parent()
    pipe.send(("ready", os.getpid()))
    while True:
        try:
            function, task = pipe.recv()
        except EOFError:
            return
        answer: tuple[str, Any]
        try:
            answer = "done", function(task, lambda piece: pipe.send(("began", piece)))
        except Exception as error:  # noqa: BLE001  # it is raised where the caller is
            answer = "raised", _portable(error)
        pipe.send(answer)


def _portable(error: Exception) -> Exception:
    """Return an error as it may be sent to another process: some do not come through, but their words do."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # noqa: BLE001  # whatever its own __init__ or __reduce__ raises
        pass
    return (
        SrDataError(str(error))
        if isinstance(error, SrDataError)
        else RuntimeError(f"{type(error).__name__}: {error}")
    )
