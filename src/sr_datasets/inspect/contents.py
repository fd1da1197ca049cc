"""What the rows of a set are, counted: by split and source, by shape, by colour; without a look at any pixel."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import pyarrow as pa

from sr_datasets.shards.schema import FRAME_COLUMNS, SHAPE_COLUMNS, shape_of_columns

TAGS: Final = ("matrix", "range", "transfer", "siting")
_CLIP: Final = ("split", "source", "clip")
_TAG_COLUMNS: Final = tuple(name for tag in TAGS for name in (tag, f"{tag}_from"))


class Part(NamedTuple):
    """The rows of one source in one split."""

    split: str
    """The split."""
    source: str
    """The source."""
    clips: int
    """Clips that gave rows."""
    rows: int
    """Rows."""
    pixel_bytes: int
    """Bytes of their samples before any compression."""


@dataclass(frozen=True, slots=True)
class SetContents:
    """What the rows of a set are."""

    parts: tuple[Part, ...]
    """Rows of each source in each split, splits and sources by name."""
    shapes: list[dict[str, Any]]
    """Shapes and depth of ``lr`` and ``hr``, with the number of rows that have them."""
    frames: tuple[tuple[int, int], ...]
    """Rows and columns of HR frames, each size once, from the smallest; (0, 0) where rows do not say it."""
    colours: dict[str, dict[tuple[str, str], int]]
    """For each of ``TAGS``: its values and how they are known, with the number of clips."""
    clips: tuple[tuple[str, str], ...]
    """Source and clip id of every clip."""

    def clips_by(self, what: Literal["split", "source"]) -> dict[str, int]:
        """Return the clips of each split or source."""
        return _summed((getattr(part, what), part.clips) for part in self.parts)

    def rows_by(self, what: Literal["split", "source"]) -> dict[str, int]:
        """Return the rows of each split or source."""
        return _summed((getattr(part, what), part.rows) for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "parts": [part._asdict() for part in self.parts],
            "shapes": self.shapes,
            "frames": [{"height": height, "width": width} for height, width in self.frames if height],
            "colours": {
                tag: [
                    {"value": value, "known": known, "clips": clips}
                    for (value, known), clips in found.items()
                ]
                for tag, found in self.colours.items()
            },
        }


def _summed(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in items:
        found[name] = found.get(name, 0) + count
    return dict(sorted(found.items()))


def count_rows(index: pa.Table) -> SetContents:
    """Count the rows of a set.

    Args:
        index: Every row (``read_index``).
    """
    names = [*_CLIP, *SHAPE_COLUMNS, *FRAME_COLUMNS, *_TAG_COLUMNS]
    kinds = index.select(names).group_by(names, use_threads=False).aggregate([([], "count_all")]).to_pylist()
    parts: dict[tuple[str, str], tuple[set[str], int, int]] = {}
    shapes: dict[tuple[int, ...], int] = {}
    colours: dict[str, dict[tuple[str, str], set[tuple[str, str]]]] = {tag: {} for tag in TAGS}
    for kind in kinds:
        rows, clip = kind["count_all"], (kind["source"], kind["clip"])
        columns = tuple(kind[name] for name in SHAPE_COLUMNS)
        shape = shape_of_columns(*columns)
        clips, before, size = parts.get((kind["split"], kind["source"]), (set(), 0, 0))
        clips.add(kind["clip"])
        size += rows * (shape.lr_bytes + shape.hr_bytes)
        parts[kind["split"], kind["source"]] = clips, before + rows, size
        shapes[columns] = shapes.get(columns, 0) + rows
        for tag in TAGS:
            colours[tag].setdefault((kind[tag], kind[f"{tag}_from"]), set()).add(clip)
    return SetContents(
        parts=tuple(Part(*key, len(clips), rows, size) for key, (clips, rows, size) in sorted(parts.items())),
        shapes=[_shape(columns, rows) for columns, rows in sorted(shapes.items())],
        frames=tuple(sorted({tuple(kind[name] for name in FRAME_COLUMNS) for kind in kinds}, key=_area)),
        colours={
            tag: {key: len(clips) for key, clips in sorted(found.items())} for tag, found in colours.items()
        },
        clips=tuple(sorted({(kind["source"], kind["clip"]) for kind in kinds})),
    )


def _area(frame: tuple[int, ...]) -> tuple[int, ...]:
    return frame[0] * frame[1], *frame


def _shape(columns: tuple[int, ...], rows: int) -> dict[str, Any]:
    shape = shape_of_columns(*columns)
    return {
        "lr": list(shape.lr),
        "hr": list(shape.hr),
        "dtype": "uint16" if shape.bit_depth > 8 else "uint8",
        "bit_depth": shape.bit_depth,
        "rows": rows,
    }
