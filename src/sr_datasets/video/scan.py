"""Whether frames are whole moments or two fields woven together, by what the samples show.

For clips whose streams say nothing: raw planes, y4m without an ``I`` tag, UYVY and v210 in AVI.

**Method.** Three weaves of a frame C and the next one, N, are compared by how much they comb. The comb of an
image is ``|x[y-1] - 2 x[y] + x[y+1]|``; "top" are rows 0, 2, 4 ..., "bottom" rows 1, 3, 5 ...:

- ``own``: the mean of the combs of C and of N as they are;
- ``top``: the comb of N's top rows between C's bottom rows, less ``own``;
- ``bottom``: the comb of N's bottom rows between C's top rows, less ``own``.

In progressive video the rows of a frame are of one moment and both foreign weaves are a frame apart: top and
bottom are equal, and away from zero wherever something moves (below it when lines move by one a frame, since they
then stand doubled in the foreign weaves). In interlaced video each frame joins two moments, and one of the
foreign weaves joins moments that lie no further apart than its own do: that one is about zero (below zero where
film was spread over fields, 3:2), the other is large. Vertical detail, however fine, and noise comb in all three
weaves alike and cancel in the differences. (FFmpeg's ``idet`` compares combs of foreign weaves too, but by the
ratio of their sums, which still hold what is at rest; the differences and the test of significance are our own
derivation.)

A difference counts when it stands out of the scatter of 16x16 blocks: ``sum(d) / sqrt(sum(d^2))`` over the blocks,
which noise and static detail keep near a standard normal, is at least ``MIN_Z`` away from zero. A pair of frames is

- ``still``: none of top, bottom and top - bottom counts;
- ``progressive``: top and bottom have one sign, the smaller is at least ``PROGRESSIVE_FROM`` of the other, and
  their sum counts;
- ``interlaced``: the higher is above zero, the lower at most ``INTERLACED_UP_TO`` of it, and top - bottom counts;
- ``unclear`` otherwise.

Up to 6 places of 4 successive frames are looked at: any 3 successive pairs of a 3:2 cadence hold one that is
woven of two moments. A clip is ``interlaced`` (also when only some of its frames mix moments, as after telecine)
if at least 2 pairs, and a fifth of those that are progressive or interlaced, are. It is ``progressive`` if at least
2 pairs are, no fewer than are unclear, and at most a tenth as many are interlaced. Else it is ``unknown``: at
rest, too short, or contradictory.

It cannot see interlacing that was scaled or blurred away in height, and calls well deinterlaced video
progressive. Its rates of hits and false alarms are in docs/scan.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video.base import ClipReader, Plane
from sr_datasets.video.reader import open_clip

Scan = Literal["progressive", "interlaced", "unknown"]
Pair = Literal["progressive", "interlaced", "unclear", "still"]

BLOCK = 16
"""Side of the blocks over which the scatter of a difference is measured, in samples."""
MIN_Z = 4.0
"""Least standard score of a difference that counts as seen."""
PROGRESSIVE_FROM = 0.5
"""Least ratio of the two foreign weaves of a progressive pair."""
INTERLACED_UP_TO = 0.3
"""Greatest ratio of the lower to the higher foreign weave of an interlaced pair."""
NUM_PLACES = 6
"""Places of a clip that are looked at."""
FRAMES_PER_PLACE = 4
"""Successive frames of each."""

_MIN_PAIRS = 2
_INTERLACED_SHARE = 0.2
_STRAY_SHARE = 0.1
_MAX_COLUMNS = 1024  # combs stand in columns: a part of the columns of wide frames shows them as well


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What the frames of a clip show of its scan."""

    scan: Scan
    """The word for the clip."""
    num_pairs: int
    """Pairs of successive frames that were looked at."""
    progressive: int
    """Pairs whose frames are whole moments."""
    interlaced: int
    """Pairs of which a frame mixes two moments."""
    unclear: int
    """Pairs that move, and show neither."""


def with_scan(path: Path, info: VideoInfo, *, clip: Clip | None = None) -> VideoInfo:
    """Return what is known of a clip, its scan by its frames if nothing else tells it.

    Args:
        path: A file, or a folder of pictures.
        info: What ``probe`` said of it; its own word on the scan stands.
        clip: What the manifest declares; raw planes need it.

    Raises:
        DecodeError: The file is not what it was when it was probed.
    """
    if info.scan != "unknown" or info.num_frames < 2:
        return info
    with open_clip(path, info, clip=clip) as reader:
        scan = detect_scan(reader).scan
    return info.model_copy(update={"scan": scan, "scan_from": "unknown" if scan == "unknown" else "detected"})


