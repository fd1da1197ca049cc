"""A set behind an address: samples per second, and bytes that came over the line per byte of pixels, by the order of rows.

A real S3 server (moto's) runs in a process of its own; a relay in between makes every request wait, as a distance does,
and counts the bytes of the answers. The set is larger than what may be kept of it here (``--memory``, no cache on the
disk), as sets of this kind are. Orders: all rows shuffled; `ResumableSampler(block=...)`. Each reads one epoch from
cold. `one by one` reads row groups of a batch one after another, as ``ds[i]`` would have to.

    pip install 'moto[s3,server]'
    python benchmarks/remote_reading.py --latency 20
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import stored
from pyarrow import fs

from sr_datasets import PairDataset, ResumableSampler
from sr_datasets.shards import remote as remote_module
from sr_datasets.shards.remote import RemoteSet
from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import DATA_DIR, describe_set, shard_name, write_index, write_set_json
from sr_datasets.shards.writer import ShardWriter

KEYS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
LR, SCALE, ROWS_PER_GROUP, GROUPS_PER_SHARD = 32, 3, 30, 8


def main() -> None:
    """Write the set, serve it, and read it in each order."""
    options = _options()
    os.environ.update(KEYS)
    with tempfile.TemporaryDirectory(prefix="sr-remote-") as name:
        folder = Path(name)
        size = write_set(folder / "set", options.groups)
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port := _free_port())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        near, far = multiprocessing.Pipe()
        relay = multiprocessing.Process(target=_relay, args=(port, options.latency / 1000, far), daemon=True)
        relay.start()
        try:
            _upload(folder / "set", port)
            address = f"s3://bench/set?endpoint_override=http://127.0.0.1:{near.recv()}&scheme=http"
            print(
                f"{options.groups} row groups of {ROWS_PER_GROUP} rows, {size / 1e6:.0f} MB; at most {options.memory:.0%} "
                f"of it in memory, nothing on the disk; batches of {options.batch}; {options.latency} ms a request"
            )
            print("order                samples/s    MB/s   bytes over bytes used   requests a batch")
            rows: stored.Table = [["order", "samples/s", "bytes read over bytes used", "requests a batch"]]
            for label, block, at_once in _ways(options.blocks):
                rows.append(_read(address, near, label, block, at_once, options, size))
            stored.save(
                options.save,
                {"orders": rows},
                conditions=f"moto's S3 server on loopback, {options.latency:g} ms of waiting added to each request; {options.groups} "
                f"row groups of {ROWS_PER_GROUP} rows (LR 32x32x3, HR 96x96x3), {size / 1e6:.0f} MB, of which memory may hold "
                f"{options.memory:.0%} and the disk nothing; batches of {options.batch}; each order from cold, one epoch or "
                f"{options.most:g} seconds of it",
            )
        finally:
            relay.terminate()
            server.terminate()
            server.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latency", type=float, default=20, help="ms that each request waits")
    parser.add_argument("--groups", type=int, default=128, help="row groups of the set")
    parser.add_argument("--memory", type=float, default=0.25, help="share of the set that memory may hold")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--blocks", type=int, nargs="*", default=[4, 8, 16])
    parser.add_argument("--most", type=float, default=60, help="seconds after which an order is left")
    stored.save_option(parser, "remote_reading")
    return parser.parse_args()


def _ways(blocks: Sequence[int]) -> list[tuple[str, int | None, int]]:
    ahead = remote_module._AT_ONCE
    return [
        ("shuffled, one by one", None, 1),
        ("shuffled", None, ahead),
        *((f"block={block}, one by one", block, 1) for block in blocks[1:2]),
        *((f"block={block}", block, ahead) for block in blocks),
    ]


def _read(
    address: str,
    line: Connection,
    label: str,
    block: int | None,
    at_once: int,
    options: argparse.Namespace,
    size: int,
) -> list[stored.Cell]:
    remote_module._AT_ONCE = at_once
    with tempfile.TemporaryDirectory(prefix="sr-cache-") as cache:
        place = RemoteSet(
            address, cache_dir=Path(cache), cache_bytes=0, memory_bytes=int(size * options.memory)
        )
        ds = PairDataset(place)
        sampler = ResumableSampler(ds, seed=0, block=block, num_samples=len(ds))
        line.send("reset")
        line.recv()
        used = samples = batches = 0
        start = time.perf_counter()
        for rows in sampler.batches(options.batch):
            batch = ds[rows]
            samples += len(rows)
            batches += 1
            used += batch["lr"].nbytes + batch["hr"].nbytes
            if time.perf_counter() - start > options.most:
                break
        seconds = time.perf_counter() - start
        line.send("read")
        came, requests = line.recv()
    print(
        f"{label:21}{samples / seconds:9.0f}{used / seconds / 1e6:8.1f}{came / used:24.2f}{requests / batches:19.1f}",
        flush=True,
    )
    return [label, f"{samples / seconds:.0f}", f"{came / used:.2f}", f"{requests / batches:.1f}"]


def write_set(folder: Path, groups: int) -> int:
    """Write a set of pixels with a 1/f spectrum and return the bytes of its shards."""
    rng = np.random.default_rng(0)
    side = LR * SCALE
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = 1
    shards, count = [], -(-groups // GROUPS_PER_SHARD)
    for shard in range(count):
        path = folder / DATA_DIR / shard_name("train", shard, count)
        with ShardWriter(path, metadata={"recipe": "{}"}) as writer:
            for group in range(shard * GROUPS_PER_SHARD, min(groups, (shard + 1) * GROUPS_PER_SHARD)):
                noise = np.fft.irfft2(
                    np.fft.rfft2(rng.normal(size=(ROWS_PER_GROUP, 3, side, side))) / frequency, (side, side)
                )
                hr = np.clip(noise * (48 / noise.std()) + 128, 0, 255).astype(np.uint8)
                writer.write_group([_row(group, number, patch) for number, patch in enumerate(hr)])
        shards.append(writer.summary)
    info = describe_set(
        recipe={"id": "remote"}, shards=shards, index=write_index(folder, shards), inputs=(), packages={}
    )
    write_set_json(folder, info)
    return sum(shard.size_bytes for shard in shards)


def _row(group: int, number: int, hr: np.ndarray) -> Row:
    tags = {"matrix": "rgb", "range": "full", "transfer": "iec61966-2-1", "siting": "none"}
    return Row(
        sample_id=f"bench/clip{group}/{number:06d}",
        source="bench",
        clip=f"clip{group}",
        split="train",
        row=number,
        frame_indices=(number,),
        pts=(number,),
        time_base="1/25",
        top=0,
        left=0,
        scale=SCALE,
        color="rgb",
        bit_depth=8,
        degradation='{"kind": "bicubic"}',
        lr=np.ascontiguousarray(hr[:, ::SCALE, ::SCALE]),
        hr=hr,
        **tags,
        **{f"{name}_from": "declared" for name in tags},
    )


def _upload(folder: Path, port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            break
        except OSError:
            time.sleep(0.1)
    store = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True)
    store.create_dir("bench")
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with store.open_output_stream(f"bench/set/{file.relative_to(folder)}") as out:
                out.write(file.read_bytes())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _relay(port: int, wait: float, line: Connection) -> None:
    """Pass bytes to the server and back; each piece of a request waits; count answers' bytes and requests."""
    counts = [0, 0]

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        try:
            while data := await source.read(1 << 18):
                if answers:
                    counts[0] += len(data)
                else:
                    counts[1] += data.startswith((b"GET", b"HEAD"))
                    await asyncio.sleep(wait)
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()

    async def serve(near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far_in, far_out = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            pass_on(near_in, far_out, answers=False), pass_on(far_in, near_out, answers=True)
        )

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        line.send(server.sockets[0].getsockname()[1])
        while True:
            if line.poll():
                if line.recv() == "reset":
                    counts[:] = [0, 0]
                line.send(tuple(counts))
            await asyncio.sleep(0.005)

    asyncio.run(run())


if __name__ == "__main__":
    main()
