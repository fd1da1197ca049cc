"""Frames a second of ``upscale`` beside ffmpeg's bicubic scale, on one clip.

Each way runs on its own: decode, enlarge, write y4m to nowhere. Wall time depends on what else the machine does; CPU
seconds a frame less so, and both are printed. Without ffmpeg on PATH its row is left out.

    PYTHONPATH=src python benchmarks/upscale_speed.py CLIP --frames 60
    PYTHONPATH=src python benchmarks/upscale_speed.py CLIP --model espcn-x2 --threads 1 2 --precision fp32 bf16
"""

import argparse
import os
import platform
import resource
import shutil
import subprocess
import time
from itertools import islice
from pathlib import Path

import stored
import torch

from sr_datasets.espcn.media import enlarged_frames
from sr_datasets.espcn.pretrained import open_model
from sr_datasets.espcn.upscale import Upscaler
from sr_datasets.video.streamed import FrameStream, open_stream
from sr_datasets.video.writing import ClipFormat, Y4mWriter


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default="espcn-x3")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--threads", type=int, nargs="+", default=[len(os.sched_getaffinity(0))])
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=("fp32", "fp16", "bf16"))
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=3, help="the fastest is printed")
    stored.save_option(parser, "upscale_speed")
    options = parser.parse_args()

    name, model, _ = open_model(options.model)
    scale = model.config.scale
    with open_stream(options.clip) as stream:
        info = stream.info
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"torch {torch.__version__}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores, {gpu}")
    print(f"{options.clip.name}: {info.width}x{info.height} {info.pixel_format} -> "
          f"{info.width * scale}x{info.height * scale}, {options.frames} frames, best of {options.rounds}\n")  # fmt: skip
    print(f"{'way':<36} {'frames/s':>9} {'CPU s/frame':>12}")
    found: stored.Table = [["way", "frames/s", "CPU s a frame"]]
    for precision in options.precision:
        for threads in options.threads:
            upscaler = Upscaler(model, threads=threads, precision=precision, device=options.device)
            runs = []
            with upscaler:
                for _ in range(options.rounds):
                    runs.append(_ours(options.clip, upscaler, options.frames))
            found.append(_print(f"{name}, {upscaler.device.type} {precision}, {threads} threads", runs))
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        print("ffmpeg is not on PATH: no row for its bicubic")
    for threads in options.threads if ffmpeg else ():
        size = f"scale={info.width * scale}:{info.height * scale}:flags=bicubic:threads={threads}"
        command = [ffmpeg, "-v", "error", "-threads", str(threads), "-i", str(options.clip), "-frames:v"]
        command += [str(options.frames), "-vf", size, "-filter_threads", str(threads), "-f", "yuv4mpegpipe"]
        command += ["-strict", "-1", "-y", "/dev/null"]
        runs = [_theirs(command, options.frames) for _ in range(options.rounds)]
        found.append(_print(f"ffmpeg scale bicubic, {threads} threads", runs))
    stored.save(
        options.save,
        {"rates": found},
        conditions=f"{info.width}x{info.height} to {info.width * scale}x{info.height * scale}, torch {torch.__version__}, {gpu}; the "
        f"fastest of {options.rounds} rounds; decoding and writing y4m are included",
    )


def _ours(path: Path, upscaler: Upscaler, count: int) -> tuple[float, float]:
    with open_stream(path) as stream, Path("/dev/null").open("wb") as nowhere:
        info = stream.info
        big = info.model_copy(
            update={"width": info.width * upscaler.scale, "height": info.height * upscaler.scale}
        )
        writer = Y4mWriter(nowhere, ClipFormat(big))
        started, used = time.perf_counter(), time.process_time()
        batch = upscaler.batch_of(info.height, info.width)
        done = 0
        for pts, planes in enlarged_frames(_First(stream, count), info, upscaler, batch):
            writer.write(planes, pts)
            done += 1
        return done / (time.perf_counter() - started), (time.process_time() - used) / done


class _First:
    """The first frames of a clip."""

    def __init__(self, stream: FrameStream, count: int) -> None:
        self._stream, self._count = stream, count

    def __iter__(self):
        return islice(iter(self._stream), self._count)


def _theirs(command: list[str], frames: int) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return frames / seconds, used / frames


def _print(way: str, runs: list[tuple[float, float]]) -> list[stored.Cell]:
    rate, used = max(rate for rate, _ in runs), min(used for _, used in runs)
    print(f"{way:<36} {rate:9.2f} {used:12.4f}")
    return [way, f"{rate:.2f}", f"{used:.4f}"]


if __name__ == "__main__":
    main()
