"""Moving scenes at the rate of fields, and the ways to take them as frames: whole, woven, or spread over fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from sr_datasets.manifest import VideoInfo
from sr_datasets.video.base import ClipReader, Frame
from sr_datasets.video.scan import detect_scan

Image = npt.NDArray[np.float64]
Luma = npt.NDArray[np.uint8]

TEXTURES = ("natural", "rows", "columns", "checker", "print", "rough")


def texture(kind: str, *, height: int = 160, width: int = 240, seed: int = 0) -> Image:
    """Return a picture of values about 16 to 235 that can be moved round and round.

    ``natural`` falls with 1/f as photographs do; ``rows`` adds stripes two to three rows high, ``columns``
    stripes as wide, ``checker`` a board of single samples; ``print`` is small black glyphs on white; ``rough`` is flat in
    its spectrum.
    """
    draws = np.random.default_rng([seed, *kind.encode()])
    y, x = np.mgrid[0:height, 0:width]
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    falling = np.maximum(np.hypot(fy, fx), 1 / max(height, width))
    natural = np.fft.ifft2(np.fft.fft2(draws.normal(size=(height, width))) / falling).real
    natural *= 35 / natural.std()
    match kind:
        case "natural":
            picture = natural
        case "rows":
            picture = 0.6 * natural + 40 * np.sign(np.sin(2 * np.pi * y * round(height / 2.5) / height + 0.1))
        case "columns":
            picture = 0.6 * natural + 40 * np.sign(np.sin(2 * np.pi * x * round(width / 2.5) / width + 0.1))
        case "checker":
            picture = 0.6 * natural + 40.0 * ((x + y) % 2 * 2 - 1)
        case "print":
            glyphs = draws.integers(0, 2, (height // 5, width // 5, 5, 5))
            glyphs[:, :, 4, :] = glyphs[:, :, :, 4] = 0
            picture = 90.0 - 180 * glyphs.swapaxes(1, 2).reshape(height // 5 * 5, width // 5 * 5)
            picture = np.pad(picture, ((0, height % 5), (0, width % 5)), mode="edge")
        case "rough":
            picture = draws.normal(0, 35, (height, width))
        case _:
            raise ValueError(kind)
    return np.clip(picture + 126, 16, 235)


def moments(
    picture: Image, count: int, *, right: float = 0.0, down: float = 0.0, part: float = 1.0
) -> list[Image]:
    """Return a picture at ``count`` moments, moved by so many samples from one to the next.

    Args:
        picture: What moves; it comes back on the other side.
        count: Moments: twice the number of frames.
        right: Samples a field.
        down: Rows a field.
        part: Share of the picture's height and width that moves; the rest is at rest.
    """
    height, width = picture.shape
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    spectrum = np.fft.fft2(picture)
    inside = np.zeros(picture.shape, bool)
    inside[: round(height * part), : round(width * part)] = True
    made = []
    for number in range(count):
        turned = spectrum * np.exp(-2j * np.pi * (fy * down + fx * right) * number)
        moved = np.fft.ifft2(turned).real
        made.append(np.where(inside, moved, picture))
    return made


Way = Literal["progressive", "top first", "bottom first", "telecine"]
WAYS: tuple[Way, ...] = ("progressive", "top first", "bottom first", "telecine")


def frames_of(
    scene: Sequence[Image], way: Way, *, noise: float = 0.0, seed: int = 0, phase: int = 0
) -> list[Luma]:
    """Take a scene as frames, half as many as moments.

    ``telecine`` spreads film frames (every second moment) over 3, 2, 3, 2 ... fields, top first.

    Args:
        scene: Moments at the rate of fields.
        way: How.
        noise: Standard deviation of the camera's noise, new in each field.
        seed: Of the noise.
        phase: Fields of the cadence that went before.
    """
    draws = np.random.default_rng(seed)
    frames = []
    for number in range(len(scene) // 2):
        early, late = 2 * number, 2 * number + 1
        match way:
            case "progressive":
                late = early
            case "telecine":
                early, late = ((field + phase) * 2 // 5 * 2 % len(scene) for field in (early, late))
            case "bottom first":
                early, late = late, early
            case "top first":
                pass
        frame = scene[early].copy()
        frame[1::2] = scene[late][1::2]
        frames.append(to_luma(frame + draws.normal(0, noise, frame.shape)))
    return frames


def to_luma(picture: Image) -> Luma:
    """Round to 8 bits."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


MOTIONS = (
    {"right": 0.25},
    {"right": 0.5},
    {"right": 1},
    {"right": 2},
    {"right": 4},
    {"right": 9},
    {"right": 25},
    {"down": 0.5},
    {"down": 1},
    {"down": 2},
    {"down": 3},
    {"right": 1.3, "down": 0.7},
    {"right": 3, "down": -1.5},
    {"right": 2, "part": 0.4},
    {"down": 1, "part": 0.4},
)
"""Samples a field to the right and down, and the share of the picture that moves."""


class Shown(ClipReader):
    """Frames in memory, as a reader of a clip that says nothing of its scan."""

    def __init__(self, frames: Sequence[Luma]) -> None:
        height, width = frames[0].shape
        color = {"matrix": "bt709", "range": "limited", "transfer": "bt709", "siting": "none"}
        info = VideoInfo.model_validate(
            {
                "media": "raw",
                "container": "raw",
                "codec": "rawvideo",
                "width": width,
                "height": height,
                "num_frames": len(frames),
                "frame_rate": 25,
                "pixel_format": "gray",
                "bit_depth": 8,
                "model": "gray",
                "chroma_log2_x": 0,
                "chroma_log2_y": 0,
                "time_base": "1/25",
                "scan": "unknown",
                "color": color | {f"{name}_from": "guessed" for name in color},
            }
        )
        super().__init__(Path("memory"), info)
        self._frames = frames

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        for index in wanted:
            yield Frame((self._frames[index],), index, index)

    def close(self) -> None:
        """Do nothing."""


def said_of(frames: Sequence[Luma]) -> str:
    """Return the detector's word for frames."""
    with Shown(frames) as reader:
        return detect_scan(reader).scan


def woven(frames: Sequence[Luma], way: Way) -> list[Luma]:
    """Take progressive frames for moments, and weave them."""
    return frames_of([frame.astype(np.float64) for frame in frames], way)
