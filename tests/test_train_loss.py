"""Cross-entropy against PyTorch's, its promises, and bad input."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llm_from_scratch.model.head import linear_cross_entropy
from llm_from_scratch.train.loss import cross_entropy, log_sum_exp


def drawn(*shape, v=11, dtype=torch.float64, seed=0):
    """Logits and targets, a third of which do not count."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(*shape, v, generator=generator, dtype=dtype)
    targets = torch.randint(v, shape, generator=generator)
    targets.flatten()[::3] = -100
    return logits.requires_grad_(), targets


def reference(logits, targets, z_loss=0.0, **more):
    """PyTorch's loss, with the penalty written out."""
    flat, y = logits.flatten(0, -2), targets.flatten()
    kind = more.get("reduction", "mean")
    loss = F.cross_entropy(flat, y, **more)
    if z_loss == 0:
        return loss
    counts = y != more.get("ignore_index", -100)
    extra = z_loss * flat.logsumexp(-1)[counts].square()
    return loss + (extra.sum() if kind == "sum" else extra.mean())


# ---- by hand


def test_three_words_by_hand():
    # exp: 1, 2, 1, so Z = 4 and p = 1/4, 1/2, 1/4.
    logits = torch.tensor([0.0, math.log(2), 0.0], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor(1))
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(math.log(2))
    assert_close(slope, torch.tensor([1 / 4, -1 / 2, 1 / 4]))


def test_penalty_by_hand():
    logits = torch.tensor([0.0, math.log(2), 0.0], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor(1), z_loss=0.1)
    (slope,) = torch.autograd.grad(loss, logits)
    z = math.log(4)
    assert loss.item() == pytest.approx(math.log(2) + 0.1 * z**2)
    stretched = (1 + 0.2 * z) * torch.tensor([1 / 4, 1 / 2, 1 / 4])
    assert_close(slope, stretched - torch.tensor([0.0, 1, 0]))


def test_log_sum_exp_by_hand():
    z = log_sum_exp(torch.tensor([[3.0, 4.0], [2.0, 2.0]]).log())
    assert_close(z, torch.tensor([7.0, 4.0]).log())


def test_equal_logits_cost_the_logarithm_of_the_vocabulary():
    loss = cross_entropy(torch.full((5, 11), 7.0), torch.arange(5))
    assert loss.item() == pytest.approx(math.log(11))


# ---- against reference


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("z_loss", [0.0, 1e-4, 0.5])
@pytest.mark.parametrize("shape", [(13,), (3, 5), (2, 3, 4)])
def test_loss_and_gradient_equal_pytorchs(shape, z_loss, reduction):
    logits, targets = drawn(*shape)
    more = {"z_loss": z_loss, "reduction": reduction}
    ours = cross_entropy(logits, targets, **more)
    theirs = reference(logits, targets, **more)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    pair = [torch.autograd.grad(x, logits)[0] for x in (ours, theirs)]
    assert_close(*pair, rtol=1e-12, atol=1e-14)


def test_float32_equals_pytorchs():
    logits, targets = drawn(64, v=500, dtype=torch.float32)
    ours, theirs = cross_entropy(logits, targets), reference(logits, targets)
    assert_close(ours, theirs, rtol=1e-6, atol=0)
    pair = [torch.autograd.grad(x, logits)[0] for x in (ours, theirs)]
    assert_close(*pair, rtol=1e-5, atol=1e-8)


def test_one_loss_for_each_target():
    logits, targets = drawn(3, 5)
    ours = cross_entropy(logits, targets, reduction="none")
    theirs = F.cross_entropy(logits.mT, targets, reduction="none")
    assert_close(ours, theirs)
    assert not ours[targets == -100].any()


@pytest.mark.parametrize("ignored", [-100, -1, 0, 10, 99])
def test_what_is_ignored_does_not_count(ignored):
    logits, targets = drawn(20)
    targets[targets == -100] = ignored
    ours = cross_entropy(logits, targets, ignore_index=ignored)
    assert_close(ours, reference(logits, targets, ignore_index=ignored))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("z_loss", [0.0, 0.3])
def test_the_chunked_loss_is_this_one(z_loss, reduction):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, 5, 7, generator=generator, dtype=torch.float64)
    weight = torch.randn(11, 7, generator=generator, dtype=torch.float64)
    inputs = hidden.requires_grad_(), weight.requires_grad_()
    _, targets = drawn(4, 5)
    more = {"z_loss": z_loss, "reduction": reduction}
    whole = cross_entropy(hidden @ weight.T, targets, **more)
    parts = linear_cross_entropy(*inputs, targets, chunk_size=3, **more)
    assert_close(parts, whole, rtol=1e-12, atol=1e-14)
    for a, b in zip(
        torch.autograd.grad(parts, inputs),
        torch.autograd.grad(whole, inputs),
        strict=True,
    ):
        assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("z_loss", [0.0, 0.2])
