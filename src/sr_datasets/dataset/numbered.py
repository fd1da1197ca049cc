"""Row numbers that know which sample of a run they are."""

from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt


class SampleRow(int):
    """A row's number, and the number n of the sample that it is; a plain ``int`` to everybody else."""

    number: int
    """Which sample of the run, from 0."""

    def __new__(cls, row: int, number: int) -> "SampleRow":
        """Name a row and a sample."""
        made = super().__new__(cls, row)
        made.number = number
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return SampleRow, (int(self), self.number)


class SampleRows(list[int]):
    """Row numbers of a batch, and which samples they are; a plain list to everybody else."""

    def __init__(
        self, rows: Iterable[SupportsIndex] = (), *, first: int = 0, step: int = 1, near: bool = False
    ) -> None:
        """Name the samples.

        Args:
            rows: Row numbers.
            first: Number of the first sample.
            step: From one sample's number to the next one's.
            near: They are of an order that takes a few row groups at a time, each of them whole.
        """
        super().__init__(rows)  # type: ignore[arg-type]
        self.first, self.step, self.near = first, step, near

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Which samples they are, ``(N,)``."""
        return self.first + self.step * np.arange(len(self), dtype=np.int64)


def sample_numbers(index: Any) -> npt.NDArray[np.int64] | None:
    """Return which samples a list of row numbers names; None when it does not say."""
    if isinstance(index, SampleRows):
        return index.numbers
    if isinstance(index, list) and index and all(isinstance(row, SampleRow) for row in index):
        return np.array([row.number for row in index], np.int64)
    return None
