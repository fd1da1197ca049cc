"""The functions of ``exact`` against sums of 60 digits, and their bits as they were when the format was fixed."""

from decimal import Decimal, localcontext
from hashlib import sha256

import numpy as np
import pytest
from decimals import PI, decimal_cos, decimal_j1, decimal_sin, points

from sr_datasets import exact


def decimal_normal(z: Decimal) -> Decimal:
    """Return the normal distribution function at z, for z up to 0, by its series or its continued fraction."""
    density = (-z * z / 2).exp() / (2 * PI).sqrt()
    if z < -4:
        fraction = -z
        for k in range(400, 0, -1):
            fraction = -z + k / fraction
        return density / fraction
    term = total = z
    n = 1
    while abs(term) > Decimal("1e-50"):
        n += 2
        term *= z * z / n
        total += term
    return Decimal("0.5") + density * total


def distance_in_ulps(found: np.ndarray, wanted: list[Decimal]) -> float:
    return max(
        float(abs(Decimal(float(value)) - right) / Decimal(float(np.spacing(abs(float(right))))))
        for value, right in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize(
    ("function", "reference", "x"),
    [
        (exact.exp, Decimal.exp, points(-700, 700)),
        (exact.exp, Decimal.exp, points(-1, 1)),
        (exact.log, Decimal.ln, points(0.5, 2)),
        (exact.log, Decimal.ln, 2.0 ** points(-1000, 1000)),
        (exact.sin, decimal_sin, points(-100, 100)),
        (exact.sin, decimal_sin, points(-1e6, 1e6, 50)),
        (exact.cos, decimal_cos, points(-100, 100)),
    ],
    ids=["exp", "exp-near-0", "log-near-1", "log", "sin", "sin-far", "cos"],
)
def test_functions_are_right_to_the_last_bit_but_one(function, reference, x):
    with localcontext(prec=75):
        assert distance_in_ulps(function(x), [reference(Decimal(value)) for value in x.tolist()]) < 1.0


def test_sine_and_cosine_are_right_beside_their_zeros():
    turns = np.arange(1, 100) * np.pi

    with localcontext(prec=80):
        wanted = [decimal_sin(Decimal(value)) for value in turns.tolist()]
        assert distance_in_ulps(exact.sin(turns), wanted) < 4.0


def test_powers_lose_one_bit_for_each_doubling_of_their_logarithm():
    x, exponents = points(1e-6, 5000), points(0.5, 4)[::-1].copy()
    found = exact.power(x, exponents)

    with localcontext(prec=60):
        for value, base, exponent in zip(found.tolist(), x.tolist(), exponents.tolist(), strict=True):
            logarithm = Decimal(exponent) * Decimal(base).ln()
            wanted = logarithm.exp()
            assert abs(Decimal(value) - wanted) <= wanted * (abs(logarithm) + 2) * Decimal(2) ** -52
    assert exact.power(np.zeros(1), 0.5).tolist() == [0.0]


def test_the_bessel_function_is_right_to_fifteen_places():
    x = points(0, 128, 150)

    with localcontext(prec=110):
        for value, at in zip(exact.bessel_j1(x).tolist(), x.tolist(), strict=True):
            assert abs(Decimal(value) - decimal_j1(Decimal(at))) < Decimal("2e-15")
    assert exact.bessel_j1(np.zeros(1)).tolist() == [0.0]


def test_quantiles_are_where_the_normal_distribution_says():
    probabilities = np.concatenate([points(0.001, 0.5, 60), 2.0 ** -np.arange(2, 54)])

    found = exact.normal_quantile(probabilities)

    with localcontext(prec=70):
        for value, probability in zip(found.tolist(), probabilities.tolist(), strict=True):
            z = Decimal(value)
            density = (-z * z / 2).exp() / (2 * PI).sqrt()
            away = (decimal_normal(z) - Decimal(probability)) / density
            assert abs(away) <= max(abs(z), Decimal("1e-3")) * Decimal("1e-14")
    np.testing.assert_array_equal(exact.normal_quantile(1 - probabilities[-50:]), -found[-50:])


@pytest.mark.parametrize(
    ("function", "bad"),
    [
        (exact.log, [1.0, 0.0]),
        (exact.log, [np.inf]),
        (exact.log, [np.nan]),
        (exact.sin, [2e6]),
        (exact.bessel_j1, [-1.0]),
        (exact.bessel_j1, [129.0]),
        (exact.normal_quantile, [0.0]),
        (exact.normal_quantile, [1.0]),
        (lambda x: exact.power(x, 2.0), [-1.0]),
        (lambda x: exact.power(x, -1.0), [1.0]),
    ],
)
def test_arguments_out_of_range_are_refused(function, bad):
    with pytest.raises(ValueError, match=r".+"):
        function(np.array(bad))


def test_exponentials_end_at_zero_and_infinity():
    assert exact.exp(np.array([-1e9, -745.2, -745.0, 709.7, 1e9])).tolist() == [
        0.0,
        0.0,
        5e-324,
        *_near_the_end(),
    ]


def _near_the_end() -> list[float]:
    return [float(Decimal("709.7000000000000454747350886464118957519531").exp()), np.inf]


def test_bits_stay_what_they_were_when_the_format_was_fixed():
    results = [
        exact.exp(points(-50, 5)),
        exact.log(points(0.001, 9)),
        exact.sin(points(-7, 7)),
        exact.cos(points(-7, 7)),
        exact.power(points(0, 30), 1.7),
        exact.bessel_j1(points(0, 60)),
        exact.normal_quantile(points(1e-9, 1)),
    ]

    assert sha256(b"".join(result.tobytes() for result in results)).hexdigest()[:16] == "472d51cc2d38de9f"
