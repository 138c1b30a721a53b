"""The chunked loss against F.cross_entropy, its promises, and bad input."""

import math
from unittest import mock

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llm_from_scratch.model import head
from llm_from_scratch.model.head import linear_cross_entropy


def drawn(n, c=7, v=11, dtype=torch.float64, std=1.0):
    """Hidden vectors, weights and targets, all different from zero."""
    generator = torch.Generator().manual_seed(n)
    hidden = torch.randn(n, c, generator=generator, dtype=dtype)
    weight = std * torch.randn(v, c, generator=generator, dtype=dtype)
    targets = torch.randint(v, (n,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def reference(hidden, weight, targets, **more):
    """The loss as everyone writes it, and its gradients."""
    logits = F.linear(hidden, weight)
    loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), **more)
    return loss, *torch.autograd.grad(loss, (hidden, weight))


def chunked(hidden, weight, targets, **more):
    loss = linear_cross_entropy(hidden, weight, targets, **more)
    return loss, *torch.autograd.grad(loss, (hidden, weight))


# ---- by hand


def test_two_tokens_by_hand():
    # Logits (ln 3, 0) and (0, ln 4): p(target) = 3/4 and 1/5.
    hidden = torch.eye(2, dtype=torch.float64).requires_grad_()
    weight = torch.tensor([[3.0, 1], [1, 4]], dtype=torch.float64).log()
    weight.requires_grad_()
    targets = torch.tensor([0, 0])
    loss, to_hidden, to_weight = chunked(hidden, weight, targets, chunk_size=1)
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(5)) / 2)
    slope = torch.tensor([[-1 / 4, 1 / 4], [-4 / 5, 4 / 5]]).double() / 2
    assert_close(to_hidden, slope @ weight)
    assert_close(to_weight, slope.T)


def test_equal_logits_cost_the_logarithm_of_the_vocabulary():
    hidden, _, targets = drawn(5)
    loss = linear_cross_entropy(hidden, torch.zeros(11, 7).double(), targets)
    assert loss.item() == pytest.approx(math.log(11))


# ---- against reference


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 12, 13, 14, 1000])
def test_float64_equals_cross_entropy_whatever_the_chunk(chunk_size):
    inputs = drawn(13)
    ours = chunked(*inputs, chunk_size=chunk_size)
    for a, b in zip(ours, reference(*inputs), strict=True):
        assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_float32_equals_cross_entropy():
    inputs = drawn(700, 32, 300, torch.float32)  # more than one full chunk
    assert len(inputs[0]) > head.CHUNK
    for a, b in zip(chunked(*inputs), reference(*inputs), strict=True):
        assert a.dtype == torch.float32
        assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("ignored", [-100, -1, 0, 10])
def test_what_is_ignored_does_not_count(ignored):
    hidden, weight, targets = drawn(13)
    targets[::3] = ignored  # of 0 and 10 a few more are there already
    more = {"ignore_index": ignored}
    ours = chunked(hidden, weight, targets, chunk_size=4, **more)
    for a, b in zip(
        ours, reference(hidden, weight, targets, **more), strict=True
    ):
        assert_close(a, b, rtol=1e-12, atol=1e-14)
    assert not ours[1][targets == ignored].any()
    assert ours[1][targets != ignored].any(-1).all()


def test_ignored_rows_may_hold_anything():
    hidden, weight, targets = drawn(6)
    expected = chunked(hidden[:4], weight, targets[:4])
    targets[4:] = -100
    with torch.no_grad():
        hidden[4], hidden[5] = math.nan, math.inf
    loss, to_hidden, to_weight = chunked(hidden, weight, targets)
    assert_close(loss, expected[0])
    assert_close(to_hidden[:4], expected[1])
    assert_close(to_weight, expected[2])
    assert not to_hidden[4:].any()


def test_batches_of_texts_keep_their_shape():
    hidden, weight, targets = drawn(12)
    deep = hidden.detach().view(3, 4, 7).requires_grad_()
    loss, to_hidden, _ = chunked(deep, weight, targets.view(3, 4))
    flat = reference(hidden, weight, targets)
    assert_close(loss, flat[0])
    assert_close(to_hidden, flat[1].view(3, 4, 7))


def test_the_slope_of_what_follows_reaches_both():
    hidden, weight, targets = drawn(9)
    loss = 3 * linear_cross_entropy(hidden, weight, targets, chunk_size=4) ** 2
    same = 3 * reference(hidden, weight, targets)[0]
    expected = reference(hidden, weight, targets)
    loss.backward()
    scale = 2 * same
    assert_close(hidden.grad, scale * expected[1])
    assert_close(weight.grad, scale * expected[2])


def test_numerical_gradients():
    hidden, weight, targets = drawn(5, 3, 4)
    targets[1] = -100

    def loss(h, w):
        return linear_cross_entropy(h, w, targets, chunk_size=2)

    assert torch.autograd.gradcheck(loss, (hidden, weight))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("z_loss", [0.0, 0.3])
