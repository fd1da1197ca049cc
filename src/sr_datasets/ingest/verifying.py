"""Whether the files of the store are still what they were, and how those that are not come again."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from sr_datasets import catalog
from sr_datasets.catalog import Selected
from sr_datasets.errors import DecodeError, FetchError, ManifestError, SelectionError, SrDataError, StoreError
from sr_datasets.fetch.failures import PATIENT, Patience
from sr_datasets.ingest.fetching import FetchReport, fetch_clips
from sr_datasets.ingest.probing import probe_safely, read_last_frame
from sr_datasets.manifest import Clip
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
        full: Hash every file and look at its structure: a y4m is walked frame by frame, planes have the size of
            their frames, of any other video the last frame is decoded. Otherwise size and time of modification
            are compared.
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
    with (
        store.batch() if full else nullcontext(),  # only a full look writes
        (progress or Silent()).bar("verify", total=total, unit="bytes") as bar,
    ):
        for record in records:
            found = store.problems(record, full=full, advance=bar.advance)
            if full and not found:
                found = _structure_problems(store, record)
                if store.problems(record):
                    store.refresh(record)
            problems += [Problem(record.source, record.clip, what, how_to_repair(record)) for what in found]
    return problems


def repair_store(
    store: Store,
    problems: Sequence[Problem],
    *,
    progress: Progress,
    patience: Patience = PATIENT,
    jobs: int = 4,
    bytes_per_second: float | None = None,
) -> FetchReport:
    """Fetch again the clips that have problems, and only those; each must come with the bytes of its record.

    Args:
        store: The store.
        problems: As ``verify_store`` returns them.
        progress: Where the work shows itself.
        patience: Time limits and retries of the network.
        jobs: Files under way at a time.
        bytes_per_second: Pace of all of them together; None for no limit.

    Raises:
        SrDataError: As ``fetch_clips`` raises; what could be repaired has been.
        StoreError: No manifest of some clips is known; the others have been repaired.
    """
    selection: list[Selected] = []
    unknown: list[str] = []
    for source, clip in dict.fromkeys((problem.source, problem.clip) for problem in problems):
        try:
            selection.append(_selected(source, clip))
        except (SelectionError, ManifestError) as error:
            unknown.append(
                f"{source}/{clip} is not repaired, since no manifest says where it is from: {error}"
            )
    names = {item.id: store.get(item.source.id, item.clip.id) for item in selection}
    told = "\n".join([*unknown, "Name the manifest with --manifest FILE.yaml."]) if unknown else ""
    try:
        report = fetch_clips(
            selection,
            store,
            progress=progress,
            patience=patience,
            jobs=jobs,
            bytes_per_second=bytes_per_second,
            locked=names,
            again=names.keys(),
        )
    except FetchError as error:
        if not told:
            raise
        raise type(error)(f"{error}\n{told}") from error
    if told:
        if selection:
            progress.log(f"repaired: {report}")
        raise StoreError(told)
    return report


def _selected(source_id: str, clip_id: str) -> Selected:
    source = catalog.find_source(source_id)
    if source.open_ended and clip_id not in {clip.id for clip in source.clips}:
        return Selected(source, Clip(id=clip_id))
    return Selected(source, catalog.find_clip(source, clip_id))


def _structure_problems(store: Store, record: ClipRecord) -> list[str]:
    """Return what is wrong with the inside of a clip whose bytes are those that were brought in."""
    info, path, name = record.info, store.path_of(record), f"{record.source}/{record.clip}"
    try:
        clip = _selected(record.source, record.clip).clip
    except SrDataError:
        clip = Clip(id=record.clip, media=info.media)  # the manifest is gone or was changed
    try:
        if info.container == "y4m":
            found = probe_safely(path, name=name, clip=clip)
            if found.num_frames != info.num_frames:
                return [f"{path} holds {found.num_frames} frames, its record says {info.num_frames}"]
        elif info.media != "raw" or (clip.width, clip.height) == (info.width, info.height):
            read_last_frame(path, info, name=name, clip=clip)
    except DecodeError as error:
        return [str(error).rstrip(".")]
    return []


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
