"""A set: the folder of shards, its index without pixels, and ``sr-data.json`` that vouches for both."""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError, model_validator

from sr_datasets.errors import ShardError
from sr_datasets.files import atomic_path, sha256_of
from sr_datasets.models import Model
from sr_datasets.shards.arrays import arrow_values
from sr_datasets.shards.schema import BULKY_COLUMNS, FORMAT_VERSION, SCHEMA, set_digest, with_later_columns

SET_NAME: Final = "sr-data.json"
FORGETTING_NAME: Final = ".forget.json"
"""What ``sr-data.json`` is called while clips are taken out of the set: it is no set until that has ended."""
INDEX_NAME: Final = "index.parquet"
DATA_DIR: Final = "data"
MEASURES_NAME: Final = ".measures.npz"
"""What was measured, beside the set it is of; no part of the set."""

STATE_NAME: Final = ".build.json"
"""What stands in the place of a build that is not finished."""
REPORT_NAME: Final = "build-report.json"
"""What the last run of the build did: no part of the set, and other on each run."""
PARTS_DIR: Final = ".parts"
"""Receipts of the shards that a build in parts has finished, until all of them are there."""

_OWN_SHA256 = "sha256"
_NO_SHA256 = "0" * 64
_INDEX_ROWS_PER_GROUP = 65_536
_SHARD_NAME = re.compile(r"(?P<split>[a-z][a-z0-9_]*)-(?P<k>\d{5,})-of-(?P<n>\d{5,})\.parquet")

INDEX_SCHEMA: Final = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("row_group", pa.int32(), nullable=False),
        *(field for field in SCHEMA if field.name not in BULKY_COLUMNS),
    ]
)
"""Columns of ``index.parquet``: where a row lies, then the row without its pixels."""


class ShardInfo(Model):
    """What ``sr-data.json`` says of one shard."""

    name: str
    """File name inside ``data/``."""
    split: str
    """The split of all its rows; empty when it has none."""
    rows: int
    """Number of rows."""
    groups: int
    """Number of row groups."""
    size_bytes: int
    """Exact size of the file."""
    sha256: str
    """SHA-256 of the file."""
    content_digest: str
    """Digest of row ids, draws and pixels, independent of the container (docs/shards.md)."""


class ShardSummary(ShardInfo):
    """What writing a shard yields: its line of ``sr-data.json`` and the digests of its row groups."""

    group_digests: tuple[str, ...]
    """Content digest of each row group, in order."""


class LrInfo(Model):
    """The publisher's own LR of a clip."""

    source: str
    """Source id."""
    clip: str
    """Clip id."""
    sha256: str
    """Digest of the clip's bytes."""


class InputInfo(Model):
    """One clip that the set was made of."""

    source: str
    """Source id."""
    clip: str
    """Clip id."""
    split: str
    """Split that it was dealt to."""
    sha256: str
    """Digest of the clip's bytes, as the store has it."""
    origin: str = ""
    """Where its bytes came from: a URL, ``imported`` or ``generated``."""
    lr: LrInfo | None = None
    """The publisher's LR, where the set has that."""


class SkippedInput(Model):
    """One clip that the recipe selects and the set lacks."""

    source: str
    """Source id."""
    clip: str
    """Clip id."""
    reason: str
    """Why it was left out, in a sentence."""


class FileInfo(Model):
    """Size and hash of a file beside the shards."""

    size_bytes: int
    """Exact size."""
    sha256: str
    """SHA-256 of the file."""


class SetInfo(Model):
    """What ``sr-data.json`` says: the recipe, the inputs, and every file of the set."""

    format: Literal[1, 2]
    """Version of the format (docs/shards.md)."""
    recipe: dict[str, Any]
    """The recipe as it was built."""
    rows: int
    """Rows of all shards."""
    content_digest: str
    """Digest of the whole set, fit to be cited: rows, draws and pixels, whatever the container."""
    shards: tuple[ShardInfo, ...]
    """Every shard, by name."""
    index: FileInfo
    """``index.parquet``."""
    inputs: tuple[InputInfo, ...]
    """Every clip that gave rows, in order of selection."""
    skipped: tuple[SkippedInput, ...] = ()
    """Every clip that was left out."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that the shards' bytes depend on."""

    @model_validator(mode="before")
    @classmethod
    def _without_the_files_own(cls, fields: Any) -> Any:
        # The file's SHA-256 of itself is no part of what the set is: verifying looks at it.
        return (
            {name: value for name, value in fields.items() if name != _OWN_SHA256}
            if isinstance(fields, dict)
            else fields
        )

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split, splits by name."""
        counts: dict[str, int] = {}
        for shard in self.shards:
            if shard.rows:
                counts[shard.split] = counts.get(shard.split, 0) + shard.rows
        return dict(sorted(counts.items()))


class BuildState(Model):
    """What ``.build.json`` says of a build that is not finished."""

    recipe: str
    """Id of its recipe."""
    plan: str
    """What the set is made of, as a hash."""
    parts: int = 0
    """Into how many parts it is divided; 0 where one build makes all."""
    shards: dict[str, int] = Field(default_factory=dict)
    """Shards of each split, where it has parts."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that the shards' bytes depend on; empty where an earlier version began it."""


