"""Download plans of YouTube-8M: which shards there are, their MD5, and their order for a seed.

A shard's remote name ends in two characters of a-z, A-Z and 0-9, and upper and lower case differ: ``trainaB`` and
``trainAb`` would be one file on a disk without case. Here, as in the publisher's own script, the local name has the
place of the two characters in that order, in four digits: ``train0027.tfrecord``.
"""

import json
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sr_datasets.errors import FetchError
from sr_datasets.keys import digest_of

_CHARACTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits
_SHARD = re.compile(r"(?P<part>train|validate|test)(?P<a>[A-Za-z0-9])(?P<b>[A-Za-z0-9])\.tfrecord")
_MD5 = re.compile(r"[0-9a-f]{32}")
_MAX_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of video-level records."""

    name: str
    """As the publisher calls it, such as ``trainaB.tfrecord``."""
    md5: str
    """As the download plan has it."""

    @property
    def local_name(self) -> str:
        """The name on any disk.

        Example:
            >>> Shard("trainaB.tfrecord", "0" * 32).local_name
            'train0027.tfrecord'
        """
        parts = _SHARD.fullmatch(self.name)
        assert parts is not None  # read_plan has looked
        number = len(_CHARACTERS) * _CHARACTERS.index(parts["a"]) + _CHARACTERS.index(parts["b"])
        return f"{parts['part']}{number:04d}.tfrecord"


def read_plan(path: Path, part: str) -> list[Shard]:
    """Read a download plan: ``{"files": {name: md5}}``.

    Args:
        path: The JSON file.
        part: ``train``, ``validate`` or ``test``; every shard must be of it.

    Raises:
        FetchError: It is no download plan, or names what cannot be a shard.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise FetchError(f"{path}: has {path.stat().st_size} bytes, expected a download plan of 230 kB")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FetchError(f"{path}: is not JSON: {error}. Delete it, and it is fetched again.") from error
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not files:
        raise FetchError(f'{path}: is no download plan: expected {{"files": {{name: md5}}}}')
    shards = []
    for name, md5 in files.items():
        parts = _SHARD.fullmatch(name)
        if parts is None or parts["part"] != part:
            raise FetchError(f"{path}: lists {name!r}, expected names such as {part}aB.tfrecord")
        if not isinstance(md5, str) or not _MD5.fullmatch(md5.lower()):
            raise FetchError(f"{path}: says that {name} has the MD5 {md5!r}, expected 32 hexadecimal digits")
        shards.append(Shard(name, md5.lower()))
    return shards


def in_keyed_order(names: Iterable[str], *key: str | int) -> list[str]:
    """Return names in the order of the SHA-256 of the key and each: shuffled, the same on every machine.

    Whatever a source adds or loses, the others keep their order.

    Example:
        >>> in_keyed_order(["a", "b", "c", "d"], "shards", 1)
        ['b', 'c', 'd', 'a']
    """
    return sorted(set(names), key=lambda name: (digest_of("youtube-1", *key, name), name))
