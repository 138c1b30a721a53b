# Generated from chapters/15_schedules_batch_precision.md
# by `make export`. Do not edit.
"""Gradients between backward pass and update: their norm, their sum."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = [
    "backward_in_parts",
    "clip_grad_norm_",
    "nonfinite_gradients",
]


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Float[Tensor, ""]:
    """Scale all gradients so that together they have at most `max_norm`.

    g <- g * min(1, max_norm / (norm + 1e-6)), in place; the norm, over all
    entries of all gradients, is taken in float32 or wider and returned as
    it was before. If it is not finite the gradients stay as they are, for
    inspection, or RuntimeError if asked. Source: pascanu2013difficulty.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return torch.zeros(())
    sizes = [_norm(grad, norm_type).to(grads[0].device) for grad in grads]
    total = torch.linalg.vector_norm(torch.stack(sizes), norm_type)
    if error_if_nonfinite and not total.isfinite():
        bad = sum(not size.isfinite() for size in sizes)
        raise RuntimeError(
            f"{bad} of {len(grads)} gradients are not finite (norm "
            f"{total.item()}): skip this step, or see nonfinite_gradients"
        )
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    scale = scale.where(total.isfinite(), 1.0)
    for grad in grads:
        grad.mul_(scale.to(grad.device))
    return total


def _norm(grad: Tensor, norm_type: float) -> Tensor:
    """A norm in float32 or wider, where half precision would overflow."""
    wide = torch.promote_types(grad.dtype, torch.float32)
    return torch.linalg.vector_norm(grad, norm_type, dtype=wide)


def nonfinite_gradients(model: nn.Module) -> list[str]:
    """Names of the parameters whose gradient has a NaN or an infinity."""
    return [
        name
        for name, p in model.named_parameters()
        if p.grad is not None and not p.grad.isfinite().all()
    ]


def backward_in_parts(
    loss_sum: Callable[..., Tensor],
    inputs: Int[Tensor, "B ..."],
    targets: Int[Tensor, "B ..."],
    *others: Tensor | None,
    micro_batch_size: int | None = None,
    counted: int | None = None,
    ignore_index: int = -100,
    scale: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Float[Tensor, ""], int]:
    """Add the gradient of a batch's mean loss, a few rows at a time.

    `loss_sum(inputs, targets, *others)` is the SUM over the targets that
    count. Every part is divided by the count of the whole batch, or by
    `counted` if more than this batch counts (several machines). `scale`
    is a LossScaler's. Returns the mean, detached, and the count.
    """
    size = len(inputs) if micro_batch_size is None else micro_batch_size
    if counted is None:
        counted = int((targets != ignore_index).sum())
    if size < 1 or counted < 1:
        raise ValueError(
            "need micro_batch_size >= 1 and a target that counts, got "
            f"{size} and {counted} of {targets.numel()} targets"
        )
    total = torch.zeros((), device=inputs.device)
    for start in range(0, len(inputs), size):
        cut = slice(start, start + size)
        part = (None if other is None else other[cut] for other in others)
        loss = loss_sum(inputs[cut], targets[cut], *part) / counted
        (loss if scale is None else scale(loss)).backward()
        total = total + loss.detach()
    return total, counted
