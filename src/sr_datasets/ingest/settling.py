"""The last steps that every way in shares: hash, probe, hold against the manifest, name, record."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from sr_datasets.errors import FetchError, HashMismatchError, SrDataError
from sr_datasets.fetch import archive as archives
from sr_datasets.files import Digests, disk_errors, iter_chunks, move_into_place, remove, remove_inside
from sr_datasets.ingest.probing import probe_safely
from sr_datasets.manifest import Clip, FileFacts, Source, Status, VideoInfo
from sr_datasets.progress import Progress
from sr_datasets.store import ArchiveRecord, ClipRecord, Proof, Store, digest_of
from sr_datasets.video.pictures import frame_paths

CHECKSUMS: tuple[Literal["sha256", "sha1", "md5"], ...] = ("sha256", "sha1", "md5")


class OtherClipError(FetchError):
    """What came has another geometry than the manifest says, and no checksum vouches for it."""


@contextmanager
def unpacked_clips(
    source: Source, clips: Sequence[Clip], archive_path: Path, store: Store
) -> Iterator[Iterator[tuple[Clip, list[Path]]]]:
    """Take clips out of an archive, which is read as few times as can be; what nobody took is deleted at the end.

    Args:
        source: Whose clips they are.
        clips: Which ones.
        archive_path: The archive.
        store: Beside whose clips they are unpacked. The caller holds the lock of the archive.

    Yields:
        Each clip with its files, which lie in one folder of their own.
    """
    wanted = {
        archives.Want(
            clip.members,
            store.incoming(source.id) / f"{clip.id}.members",
            clip.num_frames if clip.media == "frames" else 1,
            f"{source.id}/{clip.id} in {archive_path.name}",
        ): clip
        for clip in clips
    }
    with closing(archives.extract_each(archive_path, list(wanted))) as groups:
        try:
            yield ((wanted[want], files) for want, files in groups)
        finally:
            for want in wanted:
                remove(want.out_dir)


def settle_unpacked(
    source: Source,
    clip: Clip,
    files: Sequence[Path],
    archive_name: str,
    store: Store,
    *,
    origin: str,
    proof: Proof,
    etag: str,
    fetched: ArchiveRecord | None = None,
    must_be: str | None = None,
    keep_old: bool = False,
    progress: Progress,
) -> ClipRecord:
    """Hash what came out of an archive, and settle it as a clip.

    Args:
        source: Whose clip it is.
        clip: Which one.
        files: Its files, as ``unpacked_clips`` gives them.
        archive_name: What messages call the archive.
        store: Where the clip goes.
        origin: As ``ClipRecord.origin``.
        proof: As ``ClipRecord.proof``.
        etag: As ``ClipRecord.etag``.
        fetched: As ``ClipRecord.archive``.
        must_be: The digest that the clip must have, if that is known.
        keep_old: As for ``settle``.
        progress: Where the work shows itself.
    """
    folder = files[0].parent
    try:
        paths = frame_paths(folder) if clip.media == "frames" else files
        hashes = []
        for file in paths:
            digests = hash_file(file, clip)
            hashes.append(digests.hexdigest("sha256"))
            if clip.media != "frames" and (wrong := wrong_checksum(clip, digests)):
                raise HashMismatchError(
                    f"{source.id}/{clip.id} in {archive_name}: member {file.name} {wrong}. Correct the manifest, or "
                    "report it."
                )
        whole = folder if clip.media == "frames" else paths[0]
        return settle(
            source, clip, whole, store, hashes, origin=origin, proof=proof, etag=etag, archive=fetched,
            must_be=must_be, keep_old=keep_old, progress=progress,
        )  # fmt: skip
    finally:
        remove(folder)


def settle(
    source: Source,
    clip: Clip,
    incoming: Path,
    store: Store,
    hashes: Sequence[str],
    *,
    origin: str,
    proof: Proof,
    etag: str = "",
    archive: ArchiveRecord | None = None,
    must_be: str | None = None,
    keep_old: bool = False,
    progress: Progress,
    info: VideoInfo | None = None,
    partial_of: int | None = None,
    license: str | None = None,
    attribution: str = "",
) -> ClipRecord:
    """Probe a clip whose bytes are proven, give it its final name and record it.

    With ``keep_old``, a whole clip that is replaced by other bytes stays in ``.incoming``, as ``NAME.replaced``.
    """
    name = f"{source.id}/{clip.id}"
    if info is None:
        info = probe_safely(incoming, name=name, clip=clip)
        own_proof = proof in CHECKSUMS and clip.archive is None
        for wrong, firm in wrong_facts(clip, info):
            if firm and not own_proof:
                raise OtherClipError(
                    f"{name}: what came {wrong}. It is another file than the manifest describes, or the manifest is "
                    "wrong: compare with the publisher's page, then correct the manifest."
                )
            progress.log(f"{name}: the file {wrong}; the file is taken as it is")
    final = store.place_for(source.id, clip.id, "" if incoming.is_dir() else incoming.suffix)
    paths = frame_paths(incoming) if incoming.is_dir() else [incoming]
    records = tuple(store.record_file(path, sha256) for path, sha256 in zip(paths, hashes, strict=True))
    places = [final / path.name if incoming.is_dir() else final for path in paths]
    records = tuple(
        record.model_copy(update={"path": place.relative_to(store.root).as_posix()})
        for record, place in zip(records, places, strict=True)
    )
    digest = digest_of(records, media=info.media)
    if must_be is not None and digest != must_be:
        raise HashMismatchError(
            f"{name}: what came has the digest {digest}, sr-data.lock says {must_be} since the clip was first brought "
            "in. Run the fetch with --force to accept the new one, without --locked."
        )
    old = store.find(source.id, clip.id)
    record = ClipRecord(
        source=source.id,
        clip=clip.id,
        path=final.relative_to(store.root).as_posix(),
        files=records,
        sha256=digest,
        origin=origin,
        proof=proof,
        etag=etag,
        archive=archive,
        partial_of=partial_of,
        license=license,
        attribution=attribution,
        info=info,
    )
    with disk_errors(name, store.root):
        if keep_old and old is not None and old.sha256 != digest:
            _put_aside(store, old, digest, progress)
        if incoming != final:
            move_into_place(incoming, final)
        store.put(record)
        if old is not None and old.path != record.path:
            remove_inside(store.path_of(old), store.root)
    return record


def _put_aside(store: Store, old: ClipRecord, digest: str, progress: Progress) -> None:
    """Keep a clip that is to be replaced, if it is what its record says."""
    name, path = f"{old.source}/{old.clip}", store.path_of(old)
    if store.refresh(old) is None:
        progress.log(
            f"{name}: replaced by SHA-256 {digest}; what was here was damaged (SHA-256 was {old.sha256})"
        )
        return
    aside = store.incoming(old.source) / f"{path.name}.replaced"
    remove_inside(aside, store.root)
    path.replace(aside)
    progress.log(
        f"{name}: other bytes came: SHA-256 was {old.sha256}, is {digest} now. The old ones are kept as {aside}: delete "
        "them when nothing needs them."
    )


def wrong_facts(clip: Clip, info: VideoInfo) -> list[tuple[str, bool]]:
    """Return how a clip differs from its manifest, and whether the manifest's fact is a firm one."""
    wrong = []
    pairs: list[tuple[str, object, object]] = [
        ("width", clip.width, info.width),
        ("height", clip.height, info.height),
        ("num_frames", clip.num_frames, info.num_frames),
        ("pixel_format", clip.pixel_format, info.pixel_format),
        ("frame_rate", clip.frame_rate, info.frame_rate),
    ]
    for fact, stated, found in pairs:
        if stated is not None and stated != found:
            evidence = clip.evidence_of(fact)
            known = f" ({evidence.status} {evidence.where})" if evidence.status is not Status.UNKNOWN else ""
            firm = fact in ("width", "height", "num_frames") and evidence.status is not Status.INFERRED
            words = fact.replace("num_frames", "number of frames").replace("_", " ")
            wrong.append((f"has the {words} {found}, the manifest says {stated}{known}", firm))
    return wrong


