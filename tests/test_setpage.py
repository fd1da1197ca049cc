"""A set's page: opened, filtered, slid over, zoomed into in headless Chromium, and looked at."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import CONTRAST, Page
from PIL import Image
from selenium.webdriver import ActionChains, Keys
from shard_sets import make_rows, write_set
from typer.testing import CliRunner

from sr_datasets.audit import Finding
from sr_datasets.audit.rows import RowName
from sr_datasets.cli.main import app
from sr_datasets.degrade import resize_bicubic_pixels
from sr_datasets.inspect import choose_rows
from sr_datasets.report.charts import nice_range
from sr_datasets.report.setpage import write_set_page
from sr_datasets.shards.schema import Row
from sr_datasets.shards.sets import read_set, write_set_json

EVIL = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>\"'&{{ 7 * 7 }}"


def smooth(rows: list[Row]) -> list[Row]:
    """Return rows whose HR is smooth and whose LR is HR's, so that pictures look like some."""
    found = []
    for row in rows:
        y, x = np.mgrid[: row.hr.shape[-2], : row.hr.shape[-1]]
        hr = np.stack(
            [127 + 90 * np.sin((x * (1 + c) + 3 * y + 40 * row.row) / 9.0) for c in range(row.hr.shape[0])]
        )
        hr = hr.astype(np.uint8)
        lr = resize_bicubic_pixels(hr, row.lr.shape[-2], row.lr.shape[-1])
        found.append(replace(row, hr=hr, lr=lr))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a set of two sources and splits, with flat rows and a duplicate."""
    path = tmp_path_factory.mktemp("set") / "set"
    size = {"height": 16, "width": 16}
    flat = [
        replace(row, hr=np.full_like(row.hr, 80), lr=np.full_like(row.lr, 80))
        for row in make_rows("c2", 2, **size)
    ]
    write_set(
        path,
        {
            "test-00000-of-00001.parquet": [
                [
                    replace(row, source="demo", sample_id=f"demo/leaves_1/{row.row:06d}")
                    for row in smooth(make_rows("leaves_1", 4, split="test", **size))
                ]
            ],
            "train-00000-of-00001.parquet": [
                smooth(make_rows("c0", 60, **size)),
                smooth(make_rows("c1", 30, **size)),
                flat,
            ],
        },
    )
    info = read_set(path)
    recipe = {
        "id": "small",
        "title": "A small set <b>of two sources</b>",
        "description": EVIL,
        "scale": 3,
        "color": "rgb",
        "degradation": {"kind": "bicubic", "rounding": "each-pass"},
        "sampling": {"kind": "uniform"},
        "seed": 0,
    }
    write_set_json(path, info.model_copy(update={"recipe": recipe}))
    return path


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    path = folder.parent / "report.html"
    write_set_page(choose_rows(folder), path)
    return path


def wait(page: Page, condition: str) -> None:
    """Wait until something is true in the page: pictures are decoded when they are needed."""
    done = page.driver.execute_async_script(
        "const [test, done] = [new Function(`return ${arguments[0]}`), arguments[1]]; let left = 3000;"
        "const look = () => test() ? done(true) : left-- ? setTimeout(look, 20) : done(false); look();",
        condition,
    )
    assert done, condition


def ids(page: Page) -> list[str]:
    return page.js("return [...document.querySelectorAll('.tile .id')].map((node) => node.innerText)")


def choose(page: Page, select: str, value: str) -> None:
    page.js(
        "const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'))",
        select,
        value,
    )


PAINTED = "document.querySelector('.tile canvas').width > 1"


# ---------------------------------------------------------------------------------------- the file


def test_the_page_is_one_file_that_loads_nothing_and_is_the_same_twice(folder: Path, report: Path):
    text = report.read_text()
    again = folder.parent / "again.html"
    write_set_page(choose_rows(folder), again)

    assert again.read_bytes() == report.read_bytes()
    loads = re.findall(r"<(?:img|script|link|iframe|source|object)[^>]*?(?:src|href)=\"([^\"]*)\"", text)
    assert loads == ["data:,"]
    assert "default-src 'none'" in text
    assert str(folder) not in text


def test_fewer_rows_are_pictured_where_the_page_would_be_too_large(folder: Path):
    path = folder.parent / "tight.html"
    written = write_set_page(choose_rows(folder), path, most_bytes=130_000)

    assert path.stat().st_size == written.size_bytes <= 130_000
    assert 8 < written.pictured < 96
    data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)[1])  # type: ignore[index]
    assert {"xiph/c2/000000", "xiph/c2/000001"} <= set(data["id"])  # what warnings name comes first
    assert len({name.rsplit("/", 1)[0] for name in data["id"]}) >= 3


def test_pixels_without_a_grant_are_marked_and_can_be_left_out(folder: Path, report: Path):
    assert report.read_text().count("local: not for publication") == 3  # above, below, in the viewer
    bare = folder.parent / "bare.html"
    result = CliRunner().invoke(app, ["inspect", str(folder), "--html", str(bare), "--no-pixels"])

    assert result.exit_code == 0, result.output
    text = bare.read_text()
    assert "local: not for publication" not in text
    assert "UklGR" not in text  # no WebP
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert data["hr"] == data["lr"] == []
    assert len(data["id"]) == 96
    granted = folder.parent / "granted.html"
    written = write_set_page(choose_rows(folder, "source = 'demo'"), granted)
    assert written.local_only == ()
    assert "local: not for publication" not in granted.read_text()


def test_the_command_says_size_and_rows_and_that_it_is_local(folder: Path):
    out = folder.parent / "told.html"
    result = CliRunner().invoke(app, ["inspect", str(folder), "--html", str(out)])

    assert result.exit_code == 0, result.output
    assert "96 of 96 rows pictured" in result.output
    assert "local: not for publication (no grant: xiph)" in result.output


def test_what_an_audit_found_is_a_warning(folder: Path):
    leak = Finding(
        row=RowName("xiph/c0/000007", "xiph", "c0", "train"),
        other=None,
        picture="set5/bird",
        frame=None,
        scale=1.0,
        x=0.0,
        y=0.0,
        mirrored=False,
        score=99.0,
        matched=9,
        expected=9,
        same_samples=False,
    )
    out = folder.parent / "leaks.html"
    write_set_page(choose_rows(folder), out, leaks=[leak])

    assert "1 row whose picture stands elsewhere too: in set5/bird." in out.read_text()


def test_axes_have_round_limits_around_the_values():
    assert nice_range(17.3, 49.1) == (10.0, 50.0, 10.0)
    assert nice_range(5.0, 5.0) == (4.0, 6.0, 0.5)


# ------------------------------------------------------------------------------------- in the browser


def test_it_opens_filters_sorts_and_shows_more(page: Page, report: Path):
    page.open(report)

    assert page.text("#status") == "All 96 rows of the gallery"
    assert len(ids(page)) == 60
    page.one("#more").click()
    assert len(ids(page)) == 96
    page.search("c1/00000")
    assert page.text("#status") == "10 of 96 rows"
    page.search("")
    choose(page, "split", "1")
    assert page.text("#status") == "4 of 96 rows"
    choose(page, "split", "")
    page.js(
        "[...document.querySelectorAll('[data-concern]')].find((b) => b.closest('li').innerText.includes('flat')).click()"
    )
    assert ids(page) == ["xiph/c2/000000", "xiph/c2/000001"]
    choose(page, "concern", "")
    choose(page, "sort", "psnr")
    lowest = page.js(
        "return [...document.querySelectorAll('.tile .told b')].slice(0, 59).map((n) => parseFloat(n.innerText))"
    )
    assert lowest == sorted(lowest)
    page.one("#turn").click()
    assert page.text(".tile .told b") == "equal"
    page.search("nothing of this name")
    assert page.text("#tiles") == "No row fits."


def test_foreign_text_stays_text(page: Page, report: Path):
    page.open(report)

    assert EVIL in page.text(".lead")
    assert page.text("h1") == "A small set <b>of two sources</b>"
    assert page.js("return window.broken") is None
    assert page.all("img") == []


def test_bicubic_of_the_page_is_ours(page: Page, report: Path, folder: Path):
    page.open(report)
    page.search("c0/000003")
    page.one("input[name=mode][value=bicubic]").send_keys(Keys.SPACE)
    wait(page, PAINTED)
    page.settle()
    seen = page.js(
        "const c = document.querySelector('.tile canvas');"
        "return [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
    )
    row = smooth(make_rows("c0", 4, height=16, width=16))[3]
    expected = resize_bicubic_pixels(row.lr, 48, 48, rounding="once")

    got = np.array(seen[2], np.uint8).reshape(seen[1], seen[0], 4)[..., :3].transpose(2, 0, 1)
    assert np.array_equal(got, expected)


def test_sliding_over_a_tile_lays_bicubic_beside_hr(page: Page, report: Path):
    page.open(report)
    page.search("c0/000003")
    wait(page, PAINTED)
    pixels = "const c = document.querySelector('.tile canvas'); return c.toDataURL()"
    hr = page.js(pixels)
    ActionChains(page.driver).move_to_element(page.one(".tile canvas")).perform()
    wait(page, "document.querySelector('.tile canvas').toDataURL().length > 0")
    page.settle()
    assert page.js(pixels) != hr
    ActionChains(page.driver).move_to_element(page.one("#status")).perform()
    page.settle()
    assert page.js(pixels) == hr


def stage(page: Page, x: float) -> list[int]:
    """Return the colour at half the height of the viewer's picture."""
    return page.js(
        "const c = document.querySelector('#canvas'), one = document.createElement('canvas');"
        "const pen = one.getContext('2d', {willReadFrequently: true});"
        "pen.drawImage(c, -Math.floor(arguments[0] * (c.width - 1)), -(c.height >> 1));"
        "return [...pen.getImageData(0, 0, 1, 1).data]",
        x,
    )


