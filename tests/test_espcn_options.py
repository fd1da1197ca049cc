"""Every option of a run by name: on the command line, in files, and what the shards themselves say."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import numpy as np
import torch
from patches import write_set
from test_espcn_train import metrics_of, quick, scenes
from typer.testing import CliRunner

from sr_datasets.cli.main import app
from sr_datasets.cli.training import train_command
from sr_datasets.errors import MissingExtraError, ModelError
from sr_datasets.espcn import watch
from sr_datasets.espcn.checkpoint import load_model, read_header
from sr_datasets.espcn.config import PRESETS, EspcnConfig, TrainConfig, option_names, preset
from sr_datasets.espcn.data import network_of
from sr_datasets.espcn.options import config_of, parsed_option, read_config
from sr_datasets.espcn.schedule import Plateau, PlateauState
from sr_datasets.espcn.step import Step
from sr_datasets.espcn.train import train

pytestmark = pytest.mark.torch
NETWORK = {"scale": 2}


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    write_set(tmp_path / "set", {"train": scenes(30)})
    return tmp_path / "set"


def write_frames(set_dir: Path, frames: int, *, color: str = "y") -> Path:
    """Write rows of several frames that differ, HR that of the centre one."""
    lr, hr = scenes(20)
    if color == "rgb":
        lr, hr = np.repeat(lr, 3, axis=1), np.repeat(hr, 3, axis=1)
    shifted = [np.roll(lr, frame - frames // 2, axis=-1) for frame in range(frames)]
    write_set(set_dir, {"train": (np.stack(shifted, axis=1), hr)}, color=color)
    return set_dir


def test_every_option_has_a_name_of_its_own_and_a_meaning():
    names = option_names()

    assert len(set(names)) == len(names)
    assert {*names, "model", "preset"} == {*TrainConfig.model_fields, *EspcnConfig.model_fields}
    shown = invoke("train", "--options")
    assert shown.exit_code == 0
    for name in names:
        assert f"\n{name}=" in f"\n{shown.stdout}"


def test_the_options_of_the_command_are_fields_of_the_configuration():
    known = set(train_command.__annotations__) - {
        *("shards", "out_dir", "preset", "config_file", "options", "workers", "tensorboard", "resume"),
        *("list_options", "as_json", "return"),
    }
    assert known <= set(TrainConfig.model_fields)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_comes_back_from_its_own_file(tmp_path: Path, name: str):
    config = preset(name, scale=3, seed=4, model={"upsampling": "transposed"})
    (tmp_path / "config.json").write_text(config.model_dump_json())

    found = config_of({"scale": 3}, file=read_config(tmp_path / "config.json"))

    assert found == config


def test_the_configuration_of_a_run_makes_the_same_run_again(tmp_path: Path, patches: Path):
    first = [*("--preset", "quick", "--steps", 20, "--set", "loss=charbonnier", "--set", "clip_norm=0.5")]
    assert invoke("train", patches, "--out", tmp_path / "a", *first).exit_code == 0
    again = invoke("train", patches, "--out", tmp_path / "b", "--config", tmp_path / "a" / "config.json")

    assert again.exit_code == 0, again.output
    assert (tmp_path / "a" / "config.json").read_text() == (tmp_path / "b" / "config.json").read_text()
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (
        tmp_path / "b" / "model.safetensors"
    ).read_bytes()


def test_options_win_over_a_file_and_a_file_over_a_preset(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("loss: l1\nseed: 5\nlearning_rate: 1e-3\nmodel:\n  activation: relu\n")

    found = config_of(NETWORK, preset_name="espcn-t91", file=read_config(path), options=["seed=6"], steps=9)

    assert (found.preset, found.loss, found.seed, found.steps) == ("espcn-t91", "l1", 6, 9)
    assert (found.learning_rate, found.model.activation, found.model.last_gain) == (1e-3, "relu", 0.02)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lerning_rate=1", "there is no option lerning_rate. Did you mean learning_rate"),
        ("activaton=relu", "there is no option activaton. Did you mean activation"),
        ("loss", "write name=value"),
        ("loss=l2", "loss is l2, it must be 'mse', 'l1' or 'charbonnier'"),
        ("activation=elu", "activation is elu, it must be 'tanh'"),
        ("model=3", "there is no option model"),
        ("stop_after=3", "stop_after goes with schedule=plateau"),
        ("lowest_learning_rate=1", "lowest_learning_rate is 1.0, it must be at most learning_rate"),
        ("shuffle_channels=true", "shuffle_channels goes with colors=3"),
    ],
)
def test_a_wrong_option_is_a_usage_error_in_one_sentence(
    tmp_path: Path, patches: Path, text: str, complaint: str
):
    result = invoke("train", patches, "--out", tmp_path / "model", "--set", text)

    assert result.exit_code == 2
    assert complaint in " ".join(result.output.split())
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("[1, 2]", "holds no options"), ("a: b: c", "not YAML"), ('{"model": 3}', "holds no options")],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str, complaint: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)

    with pytest.raises(ModelError, match=complaint):
        read_config(path)
    with pytest.raises(ModelError, match="No such file"):
        read_config(tmp_path / "nowhere.yaml")


def test_an_option_of_a_file_that_there_is_none_of_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"there is no option stpes\. Did you mean steps"):
        config_of(NETWORK, file={"stpes": 3})
    with pytest.raises(ValueError, match=r"there is no option activatoin\. Did you mean activation"):
        config_of(NETWORK, file={"model": {"activatoin": "relu"}})


def test_values_are_read_as_their_fields_have_them():
    assert parsed_option("crop=17") == ("crop", 17)
    assert parsed_option("augment=false") == ("augment", False)
    assert parsed_option("model.scale=3") == ("scale", 3)
    assert parsed_option("val-split=test") == ("val_split", "test")


@pytest.mark.parametrize("frames", [3, 5])
@pytest.mark.parametrize("color", ["y", "rgb"])
def test_shards_of_colours_and_frames_decide_the_network(tmp_path: Path, frames: int, color: str):
    shards = write_frames(tmp_path / "set", frames, color=color)
    colors = 3 if color == "rgb" else 1
    assert network_of(shards) == {"scale": 2, "frames": frames, **({"colors": 3} if colors == 3 else {})}

    config = config_of(network_of(shards), preset_name="espcn-video", steps=30, options=["batch_size=4"])
    train(config, shards, out_dir=tmp_path / "model")

    model, header = load_model(tmp_path / "model")
    assert (header.model.frames, header.model.colors) == (frames, colors)
    assert model.conv1.weight.shape[1] == frames * colors
    assert metrics_of(tmp_path / "model")[-1]["loss"] < 0.1


def test_a_network_of_one_frame_learns_from_the_centre_frames_of_the_same_shards(tmp_path: Path):
    shards = write_frames(tmp_path / "set", 3)
    lr, hr = scenes(20)
    write_set(tmp_path / "centre", {"train": (lr, hr)})
    config = quick(steps=10)

    with pytest.raises(ModelError, match=r"frames per patch.* is 3, the network's is 1.*centre_frames=true"):
        train(config, shards, out_dir=tmp_path / "refused")
    train(quick(steps=10, centre_frames=True), shards, out_dir=tmp_path / "a")
    train(config, tmp_path / "centre", out_dir=tmp_path / "b")

    assert metrics_of(tmp_path / "a") == metrics_of(tmp_path / "b")


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "plateau", "plateau_steps": 7},
        {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.05},
        {"optimizer": "adamw", "weight_decay": 0.01, "loss": "l1", "crop": 5},
        {"precision": "bfloat16", "channels_last": False, "clip_norm": 0.1, "lowest_learning_rate": 1e-4},
        {"block": 1, "data": "disk", "schedule": "constant", "augment": False},
    ],
    ids=str,
)
def test_a_resumed_run_of_any_options_repeats_the_unbroken_one(
    tmp_path: Path, patches: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    from test_espcn_train import _KilledError, _StopAfter

    config = quick(**options)
    train(config, patches, out_dir=tmp_path / "unbroken")
    with pytest.raises(_KilledError):
        train(config, patches, out_dir=tmp_path / "broken", progress=_StopAfter(33))
    train(config, patches, out_dir=tmp_path / "broken", resume=True)

    for name in ("model", "last"):
        one, other = (tmp_path / run / f"{name}.safetensors" for run in ("unbroken", "broken"))
        assert one.read_bytes() == other.read_bytes()
    assert metrics_of(tmp_path / "broken") == metrics_of(tmp_path / "unbroken")
    losses = [line["loss"] for line in metrics_of(tmp_path / "broken")]
    assert losses[-1] < losses[0]


def test_the_plateau_rule_lowers_the_rate_when_the_loss_no_longer_falls_and_ends_the_run():
    config = quick(
        schedule="plateau",
        learning_rate=0.01,
        lowest_learning_rate=1e-3,
        plateau_steps=2,
        plateau_factor=0.1,
        plateau_threshold=0.1,
        stop_after=2,
    )
    rule = Plateau(config, PlateauState(), torch.zeros(1, dtype=torch.float64))
    rates, ended = [], []
    # Windows of two steps with means 1, 0.5, 0.49 (less than a tenth better), 0.3, 0.3, 0.3.
    for step, loss in enumerate([1, 1, 0.6, 0.4, 0.49, 0.49, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3], start=1):
        rule.count(torch.tensor(float(loss)), step)
        rates.append(rule.rate_at(step))
        ended.append(rule.ended)

    assert rates[1::2] == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-3, 1e-3])
    assert rule.state.rate == pytest.approx(1e-3)
    assert ended[1::2] == [False, False, False, False, False, True]


def test_a_run_that_the_rule_ends_is_whole_and_resumes_to_itself(tmp_path: Path, patches: Path):
    config = quick(schedule="plateau", plateau_steps=5, plateau_threshold=0.99, stop_after=3, steps=500)

    report = train(config, patches, out_dir=tmp_path / "model")

    assert report.steps == 20
    assert read_header(tmp_path / "model" / "model.safetensors").step == 20
    assert train(config, patches, out_dir=tmp_path / "model", resume=True).steps == 20


def test_metrics_say_the_share_of_time_that_went_into_getting_batches(tmp_path: Path, patches: Path):
    report = train(quick(), patches, out_dir=tmp_path / "model")

    shares = [line["waited"] for line in metrics_of(tmp_path / "model", timed=True)]
    assert len(shares) == 6
    assert all(0 < share < 1 for share in shares)
    assert 0 < report.waited < 1
    assert json.loads(json.dumps(report.to_json()))["waited"] == round(report.waited, 4)


def test_without_tensorboard_the_message_says_what_to_install(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    import sys

    for name in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(MissingExtraError, match=r"'tensorboard' extra: pip install"):
        train(quick(), patches, out_dir=tmp_path / "model", tensorboard=True)
    assert not (tmp_path / "model").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_curves_and_pictures(tmp_path: Path):
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shards = write_frames(tmp_path / "set", 3)
    train(quick(model={"frames": 3}), shards, out_dir=tmp_path / "model", tensorboard=True)

    events = EventAccumulator(str(tmp_path / "model" / watch.TENSORBOARD_NAME))
    events.Reload()
    losses = {event.step: event.value for event in events.Scalars("loss")}
    lines = metrics_of(tmp_path / "model")
    assert losses == pytest.approx({line["step"]: line["loss"] for line in lines})
    assert [event.step for event in events.Images("patches")] == [20, 40, 60]


def test_a_cuda_graph_on_a_cpu_is_refused(tmp_path: Path, patches: Path):
    with pytest.raises(ModelError, match="cuda_graph records what a GPU does"):
        train(quick(cuda_graph=True), patches, out_dir=tmp_path / "model")


def test_pixels_that_do_not_fit_in_memory_say_so_where_they_must(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    import sr_datasets.dataset.pairs as pairs_module

    def too_much(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(pairs_module, "check_fits", too_much)
    with pytest.raises(ModelError, match=r"do not fit in the memory of cpu.*--set data=disk"):
        train(quick(data="memory"), patches, out_dir=tmp_path / "model")


def test_a_crop_that_is_larger_than_the_patches_is_refused(tmp_path: Path, patches: Path):
    with pytest.raises(ModelError, match=r"its LR patches are 8x8, a crop of 9 is larger"):
        train(quick(crop=9), patches, out_dir=tmp_path / "model")


def test_without_a_folder_the_model_goes_into_model(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    assert invoke("train", patches, "--preset", "quick", "--steps", 3).exit_code == 0

    assert load_model(tmp_path / "model")[1].step == 3


def test_a_compiler_that_is_not_there_is_one_sentence(
    tmp_path: Path, patches: Path, monkeypatch: pytest.MonkeyPatch
):
    # As torch._inductor has them, which takes seconds to load.
    missing = type("InvalidCxxCompiler", (RuntimeError,), {"__module__": "torch._inductor.exc"})

    def refuse(*_: object) -> None:
        raise missing("\nNo working C++ compiler found\nin three lines")

    monkeypatch.setattr(Step, "_gradients", refuse)
    monkeypatch.setattr(torch, "compile", lambda model: model)
    with pytest.raises(
        ModelError, match=r"torch.compile failed: No working C\+\+ compiler found\. Train without"
    ):
        train(quick(compile=True), patches, out_dir=tmp_path / "model")


def test_a_preset_may_have_another_rate_at_one_scale_and_options_win_over_both():
    rates = {scale: preset("residual", scale=scale).learning_rate for scale in (2, 3, 4)}

    assert rates == {2: 2e-3, 3: 4e-3, 4: 4e-3}
    assert preset("residual", scale=2, learning_rate=1e-3).learning_rate == 1e-3


def test_a_run_that_is_cut_short_rises_for_a_tenth_of_it_at_most():
    assert preset("deep", scale=3).warmup_steps == preset("deep", scale=3, steps=2_000).warmup_steps == 150
    assert preset("deep", scale=3, steps=60).warmup_steps == 6
    assert preset("deep", scale=3, steps=60, warmup_steps=20).warmup_steps == 20
