"""Members of an archive by name pattern: zip, 7z, tar; and the one file inside a .xz, .gz or .bz2.

Only the wanted members are unpacked, each to a file of its own base name inside one new folder, so that no
name of an archive chooses a place on the disk. Links, devices, encrypted members and members that grow
beyond ``Limits`` are refused; checksums that the format carries are tested; the folder appears whole.
"""

import io
import lzma
import re
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sr_datasets.errors import FetchError, MissingExtraError
from sr_datasets.fetch.unpacked import (
    LIMITS,
    RATIO_FROM_BYTES,
    Limits,
    Unpacked,
    kind_of_packing,
    unpacked_size,
)
from sr_datasets.files import disk_errors, human_bytes, move_into_place, remove, require_space, sync_file

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive."""

    name: str
    """Its path in the archive, with ``/``."""
    size_bytes: int
    """Its size when unpacked, as the archive states it."""
    problem: str = ""
    """Why it must not be unpacked, or empty."""


def extract(
    archive_path: Path,
    patterns: Sequence[str],
    out_dir: Path,
    *,
    expected_count: int | None,
    limits: Limits = LIMITS,
    name: str | None = None,
) -> list[Path]:
    """Unpack the members that a pattern names into a new folder.

    Args:
        archive_path: A zip, 7z or tar file (the last also compressed), or a single file that is compressed with xz,
            gzip or bzip2, whose only member has its name without the ending; told by its first bytes.
        patterns: Glob patterns of member paths, where ``*`` stays within a folder and ``**/`` is any number
            of folders. The first pattern with ``expected_count`` members is used, and no other.
        out_dir: The folder to make; it is replaced when it exists.
        expected_count: How many members are wanted; None for any number from 1.
        limits: Bounds of the output.
        name: What messages call the archive; its file name by default.

    Returns:
        The unpacked files in ``out_dir``, sorted by name.

    Raises:
        FetchError: No pattern fits, a member is unsafe or damaged, or the archive is none.
        MissingExtraError: It is a 7z file and py7zr is not installed.
        SrDataError: The disk is full.
    """
    name = name or archive_path.name
    temporary = out_dir.with_name(f".{out_dir.name}.unpacking")
    with disk_errors(name, out_dir.parent), _damage_of(name), _open(archive_path, name, limits) as archive:
        wanted = _choose(archive.members(), patterns, expected_count, name)
        _check(wanted, archive_path.stat().st_size, limits, name)
        require_space(out_dir.parent, sum(member.size_bytes for member in wanted), f"unpacking {name}")
        remove(temporary)
        temporary.mkdir(parents=True)
        try:
            archive.unpack(wanted, temporary)
            for member in wanted:
                path = temporary / PurePosixPath(member.name).name
                if path.stat().st_size != member.size_bytes:
                    raise FetchError(
                        f"{name}: member {member.name} has {path.stat().st_size} bytes, the archive's directory "
                        f"says {member.size_bytes}: the archive is damaged. Delete it and fetch it again."
                    )
                sync_file(path)
            move_into_place(temporary, out_dir)
        finally:
            remove(temporary)
    return sorted(out_dir / PurePosixPath(member.name).name for member in wanted)


def list_members(archive_path: Path) -> list[Member]:
    """Return the files of an archive, in its own order.

    Raises:
        FetchError: It is not an archive, or is damaged.
        MissingExtraError: It is a 7z file and py7zr is not installed.
    """
    with _damage_of(archive_path.name), _open(archive_path, archive_path.name, LIMITS) as archive:
        return archive.members()


def _choose(
    members: Sequence[Member], patterns: Sequence[str], expected_count: int | None, name: str
) -> list[Member]:
    counts = []
    for pattern in patterns:
        fitting = [member for member in members if _glob(pattern).fullmatch(member.name)]
        if fitting and expected_count in (None, len(fitting)):
            return fitting
        counts.append(f"'{pattern}' fits {len(fitting)}")
    names = [member.name for member in members]
    some = ", ".join(names[:4]) + (f", ... {len(names)} in all" if len(names) > 4 else "")
    raise FetchError(
        f"{name}: expected {'members' if expected_count is None else f'{expected_count} member(s)'} of the archive, "
        f"but {'; '.join(counts) or 'no pattern is given'}. It holds {some or 'nothing'}. Correct `members` in the "
        "manifest."
    )


def _check(wanted: Sequence[Member], archive_bytes: int, limits: Limits, name: str) -> None:
    seen: dict[str, str] = {}
    for member in wanted:
        path = PurePosixPath(member.name)
        if member.problem:
            raise FetchError(f"{name}: member {member.name} {member.problem}; it is not unpacked")
        if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
            raise FetchError(
                f"{name}: member {member.name!r} points outside its archive; nothing is unpacked. The archive is not "
                "trustworthy: take it from another mirror."
            )
        # Without regard to case, as some disks compare names.
        if other := seen.get(path.name.lower()):
            raise FetchError(
                f"{name}: members {other} and {member.name} would have the same file name. Make `members` in the "
                "manifest more precise."
            )
        seen[path.name.lower()] = member.name
    total = sum(member.size_bytes for member in wanted)
    if total > limits.total_bytes:
        raise FetchError(
            f"{name}: its wanted members are {human_bytes(total)}, more than the {human_bytes(limits.total_bytes)} "
            "that are unpacked of one archive"
        )
    if total > RATIO_FROM_BYTES and total > limits.ratio * archive_bytes:
        raise FetchError(
            f"{name}: {human_bytes(archive_bytes)} would grow to {human_bytes(total)}, more than {limits.ratio:g} "
            "times: this looks like an archive made to fill disks, and is not unpacked"
        )


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    rules = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(rules.get(part, re.escape(part)) for part in parts))


@contextmanager
def _damage_of(name: str) -> Iterator[None]:
    """Turn what the archive libraries raise on damaged files into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk; bz2 and gzip raise their own without a number
        raise _damaged(name, error) from error
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> FetchError:
    return FetchError(
        f"{name} cannot be unpacked: {str(error) or type(error).__name__}. The archive is damaged or of an "
        "unknown kind: delete it and fetch it again."
    )


