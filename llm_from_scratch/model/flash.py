# Generated from chapters/10_attention.md by `make export`. Do not edit.
"""Exact attention in memory that grows with T, not with T squared.

Axes: ... any leading axes (texts, heads), T queries, S keys, D and E widths
of keys and values. Tiles of scores are made, used and forgotten.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "TILE",
    "FlashAttention",
    "flash_backward",
    "flash_forward",
]


TILE = 128  # queries and keys in a tile of scores


def _tiles(length: int, size: int) -> Iterator[slice]:
    """Cut range(length) into slices of `size`; the last may be shorter."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def _scores(
    q_tile: Tensor, k_tile: Tensor, rows: slice, cols: slice, is_causal: bool
) -> Tensor:
    """Scores of a tile; -inf where the key comes after the query."""
    scores = q_tile @ k_tile.mT
    if is_causal and cols.stop > rows.start + 1:  # the diagonal crosses it
        ahead = torch.ones_like(scores, dtype=torch.bool)
        scores.masked_fill_(ahead.triu(1 + rows.start - cols.start), -torch.inf)
    return scores


def flash_forward(
    q: Float[Tensor, "... T D"],
    k: Float[Tensor, "... S D"],
    v: Float[Tensor, "... S E"],
    is_causal: bool = False,
    tile: int = TILE,
) -> tuple[Float[Tensor, "... T E"], Float[Tensor, "... T"]]:
    """Attention by online softmax; also ln sum exp(scores) of each query.

    Computes in float32 or wider, and keeps the log-sum-exp so. is_causal
    opens key i to query t if i <= t. Source: dao2022flashattention.
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    y = q.new_empty(*q.shape[:-1], v.shape[-1])
    lse = q.new_empty(q.shape[:-1], dtype=wide)
    for rows in _tiles(q.shape[-2], tile):
        q_tile = q[..., rows, :].to(wide) / q.shape[-1] ** 0.5
        top = torch.full_like(q_tile[..., :1], -torch.inf)
        total = torch.zeros_like(top)
        out = q_tile.new_zeros(*q_tile.shape[:-1], v.shape[-1])
        for cols in _tiles(k.shape[-2], tile):
            if is_causal and cols.start >= rows.stop:
                break  # all of these keys come after all of these queries
            k_tile, v_tile = (x[..., cols, :].to(wide) for x in (k, v))
            scores = _scores(q_tile, k_tile, rows, cols, is_causal)
            new_top = torch.maximum(top, scores.amax(-1, keepdim=True))
            e = (scores - new_top).exp_()
            shrink = (top - new_top).exp_()
            total = total * shrink + e.sum(-1, keepdim=True)
            out = out * shrink + e @ v_tile
            top = new_top
        y[..., rows, :] = out / total.clamp(min=1)  # below 1: no keys at all
        lse[..., rows] = (top + total.log()).squeeze(-1)
    return y, lse


def flash_backward(
    q: Float[Tensor, "... T D"],
    k: Float[Tensor, "... S D"],
    v: Float[Tensor, "... S E"],
    y: Float[Tensor, "... T E"],
    lse: Float[Tensor, "... T"],
    grad: Float[Tensor, "... T E"],
    is_causal: bool = False,
    tile: int = TILE,
) -> tuple[
    Float[Tensor, "... T D"], Float[Tensor, "... S D"], Float[Tensor, "... S E"]
]:
    """Gradients of q, k and v; weights are recomputed tile by tile.

    `grad` is the gradient of y. Source: dao2022flashattention.
    """
    wide, scale = lse.dtype, q.shape[-1] ** -0.5
    delta = (grad.to(wide) * y.to(wide)).sum(-1, keepdim=True)
    dq = torch.zeros_like(q, dtype=wide)
    dk, dv = torch.empty_like(k), torch.empty_like(v)
    for cols in _tiles(k.shape[-2], tile):
        k_tile, v_tile = (x[..., cols, :].to(wide) for x in (k, v))
        dk_tile, dv_tile = torch.zeros_like(k_tile), torch.zeros_like(v_tile)
        for rows in _tiles(q.shape[-2], tile):
            if is_causal and cols.start >= rows.stop:
                continue
            q_tile = q[..., rows, :].to(wide) * scale
            grad_tile = grad[..., rows, :].to(wide)
            scores = _scores(q_tile, k_tile, rows, cols, is_causal)
            weights = (scores - lse[..., rows, None]).exp_()
            dv_tile += weights.mT @ grad_tile
            dscores = weights * (grad_tile @ v_tile.mT - delta[..., rows, :])
            dq[..., rows, :] += dscores @ k_tile * scale
            dk_tile += dscores.mT @ q_tile
        dk[..., cols, :], dv[..., cols, :] = dk_tile, dv_tile
    return dq.to(q.dtype), dk, dv


class FlashAttention(torch.autograd.Function):
    """`FlashAttention.apply(q, k, v, is_causal=False)`: exact attention.

    Takes (..., T, D), (..., S, D), (..., S, E) with equal leading axes and
    returns (..., T, E). For the backward pass it saves its inputs, its
    output and one log-sum-exp per query. ValueError if shapes do not fit.
    Source: dao2022flashattention.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        is_causal: bool = False,
    ) -> Tensor:
        """Check the shapes, compute, save what `backward` needs."""
        fits = q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        if not fits or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
            raise ValueError(
                f"shapes do not fit: q {tuple(q.shape)}, k {tuple(k.shape)}, "
                f"v {tuple(v.shape)}; repeat shared heads first"
            )
        with torch.autocast(q.device.type, enabled=False):
            y, lse = flash_forward(q, k, v, is_causal)
        ctx.save_for_backward(q, k, v, y, lse)
        ctx.is_causal = is_causal
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients of q, k and v."""
        q, k, v, y, lse = ctx.saved_tensors
        with torch.autocast(q.device.type, enabled=False):
            grads = flash_backward(q, k, v, y, lse, grad, ctx.is_causal)
        return (*grads, None)
