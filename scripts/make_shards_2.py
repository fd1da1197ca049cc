"""Makes tests/data/shards-2, a set of format version 2 without frame sizes: run with sr-datasets of commit 165064c (pyarrow 26.0.1).

git worktree add --detach OLD 165064c && PYTHONPATH=OLD/src:tests python scripts/make_shards_2.py
"""

import shutil
import tempfile
from pathlib import Path

import pytest
from made import made_store, recipe_of

from sr_datasets.build import build_pairs

OUT = Path(__file__).parents[1] / "tests" / "data" / "shards-2"
RECIPE = """
format: 1
id: made
title: Noise, to be degraded later
clips: [made/clip0, made/clip2, made/clip4]
scale: 2
color: rgb
degradation: {kind: none, halo: 8}
sampling: {kind: uniform, patches_per_pair: 3, lr_size: 6}
split: {counts: {test: 1, train: -1}}
clips_per_shard: 2
storage: zstd
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        store = made_store(Path(folder), patch)
        shutil.rmtree(OUT, ignore_errors=True)
        build_pairs(recipe_of(Path(folder), RECIPE), out_dir=OUT, store=store)
        for name in ("build-report.json", "croissant.json"):
            (OUT / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
