import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_datasets.dataset.order import SampleOrder

EXPECTED_ROWS = [4, 8, 2, 5, 1, 7, 0, 9, 3, 6, 7, 1, 6, 0, 3, 5, 4, 8, 9, 2]
EXPECTED_TURNS = [7, 3, 7, 3, 5, 5, 2, 1, 0, 6]

sizes = st.integers(1, 300)
seeds = st.integers(0, 2**63 - 1)


@given(num_rows=sizes, seed=seeds, epoch=st.integers(0, 10**9))
def test_every_epoch_takes_every_row_once(num_rows: int, seed: int, epoch: int):
    rows = SampleOrder(num_rows, seed=seed).rows(epoch * num_rows, num_rows)

    assert sorted(rows.tolist()) == list(range(num_rows))


@given(num_rows=sizes, seed=seeds, first=st.integers(0, 10**12), count=st.integers(0, 50))
def test_a_sample_does_not_depend_on_what_was_asked_before(num_rows: int, seed: int, first: int, count: int):
    order = SampleOrder(num_rows, seed=seed)

    rows, turns = order.rows(first, count), order.symmetries(first, count)

    one_by_one = range(first, first + count)
    assert rows.tolist() == [int(order.rows(n, 1)[0]) for n in one_by_one]
    assert turns.tolist() == [int(order.symmetries(n, 1)[0]) for n in one_by_one]


def test_epochs_and_seeds_have_orders_of_their_own():
    order, other = SampleOrder(2420, seed=0), SampleOrder(2420, seed=1)
    first, second = order.rows(0, 2420), order.rows(2420, 2420)

    for a, b in ((first, second), (first, other.rows(0, 2420)), (first, np.arange(2420))):
        # Two unrelated permutations agree in one place on average, and their ranks do not correlate.
        assert np.sum(a == b) < 10
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_rows_and_symmetries_are_even():
    order = SampleOrder(50, seed=3)

    places = order.rows(0, 50 * 2000).reshape(2000, 50)[:, 0]
    turns = order.symmetries(0, 80_000)

    assert np.bincount(places, minlength=50) == pytest.approx(np.full(50, 40), abs=30)
    assert np.bincount(turns, minlength=8) == pytest.approx(np.full(8, 10_000), rel=0.05)


def test_the_order_is_the_same_on_every_machine():
    assert SampleOrder(10, seed=2026).rows(0, 20).tolist() == EXPECTED_ROWS
    assert SampleOrder(10, seed=2026).symmetries(0, 10).tolist() == EXPECTED_TURNS


def test_an_order_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        SampleOrder(0, seed=0)
