"""Chains, presets and names of degradations in a recipe: what is accepted, and what is said of the rest."""

import json
import re
from itertools import chain
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import yaml
from effects import DEGRADATION
from pydantic import ValidationError

from sr_datasets.catalog import json_schema, load_recipe
from sr_datasets.degrade import Degrader
from sr_datasets.errors import RecipeError
from sr_datasets.models import Model
from sr_datasets.recipe import Bicubic, Chain, Recipe
from sr_datasets.recipe.chains import DOWNSCALERS, OneOf, Shuffle
from sr_datasets.recipe.effects import Effect, SimpleEffect, VideoCodec
from sr_datasets.recipe.presets import PRESETS

RECIPE = {
    "format": 1,
    "id": "x",
    "title": "X",
    "clips": ["demo"],
    "scale": 4,
    "split": {"counts": {"train": -1}},
}
BLUR = {"kind": "blur", "sigma": 1.2}
NOISE = {"kind": "gaussian-noise", "sigma": 3}
JPEG = {"kind": "jpeg", "quality": 80}
TO_LR = {"kind": "resize", "base": "target"}
HALF = {"kind": "resize", "factor": 0.5}
BICUBIC = {"kind": "bicubic"}


def problem(steps: list, **fields: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Chain.model_validate({"steps": steps, **fields})
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_becomes_what_it_stands_for(name: str):
    by_name = Recipe.model_validate({**RECIPE, "degradation": name}).degradation
    by_field = Recipe.model_validate({**RECIPE, "degradation": {"preset": name}}).degradation

    assert by_name == by_field
    assert by_name.kind in ("chain", *DOWNSCALERS)
    if isinstance(by_name, Chain):
        assert by_name.name == name
    # What a set stores says it all: it is read back without the name.
    stored = json.loads(by_name.model_dump_json())
    assert "preset" not in stored
    assert DEGRADATION.validate_python(stored) == by_name


@pytest.mark.parametrize("name", [*DOWNSCALERS, "none"])
def test_a_downscaler_can_be_called_by_its_name(name: str):
    assert Recipe.model_validate({**RECIPE, "degradation": name}).degradation.kind == name


@pytest.mark.parametrize(
    ("degradation", "words"),
    [
        ("bicubik", ["'bicubik' is neither", "real-esrgan", "lanczos", "none"]),
        ("jpeg", ["jpeg makes no LR by itself", "kind: chain"]),
        ({"preset": "esrgan"}, ["'esrgan' is no preset", "real-esrgan"]),
        ({"preset": "bi", "border": "replicate"}, ["beside preset nothing else"]),
    ],
)
def test_a_name_that_stands_for_nothing_is_answered_with_those_that_do(degradation: object, words: list[str]):
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({**RECIPE, "degradation": degradation})

    (error,) = caught.value.errors()
    assert all(word in error["msg"] for word in words)


def test_the_schema_takes_names_presets_and_chains():
    schema = json_schema("recipe")
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    shuffled = {"kind": "shuffle", "groups": [[JPEG], [{"kind": "one-of", "steps": [BLUR, NOISE]}]]}
    nested = {"kind": "chain", "steps": [BICUBIC, shuffled]}

    for good in (
        "real-esrgan",
        "area",
        "none",
        {"preset": "bi"},
        nested,
        PRESETS["real-basicvsr"].degradation,
    ):
        check.validate(json.loads(json.dumps({**RECIPE, "degradation": good})))
    for bad in (
        "nothing",
        {"preset": "area"},
        {"kind": "chain", "steps": []},
        {"kind": "jpeg", "quality": 5},
    ):
        assert not check.is_valid({**RECIPE, "degradation": bad})


@pytest.mark.parametrize(
    "steps",
    [
        [BICUBIC],
        [BLUR, BICUBIC, NOISE, JPEG],
        [{"kind": "one-of", "steps": [BICUBIC, {"kind": "area"}]}, JPEG],
        [BICUBIC, {"kind": "shuffle", "groups": [[NOISE], [JPEG, BLUR]]}],
        [BICUBIC, {"kind": "x264", "crf": 23}],
    ],
)
@pytest.mark.parametrize("of", ["frame", "crop"])
def test_chains_that_shrink_once_are_taken(steps: list, of: str):
    assert Chain.model_validate({"steps": steps, "of": of}).of == of


@pytest.mark.parametrize(
    "steps",
    [
        [HALF, TO_LR],
        [TO_LR, JPEG],
        [BICUBIC, {"kind": "resize", "factor": 2}, TO_LR],
        [HALF, {"kind": "shuffle", "groups": [[TO_LR, BLUR], [JPEG]]}],
    ],
)
def test_crops_may_be_resized_on_the_way_to_lr(steps: list):
    assert Chain.model_validate({"steps": steps, "of": "crop"}).steps


@pytest.mark.parametrize(
    ("steps", "fields", "words"),
    [
        ([BLUR], {}, "do not end at the size of LR: one step must shrink"),
        ([BICUBIC, BICUBIC], {}, "bicubic shrinks HR by the scale, but a step before it"),
        ([BICUBIC, HALF], {}, "resize is for chains of: crop"),
        ([{"kind": "one-of", "steps": [JPEG, TO_LR]}], {}, "resize is for chains of: crop"),
        ([{"kind": "one-of", "steps": [BICUBIC, BLUR]}], {}, "must all shrink, or none"),
        ([{"kind": "one-of", "steps": [BICUBIC], "probability": 0.5}], {}, "must all shrink, or none"),
        ([{"kind": "shuffle", "groups": [[BICUBIC], [BLUR]]}], {}, "a step of shuffle may not shrink"),
        ([HALF], {"of": "crop"}, "resize with base: target"),
        ([BICUBIC, HALF], {"of": "crop"}, "resize with base: target"),
        ([HALF, BICUBIC], {"of": "crop"}, "bicubic shrinks HR by the scale"),
        ([{"kind": "shuffle", "groups": [[HALF], [TO_LR]]}], {"of": "crop"}, "do not end at the size of LR"),
        (
            [BICUBIC, {"kind": "jpeg", "quality": {"low": 30, "high": 50, "walk": 2}}],
            {},
            "a number that walks needs a chain of: crop",
        ),
    ],
)
def test_chains_that_do_not_end_at_lr_are_refused_with_the_way_out(steps: list, fields: dict, words: str):
    assert words in problem(steps, **fields)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({**BLUR, "size": 8}, "size is an odd number of 3..41"),
        ({**BLUR, "size": {"low": 7, "high": 21}}, "size is an odd number of 3..41"),
        ({**BLUR, "size": {"choices": [7, 9], "walk": 2}}, "size may not walk"),
        ({**BLUR, "beta": 2}, "a gaussian kernel takes no beta"),
        ({**BLUR, "shape": "plateau"}, "a plateau kernel needs beta"),
        ({"kind": "blur"}, "a gaussian kernel needs sigma"),
        ({**BLUR, "rotation": 1}, "without sigma_across the kernel is round"),
        ({"kind": "blur", "shape": "sinc", "cutoff": 2, "rotation": 1}, "it is round"),
        ({"kind": "blur", "shape": "sinc", "cutoff": 4}, "cutoff is 4, must be within 0.001..3.14159"),
        ({**BLUR, "sigma": {"low": 0, "high": 3}}, "sigma is 0..3, must be within 0.1..30"),
        ({**BLUR, "sigma": {"low": 3, "high": 1}}, "low may not be greater"),
        ({**BLUR, "sigma": {"choices": [1, 2], "weights": [1]}}, "1 weights for 2 choices"),
        ({**BLUR, "sigma": {"choices": [{"low": 1, "high": 2, "walk": 1}]}}, "stands beside them"),
        ({**NOISE, "sigma": float("nan")}, "finite number"),
        ({**JPEG, "quality": 0}, "quality is 0, must be within 1..100"),
        ({**JPEG, "probability": 0}, "greater than 0"),
        ({"kind": "one-of", "steps": [JPEG, BLUR], "weights": [0, 0]}, "not all 0"),
        ({"kind": "x264"}, "expected one of crf, qp, bitrate, found none of them"),
        ({"kind": "x264", "crf": 20, "qp": 20}, "found crf and qp"),
        ({"kind": "x264", "crf": 20.5}, "must be a whole number"),
        ({"kind": "mpeg4", "crf": 20}, "expected one of qp, bitrate, found crf"),
        ({"kind": "av1", "crf": 64}, "crf is 64, must be within 1..63"),
        ({"kind": "vp9", "crf": {"low": 20, "high": 30, "walk": 1}}, "crf may not walk"),
        ({"kind": "x265", "qp": 20, "preset": "fastest"}, "ultrafast"),
        ({"kind": "sharpen"}, "'sharpen'"),
    ],
)
def test_wrong_steps_are_named_with_what_is_expected(step: dict, words: str):
    assert words in problem([BICUBIC, step])


