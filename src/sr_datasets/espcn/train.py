"""Trains ESPCN from shards. ``train`` is the whole of it, from top to bottom.

The n-th batch, its symmetries and the learning rate are functions of the step, and a checkpoint holds the rest:
weights, their running mean and Adam's memory. So a run that was stopped, however rudely, goes on from its last
checkpoint to the same bytes as a run that was not (on one machine, with as many threads).
"""

import contextlib
import copy
import json
import math
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
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
from sr_datasets.espcn.config import TrainConfig, checked_config
from sr_datasets.espcn.data import PatchSet, has_split, open_patches
from sr_datasets.espcn.model import Espcn
from sr_datasets.files import disk_errors, folder_lock, write_atomic
from sr_datasets.progress import Progress, Silent

METRICS_NAME: Final = "metrics.jsonl"
"""One JSON object a line: step, loss, learning rate, samples per second; ``val_psnr`` at checkpoints."""

_FREE_TO_CHANGE = frozenset({"device", "log_every", "checkpoint_every"})
"""Options that a resumed run may have otherwise than the run had before."""


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training run made."""

    model_path: Path
    """The model to use."""
    num_parameters: int
    """Weights and biases."""
    steps: int
    """Training steps, those before a resume included."""
    num_rows: int
    """Patch pairs that were learnt from."""
    loss: float | None
    """Mean loss of the last steps; None when there was nothing left to do."""
    val_psnr: float | None
    """PSNR on the validation split, dB; None without one."""
    seconds: float
    """Time of this call's steps."""
    samples_per_second: float
    """Patch pairs learnt from per second of it."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "model": str(self.model_path),
            "parameters": self.num_parameters,
            "steps": self.steps,
            "rows": self.num_rows,
            "loss": self.loss,
            "val_psnr": self.val_psnr,
            "seconds": round(self.seconds, 1),
            "samples_per_second": round(self.samples_per_second, 1),
        }

    def to_text(self) -> str:
        """Return the report as a few lines of text."""
        lines = [
            f"{self.model_path}",
            f"{self.num_parameters} parameters, {self.steps} steps on {self.num_rows} patch pairs",
            f"{self.seconds:.0f} s, {self.samples_per_second:.0f} patch pairs/s",
        ]
        if self.val_psnr is not None:
            lines.append(f"{self.val_psnr:.2f} dB on the validation split (all pixels of its patches, luma)")
        return "\n".join(lines)


def train(
    config: TrainConfig,
    data_dir: Path,
    *,
    out_dir: Path,
    resume: bool = False,
    workers: int = 0,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a network on a shard set.

    The folder gets ``model.safetensors`` (the running mean of the weights: the model to use), ``last.safetensors``
    (to resume from), ``metrics.jsonl``, and ``best.safetensors`` when the set has a validation split.

    Args:
        config: Every option; ``preset`` makes one.
        data_dir: Folder that ``sr-data build-pairs`` wrote.
        out_dir: Folder for the model; made if missing.
        resume: Go on with the run that the folder holds.
        workers: Processes that read patches, when they do not fit in memory.
        progress: Where to report, silent by default.

    Raises:
        ModelError: The shards do not fit the network, the folder holds a run already or, to resume, none or one of
            other options or shards, or the loss is no longer a number.
        ShardError: The set is damaged, or lacks the split.
    """
    progress = progress or Silent()
    device = _device(config.device)
    data, facts = open_patches(data_dir, config.split, scale=config.model.scale)
    val = None
    if has_split(data_dir, config.val_split):
        val, _ = open_patches(data_dir, config.val_split, scale=config.model.scale)

    run = _Run(config, device)
    with (
        disk_errors("writing the model", out_dir),
        _own_folder(out_dir, resume=resume),
        _memory_errors(config),
        _deterministic(config),
        contextlib.ExitStack() as opened,
    ):
        if resume:
            run.restore(out_dir / STATE_NAME, facts)
            run.complete(out_dir, facts)
        progress.log(_describe(config, run.model, data, device))
        metrics = opened.enter_context(_MetricsFile(out_dir / METRICS_NAME, last_step=run.step))
        bar = opened.enter_context(progress.bar("train", total=config.steps, unit="steps"))
        bar.advance(run.step)
        first_step, started, mean_loss, losses = run.step, time.perf_counter(), None, []
        for lr, hr in data.batches(config, first_step=first_step, device=device, workers=workers):
            run.set_learning_rate(config.learning_rate_at(run.step))
            loss = _loss(run.model(lr), hr, config)
            run.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if config.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip_norm)
            run.optimizer.step()
            run.step += 1
            run.update_average()
            losses.append(loss.detach())
            bar.advance(1)

            checkpoint = run.step % config.checkpoint_every == 0 or run.step == config.steps
            if checkpoint or run.step % config.log_every == 0:
                mean_loss = _mean_loss(losses, run.step, out_dir)
                losses.clear()
                speed = (run.step - first_step) * config.batch_size / (time.perf_counter() - started)
                bar.note(_note(mean_loss, config, run.val_psnr))
                if checkpoint:
                    if val is not None:
                        run.val_psnr = _psnr(run.averaged, val, device)
                    run.save(out_dir, facts)
                metrics.write(
                    step=run.step,
                    loss=mean_loss,
                    learning_rate=config.learning_rate_at(run.step - 1),
                    samples_per_second=round(speed, 1),
                    **({"val_psnr": run.val_psnr} if checkpoint and val is not None else {}),
                )
        seconds = time.perf_counter() - started

    return TrainReport(
        model_path=out_dir / MODEL_NAME,
        num_parameters=run.model.num_parameters,
        steps=run.step,
        num_rows=data.num_rows,
        loss=mean_loss,
        val_psnr=run.val_psnr,
        seconds=seconds,
        samples_per_second=(run.step - first_step) * config.batch_size / seconds,
    )


