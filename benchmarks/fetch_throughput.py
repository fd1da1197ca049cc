"""Throughput of ``fetch_clips`` against curl: nginx on loopback, 2 GB in files of 1 to 500 MB, hash included.

    python benchmarks/fetch_throughput.py [--folder DIR] [--rounds 3]

Needs nginx and curl (Debian packages nginx-light and curl). The files are y4m clips of 1080p noise, made once and
deleted in the end. Every round lets curl write them (one process, one file after the other, then four at a time),
then sr-data bring them into a fresh store: written, hashed with SHA-256, synced, walked frame by frame, recorded. The
best round counts for each; peak memory is the kernel's (ru_maxrss) of the fetching process, and of it before the fetch.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stored

SIZES_MB = [500, 400, 300, 200, 150, 120, 100, 80, 50, 40, 20, 10, 10, *[5] * 6, *[1] * 10]
FRAME_BYTES = 1920 * 1080 * 3 // 2
SMALL_BYTES = 352 * 288 * 3 // 2

CONFIGURATION = """
daemon off; pid {root}/nginx.pid; error_log {root}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; types {{}} default_type application/octet-stream;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}/files; }}
}}
"""

PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from sr_datasets.catalog import Selected
from sr_datasets.ingest import fetch_clips
from sr_datasets.manifest import Source
from sr_datasets.progress import Silent
from sr_datasets.store import Store
source = Source.model_validate_json(Path(sys.argv[1]).read_bytes())
import requests, sr_datasets.fetch.http, sr_datasets.video.y4m
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
report = fetch_clips([Selected(source, clip) for clip in source.clips], Store(Path(sys.argv[2])), progress=Silent(),
                     jobs=int(sys.argv[3]))
seconds = time.perf_counter() - start
assert len(report.fetched) == len(source.clips)
print(json.dumps({"seconds": seconds, "before_kb": before,
                  "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def make_files(folder: Path) -> list[dict[str, str]]:
    """Write the clips; return their manifest entries, with SHA-256."""
    folder.mkdir(parents=True)
    noise = os.urandom(FRAME_BYTES)
    clips = []
    for number, megabytes in enumerate(SIZES_MB):
        size, frame = ("1920 1080", FRAME_BYTES) if megabytes >= 10 else ("352 288", SMALL_BYTES)
        width, height = size.split()
        header = f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1\n".encode()
        path = folder / f"clip{number:02d}.y4m"
        digest = hashlib.sha256(header)
        with path.open("wb") as file:
            file.write(header)
            for index in range(megabytes * 10**6 // frame):
                cut = index * 4099 % frame  # so that no two frames are the same
                data = b"FRAME\n" + (noise[cut:] + noise[:cut])[:frame]
                file.write(data)
                digest.update(data)
        clips.append({"id": path.stem, "name": path.name, "sha256": digest.hexdigest()})
    return clips


def curl_seconds(urls: list[str], folder: Path, *, parallel: int) -> float:
    """Let one curl write all files into a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config = folder / "urls"
    config.write_text(
        "".join(f'url = "{url}"\noutput = "{folder}/{url.rpartition("/")[2]}"\n' for url in urls)
    )
    command = ["curl", "--silent", "--fail", "--config", str(config)]
    if parallel > 1:
        command += ["--no-progress-meter", "--parallel", "--parallel-max", str(parallel)]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - start
    shutil.rmtree(folder)
    return seconds


def fetch_once(manifest: Path, root: Path, *, jobs: int) -> dict[str, float]:
    """Fetch all files into a fresh store, in a process of its own."""
    shutil.rmtree(root, ignore_errors=True)
    command = [sys.executable, "-c", PROGRAM, str(manifest), str(root), str(jobs)]
    environment = {**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    shutil.rmtree(root)
    return json.loads(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="Where to work; a temporary folder by default.")
    parser.add_argument("--rounds", type=int, default=3)
    stored.save_option(parser, "fetch_throughput")
    options = parser.parse_args()
    for tool in ("nginx", "curl"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed (Debian: apt-get install nginx-light curl)")
    root = Path(tempfile.mkdtemp(prefix="sr-fetch-", dir=options.folder))
    root.chmod(0o755)
    server = None
    try:
        clips = make_files(root / "files")
        total = sum(path.stat().st_size for path in (root / "files").iterdir())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (root / "nginx.conf").write_text(CONFIGURATION.format(root=root, port=port))
        server = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")])
        time.sleep(1)
        urls = [f"http://127.0.0.1:{port}/{clip['name']}" for clip in clips]
        manifest = root / "source.json"
        manifest.write_text(
            json.dumps(
                {
                    "format": 1, "id": "bench", "title": "Bench", "description": "Noise.", "access": "download",
                    "citation": {"text": "None."}, "licenses": {"own": {"name": "own"}}, "license": "own",
                    "clips": [
                        {"id": clip["id"], "mirrors": [url], "sha256": clip["sha256"]}
                        for clip, url in zip(clips, urls, strict=True)
                    ],
                }
            )
        )  # fmt: skip
        curl: dict[int, float] = {}
        ours: dict[int, float] = {}
        runs = []
        for _ in range(options.rounds):
            for jobs in (1, 4):
                curl[jobs] = min(curl.get(jobs, 1e9), curl_seconds(urls, root / "curl", parallel=jobs))
                run = fetch_once(manifest, root / "store", jobs=jobs)
                ours[jobs] = min(ours.get(jobs, 1e9), run["seconds"])
                runs.append(run)
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)
            server.wait()
        shutil.rmtree(root)
    print(f"{total / 1e9:.2f} GB in {len(SIZES_MB)} files of 1 to 500 MB, best of {options.rounds} rounds")
    for jobs in (1, 4):
        print(
            f"{jobs} at a time: curl {total / 1e6 / curl[jobs]:.0f} MB/s, sr-data {total / 1e6 / ours[jobs]:.0f} MB/s "
            f"({curl[jobs] / ours[jobs]:.2f} of curl)"
        )
    peak, before = max(run["peak_kb"] for run in runs), min(run["before_kb"] for run in runs)
    print(f"peak memory {peak / 1024:.0f} MiB, of it {before / 1024:.0f} MiB before the first request")
    rows: stored.Table = [["", "curl", "sr-data", "ratio"]]
    for words, jobs in (("one file at a time", 1), ("four at a time", 4)):
        rates = [f"{total / 1e6 / seconds[jobs]:.0f} MB/s" for seconds in (curl, ours)]
        rows.append([words, *rates, f"{curl[jobs] / ours[jobs]:.2f}"])
    memory: stored.Table = [
        ["", "peak memory"],
        ["before the first request", f"{before / 1024:.0f} MiB"],
        ["at the end", f"{peak / 1024:.0f} MiB"],
    ]
    stored.save(
        options.save,
        {"speed": rows, "memory": memory},
        conditions=f"nginx on loopback, {total / 1e9:.2f} GB in {len(SIZES_MB)} files of 1 to 500 MB; ours hashes (SHA-256), "
        f"syncs, walks each y4m and records it, curl does none of these; best of {options.rounds} rounds",
    )


if __name__ == "__main__":
    main()