def test_the_viewer_slides_flips_zooms_and_goes_on_by_keyboard_alone(page: Page, report: Path):
    page.open(report)
    page.search("c0/00000")
    page.js("document.querySelector('.tile').focus()")
    page.keys(Keys.ENTER)
    wait(page, "document.querySelector('#canvas').width > 300")
    page.settle()

    assert page.text("#viewer-title") == "xiph/c0/000000"
    assert page.js("return document.activeElement.id") == "stage"
    half = stage(page, 0.25)
    page.keys("3")
    hr = stage(page, 0.25)
    page.keys("1")
    lr = stage(page, 0.25)
    page.keys("2")
    assert stage(page, 0.25) == half  # bicubic, which stood left
    assert hr != lr
    assert page.one("#slider").get_attribute("value") == "1000"
    page.keys(Keys.TAB, Keys.HOME)
    assert page.one("#slider").get_attribute("value") == "0"
    assert stage(page, 0.25) == hr
    page.keys(Keys.END)
    assert stage(page, 0.25) == half
    page.js("document.querySelector('#stage').focus()")
    page.keys(Keys.ARROW_RIGHT)
    assert page.text("#viewer-title") == "xiph/c0/000001"
    assert "bicubic PSNR" in page.text("#facts")
    page.keys(Keys.ARROW_LEFT)
    assert page.text("#viewer-title") == "xiph/c0/000000"
    ActionChains(page.driver).move_to_element(page.one("#canvas")).perform()
    page.settle()
    assert page.one("#lens").is_displayed()
    page.keys(Keys.ESCAPE)
    assert not page.js("return document.querySelector('#viewer').open")
    assert page.js("return document.activeElement.className") == "tile"


