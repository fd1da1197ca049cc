"""Writes scripts/locked/: every package that our scripts install, with the hashes of all files of its release.

scripts/constraints.txt says which versions of the packages that we name; what they need in turn is resolved here, for all
Pythons and systems at once. Needs `uv` (pip install uv). Options go to `uv pip compile`: --upgrade, --upgrade-package NAME.

    python scripts/lock_requirements.py
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKED = ROOT / "scripts" / "locked"
CONSTRAINTS = "scripts/constraints.txt"
WHOLE = "torch,7z,docs,test"
"""What scripts/test installs; the other lists are parts of it, so that all have the same versions."""
PARTS = ("torch",)
CPU_BUILD = """\
# A build for CPython 3.11 on Linux, x86_64, where pip finds it: the release's own for Linux is for CUDA, several GB.
torch==2.13.0+cpu \\
    --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"""
FOR_CUDA = re.compile(r"(nvidia|cuda|triton)\b")
"""What only a CUDA build of PyTorch needs."""


def main(options: list[str]) -> None:
    """Write the lists."""
    LOCKED.mkdir(exist_ok=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    # hatchling needs `editables` for an editable installation, and says so only when it is asked.
    build = [*project["build-system"]["requires"], "editables>=0.5", "setuptools"]
    # What the list says by now is kept, where it can be.
    with_cuda = LOCKED / name_of(WHOLE)
    compiled(WHOLE, build, [CONSTRAINTS], [*options, "--output-file", str(with_cuda)])
    whole = with_cuda.read_text()
    lists = {extras: compiled(extras, build, [str(with_cuda)], []) for extras in (*PARTS, "")}
    write(name_of(WHOLE), [block for block in blocks(whole) if not FOR_CUDA.match(block)])
    for extras, text in lists.items():
        write(name_of(extras), [block for block in blocks(text) if not FOR_CUDA.match(block)])
    write("torch-cpu.txt", [CPU_BUILD])
    write("cuda.txt", [block for block in blocks(whole) if FOR_CUDA.match(block)])


def name_of(extras: str) -> str:
    return f"{extras.replace(',', '-') or 'build'}.txt"


def compiled(extras: str, build: list[str], constraints: list[str], options: list[str]) -> str:
    """Resolve extras of the package and what builds it; without extras, only the latter."""
    command = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--generate-hashes",
        "--python-version",
        "3.11",
    ]
    command += ["--no-header", "--no-annotate", *options]
    for file in constraints:
        command += ["--constraint", file]
    if extras:
        command += ["pyproject.toml", *(part for extra in extras.split(",") for part in ("--extra", extra))]
    command.append("-")
    done = subprocess.run(
        command, cwd=ROOT, input="\n".join(build), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def blocks(text: str) -> list[str]:
    """Return each package with its hashes, as it stands in the file."""
    return re.findall(r"^\S.*(?:\n[ \t].*)*", text, re.MULTILINE)


def write(name: str, packages: list[str]) -> None:
    head = "# Written by scripts/lock_requirements.py."
    (LOCKED / name).write_text("\n".join([head, *packages]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
