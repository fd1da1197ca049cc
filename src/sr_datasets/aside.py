"""Work in threads that nobody has to wait for, and waits that a signal ends.

Python answers signals in its main thread alone, between two steps of its own. A wait without a limit is one step: a signal that
comes as it begins, or to another thread, is answered when it is over.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, TypeVar

_Result = TypeVar("_Result")

LOOK_SECONDS: Final = 0.2
"""Waits of the main thread are no longer than this at a time."""


def begin(work: Callable[[], _Result], *, name: str) -> Future[_Result]:
    """Begin a piece of work in a thread of its own, which the interpreter's end does not wait for.

    Args:
        work: What to do; what it raises is raised where the result is asked for.
        name: Of the thread.
    """
    future: Future[_Result] = Future()

    def labour() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=labour, name=name, daemon=True).start()
    return future


def result_of(future: Future[_Result]) -> _Result:
    """Wait for a result; signals are answered meanwhile."""
    while not future.done():
        wait([future], timeout=LOOK_SECONDS)
    return future.result()
