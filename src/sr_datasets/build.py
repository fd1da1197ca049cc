"""From a recipe to shards: choose clips, plan rows, one task per shard, then the index. Reads top to bottom.

A build is a pure function of the recipe and of the clips' bytes. Nothing of the run itself (time, folder,
host, workers) reaches a shard, so that any number of workers, on any day, writes the same bytes.
"""

import errno
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from sr_datasets import __version__, catalog, color
from sr_datasets.built import (
    RECIPES_NAME,
    LockedClip,
    RecipeLock,
    lock_recipe,
    recipe_locks,
    register_set,
    settings_of,
)
from sr_datasets.degrade import degrade, degrade_frame, hr_window
from sr_datasets.engine import run_tasks
from sr_datasets.errors import BuildError, ShardError, StoreError, nearest_names
from sr_datasets.facts import facts_of, judge, parse_where
from sr_datasets.files import disk_errors, folder_lock, write_atomic
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import ClipFilter, GridSampling, Recipe, UniformSampling
from sr_datasets.sampling import (
    ClipSize,
    RowPlan,
    chunked,
    deal,
    digest_of,
    grid_rows,
    keyed_order,
    uniform_rows,
)
from sr_datasets.shards.reader import ShardReader, summarize_shard
from sr_datasets.shards.schema import MAX_GROUP_ROWS, Row
from sr_datasets.shards.sets import (
    DATA_DIR,
    FORGETTING_NAME,
    INDEX_NAME,
    SET_NAME,
    InputInfo,
    SetInfo,
    ShardSummary,
    SkippedInput,
    describe_set,
    read_set,
    shard_name,
    split_of_name,
    write_index,
    write_set_json,
)
from sr_datasets.shards.verify import verify_shard
from sr_datasets.shards.writer import ShardWriter
from sr_datasets.store import ClipRecord, Store
from sr_datasets.video import ClipReader, open_clip

_logger = logging.getLogger(__name__)

