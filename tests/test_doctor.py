"""``sr-data doctor``: what works, what is missing, what is broken; and the exit code that says so."""

import errno
import fcntl
import json
import os
import shutil
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from made import made_store
from typer.testing import CliRunner

from sr_datasets.cli.main import app
from sr_datasets.doctor import Check, examine, machine, render, software, stored
from sr_datasets.fetch.failures import Patience
from sr_datasets.fetch.reach import reach
from sr_datasets.store import LOCK_NAME, Store

ROOT = Path(__file__).parents[1]


def requirements_of_the_project() -> list[str]:
    """Return what a built package's metadata has as ``Requires-Dist``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"] + [
        f"{line}; extra == '{extra}'"
        for extra, lines in project["optional-dependencies"].items()
        for line in lines
    ]


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {f"{check.topic}/{check.name}": check for check in checks}


def test_all_is_well_with_a_small_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = made_store(tmp_path, monkeypatch)

    found = by_name(examine(store))

    assert [check for check in found.values() if check.state == "broken"] == []
    assert found["store/clips"].facts["clips"] == 5
    assert "5 checked against no published checksum" in found["store/clips"].found
    assert found["store/lock"].found == "free"
    assert found["codecs/x264"].found.startswith("libx264")
    assert found["disk/space"].facts["free_bytes"] > 0
    assert found["catalog/manifests"].facts["sources"] > 20
    assert not any(check.topic == "network" for check in found.values())


def test_looking_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = made_store(tmp_path, monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}

    examine(store)

    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path != store.root} == {
        path: time for path, time in before.items() if path != store.root
    }
    missing = tmp_path / "none"
    examine(Store(missing))
    assert not missing.exists()


def test_files_that_are_gone_changed_begun_or_foreign_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = made_store(tmp_path, monkeypatch)
    (store.root / "made" / "clip0.y4m").unlink()
    with (store.root / "made" / "clip1.y4m").open("ab") as file:
        file.write(b"more")
    (store.root / "made" / "holiday.mp4").write_bytes(b"mine")
    store.incoming("made").mkdir()
    (store.incoming("made") / "next.y4m.part").write_bytes(b"x" * 1000)

    found = by_name(list(stored.check_store(store)))

    assert found["store/files"].state == "broken"
    assert set(found["store/files"].facts["problems"]) == {"made/clip0", "made/clip1"}
    assert "clip0.y4m is missing" in found["store/files"].found
    assert found["store/unknown"].facts["files"] == ["made/holiday.mp4"]
    assert found["store/begun"].facts == {"files": 1, "size_bytes": 1000}
    assert {found["store/unknown"].state, found["store/begun"].state} == {"note"}


@pytest.mark.parametrize(
    ("name", "word"), [(LOCK_NAME, "lock file"), ("recipes.lock", "not of this version")]
)
def test_lists_that_cannot_be_read_are_broken(
    name: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = made_store(tmp_path, monkeypatch)
    (store.root / name).write_text("{")

    found = by_name(list(stored.check_store(Store(store.root))))

    assert found[f"store/{name}"].state == "broken"
    assert word in found[f"store/{name}"].found


@pytest.mark.parametrize("is_loop", [True, False])
@pytest.mark.parametrize(
    "name", [LOCK_NAME, f"{LOCK_NAME}.journal", "sets.json", "terms.jsonl", "forgetting.json"]
)
def test_a_folder_or_a_loop_of_links_in_place_of_a_file_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_loop: bool
):
    store = made_store(tmp_path, monkeypatch)
    (store.root / name).unlink(missing_ok=True)
    if is_loop:
        (store.root / name).symlink_to(store.root / name)
    else:
        (store.root / name).mkdir()

    broken = [check for check in stored.check_store(Store(store.root)) if check.state == "broken"]

    assert [check.name for check in broken] == [name.replace("forgetting.json", "forget")]
    assert os.strerror(errno.ELOOP if is_loop else errno.EISDIR) in broken[0].found


def test_a_file_in_place_of_the_folder_of_locks_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = made_store(tmp_path, monkeypatch)
    shutil.rmtree(store.root / ".locks")
    (store.root / ".locks").touch()

    check = by_name(list(stored.check_store(store)))["store/lock"]

    assert (check.state, check.found) == ("broken", f"{store.root / '.locks'} is no folder")


@pytest.mark.parametrize(("lines", "state"), [(1, "note"), (3, "broken")])
def test_lines_of_accepted_terms_that_cannot_be_read_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int, state: str
):
    store = made_store(tmp_path, monkeypatch)
    (store.root / "terms.jsonl").write_bytes(b"\xff{rubbish\n" * lines)

    checks = [check for check in stored.check_store(store) if check.name == "terms.jsonl"]

    assert [check.state for check in checks] == ["ok", state]
    assert f"{lines} line" in checks[1].found


def test_a_forgetting_that_was_interrupted_is_told_and_a_damaged_plan_of_one_is_not_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = made_store(tmp_path, monkeypatch)
    plan = store.root / "forgetting.json"
    plan.write_text('{"format": 1, "clips": ["made/clip1"], "paths": [], "folders": []}')
    check = by_name(list(stored.check_store(store)))["store/forget"]
    assert (check.state, check.fix) == ("broken", "sr-data forget")
    assert "1 clip" in check.found
    plan.write_text("{")
    check = by_name(list(stored.check_store(store)))["store/forget"]
    assert (check.state, check.fix) == ("broken", "")
    assert "Move it away, and name the clips to sr-data forget again" in check.found


def test_places_that_cannot_be_looked_at_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = made_store(tmp_path, monkeypatch)
    closed = store.root / "made" / "closed"
    closed.touch()
    (store.root / "made" / "nowhere").symlink_to(tmp_path / "nowhere")
    stat = Path.stat

    def refused(path: Path, **options: bool) -> os.stat_result:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    check = by_name(list(stored.check_store(store)))["store/unread"]

    assert (check.state, check.facts) == ("broken", {"places": [f"{closed}: Permission denied"]})


@pytest.mark.parametrize("below", ["", "store/deeper"])
def test_a_file_in_place_of_the_store_is_broken_and_every_command_says_what_to_do(
    tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("SR_DATA_HOME", str(tmp_path / "file" / below))

    check = by_name(list(stored.check_store(Store())))["store/folder"]

    assert (check.state, check.found) == ("broken", f"{tmp_path / 'file'} is a file")
    assert "SR_DATA_HOME" in check.fix
    for command in (
        ["fetch", "demo"],
        ["list"],
        ["verify"],
        ["build-pairs", "demo", "--out", str(tmp_path / "set")],
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert "is a file, or lies in one. Name a folder: --store, or SR_DATA_HOME." in str(result.exception)


def test_a_process_at_work_on_the_store_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = made_store(tmp_path, monkeypatch)
    with (store.root / ".locks" / "lock").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (found,) = [check for check in stored.check_store(store) if check.name == "lock"]

    assert (found.state, found.found) == ("note", "another process is at work on it: lock")


def test_every_line_of_the_projects_requirements_is_understood():
    for line in requirements_of_the_project():
        one = software.parse_requirement(line)
        lowest = next(version for operator, version in one.bounds if operator == ">=")
        assert one.allows(lowest), line
        assert not one.allows("0"), line


def test_what_each_extra_is_for_is_known_of_all_that_users_install():
    extras = {software.parse_requirement(line).extra for line in requirements_of_the_project()}

    assert extras - {None, "test", "bench", "docs"} <= set(software.EXTRAS)


def test_the_pythons_that_it_knows_are_those_of_the_classifiers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tried = [line.rpartition(" ")[2] for line in project["classifiers"] if ":: 3." in line]

    assert [".".join(map(str, each)) for each in software._PYTHONS] == [tried[0], tried[-1]]


def test_packages_that_are_missing_or_too_old_are_broken_and_extras_that_are_missing_are_notes():
    here = {"numpy": "2.4.6", "av": "17.1.0", "torch": "2.13.0+cpu"}
    lines = [
        "av<20,>=18",
        "numpy>=2.0",
        "rich>=13.9",
        "torch<3,>=2.6; extra == 'torch'",
        "safetensors>=0.5; extra == 'torch'",
        "yt-dlp[default]>=2025.11.12; extra == 'youtube'",
        "pytest>=8; extra == 'test'",
    ]

    versions = by_name(list(software.check_versions(lines, here.get)))
    extras = by_name(list(software.check_extras(lines, here.get)))

    assert versions["versions/numpy"].state == "ok"
    assert versions["versions/av"].found == "17.1.0; sr-datasets needs <20,>=18"
    assert (versions["versions/rich"].state, versions["versions/rich"].fix) == (
        "broken",
        "pip install 'rich>=13.9'",
    )
    assert extras["extras/torch"].found.startswith("safetensors is missing: PairDataset")
    assert extras["extras/youtube"].fix == "pip install 'sr-datasets[youtube]'"
    assert {check.state for check in extras.values()} == {"note"}
    assert set(extras) == {"extras/torch", "extras/youtube"}


def test_a_build_of_pyav_that_lacks_codecs_is_told(monkeypatch: pytest.MonkeyPatch):
    from sr_datasets.degrade import codec
    from sr_datasets.video import decoders

    monkeypatch.setitem(decoders.DECODERS, "hevc", ("no-such-decoder",))
    monkeypatch.setattr(codec, "_ENCODERS", {**codec._ENCODERS, "av1": "no-such-encoder"})
    codec._missing.cache_clear()
    codec.encoder_of.cache_clear()
    try:
        found = by_name(list(software.check_codecs()))
    finally:
        codec._missing.cache_clear()
        codec.encoder_of.cache_clear()

    assert (found["codecs/decoders"].state, found["codecs/decoders"].facts["missing"]) == ("broken", ["hevc"])
    assert found["codecs/av1"].state == "note"
    assert found["codecs/x264"].state == "ok"


def test_a_full_disk_and_a_folder_that_cannot_be_written_are_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5_000_000})())
    monkeypatch.setattr(machine.os, "access", lambda *_: False)

    found = by_name(list(machine.check_disk(tmp_path / "store")))

    assert found["disk/space"].state == "broken"
    assert "5.0 MB free" in found["disk/space"].found
    assert found["disk/writing"].state == "broken"


def test_the_kind_of_a_file_system_is_that_of_the_deepest_mount():
    if not Path("/proc/self/mountinfo").is_file():
        pytest.skip("needs Linux")
    assert machine.filesystem_of(Path("/proc/self")) == "proc"


def test_hosts_that_answer_refuse_or_are_not_there_are_told_apart():
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response({"/a.y4m": 200, "/gone.y4m": 404}.get(self.path, 503))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_port}"
    urls = [f"{base}/a.y4m", f"{base}/gone.y4m", f"{base}/busy.y4m"]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        answers = reach(urls, patience=Patience())
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    (dead,) = reach(urls[:1], patience=Patience())

    assert [answer.status for answer in answers] == [200, 404, 503]
    # A file that is refused or gone is the file's fault; the host is there.
    assert [answer.reached for answer in answers] == [True, True, False]
    assert (dead.reached, dead.status) == (False, None)
    assert "was not reached" in dead.words


def test_network_asks_each_host_once_and_only_when_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from sr_datasets.fetch import reach as reaching

    asked: list[str] = []

    def answer(urls: list[str]) -> list[reaching.Answer]:
        asked.extend(urls)
        return [reaching.Answer(url, 0.1, 200 if "xiph" in url else None, "said so") for url in urls]

    monkeypatch.setattr(reaching, "reach", answer)
    found = [check for check in examine(Store(tmp_path), network=True) if check.topic == "network"]

    hosts = [check.name for check in found]
    assert len(hosts) == len(set(hosts)) == len(asked) > 5
    assert by_name(found)["network/media.xiph.org"].state == "ok"
    assert {check.state for check in found if "xiph" not in check.name} == {"broken"}


def test_the_text_fits_80_columns_and_ends_with_the_sum():
    checks = [
        Check("versions", "python", "ok", "3.11.7"),
        Check("store", "unknown", "note", "word " * 40, "sr-data import SOURCE PATH"),
        Check("store", "files", "broken", "1 clip:\na.y4m is missing"),
    ]

    lines = render(checks).splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[:2] == ["versions", "  ok      python   3.11.7"]
    assert "  broken  files    1 clip:" in lines
    assert lines[-1] == "1 broken, 1 note"


def test_the_command_has_exit_code_1_when_something_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = made_store(tmp_path, monkeypatch)

    well = CliRunner().invoke(app, ["doctor", "--store", str(store.root)])
    (store.root / LOCK_NAME).write_text("{")
    ill = CliRunner().invoke(app, ["doctor", "--store", str(store.root), "--json"])

    assert well.exit_code == 0, well.output
    assert "nothing is broken" in well.stdout
    assert max(len(line) for line in well.stdout.splitlines() if str(tmp_path) not in line) <= 80
    assert ill.exit_code == 1
    told = json.loads(ill.stdout)
    assert told["broken"] == 1
    assert [check["name"] for check in told["checks"] if check["state"] == "broken"] == [LOCK_NAME]


def test_it_works_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)

    (found,) = machine.check_gpu()

    assert (found.state, found.found) == ("note", "not looked for: torch is not installed")


@pytest.mark.torch
def test_a_gpu_that_computes_and_one_that_does_not_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch", reason="needs the torch extra")
    from sr_datasets.espcn import devices

    def computes(index: int) -> bool:
        if index == 2:
            raise RuntimeError("no kernel image is available\nmore")
        return index == 0

    gpus = [devices.Gpu(name, "9.0", 80_000_000_000, 79_000_000_000) for name in ("good", "wrong", "old")]
    monkeypatch.setattr(devices, "gpus", lambda: gpus)
    monkeypatch.setattr(devices, "cuda_build", lambda: "12.8")
    monkeypatch.setattr(devices, "computes", computes)

    good, wrong, old = machine.check_gpu()

    assert (good.state, good.found) == ("ok", "good, 79.0 GB of 80.0 GB free, CUDA 12.8")
    assert (wrong.state, wrong.found.endswith("differs from the CPU's")) == ("broken", True)
    assert (old.state, old.found) == ("broken", "old fails: no kernel image is available")
