# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""The stage that trains: model, batches and trainer put together."""

import difflib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from llm_from_scratch.core.runtime import pick_device
from llm_from_scratch.corpus.records import slug
from llm_from_scratch.data.batch import Batch
from llm_from_scratch.data.loader import TokenLoader
from llm_from_scratch.data.shard_set import ShardSet, TokenArray
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.hf import from_pretrained, save_pretrained
from llm_from_scratch.model.transformer import TransformerLM
from llm_from_scratch.runs.compiler import compiler_problem
from llm_from_scratch.runs.folder import RunFolder
from llm_from_scratch.runs.judge import Judge
from llm_from_scratch.runs.stages import END, Files, Run
from llm_from_scratch.tokenizer.bpe import Tokenizer
from llm_from_scratch.train.bugs import BUGS
from llm_from_scratch.train.checkpoint import load_model_state
from llm_from_scratch.train.checks import run_checks
from llm_from_scratch.train.store import CheckpointStore
from llm_from_scratch.train.trainer import Trainer
from llm_from_scratch.train.verdict import Verdict

__all__ = [
    "Stopped",
    "check_bug",
    "check_training",
    "heldout_batches",
    "load_model",
    "make_model",
    "make_trainer",
    "model_config",
    "open_loader",
]


class Stopped(Exception):
    """A signal ended a stage, and everything that matters is on the disk."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.signal = number


def model_config(run: Run, tokenizer: Tokenizer) -> ModelConfig:
    """The model of a run, now that its vocabulary is known."""
    return run.config.model.config(
        len(tokenizer.vocab),
        run.config.train.context,
        tokenizer.special_tokens[END],
    )


def open_loader(run: Run, tokenizer: Tokenizer) -> TokenLoader:
    """The batches of a run. ValueError if the shards are of other tokens."""
    config, sources = run.config, {}
    for source, share in config.corpus.chosen.items():
        shards = ShardSet(run.folder.shards / slug(source), tokenizer)
        weight = float(len(shards)) if share is None else share
        sources[slug(source)] = (shards, weight)
    return TokenLoader(
        sources,
        batch_size=config.train.batch_size,
        context=config.train.context,
        seed=config.train.seed,
        packing=config.loader.packing,
        mask_documents=config.loader.mask_documents,
    )


def make_trainer(run: Run, *, checked: bool = False) -> Trainer:
    """Everything that the run trains with, at its first step.

    If it is only to be `checked`, nothing is written to the folder.
    """
    tokenizer = run.tokenizer()
    generator = torch.Generator().manual_seed(run.config.train.seed)
    model = TransformerLM(model_config(run, tokenizer), generator=generator)
    judge = Judge(run, tokenizer, quick=True)

    def report(row: dict[str, Any]) -> None:
        run.tell({**row, "stage": "pretrain", "of": run.config.train.steps})

    return Trainer(
        model,
        open_loader(run, tokenizer),
        run.config.train,
        None if checked else run.folder.path,
        evaluate=judge.measure,
        sample=judge.samples,
        report=report,
        heldout=heldout_batches(run, judge) if checked else None,
    )


def heldout_batches(
    run: Run, judge: Judge
) -> Callable[[], Iterator[Batch]] | None:
    """Batches of the judge's held-out texts, if it has any."""
    tokenizer, config = judge.tokenizer, run.config.train
    texts = [text for some in judge.texts.values() for text in some]
    end = tokenizer.special_tokens[END]
    found = tokenizer.encode_documents(texts, allowed_special="none")
    ids = [id for one in found for id in (*one.tolist(), end)]
    if len(ids) <= config.context:
        return None
    source = TokenArray(np.array(ids), end, len(tokenizer.vocab))
    size = min(config.batch_size, len(ids) // config.context)
    loader = TokenLoader(source, batch_size=size, context=config.context)
    steps = max(1, len(ids) // loader.tokens_per_step)
    return lambda: (loader.batch(step) for step in range(steps))


def make_model(run: Run) -> Files:
    """Train, from the last checkpoint if there is one; save the model.

    What cannot be compiled runs uncompiled, and says so. Stopped if a signal
    came, RuntimeError if training diverged.
    """
    trainer, how = make_trainer(run), "default"
    if problem := compiler_problem(run.config, attempt=True):
        run.note("pretrain", f"not compiled, so slower: {problem}")
        how = "force_eager"
    with torch.compiler.set_stance(how):
        result = trainer.run(from_step=run.from_step)
    if result.status == "interrupted":
        number = result.signal or signal.SIGINT
        raise Stopped(number, result.message)
    if result.status != "done":
        raise RuntimeError(result.message)
    save_pretrained(
        trainer.parts.model, run.folder.model, tokenizer=run.tokenizer()
    )
    return sorted(run.folder.model.iterdir())


def load_model(
    path: str | os.PathLike[str], step: int | None = None, device: str = "auto"
) -> tuple[TransformerLM, Tokenizer, str]:
    """Model, tokenizer and a name for them, from a run or a model's folder.

    The model that training has saved; of a run that is not finished, or if
    `step` is given, that of a checkpoint. FileNotFoundError if none is.
    """
    folder, where = RunFolder(path), pick_device(device)
    if (folder.path / "config.json").is_file():  # a model, not a run
        folder.model = folder.path
    elif step is not None or not folder.model.is_dir():
        return _from_checkpoint(folder, step, where)
    tokenizer = Tokenizer.from_hf(folder.tokenizer_file)
    model = from_pretrained(folder.model, device=where)
    _check_vocabulary(model, tokenizer)
    return model.eval(), tokenizer, str(folder.model)


def _from_checkpoint(
    folder: RunFolder, step: int | None, device: torch.device
) -> tuple[TransformerLM, Tokenizer, str]:
    """The model of a checkpoint of a run."""
    run = Run(folder=folder, config=folder.config())
    store = CheckpointStore(folder.checkpoints)
    chosen = store.latest() if step is None else step
    if chosen not in store.steps():
        raise FileNotFoundError(
            f"{folder.path} has no model and no checkpoint"
            + (f" of step {step}" if step is not None else "")
            + f"; checkpoints: {store.steps() or 'none'}. Train it with "
            f"`llm pretrain --out {folder.path}`"
        )
    tokenizer = run.tokenizer()
    model = TransformerLM(model_config(run, tokenizer))
    path = store.path(chosen)
    model.load_state_dict(load_model_state(path))
    return model.to(device).eval(), tokenizer, str(path)


def _check_vocabulary(model: TransformerLM, tokenizer: Tokenizer) -> None:
    """ValueError if the tokenizer has ids that the model does not know."""
    if len(tokenizer.vocab) > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer.vocab)} tokens and the model "
            f"knows {model.config.vocab_size}: they do not belong together"
        )


def check_bug(name: str | None) -> None:
    """ValueError, with the nearest name, for a bug that is not in the zoo."""
    if name is not None and name not in BUGS:
        near = difflib.get_close_matches(name, BUGS, 1)
        every = ", ".join(BUGS)
        hint = f"did you mean {near[0]}?" if near else f"known: {every}"
        raise ValueError(f"no bug of the zoo is named {name!r}; {hint}")


def check_training(run: Run) -> list[Verdict]:
    """What every check says about the parts that the run trains with."""
    return run_checks(make_trainer(run, checked=True).parts)
