"""What a shard set says of itself, and whether its files are whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_datasets.inspect.concerns import Concern, find_concerns
from sr_datasets.inspect.contents import SetContents, count_rows
from sr_datasets.inspect.described import text_of
from sr_datasets.inspect.measuring import known_measures
from sr_datasets.inspect.provenance import origins
from sr_datasets.inspect.rows import read_index
from sr_datasets.remotes import is_address
from sr_datasets.shards.remote import RemoteSet
from sr_datasets.shards.sets import DATA_DIR, SetInfo, read_set
from sr_datasets.shards.verify import damage_error, verify_set
from sr_datasets.terms import Obligation, licenses_of, obligations

HASH_BELOW_BYTES = 2 << 30
"""Sets smaller than this are hashed whole at every look: it takes seconds."""


@dataclass(frozen=True, slots=True)
class SetReport:
    """What there is to say of a set."""

    path: str
    """The set's folder, or its address."""
    info: SetInfo
    """Its own description."""
    contents: SetContents
    """What its rows are, counted."""
    obligations: tuple[Obligation, ...]
    """What the licences of its clips ask for, as the catalog has them now."""
    concerns: tuple[Concern, ...]
    """What to know before training on it, warnings first, as far as it shows without reading pixels."""
    measured: bool
    """Whether its pixels were measured before, so that flat patches and duplicates are among the concerns."""
    checked: str
    """``sha256`` when every shard was hashed, else ``size``."""

    @property
    def pairs(self) -> dict[str, int]:
        """Clips of each split."""
        return self.contents.clips_by("split")

    @property
    def sources(self) -> dict[str, dict[str, int]]:
        """Clips (``pairs``) and ``rows`` of each source."""
        rows = self.contents.rows_by("source")
        return {
            source: {"pairs": clips, "rows": rows[source]}
            for source, clips in self.contents.clips_by("source").items()
        }

    @property
    def size_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size_bytes for shard in self.info.shards)

    @property
    def storage(self) -> str:
        """How pixels are stored."""
        return str(self.info.recipe.get("storage", "raw"))

    def num_shards(self, split: str) -> int:
        """Return the shards of a split."""
        return sum(shard.split == split for shard in self.info.shards)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "path": self.path,
            "format": self.info.format,
            "recipe": self.info.recipe,
            "rows": self.info.rows,
            "pairs": sum(self.pairs.values()),
            "shards": len(self.info.shards),
            "row_groups": sum(shard.groups for shard in self.info.shards),
            "storage": self.storage,
            "size_bytes": self.size_bytes,
            "pixel_bytes": sum(part.pixel_bytes for part in self.contents.parts),
            "content_digest": self.info.content_digest,
            "splits": {
                split: {"pairs": self.pairs[split], "rows": rows, "shards": self.num_shards(split)}
                for split, rows in self.info.splits.items()
            },
            "sources": self.sources,
            **self.contents.to_json(),
            "obligations": [one.to_json() for one in self.obligations],
            "concerns": [one.to_json() for one in self.concerns],
            "measured": self.measured,
            "skipped": [clip.model_dump() for clip in self.info.skipped],
            "checked": self.checked,
            "packages": self.info.packages,
        }

    def to_text(self) -> str:
        """Return the report as text of at most 80 columns."""
        return text_of(self)


def inspect_set(path: Path | str, *, verify: bool = False) -> SetReport:
    """Look at a set: its description, its index, and whether every shard is whole.

    Shards of sets under 2 GiB are always hashed; those of larger ones when ``verify`` says so. Of a set behind an
    address, sizes are looked at, and shards are read and hashed when ``verify`` says so.

    Args:
        path: The set's folder, or an address such as ``s3://bucket/set``.
        verify: Whether to hash every shard.

    Raises:
        ShardError: There is no set, or files of it are missing, truncated or altered; the message names each with what
            is wrong.
        RemoteError: The place cannot be reached or refuses.
    """
    if is_address(path):
        remote = RemoteSet(str(path))
        folder, hashed = remote.folder, verify
        problems = remote.verify() if hashed else remote.wrong_sizes()
        shown = str(remote)
    else:
        folder, shown = Path(path), str(path)
        hashed = verify or sum(shard.size_bytes for shard in read_set(folder).shards) < HASH_BELOW_BYTES
        problems = verify_set(folder) if hashed else _wrong_sizes(folder, read_set(folder))
    if problems:
        raise damage_error(shown, problems)
    info, index = read_set(folder), read_index(folder)
    contents = count_rows(index)
    measures = known_measures(folder)
    return SetReport(
        path=shown,
        info=info,
        contents=contents,
        obligations=tuple(obligations(licenses_of(contents.clips))),
        concerns=tuple(
            one for one in find_concerns(info, index, measures, origins(info, index)) if one.kind != "leaks"
        ),
        measured=measures is not None,
        checked="sha256" if hashed else "size",
    )


def _wrong_sizes(path: Path, info: SetInfo) -> list[str]:
    problems = []
    for shard in info.shards:
        file = path / DATA_DIR / shard.name
        found = file.stat().st_size if file.is_file() else None
        if found is None:
            problems.append(f"{file}: the file is missing")
        elif found != shard.size_bytes:
            problems.append(f"{file}: has {found} bytes, sr-data.json says {shard.size_bytes}")
    return problems
