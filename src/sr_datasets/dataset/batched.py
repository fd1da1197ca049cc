"""LR of whole batches with torch, on a GPU or the CPU, for degradations that filter and subsample."""

from typing import get_args

import torch
from torch import Tensor

from sr_datasets.degrade.taps import Separable, Taps, taps_of
from sr_datasets.recipe.degradations import Bicubic


def degrade_batch(
    hr: Tensor,
    scale: int,
    *,
    halo: int,
    degradation: Separable | None = None,
    bit_depth: int = 8,
    exact: bool = False,
) -> tuple[Tensor, Tensor]:
    """Make LR of a batch of HR windows with their halo, as sets of ``degradation: none`` keep them.

    Sums run over the taps in their order, elementwise, as ``sr_datasets.degrade`` has them. In float64 (``exact``) the
    result is that of a build, bit for bit; in float32 sums that lie near a half round to the other side now and then
    (docs/loading.md says how often).

    Args:
        hr: ``(N, ..., H, W)`` uint8, or ``torch.uint16`` above 8 bits; planes of ``y`` or ``rgb``, not packed 4:2:0.
        scale: HR-to-LR ratio: 2, 3, 4 or 8.
        halo: HR pixels around the patch on each side.
        degradation: A degradation that is the same at each place; MATLAB's bicubic when left out.
        bit_depth: Bits per sample.
        exact: Compute in float64.

    Returns:
        LR ``(N, ..., h, w)``, and HR without its halo, both in the dtype of ``hr``.

    Raises:
        ValueError: The degradation is of another sort, the halo is smaller than it needs, or the patch is no multiple
            of the scale.
    """
    degradation = degradation or Bicubic()
    if not isinstance(degradation, get_args(Separable)):
        raise ValueError(
            f"{degradation.kind} is no filter that is the same at each place: use PairDataset(degrade=...)"
        )
    taps = taps_of(degradation, scale)
    reach = max(-taps.offsets[0], taps.offsets[-1] + 1 - scale)
    if reach > halo:
        raise ValueError(f"{degradation.kind} needs a halo of {reach} HR pixels, these have {halo}")
    height, width = (size - 2 * halo for size in hr.shape[-2:])
    if min(height, width) < 1 or height % scale or width % scale:
        raise ValueError(
            f"HR of {height}x{width} within a halo of {halo} is no multiple of the scale {scale}"
        )
    peak = float((1 << bit_depth) - 1)
    samples = hr.to(torch.float64 if exact else torch.float32)
    rows = _filtered(samples, taps, -2, halo, height // scale)
    if taps.rounds_each_pass:
        rows = rows.clamp_(0.0, peak).add_(0.5).floor_()
    values = _filtered(rows, taps, -1, halo, width // scale).clamp_(0.0, peak)
    # With the half added before, the cast that drops the fraction rounds a half up, as MATLAB does.
    values = values.round_() if taps.halves == "even" else values.add_(0.5).floor_()
    return values.to(hr.dtype), hr[..., halo : halo + height, halo : halo + width]


def _filtered(samples: Tensor, taps: Taps, axis: int, halo: int, count: int) -> Tensor:
    """Filter and subsample one axis: a sum over the taps in their order, one operation at a time."""
    total: Tensor | None = None
    for offset, weight in zip(taps.offsets, taps.weights, strict=True):
        first = halo + offset
        picked = slice(first, first + taps.scale * (count - 1) + 1, taps.scale)
        part = samples[..., picked, :] if axis == -2 else samples[..., picked]
        total = part * weight if total is None else total.add_(part * weight)
    assert total is not None, "a filter has at least one tap"
    return total
