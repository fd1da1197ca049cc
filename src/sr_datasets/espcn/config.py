"""What a network is and how it is trained, as values: every option of a run, saved in each checkpoint."""

import math
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from sr_datasets.models import Model
from sr_datasets.recipe import Scale, SplitName

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class EspcnConfig(Model):
    """The network: everything that its weights alone do not tell."""

    scale: Scale
    """HR-to-LR ratio per axis."""
    activation: Literal["tanh", "relu", "gelu"] = "tanh"
    """After the first two convolutions; the paper's final model has tanh."""
    residual: Literal["none", "nearest"] = "none"
    """``nearest``: the input, enlarged by repeating pixels, is added to the output."""
    input_mean: float = Field(default=0.5, ge=0, le=1)
    """Taken off the samples (0..1) before the first layer: zero padding is then mid-grey."""
    input_gain: float = Field(default=1.0, gt=0)
    """The first layer gets ``(sample - mean) * gain``. Natural luma spreads by about 0.2 and neighbours differ by far
    less, while weights as torch draws them expect about 1."""
    last_gain: float = Field(default=1.0, ge=0)
    """The last layer starts as drawn times this; 0 starts as mid-grey, or with ``nearest`` as nearest upsampling.
    Small is better (T91, x3, Set5 after 8,000 steps of the published network: 32.16 dB with 1, 32.42 with 0.05)."""


class TrainConfig(Model):
    """Every option of a training run that can change its result."""

    preset: str = "custom"
    """Which preset the options began as."""
    model: EspcnConfig
    """The network."""
    split: SplitName = "train"
    """Split of the shards that is learnt from."""
    val_split: SplitName = "val"
    """Split that is scored while training, when the shards have it; nothing is learnt from it."""
    steps: int = Field(default=8_000, ge=1)
    """Updates of the weights. The cosine ends there, so that a longer run is another run."""
    batch_size: int = Field(default=8, ge=1)
    """Patch pairs of one step."""
    learning_rate: float = Field(default=2e-3, gt=0, allow_inf_nan=False)
    """Adam's step at the start; it falls to 0 along half a cosine."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate first rises from 0."""
    last_layer_rate: float = Field(default=1.0, gt=0)
    """Learning rate of the last layer as a part of the others' (the paper: 0.1)."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's memory of gradients."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Adam's memory of squared gradients."""
    loss: Literal["mse", "l1", "charbonnier"] = "mse"
    """Over all pixels of the patch, samples on 0..1. PSNR asks for ``mse``, the paper's."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Longest gradient; a longer one is shortened to it."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """The saved model is the running mean of the weights, this much of which stays at each step."""
    augment: bool = True
    """Flip and rotate each sample: one of the eight symmetries of the square."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the first weights, the order of the samples and their symmetries."""
    log_every: int = Field(default=100, ge=1)
    """Steps between two lines of ``metrics.jsonl``."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between two checkpoints, all that a kill can cost, and between two scores of the validation split."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto``: CUDA where there is a device."""
    threads: int = Field(default=1, ge=1)
    """Threads of a CPU run. A step is so small that more pay little on idle cores and cost dearly on busy ones; with
    one, the result does not depend on how many cores there are."""
    deterministic: bool = True
    """Allow only algorithms that give the same bits each time on one machine."""

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps}, it must be less than steps ({self.steps})"
            )
        return self

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: a linear rise, then half a cosine down to 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


PRESETS: Final[dict[str, dict[str, Any]]] = {
    # The published network: tanh, and no path around the layers.
    "espcn": {
        "model": {"activation": "tanh", "input_gain": 8.0, "last_gain": 0.02},
        "steps": 32_000,
        "learning_rate": 2e-3,
    },
    # The same layers and cost; they learn what nearest upsampling lacks.
    "residual": {
        "model": {"activation": "gelu", "residual": "nearest", "input_gain": 8.0, "last_gain": 0.0},
        "steps": 8_000,
        "learning_rate": 4e-3,
    },
}
"""Options of each preset that differ from the defaults."""


def preset(name: str, *, scale: int, **overrides: Any) -> TrainConfig:
    """Return the configuration of a preset.

    Args:
        name: ``espcn`` or ``residual``.
        scale: Of the shards that will be trained on.
        **overrides: Fields of ``TrainConfig`` that shall be different. A dict for ``model`` changes the named fields.

    Raises:
        ValueError: There is no such preset or option, or a value is out of range.

    Example:
        >>> preset("residual", scale=3, steps=4000).model.activation
        'gelu'
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset '{name}'; known are {', '.join(PRESETS)}")
    chosen = PRESETS[name]
    model = {"scale": scale, **chosen["model"], **overrides.pop("model", {})}
    return checked_config({"preset": name, **chosen, **overrides, "model": model})


def checked_config(options: dict[str, Any]) -> TrainConfig:
    """Return options as a configuration.

    Raises:
        ValueError: There is no such option, or a value is out of range: one sentence for each.
    """
    try:
        return TrainConfig.model_validate(options)
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(problem) for problem in error.errors())) from error


def _sentence(problem: "ErrorDetails") -> str:
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"there is no option {name}"
    if not name:
        return problem["msg"].removeprefix("Value error, ")
    rule = problem["msg"].replace("Input should be", "it must be")
    return f"{name} is {problem['input']}, {rule}"
