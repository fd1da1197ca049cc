"""Which frames and positions become rows: keyed draws and plans, from numbers alone."""

from sr_datasets.draws import KeyedDraws
from sr_datasets.keys import digest_of
from sr_datasets.sampling.plan import (
    ClipSize,
    RowPlan,
    chunked,
    deal,
    grid_rows,
    keyed_order,
    uniform_rows,
)

__all__ = [
    "ClipSize",
    "KeyedDraws",
    "RowPlan",
    "chunked",
    "deal",
    "digest_of",
    "grid_rows",
    "keyed_order",
    "uniform_rows",
]
