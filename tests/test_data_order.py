"""A permutation visits every place once, and in no order one could guess."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data import order
from llm_from_scratch.data.order import Permutation, derive_seed, mix64

SEEDS = st.integers(-(2**70), 2**70)


@given(st.integers(1, 3000), SEEDS)
def test_every_value_comes_once(size, seed):
    values = Permutation(size, seed)(np.arange(size))
    assert np.array_equal(np.sort(values), np.arange(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 255, 256, 257, 65537])
def test_every_value_comes_once_at_the_edges(size):
    values = Permutation(size, 7)(np.arange(size))
    assert np.array_equal(np.sort(values), np.arange(size))


@given(st.integers(1, 2**62), SEEDS, st.data())
def test_the_inverse_undoes_it_at_any_size(size, seed, data):
    places = np.array(
        data.draw(st.lists(st.integers(0, size - 1), min_size=1)), np.int64
    )
    order = Permutation(size, seed)
    values = order(places)
    assert np.array_equal(order.inverse(values), places)
    assert np.array_equal(order(order.inverse(places)), places)


def test_a_place_does_not_depend_on_its_company():
    order, places = Permutation(1000, 3), np.arange(1000)
    one_by_one = [int(order(np.array([i]))[0]) for i in range(1000)]
    assert order(places).tolist() == one_by_one
    assert order(places.reshape(10, 100)).shape == (10, 100)
    assert order(places[:0]).tolist() == []


def test_the_places_given_are_not_changed():
    places = np.arange(5, dtype=np.uint64)
    Permutation(5, 0)(places)
    assert places.tolist() == [0, 1, 2, 3, 4]


def test_the_order_is_fixed_for_good():
    order = Permutation(10, 0)(np.arange(10)).tolist()
    assert order == [8, 1, 7, 5, 0, 9, 6, 3, 4, 2]
    order = Permutation(8, 0)(np.arange(8)).tolist()  # nothing to walk
    assert order == [4, 2, 7, 3, 1, 0, 6, 5]
    assert derive_seed(1, 2) == 3034449338919204061


def surprise(size):
    """Standard deviations by which chi-square exceeds what chance gives."""
    count = 2400
    seen: dict[tuple, int] = dict.fromkeys(
        itertools.permutations(range(size)), 0
    )
    for seed in range(count):
        seen[tuple(Permutation(size, seed)(np.arange(size)).tolist())] += 1
    expected = count / len(seen)
    chi = sum((n - expected) ** 2 / expected for n in seen.values())
    freedom = len(seen) - 1
    return (chi - freedom) / (2 * freedom) ** 0.5


@pytest.mark.parametrize("size", [3, 4, 5])
def test_small_orders_all_occur_about_equally_often(size):
    assert surprise(size) < 5


def test_six_rounds_are_too_few_for_five_rows(monkeypatch):
    monkeypatch.setattr(order, "ROUNDS", 6)
    assert surprise(5) > 5


@pytest.mark.parametrize("size", [100, 1000, 2**14])
def test_neighbors_are_parted(size):
    for seed in range(5):
        values = Permutation(size, seed)(np.arange(size)).astype(float)
        places = np.arange(size)
        for other in (places, np.roll(values, 1)):
            assert abs(np.corrcoef(values, other)[0, 1]) < 5 / size**0.5
        rising = (np.diff(values) > 0).mean()
        assert abs(rising - 0.5) < 5 * (12 * size) ** -0.5


def test_each_seed_has_an_order_of_its_own():
    orders = {tuple(Permutation(50, s)(np.arange(50))) for s in range(200)}
    assert len(orders) == 200


def test_seeds_of_tuples_do_not_meet():
    tuples = [
        t for n in range(1, 4) for t in itertools.product(range(9), repeat=n)
    ]
    assert len({derive_seed(*t) for t in tuples}) == len(tuples)
    assert all(0 <= derive_seed(*t) < 2**64 for t in tuples)


def test_a_bit_changes_half_of_the_bits():
    x = np.random.default_rng(0).integers(0, 2**63, 500, np.uint64)
    for bit in range(64):
        changed = mix64(x) ^ mix64(x ^ np.uint64(1 << bit))
        flipped = np.unpackbits(changed.view(np.uint8)).mean()
        assert 0.47 < flipped < 0.53


@pytest.mark.parametrize("size", [0, -1, 2**62 + 1])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(ValueError, match=f"got {size}"):
        Permutation(size, 0)


@pytest.mark.parametrize("places", [[5], [-1], [0, 7]])
def test_a_place_outside_is_refused(places):
    with pytest.raises(ValueError, match="places must be 0 to 4, got"):
        Permutation(5, 0)(np.array(places))
