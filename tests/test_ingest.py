"""Clips come in from servers, archives, the generator and people's folders, and nothing wrong gets a record."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from servers import FaultServer

import sr_datasets
from sr_datasets import catalog
from sr_datasets.catalog import Selected
from sr_datasets.errors import (
    DecodeError,
    FetchError,
    HashMismatchError,
    SelectionError,
    SrDataError,
    StoreError,
)
from sr_datasets.fetch import generated
from sr_datasets.fetch.failures import Patience
from sr_datasets.ingest import FetchReport, ImportReport, fetch_clips, import_files, verify_store
from sr_datasets.ingest.matching import match_files
from sr_datasets.manifest import Source
from sr_datasets.progress import Silent
from sr_datasets.store import Store, digest_of

QUICK = Patience(retries=1, backoff_seconds=0.005, max_wait_seconds=0.5)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class Lines(Silent):
    """A progress that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def y4m(frames: int = 3, width: int = 16, height: int = 8, seed: int = 0) -> bytes:
    draws = np.random.default_rng(seed)
    body = b"".join(b"FRAME\n" + draws.bytes(width * height * 3 // 2) for _ in range(frames))
    return f"YUV4MPEG2 W{width} H{height} F30000:1001 Ip A1:1 C420jpeg\n".encode() + body


def source_of(
    *clips: dict[str, object], archives: list[dict[str, object]] | None = None, **more: object
) -> Source:
    fields = {
        "format": 1,
        "id": "xiph",
        "title": "A source",
        "description": "For tests.",
        "access": "download",
        "citation": {"text": "Nobody"},
        "licenses": {"none": {"name": "none stated"}},
        "license": "none",
        "archives": archives or [],
        "clips": clips,
    }
    return Source.model_validate(fields | more)


def fetch(
    source: Source, store: Store, *, force: bool = False, progress: Silent | None = None
) -> FetchReport:
    selection = [Selected(source, clip) for clip in source.clips]
    return fetch_clips(selection, store, progress=progress or Silent(), force=force, patience=QUICK)


def bring(source: Source, store: Store, *paths: Path, **options: bool) -> ImportReport:
    return import_files(source, paths, store, progress=Silent(), **options)


def final_files(store: Store) -> list[str]:
    """Return what lies under final names."""
    return sorted(
        path.relative_to(store.root).as_posix()
        for path in store.root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(store.root).parts)
    )


def left_over(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.glob("*/.incoming/*"))


# Fetching


def test_a_fetched_clip_is_recorded_with_its_probe_and_proof(store: Store):
    data = y4m()
    with FaultServer({"a.y4m": data}) as server:
        source = source_of(
            {"id": "a", "mirrors": [server.url("a.y4m")], "sha256": sha(data), "num_frames": 3}
        )
        report = fetch(source, store)
        again = fetch(source, store)

    record = store.get("xiph", "a")
    assert report.fetched == (record,)
    assert again == FetchReport((), (record,))
    assert len(server.asked) == 1
    assert (record.path, record.sha256, record.proof) == ("xiph/a.y4m", sha(data), "sha256")
    assert (record.origin, record.etag) == (server.url("a.y4m"), f'"{sha(data)[:12]}"')
    assert (record.info.width, record.info.height, record.info.num_frames) == (16, 8, 3)
    assert store.path_of(record).read_bytes() == data
    assert left_over(store) == []
    assert str(report) == "1 clip fetched (640 bytes), 0 in the store already"


def test_a_clip_that_fails_does_not_keep_the_others_from_coming(store: Store):
    data = y4m()
    with FaultServer({"a.y4m": data, "c.y4m": data}) as server:
        clips = [{"id": name, "mirrors": [server.url(f"{name}.y4m")]} for name in "abc"]
        with pytest.raises(FetchError, match=rf"^xiph/b: {server.url('b.y4m')} answered 404 Not Found"):
            fetch(source_of(*clips), store)
    assert final_files(store) == ["sr-data.lock", "xiph/a.y4m", "xiph/c.y4m"]
    assert [record.clip for record in store.records()] == ["a", "c"]


def test_several_failures_come_together(store: Store):
    with FaultServer({"c.y4m": y4m()}) as server:
        clips = [{"id": name, "mirrors": [server.url(f"{name}.y4m")]} for name in "abc"]
        with pytest.raises(FetchError) as caught:
            fetch(source_of(*clips, {"id": "d"}), store)
    text = str(caught.value)
    assert text.startswith("xiph/a, xiph/b, xiph/d could not be fetched; 1 of the 4 clips is in the store.\n")
    assert text.count("404 Not Found") == 2
    assert "xiph/d: no address of it is known. Get the file yourself" in text


def test_a_wrong_file_gets_no_record(store: Store):
    with FaultServer({"a.y4m": y4m(seed=1)}) as server:
        source = source_of({"id": "a", "mirrors": [server.url("a.y4m")], "sha256": sha(y4m())})
        with pytest.raises(HashMismatchError, match=rf"{sha(y4m(seed=1))}, the manifest says {sha(y4m())}"):
            fetch(source, store)
    assert store.records() == []
    assert final_files(store) == []


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        ({"width": 32}, r"has the width 16, the manifest says 32 \(SEEN here\)"),
        ({"height": 9}, r"has the height 8, the manifest says 9"),
        ({"num_frames": 4}, r"has the number of frames 3, the manifest says 4"),
    ],
)
def test_without_a_checksum_geometry_is_proof(store: Store, fact: dict[str, int], message: str):
    with FaultServer({"a.y4m": y4m()}) as server:
        clip = {
            "id": "a",
            "mirrors": [server.url("a.y4m")],
            "evidence": dict.fromkeys(fact, "SEEN here"),
            **fact,
        }
        with pytest.raises(FetchError, match=message):
            fetch(source_of(clip), store)
        guessed = {**clip, "evidence": dict.fromkeys(fact, "INFERRED somehow")}
        progress = Lines()
        fetch(source_of(guessed), store, progress=progress)
    assert any("taken as it is" in line for line in progress.lines)
    assert len(store.records()) == 1
    assert len(server.asked) == 2  # nothing of the file that was refused had been kept


