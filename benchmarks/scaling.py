"""What a set costs that is larger than any machine's disk: all that a build of it does but its pixels, and loading it.

``python benchmarks/scaling.py --rows 100000000``: writes the ledger of a store of as many clips as that takes at 30 rows each
(of the sizes and lengths that YouTube-8M has, no files), and in a fresh process does with it what a build does: reads the
store, chooses and deals the clips, counts their rows, groups them into shards, plans every row shard by shard as the workers
would, writes ``index.parquet``, ``sr-data.json`` and the cards. Another process opens the set as ``PairDataset`` and asks its
sampler for an order. Seconds are those of the processor (``cpu``) and of the clock (``wall``); ``rss`` is memory now, ``peak`` the
most so far.
"""

import argparse
import hashlib
import json
import pickle
import resource
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa

from sr_datasets.build.analysing import planned_pairs
from sr_datasets.build.choosing import choose_pairs
from sr_datasets.build.folder import inputs_of, set_plan
from sr_datasets.build.planning import PairPlan, ShardTask, plan_shards
from sr_datasets.card import write_card
from sr_datasets.catalog import find_recipe
from sr_datasets.fetch.youtube.names import Piece
from sr_datasets.files import sha256_of
from sr_datasets.manifest import VideoInfo
from sr_datasets.recipe import ClipFilter, Recipe, Split
from sr_datasets.shards.sets import (
    INDEX_NAME,
    INDEX_SCHEMA,
    SET_NAME,
    FileInfo,
    ShardSummary,
    describe_set,
    write_index_tables,
    write_set_json,
)
from sr_datasets.store import LOCK_NAME, ClipRecord, FileRecord, Store

