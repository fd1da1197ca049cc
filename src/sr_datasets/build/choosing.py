"""Which clips a recipe takes, and in which split each goes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sr_datasets import catalog
from sr_datasets.build.planning import PairPlan, plan_rows, some
from sr_datasets.built import (
    RecipeLock,
    settings_of,
)
from sr_datasets.errors import BuildError, StoreError, nearest_names
from sr_datasets.facts import facts_of, judge, parse_where
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import ClipFilter, Recipe
from sr_datasets.sampling import (
    deal,
    keyed_order,
)
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
    recipe: Recipe, store: Store, *, lock: RecipeLock | None = None, progress: Progress | None = None
) -> Chosen:
    """Choose the recipe's clips, deal them to splits, and count their rows.

    Args:
        recipe: What to build.
        store: Where the clips lie.
        lock: The list of clips to take in place of what the recipe would choose.
        progress: Told what a user may not expect: fewer clips than asked for.

    Raises:
        BuildError: No clip fits, a clip is too small or too short for the sampling, or clips differ in depth.
        StoreError: A clip is not in the store, and the recipe does not say ``present_only``.
    """
    if lock is not None:
        return Chosen(_locked_pairs(recipe, store, lock))
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
    splits = _splits_of(recipe, records, progress or Silent())
    pairs = [
        PairPlan(clip, record, split, num_rows=len(plan_rows(recipe, record)))
        for (clip, record), split in zip(chosen, splits, strict=True)
    ]
    return Chosen(pairs, tuple(sorted(skipped, key=lambda clip: (clip.source, clip.clip))))


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


def _locked_pairs(recipe: Recipe, store: Store, lock: RecipeLock) -> list[PairPlan]:
    """Return the pairs of a list, or refuse: another recipe, a clip that is missing, other bytes."""
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
    return [
        PairPlan(
            clips[clip.name],
            records[clip.name],
            clip.split,
            num_rows=len(plan_rows(recipe, records[clip.name])),
        )
        for clip in lock.clips
    ]


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
        known = facts_of(selected.source, selected.clip, info=here.info if here else None)
        if here is not None:
            if _fits(recipe.where, here.info) and judge(conditions, known):
                chosen.append((selected.clip, here))
            else:
                skipped.append(_skipped(here, f"does not fit{_filter_text(recipe.where)}"))
        elif (
            not recipe.present_only
            and _may_fit(recipe.where, selected.clip)
            and judge(conditions, known) is not False
        ):
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


def _splits_of(recipe: Recipe, records: Sequence[ClipRecord], progress: Progress) -> list[str]:
    if counts := recipe.split.counts:
        dealt = deal(len(records), counts)
        if any(dealt[name] != count for name, count in counts.items() if count != -1):
            progress.log(
                f"{recipe.id}: {len(records)} clips are fewer than the split counts ask for; dealt in proportion: "
                + ", ".join(f"{count} {name}" for name, count in dealt.items())
            )
        return [name for name, count in dealt.items() for _ in range(count)][: len(records)]
    names = [f"{record.source}/{record.clip}" for record in records]
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
    return [owners[name][0] for name in names]


def _filter_text(where: ClipFilter) -> str:
    given = where.model_dump(exclude_defaults=True)
    return "" if not given else " with " + ", ".join(f"{name} {value}" for name, value in given.items())
