"""The lines of docs/interop.md, run with the real tools: each reads the patch that was built."""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from made import RECIPE, made_store, put_clip, recipe_of

from sr_datasets.build import build_pairs
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.sets import DATA_DIR

PAGE = (Path(__file__).parents[1] / "docs" / "interop.md").read_text(encoding="utf-8")
BLOCKS = [
    (f"{title}-{number}", code)
    for title, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
]
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
