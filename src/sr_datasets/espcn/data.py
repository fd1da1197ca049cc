"""From a shard set to batches on the device: whole where the model is when it fits, through a ``DataLoader`` when not."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from sr_datasets.dataset import PairDataset, ResumableSampler
from sr_datasets.dataset.augment import (
    bits,
    channel_orders,
    crop_pair,
    crop_places,
    symmetries,
    turned,
    with_channels,
)
from sr_datasets.dataset.memory import free_bytes
from sr_datasets.dataset.numbered import SampleRows
from sr_datasets.errors import ModelError, ShardError
from sr_datasets.espcn.checkpoint import DataFacts
from sr_datasets.espcn.config import EspcnConfig, TrainConfig
from sr_datasets.espcn.ranks import Ranks
from sr_datasets.shards.index import kinds_of
from sr_datasets.shards.sets import SetInfo, read_set
from sr_datasets.terms import licenses_of, obligations

Batch: TypeAlias = tuple[Tensor, Tensor]

RAM_BYTES: Final = 2 << 30
"""Pixels of a split up to which it is held in a computer's memory as one tensor; on a GPU, half of what is free."""

_COLORS: Final = {1: "y", 3: "rgb"}
_STEPS_AT_ONCE = 256
_SAMPLES_AT_ONCE = 1 << 18
_SHARDS_BY_NAME = 100


@dataclass(frozen=True, slots=True, eq=False)
class PatchSet:
    """One split of a shard set, ready to be trained on."""

    dataset: PairDataset
    """Its rows."""
    pixels: Batch | None
    """``lr`` and ``hr`` of every row in the stored type, on the device, when they fit there."""
    peak: float
    """What a sample of 1.0 is stored as: 255 for 8 bits."""
    frames: int
    """LR frames that the network takes, the middle ones of a row."""

    @property
    def num_rows(self) -> int:
        """Patch pairs."""
        return len(self.dataset)

    def batches(
        self, config: TrainConfig, *, first_step: int, ranks: Ranks, workers: int = 0
    ) -> Iterator[Batch]:
        """Yield this process's part of the batches of steps ``first_step`` to the last.

        They are float32 on 0..1, cropped and turned, on the device. What a step gets does not depend on the step that
        the run began at, on where the pixels lie, nor, over all processes, on how many there are.
        """
        parts = _Parts(self.dataset, config, first_step, ranks)
        for (lr, hr), draws in zip(self._stored(parts, ranks, workers), parts.draws(), strict=True):
            # As bytes: they move in a quarter of the time that floats take.
            lr, hr = (pixels.to(ranks.device, non_blocking=True) for pixels in (lr, hr))
            lr, hr = draws.augmented(lr, hr)
            yield self.to_unit(lr), self.to_unit(hr)

    def in_order(self, batch_size: int, ranks: Ranks) -> Iterator[Batch]:
        """Yield every row once over all processes, in the set's order, not turned."""
        for first in range(ranks.rank * batch_size, self.num_rows, ranks.count * batch_size):
            part = slice(first, first + batch_size)
            if self.pixels is not None:
                lr, hr = (pixels[part] for pixels in self.pixels)
            else:
                lr, hr = _of_sample(self.dataset[part], self.frames)
            yield self.to_unit(lr.to(ranks.device)), self.to_unit(hr.to(ranks.device))

    def to_unit(self, pixels: Tensor) -> Tensor:
        """Return stored samples as float32 on 0..1."""
        return pixels.to(torch.float32).div_(self.peak)

    def _stored(self, parts: "_Parts", ranks: Ranks, workers: int) -> Iterator[Batch]:
        if self.pixels is not None:
            lr, hr = self.pixels
            for index in parts.rows(ranks.device):
                yield _rows_of(lr, index), _rows_of(hr, index)
            return
        loader = DataLoader(
            self.dataset,
            sampler=parts,
            batch_size=None,
            num_workers=workers,
            # A fork of a process that holds threads, or a CUDA device, may hang.
            multiprocessing_context="forkserver" if workers else None,
            pin_memory=ranks.device.type == "cuda",
        )
        for sample in loader:
            yield _of_sample(sample, self.frames)


