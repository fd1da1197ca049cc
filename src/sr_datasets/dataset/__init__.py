"""Shard sets as torch tensors: random access, an order that resumes, paired augmentation, LR made when loaded."""

from sr_datasets.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingExtraError("PairDataset", extra="torch") from error

from sr_datasets.dataset.augment import Augmentation
from sr_datasets.dataset.fresh import FreshLr
from sr_datasets.dataset.numbered import SampleRow, SampleRows
from sr_datasets.dataset.order import BlockOrder, Order, SampleOrder
from sr_datasets.dataset.pairs import PairDataset, Sample
from sr_datasets.dataset.sampler import ResumableBatches, ResumableSampler

__all__ = [
    "Augmentation",
    "BlockOrder",
    "FreshLr",
    "Order",
    "PairDataset",
    "ResumableBatches",
    "ResumableSampler",
    "Sample",
    "SampleOrder",
    "SampleRow",
    "SampleRows",
]
