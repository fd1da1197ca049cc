"""What the bytes of a shard can depend on besides the recipe and the clips."""

import platform
from collections.abc import Mapping
from importlib.metadata import version

from sr_datasets import __version__
from sr_datasets.degrade import encoders_of
from sr_datasets.errors import BuildError
from sr_datasets.recipe import NoLr, Provided, Recipe

_PACKAGES = ("numpy", "pyarrow", "av", "pillow")


def packages_of(recipe: Recipe) -> dict[str, str]:
    """Return name and version of each package that the recipe's shards can depend on."""
    others: dict[str, str] = {}
    if not isinstance(recipe.degradation, Provided | NoLr):
        # With another build of these, LR may be another: the set is whole all the same.
        others = {f"encoder {kind}": build for kind, build in encoders_of(recipe.degradation).items()}
    return {"sr-datasets": __version__, **{name: version(name) for name in _PACKAGES}, **others}


def differing(recipe: Recipe, expected: Mapping[str, str]) -> list[str]:
    """Return what to say of each package that differs here from another machine's, or an earlier run's."""
    here = packages_of(recipe)
    return [
        f"{name} {here.get(name, 'none')} here, {expected.get(name, 'none')} there"
        for name in sorted({*here, *expected})
        if here.get(name) != expected.get(name)
    ]


def require_packages(recipe: Recipe, expected: Mapping[str, str], whose: str) -> None:
    """Make sure that this machine has the packages of another one, so that both write the same bytes.

    Raises:
        BuildError: A version differs.
    """
    if differ := differing(recipe, expected):
        raise BuildError(
            f"recipe {recipe.id}: this machine ({platform.node()}) has other packages than {whose}, so its shards could have "
            f"other bytes: {'; '.join(differ)}. Install the same versions on each."
        )
