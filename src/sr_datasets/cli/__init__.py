"""The ``sr-data`` command: options in, one library call, text out."""
