"""Clips from YouTube: chosen by label out of published annotations, fetched one by one, recorded in the store.

Which videos are chosen is a pure function of the annotations, the label and the seed: shards, records and segments are put
in the order of the SHA-256 of seed and name, and taken from the front. So ``--limit 10`` are the first of ``--limit 20``, on
every machine, and no more shards are fetched than hold the first of them.
"""

import datetime
import errno
import glob
import os
import string
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

from sr_datasets.aside import result_of
from sr_datasets.catalog import archive_of
from sr_datasets.errors import DecodeError, FetchError, ManifestError, SelectionError, SrDataError
from sr_datasets.fetch import http
from sr_datasets.fetch.failures import PATIENT, Patience
from sr_datasets.fetch.youtube.boundingboxes import Annotation, find_class, iter_annotations, segments_of
from sr_datasets.fetch.youtube.download import Manners, download, require_yt_dlp
from sr_datasets.fetch.youtube.example import parse_example
from sr_datasets.fetch.youtube.ledger import Entry, Ledger, Status, ledger_of
from sr_datasets.fetch.youtube.names import Piece, piece_of
from sr_datasets.fetch.youtube.outcome import is_open
from sr_datasets.fetch.youtube.plans import Shard, in_keyed_order, read_plan
from sr_datasets.fetch.youtube.resolver import Resolver
from sr_datasets.fetch.youtube.tfrecord import iter_records
from sr_datasets.fetch.youtube.vocabulary import find_label, read_vocabulary
from sr_datasets.files import disk_errors, human_bytes, sha256_of
from sr_datasets.ingest.crew import GRACE_SECONDS, Aside
from sr_datasets.ingest.probing import probe_safely
from sr_datasets.ingest.settling import settle
from sr_datasets.manifest import Clip, FileFacts, Source
from sr_datasets.progress import Bar, Progress
from sr_datasets.store import ClipRecord, Store
from sr_datasets.terms import require_acceptance

OPEN_LICENSE = "youtube-cc-by"
"""Key of the licence, in the manifests, of a video whose metadata claims a Creative Commons licence."""
CLOSED_LICENSE = "youtube-standard"
"""Key of the licence of every other video."""
PARTS = ("train", "validation")
"""Parts of the annotations."""
# Rows of one object can stand alone; a piece shorter than this has hardly a frame.
_LEAST_MS = 1000
_ROWS_AT_ONCE = 10_000
# So many failures one after another are no matter of single videos.
_MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """Which videos to bring, and how."""

    labels: tuple[str, ...] = ()
    """Names of labels or classes; a video that has one of them fits."""
    clips: tuple[str, ...] = ()
    """Names of clips to bring, in place of labels: ``yt-tvvJFX90eh0.0e0``."""
    limit: int = 10
    """How many videos to ask for; those that do not come count too, unless ``substitute``."""
    seed: int = 0
    """Key of the choice."""
    height: int = 720
    """Least length of a video's shorter side in pixels."""
    part: str = "train"
    """``train`` or ``validation``."""
    any_license: bool = False
    """Take videos whose metadata claims no Creative Commons licence too; the source's terms must be accepted."""
    substitute: bool = False
    """Go on down the list until ``limit`` videos are here."""
    recheck: bool = False
    """Ask again for what was gone, private, blocked or not open."""
    manners: Manners = field(default_factory=Manners)
    """How the site is asked."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One video, or piece of one, that the annotations name."""

    record_id: str = ""
    """Four characters of YouTube-8M, whose video must be looked up; or empty."""
    piece: Piece | None = None
    """What to bring, where that is known."""
    labels: tuple[str, ...] = ()
    """Labels by which it was chosen."""
    unauthenticated: bool = False
    """Whether it was read from a file that came over plain http, unproven."""


@dataclass(frozen=True, slots=True)
class YoutubeReport:
    """What became of the videos that were asked for."""

    source: str
    """Source id."""
    fetched: tuple[ClipRecord, ...]
    """Clips that came now."""
    present: tuple[ClipRecord, ...]
    """Clips that were in the store already, whole."""
    entries: tuple[Entry, ...]
    """What became of each video, in the order of the choice."""
    ledger: Path
    """Where all of it is kept."""

    def __str__(self) -> str:
        size = human_bytes(sum(record.size_bytes for record in self.fetched))
        here = len(self.fetched) + len(self.present)
        lines = [
            f"{here} of {len(self.entries)} videos are here: {len(self.fetched)} fetched ({size}), "
            f"{len(self.present)} in the store already"
        ]
        for status, words in _WORDS.items():
            if count := sum(entry.status == status for entry in self.entries):
                lines.append(f"{count} {words}")
        if any(entry.unauthenticated for entry in self.entries):
            lines.append(
                "unauthenticated: ids came over plain http, so nothing proves that they are the publisher's"
            )
        lines.append(f"what became of each, and whom to name: {self.ledger}")
        return "\n".join(lines)