def shard_name(split: str, number: int, count: int) -> str:
    """Return the file name of a shard.

    Example:
        >>> shard_name("train", 3, 13)
        'train-00003-of-00013.parquet'
    """
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def split_of_name(name: str) -> str | None:
    """Return the split that a shard's file name tells, or None for a foreign name.

    Example:
        >>> split_of_name("train-00003-of-00013.parquet"), split_of_name("part.parquet")
        ('train', None)
    """
    match = _SHARD_NAME.fullmatch(name)
    return match["split"] if match else None


def missing_parts(shards: Sequence[str], there: Collection[str], count: int) -> tuple[int, ...]:
    """Return which parts of a build are not finished, from 1.

    Args:
        shards: All of its shards in the order of the plan; part i has every ``count``-th, from the i-th on.
        there: Those that are finished.
        count: The number of parts.

    Example:
        >>> missing_parts(["a", "b", "c", "d", "e"], {"a", "c", "d"}, 2)
        (1, 2)
        >>> missing_parts(["a", "b", "c", "d", "e"], {"a", "c", "e"}, 2)
        (2,)
    """
    return tuple(sorted({place % count + 1 for place, name in enumerate(shards) if name not in there}))


def write_index(set_dir: Path, shards: Sequence[ShardInfo]) -> FileInfo:
    """Write ``index.parquet``: every row of every shard, without pixels, shards by name.

    Reads the shards' small columns one shard after another, so memory does not grow with the set.

    Raises:
        ShardError: A shard is missing or cannot be read.
    """
    path = set_dir / INDEX_NAME
    with atomic_path(path) as partial:
        write_index_file(partial, set_dir, shards)
        return FileInfo(size_bytes=partial.stat().st_size, sha256=sha256_of(partial))


def write_index_file(path: Path, set_dir: Path, shards: Sequence[ShardInfo]) -> None:
    """Write what ``index.parquet`` of a set holds to a file anywhere; as ``write_index``."""
    write_index_tables(path, index_tables(set_dir, shards))


def write_index_tables(path: Path, tables: Iterator[pa.Table]) -> None:
    """Write the lines of an index, a table for each shard, shards by name (``index_tables``)."""
    with (
        pa.OSFile(os.fsencode(path), "wb") as sink,
        pq.ParquetWriter(
            sink,
            INDEX_SCHEMA,
            compression="zstd",
            write_page_index=True,
            write_page_checksum=True,
            store_schema=True,
        ) as file,
    ):
        for table in _in_groups(tables, _INDEX_ROWS_PER_GROUP):
            file.write_table(table, row_group_size=_INDEX_ROWS_PER_GROUP)


def index_tables(set_dir: Path, shards: Sequence[ShardInfo]) -> Iterator[pa.Table]:
    """Yield the lines of the index that each shard gives, shards by name.

    Raises:
        ShardError: A shard is missing or cannot be read.
    """
    from sr_datasets.shards.reader import small_parquet  # which knows this module

    wanted = [field.name for field in SCHEMA if field.name not in BULKY_COLUMNS]
    for shard in sorted(shards, key=lambda shard: shard.name):
        path = set_dir / DATA_DIR / shard.name
        try:
            with small_parquet(path, wanted) as file:
                names = [name for name in wanted if name in file.schema_arrow.names]
                table = with_later_columns(file.read(columns=names, use_threads=False)).select(wanted)
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            groups = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
            columns = [
                arrow_values([shard.name] * len(table), pa.string()),
                arrow_values(groups.tolist(), pa.int32()),
            ]
            yield pa.Table.from_arrays([*columns, *table.columns], schema=INDEX_SCHEMA)
        except (OSError, pa.ArrowInvalid) as error:
            raise ShardError(f"{path} cannot be read for the index: {error}. Build the set again.") from error


