# Generated from chapters/16_the_run.md by `make export`. Do not edit.
"""An eye on loss and gradient: what is unusual, and what is lost."""

import math
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

from torch import nn

from llm_from_scratch.train.gradients import nonfinite_gradients
from llm_from_scratch.train.parts import StepResult

__all__ = [
    "Watch",
    "suspects",
]


class Watch:
    """Judges each step by the last `window` usual ones.

    A loss is a spike if it is `threshold` robust deviations (1.4826 times
    the median distance from the median) above their median; a gradient is
    large if its norm is `threshold` times its median; a run has risen if
    the median is a nat above its lowest. Spikes do not enter the window.
    """

    def __init__(self, window: int = 64, threshold: float = 10.0) -> None:
        self.threshold = threshold
        self.losses: deque[float] = deque(maxlen=window)
        self.norms: deque[float] = deque(maxlen=window)
        self.lowest = math.inf  # the lowest median of a full window
        self.bad_steps = 0  # in a row, up to now
        self.bad_since: int | None = None

    def judge(self, result: StepResult) -> str | None:
        """None for a usual step, otherwise a sentence that says what is odd."""
        bad = _bad_loss(self, result)
        if bad is None:
            large = _large_gradient(self, result.norm)
            self.losses.append(result.loss)
            self.norms.append(result.norm)
            if len(self.losses) == self.losses.maxlen:
                self.lowest = min(self.lowest, median(self.losses))
            self.bad_steps, self.bad_since = 0, None
            return large
        self.bad_steps += 1
        if self.bad_since is None:
            self.bad_since = result.step
        return bad

    def state_dict(self) -> dict[str, Any]:
        """What the next judgment depends on."""
        state = dict(vars(self))
        return state | {n: list(state[n]) for n in ("losses", "norms")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on judging where `state_dict` was taken."""
        for name, value in state.items():
            if name in ("losses", "norms"):
                value = deque(value, maxlen=getattr(self, name).maxlen)
            setattr(self, name, value)


_ENOUGH = 16  # steps before there is anything to compare with
_RISE = 1.0  # nats


def _bad_loss(watch: Watch, result: StepResult) -> str | None:
    """A sentence if the loss is not finite, a spike, or has long risen."""
    if not math.isfinite(result.loss):
        return f"the loss is {result.loss}"
    if not math.isfinite(result.norm):
        return f"the gradient's norm is {result.norm}"
    if len(watch.losses) < _ENOUGH:
        return None
    middle = median(watch.losses)
    spread = 1.4826 * median(abs(loss - middle) for loss in watch.losses)
    limit = middle + watch.threshold * max(spread, 0.01)
    if result.loss > limit:
        return f"the loss is {result.loss:.3f}, it was {middle:.3f}"
    if min(middle, result.loss) > watch.lowest + _RISE:
        low = watch.lowest
        return f"the loss has risen to {middle:.3f}, it was at {low:.3f}"
    return None


def _large_gradient(watch: Watch, norm: float) -> str | None:
    if len(watch.norms) < _ENOUGH:
        return None
    middle = median(watch.norms)
    if norm <= watch.threshold * middle:
        return None
    return f"the gradient's norm is {norm:.3g}, it was {middle:.3g}"


def suspects(model: nn.Module) -> str:
    """Which gradients are not finite, and what may help."""
    names = nonfinite_gradients(model)
    where = f"{names[0]} first of {len(names)}" if names else "none"
    return (
        f"Gradients that are not finite: {where}. The weights are those of "
        "before this step. Look at its batch; then try a lower lr, a smaller "
        "clip_norm, a longer warm-up, or precision fp32"
    )
