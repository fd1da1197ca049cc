"""Pages show the stored results of benchmarks, as scripts/make_pages.py writes them."""

import importlib.util
import re
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def loaded(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stored = loaded(ROOT / "benchmarks" / "stored.py")


def names_shown() -> dict[str, set[str]]:
    """Return for each result the tables that pages show; all of them are meant by the empty name."""
    shown: dict[str, set[str]] = {}
    for page in PAGES:
        for name, table in re.findall(
            r"^<!-- result ([\w-]+)(?: (.+))? -->$", page.read_text(encoding="utf-8"), re.M
        ):
            shown.setdefault(name, set()).add(table)
    return shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_its_results_as_they_are_stored(page: Path):
    text = page.read_text(encoding="utf-8")

    assert len(re.findall(r"^<!-- (?:result .*|end of result) -->$", text, re.M)) == 2 * len(
        stored.MARKED.findall(text)
    )
    assert stored.with_results(text) == text, "run python scripts/make_pages.py"


def test_every_stored_result_is_shown():
    shown = names_shown()

    assert {path.stem for path in stored.RESULTS.iterdir()} == set(shown)
    for name, tables in shown.items():
        assert "" in tables or tables == set(stored.load(name)["tables"]), name


@pytest.mark.parametrize("path", sorted(stored.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_stored_result_is_whole(path: Path):
    result = stored.load(path.stem)

    assert set(result) <= {"command", "conditions", "machine", "date", "load", "tables", "figures"}
    assert path.read_text(encoding="utf-8") == stored.as_text(result), "keep one line a row"
    commands = [result["command"]] if isinstance(result["command"], str) else result["command"]
    scripts = [script for command in commands for script in re.findall(r"benchmarks/\w+\.py", command)]
    for script in scripts:
        assert (ROOT / script).is_file(), f"{path.name} names {script}"
    assert result["tables"]
    for rows in result["tables"].values():
        assert len(rows) > 1
        assert len({len(row) for row in rows}) == 1
        assert not [cell for row in rows for cell in row if isinstance(cell, str) and "\n" in cell]


def test_a_run_is_stored_with_its_command_and_shown_between_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored, "RESULTS", tmp_path)
    monkeypatch.setattr(
        "sys.argv",
        ["/home/me/benchmarks/speed.py", "--save", "fast", "--rounds", "3", str(tmp_path / "a"), "/x/b.y4m"],
    )
    monkeypatch.setenv("SR_TEST_DATA", str(tmp_path))
    monkeypatch.setenv("SR_BENCH_MACHINE", "an abacus")

    tables = {"first": [["what", "rows"], ["all", 12345]], "second": [["what", "seconds"], ["all", 0.25]]}
    stored.save("fast", tables, conditions="cold", figures={"raw": 1})
    page = "Words.\n\n<!-- result fast second -->\n| stale |\n<!-- end of result -->\n\n<!-- result fast -->\n<!-- end of result -->\n"
    new = stored.with_results(page)

    assert stored.load("fast")["command"] == "python benchmarks/speed.py --rounds 3 DATA/a b.y4m"
    assert stored.load("fast")["figures"] == {"raw": 1}
    said = new.split("\n\n")[2]
    assert said.startswith("`python benchmarks/speed.py --rounds 3 DATA/a b.y4m`, an abacus, 20")
    assert said.endswith(": cold.")
    assert new.count("an abacus") == 1
    assert "| what | seconds |\n|---|---|\n| all | 0.25 |\n" in new
    assert "first:\n\n| what | rows |\n|---|---|\n| all | 12,345 |\n" in new
    assert "stale" not in new
    assert stored.with_results(new) == new
    assert "an abacus, " not in stored.with_results("On an abacus.\n" + page)
