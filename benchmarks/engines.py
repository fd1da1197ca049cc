"""What Ray costs: the same recipe built by two processes of this machine and by a Ray cluster with two CPUs on it, in turns.

``python benchmarks/engines.py RECIPE --ray-address HOST:PORT``, when ``ray start --head --num-cpus 2`` runs. The cluster is
up, and has run a build before the first one that counts; both make the same bytes, or this fails.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

from sr_datasets.build import build_pairs
from sr_datasets.catalog import find_recipe
from sr_datasets.engine import RayCluster, Workers
from sr_datasets.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--ray-address", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    compare(options.recipe, RayCluster(options.ray_address), Store(), rounds=options.rounds)


def compare(recipe: str, cluster: RayCluster, store: Store, *, rounds: int) -> None:
    engines: dict[str, Workers] = {"ray": cluster, "local": 2}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    digests = set()
    for number in range(rounds + 1):
        for name, workers in engines.items():
            with tempfile.TemporaryDirectory(prefix="engines-") as folder:
                start = perf_counter()
                report = build_pairs(
                    find_recipe(recipe), out_dir=Path(folder) / "set", store=store, workers=workers
                )
                if number:
                    seconds[name].append(perf_counter() - start)
            digests.add(report.content_digest)
    if len(digests) != 1:
        raise SystemExit("the engines made different sets")
    print(f"{sum(report.pairs.values())} clips, {report.num_shards} shards, {report.num_rows} rows")
    for name, found in seconds.items():
        print(f"{name}: {statistics.median(found):.2f} s ({', '.join(f'{one:.2f}' for one in found)})")
    ratio = statistics.median(seconds["ray"]) / statistics.median(seconds["local"])
    print(f"ray / local: {ratio:.2f}; load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
