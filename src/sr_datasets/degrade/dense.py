"""A blur that is one dense 2-D sum for each LR sample, where the order of the sum shows."""

from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np

from sr_datasets.degrade.separable import SeparableStep, gather
from sr_datasets.degrade.step import Context, Region, Samples
from sr_datasets.degrade.taps import Taps, check_scale, sum_in_order

_REACH = range(-4, 5)
_TAPS = len(_REACH)


class SpmcStep(SeparableStep):
    """SPMC_VideoSR's blur and subsample: 9x9 weights, summed in float64 in raster order, the fraction dropped.

    Where all 81 pixels are equal the sum lies within some 1e-16 of a whole number, so that the last bits of the
    weights decide whether a level is lost. Weights rounded to float32, then divided by their sum, give what the
    published frames have in their flat parts (2 becomes 1) and everywhere else.
    """

    def __init__(self, context: Context) -> None:
        check_scale(context.scale)
        # Which pixels are needed is the same as for a separable kernel; the weights are not used.
        offsets = tuple(_REACH)
        super().__init__(Taps(context.scale, offsets, (1 / _TAPS,) * _TAPS, "replicate"), context)

    def _band(self, frame: Samples, at: Region, height: int, width: int, out: Region) -> Samples:
        rows = gather(self.taps, frame, 1, at.top, height, out.top, out.height)
        pixels = gather(self.taps, rows, 2, at.left, width, out.left, out.width).astype(np.float64)
        scale = self.taps.scale
        # Columns of one phase lie side by side, so that each tap is a plain slice.
        phases = [np.ascontiguousarray(pixels[:, :, phase::scale]) for phase in range(scale)]
        kernel = _kernel()
        total = np.zeros((frame.shape[0], out.height, out.width))
        product = np.empty_like(total)
        for row in range(_TAPS):
            lines = slice(row, row + scale * (out.height - 1) + 1, scale)
            for column in range(_TAPS):
                first = column // scale
                part = phases[column % scale][:, lines, first : first + out.width]
                np.multiply(part, kernel[row][column], out=product)
                np.add(total, product, out=total)
        if frame.dtype == np.float64:
            return total
        # The cast drops the fraction.
        result: Samples = np.clip(total, 0.0, self.peak).astype(frame.dtype)
        return result


@lru_cache
def _kernel() -> list[list[float]]:
    """Return the Gaussian of sigma 1.6, each weight rounded to float32, divided by their sum in raster order."""
    with localcontext(prec=40):
        bell = [
            [(-Decimal(row * row + column * column) / (2 * Decimal("1.6") ** 2)).exp() for column in _REACH]
            for row in _REACH
        ]
        total = sum((sum(row, Decimal(0)) for row in bell), Decimal(0))
        weights = [[float(np.float32(value / total)) for value in row] for row in bell]
    summed = sum_in_order([weight for row in weights for weight in row])
    return [[weight / summed for weight in row] for row in weights]
