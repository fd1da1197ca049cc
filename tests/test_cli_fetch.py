"""``sr-data fetch`` and ``verify``: options in, events and plans out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from servers import FaultServer
from typer.testing import CliRunner, Result

from sr_datasets.cli.console import _Meter, done_text
from sr_datasets.cli.main import app

HEADER = b"YUV4MPEG2 W16 H8 F25:1 Ip A1:1 C420jpeg\n"
DATA = HEADER + b"".join(b"FRAME\n" + bytes([number]) * 192 for number in range(200))


@pytest.fixture
def server() -> FaultServer:
    with FaultServer({"a.y4m": DATA, "b.y4m": DATA}) as running:
        yield running


@pytest.fixture
def manifest(tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SR_DATA_HOME", str(tmp_path / "store"))
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    fields = {
        "format": 1,
        "id": "lab",
        "title": "A lab",
        "description": "For tests.",
        "access": "download",
        "terms": "Research only.",
        "citation": {"text": "Nobody"},
        "licenses": {"none": {"name": "none stated"}},
        "license": "none",
        "clips": [
            {"id": name, "mirrors": [server.url(f"{name}.y4m")], "evidence": {"mirrors": "SEEN here"}}
            for name in "ab"
        ],
    }
    path = tmp_path / "lab.yaml"
    path.write_text(yaml.safe_dump(fields, sort_keys=False))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_dry_run_lists_files_and_asks_nothing(manifest: Path, server: FaultServer, tmp_path: Path):
    result = run("fetch", "lab", "--manifest", str(manifest), "--dry-run")
    assert result.exit_code == 0, result.output
    for words in (
        "lab/a",
        "structure",
        "none stated",
        "2 files to fetch",
        "free on the disk",
        "--accept-terms lab",
    ):
        assert words in result.output
    plan = json.loads(run("fetch", "lab/a", "--manifest", str(manifest), "--dry-run", "--json").output)
    assert plan["terms_to_accept"] == ["lab"]
    assert [file["url"] for file in plan["files"]] == [server.url("a.y4m")]
    assert server.asked == []
    assert not (tmp_path / "store").exists()


def test_terms_are_accepted_once_by_an_option_and_never_by_silence(
    manifest: Path, server: FaultServer, tmp_path: Path
):
    refused = run("fetch", "lab", "--manifest", str(manifest))
    assert refused.exit_code != 0
    assert "its terms must be accepted first" in str(refused.exception)
    assert server.asked == []
    accepted = run("fetch", "lab/a", "--manifest", str(manifest), "--accept-terms", "lab")
    assert accepted.exit_code == 0, accepted.output
    assert run("fetch", "lab", "--manifest", str(manifest)).exit_code == 0
    assert len((tmp_path / "store" / "terms.jsonl").read_text().splitlines()) == 1


def test_events_are_json_lines_that_end_in_done_or_error(manifest: Path, server: FaultServer):
    options = ["fetch", "lab", "--manifest", str(manifest), "--json", "--accept-terms", "lab"]
    events = [json.loads(line) for line in run(*options, "--limit-rate", "10M").stdout.splitlines()]
    assert events[-1] == {"event": "done", "fetched": 2, "present": 0, "size_bytes": 2 * len(DATA)}
    assert {event["event"] for event in events} >= {"start", "end", "clip"}
    server.files.clear()
    events = [json.loads(line) for line in run(*options, "--force").stdout.splitlines()]
    assert events[-1]["event"] == "error"
    assert "404 Not Found" in events[-1]["error"]


def test_a_store_locks_itself_and_is_repaired(manifest: Path, server: FaultServer, tmp_path: Path):
    options = ["--manifest", str(manifest)]
    run("fetch", "lab", *options, "--accept-terms", "lab")
    assert run("fetch", "lab", *options, "--locked").exit_code == 0
    (tmp_path / "store" / "lab" / "b.y4m").unlink()
    problems = json.loads(run("verify", *options, "--json").stdout.partition("\n}\n")[0] + "}")["problems"]
    assert [problem["id"] for problem in problems] == ["lab/b"]
    assert "sr-data verify --repair" in str(run("verify", *options).exception)
    server.asked.clear()
    assert "repaired: 1 clip fetched" in run("verify", *options, "--repair").stdout
    assert [request.path for request in server.asked] == ["b.y4m"]
    assert "everything is what it was" in run("verify", *options, "--full").stdout
    elsewhere = run("fetch", "lab", *options, "--lock", str(tmp_path / "none.lock"))
    assert "none.lock cannot be read" in str(elsewhere.exception)


@pytest.mark.parametrize(
    "wrong", [["--limit-rate", "fast"], ["--limit-rate", "0"], ["--jobs", "0"], ["--force", "--locked"]]
)
def test_options_that_make_no_sense_are_usage_errors(manifest: Path, wrong: list[str]):
    assert run("fetch", "lab", "--manifest", str(manifest), *wrong).exit_code == 2


def test_the_pace_counts_what_this_run_did(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    meter = _Meter("a", 3_000_000, "bytes")
    meter.advance(1_000_000, present=True)
    now[0] = 102.0
    meter.advance(1_000_000)
    assert meter.pace() == "500.0 kB/s, 2 s left"
    assert done_text(meter.done, meter.total, meter.unit) == "2.0 MB of 3.0 MB"
    meter.expect(1_000_000_000)
    assert meter.pace() == "500.0 kB/s, 33 min left"


def test_bars_on_a_terminal_show_files_and_the_sum(manifest: Path, server: FaultServer):
    pty = pytest.importorskip("pty")
    words = (b"all files", b"lab/a", b"lab/b", b"kB/s", b" left")
    server.files = {f"{name}.y4m": DATA + 10 * DATA.removeprefix(HEADER) for name in "ab"}
    server.delay_seconds, server.piece_bytes = 0.05, 1024  # for 20 s, or until all words were seen
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sr_datasets.cli", "fetch", "lab", "--manifest", str(manifest), "--accept-terms", "lab"],
        stderr=follower, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src"), "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
        if all(word in shown for word in words):
            server.delay_seconds, server.piece_bytes = 0, 1 << 16
    os.close(leader)
    assert process.wait() == 0, shown
    for word in words:
        assert word in shown
