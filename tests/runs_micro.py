"""A run of a second or two, for the tests of runs and of the command."""

from pathlib import Path

from llm_from_scratch.core.config import override
from llm_from_scratch.runs.config import RunConfig
from llm_from_scratch.runs.folder import RunFolder
from llm_from_scratch.runs.pipeline import run_stages
from llm_from_scratch.runs.presets import preset
from llm_from_scratch.runs.stages import Run

SMALL = [
    "corpus.decontaminate=false",
    "corpus.pages=60",
    "tokenizer.vocab_size=300",
    "tokenizer.sample_bytes=20000",
    "shards.shard_bytes=20000",
    "model.hidden_size=16",
    "model.num_hidden_layers=1",
    "train.steps=6",
    "train.batch_size=4",
    "train.context=32",
    "train.eval_every=3",
    "train.sample_every=6",
    "train.checkpoint_every=2",
    "train.threads=1",
    "evaluation.texts=2",
    "evaluation.questions=4",
    "evaluation.quick_texts=1",
    "evaluation.quick_questions=2",
    "evaluation.sample_tokens=4",
]


def micro(*changes: str) -> RunConfig:
    """The tiny preset, smaller."""
    return override(preset("tiny"), [*SMALL, *changes])


def make(
    path: Path, *changes: str, until: str = "evaluate", **more: object
) -> tuple[Run, list[dict]]:
    """Run a micro configuration in a folder; the run and its events."""
    events: list[dict] = []
    folder, config = RunFolder(path), micro(*changes)
    run = Run(folder=folder, config=config, tell=events.append, **more)
    with folder.lock():
        folder.claim(config)
        run_stages(run, until)
    return run, events


def stages(events: list[dict], kind: str) -> list[str]:
    """The stages of which events of a kind were told."""
    return [event["stage"] for event in events if event["kind"] == kind]
