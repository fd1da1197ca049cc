"""Everything that PyAV opens: frame n is the n-th frame that a decode from the start shows.

``probe_compressed`` decodes the whole clip once, counts, and refuses what a decoder would paper
over: concealed errors, frames out of order, a change of size or format. ``CompressedReader`` lists
the packets' time stamps (without decoding), seeks to the last keyframe from which the wanted frame
can be decoded, and follows the list frame by frame; where list and decoder disagree, it decodes
from the start instead and counts.
"""

from __future__ import annotations

import itertools
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.container import InputContainer
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video.base import ClipReader, Frame, Plane, RawPlane
from sr_datasets.video.formats import PixelFormat, TransparentError, find_format
from sr_datasets.video.tags import Range, Siting, StreamTags, color_tags

# Playlists and the like read other files than the one that is named; text is not video.
_REFUSED = {"hls", "dash", "concat", "tty", "image2", "sdp", "rtsp", "lavfi", "rawvideo", "imf"}
# Custom of JFIF and MPEG-1: chroma between the luma samples (H.264 and MPEG-2: beside them, left).
_CENTERED_CODECS = {"mjpeg", "mjpegb", "mpeg1video", "h261", "h263", "flv1"}
# Codecs whose decoders mark interlaced frames, so that unmarked means progressive.
_MARKING_CODECS = {"h264", "hevc", "vvc", "mpeg2video", "mpeg4", "vc1", "prores", "dnxhd", "dvvideo", "mjpeg"}
_PROGRESSIVE_CODECS = {"vp8", "vp9", "av1", "libdav1d", "libaom-av1", "gif", "apng", "png", "webp"}
_FIELD_ORDER_PROGRESSIVE = 1  # AVFieldOrder; 0 is unknown, above 1 are the interlaced orders


def probe_compressed(path: Path, clip: Clip | None, *, threads: int = 1) -> VideoInfo:
    """Decode a clip from end to end and return what it says of itself.

    Raises:
        DecodeError: It cannot be opened or has no video; a frame is damaged, transparent or out of
            order; size, format or rotation change on the way.
    """
    with _Source(path, threads) as source:
        first: _Shape | None = None
        interlaced, num_frames = False, 0
        packet_pts: list[int | None] = []
        order = {"pts": _Order(), "dts": _Order()}
        for frame in source.decode(_noting(source.packets(), packet_pts)):
            shape = _shape_of(path, frame, num_frames)
            if first is None:
                first, tags = shape, _tags_of(frame)
            elif shape != first:
                raise DecodeError(
                    f"{path}: frame {num_frames} is {shape}, but the frames before it are {first}. A clip must keep "
                    "one size and format: cut it there into two."
                )
            source.check(frame, num_frames)
            _unpack(path, frame, shape, num_frames)  # for its check of the alpha plane
            order["pts"].see(frame.pts, num_frames)
            order["dts"].see(frame.dts, num_frames)
            interlaced = interlaced or frame.interlaced_frame
            num_frames += 1
        if first is None:
            raise DecodeError(
                f"{path}: its video stream holds no frame that is shown. Fetch or copy it again."
            )
        if problem := order["dts" if _lacks_pts(source, packet_pts) else "pts"].problem:
            raise DecodeError(
                f"{path}: {problem} (in units of {source.time_base} s): the order of showing is unclear. Copy the "
                "stream into a new container with ffmpeg -c copy, or convert it."
            )
        stream, pixels = source.stream, first.pixels
        return VideoInfo(
            media="video",
            container=source.container.format.name,
            codec=stream.codec_context.name,
            width=first.width,
            height=first.height,
            num_frames=num_frames,
            frame_rate=source.frame_rate or (clip.frame_rate if clip is not None else None),
            pixel_format=pixels.name,
            bit_depth=pixels.bit_depth,
            model=pixels.model,
            chroma_log2_x=pixels.log2_x,
            chroma_log2_y=pixels.log2_y,
            time_base=source.time_base,
            scan=_scan(stream.codec_context, interlaced=interlaced),
            color=color_tags(
                path,
                pixels,
                width=first.width,
                height=first.height,
                tags=tags,
                guessed_siting=_siting(stream.codec_context.name, first),
                clip=clip,
            ),
        )


