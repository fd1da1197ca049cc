"""What is known of rows beside their pixels, column by column, for samples and batches."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from sr_datasets.errors import ShardError, nearest_names
from sr_datasets.shards.arrays import arrow_numbers
from sr_datasets.shards.index import fact_names, read_facts


class RowFacts:
    """Columns of a split's rows, read at first touch in each process; pickles as names."""

    def __init__(self, path: Path, split: str | None, columns: Iterable[str]) -> None:
        """Name the columns.

        Raises:
            ShardError: There is no such column; the message has the nearest names.
        """
        self._path, self._split = path, split
        self.columns = tuple(dict.fromkeys(columns))
        if self.columns:
            known = fact_names(path, split)
            for name in self.columns:
                if name not in known:
                    raise ShardError(
                        f"{path}: its rows have no column {name!r}.{nearest_names(name, known)} "
                        f"Columns: {', '.join(known)}."
                    )
        self._cells: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cells": None}

    def of_row(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """Return facts of one row: ``str``, ``int``, ``float`` and ``bool``; lists as int64 tensors."""
        found: dict[str, Any] = {}
        for name in columns:
            cell = self._columns()[name][row]
            if isinstance(cell, pa.Scalar):
                cell = cell.as_py()
                found[name] = torch.tensor(cell) if isinstance(cell, list) else cell
            else:
                found[name] = cell.item()
        return found

    def of_rows(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> dict[str, Any]:
        """Return facts of rows as ``default_collate`` does: tensors of numbers, lists of texts."""
        found: dict[str, Any] = {}
        for name in columns:
            cells = self._columns()[name]
            if isinstance(cells, np.ndarray):
                found[name] = torch.from_numpy(cells[rows])
            else:
                values = cells.take(arrow_numbers(rows)).to_pylist()
                found[name] = torch.tensor(values) if pa.types.is_list(cells.type) else values
        return found

    def table(self) -> pa.Table:
        """Read the columns as a table."""
        return read_facts(self._path, self._split, self.columns)

    def _columns(self) -> dict[str, Any]:
        if self._cells is None:
            table = self.table()
            self._cells = {name: _cells(table.column(name)) for name in self.columns}
        return self._cells


def _cells(column: pa.ChunkedArray) -> Any:
    """Return numbers as a NumPy array, as Python's own types become tensors; others as an Arrow array."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    kind = array.type
    if pa.types.is_boolean(kind) and not array.null_count:
        return np.from_dlpack(pc.cast(array, pa.uint8())).astype(bool)  # to_numpy() would import pandas
    if pa.types.is_integer(kind) and not array.null_count:
        return np.from_dlpack(array).astype(np.int64)
    if pa.types.is_floating(kind):
        return np.from_dlpack(pc.cast(pc.fill_null(array, float("nan")), pa.float64()))
    return array
