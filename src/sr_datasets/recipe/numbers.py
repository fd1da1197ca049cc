"""Numbers that a recipe fixes, or leaves to the draws of a row."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from sr_datasets.models import Model

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that is neither infinite nor undefined."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A probability."""
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""How often something is chosen, beside the others."""


class Range(Model):
    """A number drawn evenly between two, for each row anew."""

    low: Finite
    """Least value."""
    high: Finite
    """Greatest value."""
    walk: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Greatest change from one frame of the row to the next, drawn evenly on both sides; the value stays inside the
    range. 0: the same for all frames."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low is {self.low}, high {self.high}: low may not be greater")
        return self


class Choices(Model):
    """One of several numbers or ranges, drawn for each row anew."""

    choices: Annotated[tuple[Finite | Range, ...], Field(min_length=1)]
    """What is chosen from; a range is drawn evenly."""
    weights: tuple[Weight, ...] | None = None
    """How often each is chosen, to any sum; left out: all alike."""
    walk: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Greatest change from one frame of the row to the next; the value stays between the least and the greatest of
    all choices."""

    @model_validator(mode="after")
    def _has_weights_for_all(self) -> "Choices":
        check_weights(self.weights, len(self.choices), "choices")
        if any(isinstance(choice, Range) and choice.walk for choice in self.choices):
            raise ValueError("the walk of choices stands beside them, not in one of their ranges")
        return self


def _tag(value: Any) -> str:
    if isinstance(value, Range) or (isinstance(value, dict) and {"low", "high"} & set(value)):
        return "range"
    return "choices" if isinstance(value, Choices | dict) else "number"


Number = Annotated[
    Annotated[Finite, Tag("number")] | Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(_tag),
]
"""A number, ``{low, high, walk}`` or ``{choices, weights, walk}``."""


def limits(number: float | Range | Choices) -> tuple[float, float]:
    """Return the least and the greatest value that a number can take."""
    match number:
        case Range(low=low, high=high):
            return low, high
        case Choices(choices=choices):
            ends = [limits(choice) for choice in choices]
            return min(low for low, _ in ends), max(high for _, high in ends)
        case _:
            return number, number


def is_drawn(number: float | Range | Choices) -> bool:
    """Tell whether a number is left to draws."""
    return isinstance(number, Range | Choices)


def walks(number: float | Range | Choices) -> bool:
    """Tell whether a number changes from frame to frame."""
    return isinstance(number, Range | Choices) and number.walk > 0


def check_limits(name: str, number: float | Range | Choices, least: float, greatest: float) -> None:
    """Refuse a number that can leave its limits.

    Raises:
        ValueError: It can.
    """
    low, high = limits(number)
    if low < least or high > greatest:
        found = f"{low:g}" if low == high else f"{low:g}..{high:g}"
        raise ValueError(f"{name} is {found}, must be within {least:g}..{greatest:g}")


def check_weights(weights: tuple[float, ...] | None, count: int, what: str) -> None:
    """Refuse weights that are not one for each choice, or all 0.

    Raises:
        ValueError: They are not.
    """
    if weights is not None and (len(weights) != count or not sum(weights) > 0):
        raise ValueError(f"{len(weights)} weights for {count} {what}: one for each, not all 0")
