"""Every manifest and recipe that ships says what the facts say, and no more."""

import csv
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from sr_datasets import catalog
from sr_datasets.facts import OBLIGATIONS
from sr_datasets.manifest import Clip, Status
from sr_datasets.recipe import GridSampling, Recipe, UniformSampling
from sr_datasets.recipe.sampling import TilesSampling
from sr_datasets.rules import CLIP_FACTS, FILE_FACTS, frame_bytes

MANIFESTS = Path(__file__).parents[1] / "manifests"
SOURCES = [
    "blender", "bsd", "bvi-aom", "cbsd68", "cdvl", "davis", "demo", "div2k", "div2k-lr", "inter4k", "mcl-jcv",
    "netflix-open", "reds", "reds-lr", "set14", "set5", "spmcs", "t91", "udm10", "uvg", "vid4", "vimeo-90k", "xiph",
    "youtube-8m", "youtube-bb", "youtube-ugc",
]  # fmt: skip
# Addresses that the publisher's files were not seen at; a person brings them.
WITHOUT_ADDRESS = {"xiph": 7, "uvg": 3}
RECIPES = ["cdvl-30", "demo", "demo-strata", "demo-textured", "espcn-t91", "open-30", "vespcn"]

# Where the table took digits of a file name for a size or rate that the name does not say:
# `Aerial3200_1920x1080` is not 3200x1920, `Skater227_1920x1080` not 227x1920, `360p25` not 60 a second.
MISREAD = {
    "aomctc_Aerial3200_1920x1080_5994_10bit_420": {"width": 1920, "height": 1080},
    "aomctc_Skater227_1920x1080_30fps": {"width": 1920, "height": 1080},
    "aomctc_BlueSky_360p25": {"frame_rate": 25},
    "aomctc_BlueSky_360p25_v2": {"frame_rate": 25},
}


@pytest.fixture(autouse=True)
def _no_manifests_of_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture(scope="session")
def facts(real_data: Path) -> Path:
    folder = real_data.parent / "facts"
    if not (folder / "xiph.csv").is_file():
        pytest.skip(f"the facts that xiph.yaml was made from are not at {folder}")
    return folder


def clip_of(name: str) -> Clip:
    source, _, clip = name.partition("/")
    return catalog.find_clip(catalog.find_source(source), clip)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_sources_and_recipes_are_those_that_the_readme_promises():
    assert catalog.source_ids() == SOURCES
    assert catalog.recipe_ids() == RECIPES


@pytest.mark.parametrize("source_id", SOURCES)
def test_a_manifest_loads_and_says_how_it_is_licensed_and_cited(source_id: str):
    source = catalog.find_source(source_id)

    assert source.title
    assert source.description
    assert source.citation.text
    assert source.licenses[source.license].name
    assert all(catalog.license_of(source, clip).name for clip in source.clips)