def test_what_is_no_video_is_not_kept_when_nothing_proves_it(store: Store):
    cut = y4m()[:-20]
    with FaultServer({"a.y4m": cut}) as server:
        source = source_of({"id": "a", "mirrors": [server.url("a.y4m")]})
        with pytest.raises(DecodeError):
            fetch(source, store)
        assert (final_files(store), left_over(store)) == ([], [])
        server.files["a.y4m"] = y4m()
        fetch(source, store)
    assert store.get("xiph", "a").proof == "first-fetch"


@pytest.mark.parametrize("more", [{}, {"width": 16, "height": 8, "num_frames": 3}])
@pytest.mark.parametrize(
    "bad", [y4m()[:-20], y4m()[:60] + y4m()[63:], b"YUV4MPEG2 W16\n" + bytes(900), y4m(2)]
)
def test_a_broken_file_without_a_checksum_falls_through_to_the_next_mirror(
    store: Store, bad: bytes, more: dict[str, int]
):
    with FaultServer({"bad.y4m": bad, "a.y4m": y4m()}) as server:
        mirrors = [server.url("bad.y4m"), server.url("a.y4m")]
        evidence = dict.fromkeys(more, "SEEN here")
        source = source_of({"id": "a", "mirrors": mirrors, "evidence": evidence, **more})
        if bad == y4m(2) and not more:
            return  # nobody can tell
        progress = Lines()
        fetch(source, store, progress=progress)
    assert any(f"xiph/a: {mirrors[0]} gave a file that is broken" in line for line in progress.lines)
    assert store.path_of(store.get("xiph", "a")).read_bytes() == y4m()
    assert store.get("xiph", "a").origin == mirrors[1]
    assert left_over(store) == []


def test_when_every_mirror_gives_a_broken_file_each_is_named_and_nothing_is_kept(store: Store):
    with FaultServer({"a.y4m": y4m()[:-20], "b.y4m": y4m()[:-30]}) as server:
        mirrors = [server.url("a.y4m"), server.url("b.y4m")]
        with pytest.raises(FetchError, match=rf"(?s)xiph/a: {mirrors[0]} gave .*\nxiph/a: {mirrors[1]} gave"):
            fetch(source_of({"id": "a", "mirrors": mirrors}), store)
    assert left_over(store) == []


def stored_zip(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "Set.zip", "w") as archive:
        archive.writestr("film.y4m", y4m())
    return (folder / "Set.zip").read_bytes()


def zip_source(*mirrors: str, **more: object) -> Source:
    clip = {"id": "film", "archive": "Set.zip", "members": ["*.y4m"]}
    return source_of(clip, archives=[{"id": "Set.zip", "mirrors": list(mirrors), **more}])


def test_a_damaged_archive_falls_through_to_the_next_mirror_and_is_not_kept(store: Store, tmp_path: Path):
    good = stored_zip(tmp_path)
    bad = bytearray(good)
    bad[good.index(b"YUV4MPEG2") + 100] ^= 0xFF  # it is stored: only its CRC tells
    with FaultServer({"bad.zip": bytes(bad), "good.zip": good}) as server:
        bad_url, good_url = server.url("bad.zip"), server.url("good.zip")
        with pytest.raises(FetchError, match=rf"xiph/Set.zip: {bad_url} gave a file that is broken.*CRC"):
            fetch(zip_source(bad_url), store)
        assert left_over(store) == []
        fetch(zip_source(bad_url, good_url), store)
    assert [request.path for request in server.asked] == ["bad.zip", "bad.zip", "good.zip"]
    assert store.get("xiph", "film").origin == good_url
    assert left_over(store) == []


def test_a_damaged_archive_with_the_right_checksum_is_put_aside(store: Store, tmp_path: Path):
    bad = bytearray(stored_zip(tmp_path))
    bad[bad.index(b"YUV4MPEG2") + 100] ^= 0xFF
    with FaultServer({"s": bytes(bad)}) as server:
        source = zip_source(server.url("s"), sha256=sha(bytes(bad)))
        for force in (False, True):
            with pytest.raises(FetchError, match=r"has the checksum .* kept as .*Set.zip.rejected"):
                fetch(source, store, force=force)
            assert left_over(store) == ["Set.zip.rejected"]
    assert len(server.asked) == 2


def test_a_fetch_that_fails_leaves_no_lock_file(store: Store):
    with FaultServer({}) as server, pytest.raises(FetchError):
        fetch(source_of({"id": "a", "mirrors": [server.url("a.y4m")]}), store)
    assert left_over(store) == []


