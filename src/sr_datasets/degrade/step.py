"""What every step of a degradation offers: which samples it needs, and what it makes of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from sr_datasets.draws import KeyedDraws

DRAW_FORMAT = "degrade-1"
"""Part of every key: a change of what is drawn, or in which order, changes this word."""

Scope = Literal["window", "frame", "clip"]
"""What a step must see to make one sample. ``window``: the samples near it; ``frame``: its whole frame;
``clip``: every frame from the first."""

Samples: TypeAlias = npt.NDArray[np.uint8 | np.uint16 | np.float64]
"""``(planes, height, width)``: pixels, or float64 in the same range, unrounded and unclipped."""

_Sample = TypeVar("_Sample", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a frame."""

    top: int
    """First row."""
    left: int
    """First column."""
    height: int
    """Rows."""
    width: int
    """Columns."""

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.left + self.width

    def union(self, other: "Region") -> "Region":
        """Return the smallest rectangle that holds both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        bottom, right = max(self.bottom, other.bottom), max(self.right, other.right)
        return Region(top, left, bottom - top, right - left)

    def times(self, factor: int) -> "Region":
        """Return the rectangle on a grid that is ``factor`` times finer."""
        return Region(self.top * factor, self.left * factor, self.height * factor, self.width * factor)

    def grown(self, halo: int) -> "Region":
        """Return the rectangle with ``halo`` more samples on each side."""
        return Region(self.top - halo, self.left - halo, self.height + 2 * halo, self.width + 2 * halo)

    def halved(self) -> "Region":
        """Return the rectangle on the grid of 4:2:0 chroma; every side must be even."""
        return Region(self.top // 2, self.left // 2, self.height // 2, self.width // 2)

    def cut(self, samples: npt.NDArray[_Sample], at: "Region") -> npt.NDArray[_Sample]:
        """Return this part of ``samples``, which are the rectangle ``at`` of the same frame."""
        top, left = self.top - at.top, self.left - at.left
        return samples[..., top : top + self.height, left : left + self.width]


@dataclass(frozen=True, slots=True)
class Context:
    """What a step must know of the pixels besides themselves."""

    scale: int
    """HR-to-LR ratio of the recipe."""
    bit_depth: int = 8
    """Bits per sample, 8..16."""
    color: Literal["y", "rgb", "yuv420"] = "rgb"
    """What the planes are."""

    @property
    def peak(self) -> int:
        """Greatest value of a sample."""
        return (1 << self.bit_depth) - 1


@dataclass(slots=True)
class StepDraws:
    """The draws of one step for one row (or clip), and the record of them."""

    key: tuple[str | int, ...]
    """What the draws belong to: seed, source, clip, row, and the step's place and kind."""
    record: dict[str, object] = field(default_factory=dict)
    """What was drawn, as JSON values; it stands on the row."""
    part: str = ""
    """Which part of a frame is made, where parts are made one by one: ``chroma`` of 4:2:0. What all frames share
    is shared by the parts too."""

    def shared(self, *purpose: str | int) -> KeyedDraws:
        """Return the draws that all frames of the row share."""
        return KeyedDraws(DRAW_FORMAT, *self.key, "shared", *purpose)

    def of_frame(self, number: int, *purpose: str | int) -> KeyedDraws:
        """Return the draws of one frame; ``number`` is its index in the clip."""
        return KeyedDraws(
            DRAW_FORMAT, *self.key, "frame", number, *([self.part] if self.part else []), *purpose
        )

    def inside(self, *place: str | int) -> "StepDraws":
        """Return the draws of a step that stands inside this one, with a record of its own."""
        return StepDraws((*self.key, *place), part=self.part)


class Step(ABC):
    """One step, ready for one scale and depth.

    A step gets the frames of one row (one of most recipes) and gives as many back, all of one size. Frames
    are pixels or float64 samples, as the chain says; a step hands out what it got: pixels for pixels, rounded
    and clipped by its own rule, and unrounded float64 for float64.
    """

    scope: Scope = "window"
    """What the step must see."""
    draws: bool = False
    """Whether the result depends on draws."""
    planewise: bool = True
    """Whether each plane is made of itself alone, so that luma and chroma of 4:2:0 can go one by one; a step
    that is not gets them packed (``color.pack_yuv420``)."""
    ratio: int = 1
    """Size of its input over the size of its output."""

    def out_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of its output frame."""
        return height // self.ratio, width // self.ratio

    def needs(self, out: Region, height: int, width: int) -> Region:
        """Return which part of the input frame, inside it, a part of the output is made of.

        Args:
            out: Part of the output frame.
            height: Rows of the input frame.
            width: Columns of the input frame.
        """
        if self.scope == "window":
            return out.times(self.ratio)
        return Region(0, 0, height, width)

    @abstractmethod
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
        """Return part of the output frames.

        Args:
            frames: The rectangle ``at`` of each input frame.
            at: At least what ``needs(out, height, width)`` names.
            height: Rows of the input frame.
            width: Columns of the input frame.
            out: Which part of the output frame to return.
            numbers: Index of each frame in its clip.
            draws: The step's draws, and where to note them.
        """

    def whole(
        self,
        frames: Sequence[Samples],
        *,
        target: tuple[int, int],
        numbers: Sequence[int],
        draws: StepDraws,
    ) -> list[Samples]:
        """Return the whole output of whole frames, such as drawn crops.

        Args:
            frames: Whole input frames.
            target: Rows and columns of LR, for steps that go there whatever the size of their input.
            numbers: Index of each frame in its clip.
            draws: The step's draws, and where to note them.
        """
        height, width = frames[0].shape[-2:]
        at, out = Region(0, 0, height, width), Region(0, 0, *self.out_size(height, width))
        return self.apply(frames, at=at, height=height, width=width, out=out, numbers=numbers, draws=draws)

    def stream(
        self, frames: Iterator[Samples], *, height: int, width: int, draws: StepDraws
    ) -> Iterator[Samples]:
        """Yield every whole output frame of a clip, given every whole input frame."""
        whole, out_whole = Region(0, 0, height, width), Region(0, 0, *self.out_size(height, width))
        for number, frame in enumerate(frames):
            yield from self.apply(
                [frame], at=whole, height=height, width=width, out=out_whole, numbers=[number], draws=draws
            )
