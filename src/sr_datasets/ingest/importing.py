"""Clips that a person brings."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sr_datasets.errors import HashMismatchError, SrDataError, StoreError
from sr_datasets.fetch import archive as archives
from sr_datasets.files import Digests, disk_errors, human_bytes, iter_chunks, remove, require_space, sync_file
from sr_datasets.ingest.matching import VIDEO_SUFFIXES, Match, match_files, unlisted_id
from sr_datasets.ingest.probing import pixels_sha256, probe_safely, scan_safely
from sr_datasets.ingest.settling import (
    CHECKSUMS,
    clips_text,
    hash_file,
    raise_together,
    settle,
    settle_unpacked,
    unpacked_clips,
    wrong_checksum,
    wrong_facts,
)
from sr_datasets.manifest import Clip, RemoteFile, Source, VideoInfo
from sr_datasets.progress import Progress
from sr_datasets.store import ClipRecord, Proof, Store
from sr_datasets.video.pictures import frame_paths


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought."""

    imported: tuple[ClipRecord, ...]
    """Clips that came now."""
    present: tuple[ClipRecord, ...]
    """Clips that were in the store already, with the same bytes."""
    unmatched: tuple[Path, ...]
    """Files that are no clip of the source, and folders whose pictures are none."""

    def __str__(self) -> str:
        size = human_bytes(sum(record.size_bytes for record in self.imported))
        lines = [
            f"{clips_text(len(self.imported))} imported ({size}), {len(self.present)} in the store already"
        ]
        lines += [
            f"{record.source}/{record.clip} has {record.info.num_frames} of its {record.partial_of} frames"
            for record in (*self.imported, *self.present)
            if record.partial_of
        ]
        lines += [
            f"{record.source}/{record.clip}: {_facts_text(record.info)}"
            for record in self.imported
            if record.info.scan_from != "tagged"
        ]
        if self.unmatched:
            some = ", ".join(str(path) for path in self.unmatched[:8])
            more = f" and {len(self.unmatched) - 8} more" if len(self.unmatched) > 8 else ""
            lines.append(f"not a clip of the source: {some}{more}")
        return "\n".join(lines)


def _facts_text(info: VideoInfo) -> str:
    known = "by its frames" if info.scan_from == "detected" else "its frames do not tell either"
    rate = f" at {info.frame_rate}" if info.frame_rate else ""
    frames = f"{info.num_frames} frames{rate}"
    return f"{info.width}x{info.height} {info.pixel_format}, {frames}; scan {info.scan}, {known}"