def test_a_lost_clip_is_fetched_again_and_must_be_the_one_that_came_first(store: Store):
    data = y4m()
    with FaultServer({"a.y4m": data}) as server:
        source = source_of({"id": "a", "mirrors": [server.url("a.y4m")]})
        first = fetch(source, store).fetched[0]
        path = store.path_of(first)

        path.unlink()
        assert fetch(source, store).fetched[0].sha256 == first.sha256
        assert store.get("xiph", "a").proof == "first-fetch"

        path.write_bytes(b"changed here")
        server.files["a.y4m"] = y4m(seed=1)
        with pytest.raises(
            HashMismatchError, match=r"sr-data.lock, as it was first brought in; --force accepts another"
        ):
            fetch(source, store)
        assert path.read_bytes() == b"changed here"

        accepted = fetch(source, store, force=True).fetched[0]
    assert accepted.sha256 == sha(y4m(seed=1))
    assert path.read_bytes() == y4m(seed=1)
    assert verify_store(store) == []


def test_a_copied_store_is_not_fetched_again(store: Store, tmp_path: Path):
    with FaultServer({"a.y4m": y4m()}) as server:
        source = source_of({"id": "a", "mirrors": [server.url("a.y4m")]})
        fetch(source, store)
        shutil.copytree(store.root, tmp_path / "copy", copy_function=shutil.copyfile)
        copied = Store(tmp_path / "copy")
        assert [problem.clip for problem in verify_store(copied)] == ["a"]
        assert len(fetch(source, copied).present) == 1
    assert len(server.asked) == 1
    assert verify_store(copied) == []


def test_a_file_without_a_record_is_taken_if_something_proves_it(store: Store):
    data = y4m()
    place = store.root / "xiph" / "a.y4m"
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    with FaultServer({"a.y4m": data}) as server:
        address = {"id": "a", "mirrors": [server.url("a.y4m")]}
        with pytest.raises(FetchError, match=r"a.y4m lies in the store without a record.*sr-data import"):
            fetch(source_of(address), store)
        assert place.read_bytes() == data
        fetch(source_of({**address, "sha256": sha(data)}), store)
    assert server.asked == []
    assert store.get("xiph", "a").sha256 == sha(data)


def test_a_kill_between_the_final_name_and_the_record_costs_no_second_download(store: Store, tmp_path: Path):
    with FaultServer({"a.y4m": y4m()}) as server:
        source = source_of({"id": "a", "mirrors": [server.url("a.y4m")]})
        die = "import os; Store.put = lambda *records: os.kill(os.getpid(), 9)"
        assert start_fetch(source, store, tmp_path, first=die).wait() == -signal.SIGKILL
        assert (store.records(), final_files(store)) == ([], ["xiph/a.y4m"])
        fetch(source, store)
    assert len(server.asked) == 1
    assert store.get("xiph", "a").proof == "first-fetch"
    assert left_over(store) == []


def test_a_kill_after_the_record_leaves_nothing_for_long(store: Store, tmp_path: Path):
    with FaultServer({"a.y4m": y4m()}) as server:
        source = source_of({"id": "a", "mirrors": [server.url("a.y4m")]})
        die = "import os; from sr_datasets.fetch import http; http.discard = lambda dest: os.kill(os.getpid(), 9)"
        assert start_fetch(source, store, tmp_path, first=die).wait() == -signal.SIGKILL
        assert left_over(store) != []
        assert len(fetch(source, store).present) == 1
    assert left_over(store) == []


def test_a_manual_source_explains_its_steps(store: Store):
    steps = "1. Make an account.\n2. Download.\n"
    source = source_of({"id": "a"}, {"id": "b"}, access="manual", how_to_get=steps)
    with pytest.raises(FetchError) as caught:
        fetch(source, store)
    text = str(caught.value)
    assert text.startswith(
        "xiph: its clips (a, b) are not fetched: a person brings them, then runs `sr-data import"
    )
    assert text.endswith("1. Make an account.\n2. Download.")


def test_clips_of_a_manual_source_that_are_here_are_present(store: Store, tmp_path: Path):
    source = source_of({"id": "a"}, access="manual", how_to_get="Ask.")
    (tmp_path / "A.y4m").write_bytes(y4m())
    bring(source, store, tmp_path / "A.y4m")
    assert [record.clip for record in fetch(source, store, force=True).present] == ["a"]


# Archives


def frames_zip(path: Path, frames: int = 3) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (frames, 6, 10, 3), dtype=np.uint8)
    with zipfile.ZipFile(path, "w") as archive:
        for clip in ("calendar", "city"):
            for index in range(frames):
                with archive.open(f"Set/{clip}/{index + 8}.png", "w") as member:
                    Image.fromarray(pixels[index]).save(member, format="PNG")
        archive.writestr("Set/film.y4m", y4m())
    return path.read_bytes()


def archive_source(url: str, data: bytes, **film: object) -> Source:
    frames = {"media": "frames", "archive": "Set.zip", "width": 10, "height": 6, "num_frames": 3}
    clips = [
        {"id": name, "members": [f"GT/{name}/*", f"Set/{name}/*.png"], **frames}
        for name in ("calendar", "city")
    ]
    whole = {"id": "film", "archive": "Set.zip", "members": ["Set/*.y4m"], **film}
    archives = [{"id": "Set.zip", "mirrors": [url], "sha256": sha(data), "size_bytes": len(data)}]
    return source_of(*clips, whole, archives=archives)


