"""Clips that are downloaded or computed here."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from sr_datasets import catalog
from sr_datasets.catalog import Selected
from sr_datasets.errors import DecodeError, FetchError, HashMismatchError, SrDataError
from sr_datasets.fetch import generated, http
from sr_datasets.fetch.archive import DamagedArchiveError
from sr_datasets.fetch.failures import PATIENT, Patience
from sr_datasets.fetch.http import Fetched
from sr_datasets.fetch.traffic import Traffic
from sr_datasets.files import disk_errors, human_bytes, require_space, sync_file
from sr_datasets.ingest.crew import run_all
from sr_datasets.ingest.settling import (
    CHECKSUMS,
    OtherClipError,
    clips_text,
    hash_file,
    raise_together,
    settle,
    settle_unpacked,
    unpacked_clips,
    wrong_checksum,
)
from sr_datasets.manifest import Clip, Evidence, FileFacts, RemoteFile, Source, Status
from sr_datasets.progress import Bar, Progress, SumOfBytes
from sr_datasets.store import ArchiveRecord, ClipRecord, Proof, Store
from sr_datasets.terms import require_acceptance


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
    jobs: int = 4,
    bytes_per_second: float | None = None,
    locked: Mapping[str, ClipRecord] | None = None,
    again: Container[str] = (),
) -> FetchReport:
    """Bring clips into the store, each recorded as soon as it is whole.

    A clip that fails does not keep the others from coming; a full disk does. Whatever ends the call, what has come
    is kept, and the next call goes on from there.

    Args:
        selection: The clips, as ``catalog.select`` returns them.
        store: Where they go.
        progress: Where the work shows itself: a bar of bytes for each file and one for all.
        force: Fetch again what is here, and accept new bytes where no manifest says which are right.
        patience: Time limits and retries of the network.
        jobs: Files under way at a time; of one host at most four.
        bytes_per_second: Pace of all of them together; None for no limit.
        locked: Accept only the bytes that these records name (``read_lock``), by ``source/clip``.
        again: Ids of clips whose files are known to be damaged, although size and time are right.

    Raises:
        FetchError: Some clips did not come: no address, a manual source, no mirror gave the file, not in the lock.
            The message has each clip's reason.
        HashMismatchError: A single clip failed, since its file is not the one that the manifest or lock names.
        DecodeError: A single clip failed, since it cannot be read as video.
        TermsError: A source's terms must be accepted first.
        SrDataError: The disk is full, or has no room for the files of known size.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if by_name := [item.id for item in selection if item.source.access == "youtube"]:
        raise FetchError(f"{by_name[0]} comes through yt-dlp: sr-data fetch {' '.join(by_name[:20])}")
    for source in {item.source.id: item.source for item in selection}.values():
        require_acceptance(source, store, accepted=False)
    if locked is not None:
        _require_locked(selection, locked)
    units = list(units_of(selection))
    if needed := sum(missing_bytes(unit, store, force=force, again=again) for unit in units):
        require_space(store.root, needed, f"fetching {clips_text(len(selection))}")
    with (
        store.batch(),
        Traffic(bytes_per_second=bytes_per_second) as traffic,
        progress.bar("all files", total=_known_bytes(units) or None, unit="bytes") as bar,
    ):
        work = _Fetch(store, progress, bar, len(selection), traffic, patience, force, locked, again)
        run_all([partial(work.run, unit) for unit in units], jobs=jobs, stop=traffic.stop)
    order = {item.id: number for number, item in enumerate(selection)}
    if work.failures:
        failures = [(name, error) for _, name, error in sorted(work.failures, key=lambda one: order[one[0]])]
        came = len(work.fetched) + len(work.present)
        raise_together(failures, len(selection), came, "fetched", FetchError)

    def in_order(records: Iterable[ClipRecord]) -> tuple[ClipRecord, ...]:
        return tuple(sorted(records, key=lambda record: order[f"{record.source}/{record.clip}"]))

    return FetchReport(in_order(work.fetched), in_order(work.present))


