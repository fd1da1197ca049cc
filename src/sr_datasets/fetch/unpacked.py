"""The bytes inside a .xz, .gz or .bz2 file, with bounds on what they may cost."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sr_datasets.errors import FetchError
from sr_datasets.files import human_bytes


class CutError(FetchError):
    """Packed data ends in its middle."""


Packing = Literal["xz", "gz", "bz2"]

RATIO_FROM_BYTES = 64 << 20
"""Growth is looked at from this many bytes of output on."""

_READ_BYTES = 1 << 18
_STEP_BYTES = 1 << 20
# xz -9 needs 65 MiB to unpack; a header may ask for gigabytes.
_MEMORY_BYTES = 512 << 20
_MAGIC: dict[bytes, Packing] = {b"\xfd7zXZ\x00": "xz", b"\x1f\x8b": "gz", b"BZh": "bz2"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What unpacking may cost."""

    total_bytes: int = 256 * 10**9
    """Largest sum of the wanted members' sizes."""
    ratio: float = 250.0
    """Largest growth of the archive's bytes, looked at from 64 MiB of output on. The films of the field grow
    less than tenfold; deflate can grow a thousandfold."""


LIMITS = Limits()


def kind_of_packing(head: bytes) -> Packing | None:
    """Return how a file is compressed by its first 6 bytes, or None when it is not."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Gzip:
    """``zlib`` in the manners of ``lzma`` and ``bz2``."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))


_OPENERS: dict[Packing, Callable[[], _Decompressor]] = {
    "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES),
    "gz": _Gzip,
    "bz2": bz2.BZ2Decompressor,
}


class Unpacked(io.RawIOBase):
    """Reads what a compressed file holds; checksums of the format are tested on the way.

    Several streams one after the other are read as one, as the tools of all three formats do.

    Args:
        path: The file.
        name: What messages call it.
        limits: Bounds of the output.

    Raises:
        FetchError: It grows beyond the limits, ends early, or asks for too much memory.
    """

    def __init__(self, path: Path, name: str, limits: Limits = LIMITS) -> None:
        super().__init__()
        self._name, self._limits = name, limits
        self._packed_bytes = path.stat().st_size
        self._file = path.open("rb", buffering=0)
        kind = kind_of_packing(self._file.read(6))
        if kind is None:
            self._file.close()
            raise ValueError(f"{path} is not compressed with xz, gzip or bzip2")
        self._file.seek(0)
        self._open_next = _OPENERS[kind]
        self._now: _Decompressor | None = self._open_next()
        self._ahead = b""  # of the file, behind the end of a stream
        self._ready = memoryview(b"")
        self._count = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer as far as one step goes; return 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._ready and self._now is not None:
            self._step(self._now)
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _step(self, now: _Decompressor) -> None:
        if now.eof:
            rest = (now.unused_data or self._file.read(_READ_BYTES)).lstrip(b"\0")
            while not rest and (more := self._file.read(_READ_BYTES)):
                rest = more.lstrip(b"\0")
            self._now, self._ahead = (self._open_next(), rest) if rest else (None, b"")
            return
        data = b""
        if now.needs_input:
            data, self._ahead = self._ahead or self._file.read(_READ_BYTES), b""
            if not data:
                raise CutError(
                    f"{self._name} ends in the middle of its packed data: it was cut. Delete it and fetch it again."
                )
        try:
            found = now.decompress(data, _STEP_BYTES)
        except lzma.LZMAError as error:
            if "emory" not in str(error):
                raise
            raise FetchError(
                f"{self._name} asks for more than {human_bytes(_MEMORY_BYTES)} of memory to be unpacked, and is refused"
            ) from error
        self._ready = memoryview(found)
        self._count += len(found)
        self._check_growth()

    def _check_growth(self) -> None:
        if self._count > self._limits.total_bytes:
            raise FetchError(
                f"{self._name} grows beyond the {human_bytes(self._limits.total_bytes)} that are unpacked of one archive"
            )
        if self._count > RATIO_FROM_BYTES and self._count > self._limits.ratio * self._packed_bytes:
            raise FetchError(
                f"{self._name}: {human_bytes(self._packed_bytes)} grow to more than {human_bytes(self._count)}, more "
                f"than {self._limits.ratio:g} times: this looks like an archive made to fill disks, and is not unpacked"
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def unpacked_size(path: Path, name: str, limits: Limits = LIMITS) -> int:
    """Return how many bytes a compressed file holds.

    An xz file says it in its index; the others are unpacked once to count, since gzip knows its size up to 4 GiB only.

    Raises:
        FetchError: As ``Unpacked``.
    """
    with path.open("rb") as file:
        if kind_of_packing(file.read(6)) == "xz":
            size = _size_by_index(file)
            if size is not None:
                return size
    count = 0
    with Unpacked(path, name, limits) as stream:
        buffer = bytearray(_STEP_BYTES)
        while got := stream.readinto(buffer):
            count += got
    return count


def _size_by_index(file: io.BufferedReader) -> int | None:
    """Return the sum of the sizes in the indexes of an xz file's streams, or None where they make no sense.

    See https://tukaani.org/xz/xz-file-format.txt, sections 2.1.2 and 4.
    """
    end = file.seek(0, os.SEEK_END)
    total = 0
    while end > 0:
        file.seek(max(0, end - 12))
        footer = file.read(12)
        if footer[-4:] == b"\0\0\0\0":  # padding between streams
            end -= 4
            continue
        if len(footer) < 12 or footer[-2:] != b"YZ":
            return None
        index_bytes = (int.from_bytes(footer[4:8], "little") + 1) * 4
        start = end - 12 - index_bytes
        if start < 12:
            return None
        file.seek(start)
        sizes = _records_of(file.read(index_bytes))
        if sizes is None:
            return None
        packed = sum(-(-unpadded // 4) * 4 for unpadded, _ in sizes)
        total += sum(size for _, size in sizes)
        end = start - packed - 12
    return total if end == 0 else None


def _records_of(index: bytes) -> list[tuple[int, int]] | None:
    """Return packed and unpacked size of each block of an xz index, or None when it is damaged."""
    if not index or index[0] != 0 or zlib.crc32(index[:-4]) != int.from_bytes(index[-4:], "little"):
        return None
    place = 1

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = index[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    try:
        return [(number(), number()) for _ in range(number())]
    except IndexError:
        return None
