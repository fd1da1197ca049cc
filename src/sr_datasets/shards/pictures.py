"""Pixels as PNG, and the small picture of a row that viewers show."""

import io
from typing import Final

import numpy as np
from PIL import Image

from sr_datasets.shards.schema import Pixels, Row

PREVIEW_SIDE: Final = 128
"""Most rows of a preview; larger patches are shown by every k-th sample."""


def check_png(color: str, bit_depth: int, *, has_lr: bool) -> None:
    """Refuse what PNG cannot hold.

    Args:
        color: ``y``, ``rgb`` or ``yuv420``.
        bit_depth: Bits per sample.
        has_lr: Whether rows have LR samples.

    Raises:
        ValueError: It is packed 4:2:0, or R'G'B' above 8 bits, or a row has no LR.
    """
    other = "take storage: zstd, or raw"
    if color not in ("y", "rgb"):
        raise ValueError(f"PNG has no 4:2:0 planes, so storage: png cannot hold color: {color}; {other}")
    if color == "rgb" and bit_depth > 8:
        raise ValueError(f"storage: png holds rgb of up to 8 bits, not {bit_depth}; {other}")
    if not has_lr:
        raise ValueError(f"PNG has no picture without samples, so storage: png needs an LR; {other}")


def png_of_planes(planes: Pixels) -> bytes:
    """Return one picture as PNG.

    Args:
        planes: ``(1, h, w)`` uint8 or uint16, or ``(3, h, w)`` uint8.

    Returns:
        Grey of 8 or 16 bits (the value in the low bits, as everywhere in a shard), or 8-bit truecolour.
    """
    if planes.shape[0] == 3:
        picture = Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
    else:
        picture = Image.fromarray(np.ascontiguousarray(planes[0]))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def planes_of_png(data: bytes | memoryview) -> Pixels:
    """Return the planes of a PNG of ``png_of_planes``, ``(1, h, w)`` or ``(3, h, w)``.

    Raises:
        ValueError: It is no such PNG.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.mode not in ("L", "RGB", "I;16"):
                raise ValueError(f"a PNG of mode {picture.mode}")
            pixels = np.asarray(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
    if pixels.ndim == 2:
        return pixels[None]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def preview_of(row: Row) -> bytes:
    """Return a small 8-bit PNG of a row: LR, enlarged without interpolation, beside HR; HR alone without LR.

    Of several frames the middle one; of ``yuv420`` luma. For looking at: no training reads it.
    """
    hr = _eight_bits(row.hr, row)
    beside = [hr]
    if row.lr.size:
        lr = _eight_bits(row.lr, row)
        beside.insert(0, lr.repeat(row.scale, axis=1).repeat(row.scale, axis=2))
    step = -(-hr.shape[1] // PREVIEW_SIDE)
    return png_of_planes(np.concatenate([one[:, ::step, ::step] for one in beside], axis=2))


def _eight_bits(pixels: Pixels, row: Row) -> Pixels:
    planes = pixels[len(pixels) // 2] if pixels.ndim == 4 else pixels
    if row.color == "yuv420":
        planes = planes[:, : planes.shape[1] * 2 // 3]
    if planes.dtype == np.uint8:
        return planes
    return (planes >> (row.bit_depth - 8)).astype(np.uint8)