def test_reduction_and_penalty_equal_those_written_out(z_loss, reduction):
    hidden, weight, targets = drawn(13)
    targets[::3] = -100
    logits = F.linear(hidden, weight)
    loss = F.cross_entropy(logits, targets, reduction=reduction)
    extra = z_loss * logits.logsumexp(-1)[targets != -100].square()
    loss = loss + (extra.sum() if reduction == "sum" else extra.mean())
    expected = loss, *torch.autograd.grad(loss, (hidden, weight))
    more = {"z_loss": z_loss, "reduction": reduction, "chunk_size": 4}
    for a, b in zip(
        chunked(hidden, weight, targets, **more), expected, strict=True
    ):
        assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_penalty_by_hand():
    # Logits (ln 3, 0): Z = 4 and p = 3/4, 1/4.
    hidden = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[math.log(3)], [0.0]], dtype=torch.float64)
    weight.requires_grad_()
    loss, _, to_weight = chunked(hidden, weight, torch.tensor([1]), z_loss=0.5)
    z = math.log(4)
    assert loss.item() == pytest.approx(z + 0.5 * z**2)
    slope = (1 + z) * torch.tensor([[3 / 4], [1 / 4]]).double()
    assert_close(to_weight, slope - torch.tensor([[0.0], [1]]).double())


@pytest.mark.parametrize("z_loss", [0.0, 0.3])
def test_numerical_gradients_of_a_sum(z_loss):
    hidden, weight, targets = drawn(5, 3, 4)
    targets[1] = -100

    def loss(h, w):
        return linear_cross_entropy(
            h, w, targets, chunk_size=2, z_loss=z_loss, reduction="sum"
        )

    assert torch.autograd.gradcheck(loss, (hidden, weight))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_computes_as_a_linear_layer_would(dtype):
    inputs = drawn(50, 16, 40, torch.float32)
    exact = reference(*inputs)
    with torch.autocast("cpu", dtype):
        ours = linear_cross_entropy(*inputs, chunk_size=16)
        theirs = F.cross_entropy(F.linear(*inputs[:2]), inputs[2])
    assert ours.dtype == torch.float32
    for name, loss in (("ours", ours), ("theirs", theirs)):
        grads = torch.autograd.grad(loss, inputs[:2])
        found = [loss.detach(), *grads]
        errors = [
            ((a - b).norm() / b.norm()).item()
            for a, b in zip(found, exact, strict=True)
        ]
        assert max(errors) < (0.01 if dtype == torch.bfloat16 else 0.002), name
        assert all(g.dtype == torch.float32 for g in grads)
        # It is the narrow type that was computed in, not float32.
        assert errors[2] > 1e-5, name


def test_autocast_leaves_float64_alone():
    inputs = drawn(6)
    with torch.autocast("cpu", torch.bfloat16):
        ours = linear_cross_entropy(*inputs)
    assert ours.dtype == torch.float64
    assert_close(ours, reference(*inputs)[0], rtol=1e-12, atol=0)


def test_narrow_weights_are_summed_and_scored_in_float32():
    hidden, weight, targets = drawn(2048, v=5, dtype=torch.bfloat16)
    loss, _, to_weight = chunked(hidden, weight, targets, chunk_size=1)
    logits = F.linear(hidden, weight).float().detach().requires_grad_()
    wide = F.cross_entropy(logits, targets)
    assert_close(loss, wide, rtol=1e-5, atol=0.0)
    slope = 2048 * torch.autograd.grad(wide, logits)[0].bfloat16().float()
    expected = (slope.T @ hidden.float() / 2048).bfloat16()
    assert_close(to_weight, expected, rtol=0.05, atol=1e-4)


def test_a_mark_beyond_the_vocabulary_is_no_target():
    hidden, weight, targets = drawn(20)
    targets[::3] = 1000
    found = chunked(hidden, weight, targets, ignore_index=1000, chunk_size=7)
    expected = reference(hidden, weight, targets, ignore_index=1000)
    assert_close(found, expected)


def test_narrow_weights_get_narrow_gradients_and_a_wide_loss():
    wide = drawn(600, 16, 40, torch.float32, std=0.3)
    narrow = [x.detach().bfloat16().requires_grad_() for x in wide[:2]]
    ours = chunked(*narrow, wide[2], chunk_size=8)
    assert ours[0].dtype == torch.float32  # of 600 terms bfloat16 keeps 8 bits
    assert [g.dtype for g in ours[1:]] == [torch.bfloat16] * 2
    exact = reference(
        *[x.detach().float().requires_grad_() for x in narrow], wide[2]
    )
    for a, b in zip(ours, exact, strict=True):
        assert (a.float() - b).norm() < 0.01 * b.norm()


# ---- properties