def test_clips_come_out_of_an_archive_that_is_fetched_once_and_then_deleted(store: Store, tmp_path: Path):
    data = frames_zip(tmp_path / "Set.zip")
    with FaultServer({"s": data}) as server:
        source = archive_source(server.url("s"), data)
        report = fetch(source, store)
        assert len(fetch(source, store).present) == 3

    assert [record.clip for record in report.fetched] == ["calendar", "city", "film"]
    assert len(server.asked) == 1
    assert left_over(store) == []
    calendar = store.get("xiph", "calendar")
    assert [file.path for file in calendar.files] == [f"xiph/calendar/{index}.png" for index in (8, 9, 10)]
    assert calendar.sha256 == digest_of(calendar.files, media="frames")
    assert (calendar.proof, calendar.origin, calendar.info.num_frames) == ("sha256", server.url("s"), 3)
    assert store.path_of(store.get("xiph", "film")).read_bytes() == y4m()


def test_an_archive_is_kept_until_every_clip_that_was_asked_of_it_is_recorded(store: Store, tmp_path: Path):
    data = frames_zip(tmp_path / "Set.zip")
    with FaultServer({"s": data}) as server:
        wrong = archive_source(server.url("s"), data, sha256=sha(b"other"))
        with pytest.raises(HashMismatchError, match=r"xiph/film in Set.zip: member film.y4m has SHA-256"):
            fetch(wrong, store)
        assert [record.clip for record in store.records()] == ["calendar", "city"]
        assert "Set.zip" in left_over(store)
        fetch(archive_source(server.url("s"), data), store)
    assert len(server.asked) == 1
    assert len(store.records()) == 3
    assert left_over(store) == []


def test_too_few_frames_in_an_archive_give_no_clip_and_do_not_keep_the_others_from_coming(
    store: Store, tmp_path: Path
):
    data = frames_zip(tmp_path / "Set.zip", frames=2)
    too_few = pytest.raises(FetchError, match=r"expected 3 member.*'Set/calendar/\*.png' fits 2")
    with FaultServer({"s": data}) as server, too_few:
        fetch(archive_source(server.url("s"), data), store)
    assert [record.clip for record in store.records()] == ["film"]
    assert [path for path in final_files(store) if "calendar" in path or "city" in path] == []


def test_an_archive_that_a_person_brings_is_checked_and_unpacked(store: Store, tmp_path: Path):
    data = frames_zip(tmp_path / "set.ZIP")
    source = archive_source("http://127.0.0.1:1/s", data)
    report = bring(source, store, tmp_path / "set.ZIP")
    assert [record.clip for record in report.imported] == ["calendar", "city", "film"]
    assert {record.proof for record in report.imported} == {"sha256"}
    assert (tmp_path / "set.ZIP").exists()
    (tmp_path / "set.ZIP").write_bytes(data[:-1])
    with pytest.raises(HashMismatchError, match=r"xiph/Set.zip: .*set.ZIP has SHA-256"):
        bring(source, Store(tmp_path / "other"), tmp_path / "set.ZIP")


# Generated


def demo_source(clip_id: str, sha256: str) -> Source:
    return source_of({"id": clip_id, "sha256": sha256}, id="demo", access="generated")


def test_a_generated_clip_must_have_the_manifest_s_hash(store: Store):
    clip, other = catalog.find_source("demo").clips[:2]
    assert clip.sha256 is not None
    report = fetch(demo_source(clip.id, clip.sha256), store)
    assert (report.fetched[0].proof, report.fetched[0].origin) == ("generated", "generated")
    assert report.fetched[0].info.num_frames == clip.num_frames

    with pytest.raises(
        HashMismatchError, match=rf"demo/{other.id}: the clip that was made here .* says {'0' * 64}"
    ):
        fetch(demo_source(other.id, "0" * 64), store)
    assert final_files(store) == [f"demo/{clip.id}.y4m", "sr-data.lock"]
    assert left_over(store) == []


def test_the_manifest_of_demo_lists_what_the_generator_makes():
    assert {clip.id for clip in catalog.find_source("demo").clips} == set(generated.CLIPS)


# Importing