def import_files(
    source: Source,
    paths: Sequence[Path],
    store: Store,
    *,
    progress: Progress,
    copy: bool = True,
    allow_partial: bool = False,
    force: bool = False,
) -> ImportReport:
    """Bring files that a person has into the store, matched to the source's clips by name and checked.

    Checksums of the manifest must hold where it has some; width, height and number of frames always.
    Archives of the source (``Vid4.zip``) are unpacked, and so are archives of videos for an open-ended source. Of a
    clip whose stream does not say how its lines were taken, the frames are asked (``video.scan``). An unlisted
    clip that has the bytes of another clip of the source is not taken a second time.

    Args:
        source: Whose clips they are.
        paths: Files, and folders that are searched.
        store: Where they go.
        progress: Where the work shows itself.
        copy: Leave the originals where they are; otherwise they are moved.
        allow_partial: Accept clips with fewer frames than the manifest says, and record that.
        force: Replace clips that are in the store with other bytes.

    Raises:
        StoreError: Nothing fits the source, or some clips could not be taken; the message has each reason.
        HashMismatchError: A single clip failed, since its bytes are not those that the manifest names.
        DecodeError: A single clip failed, since it cannot be read.
        SrDataError: The disk is full.
    """
    with disk_errors(f"importing into {source.id}", store.root):
        matches = match_files(source, paths)
    failures: list[tuple[str, SrDataError]] = [
        (problem.partition(":")[0], StoreError(problem)) for problem in matches.problems
    ]
    imported: list[ClipRecord] = []
    present: list[ClipRecord] = []
    work = _Import(source, store, progress, copy, allow_partial, force)
    with store.batch():
        with progress.bar("clips", total=len(matches.clips), unit="clips") as bar:
            for match in matches.clips:
                try:
                    record, new = work.take(match)
                    (imported if new else present).append(record)
                except SrDataError as error:
                    if type(error) is SrDataError:
                        raise
                    failures.append((f"{source.id}/{match.clip.id}", error))
                bar.advance(1)
        for remote, path in matches.archives:
            taken = {record.clip for record in (*imported, *present)}
            try:
                with disk_errors(f"{source.id}/{remote.id}", store.root):
                    imported += work.take_archive(remote, path, leave_out=taken)
            except SrDataError as error:
                if type(error) is SrDataError:
                    raise
                failures.append((f"{source.id}/{remote.id}", error))
        for path in matches.bundles:
            try:
                with disk_errors(f"{source.id} {path.name}", store.root):
                    for record, new in work.take_bundle(path):
                        (imported if new else present).append(record)
            except SrDataError as error:
                if type(error) is SrDataError:
                    raise
                failures.append((path.name, error))
    if failures:
        came = len(imported) + len(present)
        if came:
            progress.log(str(ImportReport(tuple(imported), tuple(present), tuple(matches.unmatched))))
        raise_together(failures, came + len(failures), came, "imported", StoreError)
    if not imported and not present:
        raise StoreError(_nothing_matched(source, paths, matches.unmatched))
    return ImportReport(tuple(imported), tuple(present), tuple(matches.unmatched))


def _nothing_matched(source: Source, paths: Sequence[Path], unmatched: Sequence[Path]) -> str:
    where = ", ".join(str(path) for path in paths[:3])
    found = (
        f"found {', '.join(path.name for path in unmatched[:6])}"
        if unmatched
        else "found no video or picture"
    )
    names = [clip.id for clip in source.clips]
    wanted = (
        f"expected names such as {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
        if names
        else "expected video files such as .avi, .y4m or .mp4"
    )
    return (
        f"{where}: nothing there is a clip of {source.id}: {found}, {wanted}. Files are matched to clips by name: "
        "rename them, or name the right folder."
    )


