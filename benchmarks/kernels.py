"""Writes docs/kernels.md: how the downscalers differ from one another, and which libraries and files they equal.

Run: python benchmarks/kernels.py [DATA] [--out docs/kernels.md], where DATA is the folder of real test material.
Pillow, FFmpeg (through PyAV) and NumPy come with the package; PyTorch, OpenCV and SciPy are compared where they
are installed, and the page says which were not.
"""

import argparse
import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from matfile import read_mat
from pictures import SET5, mod_cropped, read_planes

from sr_datasets.degrade import Degrader, Region, degrade_frame, evaluation_pair, resize_bicubic
from sr_datasets.degrade.swscale import swscale_build
from sr_datasets.draws import KeyedDraws
from sr_datasets.metrics import PROTOCOLS
from sr_datasets.recipe import (
    Area,
    BdBasicVsr,
    BdDuf,
    BdSofVsr,
    BdSpmc,
    BdTecoGan,
    Bicubic,
    Downscaler,
    GaussianSubsample,
    Lanczos,
    OpenCvBicubic,
    PillowBicubic,
    SwscaleBicubic,
    TorchBicubic,
)

SCALES = (2, 3, 4)
RULES: dict[str, Downscaler] = {
    "bicubic": Bicubic(),
    "bicubic, border: replicate": Bicubic(border="replicate"),
    "bicubic, rounding: once": Bicubic(rounding="once"),
    "pillow-bicubic": PillowBicubic(),
    "torch-bicubic": TorchBicubic(),
    "swscale-bicubic": SwscaleBicubic(),
    "swscale-bicubic, accurate: true": SwscaleBicubic(accurate=True),
    "opencv-bicubic": OpenCvBicubic(),
    "lanczos": Lanczos(),
    "lanczos, lobes: 2": Lanczos(lobes=2),
    "area": Area(),
    "gaussian-subsample": GaussianSubsample(),
    "bd-basicvsr": BdBasicVsr(),
    "bd-duf": BdDuf(),
    "bd-sofvsr": BdSofVsr(),
    "bd-tecogan": BdTecoGan(),
    "bd-spmc": BdSpmc(),
}
PUBLISHED_AT_X4_ALONE = ("bd-sofvsr", "bd-tecogan", "bd-spmc")

Pair = tuple[str, Path, Path]


class Gap:
    """How two sets of pictures differ."""

    def __init__(self) -> None:
        self.samples = self.different = self.greatest = self.summed = 0

    def add(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        gap = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
        self.samples += gap.size
        self.different += int(np.count_nonzero(gap))
        self.greatest = max(self.greatest, int(gap.max()))
        self.summed += int(gap.sum())

    @property
    def equal(self) -> str:
        """Percent of equal samples, rounded down, so that 100 means every one."""
        return f"{(self.samples - self.different) * 100000 // self.samples / 1000:.3f}"

    @property
    def mean(self) -> str:
        return f"{self.summed / self.samples:.3f}"


def installed(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def signed(value: float, digits: int) -> str:
    """Return a number with its sign, or 0 where the digits show none."""
    return f"{value:+.{digits}f}" if round(value, digits) else "0"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table whose columns stand under one another."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


# What the libraries make. Each takes (planes, height, width) uint8 or uint16 and returns LR.


def by_pillow(hr: np.ndarray, scale: int) -> np.ndarray:
    size = (hr.shape[2] // scale, hr.shape[1] // scale)
    # Plane by plane, as modes L and I;16.
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in hr]
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BICUBIC)) for plane in planes])


def by_torch(torch: ModuleType) -> Callable[[np.ndarray, int], np.ndarray]:
    def shrink(hr: np.ndarray, scale: int) -> np.ndarray:
        small = torch.nn.functional.interpolate(
            torch.from_numpy(hr.astype(np.float32))[None],
            size=(hr.shape[1] // scale, hr.shape[2] // scale),
            mode="bicubic",
            antialias=True,
        )
        return small[0].clamp(0, np.iinfo(hr.dtype).max).round().numpy()

    return shrink


def by_torch_blur(torch: ModuleType) -> Callable[[np.ndarray, int], np.ndarray]:
    """Blur in float32 on 0..1 with one dense kernel, as the TecoGAN script."""
    bell = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.5**2))
    kernel = np.outer(bell, bell)
    weights = torch.from_numpy((kernel / kernel.sum()).astype(np.float32))[None, None]

    def shrink(hr: np.ndarray, scale: int) -> np.ndarray:
        planes = torch.from_numpy(np.ascontiguousarray(hr))[:, None].float() / 255
        padded = torch.nn.functional.pad(planes, (4, 4, 4, 4), "reflect")
        small = torch.nn.functional.conv2d(padded, weights, stride=scale)[:, 0].numpy()
        return np.clip(np.round(small * 255), 0, 255)

    return shrink


