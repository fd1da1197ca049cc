"""``sr-data inspect MODEL``: provenance in words, and files that mean harm."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from patches import write_set
from safetensors.torch import save
from test_espcn_train import quick, scenes
from typer.testing import CliRunner

from sr_datasets import __version__
from sr_datasets.cli.main import app
from sr_datasets.errors import ModelError
from sr_datasets.espcn import revision
from sr_datasets.espcn.checkpoint import load_model, read_header
from sr_datasets.espcn.describe import describe_model
from sr_datasets.espcn.train import train

pytestmark = pytest.mark.torch


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    write_set(tmp_path / "set", {"train": scenes(12), "val": scenes(4, seed=1)})
    train(quick("espcn", loss="l1", steps=20), tmp_path / "set", out_dir=tmp_path / "model")
    return tmp_path / "model"


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_model_says_how_and_on_what_it_was_trained(model_dir: Path):
    result = invoke("inspect", model_dir)

    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    data = read_header(model_dir / "model.safetensors").data
    assert data is not None
    assert "model.safetensors: a model to use" in text
    assert "ESPCN x2, luma, 21284 parameters" in text
    assert "preset espcn, 20 of 20 steps" in text
    assert "loss l1" in text
    assert "train, 12 patch pairs of 2 clips" in text
    assert f"content digest {data.content_digest}" in text
    assert f"1, SHA-256 of their list {data.shards_sha256}" in text
    assert "licences not known: its source is not in the catalog (2)" in text
    assert f"sr-datasets {__version__}, torch {torch.__version__}" in text
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_the_same_as_json_is_the_header(model_dir: Path):
    found = json.loads(invoke("inspect", model_dir / "last.safetensors", "--json").stdout)

    assert found["kind"] == "state"
    assert found["parameters"] == 21284
    assert found["train"]["loss"] == "l1"


def test_the_digest_of_many_shards_is_that_of_what_sha256sum_prints(tmp_path: Path):
    from hashlib import sha256

    info = write_set(tmp_path / "set", {"train": scenes(12)})
    train(quick(steps=5), tmp_path / "set", out_dir=tmp_path / "model")

    data = describe_model(tmp_path / "model").header.data
    assert data is not None
    line = f"{info.shards[0].sha256}  {info.shards[0].name}\n"
    assert data.shards_sha256 == sha256(line.encode()).hexdigest()
    assert data.num_shards == 1


def test_a_checkout_names_its_revision_and_an_installed_package_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = revision.git_revision()
    root = Path(__file__).parents[1]
    if (root / ".git").exists():
        assert found is not None
        assert len(found.removesuffix("-dirty")) == 40
    monkeypatch.setattr(revision, "_PACKAGE", tmp_path / "site-packages" / "sr_datasets")
    assert revision.git_revision.__wrapped__() is None


def test_options_for_shard_sets_are_refused_for_a_model(model_dir: Path):
    result = invoke("inspect", model_dir, "--stats")

    assert result.exit_code == 2
    assert "the other options are for shard sets" in result.output


def test_a_pickle_that_is_named_like_a_model_is_never_run(tmp_path: Path):
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    for name in ("model.safetensors", "model.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        result = invoke("inspect", tmp_path / name)
        assert isinstance(result.exception, ModelError)
        assert "never opened, since they can run code" in str(result.exception)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "{}",
        "null",
        '"\\ud800"',
        '{"format": 1e999}',
        '{"kind": "model", "model": {"scale": 3, "frames": 1e400}}',
        '{"kind": "model", "model": {"scale": 3}, "step": ' + "9" * 5000 + "}",
        '{"\\u001b[2Jgone": 1}',
    ],
)
def test_a_header_that_means_harm_is_one_sentence(tmp_path: Path, text: str):
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"x": torch.zeros(1)}, metadata={"sr-datasets": text}))

    with pytest.raises(ModelError, match=r"its header is not one that this version") as caught:
        describe_model(path)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


def test_words_of_a_foreign_header_cannot_move_the_cursor(model_dir: Path):
    header = read_header(model_dir / "model.safetensors").model_dump(mode="json")
    header["data"]["recipe"] = {"id": "\x1b[2J\x1b[1;1Hnothing to see", "degradation": {"kind": "\x07"}}
    header["data"]["licenses"] = {"CC\r\x1b[8m": 3}
    path = model_dir / "foreign.safetensors"
    weights = load_model(model_dir)[0].state_dict()
    path.write_bytes(save(weights, metadata={"sr-datasets": json.dumps(header)}))

    text = describe_model(path).to_text()

    assert "nothing to see" in text
    assert text.replace("\n", "").isprintable()
