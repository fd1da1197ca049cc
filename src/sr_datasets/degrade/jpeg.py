"""JPEG by Pillow: what a frame looks like after it was written and read."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, __version__, features

from sr_datasets.color import Pixels
from sr_datasets.degrade.effect import EachFrame, draw_numbers
from sr_datasets.degrade.resample import to_whole
from sr_datasets.degrade.step import Context, Region, Samples, Scope, StepDraws
from sr_datasets.recipe.effects import Jpeg
from sr_datasets.recipe.numbers import is_drawn


class JpegStep(EachFrame[int]):
    """Writes each frame as JPEG and reads it back."""

    scope: Scope = "frame"
    planewise = False

    def __init__(self, part: Jpeg, context: Context) -> None:
        super().__init__(context)
        if context.bit_depth != 8:
            raise ValueError(f"jpeg holds 8 bits, the clip has {context.bit_depth}")
        if context.color == "yuv420":
            raise ValueError("jpeg takes color rgb (as RGB) or y (as grey), not yuv420 planes")
        self._part = part
        self.draws = is_drawn(part.quality)

    def values(self, count: int, draws: StepDraws) -> Sequence[int]:
        """Return the quality of each frame."""
        return [int(value) for value in draw_numbers("quality", self._part.quality, count, draws, whole=True)]

    def frame(
        self,
        samples: Samples,
        value: int,
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        number: int,
        draws: StepDraws,
    ) -> Samples:
        """Return the part of the frame as it is read."""
        pixels: Pixels
        if samples.dtype == np.float64:
            pixels = to_whole(samples.astype(np.float64), self.context.peak).astype(np.uint8)
        else:
            pixels = samples.astype(np.uint8, copy=False)
        read = round_trip(pixels, value, self._part.subsampling)
        result: Samples = out.cut(read, at).astype(samples.dtype)
        return result


def round_trip(pixels: Pixels, quality: int, subsampling: str) -> Pixels:
    """Return a picture as it is read after it was written as JPEG.

    Args:
        pixels: ``(planes, height, width)`` uint8, one plane (grey) or three (RGB).
        quality: Of libjpeg, 1..100.
        subsampling: Of chroma, ``4:4:4``, ``4:2:2`` or ``4:2:0``.
    """
    file = io.BytesIO()
    if len(pixels) == 1:
        Image.fromarray(pixels[0]).save(file, "JPEG", quality=quality)
    else:
        interleaved = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        Image.fromarray(interleaved).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as image:
        read = np.asarray(image)
    planes: Pixels = read[np.newaxis] if read.ndim == 2 else read.transpose(2, 0, 1)
    return planes


def jpeg_library() -> str:
    """Return which library writes and reads JPEG.

    Example:
        >>> jpeg_library().split()[0]
        'Pillow'
    """
    turbo = features.version("libjpeg_turbo")
    library = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return f"Pillow {__version__}, {library}"
