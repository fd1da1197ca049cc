"""The folder of a set: held by one build at a time, checked before, described after."""

import json
import logging
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from pydantic import ValidationError

from sr_datasets.build.cutting import ShardResult
from sr_datasets.build.makers import LAST_FILES, described, is_of_a_build, require_makers
from sr_datasets.build.packages import packages_of
from sr_datasets.build.planning import PairPlan, ShardTask, some
from sr_datasets.card import CARD_NAME, CROISSANT_NAME
from sr_datasets.errors import BuildError, ShardError
from sr_datasets.files import lock_beside, sha256_of, write_atomic
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import Place
from sr_datasets.sampling import (
    digest_of,
)
from sr_datasets.shards.reader import ShardReader, summarize_shard
from sr_datasets.shards.sets import (
    DATA_DIR,
    FORGETTING_NAME,
    INDEX_NAME,
    MEASURES_NAME,
    PARTS_DIR,
    REPORT_NAME,
    SET_NAME,
    STATE_NAME,
    BuildState,
    InputInfo,
    LrInfo,
    SetInfo,
    SkippedInput,
    is_as_written,
    split_of_name,
)
from sr_datasets.shards.verify import verify_shard

_logger = logging.getLogger(__name__)

LOCK_NAME = ".build.lock"
"""Held while something writes into the folder: alone, or together by the jobs of a build in parts."""
SET_FILES = (DATA_DIR, INDEX_NAME, SET_NAME, CARD_NAME, CROISSANT_NAME, REPORT_NAME)
"""What a finished set and its report are, by name."""
_OURS = (*SET_FILES, STATE_NAME, PARTS_DIR, LOCK_NAME, MEASURES_NAME)
"""All that may stand where a build has begun."""
_PART_LOCK = re.compile(r"\d+-of-\d+\.lock")
"""What ``build/parts.py`` calls the lock of a part."""
_PARTIAL = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.part")
"""What ``files.atomic_path`` calls a file that is not finished."""


@contextmanager
def own_folder(
    recipe: Recipe, pairs: Sequence[PairPlan], tasks: Sequence[ShardTask], out_dir: Path
) -> Iterator[SetInfo | None]:
    """Hold the folder for this build alone, after a look at whether it may be built into.

    Yields:
        What the folder holds, if that is this very set, finished and whole: to be left as it is. Else None.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BuildError(
            f"{out_dir} is a file, or lies in one. Give --out a new or an empty folder."
        ) from error
    with locked_folder(out_dir):
        plan = set_plan(recipe, pairs)
        check_folder(recipe, pairs, tasks, plan, out_dir)
        done = _whole(recipe, pairs, tasks, out_dir)
        if done is None or not all((out_dir / name).exists() for name in (CARD_NAME, CROISSANT_NAME)):
            try:
                require_makers(recipe, Place(out_dir))
                done = None  # the card that is missing can be made
            except BuildError:
                if done is None:
                    raise
        if done is None:
            state = BuildState(recipe=recipe.id, plan=plan, packages=packages_of(recipe))
            write_atomic(out_dir / STATE_NAME, state.model_dump_json(exclude_defaults=True).encode())
        # Of a run that was killed: the lock says that nobody writes them now.
        drop_partials(out_dir)
        for path in out_dir.iterdir():
            if _is_partial_of(path.name, _OURS):
                path.unlink(missing_ok=True)
        yield done
        # From here on sr-data.json says what the folder holds.
        clear_folder(out_dir)


def _whole(
    recipe: Recipe, pairs: Sequence[PairPlan], tasks: Sequence[ShardTask], out_dir: Path
) -> SetInfo | None:
    """Return what a finished set is, if this build has nothing to do in it: its files are what ``sr-data.json`` says."""
    info = described(Place(out_dir))
    if info is None or not describes(info, recipe, pairs, tasks) or not is_as_written(out_dir):
        return None
    lacks = {pair.name for pair in pairs} & {f"{clip.source}/{clip.clip}" for clip in info.skipped}
    if lacks and any(task.on_error == "fail" for task in tasks):
        return None
    files = [(out_dir / INDEX_NAME, info.index.size_bytes, info.index.sha256)]
    files += [(out_dir / DATA_DIR / shard.name, shard.size_bytes, shard.sha256) for shard in info.shards]
    if any(not path.is_file() or path.stat().st_size != size for path, size, _ in files):
        return None
    if any(sha256_of(path) != sha256 for path, _, sha256 in files):
        return None
    return info if _is_of_this_build(tasks, out_dir) else None


def set_plan(recipe: Recipe, pairs: Sequence[PairPlan]) -> str:
    """Return what a set is made of, as a hash."""
    return digest_of("set-1", recipe.model_dump_json(), *[pair.made_of for pair in pairs]).hex()


def clear_folder(out_dir: Path) -> None:
    """Delete what a build needed on its way, when ``sr-data.json`` is written."""
    drop_partials(out_dir)  # of workers that died while others went on
    # A job that comes late, where there are no locks, may write a receipt meanwhile.
    shutil.rmtree(out_dir / PARTS_DIR, ignore_errors=True)
    (out_dir / STATE_NAME).unlink(missing_ok=True)


def _is_partial_of(name: str, names: Collection[str]) -> bool:
    found = _PARTIAL.fullmatch(name)
    return found is not None and found["name"] in names


def is_partial_shard(name: str) -> bool:
    """Return whether a name is that of a shard that is being written."""
    found = _PARTIAL.fullmatch(name)
    return found is not None and split_of_name(found["name"]) is not None


def drop_partials(out_dir: Path) -> None:
    """Delete the shards that a killed process left half-written; the caller holds the folder."""
    for partial in (out_dir / DATA_DIR).glob(".*.part"):
        if is_partial_shard(partial.name):
            partial.unlink(missing_ok=True)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold a set's folder against other builds, and against those who forget.

    Raises:
        BuildError: Another process holds it.
    """
    require_own_lock(folder)
    with lock_beside(folder / LOCK_NAME, exclusive=True) as ours:
        if not ours:
            raise BuildError(
                f"{folder}: another build is writing into this folder, or `sr-data forget` is. Wait for it to end."
            )
        yield


