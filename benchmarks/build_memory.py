"""Peak memory of ``build-pairs`` for one 1080p clip and for many: it must not grow with the number of clips.

    python benchmarks/build_memory.py [--clips 100] [--frames 24]

Each build runs in a process of its own (one worker); the peak is the kernel's (ru_maxrss). The clips are links to one
generated y4m, 1920x1080 4:2:0; the recipe takes 30 luma patch pairs of 33x33 LR pixels at x3 of each.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sr_datasets.files import sha256_of
from sr_datasets.store import ClipRecord, FileRecord, Store
from sr_datasets.video import probe

MANIFEST = """
{format: 1, id: made, title: Made, description: Noise., access: manual, open_ended: true, how_to_get: Made here.,
 citation: {text: None.}, licenses: {own: {name: own}}, license: own}
"""
RECIPE = """
{format: 1, id: made, title: Made, clips: [made], present_only: true, drop_duplicates: false, limit: LIMIT, scale: 3,
 color: COLOR, sampling: {kind: uniform, patches_per_pair: 30, lr_size: 33}, split: {counts: {train: -1}}}
"""
PROGRAM = """
import resource, sys
from pathlib import Path
from sr_datasets.build import build_pairs
from sr_datasets.catalog import find_recipe
from sr_datasets.store import Store
build_pairs(find_recipe(sys.argv[1]), out_dir=Path(sys.argv[2]), store=Store(Path(sys.argv[3])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def make_store(root: Path, *, clips: int, frames: int) -> Store:
    store = Store(root)
    first = root / "made" / "clip000.y4m"
    first.parent.mkdir(parents=True)
    draws = np.random.default_rng(0)
    with first.open("wb") as file:
        file.write(b"YUV4MPEG2 W1920 H1080 F25:1 Ip A1:1\n")
        for _ in range(frames):
            file.write(b"FRAME\n" + draws.integers(16, 236, 1920 * 1080 * 3 // 2, dtype=np.uint8).tobytes())
    digest, info, stat = sha256_of(first), probe(first), first.stat()
    records = []
    for number in range(clips):
        path = root / "made" / f"clip{number:03d}.y4m"
        if number:
            os.link(first, path)
        name = f"made/{path.name}"
        file = FileRecord(path=name, size_bytes=stat.st_size, sha256=digest, mtime_ns=stat.st_mtime_ns)
        records.append(
            ClipRecord(
                source="made",
                clip=path.stem,
                path=name,
                files=(file,),
                sha256=digest,
                origin="imported",
                proof="imported",
                info=info,
            )
        )
    store.put(*records)
    return store


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        manifests = home / "config/sr-datasets/manifests/sources"
        manifests.mkdir(parents=True)
        (manifests / "made.yaml").write_text(MANIFEST)
        store = make_store(home / "store", clips=options.clips, frames=options.frames)
        environment = {**os.environ, "XDG_CONFIG_HOME": str(home / "config")}
        print("colour  clips   rows  peak MB   seconds  rows/s")
        for color in ("y", "rgb"):
            peaks = []
            for clips in (1, options.clips):
                recipe = home / "made.yaml"
                recipe.write_text(RECIPE.replace("LIMIT", str(clips)).replace("COLOR", color))
                out_dir = home / f"{color}-{clips}"
                start = time.perf_counter()
                run = subprocess.run(
                    [sys.executable, "-c", PROGRAM, str(recipe), str(out_dir), str(store.root)],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                seconds = time.perf_counter() - start
                peaks.append(int(run.stdout) / 1024)
                rows = clips * 30
                print(
                    f"{color:6}  {clips:5}  {rows:5}  {peaks[-1]:7.1f}  {seconds:8.1f}  {rows / seconds:6.0f}"
                )
            print(f"{color:6}  ratio of the peaks: {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
