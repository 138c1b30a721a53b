# Generated from chapters/appendix_speed.md by `make export`. Do not edit.
"""Cross-entropy of a linear head that never holds all of its logits.

Axes: N tokens, C model width, V vocabulary.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "CHUNK",
    "ChunkedCrossEntropy",
    "linear_cross_entropy",
]


class ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of -log softmax(h W^T)[target] and both gradients, by chunks.

    The gradients are made in the forward pass, while the logits of a chunk
    are there; the backward pass only scales them. Source: hsu2024liger.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Float[Tensor, "N C"],
        weight: Float[Tensor, "V C"],
        targets: Int[Tensor, " N"],
        ignore_index: int,
        chunk_size: int,
        dtype: torch.dtype,
    ) -> Float[Tensor, ""]:
        wide = torch.promote_types(dtype, torch.float32)
        grad_h = torch.zeros_like(hidden)
        grad_w = torch.zeros_like(weight, dtype=wide)
        total = hidden.new_zeros((), dtype=wide)
        w = weight.to(dtype)
        for start in range(0, len(hidden), chunk_size):
            rows = slice(start, start + chunk_size)
            keep = (targets[rows] != ignore_index)[:, None]  # (n, 1)
            target = targets[rows, None].where(keep, 0)
            h = hidden[rows].to(dtype).where(keep, 0)  # (n, C)
            scores = (h @ w.T).log_softmax(-1, dtype=wide)  # (n, V)
            total -= scores.gather(1, target).where(keep, 0).sum()
            if any(ctx.needs_input_grad):
                p = scores.exp_()
                p.scatter_add_(1, target, -torch.ones_like(target, dtype=wide))
                slope = p.to(dtype)
                grad_h[rows] = (slope @ w).where(keep, 0)
                grad_w += slope.T @ h
        ctx.save_for_backward(grad_h, grad_w)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_h, grad_w = ctx.saved_tensors
        scale = grads[0]
        return grad_h * scale, grad_w * scale, None, None, None, None


CHUNK = 512  # tokens whose logits exist at one time


def linear_cross_entropy(
    hidden: Float[Tensor, "... C"],
    weight: Float[Tensor, "V C"],
    targets: Int[Tensor, "..."],
    *,
    ignore_index: int = -100,
    chunk_size: int = CHUNK,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of logits h W^T, in nats per target that counts.

    Equals F.cross_entropy(h W^T, targets), with its gradients, in the memory
    of `chunk_size` rows of logits; under autocast it computes as a linear
    layer would. NaN if nothing counts. ValueError for targets outside V.
    """
    if hidden.shape[:-1] != targets.shape or chunk_size < 1:
        raise ValueError(
            f"hidden {tuple(hidden.shape)} needs one target for each row and "
            f"chunk_size at least 1, got targets {tuple(targets.shape)} and "
            f"chunk_size {chunk_size}"
        )
    flat, keep = targets.flatten(), targets != ignore_index
    if flat.device.type == "cpu" and not torch.compiler.is_compiling():
        wrong = flat[keep.flatten() & ((flat < 0) | (flat >= len(weight)))]
        if len(wrong):
            raise ValueError(
                f"target {wrong[0].item()} is outside the vocabulary of "
                f"{len(weight)}; mark what should not count by {ignore_index}"
            )
    kind, dtype = hidden.device.type, hidden.dtype
    if torch.is_autocast_enabled(kind) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(kind)
    total: Tensor = ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden.flatten(0, -2), weight, flat, ignore_index, chunk_size, dtype
    )
    return total / keep.sum()
