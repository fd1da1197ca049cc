"""Measure what fetching and building cost, check it on a build ten times larger, and carry it to sets of months.

    python benchmarks/costs.py prepare WORK --data ../shared/data
    python benchmarks/costs.py fetch WORK
    python benchmarks/costs.py build WORK
    python benchmarks/costs.py scale WORK
    python benchmarks/costs.py report WORK
    python benchmarks/costs.py predict --clips 100000 --codec h264 --size 1280x720 --seconds 60 --machines 10

``prepare`` makes 24 clips (six codecs, four sizes), 240 others, and stores of both in WORK. ``fetch`` brings the 24 from a
server on loopback, fits the constants of fetching (``cost_model``) to that, predicts the 240 and then fetches these. ``build``
does so with builds: the 24 with 6 and 30 rows a clip, in shards of one clip and of eight, three times; then the 240, with one
worker and with two. Each is a round; several are asked for by several calls. Each part is a process of its own; files
are in the page cache. ``scale`` measures what grows with the number of clips of one data folder. ``report`` writes
``benchmarks/results/costs.json``, from which docs/costs.md and ``predict`` take their figures.
"""

import argparse
import contextlib
import datetime
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import made_clips
import stored
from cost_campaigns import Campaign, Scale, plan, table_of
from cost_clips import large_set, make_clips, small_set
from cost_jobs import INDEX_ROWS
from cost_model import (
    ClipKind,
    CodecCosts,
    Costs,
    Task,
    fit_tasks,
    not_negative,
    predict_build,
    predict_fetch,
    stages,
)
from cost_tables import CLIPS_PER_SHARD, ROWS, STAGES, build_rows, fetch_rows, tables_of

TINY = ClipKind("y4m", 160, 128, 4)
SAMPLES = 33 * 33 * (1 + 9)
REPEATS = 3
"""Small builds of each sort in a round."""
INDEX_BYTES = 6.7
"""Of a row in an index of a million rows in which every clip has its own names (docs/scaling.md)."""
COUNT = 20_000
"""Clips of the data folder in which noting one more is measured."""
SECONDS = 300
"""Longest time of one child."""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = options.add_subparsers(dest="command", required=True)
    for name in ("prepare", "fetch", "build", "scale", "report"):
        command = commands.add_parser(name)
        command.add_argument("work", type=Path, help="Folder of the clips and of what was measured.")
        if name == "prepare":
            command.add_argument("--data", type=Path, default=Path("../shared/data"))
    _predict_options(commands.add_parser("predict"))
    given = options.parse_args()
    match given.command:
        case "prepare":
            prepare(given.work, given.data)
        case "fetch":
            keep_round(given.work, "fetch", fetch_round)
        case "build":
            keep_round(given.work, "build", build_round)
        case "scale":
            (given.work / "scale.json").write_text(json.dumps(measure_scale(given.work), indent=1))
        case "report":
            report(given.work)
        case "predict":
            predict(given)


def prepare(work: Path, data: Path) -> None:
    """Make the clips, and stores of them."""
    small, large = small_set(), large_set()
    make_clips(data / "video", work / "clips", small + large)
    tiny = [work / "clips" / f"tiny{number:03d}.y4m" for number in range(160)]
    for number, path in enumerate(tiny):
        made_clips.write_noise(
            path, width=TINY.width, height=TINY.height, num_frames=TINY.num_frames, seed=number
        )
    made_clips.write_manifest(work / "config")
    for name, paths in (
        ("small", [work / "clips" / clip.file_name for clip in small]),
        ("large", [work / "clips" / clip.file_name for clip in large]),
        ("tiny16", tiny[:16]),
        ("tiny160", tiny),
    ):
        made_clips.fill_store(work / name, paths)


def child(**job: object) -> dict[str, Any]:
    """Run a part of the measurement in a fresh process.

    ``process`` is how long that took from its start on, ``processor`` its processor seconds and those of its own children,
    ``others`` how many cores were busy with something else meanwhile, or taken by the host.
    """
    start, before, busy = perf_counter(), _processor(), _busy()
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("cost_jobs.py")), json.dumps(job)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"},
    )
    found: dict[str, Any] = json.loads(run.stdout)
    wall, ours = perf_counter() - start, _processor() - before
    return {**found, "process": wall, "processor": ours, "others": max(0.0, _busy() - busy - ours) / wall}


