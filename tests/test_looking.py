"""Looking at sets: numbers of their pixels, conditions, sheets, differences between two sets."""

import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shard_sets import SMALL, make_rows, write_set
from typer.testing import CliRunner

from sr_datasets.cli.main import app
from sr_datasets.color import luma_of_rgb
from sr_datasets.degrade import resize_bicubic
from sr_datasets.errors import SelectionError, ShardError, SrDataError
from sr_datasets.inspect import (
    choose_rows,
    closed_sources,
    compare_sets,
    find_concerns,
    measure_set,
    number_of_row,
    origins,
    read_index,
    set_statistics,
)
from sr_datasets.inspect.measuring import BINS, COMPUTED, MEASURES_NAME, luma_of_rows
from sr_datasets.metrics import psnr
from sr_datasets.progress import Silent
from sr_datasets.report.setpage import write_set_page
from sr_datasets.report.sheets import evenly, write_sheet
from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import read_set


def one_shard(path: Path, *groups: Sequence[Row]) -> Path:
    write_set(path, {"train-00000-of-00001.parquet": groups})
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_set(tmp_path / "small", SMALL)
    return tmp_path / "small"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


# -------------------------------------------------------------------------------------- what a set is


LONG = "netflix-open-content-in-high-dynamic-range"


def varied(path: Path) -> Path:
    """Write a set of two splits with rows of several shapes, long names and a path without end."""
    one = make_rows("tram", 4, frames=3, bit_depth=10, color="y")
    other = [
        replace(
            row,
            source=LONG,
            sample_id=f"{LONG}/x{row.row}",
            clip="x" * 90,
            frame_height=2160,
            frame_width=4095,
        )
        for row in make_rows("hall", 3)
    ]
    test = [replace(row, frame_height=60, frame_width=90) for row in make_rows("bus", 2, split="test")]
    write_set(path, {"test-00000-of-00001.parquet": [test], "train-00000-of-00001.parquet": [one, other]})
    return path


def test_a_set_is_described_on_80_columns_however_long_its_names_are(tmp_path: Path):
    path = varied(tmp_path / ("very-long-name-of-a-folder-" * 4) / "set")

    code, text = run(path)

    lines = text.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= 80
    assert re.fullmatch(r"set {13}/.*\.\.\..*/set \(format 2\)", lines[0])
    (table,) = (place for place, line in enumerate(lines) if line.startswith("split  "))
    assert [line.split() for line in lines[table + 1 : table + 5]] == [
        ["test", "xiph", "1", "2", "1.2", "kB"],
        ["train", "netflix-open-...ynamic-range", "1", "3", "1.8", "kB"],
        ["xiph", "1", "4", "1.9", "kB"],
        ["all", "2", "sources", "3", "9", "4.9", "kB"],
    ]
    assert "(3, 1, 4, 5)           (1, 12, 15)            uint16, 10 bits           4" in lines
    assert "HR frames       90x60 to 4095x2160 (2 sizes)" in lines
    assert "matrix          bt709 (3 clips, declared)" in lines
    assert any(line.startswith("  warning: The siting of 3 clips") for line in lines)
    assert any(line.startswith("  note: 1 clip that the recipe selects is not in the set") for line in lines)
    assert "flat patches and duplicates (--stats)" in " ".join(text.split())
    assert "what its clips oblige to (sr-data show SOURCE has the licences)" in lines


def test_what_was_checked_is_told(small: Path, monkeypatch: pytest.MonkeyPatch):
    whole = "checked         every byte: shards, pages, rows, index (all that --verify does)"
    assert whole in run(small)[1]
    monkeypatch.setattr("sr_datasets.inspect.summary.HASH_BELOW_BYTES", 1)

    assert "checked         sizes only; hash every shard with --verify" in run(small)[1]
    assert whole in run(small, "--verify")[1]


def test_rows_that_fit_are_listed_on_80_columns_too(tmp_path: Path):
    path = varied(tmp_path / "set")

    for condition in ("row < 9", "si > 0 and psnr < 90", "si >= 0 and psnr < 90 and luma > 1"):
        text = run(path, "--where", condition)[1]
        assert max(map(len, text.splitlines())) <= 80
    assert "netfl...ge/x2" in text
    text = run(path, "--row", "0")[1]
    assert max(map(len, text.splitlines())) <= 80
    assert "{'kind': 'bicubic'}" in text


