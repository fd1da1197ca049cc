"""What users agree to: terms that are accepted before a fetch, and what licences oblige to.

``ROOT/terms.jsonl`` is the ledger: one line for each acceptance, with the source, the SHA-256 of the text that was
accepted, and the date. It is appended to, never rewritten.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_datasets import catalog
from sr_datasets.catalog import Selected
from sr_datasets.errors import SrDataError, StoreError, TermsError
from sr_datasets.files import disk_errors, locked
from sr_datasets.manifest import Answer, Clip, HexSha256, License, Source
from sr_datasets.models import Model
from sr_datasets.store import Store

LEDGER_NAME = "terms.jsonl"


class Acceptance(Model):
    """One line of the ledger."""

    source: str
    """Source id."""
    terms_sha256: HexSha256
    """SHA-256 of the terms as the manifest had them (``digest_of_terms``)."""
    accepted: str
    """When, in UTC, as ISO 8601 writes it."""


def digest_of_terms(source: Source) -> str:
    """Return the SHA-256 of a source's terms, whatever their line breaks."""
    return hashlib.sha256(" ".join(source.terms.split()).encode()).hexdigest()


def accept(source: Source, store: Store) -> Acceptance:
    """Write into the ledger that the user accepts a source's terms, as they are now.

    Raises:
        ValueError: The source asks for nothing.
        SrDataError: The ledger cannot be written.
    """
    if not source.terms:
        raise ValueError(f"{source.id} has no terms to accept")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = Acceptance(source=source.id, terms_sha256=digest_of_terms(source), accepted=now)
    path = _ledger(store)
    with disk_errors(f"the ledger {path}", store.root), locked(store.root / ".locks" / "terms"):
        whole = not path.exists() or path.stat().st_size == 0 or path.read_bytes().endswith(b"\n")
        with path.open("ab") as file:
            # A line that a kill cut short stays what it is; the next one begins on its own.
            file.write((b"" if whole else b"\n") + json.dumps(line.model_dump()).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    return line


def acceptances(store: Store) -> list[Acceptance]:
    """Return the whole ledger, oldest first; a line that was cut counts for nothing.

    Raises:
        StoreError: The ledger cannot be read.
    """
    return _read_ledger(store)[0]


def unreadable_lines(store: Store) -> int:
    """Return how many lines of the ledger count for nothing; a kill leaves one at most.

    Raises:
        StoreError: The ledger cannot be read.
    """
    return _read_ledger(store)[1]


def _read_ledger(store: Store) -> tuple[list[Acceptance], int]:
    path = _ledger(store)
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise StoreError(f"the ledger {path} cannot be read: {error.strerror}") from error
    found, wrong = [], 0
    for line in lines:
        try:
            found.append(Acceptance.model_validate_json(line))
        except ValueError:
            wrong += 1
    return found, wrong


def find_acceptance(source: Source, store: Store) -> Acceptance | None:
    """Return when the terms of a source were accepted as they are now, or None."""
    wanted = (source.id, digest_of_terms(source))
    fitting = [line for line in acceptances(store) if (line.source, line.terms_sha256) == wanted]
    return fitting[-1] if fitting else None


def must_be_asked(source: Source, store: Store) -> bool:
    """Return whether a source has terms that were not accepted yet, or not as they are now."""
    return bool(source.terms) and find_acceptance(source, store) is None


def require_acceptance(source: Source, store: Store, *, accepted: bool) -> None:
    """Go on only if a source asks for nothing, or its terms were accepted, now or before.

    Args:
        source: The source.
        store: Its ledger is read, and written when ``accepted`` is new.
        accepted: Whether the user just said so.

    Raises:
        TermsError: Its terms were not accepted; the message has them and what to type.
    """
    if not must_be_asked(source, store):
        return
    if not accepted:
        before = any(line.source == source.id for line in acceptances(store))
        raise TermsError(
            f"{source.id}: its terms {'changed since they' if before else 'must'} "
            f"{'were accepted' if before else 'be accepted first'}:\n"
            f"{source.terms.strip()}\n"
            f"If you accept them, run the same command with --accept-terms {source.id}. The date and a hash of this "
            f"text are kept in {_ledger(store)}."
        )
    accept(source, store)


def _ledger(store: Store) -> Path:
    return store.root / LEDGER_NAME


@dataclass(frozen=True, slots=True)
class Obligation:
    """One thing that licences ask for or leave open."""

    what: str
    """In words, such as ``no commercial use``."""
    clips: int
    """How many clips it holds for."""
    of: int
    """How many clips were looked at."""
    licenses: tuple[str, ...]
    """Names of the licences that say so."""

    def __str__(self) -> str:
        count = "all" if self.clips == self.of else f"{self.clips} of {self.of}"
        return f"{self.what}: {count} clip{'s' if self.of != 1 else ''} ({'; '.join(self.licenses)})"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"what": self.what, "clips": self.clips, "of": self.of, "licenses": list(self.licenses)}


# In this order: what is forbidden, what is asked for, what nobody said.
_WORDS: dict[tuple[str, Answer], str] = {
    ("redistribute_original", "no"): "do not pass the files on",
    ("redistribute_derived", "no"): "do not pass on patches made of them",
    ("commercial", "no"): "no commercial use",
    ("attribution", "yes"): "name the author and the licence",
    ("share_alike", "yes"): "pass on what is made of them only under the same licence",
    ("redistribute_original", "unstated"): "not stated whether the files may be passed on",
    ("redistribute_derived", "unstated"): "not stated whether patches may be passed on",
    ("commercial", "unstated"): "not stated whether commercial use is allowed",
}


def obligations(licenses: Iterable[License]) -> list[Obligation]:
    """Return what the licences of clips oblige to, the strictest first.

    Args:
        licenses: One licence for each clip.

    Example:
        >>> free = License(name="CC BY 4.0", redistribute_original="yes", redistribute_derived="yes",
        ...                commercial="yes", attribution="yes")
        >>> [str(one) for one in obligations([free, free])]
        ['name the author and the licence: all clips (CC BY 4.0)']
    """
    every = list(licenses)
    found = []
    for (field, answer), words in _WORDS.items():
        fitting = [one.name for one in every if getattr(one, field) == answer]
        if fitting:
            found.append(Obligation(words, len(fitting), len(every), tuple(dict.fromkeys(fitting))))
    return found


def licenses_of(names: Iterable[tuple[str, str]]) -> list[License]:
    """Return the licence of each clip as the catalog has it now.

    Args:
        names: Source id and clip id of each clip. A clip that its manifest does not list has its source's licence.

    Returns:
        One licence for each name; of a source that the catalog lacks, one that says that it is not known.
    """
    sources: dict[str, tuple[Source, dict[str, Clip]] | None] = {}
    found = []
    for source_id, clip_id in names:
        if source_id not in sources:
            try:
                source = catalog.find_source(source_id)
            except SrDataError:
                sources[source_id] = None
            else:
                sources[source_id] = source, {clip.id: clip for clip in source.clips}
        known = sources[source_id]
        if known is None:
            found.append(License(name="not known: its source is not in the catalog"))
            continue
        source, clips = known
        clip = clips.get(clip_id)
        found.append(source.licenses[source.license] if clip is None else catalog.license_of(source, clip))
    return found


def obligations_of(selection: Iterable[Selected]) -> list[Obligation]:
    """Return what clips of the catalog oblige to (``obligations``)."""
    return obligations(catalog.license_of(item.source, item.clip) for item in selection)
