"""What a server's answer is: its first bytes, a page in place of a file, its headers."""

import email.utils
import html
import re
import time
from collections.abc import Iterator

import requests

HEAD_BYTES = 512

_MAGIC: dict[str, tuple[int, tuple[bytes, ...]]] = {
    ".y4m": (0, (b"YUV4MPEG2 ",)),
    ".zip": (0, (b"PK\x03\x04", b"PK\x05\x06")),
    ".7z": (0, (b"7z\xbc\xaf\x27\x1c",)),
    ".gz": (0, (b"\x1f\x8b",)),
    ".tgz": (0, (b"\x1f\x8b",)),
    ".xz": (0, (b"\xfd7zXZ\x00",)),
    ".txz": (0, (b"\xfd7zXZ\x00",)),
    ".bz2": (0, (b"BZh",)),
    ".zst": (0, (b"\x28\xb5\x2f\xfd",)),
    ".rar": (0, (b"Rar!\x1a\x07",)),
    ".tar": (257, (b"ustar",)),
    ".png": (0, (b"\x89PNG\r\n\x1a\n",)),
    ".jpg": (0, (b"\xff\xd8\xff",)),
    ".jpeg": (0, (b"\xff\xd8\xff",)),
    ".bmp": (0, (b"BM",)),
    ".gif": (0, (b"GIF8",)),
    ".tif": (0, (b"II*\x00", b"MM\x00*")),
    ".tiff": (0, (b"II*\x00", b"MM\x00*")),
    ".mkv": (0, (b"\x1a\x45\xdf\xa3",)),
    ".webm": (0, (b"\x1a\x45\xdf\xa3",)),
    ".avi": (0, (b"RIFF",)),
    ".ivf": (0, (b"DKIF",)),
    ".mp4": (4, (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")),
    ".m4v": (4, (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")),
    ".mov": (4, (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot")),
    ".pdf": (0, (b"%PDF-",)),
    ".parquet": (0, (b"PAR1",)),
}


def fits_suffix(head: bytes, suffix: str) -> bool:
    """Return whether a file's first bytes are those of its suffix; True for suffixes without any.

    Args:
        head: Its first 512 bytes, or all it has.
        suffix: Such as ``.y4m``, in any case.
    """
    place, magics = _MAGIC.get(suffix.lower(), (0, ()))
    return not magics or head[place:].startswith(magics)


def is_page(head: bytes) -> bool:
    """Return whether a body begins as an HTML page does."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:256].lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<script")) or (
        start.startswith((b"<?xml", b"<!--")) and b"<html" in start
    )


def describe_page(page: bytes) -> str:
    """Return what an HTML page in place of a file is, with its title."""
    found = re.search(r"<title[^>]*>(.*?)</title", page.decode("utf-8", "replace"), re.IGNORECASE | re.DOTALL)
    title = " ".join(html.unescape(found[1]).split())[:120] if found else ""
    named = f" titled '{title}'" if title else " without a title"
    return f"sent an HTML page{named} instead of the file"


def is_chunked(response: requests.Response) -> bool:
    """Return whether the body says itself where it ends, in place of a length."""
    return response.headers.get("Transfer-Encoding", "").lower() == "chunked"


def read_some(pieces: Iterator[bytes], at_least: int) -> list[bytes]:
    """Return pieces of at least so many bytes together, or all that are left."""
    read: list[bytes] = []
    count = 0
    while count < at_least and (piece := next(pieces, b"")):
        read.append(piece)
        count += len(piece)
    return read


def retry_after(response: requests.Response) -> float | None:
    """Return the seconds that a server asks to wait, or None when it does not say."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+", text):
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def firm_date(response: requests.Response) -> str:
    """Return Last-Modified when it may stand in If-Range (RFC 9110, 8.8.2.2), or an empty text."""
    try:
        changed = email.utils.parsedate_to_datetime(response.headers["Last-Modified"])
        answered = email.utils.parsedate_to_datetime(response.headers["Date"])
        # Changed in the second of the answer, the same date could stand for two versions.
        return response.headers["Last-Modified"] if (answered - changed).total_seconds() >= 1 else ""
    except (KeyError, ValueError, TypeError):
        return ""
