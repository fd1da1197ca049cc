"""The four last layers side by side: PSNR, checkerboards and time, after the same training, with several seeds.

Builds nothing: give it the folder of ``sr-data build-pairs espcn-t91`` and the folder of Set5's ground truth. A run that
``--runs`` holds already is not trained again. ``--pictures`` draws what docs/upsampling.md shows, of the generated clips.

    PYTHONPATH=src python benchmarks/upsamplers.py t91/ set5/GT --steps 4000 --seeds 0 1 2 --runs runs/
    PYTHONPATH=src python benchmarks/upsamplers.py t91/ set5/GT --runs runs/ --pictures docs/pictures

PSNR: Set5, ``y-double``. Checkerboard (``sr_datasets.espcn.checkerboard``): "error" is the excess of the error on Set5 at
the frequencies of the grid, 1 where the error knows nothing of it; "smooth" is the root mean square at those frequencies,
in levels of 255, of what the network makes of a picture without detail (sums of broad waves), where any is an artefact;
"untrained" is the same of fresh weights without residual path (``last_gain`` 1), in percent of the picture's deviation.
Time: the processor's own, one thread, 640x360 to 1920x1080, the median of five; other work on the machine costs caches
only.
"""

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sr_datasets.degrade import evaluation_pair, resize_bicubic
from sr_datasets.espcn.checkerboard import checkerboard, power_spectrum
from sr_datasets.espcn.checkpoint import load_model
from sr_datasets.espcn.config import EspcnConfig, preset
from sr_datasets.espcn.data import scale_of
from sr_datasets.espcn.evaluate import evaluate
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.train import train
from sr_datasets.espcn.upscale import upscale_luma
from sr_datasets.metrics import find_protocol
from sr_datasets.report.pictures import side_by_side
from sr_datasets.video import open_clip, probe

VARIANTS: dict[str, dict[str, str]] = {
    "subpixel": {"upsampling": "subpixel"},
    "transposed": {"upsampling": "transposed"},
    "resize-nearest": {"upsampling": "resize-nearest"},
    "resize-bilinear": {"upsampling": "resize-bilinear", "residual": "bilinear"},
    # On the preset's own residual path, whose steps smooth maps cannot undo.
    "bilinear+nearest": {"upsampling": "resize-bilinear", "residual": "nearest"},
}
PROTOCOL = find_protocol("y-double")
Plane = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shards", type=Path, help="folder of sr-data build-pairs espcn-t91")
    parser.add_argument("pictures", type=Path, help="folder of test pictures")
    parser.add_argument("--preset", default="residual")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument(
        "--runs", type=Path, help="folder that keeps the models; a temporary one when left out"
    )
    parser.add_argument(
        "--pictures", dest="drawn", type=Path, help="folder for pictures; nothing is measured then"
    )
    options = parser.parse_args()
    scale = scale_of(options.shards)
    with tempfile.TemporaryDirectory() as folder:
        runs = options.runs or Path(folder)
        if options.drawn is not None:
            draw(runs, scale, options.drawn)
        else:
            measure(options, runs, scale)


