"""Where tasks run: in this process, or in a pool of fresh ones."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from sr_datasets.errors import BuildError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def run_tasks(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], *, workers: int
) -> Iterator[tuple[_Task, _Result]]:
    """Run a function over tasks and yield each task with its result as it ends, in any order.

    With one worker the tasks run in this process. With more, they run in spawned processes, which
    inherit no threads, locks or open files; function, tasks and results must pickle. At most two
    tasks per worker wait, so that a long list of tasks costs no memory. The first error ends the
    run and is raised here; tasks that were under way are waited for.

    Raises:
        ValueError: ``workers`` is below 1.
        BuildError: A worker process died.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}, must be at least 1")
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, function(task)
        return
    context = multiprocessing.get_context("spawn")
    waiting = iter(tasks)
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=_end_with_the_parent
    ) as pool:
        running: dict[Future[_Result], _Task] = {}
        try:
            for task in waiting:
                running[pool.submit(function, task)] = task
                if len(running) >= 2 * workers:
                    yield from _ended(running)
            while running:
                yield from _ended(running)
        except BrokenProcessPool as error:
            raise BuildError(
                "a worker process died, most likely killed for want of memory. What was finished is kept: "
                "run the same command again, with fewer --workers."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _end_with_the_parent() -> None:
    """End this worker when the process that started it is gone, be it by kill -9.

    A worker of a pool would wait for its next task for ever, and keep the terminal's pipes open.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _ended(running: dict[Future[_Result], _Task]) -> Iterator[tuple[_Task, _Result]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        yield running.pop(future), future.result()
