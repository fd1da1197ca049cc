"""A network on whole pictures: luma through the network, colour through bicubic."""

from typing import Final

import numpy as np
import torch

from sr_datasets.color import Floats, luma_of_rgb_float
from sr_datasets.degrade import resize_bicubic
from sr_datasets.espcn.model import Espcn

HALO: Final = 4
"""LR pixels around an output that it depends on: 2 + 1 + 1 of the three layers."""

_BAND_PIXELS = 1 << 19
"""LR pixels that go through the network at once: the first layer's 64 maps of them take 128 MiB."""


def upscale_luma(model: Espcn, lr: Floats, *, bit_depth: int = 8) -> Floats:
    """Return SR of luma.

    A picture of more than half a million pixels goes through in bands of rows that overlap by what an output
    depends on: the result is that of the whole picture, but for the last bits of float32.

    Args:
        model: The network, on any device.
        lr: ``(1, h, w)``, 0..2**bit_depth - 1, of any real dtype.
        bit_depth: Bits per sample.

    Returns:
        ``(1, scale * h, scale * w)`` float64 on the same scale, neither clipped nor rounded.

    Raises:
        ValueError: ``lr`` is not one plane.
    """
    if lr.ndim != 3 or lr.shape[0] != 1:
        raise ValueError(f"luma is (1, height, width), this array is {lr.shape}")
    peak, scale = (1 << bit_depth) - 1, model.config.scale
    height, width = lr.shape[1:]
    device = next(model.parameters()).device
    rows = max(HALO, _BAND_PIXELS // width)
    sr = np.empty((1, height * scale, width * scale), np.float64)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(0, top - HALO), min(height, bottom + HALO)
        band = torch.from_numpy(np.asarray(lr[:, first:last], np.float64) / peak).to(device, torch.float32)
        with torch.no_grad():
            upscaled = model(band[None])[0].cpu().numpy()
        inside = slice((top - first) * scale, (bottom - first) * scale)
        sr[:, top * scale : bottom * scale] = upscaled[:, inside].astype(np.float64) * peak
    return sr


def upscale_rgb(model: Espcn, lr: Floats, *, bit_depth: int = 8, bicubic: Floats | None = None) -> Floats:
    """Return SR of R'G'B': luma by the network, both colour differences by bicubic (BT.601).

    Args:
        model: The network, on any device.
        lr: ``(3, h, w)``, 0..2**bit_depth - 1, of any real dtype.
        bit_depth: Bits per sample.
        bicubic: ``lr`` enlarged by bicubic, when it was made already.

    Returns:
        ``(3, scale * h, scale * w)`` float64 on the same scale, neither clipped nor rounded.

    Raises:
        ValueError: ``lr`` is not three planes.
    """
    luma = upscale_luma(model, luma_of_rgb_float(lr, bit_depth), bit_depth=bit_depth)
    if bicubic is None:
        bicubic = resize_bicubic(np.asarray(lr, np.float64), *luma.shape[1:])
    # With Cb and Cr kept, the three colours move alike: by the change of luma, from studio range to full.
    step = ((1 << bit_depth) - 1) / (219 << (bit_depth - 8))
    return bicubic + (luma - luma_of_rgb_float(bicubic, bit_depth)) * step
