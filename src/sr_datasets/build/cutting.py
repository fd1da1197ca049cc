"""Making one shard: the planned frames are decoded, cut, degraded and written."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

import numpy as np

from sr_datasets.build.analysing import planned_pairs, planned_rows
from sr_datasets.build.frames import (
    Coded,
    Given,
    HrFrame,
    LrFrames,
    NoFrames,
    PerFrame,
    Planes,
    hr_depth,
    hr_size,
)
from sr_datasets.build.planning import PairPlan, ShardTask
from sr_datasets.degrade import Degrader, Drawn, Region, cut
from sr_datasets.errors import DecodeError, StoreError
from sr_datasets.guarded import Began, StuckError, run_guarded
from sr_datasets.manifest import VideoInfo
from sr_datasets.recipe import Recipe
from sr_datasets.recipe.given import NoLr, Provided
from sr_datasets.sampling import RowPlan, row_groups
from sr_datasets.shards.schema import MAX_GROUP_ROWS, Row
from sr_datasets.shards.sets import (
    ShardSummary,
    SkippedInput,
)
from sr_datasets.shards.writer import ShardWriter
from sr_datasets.store import Store
from sr_datasets.video import ClipReader, open_clip, row_tags, with_declared

MAX_GROUP_BYTES = 64 << 20
"""Pixels of one row group at most: a pair with more becomes several groups. It bounds a worker's memory."""
_NOTHING: Planes = np.empty((0, 0, 0), np.uint8)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What making a shard yields."""

    summary: ShardSummary
    """What was written."""
    skipped: tuple[SkippedInput, ...]
    """Clips that could not be read, and were left out."""
    seconds: dict[str, float]
    """Seconds by stage."""


def build_shard(task: ShardTask) -> ShardResult:
    """Write one shard, whole or not at all.

    A clip that cannot be read ends the task, or is left out of the shard where the task says so; the rows of
    the other clips stay as they are. Where the task limits the seconds of a clip, all is done in a process of its own,
    which may hang or die: that is then such a clip.

    Raises:
        StoreError: A clip is missing, or was changed since it was verified.
        DecodeError: A clip cannot be read, or takes too long.
    """
    if task.clip_seconds is None:
        return _write_shard(_Attempt(task, {}), lambda _: None)
    lost: dict[str, SkippedInput] = {}
    while True:
        try:
            return run_guarded(_write_shard, _Attempt(task, lost), seconds=task.clip_seconds)
        except StuckError as error:
            pair = next((one for one in task.pairs if one.name == error.piece), None)
            if pair is None or task.on_error == "fail":
                raise DecodeError(
                    f"{error}. Leave such clips out with --on-error skip, or give them more time with --clip-seconds."
                ) from error
            lost[pair.name] = SkippedInput(
                source=pair.record.source, clip=pair.record.clip, reason=f"it {error.reason}"
            )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A task, and which of its clips an earlier attempt got stuck in."""

    task: ShardTask
    lost: Mapping[str, SkippedInput]


def _write_shard(attempt: _Attempt, began: Began) -> ShardResult:
    task, skipped = attempt.task, dict(attempt.lost)
    watch = Stopwatch()
    while True:
        pairs = [pair for pair in task.pairs if pair.name not in skipped]
        failed: PairPlan | None = None
        store = Store(task.store_root)
        plans = planned_pairs(task.recipe, [(pair.clip, pair.record) for pair in pairs], store)
        try:
            with ShardWriter(
                task.path,
                metadata=_metadata(task, _in_order(task, skipped)),
                storage=task.recipe.storage,
                preview=task.recipe.preview,
            ) as writer:
                for pair in pairs:
                    began(pair.name)
                    failed = pair
                    store.check(pair.record)
                    for rows in iter_groups(task.recipe, pair, store, plan=next(plans), watch=watch):
                        with watch.stage("write"):
                            writer.write_group(rows)
                began("")
                failed = None
            return ShardResult(writer.summary, _in_order(task, skipped), dict(watch.seconds))
        except (DecodeError, StoreError) as error:
            if failed is None or task.on_error == "fail":
                raise
            # What was written of the clip cannot be taken back, so the shard starts over without it.
            skipped[failed.name] = SkippedInput(
                source=failed.record.source,
                clip=failed.record.clip,
                reason=_without_paths(str(error), Store(task.store_root), failed),
            )


def _in_order(task: ShardTask, skipped: Mapping[str, SkippedInput]) -> tuple[SkippedInput, ...]:
    """Return what was left out in the order of the task's clips, whatever was found first."""
    return tuple(skipped[pair.name] for pair in task.pairs if pair.name in skipped)


