"""Whether hosts answer, asked with one request of headers each."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sr_datasets.fetch.failures import NETWORK_ERRORS, MirrorError, Patience, as_failure
from sr_datasets.fetch.traffic import Session

_QUICK = Patience(connect_seconds=5.0, stall_seconds=10.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host said to one request of headers, or why it said nothing."""

    url: str
    """The address that was asked."""
    seconds: float
    """How long that took."""
    status: int | None
    """HTTP's number; None when there was no answer."""
    words: str
    """``answers 200``, ``was not reached (...)``: the end of a sentence that begins with the host."""

    @property
    def reached(self) -> bool:
        """Whether somebody answered; a file that is refused or gone is the file's fault, not the network's."""
        return self.status is not None and self.status < 500


def reach(urls: Sequence[str], *, patience: Patience = _QUICK, at_a_time: int = 8) -> list[Answer]:
    """Ask each address for its headers (``HEAD``), several at a time; no body is fetched.

    Args:
        urls: Addresses, http or https.
        patience: Its ``connect_seconds`` and ``stall_seconds`` limit each wait; nothing is tried twice.
        at_a_time: Requests under way at once.

    Returns:
        One answer for each address, in the same order.
    """
    with ThreadPoolExecutor(max_workers=at_a_time) as pool:
        return list(pool.map(lambda url: _ask(url, patience), urls))


def _ask(url: str, patience: Patience) -> Answer:
    start = time.monotonic()
    try:
        times = (patience.connect_seconds, patience.stall_seconds)
        with Session() as session, session.head(url, timeout=times, allow_redirects=True) as response:
            status: int | None = response.status_code
            words = f"answers {status}"
    except NETWORK_ERRORS as error:
        status, words = None, str(as_failure(error, patience))
    except MirrorError as error:  # redirected to an open connection
        status, words = None, str(error)
    except OSError as error:  # such as a certificate bundle that is not there
        status, words = None, f"could not be asked: {error}"
    return Answer(url=url, seconds=time.monotonic() - start, status=status, words=words)
