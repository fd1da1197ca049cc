"""What can go wrong with one mirror, and whether another attempt or another mirror may do better."""

from dataclasses import dataclass
from http.client import HTTPException

import requests
import urllib3


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


class MirrorError(Exception):
    """This mirror will not give the file; the next one may."""


class WrongFileError(MirrorError):
    """This mirror gave a whole file, but another one."""


class BrokenError(Exception):
    """This attempt ended early; another one at the same mirror may do better.

    Args:
        reason: What happened, as the end of a sentence that begins with the address.
        wait: Seconds to wait before the next attempt, if that is known.
        at_most: Further attempts that make sense, if fewer than patience allows.
        busy: Whether the server asked to be left alone for a while.
    """

    def __init__(
        self, reason: str, *, wait: float | None = None, at_most: int | None = None, busy: bool = False
    ) -> None:
        super().__init__(reason)
        self.wait = wait
        self.at_most = at_most
        self.busy = busy


NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException)


def as_failure(error: Exception, patience: Patience) -> BrokenError | MirrorError:
    """Return what a library's error means for the fetch, in words without its class names."""
    match error:
        case requests.exceptions.SSLError():
            return MirrorError(f"could not be reached over an encrypted connection ({_root_cause(error)})")
        case requests.exceptions.ProxyError():
            return BrokenError(f"was not reached through the proxy ({_root_cause(error)})", at_most=1)
        case requests.exceptions.ConnectTimeout():
            return BrokenError(
                f"did not accept a connection within {patience.connect_seconds:g} s", at_most=1
            )
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
            return BrokenError(f"sent nothing for {patience.stall_seconds:g} s")
        case requests.exceptions.TooManyRedirects():
            return MirrorError("redirects in circles")
        case requests.exceptions.ConnectionError():
            return BrokenError(f"was not reached ({_root_cause(error)})", at_most=1)
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidSchema():
            return MirrorError(f"is or leads to an address that cannot be used ({error})")
        case _:
            return BrokenError(f"broke the connection ({_root_cause(error)})")


def _root_cause(error: BaseException) -> str:
    """Return the innermost reason of an error that libraries wrapped several times."""
    while inner := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