@dataclass(frozen=True, slots=True)
class Unit:
    """Clips that come together: one with a file of its own, those of one archive, those that a person brings."""

    source: Source
    """Whose clips they are."""
    kind: Literal["manual", "archive", "clip"]
    """How they come."""
    clips: tuple[Clip, ...]
    """The clips."""

    @property
    def remote(self) -> FileFacts:
        """The file that brings them."""
        return catalog.remote_of(self.source, self.clips[0])

    @property
    def file_name(self) -> str:
        """What messages call that file."""
        clip = self.clips[0]
        return f"{self.source.id}/{clip.archive if self.kind == 'archive' else clip.id}"


def units_of(selection: Iterable[Selected]) -> Iterator[Unit]:
    """Yield what a fetch of a selection brings, file by file, in its order."""
    groups: dict[tuple[str, Literal["manual", "archive", "clip"], str], list[Selected]] = {}
    for item in selection:
        groups.setdefault(_group_of(item), []).append(item)
    for (_, kind, _), items in groups.items():
        yield Unit(items[0].source, kind, tuple(item.clip for item in items))


def _group_of(item: Selected) -> tuple[str, Literal["manual", "archive", "clip"], str]:
    if item.source.access == "manual" and not item.clip.mirrors:
        return item.source.id, "manual", ""
    if item.clip.archive is not None:
        return item.source.id, "archive", item.clip.archive
    return item.source.id, "clip", item.clip.id


def _known_bytes(units: Iterable[Unit]) -> int:
    return sum(unit.remote.size_bytes or 0 for unit in units if _is_download(unit))


def missing_bytes(unit: Unit, store: Store, *, force: bool = False, again: Container[str] = ()) -> int:
    """Return how many bytes of a unit a fetch would still bring, as far as a manifest or record says it.

    Args:
        unit: The unit.
        store: What is here by size and time is not fetched.
        force: As for ``fetch_clips``.
        again: As for ``fetch_clips``.
    """
    size = known_size(unit, store, force=force)
    if not size or not _is_download(unit) or (not force and _is_whole(unit, store, again)):
        return 0
    return max(0, size - http.bytes_here(_place_of(unit.source, unit.clips[0], store)))


def known_size(unit: Unit, store: Store, *, force: bool) -> int | None:
    """Return the size of a unit's file by the manifest, or else by what came first, unless that is given up."""
    if unit.remote.size_bytes is not None or force:
        return unit.remote.size_bytes
    records = (store.find(unit.source.id, clip.id) for clip in unit.clips)
    known = next((record for record in records if record is not None), None)
    if known is None or known.origin == "imported" or not _has_no_checksum(unit.remote):
        return None
    return known.archive.size_bytes if known.archive is not None else known.size_bytes


def _is_whole(unit: Unit, store: Store, again: Container[str]) -> bool:
    for clip in unit.clips:
        record = store.find(unit.source.id, clip.id)
        if record is None or record.partial_of is not None or f"{unit.source.id}/{clip.id}" in again:
            return False
        if store.problems(record):
            return False
    return True


def _place_of(source: Source, clip: Clip, store: Store) -> Path:
    """Return where the file that brings a clip lies until it is whole and checked."""
    if clip.archive is not None:
        return store.incoming(source.id) / clip.archive
    return store.incoming(source.id) / store.place_for(source.id, clip.id, _suffix_of(clip)).name


def _is_download(unit: Unit) -> bool:
    return unit.kind != "manual" and unit.source.access != "generated"


def _require_locked(selection: Iterable[Selected], locked: Mapping[str, ClipRecord]) -> None:
    missing = [item.id for item in selection if item.id not in locked]
    if missing:
        raise FetchError(
            f"{', '.join(missing[:6])}{', ...' if len(missing) > 6 else ''}: not in the lock file, so nothing says which "
            "bytes are right. Fetch without --locked to record what comes first, then share that sr-data.lock."
        )


