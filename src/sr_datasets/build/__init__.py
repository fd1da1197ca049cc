"""From a recipe to shards: choose clips, plan rows, one task per shard, then the index. Reads top to bottom.

A build is a pure function of the recipe and of the clips' bytes. Nothing of the run itself (time, folder,
host, workers) reaches a shard, so that any number of workers, on any day, writes the same bytes.
"""

import errno
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Literal

from sr_datasets.build.checking import check_degradation, unpublished_scale
from sr_datasets.build.choosing import Chosen, choose_pairs
from sr_datasets.build.cutting import build_shard, iter_groups
from sr_datasets.build.elsewhere import on_workers, require_shared
from sr_datasets.build.estimating import BuildEstimate, estimate_build
from sr_datasets.build.folder import (
    LOCK_NAME,
    finished,
    locked_folder,
    own_folder,
)
from sr_datasets.build.makers import tell_makers
from sr_datasets.build.parts import PartBuild, run_part
from sr_datasets.build.planning import (
    WHOLE,
    PairPlan,
    Part,
    ShardTask,
    plan_digest,
    plan_rows,
    plan_shards,
    some,
)
from sr_datasets.build.provided import with_lr
from sr_datasets.build.rederiving import RederiveReport, rederive_set
from sr_datasets.build.reporting import (
    BuildReport,
    PartReport,
    describe_build,
    report_of,
    sum_of_seconds,
    write_descriptions,
)
from sr_datasets.built import (
    RECIPES_NAME,
    LockedClip,
    RecipeLock,
    lock_recipe,
    recipe_locks,
    register_remote_set,
    register_set,
)
from sr_datasets.engine import Workers, reached, run_tasks
from sr_datasets.errors import BuildError, StoreError
from sr_datasets.files import disk_errors
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import Place, is_address
from sr_datasets.shards.sets import REPORT_NAME, STATE_NAME, write_index
from sr_datasets.store import Store
from sr_datasets.video import guessed_facts, refuse_interlaced, with_declared