def open_patches(
    data_dir: Path, split: str, config: TrainConfig, *, device: torch.device | None = None
) -> tuple[PatchSet, DataFacts]:
    """Open one split of a set for a network.

    Args:
        data_dir: Folder that ``sr-data build-pairs`` wrote.
        split: The split.
        config: The network, and where pixels are held.
        device: Where they are held in memory; the CPU when left out.

    Raises:
        ModelError: The patches have another scale, colour or number of frames than the network, several sizes or
            several depths, are smaller than the crop, or are to be held in memory and do not fit.
        ShardError: The folder is not a finished set, or lacks the split.
    """
    device = device or torch.device("cpu")
    info = read_set(data_dir)
    dataset = PairDataset(data_dir, split=split)
    height, width, depth = _kind_of(data_dir, split, config)
    if config.crop is not None and config.crop > min(height, width):
        raise ModelError(
            f"{data_dir}: its LR patches are {width}x{height}, a crop of {config.crop} is larger. Leave crop out, or "
            "make it smaller."
        )
    frames = config.model.frames
    patches = PatchSet(
        dataset=dataset,
        pixels=_held(dataset, config, frames, device),
        peak=float((1 << depth) - 1),
        frames=frames,
    )
    return patches, _facts_of(info, split, rows=len(dataset))


def has_split(data_dir: Path, split: str) -> bool:
    """Say whether a set has rows of a split.

    Raises:
        ShardError: The folder is not a finished set.
    """
    return split in read_set(data_dir).splits


def scale_of(data_dir: Path) -> int:
    """Return the scale of a set.

    Raises:
        ShardError: The folder is not a finished set.
    """
    scale = read_set(data_dir).recipe.get("scale")
    if not isinstance(scale, int):
        raise ShardError(f"{data_dir}: its recipe names no scale. Build the set again.")
    return scale


def network_of(data_dir: Path, split: str = "train") -> dict[str, int]:
    """Return the fields of ``EspcnConfig`` that the patches of a split decide: scale, colours, frames.

    What no network takes (``yuv420``, 7 frames) is left as luma of one frame, which ``open_patches`` then refuses.

    Raises:
        ShardError: The folder is not a finished set, or lacks the split.
    """
    fields = {"scale": scale_of(data_dir)}
    kinds = kinds_of(data_dir, split)
    if {row["color"] for row in kinds} == {"rgb"}:
        fields["colors"] = 3
    frames = {row["num_frames"] for row in kinds}
    if frames in ({3}, {5}):
        fields["frames"] = frames.pop()
    return fields


