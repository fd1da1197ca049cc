"""The health of a store: its lists, its files against their records, and what no record names."""

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from stat import S_ISREG

from sr_datasets.built import RECIPES_NAME, SETS_NAME, built_sets, recipe_locks, remote_sets
from sr_datasets.doctor.checks import Check
from sr_datasets.errors import SrDataError
from sr_datasets.fetch.youtube.ledger import LEDGER_NAME, Ledger
from sr_datasets.files import human_bytes
from sr_datasets.forget import JOURNAL_NAME, left_to_forget
from sr_datasets.journal import journal_of
from sr_datasets.store import LOCK_NAME, ClipRecord, Proof, Store
from sr_datasets.terms import LEDGER_NAME as TERMS_NAME
from sr_datasets.terms import acceptances, unreadable_lines

_LOCKS_DIR = ".locks"
_SHOWN = 3
_UNPROVEN: tuple[Proof, ...] = ("first-fetch", "imported")
# Beside the clips of a source: the ledger of YouTube's videos, and its journal.
_LEDGERS = {LEDGER_NAME, f"{LEDGER_NAME}.journal"}


def check_store(store: Store) -> Iterator[Check]:
    """Look at a store by size and time of its files; nothing is hashed and nothing is changed."""
    above = next(folder for folder in (store.root, *store.root.parents) if folder.exists())
    if not above.is_dir():
        found, step = f"{above} is a file", "Choose a folder: --store, or SR_DATA_HOME"
        yield Check("store", "folder", "broken", found, step, {"root": str(store.root), "exists": False})
        return
    if not store.root.is_dir():
        found = f"{store.root} does not exist yet"
        yield Check("store", "folder", "ok", found, facts={"root": str(store.root), "exists": False})
        return
    yield Check("store", "folder", "ok", str(store.root), facts={"root": str(store.root), "exists": True})
    try:
        records = store.records()
    except SrDataError as error:
        yield Check("store", LOCK_NAME, "broken", str(error))
        return
    except OSError as error:
        path = Path(error.filename or store.root / LOCK_NAME)  # it, or its journal
        step = "Put right what is in its place, or move it away"
        yield Check("store", path.name, "broken", f"{path}: {error.strerror}", step)
        return
    yield _clips(records)
    if (journal := journal_of(store.root / LOCK_NAME)).is_file():
        told = f"{human_bytes(journal.stat().st_size)} of what came since {LOCK_NAME} was written"
        step = (
            "It goes into that file when the fetch or import under way ends, or with the next one if none is"
        )
        yield Check("store", "journal", "note", told, step)
    if os.path.lexists(locks := store.root / _LOCKS_DIR) and not locks.is_dir():
        step = "Move it away: a folder belongs there, and nothing can be brought in before"
        yield Check("store", "lock", "broken", f"{locks} is no folder", step)
    elif held := _holders(store):
        yield Check("store", "lock", "note", f"another process is at work on it: {held}")
    else:
        yield Check("store", "lock", "ok", "free")
    yield _files(store, records)
    yield from _strangers(store, records)
    yield from _lists(store)


def _clips(records: list[ClipRecord]) -> Check:
    proofs = Counter(record.proof for record in records)
    size = sum(record.size_bytes for record in records)
    sources = len({record.source for record in records})
    unproven = sum(proofs[proof] for proof in _UNPROVEN)
    told = f"{_count(len(records), 'clip')} of {_count(sources, 'source')}, {human_bytes(size)}"
    if unproven:
        told += f"; {unproven} checked against no published checksum, since there was none"
    facts = {"clips": len(records), "sources": sources, "size_bytes": size, "proofs": dict(proofs)}
    return Check("store", "clips", "ok", told, facts=facts)


def _files(store: Store, records: list[ClipRecord]) -> Check:
    wrong = {
        f"{record.source}/{record.clip}": found for record in records if (found := store.problems(record))
    }
    facts = {"problems": wrong}
    if wrong:
        first = [found[0] for found in wrong.values()][:_SHOWN]
        told = f"{_count(len(wrong), 'clip')} not as brought in:\n" + "\n".join(first)
        more = len(wrong) - len(first)
        told += f"\nand {more} more" if more else ""
        return Check(
            "store", "files", "broken", told, "sr-data verify --full, then sr-data verify --repair", facts
        )
    count = sum(len(record.files) for record in records)
    return Check(
        "store", "files", "ok", f"{_count(count, 'file')} as brought in, by size and time", facts=facts
    )


