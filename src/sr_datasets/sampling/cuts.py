"""Where one shot ends and another begins, by luma alone, in integers.

**Method.** Each frame becomes a small picture of about ``SIDE`` samples along its longer side, less its own mean
over 9x9 samples and brought to one contrast, so that a change of light or a fade changes little. Two frames are
compared by blocks of ``BLOCK`` x ``BLOCK`` samples: each block of the later one is looked for in the earlier one, up
to ``1 / REACH`` of the longer side away, and what the best place leaves (sum of absolute differences) counts against
the detail of both frames. The score is in thousandths: about 0 for a frame shown twice, 50 to 550 for motion, 650 to
1900 for two different shots.

A frame begins a shot when its score against the frame before

- is at least ``LEAST_SCORE``,
- is at least ``PERCENT_OF_USUAL`` hundredths of the median of its neighbours' scores (``NEIGHBOURS`` frames on each
  side), which tells a cut from camera work that changes every frame,
- lasts: the frame before the cut also differs from each of the ``FLASH_FRAMES`` frames after it, and the frame after
  the cut from each of those before, by at least ``LEAST_LASTING``; a flash comes back to what was there;
- and is no part of a fade: where detail grows or shrinks to a quarter at once, it does not change to twice or half
  within the ``FLASH_FRAMES`` frames beside.

Dissolves and fades change little from frame to frame and are no cuts; a shot of ``FLASH_FRAMES`` frames or less
between two of the same view is taken for a flash. x264 compares the cost of predicting a frame with that of coding it
afresh; the rules here are our own. ``docs/sampling.md`` has how often they are right.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median_low
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

SIDE = 80
"""Samples of the small picture along the longer side, at least (as far as the frame has them)."""
BLOCK = 8
"""Side of a block in samples of the small picture."""
REACH = 13
"""How far a block is looked for: the longer side of the small picture divided by this."""
LEAST_SCORE = 600
"""Least score of a cut, in thousandths."""
PERCENT_OF_USUAL = 150
"""Least ratio of a cut's score to the median of its neighbours' scores, in hundredths."""
NEIGHBOURS = 3
"""Frames on each side whose scores say what is usual."""
FLASH_FRAMES = 3
"""Most frames of a flash."""
LEAST_LASTING = 520
"""Least score across a possible flash."""
_MEAN_RADIUS = 4
CONTRAST = 128
"""Mean absolute detail to which each small picture is brought, so that fades change little."""
_FLOOR = 12
"""Quarter levels that are added to a picture's mean detail before that: what has less stays weak."""

Small: TypeAlias = npt.NDArray[np.int16]
Half: TypeAlias = npt.NDArray[np.int16]


