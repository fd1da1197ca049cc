"""``sr-data.lock``: the records of all clips, and its journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from sr_datasets.errors import StoreError
from sr_datasets.files import atomic_path
from sr_datasets.journal import Journaled
from sr_datasets.manifest import ColorTags, VideoInfo
from sr_datasets.models import Model, without_collecting
from sr_datasets.store.records import ClipRecord

LOCK_NAME = "sr-data.lock"


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
        path.stat()
        return LockFile(path, repair="Restore it from a copy.").read()
    except OSError as error:
        raise StoreError(f"the lock file {path} cannot be read: {error.strerror}") from error


class LockFile(Journaled[ClipRecord]):
    """A lock file, and the journal that it has while clips come; two processes may use it.

    Args:
        path: The file.
        repair: The sentence that says what to do where it is damaged.
    """

    def __init__(self, path: Path, *, repair: str) -> None:
        super().__init__(
            path,
            lock=path.parent / ".locks" / "lock",
            what=f"the store {path.parent}",
            error=StoreError,
            repair="Then bring the files in again that have no record: sr-data fetch, or sr-data import.",
        )
        self._repair_file = repair
        self._common = _Common()
        self._marked: dict[str, set[str]] | None = None

    def read(self) -> dict[str, ClipRecord]:
        """Return all records, as ``Journaled.read``.

        Raises:
            StoreError: It is not of this version, or the store is no folder.
        """
        try:
            return super().read()
        except NotADirectoryError as error:
            raise StoreError(
                f"{self._what} is a file, or lies in one. Name a folder: --store, or SR_DATA_HOME."
            ) from error

    def load(self) -> dict[str, ClipRecord]:
        """Return the records of the file; what they have in common is kept once.

        Raises:
            StoreError: It is not of this version.
        """
        self._common = _Common()
        try:
            return _clips_of(self.path, self._common)
        except ValidationError as error:
            raise StoreError(f"{_not_a_lock(self.path, error)} {self._repair_file}") from error

    def save(self, records: Mapping[str, ClipRecord]) -> None:
        """Write the file, sorted by name: the same records give the same bytes."""
        with atomic_path(self.path, alone=True) as partial, partial.open("wb") as file:
            file.writelines(_text_of(records))

    def to_line(self, records: Mapping[str, ClipRecord]) -> bytes:
        """Return records as a lock file in one line."""
        return _Lock.model_construct(clips=dict(records)).model_dump_json().encode()

    def from_line(self, line: bytes) -> dict[str, ClipRecord]:
        """Return the records of a line."""
        clips = _Lock.model_validate_json(line).clips
        for record in clips.values():
            self._common.share(record)
        return clips

    def marked(self, mark: str) -> list[ClipRecord]:
        """Return the records that have a SHA-256, or came out of an archive (``source/id``), sorted by name."""
        with self._guard:
            records = self.read()
            if self._marked is None:
                self._marked = {}
                for name, record in records.items():
                    self._mark(name, record)
            return [records[name] for name in sorted(self._marked.get(mark, ()))]

    def took(self, records: Mapping[str, ClipRecord] | None) -> None:
        """Keep up with what has which mark, once that was asked for."""
        if records is None:
            self._marked = None
        if self._marked is None or records is None:
            return
        for name, record in records.items():
            if (old := self._records.get(name)) is not None:
                for mark in _marks(old):
                    self._marked[mark].discard(name)
            self._mark(name, record)

    def _mark(self, name: str, record: ClipRecord) -> None:
        assert self._marked is not None
        for mark in _marks(record):
            self._marked.setdefault(mark, set()).add(name)


def _marks(record: ClipRecord) -> Iterator[str]:
    yield record.sha256
    if record.archive is not None:
        yield f"{record.source}/{record.archive.id}"


_HEAD = b'{\n "format": 1,\n "clips": {\n'
_TAIL = b"\n }\n}\n"
_BETWEEN = b',\n  "'
"""What stands between two records as ``Store`` writes them: nothing in a record is indented so little."""
_PIECE_BYTES = 4 << 20


def _clips_of(path: Path, common: _Common) -> dict[str, ClipRecord]:
    """Return the records of a lock file by ``source/clip``.

    What ``Store`` wrote is read a piece at a time, and what records have in common is kept once: a file of millions of
    clips has several GB. Any other file is read at once.

    Raises:
        OSError: It cannot be read.
        ValidationError: It is not of this version.
    """
    clips: dict[str, ClipRecord] = {}
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


_RECORDS_AT_ONCE = 1000


def _text_of(records: Mapping[str, ClipRecord]) -> Iterator[bytes]:
    """Yield a lock file, so many records at a time: a file of millions of clips has several GB."""
    names = sorted(records)
    for start in range(0, len(names), _RECORDS_AT_ONCE):
        lock = _Lock.model_construct(
            clips={name: records[name] for name in names[start : start + _RECORDS_AT_ONCE]}
        )
        yield b",\n" if start else _HEAD
        yield (lock.model_dump_json(indent=1).encode() + b"\n").removeprefix(_HEAD).removesuffix(_TAIL)
    yield _TAIL if names else b'{\n "format": 1,\n "clips": {}\n}\n'


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
