"""HR pixels to LR pixels, exactly; and one picture along an evaluation protocol."""

from sr_datasets.degrade.chain import HrWindow, degrade, degrade_frame, halo, hr_window
from sr_datasets.degrade.evaluation import EvaluationPair, evaluation_pair
from sr_datasets.degrade.resample import resize_bicubic, resize_bicubic_pixels

__all__ = [
    "EvaluationPair",
    "HrWindow",
    "degrade",
    "degrade_frame",
    "evaluation_pair",
    "halo",
    "hr_window",
    "resize_bicubic",
    "resize_bicubic_pixels",
]
