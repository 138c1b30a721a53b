"""FlashAttention equals the attention that it never writes down."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from llm_from_scratch.model import flash
from llm_from_scratch.model.attention import scaled_dot_product_attention
from llm_from_scratch.model.flash import (
    FlashAttention,
    flash_backward,
    flash_forward,
)

LENGTHS = [(1, 1), (128, 128), (129, 129), (300, 300), (5, 300), (300, 129)]
TOLERANCE = {
    torch.float64: {"atol": 1e-11, "rtol": 1e-9},
    torch.float32: {"atol": 2e-5, "rtol": 1e-4},
    torch.bfloat16: {"atol": 4e-2, "rtol": 2e-2},
}


def draw(lead, T, S, D, E, dtype=torch.float64):
    return tuple(
        torch.randn(*lead, *size, dtype=dtype, requires_grad=True)
        for size in ((T, D), (S, D), (S, E))
    )


def compare(y, expected, inputs, tolerance):
    """Values and all gradients, for one random gradient of the output."""
    assert_close(y.to(expected.dtype), expected, **tolerance)
    grad = torch.randn_like(y)
    ours = torch.autograd.grad(y, inputs, grad)
    theirs = torch.autograd.grad(expected, inputs, grad.to(expected.dtype))
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b, **tolerance)


def test_online_softmax_by_hand():
    # Scores 0 | ln 2, ln 5: sums of exponentials 1 | 2, 5; mean of values.
    q, v = torch.ones(1, 1), torch.tensor([[8.0], [4.0], [0.8]])
    k = torch.tensor([[1.0], [2.0], [5.0]]).log()
    y, lse = flash_forward(q, k, v, tile=1)
    assert_close(y, torch.tensor([[(8 + 2 * 4 + 5 * 0.8) / 8]]))
    assert_close(lse, torch.tensor([8.0]).log())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_equals_naive_attention(lengths, is_causal, dtype):
    q, k, v = draw((2,), *lengths, 16, 16, dtype)
    y = FlashAttention.apply(q, k, v, is_causal)
    assert y.dtype == dtype
    wide = (x.double() for x in (q, k, v))
    expected = scaled_dot_product_attention(*wide, is_causal=is_causal)
    compare(y, expected, (q, k, v), TOLERANCE[dtype])


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (0, 2)])
def test_equals_torch(lead, is_causal):
    q, k, v = draw(lead, 130, 130, 8, 5)
    y = FlashAttention.apply(q, k, v, is_causal)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
    compare(y, expected, (q, k, v), TOLERANCE[torch.float64])


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("tile", [1, 2, 3, 7, 11, 64])
def test_the_tile_does_not_matter(tile, is_causal):
    with torch.no_grad():
        q, k, v = draw((2,), 11, 9, 4, 4)
        y, lse = flash_forward(q, k, v, is_causal, 100)
        grads = flash_backward(q, k, v, y, lse, v[:, :1] + y, is_causal, 100)
        again = flash_forward(q, k, v, is_causal, tile)
        assert_close(again, (y, lse))
        args = (q, k, v, y, lse, v[:, :1] + y, is_causal, tile)
        assert_close(flash_backward(*args), grads)


@torch.no_grad()
def test_half_precision_is_computed_in_float32():
    half = draw((2,), 300, 300, 16, 16, torch.bfloat16)
    wide = tuple(x.float() for x in half)
    y, lse = flash_forward(*half, is_causal=True)
    expected, expected_lse = flash_forward(*wide, is_causal=True)
    assert lse.dtype == torch.float32
    assert_close(lse, expected_lse)
    off = {"atol": 1e-5, "rtol": 2**-8}  # one rounding to bfloat16
    assert_close(y.float(), expected, **off)
    grads = flash_backward(*half, y, lse, y, True)
    expected_grads = flash_backward(*wide, y.float(), lse, y.float(), True)
    for a, b in zip(grads, expected_grads, strict=True):
        assert_close(a.float(), b, **off)


def test_gradients():
    for is_causal in (False, True):
        q, k, v = draw((2,), 5, 4, 3, 2)
        assert torch.autograd.gradcheck(
            lambda *x: FlashAttention.apply(*x, is_causal),  # noqa: B023
            (q, k, v),
        )


def test_large_scores_do_not_overflow():
    q, k, v = draw((1,), 200, 200, 8, 8, torch.float32)
    with torch.no_grad():
        y = FlashAttention.apply(300 * q, 300 * k, v, True)
        expected = scaled_dot_product_attention(
            300 * q.double(), 300 * k.double(), v.double(), is_causal=True
        )
    assert y.isfinite().all()
    assert_close(y.double(), expected, atol=1e-2, rtol=1e-2)


def test_a_late_maximum_makes_the_earlier_ones_fade():
    q, v = torch.ones(1, 1), torch.arange(6.0)[:, None]
    k = torch.tensor([-500.0, -400, 0, 300, 300, -1e4])[:, None]
    y, lse = flash_forward(q, k, v, tile=2)
    assert_close(y, torch.tensor([[3.5]]))
    assert_close(lse, torch.tensor([300.0]) + torch.tensor(2.0).log())


def test_it_keeps_one_log_sum_exp_and_no_scores():
    q, k, v = draw((2, 3), 200, 150, 8, 4)
    y = FlashAttention.apply(q, k, v, False)
    saved = [tuple(x.shape) for x in y.grad_fn.saved_tensors]
    assert saved.count((2, 3, 200)) == 1
    assert len(saved) == 5
    assert all(200 * 150 not in (a * b for a in s for b in s) for s in saved)
    scores = q @ k.mT / 8**0.5
    lse = next(x for x in y.grad_fn.saved_tensors if x.dim() == 3)
    assert_close(lse, scores.logsumexp(-1))


class Largest(TorchDispatchMode):
    """The size of the largest tensor that an operation returned."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.size = max(self.size, out.numel())
        return out


