"""An open video file: its best video stream, that stream's packets and its decoder."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sr_datasets.errors import DecodeError
from sr_datasets.guarded import alive
from sr_datasets.video.base import check_size
from sr_datasets.video.pictures import SUFFIXES, no_picture
from sr_datasets.video.whole import check_whole

Packet: TypeAlias = "av.Packet[VideoStream]"

# Playlists and the like read other files than the one that is named; text is not video.
_REFUSED = {"hls", "dash", "concat", "tty", "image2", "sdp", "rtsp", "lavfi", "rawvideo", "imf"}


class LostError(Exception):
    """Decoding after a seek does not follow the list of time stamps."""


class VideoFile:
    """An open file, its best video stream and that stream's decoder."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        check_whole(path)
        with av_errors(path, "cannot be opened as video"):
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
        if kind == "image2" and self.path.suffix.lower() in SUFFIXES:
            raise no_picture(self.path)
        if kind in _REFUSED:
            raise DecodeError(
                f"{self.path}: FFmpeg takes it for {kind!r}, which is no file of video. Name the video itself; raw "
                "planes need media: raw and their geometry in the manifest."
            )
        stream = self.container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.codec_context is None:
            raise DecodeError(f"{self.path}: holds no video stream that this FFmpeg decodes ({kind}).")
        check_size(self.path, stream.codec_context.width, stream.codec_context.height)
        for other in self.container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        # Without it FFmpeg leaves some columns in that are to be cropped at the left, for the alignment of rows.
        stream.codec_context.flags |= Flags.unaligned
        stream.codec_context.thread_count = threads
        if threads > 1:
            stream.codec_context.thread_type = "AUTO"
        self.stream = stream
        self.time_base = _positive(stream.time_base) or Fraction(1)
        self.reorders = bool(stream.codec_context.has_b_frames)  # before a decoder changes it
        self.frame_rate = _positive(stream.average_rate) or _positive(stream.guessed_rate)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and its decoder."""
        self.container.close()

    def seek(self, pts: int) -> None:
        """Ask the demuxer for the keyframe at or before a pts; where it lands must be looked at.

        Raises:
            LostError: The container cannot seek.
        """
        try:
            self.container.seek(pts, stream=self.stream, backward=True)
        except av.FFmpegError as error:
            raise LostError from error

    def packets(self) -> Iterator[Packet]:
        """Yield the stream's packets from here on, the last of them empty.

        Raises:
            DecodeError: The container is damaged.
        """
        with av_errors(self.path, "cannot be read on"):
            for packet in self.container.demux(self.stream):
                alive()
                yield packet

    def decode(
        self, packets: Iterator[Packet] | None = None, *, needed: Container[int] | None = None
    ) -> Iterator[VideoFrame]:
        """Yield the frames that these packets show.

        Args:
            packets: All packets from here on, if left out.
            needed: Frames with other pts are left out where no other frame is made of them.

        Raises:
            DecodeError: A packet is cut or cannot be decoded; frames are numbered from the first yielded.
        """
        shown = 0
        codec = self.stream.codec_context
        codec.skip_frame = "DEFAULT"
        for packet in packets if packets is not None else self.packets():
            if needed is not None and packet.size:
                codec.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            if packet.size and packet.is_corrupt:
                raise DecodeError(
                    f"{self.path}: the data of frame {shown} or one soon after is marked corrupt or cut. "
                    "Fetch or copy the file again."
                )
            with av_errors(
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
def av_errors(path: Path, what: str) -> Iterator[None]:
    """Turn FFmpeg's errors into a ``DecodeError`` about ``path``."""
    try:
        yield
    except av.FFmpegError as error:
        raise DecodeError(
            f"{path}: {what}: {error.strerror or error}. The file is damaged, cut, or of a kind that FFmpeg "
            f"{av.ffmpeg_version_info} does not read: fetch or copy it again, or convert it."
        ) from error


def _positive(value: Fraction | None) -> Fraction | None:
    return Fraction(value) if value else None
