"""Videos come in from a site on 127.0.0.1 through yt-dlp, as they would from YouTube; what does not come is written down."""

import datetime
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clips import Planes, formula_clip
from typer.testing import CliRunner, Result
from youtube_site import EXTRACTOR, Site

from sr_datasets import catalog, terms
from sr_datasets.cli.main import app
from sr_datasets.errors import FetchError, ManifestError, SelectionError, SrDataError, TermsError
from sr_datasets.fetch.failures import Patience
from sr_datasets.fetch.youtube.download import Manners, Outcome, download
from sr_datasets.fetch.youtube.example import parse_example
from sr_datasets.fetch.youtube.ledger import Entry, Ledger, Status, ledger_of
from sr_datasets.fetch.youtube.names import Piece
from sr_datasets.fetch.youtube.resolver import Resolver
from sr_datasets.fetch.youtube.tfrecord import iter_records
from sr_datasets.forget import forget
from sr_datasets.ingest.youtube import Wish, fetch_youtube, iter_candidates
from sr_datasets.manifest import AddressPattern, Evidence, RemoteFile, Source
from sr_datasets.progress import Silent
from sr_datasets.store import ClipRecord, Store
from sr_datasets.video import open_clip

SAMPLE = "youtube8m/validate0017_first12.tfrecord"
TABLE = "youtube_bb/ytbb_subset.csv"
QUICK = Patience(retries=1, backoff_seconds=0.005, max_wait_seconds=0.5)
POLITE = Manners(pause_seconds=0, request_pause_seconds=0, tries=1, socket_seconds=60, video_seconds=300)
OPEN = "Creative Commons Attribution license (reuse allowed)"
SEEN = Evidence(status="SEEN", where="tests")

