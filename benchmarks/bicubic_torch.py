"""How LR of batches in torch differs from the exact one, and how fast each is: MATLAB's bicubic on 8-bit patches.

    python benchmarks/bicubic_torch.py [--patches 512] [--device cuda]

HR patches of 96x96x3 within a halo are cut from a picture with a 1/f spectrum; what is compared is whole LR patches.
"""

import argparse
import time

import numpy as np
import torch
from random_access import natural_picture

from sr_datasets.dataset.batched import degrade_batch
from sr_datasets.degrade import Degrader, Region, halo
from sr_datasets.recipe import Bicubic


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patches", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    picture = natural_picture(1080, 1920, np.random.default_rng(0))
    print(f"{'scale':>5} {'way':>9} {'samples that differ':>20} {'by at most':>10} {'patches/s':>10}")
    for scale in (2, 3, 4):
        edge = halo(Bicubic(), scale)
        hr = cut(picture, options.patches, 96 + 2 * edge)
        start = time.perf_counter()
        expected = exact(hr, scale, edge)
        report(scale, "exact", expected, expected, time.perf_counter() - start)
        batch = torch.from_numpy(hr).to(options.device)
        for way in ("float64", "float32"):
            degrade_batch(batch[:8], scale, halo=edge, exact=way == "float64")
            start = time.perf_counter()
            found = degrade_batch(batch, scale, halo=edge, exact=way == "float64")[0].cpu().numpy()
            report(scale, way, found, expected, time.perf_counter() - start)


def cut(picture: np.ndarray, count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    places = rng.integers(0, np.array(picture.shape[1:]) - size, (count, 2))
    return np.stack([picture[:, top : top + size, left : left + size] for top, left in places])


def exact(hr: np.ndarray, scale: int, edge: int) -> np.ndarray:
    degrader = Degrader(Bicubic(), scale)
    size = (hr.shape[-1] - 2 * edge) // scale
    lr, far = Region(1000, 1000, size, size), scale << 16
    at = lr.times(scale).grown(edge)
    return np.stack([degrader.degrade([row], at=at, height=far, width=far, lr=lr)[0][0] for row in hr])


def report(scale: int, way: str, found: np.ndarray, expected: np.ndarray, seconds: float) -> None:
    wrong = np.abs(found.astype(int) - expected)
    share = f"{np.count_nonzero(wrong)} of {wrong.size}"
    print(f"{scale:>5} {way:>9} {share:>20} {wrong.max():>10} {len(found) / seconds:>10,.0f}")


if __name__ == "__main__":
    main()
