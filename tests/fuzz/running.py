"""Fuzzing in a process of its own, whose crash, hang or hunger is a finding and no more.

``python running.py READER SECONDS SEED FOLDER`` tries inputs and writes what it found to ``FOLDER``; ``fuzz`` starts it.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.mutating import mutated
from fuzz.readers import READERS, Reader

_TESTS = Path(__file__).parents[1]
PATIENCE = 12
"""Seconds by the clock that a second of processor time may take."""
CASES = _TESTS / "data" / "fuzz"
"""Inputs that once did harm, by reader."""


@dataclass(slots=True)
class Outcome:
    """What came of one run."""

    tried: int = 0
    """Inputs that were read."""
    right: int = 0
    """Inputs of which something was read."""
    findings: list[tuple[bytes, str]] = field(default_factory=list)
    """Inputs that did harm, and what they did."""


def limit_memory(beyond_bytes: int) -> None:
    """Let this process take so many bytes of addresses beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + beyond_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def try_input(reader: Reader, data: bytes, folder: Path) -> bool:
    """Read bytes; return whether something was read. Anything but an error of the tree is raised."""
    try:
        reader.read(data, folder)
    except reader.errors as error:
        text = str(error)
        assert text, "an error says something"
        assert len(text) < 20_000, f"an error of {len(text)} characters is no sentence"
        return False
    return True


class _Now:
    """The input that is read just now, in a file that outlives a crash."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(8 + (1 << 20))
            self._map = mmap.mmap(file.fileno(), 0)

    def put(self, data: bytes) -> None:
        self._map[:8] = len(data).to_bytes(8, "little")
        self._map[8 : 8 + len(data)] = data

    @staticmethod
    def get(path: Path) -> bytes:
        data = path.read_bytes() if path.is_file() else bytes(8)
        return data[8 : 8 + int.from_bytes(data[:8], "little")]


def _work(name: str, seconds: float, seed: int, folder: Path) -> None:
    """Try mutated inputs for some seconds; each finding is a file, with its story beside it."""
    reader, draws = READERS[name], random.Random(f"{name} {seed}")
    (folder / "seeds").mkdir()
    seeds = list(reader.seeds(folder / "seeds"))
    scratch = folder / "scratch"
    scratch.mkdir()
    for data in seeds:
        reader.read(data, scratch)
    now = _Now(folder / "now")
    limit_memory(reader.memory_bytes)
    # Processor time, since other processes may have the machine; what sleeps for ever uses none.
    faulthandler.register(signal.SIGPROF, chain=True)
    tried = right = 0
    places: set[str] = set()
    end = time.monotonic() + seconds
    armed = 0.0
    while (here := time.monotonic()) < end:
        if here - armed > 1:  # anew for each input would take longer than most inputs
            signal.setitimer(signal.ITIMER_PROF, reader.seconds + 1)
            faulthandler.dump_traceback_later(PATIENCE * reader.seconds, exit=True)
            armed = here
        data = mutated(draws, seeds, reader.words)
        if reader.mend is not None and draws.random() < 0.7:
            data = reader.mend(data)
        now.put(data)
        try:
            right += try_input(reader, data, scratch)
        except Exception as error:  # noqa: BLE001  # what is looked for
            story = traceback.format_exc()
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} {last.filename}:{last.lineno}"
            if place not in places and len(places) < 8:
                places.add(place)
                (folder / f"found-{len(places)}").write_bytes(data)
                (folder / f"found-{len(places)}.txt").write_text(story)
        tried += 1
        if tried % 64 == 0:
            (folder / "counts").write_text(json.dumps([tried, right]))
    (folder / "counts").write_text(json.dumps([tried, right]))


def fuzz(name: str, *, seconds: float, seed: int) -> Outcome:
    """Fuzz one reader in processes of its own for some seconds."""
    outcome = Outcome()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 or not outcome.tried:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            found = Path(folder)
            run = subprocess.run(
                [sys.executable, "-X", "faulthandler", __file__, name, str(left), str(seed), folder],
                capture_output=True,
                text=True,
                check=False,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(_TESTS.parent / "src"), str(_TESTS)]), "MALLOC_ARENA_MAX": "2"},
            )  # fmt: skip
            if (found / "counts").is_file():
                tried, right = json.loads((found / "counts").read_text())
                outcome.tried += tried
                outcome.right += right
            for path in sorted(found.glob("found-?")):
                outcome.findings.append((path.read_bytes(), path.with_suffix(".txt").read_text()))
            if run.returncode:
                story = f"the process ended with {run.returncode}\n{run.stderr[-6000:]}"
                outcome.findings.append((_Now.get(found / "now"), story))
                outcome.tried += 1
                if len(outcome.findings) >= 8:
                    break
        seed += 1_000_003
    return outcome


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _work(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
