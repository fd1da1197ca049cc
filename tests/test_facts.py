"""What is known of a clip in one line, and the conditions that ask for it."""

from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_datasets import catalog
from sr_datasets.errors import SelectionError
from sr_datasets.facts import ClipFacts, depth_and_chroma, facts_of, judge, parse_where
from sr_datasets.manifest import Citation, Clip, ColorTags, License, Source, VideoInfo
from sr_datasets.video.formats import _all_formats

OPEN = License(name="CC BY 4.0", redistribute_derived="yes")
CLOSED = License(name="Terms of the house", redistribute_derived="no")
SOURCE = Source(
    format=1, id="here", title="Here", description="A source.", access="download", year=2017,
    citation=Citation(text="Somebody"), licenses={"open": OPEN, "closed-one": CLOSED}, license="open",
)  # fmt: skip
FULL = Clip(
    id="full", mirrors=("https://example.org/full.y4m",), width=1920, height=1080, num_frames=300,
    frame_rate=Fraction(30000, 1001), pixel_format="yuv420p10le", size_bytes=2_000_000_000, pristine="yes",
)  # fmt: skip
BARE = Clip(id="bare", license="closed-one")


@pytest.fixture(autouse=True)
def _no_manifests_of_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def answer(where: str, clip: Clip = FULL) -> bool | None:
    return judge(parse_where(where), facts_of(SOURCE, clip))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", True), ("height>=1080", True), ("height>1080", False), ("height<=1080p", True), ("height<1080", False),
        ("height=1080", True), ("height==1080", True), ("height!=1080", False), ("height=720|1080", True),
        ("height = 720 | 1080", True), ("width>=1920 height>=2160", False), ("frames>=300", True), ("frames>300", False),
        ("bit_depth=10", True), ("bit_depth>8", True), ("chroma=420", True), ("chroma=4:2:0", True),
        ("chroma=422|444", False), ("chroma!=422", True), ("rate=29.97", True), ("rate=30000/1001", True),
        ("rate=30", False), ("rate>29 rate<30", True), ("bytes<=2GB", True), ("bytes<2GB", False), ("bytes>1.5g", True),
        ("bytes>=2000000000", True), ("year>=2017", True), ("license=CC*", True), ("license=cc by 4.0", True),
        ("license=CC BY 4.0 height>=1080", True), ("license=CC BY", False), ("license=open", True),
        ("license=none*|CC BY*", True), ("license!=CC*", False), ("redistribute_derived=yes", True),
        ("redistribute_derived=no", False), ("commercial=unstated", True), ("pristine=yes", True), ("media=video", True),
        ("source=he*", True), ("clip=f???", True), ("access=download here=no", True), ("height>=1080, frames>=300", True),
        ("height>=1080 and frames>=300 & chroma=420", True), ("HEIGHT>=1080", True), ("height=unknown", False),
        ("height!=unknown", True), ("license=unknown", False),
    ],
)  # fmt: skip
def test_a_condition_lets_through_what_it_says(where: str, expected: bool):
    assert answer(where) is expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("height>=1080", None), ("height!=1080", None), ("chroma=420", None), ("pristine=yes", None),
        ("height=unknown", True), ("height=?", True), ("height!=unknown", False), ("license=Terms*", True),
        ("license=closed-*", True), ("height>=1080 license=CC*", False), ("license=Terms* bytes>1", None),
        ("access=unknown address", True),
    ],
)  # fmt: skip
def test_a_fact_that_is_not_known_decides_nothing_but_unknown(where: str, expected: bool | None):
    assert answer(where, BARE) is expected


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("heigth>=1080", "there is no fact 'heigth'. Did you mean height"),
        ("1080p", "'1080p' is no condition. Write a fact, a sign and a value, such as height>=1080."),
        ("xiph height>=1080", "'xiph' is no condition"),
        ("height", "'height' is no condition"),
        ("height>=", "'height>=': found no value, expected one such as height>=1080"),
        ("height>=tall", "'height>=tall': found 'tall', expected a number such as 1080"),
        ("height>=-3", "expected a number such as 1080"),
        ("rate=30/0", "expected a number such as 29.97"),
        ("height>=720|1080", "found 2 values, expected one with >="),
        ("license>=CC", "license is a text: compare it with = or !="),
        ("height>=unknown", "what is not known is neither more nor less"),
        ("license_key=x", "there is no fact 'license_key'"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_was_expected(where: str, said: str):
    with pytest.raises(SelectionError) as caught:
        parse_where(where)

    assert said in str(caught.value)


def test_all_wrong_conditions_are_told_at_once():
    with pytest.raises(SelectionError) as caught:
        parse_where(["heigth>3 widht<4", "x"])

    assert len(str(caught.value).splitlines()) == 3


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_of_conditions_fail_in_any_other_way(text: str):
    try:
        conditions = parse_where(text)
    except SelectionError:
        return
    assert judge(conditions, facts_of(SOURCE, FULL)) in (True, False, None)


@given(st.integers(1, 9999), st.sampled_from([">=", "<=", ">", "<", "=", "!="]))
def test_a_sign_and_its_opposite_never_agree(number: int, sign: str):
    opposite = {">=": "<", "<": ">=", "<=": ">", ">": "<=", "=": "!=", "!=": "="}[sign]

    assert answer(f"height{sign}{number}") is not answer(f"height{opposite}{number}")


def test_depth_and_chroma_are_told_of_every_format_that_is_read():
    for name, pixel_format in _all_formats().items():
        depth, chroma = depth_and_chroma(pixel_format.name)
        expected = {"gray": "400", "rgb": "rgb"}.get(pixel_format.model) or {
            (1, 1): "420", (1, 0): "422", (0, 1): "440", (0, 0): "444",
        }[pixel_format.log2_x, pixel_format.log2_y]  # fmt: skip
        assert (depth, chroma) == (pixel_format.bit_depth, expected), name


def test_what_a_probe_found_goes_before_what_the_manifest_says():
    tags = ColorTags(
        matrix="bt709", range="limited", transfer="bt709", siting="left",
        matrix_from="guessed", range_from="guessed", transfer_from="guessed", siting_from="guessed",
    )  # fmt: skip
    info = VideoInfo(
        media="video", container="y4m", codec="rawvideo", width=640, height=360, num_frames=7, frame_rate=Fraction(25),
        pixel_format="yuv422p", bit_depth=8, model="yuv", chroma_log2_x=1, chroma_log2_y=0, time_base=Fraction(1, 25),
        scan="progressive", color=tags,
    )  # fmt: skip

    facts = facts_of(SOURCE, FULL, info=info, num_bytes=99)

    assert (facts.width, facts.height, facts.frames, facts.rate) == (640, 360, 7, Fraction(25))
    assert (facts.bit_depth, facts.chroma, facts.bytes, facts.here) == (8, "422", 99, "yes")


# ---- on the catalog ---------------------------------------------------------------------------------------


def found(*patterns: str, where: str) -> list[str]:
    return [selected.id for selected in catalog.find_clips(patterns, where=where).clips]


def test_conditions_choose_clips_of_the_catalog():
    assert found("vid4", where="height=480") == ["vid4/foliage", "vid4/walk"]
    assert found("uvg", where="bit_depth=10 frames=300") == ["uvg/ShakeNDry_2160p_10bit"]
    assert found("xiph", where="license=CC BY-NC-ND*") == found(
        "xiph/*etflix_*", where="redistribute_derived=no"
    )
    assert found("vid4", where="height>=2160") == []


def test_clips_that_conditions_cannot_judge_are_told():
    result = catalog.find_clips(["xiph/aspen_1080p", "xiph/crowd_run_1080p50"], where="chroma=420")

    assert [selected.id for selected in result.clips] == ["xiph/crowd_run_1080p50"]
    assert [selected.id for selected in result.undecided] == ["xiph/aspen_1080p"]


def test_without_a_selection_every_clip_of_every_source_is_looked_at():
    everything = catalog.find_clips()

    assert len(everything.clips) == sum(len(source.clips) for source in catalog.sources())
    assert len({facts.id for facts in everything.facts}) == len(everything.facts)


def test_the_table_says_of_each_clip_what_its_facts_say(tmp_path: Path):
    frame = catalog.dataframe(["vid4", "xiph/akiyo_cif"], store=tmp_path)

    assert list(frame.columns) == [field.name for field in fields(ClipFacts)]
    assert list(frame["clip"]) == ["calendar", "city", "foliage", "walk", "akiyo_cif"]
    row = frame.iloc[4]
    assert (row["width"], row["height"], row["frames"], row["bytes"]) == (352, 288, 300, 45621044)
    assert row["rate"] == pytest.approx(30000 / 1001)
    assert frame["rate"].isna().sum() == 4
    assert str(frame["width"].dtype) == "Int64"
    assert (frame["here"] == "no").all()


def test_the_table_of_nothing_has_its_columns(tmp_path: Path):
    frame = catalog.dataframe(["vid4"], where="height>9000", store=tmp_path)

    assert len(frame) == 0
    assert "license" in frame.columns


def test_a_recipe_may_ask_for_what_a_licence_allows(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    text = (
        "format: 1\nid: mine\ntitle: Mine\nclips: [xiph]\nscale: 3\n"
        "where: {facts: redistribute_derived=yes heigth>3}\nsplit:\n  counts: {train: -1}\n"
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(
        catalog.RecipeError, match=r"mine\.yaml:6: where\.facts: 'heigth>3': there is no fact"
    ):
        catalog.load_recipe(path)

    path.write_text(text.replace(" heigth>3", ""), encoding="utf-8")
    assert catalog.load_recipe(path).where.facts == "redistribute_derived=yes"
