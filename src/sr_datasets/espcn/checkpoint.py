"""Models and training states as files: safetensors, with one JSON header that says what they are.

Nothing is ever unpickled, so that a file of unknown origin can be opened. The header holds no time, host or path:
the same run writes the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sr_datasets import __version__
from sr_datasets.errors import ModelError
from sr_datasets.espcn.config import EspcnConfig, TrainConfig
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.schedule import PlateauState
from sr_datasets.files import write_atomic
from sr_datasets.models import Model

MODEL_NAME: Final = "model.safetensors"
"""The model to use: the running mean of the weights at the last checkpoint."""
BEST_NAME: Final = "best.safetensors"
"""The model with the highest PSNR on the validation split, when the shards have one."""
STATE_NAME: Final = "last.safetensors"
"""All that a run needs to go on as if it had not stopped."""

# One key, so that the file's bytes do not depend on the order of a hash table.
_HEADER_KEY = "sr-datasets"
_LONGEST = 200
_PICKLED = frozenset({".pt", ".pth", ".ckpt"})
_NEVER_OPENED = "Pickled files (.pt, .pth) are never opened, since they can run code."


class DataFacts(Model):
    """What a model was trained on."""

    recipe: dict[str, Any]
    """The recipe of the set, as it was built."""
    content_digest: str
    """Digest of the whole set: rows, draws and pixels (docs/shards.md)."""
    shards: dict[str, str]
    """SHA-256 of each shard that was learnt from, by name; empty when there are more than 100."""
    num_shards: int = 0
    """How many there are; 0 in files of older versions."""
    shards_sha256: str = ""
    """SHA-256 of the lines ``SHA-256  NAME`` of these shards, by name: what ``sha256sum`` prints of them, hashed."""
    sources: dict[str, int]
    """Clips of each source among the set's inputs."""
    split: str = ""
    """The split that was learnt from."""
    clips: int = 0
    """Clips of that split."""
    licenses: dict[str, int] = Field(default_factory=dict)
    """How many of these clips are under which licence, as the catalog had them."""
    obligations: tuple[str, ...] = ()
    """What those licences oblige to, the strictest first."""
    rows: int
    """Patch pairs that were learnt from."""


class Header(Model):
    """What a file says of itself."""

    format: Literal[1] = 1
    """Version of the file format."""
    kind: Literal["model", "state"]
    """``model``: the weights to use; ``state``: a training run that can go on."""
    model: EspcnConfig
    """The network."""
    step: int = Field(default=0, ge=0)
    """Training steps done."""
    val_psnr: float | None = None
    """PSNR on the validation split at this step, dB; luma of 0..255, all pixels of all patches as one picture."""
    best_val_psnr: float | None = None
    """The highest until this step."""
    train: TrainConfig | None = None
    """How it was trained."""
    schedule: PlateauState | None = None
    """What the rule ``plateau`` remembers; of states of such runs."""
    data: DataFacts | None = None
    """What it was trained on."""
    revision: str | None = None
    """Git commit of the checkout that trained it, ``-dirty`` when files were changed; None of an installed package."""
    tensors_sha256: str | None = None
    """SHA-256 of names, types, shapes and numbers of the file's tensors; None in files of older versions."""
    versions: dict[str, str] = Field(
        default_factory=lambda: {"sr-datasets": __version__, "torch": str(torch.__version__)}
    )
    """Versions of the packages that made it."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Header) -> None:
    """Write tensors and their header, whole or not at all.

    Raises:
        ModelError: A number is infinite or not a number: such a file would be of no use.
    """
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path} was not written: {name} holds numbers that are not finite.")
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    header = header.model_copy(update={"tensors_sha256": _digest(plain)})
    text = json.dumps(header.model_dump(mode="json"), sort_keys=True)
    # Through memory: safetensors' own writer makes files that only their owner may read.
    write_atomic(path, save(plain, metadata={_HEADER_KEY: text}))


def read_header(path: Path) -> Header:
    """Return what a model or a training state says of itself.

    Raises:
        ModelError: The file is missing, damaged or foreign.
    """
    header, _ = _read(path, tensors=False)
    return header


def read_tensors(path: Path, *, kind: Literal["model", "state"]) -> tuple[Header, dict[str, Tensor]]:
    """Return header and tensors of a file of ours, on the CPU.

    Raises:
        ModelError: The file is missing, damaged, foreign, or of the other kind.
    """
    header, tensors = _read(path, tensors=True)
    if header.kind != kind:
        wanted = {"model": f"a model ({MODEL_NAME})", "state": f"a training state ({STATE_NAME})"}
        raise ModelError(
            f"{path} is {wanted[header.kind]}, needed is {wanted[kind]}: it lies in the same folder."
        )
    return header, tensors


def save_model(path: Path, model: Espcn, header: Header) -> None:
    """Write a network's weights with their header."""
    save_tensors(path, dict(model.state_dict()), header)


