"""Rows that fit a condition: on columns of the index, and on numbers that are made of the pixels."""

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sr_datasets.errors import ShardError
from sr_datasets.inspect.described import COLUMNS, elided
from sr_datasets.inspect.measuring import COMPUTED, Measures, measure_set
from sr_datasets.inspect.rows import read_index
from sr_datasets.progress import Progress
from sr_datasets.shards.setplace import SetPlace, folder_of
from sr_datasets.shards.sets import read_set
from sr_datasets.shards.where import parse_where

SHOWN_ROWS = 20
"""Rows of a choice that are printed."""
_LEAST_ID = 13


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Rows of a set that fit a condition."""

    path: SetPlace
    """Where the set lies."""
    where: str
    """The condition as it was written; empty for none."""
    index: pa.Table
    """Every row of the set."""
    mask: npt.NDArray[np.bool_]
    """``(rows,)``: those that fit."""
    computed: tuple[str, ...]
    """Columns of the condition that were made of the pixels."""
    measures: Measures | None
    """Numbers of every row, where the condition asked for some."""
    unknown: int
    """Rows that cannot be judged, since a computed column is not known of them; they do not fit."""

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Numbers of the rows that fit, in the order of ``PairDataset``."""
        return np.flatnonzero(self.mask)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows that fit, with their numbers and what was computed of them, as plain values."""
        found = self.index.take(pa.array(self.numbers)).to_pylist()
        extra = self._computed_values()
        return [
            {"number": int(number), **row, **{name: values[place] for name, values in extra.items()}}
            for place, (number, row) in enumerate(zip(self.numbers, found, strict=True))
        ]

    def _computed_values(self) -> dict[str, list[Any]]:
        if self.measures is None:
            return {}
        table = self.measures.table().take(pa.array(self.numbers))
        return {
            name: [
                round(value, 3) if isinstance(value, float) else value
                for value in table.column(name).to_pylist()
            ]
            for name in self.computed
        }

    def to_json(self) -> dict[str, Any]:
        """Return the choice as plain JSON values."""
        return {
            "path": str(self.path),
            "where": self.where,
            "computed": {name: COMPUTED[name] for name in self.computed},
            "not_known": self.unknown,
            "rows": self.rows(),
        }

    def to_text(self, *, most: int = SHOWN_ROWS) -> str:
        """Return the choice as text of at most 80 columns, unless it computes four columns or more.

        Args:
            most: Rows that are listed.
        """
        rows = self.rows()
        lines = [_wrapped(f"{len(rows)} of {len(self.index)} rows fit: {self.where}")]
        lines += [_wrapped(f"{name} is computed: {COMPUTED[name]}") for name in self.computed]
        if self.unknown:
            lines.append(
                _wrapped(
                    f"{self.unknown} rows are left out, since {_either(self.computed)} is not known of them"
                )
            )
        if not rows:
            return "\n".join(lines)
        room = max(_LEAST_ID, COLUMNS - 37 - 10 * len(self.computed))
        ids = min(room, max(len(row["sample_id"]) for row in rows[:most]))
        numbers = "".join(f"{name:>10}" for name in self.computed)
        lines += ["", f"{'number':>7}  {'id':{ids}}  {'split':8}{'frame':>6}{'top':>6}{'left':>6}{numbers}"]
        for row in rows[:most]:
            values = "".join(f"{_cell(row[name]):>10}" for name in self.computed)
            lines.append(
                f"{row['number']:>7}  {elided(row['sample_id'], ids):{ids}}  {elided(row['split'], 7):8}{row['frame_indices'][0]:>6}"
                f"{row['top']:>6}{row['left']:>6}{values}"
            )
        if len(rows) > most:
            lines.append(f"and {len(rows) - most} more (--json shows all)")
        return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(names)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def choose_rows(
    path: SetPlace, where: str = "", *, split: str | None = None, progress: Progress | None = None
) -> Choice:
    """Return the rows of a set that fit a condition; pixels are read only where it asks for them.

    Args:
        path: Where the set lies.
        where: As ``shards.where`` reads it, on columns of ``index.parquet`` and on those of ``COMPUTED``; empty for all.
        split: Only rows of this split.
        progress: Where the work reports itself.

    Raises:
        ShardError: The folder is not a set, has no such split, or a shard is damaged.
        SelectionError: The condition cannot be read, or asks for a column that there is not.
    """
    info, index = read_set(folder_of(path)), read_index(path)
    mask = np.ones(len(index), np.bool_)
    computed: tuple[str, ...] = ()
    measures, unknown = None, 0
    if where:
        condition = parse_where(where)
        condition.check_columns([*index.column_names, *COMPUTED])
        computed = tuple(name for name in condition.columns if name in COMPUTED)
        table = index
        if computed:
            measures = measure_set(path, progress=progress)
            more = measures.table()
            for name in computed:
                table = table.append_column(name, more.column(name))
            missing = np.zeros(len(index), np.bool_)
            for name in computed:
                missing |= np.array(more.column(name).is_null().to_pylist(), np.bool_)
        mask = condition.mask(table)
        if computed:
            unknown = int((missing & ~mask).sum())
    if split is not None:
        if split not in info.splits:
            raise ShardError(f"{path} has no split {split!r}; it has {', '.join(info.splits)}.")
        mask &= np.array(index.column("split").to_pylist()) == split
    return Choice(path, where, index, mask, computed, measures, unknown)
