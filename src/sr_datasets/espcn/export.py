"""Networks for other programs: ONNX, checked against torch before the file appears, and plain safetensors.

The graph is written node by node from the weights: Conv, the activation, DepthToSpace in mode CRD (torch's order of
channels). Batch, height and width are free. No Python, no pickle and no TorchScript travels with it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from sr_datasets import __version__
from sr_datasets.errors import MissingExtraError, ModelError
from sr_datasets.espcn.checkpoint import Header, save_model
from sr_datasets.espcn.model import Espcn
from sr_datasets.files import disk_errors, write_atomic

OPSET: Final = 17
"""Operators of ONNX 1.12 (2022): every runtime of the last years has them."""
TOLERANCE: Final = 1e-4
"""How far ONNX and torch may differ on samples of 0..1: 0.03 of a level at 8 bits, 100 times what is seen."""

_CHECKED = ((1, 16, 16), (2, 13, 21), (1, 1, 7))


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    path: Path
    """The file."""
    parameters: int
    """Weights and biases in it."""
    difference: float | None
    """The greatest difference between ONNX and torch on random samples of 0..1; None for safetensors."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {"path": str(self.path), "parameters": self.parameters, "difference": self.difference}

    def to_text(self) -> str:
        """Return the report as a line or two of text."""
        size = f"{self.path}: {self.parameters} weights and biases, {self.path.stat().st_size} bytes"
        if self.difference is None:
            return size
        return f"{size}\nequal to torch within {self.difference:.1e} on samples of 0..1, in onnxruntime"


def export(model: Espcn, header: Header, path: Path) -> ExportReport:
    """Write a network as ``.onnx`` or ``.safetensors``, its last layer as a sub-pixel convolution where it can be.

    Args:
        model: The network.
        header: What its file says of it; goes along as metadata.
        path: The file; its suffix says the format.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        ModelError: onnxruntime and torch disagree: nothing is written.
        ValueError: The suffix is another.
    """
    plain = _merged(model)
    header = header.model_copy(update={"model": plain.config})
    match path.suffix.lower():
        case ".safetensors":
            with disk_errors("writing the network", path):
                path.parent.mkdir(parents=True, exist_ok=True)
                save_model(path, plain, header)
            return ExportReport(path, plain.num_parameters, None)
        case ".onnx":
            data = onnx_bytes(plain, header)
            difference = _checked(data, plain, path)
            with disk_errors("writing the network", path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, data)
            return ExportReport(path, plain.num_parameters, difference)
        case _:
            raise ValueError(f"{path}: networks are written as .onnx or .safetensors")


def _merged(model: Espcn) -> Espcn:
    """Return the network on the CPU in its plain form."""
    plain = model if model.config.upsampling == "resize-bilinear" else model.with_upsampling("subpixel")
    copy = Espcn(plain.config)
    copy.load_state_dict({name: tensor.cpu() for name, tensor in plain.state_dict().items()})
    return copy.eval()


