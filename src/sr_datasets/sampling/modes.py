"""The ways to choose the rows of a clip: uniform, textured, stratified, grid, tiles.

Each row draws from a key of its own. What was drawn and does not fit is drawn again up to ``TRIES`` times; then the
frames are gone through one after another, each with all of its positions, until one fits: so an end is certain, and
so is the row if there is one.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sr_datasets.draws import KeyedDraws, below_each, first_words
from sr_datasets.keys import digests_of_numbers
from sr_datasets.sampling.plan import PLAN_FORMAT, RowPlan
from sr_datasets.sampling.space import Looks, Mask, Places, Space

TRIES = 256
"""Draws of one row before every place is looked at in turn."""
POOL_FRAMES = 256
"""Most frames of a clip whose patches are sorted into strata."""
POOL_PATCHES = 500_000
"""About how many patches of a clip are sorted into strata at most."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """How far patches of a clip keep from each other."""

    distance: int = 0
    """Least distance of two patches in LR pixels, the larger of rows and columns; their side, and they do not overlap."""
    near_frames: int = 0
    """Patches count when their windows lie at most so many frames apart; 0: when they share a frame or interleave."""


class FirstDraws(NamedTuple):
    """The patch that each row of a clip draws first; most rows take it."""

    centres: list[int]
    """Centre frames."""
    tops: list[int]
    """First rows, LR."""
    lefts: list[int]
    """First columns, LR."""
    fair: list[bool]
    """Whether ``KeyedDraws`` would draw just that; almost always."""


def first_draws(spaces: Sequence[Space], *, count: int, seed: int) -> list[FirstDraws]:
    """Draw for the rows of many clips at once, which takes a tenth of the time of one after another.

    Args:
        spaces: Where patches of each clip may lie.
        count: Rows of each.
        seed: The recipe's.
    """
    digests: list[bytes] = []
    for space in spaces:
        digests += digests_of_numbers(
            (PLAN_FORMAT, seed, space.clip.source, space.clip.clip), count, ("sample",)
        )
    words = first_words(digests)
    number, fair = below_each(words[:, 0], np.repeat([len(space.centres) for space in spaces], count))
    centres = np.concatenate(
        [space.centres[number[at * count : (at + 1) * count]] for at, space in enumerate(spaces)]
    )
    top, left, tops, lefts, step = np.concatenate(
        [space.bounds(centres[at * count : (at + 1) * count]) for at, space in enumerate(spaces)], axis=1
    )
    row, row_fair = below_each(words[:, 1], tops)
    column, column_fair = below_each(words[:, 2], lefts)
    columns = (centres, top + step * row, left + step * column, fair & row_fair & column_fair)
    # One long list each, since that is quicker than one for each clip.
    values = [column.tolist() for column in columns]
    return [
        FirstDraws(*(column[at : at + count] for column in values)) for at in range(0, len(digests), count)
    ]


def uniform_rows(
    space: Space,
    *,
    count: int,
    seed: int,
    spacing: Spacing | None = None,
    min_texture: int = 0,
    first: FirstDraws | None = None,
) -> tuple[RowPlan, ...]:
    """Draw ``count`` different patches, each with its own frame and its own position.

    Frame, top and left are each uniform over what the space has; with ``min_texture``, over what has that texture.

    Args:
        space: Where patches may lie.
        count: How many.
        seed: The recipe's.
        spacing: How far they keep from each other.
        min_texture: Least texture of a patch in its centre frame, in quarter levels.
        first: What ``first_draws`` drew for the clip, where it was asked already.

    Raises:
        ValueError: Fewer patches fit.
    """
    if first is None:
        (first,) = first_draws([space], count=count, seed=seed)
    spacing = spacing or Spacing()
    places = list(zip(first.centres, first.tops, first.lefts, strict=True))
    if not (min_texture or spacing.distance) and all(first.fair) and len(set(places)) == count:
        frames = map(space.patch.frames_around, first.centres) if space.patch.reach else zip(first.centres)
        return tuple(map(RowPlan, range(count), frames, first.tops, first.lefts))
    taken = _Taken(space, spacing)
    textures = None
    if min_texture:
        if space.analysis is None:
            raise ValueError("cannot tell texture without an analysis")
        textures = Looks(space.analysis, space.patch)
    sweep = _Sweep(space, taken, textures, min_texture)
    rows = []
    for number in range(count):
        place: _Place | None = places[number]
        if min_texture or not first.fair[number] or taken.blocks(*places[number]):
            draws = _draws(space, seed, number, "sample")
            place = _drawn(space, taken, textures, min_texture, draws) or sweep.next_place(draws)
        if place is None:
            raise ValueError(
                f"has {number} patches that fit{_what_fits(space, taken.spacing, min_texture)}, the recipe asks for {count}"
            )
        taken.add(*place)
        rows.append(_row(space, number, *place))
    return tuple(rows)


def stratified_rows(
    space: Space,
    *,
    count: int,
    seed: int,
    edges: tuple[Sequence[int], Sequence[int], Sequence[int]],
    spacing: Spacing | None = None,
) -> tuple[RowPlan, ...]:
    """Draw patches evenly from the strata of texture, speed and luma that the clip has.

    The patches of up to ``POOL_FRAMES`` frames, at positions half a patch apart from a start drawn for each frame, are
    sorted into strata. Each row comes from a stratum that has given fewest so far; one that is used up gives no more.

    Args:
        space: Where patches may lie; with an analysis.
        count: How many.
        seed: The recipe's.
        edges: Where strata of texture, of speed (quarter pixels a frame) and of luma begin, ascending, beside the first.
        spacing: How far patches keep from each other.

    Raises:
        ValueError: Fewer patches fit, or there is no analysis.
    """
    pool = _pool(space, seed, edges)
    taken = _Taken(space, spacing or Spacing())
    order = sorted(pool, key=lambda stratum: _draws(space, seed, stratum, "stratum").below(1 << 63))
    given = dict.fromkeys(order, 0)
    rows = []
    for number in range(count):
        draws = _draws(space, seed, number, "sample")
        place = None
        while place is None and given:
            stratum = min(given, key=lambda name: (given[name], order.index(name)))
            place = _from_stratum(pool[stratum], taken, draws)
            if place is None:
                del given[stratum]
            else:
                given[stratum] += 1
        if place is None:
            raise ValueError(
                f"has {number} patches that fit{_what_fits(space, taken.spacing, 0)}, of {len(order)} strata, the recipe "
                f"asks for {count}"
            )
        taken.add(*place)
        rows.append(_row(space, number, *place))
    return tuple(rows)


def grid_rows(space: Space, *, stride: int, frame_step: int) -> tuple[RowPlan, ...]:
    """Take every patch of a regular grid, frame by frame, in raster order.

    Raises:
        ValueError: The stride is no multiple of what positions are multiples of.
    """
    if stride % space.clip.multiple:
        raise ValueError(
            f"needs positions that are multiples of {space.clip.multiple}, and the stride is {stride}"
        )
    centres = [centre for centre in space.centres.tolist() if centre % frame_step == 0]
    if not centres:
        raise ValueError(f"has none of its frames left, every {frame_step}th being taken")
    return _all_of(space, centres, stride)


def tile_rows(space: Space, *, windows: int, seed: int, min_frames: int = 1) -> tuple[RowPlan, ...]:
    """Draw different windows and cut each into all of its patches side by side, in order of time and raster.

    Args:
        space: Where patches may lie.
        windows: How many windows.
        seed: The recipe's.
        min_frames: Least frames from one window's centre to another's.

    Raises:
        ValueError: Fewer windows fit.
    """
    centres: list[int] = []
    free = np.ones(len(space.centres), np.bool_)
    for number in range(windows):
        if not free.any():
            raise ValueError(
                f"has {number} windows of {2 * space.patch.reach + 1} frames that fit, {min_frames} frames apart, the "
                f"recipe asks for {windows}"
            )
        draws = _draws(space, seed, number, "window")
        left = np.flatnonzero(free)
        centre = int(space.centres[left[draws.below(len(left))]])
        centres.append(centre)
        free &= np.abs(space.centres - centre) >= min_frames
    return _all_of(space, sorted(centres), space.patch.lr_size)


def patches_of_frame(space: Space, *, stride: int) -> int:
    """Return how many patches ``stride`` LR pixels apart a frame has, of a clip without analysis."""
    here = space.places(int(space.centres[0]))
    steps = stride // here.step
    return len(here.rows(steps)) * len(here.columns(steps))


def _all_of(space: Space, centres: Sequence[int], stride: int) -> tuple[RowPlan, ...]:
    """Return every patch of some frames, ``stride`` LR pixels apart."""
    places = []
    for centre in centres:
        here = space.places(centre)
        steps = stride // here.step
        places += [
            (centre, top, left) for top in here.rows(steps).tolist() for left in here.columns(steps).tolist()
        ]
    return tuple(_row(space, number, *place) for number, place in enumerate(places))


_Place = tuple[int, int, int]  # centre frame, top, left


class _Taken:
    """The places of earlier rows."""

    def __init__(self, space: Space, spacing: Spacing) -> None:
        self.spacing = spacing
        self._frames = 2 * space.patch.reach + spacing.near_frames
        self._all: dict[int, list[tuple[int, int]]] = {}

    def add(self, centre: int, top: int, left: int) -> None:
        self._all.setdefault(centre, []).append((top, left))

    def _near(self, centre: int) -> list[tuple[int, int]]:
        """Return the positions that count for a window: without a distance, those of the same window."""
        if not self.spacing.distance:
            return self._all.get(centre, [])
        if 2 * self._frames + 1 < len(self._all):
            around: Sequence[int] = range(centre - self._frames, centre + self._frames + 1)
        else:
            around = [other for other in self._all if abs(other - centre) <= self._frames]
        return [place for other in around for place in self._all.get(other, ())]

    def blocks(self, centre: int, top: int, left: int) -> bool:
        """Tell whether a place is too near to another row's."""
        least = max(1, self.spacing.distance)
        return any(
            abs(top - other) < least and abs(left - there) < least for other, there in self._near(centre)
        )

    def free(self, centre: int, places: Places) -> Mask:
        """Return which places of a frame are not too near to another row's."""
        least = max(1, self.spacing.distance)
        free = np.ones((places.tops, places.lefts), np.bool_)
        rows, columns = places.rows(), places.columns()
        for top, left in self._near(centre):
            free[np.ix_(np.abs(rows - top) < least, np.abs(columns - left) < least)] = False
        return free


