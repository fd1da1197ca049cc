"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., 2024, arXiv 2409.11321).

A kernel's gradient, as a matrix G of outputs by inputs, is turned by the eigenvectors of the running means of
G G^T and G^T G, and Adam takes its step there. For networks as small as these a step costs little more than
Adam's, and it reaches the same loss in far fewer of them (docs/benchmarks.md).
"""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor

ADAM_MEMORY: Final = ("exp_avg", "exp_avg_sq")
"""What is kept of every parameter: the running means of the gradient, and of its square in the eigenbasis."""
KERNEL_MEMORY: Final = (*ADAM_MEMORY, "left", "right", "left_basis", "right_basis")
"""What is kept of a kernel: also the running means of G G^T and G^T G, and their eigenvectors as columns."""

_EPS = 1e-8


class Soap(torch.optim.Optimizer):
    """SOAP for kernels, plain Adam for biases.

    Kernels of one shape go through it together. The first gradient makes the bases and moves no kernel; after that
    the bases follow every ``refresh`` steps, by one power iteration and a QR decomposition.
    """

    def __init__(
        self,
        params: Any,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        beta_basis: float = 0.95,
        refresh: int = 10,
    ) -> None:
        """Take parameters, or groups of them with a learning rate (``lr``) each.

        Args:
            params: As any optimizer of torch takes them.
            betas: How much stays of the running means of the gradient and of its square, at each step.
            beta_basis: How much stays of the running means of G G^T and G^T G.
            refresh: Steps between two turns of the bases.
        """
        super().__init__(params, {"lr": 1e-3})
        self.betas, self.beta_basis, self.refresh = betas, beta_basis, refresh
        self.steps = 0
        self._stacks: dict[tuple[int, tuple[int, ...]], dict[str, Tensor]] = {}
        for number, shape, parameters in self._alike():
            self._stacks[number, shape] = memory = _memory(parameters)
            for place, parameter in enumerate(parameters):
                # Views: what is written into them, as when a run is restored, is written into the stack.
                self.state[parameter] = {name: each[place] for name, each in memory.items()}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all parameters by their gradients."""
        self.steps += 1
        for number, shape, parameters in self._alike():
            gradients = torch.stack([_matrix(_gradient(parameter)) for parameter in parameters])
            memory, rate = self._stacks[number, shape], self.param_groups[number]["lr"]
            if "left" in memory and self.steps == 1:
                _begin(memory, gradients)
                continue
            changes = self._changes(memory, gradients).reshape(len(parameters), *shape)
            for parameter, change in zip(parameters, changes, strict=True):
                parameter.sub_(change, alpha=rate)

    def _alike(self) -> Iterator[tuple[int, tuple[int, ...], list[Tensor]]]:
        """Yield the parameters of one shape in each group, with the number of the group."""
        for number, group in enumerate(self.param_groups):
            shapes: dict[tuple[int, ...], list[Tensor]] = {}
            for parameter in group["params"]:
                shapes.setdefault(tuple(parameter.shape), []).append(parameter)
            for shape, parameters in shapes.items():
                yield number, shape, parameters

    def _changes(self, memory: dict[str, Tensor], gradients: Tensor) -> Tensor:
        """Return what is taken off the parameters, but for the learning rate, and remember the gradients."""
        beta1, beta2 = self.betas
        memory["exp_avg"].lerp_(gradients, 1 - beta1)
        mean, turned = memory["exp_avg"], gradients
        if "left" in memory:
            left, right = memory["left_basis"], memory["right_basis"]
            mean, turned = left.mT @ mean @ right, left.mT @ gradients @ right
        memory["exp_avg_sq"].lerp_(turned.square(), 1 - beta2)
        square = memory["exp_avg_sq"] / (1 - beta2**self.steps)
        changes = mean / (1 - beta1**self.steps) / (square.sqrt() + _EPS)
        if "left" not in memory:
            return changes
        changes = left @ changes @ right.mT
        memory["left"].lerp_(gradients @ gradients.mT, 1 - self.beta_basis)
        memory["right"].lerp_(gradients.mT @ gradients, 1 - self.beta_basis)
        if self.steps % self.refresh == 0 or self.steps == 2:
            _turn(memory, "left", axis=1)
            _turn(memory, "right", axis=2)
        return changes


def _matrix(gradient: Tensor) -> Tensor:
    """Return a kernel's gradient as outputs by inputs, a bias's as one row."""
    return gradient.flatten(1) if gradient.ndim > 1 else gradient[None]


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _memory(parameters: list[Tensor]) -> dict[str, Tensor]:
    """Return zeros for what is kept of parameters of one shape, one after another along axis 0."""
    matrix = _matrix(parameters[0])
    rows, columns = matrix.shape
    sizes = {"exp_avg": (rows, columns), "exp_avg_sq": (rows, columns)}
    if parameters[0].ndim > 1:
        sizes |= {"left": (rows, rows), "right": (columns, columns)}
        sizes |= {"left_basis": (rows, rows), "right_basis": (columns, columns)}
    return {name: matrix.new_zeros(len(parameters), *size) for name, size in sizes.items()}


def _begin(memory: dict[str, Tensor], gradients: Tensor) -> None:
    memory["left"].copy_(gradients @ gradients.mT)
    memory["right"].copy_(gradients.mT @ gradients)
    for name in ("left", "right"):
        memory[f"{name}_basis"].copy_(torch.linalg.eigh(memory[name])[1])


def _turn(memory: dict[str, Tensor], name: str, *, axis: int) -> None:
    """Move a basis towards the eigenvectors of its mean, strongest first; the squares go along."""
    mean, basis = memory[name], memory[f"{name}_basis"]
    strength = (basis.mT @ mean @ basis).diagonal(dim1=1, dim2=2)
    order = strength.argsort(dim=1, descending=True, stable=True)
    along = order[:, :, None] if axis == 1 else order[:, None, :]
    squares = memory["exp_avg_sq"]
    squares.copy_(squares.gather(axis, along.expand_as(squares)))
    basis.copy_(torch.linalg.qr(mean @ basis.gather(2, order[:, None, :].expand_as(basis)))[0])
