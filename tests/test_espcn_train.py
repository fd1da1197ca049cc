import errno
import itertools
import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from patches import Pairs, write_set
from patches import _row as patch_row
from pictures import mod_cropped, read_planes
from typer.testing import CliRunner

import sr_datasets.espcn.data as data_module
import sr_datasets.espcn.train as train_module
from sr_datasets.cli.main import app
from sr_datasets.color import luma_of_rgb
from sr_datasets.dataset.order import SampleOrder
from sr_datasets.degrade import degrade_frame
from sr_datasets.errors import ModelError, ShardError, SrDataError
from sr_datasets.espcn.checkpoint import load_model, read_header, read_tensors, save_tensors
from sr_datasets.espcn.config import TrainConfig, preset
from sr_datasets.espcn.data import open_patches, scale_of, turned
from sr_datasets.espcn.evaluate import evaluate
from sr_datasets.espcn.ranks import Ranks
from sr_datasets.espcn.run import Run
from sr_datasets.espcn.step import Step
from sr_datasets.espcn.train import resumed_config, train
from sr_datasets.files import folder_lock
from sr_datasets.metrics import PROTOCOLS
from sr_datasets.progress import Silent
from sr_datasets.recipe import Bicubic
from sr_datasets.shards.sets import DATA_DIR, InputInfo, describe_set, shard_name, write_index, write_set_json
from sr_datasets.shards.writer import ShardWriter

pytestmark = pytest.mark.torch

FILES = ("model.safetensors", "last.safetensors")
ALONE = Ranks(torch.device("cpu"))


def scenes(count: int, *, seed: int = 0, scale: int = 2, size: int = 8, peak: int = 255) -> Pairs:
    """Return HR patches of slanted waves and their LR by area means: small, smooth, and not learnt in one step."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size * scale, : size * scale]
    waves = [
        np.sin(random.uniform(0.2, 0.9) * (x * np.cos(a) + y * np.sin(a)) + random.uniform(0, 6))
        for a in random.uniform(0, np.pi, count)
    ]
    hr = (np.array(waves)[:, None] * 0.4 + 0.5) * peak
    lr = hr.reshape(count, 1, size, scale, size, scale).mean(axis=(3, 5))
    dtype = np.uint8 if peak < 256 else np.uint16
    return np.rint(lr).astype(dtype), np.rint(hr).astype(dtype)


def quick(name: str = "residual", **changes: Any) -> TrainConfig:
    options = {"steps": 60, "batch_size": 4, "checkpoint_every": 20, "log_every": 10, "device": "cpu"}
    return preset(name, scale=2, **{**options, **changes})


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    write_set(tmp_path / "set", {"train": scenes(30), "val": scenes(7, seed=1)})
    return tmp_path / "set"


class _KilledError(Exception):
    pass


class _StopAfter(Silent):
    """Progress that ends the run after some steps, as a kill would: between two checkpoints."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def bar(self, label: str, *, total: int | None, unit: str) -> Any:
        watched = super().bar(label, total=total, unit=unit)

        def advance(amount: int, *, present: bool = False) -> None:
            self.left -= 0 if present else amount
            if self.left == 0:
                raise _KilledError

        watched.advance = advance  # type: ignore[method-assign]
        return watched


def metrics_of(out_dir: Path, *, timed: bool = False) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out_dir / "metrics.jsonl").read_text().splitlines()]
    clocked = () if timed else ("samples_per_second", "waited")
    return [{name: value for name, value in line.items() if name not in clocked} for line in lines]


@pytest.mark.parametrize("name", ["espcn", "residual"])
def test_a_network_learns_a_few_patches_by_heart(tmp_path: Path, name: str):
    write_set(tmp_path / "set", {"train": scenes(4)})
    config = quick(name, steps=600, augment=False, learning_rate=5e-3, checkpoint_every=600)

    report = train(config, tmp_path / "set", out_dir=tmp_path / "model")

    first, *_, last = metrics_of(tmp_path / "model")
    assert last["loss"] < 2e-4 < first["loss"] / 10
    assert report.loss == last["loss"]
    assert report.num_rows == 4


