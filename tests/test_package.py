"""Wheel and sdist: whole, small, the same each time, and at work outside the checkout and without torch."""

import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(target: str, out_dir: Path, root: Path = ROOT) -> Path:
    """Build a wheel or an sdist of a checkout, without the network, and without a word of warning."""
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out_dir)],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "warning" not in (run.stdout + run.stderr).lower()
    (path,) = out_dir.glob({"wheel": "*.whl", "sdist": "*.tar.gz"}[target])
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("sdist"))


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        return HeaderParser().parsestr(file.read(name).decode())


def test_the_wheel_ships_every_manifest_and_the_type_marker(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())

    for path in (ROOT / "manifests").rglob("*.yaml"):
        assert f"sr_datasets/{path.relative_to(ROOT)}" in names
    for path in (ROOT / "src" / "sr_datasets" / "report" / "templates").iterdir():
        assert f"sr_datasets/report/templates/{path.name}" in names
    assert "sr_datasets/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".orig", ".log"))]


def test_both_are_small_without_the_weights(wheel: Path, sdist: Path):
    weights = [
        path.stat().st_size for path in (ROOT / "src" / "sr_datasets" / "weights").glob("*.safetensors")
    ]
    assert weights
    for path in (wheel, sdist):
        # Weights hardly compress: what is left is the package without them.
        assert path.stat().st_size - sum(weights) < 2_000_000
        assert path.stat().st_size < 2_000_000 + sum(weights)


def test_the_sdist_has_what_the_wheel_is_built_of_and_builds_the_same_wheel(
    wheel: Path, sdist: Path, tmp_path: Path
):
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
        file.extractall(tmp_path, filter="data")
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "docs/api.md"):
        assert name in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", ".ci", ".git/"))]
    (root,) = tmp_path.iterdir()

    again = build("wheel", tmp_path / "wheel", root)

    assert again.read_bytes() == wheel.read_bytes()


def test_the_metadata_says_versions_licence_and_the_pythons_that_were_tried(wheel: Path):
    metadata = metadata_of(wheel)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = (ROOT / "src" / "sr_datasets" / "__init__.py").read_text(encoding="utf-8")

    assert metadata["Version"] == project["version"]
    assert f'__version__ = "{project["version"]}"' in source
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"]), "semantic versions have three numbers"
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    pythons = [line.rpartition(" ")[2] for line in metadata.get_all("Classifier") or () if ":: 3." in line]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_an_installed_wheel_lists_every_source_outside_the_checkout_and_without_torch(
    wheel: Path, tmp_path: Path
):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = (
        "import sys\n"
        f"sys.path[:0] = [{str(site)!r}, {sysconfig.get_path('purelib')!r}, {sysconfig.get_path('platlib')!r}]\n"
        "sys.modules['torch'] = None  # as if it were not installed\n"
        "import sr_datasets; assert sr_datasets.__file__.startswith(sys.path[0]), sr_datasets.__file__\n"
        "import sr_datasets.build, sr_datasets.ingest, sr_datasets.inspect\n"
        "from sr_datasets.cli.main import app\n"
        "sys.argv = ['sr-data', 'list']\n"
        "app()\n"
    )
    # -S: no .pth of the environment can bring the checkout back; -I: no PYTHONPATH, no current folder.
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "SR_DATA_HOME": str(tmp_path / "store")},
        check=False,
    )

    assert run.returncode == 0, run.stderr
    for path in (ROOT / "manifests" / "sources").glob("*.yaml"):
        assert path.stem in run.stdout
