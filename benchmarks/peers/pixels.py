"""Patch pairs with the statistics of photographs: cut from T91 and Set5, or from noise with a 1/f spectrum."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from random_access import natural_picture

from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import DATA_DIR, describe_set, shard_name, write_index, write_set_json
from sr_datasets.shards.writer import ShardWriter

SCALE = 3
LR_SIZE = 32
HR_SIZE = LR_SIZE * SCALE
SAMPLE_BYTES = 3 * (LR_SIZE**2 + HR_SIZE**2)
ROWS_PER_GROUP = 30
GROUPS_PER_SHARD = 100

Pair = tuple[np.ndarray, np.ndarray]
"""LR ``(3, 32, 32)`` and HR ``(3, 96, 96)``, uint8, contiguous."""


def pictures_of(data: Path | None) -> tuple[list[np.ndarray], str]:
    """Return ``(3, h, w)`` pictures large enough to cut from, and what they are."""
    found = []
    if data is not None:
        for folder in (data / "t91", data / "set5" / "GT"):
            for path in sorted(folder.glob("*.png")):
                picture = np.asarray(Image.open(path).convert("RGB"))
                if min(picture.shape[:2]) >= HR_SIZE:
                    found.append(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    if found:
        return found, f"{len(found)} pictures of T91 and Set5"
    return [natural_picture(1080, 1920, np.random.default_rng(0))], "a picture with a 1/f spectrum"


def iter_pairs(pictures: Sequence[np.ndarray], count: int) -> Iterator[Pair]:
    """Yield patch pairs at random positions; LR is every third HR sample, since its bytes count, not its look."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        picture = pictures[int(rng.integers(len(pictures)))]
        top, left = (int(rng.integers(size - HR_SIZE + 1)) for size in picture.shape[1:])
        hr = np.ascontiguousarray(picture[:, top : top + HR_SIZE, left : left + HR_SIZE])
        yield np.ascontiguousarray(hr[:, ::SCALE, ::SCALE]), hr


def write_shards(
    set_dir: Path, pairs: Iterator[Pair], count: int, groups_per_shard: int = GROUPS_PER_SHARD
) -> None:
    """Write a set as ``build-pairs`` does: raw, 30 rows a row group."""
    rows_per_shard = ROWS_PER_GROUP * groups_per_shard
    num_shards = -(-count // rows_per_shard)
    summaries = []
    for number in range(num_shards):
        rows = range(number * rows_per_shard, min((number + 1) * rows_per_shard, count))
        with ShardWriter(set_dir / DATA_DIR / shard_name("train", number, num_shards)) as writer:
            for first in range(rows.start, rows.stop, ROWS_PER_GROUP):
                group = range(first, min(first + ROWS_PER_GROUP, rows.stop))
                writer.write_group([_row(row, *next(pairs)) for row in group])
        summaries.append(writer.summary)
    index = write_index(set_dir, summaries)
    write_set_json(
        set_dir, describe_set(recipe={"id": "benchmark"}, shards=summaries, index=index, inputs=())
    )


def _row(row: int, lr: np.ndarray, hr: np.ndarray) -> Row:
    clip = f"clip{row // ROWS_PER_GROUP:06d}"
    return Row(
        sample_id=f"benchmark/{clip}/{row:07d}",
        source="benchmark",
        clip=clip,
        split="train",
        row=row,
        frame_indices=(row,),
        pts=(row,),
        time_base="1/25",
        top=0,
        left=0,
        scale=SCALE,
        color="rgb",
        bit_depth=8,
        matrix="rgb",
        matrix_from="declared",
        range="full",
        range_from="declared",
        transfer="iec61966-2-1",
        transfer_from="declared",
        siting="none",
        siting_from="declared",
        degradation='{"kind": "subsample"}',
        lr=lr,
        hr=hr,
    )
