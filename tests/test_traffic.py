"""Downloads of one run share connections within polite limits, a pace, and an end."""

import hashlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import servers
from servers import FaultServer

from sr_datasets.errors import FetchError
from sr_datasets.fetch.failures import Patience
from sr_datasets.fetch.http import fetch_file
from sr_datasets.fetch.traffic import Stopped, Traffic
from sr_datasets.manifest import FileFacts
from sr_datasets.progress import Silent

DATA = random.Random(5).randbytes(400_000)
QUICK = Patience(retries=2, backoff_seconds=0.005, max_wait_seconds=1)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def facts(*urls: str) -> FileFacts:
    return FileFacts(mirrors=urls, sha256=hashlib.sha256(DATA).hexdigest())


def fetch_all(
    server: FaultServer, folder: Path, traffic: Traffic, count: int, patience: Patience = QUICK
) -> list[BaseException]:
    """Fetch several files at once, in a thread each; return what went wrong."""
    errors: list[BaseException] = []

    def one(name: str) -> None:
        try:
            fetch_file(
                facts(server.url(name)), folder / name, progress=Silent(), patience=patience, traffic=traffic
            )
        except (FetchError, Stopped) as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(f"f{number}",)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_no_host_is_asked_for_more_than_four_files_at_a_time(tmp_path: Path):
    files = {f"f{number}": DATA for number in range(12)}
    with FaultServer(files, delay_seconds=0.01, together=4) as server, Traffic() as traffic:
        assert fetch_all(server, tmp_path, traffic, 12) == []
    assert server.most_at_once == 4
    assert all((tmp_path / name).read_bytes() == DATA for name in files)


def test_a_session_is_used_again_for_the_next_file_of_its_host(tmp_path: Path):
    with FaultServer({"a": DATA, "b": DATA}) as server, Traffic() as traffic:
        with traffic.session(server.url("a")) as first:
            pass
        with traffic.session(server.url("b")) as second, traffic.session("http://example.org/") as other:
            assert second is first
            assert other is not first


def test_all_downloads_together_keep_the_pace(tmp_path: Path):
    files = {f"f{number}": DATA for number in range(3)}
    with FaultServer(files) as server, Traffic(bytes_per_second=1_500_000) as traffic:
        start = time.monotonic()
        assert fetch_all(server, tmp_path, traffic, 3) == []
        seconds = time.monotonic() - start
    assert 0.75 <= seconds < 60
    assert all((tmp_path / name).read_bytes() == DATA for name in files)


def test_a_slow_pace_of_ours_is_no_stall_of_the_server(tmp_path: Path):
    patience = Patience(stall_seconds=1)
    with FaultServer({"f0": DATA[:3000]}) as server, Traffic(bytes_per_second=1500) as traffic:
        file = FileFacts(mirrors=(server.url("f0"),), sha256=hashlib.sha256(DATA[:3000]).hexdigest())
        fetch_file(file, tmp_path / "f0", progress=Silent(), patience=patience, traffic=traffic)
    assert len(server.asked) == 1


def test_a_host_that_asks_one_download_to_wait_is_left_alone_by_all(tmp_path: Path):
    files = {f"f{number}": DATA for number in range(3)}
    with FaultServer(files) as server, Traffic(per_host=1) as traffic:
        server.faults["f0"] = [servers.status(429, {"Retry-After": "1"})]
        server.faults["f1"] = server.faults["f2"] = []
        start = time.monotonic()
        fetch_file(
            facts(server.url("f0"), server.url("f1")), tmp_path / "f0", progress=Silent(), patience=QUICK, traffic=traffic
        )  # fmt: skip
        traffic.hold(server.url("f1"), 0.5)
        assert fetch_all(server, tmp_path, traffic, 3) == []
        assert time.monotonic() - start >= 1.5
    assert [request.status for request in server.asked][:2] == [429, 200]


def stop_when(
    condition: Callable[[], bool], traffic: Traffic, then: Callable[[], None] = lambda: None
) -> None:
    """End a run, from a thread beside it, as soon as something is so."""

    def watch() -> None:
        end = time.monotonic() + 60
        while not condition() and time.monotonic() < end:
            time.sleep(0.005)
        traffic.stop()
        then()

    threading.Thread(target=watch, daemon=True).start()


def test_what_is_stopped_keeps_what_came_and_goes_on_later(tmp_path: Path):
    files = {f"f{number}": DATA for number in range(6)}

    def has_come() -> bool:
        return servers.bytes_in(tmp_path, "*.part") > 0

    with FaultServer(files, limit_bytes=3 * len(DATA)) as server:

        def go_on_slowly() -> None:
            server.delay_seconds, server.limit_bytes = 0.5, None

        with Traffic() as traffic:
            stop_when(has_come, traffic, go_on_slowly)
            errors = fetch_all(server, tmp_path, traffic, 6)
        assert {type(error) for error in errors} == {Stopped}
        assert has_come()
        assert server.body_bytes() < 6 * len(DATA)
        server.delay_seconds = 0
        before = len(server.asked)
        with Traffic() as traffic:
            assert fetch_all(server, tmp_path, traffic, 6) == []
        assert sum(request.body_bytes for request in server.asked[before:]) < 6 * len(DATA)
    assert all((tmp_path / name).read_bytes() == DATA for name in files)


def test_waits_end_when_the_run_does(tmp_path: Path):
    patience = Patience(max_wait_seconds=100)
    with FaultServer({"f0": DATA}) as server, Traffic() as traffic:
        server.faults["f0"] = [servers.status(503, {"Retry-After": "100"})]
        stop_when(lambda: bool(server.asked), traffic)
        start = time.monotonic()
        assert [type(error) for error in fetch_all(server, tmp_path, traffic, 1, patience)] == [Stopped]
        assert time.monotonic() - start < 90


@pytest.mark.parametrize("wrong", [{"per_host": 0}, {"bytes_per_second": 0}, {"bytes_per_second": -1}])
def test_limits_must_be_positive(wrong: dict[str, int]):
    with pytest.raises(ValueError, match="must be positive"):
        Traffic(**wrong)
