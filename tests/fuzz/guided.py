"""Fuzzing guided by coverage, with atheris: inputs that reach new lines are changed further.

``python guided.py READER FOLDER ...`` is one run of libFuzzer; ``guide`` starts it.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz.running import PATIENCE, Outcome

_TESTS = Path(__file__).parents[1]


def guide(name: str, *, seconds: float) -> Outcome:
    """Fuzz one reader for some seconds in a process of its own."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="guided-") as text:
        folder = Path(text)
        run = subprocess.run(
            [sys.executable, __file__, name, text, str(max(1, round(seconds)))],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(_TESTS.parent / "src"), str(_TESTS)])},
        )
        counts = re.findall(r"#(\d+)\s", run.stderr)
        outcome.tried = max(map(int, counts), default=0)
        for path in sorted(folder.glob("harm-*")):
            outcome.findings.append((path.read_bytes(), run.stderr[-6000:]))
        if run.returncode and not outcome.findings:
            outcome.findings.append((b"", f"the process ended with {run.returncode}\n{run.stderr[-6000:]}"))
    return outcome


def _work(name: str, folder: Path, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["sr_datasets"]):
        from fuzz.mutating import mutated
        from fuzz.readers import READERS
        from fuzz.running import try_input

        reader = READERS[name]
        for part in ("seeds", "scratch", "corpus"):
            (folder / part).mkdir()
        seeds = list(reader.seeds(folder / "seeds"))
        for data in seeds:  # imports what is imported when it is used
            try_input(reader, data, folder / "scratch")
    for number, data in enumerate(seeds):
        (folder / "corpus" / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        start = time.process_time()
        try_input(reader, data, folder / "scratch")
        took = time.process_time() - start
        assert took <= reader.seconds, f"it took {took:.1f} s of processor time"

    def change(data: bytes, most: int, seed: int) -> bytes:
        draws = random.Random(seed)
        found = mutated(
            draws, [data or b"\0", *seeds[:2]] if draws.random() < 0.2 else [data or b"\0"], reader.words
        )
        if reader.mend is not None and draws.random() < 0.7:
            found = reader.mend(found)
        return found[:most]

    most = max(len(data) for data in seeds) * 2
    # libFuzzer goes by the clock, and other processes may have the machine or its disk.
    patience = round(PATIENCE * reader.seconds)
    atheris.Setup(
        [
            sys.argv[0], f"-max_total_time={seconds}", f"-max_len={most}", f"-timeout={patience}",
            f"-report_slow_units={patience}", f"-rss_limit_mb={2048 + (reader.memory_bytes >> 20)}", f"-artifact_prefix={folder}/harm-", str(folder / "corpus"),
        ],
        one,
        custom_mutator=change,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    _work(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
