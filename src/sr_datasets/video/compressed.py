"""Everything that PyAV opens: frame n is the n-th frame that a decode from the start shows.

``probe_compressed`` decodes the whole clip once, counts, and refuses what a decoder would paper
over: concealed errors, frames out of order, a change of size or format. ``CompressedReader`` lists
the packets' time stamps (without decoding), seeks to the last keyframe from which the wanted frame
can be decoded, and follows the list frame by frame; where list and decoder disagree, it decodes
from the start instead and counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from av.video.frame import VideoFrame

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video.base import ClipReader, Frame, Plane
from sr_datasets.video.decoded import planes_of, shape_of, stored_shape
from sr_datasets.video.packets import PacketIndex, container_index, list_packets, start_at
from sr_datasets.video.stream import LostError, VideoFile
from sr_datasets.video.streamed import CompressedStream


def probe_compressed(path: Path, clip: Clip | None, *, threads: int = 1) -> VideoInfo:
    """Decode a clip from end to end and return what it says of itself.

    Raises:
        DecodeError: It cannot be opened or has no video; a frame is damaged, transparent or out of
            order; size, format or rotation change on the way.
    """
    with CompressedStream(path, clip=clip, threads=threads) as stream:
        for _ in stream:
            pass
        return stream.info


def decode_picture(path: Path) -> tuple[Plane, ...]:
    """Decode a still picture with FFmpeg, at its full depth (Pillow cuts 16-bit RGB to 8), as it is stored: not turned.

    EXIF, which some FFmpegs hand out with the frame and PyAV cannot name, is not looked at.

    Raises:
        DecodeError: It is damaged, transparent, or of a format that is not read.
    """
    with VideoFile(path, threads=1) as source:
        for frame in source.decode():
            source.check(frame, 0)
            return planes_of(path, frame, stored_shape(path, frame, 0), 0)
    raise DecodeError(f"{path}: holds no picture. Fetch or copy it again.")


class CompressedReader(ClipReader):
    """Frames of a video that PyAV opens."""

    def __init__(self, path: Path, info: VideoInfo, *, threads: int = 1) -> None:
        super().__init__(path, info)
        self._threads = threads
        self._source = VideoFile(path, threads)
        try:
            self._check_unchanged()
            self._untimed = False
            self._index = container_index(self._source, info.num_frames)
            self._quick = self._index is not None
            if not self._quick:
                self._list_packets()
        except BaseException:
            self._source.close()
            raise
        self._running: Iterator[VideoFrame] | None = None
        self._next = 0  # the number of the frame that the running decoder shows next
        self._needed: frozenset[int] | None = None  # what the running decoder was told is asked for
        # H.264 says of each picture whether others are predicted from it (nal_ref_idc, 7.4.1): those that
        # serve none and are not asked for need no decoding. Fields of one frame may differ in it.
        self._skips = info.codec == "h264" and info.scan == "progressive"
        self.frames_decoded = 0
        """Frames that the decoder has given so far, asked for or not."""

    def _list_packets(self) -> None:
        self._quick = False
        self._index, self._untimed = list_packets(self._source, self.info.num_frames)

    def _check_unchanged(self) -> None:
        found = (self._source.container.format.name, self._source.stream.codec_context.name)
        if found != (self.info.container, self.info.codec):
            raise DecodeError(
                f"{self.path}: is {found[1]} in {found[0]}, but was {self.info.codec} in {self.info.container} when it "
                "was probed. The file or the decoder was replaced: import it again."
            )

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        needed = self._needed_of(wanted)
        for index in wanted:
            frame = self._decode(index, needed)
            shape = shape_of(self.path, frame, index)
            info = self.info
            if (shape.width, shape.height, shape.pixels.name) != (info.width, info.height, info.pixel_format):
                raise DecodeError(
                    f"{self.path}: frame {index} is {shape}, but the clip was {info.width}x{info.height} "
                    f"{info.pixel_format} when it was probed. Import it again."
                )
            yield Frame(planes_of(self.path, frame, shape, index), index, self._stamp(frame, index))

    def _needed_of(self, wanted: Sequence[int]) -> frozenset[int] | None:
        """Return the pts of what is asked for, if the decoder may leave out what serves none of it."""
        # Frames that are asked for one at a time are often neighbours: a decoder that left nothing out
        # goes on from one to the next.
        if not self._skips or self._index is None or len(wanted) < 2:
            return None
        return frozenset(self._index.shown[index] for index in wanted)

    def _stamp(self, frame: VideoFrame, index: int) -> int:
        if frame.pts is not None and not self._untimed:
            return frame.pts
        return round(index / (self._source.frame_rate or 1) / self._source.time_base)

    def _decode(self, index: int, needed: frozenset[int] | None) -> VideoFrame:
        while self._index is not None:
            try:
                return self._by_time(self._index, index, needed)
            except (LostError, DecodeError):
                if needed is not None and self._skips:
                    self._skips, self._running = False, None
                    continue
                # The table and the decoder disagree. Counting from the start is always right, and says
                # best what is wrong with a damaged file.
                self._running = None
                if self._quick:
                    self._reopen()
                    self._list_packets()
                else:
                    self._index = None
        return self._by_counting(index)

    def _by_time(self, index: PacketIndex, wanted: int, needed: frozenset[int] | None) -> VideoFrame:
        key = index.key_for(wanted)
        if not self._skips:
            needed = None
        # A decoder that left frames out can only serve those that it was told of.
        kept = self._needed is None or self._needed is needed
        if not kept or self._running is None or wanted < self._next or index.first_shown(key) > self._next:
            self._running, self._needed = None, needed
            self._running, self._next = start_at(self._source, index, key, needed=needed)
        for frame in self._running:
            number = index.number_of.get(frame.pts) if frame.pts is not None else None
            if number is None:
                raise LostError
            self.frames_decoded += 1
            if number < self._next:
                continue  # shown before the keyframe and coded after it: it may lack its references
            if number > (self._next if self._needed is None else wanted) or frame.is_corrupt:
                raise LostError
            self._next = number + 1
            if number == wanted:
                return frame
        raise LostError

    def _by_counting(self, wanted: int) -> VideoFrame:
        if self._running is None or wanted < self._next:
            self._reopen()
            self._running, self._next, self._needed = self._source.decode(), 0, None
        for frame in self._running:
            self._next += 1
            self.frames_decoded += 1
            if self._next - 1 == wanted:
                self._source.check(frame, wanted)
                return frame
        raise DecodeError(
            f"{self.path}: shows {self._next} frames, but had {self.info.num_frames} when it was probed. "
            "The file was replaced or cut: import it again."
        )

    def _reopen(self) -> None:
        self._source.close()
        self._source = VideoFile(self.path, self._threads)

    def close(self) -> None:
        """Close the file and the decoder."""
        self._running = None
        self._source.close()
