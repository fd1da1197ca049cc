"""What a shard set says of itself, whether its files are whole, what its pixels are like, how two sets differ."""

from sr_datasets.inspect.choosing import Choice, choose_rows
from sr_datasets.inspect.comparing import compare_sets
from sr_datasets.inspect.concerns import Concern, find_concerns
from sr_datasets.inspect.difference import Comparison
from sr_datasets.inspect.measuring import Measures, measure_set
from sr_datasets.inspect.provenance import (
    ClipOrigin,
    closed_sources,
    local_mark,
    mark_of_row,
    origins,
    without_grant,
)
from sr_datasets.inspect.rows import describe_row, locate_row, number_of_row, read_index
from sr_datasets.inspect.statistics import SetStatistics, set_statistics
from sr_datasets.inspect.summary import SetReport, inspect_set

__all__ = [
    "Choice",
    "ClipOrigin",
    "Comparison",
    "Concern",
    "Measures",
    "SetReport",
    "SetStatistics",
    "choose_rows",
    "closed_sources",
    "compare_sets",
    "describe_row",
    "find_concerns",
    "inspect_set",
    "local_mark",
    "locate_row",
    "mark_of_row",
    "measure_set",
    "number_of_row",
    "origins",
    "read_index",
    "set_statistics",
    "without_grant",
]
