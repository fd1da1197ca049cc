"""Pixel formats: how stored bytes become planes, exactly, with no conversion of any sample.

Every format keeps its samples: packed and semi-planar 4:2:2 and 4:2:0 are taken apart into
planes, ``gbrp`` is put into the order R, G, B, samples that sit in the high bits (``p010``) are
shifted down. Alpha is dropped where it is opaque, and refused elsewhere, since a transparent
picture has no colour without a background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from sr_datasets.video.base import Plane, RawPlane

_Samples = npt.NDArray[np.unsignedinteger]  # (rows, samples per row) of one stored plane
_Take = Callable[[Sequence[_Samples], int, int], tuple[tuple[_Samples, ...], _Samples | None]]


class TransparentError(Exception):
    """A picture has samples that are not opaque."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One pixel format of FFmpeg's."""

    name: str
    """FFmpeg's name of the planes that ``unpack`` gives, such as ``yuv422p`` for ``uyvy422``."""
    model: Literal["gray", "yuv", "rgb"]
    """Which planes there are: Y; Y, U, V; or R, G, B."""
    log2_x: int
    """0 when chroma is as wide as luma, 1 when half (rounded up)."""
    log2_y: int
    """0 when chroma is as high as luma, 1 when half (rounded up)."""
    bit_depth: int
    """Bits per sample, 8 to 16."""
    full_range: bool
    """The format itself says full range: RGB, and FFmpeg's yuvj formats."""
    stored: tuple[tuple[int, int, int], ...]
    """Each stored plane: samples per group of pixels in a row, and log2 of that group's width and height."""
    dtype: str
    """NumPy's name of a stored sample: ``u1``, ``<u2`` or ``>u2``."""
    shift: int
    """Unused low bits of a stored sample."""
    take: _Take
    """Takes planes out of stored planes, and alpha."""

    def stored_shapes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Return ``(rows, bytes per row)`` of each stored plane, packed without padding."""
        size = np.dtype(self.dtype).itemsize
        return [
            (_halved(height, log2_y), _halved(width, log2_x) * samples * size)
            for samples, log2_x, log2_y in self.stored
        ]

    def frame_bytes(self, width: int, height: int) -> int:
        """Return the bytes of one frame, packed without padding."""
        return sum(rows * row_bytes for rows, row_bytes in self.stored_shapes(width, height))

    def unpack(self, stored: Sequence[RawPlane], width: int, height: int) -> tuple[Plane, ...]:
        """Turn stored planes into planes of samples; a view of them where that is enough.

        Args:
            stored: Each stored plane's bytes, shapes as ``stored_shapes`` gives them.
            width: Luma samples per row.
            height: Luma rows.

        Raises:
            TransparentError: A sample of the alpha plane is not opaque.
        """
        samples = [plane.view(self.dtype) for plane in stored]
        planes, alpha = self.take(samples, width, height)
        if alpha is not None and not bool((alpha == (1 << self.bit_depth) - 1 << self.shift).all()):
            raise TransparentError
        return tuple(_native(plane, self.shift) for plane in planes)


def _halved(length: int, log2: int) -> int:
    return -(-length >> log2)


def _native(plane: _Samples, shift: int) -> Plane:
    if plane.dtype.itemsize == 1:
        return plane.view(np.uint8)  # a type for mypy; nothing changes
    native = plane.astype(np.uint16, copy=False)
    return np.right_shift(native, np.uint16(shift)) if shift else native


@cache
def find_format(name: str) -> PixelFormat | None:
    """Return a pixel format by FFmpeg's name, or None for one that is not read here."""
    return _all_formats().get(name)


@cache
def _all_formats() -> dict[str, PixelFormat]:
    formats: dict[str, PixelFormat] = {}
    for depth in (8, 9, 10, 12, 14, 16):
        for dtype, tail in _endings(depth):
            out_tail = "" if depth == 8 else f"{depth}le"
            formats.update(_planar(depth, dtype, tail, out_tail))
    for bits, depth in ((8, 8), (16, 16)):
        for dtype, tail in _endings(depth):
            formats.update(_packed_rgb(bits, depth, dtype, tail))
    formats.update(_packed_yuv())
    formats.update(_semi_planar())
    return formats


def _endings(depth: int) -> tuple[tuple[str, str], ...]:
    return (("u1", ""),) if depth == 8 else (("<u2", f"{depth}le"), (">u2", f"{depth}be"))


