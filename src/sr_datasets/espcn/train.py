"""Trains ESPCN from shards. ``train`` is the whole of it, from top to bottom.

The n-th batch, its symmetries and the learning rate are functions of the step, and a checkpoint holds the rest:
weights, their running mean and the optimizer's memory. So a run that was stopped, however rudely, goes on from its
last checkpoint to the same bytes as a run that was not (on one machine, with as many threads and processes).
"""

import contextlib
import json
import math
import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError
from torch import Tensor

from sr_datasets.errors import ModelError
from sr_datasets.espcn.checkpoint import BEST_NAME, MODEL_NAME, STATE_NAME, DataFacts, read_header
from sr_datasets.espcn.config import TrainConfig, checked_config
from sr_datasets.espcn.data import PatchSet, has_split, open_patches
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.ranks import Ranks, joined_ranks
from sr_datasets.espcn.run import ADVICE, Run, kept, says_nothing
from sr_datasets.espcn.step import Step
from sr_datasets.espcn.watch import (
    METRICS_NAME,
    TENSORBOARD_NAME,
    Clock,
    MetricsFile,
    TensorBoard,
    is_of_runs,
    note_of,
    require_tensorboard,
)
from sr_datasets.files import disk_errors, folder_lock, write_atomic
from sr_datasets.progress import Progress, Silent
from sr_datasets.shards.sets import require_outside_sets

CONFIG_NAME: Final = "config.json"
"""The whole configuration; ``--config`` takes it."""

_VAL_BATCH = 256
_SHOWN_PATCHES = 4


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
    """Patch pairs learnt from per second of it, over all processes."""
    waited: float
    """Share of that time in which batches were waited for, 0..1."""
    num_ranks: int = 1
    """Processes."""

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
            "waited": round(self.waited, 4),
            "processes": self.num_ranks,
        }

    def to_text(self) -> str:
        """Return the report as a few lines of text."""
        lines = [
            f"{self.model_path}",
            f"{self.num_parameters} parameters, {self.steps} steps on {self.num_rows} patch pairs",
            f"{self.seconds:.0f} s, {self.samples_per_second:.0f} patch pairs/s, {self.waited:.1%} of the time for "
            "getting batches",
        ]
        if self.val_psnr is not None:
            lines.append(f"{self.val_psnr:.2f} dB on the validation split (all pixels of its patches)")
        return "\n".join(lines)