def hash_file(path: Path, facts: FileFacts) -> Digests:
    """Return the hashes of a file: SHA-256, and those that the manifest has."""
    digests = Digests(["sha256", *(name for name in ("sha1", "md5") if getattr(facts, name))])
    for piece in iter_chunks(path):
        digests.update(piece)
    return digests


def wrong_checksum(facts: FileFacts, digests: Digests) -> str | None:
    """Return how a file differs from its checksums and size in the manifest, or None."""
    titles = {"sha256": "SHA-256", "sha1": "SHA-1", "md5": "MD5"}
    for name in CHECKSUMS:
        stated = getattr(facts, name)
        if stated and digests.hexdigest(name) != stated:
            evidence = facts.evidence_of(name)
            known = f" ({evidence.status} {evidence.where})" if evidence.status is not Status.UNKNOWN else ""
            return f"has {titles[name]} {digests.hexdigest(name)}, the manifest says {stated}{known}"
    if facts.size_bytes is not None and digests.num_bytes != facts.size_bytes:
        return f"has {digests.num_bytes} bytes, the manifest says {facts.size_bytes}"
    return None


def raise_together(
    failures: list[tuple[str, SrDataError]], wanted: int, came: int, verb: str, kind: type[SrDataError]
) -> None:
    """Raise the only failure as it is, or one error that has them all.

    Args:
        failures: Name and reason of each.
        wanted: How many clips were to come.
        came: How many of them are in the store.
        verb: ``fetched`` or ``imported``.
        kind: Class of the error that has them all.
    """
    if len(failures) == 1:
        raise failures[0][1]
    reasons = "\n".join(str(error) for _, error in failures)
    raise kind(
        f"{', '.join(name for name, _ in failures[:6])}{', ...' if len(failures) > 6 else ''} could not be {verb}; "
        f"{came or 'none'} of the {clips_text(wanted)} {'is' if came == 1 else 'are'} in the store.\n{reasons}"
    )


def clips_text(count: int) -> str:
    """Return a number of clips in words."""
    return f"{count} clip" if count == 1 else f"{count} clips"