def _processor() -> float:
    """Return the processor seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _busy() -> float:
    """Return the seconds that the machine's cores were not idle."""
    fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


def keep_round(work: Path, kind: str, measure: Any) -> None:
    """Measure, and keep it as ``WORK/KIND-N.json``, with how busy others kept the machine meanwhile."""
    number, load = len(list(work.glob(f"{kind}-*.json"))) + 1, os.getloadavg()[0]
    start, busy, ours = perf_counter(), _busy(), _processor()
    found = measure(work)
    wall = perf_counter() - start
    others = max(0.0, _busy() - busy - (_processor() - ours)) / wall
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    found |= {"date": date, "load": round(load, 1), "others": round(others, 3), "wall": wall}
    (work / f"{kind}-{number}.json").write_text(json.dumps(found, indent=1))
    for name, said, was in (fetch_rows if kind == "fetch" else build_rows)(found):
        print(f"{name:45} predicted {said:9.2f}  measured {was:9.2f}  {said / was - 1:+.1%}")
    print(f"{wall:.0f} s; others kept {others:.2f} cores busy; load {load:.1f} before")


def fetch_round(work: Path) -> dict[str, Any]:
    """Fetch the small clips, fit, predict the large ones, fetch these."""
    small, large = [
        [work / "clips" / clip.file_name for clip in clips] for clips in (small_set(), large_set())
    ]
    tiny = sorted((work / "clips").glob("tiny*"))
    with tempfile.TemporaryDirectory(prefix="costs-", dir=work) as store, serving(work / "clips") as port:
        nothing, few, many = (
            _fetch(paths, Path(store) / name, port) for paths, name in (([], "a"), (small, "b"), (tiny, "c"))
        )
        look, look_tiny = (child(do="look", paths=[*map(str, paths)])["seconds"] for paths in (small, tiny))
        costs = fit_fetch(
            {
                "bytes": [path.stat().st_size for path in small],
                "look": look,
                "fetched": [
                    (0, 0, 1, nothing["processor"]),
                    (len(small), few["bytes"], 1, few["processor"] - sum(look)),
                    (len(tiny), many["bytes"], 1, many["processor"] - sum(look_tiny)),
                ],
            }
        )
        kinds, sizes = [clip.kind for clip in large_set()], [path.stat().st_size for path in large]
        return {
            "costs": costs,
            "predicted": predict_fetch(composed({}, costs), kinds, sizes),
            "measured": _fetch(large, Path(store) / "d", port),
        }


def _fetch(paths: list[Path], store: Path, port: int) -> dict[str, Any]:
    """Fetch files from loopback into a store."""
    entries = [{"id": path.stem, "mirrors": [f"http://127.0.0.1:{port}/{path.name}"]} for path in paths]
    source = {
        "format": 1, "id": "made", "title": "Made", "description": "Made.", "access": "download",
        "citation": {"text": "None."}, "licenses": {"own": {"name": "own"}}, "license": "own",
    }  # fmt: skip
    return child(do="fetch", source=source, clips=entries, store=str(store))


