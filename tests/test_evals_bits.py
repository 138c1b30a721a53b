"""Bits per byte: by hand, against whole forward passes, for every byte."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.evals.bits import (
    TextBits,
    bits_per_byte,
    span_bits,
    windows,
)
from llm_from_scratch.model import ModelConfig, TransformerLM
from llm_from_scratch.tokenizer import Tokenizer

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def tokenizer():
    vocab = {i: bytes([i]) for i in range(256)} | {256: b"th", 257: b"the"}
    merges = [(b"t", b"h"), (b"th", b"e")]
    return Tokenizer(vocab, merges, [END])


def make_model(places: int = 64) -> TransformerLM:
    generator = torch.Generator().manual_seed(0)
    config = ModelConfig(
        vocab_size=259,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=places,
    )
    model = TransformerLM(config, generator=generator)
    torch.nn.init.normal_(model.lm_head.weight, generator=generator)
    return model


def nats(model: TransformerLM, ids: list[int]) -> torch.Tensor:
    """-log P of ids[1:], each given all before it."""
    row = torch.tensor([ids])
    logits = model(row[:, :-1])[0].double()
    return F.cross_entropy(logits, row[0, 1:], reduction="none").detach()


def test_a_model_that_knows_nothing_pays_log2_of_the_vocabulary(tokenizer):
    model = make_model()
    torch.nn.init.zeros_(model.lm_head.weight)
    found = bits_per_byte(model, tokenizer, ["the cat", "ä"], context=32)
    assert found.tokens == 5 + 2  # "the" is one token, "ä" two bytes
    assert found.bytes.tolist() == [7, 2]
    assert found.per_byte == pytest.approx(7 * math.log2(259) / 9)


def test_short_texts_cost_what_one_forward_pass_says(tokenizer):
    model, texts = make_model(), ["the cat", "a", "other words"]
    found = bits_per_byte(model, tokenizer, texts, context=64)
    for text, bits in zip(texts, found.bits, strict=True):
        ids = [tokenizer.special_tokens[END], *tokenizer.encode(text)]
        expected = nats(model, ids).sum().item() / math.log(2)
        assert bits == pytest.approx(expected, rel=1e-5)


def test_long_texts_are_read_in_windows_that_overlap(tokenizer):
    model, text = make_model(8), "abcdefghijklmnopqrstu"
    found = bits_per_byte(model, tokenizer, [text], context=8, overlap=3)
    ids = [tokenizer.special_tokens[END], *tokenizer.encode(text)]
    expected, done = 0.0, 0
    while done < len(text):  # inputs start .. start + 7, three of them seen
        start = max(0, done - 3)
        row = ids[start : start + 9]
        expected += nats(model, row)[done - start :].sum().item()
        done = start + len(row) - 1
    assert found.bits[0] == pytest.approx(expected / math.log(2), rel=1e-5)


def test_half_of_a_window_is_repeated_if_nothing_is_said(tokenizer):
    model, texts = make_model(8), ["abcdefghijklmnopqrstu"]
    silent = bits_per_byte(model, tokenizer, texts, context=8)
    half = bits_per_byte(model, tokenizer, texts, context=8, overlap=4)
    assert silent.per_byte == half.per_byte


@given(
    length=st.integers(0, 200),
    context=st.integers(1, 40),
    data=st.data(),
)
def test_windows_count_each_target_once_with_enough_before_it(
    length, context, data
):
    overlap = data.draw(st.integers(0, context - 1))
    counted = []
    for start, first, stop in windows(length, context, overlap):
        assert start <= first < stop <= length
        assert stop - start <= context
        assert start == 0 or first - start >= overlap
        counted += range(first, stop)
    assert counted == list(range(length))


def test_batches_change_nothing(tokenizer):
    model, texts = make_model(), ["the cat sat", "b", "x" * 40, "yz"]
    whole = bits_per_byte(model, tokenizer, texts, context=16)
    for size in (1, 20, 50):
        some = bits_per_byte(
            model, tokenizer, texts, context=16, batch_tokens=size
        )
        np.testing.assert_allclose(some.bits, whole.bits, rtol=1e-5)


def test_special_tokens_in_a_text_are_text(tokenizer):
    text = f"a{END}b"
    found = bits_per_byte(make_model(), tokenizer, [text], context=64)
    assert found.tokens == len(text)  # not 3


def test_the_model_keeps_its_mode_and_gets_no_gradient(tokenizer):
    model = make_model().train()
    bits_per_byte(model, tokenizer, ["abc"], context=8)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    model.eval()
    with pytest.raises(ValueError, match="places"):
        bits_per_byte(model, tokenizer, ["a" * 99], context=80)
    assert not model.training


def test_a_span_is_charged_given_what_precedes():
    model, row = make_model(), [258, 1, 2, 3, 4]
    each = nats(model, row) / math.log(2)
    found = span_bits(model, [row, row, row[:3]], [1, 3, 2])
    expected = [each.sum(), each[2:].sum(), each[1]]
    np.testing.assert_allclose(found, [e.item() for e in expected], rtol=1e-5)


def test_the_interval_holds_the_value():
    bits, sizes = np.array([10.0, 30.0, 22.0]), np.array([10, 20, 10])
    found = TextBits(bits=bits, bytes=sizes, tokens=9)
    low, high = found.interval()
    assert found.per_byte == pytest.approx(62 / 40)
    assert 1.0 <= low <= found.per_byte <= high <= 2.2


def test_errors_name_the_value(tokenizer):
    model = make_model()
    with pytest.raises(ValueError, match="none of them empty"):
        bits_per_byte(model, tokenizer, ["a", ""], context=8)
    with pytest.raises(ValueError, match="at least one text"):
        bits_per_byte(model, tokenizer, [], context=8)
    with pytest.raises(ValueError, match=r"overlap 8 .* context 8"):
        bits_per_byte(model, tokenizer, ["a"], context=8, overlap=8)
    with pytest.raises(ValueError, match="no span that starts at 2"):
        span_bits(model, [[1, 2]], [2])
    with pytest.raises(ValueError, match="starts at 0"):
        span_bits(model, [[1, 2]], [0])
