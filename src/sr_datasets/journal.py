"""Records of one file, and what came since it was written, in a journal beside it.

A file that is written anew for each record that comes costs n records a time in proportion to n squared. So within
``Journaled.batch`` a record goes into a journal, and into the file when the batch ends, or when the journal has as many
records as the file: n records cost a time in proportion to n. The journal of ``sr-data.lock`` is ``sr-data.lock.journal``::

    sr-data journal 1 0123456789abcdef    what it is, and a name of its own
    1b2c3d4e {"clips": ...}               CRC-32 of the rest of the line; what one call of ``put`` brought

Writers hold a lock between processes. A line is written at once and synced, and nothing before it ever changes. What a
kill or a full disk left unfinished at the end counts for nothing, and the next writer begins another journal. The file is
replaced whole before its journal is deleted, so at any moment both together have every record; a journal that is in the
file already changes nothing, since it adds and replaces only. Records are taken out when there is no journal.

Readers take no lock: they read the file, then the journal, and both again where the file was replaced meanwhile. What was
read is kept, and afterwards only new lines are read.
"""

import os
import re
import secrets
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from sr_datasets.errors import SrDataError
from sr_datasets.files import disk_errors, locked, sync_folder, write_all

Record = TypeVar("Record")

_TITLE = re.compile(rb"sr-data journal 1 [0-9a-f]{16}\n")
_TITLE_BYTES = 35


def journal_of(path: Path) -> Path:
    """Return where the journal of a file lies while there is one."""
    return path.with_name(f"{path.name}.journal")


