"""Video codecs: what frames look like after they were encoded and decoded, through PyAV, in memory.

One thread, no clock, the choices that depend on the CPU switched off where the encoder can: the result is a
function of the frames, the settings and the encoder's build, which ``encoder_of`` names.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, assert_never

import av
import av.codec.codec
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.plane import VideoPlane

from sr_datasets.color import Pixels
from sr_datasets.degrade.effect import draw_numbers
from sr_datasets.degrade.planes import Chroma, pixels_of, planes_of
from sr_datasets.degrade.resample import to_whole
from sr_datasets.degrade.resize import interpolate
from sr_datasets.degrade.step import Context, Region, Samples, Scope, Step, StepDraws
from sr_datasets.recipe.effects import X264, X265, Av1, Codec, Mpeg4, Vp9
from sr_datasets.recipe.numbers import is_drawn, limits

# x265 writes beyond its buffers when a frame is smaller than one of its 64x64 blocks, and SVT-AV1 leaves out
# what its CRF is made of.
_LEAST = {"x265": 64, "av1": 64}
_ENCODERS = {"x264": "libx264", "x265": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1", "mpeg4": "mpeg4"}
_DECODERS = {"x264": "h264", "x265": "hevc", "vp9": "vp9", "av1": "libdav1d", "mpeg4": "mpeg4"}


class CodecStep(Step):
    """Encodes frames as one video and decodes them."""

    scope: Scope = "clip"
    planewise = False

    def __init__(self, part: Codec, context: Context) -> None:
        """Check that this build of PyAV has the codec for this colour and depth.

        Raises:
            ValueError: It has not.
        """
        self._part, self._context = part, context
        self.draws = any(
            is_drawn(number) for name in part.drawn if (number := getattr(part, name)) is not None
        )
        self._chroma: Chroma = part.chroma if isinstance(part, X264 | X265) else "4:2:0"
        if self._chroma == "4:4:4" and context.color != "rgb":
            raise ValueError(f"{part.kind}: chroma 4:4:4 is for color rgb, not {context.color}")
        self._format = _pixel_format(part.kind, self._chroma, context.bit_depth)

    def apply(
        self,
        frames: Sequence[Samples],
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        numbers: Sequence[int],
        draws: StepDraws,
    ) -> list[Samples]:
        """Refuse windows: a video codec must see every frame from the first, whole."""
        raise ValueError("a video codec needs the whole clip")

    def whole(
        self, frames: Sequence[Samples], *, target: tuple[int, int], numbers: Sequence[int], draws: StepDraws
    ) -> list[Samples]:
        """Encode and decode a row's frames as one video.

        Where a resize walked, frames are brought to the size of the first, bicubic, as PyAV does.
        """
        height, width = frames[0].shape[-2:]
        same = (
            frame
            if frame.shape[-2:] == (height, width)
            else interpolate(frame.astype(np.float64), height, width, "bicubic")
            for frame in frames
        )
        return list(self.stream(same, height=height, width=width, draws=draws))

    def stream(
        self, frames: Iterator[Samples], *, height: int, width: int, draws: StepDraws
    ) -> Iterator[Samples]:
        """Encode and decode a clip; frames lie in memory only as long as the codec holds them back.

        Raises:
            ValueError: Other frames came out than went in.
        """
        part, context = self._part, self._context
        rate = next(name for name in ("crf", "qp", "bitrate") if getattr(part, name) is not None)
        value = int(draw_numbers(rate, getattr(part, rate), 1, draws, whole=True)[0])
        least = _LEAST.get(part.kind, 2)
        as_floats, num_sent, num_read = False, 0, 0

        def sent() -> Iterator[list[Pixels]]:
            nonlocal as_floats, num_sent
            for frame in frames:
                as_floats = frame.dtype == np.float64
                num_sent += 1
                yield planes_of(
                    self._pixels(frame), context.color, self._chroma, context.bit_depth, least=least
                )

        for number, planes in _through(part, self._format, sent(), rate, value):
            if number != num_read:
                raise ValueError(
                    f"{part.kind} gave frame {number} where {num_read} was due: report the build ({encoder_of(part.kind)})"
                )
            num_read += 1
            pixels = pixels_of(
                planes, context.color, self._chroma, context.bit_depth, height=height, width=width
            )
            yield pixels.astype(np.float64) if as_floats else pixels
        if num_read != num_sent:
            raise ValueError(
                f"{part.kind} gave {num_read} of {num_sent} frames: report the build ({encoder_of(part.kind)})"
            )

    def _pixels(self, frame: Samples) -> Pixels:
        dtype = np.uint8 if self._context.bit_depth == 8 else np.uint16
        if frame.dtype == np.float64:
            frame = to_whole(frame.astype(np.float64), self._context.peak)
        pixels: Pixels = frame.astype(dtype, copy=False)
        return pixels


CodecKind = Literal["x264", "x265", "vp9", "av1", "mpeg4"]


@lru_cache
def encoder_of(kind: CodecKind) -> str:
    """Return which encoder a codec's step runs, and its build, for the metadata of a set.

    The encoder's own version where its stream states it, FFmpeg's version, and a fingerprint: the head of the SHA-256
    of what this build makes of eight small frames.

    Raises:
        ValueError: This build of PyAV lacks the encoder.
    """
    probes: dict[CodecKind, Codec] = {
        "x264": X264(qp=30),
        "x265": X265(qp=30),
        "vp9": Vp9(qp=40),
        "av1": Av1(qp=40),
        "mpeg4": Mpeg4(qp=6),
    }
    part = probes[kind]
    rows, columns = np.mgrid[:64, :96]
    frames = []
    for number in range(8):
        luma = (((rows * 3 + columns * 5 + number * 7) ^ (rows * columns // 16)) & 255).astype(np.uint8)
        frames.append([luma, luma[::2, ::2].copy(), luma[1::2, 1::2].copy()])
    pixel_format = _pixel_format(kind, "4:2:0", 8)
    digest, packets = hashlib.sha256(), bytearray()
    value = int(limits(part.qp or 0.0)[0])
    for _, planes in _through(part, pixel_format, iter(frames), "qp", value, packets=packets):
        digest.update(b"".join(plane.tobytes() for plane in planes))
    stated = re.search(rb"x264 - (core \w+(?: r\w+ \w+)?)|x265 (\(build \w+\) - [^: ]+)", packets)
    own = " " + (stated[1] or stated[2]).decode() if stated else ""
    return f"{_ENCODERS[kind]}{own}, FFmpeg {av.ffmpeg_version_info}, output {digest.hexdigest()[:12]}"


def _through(
    part: Codec,
    pixel_format: str,
    frames: Iterator[list[Pixels]],
    rate: str,
    value: int,
    *,
    packets: bytearray | None = None,
) -> Iterator[tuple[int, list[Pixels]]]:
    """Yield the number and the planes of each decoded frame as soon as the decoder hands it out.

    Args:
        part: Settings of the encoder.
        pixel_format: FFmpeg's name.
        frames: Y, U and V of each frame.
        rate: ``crf``, ``qp`` or ``bitrate``.
        value: Of the rate.
        packets: Where to keep what the encoder wrote, when it is wanted.
    """
    encoder: VideoCodecContext | None = None
    decoder = _decoder(part.kind)

    def decoded(found: Sequence["av.Packet[av.VideoStream]"]) -> Iterator[tuple[int, list[Pixels]]]:
        for packet in found:
            if packets is not None:
                packets.extend(bytes(packet))
            yield from _read(decoder.decode(packet))

    for number, planes in enumerate(frames):
        if encoder is None:
            encoder = _encoder(part, pixel_format, planes[0].shape, rate, value)
        yield from decoded(encoder.encode(_video_frame(planes, pixel_format, number, encoder.time_base)))
    if encoder is not None:
        yield from decoded(encoder.encode(None))
        yield from _read(decoder.decode(None))


def _encoder(
    part: Codec, pixel_format: str, shape: tuple[int, ...], rate: str, value: int
) -> VideoCodecContext:
    # SVT-AV1 tells stderr of each of its settings unless it is told to keep to errors.
    os.environ.setdefault("SVT_LOG", "1")
    encoder = av.CodecContext.create(_ENCODERS[part.kind], "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = shape
    encoder.pix_fmt = pixel_format
    encoder.framerate, encoder.time_base = part.fps, 1 / part.fps
    encoder.thread_count = 1
    if part.gop is not None:
        encoder.gop_size = part.gop
    if rate == "bitrate":
        encoder.bit_rate = value
    encoder.options = _options(part, rate, value)
    with _usual_priority():
        encoder.open(strict=False)
    return encoder


@contextmanager
def _usual_priority() -> Iterator[None]:
    """Take back the priority that SVT-AV1 gives itself where root runs it.

    It makes the thread that opens it a real-time one, and so those that this thread starts: all else on the machine, and
    every process of the program's, would wait for what it does.
    """
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():  # not Linux
        yield
        return
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    before = {thread.name for thread in tasks.iterdir()}
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            begun = {thread.name for thread in tasks.iterdir()} - before
            for thread in (0, *map(int, begun)):
                with suppress(ProcessLookupError):  # it has ended
                    os.sched_setscheduler(thread, policy, param)


def _options(part: Codec, rate: str, value: int) -> dict[str, str]:
    """Return FFmpeg's options of an encoder: its settings, one thread, nothing that depends on the CPU."""
    quality = {rate: str(value)} if rate != "bitrate" else {}
    match part:
        case X264(preset=preset):
            # Without cpu-independent, x264 decides otherwise on a CPU without its assembly.
            own = "threads=1:lookahead-threads=1:sliced-threads=0:cpu-independent=1"
            return {**quality, "preset": preset, "x264-params": own}
        case X265(preset=preset):
            own = "pools=none:frame-threads=1:wpp=0:log-level=none"
            return {**quality, "preset": preset, "x265-params": own}
        case Vp9(speed=speed):
            if rate == "qp":
                quality = {"crf": str(value), "qmin": str(value), "qmax": str(value)}
            if quality:
                quality["b"] = "0"
            return {**quality, "deadline": "good", "cpu-used": str(speed), "row-mt": "0"}
        case Av1(preset=number):
            # With a bitrate, SVT-AV1's output depends on its level of parallelism.
            return {**quality, "preset": str(number), "svtav1-params": "lp=1"}
        case Mpeg4():
            if rate == "qp":
                # -qscale:v travels with each frame, where PyAV has no place for it; so the range of quantisers is
                # one, for key frames too.
                quality = {"qmin": str(value), "qmax": str(value), "i_qfactor": "1", "i_qoffset": "0"}
            return {**quality, "flags": "+bitexact", "idct": "simple", "dct": "int"}
        case _:
            assert_never(part)


