"""n-gram models: by hand, against a dictionary of counts, by properties."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_from_scratch.model.ngram import (
    AdaptiveNGram,
    CountTable,
    NGram,
    find_codes,
    gram_codes,
    ngram_distribution,
)

TEXT = b"the cat sat on the mat; the rat ran. " * 3 + bytes(range(0, 256, 5))


def naive(data: bytes, order: int, history: bytes) -> list[float]:
    """Witten-Bell with dictionaries and no trick: 256 probabilities."""
    p = [1 / 256] * 256
    for k in range(min(order, len(history) + 1)):
        after = defaultdict(Counter)
        for t in range(k, len(data)):
            after[data[t - k : t]][data[t]] += 1
        n = after.get(history[len(history) - k :])
        if n:
            total, types = n.total(), len(n)
            p = [(n[x] + types * p[x]) / (total + types) for x in range(256)]
    return p


def test_codes_by_hand():
    assert gram_codes(b"abc", 2).tolist() == [0x61, 0x6162, 0x616263]


def test_eight_bytes_fit_a_code():
    assert int(gram_codes(b"\xff" * 8, 7)[-1]) == 2**64 - 1


def test_counts_by_hand():
    table = CountTable.count(gram_codes(b"ababac", 1)[1:])
    a = [int.from_bytes(g) for g in (b"ab", b"ac", b"ba", b"bb")]
    n, total, types = table.lookup(np.array(a, np.uint64))
    assert n.tolist() == [2, 1, 2, 0]
    assert total.tolist() == [3, 3, 2, 2]
    assert types.tolist() == [2, 2, 1, 1]


def test_find_codes_past_both_ends():
    keys = np.array([2, 4], np.uint64)
    _, there = find_codes(keys, np.array([1, 2, 3, 4, 5], np.uint64))
    assert there.tolist() == [False, True, False, True, False]


def test_witten_bell_by_hand():
    # after "q": "u" twice and "a" once, so N = 3 and T = 2
    model = NGram(2).fit(b"quququqa"[2:])  # q u q u q a
    p = ngram_distribution(model, b"q")
    unigram = ngram_distribution(model, b"")
    assert unigram[ord("q")] == pytest.approx((3 + 3 / 256) / 9)
    assert p[ord("u")] == pytest.approx((2 + 2 * unigram[ord("u")]) / 5)
    assert p[ord("z")] == pytest.approx(2 * (3 / 256 / 9) / 5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(b"abq\x00\xff"), min_size=4, max_size=60),
    st.integers(0, 4),
    st.lists(st.sampled_from(b"abz\x00\xff"), max_size=5),
)
def test_matches_dictionaries(data, order, history):
    model = NGram(order).fit(bytes(data))
    expected = naive(bytes(data), order, bytes(history))
    got = ngram_distribution(model, bytes(history))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("order", range(9))
def test_sums_to_one_in_every_context(order):
    model = NGram(order).fit(TEXT)
    for history in (b"", b"the", b"the cat", b"\xff\xfe", TEXT):
        assert ngram_distribution(model, history).sum() == pytest.approx(1)


def test_continuations_share_out_their_beginning():
    model = NGram(3).fit(b"\x00\x01\x01\x00\x01")
    for first in (0, 1, 200):
        pairs = [bytes([first, second]) for second in range(256)]
        joint = sum(model.probabilities(pair)[3].prod() for pair in pairs)
        begin = model.probabilities(bytes([first]))[3, 0]
        assert joint == pytest.approx(begin)


def test_array_code_matches_single_places():
    model, text = NGram(8).fit(TEXT), b"the rat sat on \xe2\x82\xac"
    rows = model.probabilities(text)
    for k in range(9):
        lower = NGram(k).fit(TEXT)
        for t in range(len(text)):
            one = ngram_distribution(lower, text[:t])[text[t]]
            assert rows[k, t] == pytest.approx(one, rel=1e-12)


def test_every_byte_has_a_probability():
    p = NGram(8).fit(TEXT).probabilities(bytes(range(256)))
    assert (p > 0).all()
    assert (p <= 1).all()


def test_a_byte_sees_only_the_past():
    model, text = NGram(5).fit(TEXT), bytearray(b"the cat ran to the mat")
    before = model.probabilities(bytes(text))
    text[9] ^= 1
    same = before == model.probabilities(bytes(text))
    assert same[:, :9].all()
    assert not same[:, 9].all()


def test_scoring_does_not_teach():
    model, text = NGram(4).fit(TEXT), b"a new word: zyzzyva"
    first = model.probabilities(text)
    assert (first == model.probabilities(text)).all()


def test_history_makes_pieces_equal_to_the_whole():
    model, text = NGram(6).fit(TEXT), b"the mat on the cat sat the rat"
    whole = model.probabilities(text)
    pieces = [
        model.probabilities(text[i : i + 7], history=text[:i])
        for i in range(0, len(text), 7)
    ]
    assert (np.concatenate(pieces, 1) == whole).all()


def test_cold_windows_cost_more():
    model, text = NGram(6).fit(TEXT), TEXT[:96]
    cold = [model.probabilities(text[i : i + 8])[6] for i in range(0, 96, 8)]
    warm = model.probabilities(text)[6]
    assert np.log2(warm).sum() > np.log2(np.concatenate(cold)).sum() + 20


def test_a_zero_byte_is_a_byte():
    model = NGram(3).fit(b"\x00ab\x00ab\x00ac")
    assert ngram_distribution(model, b"\x00a")[ord("b")] > 0.5


def test_fit_forgets():
    model = NGram(2).fit(b"aaaa").fit(b"bbbb")
    assert ngram_distribution(model, b"")[ord("a")] < 0.01


def test_order_zero_knows_nothing():
    p = NGram(0).fit(b"").probabilities(b"any")
    assert p.tolist() == [[1 / 256] * 3]


@pytest.mark.parametrize("order", [-1, 9])
def test_order_must_fit(order):
    with pytest.raises(ValueError, match=f"0 to 8, got {order}"):
        NGram(order)


def test_text_shorter_than_the_order_is_an_error():
    with pytest.raises(ValueError, match="2 bytes hold no gram of order 3"):
        NGram(3).fit(b"ab")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(b"ab\x00"), min_size=1, max_size=60).map(bytes),
    st.integers(0, 4),
)
@example(b"abababa", 4)
def test_adaptive_equals_a_fresh_fit(data, order):
    source = AdaptiveNGram(order)
    for byte in data:
        source.update(byte)
    weights = source.frequencies()
    expected = naive(data, order, data)
    np.testing.assert_allclose(
        weights / weights.sum(), expected, atol=2e-4, rtol=1e-3
    )


def test_adaptive_weights_are_integers():
    source = AdaptiveNGram(3)
    for byte in TEXT:
        weights = source.frequencies()
        assert np.issubdtype(weights.dtype, np.integer)
        assert weights.min() >= 1
        assert weights.sum() <= 2**30
        source.update(byte)


def test_adaptive_sources_share_nothing():
    one, two = AdaptiveNGram(2), AdaptiveNGram(2)
    one.update(65)
    assert (two.frequencies() == AdaptiveNGram(2).frequencies()).all()


def test_learning_lowers_the_price():
    source, prices = AdaptiveNGram(3), []
    for byte in b"abc" * 20:
        weights = source.frequencies()
        prices.append(-math.log2(weights[byte] / weights.sum()))
        source.update(byte)
    assert prices[0] == pytest.approx(8)
    assert max(prices[-3:]) < 0.2


def test_a_novelty_after_long_certainty_keeps_a_weight():
    source = AdaptiveNGram(3)
    for byte in b"A" * 400:
        source.update(byte)
    assert source.frequencies().min() == 1
