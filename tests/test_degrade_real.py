"""Bicubic against the files that MATLAB made: every sample."""

import numpy as np
import pytest
from degrading import degrade, hr_window
from matfile import read_mat
from pictures import SET5, mod_cropped, read_planes

from sr_datasets.color import luma_of_rgb_float
from sr_datasets.degrade import degrade_frame, resize_bicubic
from sr_datasets.recipe import BdSpmc, Bicubic


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("folder", "border"), [("LR_matlab", "symmetric"), ("LR_matlab_old", "replicate")], ids=["new", "old"]
)
def test_every_sample_of_set5_equals_matlab_on_uint8(real_data, scale, folder, border):
    for name in SET5:
        hr = mod_cropped(read_planes(real_data / "set5" / "GT" / f"{name}.png"), scale)
        lr = read_planes(real_data / "set5" / folder / f"x{scale}" / f"{name}.png")

        np.testing.assert_array_equal(degrade_frame(hr, Bicubic(border=border), scale), lr, err_msg=name)


@pytest.mark.parametrize(("folder", "rounding"), [("LR_BIx4_uint8", "each-pass"), ("LR_BIx4_double", "once")])
def test_every_sample_of_calendar_equals_its_file_under_its_rule(real_data, folder, rounding):
    clip = real_data / "vid4" / "calendar"
    files = sorted((clip / "GT").glob("*.png"))
    assert len(files) == 16
    for file in files:
        lr = degrade_frame(read_planes(file), Bicubic(rounding=rounding), 4)

        np.testing.assert_array_equal(lr, read_planes(clip / folder / file.name), err_msg=file.name)


def test_every_sample_of_calendar_equals_the_blurred_frames_of_spmc(real_data):
    clip = real_data / "vid4" / "calendar"
    for file in sorted((clip / "GT").glob("*.png")):
        lr = degrade_frame(read_planes(file), BdSpmc(), 4)

        np.testing.assert_array_equal(lr, read_planes(clip / "LR_BDx4" / file.name), err_msg=file.name)


def test_patches_cut_first_equal_matlab_too(real_data):
    hr = mod_cropped(read_planes(real_data / "set5" / "GT" / "baby.png"), 3)
    lr = read_planes(real_data / "set5" / "LR_matlab" / "x3" / "baby.png")
    size = {"frame_height": hr.shape[1], "frame_width": hr.shape[2]}
    for top, left in ((0, 0), (0, 137), (61, 80), (137, 0), (137, 137)):
        place = {"lr_top": top, "lr_left": left, "lr_height": 33, "lr_width": 33}
        at = hr_window(Bicubic(), 3, **place, **size)

        patch = degrade(
            hr[:, at.top : at.top + at.height, at.left : at.left + at.width],
            Bicubic(),
            3,
            window_top=at.top,
            window_left=at.left,
            **place,
            **size,
        )

        np.testing.assert_array_equal(patch, lr[:, top : top + 33, left : left + 33])


def test_doubles_equal_matlabs_within_a_billionth(real_data):
    mat = read_mat(real_data / "set5" / "matlab_double" / "butterfly_GT_x3.mat")

    def planes(name):
        return np.ascontiguousarray(np.moveaxis(mat[name], 2, 0))

    hr = planes("im_gt")
    lr = resize_bicubic(hr, 85, 85)
    # MATLAB enlarged the LR that was not clipped yet.
    enlarged = resize_bicubic(lr, 255, 255)

    for ours, theirs in (
        (np.clip(lr, 0, 255), planes("im_l")),
        (np.clip(enlarged, 0, 255), planes("im_b")),
        (luma_of_rgb_float(hr)[0], mat["im_gt_y"]),
        (luma_of_rgb_float(lr)[0], mat["im_l_y"]),
        (luma_of_rgb_float(enlarged)[0], mat["im_b_y"]),
    ):
        assert np.abs(ours - theirs).max() < 1e-9
