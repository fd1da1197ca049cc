"""Elementary functions that give the same bits on every machine.

The functions of a C library, and NumPy's own, may differ in the last bit between processors. Here
every result is made of additions, subtractions, multiplications, divisions, square roots, roundings to whole
numbers and table lookups, which IEEE 754 defines to the last bit, one NumPy operation at a time so that none is
fused with another. Polynomials are Taylor's (constants are exact ratios, rounded once); they stop where the next
term lies below the last bit.

Arguments and results are float64 arrays of any shape. Measured against 60 digits
(``tests/test_degrade_exact.py``): ``exp``, ``log``, ``sin`` and ``cos`` are within 2 units in the last place
(``sin`` and ``cos`` near their zeros: within 2**-53 of the value), ``bessel_j1`` within 1e-14, and
``normal_quantile`` within 1e-14 of its value.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

PI = 3.141592653589793
"""The float64 nearest to pi."""

# Digits of pi and ln 2; enough for constants of two and three floats.
_PI_DIGITS = Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
_LN2_DIGITS = Fraction("0.693147180559945309417232121458176568075500134360255254120680009493393621969694716")

_BLOCK = 1 << 13  # values at a time: the working set of a polynomial stays in the cache of a core


def _split(value: Fraction, bits: int, parts: int) -> tuple[float, ...]:
    """Return floats that add up to a value; all but the last are whole multiples of 2**-bits, 2**-2bits, ..."""
    result = []
    for part in range(1, parts):
        unit = Fraction(1, 1 << (bits * part))
        head = math.floor(value / unit) * unit
        result.append(float(head))
        value -= head
    return (*result, float(value))


# Heads of few bits, so that their products with a whole number are exact.
_LN2_HIGH, _LN2_LOW = _split(_LN2_DIGITS, 32, 2)
_HALF_PI_HIGH, _HALF_PI_MIDDLE, _HALF_PI_LOW = _split(_PI_DIGITS / 2, 30, 3)
_LOG2_E = float(1 / _LN2_DIGITS)
_TWO_BY_PI = float(2 / _PI_DIGITS)

_EXP = tuple(float(Fraction(1, math.factorial(n))) for n in range(2, 15))
_LOG = tuple(float(Fraction(2, 2 * n + 1)) for n in range(1, 12))
_SIN = tuple(float(Fraction((-1) ** n, math.factorial(2 * n + 1))) for n in range(1, 9))
_COS = tuple(float(Fraction((-1) ** n, math.factorial(2 * n))) for n in range(2, 10))
_POWERS_OF_TWO = np.array([math.ldexp(1.0, n) for n in range(-1074, 1024)])


def exp(x: Floats) -> Floats:
    """Return e to the power of ``x``; 0 below -745.2, infinity above 709.8."""
    x = np.asarray(x, np.float64)
    whole = np.rint(np.clip(x, -746.0, 710.0) * _LOG2_E)
    rest = (np.clip(x, -746.0, 710.0) - whole * _LN2_HIGH) - whole * _LN2_LOW
    # e**r = 1 + (r + r**2 (1/2! + r/3! + ...)).
    value = 1.0 + (rest + rest * rest * _horner(rest, _EXP))
    # In two steps: 2**whole itself can lie beyond the smallest or the greatest float.
    half = np.floor(whole * 0.5).astype(np.int64)
    other = whole.astype(np.int64) - half
    with np.errstate(over="ignore", under="ignore"):
        result: Floats = value * _POWERS_OF_TWO[half + 1074] * _POWERS_OF_TWO[other + 1074]
    return result


def log(x: Floats) -> Floats:
    """Return the natural logarithm.

    Raises:
        ValueError: A value is not positive and finite.
    """
    x = np.asarray(x, np.float64)
    if x.size and not (x.min() > 0 and np.isfinite(x.max())):
        raise ValueError("only positive finite numbers have a logarithm here")
    mantissa, exponent = np.frexp(x)  # exact: moves bits
    low = mantissa < 0.7071067811865476
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    power = exponent.astype(np.float64) - low
    # With s = f / (2 + f): log(1 + f) = 2 s + s R, R = 2 s**2/3 + 2 s**4/5 + ..., and 2 s = f - s f, written so
    # that the large part f is not rounded.
    f = mantissa - 1.0
    s = f / (f + 2.0)
    square = s * s
    half_square = f * f * 0.5
    series = square * _horner(square, _LOG)
    result: Floats = power * _LN2_HIGH - ((half_square - (s * (half_square + series) + power * _LN2_LOW)) - f)
    return result


def power(x: Floats, exponent: Floats | float) -> Floats:
    """Return ``x`` to an exponent, for ``x`` of at least 0 and a positive exponent.

    As ``exp(exponent * log(x))``: the relative error grows with that product, 2**-52 for each unit of it.

    Raises:
        ValueError: ``x`` is negative or not finite, or an exponent is not positive.
    """
    x = np.asarray(x, np.float64)
    if np.any(np.asarray(exponent) <= 0):
        raise ValueError("the exponent must be positive")
    if x.size and not x.min() >= 0:
        raise ValueError("only numbers from 0 have a power here")
    zero = x == 0
    result: Floats = np.where(zero, 0.0, exp(exponent * log(np.where(zero, 1.0, x))))
    return result


def sin(x: Floats) -> Floats:
    """Return the sine of an angle in radians.

    Raises:
        ValueError: An angle lies beyond 1e6.
    """
    return _wave(x, 0)


def cos(x: Floats) -> Floats:
    """Return the cosine of an angle in radians.

    Raises:
        ValueError: An angle lies beyond 1e6.
    """
    return _wave(x, 1)


def _wave(x: Floats, quarter_turns: int) -> Floats:
    x = np.asarray(x, np.float64)
    if x.size and not np.abs(x).max() <= 1e6:
        raise ValueError("angles are taken up to 1e6 radians")
    # The nearest multiple of pi / 2 is taken off in three parts, whose products are exact or far below a bit.
    whole = np.rint(x * _TWO_BY_PI)
    high = x - whole * _HALF_PI_HIGH
    middle = whole * _HALF_PI_MIDDLE
    rest = high - middle
    tail = ((high - rest) - middle) - whole * _HALF_PI_LOW
    rest, tail = rest + tail, tail - ((rest + tail) - rest)
    quarter = (whole.astype(np.int64) + quarter_turns) & 3
    square = rest * rest
    cosine_part = square * square * _horner(square, _COS)
    half = square * 0.5
    one_less = 1.0 - half
    # The bits that 1 - half lost come back with the small terms; sin(tail) is tail.
    cosine = one_less + ((((1.0 - one_less) - half) + cosine_part) - rest * tail)
    sine = rest + (rest * square * _horner(square, _SIN) + tail * one_less)
    result: Floats = np.where(quarter & 1, cosine, sine)
    result = np.where(quarter & 2, -result, result)
    return result


@lru_cache
def _nodes() -> Floats:
    """Return the sines of k pi / 128 for k = 1..63, the nodes of Bessel's integral."""
    return sin(np.arange(1, 64).astype(np.float64) * (PI / 128))


