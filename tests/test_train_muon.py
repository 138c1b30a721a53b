"""Muon: what orthogonalizing does, PyTorch's bits, and mixed groups."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optimizer_steps import run_steps, same, saved
from torch.testing import assert_close

from llm_from_scratch.train.adamw import AdamW
from llm_from_scratch.train.muon import QUINTIC, Muon, muon_scale, orthogonalize

SHAPES = ((4, 5), (5, 4), (16, 16), (1, 7), (64, 8))


def matrices(seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=g).to(dtype))
        for shape in SHAPES
    ]


def run(params, optimizer, steps, start=0):
    """Steps with random gradients, now and then none, and a moving rate."""

    def set_gradients(step):
        g = torch.Generator().manual_seed(step)
        for i, p in enumerate(params):
            noise = torch.randn(p.shape, generator=g).to(p.dtype)
            p.grad = None if (step + i) % 5 == 2 else noise

    run_steps(optimizer, set_gradients, steps, start)


# ---- by hand


def test_one_step_of_newton_schulz_by_hand():
    # diag(3, 4) / 5: each singular value s becomes a s + b s^3 + c s^5.
    a, b, c = QUINTIC
    x = orthogonalize(torch.diag(torch.tensor([3.0, 4.0])), steps=1)
    expected = [a * s + b * s**3 + c * s**5 for s in (0.6, 0.8)]
    assert_close(
        x.float().diagonal(), torch.tensor(expected), rtol=0.02, atol=0
    )
    assert x.float()[0, 1].abs() < 0.01


def test_one_step_of_muon_by_hand():
    p = torch.nn.Parameter(torch.eye(2))
    p.grad = torch.tensor([[0.0, 8.0], [0.0, 0.0]])
    optimizer = Muon([p], lr=0.5, weight_decay=0.2, momentum=0.75)
    optimizer.step()
    mean = 0.25 * 8
    assert_close(optimizer.state[p]["momentum_buffer"], p.grad / 8 * mean)
    step = 1.0
    for _ in range(5):  # the one singular value begins at 1
        step = sum(k * step**n for k, n in zip(QUINTIC, (1, 3, 5), strict=True))
    expected = torch.tensor([[0.9, -0.5 * step], [0.0, 0.9]])
    assert_close(p, expected, rtol=0.02, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "rule", "factor"),
    [
        ((6, 24), None, 1.0),
        ((24, 6), None, 2.0),
        ((24, 6), "original", 2.0),
        ((25, 100), "match_rms_adamw", 2.0),
        ((100, 25), "match_rms_adamw", 2.0),
    ],
)
def test_scale_by_shape(shape, rule, factor):
    assert muon_scale(shape, rule) == pytest.approx(factor)


# ---- against PyTorch


@pytest.mark.parametrize("rule", [None, "original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_hundreds_of_steps_have_pytorchs_bits(rule, nesterov):
    a, b = matrices(), matrices()
    more = {"lr": 0.02, "nesterov": nesterov, "adjust_lr_fn": rule}
    ours, theirs = Muon(a, **more), torch.optim.Muon(b, **more)
    run(a, ours, 200)
    run(b, theirs, 200)
    assert same(a, b)
    for p, q in zip(a, b, strict=True):
        assert ours.state[p].keys() == theirs.state[q].keys()
        assert same(ours.state[p].values(), theirs.state[q].values())


def test_every_setting_is_used():
    more = {"lr": 0.02, "ns_steps": 3, "ns_coefficients": (1.875, -1.25, 0.375)}
    more |= {"eps": 0.5, "weight_decay": 0.4, "momentum": 0.7}
    a, b = matrices(), matrices()
    for p in (*a, *b):
        p.data *= 0.01
    run(a, Muon(a, **more), 20)
    run(b, torch.optim.Muon(b, **more), 20)
    assert same(a, b)


def test_defaults_are_pytorchs():
    ours, theirs = Muon(matrices()), torch.optim.Muon(matrices())
    assert ours.defaults == theirs.defaults | {"use_muon": True}


@pytest.mark.parametrize("direction", ["to ours", "to theirs", "to itself"])
def test_state_goes_on_as_if_nothing_had_happened(direction):
    a, b = matrices(), matrices()
    first = torch.optim.Muon if direction == "to ours" else Muon
    second = torch.optim.Muon if direction == "to theirs" else Muon
    one = first(a, lr=0.02, momentum=0.8)
    run(a, one, 15)
    for p, q in zip(b, a, strict=True):
        p.data.copy_(q.data)
    two = second(b, lr=9.0)
    two.load_state_dict(saved(one))
    run(a, one, 30, start=15)
    run(b, two, 30, start=15)
    assert same(a, b)


# ---- properties


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 99))
def test_singular_values_end_near_one(rows, columns, seed):
    g = torch.Generator().manual_seed(seed)
    rank = min(rows, columns)
    left, _ = torch.linalg.qr(torch.randn(rows, rank, generator=g))
    right, _ = torch.linalg.qr(torch.randn(columns, rank, generator=g))
    sizes = torch.logspace(0, -1.5, rank)
    x = orthogonalize((left * sizes) @ right.T).float()
    found = torch.linalg.svdvals(x)
    assert found.min() > 0.6
    assert found.max() < 1.3
    # Nothing turns: it stays in the directions of the matrix.
    inside = left.T @ x @ right
    assert_close((left @ inside @ right.T), x, rtol=0, atol=0.05)
    off = inside - torch.diag(inside.diagonal())
    assert off.abs().max() < 0.1


@pytest.mark.parametrize("shape", [(24, 6), (6, 24)])
def test_a_transpose_gives_the_transpose(shape):
    matrix = torch.randn(shape)
    a, b = orthogonalize(matrix), orthogonalize(matrix.T)
    assert torch.equal(a, b.T)
    assert a.shape == shape


def test_the_scale_of_gradients_does_not_matter():
    a, b = orthogonalize(torch.eye(5)), orthogonalize(1024 * torch.eye(5))
    assert torch.equal(a, b)


def test_a_gradient_of_zeros_moves_nothing():
    p = torch.nn.Parameter(torch.eye(3))
    p.grad = torch.zeros(3, 3)
    Muon([p], weight_decay=0.0).step()
    assert torch.equal(p, torch.eye(3))


def test_matched_steps_are_as_large_as_adamws():
    p = torch.nn.Parameter(torch.zeros(40, 100))
    p.grad = torch.randn(40, 100)
    Muon([p], lr=1.0, weight_decay=0.0, adjust_lr_fn="match_rms_adamw").step()
    size = p.detach().square().mean().sqrt().item()
    assert 0.13 < size < 0.21  # an AdamW step has about 0.2 in training


def test_groups_without_muon_are_adamws():
    a, b = matrices(), matrices()
    more = {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.2}
    inside = {"params": a[:2], "lr": 0.02}
    outside = {"params": a[2:], "use_muon": False, **more}
    run(a, Muon([inside, outside]), 40)
    run(b[:2], Muon(b[:2], lr=0.02), 0)
    one, two = Muon(b[:2], lr=0.02), AdamW(b[2:], **more)
    base = 0.02, 0.01
    for step in range(40):
        g = torch.Generator().manual_seed(step)
        for i, p in enumerate(b):
            noise = torch.randn(p.shape, generator=g)
            p.grad = None if (step + i) % 5 == 2 else noise
        for optimizer, lr in zip((one, two), base, strict=True):
            optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(step / 9))
            optimizer.step()
    assert same(a, b)


# ---- error messages


def test_only_matrices():
    vector = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match=r"matrices, got .* \(3,\)"):
        Muon([vector])
    with pytest.raises(ValueError, match=r"matrices, got .* \(2, 2, 2\)"):
        Muon([torch.nn.Parameter(torch.zeros(2, 2, 2))])


def test_settings_out_of_range():
    with pytest.raises(ValueError, match="lr must be at least 0, got -1"):
        Muon(matrices(), lr=-1.0)
    with pytest.raises(ValueError, match=r"momentum are in \[0, 1\), got 1.5"):
        Muon(matrices(), momentum=1.5)
    with pytest.raises(ValueError, match="\"match_rms_adamw\", got 'best'"):
        Muon(matrices(), adjust_lr_fn="best")


def test_adamw_groups_must_say_their_betas():
    with pytest.raises(ValueError, match="betas"):
        Muon([{"params": matrices(), "use_muon": False}])
