"""Steps under a moving learning rate, and what an optimizer would save."""

import io
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def run_steps(
    optimizer: torch.optim.Optimizer,
    set_gradients: Callable[[int], None],
    steps: int,
    start: int = 0,
) -> None:
    """Step with a learning rate that changes, as under a schedule."""
    base = [group["lr"] for group in optimizer.param_groups]
    for step in range(start, start + steps):
        set_gradients(step)
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * (1 + math.cos(step / 9))
        optimizer.step()
    for group, lr in zip(optimizer.param_groups, base, strict=True):
        group["lr"] = lr


def same(a: Iterable[Tensor], b: Iterable[Tensor]) -> bool:
    """Whether two lists of tensors have the same bits."""
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def saved(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What a file would hold of it."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)
