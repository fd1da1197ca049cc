"""Looks whether a package that our scripts install has a known hole: exit code 1 if so.

Asks pip-audit, which comes with the packages of scripts/test. Its data lie in the network; where they cannot be reached, or
know nothing of our packages, that is said, and is no failure. Options go to pip-audit, such as `--ignore-vuln ID` for a hole
that does not concern us.

    .venv/bin/python scripts/audit.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LISTS = Path(__file__).parent / "locked"
SERVICES = ("pypi", "osv")
SECONDS = 5
KNOWN = "urllib3==1.24.1\n"
"""A version with published holes: who knows of none has no data."""


def main(options: list[str]) -> int:
    """Audit every list and say what was found."""
    packages = "".join(path.read_text() for path in (LISTS / "torch-7z-docs-test.txt", LISTS / "cuda.txt"))
    named = options.index("--vulnerability-service") + 1 if "--vulnerability-service" in options else None
    services = SERVICES if named is None else (options[named],)
    for service in services:
        asked = [*options, "--vulnerability-service", service] if named is None else options
        told = answers_of(KNOWN, asked, "--no-deps", 6 * SECONDS if named is None else 600)
        if told and told[0]["vulns"]:
            break
    else:
        print("known holes: not checked, since the data of pip-audit cannot be reached from here")
        return 0
    known = answers_of(packages, asked, "--require-hashes", 600)
    if not known:
        print("known holes: not checked, since the data of pip-audit ceased to come")
        return 0
    holes = 0
    for package in known:
        for hole in package["vulns"]:
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {hole['id']}, fixed in {fixed}")
            holes += 1
    print(f"known holes: {holes or 'none'} in {len(known)} packages")
    if holes:
        print("Take versions without them: scripts/constraints.txt, then scripts/lock_requirements.py.")
    return 1 if holes else 0


def answers_of(packages: str, options: list[str], how: str, seconds: int) -> list[dict[str, Any]]:
    """Return what pip-audit knows of packages; nothing where it cannot be asked, or knows none of them."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(packages)
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", how, "--requirement", file.name]
        command += ["--format", "json", "--progress-spinner", "off", "--timeout", str(SECONDS), *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
            return [one for one in json.loads(done.stdout)["dependencies"] if "vulns" in one]
        except (subprocess.TimeoutExpired, ValueError):
            return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
