"""The commands of docs/training.md run, from top to bottom, with fewer steps."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs the torch extra")

from patches import write_set
from test_espcn_options import write_frames
from test_espcn_train import scenes

from sr_datasets.cli.main import app
from sr_datasets.espcn.checkpoint import load_model, read_header
from sr_datasets.espcn.config import PRESETS

pytestmark = pytest.mark.torch
PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_set(tmp_path / "t91", {"train": scenes(30)})
    write_frames(tmp_path / "clips", 3)
    monkeypatch.chdir(tmp_path)

    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert len(commands) == 8
    for command in commands:
        # What torchrun starts is run here by one process; test_espcn_ranks starts several.
        begin = command.index("sr_datasets.cli") if command[0] == "torchrun" else command.index("sr-data")
        arguments = command[begin + 1 :]
        if arguments[0] == "train" and "--resume" not in arguments:
            arguments += ["--steps", "10"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (command, result.output, result.exception)

    assert (tmp_path / "again" / "config.json").read_text() == (
        tmp_path / "plain" / "config.json"
    ).read_text()
    assert load_model(tmp_path / "three")[0].config.frames == 3
    assert load_model(tmp_path / "one")[0].config.frames == 1
    assert read_header(tmp_path / "model" / "last.safetensors").step == 10


def test_every_preset_stands_on_the_page():
    for name in PRESETS:
        assert f"`{name}`" in PAGE
