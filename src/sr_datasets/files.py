"""Files that appear whole or not at all, their hashes, disk space, and locks between processes."""

import errno
import fcntl
import hashlib
import io
import logging
import os
import queue
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sr_datasets.errors import SrDataError, StoreError

_logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digests:
    """Several hashes of the same bytes, taken while they pass by.

    Example:
        >>> digests = Digests(["sha256", "md5"])
        >>> digests.update(b"abc")
        >>> digests.hexdigest("md5")
        '900150983cd24fb0d6963f7d28e17f72'
    """

    def __init__(self, names: Sequence[str]) -> None:
        # Published MD5 and SHA-1 are compared, not relied upon for secrecy: FIPS builds allow that.
        self._hashes = {name: hashlib.new(name, usedforsecurity=name == "sha256") for name in names}
        self.num_bytes = 0
        """Bytes hashed so far."""

    def update(self, data: bytes | memoryview) -> None:
        """Hash ``data`` behind what was hashed before."""
        for state in self._hashes.values():
            state.update(data)
        self.num_bytes += len(data)

    def hexdigest(self, name: str) -> str:
        """Return one hash of all bytes so far, in lower-case hexadecimal digits."""
        return self._hashes[name].hexdigest()


class DigestsBehind:
    """Feeds ``Digests`` in a thread of its own, so that bytes are hashed while the next ones are read and written.

    When the ``with`` block ends, however it ends, all that was handed over has been hashed.
    """

    def __init__(self, digests: Digests) -> None:
        self._digests = digests
        self._waiting: queue.Queue[bytes | None] = queue.Queue(maxsize=8)
        self._thread: threading.Thread | None = None

    def update(self, data: bytes) -> None:
        """Hash ``data`` behind what was handed over before; waits while eight pieces are waiting."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="digests", daemon=True)
            self._thread.start()
        self._waiting.put(data)

    def _work(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._digests.update(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()


class SyncedBehind:
    """Pushes what was written to the disk in a thread of its own, so that the last ``fsync`` finds little to do.

    Without it the system lets gigabytes gather, and whoever syncs at the end waits for all of them.
    """

    _STEP_BYTES = 32 << 20

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._behind = 0
        self._wake = threading.Event()
        self._ended = False
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def wrote(self, count: int) -> None:
        """Count bytes that were written."""
        self._behind += count
        if self._behind >= self._STEP_BYTES:
            self._behind = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sync", daemon=True)
                self._thread.start()
            self._wake.set()

    def _work(self) -> None:
        while self._wake.wait() and not self._ended:
            self._wake.clear()
            try:
                os.fsync(self._handle)
            except OSError as error:
                # The kernel tells a failed write-back once only: a later fsync would say that all is well.
                self._error = error
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._ended = True
            self._wake.set()
            self._thread.join()
        if self._error is not None and error is None:
            raise self._error


def write_all(file: io.FileIO, data: bytes) -> None:
    """Write to an unbuffered file, whose own ``write`` may take a part only."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def iter_chunks(path: Path) -> Iterator[memoryview]:
    """Yield a file's bytes in pieces of 1 MiB; a piece holds until the next one is asked for."""
    buffer = bytearray(_CHUNK_BYTES)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield memoryview(buffer)[:count]


