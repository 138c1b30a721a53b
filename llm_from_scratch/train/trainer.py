# Generated from chapters/16_the_run.md by `make export`. Do not edit.
"""The loop around the step: log, look, save, stop, and go on exactly."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llm_from_scratch.core.runtime import StopRequest, set_threads
from llm_from_scratch.data.batch import Batch
from llm_from_scratch.train.bugs import infect
from llm_from_scratch.train.config import TrainConfig
from llm_from_scratch.train.parts import Loader, Parts, make_parts, train_step
from llm_from_scratch.train.session import (
    Session,
    TrainResult,
    begin_run,
    leave_run,
    look,
    save_run,
    settle,
    tell,
    tell_event,
)
from llm_from_scratch.train.tally import Ahead
from llm_from_scratch.train.watch import suspects

__all__ = [
    "Trainer",
]


class Trainer(Session):
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
        parts = install(parts) if install else parts
        super().__init__(parts, loader, config, folder)
        self.evaluate, self.sample, self.report = evaluate, sample, report

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
                begin_run(self, from_step)
            with closing(Ahead(self.parts.next_batch)) as batches:
                parts = replace(self.parts, next_batch=batches)
                if self.config.compile:
                    parts = replace(parts, loss=torch.compile(parts.loss))
                lost, end = None, min(end, self.config.steps)
                while self.step < end and not lost and not request.signal:
                    lost = _advance(self, parts)
            return leave_run(self, lost, request.signal)


def _advance(run: Session, parts: Parts) -> str | None:
    """Make one step and what is due after it; a sentence if all is lost."""
    start = time.perf_counter()
    result = train_step(parts, run.step)
    seconds = time.perf_counter() - start
    odd = run.watch.judge(result)
    if not result.updated and parts.scaler is None:
        save_run(run)
        return f"{odd} at step {run.step}. {suspects(parts.model)}"
    run.step += 1
    if result.updated:
        run.tally.add(result, seconds)
    if odd is not None:
        kind = "spike" if result.updated else "skipped"
        tell_event(run, kind, f"{odd}, lr {result.lr:.3g}")
    if _due(run, run.config.log_every) and run.tally.recent:
        tell(run, run.tally.row(run.step, result.lr))
    if 0 < run.config.patience <= run.watch.bad_steps:
        return f"{odd}, for {run.watch.bad_steps} steps"
    look(
        run,
        _due(run, run.config.eval_every),
        _due(run, run.config.sample_every),
    )
    bad = run.config.patience > 0 and run.watch.bad_steps > 0
    if _due(run, run.config.checkpoint_every) and not bad:
        save_run(run)
    elif run.store and run.store.failed():
        settle(run)
    return None


def _due(run: Session, every: int) -> bool:
    """Whether something is done after this step: in turn, and at the end."""
    if run.step == run.config.steps:
        return True
    return every > 0 and run.step % every == 0
