"""Public video in, exact and reproducible HR-LR training patches out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sr_datasets.dataset import PairDataset

__version__ = "0.1.0"
__all__ = ["PairDataset", "__version__"]


def __getattr__(name: str) -> object:
    # torch takes seconds to import: it loads when a program first asks for the dataset.
    if name == "PairDataset":
        from sr_datasets.dataset import PairDataset

        return PairDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