@pytest.mark.parametrize("name", ["espcn", "residual", "deep"])
def test_a_stopped_and_resumed_run_ends_with_the_same_bytes_as_an_unbroken_one(
    tmp_path: Path, patches: Path, name: str
):
    config = quick(name, warmup_steps=2)
    train(config, patches, out_dir=tmp_path / "unbroken")

    broken = tmp_path / "broken"
    with pytest.raises(_KilledError):
        train(config, patches, out_dir=broken, progress=_StopAfter(31))
    assert read_header(broken / "last.safetensors").step == 20
    with pytest.raises(_KilledError):
        train(config, patches, out_dir=broken, resume=True, progress=_StopAfter(35))
    assert read_header(broken / "last.safetensors").step == 40
    train(config, patches, out_dir=broken, resume=True)

    for file in (*FILES, "best.safetensors"):
        assert (tmp_path / "unbroken" / file).read_bytes() == (broken / file).read_bytes(), file
    assert metrics_of(broken) == metrics_of(tmp_path / "unbroken")


def test_a_run_that_is_killed_right_after_a_state_was_written_keeps_its_line_of_metrics(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    train(quick(), patches, out_dir=tmp_path / "unbroken")
    save = train_module._save

    def killed(run: Run, out_dir: Path, facts: Any) -> None:
        save(run, out_dir, facts)
        if run.step == 20:
            raise _KilledError

    monkeypatch.setattr(train_module, "_save", killed)
    with pytest.raises(_KilledError):
        train(quick(), patches, out_dir=tmp_path / "broken")
    monkeypatch.undo()
    train(quick(), patches, out_dir=tmp_path / "broken", resume=True)

    assert metrics_of(tmp_path / "broken") == metrics_of(tmp_path / "unbroken")


def test_a_finished_run_resumes_to_itself(tmp_path: Path, patches: Path):
    train(quick(), patches, out_dir=tmp_path / "model")
    before = {file: (tmp_path / "model" / file).read_bytes() for file in (*FILES, "metrics.jsonl")}

    report = train(quick(), patches, out_dir=tmp_path / "model", resume=True)

    assert report.steps == 60
    assert report.loss is None
    assert before == {file: (tmp_path / "model" / file).read_bytes() for file in before}


def test_the_checkpoint_says_how_and_on_what_the_model_was_trained(tmp_path: Path, patches: Path):
    report = train(quick(), patches, out_dir=tmp_path / "model")

    model, header = load_model(tmp_path / "model")
    assert header.train == quick()
    assert header.step == 60
    assert header.data is not None
    assert header.data.recipe["id"] == "made"
    assert list(header.data.shards) == ["train-00000-of-00001.parquet"]
    assert header.data.sources == {"made": 4}
    assert header.val_psnr == report.val_psnr == metrics_of(tmp_path / "model")[-1]["val_psnr"]
    assert model.num_parameters == report.num_parameters
    assert str(tmp_path) not in header.model_dump_json()


def test_the_model_is_the_running_mean_of_the_weights(tmp_path: Path, patches: Path):
    train(quick(), patches, out_dir=tmp_path / "model")

    _, state = read_tensors(tmp_path / "model" / "last.safetensors", kind="state")
    model, _ = load_model(tmp_path / "model")
    assert torch.equal(model.conv1.weight, state["average.conv1.weight"])
    assert not torch.equal(model.conv1.weight, state["weights.conv1.weight"])


def test_the_best_model_is_the_one_with_the_highest_validation_psnr(tmp_path: Path, patches: Path):
    # So high a learning rate makes scores go up and down.
    train(quick(learning_rate=3e-2, steps=100), patches, out_dir=tmp_path / "model")

    scores = {line["step"]: line["val_psnr"] for line in metrics_of(tmp_path / "model") if "val_psnr" in line}
    best = read_header(tmp_path / "model" / "best.safetensors")
    assert sorted(scores) == [20, 40, 60, 80, 100]
    assert best.val_psnr == scores[best.step] == max(scores.values())


@pytest.mark.parametrize("workers", [0, 1])
def test_patches_streamed_from_disk_train_the_same_model_as_patches_in_memory(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch, workers: int
):
    train(quick(), patches, out_dir=tmp_path / "ram")
    monkeypatch.setattr(data_module, "RAM_BYTES", 0)
    assert open_patches(patches, "train", quick())[0].pixels is None

    train(quick(), patches, out_dir=tmp_path / "disk", workers=workers)

    for file in FILES:
        assert (tmp_path / "ram" / file).read_bytes() == (tmp_path / "disk" / file).read_bytes()


def test_patches_of_ten_bits_are_trained_on_as_such(tmp_path: Path):
    write_set(tmp_path / "set", {"train": scenes(10, peak=1023)}, bit_depth=10)
    data, _ = open_patches(tmp_path / "set", "train", quick())

    lr, hr = next(data.batches(quick(), first_step=0, ranks=ALONE))

    assert data.peak == 1023
    assert lr.dtype == hr.dtype == torch.float32
    assert 0.85 < float(hr.max()) < 0.901
    assert 0.099 < float(hr.min()) < 0.15


def test_lr_and_hr_are_turned_together(patches: Path):
    data, _ = open_patches(patches, "train", quick())
    lr, hr = next(data.batches(quick(batch_size=16), first_step=3, ranks=ALONE))

    order = SampleOrder(30, seed=0)
    stored = data.dataset[order.rows(48, 16)]
    assert len(set(order.symmetries(48, 16).tolist())) > 4
    means = torch.nn.functional.avg_pool2d(hr, 2)
    torch.testing.assert_close(lr, means, rtol=0, atol=1.1 / 255)
    assert not torch.equal(lr, stored["lr"] / 255)
    torch.testing.assert_close(lr.mean((1, 2, 3)), (stored["lr"] / 255).mean((1, 2, 3)))


def test_the_eight_symmetries_are_all_different_and_keep_the_samples():
    picture = torch.arange(9.0).reshape(1, 1, 3, 3).expand(8, 1, 3, 3)

    found = turned(picture, torch.arange(8))

    assert len({tuple(one.flatten().tolist()) for one in found}) == 8
    assert torch.equal(found[0], picture[0])
    assert torch.equal(found[7, 0], torch.rot90(picture[0, 0], 2).T)
    assert all(sorted(one.flatten().tolist()) == list(range(9)) for one in found)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({"scale": 3}, "the scale of its patches is x3, the network's is x2"),
        ({"color": "rgb"}, "the colour of its patches is rgb, the network's is y"),
        ({"frames": 3}, "the frames per patch of its patches is 3, the network's is 1"),
    ],
)
def test_shards_of_another_kind_than_the_network_are_refused(
    tmp_path: Path, written: dict[str, Any], complaint: str
):
    lr, hr = scenes(4, scale=written.get("scale", 2))
    if written.get("color") == "rgb":
        lr, hr = np.repeat(lr, 3, axis=1), np.repeat(hr, 3, axis=1)
    if "frames" in written:
        lr = np.repeat(lr[:, None], written["frames"], axis=1)
    write_set(tmp_path / "set", {"train": (lr, hr)}, color=written.get("color", "y"))

    with pytest.raises(ModelError, match=complaint):
        train(quick(), tmp_path / "set", out_dir=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def write_mixed(set_dir: Path, *, depths: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    """Write a set of one shard a clip: c0 has the first depth and the first LR size, c1 the second ones."""
    shards, inputs = [], []
    for number, (depth, size) in enumerate(zip(depths, sizes, strict=True)):
        lr, hr = scenes(3, size=size, peak=2**depth - 1)
        name = shard_name("train", number, len(depths))
        with ShardWriter(set_dir / DATA_DIR / name, metadata={"recipe": "{}"}) as writer:
            writer.write_group(
                [patch_row(lr[i], hr[i], "train", f"c{number}", i, 2, "y", depth) for i in range(3)]
            )
        shards.append(writer.summary)
        inputs.append(InputInfo(source="made", clip=f"c{number}", split="train", sha256="0" * 64))
    recipe = {"format": 1, "id": "made", "scale": 2, "color": "y"}
    index = write_index(set_dir, shards)
    info = describe_set(recipe=recipe, shards=shards, index=index, inputs=inputs, packages={})
    write_set_json(set_dir, info)


def test_patches_of_several_sizes_name_the_clips_and_what_to_do(tmp_path: Path):
    write_mixed(tmp_path / "set", depths=(8, 8), sizes=(8, 6))

    with pytest.raises(ModelError, match=r"8x8 at 8 bits in made/c0.*6x6 at 8 bits in made/c1.*one size"):
        train(quick(), tmp_path / "set", out_dir=tmp_path / "model")


def test_patches_of_several_depths_name_the_clips_and_the_recipe(tmp_path: Path):
    write_mixed(tmp_path / "set", depths=(8, 10, 10), sizes=(8, 8, 8))

    with pytest.raises(
        ModelError, match=r"at 10 bits in made/c1, made/c2; .*made/c0.*facts: \"bit_depth=10\""
    ):
        train(quick(), tmp_path / "set", out_dir=tmp_path / "model")


def test_a_shard_that_is_a_folder_is_an_error_of_the_set(tmp_path: Path, patches: Path):
    (shard,) = (patches / "data").glob("train*")
    shard.unlink()
    shard.mkdir()

    with pytest.raises(ShardError, match=r"train-00000-of-00001.parquet"):
        train(quick(), patches, out_dir=tmp_path / "model")


def test_a_split_that_the_set_lacks_is_refused(tmp_path: Path, patches: Path):
    with pytest.raises(ShardError, match="test"):
        train(quick(split="test"), patches, out_dir=tmp_path / "model")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_model(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(TrainConfig, "learning_rate_at", lambda config, step: 1e-3 if step < 25 else 1e30)

    with pytest.raises(
        ModelError, match=r"loss of step 2[67] is (nan|inf): training stopped.*is kept: .*model"
    ):
        train(quick(), patches, out_dir=tmp_path / "model")

    _, header = load_model(tmp_path / "model")
    assert header.step == read_header(tmp_path / "model" / "last.safetensors").step == 20


def test_weights_that_are_no_numbers_are_not_written_over_good_ones(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    # The last loss before the checkpoint is still finite, the weights after it are not.
    monkeypatch.setattr(TrainConfig, "learning_rate_at", lambda config, step: 1e-3 if step < 39 else math.inf)

    with pytest.raises(ModelError, match=r"step 40: .*not finite.*lower learning rate.*is kept"):
        train(quick(), patches, out_dir=tmp_path / "model")

    assert load_model(tmp_path / "model")[1].step == 20


def test_a_folder_with_a_model_is_not_overwritten(tmp_path: Path, patches: Path):
    train(quick(), patches, out_dir=tmp_path / "model")

    with pytest.raises(ModelError, match=r"holds a run already.*--resume"):
        train(quick(), patches, out_dir=tmp_path / "model")


@pytest.mark.parametrize("name", ["model.safetensors", "best.safetensors", "config.json", "metrics.jsonl"])
def test_a_file_of_the_users_own_is_named_and_stays(tmp_path: Path, patches: Path, name: str):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / name).write_bytes(b"my own work")

    for resume in (False, True):
        with pytest.raises(ModelError, match=rf"holds {name}.*another folder \(--out\)|no run to go on with"):
            train(quick(), patches, out_dir=tmp_path / "model", resume=resume)

    kept = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    assert kept == {name: b"my own work"}


def test_a_run_that_ended_before_its_first_checkpoint_may_begin_anew(tmp_path: Path, patches: Path):
    train(quick(), patches, out_dir=tmp_path / "model")
    options = (tmp_path / "model" / "config.json").read_bytes()
    for path in (tmp_path / "model").glob("*.safetensors"):
        path.unlink()
    with (tmp_path / "model" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')

    train(quick(steps=20), patches, out_dir=tmp_path / "model")

    (tmp_path / "options").mkdir()
    (tmp_path / "options" / "config.json").write_bytes(options)
    with pytest.raises(ModelError, match=r"holds config\.json"):
        train(quick(steps=20), patches, out_dir=tmp_path / "options")
    train(quick(), patches, out_dir=tmp_path / "options")
    assert (tmp_path / "options" / "config.json").read_bytes() == options


def test_an_empty_name_of_a_folder_is_refused(patches: Path):
    result = CliRunner().invoke(app, ["train", str(patches), "--out", ""])
    assert result.exit_code == 2
    assert "is empty: name a folder" in result.output


def test_a_full_disk_between_state_and_model_leaves_a_run_that_resumes_to_the_same_bytes(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    train(quick(), patches, out_dir=tmp_path / "whole")
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.startswith((".model", ".best")):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SrDataError, match=r"writing the model: the disk is full"):
        train(quick(checkpoint_every=60), patches, out_dir=tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "last.safetensors",
        "metrics.jsonl",
    ]
    monkeypatch.undo()

    train(quick(checkpoint_every=60), patches, out_dir=tmp_path / "model", resume=True)

    assert load_model(tmp_path / "model")[1].step == 60
    for name, tensor in load_model(tmp_path / "whole")[0].state_dict().items():
        assert torch.equal(tensor, load_model(tmp_path / "model")[0].state_dict()[name])
    assert (tmp_path / "model" / "best.safetensors").exists()


def test_a_full_disk_at_the_first_checkpoint_does_not_bar_the_way_to_a_new_run(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(SrDataError, match="the disk is full"):
            train(quick(), patches, out_dir=tmp_path / "model")

    train(quick(), patches, out_dir=tmp_path / "model")


def test_a_folder_with_a_model_but_no_state_holds_no_run_and_is_not_written_over(
    tmp_path: Path, patches: Path
):
    train(quick(), patches, out_dir=tmp_path / "model")
    (tmp_path / "model" / "last.safetensors").unlink()

    with pytest.raises(
        ModelError, match=r"no run to go on with.*cannot be trained further.*without --resume, into another"
    ):
        train(quick(), patches, out_dir=tmp_path / "model", resume=True)
    with pytest.raises(ModelError, match=r"holds model\.safetensors and best"):
        train(quick(steps=40), patches, out_dir=tmp_path / "model")

    assert load_model(tmp_path / "model")[1].step == 60


def test_a_run_is_not_written_into_a_set(patches: Path):
    with pytest.raises(ShardError, match="lies in the set"):
        train(quick(), patches, out_dir=patches / "model")

    assert not (patches / "model").exists()


def test_two_runs_do_not_share_a_folder(tmp_path: Path, patches: Path):
    (tmp_path / "model").mkdir()
    with folder_lock(tmp_path / "model") as ours:
        assert ours
        with pytest.raises(ModelError, match="another run is writing"):
            train(quick(), patches, out_dir=tmp_path / "model")

    train(quick(steps=10), patches, out_dir=tmp_path / "model")


def test_a_resumed_run_takes_the_options_that_are_left_out_from_the_run(tmp_path: Path, patches: Path):
    config = quick("espcn", seed=5)
    with pytest.raises(_KilledError):
        train(config, patches, out_dir=tmp_path / "model", progress=_StopAfter(31))

    found = resumed_config(tmp_path / "model", checkpoint_every=30)

    assert found == config.model_copy(update={"checkpoint_every": 30})
    assert train(found, patches, out_dir=tmp_path / "model", resume=True).steps == 60
    with pytest.raises(ModelError, match=r"began with other options: seed was 5, is 6\."):
        train(resumed_config(tmp_path / "model", seed=6), patches, out_dir=tmp_path / "model", resume=True)
    with pytest.raises(ModelError, match="holds no run to go on with"):
        resumed_config(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"device": "tpu"}, "device is tpu, it must be 'auto', 'cpu' or 'cuda'"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0, it must be greater than 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan, it must be a finite number"),
        ({"seed": 2**63}, f"seed is {2**63}, it must be less than {2**63}"),
        ({"stepz": 1}, "there is no option stepz. Did you mean steps?"),
        ({"warmup_steps": 60}, "warmup_steps is 60, it must be less than steps (60)"),
    ],
)
def test_an_option_out_of_range_is_one_sentence(options: dict[str, Any], complaint: str):
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        quick(**options)


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), MemoryError()]
)
def test_a_batch_that_does_not_fit_in_memory_names_a_smaller_one(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def too_much(*_: object) -> None:
        raise error

    monkeypatch.setattr(Step, "_gradients", too_much)
    with pytest.raises(ModelError, match=r"batch of 400 patch pairs does not fit.*--batch-size 50\."):
        train(quick(batch_size=400), patches, out_dir=tmp_path / "model")


def test_a_run_is_resumed_only_as_it_began(tmp_path: Path, patches: Path):
    with pytest.raises(ModelError, match="holds no run to go on with"):
        train(quick(), patches, out_dir=tmp_path / "model", resume=True)
    train(quick(), patches, out_dir=tmp_path / "model")

    with pytest.raises(ModelError, match=r"steps was 60, is 80.*learning_rate was 0\.\d+, is 0\.5"):
        train(quick(steps=80, learning_rate=0.5), patches, out_dir=tmp_path / "model", resume=True)
    write_set(tmp_path / "other", {"train": scenes(30, seed=9)})
    with pytest.raises(ModelError, match="the run began on a set with content digest"):
        train(quick(), tmp_path / "other", out_dir=tmp_path / "model", resume=True)


@pytest.mark.parametrize("harm", ["pickle", "truncated", "empty", "foreign names"])
def test_a_run_whose_state_was_harmed_is_refused_in_one_sentence(tmp_path: Path, patches: Path, harm: str):
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    train(quick(), patches, out_dir=tmp_path / "model")
    state = tmp_path / "model" / "last.safetensors"
    header, tensors = read_tensors(state, kind="state")
    match harm:
        case "pickle":
            state.write_bytes(pickle.dumps(Trap()))
        case "truncated":
            state.write_bytes(state.read_bytes()[:-100])
        case "empty":
            state.write_bytes(b"")
        case "foreign names":
            save_tensors(state, {f"module.{name}": tensor for name, tensor in tensors.items()}, header)

    with pytest.raises(
        ModelError, match=r"last\.safetensors (is not a whole safetensors|does not hold the network)"
    ):
        train(quick(), patches, out_dir=tmp_path / "model", resume=True)
    assert not (tmp_path / "sprung").exists()
    assert load_model(tmp_path / "model")[1].step == 60


def test_the_scale_of_a_set_is_read_from_its_recipe(patches: Path, tmp_path: Path):
    assert scale_of(patches) == 2
    with pytest.raises(ShardError):
        scale_of(tmp_path / "nowhere")


def test_training_leaves_the_settings_of_torch_as_they_were(tmp_path: Path, patches: Path):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.random.get_rng_state()

    train(quick(steps=5), patches, out_dir=tmp_path / "model")

    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    assert torch.equal(state, torch.random.get_rng_state())


def test_some_seconds_on_a_few_real_images_beat_bicubic_by_far(real_data: Path, tmp_path: Path):
    lr_patches, hr_patches = [], []
    for path in sorted((real_data / "t91").glob("t1*.png")):
        hr = luma_of_rgb(mod_cropped(read_planes(path), 3))
        lr = degrade_frame(hr, Bicubic(), 3, bit_depth=8)
        for top, left in itertools.product(range(0, lr.shape[1] - 16, 14), range(0, lr.shape[2] - 16, 14)):
            lr_patches.append(lr[:, top : top + 17, left : left + 17])
            hr_patches.append(hr[:, 3 * top : 3 * (top + 17), 3 * left : 3 * (left + 17)])
    write_set(tmp_path / "set", {"train": (np.array(lr_patches), np.array(hr_patches))})

    train(preset("residual", scale=3, steps=600, device="cpu"), tmp_path / "set", out_dir=tmp_path / "model")

    report = evaluate(
        tmp_path / "model", [real_data / "set5" / "GT"], protocol=PROTOCOLS["y-double"], device="cpu"
    )
    # Bicubic has 30.39 / 0.8682.
    assert report.mean.psnr > 31.4
    assert report.mean.ssim > 0.88
