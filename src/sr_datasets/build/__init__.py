"""From a recipe to shards: choose clips, plan rows, one task per shard, then the index. Reads top to bottom.

A build is a pure function of the recipe and of the clips' bytes. Nothing of the run itself (time, folder,
host, workers) reaches a shard, so that any number of workers, on any day, writes the same bytes.
"""

import errno
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

from sr_datasets.build.checking import check_degradation, unpublished_scale
from sr_datasets.build.choosing import Chosen, choose_pairs
from sr_datasets.build.cutting import ShardResult, build_shard, iter_groups
from sr_datasets.build.estimating import BuildEstimate, estimate_build
from sr_datasets.build.folder import (
    REPORT_NAME,
    STATE_NAME,
    finished,
    inputs_of,
    locked_folder,
    own_folder,
)
from sr_datasets.build.packages import packages_of
from sr_datasets.build.planning import (
    PairPlan,
    ShardTask,
    pairs_by_split,
    plan_digest,
    plan_rows,
    plan_shards,
    some,
)
from sr_datasets.build.provided import with_lr
from sr_datasets.build.rederiving import RederiveReport, rederive_set
from sr_datasets.built import (
    RECIPES_NAME,
    LockedClip,
    RecipeLock,
    lock_recipe,
    recipe_locks,
    register_set,
)
from sr_datasets.card import write_card
from sr_datasets.engine import run_tasks
from sr_datasets.errors import BuildError, StoreError
from sr_datasets.files import disk_errors, write_atomic
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import Recipe
from sr_datasets.shards.sets import (
    SkippedInput,
    describe_set,
    write_index,
    write_set_json,
)
from sr_datasets.store import Store
from sr_datasets.video import guessed_facts, refuse_interlaced, with_declared

__all__ = [
    "REPORT_NAME",
    "STATE_NAME",
    "BuildEstimate",
    "BuildReport",
    "Chosen",
    "PairPlan",
    "RederiveReport",
    "ShardTask",
    "build_pairs",
    "build_shard",
    "choose_pairs",
    "estimate_build",
    "iter_groups",
    "locked_folder",
    "plan_digest",
    "plan_rows",
    "plan_shards",
    "rederive_set",
]

_logger = logging.getLogger(__name__)

_MOST_LISTED = 10


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build made."""

    out_dir: Path
    """The set's folder."""
    pairs: dict[str, int]
    """Clips of each split."""
    num_rows: int
    """Patch pairs."""
    num_shards: int
    """Files in ``data/``."""
    num_reused: int
    """Shards that an earlier run had finished."""
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


