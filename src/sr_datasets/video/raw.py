"""Headerless planes (``.yuv``): the manifest declares the geometry, the file's size proves it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video.base import ClipReader, Frame, Plane, tick_of
from sr_datasets.video.formats import PixelFormat, TransparentError, find_format
from sr_datasets.video.tags import StreamTags, color_tags


def probe_raw(path: Path, clip: Clip | None) -> VideoInfo:
    """Return what raw planes hold by their declared geometry, which must divide the file's size.

    Raises:
        DecodeError: The geometry is not declared, or does not fit the size.
    """
    clip, width, height, pixels = _declared(path, clip)
    size, frame_bytes = path.stat().st_size, pixels.frame_bytes(width, height)
    num_frames, rest = divmod(size, frame_bytes)
    geometry = f"{width}x{height} {clip.pixel_format}, {frame_bytes} bytes a frame"
    if rest or not num_frames:
        raise DecodeError(
            f"{path}: {size} bytes are {num_frames} frames and {rest} bytes more at the declared {geometry}. Either "
            "the file is cut, or width, height or pixel_format are wrong in the manifest."
        )
    if clip.num_frames is not None and clip.num_frames != num_frames:
        raise DecodeError(
            f"{path}: {size} bytes are {num_frames} frames at the declared {geometry}, but the manifest says "
            f"{clip.num_frames} frames. Correct width, height, pixel_format or num_frames, or fetch the file again."
        )
    info = VideoInfo(
        media="raw",
        container="raw",
        codec="rawvideo",
        width=width,
        height=height,
        num_frames=num_frames,
        frame_rate=clip.frame_rate,
        pixel_format=pixels.name,
        bit_depth=pixels.bit_depth,
        model=pixels.model,
        chroma_log2_x=pixels.log2_x,
        chroma_log2_y=pixels.log2_y,
        time_base=tick_of(clip.frame_rate),
        scan="unknown",
        color=color_tags(
            path, pixels, width=width, height=height, tags=StreamTags(), guessed_siting="left", clip=clip
        ),
    )
    with RawReader(path, info, clip) as reader:  # a wrong depth or byte order shows in the samples
        for _ in reader.frames([0, num_frames // 2, num_frames - 1]):
            pass
    return info


def _declared(path: Path, clip: Clip | None) -> tuple[Clip, int, int, PixelFormat]:
    if clip is None or clip.width is None or clip.height is None or clip.pixel_format is None:
        fields = ("width", "height", "pixel_format")
        missing = [field for field in fields if clip is None or getattr(clip, field) is None]
        raise DecodeError(
            f"{path}: raw planes do not say their geometry; the manifest must declare {', '.join(missing)} "
            "(and media: raw)."
        )
    pixels = find_format(clip.pixel_format)
    if pixels is None:
        raise DecodeError(
            f"{path}: the manifest declares the pixel format {clip.pixel_format}, which is not read here. Use FFmpeg's "
            "name of one with 8 to 16 bits, such as yuv420p, yuv422p10le, uyvy422, nv12 or rgb24."
        )
    return clip, clip.width, clip.height, pixels


class RawReader(ClipReader):
    """Frames of raw planes, by offset."""

    def __init__(self, path: Path, info: VideoInfo, clip: Clip | None) -> None:
        super().__init__(path, info)
        _, _, _, self._pixels = _declared(path, clip)
        self._frame_bytes = self._pixels.frame_bytes(info.width, info.height)
        size = path.stat().st_size
        if size != self._frame_bytes * info.num_frames or self._pixels.name != info.pixel_format:
            raise DecodeError(
                f"{path}: {size} bytes are not {info.num_frames} frames of {info.width}x{info.height} "
                f"{self._pixels.name}, as it was probed. The file or its manifest was changed: import it again."
            )
        self._file = FrameFile(path)

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        for index in wanted:
            planes = self._file.planes(
                index, index * self._frame_bytes, self._pixels, self.info.width, self.info.height
            )
            yield Frame(planes, index, index)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class FrameFile:
    """A file in which frames lie as stored planes; hands out planes by byte offset.

    Frames of 8 and 16 bits are views of the mapped file: of a frame that is only cut into, only the rows
    that are touched are read. The pages of a frame are given back when the next one is asked for; a view
    that is still held reads them again. Other depths are read whole, since every sample is checked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO = path.open("rb", buffering=0)
        self._map: mmap.mmap | None = None
        self._last: tuple[int, int] | None = None

    @property
    def descriptor(self) -> int:
        """The open file."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file; planes that were handed out stay."""
        self._map = None
        self._file.close()

    def planes(
        self, index: int, offset: int, pixels: PixelFormat, width: int, height: int
    ) -> tuple[Plane, ...]:
        """Return the planes of frame ``index``, which is stored at a byte offset; read-only where mapped.

        Raises:
            DecodeError: The file ends before the frame does, a sample does not fit its depth, or the frame
                is transparent.
        """
        size = pixels.frame_bytes(width, height)
        data = self._mapped(offset, size) if pixels.bit_depth in (8, 16) else self._read(offset, size)
        stored, start = [], 0
        for rows, row_bytes in pixels.stored_shapes(width, height):
            stored.append(data[start : start + rows * row_bytes].reshape(rows, row_bytes))
            start += rows * row_bytes
        try:
            planes = pixels.unpack(stored, width, height)
        except TransparentError:
            raise DecodeError(
                f"{self.path}: frame {index}, at byte {offset}, is partly transparent, so it has no colour without a "
                "background. Put it on one first."
            ) from None
        _check_depth(self.path, index, planes, pixels.bit_depth)
        return planes

    def _mapped(self, offset: int, size: int) -> npt.NDArray[np.uint8]:
        # A mapped file that is cut kills the process that touches what is gone: look first.
        length = os.fstat(self.descriptor).st_size
        if offset + size > length:
            raise self._ended(length)
        if self._map is None or len(self._map) < offset + size:
            try:
                self._map = mmap.mmap(self.descriptor, length, access=mmap.ACCESS_READ)
            except OSError:  # a file system that maps no files
                return self._read(offset, size)
        if self._last is not None:
            first = self._last[0] // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, first, self._last[0] + self._last[1] - first)
        self._last = offset, size
        return np.frombuffer(self._map, np.uint8, size, offset)

    def _read(self, offset: int, size: int) -> npt.NDArray[np.uint8]:
        data = np.empty(size, np.uint8)
        view, done = data.data, 0
        while done < size:
            count = os.preadv(self.descriptor, [view[done:]], offset + done)
            if not count:
                raise self._ended(offset + done)
            done += count
        return data

    def _ended(self, length: int) -> DecodeError:
        return DecodeError(
            f"{self.path}: the file ends at byte {length}, inside a frame. It was cut while in use: "
            "fetch or copy it again."
        )


def _check_depth(path: Path, index: int, planes: Sequence[Plane], bit_depth: int) -> None:
    """Refuse samples that do not fit their depth, the sign of a wrong depth or byte order.

    Raises:
        DecodeError: A sample is ``1 << bit_depth`` or more.
    """
    if bit_depth in (8, 16):
        return
    top = max(int(plane.max()) for plane in planes)
    if top >> bit_depth:
        raise DecodeError(
            f"{path}: frame {index} has the sample {top}, but {bit_depth} bits reach {(1 << bit_depth) - 1} only. "
            "The bit depth or byte order is wrong, or the file damaged."
        )