def _in_groups(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        while count >= rows:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, rows)
            waiting, count = [whole.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(waiting)


def describe_set(
    *,
    recipe: Mapping[str, Any],
    shards: Sequence[ShardSummary],
    index: FileInfo,
    inputs: Sequence[InputInfo],
    skipped: Sequence[SkippedInput] = (),
    packages: Mapping[str, str] | None = None,
) -> SetInfo:
    """Say what a set is: the content of ``sr-data.json``.

    Args:
        recipe: The recipe as plain JSON values (``recipe.model_dump(mode="json")``).
        shards: What the writers returned, in any order.
        index: What ``write_index`` returned.
        inputs: The clips that gave rows, in order of selection.
        skipped: The clips that were left out, and why.
        packages: Versions of the packages that the bytes depend on.
    """
    ordered = sorted(shards, key=lambda shard: shard.name)
    return SetInfo(
        format=FORMAT_VERSION,
        recipe=dict(recipe),
        rows=sum(shard.rows for shard in ordered),
        content_digest=set_digest((shard.split, shard.group_digests) for shard in ordered),
        shards=tuple(ShardInfo(**shard.model_dump(exclude={"group_digests"})) for shard in ordered),
        index=index,
        inputs=tuple(inputs),
        skipped=tuple(skipped),
        packages=dict(sorted((packages or {}).items())),
    )


def write_set_json(set_dir: Path, info: SetInfo) -> None:
    """Write ``sr-data.json``, last of all: a folder that has it is a finished set."""
    with atomic_path(set_dir / SET_NAME) as partial, partial.open("wb") as file:
        for piece in set_json_pieces(info):
            file.write(piece)


def set_json(info: SetInfo) -> bytes:
    """Return the content of ``sr-data.json``."""
    return b"".join(set_json_pieces(info))


def set_json_pieces(info: SetInfo) -> Iterator[bytes]:
    """Yield the content of ``sr-data.json`` in pieces: of a set of millions of clips it has more than a GB."""
    fields = info.model_copy(update={"inputs": ()}).model_dump(mode="json") | {_OWN_SHA256: _NO_SHA256}
    text = (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()
    # The name of a field of the file itself: nothing else stands behind one space.
    before, after = text.split(_NO_INPUTS, 1)
    digest = hashlib.sha256(before)
    for piece in _json_of_inputs(info.inputs):
        digest.update(piece)
    digest.update(after)
    yield before
    yield from _json_of_inputs(info.inputs)
    yield digest.hexdigest().encode().join(after.rsplit(_NO_SHA256.encode(), 1))


_NO_INPUTS = b'\n "inputs": []'
_INPUTS = b'\n "inputs": [\n'
_END_OF_LIST = b"\n ]"
_INPUTS_AT_ONCE = 10_000


def _json_of_inputs(inputs: Sequence[InputInfo]) -> Iterator[bytes]:
    """Yield the field ``inputs`` as ``json.dumps`` writes it there."""
    if not inputs:
        yield _NO_INPUTS
        return
    text = json.encoder.encode_basestring
    for start in range(0, len(inputs), _INPUTS_AT_ONCE):
        said = []
        for clip in inputs[start : start + _INPUTS_AT_ONCE]:
            lr = "null"
            if clip.lr is not None:
                lr = json.dumps(clip.lr.model_dump(), indent=1, ensure_ascii=False).replace("\n", "\n   ")
            said.append(
                f'  {{\n   "source": {text(clip.source)},\n   "clip": {text(clip.clip)},\n   "split": {text(clip.split)},\n'
                f'   "sha256": {text(clip.sha256)},\n   "origin": {text(clip.origin)},\n   "lr": {lr}\n  }}'
            )
        yield (b",\n" if start else _INPUTS) + ",\n".join(said).encode()
    yield _END_OF_LIST


def is_as_written(set_dir: Path) -> bool:
    """Return whether ``sr-data.json`` has the SHA-256 that it says it has; of version 1, which says none, True.

    Raises:
        ShardError: As ``read_set``.
    """
    read_set(set_dir)
    text = (set_dir / SET_NAME).read_bytes()
    said = json.loads(text).get(_OWN_SHA256)
    if said is None:
        return True
    if not isinstance(said, str) or not re.fullmatch("[0-9a-f]{64}", said):
        return False
    without = _NO_SHA256.encode().join(text.rsplit(said.encode(), 1))
    return hashlib.sha256(without).hexdigest() == said


def read_set(set_dir: Path, *, inputs: bool = True) -> SetInfo:
    """Read ``sr-data.json`` of a set.

    Args:
        set_dir: The set's folder.
        inputs: Whether the clips that it was made of are wanted: of millions they are most of the file, and loading
            rows needs none of them.

    Raises:
        ShardError: The folder is not a finished set, or a newer version wrote it.
    """
    path = set_dir / SET_NAME
    try:
        text = path.read_bytes() if inputs else _without_inputs(path)
    except IsADirectoryError:
        raise ShardError(f"{path} is a folder, not the description of a shard set. Move it away.") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ShardError(f"{set_dir} is not a shard set: {_what_is_there(set_dir)}") from None
    try:
        return SetInfo.model_validate_json(text)
    except ValidationError as error:
        raise ShardError(_what_is_wrong(path, text, error)) from error


def _what_is_wrong(path: Path, text: bytes, error: ValidationError) -> str:
    try:
        version = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as unreadable:
        return f"{path} is not the description of a shard set ({unreadable}). Build the set again, or copy the file again."
    if version not in range(1, FORMAT_VERSION + 1):
        return f"{path} has format {version!r}; this sr-datasets reads up to {FORMAT_VERSION}. Install a newer sr-datasets."
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return (
        f"{path} does not say what format {version} says: {where}: {first['msg']}. Build the set again, or copy the file "
        "again."
    )


def _without_inputs(path: Path) -> bytes:
    """Return the file without its clips, of one that was written here; any other file as it is."""
    before, after = bytearray(), bytearray()
    searched = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            before += block
            if (at := before.find(_INPUTS, searched)) >= 0:
                break
            searched = max(0, len(before) - len(_INPUTS))
        else:
            return bytes(before)
        within = bytes(before[at + len(_INPUTS) - 1 :])
        while (end := within.find(_END_OF_LIST)) < 0:
            if not (block := file.read(_BLOCK_BYTES)):
                return bytes(before)  # it was cut off
            within = within[1 - len(_END_OF_LIST) :] + block
        after += within[end + len(_END_OF_LIST) :]
        after += file.read()
    return bytes(before[:at]) + _NO_INPUTS + bytes(after)


_BLOCK_BYTES = 4 << 20


def require_outside_sets(path: Path) -> None:
    """Make sure that a file or folder, to be written, lies in no set: outputs go elsewhere, whatever they are called.

    Links are followed. A set is a folder that has its description, or whose clips are being forgotten; its own
    folder's name is refused as well.

    Raises:
        ShardError: It lies in a set.
    """
    for lies in {path.absolute(), path.resolve(), path.parent.resolve() / path.name}:
        for folder in (lies, *lies.parents):
            if (folder / SET_NAME).is_file() or (folder / FORGETTING_NAME).is_file():
                raise ShardError(
                    f"{path} lies in the set {folder}, which holds its own files only. Nothing was written: name a place "
                    "outside of it."
                )


def _what_is_there(set_dir: Path) -> str:
    if not set_dir.exists():
        return "there is no such folder. Build one with: sr-data build-pairs RECIPE --out " + str(set_dir)
    if not set_dir.is_dir():
        return f"it is a file. Name the folder that holds {SET_NAME}."
    if (set_dir / FORGETTING_NAME).exists():
        return "`sr-data forget` was interrupted in it. Run it again to end it."
    if parts := _parts_under_way(set_dir):
        return parts
    if any((set_dir / DATA_DIR).glob("*.parquet")):
        return (
            f"it has shards in {DATA_DIR}/ but no {SET_NAME}, so its build did not finish. "
            "Run the same sr-data build-pairs command again."
        )
    if (set_dir.parent / SET_NAME).is_file():
        return f"{SET_NAME} lies one folder up. Name {set_dir.parent}."
    return f"it has no {SET_NAME}. Build a set with: sr-data build-pairs RECIPE --out DIR"


def _parts_under_way(set_dir: Path) -> str:
    """Say which parts of a build in parts are missing; nothing of other builds."""
    try:
        state = BuildState.model_validate_json((set_dir / STATE_NAME).read_bytes())
    except (OSError, ValidationError):
        return ""
    return (
        build_under_way(state, {path.name for path in (set_dir / PARTS_DIR).glob("*.parquet")})
        if state.parts
        else ""
    )


def build_under_way(state: BuildState, there: Collection[str]) -> str:
    """Say how far a build with receipts is, and how to finish it.

    Args:
        state: What its ``.build.json`` says.
        there: The shards that have a receipt.
    """
    counts, count = state.shards, state.parts
    shards = [shard_name(split, k, counts[split]) for split in sorted(counts) for k in range(counts[split])]
    said = f"its build is in {count} parts, and {len(there)} of {len(shards)} shards are there."
    if count == 1:
        return (
            f"its build has not finished, and {len(there)} of {len(shards)} shards are there. Unless it is running, run the same "
            "sr-data build-pairs command again."
        )
    if missing := missing_parts(shards, there, count):
        listed = ", ".join(map(str, missing[:_MOST_PARTS])) + (" ..." if len(missing) > _MOST_PARTS else "")
        return (
            f"{said} Not finished: {len(missing)} of the parts ({listed}). Run these with --part I/{count}, unless they are "
            "running; the last one to end finishes the set."
        )
    return f"{said} Run the same sr-data build-pairs command again without --part, which finishes the set."


_MOST_PARTS = 20
