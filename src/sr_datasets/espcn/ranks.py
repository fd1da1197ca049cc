"""The processes of one run: ``torchrun`` starts them, each has its part of every batch, and the first one writes.

Gradients of all parameters travel as one vector, in one sum: networks of 20,000 weights gain nothing from smaller
parts, and the fixed layout gives the same bits each time.
"""

import atexit
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sr_datasets.errors import ModelError, SrDataError

_Result = TypeVar("_Result")


class ToldByAnotherError(ModelError):
    """Stops this process for a reason that another one of the run gives; its own end needs no words."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of its run."""

    device: torch.device
    """Where this process computes."""
    rank: int = 0
    """Which one it is, from 0."""
    count: int = 1
    """How many there are."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def part_of(self, batch_size: int) -> int:
        """Return how many samples of a batch this process has; the parts differ by one at most."""
        return len(range(self.rank, batch_size, self.count))

    def sum_gradients(self, model: nn.Module, loss: Tensor, *, weight: float) -> Tensor:
        """Replace gradients by those of the whole batch, and return its loss.

        Args:
            model: Its gradients are those of the mean loss of this process's samples.
            loss: That mean loss.
            weight: This process's part of the batch, 0..1; the weights of all processes sum to 1.
        """
        if self.count == 1:
            return loss
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = torch.cat([each.reshape(-1) for each in gradients] + [loss.detach().reshape(1)])
        flat.mul_(weight)
        dist.all_reduce(flat)
        first = 0
        for gradient in gradients:
            gradient.copy_(flat[first : first + gradient.numel()].view_as(gradient))
            first += gradient.numel()
        return flat[-1]

    def sum_of(self, numbers: list[float]) -> list[float]:
        """Return the sums of numbers over all processes."""
        if self.count == 1:
            return numbers
        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return [float(each) for each in sums.tolist()]

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Fill tensors with those of the first process."""
        if self.count == 1:
            return
        for tensor in tensors:
            # Tensors lie in memory in an order of their own (channels last).
            plain = tensor.contiguous()
            dist.broadcast(plain, 0)
            tensor.copy_(plain)

    def first_does(self, work: Callable[[], Any]) -> Any:
        """Let the first process do something, and return its result, a JSON value, in all of them.

        Raises:
            SrDataError: What it raised in the first process; in the others ``ToldByAnotherError`` with the same words.
        """
        if self.count == 1:
            return work()
        answer: dict[str, Any] = {}
        failed: SrDataError | None = None
        if self.is_first:
            try:
                answer = {"value": work()}
            except SrDataError as error:
                failed, answer = error, {"error": str(error)}
        answer = self._told(answer)
        if failed is not None:
            raise failed
        if "error" in answer:
            raise ToldByAnotherError(answer["error"])
        return answer["value"]

    def each_does(self, work: Callable[[], _Result]) -> _Result:
        """Let every process do something that may fail in all of them or in some, and stop all when it does in one.

        Raises:
            SrDataError: What it raised here, in the first process with these words; ``ToldByAnotherError`` in the others.
        """
        if self.count == 1:
            return work()
        done: list[_Result] = []
        failed: SrDataError | None = None
        try:
            done.append(work())
        except SrDataError as error:
            failed = error
        texts = self._gathered("" if failed is None else str(failed))
        if failed is not None and texts.index(str(failed)) == self.rank:
            raise failed
        if any(texts):
            raise ToldByAnotherError(next(text for text in texts if text))
        return done[0]

    def of_all(self, error: SrDataError) -> SrDataError:
        """Return what to raise when every process finds the same wrong: the error in the first one."""
        return error if self.is_first else ToldByAnotherError(str(error))

    def _gathered(self, text: str) -> list[str]:
        """Return each process's text in all of them."""
        letters = torch.frombuffer(bytearray(text.encode() + b"\0"), dtype=torch.uint8).to(self.device)
        lengths = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.count)]
        dist.all_gather(lengths, torch.tensor([len(letters)], device=self.device))
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8, device=self.device)
        padded[: len(letters)] = letters
        texts = [torch.zeros_like(padded) for _ in range(self.count)]
        dist.all_gather(texts, padded)
        return [bytes(each.tolist()).partition(b"\0")[0].decode() for each in texts]

    def _told(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the first process's value in all of them; as text, since torch's own way would pickle it."""
        text = json.dumps(value).encode()
        length = torch.tensor([len(text)], device=self.device)
        dist.broadcast(length, 0)
        letters = torch.zeros(int(length), dtype=torch.uint8, device=self.device)
        if self.is_first:
            letters.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        dist.broadcast(letters, 0)
        found: dict[str, Any] = json.loads(bytes(letters.tolist()))
        return found


def is_first_here() -> bool:
    """Say whether this process speaks for those of its machine, before they have joined."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def is_first_process() -> bool:
    """Say whether this process reports: the only one, or the first of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def joined_ranks(device: str) -> Ranks:
    """Join the processes that ``torchrun`` started, if it did; they part when the process ends.

    A second run of the same process finds them joined: ``torchrun``'s store lets no process join twice.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``. On GPUs they talk through NCCL, each with its own GPU; else through Gloo.

    Raises:
        ModelError: There is no CUDA device, or fewer than processes on this machine; ``ToldByAnotherError`` in all of its
            processes but one.
    """
    if device == "cuda" and not torch.cuda.is_available():
        text = "there is no CUDA device that this torch can use. Train on the CPU: --device cpu"
        raise ModelError(text) if is_first_here() else ToldByAnotherError(text)
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if not dist.is_available() or "WORLD_SIZE" not in os.environ:
        return Ranks(torch.device("cuda" if on_gpu else "cpu"))
    here = torch.device("cpu")
    if on_gpu:
        number = int(os.environ.get("LOCAL_RANK", "0"))
        if number >= torch.cuda.device_count():
            text = (
                f"process {number} of this machine has no GPU: there are {torch.cuda.device_count()}. Start as many: "
                f"torchrun --nproc-per-node={torch.cuda.device_count()}"
            )
            raise ModelError(text) if number == torch.cuda.device_count() else ToldByAnotherError(text)
        here = torch.device("cuda", number)
        torch.cuda.set_device(here)
    if not dist.is_initialized():
        # Optimizers import it, and its functions keep the processes that have joined as a default: Gloo's threads would
        # outlive `_part`, and now and then abort the interpreter's end.
        from torch.distributed.nn import functional  # noqa: F401

        dist.init_process_group("nccl" if on_gpu else "gloo")
        atexit.register(_part)
    return Ranks(here, dist.get_rank(), dist.get_world_size())


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
