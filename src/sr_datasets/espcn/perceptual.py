"""Measures of others beside PSNR and SSIM: VMAF by the user's ffmpeg, LPIPS by its own package."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from sr_datasets.color import Floats
from sr_datasets.degrade import EvaluationPair
from sr_datasets.errors import ModelError
from sr_datasets.metrics import Protocol

Extra = Literal["vmaf", "lpips"]


def require_extras(extras: Sequence[Extra], protocol: Protocol) -> None:
    """Refuse measures that cannot be taken, before anything is computed.

    Raises:
        ModelError: ffmpeg has no libvmaf; lpips is not installed, or the protocol has no R'G'B'.
    """
    if "vmaf" in extras:
        _ffmpeg()
    if "lpips" in extras:
        if protocol.channel != "rgb":
            raise ModelError(f"LPIPS compares R'G'B', {protocol.name} scores luma: take --protocol rgb.")
        _lpips_network()


@lru_cache
def _ffmpeg() -> str:
    program = shutil.which("ffmpeg")
    if program is not None:
        said = subprocess.run(
            [program, "-hide_banner", "-filters"], capture_output=True, text=True, check=False
        )
        if any(line.split()[1:2] == ["libvmaf"] for line in said.stdout.splitlines()):
            return program
    found = f"{program} has" if program else "no ffmpeg is on PATH, so there is"
    raise ModelError(
        f"VMAF is computed by an ffmpeg with libvmaf, and {found} none. Install a build that has it (ffmpeg -filters "
        "lists libvmaf), or leave out --vmaf."
    )


def vmaf_of(pictures: Sequence[tuple[EvaluationPair, Floats]]) -> float:
    """Return the mean VMAF of a clip's frames (the default model, on luma).

    Args:
        pictures: What is compared with, and SR, of each frame; cut as the protocol cuts, its border kept.

    Raises:
        ModelError: ffmpeg failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder, name) for name in ("sr.y4m", "hr.y4m")]
        for name, frames in zip(
            names, ([sr for _, sr in pictures], [pair.hr for pair, _ in pictures]), strict=True
        ):
            _write_luma(name, frames, pictures[0][0].bit_depth)
        log = Path(folder, "vmaf.json")
        command = [_ffmpeg(), "-v", "error", "-i", str(names[0]), "-i", str(names[1]), "-lavfi"]
        command += [f"libvmaf=log_fmt=json:log_path={log}", "-f", "null", "-"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ModelError(f"ffmpeg could not compute VMAF: {done.stderr.strip()[-300:]}")
        return float(json.loads(log.read_bytes())["pooled_metrics"]["vmaf"]["mean"])


def _write_luma(path: Path, frames: Sequence[Floats], bit_depth: int) -> None:
    """Write frames as y4m in 4:2:0 without colour, 8 bits: VMAF looks at luma."""
    from sr_datasets.color import luma_of_rgb_float

    with path.open("wb") as file:
        for number, frame in enumerate(frames):
            luma = frame[0] if frame.shape[0] == 1 else luma_of_rgb_float(frame, bit_depth)[0]
            height, width = luma.shape
            if not number:
                file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip C420jpeg\n".encode())
            scaled = luma * (255 / ((1 << bit_depth) - 1))
            file.write(b"FRAME\n" + np.clip(np.rint(scaled), 0, 255).astype(np.uint8).tobytes())
            file.write(bytes([128]) * (2 * -(-height // 2) * -(-width // 2)))


@lru_cache
def _lpips_network() -> Any:
    try:
        import lpips
    except ModuleNotFoundError as error:
        raise ModelError(
            "LPIPS needs the package lpips, which brings its own weights and fetches AlexNet's at the first use: "
            "pip install lpips. Or leave out --lpips."
        ) from error
    return lpips.LPIPS(net="alex", verbose=False).eval()


def lpips_of(pictures: Sequence[tuple[EvaluationPair, Floats]]) -> float:
    """Return the mean LPIPS (AlexNet) of R'G'B' pictures; 0 is equal."""
    network = _lpips_network()
    values = []
    for pair, sr in pictures:
        peak = (1 << pair.bit_depth) - 1
        both = [np.clip(np.rint(each), 0, peak) * (2 / peak) - 1 for each in (sr, pair.hr)]
        planes = [np.repeat(each, 3, axis=0) if each.shape[0] == 1 else each for each in both]
        with torch.inference_mode():
            first, second = (torch.from_numpy(each).to(torch.float32)[None] for each in planes)
            values.append(float(network(first, second)))
    return float(np.mean(values))
