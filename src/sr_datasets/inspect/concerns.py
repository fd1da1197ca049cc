"""What somebody who trains on a set should know before: flat patches, duplicates, guesses, large groups, missing grants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sr_datasets.files import human_bytes
from sr_datasets.inspect.measuring import FLAT, Measures
from sr_datasets.inspect.provenance import ClipOrigin, without_grant
from sr_datasets.shards.schema import SHAPE_COLUMNS
from sr_datasets.shards.sets import SetInfo

LARGE_GROUP_BYTES: Final = 64 << 20
"""Pixels of a row group above which one row of a compressed or remote shard costs too much: the group is read whole."""

_TAGS: Final = ("matrix", "range", "transfer", "siting")


@dataclass(frozen=True, slots=True, eq=False)
class Concern:
    """One thing to know of a set."""

    kind: str
    """A short name, such as ``flat``."""
    level: Literal["warning", "note"]
    """Whether it may spoil a result, or is good to know."""
    text: str
    """One sentence."""
    rows: npt.NDArray[np.int64]
    """Numbers of the rows that it is about; empty when about none in particular."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"kind": self.kind, "level": self.level, "text": self.text, "rows": self.rows.tolist()}


def find_concerns(
    info: SetInfo,
    index: pa.Table,
    measures: Measures | None,
    clips: Sequence[ClipOrigin],
    leaks: Mapping[str, str] | None = None,
) -> list[Concern]:
    """Return what to know of a set, warnings first.

    Args:
        info: The set.
        index: Its rows.
        measures: Of the same rows; None where nobody measured them, so that flat rows and duplicates are not known.
        clips: Where they come from.
        leaks: For each row whose picture stands elsewhere too, by id, where; None when nobody looked for leaks.
    """
    found = [
        *_leaks(index, leaks),
        *(_duplicates(index, measures) if measures is not None else ()),
        *(_flat(measures) if measures is not None else ()),
        *_guessed(index),
        *_large_groups(index),
        *_others(info, index, clips),
    ]
    return sorted(found, key=lambda one: one.level != "warning")


def _concern(
    kind: str, level: Literal["warning", "note"], text: str, rows: npt.NDArray[Any] | None = None
) -> Concern:
    return Concern(kind, level, text, np.zeros(0, np.int64) if rows is None else rows.astype(np.int64))


def _leaks(index: pa.Table, leaks: Mapping[str, str] | None) -> list[Concern]:
    if leaks is None:
        text = "Nobody looked for pictures that stand in two splits or in a test set: ask with --audit, or sr-data audit."
        return [_concern("leaks", "note", text)]
    if not leaks:
        return [
            _concern(
                "leaks",
                "note",
                "sr-data audit finds no picture that stands in another split or in a test set.",
            )
        ]
    ids = index.column("sample_id").to_pylist()
    rows = np.array([number for number, name in enumerate(ids) if name in leaks], np.int64)
    places = ", ".join(sorted(set(leaks.values()))[:4])
    return [
        _concern(
            "leaks", "warning", f"{_rows(len(rows))} whose picture stands elsewhere too: in {places}.", rows
        )
    ]


def _duplicates(index: pa.Table, measures: Measures) -> list[Concern]:
    rows = np.flatnonzero(measures.duplicate)
    if not rows.size:
        return []
    splits = np.array(index.column("split").to_pylist())
    across = rows[splits[rows] != splits[measures.twin[rows]]]
    within = rows[splits[rows] == splits[measures.twin[rows]]]
    found = []
    if across.size:
        text = f"{_rows(len(across))} with the same HR samples as a row of another split: a leak."
        found.append(_concern("duplicates", "warning", text, across))
    if within.size:
        text = f"{_rows(len(within))} with the same HR samples as an earlier row: they count twice."
        found.append(_concern("duplicates", "warning", text, within))
    return found


def _flat(measures: Measures) -> list[Concern]:
    rows = np.flatnonzero(measures.flat)
    if not rows.size:
        return []
    share = len(rows) / len(measures.flat)
    text = (
        f"{_rows(len(rows))} ({share:.1%}) with flat HR (luma deviates by less than {FLAT:g} levels): bicubic does those "
        "too, so they teach little and raise every PSNR."
    )
    return [_concern("flat", "warning" if share >= 0.01 else "note", text, rows)]


def _guessed(index: pa.Table) -> list[Concern]:
    found = []
    clips = np.array(
        [
            f"{source}/{clip}"
            for source, clip in zip(
                index.column("source").to_pylist(), index.column("clip").to_pylist(), strict=True
            )
        ]
    )
    shows = np.array(index.column("color").to_pylist())
    for tag in _TAGS:
        guessed = np.array(index.column(f"{tag}_from").to_pylist()) == "guessed"
        rows = np.flatnonzero(guessed)
        if not rows.size:
            continue
        count = len(np.unique(clips[rows]))
        # The samples of R'G'B' rows depend on the matrix and the range, those of luma on neither.
        matters = tag in ("matrix", "range", "siting") and bool((shows[rows] == "rgb").any())
        text = f"The {tag} of {count} clip{'' if count == 1 else 's'} ({_rows(len(rows))}) is guessed: the file does not say it."
        found.append(_concern("colour", "warning" if matters else "note", text, rows))
    return found


def _large_groups(index: pa.Table) -> list[Concern]:
    names = ("shard", "row_group", *SHAPE_COLUMNS)
    sizes: dict[tuple[str, int], int] = {}
    for shard, group, frames, hr_frames, channels, *sides, depth in zip(
        *(index.column(name).to_pylist() for name in names), strict=True
    ):
        samples = channels * (frames * sides[0] * sides[1] + hr_frames * sides[2] * sides[3])
        sizes[shard, group] = sizes.get((shard, group), 0) + samples * (2 if depth > 8 else 1)
    large = [size for size in sizes.values() if size > LARGE_GROUP_BYTES]
    if not large:
        return []
    text = (
        f"{len(large)} of {len(sizes)} row groups hold more than {human_bytes(LARGE_GROUP_BYTES)} of pixels (up to "
        f"{human_bytes(max(large))}): compressed or remote, one row costs a whole group. Sample fewer rows of a pair."
    )
    return [_concern("groups", "warning", text)]


def _others(info: SetInfo, index: pa.Table, clips: Sequence[ClipOrigin]) -> list[Concern]:
    found = []
    if closed := without_grant(clips):
        text = f"No grant to pass on patches of {', '.join(closed)}: pictures of them stay on this machine."
        found.append(_concern("grant", "note", text))
    if info.skipped:
        count = len(info.skipped)
        text = f"{count} clip{'' if count == 1 else 's'} that the recipe selects {'is' if count == 1 else 'are'} not in the set: {info.skipped[0].source}/{info.skipped[0].clip}: {info.skipped[0].reason}"
        found.append(_concern("skipped", "note", text + ("" if count == 1 else ", and others.")))
    lossy = sorted({one.name for one in clips if one.facts is not None and one.facts.pristine == "no"})
    if lossy:
        text = f"{len(lossy)} clip{'' if len(lossy) == 1 else 's'} went through lossy coding before: HR has its artefacts ({', '.join(lossy[:3])}{', ...' if len(lossy) > 3 else ''})."
        found.append(_concern("lossy", "note", text))
    return found


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