@dataclass(slots=True)
class _Order:
    """Looks for a frame that is stamped earlier than the one shown before it."""

    last: int | None = None
    problem: str = ""

    def see(self, stamp: int | None, index: int) -> None:
        if stamp is None:
            return
        if self.last is not None and stamp < self.last and not self.problem:
            self.problem = (
                f"frame {index} is stamped {stamp}, before the frame shown ahead of it, {self.last}"
            )
        self.last = stamp


def _noting(
    packets: Iterator[av.Packet[VideoStream]], packet_pts: list[int | None]
) -> Iterator[av.Packet[VideoStream]]:
    for packet in packets:
        if packet.size:
            packet_pts.append(packet.pts)
        yield packet


def _lacks_pts(source: _Source, packet_pts: Sequence[int | None]) -> bool:
    """Tell whether a container stores no pts and FFmpeg made some up in the order of coding.

    AVI is such a container. Where frames are reordered the decoder's order and dts are right, the
    made-up pts are not (FFmpeg itself then falls back on dts, too).
    """
    if source.container.format.name != "avi" or not source.stream.codec_context.has_b_frames:
        return False
    stamps = [pts for pts in packet_pts if pts is not None]
    return all(a < b for a, b in itertools.pairwise(stamps))


def decode_picture(path: Path) -> tuple[Plane, ...]:
    """Decode a still picture with FFmpeg, at its full depth (Pillow cuts 16-bit RGB to 8).

    Raises:
        DecodeError: It is damaged, transparent, or of a format that is not read.
    """
    with _Source(path, threads=1) as source:
        for frame in source.decode():
            source.check(frame, 0)
            return _unpack(path, frame, _shape_of(path, frame, 0), 0)
    raise DecodeError(f"{path}: holds no picture. Fetch or copy it again.")


class CompressedReader(ClipReader):
    """Frames of a video that PyAV opens."""

    def __init__(self, path: Path, info: VideoInfo, *, threads: int = 1) -> None:
        super().__init__(path, info)
        self._threads = threads
        self._source = _Source(path, threads)
        try:
            self._check_unchanged()
            self._index, self._by_dts = _index_of(self._source, info.num_frames)
        except BaseException:
            self._source.close()
            raise
        self._running: Iterator[VideoFrame] | None = None
        self._next = 0  # the number of the frame that the running decoder shows next

    def _check_unchanged(self) -> None:
        found = (self._source.container.format.name, self._source.stream.codec_context.name)
        if found != (self.info.container, self.info.codec):
            raise DecodeError(
                f"{self.path}: is {found[1]} in {found[0]}, but was {self.info.codec} in {self.info.container} when it "
                "was probed. The file or the decoder was replaced: import it again."
            )

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        for index in wanted:
            frame = self._decode(index)
            shape = _shape_of(self.path, frame, index)
            info = self.info
            if (shape.width, shape.height, shape.pixels.name) != (info.width, info.height, info.pixel_format):
                raise DecodeError(
                    f"{self.path}: frame {index} is {shape}, but the clip was {info.width}x{info.height} "
                    f"{info.pixel_format} when it was probed. Import it again."
                )
            yield Frame(_unpack(self.path, frame, shape, index), index, self._stamp(frame, index))

    def _stamp(self, frame: VideoFrame, index: int) -> int:
        stamps = (frame.dts, frame.pts) if self._by_dts else (frame.pts, frame.dts)
        for stamp in stamps:
            if stamp is not None:
                return stamp
        return round(index / (self._source.frame_rate or 1) / self._source.time_base)

    def _decode(self, index: int) -> VideoFrame:
        if self._index is not None:
            try:
                return self._by_time(self._index, index)
            except (_LostError, DecodeError):
                # The packets' list and the decoder disagree. Counting from the start is always right,
                # and says best what is wrong with a damaged file.
                self._index = None
                self._running = None
        return self._by_counting(index)

    def _by_time(self, index: _Index, wanted: int) -> VideoFrame:
        key = index.key_for(wanted)
        if self._running is None or wanted < self._next or index.first_shown(key) > self._next:
            self._running = None
            self._running, self._next = _start_at(self._source, index, key)
        for frame in self._running:
            number = index.number_of.get(frame.pts) if frame.pts is not None else None
            if number is None:
                raise _LostError
            if number < self._next:
                continue  # shown before the keyframe and coded after it: it may lack its references
            if number > self._next or frame.is_corrupt:
                raise _LostError
            self._next += 1
            if number == wanted:
                return frame
        raise _LostError

    def _by_counting(self, wanted: int) -> VideoFrame:
        if self._running is None or wanted < self._next:
            self._source.close()
            self._source = _Source(self.path, self._threads)
            self._running, self._next = self._source.decode(), 0
        for frame in self._running:
            self._next += 1
            if self._next - 1 == wanted:
                self._source.check(frame, wanted)
                return frame
        raise DecodeError(
            f"{self.path}: shows {self._next} frames, but had {self.info.num_frames} when it was probed. "
            "The file was replaced or cut: import it again."
        )

    def close(self) -> None:
        """Close the file and the decoder."""
        self._running = None
        self._source.close()


