"""Files through a network: pictures to PNG, videos frame by frame with their time stamps, y4m through pipes."""

import os
import stat
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Final, TypeVar

from sr_datasets.errors import DecodeError
from sr_datasets.espcn.upscale import Pending, Upscaler
from sr_datasets.files import atomic_path, disk_errors
from sr_datasets.manifest import VideoInfo
from sr_datasets.progress import Progress, Silent
from sr_datasets.video import Frame, Plane, open_clip, probe
from sr_datasets.video.pictures import SUFFIXES, frame_paths, icc_profile, is_picture, no_picture
from sr_datasets.video.streamed import FrameStream, Y4mStream, open_stream
from sr_datasets.video.writing import (
    CONTAINERS,
    ClipFormat,
    ClipWriter,
    Codec,
    Y4mWriter,
    codec_for,
    open_writer,
    write_png,
)

PIPE: Final = "-"
"""Standard input, or standard output."""

_One = TypeVar("_One")


@dataclass(frozen=True, slots=True)
class UpscaleReport:
    """What was made."""

    path: str
    """The file or folder; ``-`` for standard output."""
    width: int
    """Columns of the result."""
    height: int
    """Rows of the result."""
    num_frames: int
    """Frames, or pictures."""
    seconds: float
    """Time from the first frame on, reading and writing included."""
    notes: tuple[str, ...] = ()
    """What did not come over."""

    @property
    def frames_per_second(self) -> float:
        """Frames a second."""
        return self.num_frames / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "path": self.path,
            "width": self.width,
            "height": self.height,
            "frames": self.num_frames,
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.frames_per_second, 2),
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Return the report as a few lines of text."""
        head = f"{self.path}: {self.width}x{self.height}, {self.num_frames} frames in {self.seconds:.1f} s"
        return "\n".join([f"{head} ({self.frames_per_second:.2f} frames/s)", *self.notes])


def upscale_file(
    source: str | Path,
    out: str | Path,
    upscaler: Upscaler,
    *,
    codec: str | None = None,
    crf: float | None = None,
    progress: Progress | None = None,
) -> UpscaleReport:
    """Upscale a picture, a folder of pictures, or a video.

    A result appears under its name when it is whole, in place of a file that has that name; but never in place of the
    source. Memory holds some frames only, whatever the video's length.

    Args:
        source: A picture, a folder of them, a video, or ``-`` for y4m on standard input.
        out: A ``.png``; a folder, for a folder; ``.mkv``, ``.mp4``, ``.mov`` or ``.y4m``; or ``-`` for y4m on standard
            output.
        upscaler: The network, inside its ``with`` block.
        codec: ``ffv1`` or ``h264``; the container's usual one when left out.
        crf: Quality of H.264.
        progress: Where to report, silent by default.

    Raises:
        DecodeError: The source cannot be read, has no video, or its samples fit no container that was asked for.
        ModelError: The network does not take these samples, or memory ran out.
        ValueError: ``out`` is the source, has no suffix that is written, or one that does not fit the source or codec.
    """
    progress = progress or Silent()
    if _is_same(str(source), str(out)):
        raise _overwritten(str(out), "on standard input" if str(source) == PIPE else str(source))
    if str(source) != PIPE and _is_of_pictures(Path(source)):
        return _upscale_pictures(Path(source), Path(out), upscaler, progress)
    return _upscale_video(str(source), str(out), upscaler, codec, crf, progress)


def _overwritten(out: str, source: str) -> ValueError:
    return ValueError(f"{out} is the source {source}, which would be overwritten: name another place")


def _is_same(source: str, out: str) -> bool:
    """Tell whether two names are one file or folder, through links, another spelling, or ``< FILE``."""
    try:
        one = os.fstat(sys.stdin.fileno()) if source == PIPE else Path(source).stat()
        other = os.fstat(sys.stdout.fileno()) if out == PIPE else Path(out).stat()
    except OSError:
        return False  # one of them is not there
    # A terminal is both standard input and output.
    return os.path.samestat(one, other) and (stat.S_ISREG(one.st_mode) or stat.S_ISDIR(one.st_mode))


def _is_of_pictures(path: Path) -> bool:
    if path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise DecodeError(f"{path}: cannot be opened: {error.strerror}.") from error
    if head and not is_picture(head) and path.suffix.lower() in SUFFIXES:
        raise no_picture(path)
    return is_picture(head)


def _upscale_pictures(source: Path, out: Path, upscaler: Upscaler, progress: Progress) -> UpscaleReport:
    if str(out) == PIPE:
        raise ValueError("pictures are written as PNG, not to standard output: name a .png file, or a folder")
    if source.is_dir():
        paths = frame_paths(source)
        if out.suffix.lower() in SUFFIXES or (out.exists() and not out.is_dir()):
            raise ValueError(f"{source} is a folder: name a folder for its pictures, not {out}")
        targets = [out / f"{path.stem}.png" for path in paths]
        double = next((name for name in targets if targets.count(name) > 1), None)
        if double is not None:
            raise ValueError(
                f"{source} holds two pictures named {double.stem}: they would become one {double.name}"
            )
    else:
        if out.suffix.lower() != ".png":
            raise ValueError(f"{out}: pictures are written as PNG: name a file that ends in .png")
        paths, targets = [source], [out]
    sources = {(found.st_dev, found.st_ino): path for path in paths for found in [path.stat()]}
    for target in targets:
        found = target.stat() if target.exists() else None
        if found is not None and (found.st_dev, found.st_ino) in sources:
            raise _overwritten(str(target), str(sources[found.st_dev, found.st_ino]))
    # A network of several frames takes the pictures of a folder for the frames of a clip, which must be alike.
    clip = probe(source) if upscaler.config.frames > 1 else None
    infos = [clip or probe(path) for path in paths] if clip is None else [clip] * len(paths)
    for path, info in zip(paths, infos, strict=True):
        upscaler.check(info.layout, str(path))
    started = time.perf_counter()
    with (
        progress.bar("upscale", total=len(paths), unit="frames") as bar,
        disk_errors("writing pictures", out),
    ):
        window = upscaler.config.frames
        pictures = _windows((_planes_of(path) for path in paths), window)
        sent = (
            (path, target, upscaler.submit([planes], info.layout))
            for planes, path, target, info in zip(pictures, paths, targets, infos, strict=True)
        )
        for path, target, pending in _ahead(sent, upscaler.threads):
            with atomic_path(target) as partial:
                write_png(partial, pending.result()[0], icc_profile=icc_profile(path))
            bar.advance(1)
    scale = upscaler.scale
    return UpscaleReport(
        str(out), infos[-1].width * scale, infos[-1].height * scale, len(paths), time.perf_counter() - started
    )


def _planes_of(path: Path) -> tuple[Plane, ...]:
    info = probe(path)
    with open_clip(path, info) as clip:
        return clip.frame_at(0).planes


def _upscale_video(
    source: str, out: str, upscaler: Upscaler, codec: str | None, crf: float | None, progress: Progress
) -> UpscaleReport:
    with ExitStack() as opened:
        # What is wrong with the source is said before what is wrong with OUT's name.
        stream = opened.enter_context(_open(source))
        chosen = _codec(source, out, codec, crf)
        info = stream.info
        upscaler.check(info.layout, source)
        target = ClipFormat(_enlarged(info, upscaler.scale), stream.primaries, stream.sample_aspect)
        writer: ClipWriter
        if out == PIPE:
            opened.enter_context(disk_errors("writing the video", Path("standard output")))
            writer = opened.enter_context(Y4mWriter(sys.stdout.buffer, target))
        else:
            opened.enter_context(disk_errors("writing the video", Path(out)))
            partial = opened.enter_context(atomic_path(Path(out)))
            suffix = Path(out).suffix.lower()
            writer = opened.enter_context(open_writer(partial, target, suffix=suffix, codec=chosen, crf=crf))
        bar = opened.enter_context(progress.bar("upscale", total=stream.expected_frames, unit="frames"))
        started, count, stamps = time.perf_counter(), 0, _Stamps()
        batch = upscaler.batch_of(info.height, info.width)
        for pts, planes in enlarged_frames(stream, info, upscaler, batch):
            writer.write(planes, pts)
            stamps.see(pts)
            count += 1
            bar.advance(1)
        writer.finish()
        seconds = time.perf_counter() - started
        notes = _notes(source, out, stream, target, stamps)
    return UpscaleReport(out, target.info.width, target.info.height, count, seconds, notes)


def _codec(source: str, out: str, codec: str | None, crf: float | None) -> Codec:
    if out == PIPE:
        if codec not in (None, "y4m"):
            raise ValueError(f"standard output gets y4m, not {codec}")
        return "y4m"
    if Path(out).suffix.lower() in SUFFIXES:
        raise ValueError(
            f"{source} is no picture that is read here (PNG, JPEG and BMP are), so it cannot become {out}. Convert a "
            f"picture to PNG first; video is written as {', '.join(CONTAINERS)}"
        )
    chosen = codec_for(out, codec)
    if crf is not None and chosen != "h264":
        raise ValueError(f"{chosen} is without loss: crf is for h264")
    return chosen


def _open(source: str) -> FrameStream:
    if source == PIPE:
        return Y4mStream(sys.stdin.buffer, Path("standard input"))
    return open_stream(Path(source), threads=1)


def _enlarged(info: VideoInfo, scale: int) -> VideoInfo:
    return info.model_copy(update={"width": info.width * scale, "height": info.height * scale})


def enlarged_frames(
    stream: Iterable[Frame], info: VideoInfo, upscaler: Upscaler, batch: int
) -> Iterator[tuple[int, tuple[Plane, ...]]]:
    """Yield the time stamp and the planes of each enlarged frame; some are under way while others are read."""
    stamps: deque[int] = deque()

    def planes() -> Iterator[tuple[Plane, ...]]:
        for frame in stream:
            stamps.append(frame.pts)
            yield frame.planes

    def sent() -> Iterator[tuple[int, Pending]]:
        for windows in _groups(_windows(planes(), upscaler.config.frames), batch):
            # A batch is filled up, so that a compiled network sees one size.
            full = [*windows, *[windows[-1]] * (batch - len(windows))]
            yield len(windows), upscaler.submit(full, info.layout)

    for number, pending in _ahead(sent(), max(2, upscaler.threads)):
        for made in pending.result()[:number]:
            yield stamps.popleft(), made


def _windows(frames: Iterable[_One], length: int) -> Iterator[list[_One]]:
    """Yield each frame with its neighbours; at the ends the frame there is repeated."""
    half = length // 2
    held: deque[_One] = deque(maxlen=length)
    for frame in frames:
        held.extend([frame] * (1 if held else half + 1))
        if len(held) == length:
            yield list(held)
    # Of the frames at the end, each still lacks a neighbour; a short clip never filled a window.
    for _ in range(half if held else 0):
        held.append(held[-1])
        if len(held) == length:
            yield list(held)


def _groups(items: Iterable[_One], size: int) -> Iterator[list[_One]]:
    group: list[_One] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _ahead(items: Iterable[_One], number: int) -> Iterator[_One]:
    """Yield items in order, having made so many more already."""
    waiting: deque[_One] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > number:
            yield waiting.popleft()
    yield from waiting


@dataclass(slots=True)
class _Stamps:
    """Looks whether frames come at even times."""

    last: int | None = None
    step: int | None = None
    even: bool = True

    def see(self, pts: int) -> None:
        if self.last is not None:
            step = pts - self.last
            self.step = step if self.step is None else self.step
            self.even = self.even and abs(step - self.step) <= 1  # a rate that the time base does not divide
        self.last = pts


def _notes(
    source: str, out: str, stream: FrameStream, target: ClipFormat, stamps: _Stamps
) -> tuple[str, ...]:
    notes = []
    suffix = ".y4m" if out == PIPE else Path(out).suffix.lower()
    if suffix == ".y4m" and not stamps.even:
        notes.append("The frames come at uneven times, which y4m cannot say: take .mkv or .mp4.")
    if suffix == ".mkv" and target.sample_aspect not in (None, 1):
        notes.append(
            f"Samples are {target.sample_aspect} as wide as high, which is said by H.264 only, not by FFV1."
        )
    if stream.info.scan == "interlaced":
        notes.append(
            "The clip is interlaced: both fields of a frame were enlarged as one picture. Deinterlace it first."
        )
    if stream.has_audio:
        notes.append(
            f"Sound was left out. To add it: ffmpeg -i {_for_ffmpeg(out)} -i {_for_ffmpeg(source)} -map 0:v -map 1:a "
            f"-c copy WITH_SOUND{suffix}"
        )
    return tuple(notes)


def _for_ffmpeg(path: str) -> str:
    """Return a file's name as ffmpeg takes it in a shell: what stands before a colon would be a protocol."""
    return quote(f"file:{path}" if ":" in path else path)
