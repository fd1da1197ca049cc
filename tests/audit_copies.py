"""Copies of pictures as people make them, for tests and rates of the audit."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

Luma = npt.NDArray[np.float32]


def read_luma(path: Path) -> Luma:
    """Return ``(height, width)`` luma of a picture in 8-bit levels."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32)


def as_bytes(luma: Luma) -> npt.NDArray[np.uint8]:
    return np.clip(luma + 0.5, 0, 255).astype(np.uint8)


def rescaled(luma: Luma, scale: float) -> Luma:
    """Resize by Pillow's bicubic, to whole samples."""
    height, width = luma.shape
    small = Image.fromarray(as_bytes(luma)).resize(
        (round(width * scale), round(height * scale)), Image.Resampling.BICUBIC
    )
    return np.asarray(small, np.float32)


def jpeg(luma: Luma, quality: int) -> Luma:
    data = io.BytesIO()
    Image.fromarray(as_bytes(luma)).save(data, "JPEG", quality=quality)
    with Image.open(data) as picture:
        return np.asarray(picture, np.float32)


def h264(luma: Luma, crf: int) -> Luma:
    """Encode the picture as the only frame of an H.264 stream by x264, and decode it."""
    even = luma[: luma.shape[0] // 2 * 2, : luma.shape[1] // 2 * 2]
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=Fraction(25), options={"crf": str(crf), "preset": "fast"})
        stream.width, stream.height = even.shape[1], even.shape[0]
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(as_bytes(even)), "gray")
        out.mux([*stream.encode(frame), *stream.encode(None)])
    data.seek(0)
    with av.open(data) as back:
        return next(back.decode(video=0)).to_ndarray(format="gray").astype(np.float32)


def noisy(luma: Luma, deviation: float) -> Luma:
    noise = np.random.default_rng(0).normal(0, deviation, luma.shape)
    return as_bytes(luma + noise.astype(np.float32)).astype(np.float32)


def gamma(luma: Luma, exponent: float) -> Luma:
    return as_bytes(255 * (luma / 255) ** np.float32(exponent)).astype(np.float32)


COPIES: dict[str, Callable[[Luma], Luma]] = {
    "crop only": lambda luma: luma,
    "x 0.5": lambda luma: rescaled(luma, 0.5),
    "x 0.7": lambda luma: rescaled(luma, 0.7),
    "x 1.5": lambda luma: rescaled(luma, 1.5),
    "x 2": lambda luma: rescaled(luma, 2.0),
    "JPEG 50": lambda luma: jpeg(luma, 50),
    "JPEG 20": lambda luma: jpeg(luma, 20),
    "H.264 CRF 23": lambda luma: h264(luma, 23),
    "H.264 CRF 35": lambda luma: h264(luma, 35),
    "x 0.5, H.264 CRF 28": lambda luma: h264(rescaled(luma, 0.5), 28),
    "x 0.7, JPEG 40": lambda luma: jpeg(rescaled(luma, 0.7), 40),
    "mirrored": lambda luma: np.ascontiguousarray(luma[:, ::-1]),
    "gamma 0.7": lambda luma: gamma(luma, 0.7),
    "gamma 1.5": lambda luma: gamma(luma, 1.5),
    "darker, flatter": lambda luma: as_bytes(0.6 * luma + 16).astype(np.float32),
    "noise 5": lambda luma: noisy(luma, 5),
    "noise 10": lambda luma: noisy(luma, 10),
    "10 bits": lambda luma: (
        (luma * 4 + np.random.default_rng(0).integers(0, 4, luma.shape)).astype(np.float32) / 4
    ),
}
"""Ways in which a picture comes back, by name."""


def cut(luma: Luma, size: int, rng: np.random.Generator) -> Luma | None:
    """Return a square of the picture at a random place, or None when it is too small."""
    height, width = luma.shape
    if min(height, width) < size:
        return None
    top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
    return np.ascontiguousarray(luma[top : top + size, left : left + size])


def scene(seed: int, size: int = 256) -> Luma:
    """Return a picture of discs and bars on rough ground that falls with 1/f, as photographs do."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    luma = np.full((size, size), 128, np.float32)
    for side in (4, 8, 16, 32, 64, 128):
        coarse = rng.normal(128, 96 / side**0.5, (side, side)).astype(np.float32)
        luma += rescaled(coarse, size / side) - 128
    for _ in range(size // 4):
        cy, cx, radius = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(2, size / 12)
        step = rng.uniform(-80, 80)
        if rng.random() < 0.5:
            luma[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] += step
        else:
            luma[(abs(y - cy) < radius) & (abs(x - cx) < rng.uniform(1, radius))] += step
    return rescaled(luma, 1.0)
