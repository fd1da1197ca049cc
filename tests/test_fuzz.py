"""Wrong bytes for everything that reads foreign ones: a right result or an error of our tree (scripts/fuzz for long)."""

import random
from pathlib import Path

import pytest
from fuzz.mutating import mutated
from fuzz.readers import READERS, Reader
from fuzz.running import CASES, fuzz, try_input
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.filterwarnings("ignore")  # what libraries say of wrong bytes

_KEPT = sorted(path for path in CASES.rglob("*") if path.is_file())


@pytest.fixture(scope="module", params=list(READERS))
def reader(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Reader, list[bytes], Path]:
    found = READERS[request.param]
    seeds = list(found.seeds(tmp_path_factory.mktemp("seeds")))
    return found, seeds, tmp_path_factory.mktemp("scratch")


def test_valid_files_are_read(reader: tuple[Reader, list[bytes], Path]):
    found, seeds, folder = reader
    for data in seeds:
        found.read(data, folder)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(draws=st.randoms(use_true_random=False))
def test_wrong_bytes_are_an_error_of_ours_or_read_right(
    reader: tuple[Reader, list[bytes], Path], draws: random.Random
):
    found, seeds, folder = reader
    data = mutated(draws, seeds, found.words)
    if found.mend is not None and draws.random() < 0.7:
        data = found.mend(data)
    try_input(found, data, folder)


@pytest.mark.parametrize("path", _KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_did_harm_does_none(path: Path, tmp_path: Path):
    try_input(READERS[path.parent.name], path.read_bytes(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(READERS))
def test_no_wrong_bytes_crash_hang_or_take_memory(name: str):
    outcome = fuzz(name, seconds=20, seed=1)

    print(f"{name}: {outcome.tried} inputs, {outcome.right} of them read")
    assert not outcome.findings, "\n\n".join(story for _, story in outcome.findings)
    assert outcome.tried > 50
