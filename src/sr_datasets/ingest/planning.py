"""What a fetch would bring, before a byte of it is asked for."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sr_datasets import catalog
from sr_datasets.catalog import Selected
from sr_datasets.files import human_bytes
from sr_datasets.ingest.fetching import Unit, known_size, missing_bytes, units_of
from sr_datasets.ingest.settling import CHECKSUMS
from sr_datasets.store import Store
from sr_datasets.terms import Obligation, must_be_asked, obligations_of


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of a plan."""

    name: str
    """``source/file``, as messages call it."""
    how: str
    """``fetch``, ``make`` (generated here), ``bring`` (by a person), ``here``, or ``no address``."""
    size_bytes: int | None
    """Its size, if a manifest or the lock file says it."""
    clips: int
    """Clips that come with it."""
    proof: str
    """What it will be checked against: ``sha256``, ``sha1``, ``md5``, ``sr-data.lock``, ``structure``."""
    url: str
    """Its first address, or empty."""
    licenses: tuple[str, ...]
    """Names of its clips' licences."""


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What ``fetch_clips`` would do."""

    files: tuple[PlannedFile, ...]
    """Every file."""
    missing_bytes: int
    """Known bytes of them that are not here yet, as partial files either."""
    free_bytes: int
    """Room on the disk of the store."""
    obligations: tuple[Obligation, ...]
    """What the licences ask for."""
    terms: tuple[str, ...]
    """Sources whose terms must be accepted first."""

    @property
    def size_bytes(self) -> int:
        """Known bytes of the files that would be fetched."""
        return sum(file.size_bytes or 0 for file in self.files if file.how == "fetch")

    @property
    def unknown_sizes(self) -> int:
        """How many files would be fetched whose size nobody states."""
        return sum(file.size_bytes is None for file in self.files if file.how == "fetch")

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {
            "files": [
                {
                    "name": file.name,
                    "how": file.how,
                    "size_bytes": file.size_bytes,
                    "clips": file.clips,
                    "proof": file.proof,
                    "url": file.url,
                    "licenses": list(file.licenses),
                }
                for file in self.files
            ],
            "size_bytes": self.size_bytes,
            "unknown_sizes": self.unknown_sizes,
            "missing_bytes": self.missing_bytes,
            "free_bytes": self.free_bytes,
            "obligations": [one.to_json() for one in self.obligations],
            "terms_to_accept": list(self.terms),
        }

    def summary(self) -> str:
        """Return files, bytes, free space, licences and terms in a few lines."""
        counts = {how: sum(file.how == how for file in self.files) for how in ("fetch", *_WORDS)}
        fetched = f"{counts['fetch']} file{'s' if counts['fetch'] != 1 else ''} to fetch"
        size = human_bytes(self.size_bytes)
        if self.unknown_sizes:
            size += f", and {self.unknown_sizes} of unknown size"
        lines = [f"{fetched}: {size}" if counts["fetch"] else fetched]
        lines += [f"{count} {_WORDS[how]}" for how, count in counts.items() if count and how in _WORDS]
        lines.append(f"{human_bytes(self.free_bytes)} free on the disk of the store")
        if self.missing_bytes > self.free_bytes:
            lines.append(
                f"that is not enough for the {human_bytes(self.missing_bytes)} that are still to come: make room, or name "
                "another folder with --store"
            )
        lines += [f"licences: {one}" for one in self.obligations]
        lines += [
            f"{source}: its terms must be accepted first (--accept-terms {source})" for source in self.terms
        ]
        return "\n".join(lines)


_WORDS = {
    "here": "here already",
    "make": "made here",
    "bring": "to be brought by a person (sr-data show SOURCE has the steps)",
    "no address": "without a known address",
}


def plan_fetch(selection: Sequence[Selected], store: Store, *, force: bool = False) -> FetchPlan:
    """Return what a fetch would bring; nothing is asked of a server and nothing is written.

    Args:
        selection: The clips.
        store: What is here by size and time is not fetched.
        force: As for ``fetch_clips``.
    """
    units = list(units_of(selection))
    files = [_planned(unit, store, force=force) for unit in units]
    existing = store.root
    while not existing.exists():
        existing = existing.parent
    sources = {item.source.id: item.source for item in selection}
    return FetchPlan(
        tuple(files),
        sum(missing_bytes(unit, store, force=force) for unit in units),
        shutil.disk_usage(existing).free,
        tuple(obligations_of(selection)),
        tuple(name for name, source in sources.items() if must_be_asked(source, store)),
    )


def _planned(unit: Unit, store: Store, *, force: bool) -> PlannedFile:
    source, remote = unit.source, unit.remote
    records = [store.find(source.id, clip.id) for clip in unit.clips]
    here = [
        record is not None and record.partial_of is None and not store.problems(record) for record in records
    ]
    how = "fetch"
    if all(here) and (not force or unit.kind == "manual"):
        how = "here"
    elif source.access == "generated":
        how = "make"
    elif unit.kind == "manual":
        how = "bring"
    elif not remote.mirrors:
        how = "no address"
    proof = next((name for name in CHECKSUMS if getattr(remote, name)), "structure")
    size = known_size(unit, store, force=force)
    known = next((record for record in records if record is not None), None)
    if proof == "structure" and known is not None and known.origin != "imported" and not force:
        proof = "sr-data.lock"
    licenses = (catalog.license_of(source, clip).name for clip in unit.clips)
    name = unit.file_name if unit.kind != "manual" else source.id
    return PlannedFile(
        name,
        how,
        size,
        len(unit.clips),
        proof,
        next(iter(remote.mirrors), ""),
        tuple(dict.fromkeys(licenses)),
    )