__all__ = [
    "LOCK_NAME",
    "REPORT_NAME",
    "STATE_NAME",
    "BuildEstimate",
    "BuildReport",
    "Chosen",
    "PairPlan",
    "Part",
    "PartReport",
    "RederiveReport",
    "ShardTask",
    "build_pairs",
    "build_part",
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


def build_pairs(
    recipe: Recipe,
    *,
    out_dir: Path | str,
    store: Store,
    workers: Workers = 1,
    lock: RecipeLock | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    clip_seconds: float | None = None,
    strict_color: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Degrade the clips of a recipe and write its shards, index and card into a folder.

    Shards that an earlier, interrupted run of the same build finished are kept; a finished set is left as it is, with
    cards that were edited. Every file appears whole or not at all, and ``sr-data.json``, which makes the folder a set, is
    written last. The store notes the folder, and in ``recipes.lock`` the list of clips that was taken.

    Args:
        recipe: What to build.
        out_dir: The set's folder, or an address such as ``s3://bucket/set`` (``remotes.Place``); made if missing,
            refused if it holds anything but this build.
        store: Where the clips lie.
        workers: Processes, or a Ray cluster; whichever it is writes the same bytes.
        lock: The list of clips to take, each with these bytes, in place of what the recipe would choose.
        on_error: What a clip that cannot be read does: end the build, or be left out and listed.
        clip_seconds: Longest time that one clip may take, and then counts as one that cannot be read. Clips are read in
            processes of their own then, which may hang or die.
        strict_color: Refuse clips of which a colour fact is guessed.
        progress: Where to report, silent by default.

    Raises:
        BuildError: A clip is too small or too short, the folder holds something else, or shards that were made with other
            packages, or the list of ``lock`` cannot be had.
        StoreError: A clip is missing, or its file was changed since it was verified.
        DecodeError: A clip cannot be read.
        RemoteError: The address cannot be reached, or refuses.
    """
    progress = progress or Silent()
    if is_address(out_dir):
        made = build_part(
            recipe,
            part=WHOLE,
            out_dir=out_dir,
            store=store,
            workers=workers,
            lock=lock,
            on_error=on_error,
            clip_seconds=clip_seconds,
            strict_color=strict_color,
            progress=progress,
        )
        if made.built is None:
            raise BuildError(
                f"{made.out_dir}: shards that were made are gone again. Run the same command again."
            )
        return made.built
    folder = Path(out_dir)
    start = perf_counter()
    chosen, pairs = _chosen(
        recipe, store, WHOLE, workers, lock, on_error, clip_seconds, progress, strict_color=strict_color
    )
    tasks = plan_shards(
        recipe, pairs, out_dir=folder.absolute(), store=store, on_error=on_error, clip_seconds=clip_seconds
    )
    with (
        disk_errors(f"building into {folder}", folder),
        reached(workers),
        own_folder(recipe, pairs, tasks, folder) as done,
    ):
        _register(recipe, pairs, folder, store)
        if done is None:
            report = _make_set(recipe, chosen, pairs, tasks, folder, workers, progress, start)
        else:
            tell_makers(recipe, Place(folder), done, progress)
            wall = {"wall": perf_counter() - start}
            report = report_of(done, recipe, folder, chosen.skipped, num_reused=len(tasks), seconds=wall)
    _lock_list(recipe, pairs, store, progress)
    return report


def _make_set(
    recipe: Recipe,
    chosen: Chosen,
    pairs: Sequence[PairPlan],
    tasks: Sequence[ShardTask],
    folder: Path,
    workers: Workers,
    progress: Progress,
    start: float,
) -> BuildReport:
    """Make the shards that are not there, then the index, the card and ``sr-data.json``."""
    results = {task.name: result for task in tasks if (result := finished(task)) is not None}
    todo = [task for task in tasks if task.name not in results]
    num_reused = len(results)
    with progress.bar(
        f"building {recipe.id}", total=sum(task.num_rows for task in tasks), unit="rows"
    ) as bar:
        there = [task for task in tasks if task.name in results]
        num_clips = sum(len(task.pairs) for task in there)
        bar.advance(sum(task.num_rows for task in there), present=True)
        for task, result in run_tasks(on_workers(build_shard, recipe, workers), todo, workers=workers):
            require_shared(task.path, result, workers)
            results[task.name] = result
            bar.advance(task.num_rows)
            num_clips += len(task.pairs)
            bar.note(f"{num_clips} of {len(pairs)} clips")
            for clip in result.skipped:
                progress.log(f"left out: {clip.source}/{clip.clip}: {clip.reason}")
    in_order = [results[task.name].summary for task in tasks]
    info = describe_build(recipe, pairs, tasks, results, write_index(folder, in_order), chosen.skipped)
    report = report_of(
        info,
        recipe,
        folder,
        chosen.skipped,
        num_reused=num_reused,
        seconds=sum_of_seconds(results.values(), wall=perf_counter() - start),
    )
    write_descriptions(folder, info, report, workers)
    return report


def build_part(
    recipe: Recipe,
    *,
    part: Part,
    out_dir: Path | str,
    store: Store,
    workers: Workers = 1,
    lock: RecipeLock | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    clip_seconds: float | None = None,
    strict_color: bool = False,
    progress: Progress | None = None,
) -> PartReport:
    """Make a part of a set's shards, for jobs on several machines that share the place; the last one makes the set.

    Jobs may come in any order, at once, twice, and be killed; the set has the bytes of ``build_pairs``.

    Args:
        recipe: What to build.
        part: Which of the shards.
        out_dir: As ``build_pairs``; the same place for every job.
        store: Where the clips lie: all of the recipe's, with the same bytes for every job.
        workers: As ``build_pairs``.
        lock: As ``build_pairs``.
        on_error: As ``build_pairs``.
        clip_seconds: As ``build_pairs``.
        strict_color: As ``build_pairs``.
        progress: As ``build_pairs``.

    Raises:
        BuildError: As ``build_pairs``; another job has the part, or this machine's packages, clips or number of
            parts differ from those of the job that came first.
        StoreError: As ``build_pairs``.
        DecodeError: As ``build_pairs``.
        RemoteError: As ``build_pairs``.
    """
    progress = progress or Silent()
    chosen, pairs = _chosen(
        recipe, store, part, workers, lock, on_error, clip_seconds, progress, strict_color=strict_color
    )
    place = Place(out_dir)
    folder = place.local
    tasks = plan_shards(
        recipe, pairs, out_dir=folder or Path(), store=store, on_error=on_error, clip_seconds=clip_seconds
    )
    work = PartBuild(recipe, pairs, chosen.skipped, tasks, part, place)

    def begin() -> None:
        _register(recipe, pairs, folder or place, store)

    with disk_errors(f"building into {place}", folder or Path(tempfile.gettempdir())), reached(workers):
        report = run_part(work, begin=begin, workers=workers, progress=progress)
    if report.built is not None:
        _lock_list(recipe, pairs, store, progress)
    return report


def _chosen(
    recipe: Recipe,
    store: Store,
    part: Part,
    workers: Workers,
    lock: RecipeLock | None,
    on_error: Literal["fail", "skip"],
    clip_seconds: float | None,
    progress: Progress,
    *,
    strict_color: bool,
) -> tuple[Chosen, list[PairPlan]]:
    """Choose the clips and check what can be checked before anything is made."""
    chosen = choose_pairs(
        recipe,
        store,
        lock=lock,
        workers=workers,
        on_error=on_error,
        clip_seconds=clip_seconds,
        part=part,
        progress=progress,
    )
    pairs = with_lr(recipe, chosen.pairs, store, part)
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
    return chosen, pairs


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


def _register(recipe: Recipe, pairs: Sequence[PairPlan], place: Path | Place, store: Store) -> None:
    """Note the set's place in the store, so that ``sr-data forget`` finds what is derived of a clip."""
    names = [pair.name for pair in pairs] + [pair.lr.name for pair in pairs if pair.lr is not None]
    with _unless_read_only(store, f"sr-data forget will not find {place}"):
        if isinstance(place, Place):
            register_remote_set(store, place.plain, recipe.id, names)
        else:
            register_set(store, place, recipe.id, names)
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
