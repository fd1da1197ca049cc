"""Folders and addresses of unusual names: they work, or one sentence says why they do not."""

from pathlib import Path

import pytest
from made import MANIFEST, made_store, recipe_of
from typer.testing import CliRunner

from sr_datasets.cli.main import app

GRANTED = MANIFEST.replace(
    "{own: {name: own}}", '{own: {name: CC BY 4.0, redistribute_derived: "yes", attribution: "yes"}}'
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the test's own folder the current one: it has a store and the recipe ``made.yaml``."""
    made_store(tmp_path, monkeypatch)
    recipe_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sr_data(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_relative_folder_with_a_colon_is_a_folder(here: Path):
    (here / "config/sr-datasets/manifests/sources/made.yaml").write_text(GRANTED)

    sr_data("build-pairs", "made.yaml", "--out", "./run:1", "--store", "store")
    sr_data("inspect", "./run:1", "--verify")
    sr_data("build-pairs", "made.yaml", "--out", "./run:1", "--store", "store")  # which reads what is there
    sr_data("build-pairs", "made.yaml", "--out", "in:parts", "--store", "store", "--part", "1/2")
    assert "the set is finished" in sr_data(
        "build-pairs", "made.yaml", "--out", "in:parts", "--store", "store", "--part", "2/2"
    )
    sr_data("push", "./run:1", "pushed:1/set")
    sr_data("inspect", "pushed:1/set", "--verify")
    sr_data("export", "./run:1", "--to", "png", "--out", "png:1")
    assert list((here / "png:1").rglob("*.png"))
    sr_data("audit", "pushed:1/set")


@pytest.mark.torch
def test_a_dataset_reads_a_relative_folder_with_a_colon(here: Path):
    from sr_datasets import PairDataset

    sr_data("build-pairs", "made.yaml", "--out", "run:1", "--store", "store")
    data = PairDataset("run:1")
    assert {name: tuple(data[0][name].shape) for name in ("lr", "hr")} == {"lr": (1, 8, 8), "hr": (1, 24, 24)}
