"""A mixture keeps its proportions, block by block, and forgets nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.mix import Mixture, apportion

WEIGHTS = st.lists(st.floats(0.01, 10), min_size=1, max_size=6).filter(
    lambda weights: min(weights) / sum(weights) > 1 / 1024  # a block's samples
)


def test_seats_by_hand():
    assert apportion([1, 1, 2], 8).tolist() == [2, 2, 4]
    assert apportion([1, 1, 1], 8).tolist() == [3, 3, 2]  # first of equals
    assert apportion([0.55, 0.3, 0.15], 10).tolist() == [6, 3, 1]
    assert apportion([0.54, 0.3, 0.16], 10).tolist() == [5, 3, 2]


@given(WEIGHTS, st.integers(1, 5000))
def test_seats_add_up_and_are_within_one(weights, seats):
    counts = apportion(weights, seats)
    exact = np.array(weights) / sum(weights) * seats
    assert counts.sum() == seats
    assert (abs(counts - exact) < 1 + 1e-9).all()


@given(WEIGHTS, st.integers(0, 9))
def test_every_block_holds_the_same_and_each_sample_once(weights, seed):
    mixture = Mixture(weights, seed)
    source, number = mixture(np.arange(3 * 1024))
    for block in source.reshape(3, -1):
        assert np.bincount(block).tolist() == mixture.counts.tolist()
    for k, count in enumerate(mixture.counts):
        found = np.sort(number[source == k])
        assert np.array_equal(found, np.arange(3 * count))


@given(WEIGHTS, st.integers(0, 4000))
def test_taken_counts_what_was_taken(weights, samples):
    mixture = Mixture(weights, 5)
    source, _ = mixture(np.arange(samples))
    expected = np.bincount(source, minlength=len(weights))
    assert mixture.taken(samples).tolist() == expected.tolist()


def test_a_sample_does_not_depend_on_its_company():
    mixture = Mixture([3, 1], 0, block=16)
    whole = np.stack(mixture(np.arange(100)), 1)
    for i in (0, 15, 16, 99):
        assert np.stack(mixture(np.array([i])), 1)[0].tolist() == (
            whole[i].tolist()
        )


def test_blocks_and_seeds_have_orders_of_their_own():
    a, _ = Mixture([1, 1], 0)(np.arange(2048))
    b, _ = Mixture([1, 1], 1)(np.arange(1024))
    assert not np.array_equal(a[:1024], a[1024:])
    assert not np.array_equal(a[:1024], b)


def test_one_source_is_read_in_its_own_order():
    source, number = Mixture([0.3], 0)(np.arange(5000))
    assert not source.any()
    assert np.array_equal(number, np.arange(5000))


@pytest.mark.parametrize(
    "weights", [[], [0.0, 1], [-1.0, 2], [float("nan")], [float("inf"), 1]]
)
def test_weights_must_be_positive(weights):
    with pytest.raises(ValueError, match="weights must be positive"):
        Mixture(weights, 0)


def test_a_weight_too_small_is_refused_and_not_dropped():
    with pytest.raises(ValueError, match="less than one sample in 1024"):
        Mixture([1.0, 1e-4], 0)
