"""A clip from its first frame to its last, decoded once: what a pass over all of it needs, and probing."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import av
import av.logging
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import y4m
from sr_datasets.video.base import Frame, check_size
from sr_datasets.video.decoded import Shape, planes_of, shape_of
from sr_datasets.video.formats import PixelFormat, TransparentError
from sr_datasets.video.packets import lacks_pts, noting_pts
from sr_datasets.video.probe import kind_of
from sr_datasets.video.stream import VideoFile
from sr_datasets.video.tags import Range, Siting, StreamTags, color_tags

# Custom of JFIF and MPEG-1: chroma between the luma samples (H.264 and MPEG-2: beside them, left).
_CENTERED_CODECS = {"mjpeg", "mjpegb", "mpeg1video", "h261", "h263", "flv1"}
# Codecs whose decoders mark interlaced frames, so that unmarked means progressive.
_MARKING_CODECS = {"h264", "hevc", "vvc", "mpeg2video", "mpeg4", "vc1", "prores", "dnxhd", "dvvideo", "mjpeg"}
_PROGRESSIVE_CODECS = {"vp8", "vp9", "av1", "libdav1d", "libaom-av1", "gif", "apng", "png", "webp"}
_FIELD_ORDER_PROGRESSIVE = 1  # AVFieldOrder; 0 is unknown, above 1 are the interlaced orders
# AV_FIELD_TT, BB, TB (coded top first, shown bottom first) and BT.
_FIELD_ORDERS: dict[int, Literal["top", "bottom"]] = {2: "top", 3: "bottom", 4: "bottom", 5: "top"}


class FrameStream(ABC):
    """The frames of a clip in the order of showing, each once; close it, or use it in a ``with`` block."""

    path: Path
    """The file, for messages."""
    primaries: int | None = None
    """ColourPrimaries of ITU-T H.273, where the stream says."""
    sample_aspect: Fraction | None = None
    """Width of a sample to its height, where the stream says."""
    expected_frames: int | None = None
    """How many frames will come, as far as the container says; for progress only."""
    has_audio: bool = False
    """Whether there is sound beside the frames."""

    @property
    @abstractmethod
    def info(self) -> VideoInfo:
        """What is known so far; ``num_frames`` counts the frames that were handed out."""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            DecodeError: The clip is damaged or cut, changes its size or format, or is out of order.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_stream(path: Path, *, threads: int = 1) -> FrameStream:
    """Open a video to read all of it once; unlike ``probe``, nothing is decoded twice.

    Raises:
        DecodeError: There is no such file, it has no video, or it is no video.
    """
    match kind_of(path, None):
        case "y4m":
            file = path.open("rb")
            try:
                return Y4mStream(file, path)
            except BaseException:
                file.close()
                raise
        case "compressed":
            return CompressedStream(path, threads=threads)
        case "pictures":
            raise DecodeError(f"{path}: a picture or a folder of pictures, no video.")
        case "raw":
            raise DecodeError(
                f"{path}: raw planes do not say their geometry. Send them as y4m through a pipe: ffmpeg -f rawvideo "
                "-pix_fmt ... -s ... -r ... -i FILE -f yuv4mpegpipe - | ..."
            )


class Y4mStream(FrameStream):
    """y4m of a file or a pipe, frame after frame."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        """Read the header.

        Args:
            file: Open for reading; it need not seek.
            path: Its name, for messages.

        Raises:
            DecodeError: It is no y4m, a file too short for one frame, or claims frames of too many pixels through a pipe.
        """
        self.path, self._file, self._count = path, file, 0
        self._header = header = y4m.parse_header(path, file.readline(y4m.MAX_LINE))
        self.sample_aspect = header.sample_aspect
        self._frame_bytes = header.pixels.frame_bytes(header.width, header.height)
        if file.seekable():
            rest = os.fstat(file.fileno()).st_size - header.num_bytes
            self.expected_frames = rest // (len(y4m.MARKER) + self._frame_bytes)
            if rest and not self.expected_frames:
                raise DecodeError(
                    f"{path}: claims frames of {header.width}x{header.height}, {self._frame_bytes} bytes each; {rest} bytes stand "
                    "behind its header. It was cut, or its header is wrong: fetch or copy it again."
                )
        else:
            check_size(path, header.width, header.height)  # which no size of a file proves

    @property
    def info(self) -> VideoInfo:
        """What the header says."""
        return y4m.info_of(self.path, self._header, self._count, None)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        header = self._header
        while line := self._file.readline(y4m.MAX_LINE):
            if line == b"\n" and self._count and not self._file.read(1):
                break
            if line != y4m.MARKER and not (line.startswith(b"FRAME ") and line.endswith(b"\n")):
                raise DecodeError(
                    f"{self.path}: where frame {self._count} must begin with FRAME, stands {line[:24]!r}. "
                    "The y4m is damaged or was cut."
                )
            data = self._file.read(self._frame_bytes)
            if len(data) < self._frame_bytes:
                raise DecodeError(
                    f"{self.path}: cut after {self._count} whole frames: the next one has {len(data)} of "
                    f"{self._frame_bytes} bytes."
                )
            yield Frame(
                _planes(self.path, data, header.pixels, header.width, header.height), self._count, self._count
            )
            self._count += 1
        if not self._count:
            raise DecodeError(f"{self.path}: the y4m has a header but no frames.")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _planes(
    path: Path, data: bytes, pixels: PixelFormat, width: int, height: int
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.uint8 | np.uint16]], ...]:
    stored, start = [], 0
    samples = np.frombuffer(data, np.uint8)
    for rows, row_bytes in pixels.stored_shapes(width, height):
        stored.append(samples[start : start + rows * row_bytes].reshape(rows, row_bytes))
        start += rows * row_bytes
    try:
        planes = pixels.unpack(stored, width, height)
    except TransparentError:  # y4m of this kind is not read; the format table knows of alpha
        raise DecodeError(f"{path}: partly transparent, so it has no colour without a background.") from None
    peak = (1 << pixels.bit_depth) - 1
    if pixels.bit_depth not in (8, 16) and any(int(plane.max()) > peak for plane in planes):
        raise DecodeError(f"{path}: a sample is above {peak}, the greatest of {pixels.bit_depth} bits.")
    return planes


class CompressedStream(FrameStream):
    """All frames of a video that PyAV opens; what a decoder would paper over is refused."""

    def __init__(self, path: Path, *, clip: Clip | None = None, threads: int = 1) -> None:
        """Open the file and decode its first frame.

        Raises:
            DecodeError: It cannot be opened, has no video, or its first frame is damaged.
        """
        self.path, self._clip = path, clip
        self._opened = ExitStack()
        try:
            self._source = self._opened.enter_context(VideoFile(path, threads))
            if self._source.container.format.name.endswith("_pipe"):
                raise DecodeError(
                    f"{path}: a picture of a kind that is not read ({self._source.container.format.name}); PNG, JPEG "
                    "and BMP are. Convert it to PNG."
                )
            self._log = self._opened.enter_context(_ffv1_log(self._source))
            self._packet_pts: list[int | None] = []
            self._decoding = self._source.decode(noting_pts(self._source.packets(), self._packet_pts))
            first = next(self._decoding, None)
            if first is None:
                raise DecodeError(
                    f"{path}: its video stream holds no frame that is shown. Fetch or copy it again."
                )
            self._first: VideoFrame | None = first
            self._shape, self._tags = shape_of(path, first, 0), _tags_of(first)
        except BaseException:
            self._opened.close()
            raise
        self._interlaced, self._count = False, 0
        primaries = int(first.color_primaries)
        self.primaries = primaries if primaries != _UNSPECIFIED else None
        aspect = self._source.stream.sample_aspect_ratio
        self.sample_aspect = Fraction(aspect) if aspect else None
        if self._shape.transposed and self.sample_aspect:
            self.sample_aspect = 1 / self.sample_aspect
        self.expected_frames = self._source.stream.frames or None
        self.has_audio = bool(self._source.container.streams.audio)

    @property
    def info(self) -> VideoInfo:
        """What the stream says; whether it is interlaced, as far as its frames were seen."""
        source, shape, clip = self._source, self._shape, self._clip
        stream, pixels = source.stream, shape.pixels
        return VideoInfo(
            media="video",
            container=source.container.format.name,
            codec=stream.codec_context.name,
            width=shape.width,
            height=shape.height,
            num_frames=self._count,
            frame_rate=source.frame_rate or (clip.frame_rate if clip is not None else None),
            pixel_format=pixels.name,
            bit_depth=pixels.bit_depth,
            model=pixels.model,
            chroma_log2_x=pixels.log2_x,
            chroma_log2_y=pixels.log2_y,
            time_base=source.time_base,
            scan=_scan(stream.codec_context, interlaced=self._interlaced),
            field_order=_FIELD_ORDERS.get(int(stream.codec_context.field_order), "unknown"),
            color=color_tags(
                self.path,
                pixels,
                width=shape.width,
                height=shape.height,
                tags=self._tags,
                guessed_siting=_siting(stream.codec_context.name, shape),
                clip=clip,
            ),
        )

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        path, source = self.path, self._source
        # AVI holds no pts: where frames are reordered, those that FFmpeg makes up mean nothing.
        untimed = source.container.format.name == "avi" and source.reorders
        last: int | None = None
        problem = ""
        for frame in self._frames():
            index = self._count
            shape = shape_of(path, frame, index)
            if shape != self._shape:
                raise DecodeError(
                    f"{path}: frame {index} is {shape}, but the frames before it are {self._shape}. A clip must keep "
                    "one size and format: cut it there into two."
                )
            source.check(frame, index)
            planes = planes_of(path, frame, shape, index)
            if any("CRC mismatch" in message for _, _, message in self._log):
                raise DecodeError(
                    f"{path}: frame {index} or one just before does not have its own checksum (FFV1 CRC). "
                    "It is damaged: fetch or copy the file again."
                )
            pts = frame.pts
            if pts is not None and last is not None and pts < last and not problem:
                problem = f"frame {index} is stamped {pts}, before the frame shown ahead of it, {last}"
                if not untimed:
                    break
            last = pts if pts is not None else last
            self._interlaced = self._interlaced or frame.interlaced_frame
            self._count += 1
            if pts is None or untimed:
                pts = round(index / (source.frame_rate or 1) / source.time_base)
            yield Frame(planes, index, pts)
        if problem and not lacks_pts(source, self._packet_pts):
            raise DecodeError(
                f"{path}: {problem} (in units of {source.time_base} s): the order of showing is unclear. Copy the "
                "stream into a new container with ffmpeg -c copy, or convert it."
            )

    def _frames(self) -> Iterator[VideoFrame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        del first
        yield from self._decoding

    def close(self) -> None:
        """Close the file and the decoder."""
        self._first = None
        self._opened.close()


_UNSPECIFIED = 2


@contextmanager
def _ffv1_log(source: VideoFile) -> Iterator[list[tuple[int, str, str]]]:
    """Collect what FFmpeg logs while it decodes FFV1: a wrong checksum is told there and nowhere else."""
    if source.stream.codec_context.name != "ffv1":
        yield []
        return
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=False) as log:
            yield log
    finally:
        av.logging.set_level(level)


def _tags_of(frame: VideoFrame) -> StreamTags:
    ranges: dict[int, Range] = {1: "limited", 2: "full"}
    return StreamTags(
        matrix=int(frame.colorspace),
        transfer=int(frame.color_trc),
        range=ranges.get(int(frame.color_range)),
    )


def _siting(codec: str, shape: Shape) -> Siting:
    # Left siting seen in a mirror or turned by a quarter lies right, above or below. The four names
    # have none of these: centre is at most half a luma sample away, and marked as guessed.
    if codec in _CENTERED_CODECS or shape.transposed or shape.flipped_x:
        return "center"
    return "left"


def _scan(codec: VideoCodecContext, *, interlaced: bool) -> Literal["progressive", "interlaced", "unknown"]:
    order = int(codec.field_order)
    if interlaced or order > _FIELD_ORDER_PROGRESSIVE:
        return "interlaced"
    if order == _FIELD_ORDER_PROGRESSIVE or codec.name in _MARKING_CODECS | _PROGRESSIVE_CODECS:
        return "progressive"
    return "unknown"
