"""A manifest of a person's own folder: each video and picture probed and hashed."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sr_datasets.errors import DecodeError, ManifestError
from sr_datasets.files import sha256_of
from sr_datasets.ingest.matching import RAW_SUFFIXES, VIDEO_SUFFIXES
from sr_datasets.ingest.probing import probe_safely, size_of_picture
from sr_datasets.ingest.settling import clips_text
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.progress import Progress, Silent
from sr_datasets.rules import frame_bytes
from sr_datasets.video.pictures import SUFFIXES as PICTURE_SUFFIXES
from sr_datasets.yamlfile import YamlFile

Pictures = Literal["auto", "frames", "images"]
"""What a folder of pictures is: the frames of one clip, or an image each. ``auto``: frames, if there are several of
one size and their names differ in their numbers only."""


@dataclass(frozen=True, slots=True)
class Described:
    """A manifest, and what could not be put into it."""

    text: str
    """The YAML of the manifest."""
    clip_ids: tuple[str, ...]
    """Ids of its clips."""
    left_out: tuple[str, ...]
    """One sentence for each file that is no clip of it."""


@dataclass(frozen=True, slots=True)
class _Item:
    path: Path
    media: Literal["video", "raw", "frames", "image"]
    declared: dict[str, object]
    """Geometry of raw planes, read from the file's name."""


def describe_folder(
    folder: Path, source_id: str, *, pictures: Pictures = "auto", progress: Progress | None = None
) -> Described:
    """Write the manifest of a folder of videos, raw planes and pictures, as text.

    Everything is probed from end to end and hashed. Licence and citation are left for a person to fill in: they
    say that they are not known.

    Args:
        folder: It is searched to the bottom; hidden files are left out.
        source_id: The id of the source, which must be the name of the manifest's file.
        pictures: What pictures in one folder are.
        progress: Where the work shows itself.

    Raises:
        ManifestError: The folder is not there, or holds no video and no picture that can be read.
        ValueError: The id is no source id.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", source_id):
        raise ValueError(
            f"'{source_id}' cannot name a source: use lower-case letters, digits and hyphens, as in my-clips"
        )
    if not folder.is_dir():
        raise ManifestError(f"{folder} is no folder: give one that holds videos or pictures")
    left_out: list[str] = []
    items = list(_items_of(folder, pictures, left_out))
    names = _ids_of([item.path for item in items], folder)
    entries: list[str] = []
    kept: list[str] = []
    with (progress or Silent()).bar("describe", total=len(items), unit="clips") as bar:
        for item in items:
            try:
                entries += _entry(names[item.path], item, folder)
                kept.append(names[item.path])
            except DecodeError as error:
                left_out.append(str(error))
            bar.advance(1)
    if not kept:
        found = f": {'; '.join(left_out[:3])}" if left_out else ""
        raise ManifestError(f"{folder} holds no video and no picture that can be read{found}")
    name = folder.resolve().name or source_id
    head = [
        "# Written by `sr-data manifest new`. Put title, citation and licence right before you share it.",
        "format: 1",
        f"id: {_scalar(source_id)}",
        f"title: {_scalar(name)}",
        f"description: {_scalar(f'{clips_text(len(kept))} of the folder {name}.')}",
        "access: manual",
        "how_to_get: |",
        f"  1. Get the folder {_one_line(name)}.",
        f"  2. Bring it in with: sr-data import {source_id} FOLDER --manifest {source_id}.yaml",
        "citation:",
        "  text: not known",
        "licenses:",
        "  unknown:",
        "    name: not known",
        "license: unknown",
        "",
        "clips:",
    ]
    return Described("\n".join([*head, *entries]) + "\n", tuple(kept), tuple(left_out))


def _items_of(folder: Path, pictures: Pictures, left_out: list[str]) -> Iterator[_Item]:
    for inner in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
        if any(part.startswith(".") for part in inner.relative_to(folder).parts):
            continue
        files = sorted(path for path in inner.iterdir() if path.is_file() and not path.name.startswith("."))
        shots = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
        if shots and (pictures == "frames" or (pictures == "auto" and _are_frames(shots))):
            yield _Item(inner, "frames", {})
        else:
            yield from (_Item(path, "image", {}) for path in shots)
        for path in files:
            suffix = path.suffix.lower()
            if suffix in VIDEO_SUFFIXES:
                yield _Item(path, "video", {})
            elif suffix in RAW_SUFFIXES:
                if geometry := _geometry_in_name(path):
                    yield _Item(path, "raw", geometry)
                else:
                    left_out.append(
                        f"{path}: raw planes do not say their geometry, and its name does not tell one that fits its "
                        "size. Name it like clip_352x288_30fps_420_8bit.yuv, or write its entry by hand."
                    )


def _are_frames(shots: Sequence[Path]) -> bool:
    if len(shots) < 2 or len({re.sub(r"\d+", "0", path.name) for path in shots}) > 1:
        return False
    sizes = {size_of_picture(path) for path in shots}
    return len(sizes) == 1 and None not in sizes


def _geometry_in_name(path: Path) -> dict[str, object]:
    """Return the geometry that a raw file's name tells, if the file is a whole number of such frames."""
    name = path.stem.lower()
    size = re.search(r"(?<!\d)(\d{2,5})x(\d{2,5})(?!\d)", name)
    if size is None:
        return {}
    width, height = int(size[1]), int(size[2])
    chroma = re.search(r"(?<!\d)(4[02][024])(?!\d)|yuv(4[024][024])", name)
    bits = re.search(r"(?<!\d)(8|10|12|14|16)[-_]?bits?", name)
    depth = int(bits[1]) if bits else 8
    family = next((part for part in chroma.groups() if part), "420") if chroma else "420"
    pixel_format = f"yuv{family}p" + ("" if depth == 8 else f"{depth}le")
    payload = frame_bytes(pixel_format, width, height)
    if not payload or not path.stat().st_size or path.stat().st_size % payload:
        return {}
    facts: dict[str, object] = {"width": width, "height": height, "pixel_format": pixel_format}
    if rate := re.search(r"(?<!\d)(\d{2,3})(?:fps|hz)", name):
        facts["frame_rate"] = int(rate[1])
    return facts


