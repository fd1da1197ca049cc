"""Points, matching and fingerprint files of the audit, on pictures that the tests make."""

from pathlib import Path

import numpy as np
import pytest
from audit_copies import COPIES, Luma, cut, read_luma, rescaled, scene

from sr_datasets.audit.fingerprints import (
    distinct,
    fingerprint,
    luma_of,
    read_fingerprints,
    write_fingerprints,
)
from sr_datasets.audit.looking import LEAST_AGREEMENT, agreement
from sr_datasets.audit.matching import (
    Gallery,
    Match,
    build_gallery,
    can_tell,
    find_matches,
    least_score,
    load_gallery,
    save_gallery,
    score_of,
)
from sr_datasets.audit.points import find_points, join_points, mirror_mask
from sr_datasets.errors import StoreError


def gallery_of(*pictures: Luma) -> Gallery:
    parts = []
    for number, luma in enumerate(pictures):
        points = find_points(luma[np.newaxis])
        points.picture[:] = number
        parts.append(points)
    return build_gallery(
        join_points(parts),
        widths=np.array([luma.shape[1] for luma in pictures]),
        heights=np.array([luma.shape[0] for luma in pictures]),
        ranks=np.full(len(pictures), -1),
    )


def find(patch: Luma, gallery: Gallery) -> list[Match]:
    points = find_points(patch[np.newaxis])
    return list(find_matches(points, gallery, widths=np.array([patch.shape[1]]), ranks=np.array([0])))


def test_a_crop_is_found_where_it_was_cut():
    first, second = scene(1), scene(2)

    (match,) = find(second[37 : 37 + 96, 101 : 101 + 96], gallery_of(first, second))

    assert match.picture == 1
    assert not match.mirrored
    assert match.scale == pytest.approx(1, abs=0.01)
    assert (match.x, match.y) == pytest.approx((101, 37), abs=0.5)


def test_a_crop_of_a_smaller_mirrored_copy_is_found_with_its_scale():
    luma = scene(3)
    small = rescaled(luma, 0.5)[:, ::-1]

    (match,) = find(np.ascontiguousarray(small[10:106, 20:116]), gallery_of(luma))

    assert match.mirrored
    assert match.scale == pytest.approx(2, abs=0.05)
    # The patch's last column is column 128 - 1 - 115 = 12 of the small picture, about 24.5 of the large one.
    assert (match.x, match.y) == pytest.approx((24.5, 20.5), abs=1.5)


@pytest.mark.parametrize("copy", COPIES)
def test_most_crops_of_a_copy_are_found_and_none_elsewhere(copy: str):
    pictures = [scene(seed) for seed in range(10, 16)]
    gallery = gallery_of(*pictures)
    rng = np.random.default_rng(0)

    patches, found = 0, 0
    for number, luma in enumerate(pictures):
        for _ in range(2):
            patch = cut(COPIES[copy](luma), 96, rng)
            assert patch is not None
            matches = find(patch, gallery)
            assert {match.picture for match in matches} <= {number}
            patches, found = patches + 1, found + len(matches)

    assert found >= patches * (0.6 if copy in ("x 2", "H.264 CRF 35") else 0.9)


def test_mirroring_flips_the_bits_of_the_mask():
    luma = scene(4)
    points, mirrored = (
        find_points(picture[np.newaxis].copy()) for picture in (luma, np.ascontiguousarray(luma[:, ::-1]))
    )

    place = {
        (round(float(x)), round(float(y))): bits
        for x, y, bits in zip(mirrored.x, mirrored.y, mirrored.bits, strict=True)
    }
    same = [
        np.bitwise_count(place[key] ^ bits ^ mirror_mask()).sum()
        for x, y, bits in zip(points.x, points.y, points.bits, strict=True)
        if (key := (round(255 - float(x)), round(float(y)))) in place
    ]
    assert len(same) > 0.7 * len(points)
    assert np.median(same) <= 2


def test_flat_patches_have_no_points_and_are_said_to_tell_nothing():
    flat = np.full((2, 96, 96), 128, np.float32)
    flat[1] = scene(5)[:96, :96]

    assert can_tell(find_points(flat), 2).tolist() == [False, True]


