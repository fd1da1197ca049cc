"""What an answer of the site means: in the words of yt-dlp, which repeats the site's."""

import re
from typing import Literal

from sr_datasets.fetch.youtube.ledger import Status

Verdict = Status | Literal["stop"]
"""``stop``: the site asks us to stop; nothing is known of the video."""

# In this order: a site that asks us to stop often says so behind the words for a video that is not there.
_RULES: tuple[tuple[Verdict, str], ...] = (
    (
        "stop",
        r"not a bot|HTTP Error 429|too many requests|rate.?limit|unusual traffic|captcha|try again later",
    ),
    # Of our tools, not of the video.
    ("failed", r"requested format is not available|only images are available|no video formats|ffmpeg exited"),
    ("private", r"private video|video is private"),
    (
        "blocked",
        r"in your country|in your location|geo.?restrict|confirm your age|age.?restricted|inappropriate for some users"
        r"|members.only|join this channel|requires payment|purchase|rental|\bDRM\b|premieres? in|live event|is live"
        r"|offline|copyright grounds|who has blocked it|log ?in to|sign in to|login required|HTTP Error 451",
    ),
    (
        "gone",
        r"video unavailable|has been removed|been terminated|no longer available|does not exist|not available$"
        r"|is not available|removed by the uploader|account .*closed|HTTP Error 404|HTTP Error 410|incomplete youtube id",
    ),
)
_PASSING = re.compile(
    r"HTTP Error (403|5\d\d)|timed? ?out|connection|temporary failure|incomplete ?read", re.IGNORECASE
)


def verdict_of(message: str) -> Verdict:
    """Return what an error of yt-dlp says of a video.

    Example:
        >>> verdict_of("[youtube] tvvJFX90eh0: Private video. Sign in if you've been granted access to this video")
        'private'
        >>> verdict_of("[youtube] tvvJFX90eh0: Sign in to confirm you're not a bot.")
        'stop'
    """
    for verdict, pattern in _RULES:
        if re.search(pattern, message, re.IGNORECASE):
            return verdict
    return "failed"


def may_pass(message: str) -> bool:
    """Return whether an error may be gone at the next try."""
    return _PASSING.search(message) is not None


def plain(message: str) -> str:
    """Return an error of yt-dlp as one line, without colours, its prefix, and its advice for its own developers."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", message)
    text = re.sub(r"^\s*ERROR:\s*", "", text)
    text = re.split(r";? ?please report this issue on", text, maxsplit=1)[0]
    return " ".join(text.split())[:300]


def is_open(license_claimed: str) -> bool:
    """Return whether a licence that a site's metadata claims is a Creative Commons one.

    Example:
        >>> is_open("Creative Commons Attribution license (reuse allowed)"), is_open("")
        (True, False)
    """
    return re.search(r"creative commons|\bcc[ -](by|0)\b", license_claimed, re.IGNORECASE) is not None
