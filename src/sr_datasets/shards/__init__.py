"""Shards: rows in Parquet files whose pixels can be memory-mapped. ``docs/shards.md`` has the format."""
