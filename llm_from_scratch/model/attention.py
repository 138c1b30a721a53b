# Generated from chapters/10_attention.md by `make export`. Do not edit.
"""Attention: each token reads a weighted mean of what other tokens offer.

Axes: B texts, H query heads, G heads of keys and values (G divides H),
T queries, S keys, D width of a head, C width of the model.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llm_from_scratch.model.embedding import Linear
from llm_from_scratch.model.rope import apply_rotary

__all__ = [
    "PLAIN_MAX_KEYS",
    "Attention",
    "Cache",
    "attend",
    "causal_mask",
    "document_mask",
    "group_size",
    "scaled_dot_product_attention",
    "softmax",
]


def softmax(x: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Positive weights that sum to one along `dim`: exp(x) / sum exp(x).

    The largest entry is subtracted first, so nothing overflows. Where all
    entries are -inf the weights are zero, with zero gradient. Computes in
    float32 or wider; returns the dtype of x.
    """
    h = x.to(torch.promote_types(x.dtype, torch.float32))
    top = h.detach().amax(dim, keepdim=True)
    e = (h - top.masked_fill(top == -torch.inf, 0)).exp()
    # The largest entry adds exp(0) = 1: below 1 nothing may be read.
    return (e / e.sum(dim, keepdim=True).clamp(min=1)).to(x.dtype)


