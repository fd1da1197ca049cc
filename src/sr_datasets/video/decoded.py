"""A decoded frame as planes: unpacked, and turned as its display matrix says."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from sr_datasets.errors import DecodeError
from sr_datasets.video.base import Plane, RawPlane
from sr_datasets.video.formats import PixelFormat, TransparentError, find_format


@dataclass(frozen=True, slots=True)
class Shape:
    """How a decoded frame is handed out."""

    stored: PixelFormat
    """The decoder's pixel format."""
    pixels: PixelFormat
    """The format of the planes that are handed out."""
    width: int
    """Luma samples per row, after turning."""
    height: int
    """Luma rows, after turning."""
    transposed: bool = False
    """Rows become columns, before any flip."""
    flipped_x: bool = False
    """Each row is reversed."""
    flipped_y: bool = False
    """The order of rows is reversed."""

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.pixels.name}"


_UPRIGHT = (65536, 0, 0, 65536)  # a, b, c, d of a display matrix, 16.16 fixed point


def shape_of(path: Path, frame: VideoFrame, index: int) -> Shape:
    """Say how a frame is handed out.

    Raises:
        DecodeError: Its pixel format is not read, or its display matrix is no quarter turn or flip.
    """
    stored = stored_shape(path, frame, index)
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    matrix = struct.unpack("<9i", bytes(data)) if data is not None else None
    if matrix is None or (matrix[0], matrix[1], matrix[3], matrix[4]) == _UPRIGHT:
        return stored
    return _turned(path, frame, stored.stored, (matrix[0], matrix[1], matrix[3], matrix[4]))


def stored_shape(path: Path, frame: VideoFrame, index: int) -> Shape:
    """Say how a frame would be handed out if it needed no turning.

    Raises:
        DecodeError: Its pixel format is not read.
    """
    name = frame.format.name
    pixels = find_format(name)
    if pixels is None:
        raise DecodeError(
            f"{path}: frame {index} has the pixel format {name}, which is not read here. Convert the clip to one that "
            "holds it without loss, such as yuv420p, yuv422p10le or gbrp (ffmpeg -pix_fmt)."
        )
    return Shape(pixels, pixels, frame.width, frame.height)


def _turned(path: Path, frame: VideoFrame, stored: PixelFormat, matrix: tuple[int, int, int, int]) -> Shape:
    """Read a display matrix: a sample at (p, q) is shown at (a p + c q, b p + d q)."""
    a, b, c, d = matrix
    if (abs(a), abs(b), abs(c), abs(d)) not in ((65536, 0, 0, 65536), (0, 65536, 65536, 0)):
        raise DecodeError(
            f"{path}: is to be shown turned or stretched by the display matrix {matrix}; quarter turns and flips are "
            "read here, which keep every sample. Convert the clip."
        )
    transposed = a == 0
    flipped_p, flipped_q = (b < 0, c < 0) if transposed else (a < 0, d < 0)
    if (flipped_p and stored.log2_x and frame.width % 2) or (
        flipped_q and stored.log2_y and frame.height % 2
    ):
        raise DecodeError(
            f"{path}: is to be shown turned, and its odd size {frame.width}x{frame.height} leaves no {stored.name} "
            "grid for it. Convert the clip to 4:4:4."
        )
    if not transposed:
        return Shape(stored, stored, frame.width, frame.height, False, flipped_p, flipped_q)
    families = {"422": "440", "440": "422"}
    name = stored.name
    for old, new in families.items():
        if old in stored.name:
            name = stored.name.replace(old, new)
    pixels = find_format(name)
    assert pixels is not None
    return Shape(stored, pixels, frame.height, frame.width, True, flipped_q, flipped_p)


def planes_of(path: Path, frame: VideoFrame, shape: Shape, index: int) -> tuple[Plane, ...]:
    """Return a frame's planes, as views that keep the decoder's memory alive where that is enough.

    Raises:
        DecodeError: It is partly transparent.
    """
    sizes = shape.stored.stored_shapes(frame.width, frame.height)
    try:
        planes = shape.stored.unpack(stored_planes(frame, sizes), frame.width, frame.height)
    except TransparentError:
        raise DecodeError(
            f"{path}: frame {index} is partly transparent, so it has no colour without a background. "
            "Put the clip on one first."
        ) from None
    return tuple(_turn(plane, shape) for plane in planes)


def _turn(plane: Plane, shape: Shape) -> Plane:
    if shape.transposed:
        plane = plane.T
    if shape.flipped_x:
        plane = plane[:, ::-1]
    return plane[::-1] if shape.flipped_y else plane


def stored_planes(frame: VideoFrame, sizes: Sequence[tuple[int, int]]) -> list[RawPlane]:
    """Return each stored plane as a view that keeps its AVFrame, and so its memory, alive."""
    if any(plane.line_size < 0 for plane in frame.planes):  # rows stored from the bottom up, as in old AVI
        return [plane[::-1] for plane in stored_planes(_mirrored(frame), sizes)]
    planes = []
    for plane, (rows, row_bytes) in zip(frame.planes, sizes, strict=True):
        memory: Any = plane  # a buffer, though its stub does not say so
        samples = np.frombuffer(memory, np.uint8).reshape(-1, plane.line_size)
        planes.append(samples[:rows, :row_bytes])
    return planes


def _mirrored(frame: VideoFrame) -> VideoFrame:
    """Return the same memory with its rows counted from the other end; PyAV maps only ascending rows."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
    )
    graph.link_nodes(source, graph.add("vflip"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    mirrored = graph.vpull()
    assert isinstance(mirrored, VideoFrame)
    return mirrored