@given(st.integers(1, 40), st.integers(1, 45), st.integers(0, 99))
def test_any_size_any_chunk(n, chunk_size, seed):
    torch.manual_seed(seed)
    hidden = torch.randn(n, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(5, (n,))
    targets[torch.rand(n) < 0.3] = -100
    targets[0] = 4
    ours = chunked(hidden, weight, targets, chunk_size=chunk_size)
    for a, b in zip(ours, reference(hidden, weight, targets), strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_only_one_chunk_of_logits_exists_at_a_time():
    n, v, chunk_size = 256, 512, 16
    hidden, weight, targets = drawn(n, 8, v, torch.float32)
    seen = []
    real = torch.Tensor.log_softmax

    def spy(x, *args, **more):
        seen.append(tuple(x.shape))
        return real(x, *args, **more)

    with mock.patch.object(torch.Tensor, "log_softmax", spy):
        loss = linear_cross_entropy(
            hidden, weight, targets, chunk_size=chunk_size
        )
    assert seen == [(chunk_size, v)] * (n // chunk_size)
    # Nor does autograd keep any: what it holds is no larger than the inputs.
    function = loss.grad_fn.next_functions[0][0]
    kept = sum(x.numel() for x in function.saved_tensors)
    assert kept <= hidden.numel() + weight.numel()


def test_without_gradients_none_are_made():
    hidden, weight, targets = drawn(13)
    expected = reference(hidden, weight, targets)[0]
    with mock.patch.object(
        torch.Tensor, "scatter_add_", side_effect=AssertionError
    ):
        loss = linear_cross_entropy(hidden.detach(), weight.detach(), targets)
    assert not loss.requires_grad
    assert_close(loss, expected)


@pytest.mark.parametrize("frozen", [0, 1])
def test_one_of_the_two_may_be_frozen(frozen):
    inputs = list(drawn(8))
    expected = reference(*inputs)
    inputs[frozen] = inputs[frozen].detach()
    linear_cross_entropy(*inputs, chunk_size=3).backward()
    assert inputs[frozen].grad is None
    assert_close(inputs[1 - frozen].grad, expected[2 - frozen])


def test_inputs_are_left_as_they_were():
    hidden, weight, targets = drawn(9)
    targets[2] = -100
    before = [x.detach().clone() for x in (hidden, weight, targets)]
    chunked(hidden, weight, targets, chunk_size=2)
    for a, b in zip((hidden, weight, targets), before, strict=True):
        assert torch.equal(a, b)


def test_large_logits_do_not_overflow():
    hidden, weight, targets = drawn(6, std=1e4)
    ours = chunked(hidden, weight, targets)
    for a, b in zip(ours, reference(hidden, weight, targets), strict=True):
        assert a.isfinite().all()
        assert_close(a, b)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # Dynamo
def test_compiled_without_a_break(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch.compiler.reset()
    inputs = drawn(13, dtype=torch.float32)
    whole = torch.compile(
        lambda h, w, t: linear_cross_entropy(h, w, t, chunk_size=5),
        fullgraph=True,
        backend="aot_eager",
    )
    loss = whole(*inputs)
    found = loss, *torch.autograd.grad(loss, inputs[:2])
    for a, b in zip(found, reference(*inputs), strict=True):
        assert_close(a, b, rtol=1e-5, atol=1e-6)


# ---- edges


def test_no_tokens_and_nothing_that_counts():
    hidden, weight, targets = drawn(4)
    targets[:] = -100
    loss, to_hidden, _ = chunked(hidden, weight, targets)
    assert loss.isnan()  # as in PyTorch
    assert reference(hidden, weight, targets)[0].isnan()
    assert to_hidden.shape == hidden.shape
    none = linear_cross_entropy(hidden[:0], weight, targets[:0])
    assert none.isnan()


def test_one_token_and_one_word():
    hidden, weight, _ = drawn(1, 3, 1)
    loss, to_hidden, to_weight = chunked(hidden, weight, torch.tensor([0]))
    assert loss.item() == 0
    assert not to_hidden.any()
    assert not to_weight.any()


# ---- error messages


@pytest.mark.parametrize("wrong", [11, -1, -101])
def test_target_outside_the_vocabulary(wrong):
    hidden, weight, targets = drawn(5)
    targets[3] = wrong
    with pytest.raises(
        ValueError,
        match=rf"target {wrong} is outside the vocabulary of 11; "
        r"mark what should not count by -100",
    ):
        linear_cross_entropy(hidden, weight, targets)


def test_shapes_that_do_not_fit():
    hidden, weight, targets = drawn(5)
    with pytest.raises(
        ValueError, match=r"hidden \(5, 7\) needs one target .* targets \(4,\)"
    ):
        linear_cross_entropy(hidden, weight, targets[:4])
    with pytest.raises(ValueError, match='"mean" or "sum", got \'none\''):
        linear_cross_entropy(hidden, weight, targets, reduction="none")
    with pytest.raises(ValueError, match=r"at least 1, got .* chunk_size 0"):
        linear_cross_entropy(hidden, weight, targets, chunk_size=0)
