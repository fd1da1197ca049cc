"""What the store knows of a clip, its files and the archive that it came in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from sr_datasets.manifest import ClipId, HexSha256, SourceId, VideoInfo
from sr_datasets.models import Model

Proof = Literal["sha256", "sha1", "md5", "pixels-sha256", "first-fetch", "generated", "imported"]


def _inside(path: str) -> str:
    parts = path.split("/")
    if "\0" in path or len(parts) < 2 or not all(part not in ("", ".", "..") for part in parts):
        raise ValueError(f"'{path}' is no path inside the store, such as xiph/akiyo_cif.y4m")
    return path


StorePath = Annotated[str, AfterValidator(_inside)]
"""POSIX path inside the store's folder: two parts at least, none of them empty, ``.`` or ``..``. A lock file comes
from elsewhere, and files are deleted by it."""


class FileRecord(Model):
    """One verified file of the store."""

    path: StorePath
    """Where it lies in the store."""
    size_bytes: int
    """Exact size."""
    sha256: HexSha256
    """SHA-256 when it was brought in."""
    mtime_ns: int
    """Modification time when it was brought in, for the quick check."""


class ArchiveRecord(Model):
    """An archive as it was when clips were taken out of it; the archive itself is not kept."""

    id: str
    """Its name in the manifest."""
    size_bytes: int
    """Exact size."""
    sha256: HexSha256
    """SHA-256 when it was fetched."""


class ClipRecord(Model):
    """What the store knows of one clip."""

    source: SourceId
    """Source id."""
    clip: ClipId
    """Clip id."""
    path: StorePath
    """Where it lies in the store: a file, or a folder of frames. The first part is the source."""
    files: tuple[FileRecord, ...]
    """Its files, in frame order."""
    sha256: HexSha256
    """Digest of the clip: the file's own SHA-256, or that of its frames (``digest_of``)."""
    origin: str
    """URL, ``imported`` or ``generated``."""
    proof: Proof
    """What the bytes were checked against: a checksum of the manifest (for clips out of an archive, the
    archive's). ``first-fetch`` and ``imported`` were trusted on first sight."""
    etag: str = ""
    """The server's tag of the bytes, if it sent one."""
    archive: ArchiveRecord | None = None
    """What it was fetched in, if that was an archive."""
    partial_of: int | None = None
    """Frames that the manifest lists, when fewer were accepted (``sr-data import --allow-partial``)."""
    license: str | None = None
    """Of a clip that no manifest lists: a key of the source's ``licenses``, or None for the source's own."""
    attribution: str = ""
    """Of such a clip: whom to name, and how."""
    info: VideoInfo
    """What the clip says of itself."""

    @model_validator(mode="after")
    def _lies_in_its_own_place(self) -> Self:
        source, name, *_ = self.path.split("/")
        if source != self.source or name.startswith("."):
            raise ValueError(f"'{self.path}' is no place of a clip of {self.source}")
        for file in self.files:
            if file.path != self.path and not file.path.startswith(f"{self.path}/"):
                raise ValueError(f"'{file.path}' is no file of {self.path}")
        return self

    @property
    def size_bytes(self) -> int:
        """Return the sum of its files' sizes."""
        return sum(file.size_bytes for file in self.files)


def digest_of(files: Iterable[FileRecord], *, media: str) -> str:
    """Return the digest of a clip: its file's SHA-256; for frames, that of what ``sha256sum`` prints.

    That is, in frame order, a line of hash, two spaces and file name each, without folders.

    Args:
        files: The clip's files, in frame order.
        media: As ``Clip.media``.
    """
    several = list(files)
    if media != "frames":
        (file,) = several
        return file.sha256
    lines = "".join(f"{file.sha256}  {file.path.rpartition('/')[2]}\n" for file in several)
    return hashlib.sha256(lines.encode()).hexdigest()
