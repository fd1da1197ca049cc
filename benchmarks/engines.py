"""What workers cost: one recipe built by two processes, by Ray with two CPUs, and twice at once by one process each.

``python benchmarks/engines.py [--ray-address HOST:PORT]``, with Ray when ``ray start --head --num-cpus 2`` runs. The cluster
is up; every build is a command of its own, whose start counts, and all make the same bytes, or this fails. The clips are
CIF noise, which is read in no time, so that starting weighs most; or, with ``--like FILE...``, copies of files
that take long to decode.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import stored
from made_clips import fill_store, write_manifest, write_noise

COMMAND = [sys.executable, "-m", "sr_datasets.cli", "build-pairs"]
RECIPE = """
{format: 1, id: made, title: Noise, clips: [made], present_only: true, drop_duplicates: false, scale: 3, color: y,
 sampling: {kind: uniform, patches_per_pair: 30, lr_size: 17}, split: {counts: {train: -1}}, clips_per_shard: SHARD}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ray-address")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--like", type=Path, nargs="+")
    parser.add_argument("--clips-per-shard", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    stored.save_option(parser, "engines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        home = Path(folder)
        write_manifest(home / "config")
        (home / "made.yaml").write_text(RECIPE.replace("SHARD", str(options.clips_per_shard)))
        (home / "clips").mkdir()
        for number in range(options.clips):
            if options.like:
                file = options.like[number % len(options.like)]
                (home / "clips" / f"clip{number:04d}{file.suffix}").symlink_to(file.absolute())
            else:
                path = home / "clips" / f"clip{number:04d}.y4m"
                write_noise(path, width=352, height=288, num_frames=30, seed=number)
        fill_store(home / "store", sorted((home / "clips").iterdir()))
        contenders = {"two workers": [["--workers", "2"]], "two builds": [["--workers", "1"]] * 2}
        if options.ray_address:
            contenders["ray"] = [["--engine", "ray", "--ray-address", options.ray_address]]
        print(f"{options.clips} clips")
        seconds = compare(home, contenders, rounds=options.rounds)
    tell(seconds, options)


def compare(home: Path, contenders: dict[str, list[list[str]]], *, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    digests = set()
    for _ in range(rounds):
        for name, builds in contenders.items():
            taken, found = build(home, builds)
            digests |= found
            seconds[name].append(taken)
            print(f"{name}: {taken:.2f} s", flush=True)
    if len(digests) != 1:
        raise SystemExit("the builds made different sets")
    return seconds


def tell(seconds: dict[str, list[float]], options: argparse.Namespace) -> None:
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    for name, found in middle.items():
        print(f"{name}: {found:.2f} s, the median")
    rate = middle["two builds"] / (2 * middle["two workers"])
    print(f"rate of two workers / rate of two builds: {rate:.2f}")
    what = {"two workers": "1", "two builds": f"{rate:.2f} (rate of two workers / of two builds)"}
    if "ray" in middle:
        what["ray"] = f"{middle['ray'] / middle['two workers']:.2f} (seconds on Ray / of two workers)"
        print(f"seconds on Ray / seconds of two workers: {middle['ray'] / middle['two workers']:.2f}")
    table: stored.Table = [["", "seconds, median", "each", "ratio"]]
    for name, found in seconds.items():
        table.append([name, f"{middle[name]:.1f}", ", ".join(f"{one:.1f}" for one in found), what[name]])
    kind = "copies of 1080p H.264 clips" if options.like else "CIF clips of noise, 30 frames"
    stored.save(options.save, {"engines": table}, conditions=f"{options.clips} {kind}, 30 patches each")


def build(home: Path, builds: list[list[str]]) -> tuple[float, set[str]]:
    """Run builds at once; return seconds until the last has ended, and the digests of what they made."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        sets = [Path(folder) / f"set{number}" for number in range(len(builds))]
        start = perf_counter()
        running = [
            subprocess.Popen(
                [*COMMAND, home / "made.yaml", "--store", home / "store", "--out", out, *options],
                env={**os.environ, "XDG_CONFIG_HOME": str(home / "config")},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for out, options in zip(sets, builds, strict=True)
        ]  # fmt: skip
        for one in running:
            _, said = one.communicate()
            if one.returncode:
                raise SystemExit(said)
        taken = perf_counter() - start
        return taken, {json.loads((out / "sr-data.json").read_text())["content_digest"] for out in sets}


if __name__ == "__main__":
    main()
