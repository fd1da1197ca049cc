"""``sr-data train`` and ``sr-data evaluate``: their options, and one sentence for what goes wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sr_datasets.cli.main import app
from sr_datasets.errors import ModelError


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    pytest.importorskip("torch", reason="needs the torch extra")
    from patches import write_set

    hr = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), np.uint8)
    write_set(tmp_path / "set", {"train": (hr[..., ::2, ::2].copy(), hr)})
    return tmp_path / "set"


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def train_header(folder: Path) -> Any:
    from sr_datasets.espcn.checkpoint import read_header

    return read_header(folder / "last.safetensors").train


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "set", "--out", "model"],
        ["evaluate", "bicubic", "set5", "--scale", "2"],
        ["evaluate", "model", "set5"],
    ],
)
@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_without_the_torch_extra_a_command_says_what_to_install(arguments: list[str], missing: str):
    program = (
        f"import sys\nsys.modules[{missing!r}] = None\nsys.argv = ['sr-data', *{arguments!r}]\n"
        "from sr_datasets.cli.main import main\nmain()\n"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.startswith("sr-data: error: training or scoring a network needs the 'torch' extra")
    assert "Traceback" not in result.stderr


@pytest.mark.torch
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--device", "tpu"], "--device is tpu, it must be 'auto', 'cpu' or 'cuda'"),
        (["--learning-rate", "-1"], "--learning-rate is -1.0, it must be greater than 0"),
        (["--learning-rate", "nan"], "--learning-rate is nan, it must be a finite number"),
        (["--seed", str(10**30)], f"--seed is {10**30}, it must be less than {2**63}"),
        (["--preset", "espcm"], "there is no preset 'espcm'; known are espcn, espcn-t91"),
    ],
)
def test_an_option_out_of_range_is_a_usage_error_in_one_sentence(
    patches: Path, tmp_path: Path, options: list[str], complaint: str
):
    result = invoke("train", patches, "--out", tmp_path / "model", *options)

    assert result.exit_code == 2
    assert complaint in result.output
    assert "validation error" not in result.output
    assert "pydantic" not in result.output
    assert not (tmp_path / "model").exists()


@pytest.mark.torch
def test_a_run_is_resumed_without_naming_its_options_again(patches: Path, tmp_path: Path):
    begun = ["--preset", "espcn", "--steps", 6, "--batch-size", 2, "--seed", 3, "--device", "cpu"]
    first = invoke("train", patches, "--out", tmp_path / "model", *begun, "--checkpoint-every", 2)
    assert first.exit_code == 0, first.output
    before = train_header(tmp_path / "model")
    assert before.checkpoint_every == 2

    again = invoke("train", patches, "--out", tmp_path / "model", "--resume", "--json")

    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["steps"] == 6
    assert train_header(tmp_path / "model") == before
    other = invoke("train", patches, "--out", tmp_path / "model", "--resume", "--preset", "residual")
    assert isinstance(other.exception, ModelError)
    assert "preset was espcn, is residual" in str(other.exception)


@pytest.mark.torch
def test_there_is_nothing_to_resume_in_an_empty_folder(patches: Path, tmp_path: Path):
    result = invoke("train", patches, "--out", tmp_path / "model", "--resume")

    assert isinstance(result.exception, ModelError)
    assert "without --resume" in str(result.exception)
    assert not (tmp_path / "model").exists()


@pytest.mark.torch
@pytest.mark.parametrize("scale", [0, -1, 1, 5, 7])
def test_a_scale_that_nothing_has_is_a_usage_error(tmp_path: Path, scale: int):
    pytest.importorskip("torch", reason="needs the torch extra")
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")

    result = invoke("evaluate", "bicubic", tmp_path / "a.png", "--scale", scale)

    assert result.exit_code == 2
    assert "is not 2, 3, 4 or 8" in result.output
