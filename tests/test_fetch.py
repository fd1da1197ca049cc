"""One file over HTTP from a server with faults: the right bytes under the final name, or a clear error."""

import errno
import hashlib
import io
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import pytest
import requests
import servers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import FaultServer

from sr_datasets.errors import FetchError, HashMismatchError, SrDataError
from sr_datasets.fetch import http
from sr_datasets.fetch.failures import MirrorError, Patience
from sr_datasets.fetch.http import Fetched, fetch_file
from sr_datasets.fetch.traffic import Session
from sr_datasets.files import SyncedBehind
from sr_datasets.manifest import FileFacts
from sr_datasets.progress import Silent

QUICK = Patience(retries=2, backoff_seconds=0.005, max_wait_seconds=0.5)
HASTY = replace(QUICK, stall_seconds=0.3)
"""For a server that never answers; of one that will, a busy machine may be as late."""
DATA = random.Random(7).randbytes(300_000)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Recorded(Silent):
    """A progress that keeps what it is told."""

    lines: list[str] = field(default_factory=list)
    totals: list[int | None] = field(default_factory=list)
    done: int = 0

    def log(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, label: str, *, total: int | None, unit: str) -> "RecordedBar":
        self.totals.append(total)
        return RecordedBar(self)


@dataclass
class RecordedBar(AbstractContextManager["RecordedBar"]):
    owner: Recorded

    def advance(self, amount: int, *, present: bool = False) -> None:
        self.owner.done += amount

    def expect(self, amount: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def facts(*urls: str, proven: bool = True, **more: object) -> FileFacts:
    proof = {"sha256": hashlib.sha256(DATA).hexdigest()} if proven else {}
    return FileFacts.model_validate({"mirrors": urls, **proof, **more})


def fetch(file: FileFacts, dest: Path, progress: Silent | None = None, patience: Patience = QUICK) -> Fetched:
    return fetch_file(file, dest, progress=progress or Silent(), name="demo/clip", patience=patience)


def leave_partial(server: FaultServer, dest: Path, count: int, **more: object) -> None:
    """Bring the first ``count`` bytes in, as a fetch that was interrupted leaves them."""
    server.faults["f"] = [servers.truncated(count), servers.status(404)]
    with pytest.raises(FetchError):
        fetch(facts(server.url("f"), **more), dest)
    assert dest.with_name(dest.name + ".part").stat().st_size == count
    server.asked.clear()


def test_a_file_comes_whole_with_its_hash_and_its_origin(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        progress = Recorded()
        fetched = fetch(facts(server.url("f"), size_bytes=len(DATA)), tmp_path / "clip.bin", progress)

    assert (tmp_path / "clip.bin").read_bytes() == DATA
    assert fetched.sha256 == hashlib.sha256(DATA).hexdigest()
    assert (fetched.size_bytes, fetched.proof, fetched.url) == (len(DATA), "sha256", server.url("f"))
    assert fetched.etag.startswith('"')
    assert not (tmp_path / "clip.bin.part").exists()
    assert (progress.totals, progress.done) == ([len(DATA)], len(DATA))


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256"])
def test_each_published_checksum_is_proof_and_is_held_against_the_bytes(tmp_path: Path, name: str):
    digest = hashlib.new(name, DATA).hexdigest()
    wrong = hashlib.new(name, b"x").hexdigest()
    with FaultServer({"f": DATA}) as server:
        fetched = fetch(facts(server.url("f"), proven=False, **{name: digest}), tmp_path / "good")
        with pytest.raises(HashMismatchError, match=rf"{digest}.*{wrong}"):
            fetch(facts(server.url("f"), proven=False, **{name: wrong}), tmp_path / "bad")

    assert fetched.proof == name
    assert not (tmp_path / "bad").exists()


def test_a_file_without_checksum_is_a_first_fetch(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        fetched = fetch(facts(server.url("f"), proven=False), tmp_path / "clip.bin")
    assert fetched.proof == "first-fetch"
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_broken_body_is_continued_from_where_it_broke(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [servers.truncated(100_000), servers.truncated(50_000)]
        fetch(facts(server.url("f")), tmp_path / "clip.bin")

    assert (tmp_path / "clip.bin").read_bytes() == DATA
    assert [request.range for request in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert [request.status for request in server.asked] == [200, 206, 206]
    assert server.asked[1].if_range is not None
    assert server.body_bytes() == len(DATA)


def test_a_later_run_continues_what_an_earlier_one_left(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 123_456)
        progress = Recorded()
        fetch(facts(server.url("f")), tmp_path / "clip.bin", progress)

    assert (tmp_path / "clip.bin").read_bytes() == DATA
    assert server.body_bytes() == len(DATA) - 123_456
    assert any("continuing at 123.5 kB" in line for line in progress.lines)
    assert progress.done == len(DATA)


@pytest.mark.parametrize(
    "fault",
    [
        servers.ignoring_range(),
        servers.shifted(-1),
        servers.shifted(-1000),
        servers.shifted(+1),
        servers.partial_of_other_total(len(DATA) + 5),
        servers.partial_of_other_total(len(DATA) - 5),
        servers.partial_of_other_etag(),
        servers.partial_without_range(),
        servers.status(416, {"Content-Range": f"bytes */{len(DATA)}"}),
    ],
    ids=[
        "200", "206-earlier", "206-much-earlier", "206-later", "206-longer", "206-shorter", "206-other-etag",
        "206-unnamed", "416",
    ],
)  # fmt: skip
@pytest.mark.parametrize("proven", [True, False], ids=["with-checksum", "without-checksum"])
def test_an_answer_that_is_not_the_rest_starts_over(tmp_path: Path, fault: servers.Fault, proven: bool):
    with FaultServer({"f": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000, proven=proven)
        server.faults["f"] = [fault]
        fetch(facts(server.url("f"), proven=proven), tmp_path / "clip.bin")

    assert (tmp_path / "clip.bin").read_bytes() == DATA
    assert server.asked[0].range == "bytes=100000-"


@pytest.mark.parametrize("proven", [True, False], ids=["with-checksum", "without-checksum"])
def test_a_file_that_changed_meanwhile_is_never_mixed_with_its_old_version(tmp_path: Path, proven: bool):
    newer = random.Random(8).randbytes(len(DATA))
    with FaultServer({"f": newer}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000, proven=False)
        server.files["f"] = DATA
        fetch(facts(server.url("f"), proven=proven), tmp_path / "clip.bin")

    assert (tmp_path / "clip.bin").read_bytes() == DATA
    assert server.asked[0].status == 200  # If-Range did not hold


def test_without_a_validator_and_a_checksum_nothing_is_continued(tmp_path: Path):
    with FaultServer({"f": DATA}, validators=False) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000, proven=False)
        fetch(facts(server.url("f"), proven=False), tmp_path / "clip.bin")

    assert [request.range for request in server.asked] == [None]
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_without_a_validator_a_wrong_half_is_found_by_the_checksum_and_fetched_anew(tmp_path: Path):
    newer = random.Random(8).randbytes(len(DATA))
    with FaultServer({"f": newer}, validators=False) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        server.files["f"] = DATA
        fetch(facts(server.url("f")), tmp_path / "clip.bin")

    assert [request.range for request in server.asked] == ["bytes=100000-", None]
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_partial_file_of_another_address_is_not_continued(tmp_path: Path):
    with FaultServer({"f": DATA, "g": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        fetch(facts(server.url("g")), tmp_path / "clip.bin")
    assert [request.range for request in server.asked] == [None]


def test_the_mirror_of_a_partial_file_is_asked_first(tmp_path: Path):
    with FaultServer({"f": DATA, "g": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        fetch(facts(server.url("g"), server.url("f")), tmp_path / "clip.bin")
    assert [(request.path, request.range) for request in server.asked] == [("f", "bytes=100000-")]


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"url": 5}', None])
def test_a_partial_file_without_a_readable_note_is_not_continued(tmp_path: Path, note: bytes | None):
    with FaultServer({"f": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        sidecar = tmp_path / "clip.bin.fetch.json"
        sidecar.write_bytes(note) if note is not None else sidecar.unlink()
        fetch(facts(server.url("f")), tmp_path / "clip.bin")
    assert [request.range for request in server.asked] == [None]
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_partial_file_longer_than_the_file_is_not_continued(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        (tmp_path / "clip.bin.part").write_bytes(bytes(len(DATA) + 1))
        fetch(facts(server.url("f")), tmp_path / "clip.bin")
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_partial_file_that_is_whole_needs_no_request(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        (tmp_path / "clip.bin.part").write_bytes(DATA)
        fetch(facts(server.url("f")), tmp_path / "clip.bin")
    assert server.asked == []
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_whole_partial_file_with_wrong_bytes_is_fetched_anew(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        (tmp_path / "clip.bin.part").write_bytes(bytes(len(DATA)))
        fetch(facts(server.url("f")), tmp_path / "clip.bin")
    assert (tmp_path / "clip.bin").read_bytes() == DATA
    assert [request.range for request in server.asked] == [None]


def test_a_cache_that_answers_ranges_in_portions_is_used_honestly(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        server.faults["f"] = [servers.portion(70_000), servers.portion(70_000)]
        fetch(facts(server.url("f"), size_bytes=len(DATA)), tmp_path / "clip.bin")
    assert (tmp_path / "clip.bin").read_bytes() == DATA
    assert server.body_bytes() == len(DATA) - 100_000


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (servers.status(404), "answered 404 Not Found"),
        (servers.status(403), "answered 403 Forbidden"),
        (servers.status(410), "answered 410 Gone"),
        (servers.status(204, text=b""), "answered 204 No Content"),
        (servers.shifted(0), "answered 206 Partial Content"),
        (servers.page("Are you a robot?"), r"HTML page titled 'Are you a robot\?'"),
        (servers.page("Quota", content_type="video/mp4"), "HTML page titled 'Quota'"),
        (servers.other_bytes(b""), "sent an empty file"),
        (servers.other_bytes(DATA, Content_Encoding="gzip"), "gzip encoding"),
        (servers.redirect("/f"), "redirects in circles"),
        (servers.redirect("ftp://127.0.0.1/f"), "an address that cannot be used"),
    ],
)
def test_what_is_not_the_file_is_refused_at_once_with_its_reason(
    tmp_path: Path, fault: servers.Fault, reason: str
):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [fault] * 20
        with pytest.raises(FetchError, match=reason) as caught:
            fetch(facts(server.url("f")), tmp_path / "clip.bin")

    assert str(caught.value).startswith(f"demo/clip: {server.url('f')} ")
    assert len(server.asked) == (11 if "circles" in reason else 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "reason", "patience"),
    [
        (servers.status(500), "answered 500 Internal Server Error, 3 times", QUICK),
        (servers.status(503), "answered 503 Service Unavailable, 3 times", QUICK),
        (servers.status(429), "answered 429 Too Many Requests, 3 times", QUICK),
        (servers.silent(), "sent nothing for 0.3 s, 3 times", HASTY),
        (servers.stalled(0), "sent nothing for 0.3 s, 3 times", HASTY),
        (servers.truncated(0), "3 times", QUICK),
        (servers.truncated(1), "3 times", QUICK),
    ],
)
def test_what_may_pass_is_tried_again_and_then_given_up(
    tmp_path: Path, fault: servers.Fault, reason: str, patience: Patience
):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [fault] * 20
        with pytest.raises(FetchError, match=reason):
            fetch(facts(server.url("f")), tmp_path / "clip.bin", patience=patience)
        server.wait_for(requests=3)
        assert len(server.asked) == 3
    assert not (tmp_path / "clip.bin").exists()


def test_a_body_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class FastClock:
        """Makes a window of 20 s of drops short, and no silence of the server."""

        @staticmethod
        def monotonic() -> float:
            return 100 * time.monotonic()

    monkeypatch.setattr(http, "time", FastClock)
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [servers.dripping(0.05)] * 20
        with pytest.raises(FetchError, match=r"sent only \d+ bytes in \d+ s, 3 times"):
            fetch(facts(server.url("f")), tmp_path / "clip.bin", patience=replace(QUICK, stall_seconds=20))
        assert len(server.asked) == 3
    assert not (tmp_path / "clip.bin").exists()


@dataclass
class PatientLater(Silent):
    """Makes a fetch patient once an attempt has failed: a busy machine may be late with the good answer."""

    patience: Patience = field(default_factory=lambda: replace(QUICK, stall_seconds=1))

    def log(self, text: str) -> None:
        if "trying again" in text:
            object.__setattr__(self.patience, "stall_seconds", QUICK.stall_seconds)


@pytest.mark.parametrize(
    "fault",
    [
        servers.status(500),
        servers.status(503, {"Retry-After": "0"}),
        servers.status(429),
        servers.stalled(10_000),
        servers.truncated(70_000),
        servers.chunked(cut_at=70_000, ended=False),
        servers.silent(),
    ],
)
def test_a_server_that_fails_once_still_gives_the_file(tmp_path: Path, fault: servers.Fault):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [fault]
        progress = PatientLater()
        fetch(facts(server.url("f")), tmp_path / "clip.bin", progress, progress.patience)
        server.wait_for(requests=2)
        assert len(server.asked) == 2
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_stalled_body_is_continued_where_it_stood_still(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [servers.stalled(200_000)]
        progress = PatientLater()
        fetch(facts(server.url("f")), tmp_path / "clip.bin", progress, progress.patience)
        assert [request.range for request in server.asked] == [None, "bytes=200000-"]
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_body_that_breaks_often_but_moves_on_gets_there(tmp_path: Path):
    with FaultServer({"f": DATA * 4}) as server:
        server.faults["f"] = [servers.truncated(100_000)] * 11
        fetch(facts(server.url("f"), proven=False), tmp_path / "clip.bin")
    assert len(server.asked) == 12
    assert server.body_bytes() == len(DATA) * 4


def test_retry_after_is_honoured(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [servers.status(429, {"Retry-After": "1"})]
        start = time.monotonic()
        patience = Patience(backoff_seconds=0, max_wait_seconds=2)
        fetch(facts(server.url("f")), tmp_path / "clip.bin", patience=patience)
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize("wait", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_server_that_asks_to_wait_too_long_is_left_for_the_next_mirror(tmp_path: Path, wait: str):
    with FaultServer({"f": DATA, "g": DATA}) as server:
        server.faults["f"] = [servers.status(503, {"Retry-After": wait})]
        progress = Recorded()
        fetched = fetch(facts(server.url("f"), server.url("g")), tmp_path / "clip.bin", progress)
    assert fetched.url == server.url("g")
    assert any("asks to wait" in line for line in progress.lines)


def test_every_kind_of_failure_falls_through_to_the_next_mirror(tmp_path: Path):
    with FaultServer({"good": DATA}) as server:
        server.files |= dict.fromkeys(("a", "b", "c", "d", "e", "f", "g"), DATA)
        server.faults |= {
            "a": [servers.status(404)],
            "b": [servers.page("Sign in")],
            "c": [servers.other_bytes(DATA[:-1])],
            "d": [servers.truncated(0)] * 9,
            "e": [servers.status(500)] * 9,
            "f": [servers.other_bytes(bytes(len(DATA)))],
            "g": [servers.redirect("/g")] * 20,
        }
        urls = [server.url(name) for name in "abcdefg"]
        unreachable = ["http://127.0.0.1:1/f", "http://no-such-host.invalid/f"]
        file = facts(*unreachable, *urls, server.url("good"), size_bytes=len(DATA))
        fetched = fetch(file, tmp_path / "clip.bin")
    assert fetched.url == server.url("good")
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_when_every_mirror_fails_the_error_has_each_reason(tmp_path: Path):
    with FaultServer() as server:
        file = facts(server.url("one"), "http://127.0.0.1:1/two")
        with pytest.raises(FetchError) as caught:
            fetch(file, tmp_path / "clip.bin")
    assert str(caught.value) == (
        "demo/clip: none of its 2 mirrors gave the file:\n"
        f"  {server.url('one')} answered 404 Not Found.\n"
        "  http://127.0.0.1:1/two was not reached (Connection refused), 2 times.\n"
        " Try again later, add a mirror to the manifest, or bring the file yourself with sr-data import."
    )


def test_a_file_without_address_says_how_to_go_on(tmp_path: Path):
    with pytest.raises(FetchError, match=r"lists no address.*sr-data import"):
        fetch(facts(), tmp_path / "clip.bin")


def test_a_wrong_size_is_said_before_the_body_is_read(tmp_path: Path):
    big = bytes(30_000_000)
    with FaultServer({"f": big}) as server:
        evidence = {"size_bytes": "SEEN somebody/something:list.csv"}
        file = facts(server.url("f"), size_bytes=len(DATA), evidence=evidence)
        with pytest.raises(FetchError, match=r"30000000 bytes, the manifest says 300000 \(SEEN somebody/"):
            fetch(file, tmp_path / "clip.bin")
    assert server.body_bytes() < 10_000_000  # what the socket's buffers took


def test_a_wrong_kind_of_file_is_said_before_the_body_is_read(tmp_path: Path):
    wrong_kind = pytest.raises(FetchError, match=r"not a y4m file: it begins with b'PK")
    with FaultServer({"f": b"PK\x03\x04" + bytes(30_000_000)}) as server, wrong_kind:
        fetch(facts(server.url("f"), proven=False), tmp_path / "clip.y4m")
    assert server.body_bytes() < 10_000_000


def test_a_refused_answer_leaves_a_good_partial_file_alone(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        leave_partial(server, tmp_path / "clip.bin", 100_000)
        for fault in (
            servers.page("Robot?"),
            servers.status(403),
            servers.other_bytes(b"PK" * 9, ETag='"n"'),
        ):
            server.faults["f"] = [fault]
            with pytest.raises(FetchError):
                fetch(facts(server.url("f"), size_bytes=len(DATA)), tmp_path / "clip.bin")
        server.asked.clear()
        fetch(facts(server.url("f"), size_bytes=len(DATA)), tmp_path / "clip.bin")
    assert [request.range for request in server.asked] == ["bytes=100000-"]
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_another_file_is_named_with_both_hashes_and_the_evidence_and_kept(tmp_path: Path):
    other = bytes(len(DATA))
    with FaultServer({"f": other}) as server:
        evidence = {"sha256": "SEEN somebody/something:fetch.py"}
        file = facts(server.url("f"), evidence=evidence)
        with pytest.raises(HashMismatchError) as caught:
            fetch(file, tmp_path / "clip.bin")

    text = str(caught.value)
    assert hashlib.sha256(other).hexdigest() in text
    assert f"{hashlib.sha256(DATA).hexdigest()} (SEEN somebody/something:fetch.py)" in text
    assert "demo/clip" in text
    assert "update the manifest" in text
    assert not (tmp_path / "clip.bin").exists()
    assert (tmp_path / "clip.bin.rejected").read_bytes() == other


def test_a_kept_file_is_taken_once_the_manifest_is_corrected(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        wrong = facts(server.url("f"), sha256="0" * 64)
        with pytest.raises(HashMismatchError):
            fetch(wrong, tmp_path / "clip.bin")
        server.asked.clear()
        fetch(facts(server.url("f")), tmp_path / "clip.bin")
    assert server.asked == []
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_file_that_is_there_is_checked_and_taken_and_never_replaced(tmp_path: Path):
    dest = tmp_path / "clip.bin"
    with FaultServer({"f": DATA}) as server:
        dest.write_bytes(DATA)
        assert fetch(facts(server.url("f")), dest).proof == "sha256"
        with pytest.raises(FetchError, match=r"neither a checksum"):
            fetch(facts(server.url("f"), proven=False), dest)
        dest.write_bytes(b"mine")
        with pytest.raises(HashMismatchError, match=r"there already.*Move it away"):
            fetch(facts(server.url("f")), dest)
    assert dest.read_bytes() == b"mine"
    assert server.asked == []


def test_a_first_fetch_is_recognised_by_its_note(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        file = facts(server.url("f"), proven=False)
        first = fetch(file, tmp_path / "clip.bin")
        assert fetch(file, tmp_path / "clip.bin") == first
    assert len(server.asked) == 1


@pytest.mark.parametrize("proven", [True, False])
def test_a_body_in_chunks_needs_no_length(tmp_path: Path, proven: bool):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [servers.chunked()]
        fetch(facts(server.url("f"), proven=proven), tmp_path / "clip.bin")
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_chunks_that_end_too_early_or_too_late_are_refused(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [servers.chunked(cut_at=200_000)]
        with pytest.raises(FetchError, match=r"sent 200000 bytes, the manifest says 300000"):
            fetch(facts(server.url("f"), size_bytes=len(DATA)), tmp_path / "clip.bin")
        server.faults["f"] = [servers.chunked()]
        with pytest.raises(FetchError, match=r"more than the 200000 bytes"):
            fetch(facts(server.url("f"), size_bytes=200_000), tmp_path / "clip.bin")
    assert not (tmp_path / "clip.bin").exists()


def test_a_body_without_any_length_needs_a_size_or_a_checksum(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        server.faults["f"] = [servers.without_length()]
        with pytest.raises(FetchError, match=r"does not say how long the file is"):
            fetch(facts(server.url("f"), proven=False), tmp_path / "clip.bin")
        server.faults["f"] = [servers.without_length(cut_at=100_000), servers.without_length()]
        fetch(facts(server.url("f")), tmp_path / "clip.bin")
        server.faults["f"] = [servers.without_length(cut_at=100_000), servers.without_length()]
        fetch(facts(server.url("f"), proven=False, size_bytes=len(DATA)), tmp_path / "clip.2")
    assert (tmp_path / "clip.bin").read_bytes() == (tmp_path / "clip.2").read_bytes() == DATA


def test_a_redirect_is_followed_and_the_manifest_s_address_is_kept(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        server.faults["from"] = [servers.redirect("/f", code) for code in (301, 302, 303, 307, 308)]
        for code in (301, 302, 303, 307, 308):
            assert fetch(facts(server.url("from")), tmp_path / f"clip{code}").url == server.url("from")


def test_a_range_survives_a_redirect(tmp_path: Path):
    with FaultServer({"f": DATA}) as server:
        server.faults["from"] = [servers.redirect("/f"), servers.redirect("/f")]
        server.faults["f"] = [servers.truncated(100_000)]
        fetch(facts(server.url("from")), tmp_path / "clip.bin")
    assert [request.range for request in server.asked] == [None, None, "bytes=100000-", "bytes=100000-"]
    assert (tmp_path / "clip.bin").read_bytes() == DATA


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        ("http://example.org/f", True),
        ("//example.org/f", False),
        ("/f", False),
        ("https://example.org/f", False),
    ],
)
def test_a_redirect_never_leaves_encryption(target: str, refused: bool):
    response = requests.Response()
    response.url = "https://127.0.0.1/f"
    response.status_code = 302
    response.raw = io.BytesIO()
    response.headers["Location"] = target
    with Session() as session:
        if refused:
            with pytest.raises(MirrorError, match=r"from https to http://example.org/f"):
                session.get_redirect_target(response)
        else:
            assert session.get_redirect_target(response) == target


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate of this test")
def test_over_tls_certificates_are_checked_and_downgrades_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    with FaultServer({"f": DATA}) as plain, FaultServer({"f": DATA}, tls=context) as server:
        with pytest.raises(FetchError, match=r"encrypted connection .*certificate verify failed"):
            fetch(facts(server.url("f")), tmp_path / "clip.bin")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        server.faults["down"] = [servers.redirect(plain.url("f"))]
        with pytest.raises(FetchError, match=r"not encrypted: refused"):
            fetch(facts(server.url("down")), tmp_path / "clip.bin")
        assert plain.asked == []
        fetch(facts(server.url("f")), tmp_path / "clip.bin")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
        with pytest.raises(FetchError, match=r"missing.pem"):
            fetch(facts(server.url("f")), tmp_path / "clip.2")
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_proxies_of_the_environment_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with FaultServer({"http://files.invalid/f": DATA}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        fetch(facts("http://files.invalid/f"), tmp_path / "clip.bin")
    assert (tmp_path / "clip.bin").read_bytes() == DATA


def test_a_full_disk_is_one_sentence_and_leaves_no_final_name(tmp_path: Path):
    (tmp_path / "clip.bin.part").symlink_to("/dev/full")
    with FaultServer({"f": DATA}) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(http._Download, "_drop", lambda self: None)
        patch.setattr(Path, "touch", lambda self: None)
        with pytest.raises(SrDataError, match=r"demo/clip: the disk is full at .*Make room"):
            fetch(facts(server.url("f")), tmp_path / "clip.bin")
    assert not (tmp_path / "clip.bin").exists()


def test_a_disk_without_room_is_said_before_the_body_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    no_room = pytest.raises(SrDataError, match=r"demo/clip needs 300.0 kB, but .* only 1.0 kB free")
    with FaultServer({"f": DATA, "g": DATA}) as server, no_room:
        fetch(facts(server.url("f"), server.url("g")), tmp_path / "clip.bin")
    assert [request.path for request in server.asked] == ["f"]
    assert not (tmp_path / "clip.bin.part").exists()


FAULTS = {
    "200": servers.ignoring_range(),
    "shifted": servers.shifted(-7),
    "other-total": servers.partial_of_other_total(len(DATA) + 1),
    "other-etag": servers.partial_of_other_etag(),
    "unnamed": servers.partial_without_range(),
    "portion": servers.portion(80_000),
    "truncated": servers.truncated(65_000),
    "truncated-at-once": servers.truncated(0),
    "stalled": servers.stalled(90_000),
    "416": servers.status(416),
    "404": servers.status(404),
    "429": servers.status(429, {"Retry-After": "0"}),
    "500": servers.status(500),
    "circle": servers.redirect("/f"),
    "page": servers.page("No"),
    "short": servers.other_bytes(DATA[:-1]),
    "long": servers.other_bytes(DATA + b"x"),
    "other": servers.other_bytes(bytes(len(DATA))),
    "chunks": servers.chunked(),
    "cut-chunks": servers.chunked(cut_at=150_000, ended=False),
    "short-chunks": servers.chunked(cut_at=150_000),
    "no-length": servers.without_length(),
    "cut-no-length": servers.without_length(cut_at=70_000),
    "good": servers.good(),
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    runs=st.lists(st.lists(st.sampled_from(sorted(FAULTS)), max_size=6), min_size=1, max_size=3),
    sized=st.booleans(),
)
def test_no_sequence_of_faults_puts_a_wrong_byte_under_the_final_name(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[str]], sized: bool
):
    folder = tmp_path_factory.mktemp("run")
    patience = Patience(stall_seconds=0.1, retries=2, backoff_seconds=0, max_wait_seconds=0.1)
    with FaultServer({"f": DATA, "g": DATA}) as server:
        more = {"size_bytes": len(DATA)} if sized else {}
        file = facts(server.url("f"), server.url("g"), **more)
        for names in runs:
            server.faults = {
                "f": [FAULTS[name] for name in names],
                "g": [FAULTS[name] for name in names[::2]],
            }
            try:
                fetch(file, folder / "clip.bin", patience=patience)
            except FetchError:
                assert not (folder / "clip.bin").exists()
            else:
                assert (folder / "clip.bin").read_bytes() == DATA
                assert not (folder / "clip.bin.part").exists()
        server.faults = {}
        fetch(file, folder / "clip.bin")
    assert (folder / "clip.bin").read_bytes() == DATA
    shutil.rmtree(folder)


FETCH_SCRIPT = """
import sys
from pathlib import Path
from sr_datasets.fetch.http import fetch_file
from sr_datasets.manifest import FileFacts
from sr_datasets.progress import Silent

for url, sha256 in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
    file = FileFacts(mirrors=(url,), sha256=sha256)
    fetch_file(file, Path(sys.argv[1]) / url.rpartition("/")[2], progress=Silent())
"""


def start_fetch(server: FaultServer, folder: Path, names: list[str]) -> "subprocess.Popen[bytes]":
    arguments = [text for name in names for text in (server.url(name), sha256_of_bytes(server.files[name]))]
    source = str(Path(http.__file__).parents[2])
    command = [sys.executable, "-c", FETCH_SCRIPT, str(folder), *arguments]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": source})


def sha256_of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_fetch_that_is_killed_goes_on_where_it_was(tmp_path: Path):
    draws = random.Random(3)
    names = [f"f{index}" for index in range(4)]

    def came() -> int:
        return servers.bytes_in(tmp_path, "f?", "f?.part")

    with FaultServer({name: draws.randbytes(4_000_000) for name in names}, limit_bytes=0) as server:
        kills = 0
        for _ in range(5):
            more = draws.randrange(200_000, 2_500_000)
            goal = came() + more
            # The fetch is not over before it is killed; what was under way to the one before takes a few pieces.
            server.limit_bytes = server.body_bytes() + more + 4 * server.piece_bytes
            process = start_fetch(server, tmp_path, names)
            end = time.monotonic() + 60
            while process.poll() is None and came() < goal and time.monotonic() < end:
                time.sleep(0.001)
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
            finished = [name for name in names if (tmp_path / name).exists()]
            assert all((tmp_path / name).read_bytes() == server.files[name] for name in finished)
        server.limit_bytes = None
        assert start_fetch(server, tmp_path, names).wait() == 0

    assert kills == 5
    assert all((tmp_path / name).read_bytes() == server.files[name] for name in names)
    assert sum(request.range is not None for request in server.asked) >= 3
    # What the server had given to the sockets when the process died is lost, at most their buffers.
    assert server.body_bytes() - 4 * 4_000_000 < kills * 3_000_000


def test_two_processes_fetch_the_same_file_once(tmp_path: Path):
    with FaultServer({"f": bytes(2_000_000)}, delay_seconds=0.005) as server:
        processes = [start_fetch(server, tmp_path, ["f"]) for _ in range(2)]
        assert [process.wait() for process in processes] == [0, 0]
    assert len(server.asked) == 1
    assert (tmp_path / "f").read_bytes() == bytes(2_000_000)


def test_a_write_back_that_failed_is_told_even_though_the_kernel_tells_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    called = threading.Event()

    def failing(handle: int) -> None:
        called.set()
        raise OSError(errno.EIO, "Input/output error")

    with (tmp_path / "file").open("wb", buffering=0) as file:
        monkeypatch.setattr(os, "fsync", failing)
        disk = SyncedBehind(file.fileno())
        disk.wrote(64 << 20)
        assert called.wait(10)
        with pytest.raises(OSError, match="Input/output error"):
            disk.__exit__(None, None, None)


def test_what_was_written_is_synced_while_more_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.set())
    with (tmp_path / "file").open("wb", buffering=0) as file, SyncedBehind(file.fileno()) as disk:
        disk.wrote(1)
        assert not synced.wait(0.05)
        disk.wrote(64 << 20)
        assert synced.wait(10)
