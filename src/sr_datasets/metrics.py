"""PSNR, SSIM, and the evaluation convention as a value.

A PSNR means nothing without its convention: the same pictures differ by 2 dB between luma and
RGB. ``Protocol`` holds the convention, ``str(protocol)`` is the line to print beside each number,
and ``PROTOCOLS`` has the four that printed tables use.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]

SsimWindow = Literal["gaussian11", "uniform7"]
"""``gaussian11``: 11x11 Gaussian of sigma 1.5 (Wang et al. 2004); ``uniform7``: 7x7 mean."""

# Rows that one step of SSIM handles: the working set then stays in the cache of a core.
_SSIM_ROWS = 32


@dataclass(frozen=True, slots=True)
class Score:
    """How near one picture, or a set of them, comes to the original."""

    psnr: float
    """dB; infinite when equal."""
    ssim: float
    """-1..1; 1 when equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """Everything that changes a PSNR and is not the method that is measured."""

    name: str = "custom"
    """Its name in tables."""
    channel: Literal["y", "rgb"]
    """``y``: BT.601 studio-range luma; ``rgb``: the mean over the three planes."""
    luma: Literal["rounded", "float"] = "rounded"
    """Whether luma made of RGB is rounded to the picture's depth; without meaning for ``rgb``."""
    lr_path: Literal["y64", "rgb1", "rgb8"]
    """How LR is made and enlarged. ``y64``: on luma, in double, LR not rounded; ``rgb1``: on RGB,
    LR and SR rounded once; ``rgb8``: on RGB, rounded after each pass, as MATLAB on uint8."""
    mod_crop: int | Literal["scale"] = "scale"
    """HR is first cut, at the right and bottom, to a multiple of this."""
    border: int | Literal["scale"]
    """HR pixels left out on each side."""
    skip_ends: int = 0
    """Frames left out at the start and at the end of a clip."""
    averaging: Literal["frames", "clips"] = "frames"
    """``frames``: each picture or frame counts the same; ``clips``: means of clips are averaged."""
    ssim_window: SsimWindow = "gaussian11"
    """Window of SSIM."""

    def __post_init__(self) -> None:
        for field, value, least in (
            ("mod_crop", self.mod_crop, 1),
            ("border", self.border, 0),
            ("skip_ends", self.skip_ends, 0),
        ):
            if value != "scale" and value < least:
                raise ValueError(f"{field} is {value}, must be at least {least}")
        if self.channel == "rgb" and self.lr_path == "y64":
            raise ValueError("the path y64 has luma only: it cannot be scored in RGB")
        if self.luma == "float" and self.lr_path == "y64":
            raise ValueError("the path y64 starts from rounded luma: it cannot be scored on float luma")

    def __str__(self) -> str:
        channel = "RGB" if self.channel == "rgb" else f"Y BT.601 {self.luma}"
        frames = f"skip {self.skip_ends} frames each end" if self.skip_ends else "all frames"
        window = "11x11 Gaussian" if self.ssim_window == "gaussian11" else "7x7 uniform"
        return (
            f"{self.name}: {channel}, LR {self.lr_path}, mod-crop {self.mod_crop}, border {self.border}, "
            f"{frames}, mean of {self.averaging}, SSIM {window}"
        )

    def cropped(self, height: int, width: int, scale: int) -> tuple[int, int]:
        """Return height and width after mod-crop; both are multiples of the scale.

        Raises:
            ValueError: ``mod_crop`` is not a multiple of the scale, or nothing is left.
        """
        unit = scale if self.mod_crop == "scale" else self.mod_crop
        if unit % scale:
            raise ValueError(f"mod_crop {unit} is not a multiple of the scale {scale}")
        if height < unit or width < unit:
            raise ValueError(f"a picture of {width}x{height} is smaller than mod_crop {unit}")
        return height - height % unit, width - width % unit

    def border_at(self, scale: int) -> int:
        """Return how many HR pixels are left out on each side."""
        return scale if self.border == "scale" else self.border

    def frames_of(self, num_frames: int) -> range:
        """Return the indices of the frames of a clip that count.

        Raises:
            ValueError: None is left.
        """
        frames = range(self.skip_ends, num_frames - self.skip_ends)
        if not frames:
            raise ValueError(f"{num_frames} frames leave none when {self.skip_ends} are skipped at each end")
        return frames


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # The printed tables of Set5 and Set14: SRCNN, ESPCN, VDSR. Bicubic on Set5 x3 is 30.39 / 0.8682.
        Protocol(name="y-double", channel="y", luma="rounded", lr_path="y64", border="scale"),
        # 8-bit RGB LR files, as EDSR and BasicSR feed them; luma not rounded. Set5 x3: 30.40 / 0.8689.
        Protocol(name="y-8bit", channel="y", luma="float", lr_path="rgb8", border="scale"),
        # BasicSR, EDVR, BasicVSR on Vid4: bicubic x4 is 23.78 / 0.6347.
        Protocol(name="vid4", channel="y", luma="float", lr_path="rgb1", border=0, averaging="clips"),
        # As y-8bit over R, G, B: 1.5 to 2 dB lower on the same pictures.
        Protocol(name="rgb", channel="rgb", lr_path="rgb8", border="scale"),
    )
}
"""The conventions that have names."""


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Raises:
        ValueError: There is none; the message lists the known ones.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"there is no protocol '{name}'; known are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def psnr(a: npt.ArrayLike, b: npt.ArrayLike, *, peak: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite when the arrays are equal.

    Args:
        a: Any shape, any real dtype.
        b: Same shape.
        peak: The greatest value a sample can have.

    Raises:
        ValueError: The shapes differ, or the arrays are empty.

    Example:
        >>> psnr(np.zeros((1, 4, 4)), np.full((1, 4, 4), 25.5))
        20.0
    """
    first, second = _same_shape(a, b)
    error = float(np.mean(np.square(first - second)))
    return 10 * math.log10(peak * peak / error) if error else math.inf


def ssim(
    a: npt.ArrayLike, b: npt.ArrayLike, *, peak: float = 255.0, window: SsimWindow = "gaussian11"
) -> float:
    """Return the structural similarity (Wang et al., 2004), the mean over planes and positions.

    Only positions whose window lies inside the picture count. C1 = (0.01 peak)^2, C2 = (0.03 peak)^2.
    ``gaussian11`` equals BasicSR and the authors' MATLAB code; ``uniform7`` takes sample variances
    (divided by 48, not 49), as scikit-image's default.

    Args:
        a: ``(height, width)`` or ``(planes, height, width)``, any real dtype.
        b: Same shape.
        peak: The greatest value a sample can have.
        window: Window of the local statistics.

    Raises:
        ValueError: The shapes differ, or the picture is smaller than the window.

    Example:
        >>> ssim(np.eye(16), np.eye(16), peak=1.0)
        1.0
    """
    first, second = _same_shape(a, b)
    weights = _window_weights(window)
    if first.ndim not in (2, 3) or min(first.shape[-2:]) < len(weights):
        raise ValueError(
            f"SSIM with a {len(weights)}x{len(weights)} window needs pictures at least that large, not {first.shape}"
        )
    planes = first.reshape(-1, *first.shape[-2:]), second.reshape(-1, *first.shape[-2:])
    samples = 1.0 if window == "gaussian11" else 49 / 48
    sums = [_ssim_sum(x, y, weights, peak, samples) for x, y in zip(*planes, strict=True)]
    rows, columns = (int(side) - len(weights) + 1 for side in first.shape[-2:])
    return math.fsum(sums) / (len(sums) * rows * columns)


def score(
    sr: npt.ArrayLike, hr: npt.ArrayLike, protocol: Protocol, scale: int, *, bit_depth: int = 8
) -> Score:
    """Score a picture that is in the protocol's channel already: cut the border, then PSNR and SSIM.

    Args:
        sr: ``(planes, height, width)``, 0..2**bit_depth - 1.
        hr: Same shape.
        protocol: Says the border and the window of SSIM.
        scale: HR-to-LR ratio.
        bit_depth: Bits per sample: the peak is ``2**bit_depth - 1``.

    Raises:
        ValueError: The shapes differ, or the border leaves too little.
    """
    border = protocol.border_at(scale)
    first, second = _same_shape(sr, hr)
    height, width = first.shape[-2:]
    inside = np.s_[..., border : height - border, border : width - border]
    peak = float((1 << bit_depth) - 1)
    return Score(
        psnr=psnr(first[inside], second[inside], peak=peak),
        ssim=ssim(first[inside], second[inside], peak=peak, window=protocol.ssim_window),
    )


def mean_score(clips: Sequence[Sequence[Score]], protocol: Protocol) -> Score:
    """Average scores as the protocol says.

    Args:
        clips: For each clip the scores of its frames; a picture is a clip of one frame.
        protocol: Says whether frames or clips count the same.

    Raises:
        ValueError: There is no score, or a clip has none.
    """
    if not clips or not all(clips):
        raise ValueError("there is nothing to average: every clip needs at least one score")
    if protocol.averaging == "clips":
        scores = [_mean(frames) for frames in clips]
    else:
        scores = [frame for frames in clips for frame in frames]
    return _mean(scores)


def _mean(scores: Sequence[Score]) -> Score:
    return Score(
        psnr=math.fsum(each.psnr for each in scores) / len(scores),
        ssim=math.fsum(each.ssim for each in scores) / len(scores),
    )


def _same_shape(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[_Floats, _Floats]:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.size == 0:
        raise ValueError(f"two pictures of one size are compared, not {first.shape} and {second.shape}")
    return first, second


@lru_cache
def _window_weights(window: SsimWindow) -> tuple[float, ...]:
    if window == "uniform7":
        return (1 / 7,) * 7
    bell = [math.exp(-(offset**2) / (2 * 1.5**2)) for offset in range(-5, 6)]
    return tuple(weight / math.fsum(bell) for weight in bell)


def _ssim_sum(x: _Floats, y: _Floats, weights: tuple[float, ...], peak: float, samples: float) -> float:
    """Return the sum of the SSIM map of one plane, made a few rows at a time."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    taps = len(weights)
    sums = []
    for top in range(0, x.shape[0] - taps + 1, _SSIM_ROWS):
        # The slice ends at the picture's last row, so the last step may be shorter.
        box = slice(top, top + _SSIM_ROWS + taps - 1)
        maps = np.stack([x[box], y[box], x[box] ** 2 + y[box] ** 2, x[box] * y[box]])
        mean_x, mean_y, squares, product = _filter(_filter(maps, weights, axis=1), weights, axis=2)
        means = mean_x * mean_y
        mean_squares = mean_x**2 + mean_y**2
        # Only the sum of both variances enters, so both are filtered as one.
        variances, covariance = samples * (squares - mean_squares), samples * (product - means)
        ratio = (2 * means + c1) * (2 * covariance + c2) / ((mean_squares + c1) * (variances + c2))
        sums.append(float(np.sum(ratio)))
    return math.fsum(sums)


def _filter(maps: _Floats, weights: tuple[float, ...], axis: int) -> _Floats:
    """Filter along one axis with a symmetric window, where the window fits."""
    taps, size = len(weights), maps.shape[axis]
    length = size - taps + 1

    def shifted(offset: int) -> _Floats:
        place = [slice(None)] * 3
        place[axis] = slice(offset, offset + length)
        return maps[tuple(place)]

    total = shifted(taps // 2) * weights[taps // 2]
    for offset in range(taps // 2):
        total += (shifted(offset) + shifted(taps - 1 - offset)) * weights[offset]
    return total
