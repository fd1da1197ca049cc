import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

from sr_datasets.espcn.checkerboard import checkerboard, power_spectrum

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_pattern_of_the_grids_period_is_measured_whole_and_others_not_at_all(scale: int):
    rng = np.random.default_rng(0)
    cell = rng.normal(size=(scale, scale))
    cell -= cell.mean()
    pattern = np.tile(cell, (40, 50))

    assert checkerboard(pattern + 7.0, scale).rms == pytest.approx(pattern.std(), rel=1e-9)
    y, x = np.mgrid[: 40 * scale, : 50 * scale]
    other = np.cos(2 * np.pi * 3 * x / (8 * scale)) * np.cos(2 * np.pi * 3 * y / (8 * scale))
    assert checkerboard(other, scale).rms < 1e-9


def test_noise_knows_nothing_of_the_grid_and_repeated_pixels_do():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(480, 480))

    assert checkerboard(noise, 3).excess == pytest.approx(1, abs=0.05)
    assert power_spectrum(noise, 3).sum() == pytest.approx((noise**2).mean(), rel=0.05)
    ramp = np.cumsum(np.cumsum(rng.normal(size=(160, 160)), axis=0), axis=1)
    repeated = ramp.repeat(3, axis=0).repeat(3, axis=1)
    assert checkerboard(repeated, 3).excess > 2
    assert checkerboard(_bilinear(ramp, 3), 3).excess < 0.5
    assert checkerboard(repeated, 3).rms > 5 * checkerboard(_bilinear(ramp, 3), 3).rms


def _bilinear(plane: np.ndarray, scale: int) -> np.ndarray:
    places = (np.arange(plane.shape[0] * scale) + 0.5) / scale - 0.5
    rows = np.array([np.interp(places, np.arange(plane.shape[0]), column) for column in plane.T]).T
    return np.array([np.interp(places, np.arange(plane.shape[1]), row) for row in rows])


def test_pictures_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="at least 24x24, this array is"):
        checkerboard(np.zeros((23, 30)), 3)
    with pytest.raises(ValueError, match="scale is 1"):
        checkerboard(np.zeros((64, 64)), 1)
