"""Clips that are downloaded or computed here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from sr_datasets import catalog
from sr_datasets.catalog import Selected
from sr_datasets.errors import DecodeError, FetchError, HashMismatchError, SrDataError
from sr_datasets.fetch import generated, http
from sr_datasets.fetch.failures import PATIENT, Patience
from sr_datasets.files import disk_errors, human_bytes, sync_file
from sr_datasets.ingest.settling import (
    CHECKSUMS,
    clips_text,
    hash_file,
    raise_together,
    settle,
    unpack_clip,
    wrong_checksum,
)
from sr_datasets.manifest import Clip, Evidence, FileFacts, RemoteFile, Source, Status
from sr_datasets.progress import Bar, Progress
from sr_datasets.store import ClipRecord, Proof, Store


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch brought."""

    fetched: tuple[ClipRecord, ...]
    """Clips that came now."""
    present: tuple[ClipRecord, ...]
    """Clips that were in the store already, whole."""

    def __str__(self) -> str:
        size = human_bytes(sum(record.size_bytes for record in self.fetched))
        return f"{clips_text(len(self.fetched))} fetched ({size}), {len(self.present)} in the store already"


def fetch_clips(
    selection: Sequence[Selected],
    store: Store,
    *,
    progress: Progress,
    force: bool = False,
    patience: Patience = PATIENT,
) -> FetchReport:
    """Bring clips into the store, each recorded as soon as it is whole.

    A clip that fails does not keep the others from coming; a full disk does.

    Args:
        selection: The clips, as ``catalog.select`` returns them.
        store: Where they go.
        progress: Where the work shows itself.
        force: Fetch again what is here, and accept new bytes where no manifest says which are right.
        patience: Time limits and retries of the network.

    Raises:
        FetchError: Some clips did not come: no address, a manual source, no mirror gave the file. The
            message has each clip's reason.
        HashMismatchError: A single clip failed, since its file is not the one that the manifest names.
        DecodeError: A single clip failed, since it cannot be read as video.
        SrDataError: The disk is full.
    """
    work = _Fetch(store, progress, force, patience)
    groups: dict[tuple[str, str, str], list[Selected]] = {}
    for item in selection:
        groups.setdefault(_group_of(item), []).append(item)
    failures: list[tuple[str, SrDataError]] = []
    with progress.bar("clips", total=len(selection), unit="clips") as bar:
        for (_, kind, name), items in groups.items():
            source = items[0].source
            clips = [item.clip for item in items]
            done = len(work.fetched) + len(work.present)
            try:
                with disk_errors(items[0].id, store.root):
                    match kind:
                        case "archive":
                            work.from_archive(source, catalog.archive_of(source, name), clips, bar)
                        case "manual":
                            work.by_hand(source, clips, bar)
                        case _:
                            work.own_file(source, clips[0], bar)
            except SrDataError as error:
                if type(error) is SrDataError:
                    raise  # the disk or the store itself: the next clip would fare no better
                failures.append(
                    (items[0].id if len(items) == 1 else f"{source.id} ({clips_text(len(items))})", error)
                )
                bar.advance(len(items) - (len(work.fetched) + len(work.present) - done))
    if failures:
        raise_together(failures, len(selection), "fetched", FetchError)
    return FetchReport(tuple(work.fetched), tuple(work.present))


def _group_of(item: Selected) -> tuple[str, str, str]:
    if item.source.access == "manual" and not item.clip.mirrors:
        return item.source.id, "manual", ""
    if item.clip.archive is not None:
        return item.source.id, "archive", item.clip.archive
    return item.source.id, "clip", item.clip.id