def test_dragging_on_the_picture_moves_the_line_to_the_pointer(page: Page, report: Path):
    page.open(report)
    page.one(".tile").click()
    wait(page, "document.querySelector('#canvas').width > 300")
    box = page.one("#canvas").rect
    move = ActionChains(page.driver).move_to_element_with_offset(
        page.one("#canvas"), int(box["width"] * 0.3), 0
    )
    move.click_and_hold().move_by_offset(-int(box["width"] * 0.1), 0).release().perform()

    assert abs(int(page.one("#slider").get_attribute("value")) - 700) < 15


def test_a_set_without_lr_shows_hr(page: Page, tmp_path: Path):
    rows = [
        replace(row, lr=np.zeros((3, 0, 0), np.uint8))
        for row in smooth(make_rows("c0", 3, height=16, width=16))
    ]
    write_set(tmp_path / "none", {"train-00000-of-00001.parquet": [rows]})
    write_set_page(choose_rows(tmp_path / "none"), tmp_path / "none.html")
    page.open(tmp_path / "none.html")
    page.js("document.querySelector('#gallery').scrollIntoView()")
    wait(page, PAINTED)

    assert page.all("input[name=mode]") == []
    page.one(".tile").click()
    wait(page, "document.querySelector('#canvas').width > 300")
    assert page.all("#slider") == []
    assert page.text("#tag-right") == "HR"
    page.keys("1", Keys.ARROW_RIGHT)
    assert page.text("#viewer-title") == "xiph/c0/000001"


