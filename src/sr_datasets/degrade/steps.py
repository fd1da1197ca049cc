"""From what a recipe says to what runs: each kind of degradation as a step."""

from sr_datasets.degrade.cutwindow import PillowBicubicStep, TorchBicubicStep
from sr_datasets.degrade.dense import SpmcStep
from sr_datasets.degrade.separable import SeparableStep
from sr_datasets.degrade.step import Context, Step
from sr_datasets.degrade.taps import taps_of
from sr_datasets.recipe.chains import Chain, ChainStep, Degradation
from sr_datasets.recipe.degradations import BdSpmc, PillowBicubic, SwscaleBicubic, TorchBicubic


def steps_of(degradation: Degradation, context: Context) -> list[Step]:
    """Return the steps of a degradation in order; one for most.

    Raises:
        ValueError: A step cannot work at this scale, depth or colour.
    """
    parts = degradation.steps if isinstance(degradation, Chain) else (degradation,)
    return [_step_of(part, context) for part in parts]


def _step_of(part: ChainStep, context: Context) -> Step:
    match part:
        case PillowBicubic(tall=tall):
            return PillowBicubicStep(context, tall=tall)
        case TorchBicubic():
            return TorchBicubicStep(context)
        case SwscaleBicubic(accurate=accurate):
            # PyAV takes 90 ms to import, and few recipes need it here.
            from sr_datasets.degrade.swscale import SwscaleBicubicStep

            return SwscaleBicubicStep(context, accurate=accurate)
        case BdSpmc():
            return SpmcStep(context)
        case _:
            return SeparableStep(taps_of(part, context.scale), context)
