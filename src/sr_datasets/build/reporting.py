"""What a build made: the description of its set, and the report of its run."""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sr_datasets.build.cutting import ShardResult
from sr_datasets.build.folder import inputs_of
from sr_datasets.build.makers import described, is_of_a_build
from sr_datasets.build.packages import packages_of
from sr_datasets.build.planning import PairPlan, Part, ShardTask
from sr_datasets.card import CARD_NAME, CROISSANT_NAME, write_card
from sr_datasets.engine import RayCluster, Workers
from sr_datasets.errors import BuildError
from sr_datasets.files import write_atomic
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import Place
from sr_datasets.shards.sets import (
    REPORT_NAME,
    FileInfo,
    SetInfo,
    SkippedInput,
    describe_set,
    write_set_json,
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build made."""

    out_dir: Path | str
    """The set's folder, or its address without passwords."""
    pairs: dict[str, int]
    """Clips of each split."""
    num_rows: int
    """Patch pairs."""
    num_shards: int
    """Files in ``data/``."""
    num_reused: int
    """Shards that an earlier run, or another part, had finished."""
    size_bytes: int
    """Bytes of all shards."""
    content_digest: str
    """The set's name by content: row ids, pixels and draws (docs/shards.md)."""
    skipped: tuple[SkippedInput, ...]
    """Clips of the store that the recipe names and does not take, each with the reason."""
    failed: tuple[SkippedInput, ...]
    """Clips that could not be read and were left out, each with the reason."""
    asked: int | None
    """Clips that the recipe would take if they were here."""
    seconds: dict[str, float]
    """Seconds by stage, over all workers (``read`` or ``decode``, ``degrade``, ``write``), and ``wall``."""

    def to_json(self) -> dict[str, object]:
        """Return the report as plain JSON values."""
        return {
            "pairs": self.pairs,
            "rows": self.num_rows,
            "shards": self.num_shards,
            "shards_reused": self.num_reused,
            "size_bytes": self.size_bytes,
            "content_digest": self.content_digest,
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "failed": [clip.model_dump() for clip in self.failed],
            "skipped": [clip.model_dump() for clip in self.skipped],
        }


@dataclass(frozen=True, slots=True)
class PartReport:
    """What a job that builds a part of a set made."""

    part: Part
    """Which part."""
    out_dir: Path | str
    """The set's folder, or its address without passwords."""
    num_shards: int
    """Shards of the part."""
    num_rows: int
    """Their rows."""
    num_reused: int
    """How many of the shards an earlier job had finished."""
    missing: tuple[int, ...] = ()
    """Numbers of the parts that are not finished."""
    failed: tuple[SkippedInput, ...] = ()
    """Clips of the part that could not be read and were left out, each with the reason."""
    built: BuildReport | None = field(default=None)
    """The whole set, when no part is missing."""

    def to_json(self) -> dict[str, object]:
        """Return the report as plain JSON values."""
        return {
            "part": str(self.part),
            "shards": self.num_shards,
            "rows": self.num_rows,
            "shards_reused": self.num_reused,
            "missing": list(self.missing),
            "failed": [clip.model_dump() for clip in self.failed],
            "set": None if self.built is None else self.built.to_json(),
        }


def describe_build(
    recipe: Recipe,
    pairs: Sequence[PairPlan],
    tasks: Sequence[ShardTask],
    results: Mapping[str, ShardResult],
    index: FileInfo,
    skipped: Sequence[SkippedInput],
) -> SetInfo:
    """Say what a build's set is, when all of its shards are made.

    Args:
        recipe: What was built.
        pairs: Its clips.
        tasks: Every shard.
        results: What was made, by file name of the shard.
        index: The index of all of them.
        skipped: Clips that the recipe did not take.

    Raises:
        BuildError: No clip gave a row.
    """
    failed = _failed(tasks, results)
    names = {(clip.source, clip.clip) for clip in failed}
    if len(names) == len(pairs):
        raise BuildError(
            f"recipe {recipe.id}: none of its {len(pairs)} clips can be read. {failed[0].reason}"
        )
    return describe_set(
        recipe=recipe.model_dump(mode="json"),
        shards=[results[task.name].summary for task in tasks],
        index=index,
        inputs=[clip for clip in inputs_of(pairs) if (clip.source, clip.clip) not in names],
        skipped=[*skipped, *failed],
        packages=packages_of(recipe),
    )


def report_of(
    info: SetInfo,
    recipe: Recipe,
    out_dir: Path | str,
    skipped: Sequence[SkippedInput],
    *,
    num_reused: int,
    seconds: Mapping[str, float],
) -> BuildReport:
    """Return the report of a run that ended with a finished set.

    Args:
        info: What the set is.
        recipe: What was built.
        out_dir: Where it is.
        skipped: Clips that the recipe did not take.
        num_reused: Shards that were there before.
        seconds: By stage, and ``wall``.
    """
    not_taken = {(clip.source, clip.clip) for clip in skipped}
    pairs: defaultdict[str, int] = defaultdict(int)
    for clip in info.inputs:
        pairs[clip.split] += 1
    return BuildReport(
        out_dir=out_dir,
        pairs=dict(sorted(pairs.items())),
        num_rows=info.rows,
        num_shards=len(info.shards),
        num_reused=num_reused,
        size_bytes=sum(shard.size_bytes for shard in info.shards),
        content_digest=info.content_digest,
        skipped=tuple(skipped),
        failed=tuple(clip for clip in info.skipped if (clip.source, clip.clip) not in not_taken),
        asked=recipe.limit,
        seconds=dict(seconds),
    )


def write_descriptions(folder: Path, info: SetInfo, report: BuildReport, workers: Workers) -> None:
    """Write the cards, the report, and last ``sr-data.json`` into a folder that has the index.

    Cards of this very set stay as they are: whoever publishes it may have added to them. Of a set that has changed since, such
    as by a clip that was left out before, those stay that were edited.
    """
    keep = [CARD_NAME, CROISSANT_NAME]
    if described(Place(folder)) != info:
        keep = [name for name in keep if not is_of_a_build(Place(folder), name)]
        if keep:
            _logger.warning(
                "%s: %s: not as this version writes it: edited, or of an earlier version, so it stays, and tells of the set as "
                "it was. Move it away and run the same command again for a new one.",
                folder,
                " and ".join(keep),
            )
    write_card(folder, info, keep=keep)
    text = {
        "recipe": info.recipe["id"],
        "workers": "ray" if isinstance(workers, RayCluster) else workers,
        "packages": info.packages,
        **report.to_json(),
    }
    write_atomic(folder / REPORT_NAME, (json.dumps(text, indent=1) + "\n").encode())
    write_set_json(folder, info)


def sum_of_seconds(results: Iterable[ShardResult], *, wall: float) -> dict[str, float]:
    """Add up the seconds of shards by stage, and put those of the run beside."""
    total: defaultdict[str, float] = defaultdict(float)
    for result in results:
        for stage, seconds in result.seconds.items():
            total[stage] += seconds
    return {**dict(sorted(total.items())), "wall": wall}


def _failed(tasks: Sequence[ShardTask], results: Mapping[str, ShardResult]) -> list[SkippedInput]:
    return [clip for task in tasks for clip in results[task.name].skipped]
