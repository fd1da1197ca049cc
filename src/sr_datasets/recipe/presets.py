"""Degradations of papers by name: what each is, where it was read, and how it differs from the published code.

A name in a recipe is replaced by what stands here, so that a built set says in full how its LR was made.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

_Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preset:
    """A degradation with a name."""

    summary: str
    """What it does, in a line."""
    source: str
    """Where its numbers were read."""
    differs: str
    """How it differs from the published code; empty when it does not."""
    degradation: _Json
    """What stands in the recipe for the name."""


_SIZES = [7, 9, 11, 13, 15, 17, 19, 21]
_ANY_ANGLE = {"low": -math.pi, "high": math.pi}
_METHODS = ["area", "bilinear", "bicubic"]


def _walking(low: float, high: float, walk: float) -> _Json:
    return {"low": low, "high": high, "walk": walk} if walk else {"low": low, "high": high}


def _chain(name: str, steps: list[_Json], **fields: str) -> _Json:
    return {"kind": "chain", "name": name, "steps": steps, **fields}


def _kernels(sigma: float, *, walk: bool) -> list[_Json]:
    """Return the six kernels of Real-ESRGAN; with ``walk``, their numbers change as in RealBasicVSR."""
    width = _walking(0.2, sigma, 0.02 * walk)
    angle = {**_ANY_ANGLE, "walk": 0.31416} if walk else _ANY_ANGLE
    # Below or above 1 alike often; 1..2 leaves nothing below 1 but 1 itself.
    generalized: _Json = {"choices": [{"low": 0.5, "high": 1.0}, {"low": 1.0, "high": 4.0}]}
    plateau: _Json = {"choices": [1.0, {"low": 1.0, "high": 2.0}]}
    if walk:
        generalized, plateau = _walking(0.5, 4.0, 0.05), _walking(1.0, 2.0, 0.1)
    shapes: list[_Json] = [
        {"shape": "gaussian"},
        {"shape": "generalized", "beta": generalized},
        {"shape": "plateau", "beta": plateau},
    ]
    kernels = []
    for shape in shapes:
        round_one = {"kind": "blur", **shape, "size": {"choices": _SIZES}, "sigma": width}
        kernels += [round_one, {**round_one, "sigma_across": width, "rotation": angle}]
    return kernels


def _sinc(sizes: list[int], lowest: float, *, walk: bool, probability: float = 1.0) -> _Json:
    step: _Json = {
        "kind": "blur",
        "shape": "sinc",
        "size": {"choices": sizes},
        "cutoff": _walking(lowest, math.pi, 0.0628 * walk),
    }
    return {**step, "probability": probability} if probability < 1 else step


def _random_blur(sigma: float, weights: list[float], *, walk: bool, probability: float = 1.0) -> _Json:
    """Return one of the six kernels or, once in ten, a sinc whose cutoff reaches lower when it is wide."""
    total = 0.9 / sum(weights)
    sincs = [_sinc(_SIZES[:3], math.pi / 3, walk=walk), _sinc(_SIZES[3:], math.pi / 5, walk=walk)]
    step: _Json = {
        "kind": "one-of",
        "steps": [*_kernels(sigma, walk=walk), *sincs],
        "weights": [*(round(weight * total, 6) for weight in weights), 0.0375, 0.0625],
    }
    return {**step, "probability": probability} if probability < 1 else step


def _random_resize(low: float, high: float, weights: list[float], *, base: str, walk: float) -> _Json:
    factor: _Json = {
        "choices": [{"low": 1.0, "high": high}, {"low": low, "high": 1.0}, 1.0],
        "weights": weights,
    }
    if walk:
        factor["walk"] = walk
    return {"kind": "resize", "base": base, "factor": factor, "methods": _METHODS}


def _random_noise(sigma: float, scale: float, *, walk: bool) -> _Json:
    noises: list[_Json] = [
        {"kind": "gaussian-noise", "sigma": _walking(1.0, sigma, 0.1 * walk), "grey": 0.4},
        {"kind": "poisson-noise", "scale": _walking(0.05, scale, 0.005 * walk), "grey": 0.4},
    ]
    if walk:
        noises = [{**noise, "clip": False} for noise in noises]
    return {"kind": "one-of", "steps": noises}


_TO_LR = {"kind": "resize", "base": "target", "methods": _METHODS}
# In the order of _kernels: round and not, of each shape.
_WEIGHTS = [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]


def _real_esrgan() -> _Json:
    jpeg = {"kind": "jpeg", "quality": {"low": 30, "high": 95}}
    last = [_TO_LR, _sinc(_SIZES, math.pi / 3, walk=False, probability=0.8)]
    return _chain(
        "real-esrgan",
        [
            _random_blur(3.0, _WEIGHTS, walk=False),
            _random_resize(0.15, 1.5, [0.2, 0.7, 0.1], base="input", walk=0),
            _random_noise(30.0, 3.0, walk=False),
            jpeg,
            _random_blur(1.5, _WEIGHTS, walk=False, probability=0.8),
            _random_resize(0.3, 1.2, [0.3, 0.4, 0.3], base="target", walk=0),
            _random_noise(25.0, 2.5, walk=False),
            {"kind": "shuffle", "groups": [last, [jpeg]]},
        ],
        of="crop",
        between="floats",
    )


def _real_basicvsr() -> _Json:
    jpeg = {"kind": "jpeg", "quality": _walking(30, 95, 3)}
    bitrate = {"low": 10_000, "high": 100_000}
    # libx264 and h264 are one encoder in FFmpeg.
    codec = {
        "kind": "one-of",
        "steps": [
            {"kind": "x264", "bitrate": bitrate, "fps": 1},
            {"kind": "mpeg4", "bitrate": bitrate, "fps": 1},
        ],
        "weights": [2 / 3, 1 / 3],
    }
    last = [_TO_LR, _sinc(_SIZES, math.pi / 3, walk=True, probability=0.8)]
    return _chain(
        "real-basicvsr",
        [
            _random_blur(3.0, _WEIGHTS, walk=True),
            _random_resize(0.15, 1.5, [0.2, 0.7, 0.1], base="input", walk=0.015),
            _random_noise(30.0, 3.0, walk=True),
            jpeg,
            codec,
            _random_blur(1.5, _WEIGHTS, walk=True, probability=0.8),
            _random_resize(0.3, 1.2, [0.3, 0.4, 0.3], base="input", walk=0.03),
            _random_noise(25.0, 2.5, walk=True),
            jpeg,
            {"kind": "shuffle", "groups": [[codec], last]},
        ],
        of="crop",
        between="floats",
    )


def _comisr(crf: int) -> Preset:
    return Preset(
        f"Gaussian of sigma 1.5, every 4th sample, then x264 at CRF {crf} and 10 frames a second",
        "google-research/comisr: README (ffmpeg lines, CRF 25) and lib/dataloader.py (cv2.GaussianBlur, sigmaX 1.5, "
        "[::4, ::4]); CRF 15, 25 and 35 are the levels of its tables as FTVSR cites them",
        "The lossless pass before (CRF 0, 10 frames a second) is left out: it changes no sample. 4:4:4, which ffmpeg "
        "takes for PNG when it is not told, so `color: rgb`. Encoder, FFmpeg and conversion from RGB are this "
        "machine's, not the authors'.",
        _chain(
            f"comisr-crf{crf}",
            [
                {
                    "kind": "gaussian-subsample",
                    "sigma": 1.5,
                    "radius": 6,
                    "phase": "first",
                    "border": "reflect",
                },
                {"kind": "x264", "crf": crf, "fps": 10, "chroma": "4:4:4"},
            ],
        ),
    )


PRESETS: dict[str, Preset] = {
    "bi": Preset(
        "Bicubic, as MATLAB's `imresize` on uint8",
        "The name that BasicVSR, EDVR and RCAN give it",
        "",
        {"kind": "bicubic"},
    ),
    "espcn": Preset(
        "Gaussian blur, then every scale-th sample",
        "ESPCN (arXiv 1609.05158), section 3.1; its sigma is not stated",
        "Sigma 1, the best of those that TU Delft's reproduction tried.",
        {"kind": "gaussian-subsample"},
    ),
    "dn": Preset(
        "Bicubic, then colour noise of sigma 30",
        "RCAN and RDN: DN",
        "Theirs is made for x3 in MATLAB; the noise is drawn by our rule.",
        _chain("dn", [{"kind": "bicubic"}, {"kind": "gaussian-noise", "sigma": 30}]),
    ),
    "ntire-rtsr": Preset(
        "Bicubic, then JPEG of quality 90",
        "NTIRE 2023 Real-Time Super-Resolution: the challenge's repository",
        "Which bicubic and which JPEG library made the published files is not stated; here MATLAB's and libjpeg-turbo.",
        _chain("ntire-rtsr", [{"kind": "bicubic"}, {"kind": "jpeg", "quality": 90}]),
    ),
    "real-esrgan": Preset(
        "Blur, resize, noise and JPEG, twice, all at random",
        "xinntao/Real-ESRGAN: options/train_realesrgan_x4plus.yml and the code that reads it; arXiv 2107.10833",
        "libjpeg-turbo with whole numbers as quality, where the authors have a differentiable JPEG with fractions; HR is "
        "not sharpened; no pool of 180 samples between the draws; float64.",
        _real_esrgan(),
    ),
    "real-basicvsr": Preset(
        "As Real-ESRGAN with video codecs; the numbers walk from frame to frame",
        "open-mmlab/mmagic: realbasicvsr_c64b20_1x30x8_lr5e-5_150k_reds.py and random_degradations.py; arXiv 2111.12704",
        "PyTorch's resizing where theirs is OpenCV's; libx264 in place of both `libx264` and `h264`, which are one "
        "encoder; values are clipped and rounded before a codec, where theirs drop the fraction; a kernel's exponent walks, "
        "where theirs is drawn anew in each frame between its walk and 1; HR is not sharpened; rows are not mirrored "
        "in time.",
        _real_basicvsr(),
    ),
    "comisr-crf15": _comisr(15),
    "comisr-crf25": _comisr(25),
    "comisr-crf35": _comisr(35),
    "aim-2024": Preset(
        "Lanczos, then SVT-AV1 at a CRF of 31..63, drawn for each clip",
        "AIM 2024 Efficient Video SR for AV1 Compressed Content (arXiv 2409.17256): Lanczos, SVT-AV1 at several CRFs",
        "Which CRFs, which preset of SVT-AV1 and which Lanczos are not stated where we read: the range, preset 8 and "
        "MATLAB's lanczos3 are ours.",
        _chain(
            "aim-2024",
            [
                {"kind": "lanczos"},
                {"kind": "av1", "crf": {"low": 31, "high": 63}},
            ],
        ),
    ),
}
"""Every preset by its name."""
