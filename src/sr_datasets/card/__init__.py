"""The card of a set: what it is, for people (``README.md``) and for programs (``croissant.json``)."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from sr_datasets.card.croissant import croissant_of
from sr_datasets.card.facts import CardFacts, gather
from sr_datasets.card.readme import readme_of
from sr_datasets.files import write_atomic
from sr_datasets.shards.sets import SetInfo

__all__ = ["CARD_NAME", "CROISSANT_NAME", "CardFacts", "croissant_of", "gather", "readme_of", "write_card"]

CARD_NAME: Final = "README.md"
"""The card for people."""
CROISSANT_NAME: Final = "croissant.json"
"""The card for programs. Sets that were built before it was written are sets all the same."""


def write_card(set_dir: Path, info: SetInfo, *, keep: Collection[str] = ()) -> None:
    """Write both cards of a set, after its index and before ``sr-data.json``.

    No time, path or host is in them: the same set and the same manifests give the same bytes.

    Args:
        set_dir: The set's folder.
        info: What the set is.
        keep: Names of cards that stay as they are where they are there.

    Raises:
        ShardError: The index cannot be read.
    """
    missing = [
        name for name in (CARD_NAME, CROISSANT_NAME) if name not in keep or not (set_dir / name).exists()
    ]
    if not missing:
        return
    facts = gather(set_dir, info)
    if CARD_NAME in missing:
        write_atomic(set_dir / CARD_NAME, readme_of(facts).encode())
    if CROISSANT_NAME in missing:
        readme = (set_dir / CARD_NAME).read_bytes()
        write_atomic(set_dir / CROISSANT_NAME, croissant_of(facts, readme).encode())