class _Fetch:
    """One call of ``fetch_clips``; its units run in several threads."""

    def __init__(
        self,
        store: Store,
        progress: Progress,
        bar: Bar,
        num_clips: int,
        traffic: Traffic,
        patience: Patience,
        force: bool,
        locked: Mapping[str, ClipRecord] | None,
        again: Container[str],
    ) -> None:
        self.store = store
        self.progress = progress
        self.bar = bar
        self.num_clips = num_clips
        self.traffic = traffic
        self.patience = patience
        self.force = force
        self.locked = locked
        self.again = again
        self.fetched: list[ClipRecord] = []
        self.present: list[ClipRecord] = []
        self.failures: list[tuple[str, str, SrDataError]] = []  # first clip, name, reason

    def run(self, unit: Unit) -> None:
        """Bring one unit in; a failure that is its own is noted.

        Raises:
            SrDataError: The disk or the store itself fails: the next unit would fare no better.
            Stopped: The run ends.
        """
        name = f"{unit.source.id}/{unit.clips[0].id}"
        known = _known_bytes([unit])
        sums = SumOfBytes(self.progress, self.bar, known=known)
        try:
            with disk_errors(name, self.store.root):
                match unit.kind:
                    case "archive":
                        self._from_archive(unit, sums)
                    case "manual":
                        self._by_hand(unit)
                    case "clip":
                        self._own_file(unit, sums)
        except (SrDataError, FileNotFoundError) as error:
            if missing := _missing_below(self.store.root, error):
                raise SrDataError(
                    f"{name}: what had come of it was removed meanwhile ({missing} is gone), by `sr-data forget` or by hand, so "
                    "nothing more is fetched. What is in the store stays. Run the same command again if you want these clips."
                ) from error
            if type(error) is SrDataError or isinstance(error, FileNotFoundError):
                raise
            shown = name if len(unit.clips) == 1 else f"{unit.source.id} ({clips_text(len(unit.clips))})"
            self.failures.append((name, shown, error))
            self.progress.event("failed", id=shown, error=str(error))
        finally:
            sums.settle()

    def _own_file(self, unit: Unit, progress: Progress) -> None:
        """Fetch or generate a clip that is a file of its own."""
        source, clip = unit.source, unit.clips[0]
        with self.store.lock(source.id, clip.id, waiting=lambda: self._waiting(f"{source.id}/{clip.id}")):
            if self._here(source, clip):
                http.discard(_place_of(source, clip, self.store))  # a kill can have kept the last run from it
            elif source.access == "generated":
                self._brought(self._generate(source, clip))
            else:
                self._brought(self._download(source, clip, progress))

    def _by_hand(self, unit: Unit) -> None:
        """Find clips of a manual source, or say how a person brings them."""
        missing = []
        for clip in unit.clips:
            with self.store.lock(unit.source.id, clip.id):
                if not self._here(unit.source, clip, by_hand=True):
                    missing.append(clip.id)
        if missing:
            raise FetchError(explain_manual(unit.source, missing))

    def _from_archive(self, unit: Unit, progress: Progress) -> None:
        """Fetch an archive and take clips out of it."""
        source, remote = unit.source, catalog.archive_of(unit.source, unit.clips[0].archive or "")
        name = unit.file_name
        with self.store.lock(source.id, f"archive-{remote.id}", waiting=lambda: self._waiting(name)):
            dest = _place_of(source, unit.clips[0], self.store)
            missing = [clip for clip in unit.clips if not self._here(source, clip)]
            if not missing:
                if dest.exists():  # a kill can have kept the last run from deleting it
                    _forget_download(dest)
                return
            facts, first = self._facts_of_archive(source, remote, missing)
            if not facts.mirrors:
                raise FetchError(_no_address(source, remote.id))
            if self.force and (dest.exists() or http.was_put_aside(dest)):
                _forget_download(dest)

            def take(got: Fetched) -> None:
                proof: Proof = "first-fetch" if first else got.proof
                fetched = ArchiveRecord(id=remote.id, size_bytes=got.size_bytes, sha256=got.sha256)
                with unpacked_clips(source, missing, dest, self.store) as unpacked:
                    for clip, files in unpacked:
                        with self.store.lock(source.id, clip.id):
                            record = settle_unpacked(
                                source, clip, files, dest.name, self.store, origin=got.url or facts.mirrors[0],
                                proof=proof, etag=got.etag, fetched=fetched, must_be=self._digest_of(source, clip),
                                keep_old=self.force, progress=progress,
                            )  # fmt: skip
                            missing.remove(clip)
                            self._brought(record)

            self._from_mirrors(facts, dest, name, progress, take)
            _forget_download(dest)

    def _from_mirrors(
        self,
        facts: FileFacts,
        dest: Path,
        name: str,
        progress: Progress,
        take: Callable[[Fetched], None],
    ) -> None:
        """Fetch a file and take what it brings; where that cannot be used and no checksum vouches for it, go on.

        Raises:
            FetchError: No mirror gave a file that can be used; nothing of them is kept. Or what came is the file that the
                manifest names, and damaged: it is kept as ``NAME.rejected``.
            DecodeError: As above, for a file of a single mirror that is no video.
        """
        reasons: list[str] = []
        while True:
            try:
                got = http.fetch_file(
                    facts, dest, progress=progress, name=name, patience=self.patience, traffic=self.traffic
                )
            except FetchError as error:
                if reasons:
                    raise type(error)("\n".join([*reasons, str(error)])) from error
                raise
            try:
                take(got)
            except (DamagedArchiveError, DecodeError, OtherClipError) as error:
                if got.proof != "first-fetch":
                    if isinstance(error, DamagedArchiveError):
                        kept = http.put_aside(dest)
                        raise FetchError(
                            f"{error} It has the checksum that the manifest names, and is kept as {kept}."
                        ) from error
                    raise
                _forget_download(dest)
                what = "broken or another one" if isinstance(error, OtherClipError) else "broken"
                why = str(error).removeprefix(f"{name}: ")
                reasons.append(f"{name}: {got.url} gave a file that is {what}, so it is not kept: {why}")
                left = tuple(url for url in facts.mirrors if url != got.url)
                if not left:
                    kind = type(error) if len(reasons) == 1 else FetchError
                    raise kind("\n".join(reasons)) from error
                self.progress.log(f"{reasons[-1]} Trying the next mirror.")
                facts = facts.model_copy(update={"mirrors": left})
            else:
                return

    def _brought(self, record: ClipRecord) -> None:
        self.fetched.append(record)
        self._tell(record, "fetched")

    def _tell(self, record: ClipRecord, state: str) -> None:
        self.bar.note(f"{len(self.fetched) + len(self.present)} of {self.num_clips} clips")
        self.progress.event(
            "clip", id=f"{record.source}/{record.clip}", state=state, path=str(self.store.path_of(record)),
            size_bytes=record.size_bytes, sha256=record.sha256, proof=record.proof, origin=record.origin,
        )  # fmt: skip

    def _lock_of(self, source: Source, clip: Clip) -> ClipRecord | None:
        """Return the record that says which bytes are right, where the manifest need not say it."""
        if self.locked is not None:
            return self.locked[f"{source.id}/{clip.id}"]
        old = self.store.find(source.id, clip.id)
        return old if old is not None and old.origin != "imported" and not self.force else None

    def _digest_of(self, source: Source, clip: Clip) -> str | None:
        record = self._lock_of(source, clip)
        return record.sha256 if record is not None else None

    def _facts_of_archive(
        self, source: Source, remote: RemoteFile, clips: Sequence[Clip]
    ) -> tuple[FileFacts, bool]:
        """Return what an archive must be, and whether only an earlier fetch says so."""
        if self.locked is not None:
            records = [self.locked[f"{source.id}/{clip.id}"] for clip in clips]
            known = next(
                (one.archive for one in records if one.archive is not None and one.archive.id == remote.id),
                None,
            )
            urls = [one.origin for one in records]
        else:
            known = None if self.force else self.store.find_archive(source.id, remote.id)
            urls = []
        if known is None or (remote.sha256 is not None and self.locked is None):
            return remote, False
        facts = _as_locked(remote, known.sha256, known.size_bytes, urls, f"{source.id}/{remote.id}")
        return facts, _has_no_checksum(remote)

    def _here(self, source: Source, clip: Clip, *, by_hand: bool = False) -> bool:
        """Count a clip as present if it is recorded and its files are what they were."""
        record = self.store.find(source.id, clip.id)
        name = f"{source.id}/{clip.id}"
        if record is None or name in self.again:
            return False
        if not by_hand and (self.force or record.partial_of is not None):
            return False
        fresh = self.store.refresh(record)
        if fresh is None:
            return False
        if self.locked is not None and self.locked[name].sha256 != fresh.sha256:
            raise HashMismatchError(
                f"{name}: the store has the digest {fresh.sha256}, the lock file says {self.locked[name].sha256}. Use "
                "another store, or move the clip away and fetch it again."
            )
        own = clip.archive is None and clip.media in ("video", "raw") and clip.sha256
        if own and clip.sha256 != fresh.sha256:
            self.progress.log(
                f"{name}: the manifest now names another file (SHA-256 {clip.sha256}); yours, checked when it came, "
                "is kept. Fetch the new one with --force."
            )
        self.present.append(fresh)
        self._tell(fresh, "present")
        return True

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

    def _download(self, source: Source, clip: Clip, progress: Progress) -> ClipRecord:
        name = f"{source.id}/{clip.id}"
        dest = _place_of(source, clip, self.store)
        old = self.store.find(source.id, clip.id)
        known = self._lock_of(source, clip)
        facts: FileFacts = clip
        first = False
        if known is not None and (clip.sha256 is None or self.locked is not None):
            # What came first is what later fetches must bring, until a person says otherwise.
            facts = _as_locked(clip, known.sha256, known.size_bytes, [known.origin], name)
            first = _has_no_checksum(clip)
        if not facts.mirrors:
            raise FetchError(_no_address(source, clip.id))
        if self.force and dest.exists():
            dest.unlink()
            http.discard(dest)
        elif old is None:
            self._take_back(name, clip, dest)
        records: list[ClipRecord] = []

        def take(got: Fetched) -> None:
            proof: Proof = got.proof
            if known is not None and first:
                proof = known.proof if known.origin != "imported" else "first-fetch"
            records.append(
                settle(
                    source, clip, dest, self.store, [got.sha256], origin=got.url or facts.mirrors[0], proof=proof,
                    etag=got.etag, keep_old=self.force, progress=progress,
                )
            )  # fmt: skip

        try:
            self._from_mirrors(facts, dest, name, progress, take)
        except FetchError as error:
            if old is None or not self.store.path_of(old).exists():
                raise
            raise type(error)(
                f"{error} The file in the store stays as it is: {self.store.path_of(old)}"
            ) from error
        http.discard(dest)
        return records[0]

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


