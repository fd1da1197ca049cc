"""A network on whole pictures: luma through the network, colour through bicubic; or all three planes of R'G'B'."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sr_datasets.color import Floats, Pixels, PlaneLayout, luma_of_rgb_float
from sr_datasets.degrade import resize_bicubic
from sr_datasets.errors import ModelError
from sr_datasets.espcn.model import Espcn

Precision = Literal["fp32", "fp16", "bf16"]

_TILE_PIXELS = 1 << 16
"""LR pixels that go through the network at once on a CPU: the first layer's 64 maps of them take 16 MiB. Larger ones
are up to 1.6 times slower a pixel, since their maps leave the caches and come as fresh memory each time."""
_GPU_TILE_PIXELS = 1 << 23
"""As ``_TILE_PIXELS``, over all pictures of a batch: 1 GiB of maps in float16."""
_GPU_BATCH = 8
"""Frames that go through a GPU together at most."""
_CHROMA_HALO = 2
"""LR samples around an output that bicubic depends on."""

_Samples = npt.NDArray[np.uint8 | np.uint16]


def upscale_luma(model: Espcn, lr: Floats, *, bit_depth: int = 8) -> Floats:
    """Return SR of luma.

    A large picture goes through in tiles that overlap by what an output depends on: the result is that of the whole
    picture, but for the last bits of float32.

    Args:
        model: The network of luma, on any device.
        lr: ``(1, h, w)``, 0..2**bit_depth - 1, of any real dtype; for a network of several frames
            ``(frames, 1, h, w)``.
        bit_depth: Bits per sample.

    Returns:
        ``(1, scale * h, scale * w)`` float64 on the same scale, neither clipped nor rounded.

    Raises:
        ValueError: ``lr`` is not one plane, or of another number of frames.
    """
    planes = lr.shape[-3] if lr.ndim >= 3 else 0
    if planes != 1:
        raise ValueError(f"luma is (1, height, width), this array is {lr.shape}")
    return _upscaled(model, lr, bit_depth)


def upscale_rgb(model: Espcn, lr: Floats, *, bit_depth: int = 8, bicubic: Floats | None = None) -> Floats:
    """Return SR of R'G'B'.

    A network of R'G'B' makes all three planes; of a network of luma, both colour differences are bicubic's (BT.601).

    Args:
        model: The network, on any device.
        lr: ``(3, h, w)``, 0..2**bit_depth - 1, of any real dtype; for a network of several frames
            ``(frames, 3, h, w)``.
        bit_depth: Bits per sample.
        bicubic: The (centre) picture enlarged by bicubic, when it was made already.

    Returns:
        ``(3, scale * h, scale * w)`` float64 on the same scale, neither clipped nor rounded.

    Raises:
        ValueError: ``lr`` is not three planes, or of another number of frames.
    """
    if lr.ndim < 3 or lr.shape[-3] != 3:
        raise ValueError(f"R'G'B' is (3, height, width), this array is {lr.shape}")
    if model.config.colors == 3:
        return _upscaled(model, lr, bit_depth)
    lumas = [luma_of_rgb_float(picture, bit_depth) for picture in (lr if lr.ndim == 4 else lr[np.newaxis])]
    luma = _upscaled(model, np.stack(lumas) if lr.ndim == 4 else lumas[0], bit_depth)
    if bicubic is None:
        centre = lr[lr.shape[0] // 2] if lr.ndim == 4 else lr
        bicubic = resize_bicubic(np.asarray(centre, np.float64), *luma.shape[1:])
    # With Cb and Cr kept, the three colours move alike: by the change of luma, from studio range to full.
    step = ((1 << bit_depth) - 1) / (219 << (bit_depth - 8))
    return bicubic + (luma - luma_of_rgb_float(bicubic, bit_depth)) * step


def _upscaled(model: Espcn, lr: Floats, bit_depth: int) -> Floats:
    peak, config = (1 << bit_depth) - 1, model.config
    wanted = 4 if config.frames > 1 else 3
    if lr.ndim != wanted or (wanted == 4 and lr.shape[0] != config.frames):
        raise ValueError(f"the network takes {config.frames} frames at once, this array is {lr.shape}")
    device = next(model.parameters()).device
    height, width = lr.shape[-2:]
    sr = np.empty((config.colors, height * config.scale, width * config.scale), np.float64)
    for tile in _tiles(height, width, model.halo, _TILE_PIXELS):
        part = np.asarray(lr[..., tile.rows, tile.columns], np.float64) / peak
        with torch.no_grad():
            out = model(torch.from_numpy(part).to(device, torch.float32)[None])[0].cpu().numpy()
        inside, place = tile.at(config.scale)
        sr[:, *place] = out[:, *inside].astype(np.float64) * peak
    return sr


@dataclass(frozen=True, slots=True)
class _Tile:
    """A part of a picture, and what must be seen around it."""

    top: int
    left: int
    bottom: int
    right: int
    rows: slice
    columns: slice

    def at(self, scale: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return where the part lies in the tile's output, and in the whole output."""
        first, second = self.rows.start, self.columns.start
        inside = (
            slice((self.top - first) * scale, (self.bottom - first) * scale),
            slice((self.left - second) * scale, (self.right - second) * scale),
        )
        place = slice(self.top * scale, self.bottom * scale), slice(self.left * scale, self.right * scale)
        return inside, place


