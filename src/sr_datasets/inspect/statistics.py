"""Statistics of a set, for each source and split: what its patches are like, and where in the frame they lie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sr_datasets.inspect.choosing import Choice
from sr_datasets.inspect.measuring import BINS, Measures, measure_set
from sr_datasets.inspect.provenance import frame_sizes
from sr_datasets.progress import Progress
from sr_datasets.shards.setplace import SetPlace, folder_of
from sr_datasets.shards.sets import SetInfo, read_set

HEAT_ROWS: Final = 9
HEAT_COLUMNS: Final = 16
"""Cells of the frame in which patches are counted, by their centres."""

SPREADS: Final = ("si", "ti", "psnr", "luma", "contrast", "motion")
"""Measures of which mean and percentiles are told."""

PROTOCOL: Final = "bicubic PSNR: LR enlarged by MATLAB's bicubic and rounded, against HR; Y of BT.601 (of rgb rows rounded), scale pixels left out on each side"


@dataclass(frozen=True, slots=True)
class Spread:
    """How a measure is spread over rows."""

    mean: float
    """Mean of the finite values."""
    low: float
    """5th percentile (nearest rank)."""
    median: float
    """50th."""
    high: float
    """95th."""
    count: int
    """Rows that have a value."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        numbers = {"mean": self.mean, "p5": self.low, "median": self.median, "p95": self.high}
        return {
            **{name: round(value, 3) if math.isfinite(value) else None for name, value in numbers.items()},
            "rows": self.count,
        }


