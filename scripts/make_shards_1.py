"""Makes tests/data/shards-1, a set of format version 1: run with sr-datasets of commit 557cd7c (pyarrow 26.0.1).

git worktree add --detach OLD 557cd7c && PYTHONPATH=OLD/src:tests python scripts/make_shards_1.py
"""

import shutil
import tempfile
from pathlib import Path

import pytest
from made import made_store, recipe_of

from sr_datasets.build import build_pairs

OUT = Path(__file__).parents[1] / "tests" / "data" / "shards-1"
RECIPE = """
format: 1
id: made
title: Noise
clips: [made/clip0, made/clip1, made/clip4]
present_only: true
scale: 3
color: rgb
sampling: {kind: uniform, patches_per_pair: 3, lr_size: 10}
split: {counts: {test: 1, train: -1}}
clips_per_shard: 2
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        store = made_store(Path(folder), patch)
        shutil.rmtree(OUT, ignore_errors=True)
        build_pairs(recipe_of(Path(folder), RECIPE), out_dir=OUT, store=store)
        (OUT / "build-report.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
