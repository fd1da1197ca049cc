"""A set wherever it lies: its folder of small files, and the readers of its shards."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sr_datasets.remotes import is_address
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.sets import DATA_DIR

if TYPE_CHECKING:
    from sr_datasets.shards.remote import RemoteSet

SetPlace: TypeAlias = "Path | RemoteSet"
"""The folder of a set of this machine, or a set behind an address."""


def set_place(text: str | Path) -> SetPlace:
    """Return where a set lies that a user names by a path or an address.

    Raises:
        RemoteError: The place cannot be reached or refuses.
        ShardError: Behind the address is no finished set.
    """
    if not is_address(text):
        return Path(text)
    from sr_datasets.shards.remote import RemoteSet  # only who reads from afar waits for it

    return RemoteSet(str(text))


def folder_of(place: SetPlace) -> Path:
    """Return a folder of this machine with the set's ``sr-data.json`` and ``index.parquet``."""
    return place if isinstance(place, Path) else place.folder


def shard_reader(place: SetPlace, name: str) -> ShardReader:
    """Return a reader of a shard by its file name.

    Raises:
        ShardError: A set behind an address has no such shard.
    """
    return ShardReader(place / DATA_DIR / name) if isinstance(place, Path) else place.shard(name)


def bringing(place: SetPlace, groups: Sequence[tuple[str, int]]) -> Generator[None, None, None]:
    """Yield once for each row group (shard and number), when it can be read; as ``RemoteSet.bringing``."""
    if isinstance(place, Path):
        yield from (None for _ in groups)
    else:
        yield from place.bringing(groups)
