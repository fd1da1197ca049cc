"""What a run shows while it runs: JSON lines, a note beside the bar, TensorBoard, and where its time goes."""

import contextlib
import json
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sr_datasets.errors import MissingExtraError
from sr_datasets.espcn.config import TrainConfig
from sr_datasets.espcn.model import Espcn
from sr_datasets.files import write_atomic

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS_NAME: Final = "metrics.jsonl"
"""One JSON object a line: step, loss, learning rate, samples per second, share of the time that went into getting
batches; ``val_psnr`` at checkpoints."""
TENSORBOARD_NAME: Final = "tensorboard"
"""Folder of TensorBoard's event files."""

T = TypeVar("T")


class Clock:
    """How long a run takes, and how much of it it waits for data."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._start = time.perf_counter()
        self._waited = 0.0
        self._steps = 0

    def waiting(self, batches: Iterable[T]) -> Iterator[T]:
        """Hand batches on, and count the time until each was there.

        On the CPU that is reading, gathering and turning them. A GPU computes meanwhile: there it is the time in which
        the loop gave it nothing new to do, at most the time that the GPU waits.
        """
        source = iter(batches)
        while True:
            asked = time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:
                return
            self._waited += time.perf_counter() - asked
            yield batch
            self._steps += 1

    @property
    def seconds(self) -> float:
        """Time since the first step was asked for."""
        return time.perf_counter() - self._start

    @property
    def waited(self) -> float:
        """Share of the time in which batches were waited for, 0..1."""
        return self._waited / max(self.seconds, 1e-9)

    def samples_per_second(self, steps: int) -> float:
        """Return patch pairs per second, over all processes, when so many steps are done."""
        return steps * self.batch_size / max(self.seconds, 1e-9)


class MetricsFile(contextlib.AbstractContextManager["MetricsFile"]):
    """JSON lines, flushed line by line; a resumed run first drops what a killed one wrote after its checkpoint."""

    def __init__(self, path: Path, *, last_step: int) -> None:
        kept = [line for line in _lines(path) if _step_of(line) <= last_step] if last_step else []
        write_atomic(path, "".join(f"{line}\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8")

    def write(self, values: dict[str, float | int | None]) -> None:
        """Add one line."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.close()


class TensorBoard(contextlib.AbstractContextManager["TensorBoard"]):
    """Curves, and some patches as LR, SR and HR side by side."""

    def __init__(self, folder: Path, *, last_step: int) -> None:
        """Open the event files; what a killed run wrote after its checkpoint is hidden.

        Raises:
            MissingExtraError: TensorBoard is not installed.
        """
        self._writer = _writer_class()(str(folder), purge_step=last_step + 1 if last_step else None)

    def write(self, values: dict[str, float | int | None]) -> None:
        """Add a point to each curve."""
        step = values["step"]
        for name, value in values.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name, value, step)

    def show(self, model: Espcn, lr: Tensor, hr: Tensor, step: int) -> None:
        """Add pictures of a few patches: LR enlarged by repeating pixels, SR, HR, from left to right."""
        with torch.no_grad():
            sr = model(lr).clamp(0, 1)
        frame = lr[:, lr.shape[1] // 2] if lr.ndim == 5 else lr
        large = F.interpolate(frame, size=hr.shape[-2:], mode="nearest")
        self._writer.add_images("patches", torch.cat([large, sr, hr], dim=-1).cpu(), step)

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def require_tensorboard() -> None:
    """Make sure that TensorBoard is installed.

    Raises:
        MissingExtraError: It is not.
    """
    _writer_class()


def note_of(loss: float, config: TrainConfig, val_psnr: float | None, samples_per_second: float) -> str:
    """Return a few words beside the bar; of a mean squared error, also as the PSNR of the training patches."""
    words = f"{samples_per_second:.0f} pairs/s, loss {loss:.2e}"
    if config.loss == "mse":
        words += f" ({-10 * math.log10(loss):.2f} dB)" if loss else ""
    return words if val_psnr is None else f"{words}, val {val_psnr:.2f} dB"


def _writer_class() -> "type[SummaryWriter]":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("--tensorboard", extra="tensorboard") from error
    return SummaryWriter


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def is_of_runs(path: Path) -> bool:
    """Return whether all whole lines of a file are such as runs write."""
    if not path.is_file():
        return False
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    return all(math.isfinite(_step_of(line)) and '"loss": ' in line for line in lines)


def _step_of(line: str) -> float:
    """Return the step of a line, infinite when it is not whole."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
