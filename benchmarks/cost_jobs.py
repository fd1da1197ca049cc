"""The parts of ``benchmarks/costs.py`` that run in a process of their own: ``python benchmarks/cost_jobs.py JSON``."""

import datetime
import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Any

from cost_tables import ROWS, STAGES

RECIPE = """
{format: 1, id: made, title: Made, clips: ["made/*"], present_only: true, scale: 3, color: y,
 sampling: {kind: uniform, patches_per_pair: ROWS, lr_size: 33, margin: 0}, split: {counts: {train: -1}},
 clips_per_shard: SHARD}
"""
INDEX_ROWS = 2_000_000
NOTED = 203
"""Clips that are noted, three of them by themselves."""


def _fetch(job: dict[str, Any]) -> dict[str, Any]:
    from sr_datasets.catalog import Selected
    from sr_datasets.ingest import fetch_clips
    from sr_datasets.manifest import Source
    from sr_datasets.progress import Silent
    from sr_datasets.store import Store

    source = Source.model_validate({**job["source"], "clips": job["clips"]})
    done = fetch_clips(
        [Selected(source, clip) for clip in source.clips],
        Store(Path(job["store"])),
        progress=Silent(),
        jobs=1,
    )
    return {"bytes": sum(record.size_bytes for record in done.fetched), "peak": _peak()}


def _look(job: dict[str, Any]) -> dict[str, Any]:
    """Look at clips as a fetch does, in this process."""
    import sr_datasets.video.compressed  # noqa: F401  # so that its import is not counted
    from sr_datasets.video import probe

    found = []
    for path in job["paths"]:
        start = process_time()
        probe(Path(path))
        found.append(process_time() - start)
    return {"seconds": found}


