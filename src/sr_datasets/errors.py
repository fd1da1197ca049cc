"""Every exception of the package, one tree.

``SrDataError`` > ``ManifestError``, ``RecipeError``, ``SelectionError``, ``StoreError``,
``FetchError`` > ``HashMismatchError``, ``TermsError``, ``DecodeError``, ``BuildError``, ``ShardError``,
``RemoteError``, ``ModelError``, ``MissingExtraError``.

These are for what goes wrong in the world; a wrong argument is a ``ValueError``. A message
names the file or source, what was found, what was expected, and the next step.
"""

import difflib
from collections.abc import Iterable


class SrDataError(Exception):
    """What goes wrong in the world: files, networks, disks, other people's bytes."""


class ManifestError(SrDataError):
    """A manifest does not say what a manifest must say."""


class RecipeError(SrDataError):
    """A recipe does not say what a recipe must say, or asks for what cannot be built."""


class SelectionError(SrDataError):
    """A source, clip, group or recipe is named that the catalog does not have."""


class StoreError(SrDataError):
    """The data folder lacks a file, or holds another one than its record says."""


class FetchError(SrDataError):
    """A file could not be brought in."""


class HashMismatchError(FetchError):
    """A file came whole, but is not the file that was named."""


class TermsError(SrDataError):
    """A source asks for its terms to be accepted first."""


class DecodeError(SrDataError):
    """A picture or video cannot be read as what it claims to be."""


class BuildError(SrDataError):
    """Pairs cannot be built from these clips, or into this folder."""


class ShardError(SrDataError):
    """A shard is truncated, altered, or not a shard."""


class RemoteError(SrDataError):
    """A place that an address names cannot be reached, or refuses."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final
        """Whether trying again would change nothing."""


class ModelError(SrDataError):
    """A checkpoint is damaged or foreign, or does not fit the data."""


class MissingExtraError(SrDataError):
    """A feature needs a package that is not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f"{what} needs the '{extra}' extra: pip install 'sr-datasets[{extra}]'")


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean a, b?"`` for the known names that look like ``name``, or ``""``.

    Example:
        >>> nearest_names("xipf", ["xiph", "vid4"])
        ' Did you mean xiph?'
    """
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {', '.join(close)}?" if close else ""
