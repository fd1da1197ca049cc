"""One run of several processes: the same samples, the same losses, and a way back after ``kill -9``."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from patches import write_set
from servers import free_port
from test_espcn_train import quick, scenes
from torchrun_train import config_of_test

import sr_datasets.espcn.train as train_module
from sr_datasets.errors import ModelError
from sr_datasets.espcn.checkpoint import read_header, read_tensors
from sr_datasets.espcn.data import open_patches
from sr_datasets.espcn.ranks import Ranks
from sr_datasets.espcn.train import train

pytestmark = pytest.mark.torch
CPU = torch.device("cpu")


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("held", ["memory", "disk"])
def test_processes_have_together_the_samples_of_one(tmp_path: Path, count: int, held: str):
    write_set(tmp_path / "set", {"train": scenes(30)})
    config = quick(batch_size=7, steps=9, data=held)
    data, _ = open_patches(tmp_path / "set", "train", config)
    alone = list(data.batches(config, first_step=2, ranks=Ranks(CPU)))

    parts = [list(data.batches(config, first_step=2, ranks=Ranks(CPU, rank, count))) for rank in range(count)]

    for step, (lr, hr) in enumerate(alone):
        for rank in range(count):
            assert torch.equal(parts[rank][step][0], lr[rank::count])
            assert torch.equal(parts[rank][step][1], hr[rank::count])


def test_a_batch_that_is_smaller_than_the_processes_are_many_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_set(tmp_path / "set", {"train": scenes(30)})
    monkeypatch.setattr(train_module, "joined_ranks", lambda device: Ranks(CPU, 0, 5))

    with pytest.raises(
        ModelError, match=r"a batch of 4 patch pairs cannot be shared by 5 processes.*--batch-size 5"
    ):
        train(quick(), tmp_path / "set", out_dir=tmp_path / "model")


def test_a_run_killed_in_all_its_processes_goes_on_with_as_many_or_others(tmp_path: Path):
    write_set(tmp_path / "set", {"train": scenes(30), "val": scenes(7, seed=1)})
    train(config_of_test(), tmp_path / "set", out_dir=tmp_path / "alone")

    assert _torchrun(tmp_path, "begin", processes=2) != 0
    assert read_header(tmp_path / "broken" / "last.safetensors").step == 20
    # What stands behind the checkpoint is dropped on resume.
    assert len(_losses(tmp_path / "broken")) == 32
    shutil.copytree(tmp_path / "broken", tmp_path / "three")
    assert _torchrun(tmp_path, "resume", processes=3) == 0

    unbroken = _losses(tmp_path / "unbroken")
    assert len(unbroken) == 50
    assert _losses(tmp_path / "broken") == unbroken
    for name in ("model", "last", "best"):
        one, other = (tmp_path / run / f"{name}.safetensors" for run in ("unbroken", "broken"))
        assert _bits(one) == _bits(other)
    for run in ("alone", "three"):
        assert _losses(tmp_path / run) == pytest.approx(unbroken, rel=1e-4)


def test_a_sentence_that_concerns_all_processes_is_printed_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    write_set(tmp_path / "set", {"train": scenes(30)})

    assert _torchrun(tmp_path, "complain", processes=2) == 0

    said = capfd.readouterr().err
    assert "threads are left" not in said
    for sentence in (
        "nowhere is not a shard set",
        "there is no option stepps",
        "a batch of 1 patch pairs cannot be shared by 2 processes",
        "training stopped",
        "holds no run to go on with",
        "elsewhere is not a shard set",
    ):
        assert said.count(sentence) == 1, said


def _losses(out_dir: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out_dir / "metrics.jsonl").read_text().splitlines()]


def _bits(path: Path) -> dict[str, bytes]:
    header = read_header(path)
    _, tensors = read_tensors(path, kind=header.kind)
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def _torchrun(folder: Path, action: str, *, processes: int) -> int:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"),
        *("--nnodes=1", "--master-addr=127.0.0.1", f"--master-port={free_port()}"),
        *(str(Path(__file__).with_name("torchrun_train.py")), action, str(folder), str(free_port())),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    sys.stderr.write(done.stderr[-3000:])
    return done.returncode
