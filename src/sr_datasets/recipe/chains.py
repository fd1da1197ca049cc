"""Degradations of several steps, and every degradation as one union."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from sr_datasets.models import Model
from sr_datasets.recipe.degradations import Downscaler
from sr_datasets.recipe.effects import Effect, Resize, SimpleEffect
from sr_datasets.recipe.given import NoLr, Provided
from sr_datasets.recipe.numbers import Weight, check_weights
from sr_datasets.recipe.presets import PRESETS


class OneOf(Effect):
    """One of several steps, drawn for each row."""

    kind: Literal["one-of"] = "one-of"
    """Name of the step."""
    steps: Annotated[tuple["ChainStep", ...], Field(min_length=1)]
    """What is chosen from."""
    weights: tuple[Weight, ...] | None = None
    """How often each is chosen, to any sum; left out: all alike."""

    @model_validator(mode="after")
    def _has_weights_for_all(self) -> "OneOf":
        check_weights(self.weights, len(self.steps), "steps")
        return self

    @property
    def walks(self) -> bool:
        """Whether a number of one of the steps changes from frame to frame."""
        return any(_walks(step) for step in self.steps)


class Shuffle(Effect):
    """Groups of steps in an order that is drawn for each row; inside a group the order stays."""

    kind: Literal["shuffle"] = "shuffle"
    """Name of the step."""
    groups: Annotated[
        tuple[Annotated[tuple["ChainStep", ...], Field(min_length=1)], ...], Field(min_length=2)
    ]
    """The groups."""

    @property
    def walks(self) -> bool:
        """Whether a number of one of the steps changes from frame to frame."""
        return any(_walks(step) for group in self.groups for step in group)


ChainStep = Annotated[Downscaler | SimpleEffect | OneOf | Shuffle, Field(discriminator="kind")]
"""What may be a step of a chain."""

_Size = Literal["hr", "lr", "free"]


class Chain(Model):
    """Steps that follow one another, from HR to LR."""

    kind: Literal["chain"] = "chain"
    """Name of the degradation."""
    name: str = ""
    """What it is called; the name of the preset that it was."""
    steps: tuple[ChainStep, ...] = Field(min_length=1)
    """The steps in order. Where frames are degraded, exactly one of them shrinks, by the recipe's scale."""
    of: Literal["frame", "crop"] = "frame"
    """``frame``: LR is the crop of the degraded frame (or clip, where a step is a video codec); ``crop``: the
    drawn HR crop is degraded by itself, with its own borders, as Real-ESRGAN does."""
    between: Literal["pixels", "floats"] = "pixels"
    """``pixels``: each step's result is rounded to the clip's depth; ``floats``: only the last one's is."""

    @model_validator(mode="after")
    def _goes_from_hr_to_lr(self) -> "Chain":
        size: _Size = "hr"
        for step in self.steps:
            if self.of == "frame":
                _check_step_of_frames(step)
            size = _size_after(step, size, self.of)
        if size != "lr":
            least = "one step must shrink by the recipe's scale (bicubic, lanczos, bd-duf, ...)"
            if self.of == "crop":
                least += ", or the last that resizes must be resize with base: target and factor: 1"
            raise ValueError(f"the steps do not end at the size of LR: {least}")
        return self


def _walks(step: object) -> bool:
    return isinstance(step, Effect | Resize) and step.walks


def _check_step_of_frames(step: object) -> None:
    """Refuse what a chain ``of: frame`` cannot do.

    Raises:
        ValueError: With the way out.
    """
    inner = (
        step.steps
        if isinstance(step, OneOf)
        else [part for group in step.groups for part in group]
        if isinstance(step, Shuffle)
        else []
    )
    for part in inner:
        _check_step_of_frames(part)
    if isinstance(step, Resize):
        raise ValueError(
            "resize is for chains of: crop; frames are shrunk by a downscaler (bicubic, area, ...)"
        )
    if _walks(step):
        raise ValueError("a number that walks needs a chain of: crop, which has a row's frames together")


