"""What a shard set says of itself, whether its files are whole, what its pixels are like, how two sets differ."""

from sr_datasets.inspect.rows import describe_row, locate_row
from sr_datasets.inspect.summary import SetReport, inspect_set

__all__ = ["SetReport", "describe_row", "inspect_set", "locate_row"]