@dataclass(frozen=True, slots=True, eq=False)
class GroupStatistics:
    """The rows of one source in one split."""

    source: str
    """Source id."""
    split: str
    """Split."""
    rows: int
    """Rows."""
    clips: int
    """Clips."""
    spreads: dict[str, Spread]
    """Of each measure that any row has."""
    flat: int
    """Flat rows."""
    duplicates: int
    """Rows whose HR samples an earlier row of the set has too."""
    histogram: npt.NDArray[np.int64]
    """``(BINS,)``: samples of HR's luma."""
    heat: npt.NDArray[np.int64]
    """``(HEAT_ROWS, HEAT_COLUMNS)``: rows whose centre lies there in the frame."""
    unknown_frames: int
    """Clips whose frame was taken to end where their patches do."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "source": self.source,
            "split": self.split,
            "rows": self.rows,
            "clips": self.clips,
            **{name: spread.to_json() for name, spread in self.spreads.items()},
            "flat": self.flat,
            "duplicates": self.duplicates,
            "luma_histogram": self.histogram.tolist(),
            "positions": self.heat.tolist(),
            "clips_of_unknown_size": self.unknown_frames,
        }


@dataclass(frozen=True, slots=True, eq=False)
class SetStatistics:
    """Statistics of a set, or of some of its rows."""

    path: SetPlace
    """Where the set lies."""
    content_digest: str
    """Of the whole set."""
    where: str
    """The condition that its rows fit; empty for all."""
    groups: tuple[GroupStatistics, ...]
    """By source and split."""

    def to_json(self) -> dict[str, Any]:
        """Return them as plain JSON values."""
        return {
            "path": str(self.path),
            "content_digest": self.content_digest,
            "where": self.where,
            "psnr": PROTOCOL,
            "groups": [group.to_json() for group in self.groups],
        }

    def to_text(self) -> str:
        """Return them as text of at most 80 columns."""
        lines = [f"rows that fit: {self.where}", ""] if self.where else []
        lines += [
            f"{'source, split':22}{'rows':>7}{'SI':>7}{'TI':>6}{'PSNR':>7}{'luma':>6}{'contr.':>7}{'motion':>7}{'flat':>5}{'dupl.':>6}",
        ]
        for group in self.groups:
            means = [
                _number(group.spreads.get(name), width)
                for name, width in (
                    ("si", 7),
                    ("ti", 6),
                    ("psnr", 7),
                    ("luma", 6),
                    ("contrast", 7),
                    ("motion", 7),
                )
            ]
            name = f"{group.source}, {group.split}"
            lines.append(f"{name:22.22}{group.rows:>7}{''.join(means)}{group.flat:>5}{group.duplicates:>6}")
        lines += [
            "",
            "means over rows; SI and TI as ITU-T P.910, of patches; luma, contrast (standard",
            "deviation) and motion in levels of 8 bits; - where rows have one frame or no LR",
            "bicubic PSNR in dB: luma, LR as stored, enlarged by MATLAB's bicubic, rounded,",
            "scale pixels left out on each side",
        ]
        for group in self.groups:
            lines += ["", f"{group.source}, {group.split}: {group.rows} rows of {group.clips} clips"]
            for name, spread in group.spreads.items():
                lines.append(
                    f"  {name:9} 5 % {_plain(spread.low):>8}   median {_plain(spread.median):>8}   95 % {_plain(spread.high):>8}"
                )
            unknown = (
                f" ({group.unknown_frames} clips: frame taken to end with its patches)"
                if group.unknown_frames
                else ""
            )
            lines += [
                f"  luma 0 |{_bars(group.histogram)}| 255",
                f"  centres of patches in the frame{unknown}",
                *(f"    |{line}|" for line in _heat_lines(group.heat)),
            ]
        return "\n".join(lines)


def _number(spread: Spread | None, width: int) -> str:
    return f"{'-' if spread is None or math.isnan(spread.mean) else f'{spread.mean:.1f}':>{width}}"


def _plain(value: float) -> str:
    return "equal" if math.isinf(value) else f"{value:.2f}"


_BARS = " ▁▂▃▄▅▆▇█"
_SHADES = " ·░▒▓█"


def _bars(counts: npt.NDArray[np.int64]) -> str:
    most = max(1, int(counts.max()))
    return "".join(_BARS[-(-int(count) * 8 // most)] for count in counts)


def _heat_lines(heat: npt.NDArray[np.int64]) -> list[str]:
    most = max(1, int(heat.max()))
    return ["".join(_SHADES[-(-int(count) * 5 // most)] * 2 for count in row) for row in heat]


def set_statistics(choice: Choice, *, progress: Progress | None = None) -> SetStatistics:
    """Return the statistics of rows of a set, for each source and split.

    Args:
        choice: The rows to look at.
        progress: Where the work reports itself.

    Raises:
        ShardError: A shard is damaged.
    """
    info = read_set(folder_of(choice.path))
    measures = measure_set(choice.path, progress=progress)
    groups = group_statistics(info, choice.index, measures, choice.mask)
    return SetStatistics(choice.path, info.content_digest, choice.where, tuple(groups))


def group_statistics(
    info: SetInfo, index: pa.Table, measures: Measures, keep: npt.NDArray[np.bool_]
) -> list[GroupStatistics]:
    """Return statistics by source and split.

    Args:
        info: The set.
        index: Its rows.
        measures: Of the same rows.
        keep: ``(rows,)``: rows that count.
    """
    sizes = frame_sizes(info, index)
    sources, clips, splits = (index.column(name).to_pylist() for name in ("source", "clip", "split"))
    numbers: dict[tuple[str, str], list[int]] = {}
    for number in np.flatnonzero(keep).tolist():
        numbers.setdefault((sources[number], splits[number]), []).append(number)
    cells = _cells(index, sizes)
    groups = []
    for (source, split), own in sorted(numbers.items()):
        rows = np.array(own)
        names = {clips[number] for number in own}
        heat = np.bincount(cells[rows], minlength=HEAT_ROWS * HEAT_COLUMNS).reshape(HEAT_ROWS, HEAT_COLUMNS)
        spreads = {name: spread_of(getattr(measures, name)[rows]) for name in SPREADS}
        groups.append(
            GroupStatistics(
                source=source,
                split=split,
                rows=len(own),
                clips=len(names),
                spreads={name: spread for name, spread in spreads.items() if spread is not None},
                flat=int(measures.flat[rows].sum()),
                duplicates=int(measures.duplicate[rows].sum()),
                histogram=measures.histogram[rows].sum(axis=0, dtype=np.int64).reshape(BINS),
                heat=heat,
                unknown_frames=sum(not sizes[source, name][2] for name in names),
            )
        )
    return groups


def spread_of(values: npt.NDArray[np.float32]) -> Spread | None:
    """Return how values are spread, not-a-numbers left out; None when nothing is left."""
    known = np.sort(values[~np.isnan(values)]).tolist()
    if not known:
        return None
    finite = [value for value in known if math.isfinite(value)]
    mean = math.fsum(finite) / len(finite) if finite else math.inf
    return Spread(mean, _rank(known, 5), _rank(known, 50), _rank(known, 95), len(known))


def _rank(known: Sequence[float], percent: int) -> float:
    return known[max(0, -(-percent * len(known) // 100) - 1)]


def _cells(index: pa.Table, sizes: dict[tuple[str, str], tuple[int, int, bool]]) -> npt.NDArray[np.int64]:
    """Return the cell of the frame in which each row's centre lies."""
    names = (
        "source",
        "clip",
        "top",
        "left",
        "lr_height",
        "lr_width",
        "hr_height",
        "hr_width",
        "scale",
        "color",
    )
    found = []
    for source, clip, top, left, height, width, high, wide, scale, color in zip(
        *(index.column(name).to_pylist() for name in names), strict=True
    ):
        frame_height, frame_width, _ = sizes[source, clip]
        height, width = height or high // scale, width or wide // scale
        if color == "yuv420":
            height = height * 2 // 3
        row = (2 * top + height) * HEAT_ROWS // (2 * frame_height)
        column = (2 * left + width) * HEAT_COLUMNS // (2 * frame_width)
        found.append(min(row, HEAT_ROWS - 1) * HEAT_COLUMNS + min(column, HEAT_COLUMNS - 1))
    return np.array(found, np.int64)
