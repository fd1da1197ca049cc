"""Seconds and bytes of looking at a set of 3000 rows: statistics, a contact sheet, the page, a comparison.

Run: python benchmarks/set_report.py [--rows 3000] [--work FOLDER]. The set is built of the generated clips (R'G'B', x3,
LR 32x32, HR 96x96), so it needs neither material nor network; it is made once per FOLDER. Wall time of one process.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from sr_datasets import catalog
from sr_datasets.build import build_pairs
from sr_datasets.files import human_bytes
from sr_datasets.ingest import fetch_clips
from sr_datasets.inspect import choose_rows, compare_sets, measure_set, set_statistics
from sr_datasets.inspect.measuring import MEASURES_NAME
from sr_datasets.progress import Silent
from sr_datasets.report.setpage import write_set_page
from sr_datasets.report.sheets import write_sheet
from sr_datasets.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument(
        "--work", type=Path, help="A folder to keep clips and the set in; left out: a temporary one."
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        look(given.work or Path(temporary), given.rows)


def look(work: Path, rows: int) -> None:
    folder = made(work, rows)
    (folder / MEASURES_NAME).unlink(missing_ok=True)
    copy = work / "copy"
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    num_rows = len(choose_rows(folder).index)
    print(f"{num_rows} rows")
    timed("measuring, nothing known", lambda: measure_set(folder))
    timed("measuring, known before", lambda: measure_set(folder))
    timed("statistics", lambda: set_statistics(choose_rows(folder)).to_text())
    timed("where psnr < 25", lambda: choose_rows(folder, "psnr < 25"))
    timed("sheet of 48 rows", lambda: write_sheet(choose_rows(folder), 48, work / "sheet.png"))
    (folder / MEASURES_NAME).unlink()
    page = timed("page, nothing known", lambda: write_set_page(choose_rows(folder), work / "page.html"))
    print(f"  {human_bytes(page.size_bytes)}, {page.pictured} rows pictured")
    page = timed(
        "page, no pixels", lambda: write_set_page(choose_rows(folder), work / "bare.html", pixels=False)
    )
    print(f"  {human_bytes(page.size_bytes)}")
    timed("comparison with its copy", lambda: compare_sets(folder, copy))


def made(work: Path, rows: int) -> Path:
    """Return the set, built now unless it is there."""
    folder = work / f"set-{rows}"
    recipe = catalog.find_recipe("demo")
    clips = catalog.select(recipe.clips)
    sampling = recipe.sampling.model_copy(update={"patches_per_pair": -(-rows // len(clips))})
    recipe = recipe.model_copy(update={"color": "rgb", "sampling": sampling})
    store = Store(work / "store")
    fetch_clips(clips, store, progress=Silent())
    build_pairs(recipe, out_dir=folder, store=store)
    return folder


def timed(what, call):
    """Print how long a call takes, and return what it returns."""
    start = time.perf_counter()
    found = call()
    print(f"{what:28}{time.perf_counter() - start:8.2f} s")
    return found


if __name__ == "__main__":
    main()
