# Generated from chapters/appendix_trainer.md by `make export`. Do not edit.
"""What a run keeps, tells and takes up again, between its steps."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from llm_from_scratch.core.metrics import MetricsLog
from llm_from_scratch.core.runtime import (
    describe_machine,
    rng_state,
    seed_everything,
    set_rng_state,
    undisturbed,
)
from llm_from_scratch.train.config import TrainConfig, changes
from llm_from_scratch.train.parts import Loader, Parts
from llm_from_scratch.train.store import CheckpointStore, set_aside
from llm_from_scratch.train.tally import Tally, heldout_loss, work_and_peak
from llm_from_scratch.train.watch import Watch

__all__ = [
    "Session",
    "TrainResult",
    "begin_run",
    "leave_run",
    "look",
    "save_run",
    "settle",
    "tell",
    "tell_event",
]


class Session:
    """Everything that changes during a run, and whom the run tells.

    `step` counts updates, `saved` is the step of the last checkpoint, and
    `metrics` what was found when last looked. With a `folder` there are a
    `store` of checkpoints and a `log`.
    """

    def __init__(
        self,
        parts: Parts,
        loader: Loader,
        config: TrainConfig,
        folder: Path | str | None = None,
    ) -> None:
        self.parts, self.loader, self.config = parts, loader, config
        self.evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None
        self.sample: Callable[[nn.Module], list[str]] | None = None
        self.report: Callable[[dict[str, Any]], None] | None = None
        self.watch, self.tally = Watch(), Tally()
        self.metrics: dict[str, float] = {}
        self.step, self.started = 0, False
        self.saved: int | None = None
        self.store: CheckpointStore | None = None
        self.log: MetricsLog | None = None
        if folder is not None:
            keep, place = config.keep_checkpoints, Path(folder)
            self.store = CheckpointStore(place / "checkpoints", keep)
            board = place / "tensorboard"
            self.log = MetricsLog(place / "metrics.jsonl", tensorboard=board)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended, after `step` updates in all."""

    status: Literal["done", "interrupted", "diverged"]
    step: int
    message: str
    signal: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0


def look(run: Session, evaluate: bool, sample: bool) -> None:
    """Evaluate and sample in evaluation mode; no generator moves."""
    model, training = run.parts.model, run.parts.model.training
    model.eval()
    try:
        with torch.no_grad(), undisturbed():
            if evaluate and (run.evaluate or run.parts.heldout):
                found = dict(run.evaluate(model)) if run.evaluate else {}
                if run.parts.heldout:
                    found["heldout_loss"] = heldout_loss(run.parts)
                run.metrics = found
                tell(run, {"kind": "eval", "step": run.step, **found})
            if sample and run.sample:
                texts = run.sample(model)
                row = {"kind": "sample", "step": run.step, "samples": texts}
                tell(run, row)
    finally:
        model.train(training)


def tell(run: Session, row: dict[str, Any]) -> None:
    """Into the log, and to whoever listens."""
    if run.log:
        run.log.write(row)
    if run.report:
        run.report(row)


def tell_event(run: Session, event: str, message: str) -> None:
    """A row about something that happened, in words."""
    row = {"kind": "event", "step": run.step, "event": event}
    tell(run, row | {"message": message})


def _state(run: Session) -> dict[str, Any]:
    """All that the rest of the run depends on."""
    return {
        "parts": run.parts.save(run.parts, run.step),
        "loader": run.loader.state_dict() | {"step": run.step},
        "rng": rng_state(),
        "watch": run.watch.state_dict(),
        "tally": run.tally.state_dict(),
        "metrics": run.metrics,
        "config": asdict(run.config),
        "machine": describe_machine(_device(run)),
    }


def _device(run: Session) -> torch.device:
    return next(run.parts.model.parameters()).device


def begin_run(run: Session, from_step: int | None) -> None:
    """From the checkpoint that is asked for, the last one, or from zero."""
    run.started = True
    run.tally.flops, run.tally.peak = work_and_peak(run.parts)
    step = from_step
    if step is None and run.store:
        step = run.store.latest()
    if step is not None:
        _resume(run, step)
        return
    seed_everything(run.config.seed)
    dropped = run.log.keep(-1) if run.log else 0
    rest = f"; {dropped} rows of an attempt without checkpoint dropped"
    said = f"0 of {run.config.steps} steps{rest if dropped else ''}"
    tell_event(run, "start", said)
    if run.config.eval_every:
        look(run, evaluate=True, sample=run.config.sample_every > 0)


def _resume(run: Session, step: int) -> None:
    """Put everything back where it stood after `step` updates."""
    if run.store is None:
        raise ValueError("from_step needs a folder with checkpoints")
    state = run.store.load(step)
    if differing := changes(state["config"], run.config):
        raise ValueError(
            f"{run.store.path(step)} is of a run with other settings: "
            f"{'; '.join(differing)}. Take those, or another folder"
        )
    run.loader.load_state_dict(state["loader"])
    run.step = run.saved = run.parts.restore(run.parts, state["parts"])
    run.watch.load_state_dict(state["watch"])
    run.tally.load_state_dict(state["tally"])
    run.metrics = state["metrics"]
    set_rng_state(state["rng"])
    aside = set_aside(run.store, step)
    dropped = run.log.keep(step) if run.log else 0
    said = f"{step} of {run.config.steps} steps, {dropped} rows dropped"
    said += f", {len(aside)} later checkpoints set aside" if aside else ""
    if (here := describe_machine(_device(run))) != state["machine"]:
        said += f"; not bit for bit: {state['machine']} is now {here}"
    tell_event(run, "resume", said)


def save_run(run: Session) -> None:
    """Copy the state and let it be written, unless that was done."""
    if run.store is None or run.saved == run.step:
        return
    settle(run)
    run.store.save(run.step, _state(run))
    run.saved = run.step


def settle(run: Session) -> None:
    """Wait for the last save; if it failed, say so and go on."""
    try:
        _wait(run)
    except OSError as error:
        tell_event(run, "checkpoint_failed", str(error))


def _wait(run: Session) -> None:
    """Wait for the last save; if it failed, nothing counts as saved."""
    try:
        if run.store:
            run.store.wait()
    except OSError:
        run.saved = None
        raise


def leave_run(
    run: Session, lost: str | None, signal: int | None
) -> TrainResult:
    """Save what is good, close the log, and say how it ended."""
    status: Literal["done", "interrupted", "diverged"] = "done"
    message = f"{run.step} steps"
    if lost:
        settle(run)
        at = run.store.steps() if run.store else []
        status = "diverged"
        message = f"{lost}. Checkpoints there are: {at or 'none'}"
    elif run.step < run.config.steps:
        cause = f"signal {signal}" if signal else "stop_at"
        status, message = "interrupted", f"{cause} after step {run.step}"
    if not lost:
        save_run(run)
    tell_event(run, status, message)
    _wait(run)
    if run.log:
        run.log.close()
    return TrainResult(
        status=status,
        step=run.step,
        message=message,
        signal=signal,
        metrics=run.metrics,
        tokens=run.tally.tokens,
        seconds=run.tally.seconds,
    )
