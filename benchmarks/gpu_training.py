"""The trainer's and the network's speed on one GPU: time to 32.55 dB, samples a second, waiting, milliseconds a frame.

Builds nothing: give it the folder of ``sr-data build-pairs espcn-t91`` and the folder of Set5's ground truth. Without a
GPU it runs everything once at small sizes on the CPU, and says "not measured on a GPU": that proves the script, no speed.

    PYTHONPATH=src python benchmarks/gpu_training.py t91/ set5/GT
    PYTHONPATH=src python benchmarks/gpu_training.py t91/ set5/GT --modes float32 graph --steps 2000 4000 8000
    PYTHONPATH=src python benchmarks/gpu_training.py --only inference

Time to a PSNR is that of whole runs, since a cosine ends where its run ends: the shortest of ``--steps`` whose last running
mean reaches it on Set5 (protocol ``y-double``) is the answer; reading the shards and recording graphs count, scoring does not.
Milliseconds a frame are of the forward pass alone, luma, from a tensor on the device to a tensor on the device, median of
``--repeats`` after a warm-up, between CUDA events. Frames a second of a whole program also decode, copy and encode:
``sr-data upscale`` has those.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sr_datasets.espcn.config import PRESETS, EspcnConfig, preset
from sr_datasets.espcn.data import scale_of
from sr_datasets.espcn.evaluate import evaluate
from sr_datasets.espcn.model import Espcn
from sr_datasets.espcn.train import train
from sr_datasets.metrics import PROTOCOLS

GOAL_DB = 32.55
"""The paper's row of 91 images, x3, Set5."""
MODES: dict[str, dict[str, Any]] = {
    "float32": {},
    "graph": {"cuda_graph": True},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16-graph": {"precision": "bfloat16", "cuda_graph": True},
    "compile": {"compile": True},
    "disk": {"data": "disk"},
}
# Name, scale, LR rows and columns.
FRAMES = (("1080p x3", 3, 360, 640), ("4K x2", 2, 1080, 1920))
# For the eye, on other hardware: Shi et al., 2016; NTIRE 2023 real-time challenge, R'G'B'; Bicubic++'s repository.
PUBLISHED = {
    "1080p x3": "38 ms (ESPCN's paper, K2)",
    "4K x2": "1.91 ms (ALONG), 3.19 ms (AsConvSR), 7.09 ms (RT4KSR), RTX 3090",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shards", type=Path, nargs="?", help="folder of sr-data build-pairs espcn-t91")
    parser.add_argument("pictures", nargs="*", help="test pictures or their folder")
    parser.add_argument("--only", choices=("training", "inference"))
    parser.add_argument("--preset", choices=sorted(PRESETS), default="residual")
    parser.add_argument(
        "--modes", nargs="+", choices=sorted(MODES), help="ways to compute; all that the device has"
    )
    parser.add_argument("--steps", type=int, nargs="+", help="lengths of runs, shortest first")
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[8, 64, 512], help="for samples a second"
    )
    parser.add_argument(
        "--rate-steps", type=int, help="steps of each run that only measures samples a second"
    )
    parser.add_argument("--repeats", type=int, help="forward passes")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    options = parser.parse_args()
    on_gpu = options.device == "cuda" or (options.device == "auto" and torch.cuda.is_available())
    options.device = "cuda" if on_gpu else "cpu"
    # On a CPU every part runs, at sizes that take seconds.
    options.steps = options.steps or ([1000, 2000, 4000, 8000] if on_gpu else [100])
    options.rate_steps = options.rate_steps or (2000 if on_gpu else 20)
    options.repeats = options.repeats or (200 if on_gpu else 2)
    say(options, "device", torch=str(torch.__version__), device=torch.cuda.get_device_name() if on_gpu else platform.machine(),
        note="" if on_gpu else "not measured on a GPU: small sizes, no figure to quote")  # fmt: skip

    if options.only != "inference":
        if options.shards is None or not options.pictures:
            parser.error("training needs the folder of shards and test pictures (or: --only inference)")
        modes = options.modes or [name for name in MODES if on_gpu or name in ("float32", "bfloat16", "disk")]
        measure_rates(options, modes)
        measure_time_to_goal(options, modes)
    if options.only != "training":
        measure_inference(options, on_gpu=on_gpu)


