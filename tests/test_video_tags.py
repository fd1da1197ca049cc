"""What rows say of their samples: declared, tagged or guessed, and what a strict build refuses."""

from pathlib import Path
from typing import Any

import pytest
from clips import encode, write_y4m
from clips import formula_planes as planes
from made import MANIFEST

from sr_datasets.catalog import load_manifest
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import guessed_facts, probe, row_tags, with_declared

FACTS = ("matrix", "range", "transfer", "siting")


def y4m(tmp_path: Path, pixel_format: str = "yuv420p", header: str = "F25:1 Ip C420jpeg") -> Path:
    return write_y4m(tmp_path / "a.y4m", [planes(pixel_format, 64, 48, index) for index in range(2)], header)


def guessed(info: VideoInfo, color: Any = "rgb", **how: Any) -> list[str]:
    return [sentence.split()[0] for sentence in guessed_facts(info, color, **how)]


def test_each_guessed_fact_is_named_with_its_value_its_rule_and_its_field(tmp_path: Path):
    info = probe(y4m(tmp_path, header="F25:1 Ip"))

    assert guessed_facts(info, "rgb") == (
        "matrix bt601 is guessed (by size: bt709 from 720 rows or 1280 columns, bt601 below; bt2020nc where the "
        "transfer is PQ or HLG): declare `matrix`",
        "range limited is guessed (limited for video, full for pictures): declare `range`",
        "transfer bt709 is guessed (bt709 for video, iec61966-2-1 (sRGB) for RGB and pictures): declare `transfer`",
        "siting center is guessed (by the custom of the codec or format): declare `siting`",
    )
    assert guessed(info, "y") == guessed(info, "yuv420") == list(FACTS)


def test_what_is_tagged_or_declared_is_not_guessed(tmp_path: Path):
    path = y4m(tmp_path, header="F25:1 Ip C420jpeg XCOLORRANGE=LIMITED")
    assert guessed(probe(path)) == ["matrix", "transfer"]

    whole = Clip(id="a", matrix="bt709", transfer="smpte170m")
    assert guessed(probe(path, clip=whole)) == []
    color = probe(path, clip=whole).color
    assert (color.transfer, color.transfer_from) == ("smpte170m", "declared")


def test_a_declared_siting_goes_before_the_tag_and_is_none_without_subsampling(tmp_path: Path):
    clip = Clip(id="a", siting="topleft")
    color = probe(y4m(tmp_path), clip=clip).color
    assert (color.siting, color.siting_from) == ("topleft", "declared")

    color = probe(y4m(tmp_path, "yuv444p", "F25:1 Ip C444"), clip=clip).color
    assert (color.siting, color.siting_from) == ("none", "tagged")


def test_the_manifest_may_settle_facts_after_the_clip_came_in(tmp_path: Path):
    info = probe(y4m(tmp_path, header="F25:1 Ip"))
    clip = Clip(id="a", matrix="bt2020nc", range="full", transfer="linear", siting="left")

    settled = with_declared(info, clip)

    assert guessed(settled) == []
    assert [getattr(settled.color, fact) for fact in FACTS] == ["bt2020nc", "full", "linear", "left"]
    assert settled == probe(tmp_path / "a.y4m", clip=clip)
    assert with_declared(info, Clip(id="a")) == info


def test_rgb_keeps_having_no_matrix_whatever_is_declared(tmp_path: Path):
    path = tmp_path / "a.mkv"
    encode(path, [planes("gbrp10le", 64, 48, index) for index in range(2)], pixel_format="gbrp10le")
    clip = Clip(id="a", matrix="bt709", range="limited", siting="left")

    assert with_declared(probe(path), clip).color == probe(path, clip=clip).color == probe(path).color
    # Luma of RGB is our own computation, so only the transfer is not known.
    assert guessed(probe(path), "y") == guessed(probe(path), "rgb") == ["transfer"]
    tags = row_tags(probe(path), "y")
    assert [tags[name] for name in ("matrix", "range", "matrix_from", "range_from", "chroma_filter")] == [
        "bt601",
        "limited",
        "declared",
        "declared",
        "none",
    ]


@pytest.mark.parametrize(
    ("pixel_format", "header", "color", "expected"),
    [
        ("yuv420p", "C420jpeg", "rgb", "linear"),
        ("yuv422p", "C422", "rgb", "linear"),
        ("yuv444p", "C444", "rgb", "none"),
        ("gray", "Cmono", "rgb", "none"),
        ("yuv420p", "C420jpeg", "y", "none"),
        ("yuv420p", "C420jpeg", "yuv420", "none"),
    ],
)
def test_a_row_names_the_filter_that_made_its_chroma(
    tmp_path: Path, pixel_format: str, header: str, color: Any, expected: str
):
    info = probe(y4m(tmp_path, pixel_format, f"F25:1 Ip {header}"))

    assert row_tags(info, color)["chroma_filter"] == expected


def test_rows_of_ffmpegs_conversion_say_what_ffmpeg_took_for_granted(tmp_path: Path):
    large = write_y4m(tmp_path / "a.y4m", [planes("yuv420p", 1280, 720, 0)], "F25:1 Ip C420jpeg")
    info = probe(large)
    assert (info.color.matrix, info.color.matrix_from) == ("bt709", "guessed")

    tags = row_tags(info, "rgb", rgb_from_yuv="swscale-default")

    assert (tags["matrix"], tags["matrix_from"], tags["range"]) == ("bt601", "guessed", "limited")
    assert tags["chroma_filter"] == "swscale-default"
    assert "matrix bt601 is guessed (as the ffmpeg command does): declare `matrix`" in guessed_facts(
        info, "rgb", rgb_from_yuv="swscale-default"
    )
    declared = row_tags(
        probe(large, clip=Clip(id="a", matrix="bt709")), "rgb", rgb_from_yuv="swscale-default"
    )
    assert (declared["matrix"], declared["matrix_from"]) == ("bt709", "declared")


def test_a_manifest_may_say_how_its_colours_are_known(tmp_path: Path):
    facts = "transfer: bt709, siting: left, field_order: top, matrix: bt709, range: limited"
    clip = f"{{id: a, {facts}, mirrors: [], evidence: {{mirrors: UNKNOWN, transfer siting field_order: SEEN page}}}}"
    path = tmp_path / "made.yaml"
    path.write_text(MANIFEST + f"clips: [{clip}]\n", encoding="utf-8")

    (loaded,) = load_manifest(path).clips

    assert (loaded.transfer, loaded.siting, loaded.field_order) == ("bt709", "left", "top")
    assert loaded.evidence_of("siting").where == "page"
