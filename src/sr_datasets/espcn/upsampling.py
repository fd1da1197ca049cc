"""Layers that enlarge, and how the weights of one become those of another.

A sub-pixel convolution (``k`` x ``k`` in LR space, then the periodic shuffle) and a transposed convolution of stride
``r`` with a kernel of ``k * r`` are one and the same function: each output pixel sees ``k`` x ``k`` LR pixels through
weights that depend on its place in its cell. The conversions here only re-order weights, so that they are exact; the
two layers sum in different orders, so that their outputs agree to float error.

In this module ``r`` is the scale, ``k`` the kernel in LR space, ``(a, b)`` the row and column of a pixel in its cell,
and sub-pixel weights are in torch's order: output channel ``c * r**2 + a * r + b``.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TransposedConvolution(nn.Module):
    """A transposed convolution that enlarges ``scale`` times, with a bias for each place in a cell.

    Torch's own layer has one bias for a colour, a sub-pixel convolution has ``scale ** 2``: with as many here, each
    turns into the other without loss. Stride is the scale, the kernel a multiple of it, so that kernels overlap evenly.
    """

    def __init__(self, in_channels: int, out_channels: int, *, scale: int, kernel_size: int = 3) -> None:
        """Make a layer; its weights are zero.

        Args:
            in_channels: Maps in.
            out_channels: Planes out.
            scale: Enlargement per axis.
            kernel_size: LR pixels per axis that an output depends on, odd. The kernel has ``scale`` times as many.
        """
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {kernel_size}, must be odd: the output would be larger than the scale says"
            )
        self.scale = scale
        self.padding = transposed_padding(kernel_size, kernel_size // 2, scale)
        side = kernel_size * scale
        self.weight = nn.Parameter(torch.zeros(in_channels, out_channels, side, side))
        self.bias = nn.Parameter(torch.zeros(out_channels * scale**2))

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``(N, out_channels, scale * h, scale * w)`` of ``(N, in_channels, h, w)``."""
        planes = F.conv_transpose2d(maps, self.weight, stride=self.scale, padding=self.padding)
        number, colors, height, width = planes.shape
        cells = planes.reshape(
            number, colors, height // self.scale, self.scale, width // self.scale, self.scale
        )
        biases = self.bias.view(colors, 1, self.scale, 1, self.scale)
        return (cells + biases).reshape(planes.shape)

    def extra_repr(self) -> str:
        """Return what the layer is, for ``print(model)``."""
        in_channels, out_channels, side, _ = self.weight.shape
        return (
            f"{in_channels}, {out_channels}, kernel_size={side}, stride={self.scale}, padding={self.padding}"
        )


def icnr_(parameter: Tensor, scale: int) -> Tensor:
    """Give the ``scale ** 2`` filters (or biases) behind each pixel cell the values of the cell's first, in place.

    Torch's pixel shuffle takes them from adjacent channels, so that copies repeat, and do not tile, along axis 0.
    """
    first = parameter.detach()[:: scale**2].clone()
    with torch.no_grad():
        return parameter.copy_(first.repeat_interleave(scale**2, dim=0))