def test_without_pixels_rows_and_numbers_remain(page: Page, folder: Path):
    write_set_page(choose_rows(folder), folder.parent / "plain.html", pixels=False)
    page.open(folder.parent / "plain.html")

    assert page.all(".tile canvas") == []
    assert len(ids(page)) == 60
    page.one(".tile").click()
    assert not page.one("#stage").is_displayed()
    assert "SI" in page.text("#facts")


def test_without_javascript_all_but_the_gallery_remains(page: Page, report: Path):
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(report)
        assert "needs JavaScript" in page.text("noscript")
        assert len(page.all(".plots figure")) >= 3
        assert "0000000000" in page.text("#provenance")
        assert not page.one("#gallery").is_displayed()
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_is_legible_at_phone_and_desk_width_in_light_and_dark(
    page: Page, report: Path, tmp_path: Path, width: int, scheme: str
):
    page.open(report, width=width, scheme=scheme)
    page.settle()

    picture = page.picture()
    picture.save(tmp_path / f"set-{width}-{scheme}.png")
    assert picture.size == (width, 900)
    assert (sum(picture.getpixel((2, 450))) / 3 > 128) == (scheme == "light")
    page.js("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.js("return document.documentElement.scrollWidth") <= width
    assert page.js(CONTRAST) == []
    page.one(".tile").click()
    wait(page, "document.querySelector('#canvas').width > 300")
    assert page.one("#viewer").rect["x"] >= 0
    assert page.js("return document.querySelector('#viewer').scrollWidth") <= width
    canvas, slider = page.one("#canvas").rect, page.one("#slider").rect
    assert abs(canvas["width"] - slider["width"]) <= 6  # the slider stands below the picture, as wide as it
    assert page.js(CONTRAST) == []


def test_pictures_are_lossless(report: Path):
    data = json.loads(re.search(r'id="data">(.*?)</script>', report.read_text(), re.DOTALL)[1])  # type: ignore[index]
    place = data["id"].index("xiph/c0/000003")
    row = smooth(make_rows("c0", 4, height=16, width=16))[3]
    for name, planes in (("lr", row.lr), ("hr", row.hr)):
        with Image.open(io.BytesIO(base64.b64decode(data[name][place]))) as picture:
            assert np.array_equal(np.asarray(picture.convert("RGB")).transpose(2, 0, 1), planes)
