"""ESPCN (Shi et al., CVPR 2016): three convolutions in LR space, then the periodic shuffle.

5x5 to 64 maps, 3x3 to 32, 3x3 to ``scale ** 2``, on luma; scale 2, 3 and 4 have 21,284, 22,729 and 24,752
parameters (R'G'B': 26,796, 31,131 and 37,200). Variants: ``residual`` learns what nearest or bilinear upsampling of the input
lacks, ``frames`` sees several frames, ``upsampling`` enlarges otherwise, ``body: deep`` has ten layers of 16 maps
(19,300, 20,025 and 21,040 parameters).
"""

import math
from typing import Final, Literal

from sr_datasets.errors import MissingExtraError
from sr_datasets.espcn.config import EspcnConfig

try:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingExtraError("ESPCN", extra="torch") from error

from sr_datasets.espcn.upsampling import (
    TransposedConvolution,
    icnr_,
    subpixel_of_nearest,
    subpixel_of_transposed,
    transposed_of_subpixel,
)

_BODIES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "published": ((64, 5), (32, 3)),
    "deep": ((16, 3),) * 9,
}
"""Maps and kernel of the layers before the last."""
_LAST_KERNEL: Final = 3


class Espcn(nn.Module):
    """The network on samples of 0..1.

    Its last layer starts as ICNR says (Aitken et al., 2017): the filters that make the pixels of one cell are equal,
    so that the network starts as nearest upsampling of a convolution, without a checkerboard.
    """

    def __init__(self, config: EspcnConfig, *, seed: int = 0) -> None:
        """Make a network with fresh weights.

        Args:
            config: The network.
            seed: Of the weights; the same on every machine for one version of torch. Networks that differ in
                ``subpixel`` and ``transposed`` alone start as the same function.
        """
        super().__init__()
        self.config = config
        # Torch draws weights of its own when it makes layers: the caller's random numbers are not to notice.
        with torch.random.fork_rng(devices=[]):
            maps = config.frames * config.colors
            for number, (wider, kernel) in enumerate(_BODIES[config.body], start=1):
                self.add_module(f"conv{number}", nn.Conv2d(maps, wider, kernel, padding=kernel // 2))
                maps = wider
            self.add_module(f"conv{number + 1}", _last_layer(config, maps))
        self._draw_weights(torch.Generator().manual_seed(seed))

    def forward(self, lr: Tensor) -> Tensor:
        """Return SR.

        Args:
            lr: ``(N, colors, h, w)`` float, 0..1; of a network of several frames ``(N, frames, colors, h, w)``, as
                batches of ``PairDataset`` are.

        Returns:
            ``(N, colors, scale * h, scale * w)`` float, not clipped.

        Raises:
            ValueError: The input has another number of colours or frames.
        """
        config = self.config
        self._require_shape(lr)
        stacked = lr.flatten(1, 2) if config.frames > 1 else lr
        centred = stacked - config.input_mean
        maps = centred * config.input_gain
        for layer in self.layers[:-1]:
            maps = self._activate(layer(maps))
        sr = self._enlarge(maps)
        if config.residual == "none":
            return sr + config.input_mean
        frame = lr[:, config.frames // 2] if config.frames > 1 else lr
        return sr + _enlarged(frame, config.scale, config.residual)

    @property
    def layers(self) -> "list[nn.Conv2d | TransposedConvolution]":
        """The convolutions ``conv1`` to the last, in order."""
        return list(self.children())  # type: ignore[arg-type]

    @property
    def last(self) -> "nn.Conv2d | TransposedConvolution":
        """The convolution that enlarges."""
        return self.layers[-1]

    @property
    def halo(self) -> int:
        """LR pixels around an output pixel's own that it depends on; ``upsampling`` in HR space needs no more."""
        return sum(kernel // 2 for _, kernel in _BODIES[self.config.body]) + _LAST_KERNEL // 2

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(parameter.numel() for parameter in self.parameters())

    def with_upsampling(self, upsampling: Literal["subpixel", "transposed"]) -> "Espcn":
        """Return a network that computes the same with another last layer; outputs agree to float error.

        Sub-pixel and transposed convolutions turn into each other, ``resize-nearest`` into either of them.

        Raises:
            ValueError: The network enlarges bilinearly, which no other layer does alike at the borders.
        """
        before, scale = self.config.upsampling, self.config.scale
        if before == "resize-bilinear":
            raise ValueError("a network with upsampling resize-bilinear cannot be written in another way")
        weight, bias = self.last.weight.detach(), self.last.bias
        assert bias is not None
        if before == "transposed":
            weight = subpixel_of_transposed(weight, scale)
        elif before == "resize-nearest":
            weight, bias = subpixel_of_nearest(weight, scale), bias.repeat_interleave(scale**2)
        if upsampling == "transposed":
            weight = transposed_of_subpixel(weight, scale)
        other = Espcn(self.config.model_copy(update={"upsampling": upsampling})).to(weight)
        name = f"conv{len(self.layers)}"
        other.load_state_dict({**self.state_dict(), f"{name}.weight": weight, f"{name}.bias": bias.detach()})
        return other.train(self.training)

    def _require_shape(self, lr: Tensor) -> None:
        config = self.config
        wanted = (config.frames, config.colors) if config.frames > 1 else (config.colors,)
        if lr.ndim != 3 + len(wanted) or tuple(lr.shape[1:-2]) != wanted:
            raise ValueError(
                f"the network's input is (N, {', '.join(map(str, wanted))}, height, width), this is {tuple(lr.shape)}"
            )

    def _activate(self, maps: Tensor) -> Tensor:
        match self.config.activation:
            case "tanh":
                return torch.tanh(maps)
            case "relu":
                return torch.relu(maps)
            case "gelu":
                return F.gelu(maps)

    def _enlarge(self, maps: Tensor) -> Tensor:
        scale, upsampling = self.config.scale, self.config.upsampling
        if upsampling == "resize-nearest":
            maps = _enlarged(maps, scale, "nearest")
        elif upsampling == "resize-bilinear":
            maps = _enlarged(maps, scale, "bilinear")
        planes: Tensor = self.last(maps)
        # Torch's order: channel c * scale**2 + (y mod scale) * scale + (x mod scale); with one colour also the paper's.
        return F.pixel_shuffle(planes, scale) if upsampling == "subpixel" else planes

    def _draw_weights(self, generator: torch.Generator) -> None:
        """Draw each weight and bias evenly from +-1/sqrt(inputs), torch's own rule, then prepare the last layer.

        Layers that are like the one before start with the identity added, where ``body`` says so. A network of several
        frames starts as that of one frame which has the same seed: its weights for the others are 0. Drawn like the
        centre's they are noise at first, which 2,000 steps did not unlearn (docs/benchmarks.md).
        """
        config = self.config
        *body, last = self.layers
        centre = config.frames // 2 * config.colors
        with torch.no_grad():
            body[0].weight.zero_()
            if isinstance(last, TransposedConvolution):
                # Drawn as the sub-pixel layer that it equals: with torch's rule too its inputs are those of a pixel.
                weight = subpixel_of_transposed(last.weight, config.scale).contiguous()
                last_parameters: list[Tensor] = [weight, last.bias]
            else:
                last_parameters = list(last.parameters())
            layers = [list[Tensor](layer.parameters()) for layer in body]
            layers[0][0] = layers[0][0][:, centre : centre + config.colors]
            for parameters in [*layers, last_parameters]:
                bound = 1 / math.sqrt(parameters[0][0].numel())
                for parameter in parameters:
                    parameter.uniform_(-bound, bound, generator=generator)
            if config.body == "deep":
                for layer in body[1:]:
                    channels = torch.arange(len(layer.weight))
                    layer.weight[channels, channels, 1, 1] += 1
            for parameter in last_parameters:
                if config.icnr and not config.upsampling.startswith("resize"):
                    icnr_(parameter, config.scale)
                parameter.mul_(config.last_gain)
            if isinstance(last, TransposedConvolution):
                last.weight.copy_(transposed_of_subpixel(weight, config.scale))


def _enlarged(maps: Tensor, scale: int, mode: Literal["nearest", "bilinear"]) -> Tensor:
    return F.interpolate(maps, scale_factor=scale, mode=mode)  # half-pixel centres


def _last_layer(config: EspcnConfig, maps: int) -> nn.Conv2d | TransposedConvolution:
    if config.upsampling == "transposed":
        return TransposedConvolution(maps, config.colors, scale=config.scale)
    cell = config.scale**2 if config.upsampling == "subpixel" else 1
    return nn.Conv2d(maps, config.colors * cell, _LAST_KERNEL, padding=_LAST_KERNEL // 2)
