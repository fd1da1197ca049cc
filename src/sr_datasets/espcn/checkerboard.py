"""How much of a picture is a checkerboard: power at the frequencies that only a grid of cells has.

A network that enlarges ``r`` times makes pixels of ``r * r`` kinds, by their place in a cell. Where the kinds differ
without cause, a pattern of period ``r`` lies over the picture: power at multiples of ``1 / r`` cycles a pixel.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_CELLS: Final = 8
"""Cells of one window, per axis: the grid's frequencies are every eighth of the transform's."""


@dataclass(frozen=True, slots=True)
class Checkerboard:
    """The power of a picture at the frequencies of a grid."""

    rms: float
    """Root of the power in the 3x3 bins around each multiple of ``1 / r``, 0 excepted, on the picture's scale: a pure
    pattern of period ``r`` and root mean square ``a`` has ``a``."""
    excess: float
    """Power of those bins to that of the bins around them (2 or 3 bins away), as densities: about 1 where a picture or
    an error knows nothing of the grid."""


def checkerboard(picture: npt.ArrayLike, scale: int) -> Checkerboard:
    """Measure the checkerboard of a picture, or of an error.

    The power is the mean over Hann windows of 8 x 8 cells that overlap by half.

    Args:
        picture: ``(height, width)`` real, any scale; the first pixel is the first of its cell.
        scale: ``r``, pixels of a cell per axis, at least 2.

    Raises:
        ValueError: The picture is not a plane, or smaller than one window of ``8 * scale``.
    """
    if scale < 2:
        raise ValueError(f"scale is {scale}, must be at least 2")
    power = power_spectrum(picture, scale)
    near, around = _bins(scale)
    surrounding = float(power[around].mean())
    return Checkerboard(
        rms=float(np.sqrt(power[near].sum())),
        excess=float(power[near].mean()) / surrounding if surrounding else float("nan"),
    )


def power_spectrum(picture: npt.ArrayLike, scale: int) -> npt.NDArray[np.float64]:
    """Return the mean power of a picture's windows.

    Args:
        picture: ``(height, width)`` real.
        scale: Pixels of a cell per axis.

    Returns:
        ``(8 * scale, 8 * scale)`` float64, frequency 0 first on both axes; its sum is the mean square of the picture.

    Raises:
        ValueError: The picture is not a plane, or smaller than one window.
    """
    plane = np.asarray(picture, np.float64)
    side = _CELLS * scale
    if plane.ndim != 2 or min(plane.shape) < side:
        raise ValueError(
            f"a picture is (height, width) of at least {side}x{side}, this array is {plane.shape}"
        )
    # Periodic Hann: a frequency of the transform spreads to its neighbours and no further.
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)
    window = hann[:, None] * hann[None, :]
    windows = np.lib.stride_tricks.sliding_window_view(plane, (side, side))[:: side // 2, :: side // 2]
    transforms = np.fft.fft2(windows * window)
    return np.asarray((np.abs(transforms) ** 2).mean(axis=(0, 1)) / (side**2 * (window**2).sum()))


def _bins(scale: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the bins near the grid's frequencies, and those around them."""
    side = _CELLS * scale
    distance = np.abs((np.arange(side) + _CELLS // 2) % _CELLS - _CELLS // 2)
    to_grid = np.maximum(distance[:, None], distance[None, :])
    from_zero = np.minimum(np.arange(side), side - np.arange(side))
    is_zero = np.maximum(from_zero[:, None], from_zero[None, :]) < _CELLS // 2
    return (to_grid <= 1) & ~is_zero, (to_grid >= 2) & (to_grid <= 3) & ~is_zero
