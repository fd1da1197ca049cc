"""Records of one file, and what came since it was written, in a journal beside it.

A file that is written anew for each record that comes costs n records a time in proportion to n squared. So within
``Journaled.batch`` a record goes into a journal, and into the file when the batch ends, or when the journal has as many
records as the file: n records cost a time in proportion to n. The journal of ``sr-data.lock`` is ``sr-data.lock.journal``::

    sr-data journal 1 0123456789abcdef    what it is, and a name of its own
    1b2c3d4e {"clips": ...}               CRC-32 of the rest of the line; what one call of ``put`` brought

Writers hold a lock between processes. A line is written at once and synced, and only then is its writer told that it is
kept; nothing before it ever changes. A line that cannot be written or synced is taken back. The file is replaced whole before
its journal is deleted, so at any moment both together have every record; a journal that is in the file already changes
nothing, since it adds and replaces only. Records are taken out when there is no journal.

So one line at most, the last, may be one that no writer was told of. A kill, or a full disk, leaves its beginning. A power
cut leaves its beginning, or zeros in place of sectors that had not come to the disk, since a file may grow before it is
filled, and in any order. Hence the rule for a last line that is not whole:

- What goes on to the end of the file as a line does, and does not end, was *torn*: it counts for nothing, and the next writer
  begins another journal. So does one with zeros, if they are its end or fill whole sectors of 512 bytes; as a disk that loses
  sectors leaves the same, that writer says so.
- Anything else is *damage*, as in any other line: a line that has its end and a wrong checksum, one whose end alone is
  altered, bytes that no line has. It is named with what to do, by all who read or write, and nothing is changed.

Readers take no lock: they read the file, then the journal, and both again where the file was replaced meanwhile. What was
read is kept, and afterwards only new lines are read.
"""

import codecs
import logging
import os
import re
import secrets
import shlex
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

_logger = logging.getLogger(__name__)

_TITLE = re.compile(rb"sr-data journal 1 [0-9a-f]{16}\n")
_SOME_TITLE = b"sr-data journal 1 %016x\n" % 0
_TITLE_BYTES = len(_SOME_TITLE)
_BEGUN = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} [^\x00-\x1f]*")
"""The beginning of a line: JSON has its control characters escaped."""
_SECTOR_BYTES = 512


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
        repair: The sentence that says what to do when what is damaged is gone.
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
        self._num_lines = 0  # its title among them
        self._is_torn = False  # whether more follows, which was torn,
        self._has_zeros = False  # and zeros are in it

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
            try:
                return self._read()
            except self._error:
                self._is_known = False
                return self._read()  # a line that is taken back while it is read looks damaged, once

    def _read(self) -> dict[str, Record]:
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
        self._title, self._end, self._in_journal, self._num_lines = b"", 0, 0, 0
        self._is_torn = self._has_zeros = False
        self.took(None)

    def _follow(self) -> bool:
        """Read what the journal has beyond what was read; return whether it is that journal still."""
        try:
            file = self.journal.open("rb")
        except FileNotFoundError:
            self._is_torn = self._has_zeros = False
            return self._end == 0
        with file:
            title = file.read(_TITLE_BYTES)
            if self._end and (title != self._title or os.fstat(file.fileno()).st_size < self._end):
                return False
            if not self._end:
                if not any(title):
                    self._end_with(title + file.readline(), file)
                    return True
                if not _TITLE.fullmatch(title + _SOME_TITLE[len(title) :]):
                    raise self._damaged("is not a journal of this version")
                if len(title) < _TITLE_BYTES:
                    self._is_torn, self._has_zeros = True, False
                    return True
                self._title, self._end, self._num_lines = title, len(title), 1
            file.seek(self._end)
            self._read_lines(file)
        return True

    def _read_lines(self, file: BinaryIO) -> None:
        while line := file.readline():
            text = line[9:-1]
            if line[-1:] != b"\n" or line[:9] != b"%08x " % zlib.crc32(text):
                self._end_with(line, file)
                return
            try:
                records = self.from_line(text)
            except ValueError as error:
                raise self._damaged_line(f"cannot be read: {_first(error)}") from error
            self._take(records, len(line))
        self._is_torn = self._has_zeros = False

    def _end_with(self, line: bytes, file: BinaryIO) -> None:
        """Leave out what is not whole; raises where it is damaged."""
        how = "has a wrong checksum" if file.read(1) else _damage_of_last(line, self._end)
        if how:
            raise self._damaged_line(how)
        self._is_torn, self._has_zeros = True, b"\0" in line

    def _take(self, records: Mapping[str, Record], num_bytes: int) -> None:
        self.took(records)
        self._records.update(records)
        self._in_journal += len(records)
        self._end += num_bytes
        self._num_lines += 1

    def _damaged_line(self, how: str) -> SrDataError:
        number = self._num_lines + 1
        # The first line is the title, alone or, where its end is lost, with the one behind it.
        edit = f"{number}d" if number > 1 else f"'1c {_SOME_TITLE.decode().strip()}'"
        step = f"Take out that line and no other: sed -i {edit} {shlex.quote(str(self.journal))}."
        return self._damaged(f"is damaged: line {number}, from byte {self._end} on, {how}", step)

    def _damaged(self, how: str, step: str = "Move it away.") -> SrDataError:
        return self._error(
            f"{self.journal} {how}. It has what came since {self.path.name} was written. {step} {self._repair}"
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
            has_zeros = self._has_zeros
            self._replace(self._records)
            if has_zeros:
                _logger.warning(
                    "%s ended with zeros, as a power cut leaves them, and what the last command under way then brought last "
                    "may not be in %s: run that command again",
                    self.journal,
                    self.path.name,
                )
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
        try:
            with self.journal.open("ab", buffering=0) as file:
                write_all(file, self._title + line if is_new else line)
                os.fsync(file.fileno())
            if is_new:
                sync_folder(self.path.parent)
        except BaseException:
            # It may be in the file and not on the disk: no line may come behind it.
            with suppress(OSError):
                self.journal.unlink() if is_new else os.truncate(self.journal, self._end)
            raise
        if is_new:
            self._end, self._num_lines = _TITLE_BYTES, 1
        self._take(records, len(line))


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes whenever a file is replaced; None when there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _damage_of_last(line: bytes, start: int) -> str:
    """Return what shows that the last line of a journal was whole once, or is none; empty where it was torn.

    Args:
        line: It, which is not whole now.
        start: Where it begins in the file.
    """
    if (text := line[9:-1]) and line[:9] == b"%08x " % zlib.crc32(text):
        return "does not end as it was written"
    if b"\0" in line:
        written = line.rstrip(b"\0")
        aligned = start % _SECTOR_BYTES
        sectors = (
            written[max(0, at - aligned) : at - aligned + _SECTOR_BYTES]
            for at in range(0, aligned + len(written), _SECTOR_BYTES)
        )
        return "" if all(sector.count(0) in (0, len(sector)) for sector in sectors) else "has zeros in it"
    if line.endswith(b"\n"):
        return "has a wrong checksum"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(line)  # which may be cut within a character
    except UnicodeDecodeError:
        return "has bytes that no line has"
    return "" if _BEGUN.fullmatch(line) else "has bytes that no line has"


def _first(error: ValueError) -> str:
    """Return the first line of what pydantic and others say, of a length that a sentence may have."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error)[:200]
    first = problems()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"[:200]
