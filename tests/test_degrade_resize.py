"""Resizing of crops: against PyTorch where it is installed, and against hand-made numbers."""

import numpy as np
import pytest
from effects import picture, run

from sr_datasets.degrade.resize import interpolate


@pytest.mark.torch
@pytest.mark.parametrize("method", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [0.15, 0.37, 0.5, 1.0, 1.31, 1.5])
def test_interpolation_is_that_of_pytorch(method: str, factor: float):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    values = picture(43, 61).astype(np.float64)
    rows, columns = int(43 * factor), int(61 * factor)
    given = torch.from_numpy(values)[None]

    by_size = functional.interpolate(given, size=(rows, columns), mode=method)[0].numpy()
    by_factor = functional.interpolate(given, scale_factor=factor, mode=method)[0].numpy()

    np.testing.assert_allclose(interpolate(values, rows, columns, method), by_size, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        interpolate(values, rows, columns, method, step=1 / factor), by_factor, rtol=0, atol=1e-10
    )


def test_area_is_the_mean_of_what_it_covers_and_bilinear_the_line_between():
    values = np.array([[[0.0, 1.0, 4.0, 9.0, 16.0]]])

    np.testing.assert_allclose(interpolate(values, 1, 2, "area"), [[[5 / 3, 29 / 3]]], rtol=1e-15)
    assert interpolate(values, 1, 10, "bilinear")[0, 0, :4].tolist() == [0.0, 0.25, 0.75, 1.75]


def test_a_drawn_factor_sets_the_size_of_each_frame():
    step = {
        "kind": "resize",
        "factor": {"choices": [{"low": 1, "high": 1.5}, {"low": 0.15, "high": 1}, 1.0], "walk": 0.05},
        "methods": ["area", "bilinear", "bicubic"],
    }
    made, record = run(step, [picture(40, 60)] * 12)

    assert record["method"] in ("area", "bilinear", "bicubic")
    for frame, factor in zip(made, record["factor"], strict=True):
        assert frame.shape == (3, int(40 * factor), int(60 * factor))
        assert 0.15 <= factor <= 1.5


def test_the_target_is_the_size_of_lr():
    (made,), record = run({"kind": "resize", "base": "target"}, [picture(57, 33)], target=(12, 9))
    (larger,), _ = run({"kind": "resize", "base": "target", "factor": 1.2}, [picture(57, 33)], target=(12, 9))

    assert made.shape == (3, 12, 9)
    assert larger.shape == (3, 14, 10)
    assert record == {}


def test_a_side_never_vanishes():
    (made,), _ = run({"kind": "resize", "factor": 0.05}, [picture(5, 9)])

    assert made.shape == (3, 1, 1)
