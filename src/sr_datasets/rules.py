"""Rules of manifests and recipes that go beyond one field: what must agree with what.

They look at plain values, which may be of any type: what does not have the right one is reported by the
models, and passed over here, so that all problems of a file come together.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sr_datasets.errors import SelectionError, nearest_names
from sr_datasets.facts import parse_where
from sr_datasets.manifest import names_of
from sr_datasets.yamlfile import Loc, Problem

FILE_FACTS = ("mirrors", "size_bytes", "sha256", "sha1", "md5")
"""The facts of a file that need evidence."""
CLIP_FACTS = (*FILE_FACTS, "width", "height", "frame_rate", "num_frames", "pixel_format")
"""The facts of a clip that need evidence."""
_MAY_HAVE_EVIDENCE = {
    *CLIP_FACTS,
    "pixels_sha256",
    "members",
    "matrix",
    "range",
    "transfer",
    "siting",
    "field_order",
    "pristine",
    "license",
}

SELECTION = re.compile(r"(?P<source>[^/:\s]+)(?:/(?P<clip>[^/:\s]+)|:(?P<group>[^/:\s]+))?")
_GLOB = re.compile(r"[*?\[]")
_CLIP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_ID = 100
# Of the store itself, and devices, which some disks take for files whatever their ending.
_RESERVED = re.compile(
    r"sr-data\.lock|sr-data\.json|terms\.jsonl|sets\.json|recipes\.lock|forgetting\.json"
    r"|(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?",
    re.IGNORECASE,
)


def fitting(wanted: Iterable[str], clip_ids: Iterable[str]) -> Iterator[str]:
    """Yield the ids that one of some names or glob patterns fits, in the order of the ids."""
    names = list(wanted)
    exact = {name for name in names if not _GLOB.search(name)}
    globs = [re.compile(fnmatch.translate(name)) for name in names if _GLOB.search(name)]
    for clip_id in clip_ids:
        if clip_id in exact or any(glob.fullmatch(clip_id) for glob in globs):
            yield clip_id


_Fields = Mapping[str, object]


def _text(fields: _Fields, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _whole(fields: _Fields, name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _items(fields: _Fields, name: str) -> list[tuple[int, _Fields]]:
    value = fields.get(name)
    if not isinstance(value, list):
        return []
    return [(number, item) for number, item in enumerate(value) if isinstance(item, dict)]


def _below(fields: _Fields, name: str) -> _Fields:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def source_problems(data: _Fields, stem: str) -> Iterator[Problem]:
    """Yield what is wrong with a source beyond its single fields.

    Args:
        data: Plain values, as the YAML file has them.
        stem: The name of the file, which the id must be.
    """
    if _text(data, "id") != stem:
        yield Problem(
            ("id",), f"found '{_text(data, 'id')}', expected '{stem}', since the file is {stem}.yaml"
        )
    if data.get("access") == "manual" and not _text(data, "how_to_get").strip():
        yield Problem(("how_to_get",), "found nothing, expected the steps to take: the source is manual")
    if not data.get("clips") and not data.get("series") and data.get("open_ended") is not True:
        yield Problem(("clips",), "found none, expected clips, a series of them, or `open_ended: true`")
    licenses = _below(data, "licenses")
    if (name := _text(data, "license")) and name not in licenses:
        yield _unknown(("license",), name, "licence", licenses)
    named: list[tuple[Loc, str]] = [
        (("clips", number, "id"), _text(clip, "id")) for number, clip in _items(data, "clips")
    ]
    named += list(_ids_of_series(data))
    yield from _doubles(named)
    yield from _doubles([(("archives", n, "id"), _text(item, "id")) for n, item in _items(data, "archives")])
    archives = [_text(archive, "id") for _, archive in _items(data, "archives")]
    files: list[tuple[Loc, str]] = [
        (("archives", number, "id"), _text(item, "id")) for number, item in _items(data, "archives")
    ]
    yield from _id_problems([(("id",), _text(data, "id")), *named, *files])
    yield from _archives_as_clips(named, archives)
    needs_evidence = data.get("access") in ("download", "youtube")
    for number, archive in _items(data, "archives"):
        yield from _evidence_problems(("archives", number), archive, FILE_FACTS, needed=needs_evidence)
        if needs_evidence:
            yield from _address_problems(("archives", number), archive)
    clips = [(part, number, clip) for part in ("clips", "series") for number, clip in _items(data, part)]
    for part, number, clip in clips:
        loc: Loc = (part, number)
        if (name := _text(clip, "license")) and name not in licenses:
            yield _unknown((*loc, "license"), name, "licence", licenses)
        if (name := _text(clip, "archive")) and name not in archives:
            yield _unknown((*loc, "archive"), name, "archive", archives)
        yield from _evidence_problems(loc, clip, CLIP_FACTS, needed=needs_evidence)
        if needs_evidence:
            yield from _address_problems(loc, clip)
        yield from _media_problems(loc, clip)
        yield from _size_problems(loc, clip)
    for number, series in _items(data, "series"):
        yield from _series_problems(("series", number), series)
    yield from _group_problems(data, [name for _, name in named if name])


def _unknown(loc: Loc, name: str, what: str, known: Iterable[str]) -> Problem:
    names = list(known)
    expected = (
        f"one of {', '.join(names)}.{nearest_names(name, names)}" if names else f"no {what}: none is listed"
    )
    return Problem(loc, f"found the {what} '{name}', expected {expected}")


def _doubles(named: Iterable[tuple[Loc, str]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for loc, name in named:
        if name and name.lower() in first:
            other = first[name.lower()]
            why = (
                "a second time"
                if other == name
                else f"beside '{other}', which is the same file on a disk without case"
            )
            yield Problem(loc, f"found '{name}' {why}, expected each id once")
        first.setdefault(name.lower(), name)


def _id_problems(named: Iterable[tuple[Loc, str]]) -> Iterator[Problem]:
    for loc, name in named:
        if len(name) > _LONGEST_ID:
            yield Problem(loc, f"found an id of {len(name)} characters, expected {_LONGEST_ID} at most")
        elif _RESERVED.fullmatch(name):
            yield Problem(loc, f"found '{name}', which is a reserved name of a file: choose another id")


def _archives_as_clips(named: Iterable[tuple[Loc, str]], archives: Iterable[str]) -> Iterator[Problem]:
    taken = {name.lower() for name in archives if name}
    for loc, name in named:
        if name.lower() in taken:
            yield Problem(loc, f"found '{name}', which is an archive too: both would be the same file")


def _ids_of_series(data: _Fields) -> Iterator[tuple[Loc, str]]:
    for number, series in _items(data, "series"):
        ids = series.get("ids")
        for place, text in enumerate(ids if isinstance(ids, list) else ()):
            try:
                names = names_of(text) if isinstance(text, str) else []
            except ValueError:
                continue  # _series_problems tells of it
            for name, _ in names:
                yield ("series", number, "ids", place), name


def _series_problems(loc: Loc, series: _Fields) -> Iterator[Problem]:
    for fact in ("size_bytes", "sha256", "sha1", "md5", "pixels_sha256"):
        if series.get(fact):
            yield Problem((*loc, fact), f"found a {fact} of a series: each of its clips has its own")
    ids = series.get("ids")
    several = len(ids) > 1 if isinstance(ids, list) else False
    for place, text in enumerate(ids if isinstance(ids, list) else ()):
        if not isinstance(text, str):
            continue
        try:
            names = names_of(text)
        except ValueError as wrong:
            yield Problem((*loc, "ids", place), f"found '{text}', which {wrong}")
            continue
        several = several or len(names) > 1
        if wrong_ids := [name for name, _ in names if not _CLIP_ID.fullmatch(name)]:
            yield Problem(
                (*loc, "ids", place),
                f"found '{wrong_ids[0]}', expected letters, digits, dots, hyphens and underscores",
            )
    for fact in ("mirrors", "members"):
        values = series.get(fact)
        for place, text in enumerate(values if several and isinstance(values, list) else ()):
            if isinstance(text, str) and "{id}" not in text and "{part}" not in text:
                yield Problem(
                    (*loc, fact, place),
                    f"found '{text}', expected {{id}} or {{part}} in it: the clips differ",
                )


def _group_problems(data: _Fields, clip_ids: Sequence[str]) -> Iterator[Problem]:
    for name, patterns in _below(data, "groups").items():
        if not isinstance(patterns, list):
            continue
        if not patterns:
            yield Problem(("groups", name), "found an empty group, expected clip ids or patterns")
        for number, pattern in enumerate(patterns):
            if isinstance(pattern, str) and not any(fitting([pattern], clip_ids)):
                yield Problem(
                    ("groups", name, number),
                    f"found '{pattern}', which fits no clip.{nearest_names(pattern, clip_ids)}",
                )


def _evidence_of(fields: _Fields) -> dict[str, str]:
    """Return the status of each fact that has evidence, with shared entries taken apart."""
    found = {}
    for names, evidence in _below(fields, "evidence").items():
        status = _text(evidence, "status") if isinstance(evidence, dict) else str(evidence).partition(" ")[0]
        found.update(dict.fromkeys(str(names).split(), status))
    return found


def _evidence_problems(loc: Loc, fields: _Fields, facts: Sequence[str], *, needed: bool) -> Iterator[Problem]:
    evidence = _evidence_of(fields)
    for fact, status in evidence.items():
        given = bool(fields.get(fact))
        if fact not in _MAY_HAVE_EVIDENCE:
            yield Problem(
                (*loc, "evidence", fact),
                f"found evidence of '{fact}', which is no fact.{nearest_names(fact, _MAY_HAVE_EVIDENCE)}",
            )
        elif given and status == "UNKNOWN":
            yield Problem(
                (*loc, "evidence", fact), f"found UNKNOWN, but `{fact}` is given: say where it is from"
            )
        elif not given and status != "UNKNOWN":
            yield Problem(
                (*loc, "evidence", fact), f"found evidence, but no `{fact}`: give it, or mark it UNKNOWN"
            )
    if needed:
        for fact in facts:
            if fields.get(fact) and fact not in evidence:
                yield Problem(
                    (*loc, fact),
                    f"found without evidence, expected `{fact}: SEEN owner/repo:path` or the like",
                )


def _address_problems(loc: Loc, fields: _Fields) -> Iterator[Problem]:
    has_mirrors, has_archive = bool(fields.get("mirrors")), bool(fields.get("archive"))
    if has_mirrors and has_archive:
        yield Problem((*loc, "archive"), "found beside `mirrors`, expected one of the two")
    if not has_mirrors and not has_archive and "mirrors" not in _evidence_of(fields):
        yield Problem(
            (*loc, "mirrors"),
            "found neither an address nor an archive: if none is known, say `evidence: {mirrors: UNKNOWN}`",
        )
    mirrors = fields.get("mirrors")
    for number, url in enumerate(mirrors if isinstance(mirrors, list) else ()):
        if isinstance(url, str) and "@" in re.split(r"[/?#]", url.partition("://")[2])[0]:
            yield Problem(
                (*loc, "mirrors", number),
                "found a user or a password in the address, which lock files and sets would carry: put it into ~/.netrc",
            )


def _media_problems(loc: Loc, clip: _Fields) -> Iterator[Problem]:
    members = clip.get("members")
    for number, pattern in enumerate(members if isinstance(members, list) else ()):
        if isinstance(pattern, str) and not _is_inside(pattern):
            yield Problem(
                (*loc, "members", number),
                f"found '{pattern}', expected a path inside the archive, such as Set/*.png",
            )
    if clip.get("members") and not clip.get("archive"):
        yield Problem((*loc, "members"), "found without `archive`, expected the archive that holds them")
    if clip.get("archive") and not clip.get("members"):
        yield Problem((*loc, "members"), "found nothing, expected patterns of the archive's members")
    if clip.get("media") == "raw":
        for fact in ("width", "height", "pixel_format"):
            if not clip.get(fact):
                yield Problem((*loc, fact), "found nothing: raw planes cannot be read without it")


def _is_inside(pattern: str) -> bool:
    parts = pattern.split("/")
    return not re.search(r"[\\\0]|^[A-Za-z]:", pattern) and all(part not in ("", ".", "..") for part in parts)


def _size_problems(loc: Loc, clip: _Fields) -> Iterator[Problem]:
    """Compare a published size with the arithmetic of raw and y4m files, where each part is exact."""
    evidence = _evidence_of(clip)
    parts = ("size_bytes", "width", "height", "num_frames", "pixel_format")
    if any(evidence.get(part, "SEEN") not in ("SEEN", "COMPUTED") for part in parts):
        return
    width, height, frames = (_whole(clip, part) for part in ("width", "height", "num_frames"))
    size = _whole(clip, "size_bytes")
    payload = frame_bytes(_text(clip, "pixel_format"), width or 0, height or 0)
    if not (size and width and height and frames and payload):
        return
    mirrors = clip.get("mirrors")
    names = [str(mirror) for mirror in mirrors] if isinstance(mirrors, list) else []
    if clip.get("media") == "raw" and size != frames * payload:
        yield Problem(
            (*loc, "size_bytes"),
            f"found {size}, expected {frames * payload}: {frames} frames of {width}x{height}",
        )
    if any(name.endswith(".y4m") for name in names):
        # `FRAME` and a newline before each frame; the stream header is 36 to 59 bytes in what was seen.
        header = size - frames * (6 + payload)
        if not 10 <= header <= 256:
            yield Problem(
                (*loc, "size_bytes"),
                f"found {size}, which leaves {header} bytes for the header of a y4m file of {frames} frames of "
                f"{width}x{height}, expected 10 to 256",
            )


_SUBSAMPLING = {"gray": None, "yuv420p": (1, 1), "yuv422p": (1, 0), "yuv444p": (0, 0)}


def frame_bytes(pixel_format: str, width: int, height: int) -> int | None:
    """Return the bytes of one frame of planes, or None for a format that is not planar Y or Y'CbCr.

    Args:
        pixel_format: FFmpeg's name, such as ``yuv420p`` or ``yuv422p10le``.
        width: Luma samples per row.
        height: Luma rows.

    Example:
        >>> frame_bytes("yuv420p10le", 3840, 2160)
        24883200
    """
    fit = re.fullmatch(r"(gray|yuv4\d\dp)(?:(\d+)[lb]e)?", pixel_format)
    if fit is None or fit[1] not in _SUBSAMPLING:
        return None
    chroma = _SUBSAMPLING[fit[1]]
    samples = width * height
    if chroma is not None:
        samples += 2 * -(-width >> chroma[0]) * -(-height >> chroma[1])
    return samples * (2 if fit[2] else 1)


def recipe_problems(data: _Fields) -> Iterator[Problem]:
    """Yield what is wrong with a recipe beyond its single fields."""
    split = _below(data, "split")
    named: list[tuple[Loc, object, str]] = [(("clips",), data.get("clips"), " or SOURCE:GROUP")]
    named += [(("split", "clips", name), found, "") for name, found in _below(split, "clips").items()]
    for loc, patterns, or_group in named:
        seen: set[str] = set()
        for number, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
            if not isinstance(pattern, str):
                continue
            parts = SELECTION.fullmatch(pattern)
            if parts is None or (parts["group"] and not or_group):
                yield Problem(
                    (*loc, number),
                    f"found '{pattern}', expected SOURCE, SOURCE/CLIP, SOURCE/*PART*{or_group}",
                )
            elif pattern in seen:
                yield Problem((*loc, number), f"found '{pattern}' a second time, expected each once")
            seen.add(pattern)
    try:
        parse_where(_text(_below(data, "where"), "facts"))
    except SelectionError as wrong:
        yield from (Problem(("where", "facts"), line) for line in str(wrong).splitlines())
    counts = [n for n in _below(split, "counts").values() if isinstance(n, int)]
    limit = _whole(data, "limit")
    if limit is not None and -1 not in counts and sum(counts) > limit:
        yield Problem(
            ("split", "counts"), f"found {sum(counts)} clips, expected no more than the limit of {limit}"
        )
