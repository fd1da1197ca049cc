"""A local HTTP server with faults: it truncates, lies, stalls, fails once, and says what it was asked."""

import email.utils
import hashlib
import itertools
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

LAST_MODIFIED = email.utils.formatdate(1_600_000_000, usegmt=True)


@dataclass
class Asked:
    """One request as it came, and what was answered."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    body_bytes: int = 0


@dataclass
class FaultServer:
    """Serves ``files`` on 127.0.0.1; the n-th request of a path is answered by the n-th of its ``faults``.

    When a path has no fault left, it is answered as a good server does. A fault is a function of the
    handler; the functions below make them.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list["Fault"]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    content_type: str = "application/octet-stream"
    validators: bool = True
    delay_seconds: float = 0.0
    piece_bytes: int = 1 << 16
    limit_bytes: int | None = None
    """Bytes of files that are sent, of all requests together; what is beyond waits until the limit is raised."""
    together: int = 0
    """Requests that must have been there at one time before any file is sent."""
    now_at_once: int = 0
    most_at_once: int = 0
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        server = self

        class BoundHandler(Handler):
            owner = server

        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.http = QuietServer(("127.0.0.1", 0), BoundHandler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        if self.tls:
            self.http.socket = self.tls.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def url(self, path: str) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.http.server_address[1]}/{path}"

    def body_bytes(self) -> int:
        return sum(request.body_bytes for request in self.asked)

    def wait_for(self, requests: int) -> None:
        """Wait until so many requests were read: who gave up on an answer may be ahead of the server."""
        end = time.monotonic() + 60
        while len(self.asked) < requests and time.monotonic() < end:
            time.sleep(0.005)


_PORTS = itertools.count(20_000 + os.getpid() % 10_000)


def free_port() -> int:
    """Return a port for a server that must be told one, another at each call.

    It is outside of those that the system gives to whoever asks for any, as other tests do before the server begins.
    """
    for port in _PORTS:
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def bytes_in(folder: Path, *patterns: str) -> int:
    """Return how many bytes the files of a folder have that somebody else is writing, renaming and deleting."""
    count = 0
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        with suppress(FileNotFoundError):
            count += path.stat().st_size
    return count


class QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that leave."""

    request_queue_size = 128  # a connection that finds no room waits a second for its next try

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    owner: FaultServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.asked = Asked(name, self.headers["Range"], self.headers["If-Range"])
        with self.owner.lock:
            self.owner.asked.append(self.asked)
            waiting = self.owner.faults.get(name, [])
            fault = waiting.pop(0) if waiting else good()
            self.owner.now_at_once += 1
            self.owner.most_at_once = max(self.owner.most_at_once, self.owner.now_at_once)
        self.counted = True
        try:
            fault(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.leave()

    def leave(self) -> None:
        """Count this request among those answered."""
        if self.counted:
            self.counted = False
            with self.owner.lock:
                self.owner.now_at_once -= 1

    def log_message(self, format: str, *args: object) -> None:
        pass

    @property
    def file(self) -> bytes | None:
        return self.owner.files.get(self.asked.path)

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.file or b"").hexdigest()[:12]}"'

    def wanted_start(self) -> int:
        """Return where the body begins as a good server sees it: If-Range is honoured."""
        if not self.asked.range or (
            self.asked.if_range and self.asked.if_range not in (self.etag, LAST_MODIFIED)
        ):
            return 0
        return int(self.asked.range.removeprefix("bytes=").rstrip("-"))

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.asked.status = status
        self.send_response(status)
        if self.owner.validators and status in (200, 206):
            headers = {"ETag": self.etag, "Last-Modified": LAST_MODIFIED} | headers
        for key, value in headers.items():
            if value:
                self.send_header(key, value)
        self.end_headers()

    def body(self, data: bytes) -> None:
        """Send bytes of a file, within the limit."""
        size = self.owner.piece_bytes
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if self.owner.delay_seconds:
                time.sleep(self.owner.delay_seconds)
            while not self.count(len(piece)):
                if self.owner.closing.wait(0.005):
                    self.break_off()
                    return
            if start + size >= len(data):
                self.leave()  # before the last bytes go: who has them may ask for the next file at once
            self.wfile.write(piece)

    def count(self, num_bytes: int) -> bool:
        """Count bytes that are about to be sent; return whether they may be."""
        server = self.owner
        with server.lock:
            full = server.limit_bytes is not None and server.body_bytes() >= server.limit_bytes
            if full or server.most_at_once < server.together:
                return False
            self.asked.body_bytes += num_bytes
            return True

    def break_off(self) -> None:
        self.close_connection = True


Fault = Callable[[Handler], None]


def good(**headers: str) -> Fault:
    """Answer as a good server does."""

    def answer(to: Handler) -> None:
        data = to.file
        if data is None:
            return status(404)(to)
        start = to.wanted_start()
        if start >= len(data):
            return status(416, {"Content-Range": f"bytes */{len(data)}"})(to)
        stated = {"Content-Type": to.owner.content_type, "Content-Length": str(len(data) - start)}
        if start:
            stated["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        to.head(
            206 if start else 200, stated | {key.replace("_", "-"): text for key, text in headers.items()}
        )
        to.body(data[start:])
        return None

    return answer


def status(code: int, headers: dict[str, str] | None = None, text: bytes = b"sorry") -> Fault:
    """Answer with a status and a few words."""

    def answer(to: Handler) -> None:
        to.head(code, {"Content-Length": str(len(text)), "Content-Type": "text/plain"} | (headers or {}))
        to.wfile.write(text)

    return answer


def truncated(count: int) -> Fault:
    """Promise the rest of the file, send ``count`` bytes of it and close the connection."""

    def answer(to: Handler) -> None:
        data, start = to.file or b"", to.wanted_start()
        headers = {"Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        to.head(206 if start else 200, headers)
        to.body(data[start : start + count])
        to.break_off()

    return answer


def stalled(count: int) -> Fault:
    """Send ``count`` bytes of the file, then nothing more while the connection stays open."""

    def answer(to: Handler) -> None:
        data, start = to.file or b"", to.wanted_start()
        headers = {"Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        to.head(206 if start else 200, headers)
        to.body(data[start : start + count])
        to.owner.closing.wait(60)
        to.break_off()

    return answer


def silent() -> Fault:
    """Take the request and answer nothing."""

    def answer(to: Handler) -> None:
        to.owner.closing.wait(60)
        to.break_off()

    return answer


def dripping(seconds: float) -> Fault:
    """Send one byte every ``seconds``."""

    def answer(to: Handler) -> None:
        data = to.file or b""
        to.head(200, {"Content-Length": str(len(data))})
        for index in range(len(data)):
            to.wfile.write(data[index : index + 1])
            to.asked.body_bytes += 1
            if to.owner.closing.wait(seconds):
                break
        to.break_off()

    return answer


def ignoring_range() -> Fault:
    """Answer 200 with the whole file, whatever range was asked for."""

    def answer(to: Handler) -> None:
        data = to.file or b""
        to.head(200, {"Content-Length": str(len(data))})
        to.body(data)

    return answer


def shifted(by: int) -> Fault:
    """Answer 206 with a range that begins ``by`` bytes beside what was asked for, and says so."""

    def answer(to: Handler) -> None:
        data = to.file or b""
        start = max(0, to.wanted_start() + by)
        stated = f"bytes {start}-{len(data) - 1}/{len(data)}"
        to.head(206, {"Content-Length": str(len(data) - start), "Content-Range": stated})
        to.body(data[start:])

    return answer


def partial_of_other_total(total: int) -> Fault:
    """Answer 206 from the right byte on, of a file of another size."""

    def answer(to: Handler) -> None:
        start = to.wanted_start()
        body = bytes(total - start)
        stated = f"bytes {start}-{total - 1}/{total}"
        to.head(206, {"Content-Length": str(len(body)), "Content-Range": stated})
        to.body(body)

    return answer


def partial_of_other_etag() -> Fault:
    """Answer 206 from the right byte on, of another version of the same size."""

    def answer(to: Handler) -> None:
        data, start = to.file or b"", to.wanted_start()
        stated = f"bytes {start}-{len(data) - 1}/{len(data)}"
        to.head(206, {"Content-Length": str(len(data) - start), "Content-Range": stated, "ETag": '"other"'})
        to.body(bytes(len(data) - start))

    return answer


def partial_without_range() -> Fault:
    """Answer 206 without saying which part it is."""

    def answer(to: Handler) -> None:
        data, start = to.file or b"", to.wanted_start()
        to.head(206, {"Content-Length": str(len(data) - start)})
        to.body(data[start:])

    return answer


def portion(count: int) -> Fault:
    """Answer a range with its first ``count`` bytes only, honestly, as some caches do."""

    def answer(to: Handler) -> None:
        data, start = to.file or b"", to.wanted_start()
        part = data[start : start + count]
        stated = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
        to.head(206, {"Content-Length": str(len(part)), "Content-Range": stated})
        to.body(part)

    return answer


def page(title: str, *, code: int = 200, content_type: str = "text/html; charset=utf-8") -> Fault:
    """Send an HTML page in place of the file."""
    text = f"\n<!DOCTYPE html><html><head><title>\n {title} </title></head><body>{'.' * 600}</body></html>".encode()
    return status(code, {"Content-Type": content_type}, text)


def other_bytes(data: bytes, **headers: str) -> Fault:
    """Send other bytes than the file's, in one good answer."""

    def answer(to: Handler) -> None:
        stated = {"Content-Length": str(len(data)), "Content-Type": "application/octet-stream", "ETag": ""}
        to.head(200, stated | {key.replace("_", "-"): text for key, text in headers.items()})
        to.body(data)

    return answer


def chunked(*, cut_at: int | None = None, ended: bool = True) -> Fault:
    """Send the file in chunks without a length; ``cut_at`` bytes of it, with or without the closing chunk."""

    def answer(to: Handler) -> None:
        data = (to.file or b"")[:cut_at]
        to.head(200, {"Transfer-Encoding": "chunked"})
        for start in range(0, len(data), 1000):
            piece = data[start : start + 1000]
            to.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            to.asked.body_bytes += len(piece)
        if ended:
            to.wfile.write(b"0\r\n\r\n")
        else:
            to.break_off()

    return answer


def without_length(*, cut_at: int | None = None) -> Fault:
    """Send the file without any length and close the connection, as HTTP/1.0 did."""

    def answer(to: Handler) -> None:
        to.head(200, {"Connection": "close"})
        to.body((to.file or b"")[:cut_at])
        to.break_off()

    return answer


def redirect(to_url: str, code: int = 302) -> Fault:
    """Send the client elsewhere."""
    return status(code, {"Location": to_url}, b"")