def _drawn(
    space: Space, taken: _Taken, textures: Looks | None, min_texture: int, draws: KeyedDraws
) -> _Place | None:
    for _ in range(TRIES):
        centre = int(space.centres[draws.below(len(space.centres))])
        here = space.places(centre)
        top = here.top + here.step * draws.below(here.tops)
        left = here.left + here.step * draws.below(here.lefts)
        if taken.blocks(centre, top, left):
            continue
        if textures is not None:
            (texture,) = textures.texture(centre, np.array([top]), np.array([left])).flat
            if texture < min_texture:
                continue
        return centre, top, left
    return None


class _Sweep:
    """Goes through every place of every frame where draws found none; frames without any are not looked at again."""

    def __init__(self, space: Space, taken: _Taken, textures: Looks | None, min_texture: int) -> None:
        self._space, self._taken = space, taken
        self._textures, self._min_texture = textures, min_texture
        self._left = space.centres.tolist()

    def next_place(self, draws: KeyedDraws) -> _Place | None:
        """Return a place of the first frame that has one, from a drawn frame on; None when no frame has."""
        if not self._left:
            return None
        start = bisect_right(self._left, int(self._space.centres[draws.below(len(self._space.centres))]))
        for centre in [*self._left[start:], *self._left[:start]]:
            here = self._space.places(centre)
            fitting = self._taken.free(centre, here)
            if self._textures is not None and fitting.any():
                fitting &= self._textures.texture(centre, here.rows(), here.columns()) >= self._min_texture
            found = np.flatnonzero(fitting)
            if len(found):
                row, column = divmod(int(found[draws.below(len(found))]), here.lefts)
                return centre, here.top + here.step * row, here.left + here.step * column
            # Rows only ever take places away.
            self._left.remove(centre)
        return None


