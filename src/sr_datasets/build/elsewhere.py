"""Tasks on other machines: the same packages there, and the same folder."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from sr_datasets.build.cutting import ShardResult
from sr_datasets.build.packages import packages_of, require_packages
from sr_datasets.engine import RayCluster, Workers
from sr_datasets.errors import BuildError
from sr_datasets.recipe import Recipe

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def on_workers(
    function: Callable[[_Task], _Result], recipe: Recipe, workers: Workers
) -> Callable[[_Task], _Result]:
    """Return a function that does the same, but on other machines looks first whether they have our packages."""
    if not isinstance(workers, RayCluster):
        return function
    return partial(_checked, function, recipe, packages_of(recipe))


def _checked(
    function: Callable[[_Task], _Result], recipe: Recipe, packages: Mapping[str, str], task: _Task
) -> _Result:
    require_packages(recipe, packages, "the machine that started the build")
    return function(task)


def require_shared(path: Path, result: ShardResult, workers: Workers) -> None:
    """Make sure that a shard that another machine wrote is seen here.

    Raises:
        BuildError: It is not.
    """
    if isinstance(workers, RayCluster) and (
        not path.is_file() or path.stat().st_size != result.summary.size_bytes
    ):
        raise BuildError(
            f"{path}: a node of the cluster says that it wrote this shard, and it is not here. Give --out a folder that all "
            "nodes share under one path, or an address such as s3://bucket/set."
        )
