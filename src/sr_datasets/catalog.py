"""Finds manifests and recipes, checks what they say, and selects clips.

Manifests are ``sources/<id>.yaml`` and ``recipes/<id>.yaml`` in the package's own ``manifests`` folder
(the checkout's, when run from one), then in the user's: ``$XDG_CONFIG_HOME/sr-datasets/manifests``. A file
of the user stands in for the packaged one of the same name, so that a moved address or a new checksum can
be put right before the package is. ``added_manifests`` puts single files before both for a while.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sr_datasets.errors import ManifestError, RecipeError, SelectionError, nearest_names
from sr_datasets.facts import ClipFacts, facts_of, judge, parse_where
from sr_datasets.manifest import Clip, FileFacts, License, RemoteFile, Source
from sr_datasets.models import Model
from sr_datasets.recipe import Recipe
from sr_datasets.rules import SELECTION, fitting, recipe_problems, source_problems
from sr_datasets.store import ClipRecord, Store
from sr_datasets.yamlfile import YamlFile, load_model, read_yaml_text

if TYPE_CHECKING:
    import pandas as pd

_Kind = Literal["sources", "recipes"]
_log = logging.getLogger(__name__)
_added: ContextVar[tuple[Path, ...]] = ContextVar("added manifests", default=())


@dataclass(frozen=True, slots=True)
class Selected:
    """A clip and the source that it belongs to."""

    source: Source
    """The publisher."""
    clip: Clip
    """One video of it."""

    @property
    def id(self) -> str:
        """The name in every command, such as ``xiph/akiyo_cif``."""
        return f"{self.source.id}/{self.clip.id}"


def source_ids() -> list[str]:
    """Return the ids of all sources, sorted, without reading a manifest."""
    return sorted(_files("sources"))


def sources() -> list[Source]:
    """Return all sources, sorted by id; a broken file of the user's folder is told of in the log and left out.

    Raises:
        ManifestError: With the problems of every other manifest that has some.
    """
    found, wrong = [], []
    files = _files("sources")
    for path in (files[source_id] for source_id in sorted(files)):
        try:
            found.append(load_manifest(path))
        except ManifestError as error:
            if path.parent == _user_folder("sources"):
                _log.warning("%s\nThe source %s is left out.", error, path.stem)
            else:
                wrong.append(str(error))
    if wrong:
        raise ManifestError("\n".join(wrong))
    return found


def find_source(source_id: str) -> Source:
    """Return one source; reads no other manifest.

    Raises:
        SelectionError: There is none of this id; the message has the nearest names.
        ManifestError: Its manifest is wrong.
    """
    files = _files("sources")
    if source_id not in files:
        raise SelectionError(_no_source(source_id))
    return load_manifest(files[source_id])


def recipe_ids() -> list[str]:
    """Return the ids of all recipes, sorted, without reading one."""
    return sorted(_files("recipes"))


def recipes() -> list[Recipe]:
    """Return all recipes, sorted by id; a broken file of the user's folder is told of in the log and left out.

    Raises:
        RecipeError: With the problems of every other recipe that has some.
    """
    found, wrong = [], []
    files = _files("recipes")
    for recipe_id in sorted(files):
        try:
            found.append(load_recipe(files[recipe_id]))
        except RecipeError as error:
            if files[recipe_id].parent == _user_folder("recipes"):
                _log.warning("%s\nThe recipe %s is left out.", error, recipe_id)
            else:
                wrong.append(str(error))
    if wrong:
        raise RecipeError("\n".join(wrong))
    return found


def find_recipe(name: str) -> Recipe:
    """Return a recipe by its id, or read it from a YAML file.

    Args:
        name: An id, or the path of a file that ends in ``.yaml`` or ``.yml``.

    Raises:
        SelectionError: There is neither; the message has the nearest names.
        RecipeError: It is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise SelectionError(
                f"there is no recipe file {name}. Recipes by name: {', '.join(recipe_ids())}"
            )
        return load_recipe(path)
    files = _files("recipes")
    if name not in files:
        raise SelectionError(
            f"there is no recipe '{name}'.{nearest_names(name, files)} Known: {', '.join(sorted(files))}. "
            "A recipe of your own is a YAML file: give its path, with .yaml at the end."
        )
    return load_recipe(files[name])


