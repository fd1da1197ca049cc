"""``sr-data upscale``, ``evaluate`` and ``export`` of models: their options, their defaults, their complaints."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the torch extra")

from clips import formula_planes, write_y4m
from PIL import Image, ImageCms
from typer.testing import CliRunner

from sr_datasets.cli.main import app
from sr_datasets.errors import DecodeError, ModelError
from sr_datasets.video import probe

pytestmark = pytest.mark.torch


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.linear_gradient("L").resize((60, 48)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_weights_of_the_package_are_taken_by_scale(picture: Path, tmp_path: Path):
    made = invoke("upscale", picture, tmp_path / "x2.png", "--scale", 2)
    scored = invoke("evaluate", picture, "--scale", 4, "--json")

    assert made.exit_code == 0, made.output
    assert probe(tmp_path / "x2.png").width == 120
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout)["method"].startswith("deep-x4 ")


def test_a_model_may_stand_before_what_is_scored_or_behind_an_option(picture: Path):
    for arguments in (["espcn-x3", picture], [picture, "--model", "espcn-x3"]):
        result = invoke("evaluate", *arguments, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["scale"] == 3


def test_a_changed_protocol_says_so(picture: Path):
    result = invoke(
        "evaluate", "bicubic", picture, "--scale", 2, "--border", 4, "--ssim", "uniform7", "--skip-ends", 0
    )

    assert result.exit_code == 0, result.output
    assert "y-double, changed: Y BT.601 rounded, LR y64, mod-crop scale, border 4" in result.stdout
    assert "SSIM 7x7 uniform" in result.stdout


def test_a_video_is_written_and_the_report_is_json(tmp_path: Path):
    source = write_y4m(tmp_path / "in.y4m", [formula_planes("yuv420p", 32, 24, index) for index in range(3)])

    result = invoke(
        "upscale", source, tmp_path / "out.mp4", "--scale", 2, "--crf", 20, "--threads", 1, "--json"
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames"] == 3
    assert probe(tmp_path / "out.mp4").codec == "h264"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["upscale", "a.png", "out.jpg"], "pictures are written as PNG"),
        (["upscale", "a.png", "out.png", "--device", "tpu"], "tpu is not one of auto, cpu, cuda"),
        (["upscale", "a.png", "out.png", "--precision", "int8"], "int8 is not one of"),
        (["upscale", "a.png", "out.png", "--model", "espcn-x3", "--scale", "2"], "is for x3, not x2"),
        (["upscale", "in.y4m", "out.mkv", "--codec", "vp9"], "takes the codec ffv1 or h264, not vp9"),
        (["upscale", "in.y4m", "out.mkv", "--crf", "20"], "ffv1 is without loss"),
        (["evaluate", "a.png"], "without a model, --scale says which weights"),
        (["evaluate", "espcn-x3"], "name what is to be scored"),
        (["evaluate", "espcn-x3", "a.png", "--ssim", "box"], "box is not one of gaussian11, uniform7"),
        (["export", "espcn-x3", "net.pt"], "a model a file that ends in .onnx or .safetensors, not net.pt"),
        (["export", "espcn-x3"], "name one place"),
    ],
)
def test_a_wrong_option_is_a_usage_error_in_one_sentence(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
):
    write_y4m(tmp_path / "in.y4m", [formula_planes("yuv420p", 32, 24, 0)])
    monkeypatch.chdir(tmp_path)

    result = invoke(*arguments)

    assert result.exit_code == 2, result.output
    assert complaint in " ".join(result.output.replace("│", " ").split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "in.y4m"]


def test_a_model_is_exported_as_safetensors(tmp_path: Path):
    result = invoke("export", "espcn-x2", tmp_path / "net.safetensors", "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["parameters"] == 21284


def test_the_source_is_never_overwritten(picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    clip = write_y4m(tmp_path / "in.y4m", [formula_planes("yuv420p", 32, 24, 0)])
    (tmp_path / "soft.y4m").symlink_to(clip)
    (tmp_path / "hard.png").hardlink_to(picture)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").symlink_to(picture)
    before = {path: path.read_bytes() for path in (clip, picture)}

    for source, out in (
        ("a.png", "a.png"), ("a.png", "hard.png"), ("in.y4m", "./in.y4m"), ("soft.y4m", "in.y4m"), ("in.y4m", "soft.y4m"),
        (".", tmp_path), (".", "other"),
    ):  # fmt: skip
        result = invoke("upscale", source, out, "--scale", 2, "--threads", 1)
        assert result.exit_code == 2, (source, out, result.output)
        assert "which would be overwritten" in " ".join(result.output.replace("│", " ").split())

    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "other" / "a.png").is_symlink()


def test_a_bad_source_is_said_before_the_name_of_the_result(tmp_path: Path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "in.gif")

    for name, complaint in (
        ("empty.png", "is empty"),
        ("text.png", "holds no PNG, JPEG or BMP"),
        ("in.gif", "is no picture that is read here"),
    ):
        result = invoke("upscale", tmp_path / name, tmp_path / "out.png")
        said = " ".join(result.output.replace("│", " ").split()) or str(result.exception)
        assert result.exit_code != 0
        assert complaint in said
        assert "video is written as .y4m" not in said or name == "in.gif"


def test_the_profile_and_the_orientation_of_a_picture_stay(tmp_path: Path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 12), (9, 99, 199)).save(tmp_path / "in.png", icc_profile=profile, exif=exif)

    result = invoke("upscale", tmp_path / "in.png", tmp_path / "out.png", "--scale", 2, "--threads", 1)

    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "out.png") as made:
        made.load()
        assert (made.size, made.info["icc_profile"]) == ((24, 40), profile)


def test_what_is_no_model_is_said(tmp_path: Path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "sr-data.json").write_text("{}")
    (tmp_path / "clip" / "GT").mkdir(parents=True)
    weights = tmp_path / "model.safetensors"
    assert invoke("export", "espcn-x2", weights).exit_code == 0
    before = weights.read_bytes()

    for arguments, complaint in (
        (["export", tmp_path / "set", tmp_path / "net.onnx"], "is a set, no model"),
        (["export", tmp_path, weights], "which would be overwritten"),
        (["upscale", "a.png", "b.png", "--threads", "257"], "less than or equal to 256"),
        (["arch", "foo"], "is no file and no run"),
        (["arch", " "], "nothing is named"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2, result.output
        assert complaint in " ".join(result.output.replace("│", " ").split())
    (tmp_path / "metrics.jsonl").touch()
    assert "a file of a training run" in " ".join(invoke("export", "espcn-x3", weights).output.split())
    assert weights.read_bytes() == before
    result = invoke("evaluate", "bicubic", tmp_path / "clip", "--scale", 2)
    assert str(tmp_path / "clip" / "GT") in str(result.exception)


def test_a_pickled_model_and_a_frame_of_no_size_are_refused_before_anything_is_read(tmp_path: Path):
    pickled = tmp_path / "m.pt"
    pickled.write_bytes(b"PK")
    for command in (
        ["evaluate", pickled],
        ["evaluate", "--model", "deep-x3", pickled],
        ["upscale", pickled, "b.png"],
    ):
        result = invoke(*command)
        assert isinstance(result.exception, ModelError)
        assert "is a pickled model, no picture and no video. Pickled files (.pt, .pth)" in str(
            result.exception
        )

    claims = tmp_path / "a.y4m"
    for size, complaint in (
        (
            "W999999 H999999",
            "claims frames of 999999x999999, 1499998000001 bytes each; 13 bytes stand behind its header",
        ),
        ("W9999 H9999", "claims frames of 9999x9999, 149980001 bytes each; 13 bytes stand behind its header"),
    ):
        claims.write_bytes(f"YUV4MPEG2 {size} F25:1 C420\nFRAME\nabcdefg".encode())
        result = invoke("upscale", claims, tmp_path / "b.mkv")
        assert isinstance(result.exception, DecodeError)
        assert f"{claims}: {complaint}" in str(result.exception)
    assert not (tmp_path / "b.mkv").exists()
