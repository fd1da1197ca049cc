"""The data folder: where a clip lies, ``sr-data.lock``, what is verified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from sr_datasets.errors import StoreError
from sr_datasets.files import disk_errors, locked, sha256_of, write_atomic
from sr_datasets.manifest import ClipId, ColorTags, HexSha256, SourceId, VideoInfo
from sr_datasets.models import Model, without_collecting

LOCK_NAME = "sr-data.lock"

Proof = Literal["sha256", "sha1", "md5", "pixels-sha256", "first-fetch", "generated", "imported"]


def _inside(path: str) -> str:
    parts = path.split("/")
    if "\0" in path or len(parts) < 2 or not all(part not in ("", ".", "..") for part in parts):
        raise ValueError(f"'{path}' is no path inside the store, such as xiph/akiyo_cif.y4m")
    return path


StorePath = Annotated[str, AfterValidator(_inside)]
"""POSIX path inside the store's folder: two parts at least, none of them empty, ``.`` or ``..``. A lock file comes
from elsewhere, and files are deleted by it."""


class FileRecord(Model):
    """One verified file of the store."""

    path: StorePath
    """Where it lies in the store."""
    size_bytes: int
    """Exact size."""
    sha256: HexSha256
    """SHA-256 when it was brought in."""
    mtime_ns: int
    """Modification time when it was brought in, for the quick check."""


class ArchiveRecord(Model):
    """An archive as it was when clips were taken out of it; the archive itself is not kept."""

    id: str
    """Its name in the manifest."""
    size_bytes: int
    """Exact size."""
    sha256: HexSha256
    """SHA-256 when it was fetched."""


class ClipRecord(Model):
    """What the store knows of one clip."""

    source: SourceId
    """Source id."""
    clip: ClipId
    """Clip id."""
    path: StorePath
    """Where it lies in the store: a file, or a folder of frames. The first part is the source."""
    files: tuple[FileRecord, ...]
    """Its files, in frame order."""
    sha256: HexSha256
    """Digest of the clip: the file's own SHA-256, or that of its frames (``digest_of``)."""
    origin: str
    """URL, ``imported`` or ``generated``."""
    proof: Proof
    """What the bytes were checked against: a checksum of the manifest (for clips out of an archive, the
    archive's). ``first-fetch`` and ``imported`` were trusted on first sight."""
    etag: str = ""
    """The server's tag of the bytes, if it sent one."""
    archive: ArchiveRecord | None = None
    """What it was fetched in, if that was an archive."""
    partial_of: int | None = None
    """Frames that the manifest lists, when fewer were accepted (``sr-data import --allow-partial``)."""
    license: str | None = None
    """Of a clip that no manifest lists: a key of the source's ``licenses``, or None for the source's own."""
    attribution: str = ""
    """Of such a clip: whom to name, and how."""
    info: VideoInfo
    """What the clip says of itself."""

    @model_validator(mode="after")
    def _lies_in_its_own_place(self) -> Self:
        source, name, *_ = self.path.split("/")
        if source != self.source or name.startswith("."):
            raise ValueError(f"'{self.path}' is no place of a clip of {self.source}")
        for file in self.files:
            if file.path != self.path and not file.path.startswith(f"{self.path}/"):
                raise ValueError(f"'{file.path}' is no file of {self.path}")
        return self

    @property
    def size_bytes(self) -> int:
        """Return the sum of its files' sizes."""
        return sum(file.size_bytes for file in self.files)


def digest_of(files: Iterable[FileRecord], *, media: str) -> str:
    """Return the digest of a clip: its file's SHA-256; for frames, that of what ``sha256sum`` prints.

    That is, in frame order, a line of hash, two spaces and file name each, without folders.

    Args:
        files: The clip's files, in frame order.
        media: As ``Clip.media``.
    """
    several = list(files)
    if media != "frames":
        (file,) = several
        return file.sha256
    lines = "".join(f"{file.sha256}  {file.path.rpartition('/')[2]}\n" for file in several)
    return hashlib.sha256(lines.encode()).hexdigest()


