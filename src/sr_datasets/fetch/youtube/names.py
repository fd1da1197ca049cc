"""Names of YouTube clips in the store: safe on every disk, and back to what they stand for."""

import re
from dataclasses import dataclass

YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
"""YouTube's own id of a video; upper and lower case differ."""
_CLIP = re.compile(
    r"yt-(?P<id>[A-Za-z0-9_-]{11})\.(?P<case>[0-9a-f]{3})(?:\.(?P<start>[0-9]{1,9})-(?P<end>[0-9]{1,9}))?"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A video, or a part of it."""

    youtube_id: str
    """YouTube's id of 11 characters."""
    start_ms: int | None = None
    """Begin of the part; None for the whole video."""
    end_ms: int | None = None
    """End of the part; None for the whole video."""

    @property
    def clip_id(self) -> str:
        """The name in the store.

        Ids may begin with a dash, and two of them may differ in case only. So the name begins with ``yt-``, and a bit
        for each character, 1 for an upper-case letter, stands behind it in hexadecimal.

        Example:
            >>> Piece("tvvJFX90eh0").clip_id, Piece("_i3nWxzoYp0", 415000, 436000).clip_id
            ('yt-tvvJFX90eh0.0e0', 'yt-_i3nWxzoYp0.044.415000-436000')
        """
        case = _case_of(self.youtube_id)
        part = "" if self.start_ms is None else f".{self.start_ms}-{self.end_ms}"
        return f"yt-{self.youtube_id}.{case}{part}"


def piece_of(clip_id: str) -> Piece | None:
    """Return what a clip's name stands for, or None for a name of another kind."""
    parts = _CLIP.fullmatch(clip_id)
    if parts is None or _case_of(parts["id"]) != parts["case"]:
        return None
    if parts["start"] is None:
        return Piece(parts["id"])
    return Piece(parts["id"], int(parts["start"]), int(parts["end"]))


def _case_of(youtube_id: str) -> str:
    bits = "".join("1" if character.isupper() else "0" for character in youtube_id)
    return f"{int(bits, 2):03x}"
