"""What a set's card says: gathered from ``sr-data.json``, the index and the catalog, the same on every machine."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sr_datasets import catalog
from sr_datasets.errors import ShardError, SrDataError
from sr_datasets.manifest import Citation, License
from sr_datasets.shards.reader import small_parquet
from sr_datasets.shards.schema import SHAPE_COLUMNS
from sr_datasets.shards.sets import INDEX_NAME, SetInfo
from sr_datasets.terms import Obligation, licenses_of, obligations


@dataclass(frozen=True, slots=True)
class SourceCard:
    """What a card says of one source."""

    id: str
    """Source id."""
    title: str
    """Its name for people; the id when the catalog lacks it."""
    homepage: str
    """The publisher's page, or empty."""
    pairs: int
    """Clips of it."""
    rows: int
    """Rows made of them."""
    licenses: tuple[tuple[License, int], ...]
    """Each licence of its clips, and how many clips have it."""
    citation: Citation | None
    """How to cite it; None when the catalog lacks it."""


@dataclass(frozen=True, slots=True)
class SplitCard:
    """What a card says of one split."""

    name: str
    """Its name."""
    pairs: int
    """Clips."""
    rows: int
    """Rows."""
    shards: int
    """Files."""
    size_bytes: int
    """Bytes of those files."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that the card of a set says."""

    info: SetInfo
    """What ``sr-data.json`` says."""
    splits: tuple[SplitCard, ...]
    """Splits by name."""
    sources: tuple[SourceCard, ...]
    """Sources in order of selection; those of the publishers' own LR last."""
    shapes: tuple[dict[str, int], ...]
    """Each shape and depth of rows (``SHAPE_COLUMNS``), with its number of ``rows``."""
    obligations: tuple[Obligation, ...]
    """What the licences ask for."""


def gather(set_dir: Path, info: SetInfo) -> CardFacts:
    """Collect what the card of a set says.

    Args:
        set_dir: Its folder; the index must be there.
        info: What ``sr-data.json`` says, or will say.

    Raises:
        ShardError: The index cannot be read.
    """
    rows, kinds = _counts(set_dir / INDEX_NAME)
    shapes = [{**dict(zip(SHAPE_COLUMNS, kind, strict=True)), "rows": count} for kind, count in kinds.items()]
    names = [(clip.source, clip.clip) for clip in info.inputs]
    names += [(clip.lr.source, clip.lr.clip) for clip in info.inputs if clip.lr is not None]
    licenses = licenses_of(names)
    pairs = Counter(clip.split for clip in info.inputs)
    return CardFacts(
        info=info,
        splits=tuple(_split(info, name, pairs[name]) for name in sorted({*info.splits, *pairs})),
        sources=tuple(
            _source(source, names, licenses, rows[source])
            for source in dict.fromkeys(source for source, _ in names)
        ),
        shapes=tuple(
            sorted(shapes, key=lambda kind: (-kind["rows"], *(kind[name] for name in SHAPE_COLUMNS)))
        ),
        obligations=tuple(obligations(licenses)),
    )


def _counts(path: Path) -> tuple[Counter[str], Counter[tuple[Any, ...]]]:
    """Return the rows of each source, and of each shape; the index is read a piece at a time."""
    rows: Counter[str] = Counter()
    kinds: Counter[tuple[Any, ...]] = Counter()
    columns = ["source", *SHAPE_COLUMNS]
    try:
        with small_parquet(path, columns) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=columns, use_threads=False)
                found = table.group_by(columns, use_threads=False).aggregate([([], "count_all")])
                for line in found.to_pylist():
                    rows[line["source"]] += line["count_all"]
                    kinds[tuple(line[name] for name in SHAPE_COLUMNS)] += line["count_all"]
    except (OSError, pa.ArrowException) as error:
        raise ShardError(f"{path} cannot be read: {error}. Build the set again.") from error
    return rows, kinds


def _split(info: SetInfo, name: str, pairs: int) -> SplitCard:
    shards = [shard for shard in info.shards if shard.split == name]
    return SplitCard(
        name=name,
        pairs=pairs,
        rows=sum(shard.rows for shard in shards),
        shards=len(shards),
        size_bytes=sum(shard.size_bytes for shard in shards),
    )


def _with_counts(licenses: Sequence[License]) -> tuple[tuple[License, int], ...]:
    """Return one licence of each name, and how many are equal to it."""
    counts = Counter(licenses)
    return tuple((license, counts[license]) for license in {one.name: one for one in licenses}.values())


def _source(
    source_id: str, names: Sequence[tuple[str, str]], licenses: Sequence[License], rows: int
) -> SourceCard:
    own = [license for (source, _), license in zip(names, licenses, strict=True) if source == source_id]
    distinct = _with_counts(own)
    try:
        known: Any = catalog.find_source(source_id)
    except SrDataError:
        return SourceCard(source_id, source_id, "", len(own), rows, distinct, None)
    return SourceCard(source_id, known.title, known.homepage or "", len(own), rows, distinct, known.citation)
