"""A set that lies behind an address: its index here, its row groups by range reads, kept in a bounded local cache.

Nothing is believed that was not checked: ``sr-data.json`` names the SHA-256 of the index and the content digest of
each shard, the shard's footer the digest of each row group, and a row group is handed out when its pages have their
checksums and its rows that digest. So an object that was replaced or damaged is found, whatever its size and date.
"""

import hashlib
import io
import json
import mmap
import os
import struct
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PosixPath
from typing import Any, BinaryIO, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pydantic import ValidationError

from sr_datasets.errors import RemoteError, ShardError
from sr_datasets.files import sha256_of, write_atomic
from sr_datasets.remotes import Place, RangeReader
from sr_datasets.shards.cache import PieceCache
from sr_datasets.shards.reader import Group, ShardReader, open_parquet
from sr_datasets.shards.schema import shard_digest
from sr_datasets.shards.sets import (
    DATA_DIR,
    INDEX_NAME,
    PARTS_DIR,
    SET_NAME,
    STATE_NAME,
    BuildState,
    SetInfo,
    ShardInfo,
    build_under_way,
    read_set,
)
from sr_datasets.shards.verify import verify_group

CACHE_BYTES: Final = 20 << 30
"""Most bytes on the disk, unless the caller says otherwise."""
MEMORY_BYTES: Final = 512 << 20
"""Most bytes of row groups in the memory of a process, unless one batch needs more."""

_TAIL_BYTES = 64 << 10
_AT_ONCE = 8
"""Reads under way at once, while the rows of a batch are brought here."""
_BYTES_AT_ONCE = 128 << 20
"""Most bytes under way at once, unless a single row group has more."""


_Task = TypeVar("_Task")
_Found = TypeVar("_Found")


