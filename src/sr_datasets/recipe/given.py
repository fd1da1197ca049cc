"""LR that is not made here: the publisher's own, or none."""

from typing import Literal

from pydantic import Field, field_validator

from sr_datasets.models import Model


class Provided(Model):
    """The publisher's own LR, as Vid4, REDS and DIV2K have it: another clip for each HR clip.

    It must have the HR clip's frames at ``1 / scale`` of its size, and lie on it: whole LR pixels away is refused.
    """

    kind: Literal["provided"] = "provided"
    """Name of the degradation."""
    clips: str
    """The LR clip of an HR clip, ``{clip}`` for the latter's id: ``reds-lr/{clip}_x4``."""

    @field_validator("clips")
    @classmethod
    def _names_a_clip(cls, value: str) -> str:
        source, slash, clip = value.partition("/")
        if not (source and slash and clip) or "{" in source or value.replace("{clip}", "").count("{"):
            raise ValueError(f"'{value}' must be SOURCE/CLIP, where {{clip}} stands for the HR clip's id")
        return value


class NoLr(Model):
    """No LR: rows hold HR with a halo, to be degraded when they are loaded."""

    kind: Literal["none"] = "none"
    """Name of the degradation."""
    halo: int = Field(default=32, ge=0)
    """HR pixels that are kept around a patch on every side; patches lie so far from the frame's border."""
