"""What the bytes of a shard can depend on besides the recipe and the clips."""

from importlib.metadata import version

from sr_datasets import __version__
from sr_datasets.recipe import Recipe

_PACKAGES = ("numpy", "pyarrow", "av", "pillow")


def packages_of(recipe: Recipe) -> dict[str, str]:
    """Return name and version of each package that the recipe's shards can depend on."""
    return {"sr-datasets": __version__, **{name: version(name) for name in _PACKAGES}}
