"""Finds patches whose picture also stands in another split of the set, or in a public test set.

Rows and pictures become interest points with binary descriptors (``points``); patches are looked for in pictures by
hashing, and found where one scale and one place explain many points (``matching``). What public test sets look like
comes with the package as hashes (``references``); docs/audit.md has the rates.
"""

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sr_datasets.audit.fingerprints import Picture
from sr_datasets.audit.looking import DOUBTFUL_SCORE, LEAST_AGREEMENT, agreement
from sr_datasets.audit.matching import (
    Gallery,
    Match,
    build_gallery,
    find_matches,
    least_score,
    load_gallery,
    save_gallery,
)
from sr_datasets.audit.points import Points, join_points
from sr_datasets.audit.references import (
    Reference,
    find_references,
    fingerprint_paths,
    load_shipped,
    shipped_sets,
)
from sr_datasets.audit.report import AuditReport, Finding, count_splits
from sr_datasets.audit.rows import (
    RowName,
    RowPoints,
    RowsTask,
    fingerprint_rows,
    join_rows,
    read_luma,
    read_names,
    row_tasks,
)
from sr_datasets.engine import run_tasks
from sr_datasets.errors import ShardError
from sr_datasets.progress import Progress, Silent
from sr_datasets.shards.sets import INDEX_NAME
from sr_datasets.shards.verify import require_whole
from sr_datasets.store import Store

__all__ = ["AuditReport", "Finding", "audit_set", "fingerprint_paths", "shipped_sets"]

_TEST_SPLIT = "test"
_MATCH_ROWS = 512
_KEPT_PIECES = 16
_POINTS = ("picture", "x", "y", "sigma", "bits")