def save_png(path: Path, width: int, height: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "Foo_Bar.y4m",
        "foo-bar.Y4M",
        "FOO_BAR_1920x1080_50fps_420_8bit.y4m",
        "foo_bar_original.y4m",
        "at.url.y4m",
    ],
)
def test_files_are_matched_by_name(store: Store, tmp_path: Path, name: str):
    source = source_of({"id": "foo_bar", "mirrors": ["https://example.org/x/at.url.y4m"]}, {"id": "other"})
    (tmp_path / name).write_bytes(y4m())
    report = bring(source, store, tmp_path / name)
    assert [record.clip for record in report.imported] == ["foo_bar"]
    assert store.path_of(report.imported[0]).name == "foo_bar.y4m"
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    "layout",
    [
        "calendar/{}.png",
        "GT/calendar/{}.png",
        "calendar/GT/{}.png",
        "Vid4/GT/Calendar/{}.png",
        "CALENDAR/hr/{}.png",
    ],
)
def test_a_folder_of_frames_is_found_beside_its_lr(store: Store, tmp_path: Path, layout: str):
    source = source_of({"id": "calendar", "media": "frames", "width": 12, "height": 8, "num_frames": 3})
    for index in (1, 2, 10):
        save_png(tmp_path / "in" / layout.format(index), 12, 8, index)
        save_png(tmp_path / "in" / "BIx4" / "calendar" / f"{index}.png", 3, 2, index)
        save_png(tmp_path / "in" / "sr" / "calendar" / f"{index}.png", 12, 8, index)
    wrong = "sr" if "GT" not in layout and "hr" not in layout else "none"
    shutil.rmtree(tmp_path / "in" / wrong, ignore_errors=True)

    report = bring(source, store, tmp_path / "in")
    record = report.imported[0]
    assert [file.path.rpartition("/")[2] for file in record.files] == ["1.png", "2.png", "10.png"]
    original = (tmp_path / "in" / layout.format(10)).read_bytes()
    assert (store.path_of(record) / "10.png").read_bytes() == original
    assert tmp_path / "in" / "BIx4" / "calendar" in report.unmatched


def test_two_equal_candidates_are_not_guessed_between(store: Store, tmp_path: Path):
    source = source_of({"id": "calendar", "media": "frames", "num_frames": 1})
    save_png(tmp_path / "one" / "calendar" / "1.png", 4, 4)
    save_png(tmp_path / "two" / "calendar" / "1.png", 4, 4)
    with pytest.raises(StoreError, match=r"2 candidates have its name: .*one/calendar, .*two/calendar"):
        bring(source, store, tmp_path)
    assert bring(source, store, tmp_path / "two").imported[0].clip == "calendar"


def test_a_clip_with_too_few_frames_needs_a_word_and_is_marked(store: Store, tmp_path: Path):
    source = source_of({"id": "calendar", "media": "frames", "num_frames": 4})
    for index in range(3):
        save_png(tmp_path / "calendar" / f"{index}.png", 4, 4, index)
    with pytest.raises(StoreError, match=r"holds 3 frames, the manifest says 4.*--allow-partial"):
        bring(source, store, tmp_path / "calendar")
    assert final_files(store) == []

    report = bring(source, store, tmp_path / "calendar", allow_partial=True)
    assert report.imported[0].partial_of == 4
    assert "xiph/calendar has 3 of its 4 frames" in str(report)

    save_png(tmp_path / "calendar" / "3.png", 4, 4, 3)
    whole = bring(source, store, tmp_path / "calendar").imported[0]
    assert (whole.partial_of, whole.info.num_frames) == (None, 4)
    save_png(tmp_path / "calendar" / "4.png", 4, 4, 4)
    with pytest.raises(StoreError, match=r"number of frames 5, the manifest says 4"):
        bring(source, store, tmp_path / "calendar", allow_partial=True)


def test_a_clip_that_is_partly_here_is_fetched_whole(store: Store, tmp_path: Path):
    data = frames_zip(tmp_path / "Set.zip")
    save_png(tmp_path / "calendar" / "8.png", 10, 6)
    with FaultServer({"s": data}) as server:
        source = archive_source(server.url("s"), data)
        bring(source, store, tmp_path / "calendar", allow_partial=True)
        assert len(fetch(source, store).fetched) == 3
    assert store.get("xiph", "calendar").partial_of is None


@pytest.mark.parametrize("facts", [{"sha256": "0" * 64}, {"md5": "0" * 32}, {"size_bytes": 5}])
def test_what_a_person_brings_is_held_against_the_manifest(
    store: Store, tmp_path: Path, facts: dict[str, object]
):
    (tmp_path / "a.y4m").write_bytes(y4m())
    with pytest.raises(HashMismatchError, match=r"xiph/a: .*a.y4m has .*, the manifest says (0000|5)"):
        bring(source_of({"id": "a", **facts}), store, tmp_path / "a.y4m")
    assert final_files(store) == []
    good = source_of({"id": "a", "md5": hashlib.md5(y4m()).hexdigest(), "size_bytes": len(y4m())})
    assert bring(good, store, tmp_path / "a.y4m").imported[0].proof == "md5"


def test_a_picture_is_known_by_its_samples_whatever_its_file_format(store: Store, tmp_path: Path):
    png = save_png(tmp_path / "t1.png", 9, 7)
    pixels = np.asarray(Image.open(png))
    Image.fromarray(pixels).save(tmp_path / "t1.bmp")
    clip = {"id": "t1", "media": "image", "pixels_sha256": sha(pixels.tobytes()), "sha256": sha(b"a bmp")}
    for name, root in (("t1.png", "one"), ("t1.bmp", "two")):
        report = bring(source_of(clip), Store(tmp_path / root), tmp_path / name)
        assert report.imported[0].proof == "pixels-sha256"
    save_png(tmp_path / "t1.png", 9, 7, seed=5)
    with pytest.raises(HashMismatchError, match=r"the manifest says"):
        bring(source_of(clip), store, tmp_path / "t1.png")


