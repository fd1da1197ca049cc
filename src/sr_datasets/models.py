"""The base of every pydantic model: frozen, strict about unknown keys, documented by docstrings."""

from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema


class Model(BaseModel):
    """Base of the models where text enters: manifests, recipes, lock files, metadata."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _to_fraction(value: object) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate > 0:
            return rate
    raise ValueError("must be a whole number or an exact ratio such as 30000/1001")


Rate = Annotated[
    Fraction,
    BeforeValidator(_to_fraction),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["integer", "string"], "pattern": r"^\d+(/\d+)?$"}),
]
"""Frames per second as an exact ratio; text such as ``30000/1001``."""
