"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# Before NumPy is there: pytest has a process on each core, and threads of its OpenBLAS spin while they wait for one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A busy machine is slow without being wrong. What CI draws is the same each time, so that a change is not refused for a rare
# case that has nothing to do with it; ``--hypothesis-profile=new`` draws other cases, as .ci/nightly does.
settings.register_profile("new", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("same", settings.get_profile("new"), derandomize=True, database=None)
settings.load_profile("same")

if TYPE_CHECKING:
    from browser import Page
    from selenium.webdriver import Chrome


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


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chrome]":
    from browser import browsing

    with browsing(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(driver: "Chrome") -> "Iterator[Page]":
    """Give a page in the browser, and make sure that its console stays empty and that it asks for nothing."""
    from browser import Page

    shown = Page(driver)
    yield shown
    assert shown.console() == [], "the console must stay empty, whatever was done"
    assert {url for url in shown.requests() if not url.startswith(("file:", "data:", "about:"))} == set()
