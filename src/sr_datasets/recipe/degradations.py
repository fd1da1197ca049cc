"""How LR is made of HR in one step: every downscaler as a value, with its source.

All keep the clip's depth: results are clipped to it and rounded by the rule that each names.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from sr_datasets.models import Model

Border = Literal["symmetric", "replicate", "reflect"]
"""What lies beyond the frame. ``symmetric``: ``b a | a b c``; ``replicate``: ``a a | a b c``;
``reflect``: ``c b | a b c``."""


class Bicubic(Model):
    """MATLAB's ``imresize(x, 1/scale, 'bicubic')``: antialiased, Keys' cubic with a = -0.5."""

    kind: Literal["bicubic"] = "bicubic"
    """Name of the degradation."""
    rounding: Literal["each-pass", "once"] = "each-pass"
    """``each-pass``: as on a uint8 array, after the vertical and after the horizontal pass;
    ``once``: as on a double array that is rounded when written."""
    border: Literal["symmetric", "replicate"] = "symmetric"
    """``symmetric``: current MATLAB mirrors the edge sample too; ``replicate``: older releases repeat it."""


class PillowBicubic(Model):
    """Pillow's ``Image.resize(size, BICUBIC)``, equal to it in every sample.

    Antialiased, a = -0.5; the horizontal pass first, rounded; what the window would take beyond the frame is cut
    off, and the weights that are left add up to 1. 8 bits: weights in units of 2**-22, integer sums. Above 8 bits: double sums,
    rounded after each pass as mode ``I;16``, and clipped to the clip's own depth.
    """

    kind: Literal["pillow-bicubic"] = "pillow-bicubic"
    """Name of the degradation."""
    tall: Literal["horizontal-first", "vertical-first"] = "horizontal-first"
    """Frames more than twice as tall as wide: ``horizontal-first`` as all others, as Pillow to release 12;
    ``vertical-first`` as Pillow 13."""


class TorchBicubic(Model):
    """PyTorch's ``F.interpolate(x, mode='bicubic', antialias=True)`` of float32 in 0..peak, then ``clamp``, ``round``.

    a = -0.5, the window cut at the frame's border as in Pillow, the horizontal pass first, nothing rounded
    between. Float32 sums in the order of the taps; PyTorch's own order depends on the CPU, so that its
    unrounded results differ from ours by some 1e-5 levels. An exact half goes to the even level.
    """

    kind: Literal["torch-bicubic"] = "torch-bicubic"
    """Name of the degradation."""


class OpenCvBicubic(Model):
    """OpenCV's ``resize(x, size, interpolation=INTER_CUBIC)``: four taps whatever the scale, no antialias, a = -0.75.

    Edge sample repeated, sums exact, rounded once, an exact half to the even level. At x3 the taps fall on
    the samples: it takes the middle of each three. 8 bits: OpenCV's fixed point holds these weights exactly.
    """

    kind: Literal["opencv-bicubic"] = "opencv-bicubic"
    """Name of the degradation."""


class SwscaleBicubic(Model):
    """FFmpeg's ``scale`` filter (libswscale) with ``flags=bicubic``, each plane as grey, whole frames.

    Antialiased, a = -0.6. 8, 9, 10, 12, 14 and 16 bits. The result depends on FFmpeg's build, and without
    ``accurate`` on the CPU's instructions too.
    """

    kind: Literal["swscale-bicubic"] = "swscale-bicubic"
    """Name of the degradation."""
    accurate: bool = False
    """``false``: ``flags=bicubic``, which ``ffmpeg`` takes by default; ``true``: ``bicubic+accurate_rnd+bitexact``."""


class Lanczos(Model):
    """MATLAB's ``imresize(x, 1/scale, 'lanczos3')``: antialiased, sinc(x) sinc(x / lobes)."""

    kind: Literal["lanczos"] = "lanczos"
    """Name of the degradation."""
    lobes: Literal[2, 3] = 3
    """Half width of the kernel in LR samples: 3 as ``lanczos3``, 2 as ``lanczos2``."""
    rounding: Literal["each-pass", "once"] = "each-pass"
    """``each-pass``: as on a uint8 array, after the vertical and after the horizontal pass;
    ``once``: as on a double array that is rounded when written."""
    border: Literal["symmetric", "replicate"] = "symmetric"
    """``symmetric``: current MATLAB mirrors the edge sample too; ``replicate``: older releases repeat it."""


