# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""What a check is, and how one looks at a run without touching it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from llm_from_scratch.data.batch import IGNORED, Batch
from llm_from_scratch.train.parts import Parts

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Verdict",
    "check",
    "counted_targets",
    "tolerance",
    "twin",
]


@dataclass(frozen=True)
class Verdict:
    """What a check found; `passed` is None where it does not apply."""

    check: str
    passed: bool | None
    message: str


Finding = tuple[bool | None, str]
Check = Callable[[Parts], Finding]
CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Enter a function from parts to (passed, message) into CHECKS."""

    def enter(find: Check) -> Check:
        CHECKS[name] = find
        return find

    return enter


def twin(parts: Parts, **changes: Any) -> Parts:
    """A run of its own in the same state; `changes` replace other parts."""
    model, optimizer, scaler = copy.deepcopy(
        (parts.model, parts.optimizer, parts.scaler)
    )
    copies: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "scaler": scaler,
    }
    return replace(parts, **(copies | changes))


def tolerance(parts: Parts, fine: float) -> float:
    """How far two ways to one number may part: 100 times `fine` in 16 bits."""
    kinds = {p.dtype for p in parts.model.parameters()}
    exact = parts.config.precision == "fp32" and kinds == {torch.float32}
    return fine if exact else 100 * fine


def counted_targets(batch: Batch) -> int:
    """How many targets of a batch count."""
    return int((batch.targets != IGNORED).sum())