def audit_set(
    path: Path,
    *,
    against: Sequence[str] | None = None,
    store: Store | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> AuditReport:
    """Look for the picture of every row in the other splits and in test sets.

    The set is verified first, every byte of it. Rows of one split are not held against each other. Nor are rows of the split ``test`` that come from a test set held
    against that set: to measure on it is what it is for.

    Args:
        path: Folder of a set.
        against: Source ids or folders; None for every test set that comes with the package.
        store: The data folder; None for the user's.
        workers: Processes. They change no result.
        progress: Where the work reports itself.

    Raises:
        ShardError: The folder is not a set, or is not what its ``sr-data.json`` says; the message names what is wrong.
        SelectionError: ``against`` names what is not here.
    """
    progress = progress or Silent()
    info = require_whole(path)
    names = read_names(path)
    references = (
        [load_shipped(name) for name in shipped_sets()]
        if against is None
        else find_references(against, store or Store(), workers=workers, progress=progress)
    )
    tasks = list(row_tasks(path, info))
    parts: dict[tuple[Path, int], RowPoints] = {}
    with progress.bar("fingerprinting rows", total=len(names), unit="rows") as bar:
        for task, part in run_tasks(fingerprint_rows, tasks, workers=workers):
            parts[task.path, task.first] = part
            bar.advance(task.count)
    rows = join_rows([parts[task.path, task.first] for task in tasks])
    if len(rows.widths) != len(names):
        raise ShardError(
            f"{path / INDEX_NAME} has {len(names)} rows, the shards have {len(rows.widths)}: one of them is of another "
            "build. Build the set again, or copy both again."
        )
    flat = [name for name, tells in zip(names, rows.tells, strict=True) if not tells]
    counts = count_splits(names)
    found = [
        *_same_samples(names, rows),
        *_matches(names, rows, references, _Patches(tasks), workers, progress),
    ]
    return AuditReport(
        path=path,
        rows=counts,
        flat={split: count_splits(flat).get(split, 0) for split in counts},
        references=tuple((one.name, len(one.pictures), one.about) for one in references),
        findings=tuple(_best(found)),
    )


def _same_samples(names: Sequence[RowName], rows: RowPoints) -> Iterator[Finding]:
    """Yield rows that have the same HR samples as a row of another split."""
    seen: dict[bytes, dict[str, int]] = {}
    for number, digest in enumerate(rows.digests):
        if digest:
            seen.setdefault(digest, {}).setdefault(names[number].split, number)
    ranks = _ranks(names)
    for number, digest in enumerate(rows.digests):
        for split, other in seen.get(digest, {}).items():
            if ranks[split] < ranks[names[number].split]:
                points = int(np.count_nonzero(rows.points.picture == number))
                samples = float(rows.widths[number] * rows.heights[number])
                yield Finding(
                    row=names[number],
                    other=names[other],
                    picture=names[other].sample_id,
                    frame=None,
                    scale=1.0,
                    x=0.0,
                    y=0.0,
                    mirrored=False,
                    score=samples,  # a bit each would be little
                    matched=points,
                    expected=points,
                    same_samples=True,
                )


def _ranks(names: Sequence[RowName]) -> dict[str, int]:
    """Return the rank of each split: rows are looked for among those of lower ranks, the smaller splits."""
    counts = count_splits(names)
    return {
        split: rank for rank, split in enumerate(sorted(counts, key=lambda split: (counts[split], split)))
    }


def _matches(
    names: Sequence[RowName],
    rows: RowPoints,
    references: Sequence[Reference],
    patches: "_Patches",
    workers: int,
    progress: Progress,
) -> Iterator[Finding]:
    ranks = _ranks(names)
    row_ranks = np.array([ranks[name.split] for name in names])
    # Rows of all splits but the largest lie in the gallery, behind the pictures of the test sets.
    pictures = [picture for reference in references for picture in reference.pictures]
    believed = least_score(len(names) * len(pictures))
    inside = np.flatnonzero(row_ranks < row_ranks.max(initial=0))
    gallery = _gallery(pictures, rows, inside, row_ranks)
    with tempfile.TemporaryDirectory(prefix="sr-data-audit-") as name:
        folder = Path(name)
        save_gallery(gallery, folder)
        (folder / "rows").mkdir()
        for array in _POINTS:
            np.save(folder / "rows" / f"{array}.npy", getattr(rows.points, array))
        np.save(folder / "rows" / "widths.npy", rows.widths)
        np.save(folder / "rows" / "ranks.npy", row_ranks)
        tasks = [
            _MatchTask(folder, start, min(start + _MATCH_ROWS, len(names)))
            for start in range(0, len(names), _MATCH_ROWS)
        ]
        found: dict[int, list[Match]] = {}
        with progress.bar("matching", total=len(names), unit="rows") as bar:
            for task, matches in run_tasks(_match, tasks, workers=workers):
                found[task.start] = matches
                bar.advance(task.stop - task.start)
        _opened.cache_clear()
    for task in tasks:
        for match in found[task.start]:
            row = names[match.patch]
            if match.picture >= len(pictures):
                number = int(inside[match.picture - len(pictures)])
                if match.score >= DOUBTFUL_SCORE or patches.agree(match, number):
                    yield _finding(match, row, names[number], names[number].sample_id, None)
                continue
            picture = pictures[match.picture]
            if match.score < believed:
                continue
            if row.split != _TEST_SPLIT or row.source != picture.name.split("/")[0]:
                yield _finding(match, row, None, picture.name, picture.frame)


class _Patches:
    """The HR luma of rows by number, the pieces that were read last kept."""

    def __init__(self, tasks: Sequence[RowsTask]) -> None:
        self._tasks = tasks
        self._starts = np.cumsum([0, *(task.count for task in tasks)]).tolist()
        self._piece = lru_cache(maxsize=_KEPT_PIECES)(lambda piece: read_luma(tasks[piece]))

    def agree(self, match: Match, other: int) -> bool:
        """Tell whether a row and the row that it was found in have like samples where they overlap."""
        return agreement(self._luma(match.patch), self._luma(other), match) >= LEAST_AGREEMENT

    def _luma(self, row: int) -> npt.NDArray[np.float32]:
        piece = bisect_right(self._starts, row) - 1
        luma: npt.NDArray[np.float32] = self._piece(piece)[row - self._starts[piece]]
        return luma


def _finding(match: Match, row: RowName, other: RowName | None, picture: str, frame: int | None) -> Finding:
    return Finding(
        row=row,
        other=other,
        picture=picture,
        frame=frame,
        scale=match.scale,
        x=match.x,
        y=match.y,
        mirrored=match.mirrored,
        score=match.score,
        matched=match.matched,
        expected=match.expected,
        same_samples=False,
    )


def _gallery(
    pictures: Sequence[Picture],
    rows: RowPoints,
    inside: npt.NDArray[np.intp],
    row_ranks: npt.NDArray[np.int64],
) -> Gallery:
    parts = [
        replace(picture.points, picture=np.full(len(picture.points), number, np.int32))
        for number, picture in enumerate(pictures)
    ]
    place = np.full(len(rows.widths), -1, np.int32)
    place[inside] = np.arange(len(inside), dtype=np.int32) + len(pictures)
    own = rows.points.take(place[rows.points.picture] >= 0)
    parts.append(replace(own, picture=place[own.picture]))
    return build_gallery(
        join_points(parts),
        widths=np.array([*(one.width for one in pictures), *rows.widths[inside]], np.int64),
        heights=np.array([*(one.height for one in pictures), *rows.heights[inside]], np.int64),
        ranks=np.array([*(-1 for _ in pictures), *row_ranks[inside]], np.int64),
    )


@dataclass(frozen=True, slots=True)
class _MatchTask:
    folder: Path
    start: int
    stop: int


@lru_cache(maxsize=1)
def _opened(folder: Path) -> tuple[Gallery, Points, dict[str, npt.NDArray[np.int64]]]:
    inner = folder / "rows"
    points = Points(*(np.load(inner / f"{name}.npy", mmap_mode="r") for name in _POINTS))
    return (
        load_gallery(folder),
        points,
        {name: np.load(inner / f"{name}.npy") for name in ("widths", "ranks")},
    )


def _match(task: _MatchTask) -> list[Match]:
    gallery, points, facts = _opened(task.folder)
    first, last = np.searchsorted(points.picture, [task.start, task.stop])
    own = points.take(slice(first, last))
    own = replace(own, picture=own.picture - np.int32(task.start))
    part = slice(task.start, task.stop)
    found = find_matches(own, gallery, widths=facts["widths"][part], ranks=facts["ranks"][part])
    return [replace(match, patch=match.patch + task.start) for match in found]


def _best(findings: Sequence[Finding]) -> list[Finding]:
    """Return the strongest finding of each row in each clip, pairs of clips in order, strongest first."""
    best: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        key = (finding.row.sample_id, *finding.place)
        if key not in best or best[key].score < finding.score:
            best[key] = finding
    return sorted(
        best.values(),
        key=lambda one: (
            (one.row.source, one.row.clip, one.row.split, one.place),
            -one.score,
            one.row.sample_id,
        ),
    )