DOCS = Path(__file__).parents[1] / "docs" / "degradations.md"
MODELS = (*get_args(SimpleEffect), Effect, VideoCodec, OneOf, Shuffle, Chain)


def said(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_stands_in_the_page_with_the_words_of_its_docstring(model: type[Model]):
    page = DOCS.read_text(encoding="utf-8")

    if "kind" in model.model_fields and model is not Chain:
        assert f"`{model.model_fields['kind'].default}`" in page
    for name, field in model.model_fields.items():
        if name != "kind":
            assert f"| `{name}` | " in page
            assert f" | {said(field.description or '?')} |" in page


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_stands_in_the_page(name: str):
    page, preset = DOCS.read_text(encoding="utf-8"), PRESETS[name]

    assert f"| `{name}` | {preset.summary} | " in page
    assert f"| {preset.source} |" in page
    assert preset.differs in said(page)


def test_the_example_of_a_chain_in_the_page_holds():
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )

    parsed = [DEGRADATION.validate_python(yaml.safe_load(block)["degradation"]) for block in blocks]

    assert "chain" in [degradation.kind for degradation in parsed]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_and_chains_are_read_from_yaml(tmp_path: Path, name: str):
    for degradation in (name, PRESETS[name].degradation):
        path = tmp_path / "x.yaml"
        path.write_text(json.dumps({**RECIPE, "degradation": degradation}), encoding="utf-8")

        assert load_recipe(path).degradation == DEGRADATION.validate_python(name)


