"""Counts right, wrong and missed scene cuts of our detector, and of PySceneDetect where it is installed.

Run: python benchmarks/cut_rates.py [DATA], where DATA is the folder of real test material.
A cut counts as right at its very frame only. Reels are made of parts of real and generated clips (tests/cut_clips.py);
seed 0 is the one that thresholds were chosen on.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cut_clips import REAL_CUTS, Luma, Reel, fitted, found_cuts, luma_frames, reels

from sr_datasets.build.analysing import luma_of
from sr_datasets.fetch.generated import CLIPS, generate
from sr_datasets.progress import Silent
from sr_datasets.sampling.analysis import halved
from sr_datasets.sampling.cuts import CutFinder
from sr_datasets.video import open_clip, probe

Detector = Callable[[Sequence[Luma]], Sequence[int]]


def ours(frames: Sequence[Luma]) -> list[int]:
    finder = CutFinder()
    for frame in frames:
        finder.add(halved(frame, 8))
    return np.flatnonzero(finder.cuts()).tolist()


def others() -> dict[str, Detector]:
    """Return PySceneDetect's detectors on grey frames: with its own settings, and without its least scene length."""
    try:
        from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode
    except ImportError:
        print("PySceneDetect is not installed: pip install 'sr-datasets[scene]'")
        return {}

    def by(make: Callable[[], object]) -> Detector:
        def detect(frames: Sequence[Luma]) -> list[int]:
            detector, found = make(), []
            for number, frame in enumerate(frames):
                picture = np.repeat(frame[:, :, np.newaxis], 3, axis=2)
                found += detector.process_frame(FrameTimecode(number, Fraction(25)), picture)
            found += detector.post_process(FrameTimecode(len(frames) - 1, Fraction(25)))
            return [cut.frame_num for cut in found]

        return detect

    return {
        "PySceneDetect Adaptive": by(lambda: AdaptiveDetector(luma_only=True)),
        "PySceneDetect Adaptive, any length": by(lambda: AdaptiveDetector(luma_only=True, min_scene_len=1)),
        "PySceneDetect Content": by(lambda: ContentDetector(luma_only=True)),
        "PySceneDetect Content, any length": by(lambda: ContentDetector(luma_only=True, min_scene_len=1)),
    }


def material(data: Path) -> tuple[dict[str, list[Luma]], list[Luma]]:
    """Return shots without a cut by name, and pictures for pans."""
    shots: dict[str, list[Luma]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in CLIPS:
            path = Path(folder) / f"{name}.y4m"
            generate(name, path, progress=Silent())
            shots[name] = luma_frames(path)
    for name, cuts in REAL_CUTS.items():
        if name.startswith(("nasa", "newton")):
            continue  # a dissolve, and a clip of a few hundred bytes of detail
        frames = luma_frames(data / "video" / name)
        edges = [0, *cuts, len(frames)]
        parts = [frames[first:last] for first, last in pairwise(edges)]
        shots |= {f"{name} {number}": part for number, part in enumerate(parts) if len(part) >= 6}
    pictures = [
        grey(path)
        for path in [*sorted((data / "t91").rglob("*.png"))[::9], *sorted((data / "set5").rglob("*.png"))]
    ]
    for name in ("calendar", "foliage"):
        frames = [grey(path) for path in sorted((data / "vid4" / name / "GT").glob("*.png"))]
        shots[name] = [fitted(frame) for frame in frames]
        pictures.append(frames[0])
    return shots, [picture for picture in pictures if min(picture.shape) >= 120]


def grey(path: Path) -> Luma:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def real(data: Path) -> list[Reel]:
    """Return the real clips at their own size; those of more than 8 bits as their high 8."""
    made = []
    for name, cuts in REAL_CUTS.items():
        path = data / "video" / name
        info = probe(path)
        with open_clip(path, info) as reader:
            frames = [
                (luma_of(frame, info) >> (info.bit_depth - 8)).astype(np.uint8)
                for frame in reader.frames(range(info.num_frames))
            ]
        made.append(Reel(frames, list(cuts)))
    return made


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared" / "data"
    shots, pictures = material(data)
    tasks = {"real clips": real(data)}
    for seed in (0, 1, 2):
        tasks[f"made, seed {seed}"] = reels(shots, pictures, count=40, seed=seed)
    for task, made in tasks.items():
        frames = sum(len(reel.frames) for reel in made)
        print(f"\n{task}: {len(made)} reels, {frames} frames, {sum(len(reel.cuts) for reel in made)} cuts")
        print(
            f"{'detector':36}{'right':>7}{'wrong':>7}{'missed':>8}{'precision':>11}{'recall':>8}{'F1':>8}{'ms/frame':>10}"
        )
        for name, detect in {"ours": ours, **others()}.items():
            start = time.perf_counter()
            right, wrong, missed = found_cuts(detect, made)
            pace = 1000 * (time.perf_counter() - start) / frames
            precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
            score = 2 * right / max(1, 2 * right + wrong + missed)
            print(
                f"{name:36}{right:>7}{wrong:>7}{missed:>8}{precision:>11.3f}{recall:>8.3f}{score:>8.3f}{pace:>10.1f}"
            )


if __name__ == "__main__":
    main()
