"""Peak memory of ``build-pairs`` for one 1080p clip and for many: it must not grow with the number of clips.

    python benchmarks/build_memory.py [--clips 100] [--frames 24]
    python benchmarks/build_memory.py --clip FILE [--degradation NAME]

Each build runs in a process of its own (one worker); the peak is the kernel's (ru_maxrss). The clips are links to one
generated y4m, 1920x1080 4:2:0; the recipe takes 30 luma patch pairs of 33x33 LR pixels at x3 of each.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stored
from made_clips import record_of, write_manifest, write_noise

from sr_datasets.files import sha256_of
from sr_datasets.store import Store
from sr_datasets.video import probe

RECIPE = """
{format: 1, id: made, title: Made, clips: [made], present_only: true, drop_duplicates: false, limit: LIMIT, scale: 3,
 color: COLOR, sampling: {kind: uniform, patches_per_pair: 30, lr_size: 33}, split: {counts: {train: -1}}}
"""
PROBE = """
import os, sys
child = os.fork()
if child == 0:  # so that the peak of probing is not counted
    sys.path.insert(0, "benchmarks")
    from pathlib import Path
    from build_memory import put_clip
    put_clip(Path(sys.argv[3]), Path(sys.argv[4]))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
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


def put_clip(root: Path, path: Path) -> None:
    Store(root).put(record_of(path, sha256_of(path), probe(path)))


def make_store(root: Path, *, clips: int, frames: int) -> Store:
    store = Store(root)
    first = root / "made" / "clip000.y4m"
    first.parent.mkdir(parents=True)
    write_noise(first, width=1920, height=1080, num_frames=frames, seed=0)
    digest, info = sha256_of(first), probe(first)
    records = []
    for number in range(clips):
        path = root / "made" / f"clip{number:03d}.y4m"
        if number:
            os.link(first, path)
        records.append(record_of(path, digest, info))
    store.put(*records)
    return store


def one_clip(home: Path, clip: Path, degradation: str) -> None:
    path = home / "store" / "made" / f"clip000{clip.suffix}"
    path.parent.mkdir(parents=True)
    shutil.copyfile(clip, path)
    recipe = home / "made.yaml"
    text = RECIPE.replace("LIMIT", "1").replace("COLOR", "rgb").replace("scale: 3", "scale: 4")
    recipe.write_text(text.rstrip().removesuffix("}") + f", degradation: {degradation}}}\n")
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            PROBE + PROGRAM,
            str(recipe),
            str(home / "set"),
            str(home / "store"),
            str(path),
        ],
        env={**os.environ, "XDG_CONFIG_HOME": str(home / "config")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(f"{clip.name}, {degradation}: peak {int(run.stdout) / 1024:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument(
        "--clip", type=Path, help="Build of this file alone, rgb, in place of generated clips."
    )
    parser.add_argument(
        "--degradation", default="bicubic", help="With --clip: a name of docs/degradations.md."
    )
    stored.save_option(parser, "build_memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_manifest(home / "config")
        if options.clip is not None:
            one_clip(home, options.clip, options.degradation)
            return
        store = make_store(home / "store", clips=options.clips, frames=options.frames)
        environment = {**os.environ, "XDG_CONFIG_HOME": str(home / "config")}
        print("colour  clips   rows  peak MB   seconds  rows/s")
        found: stored.Table = [["colour", "clips", "rows", "peak memory", "seconds"]]
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
                more = f" (x{peaks[1] / peaks[0]:.2f})" if len(peaks) > 1 else ""
                found.append([color, str(clips), str(rows), f"{peaks[-1]:.0f} MB{more}", f"{seconds:.1f}"])
            print(f"{color:6}  ratio of the peaks: {peaks[1] / peaks[0]:.3f}")
    stored.save(
        options.save,
        {"peaks": found},
        conditions="1080p y4m, 30 patch pairs of 33x33 LR pixels at x3 of each clip, one worker, start of Python included",
    )


if __name__ == "__main__":
    main()