def onnx_bytes(model: Espcn, header: Header) -> bytes:
    """Return a network as an ONNX model.

    Input ``lr``: float32 ``(N, colors, h, w)``, of several frames ``(N, frames, colors, h, w)``, 0..1. Output ``sr``:
    ``(N, colors, scale * h, scale * w)``, not clipped. Metadata: ``sr-datasets`` (the header as JSON), ``scale``,
    ``colors``, ``frames``, ``samples``.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing ONNX", extra="onnx") from error

    config, scale = model.config, model.config.scale
    nodes: list[Any] = []
    constants: dict[str, Any] = {}

    def constant(name: str, value: Any) -> str:
        constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(name: str, maps: str) -> str:
        layer = getattr(model, name)
        weight = constant(f"{name}.weight", layer.weight.detach().numpy())
        bias = constant(f"{name}.bias", layer.bias.detach().numpy())
        side = layer.weight.shape[-1]
        pads = [side // 2] * 4
        return node("Conv", [maps, weight, bias], name, kernel_shape=[side, side], pads=pads)

    def activate(maps: str, name: str) -> str:
        match config.activation:
            case "tanh":
                return node("Tanh", [maps], name)
            case "relu":
                return node("Relu", [maps], name)
            case "gelu":
                # x / 2 * (1 + erf(x / sqrt 2)): Gelu itself came with opset 20.
                small = node("Mul", [maps, constant("rsqrt2", np.float32(0.5**0.5))], f"{name}.scaled")
                grown = node("Erf", [small], f"{name}.erf")
                added = node("Add", [grown, constant("one", np.float32(1))], f"{name}.plus")
                product = node("Mul", [maps, added], f"{name}.times")
                return node("Mul", [product, constant("half", np.float32(0.5))], name)

    def enlarged(maps: str, name: str, mode: str) -> str:
        scales = constant("scales", np.array([1, 1, scale, scale], np.float32))
        if mode == "nearest":
            how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        else:
            how = {"coordinate_transformation_mode": "half_pixel"}
        return node("Resize", [maps, "", scales], name, mode=mode, **how)

    frame, stacked = "lr", "lr"
    if config.frames > 1:
        axis = constant("axis", np.array([1], np.int64))
        parts = [f"frame{number}" for number in range(config.frames)]
        nodes.append(
            helper.make_node("Split", ["lr"], [f"{part}.split" for part in parts], name="split", axis=1)
        )
        for part in parts:
            node("Squeeze", [f"{part}.split", axis], part)
        stacked, frame = node("Concat", parts, "stacked", axis=1), parts[config.frames // 2]
    mean = constant("mean", np.float32(config.input_mean))
    centred = node("Sub", [stacked, mean], "centred")
    gained = node("Mul", [centred, constant("gain", np.float32(config.input_gain))], "gained")
    maps, last = gained, len(model.layers)
    for number in range(1, last):
        maps = activate(conv(f"conv{number}", maps), f"maps{number}")
    if config.upsampling == "resize-bilinear":
        planes = conv(f"conv{last}", enlarged(maps, "enlarged", "linear"))
    else:
        planes = node("DepthToSpace", [conv(f"conv{last}", maps)], "planes", blocksize=scale, mode="CRD")
    match config.residual:
        case "none":
            node("Add", [planes, mean], "sr")
        case "nearest":
            node("Add", [planes, enlarged(frame, "nearest", "nearest")], "sr")
        case "bilinear":
            node("Add", [planes, enlarged(frame, "bilinear", "linear")], "sr")

    colors = [config.frames, config.colors] if config.frames > 1 else [config.colors]
    graph = helper.make_graph(
        nodes,
        "espcn",
        [helper.make_tensor_value_info("lr", TensorProto.FLOAT, ["N", *colors, "h", "w"])],
        [helper.make_tensor_value_info("sr", TensorProto.FLOAT, ["N", config.colors, "H", "W"])],
        list(constants.values()),
    )
    made = helper.make_model(
        graph,
        producer_name="sr-datasets",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # of ONNX 1.12, as the operators
    )
    samples = "BT.601 luma, 16..235 of 255, as 0..1" if config.colors == 1 else "R'G'B', 0..255 as 0..1"
    said = {
        "sr-datasets": json.dumps(header.model_dump(mode="json"), sort_keys=True),
        "scale": str(scale),
        "colors": str(config.colors),
        "frames": str(config.frames),
        "samples": samples,
    }
    helper.set_model_props(made, said)
    checker.check_model(made, full_check=True)
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def _checked(data: bytes, model: Espcn, path: Path) -> float:
    """Run ONNX and torch on the same samples, of several sizes; return the greatest difference."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("checking ONNX", extra="onnx") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    config, worst = model.config, 0.0
    for number, height, width in _CHECKED:
        frames = (config.frames,) if config.frames > 1 else ()
        lr = generator.random((number, *frames, config.colors, height, width), np.float32)
        (found,) = session.run(["sr"], {"lr": lr})
        with torch.inference_mode():
            wanted = model(torch.from_numpy(lr)).numpy()
        if found.shape != wanted.shape:
            raise ModelError(
                f"{path} was not written: onnxruntime gives {found.shape}, torch {wanted.shape}. Report it, with the "
                f"versions (onnxruntime {onnxruntime.__version__}, torch {torch.__version__})."
            )
        worst = max(worst, float(np.abs(found - wanted).max()))
    if not worst <= TOLERANCE:
        raise ModelError(
            f"{path} was not written: onnxruntime {onnxruntime.__version__} and torch {torch.__version__} differ by "
            f"{worst:.1e} on samples of 0..1, at most {TOLERANCE:.0e} is float error. Report it, with the model."
        )
    return worst