_WORDS: dict[Status, str] = {
    "not-open": "claim no Creative Commons licence (--accept-terms SOURCE takes them too)",
    "gone": "are gone",
    "private": "are private",
    "blocked": "are blocked here, or ask for an account",
    "too-small": "are smaller than was asked for",
    "failed": "failed for a reason that may pass: run the same command again",
    "forgotten": "were forgotten, and are not fetched again",
}


def fetch_youtube(
    source: Source,
    wish: Wish,
    store: Store,
    *,
    progress: Progress,
    patience: Patience = PATIENT,
    resolver: Resolver | None = None,
    jobs: int = 4,
) -> YoutubeReport:
    """Bring videos of a YouTube source into the store.

    Each video is recorded as soon as it is whole, and what became of it is in the ledger when the next one is asked for; the
    same call again goes on where this one ended.

    Args:
        source: ``youtube-8m`` or ``youtube-bb``.
        wish: Which videos, and how.
        store: Where they go.
        progress: Where the work shows itself.
        patience: Time limits and retries of annotation files.
        resolver: Looks up records of YouTube-8M; one with the manifest's addresses by default.
        jobs: Videos at a time that are looked into, a process each, while the site is asked for the next one.

    Raises:
        FetchError: Annotations did not come, or the site asks us to stop; what came until then is in the store.
        SelectionError: There is no such label or class.
        TermsError: ``any_license``, and the source has terms that were not accepted.
        MissingExtraError: yt-dlp is not installed.
        SrDataError: The disk is full.
    """
    if wish.limit < 1 or wish.height < 1 or jobs < 1:
        raise ValueError(
            f"limit, height and jobs must be at least 1, not {wish.limit}, {wish.height} and {jobs}"
        )
    require_yt_dlp()
    if wish.any_license:
        require_acceptance(source, store, accepted=False)
    with ExitStack() as stack:
        if resolver is None and "id" in source.addresses:
            resolver = stack.enter_context(Resolver(_addresses(source, "id", {"head", "id"})))
        candidates = iter_candidates(source, wish, store, progress=progress, patience=patience)
        return _Run(source, wish, store, progress, resolver, jobs).run(candidates)


def iter_candidates(
    source: Source, wish: Wish, store: Store, *, progress: Progress, patience: Patience = PATIENT
) -> Iterator[Candidate]:
    """Yield the videos that annotations name for a wish, best first; fetches annotation files as they are needed.

    Args:
        source: ``youtube-8m`` or ``youtube-bb``.
        wish: ``labels`` or ``clips``, ``seed`` and ``part`` count here.
        store: Annotation files lie in it, in ``ROOT/<source>/.annotations/``.
        progress: Where the work shows itself.
        patience: Time limits and retries.

    Raises:
        FetchError: An annotation file did not come, or is damaged.
        SelectionError: There is no such label or class.
    """
    if wish.part not in PARTS:
        raise ValueError(f"part is '{wish.part}', must be {' or '.join(PARTS)}")
    if wish.clips:
        yield from _named(source, wish.clips)
        return
    if not wish.labels:
        raise SelectionError(
            f"{source.id}: nothing is fetched from YouTube unless you say what: --label NAME --limit N "
            f"(sr-data show {source.id} has the steps)."
        )
    files = _Annotations(source, store, progress, patience)
    if "shard" in source.addresses:
        yield from _by_label(files, wish)
    else:
        yield from _by_class(files, wish)


def _named(source: Source, names: Iterable[str]) -> Iterator[Candidate]:
    for name in names:
        piece = piece_of(name)
        if piece is None:
            raise SelectionError(
                f"{source.id} has no clip '{name}': names are such as {Piece('tvvJFX90eh0').clip_id}, as sr-data show "
                f"{source.id} lists them. Choose new ones by label: --label NAME --limit N."
            )
        yield Candidate(piece=piece)