def test_what_was_measured_before_is_told_without_reading_pixels_again(tmp_path: Path):
    rows = make_rows("same", 3)
    path = one_shard(tmp_path / "set", [replace(row, hr=rows[0].hr, lr=rows[0].lr) for row in rows])
    assert "same HR samples" not in run(path)[1]

    measure_set(path)

    text = " ".join(run(path)[1].split())
    assert "warning: 2 rows with the same HR samples as an earlier row: they count twice." in text
    assert "not looked for here: leaks (sr-data audit)" in text


def test_the_description_as_json_has_everything(tmp_path: Path):
    path = varied(tmp_path / "set")

    code, text = run(path, "--json")

    found = json.loads(text)
    info = read_set(path)
    assert code == 0
    assert (found["format"], found["rows"], found["pairs"], found["row_groups"]) == (2, 9, 3, 3)
    assert (found["storage"], found["checked"], found["measured"]) == ("raw", "sha256", False)
    assert found["splits"]["train"] == {"pairs": 2, "rows": 7, "shards": 1}
    assert found["sources"] == {LONG: {"pairs": 1, "rows": 3}, "xiph": {"pairs": 2, "rows": 6}}
    assert found["parts"][1] == {
        "split": "train",
        "source": LONG,
        "clips": 1,
        "rows": 3,
        "pixel_bytes": 3 * (60 + 540),
    }
    assert found["pixel_bytes"] == sum(part["pixel_bytes"] for part in found["parts"])
    assert found["frames"] == [{"height": 60, "width": 90}, {"height": 2160, "width": 4095}]
    assert found["colours"]["range"] == [{"value": "limited", "known": "tagged", "clips": 3}]
    assert found["skipped"] == [{"source": "xiph", "clip": "c9", "reason": "too small"}]
    assert {one["kind"] for one in found["concerns"]} >= {"colour", "grant", "skipped"}
    assert found["obligations"]
    assert (found["content_digest"], found["recipe"]) == (info.content_digest, info.recipe)


def test_a_table_of_very_many_lines_ends_with_how_many_more(tmp_path: Path):
    groups = [
        [replace(row, source=f"source{number:02d}") for row in make_rows(f"clip{number}", 1)]
        for number in range(40)
    ]
    text = run(one_shard(tmp_path / "set", *groups))[1]

    assert "and 10 more (--json has all)" in text
    assert "40 sources" in text


# ------------------------------------------------------------------------------------------- numbers


def test_measures_are_those_of_p910_and_of_the_stated_psnr(tmp_path: Path):
    rows = make_rows("c0", 3, height=8, width=9)
    measures = measure_set(one_shard(tmp_path / "set", rows))

    for number, row in enumerate(rows):
        luma = luma_of_rgb(row.hr)[0].astype(np.float64)
        across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        windows = np.lib.stride_tricks.sliding_window_view(luma, (3, 3))
        gradient = np.hypot((windows * across).sum((2, 3)), (windows * across.T).sum((2, 3)))
        assert measures.si[number] == pytest.approx(gradient.std(), abs=0.02)
        assert measures.luma[number] == pytest.approx(luma.mean(), abs=1e-4)
        assert measures.contrast[number] == pytest.approx(luma.std(), abs=1e-4)
        cubic = np.clip(np.floor(resize_bicubic(row.lr.astype(float), *row.hr.shape[1:]) + 0.5), 0, 255)
        sr = luma_of_rgb(cubic.astype(np.uint8))[0]
        inside = np.s_[row.scale : -row.scale, row.scale : -row.scale]
        assert measures.psnr[number] == pytest.approx(psnr(sr[inside], luma[inside]), abs=1e-3)
        counts, _ = np.histogram(luma, BINS, (0, 256))
        assert measures.histogram[number].tolist() == counts.tolist()
    assert np.isnan(measures.ti).all()
    assert np.isnan(measures.motion).all()