def _size_after(step: object, size: _Size, of: str) -> _Size:
    """Return which size the picture has after a step.

    Raises:
        ValueError: The step shrinks what is not HR any more, or steps of one choice end at different sizes.
    """
    match step:
        case Resize():
            return "lr" if step.goes_to_lr else "free"
        case OneOf(steps=steps):
            sizes = {_size_after(part, size, of) for part in steps}
            if step.probability < 1:
                sizes.add(size)
            if len(sizes) > 1 and of == "frame":
                raise ValueError("the steps of one-of must all shrink, or none of them")
            return sizes.pop() if len(sizes) == 1 else "free"
        case Shuffle(groups=groups):
            ends = {_size_after_all(group, size, of) for group in groups} - {size}
            if not ends:
                return size
            if of == "frame":
                raise ValueError(
                    "a step of shuffle may not shrink: the other groups would see frames of two sizes"
                )
            changing = sum(_size_after_all(group, size, of) != size for group in groups)
            return ends.pop() if changing == 1 and step.probability == 1 else "free"
        case Effect():
            return size
        case _:
            if size != "hr":
                raise ValueError(
                    f"{getattr(step, 'kind', 'a downscaler')} shrinks HR by the scale, but a step before it has changed "
                    "the size already"
                )
            return "lr"


def _size_after_all(steps: tuple[ChainStep, ...], size: _Size, of: str) -> _Size:
    for step in steps:
        size = _size_after(step, size, of)
    return size


OneOf.model_rebuild()
Shuffle.model_rebuild()


def _kinds(*models: type[Model]) -> tuple[str, ...]:
    return tuple(str(model.model_fields["kind"].default) for model in models)


DOWNSCALERS = _kinds(*get_args(Downscaler))
"""Name of every degradation of one step."""
_GIVEN = _kinds(Provided, NoLr)
_EFFECTS = _kinds(*get_args(SimpleEffect), OneOf, Shuffle)


def _by_name(value: object) -> object:
    """Return what a name stands for: a preset's chain, or a downscaler with its usual settings.

    Raises:
        ValueError: There is no such name.
    """
    if isinstance(value, dict) and "preset" in value:
        if set(value) != {"preset"}:
            raise ValueError("beside preset nothing else may stand: to change a preset, write its chain out")
        value = value["preset"]
        if value not in PRESETS:
            raise ValueError(f"'{value}' is no preset: expected one of {', '.join(PRESETS)}")
    if isinstance(value, str) and value in PRESETS:
        value = PRESETS[value].degradation
    if not isinstance(value, str):
        return _with_tuples(value)
    if value in DOWNSCALERS or value in _GIVEN:
        return {"kind": value}
    if value in _EFFECTS:
        raise ValueError(f"{value} makes no LR by itself: make it a step of a chain (kind: chain)")
    raise ValueError(
        f"'{value}' is neither a preset ({', '.join(PRESETS)}) nor a degradation "
        f"({', '.join((*DOWNSCALERS, *_GIVEN))})"
    )


def _with_tuples(value: object) -> object:
    """Return a value with tuples for lists: behind a validator of our own, strict pydantic takes no lists any more."""
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return tuple(_with_tuples(inner) for inner in value)
    return value


class _OrName:
    """Tells editors that a name may stand for a degradation."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = {"type": "string", "enum": [*PRESETS, *DOWNSCALERS, NoLr.model_fields["kind"].default]}
        preset = {
            "type": "object",
            "properties": {"preset": {"type": "string", "enum": [*PRESETS]}},
            "required": ["preset"],
            "additionalProperties": False,
        }
        return {"anyOf": [names, preset, handler(schema)]}


Degradation = Annotated[
    Annotated[Downscaler | Chain, Field(discriminator="kind")], BeforeValidator(_by_name), _OrName
]
"""How LR is made of HR; in a recipe also the name of a preset or of a downscaler."""
LrOrigin = Annotated[
    Annotated[Downscaler | Chain | Provided | NoLr, Field(discriminator="kind")],
    BeforeValidator(_by_name),
    _OrName,
]
"""A degradation, or LR that is not made here."""
