"""Steps of a chain that keep the picture's place on the grid: blur, noise, JPEG, video codecs; and resizing of crops."""

import math
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from sr_datasets.models import Model, Rate
from sr_datasets.recipe.degradations import Border
from sr_datasets.recipe.numbers import Choices, Number, Range, Share, check_limits, limits, walks

LARGEST_KERNEL = 41
"""Widest blur, in pixels."""


class Effect(Model):
    """A step that may be left out at random."""

    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How often the step is taken; drawn for each row."""

    drawn: ClassVar[tuple[str, ...]] = ()
    """Fields that can be left to draws."""

    @property
    def walks(self) -> bool:
        """Whether a number of the step changes from frame to frame."""
        return any(walks(number) for name in self.drawn if (number := getattr(self, name)) is not None)


class Blur(Effect):
    """Filters with one of the kernels of Real-ESRGAN (arXiv 2107.10833), which add up to 1; no subsampling.

    With x' P x = (c x + s y)^2 / sigma^2 + (-s x + c y)^2 / sigma_across^2, c and s the cosine and sine of ``rotation``,
    x to the right and y down: ``gaussian``: exp(-(x' P x) / 2); ``generalized``: exp(-(x' P x)^beta / 2);
    ``plateau``: 1 / (1 + (x' P x)^beta). ``sinc``: the circular low-pass cutoff J1(cutoff r) / (2 pi r).
    """

    kind: Literal["blur"] = "blur"
    """Name of the step."""
    shape: Literal["gaussian", "generalized", "plateau", "sinc"] = "gaussian"
    """Which kernel."""
    size: Number = 21
    """Width and height of the kernel: an odd number, or ``choices`` of odd numbers, 3..41."""
    sigma: Number | None = None
    """Standard deviation in pixels along the first axis, 0.1..30; for all but ``sinc``."""
    sigma_across: Number | None = None
    """Standard deviation along the second axis; left out: as along the first (isotropic)."""
    rotation: Number = 0.0
    """Angle of the first axis in radians, from the rows downwards."""
    beta: Number | None = None
    """Exponent of ``generalized`` and ``plateau``, 0.1..10."""
    cutoff: Number | None = None
    """Cutoff of ``sinc`` in radians per pixel, above 0, at most pi."""
    border: Border = "reflect"
    """What lies beyond the picture; ``reflect`` (mirrored without the edge sample) as PyTorch's and OpenCV's default."""

    drawn: ClassVar[tuple[str, ...]] = ("size", "sigma", "sigma_across", "rotation", "beta", "cutoff")

    @model_validator(mode="after")
    def _fits_its_shape(self) -> "Blur":
        sizes = self.size.choices if isinstance(self.size, Choices) else (self.size,)
        for size in sizes:
            if isinstance(size, Range) or size not in range(3, LARGEST_KERNEL + 1, 2):
                raise ValueError(
                    f"size is an odd number of 3..{LARGEST_KERNEL}, or choices of such numbers, not {size}"
                )
        if walks(self.size):
            raise ValueError("size may not walk: all frames of a row take the same")
        takes = {
            "gaussian": ("sigma",),
            "generalized": ("sigma", "beta"),
            "plateau": ("sigma", "beta"),
            "sinc": ("cutoff",),
        }[self.shape]
        for name in ("sigma", "beta", "cutoff"):
            given = getattr(self, name) is not None
            if given != (name in takes):
                raise ValueError(f"a {self.shape} kernel {'takes no' if given else 'needs'} {name}")
        if self.shape == "sinc" and (self.sigma_across is not None or self.rotation != 0):
            raise ValueError("a sinc kernel takes neither sigma_across nor rotation: it is round")
        if self.sigma_across is None and self.rotation != 0:
            raise ValueError("without sigma_across the kernel is round: leave rotation out")
        for name, least, greatest in (
            ("sigma", 0.1, 30.0),
            ("sigma_across", 0.1, 30.0),
            ("rotation", -1e3, 1e3),
            ("beta", 0.1, 10.0),
            ("cutoff", 1e-3, math.pi),
        ):
            if (number := getattr(self, name)) is not None:
                check_limits(name, number, least, greatest)
        return self


class GaussianNoise(Effect):
    """Adds normal noise, each sample its own, or all planes the same; the result is clipped, as Real-ESRGAN does.

    A row's noise is its own; a frame's noise belongs to its place in the frame.
    """

    kind: Literal["gaussian-noise"] = "gaussian-noise"
    """Name of the step."""
    sigma: Number
    """Standard deviation in levels of 0..255 (more bits: times peak / 255), 0..255."""
    grey: Share = 0.0
    """How often all planes get the same noise; drawn for each row."""
    clip: bool = True
    """Whether floats are clipped to 0..peak; pixels always are."""

    drawn: ClassVar[tuple[str, ...]] = ("sigma",)

    @model_validator(mode="after")
    def _is_in_range(self) -> "GaussianNoise":
        check_limits("sigma", self.sigma, 0.0, 255.0)
        return self


class PoissonNoise(Effect):
    """Adds ``scale`` times the noise of counting photons, as Real-ESRGAN does.

    Samples are rounded to k of 0..255 for the rate; V is the number of different k in the picture, rounded up to a power
    of 2; the noise of k is Poisson(V k / 255) / V - k / 255, times peak. Grey: k of the luma
    0.2989 R + 0.587 G + 0.114 B, and all planes get the same noise. The result is clipped.
    """

    kind: Literal["poisson-noise"] = "poisson-noise"
    """Name of the step."""
    scale: Number = 1.0
    """What the noise is multiplied by, 0..10."""
    grey: Share = 0.0
    """How often all planes get the noise of the luma; drawn for each row."""
    clip: bool = True
    """Whether floats are clipped to 0..peak; pixels always are."""

    drawn: ClassVar[tuple[str, ...]] = ("scale",)

    @model_validator(mode="after")
    def _is_in_range(self) -> "PoissonNoise":
        check_limits("scale", self.scale, 0.0, 10.0)
        return self


class Jpeg(Effect):
    """Writes a JPEG with Pillow (libjpeg-turbo) and reads it back: ``rgb`` as RGB, ``y`` as grey; 8 bits.

    Floats are clipped and rounded before. The library's version stands in a set's metadata.
    """

    kind: Literal["jpeg"] = "jpeg"
    """Name of the step."""
    quality: Number
    """Quality of libjpeg, 1..100; a drawn number is rounded, a half up."""
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"
    """Of chroma; 4:2:0 is libjpeg's own choice."""

    drawn: ClassVar[tuple[str, ...]] = ("quality",)

    @model_validator(mode="after")
    def _is_in_range(self) -> "Jpeg":
        check_limits("quality", self.quality, 1.0, 100.0)
        return self


class Resize(Model):
    """Resizes a crop by a factor, drawn or fixed, or to the size of LR; only in chains ``of: crop``.

    PyTorch's ``F.interpolate`` without antialias: ``area``: the mean of the samples from floor(i n / m) to
    ceil((i + 1) n / m); ``bilinear``; ``bicubic``: a = -0.75; the latter two with ``align_corners=False``, edge samples repeated.
    """

    kind: Literal["resize"] = "resize"
    """Name of the step."""
    base: Literal["input", "target"] = "input"
    """What the factor multiplies. ``input``: the size of the step's input; ``target``: the size of LR."""
    factor: Number = 1.0
    """Ratio of sizes, 0.05..8; each side is that many times the base, the fraction dropped, at least 1."""
    methods: Annotated[tuple[Literal["area", "bilinear", "bicubic"], ...], Field(min_length=1)] = ("bicubic",)
    """How; one is drawn for each row, each as often."""

    drawn: ClassVar[tuple[str, ...]] = ("factor",)

    @model_validator(mode="after")
    def _is_in_range(self) -> "Resize":
        check_limits("factor", self.factor, 0.05, 8.0)
        return self

    @property
    def walks(self) -> bool:
        """Whether the factor changes from frame to frame."""
        return walks(self.factor)

    @property
    def goes_to_lr(self) -> bool:
        """Whether the result has the size of LR."""
        return self.base == "target" and self.factor == 1


class VideoCodec(Effect):
    """Encodes the frames as video and decodes them, in memory, on one thread.

    In chains ``of: frame`` the whole clip is one video, encoded once; in chains ``of: crop`` the row's frames are. The
    encoder gets 4:2:0, which ``yuv420`` is already. ``rgb`` becomes BT.601 limited by exact arithmetic, as ffmpeg
    converts PNG; a chroma sample is the mean of its 2x2 pixels; back, chroma is interpolated linearly.
    ``y`` goes with neutral chroma. An odd size is padded by its last row and column and cut again.
    """

    crf: Number | None = None
    """Constant quality, lower is better. One of ``crf``, ``qp`` and ``bitrate`` is given, a whole number; a drawn
    number is rounded, a half up, and holds for the whole video."""
    qp: Number | None = None
    """Constant quantiser."""
    bitrate: Number | None = None
    """Bits per second aimed at, 1000..10**9."""
    gop: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Most frames from one key frame to the next; left out: the encoder's own choice."""
    fps: Rate = Field(default=25, validate_default=True)
    """Frames per second that the encoder is told; its choices and ``bitrate`` depend on it."""

    drawn: ClassVar[tuple[str, ...]] = ("crf", "qp", "bitrate")
    rates: ClassVar[dict[str, tuple[float, float]]] = {}
    """Limits of ``crf`` and ``qp``; what is missing cannot be asked for."""

    @model_validator(mode="after")
    def _has_one_rate(self) -> "VideoCodec":
        given = [name for name in ("crf", "qp", "bitrate") if getattr(self, name) is not None]
        known = {**self.rates, "bitrate": (1e3, 1e9)}
        if len(given) != 1 or given[0] not in known:
            raise ValueError(
                f"expected one of {', '.join(known)}, found {' and '.join(given) if given else 'none of them'}"
            )
        number = getattr(self, given[0])
        check_limits(given[0], number, *known[given[0]])
        if isinstance(number, float) and number != int(number):
            raise ValueError(f"{given[0]} is {number}, must be a whole number")
        if self.walks:
            raise ValueError(f"{given[0]} may not walk: a video is encoded with one")
        return self


_X26X_PRESETS = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]


class X264(VideoCodec):
    """H.264 by libx264, with the choices that do not depend on the CPU (``cpu-independent``); 8 and 10 bits.

    ``crf`` 0..51, ``qp`` 0..51.
    """

    kind: Literal["x264"] = "x264"
    """Name of the step."""
    preset: _X26X_PRESETS = "medium"
    """How much the encoder searches."""
    chroma: Literal["4:2:0", "4:4:4"] = "4:2:0"
    """What the encoder gets; 4:4:4, for ``rgb``, is what ffmpeg chooses for PNG when it is not told."""

    rates: ClassVar[dict[str, tuple[float, float]]] = {"crf": (0, 51), "qp": (0, 51)}


class X265(VideoCodec):
    """H.265 by libx265; 8, 10 and 12 bits. Frames below 64x64 are padded to it.

    ``crf`` 0..51, ``qp`` 0..51.
    """

    kind: Literal["x265"] = "x265"
    """Name of the step."""
    preset: _X26X_PRESETS = "medium"
    """How much the encoder searches."""
    chroma: Literal["4:2:0", "4:4:4"] = "4:2:0"
    """What the encoder gets; 4:4:4 for ``rgb``."""

    rates: ClassVar[dict[str, tuple[float, float]]] = {"crf": (0, 51), "qp": (0, 51)}


class Vp9(VideoCodec):
    """VP9 by libvpx-vp9, deadline ``good``; 8 bits.

    ``crf`` 0..63 (constant quality), ``qp`` 0..63 (least and greatest quantiser alike).
    """

    kind: Literal["vp9"] = "vp9"
    """Name of the step."""
    speed: Annotated[int, Field(ge=0, le=5)] = 1
    """libvpx's ``cpu-used``; lower searches more."""

    rates: ClassVar[dict[str, tuple[float, float]]] = {"crf": (0, 63), "qp": (0, 63)}


class Av1(VideoCodec):
    """AV1 by SVT-AV1; 8 and 10 bits. Frames below 64x64 are padded to it.

    ``crf`` 1..63, ``qp`` 1..63. CPUs without AVX2 can give other samples than those with it.
    """

    kind: Literal["av1"] = "av1"
    """Name of the step."""
    preset: Annotated[int, Field(ge=0, le=13)] = 8
    """SVT-AV1's preset; lower searches more."""

    rates: ClassVar[dict[str, tuple[float, float]]] = {"crf": (1, 63), "qp": (1, 63)}


class Mpeg4(VideoCodec):
    """MPEG-4 part 2 by FFmpeg's own encoder, integer DCT, ``bitexact``; 8 bits.

    ``qp`` 1..31, of every frame, or ``bitrate``.
    """

    kind: Literal["mpeg4"] = "mpeg4"
    """Name of the step."""

    rates: ClassVar[dict[str, tuple[float, float]]] = {"qp": (1, 31)}


Codec: TypeAlias = X264 | X265 | Vp9 | Av1 | Mpeg4
"""Any video codec."""

SimpleEffect: TypeAlias = Blur | GaussianNoise | PoissonNoise | Jpeg | Resize | Codec
"""Steps that hold no other steps."""


def widest(part: Blur) -> int:
    """Return the greatest size that a blur's kernel can have."""
    return int(limits(part.size)[1])
