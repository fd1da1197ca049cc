"""The paper's rule for the learning rate: lower it when the loss no longer falls (Shi et al., 2016, section 3.2).

The paper goes from 0.01 to 0.0001, step by step, whenever the loss improved by less than a threshold. It states neither
the threshold nor the factor; ``TrainConfig`` has both.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from sr_datasets.espcn.config import TrainConfig
from sr_datasets.models import Model


class PlateauState(Model):
    """What the rule remembers, as a checkpoint has it."""

    rate: float = 1.0
    """What the learning rate is multiplied by."""
    best: float | None = None
    """The lowest mean loss of a window so far."""
    worse: int = 0
    """Windows in a row that were not better."""


@dataclass(slots=True, eq=False)
class Plateau:
    """The rule under way. It decides at the ends of windows, from the losses of all processes together."""

    config: TrainConfig
    state: PlateauState
    total: Tensor
    """Sum of the losses of the window so far, ``(1,)`` float64."""

    @property
    def ended(self) -> bool:
        """Whether the run is over: ``stop_after`` windows were not better."""
        return self.config.stop_after is not None and self.state.worse >= self.config.stop_after

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rate = self.config.learning_rate_at(step)
        return (
            rate if self.state.rate == 1.0 else max(rate * self.state.rate, self.config.lowest_learning_rate)
        )

    def count(self, loss: Tensor, step: int) -> None:
        """Take in the loss of a step; ``step`` is how many are done with it."""
        config = self.config
        if config.schedule != "plateau":
            return
        self.total += loss.detach()
        if step % config.plateau_steps:
            return
        mean, best = float(self.total) / config.plateau_steps, self.state.best
        self.total.zero_()
        # The first window is compared with nothing; one that is no number ends the run elsewhere.
        if not math.isfinite(mean):
            return
        if best is None or mean < best * (1 - config.plateau_threshold):
            self.state = PlateauState(rate=self.state.rate, best=mean)
            return
        self.state = PlateauState(
            rate=self.state.rate * config.plateau_factor, best=min(mean, best), worse=self.state.worse + 1
        )
