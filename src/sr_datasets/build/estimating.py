"""What a build would write, and about how long it would take, without writing it."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from sr_datasets.build.checking import check_degradation
from sr_datasets.build.choosing import choose_pairs
from sr_datasets.build.cutting import iter_groups
from sr_datasets.build.planning import PairPlan, pairs_by_split
from sr_datasets.build.provided import with_lr
from sr_datasets.built import RecipeLock
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import Recipe
from sr_datasets.shards.schema import shape_of_row
from sr_datasets.store import Store

_MOST_KINDS = 4


@dataclass(frozen=True, slots=True)
class BuildEstimate:
    """What a build would make."""

    pairs: dict[str, int]
    """Clips of each split."""
    num_rows: int
    """Patch pairs."""
    num_shards: int
    """Files in ``data/``."""
    size_bytes: int
    """Bytes of pixels as they are: of ``storage: raw`` the files are about 1 % larger, of the others smaller."""
    seconds: float
    """Guessed: clips of each of up to four kinds (codec and size) were cut for it, and nothing was kept."""
    num_tried: int
    """Clips that were cut for the guess."""

    def to_json(self) -> dict[str, object]:
        """Return the estimate as plain JSON values."""
        return {
            "pairs": self.pairs,
            "rows": self.num_rows,
            "shards": self.num_shards,
            "size_bytes": self.size_bytes,
            "seconds_guessed": round(self.seconds, 1),
            "clips_tried": self.num_tried,
        }


def estimate_build(
    recipe: Recipe,
    *,
    store: Store,
    workers: int = 1,
    lock: RecipeLock | None = None,
    progress: Progress | None = None,
) -> BuildEstimate:
    """Say what ``build_pairs`` would write, and guess its time by cutting one clip of each kind.

    Raises:
        BuildError: As ``choose_pairs``.
        StoreError: As ``choose_pairs``.
        DecodeError: A clip that was tried cannot be read.
    """
    progress = progress or Silent()
    chosen = choose_pairs(recipe, store, lock=lock, workers=workers, progress=progress)
    pairs = with_lr(recipe, chosen.pairs, store)
    check_degradation(recipe, pairs)
    by_kind: dict[tuple[str, int, int], list[PairPlan]] = defaultdict(list)
    for pair in pairs:
        info = pair.record.info
        by_kind[info.codec, info.width, info.height].append(pair)
    largest = sorted(by_kind.values(), key=len, reverse=True)
    tried: list[tuple[float, int]] = []  # seconds and rows
    row_bytes = 0
    with progress.bar("trying clips", total=min(len(largest), _MOST_KINDS), unit="clips") as bar:
        for kind in largest[:_MOST_KINDS]:
            pair = kind[len(kind) // 2]
            start = perf_counter()
            for rows in iter_groups(recipe, pair, store):
                shape = shape_of_row(rows[0])
                row_bytes = shape.lr_bytes + shape.hr_bytes + 8
            tried.append((perf_counter() - start, pair.num_rows))
            bar.advance(1)
    # Kinds that were not tried are guessed to cost what the tried ones do, row by row.
    pace = sum(seconds for seconds, _ in tried) / sum(rows for _, rows in tried)
    seconds = sum(
        seconds / rows * sum(pair.num_rows for pair in kind)
        for (seconds, rows), kind in zip(tried, largest, strict=False)
    ) + pace * sum(pair.num_rows for kind in largest[_MOST_KINDS:] for pair in kind)
    num_rows = sum(pair.num_rows for pair in pairs)
    return BuildEstimate(
        pairs=pairs_by_split(pairs),
        num_rows=num_rows,
        num_shards=_num_shards(recipe, pairs),
        size_bytes=num_rows * row_bytes,
        seconds=seconds / min(workers, _num_shards(recipe, pairs), os.cpu_count() or 1),
        num_tried=len(tried),
    )


def _num_shards(recipe: Recipe, pairs: Sequence[PairPlan]) -> int:
    return sum(-(-count // recipe.clips_per_shard) for count in pairs_by_split(pairs).values())