def test_a_clip_that_is_here_is_replaced_only_by_force(store: Store, tmp_path: Path):
    source = source_of({"id": "a"})
    (tmp_path / "a.y4m").write_bytes(y4m())
    bring(source, store, tmp_path / "a.y4m")
    assert len(bring(source, store, tmp_path / "a.y4m").present) == 1

    (tmp_path / "a.y4m").write_bytes(y4m(seed=1))
    with pytest.raises(StoreError, match=r"the store has it already with other bytes than .*--force"):
        bring(source, store, tmp_path / "a.y4m")
    assert (store.root / "xiph" / "a.y4m").read_bytes() == y4m()
    bring(source, store, tmp_path / "a.y4m", force=True)
    assert (store.root / "xiph" / "a.y4m").read_bytes() == y4m(seed=1)
    assert verify_store(store, full=True) == []


def test_a_clip_replaced_by_another_kind_of_file_leaves_no_orphan(store: Store, tmp_path: Path):
    source = source_of({"id": "a", "media": "image"})
    png = save_png(tmp_path / "a.png", 5, 5)
    bring(source, store, png)
    Image.open(png).save(tmp_path / "a.bmp")
    bring(source, store, tmp_path / "a.bmp", force=True)
    assert final_files(store) == ["sr-data.lock", "xiph/a.bmp"]


def test_files_may_be_moved_in_place_of_copied(store: Store, tmp_path: Path):
    source = source_of({"id": "a"}, {"id": "b", "media": "frames"})
    (tmp_path / "a.y4m").write_bytes(y4m())
    save_png(tmp_path / "b" / "1.png", 4, 4)
    (tmp_path / "b" / "notes.txt").write_text("mine")
    report = bring(source, store, tmp_path / "a.y4m", tmp_path / "b", copy=False)
    assert len(report.imported) == 2
    assert not (tmp_path / "a.y4m").exists()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["notes.txt"]


def test_a_file_that_lies_in_the_store_already_is_registered_where_it_is(store: Store):
    place = store.root / "xiph" / "a.y4m"
    place.parent.mkdir(parents=True)
    place.write_bytes(y4m())
    inode = place.stat().st_ino
    bring(source_of({"id": "a"}), store, place)
    assert place.stat().st_ino == inode
    assert verify_store(store, full=True) == []


def test_any_video_may_be_brought_to_an_open_source(store: Store, tmp_path: Path):
    source = source_of(id="cdvl", access="manual", how_to_get="Ask.", open_ended=True)
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "My clip (1).y4m").write_bytes(y4m())
    (folder / "sub" / "ntia_x-525.original.y4m").write_bytes(y4m(seed=1))
    (folder / "readme.txt").write_text("no video")
    report = bring(source, store, folder)
    assert [record.clip for record in report.imported] == ["My_clip_1_", "ntia_x-525.original"]
    assert report.unmatched == ()

    (folder / "a b.y4m").write_bytes(y4m(seed=2))
    (folder / "A (b.y4m").write_bytes(y4m(seed=2))
    with pytest.raises(
        StoreError, match=r"A \(b.y4m and .*a b.y4m would both be clip cdvl/|a b.y4m and .*A \(b.y4m"
    ):
        bring(source, store, folder)


def test_what_matches_nothing_says_what_was_found_and_expected(store: Store, tmp_path: Path):
    source = source_of({"id": "akiyo"}, {"id": "foreman"})
    (tmp_path / "in").mkdir()
    with pytest.raises(StoreError, match=r"found no video or picture, expected names such as akiyo, foreman"):
        bring(source, store, tmp_path / "in")
    (tmp_path / "in" / "holiday.y4m").write_bytes(y4m())
    with pytest.raises(StoreError, match=r"found holiday.y4m, expected names such as akiyo, foreman"):
        bring(source, store, tmp_path / "in")
    with pytest.raises(StoreError, match=r"there is no file or folder .*nowhere"):
        bring(source, store, tmp_path / "nowhere")
    assert final_files(store) == []


def test_a_damaged_file_is_refused_and_the_others_come(store: Store, tmp_path: Path):
    (tmp_path / "a.y4m").write_bytes(y4m()[:-7])
    (tmp_path / "b.y4m").write_bytes(y4m())
    with pytest.raises(DecodeError, match=r"a.y4m"):
        bring(source_of({"id": "a"}, {"id": "b"}), store, tmp_path / "a.y4m", tmp_path / "b.y4m")
    assert final_files(store) == ["sr-data.lock", "xiph/b.y4m"]
    assert left_over(store) == []


