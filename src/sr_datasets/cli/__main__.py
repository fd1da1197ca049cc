"""``python -m sr_datasets.cli`` is ``sr-data``."""

from sr_datasets.cli.start import main

main()