class _Fetch:
    """One call of ``fetch_clips``."""

    def __init__(self, store: Store, progress: Progress, force: bool, patience: Patience) -> None:
        self.store = store
        self.progress = progress
        self.force = force
        self.patience = patience
        self.fetched: list[ClipRecord] = []
        self.present: list[ClipRecord] = []

    def own_file(self, source: Source, clip: Clip, bar: Bar) -> None:
        """Fetch or generate a clip that is a file of its own."""
        with self.store.lock(source.id, clip.id, waiting=lambda: self._waiting(f"{source.id}/{clip.id}")):
            if self._here(source, clip):
                http.discard(self._incoming(source, clip))  # a kill can have kept the last run from it
            elif source.access == "generated":
                self.fetched.append(self._generate(source, clip))
            else:
                self.fetched.append(self._download(source, clip))
            bar.advance(1)

    def by_hand(self, source: Source, clips: Sequence[Clip], bar: Bar) -> None:
        """Find clips of a manual source, or say how a person brings them."""
        missing = []
        for clip in clips:
            with self.store.lock(source.id, clip.id):
                if self._here(source, clip, by_hand=True):
                    bar.advance(1)
                else:
                    missing.append(clip.id)
        if missing:
            raise FetchError(explain_manual(source, missing))

    def from_archive(self, source: Source, remote: RemoteFile, clips: Sequence[Clip], bar: Bar) -> None:
        """Fetch an archive and take clips out of it."""
        name = f"{source.id}/{remote.id}"
        with self.store.lock(source.id, f"archive-{remote.id}", waiting=lambda: self._waiting(name)):
            missing = []
            for clip in clips:
                if self._here(source, clip):
                    bar.advance(1)
                else:
                    missing.append(clip)
            if not missing:
                return
            if not remote.mirrors:
                raise FetchError(_no_address(source, remote.id))
            dest = self.store.incoming(source.id) / remote.id
            got = http.fetch_file(remote, dest, progress=self.progress, name=name, patience=self.patience)
            proof: Proof = got.proof
            for clip in missing:
                with self.store.lock(source.id, clip.id):
                    self.fetched.append(
                        unpack_clip(
                            source, clip, dest, self.store, origin=got.url or remote.mirrors[0], proof=proof,
                            etag=got.etag, keep=not self.force, progress=self.progress,
                        )
                    )  # fmt: skip
                bar.advance(1)
            dest.unlink()
            http.discard(dest)

    def _here(self, source: Source, clip: Clip, *, by_hand: bool = False) -> bool:
        """Count a clip as present if it is recorded and its files are what they were."""
        record = self.store.find(source.id, clip.id)
        if record is None or (not by_hand and (self.force or record.partial_of is not None)):
            return False
        fresh = self.store.refresh(record)
        if fresh is not None:
            self.present.append(fresh)
        return fresh is not None

    def _waiting(self, name: str) -> None:
        self.progress.log(f"{name}: another process is bringing it in; waiting for that one")

    def _generate(self, source: Source, clip: Clip) -> ClipRecord:
        name = f"{source.id}/{clip.id}"
        dest = self.store.incoming(source.id) / f"{clip.id}.y4m"
        with disk_errors(name, dest.parent):
            dest.parent.mkdir(parents=True, exist_ok=True)
            generated.generate(clip.id, dest, progress=self.progress)
            sync_file(dest)
        digests = hash_file(dest, clip)
        if wrong := wrong_checksum(clip, digests):
            dest.unlink()
            raise HashMismatchError(
                f"{name}: the clip that was made here {wrong}. This machine computes something else than the "
                "package promises: please report it, with the versions of the package and of NumPy."
            )
        return settle(
            source, clip, dest, self.store, [digests.hexdigest("sha256")], origin="generated", proof="generated",
            progress=self.progress,
        )  # fmt: skip

    def _download(self, source: Source, clip: Clip) -> ClipRecord:
        if not clip.mirrors:
            raise FetchError(_no_address(source, clip.id))
        name = f"{source.id}/{clip.id}"
        dest = self._incoming(source, clip)
        old = self.store.find(source.id, clip.id)
        facts: FileFacts = clip
        first = old is not None and clip.sha256 is None and not self.force and old.origin != "imported"
        if old is not None and first:
            # What came first is what later fetches must bring, until a person says otherwise.
            known = Evidence(
                status=Status.SEEN, where="sr-data.lock, as it was first brought in; --force accepts it"
            )
            evidence = {**clip.evidence, "sha256": known}
            facts = clip.model_copy(update={"sha256": old.sha256, "evidence": evidence})
        if self.force and dest.exists():
            dest.unlink()
            http.discard(dest)
        elif old is None:
            self._take_back(name, clip, dest)
        got = http.fetch_file(facts, dest, progress=self.progress, name=name, patience=self.patience)
        proof: Proof = old.proof if old is not None and first else got.proof
        try:
            record = settle(
                source, clip, dest, self.store, [got.sha256], origin=got.url or clip.mirrors[0], proof=proof,
                etag=got.etag, progress=self.progress,
            )  # fmt: skip
        except DecodeError:
            if (
                proof == "first-fetch"
            ):  # nothing says that these are the right bytes: let the next run fetch anew
                dest.unlink(missing_ok=True)
                http.discard(dest)
            raise
        http.discard(dest)
        return record

    def _incoming(self, source: Source, clip: Clip) -> Path:
        """Return where a clip's own file lies until it is whole and checked."""
        return (
            self.store.incoming(source.id) / self.store.place_for(source.id, clip.id, _suffix_of(clip)).name
        )

    def _take_back(self, name: str, clip: Clip, dest: Path) -> None:
        """Let a file that has its final name but no record, as a kill can leave it, go through the door again."""
        final = dest.parents[1] / dest.name
        if not final.is_file() or dest.exists():
            return
        digests = hash_file(final, clip)
        proven = any(getattr(clip, checksum) for checksum in CHECKSUMS) and not wrong_checksum(clip, digests)
        if not proven and http.noted_sha256(dest) != digests.hexdigest("sha256"):
            raise FetchError(
                f"{name}: {final} lies in the store without a record, and nothing proves what it is. Bring it in with "
                "sr-data import, or move it away."
            )
        dest.parent.mkdir(parents=True, exist_ok=True)
        final.replace(dest)


def explain_manual(source: Source, clip_ids: Sequence[str] = ()) -> str:
    """Return what a person does to bring the clips of a manual source.

    Args:
        source: The source.
        clip_ids: The clips that are missing, if it lists any.
    """
    which = f" ({', '.join(clip_ids[:6])}{', ...' if len(clip_ids) > 6 else ''})" if clip_ids else ""
    return (
        f"{source.id}: its clips{which} are not fetched: a person brings them, then runs "
        f"`sr-data import {source.id} PATH`.\n{source.how_to_get.strip()}"
    )


def _no_address(source: Source, name: str) -> str:
    steps = f"\n{source.how_to_get.strip()}" if source.how_to_get.strip() else ""
    return (
        f"{source.id}/{name}: no address of it is known. Get the file yourself and bring it in with "
        f"`sr-data import {source.id} PATH`.{steps}"
    )


def _suffix_of(clip: Clip) -> str:
    """Return the suffix that a clip's file has by its address."""
    for url in clip.mirrors:
        suffix = PurePosixPath(urlsplit(url).path).suffix
        if suffix and len(suffix) <= 6 and suffix[1:].isalnum():
            return suffix.lower()
    return {"video": ".y4m", "raw": ".yuv", "image": ".png", "frames": ""}[clip.media]
