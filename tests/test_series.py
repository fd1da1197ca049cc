"""A series stands for clips that differ by name only: every id, every mistake."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from servers import FaultServer

from sr_datasets import catalog
from sr_datasets.errors import ManifestError
from sr_datasets.ingest import fetch_clips
from sr_datasets.manifest import ClipSeries, names_of
from sr_datasets.progress import Silent
from sr_datasets.store import Store

GOOD = """\
format: 1
id: numbered
title: Pictures that are numbered through
description: Twelve of them.
access: download
citation:
  text: Somebody, 2024.
licenses:
  open:
    name: CC BY 4.0
license: open
groups:
  first: ["000?"]
archives:
- id: all.zip
  mirrors: [https://example.org/all.zip]
  evidence: {mirrors: SEEN example.org}
clips:
- id: cover
  mirrors: [https://example.org/cover.png]
  media: image
  evidence: {mirrors: SEEN example.org}
series:
- ids: ["{0008..0012}"]
  media: image
  archive: all.zip
  members: ["all/{part}.png", "**/{id}.png"]
  num_frames: 1
  notes: Number {part}.
  evidence:
    num_frames: SEEN one picture
- ids: ["{bear, bus}-full", plain]
  media: frames
  mirrors: ["https://example.org/{id}.zip"]
  evidence: {mirrors: SEEN example.org}
"""


def problems_of(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        catalog.load_manifest(path)
    return [line.replace(f"{path.parent}/", "") for line in str(caught.value).splitlines()]


def test_a_series_becomes_clips_that_follow_those_written_out(tmp_path: Path):
    path = tmp_path / "numbered.yaml"
    path.write_text(GOOD, encoding="utf-8")

    source = catalog.load_manifest(path)

    assert [clip.id for clip in source.clips] == [
        "cover", "0008", "0009", "0010", "0011", "0012", "bear-full", "bus-full", "plain",
    ]  # fmt: skip
    assert source.series == ()
    ninth = source.clips[2]
    assert ninth.members == ("all/0009.png", "**/0009.png")
    assert ninth.notes == "Number 0009."
    assert ninth.evidence["num_frames"].where == "one picture"
    assert source.clips[6].mirrors == ("https://example.org/bear-full.zip",)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("{0008..0012}", "{0012..0008}", "series[0].ids[0]: found '{0012..0008}', which has a range from 0012 to 0008: it must ascend"),
        ("{0008..0012}", "{08..0012}", "found '{08..0012}', which has a range from 08 to 0012: write both with as many digits"),
        ("{0008..0012}", "{1..999999}", "it must ascend, and hold at most 100000 numbers"),
        ("{0008..0012}", "{8-12}", "found '{8-12}', which has {8-12}, which is no range"),
        ("{0008..0012}", "{0008..0012", "which has other braces than those of one range or list"),
        ("{0008..0012}", "{1..2}{3..4}", "which has other braces"),
        ("{0008..0012}", "x y{1..2}", "found 'x y1', expected letters, digits, dots, hyphens and underscores"),
        ("{bear, bus}", "{bear, b us}", "series[1].ids[0]: found 'b us-full', expected letters, digits"),
        ("{bear, bus}", "{bear,}", "which is no range such as {001..240} and no list such as {bear,bus}"),
        ("plain]", "COVER]", "series[1].ids[1]: found 'COVER' beside 'cover', which is the same file on a disk"),
        ("plain]", '"{0010..0011}"]', "series[1].ids[1]: found '0010' a second time, expected each id once"),
        ('"all/{part}.png"', '"all/*.png"', "series[0].members[0]: found 'all/*.png', expected {id} or {part} in it: the clips differ"),
        ("/{id}.zip", "/x.zip", "series[1].mirrors[0]: found 'https://example.org/x.zip', expected {id} or {part} in it"),
        ("  notes: Number", "  size_bytes: 3\n  notes: Number", "series[0].size_bytes: found a size_bytes of a series: each of its clips has its own"),
        ("  archive: all.zip\n  members", "  archive: al.zip\n  members", "series[0].archive: found the archive 'al.zip', expected one of all.zip"),
        ("    num_frames: SEEN one picture", "    width: SEEN x", "series[0].num_frames: found without evidence"),
        ("  mirrors: [\"https://example.org/{id}.zip\"]\n", "", "series[1].evidence.mirrors: found evidence, but no `mirrors`"),
        ('first: ["000?"]', 'first: ["0007"]', "groups.first[0]: found '0007', which fits no clip"),
        ("- ids: [\"{0008..0012}\"]", "- ids: []", "series[0].ids: found a list of 0"),
        ("  members:", "  id: x\n  members:", "series[0].id: found a field that is not known here"),
    ],
)  # fmt: skip
def test_a_wrong_series_says_what_was_found_and_what_was_expected(
    tmp_path: Path, right: str, wrong: str, said: str
):
    assert right in GOOD

    found = problems_of(tmp_path / "numbered.yaml", GOOD.replace(right, wrong))

    assert any(said in line for line in found), found


def test_the_problem_of_a_series_comes_with_its_line(tmp_path: Path):
    found = problems_of(tmp_path / "numbered.yaml", GOOD.replace("{0008..0012}", "{0012..0008}"))

    line = next(number for number, text in enumerate(GOOD.splitlines(), 1) if "0008..0012" in text)
    assert any(text.startswith(f"numbered.yaml:{line}: series[0].ids[0]") for text in found)


@given(st.integers(0, 3000), st.integers(0, 400), st.integers(1, 5))
def test_a_range_has_each_number_once_in_its_width(first: int, more: int, width: int):
    text = f"a{{{first:0{width}}..{first + more:0{width}}}}b"
    try:
        names = names_of(text)
    except ValueError:
        assert f"{first:0{width}}".startswith("0")
        assert len(f"{first:0{width}}") != len(f"{first + more:0{width}}")
        return

    assert [int(part) for _, part in names] == list(range(first, first + more + 1))
    assert all(name == f"a{part}b" for name, part in names)
    assert names[0][1] == f"{first:0{width}}"


@given(st.text(max_size=40))
def test_no_text_of_ids_fails_in_any_other_way(text: str):
    try:
        names = names_of(text)
    except ValueError:
        return
    assert names


def test_fetching_a_series_brings_every_picture_of_its_archive(tmp_path: Path):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for number in range(1, 41):
            picture = io.BytesIO()
            Image.new("RGB", (8, 6), (number, 0, 0)).save(picture, "PNG")
            archive.writestr(f"all/{number:04}.png", picture.getvalue())
    store = Store(tmp_path / "store")
    path = tmp_path / "numbered.yaml"
    with FaultServer({"all.zip": body.getvalue()}) as server:
        series = GOOD.replace("https://example.org/all.zip", server.url("all.zip")).replace(
            "0008..0012", "0001..0040"
        )
        path.write_text(series, encoding="utf-8")
        with catalog.added_manifests([path]):
            report = fetch_clips(catalog.select(["numbered/00*"]), store, progress=Silent())
        asked = len(server.asked)

    assert (len(report.fetched), asked) == (40, 1)
    assert store.get("numbered", "0040").info.width == 8
    hashes = {record.sha256 for record in store.records()}
    assert len(hashes) == 40


def test_a_series_without_ids_or_with_a_field_of_a_clip_only_is_no_series():
    with pytest.raises(ValueError, match="ids"):
        ClipSeries(ids=())
