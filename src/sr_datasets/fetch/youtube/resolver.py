"""From the four characters of a record to YouTube's own id.

The publisher answers for each record with one line of JavaScript, ``i("02ab","tvvJFX90eh0");``, as long as the video is
public, and with nothing once it is deleted or private.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from sr_datasets import __version__
from sr_datasets.errors import FetchError
from sr_datasets.fetch.youtube.example import RECORD_ID

_ANSWER = re.compile(r'\s*i\(\s*"(?P<record>[^"\\]{1,16})"\s*,\s*"(?P<id>[A-Za-z0-9_-]*)"\s*\)\s*;?\s*')
_MAX_BYTES = 4096
# A store of objects answers 403 for one that is not there when its list is not public.
_MISSING = re.compile(rb"<Code>(AccessDenied|NoSuchKey)</Code>")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a record."""

    youtube_id: str | None
    """YouTube's id; None when the publisher has none any more."""
    url: str
    """The address that answered."""

    @property
    def authenticated(self) -> bool:
        """Whether the answer came over an encrypted connection."""
        return urlsplit(self.url).scheme == "https"


class Resolver:
    """Asks for ids one after another, over one connection.

    Args:
        addresses: Patterns with ``{head}`` (the first two characters) and ``{id}``, in the order in which they are
            tried.
        timeout_seconds: Longest wait for an answer.
        retries: Further attempts at an address that answers 429 or 5xx.
        max_wait_seconds: Longest wait that a server's Retry-After may ask for.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        timeout_seconds: float = 30.0,
        retries: int = 2,
        max_wait_seconds: float = 60.0,
    ) -> None:
        self._addresses = tuple(addresses)
        self._timeout = timeout_seconds
        self._retries = retries
        self._max_wait = max_wait_seconds
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"sr-datasets/{__version__}"

    def __enter__(self) -> "Resolver":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def resolve(self, record_id: str) -> Resolved:
        """Return YouTube's id of a record, or None in its place when the publisher has none any more.

        Raises:
            FetchError: No address gave an answer; nothing is known of the video then.
            ValueError: ``record_id`` is not four characters of A-Z, a-z, 0-9, _ and -.
        """
        if not RECORD_ID.fullmatch(record_id):
            raise ValueError(f"record_id is {record_id!r}, must be four characters of A-Z, a-z, 0-9, _ and -")
        reasons = []
        for pattern in self._addresses:
            url = pattern.format(head=record_id[:2], id=record_id)
            try:
                return Resolved(self._ask(url, record_id), url)
            except (requests.RequestException, FetchError) as error:
                reasons.append(f"{url}: {error if isinstance(error, FetchError) else _words(error)}")
        raise FetchError(
            f"the id of record {record_id} could not be looked up: {'; '.join(reasons)}. Run the same command again later."
        )

    def _ask(self, url: str, record_id: str) -> str | None:
        for attempt in range(self._retries + 1):
            # No redirect is followed: none is known, and one could lead from https to http.
            with self._session.get(url, timeout=self._timeout, stream=True, allow_redirects=False) as answer:
                status = answer.status_code
                body = b""
                for piece in answer.iter_content(_MAX_BYTES + 1):
                    body += piece
                    if len(body) > _MAX_BYTES:
                        break
                wait = answer.headers.get("Retry-After", "")
            if status == 200:
                return _parse(body, record_id)
            if status in (404, 410) or (status == 403 and _MISSING.search(body)):
                return None
            if status != 429 and status < 500:
                break
            seconds = float(wait) if re.fullmatch(r"[0-9]{1,6}", wait) else 2.0**attempt
            if attempt == self._retries or seconds > self._max_wait:
                break
            time.sleep(seconds)
        raise FetchError(f"answered {status}")


def _parse(body: bytes, record_id: str) -> str | None:
    """Return the id of an answer, None when it is empty.

    Raises:
        FetchError: It is no answer of this service, or one of another record.
    """
    found = _ANSWER.fullmatch(body.decode("utf-8", "replace")) if len(body) <= _MAX_BYTES else None
    if found is None:
        raise FetchError(f'answered {body[:60]!r}, expected a line such as i("{record_id}","tvvJFX90eh0");')
    if found["record"] != record_id:
        raise FetchError(f"answered for record {found['record']!r}, not for {record_id}")
    if not found["id"]:
        return None
    if len(found["id"]) != 11:
        raise FetchError(f"answered with the id {found['id'][:40]!r}, expected 11 characters")
    return found["id"]


def _words(error: requests.RequestException) -> str:
    cause = error
    while isinstance(inner := cause.__cause__ or cause.__context__, Exception):
        cause = inner  # type: ignore[assignment]
    return str(cause) or type(error).__name__