class _Parts(Sampler[list[int]]):
    """The rows of this process's part of each step's batch, from a step to the last.

    The sequence of samples is that of ``ResumableSampler``; of the batch of a step, samples ``step * batch_size`` to
    ``(step + 1) * batch_size - 1``, each process takes every ``count``-th.
    """

    def __init__(self, dataset: PairDataset, config: TrainConfig, first_step: int, ranks: Ranks) -> None:
        self.sampler = ResumableSampler(
            dataset,
            seed=config.seed,
            block=config.block,
            num_samples=config.steps * config.batch_size,
            rank=ranks.rank,
            world_size=ranks.count,
        )
        self.sampler.start_at(first_step * config.batch_size)
        self.config = config
        self.size = ranks.part_of(config.batch_size)
        self.device = ranks.device
        self.steps = range(first_step, config.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        for numbers, rows in self._blocks():
            for first, some in zip(numbers[:, 0].tolist(), rows.tolist(), strict=True):
                yield SampleRows(
                    some, first=first, step=self.sampler.world_size, near=self.config.block is not None
                )

    def rows(self, device: torch.device) -> Iterator[Tensor]:
        """Yield the rows of each step on a device; they travel there many steps at a time."""
        for _, rows in self._blocks():
            yield from torch.from_numpy(rows).to(device)

    def draws(self) -> Iterator["_Draws"]:
        """Yield what is done to the samples of each step."""
        config = self.config
        for numbers, _ in self._blocks():
            turns = None
            if config.augment:
                codes = symmetries(config.seed, numbers.ravel()).reshape(numbers.shape)
                turns = torch.from_numpy(codes).to(self.device)
            for place, some in enumerate(numbers):
                yield _Draws(config, some, None if turns is None else turns[place])

    def _blocks(self) -> Iterator[tuple[Any, Any]]:
        """Yield numbers and rows of samples, ``(steps, part)`` int64: arithmetic on long arrays costs less a sample."""
        batch = self.config.batch_size
        many = max(1, min(_STEPS_AT_ONCE, _SAMPLES_AT_ONCE // batch))
        part = self.sampler.rank + self.sampler.world_size * np.arange(self.size, dtype=np.uint64)
        for step in self.steps[::many]:
            steps = np.arange(step, min(step + many, self.steps.stop), dtype=np.uint64)
            numbers = steps[:, None] * np.uint64(batch) + part[None].astype(np.uint64)
            rows = self.sampler.order.rows_at(numbers.ravel()).reshape(numbers.shape)
            yield numbers.astype(np.int64), rows


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """What is done to the samples of one step, as ``Augmentation`` does it: keyed by the seed and their numbers."""

    config: TrainConfig
    numbers: Any
    turns: Tensor | None

    def augmented(self, lr: Tensor, hr: Tensor) -> Batch:
        config = self.config
        if config.crop is not None:
            places = crop_places(config.seed, self.numbers, lr.shape[-2:], config.crop)
            lr, hr = crop_pair(lr, hr, places, size=config.crop)
        if self.turns is not None:
            lr, hr = turned(lr, self.turns), turned(hr, self.turns)
        if config.shuffle_channels:
            orders = torch.from_numpy(channel_orders(config.seed, self.numbers)).to(lr.device)
            lr, hr = with_channels(lr, orders), with_channels(hr, orders)
        return lr, hr


def _held(dataset: PairDataset, config: TrainConfig, frames: int, device: torch.device) -> Batch | None:
    """Return every pixel of a split on the device, if it is to lie there and fits."""
    if config.data == "disk":
        return None
    needed, free = dataset.tensor_bytes(), free_bytes(device)
    limit = RAM_BYTES if device.type == "cpu" else 1 << 62
    if config.data == "auto" and (needed > limit or (free is not None and needed > free // 2)):
        return None
    try:
        whole = dataset.to_tensors(device)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ModelError(
            f"{dataset.path}: {needed / 2**30:.1f} GiB of pixels do not fit in the memory of {device}. Read them from "
            "disk while training: --set data=disk"
        ) from error
    return _of_sample(whole, frames)


def _of_sample(sample: dict[str, Any], frames: int) -> Batch:
    """Return LR of so many frames, the middle ones, and HR of the centre frame."""
    lr, hr = sample["lr"], sample["hr"]
    if lr.ndim == 5:
        first = (lr.shape[1] - frames) // 2
        lr = lr[:, first : first + frames] if frames > 1 else lr[:, first]
    if hr.ndim == 5:
        hr = hr[:, hr.shape[1] // 2]
    return lr, hr


def _rows_of(pixels: Tensor, rows: Tensor) -> Tensor:
    # Torch has no gather for uint16; the same bits as int16 have one.
    return bits(pixels)[rows].view(pixels.dtype)


def _kind_of(data_dir: Path, split: str, config: TrainConfig) -> tuple[int, int, int]:
    """Return height, width and bit depth of a split's LR patches.

    Raises:
        ModelError: The network cannot be trained on them, or they differ.
    """
    clips: dict[tuple[int, int, int], list[str]] = {}
    for row in kinds_of(data_dir, split):
        name = f"{row['source']}/{row['clip']}"
        for what, found, wanted, advice in _demands(row, config.model, config.centre_frames):
            if found != wanted:
                raise ModelError(
                    f"{data_dir}: the {what} of its patches is {found}, the network's is {wanted} (split {split!r}, "
                    f"{name}). {advice}"
                )
        clips.setdefault((row["lr_height"], row["lr_width"], row["bit_depth"]), []).append(name)
    if len(clips) > 1:
        raise ModelError(_several_kinds(data_dir, split, clips))
    (kind,) = clips
    return kind


def _demands(
    row: dict[str, Any], model: EspcnConfig, centre_frames: bool
) -> Iterator[tuple[str, object, object, str]]:
    """Yield what a row must have: in words, what it has, what the network has, and what to do."""
    build = "Build a set with a recipe that says `{}`, into another folder"
    scale, color, frames = row["scale"], _COLORS[model.colors], row["num_frames"]
    yield (
        "scale", f"x{scale}", f"x{model.scale}",
        f"Train a network of that scale (--set scale={scale}), or {build.format(f'scale: {model.scale}').lower()}.",
    )  # fmt: skip
    colors = next((number for number, name in _COLORS.items() if name == row["color"]), None)
    other = f"Train a network of these colours (--set colors={colors}), or b" if colors else "B"
    yield "colour", row["color"], color, f"{other}{build[1:].format(f'color: {color}')}."
    fits = frames == model.frames or (
        centre_frames and frames > model.frames and (frames - model.frames) % 2 == 0
    )
    middle = "Take the middle ones (--set centre_frames=true), or b" if frames > model.frames else "B"
    yield (
        "frames per patch", model.frames if fits else frames, model.frames,
        f"{middle}{build[1:].format(f'window: {model.frames}')}.",
    )  # fmt: skip


def _several_kinds(data_dir: Path, split: str, clips: dict[tuple[int, int, int], list[str]]) -> str:
    kinds = sorted(clips, key=lambda kind: -len(clips[kind]))
    listing = "; ".join(
        f"{width}x{height} at {depth} bits in {', '.join(clips[height, width, depth][:3])}"
        + (
            f" and {len(clips[height, width, depth]) - 3} more"
            if len(clips[height, width, depth]) > 3
            else ""
        )
        for height, width, depth in kinds
    )
    if len({depth for _, _, depth in kinds}) > 1:
        advice = (
            f'a recipe that takes clips of one depth, such as `where: {{facts: "bit_depth={kinds[0][2]}"}}`'
        )
    else:
        advice = "a recipe whose patches have one size"
    return (
        f"{data_dir}: the LR patches of split {split!r} are of several kinds, and a batch has one: {listing}. Build "
        f"the set with {advice}, into another folder."
    )


def _facts_of(info: SetInfo, split: str, *, rows: int) -> DataFacts:
    shards = {shard.name: shard.sha256 for shard in info.shards if shard.split == split and shard.rows}
    clips = [each for each in info.inputs if each.split == split]
    licenses = licenses_of((each.source, each.clip) for each in clips)
    lines = "".join(f"{sha}  {name}\n" for name, sha in sorted(shards.items()))
    return DataFacts(
        recipe=info.recipe,
        content_digest=info.content_digest,
        shards=shards if len(shards) <= _SHARDS_BY_NAME else {},
        num_shards=len(shards),
        shards_sha256=sha256(lines.encode()).hexdigest(),
        sources=dict(sorted(Counter(each.source for each in info.inputs).items())),
        split=split,
        clips=len(clips),
        licenses=dict(sorted(Counter(each.name for each in licenses).items())),
        obligations=tuple(str(each) for each in obligations(licenses)),
        rows=rows,
    )
