"""What machines do to a run: it ends with one sentence at most, and the next run ends in the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import small_disk
from faults.commands import SOURCE, Commands, files_of, is_one_sentence, quick_training, set_files
from made import MANIFEST, RECIPE, made_store, put_clip, recipe_of

from sr_datasets.build import build_pairs
from sr_datasets.files import locked
from sr_datasets.push import push_set
from sr_datasets.shards.sets import read_set
from sr_datasets.store import Store

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting, and becoming another user, take root")


class Scene:
    """A store of small clips, a recipe, and what a build of it must give."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.recipe = recipe_of(folder)
        self.path = folder / "made.yaml"
        self.out = folder / "set"
        build_pairs(self.recipe, out_dir=folder / "right", store=store)
        self.right = files_of(folder / "right")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    # Not below pytest's own folder, into which no other user may look.
    with tempfile.TemporaryDirectory(prefix="faults-") as text:
        Path(text).chmod(0o755)
        yield Scene(Path(text), made_store(Path(text), monkeypatch))


def kill_builds(scene: Scene, kills: int, how: int = signal.SIGKILL) -> list[int]:
    """Kill builds at random moments until so many were hit; return what the commands ended with."""
    draws, codes = random.Random(kills), []
    with Commands(scene.store.root, scene.folder) as commands:
        start = time.monotonic()
        assert commands.run("build-pairs", scene.path, "--out", scene.folder / "timed")[0] == 0
        longest = time.monotonic() - start
        while len(codes) < kills:
            workers = draws.choice((1, 1, 1, 2))
            pid = commands.start("build-pairs", scene.path, "--out", scene.out, "--workers", workers)
            time.sleep(draws.uniform(0, longest * (1 if workers == 1 else 3)))
            commands.kill(pid, how)
            code = commands.wait()
            if code == 0:  # it was over before; and again from nothing, so that there is something to kill
                assert files_of(scene.out) == scene.right
                shutil.rmtree(scene.out)
                continue
            codes.append(code)
            # One that found the set finished, and was about to write the same index once more, leaves hidden files.
            assert not (scene.out / "sr-data.json").exists() or set_files(scene.out) == scene.right
        code, said = commands.run("build-pairs", scene.path, "--out", scene.out)
        assert code == 0, said
    assert files_of(scene.out) == scene.right
    assert not list(scene.out.rglob(".*.part"))
    return codes


def test_builds_killed_at_random_moments_end_in_the_same_bytes(scene: Scene):
    assert kill_builds(scene, 4) == [-signal.SIGKILL] * 4


@pytest.mark.slow
def test_builds_killed_sixty_times_end_in_the_same_bytes(scene: Scene):
    print(f"{len(kill_builds(scene, 60))} builds killed")


@pytest.mark.slow
def test_builds_that_a_scheduler_ends_say_how_to_go_on_and_end_in_the_same_bytes(scene: Scene):
    codes = kill_builds(scene, 3, signal.SIGTERM)

    assert set(codes) <= {143, -signal.SIGTERM}  # the latter before the command has begun


def kill_pushes(scene: Scene, kills: int) -> int:
    draws, hits, there = random.Random(kills), 0, scene.folder / "there"
    manifest = next(scene.folder.rglob("sources/made.yaml"))
    manifest.write_text(MANIFEST.replace("name: own}", "name: own, redistribute_derived: yes}"))
    push_set(scene.folder / "right", str(scene.folder / "first"))
    right = files_of(scene.folder / "first")
    with Commands(scene.store.root, scene.folder) as commands:
        while hits < kills:
            pid = commands.start("push", scene.folder / "right", there)
            time.sleep(draws.uniform(0, 0.3))
            commands.kill(pid)
            if commands.wait() == 0:
                assert files_of(there) == right
                shutil.rmtree(there)
                continue
            hits += 1
            assert not (there / "sr-data.json").exists() or files_of(there) == right
        code, said = commands.run("push", scene.folder / "right", there)
        assert code == 0, said
    assert files_of(there) == right
    return hits