def by_opencv(cv2: ModuleType, interpolation: int) -> Callable[[np.ndarray, int], np.ndarray]:
    def shrink(hr: np.ndarray, scale: int) -> np.ndarray:
        size = (hr.shape[2] // scale, hr.shape[1] // scale)
        picture = np.ascontiguousarray(hr.transpose(1, 2, 0))
        return cv2.resize(picture, size, interpolation=interpolation).transpose(2, 0, 1)

    return shrink


def by_scipy(hr: np.ndarray, scale: int) -> np.ndarray:
    """Blur in float64 and take the middle of each three (x3)."""
    ndimage = importlib.import_module("scipy.ndimage")
    blurred = [ndimage.gaussian_filter(plane.astype(np.float64), 1.0, mode="nearest") for plane in hr]
    return np.floor(np.stack(blurred)[:, scale // 2 :: scale, scale // 2 :: scale] + 0.5)


# Sections


def set5_pairs(data: Path, folder: str, scale: int) -> list[Pair]:
    root = data / "set5"
    return [(name, root / "GT" / f"{name}.png", root / folder / f"x{scale}" / f"{name}.png") for name in SET5]


def files_section(data: Path) -> str:
    """Compare our rules with LR files that others made."""
    calendar = data / "vid4/calendar"
    frames = sorted((calendar / "GT").glob("*.png"))

    def of_calendar(folder: str) -> list[Pair]:
        return [(path.stem, path, calendar / folder / path.name) for path in frames]

    rules: dict[str, Downscaler] = {
        f"{rounding}, {border}": Bicubic(rounding=rounding, border=border)
        for rounding in ("each-pass", "once")
        for border in ("symmetric", "replicate")
    }
    rules["bd-spmc"] = BdSpmc()
    sets: list[tuple[str, int, list[Pair]]] = []
    for folder, release in (("LR_matlab", "current MATLAB"), ("LR_matlab_old", "older MATLAB")):
        sets += [(f"Set5 x{scale}, {release}", scale, set5_pairs(data, folder, scale)) for scale in SCALES]
    sets += [
        ("calendar x4, MATLAB on uint8", 4, of_calendar("LR_BIx4_uint8")),
        ("calendar x4, on doubles", 4, of_calendar("LR_BIx4_double")),
        ("calendar x4, SPMC", 4, of_calendar("LR_BDx4")),
    ]
    rows = []
    for label, scale, pairs in sets:
        gaps = {name: Gap() for name in rules}
        for _, hr_path, lr_path in pairs:
            hr, lr = mod_cropped(read_planes(hr_path), scale), read_planes(lr_path)
            for name, rule in rules.items():
                if name != "bd-spmc" or label.endswith("SPMC"):
                    gaps[name].add(degrade_frame(hr, rule, scale), lr)
        cells = [f"{gap.equal} / {gap.greatest}" if gap.samples else "" for gap in gaps.values()]
        rows.append([label, str(next(iter(gaps.values())).samples), *cells])
    mat = read_mat(data / "set5/matlab_double/butterfly_GT_x3.mat")
    hr, lr, enlarged = (np.moveaxis(mat[name], 2, 0) for name in ("im_gt", "im_l", "im_b"))
    ours = resize_bicubic(hr, *lr.shape[1:])
    shrunk = np.abs(np.clip(ours, 0, 255) - lr).max()
    again = np.abs(np.clip(resize_bicubic(ours, *hr.shape[1:]), 0, 255) - enlarged).max()
    return (
        table(["files", "samples", *rules], rows)
        + f"\n\nMATLAB's doubles (Set5 butterfly x3, a MAT-file): shrunk within {shrunk:.0e}, shrunk and enlarged\n"
        f"within {again:.0e} levels."
    )


def libraries_section(data: Path) -> tuple[str, list[str], list[str]]:
    """Compare our rules with what the libraries make of Set5; return versions and what is not installed too."""
    versions = [f"NumPy {np.__version__}", f"Pillow {PIL.__version__}", swscale_build()]
    missing = []
    makers: list[tuple[str, str, Downscaler, Callable[[np.ndarray, int], np.ndarray], tuple[int, ...]]] = [
        ("Pillow `BICUBIC`", "pillow-bicubic", PillowBicubic(), by_pillow, (2, 3, 4, 8)),
    ]
    torch, cv2, scipy = installed("torch"), installed("cv2"), installed("scipy")
    if torch is None:
        missing.append("PyTorch")
    else:
        versions.append(f"PyTorch {torch.__version__}")
        makers += [
            ("PyTorch `interpolate`", "torch-bicubic", TorchBicubic(), by_torch(torch), (2, 3, 4, 8)),
            ("TecoGAN's blur in PyTorch", "bd-tecogan", BdTecoGan(), by_torch_blur(torch), (4,)),
        ]
    if cv2 is None:
        missing.append("OpenCV")
    else:
        versions.append(f"OpenCV {cv2.__version__}")
        cubic, area = by_opencv(cv2, cv2.INTER_CUBIC), by_opencv(cv2, cv2.INTER_AREA)
        makers += [
            ("OpenCV `INTER_CUBIC`", "opencv-bicubic", OpenCvBicubic(), cubic, (2, 3, 4, 8)),
            ("OpenCV `INTER_AREA`", "area", Area(), area, (2, 3, 4, 8)),
            ("OpenCV `INTER_AREA`", "area, halves: up", Area(halves="up"), area, (2, 4)),
        ]
    if scipy is None:
        missing.append("SciPy")
    else:
        versions.append(f"SciPy {scipy.__version__}")
        makers.append(("SciPy `gaussian_filter`", "gaussian-subsample", GaussianSubsample(), by_scipy, (3,)))
    rows = []
    for library, name, rule, make, scales in makers:
        for scale in scales:
            gap, deep = Gap(), Gap()
            for _, hr_path, _ in set5_pairs(data, "LR_matlab", scale):
                hr = mod_cropped(read_planes(hr_path), scale)
                gap.add(degrade_frame(hr, rule, scale), make(hr, scale))
            if name in ("pillow-bicubic", "torch-bicubic", "opencv-bicubic", "area"):
                noise = np.random.default_rng(scale).integers(-16384, 81920, (3, 512 * scale, 512 * scale))
                hr = np.clip(noise, 0, 65535).astype(np.uint16)
                deep.add(degrade_frame(hr, rule, scale, bit_depth=16), make(hr, scale))
            cells = [f"{one.equal} / {one.greatest}" if one.samples else "" for one in (gap, deep)]
            rows.append([library, f"`{name}`", f"x{scale}", str(gap.samples), *cells])
    return table(["library", "our rule", "scale", "samples", "8 bits", "16 bits"], rows), versions, missing


def shift(rule: Downscaler, scale: int) -> str:
    """Return how far the LR grid lies from centre alignment, in HR pixels: from a ramp of 16 bits."""
    slope, length = 128, 48 * scale
    ramp = np.arange(length, dtype=np.uint16) * slope + 1000
    across = np.broadcast_to(ramp, (1, length, length))
    shifts = []
    for hr in (across, across.transpose(0, 2, 1)):
        lr = degrade_frame(np.ascontiguousarray(hr), rule, scale, bit_depth=16)[0]
        line = lr[24, 12:36] if hr is across else lr[12:36, 24]
        places = (line.astype(np.float64) - 1000) / slope
        shifts.append(float(np.mean(places - (np.arange(12, 36) * scale + (scale - 1) / 2))))
    right, down = (signed(value, 1) for value in shifts)
    return right if right == down else f"{right}, {down}"


def upscaled_psnr(data: Path, rule: Downscaler | None, scale: int) -> float:
    """Return the PSNR of Set5 enlarged by bicubic from this LR, under the protocol y-double."""
    scores = []
    for name in SET5:
        picture = read_planes(data / "set5/GT" / f"{name}.png")
        pair = evaluation_pair(picture, scale, PROTOCOLS["y-double"], degradation=rule)
        scores.append(pair.score(pair.upscale_bicubic()).psnr)
    return float(np.mean(scores))


def differences_section(data: Path) -> str:
    """Compare every downscaler with MATLAB's bicubic of Set5."""
    parts = []
    for scale in SCALES:
        pictures = [read_planes(path) for _, path, _ in set5_pairs(data, "LR_matlab", scale)]
        pictures = [mod_cropped(picture, scale) for picture in pictures]
        reference = [read_planes(path) for _, _, path in set5_pairs(data, "LR_matlab", scale)]
        base = upscaled_psnr(data, RULES["bicubic"], scale)
        rows = []
        for name, rule in RULES.items():
            if scale != 4 and name in PUBLISHED_AT_X4_ALONE:
                continue
            gap = Gap()
            for hr, lr in zip(pictures, reference, strict=True):
                gap.add(degrade_frame(hr, rule, scale), lr)
            psnr = upscaled_psnr(data, rule, scale)
            rows.append(
                [
                    f"`{name}`",
                    gap.equal[:-1],
                    gap.mean,
                    str(gap.greatest),
                    shift(rule, scale),
                    f"{psnr:.2f}",
                    "" if name == "bicubic" else signed(psnr - base, 2),
                ]
            )
        head = ["degradation", "equal %", "mean", "largest", "shift", "PSNR", "effect"]
        unrounded = upscaled_psnr(data, None, scale)
        parts.append(
            f"### x{scale}\n\n{table(head, rows)}\n\n"
            f"LR in double, as the printed tables of the papers: {unrounded:.2f} dB."
        )
    return "\n\n".join(parts)


def windows(kind: str, scale: int, count: int) -> Iterator[tuple[int, int, Region]]:
    """Yield frame sizes and windows of LR, the same in every run."""
    draws = KeyedDraws("kernels", kind, scale)
    for _ in range(count):
        height, width = 1 + draws.below(48), 1 + draws.below(48)
        top, left = draws.below(height), draws.below(width)
        yield height, width, Region(top, left, 1 + draws.below(height - top), 1 + draws.below(width - left))


def windows_section() -> str:
    """Degrade random windows by themselves and hold them against the whole frame's LR."""
    rows = []
    noise = np.random.default_rng(0).integers(-64, 320, (2, 48 * 8, 48 * 8))
    for name, rule in RULES.items():
        cells = []
        for scale in (2, 3, 4, 8):
            samples = different = 0
            for number, (height, width, part) in enumerate(windows(name, scale, 100)):
                depth = (8, 10, 16)[number % 3]
                hr = np.clip(noise[:, : height * scale, : width * scale], 0, 255)
                hr = (hr * (((1 << depth) - 1) / 255)).astype(np.uint8 if depth == 8 else np.uint16)
                degrader = Degrader(rule, scale, bit_depth=depth)
                size = {"height": height * scale, "width": width * scale}
                at = degrader.hr_region(part, **size)
                window = at.cut(hr, Region(0, 0, *hr.shape[1:]))
                (lr,), _ = degrader.degrade([window], at=at, lr=part, **size)
                whole = part.cut(degrader.degrade_frame(hr), Region(0, 0, height, width))
                samples += lr.size
                different += int(np.count_nonzero(lr != whole))
            cells.append(f"{different} of {samples}")
        rows.append([f"`{name}`", *cells])
    return table(["degradation", "x2", "x3", "x4", "x8"], rows)


PAGE = """# Why two papers' LR differ

Made by `python benchmarks/kernels.py` with {versions}.{missing}

Levels are of 8 bits. *Equal %* is rounded down: 100.000 means every sample.

## Each downscaler against MATLAB's bicubic

Set5, R, G and B; reference: the LR files of current MATLAB on uint8, which `bicubic` equals in every sample. *mean*,
*largest*: absolute difference in levels. *shift*: where an LR sample lies, in HR pixels from the middle of
its scale x scale block, on both axes, right and down positive, measured on a 16-bit ramp: a network trained on one grid and
tested on another is off by the difference. *PSNR*: Set5 enlarged by MATLAB's bicubic from this LR, protocol `y-double`
(luma, border of `scale` pixels), LR of 8 bits; *effect*: against `bicubic`.

{differences}

## Which files and libraries our rules equal

Equal % / largest difference in levels. Files, by every rule of `bicubic`: current MATLAB mirrors the border, older releases
repeat the edge sample; on a uint8 array `imresize` rounds after each pass, on doubles the result is rounded once, when
written.

{files}

Libraries: 8 bits on Set5 (R, G, B; *samples* are of these), 16 bits on noise of 3 x 512 x 512 LR samples that is clipped
at both ends.

{libraries}

PyTorch and OpenCV add up in float32, which shows at 16 bits alone. FFmpeg needs no row: `swscale-bicubic` is libswscale
itself, so it changes with FFmpeg's build and, without `accurate: true`, with the CPU's instructions. Pillow 13 takes
the vertical pass first where a frame is more than twice as tall as wide (`tall: vertical-first`); releases 11.0, 12.0
and 12.2 do not.

## Crop first against whole frame

Samples of random windows (100 for each cell: 1 to 48 LR samples a side, at random places of frames of random size, 8,
10 and 16 bits) that differ from the same part of the degraded whole frame:

{windows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="DATA"
    )
    parser.add_argument("--out", type=Path, help="write the page here instead of printing it")
    options = parser.parse_args()
    libraries, versions, missing = libraries_section(options.data)
    page = PAGE.format(
        versions=textwrap.fill(", ".join(versions), 120, initial_indent=" " * 48).strip(),
        missing=f"\nNot installed, so not compared: {', '.join(missing)}." if missing else "",
        differences=differences_section(options.data),
        files=files_section(options.data),
        libraries=libraries,
        windows=windows_section(),
    )
    if options.out:
        options.out.write_text(page, encoding="utf-8")
    else:
        print(page, end="")


if __name__ == "__main__":
    main()
