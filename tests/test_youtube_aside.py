"""Videos that came are looked into while the site is asked for the next one, with the same results in the same order."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from sr_datasets import catalog
from sr_datasets.errors import DecodeError, FetchError, SrDataError
from sr_datasets.fetch.youtube.download import Manners, Outcome
from sr_datasets.fetch.youtube.names import Piece
from sr_datasets.ingest import youtube
from sr_datasets.ingest.crew import Aside
from sr_datasets.ingest.youtube import Candidate, Wish, fetch_youtube
from sr_datasets.manifest import VideoInfo
from sr_datasets.progress import Silent
from sr_datasets.store import Store

LONG_SECONDS = 60  # so long a test waits for what must come
OPEN = "Creative Commons Attribution license (reuse allowed)"
IDS = [letter * 11 for letter in "ABCDEFGHIJKLMNOP"]
CLIPS = [Piece(youtube_id).clip_id for youtube_id in IDS]
Y4M = b"YUV4MPEG2 W48 H32 F25:1 Ip C420\n" + (b"FRAME\n" + bytes(48 * 32 * 3 // 2)) * 2


class StandIn:
    """In place of yt-dlp and of the look: says what was asked, and lets a test hold a look back."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.was_asked = {clip: threading.Event() for clip in CLIPS}
        self.answers: dict[str, Callable[[], Outcome]] = {}
        self.looks: dict[str, Callable[[], object]] = {}

    def download(self, piece: Piece, address: str, stem: Path, **how: object) -> Outcome:
        self.asked.append(piece.clip_id)
        self.was_asked[piece.clip_id].set()
        if answer := self.answers.get(piece.clip_id):
            return answer()
        path = stem.with_name(f"{stem.name}.y4m")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Y4M)
        return Outcome("ok", path, title="t", license_claimed=OPEN, url=address)

    def probe(self, path: Path, *, name: str) -> VideoInfo:
        clip = name.rpartition("/")[2]
        if look := self.looks.get(clip):
            look()
        return self.really_probe(path, name=name)

    really_probe = staticmethod(youtube.probe_safely)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    site = StandIn()
    monkeypatch.setattr(youtube, "require_yt_dlp", lambda: None)
    monkeypatch.setattr(youtube, "download", site.download)
    monkeypatch.setattr(youtube, "probe_safely", site.probe)
    return site


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def fetch(store: Store, wish: Wish, *, jobs: int = 4) -> youtube.YoutubeReport:
    return fetch_youtube(catalog.find_source("youtube-bb"), wish, store, progress=Silent(), jobs=jobs)


def wish(clips: list[str], **fields: object) -> Wish:
    return Wish(clips=tuple(clips), height=32, manners=Manners(pause_seconds=0), **fields)  # type: ignore[arg-type]


def wait_for(event: threading.Event) -> None:
    assert event.wait(LONG_SECONDS)


def fail(error: Exception) -> object:
    raise error


def failed() -> Outcome:
    return Outcome("failed", reason="HTTP Error 500")


def test_the_next_video_is_asked_for_while_the_first_ones_are_looked_into(site: StandIn, store: Store):
    site.looks[CLIPS[0]] = lambda: wait_for(site.was_asked[CLIPS[3]])

    report = fetch(store, wish(CLIPS[:4]))

    assert [record.clip for record in report.fetched] == CLIPS[:4]
    assert [entry.status for entry in report.entries] == ["ok"] * 4


def test_no_more_videos_than_jobs_are_looked_into_at_a_time(site: StandIn, store: Store):
    gate, now, most, lock = threading.Barrier(2), 0, 0, threading.Lock()

    def look() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        gate.wait(LONG_SECONDS)  # two at a time, or none goes on
        with lock:
            now -= 1
        gate.wait(LONG_SECONDS)

    site.looks = dict.fromkeys(CLIPS[:6], look)
    assert len(fetch(store, wish(CLIPS[:6]), jobs=2).fetched) == 6
    assert most == 2


def test_results_stand_in_the_order_of_the_choice_whichever_look_ends_first(site: StandIn, store: Store):
    over = threading.Event()
    site.looks[CLIPS[0]] = lambda: wait_for(over)
    site.looks[CLIPS[2]] = over.set
    site.answers[CLIPS[1]] = lambda: Outcome("gone", reason="it is gone")

    report = fetch(store, wish(CLIPS[:3]))

    assert [(entry.clip, entry.status) for entry in report.entries] == [
        (CLIPS[0], "ok"), (CLIPS[1], "gone"), (CLIPS[2], "ok"),
    ]  # fmt: skip
    assert [record.clip for record in report.fetched] == [CLIPS[0], CLIPS[2]]


def test_with_substitutes_no_video_is_asked_for_that_may_not_be_needed(
    site: StandIn, store: Store, monkeypatch: pytest.MonkeyPatch
):
    def candidates(*args: object, **how: object) -> Iterator[Candidate]:
        yield from (Candidate(piece=Piece(youtube_id)) for youtube_id in IDS)

    monkeypatch.setattr(youtube, "iter_candidates", candidates)
    site.looks[CLIPS[0]] = lambda: fail(DecodeError("no video"))
    site.answers[CLIPS[3]] = lambda: Outcome("gone", reason="it is gone")

    few = Wish(labels=("cat",), limit=3, height=32, substitute=True, manners=Manners(pause_seconds=0))
    report = fetch(store, few)

    assert site.asked == CLIPS[:5]
    assert [record.clip for record in report.fetched] == [CLIPS[1], CLIPS[2], CLIPS[4]]
    assert [entry.status for entry in report.entries] == ["failed", "ok", "ok", "gone", "ok"]