def test_a_wrong_step_in_yaml_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "x.yaml"
    steps = [BICUBIC, {**BLUR, "sigma": {"low": 0, "high": 3}}, {"kind": "jpeg", "qualitty": 3}]
    recipe = {**RECIPE, "degradation": {"kind": "chain", "steps": steps}}
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")

    with pytest.raises(RecipeError) as caught:
        load_recipe(path)

    problems = str(caught.value)
    assert "degradation.steps[1]: found fields: sigma is 0..3, must be within 0.1..30" in problems
    assert (
        "degradation.steps[2].qualitty: found a field that is not known here. Did you mean quality"
        in problems
    )


def test_a_number_is_a_number_a_range_or_choices():
    numbers = [
        3,
        3.5,
        {"low": 1, "high": 2},
        {"choices": [1, {"low": 2, "high": 3}], "weights": [1, 3], "walk": 0.5},
    ]

    for number in numbers:
        step = {"kind": "gaussian-noise", "sigma": number}
        parsed = Chain.model_validate({"steps": [BICUBIC, step], "of": "crop"})
        assert Chain.model_validate_json(parsed.model_dump_json()) == parsed
    missing = problem([BICUBIC, {"kind": "gaussian-noise", "sigma": {"lo": 1, "high": 2}}])
    assert "sigma.range.low: Field required" in missing


def test_every_step_of_a_chain_has_a_name_of_its_own():
    assert len(set(DOWNSCALERS)) == len(DOWNSCALERS)
    assert not set(PRESETS) & set(chain(DOWNSCALERS, ("none", "provided", "chain")))


@pytest.mark.parametrize("name", ["real-esrgan", "real-basicvsr"])
def test_crops_take_no_yuv420(name: str):
    with pytest.raises(ValueError, match="yuv420"):
        Degrader(DEGRADATION.validate_python(name), 4, color="yuv420")


def test_the_usual_degradation_is_bicubic():
    assert Recipe.model_validate(RECIPE).degradation == Bicubic()
