# Generated from chapters/15_schedules_batch_precision.md
# by `make export`. Do not edit.
"""Learning rate as a function of the step: warm-up, and four ways down.

A step is counted from 0; the rate of step s is set before its update.
"""

import math
from dataclasses import dataclass

import torch

__all__ = [
    "SCHEDULES",
    "Schedule",
    "get_lr_cosine_schedule",
    "get_lr_linear_schedule",
    "get_lr_wsd_schedule",
    "set_lr",
]


SCHEDULES = ("cosine", "wsd", "linear", "constant")


def get_lr_cosine_schedule(
    it: int,
    max_lr: float,
    min_lr: float,
    warmup_iters: int,
    cosine_cycle_iters: int,
) -> float:
    """Rate of step `it`: linear from 0 to max_lr, half a cosine to min_lr.

    max_lr * it / warmup_iters before warmup_iters; at cosine_cycle_iters,
    and after, min_lr. Source: loshchilov2017sgdr.
    """
    if it < warmup_iters:
        return max_lr * it / warmup_iters
    if it >= cosine_cycle_iters:
        return min_lr
    done = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters)
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * done)) / 2


def get_lr_linear_schedule(
    it: int, max_lr: float, min_lr: float, warmup_iters: int, total_iters: int
) -> float:
    """Rate of step `it`: linear from 0 to max_lr, then linear to min_lr."""
    if it < warmup_iters:
        return max_lr * it / warmup_iters
    if it >= total_iters:
        return min_lr
    left = (total_iters - it) / (total_iters - warmup_iters)
    return min_lr + (max_lr - min_lr) * left


def get_lr_wsd_schedule(
    it: int,
    max_lr: float,
    min_lr: float,
    warmup_iters: int,
    decay_iters: int,
    total_iters: int,
) -> float:
    """Rate of step `it`: warm-up, stable, linear decay in the last steps.

    Until total_iters - decay_iters the rate does not depend on total_iters:
    the run can be prolonged from there. Source: hu2024minicpm.
    """
    if it < warmup_iters:
        return max_lr * it / warmup_iters
    start = max(warmup_iters, total_iters - decay_iters)
    if it < start:
        return max_lr
    return get_lr_linear_schedule(
        it - start, max_lr, min_lr, 0, total_iters - start
    )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A run's learning rate: call it with a step, get the rate.

    `warmup` steps, or `warmup_fraction` of the run if None; the end is
    final_fraction * max_lr, reached at step `steps`. `decay_fraction` is
    WSD's last part. ValueError for what is no schedule.
    """

    kind: str = "cosine"
    max_lr: float
    steps: int
    warmup: int | None = None
    warmup_fraction: float = 0.02
    final_fraction: float = 0.1
    decay_fraction: float = 0.2

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ValueError(
                f"kind must be one of {', '.join(SCHEDULES)}, got {self.kind!r}"
            )
        if not 0 <= self.max_lr < math.inf or self.steps < 1:
            raise ValueError(
                "need a finite max_lr >= 0 and steps >= 1, got "
                f"{self.max_lr} and {self.steps}"
            )
        for name in ("warmup_fraction", "final_fraction", "decay_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must be between 0 and 1, got {getattr(self, name)}"
                )
        if self.warmup is not None and not 0 <= self.warmup <= self.steps:
            raise ValueError(
                f"warmup must be between 0 and {self.steps} steps, got "
                f"{self.warmup}"
            )

    @property
    def warmup_steps(self) -> int:
        """Steps until the peak."""
        if self.warmup is not None:
            return self.warmup
        return round(self.warmup_fraction * self.steps)

    def __call__(self, step: int) -> float:
        low, rise = self.final_fraction * self.max_lr, self.warmup_steps
        run = (step, self.max_lr, low, rise)
        if self.kind == "cosine":
            return get_lr_cosine_schedule(*run, self.steps)
        if self.kind == "linear":
            return get_lr_linear_schedule(*run, self.steps)
        if self.kind == "wsd":
            fall = round(self.decay_fraction * self.steps)
            return get_lr_wsd_schedule(*run, fall, self.steps)
        return self.max_lr * min(1.0, step / rise) if rise else self.max_lr


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group the rate lr times its own "lr_scale".

    A group without the key has a scale of 1. A rate that is a tensor, as
    in captured graphs, keeps its place in memory.
    """
    for group in optimizer.param_groups:
        rate = lr * group.get("lr_scale", 1.0)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
