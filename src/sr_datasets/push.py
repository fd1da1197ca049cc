"""Copies a finished set to another place, whole or not at all, if its clips' licences let it."""

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sr_datasets.built import LockedClip, write_recipe_lock
from sr_datasets.card import CARD_NAME, CROISSANT_NAME, gather, readme_of
from sr_datasets.catalog import load_recipe
from sr_datasets.errors import RecipeError, RemoteError, ShardError, TermsError
from sr_datasets.files import sha256_of
from sr_datasets.progress import Progress, Silent
from sr_datasets.recipe import Recipe
from sr_datasets.remotes import Place
from sr_datasets.shards.sets import (
    DATA_DIR,
    INDEX_NAME,
    SET_NAME,
    SetInfo,
    read_set,
    require_outside_sets,
    set_json,
)
from sr_datasets.shards.verify import verify_set
from sr_datasets.terms import licenses_of

_logger = logging.getLogger(__name__)

MARKER_NAME: Final = ".sr-data-push.json"
"""Stands in a place while a push is under way: what is pushed there."""
PLAN_NAME: Final = "sr-plan.json"
"""What ``sr-data.json`` says, in a place that has no pixels."""
RECIPE_NAME: Final = "recipe.yaml"
LOCK_NAME: Final = "recipes.lock"

_MOST_LISTED = 10
_BESIDE = (DATA_DIR, "build-report.json")
"""What may lie beside a set's files: their folder, and what a build notes of its last run."""


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did."""

    place: str
    """Where it went, without passwords."""
    content_digest: str
    """The set's name by content."""
    files: tuple[str, ...]
    """Every file that is there now, in the order in which they went."""
    sent: int
    """How many of them were sent."""
    present: int
    """How many were there already, from an earlier push of the same set."""
    size_bytes: int
    """Bytes of all files."""
    pixels: bool
    """Whether shards are among them."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "place": self.place,
            "content_digest": self.content_digest,
            "files": list(self.files),
            "sent": self.sent,
            "present": self.present,
            "size_bytes": self.size_bytes,
            "pixels": self.pixels,
        }


def push_set(
    set_dir: Path, address: str, *, recipe_only: bool = False, progress: Progress | None = None
) -> PushReport:
    """Copy a finished set to a place, verify it there, and write ``sr-data.json`` last.

    The set is verified first. Each file is read back and hashed after it was sent. A push that was interrupted, however,
    goes on where it was when it is run again; until it has ended, the place is no set. A card of a set that is there already
    stays, as somebody may have added to it.

    Args:
        set_dir: Folder of the set.
        address: A folder, or an address such as ``s3://bucket/set`` (``remotes.Place``).
        recipe_only: Push the recipe, the list of clips, the plan of every row and the digests, and no pixels.
        progress: Where to report, silent by default.

    Raises:
        ShardError: The set is not finished or is damaged, or the place lies in a set.
        TermsError: A licence does not let patches be passed on; not with ``recipe_only``.
        RemoteError: The place holds something else, refuses, is full, or cannot be reached.
        ValueError: The address is empty.
    """
    if not address.strip():
        raise ValueError("the address is empty: name a folder, or an address such as s3://bucket/set")
    progress = progress or Silent()
    info = read_set(set_dir)
    place = Place(address)
    _require_apart(set_dir, place)
    if problems := verify_set(set_dir):
        raise ShardError(
            f"{set_dir} is damaged, so nothing was pushed:\n  {_listed(problems)}\nBuild or copy it again."
        )
    if recipe_only:
        with tempfile.TemporaryDirectory(prefix="sr-data-push-") as made:
            names = _write_plan(Path(made), set_dir, info)
            return _copy(Path(made), names, info, place, progress, pixels=False)
    require_grant(set_dir, info)
    cards = [name for name in (CARD_NAME, CROISSANT_NAME) if (set_dir / name).is_file()]
    shards = [f"{DATA_DIR}/{shard.name}" for shard in info.shards]
    return _copy(set_dir, [*shards, *cards, INDEX_NAME, SET_NAME], info, place, progress, pixels=True)


def _require_apart(set_dir: Path, place: Place) -> None:
    """Refuse a folder inside of a set, and one that the set itself lies in; a set's own folder is looked at later."""
    there = place.local
    if there is None:
        return
    here, target = set_dir.resolve(), there.resolve()
    if target in here.parents:
        raise ShardError(f"{place} holds {set_dir} itself. Nothing was pushed: name a folder of its own.")
    if target != here:
        require_outside_sets(target.parent)


def require_grant(set_dir: Path, info: SetInfo) -> None:
    """Make sure that every clip's licence lets patches of it be passed on.

    Raises:
        TermsError: One does not, or does not say so; the message names the sources and what to do.
    """
    names = [(clip.source, clip.clip) for clip in info.inputs]
    names += [(clip.lr.source, clip.lr.clip) for clip in info.inputs if clip.lr is not None]
    counts: dict[tuple[str, str, str], int] = {}
    for (source, _), license in zip(names, licenses_of(names), strict=True):
        if license.redistribute_derived != "yes":
            key = (source, license.name, license.redistribute_derived)
            counts[key] = counts.get(key, 0) + 1
    if counts:
        lines = [
            f"{source}: {count} clip{'s' if count > 1 else ''}, licence: {name} (redistribute_derived: {answer})"
            for (source, name, answer), count in counts.items()
        ]
        raise TermsError(
            f"{set_dir} was not pushed: these licences do not let patches be passed on, or do not say whether:\n"
            f"  {_listed(lines)}\n"
            "Ask the publisher, and note a grant in a manifest of your own (redistribute_derived: yes; --manifest FILE). Or "
            "build without these clips. Or push what others build the same set from, without pixels: --recipe-only."
        )


