"""Deletes clips, and what was derived of them on this machine.

Some terms ask for it (those of the CDVL: destroy the copies after use), and so may the person in a video. What
goes: the clips' files and records, what of them waits in ``.incoming``, their rows in every set that was built from
this store (shards are rewritten without them, index, ``sr-data.json`` and card too), and their lines in the lists
of recipes. What stays: rows of other clips, bit for bit, with the same digests of their row groups; so a set has the
content digest that a build of the remaining list has.

Nothing of it can be left half done. What is to go is written to ``ROOT/forgetting.json`` first; then the records go,
so that no build takes the clips any more; then files, then rows. Only where the disk is too full to write these, files go
before them: until ``forgetting.json`` is there, the records still name the clips, and the same call finds them again. A set
is no set from its first change to its last (``sr-data.json`` is put aside), and shards are replaced whole. After a crash, or
where a set could not be changed, the next call ends the work. Files are deleted, not overwritten: what disks and backups
keep of them is out of reach.

Sets that builds wrote to addresses (``s3://bucket/set``) are looked at and named, and stay: they are for their owner to
delete. Every call names them again until the clips are there no more.
"""

import datetime
import errno
import json
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from stat import S_ISREG
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError

from sr_datasets import catalog
from sr_datasets.audit.references import fingerprint_paths
from sr_datasets.build import LOCK_NAME, REPORT_NAME, STATE_NAME, locked_folder, plan_digest
from sr_datasets.build.analysing import analysis_paths
from sr_datasets.build.folder import drop_partials, is_partial_shard, strangers_of_parts
from sr_datasets.build.makers import LAST_FILES, is_of_a_build
from sr_datasets.build.planning import some
from sr_datasets.built import (
    RECIPES_NAME,
    ClipName,
    FolderPath,
    built_sets,
    drop_from_recipes,
    drop_from_register,
    recipe_locks,
    remote_sets,
)
from sr_datasets.card import CARD_NAME, CROISSANT_NAME, write_card
from sr_datasets.errors import SelectionError, ShardError, SrDataError, StoreError
from sr_datasets.files import (
    disk_errors,
    human_bytes,
    locked,
    remove,
    remove_inside,
    require_inside,
    write_atomic,
)
from sr_datasets.models import Model
from sr_datasets.progress import Progress, Silent
from sr_datasets.remotes import Place
from sr_datasets.rules import SELECTION, fitting
from sr_datasets.shards.reader import ShardReader, summarize_shard
from sr_datasets.shards.schema import digest_of_rows
from sr_datasets.shards.sets import (
    DATA_DIR,
    FORGETTING_NAME,
    INDEX_NAME,
    MEASURES_NAME,
    PARTS_DIR,
    SET_NAME,
    SetInfo,
    ShardSummary,
    describe_set,
    read_set,
    write_index,
    write_set_json,
)
from sr_datasets.shards.writer import WRITER_KEYS, ShardWriter
from sr_datasets.store import ClipRecord, Store, StorePath

JOURNAL_NAME = "forgetting.json"
"""What is being forgotten, in the store's folder."""

