"""The printed tables of bicubic, and the way of one picture along a protocol."""

import dataclasses

import numpy as np
import pytest
from pictures import SET5, read_planes

from sr_datasets.degrade import degrade_frame, evaluation_pair, resize_bicubic
from sr_datasets.metrics import PROTOCOLS, mean_score
from sr_datasets.recipe import BdDuf, Bicubic


def bicubic_score(clips, scale, protocol):
    """Score bicubic on clips, each a list of picture files."""
    scores = []
    for files in clips:
        pairs = (evaluation_pair(read_planes(file), scale, protocol) for file in files)
        scores.append([pair.score(pair.upscale_bicubic()) for pair in pairs])
    return mean_score(scores, protocol)


@pytest.mark.parametrize(
    ("name", "scale", "psnr", "ssim"),
    [
        # facts/measured.md section 2; the first three stand in every paper's table.
        ("y-double", 2, 33.661, 0.9299),
        ("y-double", 3, 30.392, 0.8682),
        ("y-double", 4, 28.421, 0.8104),
        ("y-8bit", 2, 33.673, 0.9303),
        ("y-8bit", 3, 30.403, 0.8689),
        ("y-8bit", 4, 28.429, 0.8111),
    ],
)
def test_bicubic_on_set5_is_the_printed_number(real_data, name, scale, psnr, ssim):
    files = [[real_data / "set5" / "GT" / f"{picture}.png"] for picture in SET5]

    measured = bicubic_score(files, scale, PROTOCOLS[name])

    assert measured.psnr == pytest.approx(psnr, abs=0.0006)
    assert measured.ssim == pytest.approx(ssim, abs=0.00006)


def test_rgb_is_some_decibels_below_luma(real_data):
    files = [[real_data / "set5" / "GT" / f"{picture}.png"] for picture in SET5]

    for scale, psnr in ((2, 31.80), (3, 28.63), (4, 26.70)):
        assert bicubic_score(files, scale, PROTOCOLS["rgb"]).psnr == pytest.approx(psnr, abs=0.02)


# Clip, scale, path -> PSNR, SSIM: the last table of facts/measured.md section 3.
VID4 = {
    ("calendar", 2): {"rgb1": (23.771, 0.8086), "rgb8": (23.768, 0.8084), "y64": (23.773, 0.8081)},
    ("calendar", 3): {"rgb1": (21.538, 0.6675), "rgb8": (21.537, 0.6674), "y64": (21.537, 0.6668)},
    ("calendar", 4): {"rgb1": (20.285, 0.5639), "rgb8": (20.285, 0.5638), "y64": (20.285, 0.5633)},
    ("foliage", 2): {"rgb1": (28.472, 0.8657), "rgb8": (28.470, 0.8656), "y64": (28.469, 0.8655)},
    ("foliage", 3): {"rgb1": (25.139, 0.7017), "rgb8": (25.138, 0.7016), "y64": (25.138, 0.7014)},
    ("foliage", 4): {"rgb1": (23.493, 0.5713), "rgb8": (23.492, 0.5712), "y64": (23.493, 0.5710)},
}


def assert_vid4_row(real_data, clip, scale, path):
    luma = "rounded" if path == "y64" else "float"
    protocol = dataclasses.replace(PROTOCOLS["vid4"], lr_path=path, luma=luma)
    files = sorted((real_data / "vid4" / clip / "GT").glob("*.png"))

    measured = bicubic_score([files], scale, protocol)

    psnr, ssim = VID4[clip, scale][path]
    assert measured.psnr == pytest.approx(psnr, abs=0.0006)
    assert measured.ssim == pytest.approx(ssim, abs=0.00006)


@pytest.mark.parametrize(("clip", "path"), [("foliage", "rgb1"), ("foliage", "rgb8"), ("foliage", "y64")])
def test_bicubic_on_foliage_x4_is_the_measured_number(real_data, clip, path):
    assert_vid4_row(real_data, clip, 4, path)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["rgb1", "rgb8", "y64"])
@pytest.mark.parametrize(("clip", "scale"), VID4)
def test_bicubic_on_vid4_is_the_measured_number(real_data, clip, scale, path):
    assert_vid4_row(real_data, clip, scale, path)


