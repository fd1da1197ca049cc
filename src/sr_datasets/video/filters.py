"""Planes through filters of FFmpeg: R'G'B' as ffmpeg converts it by default, and deinterlacing.

What comes out is FFmpeg's own arithmetic: with another release of PyAV it may change, so its version
belongs to the facts of a set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from sr_datasets.color import PlaneLayout
from sr_datasets.manifest import VideoInfo
from sr_datasets.video.base import Plane, RawPlane
from sr_datasets.video.decoded import stored_planes
from sr_datasets.video.formats import PixelFormat, find_format

_TICK = Fraction(1)

# ITU-T H.273 table 4, as the options of FFmpeg's buffer source take it; 2: unspecified.
_COLORSPACES = {"bt601": 6, "bt709": 1, "bt2020nc": 9}
_UNSPECIFIED = 2
# AVColorRange
_RANGES = {"limited": 1, "full": 2}


def ffmpeg_rgb(planes: Sequence[Plane], info: VideoInfo) -> tuple[tuple[Plane, ...], PlaneLayout]:
    """Convert a whole frame as the ffmpeg command does before it writes a PNG: swscale, default flags.

    8 bits become 8 bits, more become 16. A matrix or range that was guessed is left unsaid, and swscale
    takes BT.601 and limited for it, at every size. Chroma of 4:2:0 of 8 bits is repeated, not interpolated.

    Args:
        planes: Y, U, V of one frame.
        info: What the clip says of itself.

    Returns:
        R, G, B, and what they mean.

    Raises:
        ValueError: The clip is not Y'CbCr: there is nothing to convert.
    """
    if info.model != "yuv":
        raise ValueError(f"only Y'CbCr is converted to R'G'B', not {info.model}")
    tags = {
        "colorspace": _COLORSPACES[info.color.matrix]
        if info.color.matrix_from != "guessed"
        else _UNSPECIFIED,
        "range": _RANGES[info.color.range] if info.color.range_from != "guessed" else 0,
    }
    name, depth = ("rgb24", 8) if info.bit_depth == 8 else ("rgb48le", 16)
    (frame,) = filtered([planes], format_of(info), f"format={name}", tags=tags)
    pixels = find_format(name)
    assert pixels is not None
    return _planes_of(frame, pixels), PlaneLayout("rgb", bit_depth=depth)


def deinterlaced(
    frames: Sequence[Sequence[Plane]], info: VideoInfo, *, top_first: bool
) -> Iterator[tuple[Plane, ...]]:
    """Deinterlace successive frames by FFmpeg's bwdif, one frame out for one in.

    The kept field is the one that was taken first; the other rows are made of it, of the frame before
    and of the frame after. A frame therefore depends on its two neighbours only; the first and the last
    of a clip on themselves and their one neighbour.

    Args:
        frames: Planes of each frame, in order of time.
        info: What the clip says of itself.
        top_first: Whether the rows 0, 2, 4 ... of a frame were taken before the others.
    """
    pixels = format_of(info)
    parity = "tff" if top_first else "bff"
    for frame in filtered(frames, pixels, f"bwdif=mode=send_frame:parity={parity}:deint=all"):
        if frame.format.name != pixels.name:
            raise ValueError(f"bwdif does not take {pixels.name}")
        yield _planes_of(frame, pixels)


def format_of(info: VideoInfo) -> PixelFormat:
    """Return FFmpeg's planar format of a clip's planes."""
    name = info.pixel_format
    if info.model == "rgb":
        name = "gbrp" if info.bit_depth == 8 else f"gbrp{info.bit_depth}le"
    pixels = find_format(name)
    assert pixels is not None, name
    return pixels


def filtered(
    frames: Sequence[Sequence[Plane]],
    pixels: PixelFormat,
    chain: str,
    *,
    tags: dict[str, int] | None = None,
) -> Iterator[VideoFrame]:
    """Yield what one filter makes of frames, in order.

    Args:
        frames: Planes of each frame, all of one shape.
        pixels: FFmpeg's planar format of them.
        chain: Filter and options, ``name=options``.
        tags: ``colorspace`` and ``range`` of the frames by FFmpeg's numbers.
    """
    height, width = frames[0][0].shape
    said = {"video_size": f"{width}x{height}", "pix_fmt": pixels.name, "time_base": "1/1", **(tags or {})}
    graph = Graph()
    graph.threads = 1
    source = graph.add("buffer", ":".join(f"{key}={value}" for key, value in said.items()))
    name, _, options = chain.partition("=")
    graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
    for number, planes in enumerate(frames):
        frame = _frame_of(planes, pixels)
        frame.pts, frame.time_base = number, _TICK
        if tags:
            frame.colorspace, frame.color_range = tags["colorspace"], tags["range"]
        graph.vpush(frame)
        yield from _ready(graph)
    graph.vpush(None)
    yield from _ready(graph)


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            frame = graph.vpull()
        except (BlockingIOError, EOFError):
            return
        assert isinstance(frame, VideoFrame)
        yield frame


def _frame_of(planes: Sequence[Plane], pixels: PixelFormat) -> VideoFrame:
    height, width = planes[0].shape
    frame = VideoFrame(width, height, pixels.name)
    stored = (planes[1], planes[2], planes[0]) if pixels.model == "rgb" else planes  # FFmpeg's G, B, R
    for memory, plane in zip(stored_planes(frame, pixels.stored_shapes(width, height)), stored, strict=True):
        memory[:] = np.ascontiguousarray(plane).view(np.uint8)
    return frame


def _planes_of(frame: VideoFrame, pixels: PixelFormat) -> tuple[Plane, ...]:
    stored: Sequence[RawPlane] = stored_planes(frame, pixels.stored_shapes(frame.width, frame.height))
    return pixels.unpack(stored, frame.width, frame.height)
