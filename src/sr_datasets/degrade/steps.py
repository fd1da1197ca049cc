"""From what a recipe says to what runs: each kind of degradation as a step."""

from typing import assert_never

from sr_datasets.degrade.blur import BlurStep
from sr_datasets.degrade.cutwindow import PillowBicubicStep, TorchBicubicStep
from sr_datasets.degrade.dense import SpmcStep
from sr_datasets.degrade.mixed import MaybeStep, OneOfStep, ShuffleStep
from sr_datasets.degrade.noise import GaussianNoiseStep, PoissonNoiseStep
from sr_datasets.degrade.resize import ResizeStep
from sr_datasets.degrade.separable import SeparableStep
from sr_datasets.degrade.step import Context, Step
from sr_datasets.degrade.taps import taps_of
from sr_datasets.recipe.chains import Chain, ChainStep, Degradation, OneOf, Shuffle
from sr_datasets.recipe.degradations import BdSpmc, Downscaler, PillowBicubic, SwscaleBicubic, TorchBicubic
from sr_datasets.recipe.effects import (
    X264,
    X265,
    Av1,
    Blur,
    Codec,
    Effect,
    GaussianNoise,
    Jpeg,
    Mpeg4,
    PoissonNoise,
    Resize,
    Vp9,
)


def steps_of(degradation: Degradation, context: Context) -> list[Step]:
    """Return the steps of a degradation in order; one for most.

    Raises:
        ValueError: A step cannot work at this scale, depth or colour.
    """
    parts = degradation.steps if isinstance(degradation, Chain) else (degradation,)
    return [_step_of(part, context) for part in parts]


def _step_of(part: ChainStep, context: Context) -> Step:
    if not isinstance(part, Effect):
        return _resizer_of(part, context)
    step = _effect_of(part, context)
    return MaybeStep(step, part.probability) if part.probability < 1 else step


def _effect_of(
    part: Blur | GaussianNoise | PoissonNoise | Jpeg | Codec | OneOf | Shuffle, context: Context
) -> Step:
    match part:
        case OneOf(steps=steps, weights=weights):
            return OneOfStep([(one.kind, _step_of(one, context)) for one in steps], weights, context)
        case Shuffle(groups=groups):
            inner = [[(one.kind, _step_of(one, context)) for one in group] for group in groups]
            return ShuffleStep(inner, context)
        case Blur():
            return BlurStep(part, context)
        case GaussianNoise():
            return GaussianNoiseStep(part, context)
        case PoissonNoise():
            return PoissonNoiseStep(part, context)
        case Jpeg():
            # Pillow and PyAV take tens of milliseconds to import, and most recipes need neither here.
            from sr_datasets.degrade.jpeg import JpegStep

            return JpegStep(part, context)
        case X264() | X265() | Vp9() | Av1() | Mpeg4():
            from sr_datasets.degrade.codec import CodecStep

            return CodecStep(part, context)
        case _:
            assert_never(part)


def _resizer_of(part: Downscaler | Resize, context: Context) -> Step:
    match part:
        case Resize():
            return ResizeStep(part, context)
        case PillowBicubic(tall=tall):
            return PillowBicubicStep(context, tall=tall)
        case TorchBicubic():
            return TorchBicubicStep(context)
        case SwscaleBicubic(accurate=accurate):
            from sr_datasets.degrade.swscale import SwscaleBicubicStep

            return SwscaleBicubicStep(context, accurate=accurate)
        case BdSpmc():
            return SpmcStep(context)
        case _:
            return SeparableStep(taps_of(part, context.scale), context)
