"""Tasks in this process and in others: results, errors, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sr_datasets.engine import run_tasks
from sr_datasets.errors import BuildError, DecodeError


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise DecodeError("clip 3 cannot be read")
    return number


def die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_gives_its_result_once(workers: int):
    assert sorted(run_tasks(square, range(10), workers=workers)) == [
        (number, number**2) for number in range(10)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_ends_the_run_as_it_is(workers: int):
    with pytest.raises(DecodeError, match="clip 3 cannot be read"):
        list(run_tasks(refuse, range(6), workers=workers))


def test_a_worker_that_is_killed_is_told_with_the_next_step():
    with pytest.raises(BuildError, match="fewer --workers"):
        list(run_tasks(die, range(6), workers=2))


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text("from sr_datasets.engine import run_tasks\nlist(run_tasks(abs, [1, 2], workers=2))\n")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert (
        "mine.py, so what it runs belongs below `if __name__ == '__main__':`" in ended.stderr.splitlines()[-1]
    )


def test_no_workers_is_a_wrong_argument():
    with pytest.raises(ValueError, match="workers is 0"):
        list(run_tasks(square, [1], workers=0))


def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, sys, time\n"
        "from sr_datasets.engine import run_tasks\n"
        "def nap(number):\n"
        "    print(os.getpid(), flush=True); time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    list(run_tasks(nap, [1, 2, 3], workers=2))\n"
    )
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "slow.py")], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = {int(parent.stdout.readline()), int(parent.stdout.readline())}
        assert len(workers) == 2
        parent.kill()
    deadline = time.monotonic() + 60
    while (alive := [worker for worker in workers if _is_alive(worker)]) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not alive


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