class _LostError(Exception):
    """Decoding after a seek does not follow the list of time stamps."""


@dataclass(frozen=True, slots=True)
class _Index:
    """The time stamps of a clip's packets, in the order of coding, and of its frames, as shown."""

    stamps: list[tuple[int, int | None]]
    """pts and dts of each packet."""
    keys: list[int]
    """Which packets are keyframes."""
    shown: list[int]
    """pts of each shown frame, ascending."""
    packet_of: list[int]
    """The packet of each shown frame."""
    number_of: dict[int, int]
    """The number of the frame with this pts."""
    place_of_key: dict[int, int]
    """The keyframe with this pts; dts are not the same after a seek in every container."""

    def key_for(self, wanted: int) -> int:
        """Return the last keyframe that is coded and shown no later than a frame."""
        at = bisect_right(self.keys, self.packet_of[wanted]) - 1
        while at >= 0 and self.stamps[self.keys[at]][0] > self.shown[wanted]:
            at -= 1
        if at < 0:
            raise _LostError
        return self.keys[at]

    def first_shown(self, key: int) -> int:
        """Return the first frame that is shown no earlier than a keyframe."""
        pts = self.stamps[key][0]
        number = self.number_of.get(pts)
        return number if number is not None else bisect_right(self.shown, pts)


def _index_of(source: _Source, num_frames: int) -> tuple[_Index | None, bool]:
    """List a clip's packets; None when they cannot stand for its frames; and whether dts are its times."""
    codec = source.stream.codec_context.name
    if codec in ("gif", "apng"):
        return None, False  # each frame is painted over the ones before, whatever the packets' flags say
    stamps: list[tuple[int, int | None]] = []
    keys: list[int] = []
    shown: list[tuple[int, int]] = []
    for packet in source.packets():
        if packet.size == 0:
            continue
        if packet.pts is None:
            return None, False
        if packet.is_keyframe:
            keys.append(len(stamps))
        if not packet.is_discard and not _is_hidden(codec, packet):
            shown.append((packet.pts, len(stamps)))
        stamps.append((packet.pts, packet.dts))
    if _lacks_pts(source, [pts for pts, _ in stamps]):
        return None, True
    shown.sort()
    number_of = {pts: number for number, (pts, _) in enumerate(shown)}
    place_of_key = {stamps[place][0]: place for place in keys}
    if not len(shown) == len(number_of) == num_frames or len(place_of_key) != len(keys):
        return None, False
    index = _Index(
        stamps, keys, [pts for pts, _ in shown], [place for _, place in shown], number_of, place_of_key
    )
    return index, False


