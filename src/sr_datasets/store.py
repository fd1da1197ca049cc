"""The data folder: where a clip lies, ``sr-data.lock``, what is verified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from sr_datasets.errors import StoreError
from sr_datasets.files import locked, write_atomic
from sr_datasets.manifest import HexSha256, VideoInfo
from sr_datasets.models import Model

LOCK_NAME = "sr-data.lock"


class FileRecord(Model):
    """One verified file of the store."""

    path: str
    """POSIX path inside the store."""
    size_bytes: int
    """Exact size."""
    sha256: HexSha256
    """SHA-256 when it was brought in."""
    mtime_ns: int
    """Modification time when it was brought in, for the quick check."""


class ClipRecord(Model):
    """What the store knows of one clip."""

    source: str
    """Source id."""
    clip: str
    """Clip id."""
    path: str
    """POSIX path inside the store: a file, or a folder of frames."""
    files: tuple[FileRecord, ...]
    """Its files, in frame order."""
    sha256: HexSha256
    """Digest of the clip: the file's own SHA-256, or that of the list of frame names and hashes."""
    origin: str
    """URL, ``imported`` or ``generated``."""
    proof: Literal["sha256", "md5", "sha1", "first-fetch", "generated", "imported"]
    """What the bytes were checked against; ``first-fetch`` and ``imported`` are trusted on first sight."""
    etag: str = ""
    """The server's tag of the bytes, if it sent one."""
    info: VideoInfo
    """What the clip says of itself."""


class _Lock(Model):
    format: Literal[1] = 1
    clips: Annotated[dict[str, ClipRecord], Field(default_factory=dict)]


def default_root() -> Path:
    """Return ``$SR_DATA_HOME``, or ``sr-datasets`` in the user's data folder (XDG)."""
    if home := os.environ.get("SR_DATA_HOME"):
        return Path(home)
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "sr-datasets"


class Store:
    """A data folder.

    ``ROOT/sr-data.lock`` lists every clip with its files, sizes, hashes and probe; files lie in
    ``ROOT/<source>/``. Two processes may use one store: the lock file is rewritten whole, under a
    lock between processes.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()

    def records(self, source: str | None = None) -> list[ClipRecord]:
        """Return what is here, of one source or of all, sorted by source and clip."""
        clips = self._read().clips
        return [clips[key] for key in sorted(clips) if source is None or clips[key].source == source]

    def find(self, source: str, clip: str) -> ClipRecord | None:
        """Return the record of a clip, or None when it is not here."""
        return self._read().clips.get(f"{source}/{clip}")

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

    def check(self, record: ClipRecord) -> None:
        """Look whether a clip's files have the size and time of when they were verified: quick, no hashing.

        Raises:
            StoreError: A file is missing or was changed since.
        """
        for file in record.files:
            path = self.root / file.path
            try:
                stat = path.stat()
            except FileNotFoundError:
                found = "is missing"
            else:
                if (stat.st_size, stat.st_mtime_ns) == (file.size_bytes, file.mtime_ns):
                    continue
                found = "was changed since it was verified"
            raise StoreError(
                f"{record.source}/{record.clip}: {path} {found}. Check it with `sr-data verify --full "
                f"{record.source}/{record.clip}`, or bring it in again."
            )

    def put(self, *records: ClipRecord) -> None:
        """Add or replace records, all at once."""
        with locked(self.root / ".locks" / "lock"):
            clips = dict(self._read().clips)
            clips.update({f"{record.source}/{record.clip}": record for record in records})
            self._write(clips)

    def _read(self) -> _Lock:
        path = self.root / LOCK_NAME
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return _Lock(clips={})
        try:
            return TypeAdapter(_Lock).validate_json(text)
        except ValueError as error:
            raise StoreError(
                f"{path} is not a lock file of this version: {error}. Restore it from a copy, or move it away "
                "and import the files again with sr-data import."
            ) from error

    def _write(self, clips: dict[str, ClipRecord]) -> None:
        lock = _Lock(clips=dict(sorted(clips.items())))
        write_atomic(self.root / LOCK_NAME, (lock.model_dump_json(indent=1) + "\n").encode())
