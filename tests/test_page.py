"""The catalog's page: opened, filtered, sorted, hovered and copied from in headless Chromium, and looked at."""

import base64
from collections import Counter
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import CONTRAST, Page
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from typer.testing import CliRunner

from sr_datasets import catalog
from sr_datasets.cli.main import app
from sr_datasets.manifest import Citation, Clip, License, Source
from sr_datasets.report.overview import catalog_page, resolution_class, write_catalog_page

EVIL = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>\"'&{{ 7 * 7 }}"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "overview.html"
    write_catalog_page(catalog.sources(), path)
    return path


def clip(name: str, **facts: Any) -> Clip:
    return Clip(id=name, **facts)


def source(name: str, *clips: Clip, **facts: Any) -> Source:
    given: dict[str, Any] = {
        "title": name.title(),
        "description": f"What {name} holds.",
        "access": "download",
        "citation": Citation(text=f"{name}, a paper.", bibtex=f"@misc{{{name}}}"),
        "licenses": {"own": License(name=f"licence of {name}")},
        "license": "own",
        **facts,
    }
    return Source(format=1, id=name, clips=clips, **given)


def written(path: Path, *sources: Source) -> Path:
    write_catalog_page(sources, path)
    return path


FREE = License(name="CC BY 4.0", redistribute_derived="yes", commercial="yes", attribution="yes")
CLOSED = License(name="All rights reserved", redistribute_derived="no")
HD: dict[str, Any] = {"width": 1920, "height": 1080, "pixel_format": "yuv420p", "frame_rate": Fraction(25)}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return the page of three sources whose facts are known, or not, in every way."""
    return written(
        tmp_path / "small.html",
        source(
            "alpha",
            clip("far", **HD, mirrors=("https://example.org/far.y4m",), num_frames=500, size_bytes=2_000_000),
            clip(
                "near",
                mirrors=("https://example.org/near.y4m",),
                width=352,
                height=288,
                num_frames=300,
                pixel_format="yuv422p10le",
                frame_rate=Fraction(30000, 1001),
            ),
            clip("blank"),
            licenses={"free": FREE, "closed": CLOSED},
            license="free",
            groups={"cif": ("near",)},
        ),
        source(
            "beta",
            clip("film", **HD, num_frames=40, license="closed"),
            licenses={"closed": CLOSED},
            license="closed",
        ),
        source("gamma", access="manual", open_ended=True, how_to_get="Sign up.\nBring the files."),
    )


# -------------------------------------------------------------------------------------- the file itself


class Addresses(HTMLParser):
    """Collects what a document loads, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "poster", "action"):
                (self.links if tag == "a" else self.loads).append(str(value))


def test_the_page_loads_nothing_and_links_only_to_publishers():
    addresses = Addresses()
    addresses.feed(catalog_page(catalog.sources()))

    assert addresses.loads == ["data:,"]  # the icon: an empty one, so that browsers ask for none
    known = {found.homepage for found in catalog.sources()}
    known |= {license_.url for found in catalog.sources() for license_ in found.licenses.values()}
    assert {link for link in addresses.links if not link.startswith("#")} <= known


def test_the_same_catalog_gives_the_same_bytes_under_a_megabyte(tmp_path: Path):
    first = written(tmp_path / "a.html", *catalog.sources())
    second = written(tmp_path / "b.html", *catalog.sources())

    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < MEGABYTE


def test_ten_thousand_clips_stay_under_a_megabyte():
    clips = [clip(f"clip_{n:05}", **HD, num_frames=n + 1, size_bytes=10**6 + 7919 * n) for n in range(10_000)]

    assert len(catalog_page([source("many", *clips)]).encode()) < MEGABYTE


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((176, 144), "≤ CIF"), ((352, 288), "≤ CIF"), ((704, 576), "SD"), ((720, 576), "SD"), ((960, 540), "720p"),
        ((1280, 720), "720p"), ((1920, 1080), "1080p"), ((1080, 1920), "1080p"), ((2048, 1080), "2K+"),
        ((3840, 2160), "4K"), ((4096, 2160), "4K"), ((7680, 4320), "> 4K"), ((None, 2160), "unknown"),
    ],
)  # fmt: skip
def test_a_size_falls_into_the_class_of_its_samples(size: tuple[int | None, int | None], name: str):
    assert resolution_class(*size) == name


def test_without_the_program_every_licence_and_citation_is_there():
    text = catalog_page(catalog.sources()).partition('<script type="application/json"')[0]

    class Words(HTMLParser):
        said = ""

        def handle_data(self, data: str) -> None:
            self.said += data

    words = Words()
    words.feed(text)
    for found in catalog.sources():
        assert found.citation.text in words.said
        assert found.citation.bibtex.strip() in words.said
        for license_ in found.licenses.values():
            assert license_.name in words.said


