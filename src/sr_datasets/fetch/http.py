"""One file over HTTP: mirrors in order, resumed where it is safe, hashed while it streams.

While a file is under way, ``NAME.part`` holds its first bytes and ``NAME.fetch.json`` says which
bytes of which address they are (URL, ETag, Last-Modified, size). A partial file is continued only by
an answer that is provably the rest of the same bytes: 206, its Content-Range beginning where the
partial file ends and naming the same total. Every other answer starts over. ``NAME`` appears when the
size and every checksum of the manifest have been checked, in one rename.
"""

import http.client
import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import requests

from sr_datasets.errors import FetchError, HashMismatchError
from sr_datasets.fetch.answers import (
    HEAD_BYTES,
    describe_page,
    firm_date,
    fits_suffix,
    is_chunked,
    is_page,
    read_some,
    retry_after,
)
from sr_datasets.fetch.failures import (
    NETWORK_ERRORS,
    PATIENT,
    BrokenError,
    MirrorError,
    Patience,
    WrongFileError,
    as_failure,
)
from sr_datasets.fetch.traffic import Traffic
from sr_datasets.files import (
    Digests,
    DigestsBehind,
    SyncedBehind,
    disk_errors,
    human_bytes,
    iter_chunks,
    locked,
    partial_name,
    require_space,
    sync_file,
    write_all,
    write_atomic,
)
from sr_datasets.manifest import FileFacts
from sr_datasets.progress import Bar, Progress

Proof = Literal["sha256", "sha1", "md5", "first-fetch"]

_PAGE_BYTES = 1 << 16
# A body slower than this over a whole stall window is as dead as one that stands still.
_DRIP_BYTES_PER_SECOND = 128
# An attempt that brings at least this much new has earned the full number of retries again.
_NEW_GROUND_BYTES = 1 << 16
_CHECKSUMS: tuple[Literal["sha256", "sha1", "md5"], ...] = ("sha256", "sha1", "md5")
_CHECKSUM_TITLES = {"sha256": "SHA-256", "sha1": "SHA-1", "md5": "MD5"}


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
    file: FileFacts,
    dest: Path,
    *,
    progress: Progress,
    name: str | None = None,
    patience: Patience = PATIENT,
    traffic: Traffic | None = None,
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
        traffic: What it shares with other downloads of this run; nothing by default.

    Raises:
        FetchError: No mirror gave the file; the message has each mirror's reason.
        HashMismatchError: A mirror gave a whole file that is not the one that the manifest names. It is
            kept as ``NAME.rejected``.
        SrDataError: The disk is full.
        Stopped: ``traffic`` was told to end; what has come is kept.
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
        locked(dest.with_name(f".{dest.name}.lock"), waiting=waiting, passing=True),
        ExitStack() as stack,
    ):
        own = traffic or stack.enter_context(Traffic())
        return _Download(file, dest, name, progress, patience, own, stack).run()


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


def put_aside(dest: Path) -> Path:
    """Keep a file that was fetched and cannot be used as ``NAME.rejected``; return where it lies."""
    discard(dest)
    return dest.replace(_rejected(dest))


def was_put_aside(dest: Path) -> bool:
    """Return whether a file lies here that was fetched and refused."""
    return _rejected(dest).exists()


def bytes_here(dest: Path) -> int:
    """Return how many bytes of a file lie here already, whole or partial."""
    return next((path.stat().st_size for path in (dest, _part(dest)) if path.is_file()), 0)


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


