"""Noise: mean, variance, grey; windows; the distributions themselves."""

import math
from fractions import Fraction

import numpy as np
import pytest
from effects import picture, run, step_of, window
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.degrade.noise import _poisson_steps, poisson_counts
from sr_datasets.degrade.step import Region
from sr_datasets.draws import KeyedDraws, to_uniforms

GREY = np.full((3, 120, 160), 128.0)


@pytest.mark.parametrize("sigma", [1.0, 30.0])
def test_gaussian_noise_has_the_mean_and_the_variance_that_are_asked_for(sigma: float):
    (noisy,), record = run({"kind": "gaussian-noise", "sigma": sigma, "clip": False}, [GREY])

    noise, count = noisy - GREY, GREY.size
    # Five standard errors.
    assert abs(noise.mean()) < 5 * sigma / math.sqrt(count)
    assert abs(noise.var() / sigma**2 - 1) < 5 * math.sqrt(2 / count)
    assert np.abs(np.corrcoef(noise.reshape(3, -1)) - np.eye(3)).max() < 5 / math.sqrt(count / 3)
    assert record == {}


def test_grey_noise_is_the_same_in_all_planes():
    (noisy,), _ = run({"kind": "gaussian-noise", "sigma": 9, "grey": 1}, [GREY])
    (shot,), _ = run({"kind": "poisson-noise", "grey": 1}, [picture(120, 160) / 2.0 + 60])

    np.testing.assert_array_equal(noisy[0], noisy[2])
    noise = shot - (picture(120, 160) / 2.0 + 60)
    np.testing.assert_allclose(noise[0], noise[1], rtol=0, atol=1e-12)
    assert noise.std() > 1


def test_grey_noise_comes_as_often_as_asked():
    step = {"kind": "gaussian-noise", "sigma": 9, "grey": 0.4}
    small = GREY[:, :2, :2]

    grey = [run(step, [small], key=(0, "demo", "clip", row))[1]["grey"] for row in range(2000)]

    assert abs(np.mean(grey) - 0.4) < 5 * math.sqrt(0.24 / 2000)


def test_noise_is_scaled_with_the_depth_and_clipped():
    step = {"kind": "gaussian-noise", "sigma": 20}
    (eight,), _ = run(step, [np.full((1, 64, 64), 128.0)], color="y")
    (ten,), _ = run(step, [np.full((1, 64, 64), 128.0 * 1023 / 255)], color="y", bit_depth=10)
    (dark,), _ = run(step, [np.zeros((1, 64, 64), np.uint8)], color="y")

    np.testing.assert_allclose(ten, eight * 1023 / 255, rtol=1e-12)
    assert dark.dtype == np.uint8
    assert 0.45 < (dark == 0).mean() < 0.55


@pytest.mark.parametrize("kind", ["gaussian-noise", "poisson-noise"])
def test_frames_of_a_row_and_rows_have_noise_of_their_own(kind: str):
    step = {"kind": kind, **({"sigma": 9} if kind == "gaussian-noise" else {})}
    frame = picture(16, 16)

    (first, second), _ = run(step, [frame, frame])
    (again,), _ = run(step, [frame], numbers=[1])
    (other_row,), _ = run(step, [frame], key=(0, "demo", "clip", 1))

    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, again)
    assert not np.array_equal(first, other_row)


@pytest.mark.parametrize("kind", ["gaussian-noise", "poisson-noise"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_window_has_the_noise_of_its_place_in_the_frame(kind: str, data: st.DataObject):
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    out = Region(top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left)))
    step = {"kind": kind, **({"sigma": 9} if kind == "gaussian-noise" else {})}
    frame = picture(height, width)
    (whole,), _ = run(step, [frame])

    np.testing.assert_array_equal(window(step, frame, out), out.cut(whole, Region(0, 0, height, width)))


@pytest.mark.parametrize(("level", "rate"), [(0, 256), (1, 256), (40, 16), (128, 256), (255, 1), (255, 256)])
def test_counts_have_the_mean_and_the_variance_of_poisson(level: int, rate: int):
    count = 40_000
    fractions = to_uniforms(KeyedDraws("poisson", level, rate).raws_at(0, count))

    counts = poisson_counts(np.full(count, level), rate, fractions)

    mean = rate * level / 255
    assert abs(counts.mean() - mean) <= 5 * math.sqrt(mean / count)
    # Variance of the sample variance: (mu4 - sigma^4) / n = (mean + 2 mean^2) / n.
    assert abs(counts.var() - mean) <= 5 * math.sqrt((mean + 2 * mean**2) / count)


@pytest.mark.parametrize("rate", [1, 8, 256])
def test_the_steps_of_the_distribution_are_those_of_poisson(rate: int):
    steps, _ = _poisson_steps(rate)

    for level in (0, 1, 77, 255):
        mean = Fraction(rate * level, 255)
        exact = math.exp(-float(mean)) * np.cumsum(
            [float(mean**count / math.factorial(count)) for count in range(min(40, steps.shape[1] - 1))]
        )
        np.testing.assert_allclose(steps[level, : len(exact)], exact, rtol=1e-12)
    assert (np.diff(steps, axis=1) >= 0).all()


def test_counts_are_found_for_every_fraction():
    fractions = np.concatenate([np.arange(4096) / 4096, [1 - 2.0**-53]])
    steps, _ = _poisson_steps(64)

    for level in (0, 3, 200, 255):
        found = poisson_counts(np.full(fractions.size, level), 64, fractions)
        np.testing.assert_array_equal(found, np.searchsorted(steps[level], fractions, side="right"))


def test_poisson_noise_grows_with_the_light_and_shrinks_with_the_number_of_levels():
    bright, dark = np.full((1, 100, 100), 200.0), np.full((1, 100, 100), 20.0)
    step = {"kind": "poisson-noise", "scale": 0.2, "clip": False}
    few = np.concatenate([bright, dark], axis=2)
    many = few.copy()
    many[0, 0, :64] = np.arange(64) * 4.0

    (noisy,), _ = run(step, [few], color="y")
    (finer,), _ = run(step, [many], color="y")

    # Two levels: rate 2, variance of (Poisson(2 k / 255) / 2) * 255 * 0.2 is 2 k / 255 / 4 * 51^2.
    for part, level in ((noisy[:, 10:, :100], 200), (noisy[:, 10:, 100:], 20)):
        assert abs(part.var() / (2 * level / 255 / 4 * 51**2) - 1) < 0.15
    assert finer[:, 10:, :100].var() < noisy[:, 10:, :100].var() / 16


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"kind": "gaussian-noise", "sigma": 5, "grey": 0.1}, "grey noise is for rgb"),
        ({"kind": "poisson-noise"}, "counts light"),
    ],
)
def test_planes_of_yuv420_get_no_noise_that_has_no_meaning_there(step: dict, message: str):
    with pytest.raises(ValueError, match=message):
        step_of(step, color="yuv420")
