"""What commands tell people to type: it works as it is pasted."""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from made import made_store
from typer.testing import CliRunner

from sr_datasets.cli import hints
from sr_datasets.cli.hints import as_typed, how_to_go_on, note_store, program
from sr_datasets.cli.main import app

SOURCE = Path(__file__).parents[1] / "src"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "_store", None)
    monkeypatch.setattr(sys, "argv", ["sr-data"])
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with an ``sr-data``, which is not on the path."""
    folder = tmp_path / "my venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "sr-data").touch()
    (folder / "sr-data").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", "/nowhere")
    return folder


def test_the_program_is_named_as_it_was_started(scripts: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", [str(scripts / "sr-data")])
    assert program() == f"'{scripts}/sr-data'"
    monkeypatch.chdir(scripts.parent)
    monkeypatch.setattr(sys, "argv", ["bin/sr-data"])
    assert program() == "bin/sr-data"
    monkeypatch.setenv("PATH", str(scripts))
    assert program() == "sr-data"
    other = scripts.parent / "sr-data"
    shutil.copy2(scripts / "sr-data", other)
    monkeypatch.setattr(sys, "argv", [str(other)])
    assert program() == f"'{other}'"
    monkeypatch.setattr(sys, "argv", ["/usr/lib/pytest/__main__.py"])
    assert program() == "sr-data"


def test_a_module_is_named_with_the_python_that_has_it(scripts: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", [str(SOURCE / "sr_datasets/cli/__main__.py")])
    monkeypatch.setattr(sys, "executable", str(scripts / "python3"))
    assert program() == f"'{scripts}/python3' -m sr_datasets.cli"
    shutil.copy2(scripts / "sr-data", scripts / "python3")
    monkeypatch.setenv("PATH", str(scripts))
    assert program() == "python3 -m sr_datasets.cli"


def test_options_to_go_on_stand_before_two_dashes():
    assert how_to_go_on(["train", "--out", "m", "--", "-d"], ["--resume"]) == (
        "sr-data train --out m --resume -- -d"
    )
    assert how_to_go_on(["train", "d d"], ["--resume"]) == "sr-data train 'd d' --resume"


def test_under_torchrun_it_is_torchrun_that_goes_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", [str(SOURCE / "sr_datasets/cli/__main__.py")])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    line = "torchrun --nproc-per-node=2 -m sr_datasets.cli train t91 --resume"
    assert how_to_go_on(["train", "t91"], ["--resume"]) == line
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert how_to_go_on(["train", "t91"], ["--resume"]) == (
        f"(on each machine, with its options of torchrun as before) {line}"
    )


def test_commands_that_have_a_store_get_the_one_that_was_named():
    text = "Bring it in with: sr-data fetch demo/x (or `sr-data forget`), then sr-data push DIR; sr-data.lock"
    assert as_typed(text) == text
    note_store(Path("my data"))
    assert as_typed(text) == (
        "Bring it in with: sr-data fetch --store 'my data' demo/x (or `sr-data forget --store 'my data'`), then "
        "sr-data push DIR; sr-data.lock"
    )
    for other in (
        "run the same sr-data build-pairs again",
        "x/sr-data fetch",
        "sr-data nothing",
        "sr-data 2",
    ):
        assert as_typed(other) == other


def test_hints_of_commands_name_their_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = made_store(tmp_path, monkeypatch)
    (store.root / "made" / "clip1.y4m").unlink()
    result = CliRunner().invoke(app, ["doctor", "--store", str(store.root)])
    assert f"sr-data verify --store {store.root} --repair" in " ".join(result.output.split())
    result = CliRunner().invoke(app, ["show", "demo/leaves_1", "--store", str(store.root)])
    assert f"bring it in with: sr-data fetch --store {store.root} demo/leaves_1" in result.output
    CliRunner().invoke(app, ["show", "demo/leaves_1"])
    assert as_typed("sr-data fetch") == "sr-data fetch"


def test_the_hint_of_an_error_works_as_it_is_pasted(tmp_path: Path):
    words = [
        "-m",
        "sr_datasets.cli",
        "build-pairs",
        "demo",
        "--store",
        str(tmp_path / "a store"),
        "--out",
        "o",
    ]
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"}
    environment.pop("SR_DATA_HOME", None)
    said = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )

    assert said.returncode == 1
    start = f"{shlex.quote(sys.executable)} -m sr_datasets.cli fetch --store '{tmp_path / 'a store'}' demo\n"
    assert said.stderr.endswith(f"Bring them in with: {start}")