def _ids_of(paths: Iterable[Path], folder: Path) -> dict[Path, str]:
    """Return an id for each path: its own name, with as many folders before it as tell it from the others."""
    several = list(paths)
    ids: dict[Path, str] = {}
    for depth in range(1, 60):
        left = [path for path in several if path not in ids]
        names = {path: _clip_id(path, folder, depth) for path in left}
        taken = {name.lower() for name in ids.values()}
        for path, name in names.items():
            alone = sum(other.lower() == name.lower() for other in names.values()) == 1
            if alone and name.lower() not in taken:
                ids[path] = name
        if len(ids) == len(several):
            return ids
    for number, path in enumerate(path for path in several if path not in ids):
        ids[path] = f"{_clip_id(path, folder, 1)}-{number + 1}"
    return ids


def _clip_id(path: Path, folder: Path, depth: int) -> str:
    parts = [folder.resolve().name, *path.relative_to(folder).parts]
    parts = [*parts[:-1], path.stem if path.is_file() else parts[-1]]
    name = "-".join(parts[-depth:])
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-") or "clip"


def _entry(clip_id: str, item: _Item, folder: Path) -> list[str]:
    clip = Clip.model_validate({"id": clip_id, "media": item.media, **item.declared})
    info = probe_safely(item.path, name=clip_id, clip=clip)
    where = item.path.relative_to(folder).as_posix() if item.path != folder else folder.resolve().name
    facts: dict[str, object] = {}
    if item.path.is_file():
        facts = {"size_bytes": item.path.stat().st_size, "sha256": sha256_of(item.path)}
    facts |= _geometry(info)
    measured = [name for name in facts if name not in item.declared]
    evidence = {" ".join(measured): f"COMPUTED of {where}"}
    if item.declared:
        evidence[" ".join(name for name in facts if name in item.declared)] = (
            f"INFERRED the name {item.path.name}"
        )
    lines = [f"- id: {_scalar(clip_id)}", f"  media: {info.media}"]
    lines += [f"  {name}: {_scalar(value)}" for name, value in facts.items()]
    lines.append("  evidence:")
    return lines + [f"    {names}: {_scalar(_one_line(text))}" for names, text in evidence.items()]


def _geometry(info: VideoInfo) -> dict[str, object]:
    facts: dict[str, object] = {"width": info.width, "height": info.height}
    if info.frame_rate is not None and info.media != "image":
        facts["frame_rate"] = str(info.frame_rate)
    return facts | {"num_frames": info.num_frames, "pixel_format": info.pixel_format}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _scalar(value: object) -> str:
    """Return a value as YAML that reads as the same value."""
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._/-]*", text) and YamlFile(Path("-"), f"a: {text}").data == {
        "a": text
    }:
        return text
    if re.fullmatch(r"\d+", text):
        return text  # a frame rate
    quoted = json.dumps(text, ensure_ascii=False)
    # What JSON leaves as it is and YAML does not take within quotes.
    return re.sub(
        r"[\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]", lambda odd: f"\\u{ord(odd[0]):04x}", quoted
    )