def _is_hidden(codec: str, packet: av.Packet[VideoStream]) -> bool:
    """Tell a packet that holds only a frame for reference, never shown, as VP8 and VP9 have them.

    RFC 6386 section 9.1: bit 4 of the first byte is show_frame. VP9 bitstream specification 6.2:
    frame_marker (2 bits), profile (2, and a zero after profile 3), show_existing_frame, frame_type,
    show_frame; a superframe ends with a byte 110xxxxx and shows its last frame.
    """
    data = memoryview(packet)
    if codec in ("vp8", "libvpx"):
        return not data[0] & 0x10
    if codec not in ("vp9", "libvpx-vp9"):
        return False
    if data[-1] & 0xE0 == 0xC0:
        return False
    bits = data[0] << (1 if data[0] & 0x30 == 0x30 else 0)
    return not bits & 0x08 and not bits & 0x02


def _start_at(source: _Source, index: _Index, key: int) -> tuple[Iterator[VideoFrame], int]:
    """Decode from a keyframe or an earlier one; return the frames and the number of the first to trust."""
    pts, dts = index.stamps[key]
    earlier = index.stamps[index.keys[max(0, index.keys.index(key) - 1)]][0]
    for target in (pts, dts, earlier):
        if target is None:
            continue
        source.seek(target)
        packets = source.packets()
        for packet in packets:
            if not packet.is_keyframe:
                continue
            place = index.place_of_key.get(packet.pts) if packet.pts is not None else None
            if place is not None and place <= key:
                return source.decode(_behind(packet, packets)), index.first_shown(place)
            break
    raise _LostError


def _behind(
    first: av.Packet[VideoStream], rest: Iterator[av.Packet[VideoStream]]
) -> Iterator[av.Packet[VideoStream]]:
    yield first
    yield from rest


class _Source:
    """An open file, its best video stream and that stream's decoder."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        with _av_errors(path, "cannot be opened as video"):
            self.container: InputContainer = av.open(
                f"file:{path}",
                "r",
                container_options={"protocol_whitelist": "file"},
                metadata_errors="replace",
            )
        try:
            self._choose(threads)
        except BaseException:
            self.close()
            raise

    def _choose(self, threads: int) -> None:
        kind = self.container.format.name
        if kind in _REFUSED:
            raise DecodeError(
                f"{self.path}: FFmpeg takes it for {kind!r}, which is no file of video. Name the video itself; raw "
                "planes need media: raw and their geometry in the manifest."
            )
        stream = self.container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            raise DecodeError(f"{self.path}: holds no video stream that this FFmpeg decodes ({kind}).")
        for other in self.container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        stream.codec_context.thread_count = threads
        if threads > 1:
            stream.codec_context.thread_type = "AUTO"
        self.stream = stream
        self.time_base = _positive(stream.time_base) or Fraction(1)
        self.frame_rate = _positive(stream.average_rate) or _positive(stream.guessed_rate)

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.container.close()

    def seek(self, pts: int) -> None:
        try:
            self.container.seek(pts, stream=self.stream, backward=True)
        except av.FFmpegError as error:
            raise _LostError from error

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        with _av_errors(self.path, "cannot be read on"):
            yield from self.container.demux(self.stream)

    def decode(self, packets: Iterator[av.Packet[VideoStream]] | None = None) -> Iterator[VideoFrame]:
        shown = 0
        for packet in packets if packets is not None else self.packets():
            if packet.size and packet.is_corrupt:
                raise DecodeError(
                    f"{self.path}: the data of frame {shown} or one soon after is marked corrupt or cut. "
                    "Fetch or copy the file again."
                )
            with _av_errors(
                self.path, f"frame {shown} of {self.stream.frames or 'unknown'} cannot be decoded"
            ):
                frames = packet.decode()
            for frame in frames:
                yield frame
                shown += 1

    def check(self, frame: VideoFrame, index: int) -> None:
        """Refuse a frame in which the decoder made up what it could not decode."""
        if frame.is_corrupt:
            raise DecodeError(
                f"{self.path}: frame {index} is damaged and was patched up by the decoder. "
                "Fetch or copy the file again."
            )


@contextmanager
def _av_errors(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise DecodeError(
            f"{path}: {what}: {error.strerror or error}. The file is damaged, cut, or of a kind that FFmpeg "
            f"{av.ffmpeg_version_info} does not read: fetch or copy it again, or convert it."
        ) from error


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a decoded frame is handed out."""

    stored: PixelFormat
    pixels: PixelFormat
    width: int
    height: int
    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.pixels.name}"


