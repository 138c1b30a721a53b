"""RMSNorm and SwiGLU: arithmetic, PyTorch, transformers, and their claims."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from llm_from_scratch.model.layers import RMSNorm, SwiGLU, silu, swiglu_width

SHAPES = [(8,), (3, 8), (2, 3, 8), (0, 8), (2, 0, 8), (1, 2, 3, 8)]
HALF = [torch.bfloat16, torch.float16]


def exact(ours, theirs):
    assert_close(ours, theirs, rtol=0, atol=0)


def theirs_with(norm: RMSNorm) -> LlamaRMSNorm:
    theirs = LlamaRMSNorm(norm.weight.shape[0], norm.eps)
    theirs.weight.data = norm.weight.data.clone()
    return theirs


# ---- by hand


def test_rms_norm_by_hand():
    x = torch.tensor([3.0, 4.0])  # mean square 12.5
    assert_close(RMSNorm(2, eps=0.0)(x), x / 12.5**0.5)
    norm = RMSNorm(2, eps=3.5)  # 12.5 + 3.5 = 4 squared
    norm.weight.data = torch.tensor([1.0, 10.0])
    assert_close(norm(x), torch.tensor([0.75, 10.0]))


def test_silu_by_hand():
    x = torch.tensor([0.0, 1.0, -1.0])
    e = torch.e
    assert_close(silu(x), torch.tensor([0.0, e / (1 + e), -1 / (1 + e)]))


def test_swiglu_by_hand():
    ffn, x = SwiGLU(8, 16), torch.randn(2, 3, 8)
    g = torch.einsum("btc,mc->btm", x, ffn.gate_proj.weight)
    u = torch.einsum("btc,mc->btm", x, ffn.up_proj.weight)
    h = g * g.sigmoid() * u
    assert_close(ffn(x), torch.einsum("btm,cm->btc", h, ffn.down_proj.weight))


# ---- against a reference


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_rms_norm_has_the_bits_of_llamas(shape, dtype):
    norm = RMSNorm(8, eps=1e-5).to(dtype)
    nn.init.normal_(norm.weight)
    x = (3 * torch.randn(shape)).to(dtype)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    theirs = theirs_with(norm)
    out, expected = norm(a), theirs(b)
    exact(out, expected)
    push = torch.randn(shape).to(dtype)
    out.backward(push)
    expected.backward(push)
    exact(a.grad, b.grad)
    exact(norm.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize("dtype", HALF)
def test_a_float32_weight_widens_half_precision_as_llamas_does(dtype):
    norm, x = RMSNorm(64), torch.randn(5, 64).to(dtype)
    nn.init.normal_(norm.weight)
    assert norm(x).dtype == torch.float32
    exact(norm(x), theirs_with(norm)(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm_matches_torch(shape, dtype):
    norm, x = RMSNorm(8, eps=1e-3).to(dtype), torch.randn(shape, dtype=dtype)
    nn.init.normal_(norm.weight)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = F.rms_norm(b, (8,), norm.weight.detach(), eps=1e-3)
    assert_close(norm(a), expected)
    push = torch.randn(shape, dtype=dtype)
    norm(a).backward(push)
    expected.backward(push)
    assert_close(a.grad, b.grad)


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_swiglu_has_the_bits_of_llamas(dtype):
    config = LlamaConfig(
        hidden_size=24, intermediate_size=40, num_attention_heads=4
    )
    theirs = LlamaMLP(config).to(dtype)
    ours = SwiGLU(24, 40, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())  # same names, too
    a = torch.randn(3, 5, 24).to(dtype).requires_grad_()
    b = a.detach().clone().requires_grad_()
    exact(ours(a), theirs(b))
    ours(a).sum().backward()
    theirs(b).sum().backward()
    exact(a.grad, b.grad)
    for ours_p, theirs_p in zip(
        ours.parameters(), theirs.parameters(), strict=True
    ):
        exact(ours_p.grad, theirs_p.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silu_matches_its_formula(dtype):
    x = torch.linspace(-30, 30, 1001, dtype=dtype, requires_grad=True)
    assert_close(silu(x), x / (1 + (-x).exp()))
    (grad,) = torch.autograd.grad(silu(x).sum(), x)
    s = x.sigmoid()
    assert_close(grad, s + x * s * (1 - s))


# ---- properties that the text states


def test_rms_norm_ignores_scale():
    x = torch.randn(4, 8, dtype=torch.float64)
    norm = RMSNorm(8, eps=0.0).double()
    assert_close(norm(100 * x), norm(x))
    assert_close(norm(-x), -norm(x))


def test_rms_norm_makes_unit_mean_square():
    y = RMSNorm(64)(7 * torch.randn(10, 64) + 3)
    assert_close(y.square().mean(-1), torch.ones(10))


def test_rms_norm_of_centered_vectors_is_layer_norm():
    x = torch.randn(5, 8)
    centered = x - x.mean(-1, keepdim=True)
    assert_close(RMSNorm(8, eps=1e-5)(centered), F.layer_norm(x, (8,)))
    gap = RMSNorm(8, eps=1e-5)(x + 1) - F.layer_norm(x, (8,))
    assert gap.abs().max() > 0.1  # else: it is the variance after all


def test_eps_stands_under_the_root():
    x = torch.full((4,), 1e-3)  # mean square 1e-6, as large as eps
    assert_close(RMSNorm(4, eps=1e-6)(x), torch.full((4,), 0.5**0.5))


def test_the_weight_comes_after_the_rounding():
    norm = RMSNorm(512, dtype=torch.bfloat16)
    nn.init.normal_(norm.weight)
    x = torch.randn(64, 512).bfloat16()
    wide = x.float()
    unit = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + norm.eps)
    exact(norm(x), norm.weight * unit.bfloat16())
    early = (norm.weight.float() * unit).bfloat16()
    assert (early != norm(x)).float().mean() > 0.1  # it can be seen


@pytest.mark.parametrize("make", [RMSNorm, SwiGLU])
def test_tokens_do_not_mix(make):
    layer, x = make(8), torch.randn(1, 5, 8)
    changed = x.clone()
    changed[0, 2] += torch.randn(8)
    moved = (layer(changed) - layer(x)).abs().amax(-1) > 1e-6  # (1, 5)
    assert moved.tolist() == [[False, False, True, False, False]]


def test_swiglu_costs_what_a_classic_layer_costs():
    ours = sum(p.numel() for p in SwiGLU(768).parameters())
    assert ours == 3 * 768 * 2048
    assert ours == 2 * 768 * (4 * 768)  # exact here: 8 * 768 / 3 is 2048


def test_gate_and_up_are_not_alike():
    ffn, x = SwiGLU(8, 16), torch.randn(4, 8)
    before = ffn(x)
    ffn.gate_proj, ffn.up_proj = ffn.up_proj, ffn.gate_proj
    assert (ffn(x) - before).abs().max() > 1e-3


# ---- edges


def test_zero_stays_zero_with_a_finite_gradient():
    x = torch.zeros(3, 8, requires_grad=True)
    y = RMSNorm(8)(x)
    exact(y, torch.zeros(3, 8))
    y.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float16, 3e4), (torch.bfloat16, 1e17)]
)
def test_squares_do_not_overflow(dtype, size):
    x = torch.full((512,), size, dtype=dtype)
    y = RMSNorm(512, dtype=dtype)(x)
    assert y.dtype == dtype
    exact(y, torch.ones_like(x))


def test_small_bfloat16_numbers_are_summed_in_float32():
    x = torch.ones(4096, dtype=torch.bfloat16)
    x[0] = 30.0  # 900 + 4095: increments of 1 are lost in bfloat16
    y = RMSNorm(4096, dtype=torch.bfloat16)(x)
    assert y[1].item() == pytest.approx((4096 / 4995) ** 0.5, rel=4e-3)


@pytest.mark.parametrize(
    ("width", "multiple", "hidden"),
    [(24, 64, 64), (25, 64, 128), (768, 64, 2048), (4096, 256, 11008),
     (64, 1, 171), (1, 1, 3)],
)  # fmt: skip
def test_swiglu_width_rounds_up(width, multiple, hidden):
    assert swiglu_width(width, multiple) == hidden


def test_layers_are_made_where_asked():
    ffn = SwiGLU(8, 16, device="meta", dtype=torch.bfloat16)
    norm = RMSNorm(8, device="meta", dtype=torch.float16)
    assert {p.device.type for p in ffn.parameters()} == {"meta"}
    assert ffn.down_proj.weight.dtype == torch.bfloat16
    assert norm.weight.is_meta
    assert norm.weight.dtype == torch.float16


# ---- gradients and conservation


@pytest.mark.parametrize("make", [RMSNorm, SwiGLU])
def test_gradients(make):
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(make(6).double(), x)


def test_the_gradient_of_a_norm_is_orthogonal_to_its_input():
    x = torch.randn(5, 16, dtype=torch.float64, requires_grad=True)
    norm = RMSNorm(16, eps=0.0).double()
    (norm(x) * torch.randn(5, 16)).sum().backward()
    assert_close((x * x.grad).sum(-1), torch.zeros(5, dtype=torch.float64))


# ---- error messages


def test_errors_name_the_value():
    with pytest.raises(ValueError, match=r"d >= 1 .* got 0"):
        RMSNorm(0)
    with pytest.raises(ValueError, match=r"eps >= 0, got 4 and -1"):
        RMSNorm(4, eps=-1.0)
    with pytest.raises(ValueError, match=r"last axis of x is 8.* for 1"):
        RMSNorm(1)(torch.randn(2, 8))
    with pytest.raises(ValueError, match=r"got 0 and 64"):
        swiglu_width(0)
    with pytest.raises(ValueError, match=r"got 8 and 0"):
        swiglu_width(8, 0)