def test_pushes_killed_at_random_moments_end_whole(scene: Scene):
    assert kill_pushes(scene, 4) == 4


@pytest.mark.slow
def test_pushes_killed_forty_times_end_whole(scene: Scene):
    print(f"{kill_pushes(scene, 40)} pushes killed")


@pytest.mark.slow
@pytest.mark.torch
def test_trainings_killed_at_random_moments_end_in_the_same_model(scene: Scene):
    torch = pytest.importorskip("torch")
    from sr_datasets.espcn.checkpoint import read_tensors

    draws, hits = random.Random(8), 0
    command = quick_training(scene.folder / "right", steps=400, checkpoint_every=20)
    environment = os.environ | {"PYTHONPATH": SOURCE, "HOME": str(scene.folder)}
    start = time.monotonic()
    subprocess.run([*command, str(scene.folder / "whole")], env=environment, check=True, capture_output=True)
    whole, killed = time.monotonic() - start, scene.folder / "killed"
    while hits < 8:
        resume = ["--resume"] if (killed / "last.safetensors").is_file() else []
        if not resume:
            shutil.rmtree(killed, ignore_errors=True)
        run = subprocess.Popen([*command, str(killed), *resume], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # fmt: skip
        time.sleep(draws.uniform(0.2, 0.8) * whole)
        run.kill()
        hits += run.wait() == -signal.SIGKILL
        if run.returncode == 0:
            break
    subprocess.run([*command, str(killed), "--resume"], env=environment, check=True, capture_output=True)

    print(f"{hits} trainings killed")
    assert hits
    (
        (_, right),
        (_, found),
    ) = (  # not the bytes: headers name the commit of the checkout, which may move meanwhile
        read_tensors(folder / "model.safetensors", kind="model")
        for folder in (scene.folder / "whole", killed)
    )
    assert right.keys() == found.keys()
    assert all(torch.equal(right[name], found[name]) for name in right)


# ---- disks and permissions -------------------------------------------------------------------------------


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk("8k") as disk:
        yield disk


@as_root
def test_builds_onto_disks_that_fill_up_go_on_when_there_is_room(scene: Scene, disk: Path):
    total = sum(path.stat().st_size for path in (scene.folder / "right").rglob("*"))
    tried = 0
    with Commands(scene.store.root, scene.folder) as commands:
        for kilobytes in (8, *(round(total * part / 1000) for part in (0.2, 0.5, 0.8, 0.95))):
            subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)
            code, said = commands.run("build-pairs", scene.path, "--out", disk / "set")
            assert code == 1, said
            assert "the disk is full" in said
            assert is_one_sentence(said)
            assert not (disk / "set" / "sr-data.json").exists()
            tried += 1
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        code, said = commands.run("build-pairs", scene.path, "--out", disk / "set")
        assert code == 0, said
    print(f"{tried} full disks")
    assert files_of(disk / "set") == scene.right


@as_root
@pytest.mark.slow
def test_a_disk_without_inodes_and_a_read_only_one_are_one_sentence(scene: Scene, disk: Path):
    (disk / "taken").mkdir()
    with Commands(scene.store.root, scene.folder) as commands:
        for option, words in (
            ("nr_inodes=5,size=9m", "the disk is full"),
            ("ro", "the file system is read-only"),
        ):
            subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)
            code, said = commands.run("build-pairs", scene.path, "--out", disk / "set")
            assert (code, words in said) == (1, True), said
            assert is_one_sentence(said)
        subprocess.run(["mount", "-o", "remount,rw,nr_inodes=1000,size=100m", disk], check=True)
        code, said = commands.run("build-pairs", scene.path, "--out", disk / "set")
        assert code == 0, said
    assert files_of(disk / "set") == scene.right


