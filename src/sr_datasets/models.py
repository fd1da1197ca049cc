"""The base of every pydantic model: frozen, strict about unknown keys, documented by docstrings."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema


class Model(BaseModel):
    """Base of the models where text enters: manifests, recipes, lock files, metadata."""

    # defer_build: a worker that is sent a recipe validates none, and so waits for no validators.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)


def _to_fraction(value: object) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, int | str) and not isinstance(value, bool) and (rate := _rate(value)) > 0:
        return rate
    raise ValueError("must be a whole number or an exact ratio such as 30000/1001")


@lru_cache(maxsize=1024)
def _rate(value: int | str) -> Fraction:
    """Return the ratio, 0 for none; clips by the million share few."""
    try:
        return Fraction(value)
    except (ValueError, ZeroDivisionError):
        return Fraction(0)


Rate = Annotated[
    Fraction,
    BeforeValidator(_to_fraction),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["integer", "string"], "pattern": r"^\d+(/\d+)?$"}),
]
"""Frames per second as an exact ratio; text such as ``30000/1001``."""


@contextmanager
def without_collecting() -> Iterator[None]:
    """Make many objects that stay, without the collector looking through all of them again and again meanwhile."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
