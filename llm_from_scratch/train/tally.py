# Generated from chapters/appendix_trainer.md by `make export`. Do not edit.
"""What a run has read and taken, and what the next row of its log says."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llm_from_scratch.core.runtime import matmul_peak
from llm_from_scratch.data.batch import IGNORED
from llm_from_scratch.data.loader import fetch_ahead
from llm_from_scratch.model.account import training_flops
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.train.parts import Parts, StepResult
from llm_from_scratch.train.precision import PRECISIONS

__all__ = [
    "Ahead",
    "Tally",
    "heldout_loss",
    "work_and_peak",
]


class Tally:
    """Sums over steps: targets and seconds since the run began.

    `flops` are those of a step, `peak` the machine's in a second, for the
    utilization. The state holds the sums of the unfinished row, so that a
    resumed run writes the rows that it would have written.
    """

    def __init__(self, flops: int = 0, peak: float = math.inf) -> None:
        self.flops, self.peak = flops, peak
        self.tokens, self.seconds = 0, 0.0
        self.recent: list[tuple[float, float, int, float]] = []

    def add(self, result: StepResult, seconds: float) -> None:
        """One step more, and the seconds that it took."""
        self.tokens += result.counted
        self.seconds += seconds
        numbers = (result.loss, result.norm, result.counted, seconds)
        self.recent.append(numbers)

    def row(self, step: int, lr: float) -> dict[str, Any]:
        """The row of a log about the steps since the last; begins anew."""
        losses, norms, counts, taken = zip(*self.recent, strict=True)
        nats = sum(a * b for a, b in zip(losses, counts, strict=True))
        row = {
            "kind": "train",
            "step": step,
            "loss": nats / sum(counts),
            "loss_max": max(losses),
            "grad_norm": max(norms),
            "lr": lr,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(sum(counts) / sum(taken), 1),
        }
        if self.flops:
            speed = len(taken) * self.flops / sum(taken)
            row["mfu"] = round(speed / self.peak, 4)
        self.recent.clear()
        return row

    def state_dict(self) -> dict[str, Any]:
        """All sums, without what belongs to the machine."""
        state = vars(self) | {"recent": list(self.recent)}
        return {k: v for k, v in state.items() if k not in ("flops", "peak")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on adding where `state_dict` was taken."""
        self.__dict__.update(state)


def heldout_loss(parts: Parts) -> float:
    """Mean nats of all targets in the held-out batches."""
    if parts.heldout is None:
        raise ValueError("the run was given no held-out batches")
    nats, counted = 0.0, 0
    for batch in parts.heldout():
        nats += parts.loss(parts.model, batch).item()
        counted += int((batch.targets != IGNORED).sum())
    return nats / counted


def work_and_peak(parts: Parts) -> tuple[int, float]:
    """FLOPs of a step, and those that the machine makes in a second."""
    shape, config = getattr(parts.model, "config", None), parts.config
    if not isinstance(shape, ModelConfig):
        return 0, math.inf
    device = next(parts.model.parameters()).device
    peak = matmul_peak(device, PRECISIONS[config.precision])
    return training_flops(shape, config.batch_size, config.context), peak


class Ahead:
    """A function of the step whose next results a thread makes early."""

    def __init__(self, make: Callable[[int], Any], depth: int = 2) -> None:
        self._make, self._depth, self._next = make, depth, -1
        self._made: Iterator[Any] = iter(())

    def __call__(self, step: int) -> Any:
        if step != self._next:
            self.close()
            self._made = fetch_ahead(self._make, step, self._depth)
        self._next = step + 1
        return next(self._made)

    def close(self) -> None:
        """Stop the thread."""
        stop = getattr(self._made, "close", None)
        if stop is not None:
            stop()
