"""A set in a terminal of 80 columns."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from sr_datasets.files import human_bytes
from sr_datasets.remotes import is_address

if TYPE_CHECKING:
    from sr_datasets.inspect.summary import SetReport

COLUMNS: Final = 80
_LABEL: Final = 16
_MOST_LINES: Final = 30
"""Lines of a table, the rest is counted: --json has all."""
_SPLIT, _SOURCE = 12, 28

_USUAL: Final[dict[str, tuple[object, ...]]] = {
    "margin": (0,),
    "avoid": (None, []),
    "cut_detector": ("own",),
    "window": (1,),
    "step": (1,),
    "hr_frames": ("centre",),
    "overlap": ("allow",),
    "min_distance": (0,),
    "near_frames": (0,),
}
"""Settings of a sampling that say nothing: what most sets have."""

_CHECKED: Final = {
    "sha256": "every shard has the SHA-256 that sr-data.json names",
    "whole": "every byte: shards, pages, rows, index (all that --verify does)",
    "size": "sizes only; hash every shard with --verify",
}
_STORED: Final = {
    "raw": "as they are, mapped into memory",
    "zstd": "Zstandard, a few rows a page",
    "png": "PNG",
}
_SHOWN: Final = {"y": "luma", "rgb": "R'G'B'", "yuv420": "4:2:0 planes"}


def text_of(report: "SetReport") -> str:
    """Return a set's description as text of at most 80 columns."""
    return "\n".join(
        [
            *(_labelled(name, value) for name, value in _facts(report)),
            "",
            *_parts(report),
            "",
            *_shapes(report),
            "",
            *_colours(report),
            *_warnings(report),
            "",
            *_duties(report),
        ]
    )


def text_of_facts(facts: Mapping[str, Any]) -> str:
    """Return names with their values as two columns; a value that is too long goes on below itself."""
    width = max(map(len, facts)) + 2
    room = COLUMNS - width
    lines = []
    for name, value in facts.items():
        parts = textwrap.wrap(str(value), room, break_on_hyphens=False) or [""]
        labels = [name, *[""] * (len(parts) - 1)]
        lines += [f"{label:{width}}{part}".rstrip() for label, part in zip(labels, parts, strict=True)]
    return "\n".join(lines)


def elided(text: str, room: int) -> str:
    """Return a text that is no longer than the room, its middle left out where it is too long.

    Example:
        >>> elided("netflix-open/el_fuente_boxing", 16)
        'netflix...boxing'
    """
    if len(text) <= room:
        return text
    tail = (room - 3) // 2
    return f"{text[: room - 3 - tail]}...{text[len(text) - tail :]}"