@pytest.mark.parametrize("hr_all", [False, True])
def test_motion_and_ti_are_those_of_the_frames_that_a_row_keeps(tmp_path: Path, hr_all: bool):
    rows = make_rows("c0", 2, frames=3, hr_all=hr_all, color="y")
    measures = measure_set(one_shard(tmp_path / "set", rows))

    for number, row in enumerate(rows):
        steps = np.diff((row.hr if hr_all else row.lr)[:, 0].astype(float), axis=0)
        assert measures.motion[number] == pytest.approx(np.abs(steps).mean(), abs=1e-4)
        assert measures.ti[number] == pytest.approx(steps.std(axis=(1, 2)).max(), abs=1e-4)


def test_luma_of_every_kind_of_row_is_on_one_scale():
    white = {"y": 235, "yuv420": 235, "rgb": 255}
    for depth, dtype in ((8, np.uint8), (10, np.uint16), (16, np.uint16)):
        for color, level in white.items():
            channels = 3 if color == "rgb" else 1
            top = (1 << depth) - 1 if color == "rgb" else level << (depth - 8)
            planes = np.full((1, channels, 6, 4), top, dtype)
            values = luma_of_rows(planes, color=color, range_="limited", bit_depth=depth)
            assert values.shape == (1, 4 if color == "yuv420" else 6, 4)
            assert (values == 235 * 256).all()
        full = np.full((1, 1, 2, 2), (1 << depth) - 1, dtype)
        assert (luma_of_rows(full, color="y", range_="full", bit_depth=depth) == 235 * 256).all()


def test_flat_and_equal_patches_are_found_and_have_no_finite_psnr(tmp_path: Path):
    flat = [
        replace(row, lr=np.full_like(row.lr, 90), hr=np.full_like(row.hr, 90)) for row in make_rows("c0", 2)
    ]
    measures = measure_set(one_shard(tmp_path / "set", flat, make_rows("c1", 1)))

    assert measures.flat.tolist() == [True, True, False]
    assert measures.duplicate.tolist() == [False, True, False]
    assert measures.psnr[:2].tolist() == [math.inf, math.inf]
    told = find_concerns(
        read_set(tmp_path / "set"),
        read_index(tmp_path / "set"),
        measures,
        [],
        leaks={"xiph/c1/000000": "set5/bird"},
    )
    found = {one.kind: one for one in told}
    assert found["flat"].rows.tolist() == [0, 1]
    assert found["duplicates"].rows.tolist() == [1]
    assert found["leaks"].rows.tolist() == [2]
    assert "set5/bird" in found["leaks"].text
    assert found["colour"].text.count("guessed") == 1
    assert [one.level for one in told] == sorted((one.level for one in told), reverse=True)


def test_a_duplicate_in_another_split_is_called_a_leak(tmp_path: Path):
    write_set(
        tmp_path,
        {
            "test-00000-of-00001.parquet": [make_rows("c0", 1, split="test")],
            "train-00000-of-00001.parquet": [make_rows("c0", 1)],
        },
    )
    info, index = read_set(tmp_path), read_index(tmp_path)
    told = find_concerns(info, index, measure_set(tmp_path), origins(info, index))
    assert any(one.kind == "duplicates" and "a leak" in one.text for one in told)


def test_numbers_are_kept_beside_the_set_and_made_anew_when_it_changes(small: Path):
    first = measure_set(small)
    kept = small / MEASURES_NAME
    bytes_ = kept.read_bytes()

    assert measure_set(small).si.tolist() == first.si.tolist()
    kept.write_bytes(b"nonsense")
    assert measure_set(small).si.tolist() == first.si.tolist()
    assert kept.read_bytes() == bytes_
    write_set(small, {"train-00000-of-00001.parquet": [make_rows("other", 4)]})
    assert len(measure_set(small).si) == 4
    assert kept.read_bytes() != bytes_


# ---------------------------------------------------------------------------------------- conditions


