"""Making one shard: the planned frames are decoded, cut, degraded and written."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sr_datasets import color
from sr_datasets.build.planning import PairPlan, ShardTask, plan_rows
from sr_datasets.degrade import degrade, degrade_frame, hr_window
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
