"""Crops, flips, rotations and channel orders that keep LR and HR aligned, keyed by (seed, n).

What sample n gets is a pure function of the seed and n. The functions take single samples or batches, on the CPU or a
GPU, uint8, uint16 or floats, with frames or without. They are for ``color: y`` and ``rgb``: a 4:2:0 picture that is
mirrored has its chroma samples elsewhere than its siting says, so ``yuv420`` is refused where its rows are known.
"""

import itertools
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sr_datasets.dataset.order import Integers, SampleOrder, Words, key_word, stirred

Numbers: TypeAlias = int | npt.NDArray[np.integer[Any]] | Tensor
_CHANNEL_ORDERS: Final = np.array(list(itertools.permutations(range(3))), np.int64)
_LEFT_RIGHT: Final = 1
_UP_DOWN_AND_EXCHANGE: Final = 6


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to each sample; ``PairDataset(transform=...)`` and training loops call it.

    Example:
        >>> augment = Augmentation(seed=0, crop=2)
        >>> lr, hr = torch.arange(16).view(1, 1, 4, 4), torch.zeros(1, 1, 8, 8)
        >>> cropped_lr, cropped_hr = augment(lr, hr, torch.tensor([7]))
        >>> tuple(cropped_lr.shape), tuple(cropped_hr.shape)
        ((1, 1, 2, 2), (1, 1, 4, 4))
    """

    seed: int = 0
    """What the draws are keyed by, with the sample's number."""
    crop: int | None = None
    """LR rows and columns to cut out, at a drawn place of the LR grid; the whole patch when left out."""
    flip: bool = True
    """Mirror left-right, one sample in two."""
    rotate: bool = True
    """Mirror up-down, and exchange rows and columns, each one in two. With ``flip``: all eight symmetries of the square,
    each as often. Patches that are not square are not exchanged."""
    shuffle_channels: bool = False
    """Put the three channels in one of their six orders."""

    def __call__(self, lr: Tensor, hr: Tensor, numbers: Numbers) -> tuple[Tensor, Tensor]:
        """Return LR and HR, cropped, then turned, then with channels in another order.

        Args:
            lr: A batch ``(N, C, h, w)`` or ``(N, T, C, h, w)`` with ``numbers`` of N, or one sample with one number.
            hr: The same pictures, ``scale`` times the size; frames as in ``lr``, or the centre one.
            numbers: Which samples they are: ``(N,)``, or one. Numbers on the CPU cost no wait for the GPU.

        Raises:
            ValueError: The sizes do not fit each other or the crop, or channels to be shuffled are not three.
        """
        samples = _words(numbers)
        if isinstance(numbers, int) or (not isinstance(numbers, int) and numbers.ndim == 0):
            lr, hr = self(lr.unsqueeze(0), hr.unsqueeze(0), samples.astype(np.int64))
            return lr.squeeze(0), hr.squeeze(0)
        scale_of(lr, hr)
        if self.crop is not None:
            lr, hr = crop_pair(
                lr, hr, crop_places(self.seed, samples, lr.shape[-2:], self.crop), size=self.crop
            )
        if self.flip or self.rotate:
            kept = _LEFT_RIGHT * self.flip | _UP_DOWN_AND_EXCHANGE * self.rotate
            codes = torch.from_numpy(symmetries(self.seed, samples) & kept)
            lr, hr = (turned(pixels, codes.to(pixels.device, non_blocking=True)) for pixels in (lr, hr))
        if self.shuffle_channels:
            orders = torch.from_numpy(channel_orders(self.seed, samples))
            lr, hr = (
                with_channels(pixels, orders.to(pixels.device, non_blocking=True)) for pixels in (lr, hr)
            )
        return lr, hr

    def check_color(self, color: str) -> None:
        """Refuse rows whose samples cannot be augmented so.

        Raises:
            ValueError: They are packed 4:2:0 planes, or have no three channels to shuffle.
        """
        if color == "yuv420" and (self.crop is not None or self.flip or self.rotate):
            raise ValueError(
                "rows of color: yuv420 are not cropped or turned: mirrored chroma samples lie elsewhere than their "
                "siting says. Build a set with color: y or rgb, or leave the Augmentation out"
            )
        if color != "rgb" and self.shuffle_channels:
            raise ValueError(
                f"rows of color: {color} have no three channels to shuffle: say shuffle_channels=False"
            )


def symmetries(seed: int, numbers: Numbers) -> Integers:
    """Return how samples are turned, ``(N,)`` of 0..7: the codes that ``turned`` takes."""
    return SampleOrder(1, seed=seed).symmetries_at(_words(numbers))


