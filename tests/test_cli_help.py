"""``--help`` of every command: examples that are real commands, 80 columns; completion in the shell."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from sr_datasets.cli.app import complete_selection
from sr_datasets.cli.main import app
from sr_datasets.errors import ManifestError

SOURCE = Path(__file__).parents[1] / "src"


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, each in sorted(getattr(command, "commands", {}).items()):
        yield from commands(each, f"{path} {name}")
    if path != "sr-data":
        yield path, command


COMMANDS = dict(commands(get_command(app), "sr-data"))


def help_of(path: str) -> str:
    command = COMMANDS[path]
    context = command.make_context(path, [], resilient_parsing=True, terminal_width=80, max_content_width=80)
    return str(command.get_help(context))


def parse(words: list[str]) -> None:
    """Let a command read its words, without running it; a usage error is an exception."""
    context = get_command(app).make_context("sr-data", list(words))
    while found := getattr(context.command, "commands", None):
        rest = [*context._protected_args, *context.args]
        context = found[rest[0]].make_context(rest[0], rest[1:], parent=context)


def split_at_pipes(line: str) -> list[list[str]]:
    """Return the commands of a line of shell as words, without what goes to and comes from files."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|<>&;"):
            found.append([])
        else:
            found[-1].append(word)
    return found


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_examples_that_are_commands(path: str):
    text = help_of(path)
    examples = re.findall(
        r"^ +(sr-data .*|torchrun .*)$", text.partition("\n\nOptions:")[0], flags=re.MULTILINE
    )

    assert re.search(r"^  Examples?:$", text, flags=re.MULTILINE)
    assert examples
    assert examples[0].startswith((path, "torchrun"))
    for example in examples:
        for words in split_at_pipes(example):
            if words[0] == "sr-data":
                with suppress(ManifestError):  # that of an example is not there
                    parse(words[1:])


@pytest.mark.parametrize("path", COMMANDS)
def test_help_fits_80_columns_and_explains_every_option(path: str):
    assert max(map(len, help_of(path).splitlines())) <= 80
    for parameter in COMMANDS[path].params:
        assert getattr(parameter, "help", None), f"{path}: {parameter.name} has no help"


def shell(script: str, home: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``sr-data`` is this checkout's."""
    program = home / "bin" / "sr-data"
    if not program.is_file():
        program.parent.mkdir()
        start = 'import sys; sys.argv[0] = "sr-data"; from sr_datasets.cli.main import main; main()'
        program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{start}' \"$@\"\n")
        program.chmod(0o755)
    environment = {
        "HOME": str(home),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
    }
    return subprocess.run(
        ["bash", "-c", script], env=environment | extra, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sr-data do", ["doctor"]),
        ("sr-data build", ["build-pairs"]),
        ("sr-data fetch --lock", ["--locked", "--lock"]),
        ("sr-data manifest s", ["schema"]),
        ("sr-data fetch vi", ["vid4", "vimeo-90k"]),
        ("sr-data build-pairs cd", ["cdvl-30"]),
        ("sr-data show vid4/c", ["vid4/calendar", "vid4/city"]),
    ],
)
def test_bash_is_told_what_fits(words: str, expected: list[str], tmp_path: Path):
    count = str(len(words.split(" ")) - 1)

    done = shell("sr-data", tmp_path, COMP_WORDS=words, COMP_CWORD=count, _SR_DATA_COMPLETE="complete_bash")

    assert done.stdout.split() == expected, done.stderr


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_printed(name: str, tmp_path: Path):
    done = shell("sr-data", tmp_path, _SR_DATA_COMPLETE=f"source_{name}")

    assert done.returncode == 0, done.stderr
    assert "_SR_DATA_COMPLETE" in done.stdout
    assert "sr-data" in done.stdout


def test_completion_is_installed_and_completes_in_bash(tmp_path: Path):
    # The line after the first keeps bash in between, whose name the command looks for.
    done = shell("sr-data --install-completion; echo done", tmp_path)
    assert "bash completion installed" in done.stdout, done.stderr

    told = shell(
        "source ~/.bash_completions/sr-data.sh; COMP_WORDS=(sr-data quick); COMP_CWORD=1;"
        ' _sr_data_completion sr-data; echo "${COMPREPLY[@]}"',
        tmp_path,
    )
    assert told.stdout.strip() == "quickstart", told.stderr


def test_a_source_that_is_not_there_completes_to_nothing():
    assert complete_selection("nowhere/x") == []
    assert complete_selection("xiph/akiyo_c") == ["xiph/akiyo_cif"]
