"""A second look at two patches that points alone leave in doubt: are the samples alike where they overlap?

Letters of one font, repeated windows and the like have the same points without being the same picture. Between rows of
a set the samples are at hand, so that doubt can be settled; of a shipped test set there are only points.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from sr_datasets.audit.matching import Match
from sr_datasets.audit.points import blurred

Floats = npt.NDArray[np.float32]

DOUBTFUL_SCORE: Final = 200.0
"""Below this score two rows are looked at."""
LEAST_AGREEMENT: Final = 0.7
"""Least correlation of two patches that show the same (nearly all copies reach 0.8)."""

_FINE, _COARSE = 2.0, 6.0  # the band that is compared, in samples of the coarser patch
_LEAST_SIDE = 16  # of the overlap, in samples


def agreement(patch: Floats, other: Floats, match: Match) -> float:
    """Return the correlation of two patches where they overlap, of a band that noise and brightness hardly touch.

    Args:
        patch: ``(height, width)`` luma of the patch.
        other: ``(height, width)`` luma of the patch that it was found in.
        match: Where.

    Returns:
        -1..1; 0 when the overlap is too small or too flat to tell.
    """
    if match.mirrored:
        patch = patch[:, ::-1]
    coarse = max(1.0, match.scale)  # samples of the other patch that one sample of the coarser one takes
    one, two = _band(patch, coarse / match.scale), _band(other, coarse)
    rows = (np.arange(other.shape[0]) - match.y) / match.scale
    columns = (np.arange(other.shape[1]) - match.x) / match.scale
    down = np.flatnonzero((rows >= 0) & (rows <= patch.shape[0] - 1))
    right = np.flatnonzero((columns >= 0) & (columns <= patch.shape[1] - 1))
    if min(len(down), len(right)) < _LEAST_SIDE * coarse:
        return 0.0
    seen = _sampled(one, rows[down], columns[right])
    there = two[down[0] : down[-1] + 1, right[0] : right[-1] + 1].astype(np.float64)
    seen, there = seen - seen.mean(), there - there.mean()
    size = float(np.sqrt((seen**2).sum() * (there**2).sum()))
    return float((seen * there).sum()) / size if size > 0 else 0.0


def _band(luma: Floats, unit: float) -> Floats:
    picture = np.ascontiguousarray(luma)[np.newaxis]
    band: Floats = (blurred(picture, _FINE * unit) - blurred(picture, _COARSE * unit))[0]
    return band


def _sampled(
    band: Floats, rows: npt.NDArray[np.floating], columns: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    top = np.minimum(rows.astype(np.intp), band.shape[0] - 2)
    left = np.minimum(columns.astype(np.intp), band.shape[1] - 2)
    down, right = (rows - top)[:, None], (columns - left)[None, :]
    upper = band[top][:, left] * (1 - right) + band[top][:, left + 1] * right
    lower = band[top + 1][:, left] * (1 - right) + band[top + 1][:, left + 1] * right
    sampled: npt.NDArray[np.float64] = upper * (1 - down) + lower * down
    return sampled
