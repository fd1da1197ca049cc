"""The weights of the package: their bytes, their card, how they are found."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the torch extra")

from sr_datasets.errors import ModelError
from sr_datasets.espcn import pretrained as pretrained_module
from sr_datasets.espcn.checkpoint import MODEL_NAME
from sr_datasets.espcn.config import preset
from sr_datasets.espcn.evaluate import evaluate
from sr_datasets.espcn.pretrained import is_model, open_model, pretrained, pretrained_name
from sr_datasets.files import sha256_of
from sr_datasets.metrics import find_protocol

pytestmark = pytest.mark.torch


def test_each_file_is_what_its_card_says():
    names = {f"{family}-x{scale}" for family in ("deep", "espcn") for scale in (2, 3, 4)}
    assert set(pretrained()) == names
    for name, card in pretrained().items():
        shown, model, header = open_model(name)
        assert shown == name
        assert sha256_of(card.path) == card.sha256
        assert card.path.stat().st_size < 200_000
        assert (model.config.scale, model.num_parameters) == (card.scale, card.parameters)
        assert header.data is not None
        assert header.data.content_digest == card.content_digest
        assert header.train is not None
        assert header.step == card.steps
        # The preset as it is now would train the same weights again.
        assert header.train == preset(card.preset, scale=card.scale, seed=card.seed, steps=card.steps)


@pytest.mark.parametrize("family", ["deep", "espcn"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_scores_of_a_card_are_what_the_weights_score(real_data: Path, scale: int, family: str):
    card = pretrained()[f"{family}-x{scale}"]
    for row in card.scores:
        report = evaluate(card.name, [real_data / "set5" / "GT"], protocol=find_protocol(row.protocol))
        assert report.mean.psnr == pytest.approx(row.psnr, abs=0.002)
        assert report.mean.ssim == pytest.approx(row.ssim, abs=0.0002)


def test_models_are_told_from_what_is_scored(tmp_path: Path):
    (tmp_path / MODEL_NAME).write_bytes(b"x")

    assert is_model("espcn-x3")
    assert is_model(str(tmp_path))
    assert is_model("other.safetensors")
    assert not is_model("set5")


def test_what_is_no_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert pretrained_name(4) == "deep-x4"
    with pytest.raises(ModelError, match="no weights for x8 come with sr-datasets, only for x2, x3, x4"):
        pretrained_name(8)
    with pytest.raises(ModelError, match="Did you mean espcn-x3"):
        open_model("espcn_x3")
    with pytest.raises(ModelError, match="not there"):
        open_model("folder/model.safetensors")
    card = pretrained()["espcn-x3"]
    (tmp_path / "espcn-x3.safetensors").write_bytes(card.path.read_bytes()[:-1] + b"!")
    monkeypatch.setattr(pretrained_module, "_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match="not the file that was released"):
        open_model("espcn-x3")