def measure(options: argparse.Namespace, runs: Path, scale: int) -> None:
    print(f"torch {torch.__version__}, {platform.machine()}, one thread, x{scale}, {options.preset}, "
          f"{options.steps} steps, seeds {options.seeds}")  # fmt: skip
    print(f"{PROTOCOL}\n")
    torch.set_num_threads(1)
    pictures = [_picture(path) for path in sorted(options.pictures.glob("*.png"))]
    bicubic = evaluate("bicubic", [options.pictures], scale=scale, protocol=PROTOCOL)
    print(
        f"{'':16} {'weights':>7} {'PSNR':>7} {'spread':>7} {'error':>6} {'smooth':>7} {'untrained':>9} {'ms':>6}"
    )
    print(f"{'bicubic':16} {'':>7} {bicubic.mean.psnr:>7.2f} {'':>7} {_error_excess(None, pictures, scale):>6.2f} "
          f"{_smooth_rms(None, scale):>7.3f}", flush=True)  # fmt: skip
    for variant in options.variants:
        upsampling = VARIANTS[variant]["upsampling"]
        models = [_trained(options, runs, scale, variant, seed) for seed in options.seeds]
        scores = [evaluate(model, [options.pictures], protocol=PROTOCOL).mean.psnr for model in models]
        excess = statistics.mean(_error_excess(model, pictures, scale) for model in models)
        smooth = statistics.mean(_smooth_rms(model, scale) for model in models)
        untrained = statistics.mean(_untrained(upsampling, scale, seed, icnr=True) for seed in options.seeds)
        print(
            f"{variant:16} {models[0].num_parameters:>7,} {statistics.mean(scores):>7.3f} "
            f"{max(scores) - min(scores):>7.3f} {excess:>6.2f} {smooth:>7.3f} {untrained:>8.2f}% {_ms(models[0], scale):>6.0f}",
            flush=True,
        )
    drawn = statistics.mean(_untrained("subpixel", scale, seed, icnr=False) for seed in options.seeds)
    uneven = statistics.mean(_contrast(uneven_network(scale, seed), scale) for seed in options.seeds)
    print(
        f"untrained without ICNR: {drawn:.1f}%; untrained, a transposed kernel of {_uneven_kernel(scale)}: {uneven:.1f}%"
    )


def _trained(options: argparse.Namespace, runs: Path, scale: int, variant: str, seed: int) -> Espcn:
    out_dir = runs / f"{variant}-{seed}"
    config = preset(
        options.preset, scale=scale, steps=options.steps, seed=seed, model=dict(VARIANTS[variant])
    )
    if not (out_dir / "model.safetensors").exists():
        train(config, options.shards, out_dir=out_dir)
    model, header = load_model(out_dir)
    if header.model != config.model or header.step != options.steps:
        raise SystemExit(f"{out_dir} holds another run: choose another folder (--runs)")
    return model


def uneven_network(scale: int, seed: int) -> Espcn:
    """Return a fresh network whose last layer is a plain transposed convolution that the stride does not divide."""
    model = Espcn(EspcnConfig(scale=scale, upsampling="transposed", icnr=False), seed=seed)
    torch.manual_seed(seed)
    model.conv3 = torch.nn.ConvTranspose2d(
        32, 1, _uneven_kernel(scale), stride=scale, padding=1, output_padding=1 if scale == 2 else 0
    )
    return model


def _uneven_kernel(scale: int) -> int:
    """Return the smallest kernel above the stride that keeps the size and does not divide by it."""
    return 3 if scale == 2 else scale + 2


def smooth_picture(height: int, width: int) -> Plane:
    """Return ``(1, height, width)`` on 0..255: broad waves, none shorter than 24 samples."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = (
        np.sin(2 * np.pi * (x / 61 + y / 97))
        + np.sin(2 * np.pi * (x / 41 - y / 33) + 1.0)
        + 0.5 * np.sin(2 * np.pi * (x / 27 + y / 150) + 2.0)
    )
    return np.asarray(127.5 + 45 * waves)[None]


def _smooth_rms(model: Espcn | None, scale: int) -> float:
    lr = smooth_picture(160, 200)
    sr = _upscale(model, lr, scale)
    return checkerboard(_inside(sr, 8 * scale), scale).rms


def _error_excess(model: Espcn | None, pictures: list[npt.NDArray[np.uint8]], scale: int) -> float:
    found = []
    for picture in pictures:
        pair = evaluation_pair(picture, scale, PROTOCOL)
        error = _upscale(model, pair.lr, scale) - pair.hr
        found.append(checkerboard(_inside(error, 2 * scale), scale).excess)
    return statistics.mean(found)


def _untrained(upsampling: str, scale: int, seed: int, *, icnr: bool) -> float:
    return _contrast(Espcn(EspcnConfig(scale=scale, upsampling=upsampling, icnr=icnr), seed=seed), scale)


def _contrast(model: Espcn, scale: int) -> float:
    """Return the checkerboard that a fresh network makes of a smooth picture, in percent of the output's deviation."""
    sr = _inside(_upscale(model, smooth_picture(160, 200), scale), 8 * scale)
    return 100 * checkerboard(sr, scale).rms / float(sr.std())


def _upscale(model: Espcn | None, lr: Plane, scale: int) -> Plane:
    if model is None:
        return resize_bicubic(lr, lr.shape[1] * scale, lr.shape[2] * scale)
    return upscale_luma(model, lr)


