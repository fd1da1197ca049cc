"""Which clips a recipe takes, and in which split each goes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from sr_datasets import catalog
from sr_datasets.build.analysing import analyse_clips, planned_rows
from sr_datasets.build.planning import WHOLE, PairPlan, Part, RowCounter, shard_groups, some
from sr_datasets.built import (
    RecipeLock,
    settings_of,
)
from sr_datasets.engine import Workers
from sr_datasets.errors import BuildError, DecodeError, StoreError, nearest_names
from sr_datasets.facts import facts_of, judge, parse_where
from sr_datasets.fetch.youtube.names import piece_of
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.models import without_collecting
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import ClipFilter, Recipe
from sr_datasets.sampling import deal, deal_together, keyed_order, shares
from sr_datasets.shards.sets import (
    SkippedInput,
)
from sr_datasets.store import ClipRecord, Store


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which clips a recipe takes, and which it does not."""

    pairs: list[PairPlan]
    """The clips in selection order, dealt to splits."""
    skipped: tuple[SkippedInput, ...] = ()
    """Clips of the store that the recipe names and does not take, by name."""


def choose_pairs(
    recipe: Recipe,
    store: Store,
    *,
    lock: RecipeLock | None = None,
    workers: Workers = 1,
    on_error: Literal["fail", "skip"] = "fail",
    clip_seconds: float | None = None,
    part: Part = WHOLE,
    progress: Progress | None = None,
) -> Chosen:
    """Choose the recipe's clips, deal them to splits, and count their rows.

    Args:
        recipe: What to build.
        store: Where the clips lie.
        lock: The list of clips to take in place of what the recipe would choose.
        workers: Who analyses clips, where the sampling looks at the pictures.
        on_error: What a clip that cannot be analysed does: end the work, or be left to its shard, which leaves it out.
        clip_seconds: Longest time that analysing a clip may take.
        part: Whose clips are analysed and their rows counted; all are chosen, whichever part this is.
        progress: Told what a user may not expect: fewer clips than asked for.

    Raises:
        BuildError: No clip fits, a clip is too small or too short for the sampling, or clips differ in depth.
        StoreError: A clip is not in the store, and the recipe does not say ``present_only``.
        DecodeError: A clip must be analysed and cannot be read.
    """
    progress = progress or Silent()
    if lock is not None:
        return Chosen(
            _counted(
                recipe,
                _locked_clips(recipe, store, lock),
                store,
                part,
                workers,
                on_error,
                clip_seconds,
                progress,
            )
        )
    with without_collecting():
        chosen, skipped = _candidates(recipe, store)
    if recipe.order == "keyed":
        chosen = keyed_order(chosen, lambda item: (item[1].source, item[1].clip), seed=recipe.seed)
    if recipe.drop_duplicates:
        first: dict[str, str] = {}
        kept = []
        for clip, record in chosen:
            if record.sha256 in first:
                skipped.append(_skipped(record, f"has the same bytes as {first[record.sha256]}"))
            else:
                first[record.sha256] = f"{record.source}/{record.clip}"
                kept.append((clip, record))
        chosen = kept
    if recipe.limit is not None:
        skipped += [
            _skipped(record, f"the recipe takes {recipe.limit}") for _, record in chosen[recipe.limit :]
        ]
        chosen = chosen[: recipe.limit]
    records = [record for _, record in chosen]
    _check_depths(recipe, records)
    dealt = []
    for (clip, record), split in zip(chosen, _splits_of(recipe, records, progress), strict=True):
        if split is None:
            skipped.append(_skipped(record, f"the splits take {sum(recipe.split.counts.values())}"))
        else:
            dealt.append((clip, record, split))
    pairs = _counted(recipe, dealt, store, part, workers, on_error, clip_seconds, progress)
    return Chosen(pairs, tuple(sorted(skipped, key=lambda clip: (clip.source, clip.clip))))