@as_root
@pytest.mark.slow
def test_what_a_user_may_not_read_or_write_is_one_sentence(scene: Scene):
    def open_to_all() -> None:
        for path in [scene.folder, *scene.folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)

    open_to_all()
    clip = next(scene.store.root.glob("made/*.y4m"))
    (scene.folder / "free").mkdir()
    (scene.folder / "free").chmod(0o777)
    (scene.folder / "said.txt").touch()
    with Commands(scene.store.root, scene.folder) as commands:
        for closed, words in ((scene.folder, "permission denied"), (clip, "ermission denied"), (scene.store.root / "sr-data.lock", "ermission denied")):  # fmt: skip
            out = scene.folder / ("set" if closed == scene.folder else "free/set")
            if closed != scene.folder:
                closed.chmod(0)
            code, said = commands.run("build-pairs", scene.path, "--out", out, uid=NOBODY)
            assert (code, words in said) == (1, True), said
            assert is_one_sentence(said)
            if closed != scene.folder:
                closed.chmod(0o644)
        code, said = commands.run("build-pairs", scene.path, "--out", scene.folder / "free/set", uid=NOBODY)
        assert code == 0, said  # a store that may be read only is enough
    assert files_of(scene.folder / "free/set") == scene.right


@pytest.mark.slow
def test_files_larger_than_an_account_allows_are_one_sentence(scene: Scene):
    with Commands(scene.store.root, scene.folder) as commands:
        code, said = commands.run("build-pairs", scene.path, "--out", scene.out, file_bytes=9000)
        assert (code, "larger than this disk or account allows" in said) == (1, True), said
        assert is_one_sentence(said)
        assert commands.run("build-pairs", scene.path, "--out", scene.out)[0] == 0
    assert files_of(scene.out) == scene.right


# ---- clocks, locks, memory, names ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_clock_that_goes_backwards_changes_nothing(scene: Scene):
    for path in scene.store.root.rglob("*.lock"):
        os.utime(path, (4e9, 4e9))  # of the year 2096
    with Commands(scene.store.root, scene.folder) as commands:
        for number in range(2):
            out = scene.folder / f"back{number}"
            code, said = commands.run("build-pairs", scene.path, "--out", out, hours_back=30)
            assert code == 0, said
            assert files_of(out) == scene.right
        assert commands.run("build-pairs", scene.path, "--out", out, hours_back=-30)[0] == 0
    assert files_of(out) == scene.right


@pytest.mark.slow
def test_a_store_that_another_process_holds_is_waited_for(scene: Scene):
    with Commands(scene.store.root, scene.folder) as commands:
        with locked(scene.store.root / ".locks" / "sets"):
            commands.start("build-pairs", scene.path, "--out", scene.out)
            time.sleep(1)
            assert not (scene.out / "sr-data.json").exists()
        assert commands.wait() == 0
    assert files_of(scene.out) == scene.right


@pytest.mark.slow
def test_two_builds_into_one_folder_leave_one_set(scene: Scene):
    with (
        Commands(scene.store.root, scene.folder) as one,
        Commands(scene.store.root, scene.path.parent / "store") as two,
    ):
        for number in range(3):
            out = scene.folder / f"both{number}"
            one.start("build-pairs", scene.path, "--out", out)
            second, said = two.run("build-pairs", scene.path, "--out", out)
            first = one.wait()
            assert 0 in (first, second), said
            assert second == 0 or (is_one_sentence(said) and "another build is writing" in said)
            assert files_of(out) == scene.right


