"""The commands of docs/upscaling.md and docs/evaluating.md run; docs/models.md says what the card says."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the torch extra")

from clips import encode, formula_planes
from PIL import Image
from typer.testing import CliRunner

import sr_datasets
from sr_datasets.cli.main import app
from sr_datasets.espcn.pretrained import pretrained
from sr_datasets.video import probe

pytestmark = pytest.mark.torch
DOCS = Path(__file__).parents[1] / "docs"


def commands_of(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make what the pages speak of: a picture, photos, a clip, a model of one's own, Set5 in a store."""
    frames = [formula_planes("yuv420p", 48, 36, index) for index in range(6)]
    encode(tmp_path / "clip.mp4", frames, pixel_format="yuv420p", codec="libx264", options={"crf": "10"})
    (tmp_path / "photos").mkdir()
    for name, size in (("small.png", (60, 48)), ("photos/a.png", (48, 60)), ("photos/b.png", (60, 50))):
        Image.radial_gradient("L").resize(size).convert("RGB").save(tmp_path / name)
    (tmp_path / "model").mkdir()
    shutil.copyfile(pretrained()["espcn-x2"].path, tmp_path / "model" / "model.safetensors")
    monkeypatch.setenv("SR_DATA_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    imported = CliRunner().invoke(app, ["import", "set5", str(real_data / "set5" / "GT")])
    assert imported.exit_code == 0, imported.output
    return tmp_path


@pytest.mark.parametrize("page", ["upscaling.md", "evaluating.md"])
def test_the_commands_of_the_page_run(folder: Path, page: str):
    commands = commands_of(page)
    assert len(commands) >= 5
    for command in commands:
        if "|" in command or (".onnx" in command and importlib.util.find_spec("onnxruntime") is None):
            continue
        result = CliRunner().invoke(app, command.removeprefix("sr-data ").split())
        assert result.exit_code == 0, f"{command}: {result.output} {result.exception}"
    if page == "upscaling.md":
        assert probe(folder / "large.mp4").width == 96
        assert sorted(path.name for path in (folder / "large").iterdir()) == ["a.png", "b.png"]


def test_the_pipe_of_the_page_runs(folder: Path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg on PATH")
    (command,) = [each for each in commands_of("upscaling.md") if "|" in each]
    program = folder / "bin" / "sr-data"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sr_datasets.cli "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(Path(sr_datasets.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    info = probe(folder / "piped.mkv")
    assert (info.width, info.height, info.num_frames) == (96, 72, 6)
    assert "96x72, 6 frames" in done.stderr


def test_the_page_of_the_weights_says_what_their_card_says():
    text = (DOCS / "models.md").read_text(encoding="utf-8")

    for card in pretrained().values():
        assert card.sha256 in text
        assert card.content_digest in text
        scores = [f"{row.psnr:.2f} / {row.ssim:.4f}" for row in card.scores]
        assert f"| `{card.name}` | x{card.scale} | {card.parameters} |" in text
        assert " | ".join(scores) in text
