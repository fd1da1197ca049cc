"""What a recipe says: which clips, at which scale, degraded how, sampled how, split how."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sr_datasets.models import Model

Scale = Literal[2, 3, 4, 8]
SplitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


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


Degradation = Annotated[Bicubic | BdDuf | BdBasicVsr, Field(discriminator="kind")]


class UniformSampling(Model):
    """Frames and positions drawn evenly, as VESPCN: each patch pair its own frame and its own place."""

    kind: Literal["uniform"] = "uniform"
    """Name of the sampling."""
    patches_per_pair: int = Field(default=30, ge=1)
    """Patch pairs of each clip."""
    lr_size: int = Field(default=32, ge=1)
    """Side of the LR patch in LR pixels."""
    window: int = Field(default=1, ge=1)
    """LR frames per patch pair (T), odd; HR is the centre frame unless ``hr_frames`` says all."""
    hr_frames: Literal["centre", "all"] = "centre"
    """Which frames of the window have HR."""

    @model_validator(mode="after")
    def _window_has_a_centre(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError(
                f"window is {self.window}: an odd number of frames has a centre, an even one has not"
            )
        return self


class GridSampling(Model):
    """Every patch of a regular grid, as ESPCN's training set: dense, in raster order."""

    kind: Literal["grid"] = "grid"
    """Name of the sampling."""
    lr_size: int = Field(default=17, ge=1)
    """Side of the LR patch in LR pixels."""
    stride: int = Field(default=14, ge=1)
    """LR pixels from one patch to the next."""
    frame_step: int = Field(default=1, ge=1)
    """Every n-th frame of a clip is cut."""


Sampling = Annotated[UniformSampling | GridSampling, Field(discriminator="kind")]


class ClipFilter(Model):
    """Facts that a clip must have; what is left out is not asked."""

    width: int | None = None
    """Luma samples per row."""
    height: int | None = None
    """Luma rows."""
    scan: tuple[Literal["progressive", "interlaced", "unknown"], ...] = ()
    """How its lines were taken, by the stream or else by a look at the frames; any when empty."""
    min_frames: int = 1
    """Fewest frames."""
    facts: str = ""
    """Further conditions, as ``sr-data list --where`` takes them: ``redistribute_derived=yes license=CC*``."""


class Split(Model):
    """How clips, never patches, are dealt to splits."""

    counts: dict[SplitName, int] = Field(default_factory=dict)
    """Clips of each split, in the order in which they are filled; a last split of ``-1`` takes the rest. Fewer clips
    than that are dealt in the same proportion."""
    clips: dict[SplitName, tuple[str, ...]] = Field(default_factory=dict)
    """Or: selections of each split by name (``xiph/akiyo_cif``, ``demo/*``)."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.counts) == bool(self.clips):
            raise ValueError("a split gives either `counts` or `clips`, not both and not neither")
        if any(count == 0 or count < -1 for count in self.counts.values()):
            raise ValueError("counts are at least 1, or -1 for the rest")
        if -1 in list(self.counts.values())[:-1]:
            raise ValueError("only the last split can take the rest (-1)")
        return self


class Recipe(Model):
    """What a user wants built. ``docs/manifest.md`` has each field."""

    format: Literal[1]
    """Version of the recipe format."""
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Its name in every command."""
    title: str
    """Its name for people."""
    description: str = ""
    """Whose protocol it is, and what is known of it."""
    clips: tuple[str, ...] = Field(min_length=1)
    """Selections in order: ``demo``, ``xiph/*1080p*``, ``xiph:hd``."""
    where: ClipFilter = ClipFilter()
    """Facts that the probed clips must have."""
    present_only: bool = False
    """Take the clips that are in the store; otherwise a missing clip is an error."""
    order: Literal["catalog", "keyed"] = "catalog"
    """``keyed``: shuffled by the seed, the same on every machine."""
    drop_duplicates: bool = True
    """Leave out clips whose bytes are those of an earlier one."""
    limit: int | None = Field(default=None, ge=1)
    """Most clips to take."""
    scale: Scale
    """HR-to-LR ratio per axis."""
    color: Literal["y", "rgb"] = "rgb"
    """``y``: the decoder's own luma, or BT.601 studio luma of RGB; ``rgb``: 4:2:0 converted by our arithmetic."""
    degradation: Degradation = Bicubic()
    """How LR is made of HR."""
    sampling: Sampling = UniformSampling()
    """Which patches become rows."""
    split: Split
    """Which clips go where."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Key of every draw."""
    clips_per_shard: int = Field(default=8, ge=1)
    """Clips (of one split) that make one shard."""
