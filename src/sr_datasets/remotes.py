"""Places that an address names: local folders, object stores, whatever Arrow or fsspec can reach.

Reads that fail are tried again; errors say what to do in one sentence, and never show a password of the address.
"""

import errno
import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from sr_datasets.aside import begin, result_of
from sr_datasets.errors import MissingExtraError, RemoteError
from sr_datasets.files import atomic_path

_T = TypeVar("_T")

_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between the tries of a read."""
_PATIENCE_SECONDS = 20.0
"""After this no new try begins: one try may take seconds by itself, since object stores' clients try again too."""
_CHUNK_BYTES = 4 << 20
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_REFUSED = re.compile(
    r"ACCESS_DENIED|AccessDenied|INVALID_ACCESS_KEY|InvalidAccessKey|SIGNATURE_DOES_NOT_MATCH|SignatureDoesNotMatch"
    r"|INVALID_CLIENT_TOKEN|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION|EXPIRED_TOKEN|ExpiredToken|HTTP status 40[13]"
    r"|Forbidden|Unauthorized"
)
_NO_CONNECTION = re.compile(
    r"NETWORK_CONNECTION .*?(?:curlCode: \d+, (?P<why>[^;]+)|$)"
    r"|google::cloud::Status\(UNAVAILABLE: Retry policy exhausted(?:.*?CURL error \[\d+\]=(?P<google>[^={}]+?)(?: error_info=|$))?"
)
_GOOGLE_SECONDS = 8
"""So long Google's client tries by itself; it would for a quarter of an hour."""
_PUBLIC_OPTIONS = ("endpoint_override", "region", "scheme")
_GOOGLE = ("gs", "gcs")
_WITH_BUCKETS = ("s3", *_GOOGLE)
_HALF_ADDRESS = re.compile(r"(abfss?|az|file|ftp|gcs|gs|hdfs|hf|https?|s3|sftp):(?!//)/?", re.IGNORECASE)
"""The beginning of an address that lacks slashes; another name with a colon, such as run:1, is a folder's."""
_URI_SCHEMES = ("abfs", "abfss", "file", "gcs", "gs", "hdfs", "s3")
"""Schemes that Arrow knows: it reads an address as a URI, in which blanks and letters beyond ASCII are escaped."""
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket")


def is_address(text: str | os.PathLike[str]) -> bool:
    """Return whether a text names a place by a URL, such as ``s3://bucket/set``, and not by a path.

    Example:
        >>> is_address("s3://bucket/set"), is_address("/data/set"), is_address("set")
        (True, False, False)
    """
    return isinstance(text, str) and _ADDRESS.match(text) is not None


def check_place(text: str) -> None:
    """Refuse what a person typed as a place and cannot mean: an empty name, an address with a mistake, memory.

    Raises:
        RemoteError: It is such; the message says what to write.
    """
    _check_utf8(text)
    plain = text.strip()
    if not plain:
        raise RemoteError("The name of the place is empty. Name a folder, or an address: s3://bucket/set.")
    if plain != text and is_address(plain):
        raise RemoteError(f"'{text}' begins or ends with a blank, which no address does. Write {plain}")
    if (found := _HALF_ADDRESS.match(plain)) is not None:
        rest = plain[found.end() :]
        meant = f"{found[1]}://{os.path.abspath(rest) if found[1] == 'file' else rest}"  # noqa: PTH100 - links stay
        raise RemoteError(
            f"{plain} is no address: behind {found[1]}: come two slashes. Write {meant}, or ./{plain} for a folder of that name."
        )
    _check_mark(plain)
    if plain.lower().startswith("memory://"):
        raise RemoteError(
            f"{plain} is the memory of this process, which ends with the command: name a place that stays."
        )


def _check_mark(text: str) -> None:
    if is_address(text) and "#" in text and urlsplit(text).scheme.lower() in _URI_SCHEMES:
        raise RemoteError(
            f"{text.partition('#')[0]}#... has a '#', at which an address ends: write %23 in its place.",
            final=True,
        )


def _check_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RemoteError(not_utf8(text), final=True) from error


def not_utf8(name: str) -> str:
    """Return what to say of a name whose bytes are not UTF-8, such as one of Latin-1."""
    shown = os.fsencode(name).decode(errors="backslashreplace")
    return f"The name {shown} is not UTF-8, as names have to be here. Give that file or folder another name."


