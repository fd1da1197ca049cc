"""Who made what lies in a set's place: a build, or somebody else; and with which packages.

A build goes on with the same packages, and with no others. What no build made is never written over.
"""

import io
import json
import platform
import tempfile
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from sr_datasets.build.packages import differing
from sr_datasets.card import CARD_NAME, CROISSANT_NAME
from sr_datasets.errors import BuildError, RemoteError, ShardError
from sr_datasets.progress import Progress
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import Place, RangeReader
from sr_datasets.shards.footer import FooterError, check_footer_of
from sr_datasets.shards.sets import (
    DATA_DIR,
    INDEX_NAME,
    INDEX_SCHEMA,
    REPORT_NAME,
    SET_NAME,
    STATE_NAME,
    BuildState,
    SetInfo,
    read_set,
)

LAST_FILES: Final = (INDEX_NAME, CARD_NAME, CROISSANT_NAME, REPORT_NAME)
"""Files that a build writes after its shards and before ``sr-data.json``."""
_MARKS: Final = {
    CARD_NAME: b"built with sr-datasets from the recipe",
    CROISSANT_NAME: b"of sr-datasets",
    REPORT_NAME: b'"content_digest": "',
}
"""What these files have, whatever set they are of."""
_END_BYTES = 512 << 10
"""So much of a text is read from its beginning, where the mark of a card stands, and from its end."""
_MOST_FOOTER_BYTES = 64 << 20
"""The index of a billion rows has less."""


def is_of_a_build(place: Place, name: str) -> bool:
    """Return whether one of ``LAST_FILES`` is what builds write, and not somebody's of the same name.

    Of a text at most 1 MiB is read, of an index its footer.

    Raises:
        RemoteError: The place cannot be reached or refuses.
    """
    if place.size_of(name) is None:
        return name not in place.entries()  # a folder; or another job's, which was put aside meanwhile
    try:
        with RangeReader(place, name) as file:
            if name == INDEX_NAME:
                return _is_index(file)
            ends = [
                file.read_at(start, min(_END_BYTES, file.size))
                for start in (0, max(0, file.size - _END_BYTES))
            ]
    except RemoteError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return True
        raise
    return any(_MARKS[name] in end for end in ends)


def _is_index(file: RangeReader) -> bool:
    tail = file.read_at(max(0, file.size - 8), min(8, file.size))
    footer_bytes = int.from_bytes(tail[:4], "little") + 8
    if tail[4:] != b"PAR1" or footer_bytes > min(_MOST_FOOTER_BYTES, file.size):
        return False
    # A file that begins as Parquet does, and has nothing but the footer.
    alone = io.BytesIO(b"PAR1" + file.read_at(file.size - footer_bytes, footer_bytes))
    try:
        check_footer_of(Path(INDEX_NAME), alone)
        return bool(pq.read_schema(alone).names[:2] == INDEX_SCHEMA.names[:2])
    except (FooterError, OSError, pa.ArrowException):
        return False


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
