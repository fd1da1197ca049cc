"""Fractions, choices and normal variates of ``KeyedDraws``; its integers are tested with the sampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_datasets.draws import KeyedDraws, below_each, first_words, to_normals, to_uniforms
from sr_datasets.keys import digest_of, digests_of_numbers


def test_draws_stay_what_they_were_when_the_format_was_fixed():
    draws = KeyedDraws("degrade-1", 0, "demo", "zoneplate", 3)

    assert [draws.uniform() for _ in range(3)] == [
        0.31916835785184483,
        0.7173856753333082,
        0.7721317932630465,
    ]
    assert [draws.choice([0.2, 0.7, 0.1]) for _ in range(8)] == [1, 1, 0, 1, 2, 1, 0, 1]
    assert draws.between(-2, 3) == 2.0702600695814564
    assert to_normals(draws.raws_at(0, 3)).tolist() == [
        -0.47002561684503885,
        0.5750926340544588,
        0.7458857840915193,
    ]


@given(first=st.integers(0, 40), count=st.integers(1, 20))
def test_words_can_be_taken_from_anywhere_in_the_stream(first: int, count: int):
    draws = KeyedDraws("anywhere")
    draws.uniform()

    np.testing.assert_array_equal(draws.raws_at(first, count), draws.raws_at(0, 60)[first : first + count])


def test_one_fraction_and_many_follow_the_same_rule():
    many = to_uniforms(KeyedDraws("same").raws_at(0, 5))
    one = KeyedDraws("same")

    assert many.tolist() == [one.uniform() for _ in range(5)]


def test_extreme_words_stay_inside_the_unit_interval():
    words = np.array([0, 2**64 - 1], np.uint64)

    assert to_uniforms(words).tolist() == [0.0, 1 - 2.0**-53]
    assert to_normals(words).tolist() == [-8.209536151601386, 8.209536151601386]


def test_choices_come_as_often_as_their_weights_say():
    draws = KeyedDraws("often")
    counts = np.bincount([draws.choice([1, 0, 6, 3, 0]) for _ in range(5000)], minlength=5)

    assert counts[1] == counts[4] == 0
    # Five standard deviations of a binomial count.
    np.testing.assert_allclose(counts / 5000, [0.1, 0, 0.6, 0.3, 0], atol=5 * 0.5 / np.sqrt(5000))


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -0.5], [float("nan")]])
def test_weights_that_name_no_choice_are_refused(weights: list[float]):
    with pytest.raises(ValueError, match="weight"):
        KeyedDraws("x").choice(weights)


def test_normal_variates_have_the_moments_and_the_tails_of_the_normal_distribution():
    variates = to_normals(KeyedDraws("moments").raws_at(0, 200_000))

    # The bounds are five standard errors of each estimate over 200,000 variates.
    assert abs(variates.mean()) < 5 / np.sqrt(200_000)
    assert abs((variates**2).mean() - 1) < 5 * np.sqrt(2 / 200_000)
    assert abs((variates**3).mean()) < 5 * np.sqrt(15 / 200_000)
    assert abs((variates**4).mean() - 3) < 5 * np.sqrt(96 / 200_000)
    assert abs((np.abs(variates) > 1.959963984540054).mean() - 0.05) < 5 * np.sqrt(0.05 * 0.95 / 200_000)
    assert abs(np.corrcoef(variates[:-1], variates[1:])[0, 1]) < 5 / np.sqrt(200_000)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**63 - 1), st.text(max_size=9))
def test_streams_that_are_drawn_at_once_are_those_of_keyed_draws(count: int, seed: int, name: str) -> None:
    digests = digests_of_numbers(("plan-1", seed, name), count, ("sample",))

    assert digests == [digest_of("plan-1", seed, name, number, "sample") for number in range(count)]
    for number, words in enumerate(first_words(digests).tolist()):
        draws = KeyedDraws("plan-1", seed, name, number, "sample")
        assert words == draws.raws_at(0, 4).tolist()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 9), st.integers(2**64 - 9, 2**64 - 1)),
            st.one_of(st.integers(1, 2**32 - 1), st.integers(2**32 - 9, 2**32 - 1)),
        ),
        min_size=1,
    )
)
def test_bounded_integers_that_are_made_at_once_are_those_of_the_rule(cases: list[tuple[int, int]]) -> None:
    raws, bounds = zip(*cases, strict=True)

    found, fair = below_each(np.array(raws, np.uint64), np.array(bounds))

    assert found.tolist() == [raw * bound >> 64 for raw, bound in cases]
    assert fair.tolist() == [raw * bound % 2**64 >= 2**64 % bound for raw, bound in cases]
