"""What a plan is made of, and in which order clips come.

A plan is a value: a pure function of numbers that are known before any pixel of a row is made.
Positions are drawn on the LR grid and multiplied by the scale, so that LR and HR cannot drift apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from sr_datasets.keys import digest_of

_T = TypeVar("_T")

PLAN_FORMAT = "plan-1"
"""Part of every key: a change of the sampling rules changes this word, and with it every draw."""


class RowPlan(NamedTuple):
    """One patch pair to be cut; a tuple, since plans have very many."""

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


def keyed_order(items: Sequence[_T], names: Callable[[_T], tuple[str, str]], *, seed: int) -> list[_T]:
    """Shuffle items by a hash of the seed and their (source, clip) name: the same on every machine.

    An item keeps its place relative to the others when items come or go.
    """
    return sorted(items, key=lambda item: digest_of(PLAN_FORMAT, seed, *names(item), "order"))


def chunked(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """Cut a sequence into runs of ``size``; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def row_groups(rows: Sequence[RowPlan], size: int) -> list[Sequence[RowPlan]]:
    """Cut a plan into runs of at most ``size`` rows, between windows where that is possible.

    Rows of one window stand one after another when a frame is cut into tiles: a group that ends inside it would have
    its frames decoded twice.

    Example:
        >>> rows = [RowPlan(n, (n // 4,), 0, n) for n in range(10)]
        >>> [len(group) for group in row_groups(rows, 6)], [len(group) for group in row_groups(rows, 3)]
        ([4, 6], [3, 1, 3, 3])
    """
    groups: list[Sequence[RowPlan]] = []
    start = 0
    while start < len(rows):
        end = min(start + size, len(rows))
        if end < len(rows):
            whole = end
            while whole > start and rows[whole - 1].frame_indices == rows[end].frame_indices:
                whole -= 1
            # Rows of many windows in no order lose nothing either way.
            end = whole if whole > start else end
        groups.append(rows[start:end])
        start = end
    return groups
