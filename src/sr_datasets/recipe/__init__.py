"""What a recipe says: which clips, at which scale, degraded how, sampled how, split how."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sr_datasets.models import Model
from sr_datasets.recipe.chains import Chain, Degradation, LrOrigin
from sr_datasets.recipe.clips import ClipFilter, Split, SplitName
from sr_datasets.recipe.degradations import (
    Area,
    BdBasicVsr,
    BdDuf,
    BdSofVsr,
    BdSpmc,
    BdTecoGan,
    Bicubic,
    Downscaler,
    GaussianSubsample,
    Lanczos,
    OpenCvBicubic,
    PillowBicubic,
    SwscaleBicubic,
    TorchBicubic,
)
from sr_datasets.recipe.given import NoLr, Provided
from sr_datasets.recipe.sampling import GridSampling, Sampling, UniformSampling

__all__ = [
    "Area",
    "BdBasicVsr",
    "BdDuf",
    "BdSofVsr",
    "BdSpmc",
    "BdTecoGan",
    "Bicubic",
    "Chain",
    "ClipFilter",
    "Degradation",
    "Downscaler",
    "GaussianSubsample",
    "GridSampling",
    "HrStep",
    "Lanczos",
    "NoLr",
    "OpenCvBicubic",
    "PillowBicubic",
    "Provided",
    "Recipe",
    "Sampling",
    "Scale",
    "Split",
    "SplitName",
    "SwscaleBicubic",
    "TorchBicubic",
    "UniformSampling",
]

Scale = Literal[2, 3, 4, 8]


class HrStep(Model):
    """What happens to decoded frames before they are HR."""

    downscale: Literal[1, 2, 3, 4] = 1
    """Shrinks frames of a source that is not pristine (``pristine: no``), so that its coding and noise are no HR
    detail: MATLAB's bicubic, rounded after each pass."""


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
    color: Literal["y", "rgb", "yuv420"] = "rgb"
    """``y``: the decoder's own luma, or BT.601 studio luma of RGB; ``rgb``: 4:2:0 converted by our arithmetic;
    ``yuv420``: the planes of 4:2:0 as they are."""
    rgb_from_yuv: Literal["exact", "swscale-default"] = "exact"
    """For ``rgb`` of Y'CbCr: ``exact``: our arithmetic, chroma linear at its siting; ``swscale-default``: what ffmpeg
    writes to PNG, 16 bits deep for clips above 8."""
    interlaced: Literal["refuse", "deinterlace", "keep"] = "refuse"
    """Clips known to be interlaced: ``refuse``; ``deinterlace``: FFmpeg's bwdif, a frame for each frame; ``keep``: both
    moments of a frame stay woven."""
    hr: HrStep = HrStep()
    """What happens to decoded frames before they are HR."""
    degradation: LrOrigin = Bicubic()
    """How LR is made of HR."""
    sampling: Sampling = UniformSampling()
    """Which patches become rows."""
    split: Split
    """Which clips go where."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Key of every draw."""
    clips_per_shard: int = Field(default=8, ge=1)
    """Clips (of one split) that make one shard."""
    storage: Literal["raw", "zstd", "png"] = "raw"
    """How pixels are stored, always without loss: ``raw`` is mapped and fastest; ``zstd`` is smaller; ``png`` is smallest and
    shown by viewers."""
    preview: bool = False
    """A column with a small picture of each row, LR beside HR, for viewers."""

    @model_validator(mode="after")
    def _what_is_degraded_later_is_there(self) -> Self:
        if not isinstance(self.degradation, NoLr):
            return self
        if self.sampling.num_lr_frames > 1 and self.sampling.num_hr_frames == 1:
            raise ValueError("degradation: none keeps no LR, so windows of frames need hr_frames: all")
        if self.color == "yuv420" and self.degradation.halo % 2:
            raise ValueError(
                f"color: yuv420 has chroma at half the size: halo must be even, not {self.degradation.halo}"
            )
        return self

    @model_validator(mode="after")
    def _png_can_hold_it(self) -> Self:
        if self.storage == "png" and self.color == "yuv420":
            raise ValueError("storage: png has no 4:2:0 planes: take zstd or raw, or color: y or rgb")
        if self.storage == "png" and isinstance(self.degradation, NoLr):
            raise ValueError(
                "storage: png has no picture without samples, which LR of degradation: none is: take zstd or raw"
            )
        return self

    @model_validator(mode="after")
    def _yuv420_stays_even(self) -> Self:
        if self.color == "yuv420":
            steps = {"lr_size": self.sampling.lr_size}
            if isinstance(self.sampling, GridSampling):
                steps["stride"] = self.sampling.stride
            for name, value in steps.items():
                if value % 2:
                    raise ValueError(
                        f"color: yuv420 has chroma at half the size: {name} must be even, not {value}"
                    )
        return self
