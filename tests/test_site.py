"""The pages of the site: every page has its place, every command is one that exists, every recipe builds."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from made import made_store
from typer.main import get_command
from typer.testing import CliRunner

from sr_datasets.build import build_pairs
from sr_datasets.catalog import find_clips, load_recipe
from sr_datasets.cli.main import app
from sr_datasets.recipe import ClipFilter, Split
from sr_datasets.shards.verify import verify_set

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIALS = sorted(DOCS.glob("tutorials/*.md"))
PAGES = [DOCS / "quickstart.md", DOCS / "cookbook.md", DOCS / "faq.md", *TUTORIALS]


def commands_of(page: Path, language: str = "(?:sh)?") -> list[list[str]]:
    """Return each line of the page's blocks of commands that begins with sr-data, as words."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("sr-data ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def named_in_text(page: Path) -> list[list[str]]:
    """Return the commands in running text that could be typed as they stand."""
    found = re.findall(r"`sr-data ([^`]+)`", page.read_text(encoding="utf-8"))
    return [shlex.split(text) for text in found if not re.search(r"\.\.\.|\b[A-Z]{2,}\b|COMMAND", text)]


def parse(words: list[str]) -> None:
    """Let a command read its words, without running it; a usage error is an exception."""
    command = get_command(app)
    context = command.make_context("sr-data", list(words), resilient_parsing=False)
    while commands := getattr(context.command, "commands", None):
        rest = [*context._protected_args, *context.args]
        name = rest[0]
        assert name in commands, f"there is no command {name}"
        if not rest[1:]:
            return  # a command that is named, not shown
        context = commands[name].make_context(name, rest[1:], parent=context)


def nav_files(entries: list[object]) -> list[str]:
    files = []
    for entry in entries:
        assert isinstance(entry, dict)
        for value in entry.values():
            files += nav_files(value) if isinstance(value, list) else [value]
    return files


def test_every_page_has_one_place_in_the_navigation():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    files = nav_files(config["nav"])

    there = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert sorted(files) == there, "mkdocs.yml: nav has to name every page of docs/ once"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_exists(page: Path):
    commands = commands_of(page) + named_in_text(page)
    assert commands
    for words in commands:
        if words == ["--install-completion"] or words == ["--show-completion"]:
            continue
        try:
            parse(words)
        except Exception as error:
            raise AssertionError(f"{page.name}: sr-data {shlex.join(words)}: {error}") from error