class _Download:
    """One file on its way, over all its mirrors."""

    def __init__(
        self,
        file: FileFacts,
        dest: Path,
        name: str,
        progress: Progress,
        patience: Patience,
        traffic: Traffic,
        stack: ExitStack,
    ) -> None:
        self.file = file
        self.dest = dest
        self.part = _part(dest)
        self.name = name
        self.progress = progress
        self.patience = patience
        self.traffic = traffic
        self.stack = stack
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
            except MirrorError as failed:
                mismatch = mismatch or isinstance(failed, WrongFileError)
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
            MirrorError: It did not give the file.
        """
        tries = 0
        furthest = 0
        while True:
            try:
                note = self._transfer(url)
                return self._finish(note)
            except BrokenError as broken:
                reached = self.digests.num_bytes if self.digests else 0
                tries = 1 if reached - furthest >= _NEW_GROUND_BYTES else tries + 1
                furthest = max(furthest, reached)
                limit = self.patience.retries if broken.at_most is None else broken.at_most
                if tries > limit:
                    raise MirrorError(f"{broken}, {tries} times" if tries > 1 else str(broken)) from broken
                wait = (
                    self.patience.backoff_seconds * 2 ** (tries - 1) if broken.wait is None else broken.wait
                )
                if wait > self.patience.max_wait_seconds:
                    raise MirrorError(
                        f"{broken} and asks to wait {wait:.0f} s, more than the "
                        f"{self.patience.max_wait_seconds:.0f} s that a fetch waits"
                    ) from broken
                self.progress.log(f"{self.name}: {url} {broken}; trying again in {wait:.0f} s")
                if broken.busy:
                    self.traffic.hold(url, wait)
                self.traffic.wait(wait)

    def _transfer(self, url: str) -> _Note:
        """Make one request and write its body behind what is there; return the note of the whole file.

        Raises:
            BrokenError: The partial file is not whole yet.
            MirrorError: The answer is not the file.
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
            with self.traffic.session(url) as session, self._get(session, url, headers) as response:
                start = self._check_status(response, offset, note)
                total = self._check_length(response, start)
                pieces = _pieces(response, self.patience, self.traffic)
                if start == 0:
                    head = self._check_head(pieces, response, total)
                    note = self._begin(url, response, total)
                    pieces = itertools.chain(head, pieces)
                assert note is not None
                self._show(start, total)
                self._append(pieces, total)
                self._check_end(response, total)
                return note
        except NETWORK_ERRORS as error:
            raise as_failure(error, self.patience) from error

    def _get(self, session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
        times = (self.patience.connect_seconds, self.patience.stall_seconds)
        try:
            return session.get(url, headers=headers, stream=True, timeout=times)
        except requests.RequestException:
            raise
        except OSError as error:  # such as a certificate bundle that is not there
            raise MirrorError(f"could not be asked: {error}") from error

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
            raise BrokenError(
                f"answered a request for byte {offset} onwards with "
                f"'{response.headers.get('Content-Range', 'no Content-Range')}', so the fetch starts over",
                wait=0,
            )
        if status == 416 and offset:
            self._drop()
            raise BrokenError(
                "no longer has the rest of the file that was begun, so the fetch starts over", wait=0
            )
        answer = f"answered {status} {http.client.responses.get(status, response.reason or '')}".rstrip()
        if status in (408, 425, 429, 500, 502, 503, 504):
            raise BrokenError(answer, wait=retry_after(response), busy=status in (429, 503))
        raise MirrorError(answer)

    def _check_length(self, response: requests.Response, start: int) -> int | None:
        """Return the size of the whole file as the answer states it, checked before its body is read."""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity" and not urlsplit(response.url).path.endswith((".gz", ".tgz")):
            raise MirrorError(f"sent the file in {encoding} encoding, which was not asked for")
        # Of a partial answer the range names the whole size; its length may be that of a first portion only.
        length = response.headers.get("Content-Range" if start else "Content-Length", "").rpartition("/")[2]
        total = int(length) if re.fullmatch(r"\d+", length) else None
        wanted = self.file.size_bytes
        if total is not None and wanted is not None and total != wanted:
            self._raise_if_page(response)
            raise MirrorError(
                f"offers a file of {total} bytes, the manifest says {wanted}{self._evidence('size_bytes')}"
            )
        if total == 0:
            raise MirrorError("sent an empty file")
        if total is None and not is_chunked(response) and wanted is None and self._proof() == "first-fetch":
            raise MirrorError(
                "does not say how long the file is, and the manifest has neither its size nor a checksum: "
                "nothing could tell whether it came whole"
            )
        if total is not None:
            require_space(self.dest.parent, total - start, self.name)
        return total if total is not None else wanted

    def _raise_if_page(self, response: requests.Response) -> None:
        head = b"".join(read_some(_pieces(response, self.patience, self.traffic), HEAD_BYTES))
        if is_page(head):
            raise MirrorError(describe_page(head))

    def _check_head(
        self, pieces: Iterator[bytes], response: requests.Response, total: int | None
    ) -> list[bytes]:
        """Look at the first bytes before a partial file is given up for them; return them."""
        pieces_read = read_some(pieces, HEAD_BYTES)
        head = b"".join(pieces_read)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if is_page(head) or (kind in ("text/html", "application/xhtml+xml") and head.lstrip()[:1] == b"<"):
            rest = read_some(pieces, _PAGE_BYTES) if total is None or total < 1 << 24 else []
            raise MirrorError(describe_page(head + b"".join(rest)))
        if not head:
            raise MirrorError("sent an empty file")
        if not fits_suffix(head, self.dest.suffix):
            raise MirrorError(
                f"sent something that is not a {self.dest.suffix.lower()[1:]} file: it begins with {head[:16]!r}"
                + (f" and is called {kind}" if kind else "")
            )
        return pieces_read

    def _begin(self, url: str, response: requests.Response, total: int | None) -> _Note:
        """Start the partial file anew."""
        # In this order, so that a kill in between leaves no partial file under another one's note.
        self._drop()
        note = _Note(url, response.headers.get("ETag", ""), firm_date(response), total)
        note.write(self.dest)
        self.part.touch()
        self.digests = Digests(self._algorithms())
        self.doubtful = total is None and not is_chunked(response)
        return note

    def _append(self, pieces: Iterable[bytes], total: int | None) -> None:
        assert self.digests is not None
        have = self.digests.num_bytes
        with (
            self.part.open("ab", buffering=0) as file,
            SyncedBehind(file.fileno()) as disk,
            DigestsBehind(self.digests) as digests,
        ):
            for piece in pieces:
                have += len(piece)
                if total is not None and have > total:
                    break
                write_all(file, piece)
                disk.wrote(len(piece))
                digests.update(piece)
                if self.bar is not None:
                    self.bar.advance(len(piece))
                self.shown += len(piece)
        if total is not None and have > total:
            self._drop()
            raise MirrorError(f"sent more than the {total} bytes that the file should have")

    def _check_end(self, response: requests.Response, total: int | None) -> None:
        """Tell an end of the file from an end of the connection."""
        assert self.digests is not None
        have = self.digests.num_bytes
        if total is not None and have < total:
            if is_chunked(response):
                # Properly ended: this is all there is at this mirror.
                raise MirrorError(
                    f"sent {have} bytes, the manifest says {total}{self._evidence('size_bytes')}"
                )
            raise BrokenError(f"broke off after {have} of {total} bytes")

    def _finish(self, note: _Note) -> Fetched:
        """Check the whole file and give it its name.

        Raises:
            WrongFileError: It is another file.
        """
        assert self.digests is not None
        wrong = self._wrong_facts(self.digests)
        if wrong and self.doubtful and not self.started_over:
            # One attempt in a single piece decides whether it is the file or the way it came.
            self._drop()
            self.started_over = True
            raise BrokenError(f"gave a file in parts that {wrong}, so the fetch starts over", wait=0)
        if wrong:
            self.part.replace(_rejected(self.dest))
            self._drop()
            raise WrongFileError(f"gave a file that {wrong}")
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
        self.bar.advance(start - self.shown, present=True)
        self.shown = start


def _pieces(response: requests.Response, patience: Patience, traffic: Traffic) -> Iterator[bytes]:
    """Yield the body as it arrives, undecoded, at the pace of the traffic.

    Raises:
        BrokenError: Less than 128 bytes a second came over a whole stall window.
        Stopped: The run ends.
    """
    # read1 hands over what has arrived; read would sit on a dripping body until a whole piece is full.
    read = getattr(response.raw, "read1", response.raw.read)
    waited = 0.0  # for the server only: neither the disk nor our own pace is its fault
    count = 0
    while True:
        since = time.monotonic()
        piece = read(traffic.read_bytes, decode_content=False)
        waited += time.monotonic() - since
        if not piece:
            return
        yield piece
        traffic.spend(len(piece))
        count += len(piece)
        if waited >= patience.stall_seconds:
            if count < _DRIP_BYTES_PER_SECOND * waited:
                raise BrokenError(f"sent only {count} bytes in {waited:.0f} s")
            waited = 0.0
            count = 0
