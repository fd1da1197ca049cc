"""Whole fetches: several files at a time, under faults, kills and Ctrl-C, held to a lock file, planned and repaired."""

import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import servers
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import FaultServer

import sr_datasets
from sr_datasets import terms
from sr_datasets.catalog import Selected, added_manifests
from sr_datasets.cli.console import JsonProgress
from sr_datasets.errors import FetchError, HashMismatchError, SrDataError, StoreError, TermsError
from sr_datasets.fetch.failures import Patience
from sr_datasets.files import human_bytes
from sr_datasets.ingest import (
    FetchReport,
    fetch_clips,
    fetching,
    import_files,
    plan_fetch,
    repair_store,
    verify_store,
)
from sr_datasets.ingest.crew import run_all
from sr_datasets.manifest import Source
from sr_datasets.progress import Silent
from sr_datasets.store import LOCK_NAME, Store, read_lock

QUICK = Patience(retries=1, backoff_seconds=0.005, max_wait_seconds=0.5)
PACKAGE = str(Path(sr_datasets.__file__).parents[1])


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def y4m(frames: int = 3, seed: int = 0) -> bytes:
    draws = random.Random(seed)
    return b"YUV4MPEG2 W16 H8 F25:1 Ip A1:1 C420jpeg\n" + b"".join(
        b"FRAME\n" + draws.randbytes(192) for _ in range(frames)
    )


def source_of(*clips: dict[str, object], **more: object) -> Source:
    fields = {
        "format": 1,
        "id": "lab",
        "title": "A lab",
        "description": "For tests.",
        "access": "download",
        "citation": {"text": "Nobody"},
        "licenses": {"nd": {"name": "CC BY-NC-ND 4.0", "redistribute_derived": "no", "commercial": "no"}},
        "license": "nd",
        "clips": clips,
    }
    return Source.model_validate(fields | more)


def clip_of(server: FaultServer, name: str, **more: object) -> dict[str, object]:
    return {"id": name.partition(".")[0], "mirrors": [server.url(name)], **more}


def fetch(source: Source, store: Store, **options: object) -> FetchReport:
    selection = [Selected(source, clip) for clip in source.clips]
    return fetch_clips(selection, store, **{"progress": Silent(), "patience": QUICK, **options})  # type: ignore[arg-type]


def final_files(store: Store) -> dict[str, bytes]:
    return {
        path.relative_to(store.root).as_posix(): path.read_bytes()
        for path in store.root.glob("*/*")
        if path.is_file() and not path.parent.name.startswith(".")
    }


# Several at a time


def test_files_come_several_at_a_time_and_are_reported_in_their_order(store: Store):
    files = {f"c{number}.y4m": y4m(800, number) for number in range(8)}
    with FaultServer(files, delay_seconds=0.02, together=4) as server:
        report = fetch(source_of(*(clip_of(server, name) for name in files)), store, jobs=6)
    assert server.most_at_once == 4
    assert [record.clip for record in report.fetched] == [f"c{number}" for number in range(8)]
    assert final_files(store) == {f"lab/{name}": data for name, data in files.items()}
    assert verify_store(store, full=True) == []


def test_one_job_fetches_one_file_after_the_other(store: Store):
    files = {f"c{number}.y4m": y4m(100, number) for number in range(4)}
    with FaultServer(files) as server:
        fetch(source_of(*(clip_of(server, name) for name in files)), store, jobs=1)
    assert server.most_at_once == 1
    assert [request.path for request in server.asked] == list(files)


def test_a_full_disk_ends_the_fetch_of_all_files(store: Store, monkeypatch: pytest.MonkeyPatch):
    files = {f"c{number}.y4m": y4m(100, number) for number in range(30)}
    usage = shutil.disk_usage("/")._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    no_room = pytest.raises(SrDataError, match=r"only 100 bytes free")
    with FaultServer(files, delay_seconds=0.02) as server, no_room:
        fetch(source_of(*(clip_of(server, name) for name in files)), store, jobs=2)
    assert len(server.asked) < 30


