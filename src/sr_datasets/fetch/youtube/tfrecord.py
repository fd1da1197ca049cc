"""TFRecord files: length, masked CRC-32C of the length, payload, masked CRC-32C of the payload."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sr_datasets.errors import FetchError
from sr_datasets.fetch.youtube.crc import masked_crc32c

# A record of video-level features has 4.7 kB.
MAX_RECORD_BYTES = 1 << 22
"""Longest record that is read: 4 MiB."""


def iter_records(path: Path, *, max_record_bytes: int = MAX_RECORD_BYTES) -> Iterator[bytes]:
    """Yield the payloads of a TFRecord file, each checked.

    No more memory is taken than the file can fill: a length is held against its CRC, the limit and the bytes that
    are left before anything of its size is read.

    Args:
        path: The file.
        max_record_bytes: Longest payload that is accepted.

    Raises:
        FetchError: A CRC is wrong, the file ends inside a record, or a record is longer than the limit. The message
            has the record's number and its place.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            yield from _records(file, size, path, max_record_bytes)
    except OSError as error:
        raise FetchError(f"{path}: cannot be read: {error.strerror}") from error


def _records(file: BinaryIO, size: int, path: Path, max_record_bytes: int) -> Iterator[bytes]:
    place, number = 0, 0
    while place < size:
        where = f"{path}: record {number} at byte {place}"
        head = file.read(12)
        if len(head) < 12:
            raise FetchError(f"{where}: the file ends inside the record's head. {_ADVICE}")
        (length, crc) = struct.unpack("<QI", head)
        if masked_crc32c(head[:8]) != crc:
            raise FetchError(
                f"{where}: the CRC-32C of its length is wrong: the file is damaged, or no TFRecord. {_ADVICE}"
            )
        if length > max_record_bytes:
            raise FetchError(
                f"{where}: it says that it has {length} bytes, at most {max_record_bytes} are expected. {_ADVICE}"
            )
        if length + 16 > size - place:
            raise FetchError(
                f"{where}: it has {length} bytes, but the file ends {size - place - 12} bytes after its head. {_ADVICE}"
            )
        body = file.read(length + 4)
        if len(body) != length + 4:
            raise FetchError(f"{where}: the file became shorter while it was read. {_ADVICE}")
        payload = body[:length]
        if masked_crc32c(payload) != int.from_bytes(body[length:], "little"):
            raise FetchError(f"{where}: the CRC-32C of its content is wrong: the file is damaged. {_ADVICE}")
        yield payload
        place += length + 16
        number += 1


_ADVICE = "Delete it, and it is fetched again."