def _without_paths(message: str, store: Store, pair: PairPlan) -> str:
    """Return a message without where the data folder lies: it stands in the shard."""
    text = message.replace(str(store.path_of(pair.record)), pair.name).replace(f"{store.root}/", "")
    while text.startswith(f"{pair.name}: "):
        text = text.removeprefix(f"{pair.name}: ")
    return text


class Stopwatch:
    """Adds up the seconds of stages."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Seconds by stage."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += perf_counter() - start

    def each(self, name: str, items: Iterator[_T]) -> Iterator[_T]:
        """Count the time that the items take to come."""
        while True:
            with self.stage(name):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item


def iter_groups(
    recipe: Recipe,
    pair: PairPlan,
    store: Store,
    *,
    plan: Sequence[RowPlan] | None = None,
    watch: Stopwatch | None = None,
) -> Iterator[list[Row]]:
    """Cut and degrade the rows of a pair and yield them in groups, one for most pairs.

    Only the planned frames are decoded, but where a video codec needs all; a frame is let go before the
    next one comes.

    Args:
        recipe: What is built.
        pair: One of its clips.
        store: Where the clip lies.
        plan: Its rows, where they are planned already.
        watch: Where seconds are counted.
    """
    if plan is None:
        plan = planned_rows(recipe, pair.clip, pair.record, store)
    info = with_declared(pair.record.info, pair.clip)
    watch = watch or Stopwatch()

    def open_reader() -> ClipReader:
        path = store.path_of(pair.record)
        return open_clip(path, info, clip=pair.clip, interlaced=recipe.interlaced)

    with ExitStack() as stack:
        with watch.stage("degrade"):
            degrader, lr_frames = _lr_of(recipe, pair, info, store, open_reader, plan, stack)
        for part in row_groups(plan, _rows_per_group(recipe, info)):
            with watch.stage("decode"):
                reader = open_reader()
            with reader:
                yield _cut_rows(recipe, pair, info, part, reader, degrader, lr_frames, watch)


def _lr_of(
    recipe: Recipe,
    pair: PairPlan,
    info: VideoInfo,
    store: Store,
    open_reader: Callable[[], ClipReader],
    plan: Sequence[RowPlan],
    stack: ExitStack,
) -> tuple[Degrader | None, LrFrames]:
    """Return how LR of a pair is made: patch by patch, or as whole frames; readers are closed with the stack."""
    if isinstance(recipe.degradation, NoLr):
        return None, NoFrames()
    if isinstance(recipe.degradation, Provided):
        assert pair.lr is not None, "choosing found the LR clip"
        store.check(pair.lr.record)
        small = with_declared(pair.lr.record.info, pair.lr.clip)
        reader = stack.enter_context(open_clip(store.path_of(pair.lr.record), small, clip=pair.lr.clip))
        return None, Given(reader, recipe, small)
    degrader = Degrader(
        recipe.degradation, recipe.scale, bit_depth=hr_depth(recipe, info), color=recipe.color
    )
    if degrader.scope != "clip":
        return degrader, PerFrame(degrader, recipe.sampling.lr_size)
    wanted = {index for row in plan for index in row.frame_indices}
    key = (recipe.seed, pair.record.source, pair.record.clip)
    return degrader, Coded(degrader, recipe, info, open_reader=open_reader, wanted=wanted, key=key)


def _cut_rows(
    recipe: Recipe,
    pair: PairPlan,
    info: VideoInfo,
    plan: Sequence[RowPlan],
    reader: ClipReader,
    degrader: Degrader | None,
    lr_frames: LrFrames,
    watch: Stopwatch,
) -> list[Row]:
    hr_all = recipe.sampling.num_hr_frames > 1
    uses: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for position, row in enumerate(plan):
        for number, frame_index in enumerate(row.frame_indices):
            uses[frame_index].append((position, number))
    cuts = [_RowCut(recipe, pair, row, degrader) for row in plan]
    pts: dict[int, int] = {}
    for frame in watch.each("decode", reader.frames(sorted(uses))):
        pts[frame.index] = frame.pts
        with watch.stage("degrade"):
            hr = HrFrame(frame.planes, recipe, info)
            whole = lr_frames.of(frame.index, hr, num_patches=len(uses[frame.index]))
            for position, number in uses[frame.index]:
                cuts[position].take(number, hr, whole)
    frame_height, frame_width = hr_size(recipe, info)
    tags = row_tags(info, recipe.color, rgb_from_yuv=recipe.rgb_from_yuv)
    rows = []
    for row, done in zip(plan, cuts, strict=True):
        single = len(row.frame_indices) == 1
        drawn = done.drawn or lr_frames.drawn
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
                frame_height=frame_height,
                frame_width=frame_width,
                scale=recipe.scale,
                color=recipe.color,
                bit_depth=hr_depth(recipe, info),
                degradation=recipe.degradation.model_dump_json(),
                drawn=json.dumps({"steps": drawn}) if drawn else "{}",
                lr=done.lr[0] if single else np.stack(done.lr),
                hr=np.stack(done.hr) if hr_all and not single else done.hr[len(done.hr) // 2],
                **tags,
            )
        )
    return rows


class _RowCut:
    """Collects the frames of one row: HR, and LR as the degraded whole frame (or crop) has it there."""

    def __init__(self, recipe: Recipe, pair: PairPlan, row: RowPlan, degrader: Degrader | None) -> None:
        self._row, self._degrader, self._scale, self._color = row, degrader, recipe.scale, recipe.color
        self._halo = recipe.degradation.halo if isinstance(recipe.degradation, NoLr) else 0
        self._lr_region = Region(row.top, row.left, recipe.sampling.lr_size, recipe.sampling.lr_size)
        self._key = (recipe.seed, pair.record.source, pair.record.clip, row.number)
        self._missing = len(row.frame_indices)
        self._hr_all = recipe.sampling.num_hr_frames > 1
        self.hr: list[Planes] = [_NOTHING] * len(row.frame_indices)
        """HR of each frame that has it in the row, when all have come."""
        self.lr: list[Planes] = [_NOTHING] * len(row.frame_indices)
        """LR of each frame, when all have come."""
        self.drawn: Drawn = []
        """What was drawn for the row."""

    def take(self, number: int, hr: HrFrame, whole_lr: Planes | None) -> None:
        """Cut frame ``number`` of the row; ``whole_lr`` is LR of the whole frame where it was made."""
        at, size, degrader = hr.all, self._lr_region, self._degrader
        keeps = self._hr_all or number == len(self.hr) // 2
        # Copies, so that the frame can be let go while the row waits for its group.
        if whole_lr is not None:
            if keeps:
                self.hr[number] = hr.region(size.times(self._scale)).copy()
            whole = Region(0, 0, at.height // self._scale, at.width // self._scale)
            self.lr[number] = cut(whole_lr, whole, size, color=self._color).copy()
            return
        if degrader is None:
            self.hr[number] = hr.region(size.times(self._scale).grown(self._halo)).copy()
            self.lr[number] = self.hr[number][:, :0, :0]
            return
        needed = degrader.hr_region(size, at.height, at.width)
        window = hr.region(needed)
        self._missing -= 1
        if keeps or degrader.scope == "crop":
            self.hr[number] = cut(window, needed, size.times(self._scale), color=self._color).copy()
        if degrader.scope != "crop":
            (self.lr[number],), self.drawn = self._degrade(degrader, [window], needed, hr, [number])
        elif not self._missing:
            # What is degraded crop by crop may join the frames of a row: its parameters walk over them.
            self.lr, self.drawn = self._degrade(degrader, self.hr, needed, hr, range(len(self.hr)))
            if not self._hr_all:
                centre = len(self.hr) // 2
                self.hr = [frame if number == centre else _NOTHING for number, frame in enumerate(self.hr)]

    def _degrade(
        self, degrader: Degrader, windows: Sequence[Planes], at: Region, hr: HrFrame, numbers: Sequence[int]
    ) -> tuple[list[Planes], Drawn]:
        return degrader.degrade(
            windows,
            at=at,
            height=hr.all.height,
            width=hr.all.width,
            lr=self._lr_region,
            key=self._key,
            numbers=[self._row.frame_indices[number] for number in numbers],
        )


def _rows_per_group(recipe: Recipe, info: VideoInfo) -> int:
    sampling = recipe.sampling
    window, hr_frames = sampling.num_lr_frames, sampling.num_hr_frames
    channels = 3 if recipe.color == "rgb" else 1
    sample_bytes = 2 if hr_depth(recipe, info) > 8 else 1
    row_bytes = sampling.lr_size**2 * channels * sample_bytes * (window + hr_frames * recipe.scale**2)
    return max(1, min(MAX_GROUP_ROWS, MAX_GROUP_BYTES // row_bytes))


def _metadata(task: ShardTask, skipped: Sequence[SkippedInput]) -> dict[str, str]:
    left_out = {"skipped": json.dumps([clip.model_dump() for clip in skipped])} if skipped else {}
    return left_out | {
        "recipe": task.recipe.model_dump_json(),
        "inputs": json.dumps(
            [
                {
                    "source": pair.record.source,
                    "clip": pair.record.clip,
                    "sha256": pair.made_of,
                    **({"lr": pair.lr.name} if pair.lr is not None else {}),
                }
                for pair in task.pairs
            ]
        ),
        "plan": task.digest(),
        **({"analysis": task.analysis} if task.analysis else {}),
    }
