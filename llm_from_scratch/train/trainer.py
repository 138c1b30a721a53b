# Generated from chapters/16_the_run.md by `make export`. Do not edit.
"""The loop around the step: log, look, save, stop, and go on exactly."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from llm_from_scratch.core.metrics import MetricsLog
from llm_from_scratch.core.runtime import (
    StopRequest,
    describe_machine,
    rng_state,
    seed_everything,
    set_rng_state,
    set_threads,
    undisturbed,
)
from llm_from_scratch.data.batch import Batch
from llm_from_scratch.train.bugs import infect
from llm_from_scratch.train.config import TrainConfig, changes
from llm_from_scratch.train.parts import Loader, Parts, make_parts, train_step
from llm_from_scratch.train.store import CheckpointStore, set_aside
from llm_from_scratch.train.tally import (
    Ahead,
    Tally,
    heldout_loss,
    work_and_peak,
)
from llm_from_scratch.train.watch import Watch, suspects

__all__ = [
    "TrainResult",
    "Trainer",
]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How `Trainer.run` ended, after `step` updates in all."""

    status: Literal["done", "interrupted", "diverged"]
    step: int
    message: str
    signal: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0


class Trainer:
    """Trains a model as a `TrainConfig` says; may be killed at any time.

    With a `folder`, metrics and checkpoints go there, and `run` goes on
    from its last checkpoint to the same bits. `evaluate` and `sample` look
    at the model in evaluation mode and cannot change the run; `report`
    gets each row of the log; `install` replaces parts before the start.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: Loader,
        config: TrainConfig,
        folder: Path | str | None = None,
        *,
        evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
        sample: Callable[[nn.Module], list[str]] | None = None,
        report: Callable[[dict[str, Any]], None] | None = None,
        heldout: Callable[[], Iterable[Batch]] | None = None,
        install: Callable[[Parts], Parts] | None = None,
    ) -> None:
        set_threads(config.threads)
        parts = make_parts(model, loader, config, heldout=heldout)
        parts = infect(parts, config.bug)  # healthy if None
        self.parts = install(parts) if install else parts
        self.config, self.loader = config, loader
        self.evaluate, self.sample, self.report = evaluate, sample, report
        self.watch, self.tally = Watch(), Tally()
        self.metrics: dict[str, float] = {}
        self.step, self.started = 0, False
        self.saved: int | None = None  # the step of the last checkpoint
        self.store: CheckpointStore | None = None
        self.log: MetricsLog | None = None
        if folder is not None:
            keep, place = config.keep_checkpoints, Path(folder)
            self.store = CheckpointStore(place / "checkpoints", keep)
            board = place / "tensorboard"
            self.log = MetricsLog(place / "metrics.jsonl", tensorboard=board)

    def run(
        self, *, from_step: int | None = None, stop_at: int | None = None
    ) -> TrainResult:
        """Train to the end, to `stop_at`, a signal or a divergence.

        Begins at the folder's last checkpoint, or at that of `from_step`.
        CheckpointError for a damaged one; OSError if the last save fails.
        """
        end = self.config.steps if stop_at is None else stop_at
        with StopRequest() as request:
            if not self.started or from_step is not None:
                _begin(self, from_step)
            with closing(Ahead(self.parts.next_batch)) as batches:
                parts = replace(self.parts, next_batch=batches)
                if self.config.compile:
                    parts = replace(parts, loss=torch.compile(parts.loss))
                lost, end = None, min(end, self.config.steps)
                while self.step < end and not lost and not request.signal:
                    lost = _advance(self, parts)
            return _leave(self, lost, request.signal)


def _advance(run: Trainer, parts: Parts) -> str | None:
    """Make one step and what is due after it; a sentence if all is lost."""
    start = time.perf_counter()
    result = train_step(parts, run.step)
    seconds = time.perf_counter() - start
    odd = run.watch.judge(result)
    if not result.updated and parts.scaler is None:
        _save(run)
        return f"{odd} at step {run.step}. {suspects(parts.model)}"
    run.step += 1
    if result.updated:
        run.tally.add(result, seconds)
    if odd is not None:
        kind = "spike" if result.updated else "skipped"
        _event(run, kind, f"{odd}, lr {result.lr:.3g}")
    if _due(run, run.config.log_every) and run.tally.recent:
        _row(run, run.tally.row(run.step, result.lr))
    if 0 < run.config.patience <= run.watch.bad_steps:
        return f"{odd}, for {run.watch.bad_steps} steps"
    _look(
        run,
        _due(run, run.config.eval_every),
        _due(run, run.config.sample_every),
    )
    if _due(run, run.config.checkpoint_every):
        _save(run)
    elif run.store and run.store.failed():
        _settle(run)
    return None


def _due(run: Trainer, every: int) -> bool:
    """Whether something is done after this step: in turn, and at the end."""
    if run.step == run.config.steps:
        return True
    return every > 0 and run.step % every == 0


def _look(run: Trainer, evaluate: bool, sample: bool) -> None:
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
                _row(run, {"kind": "eval", "step": run.step, **found})
            if sample and run.sample:
                texts = run.sample(model)
                row = {"kind": "sample", "step": run.step, "samples": texts}
                _row(run, row)
    finally:
        model.train(training)


def _row(run: Trainer, row: dict[str, Any]) -> None:
    """Into the log, and to whoever listens."""
    if run.log:
        run.log.write(row)
    if run.report:
        run.report(row)


def _event(run: Trainer, event: str, message: str) -> None:
    row = {"kind": "event", "step": run.step, "event": event}
    _row(run, row | {"message": message})


def _state(run: Trainer) -> dict[str, Any]:
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


def _device(run: Trainer) -> torch.device:
    return next(run.parts.model.parameters()).device


def _begin(run: Trainer, from_step: int | None) -> None:
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
    _event(run, "start", f"0 of {run.config.steps} steps{rest * (dropped > 0)}")
    if run.config.eval_every:
        _look(run, evaluate=True, sample=run.config.sample_every > 0)


def _resume(run: Trainer, step: int) -> None:
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
    _event(run, "resume", said)


def _save(run: Trainer) -> None:
    """Copy the state and let it be written, unless that was done."""
    if run.store is None or run.saved == run.step:
        return
    _settle(run)
    run.store.save(run.step, _state(run))
    run.saved = run.step


def _settle(run: Trainer) -> None:
    """Wait for the last save; if it failed, say so and go on."""
    try:
        if run.store:
            run.store.wait()
    except OSError as error:
        run.saved = None
        _event(run, "checkpoint_failed", str(error))


def _leave(run: Trainer, lost: str | None, signal: int | None) -> TrainResult:
    """Save what is good, close the log, and say how it ended."""
    status: Literal["done", "interrupted", "diverged"] = "done"
    message = f"{run.step} steps"
    if lost:
        _settle(run)
        at = run.store.steps() if run.store else []
        status = "diverged"
        message = f"{lost}. Checkpoints there are: {at or 'none'}"
    elif run.step < run.config.steps:
        cause = f"signal {signal}" if signal else "stop_at"
        status, message = "interrupted", f"{cause} after step {run.step}"
    if not lost:
        _save(run)
    _event(run, status, message)
    if run.store:
        run.store.wait()
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
