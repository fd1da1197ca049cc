"""Networks as files of others: ONNX against torch, metadata, and nothing written when they disagree."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")
pytest.importorskip("onnx", reason="needs the onnx extra")
pytest.importorskip("onnxruntime", reason="needs the onnx extra")

import onnx
import onnxruntime
import torch

import sr_datasets.espcn.export as export_module
from sr_datasets.errors import ModelError
from sr_datasets.espcn.checkpoint import Header, load_model
from sr_datasets.espcn.config import EspcnConfig
from sr_datasets.espcn.export import TOLERANCE, export
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.pretrained import open_model

pytestmark = pytest.mark.torch


def drawn(**config: Any) -> tuple[Espcn, Header]:
    model = Espcn(EspcnConfig(**{"scale": 2, "input_gain": 8.0, "icnr": False, **config}), seed=5).eval()
    if model.config.frames > 1:  # a fresh one looks at the centre frame alone
        torch.nn.init.uniform_(model.conv1.weight, -0.1, 0.1)
    return model, Header(kind="model", model=model.config)


def run(path: Path, lr: torch.Tensor) -> Any:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, {"lr": lr.numpy()})[0]


@pytest.mark.parametrize(
    "config",
    [
        {"scale": 2},
        {"scale": 3, "activation": "relu"},
        {"scale": 4, "activation": "gelu", "residual": "nearest"},
        {"scale": 3, "colors": 3, "residual": "nearest"},
        {"scale": 2, "frames": 3, "residual": "nearest"},
        {"scale": 2, "frames": 5, "colors": 3},
        {"scale": 3, "upsampling": "transposed"},
        {"scale": 2, "upsampling": "resize-nearest", "residual": "nearest"},
        {"scale": 3, "upsampling": "resize-bilinear"},
        {"scale": 2, "upsampling": "resize-bilinear", "residual": "bilinear"},
        {"scale": 3, "body": "deep", "activation": "gelu", "residual": "nearest"},
    ],
    ids=lambda config: "-".join(map(str, config.values())),
)
def test_onnx_computes_what_torch_computes_at_any_size(tmp_path: Path, config: dict[str, Any]):
    model, header = drawn(**config)

    report = export(model, header, tmp_path / "a" / "net.onnx")

    frames = (model.config.frames,) if model.config.frames > 1 else ()
    for number, height, width in ((3, 9, 14), (1, 33, 20)):
        lr = torch.rand(number, *frames, model.config.colors, height, width)
        with torch.no_grad():
            np.testing.assert_allclose(run(report.path, lr), model(lr).numpy(), atol=TOLERANCE)
    assert report.difference is not None
    assert report.difference < TOLERANCE / 5


def test_the_file_says_what_it_is(tmp_path: Path):
    _, model, header = open_model("espcn-x3")

    export(model, header, tmp_path / "net.onnx")

    made = onnx.load(tmp_path / "net.onnx")
    said = {entry.key: entry.value for entry in made.metadata_props}
    assert json.loads(said["sr-datasets"]) == header.model_dump(mode="json")
    assert (said["scale"], said["colors"], said["frames"]) == ("3", "1", "1")
    (shuffle,) = [node for node in made.graph.node if node.op_type == "DepthToSpace"]
    assert {each.name: onnx.helper.get_attribute_value(each) for each in shuffle.attribute} == {
        "blocksize": 3,
        "mode": b"CRD",
    }
    assert [each.dim_param for each in made.graph.input[0].type.tensor_type.shape.dim] == ["N", "", "h", "w"]
    assert made.opset_import[0].version == 17
    again = tmp_path / "again.onnx"
    export(model, header, again)
    assert again.read_bytes() == (tmp_path / "net.onnx").read_bytes()


@pytest.mark.parametrize("upsampling", ["transposed", "resize-nearest"])
def test_safetensors_hold_a_sub_pixel_layer_that_computes_the_same(tmp_path: Path, upsampling: str):
    model, header = drawn(upsampling=upsampling)

    export(model, header, tmp_path / "plain.safetensors")

    plain, said = load_model(tmp_path / "plain.safetensors")
    assert said.model.upsampling == "subpixel"
    lr = torch.rand(1, 1, 12, 10)
    torch.testing.assert_close(plain(lr), model(lr), atol=1e-5, rtol=0)


def test_nothing_is_written_when_onnx_and_torch_disagree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, header = drawn()
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)

    with pytest.raises(ModelError, match="was not written"):
        export(model, header, tmp_path / "net.onnx")

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"\.onnx or \.safetensors"):
        export(model, header, tmp_path / "net.pt")