_UPRIGHT = (65536, 0, 0, 65536)  # a, b, c, d of a display matrix, 16.16 fixed point


def _shape_of(path: Path, frame: VideoFrame, index: int) -> _Shape:
    name = frame.format.name
    pixels = find_format(name)
    if pixels is None:
        raise DecodeError(
            f"{path}: frame {index} has the pixel format {name}, which is not read here. Convert the clip to one that "
            "holds it without loss, such as yuv420p, yuv422p10le or gbrp (ffmpeg -pix_fmt)."
        )
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    matrix = struct.unpack("<9i", bytes(data)) if data is not None else None
    if matrix is None or (matrix[0], matrix[1], matrix[3], matrix[4]) == _UPRIGHT:
        return _Shape(pixels, pixels, frame.width, frame.height)
    return _turned(path, frame, pixels, (matrix[0], matrix[1], matrix[3], matrix[4]))


def _turned(path: Path, frame: VideoFrame, stored: PixelFormat, matrix: tuple[int, int, int, int]) -> _Shape:
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
        return _Shape(stored, stored, frame.width, frame.height, False, flipped_p, flipped_q)
    families = {"422": "440", "440": "422"}
    name = stored.name
    for old, new in families.items():
        if old in stored.name:
            name = stored.name.replace(old, new)
    pixels = find_format(name)
    assert pixels is not None
    return _Shape(stored, pixels, frame.height, frame.width, True, flipped_q, flipped_p)


def _unpack(path: Path, frame: VideoFrame, shape: _Shape, index: int) -> tuple[Plane, ...]:
    sizes = shape.stored.stored_shapes(frame.width, frame.height)
    try:
        planes = shape.stored.unpack(_stored(frame, sizes), frame.width, frame.height)
    except TransparentError:
        raise DecodeError(
            f"{path}: frame {index} is partly transparent, so it has no colour without a background. "
            "Put the clip on one first."
        ) from None
    return tuple(_turn(plane, shape) for plane in planes)


def _turn(plane: Plane, shape: _Shape) -> Plane:
    if shape.transposed:
        plane = plane.T
    if shape.flipped_x:
        plane = plane[:, ::-1]
    return plane[::-1] if shape.flipped_y else plane


def _stored(frame: VideoFrame, sizes: Sequence[tuple[int, int]]) -> list[RawPlane]:
    """Return each stored plane as a view that keeps its AVFrame, and so its memory, alive."""
    planes = []
    for plane, (rows, row_bytes) in zip(frame.planes, sizes, strict=False):
        memory: Any = plane  # a buffer, though its stub does not say so
        samples = np.frombuffer(memory, np.uint8).reshape(-1, plane.line_size)
        planes.append(samples[:rows, :row_bytes])
    return planes


def _tags_of(frame: VideoFrame) -> StreamTags:
    ranges: dict[int, Range] = {1: "limited", 2: "full"}
    return StreamTags(
        matrix=int(frame.colorspace),
        transfer=int(frame.color_trc),
        range=ranges.get(int(frame.color_range)),
    )


def _siting(codec: str, shape: _Shape) -> Siting:
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


def _positive(value: Fraction | None) -> Fraction | None:
    return Fraction(value) if value else None
