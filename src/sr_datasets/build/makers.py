"""Who made what lies in a set's place: a build, or somebody else; and with which packages.

A build goes on with the same packages, and with no others. What no build made is never written over.
"""

import io
import json
import platform
import re
import tempfile
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from sr_datasets.build.packages import differing
from sr_datasets.card import CARD_NAME, CROISSANT_NAME
from sr_datasets.card.seal import SEAL_BYTES, has_seal, is_sealed
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
_REPORT = re.compile(
    rb'\A\{\n "recipe": "[^\n]*",\n "workers": .*\n "content_digest": "[0-9a-f]{64}",\n', re.DOTALL
)
"""What a report is up to its lists of clips."""
_REPORT_BYTES = 1 << 20
_SET_HEAD = b'{\n "format": '
"""What ``sr-data.json`` begins with, cut off or not."""
_MOST_CARD_BYTES = 256 << 20
"""The cards of a million shards have less."""
_MOST_FOOTER_BYTES = 64 << 20
"""The index of a billion rows has less."""


def is_of_a_build(place: Place, name: str) -> bool:
    """Return whether one of ``LAST_FILES``, or ``sr-data.json``, is what builds write, and not somebody's of the same name.

    A card that was edited is somebody's, and so is one of a version that did not seal them: where in doubt, no build goes on.
    Of a report at most 1 MiB is read, of an index its footer, of a card without a seal its end.

    Raises:
        RemoteError: The place cannot be reached or refuses.
    """
    if place.size_of(name) is None:
        return name not in place.entries()  # a folder; or another job's, which was put aside meanwhile
    try:
        with RangeReader(place, name) as file:
            if name == INDEX_NAME:
                return _is_index(file)
            if name == REPORT_NAME:
                return _REPORT.match(file.read_at(0, min(_REPORT_BYTES, file.size))) is not None
            if name == SET_NAME:
                head = file.read_at(0, min(len(_SET_HEAD), file.size))
                return _SET_HEAD.startswith(head)
            end = file.read_at(max(0, file.size - SEAL_BYTES), min(SEAL_BYTES, file.size))
            return has_seal(end) and file.size <= _MOST_CARD_BYTES and is_sealed(file.read_at(0, file.size))
    except RemoteError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return True
        raise


def _is_index(file: RangeReader) -> bool:
    tail = file.read_at(max(0, file.size - 8), min(8, file.size))
    footer_bytes = int.from_bytes(tail[:4], "little") + 8
    if tail[4:] != b"PAR1" or footer_bytes > min(_MOST_FOOTER_BYTES, file.size):
        return False
    # A file that begins as Parquet does, and has nothing but the footer.
    alone = io.BytesIO(b"PAR1" + file.read_at(file.size - footer_bytes, footer_bytes))
    try:
        check_footer_of(Path(INDEX_NAME), alone)
        names = pq.read_schema(alone).names
        # An earlier version's has fewer columns, in the same order.
        return names == [name for name in INDEX_SCHEMA.names if name in names] and {
            "shard",
            "row_group",
            "sample_id",
        } <= set(names)
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