def bessel_j1(x: Floats) -> Floats:
    """Return the Bessel function of the first kind and order 1.

    Bessel's integral, (1 / pi) times the integral of cos(t - x sin t) over 0..pi, by the trapezoidal rule with 256 nodes
    a turn: the integrand is periodic, so that the rule leaves out only J255(x) and beyond, which is below 1e-50 here.

    Raises:
        ValueError: A value lies outside 0..128.
    """
    x = np.asarray(x, np.float64)
    if x.size and not (x.min() >= 0 and x.max() <= 128):
        raise ValueError("bessel_j1 takes values in 0..128")
    nodes = _nodes()
    angles: Floats = np.multiply.outer(nodes, x)
    waves = sin(angles)
    total = 0.5 * sin(x)
    for node, wave in zip(nodes, waves, strict=True):
        total = total + node * wave
    return total / 64.0


# Wichura, Algorithm AS 241, PPND16: The Percentage Points of the Normal Distribution, Applied Statistics 37 (1988)
# 477-484: numerators and denominators of the rational approximations for the middle, the tails and the far tails,
# constant first.
_MIDDLE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def normal_quantile(probability: Floats) -> Floats:
    """Return the value below which a standard normal variable stays with a probability.

    Algorithm AS 241 (PPND16) with the logarithm above.

    Args:
        probability: Each above 0 and below 1.

    Raises:
        ValueError: A probability is 0, 1 or outside.
    """
    flat = np.ascontiguousarray(probability, np.float64).reshape(-1)
    if flat.size and not (flat.min() > 0 and flat.max() < 1):
        raise ValueError("probabilities lie between 0 and 1, neither included")
    result = np.empty_like(flat)
    for start in range(0, len(flat), _BLOCK):
        result[start : start + _BLOCK] = _quantile_block(flat[start : start + _BLOCK])
    return result.reshape(np.shape(probability))


def _quantile_block(probability: Floats) -> Floats:
    centred = probability - 0.5
    # Outside the middle the rational function is evaluated too, and then overwritten.
    result = centred * _rational(0.180625 - centred * centred, _MIDDLE)
    tails = np.flatnonzero(np.abs(centred) > 0.425)
    if len(tails):
        outer = probability[tails]
        depth = np.sqrt(-log(np.minimum(outer, 1.0 - outer)))
        value = _rational(depth - 1.6, _TAIL)
        far = np.flatnonzero(depth > 5.0)
        if len(far):
            value[far] = _rational(depth[far] - 5.0, _FAR_TAIL)
        result[tails] = np.where(outer < 0.5, -value, value)
    return result


def _rational(x: Floats, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> Floats:
    return _horner(x, coefficients[0]) / _horner(x, coefficients[1])


def _horner(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    """Return the polynomial with these coefficients, constant first."""
    total: Floats = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        np.multiply(total, x, out=total)
        np.add(total, coefficient, out=total)
    return total
