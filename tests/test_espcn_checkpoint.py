import errno
import json
import os
import pickle
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from safetensors.torch import save_file

from sr_datasets.errors import ModelError
from sr_datasets.espcn.checkpoint import (
    MODEL_NAME,
    DataFacts,
    Header,
    load_model,
    read_header,
    save_model,
    save_tensors,
)
from sr_datasets.espcn.config import preset
from sr_datasets.espcn.describe import describe_model
from sr_datasets.espcn.model import Espcn

pytestmark = pytest.mark.torch

CONFIG = preset("residual", scale=3, model={"last_gain": 1.0})
FACTS = DataFacts(
    recipe={"id": "made", "scale": 3},
    content_digest="ab" * 32,
    shards={"train-00000-of-00001.parquet": "cd" * 32},
    sources={"t91": 91},
    rows=2420,
)


def header(**changes: object) -> Header:
    return Header(kind="model", model=CONFIG.model, step=7, train=CONFIG, data=FACTS).model_copy(
        update=changes
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path / MODEL_NAME, Espcn(CONFIG.model, seed=4), header())
    return tmp_path / MODEL_NAME


def test_a_model_that_may_not_be_read_says_so(saved: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read: Permission denied"):
        load_model(saved)


def test_a_model_is_readable_by_those_whom_the_umask_lets(tmp_path: Path):
    before = os.umask(0o022)
    try:
        save_model(tmp_path / MODEL_NAME, Espcn(CONFIG.model), header())
    finally:
        os.umask(before)

    assert (tmp_path / MODEL_NAME).stat().st_mode & 0o777 == 0o644


def test_a_model_comes_back_with_its_weights_and_its_provenance(saved: Path):
    model, found = load_model(saved.parent)

    lr = torch.rand(1, 1, 8, 9)
    assert torch.equal(model(lr), Espcn(CONFIG.model, seed=4)(lr))
    assert found.tensors_sha256 is not None
    assert found == header(tensors_sha256=found.tensors_sha256) == read_header(saved)
    assert found.train == CONFIG
    assert found.data == FACTS
    assert set(found.versions) == {"sr-datasets", "torch"}
    assert not model.training


def test_the_same_model_gives_the_same_bytes(saved: Path, tmp_path: Path):
    save_model(tmp_path / "again.safetensors", Espcn(CONFIG.model, seed=4), header())

    assert saved.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert saved.stat().st_size < 200_000
    (tmp_path / "plain").touch()
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_pickled_file_is_refused_and_never_run(tmp_path: Path):
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / "model.pt").write_bytes(pickle.dumps(Trap()))
    torch.save({"trap": Trap()}, tmp_path / "model.pth")

    for name in ("model.pt", "model.pth"):
        with pytest.raises(ModelError, match=r"not a whole safetensors file .*never opened"):
            load_model(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("size", [0, 5, 100, 20_000])
def test_a_truncated_file_is_named(saved: Path, size: int):
    saved.write_bytes(saved.read_bytes()[:size])

    with pytest.raises(ModelError, match=r"model\.safetensors is not a whole safetensors file"):
        load_model(saved)


def test_a_missing_file_says_how_models_are_made(tmp_path: Path):
    with pytest.raises(ModelError, match=r"nothing\.safetensors is not there.*sr-data train"):
        load_model(tmp_path / "nothing.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors is not there"):
        load_model(tmp_path)


def test_a_safetensors_file_of_others_is_refused(tmp_path: Path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "theirs.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match="without the header of sr-datasets"):
        load_model(tmp_path / "theirs.safetensors")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"format": 2}, "format"), ({"surprise": 1}, "surprise"), ({"model": {"scale": 5}}, r"model\.scale")],
)
def test_a_header_of_another_version_says_what_is_wrong(
    tmp_path: Path, change: dict[str, object], complaint: str
):
    values = {**header().model_dump(mode="json"), **change}
    weights = dict(Espcn(CONFIG.model).state_dict())
    save_file(weights, tmp_path / "new.safetensors", metadata={"sr-datasets": json.dumps(values)})

    with pytest.raises(ModelError, match=f"its header is not one .*{complaint}"):
        load_model(tmp_path / "new.safetensors")


def test_weights_that_do_not_fit_the_header_are_refused(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    weights = dict(Espcn(CONFIG.model).state_dict())

    for changed, complaint in (
        ({**weights, "conv3.weight": torch.zeros(4, 32, 3, 3)}, r"conv3\.weight is float32 \(4, 32, 3, 3\)"),
        ({**weights, "conv1.bias": weights["conv1.bias"].double()}, r"conv1\.bias is float64"),
        ({**weights, "conv4.bias": torch.zeros(1)}, r"conv4\.bias .*no such tensor"),
        ({name: each for name, each in weights.items() if name != "conv2.bias"}, r"conv2\.bias is missing"),
    ):
        save_tensors(path, changed, header())
        with pytest.raises(ModelError, match=complaint):
            load_model(path)


def test_one_flipped_bit_of_a_weight_is_found(saved: Path):
    data = bytearray(saved.read_bytes())
    data[-9] ^= 0x40
    saved.write_bytes(data)

    for read in (load_model, describe_model):
        with pytest.raises(ModelError, match="its numbers are not those that were written"):
            read(saved)
    assert read_header(saved).step == 7


def test_numbers_that_are_not_finite_are_neither_written_nor_read(saved: Path):
    weights = dict(Espcn(CONFIG.model).state_dict())
    weights["conv1.bias"][3] = float("nan")
    before = saved.read_bytes()

    with pytest.raises(ModelError, match=r"conv1\.bias holds numbers that are not finite"):
        save_tensors(saved, weights, header())
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [MODEL_NAME]

    text = json.dumps(header().model_dump(mode="json"))
    save_file(weights, saved, metadata={"sr-datasets": text})
    with pytest.raises(ModelError, match=r"conv1\.bias holds numbers that are not finite"):
        load_model(saved)


def test_a_training_state_is_not_taken_for_a_model(tmp_path: Path):
    save_tensors(tmp_path / "last.safetensors", {"x": torch.zeros(1)}, header(kind="state"))

    with pytest.raises(ModelError, match=r"is a training state .*needed is a model \(model\.safetensors\)"):
        load_model(tmp_path / "last.safetensors")
