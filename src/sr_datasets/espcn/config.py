"""What a network is and how it is trained, as values: every option of a run, saved in each checkpoint."""

import math
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from sr_datasets.errors import nearest_names
from sr_datasets.models import Model
from sr_datasets.recipe import Scale, SplitName

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class EspcnConfig(Model):
    """The network: everything that its weights alone do not tell."""

    scale: Scale
    """HR-to-LR ratio per axis."""
    colors: Literal[1, 3] = 1
    """Planes in and out: 1 is luma, 3 is R'G'B'."""
    frames: Literal[1, 3, 5] = 1
    """LR frames in; the output is the centre one. Several are stacked as channels of the first layer (early fusion, as
    VESPCN's E3 without motion compensation)."""
    body: Literal["published", "deep"] = "published"
    """The layers before the last. ``published``: 5x5 to 64 maps, 3x3 to 32. ``deep``: nine of 3x3 to 16 maps, of which
    all but the first start as the identity plus what is drawn: as a shortcut around each would, merged into its kernel
    (RepVGG, Ding et al., 2021), at no cost. Fewer weights than ``published``, and 21 x 21 LR pixels seen, not 9 x 9."""
    upsampling: Literal["subpixel", "transposed", "resize-nearest", "resize-bilinear"] = "subpixel"
    """The last layer. ``subpixel``: 3x3 in LR space, then the periodic shuffle. ``transposed``: the same function,
    written as a transposed convolution of 3 x scale squared. ``resize-...``: the maps are enlarged, then 3x3 in HR
    space: as many multiply-adds, ``scale ** 2`` times fewer weights."""
    icnr: bool = True
    """``subpixel`` and ``transposed`` start as nearest upsampling of a convolution (Aitken et al., 2017). Without,
    each pixel of a cell starts with filters of its own: a checkerboard."""
    activation: Literal["tanh", "relu", "gelu"] = "tanh"
    """After all convolutions but the last; the paper's final model has tanh."""
    residual: Literal["none", "nearest", "bilinear"] = "none"
    """The input (the centre frame), enlarged in this way, is added to the output. ``bilinear`` suits
    ``resize-bilinear``, whose maps cannot undo the steps of ``nearest``."""
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
    """Patch pairs of one step, over all processes of a run together."""
    centre_frames: bool = False
    """Learn from the middle frames of wider windows: a network of one frame, or of 3, from rows of 3 or 5."""
    optimizer: Literal["adam", "adamw", "sgd", "soap"] = "adam"
    """``adamw`` takes the decay off the weights themselves, the others add it to their gradients. ``soap``: Adam in
    the eigenbasis of Shampoo's preconditioner (``espcn/soap.py``): about a third more time a step, better ones."""
    learning_rate: float = Field(default=2e-3, gt=0, allow_inf_nan=False)
    """The optimizer's step at the start."""
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    """``cosine``: the learning rate falls along half a cosine. ``plateau``: it falls by a factor whenever the loss no
    longer does, as in the paper (which does not state its threshold)."""
    lowest_learning_rate: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Where the cosine ends, and below which ``plateau`` does not go (the paper: 0.0001, from 0.01)."""
    plateau_steps: int = Field(default=1_000, ge=1)
    """``plateau`` compares the mean losses of so many steps."""
    plateau_threshold: float = Field(default=1e-3, ge=0, lt=1)
    """The part of the best mean loss that a window must be below it, to count as better."""
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    """What the learning rate is multiplied by after a window that was not better."""
    stop_after: int | None = Field(default=None, ge=1)
    """``plateau`` ends the run after so many windows in a row that were not better (the paper: 100 epochs)."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate first rises from 0."""
    last_layer_rate: float = Field(default=1.0, gt=0)
    """Learning rate of the last layer as a part of the others' (the paper: 0.1)."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's memory of gradients."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Adam's memory of squared gradients."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """SGD's memory of gradients."""
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """How strongly weights are drawn to zero."""
    loss: Literal["mse", "l1", "charbonnier"] = "mse"
    """Over all pixels of the patch, samples on 0..1. PSNR asks for ``mse``, the paper's."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Longest gradient; a longer one is shortened to it."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """The saved model is the running mean of the weights, this much of which stays at each step."""
    augment: bool = True
    """Flip and rotate each sample: one of the eight symmetries of the square."""
    crop: int | None = Field(default=None, ge=1)
    """LR rows and columns that are cut out of each patch, at a drawn place; the whole patch when left out."""
    shuffle_channels: bool = False
    """Put R', G' and B' of each sample in a drawn order."""
    block: int | None = Field(default=None, ge=1)
    """Mix rows within so many row groups only: for sets larger than memory (docs/loading.md)."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the first weights, the order of the samples and their symmetries."""
    log_every: int = Field(default=100, ge=1)
    """Steps between two lines of ``metrics.jsonl``."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between two checkpoints, all that a kill can cost, and between two scores of the validation split."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto``: CUDA where there is a device."""
    threads: int = Field(default=1, ge=1, le=256)
    """Threads of a CPU run. A step is so small that more pay little on idle cores and cost dearly on busy ones; with
    one, the result does not depend on how many cores there are."""
    deterministic: bool = True
    """Allow only algorithms that give the same bits each time on one machine."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """``bfloat16``: the network computes under autocast; weights, loss and optimizer stay float32."""
    channels_last: bool = True
    """Lay channels side by side in memory: a quarter faster on CPUs, and what tensor cores ask for."""
    compile: bool = False
    """Let ``torch.compile`` write kernels for the network: a minute at the start, faster steps on a GPU."""
    cuda_graph: bool = False
    """Record the kernels of a step once and replay them: steps of small networks are mostly launches. CUDA only."""
    data: Literal["auto", "memory", "disk"] = "auto"
    """``memory`` holds the split on the device as one tensor, ``disk`` reads it through a ``DataLoader``; ``auto``
    holds what fits. The samples are the same."""

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps}, it must be less than steps ({self.steps})"
            )
        return self

    @model_validator(mode="after")
    def _options_fit_each_other(self) -> Self:
        if self.lowest_learning_rate > self.learning_rate:
            raise ValueError(
                f"lowest_learning_rate is {self.lowest_learning_rate}, it must be at most learning_rate "
                f"({self.learning_rate})"
            )
        if self.optimizer == "soap" and self.weight_decay:
            raise ValueError("weight_decay does not go with optimizer=soap")
        if self.stop_after is not None and self.schedule != "plateau":
            raise ValueError("stop_after goes with schedule=plateau")
        if self.shuffle_channels and self.model.colors != 3:
            raise ValueError("shuffle_channels goes with colors=3: luma has one channel")
        return self

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: a linear rise, then what the schedule says of the step.

        ``plateau`` lowers it further, by what the losses were (``espcn/schedule.py``).
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule != "cosine":
            return self.learning_rate
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        above = self.learning_rate - self.lowest_learning_rate
        return self.lowest_learning_rate + above * 0.5 * (1 + math.cos(math.pi * done))


# Tanh, and no path around the layers.
_PUBLISHED: Final[dict[str, Any]] = {"activation": "tanh", "input_gain": 8.0, "last_gain": 0.02}
_SOAP: Final[dict[str, Any]] = {
    "batch_size": 16,
    "optimizer": "soap",
    "learning_rate": 6e-3,
    "warmup_steps": 150,
    "beta2": 0.99,
}
_T91: Final[dict[str, Any]] = {"model": _PUBLISHED, "steps": 12_000, **_SOAP}
_RESIDUAL: Final[dict[str, Any]] = {
    # The same layers and cost; they learn what nearest upsampling lacks.
    "model": {"activation": "gelu", "residual": "nearest", "input_gain": 8.0, "last_gain": 0.0},
    "steps": 8_000,
    "learning_rate": 4e-3,
}

_DEEP: Final[dict[str, Any]] = {
    # Narrow and deep: what today's small networks look like, at less than the published one's cost.
    "model": {
        "body": "deep",
        "activation": "gelu",
        "residual": "nearest",
        "input_gain": 8.0,
        "last_gain": 0.0,
    },
    "steps": 8_000,
    **_SOAP,
}

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "espcn": _T91,
    "espcn-t91": _T91,
    "espcn-video": {"model": _PUBLISHED, "batch_size": 16, "steps": 40_000},
    "residual": _RESIDUAL,
    "deep": _DEEP,
    "quick": {**_RESIDUAL, "steps": 1_500, "checkpoint_every": 250},
}
"""Options of each preset that differ from the defaults.