class Area(Model):
    """The mean of each scale x scale block of HR, exact, rounded once."""

    kind: Literal["area"] = "area"
    """Name of the degradation."""
    halves: Literal["opencv", "up"] = "opencv"
    """Where an exact half goes. ``opencv``: as ``INTER_AREA``, up at x2, to the even level at x4 and x8; ``up``:
    always up. (A ninth at x3 is never a half.)"""


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


class BdSofVsr(Model):
    """Blur and subsample as ``generate_LR_images.m`` of SOF-VSR: Gaussian of sigma 1.6, 13x13, samples 0, s, 2s.

    MATLAB's ``imfilter`` of doubles, border mirrored with the edge sample, rounded once. Published for x4; other
    scales take the same kernel. The LR grid lies (scale - 1) / 2 HR pixels up and left of centre alignment.
    """

    kind: Literal["bd-sofvsr"] = "bd-sofvsr"
    """Name of the degradation."""


class BdTecoGan(Model):
    """Blur and subsample as ``resize_bd.py`` of TecoGAN-PyTorch: Gaussian of sigma 1.5, 9x9, samples 0, s, 2s.

    Border reflected without the edge sample, rounded once, an exact half to the even level. The published script
    adds up in float32 on 0..1, ours in float64. Published for x4; other scales take the same kernel. The LR grid
    lies (scale - 1) / 2 HR pixels up and left of centre alignment.
    """

    kind: Literal["bd-tecogan"] = "bd-tecogan"
    """Name of the degradation."""


class BdSpmc(Model):
    """Blur and subsample as the x4 frames of SPMC_VideoSR and VSR-DUF: Gaussian of sigma 1.6, 9x9, samples 0, s, 2s.

    No script is published: the rule was found from the frames. Edge sample repeated, one dense 2-D sum in float64
    in raster order, the fraction dropped: equal in every sample of the calendar frames at hand. Flat parts
    can come out one level darker, as in those files. The LR grid lies (scale - 1) / 2 HR pixels up and left of
    centre alignment.
    """

    kind: Literal["bd-spmc"] = "bd-spmc"
    """Name of the degradation."""


class GaussianSubsample(Model):
    """Gaussian blur, then every ``scale``-th sample, as ESPCN makes its training LR; float, rounded once.

    The paper (arXiv 1609.05158) states neither sigma nor the rest. Sigma 1 was the best of those that TU Delft's
    reproduction tried at x3 (``ESPCN_Reproducibility_Project``, scikit-image: cut at 4 sigma, edge sample repeated).
    """

    kind: Literal["gaussian-subsample"] = "gaussian-subsample"
    """Name of the degradation."""
    sigma: Annotated[float, Field(ge=0.1, le=20)] = 1.0
    """Standard deviation of the blur in HR pixels, per axis."""
    radius: Annotated[float, Field(ge=0.5, le=100)] | None = None
    """Farthest tap from the centre of the kernel in HR pixels; 4 sigma, rounded, when left out (SciPy's cut)."""
    phase: Literal["centre", "first"] = "centre"
    """Where LR sample i lies in HR: ``centre``: at scale i + (scale - 1) / 2, as bicubic (between two samples at even
    scales, so the kernel has an even number of taps); ``first``: at scale i."""
    border: Border = "replicate"
    """What lies beyond the frame: ``symmetric`` (mirrored with the edge sample), ``replicate`` (edge sample repeated)
    or ``reflect`` (mirrored without it)."""


Downscaler: TypeAlias = (
    Bicubic
    | PillowBicubic
    | TorchBicubic
    | OpenCvBicubic
    | SwscaleBicubic
    | Lanczos
    | Area
    | BdDuf
    | BdBasicVsr
    | BdSofVsr
    | BdTecoGan
    | BdSpmc
    | GaussianSubsample
)
"""From HR to LR in one step, by the recipe's scale."""
