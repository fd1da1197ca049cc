"""Clips whose cuts are known: parts of several clips one after another, with fades, flashes and pans between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sr_datasets import color
from sr_datasets.video import open_clip, probe

Luma = npt.NDArray[np.uint8]

HEIGHT, WIDTH = 180, 320

REAL_CUTS: dict[str, tuple[int, ...]] = {
    "bbb_642x642_vp9.webm": (6,),
    "bear-vp9.webm": (),
    "bikes.mp4": (30, 76, 137, 187, 242),
    "carphone_pristine.mp4": (),
    "nasa_13013.mp4": (240,),
    "nasa_13013_rotated.mp4": (),
    "newtonscradle.gif": (),
    "park_joy_480x270_50p_420p8.y4m": (),
    "roadtrip-vp92-10bit.webm": (42, 69),
    "small_bunny_1080p_60fps.mp4": (21,),
}
"""First frames of shots, as seen on contact sheets of every frame. nasa_13013 also has a dissolve from 150 to 182."""


@dataclass
class Reel:
    """Luma frames of one size, and the frames at which the view changes from one to the next."""

    frames: list[Luma] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)

    def cut_to(self, frames: Sequence[Luma]) -> None:
        if self.frames:
            self.cuts.append(len(self.frames))
        self.frames += frames

    def go_on(self, frames: Sequence[Luma]) -> None:
        self.frames += frames


def luma_frames(path: Path, *, stride: int = 1) -> list[Luma]:
    """Return every luma frame of a clip in 8 bits, of ``HEIGHT`` x ``WIDTH`` (cut out of the middle, or repeated)."""
    info = probe(path)
    with open_clip(path, info) as reader:
        found = []
        for frame in reader.frames(range(0, info.num_frames, stride)):
            (luma,) = color.window(
                frame.planes, info.layout, color="y", top=0, left=0, height=info.height, width=info.width
            )
            found.append(fitted((luma >> (info.bit_depth - 8)).astype(np.uint8)))
    return found


def fitted(luma: Luma) -> Luma:
    """Return a frame at about its own scale in ``HEIGHT`` x ``WIDTH``: every n-th sample of the middle, mirrored."""
    step = max(1, min(luma.shape[0] // HEIGHT, luma.shape[1] // WIDTH))
    luma = luma[::step, ::step]
    rows, columns = (
        _middle(length, wanted) for length, wanted in zip(luma.shape, (HEIGHT, WIDTH), strict=True)
    )
    return np.ascontiguousarray(luma[rows][:, columns])


def _middle(length: int, wanted: int) -> npt.NDArray[np.int64]:
    first = (length - wanted) // 2
    place = np.abs(np.arange(first, first + wanted))
    return np.where(place >= length, 2 * length - 2 - place, place) % length


def pan(
    picture: Luma, *, num_frames: int, per_frame: tuple[int, int], shake: int = 0, seed: int = 0
) -> list[Luma]:
    """Return frames of a camera that moves over a picture (mirrored without end) by so many (rows, columns) a frame."""
    tall = np.concatenate([picture, picture[::-1]])
    wide = np.concatenate([tall, tall[:, ::-1]], axis=1)
    draws = np.random.default_rng(seed)
    frames = []
    for number in range(num_frames):
        jolt = draws.integers(-shake, shake + 1, 2)
        rows = (np.arange(HEIGHT) + number * per_frame[0] + jolt[0]) % wide.shape[0]
        columns = (np.arange(WIDTH) + number * per_frame[1] + jolt[1]) % wide.shape[1]
        frames.append(np.ascontiguousarray(wide[rows][:, columns]))
    return frames


def blend(one: Luma, other: Luma, share: float) -> Luma:
    return np.round(one * (1 - share) + other * share).astype(np.uint8)


def fade(frames: Sequence[Luma], *, to: int, out: bool) -> list[Luma]:
    """Return frames that become, or begin as, a flat picture of one level."""
    last = len(frames)
    shares = [(number + 1) / last if out else 1 - (number + 1) / last for number in range(last)]
    return [blend(frame, np.full_like(frame, to), share) for frame, share in zip(frames, shares, strict=True)]


def flash(frames: Sequence[Luma], *, at: int, length: int, gain: int) -> list[Luma]:
    """Return frames of which some are ``gain`` levels lighter, cut off at 235."""
    return [
        np.minimum(frame.astype(np.int16) + gain, 235).astype(np.uint8)
        if at <= number < at + length
        else frame
        for number, frame in enumerate(frames)
    ]


def noisy(frames: Sequence[Luma], sigma: float, seed: int) -> list[Luma]:
    draws = np.random.default_rng(seed)
    return [
        np.clip(np.round(frame + draws.normal(0, sigma, frame.shape)), 0, 255).astype(np.uint8)
        for frame in frames
    ]


def reels(
    shots: Mapping[str, Sequence[Luma]], pictures: Sequence[Luma], *, count: int, seed: int
) -> list[Reel]:
    """Make reels of several parts each: cuts between different clips, and what must not be taken for one.

    Args:
        shots: Frames of clips without a cut, by name.
        pictures: Pictures for pans, larger than a frame.
        count: Number of reels.
        seed: Key of the choice.
    """
    draws = np.random.default_rng(seed)
    names = sorted(shots)
    made = []
    for number in range(count):
        reel = Reel()
        last = ""
        for _ in range(8):
            name = str(draws.choice([name for name in names if name != last]))
            part = _part(shots[name], draws)
            last = name
            match int(draws.integers(8)):
                case 0 if len(part) >= 8:
                    length = int(draws.integers(1, 4))
                    part = flash(
                        part, at=len(part) // 2 - 2, length=length, gain=int(draws.choice([40, 90, 200]))
                    )
                case 1:
                    picture = pictures[int(draws.integers(len(pictures)))]
                    speed = int(draws.integers(-20, 21)), int(draws.integers(-8, 9))
                    part = pan(
                        picture, num_frames=len(part), per_frame=speed[::-1], shake=int(draws.integers(4))
                    )
                    last = ""
                case 2:
                    half = len(part) // 2
                    part = [*part[:half], *fade(part[half:], to=16, out=True)]
                case 3:
                    part = fade(part, to=16, out=False)
                case 4 if reel.frames:
                    _dissolve(reel, part)
                    continue
                case 5:
                    part = noisy(part, float(draws.choice([2, 5])), number)
                case 6:
                    flicker = draws.integers(-12, 13, len(part))
                    part = [
                        np.clip(frame.astype(np.int16) + by, 0, 255).astype(np.uint8)
                        for frame, by in zip(part, flicker, strict=True)
                    ]
            reel.cut_to(part)
        made.append(reel)
    return made


def _part(frames: Sequence[Luma], draws: np.random.Generator) -> Sequence[Luma]:
    length = min(len(frames), int(draws.integers(6, 40)))
    first = int(draws.integers(len(frames) - length + 1))
    return frames[first : first + length]


def _dissolve(reel: Reel, part: Sequence[Luma]) -> None:
    """Blend the last frame of a reel into a part over 8 frames or the whole part: no cut."""
    length = min(len(part), 12)
    held = reel.frames[-1]
    mixed = [blend(held, frame, (number + 1) / (length + 1)) for number, frame in enumerate(part[:length])]
    reel.go_on([*mixed, *part[length:]])


def found_cuts(
    detect: Callable[[Sequence[Luma]], Sequence[int]], made: Sequence[Reel]
) -> tuple[int, int, int]:
    """Return right, wrong and missed cuts of a detector; a cut counts as right at its very frame only."""
    right = wrong = missed = 0
    for reel in made:
        found, true = set(detect(reel.frames)), set(reel.cuts)
        right += len(found & true)
        wrong += len(found - true)
        missed += len(true - found)
    return right, wrong, missed
