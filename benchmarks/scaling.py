"""What a set costs that is larger than any machine's disk: its plan, its index, and loading it. No pixel is made.

``python benchmarks/scaling.py --rows 100000000``: draws the rows of some clips and says how many a core plans in a second;
writes ``index.parquet`` and ``sr-data.json`` of a set of that many rows; opens it as ``PairDataset`` in a fresh process, and
asks its sampler for an order.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa

from sr_datasets.build.planning import plan_rows
from sr_datasets.catalog import find_recipe
from sr_datasets.files import sha256_of
from sr_datasets.manifest import VideoInfo
from sr_datasets.shards.sets import (
    INDEX_NAME,
    INDEX_SCHEMA,
    FileInfo,
    ShardSummary,
    describe_set,
    shard_name,
    write_index_tables,
    write_set_json,
)
from sr_datasets.store import ClipRecord

ROWS_PER_CLIP = 30
SAMPLES = 1_000_000
CLIPS_PLANNED = 1000
CLIP = {
    "media": "video",
    "container": "mov",
    "codec": "h264",
    "width": 1920,
    "height": 1080,
    "num_frames": 300,
    "frame_rate": "25",
    "pixel_format": "yuv420p",
    "bit_depth": 8,
    "model": "yuv",
    "chroma_log2_x": 1,
    "chroma_log2_y": 1,
    "time_base": "1/25",
    "scan": "progressive",
    "scan_from": "tagged",
    "field_order": "unknown",
    "color": {
        "matrix": "bt709",
        "range": "limited",
        "transfer": "bt709",
        "siting": "left",
        "matrix_from": "tagged",
        "range_from": "tagged",
        "transfer_from": "tagged",
        "siting_from": "guessed",
    },
}
CHILD = """
import resource, sys, time
from sr_datasets import PairDataset
from sr_datasets.dataset import ResumableSampler
def now(): return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()
before, start = now(), time.perf_counter()
ds = PairDataset(sys.argv[1], split='train')
opened, kept = time.perf_counter() - start, now() - before
start = time.perf_counter()
sampler = ResumableSampler(ds, seed=0)
for _, row in zip(range(int(sys.argv[2])), sampler): pass
order = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
print(len(ds), opened, kept, now() - before, peak, order)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--clips-per-shard", type=int, default=256)
    options = parser.parse_args()
    rate = plan_rate()
    print(
        f"plan: {rate:.0f} rows a second of one core, so {options.rows / rate / 3600:.2f} core-hours for all"
    )
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        start = perf_counter()
        size = write_set(Path(folder), options.rows, options.clips_per_shard)
        seconds = perf_counter() - start
        print(
            f"index: {options.rows} rows in {seconds:.0f} s, {size} bytes, {size / options.rows:.2f} bytes a row on disk; "
            f"sr-data.json {(Path(folder) / 'sr-data.json').stat().st_size} bytes"
        )
        said = subprocess.run(
            [sys.executable, "-c", CHILD, folder, str(SAMPLES)], check=True, capture_output=True, text=True
        ).stdout
    rows, opened, kept, after, peak, order = (float(word) for word in said.split())
    print(
        f"PairDataset: open in {opened:.1f} s, keeps {kept / rows:.2f} bytes a row ({kept / 1e6:.0f} MB; with its sampler "
        f"{after / rows:.2f}), at most {peak / rows:.2f} while it opens ({peak / 1e6:.0f} MB)"
    )
    print(f"sampler: {order / SAMPLES * 1e6:.2f} microseconds a sample, one by one")
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")


def plan_rate() -> float:
    """Return how many rows a core plans in a second, with the sampling of ``open-30``."""
    recipe = find_recipe("open-30")
    info = VideoInfo.model_validate(CLIP)
    records = [
        ClipRecord(
            source="made",
            clip=f"clip{number}",
            path="made/a.y4m",
            files=(),
            sha256="0" * 64,
            origin="imported",
            proof="imported",
            info=info,
        )
        for number in range(CLIPS_PLANNED)
    ]
    start = process_time()
    count = sum(len(plan_rows(recipe, record)) for record in records)
    return count / (process_time() - start)


def write_set(folder: Path, rows: int, clips_per_shard: int) -> int:
    """Write index and description of a set of one split; return the bytes of the index."""
    per_shard = ROWS_PER_CLIP * clips_per_shard
    count = -(-rows // per_shard)
    sizes = [min(per_shard, rows - number * per_shard) for number in range(count)]
    path = folder / INDEX_NAME
    write_index_tables(path, tables(sizes))
    shards = [
        ShardSummary(
            name=shard_name("train", number, count),
            split="train",
            rows=size,
            groups=-(-size // ROWS_PER_CLIP),
            size_bytes=size * 2900,
            sha256=f"{number:064x}",
            content_digest=f"{number:064x}",
            group_digests=(f"{number:064x}",),
        )
        for number, size in enumerate(sizes)
    ]
    index = FileInfo(size_bytes=path.stat().st_size, sha256=sha256_of(path))
    recipe = json.loads(find_recipe("open-30").model_dump_json())
    write_set_json(folder, describe_set(recipe=recipe, shards=shards, index=index, inputs=()))
    return index.size_bytes


def tables(sizes: list[int]) -> Iterator[pa.Table]:
    """Yield the index of one shard after another; they differ in the shard, which is what loading looks at."""
    whole = one_table(max(sizes))
    for number, size in enumerate(sizes):
        shard = pa.repeat(shard_name("train", number, len(sizes)), size)
        yield whole.slice(0, size).set_column(0, INDEX_SCHEMA.field(0), shard)


def one_table(rows: int) -> pa.Table:
    draws = np.random.default_rng(0)
    group, row = np.divmod(np.arange(rows), ROWS_PER_CLIP)
    clip = [f"clip{one:08d}" for one in group]
    columns: dict[str, object] = {
        "clip": clip,
        "sample_id": [f"made/{one}/{number:06d}" for one, number in zip(clip, row, strict=True)],
        "row_group": group,
        "row": row,
        "top": draws.integers(0, 340, rows),
        "left": draws.integers(0, 620, rows),
        "frame_indices": draws.integers(0, 300, rows)[:, None].tolist(),
        "pts": draws.integers(0, 300, rows)[:, None].tolist(),
    }
    constant = {
        "source": "made",
        "split": "train",
        "time_base": "1/25",
        "color": "y",
        "degradation": '{"kind":"bicubic"}',
        "drawn": "{}",
        "matrix": "bt709",
        "range": "limited",
        "transfer": "bt709",
        "siting": "left",
        "frame_height": 1080,
        "frame_width": 1920,
        "hr_height": 51,
        "hr_width": 51,
        "lr_height": 17,
        "lr_width": 17,
        "scale": 3,
        "bit_depth": 8,
    }
    for field in INDEX_SCHEMA:
        other = 1 if pa.types.is_integer(field.type) else "declared"
        columns.setdefault(field.name, [constant.get(field.name, other)] * rows)
    arrays = [pa.array(columns[field.name], field.type) for field in INDEX_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA)


if __name__ == "__main__":
    main()
