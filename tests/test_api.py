"""What docs/api.md calls public is there, and is what the listing says; the citation fits the package."""

import difflib
import importlib
import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import sr_datasets
from sr_datasets.errors import MissingExtraError

ROOT = Path(__file__).parents[1]
RENEW = "PYTHONPATH=src python scripts/list_api.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("list_api", ROOT / "scripts" / "list_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its data classes look their module up by name.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(importlib.import_module("sys").modules, "list_api", module)
        spec.loader.exec_module(module)
    return module


def test_nothing_public_has_changed_by_accident(tool: ModuleType):
    listed = tool.LISTING.read_text(encoding="utf-8").splitlines()
    now = tool.listing(tool.public_names(tool.PAGE.read_text(encoding="utf-8"))).splitlines()

    change = "\n".join(difflib.unified_diff(listed, now, "listed", "now", lineterm="", n=0))
    assert not change, (
        f"the public interface has changed:\n{change}\nWhere that is meant, renew the listing with: {RENEW}"
        " and say in CHANGELOG.md what users must change (the policy is in docs/api.md)"
    )


def test_a_changed_signature_is_noticed(tool: ModuleType):
    (line,) = tool.described("sr_datasets.metrics.psnr")

    assert line.startswith("function sr_datasets.metrics.psnr(a: npt.ArrayLike, b: npt.ArrayLike, *, peak")
    with pytest.raises(LookupError, match=r"sr_datasets\.metrics has no psnrr"):
        tool.described("sr_datasets.metrics.psnrr")


def test_every_public_name_can_be_imported_and_has_a_docstring(tool: ModuleType):
    for name in tool.public_names(tool.PAGE.read_text(encoding="utf-8")):
        module, _, last = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), last)
        except MissingExtraError:
            continue  # says in a sentence what to install
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "safetensors"):
                raise
            continue
        if callable(found):
            assert (found.__doc__ or "").strip(), f"{name} has no docstring"


def test_all_that_the_package_hands_out_is_public(tool: ModuleType):
    public = tool.public_names(tool.PAGE.read_text(encoding="utf-8"))

    assert len(public) == len(set(public))
    assert {f"sr_datasets.{name}" for name in sr_datasets.__all__ if name != "__version__"} <= set(public)
    errors = importlib.import_module("sr_datasets.errors")
    tree = {
        name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, Exception)
    }
    assert {f"sr_datasets.errors.{name}" for name in tree} <= set(public)


def test_the_citation_file_fits_the_package():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert set(cff) >= {"cff-version", "message", "title", "authors"}  # what the format asks for
    assert cff["cff-version"] == "1.2.0"
    assert (cff["title"], cff["version"], cff["license"]) == (
        project["name"],
        project["version"],
        project["license"],
    )
