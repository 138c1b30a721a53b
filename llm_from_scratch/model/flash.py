# Generated from chapters/10_attention.md by `make export`. Do not edit.
"""Exact attention in memory that grows with T, not with T squared.

Axes: ... any leading axes (texts, heads), T queries, S keys, D and E widths
of keys and values. Tiles of scores are made, used and forgotten.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, no_type_check

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

try:
    import triton
    import triton.language as tl
    from triton.language import constexpr
except ImportError:  # comes with PyTorch for GPUs; otherwise it may be absent
    triton, constexpr = None, int

__all__ = [
    "TILE",
    "FlashAttention",
    "absorb_tile",
    "check_alike",
    "flash_backward",
    "flash_forward",
    "flash_forward_triton",
    "flash_kernel",
    "gpu_kernel",
    "suits_triton",
    "tile_sizes",
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
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False
    ) -> Tensor:
        """Check the shapes, compute, save what `backward` needs."""
        fits = q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        if not fits or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
            raise ValueError(
                f"shapes do not fit: q {tuple(q.shape)}, k {tuple(k.shape)}, "
                f"v {tuple(v.shape)}; repeat shared heads first"
            )
        run = flash_forward_triton if suits_triton(q, k, v) else flash_forward
        with torch.autocast(q.device.type, enabled=False):
            y, lse = run(q, k, v, is_causal)
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


def gpu_kernel(function: Callable[..., Any]) -> Any:
    """Compile for the GPU at the first launch; without Triton leave as is."""
    return function if triton is None else triton.jit(function)


@gpu_kernel
@no_type_check
def absorb_tile(q, k, v, is_open, scale, top, total, out):
    """One step of the online softmax: the queries read one tile of keys.

    Of what was read so far, `top` is the largest score of each query, `total`
    the sum of e = 2^(score - top), `out` the sum of e times the values.
    """
    # "ieee": by default float32 would be rounded to the 10 bits of TF32.
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    scores = tl.where(is_open, scores, float("-inf"))
    new_top = tl.maximum(top, tl.max(scores, 1))
    e = tl.exp2(scores - new_top[:, None])
    # What was weighed against the old top shrinks by one factor a query.
    shrink = tl.exp2(top - new_top)
    total = total * shrink + tl.sum(e, 1)
    out = out * shrink[:, None]
    out = tl.dot(e.to(v.dtype), v, out, input_precision="ieee")
    return new_top, total, out


@gpu_kernel
@no_type_check
def flash_kernel(
    q, k, v, y, lse, scale, T, S,
    D: constexpr, WIDTH: constexpr, ROWS: constexpr, IS_CAUSAL: constexpr,
):  # fmt: skip
    """Program i: one tile of the queries of one head, against all its keys."""
    i, tiles = tl.program_id(0), tl.cdiv(T, ROWS)
    head = (i // tiles).to(tl.int64)  # places outgrow 32 bits
    t = i % tiles * ROWS + tl.arange(0, ROWS)
    d = tl.arange(0, WIDTH)[None, :]
    row = head * T + t
    q_at, inside = row[:, None] * D + d, (t[:, None] < T) & (d < D)
    q_tile = tl.load(q + q_at, inside, other=0.0)
    top = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    out = tl.zeros((ROWS, WIDTH), tl.float32)
    # Under the causal mask no query of this tile reads past the tile's end.
    stop = tl.minimum(S, (i % tiles + 1) * ROWS) if IS_CAUSAL else S
    for start in range(0, stop, ROWS):
        s = start + tl.arange(0, ROWS)
        at = (head * S + s[:, None]) * D + d
        exists = (s[:, None] < S) & (d < D)
        k_tile = tl.load(k + at, exists, other=0.0)
        v_tile = tl.load(v + at, exists, other=0.0)
        is_open = (s < S)[None, :]
        if IS_CAUSAL:  # key 0 is open to all, so `top` is finite from now on
            is_open = is_open & (s[None, :] <= t[:, None])
        top, total, out = absorb_tile(
            q_tile, k_tile, v_tile, is_open, scale, top, total, out
        )
    # The largest weight is 1; a total below that means no keys, so no values.
    total = tl.maximum(total, 1.0)
    tl.store(y + q_at, out / total[:, None], inside)
    tl.store(lse + row, top + tl.log2(total), t < T)


def check_alike(q: Tensor, k: Tensor, v: Tensor) -> None:
    """ValueError unless k and v are like q, but for their common length."""
    wanted = (*q.shape[:-2], k.shape[-2], q.shape[-1])
    if not k.shape == v.shape == wanted:
        raise ValueError(
            f"k and v must have the shape {wanted} to go with q, got "
            f"{tuple(k.shape)} and {tuple(v.shape)}"
        )
    kinds = {f"{x.dtype} on {x.device}" for x in (q, k, v)}
    known = (torch.float32, torch.float16, torch.bfloat16)
    if len(kinds) > 1 or q.dtype not in known:
        raise ValueError(
            f"q, k and v must be alike and float32, float16 or bfloat16, "
            f"got {', '.join(sorted(kinds))}"
        )


def tile_sizes(D: int, dtype: torch.dtype) -> tuple[int, int]:
    """Width and rows of the tiles: powers of two, 16 or more.

    A tile's sums must fit into the registers of the threads that share it.
    """
    rows = 64 if dtype.itemsize == 2 and D <= 128 else 32
    return max(16, 2 ** (D - 1).bit_length()), rows


def flash_forward_triton(
    q: Float[Tensor, "... T D"],
    k: Float[Tensor, "... S D"],
    v: Float[Tensor, "... S D"],
    is_causal: bool,
) -> tuple[Float[Tensor, "... T D"], Float[Tensor, "... T"]]:
    """What `flash_forward` computes, in one kernel on a GPU.

    Any T, S and D, but v as wide as k; float32, float16 or bfloat16, with
    sums and log-sum-exp in float32. ImportError without Triton; ValueError
    if q, k and v do not fit. Source: dao2022flashattention.
    """
    if triton is None:
        raise ImportError("Triton is missing; install it: pip install triton")
    check_alike(q, k, v)
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    (*heads, T, D), S = q.shape, k.shape[-2]
    y = torch.empty_like(q)
    lse = q.new_empty((*heads, T), dtype=torch.float32)
    # A GPU computes powers of two: log2(e) joins the scale, ln 2 comes last.
    scale = math.log2(math.e) / D**0.5
    width, rows = tile_sizes(D, q.dtype)
    programs = math.prod(heads) * triton.cdiv(T, rows)
    with torch.cuda.device_of(q):  # launch there, not on the current device
        flash_kernel[(programs,)](
            q, k, v, y, lse, scale, T, S, D, width, rows, is_causal
        )
    return y, lse * math.log(2)


def suits_triton(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether the kernel takes these: on a GPU, alike, D <= 256."""
    return (
        triton is not None
        and q.is_cuda
        and q.dtype in (torch.float32, torch.float16, torch.bfloat16)
        and q.dtype == k.dtype == v.dtype
        and k.shape == v.shape
        and q.shape[-1] <= 256
    )
