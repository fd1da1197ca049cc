"""LR is the same numbers on every machine and in every release: digests of each downscaler's results."""

import hashlib

import numpy as np
import pytest
from degrading import DEGRADATIONS, NAMES, SCALES

from sr_datasets.degrade import degrade_frame

DIGESTS = {
    "bicubic-0": "bc323f4229e29db1",
    "bicubic-1": "9c6a6664a110d81b",
    "bicubic-2": "08f7df02bd9bdd6c",
    "bicubic-3": "66a1f0114fcfe365",
    "bd-duf-4": "c58fc1e30ec2be5e",
    "bd-basicvsr-5": "09c0e97d0be7a8c8",
    "bd-sofvsr-6": "4e6f73689b6be7d9",
    "bd-tecogan-7": "aa304bf135f5ce75",
    "bd-spmc-8": "c45047a7b41dc1ac",
    "pillow-bicubic-9": "162ca2ac5898b302",
    "pillow-bicubic-10": "cef7e26151d25ef7",
    "torch-bicubic-11": "7fd5f3450020f74e",
    "opencv-bicubic-12": "7656903fe770d766",
    "area-13": "b28ffee873d8a2eb",
    "area-14": "f3d21b526c76d9e4",
    "lanczos-15": "5ad5dfa303188b64",
    "lanczos-16": "0bfec4e5b71dd9bb",
    "gaussian-subsample-17": "937f2fa97bb83720",
    "gaussian-subsample-18": "10bac3f7b0f67ffe",
    "gaussian-subsample-19": "357fad1b049d07ec",
}


def pattern(height, width, bit_depth):
    """Slopes, steps and aliases, of whole numbers alone."""
    y, x = np.mgrid[:height, :width]
    values = y * y * 73 + x * x * 41 + x * y * 29 + (y // 5) * 911 + (x // 7) * 577
    return (values % (1 << bit_depth)).astype(np.uint8 if bit_depth == 8 else np.uint16)[np.newaxis]


def digest_of(degradation):
    digest = hashlib.sha256()
    for scale in SCALES:
        for bit_depth in (8, 10, 16):
            for height, width in ((23, 31), (25, 9)):
                hr = pattern(height * scale, width * scale, bit_depth)
                lr = degrade_frame(hr, degradation, scale, bit_depth=bit_depth)
                digest.update(lr.astype("<u2").tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_a_release_that_changes_a_sample_changes_a_digest(number):
    assert digest_of(DEGRADATIONS[number]) == DIGESTS[NAMES[number]]