def test_conditions_see_stored_and_computed_columns(small: Path):
    code, text = run(small, "--where", "clip = 'c0' and luma > 0 and split = 'train'")
    assert code == 0
    assert "5 of 11 rows fit" in text
    assert "luma is computed" in text
    assert max(map(len, text.splitlines())) <= 80
    _, text = run(small, "--where", "clip = 'c0'", "--json")
    found = json.loads(text)
    assert [row["number"] for row in found["rows"]] == [2, 3, 4, 5, 6]
    assert found["computed"] == {}


def test_rows_of_one_frame_have_no_motion_and_this_is_said(small: Path):
    choice = choose_rows(small, "motion > 2 or clip = 'c1'")

    assert choice.numbers.tolist() == [7, 8]
    assert "9 rows are left out, since motion is not known of them" in choice.to_text()


def test_a_column_that_is_not_there_is_named_with_its_neighbours(small: Path):
    with pytest.raises(SelectionError, match=r"motoin.*Did you mean motion"):
        choose_rows(small, "motoin > 2")


def test_a_row_is_found_by_its_id_too(small: Path):
    assert number_of_row(small, "xiph/c0/000003") == 5
    assert number_of_row(small, "xiph/c0/000003", split="train") == 3
    with pytest.raises(ShardError, match="Did you mean xiph/c0/000003"):
        number_of_row(small, "xiph/c0/00003")
    code, text = run(small, "--row", "xiph/c2/000001", "--json")
    assert code == 0
    assert json.loads(text)["sample_id"] == "xiph/c2/000001"


def test_statistics_are_told_for_each_source_and_split(small: Path):
    code, text = run(small, "--stats")
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    assert "xiph, test" in text
    assert "xiph, train" in text
    _, text = run(small, "--stats", "--json")
    groups = json.loads(text)["groups"]
    assert [group["rows"] for group in groups] == [2, 9]
    assert sum(sum(line) for line in groups[1]["positions"]) == 9
    assert sum(groups[1]["luma_histogram"]) == 9 * 12 * 15
    assert "ti" not in groups[0]
    few = set_statistics(choose_rows(small, "clip = 'c0'"), progress=Silent())
    assert [group.rows for group in few.groups] == [5]


# -------------------------------------------------------------------------------------------- sheets


def test_a_sheet_shows_rows_evenly_and_says_what_may_not_be_published(small: Path, tmp_path: Path):
    code, text = run(small, "--sheet", 4, "--png", tmp_path / "sheet.png")

    assert code == 0
    assert "4 of 11 rows" in text
    with Image.open(tmp_path / "sheet.png") as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 24) or ()}
    assert (
        0xB0,
        0x00,
        0x20,
    ) in colors  # the mark: c0 is no clip of the catalog's xiph, whose licence is not open
    assert evenly(np.arange(10), 4).tolist() == [1, 3, 6, 8]
    assert closed_sources(read_set(small), read_index(small)) == ["xiph"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sheet", "4"], "--png"),
        (["--png", "row.png"], "--row"),
        (["--no-pixels"], "--html"),
        (["--stats", "--html", "x.html"], "goes alone"),
        (["--row", "1", "--where", "top = 1"], "--row"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(small: Path, arguments: list[str], words: str):
    code, text = run(small, *arguments)
    assert code == 2
    assert words in text


# --------------------------------------------------------------------------------------- differences


def changed(path: Path, small: Path, name: str, **fields: object) -> Path:
    """Write the small set again with another field in its first train row."""
    first, *rest = SMALL[name][0]
    shards = {**SMALL, name: [[replace(first, **fields), *rest], *SMALL[name][1:]]}  # type: ignore[arg-type]
    write_set(path, shards)
    return path


TRAIN = "train-00000-of-00002.parquet"


def test_a_set_equals_itself_and_its_copy(small: Path, tmp_path: Path):
    shutil.copytree(small, tmp_path / "copy")
    code, text = run(small, "--against", tmp_path / "copy")

    assert code == 0
    assert "the reason lies outside" in " ".join(text.split())


def test_one_other_sample_of_lr_is_found_and_sized(small: Path, tmp_path: Path):
    lr = SMALL[TRAIN][0][0].lr.copy()
    lr[0, 1, 2] = lr[0, 1, 2] - 7 if lr[0, 1, 2] > 7 else lr[0, 1, 2] + 7
    other = changed(tmp_path / "other", small, TRAIN, lr=lr)
    found = compare_sets(small, other)

    assert not found.equal
    assert (found.lr.rows, found.lr.samples, found.lr.largest) == (1, 1, 7)
    assert found.lr.first == "xiph/c0/000000"
    assert found.lr.psnr == pytest.approx(psnr(lr, SMALL[TRAIN][0][0].lr), abs=1e-3)
    assert found.hr.rows == 0
    assert "the same HR got another LR in 1 of 11 rows" in found.sentence
    code, text = run(small, "--against", other)
    assert code == 1
    assert max(map(len, text.splitlines())) <= 80 + len(str(tmp_path))
    assert json.loads(run(small, "--against", other, "--json")[1])["lr"]["largest"] == 7


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"top": 4}, "cut elsewhere"),
        ({"matrix": "bt601"}, r"only what rows say of themselves differs \(colour\)"),
        ({"drawn": '{"sigma": 2}'}, r"\(draws\)"),
        ({"sample_id": "xiph/c0/000099"}, "A has 1 more that B lacks, B 1 that A lacks"),
    ],
)
def test_the_sentence_names_what_differs(small: Path, tmp_path: Path, fields: dict[str, object], words: str):
    found = compare_sets(small, changed(tmp_path / "other", small, TRAIN, **fields))

    assert not found.equal
    assert re.search(words, found.sentence), found.sentence


