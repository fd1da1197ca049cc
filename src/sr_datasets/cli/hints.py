"""What commands tell people to type, so that it works as it is pasted: the program as it was started, the store as named.

The library says ``sr-data fetch xiph``. Here that becomes ``.venv/bin/sr-data fetch --store /data xiph`` where it has to.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

_COMMAND = re.compile(r"(?<![\w./-])(?<!same )sr-data ([a-z]+(?:-[a-z]+)*)(?![\w.-])(?! --store)")

_store: Path | None = None


def note_store(store: Path | None) -> None:
    """Note the data folder that the user named, or that none was."""
    global _store
    _store = store


def as_typed(text: str) -> str:
    """Return a text whose commands can be pasted.

    Args:
        text: What the library says; commands in it begin with ``sr-data``.
    """
    from typer.main import get_command

    from sr_datasets.cli.app import app

    commands = getattr(get_command(app), "commands", {})

    def typed(found: re.Match[str]) -> str:
        if (command := commands.get(found[1])) is None:
            return found[0]
        takes_store = any(parameter.name == "store" for parameter in command.params)
        store = f" --store {shlex.quote(str(_store))}" if _store is not None and takes_store else ""
        return f"{program()} {found[1]}{store}"

    return _COMMAND.sub(typed, text)


def program() -> str:
    """Return what starts this program in the same shell, as it was started."""
    started = Path(sys.argv[0])
    if started.parts[-3:] == ("sr_datasets", "cli", "__main__.py"):
        return f"{_python()} -m sr_datasets.cli"
    if started.name != "sr-data":
        return "sr-data"  # called by another program
    found = shutil.which("sr-data")
    return "sr-data" if found is not None and _is_same(found, started) else shlex.quote(str(started))


def how_to_go_on(words: Sequence[str], more: Sequence[str]) -> str:
    """Return the line that goes on with a command that was interrupted.

    Args:
        words: Its own words.
        more: Options that it needs beside them.
    """
    end = words.index("--") if "--" in words else len(words)
    line = f"{program()} {shlex.join([*words[:end], *more, *words[end:]])}"
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return line
    count, total = (os.environ.get(name, "1") for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    where = "" if count == total else "(on each machine, with its options of torchrun as before) "
    return f"{where}torchrun --nproc-per-node={count} {line.removeprefix(f'{_python()} ')}"


def _python() -> str:
    # By name and not by file: the python of a virtual environment is a link to one without its packages.
    for name in ("python", "python3"):
        if (found := shutil.which(name)) is not None and os.path.abspath(found) == sys.executable:  # noqa: PTH100
            return name
    return shlex.quote(sys.executable)


def _is_same(found: str, started: Path) -> bool:
    try:
        return started.samefile(found)
    except OSError:
        return False
