"""Steps of chains by themselves, and pictures for them, as the tests like it."""

import numpy as np
from pydantic import TypeAdapter

from sr_datasets.degrade.step import Context, Region, StepDraws
from sr_datasets.degrade.steps import steps_of
from sr_datasets.recipe import Chain, Degradation

DEGRADATION = TypeAdapter(Degradation)
KEY = (0, "demo", "clip", 0)


def picture(height, width, planes=3, *, number=0, peak=255):
    """Return waves that differ from plane to plane and move from frame to frame, by integers alone."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    waves = [(x * x // 7 + y * (3 + plane) + x * (5 - plane) + number * 4) % 512 for plane in range(planes)]
    folded = np.stack([np.minimum(wave, 511 - wave) for wave in waves])
    return (folded * peak // 255).astype(np.uint8 if peak == 255 else np.uint16)


def step_of(step, *, scale=4, bit_depth=8, color="rgb"):
    """Return what runs a step, as of a chain that bicubic ends."""
    last = {"kind": "resize", "base": "target"}
    chain = Chain.model_validate({"steps": [step, last], "of": "crop"})
    return steps_of(chain, Context(scale, bit_depth, color))[0]


def run(step, frames, *, numbers=None, key=KEY, target=(16, 16), **context):
    """Return what a step makes of whole frames, and what it drew."""
    draws = StepDraws(key)
    made = step_of(step, **context).whole(
        frames, target=target, numbers=numbers or range(len(frames)), draws=draws
    )
    return made, draws.record


def window(step, frame, out, *, key=KEY, number=0, **context):
    """Return a part of what a step makes of a frame, given no more than it asks for."""
    ready = step_of(step, **context)
    height, width = frame.shape[-2:]
    at = ready.needs(out, height, width)
    seen = at.cut(frame, Region(0, 0, height, width))
    (made,) = ready.apply(
        [seen], at=at, height=height, width=width, out=out, numbers=[number], draws=StepDraws(key)
    )
    return made