def _counted(
    recipe: Recipe,
    dealt: Sequence[tuple[Clip, ClipRecord, str]],
    store: Store,
    part: Part,
    workers: Workers,
    on_error: Literal["fail", "skip"],
    clip_seconds: float | None,
    progress: Progress,
) -> list[PairPlan]:
    """Return the pairs, with the number of rows of those that belong to the part."""
    shards = part.of(shard_groups(recipe, [split for _, _, split in dealt]))
    ours = {place for _, _, places in shards for place in places}
    clips = [(clip, record) for place, (clip, record, _) in enumerate(dealt) if place in ours]
    unread = analyse_clips(
        recipe, clips, store, workers=workers, clip_seconds=clip_seconds, progress=progress
    )
    if unread and (on_error == "fail" or len(unread) == len(dealt)):
        raise DecodeError(next(iter(unread.values())))
    counter = None if recipe.sampling.needs_analysis else RowCounter(recipe)
    pairs = []
    for place, (clip, record, split) in enumerate(dealt):
        num_rows = 0
        # A clip that cannot be read keeps its place, so that no other row moves: its shard will leave it out.
        if place in ours and _name(record) not in unread:
            num_rows = (
                len(planned_rows(recipe, clip, record, store)) if counter is None else counter.count(record)
            )
        pairs.append(PairPlan(clip, record, split, num_rows))
    return pairs


def _name(record: ClipRecord) -> str:
    return f"{record.source}/{record.clip}"


def _skipped(record: ClipRecord, reason: str) -> SkippedInput:
    return SkippedInput(source=record.source, clip=record.clip, reason=reason)


def _check_depths(recipe: Recipe, records: Sequence[ClipRecord]) -> None:
    """Refuse clips of several bit depths: their rows could never be in one batch."""
    by_depth: dict[int, list[str]] = defaultdict(list)
    for record in records:
        by_depth[record.info.bit_depth].append(f"{record.source}/{record.clip}")
    if len(by_depth) > 1:
        found = "; ".join(f"{depth} bits: {some(names)}" for depth, names in sorted(by_depth.items()))
        most = max(by_depth, key=lambda depth: len(by_depth[depth]))
        raise BuildError(
            f"recipe {recipe.id}: its clips differ in bit depth, and rows of several depths make no batch ({found}). "
            f'Ask for one depth in the recipe, such as where: {{facts: "bit_depth={most}"}}.'
        )


def _locked_clips(recipe: Recipe, store: Store, lock: RecipeLock) -> list[tuple[Clip, ClipRecord, str]]:
    """Return the clips of a list with their splits, or refuse: another recipe, a clip that is missing, other bytes."""
    settings = settings_of(recipe)
    if settings != lock.settings:
        names = sorted(
            name for name in settings | lock.settings if settings.get(name) != lock.settings.get(name)
        )
        raise BuildError(
            f"recipe {recipe.id}: its list of clips was made for another {', '.join(names)}. Build without --locked to "
            "make a new list, or take the recipe that the list belongs to."
        )
    records = {f"{record.source}/{record.clip}": record for record in store.records()}
    missing = [clip.name for clip in lock.clips if clip.name not in records]
    other = [
        clip.name for clip in lock.clips if clip.name in records and records[clip.name].sha256 != clip.sha256
    ]
    if missing or other:
        found = [
            f"{len(names)} {what}: {some(names)}"
            for names, what in ((missing, "not in the store"), (other, "in the store with other bytes"))
            if names
        ]
        raise BuildError(
            f"recipe {recipe.id}: of the {len(lock.clips)} clips of its list, {'; '.join(found)}. Bring in those very "
            f"files (the list has their SHA-256), or build without --locked from the clips in {store.root}."
        )
    imported = catalog.imported_clips(records.values())
    selected = catalog.select([clip.name for clip in lock.clips], imported=imported)
    clips = {item.id: item.clip for item in selected}
    return [(clips[clip.name], records[clip.name], clip.split) for clip in lock.clips]


def _candidates(recipe: Recipe, store: Store) -> tuple[list[tuple[Clip, ClipRecord]], list[SkippedInput]]:
    records = {(record.source, record.clip): record for record in store.records()}
    chosen: list[tuple[Clip, ClipRecord]] = []
    skipped: list[SkippedInput] = []
    missing: list[str] = []
    conditions = parse_where(recipe.where.facts)
    # Clips of open-ended sources stand in no manifest: they are what a person imported.
    imported = catalog.imported_clips(records.values())
    for selected in catalog.select(recipe.clips, imported=imported):
        here = records.get((selected.source.id, selected.clip.id))

        fits: bool | None = True
        if conditions:
            known = facts_of(selected.source, selected.clip, info=here.info if here else None)
            fits = judge(conditions, known)
        if here is not None:
            if _fits(recipe.where, here.info) and fits:
                chosen.append((selected.clip, here))
            else:
                skipped.append(_skipped(here, f"does not fit{_filter_text(recipe.where)}"))
        elif not recipe.present_only and _may_fit(recipe.where, selected.clip) and fits is not False:
            missing.append(selected.id)
    if missing:
        raise StoreError(
            f"recipe {recipe.id}: {len(missing)} of its clips are not in the store {store.root}: "
            f"{some(missing)}. Bring them in with: sr-data fetch {' '.join(recipe.clips)}"
        )
    if not chosen:
        raise BuildError(
            f"recipe {recipe.id}: no clip in the store {store.root} fits {' '.join(recipe.clips)}"
            f"{_filter_text(recipe.where)}. See what there is with `sr-data list`, and bring clips in with "
            "`sr-data fetch` or `sr-data import`."
        )
    return chosen, skipped