@contextmanager
def added_manifests(paths: Iterable[Path]) -> Iterator[list[Source]]:
    """Put sources of single files into the catalog while a block runs, before those of the same id.

    Raises:
        ManifestError: With the problems of every file that has some.
    """
    found, wrong = [], []
    files = tuple(paths)
    for path in files:
        try:
            found.append(load_manifest(path))
        except ManifestError as error:
            wrong.append(str(error))
    if wrong:
        raise ManifestError("\n".join(wrong))
    token = _added.set((*_added.get(), *files))
    try:
        yield found
    finally:
        _added.reset(token)


@dataclass(frozen=True, slots=True)
class Found:
    """What a selection and its conditions brought."""

    clips: tuple[Selected, ...]
    """The clips that fit, in order."""
    facts: tuple[ClipFacts, ...]
    """What is known of each."""
    undecided: tuple[Selected, ...]
    """Clips of the selection that are left out since a fact that was asked for is not known of them."""


def find_clips(
    patterns: Sequence[str] = (), *, where: str | Iterable[str] = (), store: Store | None = None
) -> Found:
    """Return the clips that patterns name and conditions let through, and what is known of each.

    Args:
        patterns: As for ``select``; every clip of every source when empty.
        where: Conditions, as ``facts.parse_where`` reads them.
        store: Whose probes go before the manifests' facts, and whose imported clips join open-ended sources.

    Raises:
        SelectionError: A pattern or condition is wrong, or a pattern fits nothing. That no clip fits the
            conditions is no error.
    """
    conditions = parse_where(where)
    records = {} if store is None else {(record.source, record.clip): record for record in store.records()}
    imported = imported_clips(records.values())
    if patterns:
        selected = select(patterns, imported=imported)
    else:
        selected = [
            Selected(source, clip)
            for source in sources()
            for clip in _clips_of(source, imported.get(source.id, ())).values()
        ]
    clips, facts, undecided = [], [], []
    for item in selected:
        here = records.get((item.source.id, item.clip.id))
        known = facts_of(
            item.source,
            item.clip,
            info=here.info if here else None,
            num_bytes=here.size_bytes if here else None,
        )
        match judge(conditions, known):
            case True:
                clips.append(item)
                facts.append(known)
            case None:
                undecided.append(item)
    return Found(tuple(clips), tuple(facts), tuple(undecided))


def sources_of(clips: Iterable[Selected]) -> list[Source]:
    """Return the sources of some clips, each with these clips only, in the order of the clips."""
    chosen: dict[str, tuple[Source, list[Clip]]] = {}
    for selected in clips:
        chosen.setdefault(selected.source.id, (selected.source, []))[1].append(selected.clip)
    return [source.model_copy(update={"clips": tuple(inside)}) for source, inside in chosen.values()]


def imported_clips(records: Iterable[ClipRecord]) -> dict[str, list[Clip]]:
    """Return the clips of records by source, as ``select`` takes those that no manifest lists."""
    clips: dict[str, list[Clip]] = defaultdict(list)
    kinds: dict[tuple[str, str | None], Clip] = {}
    for record in records:
        kind = (record.info.media, record.license)
        if kind not in kinds:
            kinds[kind] = Clip(id=record.clip, media=record.info.media, license=record.license)
        # Their ids are those of records, which were checked: making millions of clips afresh takes minutes.
        like = kinds[kind]
        clips[record.source].append(
            Clip.model_construct(like.model_fields_set, **{**like.__dict__, "id": record.clip})
        )
    return clips


