"""Which frames and positions of a clip become rows."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sr_datasets.models import Model


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
