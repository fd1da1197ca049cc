"""Whether frames are whole moments: on scenes whose truth is known, and on real clips."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from clips import write_y4m
from scan_clips import MOTIONS, TEXTURES, WAYS, Way, frames_of, moments, said_of, texture, to_luma, woven

from sr_datasets.manifest import VideoInfo
from sr_datasets.video import open_clip, probe
from sr_datasets.video.scan import compare_pair, detect_scan, with_scan

INTERLACED: tuple[Way, ...] = ("top first", "bottom first")


@pytest.mark.parametrize("kind", TEXTURES)
def test_no_scene_however_fine_is_given_the_wrong_word(kind: str):
    picture = texture(kind)
    for motion, noise in product(MOTIONS[::2], (0, 8)):
        scene = moments(picture, 12, **motion)
        for way in WAYS:
            wrong = "interlaced" if way == "progressive" else "progressive"
            assert said_of(frames_of(scene, way, noise=noise)) != wrong, (motion, noise, way)


@pytest.mark.parametrize("motion", MOTIONS, ids=str)
def test_what_looks_like_a_photograph_is_told_at_every_speed(motion: dict[str, float]):
    scene = moments(texture("natural"), 12, **motion)
    for way in WAYS:
        expected = "progressive" if way == "progressive" else "interlaced"
        for noise in (0, 2):
            assert said_of(frames_of(scene, way, noise=noise)) == expected, (way, noise)


@pytest.mark.parametrize("kind", ["natural", "rows", "checker", "print", "rough"])
def test_what_is_at_rest_is_unknown_with_noise_and_without(kind: str):
    for noise, seed in product((0, 2, 8), range(4)):
        frames = frames_of(moments(texture(kind), 48), "progressive", noise=noise, seed=seed)
        assert said_of(frames) == "unknown"


def test_rows_one_sample_high_at_rest_do_not_hide_what_moves_beside_them():
    picture = texture("natural")
    picture[:80] = np.where(np.arange(80)[:, None] % 2, 20.0, 230.0)
    for way, word in (
        ("progressive", "progressive"),
        ("top first", "interlaced"),
        ("bottom first", "interlaced"),
    ):
        scene = [
            np.roll(moment, 80, axis=0) for moment in moments(np.roll(picture, 80, 0), 12, right=2, part=0.5)
        ]
        assert said_of(frames_of(scene, way)) == word


def test_pure_noise_is_unknown():
    draws = np.random.default_rng(5)
    assert said_of([to_luma(draws.normal(126, 30, (160, 240))) for _ in range(24)]) == "unknown"


@pytest.mark.parametrize("phase", range(10))
def test_film_spread_over_fields_is_not_progressive_at_any_phase(phase: int):
    scene = moments(texture("natural"), 100, right=1.5)
    assert said_of(frames_of(scene, "telecine", phase=phase)) == "interlaced"


@pytest.mark.parametrize(
    ("way", "word"),
    [("progressive", "progressive"), ("top first", "interlaced"), ("bottom first", "interlaced")],
)
def test_a_cut_does_not_change_the_word(way: Way, word: str):
    scene = moments(texture("natural"), 6, right=2) + moments(texture("natural", seed=9), 6, right=-3)
    assert said_of(frames_of(scene, way)) == word


def test_a_fade_does_not_make_frames_interlaced():
    scene = moments(texture("natural"), 24, right=0.5)
    faded = [moment * (1 - number / 30) for number, moment in enumerate(scene)]
    assert said_of(frames_of(faded, "progressive")) == "progressive"


def test_two_frames_are_too_few_for_a_word():
    assert said_of(frames_of(moments(texture("natural"), 4, right=2), "top first")) == "unknown"


def test_the_words_of_a_pair():
    scene = moments(texture("natural"), 6, right=2)
    for way, word in (
        ("progressive", "progressive"),
        ("top first", "interlaced"),
        ("bottom first", "interlaced"),
    ):
        for first, second in pairwise(frames_of(scene, way)):
            assert compare_pair(first, second) == word
    assert compare_pair(first, first) == "still"
    assert compare_pair(first[:17], second[:17]) == "still"


def test_samples_of_ten_bits_and_wide_frames_are_told_as_well():
    scene = moments(texture("natural", width=2400), 6, right=3)
    for way in ("progressive", "top first"):
        frames = [frame.astype(np.uint16) * 4 for frame in frames_of(scene, way)]
        words = {compare_pair(first, second) for first, second in pairwise(frames)}
        assert words == {"progressive" if way == "progressive" else "interlaced"}


@pytest.mark.parametrize("way", WAYS)
def test_a_clip_that_says_nothing_gets_the_word_of_its_frames(way: Way, tmp_path: Path):
    frames = frames_of(moments(texture("natural"), 12, right=2), way)
    chroma = np.full((80, 120), 128, np.uint8)
    path = write_y4m(tmp_path / "a.y4m", [(frame, chroma, chroma) for frame in frames], "F25:1")
    info = probe(path)
    assert (info.scan, info.scan_from) == ("unknown", "unknown")

    found = with_scan(path, info)

    expected = "progressive" if way == "progressive" else "interlaced"
    assert (found.scan, found.scan_from) == (expected, "detected")
    assert found.model_copy(update={"scan": "unknown", "scan_from": "unknown"}) == info


def test_the_word_of_a_stream_stands(tmp_path: Path):
    frames = frames_of(moments(texture("natural"), 12, right=2), "top first")
    chroma = np.full((80, 120), 128, np.uint8)
    path = write_y4m(tmp_path / "a.y4m", [(frame, chroma, chroma) for frame in frames], "F25:1 Ip")
    info = probe(path)

    assert (info.scan, info.scan_from) == ("progressive", "tagged")
    assert with_scan(path, info) is info


def test_a_lock_file_of_an_earlier_version_still_loads(tmp_path: Path):
    frames = [(np.zeros((16, 16), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8))]
    for header, word in (("Ip", "tagged"), ("It", "tagged"), ("I?", "unknown")):
        info = probe(write_y4m(tmp_path / "a.y4m", frames, header))
        old = info.model_dump(mode="json", exclude={"scan_from"})
        assert VideoInfo.model_validate(old) == info
        assert info.scan_from == word


MOVING = [
    "640x360_420p10.y4m",
    "av1_video.mkv",
    "bbb_642x642_vp9.webm",
    "bear-vp9.webm",
    "bikes.mp4",
    "carphone_pristine.mp4",
    "h265_10bits.mp4",
    "nasa_13013.mp4",
    "park_joy_480x270_50p_420p8.y4m",
    "roadtrip-vp92-10bit.webm",
    "small_bunny_1080p_60fps.mp4",
]


@pytest.mark.parametrize("name", MOVING)
def test_real_clips_are_progressive_and_woven_interlaced(real_data: Path, name: str):
    path = real_data / "video" / name
    info = probe(path)
    with open_clip(path, info) as reader:
        assert detect_scan(reader).scan == "progressive"
        shown = reader.frames(range(min(info.num_frames, 24)))
        frames = [(frame.planes[0] >> info.bit_depth - 8).astype(np.uint8) for frame in shown]
    if len(frames) >= 6:
        for way in INTERLACED:
            words = [compare_pair(first, second) for first, second in pairwise(woven(frames, way))]
            assert words.count("interlaced") >= 2
            assert words.count("interlaced") > words.count("progressive")


def test_a_real_clip_with_little_motion_is_not_called_interlaced(real_data: Path):
    for name in ("newtonscradle.gif", "nasa_13013_rotated.mp4"):
        path = real_data / "video" / name
        with open_clip(path, probe(path)) as reader:
            assert detect_scan(reader).scan != "interlaced"


def test_of_the_vid4_clips_foliage_is_progressive_and_calendar_mixes_moments(real_data: Path):
    # The ground truth of calendar has teeth on moving edges, which the eye sees too: its bottom rows fit the top
    # rows of the next frame better than those of their own.
    for name, word in (("foliage", "progressive"), ("calendar", "interlaced")):
        path = real_data / "vid4" / name / "GT"
        with open_clip(path, probe(path)) as reader:
            report = detect_scan(reader)
        assert report.scan == word
        assert report.num_pairs in (report.progressive, report.interlaced)
