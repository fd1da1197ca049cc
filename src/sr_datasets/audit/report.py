"""What an audit found, as text and as JSON."""

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_datasets.audit.rows import RowName


@dataclass(frozen=True, slots=True)
class Finding:
    """A row whose picture stands elsewhere too."""

    row: RowName
    """The row."""
    other: RowName | None
    """The row of another split that has the same picture; None for a picture of a test set."""
    picture: str
    """What has it: the other row's id, or the picture's name, such as ``vid4/calendar``."""
    frame: int | None
    """Frame of that clip, from 0; None of pictures and rows."""
    scale: float
    """Samples there for one sample of the row's HR patch, on each axis."""
    x: float
    """Column there where the patch begins; where its last column lies, when it is mirrored."""
    y: float
    """Row there where the patch begins."""
    mirrored: bool
    """Whether left and right are exchanged there."""
    score: float
    """How unlikely that is by chance, in bits."""
    matched: int
    """Interest points of the patch that were found there."""
    expected: int
    """Interest points of the patch that should be there."""
    same_samples: bool
    """Whether the HR samples of both rows are the same."""

    @property
    def place(self) -> tuple[str, str]:
        """The clip that has the picture, and its split (empty for a test set)."""
        if self.other is None:
            return self.picture, ""
        return f"{self.other.source}/{self.other.clip}", self.other.split

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return {
            "row": self.row.sample_id,
            "split": self.row.split,
            "found_in": self.picture,
            "found_in_split": self.other.split if self.other else None,
            "frame": self.frame,
            "scale": round(self.scale, 4),
            "x": round(self.x, 2),
            "y": round(self.y, 2),
            "mirrored": self.mirrored,
            "score": round(self.score, 1),
            "matched": self.matched,
            "expected": self.expected,
            "same_samples": self.same_samples,
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found."""

    path: Path
    """The set's folder."""
    rows: dict[str, int]
    """Rows of each split."""
    flat: dict[str, int]
    """Rows of each split that are too flat to tell."""
    references: tuple[tuple[str, int, str], ...]
    """Name, number of pictures or frames, and origin of what the rows were held against."""
    findings: tuple[Finding, ...]
    """What was found, strongest first of each pair of clips."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "path": str(self.path),
            "rows": self.rows,
            "too_flat": self.flat,
            "against": [
                {"name": name, "pictures": count, "about": about} for name, count, about in self.references
            ],
            "found": [finding.to_json() for finding in self.findings],
        }

    def to_text(self, *, most: int | None = 3) -> str:
        """Return the report as text of at most 80 columns where names allow it.

        Args:
            most: Rows that are shown of each pair of clips; None for all.
        """
        total, flat = sum(self.rows.values()), sum(self.flat.values())
        splits = ", ".join(f"{split} {rows}" for split, rows in self.rows.items())
        against = [f"{name} ({_pictures(count)}; {about})" for name, count, about in self.references]
        if len(self.rows) > 1:
            against.insert(0, "the other splits")
        lines = [
            _wrapped("rows", f"{total} ({splits})"),
            _wrapped("held against", ", ".join(against) or "nothing"),
            _wrapped("too flat to tell", f"{flat} rows ({flat / max(total, 1):.1%})"),
        ]
        if not self.findings:
            return "\n".join([*lines, _wrapped("found", "nothing")])
        rows = len({finding.row.sample_id for finding in self.findings})
        lines.append(_wrapped("found", f"{_rows(rows)} whose picture stands elsewhere too"))
        for pair in _pairs(self.findings):
            first = pair[0]
            where, split = first.place
            lines += [
                "",
                textwrap.fill(
                    f"{first.row.source}/{first.row.clip} ({first.row.split}) in {where}"
                    f"{f' ({split})' if split else ''}: {_rows(len({one.row.sample_id for one in pair}))}",
                    80,
                    subsequent_indent="  ",
                    break_long_words=False,
                    break_on_hyphens=False,
                ),
            ]
            lines += [_line(finding) for finding in pair[:most]]
            if most is not None and len(pair) > most:
                lines.append(f"  and {len(pair) - most} more (--rows 0 or --json shows all)")
        return "\n".join(lines)


def _pairs(findings: Iterable[Finding]) -> list[list[Finding]]:
    pairs: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.row.source, finding.row.clip, finding.row.split, *finding.place)
        pairs.setdefault(key, []).append(finding)
    return list(pairs.values())


def _line(finding: Finding) -> str:
    there = finding.picture if finding.other is not None else ""
    if finding.frame is not None:
        there = f"frame {finding.frame}"
    how = f"{finding.scale:.2f} at {finding.x:.1f}, {finding.y:.1f}"
    if finding.mirrored:
        how += ", mirrored"
    strength = "same samples" if finding.same_samples else f"score {finding.score:.0f}"
    return "  " + "  ".join(part for part in (finding.row.sample_id, there, f"scale {how}", strength) if part)


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(
        f"{label:18}{text}", 80, subsequent_indent=" " * 18, break_long_words=False, break_on_hyphens=False
    )


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"


def count_splits(names: Iterable[RowName]) -> dict[str, int]:
    """Return how many rows each split has, splits by name."""
    return dict(sorted(Counter(name.split for name in names).items()))