def cache_folder() -> Path:
    """Return ``$SR_DATA_CACHE``, or ``sr-datasets`` in the user's folder for caches (XDG)."""
    if home := os.environ.get("SR_DATA_CACHE"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sr-datasets"


class RemoteSet:
    """A finished set behind an address.

    Opens ``sr-data.json`` and the index; footers and row groups follow when they are asked for. Pickles as its
    address and the hash of ``sr-data.json``, opens again after a fork, and may be used by several threads.

    Example:
        remote = RemoteSet("s3://bucket/set")
        load_index(remote.folder, "train")              # as of a set that lies here
        remote.shard("train-00000-of-00013.parquet").pixels(7)
    """

    def __init__(
        self,
        address: str,
        *,
        cache_dir: Path | None = None,
        cache_bytes: int = CACHE_BYTES,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Read what the set is.

        Args:
            address: As ``remotes.Place`` takes it.
            cache_dir: Folder of the local cache; ``cache_folder()`` when left out.
            cache_bytes: Most bytes of row groups and footers in that folder.
            memory_bytes: Most bytes of row groups in memory.

        Raises:
            RemoteError: The place cannot be reached or refuses.
            ShardError: There is no finished set, or its index is not what ``sr-data.json`` says.
        """
        self.place = Place(address)
        self._cache_dir = cache_folder() if cache_dir is None else cache_dir
        self._cache_bytes, self._memory_bytes = cache_bytes, memory_bytes
        self._digest = ""
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        names = ("place", "_cache_dir", "_cache_bytes", "_memory_bytes", "_digest")
        return {name: self.__dict__[name] for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __str__(self) -> str:
        """Return the address without password and options."""
        return str(self.place)

    def _open(self) -> None:
        self.folder = self._mirror()
        """A local folder with the set's ``sr-data.json`` and ``index.parquet``; it has no shards."""
        self._shards_said = read_set(self.folder, inputs=False).shards
        self._infos = {shard.name: shard for shard in self._shards_said}
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._shards: dict[str, RemoteShard] = {}
        self._held: OrderedDict[tuple[str, int], int] = OrderedDict()
        self.cache = PieceCache(self._cache_dir / "pieces", self._cache_bytes)
        """Row groups and footers on the disk."""

    @property
    def info(self) -> SetInfo:
        """What ``sr-data.json`` says; it is read when it is asked for, since of millions of clips it is long."""
        return read_set(self.folder)

    def _mirror(self) -> Path:
        known = self._cache_dir / "sets" / self._digest
        if self._digest and (known / SET_NAME).is_file() and (known / INDEX_NAME).is_file():
            return known  # a worker's copy of a set that its parent has opened
        try:
            text = self.place.read(SET_NAME)
        except RemoteError as error:
            if error.final and isinstance(error.__cause__, FileNotFoundError):
                raise ShardError(f"{self} is not a shard set: {self._what_is_there()}") from error
            raise
        digest = hashlib.sha256(text).hexdigest()
        if self._digest not in ("", digest):
            raise ShardError(f"{self.place.shown(SET_NAME)} changed since the set was opened. Open it again.")
        self._digest = digest
        folder = self._cache_dir / "sets" / digest
        _keep(folder / SET_NAME, text)
        expected = read_set(folder, inputs=False).index
        index = folder / INDEX_NAME
        if not index.is_file() or sha256_of(index) != expected.sha256:
            found = self.place.read(INDEX_NAME)
            if hashlib.sha256(found).hexdigest() != expected.sha256:
                raise ShardError(
                    f"{self.place.shown(INDEX_NAME)} is not what {SET_NAME} beside it names: {len(found)} bytes, "
                    f"{expected.size_bytes} were written. It changed, or is of another build: push the set again."
                )
            _keep(index, found)
        return folder

    def _what_is_there(self) -> str:
        try:
            state = BuildState.model_validate_json(self.place.read(STATE_NAME))
        except (RemoteError, ValidationError):
            return f"it has no {SET_NAME}, or its push did not finish. Look at the address, or run sr-data push again."
        return build_under_way(state, self.place.sizes(PARTS_DIR))

    def shard(self, name: str) -> "RemoteShard":
        """Return the reader of a shard by its file name; it stays open.

        Raises:
            ShardError: The set has no such shard.
        """
        if self._pid != os.getpid():
            # Another thread of the parent may have held the lock when we were forked.
            self._lock, self._shards, self._pid = threading.RLock(), {}, os.getpid()
            self._held.clear()
        with self._lock:
            if name not in self._shards:
                if name not in self._infos:
                    raise ShardError(f"{self} has no shard {name!r}.")
                self._shards[name] = RemoteShard(self, self._infos[name])
            return self._shards[name]

    def reader(self, path: Path) -> "RemoteShard":
        """Return the reader of a shard by its path, whatever the folder: what ``MappedRows`` takes."""
        return self.shard(path.name)

    def group_bytes(self, name: str, group: int) -> memoryview:
        """Return the bytes of a row group as they stand in the file, checked; they hold until other groups are read.

        Raises:
            RemoteError: They cannot be had.
            ShardError: The object changed or is damaged.
        """
        shard = self.shard(name)
        shard.hold(group)
        start, end = shard.span(group)
        return shard.map().view[start:end]

    def open_shards(self, names: Sequence[str]) -> None:
        """Read the footers of shards, several at once, where they are not known yet.

        Raises:
            RemoteError: One cannot be had.
            ShardError: The set has no such shard, or its object changed or is damaged.
        """
        shards = [shard for shard in map(self.shard, dict.fromkeys(names)) if not shard.is_open]
        for shard, tail in self._ahead([(shard, _TAIL_BYTES) for shard in shards], RemoteShard.find_tail):
            shard.open_with(tail)

    def bringing(self, groups: Sequence[tuple[str, int]]) -> Generator[None, None, None]:
        """Bring row groups into memory, one after another, while the next ones are under way.

        At most ``_AT_ONCE`` reads are under way; their threads end with the iteration (close it when you leave it
        early), so that none is there when a process forks.

        Args:
            groups: Shard and number of each row group, each once.

        Yields:
            When the next group is in memory; it stays there at least until the one after it is asked for.

        Raises:
            RemoteError: One cannot be had.
            ShardError: An object changed or is damaged.
        """
        self.open_shards([name for name, _ in groups])
        wanted = [(self.shard(name), group) for name, group in groups]
        missing = [(shard, group) for shard, group in wanted if not shard.holds(group)]
        if len(missing) < 2:
            for shard, group in wanted:
                shard.hold(group)
                yield
            return
        tasks = [((shard, group), shard.bytes_of(group)) for shard, group in missing]
        with closing(self._ahead(tasks, _find_piece)) as coming:
            left = set(missing)
            for shard, group in wanted:
                if (shard, group) in left:
                    (_, (data, fresh)) = next(coming)
                    shard.hold(group, data, fresh=fresh)
                else:
                    shard.hold(group)
                yield

    def _ahead(
        self, tasks: Sequence[tuple[_Task, int]], work: Callable[[_Task], _Found]
    ) -> Generator[tuple[_Task, _Found], None, None]:
        """Yield what tasks give, in order, while the next ones are worked on by threads that end with the iteration.

        Args:
            tasks: Each with the bytes that it will hold.
            work: Called with each; it must not touch what the set holds.
        """
        if len(tasks) < 2:
            yield from ((task, work(task)) for task, _ in tasks)
            return
        threads = min(_AT_ONCE, len(tasks))
        self.place.path()  # connects here, and not in several threads at once
        with ThreadPoolExecutor(threads, thread_name_prefix="sr-datasets-remote") as pool:
            try:
                waiting: deque[tuple[_Task, int, Future[_Found]]] = deque()
                under_way = 0
                for task, size in tasks:
                    while waiting and (len(waiting) >= threads or under_way + size > _BYTES_AT_ONCE):
                        first, its_size, future = waiting.popleft()
                        found = future.result()
                        under_way -= its_size
                        yield first, found
                    waiting.append((task, size, pool.submit(work, task)))
                    under_way += size
                for first, _, future in waiting:
                    yield first, future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def verify(self) -> list[str]:
        """Read every shard whole and return a sentence for each that is not what ``sr-data.json`` names."""
        problems = []
        for shard in self._shards_said:
            digest, size = hashlib.sha256(), 0
            name = f"{DATA_DIR}/{shard.name}"
            try:
                for chunk in self.place.chunks(name):
                    digest.update(chunk)
                    size += len(chunk)
            except RemoteError as error:
                problems.append(str(error))
                continue
            if digest.hexdigest() != shard.sha256:
                problems.append(
                    f"{self.place.shown(name)}: altered: {size} bytes with SHA-256 {digest.hexdigest()}, when it was "
                    f"written {shard.size_bytes} with {shard.sha256}"
                )
        return problems

    def wrong_sizes(self) -> list[str]:
        """Return a sentence for each shard that is missing or has another size than ``sr-data.json`` names."""
        problems = []
        for shard in self._shards_said:
            name = f"{DATA_DIR}/{shard.name}"
            found = self.place.size_of(name)
            if found is None:
                problems.append(f"{self.place.shown(name)}: the file is missing")
            elif found != shard.size_bytes:
                problems.append(
                    f"{self.place.shown(name)}: has {found} bytes, {SET_NAME} says {shard.size_bytes}"
                )
        return problems

    def _make_room(self) -> None:
        """Let row groups go that were not used for longest, but never the last that came."""
        used = sum(self._held.values())
        while used > self._memory_bytes and len(self._held) > 1:
            name, group = next(iter(self._held))
            used -= self._let_go(name, group)

    def _let_go(self, name: str, group: int) -> int:
        self._shards[name].let_go(group)
        return self._held.pop((name, group))

    def _touch(self, shard: "RemoteShard", group: int) -> None:
        self._held.move_to_end((shard.info.name, group))


class RemoteShard(ShardReader):
    """Reads a shard of a remote set by row number, as ``ShardReader`` does one that lies here.

    Its row groups lie at their own places in one address range as long as the file, which takes memory only where
    groups are. ``hold`` brings them there; another ``hold`` may take them away again.
    """

    stays_mapped = False

    def __init__(self, owner: RemoteSet, info: ShardInfo) -> None:
        """Name the shard; nothing is read yet."""
        self.owner, self.info = owner, info
        self._name = f"{DATA_DIR}/{info.name}"
        super().__init__(_Shown.of(owner.place.shown(self._name)))
        self.path = _Shown.of(owner.place.shown(self._name))  # a plain path would lose a slash of ://

    def _reset(self) -> None:
        super()._reset()
        self._memory: _Memory | None = None
        self._spans: list[tuple[int, int]] = []
        self._ranges: RangeReader | None = None
        self._opening = threading.Lock()
        self._digests: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"owner": self.owner, "info": self.info}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["owner"], state["info"])  # type: ignore[misc]

    def close(self) -> None:
        """Give the connection back, if one is kept; what is in memory stays until the set needs the room."""
        # A file of Arrow's own object stores is a name and a size, which another look would cost a round trip.
        if self._ranges is not None and isinstance(self.owner.place.filesystem, fs.PyFileSystem):
            self._ranges.close()

    def group(self, number: int) -> Group:
        """Return where the rows of a row group are, and see to it that they are in memory."""
        self.hold(number)
        return super().group(number)

    def read_columns(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Return columns of a row group, which is in memory then; as ``ShardReader.read_columns``."""
        self.hold(group)
        return super().read_columns(group, columns)

    def span(self, group: int) -> tuple[int, int]:
        """Return where a row group begins and ends in the file."""
        self._parquet()
        return self._spans[group]

    @property
    def is_open(self) -> bool:
        """Whether its footer is known in this process."""
        return self._file is not None and self._pid == os.getpid()

    def holds(self, group: int) -> bool:
        """Return whether a row group is in memory."""
        return group in self.map().groups

    def bytes_of(self, group: int) -> int:
        """Return how many bytes a row group has."""
        start, end = self.span(group)
        return end - start

    def find_piece(self, group: int) -> tuple[bytes, bool]:
        """Return the bytes of a row group, and whether they came from afar, so that they must be checked.

        Touches nothing that the set holds, so that several threads may call it, once the footer is known.

        Raises:
            RemoteError: They cannot be had.
            ShardError: The object has another size than it had.
        """
        start, end = self._spans[group]
        data = self.owner.cache.get(f"{self.info.sha256}-{group}")
        if data is None or len(data) != end - start:
            return self._range(start, end), True
        return data, False

    def hold(self, group: int, data: bytes | None = None, *, fresh: bool = True) -> None:
        """Bring a row group into memory, from the cache or from afar.

        Args:
            group: Its number.
            data: What ``find_piece`` returned, if it was called before.
            fresh: Whether that came from afar.

        Raises:
            RemoteError: It cannot be had.
            ShardError: The object changed or is damaged.
        """
        with self.owner._lock:
            start, _ = self.span(group)
            memory = self.map()
            if group in memory.groups:
                self.owner._touch(self, group)
                return
            if data is None:
                data, fresh = self.find_piece(group)
            memory.put(group, start, data)
            self.owner._held[self.info.name, group] = len(data)
            if fresh:
                if problems := verify_group(self, group, self._digests[group]):
                    self.owner._let_go(self.info.name, group)
                    raise ShardError(f"{problems[0]}. {_CHANGED}")
                self.owner.cache.put(f"{self.info.sha256}-{group}", data)
            self.owner._make_room()

    def let_go(self, group: int) -> None:
        """Give back the memory of a row group."""
        if self._memory is not None:
            self._memory.drop(group)

    def map(self) -> "_Memory":  # type: ignore[override]  # as FileMap, but filled piece by piece
        """Return the address range of the file; what is not held is zero in it."""
        if self._memory is None:
            self._memory = _Memory(self.info.size_bytes)
        return self._memory

    def _range(self, start: int, end: int) -> bytes:
        with self._opening:
            if self._ranges is None:
                ranges = RangeReader(self.owner.place, self._name)
                if ranges.size != self.info.size_bytes:
                    raise ShardError(
                        f"{self.path} has {ranges.size} bytes, {SET_NAME} says {self.info.size_bytes}. {_CHANGED}"
                    )
                self._ranges = ranges
            ranges = self._ranges
        return ranges.read_at(start, end - start)

    def _parquet(self) -> pq.ParquetFile:
        if self._pid != os.getpid():
            self._reset()
        if self._file is None:
            with self.owner._lock:
                self.open_with(self.find_tail())
        return self._file

    def find_tail(self) -> tuple[bytes, bool]:
        """Return the footer's bytes, and whether they came from afar; as ``find_piece``."""
        tail = self.owner.cache.get(f"{self.info.sha256}-tail")
        return (self._fetch_tail(), True) if tail is None else (tail, False)

    def open_with(self, found: tuple[bytes, bool]) -> None:
        """Take the footer that ``find_tail`` returned.

        Raises:
            ShardError: It is not that of the shard in ``sr-data.json``.
        """
        with self.owner._lock:
            self._open_footer(*found)

    def _open_footer(self, tail: bytes, fresh: bool) -> None:
        memory = self.map()
        memory.put(-1, self.info.size_bytes - len(tail), tail)
        file = open_parquet(self.path, cast("BinaryIO", _Source(self)))
        starts = [_start_of(file.metadata.row_group(group)) for group in range(file.num_row_groups)]
        ends = [*starts[1:], _end_of(file.metadata.row_group(file.num_row_groups - 1))] if starts else []
        digests = json.loads((file.metadata.metadata or {}).get(b"sr-datasets.group_digests", b"[]"))
        if len(digests) != file.num_row_groups or shard_digest(digests) != self.info.content_digest:
            file.close(force=True)
            raise ShardError(f"{self.path}: its footer is not that of the shard in {SET_NAME}. {_CHANGED}")
        if fresh:
            self.owner.cache.put(f"{self.info.sha256}-tail", tail)
        self._spans, self._digests = list(zip(starts, ends, strict=True)), digests
        self._take(file)

    def _fetch_tail(self) -> bytes:
        size = self.info.size_bytes
        tail = self._range(max(0, size - _TAIL_BYTES), size)
        length = struct.unpack("<I", tail[-8:-4])[0] + 8 if len(tail) >= 12 and tail[-4:] == b"PAR1" else 0
        if not 12 <= length <= size:
            raise ShardError(f"{self.path}: the end of the file is not that of a Parquet file. {_CHANGED}")
        if length > len(tail):
            tail = self._range(size - length, size - len(tail)) + tail
        return tail[-length:]


def _keep(path: Path, data: bytes) -> None:
    """Write a file of the local cache that no remote set can be read without."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise RemoteError(
            f"The local cache cannot be written: {path.parent}: {error.strerror or error}. Point SR_DATA_CACHE to a folder that "
            "you may write to, with room.",
            final=True,
        ) from error


def _find_piece(task: tuple[RemoteShard, int]) -> tuple[bytes, bool]:
    shard, group = task
    return shard.find_piece(group)


_CHANGED = (
    "The object changed since it was pushed, or was damaged on its way: push the set again, or open it again."
)


def _start_of(group: Any) -> int:
    first = group.column(0)
    return int(first.dictionary_page_offset if first.has_dictionary_page else first.data_page_offset)


def _end_of(group: Any) -> int:
    last = group.column(group.num_columns - 1)
    start = last.dictionary_page_offset if last.has_dictionary_page else last.data_page_offset
    return int(start + last.total_compressed_size)


class _Memory:
    """An address range as long as a file, of which some pieces are filled; as ``FileMap`` to those who read it."""

    def __init__(self, size: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        self._pages = mmap.mmap(-1, size, flags=flags)
        self.array: npt.NDArray[np.uint8] = np.frombuffer(self._pages, np.uint8)
        self.view = memoryview(self._pages)
        self.address = int(self.array.ctypes.data)
        self.groups: dict[int, tuple[int, int]] = {}
        """Where pieces lie that are filled, by number."""

    def put(self, number: int, start: int, data: bytes) -> None:
        self._pages[start : start + len(data)] = data
        self.groups[number] = (start, start + len(data))

    def drop(self, number: int) -> None:
        """Give back the whole pages of a piece."""
        start, end = self.groups.pop(number)
        first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            self._pages.madvise(mmap.MADV_DONTNEED, first, last - first)


class _Source(io.RawIOBase):
    """What pyarrow reads a remote shard through: row groups are fetched whole when it asks for a part of them."""

    def __init__(self, shard: RemoteShard) -> None:
        self._shard, self._at = shard, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._shard.info.size_bytes}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._at + len(view), self._shard.info.size_bytes)
        count = max(0, end - self._at)
        for number, (start, stop) in enumerate(self._shard._spans):
            if start < end and self._at < stop and number not in self._shard.map().groups:
                self._shard.hold(number)
        view[:count] = self._shard.map().view[self._at : self._at + count]
        self._at += count
        return count


class _Shown(PosixPath):
    """An address where readers expect a path: it is for messages and its name only."""

    address: str

    @classmethod
    def of(cls, address: str) -> "_Shown":
        found = cls(address)
        found.address = address
        return found

    def __str__(self) -> str:
        return self.address
