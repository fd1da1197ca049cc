"""A store of small clips that the tests make, and a recipe for them."""

from pathlib import Path

import numpy as np
import pytest

from sr_datasets.catalog import find_recipe
from sr_datasets.files import sha256_of
from sr_datasets.recipe import Recipe
from sr_datasets.store import ClipRecord, FileRecord, Store
from sr_datasets.video import probe

SIZES = [(96, 80, 6), (97, 83, 5), (120, 64, 7), (96, 80, 4), (100, 72, 3)]
MANIFEST = """
format: 1
id: made
title: Clips that the tests make
description: Noise.
access: manual
open_ended: true
how_to_get: The tests make them.
citation: {text: None.}
licenses: {own: {name: own}}
license: own
"""
RECIPE = """
format: 1
id: made
title: Noise
clips: [made]
present_only: true
scale: 3
color: y
sampling: {kind: uniform, patches_per_pair: 12, lr_size: 8}
split: {counts: {test: 1, train: -1}}
clips_per_shard: 2
"""


def write_y4m(path: Path, *, width: int, height: int, num_frames: int, seed: int) -> None:
    """Write 4:2:0 noise with some structure; every clip has other bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(seed)
    chroma = (-(-height // 2), -(-width // 2))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1\n".encode())
        for _ in range(num_frames):
            file.write(b"FRAME\n")
            for shape in ((height, width), chroma, chroma):
                file.write(draws.integers(16, 236, shape, dtype=np.uint8).tobytes())


def put_clip(store: Store, name: str, *, width: int, height: int, num_frames: int, seed: int) -> ClipRecord:
    path = store.root / "made" / f"{name}.y4m"
    write_y4m(path, width=width, height=height, num_frames=num_frames, seed=seed)
    digest = sha256_of(path)
    stat = path.stat()
    record = ClipRecord(
        source="made",
        clip=name,
        path=f"made/{name}.y4m",
        files=(
            FileRecord(
                path=f"made/{name}.y4m", size_bytes=stat.st_size, sha256=digest, mtime_ns=stat.st_mtime_ns
            ),
        ),
        sha256=digest,
        origin="imported",
        proof="imported",
        info=probe(path),
    )
    store.put(record)
    return record


def made_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a store with five small clips of the source ``made``, whose manifest is the user's."""
    manifests = tmp_path / "config" / "sr-datasets" / "manifests" / "sources"
    manifests.mkdir(parents=True)
    (manifests / "made.yaml").write_text(MANIFEST)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    store = Store(tmp_path / "store")
    for number, (width, height, num_frames) in enumerate(SIZES):
        put_clip(store, f"clip{number}", width=width, height=height, num_frames=num_frames, seed=number)
    return store


def recipe_of(tmp_path: Path, text: str = RECIPE, **changes: object) -> Recipe:
    path = tmp_path / "made.yaml"
    path.write_text(text)
    return find_recipe(str(path)).model_copy(update=changes)
