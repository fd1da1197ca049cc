"""Which files that a person brings are which clips of a source.

Names are compared without regard to case and punctuation: a file by its stem (also without endings such as
``_GT`` or ``_1920x1080_...``), a folder of frames by any folder above its pictures. Where several candidates
have one clip's name, such as LR pictures beside the ground truth, the manifest's geometry and size
decide, and then folders called GT or HR.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import urlsplit

from sr_datasets.errors import StoreError
from sr_datasets.ingest.probing import size_of_picture
from sr_datasets.manifest import Clip, RemoteFile, Source
from sr_datasets.video.pictures import SUFFIXES as PICTURE_SUFFIXES

VIDEO_SUFFIXES = frozenset(
    [
        ".y4m",
        ".avi",
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".m2v",
        ".ts",
        ".m2ts",
        ".mxf",
        ".wmv",
        ".flv",
        ".gif",
        ".hevc",
        ".h264",
        ".265",
        ".264",
    ]
)
BUNDLE_SUFFIXES = frozenset([".zip", ".7z", ".tar"])
RAW_SUFFIXES = frozenset([".yuv", ".raw", ".rgb", ".nv12", ".uyvy", ".yuyv", ".gray"])
_ENDING = re.compile(r"(_srf_\d+)?_(gt|hr|orig|original|truth)$")
_GEOMETRY = re.compile(r"_\d{2,5}x\d{2,5}(_.*)?$")
_LONGEST_ID = 100
_TRUTH = frozenset({"gt", "hr", "original", "originals", "truth", "ground_truth", "groundtruth", "target"})


@dataclass(frozen=True, slots=True)
class Match:
    """A clip, and the file or folder that seems to be it."""

    clip: Clip
    """The clip; of an open-ended source perhaps one that no manifest lists."""
    path: Path
    """A file, or a folder of pictures."""


@dataclass(slots=True)
class Matches:
    """What a person's files are."""

    clips: list[Match] = field(default_factory=list)
    """One candidate for each clip that was found."""
    archives: list[tuple[RemoteFile, Path]] = field(default_factory=list)
    """Files that are archives of the source."""
    bundles: list[Path] = field(default_factory=list)
    """Archives that no manifest knows, brought to an open-ended source: their videos are its clips."""
    unmatched: list[Path] = field(default_factory=list)
    """Videos and pictures that are no clip of the source, a folder in place of its pictures; and any other file
    that was named itself."""
    problems: list[str] = field(default_factory=list)
    """Why clips whose names were found have no candidate."""


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    words: tuple[str, ...]
    named: bool
    pictures: int = 0


def match_files(source: Source, paths: Sequence[Path]) -> Matches:
    """Find the clips of a source among files and folders.

    Args:
        source: Whose clips they are.
        paths: Files, and folders that are searched to the bottom.

    Raises:
        StoreError: A path does not exist.
    """
    matches = Matches()
    files: list[_Found] = []
    folders: list[_Found] = []
    for path in paths:
        if not path.exists():
            raise StoreError(f"there is no file or folder {path}: check its name")
        for found in _scan(path):
            (folders if found.pictures else files).append(found)
    used: set[Path] = set()
    refused: set[Path] = set()
    archives = {_plain(archive.id): archive for archive in source.archives}
    for found in files:
        if archive := archives.get(_plain(found.path.name)):
            matches.archives.append((archive, found.path))
            used.add(found.path)
    clips = {clip.id: clip for clip in source.clips}
    for clip_id, candidates in _by_clip(source, files, folders).items():
        clip = clips[clip_id]
        fitting = []
        reasons = []
        for found in candidates:
            refused.add(found.path)
            if reason := _misfit(clip, found):
                reasons.append(reason)
            else:
                fitting.append(found)
        best = [found for found in fitting if _TRUTH & set(found.words)] or fitting
        if len(best) == 1:
            matches.clips.append(Match(clip, best[0].path))
            used.add(best[0].path)
        elif best:
            which = ", ".join(str(found.path) for found in best[:4])
            matches.problems.append(
                f"{source.id}/{clip.id}: {len(best)} candidates have its name: {which}. Name the right one alone."
            )
        else:
            matches.problems.append(f"{source.id}/{clip.id}: {reasons[0]}")
    if source.open_ended:
        settled = used | refused
        _take_unlisted(source, [found for found in files if found.path not in settled], matches, used)
    inside = {path for path in used if path.is_dir()}
    left = [found for found in files if found.path not in used and found.path.parent not in inside]
    matches.unmatched = _summary(left)
    return matches