class Journaled(ABC, Generic[Record]):
    """Records by name: those of a file, and those of its journal over them.

    Threads may share it, processes the file.

    Args:
        path: The file; it need not exist.
        lock: The lock file between processes that write.
        what: What sentences about disks call the file.
        error: Raised where a journal is damaged.
        repair: The sentence that says what to do then.
    """

    def __init__(self, path: Path, *, lock: Path, what: str, error: type[SrDataError], repair: str) -> None:
        self.path = path
        self.journal = journal_of(path)
        self._lock = lock
        self._what = what
        self._error = error
        self._repair = repair
        self._guard = threading.RLock()
        self._batches = 0
        self._has_added = False  # whether any record came in them
        self._records: dict[str, Record] = {}
        self._state: tuple[int, int, int] | None = None  # of the file that was read; None for none
        self._is_known = False
        self._in_file = 0  # records of it
        self._title = b""  # of the journal that was read,
        self._end = 0  # up to here,
        self._in_journal = 0  # records of it
        self._is_torn = False  # whether more follows, which is not whole

    # What a file is like.

    @abstractmethod
    def load(self) -> dict[str, Record]:
        """Return the records of the file; raises ``FileNotFoundError``, or what sentence there is about it."""

    @abstractmethod
    def save(self, records: Mapping[str, Record]) -> None:
        """Write the file, whole or not at all."""

    @abstractmethod
    def to_line(self, records: Mapping[str, Record]) -> bytes:
        """Return records as JSON, without line breaks."""

    @abstractmethod
    def from_line(self, line: bytes) -> dict[str, Record]:
        """Return the records of a line; raises ``ValueError``."""

    def wanted(self, records: Mapping[str, Record]) -> Mapping[str, Record]:
        """Return which records ``put`` takes; asked under the lock, when all that is there is known."""
        return records

    def took(self, records: Mapping[str, Record] | None) -> None:
        """Be told of records before they are added or replaced; None when all were read or written anew."""

    # Reading.

    def read(self) -> dict[str, Record]:
        """Return all records; the dict is this object's own."""
        with self._guard:
            while True:
                state = _state_of(self.path)
                if not (self._is_known and state == self._state and self._follow()):
                    self._is_known = False
                    try:
                        self._keep(self.load() if state is not None else {}, state)
                    except FileNotFoundError:
                        continue
                    self._follow()
                if _state_of(self.path) == state:
                    self._is_known = True
                    return self._records
                self._is_known = False

    def _keep(self, records: dict[str, Record], state: tuple[int, int, int] | None) -> None:
        """Take what is in the file for all there is."""
        self._records, self._state, self._in_file = records, state, len(records)
        self._title, self._end, self._in_journal, self._is_torn = b"", 0, 0, False
        self.took(None)

    def _follow(self) -> bool:
        """Read what the journal has beyond what was read; return whether it is that journal still."""
        try:
            file = self.journal.open("rb")
        except FileNotFoundError:
            self._is_torn = False
            return self._end == 0
        with file:
            title = file.read(_TITLE_BYTES)
            if self._end and (title != self._title or os.fstat(file.fileno()).st_size < self._end):
                return False
            if not self._end:
                self._is_torn = len(title) < _TITLE_BYTES or not any(title)
                if self._is_torn:
                    return True
                if not _TITLE.fullmatch(title):
                    raise self._damaged("is not a journal of this version")
                self._title, self._end = title, len(title)
            file.seek(self._end)
            self._read_lines(file)
        return True

    def _read_lines(self, file: BinaryIO) -> None:
        while line := file.readline():
            text = line[9:-1]
            if line[-1:] != b"\n" or line[:9] != b"%08x " % zlib.crc32(text):
                if line[-1:] == b"\n" and file.read(1):
                    raise self._damaged(f"has a wrong checksum at byte {self._end}")
                self._is_torn = True
                return
            try:
                records = self.from_line(text)
            except ValueError as error:
                raise self._damaged(f"cannot be read at byte {self._end}: {_first(error)}") from error
            self._take(records, len(line))
        self._is_torn = False

    def _take(self, records: Mapping[str, Record], num_bytes: int) -> None:
        self.took(records)
        self._records.update(records)
        self._in_journal += len(records)
        self._end += num_bytes

    def _damaged(self, how: str) -> SrDataError:
        return self._error(
            f"{self.journal} {how}. It has what came since {self.path.name} was written. {self._repair}"
        )

    # Writing.

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Let records that come meanwhile go into the journal, and into the file when the outermost batch ends.

        Raises:
            SrDataError: The disk is full, or the file cannot be written; the journal has all that came.
        """
        with self._guard:
            self._has_added = self._has_added and self._batches > 0
            self._batches += 1
        try:
            yield
        except BaseException:
            with suppress(SrDataError, OSError):  # the first error is the one to tell
                self._end_batch()
            raise
        self._end_batch()

    def _end_batch(self) -> None:
        with self._guard:
            self._batches -= 1
            if self._batches or not self.journal.exists():
                return
            # One that another command left is in the way of nothing: where the disk cannot be written it stays.
            with nullcontext() if self._has_added else suppress(SrDataError, OSError), self._alone():
                self.read()
                self._fold()

    def put(self, records: Mapping[str, Record]) -> None:
        """Add or replace records, all or none; they are on the disk when this returns.

        Raises:
            SrDataError: The disk is full, or the file cannot be written.
        """
        with self._guard, self._alone():
            self.read()
            records = self.wanted(records)
            if not records:
                return
            self._has_added = True
            if not self._batches or self._is_torn or self._in_journal + len(records) > self._in_file:
                self._fold()
            if self._batches and len(records) <= self._in_file:
                self._append(records)
            else:
                self._replace({**self._records, **records})

    def change(self, change: Callable[[dict[str, Record]], object]) -> None:
        """Change the records in any way; neither file nor journal has anything else afterwards.

        Raises:
            SrDataError: The disk is full, or the file cannot be written.
        """
        with self._guard, self._alone():
            records = dict(self.read())
            self._fold()
            change(records)
            self._replace(records)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with disk_errors(self._what, self.path.parent), locked(self._lock):
            yield

    def _fold(self) -> None:
        """Write what the journal has into the file, and delete it."""
        if self.journal.exists():
            self._replace(self._records)
            sync_folder(self.path.parent)  # the file must have its new name before the journal loses its own
            self.journal.unlink()

    def _replace(self, records: dict[str, Record]) -> None:
        self.save(records)
        self._is_known = False
        self._keep(records, _state_of(self.path))
        self._is_known = True

    def _append(self, records: Mapping[str, Record]) -> None:
        text = self.to_line(records)
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        is_new = self._end == 0
        if is_new:
            self._title = b"sr-data journal 1 %s\n" % secrets.token_hex(8).encode()
        with self.journal.open("ab", buffering=0) as file:
            write_all(file, self._title + line if is_new else line)
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self.path.parent)
            self._end = _TITLE_BYTES
        self._take(records, len(line))


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes whenever a file is replaced; None when there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _first(error: ValueError) -> str:
    """Return the first line of what pydantic and others say, of a length that a sentence may have."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error)[:200]
    first = problems()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"[:200]