MAX_GROUP_BYTES = 64 << 20
"""Pixels of one row group at most: a pair with more becomes several groups. It bounds a worker's memory."""
CARD_NAME = "README.md"
"""The card of a set."""
_PACKAGES = ("numpy", "pyarrow", "av", "pillow")
"""What the bytes of a shard can depend on."""
STATE_NAME = ".build.json"
"""What stands in the folder of a build that is not finished."""
_Planes: TypeAlias = NDArray[np.uint8 | np.uint16]
_NOTHING: _Planes = np.empty((0, 0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class PairPlan:
    """One clip, the split that it belongs to, and how many rows it gives."""

    clip: Clip
    """What the manifest says of the clip."""
    record: ClipRecord
    """What the store knows of it."""
    split: str
    """Where all of its rows go."""
    num_rows: int
    """Patch pairs."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Everything that one shard is made of; small, so that it can be sent to a worker."""

    name: str
    """File name, ``train-00000-of-00013.parquet``."""
    split: str
    """The split of all of its clips."""
    pairs: tuple[PairPlan, ...]
    """Its clips, in order."""
    recipe: Recipe
    """The whole recipe."""
    out_dir: Path
    """The set's folder."""
    store_root: Path
    """The data folder."""

    @property
    def path(self) -> Path:
        """Where the shard lies when it is whole."""
        return self.out_dir / DATA_DIR / self.name

    @property
    def num_rows(self) -> int:
        """Patch pairs of all clips."""
        return sum(pair.num_rows for pair in self.pairs)

    def digest(self) -> str:
        """Return what the shard is made of, as a hash: recipe, name, and the bytes of each clip."""
        inputs = [(pair.record.source, pair.record.clip, pair.record.sha256) for pair in self.pairs]
        return plan_digest(self.recipe.model_dump_json(), self.name, inputs)


def plan_digest(recipe_json: str, name: str, inputs: Iterable[tuple[str, str, str]]) -> str:
    """Return what a shard is made of, as a hash.

    Args:
        recipe_json: The whole recipe.
        name: File name of the shard.
        inputs: Source, clip and SHA-256 of each of its clips, in order.
    """
    return digest_of("shard-1", recipe_json, name, *(part for clip in inputs for part in clip)).hex()


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
    with disk_errors(f"building into {out_dir}", out_dir), _own_folder(recipe, pairs, tasks, out_dir):
        _register(recipe, pairs, out_dir, store)
        summaries = {task.name: summary for task in tasks if (summary := _finished(task)) is not None}
        todo = [task for task in tasks if task.name not in summaries]
        num_reused = len(summaries)
        with progress.bar(
            f"building {recipe.id}", total=sum(task.num_rows for task in tasks), unit="rows"
        ) as bar:
            bar.advance(sum(task.num_rows for task in tasks if task.name in summaries))
            for task, summary in run_tasks(build_shard, todo, workers=workers):
                summaries[task.name] = summary
                bar.advance(task.num_rows)
        in_order = [summaries[task.name] for task in tasks]
        info = describe_set(
            recipe=recipe.model_dump(mode="json"),
            shards=in_order,
            index=write_index(out_dir, in_order),
            inputs=_inputs_of(pairs),
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


# Choosing clips


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
        found = "; ".join(f"{depth} bits: {_some(names)}" for depth, names in sorted(by_depth.items()))
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
            f"{len(names)} {what}: {_some(names)}"
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
            f"{_some(missing)}. Bring them in with: sr-data fetch {' '.join(recipe.clips)}"
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


# Planning


def plan_rows(recipe: Recipe, record: ClipRecord) -> tuple[RowPlan, ...]:
    """Return which patches of a clip become rows.

    Raises:
        BuildError: The clip is too small or too short for the recipe.
    """
    info = record.info
    size = ClipSize(record.source, record.clip, info.width, info.height, info.num_frames)
    sampling = recipe.sampling
    try:
        match sampling:
            case UniformSampling():
                return uniform_rows(
                    size,
                    count=sampling.patches_per_pair,
                    lr_size=sampling.lr_size,
                    scale=recipe.scale,
                    window=sampling.window,
                    seed=recipe.seed,
                )
            case GridSampling():
                return grid_rows(
                    size,
                    lr_size=sampling.lr_size,
                    stride=sampling.stride,
                    scale=recipe.scale,
                    frame_step=sampling.frame_step,
                )
            case _:
                assert_never(sampling)
    except ValueError as error:
        raise BuildError(
            f"{record.source}/{record.clip} {error}. Leave the clip out of recipe {recipe.id}, or change its sampling."
        ) from error


def plan_shards(recipe: Recipe, pairs: Sequence[PairPlan], *, out_dir: Path, store: Store) -> list[ShardTask]:
    """Group pairs into shards: the next ``clips_per_shard`` clips of one split, in selection order."""
    by_split: dict[str, list[PairPlan]] = defaultdict(list)
    for pair in pairs:
        by_split[pair.split].append(pair)
    tasks = []
    for split in sorted(by_split):
        groups = chunked(by_split[split], recipe.clips_per_shard)
        for number, group in enumerate(groups):
            name = shard_name(split, number, len(groups))
            tasks.append(ShardTask(name, split, tuple(group), recipe, out_dir, store.root))
    return tasks


# Making one shard


def build_shard(task: ShardTask) -> ShardSummary:
    """Write one shard, whole or not at all."""
    store = Store(task.store_root)
    with ShardWriter(task.path, metadata=_metadata(task)) as writer:
        for pair in task.pairs:
            store.check(pair.record)
            for rows in iter_groups(task.recipe, pair, store):
                writer.write_group(rows)
    return writer.summary


def iter_groups(recipe: Recipe, pair: PairPlan, store: Store) -> Iterator[list[Row]]:
    """Cut and degrade the rows of a pair and yield them in groups, one for most pairs.

    Only the planned frames are decoded; a frame is let go before the next one comes.
    """
    plan = plan_rows(recipe, pair.record)
    for part in chunked(plan, _rows_per_group(recipe, pair.record.info)):
        with open_clip(store.path_of(pair.record), pair.record.info, clip=pair.clip) as reader:
            yield _cut_rows(recipe, pair, part, reader)


def _cut_rows(recipe: Recipe, pair: PairPlan, plan: Sequence[RowPlan], reader: ClipReader) -> list[Row]:
    info, scale = pair.record.info, recipe.scale
    layout = info.layout
    frame_height, frame_width = info.height - info.height % scale, info.width - info.width % scale
    lr_size = recipe.sampling.lr_size
    hr_all = isinstance(recipe.sampling, UniformSampling) and recipe.sampling.hr_frames == "all"
    uses: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for position, row in enumerate(plan):
        for number, frame_index in enumerate(row.frame_indices):
            uses[frame_index].append((position, number))
    lr: list[list[_Planes]] = [[_NOTHING] * len(row.frame_indices) for row in plan]
    hr: list[list[_Planes]] = [[_NOTHING] * len(row.frame_indices) for row in plan]
    pts: dict[int, int] = {}
    for frame in reader.frames(sorted(uses)):
        pts[frame.index] = frame.pts
        cut = _FrameCutter(
            frame.planes, layout, recipe, frame_height, frame_width, num_patches=len(uses[frame.index])
        )
        for position, number in uses[frame.index]:
            row = plan[position]
            hr[position][number], lr[position][number] = cut.patch(row.top, row.left, lr_size)
    tags = _tags_of(info, recipe)
    rows = []
    for row, lr_frames, hr_frames in zip(plan, lr, hr, strict=True):
        centre = len(row.frame_indices) // 2
        single = len(row.frame_indices) == 1
        rows.append(
            Row(
                sample_id=f"{pair.record.source}/{pair.record.clip}/{row.number:06d}",
                source=pair.record.source,
                clip=pair.record.clip,
                split=pair.split,
                row=row.number,
                frame_indices=row.frame_indices,
                pts=tuple(pts[index] for index in row.frame_indices),
                time_base=str(info.time_base),
                top=row.top,
                left=row.left,
                scale=scale,
                color=recipe.color,
                bit_depth=info.bit_depth,
                degradation=recipe.degradation.model_dump_json(),
                lr=lr_frames[0] if single else np.stack(lr_frames),
                hr=np.stack(hr_frames) if hr_all and not single else hr_frames[centre],
                **tags,
            )
        )
    return rows


class _FrameCutter:
    """Cuts aligned patches out of one frame: HR, and the LR that the whole degraded frame would have there."""

    def __init__(
        self,
        planes: Sequence[_Planes],
        layout: color.PlaneLayout,
        recipe: Recipe,
        frame_height: int,
        frame_width: int,
        *,
        num_patches: int,
    ) -> None:
        self._planes, self._layout, self._recipe = planes, layout, recipe
        self._height, self._width = frame_height, frame_width
        self._whole: tuple[_Planes, _Planes] | None = None
        window = hr_window(
            recipe.degradation,
            recipe.scale,
            lr_top=0,
            lr_left=0,
            lr_height=recipe.sampling.lr_size,
            lr_width=recipe.sampling.lr_size,
            frame_height=frame_height,
            frame_width=frame_width,
        )
        # Patches that overlap much are cheaper cut out of the whole frame degraded once: the same bits.
        if num_patches * window.height * window.width > frame_height * frame_width:
            hr = self._window(0, 0, frame_height, frame_width)
            lr = degrade_frame(hr, recipe.degradation, recipe.scale, bit_depth=layout.bit_depth)
            self._whole = hr, lr

    def patch(self, top: int, left: int, lr_size: int) -> tuple[_Planes, _Planes]:
        """Return HR and LR of the patch whose first LR sample is (top, left)."""
        scale, degradation = self._recipe.scale, self._recipe.degradation
        hr_size = lr_size * scale
        if self._whole is not None:
            hr, lr = self._whole
            return (
                hr[:, top * scale : top * scale + hr_size, left * scale : left * scale + hr_size],
                lr[:, top : top + lr_size, left : left + lr_size],
            )
        place = hr_window(
            degradation,
            scale,
            lr_top=top,
            lr_left=left,
            lr_height=lr_size,
            lr_width=lr_size,
            frame_height=self._height,
            frame_width=self._width,
        )
        window = self._window(place.top, place.left, place.height, place.width)
        lr = degrade(
            window,
            degradation,
            scale,
            window_top=place.top,
            window_left=place.left,
            frame_height=self._height,
            frame_width=self._width,
            lr_top=top,
            lr_left=left,
            lr_height=lr_size,
            lr_width=lr_size,
            bit_depth=self._layout.bit_depth,
        )
        hr_top, hr_left = top * scale - place.top, left * scale - place.left
        # A copy, so that the frame can be let go while the row waits for its group.
        return window[:, hr_top : hr_top + hr_size, hr_left : hr_left + hr_size].copy(), lr

    def _window(self, top: int, left: int, height: int, width: int) -> _Planes:
        return color.window(
            self._planes,
            self._layout,
            color=self._recipe.color,
            top=top,
            left=left,
            height=height,
            width=width,
        )


def _tags_of(info: VideoInfo, recipe: Recipe) -> dict[str, str]:
    tags = info.color.model_dump(mode="json")
    if info.model == "rgb" and recipe.color == "y":
        # Luma of pictures is our own computation: MATLAB's rgb2ycbcr, whatever the file says.
        tags |= {"matrix": "bt601", "range": "limited", "matrix_from": "declared", "range_from": "declared"}
    return tags


def _rows_per_group(recipe: Recipe, info: VideoInfo) -> int:
    sampling = recipe.sampling
    window = sampling.window if isinstance(sampling, UniformSampling) else 1
    hr_frames = window if isinstance(sampling, UniformSampling) and sampling.hr_frames == "all" else 1
    channels = 3 if recipe.color == "rgb" else 1
    sample_bytes = 2 if info.bit_depth > 8 else 1
    row_bytes = sampling.lr_size**2 * channels * sample_bytes * (window + hr_frames * recipe.scale**2)
    return max(1, min(MAX_GROUP_ROWS, MAX_GROUP_BYTES // row_bytes))


def _metadata(task: ShardTask) -> dict[str, str]:
    return {
        "recipe": task.recipe.model_dump_json(),
        "inputs": json.dumps(
            [
                {"source": pair.record.source, "clip": pair.record.clip, "sha256": pair.record.sha256}
                for pair in task.pairs
            ]
        ),
        "plan": task.digest(),
    }


def _inputs_of(pairs: Sequence[PairPlan]) -> list[InputInfo]:
    return [
        InputInfo(
            source=pair.record.source,
            clip=pair.record.clip,
            split=pair.split,
            sha256=pair.record.sha256,
            origin=pair.record.origin,
        )
        for pair in pairs
    ]


# What the store knows of the build


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


# The folder


@contextmanager
def _own_folder(
    recipe: Recipe, pairs: Sequence[PairPlan], tasks: Sequence[ShardTask], out_dir: Path
) -> Iterator[None]:
    """Hold the folder for this build alone, after a look at whether it may be built into."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BuildError(
            f"{out_dir} is a file, or lies in one. Give --out a new or an empty folder."
        ) from error
    with locked_folder(out_dir):
        plan = digest_of("set-1", recipe.model_dump_json(), *[pair.record.sha256 for pair in pairs]).hex()
        _check_folder(recipe, pairs, tasks, plan, out_dir)
        write_atomic(out_dir / STATE_NAME, json.dumps({"recipe": recipe.id, "plan": plan}).encode())
        for partial in (out_dir / DATA_DIR).glob(".*.part"):
            partial.unlink()  # of a run that was killed: the lock says that nobody writes it now
        yield
        # From here on sr-data.json says what the folder holds.
        (out_dir / STATE_NAME).unlink()


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold a set's folder against other builds, and against those who forget.

    Raises:
        BuildError: Another process holds it.
    """
    with folder_lock(folder) as ours:
        if not ours:
            raise BuildError(
                f"{folder}: another build is writing into this folder, or `sr-data forget` is. Wait for it to end."
            )
        yield


def _check_folder(
    recipe: Recipe, pairs: Sequence[PairPlan], tasks: Sequence[ShardTask], plan: str, out_dir: Path
) -> None:
    if (out_dir / FORGETTING_NAME).exists():
        raise BuildError(
            f"{out_dir}: `sr-data forget` was interrupted in this folder. Run it again first, or delete the folder."
        )
    ours = {STATE_NAME, DATA_DIR, INDEX_NAME, SET_NAME, CARD_NAME}
    strangers = [path.name for path in out_dir.iterdir() if path.name not in ours]
    strangers += [
        f"{DATA_DIR}/{path.name}"
        for path in out_dir.glob(f"{DATA_DIR}/*")
        if split_of_name(path.name) is None and not path.name.endswith(".part")
    ]
    if strangers:
        raise BuildError(
            f"{out_dir} holds files that no build wrote: {_some(sorted(strangers))}. Give --out a new or an empty folder."
        )
    if (out_dir / SET_NAME).exists():
        there = read_set(out_dir)
        other = str(there.recipe.get("id"))
        same = (
            there.recipe == recipe.model_dump(mode="json")
            and list(there.inputs) == _inputs_of(pairs)
            # A set of which clips were forgotten keeps its shards' names, though it may have fewer of them.
            and {shard.name for shard in there.shards} == {task.name for task in tasks}
        )
    elif (out_dir / STATE_NAME).exists():
        state = json.loads((out_dir / STATE_NAME).read_bytes())
        other, same = state["recipe"], state["plan"] == plan
    else:
        other, same = "unknown", not any(out_dir.glob(f"{DATA_DIR}/*"))
    if not same:
        raise BuildError(
            f"{out_dir} holds shards of another build (recipe {other}); this one is {recipe.id}, and the recipe, its "
            "clips or their bytes differ. Give --out another folder, or delete this one."
        )


def _finished(task: ShardTask) -> ShardSummary | None:
    """Return the summary of a shard that an earlier run of this build finished, or None."""
    if not task.path.is_file():
        return None
    try:
        with closing(ShardReader(task.path)) as reader:
            if reader.metadata.get("plan") != task.digest():
                return None
        problems = verify_shard(task.path)
    except ShardError as error:
        problems = [str(error)]
    if problems:
        _logger.warning("%s; it is made again", problems[0])
        return None
    return summarize_shard(task.path)


def card_of(info: SetInfo) -> str:
    """Return the folder's README: what it is, and a front matter that points Hugging Face at data/."""
    recipe = info.recipe
    by_split = Counter(clip.split for clip in info.inputs)
    splits = sorted(by_split)
    files = "\n".join(f"  - split: {split}\n    path: data/{split}-*.parquet" for split in splits)
    counts = "\n".join(f"| {split} | {by_split[split]} | {info.splits.get(split, 0)} |" for split in splits)
    sources = ", ".join(dict.fromkeys(clip.source for clip in info.inputs))
    degradation = json.dumps(recipe["degradation"], separators=(",", ":"))
    return f"""---
configs:
- config_name: default
  data_files:
{files}
---
# {recipe["title"]}

HR-LR patch pairs at x{recipe["scale"]}, built with sr-datasets from the recipe `{recipe["id"]}`.

| split | pairs | rows |
|---|---|---|
{counts}

- sources: {sources} (each input with its SHA-256 in `sr-data.json`)
- degradation: `{degradation}`
- colour: `{recipe["color"]}`
- content digest: `{info.content_digest}`

```python
from sr_datasets import PairDataset

train = PairDataset(".", split="train")
```
"""


def _pairs_by_split(pairs: Sequence[PairPlan]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for pair in pairs:
        counts[pair.split] += 1
    return {split: counts[split] for split in sorted(counts)}


def _filter_text(where: ClipFilter) -> str:
    given = where.model_dump(exclude_defaults=True)
    return "" if not given else " with " + ", ".join(f"{name} {value}" for name, value in given.items())


def _some(names: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
