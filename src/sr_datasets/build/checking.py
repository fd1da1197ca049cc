"""Whether a recipe's degradation can be made of its clips, before anything is made."""

from collections.abc import Sequence

from sr_datasets.build.frames import hr_depth
from sr_datasets.build.planning import PairPlan
from sr_datasets.degrade import Degrader
from sr_datasets.errors import BuildError
from sr_datasets.recipe import NoLr, Provided, Recipe

_PUBLISHED = {
    "bd-sofvsr": (4,),
    "bd-tecogan": (4,),
    "bd-spmc": (4,),
    "bd-duf": (2, 3, 4),
    "bd-basicvsr": (2, 3, 4),
}
"""Scales at which these were published (docs/degradations.md)."""


def check_degradation(recipe: Recipe, pairs: Sequence[PairPlan]) -> None:
    """Refuse a degradation that cannot take the recipe's colour or a clip's depth.

    Raises:
        BuildError: A step cannot, or an encoder is not in this build of PyAV.
    """
    if isinstance(recipe.degradation, Provided | NoLr):
        return
    seen: set[int] = set()
    for pair in pairs:
        depth = hr_depth(recipe, pair.record.info)
        if depth in seen:
            continue
        seen.add(depth)
        try:
            Degrader(recipe.degradation, recipe.scale, bit_depth=depth, color=recipe.color)
        except ValueError as error:
            raise BuildError(
                f"recipe {recipe.id}: its degradation cannot be made of {pair.name} ({recipe.color}, {depth} bits): "
                f"{error}. Change `color` or `degradation`, or choose clips of another depth."
            ) from error


def check_recipe(recipe: Recipe) -> None:
    """Refuse a degradation that cannot take the recipe's colour at any depth, whatever the clips are.

    Raises:
        BuildError: A step cannot, or an encoder is not in this build of PyAV.
    """
    if isinstance(recipe.degradation, Provided | NoLr):
        return
    problems = []
    for depth in (8, 10, 12, 16):
        try:
            Degrader(recipe.degradation, recipe.scale, bit_depth=depth, color=recipe.color)
        except ValueError as error:
            problems.append(str(error))
        else:
            return
    raise BuildError(
        f"recipe {recipe.id}: its degradation cannot be made in colour {recipe.color}: {problems[0]}. Change `color` or "
        "`degradation`."
    )


def unpublished_scale(recipe: Recipe) -> str:
    """Say so where a degradation is used at a scale that its paper does not have; empty otherwise."""
    kind = recipe.degradation.kind
    scales = _PUBLISHED.get(kind)
    if scales is None or recipe.scale in scales:
        return ""
    known = ", ".join(f"x{scale}" for scale in scales)
    return f"{kind} was published at {known}; at x{recipe.scale} it is the same rule carried over, and no paper's LR"
