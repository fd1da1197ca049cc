"""Every command that README.md and the pages show is run: here in a small world, or by the test that is named."""

import gzip
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import encode, formula_clip, formula_planes
from objectstore import ObjectStore, object_store
from servers import FaultServer
from shown import PAGES, ROOT, World, commands_of, words_of, write_pictures
from test_site import parse
from test_youtube import OPEN, SAMPLE, id_for, labels_of, manifest_at, offer_8m, offer_ids
from typer.testing import CliRunner
from youtube_site import EXTRACTOR, Site

from sr_datasets.cli.main import app
from sr_datasets.fetch import reach as reaching

RUN_ELSEWHERE = {
    "docs/evaluating.md": "tests/test_using_pages.py",
    "docs/training.md": "tests/test_training_page.py",
    "docs/upsampling.md": "tests/test_upsampling_page.py",
    "docs/upscaling.md": "tests/test_using_pages.py",
}
"""Pages of which another test runs every line."""

NOT_RUN = {
    "sr-data build-pairs open-30 --out /shared/open --engine ray": "needs Ray: tests/test_engine_ray.py does it",
    "sr-data build-pairs open-30 --out /shared/open --engine ray --ray-address 10.0.0.1:6379": "the same",
    "sr-data quickstart --out quickstart/": "minutes: tests/test_quickstart.py does it with fewer steps",
    "sr-data --install-completion": "changes the user's shell: tests/test_cli_help.py tries what it installs",
    "sr-data --show-completion": "asks which shell has started it: the same",
}
"""Commands that no test can run as they stand, and what does instead. They are parsed at least."""

REFUSED = {"sr-data build-pairs demo --out shards/ --strict-color": "4 facts are guessed"}
"""Commands that show what is refused, with what the error says."""

NAMES = {str(page.relative_to(ROOT)): page for page in PAGES if commands_of(page)}
HERE = [name for name in NAMES if name not in RUN_ELSEWHERE]
MIXED = """
{format: 1, id: mixed, title: Mixed, clips: ["demo/leaves_1", "xiph/*_cif"], scale: 3, color: y,
 sampling: {kind: uniform, patches_per_pair: 8, lr_size: 32}, split: {counts: {test: 1, train: -1}}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as opened:
        yield opened


def run(words: list[str], *, answer: str = "", refusal: str = "") -> str:
    result = CliRunner().invoke(app, words, input=answer)
    if refusal:
        assert result.exit_code == 1
        assert refusal in str(result.exception)
        return result.output
    assert result.exit_code == 0, f"sr-data {' '.join(words)}: {result.output} {result.exception!r}"
    return result.output


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, server: FaultServer) -> World:
    """Make a world with clips in its store, and in its working folder what pages take for granted."""
    pytest.importorskip("torch", reason="needs the torch extra")
    from sr_datasets.espcn.pretrained import pretrained

    world = World(tmp_path_factory.mktemp("world"), server)
    with pytest.MonkeyPatch.context() as patch:
        enter(world, patch)
        write_pictures(world.home / "T91", ["t1", "t2", "t3"], 110, 110, cell=2)
        shutil.copytree(world.home / "T91", world.ready / "T91")
        write_pictures(world.home / "Set14", ["comic"], 66, 60)
        frames = [formula_planes("yuv420p", 96, 80, index) for index in range(4)]
        for folder in (world.home / "clips", world.work / "videos", world.work / "downloads"):
            folder.mkdir()
            for number in range(3):
                encode(folder / f"clip_{number}.avi", frames[number:], pixel_format="yuv420p", codec="ffv1")
        encode(world.work / "small.mp4", frames, pixel_format="yuv420p", codec="libx264")
        (world.ready / "model").mkdir()
        shutil.copyfile(pretrained()["espcn-x3"].path, world.ready / "model" / "model.safetensors")
        run(["fetch", "demo", "xiph", "uvg", "vid4", "set5", "set14"])
        run(["import", "t91", str(world.home / "T91")])
        run(["import", "cdvl", "downloads"])
        write_pictures(world.home / "REDS" / "train-000", [f"{number:08}" for number in range(4)], 96, 80)
        run(["import", "reds", str(world.home / "REDS")])
        (world.work / "mixed.yaml").write_text(MIXED)
        shutil.copyfile(world.manifests / "recipes" / "open-30.yaml", world.ready / "ID.yaml")
        examples = re.findall(
            r"^```yaml\n(.*?)^```", NAMES["docs/manifest.md"].read_text(), re.DOTALL | re.MULTILINE
        )
        (world.ready / "my-recipe.yaml").write_text(examples[1])
        for recipe, folder in (
            ("demo", "shards"),
            ("cdvl-30", "cdvl"),
            ("espcn-t91", "t91"),
            ("open-30", "open"),
            (str(world.work / "mixed.yaml"), "mixed"),
        ):
            run(["build-pairs", recipe, "--out", str(world.ready / folder)])
        run(["push", str(world.ready / "cdvl"), str(world.home / "plan"), "--recipe-only"])
        for file in ("recipe.yaml", "recipes.lock"):
            shutil.copyfile(world.home / "plan" / file, world.ready / file)
    return world


def enter(world: World, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HOME", str(world.home))
    patch.setenv("SR_DATA_HOME", str(world.store.root))
    patch.setenv("XDG_CONFIG_HOME", str(world.manifests.parents[1]))
    patch.chdir(world.work)


@pytest.fixture
def world(
    base: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> World:
    """Return a copy of the world, with the folders in it that a page does not make itself."""
    copy = base.copied(tmp_path)
    enter(copy, monkeypatch)
    return copy


@pytest.fixture
def youtube(world: World, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let YouTube's two sources lead to a local site, whose annotations are real ones with other names of labels."""
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    plugins = tmp_path / "plugins" / "yt_dlp_plugins" / "extractor"
    plugins.mkdir(parents=True)
    (plugins / "localsite.py").write_text(EXTRACTOR)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'plugins'}:{os.environ.get('PYTHONPATH', '')}")
    formula_clip(tmp_path / "v.mkv", width=1280, height=720, num_frames=2)
    shape = {
        "url": "/watch?v={}",
        "ext": "mkv",
        "vcodec": "ffv1",
        "acodec": "none",
        "width": 1280,
        "height": 720,
    }
    with Site() as site:
        for name in ("youtube-8m", "youtube-bb"):
            manifest_at(site, name, "page?v={youtube_id}", world.manifests / "sources")
        sample = (real_data / SAMPLE).read_bytes()
        offer_8m(site, {"validateAA.tfrecord": sample})
        plan = site.files["video_validate.json"].replace(b"validateAA", b"trainAA")
        site.files |= {"video_train.json": plan, "video/train/trainAA.tfrecord": sample}
        by_label = labels_of(real_data)
        label = max(by_label, key=lambda number: len(by_label[number]))
        vocabulary = site.files["vocabulary.csv"].decode()
        site.files["vocabulary.csv"] = vocabulary.replace(f",Label {label},", ",Video game,").encode()
        found = by_label[label][:1]
        offer_ids(site, found)
        rows = [
            f"{'c' * 10}{number},{second}000,7,cat,0,present,0.1,0.9,0.1,0.9"
            for number in range(2)
            for second in range(3)
        ]
        site.files["yt_bb_detection_train.csv.gz"] = gzip.compress("\n".join(rows).encode())
        for video_id in [*map(id_for, found), *(f"{'c' * 10}{number}" for number in range(3))]:
            one = {**shape, "format_id": "one", "url": f"/watch?v={video_id}"}
            site.video(video_id, tmp_path / "v.mkv", license=OPEN, formats=[one])
        yield


