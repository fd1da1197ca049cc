"""Public video in, exact and reproducible HR-LR training patches out."""

TYPE_CHECKING = False  # what `typing` has to say, without the 10 ms of its import before a command can begin

if TYPE_CHECKING:
    from sr_datasets.color import split_yuv420
    from sr_datasets.dataset import Augmentation, FreshLr, PairDataset, ResumableSampler

__version__ = "0.1.0"
__all__ = ["Augmentation", "FreshLr", "PairDataset", "ResumableSampler", "__version__", "split_yuv420"]


def __getattr__(name: str) -> object:
    # torch takes seconds to import, NumPy a tenth: they load when a program first asks for what needs them.
    if name in ("Augmentation", "FreshLr", "PairDataset", "ResumableSampler"):
        from sr_datasets import dataset

        return getattr(dataset, name)
    if name == "split_yuv420":
        from sr_datasets.color import split_yuv420

        return split_yuv420
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