def _filled(text: str, *, first: str = "", other: str = "") -> str:
    room = COLUMNS - len(other)
    words = [elided(word, room) for word in text.split()]
    return textwrap.fill(
        " ".join(words),
        COLUMNS,
        initial_indent=first,
        subsequent_indent=other,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _labelled(name: str, value: str) -> str:
    return _filled(value, first=f"{name:{_LABEL}}", other=" " * _LABEL)


def _facts(report: "SetReport") -> Iterator[tuple[str, str]]:
    info, recipe = report.info, report.info.recipe
    yield "set", f"{elided(report.path, COLUMNS - _LABEL - 12)} (format {info.format})"
    yield "recipe", ": ".join(str(recipe[name]) for name in ("id", "title") if recipe.get(name))
    if "scale" in recipe:
        color = str(recipe.get("color"))
        yield "scale, colour", f"x{recipe['scale']}, {color} ({_SHOWN.get(color, 'not known')})"
    for name, usual in (("degradation", {}), ("sampling", _USUAL)):
        if isinstance(recipe.get(name), dict):
            yield name, _settings(recipe[name], usual)
    preview = ", with previews" if recipe.get("preview") else ""
    yield "storage", f"{report.storage} ({_STORED.get(report.storage, 'not known')}){preview}"
    shards = ", ".join(f"{report.num_shards(split)} {split}" for split in info.splits)
    groups = sum(shard.groups for shard in info.shards)
    yield (
        "shards",
        f"{len(info.shards)} ({shards}), {_many(groups, 'row group')}, {human_bytes(report.size_bytes)}",
    )
    yield "content digest", info.content_digest
    # Of a set that lies here, hashing is never all: pages, rows and index are held against each other.
    here = report.checked == "sha256" and not is_address(report.path)
    yield "checked", _CHECKED["whole" if here else report.checked]


def _settings(value: dict[str, Any], usual: dict[str, tuple[object, ...]]) -> str:
    """Return the kind of a degradation or sampling, and what of it is not as usual."""
    told = ", ".join(
        # Of the steps of a chain, their names: sr-data.json has the rest.
        f"{key} {' > '.join(step['kind'] for step in setting) if key == 'steps' else setting}"
        for key, setting in value.items()
        if key != "kind" and setting not in usual.get(key, (None,))
    )
    return f"{value.get('kind')}{f' ({told})' if told else ''}"


def _parts(report: "SetReport") -> Iterator[str]:
    parts = report.contents.parts
    yield f"{'split':{_SPLIT}}  {'source':{_SOURCE}}{'clips':>8}{'rows':>11}{'pixels':>12}"
    last = ""
    for part in parts[:_MOST_LINES]:
        split = "" if part.split == last else part.split
        yield _part(split, part.source, part.clips, part.rows, part.pixel_bytes)
        last = part.split
    if len(parts) > _MOST_LINES:
        yield f"and {len(parts) - _MOST_LINES} more (--json has all)"
    if len(parts) > 1:
        yield _part(
            "all",
            _many(len(report.contents.rows_by("source")), "source"),
            sum(part.clips for part in parts),
            sum(part.rows for part in parts),
            sum(part.pixel_bytes for part in parts),
        )


def _part(split: str, source: str, clips: int, rows: int, size: int) -> str:
    return f"{elided(split, _SPLIT):{_SPLIT}}  {elided(source, _SOURCE):{_SOURCE}}{clips:>8}{rows:>11}{human_bytes(size):>12}"


def _shapes(report: "SetReport") -> Iterator[str]:
    shapes = report.contents.shapes
    yield f"{'LR (C, h, w)':23}{'HR (C, H, W)':23}{'samples':18}{'rows':>9}"
    for shape in shapes[:_MOST_LINES]:
        lr, hr = ("(" + ", ".join(map(str, shape[name])) + ")" for name in ("lr", "hr"))
        if not shape["lr"][-1]:
            lr = "none is kept"
        yield f"{lr:23}{hr:23}{shape['dtype'] + ', ' + str(shape['bit_depth']) + ' bits':18}{shape['rows']:>9}"
    if len(shapes) > _MOST_LINES:
        yield f"and {len(shapes) - _MOST_LINES} more (--json has all)"


def _colours(report: "SetReport") -> Iterator[str]:
    frames = [frame for frame in report.contents.frames if frame[0]]
    if frames:
        sizes = [f"{width}x{height}" for height, width in frames]
        several = f"{sizes[0]} to {sizes[-1]} ({len(sizes)} sizes)"
        yield _labelled("HR frames", sizes[0] if len(sizes) == 1 else several)
    for tag, found in report.contents.colours.items():
        told = ", ".join(
            f"{value} ({_many(clips, 'clip')}, {known})" for (value, known), clips in found.items()
        )
        yield _labelled(tag, told)


def _warnings(report: "SetReport") -> Iterator[str]:
    yield ""
    warnings = [one for one in report.concerns if one.level == "warning"]
    yield (
        "what to know before training on it"
        if report.concerns
        else "what to know before training on it: nothing"
    )
    for one in [*warnings, *(one for one in report.concerns if one.level != "warning")]:
        yield _filled(one.text, first=f"  {one.level}: ", other="    ")
    unlooked = (
        "leaks (sr-data audit)"
        if report.measured
        else "flat patches and duplicates (--stats), leaks (sr-data audit)"
    )
    yield _filled(f"not looked for here: {unlooked}", first="  ", other="    ")


def _duties(report: "SetReport") -> Iterator[str]:
    if not report.obligations:
        yield "what its clips oblige to: nothing that their licences say"
        return
    yield "what its clips oblige to (sr-data show SOURCE has the licences)"
    for one in report.obligations:
        yield _filled(str(one), first="  ", other="    ")


def _many(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"