SOURCE = "youtube-8m"
ROWS_PER_CLIP = 30
SAMPLES = 1_000_000
SIZES = ((1280, 720), (1920, 1080), (640, 360), (854, 480), (480, 360), (640, 480))
RATES = ("25", "30", "30000/1001", "24000/1001")
SECONDS = (120, 500)
"""Of a video of YouTube-8M: from the first to below the second."""
INFO = {
    "media": "video",
    "container": "mov,mp4,m4a,3gp,3g2,mj2",
    "codec": "h264",
    "width": 1280,
    "height": 720,
    "num_frames": 4321,
    "frame_rate": "25",
    "pixel_format": "yuv420p",
    "bit_depth": 8,
    "model": "yuv",
    "chroma_log2_x": 1,
    "chroma_log2_y": 1,
    "time_base": "1/15360",
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
before, start = now(), time.process_time()
ds = PairDataset(sys.argv[1], split='train')
opened, kept = time.process_time() - start, now() - before
start = time.process_time()
sampler = ResumableSampler(ds, seed=0)
for _, row in zip(range(int(sys.argv[2])), sampler): pass
order = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
print(len(ds), opened, kept, now() - before, peak, order)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--clips-per-shard", type=int, default=256)
    parser.add_argument(
        "--build", metavar="DIR", type=Path, help="do the build's part in DIR, which has a store"
    )
    options = parser.parse_args()
    if options.build is not None:
        build(options.build, options.clips_per_shard)
        return
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        clips = -(-options.rows // ROWS_PER_CLIP)
        watch = Watch()
        write_store(Path(folder) / "store", clips)
        size = (Path(folder) / "store" / LOCK_NAME).stat().st_size
        watch.say(f"a store of {clips} clips, {LOCK_NAME} of {size} bytes")
        script = [sys.executable, __file__, "--build", folder]
        subprocess.run([*script, "--clips-per-shard", str(options.clips_per_shard)], check=True)
        said = subprocess.run(
            [sys.executable, "-c", CHILD, str(Path(folder) / "set"), str(SAMPLES)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    rows, opened, kept, after, peak, order = (float(word) for word in said.split())
    print(
        f"PairDataset: {rows:.0f} rows open in {opened:.1f} s cpu, keeps {kept / rows:.2f} bytes a row ({kept / 1e6:.0f} MB; "
        f"with its sampler {after / rows:.2f}), at most {peak / rows:.2f} while it opens ({peak / 1e6:.0f} MB)"
    )
    print(f"sampler: {order / SAMPLES * 1e6:.2f} microseconds a sample, one by one")


class Watch:
    """Says how long each step took, and the memory of this process."""

    def __init__(self) -> None:
        self._cpu, self._wall = process_time(), perf_counter()

    def say(self, what: str) -> None:
        cpu, wall = process_time() - self._cpu, perf_counter() - self._wall
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{what}: {cpu:.1f} s cpu, {wall:.1f} s wall, rss {pages * resource.getpagesize() / 2**20:.0f} MB, "
            f"peak {peak:.0f} MB",
            flush=True,
        )
        self._cpu, self._wall = process_time(), perf_counter()


def write_store(folder: Path, clips: int) -> None:
    """Write the ledger of a store, as ``Store`` writes it, of clips that have no files."""
    folder.mkdir()
    path = f"{SOURCE}/CLIP.mp4"
    record = ClipRecord(
        source=SOURCE,
        clip="CLIP",
        path=path,
        files=(
            FileRecord(path=path, size_bytes=1234321, sha256="0" * 64, mtime_ns=1_700_000_000_000_000_000),
        ),
        sha256="0" * 64,
        origin="https://www.youtube.com/watch?v=VIDEO",
        proof="first-fetch",
        info=VideoInfo.model_validate(INFO),
    )
    template = json.dumps(json.loads(record.model_dump_json()), indent=1).replace("\n", "\n  ")
    with (folder / LOCK_NAME).open("w") as file:
        file.write('{\n "format": 1,\n "clips": {\n')
        for number in range(clips):
            digest = hashlib.sha256(str(number).encode()).digest()
            video = urlsafe_b64encode(digest)[:11].decode()
            clip = Piece(video).clip_id
            (width, height), rate = SIZES[digest[12] % len(SIZES)], RATES[digest[13] % len(RATES)]
            seconds = SECONDS[0] + int.from_bytes(digest[14:18], "little") % (SECONDS[1] - SECONDS[0])
            text = (
                template.replace("CLIP", clip)
                .replace("VIDEO", video)
                .replace("0" * 64, digest.hex())
                .replace('"width": 1280', f'"width": {width}')
                .replace('"height": 720', f'"height": {height}')
                .replace('"frame_rate": "25"', f'"frame_rate": "{rate}"')
                .replace("4321,", f"{25 * seconds},")
            )
            file.write(f"{',' if number else ''}\n"[not number :] + f'  "{SOURCE}/{clip}": {text}')
        file.write("\n }\n}\n")


def recipe_of(clips_per_shard: int) -> Recipe:
    """Return ``open-30`` of all clips of the store."""
    return find_recipe("open-30").model_copy(
        update={
            "clips": (SOURCE,),
            "where": ClipFilter(),
            "limit": None,
            "split": Split(counts={"test": 1000, "train": -1}),
            "clips_per_shard": clips_per_shard,
        }
    )


def build(folder: Path, clips_per_shard: int) -> None:
    """Do what a build does with the store of a folder, but making the shards."""
    store, recipe, watch = Store(folder / "store"), recipe_of(clips_per_shard), Watch()
    num_clips = len(store.records())
    watch.say(f"read {num_clips} records")
    pairs = choose_pairs(recipe, store).pairs
    watch.say(f"choose, deal and count {len(pairs)} clips, {sum(pair.num_rows for pair in pairs)} rows")
    tasks = plan_shards(recipe, pairs, out_dir=folder / "set", store=store)
    set_plan(recipe, pairs)
    watch.say(f"{len(tasks)} tasks of at most {max(len(pickle.dumps(task)) for task in tasks[-9:])} bytes")
    plan_every_row(recipe, tasks, store)
    watch.say("plan every row")
    inputs = write_index_of(folder / "set", tasks)
    watch.say(f"index of {(folder / 'set' / INDEX_NAME).stat().st_size} bytes")
    describe(folder / "set", recipe, pairs, tasks, inputs, watch)


def plan_every_row(recipe: Recipe, tasks: Sequence[ShardTask], store: Store) -> None:
    """Plan the rows of each task as its worker would."""
    start, rows = process_time(), 0
    for number, task in enumerate(tasks, 1):
        task = pickle.loads(pickle.dumps(task))
        clips = [(pair.clip, pair.record) for pair in task.pairs]
        found = [len(plan) for plan in planned_pairs(recipe, clips, store)]
        if found != [pair.num_rows for pair in task.pairs]:
            raise ValueError(f"{task.name}: its clips give other numbers of rows than were counted")
        rows += sum(found)
        if number % 1000 == 0 or number == len(tasks):
            seconds = process_time() - start
            print(f"planned {rows} rows in {seconds:.1f} s cpu, {rows / seconds:.0f} a second", flush=True)


def write_index_of(folder: Path, tasks: Sequence[ShardTask]) -> FileInfo:
    """Write the index of the tasks' shards."""
    folder.mkdir()
    path = folder / INDEX_NAME
    write_index_tables(path, tables(sorted(tasks, key=lambda task: task.name)))
    return FileInfo(size_bytes=path.stat().st_size, sha256=sha256_of(path))


def describe(
    folder: Path,
    recipe: Recipe,
    pairs: Sequence[PairPlan],
    tasks: Sequence[ShardTask],
    index: FileInfo,
    watch: Watch,
) -> None:
    """Write the cards and the description of the set."""
    shards = [
        ShardSummary(
            name=task.name,
            split=task.split,
            rows=task.num_rows,
            groups=len(task.pairs),
            size_bytes=task.num_rows * 2900,
            sha256=f"{number:064x}",
            content_digest=f"{number:064x}",
            group_digests=tuple(f"{number:056x}{group:08x}" for group in range(len(task.pairs))),
        )
        for number, task in enumerate(tasks)
    ]
    info = describe_set(
        recipe=recipe.model_dump(mode="json"), shards=shards, index=index, inputs=inputs_of(pairs)
    )
    watch.say("describe the set")
    write_card(folder, info)
    watch.say("cards")
    write_set_json(folder, info)
    watch.say(f"{SET_NAME} of {(folder / SET_NAME).stat().st_size} bytes")


def tables(tasks: Sequence[ShardTask]) -> Iterator[pa.Table]:
    """Yield the index of one shard after another; they differ in shard and split, which is what loading looks at."""
    whole = one_table(max(task.num_rows for task in tasks))
    for task in tasks:
        table = whole.slice(0, task.num_rows)
        for name, value in (("shard", task.name), ("split", task.split)):
            at = INDEX_SCHEMA.get_field_index(name)
            table = table.set_column(at, INDEX_SCHEMA.field(at), pa.repeat(value, task.num_rows))
        yield table


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
        "source": SOURCE,
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