``espcn-t91``: the published network on small patches of T91 (``espcn`` is its older name). ``espcn-video``: the same
network for sets of video, whose patches are larger and many more. ``residual``: what the same cost can do. ``quick``:
that, in a quarter of a minute. ``deep``: what fewer weights can do in more and narrower layers. Colours and frames are
those of the shards.
"""

_AT_SCALE: Final[dict[tuple[str, int], dict[str, Any]]] = {
    # At 4e-3, x2 lost at step 1,600 what it had learnt (seed 0: a loss 220 times as high), and never got it back.
    ("residual", 2): {"learning_rate": 2e-3},
    ("deep", 2): {"steps": 16_000},
}
"""What a preset has otherwise at one scale."""


def preset(name: str, *, scale: int, **overrides: Any) -> TrainConfig:
    """Return the configuration of a preset.

    Args:
        name: One of ``PRESETS``.
        scale: Of the shards that will be trained on.
        **overrides: Fields of ``TrainConfig`` that shall be different. A dict for ``model`` changes the named fields.

    Raises:
        ValueError: There is no such preset or option, or a value is out of range.

    Example:
        >>> preset("residual", scale=3, steps=4000).model.activation
        'gelu'
    """
    if name not in PRESETS:
        raise ValueError(
            f"there is no preset '{name}'; known are {', '.join(PRESETS)}.{nearest_names(name, PRESETS)}"
        )
    chosen = {**PRESETS[name], **_AT_SCALE.get((name, scale), {})}
    if "steps" in overrides and "warmup_steps" in chosen:
        # A run that is cut short rises for a part of it only.
        shorter = {"warmup_steps": min(chosen["warmup_steps"], overrides["steps"] // 10)}
        chosen = {**chosen, **shorter}
    model = {"scale": scale, **chosen["model"], **overrides.pop("model", {})}
    return checked_config({"preset": name, **chosen, **overrides, "model": model})


def option_names() -> tuple[str, ...]:
    """Return the names of all options: those of ``TrainConfig``, then those of its network."""
    return tuple(name for name in TrainConfig.model_fields if name not in ("model", "preset")) + tuple(
        EspcnConfig.model_fields
    )


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
    place = [part for part in problem["loc"] if part != "model"]
    name = ".".join(map(str, place)) or ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        # Only as much of a foreign name as a sentence holds.
        return (
            f"there is no option {ascii(name)[1:-1][:80]}.{nearest_names(name, option_names())}".removesuffix(
                "."
            )
        )
    if not name:
        return problem["msg"].removeprefix("Value error, ")
    rule = problem["msg"].replace("Input should be", "it must be").replace("Field required", "it is needed")
    return f"{name} is {str(problem['input'])[:80]}, {rule}"