def _write_plan(folder: Path, set_dir: Path, info: SetInfo) -> list[str]:
    """Write what is pushed in place of pixels, and return the names in the order in which they go."""
    recipe = Recipe.model_validate(info.recipe)
    fields = recipe.model_dump(mode="json", exclude_none=True)
    (folder / RECIPE_NAME).write_text(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))
    if load_recipe(folder / RECIPE_NAME) != recipe:
        raise RecipeError(
            f"{set_dir}: its recipe does not come back from YAML. Push the recipe's own file beside the set."
        )
    clips = [
        LockedClip(source=clip.source, clip=clip.clip, split=clip.split, sha256=clip.sha256)
        for clip in info.inputs
    ]
    write_recipe_lock(folder / LOCK_NAME, recipe, clips)
    (folder / INDEX_NAME).write_bytes((set_dir / INDEX_NAME).read_bytes())
    (folder / CARD_NAME).write_text(readme_of(gather(set_dir, info), pixels=False))
    (folder / PLAN_NAME).write_bytes(set_json(info))
    return [RECIPE_NAME, LOCK_NAME, CARD_NAME, INDEX_NAME, PLAN_NAME]


def _copy(
    folder: Path, names: Sequence[str], info: SetInfo, place: Place, progress: Progress, *, pixels: bool
) -> PushReport:
    """Send files in order, each verified before the next; the last one makes the place what it is."""
    begun = time.time()
    sizes = {name: (folder / name).stat().st_size for name in names}
    last = names[-1]
    marker = json.dumps({"pushing": hashlib.sha256((folder / last).read_bytes()).hexdigest()}).encode()
    under_way = _check_place(folder, names, place, marker)
    finished = place.size_of(last) is not None
    if not under_way and not finished:
        place.send(marker, MARKER_NAME)
    sent = 0
    with progress.bar(f"pushing to {place}", total=sum(sizes.values()), unit="bytes") as bar:
        for name in names:
            digest = sha256_of(folder / name)
            if place.size_of(name) == sizes[name] and place.sha256_of(name) == digest:
                bar.advance(sizes[name], present=True)
                continue
            if finished and name in (CARD_NAME, CROISSANT_NAME) and place.size_of(name) is not None:
                progress.log(
                    f"{place.shown(name)} is another one than here, and stays: the set is there already. Delete it there to "
                    "have this one sent."
                )
                bar.advance(sizes[name], present=True)
                continue
            place.send(folder / name, name, passed=bar.advance)
            sent += 1
            if place.sha256_of(name) != digest:
                raise RemoteError(
                    f"{place.shown(name)} is not what was sent there: the place, or the way to it, alters bytes. "
                    "Run the same command again; if it happens again, choose another place."
                )
    try:
        place.delete(MARKER_NAME)
    except RemoteError as error:
        _logger.warning("%s; the set is whole, the marker may stay", error)
    if place.local is not None:
        _drop_partials(place.local, [*names, MARKER_NAME], before=begun)
    return PushReport(
        str(place), info.content_digest, tuple(names), sent, len(names) - sent, sum(sizes.values()), pixels
    )


def _drop_partials(folder: Path, names: Sequence[str], *, before: float) -> None:
    """Delete what killed pushes left half-written; what another one writes now has a later time."""
    for name in names:
        for partial in (folder / name).parent.glob(f".{Path(name).name}.{'[0-9a-f]' * 8}.part"):
            with suppress(OSError):
                if partial.stat().st_mtime < before:
                    partial.unlink()


def _check_place(folder: Path, names: Sequence[str], place: Place, marker: bytes) -> bool:
    """Refuse a place that holds something else; return whether a push of the same files is under way there."""
    if place.size_of(MARKER_NAME) is not None:
        if place.read(MARKER_NAME) != marker:
            raise RemoteError(
                f"{place} holds another set, whose push did not finish. Finish that one, delete what is there, or give "
                "another address."
            )
        under_way = True
    else:
        under_way = False
    there = {SET_NAME, PLAN_NAME, *names}
    other = [name for name in sorted(there) if place.size_of(name) is not None]
    whole = names[-1] in other and place.read(names[-1]) == (folder / names[-1]).read_bytes()
    strangers = _strangers(place, there)
    if under_way:
        strangers += [name for name in other if name not in names or not _is_sent(folder, name, place)]
    elif not whole and other:
        strangers = [*other, *strangers]
    if strangers:
        raise RemoteError(
            f"{place} holds something else: {_listed(strangers)}. Nothing was changed there. Give another address, or "
            "delete what is there."
        )
    return under_way


def _is_sent(folder: Path, name: str, place: Place) -> bool:
    """Return whether a file is there as an earlier call of this push sent it; of a shard, which is hashed later, by its size."""
    if place.size_of(name) != (folder / name).stat().st_size:
        return False
    return name.startswith(f"{DATA_DIR}/") or place.sha256_of(name) == sha256_of(folder / name)


def _strangers(place: Place, ours: Collection[str]) -> list[str]:
    """Return what a place holds that no push of this set, and no look at it, left there.

    Hidden files may stay: markers, measures, a repository's own files, what killed pushes left half-written.
    """
    found = [name for name in place.entries() if name not in _BESIDE]
    found += [f"{DATA_DIR}/{name}" for name in place.entries(DATA_DIR)]
    return [name for name in found if name not in ours and not name.rpartition("/")[2].startswith(".")]


def _listed(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _MOST_LISTED} more"] if len(lines) > _MOST_LISTED else []
    return "\n  ".join([*lines[:_MOST_LISTED], *more])
