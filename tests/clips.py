"""Clips that tests make: each pixel says where and when it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Planes = tuple[npt.NDArray[Any], ...]

NTSC = Fraction(30000, 1001)
SHIFTS = {"420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}


def plane_sizes(pixel_format: str, width: int, height: int) -> list[tuple[int, int]]:
    """Return (height, width) of each plane of a planar format such as yuv422p10le, gray or gbrp."""
    if pixel_format.startswith("gray"):
        return [(height, width)]
    if pixel_format.startswith("gbrp"):
        return [(height, width)] * 3
    log2_x, log2_y = SHIFTS[pixel_format.removeprefix("yuvj").removeprefix("yuva").removeprefix("yuv")[:3]]
    chroma = (-(-height >> log2_y), -(-width >> log2_x))
    sizes = [(height, width), chroma, chroma]
    return [*sizes, (height, width)] if pixel_format.startswith("yuva") else sizes


def depth_of(pixel_format: str) -> int:
    """Return bits per sample: yuv420p10le has 10, gray16be 16, yuv444p 8."""
    digits = pixel_format.removesuffix("le").removesuffix("be")
    for depth in (9, 10, 12, 14, 16):
        if digits.endswith(("p" + str(depth), "gray" + str(depth))):
            return depth
    return 8


def formula_planes(pixel_format: str, width: int, height: int, index: int) -> Planes:
    """Return one frame of which each sample is a function of plane, x, y and frame number.

    A plane moves by 5 a frame, so two frames differ everywhere. An alpha plane is opaque.
    """
    depth = depth_of(pixel_format)
    planes = []
    for number, (rows, columns) in enumerate(plane_sizes(pixel_format, width, height)):
        y, x = np.mgrid[0:rows, 0:columns]
        values = (3 * x + 2 * y + 5 * index + 40 * number) * (1 << depth >> 8) + (x if depth > 8 else 0)
        top = (1 << depth) - 1
        values = np.full_like(values, top) if number == 3 else values & top
        planes.append(values.astype(np.uint8 if depth == 8 else np.uint16))
    return tuple(planes)


def video_frame(planes: Sequence[npt.NDArray[Any]], pixel_format: str) -> av.VideoFrame:
    """Put stored planes (bytes per row as they come) into a PyAV frame; packed formats have one plane."""
    frame = av.VideoFrame(*_size_of(planes[0], pixel_format), pixel_format)
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        data = samples.astype(">u2") if pixel_format.endswith("be") else samples
        stored = np.ascontiguousarray(data).view(np.uint8).reshape(len(samples), -1)
        rows[:, : stored.shape[1]] = stored
        plane.update(rows.tobytes())
    return frame


def _size_of(plane: npt.NDArray[Any], pixel_format: str) -> tuple[int, int]:
    per_pixel = {"uyvy422": 2, "yuyv422": 2, "rgb24": 3, "bgr24": 3, "rgba": 4, "bgra": 4, "bgr0": 4}
    return plane.shape[1] // per_pixel.get(pixel_format, 1), plane.shape[0]


def encode(
    path: Path,
    frames: Sequence[Planes],
    *,
    codec: str = "ffv1",
    pixel_format: str = "yuv420p",
    rate: Fraction = NTSC,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    tags: Mapping[str, int] | None = None,
) -> Path:
    """Encode stored planes into a file whose container is given by its suffix.

    Args:
        path: Where to write.
        frames: Stored planes of each frame (for uyvy422 and the like one plane of bytes).
        codec: FFmpeg's encoder.
        pixel_format: FFmpeg's name of the stored planes; the encoder must take it.
        rate: Frames per second.
        pts: Time stamp of each frame in ``time_base``; 0, 1, 2 ... when left out.
        time_base: Seconds of one tick of ``pts``; one frame when left out.
        options: The encoder's options.
        container_options: The muxer's options.
        tags: Attributes set on the codec context, such as ``colorspace``.
    """
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=rate, options=dict(options or {}))
        stream.width, stream.height = _size_of(frames[0][0], pixel_format)
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = time_base or 1 / rate
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for number, planes in enumerate(frames):
            frame = video_frame(planes, pixel_format)
            frame.pts = number if pts is None else pts[number]
            frame.time_base = time_base or 1 / rate
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def remux(source: Path, path: Path) -> None:
    """Copy a clip's packets into another container."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        video = given.streams.video[0]
        stream = container.add_stream_from_template(video)
        for packet in given.demux(video):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)


def formula_clip(
    path: Path,
    *,
    width: int = 64,
    height: int = 48,
    num_frames: int = 12,
    pixel_format: str = "yuv420p",
    **how: Any,
) -> list[Planes]:
    """Encode a clip of formula frames (FFV1 unless ``codec`` is given) and return its planes."""
    frames = [formula_planes(pixel_format, width, height, index) for index in range(num_frames)]
    encode(path, frames, pixel_format=pixel_format, **how)
    return frames


def y4m_bytes(frames: Sequence[Planes], header: str, *, frame_line: str = "FRAME") -> bytes:
    """Return a y4m file by hand: ``header`` behind ``YUV4MPEG2 W H`` (which come from the first plane)."""
    height, width = frames[0][0].shape
    parts = [f"YUV4MPEG2 W{width} H{height} {header}".rstrip().encode() + b"\n"]
    for planes in frames:
        parts += [frame_line.encode() + b"\n", *(np.ascontiguousarray(plane).tobytes() for plane in planes)]
    return b"".join(parts)


def write_y4m(path: Path, frames: Sequence[Planes], header: str = "F30000:1001 Ip A1:1 C420jpeg") -> Path:
    """Write a y4m file."""
    path.write_bytes(y4m_bytes(frames, header))
    return path
