"""A source ``made`` and a store of its clips, for benchmarks that build from clips which they make."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sr_datasets.files import sha256_of
from sr_datasets.manifest import VideoInfo
from sr_datasets.store import ClipRecord, FileRecord, Store
from sr_datasets.video import probe

MANIFEST = """
{format: 1, id: made, title: Made, description: Made here., access: manual, open_ended: true,
 how_to_get: Made here., citation: {text: None.}, licenses: {own: {name: own}}, license: own}
"""


def write_manifest(home: Path) -> None:
    """Describe the source ``made`` below a configuration folder, which ``XDG_CONFIG_HOME`` is to name."""
    sources = home / "sr-datasets" / "manifests" / "sources"
    sources.mkdir(parents=True)
    (sources / "made.yaml").write_text(MANIFEST)


def fill_store(root: Path, clips: Iterable[Path]) -> Store:
    """Put files into a store as clips of ``made``, linked where the file system can, else copied."""
    store = Store(root)
    (root / "made").mkdir(parents=True)
    records = []
    for source in clips:
        path = root / "made" / source.name
        try:
            os.link(source.resolve(), path)
        except OSError:
            shutil.copyfile(source, path)
        records.append(record_of(path, sha256_of(path), probe(path)))
    store.put(*records)
    return store


def record_of(path: Path, digest: str, info: VideoInfo) -> ClipRecord:
    """Return what a store notes of a file that lies below ``made`` in it."""
    stat, name = path.stat(), f"made/{path.name}"
    file = FileRecord(path=name, size_bytes=stat.st_size, sha256=digest, mtime_ns=stat.st_mtime_ns)
    return ClipRecord(
        source="made",
        clip=path.stem,
        path=name,
        files=(file,),
        sha256=digest,
        origin="imported",
        proof="imported",
        info=info,
    )


def write_noise(path: Path, *, width: int, height: int, num_frames: int, seed: int) -> None:
    """Write a y4m of noise, 4:2:0 of 8 bits, 25 frames a second."""
    draws = np.random.default_rng(seed)
    chroma = 2 * -(-height // 2) * -(-width // 2)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1\n".encode())
        for _ in range(num_frames):
            frame = draws.integers(16, 236, height * width + chroma, dtype=np.uint8)
            file.write(b"FRAME\n" + frame.tobytes())
