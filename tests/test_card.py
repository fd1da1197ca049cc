"""The card of a set: what Hugging Face and Croissant's own library make of it."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from made import made_store, recipe_of

from sr_datasets.build import build_pairs
from sr_datasets.card import CARD_NAME, CROISSANT_NAME, croissant_of, gather, readme_of
from sr_datasets.forget import forget
from sr_datasets.shards.sets import read_set


@pytest.fixture(scope="module")
def set_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    with pytest.MonkeyPatch.context() as patch:
        store = made_store(folder, patch)
        build_pairs(recipe_of(folder), out_dir=folder / "set", store=store)
    return folder / "set"


def described(set_dir: Path) -> dict:
    return json.loads((set_dir / CROISSANT_NAME).read_text())


def test_the_front_matter_points_at_the_shards_and_is_plain_yaml(set_dir: Path):
    front = yaml.safe_load((set_dir / CARD_NAME).read_text().split("---\n")[1])

    files = front["configs"][0]["data_files"]
    assert files == [{"split": name, "path": f"data/{name}-*.parquet"} for name in ("test", "train")]
    assert front["license"] == "other"
    assert front["size_categories"] == ["n<1K"]


def test_the_card_says_sources_licences_citations_recipe_and_checksums(set_dir: Path):
    text, info = (set_dir / CARD_NAME).read_text(), read_set(set_dir)

    assert info.content_digest in text
    assert "not stated whether patches may be passed on: all clips (own)" in text
    assert "| `made` | made | 5 |" in text or "| `made` | Clips that the tests make | 5 |" in text
    for digest in [info.index.sha256, *(shard.sha256 for shard in info.shards)]:
        assert digest in text
    assert json.dumps(info.recipe, indent=1) in text


def test_croissant_names_every_file_with_its_size_and_checksum(set_dir: Path):
    found = {one["contentUrl"]: one for one in described(set_dir)["distribution"]}

    here = {str(path.relative_to(set_dir)) for path in set_dir.rglob("*") if path.is_file()}
    assert set(found) == here - {CROISSANT_NAME, "build-report.json"}
    for name, one in found.items():
        data = (set_dir / name).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
        assert one["contentSize"] == f"{len(data)} B"


@pytest.mark.filterwarnings("ignore")
def test_croissants_own_library_accepts_it_and_reads_the_rows(set_dir: Path):
    mlc = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed: pip install mlcroissant")

    dataset = mlc.Dataset(str(set_dir / CROISSANT_NAME))

    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    # A set knows neither its date nor a version: who publishes it adds them.
    missing = ("datePublished", "version")
    assert [one for one in issues.warnings if not any(name in one for name in missing)] == []
    rows = list(dataset.records("rows"))
    info = read_set(set_dir)
    assert len(rows) == info.rows
    assert rows[0]["rows/sample_id"].decode().startswith("made/")
    assert [row["splits/name"] for row in dataset.records("splits")] == ["test", "train"]


def test_the_card_depends_on_the_set_and_the_manifests_only(set_dir: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "index.parquet").write_bytes((set_dir / "index.parquet").read_bytes())
    info = read_set(set_dir)

    facts = gather(elsewhere, info)

    text = readme_of(facts).encode()
    assert croissant_of(facts, text) == croissant_of(gather(set_dir, info), text)
    assert str(tmp_path) not in text.decode()


def test_forgetting_writes_both_cards_anew_and_takes_them_away_with_the_last_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = made_store(tmp_path, monkeypatch)
    build_pairs(recipe_of(tmp_path), out_dir=tmp_path / "set", store=store)
    clips = [f"{clip.source}/{clip.clip}" for clip in read_set(tmp_path / "set").inputs]

    forget(store, clips[:1])

    found = {one["contentUrl"]: one["sha256"] for one in described(tmp_path / "set")["distribution"]}
    assert found["README.md"] == hashlib.sha256((tmp_path / "set" / CARD_NAME).read_bytes()).hexdigest()
    assert clips[0] not in (tmp_path / "set" / CROISSANT_NAME).read_text()
    forget(store, clips[1:])
    assert not (tmp_path / "set").exists()
