# Generated from chapters/14_loss_and_optimizer.md
# by `make export`. Do not edit.
"""Muon: momentum whose steps are made orthogonal, one for whole models.

Signature, state and results are those of `torch.optim.Muon`, bit for bit.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from llm_from_scratch.train.adamw import GroupOptimizer, adamw_group

__all__ = [
    "QUINTIC",
    "Muon",
    "muon_group",
    "muon_scale",
    "orthogonalize",
]


QUINTIC = (3.4445, -4.7750, 2.0315)  # steep at zero, about one elsewhere


@torch.no_grad()
def orthogonalize(
    matrix: Tensor,
    *,
    steps: int = 5,
    coefficients: Sequence[float] = QUINTIC,
    eps: float = 1e-7,
) -> Tensor:
    """Push every singular value of a matrix to about 1, by Newton-Schulz.

    X <- a X + (b A + c A A) X with A = X X^T, from X = G / |G|; bfloat16, as
    in `torch.optim.Muon`. Singular values end in (0.7, 1.2), except those
    that were next to nothing. Source: jordan2024muon.
    """
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        poly = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, poly, x, beta=a)
    return x.T if tall else x


def muon_scale(shape: Sequence[int], rule: str | None = None) -> float:
    """How much a matrix' learning rate is multiplied by.

    "match_rms_adamw": 0.2 sqrt(max(out, in)), which moves entries as far as
    AdamW would; None or "original": sqrt(max(1, out / in)).
    Sources: jordan2024muon, liu2025muon.
    """
    rows, columns = shape
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    if rule in (None, "original"):
        return math.sqrt(max(1, rows / columns))
    raise ValueError(
        f'adjust_lr_fn is "original" or "match_rms_adamw", got {rule!r}'
    )


@torch.no_grad()
def muon_group(group: dict[str, Any], states: Any) -> None:
    """One step of Muon for every matrix of a group that has a gradient."""
    lr, mu = group["lr"], group["momentum"]
    for p in group["params"]:
        if p.grad is None:
            continue
        if not states[p]:
            states[p]["momentum_buffer"] = torch.zeros_like(p.grad)
        mean = states[p]["momentum_buffer"].lerp_(p.grad, 1 - mu)
        update = orthogonalize(
            p.grad.lerp(mean, mu) if group["nesterov"] else mean,
            steps=group["ns_steps"],
            coefficients=group["ns_coefficients"],
            eps=group["eps"],
        )
        scale = muon_scale(p.shape, group["adjust_lr_fn"])
        p.mul_(1 - lr * group["weight_decay"])
        p.add_(update, alpha=-lr * scale)


class Muon(GroupOptimizer):
    """Momentum whose step is made orthogonal, for matrices inside a model.

    As `torch.optim.Muon`, and its state. Groups with `use_muon=False` are
    stepped by AdamW, so that one object holds a whole model.
    Sources: jordan2024muon, liu2025muon.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Sequence[float] = QUINTIC,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        defaults |= {"momentum": momentum, "nesterov": nesterov, "eps": eps}
        defaults |= {"ns_coefficients": ns_coefficients, "ns_steps": ns_steps}
        defaults |= {"adjust_lr_fn": adjust_lr_fn, "use_muon": True}
        super().__init__(params, defaults)

    def check_group(self, group: dict[str, Any]) -> None:
        """ValueError for what would be stepped wrongly or not at all."""
        super().check_group(group)
        if not group.setdefault("use_muon", True):
            if "betas" not in group:
                raise ValueError("a group with use_muon=False needs betas")
            return
        for p in group["params"]:
            if p.dim() != 2:
                raise ValueError(
                    f"Muon is for matrices, got a weight {tuple(p.shape)}"
                )
            muon_scale(p.shape, group["adjust_lr_fn"])

    def step_group(self, group: dict[str, Any]) -> None:
        update = muon_group if group["use_muon"] else adamw_group
        update(group, self.state)
