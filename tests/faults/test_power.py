"""What a journal holds where the power went: a copy of a disk that knows nothing of what was not synced."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults.commands import SOURCE
from faults.test_faults import as_root
from test_journal import right_text
from test_many_clips import records_of

from sr_datasets.journal import journal_of
from sr_datasets.store import LOCK_NAME, Store

pytestmark = [as_root, pytest.mark.slow]

# Notes clips, several in a line, and stops before each line of the journal is synced, and after each was said to be kept.
_NOTING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_many_clips import records_of
import sr_datasets.journal
from sr_datasets.store import Store
records = records_of(60)
home, real = Store(Path(sys.argv[2])), os.fsync
home.put(*records[:20])
os.sync()
def stopping(handle):
    os.kill(os.getpid(), signal.SIGSTOP)
    real(handle)
sr_datasets.journal.os = type("Module", (), {**vars(os), "fsync": staticmethod(stopping)})
with home.batch():
    for start in range(20, 36, 4):
        home.put(*records[start:start + 4])
        print(start + 4, flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def mounted(image: Path, options: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="power-") as text:
        made = subprocess.run(["mount", "-o", f"loop,{options}", image, text], capture_output=True, text=True, check=False)  # fmt: skip
        if made.returncode:
            pytest.skip(f"an ext4 cannot be mounted here: {made.stderr.strip()}")
        try:
            yield Path(text)
        finally:
            subprocess.run(["umount", "--lazy", text], check=True)


@pytest.mark.parametrize(
    "options",
    [
        "data=ordered",
        # Sizes of files come to the disk each second, and what is in them comes later.
        "data=writeback,nodelalloc,commit=1",
    ],
)
def test_clips_that_were_said_to_be_kept_are_there_after_the_power_went(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: str
):
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("ext4 is the disk of this test: apt-get install e2fsprogs")
    image, records, cuts = tmp_path / "image", records_of(60), []
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with mounted(image, options) as disk:
        noting = subprocess.Popen(
            [sys.executable, "-c", _NOTING, str(Path(__file__).parents[1]), str(disk / "store")],
            env=os.environ | {"PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert noting.stdout is not None
        said = 20
        try:
            while os.WIFSTOPPED(os.waitpid(noting.pid, os.WUNTRACED)[1]):
                if len(cuts) % 2:
                    said = int(noting.stdout.readline())
                elif "commit=1" in options:
                    subprocess.run(["sleep", "1.5"], check=True)
                cut = tmp_path / f"cut{len(cuts)}"
                subprocess.run(["cp", "--sparse=always", image, cut], check=True)
                cuts.append((cut, said))
                noting.send_signal(signal.SIGCONT)
        finally:
            noting.kill()
            noting.wait()
            noting.stdout.close()
    assert len(cuts) == 8
    left = []
    for cut, said in cuts:
        with mounted(cut, options) as disk:
            home = Store(disk / "store")
            journal = journal_of(disk / "store" / LOCK_NAME)
            found = home.records()
            assert said <= len(found) <= said + 4
            assert found == records[: len(found)]
            tail = journal.read_bytes()[home._file._end :] if journal.exists() else b""
            left.append(f"{len(tail)} bytes, {tail.count(0)} of them zeros")
            with home.batch():
                home.put(records[-1])
            assert (disk / "store" / LOCK_NAME).read_text() == right_text([*found, records[-1]])
            assert not journal.exists()
            assert ("ended with zeros" in caplog.text) == (0 in tail)
            caplog.clear()
    print(f"{len(cuts)} power cuts; behind the last whole line: {left}")