def _missing_below(root: Path, error: BaseException | None) -> Path | None:
    """Return the file of the store that was not there any more, if that is what an error came of."""
    while error is not None:
        if isinstance(error, FileNotFoundError) and error.filename is not None:
            path = Path(error.filename)
            return path if path.is_relative_to(root) else None
        error = error.__cause__
    return None


def _as_locked(facts: FileFacts, sha256: str, size_bytes: int, urls: Iterable[str], name: str) -> FileFacts:
    """Return a file's facts with the hash and size of a lock file, whose addresses are tried last.

    Raises:
        HashMismatchError: The manifest and the lock file name different files.
    """
    if facts.sha256 is not None and facts.sha256 != sha256:
        raise HashMismatchError(
            f"{name}: the manifest names the SHA-256 {facts.sha256}, the lock file {sha256}. One of them is older: fetch "
            "without --locked, or take the manifest that the lock file was made with."
        )
    where = "sr-data.lock, as it was first brought in; --force accepts another"
    evidence = Evidence(status=Status.SEEN, where=where)
    more = [url for url in urls if url.startswith(("http://", "https://"))]
    return facts.model_copy(
        update={
            "mirrors": tuple(dict.fromkeys((*facts.mirrors, *more))),
            "sha256": sha256,
            "size_bytes": size_bytes,
            "evidence": {**facts.evidence, "sha256": evidence, "size_bytes": evidence},
        }
    )


def _has_no_checksum(facts: FileFacts) -> bool:
    return not any(getattr(facts, name) for name in CHECKSUMS)


def _forget_download(dest: Path) -> None:
    dest.unlink(missing_ok=True)
    http.discard(dest)


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