def test_what_came_before_the_site_asks_to_stop_is_looked_into_and_counted(site: StandIn, store: Store):
    stopping = threading.Event()

    def stop() -> Outcome:
        stopping.set()
        return Outcome("stop", reason="HTTP Error 429")

    site.looks[CLIPS[0]] = lambda: wait_for(stopping)
    site.answers[CLIPS[1]] = stop

    with pytest.raises(FetchError, match=r"asks us to stop: HTTP Error 429\. 1 video came and is kept"):
        fetch(store, wish(CLIPS[:3]))

    assert [record.clip for record in store.records()] == [CLIPS[0]]
    assert site.asked == CLIPS[:2]


def test_an_error_of_one_look_ends_the_run_and_the_others_are_kept(site: StandIn, store: Store):
    site.looks[CLIPS[0]] = lambda: wait_for(site.was_asked[CLIPS[1]])
    site.looks[CLIPS[1]] = lambda: fail(SrDataError("the disk is full"))
    site.answers[CLIPS[2]] = lambda: (wait_for(site.was_asked[CLIPS[1]]), Outcome("gone"))[1]

    with pytest.raises(SrDataError, match="the disk is full"):
        fetch(store, wish([*CLIPS[:2], *CLIPS[2:]]), jobs=1)

    assert CLIPS[0] in {record.clip for record in store.records()}
    assert CLIPS[1] not in {record.clip for record in store.records()}
    assert len(site.asked) < len(CLIPS)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full at .*Make room"),
        (
            errno.EDQUOT,
            "the quota of this account on the disk of .* is used up.*Delete what you no longer need",
        ),
    ],
)
def test_a_full_disk_of_yt_dlps_ends_the_run(site: StandIn, store: Store, number: int, words: str):
    reason = f"unable to write data: [Errno {number}] {os.strerror(number)}"
    site.answers[CLIPS[1]] = lambda: Outcome("failed", reason=reason)

    with pytest.raises(SrDataError, match=words):
        fetch(store, wish(CLIPS[:3]))

    assert [record.clip for record in store.records()] == [CLIPS[0]]
    assert site.asked == CLIPS[:2]


def test_five_failures_in_a_row_end_the_run_though_a_long_look_stands_before_them(
    site: StandIn, store: Store
):
    site.looks[CLIPS[0]] = lambda: wait_for(site.was_asked[CLIPS[5]])
    site.answers = dict.fromkeys(CLIPS[1:], failed)

    with pytest.raises(FetchError, match=r"5 videos failed one after another.*1 video came and is kept"):
        fetch(store, wish(CLIPS))

    assert site.asked == CLIPS[:6]


def test_failures_that_a_good_video_parts_end_nothing(site: StandIn, store: Store):
    site.answers = dict.fromkeys([*CLIPS[:4], *CLIPS[5:9]], failed)

    report = fetch(store, wish(CLIPS[:10]))

    assert [entry.status for entry in report.entries] == [*["failed"] * 4, "ok", *["failed"] * 4, "ok"]


def test_five_looks_that_fail_end_the_run_too(site: StandIn, store: Store):
    site.looks = dict.fromkeys(CLIPS, lambda: fail(DecodeError("no video")))

    with pytest.raises(FetchError, match="5 videos failed one after another, the last one: what came cannot"):
        fetch(store, wish(CLIPS), jobs=1)

    assert site.asked == CLIPS[:6]  # one more has come when the fifth is known
    assert store.records() == []


def test_two_records_of_one_video_bring_it_once(site: StandIn, store: Store, monkeypatch: pytest.MonkeyPatch):
    def candidates(*args: object, **how: object) -> Iterator[Candidate]:
        yield from (Candidate(piece=Piece(youtube_id)) for youtube_id in (IDS[0], IDS[0], IDS[1]))

    monkeypatch.setattr(youtube, "iter_candidates", candidates)
    report = fetch(store, Wish(labels=("cat",), limit=3, height=32, manners=Manners(pause_seconds=0)))

    assert site.asked == CLIPS[:2]
    assert [record.clip for record in report.fetched] == CLIPS[:2]
    assert [record.clip for record in report.present] == CLIPS[:1]


def test_a_ctrl_c_waits_for_no_long_look_and_loses_nothing_that_came(
    site: StandIn, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(youtube, "GRACE_SECONDS", 0.05)
    over = threading.Event()
    site.looks[CLIPS[0]] = lambda: wait_for(over)

    def interrupt() -> Outcome:
        raise KeyboardInterrupt

    site.answers[CLIPS[1]] = interrupt
    with pytest.raises(KeyboardInterrupt):
        fetch(store, wish(CLIPS[:2]))
    assert store.records() == []
    assert (store.incoming("youtube-bb") / f"{CLIPS[0]}.y4m").read_bytes() == Y4M

    over.set()
    del site.answers[CLIPS[1]]
    report = fetch(store, wish(CLIPS[:2]))
    assert {record.clip for record in (*report.fetched, *report.present)} == set(CLIPS[:2])


def test_work_aside_gives_its_result_or_its_error_and_begins_no_sooner_than_it_may():
    aside: Aside[int] = Aside(1)
    over = threading.Event()
    first = aside.begin(lambda: (wait_for(over), 1)[1])
    futures: list[Future[int]] = []
    waiting = threading.Thread(target=lambda: futures.append(aside.begin(lambda: 1 // 0)))
    waiting.start()
    assert not first.done()
    assert futures == []
    over.set()
    waiting.join(LONG_SECONDS)
    assert first.result(LONG_SECONDS) == 1
    with pytest.raises(ZeroDivisionError):
        futures[0].result(LONG_SECONDS)