def detect_scan(reader: ClipReader) -> ScanReport:
    """Look at up to 24 frames of a clip and say how its lines were taken, by the module's method.

    Raises:
        DecodeError: The clip cannot be read.
    """
    plane = 1 if reader.info.model == "rgb" else 0  # green is most of luma
    pairs: list[Pair] = []
    for place in _places(reader.info.num_frames):
        planes = (frame.planes[plane] for frame in reader.frames(place))
        pairs += [compare_pair(first, second) for first, second in pairwise(planes)]
    progressive, interlaced, unclear = (
        pairs.count("progressive"),
        pairs.count("interlaced"),
        pairs.count("unclear"),
    )
    said = interlaced + progressive
    scan: Scan = "unknown"
    if interlaced >= max(_MIN_PAIRS, _INTERLACED_SHARE * said):
        scan = "interlaced"
    elif progressive >= max(_MIN_PAIRS, unclear) and interlaced <= _STRAY_SHARE * progressive:
        scan = "progressive"
    return ScanReport(scan, len(pairs), progressive, interlaced, unclear)


def detect_field_order(reader: ClipReader) -> Literal["top", "bottom", "unknown"]:
    """Look at up to 24 frames of an interlaced clip and say which field of a frame was taken first.

    In the interlaced pairs, the foreign weave that joins neighbouring moments is the one that combs no more
    than the frames do: N's top rows with C's bottom rows where top fields come first. At least 2 pairs must
    say so, and at most a tenth as many the contrary.

    Raises:
        DecodeError: The clip cannot be read.
    """
    plane = 1 if reader.info.model == "rgb" else 0
    tops = bottoms = 0
    for place in _places(reader.info.num_frames):
        planes = (frame.planes[plane] for frame in reader.frames(place))
        for first, second in pairwise(planes):
            if compare_pair(first, second) == "interlaced":
                top, bottom = _foreign_weaves(first, second)
                top_first = float(top.sum()) < float(bottom.sum())
                tops, bottoms = tops + top_first, bottoms + (not top_first)
    if max(tops, bottoms) < _MIN_PAIRS or min(tops, bottoms) > _STRAY_SHARE * max(tops, bottoms):
        return "unknown"
    return "top" if tops > bottoms else "bottom"


def _places(num_frames: int) -> list[range]:
    """Return runs of successive frames, in the middles of equal parts of the clip."""
    if num_frames <= NUM_PLACES * FRAMES_PER_PLACE:
        return [range(num_frames)]
    middles = [(2 * place + 1) * num_frames // (2 * NUM_PLACES) for place in range(NUM_PLACES)]
    return [range(middle - FRAMES_PER_PLACE // 2, middle + FRAMES_PER_PLACE // 2) for middle in middles]


def compare_pair(first: Plane, second: Plane) -> Pair:
    """Say what two successive frames show.

    Args:
        first: ``(height, width)`` luma of a frame.
        second: Luma of the next one, of the same shape.
    """
    height, width = first.shape
    if height < BLOCK + 2 or width < BLOCK:
        return "still"
    top, bottom = _foreign_weaves(first, second)
    if not (_counts(top) or _counts(bottom) or _counts(top - bottom)):
        return "still"
    lower, higher = sorted((float(top.sum()), float(bottom.sum())))
    smaller, larger = sorted((abs(lower), abs(higher)))
    if lower * higher > 0 and smaller >= PROGRESSIVE_FROM * larger and _counts(top + bottom):
        return "progressive"
    if higher > 0 and lower <= INTERLACED_UP_TO * higher and _counts(top - bottom):
        return "interlaced"
    return "unclear"


_Blocks = npt.NDArray[np.float64]


def _foreign_weaves(first: Plane, second: Plane) -> tuple[_Blocks, _Blocks]:
    """Return by how much ``top`` and ``bottom`` comb more than the frames' own weave, by blocks."""
    step = -(-first.shape[1] // _MAX_COLUMNS)
    frame, after = first[:, ::step].astype(np.int32), second[:, ::step].astype(np.int32)
    own = (_combs(frame) + _combs(after)) / 2
    woven = after.copy()
    woven[1::2] = frame[1::2]
    top = _combs(woven) - own
    woven = frame.copy()
    woven[1::2] = after[1::2]
    return top, _combs(woven) - own


def _combs(image: npt.NDArray[np.int32]) -> _Blocks:
    """Return the comb of each block of 16x16 samples, summed up."""
    comb = np.abs(image[:-2] + image[2:] - 2 * image[1:-1])
    rows, columns = comb.shape[0] // BLOCK, comb.shape[1] // BLOCK
    whole = comb[: rows * BLOCK, : columns * BLOCK]
    sums: _Blocks = whole.reshape(rows, BLOCK, columns, BLOCK).sum(axis=(1, 3), dtype=np.float64)
    return sums


def _counts(difference: _Blocks) -> bool:
    """Tell whether a sum over blocks stands out of its scatter."""
    scatter = float(np.sqrt(np.square(difference).sum()))
    return abs(float(difference.sum())) >= MIN_Z * scatter > 0
