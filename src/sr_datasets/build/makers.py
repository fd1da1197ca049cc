"""Which packages made what lies in a set's place: a build goes on there with the same ones, and with no others."""

import json
import platform
import tempfile
from pathlib import Path

from pydantic import ValidationError

from sr_datasets.build.packages import differing
from sr_datasets.errors import BuildError, ShardError
from sr_datasets.progress import Progress
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import Place
from sr_datasets.shards.sets import (
    DATA_DIR,
    REPORT_NAME,
    SET_NAME,
    STATE_NAME,
    BuildState,
    SetInfo,
    read_set,
)


def described(place: Place) -> SetInfo | None:
    """Return what ``sr-data.json`` of a place says; None when there is none, or a damaged one."""
    try:
        if place.local is not None:
            return read_set(place.local)
        if place.size_of(SET_NAME) is None:
            return None
        with tempfile.TemporaryDirectory(prefix="sr-data-set-") as folder:
            (Path(folder) / SET_NAME).write_bytes(place.read(SET_NAME))
            return read_set(Path(folder))
    except ShardError:
        return None


def state_of(place: Place) -> BuildState | None:
    """Return what ``.build.json`` of a place says; None when there is none, or a damaged one."""
    if place.size_of(STATE_NAME) is None:
        return None
    try:
        return BuildState.model_validate_json(place.read(STATE_NAME))
    except ValidationError:
        return None


def require_makers(recipe: Recipe, place: Place) -> None:
    """Make sure that the shards of a place, and those that jobs are making for it, are of this machine's packages.

    Raises:
        BuildError: They are of others, or nothing there says of which.
        RemoteError: The place cannot be reached or refuses.
    """
    state = state_of(place)
    under_way = state is not None and state.parts > 0
    if not under_way and not any(name.endswith(".parquet") for name in place.sizes(DATA_DIR)):
        return
    info = described(place)
    said = [one.packages for one in (info, state) if one is not None] or [_reported(place)]
    anew = "start anew: delete what is there, or give --out another place"
    if not all(said):
        raise BuildError(
            f"{place}: an earlier version of sr-datasets began this build and did not note the versions of its packages, so "
            f"shards of others would be mixed. Finish it with that version, or {anew}."
        )
    differ = [line for packages in said for line in differing(recipe, packages)]
    if differ:
        raise BuildError(
            f"{place}: its shards are made with other packages than this machine ({platform.node()}) has, so a build that went "
            f"on could mix bytes: {'; '.join(dict.fromkeys(differ))}. Install the same versions as there and run the same "
            f"command again, or {anew}."
        )


def _reported(place: Place) -> dict[str, str]:
    """Return the packages of the report, which was written with the description that is gone or damaged."""
    if place.size_of(REPORT_NAME) is None:
        return {}
    try:
        packages = json.loads(place.read(REPORT_NAME))["packages"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return packages if isinstance(packages, dict) else {}


def tell_makers(recipe: Recipe, place: Place, info: SetInfo, progress: Progress) -> None:
    """Say so where a finished set, which is left as it is, was made with other packages than are here."""
    if differ := differing(recipe, info.packages):
        progress.log(
            f"{place} is finished, and was made with other packages ({'; '.join(differ)}). Nothing was changed there."
        )
