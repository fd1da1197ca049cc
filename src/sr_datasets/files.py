"""Files that appear whole or not at all, their hashes, and locks between processes."""

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sr_datasets.errors import SrDataError

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a partial path beside ``path``; rename it over ``path`` when the block ends well.

    The folder is made if it is missing. When the block fails, the partial file is deleted
    and ``path`` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` under ``path``, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_bytes(data)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; ``path`` is the lock file, kept empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def disk_errors(what: str, folder: Path) -> Iterator[None]:
    """Turn a full disk, a quota or a missing permission into one clear sentence.

    Raises:
        SrDataError: In place of the ``OSError`` that the block raised.
    """
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EACCES: "permission denied",
            errno.EPERM: "permission denied",
            errno.EROFS: "the file system is read-only",
        }
        if error.errno not in reasons:
            raise
        raise SrDataError(
            f"{what}: {reasons[error.errno]} at {error.filename or folder}. Nothing half-written was kept "
            "under a final name. Make room or choose another folder, then run the same command again."
        ) from error
