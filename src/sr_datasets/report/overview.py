"""The catalog as one page that works offline: charts, filters, a table of clips, citations to copy.

The page is one HTML file. Its style, its program and its data stand inside; a content security policy that
names their hashes forbids every request and every other program. What manifests say is foreign text: Jinja2
escapes it in the markup, the program writes it as text only, and the JSON cannot end its own element. The
same catalog gives the same bytes: nothing of the day, the machine or the store stands in it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from sr_datasets import __version__
from sr_datasets.catalog import license_of, remote_of
from sr_datasets.facts import OBLIGATIONS, facts_of
from sr_datasets.files import atomic_path, human_bytes
from sr_datasets.manifest import Clip, License, Source
from sr_datasets.report.outputs import require_output
from sr_datasets.report.pages import compact, csp_hash, embedded, page_environment, part_of_page
from sr_datasets.rules import fitting

QUESTIONS = dict(
    zip(
        OBLIGATIONS,
        ("Pass on the files", "Pass on patches", "Commercial use", "Must name author", "Must keep licence"),
        strict=True,
    )
)

RESOLUTIONS = (
    ("≤ CIF", 352 * 288),
    ("SD", 720 * 576),
    ("720p", 1280 * 720),
    ("1080p", 1920 * 1088),
    ("2K+", 2560 * 1600),
    ("4K", 4096 * 2304),
    ("> 4K", None),
)
"""Classes of size by luma samples per frame: the name, and the most that it holds."""

_CHROMA = {"400": "grey", "rgb": "RGB"}
_CHECKSUMS = {"sha256": "SHA-256", "sha1": "SHA-1", "md5": "MD5"}


def write_catalog_page(sources: Sequence[Source], path: Path) -> int:
    """Write the page of some sources, whole or not at all, and return its size in bytes."""
    require_output(path, ".html", ".htm")
    data = catalog_page(sources).encode("utf-8", errors="replace")
    with atomic_path(path) as partial:
        partial.write_bytes(data)
    return len(data)


def catalog_page(sources: Sequence[Source]) -> str:
    """Return the page of some sources as HTML that needs nothing else.

    Args:
        sources: What to show, in this order.

    Returns:
        The same text for the same sources, whatever the day and the machine.
    """
    environment = page_environment()
    style, program = part_of_page(environment, "overview.css"), part_of_page(environment, "overview.js")
    data = embedded(_facts(sources))
    return environment.get_template("overview.html.j2").render(
        sources=[_source_view(source) for source in sources],
        resolutions=[name for name in (*_class_names(), "unknown") if _any_has(sources, name)],
        num_clips=sum(len(source.clips) for source in sources),
        obligations=QUESTIONS,
        style=style,
        program=program,
        data=data,
        style_hash=csp_hash(style),
        program_hash=csp_hash(program),
        human_bytes=human_bytes,
        version=__version__,
        digest=hashlib.sha256(data.encode()).hexdigest()[:12],
    )


def resolution_class(width: int | None, height: int | None) -> str:
    """Return the class of a frame's size, by its luma samples; ``unknown`` when a side is.

    Example:
        >>> resolution_class(352, 288), resolution_class(1080, 1920), resolution_class(None, 480)
        ('≤ CIF', '1080p', 'unknown')
    """
    if width is None or height is None:
        return "unknown"
    return next(name for name, most in RESOLUTIONS if most is None or width * height <= most)


def _facts(sources: Sequence[Source]) -> dict[str, Any]:
    """Return what the page's program needs, clips as columns so that thousands stay small."""
    licenses: list[dict[str, Any]] = []
    places: dict[tuple[int, str], int] = {}
    for number, source in enumerate(sources):
        for key, license_ in source.licenses.items():
            places[number, key] = len(licenses)
            licenses.append(_license_view(license_))
    rows = [
        {"source": number, **_clip_facts(source, clip), "license": places[number, clip.license or source.license]}
        for number, source in enumerate(sources)
        for clip in source.clips
    ]  # fmt: skip
    groups = [_groups_of(source) for source in sources]
    for row in rows:
        row["groups"] = " ".join(groups[row["source"]].get(row["id"], ()))
    return {
        "sources": [_source_facts(source, places, number) for number, source in enumerate(sources)],
        "licenses": licenses,
        "resolutions": [*_class_names(), "unknown"],
        "obligations": QUESTIONS,
        "clips": {name: _column([row[name] for row in rows]) for name in rows[0]} if rows else {},
    }


