"""Degradations of several steps, and every degradation as one union."""

from typing import Annotated, Literal

from pydantic import Field

from sr_datasets.models import Model
from sr_datasets.recipe.degradations import Downscaler

ChainStep = Annotated[Downscaler, Field(discriminator="kind")]
"""What may be a step of a chain."""


class Chain(Model):
    """Steps that follow one another, from HR to LR."""

    kind: Literal["chain"] = "chain"
    """Name of the degradation."""
    steps: tuple[ChainStep, ...] = Field(min_length=1)
    """The steps in order. Where frames are degraded, exactly one of them shrinks, by the recipe's scale."""
    of: Literal["frame", "crop"] = "frame"
    """``frame``: LR is the crop of the degraded frame (or clip, where a step is a video codec); ``crop``: the
    drawn HR crop is degraded by itself, with its own borders, as Real-ESRGAN does."""
    between: Literal["pixels", "floats"] = "pixels"
    """``pixels``: each step's result is rounded to the clip's depth; ``floats``: only the last one's is."""


Degradation = Annotated[Downscaler | Chain, Field(discriminator="kind")]
"""How LR is made of HR."""