@contextmanager
def atomic_path(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Give a partial path beside ``path``; rename it over ``path`` when the block ends well.

    The folder is made if it is missing. When the block fails, the partial file is deleted
    and ``path`` is as it was before.

    Args:
        path: The final name.
        alone: Whether a lock keeps all others from writing ``path``. The partial file then has one name, so that
            a process that is killed leaves at most one behind, which the next writer takes over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(path) if alone else path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield partial
        sync_file(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def partial_name(path: Path) -> Path:
    """Return the partial file of a writer that is alone (``atomic_path``)."""
    return path.with_name(f".{path.name}.part")


def write_atomic(path: Path, data: bytes, *, alone: bool = False) -> None:
    """Write ``data`` under ``path``, whole or not at all; ``alone`` as in ``atomic_path``."""
    with atomic_path(path, alone=alone) as partial:
        partial.write_bytes(data)


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk, so that its next name never outlives them."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names of a folder's files are on the disk, where the file system can do that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def move_into_place(partial: Path, path: Path) -> None:
    """Rename a finished file or folder to ``path``, replacing what was there.

    A file is replaced in one step. Of two folders the old one is put aside first, and put back
    when the new one cannot take its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_dir() and not (partial.is_dir() and path.exists()):
        partial.replace(path)
        return
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
    path.replace(aside)
    try:
        partial.replace(path)
    except BaseException:
        aside.replace(path)
        raise
    remove(aside)


def remove(path: Path) -> None:
    """Delete a file or a folder with all it holds; nothing happens when it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def require_inside(path: Path, root: Path) -> None:
    """Make sure that a name lies in a folder, also where links lead: the last step before it is deleted.

    Raises:
        StoreError: It lies elsewhere, or is the folder itself.
    """
    if path.name in ("", ".", "..") or not path.parent.resolve().is_relative_to(root.resolve()):
        raise StoreError(
            f"{path} lies outside {root} ({path.parent.resolve()}): nothing is deleted there. A link or a wrong entry "
            "leads to it: put that right, or delete the file yourself."
        )


def remove_inside(path: Path, root: Path) -> None:
    """Delete a file, or a folder with all it holds, of a folder; a link goes itself, not what it leads to.

    Raises:
        StoreError: It lies elsewhere.
    """
    require_inside(path, root)
    remove(path)


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Make sure that a disk has room before anything is written to it.

    Raises:
        SrDataError: The disk that holds ``folder`` has less than ``needed_bytes`` free.
    """
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise SrDataError(
            f"{what} needs {human_bytes(needed_bytes)}, but the disk at {existing} has only "
            f"{human_bytes(free)} free. Make room or choose another folder, then run the same command again."
        )


def human_bytes(count: int) -> str:
    """Return a number of bytes for people, in powers of 1000.

    Example:
        >>> human_bytes(147_683_332)
        '147.7 MB'
    """
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None, passing: bool = False) -> Iterator[None]:
    """Hold an exclusive lock between processes; ``path`` is the lock file, kept empty.

    The lock ends with the process, however it ends.

    Args:
        path: The lock file; made with its folder if it is missing.
        waiting: Called once when another process has the lock, before the wait for it begins.
        passing: Whether the lock file is deleted at the end; then all who lock it must say so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is not None:
                    waiting()
                    waiting = None
                fcntl.flock(file, fcntl.LOCK_EX)
            if passing and not _is_named(file.fileno(), path):
                continue  # who had it before has deleted it: another one may stand there now
            try:
                yield
            finally:
                if passing:
                    path.unlink(missing_ok=True)
                fcntl.flock(file, fcntl.LOCK_UN)
            return


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Lock a folder against other processes, and say whether that succeeded; nothing is waited for.

    The folder itself is locked, so that no lock file is left in it. The lock ends with the process, however it ends.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


@contextmanager
def lock_beside(path: Path, *, exclusive: bool) -> Iterator[bool]:
    """Lock a file, alone or together with others, and say whether that succeeded; nothing is waited for.

    A file that is open for writing can be locked on NFS too, across machines, which a folder cannot. Who holds it alone
    deletes it in the end. Where a file system has no locks at all, this says so in the log, and goes on without.

    Args:
        path: The lock file; made if it is missing.
        exclusive: Whether nobody else may hold it.
    """
    how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    while True:
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                    raise
                _logger.warning(
                    "%s cannot be locked on this file system (%s): make sure that no other build writes there",
                    path.parent,
                    error.strerror,
                )
            if not _is_named(file.fileno(), path):
                continue  # who had it alone has deleted it: another one may stand there now
            try:
                yield True
            finally:
                if exclusive:
                    path.unlink(missing_ok=True)
            return


@contextmanager
def disk_errors(what: str, folder: Path) -> Iterator[None]:
    """Turn a full disk, a quota or a missing permission into one clear sentence.

    Raises:
        SrDataError: In place of the ``OSError`` that the block raised.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        reasons = {
            errno.ENOSPC: f"the disk is full at {where}",
            errno.EDQUOT: f"the quota of this account on the disk of {where} is used up",
            errno.EFBIG: f"the file is larger than this disk or account allows at {where}",
            errno.EACCES: f"permission denied at {where}",
            errno.EPERM: f"permission denied at {where}",
            errno.EROFS: f"the file system is read-only at {where}",
        }
        if error.errno not in reasons:
            raise
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "Choose a folder that you may write to, or ask its owner"
        elif error.errno == errno.EDQUOT:
            hint = "Delete what you no longer need there, ask who runs that disk for more, or choose another folder"
        else:
            hint = "Make room or choose another folder"
        raise SrDataError(
            f"{what}: {reasons[error.errno]}. Nothing half-written was kept under a final name. {hint}, then run the same "
            "command again."
        ) from error