class _Archive(ABC):
    @abstractmethod
    def members(self) -> list[Member]:
        """Return its files."""

    @abstractmethod
    def unpack(self, wanted: Sequence[Member], folder: Path) -> None:
        """Write each wanted member to ``folder`` under its base name, testing its checksum."""


@contextmanager
def _open(path: Path, name: str, limits: Limits) -> Iterator[_Archive]:
    with path.open("rb") as file:
        head = file.read(8)
    packing = kind_of_packing(head)
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        with _open_7z(path, name, limits) as archive:
            yield archive
    elif packing is not None:
        with Unpacked(path, name, limits) as stream:
            start = stream.read(512)
        is_tar = start[257:262] == b"ustar"
        yield _PackedTar(path, name, limits) if is_tar else _PackedFile(path, name, limits)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as opened:
            yield _Zip(opened)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path, "r:") as opened_tar:
            yield _Tar(opened_tar)
    else:
        raise FetchError(
            f"{name} is not a zip, 7z or tar archive, nor compressed with xz, gzip or bzip2: it begins with {head!r}. "
            "Fetch it again."
        )


class _Zip(_Archive):
    def __init__(self, opened: zipfile.ZipFile) -> None:
        self.opened = opened

    def members(self) -> list[Member]:
        return [
            Member(info.orig_filename, info.file_size, self._problem(info))
            for info in self.opened.infolist()
            if not info.is_dir()
        ]

    @staticmethod
    def _problem(info: zipfile.ZipInfo) -> str:
        if info.flag_bits & 0x1:
            return "is encrypted"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # The library unpacks bzip2 and LZMA members of a zip with no bound on memory.
            return f"is packed by method {info.compress_type}; only stored and deflated members are read"
        # The upper half holds Unix's file type; 0 stands for archives made elsewhere.
        kind = info.external_attr >> 28 if info.create_system == 3 else 0
        return "" if kind in (0, 0o10) else "is a link or a device"

    def unpack(self, wanted: Sequence[Member], folder: Path) -> None:
        infos = {info.orig_filename: info for info in self.opened.infolist()}
        for member in wanted:
            with self.opened.open(infos[member.name]) as packed:
                _copy(packed, folder / PurePosixPath(member.name).name, member)


