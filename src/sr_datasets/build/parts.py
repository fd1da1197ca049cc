"""Builds by jobs that do not know each other: each makes a part of the shards, the last one makes the set.

Jobs may run on any machines that share the place, in any order, twice, at once, and be killed: which shard has which bytes
is a matter of the plan, every file appears whole or not at all, and receipts say what is done. Locks only keep
two jobs from doing the same work, so a file system without locks, and an object store, do no harm.
"""

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from sr_datasets.build.cutting import ShardResult
from sr_datasets.build.elsewhere import on_workers, require_shared
from sr_datasets.build.folder import (
    LOCK_NAME,
    SET_FILES,
    check_folder,
    clear_folder,
    describes,
    require_own_lock,
    set_plan,
    strangers_error,
    strangers_of_parts,
)
from sr_datasets.build.makers import (
    LAST_FILES,
    described,
    is_of_a_build,
    require_makers,
    state_of,
    tell_makers,
)
from sr_datasets.build.packages import packages_of
from sr_datasets.build.planning import WHOLE, PairPlan, Part, ShardTask
from sr_datasets.build.receipts import (
    drop_receipts,
    read_receipts,
    receipts_there,
    send_checked,
    settle_shard,
    tables_of,
)
from sr_datasets.build.reporting import (
    BuildReport,
    PartReport,
    describe_build,
    report_of,
    sum_of_seconds,
    write_descriptions,
)
from sr_datasets.card import CARD_NAME, CROISSANT_NAME
from sr_datasets.engine import Workers, run_tasks
from sr_datasets.errors import BuildError, RemoteError, ShardError
from sr_datasets.files import lock_beside, sha256_of
from sr_datasets.progress import Progress
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import Place
from sr_datasets.shards.sets import (
    DATA_DIR,
    INDEX_NAME,
    PARTS_DIR,
    REPORT_NAME,
    SET_NAME,
    STATE_NAME,
    BuildState,
    FileInfo,
    SetInfo,
    SkippedInput,
    missing_parts,
    write_index_tables,
)


@dataclass(frozen=True, slots=True)
class PartBuild:
    """A part of a planned set, and where it goes."""

    recipe: Recipe
    """What is built."""
    pairs: Sequence[PairPlan]
    """All of its clips."""
    skipped: Sequence[SkippedInput]
    """Clips that it does not take."""
    tasks: Sequence[ShardTask]
    """All of its shards."""
    part: Part
    """Which of them are made here."""
    place: Place
    """Where the set goes."""

    @property
    def shown(self) -> str:
        """The place, for people."""
        return str(self.place)


def run_part(
    build: PartBuild, *, begin: Callable[[], None], workers: Workers, progress: Progress
) -> PartReport:
    """Make the shards of a part, and the set, if this part was the last.

    Args:
        build: The part.
        begin: Called when the place has turned out to be this build's, before a shard is made.
        workers: Who makes shards.
        progress: Where to report.

    Raises:
        BuildError: The place holds something else, another job has the part, or this machine's packages differ from
            those of the job that came first.
        StoreError: As ``build_shard``.
        DecodeError: As ``build_shard``.
        RemoteError: The place refuses, is full, or cannot be reached.
    """
    start = perf_counter()
    mine = build.part.of(build.tasks)
    _check(build)
    with _held(build):
        if (info := _already(build)) is not None:
            _clear(build.place)
            tell_makers(build.recipe, build.place, info, progress)
            return _ended(build, info, wall=perf_counter() - start)
        _join(build)
        begin()
        there = receipts_there(build.place)
        with tempfile.TemporaryDirectory(prefix="sr-data-receipts-") as folder:
            results = read_receipts(mine, build.place, there, Path(folder))
        num_reused = len(results)
        todo = [task for task in mine if task.name not in results]
        try:
            results |= _settled(build, todo, results, workers, progress)
        except FileNotFoundError:
            # Another job with the same part, where there are no locks, finished the set and cleared up after all.
            if (info := _already(build)) is None:
                raise
            return _ended(build, info, wall=perf_counter() - start)
        seconds = sum_of_seconds((results[task.name] for task in todo), wall=perf_counter() - start)
        found = _finish(build, workers, num_reused=num_reused, seconds=seconds, progress=progress)
    return PartReport(
        part=build.part,
        out_dir=build.shown,
        num_shards=len(mine),
        num_rows=sum(result.summary.rows for result in results.values()),
        num_reused=num_reused,
        missing=() if isinstance(found, BuildReport) else found,
        failed=tuple(clip for task in mine for clip in results[task.name].skipped),
        built=found if isinstance(found, BuildReport) else None,
    )


