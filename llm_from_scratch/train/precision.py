# Generated from chapters/15_schedules_batch_precision.md
# by `make export`. Do not edit.
"""Narrow numbers: autocast, loss scaling, what stalls, recomputation."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = [
    "PRECISIONS",
    "LossScaler",
    "autocast",
    "checkpoint_blocks",
    "spacing",
    "stalls_at",
]


PRECISIONS = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def autocast(device: torch.device | str, precision: str) -> torch.autocast:
    """A context in which matrix products run in `precision`.

    Weights stay as they are, float32; "fp32" switches an outer autocast
    off. ValueError for a name other than fp32, bf16, fp16.
    Source: micikevicius2018mixed.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(PRECISIONS)}, got "
            f"{precision!r}"
        )
    kind = torch.device(device).type
    if precision == "fp32":
        return torch.autocast(kind, enabled=False)
    return torch.autocast(kind, PRECISIONS[precision])


def spacing(value: float, dtype: torch.dtype) -> float:
    """Distance from |value| to the next larger number of the format.

    2**(e - p + 1) for 2**e <= |value| < 2**(e + 1) and p significant bits;
    near zero, the smallest subnormal number.
    """
    info = torch.finfo(dtype)
    exponent = math.frexp(max(abs(value), info.tiny))[1] - 1
    return info.eps * 2.0**exponent


def stalls_at(increment: float, dtype: torch.dtype) -> float:
    """Where a running sum of equal increments stops growing.

    2**(ceil(log2(increment)) + p) for p significant bits, if each sum is
    rounded to the nearest number, ties to even; inf if the format ends
    before that. The increment is rounded to the format first.
    """
    d = torch.tensor(increment, dtype=dtype).item()
    if not 0 < d < math.inf:
        raise ValueError(f"increment must be positive, got {increment}")
    info = torch.finfo(dtype)
    mantissa, exponent = math.frexp(d)  # d = mantissa * 2**exponent
    ceiling = exponent - 1 if mantissa == 0.5 else exponent
    stall = 2.0**ceiling * 2 / info.eps
    return stall if stall <= info.max else math.inf


class LossScaler:
    """Dynamic loss scaling for float16, after torch.amp.GradScaler.

    scale(loss).backward(), unscale_(optimizer), clip, step(optimizer),
    update(). A step whose gradients overflowed is skipped and the scale
    falls; after `growth_interval` good ones it grows. Powers of two only:
    scaling moves exponents and no digits. Source: micikevicius2018mixed.
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        *,
        enabled: bool = True,
    ) -> None:
        self._state = _checked(
            scale=float(init_scale),
            growth_factor=growth_factor,
            backoff_factor=backoff_factor,
            growth_interval=growth_interval,
            _growth_tracker=0,
        )
        self._enabled = enabled
        self._overflowed: dict[int, bool] = {}  # by optimizer, this step
        self._stepped: set[int] = set()  # since the last update()

    def get_scale(self) -> float:
        """The factor in use; 1 if the scaler is disabled."""
        return self._state["scale"] if self._enabled else 1.0

    def scale(self, loss: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The loss times the factor: call backward on this."""
        return loss * self.get_scale()

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the optimizer's gradients by the factor, once a step."""
        _once(id(optimizer), self._overflowed, "unscaled")
        if self._enabled:
            finite = _unscale(optimizer, 1 / self.get_scale())
            self._overflowed[id(optimizer)] = not finite

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Let the optimizer step unless a gradient overflowed; say which."""
        _once(id(optimizer), self._stepped, "stepped")
        if id(optimizer) not in self._overflowed:
            self.unscale_(optimizer)
        if self._enabled:
            self._stepped.add(id(optimizer))
        if self._overflowed.get(id(optimizer)):
            return False
        optimizer.step()
        return True

    def update(self) -> None:
        """Adapt the factor, after the steps of all optimizers."""
        if self._overflowed:
            _adapt(self._state, any(self._overflowed.values()))
            self._overflowed, self._stepped = {}, set()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, by GradScaler's names."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state_dict was taken; checked like arguments."""
        self._state = _checked(**{name: state[name] for name in self._state})


def _checked(**state: Any) -> dict[str, Any]:
    """The state; ValueError if it would change digits or do nothing."""
    for name in ("scale", "growth_factor", "backoff_factor"):
        if state[name] <= 0 or math.frexp(state[name])[0] != 0.5:
            raise ValueError(
                f"{name} must be a power of two, got {state[name]}"
            )
    grows = state["backoff_factor"] < 1 < state["growth_factor"]
    if not grows or state["growth_interval"] < 1:
        raise ValueError(
            "need backoff_factor < 1 < growth_factor and growth_interval "
            f">= 1, got {state}"
        )
    return state


@torch.no_grad()
def _unscale(optimizer: torch.optim.Optimizer, factor: float) -> bool:
    """Multiply all gradients; whether they were finite before."""
    groups = optimizer.param_groups
    grads = [p.grad for group in groups for p in group["params"]]
    grads = [grad for grad in grads if grad is not None]
    if any(grad.dtype == torch.float16 for grad in grads):
        raise ValueError(
            "gradients in float16 lose again what scaling saved: keep the "
            "weights in float32 and use autocast"
        )
    device = grads[0].device if grads else "cpu"
    finite = [grad.isfinite().all().to(device) for grad in grads]
    for grad in grads:
        grad.mul_(factor)
    return not grads or bool(torch.stack(finite).all())


def _once(key: int, seen: dict[int, bool] | set[int], done: str) -> None:
    """RuntimeError for what was done since the last update()."""
    if key in seen:
        raise RuntimeError(f"{done} already: once a step, then update()")


def _adapt(state: dict[str, Any], overflowed: bool) -> None:
    """Lower the scale after an overflow, raise it after enough without."""
    state["_growth_tracker"] += 1
    if overflowed:
        state["scale"] *= state["backoff_factor"]
        state["_growth_tracker"] = 0
    elif state["_growth_tracker"] == state["growth_interval"]:
        grown = state["scale"] * state["growth_factor"]
        state["_growth_tracker"] = 0
        if grown < 2.0**128:  # still a float32
            state["scale"] = grown


def checkpoint_blocks(model: nn.Module, every: int = 1) -> int:
    """Let blocks keep only their input and recompute the rest; how many.

    Every `every`-th of `model.model.layers` is changed in place. Outputs,
    gradients and the names in the state dict stay; the backward pass costs
    one more forward pass of these blocks. Source: chen2016training.
    """
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    blocks: Any = model.model
    layers = list(blocks.layers)[::every]
    for layer in layers:
        if "forward" not in vars(layer):  # once is enough
            layer.forward = partial(_recomputed, layer.forward)
    return len(layers)


def _recomputed(forward: Any, *args: Any, **kwargs: Any) -> Any:
    """Call `forward`; if gradients are wanted, forget what it computed."""
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
