"""JPEG equals Pillow's own round trip, on pixels and on floats, and is refused where it has no meaning."""

import io
from itertools import pairwise

import numpy as np
import pytest
from effects import DEGRADATION, picture, run, step_of
from PIL import Image

from sr_datasets.degrade import Degrader, Region
from sr_datasets.degrade.jpeg import jpeg_library


def by_pillow(frame: np.ndarray, **options: object) -> np.ndarray:
    file = io.BytesIO()
    turned = frame[0] if len(frame) == 1 else np.ascontiguousarray(frame.transpose(1, 2, 0))
    Image.fromarray(turned).save(file, format="JPEG", **options)
    read = np.asarray(Image.open(file))
    return read[np.newaxis] if read.ndim == 2 else read.transpose(2, 0, 1)


@pytest.mark.parametrize("quality", [1, 30, 90, 100])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_rgb_equals_pillow(quality: int, subsampling: str):
    frame = picture(37, 53)

    (made,), _ = run({"kind": "jpeg", "quality": quality, "subsampling": subsampling}, [frame])

    np.testing.assert_array_equal(made, by_pillow(frame, quality=quality, subsampling=subsampling))


def test_luma_goes_as_grey_and_the_usual_subsampling_is_pillows():
    luma, frame = picture(21, 17, planes=1), picture(21, 17)

    (grey,), _ = run({"kind": "jpeg", "quality": 75}, [luma], color="y")
    (usual,), _ = run({"kind": "jpeg", "quality": 75}, [frame])

    np.testing.assert_array_equal(grey, by_pillow(luma, quality=75))
    np.testing.assert_array_equal(usual, by_pillow(frame, quality=75))


def test_floats_are_clipped_and_rounded_before():
    floats = picture(16, 16) * 1.2 - 20.3

    (made,), _ = run({"kind": "jpeg", "quality": 80}, [floats])

    assert made.dtype == np.float64
    pixels = np.floor(np.clip(floats, 0, 255) + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(made, by_pillow(pixels, quality=80))


def test_drawn_qualities_are_whole_and_walk_inside_their_range():
    step = {"kind": "jpeg", "quality": {"low": 30, "high": 40, "walk": 3}}
    frame = picture(16, 16)

    made, record = run(step, [frame] * 40)

    qualities = record["quality"]
    assert all(isinstance(quality, int) and 30 <= quality <= 40 for quality in qualities)
    assert len(set(qualities)) > 3
    assert max(abs(after - before) for before, after in pairwise(qualities)) <= 4
    np.testing.assert_array_equal(made[7], by_pillow(frame, quality=qualities[7]))


def test_a_patch_is_cut_out_of_the_whole_frame_that_was_written():
    chain = DEGRADATION.validate_python(
        {"kind": "chain", "steps": [{"kind": "bicubic"}, {"kind": "jpeg", "quality": 30}]}
    )
    frame = picture(96, 160)
    degrader = Degrader(chain, 4)
    assert (degrader.scope, degrader.draws) == ("frame", False)
    whole = Region(0, 0, 96, 160)
    part = Region(3, 5, 11, 20)

    (patch,), _ = degrader.degrade([frame], at=whole, height=96, width=160, lr=part)

    small = Degrader(DEGRADATION.validate_python("bicubic"), 4).degrade_frame(frame)
    np.testing.assert_array_equal(patch, by_pillow(small, quality=30)[:, 3:14, 5:25])


@pytest.mark.parametrize(
    ("context", "message"),
    [({"bit_depth": 10}, "jpeg holds 8 bits, the clip has 10"), ({"color": "yuv420"}, "not yuv420")],
)
def test_what_jpeg_cannot_hold_is_refused(context: dict, message: str):
    with pytest.raises(ValueError, match=message):
        step_of({"kind": "jpeg", "quality": 90}, **context)


def test_the_library_is_named_with_its_version():
    assert jpeg_library().startswith("Pillow ")
    assert "libjpeg" in jpeg_library()