def _planar(depth: int, dtype: str, tail: str, out_tail: str) -> dict[str, PixelFormat]:
    def take_all(stored: Sequence[_Samples], width: int, height: int) -> tuple[tuple[_Samples, ...], None]:
        return tuple(stored), None

    def take_alpha(
        stored: Sequence[_Samples], width: int, height: int
    ) -> tuple[tuple[_Samples, ...], _Samples]:
        return tuple(stored[:-1]), stored[-1]

    def take_gbr(stored: Sequence[_Samples], width: int, height: int) -> tuple[tuple[_Samples, ...], None]:
        return (stored[2], stored[0], stored[1]), None

    def take_gbra(
        stored: Sequence[_Samples], width: int, height: int
    ) -> tuple[tuple[_Samples, ...], _Samples]:
        return (stored[2], stored[0], stored[1]), stored[3]

    whole = (1, 0, 0)
    made = {
        f"gray{tail}": PixelFormat(
            f"gray{out_tail}", "gray", 0, 0, depth, False, (whole,), dtype, 0, take_all
        ),
        f"gbrp{tail}": PixelFormat(
            f"gbrp{out_tail}", "rgb", 0, 0, depth, True, (whole,) * 3, dtype, 0, take_gbr
        ),
        f"gbrap{tail}": PixelFormat(
            f"gbrp{out_tail}", "rgb", 0, 0, depth, True, (whole,) * 4, dtype, 0, take_gbra
        ),
    }
    for family, log2_x, log2_y in (("420", 1, 1), ("422", 1, 0), ("440", 0, 1), ("444", 0, 0)):
        chroma = (1, log2_x, log2_y)
        name = f"yuv{family}p{out_tail}"
        planes = (whole, chroma, chroma)
        made[f"yuv{family}p{tail}"] = PixelFormat(
            name, "yuv", log2_x, log2_y, depth, False, planes, dtype, 0, take_all
        )
        made[f"yuva{family}p{tail}"] = PixelFormat(
            name, "yuv", log2_x, log2_y, depth, False, (*planes, whole), dtype, 0, take_alpha
        )
        if depth == 8:
            made[f"yuvj{family}p"] = PixelFormat(
                name, "yuv", log2_x, log2_y, depth, True, planes, dtype, 0, take_all
            )
    return made


def _packed_rgb(bits: int, depth: int, dtype: str, tail: str) -> dict[str, PixelFormat]:
    end = tail.removeprefix("16")  # FFmpeg writes rgb48le for three samples of 16 bits

    def one(order: str) -> PixelFormat:
        count = len(order)

        def take(
            stored: Sequence[_Samples], width: int, height: int
        ) -> tuple[tuple[_Samples, ...], _Samples | None]:
            alpha = stored[0][:, order.index("a") :: count] if "a" in order else None
            return tuple(stored[0][:, order.index(letter) :: count] for letter in "rgb"), alpha

        name = "rgb24" if depth == 8 else "rgb48le"
        return PixelFormat(name, "rgb", 0, 0, depth, True, ((count, 0, 0),), dtype, 0, take)

    def gray_alpha(
        stored: Sequence[_Samples], width: int, height: int
    ) -> tuple[tuple[_Samples, ...], _Samples]:
        return (stored[0][:, ::2],), stored[0][:, 1::2]

    made = {f"{order}{bits * len(order)}{end}": one(order) for order in ("rgb", "bgr")}
    for order in ("rgba", "bgra"):
        made[order if depth == 8 else f"{order}{bits * 4}{end}"] = one(order)
    if depth == 8:
        for order in ("argb", "abgr", "rgb0", "bgr0", "0rgb", "0bgr"):
            made[order] = one(order)
    gray = "gray" if depth == 8 else "gray16le"
    made[f"ya{bits}{end}"] = PixelFormat(gray, "gray", 0, 0, depth, False, ((2, 0, 0),), dtype, 0, gray_alpha)
    return made


def _packed_yuv() -> dict[str, PixelFormat]:
    def one(order: str, depth: int, dtype: str) -> PixelFormat:
        first, u_at, v_at = order.index("y"), order.index("u"), order.index("v")

        def take(stored: Sequence[_Samples], width: int, height: int) -> tuple[tuple[_Samples, ...], None]:
            row = stored[0]
            return (row[:, first::2][:, :width], row[:, u_at::4], row[:, v_at::4]), None

        name = "yuv422p" if depth == 8 else f"yuv422p{depth}le"
        shift = 0 if depth == 8 else 16 - depth
        return PixelFormat(name, "yuv", 1, 0, depth, False, ((4, 1, 0),), dtype, shift, take)

    made = {f"{order}422": one(order, 8, "u1") for order in ("yuyv", "uyvy", "yvyu")}
    made |= {f"y2{depth}le": one("yuyv", depth, "<u2") for depth in (10, 12, 16)}
    return made


def _semi_planar() -> dict[str, PixelFormat]:
    def one(family: str, log2_x: int, log2_y: int, depth: int, *, swapped: bool) -> PixelFormat:
        def take(stored: Sequence[_Samples], width: int, height: int) -> tuple[tuple[_Samples, ...], None]:
            pair = stored[1]
            chroma = (pair[:, 1::2], pair[:, ::2]) if swapped else (pair[:, ::2], pair[:, 1::2])
            return (stored[0], *chroma), None

        name = f"yuv{family}p" if depth == 8 else f"yuv{family}p{depth}le"
        planes = ((1, 0, 0), (2, log2_x, log2_y))
        dtype, shift = ("u1", 0) if depth == 8 else ("<u2", 16 - depth)
        return PixelFormat(name, "yuv", log2_x, log2_y, depth, False, planes, dtype, shift, take)

    made = {
        "nv12": one("420", 1, 1, 8, swapped=False),
        "nv21": one("420", 1, 1, 8, swapped=True),
        "nv16": one("422", 1, 0, 8, swapped=False),
        "nv24": one("444", 0, 0, 8, swapped=False),
        "nv42": one("444", 0, 0, 8, swapped=True),
    }
    for depth in (10, 12, 16):
        made[f"p0{depth}le"] = one("420", 1, 1, depth, swapped=False)
        made[f"p2{depth}le"] = one("422", 1, 0, depth, swapped=False)
        made[f"p4{depth}le"] = one("444", 0, 0, depth, swapped=False)
    return made
