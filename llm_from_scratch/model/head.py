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
        z_loss: float,
    ) -> Float[Tensor, ""]:
        wide = torch.promote_types(dtype, torch.float32)
        grad_h = torch.zeros_like(hidden)
        grad_w = torch.zeros_like(weight, dtype=wide)
        total = hidden.new_zeros((), dtype=wide)
        w, needed = weight.to(dtype), any(ctx.needs_input_grad)
        for start in range(0, len(hidden), chunk_size):
            rows = slice(start, start + chunk_size)
            keep = (targets[rows] != ignore_index)[:, None]  # (n, 1)
            target = targets[rows, None].where(keep, 0)
            h = hidden[rows].to(dtype).where(keep, 0)  # (n, C)
            loss, p = _rows_loss(h @ w.T, target, wide, z_loss, needed)
            total += loss.where(keep, 0).sum()
            if needed:
                slope = p.to(dtype)
                grad_h[rows] = (slope @ w).where(keep, 0)
                grad_w += slope.T @ h
        ctx.save_for_backward(grad_h, grad_w)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_h, grad_w = ctx.saved_tensors
        scale = grads[0]
        return grad_h * scale, grad_w * scale, None, None, None, None, None


def _rows_loss(
    logits: Float[Tensor, "n V"],
    target: Int[Tensor, "n 1"],
    wide: torch.dtype,
    z_loss: float,
    needed: bool,
) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n V"]]:
    """Loss of each row and, if `needed`, its slope by the logits."""
    scores = logits.log_softmax(-1, dtype=wide)
    loss = -scores.gather(1, target)
    log_z = logits.gather(1, target).to(wide) + loss if z_loss else None
    if needed:
        scores = scores.exp_()
        if log_z is not None:  # d log_z = p, d log_z**2 = 2 log_z p
            scores *= 1 + 2 * z_loss * log_z
        one = torch.ones_like(target, dtype=wide)
        scores.scatter_add_(1, target, -one)
    if log_z is not None:
        loss = loss + z_loss * log_z.square()
    return loss, scores


CHUNK = 512  # tokens whose logits exist at one time


def linear_cross_entropy(
    hidden: Float[Tensor, "... C"],
    weight: Float[Tensor, "V C"],
    targets: Int[Tensor, "..."],
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    z_loss: float = 0.0,
    chunk_size: int = CHUNK,
) -> Float[Tensor, ""]:
    """Cross-entropy of logits h W^T: mean over targets that count, or "sum".

    Equals F.cross_entropy(h W^T, targets), with its gradients, in the memory
    of `chunk_size` rows of logits; adds z_loss * log(Z)**2; under autocast it
    computes as a linear layer would. In nats. NaN for the mean of nothing.
    ValueError for targets outside V. Source: chowdhery2023palm.
    """
    _check(hidden, weight, targets, ignore_index, reduction, chunk_size)
    kind, dtype = hidden.device.type, hidden.dtype
    if torch.is_autocast_enabled(kind) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(kind)
    total: Tensor = ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden.flatten(0, -2),
        weight,
        targets.flatten(),
        ignore_index,
        chunk_size,
        dtype,
        z_loss,
    )
    if reduction == "sum":
        return total
    return total / (targets != ignore_index).sum()


def _check(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    ignore_index: int,
    reduction: str,
    chunk_size: int,
) -> None:
    """ValueError for what would be computed wrongly or not at all."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction is "mean" or "sum", got {reduction!r}')
    if hidden.shape[:-1] != targets.shape or chunk_size < 1:
        raise ValueError(
            f"hidden {tuple(hidden.shape)} needs one target for each row and "
            f"chunk_size at least 1, got targets {tuple(targets.shape)} and "
            f"chunk_size {chunk_size}"
        )
    if targets.device.type != "cpu" or torch.compiler.is_compiling():
        return
    flat = targets.flatten()
    flat = flat[flat != ignore_index]
    wrong = flat[(flat < 0) | (flat >= len(weight))]
    if len(wrong):
        raise ValueError(
            f"target {wrong[0].item()} is outside the vocabulary of "
            f"{len(weight)}; mark what should not count by {ignore_index}"
        )
