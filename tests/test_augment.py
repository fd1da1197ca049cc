"""Augmentation keeps LR and HR on each other, whatever is drawn, and draws by (seed, n) alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sr_datasets import Augmentation  # noqa: E402
from sr_datasets.dataset.augment import (  # noqa: E402
    channel_orders,
    crop_pair,
    crop_places,
    symmetries,
    turned,
    with_channels,
)

pytestmark = pytest.mark.torch


def coordinate_batch(
    count: int, height: int, width: int, scale: int, *, frames: int = 0, dtype: "torch.dtype"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """LR whose samples say where they are and in which channel, and HR that repeats each scale x scale times."""
    places = torch.arange(3 * height * width).view(3, height, width) % 251
    lr = places.expand(count, frames, 3, height, width) if frames else places.expand(count, 3, height, width)
    hr = places.expand(count, 3, height, width).repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    return lr.contiguous().to(dtype), hr.contiguous().to(dtype)


@settings(deadline=None)
@given(
    seed=st.integers(0, 9),
    first=st.integers(0, 2**40),
    size=st.tuples(st.integers(4, 7), st.integers(4, 7)),
    scale=st.integers(1, 4),
    crop=st.one_of(st.none(), st.integers(1, 4)),
    switches=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    frames=st.sampled_from([0, 3]),
    dtype=st.sampled_from([torch.uint8, torch.uint16, torch.float32]),
)
def test_lr_and_hr_stay_on_each_other(
    seed: int,
    first: int,
    size: tuple[int, int],
    scale: int,
    crop: int | None,
    switches: tuple[bool, bool, bool],
    frames: int,
    dtype: "torch.dtype",
) -> None:
    flip, rotate, shuffle = switches
    augment = Augmentation(seed=seed, crop=crop, flip=flip, rotate=rotate, shuffle_channels=shuffle)
    lr, hr = coordinate_batch(5, *size, scale, frames=frames, dtype=dtype)
    numbers = torch.arange(first, first + 5)

    small, large = augment(lr, hr, numbers)

    assert small.dtype == large.dtype == dtype
    expected = small[:, 1] if frames else small
    repeated = expected.to(torch.int64).repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    assert torch.equal(large.to(torch.int64), repeated)
    for place in range(5):
        alone = augment(lr[place], hr[place], first + place)
        assert torch.equal(alone[0], small[place])
        assert torch.equal(alone[1], large[place])


def test_each_draw_is_as_frequent_as_its_fellows() -> None:
    numbers = np.arange(60_000)

    assert np.bincount(symmetries(0, numbers), minlength=8) == pytest.approx(np.full(8, 7500), rel=0.06)
    places = crop_places(0, numbers, (9, 5), 4)
    assert places.shape == (60_000, 2)
    assert np.bincount(places[:, 0], minlength=6) == pytest.approx(np.full(6, 10_000), rel=0.05)
    assert np.bincount(places[:, 1], minlength=2) == pytest.approx(np.full(2, 30_000), rel=0.05)
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.02
    orders = channel_orders(0, numbers) @ [100, 10, 1]
    assert sorted(np.unique(orders).tolist()) == [12, 21, 102, 120, 201, 210]
    assert np.unique(orders, return_counts=True)[1] == pytest.approx(np.full(6, 10_000), rel=0.05)
    # The draws of one sample do not follow each other.
    assert abs(np.corrcoef(symmetries(0, numbers), places[:, 0])[0, 1]) < 0.02
    assert not np.array_equal(symmetries(0, numbers), symmetries(1, numbers))


def test_draws_are_the_same_on_every_machine() -> None:
    numbers = np.arange(6)
    assert symmetries(2026, numbers).tolist() == [7, 3, 7, 3, 5, 5]
    assert crop_places(2026, numbers, (32, 48), 24).tolist() == [
        [8, 20],
        [7, 13],
        [3, 21],
        [7, 6],
        [7, 1],
        [4, 20],
    ]
    assert (channel_orders(2026, numbers) @ [100, 10, 1]).tolist() == [12, 12, 120, 120, 210, 102]


def test_switches_leave_out_what_they_name() -> None:
    lr, hr = coordinate_batch(64, 4, 4, 2, dtype=torch.uint8)
    numbers = torch.arange(64)

    same = Augmentation(flip=False, rotate=False)(lr, hr, numbers)
    assert torch.equal(same[0], lr)
    flipped, _ = Augmentation(rotate=False)(lr, hr, numbers)
    found = {picture.numpy().tobytes() for picture in flipped}
    assert found == {lr[0].numpy().tobytes(), lr[0].flip(-1).contiguous().numpy().tobytes()}
    every, _ = Augmentation()(lr, hr, numbers)
    assert len({picture.numpy().tobytes() for picture in every}) == 8


def test_sizes_that_do_not_fit_are_refused() -> None:
    lr, hr = coordinate_batch(2, 4, 6, 2, dtype=torch.uint8)
    numbers = torch.arange(2)

    with pytest.raises(ValueError, match="a crop of 5x5 does not fit into LR of 4x6"):
        Augmentation(crop=5)(lr, hr, numbers)
    with pytest.raises(ValueError, match="no whole multiple of LR"):
        Augmentation()(lr, hr[..., 1:], numbers)
    with pytest.raises(ValueError, match="among three"):
        Augmentation(shuffle_channels=True)(lr[:, :1], hr[:, :1], numbers)
    with pytest.raises(ValueError, match="leave LR of 4x6"):
        crop_pair(lr, hr, np.array([[0, 0], [1, 3]]), size=4)


def test_frames_and_types_are_turned_and_reordered_one_like_the_other() -> None:
    lr, _ = coordinate_batch(8, 4, 4, 1, frames=2, dtype=torch.uint16)
    codes, orders = torch.arange(8), torch.tensor([[2, 0, 1]] * 8)

    for change in (lambda pixels: turned(pixels, codes), lambda pixels: with_channels(pixels, orders)):
        wide = change(lr)
        assert torch.equal(wide[:, 0].int(), change(lr[:, 0]).int())
        assert torch.equal(wide[:, 1].int(), change(lr[:, 1].to(torch.float32)).int())