def test_a_worker_without_memory_is_one_sentence(scene: Scene):
    store = Store(scene.folder / "large")
    put_clip(store, "large", width=3000, height=2000, num_frames=2, seed=9)
    text = RECIPE.replace("counts: {test: 1, train: -1}", "counts: {train: -1}")
    recipe = recipe_of(
        scene.folder, text.replace("patches_per_pair: 12, lr_size: 8", "patches_per_pair: 30, lr_size: 320")
    )
    with Commands(store.root, scene.folder) as commands:
        for megabytes in (20, 35):  # the patches alone have 31
            code, said = commands.run("build-pairs", scene.path, "--out", scene.out, memory=megabytes << 20)
            assert (code, "memory" in said) == (1, True), said
            assert is_one_sentence(said)
            assert not (scene.out / "sr-data.json").exists()
        assert commands.run("build-pairs", scene.path, "--out", scene.out)[0] == 0
    build_pairs(recipe, out_dir=scene.folder / "with-memory", store=store)
    assert files_of(scene.out) == files_of(scene.folder / "with-memory")


@pytest.mark.slow
def test_a_name_that_is_not_resolved_is_one_sentence(scene: Scene):
    manifest = scene.folder / "far.yaml"
    manifest.write_text(
        "format: 1\nid: far\ntitle: Far\ndescription: Nowhere.\naccess: download\ncitation: {text: None.}\n"
        "licenses: {own: {name: own}}\nlicense: own\nclips:\n- id: one\n  media: video\n"
        "  mirrors: [https://no-such-host.invalid/one.y4m]\n  evidence: {mirrors: SEEN here}\n"
    )
    with Commands(scene.store.root, scene.folder) as commands:
        code, said = commands.run("fetch", "far", "--manifest", manifest)
    assert (code, "no-such-host.invalid" in said) == (1, True), said
    assert "Traceback" not in said
    assert len(said) < 1500


# ---- decoders --------------------------------------------------------------------------------------------

# The decoder of one clip does what a broken native one does: sleeps with the interpreter's lock held, or crashes.
_BROKEN = """
import ctypes, os
from sr_datasets.video import y4m
real = y4m.Y4mReader._read
def read(self, wanted):
    if self.path.name == os.environ["BROKEN_CLIP"]:
        if os.environ["BROKEN_HOW"] == "hang":
            ctypes.PyDLL(None).sleep(3600)
        os.kill(os.getpid(), int(os.environ["BROKEN_HOW"]))
    return real(self, wanted)
y4m.Y4mReader._read = read
"""


@pytest.mark.parametrize(
    ("how", "seconds", "words"),
    [
        ("11", 300, "decoder crashed"),
        pytest.param("9", 300, "most likely for want of memory", marks=pytest.mark.slow),
        pytest.param("hang", 15, "took longer than 15 s", marks=pytest.mark.slow),
    ],
)
def test_a_decoder_that_hangs_or_dies_costs_its_clip_and_no_other(
    scene: Scene, how: str, seconds: int, words: str
):
    (scene.folder / "broken").mkdir()
    (scene.folder / "broken" / "sitecustomize.py").write_text(_BROKEN)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(scene.folder / "broken"), SOURCE]), "SR_DATA_HOME": str(scene.store.root),
        "BROKEN_CLIP": "clip2.y4m", "BROKEN_HOW": how,
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "sr_datasets.cli",
        "build-pairs",
        str(scene.path),
        "--out",
        str(scene.out),
    ]
    command += ["--clip-seconds", str(seconds)]

    stopped = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert stopped.returncode == 1
    assert words in stopped.stderr
    assert is_one_sentence(stopped.stderr)
    assert "made/clip2" in stopped.stderr

    command += ["--on-error", "skip", "--workers", "2"]
    subprocess.run(command, env=environment, capture_output=True, check=True, timeout=300)
    info = read_set(scene.out)
    (left_out,) = info.skipped
    assert left_out.clip == "clip2"
    assert words in left_out.reason
    assert info.rows == 4 * 12

    # When the decoder is well again, a build that takes all clips takes this one too.
    build_pairs(scene.recipe, out_dir=scene.folder / "again", store=scene.store, clip_seconds=60)
    assert files_of(scene.folder / "again") == scene.right