def test_list_writes_the_page_of_the_catalog_or_of_a_selection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SR_DATA_HOME", str(tmp_path / "store"))
    result = CliRunner().invoke(app, ["list", "--html", str(tmp_path / "all.html")])
    part = CliRunner().invoke(app, ["list", "vid4", "--html", str(tmp_path / "vid4.html")])

    assert result.exit_code == 0, result.output
    assert (tmp_path / "all.html").read_text("utf-8") == catalog_page(catalog.sources())
    assert "1 source, 4 clips" in part.stdout
    assert "akiyo_cif" not in (tmp_path / "vid4.html").read_text("utf-8")


def test_a_page_and_json_at_once_are_a_usage_error(tmp_path: Path):
    result = CliRunner().invoke(app, ["list", "--json", "--html", str(tmp_path / "all.html")])

    assert result.exit_code == 2
    assert not (tmp_path / "all.html").exists()


# -------------------------------------------------------------------------------------- in the browser


def test_it_opens_with_every_source_and_clip(page: Page, whole: Path):
    page.open(whole)
    sources = catalog.sources()

    assert (
        page.text("#status")
        == f"All {sum(len(found.clips) for found in sources):,} clips of {len(sources)} sources"
    )
    assert [name.text for name in page.all("#matrix .name")] == [found.id for found in sources]
    assert [part.get_attribute("id") for part in page.all("details.source")] == [
        f"source-{found.id}" for found in sources
    ]
    assert len(page.all("#rows tr")) == 100
    assert page.requests() == {whole.as_uri()} | {"data:,"} & page.requests()


def test_the_counts_by_source_and_resolution_are_those_of_the_catalog(page: Page, whole: Path):
    page.open(whole)
    shown = page.js(
        "return [...document.querySelectorAll('#matrix td.cell')].map((cell) => [cell.closest('tr').querySelector('.name').innerText,"
        " cell.dataset.class, cell.innerText.trim()])"
    )

    counts = Counter(
        (found.id, resolution_class(one.width, one.height))
        for found in catalog.sources()
        for one in found.clips
    )
    assert {(row, name): int(text.replace(",", "")) for row, name, text in shown if text != "·"} == counts


@pytest.mark.parametrize(
    ("ticks", "where"),
    [
        ([("source", "xiph")], "source=xiph"),
        ([("source", "uvg"), ("source", "vid4")], "source=uvg|vid4"),
        ([("bits", "10 bit")], "bit_depth=10"),
        ([("bits", "unknown"), ("source", "xiph")], "bit_depth=unknown source=xiph"),
        ([("chroma", "4:2:2")], "chroma=422"),
        ([("access", "generated")], "access=generated"),
        ([("redistribute_derived", "no")], "redistribute_derived=no"),
        ([("commercial", "yes"), ("commercial", "no")], "commercial=yes|no"),
        ([("frames", "300 to 599"), ("size", "≤ CIF")], "frames>=300 frames<600 width<=352 height<=288"),
        ([("lossless", "no")], "pristine=no"),
        ([("bytes", "unknown")], "bytes=unknown"),
        ([("attribution", "yes"), ("chroma", "4:2:0")], "attribution=yes chroma=420"),
    ],
)
def test_a_filter_shows_what_the_same_condition_of_the_command_line_lists(
    page: Page, whole: Path, ticks: list[tuple[str, str]], where: str
):
    page.open(whole)
    for facet, value in ticks:
        page.tick(facet, value)
    expected = [item.id for item in catalog.find_clips(where=where).clips]

    assert expected
    assert page.text("#status").startswith(f"{len(expected):,} of ")
    if page.one("#more").is_displayed():
        page.js("(document.querySelector('#all:not([hidden])') || document.querySelector('#more')).click()")
    assert page.column(0) == expected


def test_the_count_beside_a_value_is_what_choosing_it_shows(page: Page, small: Path):
    page.open(small)
    page.tick("size", "1080p")

    counts = {
        box.get_attribute("value"): box.find_element(By.XPATH, "../span[last()]").text
        for box in page.all("input[data-facet='source']")
    }
    assert counts == {"alpha": "1", "beta": "1", "gamma": "0"}
    page.tick("source", "beta")
    assert page.column(0) == ["beta/film"]
    assert [chip.text for chip in page.all("#chips button")] == [
        "Source: beta",
        "Resolution: 1080p",
        "Clear all",
    ]
    page.one("#chips .clear").click()
    assert page.text("#status") == "All 4 clips of 3 sources"


