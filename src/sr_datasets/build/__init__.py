"""From a recipe to shards: choose clips, plan rows, one task per shard, then the index. Reads top to bottom.

A build is a pure function of the recipe and of the clips' bytes. Nothing of the run itself (time, folder,
host, workers) reaches a shard, so that any number of workers, on any day, writes the same bytes.
"""

import errno
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sr_datasets import __version__
from sr_datasets.build.choosing import Chosen, choose_pairs
from sr_datasets.build.cutting import build_shard, iter_groups
from sr_datasets.build.folder import (
    CARD_NAME,
    STATE_NAME,
    card_of,
    finished,
    inputs_of,
    locked_folder,
    own_folder,
)
from sr_datasets.build.planning import PairPlan, ShardTask, plan_digest, plan_rows, plan_shards
from sr_datasets.built import (
    RECIPES_NAME,
    LockedClip,
    RecipeLock,
    lock_recipe,
    recipe_locks,
    register_set,
)
from sr_datasets.engine import run_tasks
from sr_datasets.errors import StoreError
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

__all__ = [
    "CARD_NAME",
    "STATE_NAME",
    "BuildReport",
    "Chosen",
    "PairPlan",
    "ShardTask",
    "build_pairs",
    "build_shard",
    "card_of",
    "choose_pairs",
    "iter_groups",
    "locked_folder",
    "plan_digest",
    "plan_rows",
    "plan_shards",
]

_logger = logging.getLogger(__name__)

_PACKAGES = ("numpy", "pyarrow", "av", "pillow")
"""What the bytes of a shard can depend on."""


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
    """Clips of the store that the recipe names and the set lacks, each with the reason."""
    asked: int | None
    """Clips that the recipe would take if they were here."""


def build_pairs(
    recipe: Recipe,
    *,
    out_dir: Path,
    store: Store,
    workers: int = 1,
    lock: RecipeLock | None = None,
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
        progress: Where to report, silent by default.

    Raises:
        BuildError: A clip is too small or too short, the folder holds something else, or the list of ``lock``
            cannot be had.
        StoreError: A clip is missing, or its file was changed since it was verified.
        DecodeError: A clip cannot be read.
    """
    progress = progress or Silent()
    chosen = choose_pairs(recipe, store, lock=lock, progress=progress)
    pairs = chosen.pairs
    tasks = plan_shards(recipe, pairs, out_dir=out_dir, store=store)
    with disk_errors(f"building into {out_dir}", out_dir), own_folder(recipe, pairs, tasks, out_dir):
        _register(recipe, pairs, out_dir, store)
        summaries = {task.name: summary for task in tasks if (summary := finished(task)) is not None}
        todo = [task for task in tasks if task.name not in summaries]
        num_reused = len(summaries)
        with progress.bar(
            f"building {recipe.id}", total=sum(task.num_rows for task in tasks), unit="rows"
        ) as bar:
            bar.advance(sum(task.num_rows for task in tasks if task.name in summaries))
            for task, result in run_tasks(build_shard, todo, workers=workers):
                summaries[task.name] = result.summary
                bar.advance(task.num_rows)
        in_order = [summaries[task.name] for task in tasks]
        info = describe_set(
            recipe=recipe.model_dump(mode="json"),
            shards=in_order,
            index=write_index(out_dir, in_order),
            inputs=inputs_of(pairs),
            skipped=chosen.skipped,
            packages={"sr-datasets": __version__, **{name: version(name) for name in _PACKAGES}},
        )
        write_atomic(out_dir / CARD_NAME, card_of(info).encode())
        write_set_json(out_dir, info)
    _lock_list(recipe, pairs, store, progress)
    return BuildReport(
        out_dir=out_dir,
        pairs=_pairs_by_split(pairs),
        num_rows=info.rows,
        num_shards=len(in_order),
        num_reused=num_reused,
        size_bytes=sum(summary.size_bytes for summary in in_order),
        content_digest=info.content_digest,
        skipped=chosen.skipped,
        asked=recipe.limit,
    )


def _register(recipe: Recipe, pairs: Sequence[PairPlan], out_dir: Path, store: Store) -> None:
    """Note the folder in the store, so that ``sr-data forget`` finds what is derived of a clip."""
    names = [f"{pair.record.source}/{pair.record.clip}" for pair in pairs]
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


def _pairs_by_split(pairs: Sequence[PairPlan]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for pair in pairs:
        counts[pair.split] += 1
    return {split: counts[split] for split in sorted(counts)}