class _Lock(Model):
    format: Literal[1] = 1
    clips: Annotated[dict[str, ClipRecord], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _names_are_those_of_the_records(self) -> Self:
        for name, record in self.clips.items():
            if name != f"{record.source}/{record.clip}":
                raise ValueError(f"the entry '{name}' is of {record.source}/{record.clip}")
        return self


def read_lock(path: Path) -> dict[str, ClipRecord]:
    """Return the records of a lock file by ``source/clip``, of a store or as it was committed and shared.

    Raises:
        StoreError: There is none, or it is not of this version.
    """
    try:
        return _clips_of(path)
    except OSError as error:
        raise StoreError(f"the lock file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise StoreError(f"{_not_a_lock(path, error)} Restore it from a copy.") from error


_HEAD = b'{\n "format": 1,\n "clips": {\n'
_TAIL = b"\n }\n}\n"
_BETWEEN = b',\n  "'
"""What stands between two records as ``Store`` writes them: nothing in a record is indented so little."""
_PIECE_BYTES = 4 << 20


def _clips_of(path: Path) -> dict[str, ClipRecord]:
    """Return the records of a lock file by ``source/clip``.

    What ``Store`` wrote is read a piece at a time, and what records have in common is kept once: a file of millions of
    clips has several GB. Any other file is read at once.

    Raises:
        OSError: It cannot be read.
        ValidationError: It is not of this version.
    """
    clips: dict[str, ClipRecord] = {}
    common = _Common()
    try:
        with without_collecting():
            for piece in _pieces(path):
                found = _Lock.model_validate_json(b'{"format": 1, "clips": {' + piece + b"}}").clips
                for name, record in found.items():
                    common.share(record)
                    clips[name] = record
    except (_OtherwiseError, ValidationError):
        return _Lock.model_validate_json(path.read_bytes()).clips
    return clips


class _OtherwiseError(Exception):
    """A lock file is not as ``Store`` writes it; it may still be one."""


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield the records of a lock file, whole ones, some MB at a time."""
    with path.open("rb") as file:
        if file.read(len(_HEAD)) != _HEAD:
            raise _OtherwiseError
        rest = b""
        while block := file.read(_PIECE_BYTES):
            rest += block
            if (cut := rest.rfind(_BETWEEN)) > 0:
                yield rest[:cut]
                rest = rest[cut + 1 :]
    if not rest.endswith(_TAIL):
        raise _OtherwiseError
    yield rest.removesuffix(_TAIL)


class _Common:
    """Keeps what many records have in common once."""

    def __init__(self) -> None:
        self._infos: dict[VideoInfo, VideoInfo] = {}
        self._colors: dict[ColorTags, ColorTags] = {}
        self._texts: dict[str, str] = {}
        self._given: dict[frozenset[str], set[str]] = {}

    def share(self, record: ClipRecord) -> None:
        """Let equal parts of a record be the same objects as those of others."""
        info = self._infos.setdefault(record.info, record.info)
        if info is record.info:
            info.__dict__["color"] = self._colors.setdefault(info.color, info.color)
            self._share_names(info)
            self._share_texts(info, ("container", "codec", "pixel_format"))
        record.__dict__["info"] = info
        self._share_names(record)
        self._share_texts(record, ("source", "proof"))
        for file in record.files:
            self._share_names(file)
            if file.path == record.path:
                file.__dict__["path"] = record.path
            if file.sha256 == record.sha256:
                file.__dict__["sha256"] = record.sha256

    def _share_texts(self, model: Model, names: Sequence[str]) -> None:
        fields = model.__dict__
        for name in names:
            fields[name] = self._texts.setdefault(fields[name], fields[name])

    def _share_names(self, model: Model) -> None:
        given = model.model_fields_set
        shared = self._given.setdefault(frozenset(given), given)
        object.__setattr__(model, "__pydantic_fields_set__", shared)


def _not_a_lock(path: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    what = first["msg"].removeprefix("Value error, ")
    return f"{path} is not a lock file of this version: {where}: {what}."


def default_root() -> Path:
    """Return ``$SR_DATA_HOME``, or ``sr-datasets`` in the user's data folder (XDG)."""
    if home := os.environ.get("SR_DATA_HOME"):
        return Path(home)
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "sr-datasets"


class Store:
    """A data folder.

    ``ROOT/sr-data.lock`` lists every clip with its files, sizes, hashes and probe; files lie in
    ``ROOT/<source>/``, and in ``ROOT/<source>/.incoming/`` until they are whole and checked. Two processes may
    use one store: the lock file is rewritten whole, under a lock between processes.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()
        self._seen: tuple[tuple[int, int, int], dict[str, ClipRecord]] | None = None

    def records(self, source: str | None = None) -> list[ClipRecord]:
        """Return what is here, of one source or of all, sorted by source and clip."""
        clips = self._read()
        return [clips[key] for key in sorted(clips) if source is None or clips[key].source == source]

    def find(self, source: str, clip: str) -> ClipRecord | None:
        """Return the record of a clip, or None when it is not here."""
        return self._read().get(f"{source}/{clip}")

    def get(self, source: str, clip: str) -> ClipRecord:
        """Return the record of a clip.

        Raises:
            StoreError: It is not in the store; the message says how to bring it in.
        """
        record = self.find(source, clip)
        if record is None:
            raise StoreError(
                f"{source}/{clip} is not in the store {self.root}. "
                f"Bring it in with: sr-data fetch {source}/{clip} (or sr-data import {source} PATH)"
            )
        return record

    def path_of(self, record: ClipRecord) -> Path:
        """Return where a clip's file or folder lies."""
        return self.root / record.path

    def place_for(self, source: str, clip: str, suffix: str) -> Path:
        """Return where a clip belongs: its id with the file's suffix, or the id alone for a folder of frames."""
        name = clip if clip.lower().endswith(suffix.lower()) else clip + suffix
        return self.root / source / name

    def incoming(self, source: str) -> Path:
        """Return the folder where a source's files lie while they are not yet whole and checked."""
        return self.root / source / ".incoming"

    def find_archive(self, source: str, archive: str) -> ArchiveRecord | None:
        """Return what is known of an archive that clips of the store came out of, or None."""
        found = (record.archive for record in self.records(source) if record.archive is not None)
        return next((one for one in found if one.id == archive), None)

    def lock(
        self, source: str, name: str, *, waiting: Callable[[], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold what belongs to one clip, or to one archive of a source, against other processes."""
        return locked(self.root / ".locks" / source / name, waiting=waiting)

    def record_file(self, path: Path, sha256: str) -> FileRecord:
        """Return the record of a file of the store whose hash is known."""
        stat = path.stat()
        return FileRecord(
            path=path.relative_to(self.root).as_posix(),
            size_bytes=stat.st_size,
            sha256=sha256,
            mtime_ns=stat.st_mtime_ns,
        )

    def put(self, *records: ClipRecord) -> None:
        """Add or replace records, all at once.

        Raises:
            SrDataError: The disk is full, or the store cannot be written.
        """
        self._change(
            lambda clips: clips.update({f"{record.source}/{record.clip}": record for record in records})
        )

    def drop(self, *names: tuple[str, str]) -> None:
        """Take records out, all at once; what has none is passed over, and the files stay.

        Args:
            names: Source and clip id of each.

        Raises:
            SrDataError: The disk is full, or the store cannot be written.
        """

        def without(clips: dict[str, ClipRecord]) -> None:
            for source, clip in names:
                clips.pop(f"{source}/{clip}", None)

        if not self._read().keys().isdisjoint(f"{source}/{clip}" for source, clip in names):
            self._change(without)

    def _change(self, change: Callable[[dict[str, ClipRecord]], None]) -> None:
        with disk_errors(f"the store {self.root}", self.root), locked(self.root / ".locks" / "lock"):
            clips = dict(self._read())
            change(clips)
            lock = _Lock(clips=dict(sorted(clips.items())))
            path = self.root / LOCK_NAME
            write_atomic(path, (lock.model_dump_json(indent=1) + "\n").encode(), alone=True)
            self._seen = _state(path), lock.clips

    def problems(
        self, record: ClipRecord, *, full: bool = False, advance: Callable[[int], None] | None = None
    ) -> list[str]:
        """Return what is wrong with a clip's files, one sentence each; an empty list when nothing is.

        Args:
            record: The clip.
            full: Compare SHA-256, and not the time; otherwise size and time of modification.
            advance: Told the bytes of each file that was looked at.
        """
        found = []
        for file in record.files:
            path = self.root / file.path
            try:
                stat = path.stat()
                if stat.st_size != file.size_bytes:
                    found.append(f"{path} has {stat.st_size} bytes, its record says {file.size_bytes}")
                elif full and (sha256 := sha256_of(path)) != file.sha256:
                    found.append(f"{path} has SHA-256 {sha256}, its record says {file.sha256}")
                elif not full and stat.st_mtime_ns != file.mtime_ns:
                    found.append(
                        f"{path} was modified after it was brought in (a copy may be: sr-data verify --full takes it "
                        "again when its bytes are the same)"
                    )
            except FileNotFoundError:
                found.append(f"{path} is missing")
            except OSError as error:
                found.append(f"{path} cannot be read: {error.strerror}")
            if advance is not None:
                advance(file.size_bytes)
        return found

    def check(self, record: ClipRecord) -> None:
        """Make sure, by size and time, that a clip's files are those that were brought in.

        Raises:
            StoreError: One is missing or was changed.
        """
        if found := self.problems(record):
            raise StoreError(f"{record.source}/{record.clip}: {found[0]}. {how_to_repair(record)}")

    def refresh(self, record: ClipRecord) -> ClipRecord | None:
        """Look at the bytes of files that only seem changed, such as those of a copied store.

        Returns:
            The record, with new times if the hashes still hold; None if a file is missing or has other bytes.
        """
        if not self.problems(record):
            return record
        if self.problems(record, full=True):
            return None
        files = tuple(self.record_file(self.root / file.path, file.sha256) for file in record.files)
        fresh = record.model_copy(update={"files": files})
        self.put(fresh)
        return fresh

    def _read(self) -> dict[str, ClipRecord]:
        path = self.root / LOCK_NAME
        try:
            state = _state(path)
            if self._seen is None or self._seen[0] != state:
                self._seen = state, _clips_of(path)
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise StoreError(
                f"{_not_a_lock(path, error)} Restore it from a copy, or move it away and bring the files in again "
                "with sr-data fetch or sr-data import."
            ) from error
        return self._seen[1]


def _state(path: Path) -> tuple[int, int, int]:
    """Return what changes whenever a file is replaced."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def how_to_repair(record: ClipRecord) -> str:
    """Return the sentence that says how a clip that is wrong is brought in again."""
    if record.origin == "imported":
        return f"Bring it in again with: sr-data import {record.source} PATH"
    return f"Bring it in again with: sr-data fetch {record.source}/{record.clip}"