def _build(job: dict[str, Any]) -> dict[str, Any]:
    """Build, and say of each shard how many processor seconds it took, where that is known: with one worker."""
    import sr_datasets.build as room
    import sr_datasets.build.cutting as cutting
    from sr_datasets.catalog import find_recipe
    from sr_datasets.store import Store

    # A worker imports PyAV when it meets the first compressed clip: that belongs to the start.
    start = process_time()
    import sr_datasets.video.compressed  # noqa: F401

    imported = process_time() - start
    os.environ["XDG_CONFIG_HOME"] = job["config"]
    tasks: list[dict[str, Any]] = []
    build_shard = room.build_shard

    def timed(task: room.ShardTask) -> Any:
        start = process_time()
        result = build_shard(task)
        seconds = process_time() - start
        tasks.append(
            {
                "clips": [pair.record.clip for pair in task.pairs],
                "rows": task.pairs[0].num_rows,
                "seconds": {
                    **{name: result.seconds.get(name, 0.0) for name in STAGES[:-1]},
                    "rest": seconds - sum(result.seconds.values()),
                },
                "size_bytes": result.summary.size_bytes,
            }
        )
        return result

    if job["workers"] == 1:
        room.build_shard = timed
        # Stages in processor seconds: a host that runs other machines too makes wall seconds longer now and then.
        cutting.perf_counter = process_time
    with tempfile.TemporaryDirectory(dir=job["work"]) as folder:
        recipe = Path(folder) / "made.yaml"
        recipe.write_text(RECIPE.replace("ROWS", str(job["rows"])).replace("SHARD", str(job["shard"])))
        store, out = Store(Path(job["store"])), Path(folder) / "set"
        found = find_recipe(str(recipe))
        start = process_time()
        made = room.build_pairs(found, out_dir=out, store=store, workers=job["workers"])
        return {
            "here": process_time() - start,
            "imported": imported,
            "seconds": made.seconds,
            "tasks": tasks,
            "size_bytes": made.size_bytes,
            "index_bytes": (out / "index.parquet").stat().st_size,
            "description_bytes": (out / "sr-data.json").stat().st_size,
            "peak": _peak(),
            "peak_workers": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _made_record(number: int) -> Any:
    from scaling import INFO

    from sr_datasets.manifest import VideoInfo
    from sr_datasets.store import ClipRecord, FileRecord

    name, digest = f"yt-{number:011d}.7ff", f"{number:064x}"
    file = FileRecord(path=f"made/{name}.mp4", size_bytes=30_000_000, sha256=digest, mtime_ns=10**18 + number)
    return ClipRecord(
        source="made", clip=name, path=file.path, files=(file,), sha256=digest,
        origin=f"https://www.youtube.com/watch?v={number:011d}", proof="first-fetch", license="own",
        attribution="A title of forty letters or so, by somebody", info=VideoInfo.model_validate(INFO),
    )  # fmt: skip


def _records(job: dict[str, Any]) -> dict[str, Any]:
    """Time noting one more clip, and one more video, where ``count`` are noted already: of a batch, and by itself."""
    from sr_datasets.fetch.youtube.ledger import Entry, ledger_of
    from sr_datasets.store import LOCK_NAME, Store

    root, count = Path(job["work"]) / f"store{job['count']}", job["count"]
    (root / "made").mkdir(parents=True)
    today = datetime.date(2026, 1, 1)

    def entry(number: int) -> Any:
        name = f"{number:011d}"
        return Entry(
            f"yt-{name}.7ff", "", name, "ok", today, title="A title of forty letters or so, or more",
            uploader="Somebody", uploader_url=f"https://www.youtube.com/channel/UC{number:022d}",
            url=f"https://www.youtube.com/watch?v={name}", sha256=f"{number:064x}",
        )  # fmt: skip

    store, ledger = Store(root), ledger_of(root, "made")
    store.put(*map(_made_record, range(count)))
    ledger.put(*map(entry, range(count)))
    again, once_more = Store(root), ledger_of(root, "made")
    return {
        "lock": _noted(store, list(map(_made_record, range(count, count + NOTED))), again.records),
        "ledger": _noted(ledger, list(map(entry, range(count, count + NOTED))), once_more.entries),
        "lock_bytes": (root / LOCK_NAME).stat().st_size,
    }


def _noted(place: Any, more: list[Any], read: Callable[[], list[Any]]) -> dict[str, float]:
    """Return seconds of a ``put``; those of reading and writing are for each record."""
    alone = []
    for record in more[:3]:
        start = perf_counter()
        place.put(record)
        alone.append(perf_counter() - start)
    before_bytes, start = _resident(), perf_counter()
    count = len(read())
    reading, kept = perf_counter() - start, _resident() - before_bytes
    with place.batch():
        start, before = perf_counter(), process_time()
        for record in more[3:]:
            place.put(record)
        middle, processor = perf_counter(), process_time() - before
    writing = perf_counter() - middle
    puts = len(more) - 3
    return {
        "put": (middle - start) / puts,
        "processor": processor / puts,
        "alone": statistics.median(alone),
        "read": reading / count,
        "memory": kept / count,
        "write": writing / (count + puts),
    }


def _known(job: dict[str, Any]) -> dict[str, Any]:
    """Read many records, then choose and plan them."""
    import sr_datasets.build as room
    from sr_datasets.catalog import find_recipe
    from sr_datasets.store import Store

    os.environ["XDG_CONFIG_HOME"] = job["config"]
    recipe = Path(job["work"]) / "made.yaml"
    recipe.write_text(RECIPE.replace("ROWS", str(ROWS)).replace("SHARD", "256"))
    found, store = find_recipe(str(recipe)), Store(Path(job["work"]) / f"store{job['count']}")
    before, start = _resident(), process_time()
    pairs = room.choose_pairs(found, store).pairs
    tasks = room.plan_shards(found, pairs, out_dir=Path(job["work"]), store=store)
    assert sum(task.num_rows for task in tasks) >= job["count"] * ROWS
    return {"plan": process_time() - start, "bytes": _resident() - before}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _index(job: dict[str, Any]) -> dict[str, Any]:
    from scaling import ROWS_PER_CLIP, tables

    from sr_datasets.shards.sets import INDEX_NAME, write_index_tables

    path, per_shard = Path(job["work"]) / INDEX_NAME, ROWS_PER_CLIP * 256
    shards = [
        SimpleNamespace(name=f"train-{start:09d}", split="train", num_rows=min(per_shard, INDEX_ROWS - start))
        for start in range(0, INDEX_ROWS, per_shard)
    ]
    start = process_time()
    write_index_tables(path, tables(shards))
    return {"seconds": process_time() - start, "bytes": path.stat().st_size}


_JOBS = {
    "fetch": _fetch,
    "look": _look,
    "build": _build,
    "records": _records,
    "known": _known,
    "index": _index,
}

if __name__ == "__main__":
    print(json.dumps(_JOBS[(job := json.loads(sys.argv[1]))["do"]](job)))
