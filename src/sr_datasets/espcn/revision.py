"""Which state of the source a model was trained by, when the package runs from a checkout."""

import functools
import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_LONGEST_SECONDS = 10


@functools.cache
def git_revision() -> str | None:
    """Return the commit of the checkout that the package runs from, ``-dirty`` when its files were changed since.

    None of an installed package, where there is no git, or where it does not answer. Asked once per process.
    """
    root = _PACKAGE.parents[1]
    if not (root / ".git").exists() or not (root / "pyproject.toml").is_file():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", str(_PACKAGE))
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=_LONGEST_SECONDS,
    )
    return done.stdout.strip()
