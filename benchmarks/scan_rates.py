"""Counts how often the scan detector is right, wrong or silent, on generated scenes and on real clips.

Run: python benchmarks/scan_rates.py [DATA], where DATA is the folder of real test material.
"""

import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from scan_clips import MOTIONS, TEXTURES, WAYS, frames_of, moments, said_of, texture, woven

from sr_datasets.video import open_clip, probe
from sr_datasets.video.scan import compare_pair, detect_scan

NOISES = (0, 2, 8)


def generated() -> None:
    """Print a table of words by texture and way of taking, over all motions and noises."""
    print(f"generated: {len(MOTIONS)} motions x noise of {NOISES}, 6 frames of 240x160")
    print(f"{'texture':10}" + "".join(f"{way:>26}" for way in WAYS))
    totals: Counter[tuple[str, str]] = Counter()
    for kind in TEXTURES:
        picture = texture(kind)
        words: Counter[tuple[str, str]] = Counter()
        for motion in MOTIONS:
            scene = moments(picture, 12, **motion)
            for noise in NOISES:
                words.update((way, said_of(frames_of(scene, way, noise=noise))) for way in WAYS)
        totals += words
        print(f"{kind:10}" + "".join(f"{_cell(words, way):>26}" for way in WAYS))
    print(f"{'all':10}" + "".join(f"{_cell(totals, way):>26}" for way in WAYS))
    still: Counter[tuple[str, str]] = Counter()
    for kind in TEXTURES:
        for noise in NOISES:
            for seed in range(20):
                frames = frames_of(moments(texture(kind), 48), "progressive", noise=noise, seed=seed)
                still["still", said_of(frames)] += 1
    print(f"at rest: {_cell(still, 'still')}")


def _cell(words: Counter[tuple[str, str]], way: str) -> str:
    return " / ".join(str(words[way, word]) for word in ("progressive", "interlaced", "unknown"))


def real(data: Path) -> None:
    """Print a line for each real clip: its own word, then the pairs of its woven frames."""
    print(f"{'clip':34}{'word':13}{'pairs p/i/?':>12}{'seconds':>9}   woven top, bottom first, 3:2: p/i/?")
    clips = [path for path in sorted((data / "video").iterdir()) if path.suffix not in (".md",)]
    for path in [*clips, data / "vid4/calendar/GT", data / "vid4/foliage/GT"]:
        if path.stem == "corrupted":
            continue
        info = probe(path)
        with open_clip(path, info) as reader:
            start = time.perf_counter()
            report = detect_scan(reader)
            seconds = time.perf_counter() - start
            plane = 1 if info.model == "rgb" else 0
            frames = [frame.planes[plane] for frame in reader.frames(range(min(info.num_frames, 24)))]
        if frames[0].dtype == np.uint16:
            frames = [(frame >> info.bit_depth - 8).astype(np.uint8) for frame in frames]
        cells = [_pairs(woven(frames, way)) for way in WAYS[1:]]
        name = path.name if path.name != "GT" else f"vid4 {path.parent.name}"
        counts = f"{report.progressive}/{report.interlaced}/{report.unclear}"
        print(f"{name:34}{report.scan:13}{counts:>12}{seconds:>9.2f}   {', '.join(cells)}")


def _pairs(frames: list[np.ndarray]) -> str:
    words = [compare_pair(first, second) for first, second in pairwise(frames)]
    return "/".join(str(words.count(word)) for word in ("progressive", "interlaced", "unclear"))


if __name__ == "__main__":
    generated()
    real(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data"))
