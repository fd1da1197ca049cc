"""Where the pixels of a set come from: publishers, files, licences, and whether they may be passed on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from sr_datasets import catalog
from sr_datasets.errors import SrDataError
from sr_datasets.manifest import Clip, License, Source
from sr_datasets.shards.setplace import SetPlace, folder_of
from sr_datasets.shards.sets import SetInfo, read_set

LOCAL_MARK: Final = "local: not for publication"
"""What stands on every picture and page that shows pixels of clips without a grant."""

_UNKNOWN = License(name="not known: its source is not in the catalog")


@dataclass(frozen=True, slots=True)
class ClipOrigin:
    """One clip of a set, and what is known of it now."""

    source: str
    """Source id."""
    clip: str
    """Clip id."""
    split: str
    """Split that it was dealt to."""
    sha256: str
    """Digest of its bytes, as they were when the set was built."""
    origin: str
    """Where its bytes came from: a URL, ``imported`` or ``generated``; empty when not known."""
    rows: int
    """Rows that it gave."""
    license: License
    """As the catalog has it now."""
    facts: Clip | None
    """The catalog's entry of the clip; None when it has none."""
    lr_of: str = ""
    """Of a publisher's LR: ``source/clip`` of the HR that it belongs to."""

    @property
    def name(self) -> str:
        """``source/clip``."""
        return f"{self.source}/{self.clip}"

    @property
    def granted(self) -> bool:
        """Whether patches of it may be passed on, in the publisher's own words."""
        return self.license.redistribute_derived == "yes"


def origins(info: SetInfo, index: pa.Table) -> list[ClipOrigin]:
    """Return every clip that a set is made of, in order of selection, the publisher's LR behind its HR.

    Args:
        info: The set.
        index: Its rows: at least the columns ``source`` and ``clip``.
    """
    rows = _count(index)
    found = []
    for entry in info.inputs:
        found.append(_origin(entry.source, entry.clip, entry.split, entry.sha256, entry.origin, rows))
        if entry.lr is not None:
            name = f"{entry.source}/{entry.clip}"
            found.append(_origin(entry.lr.source, entry.lr.clip, entry.split, entry.lr.sha256, "", {}, name))
    told = {(one.source, one.clip) for one in found}
    # Rows of clips that the description does not name: made by other tools, or by hand.
    found += [_origin(*name, "", "", "", rows) for name in rows if name not in told]
    return found


def _count(index: pa.Table) -> dict[tuple[str, str], int]:
    pairs = zip(index.column("source").to_pylist(), index.column("clip").to_pylist(), strict=True)
    counts: dict[tuple[str, str], int] = {}
    for pair in pairs:
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def _origin(
    source_id: str,
    clip_id: str,
    split: str,
    sha256: str,
    origin: str,
    rows: dict[tuple[str, str], int],
    lr_of: str = "",
) -> ClipOrigin:
    source = publisher(source_id)
    clip = next((clip for clip in source.clips if clip.id == clip_id), None) if source is not None else None
    license_ = _UNKNOWN
    if source is not None:
        license_ = source.licenses[source.license] if clip is None else catalog.license_of(source, clip)
    return ClipOrigin(
        source_id,
        clip_id,
        split,
        sha256,
        origin,
        rows.get((source_id, clip_id), 0),
        license_,
        clip,
        lr_of,
    )


def publisher(source_id: str) -> Source | None:
    """Return a source of the catalog; None when it has none of this id."""
    try:
        return catalog.find_source(source_id)
    except SrDataError:
        return None


def without_grant(clips: Iterable[ClipOrigin]) -> list[str]:
    """Return the sources whose patches nobody may pass on, or whose licence does not say so."""
    return sorted({one.source for one in clips if not one.granted})


def frame_sizes(info: SetInfo, index: pa.Table) -> dict[tuple[str, str], tuple[int, int, bool]]:
    """Return height and width of each clip's LR frame, and whether they are known.

    The rows say it; those of early sets do not. Of those the catalog may know the clip's size; where it does not (or
    patches lie outside it), the frame is taken to end where its patches do.
    """
    hr: dict[str, Any] = info.recipe.get("hr") or {}
    shrink = int(hr.get("downscale", 1)) * int(info.recipe.get("scale", 1))
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
        "frame_height",
        "frame_width",
    )
    said: dict[tuple[str, str], tuple[int, int]] = {}
    ends: dict[tuple[str, str], tuple[int, int]] = {}
    for source, clip, top, left, height, width, high, wide, scale, color, rows, columns in zip(
        *(index.column(name).to_pylist() for name in names), strict=True
    ):
        if rows and columns:
            said[source, clip] = rows // scale, columns // scale
        height, width = height or high // scale, width or wide // scale
        if color == "yuv420":
            height = height * 2 // 3
        last = ends.get((source, clip), (0, 0))
        ends[source, clip] = max(last[0], top + height), max(last[1], left + width)
    entries = {
        (source_id, one.id): one
        for source_id in {source_id for source_id, _ in ends}
        if (source := publisher(source_id)) is not None
        for one in source.clips
    }
    sizes = {}
    for name, (bottom, right) in ends.items():
        if name in said:
            sizes[name] = (*said[name], True)
            continue
        facts = entries.get(name)
        if facts is not None and facts.height is not None and facts.width is not None:
            frame = facts.height // shrink, facts.width // shrink
            if frame[0] >= bottom and frame[1] >= right:
                sizes[name] = (*frame, True)
                continue
        sizes[name] = (bottom, right, False)
    return sizes


def closed_sources(info: SetInfo, shown: pa.Table) -> list[str]:
    """Return the sources of rows whose pictures nobody may pass on, or whose licence does not say so.

    Args:
        info: The set.
        shown: The rows that are shown: at least the columns ``source`` and ``clip``.
    """
    names = set(_count(shown))
    inputs = tuple(one for one in info.inputs if (one.source, one.clip) in names)
    return without_grant(origins(info.model_copy(update={"inputs": inputs}), shown))


def local_mark(closed: Sequence[str]) -> str:
    """Return what must stand on pictures of rows: nothing where every source has a grant.

    Example:
        >>> local_mark(["t91"])
        'local: not for publication (no grant: t91)'
    """
    return f"{LOCAL_MARK} (no grant: {', '.join(closed)})" if closed else ""


def mark_of_row(path: SetPlace, facts: Mapping[str, Any]) -> str:
    """Return what must stand on a picture of a row (``local_mark``).

    Args:
        path: Where the set lies.
        facts: The row without its pixels.
    """
    row = pa.table({name: [facts[name]] for name in ("source", "clip")})
    return local_mark(closed_sources(read_set(folder_of(path)), row))
