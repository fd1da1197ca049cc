"""Which frames and positions of a clip become rows, and which clips become shards.

A plan is a value: a pure function of numbers that are known before any pixel of a row is made.
Positions are drawn on the LR grid and multiplied by the scale, so that LR and HR cannot drift apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sr_datasets.draws import KeyedDraws
from sr_datasets.keys import digest_of

_T = TypeVar("_T")

PLAN_FORMAT = "plan-1"
"""Part of every key: a change of the sampling rules changes this word, and with it every draw."""


@dataclass(frozen=True, slots=True)
class RowPlan:
    """One patch pair to be cut."""

    number: int
    """Its number inside the pair, from 0."""
    frame_indices: tuple[int, ...]
    """The frames of its window, ascending; the centre one is the frame of a single HR."""
    top: int
    """First row of the patch on the LR grid."""
    left: int
    """First column of the patch on the LR grid."""


@dataclass(frozen=True, slots=True)
class ClipSize:
    """What sampling must know of a clip."""

    source: str
    """Source id: part of the key of every draw."""
    clip: str
    """Clip id: part of the key of every draw."""
    width: int
    """Luma samples per row."""
    height: int
    """Luma rows."""
    num_frames: int
    """Frames shown."""
    multiple: int = 1
    """LR positions and the LR frame's size are multiples of this: 2 for ``yuv420``, whose chroma is half as large."""

    def lr_size(self, scale: int) -> tuple[int, int]:
        """Return height and width of the LR frame; what does not divide is cropped at the bottom and right."""
        step = scale * self.multiple
        return self.height // step * self.multiple, self.width // step * self.multiple


def uniform_rows(
    clip: ClipSize, *, count: int, lr_size: int, scale: int, window: int, seed: int
) -> tuple[RowPlan, ...]:
    """Draw ``count`` different patches, each with its own frame and its own position.

    Frame, top and left are each uniform over what fits; a patch that an earlier row already has is
    drawn again.

    Raises:
        ValueError: The clip is too small or too short, or has fewer different patches than ``count``.
    """
    height, width = _check_fits(clip, lr_size=lr_size, scale=scale, window=window)
    step, frames = clip.multiple, clip.num_frames - window + 1
    tops, lefts = (height - lr_size) // step + 1, (width - lr_size) // step + 1
    if frames * tops * lefts < count:
        raise ValueError(
            f"has {frames * tops * lefts} different patches of {lr_size}x{lr_size} LR pixels at x{scale}, "
            f"the recipe asks for {count}"
        )
    taken: set[tuple[int, int, int]] = set()
    rows = []
    for number in range(count):
        draws = KeyedDraws(PLAN_FORMAT, seed, clip.source, clip.clip, number, "sample")
        place = draws.below(frames), draws.below(tops), draws.below(lefts)
        while place in taken:
            place = draws.below(frames), draws.below(tops), draws.below(lefts)
        taken.add(place)
        first, top, left = place
        rows.append(RowPlan(number, tuple(range(first, first + window)), top * step, left * step))
    return tuple(rows)


def grid_rows(
    clip: ClipSize, *, lr_size: int, stride: int, scale: int, frame_step: int
) -> tuple[RowPlan, ...]:
    """Take every patch of a regular grid, frame by frame, in raster order.

    Raises:
        ValueError: The clip is too small, or the stride no multiple of ``clip.multiple``.
    """
    if stride % clip.multiple:
        raise ValueError(f"needs positions that are multiples of {clip.multiple}, and the stride is {stride}")
    height, width = _check_fits(clip, lr_size=lr_size, scale=scale, window=1)
    places = [
        (frame, top, left)
        for frame in range(0, clip.num_frames, frame_step)
        for top in range(0, height - lr_size + 1, stride)
        for left in range(0, width - lr_size + 1, stride)
    ]
    return tuple(RowPlan(number, (frame,), top, left) for number, (frame, top, left) in enumerate(places))


def keyed_order(items: Sequence[_T], names: Callable[[_T], tuple[str, str]], *, seed: int) -> list[_T]:
    """Shuffle items by a hash of the seed and their (source, clip) name: the same on every machine.

    An item keeps its place relative to the others when items come or go.
    """
    return sorted(items, key=lambda item: digest_of(PLAN_FORMAT, seed, *names(item), "order"))


def deal(num_clips: int, counts: Mapping[str, int]) -> dict[str, int]:
    """Say how many of ``num_clips`` clips each split gets; ``-1`` takes the rest.

    With fewer clips than the counts ask for, the counts are kept in proportion (largest remainder),
    and no split goes empty while another has two.

    Example:
        >>> deal(200, {"train": 100, "test": 15})
        {'train': 100, 'test': 15}
        >>> deal(10, {"train": 100, "test": 15})
        {'train': 9, 'test': 1}
        >>> deal(10, {"val": 2, "train": -1})
        {'val': 2, 'train': 8}
    """
    fixed = {name: count for name, count in counts.items() if count != -1}
    rest = [name for name, count in counts.items() if count == -1]
    wanted = sum(fixed.values()) + len(rest)
    if num_clips >= wanted:
        dealt = dict(fixed)
    else:
        shares = {name: fixed.get(name, 1) * num_clips / wanted for name in counts}
        dealt = {name: int(share) for name, share in shares.items()}
        by_remainder = sorted(counts, key=lambda name: dealt[name] - shares[name])
        for name in by_remainder[: num_clips - sum(dealt.values())]:
            dealt[name] += 1
        for name in counts:
            largest = max(counts, key=lambda other: dealt[other])
            if dealt[name] == 0 and dealt[largest] > 1:
                dealt[name], dealt[largest] = 1, dealt[largest] - 1
        return {name: dealt[name] for name in counts}
    for name in rest:
        dealt[name] = num_clips - sum(dealt.values())
    return {name: dealt[name] for name in counts}


def chunked(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """Cut a sequence into runs of ``size``; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _check_fits(clip: ClipSize, *, lr_size: int, scale: int, window: int) -> tuple[int, int]:
    height, width = clip.lr_size(scale)
    if min(height, width) < lr_size:
        raise ValueError(
            f"is {clip.width}x{clip.height}, which gives LR of {width}x{height} at x{scale}: "
            f"too small for patches of {lr_size}x{lr_size} LR pixels ({lr_size * scale}x{lr_size * scale} HR)"
        )
    if clip.num_frames < window:
        raise ValueError(f"has {clip.num_frames} frames, fewer than the window of {window}")
    return height, width
