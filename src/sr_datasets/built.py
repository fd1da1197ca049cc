"""What was built of a store's clips: the list that each recipe took, and the folders of the sets.

``ROOT/recipes.lock`` has for each recipe the clips that its last build took, in order, each with the SHA-256 of its
bytes and its split. It has no date, path or machine in it: commit it, share it, print it in a paper. A recipe that
takes what is there, such as cdvl-30, is repeated by it (``sr-data build-pairs --locked``).

``ROOT/sets.json`` has where on this machine sets were built, or to which address, and of which clips, so that
``sr-data forget`` finds what was derived of a clip. It stays here.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from sr_datasets.errors import StoreError
from sr_datasets.files import locked, write_atomic
from sr_datasets.manifest import ClipId, HexSha256, SourceId
from sr_datasets.models import Model
from sr_datasets.recipe import Recipe, SplitName
from sr_datasets.store import Store

RECIPES_NAME = "recipes.lock"
SETS_NAME = "sets.json"


ClipName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""``source/clip``."""


def _absolute(path: str) -> str:
    if not Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError(f"'{path}' is no absolute path of a folder")
    return path


FolderPath = Annotated[str, AfterValidator(_absolute)]
"""An absolute path of this machine, without ``..``."""


class LockedClip(Model):
    """A clip that a recipe took."""

    source: SourceId
    """Source id."""
    clip: ClipId
    """Clip id."""
    split: SplitName
    """Split that it was dealt to."""
    sha256: HexSha256
    """Digest of its bytes, as the store has it."""

    @property
    def name(self) -> str:
        """``source/clip``."""
        return f"{self.source}/{self.clip}"


class RecipeLock(Model):
    """The list of clips that a recipe took."""

    seed: int
    """The recipe's seed."""
    settings: dict[str, object]
    """What the recipe said, but its words for people; fields that it left out are left out."""
    clips: tuple[LockedClip, ...]
    """Its clips, in order of selection."""


class _RecipesFile(Model):
    format: Literal[1] = 1
    recipes: dict[str, RecipeLock] = Field(default_factory=dict)


class BuiltSet(Model):
    """A folder that a build wrote, or began to write."""

    path: FolderPath
    """Where it was."""
    recipe: str
    """Id of the recipe."""
    clips: tuple[ClipName, ...]
    """The clips that it was made of, ``source/clip`` each."""


class RemoteSet(Model):
    """A set that a build wrote, or began to write, to an address such as ``s3://bucket/set``."""

    address: str
    """Where, without user, password and key."""
    recipe: str
    """Id of the recipe."""
    clips: tuple[ClipName, ...]
    """The clips that it was made of, ``source/clip`` each."""


class _SetsFile(Model):
    format: Literal[1] = 1
    sets: tuple[BuiltSet, ...] = ()
    remote: tuple[RemoteSet, ...] = ()


def settings_of(recipe: Recipe) -> dict[str, object]:
    """Return what decides a recipe's pairs, as plain JSON values: all that it says but title and description."""
    return recipe.model_dump(mode="json", exclude_defaults=True, exclude={"title", "description"})


def recipe_locks(path: Path) -> dict[str, RecipeLock]:
    """Return the lists of a ``recipes.lock``, by recipe id; none when there is no such file.

    Raises:
        StoreError: It is not of this version.
    """
    try:
        return _RecipesFile.model_validate_json(path.read_bytes()).recipes
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise _unreadable(
            path, error, "Restore it from a copy, or move it away: the next build writes it anew."
        ) from error


def read_recipe_lock(path: Path, recipe_id: str) -> RecipeLock:
    """Return the list of one recipe.

    Raises:
        StoreError: The file is missing or of another version, or has no list of this recipe.
    """
    recipes = recipe_locks(path)
    if recipe_id not in recipes:
        what = f"has lists of: {', '.join(recipes)}" if recipes else "is missing or has no list"
        raise StoreError(
            f"{path} has no list of clips of the recipe {recipe_id}: it {what}. A build without --locked makes one."
        )
    return recipes[recipe_id]


def lock_recipe(store: Store, recipe: Recipe, clips: Iterable[LockedClip]) -> None:
    """Record the list that a recipe took, in place of the one before."""
    path = store.root / RECIPES_NAME
    with locked(store.root / ".locks" / "recipes"):
        recipes = recipe_locks(path) | {
            recipe.id: RecipeLock(seed=recipe.seed, settings=settings_of(recipe), clips=tuple(clips))
        }
        _write_recipes(path, recipes)


