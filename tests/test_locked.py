"""The lists of packages that our scripts install: whole, hashed, what pyproject.toml asks for, and looked up for holes."""

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCKED = ROOT / "scripts" / "locked"
PINS = re.compile(
    r"^([a-z0-9-]+)==(\S+)(?: ; .*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def pins_of(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package, version, _ in PINS.findall((LOCKED / name).read_text()):
        found.setdefault(package, set()).add(version)
    return found


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("path", sorted(LOCKED.iterdir()), ids=lambda path: path.name)
def test_each_line_of_a_list_is_a_version_with_hashes_or_a_remark(path: Path):
    rest = PINS.sub("", path.read_text()).splitlines()
    assert all(line.startswith("# ") for line in rest) or path.name == "torch-cpu.txt"
    assert "--hash=sha256:" in path.read_text()


@pytest.mark.parametrize("extras", ["torch", "torch,7z,docs,test"])
def test_a_list_has_what_pyproject_asks_for(extras: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in extras.split(","):
        wanted += project["project"]["optional-dependencies"][extra]
    pins = pins_of(f"{extras.replace(',', '-')}.txt")

    for line in wanted:
        requirement = Requirement(line)
        versions = pins.get(plain(requirement.name), set())
        assert versions, f"{line}: run scripts/lock_requirements.py"
        assert all(requirement.specifier.contains(version) for version in versions), line


def test_the_lists_hold_the_versions_of_the_constraints_and_agree():
    whole = pins_of("torch-7z-docs-test.txt")
    for line in (ROOT / "scripts" / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert whole[plain(name)] == {version}, f"{line}: run scripts/lock_requirements.py"
    for part in ("torch.txt", "build.txt"):
        for name, versions in pins_of(part).items():
            assert versions <= whole[name]


@contextmanager
def holes_of(**names: str) -> Iterator[str]:
    """Serve what the database of OSV would answer if these versions of packages had a hole."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            package = asked["package"]["name"]
            fixed = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}]
            hole = {
                "id": "PYSEC-0000-1", "aliases": [], "summary": "A hole.", "modified": "2026-01-01T00:00:00Z",
                "affected": [{"package": {"name": package, "ecosystem": "PyPI"}, "ranges": fixed}],
            }  # fmt: skip
            answer = {"vulns": [hole]} if names.get(package) in ("any", asked["version"]) else {}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(url: str, cache: Path) -> tuple[int, str]:
    pytest.importorskip("pip_audit")
    command = [sys.executable, "scripts/audit.py", "--vulnerability-service", "osv", "--osv-url", url]
    command += ["--cache-dir", str(cache), "--timeout", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_known_hole_fails_with_the_version_that_has_none(tmp_path: Path):
    with holes_of(urllib3="1.24.1", jinja2="any") as url:
        code, said = audit(url, tmp_path)
    assert code == 1
    assert re.search(r"^jinja2 \S+: PYSEC-0000-1, fixed in 99\.0$", said, re.MULTILINE)
    assert "known holes: 1 in " in said


def test_without_holes_the_number_of_packages_is_told(tmp_path: Path):
    with holes_of(urllib3="1.24.1") as url:
        code, said = audit(url, tmp_path)
    assert code == 0
    assert re.fullmatch(r"known holes: none in 1\d\d packages\n", said)


def test_where_nobody_answers_or_knows_anything_it_is_said_that_nothing_was_checked(tmp_path: Path):
    with holes_of() as url:
        answers = [audit(url, tmp_path), audit("http://127.0.0.1:9/v1/query", tmp_path)]
    for code, said in answers:
        assert code == 0
        assert said.startswith("known holes: not checked")
