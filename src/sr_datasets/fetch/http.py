"""One file over HTTP: mirrors in order, resumed where it is safe, hashed while it streams.

While a file is under way, ``NAME.part`` holds its first bytes and ``NAME.fetch.json`` says which
bytes of which address they are (URL, ETag, Last-Modified, size). A partial file is continued only by
an answer that is provably the rest of the same bytes: 206, its Content-Range beginning where the
partial file ends and naming the same total. Every other answer starts over. ``NAME`` appears when the
size and every checksum of the manifest have been checked, in one rename.
"""

import email.utils
import html
import http.client
import itertools
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from sr_datasets import __version__
from sr_datasets.errors import FetchError, HashMismatchError
from sr_datasets.files import (
    Digests,
    disk_errors,
    human_bytes,
    iter_chunks,
    locked,
    partial_name,
    require_space,
    sync_file,
    write_atomic,
)
from sr_datasets.manifest import FileFacts
from sr_datasets.progress import Bar, Progress

Proof = Literal["sha256", "sha1", "md5", "first-fetch"]

_READ_BYTES = 1 << 18
_HEAD_BYTES = 512
_PAGE_BYTES = 1 << 16
# A body slower than this over a whole stall window is as dead as one that stands still.
_DRIP_BYTES_PER_SECOND = 128
# An attempt that brings at least this much new has earned the full number of retries again.
_NEW_GROUND_BYTES = 1 << 16
_CHECKSUMS: tuple[Literal["sha256", "sha1", "md5"], ...] = ("sha256", "sha1", "md5")
_CHECKSUM_TITLES = {"sha256": "SHA-256", "sha1": "SHA-1", "md5": "MD5"}
_MAGIC = {
    ".y4m": (0, (b"YUV4MPEG2 ",)),
    ".zip": (0, (b"PK\x03\x04", b"PK\x05\x06")),
    ".7z": (0, (b"7z\xbc\xaf\x27\x1c",)),
    ".gz": (0, (b"\x1f\x8b",)),
    ".tgz": (0, (b"\x1f\x8b",)),
    ".xz": (0, (b"\xfd7zXZ\x00",)),
    ".png": (0, (b"\x89PNG\r\n\x1a\n",)),
    ".jpg": (0, (b"\xff\xd8\xff",)),
    ".bmp": (0, (b"BM",)),
    ".mkv": (0, (b"\x1a\x45\xdf\xa3",)),
    ".webm": (0, (b"\x1a\x45\xdf\xa3",)),
    ".avi": (0, (b"RIFF",)),
    ".mp4": (4, (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")),
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a fetch waits, and how often it tries again."""

    connect_seconds: float = 15.0
    """Longest wait for a connection."""
    stall_seconds: float = 60.0
    """Longest silence of a server, and the window in which a body must bring at least 128 bytes a second."""
    retries: int = 4
    """Further attempts at one mirror that bring nothing new, before the next mirror is tried."""
    backoff_seconds: float = 1.0
    """Wait before the first retry; it doubles with each further one."""
    max_wait_seconds: float = 120.0
    """Longest wait that a server's Retry-After may ask for."""


PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was brought in and checked."""

    path: Path
    """Where it lies."""
    size_bytes: int
    """Its size."""
    sha256: str
    """Its SHA-256."""
    url: str
    """The mirror that gave it; empty when the file was there before and nobody noted where from."""
    etag: str
    """The server's tag of the bytes, if it sent one."""
    proof: Proof
    """What the bytes were checked against; ``first-fetch``: nothing but their length."""


def fetch_file(
    file: FileFacts, dest: Path, *, progress: Progress, name: str | None = None, patience: Patience = PATIENT
) -> Fetched:
    """Bring one file to ``dest``, from the first mirror that gives the right bytes.

    Two processes that want the same ``dest`` fetch it once: the second waits and takes what the first
    brought. A file that is at ``dest`` already is hashed and taken, never replaced. Proxies,
    certificates and ``.netrc`` are taken from the environment as requests does, and ``SSL_CERT_FILE``.

    Args:
        file: Mirrors, size and checksums.
        dest: Where the file goes; its suffix also says which first bytes are expected.
        progress: Where the download shows itself.
        name: What messages call the file; ``dest``'s name by default.
        patience: Time limits and retries.

    Raises:
        FetchError: No mirror gave the file; the message has each mirror's reason.
        HashMismatchError: A mirror gave a whole file that is not the one that the manifest names. It is
            kept as ``NAME.rejected``.
        SrDataError: The disk is full.
    """
    name = name or dest.name
    if not file.mirrors:
        raise FetchError(
            f"{name}: the manifest lists no address for it. Bring the file yourself with sr-data import, "
            "or add its address to `mirrors` in the manifest."
        )

    def waiting() -> None:
        progress.log(f"{name}: another process is fetching it; waiting for that one")

    with (
        disk_errors(name, dest.parent),
        locked(dest.with_name(f".{dest.name}.lock"), waiting=waiting),
        ExitStack() as stack,
    ):
        return _Download(file, dest, name, progress, patience, stack).run()


def noted_sha256(dest: Path) -> str:
    """Return the SHA-256 of the last file that was fetched to ``dest``, while its note is there, or an empty text."""
    note = _Note.read(dest)
    return note.sha256 if note else ""


def discard(dest: Path) -> None:
    """Delete what a fetch of ``dest`` keeps beside it: partial and rejected files, its note and its lock.

    For the caller who has taken the file away and keeps others from fetching it meanwhile.
    """
    note = _note_path(dest)
    lock = dest.with_name(f".{dest.name}.lock")
    for path in (_part(dest), note, partial_name(note), _rejected(dest), lock):
        path.unlink(missing_ok=True)


def _part(dest: Path) -> Path:
    return dest.with_name(dest.name + ".part")


def _note_path(dest: Path) -> Path:
    return dest.with_name(dest.name + ".fetch.json")


def _rejected(dest: Path) -> Path:
    return dest.with_name(dest.name + ".rejected")


@dataclass(frozen=True, slots=True)
class _Note:
    """The sidecar: which bytes the partial file, and later the file itself, is made of."""

    url: str
    etag: str
    last_modified: str
    size: int | None
    sha256: str = ""

    @property
    def validator(self) -> str:
        """What If-Range may carry: a strong ETag, or a date that one second cannot have reused."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def write(self, dest: Path) -> None:
        fields = {
            "url": self.url,
            "etag": self.etag,
            "last_modified": self.last_modified,
            "size": self.size,
            "sha256": self.sha256,
        }
        write_atomic(_note_path(dest), (json.dumps(fields, indent=1) + "\n").encode(), alone=True)

    @classmethod
    def read(cls, dest: Path) -> "_Note | None":
        try:
            note = cls(**json.loads(_note_path(dest).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # a note that cannot be read vouches for nothing
        texts = (note.url, note.etag, note.last_modified, note.sha256)
        good = all(isinstance(text, str) for text in texts) and isinstance(note.size, int | None)
        return note if good else None


class _MirrorError(Exception):
    """This mirror will not give the file; the next one may."""


class _WrongFileError(_MirrorError):
    """This mirror gave a whole file, but another one."""


class _BrokenError(Exception):
    """This attempt ended early; another one at the same mirror may do better."""

    def __init__(self, reason: str, *, wait: float | None = None, at_most: int | None = None) -> None:
        super().__init__(reason)
        self.wait = wait
        self.at_most = at_most


class _Session(requests.Session):
    """A session that never leaves an encrypted connection for an open one."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = 10
        # A compressed answer would have other bytes than the file whose hash is known.
        self.headers.update({"User-Agent": f"sr-datasets/{__version__}", "Accept-Encoding": "identity"})
        if bundle := os.environ.get("SSL_CERT_FILE"):
            self.verify = bundle

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https":
            goal = urljoin(resp.url, target)
            if urlsplit(goal).scheme != "https":
                resp.close()
                raise _MirrorError(f"redirects from https to {goal}, which is not encrypted: refused")
        return target


class _Download:
    """One file on its way, over all its mirrors."""

    def __init__(
        self,
        file: FileFacts,
        dest: Path,
        name: str,
        progress: Progress,
        patience: Patience,
        stack: ExitStack,
    ) -> None:
        self.file = file
        self.dest = dest
        self.part = _part(dest)
        self.name = name
        self.progress = progress
        self.patience = patience
        self.stack = stack
        self.session = stack.enter_context(_Session())
        self.digests: Digests | None = None  # of exactly the bytes in the partial file
        self.doubtful = False  # whether these bytes may be of two versions of the file, or lack its end
        self.started_over = False
        self.bar: Bar | None = None
        self.shown = 0

    def run(self) -> Fetched:
        if self.dest.exists():
            return self._adopt()
        if (rejected := _rejected(self.dest)).exists() and self._fits(rejected):
            # The manifest was corrected since: the file that was put aside is the right one.
            rejected.replace(self.dest)
            return self._adopt()
        reasons: list[str] = []
        mismatch = False
        for url in self._mirrors():
            if reasons:
                self.progress.log(f"{self.name}: {reasons[-1]}; trying the next mirror")
            try:
                return self._from_mirror(url)
            except _MirrorError as failed:
                mismatch = mismatch or isinstance(failed, _WrongFileError)
                reasons.append(f"{url} {failed}")
        kept = (
            f" The file that came is kept as {_rejected(self.dest)} and not used. The publisher may have "
            "replaced it: compare with their page, then update the manifest, or delete the kept file."
            if mismatch
            else " Try again later, add a mirror to the manifest, or bring the file yourself with "
            "sr-data import."
        )
        text = (
            f"{self.name}: {reasons[0]}."
            if len(reasons) == 1
            else f"{self.name}: none of its {len(reasons)} mirrors gave the file:"
            + "".join(f"\n  {reason}." for reason in reasons)
            + "\n"
        )
        raise (HashMismatchError if mismatch else FetchError)(text + kept)

    def _mirrors(self) -> list[str]:
        """Return the mirrors in order, first the one that a partial file came from."""
        note = _Note.read(self.dest)
        return sorted(
            self.file.mirrors, key=lambda url: not (note and self.part.exists() and note.url == url)
        )

    def _adopt(self) -> Fetched:
        """Take a file that is at its place already, if anything proves that it is the right one."""
        note = _Note.read(self.dest)
        digests = self._hash(self.dest)
        wrong = self._wrong_facts(digests)
        if wrong:
            raise HashMismatchError(
                f"{self.name}: {self.dest} is there already, but {wrong}. Move it away, then run the same "
                "command again."
            )
        proof = self._proof()
        noted = note is not None and note.sha256 == digests.hexdigest("sha256")
        if proof == "first-fetch" and not noted:
            raise FetchError(
                f"{self.name}: {self.dest} is there already, and neither a checksum in the manifest nor a note of "
                "an earlier fetch says what it is. Move it away, then run the same command again, or bring it in "
                "with sr-data import."
            )
        return Fetched(
            self.dest,
            digests.num_bytes,
            digests.hexdigest("sha256"),
            note.url if note and noted else "",
            note.etag if note and noted else "",
            proof,
        )

    def _fits(self, path: Path) -> bool:
        if self.file.size_bytes is not None and path.stat().st_size != self.file.size_bytes:
            return False
        return self._proof() != "first-fetch" and self._wrong_facts(self._hash(path)) is None

    def _from_mirror(self, url: str) -> Fetched:
        """Fetch from one mirror, as often as patience allows.

        Raises:
            _MirrorError: It did not give the file.
        """
        tries = 0
        furthest = 0
        while True:
            try:
                note = self._transfer(url)
                return self._finish(note)
            except _BrokenError as broken:
                reached = self.digests.num_bytes if self.digests else 0
                tries = 1 if reached - furthest >= _NEW_GROUND_BYTES else tries + 1
                furthest = max(furthest, reached)
                limit = self.patience.retries if broken.at_most is None else broken.at_most
                if tries > limit:
                    raise _MirrorError(f"{broken}, {tries} times" if tries > 1 else str(broken)) from broken
                wait = (
                    self.patience.backoff_seconds * 2 ** (tries - 1) if broken.wait is None else broken.wait
                )
                if wait > self.patience.max_wait_seconds:
                    raise _MirrorError(
                        f"{broken} and asks to wait {wait:.0f} s, more than the "
                        f"{self.patience.max_wait_seconds:.0f} s that a fetch waits"
                    ) from broken
                self.progress.log(f"{self.name}: {url} {broken}; trying again in {wait:.0f} s")
                time.sleep(wait)

    def _transfer(self, url: str) -> _Note:
        """Make one request and write its body behind what is there; return the note of the whole file.

        Raises:
            _BrokenError: The partial file is not whole yet.
            _MirrorError: The answer is not the file.
        """
        note = self._resumable(url)
        offset = self.digests.num_bytes if note and self.digests else 0
        if note and offset and offset == note.size:
            return note  # killed between the last byte and the rename
        headers = {}
        if note and offset:
            headers["Range"] = f"bytes={offset}-"
            if note.validator:
                headers["If-Range"] = note.validator
        try:
            with self._get(url, headers) as response:
                start = self._check_status(response, offset, note)
                total = self._check_length(response, start)
                pieces = _pieces(response, self.patience)
                if start == 0:
                    head = self._check_head(pieces, response, total)
                    note = self._begin(url, response, total)
                    pieces = itertools.chain(head, pieces)
                assert note is not None
                self._show(start, total)
                self._append(pieces, total)
                self._check_end(response, total)
                return note
        except _NETWORK_ERRORS as error:
            raise _as_failure(error, self.patience) from error

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        times = (self.patience.connect_seconds, self.patience.stall_seconds)
        try:
            return self.session.get(url, headers=headers, stream=True, timeout=times)
        except requests.RequestException:
            raise
        except OSError as error:  # such as a certificate bundle that is not there
            raise _MirrorError(f"could not be asked: {error}") from error

    def _resumable(self, url: str) -> _Note | None:
        """Return the note of a partial file that this address may continue, with its bytes hashed."""
        note = _Note.read(self.dest)
        # Without a validator only a checksum can tell whether two halves belong together.
        usable = note and note.url == url and (note.validator or self._proof() != "first-fetch")
        if not usable or not self.part.exists():
            return None
        size = self.part.stat().st_size
        if note and note.size is not None and size > note.size:
            return None
        if self.digests is None or self.digests.num_bytes != size:
            # Before the request: a server would lose its patience while gigabytes are hashed.
            if size:
                self.progress.log(f"{self.name}: continuing at {human_bytes(size)}")
                self.doubtful = True
            self.digests = self._hash(self.part)
        return note

    def _check_status(self, response: requests.Response, offset: int, note: _Note | None) -> int:
        """Return the position in the file at which the body begins: 0, or where the partial file ends."""
        status = response.status_code
        if status == 200:
            return 0
        if status == 206 and offset:
            stated = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
            total = note.size if note else None
            if stated and int(stated[1]) == offset and total in (None, int(stated[3])):
                tag = response.headers.get("ETag", "")
                if not (note and note.etag and tag) or tag == note.etag:
                    self.doubtful = True
                    return offset
            self._drop()
            raise _BrokenError(
                f"answered a request for byte {offset} onwards with "
                f"'{response.headers.get('Content-Range', 'no Content-Range')}', so the fetch starts over",
                wait=0,
            )
        if status == 416 and offset:
            self._drop()
            raise _BrokenError(
                "no longer has the rest of the file that was begun, so the fetch starts over", wait=0
            )
        answer = f"answered {status} {http.client.responses.get(status, response.reason or '')}".rstrip()
        if status in (408, 425, 429, 500, 502, 503, 504):
            raise _BrokenError(answer, wait=_retry_after(response))
        raise _MirrorError(answer)

    def _check_length(self, response: requests.Response, start: int) -> int | None:
        """Return the size of the whole file as the answer states it, checked before its body is read."""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity" and not urlsplit(response.url).path.endswith((".gz", ".tgz")):
            raise _MirrorError(f"sent the file in {encoding} encoding, which was not asked for")
        # Of a partial answer the range names the whole size; its length may be that of a first portion only.
        length = response.headers.get("Content-Range" if start else "Content-Length", "").rpartition("/")[2]
        total = int(length) if re.fullmatch(r"\d+", length) else None
        wanted = self.file.size_bytes
        if total is not None and wanted is not None and total != wanted:
            self._raise_if_page(response)
            raise _MirrorError(
                f"offers a file of {total} bytes, the manifest says {wanted}{self._evidence('size_bytes')}"
            )
        if total == 0:
            raise _MirrorError("sent an empty file")
        if total is None and not _is_chunked(response) and wanted is None and self._proof() == "first-fetch":
            raise _MirrorError(
                "does not say how long the file is, and the manifest has neither its size nor a checksum: "
                "nothing could tell whether it came whole"
            )
        if total is not None:
            require_space(self.dest.parent, total - start, self.name)
        return total if total is not None else wanted

    def _raise_if_page(self, response: requests.Response) -> None:
        head = b"".join(_read_some(_pieces(response, self.patience), _HEAD_BYTES))
        if _is_page(head):
            raise _MirrorError(_describe_page(head))

    def _check_head(
        self, pieces: Iterator[bytes], response: requests.Response, total: int | None
    ) -> list[bytes]:
        """Look at the first bytes before a partial file is given up for them; return them."""
        pieces_read = _read_some(pieces, _HEAD_BYTES)
        head = b"".join(pieces_read)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if _is_page(head) or (kind in ("text/html", "application/xhtml+xml") and head.lstrip()[:1] == b"<"):
            rest = _read_some(pieces, _PAGE_BYTES) if total is None or total < 1 << 24 else []
            raise _MirrorError(_describe_page(head + b"".join(rest)))
        if not head:
            raise _MirrorError("sent an empty file")
        place, magics = _MAGIC.get(self.dest.suffix.lower(), (0, ()))
        if magics and not head[place:].startswith(magics):
            raise _MirrorError(
                f"sent something that is not a {self.dest.suffix.lower()[1:]} file: it begins with {head[:16]!r}"
                + (f" and is called {kind}" if kind else "")
            )
        return pieces_read

    def _begin(self, url: str, response: requests.Response, total: int | None) -> _Note:
        """Start the partial file anew."""
        # In this order, so that a kill in between leaves no partial file under another one's note.
        self._drop()
        note = _Note(url, response.headers.get("ETag", ""), _firm_date(response), total)
        note.write(self.dest)
        self.part.touch()
        self.digests = Digests(self._algorithms())
        self.doubtful = total is None and not _is_chunked(response)
        return note

    def _append(self, pieces: Iterable[bytes], total: int | None) -> None:
        assert self.digests is not None
        with self.part.open("ab") as file:
            for piece in pieces:
                if total is not None and self.digests.num_bytes + len(piece) > total:
                    self._drop()
                    raise _MirrorError(f"sent more than the {total} bytes that the file should have")
                file.write(piece)
                file.flush()
                self.digests.update(piece)
                if self.bar is not None:
                    self.bar.advance(len(piece))
                self.shown += len(piece)

    def _check_end(self, response: requests.Response, total: int | None) -> None:
        """Tell an end of the file from an end of the connection."""
        assert self.digests is not None
        have = self.digests.num_bytes
        if total is not None and have < total:
            if _is_chunked(response):
                # Properly ended: this is all there is at this mirror.
                raise _MirrorError(
                    f"sent {have} bytes, the manifest says {total}{self._evidence('size_bytes')}"
                )
            raise _BrokenError(f"broke off after {have} of {total} bytes")

    def _finish(self, note: _Note) -> Fetched:
        """Check the whole file and give it its name.

        Raises:
            _WrongFileError: It is another file.
        """
        assert self.digests is not None
        wrong = self._wrong_facts(self.digests)
        if wrong and self.doubtful and not self.started_over:
            # One attempt in a single piece decides whether it is the file or the way it came.
            self._drop()
            self.started_over = True
            raise _BrokenError(f"gave a file in parts that {wrong}, so the fetch starts over", wait=0)
        if wrong:
            self.part.replace(_rejected(self.dest))
            self._drop()
            raise _WrongFileError(f"gave a file that {wrong}")
        digest = self.digests.hexdigest("sha256")
        note = _Note(note.url, note.etag, note.last_modified, self.digests.num_bytes, digest)
        sync_file(self.part)
        note.write(self.dest)
        self.part.replace(self.dest)
        return Fetched(self.dest, self.digests.num_bytes, digest, note.url, note.etag, self._proof())

    def _wrong_facts(self, digests: Digests) -> str | None:
        """Return how a whole file differs from the manifest, as ``has ..., the manifest says ...``."""
        if self.file.size_bytes is not None and digests.num_bytes != self.file.size_bytes:
            return (
                f"has {digests.num_bytes} bytes, the manifest says {self.file.size_bytes}"
                f"{self._evidence('size_bytes')}"
            )
        for name in _CHECKSUMS:
            wanted = getattr(self.file, name)
            if wanted and (found := digests.hexdigest(name)) != wanted:
                title = _CHECKSUM_TITLES[name]
                return f"has {title} {found}, the manifest says {wanted}{self._evidence(name)}"
        return None

    def _evidence(self, fact: str) -> str:
        evidence = self.file.evidence.get(fact)
        return f" ({evidence.status} {evidence.where})" if evidence else ""

    def _proof(self) -> Proof:
        return next((name for name in _CHECKSUMS if getattr(self.file, name)), "first-fetch")

    def _algorithms(self) -> list[str]:
        return ["sha256", *(name for name in ("sha1", "md5") if getattr(self.file, name))]

    def _hash(self, path: Path) -> Digests:
        digests = Digests(self._algorithms())
        for piece in iter_chunks(path):
            digests.update(piece)
        return digests

    def _drop(self) -> None:
        """Give up the partial file."""
        self.part.unlink(missing_ok=True)
        _note_path(self.dest).unlink(missing_ok=True)
        self.digests = None

    def _show(self, start: int, total: int | None) -> None:
        if self.bar is None:
            self.bar = self.stack.enter_context(self.progress.bar(self.name, total=total, unit="bytes"))
        self.bar.advance(start - self.shown)
        self.shown = start


_NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException)


def _as_failure(error: Exception, patience: Patience) -> _BrokenError | _MirrorError:
    """Return what a library's error means for the fetch, in words without its class names."""
    match error:
        case requests.exceptions.SSLError():
            return _MirrorError(f"could not be reached over an encrypted connection ({_root_cause(error)})")
        case requests.exceptions.ProxyError():
            return _BrokenError(f"was not reached through the proxy ({_root_cause(error)})", at_most=1)
        case requests.exceptions.ConnectTimeout():
            return _BrokenError(
                f"did not accept a connection within {patience.connect_seconds:g} s", at_most=1
            )
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            return _BrokenError(f"sent nothing for {patience.stall_seconds:g} s")
        case requests.exceptions.TooManyRedirects():
            return _MirrorError("redirects in circles")
        case requests.exceptions.ConnectionError():
            return _BrokenError(f"was not reached ({_root_cause(error)})", at_most=1)
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidSchema():
            return _MirrorError(f"is or leads to an address that cannot be used ({error})")
        case _:
            return _BrokenError(f"broke the connection ({_root_cause(error)})")


def _root_cause(error: BaseException) -> str:
    """Return the innermost reason of an error that libraries wrapped several times."""
    while inner := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def _pieces(response: requests.Response, patience: Patience) -> Iterator[bytes]:
    """Yield the body as it arrives, undecoded.

    Raises:
        _BrokenError: Less than 128 bytes a second came over a whole stall window.
    """
    # read1 hands over what has arrived; read would sit on a dripping body until a whole piece is full.
    read = getattr(response.raw, "read1", response.raw.read)
    since = time.monotonic()
    count = 0
    while piece := read(_READ_BYTES, decode_content=False):
        yield piece
        count += len(piece)
        seconds = time.monotonic() - since
        if seconds >= patience.stall_seconds:
            if count < _DRIP_BYTES_PER_SECOND * seconds:
                raise _BrokenError(f"sent only {count} bytes in {seconds:.0f} s")
            since = time.monotonic()
            count = 0


def _is_chunked(response: requests.Response) -> bool:
    return response.headers.get("Transfer-Encoding", "").lower() == "chunked"


def _read_some(pieces: Iterator[bytes], at_least: int) -> list[bytes]:
    """Return pieces of at least so many bytes together, or all that are left."""
    read: list[bytes] = []
    count = 0
    while count < at_least and (piece := next(pieces, b"")):
        read.append(piece)
        count += len(piece)
    return read


def _is_page(head: bytes) -> bool:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:256].lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<script")) or (
        start.startswith((b"<?xml", b"<!--")) and b"<html" in start
    )


def _describe_page(page: bytes) -> str:
    found = re.search(r"<title[^>]*>(.*?)</title", page.decode("utf-8", "replace"), re.IGNORECASE | re.DOTALL)
    title = " ".join(html.unescape(found[1]).split())[:120] if found else ""
    named = f" titled '{title}'" if title else " without a title"
    return f"sent an HTML page{named} instead of the file"


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that a server asks to wait, or None when it does not say."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+", text):
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _firm_date(response: requests.Response) -> str:
    """Return Last-Modified when it may stand in If-Range (RFC 9110, 8.8.2.2), or an empty text."""
    try:
        changed = email.utils.parsedate_to_datetime(response.headers["Last-Modified"])
        answered = email.utils.parsedate_to_datetime(response.headers["Date"])
        # Changed in the second of the answer, the same date could stand for two versions.
        return response.headers["Last-Modified"] if (answered - changed).total_seconds() >= 1 else ""
    except (KeyError, ValueError, TypeError):
        return ""
