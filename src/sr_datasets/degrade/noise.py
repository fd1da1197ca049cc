"""Gaussian and Poisson noise; a frame's noise belongs to its place, so that a window has that of its frame."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sr_datasets import exact
from sr_datasets.color import Floats
from sr_datasets.degrade.effect import EachFrame, draw_numbers
from sr_datasets.degrade.step import Context, Region, Samples, Scope, StepDraws
from sr_datasets.draws import KeyedDraws, to_normals, to_uniforms
from sr_datasets.recipe.effects import GaussianNoise, PoissonNoise

_LEVELS = 256
"""Rates of Poisson noise are those of 8 bits, as published."""
_BUCKETS = 256
_BLOCK = 1 << 14  # samples at a time, in the cache of a core


class _NoiseStep(EachFrame[float]):
    """What both noises share: the strength is drawn, and whether all planes get the same."""

    draws = True

    def __init__(self, part: GaussianNoise | PoissonNoise, context: Context) -> None:
        super().__init__(context)
        self._grey_share, self._clip = part.grey, part.clip
        if part.grey and context.color == "yuv420":
            raise ValueError(f"{part.kind}: grey noise is for rgb; the planes of yuv420 are not alike")

    def _is_grey(self, draws: StepDraws) -> bool:
        if self._grey_share in (0, 1):
            return self._grey_share == 1
        # Drawn alike for each frame of the row.
        grey = draws.shared("grey").uniform() < self._grey_share
        draws.record["grey"] = grey
        return grey

    def _clipped(self, values: Floats) -> Floats:
        return np.clip(values, 0.0, self.context.peak, out=values) if self._clip else values


class GaussianNoiseStep(_NoiseStep):
    """Adds normal noise."""

    def __init__(self, part: GaussianNoise, context: Context) -> None:
        super().__init__(part, context)
        self._sigma = part.sigma

    def values(self, count: int, draws: StepDraws) -> Sequence[float]:
        """Return the standard deviation for each frame, in levels of 8 bits."""
        return draw_numbers("sigma", self._sigma, count, draws)

    def frame(
        self,
        samples: Samples,
        value: float,
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        number: int,
        draws: StepDraws,
    ) -> Samples:
        """Add the noise of the part to it."""
        clean = out.cut(samples, at).astype(np.float64)
        planes = 1 if self._is_grey(draws) else len(clean)
        raws = _raws_of(draws.of_frame(number, "noise"), planes, height, width, out)
        noise = to_normals(raws) * (value * (self.context.peak / 255.0))
        return self.finished(self._clipped(np.add(clean, noise, out=clean)), samples)


class PoissonNoiseStep(_NoiseStep):
    """Adds the noise of counting; the number of levels in the whole picture sets the rate."""

    scope: Scope = "frame"

    def __init__(self, part: PoissonNoise, context: Context) -> None:
        super().__init__(part, context)
        self._scale = part.scale
        if context.color == "yuv420":
            raise ValueError("poisson-noise counts light, which chroma is not: use color rgb or y")

    def values(self, count: int, draws: StepDraws) -> Sequence[float]:
        """Return what the noise of each frame is multiplied by."""
        return draw_numbers("scale", self._scale, count, draws)

    def frame(
        self,
        samples: Samples,
        value: float,
        *,
        at: Region,
        height: int,
        width: int,
        out: Region,
        number: int,
        draws: StepDraws,
    ) -> Samples:
        """Add the noise of the part to it."""
        peak = float(self.context.peak)
        picture = samples.astype(np.float64)
        if self._is_grey(draws) and len(picture) == 3:
            # The weights of torchvision's rgb_to_grayscale, which the published code calls.
            light = (picture[:1] * 0.2989 + picture[1:2] * 0.587) + picture[2:] * 0.114
        else:
            light = picture
        levels = np.rint(np.clip(light, 0.0, peak) * (255.0 / peak)).astype(np.int64)
        found = np.count_nonzero(np.bincount(levels.reshape(-1), minlength=_LEVELS))
        rate = 1 << (int(found) - 1).bit_length()
        levels = out.cut(levels, at)
        fractions = to_uniforms(_raws_of(draws.of_frame(number, "noise"), len(levels), height, width, out))
        counts = poisson_counts(levels, rate, fractions)
        noise = (counts.astype(np.float64) * (1.0 / rate) - levels.astype(np.float64) / 255.0) * (
            peak * value
        )
        return self.finished(self._clipped(out.cut(picture, at) + noise), samples)


def poisson_counts(
    levels: npt.NDArray[np.int64], rate: int, fractions: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return Poisson variates of mean ``rate * level / 255``: how many steps of the distribution lie below a fraction.

    Args:
        levels: 0..255, any shape.
        rate: A power of 2 of 1..256.
        fractions: Of [0, 1), the same shape.
    """
    steps, guide = _poisson_steps(rate)
    flat_levels, flat_fractions = levels.reshape(-1), fractions.reshape(-1)
    counts = np.empty(flat_levels.size, np.int64)
    for first in range(0, len(counts), _BLOCK):
        part = slice(first, first + _BLOCK)
        level, fraction = flat_levels[part], flat_fractions[part]
        count = guide[level, (fraction * _BUCKETS).astype(np.int64)].astype(np.int64)
        left = np.flatnonzero(steps[level, count] <= fraction)
        while len(left):
            count[left] += 1
            left = left[steps[level[left], count[left]] <= fraction[left]]
        counts[part] = count
    return counts.reshape(levels.shape)


@lru_cache
def _poisson_steps(rate: int) -> tuple[Floats, npt.NDArray[np.int16]]:
    """Return the distribution functions of all levels, and where the search in each begins.

    Returns:
        ``(256, counts)``: the probability of at most so many, in the last column above 1; and ``(256, 256)``: how
        many of them do not exceed each 256th.
    """
    means = np.arange(_LEVELS).astype(np.float64) * float(rate) / 255.0
    # Beyond 12 standard deviations and 20 more, what is left is below the last bit of a fraction.
    columns = int(rate + 12 * rate**0.5) + 21
    term = exact.exp(-means)
    total = term.copy()
    steps = np.empty((columns, _LEVELS))
    for count in range(columns):
        steps[count] = total
        term = term * means / float(count + 1)
        total = total + term
    steps[-1] = 2.0
    by_level = np.ascontiguousarray(steps.T)
    buckets = np.arange(_BUCKETS) / float(_BUCKETS)
    guide = np.stack([np.searchsorted(row, buckets, side="right") for row in by_level])
    # A fraction of 0 counts no step at or below it but those of probability 0.
    return by_level, guide.astype(np.int16)


def _raws_of(draws: KeyedDraws, planes: int, height: int, width: int, out: Region) -> npt.NDArray[np.uint64]:
    """Return the words of a part of a frame: the frame's samples take the stream's words in raster order."""
    if (out.height, out.width) == (height, width):
        return draws.raws_at(0, planes * height * width).reshape(planes, height, width)
    raws = np.empty((planes, out.height, out.width), np.uint64)
    for plane in range(planes):
        for row in range(out.height):
            first = (plane * height + out.top + row) * width + out.left
            raws[plane, row] = draws.raws_at(first, out.width)
    return raws
