"""Geometry of a set page's charts: histograms by split, maps of positions, strips of frames. The template draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sr_datasets.inspect import Measures

WIDTH: Final = 320
HEIGHT: Final = 120
"""Size of a histogram's plot, in the units of its view box."""

_COLUMNS: Final = 28
_NAMES: Final = {
    "psnr": ("Bicubic PSNR", "dB"),
    "si": ("Spatial information (SI)", ""),
    "ti": ("Temporal information (TI)", ""),
    "motion": ("Motion, frame to frame", "levels"),
    "contrast": ("Contrast", "levels"),
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One split's part of a histogram."""

    split: int
    """Number of the split."""
    path: str
    """Outline, for an SVG path."""
    rows: int
    """Rows that it counts."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How a measure is spread, split by split, each split's share of its own rows."""

    title: str
    """What is counted."""
    unit: str
    """Unit of the axis."""
    curves: tuple[Curve, ...]
    """Splits that have values."""
    ticks: tuple[tuple[float, str], ...]
    """Place and text of the axis's marks."""
    note: str
    """What the plot leaves out; empty when nothing."""


def histograms(
    measures: Measures, splits: npt.NDArray[np.int64], count: int, keep: npt.NDArray[np.bool_]
) -> list[Histogram]:
    """Return the histograms of measures that any row has, luma's samples last.

    Args:
        measures: Of every row.
        splits: ``(rows,)``: number of each row's split.
        count: How many splits there are.
        keep: ``(rows,)``: rows that count.
    """
    found = []
    for name, (title, unit) in _NAMES.items():
        values = getattr(measures, name).astype(np.float64)
        finite = keep & np.isfinite(values)
        if finite.any():
            found.append(_histogram(title, unit, values, splits, count, finite, keep))
    shares = []
    for split in range(count):
        samples = measures.histogram[keep & (splits == split)].sum(axis=0, dtype=np.int64)
        if samples.any():
            shares.append((split, samples, int((keep & (splits == split)).sum())))
    most = max((float((samples / samples.sum()).max()) for _, samples, _ in shares), default=1.0)
    curves = tuple(
        Curve(split, _outline(samples / samples.sum() / most), rows) for split, samples, rows in shares
    )
    ticks = tuple((level / 256 * WIDTH, str(level)) for level in (16, 64, 128, 192, 235))
    found.append(Histogram("Luma of HR's samples", "", curves, ticks, ""))
    return found


def _histogram(
    title: str,
    unit: str,
    values: npt.NDArray[np.float64],
    splits: npt.NDArray[np.int64],
    count: int,
    finite: npt.NDArray[np.bool_],
    keep: npt.NDArray[np.bool_],
) -> Histogram:
    low, high, step = nice_range(float(values[finite].min()), float(values[finite].max()))
    edges = low + (high - low) * np.arange(_COLUMNS + 1) / _COLUMNS
    shares = []
    for split in range(count):
        own = values[finite & (splits == split)]
        if own.size:
            counts, _ = np.histogram(own, edges)
            shares.append((split, counts / own.size, int(own.size)))
    most = max(float(share.max()) for _, share, _ in shares)
    marks = []
    tick = low
    while tick <= high + step / 1000:
        marks.append(((tick - low) / (high - low) * WIDTH, f"{tick:g}"))
        tick += step
    equal = int((keep & np.isinf(values)).sum())
    note = f"{equal} row{'' if equal == 1 else 's'} without any error left out" if equal else ""
    curves = tuple(Curve(split, _outline(share / most), rows) for split, share, rows in shares)
    return Histogram(title, unit, curves, tuple(marks), note)


def nice_range(low: float, high: float) -> tuple[float, float, float]:
    """Return round limits around values, and the step between the marks of their axis.

    Example:
        >>> nice_range(17.3, 49.1)
        (10.0, 50.0, 10.0)
    """
    if high <= low:
        low, high = low - 1, low + 1
    power = 10 ** math.floor(math.log10((high - low) / 3))
    step = next(power * lead for lead in (1.0, 2.0, 2.5, 5.0, 10.0) if (high - low) / (power * lead) <= 5)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _outline(shares: Sequence[float] | npt.NDArray[np.float64]) -> str:
    """Return the steps of a histogram as an SVG path that begins and ends on the axis; 1 is the top."""
    width = WIDTH / len(shares)
    parts = [f"M0 {HEIGHT}"]
    for place, share in enumerate(shares):
        top = HEIGHT - share * (HEIGHT - 6)
        parts.append(f"L{place * width:.1f} {top:.1f}L{(place + 1) * width:.1f} {top:.1f}")
    return "".join([*parts, f"L{WIDTH} {HEIGHT}Z"])


def strip(frames: Sequence[int], num_frames: int) -> str:
    """Return marks of frames on a strip 1000 units long as an SVG path."""
    last = max(1, num_frames - 1)
    return "".join(f"M{frame * 1000 / last:.0f} 0V10" for frame in sorted(set(frames)))