_Name = tuple[str, str]  # source, clip
_CLIP_NAME = re.compile(r"[a-z0-9][a-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


class _Journal(Model):
    format: Literal[1] = 1
    clips: tuple[ClipName, ...]
    paths: tuple[StorePath, ...]
    folders: tuple[FolderPath, ...]
    """Sets that were named beside the register."""


@dataclass(frozen=True, slots=True)
class DeletedFile:
    """A file or folder of the store."""

    path: Path
    """Where it is, or was."""
    size_bytes: int
    """All of its bytes."""


@dataclass(frozen=True, slots=True)
class ClearedSet:
    """A set that lost rows, or is to lose them."""

    path: Path
    """Its folder."""
    clips: tuple[str, ...]
    """The clips that go, ``source/clip`` each."""
    rows_deleted: int
    """Rows of them."""
    rows_left: int
    """Rows of other clips."""
    rewritten: tuple[str, ...]
    """Shards that hold other clips too."""
    deleted: tuple[str, ...]
    """Shards that hold none."""
    content_digest: str = ""
    """The set's new content digest; empty before the work, and where nothing is left of a set."""
    others: tuple[str, ...] = ()
    """Where nothing is left of a set, what stays in its folder: files that no build wrote."""
    cards: tuple[str, ...] = ()
    """Cards of a finished set that were edited, or are of an earlier version: they may name the clips, so they go or are
    written anew, and what was added to them goes."""


@dataclass(frozen=True, slots=True)
class RemoteHolder:
    """A set at an address that holds clips which are forgotten here; it stays until its owner deletes it."""

    address: str
    """Where a build wrote it."""
    recipe: str
    """Id of the recipe."""
    clips: tuple[str, ...]
    """The clips, ``source/clip`` each."""
    trouble: str
    """Why it could not be looked at, so that the clips are those that the build took; empty when it was."""

    def to_text(self) -> str:
        """Return what has to be done, as one line."""
        place, count = str(Place(self.address)), _count(len(self.clips), "clip")
        what = (
            f"could not be looked at, and was built with {count} of these ({self.trouble})"
            if self.trouble
            else f"a set there has {count} of these"
        )
        step = _aws_rm(self.address) if place.startswith("s3:") else "all that lies there"
        again, note = self.recipe, ""
        if self.recipe not in catalog.recipe_ids():
            again, note = f"{self.recipe}.yaml", " (the file of your recipe)"
        return (
            f"{place}: {what}. Delete it ({step}), and build it again where you still want it: sr-data build-pairs "
            f"{shlex.quote(again)} --out {shlex.quote(Place(self.address).plain)}{note}"
        )


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was deleted, or is to be deleted, and what was not reached."""

    clips: tuple[str, ...]
    """``source/clip`` of each."""
    files: tuple[DeletedFile, ...]
    """What lay in the store."""
    sets: tuple[ClearedSet, ...]
    """Sets with rows of the clips."""
    recipes: dict[str, int]
    """Lists of recipes, and how many clips they lose."""
    gone: tuple[str, ...]
    """Folders where sets with these clips were built and that are there no more."""
    remote: tuple[RemoteHolder, ...]
    """Sets at addresses that hold the clips, and stay."""
    problems: tuple[str, ...]
    """Sets that could not be changed, and why; ``sr-data forget`` goes on with them when it runs again."""
    came: tuple[str, ...] = ()
    """What a command beside this one brought meanwhile, and is there: ``source/clip`` each, or a path without a record."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the store's files."""
        return sum(file.size_bytes for file in self.files)

    def to_json(self) -> dict[str, object]:
        """Return the report as plain JSON values."""
        return {
            "clips": list(self.clips),
            "files": [{"path": str(file.path), "size_bytes": file.size_bytes} for file in self.files],
            "sets": [
                {
                    "path": str(one.path),
                    "clips": list(one.clips),
                    "rows_deleted": one.rows_deleted,
                    "rows_left": one.rows_left,
                    "shards_rewritten": list(one.rewritten),
                    "shards_deleted": list(one.deleted),
                    "content_digest": one.content_digest,
                    "others": list(one.others),
                    "cards": list(one.cards),
                }
                for one in self.sets
            ],
            "recipes": self.recipes,
            "gone": list(self.gone),
            "remote": [asdict(one) for one in self.remote],
            "problems": list(self.problems),
            "came": list(self.came),
        }

    def to_text(self, *, done: bool) -> str:
        """Return the report for people.

        Args:
            done: Whether it was done, or is to be.
        """
        verb = "deleted" if done else "to delete"
        lines = [f"{verb}: {_count(len(self.clips), 'clip')}, {human_bytes(self.size_bytes)} of the store"]
        lines += [f"  {name}" for name in self.clips]
        lines += [f"  {file.path} ({human_bytes(file.size_bytes)})" for file in self.files]
        for one in self.sets:
            lines.append(
                f"{verb} in {one.path}: {_count(one.rows_deleted, 'row')} of {_count(len(one.clips), 'clip')}"
            )
            lines += [
                f"  {name}: {'rewritten' if done else 'to be rewritten'} without them"
                for name in one.rewritten
            ]
            lines += [f"  {name}: {verb}" for name in one.deleted]
            if one.content_digest:
                lines.append(f"  {_count(one.rows_left, 'row')} left, content digest {one.content_digest}")
            elif not one.rows_left:
                lines.append(f"  no row left: the whole set {'was deleted' if done else 'goes'}")
            if one.cards:
                lines.append(f"  edited, or of an earlier version; what was added goes: {some(one.cards)}")
            if one.others:
                lines.append(f"  no build wrote these, so they stay: {some(one.others)}")
        lines += [
            f"{verb} in the list of recipe {recipe_id}: {_count(count, 'clip')}"
            for recipe_id, count in self.recipes.items()
        ]
        lines += ["not reached:"]
        lines += [f"  {problem}" for problem in self.problems]
        lines += [f"  {name}: came while this was at work, and is there" for name in self.came]
        lines += [f"  {one.to_text()}" for one in self.remote]
        lines += [
            f"  {path}: a set with these clips was built there, and is there no more. If it was moved or copied, run "
            "sr-data forget again with --set FOLDER."
            for path in self.gone
        ]
        lines.append(
            "  what this tool does not know of: the files that you imported from, copies of sets, pictures and models "
            "made of them, other machines, backups"
        )
        return "\n".join(lines)


def plan_forget(store: Store, patterns: Sequence[str], *, sets: Sequence[Path] = ()) -> ForgetReport:
    """Return what ``forget`` would delete; nothing is changed.

    Args:
        store: The data folder.
        patterns: As for ``forget``.
        sets: As for ``forget``.

    Raises:
        SelectionError: A pattern fits nothing that is here or was built from here.
    """
    work = _Work(store, patterns, sets)
    found = [_look(folder, work.names) for folder in work.folders]
    lists = {
        recipe_id: count
        for recipe_id, lock in recipe_locks(store.root / RECIPES_NAME).items()
        if (count := sum(clip.name in work.texts for clip in lock.clips))
    }
    return ForgetReport(
        clips=work.texts,
        files=tuple(_size_of(path) for path in work.paths if _is_there(path)),
        sets=tuple(one for one in found if isinstance(one, ClearedSet) and one.clips),
        recipes=lists,
        gone=work.gone,
        remote=tuple(work.remote_holders()),
        problems=tuple(one for one in found if isinstance(one, str)),
    )


def forget(
    store: Store, patterns: Sequence[str], *, sets: Sequence[Path] = (), progress: Progress | None = None
) -> ForgetReport:
    """Delete clips and what was derived of them: originals, records, rows, lines of recipes' lists.

    What an earlier call left undone is done too.

    Args:
        store: The data folder.
        patterns: ``cdvl``, ``cdvl/clip``, ``cdvl/*part*``, ``xiph:hd``, or an id alone: a clip of any source, or
            YouTube's own id of a video, of which every piece goes.
        sets: Folders of sets to look through beside those that were built from this store here: copies, or sets
            that were moved.
        progress: Where the work shows itself.

    Returns:
        What was deleted and what was not. With ``problems``, call it again when they are solved; with ``came``, when
        what brings these clips has ended.

    Raises:
        SelectionError: A pattern fits nothing that is here or was built from here.
        SrDataError: The store cannot be written.
    """
    progress = progress or Silent()
    work = _Work(store, patterns, sets)
    with disk_errors(f"forgetting in {store.root}", store.root), locked(store.root / ".locks" / "forget"):
        files = tuple(_size_of(path) for path in work.paths if _is_there(path))
        work.write_journal()
        try:
            store.drop(*work.names)
        except SrDataError as error:
            if not _is_full(error.__cause__):
                raise
            work.delete_files(recorded=True)  # the room that writing the list of records takes
            store.drop(*work.names)
        work.delete_files()
        cleared: list[ClearedSet] = []
        problems: list[str] = []
        # Read anew: a build that has not seen the records go has written itself down by now.
        work.find_folders()
        with progress.bar("sets", total=len(work.folders), unit="sets") as bar:
            for folder in work.folders:
                try:
                    with disk_errors(str(folder), folder):
                        one = _clear(folder, work.names)
                    if one is not None:
                        cleared.append(one)
                    drop_from_register(store, [str(folder)], work.texts)
                except (SrDataError, OSError) as error:
                    problems.append(str(error) if str(folder) in str(error) else f"{folder}: {error}")
                bar.advance(1)
        remote = tuple(work.remote_holders())
        still = {one.address for one in remote}
        left = [one.address for one in remote_sets(store) if one.address not in still]
        drop_from_register(store, left, work.texts)
        recipes = drop_from_recipes(store, work.texts)
        _forget_on_ledgers(store, work.names)
        if not problems:
            (store.root / JOURNAL_NAME).unlink()
        came = work.came()
    return ForgetReport(
        clips=tuple(name for name in work.texts if name not in came),
        files=tuple(file for file in files if not _is_there(file.path)),
        sets=tuple(cleared),
        recipes=recipes,
        gone=work.gone,
        remote=remote,
        problems=tuple(problems),
        came=came,
    )


def _forget_on_ledgers(store: Store, names: Sequence[_Name]) -> None:
    """Drop titles and uploaders of YouTube videos, and keep a video of which nothing is left from coming again."""
    from sr_datasets.fetch.youtube.ledger import ledger_of
    from sr_datasets.fetch.youtube.names import piece_of

    today = datetime.datetime.now(datetime.UTC).date()
    for source, clip in names:
        piece, ledger = piece_of(clip), ledger_of(store.root, source)
        if piece is None or not ledger.path.exists():
            continue
        others = [piece_of(record.clip) for record in store.records(source)]
        if any(other is not None and other.youtube_id == piece.youtube_id for other in others):
            ledger.drop(clip)
        else:
            ledger.forget(piece.youtube_id, today=today)


def left_to_forget(store: Store) -> tuple[str, ...]:
    """Return the clips that an earlier call was at when it ended, ``source/clip`` each; none when none is left undone.

    Raises:
        StoreError: What it wrote down is damaged.
        OSError: It cannot be read.
    """
    journal = _read_journal(store.root / JOURNAL_NAME)
    return () if journal is None else journal.clips


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _aws_rm(address: str) -> str:
    """Return the command of Amazon's own tool that deletes what lies at an address."""
    options = dict(parse_qsl(urlsplit(address).query))
    endpoint = options.get("endpoint_override", "")
    if endpoint and "://" not in endpoint:
        endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
    named = (("--endpoint-url", endpoint), ("--region", options.get("region", "")))
    words = [word for pair in named if pair[1] for word in pair]
    return shlex.join(["aws", "s3", "rm", "--recursive", *words, f"{Place(address)}/"])


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _size_of(path: Path) -> DeletedFile:
    inside = [path] if path.is_symlink() or not path.is_dir() else list(path.rglob("*"))
    sizes = (file.lstat() for file in inside if _is_there(file))
    return DeletedFile(path, sum(stat.st_size for stat in sizes if S_ISREG(stat.st_mode)))


# What is to go


class _Work:
    """What one call deletes, with what an earlier one left."""

    def __init__(self, store: Store, patterns: Sequence[str], sets: Sequence[Path]) -> None:
        self.store = store
        self.records = {(record.source, record.clip): record for record in store.records()}
        self.journal = _read_journal(store.root / JOURNAL_NAME)
        self.named = [folder.resolve() for folder in sets]
        if self.journal is not None:
            self.named += [Path(folder) for folder in self.journal.folders]
        for folder in self.named:
            if not _kind_of(folder):
                read_set(folder)  # says what is there instead
        known = set(self.records)
        known |= {_split(name) for built in built_sets(store) for name in built.clips}
        known |= {_split(name) for built in remote_sets(store) for name in built.clips}
        known |= {
            _split(clip.name)
            for lock in recipe_locks(store.root / RECIPES_NAME).values()
            for clip in lock.clips
        }
        for folder in self.named:
            # What a set says comes from elsewhere: no name of it may lead out of the store's folders.
            known |= {name for name in _clips_of_set(folder) if _CLIP_NAME.fullmatch("/".join(name))}
        left = [_split(name) for name in self.journal.clips] if self.journal is not None else []
        wanted, whole = _resolve(patterns, sorted(known), store)
        self.names: tuple[_Name, ...] = tuple(sorted({*wanted, *left}))
        self.texts = tuple(f"{source}/{clip}" for source, clip in self.names)
        self.own = {name: self._paths_of(name) for name in self.names}
        self.whole = whole
        self.others = self._other_paths(whole)
        self.folders: list[Path] = []
        self.gone: tuple[str, ...] = ()
        self.find_folders()
        for path in self.paths:
            require_inside(path, store.root)

    def find_folders(self) -> None:
        """Find the sets with rows of the clips, and those of them that are gone."""
        named = set(self.texts)
        built = {Path(one.path): named & set(one.clips) for one in built_sets(self.store)}
        hit = [folder for folder, clips in built.items() if clips]
        self.folders = [folder for folder in dict.fromkeys([*hit, *self.named]) if _kind_of(folder)]
        self.gone = tuple(str(folder) for folder in hit if not _kind_of(folder))

    def remote_holders(self) -> Iterator[RemoteHolder]:
        """Look at the sets that builds of the clips wrote to addresses, and yield those that hold some still."""
        for built in remote_sets(self.store):
            took = sorted(set(self.texts) & set(built.clips))
            if took:
                holds, trouble = _look_there(Place(built.address), took)
                if holds:
                    yield RemoteHolder(built.address, built.recipe, tuple(holds), trouble)

    @property
    def paths(self) -> list[Path]:
        """What goes of the store, each once, folders without what they hold."""
        every = dict.fromkeys([path for paths in self.own.values() for path in paths] + self.others)
        return [path for path in every if not any(other in path.parents for other in every)]

    def _paths_of(self, name: _Name) -> list[Path]:
        """Return what lies in the store of a clip, finished or waiting to be."""
        source, clip = name
        record = self.records.get(name)
        paths = [] if record is None else [self.store.path_of(record), *self._analyses_of(record)]
        incoming = self.store.incoming(source)
        if incoming.is_dir():
            names = "|".join(re.escape(known) for known in (clip, *_archives_of(source, clip)))
            waiting = re.compile(rf"\.?({names})(\..*)?", re.DOTALL)
            paths += [path for path in sorted(incoming.iterdir()) if waiting.fullmatch(path.name)]
        return paths

    def _analyses_of(self, record: ClipRecord) -> list[Path]:
        """Return what was found of a clip's pictures, unless another clip that stays has the same bytes."""
        stay = (other for name, other in self.records.items() if name not in self.names)
        if any(other.sha256 == record.sha256 for other in stay):
            return []
        return [*analysis_paths(self.store, record.sha256), *fingerprint_paths(self.store, record.sha256)]

    def _other_paths(self, whole: Collection[str]) -> list[Path]:
        """Return what an earlier call left, and whatever lies in the folders of sources that go whole."""
        root = self.store.root
        paths = [root / path for path in self.journal.paths] if self.journal is not None else []
        for source in whole:
            if (root / source).is_dir():
                paths += sorted((root / source).iterdir())
        return paths

    def write_journal(self) -> None:
        """Write down what is to go, before anything goes.

        Where the disk is so full that not even this can be written, files of clips go first, one clip's after the other's,
        until it can: their records are there, so that the same call finds them again.
        """
        recorded = [name for name in self.names if name in self.records]
        for tried in range(len(recorded) + 1):
            try:
                self._write_journal()
            except OSError as error:
                if not _is_full(error) or not recorded:
                    raise
                if tried == len(recorded):
                    raise StoreError(
                        f"{self.store.root / JOURNAL_NAME} cannot be written ({error.strerror}), although the files of "
                        f"{_count(tried, 'clip')} were deleted to make room. Their records are there still, and so are their "
                        "rows in sets. Make more room, then run the same command again."
                    ) from error
                self._delete_own(recorded[tried], recorded=True)
            else:
                return

    def _write_journal(self) -> None:
        journal = _Journal(
            clips=self.texts,
            paths=tuple(path.relative_to(self.store.root).as_posix() for path in self.paths),
            folders=tuple(dict.fromkeys(str(folder) for folder in self.named)),
        )
        path = self.store.root / JOURNAL_NAME
        write_atomic(path, (journal.model_dump_json(indent=1) + "\n").encode(), alone=True)

    def delete_files(self, *, recorded: bool = False) -> None:
        """Delete what lies in the store, each clip's files under its lock; what came anew meanwhile stays.

        Args:
            recorded: Also of clips whose records are there still.
        """
        for name in self.own:
            self._delete_own(name, recorded=recorded)
        for path in self.others:
            with ExitStack() as held:
                # Between the name of a file and its record, what brings it holds this lock.
                ids = self._ids_at(path)
                for clip in ids:
                    held.enter_context(self.store.lock(path.parent.name, clip))
                records = (self.store.find(path.parent.name, clip) for clip in ids)
                if not any(record is not None and self.store.path_of(record) == path for record in records):
                    self._remove_in_use(path)
        for source in {source for source, _ in self.names}:
            for folder in (self.store.incoming(source), self.store.root / source):
                with suppress(OSError):  # others still have files there
                    folder.rmdir()

    def _delete_own(self, name: _Name, *, recorded: bool) -> None:
        with self.store.lock(*name):
            record = self.store.find(*name)
            if record is None or (recorded and record == self.records.get(name)):
                for path in self.own[name]:
                    remove_inside(path, self.store.root)

    def _ids_at(self, path: Path) -> list[str]:
        """Return the ids that the clip of a path may have, of those that any command was at work on."""
        if path.parent.parent != self.store.root:
            return []
        ends = [at for at, letter in enumerate(path.name) if letter == "." and at] + [len(path.name)]
        locks = self.store.root / ".locks" / path.parent.name
        return [path.name[:end] for end in ends if (locks / path.name[:end]).is_file()]

    def _remove_in_use(self, path: Path) -> None:
        """Delete what another command may be writing into; what it writes anew is told by ``came``."""
        try:
            remove_inside(path, self.store.root)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise

    def came(self) -> tuple[str, ...]:
        """Return what is there of these clips, and of sources that go whole: it came meanwhile."""
        records = {(record.source, record.clip): record for record in self.store.records()}
        named = set(self.names)
        clips = [name for name in records if name in named or name[0] in self.whole]
        recorded = {self.store.path_of(record) for record in records.values()}
        paths = [path for path in self.paths if _is_there(path) and path not in recorded]
        return (*(f"{source}/{clip}" for source, clip in sorted(clips)), *map(str, paths))


def _read_journal(path: Path) -> _Journal | None:
    try:
        return _Journal.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StoreError(
            f"{path} does not say what was to be forgotten: {what}. Move it away, and name the clips to sr-data forget "
            "again."
        ) from error


def _split(name: str) -> _Name:
    source, _, clip = name.partition("/")
    return source, clip


def _archives_of(source: str, clip: str) -> list[str]:
    """Return the archive that holds a clip, if the catalog knows one."""
    with suppress(SrDataError):
        return [one.archive for one in catalog.find_source(source).clips if one.id == clip and one.archive]
    return []


def _resolve(patterns: Sequence[str], known: Sequence[_Name], store: Store) -> tuple[list[_Name], list[str]]:
    """Return the clips that patterns name, and the sources that they name whole."""
    sources = {source for source, _ in known} | set(catalog.source_ids())
    chosen: list[_Name] = []
    whole: list[str] = []
    wrong = []
    for pattern in patterns:
        parts = SELECTION.fullmatch(pattern)
        if parts is None or (parts["clip"] is None and parts["group"] is None and pattern not in sources):
            found = [name for name in known if name[1] == pattern or name[1].startswith(f"yt-{pattern}.")]
        else:
            wanted: Sequence[str] = (parts["clip"] or "*",)
            if parts["group"] is not None:
                wanted = [item.clip.id for item in catalog.select([pattern])]
            clips = [clip for source, clip in known if source == parts["source"]]
            found = [(parts["source"], clip) for clip in fitting(wanted, clips)]
            if parts["clip"] is None and parts["group"] is None:
                whole.append(pattern)
                if not found and (store.root / pattern).is_dir():
                    continue
        if not found:
            wrong.append(
                f"'{pattern}' fits no clip that is in the store {store.root} or that a set was built of. Known are "
                f"clips of: {', '.join(sorted({source for source, _ in known})) or 'no source'}."
            )
        chosen += found
    if wrong:
        raise SelectionError("\n".join(wrong))
    return chosen, whole


# Sets


def _kind_of(folder: Path) -> Literal["set", "interrupted", "unfinished", ""]:
    """Tell what of a set lies in a folder; nothing when it is gone."""
    if (folder / FORGETTING_NAME).is_file():
        return "interrupted"
    if (folder / SET_NAME).is_file():
        return "set"
    return "unfinished" if any((folder / DATA_DIR).glob("*.parquet")) else ""


def _info_of(folder: Path) -> SetInfo | None:
    """Return what a set says, or said before it was begun to be changed; None for an unfinished build."""
    match _kind_of(folder):
        case "set":
            return read_set(folder)
        case "interrupted":
            try:
                return SetInfo.model_validate_json((folder / FORGETTING_NAME).read_bytes())
            except ValidationError as error:
                raise ShardError(
                    f"{folder / FORGETTING_NAME} is damaged: {error}. Delete this set."
                ) from error
        case _:
            return None


def _clips_of_set(folder: Path) -> set[_Name]:
    info = _info_of(folder)
    if info is not None:
        return {(clip.source, clip.clip) for clip in info.inputs}
    return {name for path in _shards_of(folder) for name in _names_in(path)}


def _shards_of(folder: Path) -> list[Path]:
    return sorted((folder / DATA_DIR).glob("*.parquet"))


def _names_in(path: Path) -> Counter[_Name]:
    """Return how many rows of which clips a shard holds.

    Raises:
        ShardError: It cannot be read.
    """
    counts: Counter[_Name] = Counter()
    with closing(ShardReader(path)) as reader:
        for group in range(reader.num_groups):
            counts.update(_names_of_group(reader, group))
    return counts


def _names_of_group(reader: ShardReader, group: int) -> list[_Name]:
    table = reader.read_columns(group, ["source", "clip"])
    return list(zip(table.column("source").to_pylist(), table.column("clip").to_pylist(), strict=True))


def _with_their_pairs(folder: Path, names: Collection[_Name]) -> set[_Name]:
    """Return the names and those of the clips whose provided LR they are: their rows hold it."""
    found = set(names)
    texts = {f"{source}/{clip}" for source, clip in names}
    for path in _shards_of(folder):
        with closing(ShardReader(path)) as reader:
            inputs = json.loads(reader.metadata.get("inputs", "[]"))
        found |= {(clip["source"], clip["clip"]) for clip in inputs if clip.get("lr") in texts}
    return found


def _look(folder: Path, names: Collection[_Name]) -> ClearedSet | str:
    """Return what a set would lose, or why that cannot be told."""
    gone: Counter[_Name] = Counter()
    left = 0
    rewritten, deleted = [], []
    try:
        names = _with_their_pairs(folder, names)
        unfinished = _kind_of(folder) == "unfinished"
        for path in _shards_of(folder):
            counts = _names_in(path)
            hit = Counter({name: count for name, count in counts.items() if name in names})
            if hit and (unfinished or len(hit) == len(counts)):
                deleted.append(path.name)
                gone.update(counts)
            else:
                left += counts.total() - hit.total()
                gone.update(hit)
                rewritten += [path.name] * bool(hit)
        others = _beside(folder, finished=not unfinished)[1] if gone and not left else ()
        cards = _edited_cards(folder) if gone and not unfinished else ()
    except SrDataError as error:
        return str(error)
    return ClearedSet(
        folder,
        _texts(gone, names),
        gone.total(),
        left,
        tuple(rewritten),
        tuple(deleted),
        others=others,
        cards=cards,
    )


def _look_there(place: Place, took: Sequence[str]) -> tuple[list[str], str]:
    """Return which clips a set at an address holds of those that its build took, and why that cannot be told."""
    try:
        if place.size_of(SET_NAME) is None:
            return (list(took) if place.entries(DATA_DIR) else []), ""  # not finished, or deleted
        told = {
            f"{source}/{clip}" for source, clip in _told(SetInfo.model_validate_json(place.read(SET_NAME)))
        }
    except (SrDataError, OSError) as error:
        return list(took), str(error)
    except ValidationError:
        return list(took), f"its {SET_NAME} is not of this version"
    return [name for name in took if name in told], ""


def _told(info: SetInfo) -> set[_Name]:
    """Return every clip that a set speaks of."""
    told = {(clip.source, clip.clip) for clip in info.inputs}
    told |= {(clip.source, clip.clip) for clip in info.skipped}
    return told | {(clip.lr.source, clip.lr.clip) for clip in info.inputs if clip.lr is not None}


def _texts(found: Iterable[_Name], names: Collection[_Name]) -> tuple[str, ...]:
    return tuple(f"{source}/{clip}" for source, clip in sorted(found) if (source, clip) in names)


def _clear(folder: Path, names: Collection[_Name]) -> ClearedSet | None:
    """Take clips out of a set; None if it has none of them.

    Raises:
        BuildError: A build is writing into it.
        ShardError: A shard is damaged; nothing of it was changed.
    """
    info = _info_of(folder)
    if info is not None and _told(info).isdisjoint(names):
        return None  # a folder of others, whatever the register says of it
    with locked_folder(folder):
        drop_partials(
            folder
        )  # of a build or a forgetting that was killed: nobody writes them now, as the lock says
        info = _info_of(folder)
        if info is None:
            return _clear_unfinished(folder, _with_their_pairs(folder, names))
        names = _with_their_pairs(folder, names)
        before = {path.name: _names_in(path) for path in _shards_of(folder)}
        interrupted = _kind_of(folder) == "interrupted"
        if not interrupted:
            if not any(name in names for counts in before.values() for name in counts):
                return None
            if missing := [shard.name for shard in info.shards if shard.name not in before]:
                raise ShardError(
                    f"{folder}: {missing[0]} is missing, so nothing was changed in this set. Copy it again, or delete "
                    "the whole set, then run sr-data forget again."
                )
            (folder / SET_NAME).replace(folder / FORGETTING_NAME)
        kept: list[ShardSummary] = []
        rewritten, deleted = [], []
        for name, counts in before.items():
            path = folder / DATA_DIR / name
            if counts and all(clip in names for clip in counts):
                path.unlink()
                deleted.append(name)
            elif any(clip in names for clip in counts):
                kept.append(_rewrite(path, names))
                rewritten.append(name)
            else:
                kept.append(summarize_shard(path))
        cards = _edited_cards(folder)
        after, others = _finish(folder, info, kept, names)
        rows_left = sum(shard.rows for shard in kept)
        inputs = {(clip.source, clip.clip) for clip in info.inputs}
        return ClearedSet(
            folder,
            _texts(inputs, names),
            info.rows - rows_left,
            rows_left,
            tuple(rewritten),
            tuple(deleted),
            after,
            others,
            cards,
        )


def _clear_unfinished(folder: Path, names: Collection[_Name]) -> ClearedSet | None:
    """Delete the shards of a build that did not end, where they hold a clip that goes."""
    gone: Counter[_Name] = Counter()
    left = 0
    deleted = []
    for path in _shards_of(folder):
        counts = _names_in(path)
        if any(name in names for name in counts):
            gone.update(counts)
            deleted.append(path.name)
            path.unlink()
            remove(folder / PARTS_DIR / path.name)
        else:
            left += counts.total()
    if not deleted:
        return None
    others = () if left else _remove_set(folder, finished=False)
    return ClearedSet(folder, _texts(gone, names), gone.total(), left, (), tuple(deleted), others=others)


def _rewrite(path: Path, names: Collection[_Name]) -> ShardSummary:
    """Write a shard anew without some clips; whole row groups that stay keep their content digests.

    Raises:
        ShardError: It is damaged, so that what is kept would not be what was written; it is left as it was.
    """
    with closing(ShardReader(path)) as reader:
        metadata = reader.metadata
        if not {"group_digests", "inputs", "recipe"} <= metadata.keys():
            raise ShardError(f"{path} was not written by sr-data build-pairs. {_DELETE_IT}")
        digests: list[str] = json.loads(metadata["group_digests"])
        inputs = [
            clip for clip in json.loads(metadata["inputs"]) if (clip["source"], clip["clip"]) not in names
        ]
        made_of = [(clip["source"], clip["clip"], clip["sha256"]) for clip in inputs]
        skipped = [
            clip
            for clip in json.loads(metadata.pop("skipped", "[]"))
            if (clip["source"], clip["clip"]) not in names
        ]
        if skipped:
            metadata["skipped"] = json.dumps(skipped)
        own = {key: value for key, value in metadata.items() if key not in WRITER_KEYS} | {
            "inputs": json.dumps(inputs),
            "plan": plan_digest(metadata["recipe"], path.name, made_of, metadata.get("analysis", "")),
        }
        with ShardWriter(path, metadata=own, storage=reader.storage, preview=reader.has_preview) as writer:
            for group in range(reader.num_groups):
                first, count = reader.rows_of(group)
                rows = [
                    reader.read_row(first + number)
                    for number, name in enumerate(_names_of_group(reader, group))
                    if name not in names
                ]
                if len(rows) == count and digest_of_rows(rows) != digests[group]:
                    raise ShardError(
                        f"{path}: row group {group} is damaged: its content is not what was written. {_DELETE_IT}"
                    )
                if rows:
                    writer.write_group(rows)
    return writer.summary


_DELETE_IT = "Delete the whole set, run sr-data forget again, and build the set anew."


def _finish(
    folder: Path, info: SetInfo, kept: Sequence[ShardSummary], names: Collection[_Name]
) -> tuple[str, tuple[str, ...]]:
    """Write the index, description and card of what is left of a set.

    Returns:
        Its content digest, empty if nothing is left of it; and what stays in its folder then.
    """
    if not kept:
        return "", _remove_set(folder, finished=True)
    fresh = describe_set(
        recipe=info.recipe,
        shards=kept,
        index=write_index(folder, kept),
        inputs=[clip for clip in info.inputs if (clip.source, clip.clip) not in names],
        skipped=[clip for clip in info.skipped if (clip.source, clip.clip) not in names],
        packages={**info.packages, "pyarrow": version("pyarrow")},
    )
    write_card(folder, fresh)
    remove(folder / REPORT_NAME)  # it may name the clips
    remove(folder / MEASURES_NAME)  # numbers of their pixels
    write_set_json(folder, fresh)
    (folder / FORGETTING_NAME).unlink()
    return fresh.content_digest, ()


_BESIDE = (
    INDEX_NAME,
    CARD_NAME,
    CROISSANT_NAME,
    REPORT_NAME,
    MEASURES_NAME,
    SET_NAME,
    STATE_NAME,
    FORGETTING_NAME,
    LOCK_NAME,
)
"""What builds write beside the folders of shards and receipts, in the order in which it goes."""


def _beside(folder: Path, *, finished: bool) -> tuple[list[Path], tuple[str, ...]]:
    """Return what goes of a set's folder with its last shard, and the names of what stays.

    Where no ``sr-data.json`` was, somebody's own file may be called as what a build writes: its content tells.
    """
    place, parts, data = Place(folder), folder / PARTS_DIR, folder / DATA_DIR
    ours = [name for name in _BESIDE if finished or name not in LAST_FILES or is_of_a_build(place, name)]
    receipts = [path.name for path in parts.iterdir()] if parts.is_dir() else []
    strange = strangers_of_parts(receipts)
    goes = [parts / name for name in receipts if f"{PARTS_DIR}/{name}" not in strange]
    stays = [
        path.name for path in folder.iterdir() if path.name not in (*ours, DATA_DIR, PARTS_DIR)
    ] + strange
    if data.is_dir():
        stays += [
            f"{DATA_DIR}/{path.name}"
            for path in data.iterdir()
            if path.suffix != ".parquet" and not is_partial_shard(path.name)
        ]
    return [*goes, *(folder / name for name in ours)], tuple(sorted(stays))


def _edited_cards(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in (CARD_NAME, CROISSANT_NAME) if not is_of_a_build(Place(folder), name))


def _remove_set(folder: Path, *, finished: bool) -> tuple[str, ...]:
    """Delete the files of a set that has no rows left, and its folder if it holds nothing else; return what stays."""
    goes, stays = _beside(folder, finished=finished)
    for path in goes:
        remove(path)
    for path in (folder / PARTS_DIR, folder / DATA_DIR, folder):
        with suppress(OSError):
            path.rmdir()
    return stays
