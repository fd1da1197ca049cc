"""How LR is made of HR: every degradation as a value, with its source."""

from typing import Literal

from sr_datasets.models import Model


class Bicubic(Model):
    """MATLAB's ``imresize(x, 1/scale, 'bicubic')``: antialiased, Keys' cubic with a = -0.5."""

    kind: Literal["bicubic"] = "bicubic"
    """Name of the degradation."""
    rounding: Literal["each-pass", "once"] = "each-pass"
    """``each-pass``: as on a uint8 array, after the vertical and after the horizontal pass;
    ``once``: as on a double array that is rounded when written."""
    border: Literal["symmetric", "replicate"] = "symmetric"
    """``symmetric``: current MATLAB mirrors the edge sample too; ``replicate``: older releases repeat it."""


class BdDuf(Model):
    """Blur and subsample as VSR-DUF, EDVR and PFNL: Gaussian of sigma 0.4 scale, 13x13, samples 0, s, 2s.

    SciPy's Gaussian filter of a delta (cut at 4 sigma), border reflected without the edge sample,
    float, rounded once. The LR grid lies (scale - 1) / 2 HR pixels up and left of centre alignment.
    """

    kind: Literal["bd-duf"] = "bd-duf"
    """Name of the degradation."""


class BdBasicVsr(Model):
    """Blur and subsample as ``BD_degradation.m`` of BasicVSR, RCAN and TDAN: Gaussian of sigma 1.6.

    12x12 taps for even scales, 7x7 for x3, edge sample repeated, rounded as MATLAB's uint8
    ``imfilter``; centre-aligned, since the even kernel adds the half pixel.
    """

    kind: Literal["bd-basicvsr"] = "bd-basicvsr"
    """Name of the degradation."""
