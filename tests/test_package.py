"""The wheel: whole, small, and at work outside the checkout and without torch."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out_dir)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = out_dir.glob("*.whl")
    return path


def test_the_wheel_ships_every_manifest_and_the_type_marker(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())

    for path in (ROOT / "manifests").rglob("*.yaml"):
        assert f"sr_datasets/{path.relative_to(ROOT)}" in names
    for path in (ROOT / "src" / "sr_datasets" / "report" / "templates").iterdir():
        assert f"sr_datasets/report/templates/{path.name}" in names
    assert "sr_datasets/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]
    assert wheel.stat().st_size < 2_000_000


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
