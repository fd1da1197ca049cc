"""The pages in docs/ say of each field what its model says, and their examples hold."""

import re
from pathlib import Path

import pytest

from sr_datasets import manifest, recipe
from sr_datasets.catalog import load_manifest, load_recipe
from sr_datasets.errors import ManifestError
from sr_datasets.models import Model

DOCS = Path(__file__).parents[1] / "docs"
MODELS = [
    model
    for module in (manifest, recipe, recipe.sampling, recipe.clips)
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, Model) and model.__module__ == module.__name__
]


def manifest_page() -> str:
    return (DOCS / "manifest.md").read_text(encoding="utf-8")


def yaml_blocks() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", manifest_page(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_stands_in_the_manifest_page_with_the_words_of_its_docstring(model: type[Model]):
    rows = dict.fromkeys(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.*) \|$", manifest_page(), flags=re.MULTILINE))
    inherited = manifest.FileFacts.model_fields if model is not manifest.FileFacts else {}

    for name, field in model.model_fields.items():
        words = " ".join((field.description or "").split()).replace("``", "`")
        assert words, f"{model.__name__}.{name} has no docstring"
        if name not in inherited:
            assert (name, words) in rows, f"docs/manifest.md needs: | `{name}` | ... | {words} |"


def test_every_mark_of_evidence_stands_in_the_manifest_page():
    words = {
        "SEEN": "The value itself was read in the named evidence.",
        "COMPUTED": "Arithmetic on seen values.",
        "COMPOSED": "A file name and a base URL were seen, and joined here.",
        "INFERRED": "Taken from a sibling file: verify before use.",
        "UNKNOWN": "Not found; the fact is left out.",
    }

    assert set(words) == set(manifest.Status)
    for mark, meaning in words.items():
        assert f"| `{mark}` | {meaning} |" in manifest_page()


def test_the_example_manifest_of_the_page_loads(tmp_path: Path):
    path = tmp_path / "example.yaml"
    path.write_text(yaml_blocks()[0], encoding="utf-8")

    source = load_manifest(path)

    assert [clip.id for clip in source.clips] == ["canal_cif", "square_qcif"]
    assert source.licenses["cc-by"].share_alike == "no"


def test_the_example_recipe_of_the_page_loads(tmp_path: Path):
    path = tmp_path / "my-recipe.yaml"
    path.write_text(yaml_blocks()[1], encoding="utf-8")

    assert load_recipe(path).split.counts == {"test": 2, "train": -1}


def test_the_problems_that_the_page_shows_are_those_of_its_example_with_three_mistakes(tmp_path: Path):
    wrong = yaml_blocks()[0]
    for right, mistake in [
        ("width: 352", "widht: 352"),
        ("  md5: 0123456789abcdef0123456789abcdef\n", ""),
        ("archive: frames.zip", "archive: frame.zip"),
    ]:
        assert right in wrong
        wrong = wrong.replace(right, mistake)
    path = tmp_path / "example.yaml"
    path.write_text(wrong, encoding="utf-8")

    with pytest.raises(ManifestError) as caught:
        load_manifest(path)

    said = str(caught.value).replace(str(path), "manifests/sources/example.yaml")
    assert f"\n```\n{said}\n```\n" in manifest_page()
