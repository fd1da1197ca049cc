"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real test material, or skip; fail instead under ``SR_REQUIRE_DATA=1``."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("SR_TEST_DATA", root.parent / "shared" / "data"))
    if not (folder / "SHA256SUMS").is_file():
        reason = f"real test data is not at {folder}: set SR_TEST_DATA to its folder"
        if os.environ.get("SR_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder.resolve()
