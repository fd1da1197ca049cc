"""HR pixels to LR pixels, exactly; and one picture along an evaluation protocol."""

from sr_datasets.degrade.encoders import encoders_of
from sr_datasets.degrade.engine import Degrader, Drawn, Key, cut, degrade_frame, halo
from sr_datasets.degrade.evaluation import EvaluationPair, evaluation_pair
from sr_datasets.degrade.resample import resize_bicubic, resize_bicubic_pixels
from sr_datasets.degrade.step import Region

__all__ = [
    "Degrader",
    "Drawn",
    "EvaluationPair",
    "Key",
    "Region",
    "cut",
    "degrade_frame",
    "encoders_of",
    "evaluation_pair",
    "halo",
    "resize_bicubic",
    "resize_bicubic_pixels",
]