def _tiles(height: int, width: int, halo: int, pixels: int) -> Iterator[_Tile]:
    """Divide a picture evenly into parts of about square shape."""
    side = max(math.isqrt(pixels), halo)
    rows, columns = -(-height // side), -(-width // side)
    if height * width <= pixels:
        rows = columns = 1
    for row in range(rows):
        top, bottom = height * row // rows, height * (row + 1) // rows
        for column in range(columns):
            left, right = width * column // columns, width * (column + 1) // columns
            yield _Tile(
                top, left, bottom, right,
                slice(max(0, top - halo), min(height, bottom + halo)),
                slice(max(0, left - halo), min(width, right + halo)),
            )  # fmt: skip


class Pending:
    """Frames that are being made."""

    def __init__(self, parts: Sequence[Future[None]], frames: list[tuple[Pixels, ...]]) -> None:
        self._parts, self._frames = parts, frames

    def result(self) -> list[tuple[Pixels, ...]]:
        """Wait for the frames, and return their planes.

        Raises:
            ModelError: Memory ran out.
        """
        try:
            for part in self._parts:
                part.result()
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise ModelError(
                "memory ran out while upscaling. End other programs, or take fewer threads (--threads)."
            ) from error
        return self._frames


class Upscaler:
    """A network made ready for the pixels of pictures and videos, on the device that there is.

    On a CPU, tiles of frames go through the network in threads, one tile a thread: that is faster than the threads
    that torch would take within a tile. On a GPU, frames go through in batches, compiled where there are many.
    Use it in a ``with`` block.
    """

    def __init__(
        self,
        model: Espcn,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        threads: int | None = None,
        precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto",
        compiled: bool | None = None,
    ) -> None:
        """Make a network ready.

        Args:
            model: The network; it is copied.
            device: ``auto``: CUDA where there is a device.
            threads: CPU threads; every core that this process may use when left out.
            precision: Of the network. ``auto``: float32 on a CPU, float16 on a GPU. bfloat16 has 8 bits of mantissa: it
                suits networks with ``residual``, whose layers only make a small difference.
            compiled: Whether ``torch.compile`` makes the network faster; on GPUs when left out.

        Raises:
            ModelError: CUDA is asked for and not there.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ModelError("there is no CUDA device here: leave out --device, or take --device cpu.")
        cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda" if cuda else "cpu")
        self.config = config = model.config
        self.scale = config.scale
        self.precision: Precision = ("fp16" if cuda else "fp32") if precision == "auto" else precision
        self.threads = threads or (1 if cuda else len(os.sched_getaffinity(0)))
        plain = model.with_upsampling("subpixel") if config.upsampling != "resize-bilinear" else model
        copy = Espcn(plain.config)
        copy.load_state_dict(plain.state_dict())
        network = copy.eval().requires_grad_(False).to(self.device)
        for layer in network.layers:
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self._network: Callable[[Tensor], Tensor] = network
        if self.precision != "fp32":
            dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
            self._network = _narrowed(network, dtype)
        if cuda if compiled is None else compiled:
            self._network = torch.compile(self._network, dynamic=False)
        self._halo = network.halo
        self._pixels = _GPU_TILE_PIXELS if cuda else _TILE_PIXELS
        self._pool: ThreadPoolExecutor | None = None
        self._torch_threads = 1

    def __enter__(self) -> Self:
        self._torch_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        # Each thread has its own number of helpers in OpenMP.
        self._pool = ThreadPoolExecutor(
            self.threads, "upscale", initializer=torch.set_num_threads, initargs=(1,)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._torch_threads)

    def batch_of(self, height: int, width: int) -> int:
        """Return how many frames of a size ``submit`` is best given at once."""
        if self.device.type == "cpu":
            return 1
        return max(1, min(_GPU_BATCH, _GPU_TILE_PIXELS // (height * width)))

    def check(self, layout: PlaneLayout, what: str) -> None:
        """Refuse planes that the network cannot take.

        Raises:
            ModelError: It is of R'G'B' and they are not.
        """
        if self.config.colors == 3 and layout.model != "rgb":
            raise ModelError(
                f"{what} holds {layout.model} samples, the network takes R'G'B'. Take a network of luma, or "
                "convert the file (ffmpeg -pix_fmt gbrp -c:v ffv1, into .mkv)."
            )

    def submit(self, windows: Sequence[Sequence[Sequence[_Samples]]], layout: PlaneLayout) -> Pending:
        """Begin to upscale frames, each with its neighbours.

        Args:
            windows: For each frame the planes of ``config.frames`` frames, of which it is the centre.
            layout: What the planes mean.
        """
        assert self._pool is not None, "use Upscaler in a with block"
        scale, middle = self.scale, self.config.frames // 2
        height, width = windows[0][0][0].shape
        frames: list[tuple[Pixels, ...]] = []
        for window in windows:
            sizes = [(height * scale, width * scale)]
            if layout.model == "yuv":
                sizes += [(-(-height * scale >> layout.log2_y), -(-width * scale >> layout.log2_x))] * 2
            elif layout.model == "rgb":
                sizes *= 3
            dtype = window[0][0].dtype
            frames.append(tuple(np.empty(size, dtype) for size in sizes))
        parts = []
        tile_pixels = max(self._halo * self._halo, self._pixels // len(windows))
        for tile in _tiles(height, width, self._halo, tile_pixels):
            work = self._rgb_tile if layout.model == "rgb" else self._luma_tile
            parts.append(self._pool.submit(work, windows, frames, tile, layout.bit_depth))
        if layout.model == "yuv":
            centres = [window[middle] for window in windows]
            chroma_height, chroma_width = centres[0][1].shape
            for tile in _tiles(chroma_height, chroma_width, 0, 4 * tile_pixels):
                parts.append(self._pool.submit(self._chroma_tile, centres, frames, tile, layout))
        return Pending(parts, frames)

    def _luma_tile(
        self,
        windows: Sequence[Sequence[Sequence[_Samples]]],
        frames: Sequence[tuple[Pixels, ...]],
        tile: _Tile,
        bit_depth: int,
    ) -> None:
        box = (tile.rows, tile.columns)
        lr = self._tensor([[[frame[0][box]] for frame in window] for window in windows], bit_depth)
        sr = self._run(lr)
        self._store(sr[:, :1], [frame[:1] for frame in frames], tile, bit_depth)

    def _rgb_tile(
        self,
        windows: Sequence[Sequence[Sequence[_Samples]]],
        frames: Sequence[tuple[Pixels, ...]],
        tile: _Tile,
        bit_depth: int,
    ) -> None:
        box = (tile.rows, tile.columns)
        lr = self._tensor(
            [[[plane[box] for plane in frame] for frame in window] for window in windows], bit_depth
        )
        if self.config.colors == 3:
            sr = self._run(lr)
        else:
            luma = self._run(_luma(lr, bit_depth))
            centre = lr[:, lr.shape[1] // 2]
            number, planes, height, width = centre.shape
            padded = _symmetric(centre.reshape(number * planes, 1, height, width))
            bicubic = _bicubic(padded, self.scale, (0.0, 0.0)).reshape(number, planes, *luma.shape[2:])
            step = ((1 << bit_depth) - 1) / (219 << (bit_depth - 8))  # as in ``upscale_rgb``
            sr = bicubic + (luma - _luma(bicubic, bit_depth)) * step
        self._store(sr, frames, tile, bit_depth)

    def _chroma_tile(
        self,
        centres: Sequence[Sequence[_Samples]],
        frames: Sequence[tuple[Pixels, ...]],
        tile: _Tile,
        layout: PlaneLayout,
    ) -> None:
        height, width = centres[0][1].shape
        rows = _mirrored(tile.top - _CHROMA_HALO, tile.bottom + _CHROMA_HALO, height)
        columns = _mirrored(tile.left - _CHROMA_HALO, tile.right + _CHROMA_HALO, width)
        part = [[[plane[rows][:, columns]] for plane in frame[1:]] for frame in centres]
        lr = self._tensor(part, layout.bit_depth)
        number, planes = lr.shape[:2]
        sr = _bicubic(lr.flatten(0, 1), self.scale, _siting_shift(layout, self.scale))
        whole = _Tile(tile.top, tile.left, tile.bottom, tile.right,
                      slice(tile.top, tile.bottom), slice(tile.left, tile.right))  # fmt: skip
        out = [frame[1:] for frame in frames]
        self._store(sr.reshape(number, planes, *sr.shape[2:]), out, whole, layout.bit_depth)

    def _tensor(self, samples: Sequence[Sequence[Sequence[_Samples]]], bit_depth: int) -> Tensor:
        """Return ``(N, frames, planes, h, w)`` float32 on 0..1."""
        stacked = np.array(samples)
        if stacked.dtype != np.uint8:
            stacked = stacked.astype(np.int32)
        values = torch.from_numpy(stacked).to(self.device, non_blocking=True).to(torch.float32)
        return values.mul_(1 / ((1 << bit_depth) - 1))

    def _run(self, lr: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._network(lr if self.config.frames > 1 else lr[:, 0]).to(torch.float32)

    def _store(self, sr: Tensor, frames: Sequence[Sequence[Pixels]], tile: _Tile, bit_depth: int) -> None:
        """Round, clip and put a tile where it belongs."""
        peak = (1 << bit_depth) - 1
        with torch.inference_mode():
            inside, (rows, columns) = tile.at(self.scale)
            pixels = sr[:, :, *inside].mul(peak).add_(0.5).clamp_(0, peak)
            whole = pixels.to(torch.uint8 if bit_depth == 8 else torch.int32).cpu().numpy()
        for number, frame in enumerate(frames):
            for place, plane in enumerate(frame):
                target = plane[rows, columns]  # chroma of odd sizes ends before the tile does
                target[...] = whole[number, place, : target.shape[0], : target.shape[1]]


def _narrowed(network: Espcn, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Return the network with its layers in a narrow type; what ``residual`` adds stays float32."""

    def run(lr: Tensor) -> Tensor:
        with torch.autocast(lr.device.type, dtype):
            sr: Tensor = network(lr)
        return sr

    return run


def _luma(rgb: Tensor, bit_depth: int) -> Tensor:
    """Return BT.601 studio luma of R'G'B' on 0..1, keeping the planes' axis (the third last)."""
    red, green, blue = rgb.unbind(-3)
    step = (1 << (bit_depth - 8)) / ((1 << bit_depth) - 1)
    return ((16 + 65.481 * red + 128.553 * green + 24.966 * blue) * step).unsqueeze(-3)


def _mirrored(start: int, stop: int, size: int) -> npt.NDArray[np.int64]:
    """Return indices start..stop with those outside mirrored, the edge sample included."""
    index = np.arange(start, stop) % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def _symmetric(planes: Tensor) -> Tensor:
    """Mirror two samples at each side, the edge sample included."""
    rows = torch.from_numpy(_mirrored(-_CHROMA_HALO, planes.shape[2] + _CHROMA_HALO, planes.shape[2]))
    columns = torch.from_numpy(_mirrored(-_CHROMA_HALO, planes.shape[3] + _CHROMA_HALO, planes.shape[3]))
    return planes.index_select(2, rows.to(planes.device)).index_select(3, columns.to(planes.device))


def _siting_shift(layout: PlaneLayout, scale: int) -> tuple[float, float]:
    """Return the ``shift`` of ``_bicubic`` for chroma.

    Chroma that lies on a luma sample (column of ``left``, both axes of ``topleft``) must lie on one again, and not
    between ``scale`` of them.
    """

    def shift(log2: int, *, on_luma: bool) -> float:
        return (scale - 1) / 2 * (1 - 0.5**log2) if on_luma and log2 else 0.0

    columns = shift(layout.log2_x, on_luma=layout.siting in ("left", "topleft"))
    return shift(layout.log2_y, on_luma=layout.siting == "topleft"), columns


def _bicubic(padded: Tensor, scale: int, shift: tuple[float, float]) -> Tensor:
    """Enlarge by MATLAB's bicubic (a = -0.5), as one convolution in LR space and a shuffle.

    Args:
        padded: ``(N, 1, h + 4, w + 4)``, two samples of border on each side.
        scale: Enlargement.
        shift: Rows and columns, in HR samples, by which the place that is looked at lies farther down and right.

    Returns:
        ``(N, 1, scale * h, scale * w)``.
    """
    kernel = _bicubic_kernel(scale, *shift).to(padded.device)
    with torch.inference_mode():
        return F.pixel_shuffle(F.conv2d(padded, kernel), scale)


@lru_cache
def _bicubic_kernel(scale: int, down: float, right: float) -> Tensor:
    rows, columns = _phases(scale, down), _phases(scale, right)
    kernel = np.einsum("ay,bx->abyx", rows, columns).reshape(scale * scale, 1, 5, 5)
    return torch.from_numpy(kernel.astype(np.float32))


def _phases(scale: int, shift: float) -> Floats:
    """Return the weights of five LR samples for each place in a cell."""
    weights = np.zeros((scale, 5))
    for place in range(scale):
        centre = (place + 0.5 + shift) / scale - 0.5
        distances = np.abs(np.arange(-2, 3) - centre)
        near = 1.5 * distances**3 - 2.5 * distances**2 + 1
        far = -0.5 * distances**3 + 2.5 * distances**2 - 4 * distances + 2
        row = np.where(distances <= 1, near, np.where(distances < 2, far, 0.0))
        weights[place] = row / row.sum()
    return weights
