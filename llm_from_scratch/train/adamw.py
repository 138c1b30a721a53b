# Generated from chapters/14_loss_and_optimizer.md
# by `make export`. Do not edit.
"""AdamW: signature, state and results of `torch.optim.AdamW`, bit for bit."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = [
    "AdamW",
    "GroupOptimizer",
    "adamw_group",
    "adamw_update",
]


@torch.no_grad()
def adamw_update(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    *,
    lr: float,
    betas: Sequence[float],
    eps: float,
    weight_decay: float,
) -> None:
    """One step of AdamW for one tensor, in place.

    `state` has step (a scalar), exp_avg and exp_avg_sq, shaped like the
    weight. Sources: kingma2015adam, loshchilov2019decoupled.
    """
    beta1, beta2 = betas
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    state["step"] += 1
    t = state["step"].item()
    if weight_decay != 0:
        weight.mul_(1 - lr * weight_decay)
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = square.sqrt().div_((1 - beta2**t) ** 0.5).add_(eps)
    weight.addcdiv_(mean, root, value=-lr / (1 - beta1**t))


class GroupOptimizer(Optimizer):
    """An optimizer that checks its groups and steps them one after another."""

    def check_group(self, group: dict[str, Any]) -> None:
        """ValueError for settings out of range or that we do not have."""
        for key in ("lr", "eps", "weight_decay"):
            if not group[key] >= 0:
                raise ValueError(f"{key} must be at least 0, got {group[key]}")
        for beta in (*group.get("betas", ()), group.get("momentum", 0)):
            if not 0 <= beta < 1:
                raise ValueError(
                    f"betas and momentum are in [0, 1), got {beta}"
                )
        for key in ("amsgrad", "maximize", "capturable", "differentiable"):
            if group.get(key):
                raise ValueError(f"{key} is not supported: use it without")
        for p in group["params"]:
            if p.is_complex():
                raise ValueError(f"a weight is complex, {tuple(p.shape)}")

    def step_group(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self.check_group(self.param_groups[-1])

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            self.check_group(group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.step_group(group)
        return loss


class AdamW(GroupOptimizer):
    """Adam with decoupled weight decay, as in `torch.optim.AdamW`.

    The state dict is PyTorch's, in both directions. `fused` hands the same
    formula to PyTorch's kernel, which goes through memory once.
    ValueError for settings that make no sense.
    Sources: kingma2015adam, loshchilov2019decoupled.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        fused: bool = False,
    ) -> None:
        defaults: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps}
        defaults |= {"weight_decay": weight_decay, "fused": fused}
        super().__init__(params, defaults)

    def step_group(self, group: dict[str, Any]) -> None:
        adamw_group(group, self.state)


def adamw_group(group: dict[str, Any], states: Any) -> None:
    """One step of AdamW for every weight of a group that has a gradient."""
    keys = ("lr", "betas", "eps", "weight_decay")
    settings = {key: group[key] for key in keys}
    ready = [p for p in group["params"] if p.grad is not None]
    for p in ready:
        if not states[p]:
            place = p.device if group.get("fused") else "cpu"
            states[p]["step"] = torch.zeros((), device=place)
            states[p]["exp_avg"] = torch.zeros_like(p)
            states[p]["exp_avg_sq"] = torch.zeros_like(p)
        if not group.get("fused"):
            adamw_update(p, p.grad, states[p], **settings)
    if group.get("fused"):
        for kind in {(p.device, p.dtype) for p in ready}:
            alike = [p for p in ready if (p.device, p.dtype) == kind]
            _fused_update(alike, states, **settings)


def _fused_update(
    weights: list[Tensor],
    states: Any,
    *,
    lr: float,
    betas: Sequence[float],
    eps: float,
    weight_decay: float,
) -> None:
    """The same for weights of one device and dtype, by PyTorch's kernel."""
    steps = [states[p]["step"] for p in weights]
    torch._foreach_add_(steps, 1)
    torch._fused_adamw_(
        weights,
        [p.grad for p in weights if p.grad is not None],
        [states[p]["exp_avg"] for p in weights],
        [states[p]["exp_avg_sq"] for p in weights],
        [],
        steps,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        eps=eps,
        weight_decay=weight_decay,
        amsgrad=False,
        maximize=False,
    )