def test_a_score_falls_with_the_number_of_ways_and_the_bar_rises_with_the_pairs():
    assert score_of(100, 4, 4, 1000) > score_of(100, 4, 40, 1000) > score_of(100, 4, 40, 4000)
    assert least_score(10) == least_score(100_000) == 40
    assert least_score(200_000) == pytest.approx(43)


def test_letters_of_one_font_do_not_agree_though_copies_do():
    rng = np.random.default_rng(0)
    patch, other = scene(6)[:96, :96], scene(7)[:96, :96]
    same = Match(0, 0, mirrored=False, scale=1, x=-20, y=12, matched=4, expected=9, score=45)
    shifted = np.clip(scene(6)[-12 + 12 : 96, 20:116] + rng.normal(0, 5, (96, 96)), 0, 255).astype(np.float32)

    assert agreement(patch, other, same) < LEAST_AGREEMENT
    moved = Match(0, 0, mirrored=False, scale=1, x=-20, y=0, matched=4, expected=9, score=45)
    assert agreement(patch, shifted, moved) > 0.9


def test_luma_is_the_same_in_8_and_16_bits_and_in_packed_planes():
    y = np.arange(24, dtype=np.uint8).reshape(1, 4, 6)
    packed = np.concatenate([y, np.full((1, 2, 6), 128, np.uint8)], axis=1)

    plain = luma_of(y, color="y", bit_depth=8)

    np.testing.assert_array_equal(luma_of(y.astype(np.uint16) * 4, color="y", bit_depth=10), plain)
    np.testing.assert_array_equal(luma_of(packed, color="yuv420", bit_depth=8), plain)
    np.testing.assert_allclose(luma_of(np.concatenate([y, y, y]), color="rgb", bit_depth=8), plain, rtol=1e-6)


def test_a_file_of_fingerprints_gives_back_what_was_written(tmp_path: Path):
    pictures = [fingerprint("made/a", None, scene(8)), fingerprint("made/b", 7, scene(9)[:100])]
    write_fingerprints(tmp_path / "one.npz", pictures, {"holds": "two"})
    write_fingerprints(tmp_path / "two.npz", pictures, {"holds": "two"})

    back, about = read_fingerprints(tmp_path / "one.npz")

    assert about["holds"] == "two"
    assert [(one.name, one.frame, one.width, one.height) for one in back] == [
        ("made/a", None, 256, 256),
        ("made/b", 7, 256, 100),
    ]
    for one, other in zip(back, pictures, strict=True):
        for name in ("x", "y", "sigma", "bits"):
            np.testing.assert_array_equal(getattr(one.points, name), getattr(other.points, name))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_file_that_is_none_is_said_to_be_none(tmp_path: Path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK\x03\x04 no")

    with pytest.raises(StoreError, match=r"x\.npz is not a file of fingerprints"):
        read_fingerprints(path)


def test_frames_that_hardly_differ_are_left_out():
    luma = scene(20, size=200)
    frames = [
        fingerprint("clip", index, frame) for index, frame in enumerate([luma, luma + 1, scene(21, size=200)])
    ]

    assert [one.frame for one in distinct(frames)] == [0, 2]


def test_a_gallery_is_the_same_from_files(tmp_path: Path):
    luma = scene(22)
    gallery = gallery_of(luma)
    save_gallery(gallery, tmp_path)

    patch = luma[50:130, 60:140]
    assert find(patch, load_gallery(tmp_path)) == find(patch, gallery)


def test_of_the_91_images_five_pairs_overlap_and_none_with_set5(real_data: Path):
    # Each was looked at by eye: two are one picture, four pairs are crops of one photograph.
    paths = [*sorted((real_data / "t91").glob("*.png")), *sorted((real_data / "set5/GT").glob("*.png"))]
    pictures = [read_luma(path) for path in paths]
    gallery = gallery_of(*pictures)

    pairs = {
        frozenset((paths[number].stem, paths[match.picture].stem))
        for number, luma in enumerate(pictures)
        for match in find(luma, gallery)
        if match.picture != number
    }

    assert pairs == {
        frozenset(pair)
        for pair in (("t15", "t33"), ("t26", "t32"), ("t36", "t65"), ("t56", "t57"), ("tt6", "tt7"))
    }
