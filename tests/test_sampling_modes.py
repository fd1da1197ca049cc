"""Plans that look at the pictures: what they keep away from, keep apart, reject and balance."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from cut_clips import Luma
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.sampling import (
    Analysis,
    ClipSize,
    Looks,
    Patch,
    RowPlan,
    Space,
    Spacing,
    analyse,
    deal_together,
    grid_rows,
    row_groups,
    shares,
    stratified_rows,
    tile_rows,
    uniform_rows,
)


def made(
    *,
    num_frames: int,
    cuts: list[int] | None = None,
    duplicates: list[int] | None = None,
    inside: dict[int, tuple[int, int, int, int]] | None = None,
    height: int = 96,
    width: int = 128,
) -> Analysis:
    """Return an analysis with these facts; pictures are the same everywhere."""
    cut, duplicate = np.zeros(num_frames, np.bool_), np.zeros(num_frames, np.bool_)
    cut[cuts or []], duplicate[duplicates or []] = True, True
    borders = np.tile(np.array([0, 0, height, width], np.uint16), (num_frames, 1))
    for frame, rectangle in (inside or {}).items():
        borders[frame] = rectangle
    zeros = np.zeros(num_frames, np.uint16)
    maps = np.full((3, -(-height // 16), -(-width // 16)), 50, np.uint8)
    return Analysis(
        width, height, zeros.astype(np.uint8), zeros, zeros, cut, duplicate, borders, [maps] * num_frames
    )


def clip_of(analysis: Analysis, name: str = "c", multiple: int = 1) -> ClipSize:
    return ClipSize("s", name, analysis.width, analysis.height, analysis.num_frames, multiple)


def half_flat(num_frames: int = 6, *, height: int = 120, width: int = 240) -> list[Luma]:
    """Return frames whose left half is flat and whose right half is not."""
    draws = np.random.default_rng(0)
    rough = np.kron(
        draws.integers(40, 200, (height // 4, width // 4), dtype=np.uint8), np.ones((4, 4), np.uint8)
    )
    rough[:, : width // 2] = 110
    return [np.roll(rough, (number, 0), (0, 1)) for number in range(num_frames)]


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 59), max_size=6, unique=True),
    duplicates=st.lists(st.integers(1, 59), max_size=15, unique=True),
    window=st.sampled_from([1, 3, 5, 7]),
    step=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_no_window_crosses_a_cut_or_shows_a_frame_twice(cuts, duplicates, window, step, seed):
    analysis = made(num_frames=60, cuts=cuts, duplicates=duplicates)
    try:
        space = Space(
            clip_of(analysis), Patch(8, 3, window, step), analysis=analysis, avoid=("cuts", "duplicates")
        )
    except ValueError:
        return  # nothing is left: another test has the message
    for row in uniform_rows(space, count=20, seed=seed):
        frames = row.frame_indices
        centre = frames[window // 2]
        assert frames == tuple(centre + step * k for k in range(-(window // 2), window // 2 + 1))
        assert frames[0] >= 0
        assert frames[-1] < 60
        assert not any(frames[0] < cut <= frames[-1] for cut in cuts)
        assert centre not in duplicates
        for one, other in pairwise(frames):
            assert any(between not in duplicates for between in range(one + 1, other + 1))


def test_every_window_inside_a_shot_may_be_drawn():
    analysis = made(num_frames=20, cuts=[7])
    space = Space(clip_of(analysis), Patch(8, 3, 5), analysis=analysis, avoid=("cuts",))

    assert space.centres.tolist() == [2, 3, 4, *range(9, 18)]


@settings(max_examples=60, deadline=None)
@given(
    top=st.integers(0, 20),
    left=st.integers(0, 30),
    bottom=st.integers(70, 96),
    right=st.integers(90, 128),
    margin=st.integers(0, 3),
    scale=st.sampled_from([2, 3, 4]),
    shrunk=st.sampled_from([1, 2]),
    multiple=st.sampled_from([1, 2]),
)
def test_patches_lie_inside_the_borders_of_their_shot(
    top, left, bottom, right, margin, scale, shrunk, multiple
):
    inside = dict.fromkeys(range(5, 10), (top, left, bottom, right))
    analysis = made(num_frames=10, cuts=[5], inside=inside | {7: (0, 0, 0, 0)})
    clip = ClipSize("s", "c", 128 // shrunk, 96 // shrunk, 10, multiple)
    patch = Patch(4, scale, margin=margin, shrunk=shrunk)
    space = Space(clip, patch, analysis=analysis, avoid=("borders",))
    height, width = clip.lr_size(scale)
    size = scale * shrunk

    for row in uniform_rows(space, count=25, seed=1):
        assert margin <= row.top <= height - 4 - margin
        assert margin <= row.left <= width - 4 - margin
        assert row.top % multiple == row.left % multiple == 0
        if row.frame_indices[0] >= 5:
            assert top <= row.top * size <= (row.top + 4) * size <= bottom
            assert left <= row.left * size <= (row.left + 4) * size <= right


def test_an_odd_last_row_inside_is_no_border():
    analysis = made(num_frames=1, height=81, width=99, inside={0: (0, 0, 80, 98)})
    space = Space(clip_of(analysis), Patch(27, 3), analysis=analysis, avoid=("borders",))

    assert space.places(0).tops == 1
    assert space.places(0).lefts == 33 - 27 + 1


@settings(max_examples=50, deadline=None)
@given(
    distance=st.integers(1, 10),
    near=st.integers(0, 4),
    window=st.sampled_from([1, 3]),
    count=st.integers(2, 14),
    seed=st.integers(0, 3),
)
def test_patches_of_near_windows_keep_their_distance(distance, near, window, count, seed):
    analysis = made(num_frames=12, height=150, width=180)
    rows = uniform_rows(
        Space(clip_of(analysis), Patch(8, 3, window)), count=count, seed=seed, spacing=Spacing(distance, near)
    )

    for one, other in combinations(rows, 2):
        first, second = sorted([one, other], key=lambda row: row.frame_indices[0])
        if second.frame_indices[0] - first.frame_indices[-1] <= near:
            assert max(abs(one.top - other.top), abs(one.left - other.left)) >= distance


def test_the_sweep_finds_the_last_free_places_and_then_says_so():
    analysis = made(
        num_frames=2, height=48, width=48
    )  # LR 16x16: patches of 8 have four places apart at best
    space = Space(clip_of(analysis), Patch(8, 3))

    with pytest.raises(
        ValueError, match=r"has \d+ patches that fit \(8x8 LR pixels at x3, 8 LR pixels from each other\)"
    ):
        uniform_rows(space, count=9, seed=0, spacing=Spacing(8))
    every = uniform_rows(space, count=2 * 81, seed=0)
    assert len({(row.frame_indices, row.top, row.left) for row in every}) == 162


def test_textured_rows_leave_flat_parts_out_and_a_threshold_of_nothing_is_uniform():
    frames = half_flat()
    analysis = analyse(frames, 8)
    space = Space(ClipSize("s", "c", 240, 120, 6), Patch(8, 3), analysis=analysis)
    looks = Looks(analysis, space.patch)

    def texture(row: RowPlan) -> int:
        return int(looks.texture(row.frame_indices[0], np.array([row.top]), np.array([row.left]))[0, 0])

    uniform = uniform_rows(space, count=60, seed=2)
    textured = uniform_rows(space, count=60, seed=2, min_texture=20)
    assert sum(row.left + 8 <= 40 for row in uniform) > 15
    # The flat half ends inside a block, which has texture as a whole: 112 to 128.
    assert all(row.left * 3 + 24 > 112 for row in textured)
    assert all(texture(row) >= 20 for row in textured)
    # The uniform rows that are not flat stand in it unmoved: only what was rejected was drawn again.
    assert {row for row in uniform if texture(row) >= 20} <= set(textured)


def test_a_flat_clip_is_refused_and_one_rough_place_is_found_by_the_sweep():
    flat = np.full((240, 320), 90, np.uint8)
    spot = flat.copy()
    spot[200:216, 48:64] = np.indices((16, 16)).sum(axis=0) // 2 % 2 * 200
    clip = ClipSize("s", "c", 320, 240, 3)

    def space(frames: list[Luma]) -> Space:
        return Space(clip, Patch(8, 2), analysis=analyse(frames, 8))

    with pytest.raises(
        ValueError, match=r"has 0 patches that fit \(8x8 LR pixels at x2, a texture of at least 100\)"
    ):
        uniform_rows(space([flat, flat, flat]), count=1, seed=0, min_texture=100)
    (row,) = uniform_rows(space([flat, flat, spot]), count=1, seed=0, min_texture=100)
    assert row.frame_indices == (2,)
    assert (abs(row.top - 100) <= 8, abs(row.left - 24) <= 8) == (True, True)


def test_looks_weigh_blocks_by_the_area_that_a_patch_has_of_them():
    draws = np.random.default_rng(3)
    maps = draws.integers(0, 256, (3, 6, 8), dtype=np.uint8)
    analysis = made(num_frames=1)
    object.__setattr__(analysis, "blocks", [maps])
    looks = Looks(analysis, Patch(5, 3))
    pixels = np.kron(maps.astype(np.int64), np.ones((16, 16), np.int64))
    rows, columns = np.arange(0, 27), np.arange(0, 37)

    texture, _, luma = looks.of(0, rows, columns)

    for which, found in ((0, luma), (1, texture)):
        by_hand = [
            [pixels[which, 3 * top : 3 * top + 15, 3 * left : 3 * left + 15].sum() // 225 for left in columns]
            for top in rows
        ]
        np.testing.assert_array_equal(found, by_hand)
    np.testing.assert_array_equal(looks.texture(0, rows, columns), texture)


@pytest.mark.parametrize("speed", [1, 2, 3])
def test_speed_is_about_that_of_what_moves(speed: int):
    y, x = np.mgrid[0:96, 0:320]
    picture = (120 + 50 * np.sin(x / 7) + 30 * np.sin(y / 9 + x / 31)).astype(np.uint8)
    frames = [picture[:, 4 * speed - speed * number :][:, :256] for number in range(4)]
    looks = Looks(analyse(frames, 8), Patch(16, 3))

    _, found, _ = looks.of(2, np.arange(0, 16, 4), np.arange(0, 60, 10))

    # Along the stripes' normal: what lies along the motion is most of it.
    assert 2.5 * speed <= np.median(found) <= 8 * speed


def test_strata_are_filled_evenly():
    draws = np.random.default_rng(5)
    frames = []
    for number in range(8):
        frame = np.full((240, 320), 40, np.uint8)
        frame[:, 80:160] = 180
        frame[120:, :] += draws.integers(0, 60, (120, 320), dtype=np.uint8)  # new noise: rough, and it moves
        frame[:120, 160:] = np.kron(np.indices((30, 40)).sum(axis=0) % 2, np.ones((4, 4), int)) * 120 + 40
        frame[120:, 300:] = 235
        frames.append(frame if number else frame.copy())
    analysis = analyse(frames, 8)
    space = Space(ClipSize("s", "c", 320, 240, 8), Patch(8, 2), analysis=analysis)
    edges = ((20, 80), (2, 6), (80, 125))
    looks = Looks(analysis, space.patch)

    def stratum(row: RowPlan) -> tuple[int, ...]:
        at = np.array([row.top]), np.array([row.left])
        return tuple(
            int(np.searchsorted(limits, found[0, 0], side="right"))
            for limits, found in zip(edges, looks.of(row.frame_indices[0], *at), strict=True)
        )

    rows = stratified_rows(space, count=62, seed=0, edges=edges)
    numbers = np.unique([stratum(row) for row in rows], axis=0, return_counts=True)[1]
    assert len(numbers) >= 6
    assert numbers.max() - numbers.min() <= 1
    even = np.unique(
        [stratum(row) for row in uniform_rows(space, count=62, seed=0)], axis=0, return_counts=True
    )[1]
    assert even.max() > 2 * numbers.max()
    assert len({(row.frame_indices, row.top, row.left) for row in rows}) == 62
    assert stratified_rows(space, count=20, seed=0, edges=edges) == rows[:20]
    assert stratified_rows(space, count=20, seed=1, edges=edges) != rows[:20]


def test_a_small_stratum_gives_what_it_has_and_others_the_rest():
    frames = half_flat(2)
    analysis = analyse(frames, 8)
    space = Space(ClipSize("s", "c", 240, 120, 2), Patch(12, 5), analysis=analysis)
    edges: tuple[tuple[int, ...], ...] = ((20,), (), ())

    rows = stratified_rows(space, count=30, seed=0, edges=(edges[0], (), ()))
    assert len(rows) == 30
    with pytest.raises(
        ValueError, match=r"has \d+ patches that fit .*, of 2 strata, the recipe asks for 500"
    ):
        stratified_rows(space, count=500, seed=0, edges=(edges[0], (), ()))


def test_tiles_cover_their_windows_side_by_side():
    analysis = made(num_frames=30, cuts=[10], height=100, width=230)
    space = Space(
        clip_of(analysis), Patch(11, 3, 3), analysis=analysis, avoid=("cuts",)
    )  # LR 33 x 76: 3 x 6 tiles
    rows = tile_rows(space, windows=4, seed=0, min_frames=3)

    centres = list(dict.fromkeys(row.frame_indices[1] for row in rows))
    assert len(rows) == 4 * 18
    assert centres == sorted(centres)
    assert min(np.diff(centres)) >= 3
    assert not {9, 10} & set(centres)
    for centre in centres:
        mine = [(row.top, row.left) for row in rows if row.frame_indices[1] == centre]
        assert mine == [(top, left) for top in (0, 11, 22) for left in range(0, 66, 11)]
    with pytest.raises(
        ValueError, match=r"has \d windows of 3 frames that fit, 9 frames apart, the recipe asks for 5"
    ):
        tile_rows(space, windows=5, seed=0, min_frames=9)


def test_tiles_and_grids_begin_inside_margins_and_borders():
    analysis = made(num_frames=2, inside=dict.fromkeys(range(2), (10, 20, 90, 120)))
    space = Space(clip_of(analysis), Patch(8, 3, margin=1), analysis=analysis, avoid=("borders",))

    tiles = tile_rows(space, windows=1, seed=0)
    assert {row.top for row in tiles} == {4, 12, 20}  # ceil(10 / 3) .. 30
    assert {row.left for row in tiles} == {7, 15, 23, 31}
    assert {row.top for row in grid_rows(space, stride=5, frame_step=1)} == {4, 9, 14, 19}


def test_groups_end_between_windows():
    rows = tile_rows(Space(ClipSize("s", "c", 128, 96, 9), Patch(8, 3)), windows=5, seed=0)  # 20 tiles each

    assert [len(group) for group in row_groups(rows, 45)] == [40, 40, 20]
    assert [len(group) for group in row_groups(rows, 15)] == [15, 5, 15, 5, 15, 5, 15, 5, 15, 5] or all(
        len(group) <= 15 for group in row_groups(rows, 15)
    )
    assert [row for group in row_groups(rows, 45) for row in group] == list(rows)


def test_what_cannot_be_met_says_what_was_found():
    analysis = made(num_frames=6, cuts=[2, 4], duplicates=[1])
    clip = clip_of(analysis)

    with pytest.raises(
        ValueError, match=r"no frame left .* windows of 5 frames .*6 frames, 2 cuts, 1 duplicates"
    ):
        Space(clip, Patch(8, 3, 5), analysis=analysis, avoid=("cuts", "duplicates"))
    with pytest.raises(ValueError, match=r"fewer than the window of 9 \(5 frames, every 2th\)"):
        Space(clip, Patch(8, 3, 5, step=2))
    with pytest.raises(
        ValueError, match=r"LR of 42x32 at x3, 13 kept from each edge, too small for patches of 8x8"
    ):
        Space(clip, Patch(8, 3, margin=13))
    with pytest.raises(ValueError, match="cannot avoid cuts without an analysis"):
        Space(clip, Patch(8, 3), avoid=("cuts",))
    with pytest.raises(ValueError, match="has 7 frames, but its analysis has 6"):
        Space(ClipSize("s", "c", 128, 96, 7), Patch(8, 3), analysis=analysis)


def test_ratios_deal_every_clip_by_largest_remainder():
    assert shares(200, {"train": 0.8, "val": 0.05, "test": 0.15}) == {"train": 160, "val": 10, "test": 30}
    assert shares(7, {"train": 0.5, "val": 0.5}) == {"train": 4, "val": 3}
    assert shares(0, {"train": 1.0}) == {"train": 0}


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    train=st.floats(0.1, 0.9),
)
def test_groups_are_never_torn_and_single_clips_fill_splits_in_order(sizes: list[int], train: float):
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    dealt = shares(len(groups), {"train": train, "val": 1 - train})
    splits = deal_together(groups, dealt)

    assert None not in splits
    assert len({(group, split) for group, split in zip(groups, splits, strict=True)}) == len(sizes)
    assert len(sizes) < 2 or len(set(splits)) == 2
    alone = deal_together([str(number) for number in range(len(groups))], dealt)
    assert alone == ["train"] * dealt["train"] + ["val"] * dealt["val"]
    assert deal_together(["a", "b", "c"], {"train": 1, "test": 1}) == ["train", "test", None]
