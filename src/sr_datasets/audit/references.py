"""What patches are held against: the fingerprints that come with the package, clips of the store, folders of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from sr_datasets import catalog
from sr_datasets.audit.fingerprints import (
    FINGERPRINT_VERSION,
    Picture,
    fingerprint_clip,
    read_fingerprints,
    write_fingerprints,
)
from sr_datasets.engine import run_tasks
from sr_datasets.errors import DecodeError, SelectionError, StoreError, nearest_names
from sr_datasets.progress import Progress
from sr_datasets.store import ClipRecord, Store
from sr_datasets.video import probe

CACHE_NAME: Final = ".fingerprints"
"""Folder of the data folder where fingerprints of its clips lie."""

_SHIPPED = "shipped"
_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".y4m", ".mp4", ".mkv", ".webm", ".mov", ".avi", ".gif", ".m4v"),
    *(".ts", ".mpg", ".mpeg", ".ogv", ".h264", ".h265", ".ivf"),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """One set of pictures that patches are held against."""

    name: str
    """A source id, or the folder."""
    pictures: tuple[Picture, ...]
    """Its pictures."""
    about: str
    """What of it that is, and where it comes from, in a few words."""


def shipped_sets() -> list[str]:
    """Return the names of the test sets whose fingerprints come with the package."""
    folder = resources.files("sr_datasets.audit") / _SHIPPED
    return sorted(one.name.removesuffix(".npz") for one in folder.iterdir() if one.name.endswith(".npz"))


def load_shipped(name: str) -> Reference:
    """Return a test set that comes with the package."""
    with resources.as_file(resources.files("sr_datasets.audit") / _SHIPPED / f"{name}.npz") as path:
        pictures, about = read_fingerprints(path)
    return Reference(name, tuple(pictures), f"{about['holds']}; shipped")


def find_references(
    names: Sequence[str], store: Store, *, workers: int, progress: Progress
) -> list[Reference]:
    """Return what names stand for: source ids, or folders of pictures and videos.

    Clips of the store go before the shipped fingerprints of the same clips; what is made of them is kept in the store.

    Args:
        names: Source ids or folders.
        store: The data folder.
        workers: Processes that fingerprint.
        progress: Where that reports itself.

    Raises:
        SelectionError: A name is neither, or nothing of it is here.
        DecodeError: A picture or clip cannot be read.
        StoreError: A clip of the store was changed.
    """
    return [_find(name, store, workers, progress) for name in dict.fromkeys(names)]


def _find(name: str, store: Store, workers: int, progress: Progress) -> Reference:
    folder = Path(name)
    known = catalog.source_ids()
    if name not in known and (folder.is_dir() or "/" in name):
        return _of_folder(folder, workers, progress)
    records = store.records(name)
    here = _of_records(records, store, workers, progress)
    if name in shipped_sets():
        shipped = load_shipped(name)
        if not records:
            return shipped
        own = {picture.name for picture in here}
        rest = [picture for picture in shipped.pictures if picture.name not in own]
        about = f"{len(records)} clips of the data folder"
        return Reference(name, (*here, *rest), f"{about}, others shipped" if rest else about)
    if records:
        return Reference(name, tuple(here), f"{len(records)} clips of the data folder")
    if name in known:
        raise SelectionError(
            f"no clips of {name} are in the data folder {store.root}, and no fingerprints of it are shipped (shipped "
            f"are: {', '.join(shipped_sets())}). Bring them in with `sr-data fetch {name}` or `sr-data import {name} "
            "PATH`, or give --against a folder of its pictures."
        )
    raise SelectionError(
        f"--against {name}: there is no source and no folder of this name.{nearest_names(name, known)} Give a shipped "
        f"set ({', '.join(shipped_sets())}), a source whose clips are in the data folder (sr-data list), or a folder "
        "of pictures or videos."
    )


def _of_records(
    records: Sequence[ClipRecord], store: Store, workers: int, progress: Progress
) -> list[Picture]:
    tasks = [_ClipTask(f"{record.source}/{record.clip}", store.root, record) for record in records]
    for record in records:
        store.check(record)
    return _pictures(tasks, "fingerprinting clips", workers, progress)


def _of_folder(folder: Path, workers: int, progress: Progress) -> Reference:
    if not folder.is_dir():
        raise SelectionError(f"{folder}: there is no such folder. Name a folder of pictures or videos.")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not paths:
        raise SelectionError(f"{folder}: no pictures or videos are in this folder, nor in those inside it.")
    tasks = [_ClipTask(f"{folder.name}/{path.relative_to(folder).as_posix()}", path, None) for path in paths]
    pictures = _pictures(tasks, f"fingerprinting {folder.name}", workers, progress)
    return Reference(str(folder), tuple(pictures), f"{len(paths)} files of the folder")


@dataclass(frozen=True, slots=True)
class _ClipTask:
    name: str
    path: Path
    record: ClipRecord | None


def _pictures(tasks: Sequence[_ClipTask], label: str, workers: int, progress: Progress) -> list[Picture]:
    found: dict[str, list[Picture]] = {}
    with progress.bar(label, total=len(tasks), unit="clips") as bar:
        for task, pictures in run_tasks(_fingerprint, tasks, workers=workers):
            found[task.name] = pictures
            bar.advance(1)
    return [picture for task in tasks for picture in found[task.name]]


def _fingerprint(task: _ClipTask) -> list[Picture]:
    if task.record is None:
        try:
            return fingerprint_clip(task.name, task.path, probe(task.path))
        except DecodeError as error:
            raise DecodeError(f"{error} Move it out of the folder to audit against the others.") from error
    store, record = Store(task.path), task.record
    cache = store.root / CACHE_NAME / f"{record.sha256}-v{FINGERPRINT_VERSION}.npz"
    if cache.is_file():
        try:
            pictures, _ = read_fingerprints(cache)
        except StoreError:
            cache.unlink(missing_ok=True)  # damaged: it is made again
        else:
            # The same bytes may be there under another name.
            return [Picture(task.name, one.frame, one.width, one.height, one.points) for one in pictures]
    found = catalog.select([task.name], imported=catalog.imported_clips([record]))
    pictures = fingerprint_clip(task.name, store.path_of(record), record.info, found[0].clip)
    write_fingerprints(cache, pictures, {"clip": task.name, "sha256": record.sha256})
    return pictures


def fingerprint_paths(store: Store, sha256: str) -> list[Path]:
    """Return the files of a clip's fingerprints in the data folder, of every version."""
    folder = store.root / CACHE_NAME
    return sorted(folder.glob(f"{sha256}-v*.npz")) if folder.is_dir() else []
