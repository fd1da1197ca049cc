"""The lines of docs/interop.md, run with the real tools: each reads the patch that was built."""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import RECIPE, made_store, put_clip, recipe_of
from shard_sets import make_rows, write_shard

from sr_datasets.build import build_pairs
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.sets import DATA_DIR
from sr_datasets.shards.storage import Storage

PAGE = (Path(__file__).parents[1] / "docs" / "interop.md").read_text(encoding="utf-8")
BLOCKS = [
    (f"{title}-{number}", code)
    for title, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
]
(HELPER,) = [code for _, code in BLOCKS if "def samples(" in code]
BLOCKS = [(title, code) for title, code in BLOCKS if code != HELPER]
PEERS = ("duckdb", "pandas", "polars", "pyarrow", "datasets", "ray")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("interop")
    with pytest.MonkeyPatch.context() as patch:
        store = made_store(root / "made", patch)
        put_clip(store, "akiyo_cif", width=96, height=64, num_frames=4, seed=9)
        text = RECIPE.replace("{test: 1, train: -1}", "{train: -1}").replace("id: made", "id: interop")
        (root / "recipes").mkdir()
        build_pairs(recipe_of(root / "recipes", text), out_dir=root / "shards", store=store)
        pictures = recipe_of(root / "recipes", text, storage="png", preview=True)
        build_pairs(pictures, out_dir=root / "pictures", store=store)
    return root


def expected_hr(folder: Path) -> bytes:
    for path in sorted((folder / "shards" / DATA_DIR).iterdir()):
        reader = ShardReader(path)
        for number in range(reader.num_rows):
            if reader.row(number)["clip"] == "akiyo_cif":
                return reader.pixels(number)[1].tobytes()
    raise AssertionError("the clip was built")


@pytest.mark.parametrize(("title", "code"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_the_lines_of_the_page_read_the_patch(folder: Path, title: str, code: str) -> None:
    (peer,) = [name for name in PEERS if re.search(rf"\b(import|from|,) {name}\b", code)]
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed: pip install {peer}")
    assert len([line for line in code.splitlines() if line]) <= 6
    code = HELPER + code if "samples(" in code else code
    check = "\nimport hashlib; print('found', hr.shape, hashlib.sha256(hr.tobytes()).hexdigest())"

    run = subprocess.run(
        [sys.executable, "-c", code + check],
        cwd=folder,
        env=os.environ
        | {
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr[-3000:]
    shape = "(1, 24, 24)"
    assert f"found {shape} {hashlib.sha256(expected_hr(folder)).hexdigest()}" in run.stdout


def test_the_page_shows_every_peer() -> None:
    for peer in PEERS:
        assert any(re.search(rf"\b(import|from|,) {peer}\b", code) for _, code in BLOCKS), peer


def row_of(tool: str, path: Path) -> Any:
    """Return the last row of a shard as a tool gives it."""
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed: pip install {tool}")
    if tool == "pandas":
        import pandas as pd

        return pd.read_parquet(path).iloc[-1]
    if tool == "polars":
        import polars as pl

        return pl.read_parquet(path).row(-1, named=True)
    if tool == "duckdb":
        import duckdb

        return duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table().to_pylist()[-1]
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()[-1]


@pytest.mark.parametrize("tool", ["pandas", "polars", "duckdb", "pyarrow"])
@pytest.mark.parametrize("storage", ["raw", "zstd", "png"])
@pytest.mark.parametrize(
    "kind",
    [
        {"color": "rgb"},
        {"color": "y", "bit_depth": 10},
        {"color": "rgb", "frames": 3},
        {"color": "y", "bit_depth": 16, "frames": 3, "hr_all": True},
    ],
    ids=lambda kind: "-".join(map(str, kind.values())),
)
def test_the_function_of_the_page_reads_any_set(
    tmp_path: Path, tool: str, storage: Storage, kind: dict[str, Any]
) -> None:
    rows = make_rows("any", 3, **kind)
    path = tmp_path / "train-00000-of-00001.parquet"
    write_shard(path, [rows], storage=storage)
    names: dict[str, Any] = {}
    exec(HELPER, names)

    found = row_of(tool, path)

    for name in ("lr", "hr"):
        read = names["samples"](found, name)
        assert read.dtype == getattr(rows[-1], name).dtype
        np.testing.assert_array_equal(read, getattr(rows[-1], name))
