"""A real quota of the disk: each run ends with one sentence that says so, and the next one in the same bytes.

A btrfs in a file has a folder for each try, with a limit of its own. Such a limit is met wherever a file or a folder is made,
written, synced, renamed or closed.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from faults.commands import Commands, files_of, is_one_sentence, quick_training, set_files
from faults.test_faults import Scene, as_root
from made import MANIFEST, made_store, write_y4m
from servers import FaultServer
from test_many_clips import bring, records_of

from sr_datasets.build import build_pairs
from sr_datasets.errors import SrDataError
from sr_datasets.files import sha256_of
from sr_datasets.journal import journal_of
from sr_datasets.store import LOCK_NAME, ClipRecord, Store

pytestmark = as_root
WORDS = "the quota of this account"


def root_does(*command: object) -> str:
    found = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{command}: {found.stderr}"
    return found.stdout.strip()


class Quotas:
    """Folders of a disk, each with a quota."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        self._number = 0

    def folder(self, kilobytes: int) -> Path:
        """Return a new folder in which so much may be written, of which btrfs itself takes some."""
        self._number += 1
        folder = self.disk / str(self._number)
        root_does("btrfs", "subvolume", "create", folder)
        self.limit(folder, kilobytes)
        return folder

    def limit(self, folder: Path, kilobytes: int | None) -> None:
        number = root_does("btrfs", "inspect-internal", "rootid", folder)
        # Through the disk's own folder: within one whose quota is used up, not even that can be changed.
        root_does("btrfs", "qgroup", "limit", "none" if kilobytes is None else f"{kilobytes}k", f"0/{number}", self.disk)  # fmt: skip


@pytest.fixture(scope="module")
def quotas() -> Iterator[Quotas]:
    if shutil.which("mkfs.btrfs") is None:
        pytest.skip("btrfs makes the quotas of this test: apt-get install btrfs-progs")
    with tempfile.TemporaryDirectory(prefix="quota-") as text:
        image, disk = Path(text) / "image", Path(text) / "disk"
        disk.mkdir()
        with image.open("wb") as file:
            file.truncate(160 << 20)
        is_mounted = False
        try:
            for command in (
                ["mkfs.btrfs", "-q", image],
                ["mount", "-o", "loop", image, disk],
                ["btrfs", "quota", "enable", disk],
            ):
                made = subprocess.run(command, capture_output=True, text=True, check=False)
                if made.returncode:
                    pytest.skip(f"a btrfs with quotas cannot be had here: {made.stderr.strip()}")
                is_mounted |= command[0] == "mount"
            yield Quotas(disk)
        finally:
            if is_mounted:
                subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Scene(tmp_path, made_store(tmp_path, monkeypatch))


def try_quotas(
    scene: Scene,
    quotas: Quotas,
    limits: Sequence[int],
    command: Callable[[Path], list[object]],
    there: Callable[[Path], dict[str, str]],
) -> int:
    """Run a command under each limit, and again without; return how many limits it met.

    Args:
        scene: Where it runs.
        quotas: The disk.
        limits: In kB.
        command: What to run to write into a folder.
        there: Returns what has a final name in a folder, as names with digests.
    """
    met: list[int] = []  # files that were finished
    with Commands(scene.store.root, scene.folder) as commands:
        free = quotas.folder(100_000)
        code, said = commands.run(*command(free))
        assert code == 0, said
        right = there(free)
        for kilobytes in limits:
            folder = quotas.folder(kilobytes)
            code, said = commands.run(*command(folder))
            if code == 0:
                continue
            met.append(len(there(folder)))
            assert (code, WORDS in said) == (1, True), f"{kilobytes} kB: {said}"
            assert is_one_sentence(said), said
            assert "then run the same command again" in said
            assert there(folder).items() <= right.items(), kilobytes
            quotas.limit(folder, None)
            code, said = commands.run(*command(folder))
            assert code == 0, said
            assert there(folder) == right
    print(f"{len(met)} of {len(limits)} quotas met, with {met} of {len(right)} finished")
    return len(met)


# ---- one short one for CI --------------------------------------------------------------------------------


def test_clips_noted_and_shards_built_on_a_quota_go_on_when_it_is_lifted(scene: Scene, quotas: Quotas):
    for kilobytes in (100, 140):
        note_clips(quotas.folder(kilobytes), quotas)
    for kilobytes in (112, 200):
        folder = quotas.folder(kilobytes)
        with pytest.raises(
            SrDataError, match=rf"{WORDS} on the disk of {folder}.* is used up\. .*Delete what you no longer"
        ):
            build_pairs(scene.recipe, out_dir=folder / "set", store=scene.store)
        assert set_files(folder / "set").items() <= scene.right.items()
        quotas.limit(folder, None)
        build_pairs(scene.recipe, out_dir=folder / "set", store=scene.store)
        assert files_of(folder / "set") == scene.right


def note_clips(folder: Path, quotas: Quotas) -> int:
    """Note clips until no more can be; the last is not there, and the others are. Return how many came."""
    records, home, came = records_of(150), Store(folder), list[ClipRecord]()
    with pytest.raises(SrDataError, match=f"{WORDS} .* is used up"):
        bring(home, records, came)
    assert Store(folder).records() == home.records() == came
    before = len(came)
    quotas.limit(folder, None)
    bring(home, records, came)
    assert Store(folder).records() == records
    assert not journal_of(folder / LOCK_NAME).exists()
    assert sorted(path.name for path in folder.iterdir()) == [".locks", LOCK_NAME]
    return before