def require_own_lock(folder: Path) -> None:
    """Make sure that what is called like the lock is one: ours are empty, and are deleted in the end.

    Raises:
        BuildError: It is not.
    """
    if (folder / LOCK_NAME).exists() and (folder / LOCK_NAME).stat().st_size:
        raise strangers_error(folder, [LOCK_NAME])


def strangers_error(place: Path | Place, names: Sequence[str]) -> BuildError:
    """Return what is said where a set's place holds what no build made."""
    return BuildError(
        f"{place} holds files that no build wrote: {some(sorted(set(names)))}. Nothing was changed there. Give --out a new or an "
        "empty folder; or move them away, and what the build finished there is kept. Cards of an earlier version count as somebody's."
    )


def strangers_of_parts(names: Collection[str]) -> list[str]:
    """Return which of the names in ``.parts``, which goes with all it holds when the set is finished, no build gave."""
    return [
        f"{PARTS_DIR}/{name}"
        for name in names
        if split_of_name(name) is None
        and not _PART_LOCK.fullmatch(name)
        and not is_partial_shard(name)
        and not name.startswith(".nfs")
    ]


def check_folder(
    recipe: Recipe, pairs: Sequence[PairPlan], tasks: Sequence[ShardTask], plan: str, out_dir: Path
) -> None:
    """Make sure that a folder holds nothing, or this very build.

    Raises:
        BuildError: It holds something else.
    """
    if (out_dir / FORGETTING_NAME).exists():
        raise BuildError(
            f"{out_dir}: `sr-data forget` was interrupted in this folder. Run it again first, or delete the folder."
        )
    if strangers := _strangers(tasks, out_dir):
        raise strangers_error(out_dir, strangers)
    there = described(Place(out_dir))
    if there is not None:
        other = str(there.recipe.get("id"))
        same = describes(there, recipe, pairs, tasks)
    elif (out_dir / SET_NAME).exists():
        other, same = "unknown: its sr-data.json is damaged", False
    elif (out_dir / STATE_NAME).exists():
        try:
            state = BuildState.model_validate_json((out_dir / STATE_NAME).read_bytes())
            other, same = state.recipe, state.plan == plan
        except ValidationError:
            other, same = f"unknown: its {STATE_NAME} is damaged", False
    else:
        other, same = "unknown", not any(out_dir.glob(f"{DATA_DIR}/*"))
    if not same and not _is_of_this_build(tasks, out_dir):
        raise BuildError(
            f"{out_dir} holds shards of another build (recipe {other}); this one is {recipe.id}, and the recipe, its "
            "clips or their bytes differ. Give --out another folder, or delete this one."
        )
    names = {task.name for task in tasks}
    if stray := [path.name for path in out_dir.glob(f"{DATA_DIR}/*.parquet") if path.name not in names]:
        raise BuildError(
            f"{out_dir / DATA_DIR} holds shards that this build does not write: {some(sorted(stray))}. Move them away, "
            "then run it again."
        )