def resumed_config(out_dir: Path, **overrides: Any) -> TrainConfig:
    """Return the configuration that a folder's run goes on with: its own, but for the options that are named.

    Args:
        out_dir: Folder of a run.
        **overrides: Fields of ``TrainConfig``. ``train`` refuses those that would make it another run.

    Raises:
        ModelError: The folder holds no run, or its state is damaged.
        ValueError: There is no such option, or a value is out of range.
    """
    _require_run(out_dir)
    header = read_header(out_dir / STATE_NAME)
    if header.train is None:
        raise ModelError(_says_nothing(out_dir / STATE_NAME))
    return checked_config({**header.train.model_dump(), **overrides})


def _require_run(out_dir: Path) -> None:
    if (out_dir / STATE_NAME).exists():
        return
    has_model = (
        " The model that it holds cannot be trained further." if (out_dir / MODEL_NAME).exists() else ""
    )
    raise ModelError(
        f"{out_dir} holds no run to go on with ({STATE_NAME} is missing).{has_model} Train anew: the same command "
        "without --resume."
    )


def _says_nothing(path: Path) -> str:
    return f"{path} does not say how its run was trained. Train anew, in another folder."


@contextlib.contextmanager
def _own_folder(out_dir: Path, *, resume: bool) -> Iterator[None]:
    """Hold the folder for this run alone. A folder without a training state holds no run: a new one may begin there.

    Raises:
        ModelError: Another run is writing into it; it holds a run already or, to resume, none.
    """
    if resume:
        _require_run(out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise ModelError(f"{out_dir} is a file. Name a folder (--out).")
    out_dir.mkdir(parents=True, exist_ok=True)
    with folder_lock(out_dir) as ours:
        if not ours:
            raise ModelError(
                f"{out_dir}: another run is writing into this folder. Wait for it to end, or choose another folder."
            )
        if not resume and (out_dir / STATE_NAME).exists():
            raise ModelError(
                f"{out_dir} holds a run already ({STATE_NAME}). Go on with it (--resume), or choose another folder."
            )
        if not resume:
            (out_dir / BEST_NAME).unlink(missing_ok=True)  # of a run that left no state
        yield


class _Run:
    """What changes while training: weights, their running mean, Adam's memory, the step."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        # Convolutions of few channels are a quarter faster on CPUs with channels last; on GPUs they ask for it too.
        model = Espcn(config.model, seed=config.seed).to(device)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged: Espcn = copy.deepcopy(self.model).requires_grad_(False)
        last = {id(parameter) for parameter in self.model.conv3.parameters()}
        groups = [
            [each for each in self.model.parameters() if (id(each) in last) == is_last]
            for is_last in (False, True)
        ]
        self.optimizer = torch.optim.Adam(
            [{"params": group} for group in groups], betas=(config.beta1, config.beta2), fused=True
        )
        self.step = 0
        self.val_psnr: float | None = None
        self.best_val_psnr: float | None = None

    def set_learning_rate(self, rate: float) -> None:
        """Set Adam's step of the layers."""
        first, last = self.optimizer.param_groups
        first["lr"], last["lr"] = rate, rate * self.config.last_layer_rate

    def update_average(self) -> None:
        """Move the running mean towards the weights; faster at first, lest it remember where training began."""
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, parameter in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(parameter, 1 - decay)

    def save(self, out_dir: Path, facts: DataFacts) -> None:
        """Write the state, then the model: a run that dies between them is resumed, and ``restore`` writes it again.

        Without the state there is no run, so that what a full disk leaves never bars the way to a new one.
        """
        is_best = self.val_psnr is not None and (
            self.best_val_psnr is None or self.val_psnr > self.best_val_psnr
        )
        if is_best:
            self.best_val_psnr = self.val_psnr
        header = self._header(facts)
        try:
            save_tensors(out_dir / STATE_NAME, self._tensors(), header.model_copy(update={"kind": "state"}))
            save_model(out_dir / MODEL_NAME, self.averaged, header)
            if is_best:
                save_model(out_dir / BEST_NAME, self.averaged, header)
        except ModelError as error:
            raise ModelError(f"step {self.step}: {error} {_ADVICE} {_kept(out_dir)}") from error

    def complete(self, out_dir: Path, facts: DataFacts) -> None:
        """Write the models that are missing or older than the state, after a kill or a full disk between them."""
        header = self._header(facts)
        if _header_of(out_dir / MODEL_NAME) != (self.step, self.val_psnr):
            save_model(out_dir / MODEL_NAME, self.averaged, header)
        if self.val_psnr is not None and self.val_psnr == self.best_val_psnr:
            _, best = _header_of(out_dir / BEST_NAME)
            if best != self.val_psnr:
                save_model(out_dir / BEST_NAME, self.averaged, header)

    def _header(self, facts: DataFacts) -> Header:
        return Header(
            kind="model",
            model=self.config.model,
            step=self.step,
            val_psnr=self.val_psnr,
            best_val_psnr=self.best_val_psnr,
            train=self.config,
            data=facts,
        )

    def restore(self, path: Path, facts: DataFacts) -> None:
        """Go back to where a file says that the run was.

        Raises:
            ModelError: There is no such file, or it is of a run with other options or other shards.
        """
        header, tensors = read_tensors(path, kind="state")
        if header.train is None or header.data is None:
            raise ModelError(_says_nothing(path))
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
        for parameter in self.model.parameters():
            # Tensors laid out in memory as their parameter: Adam's fused kernel walks through all of them at once.
            self.optimizer.state[parameter] = {
                "step": torch.tensor(
                    float(header.step), device=parameter.device if parameter.is_cuda else "cpu"
                ),
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
        copy_into(self._tensors(), tensors, path)
        self.step, self.val_psnr, self.best_val_psnr = header.step, header.val_psnr, header.best_val_psnr

    def _tensors(self) -> dict[str, Tensor]:
        """Return everything that a run needs to go on, by name; the tensors themselves, not copies."""
        tensors = {f"weights.{name}": each.detach() for name, each in self.model.named_parameters()}
        tensors |= {f"average.{name}": each for name, each in self.averaged.named_parameters()}
        for name, parameter in self.model.named_parameters():
            memory = self.optimizer.state[parameter]
            tensors |= {f"adam.{kind}.{name}": memory[kind] for kind in ("exp_avg", "exp_avg_sq")}
        return tensors


class _MetricsFile(contextlib.AbstractContextManager["_MetricsFile"]):
    """JSON-lines, flushed line by line; a resumed run first drops what a killed one wrote after its checkpoint."""

    def __init__(self, path: Path, *, last_step: int) -> None:
        kept = [line for line in _lines(path) if _step_of(line) <= last_step] if last_step else []
        write_atomic(path, "".join(f"{line}\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8")

    def write(self, **values: float | int | None) -> None:
        """Add one line."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _step_of(line: str) -> float:
    """Return the step of a line, infinite when it is not whole."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _loss(sr: Tensor, hr: Tensor, config: TrainConfig) -> Tensor:
    match config.loss:
        case "mse":
            return F.mse_loss(sr, hr)
        case "l1":
            return F.l1_loss(sr, hr)
        case "charbonnier":
            return ((sr - hr).square() + 1e-6).sqrt().mean()


_ADVICE = "Train anew in another folder with a lower learning rate (--learning-rate)."


def _mean_loss(losses: list[Tensor], step: int, out_dir: Path) -> float:
    """Return the mean of the last steps' losses.

    Raises:
        ModelError: One of them is not a number; what was saved before stays.
    """
    values = torch.stack(losses).tolist()
    for number, value in enumerate(values, start=step - len(values) + 1):
        if not math.isfinite(value):
            raise ModelError(
                f"the loss of step {number} is {value}: training stopped. {_ADVICE} {_kept(out_dir)}"
            )
    return math.fsum(values) / len(values)


def _kept(out_dir: Path) -> str:
    path = out_dir / MODEL_NAME
    return f"The last good checkpoint is kept: {path}" if path.exists() else "No checkpoint had been written."


def _psnr(model: Espcn, patches: PatchSet, device: torch.device) -> float:
    """Return the PSNR over all pixels of a split, clipped to 0..1, not rounded, dB."""
    total, count = 0.0, 0
    with torch.no_grad():
        for lr, hr in patches.in_order(256, device):
            total += float((model(lr).clamp(0, 1) - hr).square().sum(dtype=torch.float64))
            count += hr.numel()
    return 10 * math.log10(count / total) if total else math.inf


def _header_of(path: Path) -> tuple[int | None, float | None]:
    """Return step and validation PSNR of a model; None of one that is missing or damaged."""
    try:
        header = read_header(path)
    except ModelError:
        return None, None
    return header.step, header.val_psnr


def _note(loss: float, config: TrainConfig, val_psnr: float | None) -> str:
    words = f"loss {loss:.2e}"
    if config.loss == "mse":
        words += f" ({-10 * math.log10(loss):.2f} dB)" if loss else ""
    return words if val_psnr is None else f"{words}, val {val_psnr:.2f} dB"


def _describe(config: TrainConfig, model: Espcn, data: PatchSet, device: torch.device) -> str:
    """Return the whole configuration as text of 80 columns."""
    options = {**config.model_dump(exclude={"model"}), **config.model.model_dump()}
    text = ", ".join(f"{name}={value}" for name, value in options.items())
    head = f"ESPCN x{config.model.scale}, {model.num_parameters} parameters, {data.num_rows} patch pairs, {device.type}"
    return "\n".join([head, *textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="  ")])


def _differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    old, new = before.model_dump(exclude=set(_FREE_TO_CHANGE)), now.model_dump(exclude=set(_FREE_TO_CHANGE))
    return [f"{name} was {old[name]}, is {new[name]}" for name in old if old[name] != new[name]]


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("there is no CUDA device that this torch can use. Train on the CPU: --device cpu")
    return torch.device(
        "cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu")
    )


@contextlib.contextmanager
def _memory_errors(config: TrainConfig) -> Iterator[None]:
    """Turn a batch that does not fit in memory into one sentence.

    Raises:
        ModelError: In place of what torch or Python raised.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # Torch has a class of its own for the GPU's memory only.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(
            error
        ):
            raise
        smaller = max(1, min(config.batch_size // 8, 256))
        raise ModelError(
            f"a batch of {config.batch_size} patch pairs does not fit in memory. Try --batch-size {smaller}."
        ) from error


@contextlib.contextmanager
def _deterministic(config: TrainConfig) -> Iterator[None]:
    """Use the run's threads, and only algorithms that repeat their bits, while the block runs."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(config.deterministic or strict)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