def test_every_page_with_commands_is_run_here_or_elsewhere():
    assert set(RUN_ELSEWHERE) <= set(NAMES)
    shown = {line for page in NAMES.values() for line in commands_of(page)}
    assert set(NOT_RUN) <= shown, "the pages do not show these any more"
    for page, module in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / module).read_text(encoding="utf-8")
        text = NAMES[page].read_text(encoding="utf-8")
        seen = "".join(re.findall(r"^```(?:sh\n|\n\$)(.*?)^```", text, re.DOTALL | re.MULTILINE))
        assert all(line in seen for line in commands_of(NAMES[page])), f"{module} runs blocks of sh alone"


@pytest.mark.parametrize("line", NOT_RUN)
def test_commands_that_are_not_run_are_commands(line: str):
    if not line.endswith("-completion"):
        parse(next(words_of(line, {})))


@pytest.mark.torch
@pytest.mark.parametrize("name", HERE)
def test_the_commands_of_a_page_run(
    name: str,
    world: World,
    s3: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    if "youtube" in name:
        pytest.importorskip("yt_dlp", reason="needs the youtube extra")
        request.getfixturevalue("youtube")
    monkeypatch.setattr("sr_datasets.cli.forget._has_terminal", lambda: True)
    monkeypatch.setattr(
        reaching, "reach", lambda urls: [reaching.Answer(url, 0.1, 200, "is there") for url in urls]
    )
    places = {
        "~/": f"{world.home}/",
        "/shared/": f"{world.work}/shared/",
        "/mnt/nas/": f"{world.work}/nas/",
        "--workers 8": "--workers 2",
        "$SLURM_ARRAY_TASK_ID": "4",
        "$SLURM_CPUS_PER_TASK": "2",
        "hf://datasets/USER/NAME": f"{world.work}/hub",
    }
    for line in commands_of(NAMES[name]):
        for words in words_of(line, places) if line not in NOT_RUN else ():
            words = [
                s3.address(f"{Path(name).stem}/{word.removeprefix('s3://bucket/')}")
                if word.startswith("s3:")
                else word
                for word in words
            ]
            if words[0] == "train":
                words += ["--steps", "4"]
            world.bring(words, {"shards": "mixed"} if name == "docs/looking.md" else {})
            run(words, answer="y\n", refusal=REFUSED.get(line, ""))