def measure_rates(options: argparse.Namespace, modes: list[str]) -> None:
    """Print samples a second and the share of time waiting for data, by mode and batch."""
    for mode in modes:
        for batch_size in options.batch_sizes:
            changes = {"batch_size": batch_size, "steps": options.rate_steps, "checkpoint_every": 10**9}
            report, _, _ = run_once(options, {**MODES[mode], **changes}, score=False)
            say(options, "rate", mode=mode, batch_size=batch_size, steps=options.rate_steps,
                samples_per_second=round(report.samples_per_second), waited=f"{report.waited:.2%}")  # fmt: skip


def measure_time_to_goal(options: argparse.Namespace, modes: list[str]) -> None:
    """Print PSNR and time of runs of several lengths, and which of them is the first to reach the goal."""
    for mode in modes:
        reached = None
        for steps in sorted(options.steps):
            report, seconds, psnr = run_once(options, {**MODES[mode], "steps": steps})
            say(options, "run", mode=mode, preset=options.preset, steps=steps, seconds=round(seconds, 1),
                psnr=round(psnr, 3), samples_per_second=round(report.samples_per_second),
                waited=f"{report.waited:.2%}")  # fmt: skip
            if psnr >= GOAL_DB:
                reached = round(seconds, 1)
                break
        say(
            options,
            "goal",
            mode=mode,
            decibels=GOAL_DB,
            seconds=reached if reached is not None else "not reached",
        )


def run_once(
    options: argparse.Namespace, changes: dict[str, Any], *, score: bool = True
) -> tuple[Any, float, float]:
    """Train once in a folder that is then deleted; return the report, its seconds, and PSNR on the pictures."""
    scale = scale_of(options.shards)
    config = preset(options.preset, scale=scale, device=options.device, **changes)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = train(config, options.shards, out_dir=Path(folder) / "model")
        seconds = time.perf_counter() - started
        if not score:
            return report, seconds, 0.0
        result = evaluate(
            report.model_path, options.pictures, protocol=PROTOCOLS["y-double"], device=options.device
        )
    return report, seconds, result.mean.psnr


def measure_inference(options: argparse.Namespace, *, on_gpu: bool) -> None:
    """Print milliseconds a frame: float32 and bfloat16, as it comes, compiled, and as a recorded graph."""
    device = torch.device(options.device)
    residual = PRESETS["residual"]["model"]
    for name, scale, height, width in FRAMES:
        if not on_gpu:
            height, width = height // 4, width // 4
        for kind, config in (
            ("espcn", EspcnConfig(scale=scale)),
            ("residual", EspcnConfig(scale=scale, **residual)),
        ):
            for dtype in (torch.float32, torch.bfloat16):
                model = Espcn(config).to(device, dtype).eval().requires_grad_(False)
                model = model.to(memory_format=torch.channels_last)
                lr = torch.rand(1, 1, height, width, device=device, dtype=dtype)
                ways: dict[str, Callable[[], object]] = {"eager": lambda model=model, lr=lr: model(lr)}
                if on_gpu:
                    compiled = torch.compile(model)
                    ways["compiled"] = lambda compiled=compiled, lr=lr: compiled(lr)
                    ways["graph"] = graph_of(model, lr)
                    ways["compiled graph"] = graph_of(compiled, lr)
                for way, forward in ways.items():
                    with torch.inference_mode():
                        milliseconds = median_ms(forward, options.repeats, device)
                    say(options, "inference", frame=name, network=kind, dtype=str(dtype).removeprefix("torch."),
                        way=way, lr=f"{width}x{height}", ms=round(milliseconds, 3),
                        published=PUBLISHED.get(name, ""))  # fmt: skip


def graph_of(model: Callable[[torch.Tensor], torch.Tensor], lr: torch.Tensor) -> Callable[[], object]:
    """Record a forward pass, and return what replays it."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside), torch.no_grad():
        for _ in range(3):
            model(lr)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():
        model(lr)
    return graph.replay


def median_ms(forward: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Return the median time of a call in milliseconds, on a GPU between events of its own clock."""
    for _ in range(3):
        forward()
    times = []
    for _ in range(repeats):
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            forward()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            started = time.perf_counter()
            forward()
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def say(options: argparse.Namespace, what: str, **facts: object) -> None:
    if options.json:
        print(json.dumps({"what": what, **facts}))
    else:
        print(f"{what:10} " + "  ".join(f"{name} {value}" for name, value in facts.items() if value != ""))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
