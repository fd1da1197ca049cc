"""Clips and pictures as files: y4m (also through pipes), Matroska with FFV1, MP4 and Matroska with H.264, PNG.

Samples are written as they come: no matrix, range or depth is changed. Time stamps are kept where the container has
them (Matroska rounds them to milliseconds, y4m has one frame rate and no stamps).
"""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, Self

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import VideoInfo
from sr_datasets.video.base import Plane

Codec = Literal["ffv1", "h264", "y4m"]

CONTAINERS: Final[dict[str, tuple[Codec, ...]]] = {
    ".y4m": ("y4m",),
    ".mkv": ("ffv1", "h264"),
    ".mp4": ("h264",),
    ".mov": ("h264",),
}
"""What each suffix can hold; the first is taken when no codec is named."""
DEFAULT_CRF: Final = 16
"""Of H.264: hard to tell from the original, a few times smaller than without loss."""

_PNG_HEAD = 33
"""Bytes of a PNG's signature and of its first chunk, IHDR."""
_FORMATS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov"}
# ITU-T H.273 table 4; BT.601 has the number of SMPTE 170M.
_MATRICES = {"rgb": 0, "bt709": 1, "bt601": 6, "bt2020nc": 9}
# H.273 table 3, by FFmpeg's names.
_TRANSFERS = {
    "bt709": 1,
    "gamma22": 4,
    "gamma28": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "linear": 8,
    "log100": 9,
    "log316": 10,
    "iec61966-2-4": 11,
    "bt1361e": 12,
    "iec61966-2-1": 13,
    "bt2020-10": 14,
    "bt2020-12": 15,
    "smpte2084": 16,
    "smpte428": 17,
    "arib-std-b67": 18,
}


@dataclass(frozen=True, slots=True)
class ClipFormat:
    """What a clip that is to be written holds."""

    info: VideoInfo
    """Size, samples, rate and colour."""
    primaries: int | None = None
    """ColourPrimaries of ITU-T H.273."""
    sample_aspect: Fraction | None = None
    """Width of a sample to its height."""


class ClipWriter(ABC):
    """Takes the frames of a clip in the order of showing; ``finish`` ends the file, ``close`` alone gives it up."""

    @abstractmethod
    def write(self, planes: Sequence[Plane], pts: int) -> None:
        """Add a frame; ``pts`` is in ticks of the format's time base."""

    @abstractmethod
    def finish(self) -> None:
        """Write what the encoder holds back, and the container's end."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def codec_for(name: str, codec: str | None) -> Codec:
    """Return the codec of a file of this name.

    Raises:
        ValueError: The suffix is not one that is written, or cannot hold the codec.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in CONTAINERS:
        raise ValueError(
            f"{name}: video is written as {', '.join(CONTAINERS)}, or as y4m to standard output (-)"
        )
    if codec is None:
        return CONTAINERS[suffix][0]
    for known in CONTAINERS[suffix]:
        if known == codec:
            return known
    raise ValueError(f"{name}: {suffix} takes the codec {' or '.join(CONTAINERS[suffix])}, not {codec}")


def open_writer(
    path: Path, clip: ClipFormat, *, suffix: str, codec: Codec, crf: float | None = None, threads: int = 0
) -> ClipWriter:
    """Open a file to write a clip into.

    Args:
        path: The file; overwritten.
        clip: What it will hold.
        suffix: Of the final name: it says the container.
        codec: As ``codec_for`` gives it.
        crf: Quality of H.264, less is better; ``DEFAULT_CRF`` when left out, 0 is without loss at 8 bits.
        threads: Of the encoder; 0 for as many as it likes.

    Raises:
        DecodeError: Neither container nor codec holds samples of this kind.
    """
    if codec == "y4m":
        y4m_header(clip)  # before a file is made
        return Y4mWriter(path.open("wb"), clip, owned=True)
    return _EncodedWriter(path, clip, _FORMATS[suffix], codec, DEFAULT_CRF if crf is None else crf, threads)


def y4m_header(clip: ClipFormat) -> bytes:
    """Return the first line of a y4m file.

    Raises:
        DecodeError: y4m has no such samples.
    """
    info = clip.info
    family = {(1, 1): "420", (1, 0): "422", (0, 0): "444"}.get((info.chroma_log2_x, info.chroma_log2_y))
    if info.model == "rgb" or family is None:
        raise DecodeError(
            f"y4m holds grey and Y'CbCr in 4:2:0, 4:2:2 and 4:4:4, not {info.pixel_format}: name a file that ends in .mkv."
        )
    chroma = "mono" if info.model == "gray" else family
    if info.bit_depth > 8:
        chroma += ("" if info.model == "gray" else "p") + str(info.bit_depth)
    elif chroma == "420":
        chroma += {"center": "jpeg", "left": "mpeg2", "topleft": "paldv"}.get(info.color.siting, "jpeg")
    rate = info.frame_rate or Fraction(25)
    aspect = clip.sample_aspect or Fraction(0)
    words = [
        "YUV4MPEG2",
        f"W{info.width}",
        f"H{info.height}",
        f"F{rate.numerator}:{rate.denominator}",
        "Ip",
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0}",
        f"C{chroma}",
        f"XCOLORRANGE={info.color.range.upper()}",
    ]
    return " ".join(words).encode() + b"\n"


