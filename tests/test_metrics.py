import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sr_datasets.metrics import PROTOCOLS, Protocol, Score, find_protocol, mean_score, psnr, score, ssim

DATA = Path(__file__).parent / "data"


def reference_pictures():
    spec = importlib.util.spec_from_file_location(
        "make_reference_numbers", DATA / "make_reference_numbers.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ssim_pictures()


def dense_ssim(x, y, weights, samples, peak):
    """SSIM by its definition: one window at a time, weighted means and variances about the mean."""
    window = np.outer(weights, weights)
    taps = len(weights)
    values = []
    for top in range(x.shape[0] - taps + 1):
        for left in range(x.shape[1] - taps + 1):
            a, b = x[top : top + taps, left : left + taps], y[top : top + taps, left : left + taps]
            mean_a, mean_b = np.sum(window * a), np.sum(window * b)
            variance_a = samples * np.sum(window * (a - mean_a) ** 2)
            variance_b = samples * np.sum(window * (b - mean_b) ** 2)
            covariance = samples * np.sum(window * (a - mean_a) * (b - mean_b))
            c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
            values.append(
                (2 * mean_a * mean_b + c1)
                * (2 * covariance + c2)
                / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
            )
    return float(np.mean(values))


def test_psnr_of_a_known_error_is_the_textbook_value():
    zeros = np.zeros((3, 5, 7), np.uint8)

    assert psnr(zeros, zeros + 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(zeros, zeros + 255) == 0
    assert psnr(zeros, zeros) == math.inf
    assert psnr(zeros, zeros + 1, peak=1023) == pytest.approx(60.1975, abs=1e-4)


def test_psnr_of_uint8_does_not_wrap_around():
    assert psnr(np.uint8([[10]]), np.uint8([[11]])) == psnr(np.uint8([[11]]), np.uint8([[10]]))


def test_ssim_equals_scikit_image_with_either_window():
    expected = json.loads((DATA / "reference_numbers.json").read_text())["ssim"]

    for window, value in expected.items():
        assert ssim(*reference_pictures(), window=window) == pytest.approx(value, abs=1e-12)


def test_ssim_equals_its_definition_for_shapes_that_do_not_fill_a_step_of_rows():
    rng = np.random.default_rng(5)
    bell = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    cases = (("gaussian11", bell / bell.sum(), 1.0), ("uniform7", np.full(7, 1 / 7), 49 / 48))
    for height, width in ((11, 11), (12, 30), (43, 13), (76, 12)):
        x = rng.integers(0, 1024, (height, width)).astype(np.float64)
        y = np.clip(x + rng.normal(0, 60, x.shape), 0, 1023)
        for window, weights, samples in cases:
            expected = dense_ssim(x, y, weights, samples, peak=1023)
            assert ssim(x, y, peak=1023, window=window) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_planes_is_the_mean_of_the_planes():
    rng = np.random.default_rng(6)
    x, y = rng.integers(0, 256, (2, 3, 20, 20)).astype(np.float64)

    assert ssim(x, y) == pytest.approx(np.mean([ssim(a, b) for a, b in zip(x, y, strict=True)]), abs=1e-14)
    assert ssim(x, x) == 1.0


def test_pictures_of_different_or_too_small_size_are_refused():
    with pytest.raises(ValueError, match="one size"):
        psnr(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
    with pytest.raises(ValueError, match="11x11 window"):
        ssim(np.zeros((1, 10, 40)), np.zeros((1, 10, 40)))


def test_score_leaves_out_the_border():
    hr = np.zeros((1, 30, 30))
    sr = np.full((1, 30, 30), 255.0)
    sr[:, 3:27, 3:27] = 1

    bordered = score(sr, hr, PROTOCOLS["y-double"], scale=3)
    assert bordered.psnr == pytest.approx(48.1308, abs=1e-4)
    assert score(sr, hr, PROTOCOLS["vid4"], scale=3).psnr < 10


def test_means_of_clips_and_of_frames_differ_as_the_protocol_says():
    clips = [[Score(20, 0.5), Score(22, 0.7)], [Score(30, 0.9)]]

    assert mean_score(clips, PROTOCOLS["y-double"]) == Score(psnr=24, ssim=pytest.approx(0.7))
    assert mean_score(clips, PROTOCOLS["vid4"]) == Score(psnr=25.5, ssim=pytest.approx(0.75))
    with pytest.raises(ValueError, match="nothing to average"):
        mean_score([[Score(1, 1)], []], PROTOCOLS["vid4"])


def test_a_protocol_says_itself_in_one_line():
    assert str(PROTOCOLS["y-double"]) == (
        "y-double: Y BT.601 rounded, LR y64, mod-crop scale, border scale, all frames, mean of frames, "
        "SSIM 11x11 Gaussian"
    )
    duf = Protocol(channel="y", luma="float", lr_path="rgb1", border=8, skip_ends=2, ssim_window="uniform7")
    assert str(duf) == (
        "custom: Y BT.601 float, LR rgb1, mod-crop scale, border 8, skip 2 frames each end, mean of frames, "
        "SSIM 7x7 uniform"
    )
    assert len({str(protocol) for protocol in PROTOCOLS.values()}) == len(PROTOCOLS) == 4


def test_a_protocol_crops_and_picks_frames():
    protocol = Protocol(channel="y", lr_path="y64", border="scale", mod_crop=12, skip_ends=2)

    assert protocol.cropped(100, 99, scale=3) == (96, 96)
    assert PROTOCOLS["y-double"].cropped(100, 99, scale=4) == (100, 96)
    assert list(protocol.frames_of(6)) == [2, 3]
    assert protocol.border_at(3) == 3
    assert PROTOCOLS["vid4"].border_at(3) == 0
    with pytest.raises(ValueError, match="leave none"):
        protocol.frames_of(4)
    with pytest.raises(ValueError, match="not a multiple of the scale 8"):
        protocol.cropped(100, 100, scale=8)
    with pytest.raises(ValueError, match="smaller than mod_crop"):
        protocol.cropped(11, 100, scale=3)


def test_protocols_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="luma only"):
        Protocol(channel="rgb", lr_path="y64", border=0)
    with pytest.raises(ValueError, match="rounded luma"):
        Protocol(channel="y", luma="float", lr_path="y64", border=0)
    with pytest.raises(ValueError, match="border is -1"):
        Protocol(channel="y", lr_path="y64", border=-1)


def test_an_unknown_protocol_names_the_known_ones():
    assert find_protocol("vid4") is PROTOCOLS["vid4"]
    with pytest.raises(ValueError, match="y-double, y-8bit, vid4, rgb"):
        find_protocol("set5")
