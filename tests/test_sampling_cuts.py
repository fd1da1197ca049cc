"""Cuts, borders, duplicates, texture and motion of clips whose truth is known."""

from collections.abc import Sequence
from pathlib import Path

import cut_clips
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.sampling.analysis import LUMA, MOTION, TEXTURE, Analyser, analyse, halved
from sr_datasets.video import open_clip, probe


def scene(seed: int, *, height: int = 180, width: int = 320) -> cut_clips.Luma:
    """Return a picture with detail of every size: rectangles of chance, large ones first."""
    draws = np.random.default_rng(seed)
    picture = np.full((height, width), 120, np.uint8)
    for number in range(300):
        size = max(3, int(160 / (1 + number / 6)))
        top, left = draws.integers(-size // 2, height), draws.integers(-size // 2, width)
        picture[max(0, top) : top + size, max(0, left) : left + size] = draws.integers(20, 230)
    return picture


def cuts_of(frames: Sequence[cut_clips.Luma]) -> list[int]:
    return np.flatnonzero(analyse(frames, 8).cut).tolist()


PANS = [
    cut_clips.pan(scene(seed), num_frames=12, per_frame=speed, shake=2)
    for seed, speed in enumerate([(0, 3), (2, -5), (1, 12), (0, 0)])
]


def test_cuts_between_different_shots_are_found_at_their_frame():
    assert cuts_of([frame for pan in PANS for frame in pan]) == [12, 24, 36]


@pytest.mark.parametrize("speed", [(0, 1), (0, 8), (0, 20), (4, -16), (12, 0)])
def test_a_fast_pan_is_no_cut(speed: tuple[int, int]):
    assert cuts_of(cut_clips.pan(scene(7), num_frames=20, per_frame=speed, shake=1)) == []


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("gain", [30, 80, 250])
def test_a_flash_is_no_cut(gain: int, length: int):
    frames = cut_clips.pan(scene(8), num_frames=16, per_frame=(0, 2))

    assert cuts_of(cut_clips.flash(frames, at=7, length=length, gain=gain)) == []


def test_fades_and_dissolves_are_no_cuts():
    one, other = PANS[0], PANS[1]
    faded = [
        *one,
        *cut_clips.fade(one[:1:-1], to=16, out=True),
        *cut_clips.fade(other[:10], to=16, out=False),
        *other[10:],
    ]
    mixed = [cut_clips.blend(one[-1], frame, (n + 1) / 13) for n, frame in enumerate(other)]

    assert cuts_of(faded) == []
    assert cuts_of([*one, *mixed, *other[::-1]]) == []


def test_noise_that_is_new_in_each_frame_has_no_cut():
    draws = np.random.default_rng(0)

    assert cuts_of(list(draws.integers(16, 236, (8, 80, 96), dtype=np.uint8))) == []


def test_a_cut_to_black_and_back_from_it_are_both_found():
    black = [np.full((180, 320), 16, np.uint8)] * 10

    assert cuts_of([*PANS[0], *black, *PANS[1]]) == [12, 22]


@pytest.mark.parametrize("name", sorted(cut_clips.REAL_CUTS))
def test_cuts_of_real_clips_are_found_and_nothing_else(real_data: Path, name: str):
    path = real_data / "video" / name
    info = probe(path)
    if info.width * info.height * info.num_frames > 50_000_000:
        pytest.skip("measured by benchmarks/cut_rates.py: it would take several seconds here")
    with open_clip(path, info) as reader:
        planes = [frame.planes[0] for frame in reader.frames(range(info.num_frames))]

    assert tuple(np.flatnonzero(analyse(planes, info.bit_depth).cut)) == cut_clips.REAL_CUTS[name]


def test_frames_shown_twice_are_duplicates_of_the_last_different_one():
    moving = cut_clips.pan(scene(3), num_frames=4, per_frame=(0, 3))
    shown = [moving[0], moving[0], moving[1], moving[2], moving[2], moving[2], moving[3]]

    assert analyse(shown, 8).duplicate.tolist() == [False, True, False, False, True, True, False]


def test_slow_drift_is_a_new_picture_once_it_adds_up():
    base = np.full((64, 64), 100 << 2, np.uint16)
    drifting = [base + number for number in range(9)]  # a quarter level of 8 bits every 4 frames, in 12 bits

    found = analyse([(frame << 2).astype(np.uint16) for frame in drifting], 12).duplicate

    assert found.tolist() == [False] * 9
    slower = analyse([frame.astype(np.uint16) for frame in drifting], 12).duplicate
    assert slower.tolist() == [False, True, True, True, False, True, True, True, False]


@settings(max_examples=40, deadline=None)
@given(
    top=st.integers(0, 30),
    bottom=st.integers(0, 30),
    left=st.integers(0, 40),
    right=st.integers(0, 40),
    level=st.integers(0, 22),
)
def test_black_borders_are_found_to_two_samples(top: int, bottom: int, left: int, right: int, level: int):
    frame = np.maximum(scene(5, height=120, width=160), 60)
    bordered = np.full((120, 160), level, np.uint8)
    bordered[top : 120 - bottom, left : 160 - right] = frame[top : 120 - bottom, left : 160 - right]

    found = analyse([bordered], 8).inside[0].tolist()

    # A pair of rows of which one is picture is picture: its mean is no longer black.
    assert found == [top // 2 * 2, left // 2 * 2, 120 - bottom // 2 * 2, 160 - right // 2 * 2]


def test_a_black_frame_has_nothing_inside_and_a_dark_one_has():
    draws = np.random.default_rng(1)
    black = draws.integers(14, 20, (60, 80), dtype=np.uint8)
    dark = np.where(np.arange(80) % 4 < 2, 60, 17).astype(np.uint8) * np.ones((60, 1), np.uint8)

    assert analyse([black], 8).inside.tolist() == [[0, 0, 0, 0]]
    assert analyse([dark], 8).inside.tolist() == [[0, 0, 60, 78]]


def test_texture_and_luma_are_those_of_the_blocks_by_hand():
    frame = np.full((40, 50), 100, np.uint8)
    frame[:16, :16] = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((2, 2), int)) * 40 + 80
    maps = analyse([frame], 8).blocks[0]

    assert maps.shape == (3, 3, 4)
    # 8x8 sums of 2x2: 40 levels, 160 quarter levels to the right and below, but at the edge to the flat part.
    half = frame[::2, ::2].astype(int) * 4
    right = np.abs(np.diff(half, axis=1, append=half[:, -1:]))[:8, :8]
    below = np.abs(np.diff(half, axis=0, append=half[-1:]))[:8, :8]
    assert maps[TEXTURE, 0, 0] == min(255, (right + below).sum() // 64)
    assert maps[LUMA, 0, 0] == 100
    assert maps[TEXTURE, 1:].max() == 0
    assert maps[LUMA].tolist() == [[100] * 4] * 3


def test_motion_is_the_change_to_the_frame_before_and_after_a_cut_to_the_next_one():
    still, moved = np.full((2, 32, 32), 60, np.uint8)
    moved = moved.copy()
    moved[16:, 16:] = 63
    found = analyse([still, still, moved], 8)
    assert [found.blocks[n][MOTION].tolist() for n in range(3)] == [[[0, 0], [0, 0]]] * 2 + [
        [[0, 0], [0, 12]]
    ]

    reel = analyse([frame for pan in PANS[:2] for frame in pan], 8)
    assert reel.cut[12]
    np.testing.assert_array_equal(reel.blocks[12][MOTION], reel.blocks[13][MOTION])
    np.testing.assert_array_equal(reel.blocks[0][MOTION], reel.blocks[1][MOTION])
    assert reel.shots() == [(0, 12), (12, 24)]


@pytest.mark.parametrize("bit_depth", [10, 12, 16])
def test_deeper_samples_of_the_same_picture_have_the_same_analysis(bit_depth: int):
    frames = PANS[1][:5]
    deep = [frame.astype(np.uint16) << (bit_depth - 8) for frame in frames]
    one, other = analyse(frames, 8), analyse(deep, bit_depth)

    for number in range(5):
        np.testing.assert_array_equal(one.blocks[number], other.blocks[number])
    np.testing.assert_array_equal(one.score, other.score)
    np.testing.assert_array_equal(one.inside, other.inside)


def test_an_analysis_stays_what_it_was_when_its_version_was_fixed():
    frames = [frame for pan in PANS for frame in pan]
    found = analyse(frames, 8)

    assert found.score[[1, 12, 13, 24]].tolist() == [408, 885, 203, 895]
    assert found.blocks[20][:, 3, 5].tolist() == [129, 138, 112]


def test_large_frames_have_larger_blocks_and_tiny_ones_are_refused():
    assert Analyser(3840, 2160, 8).add(np.zeros((2160, 3840), np.uint8)).shape == (3, 68, 120)
    assert analyse([np.zeros((2, 3), np.uint8)], 8).blocks[0].shape == (3, 1, 1)
    with pytest.raises(ValueError, match="1x5 samples of 8 bits"):
        halved(np.zeros((5, 1), np.uint8), 8)
    with pytest.raises(ValueError, match="a frame has 4x4 luma samples, the clip has 6x4"):
        analyse([np.zeros((4, 6), np.uint8), np.zeros((4, 4), np.uint8)], 8)
    with pytest.raises(ValueError, match="no frame"):
        analyse([], 8)