def test_the_groups_of_the_tutorials_hold_as_many_clips_as_they_say():
    said = [
        (selection, int(count))
        for page in TUTORIALS
        for selection, count in re.findall(
            r"^\| `([a-z0-9-]+:[a-z0-9-]+)` \| (\d+) \|", page.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    ]
    assert len(said) == 15
    for selection, count in said:
        assert len(find_clips([selection]).clips) == count, selection
    xiph = (DOCS / "tutorials" / "xiph.md").read_text(encoding="utf-8")
    clips = find_clips(["xiph"]).clips
    assert xiph.partition("\n\n")[2].startswith(f"{len(clips)} raw clips")
    proven = sum(bool(one.clip.sha256 or one.clip.sha1 or one.clip.md5) for one in clips)
    assert f"{proven} of them carry a checksum" in xiph


def test_the_clips_of_vid4_are_those_of_its_table():
    page = (DOCS / "tutorials" / "vid4.md").read_text(encoding="utf-8")

    for one in find_clips(["vid4"]).clips:
        assert f"| `{one.clip.id}` | {one.clip.width}x{one.clip.height} | {one.clip.num_frames} |" in page


def recipes_of_the_cookbook() -> dict[str, str]:
    text = (DOCS / "cookbook.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return {yaml.safe_load(block)["id"]: block for block in blocks}


@pytest.mark.parametrize("recipe_id", recipes_of_the_cookbook())
def test_every_recipe_of_the_cookbook_builds(recipe_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = made_store(tmp_path, monkeypatch)
    path = tmp_path / f"{recipe_id}.yaml"
    path.write_text(recipes_of_the_cookbook()[recipe_id], encoding="utf-8")
    recipe = load_recipe(path)
    if recipe.degradation.kind == "provided":
        return  # needs two sources of one publisher: tests/test_build_given.py

    # The same recipe on small clips of noise, with small patches, few of them.
    size: dict[str, object] = {"lr_size": 8}
    if recipe.sampling.kind != "grid":
        size |= {"patches_per_pair": 3, "margin": 0}
    if recipe.degradation.kind == "none":
        size["margin"] = 0
        recipe = recipe.model_copy(
            update={"degradation": recipe.degradation.model_copy(update={"halo": 8}), "scale": 2}
        )
    small = recipe.model_copy(
        update={
            "clips": ("made",),
            "where": ClipFilter(),
            "present_only": True,
            "limit": 3,
            "sampling": recipe.sampling.model_copy(update=size),
            "split": Split(counts={"val": 1, "train": -1}),
        }
    )
    if small.color == "yuv420":
        small = small.model_copy(update={"clips": ("made/clip0", "made/clip2", "made/clip4")})
    build_pairs(small, out_dir=tmp_path / "set", store=store)

    assert verify_set(tmp_path / "set") == []


@pytest.mark.slow  # computes the demo clips; tests/test_quickstart.py runs the one command in every run
@pytest.mark.torch
def test_the_quick_start_step_by_step_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch", reason="needs the torch extra")
    monkeypatch.setenv("SR_DATA_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    page = DOCS / "quickstart.md"
    steps = [words for words in commands_of(page, "sh") if words[0] != "quickstart"]
    assert [words[0] for words in steps].count("build-pairs") == 2

    for words in steps:
        if words[0] == "train":
            words[words.index("--steps") + 1] = "5"
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"sr-data {shlex.join(words)}: {result.output} {result.exception}"

    (code,) = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(compile(code, str(page), "exec"), names)
    shapes = [tuple(names["batch"][key].shape) for key in ("lr", "hr")]  # type: ignore[index]
    assert shapes == [(16, 1, 32, 32), (16, 1, 96, 96)]


def test_the_page_of_commands_shows_the_help_of_each(tmp_path: Path):
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "scripts" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)

    page = hooks.on_page_markdown((DOCS / "commands.md").read_text(encoding="utf-8"), page=None)

    assert hooks.MARK not in page
    for name in ("fetch", "build-pairs", "doctor", "manifest check"):
        assert f"## sr-data {name}\n" in page
    assert "sr-data build-pairs demo --out shards/" in page
    link = "see [`train.py`](../src/sr_datasets/espcn/train.py) and [loading](loading.md)"
    assert hooks.on_page_markdown(link, page=None) == "see `train.py` and [loading](loading.md)"


def anchors_of(path: Path) -> set[str]:
    """Return the names that a page's headings get, as mkdocs makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading).strip().lower()
        name, count = re.sub(r"[-\s]+", "-", plain), 0
        while (f"{name}_{count}" if count else name) in found:
            count += 1
        found.add(f"{name}_{count}" if count else name)
    return found


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_every_link_of_a_page_leads_somewhere(page: Path):
    text = re.sub(
        r"^```.*?^```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} leads to {target}, which is not there"
        if anchor and path.suffix == ".md":
            assert anchor in anchors_of(path), f"{page.name} leads to {target}: no such heading"


def test_the_site_builds_without_a_warning(tmp_path: Path):
    if importlib.util.find_spec("mkdocstrings") is None or importlib.util.find_spec("material") is None:
        pytest.skip("needs the docs extra: pip install -e '.[docs]'")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    page = (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    for name in ("sr_datasets.PairDataset", "sr_datasets.build.build_pairs", "sr_datasets.errors.TermsError"):
        assert f'id="{name}"' in page
    assert "sr-data fetch xiph/akiyo_cif vid4" in (tmp_path / "site" / "commands.html").read_text(
        encoding="utf-8"
    )
    # Pages ask nobody for anything: no font, script or style of another host.
    for path in (tmp_path / "site").rglob("*.html"):
        asked = re.findall(
            r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?://[^\"]+)\"", path.read_text("utf-8")
        )
        assert not asked, f"{path.name} asks {asked}"
    shutil.rmtree(tmp_path / "site")