def _settled(
    build: PartBuild,
    todo: Sequence[ShardTask],
    there: Mapping[str, ShardResult],
    workers: Workers,
    progress: Progress,
) -> dict[str, ShardResult]:
    """Make the shards that have no receipt, and return what they are."""
    made: dict[str, ShardResult] = {}
    mine = build.part.of(build.tasks)
    label = build.recipe.id if build.part == WHOLE else f"{build.recipe.id}, part {build.part}"
    with progress.bar(f"building {label}", total=sum(task.num_rows for task in mine), unit="rows") as bar:
        bar.advance(sum(task.num_rows for task in mine if task.name in there), present=True)
        settle = on_workers(partial(settle_shard, place=build.place), build.recipe, workers)
        for task, result in run_tasks(settle, todo, workers=workers):
            if build.place.local is not None:
                require_shared(task.path, result, workers)
            made[task.name] = result
            bar.advance(task.num_rows)
            bar.note(f"{len(there) + len(made)} of {len(mine)} shards")
            for clip in result.skipped:
                progress.log(f"left out: {clip.source}/{clip.clip}: {clip.reason}")
    return made


def _check(build: PartBuild) -> None:
    """Refuse a place that holds something else, before anything is written there."""
    folder = build.place.local
    if folder is None:
        _check_place(build)
    elif folder.is_dir():
        require_own_lock(folder)
        check_folder(build.recipe, build.pairs, build.tasks, set_plan(build.recipe, build.pairs), folder)


@contextmanager
def _held(build: PartBuild) -> Iterator[None]:
    """Hold a folder together with the jobs of other parts, and the part alone; object stores have no locks."""
    folder = build.place.local
    if folder is None:
        yield
        return
    try:
        (folder / PARTS_DIR).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BuildError(
            f"{folder} is a file, or lies in one. Give --out a new or an empty folder."
        ) from error
    try:
        with ExitStack() as stack:
            if not stack.enter_context(lock_beside(folder / LOCK_NAME, exclusive=False)):
                raise BuildError(
                    f"{folder}: a build without --part is writing into this folder, or `sr-data forget` is. Wait for it to "
                    "end."
                )
            name = f"{build.part.number}-of-{build.part.count}.lock"
            if not stack.enter_context(lock_beside(folder / PARTS_DIR / name, exclusive=True)):
                raise BuildError(
                    f"{folder}: another job is building part {build.part}. Let it end; when it is killed, run this again."
                )
            yield
    finally:
        with suppress(OSError), lock_beside(folder / LOCK_NAME, exclusive=True):
            pass  # who holds it alone deletes it


def _already(build: PartBuild) -> SetInfo | None:
    """Return what is in the place, if that is this very set, finished, with every file of the size that it should have."""
    place = build.place
    info = described(place)
    if info is None or not describes(info, build.recipe, build.pairs, build.tasks):
        return None
    not_taken = {(clip.source, clip.clip) for clip in build.skipped}
    lacks = any((clip.source, clip.clip) not in not_taken for clip in info.skipped)
    if lacks and any(task.on_error == "fail" for task in build.tasks):
        return None
    sizes = place.sizes(DATA_DIR)
    whole = all(sizes.get(shard.name) == shard.size_bytes for shard in info.shards)
    return info if whole and place.size_of(INDEX_NAME) == info.index.size_bytes else None


def _check_place(build: PartBuild) -> None:
    """Refuse an object store's folder that holds something else; hidden files of others may stay.

    As in a folder, where no ``.build.json`` and no ``sr-data.json`` is, no build of ours has been; and where the latter is
    not, the index and the cards are looked into.
    """
    place = build.place
    shards = place.entries(DATA_DIR)  # before the look for a beginning: another job may begin meanwhile
    entries = place.entries()
    begun = SET_NAME in entries or STATE_NAME in entries
    names = {task.name for task in build.tasks} if begun else ()
    ours = SET_FILES if begun else (DATA_DIR,)
    strangers = [name for name in entries if name not in ours and not name.startswith(".")]
    strangers += [f"{DATA_DIR}/{name}" for name in shards if name not in names and not name.startswith(".")]
    if PARTS_DIR in entries:
        strangers += strangers_of_parts(place.entries(PARTS_DIR)) if begun else [PARTS_DIR]
    if begun and SET_NAME not in entries:
        strangers += [name for name in entries if name in LAST_FILES and not is_of_a_build(place, name)]
    if strangers:
        raise strangers_error(place, strangers)
    other = ""
    if SET_NAME in entries:
        info = described(place)
        if info is None or not describes(info, build.recipe, build.pairs, build.tasks):
            other = SET_NAME
    elif begun and state_of(place) is None and place.size_of(STATE_NAME) is not None:
        other = STATE_NAME
    if other:
        raise BuildError(
            f"{place} holds something else: {other}. Nothing was changed there. Give --out another address, or delete what "
            "is there."
        )


