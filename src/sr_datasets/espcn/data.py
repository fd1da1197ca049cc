"""From a shard set to batches on the device: in RAM whole when it fits, through a ``DataLoader`` when not."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from sr_datasets.dataset import PairDataset, SampleOrder
from sr_datasets.dataset.augment import bits, turned
from sr_datasets.errors import ModelError, ShardError
from sr_datasets.espcn.checkpoint import DataFacts
from sr_datasets.espcn.config import TrainConfig
from sr_datasets.shards.index import kinds_of
from sr_datasets.shards.sets import SetInfo, read_set

Batch: TypeAlias = tuple[Tensor, Tensor]

RAM_BYTES: Final = 2 << 30
"""Pixels of a split up to which it is held in memory as one tensor."""

_STEPS_AT_ONCE = 256
_SAMPLES_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class PatchSet:
    """One split of a shard set, ready to be trained on."""

    dataset: PairDataset
    """Its rows."""
    pixels: Batch | None
    """``lr`` and ``hr`` of every row in the stored type, when they fit in memory."""
    peak: float
    """What a sample of 1.0 is stored as: 255 for 8 bits."""

    @property
    def num_rows(self) -> int:
        """Patch pairs."""
        return len(self.dataset)

    def batches(
        self, config: TrainConfig, *, first_step: int, device: torch.device, workers: int
    ) -> Iterator[Batch]:
        """Yield the batches of steps ``first_step`` to the last: float32 on 0..1, turned, on the device.

        What a step gets does not depend on the step that the run began at, nor on where the pixels lie.
        """
        batch_rows = _BatchRows(self.num_rows, config, first_step)
        for (lr, hr), turns in zip(
            self._stored(batch_rows, device, workers), batch_rows.turns(), strict=True
        ):
            lr, hr = (self.to_unit(pixels.to(device, non_blocking=True)) for pixels in (lr, hr))
            if config.augment:
                codes = turns.to(device, non_blocking=True)
                lr, hr = turned(lr, codes), turned(hr, codes)
            yield lr, hr

    def in_order(self, batch_size: int, device: torch.device) -> Iterator[Batch]:
        """Yield every row once, in the set's order, not turned."""
        for first in range(0, self.num_rows, batch_size):
            sample = self.dataset[slice(first, first + batch_size)]
            yield self.to_unit(sample["lr"].to(device)), self.to_unit(sample["hr"].to(device))

    def to_unit(self, pixels: Tensor) -> Tensor:
        """Return stored samples as float32 on 0..1."""
        return pixels.to(torch.float32).div_(self.peak)

    def _stored(self, batch_rows: "_BatchRows", device: torch.device, workers: int) -> Iterator[Batch]:
        if self.pixels is not None:
            lr, hr = (pixels.to(device) for pixels in self.pixels)
            for rows in batch_rows:
                index = torch.tensor(rows, device=device)
                yield _rows_of(lr, index), _rows_of(hr, index)
            return
        loader = DataLoader(
            self.dataset,
            sampler=batch_rows,
            batch_size=None,
            num_workers=workers,
            # A fork of a process that holds threads, or a CUDA device, may hang.
            multiprocessing_context="forkserver" if workers else None,
            pin_memory=device.type == "cuda",
        )
        for sample in loader:
            yield sample["lr"], sample["hr"]


def open_patches(data_dir: Path, split: str, *, scale: int) -> tuple[PatchSet, DataFacts]:
    """Open one split of a set for a luma network of one frame.

    Args:
        data_dir: Folder that ``sr-data build-pairs`` wrote.
        split: The split.
        scale: Of the network.

    Raises:
        ModelError: The patches have another scale, colour or number of frames than the network, several sizes or
            several depths.
        ShardError: The folder is not a finished set, or lacks the split.
    """
    info = read_set(data_dir)
    dataset = PairDataset(data_dir, split=split)
    height, width, depth = _kind_of(data_dir, split, scale)
    sample_bytes = (1 if depth <= 8 else 2) * height * width * (1 + scale**2)
    pixels = _whole(dataset) if sample_bytes * len(dataset) <= RAM_BYTES else None
    facts = _facts_of(info, split, rows=len(dataset))
    return PatchSet(dataset=dataset, pixels=pixels, peak=float((1 << depth) - 1)), facts


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


class _BatchRows(Sampler[list[int]]):
    """The rows of each step's batch, from a step to the last."""

    def __init__(self, num_rows: int, config: TrainConfig, first_step: int) -> None:
        self.order = SampleOrder(num_rows, seed=config.seed)
        self.batch_size = config.batch_size
        self.steps = range(first_step, config.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        for first, count in self._blocks():
            yield from self.order.rows(first, count).reshape(-1, self.batch_size).tolist()

    def turns(self) -> Iterator[Tensor]:
        """Yield how the samples of each batch are turned, ``(batch_size,)`` int64."""
        for first, count in self._blocks():
            yield from torch.from_numpy(self.order.symmetries(first, count)).view(-1, self.batch_size)

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first sample and number of samples of many steps: arithmetic on long arrays costs less a sample."""
        many = max(1, min(_STEPS_AT_ONCE, _SAMPLES_AT_ONCE // self.batch_size))
        for step in self.steps[::many]:
            end = min(step + many, self.steps.stop)
            yield step * self.batch_size, (end - step) * self.batch_size


def _whole(dataset: PairDataset) -> Batch:
    whole = dataset.to_tensors()
    return whole["lr"], whole["hr"]


def _rows_of(pixels: Tensor, rows: Tensor) -> Tensor:
    # Torch has no gather for uint16; the same bits as int16 have one.
    return bits(pixels)[rows].view(pixels.dtype)


def _kind_of(data_dir: Path, split: str, scale: int) -> tuple[int, int, int]:
    """Return height, width and bit depth of a split's LR patches.

    Raises:
        ModelError: A luma network of one frame at this scale cannot be trained on them, or they differ.
    """
    clips: dict[tuple[int, int, int], list[str]] = {}
    for row in kinds_of(data_dir, split):
        name = f"{row['source']}/{row['clip']}"
        for what, found, wanted, field in (
            ("scale", f"x{row['scale']}", f"x{scale}", f"scale: {scale}"),
            ("colour", row["color"], "y", "color: y"),
            ("frames per patch", row["num_frames"], 1, "window: 1"),
        ):
            if found != wanted:
                raise ModelError(
                    f"{data_dir}: the {what} of its patches is {found}, the network's is {wanted} (split {split!r}, "
                    f"{name}). Build a set with a recipe that says `{field}`, into another folder."
                )
        clips.setdefault((row["lr_height"], row["lr_width"], row["bit_depth"]), []).append(name)
    if len(clips) > 1:
        raise ModelError(_several_kinds(data_dir, split, clips))
    (kind,) = clips
    return kind


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
    return DataFacts(
        recipe=info.recipe,
        content_digest=info.content_digest,
        shards={shard.name: shard.sha256 for shard in info.shards if shard.split == split and shard.rows},
        sources=dict(sorted(Counter(each.source for each in info.inputs).items())),
        rows=rows,
    )
