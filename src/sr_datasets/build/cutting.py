"""Making one shard: the planned frames are decoded, cut, degraded and written."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sr_datasets import color
from sr_datasets.build.planning import PairPlan, ShardTask, plan_rows
from sr_datasets.degrade import Degrader, Drawn, Region
from sr_datasets.manifest import VideoInfo
from sr_datasets.recipe import Recipe, UniformSampling
from sr_datasets.sampling import (
    RowPlan,
    chunked,
)
from sr_datasets.shards.schema import MAX_GROUP_ROWS, Row
from sr_datasets.shards.sets import (
    ShardSummary,
)
from sr_datasets.shards.writer import ShardWriter
from sr_datasets.store import Store
from sr_datasets.video import ClipReader, open_clip

MAX_GROUP_BYTES = 64 << 20
"""Pixels of one row group at most: a pair with more becomes several groups. It bounds a worker's memory."""
_Planes: TypeAlias = NDArray[np.uint8 | np.uint16]
_NOTHING: _Planes = np.empty((0, 0, 0), np.uint8)


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
    lr_size = recipe.sampling.lr_size
    hr_all = isinstance(recipe.sampling, UniformSampling) and recipe.sampling.hr_frames == "all"
    degrader = Degrader(recipe.degradation, scale, bit_depth=info.bit_depth, color=recipe.color)
    uses: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for position, row in enumerate(plan):
        for number, frame_index in enumerate(row.frame_indices):
            uses[frame_index].append((position, number))
    cuts = [_RowCut(recipe, pair, row, degrader) for row in plan]
    pts: dict[int, int] = {}
    for frame in reader.frames(sorted(uses)):
        pts[frame.index] = frame.pts
        hr = _HrFrame(frame.planes, recipe, info)
        whole = None
        if _cheaper_whole(degrader, hr, lr_size, num_patches=len(uses[frame.index])):
            whole = degrader.degrade_frame(hr.region(hr.all), number=frame.index)
        for position, number in uses[frame.index]:
            cuts[position].take(number, hr, whole)
    tags = _tags_of(info, recipe)
    rows = []
    for row, cut in zip(plan, cuts, strict=True):
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
                drawn=json.dumps({"steps": cut.drawn}) if cut.drawn else "{}",
                lr=cut.lr[0] if single else np.stack(cut.lr),
                hr=np.stack(cut.hr) if hr_all and not single else cut.hr[len(cut.hr) // 2],
                **tags,
            )
        )
    return rows


def _cheaper_whole(degrader: Degrader, hr: "_HrFrame", lr_size: int, *, num_patches: int) -> bool:
    """Tell whether the whole frame is degraded once for all of its patches: the same bits."""
    if degrader.draws or degrader.scope not in ("window", "frame"):
        return False
    if degrader.scope == "frame":
        return True
    window = degrader.hr_region(Region(0, 0, lr_size, lr_size), hr.all.height, hr.all.width)
    return num_patches * window.height * window.width > hr.all.height * hr.all.width


class _HrFrame:
    """One decoded frame, mod-cropped, in the recipe's colour."""

    def __init__(self, planes: Sequence[_Planes], recipe: Recipe, info: VideoInfo) -> None:
        self._planes, self._layout, self._color = planes, info.layout, recipe.color
        # 4:2:0 is cut where chroma samples begin, on both grids.
        unit = recipe.scale * (2 if recipe.color == "yuv420" else 1)
        self.all = Region(0, 0, info.height - info.height % unit, info.width - info.width % unit)

    def region(self, part: Region) -> _Planes:
        """Return a part of the frame; ``yuv420`` packed."""
        place = {"top": part.top, "left": part.left, "height": part.height, "width": part.width}
        if self._color != "yuv420":
            return color.window(self._planes, self._layout, color=self._color, **place)
        luma = color.window(self._planes, self._layout, color="y", **place)
        half = {name: value // 2 for name, value in place.items()}
        return color.pack_yuv420(luma, color.chroma_window(self._planes, self._layout, **half))


class _RowCut:
    """Collects the frames of one row: HR, and LR as the degraded whole frame (or crop) has it there."""

    def __init__(self, recipe: Recipe, pair: PairPlan, row: RowPlan, degrader: Degrader) -> None:
        self._row, self._degrader, self._scale = row, degrader, recipe.scale
        self._lr_region = Region(row.top, row.left, recipe.sampling.lr_size, recipe.sampling.lr_size)
        self._key = (recipe.seed, pair.record.source, pair.record.clip, row.number)
        self._missing = len(row.frame_indices)
        self.hr: list[_Planes] = [_NOTHING] * len(row.frame_indices)
        """HR of each frame, when all have come."""
        self.lr: list[_Planes] = [_NOTHING] * len(row.frame_indices)
        """LR of each frame, when all have come."""
        self.drawn: Drawn = []
        """What was drawn for the row."""

    def take(self, number: int, hr: _HrFrame, whole_lr: _Planes | None) -> None:
        """Cut frame ``number`` of the row; ``whole_lr`` is LR of the whole frame where it was made."""
        at, size = hr.all, self._lr_region
        if whole_lr is not None:
            # Copies, so that the frame can be let go while the row waits for its group.
            self.hr[number] = hr.region(size.times(self._scale)).copy()
            whole = Region(0, 0, at.height // self._scale, at.width // self._scale)
            self.lr[number] = self._degrader.cut(whole_lr, whole, size).copy()
            return
        needed = self._degrader.hr_region(size, at.height, at.width)
        window = hr.region(needed)
        self.hr[number] = self._degrader.cut(window, needed, size.times(self._scale)).copy()
        self._missing -= 1
        if self._degrader.scope != "crop":
            (self.lr[number],), self.drawn = self._degrade([window], needed, hr, [number])
        elif not self._missing:
            # What is degraded crop by crop may join the frames of a row: its parameters walk over them.
            self.lr, self.drawn = self._degrade(self.hr, needed, hr, range(len(self.hr)))

    def _degrade(
        self, windows: Sequence[_Planes], at: Region, hr: _HrFrame, numbers: Sequence[int]
    ) -> tuple[list[_Planes], Drawn]:
        return self._degrader.degrade(
            windows,
            at=at,
            height=hr.all.height,
            width=hr.all.width,
            lr=self._lr_region,
            key=self._key,
            numbers=[self._row.frame_indices[number] for number in numbers],
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
