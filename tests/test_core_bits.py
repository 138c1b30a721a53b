"""Scores: by hand, against scipy, by their properties, and their errors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from llm_from_scratch.core.bits import (
    bits_per_byte,
    bits_per_byte_interval,
    cross_entropy_bits,
    entropy_bits,
    information_bits,
    kl_bits,
    perplexity,
)

HALVES = np.array([0.5, 0.25, 0.25])


def test_information_by_hand():
    p = np.array([1 / 16, 1 / 4, 1 / 2])
    assert information_bits(p).tolist() == [4.0, 2.0, 1.0]


def test_zero_costs_infinity():
    assert information_bits(np.array([0.0, 1.0])).tolist() == [math.inf, 0.0]


def test_certainty_costs_positive_zero():
    assert not np.signbit(information_bits(np.array([1.0])))[0]


@pytest.mark.parametrize("bad", [-0.1, 1.5, math.nan])
def test_information_names_what_is_no_probability(bad):
    with pytest.raises(ValueError, match=f"got {bad}"):
        information_bits(np.array([0.5, bad]))


def test_uniform_is_eight_bits():
    nats = math.log(256)  # what a library reports: 5.545
    assert bits_per_byte(nats, 10, 10) == pytest.approx(8.0)
    assert perplexity(nats) == pytest.approx(256.0)


def test_bits_per_byte_by_hand():
    # 3 tokens of 2 bits each on average, over 12 bytes
    assert bits_per_byte(2 * math.log(2), 3, 12) == pytest.approx(0.5)


@given(st.integers(1, 50), st.floats(0.1, 9))
def test_merging_tokens_keeps_bits_per_byte(merged, nats):
    num_bytes = 50
    # the same total loss, spread over fewer tokens
    mean = nats * num_bytes / merged
    one = bits_per_byte(nats, num_bytes, num_bytes)
    assert bits_per_byte(mean, merged, num_bytes) == pytest.approx(one)


def test_stripped_bytes_change_the_score():
    text = "one\r\ntwo\r\n"
    raw, read = len(text.encode()), len(text.replace("\r\n", "\n").encode())
    assert bits_per_byte(1.0, 8, raw) < bits_per_byte(1.0, 8, read)


@pytest.mark.parametrize(("tokens", "num_bytes"), [(0, 5), (5, 0), (5, -1)])
def test_counts_must_be_positive(tokens, num_bytes):
    with pytest.raises(ValueError, match=f"{tokens} tokens and {num_bytes} b"):
        bits_per_byte(1.0, tokens, num_bytes)


def test_entropies_by_hand():
    thirds = np.full(3, 1 / 3)
    assert entropy_bits(HALVES) == 1.5
    assert cross_entropy_bits(HALVES, thirds) == pytest.approx(math.log2(3))
    assert kl_bits(HALVES, thirds) == pytest.approx(math.log2(3) - 1.5)


@pytest.mark.parametrize("seed", range(5))
def test_kl_matches_scipy_and_is_not_negative(seed):
    q, p = np.random.default_rng(seed).dirichlet(np.ones(9), size=2)
    assert kl_bits(q, p) == pytest.approx(scipy_entropy(q, p, base=2))
    assert kl_bits(q, p) > 0
    assert abs(kl_bits(q, q)) < 1e-12


def test_what_the_truth_never_draws_costs_nothing():
    assert cross_entropy_bits(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0


def test_excluding_what_happens_is_infinite():
    assert math.isinf(kl_bits(HALVES, np.array([0.5, 0.5, 0.0])))


def test_interval_uses_the_ratio_of_sums():
    # a long easy document and a short hard one: 1 bit per byte in total
    bits, size = np.array([900.0, 100.0] * 50), np.array([980, 20] * 50)
    low, high = bits_per_byte_interval(bits, size, np.random.default_rng(0))
    assert low < 1.0 < high < (bits / size).mean() - 1


def test_interval_covers_at_its_level():
    rng, hits = np.random.default_rng(1), 0
    for _ in range(200):
        size = rng.integers(50, 500, size=60)
        bits = size * rng.normal(2, 0.3, size=60)
        low, high = bits_per_byte_interval(
            bits, size, rng, level=0.8, num_resamples=300
        )
        hits += low < 2 < high
    assert 0.68 < hits / 200 < 0.90


def test_interval_is_reproducible():
    args = np.array([3.0, 4.0, 9.0]), np.array([2, 3, 4])
    one = bits_per_byte_interval(*args, np.random.default_rng(7))
    assert one == bits_per_byte_interval(*args, np.random.default_rng(7))


def test_interval_needs_two_documents():
    with pytest.raises(ValueError, match=r"at least 2 documents .*got 1"):
        bits_per_byte_interval(
            np.array([1.0]), np.array([1]), np.random.default_rng(0)
        )
