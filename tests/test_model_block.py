"""The block is transformers' layer, and a stream that is only added to."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import LlamaConfig, Qwen3Config
from transformers.models.llama.modeling_llama import (
    LlamaDecoderLayer,
    LlamaRotaryEmbedding,
)
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from llm_from_scratch.model.block import TransformerBlock
from llm_from_scratch.model.layers import RMSNorm
from llm_from_scratch.model.rope import RotaryEmbedding

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,  # not 32 / 4
    "rms_norm_eps": 1e-5,
    "attn_implementation": "eager",
}


def small(**options) -> TransformerBlock:
    torch.manual_seed(0)
    return TransformerBlock(32, 48, 4, 2, 16, rms_norm_eps=1e-5, **options)


def quiet(block: TransformerBlock) -> TransformerBlock:
    nn.init.zeros_(block.self_attn.o_proj.weight)
    nn.init.zeros_(block.mlp.down_proj.weight)
    return block


def reference(qwen: bool):
    """(our block, their layer, their rotation) with one set of weights."""
    if qwen:
        theirs = Qwen3DecoderLayer(Qwen3Config(**SIZES), 0)
    else:
        theirs = LlamaDecoderLayer(LlamaConfig(**SIZES), 0)
    for name, p in theirs.named_parameters():
        nn.init.normal_(p, mean=float("norm" in name), std=0.2)
    ours = small(qk_norm=qwen)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs, LlamaRotaryEmbedding(LlamaConfig(**SIZES))


def apply_theirs(theirs, rotary, x):
    steps = x.shape[1]
    mask = torch.full((steps, steps), float("-inf")).triu(1).to(x.dtype)
    places = torch.arange(steps)[None]
    out = theirs(
        x,
        attention_mask=mask[None, None],
        position_embeddings=rotary(x, places),
    )
    return out[0] if isinstance(out, tuple) else out


# ---- by hand, and against a reference


def test_block_is_two_sums():
    block, x = small(), torch.randn(2, 5, 32)
    y = x + block.self_attn(block.input_layernorm(x))
    z = y + block.mlp(block.post_attention_layernorm(y))
    assert_close(block(x), z, rtol=0, atol=0)


@pytest.mark.parametrize("qwen", [False, True])
@pytest.mark.parametrize(
    ("dtype", "close"), [(torch.float32, 3e-6), (torch.bfloat16, 4e-2)]
)
def test_block_matches_transformers(qwen, dtype, close):
    ours, theirs, rotary = reference(qwen)
    ours, theirs = ours.to(dtype), theirs.to(dtype)
    a = torch.randn(2, 7, 32).to(dtype).requires_grad_()
    b = a.detach().clone().requires_grad_()
    rope = RotaryEmbedding(16, max_seq_len=16)
    out = ours(a, rope.tables(torch.arange(7), dtype))
    expected = apply_theirs(theirs, rotary, b)
    assert_close(out, expected, rtol=close, atol=close)
    out.float().square().sum().backward()
    expected.float().square().sum().backward()
    scale = b.grad.abs().max().item()
    assert_close(a.grad, b.grad, rtol=0, atol=close * scale)
    for name, p in ours.named_parameters():
        grad = theirs.get_parameter(name).grad
        scale = grad.abs().max().item()
        assert_close(p.grad, grad, rtol=0, atol=close * scale)


@pytest.mark.parametrize("qwen", [False, True])
def test_names_are_those_of_transformers(qwen):
    ours, theirs, _ = reference(qwen)
    shapes = {k: v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == shapes


# ---- properties


def test_a_block_that_says_nothing_passes_everything_on():
    x = 100 * torch.randn(2, 5, 32) + 3
    assert_close(quiet(small())(x), x, rtol=0, atol=0)


def test_the_gradient_runs_through_untouched():
    x = torch.randn(2, 5, 32, requires_grad=True)
    push = torch.randn(2, 5, 32)
    quiet(small())(x).backward(push)
    assert_close(x.grad, push, rtol=0, atol=0)


def test_what_a_block_adds_does_not_grow_with_the_stream():
    block, x = small().double(), torch.randn(2, 5, 32, dtype=torch.float64)
    block.input_layernorm.eps = block.post_attention_layernorm.eps = 0.0
    nn.init.zeros_(block.mlp.down_proj.weight)
    assert_close(block(1000 * x) - 1000 * x, block(x) - x)


def test_no_token_reads_a_later_one():
    block, x = small(), torch.randn(1, 6, 32, requires_grad=True)
    for t in range(6):
        (grad,) = torch.autograd.grad(block(x)[0, t].sum(), x)
        assert grad[0, : t + 1].abs().amax(-1).gt(0).all()
        assert grad[0, t + 1 :].eq(0).all()


def test_mask_goes_to_the_attention():
    block, x = small(), torch.randn(1, 4, 32)
    alone = torch.eye(4, dtype=torch.bool)
    expected = torch.cat([block(x[:, t : t + 1]) for t in range(4)], 1)
    assert_close(block(x, None, alone), expected)


def test_options_reach_the_parts():
    block = small(qk_norm=True, layer_index=3)
    norms = [m for m in block.modules() if isinstance(m, RMSNorm)]
    assert [m.eps for m in norms] == [1e-5] * 4
    assert block.self_attn.q_norm.weight.shape == (16,)
    assert block.self_attn.layer_index == 3
    assert small().self_attn.q_norm is None


class Shelf:
    """A cache that keeps one pair of tensors and says which layer came."""

    def __init__(self) -> None:
        self.layer, self.k, self.v = -1, None, None

    def update(self, layer, k, v):
        if self.k is not None:
            k, v = torch.cat([self.k, k], 2), torch.cat([self.v, v], 2)
        self.layer, self.k, self.v = layer, k, v
        return k, v


def test_cache_goes_to_the_attention():
    block, x, shelf = small(layer_index=3), torch.randn(1, 6, 32), Shelf()
    tables = RotaryEmbedding(16).tables
    parts = [
        block(x[:, a:b], tables(torch.arange(a, b)), None, shelf)
        for a, b in ((0, 3), (3, 5), (5, 6))
    ]
    whole = block(x, tables(torch.arange(6)))
    assert_close(torch.cat(parts, 1), whole)
    assert shelf.layer == 3


# ---- edges, gradients, errors


@pytest.mark.parametrize("shape", [(0, 5, 32), (1, 1, 32), (3, 17, 32)])
def test_odd_shapes(shape):
    assert small()(torch.randn(shape)).shape == shape


def test_gradients():
    block = TransformerBlock(6, 10, 3, 1, qk_norm=True).double()
    x = torch.randn(1, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, x)


def test_errors_come_from_the_part_that_knows():
    with pytest.raises(ValueError, match="4"):
        TransformerBlock(32, 48, 4, 3)
    with pytest.raises(ValueError, match="last axis of x is 16"):
        small()(torch.randn(1, 2, 16))