needs_yt_dlp = pytest.mark.skipif(
    importlib.util.find_spec("yt_dlp") is None,
    reason="yt-dlp is not installed: pip install 'sr-datasets[youtube]'",
)
needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="the program ffmpeg is not installed"
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Teach yt-dlp the pages of the site; return their path."""
    folder = tmp_path / "plugins" / "yt_dlp_plugins" / "extractor"
    folder.mkdir(parents=True)
    (folder / "localsite.py").write_text(EXTRACTOR)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path / "plugins"), os.environ.get("PYTHONPATH", "")])
    )
    return "page?v={youtube_id}"


def id_for(record_id: str) -> str:
    """Return the id that our site gives a record."""
    return f"{record_id}-{record_id}-x"


def source_at(site: Site, name: str, watch: str = "watch?v={youtube_id}") -> Source:
    """Return the packaged source with all its addresses on our site."""
    source = catalog.find_source(name)
    addresses = {"watch": watch, "shard": "video/{part}/{name}", "id": "j/i/{head}/{id}.js"}
    return source.model_copy(
        update={
            "archives": tuple(
                RemoteFile(id=archive.id, mirrors=(site.url(archive.id),)) for archive in source.archives
            ),
            "addresses": {
                key: AddressPattern(mirrors=(site.url(addresses[key]),), evidence=SEEN)
                for key in source.addresses
            },
        }
    )


def offer_8m(site: Site, shards: dict[str, bytes]) -> None:
    """Offer a vocabulary, a plan, shards, and an id for every record."""
    head = (
        "Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,WikiDescription\n"
    )
    rows = "".join(f'{number},1,/m/{number:04x},Label {number},,,,,"a, b"\n' for number in range(3862))
    site.files["vocabulary.csv"] = (head + rows).encode()
    files = {name: hashlib.md5(data).hexdigest() for name, data in shards.items()}
    site.files["video_validate.json"] = json.dumps({"files": files}).encode()
    for name, data in shards.items():
        site.files[f"video/validate/{name}"] = data


def offer_ids(site: Site, record_ids: list[str]) -> None:
    for record_id in record_ids:
        site.files[f"j/i/{record_id[:2]}/{record_id}.js"] = (
            f'i("{record_id}","{id_for(record_id)}");'.encode()
        )


def split_sample(real_data: Path, num_shards: int) -> dict[str, bytes]:
    """Deal the real records to several shards, their bytes untouched."""
    data = (real_data / SAMPLE).read_bytes()
    records, place = [], 0
    while place < len(data):
        length = 16 + int.from_bytes(data[place : place + 8], "little")
        records.append(data[place : place + length])
        place += length
    return {
        f"validate{'aBcDeFgHiJkL'[number]}x.tfrecord": b"".join(records[number::num_shards])
        for number in range(num_shards)
    }


def labels_of(real_data: Path) -> dict[int, list[str]]:
    """Return the record ids of each label of the real sample."""
    found: dict[int, list[str]] = {}
    for payload in iter_records(real_data / SAMPLE):
        video = parse_example(payload)
        for label in video.labels:
            found.setdefault(label, []).append(video.record_id)
    return found


def every_label(real_data: Path) -> tuple[str, ...]:
    return tuple(f"Label {label}" for label in sorted(labels_of(real_data)))


def planes_of(store: Store, record: ClipRecord) -> list[Planes]:
    with open_clip(store.path_of(record), record.info) as reader:
        return [frame.planes for frame in reader.frames(range(record.info.num_frames))]


def assert_same_frames(found: list[Planes], expected: list[Planes]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for plane, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(plane, wanted)


def fetch(source: Source, wish: Wish, store: Store):
    return fetch_youtube(source, replace(wish, manners=POLITE), store, progress=Silent(), patience=QUICK)


def one(site: Site, piece: Piece, stem: Path, watch: str = "watch?v={youtube_id}", **how: object) -> Outcome:
    manners = replace(POLITE, **how.pop("manners", {}))  # type: ignore[arg-type]
    with Silent().bar("x", total=None, unit="bytes") as bar:
        return download(
            piece, site.url(watch), stem, height=how.get("height", 1), any_license=how.get("any_license", True),
            manners=manners, bar=bar,
        )  # fmt: skip


# ---- the whole way ---------------------------------------------------------------------------------------


@needs_yt_dlp
def test_the_real_shard_leads_through_resolver_and_yt_dlp_to_the_very_frames(
    real_data: Path, site: Site, store: Store, tmp_path: Path
):
    by_label = labels_of(real_data)
    label = max(by_label, key=lambda number: len(by_label[number]))
    frames = formula_clip(tmp_path / "v.mkv", num_frames=10, rate=Fraction(25))
    offer_8m(site, {"validatear.tfrecord": (real_data / SAMPLE).read_bytes()})
    for record_id in by_label[label][1:]:
        offer_ids(site, [record_id])
        site.video(id_for(record_id), tmp_path / "v.mkv")
    source = source_at(site, "youtube-8m")
    terms.accept(source, store)

    wish = Wish(labels=(f"label {label}",), limit=12, part="validation", height=48, any_license=True)
    report = fetch(source, wish, store)

    assert len(by_label[label]) > 1
    assert len(report.entries) == len(by_label[label])
    assert len(report.fetched) == len(by_label[label]) - 1
    assert (store.root / "youtube-8m" / ".annotations" / "validate0017.tfrecord").is_file()
    for record in report.fetched:
        assert_same_frames(planes_of(store, record), frames)
        assert record.license == "youtube-standard"
    (gone,) = [entry for entry in report.entries if entry.status != "ok"]
    assert (gone.record_id, gone.status, gone.youtube_id) == (by_label[label][0], "gone", "")
    assert all(entry.unauthenticated for entry in report.entries)
    assert "unauthenticated" in str(report)


@needs_yt_dlp
@needs_ffmpeg
def test_the_real_table_leads_through_download_ranges_to_the_frames_of_the_segment(
    real_data: Path, site: Site, store: Store, tmp_path: Path
):
    rows = (real_data / TABLE).read_bytes().split(b"\n", 1)[1]
    site.files["yt_bb_detection_validation.csv.gz"] = gzip.compress(rows)
    frames = formula_clip(tmp_path / "v.mkv", num_frames=250, rate=Fraction(5))
    site.video("QldpYjf-d_Y", tmp_path / "v.mkv")
    source = source_at(site, "youtube-bb")
    terms.accept(source, store)

    report = fetch(source, Wish(labels=("toilet",), part="validation", height=48, any_license=True), store)

    (record,) = report.fetched
    # The rows of this video begin at 29 s and end at 46 s.
    assert record.clip == Piece("QldpYjf-d_Y", 29_000, 46_000).clip_id
    assert_same_frames(planes_of(store, record), frames[29 * 5 : 46 * 5])
    (entry,) = report.entries
    assert (entry.start_ms, entry.end_ms, entry.labels) == (29_000, 46_000, "toilet")


@needs_yt_dlp
@needs_ffmpeg
def test_a_video_with_sound_comes_without_it_and_keeps_its_coded_pictures(site: Site, tmp_path: Path):
    source, loud = tmp_path / "v.mkv", tmp_path / "loud.mkv"
    formula_clip(source, num_frames=10, rate=Fraction(25))
    tone = ["-f", "lavfi", "-i", "sine=duration=0.4", "-c:v", "copy", "-c:a", "flac"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *tone, loud], check=True)
    site.video("AAAAAAAAAAA", loud)

    outcome = one(site, Piece("AAAAAAAAAAA"), tmp_path / "out" / "clip")

    assert outcome.path == tmp_path / "out" / "clip.mkv"
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", outcome.path]
    assert subprocess.run(probe, check=True, capture_output=True, text=True).stdout.split() == ["ffv1"]
    assert [path.name for path in outcome.path.parent.iterdir()] == ["clip.mkv"]


@needs_yt_dlp
def test_only_videos_that_claim_an_open_licence_come_unless_the_terms_are_accepted(
    real_data: Path, site: Site, store: Store, tmp_path: Path, pages: str
):
    formula_clip(tmp_path / "v.mkv", num_frames=4)
    offer_8m(site, {"validatear.tfrecord": (real_data / SAMPLE).read_bytes()})
    ids = [parse_example(payload).record_id for payload in iter_records(real_data / SAMPLE)]
    offer_ids(site, ids)
    who = {"uploader": "Ann", "uploader_url": "https://example.org/ann", "title": "A street"}
    site.video(id_for(ids[0]), tmp_path / "v.mkv", license=OPEN, **who)
    site.video(id_for(ids[1]), tmp_path / "v.mkv", license=None)
    site.page(id_for(ids[2]), error="Private video. Sign in if you've been granted access to this video")
    site.page(id_for(ids[3]), error="Video unavailable. This video has been removed by the uploader")
    site.page(id_for(ids[4]), error="The uploader has not made this video available in your country")
    small = {
        "format_id": "s",
        "url": "/x",
        "ext": "mp4",
        "vcodec": "h264",
        "acodec": "none",
        "width": 40,
        "height": 30,
    }
    site.page(id_for(ids[5]), license=OPEN, formats=[small])
    clips = tuple(Piece(id_for(record_id)).clip_id for record_id in ids[:6])
    source = source_at(site, "youtube-8m", watch=pages)

    report = fetch(source, Wish(clips=clips, height=48), store)

    assert [entry.status for entry in report.entries] == [
        "ok",
        "not-open",
        "private",
        "gone",
        "blocked",
        "too-small",
    ]
    (record,) = report.fetched
    assert record.license == "youtube-cc-by"
    assert (
        record.attribution
        == f'"A street" by Ann, {site.url(pages.format(youtube_id=id_for(ids[0])))} ({OPEN})'
    )
    (clip,) = catalog.imported_clips(store.records())["youtube-8m"]
    assert catalog.license_of(source, clip).attribution == "yes"
    assert site.times_asked(f"watch?v={id_for(ids[1])}") == 0

    with pytest.raises(TermsError, match="--accept-terms youtube-8m"):
        fetch(source, Wish(clips=clips, height=48, any_license=True), store)
    terms.accept(source, store)
    again = fetch(source, Wish(clips=clips, height=48, any_license=True), store)

    assert [entry.status for entry in again.entries] == [
        "ok",
        "ok",
        "private",
        "gone",
        "blocked",
        "too-small",
    ]
    assert [record.license for record in again.fetched] == ["youtube-standard"]
    # What was answered for good is not asked again; what was refused for its licence is.
    assert [site.times_asked(f"info/{id_for(record_id)}") for record_id in ids[:6]] == [1, 2, 1, 1, 1, 1]


@needs_yt_dlp
@pytest.mark.parametrize(
    "words",
    ["Sign in to confirm you're not a bot", "Unable to download: HTTP Error 429: Too Many Requests"],
)
def test_the_run_ends_where_the_site_asks_to_stop_and_goes_on_there_another_day(
    words: str, site: Site, store: Store, tmp_path: Path, pages: str
):
    formula_clip(tmp_path / "v.mkv", num_frames=4)
    ids = ["AAAAAAAAAAA", "BBBBBBBBBBB", "CCCCCCCCCCC"]
    site.video(ids[0], tmp_path / "v.mkv", license=OPEN)
    site.page(ids[1], error=words)
    site.video(ids[2], tmp_path / "v.mkv", license=OPEN)
    source = source_at(site, "youtube-8m", watch=pages)
    wish = Wish(clips=tuple(Piece(youtube_id).clip_id for youtube_id in ids), height=48)

    with pytest.raises(FetchError, match=r"asks us to stop: .*1 video came and is kept\. Wait some hours"):
        fetch(source, wish, store)
    assert [entry.youtube_id for entry in ledger_of(store.root, source.id).entries()] == ids[:1]
    assert site.times_asked(ids[2]) == 0

    site.video(ids[1], tmp_path / "v.mkv", license=OPEN)
    report = fetch(source, wish, store)

    assert (len(report.present), len(report.fetched)) == (1, 2)
    assert site.times_asked(f"info/{ids[0]}") == 1


@needs_yt_dlp
def test_many_failures_in_a_row_end_the_run_with_advice(site: Site, store: Store, pages: str):
    ids = [character * 11 for character in "ABCDEFG"]
    for youtube_id in ids:
        site.page(youtube_id, error="Requested format is not available")
    source = source_at(site, "youtube-8m", watch=pages)

    with pytest.raises(FetchError, match=r"5 videos failed one after another.*Update yt-dlp"):
        fetch(source, Wish(clips=tuple(Piece(youtube_id).clip_id for youtube_id in ids)), store)

    assert site.times_asked("info/") == 5


@needs_yt_dlp
def test_a_substitute_comes_for_a_video_that_is_gone_only_when_asked_for(
    real_data: Path, site: Site, store: Store, tmp_path: Path, pages: str
):
    formula_clip(tmp_path / "v.mkv", num_frames=4)
    offer_8m(site, {"validatear.tfrecord": (real_data / SAMPLE).read_bytes()})
    source = source_at(site, "youtube-8m", watch=pages)
    wish = Wish(labels=every_label(real_data), limit=2, seed=3, part="validation", height=48)
    order = [found.record_id for found in iter_candidates(source, wish, store, progress=Silent())]
    offer_ids(site, order[1:])
    for record_id in order[1:]:
        site.video(id_for(record_id), tmp_path / "v.mkv", license=OPEN)

    plain = fetch(source, wish, store)
    more = fetch(source, replace(wish, substitute=True), store)

    assert [entry.record_id for entry in plain.entries] == order[:2]
    assert [entry.status for entry in plain.entries] == ["gone", "ok"]
    assert [entry.record_id for entry in more.entries] == order[:3]
    assert len(more.present) + len(more.fetched) == 2
    assert site.times_asked(f"j/i/{order[0][:2]}/{order[0]}") == 1


# ---- the choice ------------------------------------------------------------------------------------------


def test_the_choice_is_the_same_in_every_store_and_a_smaller_limit_is_its_beginning(
    real_data: Path, site: Site, tmp_path: Path
):
    offer_8m(site, split_sample(real_data, 4))
    source = source_at(site, "youtube-8m")
    orders = [
        [
            found.record_id
            for found in iter_candidates(
                source,
                Wish(labels=labels, seed=seed, part="validation"),
                Store(tmp_path / name),
                progress=Silent(),
            )
        ]
        for name, seed, labels in [
            ("one", 1, every_label(real_data)),
            ("two", 1, tuple(reversed(every_label(real_data)))),
            ("three", 2, every_label(real_data)),
        ]
    ]

    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    assert len(set(orders[0])) == 12
    # Written down once, so that a change of the rule, which would change everybody's sets, is noticed.
    assert hashlib.sha256(" ".join(orders[0]).encode()).hexdigest()[:16] == "1e5cd55c0e1c5b18"


def test_no_more_shards_are_fetched_than_hold_what_is_asked_for(real_data: Path, site: Site, store: Store):
    offer_8m(site, split_sample(real_data, 4))
    source = source_at(site, "youtube-8m")
    candidates = iter_candidates(
        source, Wish(labels=every_label(real_data), part="validation"), store, progress=Silent()
    )

    asked = []
    for _ in candidates:
        asked.append(site.times_asked("video/validate/"))

    # Three records a shard: the next one is fetched when the fourth video is wanted.
    assert asked == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]


def test_a_shard_that_is_not_the_one_of_the_plan_is_refused(real_data: Path, site: Site, store: Store):
    shards = split_sample(real_data, 1)
    offer_8m(site, shards)
    (name,) = shards
    site.files[f"video/validate/{name}"] = shards[name] + b"x"

    with pytest.raises(FetchError, match="MD5"):
        list(
            iter_candidates(
                source_at(site, "youtube-8m"), Wish(labels=every_label(real_data), part="validation"), store,
                progress=Silent(), patience=QUICK,
            )
        )  # fmt: skip


def test_no_two_pieces_of_a_video_show_the_same_frames(site: Site, store: Store):
    rows = "".join(
        f"AAAAAAAAAAA,{second * 1000},7,cat,{number},present,0,1,0,1\n"
        for number, (start, end) in enumerate([(0, 19), (0, 19), (10, 29), (40, 59), (70, 70)])
        for second in range(start, end + 1)
    )
    site.files["yt_bb_detection_train.csv.gz"] = gzip.compress(rows.encode())
    source = source_at(site, "youtube-bb")

    pieces = [
        found.piece for found in iter_candidates(source, Wish(labels=("cat",)), store, progress=Silent())
    ]

    spans = sorted((piece.start_ms, piece.end_ms) for piece in pieces if piece)
    assert spans in ([(0, 19_000), (40_000, 59_000)], [(10_000, 29_000), (40_000, 59_000)])


def test_nothing_is_fetched_unless_it_is_said_what(site: Site, store: Store):
    with pytest.raises(SelectionError, match="--label NAME --limit N"):
        fetch(source_at(site, "youtube-8m"), Wish(), store)
    with pytest.raises(SelectionError, match="has no clip 'akiyo_cif'"):
        fetch(source_at(site, "youtube-8m"), Wish(clips=("akiyo_cif",)), store)
    assert site.asked == []


def test_an_address_pattern_with_other_parts_is_refused_before_anything_is_asked(site: Site, store: Store):
    source = source_at(site, "youtube-8m", watch="watch?v={id}")

    with pytest.raises(
        ManifestError, match=r"addresses\.watch: .* has the parts \['id'\], expected \['youtube_id'\]"
    ):
        fetch(source, Wish(clips=("yt-AAAAAAAAAAA.7ff",)), store)


def test_the_packaged_manifests_have_patterns_that_fit(store: Store):
    for name in ("youtube-8m", "youtube-bb"):
        source = catalog.find_source(name)
        assert source.access == "youtube"
        assert {"youtube-cc-by", "youtube-standard"} <= set(source.licenses)
        assert source.addresses["watch"].mirrors == ("https://www.youtube.com/watch?v={youtube_id}",)
        assert all(file.mirrors[0].startswith("https://") for file in source.archives)


# ---- the resolver ----------------------------------------------------------------------------------------


def resolver_at(*addresses: str) -> Resolver:
    return Resolver(addresses, timeout_seconds=60, retries=1, max_wait_seconds=0.5)


def test_a_record_leads_to_the_id_that_the_publisher_answers(site: Site):
    # The answer that is on record for this very id.
    site.files["j/i/02/02ab.js"] = b'i("02ab","tvvJFX90eh0");'

    with resolver_at(site.url("j/i/{head}/{id}.js")) as resolver:
        answer = resolver.resolve("02ab")

    assert answer.youtube_id == "tvvJFX90eh0"
    assert not answer.authenticated


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"not here"),
        (410, b""),
        (
            403,
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access denied.</Message></Error>",
        ),
        (200, b'i("02ab","");'),
    ],
)
def test_a_record_without_an_answer_is_gone(status: int, body: bytes, site: Site):
    site.hooks["02ab.js"] = lambda: (status, {}, body)

    with resolver_at(site.url("{id}.js")) as resolver:
        assert resolver.resolve("02ab").youtube_id is None


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b"<html>proxy: forbidden</html>", "answered 403"),
        (500, b"", "answered 500"),
        (302, b"", "answered 302"),
        (200, b"<html>captcha</html>", "expected a line such as"),
        (200, b'i("03ab","tvvJFX90eh0");', "answered for record '03ab'"),
        (200, b'i("02ab","../../etc/x");', "expected a line such as"),
        (200, b'i("02ab","short");', "expected 11 characters"),
        (200, b'i("02ab","tvvJFX90eh0");' + b" " * 100_000, "expected a line such as"),
        (200, b"", "expected a line such as"),
    ],
)
def test_an_answer_that_says_nothing_of_the_video_is_an_error_and_no_verdict(
    status: int, body: bytes, words: str, site: Site
):
    site.hooks["02ab.js"] = lambda: (status, {"Location": "http://127.0.0.1:9/"}, body)

    with resolver_at(site.url("{id}.js")) as resolver, pytest.raises(FetchError, match=words):
        resolver.resolve("02ab")


def test_the_next_address_is_asked_when_the_first_does_not_answer_and_busy_ones_get_time(site: Site):
    answers = [(503, {"Retry-After": "0"}, b""), (200, {}, b'i("02ab","tvvJFX90eh0");')]
    site.hooks["b/02ab.js"] = lambda: answers.pop(0)

    with resolver_at("http://127.0.0.1:9/{id}.js", site.url("b/{id}.js")) as resolver:
        assert resolver.resolve("02ab").youtube_id == "tvvJFX90eh0"
    assert answers == []
    with pytest.raises(ValueError, match="record_id"):
        resolver_at("http://x/").resolve("../x")


# ---- the process of yt-dlp -------------------------------------------------------------------------------


@needs_yt_dlp
def test_the_smallest_format_that_is_high_enough_is_chosen_without_sound(
    site: Site, tmp_path: Path, pages: str
):
    formula_clip(tmp_path / "v.mkv", num_frames=4)
    site.files["right"] = (tmp_path / "v.mkv").read_bytes()
    base = {"ext": "mkv", "vcodec": "h264", "acodec": "none", "url": "/wrong"}
    site.page(
        "AAAAAAAAAAA",
        license=OPEN,
        formats=[
            base | {"format_id": "small", "width": 640, "height": 480},
            base | {"format_id": "loud", "width": 1280, "height": 720, "acodec": "aac"},
            base | {"format_id": "sound", "vcodec": "none", "acodec": "aac"},
            base | {"format_id": "portrait-high", "width": 1080, "height": 1920},
            base | {"format_id": "portrait", "width": 720, "height": 1280, "url": "/right"},
            base | {"format_id": "wide-low", "width": 1280, "height": 536},
            base | {"format_id": "hdr", "width": 1280, "height": 720, "dynamic_range": "HDR10"},
        ],
    )

    outcome = one(site, Piece("AAAAAAAAAAA"), tmp_path / "out" / "c", pages, height=720, any_license=False)
    too_high = one(site, Piece("AAAAAAAAAAA"), tmp_path / "out" / "d", pages, height=2160, any_license=False)

    assert outcome.status == "ok"
    assert outcome.format_note.startswith("format portrait by yt-dlp 20")
    assert site.times_asked("wrong") == 0
    assert (too_high.status, too_high.reason) == (
        "too-small",
        "its largest format has 1080 rows, 2160 were asked for",
    )


@needs_yt_dlp
def test_a_download_that_broke_off_is_continued_by_the_next_try(site: Site, tmp_path: Path):
    formula_clip(tmp_path / "v.mkv", num_frames=40)
    site.video("AAAAAAAAAAA", tmp_path / "v.mkv")
    whole = site.files["watch?v=AAAAAAAAAAA"]
    part = tmp_path / "out" / "clip.mkv.part"
    part.parent.mkdir()
    part.write_bytes(whole[: len(whole) // 2])

    outcome = one(site, Piece("AAAAAAAAAAA"), tmp_path / "out" / "clip")

    assert outcome.status == "ok"
    assert outcome.path is not None
    assert not part.exists()


@needs_yt_dlp
def test_a_site_that_hangs_ends_after_the_time_for_one_video_and_leaves_no_process(
    site: Site, tmp_path: Path
):
    site.hooks["watch?v=AAAAAAAAAAA"] = site.hang
    start = time.monotonic()

    outcome = one(site, Piece("AAAAAAAAAAA"), tmp_path / "clip", manners={"video_seconds": 2})

    assert time.monotonic() - start < 55
    assert (outcome.status, outcome.reason) == ("failed", "it took longer than 2 s")


def test_the_process_ends_when_whoever_started_it_is_gone(tmp_path: Path):
    program = [sys.executable, "-m", "sr_datasets.fetch.youtube.worker"]
    root = Path(catalog.__file__).parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    with Site() as site:
        site.hooks["v"] = site.hang
        with subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        ) as process:  # fmt: skip
            fields = {
                "url": site.url("v"), "stem": str(tmp_path / "c"), "height": 1, "any_license": True, "start_ms": None,
                "end_ms": None, "cookies": None, "rate_limit": None, "socket_seconds": 30, "request_pause_seconds": 0,
            }  # fmt: skip
            assert process.stdin is not None
            process.stdin.write(json.dumps(fields).encode() + b"\n")
            process.stdin.flush()
            process.stdin.close()
            process.stdin = None
            assert process.wait(timeout=50) == -9


@needs_yt_dlp
def test_cookies_are_sent_only_when_given_and_their_file_stays_as_it_is(site: Site, tmp_path: Path):
    formula_clip(tmp_path / "v.mkv", num_frames=4)
    site.video("AAAAAAAAAAA", tmp_path / "v.mkv")
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t4000000000\tsid\tsecret\n")
    before = cookies.read_bytes()

    without = one(site, Piece("AAAAAAAAAAA"), tmp_path / "out" / "a")
    assert site.cookies == set()
    given = one(site, Piece("AAAAAAAAAAA"), tmp_path / "out" / "b", manners={"cookies": cookies})

    assert (without.status, given.status) == ("ok", "ok")
    assert site.cookies == {"sid=secret"}
    assert cookies.read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mkv", "b.mkv"]


def test_without_yt_dlp_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, site: Site, store: Store):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(SrDataError, match=r"pip install 'sr-datasets\[youtube\]'"):
        fetch(source_at(site, "youtube-8m"), Wish(labels=("Game",)), store)


# ---- the ledger ------------------------------------------------------------------------------------------

DAY = datetime.date(2026, 11, 20)


def entry(youtube_id: str, status: str = "ok", **more: object) -> Entry:
    return Entry(Piece(youtube_id).clip_id, "", youtube_id, status, DAY, **more)  # type: ignore[arg-type]


def test_the_ledger_is_plain_parquet_with_the_status_and_the_day_of_each_video(tmp_path: Path):
    ledger = Ledger(tmp_path / "s" / "availability.parquet")
    entries = [
        entry("BBBBBBBBBBB", "private", reason="p"),
        entry("AAAAAAAAAAA", title="T", start_ms=1, end_ms=2),
    ]

    ledger.put(entries[0])
    ledger.put(entries[1], Entry("", "02ab", "", "gone", DAY))
    ledger.put(replace(entries[0], status="gone"))

    table = pq.read_table(ledger.path).to_pandas()
    assert table[["clip", "record_id", "status"]].to_numpy().tolist() == [
        ["", "02ab", "gone"], [entries[1].clip, "", "ok"], [entries[0].clip, "", "gone"],
    ]  # fmt: skip
    assert set(table["checked"]) == {DAY}
    assert ledger.by_key()[entries[1].clip] == entries[1]
    assert ledger.counts() == {"gone": 2, "ok": 1}
    assert sorted(path.name for path in ledger.path.parent.iterdir()) == [
        ".availability.parquet.lock", "availability.parquet",
    ]  # fmt: skip


def test_a_forgotten_video_leaves_its_id_and_nothing_else_and_is_not_fetched_again(
    tmp_path: Path, site: Site, store: Store
):
    ledger = ledger_of(store.root, "youtube-8m")
    ledger.put(entry("AAAAAAAAAAA", title="Secret", uploader="Someone"), entry("BBBBBBBBBBB", title="Stays"))

    clips = ledger.forget("AAAAAAAAAAA", today=DAY)
    ledger.put(entry("AAAAAAAAAAA", title="Secret"))

    assert clips == [Piece("AAAAAAAAAAA").clip_id]
    assert b"Secret" not in ledger.path.read_bytes()
    assert ledger.forgotten() == {"AAAAAAAAAAA"}
    assert [each.title for each in ledger.entries()] == ["", "Stays"]
    if importlib.util.find_spec("yt_dlp"):
        report = fetch(source_at(site, "youtube-8m"), Wish(clips=tuple(clips)), store)
        assert [each.status for each in report.entries] == ["forgotten"]
        assert site.asked == []


@needs_yt_dlp
def test_forget_takes_a_video_out_of_store_and_ledger_and_keeps_it_out(
    site: Site, store: Store, tmp_path: Path, pages: str
):
    formula_clip(tmp_path / "v.mkv", num_frames=4)
    for youtube_id in ("AAAAAAAAAAA", "BBBBBBBBBBB"):
        site.video(youtube_id, tmp_path / "v.mkv", license=OPEN, title=f"Title {youtube_id}")
    source = source_at(site, "youtube-8m", watch=pages)
    wish = Wish(clips=(Piece("AAAAAAAAAAA").clip_id, Piece("BBBBBBBBBBB").clip_id), height=48)
    fetch(source, wish, store)

    report = forget(store, ["AAAAAAAAAAA"])
    again = fetch(source, wish, store)

    assert report.clips == (f"youtube-8m/{Piece('AAAAAAAAAAA').clip_id}",)
    assert [record.clip for record in store.records()] == [Piece("BBBBBBBBBBB").clip_id]
    assert [entry.status for entry in again.entries] == ["forgotten", "ok"]
    left = b"".join(path.read_bytes() for path in store.root.rglob("*") if path.is_file())
    assert b"Title AAAAAAAAAAA" not in left
    assert b"Title BBBBBBBBBBB" in left


def test_a_piece_that_is_forgotten_leaves_the_other_pieces_of_its_video(tmp_path: Path):
    ledger = Ledger(tmp_path / "availability.parquet")
    pieces = [Piece("AAAAAAAAAAA", start, start + 1000) for start in (0, 5000)]
    ledger.put(*(Entry(piece.clip_id, "", piece.youtube_id, "ok", DAY) for piece in pieces))

    ledger.drop(pieces[0].clip_id)

    assert [each.clip for each in ledger.entries()] == [pieces[1].clip_id]
    assert ledger.forgotten() == set()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"{}", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_damaged_ledger_is_named_and_not_overwritten(content: bytes, tmp_path: Path):
    path = tmp_path / "availability.parquet"
    path.write_bytes(content)

    with pytest.raises(FetchError, match=r"availability\.parquet"):
        Ledger(path).put(entry("AAAAAAAAAAA"))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([3_000_000], pa.date32()), "date value out of range"),
        (pa.array([None], pa.date32()), "column checked lacks 1 values"),
        (pa.array(["2026"]), "column checked holds string, expected date32"),
    ],
)
def test_a_ledger_of_other_values_is_named(column: pa.Array, message: str, tmp_path: Path):
    ledger = Ledger(tmp_path / "availability.parquet")
    ledger.put(entry("AAAAAAAAAAA"))
    table = pq.read_table(ledger.path)
    place = table.column_names.index("checked")
    pq.write_table(table.set_column(place, "checked", column), ledger.path)

    with pytest.raises(FetchError, match=rf"availability\.parquet: cannot be read as a ledger: {message}"):
        ledger.entries()


# ---- the command line ------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["fetch", *arguments])


def manifest_at(site: Site, name: str, watch: str, folder: Path) -> Path:
    """Write the packaged manifest with its hosts replaced by our site."""
    text = (Path(__file__).parents[1] / "manifests" / "sources" / f"{name}.yaml").read_text()
    text = re.sub(r"https://www\.youtube\.com/watch\?v=\{youtube_id\}", site.url(watch), text)
    text = re.sub(
        r"https?://[\w.]*(googleapis\.com/(us\.)?|/)?data\.yt8m\.org/2/download_plans/", site.url(""), text
    )
    text = re.sub(r"https?://[\w.]*(googleapis\.com/(us\.)?|/)?data\.yt8m\.org/2/", site.url(""), text)
    text = re.sub(
        r"https://research\.google\.com/(youtube8m/csv/2|youtube-bb)/(?=\w+\.(csv|gz))", site.url(""), text
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    assert "googleapis" not in path.read_text().partition("\narchives:")[2]
    return path


@needs_yt_dlp
def test_the_command_chooses_tells_fetches_and_goes_on(
    real_data: Path, site: Site, store: Store, tmp_path: Path, pages: str
):
    formula_clip(tmp_path / "v.mkv", num_frames=4)
    offer_8m(site, {"validatear.tfrecord": (real_data / SAMPLE).read_bytes()})
    by_label = labels_of(real_data)
    label = max(by_label, key=lambda number: len(by_label[number]))
    offer_ids(site, by_label[label])
    for number, record_id in enumerate(by_label[label]):
        site.video(id_for(record_id), tmp_path / "v.mkv", license=OPEN if number else None)
    manifest = manifest_at(site, "youtube-8m", pages, tmp_path / "m")
    common = [
        "youtube-8m", "--label", f"Label {label}", "--limit", "12", "--part", "validation", "--height", "48",
        "--manifest", str(manifest), "--store", str(store.root),
    ]  # fmt: skip

    dry = run(*common, "--dry-run")

    assert dry.exit_code == 0, dry.output
    assert (
        f"{len(by_label[label])} videos would be asked for, only those that claim a Creative Commons"
        in dry.stdout
    )
    assert "unauthenticated" in dry.stdout
    assert site.times_asked("info/") == site.times_asked("watch") == 0

    first = run(*common)
    assert first.exit_code == 0, first.output
    assert f"{len(by_label[label]) - 1} of {len(by_label[label])} videos are here" in first.stdout
    assert "1 claim no Creative Commons licence (--accept-terms" in first.stdout

    second = run(*common, "--accept-terms", "youtube-8m", "--json")
    assert second.exit_code == 0, second.output
    events = [json.loads(line) for line in second.stdout.splitlines()]
    assert events[-1]["event"] == "done"
    assert (events[-1]["fetched"], events[-1]["present"]) == (1, len(by_label[label]) - 1)
    assert [line.source for line in terms.acceptances(store)] == ["youtube-8m"]
    assert len(store.records("youtube-8m")) == len(by_label[label])


@needs_yt_dlp
def test_a_named_video_that_does_not_come_is_an_error(site: Site, store: Store, tmp_path: Path, pages: str):
    manifest = manifest_at(site, "youtube-8m", pages, tmp_path / "m")
    names = ["--manifest", str(manifest), "--store", str(store.root)]
    result = run("youtube-8m/yt-AAAAAAAAAAA.7ff", *names)
    assert result.exit_code == 1
    assert "1 of 1 videos did not come" in str(result.exception)
    assert "0 of 1 videos are here" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["youtube-8m"], "--label NAME --limit N"),
        (["youtube-8m", "xiph", "--label", "x"], "a command of its own"),
        (["xiph", "--label", "x"], "--label goes with YouTube's sources"),
        (["youtube-8m", "--label", "x", "--force"], "--recheck asks again"),
        (["youtube-bb", "--label", "cat", "--part", "test"], "no part of the annotations"),
        (["youtube-bb/yt-AAAAAAAAAAA.7ff", "--label", "cat"], "name the source alone"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_fetched(
    arguments: list[str], words: str, store: Store
):
    result = run(*arguments, "--store", str(store.root))

    assert result.exit_code != 0
    assert words in " ".join((result.output + str(result.exception)).split())
    assert not store.root.exists()


def test_the_tutorial_names_every_status_and_only_options_that_there_are():
    page = (Path(__file__).parents[1] / "docs" / "youtube.md").read_text()
    options = set(re.findall(r"--[a-z][a-z-]+", run("--help").stdout))

    assert all(f"`{status}`" in page for status in get_args(Status))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) <= options