def _decoder(kind: str) -> VideoCodecContext:
    decoder = av.CodecContext.create(_DECODERS[kind], "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    if kind == "mpeg4":
        # H.264 to AV1 fix every sample; MPEG-4 leaves the transform's last bit to the decoder.
        decoder.options = {"flags": "+bitexact", "idct": "simple"}
    return decoder


def _pixel_format(kind: str, chroma: Chroma, bit_depth: int) -> str:
    """Return FFmpeg's name of the format that an encoder gets.

    Raises:
        ValueError: The build has no such encoder or decoder, or it does not take this format.
    """
    missing = _missing(kind)
    if missing:
        present = [name for name in _ENCODERS if not _missing(name)]
        raise ValueError(
            f"{kind}: this build of PyAV (FFmpeg {av.ffmpeg_version_info}) has no {' and no '.join(missing)}; it has what "
            f"these need: {', '.join(present) or 'none of the codecs'}"
        )
    wanted = "yuv" + chroma.replace(":", "") + "p" + (f"{bit_depth}le" if bit_depth > 8 else "")
    formats = [one.name for one in av.codec.codec.Codec(_ENCODERS[kind], "w").video_formats or ()]
    if wanted not in formats:
        start = "yuv" + chroma.replace(":", "") + "p"
        depths = [
            depth
            for depth in range(8, 17)
            if f"{start}{depth}le" in formats or (depth == 8 and start in formats)
        ]
        found = f"{', '.join(map(str, depths))} bits" if depths else "not at all"
        raise ValueError(
            f"{kind}: {_ENCODERS[kind]} of this build takes {chroma} at {found}, the clip has {bit_depth} bits"
        )
    return wanted


@lru_cache
def _missing(kind: str) -> tuple[str, ...]:
    """Return what of a codec this build lacks: its encoder, its decoder, both or nothing."""
    lacks = []
    try:
        av.codec.codec.Codec(_ENCODERS[kind], "w")
    except av.codec.codec.UnknownCodecError:
        lacks.append(f"encoder {_ENCODERS[kind]}")
    try:
        av.codec.codec.Codec(_DECODERS[kind], "r")
    except av.codec.codec.UnknownCodecError:
        lacks.append(f"decoder {_DECODERS[kind]}")
    return tuple(lacks)


def _video_frame(
    planes: Sequence[Pixels], pixel_format: str, number: int, time_base: Fraction
) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, pixels in zip(frame.planes, planes, strict=True):
        _lines(plane, pixels.dtype)[: pixels.shape[0], : pixels.shape[1]] = pixels
    frame.pts, frame.time_base = number, time_base
    return frame


def _read(frames: Sequence[av.VideoFrame]) -> Iterator[tuple[int, list[Pixels]]]:
    for frame in frames:
        wide = frame.format.components[0].bits > 8
        dtype: np.dtype[np.uint8 | np.uint16] = np.dtype(np.uint16) if wide else np.dtype(np.uint8)
        planes: list[Pixels] = [
            _lines(plane, dtype)[: plane.height, : plane.width].copy() for plane in frame.planes
        ]
        yield -1 if frame.pts is None else frame.pts, planes


def _lines(plane: VideoPlane, dtype: np.dtype[np.uint8 | np.uint16]) -> Pixels:
    """Return FFmpeg's memory of a plane, line by line, with what it keeps behind each."""
    memory: Any = plane  # it has the buffer protocol, which its types leave out
    lines: Pixels = np.frombuffer(memory, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return lines
