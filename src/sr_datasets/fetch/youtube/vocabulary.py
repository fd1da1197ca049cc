"""The 3862 labels of YouTube-8M by number, name and knowledge-graph id."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from sr_datasets.errors import FetchError, SelectionError, nearest_names

_COLUMNS = ("Index", "TrainVideoCount", "KnowledgeGraphId", "Name")
_MAX_BYTES = 1 << 25


@dataclass(frozen=True, slots=True)
class Label:
    """One class of the vocabulary."""

    index: int
    """Its number in the records."""
    name: str
    """Its name, such as ``Video game``; empty for the few that the publisher left without."""
    knowledge_graph_id: str
    """Such as ``/m/01mw1``."""
    num_train_videos: int
    """Videos of the training part that have it, as the publisher counted."""


def read_vocabulary(path: Path) -> list[Label]:
    """Read ``vocabulary.csv``; descriptions in it may hold commas, quotes and line ends.

    Raises:
        FetchError: It lacks a column, or a row cannot be read; the message has the line.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise FetchError(f"{path}: has {path.stat().st_size} bytes, expected a vocabulary of a few megabytes")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchError(f"{path}: byte {error.start} is not UTF-8: it is no vocabulary") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    labels = []
    try:
        if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
            raise FetchError(
                f"{path}: has no column {' or '.join(missing)}: it is no vocabulary of YouTube-8M"
            )
        for row in rows:
            labels.append(
                Label(int(row["Index"]), row["Name"] or "", row["KnowledgeGraphId"] or "", int(row["TrainVideoCount"]))
            )  # fmt: skip
    except (ValueError, TypeError, csv.Error) as error:
        raise FetchError(
            f"{path}:{rows.line_num}: cannot be read as a row of the vocabulary: {error}"
        ) from error
    return labels


def find_label(labels: list[Label], wanted: str) -> Label:
    """Return a label by its name (upper and lower case alike), number or knowledge-graph id.

    Raises:
        SelectionError: There is none, or several have the name; the message has the nearest names.
    """
    text = wanted.strip().casefold()
    found = [
        label
        for label in labels
        if text and text in (label.name.casefold(), str(label.index), label.knowledge_graph_id.casefold())
    ]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{label.index} ({label.knowledge_graph_id})" for label in found)
        raise SelectionError(
            f"several labels of YouTube-8M are '{wanted}': name one by its number: {several}"
        )
    near = nearest_names(wanted.strip(), [label.name for label in labels if label.name])
    raise SelectionError(
        f"YouTube-8M has no label '{wanted}'.{near} Its vocabulary has {len(labels)} labels."
    )