def test_no_tensor_grows_with_the_square():
    def largest(length):
        q, k, v = draw((1,), length, length, 8, 8, torch.float32)
        with Largest() as seen:
            FlashAttention.apply(q, k, v, True).sum().backward()
        return seen.size

    assert largest(1024) == flash.TILE**2
    assert largest(4096) == 4096 * 8  # the inputs are larger than a tile


def test_causal_skips_tiles_of_the_future(monkeypatch):
    pairs, honest = [], flash._scores

    def counted(q, k, rows, cols, is_causal):
        pairs.append((rows.start, cols.start))
        return honest(q, k, rows, cols, is_causal)

    monkeypatch.setattr(flash, "_scores", counted)
    q, k, v = draw((), 12, 12, 4, 4)
    with torch.no_grad():
        y, lse = flash_forward(q, k, v, True, 3)
        assert len(pairs) == 4 * 5 // 2
        flash_backward(q, k, v, y, lse, y, True, 3)
    assert len(pairs) == 2 * 4 * 5 // 2


def test_no_keys_give_zeros():
    q, k, v = draw((2,), 3, 0, 4, 5)
    y = FlashAttention.apply(q, k, v, False)
    assert y.shape == (2, 3, 5)
    assert (y == 0).all()


def test_transposed_inputs():
    x = torch.randn(2, 150, 3, 8, dtype=torch.float64, requires_grad=True)
    q = x.transpose(1, 2)  # heads before places, as the layer has them
    y = FlashAttention.apply(q, q, q, True)
    expected = scaled_dot_product_attention(q, q, q, is_causal=True)
    compare(y, expected, (x,), TOLERANCE[torch.float64])


def test_only_what_needs_it_gets_a_gradient():
    q, k, v = draw((), 5, 5, 4, 4)
    FlashAttention.apply(q, k.detach(), v, True).sum().backward()
    assert q.grad is not None
    assert k.grad is None


def test_autocast_does_not_shorten_the_sums():
    q, k, v = draw((1,), 150, 150, 16, 16, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = FlashAttention.apply(q, k, v, True)
    assert_close(
        y,
        scaled_dot_product_attention(q, k, v, is_causal=True),
        atol=1e-5,
        rtol=1e-4,
    )


def test_the_kernel_runs_where_it_suits(monkeypatch):
    seen = []

    def kernel(q, k, v, is_causal):
        seen.append(is_causal)
        return flash_forward(q, k, v, is_causal)

    monkeypatch.setattr(flash, "flash_forward_triton", kernel)
    q, k, v = draw((2,), 9, 9, 4, 4)
    expected = FlashAttention.apply(q, k, v, True)  # on a CPU: not there
    assert seen == []
    monkeypatch.setattr(flash, "suits_triton", lambda *_: True)
    compare(FlashAttention.apply(q, k, v, True), expected, (q, k, v), {})
    assert seen == [True]


def test_shapes_that_do_not_fit():
    x, y = torch.zeros(2, 4, 5, 8), torch.zeros(2, 2, 5, 8)
    with pytest.raises(ValueError, match="repeat shared heads first"):
        FlashAttention.apply(x, y, y, True)
    with pytest.raises(ValueError, match=r"k \(2, 4, 5, 7\)"):
        FlashAttention.apply(x, x[..., :7], x, True)
    with pytest.raises(ValueError, match="do not fit"):
        FlashAttention.apply(x, x, x[:, :, :4], True)
