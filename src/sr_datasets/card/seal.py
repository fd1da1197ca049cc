"""The seal of a card: the SHA-256 of its text in the text, by which a build knows its own from one that a hand changed."""

import hashlib
import re
from typing import Final

NO_SEAL: Final = "0" * 64
"""What stands in the seal's place while the text is hashed."""
SEAL_BYTES: Final = 128
"""So much of a card's end holds its seal."""

_SEAL = re.compile(rb'([0-9a-f]{64})(?: -->|"\n\})\n\Z')


def sealed(text: str) -> str:
    """Return a text whose end has ``NO_SEAL``, with the seal there."""
    head, _, tail = text.rpartition(NO_SEAL)
    return head + hashlib.sha256(text.encode()).hexdigest() + tail


def has_seal(end: bytes) -> bool:
    """Return whether a card of this end has a seal, right or wrong."""
    return _SEAL.search(end) is not None


def is_sealed(data: bytes) -> bool:
    r"""Return whether a card has the seal of its bytes, so that nobody changed it.

    Example:
        >>> card = sealed(f"<!-- {NO_SEAL} -->\n").encode()
        >>> is_sealed(card), is_sealed(b"Notes.\n" + card)
        (True, False)
    """
    found = _SEAL.search(data, max(0, len(data) - SEAL_BYTES))
    if found is None:
        return False
    without = data[: found.start(1)] + NO_SEAL.encode() + data[found.end(1) :]
    return hashlib.sha256(without).hexdigest().encode() == found[1]
