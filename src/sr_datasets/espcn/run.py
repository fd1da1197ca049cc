"""What changes while training: weights, their running mean, the optimizer's memory, the step; as files and back."""

import copy
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from sr_datasets.errors import ModelError
from sr_datasets.espcn.checkpoint import (
    BEST_NAME,
    MODEL_NAME,
    STATE_NAME,
    DataFacts,
    Header,
    copy_into,
    read_header,
    read_tensors,
    save_model,
    save_tensors,
)
from sr_datasets.espcn.config import TrainConfig
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.ranks import Ranks
from sr_datasets.espcn.revision import git_revision
from sr_datasets.espcn.schedule import Plateau, PlateauState
from sr_datasets.espcn.soap import Soap

ADVICE: Final = "Train anew in another folder with a lower learning rate (--learning-rate)."

_FREE_TO_CHANGE = frozenset({"device", "log_every", "checkpoint_every", "data"})
"""Options that a resumed run may have otherwise than the run had before."""
_MEMORIES = {
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
    "sgd": ("momentum_buffer",),
}
_WINDOW = "plateau.window"


class Run:
    """A run under way, in one process. All processes of a run hold the same numbers."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        """Begin at step 0."""
        self.config = config
        self.model = Espcn(config.model, seed=config.seed).to(device)
        if config.channels_last:
            # Convolutions of few channels are a quarter faster on CPUs so; on GPUs tensor cores ask for it.
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged: Espcn = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = _optimizer(self.model, config)
        self.plateau = Plateau(config, PlateauState(), torch.zeros(1, dtype=torch.float64, device=device))
        self.step = 0
        self.val_psnr: float | None = None
        self.best_val_psnr: float | None = None

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.config.steps or self.plateau.ended

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self.plateau.rate_at(self.step)

    def set_learning_rate(self) -> None:
        """Give the optimizer the learning rate of the next step."""
        first, last = self.optimizer.param_groups
        first["lr"], last["lr"] = self.learning_rate, self.learning_rate * self.config.last_layer_rate

    def count(self, loss: Tensor) -> None:
        """Count a step as done: move the running mean, and tell the schedule its loss.

        The mean moves faster at first, lest it remember where training began.
        """
        self.step += 1
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            means: list[Tensor] = list(self.averaged.parameters())
            weights: list[Tensor] = list(self.model.parameters())
            torch._foreach_lerp_(means, weights, 1 - decay)  # one kernel for all of them on a GPU
        self.plateau.count(loss, self.step)

    def save(self, out_dir: Path, facts: DataFacts) -> None:
        """Write the state, then the model: a run that dies between them is resumed, and ``complete`` writes it again.

        Without the state there is no run, so that what a full disk leaves never bars the way to a new one.

        Raises:
            ModelError: Weights are no numbers; the last good checkpoint stays.
        """
        is_best = self.val_psnr is not None and (
            self.best_val_psnr is None or self.val_psnr > self.best_val_psnr
        )
        if is_best:
            self.best_val_psnr = self.val_psnr
        header = self._header(facts)
        state = header.model_copy(
            update={
                "kind": "state",
                "schedule": self.plateau.state if self.config.schedule == "plateau" else None,
            }
        )
        try:
            save_tensors(out_dir / STATE_NAME, self._tensors(), state)
            save_model(out_dir / MODEL_NAME, self.averaged, header)
            if is_best:
                save_model(out_dir / BEST_NAME, self.averaged, header)
        except ModelError as error:
            raise ModelError(f"step {self.step}: {error} {ADVICE} {kept(out_dir)}") from error

    def complete(self, out_dir: Path, facts: DataFacts) -> None:
        """Write the models that are missing or older than the state, after a kill or a full disk between them."""
        header = self._header(facts)
        if _header_of(out_dir / MODEL_NAME) != (self.step, self.val_psnr):
            save_model(out_dir / MODEL_NAME, self.averaged, header)
        if self.val_psnr is not None and self.val_psnr == self.best_val_psnr:
            _, best = _header_of(out_dir / BEST_NAME)
            if best != self.val_psnr:
                save_model(out_dir / BEST_NAME, self.averaged, header)

    def restore(self, path: Path, facts: DataFacts) -> None:
        """Go back to where a file says that the run was.

        Raises:
            ModelError: There is no such file, or it is of a run with other options or other shards.
        """
        header, tensors = read_tensors(path, kind="state")
        if header.train is None or header.data is None:
            raise ModelError(says_nothing(path))
        if changed := _differences(header.train, self.config):
            raise ModelError(
                f"{path}: the run began with other options: {'; '.join(changed)}. Resume it without them, or "
                "train anew in another folder."
            )
        if header.data.content_digest != facts.content_digest:
            raise ModelError(
                f"{path}: the run began on a set with content digest {header.data.content_digest}, this one has "
                f"{facts.content_digest}. Resume it on the same shards, or train anew in another folder."
            )
        self.step = header.step
        self._make_memories()
        copy_into(self._tensors(), tensors, path)
        self.val_psnr, self.best_val_psnr = header.val_psnr, header.best_val_psnr
        self.plateau.state = header.schedule or PlateauState()

    def restore_all(self, path: Path, facts: DataFacts, ranks: Ranks) -> None:
        """Restore in the first process, and give the others the same numbers: only the first one reads the file.

        Raises:
            ModelError: As ``restore``, in all of them.
        """

        def numbers() -> dict[str, Any]:
            self.restore(path, facts)
            return {
                "step": self.step,
                "val_psnr": self.val_psnr,
                "best_val_psnr": self.best_val_psnr,
                "schedule": self.plateau.state.model_dump(),
            }

        found = ranks.first_does(numbers)
        if not ranks.is_first:
            self.step, self.val_psnr = found["step"], found["val_psnr"]
            self.best_val_psnr, self.plateau.state = (
                found["best_val_psnr"],
                PlateauState(**found["schedule"]),
            )
            self._make_memories()
        ranks.copy_from_first(self._tensors().values())

    def _header(self, facts: DataFacts) -> Header:
        return Header(
            kind="model",
            model=self.config.model,
            step=self.step,
            val_psnr=self.val_psnr,
            best_val_psnr=self.best_val_psnr,
            train=self.config,
            data=facts,
            revision=git_revision(),
        )

    def _make_memories(self) -> None:
        """Give the optimizer the memory that it has after some steps."""
        config = self.config
        if isinstance(self.optimizer, Soap):
            self.optimizer.steps = self.step  # it keeps memory of its own from the start
            return
        for parameter in self.model.parameters():
            memory: dict[str, Tensor] = {}
            if config.optimizer != "sgd":
                memory["step"] = torch.tensor(
                    float(self.step), device=parameter.device if parameter.is_cuda else "cpu"
                )
            # Tensors laid out in memory as their parameter: fused kernels walk through all of them at once.
            for name in self._memory_names(parameter):
                memory[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            self.optimizer.state[parameter] = memory

    def _memory_names(self, parameter: Tensor) -> tuple[str, ...]:
        config = self.config
        if config.optimizer == "soap":
            return tuple(self.optimizer.state[parameter])
        return () if config.optimizer == "sgd" and not config.momentum else _MEMORIES[config.optimizer]

    def _tensors(self) -> dict[str, Tensor]:
        """Return everything that a run needs to go on, by name; the tensors themselves, not copies."""
        tensors = {f"weights.{name}": each.detach() for name, each in self.model.named_parameters()}
        tensors |= {f"average.{name}": each for name, each in self.averaged.named_parameters()}
        kind = self.config.optimizer.removesuffix("w")
        for name, parameter in self.model.named_parameters():
            memory = self.optimizer.state[parameter]
            tensors |= {f"{kind}.{each}.{name}": memory[each] for each in self._memory_names(parameter)}
        if self.config.schedule == "plateau":
            tensors[_WINDOW] = self.plateau.total
        return tensors


def kept(out_dir: Path) -> str:
    """Say whether a folder has a checkpoint of before."""
    path = out_dir / MODEL_NAME
    return f"The last good checkpoint is kept: {path}" if path.exists() else "No checkpoint had been written."


def says_nothing(path: Path) -> str:
    """Say that a state lacks what a run needs."""
    return f"{path} does not say how its run was trained. Train anew, in another folder."


def _optimizer(model: Espcn, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer with two groups of parameters: the last layer's is the second."""
    with_weights = [each for each in model.modules() if list(each.parameters(recurse=False))]
    last = {id(parameter) for parameter in with_weights[-1].parameters()}
    groups = [
        {"params": [each for each in model.parameters() if (id(each) in last) == is_last]}
        for is_last in (False, True)
    ]
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(
                groups, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay, fused=True
            )
        case "adamw":
            return torch.optim.AdamW(
                groups, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay, fused=True
            )
        case "soap":
            return Soap(groups, betas=(config.beta1, config.beta2))
        case "sgd":
            return torch.optim.SGD(
                groups,
                lr=config.learning_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                fused=True,
            )


def _header_of(path: Path) -> tuple[int | None, float | None]:
    """Return step and validation PSNR of a model; None of one that is missing or damaged."""
    try:
        header = read_header(path)
    except ModelError:
        return None, None
    return header.step, header.val_psnr


def _differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    old, new = before.model_dump(exclude=set(_FREE_TO_CHANGE)), now.model_dump(exclude=set(_FREE_TO_CHANGE))
    return [f"{name} was {old[name]}, is {new[name]}" for name in old if old[name] != new[name]]