def _by_label(files: "_Annotations", wish: Wish) -> Iterator[Candidate]:
    """Yield the records of YouTube-8M that have a label, shard by shard."""
    source = files.source
    vocabulary = read_vocabulary(files.named("vocabulary.csv").path)
    labels = {label.index: label.name for label in (find_label(vocabulary, name) for name in wish.labels)}
    part = "train" if wish.part == "train" else "validate"
    plan = files.named(f"video_{part}.json")
    shards = {shard.name: shard for shard in read_plan(plan.path, part)}
    seen: set[str] = set()
    for name in in_keyed_order(shards, source.id, "shard", wish.seed):
        got = files.shard(shards[name], part, plan)
        found = {}
        for payload in iter_records(got.path):
            video = parse_example(payload)
            if mine := tuple(labels[number] for number in video.labels if number in labels):
                found[video.record_id] = mine
        for record_id in in_keyed_order(found, source.id, "record", wish.seed, name):
            if record_id not in seen:
                seen.add(record_id)
                yield Candidate(record_id, None, found[record_id], not got.authenticated)


def _by_class(files: "_Annotations", wish: Wish) -> Iterator[Candidate]:
    """Yield the pieces of YouTube-BoundingBoxes that show a class, none over another one of the same video."""
    classes = {find_class(name) for name in wish.labels}
    table = files.named(f"yt_bb_detection_{wish.part}.csv.gz")
    rows = _counted(iter_annotations(table.path), f"{files.source.id}/{table.path.name}", files.progress)
    mine = (row for row in rows if row.class_id in classes)
    segments = {
        segment.key: segment
        for segment in segments_of(mine)
        if segment.end_ms - segment.start_ms >= _LEAST_MS
    }
    taken: dict[str, list[Piece]] = {}
    for key in in_keyed_order(segments, files.source.id, "segment", wish.seed):
        segment = segments[key]
        piece = Piece(segment.youtube_id, segment.start_ms, segment.end_ms)
        others = taken.setdefault(segment.youtube_id, [])
        # Two objects of one scene have two segments of the same frames: twins of one clip help nobody.
        if any(_overlap(piece, other) for other in others):
            continue
        others.append(piece)
        yield Candidate("", piece, (segment.class_name,), not table.authenticated)


def _counted(rows: Iterator[Annotation], label: str, progress: Progress) -> Iterator[Annotation]:
    """Pass rows on, and show how many went by: a table has millions."""
    with progress.bar(label, total=None, unit="rows") as bar:
        for number, row in enumerate(rows, start=1):
            if number % _ROWS_AT_ONCE == 0:
                bar.advance(_ROWS_AT_ONCE)
            yield row


def _overlap(one: Piece, other: Piece) -> bool:
    assert one.start_ms is not None
    assert one.end_ms is not None
    assert other.start_ms is not None
    assert other.end_ms is not None
    return one.start_ms < other.end_ms and other.start_ms < one.end_ms


@dataclass(frozen=True, slots=True)
class _Got:
    path: Path
    authenticated: bool


@dataclass(frozen=True, slots=True)
class _Annotations:
    """The annotation files of a source, fetched when they are asked for and kept."""

    source: Source
    store: Store
    progress: Progress
    patience: Patience

    def named(self, name: str) -> _Got:
        """Return a file that the manifest lists."""
        try:
            return self._get(archive_of(self.source, name), name)
        except ValueError as error:
            raise ManifestError(
                f"{self.source.id}: its manifest lists no file '{name}' among its archives"
            ) from error

    def shard(self, shard: Shard, part: str, plan: _Got) -> _Got:
        """Return a shard of a download plan."""
        mirrors = tuple(
            pattern.format(part=part, name=shard.name)
            for pattern in _addresses(self.source, "shard", {"part", "name"})
        )
        got = self._get(FileFacts(mirrors=mirrors, md5=shard.md5), shard.local_name)
        # A checksum is worth what the plan is worth that has it.
        return replace(got, authenticated=got.authenticated or plan.authenticated)

    def _get(self, facts: FileFacts, name: str) -> _Got:
        dest = self.store.root / self.source.id / ".annotations" / name
        label = f"{self.source.id}/{name}"
        got = http.fetch_file(facts, dest, progress=self.progress, name=label, patience=self.patience)
        authenticated = urlsplit(got.url).scheme == "https"
        if not authenticated and facts.md5 is None:
            self.progress.log(f"{label}: came over plain http without a checksum: unauthenticated")
        return _Got(got.path, authenticated)


