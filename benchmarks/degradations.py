"""Milliseconds per patch of each preset, and seconds per 100 frames of 480x270 of each codec.

Run: python benchmarks/degradations.py [CLIP], where CLIP is a clip of 480x270 or more, such as
park_joy_480x270_50p_420p8.y4m of the real test material. Processor time of one process, one thread.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from sr_datasets.color import Pixels, window
from sr_datasets.degrade import Degrader, Region
from sr_datasets.degrade.step import StepDraws
from sr_datasets.recipe import Degradation
from sr_datasets.recipe.presets import PRESETS
from sr_datasets.video import open_clip, probe

CODECS: dict[str, dict[str, object]] = {
    "x264, crf 25": {"kind": "x264", "crf": 25},
    "x265, crf 28": {"kind": "x265", "crf": 28},
    "vp9, crf 33": {"kind": "vp9", "crf": 33},
    "vp9, crf 33, speed 4": {"kind": "vp9", "crf": 33, "speed": 4},
    "av1, crf 35": {"kind": "av1", "crf": 35},
    "mpeg4, qp 5": {"kind": "mpeg4", "qp": 5},
}
ADAPTER: TypeAdapter[Degradation] = TypeAdapter(Degradation)


def frames_of(path: Path, count: int, height: int, width: int) -> list[Pixels]:
    """Return the middle of a clip's frames as RGB, again from the start when it has too few."""
    info, frames = probe(path), []
    with open_clip(path, info) as reader:
        place = {"top": (info.height - height) // 4 * 2, "left": (info.width - width) // 4 * 2}
        for frame in reader.frames(range(min(count, info.num_frames))):
            frames.append(window(frame.planes, info.layout, color="rgb", height=height, width=width, **place))
    return list(islice(cycle(frames), count))


def seconds_per_patch(name: str, frames: list[Pixels], rows: int) -> list[float]:
    """Return the processor time of each row's patch of LR 64x64, x4."""
    degrader = Degrader(ADAPTER.validate_python(name), 4)
    if degrader.scope == "clip":
        start = time.process_time()
        for _ in degrader.degrade_clip(iter(frames), height=256, width=256, key=(0, "b", "c"), drawn=[]):
            pass
        return [(time.process_time() - start) / len(frames)]
    all_of_it = Region(0, 0, 256, 256)
    times = []
    for row in range(rows):
        given = frames[:15] if name == "real-basicvsr" else [frames[row % len(frames)]]
        start = time.process_time()
        degrader.degrade(
            given,
            at=all_of_it,
            height=256,
            width=256,
            lr=Region(0, 0, 64, 64),
            key=(0, "b", "c", row),
            numbers=range(len(given)),
        )
        times.append((time.process_time() - start) / len(given))
    return times


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Path(os.environ.get("SR_TEST_DATA", "../shared/data")) / "video/park_joy_480x270_50p_420p8.y4m"
    parser.add_argument("clip", type=Path, nargs="?", default=usual)
    clip = parser.parse_args().clip

    crops = frames_of(clip, 60, 256, 256)
    print("| preset | mean ms | least | greatest |\n|---|---|---|---|")
    for name in PRESETS:
        seconds_per_patch(name, crops[:15], 3)  # tables and libraries are made ready
        times = [
            1000 * value for value in seconds_per_patch(name, crops, 40 if name != "real-basicvsr" else 8)
        ]
        print(f"| `{name}` | {statistics.mean(times):.1f} | {min(times):.1f} | {max(times):.1f} |")

    frames = frames_of(clip, 100, 270, 480)
    print("\n| codec | seconds per 100 frames | mean absolute difference |\n|---|---|---|")
    for name, step in CODECS.items():
        chain = {"kind": "chain", "of": "crop", "steps": [step, {"kind": "resize", "base": "target"}]}
        degrader = Degrader(ADAPTER.validate_python(chain), 4)
        start = time.process_time()
        made = list(coded(degrader, frames))
        seconds = time.process_time() - start
        error = np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(made, frames, strict=True)])
        print(f"| {name} | {seconds:.1f} | {error:.2f} |")


def coded(degrader: Degrader, frames: list[Pixels]) -> Iterator[Pixels]:
    """Yield the frames after the first step alone."""
    stream = degrader.steps[0].stream(iter(frames), height=270, width=480, draws=StepDraws((0,)))
    for frame in stream:
        yield frame.astype(np.uint8)


if __name__ == "__main__":
    main()