def test_search_takes_names_groups_sizes_and_licences(page: Page, small: Path):
    page.open(small)

    for words, expected in {
        "near": ["alpha/near"],
        "ALPHA/ far": ["alpha/far"],
        "alpha:cif": ["alpha/near"],
        "1920x1080 reserved": ["beta/film"],
        "yuv422p10le": ["alpha/near"],
    }.items():
        page.search(words)
        assert page.column(0) == expected
    page.search("nowhere")
    assert "No clip fits" in page.text("#rows")
    assert page.text("#status") == "0 of 4 clips, 0 sources"


def test_a_press_on_a_number_shows_that_source_at_that_resolution(page: Page, small: Path):
    page.open(small)
    page.one("#matrix tr[data-source='0'] td[data-class='1080p'] button").click()

    assert page.column(0) == ["alpha/far"]
    assert "out" in page.one("#matrix tr[data-source='1']").get_attribute("class")
    page.one("#matrix tr[data-source='0'] td[data-class='1080p'] button").click()
    assert len(page.column(0)) == 4


def test_sorting_keeps_the_unknown_last_in_both_directions(page: Page, small: Path):
    page.open(small)
    head = page.one("#heads th[data-key='frames'] button")

    head.click()
    assert page.column(3) == ["500", "300", "40", "unknown"]
    assert page.one("#heads th[data-key='frames']").get_attribute("aria-sort") == "descending"
    head.click()
    assert page.column(3) == ["40", "300", "500", "unknown"]
    head.click()
    assert page.column(0) == ["alpha/far", "alpha/near", "alpha/blank", "beta/film"]
    assert page.one("#heads th[data-key='frames']").get_attribute("aria-sort") is None


def test_the_catalog_sorted_by_frames_is_sorted_by_frames(page: Page, whole: Path):
    page.open(whole)
    page.one("#heads th[data-key='frames'] button").click()
    page.js("document.querySelector('#all').click()")

    frames = [one.num_frames for found in catalog.sources() for one in found.clips]
    expected = [f"{count:,}" for count in sorted((count for count in frames if count), reverse=True)]
    assert page.column(3) == expected + ["unknown"] * frames.count(None)


def marks_of(page: Page) -> int:
    """Return how many marks the chart has for clips that are shown: each starts its own subpath."""
    return page.js(
        "return [...document.querySelectorAll('#plot path.mark')].reduce((n, path) => n + path.getAttribute('d').split('M').length - 1, 0)"
    )


def test_every_clip_has_its_mark_known_or_not(page: Page, small: Path):
    page.open(small)

    assert marks_of(page) == 4
    assert page.text("#legend").split() == ["yes", "3", "no", "1"]
    for value in ("seconds", "bytes", "decoded", "rate", "year"):
        page.js(
            "const s = document.querySelector('#measure'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))",
            value,
        )
        assert marks_of(page) == 4
        assert "unknown" in page.text("#plot")
    page.tick("source", "beta")
    assert marks_of(page) == 1


def point_at_first_mark(page: Page) -> str:
    """Point with the mouse at the first mark of the chart, and return what is said of it."""
    page.js("document.querySelector('#chart').scrollIntoView()")
    page.js("document.querySelector('#plot svg').focus({preventScroll: true})")
    page.keys(Keys.HOME)
    place = page.js(
        "const box = document.querySelector('.here').getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]"
    )
    page.js("document.activeElement.blur()")
    assert not page.one("#tip").is_displayed()
    actions = ActionChains(page.driver)
    actions.w3c_actions.pointer_action.move_to_location(int(place[0]), int(place[1]))
    actions.perform()
    page.settle()
    return page.text("#tip")


def test_pointing_at_a_mark_tells_its_facts_and_licence(page: Page, small: Path):
    page.open(small)
    page.tick("source", "beta")
    said = point_at_first_mark(page)

    assert said.startswith("beta/film\n")
    for words in (
        "1920\N{MULTIPLICATION SIGN}1080",
        "25 per second",
        "40",
        "8 bit, 4:2:0",
        "file size\nunknown",
        "All rights reserved",
        "pass on: no",
    ):
        assert words in said


