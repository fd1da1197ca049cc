"""YUV4MPEG2: frames by offset, each FRAME marker checked.

The header forms that publishers use are read as FFmpeg 8 reads them: no ``C`` tag means 4:2:0 of
8 bits, ``XYSCSS`` counts when there is no ``C``, ``XCOLORRANGE`` gives the range. Frames may carry
parameters, and one stray newline may follow the last frame (two AOM CTC clips have one).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video.base import ClipReader, Frame, tick_of
from sr_datasets.video.formats import PixelFormat, find_format
from sr_datasets.video.raw import FrameFile
from sr_datasets.video.tags import Range, Siting, StreamTags, color_tags

MAGIC = b"YUV4MPEG2"
MAX_LINE = 4096
MARKER = b"FRAME\n"


@dataclass(frozen=True, slots=True)
class Header:
    """What the first line of a y4m file says."""

    width: int
    height: int
    frame_rate: Fraction | None
    pixels: PixelFormat
    scan: Literal["progressive", "interlaced", "unknown"]
    field_order: Literal["top", "bottom", "unknown"]
    range: Range | None
    siting: Siting | None
    sample_aspect: Fraction | None
    num_bytes: int


def probe_y4m(path: Path, clip: Clip | None) -> VideoInfo:
    """Return what a y4m file says of itself; its frames are counted by their markers.

    Raises:
        DecodeError: The header or a marker is wrong, or the file is cut.
    """
    with path.open("rb") as file:
        header = _read_header(path, file.fileno())
        offsets = _walk(path, file.fileno(), header)
    return info_of(path, header, len(offsets), clip)


def info_of(path: Path, header: Header, num_frames: int, clip: Clip | None) -> VideoInfo:
    """Return what a header says of its clip."""
    frame_rate = header.frame_rate or (clip.frame_rate if clip else None)
    pixels = header.pixels
    return VideoInfo(
        media="video",
        container="y4m",
        codec="rawvideo",
        width=header.width,
        height=header.height,
        num_frames=num_frames,
        frame_rate=frame_rate,
        pixel_format=pixels.name,
        bit_depth=pixels.bit_depth,
        model=pixels.model,
        chroma_log2_x=pixels.log2_x,
        chroma_log2_y=pixels.log2_y,
        time_base=tick_of(frame_rate),
        scan=header.scan,
        field_order=header.field_order,
        color=color_tags(
            path,
            pixels,
            width=header.width,
            height=header.height,
            tags=StreamTags(range=header.range, siting=header.siting),
            # The format's own default is 420jpeg; above 8 bits and for 4:2:2 MPEG-2's siting is the custom.
            guessed_siting="center" if pixels.log2_y and pixels.bit_depth == 8 else "left",
            clip=clip,
        ),
    )


class Y4mReader(ClipReader):
    """Frames of a y4m file, by offset."""

    def __init__(self, path: Path, info: VideoInfo) -> None:
        super().__init__(path, info)
        self._file = FrameFile(path)
        try:
            self._header = _read_header(path, self._file.descriptor)
            self._frame_bytes = self._header.pixels.frame_bytes(self._header.width, self._header.height)
            self._offsets: list[int] | None = None
            self._check_unchanged()
        except BaseException:
            self._file.close()
            raise

    def _check_unchanged(self) -> None:
        header, info = self._header, self.info
        size = os.fstat(self._file.descriptor).st_size
        regular = header.num_bytes + info.num_frames * (len(MARKER) + self._frame_bytes)
        if size - regular not in (0, 1):  # 1: the stray newline; its marker is checked frame by frame
            self._offsets = _walk(self.path, self._file.descriptor, header)
        found = info.num_frames if self._offsets is None else len(self._offsets)
        if (header.width, header.height, header.pixels.name, found) != (
            info.width,
            info.height,
            info.pixel_format,
            info.num_frames,
        ):
            raise DecodeError(
                f"{self.path}: holds {found} frames of {header.width}x{header.height} {header.pixels.name}, but had "
                f"{info.num_frames} of {info.width}x{info.height} {info.pixel_format} when it was probed. "
                "The file was replaced: import it again."
            )

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        header = self._header
        for index in wanted:
            planes = self._file.planes(
                index, self._payload_at(index), header.pixels, header.width, header.height
            )
            yield Frame(planes, index, index)

    def _payload_at(self, index: int) -> int:
        """Return where the samples of a frame begin, having seen its marker."""
        if self._offsets is None:
            offset = self._header.num_bytes + index * (len(MARKER) + self._frame_bytes)
            if os.pread(self._file.descriptor, len(MARKER), offset) == MARKER:
                return offset + len(MARKER)
            # Frame parameters of the right total length, or damage: the walk tells them apart.
            self._offsets = _walk(self.path, self._file.descriptor, self._header)
            if len(self._offsets) != self.info.num_frames:
                self._check_unchanged()
        return self._offsets[index]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _walk(path: Path, descriptor: int, header: Header) -> list[int]:
    """Return where the samples of each frame begin, having checked every marker."""
    size = os.fstat(descriptor).st_size
    frame_bytes = header.pixels.frame_bytes(header.width, header.height)
    offsets: list[int] = []
    offset = header.num_bytes
    while offset < size:
        marker = os.pread(descriptor, len(MARKER), offset)
        if marker == MARKER:
            start = offset + len(MARKER)
        elif marker == b"\n" and offset == size - 1 and offsets:
            break
        elif marker == b"FRAME ":
            line = os.pread(descriptor, MAX_LINE, offset)
            if b"\n" not in line:
                raise _bad_marker(path, len(offsets), offset, line[:24], size)
            start = offset + line.index(b"\n") + 1
        elif MARKER.startswith(marker):
            raise _cut(path, len(offsets), size - offset, len(MARKER) + frame_bytes)
        else:
            raise _bad_marker(path, len(offsets), offset, marker, size)
        if start + frame_bytes > size:
            raise _cut(path, len(offsets), size - offset, start - offset + frame_bytes)
        offsets.append(start)
        offset = start + frame_bytes
    if not offsets:
        raise DecodeError(f"{path}: the y4m file has a header but no frames. Fetch or copy it again.")
    return offsets


def _bad_marker(path: Path, index: int, offset: int, found: bytes, size: int) -> DecodeError:
    return DecodeError(
        f"{path}: at byte {offset} of {size}, where frame {index} must begin with FRAME, stands {found!r}; "
        f"{index} whole frames come before. The file is damaged or its header wrong: fetch or copy it again."
    )


def _cut(path: Path, whole: int, rest: int, needed: int) -> DecodeError:
    return DecodeError(
        f"{path}: the file is cut after {whole} whole frames: frame {whole} has {rest} of {needed} bytes. "
        "Fetch or copy it again."
    )


def _read_header(path: Path, descriptor: int) -> Header:
    line, newline, _ = os.pread(descriptor, MAX_LINE, 0).partition(b"\n")
    return parse_header(path, line + newline)


def parse_header(path: Path, first_line: bytes) -> Header:
    """Return what the first line of a y4m file, with its newline, says.

    Raises:
        DecodeError: It is no y4m, or says what is not read here.
    """
    line, newline, _ = first_line.partition(b"\n")
    words = line.decode("latin-1").split(" ")
    if words[0].encode() != MAGIC or not newline:
        raise DecodeError(
            f"{path}: no y4m file: its first line is {line[:40]!r}, not YUV4MPEG2 and parameters."
        )
    tags: dict[str, str] = {}
    extras: dict[str, str] = {}
    for word in words[1:]:
        if word.startswith("X"):
            key, _, value = word[1:].upper().partition("=")
            extras.setdefault(key, value)
        elif word:
            tags.setdefault(word[0], word[1:])
    try:
        width, height = int(tags["W"]), int(tags["H"])
    except (KeyError, ValueError):
        width = height = 0
    if width < 1 or height < 1:
        raise DecodeError(f"{path}: the y4m header gives no width and height: {line!r}.")
    chroma = tags.get("C") or extras.get("YSCSS", "").lower() or "420"
    pixels, siting = _chroma(path, chroma, named="C" in tags or "YSCSS" in extras)
    scan: Literal["progressive", "interlaced", "unknown"] = "unknown"
    if tags.get("I", "?") != "?":
        scan = "progressive" if tags["I"] == "p" else "interlaced"
    orders: dict[str, Literal["top", "bottom", "unknown"]] = {"t": "top", "b": "bottom"}
    ranges: dict[str, Range] = {"FULL": "full", "LIMITED": "limited"}
    return Header(
        width=width,
        height=height,
        frame_rate=_rate(path, tags.get("F", "0:0")),
        pixels=pixels,
        scan=scan,
        field_order=orders.get(tags.get("I", "?"), "unknown"),
        range=ranges.get(extras.get("COLORRANGE", "")),
        siting=siting,
        sample_aspect=_aspect(tags.get("A", "")),
        num_bytes=len(line) + 1,
    )


def _rate(path: Path, text: str) -> Fraction | None:
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match:
        raise DecodeError(
            f"{path}: the y4m header gives the frame rate {text!r}; two numbers such as 30:1 must stand."
        )
    above, below = int(match[1]), int(match[2])
    return Fraction(above, below) if above and below else None


def _aspect(text: str) -> Fraction | None:
    match = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", text)
    return Fraction(int(match[1]), int(match[2])) if match else None


def _chroma(path: Path, text: str, *, named: bool) -> tuple[PixelFormat, Siting | None]:
    sitings: dict[str, Siting] = {"420jpeg": "center", "420mpeg2": "left", "420paldv": "topleft"}
    pixels = None
    if text in sitings:
        return _known("yuv420p"), sitings[text]
    if match := re.fullmatch(r"(420|422|444)(?:p(\d+))?", text):
        pixels = find_format(f"yuv{match[1]}p{match[2]}le" if match[2] else f"yuv{match[1]}p")
    elif match := re.fullmatch(r"mono(\d+)?", text):
        pixels = find_format(f"gray{match[1]}le" if match[1] else "gray")
    if pixels is None:
        raise DecodeError(
            f"{path}: the y4m header says the chroma format C{text}; 420, 422, 444 and mono of 8 to 16 bits are read "
            "here. Convert the file, for example with ffmpeg -pix_fmt yuv420p."
        )
    return pixels, None


def _known(name: str) -> PixelFormat:
    pixels = find_format(name)
    assert pixels is not None
    return pixels
