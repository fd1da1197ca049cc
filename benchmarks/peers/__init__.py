"""What the loading benchmarks compare with: the storages and loaders that people use for patch pairs."""
