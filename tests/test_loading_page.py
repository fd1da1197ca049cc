"""The code of docs/loading.md runs, from top to bottom."""

import re
from pathlib import Path

import pytest
from made import made_store, recipe_of
from shard_sets import make_rows, write_set

from sr_datasets.build import build_pairs
from sr_datasets.recipe import NoLr, UniformSampling

pytest.importorskip("torch")
from sr_datasets import PairDataset

pytestmark = pytest.mark.torch
PAGE = Path(__file__).parents[1] / "docs" / "loading.md"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make_rows(clip, 30, height=32, width=32) for clip in ("akiyo_cif", "bus_cif", "mobile")]
    write_set(tmp_path / "shards", {"train-00000-of-00001.parquet": rows})
    sampling = UniformSampling(lr_size=16, patches_per_pair=3)
    recipe = recipe_of(tmp_path, scale=2, color="rgb", degradation=NoLr(halo=8), sampling=sampling)
    build_pairs(recipe, out_dir=tmp_path / "no-lr", store=made_store(tmp_path, monkeypatch))
    monkeypatch.chdir(tmp_path)

    blocks = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == 8
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)

    rows = PairDataset("shards/").rows_digest
    assert names["state"] == {"consumed": 64, "num_rows": 90, "seed": 0, "block": None, "rows": rows}
    assert names["batch"]["sample_number"].tolist() == list(range(48, 64))  # type: ignore[index]
