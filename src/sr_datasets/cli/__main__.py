"""``python -m sr_datasets.cli`` is ``sr-data``."""

from sr_datasets.cli.main import main

main()