def _strangers(tasks: Sequence[ShardTask], out_dir: Path) -> list[str]:
    """Return what a folder holds that no build of ours made, whatever it is called.

    Before its first shard a build writes ``.build.json``, and ``sr-data.json`` before it deletes that. Where neither is
    and the shards tell of no build, a ``README.md`` is somebody else's.
    """
    # Listed before the look for a beginning: another job may begin meanwhile.
    shards, entries = list(out_dir.glob(f"{DATA_DIR}/*")), list(out_dir.iterdir())
    begun = any((out_dir / name).exists() for name in (SET_NAME, STATE_NAME)) or _is_of_this_build(
        tasks, out_dir
    )
    ours, partials = (_OURS, _OURS) if begun else ((LOCK_NAME,), (STATE_NAME,))
    found = [
        path.name
        for path in entries
        if path.name not in ours
        and not _is_partial_of(path.name, partials)
        # An NFS client calls a deleted file so while another process still has it open.
        and not path.name.startswith(".nfs")
        and (begun or not _may_stand_before_the_state(path))
    ]
    place, looked_into = Place(out_dir), (*LAST_FILES, SET_NAME)
    if described(place) is None:
        found += [
            path.name for path in entries if path.name in looked_into and not is_of_a_build(place, path.name)
        ]
    if begun and (out_dir / PARTS_DIR).is_dir():
        found += strangers_of_parts([path.name for path in (out_dir / PARTS_DIR).iterdir()])
    return found + [
        f"{DATA_DIR}/{path.name}"
        for path in shards
        if split_of_name(path.name) is None and not is_partial_shard(path.name)
    ]


def _may_stand_before_the_state(path: Path) -> bool:
    """Return whether it is what is left of a job that was killed at once, or a folder whose files are looked at."""
    if not path.is_dir():
        return False
    return path.name == DATA_DIR or (
        path.name == PARTS_DIR and all(lock.suffix == ".lock" for lock in path.iterdir())
    )


def describes(info: SetInfo, recipe: Recipe, pairs: Sequence[PairPlan], tasks: Sequence[ShardTask]) -> bool:
    """Return whether a finished set is what this build makes."""
    left_out = {(clip.source, clip.clip) for clip in info.skipped}
    return (
        info.recipe == recipe.model_dump(mode="json")
        and list(info.inputs)
        == [clip for clip in inputs_of(pairs) if (clip.source, clip.clip) not in left_out]
        # A set of which clips were forgotten keeps its shards' names, though it may have fewer of them.
        and {shard.name for shard in info.shards} == {task.name for task in tasks}
    )


def _is_of_this_build(tasks: Sequence[ShardTask], out_dir: Path) -> bool:
    """Tell by the shards alone, where their description is damaged, whether this very build made them all."""
    digests = {task.name: task.digest() for task in tasks}
    paths = list(out_dir.glob(f"{DATA_DIR}/*.parquet"))
    try:
        for path in paths:
            with closing(ShardReader(path)) as reader:
                if reader.metadata.get("plan") != digests.get(path.name):
                    return False
    except ShardError:
        return False
    return bool(paths)


def finished(task: ShardTask) -> ShardResult | None:
    """Return what an earlier run of this build made of a task, or None.

    A shard that lacks clips is not finished for a build that is to fail on them.
    """
    if not task.path.is_file():
        return None
    skipped: list[SkippedInput] = []
    try:
        with closing(ShardReader(task.path)) as reader:
            if reader.metadata.get("plan") != task.digest():
                return None
            skipped = [SkippedInput(**clip) for clip in json.loads(reader.metadata.get("skipped", "[]"))]
        problems = verify_shard(task.path)
    except ShardError as error:
        problems = [str(error)]
    if problems:
        _logger.warning("%s; it is made again", problems[0])
        return None
    if skipped and task.on_error == "fail":
        return None
    return ShardResult(summarize_shard(task.path), tuple(skipped), {})


def inputs_of(pairs: Sequence[PairPlan]) -> list[InputInfo]:
    """Return the clips of a build as ``sr-data.json`` names them, in order of selection."""
    # All have the same fields: a set of names of its own would be most of the memory of each of millions.
    names = set(InputInfo.model_fields)
    return [
        InputInfo.model_construct(
            names,
            source=pair.record.source,
            clip=pair.record.clip,
            split=pair.split,
            sha256=pair.record.sha256,
            origin=pair.record.origin,
            lr=None
            if pair.lr is None
            else LrInfo(source=pair.lr.record.source, clip=pair.lr.record.clip, sha256=pair.lr.record.sha256),
        )
        for pair in pairs
    ]
