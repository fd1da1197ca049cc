"""A shard set of patches that a test has in memory, without a build."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import (
    DATA_DIR,
    InputInfo,
    SetInfo,
    describe_set,
    shard_name,
    write_index,
    write_set_json,
)
from sr_datasets.shards.writer import ShardWriter

Pairs = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def write_set(
    set_dir: Path, splits: Mapping[str, Pairs], *, color: str = "y", bit_depth: int = 8, clips: int = 2
) -> SetInfo:
    """Write ``(lr, hr)`` arrays of ``(N, C, h, w)`` of each split as a finished set, one shard a split."""
    shards, inputs = [], []
    first_lr, first_hr = next(iter(splits.values()))
    recipe = {
        "format": 1,
        "id": "made",
        "scale": first_hr.shape[-1] // first_lr.shape[-1],
        "color": color,
    }
    for split, (lr, hr) in splits.items():
        scale = hr.shape[-1] // lr.shape[-1]
        with ShardWriter(
            set_dir / DATA_DIR / shard_name(split, 0, 1), metadata={"recipe": json.dumps(recipe)}
        ) as writer:
            for number, part in enumerate(np.array_split(np.arange(len(lr)), clips)):
                clip = f"{split}{number}"
                inputs.append(InputInfo(source="made", clip=clip, split=split, sha256="0" * 64))
                writer.write_group(
                    [
                        _row(lr[i], hr[i], split, clip, row, scale, color, bit_depth)
                        for row, i in enumerate(part)
                    ]
                )
        shards.append(writer.summary)
    info = describe_set(
        recipe=recipe, shards=shards, index=write_index(set_dir, shards), inputs=inputs, packages={}
    )
    write_set_json(set_dir, info)
    return info


def _row(
    lr: npt.NDArray[Any],
    hr: npt.NDArray[Any],
    split: str,
    clip: str,
    row: int,
    scale: int,
    color: str,
    bit_depth: int,
) -> Row:
    frames = lr.shape[0] if lr.ndim == 4 else 1
    return Row(
        sample_id=f"made/{clip}/{row:06d}",
        source="made",
        clip=clip,
        split=split,
        row=row,
        frame_indices=tuple(range(frames)),
        pts=tuple(range(frames)),
        time_base="1/25",
        top=0,
        left=0,
        scale=scale,
        color=color,
        bit_depth=bit_depth,
        matrix="bt601",
        matrix_from="guessed",
        range="limited",
        range_from="guessed",
        transfer="bt709",
        transfer_from="guessed",
        siting="left" if color == "yuv420" else "none",
        siting_from="guessed",
        degradation='{"kind": "bicubic"}',
        lr=lr,
        hr=hr,
    )
