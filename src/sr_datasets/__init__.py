"""Public video in, exact and reproducible HR-LR training patches out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sr_datasets.color import split_yuv420
    from sr_datasets.dataset import PairDataset

__version__ = "0.1.0"
__all__ = ["PairDataset", "__version__", "split_yuv420"]


def __getattr__(name: str) -> object:
    # torch takes seconds to import, NumPy a tenth: they load when a program first asks for what needs them.
    if name == "PairDataset":
        from sr_datasets.dataset import PairDataset

        return PairDataset
    if name == "split_yuv420":
        from sr_datasets.color import split_yuv420

        return split_yuv420
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
