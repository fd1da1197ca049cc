"""Writes reference_numbers.json: kernels by SciPy, SSIM by scikit-image.

Run: python make_reference_numbers.py (needs scipy and scikit-image, which no test needs).
"""

import json
from pathlib import Path

import numpy as np


def ssim_pictures() -> tuple[np.ndarray, np.ndarray]:
    """Return two 40x37 pictures of whole numbers 0..255 that follow a formula."""
    y, x = np.mgrid[0:40, 0:37]
    first = (7 * x + 3 * y * y + (x * y) // 5) % 256
    second = np.clip(first + (x * x + 11 * y) % 41 - 20, 0, 255)
    return first.astype(np.float64), second.astype(np.float64)


def main() -> None:
    import scipy
    import skimage
    from scipy.ndimage import gaussian_filter
    from skimage.metrics import structural_similarity

    kernels = {}
    for scale in (2, 3, 4):
        # As VSR-DUF: a Gaussian filter of sigma 0.4 scale over a 13x13 delta.
        delta = np.zeros((13, 13))
        delta[6, 6] = 1
        kernels[str(scale)] = gaussian_filter(delta, 0.4 * scale).tolist()
    first, second = ssim_pictures()
    numbers = {
        "made_with": {
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-image": skimage.__version__,
        },
        "duf_kernels": kernels,
        "ssim": {
            "gaussian11": float(
                structural_similarity(
                    first,
                    second,
                    data_range=255,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                )
            ),
            "uniform7": float(structural_similarity(first, second, data_range=255)),
        },
    }
    path = Path(__file__).with_name("reference_numbers.json")
    path.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
