"""The data folder: where a clip lies, ``sr-data.lock``, what is verified."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from sr_datasets.errors import StoreError
from sr_datasets.files import locked, sha256_of
from sr_datasets.store.lockfile import LOCK_NAME, LockFile, read_lock
from sr_datasets.store.records import ArchiveRecord, ClipRecord, FileRecord, Proof, StorePath, digest_of

__all__ = [
    "LOCK_NAME",
    "ArchiveRecord",
    "ClipRecord",
    "FileRecord",
    "Proof",
    "Store",
    "StorePath",
    "default_root",
    "digest_of",
    "how_to_repair",
    "read_lock",
]


def default_root() -> Path:
    """Return ``$SR_DATA_HOME``, or ``sr-datasets`` in the user's data folder (XDG)."""
    if home := os.environ.get("SR_DATA_HOME"):
        return Path(os.path.expanduser(home))  # noqa: PTH111 - Path.expanduser fails where there is no such user
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "sr-datasets"


class Store:
    """A data folder.

    ``ROOT/sr-data.lock`` lists every clip with its files, sizes, hashes and probe; files lie in
    ``ROOT/<source>/``, and in ``ROOT/<source>/.incoming/`` until they are whole and checked. Two processes, and
    several threads, may use one store: the lock file is written whole, under a lock between processes, or within
    ``batch`` first grows a journal (``sr_datasets.journal``).
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()
        self._file = LockFile(
            self.root / LOCK_NAME,
            repair="Restore it from a copy, or move it away and bring the files in again with sr-data fetch or "
            "sr-data import.",
        )

    def records(self, source: str | None = None) -> list[ClipRecord]:
        """Return what is here, of one source or of all, sorted by source and clip."""
        clips = dict(self._file.read())
        return [clips[key] for key in sorted(clips) if source is None or clips[key].source == source]

    def find(self, source: str, clip: str) -> ClipRecord | None:
        """Return the record of a clip, or None when it is not here."""
        return self._file.read().get(f"{source}/{clip}")

    def find_bytes(self, source: str, sha256: str) -> list[ClipRecord]:
        """Return the records of a source's clips that have a digest, sorted by clip."""
        return [record for record in self._file.marked(sha256) if record.source == source]

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
        return next((record.archive for record in self._file.marked(f"{source}/{archive}")), None)

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

    def batch(self) -> AbstractContextManager[None]:
        """Let many records come: a ``put`` takes the same time however many there are.

        Records are on the disk, and seen by other processes, as soon as they come; until the outermost batch ends some
        are in ``sr-data.lock.journal``, then all are in ``sr-data.lock``. After a kill the next batch or ``put`` sees to
        that.

        Raises:
            SrDataError: The disk is full, or the store cannot be written; the journal has all that came.
        """
        return self._file.batch()

    def put(self, *records: ClipRecord) -> None:
        """Add or replace records, all at once.

        Raises:
            SrDataError: The disk is full, or the store cannot be written.
        """
        self._file.put({f"{record.source}/{record.clip}": record for record in records})

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

        if not self._file.read().keys().isdisjoint(f"{source}/{clip}" for source, clip in names):
            self._file.change(without)

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


def how_to_repair(record: ClipRecord) -> str:
    """Return the sentence that says how a clip that is wrong is brought in again."""
    if record.origin == "imported":
        return f"Bring it in again with: sr-data import {record.source} PATH"
    return f"Bring it in again with: sr-data fetch {record.source}/{record.clip}"
