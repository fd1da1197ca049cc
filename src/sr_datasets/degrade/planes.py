"""What a video encoder gets of a picture: Y'CbCr planes of even size, and the way back."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from sr_datasets.color import Pixels, PlaneLayout, luma_of_rgb, pack_yuv420, split_yuv420, window

Chroma = Literal["4:2:0", "4:4:4"]


def planes_of(
    pixels: Pixels, color: Literal["y", "rgb", "yuv420"], chroma: Chroma, bit_depth: int, *, least: int
) -> list[Pixels]:
    """Return Y, U and V of a picture, padded at the bottom and on the right by its last row and column.

    Args:
        pixels: ``(planes, height, width)``; ``yuv420`` packed.
        color: What the planes are. ``rgb`` becomes BT.601 limited; ``y`` gets neutral chroma.
        chroma: Sampling of U and V.
        bit_depth: Bits per sample.
        least: Smallest side after padding; sides become even too.

    Returns:
        2-D arrays in the pixels' dtype.
    """
    if color == "yuv420":
        y, u, v = split_yuv420(pixels)
        rows, columns = (max(least, side + side % 2) for side in y.shape[-2:])
        return [
            _padded(y[0], rows, columns),
            _padded(u[0], rows // 2, columns // 2),
            _padded(v[0], rows // 2, columns // 2),
        ]
    height, width = pixels.shape[-2:]
    rows, columns = (max(least, side + side % 2) for side in (height, width))
    padded = np.stack([_padded(plane, rows, columns) for plane in pixels])
    if color == "rgb":
        return [luma_of_rgb(padded, bit_depth)[0], *_chroma_of_rgb(padded, chroma, bit_depth)]
    neutral = np.full((rows // 2, columns // 2), 1 << (bit_depth - 1), pixels.dtype)
    return [padded[0], neutral, neutral]


def pixels_of(
    planes: Sequence[Pixels],
    color: Literal["y", "rgb", "yuv420"],
    chroma: Chroma,
    bit_depth: int,
    *,
    height: int,
    width: int,
) -> Pixels:
    """Return the top left part of a decoded picture in the colour that it came in.

    Args:
        planes: Y, U and V, 2-D.
        color: What is asked for.
        chroma: Sampling of U and V.
        bit_depth: Bits per sample.
        height: Rows of the part.
        width: Columns of the part.

    Returns:
        ``(planes, height, width)``; ``yuv420`` packed.
    """
    if color == "y":
        return planes[0][np.newaxis, :height, :width]
    if color == "yuv420":
        chroma_planes = np.stack([plane[: height // 2, : width // 2] for plane in planes[1:]])
        return pack_yuv420(planes[0][np.newaxis, :height, :width], chroma_planes)
    log2 = 1 if chroma == "4:2:0" else 0
    layout = PlaneLayout("yuv", log2, log2, bit_depth, "center" if log2 else "none", "bt601", "limited")
    return window(planes, layout, color="rgb", top=0, left=0, height=height, width=width)


def _padded(plane: Pixels, rows: int, columns: int) -> Pixels:
    height, width = plane.shape
    return (
        plane
        if plane.shape == (rows, columns)
        else np.pad(plane, ((0, rows - height), (0, columns - width)), mode="edge")
    )


def _chroma_of_rgb(rgb: Pixels, chroma: Chroma, bit_depth: int) -> list[Pixels]:
    """Return Cb and Cr of BT.601 limited: of each pixel, or of the mean of each 2x2; exact, a half rounded up.

    ``Cb = 128 k + 224 k (B' - Y') / 1.772``, ``Cr = 128 k + 224 k (R' - Y') / 1.402``, with R', G', B' and Y' in 0..1
    and ``k = 2**(bit_depth - 8)``.
    """
    step, peak = 1 << (bit_depth - 8), (1 << bit_depth) - 1
    red, green, blue = rgb.astype(np.int64)
    count = 1
    if chroma == "4:2:0":
        red, green, blue = (_sum_of_2x2(plane) for plane in (red, green, blue))
        count = 4
    luma = 299 * red + 587 * green + 114 * blue
    result = []
    for plane, divisor in ((blue, 1772), (red, 1402)):
        whole = divisor * peak * count
        scaled = (1000 * plane - luma) * (224 * step)
        value = 128 * step + (2 * scaled + whole) // (2 * whole)
        result.append(value.astype(rgb.dtype))
    return result


def _sum_of_2x2(plane: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return plane[::2, ::2] + plane[::2, 1::2] + plane[1::2, ::2] + plane[1::2, 1::2]