def _join(build: PartBuild) -> None:
    """Agree with the other jobs on the plan, the number of parts and the packages: who comes first says them."""
    place = build.place
    counts: dict[str, int] = {}
    for task in build.tasks:
        counts[task.split] = counts.get(task.split, 0) + 1
    ours = BuildState(
        recipe=build.recipe.id,
        plan=set_plan(build.recipe, build.pairs),
        parts=build.part.count,
        shards=counts,
        packages=packages_of(build.recipe),
    )
    state = state_of(place)
    if state is not None and state.plan != ours.plan:
        raise _other_plan(build, state)
    require_makers(build.recipe, place)
    if state is None or state.parts == 0 or (state.parts == 1 and build.part != WHOLE):
        place.send((ours.model_dump_json() + "\n").encode(), STATE_NAME)
        state = state_of(place) or ours  # of two jobs that came first, one has had the last word
        if state.plan != ours.plan:
            raise _other_plan(build, state)
        require_makers(build.recipe, place)
    if build.part != WHOLE and state.parts != build.part.count:
        raise BuildError(
            f"{place}: its build is in {state.parts} parts, and this is part {build.part}. Take --part "
            f"I/{state.parts} in each job, or end the build without --part."
        )


def _other_plan(build: PartBuild, state: BuildState) -> BuildError:
    return BuildError(
        f"{build.place} holds shards of another build (recipe {state.recipe}); this one is {build.recipe.id}, and the "
        "recipe, its clips or their bytes differ. Where jobs have data folders of their own, give all of them one list of "
        "clips (--lock FILE). Else give --out another place."
    )


def _finish(
    build: PartBuild,
    workers: Workers,
    *,
    num_reused: int,
    seconds: dict[str, float],
    progress: Progress,
) -> BuildReport | tuple[int, ...]:
    """Make the set of all shards, or return the parts that are missing.

    Several jobs may do so at once: each writes the same bytes.
    """
    place = build.place
    there = receipts_there(place)
    if missing := _missing(build, there):
        return missing if (info := _already(build)) is None else _report(build, info, num_reused, seconds)
    with tempfile.TemporaryDirectory(prefix="sr-data-set-") as made:
        folder, receipts = Path(made) / "set", Path(made) / "receipts"
        folder.mkdir()
        receipts.mkdir()
        results = read_receipts(build.tasks, place, there, receipts)
        if missing := _missing(build, results):
            return missing if (info := _already(build)) is None else _report(build, info, num_reused, seconds)
        progress.log(f"all {len(build.tasks)} shards are there: writing the index")
        try:
            info = _described_by(build, results, folder, receipts)
        except ShardError:
            # Another part ended at the same time, finished the set and deleted the receipts.
            if (already := _already(build)) is None:
                raise
            return _report(build, already, num_reused, seconds)
        report = _report(build, info, num_reused, seconds)
        write_descriptions(folder, info, report, workers)
        _join(build)  # whoever put another build's state there meanwhile wins
        same = described(place) == info  # and only a shard was made again: cards stay as they are
        for name in (INDEX_NAME, CARD_NAME, CROISSANT_NAME, REPORT_NAME, SET_NAME):
            if same and name in (CARD_NAME, CROISSANT_NAME) and place.size_of(name) is not None:
                continue
            send_checked(folder / name, place, name, sha256_of(folder / name))
    _clear(place)
    return report


def _described_by(build: PartBuild, results: dict[str, ShardResult], folder: Path, receipts: Path) -> SetInfo:
    path = folder / INDEX_NAME
    write_index_tables(path, tables_of(build.tasks, build.place, receipts))
    index = FileInfo(size_bytes=path.stat().st_size, sha256=sha256_of(path))
    return describe_build(build.recipe, build.pairs, build.tasks, results, index, build.skipped)


def _report(build: PartBuild, info: SetInfo, num_reused: int, seconds: dict[str, float]) -> BuildReport:
    others = len(build.tasks) - len(build.part.of(build.tasks))
    return report_of(
        info,
        build.recipe,
        build.shown,
        build.skipped,
        num_reused=num_reused + others,
        seconds=seconds,
    )


def _ended(build: PartBuild, info: SetInfo, *, wall: float) -> PartReport:
    """Return the report of a job that found the set finished."""
    names = {task.name for task in build.part.of(build.tasks)}
    return PartReport(
        part=build.part,
        out_dir=build.shown,
        num_shards=len(names),
        num_rows=sum(shard.rows for shard in info.shards if shard.name in names),
        num_reused=len(names),
        built=_report(build, info, len(names), {"wall": wall}),
    )


def _missing(build: PartBuild, names: Collection[str]) -> tuple[int, ...]:
    """Return the parts of which a shard is not among these, from 1."""
    state = state_of(build.place)
    count = build.part.count if state is None else max(1, state.parts)
    return missing_parts([task.name for task in build.tasks], names, count)


def _clear(place: Place) -> None:
    """Delete what only the way to the set needed."""
    if place.local is not None:
        clear_folder(place.local)
        return
    drop_receipts(place)
    with suppress(RemoteError):
        place.delete(STATE_NAME)
