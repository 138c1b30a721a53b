# Generated from chapters/appendix_trainer.md by `make export`. Do not edit.
"""Everything that decides how a run goes, in one frozen dataclass."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "TrainConfig",
    "changes",
]


_CHOICES = {
    "optimizer": ("adamw", "muon"),
    "schedule": ("cosine", "wsd", "linear", "constant"),
    "precision": ("fp32", "bf16", "fp16"),
}
_AT_LEAST_ONE = (
    *("steps", "batch_size", "context"),
    *("log_every", "keep_checkpoints"),
)
_AT_LEAST_ZERO = (
    *("eval_every", "sample_every", "checkpoint_every"),
    *("patience", "seed"),
)
_NOT_NEGATIVE = ("weight_decay", "z_loss", "eps", "clip_norm")
_FRACTIONS = ("warmup_fraction", "final_fraction", "decay_fraction")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained; what it is and reads is said elsewhere.

    `..._every` count updates, and 0 means: only at the end. `clip_norm` and
    `patience` of 0 switch off. The fractions are of the steps, except
    `final_fraction`, of the peak learning rate. `bug` names one of the zoo.
    ValueError for what no run can have; it names value and fix.
    """

    steps: int
    batch_size: int = 32
    micro_batch_size: int | None = None
    context: int = 256
    optimizer: str = "adamw"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    schedule: str = "cosine"
    warmup_fraction: float = 0.02
    decay_fraction: float = 0.2
    final_fraction: float = 0.1
    clip_norm: float = 1.0
    z_loss: float = 0.0
    precision: str = "fp32"
    compile: bool = False
    activation_checkpointing: bool = False
    log_every: int = 1
    eval_every: int = 0
    sample_every: int = 0
    checkpoint_every: int = 0
    keep_checkpoints: int = 3
    patience: int = 50
    seed: int = 0
    threads: int | None = None
    device: str = "auto"
    bug: str | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def tokens(self) -> int:
        """Tokens that the run reads."""
        return self.steps * self.batch_size * self.context


def _check(config: TrainConfig) -> None:
    """ValueError for the first setting that makes no sense."""
    for name in _AT_LEAST_ONE:
        _whole(name, getattr(config, name), 1)
    for name in _AT_LEAST_ZERO:
        _whole(name, getattr(config, name), 0)
    for name in ("micro_batch_size", "threads"):
        if getattr(config, name) is not None:
            _whole(name, getattr(config, name), 1)
    _number("lr", config.lr, 0.0, math.inf, above=True)
    for name in _NOT_NEGATIVE:
        _number(name, getattr(config, name), 0.0, math.inf)
    for name in _FRACTIONS:
        _number(name, getattr(config, name), 0.0, 1.0)
    if len(config.betas) != 2:
        raise ValueError(f"betas must be two numbers, got {config.betas!r}")
    for beta in config.betas:
        _number("betas", beta, 0.0, 1 - 1e-12)
    for name, allowed in _CHOICES.items():
        if getattr(config, name) not in allowed:
            raise ValueError(
                f"{name} must be one of {', '.join(allowed)}, got "
                f"{getattr(config, name)!r}"
            )


def _whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"{name} must be an int of at least {least}, got {value!r}"
        )


def _number(
    name: str, value: Any, low: float, high: float, above: bool = False
) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    good = good and math.isfinite(value) and low <= value <= high
    if not good or (above and value == low):
        least = "above" if above else "at least"
        most = "finite" if high == math.inf else f"at most {high:g}"
        raise ValueError(
            f"{name} must be {least} {low:g} and {most}, got {value!r}"
        )


_ONLY_WATCH = {
    *("log_every", "eval_every", "sample_every", "checkpoint_every"),
    *("keep_checkpoints", "patience", "threads", "device"),
}


def changes(saved: Mapping[str, Any], config: TrainConfig) -> list[str]:
    """Settings, as "name: old -> new", that make it another trajectory.

    How often a run is looked at and saved, and where it computes, may
    change under way.
    """
    now = asdict(config)
    return [
        f"{name}: {saved.get(name)!r} -> {now[name]!r}"
        for name in now
        if name not in _ONLY_WATCH and saved.get(name) != now[name]
    ]