def small_picture(half: Half) -> tuple[Small, int]:
    """Return the detail of a frame, small and brought to one contrast, and how much it had (mean, quarter levels).

    Args:
        half: ``(height, width)`` int16, sums of 2x2 luma samples at 8 bits, 0..1020 (``halved``).

    Returns:
        ``(height, width)`` int16, at least ``SIDE`` samples along the longer side where ``half`` has as many; and the
        mean absolute difference of its cells to their mean over 9x9 cells.
    """
    cell = max(1, max(half.shape) // SIDE)
    height, width = (length // cell * cell or length for length in half.shape)
    rows, columns = np.arange(0, height, cell), np.arange(0, width, cell)
    sums = np.add.reduceat(half[:height, :width], columns, axis=1, dtype=np.int32)
    sums = np.add.reduceat(sums, rows, axis=0, dtype=np.int32)
    # The last cell of a frame shorter than a cell on one axis has fewer samples.
    cells = sums // (min(cell, height) * min(cell, width))
    side = 2 * _MEAN_RADIUS + 1
    detail = cells - _box_sums(cells, _MEAN_RADIUS) // side**2
    mean = int(np.abs(detail).sum(dtype=np.int64)) // detail.size
    small: Small = (detail * CONTRAST // (mean + _FLOOR)).astype(np.int16)
    return small, mean


def _box_sums(values: npt.NDArray[np.int32], radius: int) -> npt.NDArray[np.int32]:
    """Return the sum of the (2 radius + 1)^2 samples around each, the edge sample repeated."""
    side = 2 * radius + 1
    sums = np.pad(values, radius, mode="edge")
    for axis in (0, 1):
        total = np.cumsum(sums, axis=axis, dtype=np.int32)
        total = np.concatenate([np.zeros_like(total.take([0], axis=axis)), total], axis=axis)
        length = total.shape[axis]
        sums = total.take(range(side, length), axis=axis) - total.take(range(length - side), axis=axis)
    return sums


def difference(before: Small, after: Small) -> int:
    """Return how much of a frame cannot be found in an earlier one, in thousandths of their detail.

    Args:
        before: Small picture of the earlier frame.
        after: Small picture of the later one, of the same shape.
    """
    height, width = after.shape
    reach = max(1, max(height, width) // REACH)
    places = np.lib.stride_tricks.sliding_window_view(np.pad(before, reach, mode="edge"), (height, width))
    apart = np.abs(places - after)
    sums = np.add.reduceat(apart, np.arange(0, width, BLOCK), axis=3, dtype=np.int32)
    sums = np.add.reduceat(sums, np.arange(0, height, BLOCK), axis=2, dtype=np.int32)
    left_over = int(sums.min(axis=(0, 1)).sum(dtype=np.int64))
    detail: int = int(np.abs(before).sum(dtype=np.int64) + np.abs(after).sum(dtype=np.int64)) // 2
    score: int = 1000 * left_over // max(detail, CONTRAST // 2 * height * width)
    return score


class CutFinder:
    """Finds the first frames of shots while frames come one after another; a few small pictures are kept."""

    def __init__(self) -> None:
        self._recent: deque[Small] = deque(maxlen=FLASH_FRAMES + 1)
        self._scores: list[int] = []
        self._details: list[int] = []
        self._lasting: dict[int, int] = {}
        self._open: list[tuple[int, Small]] = []

    @property
    def scores(self) -> Sequence[int]:
        """Score of each frame so far against the one before; 0 for the first."""
        return self._scores

    def add(self, half: Half) -> None:
        """Take the next frame; ``half`` as for ``small_picture``."""
        small, detail = small_picture(half)
        self._details.append(detail)
        number = len(self._scores)
        for candidate, before in self._open:
            self._lasting[candidate] = min(self._lasting[candidate], difference(before, small))
        self._open = [one for one in self._open if number - one[0] < FLASH_FRAMES]
        score = difference(self._recent[-1], small) if self._recent else 0
        self._scores.append(score)
        if score >= LEAST_SCORE:
            earlier = list(self._recent)[:-1]
            self._lasting[number] = min([score, *(difference(other, small) for other in earlier)])
            self._open.append((number, self._recent[-1]))
        self._recent.append(small)

    def cuts(self) -> npt.NDArray[np.bool_]:
        """Return for each frame whether it begins a shot; never for the first one."""
        found = np.zeros(len(self._scores), np.bool_)
        for number, lasting in self._lasting.items():
            around = [
                self._scores[other]
                for other in range(max(1, number - NEIGHBOURS), number + NEIGHBOURS + 1)
                if other != number and other < len(self._scores)
            ]
            usual = median_low(around) if around else 0
            found[number] = (
                lasting >= LEAST_LASTING
                and 100 * self._scores[number] >= PERCENT_OF_USUAL * usual
                and not self._fades(number)
            )
        return found

    def _fades(self, number: int) -> bool:
        """Tell whether a picture comes out of nothing, or goes into it, over several frames."""
        details = self._details
        before, after = details[number - 1], details[number]
        if 4 * before < after:
            return 2 * after < details[min(number + FLASH_FRAMES, len(details) - 1)]
        if 4 * after < before:
            return 2 * before < details[max(number - 1 - FLASH_FRAMES, 0)]
        return False