class Y4mWriter(ClipWriter):
    """y4m into a file or a pipe."""

    def __init__(self, file: BinaryIO, clip: ClipFormat, *, owned: bool = False) -> None:
        """Write the header.

        Args:
            file: Open for writing.
            clip: What comes.
            owned: Close the file in the end.
        """
        self._file, self._owned = file, owned
        self._file.write(y4m_header(clip))

    def write(self, planes: Sequence[Plane], pts: int) -> None:
        """Add a frame; y4m has no time stamps."""
        self._file.write(b"FRAME\n")
        for plane in planes:
            little = plane.astype("<u2", copy=False) if plane.itemsize == 2 else plane
            self._file.write(np.ascontiguousarray(little).data)

    def finish(self) -> None:
        """Flush the file."""
        self._file.flush()

    def close(self) -> None:
        """Close the file, if it is ours."""
        if self._owned:
            self._file.close()


class _EncodedWriter(ClipWriter):
    def __init__(
        self, path: Path, clip: ClipFormat, container: str, codec: Codec, crf: float, threads: int
    ) -> None:
        info = self._info = clip.info
        encoder, self._format = _encoder_format(info, codec)
        options = _codec_options(codec, crf)
        if info.color.siting != "none":
            options["chroma_sample_location"] = info.color.siting
        # Atoms in front of the samples would need a second pass over the file, and need no seeking back here.
        self._container = av.open(f"file:{path}", "w", format=container)  # run:1.mkv is no protocol
        try:
            stream = self._container.add_stream(
                encoder, rate=info.frame_rate or Fraction(25), options=options
            )
            assert isinstance(stream, VideoStream)
            context = stream.codec_context
            assert isinstance(context, VideoCodecContext)
            context.width, context.height, context.pix_fmt = info.width, info.height, self._format
            context.time_base = stream.time_base = info.time_base
            context.thread_count = threads
            context.color_range = 2 if info.color.range == "full" else 1
            context.colorspace = 0 if info.model == "rgb" else _MATRICES[info.color.matrix]
            if info.color.transfer_from != "guessed" and info.color.transfer in _TRANSFERS:
                context.color_trc = _TRANSFERS[info.color.transfer]
            if clip.primaries is not None:
                context.color_primaries = clip.primaries
            if clip.sample_aspect:
                context.sample_aspect_ratio = clip.sample_aspect
        except BaseException:
            self._container.close()
            raise
        self._stream = stream

    def write(self, planes: Sequence[Plane], pts: int) -> None:
        frame = av.VideoFrame(self._info.width, self._info.height, self._format)
        if self._format == "bgr0":
            lines = _lines(frame, 0, np.uint8)[: self._info.height, : 4 * self._info.width]
            for place, plane in zip((2, 1, 0), planes, strict=True):
                lines[:, place::4] = plane
            lines[:, 3::4] = 0
        else:
            order = (1, 2, 0) if self._format.startswith("gbrp") else range(len(planes))
            for place, number in enumerate(order):
                plane = planes[number]
                _lines(frame, place, plane.dtype)[: plane.shape[0], : plane.shape[1]] = plane
        frame.pts, frame.time_base = pts, self._info.time_base
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def close(self) -> None:
        self._container.close()


def _encoder_format(info: VideoInfo, codec: Codec) -> tuple[str, str]:
    """Return FFmpeg's names of the encoder and of the samples that it gets."""
    encoder = {"ffv1": "ffv1", "h264": "libx264"}[codec]
    name = info.pixel_format
    if info.model == "rgb":
        name = "bgr0" if info.bit_depth == 8 else f"gbrp{info.bit_depth}le"
    try:
        known = [each.name for each in av.codec.codec.Codec(encoder, "w").video_formats or ()]
    except av.codec.codec.UnknownCodecError:
        raise DecodeError(
            f"this build of PyAV has no encoder {encoder}: take another container or codec."
        ) from None
    if name not in known:
        raise DecodeError(
            f"{encoder} does not take {info.pixel_format}: take the codec ffv1, in a file that ends in .mkv."
        )
    if codec == "h264" and (
        (info.chroma_log2_x and info.width % 2) or (info.chroma_log2_y and info.height % 2)
    ):
        raise DecodeError(
            f"H.264 needs even sides where chroma is halved, the result is {info.width}x{info.height}: take the codec "
            "ffv1, in a file that ends in .mkv, or crop the clip."
        )
    return encoder, name


def _codec_options(codec: Codec, crf: float) -> dict[str, str]:
    if codec == "ffv1":
        # Version 3 with slices, which threads need, and a checksum of each.
        return {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}
    return {"crf": f"{crf:g}", "preset": "veryfast"}


def _lines(frame: av.VideoFrame, place: int, dtype: Any) -> Any:
    """Return FFmpeg's memory of a plane, line by line, with what it keeps behind each."""
    plane = frame.planes[place]
    memory: Any = plane  # it has the buffer protocol, which its types leave out
    return np.frombuffer(memory, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)


def write_png(path: Path, planes: Sequence[Plane], *, icc_profile: bytes | None = None) -> None:
    """Write a picture as PNG, 8 bits of uint8, 16 of uint16.

    Args:
        path: The file; overwritten.
        planes: One, grey, or three, R, G and B.
        icc_profile: Embedded as it is, when it is for as many colours as there are planes.
    """
    height, width = planes[0].shape
    wide = planes[0].itemsize == 2
    name = {(1, False): "gray", (1, True): "gray16be", (3, False): "rgb24", (3, True): "rgb48be"}[
        len(planes), wide
    ]
    frame = av.VideoFrame(width, height, name)
    lines = _lines(frame, 0, ">u2" if wide else np.uint8)[:height]
    for place, plane in enumerate(planes):
        lines[:, place : width * len(planes) : len(planes)] = plane
    encoder = av.CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, name, Fraction(1)
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    if icc_profile is not None and icc_profile[16:20] == (b"GRAY" if len(planes) == 1 else b"RGB "):
        body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        data = data[:_PNG_HEAD] + chunk + data[_PNG_HEAD:]
    path.write_bytes(data)
