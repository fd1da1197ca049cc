"""Commands in processes that can be killed, starved and lied to: one that has imported everything forks each of them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SOURCE = str(Path(__file__).parents[2] / "src")
_PROGRAM = """
import itertools, json, os, resource, sys, time, traceback
from sr_datasets.cli.main import main
import av, pandas, PIL.Image, pydantic, pyarrow.compute, pyarrow.parquet, requests
import sr_datasets.build, sr_datasets.catalog, sr_datasets.ingest, sr_datasets.push, sr_datasets.video.compressed
import sr_datasets.video.pictures, sr_datasets.cli.console

def prepare(job):
    handle = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(handle, 1); os.dup2(handle, 2)
    if "memory" in job:
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + job["memory"],) * 2)
    if "file_bytes" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"],) * 2)
    if "uid" in job:
        os.setgroups([]); os.setgid(job["uid"]); os.setuid(job["uid"])
    if "hours_back" in job:
        real, calls = time.time, itertools.count(1)
        time.time = lambda: real() - 3600 * job["hours_back"] * next(calls)
        time.time_ns = lambda: int(time.time() * 1e9)
    sys.argv = ["sr-data", *job["args"]]

print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            prepare(job)
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Commands:
    """Runs ``sr-data`` on a store, each time in a fresh process."""

    def __init__(self, store: Path, folder: Path, **environment: str) -> None:
        self._log = folder / "said.txt"
        self._log.touch()
        self._log.chmod(0o666)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env=os.environ | {"PYTHONPATH": SOURCE, "SR_DATA_HOME": str(store), "HOME": str(folder)} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )  # fmt: skip
        assert self._line() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def start(self, *args: object, **limits: Any) -> int:
        """Start a command and return its process id; ``limits`` as the program above takes them."""
        job = {"args": [str(arg) for arg in args], "log": str(self._log), **limits}
        assert self._process.stdin is not None
        print(json.dumps(job), file=self._process.stdin)
        return int(self._line())

    def kill(self, process: int, how: int = signal.SIGKILL) -> None:
        """Send a signal to the command that was started, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(process, how)

    def wait(self) -> int:
        """Return what the command that was started ended with; the number of a signal is negative."""
        return int(self._line())

    def run(self, *args: object, **limits: Any) -> tuple[int, str]:
        """Run a command; return what it ended with and what it said."""
        self.start(*args, **limits)
        code = self.wait()
        return code, self._log.read_text()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def files_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a set, but for the report of the run and what only locks."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("build-report.json", ".build.lock")
    }


def set_files(folder: Path) -> dict[str, str]:
    """Return those of ``files_of`` that have a final name: a build that is killed leaves hidden ones."""
    found = files_of(folder)
    return {name: found[name] for name in found if not any(part.startswith(".") for part in Path(name).parts)}


def is_one_sentence(said: str) -> bool:
    """Return whether a command that failed said so once, and without a traceback."""
    return said.count("sr-data: error: ") == 1 and "Traceback" not in said


def quick_training(set_dir: Path, *, steps: int, checkpoint_every: int) -> list[str]:
    """Return the command of a short training, but for its folder."""
    command = [sys.executable, "-m", "sr_datasets.cli", "train", str(set_dir), "--preset", "quick"]
    for option in (f"steps={steps}", f"checkpoint_every={checkpoint_every}", "threads=1"):
        command += ["--set", option]
    return [*command, "--out"]