def scaled_dot_product_attention(
    q: Float[Tensor, "... T D"],
    k: Float[Tensor, "... S D"],
    v: Float[Tensor, "... S E"],
    mask: Bool[Tensor, "..."] | None = None,
    is_causal: bool = False,
) -> Float[Tensor, "... T E"]:
    """softmax(q k^T / sqrt(D)) v, written out; O(T S) memory.

    mask: True = may attend, broadcast to (..., T, S); a query that may read
    nothing gets zeros. is_causal as in PyTorch: key i is open to query t if
    i <= t, which for T != S is not `causal_mask`. If k and v have fewer
    heads (axis -3) than q, groups share them. Source: vaswani2017attention.
    """
    if q.dim() > 2 and q.shape[-3] != k.shape[-3]:
        repeats = group_size(q.shape[-3], k.shape[-3])
        k = k.repeat_interleave(repeats, dim=-3)
        v = v.repeat_interleave(repeats, dim=-3)
    scores = q @ k.mT / q.shape[-1] ** 0.5  # (..., T, S)
    if is_causal:
        first = torch.ones_like(scores, dtype=torch.bool).tril()
        scores = scores.masked_fill(~first, -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return softmax(scores, dim=-1) @ v


def group_size(num_heads: int, num_kv_heads: int) -> int:
    """Query heads that share one head of keys and values.

    ValueError if they cannot be shared out evenly. Source: ainslie2023gqa.
    """
    if min(num_heads, num_kv_heads) < 1 or num_heads % num_kv_heads:
        raise ValueError(
            f"num_heads must be a multiple of num_kv_heads, both positive; "
            f"got {num_heads} and {num_kv_heads}"
        )
    return num_heads // num_kv_heads


def causal_mask(
    num_queries: int,
    num_keys: int | None = None,
    *,
    device: torch.device | str | None = None,
) -> Bool[Tensor, "T S"]:
    """Which keys each query may read: those at or before its own place.

    The queries are the last T of S places (S = T if None), as when new
    tokens meet a cache: key i is open to query t if i <= t + S - T.
    """
    num_keys = num_queries if num_keys is None else num_keys
    all_open = torch.ones(
        num_queries, num_keys, dtype=torch.bool, device=device
    )
    return all_open.tril(num_keys - num_queries)


def document_mask(
    document_ids: Int[Tensor, "B T"],
) -> Bool[Tensor, "B 1 T T"]:
    """Causal mask for texts packed in one row: read your own document only.

    `document_ids` numbers the document of each token. The axis of length 1
    stands for the heads.
    """
    same = document_ids[:, None, :, None] == document_ids[:, None, None, :]
    return same & causal_mask(same.shape[-1], device=same.device)


# In bfloat16 on a CPU, two matrix products and a softmax are faster than
# PyTorch's fused kernel up to this many keys, and for a single query always.
PLAIN_MAX_KEYS = 512


def attend(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B G S D"],
    v: Float[Tensor, "B G S D"],
    mask: Bool[Tensor, "..."] | None = None,
    is_causal: bool = False,
) -> Float[Tensor, "B H T D"]:
    """`scaled_dot_product_attention`, by the fastest way at hand.

    PyTorch's fused kernel, or plain matrix products where those are faster:
    in bfloat16 on a CPU, for few keys or a single query.
    """
    groups, keys = k.shape[1:3]
    repeats = group_size(q.shape[1], groups)
    few = 0 < keys <= PLAIN_MAX_KEYS or q.shape[2] == 1
    if few and q.dtype == torch.bfloat16 and q.device.type == "cpu":
        return _plain(q, k, v, mask, is_causal)
    one_mask = mask is None or mask.dim() < 3 or mask.shape[-3] == 1
    if repeats > 1 and q.shape[2] == 1 and one_mask and not is_causal:
        # One new token: heads that share keys are queries of one head, and
        # the cache is read where it lies.
        q = q.reshape(len(q), groups, repeats, q.shape[-1])
        y = F.scaled_dot_product_attention(q, k, v, mask)
        return y.reshape(len(q), groups * repeats, 1, v.shape[-1])
    return F.scaled_dot_product_attention(
        q, k, v, mask, is_causal=is_causal, enable_gqa=repeats > 1
    )


def _plain(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool
) -> Tensor:
    """Two matrix products; heads that share keys stack their queries.

    Scores are rounded to the dtype of q; PyTorch's kernel keeps float32.
    """
    batch, groups, num_keys, width = k.shape
    heads, num_queries = q.shape[1:3]
    # (B, H, T, D) -> (B, G, H/G * T, D): a group is one head to matmul.
    rows = heads // groups * num_queries
    stacked = (q * width**-0.5).reshape(batch, groups, rows, width)
    scores = (stacked @ k.mT).view(batch, heads, num_queries, num_keys)
    lowest = torch.finfo(scores.dtype).min
    if is_causal:
        ahead = q.new_ones(num_queries, num_keys, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(ahead, lowest)
    if mask is not None:
        scores = scores.masked_fill(~mask, lowest)
    weights = F.softmax(scores, dim=-1).to(v.dtype)
    y = weights.view(batch, groups, rows, num_keys) @ v
    y = y.view(batch, heads, num_queries, v.shape[-1])
    if mask is not None:  # who may read nothing gets zeros
        y = y.masked_fill(~mask.any(-1, keepdim=True), 0)
    return y


@runtime_checkable
class Cache(Protocol):
    """What a layer of attention asks of a key/value cache."""

    def update(
        self,
        layer: int,
        k: Float[Tensor, "B G T D"],
        v: Float[Tensor, "B G T D"],
    ) -> tuple[Float[Tensor, "B G S D"], Float[Tensor, "B G S D"]]:
        """Store the new keys and values of a layer; return all of them."""
        ...


class Attention(nn.Module):
    """Causal self-attention with H query heads and G key/value heads.

    G = H is multi-head, G = 1 multi-query, between them grouped-query
    attention. `qk_norm` builds the norm of queries and keys (Qwen3), applied
    over the head's width before the rotation. ValueError if G does not divide
    H or a mask has three axes. Sources: vaswani2017attention, ainslie2023gqa.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        *,
        qk_norm: Callable[[int], nn.Module] | None = None,
        layer_index: int = 0,
    ) -> None:
        super().__init__()
        groups = num_heads if num_kv_heads is None else num_kv_heads
        group_size(num_heads, groups)
        if head_dim is None and hidden_size % num_heads:
            raise ValueError(
                f"hidden_size {hidden_size} is no multiple of num_heads "
                f"{num_heads}: choose another, or pass head_dim"
            )
        self.head_dim = head_dim or hidden_size // num_heads
        self.layer_index = layer_index
        self.q_proj = Linear(hidden_size, num_heads * self.head_dim)
        self.k_proj = Linear(hidden_size, groups * self.head_dim)
        self.v_proj = Linear(hidden_size, groups * self.head_dim)
        self.o_proj = Linear(num_heads * self.head_dim, hidden_size)
        self.q_norm = qk_norm(self.head_dim) if qk_norm else None
        self.k_norm = qk_norm(self.head_dim) if qk_norm else None

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        rotation: tuple[Tensor, Tensor] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "B T C"]:
        """Read from x, and from the cache; causal if there is no mask."""
        if mask is not None and mask.dim() == 3:  # B would meet the heads
            raise ValueError(f"mask: (T, S) or (B, 1, T, S), not {mask.shape}")
        heads = (-1, self.head_dim)
        q = self.q_proj(x).unflatten(-1, heads)  # (B, T, H, D)
        k = self.k_proj(x).unflatten(-1, heads)  # (B, T, G, D)
        v = self.v_proj(x).unflatten(-1, heads).transpose(1, 2)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = q.transpose(1, 2), k.transpose(1, 2)  # (B, H or G, T, D)
        if rotation is not None:
            q, k = apply_rotary(q, *rotation), apply_rotary(k, *rotation)
        if cache is not None:
            k, v = cache.update(self.layer_index, k, v)
        new, keys = q.shape[2], k.shape[2]
        if mask is None and 1 < new < keys:
            mask = causal_mask(new, keys, device=x.device)
        square = mask is None and new == keys > 1
        y = attend(q, k, v, mask, is_causal=square)
        return self.o_proj(y.transpose(1, 2).flatten(2))
