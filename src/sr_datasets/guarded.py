"""Work in a process of its own, which may hang or die without harm: decoders read what strangers made."""

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, TypeVar

from sr_datasets.errors import SrDataError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
Began = Callable[[str], None]
"""Told the name of each piece of work when it begins; an empty one when what follows belongs to none."""

_STARTING_SECONDS: Final = 120.0
"""A process that has imported nothing after so long is as good as dead."""
_LOOK_SECONDS: Final = 1.0
"""Limits are counted in looks of this length, so that a machine or terminal that was stopped meanwhile costs one look."""
_ALIVE_SECONDS: Final = 0.5
"""Signs of life are sent no more often."""
_BUSY_SECONDS: Final = 1.0
"""So long the processes that there are may be busy before another one is started."""


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


def run_guarded(
    function: Callable[[_Task, Began], _Result],
    task: _Task,
    *,
    seconds: float = float("inf"),
    silent_seconds: float = float("inf"),
) -> _Result:
    """Call a function with a task in a process of its own, and end that process when a piece of the work takes too long.

    Processes are kept for later calls, and end with this one. Function, task and result must pickle, and the function
    must be importable: ``__main__`` is not run again. Its current folder is that of this process at the call. Threads
    share processes: another one is started when all have been busy for a second.

    Args:
        function: Called with the task and with what it tells the names of its pieces.
        task: The task.
        seconds: Longest time of a piece.
        silent_seconds: Longest time in which a piece does not call ``alive``.

    Raises:
        StuckError: A piece took longer, or the process died in it.
        Exception: What the function raised.
    """
    child = _pool.take()
    try:
        return child.call(function, task, seconds, silent_seconds)  # type: ignore[no-any-return]  # what the function returned
    finally:
        _pool.give_back(child)


def alive() -> None:
    """Say that a piece of work goes on; where nobody watches it, nothing happens."""
    if _watched is not None:
        _watched()


def end_all() -> None:
    """End the processes that have nothing to do; the next call starts one anew."""
    _pool.end()


class _Pool:
    """The processes that were started and not ended."""

    def __init__(self) -> None:
        self._forget()
        atexit.register(self.end)
        os.register_at_fork(after_in_child=self._forget)  # they are the children of the process that forked

    def _forget(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[_Child] = []
        self._taken = 0

    def take(self) -> "_Child":
        with self._changed:
            if self._taken and not self._idle:
                self._changed.wait_for(lambda: self._idle or not self._taken, timeout=_BUSY_SECONDS)
            while self._idle:
                child = self._idle.pop()
                if child.process.poll() is None:
                    self._taken += 1
                    return child
                child.end()
            self._taken += 1
        try:
            return _Child.start()
        except BaseException:
            with self._changed:
                self._taken -= 1
                self._changed.notify()
            raise

    def give_back(self, child: "_Child") -> None:
        if child.busy:
            child.end()
        with self._changed:
            self._taken -= 1
            if not child.busy:
                self._idle.append(child)
            self._changed.notify()

    def end(self) -> None:
        with self._changed:
            while self._idle:
                self._idle.pop().end()


@dataclass(slots=True)
class _Child:
    process: "subprocess.Popen[bytes]"
    pipe: "Connection[Any, Any]"
    busy: bool = True
    """Whether it works on something, so that it cannot be asked for anything else."""

    @classmethod
    def start(cls) -> "_Child":
        ours, theirs = Pipe()
        # Not as multiprocessing starts them: that runs a caller's script again, and fails where it has no main guard.
        # Standard input tells it that this process is gone, be it by kill -9.
        code = (
            f"import sys; sys.path[:] = {[part for part in sys.path if isinstance(part, str)]!r}; "
            f"from sr_datasets.guarded import _serve; _serve({theirs.fileno()})"
        )
        # A Ctrl-C reaches every process of a terminal; this one decides what is to end.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, pass_fds=[theirs.fileno()]
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        child = cls(process, ours)
        try:
            if not ours.poll(_STARTING_SECONDS):
                raise StuckError("", f"a process was started and did nothing for {_STARTING_SECONDS:.0f} s")
            child._receive("")
        except BaseException:
            child.end()
            raise
        child.busy = False
        return child

    def call(self, function: Callable[..., Any], task: Any, seconds: float, silent_seconds: float) -> Any:
        self.busy = True
        try:
            self.pipe.send((_here(), function, task))
        except OSError:
            raise StuckError("", _how_it_ended(self.process.wait())) from None
        piece, left, silence = "", float("inf"), float("inf")
        while True:
            look = min(_LOOK_SECONDS, left, silence)
            start = time.monotonic()
            came = self.pipe.poll(look)
            passed = min(look, time.monotonic() - start) if came else look
            left, silence = left - passed, silence - passed
            if not came:
                if left <= 0:
                    raise StuckError(piece, f"took longer than {seconds:g} s, and was given up")
                if silence <= 0:
                    raise StuckError(
                        piece, f"nothing came of it for {silent_seconds:g} s, and it was given up"
                    )
                continue
            kind, value = self._receive(piece)
            if kind == "began":
                piece = value
                left, silence = (seconds, silent_seconds) if value else (float("inf"), float("inf"))
            elif kind == "alive":
                silence = silent_seconds if piece else float("inf")
            else:
                self.busy = False
                if kind == "raised":
                    raise value
                return value

    def _receive(self, piece: str) -> tuple[str, Any]:
        try:
            kind, value = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise StuckError(piece, _how_it_ended(self.process.wait())) from None
        return kind, value

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.pipe.close()


_pool = _Pool()


def _here() -> str:
    """Return the folder that relative paths of a task begin in: a process was started in what was the folder then."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed, and no relative path leads anywhere
        return os.sep


def _how_it_ended(code: int) -> str:
    if code == -9:
        return "its process was killed, most likely for want of memory"
    if code < 0:
        return f"its decoder crashed (signal {-code})"
    return f"its process ended with {code}"


def end_with_the_parent() -> None:
    """End this process when the one that started it is gone, be it by kill -9: it would wait for its next work for ever."""
    parent = parent_process()
    assert parent is not None, "a process of this kind has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


_watched: Callable[[], None] | None = None
"""In a process of this module: sends a sign of life."""


def _serve(descriptor: int) -> None:
    """Do what comes through the pipe, one piece of work after another."""
    global _watched
    pipe: Connection[Any, Any] = Connection(descriptor)
    last = 0.0

    def end_with_stdin() -> None:
        os.read(0, 1)
        os._exit(1)

    def tell() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _ALIVE_SECONDS:
            last = now
            pipe.send(("alive", None))

    threading.Thread(target=end_with_stdin, name="parent watch", daemon=True).start()
    _watched = tell
    pipe.send(("ready", os.getpid()))
    while True:
        try:
            folder, function, task = pipe.recv()
        except EOFError:
            return
        answer: tuple[str, Any]
        try:
            os.chdir(folder)
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