def _fits(where: ClipFilter, info: VideoInfo) -> bool:
    return (
        (where.width is None or info.width == where.width)
        and (where.height is None or info.height == where.height)
        and (not where.scan or info.scan in where.scan)
        and info.num_frames >= where.min_frames
    )


def _may_fit(where: ClipFilter, clip: Clip) -> bool:
    """Tell whether a clip that is not here could fit, by what the manifest knows."""
    return (
        (where.width is None or clip.width in (None, where.width))
        and (where.height is None or clip.height in (None, where.height))
        and (clip.num_frames is None or clip.num_frames >= where.min_frames)
    )


def _splits_of(recipe: Recipe, records: Sequence[ClipRecord], progress: Progress) -> list[str | None]:
    """Return the split of each clip; None for what no split has room for."""
    if recipe.split.clips:
        return [*_splits_by_name(recipe, records)]
    asked = recipe.split.counts
    dealt = deal(len(records), asked) if asked else shares(len(records), recipe.split.ratios)
    if any(dealt[name] != count for name, count in asked.items() if count != -1):
        progress.log(
            f"{recipe.id}: {len(records)} clips are fewer than the split counts ask for; dealt in proportion: "
            + ", ".join(f"{count} {name}" for name, count in dealt.items())
        )
    splits = deal_together(_originals(records), dealt)
    got = {name: splits.count(name) for name in dealt}
    if got != dealt:
        progress.log(
            f"{recipe.id}: pieces of one video stay in one split: "
            + ", ".join(f"{count} {name}" for name, count in got.items())
        )
    return splits


def _originals(records: Sequence[ClipRecord]) -> list[str]:
    """Return for each clip what it was taken from: pieces of one YouTube video, and clips of the same bytes, share it."""
    named = [f"youtube {piece.youtube_id}" if (piece := piece_of(record.clip)) else "" for record in records]
    # Two pieces may have the same bytes under names of two videos: all of it goes together then.
    first: dict[str, str] = {}
    joined: dict[str, str] = {}

    def root(name: str) -> str:
        while joined.get(name, name) != name:
            name = joined[name]
        return name

    for record, name in zip(records, named, strict=True):
        original = root(name or record.sha256)
        joined[original] = root(first.setdefault(record.sha256, original))
    return [root(name or record.sha256) for record, name in zip(records, named, strict=True)]


def _splits_by_name(recipe: Recipe, records: Sequence[ClipRecord]) -> list[str]:
    names = [_name(record) for record in records]
    owners: dict[str, list[str]] = {name: [] for name in names}
    for split, patterns in recipe.split.clips.items():
        for pattern in patterns:
            fitting = [
                name for name in names if fnmatchcase(name, pattern) or name.partition("/")[0] == pattern
            ]
            if not fitting:
                raise BuildError(
                    f"recipe {recipe.id}: split {split}: '{pattern}' fits none of the {len(names)} chosen clips."
                    f"{nearest_names(pattern, names)} Edit `split`."
                )
            for name in fitting:
                if split not in owners[name]:
                    owners[name].append(split)
    for name, splits in owners.items():
        if len(splits) != 1:
            found = f"in {' and '.join(splits)}" if splits else "in no split"
            raise BuildError(
                f"recipe {recipe.id}: {name} is {found}; each clip belongs to exactly one. Edit `split`."
            )
    first: dict[str, str] = {}
    for name, original in zip(names, _originals(records), strict=True):
        other = first.setdefault(original, name)
        if owners[other] != owners[name]:
            raise BuildError(
                f"recipe {recipe.id}: {other} is in split {owners[other][0]} and {name} in {owners[name][0]}, but they are "
                "pieces of one video, or have the same bytes: what is learned on one would be measured on the other. Edit "
                "`split`."
            )
    return [owners[name][0] for name in names]


def _filter_text(where: ClipFilter) -> str:
    given = where.model_dump(exclude_defaults=True)
    return "" if not given else " with " + ", ".join(f"{name} {value}" for name, value in given.items())
