"""ESPCN (Shi et al., CVPR 2016): three convolutions in LR space, then the periodic shuffle.

5x5 to 64 maps, 3x3 to 32, 3x3 to ``scale ** 2``, on luma; scale 2, 3 and 4 have 21,284, 22,729 and 24,752
parameters. The variant with ``residual="nearest"`` has the same layers and learns what nearest upsampling of its
input lacks.
"""

import math

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


class Espcn(nn.Module):
    """The network on luma of 0..1.

    Its last layer starts as ICNR says (Aitken et al., 2017): the filters that make the pixels of one cell are equal,
    so that the network starts as nearest upsampling of a convolution, without a checkerboard.
    """

    def __init__(self, config: EspcnConfig, *, seed: int = 0) -> None:
        """Make a network with fresh weights.

        Args:
            config: The network.
            seed: Of the weights; the same on every machine for one version of torch.
        """
        super().__init__()
        self.config = config
        scale = config.scale
        # Torch draws weights of its own when it makes layers: the caller's random numbers are not to notice.
        with torch.random.fork_rng(devices=[]):
            self.conv1 = nn.Conv2d(1, 64, kernel_size=5, padding=2)
            self.conv2 = nn.Conv2d(64, 32, kernel_size=3, padding=1)
            self.conv3 = nn.Conv2d(32, scale**2, kernel_size=3, padding=1)
        self._draw_weights(torch.Generator().manual_seed(seed))

    def forward(self, lr: Tensor) -> Tensor:
        """Return SR.

        Args:
            lr: ``(N, 1, h, w)`` float luma, 0..1.

        Returns:
            ``(N, 1, scale * h, scale * w)`` float, not clipped.
        """
        config = self.config
        centred = lr - config.input_mean
        maps = self._activate(self.conv1(centred * config.input_gain))
        maps = self._activate(self.conv2(maps))
        # Torch's order: channel (y mod scale) * scale + (x mod scale); with one colour also the paper's.
        sr = F.pixel_shuffle(self.conv3(maps), config.scale)
        if config.residual == "nearest":
            return sr + F.interpolate(lr, scale_factor=config.scale, mode="nearest")
        return sr + config.input_mean

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _activate(self, maps: Tensor) -> Tensor:
        match self.config.activation:
            case "tanh":
                return torch.tanh(maps)
            case "relu":
                return torch.relu(maps)
            case "gelu":
                return F.gelu(maps)

    def _draw_weights(self, generator: torch.Generator) -> None:
        """Draw each weight and bias evenly from +-1/sqrt(inputs), torch's own rule, then prepare the last layer."""
        with torch.no_grad():
            for layer in (self.conv1, self.conv2, self.conv3):
                bound = 1 / math.sqrt(layer.weight[0].numel())
                for parameter in layer.parameters():
                    parameter.uniform_(-bound, bound, generator=generator)
            for parameter in self.conv3.parameters():
                icnr_(parameter, self.config.scale).mul_(self.config.last_gain)


def icnr_(parameter: Tensor, scale: int) -> Tensor:
    """Give the ``scale ** 2`` filters (or biases) behind each pixel cell the values of the cell's first, in place.

    Torch's pixel shuffle takes them from adjacent channels, so that copies repeat, and do not tile, along axis 0.
    """
    first = parameter.detach()[:: scale**2].clone()
    with torch.no_grad():
        return parameter.copy_(first.repeat_interleave(scale**2, dim=0))