def crop_places(seed: int, numbers: Numbers, lr_size: tuple[int, ...], size: int) -> Integers:
    """Return where samples are cropped: top and left on the LR grid, ``(N, 2)``.

    Args:
        seed: What the draws are keyed by.
        numbers: Which samples they are.
        lr_size: Rows and columns of LR.
        size: Rows and columns of the crop.

    Raises:
        ValueError: The crop is larger than LR, or nothing.
    """
    if not 1 <= size <= min(lr_size):
        raise ValueError(f"a crop of {size}x{size} does not fit into LR of {lr_size[0]}x{lr_size[1]}")
    words = stirred(_words(numbers) ^ key_word("augment-crop-1", seed))
    # The high and the low half of the word, as fractions of 2**32, of the places there are.
    halves = np.stack([words >> np.uint64(32), words & np.uint64(0xFFFFFFFF)], axis=1)
    choices = np.array([lr_size[0] - size + 1, lr_size[1] - size + 1], np.uint64)
    return (halves * choices >> np.uint64(32)).astype(np.int64)


def channel_orders(seed: int, numbers: Numbers) -> Integers:
    """Return the order of three channels of each sample, ``(N, 3)``: channel ``orders[n, i]`` becomes the i-th."""
    words = stirred(_words(numbers) ^ key_word("augment-channels-1", seed))
    return _CHANNEL_ORDERS[(words % np.uint64(len(_CHANNEL_ORDERS))).astype(np.int64)]


def crop_pair(lr: Tensor, hr: Tensor, places: Integers, *, size: int) -> tuple[Tensor, Tensor]:
    """Return a crop of each LR picture, and the same part of its HR picture.

    Args:
        lr: ``(N, ..., h, w)``.
        hr: ``(N, ..., scale h, scale w)``.
        places: ``(N, 2)``: top and left on the LR grid.
        size: Rows and columns of the LR crop.

    Raises:
        ValueError: HR is no multiple of LR, or a crop leaves it.
    """
    scale = scale_of(lr, hr)
    if len(places) and (places.min() < 0 or (places.max(axis=0) + size > np.array(lr.shape[-2:])).any()):
        raise ValueError(
            f"crops of {size}x{size} leave LR of {lr.shape[-2]}x{lr.shape[-1]}: {places.tolist()}"
        )
    return _cropped(lr, places, size), _cropped(hr, places * scale, size * scale)


def turned(pixels: Tensor, codes: Tensor) -> Tensor:
    """Return each picture of a batch in one of the eight symmetries of its square.

    Args:
        pixels: ``(N, ..., H, W)``; codes above 3 need H = W, and only mirror otherwise.
        codes: ``(N,)`` whole numbers 0..7, as ``SampleOrder.symmetries`` says.
    """
    codes = codes.view(-1, *(1,) * (pixels.ndim - 1))
    found = bits(pixels)
    found = torch.where((codes & 1) > 0, found.flip(-1), found)
    found = torch.where((codes & 2) > 0, found.flip(-2), found)
    if found.shape[-1] == found.shape[-2]:
        found = torch.where((codes & 4) > 0, found.transpose(-1, -2), found)
    return found.view(pixels.dtype)


def with_channels(pixels: Tensor, orders: Tensor) -> Tensor:
    """Return each picture of a batch with its channels in another order.

    Args:
        pixels: ``(N, 3, H, W)`` or ``(N, T, 3, H, W)``.
        orders: ``(N, 3)``, as ``channel_orders`` gives.

    Raises:
        ValueError: There are not three channels.
    """
    if pixels.ndim < 4 or pixels.shape[-3] != 3:
        raise ValueError(f"channels are shuffled among three (N, ..., 3, H, W), not in {tuple(pixels.shape)}")
    place = orders.view(len(orders), *(1,) * (pixels.ndim - 4), 3, 1, 1).expand(pixels.shape)
    return bits(pixels).gather(-3, place).view(pixels.dtype)


def scale_of(lr: Tensor, hr: Tensor) -> int:
    """Return the ratio of HR to LR.

    Raises:
        ValueError: There is none: a side is no multiple, or two sides differ in it.
    """
    (lr_height, lr_width), (height, width) = lr.shape[-2:], hr.shape[-2:]
    scale = int(height // lr_height) if lr_height else 0
    if scale < 1 or (height, width) != (lr_height * scale, lr_width * scale) or len(lr) != len(hr):
        raise ValueError(f"HR {tuple(hr.shape)} is no whole multiple of LR {tuple(lr.shape)}")
    return scale


def bits(pixels: Tensor) -> Tensor:
    """Return the pixels as a type that torch can move about: uint16 as int16 of the same bits."""
    return pixels.view(torch.int16) if pixels.dtype == torch.uint16 else pixels


def _cropped(pixels: Tensor, places: Integers, size: int) -> Tensor:
    everywhere = bits(pixels).unfold(-2, size, 1).unfold(-2, size, 1)
    # (N, ..., tops, lefts, size, size), a view: one gather takes each picture's place out of it.
    top, left = torch.from_numpy(np.ascontiguousarray(places.T)).to(pixels.device, non_blocking=True)
    number = torch.arange(len(places), device=pixels.device)
    inner = (slice(None),) * (pixels.ndim - 3)
    return everywhere[(number, *inner, top, left)].view(pixels.dtype)


def _words(numbers: Numbers) -> Words:
    if isinstance(numbers, Tensor):
        numbers = numbers.cpu().numpy()
    return np.atleast_1d(np.asarray(numbers)).astype(np.uint64)
