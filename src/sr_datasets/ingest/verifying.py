"""Whether the files of the store are still what they were."""

from collections.abc import Sequence
from dataclasses import dataclass

from sr_datasets import catalog
from sr_datasets.errors import SelectionError
from sr_datasets.progress import Progress, Silent
from sr_datasets.rules import SELECTION, fitting
from sr_datasets.store import ClipRecord, Store, how_to_repair


@dataclass(frozen=True, slots=True)
class Problem:
    """A clip of the store whose files are not what they were."""

    source: str
    """Source id."""
    clip: str
    """Clip id."""
    what: str
    """What is wrong, as a sentence without its full stop."""
    repair: str
    """The sentence that says how to put it right."""

    def __str__(self) -> str:
        return f"{self.source}/{self.clip}: {self.what}. {self.repair}"


def verify_store(
    store: Store, patterns: Sequence[str] = (), *, full: bool = False, progress: Progress | None = None
) -> list[Problem]:
    """Look whether the files of the store are what they were when they were brought in.

    Args:
        store: The store.
        patterns: ``xiph``, ``xiph/akiyo_cif``, ``xiph/*cif*`` or ``xiph:hd``; everything when empty.
        full: Hash every file; otherwise size and time of modification are compared.
        progress: Where the work shows itself.

    Returns:
        One problem for each thing that is wrong; empty when all is well. A full look that finds the right bytes
        behind other times puts the record right.

    Raises:
        SelectionError: A pattern fits nothing in the store.
    """
    records = _chosen(store, patterns)
    problems = []
    total = sum(record.size_bytes for record in records)
    with (progress or Silent()).bar("verify", total=total, unit="bytes") as bar:
        for record in records:
            found = store.problems(record, full=full, advance=bar.advance)
            problems += [Problem(record.source, record.clip, what, how_to_repair(record)) for what in found]
            if full and not found and store.problems(record):
                store.refresh(record)
    return problems


def _chosen(store: Store, patterns: Sequence[str]) -> list[ClipRecord]:
    records = store.records()
    if not patterns:
        return records
    chosen: dict[tuple[str, str], ClipRecord] = {}
    for pattern in patterns:
        parts = SELECTION.fullmatch(pattern)
        if parts is None:
            raise SelectionError(
                f"'{pattern}' is not a selection. Write SOURCE, SOURCE/CLIP, SOURCE/*PART* or SOURCE:GROUP."
            )
        wanted: Sequence[str] = (parts["clip"] or "*",)
        if parts["group"] is not None:
            wanted = [item.clip.id for item in catalog.select([pattern])]
        here = {record.clip: record for record in records if record.source == parts["source"]}
        names = list(fitting(wanted, here))
        if not names:
            raise SelectionError(
                f"nothing in the store {store.root} fits '{pattern}'. It holds clips of: "
                f"{', '.join(sorted({record.source for record in records})) or 'no source yet'}."
            )
        for name in names:
            chosen[parts["source"], name] = here[name]
    return list(chosen.values())
