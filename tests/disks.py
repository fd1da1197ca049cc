"""Small disks of their own, which tests fill."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """Mount a tmpfs of a size such as ``64k``; the test is skipped where that cannot be done."""
    if os.geteuid():
        pytest.skip("mounting takes root")
    with tempfile.TemporaryDirectory(prefix="disk-") as text:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", text]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"a tmpfs cannot be mounted here: {made.stderr.strip()}")
        try:
            yield Path(text)
        finally:
            subprocess.run(["umount", "--lazy", text], check=True)