def _pool(
    space: Space, seed: int, edges: tuple[Sequence[int], Sequence[int], Sequence[int]]
) -> dict[int, npt.NDArray[np.int64]]:
    """Return the patches to choose from by stratum: ``(n, 3)`` of centre, top and left."""
    if space.analysis is None:
        raise ValueError("cannot tell strata without an analysis")
    looks = Looks(space.analysis, space.patch)
    sizes = [len(limits) + 1 for limits in edges]
    found: list[npt.NDArray[np.int64]] = []
    strata: list[npt.NDArray[np.int64]] = []
    for centre in _pool_frames(space, seed):
        here = space.places(centre)
        stride = max(1, space.patch.lr_size // 2 // here.step)
        draws = _draws(space, seed, centre, "pool")
        # From a start of its own, so that all positions of the clip are as likely.
        rows = here.rows()[draws.below(min(stride, here.tops)) :: stride]
        columns = here.columns()[draws.below(min(stride, here.lefts)) :: stride]
        stratum = np.zeros((len(rows), len(columns)), np.int64)
        for values, limits, size in zip(looks.of(centre, rows, columns), edges, sizes, strict=True):
            stratum = stratum * size + np.searchsorted(np.array(limits, np.int64), values, side="right")
        tops, lefts = np.meshgrid(rows, columns, indexing="ij")
        found.append(np.stack([np.full_like(tops, centre), tops, lefts], axis=-1).reshape(-1, 3))
        strata.append(stratum.reshape(-1))
    places, numbers = np.concatenate(found), np.concatenate(strata)
    return {int(number): places[numbers == number] for number in np.unique(numbers)}


def _pool_frames(space: Space, seed: int) -> list[int]:
    """Draw the frames whose patches are sorted into strata, ascending."""
    stride = max(1, space.patch.lr_size // 2)
    height, width = space.clip.lr_size(space.patch.scale)
    per_frame = (height // stride + 1) * (width // stride + 1)
    count = min(len(space.centres), POOL_FRAMES, max(16, POOL_PATCHES // per_frame))
    left = space.centres.tolist()
    draws = _draws(space, seed, 0, "frames")
    # The first steps of a Fisher-Yates shuffle.
    for number in range(count):
        other = number + draws.below(len(left) - number)
        left[number], left[other] = left[other], left[number]
    return sorted(left[:count])


def _from_stratum(places: npt.NDArray[np.int64], taken: _Taken, draws: KeyedDraws) -> _Place | None:
    """Draw a place of a stratum, or take the next one behind it that is far enough from other rows."""
    for _ in range(TRIES):
        centre, top, left = places[draws.below(len(places))].tolist()
        if not taken.blocks(centre, top, left):
            return centre, top, left
    start = draws.below(len(places))
    for number in range(len(places)):
        centre, top, left = places[(start + number) % len(places)].tolist()
        if not taken.blocks(centre, top, left):
            return centre, top, left
    return None


def _draws(space: Space, seed: int, number: int, purpose: str) -> KeyedDraws:
    return KeyedDraws(PLAN_FORMAT, seed, space.clip.source, space.clip.clip, number, purpose)


def _row(space: Space, number: int, centre: int, top: int, left: int) -> RowPlan:
    return RowPlan(number, space.patch.frames_around(centre), top, left)


def _what_fits(space: Space, spacing: Spacing, min_texture: int) -> str:
    size = space.patch.lr_size
    said = [f" {size}x{size} LR pixels at x{space.patch.scale}"]
    if min_texture:
        said.append(f"a texture of at least {min_texture}")
    if spacing.distance:
        said.append(f"{spacing.distance} LR pixels from each other")
    return " (" + ", ".join(part.strip() for part in said) + ")"
