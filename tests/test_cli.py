"""The command line: fast to start, exit codes, one sentence for what goes wrong."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
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
        (["list", "xipf"], ["xipf", "Did you mean xiph?"]),
        (["list", "--where", "heigth>3"], ["heigth", "Did you mean height"]),
        (["list", "--manifest", "OUT/mine.yaml"], ["OUT/mine.yaml", "cannot be read"]),
        (["manifest", "check", "OUT/mine.yaml"], ["OUT/mine.yaml", "cannot be read"]),
        (["manifest", "new", "OUT"], ["OUT is no folder"]),
        (["show", "xipf"], ["xipf", "Did you mean xiph?"]),
        (["show", "xiph/akiyo_cff"], ["akiyo_cff", "akiyo_cif"]),
        (["fetch", "nowhere"], ["nowhere"]),
        (["fetch", "cdvl"], ["account", "-m sr_datasets.cli import cdvl"]),
        (["fetch", "t91"], ["-m sr_datasets.cli import t91"]),
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


def test_list_has_sizes_licences_and_the_way_in_of_each_source(tmp_path: Path):
    sources = run("list", home=tmp_path).stdout.partition("\n\n")[0]
    rows = {line.split()[0]: line for line in sources.splitlines()}

    assert "900" in rows["div2k"]
    assert "4.0 GB" in rows["div2k"]
    assert "144-2160p" in rows["xiph"]
    assert "8 licences" in rows["xiph"]
    assert "import" in rows["cdvl"]
    assert "made here" in rows["demo"]


def test_list_of_a_selection_lists_its_clips(tmp_path: Path):
    result = run("list", "vid4", "xiph/akiyo_cif", home=tmp_path)

    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == [
        "vid4/calendar", "vid4/city", "vid4/foliage", "vid4/walk", "xiph/akiyo_cif",
    ]  # fmt: skip
    facts = json.loads(run("list", "xiph/akiyo_cif", "--json", home=tmp_path).stdout)
    assert facts[0]["rate"] == "30000/1001"
    assert facts[0]["bytes"] == 45621044


def test_list_with_conditions_tells_of_the_clips_that_it_cannot_judge(tmp_path: Path):
    result = run("list", "--where", "height>=2160 bit_depth=10 frames=300", home=tmp_path)

    assert result.returncode == 0
    assert "ShakeNDry_2160p_10bit" in result.stdout
    assert "clips are left out, since a fact that was asked for is not known of them" in result.stderr
    none = run("list", "vid4", "--where", "height>=9000", home=tmp_path)
    assert (none.returncode, none.stdout) == (0, "")
    assert "no clip fits" in none.stderr


def test_show_with_conditions_shows_the_clips_that_fit(tmp_path: Path):
    result = run("show", "vid4", "--where", "height=480", home=tmp_path)

    assert result.returncode == 0, result.stderr
    assert "vid4/foliage" in result.stdout
    assert "vid4/calendar" not in result.stdout


def test_fetch_of_clips_that_do_not_fit_is_an_error(tmp_path: Path):
    result = run("fetch", "vid4", "--where", "height>=9000", home=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith("sr-data: error: no clip fits")


def test_the_list_of_thousands_of_clips_is_quick(tmp_path: Path):
    best = 9.0
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("list", home=tmp_path).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    if yaml.__with_libyaml__:
        assert best < 1.5


def test_show_gives_each_fact_with_its_evidence(tmp_path: Path):
    result = run("show", "xiph/akiyo_cif", home=tmp_path)

    assert result.returncode == 0, result.stderr
    assert "45621044" in result.stdout
    assert "[SEEN: " in result.stdout
    assert "-m sr_datasets.cli fetch xiph/akiyo_cif" in result.stdout
    facts = json.loads(run("show", "--json", "xiph/akiyo_cif", home=tmp_path).stdout)
    assert facts[0]["clip"]["num_frames"] == 300


def test_show_of_a_source_without_clips_says_what_its_licences_ask_and_add(tmp_path: Path):
    text = " ".join(run("show", "cdvl", home=tmp_path).stdout.split())
    (license_,) = json.loads(run("show", "--json", "cdvl", home=tmp_path).stdout)[0]["licenses"].values()
    assert "asks do not pass the files on (" in text
    assert " ".join(license_["terms"].split()) in text
    assert "asks no" in " ".join(run("show", "youtube-8m", home=tmp_path).stdout.split())


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


def test_output_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "sr_datasets.cli", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={"HOME": str(tmp_path), "PYTHONPATH": str(SOURCE)},
            check=False,
        )

    assert result.returncode == 1
    assert result.stderr == "sr-data: error: standard output: No space left on device.\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path):
    command = f"{sys.executable} -m sr_datasets.cli list | head -n 1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"},
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")