def build_round(work: Path) -> dict[str, Any]:
    """Build the small clips, fit, predict the build of the large ones, run it."""

    def build(name: str, *, rows: int, shard: int, workers: int = 1) -> dict[str, Any]:
        return child(
            do="build", store=str(work / name), config=str(work / "config"), work=str(work),
            rows=rows, shard=shard, workers=workers,
        )  # fmt: skip

    large = large_set()
    names = {clip.name: clip.kind for clip in small_set() + large}
    names |= {f"tiny{number:03d}": TINY for number in range(160)}
    sorts = [(6, 1), (ROWS, 1), (ROWS, CLIPS_PER_SHARD)]
    # In turns, so that a moment in which the machine was busy does not fall on one sort.
    turns = [
        (
            [build("small", rows=rows, shard=shard) for rows, shard in sorts],
            build("small", rows=ROWS, shard=1, workers=2),
        )
        for _ in range(REPEATS)
    ]
    one = {sort: [turn[0][place] for turn in turns] for place, sort in enumerate(sorts)}
    two = [turn[1] for turn in turns]
    tiny = {
        (clips, rows): [build(f"tiny{clips}", rows=rows, shard=CLIPS_PER_SHARD) for _ in range(REPEATS)]
        for clips, rows in ((16, 1), (160, 1), (160, ROWS))
    }
    pool = [build("tiny16", rows=1, shard=CLIPS_PER_SHARD, workers=2) for _ in range(REPEATS)]
    imported = statistics.median(build["imported"] for build in two)
    # Two workers start beside each other, and each imports PyAV.
    started = max(0.0, _median(pool, "processor") - _median(tiny[16, 1], "processor")) + 2 * imported
    alone = one[ROWS, 1]
    costs = fit_build(
        {
            "tasks": [task for builds in one.values() for task in medians(builds, names)],
            "tiny": [task for builds in tiny.values() for task in medians(builds, names)],
            "drivers": [(1, clips, clips * rows, _driver(builds)) for (clips, rows), builds in tiny.items()],
            "start": statistics.median(
                build["processor"] - build["here"] for builds in one.values() for build in builds
            ),
            "workers_start": started / 2,
            "waiting": max(
                1.0,
                statistics.median(
                    build["process"] / build["processor"] for builds in one.values() for build in builds
                ),
            ),
            "slowdown": max(
                1.0,
                (_median(two, "processor") - started - _median(alone, "processor"))
                / statistics.median(map(_of_tasks, alone))
                + 1,
            ),
        }
    )
    found: dict[str, Any] = {"costs": costs, "predicted": {}, "measured": {}}
    kinds = [clip.kind for clip in large]
    for workers in (1, 2):
        said = predict_build(
            composed(costs, {}), kinds, rows=ROWS, clips_per_shard=CLIPS_PER_SHARD, workers=workers
        )
        of_tasks = sum(stages(said.tasks).values())
        beside = costs["driver"] + costs["driver_clip"] * len(kinds) + costs["driver_row"] * len(kinds) * ROWS
        found["predicted"][str(workers)] = {
            "process": said.wall * costs["waiting"],
            "processor": of_tasks
            + beside
            + costs["start"]
            + (2 * costs["workers_start"] if workers > 1 else 0),
            "seconds": stages(said.tasks),
            "size_bytes": sum(task.size_bytes for task in said.tasks),
        }
    for workers in (1, 2):
        was = build("large", rows=ROWS, shard=CLIPS_PER_SHARD, workers=workers)
        if workers == 1:
            was["seconds"]["rest"] = sum(task["seconds"]["rest"] for task in was["tasks"])
        found["measured"][str(workers)] = was
    found["peaks"] = {
        "one": max(build["peak"] for build in one[ROWS, CLIPS_PER_SHARD]),
        "driver": max(build["peak"] for build in two),
        "worker": max(build["peak_workers"] for build in two),
    }
    return found | {"small": [build["tasks"] for builds in one.values() for build in builds]}


def medians(builds: list[dict[str, Any]], names: dict[str, ClipKind]) -> list[Task]:
    """Return each shard of several equal builds, its seconds the medians of theirs."""
    return [
        Task(
            tuple(names[name] for name in same[0]["clips"]),
            same[0]["rows"],
            {stage: statistics.median(one["seconds"][stage] for one in same) for stage in STAGES},
            same[0]["size_bytes"],
        )
        for same in zip(*(build["tasks"] for build in builds), strict=True)
    ]


def _of_tasks(build: dict[str, Any]) -> float:
    return sum(sum(task["seconds"].values()) for task in build["tasks"])


def _median(builds: list[dict[str, Any]], name: str) -> float:
    return statistics.median(build[name] for build in builds)


def _driver(builds: list[dict[str, Any]]) -> float:
    """Return what builds of one worker took beside their shards."""
    return statistics.median(build["here"] - _of_tasks(build) for build in builds)


def fit_build(found: dict[str, Any]) -> dict[str, Any]:
    """Return the constants that the small builds tell."""
    told = fit_tasks(found["tasks"])
    every = found["tasks"] + found["tiny"]
    rest = not_negative(
        [(1, len(task.clips), len(task.clips) * task.rows) for task in every],
        [task.seconds["rest"] for task in every],
    )
    driver = not_negative([row[:3] for row in found["drivers"]], [row[3] for row in found["drivers"]])
    return {
        **{key: told[key] for key in ("codecs", "degrade_clip", "degrade_row", "write_clip", "write_row")},
        **dict(zip(("rest_shard", "rest_clip", "rest_row"), rest, strict=True)),
        **dict(zip(("driver", "driver_clip", "driver_row"), driver, strict=True)),
        **{key: found[key] for key in ("start", "workers_start", "slowdown", "waiting")},
        "row_bytes": told["row_bytes_all"] - SAMPLES,
        "clip_bytes": told["clip_bytes"],
        "shard_bytes": told["shard_bytes"],
    }


