"""Functions in decimal arithmetic, to as many digits as the context has: what the tests hold ours against."""

from decimal import Decimal

import numpy as np

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


def points(low: float, high: float, count: int = 400) -> np.ndarray:
    """Return points that fill a range without a pattern (multiples of the golden ratio)."""
    return low + (high - low) * ((np.arange(count) * 0.6180339887498949) % 1.0)


def decimal_sin(x: Decimal) -> Decimal:
    term = total = (x + PI) % (2 * PI) - PI if abs(x) > 2 * PI else x
    square, n = term * term, 1
    while abs(term) > Decimal("1e-70"):
        n += 2
        term *= -square / (n * (n - 1))
        total += term
    return total


def decimal_cos(x: Decimal) -> Decimal:
    return decimal_sin(x + PI / 2)


def decimal_j1(x: Decimal) -> Decimal:
    term = total = x / 2
    k = 0
    while abs(term) > Decimal("1e-45"):
        k += 1
        term *= -((x / 2) ** 2) / (k * (k + 1))
        total += term
    return total