class Place:
    """A folder on some file system, and the files below it by relative names.

    The connection is made at first use, in each process; it pickles as its address, and whether it has answered.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        """Name a place; nothing is read yet.

        Args:
            address: A path of this machine, or a URL: what Arrow knows (``s3://``, ``gs://``, ``file://`` ...), else
                what fsspec knows. Options of Arrow's file system stand behind ``?``, such as
                ``s3://bucket/set?endpoint_override=http://127.0.0.1:9000``.
        """
        self.address = str(address)
        self._pid = 0
        self._opened: tuple[fs.FileSystem, str] | None = None
        self._answered = False

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "answered": self._answered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["address"])  # type: ignore[misc]
        self._answered = state["answered"]

    def __str__(self) -> str:
        """Return the address without user, password and options."""
        if not is_address(self.address):
            return self.address
        parts = urlsplit(self.address)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

    @property
    def plain(self) -> str:
        """The address without user, password and all options but those that say where a store is."""
        if not is_address(self.address):
            return self.address
        options = [one for one in parse_qsl(urlsplit(self.address).query) if one[0] in _PUBLIC_OPTIONS]
        return f"{self}?{urlencode(options, safe=':/')}" if options else str(self)

    def shown(self, name: str) -> str:
        """Return the address of a file below this place, for messages."""
        return f"{self}/{name}" if name else str(self)

    @property
    def filesystem(self) -> fs.FileSystem:
        """The file system, opened in this process."""
        return self._open()[0]

    @property
    def local(self) -> Path | None:
        """The folder, if it is one of this machine."""
        filesystem, path = self._open()
        return Path(path) if isinstance(filesystem, fs.LocalFileSystem) else None

    def path(self, name: str = "") -> str:
        """Return what the file system calls a file below this place."""
        base = self._open()[1].rstrip("/")
        return f"{base}/{name}" if name else base

    def _open(self) -> tuple[fs.FileSystem, str]:
        if self._opened is None or self._pid != os.getpid():
            # Connections and their threads do not survive a fork.
            self._opened, self._pid = _filesystem_of(_escaped(self.address), str(self)), os.getpid()
        return self._opened

    def size_of(self, name: str) -> int | None:
        """Return the size of a file in bytes; None when there is none.

        Raises:
            RemoteError: The place cannot be reached or refuses.
        """
        info = self._retried(name, "looked at", lambda: self.filesystem.get_file_info(self.path(name)))
        return info.size if info.type == fs.FileType.File else None

    def entries(self, folder: str = "") -> list[str]:
        """Return the names of files and folders in this place, or in a folder of it, sorted; none when it is not there.

        Raises:
            RemoteError: The place cannot be reached or refuses, or is a file.
        """
        selector = fs.FileSelector(self.path(folder), allow_not_found=True)
        found = self._retried(folder, "listed", lambda: self.filesystem.get_file_info(selector))
        return sorted(info.base_name for info in found if info.base_name)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the names of the files in a folder of this place with their bytes; none when it is not there.

        Raises:
            RemoteError: The place cannot be reached or refuses.
        """
        selector = fs.FileSelector(self.path(folder), allow_not_found=True)
        found = self._retried(folder, "listed", lambda: self.filesystem.get_file_info(selector))
        return {info.base_name: info.size for info in found if info.type == fs.FileType.File}

    def read(self, name: str) -> bytes:
        """Return a whole file.

        Raises:
            RemoteError: It is not there, or cannot be read after several tries.
        """
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes in pieces of 4 MiB; a piece that fails is tried again.

        Raises:
            RemoteError: It is not there, or cannot be read after several tries.
        """
        with RangeReader(self, name) as file:
            for start in range(0, file.size, _CHUNK_BYTES):
                yield file.read_at(start, min(_CHUNK_BYTES, file.size - start))

    @contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """Open a file for writing, in place of what is there; its folder is made.

        It appears whole when the block has ended, here and in object stores; what a failing block wrote is deleted.

        Raises:
            RemoteError: The place refuses, or is full.
        """
        path = self.path(name)
        with self._told(name, "written"):
            if self.local is not None:
                with atomic_path(Path(path)) as partial, partial.open("wb") as file:
                    yield file
                return
            # An object store has no folders, and may forbid to make a bucket.
            if not isinstance(self.filesystem, fs.S3FileSystem):
                self.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            try:
                with self.filesystem.open_output_stream(path) as file:
                    yield file
            except BaseException:
                self._drop(path)
                raise

    def _drop(self, path: str) -> None:
        try:
            self.filesystem.delete_file(path)
        except (OSError, pa.ArrowException):
            return  # the first error is the one to tell

    def delete(self, name: str) -> None:
        """Delete a file below this place, if it is there.

        Raises:
            RemoteError: The place refuses.
        """
        with self._told(name, "deleted"):
            if self.size_of(name) is not None:
                self.filesystem.delete_file(self.path(name))

    def delete_folder(self, name: str) -> None:
        """Delete a folder below this place with all it holds, if it is there.

        Raises:
            RemoteError: The place refuses.
        """
        with self._told(name, "deleted"):
            if self.filesystem.get_file_info(self.path(name)).type == fs.FileType.Directory:
                self.filesystem.delete_dir(self.path(name))

    def send(self, source: Path | bytes, name: str, *, passed: Callable[[int], None] | None = None) -> None:
        """Write a file of this machine, or bytes, under a name, in place of what is there; whole or not at all.

        It is tried again when it fails for a moment.

        Args:
            source: What to write.
            name: Where.
            passed: Told the bytes that went; a negative number when they go again.

        Raises:
            RemoteError: The place refuses, is full, or cannot be reached.
        """

        def _once() -> None:
            done = 0
            try:
                with self.writing(name) as file:
                    for chunk in _chunks_of(source):
                        file.write(chunk)
                        done += len(chunk)
                        if passed is not None:
                            passed(len(chunk))
            except RemoteError:
                if passed is not None:
                    passed(-done)
                raise

        retried(_once)

    def sha256_of(self, name: str) -> str:
        """Return the SHA-256 of a file below this place, read from there.

        Raises:
            RemoteError: As ``chunks``.
        """
        digest = hashlib.sha256()
        for chunk in self.chunks(name):
            digest.update(chunk)
        return digest.hexdigest()

    def _retried(self, name: str, what: str, action: Callable[[], _T]) -> _T:
        return retried(lambda: self._plainly(name, what, action))

    def _plainly(self, name: str, what: str, action: Callable[[], _T]) -> _T:
        with self._told(name, what):
            return action()

    @contextmanager
    def _told(self, name: str, what: str) -> Iterator[None]:
        """Turn errors of file systems into one sentence that names the file.

        Arrow itself has tried for six seconds when a store does not answer. One that never has is not tried again: its
        address is more likely to be wrong than it is to be down for a moment.
        """
        try:
            yield
            self._answered = True
        except (OSError, pa.ArrowException) as error:
            if (silent := _no_answer(error, self.address, self.shown(name), what)) is not None:
                silent.final = not self._answered
                raise silent from error
            if (cause := self._unreachable(name, error)) is not None:
                raise RemoteError(
                    f"{self.shown(name)} cannot be {what}: its host cannot be reached ({' '.join(str(cause).split())}). Look "
                    "at the address and at the network."
                ) from error
            raise _error_of(error, self.shown(name), what) from error

    def _unreachable(self, name: str, error: Exception) -> OSError | None:
        """Return what kept a client of fsspec from its host: it, and Arrow, tell that as a file that is not there."""
        if not isinstance(error, FileNotFoundError) or self._opened is None:
            return None
        handler = getattr(self._opened[0], "handler", None)
        if not isinstance(handler, fs.FSSpecHandler):
            return None
        try:
            handler.fs.info(self.path(name))
        except OSError as told:
            return _connection_error(told)
        return None


class RangeReader:
    """Reads ranges of one file, each tried again with growing pauses when it fails; several threads may read.

    Example:
        with RangeReader(Place("s3://bucket/set"), "index.parquet") as file:
            head = file.read_at(0, 4)
    """

    def __init__(self, place: Place, name: str) -> None:
        """Open a file and learn its size.

        Raises:
            RemoteError: It is not there, or the place refuses or cannot be reached.
        """
        self._place, self._name = place, name
        self._file: Any = None
        self._opening = threading.Lock()
        self.size = -1
        """Bytes of the file when it was opened."""
        retried(self._opened)

    def _opened(self) -> Any:
        with self._opening, self._place._told(self._name, "read"):
            if self._file is None:
                file = self._place.filesystem.open_input_file(self._place.path(self._name))
                size = int(file.size())
                if self.size not in (-1, size):
                    raise RemoteError(
                        f"{self._place.shown(self._name)} changed while it was read: it had {self.size} bytes, now {size}. "
                        "Open it again.",
                        final=True,
                    )
                self._file, self.size = file, size
            return self._file

    def read_at(self, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start`` on; what arrived before a failure is not asked for again.

        Raises:
            RemoteError: They cannot be had after several tries, or the file ends before.
        """
        found = bytearray()

        def _go_on() -> None:
            file = self._opened()
            with self._place._told(self._name, "read"):
                try:
                    while len(found) < length:
                        step = min(_CHUNK_BYTES, length - len(found))
                        piece = file.read_at(step, start + len(found))
                        if not piece:
                            raise OSError(
                                f"it ends at byte {start + len(found)}, {start + length} were asked for"
                            )
                        found.extend(piece)
                except (OSError, pa.ArrowException):
                    # Opened anew for the next try; another thread may still read from this one, so it is not closed.
                    with self._opening:
                        if self._file is file:
                            self._file = None
                    raise

        retried(_go_on)
        return bytes(found)

    def close(self) -> None:
        """Give the connection back; the next read opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __enter__(self) -> "RangeReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def retried(action: Callable[[], _T]) -> _T:
    """Do something that may fail for a moment: up to six times, with growing pauses, none begun after 20 seconds.

    Raises:
        RemoteError: It failed each time, or in a way that waiting does not cure.
    """
    end = time.monotonic() + _PATIENCE_SECONDS
    for pause in _PAUSES:
        try:
            return _interruptibly(action)
        except RemoteError as error:
            if error.final or time.monotonic() + pause > end:
                raise
            time.sleep(pause)
    return _interruptibly(action)


def _interruptibly(action: Callable[[], _T]) -> _T:
    """Do what waits for a network so that signals are answered meanwhile.

    Arrow's calls are one step of the interpreter each, and wait for minutes. What is left behind goes on until the process ends (``is_waiting``).
    """
    if threading.current_thread() is not threading.main_thread():
        return action()
    return result_of(begin(action, name=_AWAY))


_AWAY = "sr-data remote"


def is_waiting() -> bool:
    """Return whether something that was begun at a remote place has not ended: the interpreter's end would wait for it."""
    return any(thread.name == _AWAY for thread in threading.enumerate())


def _chunks_of(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _escaped(address: str) -> str:
    """Return an address as a URI has to be written; what is escaped already stays, as does what is for fsspec."""
    _check_utf8(address)
    if not is_address(address) or urlsplit(address).scheme.lower() not in _URI_SCHEMES:
        return address
    _check_mark(address)
    place, mark, options = address.partition("?")
    return quote(place, safe="/%:@!$&'()*+,;=~") + mark + options


def _filesystem_of(address: str, shown: str) -> tuple[fs.FileSystem, str]:
    if not is_address(address):
        return fs.LocalFileSystem(), os.path.abspath(address)  # noqa: PTH100 - Path.resolve would follow links
    if urlsplit(address).scheme.lower() in _WITH_BUCKETS and not urlsplit(address).netloc.rpartition("@")[2]:
        raise RemoteError(
            f"The address {address.partition('?')[0]} names no bucket. Write {urlsplit(address).scheme}://BUCKET/FOLDER.",
            final=True,
        )
    try:
        filesystem, path = fs.FileSystem.from_uri(_with_limit(address))
        return filesystem, path
    except pa.ArrowInvalid as error:
        if "Unrecognized filesystem" not in str(error):
            raise RemoteError(f"{shown} is no address that can be used: {error}", final=True) from error
    except (ImportError, OSError) as error:
        silent = _no_answer(error, address, shown, "opened")
        raise silent or RemoteError(f"{shown} cannot be reached: {error}", final=True) from error
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{shown} is no place that Arrow knows; another file system", extra="remote"
        ) from error
    try:
        found, path = url_to_fs(address)
    except (ImportError, ValueError, OSError) as error:
        raise RemoteError(f"{shown} cannot be reached through fsspec: {error}", final=True) from error
    return fs.PyFileSystem(fs.FSSpecHandler(found)), path


def _with_limit(address: str) -> str:
    """Return an address of Google's storage with a limit to the time in which it is tried."""
    name = "retry_limit_seconds"
    if urlsplit(address).scheme.lower() not in _GOOGLE or name in dict(parse_qsl(urlsplit(address).query)):
        return address
    return f"{address}{'&' if '?' in address else '?'}{name}={_GOOGLE_SECONDS}"


def _error_of(error: Exception, where: str, what: str) -> RemoteError:
    text = " ".join(str(error).split())
    if isinstance(error, RemoteError):
        return error
    if isinstance(error, FileNotFoundError):
        return RemoteError(f"{where} is not there. Look at the address: bucket, folder, region.", final=True)
    if isinstance(error, OSError) and error.errno in _NOT_ALLOWED and not is_address(where):
        why = "the file system is read-only" if error.errno == errno.EROFS else "permission denied"
        return RemoteError(
            f"{where} cannot be {what}: {why}. Choose a folder that you may write to, or ask its owner.",
            final=True,
        )
    if isinstance(error, PermissionError) or _REFUSED.search(text):
        return RemoteError(
            f"{where} cannot be {what}: the place refuses. Its credentials are missing or wrong, or lack the "
            f"permission (for s3://: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws; for hf://: HF_TOKEN). It said: {text}",
            final=True,
        )
    if _NO_BUCKET.search(text):
        return RemoteError(
            f"{where} cannot be {what}: there is no such bucket. Make it, or correct its name.", final=True
        )
    if isinstance(error, OSError) and error.errno == errno.EDQUOT:
        return RemoteError(
            f"{where} cannot be {what}: the quota of this account there is used up. Delete what you no longer need there, or "
            "ask who runs that disk for more, then run the same command again.",
            final=True,
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return RemoteError(
            f"{where} cannot be {what}: the disk is full. Make room there, then run the same command again.",
            final=True,
        )
    # A disk of this machine does not come to its senses within seconds.
    return RemoteError(f"{where} cannot be {what}: {text}", final=not is_address(where))


def _no_answer(error: Exception, address: str, where: str, what: str) -> RemoteError | None:
    """Return what to say where an object store does not answer at all; None of other errors."""
    found = _NO_CONNECTION.search(" ".join(str(error).split()))
    if found is None:
        return None
    why = found["why"] or found["google"] or "no connection"
    if urlsplit(address).scheme.lower() in _GOOGLE:
        return RemoteError(
            f"{where} cannot be {what}: Google's storage does not answer ({why}). Look at the network and its proxy; then at the "
            f"credentials (GOOGLE_APPLICATION_CREDENTIALS, or gs://anonymous@BUCKET/FOLDER for what is public).",
            final=True,
        )
    endpoint, named = dict(parse_qsl(urlsplit(address).query)).get("endpoint_override"), "its address says so"
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):  # in Arrow's order
        if not endpoint and (endpoint := os.environ.get(name)):
            named = f"{name} says so"
    told = (
        f"{endpoint.rpartition('@')[2]} ({named})"
        if endpoint
        else "Amazon's (AWS_ENDPOINT_URL names no other)"
    )
    return RemoteError(
        f"{where} cannot be {what}: the object store does not answer ({why}). Its endpoint is "
        f"{told}. Look whether that is right, and the region; at the network and its proxy; then at the credentials "
        "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws).",
        final=True,
    )


def _connection_error(error: Exception) -> OSError | None:
    """Return the error of a connection, or of a name that no host has, that an error came from."""
    seen: BaseException | None = error
    for _ in range(_DEEPEST_CAUSE):
        # aiohttp's own names: it is not imported here.
        if isinstance(seen, OSError) and (
            isinstance(seen, ConnectionRefusedError | socket.gaierror)
            or type(seen).__name__.startswith("ClientConnector")
        ):
            return seen
        seen = None if seen is None else seen.__cause__ or seen.__context__
    return None


_DEEPEST_CAUSE = 8
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EFBIG)