def test_the_chart_is_walked_and_opened_by_keyboard(page: Page, small: Path):
    page.open(small)
    page.js("document.querySelector('#plot svg').focus()")
    seen = set()
    for key in (Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.END):
        page.keys(key)
        assert page.one("#tip").is_displayed()
        seen.add(page.text("#tip b"))
    assert len(seen) >= 3
    last = page.text("#tip b")
    assert last.replace("/", ", ", 1) in page.one("#said").get_attribute("textContent")

    page.keys(Keys.ENTER)
    assert page.one("#clip").is_displayed()
    assert page.text("#clip-title") == last
    page.keys(Keys.ESCAPE)
    assert not page.one("#clip").is_displayed()
    assert page.js("return document.activeElement.closest('#plot') !== null")


def test_a_clip_is_found_opened_and_closed_without_a_mouse(page: Page, small: Path):
    page.open(small)
    page.keys(Keys.TAB)
    assert page.js("return document.activeElement.className") == "skip"
    while page.js("return document.activeElement.id") != "search":
        page.keys(Keys.TAB)
    page.keys("near")
    for _ in range(80):
        if page.js("return document.activeElement.matches('#rows button')"):
            break
        page.keys(Keys.TAB)
    page.keys(Keys.ENTER)

    text = page.text("#clip")
    assert "alpha/near" in text
    assert "29.97 (30000/1001)" in text
    assert "10 s, computed" in text
    assert "File size\nunknown" in text
    assert "sr-data fetch alpha/near" in text
    assert "Pass on patches: yes" in text
    page.keys(Keys.ESCAPE)
    assert page.js("return document.activeElement.matches('#rows button')")


def test_citations_are_copied_as_they_stand_in_the_manifest(page: Page, whole: Path):
    page.open(whole)
    xiph = catalog.find_source("xiph")
    page.js("document.querySelector('#matrix .name[href=\"#source-xiph\"]').click()")
    page.settle()
    assert page.one("#source-xiph .body").is_displayed()

    page.keep_marks()
    page.one("#source-xiph button[data-copy='bibtex']").click()
    page.one("#source-xiph button.copied")
    assert page.clipboard() == xiph.citation.bibtex.strip()
    page.one("#source-xiph button[data-copy='text']").click()
    page.one("#source-xiph button[data-copy='text'].copied")
    assert page.clipboard() == xiph.citation.text.strip()
    page.driver.implicitly_wait(0)


def test_the_citations_of_what_is_shown_are_copied_at_once(page: Page, small: Path):
    page.open(small)
    page.tick("source", "alpha")
    page.tick("source", "gamma")

    assert page.text("#copy-bibtex") == "Copy 2 BibTeX entries"
    page.keep_marks()
    page.one("#copy-bibtex").click()
    page.one("#copy-bibtex.copied")
    page.driver.implicitly_wait(0)
    assert page.clipboard() == "@misc{alpha}\n\n@misc{gamma}"


def test_copying_works_where_the_browser_has_no_clipboard_interface(page: Page, small: Path):
    page.open(small)
    page.js(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true});"
        "document.querySelector('#source-beta').open = true"
    )
    page.one("#source-beta button[data-copy='text']").click()

    assert page.text("#source-beta button.copied") == "Copied"
    page.js("delete navigator.clipboard")
    assert page.clipboard() == "beta, a paper."


def test_foreign_text_is_shown_and_never_run(page: Page, tmp_path: Path):
    evil = source(
        "evil",
        clip("one", notes=EVIL, num_frames=3, width=64, height=48),
        title=EVIL,
        description=EVIL,
        how_to_get=EVIL,
        terms=EVIL,
        access="manual",
        citation=Citation(text=EVIL, bibtex=EVIL),
        licenses={"own": License(name=EVIL, terms=EVIL)},
    )
    page.open(written(tmp_path / "evil.html", evil))
    page.js("document.querySelector('details.source').open = true")

    assert EVIL in page.text("#source-evil .cite-text")
    assert EVIL in page.text("#matrix td.licence")
    assert EVIL in point_at_first_mark(page)
    page.one("#rows button").click()
    assert page.text("#clip").count(EVIL) >= 4
    assert page.js("return window.broken") is None
    assert page.all("img") == []


def test_facts_that_nobody_published_are_called_unknown(page: Page, tmp_path: Path):
    page.open(written(tmp_path / "blank.html", source("blank", clip("one"))))

    cells = page.js("return [...document.querySelector('#rows tr').cells].map((cell) => cell.innerText)")
    assert cells[1:] == [
        "unknown", "unknown", "unknown", "unknown", "unknown", "unknown", "licence of blank", "unstated", "unknown address",
    ]  # fmt: skip
    assert marks_of(page) == 1
    said = point_at_first_mark(page)
    assert said.count("unknown") >= 6
    page.one("#rows button").click()
    assert "sr-data import blank FILES" in page.text("#clip")  # no address is known to fetch it from