def _strangers(store: Store, records: list[ClipRecord]) -> Iterator[Check]:
    known = {file.path for record in records for file in record.files}
    unknown: list[str] = []
    waiting, waiting_bytes = 0, 0
    unread: list[str] = []
    for source in sorted(path for path in store.root.iterdir() if path.is_dir() and path.name[0] != "."):
        for path, size_bytes in _files_below(source, unread):
            inside = path.relative_to(store.root)
            if inside.as_posix() in known:
                continue
            if inside.parts[1] == ".incoming":
                waiting, waiting_bytes = waiting + 1, waiting_bytes + size_bytes
            elif not any(part.startswith(".") for part in inside.parts) and path.name not in _LEDGERS:
                unknown.append(inside.as_posix())
    if waiting:
        told = (
            f"{_count(waiting, 'file')} begun, {human_bytes(waiting_bytes)}: the same fetch goes on with them"
        )
        yield Check("store", "begun", "note", told, facts={"files": waiting, "size_bytes": waiting_bytes})
    if unknown:
        named = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        told = f"{_count(len(unknown), 'file')} that no record names: {named}"
        step = "Bring them in with sr-data import SOURCE PATH, or delete them."
        yield Check("store", "unknown", "note", told, step, {"files": unknown})
    if unread:
        told = f"{_count(len(unread), 'place')} that cannot be looked at:\n" + "\n".join(unread[:_SHOWN])
        told += f"\nand {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        step = "Is this a data folder, and yours? Name another (--store, or SR_DATA_HOME), or ask its owner"
        yield Check("store", "unread", "broken", told, step, {"places": unread})


def _files_below(folder: Path, unread: list[str]) -> list[tuple[Path, int]]:
    """Return the files below a folder, sorted, with their bytes; what cannot be looked at goes into ``unread``."""

    def note(error: OSError) -> None:
        if error.errno not in (errno.ENOENT, errno.ELOOP):  # gone meanwhile, or a link that leads nowhere
            unread.append(f"{error.filename}: {error.strerror}")

    found = []
    for base, _, names in os.walk(folder, onerror=note):
        for path in (Path(base) / name for name in names):
            try:
                stat = path.stat()
            except OSError as error:
                note(error)
                continue
            if S_ISREG(stat.st_mode):
                found.append((path, stat.st_size))
    return sorted(found)


def _lists(store: Store) -> Iterator[Check]:
    def recipes() -> str:
        return _count(len(recipe_locks(store.root / RECIPES_NAME)), "recipe")

    def sets() -> str:
        known, remote = built_sets(store), remote_sets(store)
        gone = sum(not Path(one.path).is_dir() for one in known)
        told = _count(len(known), "set") + (f", {gone} no longer where they were" if gone else "")
        return told + (f"; {len(remote)} at addresses" if remote else "")

    def terms() -> str:
        return f"{_count(len(acceptances(store)), 'acceptance')}"

    for name, read in ((RECIPES_NAME, recipes), (SETS_NAME, sets), (TERMS_NAME, terms)):
        if os.path.lexists(store.root / name):
            yield _of_list(name, read)
    with suppress(SrDataError):  # which is told above
        if wrong := unreadable_lines(store):
            told = f"{_count(wrong, 'line')} that cannot be read, and count for nothing"
            step = (
                "One may be what a kill cut off. If there are more, restore the file from a copy, or accept the terms again "
                "(sr-data fetch SOURCE --accept-terms SOURCE)"
            )
            yield Check("store", TERMS_NAME, "note" if wrong == 1 else "broken", told, step, {"lines": wrong})
    for journal in sorted(store.root.glob(f"*/{LEDGER_NAME}.journal")):
        path = journal.with_name(LEDGER_NAME)
        yield _of_list(path.relative_to(store.root).as_posix(), partial(_videos, path))
    if os.path.lexists(store.root / JOURNAL_NAME):
        left = _of_list("forget", lambda: _count(len(left_to_forget(store)), "clip"))
        if left.state == "ok":  # it can be read, so the next call ends it
            told = f"was interrupted, and is not done: {left.found}"
            left = Check("store", "forget", "broken", told, "sr-data forget")
        yield left


def _videos(path: Path) -> str:
    return _count(len(Ledger(path).by_key()), "video")


def _of_list(name: str, read: Callable[[], str]) -> Check:
    try:
        return Check("store", name, "ok", read())
    except SrDataError as error:
        return Check("store", name, "broken", str(error))
    except OSError as error:
        return Check("store", name, "broken", f"cannot be read: {error.strerror}")


def _holders(store: Store) -> str:
    """Return which of the store's lock files another process has; they are tried, and let go at once."""
    held = []
    folder = store.root / _LOCKS_DIR
    for path in sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []:
        with suppress(PermissionError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(path.relative_to(folder).as_posix())
    return ", ".join(held[:_SHOWN]) + (", ..." if len(held) > _SHOWN else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
