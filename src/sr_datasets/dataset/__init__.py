"""Shard sets as torch tensors: random access, an order that resumes, paired augmentation, LR made when loaded."""

from sr_datasets.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingExtraError("PairDataset", extra="torch") from error

from sr_datasets.dataset.order import BlockOrder, Order, SampleOrder
from sr_datasets.dataset.pairs import PairDataset, Sample

__all__ = ["BlockOrder", "Order", "PairDataset", "Sample", "SampleOrder"]