def test_a_fetch_whose_files_are_removed_meanwhile_says_so_and_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    whole = fetching.settle

    def beside_forget(*arguments: object, **options: object) -> object:
        shutil.rmtree(store.root / "lab")  # as `sr-data forget` removes a source
        return whole(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fetching, "settle", beside_forget)
    removed = pytest.raises(
        SrDataError, match=r"lab/c0: what had come of it was removed meanwhile \(.*sr-data forget"
    )
    with FaultServer({"c0.y4m": y4m(), "c1.y4m": y4m(3, 1)}) as server, removed:
        fetch(source_of(clip_of(server, "c0.y4m"), clip_of(server, "c1.y4m")), store, jobs=1)
    assert [request.path for request in server.asked] == ["c0.y4m"]
    assert store.records() == []


def test_room_for_all_files_is_looked_for_before_the_first_one(store: Store, monkeypatch: pytest.MonkeyPatch):
    files = {f"c{number}.y4m": y4m(100, number) for number in range(3)}
    size = len(files["c0.y4m"])
    with FaultServer(files) as server:
        source = source_of(*(clip_of(server, name, size_bytes=size) for name in files))
        fetch(source_of(clip_of(server, "c0.y4m", size_bytes=size)), store)
        part = store.incoming("lab") / "c1.y4m.part"
        part.write_bytes(bytes(size // 2))
        needed = size + size - size // 2
        usage = shutil.disk_usage("/")._replace(free=needed - 1)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        wanted = rf"fetching 3 clips needs {human_bytes(needed)}, .* only {human_bytes(needed - 1)} free"
        with pytest.raises(SrDataError, match=wanted):
            fetch(source, store)
        plan = plan_fetch([Selected(source, clip) for clip in source.clips], store)
        assert plan.missing_bytes == needed
        assert f"that is not enough for the {human_bytes(needed)} that are still to come" in plan.summary()
    assert [request.path for request in server.asked] == ["c0.y4m"]


def test_the_first_error_of_a_crew_is_raised_and_no_further_work_is_begun():
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_all([lambda number=number: work(number) for number in range(100)], jobs=1, stop=lambda: None)  # type: ignore[misc]
    assert begun == [0, 1, 2, 3]


def test_events_tell_of_every_file_and_of_all_bytes(store: Store):
    files = {f"c{number}.y4m": y4m(200, number) for number in range(3)}
    out = io.StringIO()
    with FaultServer(files) as server:
        clips = [clip_of(server, name, size_bytes=len(data)) for name, data in files.items()]
        clips[1].pop("size_bytes")
        source = source_of(*clips, clip_of(server, "missing.y4m", size_bytes=5))
        with pytest.raises(FetchError):
            fetch(source, store, progress=JsonProgress(out))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    total = sum(map(len, files.values()))
    assert (events[0]["event"], events[0]["label"]) == ("start", "all files")
    assert events[0]["total"] == total - len(files["c1.y4m"]) + 5
    ends = {event["label"]: event for event in events if event["event"] == "end"}
    assert (ends["all files"]["done"], ends["all files"]["total"]) == (total, total)
    assert {f"lab/c{number}" for number in range(3)} < set(ends)
    here = [event for event in events if event["event"] == "clip"]
    assert {(event["id"], event["state"]) for event in here} == {(f"lab/c{n}", "fetched") for n in range(3)}
    assert next(event for event in events if event["event"] == "failed")["id"] == "lab/missing"


FAULTS = {
    "200": servers.ignoring_range(),
    "shifted": servers.shifted(-7),
    "other-etag": servers.partial_of_other_etag(),
    "truncated": servers.truncated(65_000),
    "truncated-at-once": servers.truncated(0),
    "stalled": servers.stalled(9_000),
    "416": servers.status(416),
    "404": servers.status(404),
    "429": servers.status(429, {"Retry-After": "0"}),
    "500": servers.status(500),
    "page": servers.page("No"),
    "other": servers.other_bytes(y4m(30, 99)),
    "chunks": servers.chunked(),
    "cut-chunks": servers.chunked(cut_at=50_000, ended=False),
    "short-chunks": servers.chunked(cut_at=50_000),
    "good": servers.good(),
}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    faults=st.lists(st.lists(st.sampled_from(sorted(FAULTS)), max_size=4), min_size=5, max_size=5),
    jobs=st.integers(1, 5),
)
def test_under_any_faults_only_right_files_get_their_names(
    tmp_path_factory: pytest.TempPathFactory, faults: list[list[str]], jobs: int
):
    store = Store(tmp_path_factory.mktemp("run"))
    files = {f"c{number}.y4m": y4m(500, number) for number in range(5)}
    patience = Patience(stall_seconds=0.1, retries=1, backoff_seconds=0, max_wait_seconds=0.1)
    with FaultServer(files) as server:
        server.faults = {
            name: [FAULTS[fault] for fault in names] for name, names in zip(files, faults, strict=True)
        }
        source = source_of(*(clip_of(server, name, sha256=sha(data)) for name, data in files.items()))
        with contextlib.suppress(SrDataError):
            fetch(source, store, jobs=jobs, patience=patience)
        assert {f"lab/{name}": data for name, data in files.items()}.items() >= final_files(store).items()
        assert verify_store(store, full=True) == []
        server.faults = {}
        fetch(source, store, jobs=jobs)
    assert final_files(store) == {f"lab/{name}": data for name, data in files.items()}
    shutil.rmtree(store.root)


# Packed files and archives without a checksum


@pytest.mark.parametrize("ending", ["xz", "gz"])
def test_a_film_that_is_only_compressed_comes_out_of_its_packing(store: Store, ending: str):
    data = y4m(40)
    packed = lzma.compress(data) if ending == "xz" else gzip.compress(data)
    with FaultServer({f"film.y4m.{ending}": packed}) as server:
        remote = {
            "id": f"film.y4m.{ending}",
            "mirrors": [server.url(f"film.y4m.{ending}")],
            "sha256": sha(packed),
        }
        clip = {"id": "film", "archive": remote["id"], "members": ["film.y4m"]}
        report = fetch(source_of(clip, archives=[remote]), store)
    assert final_files(store) == {"lab/film.y4m": data}
    archive = report.fetched[0].archive
    assert archive is not None
    assert (archive.size_bytes, archive.sha256) == (len(packed), sha(packed))
    assert list((store.root / "lab" / ".incoming").iterdir()) == []


def tar_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{name}.y4m")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_an_archive_without_a_checksum_must_stay_what_it_was_when_it_came_first(store: Store):
    first, other = tar_of(a=y4m(), b=y4m(seed=1)), tar_of(a=y4m(seed=2), b=y4m(seed=1))
    with FaultServer({"s.tar": first}) as server:
        archives = [{"id": "s.tar", "mirrors": [server.url("s.tar")]}]
        a, b = ({"id": name, "archive": "s.tar", "members": [f"{name}.y4m"]} for name in "ab")
        assert fetch(source_of(a, archives=archives), store).fetched[0].proof == "first-fetch"
        server.files["s.tar"] = other
        with pytest.raises(HashMismatchError, match=r"sr-data.lock, as it was first brought in"):
            fetch(source_of(a, b, archives=archives), store)
        assert final_files(store) == {"lab/a.y4m": y4m()}
        fetch(source_of(a, b, archives=archives), store, force=True)
    assert final_files(store) == {"lab/a.y4m": y4m(seed=2), "lab/b.y4m": y4m(seed=1)}


# The lock file


def test_a_lock_file_makes_another_store_take_the_same_bytes_and_no_others(store: Store, tmp_path: Path):
    data = y4m()
    with FaultServer({"a.y4m": data}) as server:
        source = source_of(clip_of(server, "a.y4m"))
        fetch(source, store)
        record = store.get("lab", "a")
        assert (record.origin, record.size_bytes) == (server.url("a.y4m"), len(data))
        assert record.etag == f'"{sha(data)[:12]}"'
        shared = shutil.copyfile(store.root / LOCK_NAME, tmp_path / "shared.lock")

        other = Store(tmp_path / "other")
        server.files["a.y4m"] = y4m(seed=1)
        changed = pytest.raises(HashMismatchError, match=rf"{sha(data)} \(SEEN sr-data.lock")
        with changed:
            fetch(source, other, locked=read_lock(shared))
        assert final_files(other) == {}

        server.files["a.y4m"] = data
        fetch(source, other, locked=read_lock(shared))
        assert final_files(other) == {"lab/a.y4m": data}
        assert other.get("lab", "a").proof == "first-fetch"


def test_what_a_lock_file_does_not_name_is_not_fetched(store: Store):
    refused = pytest.raises(FetchError, match=r"^lab/a: not in the lock file")
    with FaultServer({"a.y4m": y4m()}) as server, refused:
        fetch(source_of(clip_of(server, "a.y4m")), store, locked={})
    assert server.asked == []


def test_a_lock_file_finds_a_clip_whose_address_the_manifest_lost(store: Store, tmp_path: Path):
    with FaultServer({"a.y4m": y4m()}) as server:
        fetch(source_of(clip_of(server, "a.y4m")), store)
        other = Store(tmp_path / "other")
        fetch(source_of({"id": "a"}), other, locked=read_lock(store.root / LOCK_NAME))
    assert other.get("lab", "a").sha256 == sha(y4m())


def test_other_bytes_in_the_store_and_another_manifest_are_not_what_a_lock_file_says(
    store: Store, tmp_path: Path
):
    with FaultServer({"a.y4m": y4m()}) as server:
        fetch(source_of(clip_of(server, "a.y4m")), store)
        locked = read_lock(store.root / LOCK_NAME)
        other = Store(tmp_path / "other")
        server.files["a.y4m"] = y4m(seed=1)
        fetch(source_of(clip_of(server, "a.y4m")), other)
        with pytest.raises(HashMismatchError, match=r"the store has the digest .* the lock file says"):
            fetch(source_of(clip_of(server, "a.y4m")), other, locked=locked)
        newer = source_of(clip_of(server, "a.y4m", sha256=sha(y4m(seed=1))))
        with pytest.raises(HashMismatchError, match=r"the manifest names .* One of them is older"):
            fetch(newer, Store(tmp_path / "third"), locked=locked)


def test_a_lock_file_that_is_none_is_named(tmp_path: Path):
    with pytest.raises(StoreError, match=r"nothing.lock cannot be read: No such file"):
        read_lock(tmp_path / "nothing.lock")
    (tmp_path / "wrong.lock").write_text("{")
    with pytest.raises(StoreError, match=r"wrong.lock is not a lock file of this version"):
        read_lock(tmp_path / "wrong.lock")


# What changed upstream


def test_a_changed_upstream_file_names_the_evidence_and_leaves_the_copy_alone(store: Store):
    data, newer = y4m(), y4m(seed=1)
    with FaultServer({"a.y4m": data}) as server:
        evidence = {"sha256": "SEEN somebody/list:sums.txt"}
        source = source_of(clip_of(server, "a.y4m", sha256=sha(data), evidence=evidence))
        fetch(source, store)
        server.files["a.y4m"] = newer
        with pytest.raises(HashMismatchError) as caught:
            fetch(source, store, force=True)
    text = str(caught.value)
    assert f"has SHA-256 {sha(newer)}, the manifest says {sha(data)} (SEEN somebody/list:sums.txt)" in text
    assert text.endswith(f"The file in the store stays as it is: {store.root}/lab/a.y4m")
    assert final_files(store) == {"lab/a.y4m": data}
    assert verify_store(store, full=True) == []


def test_a_manifest_that_names_a_newer_file_replaces_the_copy_only_by_force(store: Store):
    data, newer = y4m(), y4m(seed=1)
    lines: list[str] = []

    class Lines(Silent):
        def log(self, text: str) -> None:
            lines.append(text)

    with FaultServer({"a.y4m": data}) as server:
        fetch(source_of(clip_of(server, "a.y4m", sha256=sha(data))), store)
        server.files["a.y4m"] = newer
        source = source_of(clip_of(server, "a.y4m", sha256=sha(newer)))
        assert len(fetch(source, store, progress=Lines()).present) == 1
        assert final_files(store) == {"lab/a.y4m": data}
        assert any("the manifest now names another file" in line and "--force" in line for line in lines)
        fetch(source, store, force=True)
    assert final_files(store) == {"lab/a.y4m": newer}


@pytest.mark.parametrize("packed", [False, True])
def test_force_keeps_a_verified_copy_that_other_bytes_replace(store: Store, *, packed: bool):
    lines: list[str] = []

    class Lines(Silent):
        def log(self, text: str) -> None:
            lines.append(text)

    def served(data: bytes) -> bytes:
        return lzma.compress(data) if packed else data

    data, newer = y4m(), y4m(seed=1)
    with FaultServer({"a.y4m": served(data)}) as server:
        clip = clip_of(server, "a.y4m")
        archives = [{"id": "a.y4m.xz", "mirrors": clip["mirrors"]}] if packed else []
        if packed:
            clip = {"id": "a", "archive": "a.y4m.xz", "members": ["a.y4m"]}
        source = source_of(clip, archives=archives)
        fetch(source, store)
        fetch(source, store, force=True, progress=Lines())
        assert not list(store.incoming("lab").iterdir())
        server.files["a.y4m"] = served(newer)
        fetch(source, store, force=True, progress=Lines())
    assert final_files(store) == {"lab/a.y4m": newer}
    assert (store.incoming("lab") / "a.y4m.replaced").read_bytes() == data
    assert any(f"SHA-256 was {sha(data)}, is {sha(newer)} now" in line for line in lines)
    assert verify_store(store, full=True) == []


# Terms and plans


def test_nothing_is_asked_of_a_source_before_its_terms_are_accepted(store: Store):
    with FaultServer({"a.y4m": y4m()}) as server:
        source = source_of(clip_of(server, "a.y4m"), terms="Research only.")
        with pytest.raises(TermsError, match=r"Research only.\n.*--accept-terms lab"):
            fetch(source, store)
        assert server.asked == []
        terms.accept(source, store)
        fetch(source, store)
        fetch(source, store)
    assert len(terms.acceptances(store)) == 1


def test_a_plan_says_files_bytes_proof_licences_terms_and_room_and_asks_nobody(store: Store):
    data = y4m()
    with FaultServer({"a.y4m": data, "b.y4m": data}) as server:
        archives = [{"id": "s.zip", "mirrors": [server.url("s.zip")], "size_bytes": 700, "md5": "0" * 32}]
        members = [{"id": name, "archive": "s.zip", "members": [name]} for name in ("x", "y")]
        source = source_of(
            clip_of(server, "a.y4m", size_bytes=len(data)), clip_of(server, "b.y4m"), {"id": "lost"}, *members,
            archives=archives, terms="Be kind.",
        )  # fmt: skip
        selection = [Selected(source, clip) for clip in source.clips]
        plan = plan_fetch(selection, store)
        assert server.asked == []
        assert not store.root.exists()
        terms.accept(source, store)
        fetch(source_of(clip_of(server, "b.y4m"), terms="Be kind."), store)
        later = plan_fetch(selection, store)
    assert [(file.name, file.how, file.size_bytes, file.clips, file.proof) for file in plan.files] == [
        ("lab/a", "fetch", len(data), 1, "structure"),
        ("lab/b", "fetch", None, 1, "structure"),
        ("lab/lost", "no address", None, 1, "structure"),
        ("lab/s.zip", "fetch", 700, 2, "md5"),
    ]
    assert (plan.size_bytes, plan.unknown_sizes, plan.terms) == (len(data) + 700, 1, ("lab",))
    text = plan.summary()
    assert "3 files to fetch: 1.3 kB, and 1 of unknown size" in text
    assert "free on the disk of the store" in text
    assert "licences: do not pass on patches made of them: all clips (CC BY-NC-ND 4.0)" in text
    assert "--accept-terms lab" in text
    assert later.files[1].how == "here"
    assert later.terms == ()
    assert json.loads(json.dumps(plan.to_json()))["files"][3]["licenses"] == ["CC BY-NC-ND 4.0"]


# Looking inside, and repairing


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[FaultServer]:
    """Serve three clips of a source that the catalog knows."""
    files = {f"{name}.y4m": y4m(5, number) for number, name in enumerate("abc")}
    with FaultServer(files) as server:
        clips = [clip_of(server, name, evidence={"mirrors": "SEEN here"}) for name in (*files, "gone.y4m")]
        source = source_of(*clips)
        path = tmp_path / "lab.yaml"
        fields = source.model_dump(mode="json", exclude_defaults=True)
        for clip in fields["clips"]:
            clip["evidence"] = {"mirrors": "SEEN here"}
        path.write_text(yaml.safe_dump(fields, sort_keys=False))
        with added_manifests([path]):
            fetch(source_of(*clips[:3]), Store(tmp_path / "store"))
            server.asked.clear()
            yield server


def spoil(store: Store, name: str, *, keep_time: bool) -> None:
    path = store.root / "lab" / f"{name}.y4m"
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_repair_fetches_again_what_is_wrong_and_nothing_else(store: Store, listed: FaultServer):
    (store.root / "lab" / "a.y4m").unlink()
    spoil(store, "b", keep_time=True)
    assert [problem.clip for problem in verify_store(store)] == ["a"]
    problems = verify_store(store, full=True)
    assert [problem.clip for problem in problems] == ["a", "b"]

    report = repair_store(store, problems, progress=Silent(), patience=QUICK)
    assert [record.clip for record in report.fetched] == ["a", "b"]
    assert sorted(request.path for request in listed.asked) == ["a.y4m", "b.y4m"]
    assert verify_store(store, full=True) == []
    assert {record.proof for record in store.records()} == {"first-fetch"}


def test_repair_goes_on_beside_a_source_that_no_manifest_lists(
    store: Store, listed: FaultServer, tmp_path: Path
):
    (tmp_path / "x.y4m").write_bytes(y4m())
    import_files(source_of({"id": "x"}, id="unknown"), [tmp_path / "x.y4m"], store, progress=Silent())
    for path in ("lab/a.y4m", "unknown/x.y4m"):
        (store.root / path).unlink()
    with pytest.raises(StoreError, match=r"(?s)unknown/x is not repaired.*--manifest FILE") as caught:
        repair_store(store, verify_store(store), progress=Silent(), patience=QUICK)
    assert "lab/a" not in str(caught.value)
    assert [problem.clip for problem in verify_store(store)] == ["x"]


def test_repair_takes_no_other_bytes_than_the_record_says(store: Store, listed: FaultServer):
    spoil(store, "b", keep_time=False)
    damaged = (store.root / "lab" / "b.y4m").read_bytes()
    listed.files["b.y4m"] = y4m(5, 77)
    with pytest.raises(HashMismatchError, match=r"sr-data.lock, as it was first brought in"):
        repair_store(store, verify_store(store), progress=Silent(), patience=QUICK)
    assert (store.root / "lab" / "b.y4m").read_bytes() == damaged


def test_a_touched_file_with_the_right_bytes_is_not_fetched_by_a_full_repair(
    store: Store, listed: FaultServer
):
    os.utime(store.root / "lab" / "c.y4m", ns=(5, 5))
    assert [problem.clip for problem in verify_store(store)] == ["c"]
    assert verify_store(store, full=True) == []
    assert verify_store(store) == []
    assert listed.asked == []


def test_a_full_look_sees_a_record_that_says_another_number_of_frames(store: Store, listed: FaultServer):
    record = store.get("lab", "a")
    store.put(record.model_copy(update={"info": record.info.model_copy(update={"num_frames": 9})}))
    assert verify_store(store) == []
    (problem,) = verify_store(store, full=True)
    assert problem.what.endswith("a.y4m holds 5 frames, its record says 9")


def test_what_a_person_brought_is_not_repaired_from_the_network_when_no_address_is_known(
    store: Store, tmp_path: Path
):
    path = tmp_path / "hand.yaml"
    source = source_of({"id": "a"}, id="hand", access="manual", how_to_get="Ask them.")
    path.write_text(yaml.safe_dump(source.model_dump(mode="json", exclude_defaults=True), sort_keys=False))
    (tmp_path / "a.y4m").write_bytes(y4m())
    with added_manifests([path]):
        import_files(source, [tmp_path / "a.y4m"], store, progress=Silent())
        (store.root / "hand" / "a.y4m").unlink()
        with pytest.raises(FetchError, match=r"sr-data import hand PATH"):
            repair_store(store, verify_store(store), progress=Silent(), patience=QUICK)


# Kills and Ctrl-C

HELPER = """
import os, sys
from pathlib import Path
import requests, sr_datasets.video.y4m
from sr_datasets.catalog import Selected
from sr_datasets.ingest import fetch_clips
from sr_datasets.manifest import Source
from sr_datasets.progress import Silent
from sr_datasets.store import Store

source = Source.model_validate_json(Path(sys.argv[1]).read_bytes())
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        fetch_clips([Selected(source, clip) for clip in source.clips], Store(Path(sys.argv[2])), progress=Silent())
        os._exit(0)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
CHUNK = 1 << 20


def kill_again_and_again(tmp_path: Path, *, kills: int, files: dict[str, bytes]) -> None:
    """Kill a fetch at random moments, run it again, and hold the result against the promises."""
    draws = random.Random(kills)
    store = Store(tmp_path / "store")
    longest = 0.4
    # One piece is never sent before the last kill, so that the fetch is not over.
    limit = sum(map(len, files.values())) - (1 << 14)
    with FaultServer(files, delay_seconds=0.02, piece_bytes=1 << 14, limit_bytes=limit) as server:
        clips = [clip_of(server, name) for name in files]
        (tmp_path / "source.json").write_text(source_of(*clips).model_dump_json())
        command = [sys.executable, "-c", HELPER, str(tmp_path / "source.json"), str(store.root)]
        helper = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": PACKAGE}, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert helper.stdin is not None
        assert helper.stdout is not None
        hits = 0
        for _ in range(kills):
            print("go", file=helper.stdin)
            pid = int(helper.stdout.readline())
            time.sleep(draws.uniform(0.01, longest))
            os.kill(pid, signal.SIGKILL)
            hits += int(helper.stdout.readline()) == signal.SIGKILL
            for record in Store(store.root).records():
                assert store.problems(record, full=True) == []
        assert hits == kills
        server.delay_seconds, server.limit_bytes = 0, None
        print("go", file=helper.stdin)
        helper.stdout.readline()
        assert int(helper.stdout.readline()) == 0
        helper.stdin.close()
        helper.stdout.close()
        assert helper.wait() == 0
    assert final_files(store) == {f"lab/{name}": data for name, data in files.items()}
    assert verify_store(store, full=True) == []
    assert list((store.root / "lab" / ".incoming").iterdir()) == []
    for name, data in files.items():
        asked = [request for request in server.asked if request.path == name]
        twice = sum(request.body_bytes for request in asked) - len(data)
        assert twice <= CHUNK * (len(asked) - 1), f"{name}: {twice} bytes came twice in {len(asked)} requests"


def twenty_files(size: int) -> dict[str, bytes]:
    draws = random.Random(20)
    return {
        f"c{number:02d}.y4m": y4m(size * draws.randrange(1, 20) // 10 // 198, number) for number in range(20)
    }


def test_twenty_files_survive_twelve_kills(tmp_path: Path):
    kill_again_and_again(tmp_path, kills=12, files=twenty_files(500_000))


@pytest.mark.slow
def test_twenty_files_survive_fifty_kills(tmp_path: Path):
    kill_again_and_again(tmp_path, kills=50, files=twenty_files(1_800_000))


def test_a_ctrl_c_keeps_what_came_and_says_how_to_go_on(tmp_path: Path):
    files = {f"c{number}.y4m": y4m(5000, number) for number in range(6)}
    with FaultServer(files, delay_seconds=0.03, piece_bytes=1 << 14, limit_bytes=900_000) as server:
        fields = source_of(*(clip_of(server, name) for name in files)).model_dump(
            mode="json", exclude_defaults=True
        )
        for clip in fields["clips"]:
            clip["evidence"] = {"mirrors": "SEEN here"}
        (tmp_path / "lab.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
        command = [
            sys.executable,
            "-m",
            "sr_datasets.cli",
            "fetch",
            "lab",
            "--manifest",
            str(tmp_path / "lab.yaml"),
        ]
        environment = {
            **os.environ, "PYTHONPATH": PACKAGE, "SR_DATA_HOME": str(tmp_path / "store"), "HOME": str(tmp_path)
        }  # fmt: skip
        # A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
        process = subprocess.Popen(
            command,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        incoming = tmp_path / "store" / "lab" / ".incoming"
        while servers.bytes_in(incoming, "*.part") < 200_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        server.delay_seconds, server.limit_bytes = 1, None  # the rest would take more than a minute
        _, text = process.communicate(timeout=120)
        assert server.body_bytes() < sum(map(len, files.values()))
        assert process.returncode == 130
        assert "To go on, type:\n  " in text
        assert " -m sr_datasets.cli fetch lab --manifest " in text
        assert "Traceback" not in text
        assert servers.bytes_in(incoming, "*.part") > 100_000

        server.delay_seconds, server.piece_bytes = 0, 1 << 16
        again = subprocess.run(
            [*command, "--json"], env=environment, capture_output=True, text=True, check=True
        )
    events = [json.loads(line) for line in again.stdout.splitlines()]
    assert (events[-1]["event"], events[-1]["fetched"] + events[-1]["present"]) == ("done", 6)
    assert any(request.range for request in server.asked)
    assert final_files(Store(tmp_path / "store")) == {f"lab/{name}": data for name, data in files.items()}


def test_noise_is_noise():
    assert (
        len(set(np.frombuffer(y4m(50), np.uint8))) == 256
    )  # what the tests above cut and spoil is no constant
