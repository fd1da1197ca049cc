"""What all downloads of one run share: few connections to each host, one pace, one end."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests

from sr_datasets import __version__
from sr_datasets.fetch.failures import MirrorError

PER_HOST = 4
"""Connections to one host at a time: what browsers and mirrors think polite."""

_READ_BYTES = 1 << 18


class Stopped(Exception):  # noqa: N818  # nothing went wrong
    """The run was told to end. What has come stays as partial files, and the next run goes on from there."""


class Session(requests.Session):
    """A session that never leaves an encrypted connection for an open one."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = 10
        # A compressed answer would have other bytes than the file whose hash is known.
        self.headers.update({"User-Agent": f"sr-datasets/{__version__}", "Accept-Encoding": "identity"})
        if bundle := os.environ.get("SSL_CERT_FILE"):
            self.verify = bundle

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where an answer leads.

        Raises:
            MirrorError: From https to http.
        """
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https":
            goal = urljoin(resp.url, target)
            if urlsplit(goal).scheme != "https":
                resp.close()
                raise MirrorError(f"redirects from https to {goal}, which is not encrypted: refused")
        return target


class Traffic:
    """Sessions by host, lent to at most ``per_host`` downloads at a time; a pace; a way to end all of them.

    Threads share one ``Traffic``; other processes have their own.

    Args:
        per_host: Connections to one host at a time.
        bytes_per_second: Pace of all downloads together; None for no limit.
    """

    def __init__(self, *, per_host: int = PER_HOST, bytes_per_second: float | None = None) -> None:
        if per_host < 1 or (bytes_per_second is not None and bytes_per_second <= 0):
            raise ValueError(
                f"per_host and bytes_per_second must be positive, not {per_host}, {bytes_per_second}"
            )
        self.bytes_per_second = bytes_per_second
        self._per_host = per_host
        self._changed = threading.Condition()
        self._busy: defaultdict[str, int] = defaultdict(int)
        self._idle: defaultdict[str, list[Session]] = defaultdict(list)
        self._not_before: dict[str, float] = {}
        self._paid_until = 0.0
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            for session in (one for sessions in self._idle.values() for one in sessions):
                session.close()
            self._idle.clear()

    @property
    def read_bytes(self) -> int:
        """Bytes to ask of a connection at once: fewer when the pace is slow, so that it is even."""
        if self.bytes_per_second is None:
            return _READ_BYTES
        return max(1024, min(_READ_BYTES, int(self.bytes_per_second / 8)))

    @contextmanager
    def session(self, url: str) -> Iterator[Session]:
        """Lend a session for one request and its answer, once the host may be asked.

        Raises:
            Stopped: The run ends.
        """
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
        with self._changed:
            while True:
                if self._stopped.is_set():
                    raise Stopped
                held = self._not_before.get(host, 0.0) - time.monotonic()
                if held <= 0 and self._busy[host] < self._per_host:
                    break
                self._changed.wait(min(held, 0.5) if held > 0 else 0.5)
            self._busy[host] += 1
            session = self._idle[host].pop() if self._idle[host] else None
        session = session or Session()
        try:
            yield session
        finally:
            with self._changed:
                self._busy[host] -= 1
                if self._stopped.is_set():
                    session.close()
                else:
                    self._idle[host].append(session)
                self._changed.notify_all()

    def hold(self, url: str, seconds: float) -> None:
        """Ask nothing of a host for a while, since it said so to one download."""
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
        with self._changed:
            self._not_before[host] = max(self._not_before.get(host, 0.0), time.monotonic() + seconds)

    def spend(self, count: int) -> None:
        """Count bytes that came, and wait until the pace allows the next ones.

        Raises:
            Stopped: The run ends.
        """
        if self.bytes_per_second is None:
            if self._stopped.is_set():
                raise Stopped
            return
        with self._changed:
            now = time.monotonic()
            self._paid_until = max(self._paid_until, now) + count / self.bytes_per_second
            ahead = self._paid_until - now
        self.wait(ahead)

    def wait(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the run.

        Raises:
            Stopped: The run ends.
        """
        if self._stopped.wait(seconds):
            raise Stopped

    def stop(self) -> None:
        """Let every download end soon, with what has come kept."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
