"""The tables of YouTube-BoundingBoxes, and the pieces of video that they name.

A row is one second of one object: youtube_id, timestamp_ms, class_id, class_name, then (detection only) object_id,
object_presence, xmin, xmax, ymin, ymax. The published files have no header line; one that somebody added is passed over.
A segment is a (youtube_id, class_id, object_id), since one video can hold several; where more than 3 s lie between two
rows of it, a new chunk begins.
"""

import gzip
import io
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from sr_datasets.errors import FetchError, SelectionError, nearest_names
from sr_datasets.fetch.youtube.names import YOUTUBE_ID

Presence = Literal["present", "absent", "uncertain"]
GAP_MS = 3000
"""Two rows further apart than this belong to two chunks."""
# 24 hours; YouTube takes no longer videos.
_MAX_MS = 24 * 3600 * 1000
_NUMBER = re.compile(r"[0-9]{1,9}")
_MAX_LINE_CHARACTERS = 4096

CLASSES = {
    0: "person", 1: "bird", 2: "bicycle", 3: "boat", 4: "bus", 5: "bear", 6: "cow", 7: "cat", 8: "giraffe",
    9: "potted plant", 10: "horse", 11: "motorcycle", 12: "knife", 13: "airplane", 14: "skateboard", 15: "train",
    16: "truck", 17: "zebra", 18: "toilet", 19: "dog", 20: "elephant", 21: "umbrella", 22: "none", 23: "car",
}  # fmt: skip
"""The 23 classes, and ``none``."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One row."""

    youtube_id: str
    """YouTube's id of 11 characters."""
    timestamp_ms: int
    """Time in the video."""
    class_id: int
    """A key of ``CLASSES``."""
    class_name: str
    """Its name."""
    object_id: int
    """Number of the object in its segment; 0 in classification tables, which have none."""
    presence: Presence
    """Whether the object is seen at that time."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One chunk of a (youtube_id, class_id, object_id)."""

    youtube_id: str
    """YouTube's id of 11 characters."""
    class_id: int
    """A key of ``CLASSES``."""
    class_name: str
    """Its name."""
    object_id: int
    """Number of the object."""
    start_ms: int
    """Time of its first row."""
    end_ms: int
    """Time of its last row."""
    num_present: int
    """Rows in which the object is seen."""

    @property
    def key(self) -> str:
        """A text that no other segment has, for keyed orders."""
        return f"{self.youtube_id}/{self.class_id}/{self.object_id}/{self.start_ms}"


def iter_annotations(path: Path) -> Iterator[Annotation]:
    """Yield the rows of a table as published (``.csv.gz``) or unpacked (``.csv``), detection or classification.

    Raises:
        FetchError: A row cannot be read, or the file is cut; the message has the line.
    """
    try:
        with _opened(path) as file:
            yield from _rows(file, path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise FetchError(
            f"{path}: cannot be read to its end: {error}. Delete it, and it is fetched again."
        ) from error


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _rows(file: IO[str], path: Path) -> Iterator[Annotation]:
    number = 0
    # No field of the tables is quoted, so a line is a row; a bounded one, or a bomb could fill the memory.
    while line := file.readline(_MAX_LINE_CHARACTERS):
        number += 1
        fields = line.rstrip("\r\n").split(",")
        if fields == [""] or (number == 1 and fields[0].strip().lower() in ("youtube_id", "youtube-id")):
            continue
        try:
            yield _annotation(fields)
        except ValueError as error:
            raise FetchError(f"{path}:{number}: {error}: it is no table of YouTube-BoundingBoxes") from error


def _annotation(fields: list[str]) -> Annotation:
    if len(fields) not in (5, 10):
        raise ValueError(f"found {len(fields)} columns, expected 10 (detection) or 5 (classification)")
    youtube_id, timestamp, class_id, class_name = fields[:4]
    object_id, presence = (fields[4], fields[5]) if len(fields) == 10 else ("0", fields[4])
    if not YOUTUBE_ID.fullmatch(youtube_id):
        raise ValueError(f"found the video id {youtube_id[:40]!r}, expected 11 characters")
    for what, text in (("timestamp_ms", timestamp), ("class_id", class_id), ("object_id", object_id)):
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"found the {what} {text[:40]!r}, expected a whole number")
    if int(timestamp) > _MAX_MS or int(class_id) not in CLASSES:
        raise ValueError(f"found second {int(timestamp) // 1000} of class {class_id}, which cannot be")
    if CLASSES[int(class_id)] != class_name:
        raise ValueError(
            f"found class {class_id} called {class_name[:40]!r}, expected {CLASSES[int(class_id)]!r}"
        )
    if presence not in ("present", "absent", "uncertain"):
        raise ValueError(f"found the presence {presence[:40]!r}, expected present, absent or uncertain")
    known: dict[str, Presence] = {"present": "present", "absent": "absent", "uncertain": "uncertain"}
    return Annotation(
        youtube_id, int(timestamp), int(class_id), CLASSES[int(class_id)], int(object_id), known[presence]
    )


def find_class(name: str) -> int:
    """Return the number of a class by its name or number.

    Raises:
        SelectionError: There is none; the message has the nearest names.
    """
    text = name.strip().casefold()
    for number, known in CLASSES.items():
        if text in (known, str(number)):
            return number
    raise SelectionError(
        f"YouTube-BoundingBoxes has no class '{name}'.{nearest_names(text, CLASSES.values())} "
        f"Its classes: {', '.join(CLASSES.values())}."
    )


def segments_of(
    annotations: Iterable[Annotation], *, class_id: int | None = None, gap_ms: int = GAP_MS
) -> list[Segment]:
    """Put rows together to segments, cut where a gap is too long; sorted by video, class, object and time.

    Args:
        annotations: Rows in any order.
        class_id: Only of this class; of all when None.
        gap_ms: Longest time between two rows of one chunk.
    """
    # 5.6 million rows: eight bytes for each, the sign says whether the object is seen.
    times: dict[tuple[str, int, int], array[int]] = {}
    for row in annotations:
        if class_id is None or row.class_id == class_id:
            known = times.setdefault((row.youtube_id, row.class_id, row.object_id), array("q"))
            known.append(row.timestamp_ms * 2 + (row.presence == "present"))
    segments = []
    for (youtube_id, number, object_id), packed in sorted(times.items()):
        ordered = sorted(packed)
        first = 0
        for place in range(1, len(ordered) + 1):
            if place < len(ordered) and ordered[place] // 2 - ordered[place - 1] // 2 <= gap_ms:
                continue
            chunk = ordered[first:place]
            segments.append(
                Segment(
                    youtube_id, number, CLASSES[number], object_id, chunk[0] // 2, chunk[-1] // 2,
                    len({value for value in chunk if value % 2}),
                )
            )  # fmt: skip
            first = place
    return segments
