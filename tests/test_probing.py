"""Decoders that hang or crash in what is fetched or imported: one sentence about the clip, and the other clips come."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import formula_clip
from servers import FaultServer
from test_fetching import PACKAGE, QUICK, clip_of, final_files, source_of

from sr_datasets import guarded
from sr_datasets.catalog import Selected
from sr_datasets.errors import DecodeError, FetchError, SrDataError, StoreError
from sr_datasets.ingest import fetch_clips, import_files, probing, verify_store
from sr_datasets.ingest.describing import describe_folder
from sr_datasets.manifest import Source
from sr_datasets.progress import Silent
from sr_datasets.store import Store

# The decoder of one clip does what a broken native one does: sleeps with the interpreter's lock held, or crashes.
BROKEN = """
import ctypes, os, signal
try:
    from sr_datasets.video import pictures, stream
except ImportError:
    pass  # a process of another package
else:
    def break_down(path):
        if "broken" not in path.name and path.stat().st_size != int(os.environ.get("BROKEN_SIZE", "-1")):
            return
        if os.environ["BROKEN_HOW"] == "hang":
            ctypes.PyDLL(None).sleep(3600)
        elif os.environ["BROKEN_HOW"] == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
    real_packets, real_load = stream.VideoFile.packets, pictures._load
    def packets(self):
        for number, packet in enumerate(real_packets(self)):
            if number == 2:
                break_down(self.path)
            yield packet
    def load(path):
        break_down(path)
        return real_load(path)
    stream.VideoFile.packets, pictures._load = packets, load
"""


both = pytest.mark.parametrize("words", ["hang", "crash"], indirect=True)


@pytest.fixture
def words(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "path"), PACKAGE]))
    how = getattr(request, "param", "crash")
    monkeypatch.setenv("BROKEN_HOW", how)
    if how == "hang":  # a busy machine may need seconds for the first sign of life of a good clip
        monkeypatch.setattr(probing, "SILENT_SECONDS", 5.0)
    guarded.end_all()
    yield {"hang": "nothing came of it for 5 s", "crash": "its decoder crashed (signal 11)"}[how]
    guarded.end_all()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def clips(folder: Path, *names: str) -> dict[str, bytes]:
    folder.mkdir()
    for name in names:
        if name.endswith(".mkv"):
            formula_clip(folder / name, codec="ffv1", pixel_format="yuv420p", num_frames=4)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fetch(source: Source, store: Store, **options: object) -> None:
    selection = [Selected(source, clip) for clip in source.clips]
    fetch_clips(selection, store, progress=Silent(), patience=QUICK, **options)  # type: ignore[arg-type]


@both
def test_a_fetch_goes_on_past_a_clip_whose_decoder_hangs_or_crashes(
    tmp_path: Path, store: Store, words: str, monkeypatch: pytest.MonkeyPatch
):
    files = clips(tmp_path / "served", "one.mkv", "broken.mkv", "two.mkv")
    with FaultServer(files) as server:
        source = source_of(*(clip_of(server, name) for name in files))
        with pytest.raises(DecodeError) as caught:
            fetch(source, store)
        assert str(caught.value).count("\n") == 0
        assert str(caught.value).count("lab/broken: ") == 1
        assert words in str(caught.value)
        assert set(final_files(store)) == {"lab/one.mkv", "lab/two.mkv"}
        assert not list(store.incoming("lab").glob("broken*"))

        monkeypatch.setenv("BROKEN_HOW", "")
        guarded.end_all()
        fetch(source, store)
    assert set(final_files(store)) == {f"lab/{name}" for name in files}


def test_where_no_checksum_vouches_for_it_the_next_mirror_is_asked(
    tmp_path: Path, store: Store, words: str, monkeypatch: pytest.MonkeyPatch
):
    files = clips(tmp_path / "served", "one.mkv")
    formula_clip(tmp_path / "other.mkv", num_frames=7)
    monkeypatch.setenv("BROKEN_SIZE", str(len(files["one.mkv"])))
    with FaultServer(files | {"two.mkv": (tmp_path / "other.mkv").read_bytes()}) as server:
        mirrors = [server.url("one.mkv"), server.url("two.mkv")]
        fetch(source_of({"id": "clip", "mirrors": mirrors}), store)
    assert store.get("lab", "clip").info.num_frames == 7


def test_an_import_and_a_new_manifest_leave_out_what_no_decoder_reads(
    tmp_path: Path, store: Store, words: str
):
    folder = tmp_path / "mine"
    clips(folder, "one.mkv", "broken.mkv")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    source = source_of(access="manual", how_to_get="No.", open_ended=True)
    with pytest.raises(DecodeError, match=r"lab/broken: ") as caught:
        import_files(source, [folder], store, progress=Silent())
    assert words in str(caught.value)
    assert [record.clip for record in store.records()] == ["one"]

    made = describe_folder(folder, "mine")
    assert made.clip_ids == ("one",)
    assert any(words in reason for reason in made.left_out)


def test_verify_full_names_the_clip_whose_decoder_hangs_or_crashes(
    tmp_path: Path, store: Store, words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BROKEN_HOW", "")
    clips(tmp_path / "mine", "one.mkv", "broken.mkv")
    source = source_of(access="manual", how_to_get="No.", open_ended=True)
    import_files(source, [tmp_path / "mine"], store, progress=Silent())
    monkeypatch.undo()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "path"), PACKAGE]))
    monkeypatch.setenv("BROKEN_HOW", "crash")
    guarded.end_all()

    (problem,) = verify_store(store, full=True)
    assert problem.clip == "broken"
    assert words in problem.what


def test_a_script_without_a_main_guard_imports_and_is_not_run_twice(tmp_path: Path):
    clips(tmp_path / "mine", "one.mkv")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        from pathlib import Path
        print("begun", flush=True)
        sys.path.append({str(Path(__file__).parent)!r})
        from sr_datasets.ingest import import_files
        from sr_datasets.progress import Silent
        from sr_datasets.store import Store
        from test_fetching import source_of
        source = source_of(access="manual", how_to_get="No.", open_ended=True)
        print(import_files(source, [Path({str(tmp_path / "mine")!r})], Store(Path("store")), progress=Silent()))
        """)
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": PACKAGE}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("begun\n1 clip imported")
    assert done.stderr == ""


def test_a_fault_that_is_not_the_clips_is_not_blamed_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clips(tmp_path / "mine", "one.mkv")
    guarded.end_all()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SrDataError, match="its process ended with 1") as caught:
        probing.probe_safely(tmp_path / "mine" / "one.mkv", name="lab/one")
    assert not isinstance(caught.value, (DecodeError, FetchError, StoreError))


def test_y4m_and_planes_need_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 W16 H8 F25:1\nFRAME\n" + bytes(192))
    monkeypatch.setattr(probing, "run_guarded", None)
    assert probing.probe_safely(tmp_path / "a.y4m", name="lab/a").num_frames == 1


def test_the_process_ends_with_the_one_that_was_killed(tmp_path: Path):
    (tmp_path / "napping.py").write_text(
        "import os, time\ndef nap(task, began):\n    began('nap')\n    print(os.getpid(), flush=True)\n    time.sleep(600)\n"
    )
    done = subprocess.Popen(
        [sys.executable, "-c", "import napping\nfrom sr_datasets.guarded import run_guarded\nrun_guarded(napping.nap, 0)"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([PACKAGE, str(tmp_path)])}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.stdout is not None
    helper = int(done.stdout.readline())
    done.kill()
    done.wait()
    done.stdout.close()
    end = time.monotonic() + 60
    while _lives(helper) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _lives(helper)


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
