"""Members of an archive by name pattern: zip, 7z, tar; and the one file inside a .xz, .gz or .bz2.

Only the wanted members are unpacked, each to a file of its own base name inside one new folder, so that no
name of an archive chooses a place on the disk. Links, devices, encrypted members and members that grow
beyond ``Limits`` are refused; checksums that the format carries are tested; the folder appears whole.
"""

import errno
import io
import re
import shutil
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sr_datasets.errors import FetchError, MissingExtraError, SrDataError
from sr_datasets.fetch.unpacked import (
    LIMITS,
    RATIO_FROM_BYTES,
    CutError,
    Limits,
    Unpacked,
    kind_of_packing,
    unpacked_size,
)
from sr_datasets.files import disk_errors, human_bytes, move_into_place, remove, require_space, sync_file

_BATCH_BYTES = 1 << 30


class DamagedArchiveError(FetchError):
    """An archive cannot be read to its end: cut, damaged, or none; another copy of it may be whole."""


_MOST_TOLD = 20
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


@dataclass(frozen=True, slots=True)
class Want:
    """Members of an archive that belong together, such as those of one clip."""

    patterns: Sequence[str]
    """Glob patterns of member paths, where ``*`` stays within a folder and ``**/`` is any number of folders. The
    first pattern with ``expected_count`` members is used, and no other."""
    out_dir: Path
    """The folder to make; it is replaced when it exists."""
    expected_count: int | None
    """How many members are wanted; None for any number from 1."""
    name: str
    """What messages call it."""


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
        patterns: As ``Want.patterns``.
        out_dir: As ``Want.out_dir``.
        expected_count: As ``Want.expected_count``.
        limits: Bounds of the output.
        name: What messages call the archive; its file name by default.

    Returns:
        The unpacked files in ``out_dir``, sorted by name.

    Raises:
        FetchError: No pattern fits, a member is unsafe or damaged, or the archive is none.
        MissingExtraError: It is a 7z file and py7zr is not installed.
        SrDataError: The disk is full.
    """
    want = Want(patterns, out_dir, expected_count, name or archive_path.name)
    ((_, files),) = list(extract_each(archive_path, [want], limits=limits))
    return files


def extract_each(
    archive_path: Path, wants: Sequence[Want], *, limits: Limits = LIMITS, batch_bytes: int = _BATCH_BYTES
) -> Generator[tuple[Want, list[Path]]]:
    """Unpack several groups of members, opening the archive once and reading it as few times as can be.

    A compressed tar has to be read from its start for each look into it, which for hundreds of pictures takes
    hours: groups are unpacked together, as many as ``batch_bytes`` hold, before they are handed out one by one.

    Args:
        archive_path: As for ``extract``.
        wants: The groups. No two may name one folder.
        limits: Bounds of the output of one group.
        batch_bytes: About how much may lie unpacked beside what was handed out.

    Yields:
        Each group with its unpacked files, sorted by name, in the order of ``wants``.

    Raises:
        FetchError: As ``extract``. Groups that no pattern fits, or whose members are unsafe, do not keep the others
            from coming: they are told of at the end.
        MissingExtraError: As ``extract``.
        SrDataError: As ``extract``.
    """
    name = wants[0].name if len(wants) == 1 else archive_path.name
    with _damage_of(name), _open(archive_path, name, limits) as archive:
        members = archive.members()
        problems: list[str] = []
        batch: list[tuple[Want, list[Member]]] = []
        size = 0
        for want in wants:
            try:
                wanted = _choose(members, want.patterns, want.expected_count, want.name)
                _check(wanted, archive_path.stat().st_size, limits, want.name)
            except FetchError as error:
                problems.append(str(error))
                continue
            own = sum(member.size_bytes for member in wanted)
            if batch and size + own > batch_bytes:
                yield from _unpack_batch(archive, batch)
                batch, size = [], 0
            batch.append((want, wanted))
            size += own
        if batch:
            yield from _unpack_batch(archive, batch)
    if problems:
        more = f"\nand {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
        raise FetchError("\n".join(problems[:_MOST_TOLD]) + more)


def _unpack_batch(
    archive: "_Archive", batch: Sequence[tuple[Want, list[Member]]]
) -> Iterator[tuple[Want, list[Path]]]:
    places: list[tuple[Member, Path]] = []
    folders: list[Path] = []
    done = 0
    try:
        first = batch[0][0]
        with disk_errors(first.name, first.out_dir.parent):
            size = sum(member.size_bytes for _, wanted in batch for member in wanted)
            require_space(first.out_dir.parent, size, f"unpacking {first.name}")
            for want, wanted in batch:
                folder = want.out_dir.with_name(f".{want.out_dir.name}.unpacking")
                folders.append(folder)
                remove(folder)
                folder.mkdir(parents=True)
                places += [(member, folder / PurePosixPath(member.name).name) for member in wanted]
            archive.unpack(places)
        for (want, wanted), folder in zip(batch, folders, strict=True):
            with disk_errors(want.name, want.out_dir.parent):
                for member in wanted:
                    path = folder / PurePosixPath(member.name).name
                    if path.stat().st_size != member.size_bytes:
                        raise DamagedArchiveError(
                            f"{want.name}: member {member.name} has {path.stat().st_size} bytes, the archive's "
                            f"directory says {member.size_bytes}: the archive is damaged. Delete it and fetch it again."
                        )
                    sync_file(path)
                move_into_place(folder, want.out_dir)
            done += 1
            yield want, sorted(want.out_dir / PurePosixPath(member.name).name for member in wanted)
    finally:
        for folder in folders[done:]:
            remove(folder)


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
    except CutError as error:
        raise DamagedArchiveError(str(error)) from error
    except (SrDataError, MemoryError):
        raise
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise  # of the disk; bz2 and gzip raise their own without a number, a place before the file's start EINVAL
        raise _damaged(name, error) from error
    except Exception as error:  # four libraries raise dozens of classes, some of them bare ones
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> DamagedArchiveError:
    return DamagedArchiveError(
        f"{name} cannot be unpacked: {str(error) or type(error).__name__}. The archive is damaged or of an "
        "unknown kind: delete it and fetch it again."
    )


class _Archive(ABC):
    @abstractmethod
    def members(self) -> list[Member]:
        """Return its files."""

    @abstractmethod
    def unpack(self, places: Sequence[tuple[Member, Path]]) -> None:
        """Write each wanted member to its new file, testing its checksum."""


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
        raise DamagedArchiveError(
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

    def unpack(self, places: Sequence[tuple[Member, Path]]) -> None:
        infos = {info.orig_filename: info for info in self.opened.infolist()}
        for member, path in places:
            with self.opened.open(infos[member.name]) as packed:
                _copy(packed, path, member)


class _Tar(_Archive):
    def __init__(self, opened: tarfile.TarFile) -> None:
        self.opened = opened
        self.infos = {info.name: info for info in opened.getmembers() if not info.isdir()}

    def members(self) -> list[Member]:
        return [
            Member(info.name, info.size, "" if info.isreg() else "is a link or a device")
            for info in self.infos.values()
        ]

    def unpack(self, places: Sequence[tuple[Member, Path]]) -> None:
        for member, path in places:
            packed = self.opened.extractfile(self.infos[member.name])
            if packed is None:
                raise FetchError(f"member {member.name} is not a file")
            with packed:
                _copy(packed, path, member)


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

    def unpack(self, places: Sequence[tuple[Member, Path]]) -> None:
        by_place: dict[int, list[tuple[Member, Path]]] = {}
        for member, path in places:
            by_place.setdefault(self.places[member.name], []).append((member, path))
        with self._entries() as opened:
            for place, info in enumerate(opened):
                first, *others = by_place.get(place, [None])
                packed = opened.extractfile(info) if first is not None else None
                if first is not None and packed is not None:
                    _copy(packed, first[1], first[0])
                    for _, path in filter(None, others):
                        shutil.copyfile(first[1], path)


class _PackedFile(_Archive):
    """One file that is compressed, such as ``film.y4m.xz``."""

    def __init__(self, path: Path, name: str, limits: Limits) -> None:
        self.path, self.name, self.limits = path, name, limits

    def members(self) -> list[Member]:
        return [Member(self.path.stem, unpacked_size(self.path, self.name, self.limits))]

    def unpack(self, places: Sequence[tuple[Member, Path]]) -> None:
        for member, path in places:
            with Unpacked(self.path, self.name, self.limits) as stream:
                _copy(stream, path, member)


@contextmanager
def _open_7z(path: Path, name: str, limits: Limits) -> Iterator[_Archive]:
    try:
        import py7zr
        import py7zr.exceptions
    except ImportError as error:
        raise MissingExtraError(f"unpacking {name}", extra="7z") from error
    try:
        with py7zr.SevenZipFile(path, max_extract_size=limits.total_bytes) as opened:
            if opened.needs_password():
                raise py7zr.exceptions.PasswordRequired(name)
            yield _SevenZip(opened)
    except (py7zr.exceptions.PasswordRequired, py7zr.exceptions.UnsupportedCompressionMethodError) as error:
        known = isinstance(error, py7zr.exceptions.UnsupportedCompressionMethodError)
        raise FetchError(
            f"{name} {f'cannot be unpacked: {error}' if known else 'is encrypted'}. Unpack it with 7-Zip and bring the "
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

    def unpack(self, places: Sequence[tuple[Member, Path]]) -> None:
        # py7zr writes the members' own paths, which were checked; they are moved up afterwards.
        inner = places[0][1].parent / ".members"
        self.opened.reset()
        self.opened.extract(path=inner, targets=[member.name for member, _ in places])
        last = {member.name: path for member, path in places}
        for member, path in places:
            if last[member.name] == path:
                (inner / member.name).replace(path)
            else:
                shutil.copyfile(inner / member.name, path)
        remove(inner)


def _copy(packed: IO[bytes] | io.RawIOBase, path: Path, member: Member) -> None:
    with path.open("xb") as file:
        left = member.size_bytes
        while data := packed.read(_COPY_BYTES) or b"":
            left -= len(data)
            if left < 0:
                raise DamagedArchiveError(f"member {member.name} is longer than the archive's directory says")
            file.write(data)
