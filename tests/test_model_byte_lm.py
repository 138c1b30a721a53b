"""The small network: shapes, causality, normalization, and that it learns."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from llm_from_scratch.model.byte_lm import (
    ByteMLP,
    byte_lm_bits,
    byte_lm_distribution,
    byte_windows,
    train_byte_lm,
)

TEXT = b"hickory dickory dock, the mouse ran up the clock. " * 20


def small(seed: int = 0) -> ByteMLP:
    torch.manual_seed(seed)
    return ByteMLP(context=4, width=3, hidden=16, depth=2)


def test_windows_by_hand():
    expected = [[0, 0, 97], [0, 97, 98], [97, 98, 99]]
    assert byte_windows(b"abc", 2).tolist() == expected
    assert byte_windows(b"c", 2, history=b"zab").tolist() == [[97, 98, 99]]
    assert byte_windows(b"c", 2, history=b"b").tolist() == [[0, 98, 99]]


def test_forward_by_hand():
    model = small()
    ids = torch.tensor([[1, 2, 3, 4]])
    x = torch.cat([model.embed.weight[i] for i in (1, 2, 3, 4)])
    h = (model.first.weight @ x + model.first.bias).clamp(min=0)
    (layer,) = model.rest
    h = h + (layer.weight @ h + layer.bias).clamp(min=0)
    expected = model.head.weight @ h + model.head.bias
    assert_close(model(ids)[0], expected)


def test_bits_match_the_distribution():
    model, text = small(), b"dock, mouse"
    bits = byte_lm_bits(model, text, history=b"hickory ")
    for t in range(len(text)):
        p = byte_lm_distribution(model, b"hickory " + text[:t])
        assert bits[t] == pytest.approx(-math.log2(p[text[t]]), abs=1e-4)


def test_distribution_sums_to_one():
    for history in (b"", b"x", b"more than four bytes"):
        p = byte_lm_distribution(small(), history)
        assert p.shape == (256,)
        assert p.sum() == pytest.approx(1, abs=1e-9)


def test_a_byte_sees_only_the_past():
    model, text = small(), bytearray(TEXT[:40])
    before = byte_lm_bits(model, bytes(text))
    text[20] ^= 1
    moved = np.abs(byte_lm_bits(model, bytes(text)) - before) > 1e-6
    assert not moved[:20].any()
    assert moved[20:25].any()
    assert not moved[25:].any()  # nor further back than its context


def test_history_makes_pieces_equal_to_the_whole():
    model = small()
    whole = byte_lm_bits(model, TEXT[:60])
    pieces = [
        byte_lm_bits(model, TEXT[i : i + 6], history=TEXT[:i])
        for i in range(0, 60, 6)
    ]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-4)


def test_long_texts_are_scored_in_parts():
    text = (TEXT * 10)[:9000]  # more than one part of 8192
    bits = byte_lm_bits(small(), text)
    assert bits.shape == (9000,)
    assert np.isfinite(bits).all()
    np.testing.assert_allclose(bits[8000:8150], bits[7000:7150], atol=1e-4)


def test_new_network_knows_little():
    assert 7.5 < byte_lm_bits(small(), TEXT).mean() < 8.8


def test_it_learns_a_rhyme():
    model = small()
    generator = torch.Generator().manual_seed(0)
    losses = train_byte_lm(
        model, TEXT, steps=300, batch_size=64, generator=generator
    )
    assert losses[0] > 7
    assert losses[-20:].mean() < 1
    assert byte_lm_bits(model, TEXT).mean() < 1


def test_training_matches_plain_steps():
    model, plain = small(), small()
    draw = torch.Generator().manual_seed(1)
    losses = train_byte_lm(
        model, TEXT, steps=4, batch_size=8, lr=0.1, generator=draw
    )
    draw.manual_seed(1)
    optimizer = torch.optim.AdamW(
        plain.parameters(), betas=(0.9, 0.98), weight_decay=0.01
    )
    for step, loss in enumerate(losses):
        wave = 0.02 + 0.98 * (1 + math.cos(math.pi * step / 4)) / 2
        optimizer.param_groups[0]["lr"] = 0.1 * wave * (step + 1) / 50
        at = torch.randint(len(TEXT), (8,), generator=draw)
        ids = byte_windows(TEXT, 4)[at].long()
        nats = -plain(ids[:, :4]).log_softmax(-1)[range(8), ids[:, 4]].mean()
        assert nats.item() / math.log(2) == pytest.approx(loss, rel=1e-5)
        plain.zero_grad()
        nats.backward()
        optimizer.step()
    assert_close(model.head.weight, plain.head.weight)


def test_training_is_reproducible():
    runs = [
        train_byte_lm(
            small(),
            TEXT,
            steps=5,
            batch_size=8,
            generator=torch.Generator().manual_seed(3),
        )
        for _ in range(2)
    ]
    assert (runs[0] == runs[1]).all()


def test_training_does_not_touch_its_neighbors():
    model, other = small(), small()
    train_byte_lm(model, TEXT, steps=2, batch_size=8)
    assert_close(other.head.weight, small().head.weight)
    assert not torch.equal(model.head.weight, other.head.weight)


def test_gradients():
    model = small().double()
    ids = torch.tensor([[7, 8, 9, 10], [0, 0, 0, 1]])

    def loss(weight: torch.Tensor) -> torch.Tensor:
        names = {"embed.weight": weight}
        out = torch.func.functional_call(model, names, (ids,))
        return out.logsumexp(-1) - out[:, 5]

    rows = model.embed.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (rows,), nondet_tol=0.0)


@pytest.mark.parametrize("name", ["context", "width", "hidden", "depth"])
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match="must be at least 1"):
        ByteMLP(**{name: 0})


def test_nothing_to_learn_is_an_error():
    with pytest.raises(ValueError, match="data is empty"):
        train_byte_lm(small(), b"", steps=1)