def test_a_full_disk_while_importing_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a.y4m").write_bytes(y4m())

    def no_space(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("sr_datasets.ingest.importing.sync_file", no_space)
    with pytest.raises(SrDataError, match=r"xiph/a: the disk is full at"):
        bring(source_of({"id": "a"}), store, tmp_path / "a.y4m")
    assert (final_files(store), left_over(store)) == ([], [])


def test_a_file_that_changes_while_it_is_copied_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a.y4m").write_bytes(y4m())

    def space_and_change(*_: object) -> None:
        (tmp_path / "a.y4m").write_bytes(y4m(seed=1))

    monkeypatch.setattr("sr_datasets.ingest.importing.require_space", space_and_change)
    with pytest.raises(StoreError, match=r"changed while it was imported"):
        bring(source_of({"id": "a"}), store, tmp_path / "a.y4m")
    assert (final_files(store), left_over(store)) == ([], [])


def test_a_store_that_may_not_be_written_is_one_sentence(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a.y4m").write_bytes(y4m())

    def refused(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("sr_datasets.store.locked", refused)
    with pytest.raises(
        SrDataError, match=r"xiph/a: permission denied at .*\.locks.*that you may write"
    ) as caught:
        bring(source_of({"id": "a"}), store, tmp_path / "a.y4m")
    assert "Make room" not in str(caught.value)


def test_when_nothing_came_an_import_says_so_and_else_what_came_is_told_first(store: Store, tmp_path: Path):
    source = source_of({"id": "a"}, {"id": "b"}, {"id": "c"})
    for name in "ab":
        (tmp_path / f"{name}.y4m").write_bytes(y4m()[:-7])
    progress = Lines()
    with pytest.raises(StoreError, match=r"could not be imported; none of the 2 clips are in the store"):
        import_files(source, [tmp_path], store, progress=progress)
    assert progress.lines == []
    (tmp_path / "c.y4m").write_bytes(y4m())
    with pytest.raises(StoreError, match=r"could not be imported; 1 of the 3 clips is in the store"):
        import_files(source, [tmp_path], store, progress=progress)
    assert progress.lines[0].startswith("1 clip imported (")


def test_a_folder_called_gt_goes_by_the_name_of_the_one_above(store: Store, tmp_path: Path):
    source = source_of(
        {"id": "calendar", "media": "frames", "num_frames": 2}, {"id": "city", "media": "frames"}
    )
    folder = tmp_path / "vid4" / "calendar" / "GT"
    for index in range(2):
        save_png(folder / f"{index}.png", 4, 4, index)
    assert [record.clip for record in bring(source, store, folder).imported] == ["calendar"]


def test_names_with_letters_that_no_id_has_stay_apart(store: Store, tmp_path: Path):
    source = source_of(id="cdvl", access="manual", open_ended=True, how_to_get="Ask.")
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(["\u6620\u753b", "\u97f3\u697d", "Stra\u00dfe", "x" * 150, "x" * 151]):
        (folder / f"{name}.y4m").write_bytes(y4m(seed=seed))
    clips = sorted(record.clip for record in bring(source, store, folder).imported)
    assert [clip[:5] for clip in clips] == ["Stra_", "clip-", "clip-", "xxxxx", "xxxxx"]
    assert len(set(clips)) == 5
    assert max(map(len, clips)) == 100
    assert len(bring(source, store, folder).present) == 5


# Verifying


def test_verify_names_what_is_wrong_and_how_to_repair_it(store: Store, tmp_path: Path):
    for name in "abc":
        (tmp_path / f"{name}.y4m").write_bytes(y4m())
    source = source_of({"id": "a"}, {"id": "b"}, {"id": "c"})
    bring(source, store, tmp_path)
    assert verify_store(store, ["xiph"]) == []
    (store.root / "xiph" / "a.y4m").unlink()
    (store.root / "xiph" / "b.y4m").write_bytes(b"cut")
    path, time_ns = store.root / "xiph" / "c.y4m", store.get("xiph", "c").files[0].mtime_ns
    path.write_bytes(y4m(seed=3))
    os.utime(path, ns=(time_ns, time_ns))

    quick = verify_store(store)
    assert [problem.clip for problem in quick] == ["a", "b"]
    assert str(quick[0]) == (
        f"xiph/a: {store.root}/xiph/a.y4m is missing. Bring it in again with: sr-data import xiph PATH"
    )
    assert [problem.clip for problem in verify_store(store, full=True)] == ["a", "b", "c"]
    assert [problem.clip for problem in verify_store(store, ["xiph/[bc]"], full=True)] == ["b", "c"]


@pytest.mark.parametrize("pattern", ["vid4", "xiph/z*", "xiph//a"])
def test_verify_refuses_what_is_not_in_the_store(store: Store, tmp_path: Path, pattern: str):
    (tmp_path / "a.y4m").write_bytes(y4m())
    bring(source_of({"id": "a"}), store, tmp_path)
    with pytest.raises(SelectionError, match=rf"'{pattern.replace('*', '.')}'"):
        verify_store(store, [pattern])


def test_three_hundred_files_are_looked_at_quickly(store: Store, tmp_path: Path):
    clips = [{"id": f"c{index}", "media": "image"} for index in range(300)]
    data = save_png(tmp_path / "one.png", 4, 4).read_bytes()
    (tmp_path / "in").mkdir()
    for clip in clips:
        (tmp_path / "in" / f"{clip['id']}.png").write_bytes(data)
    bring(source_of(*clips), store, tmp_path / "in")
    start = time.process_time()
    assert verify_store(Store(store.root)) == []
    assert time.process_time() - start < 1


# Several processes, and kills

FETCH_SCRIPT = """
import sys
from pathlib import Path
from sr_datasets.catalog import Selected
from sr_datasets.ingest import fetch_clips
from sr_datasets.manifest import Source
from sr_datasets.progress import Silent
from sr_datasets.store import Store

exec(sys.argv[3])
source = Source.model_validate_json(Path(sys.argv[1]).read_bytes())
fetch_clips([Selected(source, clip) for clip in source.clips], Store(Path(sys.argv[2])), progress=Silent())
"""


def start_fetch(source: Source, store: Store, tmp_path: Path, first: str = "") -> "subprocess.Popen[bytes]":
    (tmp_path / "source.json").write_text(source.model_dump_json())
    command = [sys.executable, "-c", FETCH_SCRIPT, str(tmp_path / "source.json"), str(store.root), first]
    package = str(Path(sr_datasets.__file__).parents[1])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": package})


def test_two_processes_that_fetch_a_source_at_once_ask_for_each_file_once(store: Store, tmp_path: Path):
    archive = frames_zip(tmp_path / "Set.zip")
    with FaultServer(
        {f"{name}.y4m": y4m(400) for name in "abc"} | {"s": archive}, delay_seconds=0.02
    ) as server:
        clips = [{"id": name, "mirrors": [server.url(f"{name}.y4m")]} for name in "abc"]
        in_archive = archive_source(server.url("s"), archive)
        both = in_archive.model_copy(update={"clips": (*source_of(*clips).clips, *in_archive.clips)})
        processes = [start_fetch(both, store, tmp_path) for _ in range(2)]
        assert [process.wait() for process in processes] == [0, 0]
    assert sorted(request.path for request in server.asked) == ["a.y4m", "b.y4m", "c.y4m", "s"]
    assert verify_store(store, full=True) == []
    assert len(store.records()) == 6


def test_a_fetch_that_is_killed_again_and_again_ends_whole(store: Store, tmp_path: Path):
    files = {f"{name}.y4m": y4m(6000, seed=index) for index, name in enumerate("abcd")}
    archive = frames_zip(tmp_path / "Set.zip")
    with FaultServer(files | {"s": archive}, delay_seconds=0.005) as server:
        clips = [{"id": name[0], "mirrors": [server.url(name)]} for name in files]
        in_archive = archive_source(server.url("s"), archive)
        source = in_archive.model_copy(update={"clips": (*source_of(*clips).clips, *in_archive.clips)})
        for goal in (100_000, 900_000, 2_000_000, 3_500_000):
            process = start_fetch(source, store, tmp_path)
            while process.poll() is None and server.body_bytes() < goal:
                time.sleep(0.001)
            process.kill()
            process.wait()
            for record in Store(store.root).records():
                assert store.problems(record, full=True) == []
        server.delay_seconds = 0
        assert start_fetch(source, store, tmp_path).wait() == 0
    assert {record.clip: record.sha256 for record in store.records() if record.clip in "abcd"} == {
        name[0]: sha(data) for name, data in files.items()
    }
    assert verify_store(store, full=True) == []
    assert left_over(store) == []


# Real material


def test_set5_comes_from_its_folder_and_from_the_folder_above(store: Store, tmp_path: Path, real_data: Path):
    source = catalog.find_source("set5")
    report = bring(source, store, real_data / "set5" / "GT")
    assert [record.clip for record in report.imported] == ["baby", "bird", "butterfly", "head", "woman"]
    beside = bring(source, Store(tmp_path / "other"), real_data / "set5")
    assert [record.sha256 for record in beside.imported] == [record.sha256 for record in report.imported]
    assert real_data / "set5" / "LR_matlab" / "x2" in beside.unmatched
    with pytest.raises(StoreError, match=r"baby.png is 256x256, the manifest says 512x512"):
        bring(source, Store(tmp_path / "third"), real_data / "set5" / "LR_matlab" / "x2")


def test_t91_comes_from_its_folder_and_every_picture_is_proven(store: Store, real_data: Path):
    report = bring(catalog.find_source("t91"), store, real_data / "t91")
    assert len(report.imported) == 91
    assert {record.proof for record in report.imported} == {"pixels-sha256"}
    assert report.unmatched == ()
    assert verify_store(store, ["t91"], full=True) == []


def test_the_first_frames_of_calendar_come_when_that_is_said(store: Store, real_data: Path):
    source = catalog.find_source("vid4")
    folder = real_data / "vid4" / "calendar"
    with pytest.raises(StoreError, match=r"holds 16 frames, the manifest says 41"):
        bring(source, store, folder)
    report = bring(source, store, folder, allow_partial=True)
    record = report.imported[0]
    assert (record.clip, record.info.num_frames, record.partial_of, record.proof) == (
        "calendar",
        16,
        41,
        "imported",
    )
    names = [file.path for file in record.files]
    assert names == [f"vid4/calendar/{index:03d}.png" for index in range(1, 17)]
    assert {path.name for path in report.unmatched} == {"LR_BIx4_uint8", "LR_BIx4_double", "LR_BDx4"}


def test_real_videos_come_to_an_open_source_and_the_damaged_one_does_not(store: Store, real_data: Path):
    source = catalog.find_source("cdvl")
    with pytest.raises(DecodeError, match=r"corrupted.mp4"):
        bring(source, store, real_data / "video")
    names = {record.clip for record in store.records()}
    assert len(names) == 13
    assert "corrupted" not in names
    assert verify_store(store, full=True) == []


def test_every_clip_of_the_catalog_is_known_by_its_own_file_name(tmp_path: Path):
    for source in catalog.sources():
        endings = {"video": ".y4m", "raw": ".yuv", "image": ".png"}
        clips = [clip for clip in source.clips if clip.media in endings]
        folder = tmp_path / source.id
        folder.mkdir()
        for clip in clips:
            (folder / f"{clip.id}{endings[clip.media]}").write_bytes(b"?")
        found = match_files(source, [folder])
        assert [match.clip.id for match in found.clips] == [clip.id for clip in clips]
        assert (found.problems, found.unmatched) == ([], [])