def coloured(height=26, width=31, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8)


def test_y64_gives_unrounded_luma_and_compares_rounded_luma():
    pair = evaluation_pair(coloured(), 3, PROTOCOLS["y-double"])

    assert pair.lr.shape == (1, 8, 10)
    assert pair.hr.shape == (1, 24, 30)
    assert (pair.lr != np.round(pair.lr)).mean() > 0.9
    np.testing.assert_array_equal(pair.hr, np.round(pair.hr))
    np.testing.assert_array_equal(pair.lr, resize_bicubic(pair.hr, 8, 10))


def test_the_rgb_paths_give_eight_bit_lr_rounded_as_they_say():
    picture = coloured(24, 30)
    for name, rounding in (("y-8bit", "each-pass"), ("vid4", "once"), ("rgb", "each-pass")):
        pair = evaluation_pair(picture, 3, PROTOCOLS[name])

        np.testing.assert_array_equal(pair.lr, degrade_frame(picture, Bicubic(rounding=rounding), 3))
        assert pair.hr.shape[0] == (3 if name == "rgb" else 1)


def test_a_perfect_sr_scores_infinite_under_every_protocol():
    picture = coloured()
    for protocol in PROTOCOLS.values():
        pair = evaluation_pair(picture, 2, protocol)
        perfect = pair.hr if pair.lr.shape[0] == pair.hr.shape[0] else picture[:, :26, :30].astype(float)

        assert pair.score(perfect).psnr == np.inf
        assert pair.score(perfect).ssim == 1.0


def test_sr_is_clipped_and_rounded_before_it_is_scored():
    pair = evaluation_pair(np.full((1, 24, 24), 255, np.uint8), 2, PROTOCOLS["vid4"])

    assert pair.score(np.full((1, 24, 24), 300.0)).psnr == np.inf
    assert pair.score(np.full((1, 24, 24), 254.6, np.float32)).psnr == np.inf
    assert pair.score(np.full((1, 24, 24), 254.4)).psnr == pytest.approx(48.1308, abs=1e-4)


def test_a_gray_picture_is_taken_as_the_luma_that_it_is():
    gray = coloured()[:1]
    for name in ("y-double", "y-8bit", "vid4"):
        pair = evaluation_pair(gray, 2, PROTOCOLS[name])

        np.testing.assert_array_equal(pair.hr, gray[:, :26, :30])
        assert pair.lr.shape == (1, 13, 15)


def test_a_luma_model_gets_the_luma_of_the_lr_picture():
    pair = evaluation_pair(np.full((3, 24, 24), 255, np.uint8), 2, PROTOCOLS["vid4"], luma_model=True)

    np.testing.assert_allclose(pair.lr, np.full((1, 12, 12), 235.0))
    assert pair.score(np.full((1, 24, 24), 235.0)).psnr == np.inf
    with pytest.raises(ValueError, match="no colour to score"):
        evaluation_pair(coloured(), 2, PROTOCOLS["rgb"], luma_model=True)


def test_another_degradation_takes_the_place_of_bicubic():
    picture = coloured(24, 24)

    pair = evaluation_pair(picture, 2, PROTOCOLS["vid4"], degradation=BdDuf())

    np.testing.assert_array_equal(pair.lr, degrade_frame(picture, BdDuf(), 2))


def test_ten_bit_pictures_are_scored_against_their_own_peak():
    hr = np.full((1, 24, 24), 1000, np.uint16)

    pair = evaluation_pair(hr, 2, PROTOCOLS["vid4"], bit_depth=10)

    assert pair.score(hr - 1.0).psnr == pytest.approx(60.1975, abs=1e-4)


def test_what_does_not_fit_is_refused():
    pair = evaluation_pair(coloured(), 2, PROTOCOLS["vid4"])
    with pytest.raises(ValueError, match="expected"):
        pair.score(pair.hr)
    with pytest.raises(ValueError, match="1 or 3"):
        evaluation_pair(np.zeros((24, 24), np.uint8), 2, PROTOCOLS["vid4"])
