"""Several frames against one: the gain of early fusion on clips that no network has seen, with its spread over seeds.

Networks of 1, 3 and 5 LR frames learn from the same rows, windows of five frames of which they take the middle ones,
with the same options and as many steps. Whole clips are held out: what is scored (Vid4's calendar and foliage, as far
as the data folder has frames of them, and park_joy, which was never compressed) shares no clip with what is learnt from
(compressed video of the data folder). A set or a model that ``--work`` holds already is not made again.

    PYTHONPATH=src python benchmarks/frames.py --data ../shared/data --work frames-work/
    PYTHONPATH=src python benchmarks/frames.py --data ../shared/data --work frames-work/ --scale 3 --frames 1 3

PSNR: luma under protocol ``vid4``; a frame at an end of a clip stands in for the one that is missing. Gain: of a seed,
what its network of several frames has above the first of ``--frames``; mean and standard deviation over the seeds.
"""

import argparse
import platform
import statistics
from pathlib import Path

import numpy as np
import torch

from sr_datasets.build import build_pairs
from sr_datasets.catalog import added_manifests, load_recipe
from sr_datasets.espcn.checkpoint import load_model
from sr_datasets.espcn.config import PRESETS, preset
from sr_datasets.espcn.evaluate import EvaluationReport, evaluate
from sr_datasets.espcn.options import overrides_of
from sr_datasets.espcn.train import train
from sr_datasets.ingest import import_files
from sr_datasets.metrics import find_protocol
from sr_datasets.progress import Silent
from sr_datasets.store import Store

LEARNT = (
    "bear-vp9.webm",
    "bbb_642x642_vp9.webm",
    "bikes.mp4",
    "carphone_pristine.mp4",
    "nasa_13013.mp4",
    "small_bunny_1080p_60fps.mp4",
)
SCORED = ("vid4/calendar/GT", "vid4/foliage/GT", "video/park_joy_480x270_50p_420p8.y4m")
PROTOCOL = find_protocol("vid4")
MANIFEST = """
{format: 1, id: moving, title: Moving, description: Video with motion., access: manual, open_ended: true,
 how_to_get: The folder of real test material., citation: {text: None.}, licenses: {own: {name: own}}, license: own}
"""
RECIPE = """
{{format: 1, id: moving-x{scale}, title: Windows of five frames, clips: [moving], present_only: true, scale: {scale},
 color: y, sampling: {{kind: textured, window: 5, patches_per_pair: {rows}, lr_size: 17}}, split: {{counts: {{train: -1}}}}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of test material")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps clips, shards and models")
    parser.add_argument("--scale", type=int, default=4, choices=(2, 3, 4))
    parser.add_argument("--rows", type=int, default=1000, help="windows of each clip")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="residual")
    parser.add_argument("--set", dest="options", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 3, 5], choices=(1, 3, 5))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()

    shards = shards_of(options)
    scored = [options.data / name for name in SCORED]
    bicubic = evaluate("bicubic", scored, protocol=PROTOCOL, scale=options.scale)
    print(f"torch {torch.__version__}, {platform.machine()}, one thread, x{options.scale}, {options.preset} "
          f"{' '.join(options.options)}, {options.steps} steps, seeds {options.seeds}")  # fmt: skip
    print(f"{PROTOCOL}\n")
    print(
        f"{'frames':8} {'weights':>8}"
        + "".join(f" {item.name[-14:]:>16}" for item in bicubic.items)
        + f" {'mean':>16}"
    )
    print(f"{'bicubic':8} {'':>8}" + "".join(f" {each:>16.3f}" for each in psnrs(bicubic)), flush=True)
    scores: dict[int, list[list[float]]] = {}
    for frames in options.frames:
        folders = [trained(options, shards, frames, seed) for seed in options.seeds]
        scores[frames] = [psnrs(evaluate(each, scored, protocol=PROTOCOL)) for each in folders]
        weights = load_model(folders[0])[0].num_parameters
        show(str(frames), f"{weights:,}", scores[frames])
        if frames != options.frames[0]:
            first = scores[options.frames[0]]
            gains = [
                np.subtract(ours, alone).tolist() for ours, alone in zip(scores[frames], first, strict=True)
            ]
            show("  gain", "", gains)


def show(name: str, weights: str, rows: list[list[float]]) -> None:
    """Print mean and standard deviation of each column, a row being a seed's."""
    cells = []
    for values in zip(*rows, strict=True):
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        cells.append(f"{statistics.mean(values):.3f} ±{deviation:.3f}")
    print(f"{name:8} {weights:>8}" + "".join(f" {cell:>16}" for cell in cells), flush=True)


def psnrs(report: EvaluationReport) -> list[float]:
    """Return the PSNR of each clip, then their mean."""
    return [*(item.score.psnr for item in report.items), report.mean.psnr]


def shards_of(options: argparse.Namespace) -> Path:
    """Return the folder of the set that all networks learn from; made if missing."""
    shards: Path = options.work / f"shards-x{options.scale}"
    manifest, recipe = options.work / "moving.yaml", options.work / f"moving-x{options.scale}.yaml"
    options.work.mkdir(parents=True, exist_ok=True)
    manifest.write_text(MANIFEST)
    recipe.write_text(RECIPE.format(scale=options.scale, rows=options.rows))
    store = Store(options.work / "store")
    with added_manifests([manifest]) as (source,):
        import_files(source, [options.data / "video" / name for name in LEARNT], store, progress=Silent())
        report = build_pairs(load_recipe(recipe), out_dir=shards, store=store)
    print(f"{shards}: {report.content_digest}, learnt from: {', '.join(LEARNT)}")
    return shards


def trained(options: argparse.Namespace, shards: Path, frames: int, seed: int) -> Path:
    """Return the folder of a network's run; trained if missing."""
    named = "-".join([options.preset, *options.options, str(options.steps)]).replace("/", "_")
    out_dir: Path = options.work / f"x{options.scale}-{named}-frames{frames}-seed{seed}"
    changed = overrides_of(options.options)
    network = {**changed.pop("model", {}), "frames": frames}
    config = preset(
        options.preset,
        scale=options.scale,
        **{**changed, "steps": options.steps, "seed": seed, "centre_frames": True, "model": network},
    )
    if not (out_dir / "model.safetensors").exists():
        train(config, shards, out_dir=out_dir)
    _, header = load_model(out_dir)
    if header.train != config or header.step != options.steps:
        raise SystemExit(f"{out_dir} holds another run: choose another folder (--work)")
    return out_dir


if __name__ == "__main__":
    main()