class _Tar(_Archive):
    def __init__(self, opened: tarfile.TarFile) -> None:
        self.opened = opened
        self.infos = {info.name: info for info in opened.getmembers() if not info.isdir()}

    def members(self) -> list[Member]:
        return [
            Member(info.name, info.size, "" if info.isreg() else "is a link or a device")
            for info in self.infos.values()
        ]

    def unpack(self, wanted: Sequence[Member], folder: Path) -> None:
        for member in wanted:
            packed = self.opened.extractfile(self.infos[member.name])
            if packed is None:
                raise FetchError(f"member {member.name} is not a file")
            with packed:
                _copy(packed, folder / PurePosixPath(member.name).name, member)


class _PackedTar(_Archive):
    """A tar file that is compressed: read as a stream, once for its members and once for their bytes."""

    def __init__(self, path: Path, name: str, limits: Limits) -> None:
        self.path, self.name, self.limits = path, name, limits
        self.places: dict[str, int] = {}  # of each name, the last entry counts, as in any tar

    @contextmanager
    def _entries(self) -> Iterator[tarfile.TarFile]:
        with (
            Unpacked(self.path, self.name, self.limits) as stream,
            tarfile.open(fileobj=stream, mode="r|") as opened,
        ):
            yield opened
            while stream.read(_COPY_BYTES):  # to the end, where the checksum stands
                pass

    def members(self) -> list[Member]:
        found: dict[str, Member] = {}
        with self._entries() as opened:
            for place, info in enumerate(opened):
                if not info.isdir():
                    problem = "" if info.isreg() else "is a link or a device"
                    found[info.name] = Member(info.name, info.size, problem)
                    self.places[info.name] = place
        return list(found.values())

    def unpack(self, wanted: Sequence[Member], folder: Path) -> None:
        by_place = {self.places[member.name]: member for member in wanted}
        with self._entries() as opened:
            for place, info in enumerate(opened):
                member = by_place.get(place)
                packed = opened.extractfile(info) if member is not None else None
                if member is not None and packed is not None:
                    _copy(packed, folder / PurePosixPath(member.name).name, member)


class _PackedFile(_Archive):
    """One file that is compressed, such as ``film.y4m.xz``."""

    def __init__(self, path: Path, name: str, limits: Limits) -> None:
        self.path, self.name, self.limits = path, name, limits

    def members(self) -> list[Member]:
        return [Member(self.path.stem, unpacked_size(self.path, self.name, self.limits))]

    def unpack(self, wanted: Sequence[Member], folder: Path) -> None:
        with Unpacked(self.path, self.name, self.limits) as stream:
            for member in wanted:
                _copy(stream, folder / member.name, member)


@contextmanager
def _open_7z(path: Path, name: str, limits: Limits) -> Iterator[_Archive]:
    try:
        import py7zr
        import py7zr.exceptions
    except ImportError as error:
        raise MissingExtraError(f"unpacking {name}", extra="7z") from error
    try:
        with py7zr.SevenZipFile(path, max_extract_size=limits.total_bytes) as opened:
            yield _SevenZip(opened)
    except (py7zr.exceptions.ArchiveError, py7zr.exceptions.UnsupportedCompressionMethodError) as error:
        raise FetchError(
            f"{name} cannot be unpacked: {error}. Delete it and fetch it again, or unpack it with 7-Zip and bring the "
            "files in with sr-data import."
        ) from error


class _SevenZip(_Archive):
    def __init__(self, opened: Any) -> None:
        self.opened = opened

    def members(self) -> list[Member]:
        return [
            Member(entry.filename, entry.uncompressed, "" if entry.is_file else "is a link or a device")
            for entry in self.opened.files
            if not entry.is_directory
        ]

    def unpack(self, wanted: Sequence[Member], folder: Path) -> None:
        # py7zr writes the members' own paths, which were checked; they are moved up afterwards.
        inner = folder / ".members"
        self.opened.extract(path=inner, targets=[member.name for member in wanted])
        for member in wanted:
            (inner / member.name).replace(folder / PurePosixPath(member.name).name)
        remove(inner)


def _copy(packed: IO[bytes] | io.RawIOBase, path: Path, member: Member) -> None:
    with path.open("xb") as file:
        left = member.size_bytes
        while data := packed.read(_COPY_BYTES) or b"":
            left -= len(data)
            if left < 0:
                raise FetchError(f"member {member.name} is longer than the archive's directory says")
            file.write(data)