def dataframe(
    patterns: Sequence[str] = (), *, where: str | Iterable[str] = (), store: Path | None = None
) -> pd.DataFrame:
    """Return the catalog as a table, one row for each clip.

    Columns are the fields of ``facts.ClipFacts``: source, clip, media, width, height, frames, rate (as a float),
    bit_depth, chroma, bytes, pristine, license, license_key, the five answers of the licence, year, access, and
    here. What is not known is ``<NA>``.

    Args:
        patterns: As for ``select``; every clip of every source when empty.
        where: Conditions, such as ``height>=1080 license=CC*``.
        store: The data folder; the user's own when left out.

    Raises:
        SelectionError: As ``find_clips``.
    """
    import pandas as pd

    found = find_clips(patterns, where=where, store=Store(store))
    frame = pd.DataFrame([asdict(facts) for facts in found.facts], columns=list(ClipFacts.__slots__))
    for name in ("width", "height", "frames", "bit_depth", "bytes", "year"):
        frame[name] = frame[name].astype("Int64")
    frame["rate"] = frame["rate"].map(lambda rate: None if rate is None else float(rate)).astype("Float64")
    texts = [name for name in frame.columns if frame[name].dtype == object]
    return frame.astype(dict.fromkeys(texts, "string"))


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One source in one line of the list."""

    source: str
    """Source id."""
    title: str
    """Its name for people."""
    access: str
    """As ``Source.access``."""
    open_ended: bool
    """Whether any clip may be imported."""
    clips: int
    """Clips that the manifest lists."""
    smallest: int | None
    """The least shorter side of its frames in pixels, where known."""
    largest: int | None
    """The greatest shorter side of its frames in pixels, where known."""
    known_bytes: int
    """Sum of the sizes that are known of its files, as published."""
    unknown_sizes: int
    """Files of which no size is known."""
    licenses: tuple[str, ...]
    """Names of the licences of its clips, the most frequent first."""
    terms: bool
    """Whether a person must accept terms first."""
    year: int | None
    """Year of the publication that introduced it."""
    clips_here: int
    """Clips in the store."""
    bytes_here: int
    """Size of their files."""


def list_sources(store: Store) -> list[SourceFacts]:
    """Return the sources in one line each, with what is here of them, sorted by id."""
    found = []
    for source in sources():
        here = store.records(source.id)
        sizes = [remote.size_bytes for remote in remotes_of(source)]
        sides = [min(clip.width, clip.height) for clip in source.clips if clip.width and clip.height]
        names = defaultdict(int, {source.licenses[source.license].name: 0})
        for clip in source.clips:
            names[license_of(source, clip).name] += 1
        used = [name for name in names if names[name] or not source.clips]
        found.append(
            SourceFacts(
                source=source.id,
                title=source.title,
                access=source.access,
                open_ended=source.open_ended,
                clips=len(source.clips),
                smallest=min(sides, default=None),
                largest=max(sides, default=None),
                known_bytes=sum(size for size in sizes if size),
                unknown_sizes=sum(size is None for size in sizes),
                licenses=tuple(sorted(used, key=lambda name: -names[name])),
                terms=bool(source.terms),
                year=source.year,
                clips_here=len(here),
                bytes_here=sum(record.size_bytes for record in here),
            )
        )
    return found


def select(
    patterns: Sequence[str], *, imported: Mapping[str, Iterable[Clip]] | None = None
) -> list[Selected]:
    """Return the clips that patterns name, each once, in the order of the patterns and of the manifests.

    ``xiph`` is every clip of a source, ``xiph/akiyo_cif`` one, ``xiph/*1080p*`` those that fit (upper and
    lower case differ), ``xiph:hd`` a group of the manifest.

    Args:
        patterns: What to select.
        imported: By source id, clips that a person brought to an open-ended source and that its manifest
            does not list. Those of other sources, and those that a manifest has, are not looked at.

    Raises:
        SelectionError: A pattern names what is not there, or fits nothing; the message has every such
            pattern and the nearest names.

    Example:
        >>> [selected.id for selected in select(["vid4/c*", "vid4/calendar"])]
        ['vid4/calendar', 'vid4/city']
    """
    chosen: dict[str, Selected] = {}
    wrong = []
    lookup = _Lookup(imported or {})
    for pattern in patterns:
        try:
            for selected in _matches(pattern, lookup):
                chosen.setdefault(selected.id, selected)
        except SelectionError as error:
            wrong.append(str(error))
    if wrong:
        raise SelectionError("\n".join(dict.fromkeys(wrong)))
    return list(chosen.values())


class _Lookup:
    """Sources and their clips by id, each looked up once: a list of clips may name millions of one source."""

    def __init__(self, imported: Mapping[str, Iterable[Clip]]) -> None:
        self._imported = imported
        self._known: dict[str, tuple[Source, dict[str, Clip]]] = {}

    def of(self, source_id: str) -> tuple[Source, dict[str, Clip]]:
        if source_id not in self._known:
            source = find_source(source_id)
            self._known[source_id] = source, _clips_of(source, self._imported.get(source.id, ()))
        return self._known[source_id]


def _matches(pattern: str, lookup: _Lookup) -> list[Selected]:
    parts = SELECTION.fullmatch(pattern)
    if parts is None:
        raise SelectionError(
            f"'{pattern}' is not a selection. Write SOURCE, SOURCE/CLIP, SOURCE/*PART* or SOURCE:GROUP."
        )
    source, clips = lookup.of(parts["source"])
    if parts["clip"] in clips:
        return [Selected(source, clips[parts["clip"]])]
    if parts["group"] is not None:
        if parts["group"] not in source.groups:
            raise SelectionError(
                f"{source.id} has no group '{parts['group']}'.{nearest_names(parts['group'], source.groups)} "
                f"Its groups: {', '.join(source.groups) or 'none'}."
            )
        wanted = source.groups[parts["group"]]
    else:
        wanted = (parts["clip"] or "*",)
    found = [Selected(source, clips[clip_id]) for clip_id in fitting(wanted, clips)]
    if not found:
        raise SelectionError(_nothing_fits(pattern, source, clips))
    return found


def _clips_of(source: Source, imported: Iterable[Clip]) -> dict[str, Clip]:
    listed = {clip.id: clip for clip in source.clips}
    return {clip.id: clip for clip in imported} | listed if source.open_ended else listed


def _nothing_fits(pattern: str, source: Source, clips: Mapping[str, Clip]) -> str:
    if source.access == "youtube":
        return (
            f"{pattern}: nothing that fits is here. Clips of {source.title} are chosen by label: "
            f"sr-data fetch {source.id} --label NAME --limit N (sr-data show {source.id} has the steps)."
        )
    if source.open_ended:
        return (
            f"{pattern}: nothing that fits was imported. {source.title} lists no clips here: a person brings "
            f"them with sr-data import {source.id} FILES (sr-data show {source.id} has the steps)."
        )
    name = pattern.partition("/")[2]
    same = [clip_id for clip_id in clips if clip_id.lower() == name.lower()]
    near = f" Did you mean {same[0]}?" if same else nearest_names(name, clips)
    return f"{source.id} has no clip that fits '{name}'.{near} sr-data show {source.id} lists its clips."


def _no_source(source_id: str) -> str:
    known = source_ids()
    near = nearest_names(source_id.lower(), known)
    if not near:
        near = nearest_names(source_id, [f"{found}/{source_id}" for found in known if _has(found, source_id)])
    return f"there is no source '{source_id}'.{near} Known: {', '.join(known)}."


def _has(source_id: str, clip_id: str) -> bool:
    try:
        return any(clip.id == clip_id for clip in find_source(source_id).clips)
    except ManifestError:
        return False


def find_clip(source: Source, clip_id: str) -> Clip:
    """Return a clip of a source.

    Raises:
        SelectionError: The manifest has none of this id; the message has the nearest names.
    """
    for clip in source.clips:
        if clip.id == clip_id:
            return clip
    raise SelectionError(_nothing_fits(f"{source.id}/{clip_id}", source, {c.id: c for c in source.clips}))


def remote_of(source: Source, clip: Clip) -> FileFacts:
    """Return the file to fetch for a clip: the archive that holds it, or the clip's own file."""
    if clip.archive is None:
        return clip
    return archive_of(source, clip.archive)


def remotes_of(source: Source) -> list[FileFacts]:
    """Return the files of a source, each once: its archives, then the clips' own files."""
    return [*source.archives, *(clip for clip in source.clips if clip.archive is None)]


def archive_of(source: Source, archive_id: str) -> RemoteFile:
    """Return an archive of a source.

    Raises:
        ValueError: The source has none of this id.
    """
    for archive in source.archives:
        if archive.id == archive_id:
            return archive
    raise ValueError(f"{source.id} has no archive '{archive_id}'")


def license_of(source: Source, clip: Clip) -> License:
    """Return the licence of a clip: its own, or its source's."""
    return source.licenses[clip.license or source.license]


def load_manifest(path: Path) -> Source:
    """Read a source from its YAML file, whose name is the source's id.

    Raises:
        ManifestError: One line for each problem: ``file:line: field: found, expected``.
    """
    stat = _stat(path, ManifestError)
    return _load_manifest(path, stat.st_mtime_ns, stat.st_size)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file.

    Raises:
        RecipeError: One line for each problem: ``file:line: field: found, expected``.
    """
    stat = _stat(path, RecipeError)
    return _load_recipe(path, stat.st_mtime_ns, stat.st_size)


def check_file(path: Path) -> str:
    """Read a manifest or a recipe, whichever a file is, and say what is in it.

    Raises:
        ManifestError: It is a manifest with problems, one line for each.
        RecipeError: It is a recipe with problems, one line for each.
    """
    _stat(path, ManifestError)
    try:
        data = YamlFile(path, read_yaml_text(path)).data
    except (OSError, ValueError):
        data = None
    if isinstance(data, dict) and {"scale", "split", "degradation", "sampling"} & set(data):
        recipe = load_recipe(path)
        return f"a recipe of {' '.join(recipe.clips)}, x{recipe.scale}"
    source = load_manifest(path)
    proven = sum(bool(remote.sha256 or remote.sha1 or remote.md5) for remote in remotes_of(source))
    return (
        f"a source of {len(source.clips)} clips in {len(remotes_of(source))} files, {proven} with a checksum"
    )


def suggest_id(name: str) -> str:
    """Return an id for a source of one's own that no source of the catalog has.

    Example:
        >>> suggest_id("My Clips"), suggest_id("vid4")
        ('my-clips', 'my-vid4')
    """
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "clips"
    return f"my-{words}" if words in source_ids() or words == "clips" else words


def json_schema(kind: Literal["source", "recipe"]) -> dict[str, Any]:
    """Return the JSON Schema of a source's manifest or of a recipe, for editors."""
    model: type[Model] = Source if kind == "source" else Recipe
    schema = model.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _stat(path: Path, error: type[ManifestError] | type[RecipeError]) -> os.stat_result:
    try:
        return path.stat()
    except OSError as wrong:
        raise error(f"{path}: cannot be read: {wrong.strerror}") from wrong


# The time and size of a file are part of the key, so that an edited manifest is read again.
@lru_cache(maxsize=256)
def _load_manifest(path: Path, mtime_ns: int, size: int) -> Source:
    source = load_model(path, Source, ManifestError, check=lambda data: source_problems(data, path.stem))
    return source.expanded()


@lru_cache(maxsize=256)
def _load_recipe(path: Path, mtime_ns: int, size: int) -> Recipe:
    return load_model(path, Recipe, RecipeError, check=recipe_problems)


def _files(kind: _Kind) -> dict[str, Path]:
    """Return the YAML files of a kind by id; later folders go before earlier ones, added files before all."""
    files = {path.stem: path for folder in _folders(kind) for path in sorted(folder.glob("*.yaml"))}
    return files | ({path.stem: path for path in _added.get()} if kind == "sources" else {})


def _folders(kind: _Kind) -> list[Path]:
    here = Path(__file__).resolve().parent
    packaged = here / "manifests"
    if not packaged.is_dir():
        packaged = here.parents[1] / "manifests"
    return [packaged / kind, _user_folder(kind)]


def _user_folder(kind: _Kind) -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "sr-datasets" / "manifests" / kind