def fit_fetch(found: dict[str, Any]) -> dict[str, Any]:
    """Return the constants that fetching the small clips tells."""
    codecs = {}
    small = small_set()
    for name in sorted({clip.kind.codec for clip in small}):
        ours = [
            (1, clip.kind.num_frames, clip.kind.mpx * clip.kind.num_frames, seconds, size)
            for clip, seconds, size in zip(small, found["look"], found["bytes"], strict=True)
            if clip.kind.codec == name
        ]
        look = not_negative([one[:3] for one in ours], [one[3] for one in ours])
        coded = sum(one[4] for one in ours) / sum(one[2] for one in ours)
        codecs[name] = dict(zip(("probe_opened", "probe_frame", "probed"), look, strict=True)) | {
            "coded_bytes": coded
        }
    fetched = not_negative([row[:3] for row in found["fetched"]], [row[3] for row in found["fetched"]])
    return {"codecs": codecs, **dict(zip(("fetch_file", "fetch_byte", "fetch_start"), fetched, strict=True))}


def composed(build: dict[str, Any], fetch: dict[str, Any]) -> Costs:
    """Return constants of which those of either part may be missing, and are nothing then."""
    codecs = {}
    for name in build.get("codecs", {}) | fetch.get("codecs", {}):
        found = build.get("codecs", {}).get(name, {}) | fetch.get("codecs", {}).get(name, {})
        codecs[name] = CodecCosts(**dict.fromkeys(CodecCosts.__dataclass_fields__, 0.0) | found)
    known = {name: value for name, value in (build | fetch).items() if name in Costs.__dataclass_fields__}
    values = dict.fromkeys(Costs.__dataclass_fields__, 0.0) | known
    return Costs(**values | {"codecs": codecs, "row_samples": SAMPLES})


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve a folder on loopback by Python's own server, in another process; yield the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


def measure_scale(work: Path) -> dict[str, Any]:
    """Measure what grows with the clips of one data folder: noting, reading and planning them."""
    with tempfile.TemporaryDirectory(prefix="scale-", dir=work) as folder:
        job = {"work": folder, "config": str(Path(folder) / "config")}
        made_clips.write_manifest(Path(folder) / "config")
        noted = child(do="records", count=COUNT, **job)
        known = child(do="known", count=COUNT, **job)
        index = child(do="index", **job)
    clips = [clip for clip in large_set() if clip.kind.codec == "h264" and clip.kind.height == 720][:6]
    recoding = sum(_recode(work / "clips" / clip.file_name, work) for clip in clips)
    scale = Scale(
        put=noted["lock"]["put"],
        put_read=noted["lock"]["read"],
        put_write=noted["lock"]["write"],
        ledger=noted["ledger"]["put"],
        ledger_read=noted["ledger"]["read"],
        ledger_write=noted["ledger"]["write"],
        record_bytes=known["bytes"] / COUNT,
        lock_bytes=noted["lock_bytes"] / COUNT,
        plan_clip=known["plan"] / COUNT,
        yt_dlp=statistics.median(_cpu_of([sys.executable, "-c", "import yt_dlp"]) for _ in range(3)),
        recode=recoding / sum(clip.kind.mpx * clip.kind.num_frames for clip in clips),
        index_row=index["seconds"] / INDEX_ROWS,
        index_bytes=INDEX_BYTES,
    )
    return asdict(scale)


def _cpu_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _recode(path: Path, work: Path) -> float:
    """Code a clip as pieces of YouTube are (fetch/youtube/worker.py); return processor seconds, decoding counted."""
    out = work / "recoded.mkv"
    try:
        return _cpu_of(
            ["ffmpeg", "-i", str(path), "-an", "-c:v", "ffv1", "-level", "3", "-slicecrc", "1", str(out)]
        )
    finally:
        out.unlink(missing_ok=True)


