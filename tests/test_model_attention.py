"""Attention against arithmetic, PyTorch, and what its text claims."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from llm_from_scratch.model import attention
from llm_from_scratch.model.attention import (
    Attention,
    Cache,
    attend,
    causal_mask,
    document_mask,
    group_size,
    scaled_dot_product_attention,
    softmax,
)
from llm_from_scratch.model.rope import RotaryEmbedding

BY_HAND, BY_FUSED = scaled_dot_product_attention, attend
PLAIN = attention._plain  # the other way of attend
SHAPES = [  # B, H, G, T, S, D
    (2, 4, 2, 5, 5, 8),
    (1, 6, 1, 3, 7, 4),
    (2, 3, 3, 7, 3, 5),
    (2, 4, 2, 1, 9, 8),
    (0, 4, 2, 5, 5, 8),
    (1, 1, 1, 1, 1, 1),
]


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def heads(B, H, G, T, S, D, dtype=torch.float64):
    return (
        draw(B, H, T, D, dtype=dtype),
        draw(B, G, S, D, dtype=dtype),
        draw(B, G, S, D, dtype=dtype),
    )


def torch_attention(q, k, v, mask=None, is_causal=False):
    """Ask PyTorch, with every shared head written out."""
    repeats = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(repeats, dim=1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal)


# ---- softmax


def test_softmax_by_hand():
    x = torch.tensor([1.0, 3.0]).log()
    assert_close(softmax(x, 0), torch.tensor([0.25, 0.75]))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16]
)
def test_softmax_equals_torch(dim, dtype):
    x = 20 * torch.randn(3, 5, 4, dtype=dtype)
    assert_close(softmax(x, dim), x.softmax(dim))


def test_softmax_does_not_overflow():
    x = torch.tensor([1000.0, 999.0, -1000.0])
    assert_close(softmax(x, 0), (x - 1000).softmax(0))
    half = torch.full((70000,), 8.0, dtype=torch.float16)  # a sum above 65504
    assert softmax(half, 0).sum(dtype=torch.float32) > 0.9


def test_a_row_without_choice_is_zero_with_zero_gradient():
    x = torch.tensor([[-torch.inf] * 3, [0.0, 1.0, -torch.inf]])
    x.requires_grad_()
    w = softmax(x, 1)
    w[:, 0].sum().backward()
    assert w[0].tolist() == [0, 0, 0]
    assert w[1].sum().item() == pytest.approx(1)
    assert x.grad[0].tolist() == [0, 0, 0]
    expected = (w[1, 0] * w[1, 1]).item()
    assert x.grad[1, 0].item() == pytest.approx(expected)


def test_softmax_keeps_an_empty_batch():
    assert softmax(torch.zeros(0, 3), 1).shape == (0, 3)


def test_softmax_gradients():
    assert torch.autograd.gradcheck(lambda x: softmax(x, 0), draw(4, 3))


# ---- the mean itself


def test_attention_by_hand():
    # Scores 0 and ln 3, a width of 1: weights 1/4 and 3/4.
    q, k = torch.ones(1, 1), torch.tensor([[1.0], [3.0]]).log()
    v = torch.tensor([[8.0], [4.0]])
    assert_close(BY_HAND(q, k, v), torch.tensor([[5.0]]))


def test_the_scale_is_the_root_of_the_width():
    q = torch.full((1, 4), 1.0)
    k = torch.stack([torch.zeros(4), torch.full((4,), 0.5)])
    v = torch.eye(2)
    expected = torch.tensor([[0.0, 4 * 0.5 / 4**0.5]]).softmax(-1)
    assert_close(BY_HAND(q, k, v), expected)


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("masked", ["no", "causal", "past", "shared", "each"])
@pytest.mark.parametrize("ours", [BY_HAND, BY_FUSED, PLAIN])
def test_values_and_gradients_equal_torch(sizes, masked, ours):
    B, H, _, T, S, _ = sizes
    q, k, v = heads(*sizes)
    mask = {
        "past": causal_mask(T, S),
        "shared": torch.rand(B, 1, T, S) > 0.4,
        "each": torch.rand(B, H, T, S) > 0.4,
    }.get(masked)
    y = ours(q, k, v, mask, masked == "causal")
    expected = torch_attention(q, k, v, mask, masked == "causal")
    assert_close(y, expected)
    grad = torch.randn_like(y)
    for a, b in zip(
        torch.autograd.grad(y, (q, k, v), grad),
        torch.autograd.grad(expected, (q, k, v), grad),
        strict=True,
    ):
        assert_close(a, b)
    with torch.no_grad():
        assert_close(ours(q, k, v, mask, masked == "causal"), expected)


@pytest.mark.parametrize("limit", [0, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_ways_of_attend_agree(dtype, limit, monkeypatch):
    monkeypatch.setattr(attention, "PLAIN_MAX_KEYS", limit)
    q, k, v = heads(2, 4, 2, 33, 33, 16, dtype=dtype)
    y = attend(q, k, v, is_causal=True)
    wide = (x.double() for x in (q, k, v))
    expected = torch_attention(*wide, is_causal=True)
    assert y.dtype == dtype
    off = 3e-2 if dtype == torch.bfloat16 else 1e-5
    assert_close(y.double(), expected, atol=off, rtol=off)


def test_attend_is_plain_only_where_that_is_faster(monkeypatch):
    seen, plain = [], attention._plain

    def counted(q, k, v, mask, is_causal):
        seen.append((q.dtype, k.shape[2]))
        return plain(q, k, v, mask, is_causal)

    monkeypatch.setattr(attention, "_plain", counted)
    monkeypatch.setattr(attention, "PLAIN_MAX_KEYS", 6)
    for length in (5, 6, 7):
        for dtype in (torch.bfloat16, torch.float32):
            attend(*heads(1, 2, 2, length, length, 4, dtype=dtype))
    attend(*heads(1, 2, 2, 1, 9, 4, dtype=torch.bfloat16))  # one query
    attend(*heads(1, 2, 2, 1, 9, 4, dtype=torch.float32))
    assert [length for _, length in seen] == [5, 6, 9]
    assert {dtype for dtype, _ in seen} == {torch.bfloat16}


def test_leading_axes_are_free():
    q, k, v = draw(7, 4), draw(9, 4), draw(9, 3)
    assert_close(BY_HAND(q, k, v), F.scaled_dot_product_attention(q, k, v))
    five = torch.randn(2, 3, 4, 5, 6)
    assert BY_HAND(five, five, five, is_causal=True).shape == five.shape


def test_output_stays_inside_the_values():
    q, k, v = heads(2, 2, 2, 6, 6, 4)
    y = BY_HAND(100 * q, k, v)
    assert (y <= v.amax(2, keepdim=True) + 1e-9).all()
    assert (y >= v.amin(2, keepdim=True) - 1e-9).all()


def test_the_order_of_the_keys_does_not_matter():
    q, k, v = heads(1, 2, 2, 3, 6, 4)
    order = torch.randperm(6)
    shuffled = attend(q, k[:, :, order], v[:, :, order])
    assert_close(attend(q, k, v), shuffled)


@pytest.mark.parametrize("ours", [BY_HAND, BY_FUSED, PLAIN])
@pytest.mark.parametrize("learn", [True, False])
def test_who_may_read_nothing_gets_zeros(ours, learn):
    q, k, v = heads(1, 2, 1, 3, 3, 4)
    mask = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0]]).bool()
    with torch.set_grad_enabled(learn):
        y = ours(q, k, v, mask, False)
    assert (y[:, :, 0] == 0).all()
    assert y.isfinite().all()
    if learn:
        y.square().sum().backward()
        for x in (q, k, v):
            assert x.grad.isfinite().all()
        assert (q.grad[:, :, 0] == 0).all()


# ---- masks


def test_causal_mask_by_hand():
    assert causal_mask(2).tolist() == [[True, False], [True, True]]
    assert causal_mask(2, 4).long().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert causal_mask(1, 3).all()
    assert causal_mask(0, 3).shape == (0, 3)


def test_is_causal_is_pytorchs_and_not_the_caches():
    q, k, v = heads(1, 2, 2, 2, 5, 4)
    first = BY_HAND(q, k, v, is_causal=True)
    assert_close(first[:, :, 0], v[:, :, 0])  # sees key 0 only
    assert not torch.allclose(first, BY_HAND(q, k, v, causal_mask(2, 5)))


def test_document_mask_by_hand():
    ids = torch.tensor([[7, 7, 3], [1, 2, 2]])
    expected = torch.tensor(
        [
            [[1, 0, 0], [1, 1, 0], [0, 0, 1]],
            [[1, 0, 0], [0, 1, 0], [0, 1, 1]],
        ]
    )
    assert torch.equal(document_mask(ids).long(), expected[:, None])


def test_no_token_sees_another_document():
    ids = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2]])
    layer, x = Attention(12, 3, 1).double(), draw(1, 8, 12)
    for t in range(8):
        (reads,) = torch.autograd.grad(
            layer(x, mask=document_mask(ids))[0, t].sum(), x
        )
        touched = reads[0].abs().amax(-1) > 0
        allowed = (ids[0] == ids[0, t]) & (torch.arange(8) <= t)
        assert torch.equal(touched, allowed)


def test_a_mask_without_its_axis_is_refused():
    layer, x = Attention(12, 3, 1).double(), draw(3, 5, 12)
    mask = document_mask(torch.zeros(3, 5, dtype=torch.long))
    assert_close(layer(x, mask=mask), layer(x, mask=mask[0, 0]))
    with pytest.raises(ValueError, match=r"or \(B, 1, T, S\), not .*3, 5, 5"):
        layer(x, mask=mask[:, 0])


def test_a_packed_row_equals_its_documents_alone():
    layer, rope = Attention(16, 4, 2).double(), RotaryEmbedding(4)
    x, lengths = draw(1, 12, 16), [5, 1, 6]
    ids = torch.arange(3).repeat_interleave(torch.tensor(lengths))[None]
    packed = layer(x, rope.tables(torch.arange(12)), document_mask(ids))
    alone = [
        layer(part, rope.tables(torch.arange(part.shape[1])))
        for part in x.split(lengths, dim=1)
    ]
    # RoPE sees differences of places, so it needs no restart; its tables
    # are float32, hence the tolerance.
    assert_close(packed, torch.cat(alone, 1), atol=1e-5, rtol=1e-5)


# ---- the layer


class Kept:
    """The smallest cache: it concatenates."""

    def __init__(self):
        self.k = self.v = torch.zeros(2, 2, 0, 4, dtype=torch.float64)

    def update(self, layer, k, v):
        self.layer = layer
        self.k, self.v = torch.cat((self.k, k), 2), torch.cat((self.v, v), 2)
        return self.k, self.v


def one_head_at_a_time(layer, x):
    """Compute the layer with loops over heads and queries."""
    q, k, v = (p(x) for p in (layer.q_proj, layer.k_proj, layer.v_proj))
    size = layer.head_dim
    heads, groups = q.shape[-1] // size, k.shape[-1] // size
    out = torch.zeros_like(q)
    for h in range(heads):
        a = slice(h * size, (h + 1) * size)
        g = h * groups // heads
        b = slice(g * size, (g + 1) * size)
        for t in range(x.shape[1]):
            s = torch.einsum("bd,bsd->bs", q[:, t, a], k[:, : t + 1, b])
            w = (s / size**0.5).softmax(-1)
            out[:, t, a] = torch.einsum("bs,bsd->bd", w, v[:, : t + 1, b])
    return layer.o_proj(out)


@pytest.mark.parametrize(
    ("num_heads", "num_kv_heads", "head_dim"),
    [(4, 4, None), (4, 2, None), (6, 1, 5), (3, None, 7), (1, 1, None)],
)
def test_layer_equals_loops(num_heads, num_kv_heads, head_dim):
    layer = Attention(12, num_heads, num_kv_heads, head_dim).double()
    x = draw(2, 6, 12)
    with torch.no_grad():
        assert_close(layer(x), one_head_at_a_time(layer, x))


def test_layer_equals_torch_multi_head():
    ours = Attention(12, 3).double()
    theirs = nn.MultiheadAttention(
        12, 3, bias=False, batch_first=True, dtype=torch.float64
    )
    with torch.no_grad():
        parts = (ours.q_proj, ours.k_proj, ours.v_proj)
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        theirs.out_proj.weight.copy_(ours.o_proj.weight)
    x = draw(2, 5, 12)
    expected, _ = theirs(x, x, x, attn_mask=~causal_mask(5), need_weights=False)
    assert_close(ours(x), expected)


def test_no_token_sees_the_next():
    layer, x = Attention(8, 2).double(), draw(1, 6, 8)
    for t in range(6):
        (reads,) = torch.autograd.grad(layer(x)[0, t].sum(), x)
        touched = reads[0].abs().amax(-1) > 0
        assert touched.tolist() == [s <= t for s in range(6)]


@pytest.mark.parametrize("pieces", [[1] * 7, [7], [3, 4], [1, 5, 1], [6, 1]])
@pytest.mark.parametrize("num_heads", [2, 4])
def test_with_a_cache_equals_without(pieces, num_heads):
    layer = Attention(8, num_heads, 2, 4, layer_index=3).double()
    rope, x, cache = RotaryEmbedding(4), draw(2, 7, 8), Kept()
    tables = rope.tables(torch.arange(7))
    out, at = [], 0
    for part in x.split(pieces, dim=1):
        here = slice(at, at + part.shape[1])
        out.append(layer(part, tuple(t[here] for t in tables), cache=cache))
        at = here.stop
    assert cache.layer == 3
    assert_close(torch.cat(out, 1), layer(x, tables))


def test_a_cache_is_recognized():
    assert isinstance(Kept(), Cache)
    assert not isinstance(object(), Cache)


def test_qk_norm_works_on_heads_before_the_rotation():
    class Unit(nn.Module):
        def __init__(self, width):
            super().__init__()
            assert width == 4

        def forward(self, x):
            assert x.shape[1:] in ((5, 2, 4), (5, 1, 4))  # T, H or G, D
            return F.normalize(x, dim=-1)

    layer = Attention(8, 2, 1, qk_norm=Unit).double()
    tables = RotaryEmbedding(4).tables(torch.arange(5))
    x = draw(1, 5, 8)
    before = layer(x, tables)
    with torch.no_grad():
        layer.q_proj.weight *= 3  # a norm forgets the length
        layer.k_proj.weight *= 7
    assert_close(layer(x, tables), before)


def test_state_dict_has_the_names_of_the_files():
    layer = Attention(12, 4, 2)
    shapes = {n: tuple(w.shape) for n, w in layer.state_dict().items()}
    assert shapes == {
        "q_proj.weight": (12, 12),
        "k_proj.weight": (6, 12),
        "v_proj.weight": (6, 12),
        "o_proj.weight": (12, 12),
    }
    normed = Attention(12, 4, qk_norm=nn.RMSNorm).state_dict()
    assert {"q_norm.weight", "k_norm.weight"} < set(normed)


@pytest.mark.parametrize("shape", [(0, 4, 8), (2, 0, 8), (1, 1, 8)])
def test_empty_and_single(shape):
    assert Attention(8, 2, 1)(torch.randn(shape)).shape == shape


def test_layer_gradients():
    layer = Attention(4, 2, 1).double()
    assert torch.autograd.gradcheck(layer, draw(1, 3, 4))


# ---- errors


@pytest.mark.parametrize("bad", [(6, 4), (4, 0), (0, 1), (2, 4), (-4, 2)])
def test_head_counts_that_do_not_divide(bad):
    with pytest.raises(ValueError, match=f"got {bad[0]} and {bad[1]}"):
        group_size(*bad)
    with pytest.raises(ValueError, match=f"got {bad[0]} and {bad[1]}"):
        Attention(12, *bad)


def test_shared_heads_that_do_not_divide():
    q, k, v = heads(1, 3, 2, 4, 4, 4)
    for ours in (BY_HAND, BY_FUSED):
        with pytest.raises(ValueError, match="got 3 and 2"):
            ours(q, k, v)


def test_width_that_does_not_divide():
    with pytest.raises(ValueError, match="hidden_size 10 is no multiple"):
        Attention(10, 4)