def write_recipe_lock(path: Path, recipe: Recipe, clips: Iterable[LockedClip]) -> None:
    """Write the list of one recipe to a file of its own, to be passed on."""
    lock = RecipeLock(seed=recipe.seed, settings=settings_of(recipe), clips=tuple(clips))
    _write_recipes(path, {recipe.id: lock})


def drop_from_recipes(store: Store, names: Collection[str]) -> dict[str, int]:
    """Take clips out of the lists of all recipes.

    Args:
        store: Whose lists.
        names: ``source/clip`` each.

    Returns:
        For each list that was changed, by recipe id, how many clips it lost. A list without clips is dropped.
    """
    path = store.root / RECIPES_NAME
    if not path.is_file():
        return {}
    with locked(store.root / ".locks" / "recipes"):
        recipes = recipe_locks(path)
        lost = {
            recipe_id: count
            for recipe_id, lock in recipes.items()
            if (count := sum(clip.name in names for clip in lock.clips))
        }
        if lost:
            kept = {
                recipe_id: lock.model_copy(
                    update={"clips": tuple(clip for clip in lock.clips if clip.name not in names)}
                )
                for recipe_id, lock in recipes.items()
            }
            _write_recipes(path, {recipe_id: lock for recipe_id, lock in kept.items() if lock.clips})
        return lost


def _write_recipes(path: Path, recipes: Mapping[str, RecipeLock]) -> None:
    file = _RecipesFile(recipes=dict(sorted(recipes.items())))
    write_atomic(path, (file.model_dump_json(indent=1) + "\n").encode(), alone=True)


def built_sets(store: Store) -> tuple[BuiltSet, ...]:
    """Return the sets that were built of a store's clips on this machine, those that are gone too.

    Raises:
        StoreError: The register is not of this version.
    """
    return _sets_of(store).sets


def remote_sets(store: Store) -> tuple[RemoteSet, ...]:
    """Return the sets that were built of a store's clips to addresses, those that are gone too.

    Raises:
        StoreError: The register is not of this version.
    """
    return _sets_of(store).remote


def register_set(store: Store, folder: Path, recipe: str, clips: Iterable[str]) -> None:
    """Note, before anything of it is written, that a set is built into a folder."""
    entry = BuiltSet(path=str(folder.resolve()), recipe=recipe, clips=tuple(clips))
    with locked(store.root / ".locks" / "sets"):
        known = _sets_of(store)
        others = [one for one in known.sets if one.path != entry.path]
        _write_sets(store, known.model_copy(update={"sets": (*others, entry)}))


def register_remote_set(store: Store, address: str, recipe: str, clips: Iterable[str]) -> None:
    """Note, before anything of it is written, that a set is built to an address, which has no secrets in it."""
    entry = RemoteSet(address=address, recipe=recipe, clips=tuple(clips))
    with locked(store.root / ".locks" / "sets"):
        known = _sets_of(store)
        others = [one for one in known.remote if one.address != entry.address]
        _write_sets(store, known.model_copy(update={"remote": (*others, entry)}))


def drop_from_register(store: Store, places: Collection[str], names: Collection[str]) -> None:
    """Note that some sets hold some clips no more; a set without clips is dropped.

    Args:
        store: Whose register.
        places: Paths and addresses as the register has them.
        names: ``source/clip`` each.
    """

    def kept(clips: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(clip for clip in clips if clip not in names)

    with locked(store.root / ".locks" / "sets"):
        known = _sets_of(store)
        sets = [
            one.model_copy(update={"clips": kept(one.clips)}) if one.path in places else one
            for one in known.sets
        ]
        remote = [
            one.model_copy(update={"clips": kept(one.clips)}) if one.address in places else one
            for one in known.remote
        ]
        left = {"sets": [one for one in sets if one.clips], "remote": [one for one in remote if one.clips]}
        _write_sets(store, known.model_copy(update=left))


def _sets_of(store: Store) -> _SetsFile:
    path = store.root / SETS_NAME
    try:
        return _SetsFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _SetsFile()
    except ValidationError as error:
        raise _unreadable(path, error, "Restore it from a copy, or move it away.") from error


def _write_sets(store: Store, known: _SetsFile) -> None:
    file = _SetsFile(
        sets=tuple(sorted(known.sets, key=lambda one: one.path)),
        remote=tuple(sorted(known.remote, key=lambda one: one.address)),
    )
    write_atomic(store.root / SETS_NAME, (file.model_dump_json(indent=1) + "\n").encode(), alone=True)


def _unreadable(path: Path, error: ValidationError, repair: str) -> StoreError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return StoreError(f"{path} is not of this version: {where}: {first['msg']}. {repair}")
