"""Containers that say how long they are: a shorter file was cut, which FFmpeg reads to its end in silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from sr_datasets.errors import DecodeError

_EBML, _SEGMENT, _VOID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\xec"
_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"}
# Some AVI writers count the 8 bytes of the RIFF header, or a byte of padding, into its size.
_RIFF_SLACK = 8


def check_whole(path: Path) -> None:
    """Refuse a Matroska, WebM, MP4, MOV or AVI file that is shorter than it says.

    Raises:
        DecodeError: It is cut, or its first bytes cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            end = _declared_end(file, size)
    except OSError as error:
        raise DecodeError(
            f"{path}: cannot be read: {error.strerror}. Fetch or import the clip again."
        ) from error
    if end > size:
        raise DecodeError(
            f"{path}: the file is cut: it has {size} bytes, but its own headers say {end}. "
            "Fetch or copy it again."
        )


def _declared_end(file: BinaryIO, size: int) -> int:
    """Return where the file says that it ends, or 0 when it does not say."""
    head = file.read(4096)
    if head[:4] == b"RIFF":
        return max(0, 8 + int.from_bytes(head[4:8], "little") - _RIFF_SLACK)
    if head[:4] == _EBML:
        return _matroska_end(head)
    return _boxes_end(file, size) if head[4:8] in _FIRST_BOXES else 0


def _matroska_end(head: bytes) -> int:
    """Walk EBML elements to the Segment (RFC 8794 sections 4 to 6, RFC 9559 section 4.5)."""
    at = 0
    while head[at : at + 4] in (_EBML, _SEGMENT) or head[at : at + 1] == _VOID:
        is_segment = head[at : at + 4] == _SEGMENT
        at += 1 if head[at : at + 1] == _VOID else 4
        if at >= len(head) or not head[at]:
            return 0
        length = 9 - head[at].bit_length()
        unknown = (1 << 7 * length) - 1  # all ones: written live, of unknown size
        value = int.from_bytes(head[at : at + length], "big") & unknown
        at += length
        if is_segment:
            return 0 if value == unknown else at + value
        at += value
    return 0


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Walk the boxes of the top level (ISO/IEC 14496-12 section 4.2)."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:  # up to the end of the file
            return at
        if length < 8 or not head[4:8].isalnum():
            return at  # no box: some files carry a tail of their own
        at += length
    return at
