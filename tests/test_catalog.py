"""The catalog finds manifests, says everything that is wrong with one, and selects clips."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sr_datasets import catalog, yamlfile
from sr_datasets.errors import ManifestError, RecipeError, SelectionError
from sr_datasets.manifest import Clip, Evidence, FileFacts, Status
from sr_datasets.rules import frame_bytes
from sr_datasets.yamlfile import YamlFile

GOOD = """\
format: 1
id: good
title: A good source
description: Two clips.
access: download
citation:
  text: Somebody, 2024.
licenses:
  open:
    name: CC BY 4.0
    commercial: no
license: open
groups:
  small: [a_*]
archives:
- id: frames.zip
  mirrors: [https://example.org/frames.zip]
  evidence: {mirrors: SEEN example.org}
clips:
- id: a_cif
  mirrors: [https://example.org/a_cif.y4m]
  size_bytes: 45621044
  width: 352
  height: 288
  frame_rate: 30000/1001
  num_frames: 300
  pixel_format: yuv420p
  evidence:
    mirrors size_bytes: SEEN example.org
    width height frame_rate num_frames pixel_format: SEEN its header
- id: b
  media: frames
  archive: frames.zip
  members: [b/*.png]
"""
RECIPE = """\
format: 1
id: mine
title: Mine
clips: [vid4]
scale: 3
split:
  counts: {train: 3, test: -1}
"""


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the user's manifests folder, with its two folders and nothing in them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "sr-datasets" / "manifests"
    (folder / "sources").mkdir(parents=True)
    (folder / "recipes").mkdir()
    return folder


def problems_of(path: Path, text: str) -> list[str]:
    """Return the lines of the error, each without the folder."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises((ManifestError, RecipeError)) as caught:
        (catalog.load_manifest if "scale" not in text else catalog.load_recipe)(path)
    return [line.replace(f"{path.parent}/", "") for line in str(caught.value).splitlines()]


def line_of(text: str, part: str) -> int:
    """Return the number of the only line that has ``part``."""
    (found,) = [number for number, line in enumerate(text.splitlines(), 1) if part in line]
    return found


# ---- what the YAML may say -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["no", "No", "yes", "on", "off", "y", "True", "1e3", "0x10", "0b1", "007", "1_000",
                                  "1:30", ".5", "5.", "+1", "2024-01-02", ".inf", "NULL", "<<", "=", "9" * 19])  # fmt: skip
def test_a_word_that_older_yaml_takes_for_something_else_is_text(text: str):
    assert YamlFile(Path("x"), f"a: {text}").data == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("false", False), ("0", 0), ("-12", -12), ("2.50", 2.5)]
)
def test_truth_values_and_plain_decimals_are_what_they_look_like(text: str, value: object):
    found = YamlFile(Path("x"), f"a: {text}").data

    assert found == {"a": value}
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a: found a second time, first on line 1"),
        ("a: &x 1\nb: *x\n", 2, "b: found an alias (*name), expected the value itself: write it out"),
        ("a: 1\nb:\n", 2, "b: found nothing, expected a value: leave the line out when it is not known"),
        ("a: ~\n", 1, "a: found nothing, expected a value: leave the line out when it is not known"),
        ("a: 1\n3: b\n", 2, "the file: found the key '3', expected a word in quotes"),
        ("a: !!python/name:os.system x\n", 1, "a: found !!python/name:os.system 'x', expected a plain value"),
        ("a: !mine x\n", 1, "a: found the tag !mine, expected a plain value"),
        ('a: !!int "0x10"\n', 1, "a: found !!int '0x10', expected a plain value"),
        ("a: [1\nb: 2\n", 2, "the file: not YAML: did not find expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", 2, "the file: not YAML: but found another document"),
        ("", 1, "the file: found an empty file, expected fields such as `format: 1`"),
        ("- a\n", 1, "the file: found a list of 1, expected fields such as `format: 1`"),
    ],
)
def test_yaml_that_could_be_misread_is_refused_with_its_line(tmp_path: Path, text: str, line: int, said: str):
    assert f"x.yaml:{line}: {said}" in problems_of(tmp_path / "x.yaml", text)


def test_a_bomb_of_aliases_is_refused_before_it_grows(tmp_path: Path):
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))

    assert any("alias" in line for line in problems_of(tmp_path / "x.yaml", bomb))


def test_a_file_that_is_nested_too_deeply_is_refused(tmp_path: Path):
    assert problems_of(tmp_path / "x.yaml", "a: " + "[" * 100_000) != []


def test_a_file_that_is_not_text_is_refused(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff\xfe")

    with pytest.raises(ManifestError, match="not UTF-8"):
        catalog.load_manifest(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ManifestError, match=r"x\.yaml: cannot be read: No such file"):
        catalog.load_manifest(tmp_path / "x.yaml")


def test_python_and_libyaml_read_the_same(monkeypatch: pytest.MonkeyPatch):
    text = (Path(__file__).parents[1] / "manifests" / "sources" / "vid4.yaml").read_text(encoding="utf-8")
    fast = YamlFile(Path("x"), text)

    class Slow(yaml.SafeLoader):
        yaml_implicit_resolvers = yamlfile._Loader.yaml_implicit_resolvers

    monkeypatch.setattr(yamlfile, "_Loader", Slow)
    slow = YamlFile(Path("x"), text)

    assert slow.data == fast.data
    where = ("clips", 2, "num_frames")
    assert slow.locate(where) == fast.locate(where)


@given(st.text(max_size=80))
def test_no_text_makes_the_reader_fail_in_any_other_way(text: str):
    file = YamlFile(Path("x"), text)

    assert file.problems or file.data is not None


# ---- what a manifest may say -----------------------------------------------------------------------------


def test_a_good_manifest_loads_and_no_stays_a_word(tmp_path: Path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")

    source = catalog.load_manifest(path)

    assert source.licenses["open"].commercial == "no"
    assert source.clips[0].evidence["width"] == Evidence(status=Status.SEEN, where="its header")
    assert source.clips[0].evidence_of("md5").status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("id: good", "id: bad", "id: found 'bad', expected 'good', since the file is good.yaml"),
        ("title: A", "titel: A", "titel: found a field that is not known here. Did you mean title"),
        ("  text: Somebody", "  txt: Somebody", "citation.txt: found a field that is not known here. Did you mean text"),
        ("commercial: no", "commercial: false", "licenses.open.commercial: found false, expected 'yes', 'no' or"),
        ("license: open", "license: opne", "license: found the licence 'opne', expected one of open. Did you mean open?"),
        ("small: [a_*]", "small: [c_*]", "groups.small[0]: found 'c_*', which fits no clip"),
        ("small: [a_*]", "small: []", "groups.small: found an empty group"),
        ("width: 352", 'width: "352"', "clips[0].width: found '352', expected a whole number in plain digits"),
        ("width: 352", "width: 3.52e2", "clips[0].width: found '3.52e2', expected a whole number in plain digits"),
        ("width: 352", "width: true", "clips[0].width: found true, expected a whole number in plain digits"),
        ("width: 352", "width: -352", "clips[0].width: found -352: input should be greater than or equal to 1"),
        ("height: 288", "height: 288.0", "clips[0].height: found 288.0, expected a whole number in plain digits"),
        ("30000/1001", "29.97", "clips[0].frame_rate: found 29.97: must be a whole number or an exact ratio"),
        ("30000/1001", "1/0", "clips[0].frame_rate: found '1/0': must be a whole number or an exact ratio"),
        ("num_frames: 300", "num_frames: 301", "clips[0].size_bytes: found 45621044, which leaves -152026 bytes"),
        ("media: frames", "media: raw", "clips[1].width: found nothing: raw planes cannot be read without it"),
        ("archive: frames.zip", "archive: frame.zip", "clips[1].archive: found the archive 'frame.zip', expected one of"),
        ("  members: [b/*.png]\n", "", "clips[1].members: found nothing, expected patterns of the archive's members"),
        ("  archive: frames.zip\n", "", "clips[1].mirrors: found neither an address nor an archive"),
        ("- id: b", "- id: A_cif", "clips[1].id: found 'A_cif' beside 'a_cif', which is the same file on a disk"),
        ("- id: b", "- id: a_cif", "clips[1].id: found 'a_cif' a second time, expected each id once"),
        ("- id: b", "- id: b c", "clips[1].id: found 'b c', expected letters, digits, dots, hyphens and underscores"),
        ("- id: b", "- id: ../b", "clips[1].id: found '../b', expected letters"),
        ("mirrors size_bytes: SEEN", "mirrors: SEEN", "clips[0].size_bytes: found without evidence"),
        ("mirrors size_bytes: SEEN example.org", "mirrors size_bytes: UNKNOWN", "clips[0].evidence.size_bytes: found UNKNOWN"),
        ("mirrors size_bytes", "mirrors size_bytes md5", "clips[0].evidence.md5: found evidence, but no `md5`"),
        ("mirrors size_bytes", "mirrors size_byte size_bytes", "clips[0].evidence.size_byte: found evidence of 'size_byte'"),
        ("SEEN its header", "SAW its header", "clips[0].evidence.width: found 'SAW', expected 'SEEN', 'COMPUTED'"),
        ("SEEN its header", "SEEN", "clips[0].evidence.width: found 'SEEN': evidence marked SEEN must say where"),
        ("width height frame_rate", "width width height frame_rate", "clips[0].evidence: found fields: evidence of width is given twice"),
        ("{mirrors: SEEN example.org}", "{}", "archives[0].mirrors: found without evidence"),
        ("https://example.org/a_cif", "https://me:word@example.org/a_cif", "clips[0].mirrors[0]: found a user or a password"),
        ("https://example.org/a_cif.y4m", "ftp://example.org", "clips[0].mirrors[0]: found 'ftp://example.org', expected an address"),
        ("access: download", "access: manual", "how_to_get: found nothing, expected the steps to take"),
        ("format: 1", "format: 2", "format: found 2, expected 1"),
        ("description: Two clips.\n", "", "description: found nothing, expected this field"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_says_what_was_found_and_what_was_expected(
    tmp_path: Path, right: str, wrong: str, said: str
):
    assert right in GOOD

    assert any(
        f": {said}" in line for line in problems_of(tmp_path / "good.yaml", GOOD.replace(right, wrong))
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("b/*.png", "../../etc/*", "clips[1].members[0]: found '../../etc/*', expected a path inside"),
        ("b/*.png", "/etc/passwd", "found '/etc/passwd', expected a path inside the archive"),
        ("b/*.png", "C:/x.png", "found 'C:/x.png', expected a path inside the archive"),
        ("b/*.png", "b//x.png", "found 'b//x.png', expected a path inside the archive"),
        ("id: b\n", "id: " + "b" * 101 + "\n", "found an id of 101 characters, expected 100 at most"),
        ("id: b\n", "id: SR-data.lock\n", "found 'SR-data.lock', which is a reserved name"),
        ("id: b\n", "id: Con.y4m\n", "found 'Con.y4m', which is a reserved name"),
        ("id: b\n", "id: Frames.zip\n", "found 'Frames.zip', which is an archive too"),
    ],
)
def test_names_that_lead_elsewhere_on_a_disk_are_refused(tmp_path: Path, old: str, new: str, said: str):
    assert old in GOOD
    assert any(said in problem for problem in problems_of(tmp_path / "good.yaml", GOOD.replace(old, new)))


def test_what_is_no_plain_file_or_too_large_is_no_manifest(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "large.yaml").write_text("#" * 8_000_001)
    for name, said in (("pipe", "not a plain file"), ("folder", "not a plain file"), ("large", "8 MB")):
        with pytest.raises(ManifestError, match=rf"{name}.yaml: is .*{said}"):
            catalog.load_manifest(tmp_path / f"{name}.yaml")


def test_all_problems_come_at_once_each_with_its_own_line_in_order(tmp_path: Path):
    text = GOOD
    for right, wrong in [
        ("title: A good source", "title: 42"),
        ("license: open", "license: closed"),
        ("[a_*]", "[a_*, none_*]"),
        ("  size_bytes: 45621044", "  size_bytes: 45621000000\n  sha256: abc"),
        ("num_frames: 300", "num_frames: 300\n  num_frames: 301"),
        ("archive: frames.zip", "archive: fames.zip"),
        ("members: [b/*.png]", "members: [b/*.png]\n  widht: 3"),
    ]:
        assert right in text
        text = text.replace(right, wrong)

    found = problems_of(tmp_path / "good.yaml", text)

    expected = [
        ("title: 42", "title: found 42"),
        ("license: closed", "license: found the licence 'closed'"),
        ("small:", "groups.small[1]: found 'none_*'"),
        ("size_bytes: 45621000000", "clips[0].size_bytes: found 45621000000, which leaves"),
        ("sha256: abc", "clips[0].sha256: found 'abc', expected 64 lower-case hexadecimal digits"),
        ("sha256: abc", "clips[0].sha256: found without evidence"),
        ("num_frames: 301", "clips[0].num_frames: found a second time"),
        ("archive: fames.zip", "clips[1].archive: found the archive 'fames.zip'"),
        ("widht: 3", "clips[1].widht: found a field that is not known here"),
    ]
    assert len(found) == len(expected)
    for line, (part, said) in zip(found, expected, strict=True):
        assert line.startswith(f"good.yaml:{line_of(text, part)}: {said}")


def test_a_clip_without_an_address_is_allowed_when_it_says_so(tmp_path: Path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD + "- id: lost\n  evidence: {mirrors: UNKNOWN}\n", encoding="utf-8")

    assert catalog.load_manifest(path).clips[-1].mirrors == ()


def test_a_size_is_not_held_against_geometry_that_is_only_inferred(tmp_path: Path):
    path = tmp_path / "good.yaml"
    text = GOOD.replace("SEEN its header", "INFERRED its name").replace("num_frames: 300", "num_frames: 301")
    path.write_text(text, encoding="utf-8")

    assert catalog.load_manifest(path).clips[0].num_frames == 301


@pytest.mark.parametrize("data", [{"clips": 3}, {"clips": [3, None, [], "x"]}, {"licenses": []}, {"evidence": 3},
                                  {"clips": [{"license": [1], "archive": {}, "id": 3, "evidence": [1], "members": 1}]},
                                  {"groups": {"a": 3, "b": [1, {}]}, "id": [], "license": {}}])  # fmt: skip
def test_values_of_any_type_are_refused_without_a_traceback(tmp_path: Path, data: object):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")

    with pytest.raises(ManifestError):
        catalog.load_manifest(path)
    with pytest.raises(RecipeError):
        catalog.load_recipe(path)


@pytest.mark.parametrize(
    ("pixel_format", "width", "height", "expected"),
    [
        ("yuv420p", 352, 288, 152064), ("yuv420p", 3, 5, 15 + 2 * 2 * 3), ("yuv422p", 3, 5, 15 + 2 * 2 * 5),
        ("yuv444p", 3, 5, 45), ("gray", 3, 5, 15), ("yuv420p10le", 3840, 2160, 24883200), ("rgb24", 3, 5, None),
    ],
)  # fmt: skip
def test_the_bytes_of_a_frame_count_odd_sizes_up(
    pixel_format: str, width: int, height: int, expected: int | None
):
    assert frame_bytes(pixel_format, width, height) == expected


# ---- what a recipe may say -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("scale: 3", "scale: 5", "scale: found 5, expected 2, 3, 4 or 8"),
        ("scale: 3", "scale: 3\ncolour: y", "colour: found a field that is not known here. Did you mean color"),
        ("[vid4]", "[]", "clips: found a list of 0"),
        ("[vid4]", "['vid4/']", "clips[0]: found 'vid4/', expected SOURCE, SOURCE/CLIP, SOURCE/*PART* or SOURCE:GROUP"),
        ("[vid4]", "[vid4, vid4]", "clips[1]: found 'vid4' a second time, expected each once"),
        ("{train: 3, test: -1}", "{}", "split: found fields: a split gives one of `counts`, `ratios` and `clips`"),
        ("{train: 3, test: -1}", "{train: -1, test: 3}", "split: found fields: only the last split can take the rest"),
        ("scale: 3", "scale: 3\nlimit: 2\nsplit2: 1", "split2: found a field that is not known here. Did you mean split"),
        ("scale: 3", "scale: 3\nsampling: {kind: unifrom}", "sampling: found the kind 'unifrom', expected one of 'uniform', 'textured',"),
        ("scale: 3", "scale: 3\nsampling: {lr_size: 3}", "sampling: found no `kind`, expected one"),
        ("scale: 3", "scale: 3\nsampling: {kind: grid, strid: 3}", "sampling.strid: found a field that is not known here. Did you mean stride"),
        ("scale: 3", "scale: 3\nsampling: {kind: uniform, window: 2}", "sampling: found fields: window is 2: an odd number"),
        ("  counts: {train: 3, test: -1}", "  clips: {train: ['vid4:all']}", "split.clips.train[0]: found 'vid4:all', expected SOURCE"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_says_what_was_found_and_what_was_expected(
    tmp_path: Path, right: str, wrong: str, said: str
):
    assert right in RECIPE

    found = problems_of(tmp_path / "mine.yaml", RECIPE.replace(right, wrong))

    assert any(f": {said}" in line for line in found), found


def test_a_recipe_that_deals_more_clips_than_it_takes_is_refused(tmp_path: Path):
    text = RECIPE.replace("test: -1", "test: 2").replace("scale: 3", "scale: 3\nlimit: 4")

    (line,) = problems_of(tmp_path / "mine.yaml", text)

    assert line == "mine.yaml:8: split.counts: found 5 clips, expected no more than the limit of 4"


def test_a_recipe_is_found_by_its_name_and_by_its_path(tmp_path: Path, user: Path):
    (user / "recipes" / "mine.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "other.yaml").write_text(RECIPE, encoding="utf-8")

    assert "mine" in catalog.recipe_ids()
    assert catalog.find_recipe("mine") == catalog.find_recipe(str(tmp_path / "other.yaml"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("espcn-t19", "there is no recipe 'espcn-t19'. Did you mean espcn-t91?"),
        ("none.yaml", "there is no recipe file none.yaml"),
    ],
)
def test_an_unknown_recipe_is_answered_with_the_nearest(name: str, said: str):
    with pytest.raises(SelectionError, match=said):
        catalog.find_recipe(name)


# ---- where manifests lie ---------------------------------------------------------------------------------


def test_a_manifest_of_the_user_is_found_beside_the_packaged_ones(user: Path):
    (user / "sources" / "good.yaml").write_text(GOOD, encoding="utf-8")

    assert {"good", "xiph"} <= set(catalog.source_ids())
    assert catalog.find_source("good").title == "A good source"


def test_a_manifest_of_the_user_stands_in_for_the_packaged_one_of_its_name(user: Path):
    (user / "sources" / "vid4.yaml").write_text(GOOD.replace("id: good", "id: vid4"), encoding="utf-8")

    assert catalog.source_ids().count("vid4") == 1
    assert catalog.find_source("vid4").title == "A good source"


def test_a_manifest_that_was_edited_is_read_again(user: Path):
    path = user / "sources" / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert catalog.find_source("good").title == "A good source"

    path.write_text(GOOD.replace("A good source", "A fair source"), encoding="utf-8")
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns + 1_000_000))

    assert catalog.find_source("good").title == "A fair source"


def test_a_wrong_manifest_of_the_user_is_told_of_and_hides_no_other(
    user: Path, caplog: pytest.LogCaptureFixture
):
    (user / "sources" / "bad.yaml").write_text("format: 1\n", encoding="utf-8")
    (user / "sources" / "good.yaml").write_text(GOOD, encoding="utf-8")
    (user / "recipes" / "worse.yaml").write_text("format: 7\n", encoding="utf-8")

    assert {"vid4", "good"} <= {source.id for source in catalog.sources()}
    assert "bad.yaml:1: " in caplog.text
    assert "The source bad is left out." in caplog.text
    assert catalog.recipes()
    assert "worse.yaml:1: format: found 7" in caplog.text
    with pytest.raises(ManifestError, match=r"bad\.yaml:1: "):
        catalog.find_source("bad")
    with pytest.raises(ManifestError), catalog.added_manifests([user / "sources" / "bad.yaml"]):
        pass


def test_finding_one_source_reads_no_other_manifest(user: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    load = catalog.load_manifest
    monkeypatch.setattr(catalog, "load_manifest", lambda path: (read.append(path.stem), load(path))[1])

    catalog.find_source("vid4")
    catalog.select(["vid4/walk"])

    assert set(read) == {"vid4"}


def test_importing_the_catalog_reads_no_file_and_no_heavy_library():
    code = (
        "import sys; opened = []; sys.addaudithook(lambda e, a: opened.append(str(a[0])) if e == 'open' else None);"
        "import sr_datasets.catalog;"
        "print([p for p in opened if p.endswith('.yaml')], [m for m in ('torch', 'av', 'pandas', 'pyarrow', 'numpy', "
        "'requests') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[] []\n"


# ---- selecting -------------------------------------------------------------------------------------------


def ids(*patterns: str) -> list[str]:
    return [selected.id for selected in catalog.select(patterns)]


def test_a_selection_is_a_source_a_clip_a_pattern_or_a_group():
    assert ids("vid4") == ["vid4/calendar", "vid4/city", "vid4/foliage", "vid4/walk"]
    assert ids("xiph/akiyo_cif") == ["xiph/akiyo_cif"]
    assert ids("xiph/akiyo_*") == ["xiph/akiyo_qcif", "xiph/akiyo_cif"]
    assert ids("xiph/[ab]?s_cif") == ["xiph/bus_cif"]
    assert len(ids("uvg:uvg-7")) == 7


def test_clips_come_in_the_order_of_the_patterns_each_once():
    assert ids("vid4/walk", "vid4/c*", "vid4") == ["vid4/walk", "vid4/calendar", "vid4/city", "vid4/foliage"]


def test_a_pattern_without_stars_fits_one_whole_name_in_its_own_case():
    with pytest.raises(SelectionError, match=r"no clip that fits 'Akiyo_CIF'\. Did you mean akiyo_cif\?"):
        ids("xiph/Akiyo_CIF")
    with pytest.raises(SelectionError, match="no clip that fits 'akiyo'"):
        ids("xiph/akiyo")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("xipf", "there is no source 'xipf'. Did you mean xiph?"),
        ("XIPH/akiyo_cif", "there is no source 'XIPH'. Did you mean xiph?"),
        ("akiyo_cif", "there is no source 'akiyo_cif'. Did you mean xiph/akiyo_cif?"),
        ("vid4/calender", "vid4 has no clip that fits 'calender'. Did you mean calendar?"),
        ("vid4/*z*", "vid4 has no clip that fits '*z*'."),
        ("xiph:hdd", "xiph has no group 'hdd'. Did you mean hd? Its groups: sd, hd,"),
        ("vid4:hd", "vid4 has no group 'hd'. Its groups: none."),
        ("vid4/", "'vid4/' is not a selection."),
        ("", "'' is not a selection."),
        ("vid4/a/b", "'vid4/a/b' is not a selection."),
        ("cdvl", "cdvl: nothing that fits was imported."),
    ],
)
def test_a_selection_that_fits_nothing_says_what_is_near(pattern: str, said: str):
    with pytest.raises(SelectionError) as caught:
        ids(pattern)

    assert said in str(caught.value)


def test_all_selections_that_fit_nothing_are_told_at_once():
    with pytest.raises(SelectionError) as caught:
        ids("vid4/x", "vid4/walk", "nowhere", "nowhere/y")

    assert len(str(caught.value).splitlines()) == 2  # `nowhere` is told of once


def test_imported_clips_join_an_open_ended_source_only():
    brought = {"cdvl": [Clip(id="SnowMnt_8bit"), Clip(id="beta")], "vid4": [Clip(id="zoo")]}

    chosen = catalog.select(["cdvl/Snow*", "cdvl", "vid4/w*"], imported=brought)

    assert [selected.id for selected in chosen] == ["cdvl/SnowMnt_8bit", "cdvl/beta", "vid4/walk"]
    with pytest.raises(SelectionError):
        catalog.select(["vid4/zoo"], imported=brought)


def test_the_file_of_a_clip_is_its_own_or_its_archive_and_so_is_told_once():
    source = catalog.find_source("vid4")
    remotes: set[FileFacts | str] = {catalog.remote_of(source, clip).mirrors[0] for clip in source.clips}

    assert len(remotes) == 1
    assert catalog.remotes_of(source) == list(source.archives)
    xiph = catalog.find_source("xiph")
    akiyo = catalog.find_clip(xiph, "akiyo_cif")
    assert catalog.remote_of(xiph, akiyo) is akiyo
    with pytest.raises(ValueError, match="no archive 'x'"):
        catalog.archive_of(xiph, "x")


def test_the_licence_of_a_clip_is_its_own_or_that_of_its_source():
    xiph = catalog.find_source("xiph")

    assert catalog.license_of(xiph, catalog.find_clip(xiph, "aspen_1080p")).name == "NTIA/ITS source terms"
    assert catalog.license_of(xiph, catalog.find_clip(xiph, "akiyo_cif")).name == "none stated"


def test_the_280_rows_of_xiph_load_in_a_blink():
    path = Path(catalog.__file__).parents[2] / "manifests" / "sources" / "xiph.yaml"
    best = 9.0
    for _ in range(5):
        catalog._load_manifest.cache_clear()
        start = time.process_time()
        catalog.load_manifest(path)
        best = min(best, time.process_time() - start)

    if yaml.__with_libyaml__:
        assert best < 0.3


def test_a_package_that_holds_its_manifests_lists_every_source_outside_the_checkout(tmp_path: Path):
    package = Path(catalog.__file__).parent
    shutil.copytree(
        package, tmp_path / "sr_datasets", ignore=shutil.ignore_patterns("__pycache__", "manifests")
    )
    shutil.copytree(package.parents[1] / "manifests", tmp_path / "sr_datasets" / "manifests")
    code = "from sr_datasets import catalog; print(catalog.__file__, [source.id for source in catalog.sources()])"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == f"{tmp_path / 'sr_datasets' / 'catalog.py'} {catalog.source_ids()}\n"
