"""Several pieces of work at a time, in threads that a Ctrl-C does not have to wait for."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from sr_datasets.aside import LOOK_SECONDS, begin
from sr_datasets.fetch.traffic import Stopped

_Result = TypeVar("_Result")

GRACE_SECONDS = 3.0
"""How long what is under way is waited for after a Ctrl-C."""


def run_all(work: Sequence[Callable[[], None]], *, jobs: int, stop: Callable[[], None]) -> None:
    """Run every piece of work, up to ``jobs`` at a time, beginning in their order.

    Args:
        work: What to do. Pieces may raise ``Stopped`` once ``stop`` was called.
        jobs: Threads; with one, or one piece of work, the calling thread does it.
        stop: Tells work that is under way to end soon.

    Raises:
        BaseException: The first that a piece of work raised, or that reached the calling thread, such as
            ``KeyboardInterrupt``. No further work is begun then; what is under way is told to stop, waited for a few
            seconds, and left behind, since whatever it holds survives a kill.
    """
    waiting = deque(work)
    errors: list[BaseException] = []

    def labour() -> None:
        while not errors:
            try:
                piece = waiting.popleft()
            except IndexError:
                return
            try:
                piece()
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001  # it is raised where the caller is
                errors.append(error)
                stop()

    if jobs == 1 or len(work) < 2:
        labour()
    else:
        threads = [
            threading.Thread(target=labour, name=f"job-{number}", daemon=True)
            for number in range(min(jobs, len(work)))
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(LOOK_SECONDS)
        except BaseException:
            waiting.clear()
            stop()
            end = time.monotonic() + GRACE_SECONDS
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
            raise
    if errors:
        raise errors[0]


class Aside(Generic[_Result]):
    """Work that goes on beside the caller's, in threads that a Ctrl-C does not have to wait for.

    Args:
        at_once: Pieces of work at a time.
    """

    def __init__(self, at_once: int) -> None:
        self._free = threading.Semaphore(at_once)

    def begin(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Begin a piece of work, as soon as fewer than ``at_once`` are under way, and return its future."""
        while not self._free.acquire(timeout=LOOK_SECONDS):
            pass
        future = begin(work, name="aside")
        future.add_done_callback(lambda _: self._free.release())
        return future