def _source_facts(source: Source, places: dict[tuple[int, str], int], number: int) -> dict[str, Any]:
    return {
        "id": source.id,
        "title": source.title,
        "access": source.access,
        "open": source.open_ended,
        "year": source.year,
        "cite": source.citation.text,
        "bibtex": source.citation.bibtex,
        "license": places[number, source.license],
        "how": source.how_to_get,
    }


def _clip_facts(source: Source, clip: Clip) -> dict[str, Any]:
    remote = remote_of(source, clip)
    known = facts_of(source, clip)
    return {
        "id": clip.id,
        "media": clip.media,
        "width": clip.width,
        "height": clip.height,
        "class": resolution_class(clip.width, clip.height),
        "rate": None if clip.frame_rate is None else str(clip.frame_rate),
        "frames": clip.num_frames,
        "format": clip.pixel_format,
        "bits": known.bit_depth,
        "chroma": None if known.chroma is None else _CHROMA.get(known.chroma, ":".join(known.chroma)),
        "matrix": clip.matrix,
        "range": clip.range,
        "bytes": clip.size_bytes,
        "archive": clip.archive,
        "archiveBytes": remote.size_bytes if clip.archive is not None else None,
        "checksum": next(
            (words for name, words in _CHECKSUMS.items() if getattr(remote, name) is not None),
            "SHA-256 of pixels" if clip.pixels_sha256 else None,
        ),
        "access": known.access,
        "pristine": clip.pristine,
        "notes": clip.notes or None,
        "evidence": " ".join(f"{fact}={known.status}" for fact, known in sorted(clip.evidence.items())),
    }


def _license_view(license_: License) -> dict[str, Any]:
    return {
        "name": license_.name,
        "url": license_.url,
        "terms": license_.terms,
        "answers": [getattr(license_, name) for name in OBLIGATIONS],
    }


def _source_view(source: Source) -> dict[str, Any]:
    """Return what the template prints of a source; complete without the page's program."""
    used = Counter(clip.license or source.license for clip in source.clips)
    frames = [clip.num_frames for clip in source.clips]
    used_archives = {clip.archive for clip in source.clips}
    files = [archive for archive in source.archives if not source.clips or archive.id in used_archives]
    sizes = [file.size_bytes for file in (*files, *(clip for clip in source.clips if clip.archive is None))]
    return {
        "id": source.id,
        "title": source.title,
        "homepage": source.homepage,
        "description": source.description,
        "access": source.access,
        "how_to_get": source.how_to_get.strip(),
        "terms": source.terms,
        "citation": source.citation,
        "year": source.year,
        "classes": Counter(resolution_class(clip.width, clip.height) for clip in source.clips),
        "num_clips": len(source.clips),
        "frames": sum(count for count in frames if count),
        "frames_unknown": frames.count(None),
        "bytes": sum(size for size in sizes if size),
        "bytes_unknown": sizes.count(None),
        "licenses": [
            {"view": _license_view(license_), "clips": used[key]} for key, license_ in source.licenses.items()
        ],
        "license": _license_view(source.licenses[source.license]),
        "derived": Counter(license_of(source, clip).redistribute_derived for clip in source.clips),
        "groups": list(source.groups),
    }


def _groups_of(source: Source) -> dict[str, list[str]]:
    ids = [clip.id for clip in source.clips]
    named: dict[str, list[str]] = {}
    for group, patterns in source.groups.items():
        for clip_id in fitting(patterns, ids):
            named.setdefault(clip_id, []).append(f"{source.id}:{group}")
    return named


def _class_names() -> list[str]:
    return [name for name, _ in RESOLUTIONS]


def _any_has(sources: Iterable[Source], name: str) -> bool:
    return any(
        resolution_class(clip.width, clip.height) == name for source in sources for clip in source.clips
    )


def _column(values: list[Any]) -> list[Any] | dict[str, Any]:
    """Return values as they are, or each different one once and its places or runs, whichever is shortest."""
    different = list(dict.fromkeys(values))
    place = {value: number for number, value in enumerate(different)}
    places = [place[value] for value in values]
    runs = [part for number, run in groupby(places) for part in (number, len(list(run)))]
    coded: list[list[Any] | dict[str, Any]] = [
        values,
        {"of": different, "at": places},
        {"of": different, "runs": runs},
    ]
    return min(coded, key=_length)


def _length(facts: object) -> int:
    return len(compact(facts))
