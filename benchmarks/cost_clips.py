"""The clips that ``benchmarks/costs.py`` builds from: real material, enlarged or shrunk, in six codecs and several sizes.

Frames are those of two real videos (animation of 1920x1080, camera of 640x272), forwards and backwards from a drawn place
on, shifted, mirrored and of drawn contrast, so that no two clips have the same pictures or the same bits per pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from cost_model import ClipKind
from numpy.typing import NDArray

SIZES = {
    "cif": (352, 288),
    "360p": (640, 360),
    "480p": (854, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
}
ENCODERS = {
    "y4m": ("", {}),
    "h264": ("libx264", {"preset": "fast", "crf": "23", "sc_threshold": "0"}),
    "hevc": ("libx265", {"preset": "veryfast", "crf": "26"}),
    "vp9": ("libvpx-vp9", {"deadline": "good", "cpu-used": "5", "crf": "32", "b": "0", "row-mt": "1"}),
    "av1": ("libsvtav1", {"preset": "10", "crf": "35", "svtav1-params": "scd=0"}),
    # As pieces of YouTube-BB are stored (fetch/youtube/worker.py).
    "ffv1": ("ffv1", {"level": "3", "slicecrc": "1"}),
}
SUFFIXES = {"y4m": ".y4m", "h264": ".mp4", "hevc": ".mp4", "vp9": ".webm", "av1": ".mkv", "ffv1": ".mkv"}
VIDEOS = ("small_bunny_1080p_60fps.mp4", "bikes.mp4")
_MOST_FRAMES = 120
_RATE = 30


@dataclass(frozen=True, slots=True)
class MadeClip:
    """One clip to make."""

    name: str
    """File name without suffix, which says codec, size, frames and keyframes too."""
    kind: ClipKind
    """What the cost model is told of it."""
    seed: int
    """What its pictures are drawn by."""

    @property
    def file_name(self) -> str:
        return self.name + SUFFIXES[self.kind.codec]


def small_set(seed: int = 1) -> list[MadeClip]:
    """Return 24 clips: each codec in each of four sizes, once."""
    draws = np.random.default_rng(seed)
    kinds = [(codec, size) for codec in ENCODERS for size in ("cif", "360p", "720p", "1080p")]
    return [_drawn("small", number, codec, size, draws) for number, (codec, size) in enumerate(kinds)]


def large_set(seed: int = 2) -> list[MadeClip]:
    """Return 240 clips of another mix: codecs and sizes by other shares, one size that the small set has not."""
    draws = np.random.default_rng(seed)
    codecs, codec_shares = ("h264", "vp9", "av1", "y4m", "hevc", "ffv1"), (0.35, 0.17, 0.12, 0.16, 0.12, 0.08)
    sizes, size_shares = ("360p", "cif", "480p", "720p", "1080p"), (0.34, 0.13, 0.15, 0.23, 0.15)
    chosen = zip(
        draws.choice(codecs, 240, p=codec_shares), draws.choice(sizes, 240, p=size_shares), strict=True
    )
    return [
        _drawn("large", number, str(codec), str(size), draws) for number, (codec, size) in enumerate(chosen)
    ]


def _drawn(prefix: str, number: int, codec: str, size: str, draws: np.random.Generator) -> MadeClip:
    width, height = SIZES[size]
    least, most = {"720p": (60, 180), "1080p": (48, 110)}.get(size, (90, 300))
    frames, gop = int(draws.integers(least, most + 1)), int(draws.integers(24, 97))
    if codec in ("y4m", "ffv1"):
        frames, gop = min(frames, 120), 1
    kind = ClipKind(codec, width, height, frames, gop)
    return MadeClip(f"{prefix}{number:03d}_{codec}_{size}_{frames}_{gop}", kind, int(draws.integers(1 << 30)))


def make_clips(data: Path, folder: Path, clips: list[MadeClip]) -> list[Path]:
    """Write the clips that are not there; return all their paths.

    Args:
        data: Folder of the real videos.
        folder: Where the clips go.
        clips: Which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Clips of one size after another: the frames of one size are held at a time.
    for clip in sorted(clips, key=lambda clip: (clip.kind.height, clip.seed % len(VIDEOS))):
        path = folder / clip.file_name
        if not path.exists():
            partial = path.with_name(f".{path.name}")
            _write(partial, clip, data)
            partial.rename(path)
    return [folder / clip.file_name for clip in clips]


def _write(path: Path, clip: MadeClip, data: Path) -> None:
    kind = clip.kind
    encoder, options = ENCODERS[kind.codec]
    frames = pictures(clip, data)
    if not encoder:
        with path.open("wb") as file:
            file.write(f"YUV4MPEG2 W{kind.width} H{kind.height} F{_RATE}:1 Ip A1:1\n".encode())
            for frame in frames:
                file.write(b"FRAME\n" + frame.tobytes())
        return
    if encoder == "libx265":
        options = options | {
            "x265-params": f"keyint={kind.gop}:min-keyint={kind.gop}:scenecut=0:log-level=none:pools=2"
        }
    if encoder == "libx264":
        options = options | {"keyint_min": str(kind.gop)}
    with av.open(
        str(path), "w", format={".mp4": "mp4", ".webm": "webm", ".mkv": "matroska"}[path.suffix]
    ) as file:
        stream = file.add_stream(encoder, rate=_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = kind.width, kind.height, "yuv420p"
        stream.codec_context.gop_size = kind.gop
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, _RATE)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())


def pictures(clip: MadeClip, data: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a clip, packed 4:2:0."""
    kind, draws = clip.kind, np.random.default_rng(clip.seed)
    frames = _frames(data / VIDEOS[clip.seed % len(VIDEOS)], kind.width, kind.height)
    order = [*range(len(frames)), *reversed(range(1, len(frames) - 1))]
    start, shift = int(draws.integers(len(order))), 16 * int(draws.integers(kind.width // 16))
    mirrored, gain = bool(draws.integers(2)), float(draws.uniform(0.6, 1.0))
    table = np.round(16 + (np.arange(256) - 16) * gain).clip(0, 255).astype(np.uint8)
    for number in range(kind.num_frames):
        frame = frames[order[(start + number) % len(order)]]
        luma = table[np.roll(frame[: kind.height], shift, axis=1)]
        # Packed: rows of U, then of V, two of them side by side in a row; shifted by half as much as luma.
        chroma = frame[kind.height :].reshape(2, kind.height // 2, kind.width // 2)
        chroma = np.roll(chroma, shift // 2, axis=2)
        if mirrored:
            luma, chroma = luma[:, ::-1], chroma[:, :, ::-1]
        yield np.concatenate([luma, chroma.reshape(kind.height // 2, kind.width)])


@lru_cache(maxsize=1)
def _frames(video: Path, width: int, height: int) -> list[NDArray[np.uint8]]:
    found: list[NDArray[np.uint8]] = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            found.append(frame.reformat(width, height, "yuv420p", interpolation="BICUBIC").to_ndarray())
            if len(found) == _MOST_FRAMES:
                break
    return found
