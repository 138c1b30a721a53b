# Generated from chapters/14_loss_and_optimizer.md
# by `make export`. Do not edit.
"""Cross-entropy of logits, by a log-sum-exp that cannot overflow.

Axes: V vocabulary; ``...`` any leading axes, usually (B, T).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "cross_entropy",
    "log_sum_exp",
]


def log_sum_exp(logits: Float[Tensor, "... V"]) -> Float[Tensor, "..."]:
    """ln(sum(exp(logits))) over the last axis, written ln Z.

    The largest logit is taken out first, so no exponential exceeds one. In
    float32 or wider, whatever the logits are.
    """
    top = _largest(logits)
    return (logits - top).exp().sum(-1).log() + top.squeeze(-1)


def _largest(logits: Float[Tensor, "... V"]) -> Float[Tensor, "... 1"]:
    """The largest logit of each row, as a constant in float32 or wider."""
    top = logits.detach().amax(-1, keepdim=True)
    top = top.to(torch.promote_types(logits.dtype, torch.float32))
    return top.where(top.isfinite(), 0)  # inf - inf would be nan


def cross_entropy(
    logits: Float[Tensor, "... V"],
    targets: Int[Tensor, "..."],
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    z_loss: float = 0.0,
) -> Float[Tensor, "..."]:
    """-ln softmax(logits)[target] in nats: "mean", "sum" or "none" of them.

    The mean is over targets that count; of nothing it is NaN. `z_loss` adds
    z_loss * ln(Z)**2 to each. Float32 or wider. ValueError for a target
    outside V, on the CPU; elsewhere the kernel stops. Source:
    chowdhery2023palm.
    """
    _check(logits, targets, ignore_index, reduction)
    counts = targets != ignore_index
    logits = logits.where(counts[..., None], 0)  # the rest may hold anything
    top = _largest(logits)
    shifted = logits - top  # (..., V)
    log_sum = shifted.exp().sum(-1).log()
    index = targets.where(counts, 0)[..., None]
    loss = log_sum - shifted.gather(-1, index).squeeze(-1)
    if z_loss:
        loss = loss + z_loss * (log_sum + top.squeeze(-1)).square()
    loss = loss.where(counts, 0)
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / counts.sum()


def _check(
    logits: Tensor, targets: Tensor, ignore_index: int, reduction: str
) -> None:
    """ValueError for what would be computed wrongly or not at all."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(
            f'reduction is "mean", "sum" or "none", got {reduction!r}'
        )
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} need one target for each row, got "
            f"targets {tuple(targets.shape)}"
        )
    if targets.device.type != "cpu" or torch.compiler.is_compiling():
        return
    flat = targets[targets != ignore_index]
    wrong = flat[(flat < 0) | (flat >= logits.shape[-1])]
    if len(wrong):
        raise ValueError(
            f"target {wrong[0].item()} is outside the vocabulary of "
            f"{logits.shape[-1]}; mark what should not count by {ignore_index}"
        )
