"""What became of each video that was asked for: ``ROOT/<source>/availability.parquet``.

It is what a paper can say of its data ("712 of 1000 still up, checked on this day"), what keeps a second run from asking
again, and where the attribution of what was taken stands.
"""

import datetime
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, Field, TypeAdapter

from sr_datasets.errors import FetchError
from sr_datasets.files import write_atomic
from sr_datasets.journal import Journaled

Status = Literal["ok", "gone", "private", "blocked", "too-small", "not-open", "failed", "forgotten"]
"""``ok``: in the store; ``gone``: deleted; ``private``; ``blocked``: by country, age, membership or rights; ``too-small``:
lower than was asked for; ``not-open``: its metadata claims no Creative Commons licence; ``failed``: for a reason that may
pass; ``forgotten``: removed by ``sr-data forget``, and never fetched again."""

LEDGER_NAME = "availability.parquet"

_Count = Annotated[int, Field(ge=0, lt=1 << 63)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One video, or one piece of a video."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    clip: str
    """Name in the store; empty where YouTube's id is not known."""
    record_id: str
    """Four characters of YouTube-8M, or empty."""
    youtube_id: str
    """YouTube's id; empty where the publisher has none any more."""
    status: Status
    """What became of it."""
    checked: datetime.date
    """When, in UTC."""
    reason: str = ""
    """In the words of the site or of yt-dlp; empty when all went well."""
    wanted_height: _Count = 0
    """Least height (of a portrait video: width) that was asked for; 0 for any."""
    start_ms: _Count | None = None
    """Begin of the piece; None for a whole video."""
    end_ms: _Count | None = None
    """End of the piece."""
    labels: str = ""
    """Labels by which it was chosen, joined by semicolons."""
    title: str = ""
    """The video's title, for the attribution."""
    uploader: str = ""
    """Who published it, for the attribution."""
    uploader_url: str = ""
    """Their page."""
    url: str = ""
    """The video's page."""
    license_claimed: str = ""
    """The licence as the site's metadata has it; empty when it claims none beyond the site's own."""
    width: _Count = 0
    """Of the file that came."""
    height: _Count = 0
    """Of the file that came."""
    format_note: str = ""
    """Which of the site's formats it was, and by which version of yt-dlp."""
    sha256: str = ""
    """Of the file that came. The site encodes again now and then: another day gives other bytes."""
    unauthenticated: bool = False
    """Whether the annotations that led to it came over plain http, unproven."""

    @property
    def key(self) -> str:
        """What there is one entry of."""
        if self.clip:
            return self.clip
        return f"record {self.record_id}" if self.record_id else f"video {self.youtube_id}"

    @property
    def attribution(self) -> str:
        """A sentence that names title, author, address and licence."""
        if self.status != "ok":
            return ""
        licence = self.license_claimed or "no open licence claimed"
        return f'"{self.title}" by {self.uploader or "unknown"}, {self.url} ({licence})'


_KINDS = {
    "checked": pa.date32(),
    "wanted_height": pa.int64(),
    "start_ms": pa.int64(),
    "end_ms": pa.int64(),
    "width": pa.int64(),
    "height": pa.int64(),
    "unauthenticated": pa.bool_(),
}
_AT_ONCE = 1 << 18
"""Rows that are dicts at a time: those of millions would take more memory than their entries."""
_ENTRIES = TypeAdapter(tuple[Entry, ...])
_SCHEMA = pa.schema([pa.field(field.name, _KINDS.get(field.name, pa.string())) for field in fields(Entry)])


_MAY_LACK = ("start_ms", "end_ms")


def _unlike_schema(table: pa.Table) -> str | None:
    """Say which column is not like ``_SCHEMA`` says; None where each one is. A ledger of old has fewer columns."""
    for name in table.column_names:
        place = _SCHEMA.get_field_index(name)
        if place < 0:
            return f"column {name} is unknown"
        if table.column_names.count(name) > 1:
            return f"column {name} stands twice"
        column = table.column(name)
        if column.type != _SCHEMA.field(place).type:
            return f"column {name} holds {column.type}, expected {_SCHEMA.field(place).type}"
        if column.null_count and name not in _MAY_LACK:
            return f"column {name} lacks {column.null_count} values"
    return None


def ledger_of(root: Path, source: str) -> "Ledger":
    """Return the ledger of a source in a data folder."""
    return Ledger(root / source / LEDGER_NAME)


class Ledger:
    """The entries of one source; every change is on the disk when it returns.

    Args:
        path: ``ROOT/<source>/availability.parquet``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _Table(path)

    def entries(self) -> list[Entry]:
        """Return all entries, sorted by key.

        Raises:
            FetchError: The file is damaged, or of another version.
        """
        found = self.by_key()
        return [found[key] for key in sorted(found)]

    def by_key(self) -> dict[str, Entry]:
        """Return all entries by their key."""
        return dict(self._file.read())

    def batch(self) -> AbstractContextManager[None]:
        """Let many entries come: a ``put`` takes the same time however many there are (``Store.batch``)."""
        return self._file.batch()

    def put(self, *entries: Entry) -> None:
        """Add or replace entries; what was forgotten stays forgotten."""
        self._file.put({entry.key: entry for entry in entries})

    def forget(self, youtube_id: str, *, today: datetime.date) -> list[str]:
        """Keep of a video nothing but its id, and that it must not be fetched again.

        Args:
            youtube_id: YouTube's id of 11 characters.
            today: When it was asked for.

        Returns:
            The names that clips of it have in the store.
        """
        gone: list[Entry] = []

        def change(entries: dict[str, Entry]) -> None:
            gone.extend(entry for entry in entries.values() if entry.youtube_id == youtube_id)
            for entry in gone:
                del entries[entry.key]
            left = Entry("", "", youtube_id, "forgotten", today)
            entries[left.key] = left

        self._file.change(change)
        return sorted(entry.clip for entry in gone if entry.clip)

    def drop(self, clip: str) -> None:
        """Delete the entry of one clip, which may come again."""
        self._file.change(lambda entries: entries.pop(clip, None))

    def forgotten(self) -> set[str]:
        """Return YouTube's ids of what was forgotten."""
        return {entry.youtube_id for entry in self.by_key().values() if entry.status == "forgotten"}

    def counts(self) -> Counter[Status]:
        """Return how many entries have each status."""
        return Counter(entry.status for entry in self.by_key().values())


class _Table(Journaled[Entry]):
    """The file of a ledger, and the journal that it has while videos come."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            lock=path.with_name(f".{path.name}.lock"),
            what=f"the ledger {path}",
            error=FetchError,
            repair="What is in the store stays there.",
        )
        self._forgotten: set[str] | None = None

    def load(self) -> dict[str, Entry]:
        """Return the entries of the file.

        Raises:
            FetchError: It is damaged, or of another version.
        """
        try:
            with pa.OSFile(os.fsencode(self.path)) as file:
                # A thread of Arrow's that is not done with a file of Python's when the interpreter ends would abort it.
                table = pq.ParquetFile(file, pre_buffer=False).read(use_threads=False)
            if unlike := _unlike_schema(table):
                raise TypeError(unlike)
            pieces = table.to_batches(max_chunksize=_AT_ONCE)
            found = [Entry(**row) for piece in pieces for row in piece.to_pylist()]
        except FileNotFoundError:
            raise
        # OverflowError: a day beyond the year 9999.
        except (pa.ArrowException, OSError, TypeError, UnicodeDecodeError, OverflowError) as error:
            raise FetchError(
                f"{self.path}: cannot be read as a ledger: {error}. Move it away; what is in the store stays there."
            ) from error
        if wrong := [entry for entry in found if entry.status not in get_args(Status)]:
            raise FetchError(
                f"{self.path}: has the status '{wrong[0].status}', expected {', '.join(get_args(Status))}"
            )
        return {entry.key: entry for entry in found}

    def save(self, records: Mapping[str, Entry]) -> None:
        """Write the file, sorted by key."""
        keys, sink = sorted(records), pa.BufferOutputStream()
        with pq.ParquetWriter(sink, _SCHEMA, compression="zstd") as writer:
            for start in range(0, len(keys), _AT_ONCE):
                rows = [asdict(records[key]) for key in keys[start : start + _AT_ONCE]]
                writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
        write_atomic(self.path, sink.getvalue().to_pybytes(), alone=True)

    def to_line(self, records: Mapping[str, Entry]) -> bytes:
        """Return entries as a JSON array."""
        return _ENTRIES.dump_json(tuple(records.values()))

    def from_line(self, line: bytes) -> dict[str, Entry]:
        """Return the entries of a line."""
        return {entry.key: entry for entry in _ENTRIES.validate_json(line)}

    def wanted(self, records: Mapping[str, Entry]) -> Mapping[str, Entry]:
        """Leave out videos that were forgotten."""
        if self._forgotten is None:
            self._forgotten = {
                entry.youtube_id for entry in self._records.values() if entry.status == "forgotten"
            }
        return {key: entry for key, entry in records.items() if entry.youtube_id not in self._forgotten}

    def took(self, records: Mapping[str, Entry] | None) -> None:
        """Look for what was forgotten once more, when all was read anew."""
        if records is None or any(entry.status == "forgotten" for entry in records.values()):
            self._forgotten = None