def report(work: Path) -> None:
    """Write what was measured as ``benchmarks/results/costs.json``."""
    fetches, builds = (
        [json.loads(path.read_text()) for path in sorted(work.glob(f"{kind}-*.json"))]
        for kind in ("fetch", "build")
    )
    for one in builds:
        one["costs"].setdefault("waiting", 1.0)
    costs = composed(
        median_of([one["costs"] for one in builds]), median_of([one["costs"] for one in fetches])
    )
    scale = json.loads((work / "scale.json").read_text())
    figures = {
        "costs": costs.to_json(),
        "scale": {key: float(f"{one:.4g}") for key, one in scale.items()},
    }
    loads = ", ".join(f"{one['load']} ({one['others']:.2f})" for one in [*builds, *fetches])
    result = {
        "command": [
            f"python benchmarks/costs.py {name} WORK" for name in ("prepare", "build", "fetch", "scale")
        ],
        "conditions": f"rounds of build: {len(builds)}, of fetch: {len(fetches)}, constants are their medians; page cache warm",
        "machine": os.environ.get("SR_BENCH_MACHINE") or stored.machine(),
        "date": builds[-1]["date"],
        "load": f"before each round (cores that others kept busy in it) {loads}",
        "tables": tables_of(builds, fetches, Costs.from_json(figures["costs"]), Scale(**figures["scale"])),
        "figures": figures,
    }
    (stored.RESULTS / "costs.json").write_text(stored.as_text(result), encoding="utf-8")


def median_of(found: list[Any]) -> Any:
    """Return the median of each value of equal dicts."""
    if isinstance(found[0], dict):
        return {key: median_of([one[key] for one in found]) for key in found[0]}
    return statistics.median(found)


def _predict_options(command: argparse.ArgumentParser) -> None:
    default = Campaign("", clips=0, seconds=0)
    command.add_argument("--clips", type=int, required=True, help="how many")
    command.add_argument("--seconds", type=float, required=True, help="mean length of a clip")
    command.add_argument(
        "--size", default=f"{default.width}x{default.height}", help="frame, such as 1280x720"
    )
    command.add_argument(
        "--codec", default=default.codec, choices=("y4m", "h264", "hevc", "vp9", "av1", "ffv1")
    )
    for name, words in (
        ("rate", "frames a second"),
        ("gop_seconds", "time between keyframes"),
        ("mbit_s", "megabits a second of video"),
        ("arrives", "share of clips that come"),
        ("pause", "seconds before each video, --youtube"),
        ("requests", "requests a video, --youtube"),
        ("commands", "fetches one after another, --youtube"),
        ("rows", "rows of a clip"),
        ("clips_per_shard", "clips of a shard"),
        ("machines", "machines"),
        ("cores", "cores of each"),
        ("machine_mbit_s", "network of each, megabits a second"),
    ):
        value = getattr(default, name)
        command.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(value) if isinstance(value, int) and name != "rate" else float,
            default=value,
            help=f"{words} ({value})",
        )
    command.add_argument("--lr-size", type=int, default=33, help="samples of an LR patch's side (33)")
    command.add_argument("--scale", type=int, default=3, help="HR to LR (3)")
    command.add_argument("--channels", type=int, default=1, choices=(1, 3), help="1 for luma, 3 for RGB")
    command.add_argument("--youtube", action="store_true", help="asked for one by one, with pauses")
    command.add_argument(
        "--pieces", action="store_true", help="coded again as FFV1, as pieces of YouTube are"
    )


def predict(given: argparse.Namespace) -> None:
    """Print what a collection takes."""
    figures = stored.load("costs")["figures"]
    costs, scale = Costs.from_json(figures["costs"]), Scale(**figures["scale"])
    width, _, height = given.size.partition("x")
    names = ("clips", "seconds", "codec", "rate", "gop_seconds", "mbit_s", "arrives", "pause", "requests", "commands", "rows", "clips_per_shard", "machines", "cores", "machine_mbit_s")  # fmt: skip
    campaign = Campaign(
        "yours",
        width=int(width),
        height=int(height),
        row_samples=given.channels * given.lr_size**2 * (1 + given.scale**2),
        from_site=given.youtube,
        recoded=given.pieces,
        **{name: getattr(given, name) for name in names},
    )
    found = plan(campaign, costs, scale)
    print("\n".join(stored.markdown_rows(table_of(campaign, found))))


if __name__ == "__main__":
    main()