def train(
    config: TrainConfig,
    data_dir: Path,
    *,
    out_dir: Path,
    resume: bool = False,
    workers: int = 0,
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a network on a shard set.

    The folder gets ``model.safetensors`` (the running mean of the weights: the model to use), ``last.safetensors``
    (to resume from), ``config.json``, ``metrics.jsonl``, and ``best.safetensors`` when the set has a validation split.
    Started by ``torchrun``, the processes share each batch, and the first one writes.

    Args:
        config: Every option; ``preset`` makes one.
        data_dir: Folder that ``sr-data build-pairs`` wrote.
        out_dir: Folder for the model; made if missing, refused if it holds what this run would write over.
        resume: Go on with the run that the folder holds.
        workers: Processes that read patches, when they do not fit in memory.
        tensorboard: Write curves and sample pictures for TensorBoard, below the folder.
        progress: Where to report, silent by default.

    Raises:
        ModelError: The shards do not fit the network, the folder holds a run or a model already or, to resume, none or
            one of other options or shards, or the loss is no longer a number.
        ShardError: The set is damaged, or lacks the split.
        MissingExtraError: TensorBoard is asked for, and not installed.

    What stops all processes is raised in one of them; the others raise ``ToldByAnotherError``.
    """
    ranks = joined_ranks(config.device)
    progress = progress if progress is not None and ranks.is_first else Silent()
    _require_part(config, ranks)
    if tensorboard:
        ranks.first_does(require_tensorboard)
    with contextlib.ExitStack() as opened:
        data, facts, val = ranks.each_does(lambda: _opened(config, data_dir, ranks))
        run = Run(config, ranks.device)
        step = Step(run.model, config, ranks.device)

        opened.enter_context(disk_errors("writing the model", out_dir))
        ranks.first_does(lambda: opened.enter_context(_own_folder(out_dir, config, resume=resume)))
        opened.enter_context(_memory_errors(config))
        opened.enter_context(_deterministic(config, ranks))
        if resume:
            run.restore_all(out_dir / STATE_NAME, facts, ranks)
            ranks.first_does(lambda: run.complete(out_dir, facts))
        progress.log(_describe(config, run.model, data, ranks))
        watchers: list[MetricsFile | TensorBoard] = []
        if ranks.is_first:
            write_atomic(out_dir / CONFIG_NAME, _config_text(config))
            watchers.append(opened.enter_context(MetricsFile(out_dir / METRICS_NAME, last_step=run.step)))
        pictures = None
        if tensorboard and ranks.is_first:
            pictures = opened.enter_context(TensorBoard(out_dir / TENSORBOARD_NAME, last_step=run.step))
            watchers.append(pictures)
        bar = opened.enter_context(progress.bar("train", total=config.steps, unit="steps"))
        bar.advance(run.step, present=True)

        first_step, mean_loss, losses = run.step, None, list[Tensor]()
        clock = Clock(config.batch_size)
        batches = data.batches(config, first_step=first_step, ranks=ranks, workers=workers)
        for lr, hr in clock.waiting(() if run.ended else batches):
            run.set_learning_rate()
            learning_rate = run.learning_rate
            loss = step(lr, hr)
            loss = ranks.sum_gradients(run.model, loss, weight=len(lr) / config.batch_size)
            if config.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip_norm)
            run.optimizer.step()
            run.count(loss)
            losses.append(loss)
            bar.advance(1)

            checkpoint = run.step % config.checkpoint_every == 0 or run.ended
            if checkpoint or run.step % config.log_every == 0:
                mean_loss = _mean_loss(losses, run.step, out_dir, ranks)
                losses.clear()
                if checkpoint and val is not None:
                    run.val_psnr = _psnr(run.averaged, val, ranks)
                speed = clock.samples_per_second(run.step - first_step)
                bar.note(note_of(mean_loss, config, run.val_psnr, speed))
                line = {
                    "step": run.step,
                    "loss": mean_loss,
                    "learning_rate": learning_rate,
                    "samples_per_second": round(speed, 1),
                    "waited": round(clock.waited, 4),
                    **({"val_psnr": run.val_psnr} if checkpoint and val is not None else {}),
                }
                # The line before the state: a resumed run drops lines that are too new, it cannot make one anew.
                for watcher in watchers:
                    watcher.write(line)
                if checkpoint:
                    ranks.first_does(lambda: _save(run, out_dir, facts))
                    if pictures is not None:
                        pictures.show(run.averaged, *_shown(val or data, ranks), run.step)
            if run.ended:
                break
        seconds = clock.seconds

    return TrainReport(
        model_path=out_dir / MODEL_NAME,
        num_parameters=run.model.num_parameters,
        steps=run.step,
        num_rows=data.num_rows,
        loss=mean_loss,
        val_psnr=run.val_psnr,
        seconds=seconds,
        samples_per_second=(run.step - first_step) * config.batch_size / seconds,
        waited=clock.waited,
        num_ranks=ranks.count,
    )


def resumed_config(out_dir: Path, **overrides: Any) -> TrainConfig:
    """Return the configuration that a folder's run goes on with: its own, but for the options that are named.

    Args:
        out_dir: Folder of a run.
        **overrides: Fields of ``TrainConfig``; a dict for ``model`` changes the named fields. ``train`` refuses those
            that would make it another run.

    Raises:
        ModelError: The folder holds no run, or its state is damaged.
        ValueError: There is no such option, or a value is out of range.
    """
    _require_run(out_dir)
    header = read_header(out_dir / STATE_NAME)
    if header.train is None:
        raise ModelError(says_nothing(out_dir / STATE_NAME))
    before = header.train.model_dump()
    model = {**before["model"], **overrides.pop("model", {})}
    return checked_config({**before, **overrides, "model": model})


def _require_run(out_dir: Path) -> None:
    if (out_dir / STATE_NAME).exists():
        return
    has_model, elsewhere = "", ""
    if (out_dir / MODEL_NAME).exists():
        has_model = " The model that it holds cannot be trained further."
    if out_dir.is_dir() and any(out_dir.iterdir()):
        elsewhere = ", into another folder (--out)"
    raise ModelError(
        f"{out_dir} holds no run to go on with ({STATE_NAME} is missing).{has_model} Train anew: the same command "
        f"without --resume{elsewhere}."
    )


def _opened(config: TrainConfig, data_dir: Path, ranks: Ranks) -> tuple[PatchSet, DataFacts, PatchSet | None]:
    """Return the patches that are learnt from, what they are, and those that are scored, where the set has some."""
    data, facts = open_patches(data_dir, config.split, config, device=ranks.device)
    if not has_split(data_dir, config.val_split):
        return data, facts, None
    whole = config.model_copy(update={"crop": None})
    return data, facts, open_patches(data_dir, config.val_split, whole, device=ranks.device)[0]


def _require_part(config: TrainConfig, ranks: Ranks) -> None:
    if config.batch_size < ranks.count:
        raise ranks.of_all(
            ModelError(
                f"a batch of {config.batch_size} patch pairs cannot be shared by {ranks.count} processes. Try "
                f"--batch-size {ranks.count}, or fewer processes."
            )
        )


@contextlib.contextmanager
def _own_folder(out_dir: Path, config: TrainConfig, *, resume: bool) -> Iterator[None]:
    """Hold the folder for this run alone. Where a run ended before its first checkpoint, a new one may begin.

    Raises:
        ModelError: Another run is writing into it; it holds a run or a model already or, to resume, no run.
        ShardError: It lies in a set.
    """
    if resume:
        _require_run(out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise ModelError(f"{out_dir} is a file. Name a folder (--out).")
    require_outside_sets(out_dir)
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
        if not resume and (there := _in_the_way(out_dir, config)):
            raise ModelError(
                f"{out_dir} holds {' and '.join(there)}, which this run would write over. Nothing was changed there: choose "
                "another folder (--out), or move what is there away."
            )
        yield


def _in_the_way(out_dir: Path, config: TrainConfig) -> list[str]:
    """Return which files a new run would write over; those of a run that ended before its first checkpoint may go."""
    models = [name for name in (MODEL_NAME, BEST_NAME) if (out_dir / name).exists()]
    said = _bytes_of(out_dir / CONFIG_NAME)
    began = not models and _is_config(said) and is_of_runs(out_dir / METRICS_NAME)
    notes = [] if said == _config_text(config) or began else [CONFIG_NAME]
    notes += [] if began else [METRICS_NAME]
    return models + [name for name in notes if (out_dir / name).exists()]


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _is_config(text: bytes) -> bool:
    """Return whether a run wrote this of its options: a hand leaves other bytes."""
    try:
        return _config_text(TrainConfig.model_validate_json(text)) == text
    except ValidationError:
        return False


def _config_text(config: TrainConfig) -> bytes:
    return (config.model_dump_json(indent=1) + "\n").encode()


def _save(run: Run, out_dir: Path, facts: Any) -> None:
    with disk_errors("writing the model", out_dir):
        run.save(out_dir, facts)


def _mean_loss(losses: list[Tensor], step: int, out_dir: Path, ranks: Ranks) -> float:
    """Return the mean of the last steps' losses.

    Raises:
        ModelError: One of them is not a number; what was saved before stays.
    """
    values = torch.stack(losses).tolist()
    for number, value in enumerate(values, start=step - len(values) + 1):
        if not math.isfinite(value):
            text = f"the loss of step {number} is {value}: training stopped. {ADVICE} {kept(out_dir)}"
            raise ranks.of_all(ModelError(text))
    return math.fsum(values) / len(values)


def _psnr(model: Espcn, patches: PatchSet, ranks: Ranks) -> float:
    """Return the PSNR over all pixels of a split, clipped to 0..1, not rounded, dB."""
    total, count = 0.0, 0
    with torch.no_grad():
        for lr, hr in patches.in_order(_VAL_BATCH, ranks):
            total += float((model(lr).clamp(0, 1) - hr).square().sum(dtype=torch.float64))
            count += hr.numel()
    squares, pixels = ranks.sum_of([total, float(count)])
    return 10 * math.log10(pixels / squares) if squares else math.inf


def _shown(patches: PatchSet, ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Return the patches that TensorBoard shows: the first ones of a split."""
    alone = Ranks(ranks.device)
    return next(patches.in_order(_SHOWN_PATCHES, alone))


def _describe(config: TrainConfig, model: Espcn, data: PatchSet, ranks: Ranks) -> str:
    """Return the whole configuration as text of 80 columns."""
    options = {**config.model_dump(exclude={"model"}), **config.model.model_dump()}
    text = ", ".join(f"{name}={json.dumps(value).strip(chr(34))}" for name, value in options.items())
    where = ranks.device.type if ranks.count == 1 else f"{ranks.count} processes, {ranks.device.type}"
    held = "in memory" if data.pixels is not None else "read from disk"
    head = f"ESPCN x{config.model.scale}, {model.num_parameters} parameters, {data.num_rows} patch pairs {held}, {where}"
    return "\n".join([head, *textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="  ")])


@contextlib.contextmanager
def _memory_errors(config: TrainConfig) -> Iterator[None]:
    """Turn a batch that does not fit in memory, and a compiler that is not there, into one sentence.

    Raises:
        ModelError: In place of what torch or Python raised.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
            raise ModelError(
                f"torch.compile failed: {reason[:200]}. Train without it (--set compile=false), or install a compiler."
            ) from error
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
def _deterministic(config: TrainConfig, ranks: Ranks) -> Iterator[None]:
    """Use the run's threads, and only algorithms that repeat their bits, while the block runs."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fastest = torch.backends.cudnn.benchmark
    if config.deterministic and ranks.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(config.deterministic or strict)
    torch.backends.cudnn.benchmark = not config.deterministic
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        torch.backends.cudnn.benchmark = fastest