def test_numerical_gradients(z_loss):
    logits, targets = drawn(4, v=5)
    assert torch.autograd.gradcheck(
        lambda x: cross_entropy(x, targets, z_loss=z_loss), (logits,)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_logits_are_scored_in_float32(dtype):
    logits, targets = drawn(600, v=50, dtype=torch.float32)
    narrow = logits.detach().to(dtype).requires_grad_()
    ours = cross_entropy(narrow, targets)
    wide = narrow.detach().float().requires_grad_()
    theirs = reference(wide, targets)
    assert ours.dtype == torch.float32
    assert_close(ours, theirs, rtol=1e-6, atol=0)
    slope = torch.autograd.grad(ours, narrow)[0]
    assert slope.dtype == dtype
    assert_close(slope, torch.autograd.grad(theirs, wide)[0].to(dtype))


# ---- properties


@given(st.integers(0, 999), st.floats(-1e4, 1e4), st.integers(1, 9))
def test_a_constant_changes_nothing(seed, shift, n):
    logits, targets = drawn(n, seed=seed)
    targets[0] = 3
    moved = cross_entropy(logits + shift, targets)
    assert_close(moved, cross_entropy(logits, targets), rtol=1e-9, atol=1e-9)


def test_gradient_of_each_row_sums_to_zero():
    logits, targets = drawn(30)
    (slope,) = torch.autograd.grad(cross_entropy(logits, targets), logits)
    assert_close(slope.sum(-1), torch.zeros(30).double(), rtol=0, atol=1e-15)


def test_penalty_pulls_the_partition_function_towards_one():
    logits, targets = drawn(30)
    targets[:] = 2
    (slope,) = torch.autograd.grad(
        cross_entropy(logits, targets, z_loss=0.1), logits
    )
    assert_close(slope.sum(-1), 0.2 * log_sum_exp(logits) / 30)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits_do_not_overflow(size):
    logits = torch.tensor([[size, 0.0, size]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0]))
    (slope,) = torch.autograd.grad(loss, logits)
    assert_close(loss, reference(logits, torch.tensor([0])))
    assert slope.isfinite().all()


def test_ignored_rows_may_hold_anything():
    logits, targets = drawn(6)
    expected = cross_entropy(logits, targets)
    slope = torch.autograd.grad(expected, logits)[0]
    spoiled = logits.detach().clone()
    spoiled[targets == -100] = math.nan
    spoiled.requires_grad_()
    loss = cross_entropy(spoiled, targets, z_loss=0.0)
    assert_close(loss, expected)
    assert_close(torch.autograd.grad(loss, spoiled)[0], slope)


def test_a_word_that_cannot_come_has_no_gradient():
    logits, targets = drawn(4)
    targets[:] = 1
    with torch.no_grad():
        logits[:, 5] = -math.inf
    loss = cross_entropy(logits, targets)
    (slope,) = torch.autograd.grad(loss, logits)
    assert_close(loss, reference(logits, targets))
    assert not slope[:, 5].any()
    assert slope.isfinite().all()


def test_inputs_are_left_as_they_were():
    logits, targets = drawn(9)
    before = logits.detach().clone(), targets.clone()
    cross_entropy(logits, targets, z_loss=0.1).backward()
    assert torch.equal(logits, before[0])
    assert torch.equal(targets, before[1])


# ---- edges


def test_the_mean_of_nothing_is_nan_and_the_sum_zero():
    logits, targets = drawn(4)
    targets[:] = -100
    assert cross_entropy(logits, targets).isnan()  # as in PyTorch
    assert reference(logits, targets).isnan()
    assert cross_entropy(logits, targets, reduction="sum").item() == 0
    assert cross_entropy(logits[:0], targets[:0]).isnan()


def test_log_sum_exp_of_infinities():
    infinity = math.inf
    rows = torch.tensor([[-infinity, -infinity], [infinity, 0.0]])
    assert log_sum_exp(rows).tolist() == [-infinity, infinity]


def test_under_a_compiler_the_kernel_checks_targets(monkeypatch):
    logits, targets = drawn(4)
    targets[1] = 11
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with pytest.raises(RuntimeError, match="index 11 is out of bounds"):
        cross_entropy(logits, targets)


# ---- error messages


@pytest.mark.parametrize("wrong", [11, -1, -101])
def test_target_outside_the_vocabulary(wrong):
    logits, targets = drawn(5)
    targets[1] = wrong
    with pytest.raises(
        ValueError,
        match=rf"target {wrong} is outside the vocabulary of 11; mark .* -100",
    ):
        cross_entropy(logits, targets)


def test_shapes_that_do_not_fit():
    logits, targets = drawn(5)
    with pytest.raises(
        ValueError, match=r"logits \(5, 11\) need one .* targets \(4,\)"
    ):
        cross_entropy(logits, targets[:4])


def test_a_reduction_that_does_not_exist():
    with pytest.raises(ValueError, match="\"none\", got 'average'"):
        cross_entropy(*drawn(5), reduction="average")