def load_model(path: Path) -> tuple[Espcn, Header]:
    """Return the network of a file, or of a folder that ``train`` wrote, ready to use on the CPU.

    Raises:
        ModelError: The file is missing, damaged or foreign.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MODEL_NAME
    header, tensors = read_tensors(path, kind="model")
    model = Espcn(header.model)
    copy_into(dict(model.state_dict()), tensors, path)
    return model.eval(), header


def copy_into(targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill tensors with those of a file; names, shapes and types must be the same.

    Raises:
        ModelError: They differ, or a number is infinite or not a number.
    """
    expected, found = (
        {name: _kind_of(tensor) for name, tensor in each.items()} for each in (targets, tensors)
    )
    if expected != found:
        odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise ModelError(
            f"{path} does not hold the network of its header: {plain(odd[0])} is {found.get(odd[0], 'missing')}, expected "
            f"{expected.get(odd[0], 'no such tensor')}. The file was altered: train again or take another copy."
        )
    for name, target in targets.items():
        if not bool(torch.isfinite(tensors[name]).all()):
            raise ModelError(
                f"{path}: {name} holds numbers that are not finite. Take another copy, or train again."
            )
        with torch.no_grad():
            target.copy_(tensors[name])


def refuse_pickled(item: str) -> None:
    """Refuse a pickled model that is named in place of pictures or videos.

    Raises:
        ModelError: It is one, by its name.
    """
    path = Path(item)
    if path.suffix.lower() in _PICKLED and path.is_file():
        raise ModelError(
            f"{path} is a pickled model, no picture and no video. {_NEVER_OPENED} Name a .safetensors file as the model."
        )


def plain(text: str, *, longest: int = _LONGEST) -> str:
    """Return text of a file of unknown origin as a terminal may show it: one short line, no control characters."""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return shown if len(shown) <= longest else f"{shown[:longest]}..."


def _kind_of(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _read(path: Path, *, tensors: bool) -> tuple[Header, dict[str, Tensor]]:
    advice = "Models are made by: sr-data train DIR --out FOLDER"
    if not path.is_file():
        raise ModelError(f"{path} is not there. {advice}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}. Allow reading it, or name another file."
        ) from error
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_HEADER_KEY)
            if text is None:
                raise ModelError(f"{path} is a safetensors file without the header of sr-datasets. {advice}")
            found = {name: file.get_tensor(name).clone() for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is not a whole safetensors file ({plain(str(error))}). {_NEVER_OPENED} {advice}"
        ) from error
    try:
        header = Header.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{plain('.'.join(map(str, problem['loc']))) or 'header'}: {plain(problem['msg'])}"
            for problem in error.errors()[:3]
        )
        raise ModelError(
            f"{path}: its header is not one that this version of sr-datasets reads: {problems}"
        ) from error
    if tensors and header.tensors_sha256 not in (None, _digest(found)):
        raise ModelError(
            f"{path}: its numbers are not those that were written (their SHA-256 is another): the file is damaged. Take "
            "another copy, or train again."
        )
    return header, found


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
