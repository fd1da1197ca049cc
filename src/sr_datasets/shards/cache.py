"""Pieces of remote files on the local disk: bounded, hashed, shared by all processes of a user."""

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from sr_datasets.files import atomic_path, locked

_logger = logging.getLogger(__name__)

_USAGE_NAME = "usage"
_DIGEST_BYTES = 32
_KEEP = 0.9
"""What is left of the bound when pieces were thrown out, so that not each new piece throws out one."""


class PieceCache:
    """A folder of pieces by name; when they outgrow the bound, those that were not used for longest go.

    Each piece stands behind its SHA-256, which is checked when it is read. Several processes may use one folder: a
    piece appears whole or not at all, and one that is thrown out while it is read is read to its end.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Name a folder; it is made when the first piece is kept.

        Args:
            folder: Holds pieces of this cache, and nothing else.
            max_bytes: Most bytes that all pieces take together. A larger piece is not kept.
        """
        self.folder = folder
        self.max_bytes = max_bytes
        self._given_up = False

    def get(self, name: str) -> bytes | None:
        """Return a piece; None when it is not here, or not what was kept."""
        path = self.folder / name
        try:
            stored = path.read_bytes()
        except OSError:  # not there, or not to be read: it is fetched
            return None
        data = memoryview(stored)[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != stored[:_DIGEST_BYTES]:
            self._forget(path, len(stored))
            return None
        with suppress(
            OSError
        ):  # a read-only cache serves as well; another process may just have thrown it out
            os.utime(path)
        return bytes(data)

    def put(self, name: str, data: bytes) -> None:
        """Keep a piece, and throw out others when the bound asks for it.

        A folder that cannot be written to, or whose disk is full, is told once; reading goes on without it.
        """
        size = len(data) + _DIGEST_BYTES
        if size > self.max_bytes or self._given_up:
            return
        try:
            with locked(self.folder / f".{_USAGE_NAME}.lock"):
                used = self._used() + size
                if used > self.max_bytes:
                    used = self._throw_out(int(self.max_bytes * _KEEP) - size) + size
                self._note(used)
            with atomic_path(self.folder / name) as partial:
                partial.write_bytes(hashlib.sha256(data).digest() + data)
        except OSError as error:
            self._given_up = True
            _logger.warning(
                "%s: %s. Pieces of remote sets are no longer kept there in this process: what is read again is fetched again. "
                "Make room, or point SR_DATA_CACHE elsewhere.",
                self.folder,
                error.strerror or error,
            )

    def _used(self) -> int:
        try:
            return int((self.folder / _USAGE_NAME).read_text())
        except (FileNotFoundError, ValueError):
            return sum(size for _, size, _ in self._pieces())

    def _note(self, used: int) -> None:
        (self.folder / _USAGE_NAME).write_text(str(used))

    def _pieces(self) -> list[tuple[int, int, Path]]:
        """Return time of last use, size and path of each piece."""
        found = []
        for entry in os.scandir(self.folder):
            # Hidden names are partial files of writers at work and the lock.
            if entry.name.startswith(".") or entry.name == _USAGE_NAME:
                continue
            with suppress(FileNotFoundError):
                facts = entry.stat()
                found.append((facts.st_mtime_ns, facts.st_size, Path(entry.path)))
        return found

    def _throw_out(self, most: int) -> int:
        """Delete pieces, the longest unused first, until the others take at most ``most`` bytes; return what they take."""
        pieces = sorted(self._pieces())
        used = sum(size for _, size, _ in pieces)
        for _, size, path in pieces:
            if used <= most:
                break
            path.unlink(missing_ok=True)
            used -= size
        return used

    def _forget(self, path: Path, size: int) -> None:
        with suppress(OSError), locked(self.folder / f".{_USAGE_NAME}.lock"):
            path.unlink(missing_ok=True)
            self._note(max(0, self._used() - size))
