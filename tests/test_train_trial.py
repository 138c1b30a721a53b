"""The bench of small experiments: its data, its loop, its score."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llm_from_scratch.corpus.documents import documents
from llm_from_scratch.train.trial import (
    Trial,
    byte_stream,
    train_trial,
    trial_batch,
    trial_bits,
)

TEXT = torch.frombuffer(
    bytearray(b"hickory dickory dock, the mouse ran up the clock. " * 20),
    dtype=torch.uint8,
)


class Bigram(nn.Module):
    """Logits from the last byte alone."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.table = nn.Embedding(256, 256)
        self.shift = nn.Parameter(torch.zeros(256))
        nn.init.zeros_(self.table.weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids) + self.shift


@pytest.fixture
def source(tmp_path):
    """Sixty short documents in a file."""
    path = tmp_path / "many.jsonl"
    lines = [json.dumps({"text": f"page {i:02} é"}) for i in range(60)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_stream_is_documents_and_zeros(source):
    data = bytes(byte_stream(source, "all", 60 * 11).numpy())
    assert data.endswith(b"\0")
    pages = data.split(b"\0")[:-1]
    ordered = [d.text.encode() for d in documents(source)]
    assert sorted(pages) == ordered
    assert pages != ordered  # shuffled


def test_stream_keeps_to_its_split(source):
    pages = bytes(byte_stream(source, "train", 50 * 11).numpy()).split(b"\0")
    train = {d.text.encode() for d in documents(source, split="train")}
    assert set(pages[:-1]) <= train
    assert len(train) < 60


def test_stream_is_always_the_same(source):
    short, long = (byte_stream(source, "all", n) for n in (50, 90))
    assert torch.equal(short, long[:50])


def test_too_short_a_source_is_an_error(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("abc", encoding="utf-8")
    assert bytes(byte_stream(str(path), "all", 4).numpy()) == b"abc\0"
    with pytest.raises(ValueError, match="has 4 bytes, fewer than 5"):
        byte_stream(str(path), "all", 5)


def test_targets_are_the_next_bytes():
    draw = torch.Generator().manual_seed(0)
    x, y = trial_batch(TEXT, 4, 10, draw)
    assert x.shape == y.shape == (4, 10)
    assert torch.equal(x[:, 1:], y[:, :-1])
    whole = bytes(TEXT.numpy())
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        assert bytes([*a, b[-1]]) in whole


def test_every_window_can_be_drawn():
    data = torch.arange(5, dtype=torch.uint8)
    draw = torch.Generator().manual_seed(0)
    x, _ = trial_batch(data, 200, 3, draw)
    assert x[:, 0].unique().tolist() == [0, 1]


def test_no_window_is_an_error():
    data, draw = TEXT[:10], torch.Generator()
    trial_batch(data, 1, 9, draw)
    for call in (
        lambda: trial_batch(data, 1, 10, draw),
        lambda: trial_bits(Bigram(), data, 10),
    ):
        with pytest.raises(ValueError, match="10 bytes hold no window of 10"):
            call()


def test_uniform_is_eight_bits():
    assert trial_bits(Bigram(), TEXT, 16) == pytest.approx(8, abs=1e-5)


@pytest.mark.parametrize("windows", [1, 5, 40])
def test_bits_by_hand(windows):
    model = Bigram()
    nn.init.normal_(model.table.weight)
    at = torch.linspace(0, len(TEXT) - 8, windows).long()
    nats = [
        -model(x[:-1]).log_softmax(-1)[range(7), x[1:]].mean().item()
        for x in (TEXT[i : i + 8].long() for i in at)
    ]
    expected = np.mean(nats) / math.log(2)
    assert trial_bits(model, TEXT, 7, windows) == pytest.approx(expected)


def test_the_last_window_ends_with_a_long_text():
    last = 2**24 + 3  # float32 has no odd numbers here, and rounds up
    assert torch.linspace(0, last, 64).long()[-1] > last
    data = torch.zeros(last + 8 + 1, dtype=torch.uint8)
    assert trial_bits(Bigram(), data, 8) == pytest.approx(8, abs=1e-5)


def test_training_matches_plain_steps():
    trial = Trial(steps=6, batch_size=3, context=8, lr=0.1, warmup=2)
    model, plain = Bigram(), Bigram()
    curve = train_trial(model, TEXT, trial, seed=5)
    draw = torch.Generator().manual_seed(5)
    optimizer = torch.optim.AdamW(
        [
            {"params": [plain.table.weight], "weight_decay": 0.1},
            {"params": [plain.shift], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
    )
    rates = [0.05, 0.1, 0.1, 0.075, 0.05, 0.025]
    for rate, bits in zip(rates, curve, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        x, y = trial_batch(TEXT, 3, 8, draw)
        loss = F.cross_entropy(plain(x).flatten(0, 1), y.flatten())
        assert loss.item() / math.log(2) == pytest.approx(bits, rel=1e-5)
        plain.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_large_gradients_are_clipped():
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(256))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return 1e4 * self.w.expand(*ids.shape, 256)

    model = Steep()
    train_trial(model, TEXT, Trial(steps=1, warmup=1, lr=1e-3), 0)
    assert model.w.grad.norm() <= 1 + 1e-4


def test_it_learns_a_rhyme():
    model = Bigram()
    trial = Trial(steps=150, context=16, lr=0.3, weight_decay=0.0)
    curve = train_trial(model, TEXT, trial, 0)
    assert curve[0] == pytest.approx(8)
    assert curve[-10:].mean() < 1.5
    assert trial_bits(model, TEXT, 16) < 1.5


def test_a_seed_fixes_the_run():
    trial = Trial(steps=5, context=8)
    runs = [train_trial(Bigram(), TEXT, trial, seed) for seed in (1, 1, 2)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_frozen_weights_stay():
    model = Bigram()
    model.shift.requires_grad_(requires_grad=False)
    train_trial(model, TEXT, Trial(steps=3, context=8), 0)
    assert not model.shift.any()
    assert model.table.weight.any()


def test_a_trial_is_frozen():
    with pytest.raises(AttributeError):
        Trial(steps=1).steps = 2
    with pytest.raises(TypeError):
        Trial(1)


def test_training_draws_from_a_generator_of_its_own():
    model = Bigram()
    before = torch.get_rng_state()
    train_trial(model, TEXT, Trial(steps=3, batch_size=2, context=8), seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_warm_up_begins_at_the_full_rate():
    model = Bigram()
    trial = Trial(
        steps=1, batch_size=2, context=8, lr=0.25, warmup=0, weight_decay=0.0
    )
    train_trial(model, TEXT, trial, seed=1)
    # The first step of Adam moves a weight by the rate, up or down.
    assert model.shift.abs().max().item() == pytest.approx(0.25, rel=1e-4)


def test_the_score_is_taken_without_gradients():
    model, seen = Bigram(), []
    model.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    trial_bits(model, TEXT, 8, 4)
    assert seen == [False]
