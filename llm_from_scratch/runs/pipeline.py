# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""All stages in their order: skipped, resumed or made."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from llm_from_scratch.core.files import atomic_write
from llm_from_scratch.core.manifest import Manifest, State, fingerprint
from llm_from_scratch.core.runtime import pick_device, set_threads
from llm_from_scratch.model.hf import from_pretrained
from llm_from_scratch.runs.config import steering
from llm_from_scratch.runs.judge import Judge, verdict
from llm_from_scratch.runs.report import write_report
from llm_from_scratch.runs.stages import (
    Files,
    Run,
    make_corpus,
    make_shards,
    make_tokenizer,
    read_seconds,
)
from llm_from_scratch.runs.training import make_model

__all__ = [
    "STAGES",
    "Stage",
    "make_evaluation",
    "run_stages",
    "stage_state",
    "stage_states",
]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A step of the pipeline, and the steps whose files it reads.

    `make` writes files and returns them. A change in them, in what the
    stages in `needs` have made, or in its settings makes it run again.
    """

    name: str
    needs: tuple[str, ...]
    make: Callable[[Run], Files]


def make_evaluation(run: Run) -> Files:
    """Ask the finished model everything, and write down what it says."""
    run.progress("evaluate", 0, None)
    device = pick_device(run.config.train.device)
    model = from_pretrained(run.folder.model, device=device)
    found = verdict(Judge(run, run.tokenizer()), model)
    with atomic_write(run.folder.evaluation_file, "w") as file:
        json.dump(found, file, indent=1)
    return [run.folder.evaluation_file]


STAGES = (
    Stage(
        name="corpus",
        needs=(),
        make=make_corpus,
    ),
    Stage(
        name="tokenizer",
        needs=("corpus",),
        make=make_tokenizer,
    ),
    Stage(
        name="shards",
        needs=("corpus", "tokenizer"),
        make=make_shards,
    ),
    Stage(
        name="pretrain",
        needs=("tokenizer", "shards"),
        make=make_model,
    ),
    Stage(
        name="evaluate",
        needs=("corpus", "pretrain"),
        make=make_evaluation,
    ),
)


def run_stages(run: Run, until: str = "evaluate") -> None:
    """Bring a folder up to a stage, doing only what is not done.

    The caller holds the folder's lock and has claimed it. The report is
    written as far as there is something to report, also after a failure.
    """
    manifest = Manifest(run.folder.manifest_file)
    set_threads(run.config.train.threads)
    pick_device(run.config.train.device)  # an hour later is too late
    begun: list[str] = []
    try:
        for stage in STAGES:
            state = stage_state(run, manifest, stage)
            if state == "current":
                run.tell({"kind": "skip", "stage": stage.name})
            else:
                begun.append(stage.name)
                _make(run, manifest, stage)
            if stage.name == until:
                return
    finally:
        if {"pretrain", "evaluate"} & set(begun):
            write_report(run)


def _make(run: Run, manifest: Manifest, stage: Stage) -> None:
    """Run one stage, and note in the manifest what it has made."""
    run.tell({"kind": "begin", "stage": stage.name})
    seconds, files = _timed(run, stage)
    base = run.folder.path
    manifest.record(
        stage.name,
        {path.relative_to(base).as_posix(): path for path in files},
        _origin(manifest, stage),
        steering(run.config, stage.name),
    )
    run.tell({"kind": "end", "stage": stage.name, "seconds": seconds})


def stage_state(run: Run, manifest: Manifest, stage: Stage) -> State:
    """Whether a stage is done, and with these settings and inputs."""
    if not all(name in manifest.entries for name in stage.needs):
        return "absent"
    steered = steering(run.config, stage.name)
    return manifest.check(stage.name, _origin(manifest, stage), steered)


def stage_states(run: Run) -> dict[str, State]:
    """The state of every stage, for a plan."""
    manifest = Manifest(run.folder.manifest_file)
    return {s.name: stage_state(run, manifest, s) for s in STAGES}


def _origin(manifest: Manifest, stage: Stage) -> dict[str, str]:
    """The content of what a stage reads, a hash for each stage before."""
    return {name: fingerprint(manifest.hashes(name)) for name in stage.needs}


def _timed(run: Run, stage: Stage) -> tuple[float, Files]:
    """Run a stage; its seconds are added up over interruptions."""
    path, start = run.folder.path / "seconds.json", time.monotonic()
    try:
        files = stage.make(run)
    finally:
        found = read_seconds(run)
        spent = found.get(stage.name, 0.0) + time.monotonic() - start
        with atomic_write(path, "w") as file:
            json.dump({**found, stage.name: round(spent, 1)}, file)
    return spent, files
