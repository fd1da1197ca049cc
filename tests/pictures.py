"""Pictures of the real test material as planes."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SET5 = ("baby", "bird", "butterfly", "head", "woman")


def read_planes(path: Path) -> npt.NDArray[np.uint8]:
    """Return ``(3, height, width)`` or ``(1, height, width)`` uint8."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    assert pixels.dtype == np.uint8
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def mod_cropped(picture: npt.NDArray[np.uint8], scale: int) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[1:]
    return picture[:, : height - height % scale, : width - width % scale]