def _addresses(source: Source, purpose: str, parts: Collection[str]) -> Sequence[str]:
    """Return the address patterns of a purpose.

    Raises:
        ManifestError: The manifest has none, or one with parts that are not known.
    """
    if purpose not in source.addresses:
        raise ManifestError(f"{source.id}: its manifest has no addresses.{purpose}")
    for pattern in source.addresses[purpose].mirrors:
        try:
            found = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
        except ValueError as error:
            raise ManifestError(f"{source.id}: addresses.{purpose}: {pattern}: {error}") from error
        if found != set(parts):
            raise ManifestError(
                f"{source.id}: addresses.{purpose}: {pattern} has the parts {sorted(found)}, expected {sorted(parts)}"
            )
    return source.addresses[purpose].mirrors


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of one candidate."""

    entry: Entry
    fetched: ClipRecord | None = None
    """The clip, if it came now."""
    present: ClipRecord | None = None
    """The clip, if it was in the store."""
    asked: bool = False
    """Whether the site was asked."""


class _Run:
    """One call of ``fetch_youtube``.

    The site is asked for one video after another. What came is looked into aside, several videos at a time, while the
    next one is asked for: to decode every frame takes longer than to download it. Results are counted in the order of the
    candidates.
    """

    def __init__(
        self,
        source: Source,
        wish: Wish,
        store: Store,
        progress: Progress,
        resolver: Resolver | None,
        jobs: int,
    ) -> None:
        self.source = source
        self.wish = wish
        self.store = store
        self.progress = progress
        self.resolver = resolver
        (self.address, *_) = _addresses(source, "watch", {"youtube_id"})
        self.ledger: Ledger = ledger_of(store.root, source.id)
        self.known = self.ledger.by_key()
        self.records = {entry.record_id: entry for entry in self.known.values() if entry.record_id}
        self.forgotten = self.ledger.forgotten()
        self.aside: Aside[_Done] = Aside(jobs)
        self.line: deque[Future[_Done]] = deque()  # of candidates that were taken and not counted yet
        self.looks: set[str] = set()  # clips of those that are looked into
        self.fetched: list[ClipRecord] = []
        self.present: list[ClipRecord] = []
        self.entries: list[Entry] = []
        self.failures = 0
        self.asked_site = False

    def run(self, candidates: Iterator[Candidate]) -> YoutubeReport:
        """Take candidates from the front until the limit is reached."""
        total = None if self.wish.clips else self.wish.limit
        with (
            self.store.batch(),
            self.ledger.batch(),
            self.progress.bar(f"{self.source.id} videos", total=total, unit="clips") as bar,
        ):
            try:
                is_short = self._take_all(candidates, total, bar)
            except Exception:
                self._drain()  # what came is kept, whatever ends the run
                raise
            except BaseException:
                wait(self.line, timeout=GRACE_SECONDS)
                raise
        if is_short:
            self.progress.log(
                f"{self.source.id}: the annotations name no more than {len(self.entries)} videos"
            )
        return YoutubeReport(
            self.source.id, tuple(self.fetched), tuple(self.present), tuple(self.entries), self.ledger.path
        )

    def _take_all(self, candidates: Iterator[Candidate], total: int | None, bar: Bar) -> bool:
        """Take candidates until there are enough; return whether there were too few of them."""
        is_short = total is not None
        for candidate in candidates:
            self.line.append(self._take(candidate, bar))
            while self.line and (self.line[0].done() or self._goes_wrong() or self._may_be_enough(total)):
                self._count(bar)
            if self.wish.substitute:
                is_short = total is not None and self._here() < total
            else:
                is_short = total is not None and len(self.entries) + len(self.line) < total
            if not is_short and total is not None:
                break
        while self.line:
            self._count(bar)
        return is_short

    def _here(self) -> int:
        return len(self.fetched) + len(self.present)

    def _may_be_enough(self, total: int | None) -> bool:
        """Return whether there are enough if all come that are looked into: with substitutes no more are asked for then."""
        return self.wish.substitute and total is not None and self._here() + len(self.line) >= total

    def _goes_wrong(self) -> bool:
        """Return whether something in the line ends the run: an error, or too many failures one after another."""
        if any(one.done() and one.exception() for one in self.line):
            return True
        last = list(takewhile(Future.done, reversed(self.line)))
        asked = [one.result().entry.status for one in last if one.result().asked]
        return len(asked) >= _MOST_FAILURES and set(asked[:_MOST_FAILURES]) == {"failed"}

    def _count(self, bar: Bar) -> None:
        """Wait for the first of the line, and count it."""
        before = self._here()
        entry = self._keep(result_of(self.line.popleft()))
        bar.advance(self._here() - before if self.wish.substitute else 1)
        bar.note(f"{self._here()} here")
        if self.failures >= _MOST_FAILURES:
            self._drain()
            raise FetchError(
                f"{self.source.id}: {_MOST_FAILURES} videos failed one after another, the last one: {entry.reason}. "
                f"{self._kept()} Update yt-dlp (pip install -U 'yt-dlp[default]') and see that a JavaScript runtime such "
                "as Deno is installed, then run the same command again."
            )

    def _keep(self, done: _Done) -> Entry:
        """Add what became of a candidate to the report."""
        self.entries.append(done.entry)
        if done.asked:
            self.known[done.entry.clip] = done.entry
            self.looks.discard(done.entry.clip)
        for record, state, among in (
            (done.fetched, "fetched", self.fetched), (done.present, "present", self.present),
        ):  # fmt: skip
            if record is not None:
                among.append(record)
                self._tell(record, state)
        if done.asked:
            self.failures = self.failures + 1 if done.entry.status == "failed" else 0
        return done.entry

    def _drain(self) -> None:
        """Wait for all of the line, and keep what came: another error ends the run already."""
        while self.line:
            try:
                self._keep(result_of(self.line.popleft()))
            except SrDataError as error:
                self.progress.log(str(error))

    def _take(self, candidate: Candidate, bar: Bar) -> Future[_Done]:
        """Do for one candidate what is left to do, but for the look into what comes."""
        piece, unauthenticated = candidate.piece, candidate.unauthenticated
        labels = "; ".join(candidate.labels)
        if piece is None:
            before = self.records.get(candidate.record_id)
            if before is not None and before.youtube_id:
                piece = Piece(before.youtube_id)
                unauthenticated = unauthenticated or before.unauthenticated
            elif before is not None and not self.wish.recheck:
                return _at_once(_Done(before))
            else:
                assert self.resolver is not None
                answer = self.resolver.resolve(candidate.record_id)
                unauthenticated = unauthenticated or not answer.authenticated
                if answer.youtube_id is None:
                    entry = Entry(
                        "", candidate.record_id, "", "gone", _today(), "the publisher has no id of it any more",
                        labels=labels, unauthenticated=unauthenticated,
                    )  # fmt: skip
                    return _at_once(_Done(self._note(entry)))
                piece = Piece(answer.youtube_id)
        entry = Entry(
            piece.clip_id, candidate.record_id, piece.youtube_id, "failed", _today(), wanted_height=self.wish.height,
            start_ms=piece.start_ms, end_ms=piece.end_ms, labels=labels, unauthenticated=unauthenticated,
        )  # fmt: skip
        if piece.youtube_id in self.forgotten:
            return _at_once(_Done(replace(entry, status="forgotten")))
        while piece.clip_id in self.looks:  # another record of the same video
            self._count(bar)
        with ExitStack() as held:
            held.enter_context(disk_errors(f"{self.source.id}/{piece.clip_id}", self.store.root))
            held.enter_context(self.store.lock(self.source.id, piece.clip_id))
            known = self.known.get(piece.clip_id)
            if known is not None and (fresh := self._find(known)):
                return _at_once(_Done(known, present=fresh))
            if known is not None and self._stands(known):
                return _at_once(_Done(known))
            return self._bring(piece, entry, held)

    def _find(self, known: Entry) -> ClipRecord | None:
        """Return the clip that an earlier run brought, if it is whole and large enough."""
        record = self.store.find(self.source.id, known.clip)
        if record is None or known.status != "ok" or min(known.width, known.height) < self.wish.height:
            return None
        return self.store.refresh(record)

    def _stands(self, known: Entry) -> bool:
        """Return whether an earlier answer need not be asked for again."""
        if known.status == "forgotten":
            return True
        if self.wish.recheck:
            return False
        match known.status:
            case "gone" | "private" | "blocked":
                return True
            case "too-small":
                return known.wanted_height <= self.wish.height
            case "not-open":
                return not self.wish.any_license
            case _:
                return False

    def _bring(self, piece: Piece, entry: Entry, held: ExitStack) -> Future[_Done]:
        """Ask the site for one video, and begin to look into it if it comes; ``held`` is let go after that."""
        if self.asked_site:
            time.sleep(self.wish.manners.pause_seconds)
        self.asked_site = True
        name = f"{self.source.id}/{piece.clip_id}"
        stem = self.store.incoming(self.source.id) / piece.clip_id
        with self.progress.bar(name, total=None, unit="bytes") as bar:
            outcome = download(
                piece, self.address, stem, height=self.wish.height, any_license=self.wish.any_license,
                manners=self.wish.manners, bar=bar,
            )  # fmt: skip
        entry = replace(
            entry, reason=outcome.reason, title=outcome.title, uploader=outcome.uploader,
            uploader_url=outcome.uploader_url, url=outcome.url, license_claimed=outcome.license_claimed,
            format_note=outcome.format_note,
        )  # fmt: skip
        if outcome.status == "stop":
            self._drain()
            raise FetchError(
                f"{self.source.id}: the site asks us to stop: {outcome.reason}. {self._kept()} Wait some hours, then run "
                "the same command again: it goes on from there."
            )
        if outcome.path is None:
            for number in (errno.ENOSPC, errno.EDQUOT):  # yt-dlp hands on the words alone
                if os.strerror(number) in outcome.reason:
                    raise OSError(number, os.strerror(number), str(stem.parent))
            if outcome.status != "failed":
                _clear(stem)
            return _at_once(_Done(self._note(replace(entry, status=outcome.status)), asked=True))
        path, later = outcome.path, held.pop_all()

        def look() -> _Done:
            with later:
                return self._settle(piece, entry, path)

        try:
            future = self.aside.begin(look)
        except BaseException:
            later.close()
            raise
        self.looks.add(piece.clip_id)
        return future

    def _settle(self, piece: Piece, entry: Entry, path: Path) -> _Done:
        """Look into what came, and put it into the store."""
        try:
            info = probe_safely(path, name=f"{self.source.id}/{piece.clip_id}")
        except DecodeError as error:
            path.unlink()
            reason = f"what came cannot be read as video: {error}"
            return _Done(self._note(replace(entry, status="failed", reason=reason)), asked=True)
        if min(info.width, info.height) < self.wish.height:
            path.unlink()
            reason = f"it has {info.width}x{info.height} pixels, {self.wish.height} were asked for"
            return _Done(self._note(replace(entry, status="too-small", reason=reason)), asked=True)
        license_key = OPEN_LICENSE if is_open(entry.license_claimed) else CLOSED_LICENSE
        done = replace(
            entry, status="ok", reason="", width=info.width, height=info.height, sha256=sha256_of(path)
        )
        record = settle(
            self.source, Clip(id=piece.clip_id), path, self.store, [done.sha256], origin=entry.url,
            proof="first-fetch", license=license_key, attribution=done.attribution, info=info, progress=self.progress,
        )  # fmt: skip
        _clear(self.store.incoming(self.source.id) / piece.clip_id)
        return _Done(self._note(done), fetched=record, asked=True)

    def _note(self, entry: Entry) -> Entry:
        self.ledger.put(entry)
        if entry.status != "ok":
            self.progress.log(
                f"{self.source.id}: {entry.clip or entry.record_id}: {entry.status}: {entry.reason}"
            )
        return entry

    def _tell(self, record: ClipRecord, state: str) -> None:
        self.progress.event(
            "clip", id=f"{record.source}/{record.clip}", state=state, path=str(self.store.path_of(record)),
            size_bytes=record.size_bytes, sha256=record.sha256, proof=record.proof, origin=record.origin,
        )  # fmt: skip

    def _kept(self) -> str:
        count = len(self.fetched)
        return "1 video came and is kept." if count == 1 else f"{count} videos came and are kept."


def _at_once(done: _Done) -> Future[_Done]:
    """Return the future of what is done already."""
    future: Future[_Done] = Future()
    future.set_result(done)
    return future


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _clear(stem: Path) -> None:
    """Delete what a download left beside its file."""
    for path in stem.parent.glob(f"{glob.escape(stem.name)}.*"):
        path.unlink(missing_ok=True)
