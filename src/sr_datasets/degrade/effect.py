"""What steps of a chain share: numbers that are drawn for a row, and frames that are taken one by one."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from sr_datasets.color import Floats
from sr_datasets.degrade.resample import to_whole
from sr_datasets.degrade.step import Context, Region, Samples, Step, StepDraws
from sr_datasets.recipe.numbers import Choices, Range, limits, walks

_Value = TypeVar("_Value")


def draw_numbers(
    name: str, number: float | Range | Choices, count: int, draws: StepDraws, *, whole: bool = False
) -> list[float]:
    """Return a number for each frame of a row, and note what was drawn.

    The first is drawn from the number's range or choices; each next one lies at most ``walk`` away from the one
    before, drawn evenly, and inside the number's limits. Each name has draws of its own.

    Args:
        name: Of the number; it stands in the record.
        number: As the recipe says.
        count: How many frames.
        draws: The step's draws.
        whole: Round each value, a half up (the walk goes on from the unrounded one).
    """
    if not isinstance(number, Range | Choices):
        return [number] * count
    keyed = draws.shared(name)
    chosen: float | Range
    if isinstance(number, Range):
        chosen = number
    else:
        chosen = number.choices[keyed.choice(number.weights or [1.0] * len(number.choices))]
    values = [keyed.between(chosen.low, chosen.high) if isinstance(chosen, Range) else chosen]
    low, high = limits(number)
    for _ in range(count - 1):
        moved = values[-1] + keyed.between(-number.walk, number.walk) if number.walk else values[-1]
        values.append(min(max(moved, low), high))
    if whole:
        values = [float(math.floor(value + 0.5)) for value in values]
    noted = [int(value) for value in values] if whole else values
    draws.record[name] = noted if walks(number) and count > 1 else noted[0]
    return values


class EachFrame(Step, Generic[_Value]):
    """A step that makes each frame of itself alone, by a value that is drawn for the whole row."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def values(self, count: int, draws: StepDraws) -> Sequence[_Value]:
        """Return what each of ``count`` frames is made with, and note what was drawn."""

    @abstractmethod
    def frame(
        self,
        samples: Samples,
        value: _Value,
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        number: int,
        draws: StepDraws,
    ) -> Samples:
        """Return the part ``out`` of one frame, of which ``samples`` are the rectangle ``at``."""

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
        """Make each frame by its value."""
        place = {"at": at, "out": out}
        return [
            self.frame(samples, value, **place, height=height, width=width, number=number, draws=draws)
            for samples, value, number in zip(frames, self.values(len(frames), draws), numbers, strict=True)
        ]

    def whole(
        self, frames: Sequence[Samples], *, target: tuple[int, int], numbers: Sequence[int], draws: StepDraws
    ) -> list[Samples]:
        """Make each frame by its value; where a resize walked, they have sizes of their own."""
        results = []
        for samples, value, number in zip(frames, self.values(len(frames), draws), numbers, strict=True):
            height, width = samples.shape[-2:]
            all_of_it = Region(0, 0, height, width)
            results.append(
                self.frame(
                    samples,
                    value,
                    at=all_of_it,
                    height=height,
                    width=width,
                    out=all_of_it,
                    number=number,
                    draws=draws,
                )
            )
        return results

    def finished(self, values: Floats, like: Samples) -> Samples:
        """Return float64 as they are where floats came; as pixels, rounded and clipped, where pixels came."""
        if like.dtype == np.float64:
            return values
        pixels: Samples = to_whole(values, self.context.peak).astype(like.dtype)
        return pixels
