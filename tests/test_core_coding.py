"""The coder gives back what it was given, in as many bits as it must."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_from_scratch.core.coding import (
    ArithmeticDecoder,
    ArithmeticEncoder,
    FrozenSource,
    compress,
    decompress,
    quantize,
    source_bits,
)
from llm_from_scratch.model.ngram import AdaptiveNGram


def flat(history: bytes) -> np.ndarray:
    """A model that knows nothing."""
    return np.full(256, 1 / 256)


def sloped(history: bytes) -> np.ndarray:
    """Skewed probabilities that turn with the last byte."""
    last = history[-1] if history else 0
    p = np.roll(0.9 ** np.arange(256), last)
    return p / p.sum()


class Weights:
    """Fixed whole-number weights."""

    def __init__(self, weights):
        self.weights = np.asarray(weights)

    def frequencies(self):
        return self.weights

    def update(self, byte):
        pass


def test_three_symbols_by_hand():
    encoder = ArithmeticEncoder()  # b a c of the figure: 19/32 to 20/32
    for low, high in ((2, 3), (0, 2), (3, 4)):
        encoder.encode(low, high, 4)
    code = encoder.finish()
    value = Fraction(int.from_bytes(code), 2 ** (8 * len(code)))
    assert Fraction(19, 32) <= value < Fraction(20, 32)
    assert encoder.bits[:5] == [1, 0, 0, 1, 1]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\r\n" * 20)
@example(bytes(range(256)))
def test_round_trip(data):
    for make in (
        lambda: FrozenSource(sloped),
        lambda: FrozenSource(flat),
        lambda: AdaptiveNGram(3),
    ):
        assert decompress(compress(data, make()), make(), len(data)) == data


def test_crlf_survives_the_round_trip(tmp_path):
    path = tmp_path / "page.txt"
    path.write_bytes(b"one\r\ntwo\rthree\n")
    data = path.read_bytes()
    back = decompress(
        compress(data, AdaptiveNGram(2)), AdaptiveNGram(2), len(data)
    )
    assert back == path.read_bytes()
    assert len(back) == path.stat().st_size


@pytest.mark.parametrize("seed", range(4))
def test_length_is_the_information(seed):
    p = np.random.default_rng(seed).dirichlet(np.full(256, 0.1))
    p = 0.999 * p + 0.001 / 256
    drawn = np.random.default_rng(seed).choice(256, size=3000, p=p)
    data = drawn.astype(np.uint8).tobytes()
    source = FrozenSource(lambda history: p)
    bits = 8 * len(compress(data, source))
    ideal = source_bits(data, source).sum()
    assert 0 <= bits - ideal < 2 + 7 + 0.01  # two bits, and the last byte's
    assert abs(ideal + np.log2(p[list(data)]).sum()) < 0.2


def test_flat_model_copies_the_bytes():
    data = random.Random(0).randbytes(1000)
    assert len(compress(data, Weights([1] * 256))) in (1000, 1001)


def test_certain_bytes_are_nearly_free():
    weights = [1] * 256
    weights[65] = 2**29
    assert len(compress(b"A" * 10_000, Weights(weights))) <= 2


def test_code_astride_the_middle_stays_exact():
    # each symbol keeps the middle of the interval: only pending bits
    source = [1] * 256
    source[128] = 2**20
    data = bytes([128]) * 500 + b"\x00" + bytes([127])
    code = compress(data, Weights(source))
    assert decompress(code, Weights(source), len(data)) == data


def test_extreme_totals_round_trip():
    weights = [1] * 256
    weights[3] = 2**30 - 255  # the total is the largest allowed
    data = bytes([3, 0, 255, 3, 7] * 40)
    code = compress(data, Weights(weights))
    assert decompress(code, Weights(weights), len(data)) == data


def test_decoding_noise_draws_from_the_model():
    noise = np.random.default_rng(0).bytes(4000)
    drawn = decompress(noise, Weights([2] * 64 + [1] * 192), 3000)
    share = np.mean(np.frombuffer(drawn, np.uint8) < 64)
    assert abs(share - 0.4) < 4 * math.sqrt(0.4 * 0.6 / 3000)


def test_source_bits_reads_like_compress():
    data = b"abracadabra" * 20
    bits = source_bits(data, AdaptiveNGram(3))
    assert 0 <= 8 * len(compress(data, AdaptiveNGram(3))) - bits.sum() < 9.1
    assert bits[-11:].mean() < 0.2 * bits[:11].mean()


def test_tiny_probabilities_keep_a_piece():
    p = np.full(256, 1e-12)
    p[0] = 1 - p[1:].sum()
    weights = quantize(p)
    assert weights.min() == 1
    assert weights.sum() <= 1 << 28
    naive = np.cumsum(p.astype(np.float32))  # what the whole numbers replace
    assert (np.diff(naive) <= 0).any()


@pytest.mark.parametrize("seed", range(3))
def test_quantize_keeps_the_total_and_the_order(seed):
    p = np.random.default_rng(seed).dirichlet(np.full(256, 0.05))
    weights = quantize(p, 1 << 20)
    assert 256 <= weights.sum() <= 1 << 20
    assert (np.diff(weights[np.argsort(p)]) >= 0).all()
    np.testing.assert_allclose(weights / weights.sum(), p, atol=1e-3)


def test_quantize_rejects_what_does_not_sum_to_one():
    for p in (np.zeros(256), np.full(256, np.nan), np.full(256, 1 / 128)):
        with pytest.raises(ValueError, match="not to 1"):
            quantize(p)


@pytest.mark.parametrize(
    "step", [(1, 1, 4), (3, 2, 4), (-1, 2, 4), (0, 5, 4), (0, 1, 2**30 + 1)]
)
def test_a_piece_must_have_a_length(step):
    with pytest.raises(ValueError, match="need 0 <= low < high <= total"):
        ArithmeticEncoder().encode(*step)


def test_the_decoder_must_have_the_same_model():
    data = b"it reads well and it is wrong " * 8
    code = compress(data, AdaptiveNGram(4))
    assert decompress(code, AdaptiveNGram(3), len(data)) != data


def test_decoder_asks_for_a_part_of_the_total():
    for code in (b"", b"\x00" * 5, b"\xff" * 5):
        for total in (1, 3, 256, 2**30):
            assert 0 <= ArithmeticDecoder(code).target(total) < total


def test_frozen_source_keeps_its_reach():
    asked = []
    source = FrozenSource(lambda h: asked.append(h) or flat(h), b"xy", reach=3)
    compress(b"abcd", source)
    assert asked == [b"xy", b"xya", b"yab", b"abc"]