def _scan(path: Path) -> Iterator[_Found]:
    """Yield a file, or all media files and folders of pictures of a folder; hidden ones are left out."""
    if path.is_file():
        yield _Found(path, (_plain(path.name),), named=True)
        return
    root = path.resolve()
    folders = [root, *sorted(inner for inner in root.rglob("*") if inner.is_dir())]
    for folder in folders:
        inner_words = folder.relative_to(root).parts
        if any(part.startswith(".") for part in inner_words):
            continue
        words = tuple(_plain(part) for part in (root.name, *inner_words))
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        pictures = [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
        if pictures:
            if folder == root and words[0] in _TRUTH:
                words = (_plain(root.parent.name), *words)  # calendar/GT, named itself
            yield _Found(folder, words, named=False, pictures=len(pictures))
        for file in files:
            yield _Found(file, (*words, _plain(file.name)), named=False)


def _by_clip(source: Source, files: list[_Found], folders: list[_Found]) -> dict[str, list[_Found]]:
    """Return the candidates of each clip by name, clips in the manifest's order."""
    names = _names(source)
    kinds = {clip.id: clip.media for clip in source.clips}
    candidates: dict[str, list[_Found]] = {clip.id: [] for clip in source.clips}
    for found in files:
        # With the folders before it where the id has them, as those that `manifest new` makes to tell twins apart.
        longer = [*found.words[:-1], _plain(found.path.stem)]
        for stem in [*_joined(longer), *_stems(found.path)]:
            clip_id = names.get(stem)
            if clip_id and found.path.suffix.lower() in _suffixes(kinds[clip_id]):
                candidates[clip_id].append(found)
                break
    for found in folders:
        words = [name for name in _joined(found.words) if name in names] or found.words
        clip_ids = {names[word] for word in words if word in names}
        for clip_id in sorted(clip_ids):
            if kinds[clip_id] == "frames":
                candidates[clip_id].append(found)
    return {clip_id: found for clip_id, found in candidates.items() if found}


def _joined(words: Sequence[str]) -> list[str]:
    """Return a path's last words as one, the most of them first, two at least."""
    return ["_".join(words[-count:]) for count in range(min(len(words), 6), 1, -1)]


def _names(source: Source) -> dict[str, str]:
    """Return clip ids by the names that their files go by: the id first, then those of address and archive."""
    names = {_plain(clip.id): clip.id for clip in source.clips}
    others: dict[str, set[str]] = {}
    for clip in source.clips:
        addresses = [urlsplit(url) for url in clip.mirrors]
        paths = [address.path for address in addresses if not address.query]
        if clip.media != "frames":
            paths += [member for member in clip.members if not re.search(r"[*?]", member)]
        for path in paths:
            others.setdefault(_plain(PurePosixPath(path).stem), set()).add(clip.id)
    for name, clip_ids in others.items():
        if len(clip_ids) == 1:
            names.setdefault(name, *clip_ids)
    return names


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _stems(path: Path) -> list[str]:
    stem = _plain(path.stem)
    return [stem, _ENDING.sub("", stem), _GEOMETRY.sub("", stem)]


def _suffixes(media: str) -> frozenset[str]:
    match media:
        case "image":
            return frozenset(PICTURE_SUFFIXES)
        case "raw":
            return RAW_SUFFIXES
        case "video":
            return VIDEO_SUFFIXES
        case _:
            return frozenset()


def _misfit(clip: Clip, found: _Found) -> str | None:
    """Return why a candidate cannot be the clip, as far as a glance tells."""
    if clip.media in ("frames", "image") and clip.width and clip.height:
        if found.pictures:
            pictures = (file for file in found.path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
            first = min(pictures)
        else:
            first = found.path
        size = size_of_picture(first)
        if size is not None and size != (clip.width, clip.height):
            return (
                f"{found.path} is {size[0]}x{size[1]}, the manifest says {clip.width}x{clip.height}. Bring the "
                "original, not an LR or resized copy."
            )
    return None


def _take_unlisted(source: Source, files: list[_Found], matches: Matches, used: set[Path]) -> None:
    """Take any video for a clip of an open-ended source, under its own name."""
    listed = {clip.id.lower() for clip in source.clips}
    first: dict[str, Path] = {}
    for found in files:
        if found.path.suffix.lower() in BUNDLE_SUFFIXES:
            matches.bundles.append(found.path)
            used.add(found.path)
        if found.path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        clip_id = unlisted_id(found.path)
        used.add(found.path)
        if clip_id.lower() in listed:
            matches.problems.append(
                f"{found.path} would be clip {clip_id}, which the manifest lists as another kind of file. Rename it."
            )
        elif other := first.get(clip_id.lower()):
            matches.problems.append(
                f"{found.path} and {other} would both be clip {source.id}/{clip_id}. Rename one of them."
            )
        else:
            first[clip_id.lower()] = found.path
            matches.clips.append(Match(Clip(id=clip_id), found.path))


def unlisted_id(path: PurePath) -> str:
    """Return the id of a clip that no manifest lists, by its file's name.

    The CDVL's downloads are called ``<publisher>_<title>_original.avi``; the last word says nothing and is left out.
    Of a name with letters that no id may have, or a very long one, the id has what it may, and 8 digits of the name's
    SHA-256 (of UTF-8, composed), so that two names stay two.

    Example:
        >>> unlisted_id(PurePath("ntia_bpit1-525_original.avi")), unlisted_id(PurePath("Straße 2.avi"))
        ('ntia_bpit1-525', 'Stra_e_2-7b7dba1b')
    """
    stem = unicodedata.normalize("NFC", path.stem.removesuffix("_original"))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip("._-")
    if stem.isascii() and len(name) <= _LONGEST_ID:
        return name or "clip"
    short = name[: _LONGEST_ID - 9].rstrip("._-") or "clip"
    return f"{short}-{hashlib.sha256(stem.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _summary(left: list[_Found]) -> list[Path]:
    """Return what was left over, with one line for the pictures of a folder."""
    media = frozenset(PICTURE_SUFFIXES) | VIDEO_SUFFIXES | RAW_SUFFIXES
    paths: list[Path] = []
    for found in left:
        suffix = found.path.suffix.lower()
        if found.named or suffix in media - frozenset(PICTURE_SUFFIXES):
            paths.append(found.path)
        elif suffix in media and found.path.parent not in paths:
            paths.append(found.path.parent)
    return paths
