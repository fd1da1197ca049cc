"""One step's arithmetic: the network, its loss, their gradients; on a GPU as a recorded graph where asked for."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_datasets.errors import ModelError
from sr_datasets.espcn.config import TrainConfig

_WARM_UP = 3
"""Runs before a graph is recorded, so that cuDNN has chosen its algorithms."""


class Step:
    """Computes the loss of a batch, and leaves its gradients in the parameters."""

    def __init__(self, model: nn.Module, config: TrainConfig, device: torch.device) -> None:
        """Prepare steps.

        Raises:
            ModelError: A CUDA graph is asked for on a CPU.
        """
        if config.cuda_graph and device.type != "cuda":
            raise ModelError("cuda_graph records what a GPU does, and this run is on the CPU: leave it out.")
        self.model, self.config, self.device = model, config, device
        self.network: Callable[[Tensor], Tensor] = torch.compile(model) if config.compile else model
        self._graph: torch.cuda.CUDAGraph | None = None
        self._lr = self._hr = self._loss = torch.empty(0)

    def __call__(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Return the mean loss of a batch, detached; the gradients are those of it."""
        if not self.config.cuda_graph:
            return self._gradients(lr, hr)
        if self._graph is None:
            self._record(lr, hr)
            assert self._graph is not None
        self._lr.copy_(lr)
        self._hr.copy_(hr)
        self._graph.replay()
        return self._loss.clone()

    def _gradients(self, lr: Tensor, hr: Tensor) -> Tensor:
        bfloat16 = self.config.precision == "bfloat16"
        # A recorded graph must not hold weights that autocast converted for another step.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            sr = self.network(lr)
        loss = loss_of(sr.float() if bfloat16 else sr, hr, self.config)
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _record(self, lr: Tensor, hr: Tensor) -> None:
        """Record a step on memory of its own: torch's recipe of a warm-up beside the main stream, then a capture."""
        self._lr, self._hr = lr.clone(), hr.clone()
        main, beside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(main)
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UP):
                self._gradients(self._lr, self._hr)
        main.wait_stream(beside)
        self.model.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._loss = self._gradients(self._lr, self._hr)
        self._graph = graph


def loss_of(sr: Tensor, hr: Tensor, config: TrainConfig) -> Tensor:
    """Return the mean loss over all pixels of a batch, samples on 0..1."""
    match config.loss:
        case "mse":
            return F.mse_loss(sr, hr)
        case "l1":
            return F.l1_loss(sr, hr)
        case "charbonnier":
            return ((sr - hr).square() + 1e-6).sqrt().mean()