def _inside(planes: Plane, border: int) -> Plane:
    return planes[0, border:-border, border:-border]


def _ms(model: Espcn, scale: int) -> float:
    lr = torch.rand(1, 1, 1080 // scale, 1920 // scale)
    times = []
    with torch.no_grad():
        for _ in range(6):
            started = time.process_time()
            model(lr)
            times.append(1000 * (time.process_time() - started))
    return statistics.median(times[1:])


def _picture(path: Path) -> npt.NDArray[np.uint8]:
    info = probe(path)
    with open_clip(path, info) as clip:
        planes = np.stack(next(iter(clip.frames(range(1)))).planes)
    return planes


# The pictures of docs/upsampling.md.


def draw(runs: Path, scale: int, out_dir: Path) -> None:
    hr = _demo_frame()
    pair = evaluation_pair(hr, scale, PROTOCOL)
    fresh = {
        "sub-pixel, no ICNR": Espcn(EspcnConfig(scale=scale, icnr=False), seed=1),
        f"transposed, kernel {_uneven_kernel(scale)}": uneven_network(scale, 1),
        "sub-pixel, ICNR": Espcn(EspcnConfig(scale=scale), seed=1),
        "nearest + conv": Espcn(EspcnConfig(scale=scale, upsampling="resize-nearest"), seed=1),
        "bilinear + conv": Espcn(EspcnConfig(scale=scale, upsampling="resize-bilinear"), seed=1),
    }
    made = {name: upscale_luma(model, pair.lr)[0] for name, model in fresh.items()}
    _sheet(
        made,
        {name: plane - plane.mean() for name, plane in made.items()},
        scale,
        out_dir / "upsamplers-untrained.png",
    )

    trained = {"bicubic": pair.upscale_bicubic()[0]}
    for variant in VARIANTS:
        trained[variant] = upscale_luma(load_model(runs / f"{variant}-0")[0], pair.lr)[0]
    errors = {name: plane - pair.hr[0] for name, plane in trained.items()}
    _sheet(
        {name: 127.5 + 4 * error for name, error in errors.items()},
        errors,
        scale,
        out_dir / "upsamplers-trained.png",
        stretch=False,
    )


def _sheet(
    shown: dict[str, Plane], measured: dict[str, Plane], scale: int, path: Path, *, stretch: bool = True
) -> None:
    """Write a crop of each picture, three times as large, above its spectrum."""
    columns = []
    for name, plane in shown.items():
        crop = plane[96:144, 120:168]
        if stretch:
            crop = 255 * (crop - crop.min()) / max(float(np.ptp(crop)), 1e-9)
        picture = np.clip(np.rint(crop), 0, 255).astype(np.uint8).repeat(3, axis=0).repeat(3, axis=1)
        columns.append(
            (
                name,
                np.concatenate([picture, np.full((8, 144), 255, np.uint8), _spectrum(measured[name], scale)])[
                    None
                ],
            )
        )
    side_by_side(columns, path)


def _spectrum(plane: Plane, scale: int) -> npt.NDArray[np.uint8]:
    """Return the power spectrum as ``(144, 144)`` uint8, frequency 0 in the middle, 60 dB from black to white."""
    power = np.fft.fftshift(power_spectrum(plane[2 * scale : -2 * scale, 2 * scale : -2 * scale], scale))
    decibels = 10 * np.log10(np.maximum(power / power.max(), 1e-12))
    levels = np.clip(np.rint(255 * (1 + decibels / 60)), 0, 255).astype(np.uint8)
    times = 144 // levels.shape[0]
    return levels.repeat(times, axis=0).repeat(times, axis=1)


def _demo_frame() -> npt.NDArray[np.uint8]:
    """Return luma of a frame of the generated clips, ``(1, height, width)`` uint8."""
    from sr_datasets.fetch.generated import generate
    from sr_datasets.progress import Silent

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.y4m"
        generate("print_1", path, progress=Silent())
        with open_clip(path, probe(path)) as clip:
            return np.ascontiguousarray(next(iter(clip.frames(range(1)))).planes[0])[None]


if __name__ == "__main__":
    main()
