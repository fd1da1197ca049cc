"""Manifests of one's own: written from a folder, checked, described to editors, used by every command."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import clips
import jsonschema
import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from sr_datasets import catalog
from sr_datasets.build import build_pairs
from sr_datasets.cli.main import app
from sr_datasets.errors import ManifestError, SrDataError
from sr_datasets.files import sha256_of
from sr_datasets.ingest.describing import describe_folder
from sr_datasets.store import Store
from sr_datasets.yamlfile import YamlFile

MANIFESTS = Path(__file__).parents[1] / "manifests"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("SR_DATA_HOME", str(tmp_path / "store"))


def picture(path: Path, number: int, size: tuple[int, int] = (40, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), number, np.uint8)
    pixels[:, :, 0] = np.arange(size[0])
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a video of each kind, frames, images, raw planes and what is none of these."""
    root = tmp_path / "My clips"
    root.mkdir()
    clips.formula_clip(root / "coded.mkv", num_frames=5)
    frames = [clips.formula_planes("yuv420p", 64, 48, index) for index in range(3)]
    clips.write_y4m(root / "plain 1.y4m", frames)
    raw = b"".join(plane.tobytes() for planes in frames for plane in planes)
    (root / "planes_64x48_25fps_420_8bit.yuv").write_bytes(raw)
    (root / "nameless.yuv").write_bytes(raw)
    for scene in ("a", "b"):
        for number in range(4):
            picture(root / "shots" / scene / f"im{number}.png", number + ord(scene))
    picture(root / "stills" / "cat.png", 3)
    picture(root / "stills" / "dog.png", 4)
    picture(root / "numbered" / "img_1.png", 5, (40, 24))
    picture(root / "numbered" / "img_2.png", 6, (24, 40))
    (root / "broken.mp4").write_bytes(b"\x00" * 300)
    (root / "readme.txt").write_text("nothing")
    picture(root / ".hidden" / "x.png", 9)
    return root


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    if isinstance(result.exception, SrDataError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_folder_becomes_a_manifest_that_loads_and_says_what_was_found(folder: Path, tmp_path: Path):
    made = describe_folder(folder, "mine")
    path = tmp_path / "mine.yaml"
    path.write_text(made.text, encoding="utf-8")

    source = catalog.load_manifest(path)

    found = {clip.id: clip for clip in source.clips}
    assert tuple(found) == made.clip_ids
    assert set(found) == {
        "coded", "plain_1", "planes_64x48_25fps_420_8bit", "a", "b", "cat", "dog", "img_1", "img_2",
    }  # fmt: skip
    coded = found["coded"]
    assert (coded.media, coded.width, coded.height, coded.num_frames) == ("video", 64, 48, 5)
    assert (coded.frame_rate, coded.pixel_format) == (Fraction(30000, 1001), "yuv420p")
    assert coded.sha256 == sha256_of(folder / "coded.mkv")
    assert coded.size_bytes == (folder / "coded.mkv").stat().st_size
    raw = found["planes_64x48_25fps_420_8bit"]
    assert (raw.media, raw.num_frames, raw.frame_rate) == ("raw", 3, 25)
    assert raw.evidence["width"].status == "INFERRED"
    assert raw.evidence["num_frames"].status == "COMPUTED"
    assert (found["a"].media, found["a"].num_frames) == ("frames", 4)
    assert (found["cat"].media, found["cat"].num_frames) == ("image", 1)
    assert source.licenses[source.license].name == "not known"
    assert len(made.left_out) == 2
    assert any("nameless.yuv" in line and "geometry" in line for line in made.left_out)
    assert any("broken.mp4" in line for line in made.left_out)


def test_the_same_folder_gives_the_same_manifest(folder: Path):
    assert describe_folder(folder, "mine") == describe_folder(folder, "mine")


@pytest.mark.parametrize(("choice", "media"), [("frames", "frames"), ("images", "image")])
def test_a_person_may_say_what_pictures_are(tmp_path: Path, choice: str, media: str):
    for number in range(3):
        picture(tmp_path / "pics" / f"{number}.png", number)

    made = describe_folder(tmp_path / "pics", "mine", pictures=choice)  # type: ignore[arg-type]

    assert made.text.count(f"media: {media}") == (1 if media == "frames" else 3)


def test_names_that_would_collide_are_told_apart_by_their_folders(tmp_path: Path):
    for scene in ("day", "night"):
        picture(tmp_path / "all" / scene / "x.png", 1)
        picture(tmp_path / "all" / scene / "X.png", 2)

    made = describe_folder(tmp_path / "all", "mine", pictures="images")

    assert len({name.lower() for name in made.clip_ids}) == 4


@pytest.mark.parametrize(
    "name", ["no", "1e3", "a: b", "# x", 'it\'s "so"', "näïve ☃", "[x]", "*x", "007", "~", "- x"]
)
def test_odd_names_do_not_break_the_yaml(tmp_path: Path, name: str):
    folder = tmp_path / name
    clips.formula_clip((tmp_path / "x.mkv"), num_frames=2)
    folder.mkdir()
    shutil.move(tmp_path / "x.mkv", folder / f"{name}.mkv")

    made = describe_folder(folder, "mine")
    path = tmp_path / "mine.yaml"
    path.write_text(made.text, encoding="utf-8")

    source = catalog.load_manifest(path)
    assert source.title == name
    assert len(source.clips) == 1


@pytest.mark.parametrize(("make", "said"), [
    (lambda root: None, "is no folder"),
    (lambda root: root.mkdir(), "holds no video and no picture"),
    (lambda root: (root.mkdir(), (root / "x.mp4").write_bytes(b"nothing")), "holds no video and no picture that can be read: "),
])  # fmt: skip
def test_a_folder_of_nothing_is_refused(tmp_path: Path, make: object, said: str):
    make(tmp_path / "root")  # type: ignore[operator]

    with pytest.raises(ManifestError, match=said):
        describe_folder(tmp_path / "root", "mine")


def test_an_id_that_names_no_source_is_a_wrong_argument(tmp_path: Path):
    with pytest.raises(ValueError, match="'My clips' cannot name a source"):
        describe_folder(tmp_path, "My clips")


# ---- the commands ------------------------------------------------------------------------------------------


def test_from_a_folder_to_pairs_with_a_manifest_of_ones_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    said = run("manifest", "new", folder)
    path = tmp_path / "my-clips.yaml"
    assert "my-clips.yaml: 9 clips" in said
    assert "not known" in path.read_text()

    assert "a source of 9 clips" in run("manifest", "check", path)
    listed = json.loads(run("list", "my-clips", "--manifest", path, "--json"))
    assert {facts["clip"]: facts["frames"] for facts in listed}["coded"] == 5
    assert "coded" in run("show", "my-clips/coded", "--manifest", path)
    assert "9 clips imported" in run("import", "my-clips", folder, "--manifest", path)
    here = json.loads(
        run("list", "my-clips", "--where", "here=yes media=image", "--manifest", path, "--json")
    )
    assert {facts["clip"] for facts in here} == {"cat", "dog", "img_1", "img_2"}

    recipe = tmp_path / "pairs.yaml"
    recipe.write_text(
        "format: 1\nid: pairs\ntitle: Pairs\nclips: [my-clips]\nwhere: {facts: media=video frames>=3}\nscale: 2\n"
        "color: y\nsampling: {kind: uniform, patches_per_pair: 2, lr_size: 8}\nsplit:\n  counts: {train: -1}\n"
    )
    said = run("build-pairs", recipe, "--out", tmp_path / "set", "--manifest", path)
    assert "2 pairs" in said


def test_a_manifest_is_added_for_its_command_only(folder: Path, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    run("manifest", "new", folder, "--out", path)
    run("list", "mine", "--manifest", path)

    assert "mine" not in catalog.source_ids()
    with pytest.raises(SrDataError, match="there is no source 'mine'"):
        run("list", "mine")


def test_an_added_manifest_goes_before_the_packaged_one_of_its_name(folder: Path, tmp_path: Path):
    path = tmp_path / "vid4.yaml"
    run("manifest", "new", folder, "--out", path)

    with catalog.added_manifests([path]):
        assert len(catalog.find_source("vid4").clips) == 9
    assert len(catalog.find_source("vid4").clips) == 4


def test_the_problems_of_every_added_manifest_are_told(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("format: 7\n")

    with (
        pytest.raises(ManifestError) as caught,
        catalog.added_manifests([tmp_path / "one.yaml", tmp_path / "two.yaml"]),
    ):
        pass
    assert "one.yaml:1: format: found 7" in str(caught.value)
    assert "two.yaml:1: format: found 7" in str(caught.value)


def test_a_file_that_is_there_is_not_replaced_unasked(folder: Path, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("mine")

    result = CliRunner().invoke(app, ["manifest", "new", str(folder), "--out", str(path)])

    assert result.exit_code == 2
    assert path.read_text() == "mine"
    run("manifest", "new", folder, "--out", path, "--force")
    assert "9 clips" in run("manifest", "check", path)


@pytest.mark.parametrize("name", ["mine.txt", "My Clips.yaml"])
def test_a_name_that_is_no_manifest_is_a_usage_error(folder: Path, tmp_path: Path, name: str):
    result = CliRunner().invoke(app, ["manifest", "new", str(folder), "--out", str(tmp_path / name)])

    assert result.exit_code == 2
    assert not (tmp_path / name).exists()


def test_check_tells_every_problem_of_every_file(tmp_path: Path):
    (tmp_path / "bad.yaml").write_text("format: 1\ntitel: x\n")
    (tmp_path / "worse.yaml").write_text("scale: 5\nsplit: {}\n")

    with pytest.raises(ManifestError) as caught:
        run(
            "manifest",
            "check",
            tmp_path / "bad.yaml",
            MANIFESTS / "sources" / "vid4.yaml",
            tmp_path / "worse.yaml",
        )

    said = str(caught.value)
    assert "bad.yaml:2: titel: found a field that is not known here" in said
    assert "worse.yaml:1: scale: found 5, expected 2, 3, 4 or 8" in said
    assert said.splitlines()[0].endswith("problems:")


def test_every_manifest_and_recipe_that_ships_passes_the_check():
    paths = sorted(MANIFESTS.rglob("*.yaml"))

    assert len(run("manifest", "check", *paths).splitlines()) == len(paths)


# ---- the schema --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["source", "recipe"])
def test_the_schema_takes_every_file_that_ships(kind: str):
    schema = json.loads(run("manifest", "schema", kind))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    for path in sorted((MANIFESTS / f"{kind}s").glob("*.yaml")):
        data = YamlFile(path, path.read_text(encoding="utf-8")).data
        assert [error.message for error in validator.iter_errors(data)] == [], path


@pytest.mark.parametrize(("right", "wrong"), [
    ("title:", "titel:"), ("access: download", "access: somehow"), ("width: 720", "width: wide"), ("SEEN", "SAW"),
    ("num_frames: 41", "num_frames: 0"), ("format: 1", "format: 2"),
])  # fmt: skip
def test_the_schema_finds_what_an_editor_should_underline(right: str, wrong: str):
    validator = jsonschema.Draft202012Validator(catalog.json_schema("source"))
    text = (MANIFESTS / "sources" / "vid4.yaml").read_text(encoding="utf-8")
    assert right in text

    data = yaml.safe_load(text.replace(right, wrong, 1))

    assert not validator.is_valid(data)


def test_the_schema_says_of_each_field_what_it_means():
    schema = catalog.json_schema("source")

    assert schema["properties"]["open_ended"]["description"].startswith(
        "Whether clips that the manifest does not"
    )
    assert schema["$defs"]["Clip"]["properties"]["members"]["description"].startswith("Glob patterns")


def test_pairs_of_a_manifest_of_ones_own_need_it_only_while_they_are_chosen(folder: Path, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    run("manifest", "new", folder, "--out", path)
    run("import", "mine", folder, "--manifest", path)
    recipe = tmp_path / "pairs.yaml"
    recipe.write_text(
        "format: 1\nid: pairs\ntitle: Pairs\nclips: [mine/a, mine/b]\nscale: 2\n"
        "sampling: {kind: uniform, patches_per_pair: 2, lr_size: 8}\nsplit:\n  counts: {train: -1}\n"
    )

    with catalog.added_manifests([path]):
        report = build_pairs(catalog.load_recipe(recipe), out_dir=tmp_path / "set", store=Store(), workers=2)

    assert report.num_rows == 4