def transposed_of_subpixel(weight: Tensor, scale: int) -> Tensor:
    """Return the weights of the transposed convolution that equals a sub-pixel convolution.

    It has stride ``scale`` and the padding that ``transposed_padding`` gives. Its bias is the sub-pixel layer's: one
    for each place in a cell, which a plain transposed convolution can hold only where those of a cell are equal.

    Args:
        weight: ``(C * r**2, M, k, k)``, as ``nn.Conv2d`` before ``nn.PixelShuffle`` has it.
        scale: ``r``.

    Returns:
        ``(M, C, k * r, k * r)``, as ``nn.ConvTranspose2d`` has it.

    Raises:
        ValueError: The channels do not divide by ``r**2``.
    """
    channels, maps, rows, columns = weight.shape
    _require_divides(channels, scale**2, "output channels")
    # A transposed convolution strikes its kernel, a convolution gathers: tap t of one is tap k-1-t of the other.
    taps = weight.flip(2, 3).reshape(channels // scale**2, scale, scale, maps, rows, columns)
    # (c, a, b, m, t, u) -> (m, c, t, a, u, b): row t * r + a of the large kernel.
    return taps.permute(3, 0, 4, 1, 5, 2).reshape(maps, channels // scale**2, rows * scale, columns * scale)


def subpixel_of_transposed(weight: Tensor, scale: int) -> Tensor:
    """Return the weights of the sub-pixel convolution that equals a transposed convolution of stride ``scale``.

    Its padding is ``p`` where the transposed one's is ``r * (k - 1 - p)``. For a padding ``P`` that is none of these,
    take ``p = k - 1`` and crop ``P`` pixels from each side of the shuffled output. A plain transposed convolution's
    bias is repeated: ``bias.repeat_interleave(r**2)``.

    Args:
        weight: ``(M, C, k * r, k * r)``, as ``nn.ConvTranspose2d`` has it.
        scale: ``r``.

    Returns:
        ``(C * r**2, M, k, k)``, as ``nn.Conv2d`` before ``nn.PixelShuffle`` has it.

    Raises:
        ValueError: The kernel does not divide by ``r``. Append zeros to it until it does: the output is the same, but
            for rows and columns at its end.
    """
    maps, colors, rows, columns = weight.shape
    for side in (rows, columns):
        _require_divides(side, scale, "kernel")
    taps = weight.reshape(maps, colors, rows // scale, scale, columns // scale, scale)
    # (m, c, t, a, u, b) -> (c, a, b, m, t, u)
    subpixel = taps.permute(1, 3, 5, 0, 2, 4).reshape(
        colors * scale**2, maps, rows // scale, columns // scale
    )
    return subpixel.flip(2, 3)


def subpixel_of_nearest(weight: Tensor, scale: int) -> Tensor:
    """Return the weights of the sub-pixel convolution that equals nearest enlargement, then a convolution.

    In LR space fewer numbers move for the same result. Both layers are padded with zeros so that size is kept. The
    bias is repeated: ``bias.repeat_interleave(r**2)``.

    Args:
        weight: ``(C, M, k, k)`` of the convolution in HR space, ``k`` odd.
        scale: ``r``.

    Returns:
        ``(C * r**2, M, l, l)``, ``l`` odd: the fewest LR pixels that the kernel can reach from any place in a cell.
        Taps of one LR pixel are summed, in index order.

    Raises:
        ValueError: The kernel is even.
    """
    colors, maps, side, _ = weight.shape
    if side % 2 == 0:
        raise ValueError(f"the kernel is {side}, must be odd")
    half = side // 2
    reach = math.ceil(half / scale)
    subpixel = weight.new_zeros(colors, scale, scale, maps, 2 * reach + 1, 2 * reach + 1)
    for a in range(scale):
        for b in range(scale):
            for row in range(side):
                for column in range(side):
                    at_row, at_column = (a + row - half) // scale, (b + column - half) // scale
                    subpixel[:, a, b, :, reach + at_row, reach + at_column] += weight[:, :, row, column]
    return subpixel.reshape(colors * scale**2, maps, 2 * reach + 1, 2 * reach + 1)


def transposed_padding(kernel_size: int, padding: int, scale: int) -> int:
    """Return the padding of the transposed convolution that equals a sub-pixel convolution.

    Args:
        kernel_size: ``k`` of the sub-pixel convolution.
        padding: Its padding, at most ``k - 1``.
        scale: ``r``.

    Returns:
        ``r * (k - 1 - padding)``; the kernel's size is ``k * r``.

    Raises:
        ValueError: The padding is negative, or above ``k - 1``.
    """
    if not 0 <= padding < kernel_size:
        raise ValueError(
            f"padding is {padding}, must be 0 to {kernel_size - 1} for a kernel of {kernel_size}"
        )
    return scale * (kernel_size - 1 - padding)


def depth_to_space_order(parameter: Tensor, scale: int) -> Tensor:
    """Return a sub-pixel layer's weight or bias with its output channels in TensorFlow's order.

    Torch's shuffle (ONNX: ``CRD``) takes channel ``c * r**2 + a * r + b`` for colour ``c``, TensorFlow's
    ``depth_to_space`` (ONNX: ``DCR``), and the paper, ``(a * r + b) * C + c``. With one colour they are equal.

    Args:
        parameter: ``(C * r**2, ...)`` in torch's order.
        scale: ``r``.

    Raises:
        ValueError: The channels do not divide by ``r**2``.
    """
    channels = parameter.shape[0]
    _require_divides(channels, scale**2, "output channels")
    return _transposed(parameter, (channels // scale**2, scale**2))


def pixel_shuffle_order(parameter: Tensor, scale: int) -> Tensor:
    """Return a sub-pixel layer's weight or bias with its output channels in torch's order.

    Args:
        parameter: ``(r**2 * C, ...)`` in TensorFlow's order (see ``depth_to_space_order``).
        scale: ``r``.

    Raises:
        ValueError: The channels do not divide by ``r**2``.
    """
    channels = parameter.shape[0]
    _require_divides(channels, scale**2, "output channels")
    return _transposed(parameter, (scale**2, channels // scale**2))


def _transposed(parameter: Tensor, sides: tuple[int, int]) -> Tensor:
    """Return a parameter whose first axis, read as a table of these sides, is transposed."""
    return parameter.reshape(*sides, *parameter.shape[1:]).transpose(0, 1).reshape(parameter.shape)


def _require_divides(number: int, divisor: int, what: str) -> None:
    if number % divisor:
        raise ValueError(f"{what}: {number} does not divide by {divisor}")
