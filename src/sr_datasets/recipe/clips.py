"""Which clips a recipe takes, and in which split each goes."""

from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sr_datasets.models import Model

SplitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


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
    """How clips, never patches, are dealt to splits; pieces of one video, and clips with the same bytes, go together."""

    counts: dict[SplitName, int] = Field(default_factory=dict)
    """Clips of each split, in the order in which they are filled; a last split of ``-1`` takes the rest. Fewer clips
    than that are dealt in the same proportion."""
    ratios: dict[SplitName, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)
    """Or: part of the clips of each split (``{train: 0.8, val: 0.2}``), adding up to 1, filled in this order."""
    clips: dict[SplitName, tuple[str, ...]] = Field(default_factory=dict)
    """Or: selections of each split by name (``xiph/akiyo_cif``, ``demo/*``)."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.counts, self.ratios, self.clips))) != 1:
            raise ValueError("a split gives one of `counts`, `ratios` and `clips`")
        # Written in decimal, they are summed in decimal: 0.7 + 0.2 + 0.1 is 1.
        if self.ratios and sum(Fraction(str(ratio)) for ratio in self.ratios.values()) != 1:
            raise ValueError(f"ratios add up to {sum(self.ratios.values()):g}, not to 1")
        if any(count == 0 or count < -1 for count in self.counts.values()):
            raise ValueError("counts are at least 1, or -1 for the rest")
        if -1 in list(self.counts.values())[:-1]:
            raise ValueError("only the last split can take the rest (-1)")
        return self
