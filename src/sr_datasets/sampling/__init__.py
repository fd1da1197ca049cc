"""Which frames and positions become rows: what pictures are like, keyed draws and plans, from arrays and numbers alone."""

from sr_datasets.draws import KeyedDraws
from sr_datasets.keys import digest_of
from sr_datasets.sampling.analysis import ANALYSIS_VERSION, Analyser, Analysis, analyse
from sr_datasets.sampling.dealing import deal, deal_together, shares
from sr_datasets.sampling.modes import (
    FirstDraws,
    Spacing,
    first_draws,
    grid_rows,
    patches_of_frame,
    stratified_rows,
    tile_rows,
    uniform_rows,
)
from sr_datasets.sampling.plan import ClipSize, RowPlan, chunked, keyed_order, row_groups
from sr_datasets.sampling.space import Looks, Patch, Space

__all__ = [
    "ANALYSIS_VERSION",
    "Analyser",
    "Analysis",
    "ClipSize",
    "FirstDraws",
    "KeyedDraws",
    "Looks",
    "Patch",
    "RowPlan",
    "Space",
    "Spacing",
    "analyse",
    "chunked",
    "deal",
    "deal_together",
    "digest_of",
    "first_draws",
    "grid_rows",
    "keyed_order",
    "patches_of_frame",
    "row_groups",
    "shares",
    "stratified_rows",
    "tile_rows",
    "uniform_rows",
]
