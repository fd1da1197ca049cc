"""Time and PSNR of ESPCN trained on T91: how many decibels on Set5 after how many seconds.

Builds nothing: give it the folder of ``sr-data build-pairs espcn-t91`` and the folder of Set5's ground truth.
Each line is a run of its own, since the cosine ends where the run ends; nothing is chosen on Set5.

    PYTHONPATH=src python benchmarks/espcn_t91.py t91/ set5/GT --preset residual --steps 2000 4000 8000
    PYTHONPATH=src python benchmarks/espcn_t91.py t91/ set5/GT --preset espcn --threads 2 --seeds 0 1 2
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

from sr_datasets.espcn.config import PRESETS, preset
from sr_datasets.espcn.data import scale_of
from sr_datasets.espcn.evaluate import evaluate
from sr_datasets.espcn.train import train
from sr_datasets.metrics import PROTOCOLS, Protocol, find_protocol


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shards", type=Path, help="folder of sr-data build-pairs espcn-t91")
    parser.add_argument("pictures", nargs="+", help="test pictures or their folder")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="residual")
    parser.add_argument(
        "--steps", type=int, nargs="+", help="training lengths; the preset's own when left out"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, help="CPU threads; the preset's own when left out")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--protocol", default="y-double", choices=sorted(PROTOCOLS))
    parser.add_argument("--set", dest="options", action="append", default=[], metavar="NAME=JSON",
                        help="any other option of TrainConfig, such as batch_size=16")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    options = parser.parse_args()

    scale, protocol = scale_of(options.shards), find_protocol(options.protocol)
    changes = {
        name: json.loads(value) for name, _, value in (each.partition("=") for each in options.options)
    }
    if options.threads:
        changes["threads"] = options.threads
    bicubic = evaluate("bicubic", options.pictures, scale=scale, protocol=protocol)
    print(
        f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores, {_device(options.device)}"
    )
    print(f"{protocol}\nbicubic x{scale}: {bicubic.mean.psnr:.3f} dB, {bicubic.mean.ssim:.4f}\n")
    if not options.json:
        print(f"{'preset':10} {'steps':>7} {'seed':>4} {'seconds':>8} {'pairs/s':>8} {'PSNR':>7} {'SSIM':>7}")
    for steps in options.steps or [None]:
        for seed in options.seeds:
            _run(options, scale, protocol, {**changes, "seed": seed, **({"steps": steps} if steps else {})})


def _run(options: argparse.Namespace, scale: int, protocol: Protocol, changes: dict[str, object]) -> None:
    config = preset(options.preset, scale=scale, device=options.device, **changes)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = train(config, options.shards, out_dir=Path(folder) / "model")
        seconds = time.perf_counter() - started
        result = evaluate(report.model_path, options.pictures, protocol=protocol)
    if options.json:
        print(json.dumps({**report.to_json(), "wall_seconds": seconds, "evaluation": result.to_json()}))
    else:
        print(
            f"{options.preset:10} {report.steps:>7} {config.seed:>4} {seconds:>8.1f} "
            f"{report.samples_per_second:>8.0f} {result.mean.psnr:>7.3f} {result.mean.ssim:>7.4f}"
        )
    sys.stdout.flush()


def _device(name: str) -> str:
    cuda = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.cuda.get_device_name() if cuda else "CPU only"


if __name__ == "__main__":
    main()