def build_pairs(
    recipe: Recipe,
    *,
    out_dir: Path,
    store: Store,
    workers: int = 1,
    lock: RecipeLock | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    strict_color: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Degrade the clips of a recipe and write its shards, index and card into a folder.

    Shards that an earlier, interrupted run of the same build finished are kept. Every file appears
    whole or not at all, and ``sr-data.json``, which makes the folder a set, is written last. The store
    notes the folder, and in ``recipes.lock`` the list of clips that was taken.

    Args:
        recipe: What to build.
        out_dir: The set's folder; made if missing, refused if it holds anything but this build.
        store: Where the clips lie.
        workers: Processes; any number writes the same bytes.
        lock: The list of clips to take, each with these bytes, in place of what the recipe would choose.
        on_error: What a clip that cannot be read does: end the build, or be left out and listed.
        strict_color: Refuse clips of which a colour fact is guessed.
        progress: Where to report, silent by default.

    Raises:
        BuildError: A clip is too small or too short, the folder holds something else, or the list of ``lock``
            cannot be had.
        StoreError: A clip is missing, or its file was changed since it was verified.
        DecodeError: A clip cannot be read.
    """
    progress = progress or Silent()
    start = perf_counter()
    chosen = choose_pairs(recipe, store, lock=lock, workers=workers, on_error=on_error, progress=progress)
    pairs = with_lr(recipe, chosen.pairs, store)
    check_degradation(recipe, pairs)
    _check_facts(recipe, pairs, store, strict_color=strict_color, on_error=on_error)
    if warning := unpublished_scale(recipe):
        progress.log(f"{recipe.id}: {warning}")
    spoilt = [pair.name for pair in pairs if pair.clip.pristine == "no"]
    if spoilt and recipe.hr.downscale == 1:
        progress.log(
            f"{recipe.id}: {len(spoilt)} clips are not pristine ({some(spoilt)}): their coding and noise become HR "
            "detail, unless the recipe says hr: {downscale: 2}"
        )
    tasks = plan_shards(recipe, pairs, out_dir=out_dir, store=store, on_error=on_error)
    with disk_errors(f"building into {out_dir}", out_dir), own_folder(recipe, pairs, tasks, out_dir):
        _register(recipe, pairs, out_dir, store)
        results = {task.name: result for task in tasks if (result := finished(task)) is not None}
        todo = [task for task in tasks if task.name not in results]
        num_reused = len(results)
        with progress.bar(
            f"building {recipe.id}", total=sum(task.num_rows for task in tasks), unit="rows"
        ) as bar:
            there = [task for task in tasks if task.name in results]
            num_clips = sum(len(task.pairs) for task in there)
            bar.advance(sum(task.num_rows for task in there), present=True)
            for task, result in run_tasks(build_shard, todo, workers=workers):
                results[task.name] = result
                bar.advance(task.num_rows)
                num_clips += len(task.pairs)
                bar.note(f"{num_clips} of {len(pairs)} clips")
                for clip in result.skipped:
                    progress.log(f"left out: {clip.source}/{clip.clip}: {clip.reason}")
        in_order = [results[task.name].summary for task in tasks]
        failed = tuple(clip for task in tasks for clip in results[task.name].skipped)
        names = {(clip.source, clip.clip) for clip in failed}
        if len(names) == len(pairs):
            raise BuildError(
                f"recipe {recipe.id}: none of its {len(pairs)} clips can be read. {failed[0].reason}"
            )
        info = describe_set(
            recipe=recipe.model_dump(mode="json"),
            shards=in_order,
            index=write_index(out_dir, in_order),
            inputs=[clip for clip in inputs_of(pairs) if (clip.source, clip.clip) not in names],
            skipped=[*chosen.skipped, *failed],
            packages=packages_of(recipe),
        )
        report = BuildReport(
            out_dir=out_dir,
            pairs=pairs_by_split(
                [pair for pair in pairs if (pair.record.source, pair.record.clip) not in names]
            ),
            num_rows=info.rows,
            num_shards=len(in_order),
            num_reused=num_reused,
            size_bytes=sum(summary.size_bytes for summary in in_order),
            content_digest=info.content_digest,
            skipped=chosen.skipped,
            failed=failed,
            asked=recipe.limit,
            seconds=_seconds(results.values(), wall=perf_counter() - start),
        )
        write_card(out_dir, info)
        text = {"recipe": recipe.id, "workers": workers, "packages": info.packages, **report.to_json()}
        write_atomic(out_dir / REPORT_NAME, (json.dumps(text, indent=1) + "\n").encode())
        write_set_json(out_dir, info)
    _lock_list(recipe, pairs, store, progress)
    return report


def _check_facts(
    recipe: Recipe,
    pairs: Sequence[PairPlan],
    store: Store,
    *,
    strict_color: bool,
    on_error: Literal["fail", "skip"],
) -> None:
    """Refuse clips that are interlaced, or of which a fact is guessed, before anything is made.

    Where clips that fail are left out, their shards leave the interlaced ones out.
    """
    problems = []
    for pair in pairs:
        info = with_declared(pair.record.info, pair.clip)
        if recipe.interlaced == "refuse" and on_error == "fail":
            refuse_interlaced(store.path_of(pair.record), info)
        if strict_color:
            guesses = guessed_facts(info, recipe.color, rgb_from_yuv=recipe.rgb_from_yuv)
            problems += [f"{pair.name}: {guess}" for guess in guesses]
    if problems:
        listed = "\n  ".join(problems[:_MOST_LISTED])
        more = f"\n  and {len(problems) - _MOST_LISTED} more" if len(problems) > _MOST_LISTED else ""
        raise BuildError(
            f"recipe {recipe.id}: {len(problems)} facts are guessed, and --strict-color refuses to guess:\n  {listed}{more}"
        )


def _seconds(results: Iterable[ShardResult], *, wall: float) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for result in results:
        for stage, seconds in result.seconds.items():
            total[stage] += seconds
    return {**dict(sorted(total.items())), "wall": wall}


def _register(recipe: Recipe, pairs: Sequence[PairPlan], out_dir: Path, store: Store) -> None:
    """Note the folder in the store, so that ``sr-data forget`` finds what is derived of a clip."""
    names = [pair.name for pair in pairs] + [pair.lr.name for pair in pairs if pair.lr is not None]
    with _unless_read_only(store, f"sr-data forget will not find {out_dir}"):
        register_set(store, out_dir, recipe.id, names)
    # Who forgets takes the records out first and reads the register then: one of the two sees the other.
    for pair in pairs:
        here = store.find(pair.record.source, pair.record.clip)
        if here is None or here.sha256 != pair.record.sha256:
            raise StoreError(
                f"{pair.record.source}/{pair.record.clip} was forgotten or replaced a moment ago. Run the build again."
            )


def _lock_list(recipe: Recipe, pairs: Sequence[PairPlan], store: Store, progress: Progress) -> None:
    """Write down which clips the recipe took."""
    clips = [
        LockedClip(
            source=pair.record.source, clip=pair.record.clip, split=pair.split, sha256=pair.record.sha256
        )
        for pair in pairs
    ]
    path = store.root / RECIPES_NAME
    before = recipe_locks(path).get(recipe.id)
    if before is not None and before.clips != tuple(clips):
        old, new = set(before.clips), set(clips)
        progress.log(
            f"{recipe.id}: another list of clips than in the last build from this store ({len(new - old)} new, "
            f"{len(old - new)} not taken again); {path} has the new one"
        )
    with _unless_read_only(store, f"the list of clips of {recipe.id} is not locked"):
        lock_recipe(store, recipe, clips)


@contextmanager
def _unless_read_only(store: Store, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        _logger.warning("the store %s cannot be written (%s): %s", store.root, error.strerror, what)
