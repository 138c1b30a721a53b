# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""From texts to tokens: the stages of a run before there is a model."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llm_from_scratch.core.files import atomic_write
from llm_from_scratch.corpus.documents import documents
from llm_from_scratch.corpus.paths import read_jsonl
from llm_from_scratch.corpus.questions import Question, questions
from llm_from_scratch.corpus.records import Document, is_heldout, slug
from llm_from_scratch.corpus.truth import World
from llm_from_scratch.corpus.world import make_world
from llm_from_scratch.data.decontaminate import Decontaminator
from llm_from_scratch.data.decontaminate import Report as Found
from llm_from_scratch.data.write import write_shards
from llm_from_scratch.runs.config import (
    RunConfig,
    how_to_fetch,
    missing_sets,
)
from llm_from_scratch.runs.folder import RunFolder
from llm_from_scratch.tokenizer.bpe import Tokenizer
from llm_from_scratch.tokenizer.pattern import CL100K_PATTERN, GPT2_PATTERN
from llm_from_scratch.tokenizer.train import train_bpe

__all__ = [
    "END",
    "WHOLE",
    "Files",
    "Run",
    "make_corpus",
    "make_shards",
    "make_tokenizer",
    "read_seconds",
    "sample_texts",
]


END = "<|endoftext|>"
WHOLE = 64  # words: more than a question has, so that it must occur whole
Files = list[Path]


def _silent(event: dict[str, Any]) -> None:
    """Hear nothing."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A folder, what is to be made in it, and who is told how it goes.

    `tell` gets events: dictionaries with a "kind" and a "stage".
    """

    folder: RunFolder
    config: RunConfig
    tell: Callable[[dict[str, Any]], None] = _silent
    from_step: int | None = None  # of which checkpoint training goes on

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """Tell how far a stage is."""
        self.tell(
            {"kind": "progress", "stage": stage, "done": done, "total": total}
        )

    def note(self, stage: str, message: str) -> None:
        """Tell what a reader should know."""
        self.tell({"kind": "note", "stage": stage, "message": message})

    def texts(self, source: str, split: str) -> Path:
        """Where the texts of a source lie after the first stage."""
        return self.folder.corpus / f"{slug(source)}.{split}.jsonl"

    def tokenizer(self) -> Tokenizer:
        """The vocabulary that the second stage has learned."""
        return Tokenizer.from_hf(self.folder.tokenizer_file)

    def questions(self, split: str) -> tuple[Question, ...]:
        """What can be asked about the world; nothing without Smallweb."""
        corpus = self.config.corpus
        if "smallweb" not in corpus.chosen:
            return ()
        return questions(_world(corpus.seed), split)


@cache
def _world(seed: int) -> World:
    """The same object each time, so that its questions are kept, too."""
    return make_world(seed)


def read_seconds(run: Run) -> dict[str, float]:
    """Wall time of each stage so far."""
    try:
        text = (run.folder.path / "seconds.json").read_text("utf-8")
        return dict(json.loads(text))
    except (OSError, ValueError):
        return {}


def make_corpus(run: Run) -> Files:
    """Write the texts of each source, for training and held out."""
    if absent := missing_sets(run.config):
        raise FileNotFoundError(how_to_fetch(absent))
    run.folder.corpus.mkdir(exist_ok=True)
    files, asked = Files(), [q.text for q in run.questions("heldout")]
    for source in run.config.corpus.chosen:
        train, held = run.texts(source, "train"), run.texts(source, "heldout")
        counts, found = {True: 0, False: 0}, Found()
        texts = _documents(run, source)
        if asked and run.config.corpus.decontaminate:
            texts = Decontaminator(asked, n=WHOLE).clean(texts, found)
        with atomic_write(train, "w") as a, atomic_write(held, "w") as b:
            for one in texts:
                out = is_heldout(one.id)
                line = json.dumps({"id": one.id, "text": one.text})
                (b if out else a).write(line + "\n")
                counts[out] += 1
        if not counts[False]:
            train.unlink()
            raise ValueError(
                f"{source!r} has no text to train on: give another source"
            )
        run.note(
            "corpus",
            f"{source}: {counts[False]:,} texts and {counts[True]:,} held out"
            + (f", {found.dropped} dropped" if found.dropped else ""),
        )
        files += [train, held]
    return files


def _documents(run: Run, source: str) -> Iterator[Document]:
    """The texts of a source. ValueError if it holds raw pages."""
    corpus, made = run.config.corpus, source.startswith("smallweb")
    options: dict[str, Any] = {}
    total = corpus.pages if made else None
    if made:
        options = {"pages": corpus.pages, "seed": corpus.seed}
    for number, one in enumerate(documents(source, **options)):
        if not isinstance(one, Document):
            raise ValueError(
                f"{source!r} holds raw pages, not texts: take it out of "
                "corpus.sources"
            )
        if number % 50 == 0:
            run.progress("corpus", number, total)
        if one.text.strip():
            yield one


def make_tokenizer(run: Run) -> Files:
    """Learn a vocabulary from a sample of the training texts."""
    config = run.config.tokenizer
    pattern = {"gpt2": GPT2_PATTERN, "cl100k": CL100K_PATTERN}[config.pattern]
    sample = run.folder.path / ".sample.txt"
    run.progress("tokenizer", 0, None)
    try:
        with open(sample, "w", encoding="utf-8") as file:
            file.writelines(text + END for text in sample_texts(run))
        vocab, merges = train_bpe(
            sample, config.vocab_size, [END], pattern=pattern
        )
    finally:
        sample.unlink(missing_ok=True)
    if len(vocab) < config.vocab_size:
        run.note(
            "tokenizer",
            f"{len(vocab)} tokens: the sample has no more pairs to join",
        )
    tokenizer = Tokenizer(vocab, merges, [END], pattern=pattern)
    tokenizer.save_hf(run.folder.tokenizer_file)
    return [run.folder.tokenizer_file]


def sample_texts(run: Run) -> Iterator[str]:
    """Training texts, one of each source in turn, `sample_bytes` in all."""
    room = run.config.tokenizer.sample_bytes
    readers = [
        read_jsonl(run.texts(source, "train"))
        for source in run.config.corpus.chosen
    ]
    while readers:
        for reader in list(readers):
            one = next(reader, None)
            if one is None:
                readers.remove(reader)
                continue
            room -= len(one.text.encode())
            yield one.text
            if room <= 0:
                return


def make_shards(run: Run) -> Files:
    """Turn the training texts of each source into shards of tokens."""
    config, tokenizer, files = run.config.shards, run.tokenizer(), Files()
    for source in run.config.corpus.chosen:
        folder = run.folder.shards / slug(source)
        path = run.texts(source, "train")
        write_shards(
            read_jsonl(path),
            tokenizer,
            folder,
            end_of_text=END,
            shard_bytes=config.shard_bytes,
            num_threads=config.threads,
            report=_shards_report(run, path.stat().st_size),
        )
        files += sorted(p for p in folder.iterdir() if p.name[0] != ".")
    return files


def _shards_report(run: Run, total: int) -> Callable[[int, int], None]:
    """What `write_shards` calls: numbers of shards and of bytes done."""
    return lambda _, done: run.progress("shards", done, total)
