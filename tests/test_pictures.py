"""Pictures of rows, for people: colours are those of the clip."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from patches import write_set
from shard_sets import make_rows

from sr_datasets.color import pack_yuv420
from sr_datasets.report.pictures import row_pictures


def packed(height: int, width: int, y: int, u: int, v: int, dtype: Any) -> npt.NDArray[Any]:
    luma = np.full((1, height, width), y, dtype)
    chroma = np.stack([np.full((height // 2, width // 2), value, dtype) for value in (u, v)])
    return pack_yuv420(luma, chroma)


@pytest.mark.parametrize("bit_depth", [8, 10])
def test_packed_planes_are_shown_in_their_colours(tmp_path: Path, bit_depth: int) -> None:
    dtype, step = (np.uint8 if bit_depth == 8 else np.uint16), 2 ** (bit_depth - 8)
    red = [value * step for value in (81, 90, 240)]
    pair = packed(4, 6, *red, dtype)[np.newaxis], packed(8, 12, *red, dtype)[np.newaxis]
    write_set(tmp_path, {"train": pair}, color="yuv420", bit_depth=bit_depth, clips=1)

    shown = row_pictures(tmp_path, 0)

    assert [caption for caption, _ in shown] == ["LR x2", "bicubic", "HR"]
    for _, planes in shown:  # BT.601 limited, as the rows say: (254, 0, 0)
        assert planes.shape[0] == 3
        assert planes.shape[1] * 12 == planes.shape[2] * 8
        assert (planes[0] >= 254).all()
        assert (planes[1:] == 0).all()


def test_luma_is_shown_as_grey_and_rgb_as_it_is(tmp_path: Path) -> None:
    lr, hr = np.full((1, 1, 4, 6), 235, np.uint8), np.full((1, 1, 8, 12), 235, np.uint8)
    write_set(tmp_path / "y", {"train": (lr, hr)}, clips=1)
    (row,) = make_rows("clip", 1, scale=2)
    write_set(tmp_path / "rgb", {"train": (row.lr[np.newaxis], row.hr[np.newaxis])}, color="rgb", clips=1)

    luma = row_pictures(tmp_path / "y", 0)
    colour = row_pictures(tmp_path / "rgb", 0)

    assert all((planes == 255).all() for _, planes in luma)
    zoom = colour[2][1].shape[1] // row.hr.shape[1]
    np.testing.assert_array_equal(colour[2][1][:, ::zoom, ::zoom], row.hr)
