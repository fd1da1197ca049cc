"""Results of benchmarks as files, and the pages that show them.

A benchmark stores a run with ``--save [NAME]``: ``benchmarks/results/NAME.json``, a text of one line a row::

    parser = argparse.ArgumentParser(...)
    stored.save_option(parser, "fetch_throughput")
    options = parser.parse_args()
    ...
    stored.save(options.save, {"speed": [["", "curl", "sr-data"], ["one at a time", "874 MB/s", "918 MB/s"]]})

A page shows it between two comments, and ``python scripts/make_pages.py`` writes what stands between them::

    <!-- result fetch_throughput -->
    <!-- end of result -->

That is one line of what was run (command, conditions, machine, date, load) and all its tables; ``<!-- result
fetch_throughput speed -->`` has one table, and the line if the page did not have it yet. The first row of a table is its
head. Texts appear as they are, whole numbers with commas. tests/test_results.py fails when a page and its results differ.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WIDTH = 130
MARKED = re.compile(
    r"^<!-- result ([\w-]+)(?: ([\w -]+?))? -->\n(.*?)^<!-- end of result -->$", re.DOTALL | re.MULTILINE
)
LOAD_BEFORE = os.getloadavg()[0]

Cell = str | int | float
Table = list[list[Cell]]


def save_option(parser: argparse.ArgumentParser, name: str) -> None:
    """Give a benchmark the option ``--save [NAME]``; ``options.save`` is None where it was not asked for."""
    parser.add_argument(
        "--save",
        nargs="?",
        const=name,
        metavar="NAME",
        help=f"store as benchmarks/results/NAME.json ({name})",
    )


def save(
    name: str | None,
    tables: dict[str, Table],
    *,
    conditions: str = "",
    figures: dict[str, Any] | None = None,
) -> None:
    """Store what a run found; with no name, do nothing.

    Args:
        name: Of the file in benchmarks/results, without its ending.
        tables: Name to rows; the first row is the head. Round numbers as they are to be read.
        conditions: What a reader has to know beside command, machine, date and load: versions, page cache, rounds.
        figures: Values for other programs, which no page shows.
    """
    if name is None:
        return
    result: dict[str, Any] = {
        "command": command_line(sys.argv),
        "conditions": conditions,
        "machine": os.environ.get("SR_BENCH_MACHINE") or machine(),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "load": f"{LOAD_BEFORE:.1f} before, {os.getloadavg()[0]:.1f} after",
        "tables": tables,
        "figures": figures,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(as_text({key: value for key, value in result.items() if value}), encoding="utf-8")
    print(f"stored as {path}; python scripts/make_pages.py shows it", file=sys.stderr)


def command_line(arguments: list[str]) -> str:
    """Return what was typed, without ``--save`` and without the folders of one machine."""
    words, data = ["python", f"benchmarks/{Path(arguments[0]).name}"], os.environ.get("SR_TEST_DATA")
    rest = iter(enumerate(arguments[1:], 1))
    for number, word in rest:
        if word == "--save":
            if number + 1 < len(arguments) and not arguments[number + 1].startswith("-"):
                next(rest)
        elif not word.startswith("--save="):
            if data and Path(word).is_relative_to(data):
                word = str(Path("DATA") / Path(word).relative_to(data))
            words.append(Path(word).name if Path(word).is_absolute() else word)
    return shlex.join(words)


def machine() -> str:
    """Return the machine in words; SR_BENCH_MACHINE has better ones."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        model = dict(re.findall(r"^(\S.*?)\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)).get(
            "model name", model
        )
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = ".".join(platform.python_version_tuple()[:2])
    return f"{os.cpu_count()} cores of {model}, {size:.0f} GiB, Python {python}"


def as_text(result: dict[str, Any]) -> str:
    """Return a result as JSON with a line for each row of a table."""
    lines = []
    for key, value in result.items():
        if key == "tables":
            tables = []
            for name, rows in value.items():
                inner = ",\n".join(f"   {json.dumps(row, ensure_ascii=False)}" for row in rows)
                tables.append(f"  {json.dumps(name)}: [\n{inner}\n  ]")
            written = "{\n" + ",\n".join(tables) + "\n }"
        else:
            written = json.dumps(value, ensure_ascii=False, indent=1).replace("\n", "\n ")
        lines.append(f" {json.dumps(key)}: {written}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load(name: str) -> dict[str, Any]:
    """Return a stored result: command, tables, and what is known of conditions, machine, date, load, figures."""
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result


def with_results(page: str) -> str:
    """Return a page with its marked places written anew."""
    hand_written = " ".join(MARKED.sub("", page).split())
    shown: set[str] = set()

    def written(place: re.Match[str]) -> str:
        name, table = place[1], place[2]
        result = load(name)
        parts = [] if name in shown else [about(result, hand_written)]
        shown.add(name)
        chosen = {table: result["tables"][table]} if table else result["tables"]
        for title, rows in chosen.items():
            if len(chosen) > 1:
                parts.append(f"{title}:")
            parts.append("\n".join(markdown_rows(rows)))
        first, last = place[0].partition("\n")[0], "<!-- end of result -->"
        return "\n\n".join([first, *parts, last])

    return MARKED.sub(written, page)


def about(result: dict[str, Any], said: str) -> str:
    """Return one sentence of how a result came to be; a machine that the page names already is left out."""
    commands = [result["command"]] if isinstance(result["command"], str) else result["command"]
    parts = [", then ".join(f"`{command}`" for command in commands)]
    machine, date, load = result.get("machine"), result.get("date"), result.get("load")
    if machine and machine not in said:
        parts.append(machine)
    parts += [date] if date else []
    parts += [f"load {load}"] if load else []
    text = ", ".join(parts)
    if conditions := result.get("conditions"):
        text += f": {conditions}"
    return textwrap.fill(text.rstrip(".") + ".", WIDTH, break_long_words=False, break_on_hyphens=False)


def markdown_rows(rows: Table) -> Iterator[str]:
    """Yield the lines of a table."""
    for number, row in enumerate(rows):
        yield "| " + " | ".join(_shown(cell) for cell in row) + " |"
        if number == 0:
            yield "|" + "---|" * len(row)


def _shown(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
