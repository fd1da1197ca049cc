"""Small rows, shards and sets with random pixels, for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import (
    DATA_DIR,
    InputInfo,
    SetInfo,
    ShardSummary,
    SkippedInput,
    describe_set,
    write_index,
    write_set_json,
)
from sr_datasets.shards.storage import Storage
from sr_datasets.shards.writer import ShardWriter


def make_rows(
    clip: str,
    count: int,
    *,
    split: str = "train",
    rng: np.random.Generator | None = None,
    frames: int = 1,
    hr_all: bool = False,
    color: str = "rgb",
    height: int = 4,
    width: int = 5,
    scale: int = 3,
    bit_depth: int = 8,
    drawn: str = "{}",
) -> list[Row]:
    """Return rows of one clip; the same arguments give the same pixels."""
    rng = rng or np.random.default_rng([ord(letter) for letter in clip])
    channels = 3 if color == "rgb" else 1
    rows = height * 3 // 2 if color == "yuv420" else height
    lr_shape: tuple[int, ...] = (channels, rows, width)
    hr_shape: tuple[int, ...] = (channels, rows * scale, width * scale)
    if frames > 1:
        lr_shape = (frames, *lr_shape)
    if hr_all:
        hr_shape = (frames, *hr_shape)
    dtype: Any = np.uint16 if bit_depth > 8 else np.uint8
    return [
        Row(
            sample_id=f"xiph/{clip}/{number:06d}",
            source="xiph",
            clip=clip,
            split=split,
            row=number,
            frame_indices=tuple(range(7 + number, 7 + number + frames)),
            pts=tuple(range(1001 * number, 1001 * number + frames)),
            time_base="1/30000",
            top=2 * number if color == "yuv420" else number,
            left=2 * number,
            scale=scale,
            color=color,
            bit_depth=bit_depth,
            matrix="bt709",
            matrix_from="declared",
            range="limited",
            range_from="tagged",
            transfer="bt709",
            transfer_from="guessed",
            siting="left",
            siting_from="guessed",
            degradation='{"kind": "bicubic"}',
            drawn=drawn,
            lr=rng.integers(0, 2**bit_depth, lr_shape, dtype),
            hr=rng.integers(0, 2**bit_depth, hr_shape, dtype),
        )
        for number in range(count)
    ]


SMALL: Mapping[str, Sequence[Sequence[Row]]] = {
    "test-00000-of-00001.parquet": [make_rows("t0", 2, split="test")],
    "train-00000-of-00002.parquet": [make_rows("c0", 5), make_rows("c1", 2)],
    "train-00001-of-00002.parquet": [make_rows("c2", 2)],
}
"""Row groups of each shard of a set with two splits, shards by name."""


def write_shard(
    path: Path,
    groups: Sequence[Sequence[Row]],
    metadata: Mapping[str, str] | None = None,
    *,
    storage: Storage = "raw",
) -> ShardSummary:
    """Write one shard."""
    with ShardWriter(path, metadata=metadata, storage=storage) as writer:
        for rows in groups:
            writer.write_group(rows)
    return writer.summary


def write_set(
    set_dir: Path, shards: Mapping[str, Sequence[Sequence[Row]]], *, storage: Storage = "raw"
) -> SetInfo:
    """Write a whole set, as a build does."""
    summaries = [
        write_shard(set_dir / DATA_DIR / name, groups, {"recipe": '{"id": "small"}'}, storage=storage)
        for name, groups in shards.items()
    ]
    info = describe_set(
        recipe={"id": "small"},
        shards=summaries[::-1],
        index=write_index(set_dir, summaries[::-1]),
        inputs=[InputInfo(source="xiph", clip="c0", split="train", sha256="0" * 64)],
        skipped=[SkippedInput(source="xiph", clip="c9", reason="too small")],
        packages={"pyarrow": "1"},
    )
    write_set_json(set_dir, info)
    return info


def rewrite(path: Path, foreign: Path, **options: Any) -> None:
    """Write a shard's rows again, as somebody else's tool would."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow.with_metadata(file.metadata.metadata)
        with pq.ParquetWriter(foreign, schema, **options) as writer:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group).replace_schema_metadata(file.metadata.metadata))