# ---- nightly ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_clips_noted_on_quotas_are_those_that_were_said_to_be(quotas: Quotas):
    came = [note_clips(quotas.folder(kilobytes), quotas) for kilobytes in range(64, 260, 12)]
    print(f"{len(came)} quotas met after {came} clips")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_builds_on_quotas_go_on_when_they_are_lifted(scene: Scene, quotas: Quotas, workers: int):
    def command(folder: Path) -> list[object]:
        return ["build-pairs", scene.path, "--out", folder / "set", "--workers", workers]

    assert (
        try_quotas(scene, quotas, range(64, 340, 12), command, lambda folder: set_files(folder / "set")) > 7
    )


@pytest.mark.slow
def test_pushes_on_quotas_go_on_when_they_are_lifted(scene: Scene, quotas: Quotas):
    manifest = next(scene.folder.rglob("sources/made.yaml"))
    manifest.write_text(MANIFEST.replace("name: own}", "name: own, redistribute_derived: yes}"))

    def command(folder: Path) -> list[object]:
        return ["push", scene.folder / "right", folder / "there"]

    assert (
        try_quotas(scene, quotas, range(64, 340, 12), command, lambda folder: set_files(folder / "there")) > 7
    )


def clips_of(folder: Path) -> dict[str, str]:
    """Return the files of a store, and what its records say but for the times."""
    found = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in folder.rglob("*.y4m")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    for record in Store(folder).records():
        (file,) = record.files
        assert found[file.path] == record.sha256
        found[f"record of {record.clip}"] = hashlib.sha256(
            record.model_copy(update={"files": (file.model_copy(update={"mtime_ns": 0}),)})
            .model_dump_json()
            .encode()
        ).hexdigest()
    return found


@pytest.mark.slow
def test_fetches_on_quotas_go_on_when_they_are_lifted(scene: Scene, quotas: Quotas):
    files = {path.name: path.read_bytes() for path in (scene.store.root / "made").glob("*.y4m")}
    with FaultServer(files) as server:
        fields = {
            "format": 1, "id": "lab", "title": "A lab", "description": "For tests.", "access": "download",
            "citation": {"text": "Nobody"}, "licenses": {"own": {"name": "own"}}, "license": "own",
            "clips": [
                {"id": name.removesuffix(".y4m"), "mirrors": [server.url(name)], "evidence": {"mirrors": "SEEN here"}}
                for name in sorted(files)
            ],
        }  # fmt: skip
        (scene.folder / "lab.yaml").write_text(yaml.safe_dump(fields))

        def command(folder: Path) -> list[object]:
            return ["fetch", "lab", "--manifest", scene.folder / "lab.yaml", "--store", folder]

        assert try_quotas(scene, quotas, range(64, 1000, 48), command, clips_of) > 7


@pytest.mark.slow
def test_imports_on_quotas_go_on_when_they_are_lifted(scene: Scene, quotas: Quotas):
    for number in range(5):
        write_y4m(scene.folder / "mine" / f"clip{number}.y4m", width=96, height=80, num_frames=6, seed=number)

    def command(folder: Path) -> list[object]:
        return ["import", "made", scene.folder / "mine", "--store", folder]

    assert try_quotas(scene, quotas, range(64, 1000, 48), command, clips_of) > 7


@pytest.mark.slow
@pytest.mark.torch
def test_trainings_on_quotas_go_on_when_they_are_lifted(scene: Scene, quotas: Quotas):
    torch = pytest.importorskip("torch")
    from sr_datasets.espcn.checkpoint import read_tensors

    def train(folder: Path) -> "subprocess.CompletedProcess[str]":
        command = quick_training(scene.folder / "right", steps=40, checkpoint_every=10)
        command += [str(folder / "model")]
        if (folder / "model" / "last.safetensors").is_file():
            command += ["--resume"]
        environment = os.environ | {"HOME": str(scene.folder)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def model(folder: Path) -> "dict[str, torch.Tensor]":
        return read_tensors(folder / "model" / "model.safetensors", kind="model")[1]

    free = quotas.folder(100_000)
    assert train(free).returncode == 0
    right, met = model(free), 0
    for kilobytes in (64, 450, 520, 600, 750):
        folder = quotas.folder(kilobytes)
        stopped = train(folder)
        if stopped.returncode == 0:
            continue
        met += 1
        assert (stopped.returncode, WORDS in stopped.stderr) == (1, True), stopped.stderr
        assert is_one_sentence(stopped.stderr), stopped.stderr
        for path in (folder / "model").glob("[!.]*.safetensors"):
            read_tensors(path, kind="state" if path.name == "last.safetensors" else "model")
        quotas.limit(folder, None)
        again = train(folder)
        assert again.returncode == 0, again.stderr
        found = model(folder)
        assert right.keys() == found.keys()
        assert all(torch.equal(right[name], found[name]) for name in right)
    print(f"{met} quotas met")
    assert met > 2
