"""Makes tests/data/golden_downscalers.npz: small LR pictures by the libraries that our downscalers are named after.

Run: pip install numpy==2.4.6 opencv-python-headless==5.0.0.93 && python scripts/golden_downscalers.py

OpenCV 4.14.0 gives the same arrays. The file's entry ``versions`` names the libraries that made it.
"""

from pathlib import Path

import cv2
import numpy as np

TARGET = Path(__file__).parents[1] / "tests" / "data" / "golden_downscalers.npz"
HEIGHT, WIDTH = 19, 37  # of LR: more columns than a vector register holds, and some left over


def main() -> None:
    arrays = {"versions": np.array(f"opencv {cv2.__version__}, numpy {np.__version__}")}
    for scale in (2, 3, 4, 8):
        values = np.random.default_rng(scale).integers(-64, 320, (3, HEIGHT * scale, WIDTH * scale))
        hr = np.clip(values, 0, 255).astype(np.uint8)
        arrays[f"hr_x{scale}"] = hr
        for kind, interpolation in (("opencv-bicubic", cv2.INTER_CUBIC), ("area", cv2.INTER_AREA)):
            lr = cv2.resize(hr.transpose(1, 2, 0), (WIDTH, HEIGHT), interpolation=interpolation)
            arrays[f"opencv_{kind}_x{scale}"] = lr.transpose(2, 0, 1)
    np.savez_compressed(TARGET, **arrays)


if __name__ == "__main__":
    main()