@pytest.mark.parametrize("clips", [(), (clip("one", media="image", width=9, height=9, num_frames=1),)])
def test_a_catalog_of_nothing_or_of_one_picture_is_a_page_too(
    page: Page, tmp_path: Path, clips: tuple[Clip, ...]
):
    page.open(written(tmp_path / "few.html", source("few", *clips, open_ended=True)))

    assert marks_of(page) == len(clips)
    assert page.text("#status") == f"All {len(clips)} {'clip' if len(clips) == 1 else 'clips'} of 1 source"


def test_thousands_of_clips_leave_the_page_light(page: Page, tmp_path: Path):
    many = source(
        "many",
        *(clip(f"clip_{n:04}", **HD, num_frames=n % 700 + 1) for n in range(4000)),
        *(
            clip(f"still_{n:04}", media="image", width=2040, height=1404, num_frames=1, pixel_format="rgb24")
            for n in range(900)
        ),
        *(clip(f"odd_{n:03}") for n in range(300)),
    )
    page.open(written(tmp_path / "many.html", many))

    assert page.text("#status") == "All 5,200 clips of 1 source"
    assert page.js("return document.querySelectorAll('*').length") < 4000
    assert "900" in page.text("#plot")  # a crowd is drawn as a bar with its number
    page.one("#more").click()
    assert len(page.all("#rows tr")) == 200
    assert page.js("return document.activeElement.closest('tr').rowIndex") == 101
    page.search("still_0899")
    assert page.column(0) == ["many/still_0899"]


def test_the_address_brings_a_view_back(page: Page, small: Path):
    page.open(small)
    page.tick("size", "1080p")
    page.one("#heads th[data-key='frames'] button").click()
    page.search("a")
    view = page.js("return location.hash")

    page.open(small, view=view)
    assert page.column(0) == ["alpha/far", "beta/film"]
    assert page.one("#search").get_attribute("value") == "a"
    page.open(small, view="#?size=nowhere&sort=evil&height=__proto__&colour=constructor")
    assert len(page.column(0)) == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_is_legible_at_phone_and_desk_width_in_light_and_dark(
    page: Page, whole: Path, tmp_path: Path, width: int, scheme: str
):
    page.open(whole, width=width, scheme=scheme)
    page.settle()
    if width < 900:
        assert not page.one("#facets").is_displayed()

    picture = page.picture()
    picture.save(tmp_path / f"page-{width}-{scheme}.png")
    assert picture.size == (width, 900)
    assert (sum(picture.getpixel((2, 450))) / 3 > 128) == (scheme == "light")
    assert len(picture.getcolors(1 << 20) or ()) > 50
    for view in ("", "#?source=xiph&size=1080p", "#?frames=unknown&bits=unknown&source=xiph"):
        page.open(whole, width=width, scheme=scheme, view=view)
        card = page.one("#table").rect
        for selector in ("#matrix", "#plot svg", "#clips"):
            box = page.one(selector).rect
            assert card["x"] <= box["x"]
            assert box["x"] + box["width"] <= card["x"] + card["width"] - 12, (
                f"{selector} leaves its card at {view}"
            )
    page.js("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.js("return document.documentElement.scrollWidth") <= width
    assert page.js(CONTRAST) == []
    page.js("document.querySelector('#rows button').click()")
    assert page.one("#clip").rect["x"] >= 0
    assert page.js("return document.querySelector('#clip').scrollWidth") <= width
    assert page.js(CONTRAST) == []


def test_paper_gets_every_row_and_citation_and_no_button(page: Page, small: Path):
    page.open(small, scheme="dark")
    before = page.js("return document.querySelectorAll('details.source[open]').length")
    page.js("window.dispatchEvent(new Event('beforeprint'))")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})

    assert not page.one("#panel").is_displayed()
    assert not page.one("#copy-text").is_displayed()
    assert all(part.is_displayed() for part in page.all(".source .body"))
    assert page.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.js(CONTRAST) == []
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.js("window.dispatchEvent(new Event('afterprint'))")
    assert page.js("return document.querySelectorAll('details.source[open]').length") == before
    paper = base64.b64decode(page.driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert paper.startswith(b"%PDF")


def test_without_javascript_the_sources_and_citations_remain(page: Page, small: Path):
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(small)
        assert "need JavaScript" in page.text("noscript")
        assert "352" not in page.text("#matrix")
        assert [name.text for name in page.all("#matrix .name")] == ["alpha", "beta", "gamma"]
        assert not page.one("#panel").is_displayed()
        page.one("#source-beta summary").click()
        assert "beta, a paper." in page.text("#source-beta")
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