@dataclass(frozen=True, slots=True)
class _Import:
    """One call of ``import_files``."""

    source: Source
    store: Store
    progress: Progress
    copy: bool
    allow_partial: bool
    force: bool

    def take(self, match: Match) -> tuple[ClipRecord, bool]:
        """Bring one clip in; return its record, and whether it came now."""
        clip, path = match.clip, match.path
        name = f"{self.source.id}/{clip.id}"

        def waiting() -> None:
            self.progress.log(f"{name}: another process is bringing it in; waiting for that one")

        with disk_errors(name, self.store.root), self.store.lock(self.source.id, clip.id, waiting=waiting):
            if clip.size_bytes is not None and clip.pixels_sha256 is None and path.is_file():
                size = path.stat().st_size
                if size != clip.size_bytes:
                    raise HashMismatchError(
                        f"{name}: {path} has {size} bytes, the manifest says {clip.size_bytes}. It is another file "
                        "or was cut: bring the published one."
                    )
            info = probe_safely(path, name=name, clip=clip)
            partial_of = self._check_facts(clip, path, info)
            files = frame_paths(path) if path.is_dir() else [path]
            digests = self._hash_all(name, files, clip)
            hashes = [digest.hexdigest("sha256") for digest in digests]
            proof = self._proof(clip, path, info, digests[0])
            old = self.store.find(self.source.id, clip.id)
            if old is not None and (here := self.store.refresh(old)) is not None:
                if self._same(here, files, hashes):
                    return here, False
                fuller = here.partial_of is not None and info.num_frames > here.info.num_frames
                if not (self.force or fuller):
                    raise StoreError(
                        f"{name}: the store has it already with other bytes than {path}. To replace them, run the "
                        "import again with --force."
                    )
            if (twin := self._twin(clip, hashes)) is not None:
                self.progress.log(
                    f"{name}: {path} has the bytes of {twin.source}/{twin.clip}, which is here: not taken twice"
                )
                return twin, False
            info = scan_safely(path, info, name=name, clip=clip)
            incoming = self._bring(clip, path, files, hashes)
            record = settle(
                self.source, clip, incoming, self.store, hashes, origin="imported", proof=proof,
                progress=self.progress, info=info, partial_of=partial_of,
            )  # fmt: skip
            return record, True

    def take_archive(self, remote: RemoteFile, path: Path, *, leave_out: Iterable[str]) -> list[ClipRecord]:
        """Unpack every clip of an archive that a person brought."""
        digests = hash_file(path, remote)
        if wrong := wrong_checksum(remote, digests):
            raise HashMismatchError(
                f"{self.source.id}/{remote.id}: {path} {wrong}. It is another file or was cut: bring the published one."
            )
        proof: Proof = next((name for name in CHECKSUMS if getattr(remote, name)), "imported")
        out = set(leave_out)
        clips = [clip for clip in self.source.clips if clip.archive == remote.id and clip.id not in out]
        if not clips:
            return []
        records = []
        with (
            self.store.lock(self.source.id, f"archive-{remote.id}"),
            unpacked_clips(self.source, clips, path, self.store) as unpacked,
        ):
            for clip, files in unpacked:
                with self.store.lock(self.source.id, clip.id):
                    old = self.store.find(self.source.id, clip.id)
                    keep = old is not None and old.origin != "imported" and not self.force
                    records.append(
                        settle_unpacked(
                            self.source, clip, files, path.name, self.store, origin="imported", proof=proof, etag="",
                            must_be=old.sha256 if old is not None and keep else None, progress=self.progress,
                        )
                    )  # fmt: skip
        return records

    def take_bundle(self, path: Path) -> Iterator[tuple[ClipRecord, bool]]:
        """Unpack every video of an archive that no manifest knows, each as a clip under its own name."""
        videos = [
            member.name
            for member in archives.list_members(path)
            if PurePosixPath(member.name).suffix.lower() in VIDEO_SUFFIXES
        ]
        if not videos:
            raise StoreError(
                f"{path} holds no video. Unpack it yourself, and name the file that is the clip."
            )
        moving = replace(self, copy=False)
        for name in videos:
            clip = Clip(id=unlisted_id(PurePosixPath(name)))
            folder = self.store.incoming(self.source.id) / f"{clip.id}.members"
            try:
                (file,) = archives.extract(
                    path, [name], folder, expected_count=1, name=f"{self.source.id}/{clip.id} in {path.name}"
                )
                yield moving.take(Match(clip, file))
            finally:
                remove(folder)

    def _twin(self, clip: Clip, hashes: Sequence[str]) -> ClipRecord | None:
        """Return another clip of an open-ended source that has the bytes of an unlisted one."""
        if not self.source.open_ended or any(listed.id == clip.id for listed in self.source.clips):
            return None
        for record in self.store.find_bytes(self.source.id, hashes[0]) if len(hashes) == 1 else ():
            if record.clip != clip.id:
                return self.store.refresh(record)
        return None

    def _check_facts(self, clip: Clip, path: Path, info: VideoInfo) -> int | None:
        """Hold geometry and frames against the manifest; return its number of frames if fewer are accepted."""
        name = f"{self.source.id}/{clip.id}"
        if clip.num_frames and info.num_frames < clip.num_frames:
            if not self.allow_partial:
                raise StoreError(
                    f"{name}: {path} holds {info.num_frames} frames, the manifest says {clip.num_frames}. Bring the "
                    "whole clip, or accept fewer with --allow-partial."
                )
            rest = clip.model_copy(update={"num_frames": None})
        else:
            rest = clip
        for wrong, _ in wrong_facts(rest, info):
            if "pixel format" in wrong or "frame rate" in wrong:
                self.progress.log(f"{name}: {path} {wrong}; the file is taken as it is")
            else:
                raise StoreError(
                    f"{name}: {path} {wrong}. Bring the published clip, not a resized or cut copy."
                )
        return clip.num_frames if rest is not clip else None

    def _hash_all(self, name: str, files: Sequence[Path], clip: Clip) -> list[Digests]:
        total = sum(file.stat().st_size for file in files)
        with self.progress.bar(name, total=total, unit="bytes") as bar:
            found = []
            for file in files:
                found.append(hash_file(file, clip))
                bar.advance(found[-1].num_bytes)
            return found

    def _proof(self, clip: Clip, path: Path, info: VideoInfo, digests: Digests) -> Proof:
        """Return what proves that a file is the clip.

        Raises:
            HashMismatchError: The manifest has a checksum, and the file has another.
        """
        name = f"{self.source.id}/{clip.id}"
        wrong = wrong_checksum(clip, digests) if clip.media != "frames" else None
        if clip.media == "image" and clip.pixels_sha256:
            found = pixels_sha256(path, info, name=name, clip=clip)
            if found == clip.pixels_sha256:
                return "pixels-sha256"
            evidence = clip.evidence_of("pixels_sha256")
            wrong = wrong or (
                f"has samples of SHA-256 {found}, the manifest says {clip.pixels_sha256} "
                f"({evidence.status} {evidence.where})"
            )
        if wrong:
            raise HashMismatchError(
                f"{name}: {path} {wrong}. It is another version of the clip: bring the published one, or correct the "
                "manifest if it is wrong."
            )
        if clip.media != "frames":
            return next((checksum for checksum in CHECKSUMS if getattr(clip, checksum)), "imported")
        return "imported"

    def _same(self, record: ClipRecord, files: Sequence[Path], hashes: Sequence[str]) -> bool:
        if record.info.media != "frames":
            return [file.sha256 for file in record.files] == list(hashes)
        names = [file.path.rpartition("/")[2] for file in record.files]
        return names == [file.name for file in files] and [file.sha256 for file in record.files] == list(
            hashes
        )

    def _bring(self, clip: Clip, path: Path, files: Sequence[Path], hashes: Sequence[str]) -> Path:
        """Copy or move a clip's files beside their final place."""
        suffix = "" if path.is_dir() else path.suffix.lower()
        final = self.store.place_for(self.source.id, clip.id, suffix)
        if path.resolve() == final.resolve():
            return final  # it lies where it belongs, only its record was missing
        incoming = self.store.incoming(self.source.id) / f"{final.name}.import"
        if not path.is_dir():
            incoming = incoming.with_suffix(suffix)
        remove(incoming)
        pairs = [(file, incoming / file.name if path.is_dir() else incoming) for file in files]
        incoming.parent.mkdir(parents=True, exist_ok=True)
        if self.copy:
            require_space(
                incoming.parent, sum(file.stat().st_size for file in files), f"{self.source.id}/{clip.id}"
            )
        try:
            for (file, place), sha256 in zip(pairs, hashes, strict=True):
                place.parent.mkdir(parents=True, exist_ok=True)
                if not self.copy:
                    shutil.move(file, place)
                elif _copy(file, place) != sha256:
                    raise StoreError(f"{file} changed while it was imported. Run the import again.")
        except BaseException:
            if self.copy:
                remove(incoming)
            raise
        return incoming


def _copy(file: Path, place: Path) -> str:
    """Copy a file and return the SHA-256 of what was copied."""
    digests = Digests(["sha256"])
    with place.open("wb") as out:
        for piece in iter_chunks(file):
            digests.update(piece)
            out.write(piece)
    sync_file(place)
    return digests.hexdigest("sha256")
