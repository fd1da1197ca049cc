"""From what a recipe says to what runs: each kind of degradation as a step."""

from typing import assert_never

from sr_datasets.degrade.separable import SeparableStep
from sr_datasets.degrade.step import Context, Step
from sr_datasets.degrade.taps import taps_of
from sr_datasets.recipe.chains import Chain, ChainStep, Degradation
from sr_datasets.recipe.degradations import BdBasicVsr, BdDuf, Bicubic


def steps_of(degradation: Degradation, context: Context) -> list[Step]:
    """Return the steps of a degradation in order; one for most.

    Raises:
        ValueError: A step cannot work at this scale, depth or colour.
    """
    parts = degradation.steps if isinstance(degradation, Chain) else (degradation,)
    return [_step_of(part, context) for part in parts]


def _step_of(part: ChainStep, context: Context) -> Step:
    match part:
        case Bicubic() | BdDuf() | BdBasicVsr():
            return SeparableStep(taps_of(part, context.scale), context)
        case _:
            assert_never(part)