def test_other_hr_is_told_before_other_lr(small: Path, tmp_path: Path):
    row = SMALL[TRAIN][0][0]
    other = changed(tmp_path / "other", small, TRAIN, hr=row.hr ^ 1, lr=row.lr ^ 1)
    found = compare_sets(small, other)

    assert found.hr.largest == 1
    assert "HR itself differs in 1 of 11 rows" in found.sentence


def test_rows_in_another_order_are_the_same_rows(small: Path, tmp_path: Path):
    write_set(tmp_path / "other", {name: groups[::-1] for name, groups in SMALL.items()})

    assert compare_sets(small, tmp_path / "other").equal


def test_the_page_of_docs_names_every_computed_column():
    page = (Path(__file__).parents[1] / "docs" / "looking.md").read_text()

    for name, meaning in COMPUTED.items():
        assert f"| `{name}` | {meaning} |" in page


# ------------------------------------------------------------------------------------ where outputs may go


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--html",), "sr-data.json"),
        (("--html",), "report.html"),
        (("--html",), "data/page.html"),
        (("--row", "3", "--png"), "data/train-00000-of-00002.parquet"),
        (("--row", "3", "--png"), "data/new.png"),
        (("--sheet", "2", "--png"), "sheet.png"),
    ],
)
def test_an_output_never_lands_in_a_set(small: Path, options: tuple[str, ...], name: str):
    before = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}

    with pytest.raises(SrDataError, match=r"lies in the set|End its name in"):
        run(small, *options, small / name)

    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == before


def test_a_link_into_a_set_is_seen_through_and_so_is_one_out_of_it(small: Path, tmp_path: Path):
    (tmp_path / "door").symlink_to(small / "data")
    (small / "out.html").symlink_to(tmp_path / "elsewhere.html")

    for path in (tmp_path / "door" / "page.html", small / "out.html", small / ".." / "small" / "a.html"):
        with pytest.raises(ShardError, match="lies in the set"):
            run(small, "--html", path)


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.html"])
def test_a_picture_is_called_what_it_is(small: Path, tmp_path: Path, name: str):
    with pytest.raises(SrDataError, match=r"is a PNG\. End its name in \.png"):
        run(small, "--row", 0, "--png", tmp_path / name)

    assert not (tmp_path / name).exists()


def test_pictures_and_pages_refuse_by_themselves_too(small: Path):
    with pytest.raises(ShardError, match="lies in the set"):
        write_sheet(choose_rows(small), 1, small / "sheet.png")
    with pytest.raises(ShardError, match="lies in the set"):
        write_set_page(choose_rows(small), small / "page.html")
