"""Which encoders and scalers of others a degradation runs, for the metadata of a set."""

from collections.abc import Iterator

from sr_datasets.recipe.chains import Chain, ChainStep, Degradation, OneOf, Shuffle
from sr_datasets.recipe.degradations import SwscaleBicubic
from sr_datasets.recipe.effects import X264, X265, Av1, Jpeg, Mpeg4, Vp9


def encoders_of(degradation: Degradation) -> dict[str, str]:
    """Return the name and build of each encoder and of swscale, by the kind of its step; empty for most degradations.

    LR of another build may differ: that is another encoder, no broken set.

    Raises:
        ValueError: This build of PyAV lacks one.

    Example:
        >>> from sr_datasets.recipe import Bicubic
        >>> encoders_of(Bicubic())
        {}
    """
    found: dict[str, str] = {}
    for part in _parts(degradation.steps if isinstance(degradation, Chain) else (degradation,)):
        # Pillow and PyAV are imported where they are needed.
        if isinstance(part, Jpeg):
            from sr_datasets.degrade.jpeg import jpeg_library

            found[part.kind] = jpeg_library()
        elif isinstance(part, SwscaleBicubic):
            from sr_datasets.degrade.swscale import swscale_build

            found[part.kind] = swscale_build()
        elif isinstance(part, X264 | X265 | Vp9 | Av1 | Mpeg4):
            from sr_datasets.degrade.codec import encoder_of

            found[part.kind] = encoder_of(part.kind)
    return dict(sorted(found.items()))


def _parts(steps: tuple[ChainStep, ...]) -> Iterator[ChainStep]:
    for step in steps:
        yield step
        if isinstance(step, OneOf):
            yield from _parts(step.steps)
        elif isinstance(step, Shuffle):
            for group in step.groups:
                yield from _parts(group)