@pytest.mark.parametrize("source_id", SOURCES)
def test_no_clip_stands_twice_and_no_two_clips_claim_one_file(source_id: str):
    source = catalog.find_source(source_id)
    names = Counter(clip.id.lower() for clip in source.clips)
    mirrors = Counter(mirror for file in catalog.remotes_of(source) for mirror in file.mirrors)
    hashes = Counter(file.sha256 for file in catalog.remotes_of(source) if file.sha256)

    assert [name for counts in (names, mirrors, hashes) for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("source_id", SOURCES)
def test_each_fact_that_is_given_has_evidence_and_no_fact_that_is_not(source_id: str):
    source = catalog.find_source(source_id)
    if source.access != "download":
        pytest.skip("only files of a publisher need evidence")

    for item, facts in [
        *((clip, CLIP_FACTS) for clip in source.clips),
        *((archive, FILE_FACTS) for archive in source.archives),
    ]:
        for fact in facts:
            known = item.evidence_of(fact).status is not Status.UNKNOWN
            assert known == bool(getattr(item, fact)), f"{source.id}/{item.id}: {fact}"


@pytest.mark.parametrize("source_id", SOURCES)
def test_sizes_and_checksums_of_a_publisher_were_read_never_computed(source_id: str):
    source = catalog.find_source(source_id)

    for item in (*source.clips, *source.archives):
        for fact in ("size_bytes", "sha256", "sha1", "md5"):
            if source.access == "download" and getattr(item, fact) is not None:
                assert item.evidence_of(fact).status is Status.SEEN, f"{source.id}/{item.id}: {fact}"


@pytest.mark.parametrize("source_id", SOURCES)
def test_a_clip_can_be_fetched_unless_its_address_is_said_to_be_unknown(source_id: str):
    source = catalog.find_source(source_id)
    without = [clip.id for clip in source.clips if not catalog.remote_of(source, clip).mirrors]

    if source.access != "download":
        assert len(without) == len(source.clips)
        return
    assert len(without) == WITHOUT_ADDRESS.get(source_id, 0)
    for clip in without:
        remote = catalog.remote_of(source, clip_of(f"{source_id}/{clip}"))
        assert remote.evidence["mirrors"].status is Status.UNKNOWN


@pytest.mark.parametrize("source_id", SOURCES)
def test_a_size_agrees_with_the_geometry_wherever_both_are_known(source_id: str):
    for clip in catalog.find_source(source_id).clips:
        payload = frame_bytes(clip.pixel_format or "", clip.width or 0, clip.height or 0)
        if not (clip.size_bytes and clip.num_frames and payload):
            continue
        rest = clip.size_bytes - clip.num_frames * payload
        if clip.media == "raw":
            assert rest == 0, clip.id
        elif clip.mirrors and clip.mirrors[0].endswith(".y4m"):
            assert 10 <= rest - 6 * clip.num_frames <= 256, clip.id


@pytest.mark.parametrize("source_id", SOURCES)
def test_a_licence_that_forbids_or_allows_says_where_its_text_stands_or_what_it_is(source_id: str):
    for key, license_ in catalog.find_source(source_id).licenses.items():
        answers = {getattr(license_, name) for name in OBLIGATIONS}
        if license_.name in ("none stated", "not known"):
            assert answers == {"unstated"}, key
        elif answers != {"unstated"}:
            assert license_.url or license_.terms, key


# ---- the traps that were found -----------------------------------------------------------------------------

# Files whose hashes are invented: patterned digits that contradict a working script; a SHA-256 that begins with an MD5.
MADE_UP = ("56945706466", "57088123625")


def test_no_fact_rests_on_a_file_whose_hashes_are_invented():
    for source in catalog.sources():
        for item in (*source.clips, *source.archives):
            for evidence in item.evidence.values():
                assert not any(place in evidence.where for place in MADE_UP), f"{source.id}/{item.id}"


def test_the_sha256_of_div2k_is_not_the_one_that_begins_with_its_md5():
    archive = catalog.find_source("div2k").archives[0]

    assert archive.sha256 == "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"
    assert archive.md5 == "bdc2d9338d4e574fe81bf7d158758658"


def test_no_checksum_begins_with_a_shorter_one_or_repeats_its_digits():
    for source in catalog.sources():
        for item in (*source.clips, *source.archives):
            for digest in filter(None, (item.sha256, item.sha1, item.md5)):
                assert len(set(digest)) > 8, f"{source.id}/{item.id}: {digest}"
            if item.sha256 and item.md5:
                assert not item.sha256.startswith(item.md5[:16]), f"{source.id}/{item.id}"


def test_clips_of_2160p_have_the_short_names_of_the_host():
    mirrors = [mirror for clip in catalog.find_source("xiph").clips for mirror in clip.mirrors]

    assert any(mirror.endswith("/park_joy_2160p50.y4m") for mirror in mirrors)
    assert not [mirror for mirror in mirrors if mirror.endswith("_3840x2160_50fps.y4m")]


def test_a_netflix_clip_has_another_licence_in_the_publishers_bucket_than_on_the_xiph_host():
    for name in ("Netflix_Boat", "Netflix_FoodMarket"):
        xiph = catalog.find_source("xiph")
        bucket = catalog.find_source("netflix-open")
        copy = catalog.find_clip(xiph, f"{name}_4096x2160_60fps_10bit_420")
        own = catalog.find_clip(bucket, f"{name}_4096x2160_60fps_10bit_420")
        assert catalog.license_of(xiph, copy).name == "CC BY-NC-ND 4.0"
        assert catalog.license_of(xiph, copy).redistribute_derived == "no"
        assert catalog.license_of(bucket, own).name == "CC BY 4.0"
        assert catalog.license_of(bucket, own).redistribute_derived == "yes"
        assert not set(copy.mirrors) & set(own.mirrors)


def test_each_clip_of_the_aom_set_with_a_checksum_names_the_publishers_list():
    clips = [selected.clip for selected in catalog.select(["xiph:ctc"])]
    known = [clip for clip in clips if clip.md5]

    assert (len(clips), len(known)) == (89, 70)
    assert all(re.search(r"\.md5\b", clip.evidence["md5"].where) for clip in known)


# ---- xiph ------------------------------------------------------------------------------------------------


def test_xiph_has_every_row_of_the_facts_and_nothing_else(facts: Path):
    rows = read(facts / "xiph.csv")

    assert [clip.id for clip in catalog.find_source("xiph").clips] == [
        row["name"].removesuffix(".xz").removesuffix(".y4m") for row in rows
    ]
    assert len(rows) == 280


def test_what_xiph_says_of_a_clip_is_what_the_facts_say(facts: Path):
    source = catalog.find_source("xiph")

    for row in read(facts / "xiph.csv"):
        clip = catalog.find_clip(source, row["name"].removesuffix(".xz").removesuffix(".y4m"))
        remote = catalog.remote_of(source, clip)
        expected = {
            "mirrors": (row["url"],) if row["url"] else (),
            # A size that is only computed is no hard fact.
            "size_bytes": int(row["bytes"]) if row["bytes_status"] == "SEEN" else None,
            "sha256": row["sha256"] or None,
            "sha1": row["sha1"] or None,
            "md5": row["md5"] or None,
            "width": int(row["width"]) if row["width"] else None,
            "height": int(row["height"]) if row["height"] else None,
            "frame_rate": Fraction(row["fps"]) if row["fps"] else None,
            "num_frames": int(row["frames"]) if row["frames"] else None,
            "pixel_format": row["pix_fmt"] or None,
        } | MISREAD.get(row["name"], {})
        found = {fact: getattr(remote if fact in FILE_FACTS else clip, fact) for fact in expected}

        assert found == expected, clip.id


def test_every_checksum_and_size_of_the_made_manifests_was_read_in_the_facts(facts: Path):
    known = set(re.findall(r"[0-9a-f]{32,64}|\d{6,}", "".join(path.read_text() for path in facts.iterdir())))

    for source_id in SOURCES:
        source = catalog.find_source(source_id)
        if source.access != "download":
            continue
        for item in (*source.clips, *source.archives):
            for value in (item.size_bytes, item.sha256, item.sha1, item.md5):
                assert value is None or str(value) in known, f"{source_id}/{item.id}: {value}"


@pytest.mark.parametrize(
    "clip_id", ["FourPeople_1280x720_60", "Johnny_1280x720_60", "KristenAndSara_1280x720_60"]
)
def test_the_three_talkers_have_601_frames_though_tables_say_600(clip_id: str):
    clip = clip_of(f"xiph/{clip_id}")

    assert (clip.num_frames, clip.size_bytes) == (601, 830826065)
    assert "600" in clip.notes


def test_walking_in_street_stands_upright_whatever_its_name_says():
    clip = clip_of("xiph/aomctc_WalkingInStreet_1920x1080_30fps")

    assert (clip.width, clip.height) == (1080, 1920)
    assert "TRAP" in clip.notes


@pytest.mark.parametrize("name", ["Noise_Soccer_1920x1080_50fps", "Shaky_Baseball_3840x2160_5994fps"])
def test_a_stray_newline_after_the_last_frame_is_noted_and_counted_in_the_size(name: str):
    clip = clip_of(f"xiph/aomctc_{name}")

    assert "stray newline" in clip.notes
    assert clip.size_bytes is not None
    assert clip.md5 is not None


@pytest.mark.parametrize(
    ("name", "pixel_format"),
    [
        ("controlled_burn", "yuv422p"), ("touchdown_pass", "yuv422p"), ("rush_field_cuts", "yuv422p"),
        ("aspen", None), ("red_kayak", None), ("snow_mnt", None), ("speed_bag", None), ("west_wind_easy", None),
    ],
)  # fmt: skip
def test_the_chroma_of_an_ntia_clip_is_never_assumed_to_be_420(name: str, pixel_format: str | None):
    clip = clip_of(f"xiph/{name}_1080p")

    assert clip.pixel_format == pixel_format
    assert clip.license == "ntia"


def test_the_hash_that_was_seen_for_an_unpacked_film_is_not_that_of_the_packed_file():
    source = catalog.find_source("xiph")
    clip = catalog.find_clip(source, "big_buck_bunny_1080p24")

    assert clip.sha256 == "31c2c73ef1d198db6e7b7890b6b1c7b02b16056913eb4348c255129b0685a6b7"
    assert catalog.remote_of(source, clip).sha256 is None
    assert catalog.remote_of(source, clip).mirrors[0].endswith(".y4m.xz")


def test_licences_of_xiph_are_given_where_they_are_known_and_unstated_elsewhere():
    source = catalog.find_source("xiph")
    held = Counter(clip.license or source.license for clip in source.clips)

    assert held["netflix"] == 18
    assert held["svt"] == 10
    assert held["ntia"] == 8
    assert held["aomctc"] == 89
    assert source.licenses["netflix"].redistribute_derived == "no"
    assert source.licenses["unstated"].redistribute_derived == "unstated"
    assert clip_of("xiph/akiyo_cif").license is None


def test_lossy_previews_are_marked_and_in_no_group_of_hr_material():
    previews = {selected.id for selected in catalog.select(["xiph:previews"])}
    material = {selected.id for selected in catalog.select(["xiph:sd", "xiph:hd", "xiph:4k", "xiph:1080p"])}

    assert len(previews) == 2
    assert not previews & material
    assert all(selected.clip.pristine == "no" for selected in catalog.select(["xiph:previews"]))


def test_the_group_1080p_is_of_one_size_and_has_no_scene_twice():
    clips = [selected.clip for selected in catalog.select(["xiph:1080p"])]
    scenes = [re.sub(r"aomctc_|_|\d.*", "", clip.id).lower() for clip in clips]

    assert {(clip.width, clip.height) for clip in clips} == {(1920, 1080)}
    assert all("10" not in (clip.pixel_format or "") for clip in clips)
    assert len(set(scenes)) == len(scenes)


def test_the_eight_clips_of_the_espcn_paper_are_1080p():
    chosen = [selected.clip for selected in catalog.select(["xiph:espcn-8"])]

    assert len(chosen) == 8
    assert {(clip.width, clip.height) for clip in chosen} == {(1920, 1080)}


# ---- the other sources -----------------------------------------------------------------------------------


def test_uvg_has_the_seven_clips_with_the_traps_of_two():
    chosen = {selected.clip.id: selected.clip for selected in catalog.select(["uvg:uvg-7"])}

    assert len(chosen) == 7
    assert all(clip.media == "raw" for clip in chosen.values())
    assert {name: clip.num_frames for name, clip in chosen.items() if clip.num_frames != 600} == {
        "ShakeNDry": 300
    }
    assert chosen["ReadySetGo"].members[0].startswith("**/ReadySteadyGo_")


def test_uvg_has_every_row_of_the_facts_with_its_geometry(facts: Path):
    source = catalog.find_source("uvg")
    rows = read(facts / "uvg.csv")
    by_remote = {mirror: clip for clip in source.clips for mirror in catalog.remote_of(source, clip).mirrors}
    by_remote |= {clip.archive: clip for clip in source.clips if clip.archive}

    assert len(source.clips) == len(rows) == 45
    for row in rows:
        clip = by_remote.get(row["url"]) or by_remote[row["name"]]
        expected = (int(row["width"]), int(row["height"]), Fraction(row["fps"]), row["pix_fmt"])
        assert (clip.width, clip.height, clip.frame_rate, clip.pixel_format) == expected
        assert str(clip.num_frames or "") == row["frames"]
        assert not row["member"] or not clip.archive or clip.members[0] == f"**/{row['member']}"


def test_the_member_of_readysetgo_has_another_name_in_the_8_bit_archives_only():
    names = {
        "uvg/ReadySetGo": "ReadySteadyGo", "uvg/ReadySetGo_2160p": "ReadySteadyGo",
        "uvg/ReadySetGo_2160p_10bit": "ReadySetGo",
    }  # fmt: skip

    assert {name: clip_of(name).members[0][3:].partition("_")[0] for name in names} == names


def test_shakendry_has_300_frames_and_no_other_clip_of_uvg_the_cut_of_300_that_a_benchmark_lists():
    short = {clip.id for clip in catalog.find_source("uvg").clips if clip.num_frames == 300}

    assert short == {"ShakeNDry", "ShakeNDry_2160p", "ShakeNDry_2160p_10bit"}


def test_uvg_offers_sixteen_scenes_in_8_bits_and_those_of_10_that_were_seen():
    def count(group: str, **facts: object) -> int:
        clips = [selected.clip for selected in catalog.select([f"uvg:{group}"])]
        assert all(getattr(clip, name) == value for clip in clips for name, value in facts.items())
        return len(clips)

    assert count("uvg-7", width=1920, height=1080, pixel_format="yuv420p", media="raw") == 7
    assert count("uvg-9", width=3840, height=2160, pixel_format="yuv420p", media="raw") == 9
    assert count("2160p", width=3840, height=2160, pixel_format="yuv420p", media="raw") == 16
    assert count("2160p-10bit", width=3840, height=2160, pixel_format="yuv420p10le", media="raw") == 10
    assert count("y4m", media="video") == 3
    assert count("hevc", pristine="no") == 7
    assert count("vcm", license="cc-by-4.0", pixel_format="yuv444p16le") == 2


def test_what_uvg_says_of_its_archives_is_what_the_facts_say(facts: Path):
    rows = {row["name"]: row for row in read(facts / "uvg.csv")}

    for archive in catalog.find_source("uvg").archives:
        row = rows[archive.id]
        assert archive.mirrors == ((row["url"],) if row["url"] else ())
        assert str(archive.size_bytes or "") == row["bytes"]
        assert (archive.sha256 or "", archive.md5 or "") == (row["sha256"], row["md5"])


def test_vid4_has_its_true_sizes_and_171_frames():
    clips = catalog.find_source("vid4").clips

    assert {clip.id: (clip.width, clip.height, clip.num_frames) for clip in clips} == {
        "calendar": (720, 576, 41),
        "city": (704, 576, 34),
        "foliage": (720, 480, 49),
        "walk": (720, 480, 47),
    }
    assert sum(clip.num_frames or 0 for clip in clips) == 171


def test_vid4_names_no_mirror_that_holds_other_bytes():
    (archive,) = catalog.find_source("vid4").archives

    assert len(archive.mirrors) == 1
    assert archive.sha256 == "6ff336bd1c6264e76d899670374ba6182573181b10c5da41bbe15e4727881cde"


def test_the_sizes_of_set5_are_those_of_the_copies_at_hand_and_marked_as_taken_from_them(real_data: Path):
    for clip in catalog.find_source("set5").clips:
        with Image.open(real_data / "set5" / "GT" / f"{clip.id}.png") as image:
            assert image.size == (clip.width, clip.height)
        assert clip.evidence["width"].status is Status.INFERRED


def test_the_91_images_are_known_by_their_pixels_in_any_lossless_file(real_data: Path):
    clips = catalog.find_source("t91").clips
    assert len(clips) == 91
    for clip in clips:
        with Image.open(real_data / "t91" / f"{clip.id}.png") as image:
            assert image.size == (clip.width, clip.height)
            assert sha256(image.tobytes()).hexdigest() == clip.pixels_sha256


def test_t36_and_t65_are_the_same_picture_and_no_other_two_are():
    pixels: dict[str | None, list[str]] = {}
    for clip in catalog.find_source("t91").clips:
        pixels.setdefault(clip.pixels_sha256, []).append(clip.id)

    assert [names for names in pixels.values() if len(names) > 1] == [["t36", "t65"]]
    assert clip_of("t91/t65").notes == "The same picture as t36."


# Rows of extra.csv that no manifest takes: pages and lists, names without an address, and a set of which no name of a
# picture was seen.
LEFT_OUT = {
    "REDS page", "UDM10", "SPMCS test set", "YouTube UGC listing", "YouTube UGC attribution", "MCL-JCV page", "BVI-DVC",
    "JVET CTC", "Flickr2K.tar",
}  # fmt: skip


def test_every_file_of_the_facts_beyond_the_six_is_in_a_manifest_with_what_was_read_of_it(facts: Path):
    files = {
        mirror: file
        for source in catalog.sources()
        for file in (*source.archives, *source.clips)
        for mirror in file.mirrors
    }
    for row in read(facts / "extra.csv"):
        if row["name"] in LEFT_OUT:
            continue
        file = files[row["url"]]
        found = (str(file.size_bytes or ""), file.sha256 or "", file.md5 or "")
        assert found == (row["bytes"], row["sha256"], row["md5"]), row["name"]


def test_numbered_pictures_and_clips_are_all_there():
    def count(selection: str) -> int:
        return len(catalog.select([selection]))

    assert (count("div2k"), count("div2k:train"), count("div2k:valid")) == (900, 800, 100)
    assert (count("div2k-lr:x2"), count("div2k-lr:x3"), count("div2k-lr:x4")) == (900, 900, 900)
    assert (count("reds:train"), count("reds:val"), count("reds:reds4")) == (240, 30, 4)
    assert (count("bsd:train"), count("bsd:val"), count("bsd:test"), count("bsd:bsd100")) == (
        200,
        100,
        200,
        100,
    )
    assert (count("davis:480p"), count("davis:full"), count("davis:val")) == (90, 90, 30)
    assert (count("set14"), count("cbsd68"), count("inter4k"), count("udm10")) == (14, 68, 1000, 10)
    assert clip_of("div2k/0007").members == ("DIV2K_train_HR/0007.png", "**/0007.png")
    assert clip_of("reds/val-029").members == ("**/val_sharp/029/*.png",)


def test_lr_that_others_made_is_never_offered_as_hr():
    for selection in ("div2k-lr", "reds-lr"):
        assert all(selected.clip.pristine == "no" for selected in catalog.select([selection]))
    for source_id in ("div2k", "reds", "vid4", "set5", "set14", "udm10"):
        for archive in catalog.find_source(source_id).archives:
            assert not re.search(r"(?i)lr|bicubic", archive.id)


def test_the_pictures_that_the_espcn_paper_shows_are_in_the_test_set_of_bsd():
    test = {selected.clip.id for selected in catalog.select(["bsd:test"])}

    assert {"test-14092", "test-335094", "test-384022"} <= test


def test_a_source_that_lists_no_clip_says_how_a_person_brings_some():
    for source_id in ("bvi-aom", "mcl-jcv", "vimeo-90k"):
        source = catalog.find_source(source_id)
        assert source.open_ended
        assert "sr-data import" in source.how_to_get


def test_the_originals_of_youtube_ugc_are_those_that_the_excerpts_are_cut_from():
    excerpts = [selected.clip for selected in catalog.select(["youtube-ugc:excerpts"])]
    originals = [selected.clip for selected in catalog.select(["youtube-ugc:originals"])]

    assert [f"{clip.id}_64f" for clip in originals] == [clip.id for clip in excerpts]
    assert all(clip.sha256 and clip.num_frames == 64 for clip in excerpts)


def test_cdvl_lists_nothing_tells_how_to_get_it_and_forbids_passing_it_on():
    source = catalog.find_source("cdvl")

    assert source.open_ended
    assert source.clips == ()
    assert "sr-data import cdvl" in source.how_to_get
    assert source.licenses[source.license].redistribute_original == "no"
    assert source.licenses[source.license].redistribute_derived == "no"


# ---- recipes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe_id", RECIPES)
def test_a_recipe_names_clips_that_are_there(recipe_id: str):
    recipe = catalog.find_recipe(recipe_id)
    brought = {"cdvl": [Clip(id="anything")]}

    chosen = {selected.id for selected in catalog.select(recipe.clips, imported=brought)}

    assert chosen
    for patterns in recipe.split.clips.values():
        assert {selected.id for selected in catalog.select(patterns)} <= chosen


def test_the_splits_of_the_demo_share_no_clip_and_leave_none_out():
    recipe = catalog.find_recipe("demo")
    dealt = [selected.id for patterns in recipe.split.clips.values() for selected in catalog.select(patterns)]

    assert sorted(dealt) == sorted(selected.id for selected in catalog.select(recipe.clips))
    assert set(recipe.split.clips) == {"train", "val", "test"}


def test_cdvl_30_is_the_protocol_of_115_clips_and_3000_training_rows():
    recipe = catalog.find_recipe("cdvl-30")

    assert recipe.limit == 115
    assert recipe.split.counts == {"train": 100, "test": 15}
    assert isinstance(recipe.sampling, UniformSampling)
    assert recipe.split.counts["train"] * recipe.sampling.patches_per_pair == 3000
    assert recipe.sampling.lr_size == 33
    assert (recipe.where.width, recipe.where.height) == (1920, 1080)
    assert "interlaced" not in recipe.where.scan
    assert (recipe.present_only, recipe.order, recipe.drop_duplicates) == (True, "keyed", True)


def test_open_30_samples_as_cdvl_30_does():
    def how(recipe: Recipe) -> object:
        return recipe.where, recipe.sampling, recipe.degradation, recipe.scale, recipe.color, recipe.order

    assert how(catalog.find_recipe("open-30")) == how(catalog.find_recipe("cdvl-30"))


def test_espcn_t91_cuts_17x17_every_14_from_all_91_images():
    recipe = catalog.find_recipe("espcn-t91")

    assert recipe.sampling == GridSampling(lr_size=17, stride=14)
    assert (recipe.scale, recipe.color, recipe.drop_duplicates) == (3, "y", False)
    assert recipe.split.counts == {"train": -1}


def test_vespcn_is_read_as_tiled_windows_with_five_percent_of_the_training_clips_for_validation():
    recipe = catalog.find_recipe("vespcn")

    assert recipe.sampling == TilesSampling(windows_per_pair=30, lr_size=33, window=3)
    assert recipe.split.counts == {"train": 95, "val": 5, "test": 15}
    assert recipe.split.counts["val"] * 20 == recipe.split.counts["train"] + recipe.split.counts["val"]


def test_no_manifest_names_a_path_of_one_machine():
    for path in sorted(MANIFESTS.rglob("*.yaml")):
        assert not re.search(r"(?<![\w.:/])/(home|work|tmp|root|Users)/", path.read_text()), path


def test_the_made_manifests_are_what_the_script_makes(facts: Path, real_data: Path, tmp_path: Path):
    script = MANIFESTS.parent / "scripts" / "make_manifests.py"
    subprocess.run(
        [sys.executable, str(script), str(facts), "--data", str(real_data), "--out", str(tmp_path)],
        check=True,
    )

    for name in ("xiph", "uvg", "t91", "youtube-ugc", "netflix-open", "blender"):
        made, kept = tmp_path / f"{name}.yaml", MANIFESTS / "sources" / f"{name}.yaml"
        assert made.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), f"run {script} again"
