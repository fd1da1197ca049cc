"""Where tasks run: in this process, in a pool of fresh ones, or on a Ray cluster."""

import multiprocessing
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from sr_datasets.errors import BuildError, MissingExtraError, SrDataError
from sr_datasets.guarded import end_with_the_parent

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_RAY_RETRIES = 10
"""How often Ray runs a task again whose process or node died. A spot machine may go several times in a long build."""


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A Ray cluster that is running: its nodes take tasks, one per CPU."""

    address: str = "auto"
    """As ``ray.init`` takes it, such as ``10.0.0.1:6379``, or ``ray://10.0.0.1:10001`` for Ray's client; ``auto`` looks for one as Ray does: the variable
    ``RAY_ADDRESS``, then one that was started on this machine."""


Workers: TypeAlias = int | RayCluster
"""Who runs tasks: that many processes of this machine, or a cluster."""


def run_tasks(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], *, workers: Workers
) -> Iterator[tuple[_Task, _Result]]:
    """Run a function over tasks and yield each task with its result as it ends, in any order.

    With one worker the tasks run in this process. With more, they run in spawned processes, which
    inherit no threads, locks or open files; function, tasks and results must pickle. At most two
    tasks per worker wait, so that a long list of tasks costs no memory. The first error ends the
    run and is raised here; tasks that were under way are waited for.

    On a Ray cluster the same holds of its workers, but a task whose process or node dies is run again, elsewhere,
    and at an error what is under way is cancelled. This package and what the tasks need must be installed on each node.

    Raises:
        ValueError: ``workers`` is below 1.
        BuildError: A worker process died; on Ray: again and again, or the cluster cannot be reached.
        MissingExtraError: Ray is not installed.
    """
    if isinstance(workers, RayCluster):
        yield from _run_on_ray(function, tasks, workers)
        return
    if workers < 1:
        raise ValueError(f"workers is {workers}, must be at least 1")
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, function(task)
        return
    context = multiprocessing.get_context("spawn")
    waiting = iter(tasks)
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=end_with_the_parent
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
                f"run the same command again, with fewer --workers.{_of_scripts()}"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def reached(workers: Workers) -> Iterator[None]:
    """Make sure that whoever is to run tasks is there, before anything is written for them; and stay connected.

    Raises:
        BuildError: The cluster cannot be reached.
        MissingExtraError: Ray is not installed.
    """
    with _ray(workers) if isinstance(workers, RayCluster) else nullcontext():
        yield


def _ended(running: dict[Future[_Result], _Task]) -> Iterator[tuple[_Task, _Result]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        yield running.pop(future), future.result()


def _of_scripts() -> str:
    """Return what else ends workers, where they import a script of the user's; commands have a guard of their own."""
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None) or ""
    if not script.endswith(".py") or getattr(main, "__spec__", None) is not None:
        return ""
    return f" If workers die at once: they import {script}, so what it runs belongs below `if __name__ == '__main__':`."


def _run_on_ray(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], cluster: RayCluster
) -> Iterator[tuple[_Task, _Result]]:
    with _ray(cluster) as ray:
        # SPREAD: tasks read and write, so that more machines are better than one that is full.
        remote = ray.remote(num_cpus=1, max_retries=_RAY_RETRIES, scheduling_strategy="SPREAD")(_call)
        shared = ray.put(function)
        waiting = iter(tasks)
        running: dict[Any, _Task] = {}
        try:
            while True:
                # Asked anew each time: nodes come and go.
                room = max(2, 2 * int(ray.cluster_resources().get("CPU", 0))) - len(running)
                for _, task in zip(range(room), waiting, strict=False):
                    running[remote.remote(shared, task)] = task
                if not running:
                    return
                done, _ = ray.wait(list(running), num_returns=1)
                for reference in done:
                    yield running.pop(reference), ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SrDataError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            raise BuildError(
                f"the Ray cluster gave up a task ({type(error).__name__}: {_first_line(error)}). What was finished is kept: "
                "run the same command again; if memory is short there, start the nodes with fewer CPUs."
            ) from error
        finally:
            for reference in running:
                ray.cancel(reference)


def _call(function: Callable[[_Task], _Result], task: _Task) -> _Result:
    return function(task)


@contextmanager
def _ray(cluster: RayCluster) -> Iterator[Any]:
    """Give Ray, connected; who was connected before stays so."""
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError as error:
        raise MissingExtraError("--engine ray", extra="ray") from error
    if ray.is_initialized():
        yield ray
        return
    _require_answer(cluster.address)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        refused = _no_cluster if cluster.address == "auto" else _not_let_in
        raise refused(cluster.address, _first_line(error)) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Refuse an address at which no cluster can be, or nobody answers as Ray does: Ray itself asks there for minutes."""
    if address == "local":
        raise BuildError(
            "--ray-address local would start a Ray of its own, for this build alone: take --workers instead, or name a cluster."
        )
    if address == "auto":
        return
    form = _ADDRESS.fullmatch(address)
    if form is None or not 0 < int(form["port"]) < 1 << 16:
        raise BuildError(
            f"--ray-address '{address}' is no address of a Ray cluster: write HOST:PORT, such as 10.0.0.1:6379, or "
            "ray://HOST:10001 for Ray's client; or leave it out, and Ray looks for one."
        )
    host = form["host"].strip("[]")
    try:
        with socket.create_connection((host, int(form["port"])), timeout=_ANSWER_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(_HTTP2)
                if connection.recv(9)[3:4] != _HTTP2_SETTINGS:
                    raise ConnectionError("what listens there does not answer as Ray does")
    except TimeoutError as error:
        raise _no_cluster(address, f"nothing came within {_ANSWER_SECONDS:g} s") from error
    except OSError as error:
        raise _no_cluster(address, _first_line(error)) from error


_ANSWER_SECONDS = 10.0
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ADDRESS = re.compile(
    rf"(ray://)?(?P<host>{_LABEL}(\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{{1,5}})"
)
"""Names of hosts as RFC 1123 has them, and underscores, which local networks use."""
_CLIENT = "ray://"
"""Begins addresses at which a head takes work from outside of its cluster."""
_HTTP2_SETTINGS = b"\4"
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + _HTTP2_SETTINGS + bytes(5)
"""How a client begins HTTP/2, on which Ray speaks: with settings, none here, and both sides do (RFC 9113, 3.4)."""


def _no_cluster(address: str, reason: str) -> BuildError:
    where = "no Ray cluster was found" if address == "auto" else f"no Ray cluster at {address}"
    if address.startswith(_CLIENT):
        return BuildError(
            f"{where}: {reason}. The head's client server listens on 10001, where `ray[client]` is installed."
        )
    return BuildError(
        f"{where}: {reason}. Start one with `ray start --head`, and `ray start --address HOST:6379` on each "
        "further machine; then name it with --ray-address HOST:6379."
    )


def _not_let_in(address: str, reason: str) -> BuildError:
    """Return what is wrong where something answered as Ray does."""
    client = " Ray's client needs `pip install 'ray[client]'` at both ends, and the port of the head's client server (10001)."
    return BuildError(
        f"the Ray cluster at {address} does not take this command: {reason}. Where the cluster asks for a token, set "
        "RAY_AUTH_MODE=token and give it in RAY_AUTH_TOKEN or ~/.ray/auth_token; Ray and Python must have the versions of the "
        f"cluster's.{client if address.startswith(_CLIENT) else ''}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0].rstrip(".")
