"""Blur: kernels against their formulas in decimal arithmetic, sums against the plain double loop, windows."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from decimals import PI, decimal_cos, decimal_j1, decimal_sin
from effects import picture, run, window
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.degrade.blur import KernelShape, convolve, kernel_of
from sr_datasets.degrade.step import Region
from sr_datasets.degrade.taps import border_index

SHAPES = [
    KernelShape("gaussian", 7, 0.2, 0.2),
    KernelShape("gaussian", 21, 1.5, 1.5),
    KernelShape("gaussian", 13, 2.7, 0.6),
    KernelShape("gaussian", 21, 3.0, 0.7, 0.9),
    KernelShape("generalized", 9, 1.2, 1.2, 0.0, 0.5),
    KernelShape("generalized", 21, 2.2, 0.9, -2.5, 3.9),
    KernelShape("plateau", 11, 1.2, 1.2, 0.0, 1.4),
    KernelShape("plateau", 21, 2.2, 0.9, 3.1, 2.0),
    KernelShape("sinc", 7, cutoff=math.pi / 3),
    KernelShape("sinc", 21, cutoff=2.9),
]
NAMES = [f"{shape.shape}-{shape.size}-{shape.rotation}" for shape in SHAPES]


def by_formula(shape: KernelShape) -> np.ndarray:
    """Return the kernel as ``Blur`` states it, with 50 digits."""
    with localcontext(prec=60):
        cosine, sine = decimal_cos(Decimal(shape.rotation)), decimal_sin(Decimal(shape.rotation))
        beta, cutoff = Decimal(shape.beta), Decimal(shape.cutoff)
        reach = shape.size // 2
        weights = []
        for y in range(-reach, reach + 1):
            for x in range(-reach, reach + 1):
                if shape.shape == "sinc":
                    r = Decimal(x * x + y * y).sqrt()
                    weights.append(
                        cutoff * decimal_j1(cutoff * r) / (2 * PI * r) if r else cutoff**2 / (4 * PI)
                    )
                    continue
                along = (cosine * x + sine * y) / Decimal(shape.sigma)
                across = (cosine * y - sine * x) / Decimal(shape.sigma_across)
                distance = along**2 + across**2
                to_beta = distance**beta if distance else Decimal(0)
                weights.append((-to_beta / 2).exp() if shape.shape != "plateau" else 1 / (1 + to_beta))
        total = sum(weights)
        return np.array([float(weight / total) for weight in weights]).reshape(shape.size, shape.size)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_kernels_are_those_of_their_formulas(shape: KernelShape):
    kernel = kernel_of(shape)

    np.testing.assert_allclose(kernel, by_formula(shape), rtol=0, atol=2e-15)
    assert abs(math.fsum(kernel.ravel()) - 1) < 1e-15
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_the_fast_sums_are_the_sum_of_weights_times_samples(shape: KernelShape):
    reach = shape.size - 1
    padded = picture(30 + reach, 41 + reach).astype(np.float64)

    plain = sum(
        weight * padded[:, row : row + 30, column : column + 41]
        for row, weights in enumerate(by_formula(shape))
        for column, weight in enumerate(weights)
    )

    np.testing.assert_allclose(convolve(padded, shape), plain, rtol=0, atol=2e-12)


STEPS = [
    {"size": 9, "sigma": 1.4},
    {"size": 7, "sigma": 2.5, "sigma_across": 0.5, "rotation": 0.3},
    {"size": 5, "sigma": 1.1, "shape": "plateau", "beta": 1.3, "border": "symmetric"},
    {"size": 11, "shape": "sinc", "cutoff": 1.9, "border": "replicate"},
    {
        "size": {"choices": [3, 7, 13]},
        "shape": "generalized",
        "sigma": {"low": 0.2, "high": 3},
        "beta": {"low": 0.5, "high": 4},
    },
]


@pytest.mark.parametrize("fields", STEPS, ids=lambda fields: f"{fields.get('shape', 'gaussian')}")
@pytest.mark.parametrize("depth", [8, 10, None], ids=["8 bit", "10 bit", "floats"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_window_is_the_crop_of_the_blurred_frame(fields: dict, depth: int | None, data: st.DataObject):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    out = Region(top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left)))
    frame = picture(height, width, peak=1023 if depth == 10 else 255)
    if depth is None:
        frame = frame / 7.0
    step = {"kind": "blur", **fields}
    (whole,), _ = run(step, [frame], bit_depth=depth or 8)

    part = window(step, frame, out, bit_depth=depth or 8)

    assert part.dtype == frame.dtype
    np.testing.assert_array_equal(part, out.cut(whole, Region(0, 0, height, width)))


def test_pixels_are_rounded_half_up_and_clipped_where_floats_are_kept():
    frame = np.zeros((1, 9, 9), np.uint8)
    frame[:, 4:] = 255
    step = {"kind": "blur", "shape": "sinc", "size": 9, "cutoff": 2.0}

    (pixels,), _ = run(step, [frame], color="y")
    (floats,), _ = run(step, [frame.astype(np.float64)], color="y")

    assert floats.min() < 0
    assert floats.max() > 255
    np.testing.assert_array_equal(pixels, np.floor(np.clip(floats, 0, 255) + 0.5))


@pytest.mark.parametrize("border", ["reflect", "symmetric", "replicate"])
def test_the_border_rule_says_what_lies_beyond(border: str):
    frame = picture(12, 10)
    rows, columns = (border_index(np.arange(-3, size + 3), size, border) for size in (12, 10))
    shape = KernelShape("plateau", 7, 1.5, 1.5, 0.0, 1.2)
    step = {"kind": "blur", "shape": "plateau", "size": 7, "sigma": 1.5, "beta": 1.2, "border": border}

    (blurred,), _ = run(step, [frame.astype(np.float64)])

    padded = frame[:, rows][:, :, columns].astype(np.float64)
    np.testing.assert_array_equal(blurred, convolve(padded, shape))


def test_numbers_walk_from_frame_to_frame_inside_their_ranges():
    step = {
        "kind": "blur",
        "size": 7,
        "sigma": {"low": 0.5, "high": 0.6, "walk": 0.05},
        "sigma_across": {"low": 1.0, "high": 2.0, "walk": 0.1},
        "rotation": {"choices": [0.0, {"low": 1.0, "high": 2.0}], "walk": 0.3},
    }
    frames = [picture(9, 9, number=number) for number in range(60)]

    _, record = run(step, frames)

    for name, low, high, most in (
        ("sigma", 0.5, 0.6, 0.05),
        ("sigma_across", 1.0, 2.0, 0.1),
        ("rotation", 0.0, 2.0, 0.3),
    ):
        walked = np.array(record[name])
        assert len(walked) == 60
        assert low <= walked.min() < walked.max() <= high
        assert 0 < np.abs(np.diff(walked)).max() <= most + 1e-12


def test_a_row_without_walk_has_one_kernel_and_says_so_once():
    step = {"kind": "blur", "size": {"choices": [5, 9]}, "sigma": {"low": 1, "high": 2}}
    frame = picture(20, 20)

    made, record = run(step, [frame, frame, frame])

    assert record["size"] in (5, 9)
    assert 1 <= record["sigma"] <= 2
    np.testing.assert_array_equal(made[0], made[2])
