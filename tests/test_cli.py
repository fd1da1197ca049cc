"""The command line: fast to start, exit codes, one sentence for what goes wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sr_datasets.cli.console import table
from sr_datasets.cli.main import app

SOURCE = Path(__file__).parents[1] / "src"
HEAVY = ("torch", "av", "pandas", "pyarrow", "numpy", "requests", "rich", "PIL", "yaml", "pydantic")


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run ``sr-data`` in a process of its own, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "sr_datasets.cli", *arguments],
        capture_output=True,
        text=True,
        env={"HOME": str(home), "SR_DATA_HOME": str(home / "store"), "PYTHONPATH": str(SOURCE)},
        check=False,
    )


def test_help_starts_without_any_heavy_library():
    program = (
        "import sys\n"
        "sys.argv = ['sr-data', '--help']\n"
        "from sr_datasets.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    for command in (
        "list",
        "show",
        "fetch",
        "import",
        "verify",
        "build-pairs",
        "inspect",
        "train",
        "evaluate",
        "quickstart",
    ):
        assert command in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "xipf"], ["xipf", "Did you mean xiph?"]),
        (["show", "xiph/akiyo_cff"], ["akiyo_cff", "akiyo_cif"]),
        (["fetch", "nowhere"], ["nowhere"]),
        (["fetch", "cdvl"], ["account", "sr-data import cdvl"]),
        (["fetch", "t91"], ["sr-data import t91"]),
        (["build-pairs", "espcn-t19", "--out", "OUT"], ["espcn-t19", "Did you mean espcn-t91"]),
        (["build-pairs", "missing.yaml", "--out", "OUT"], ["missing.yaml"]),
        (["build-pairs", "espcn-t91", "--out", "OUT"], ["t91/t1", "sr-data"]),
        (["build-pairs", "cdvl-30", "--out", "OUT"], ["cdvl", "import"]),
        (["inspect", "OUT"], ["OUT", "no such folder", "build-pairs"]),
        (["import", "t91", "OUT/nothing"], ["OUT/nothing"]),
    ],
)
def test_what_goes_wrong_is_one_message_and_exit_code_1(
    arguments: list[str], words: list[str], tmp_path: Path
):
    out = str(tmp_path / "out")
    result = run(*[part.replace("OUT", out) for part in arguments], home=tmp_path)

    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith("sr-data: error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word.replace("OUT", out) in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_usage_error_has_exit_code_2(tmp_path: Path):
    result = run("inspect", "somewhere", "--png", "row.png", home=tmp_path)

    assert result.returncode == 2
    assert "--row" in result.stderr


def test_list_fits_80_columns_and_knows_every_source(tmp_path: Path):
    result = run("list", home=tmp_path)

    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    for name in ("demo", "xiph", "vid4", "set5", "t91", "cdvl", "espcn-t91", "cdvl-30", "open-30"):
        assert name in result.stdout
    assert json.loads(run("list", "--json", home=tmp_path).stdout)["sources"]


def test_show_gives_each_fact_with_its_evidence(tmp_path: Path):
    result = run("show", "xiph/akiyo_cif", home=tmp_path)

    assert result.returncode == 0, result.stderr
    assert "45621044" in result.stdout
    assert "[SEEN: " in result.stdout
    assert "sr-data fetch xiph/akiyo_cif" in result.stdout
    facts = json.loads(run("show", "--json", "xiph/akiyo_cif", home=tmp_path).stdout)
    assert facts[0]["clip"]["num_frames"] == 300


def test_show_of_a_source_says_licence_citation_and_clips(tmp_path: Path):
    result = run("show", "vid4", home=tmp_path)

    assert result.returncode == 0, result.stderr
    for word in ("Liu", "calendar", "704x576", "licence"):
        assert word in result.stdout


def test_version_is_printed():
    result = CliRunner().invoke(app, ["--version"])

    assert result.exit_code == 0
    assert result.stdout.startswith("sr-data 0.")


def test_columns_of_numbers_stand_to_the_right():
    assert table([["a", "1"], ["bb", "22"]], header=["name", "n"]) == "name   n\n----  --\na      1\nbb    22"
