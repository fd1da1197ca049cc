"""Counts the samples in which our LR differs from LR that others made, and times the degradations.

Run: python benchmarks/kernel_exactness.py [DATA], where DATA is the folder of real test material.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from matfile import read_mat
from pictures import SET5, mod_cropped, read_planes

from sr_datasets.degrade import Degrader, Region, degrade_frame, resize_bicubic
from sr_datasets.recipe import (
    Area,
    BdBasicVsr,
    BdDuf,
    BdSofVsr,
    BdSpmc,
    BdTecoGan,
    Bicubic,
    GaussianSubsample,
    Lanczos,
    OpenCvBicubic,
    PillowBicubic,
    TorchBicubic,
)

RULES = [
    Bicubic(rounding=rounding, border=border)
    for rounding in ("each-pass", "once")
    for border in ("symmetric", "replicate")
]


def compare(label: str, files: list[tuple[Path, Path]], scale: int) -> None:
    """Print one row: for each rule, samples that differ and the greatest difference."""
    cells = []
    for rule in RULES:
        different = samples = greatest = 0
        for hr_path, lr_path in files:
            ours = degrade_frame(mod_cropped(read_planes(hr_path), scale), rule, scale)
            gap = np.abs(ours.astype(int) - read_planes(lr_path))
            different, samples, greatest = (
                different + (gap > 0).sum(),
                samples + gap.size,
                max(greatest, gap.max()),
            )
        cells.append(f"{different:>8} / {greatest}")
    print(f"{label:<24}{samples:>9}" + "".join(f"{cell:>18}" for cell in cells))


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared" / "data"
    print("samples that differ / greatest difference, by rule")
    rules = (f"{rule.rounding}, {rule.border[:3]}" for rule in RULES)
    print(f"{'files':<24}{'samples':>9}" + "".join(f"{rule:>18}" for rule in rules))
    for folder in ("LR_matlab", "LR_matlab_old"):
        for scale in (2, 3, 4):
            pairs = [
                (data / "set5/GT" / f"{name}.png", data / "set5" / folder / f"x{scale}" / f"{name}.png")
                for name in SET5
            ]
            compare(f"Set5 {folder} x{scale}", pairs, scale)
    calendar = data / "vid4/calendar"
    for folder in ("LR_BIx4_uint8", "LR_BIx4_double"):
        pairs = [(path, calendar / folder / path.name) for path in sorted((calendar / "GT").glob("*.png"))]
        compare(f"calendar {folder}", pairs, 4)

    mat = read_mat(data / "set5/matlab_double/butterfly_GT_x3.mat")
    hr, lr, enlarged = (np.moveaxis(mat[name], 2, 0) for name in ("im_gt", "im_l", "im_b"))
    ours = resize_bicubic(hr, *lr.shape[1:])
    for name, values, theirs in (("im_l", ours, lr), ("im_b", resize_bicubic(ours, *hr.shape[1:]), enlarged)):
        print(f"doubles {name}: greatest difference {np.abs(np.clip(values, 0, 255) - theirs).max():.1e}")

    frame = np.random.default_rng(0).integers(0, 256, (1, 1080, 1920), dtype=np.uint8)
    print("milliseconds of 30 LR patches 33x33, one plane")
    for degradation in (
        Bicubic(),
        PillowBicubic(),
        TorchBicubic(),
        OpenCvBicubic(),
        Lanczos(),
        Area(),
        GaussianSubsample(),
        BdDuf(),
        BdBasicVsr(),
        BdSofVsr(),
        BdTecoGan(),
        BdSpmc(),
    ):
        times = (f"x{scale} {patches_ms(frame, degradation, scale):5.1f}" for scale in (2, 3, 4))
        print(f"{degradation.kind:<20}" + "  ".join(times))


def patches_ms(frame, degradation, scale) -> float:
    """Return the milliseconds of 30 patches, the best of ten runs."""
    best = float("inf")
    degrader = Degrader(degradation, scale, color="y")
    for _ in range(10):
        start = time.perf_counter()
        for number in range(30):
            lr = Region(20 + 3 * number, 20 + 5 * number, 33, 33)
            at = degrader.hr_region(lr, 1080, 1920)
            window = frame[:, at.top : at.bottom, at.left : at.right]
            degrader.degrade([window], at=at, height=1080, width=1920, lr=lr)
        best = min(best, time.perf_counter() - start)
    return best * 1e3


if __name__ == "__main__":
    main()
