# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""What a run is made from: one dataclass, and the presets that fill it."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from llm_from_scratch.core.config import settings
from llm_from_scratch.corpus.documents import BENCH, READERS
from llm_from_scratch.corpus.fetch import slice_files
from llm_from_scratch.data.packing import Packing
from llm_from_scratch.infer.generation import Sampling
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.layers import swiglu_width
from llm_from_scratch.train.config import TrainConfig

__all__ = [
    "OPERATION",
    "SECTIONS",
    "CorpusConfig",
    "EvaluationConfig",
    "LoaderConfig",
    "ModelShape",
    "RunConfig",
    "ShardsConfig",
    "TokenizerConfig",
    "how_to_fetch",
    "is_fetched",
    "missing_sets",
    "needed_sets",
    "steering",
]


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Which texts: names that `documents` knows, or paths of files.

    `shares` are of the training tokens, one for each source; none means by
    size. `real=False` leaves out what `make data` would have to fetch.
    """

    sources: tuple[str, ...] = ("smallweb", "tales", "recipes", "wikipedia")
    shares: tuple[float, ...] = ()
    real: bool = True
    pages: int = 4000  # of Smallweb
    seed: int = 0  # of its world
    decontaminate: bool = True  # drop texts that hold a held-out question

    def __post_init__(self) -> None:
        if self.shares and len(self.shares) != len(self.sources):
            raise ValueError(
                f"shares has {len(self.shares)} numbers for "
                f"{len(self.sources)} sources: give one for each, or none"
            )
        if self.pages < 1 or min(self.shares, default=1) <= 0:
            raise ValueError(
                "pages and shares must be positive, got "
                f"{self.pages} and {self.shares}"
            )
        if len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources names one twice: {self.sources}")
        for source in self.sources:
            _check_source(source)
        if not self.chosen:
            raise ValueError(
                f"no source is left of {self.sources}: with real=false only "
                "smallweb and files of your own remain"
            )

    @property
    def chosen(self) -> dict[str, float | None]:
        """The sources in use, with their shares."""
        shares = self.shares or (None,) * len(self.sources)
        pairs = zip(self.sources, shares, strict=True)
        return {s: n for s, n in pairs if self.real or not is_fetched(s)}


def _check_source(source: str) -> None:
    """ValueError for what can be neither a set's name nor a path."""
    known, path = ["bench", *READERS], Path(source)
    if source in known or path.suffix or len(path.parts) > 1 or path.exists():
        return
    near = difflib.get_close_matches(source, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    raise ValueError(f"sources: no set and no file is {source!r}; {hint}")


def is_fetched(source: str) -> bool:
    """Whether a source is a set of the registries, or several of them."""
    named = source in READERS or source == "bench"
    return named and not source.startswith("smallweb")


def needed_sets(config: "RunConfig") -> list[str]:
    """The sets of the registries that a run reads."""
    names: list[str] = []
    for source in filter(is_fetched, config.corpus.chosen):
        names += BENCH if source == "bench" else (source,)
    return names


def missing_sets(config: "RunConfig") -> list[str]:
    """Those of them that are not on this machine."""
    absent = []
    for name in needed_sets(config):
        try:
            slice_files(name)
        except FileNotFoundError:
            absent.append(name)
    return absent


def how_to_fetch(names: Sequence[str]) -> str:
    """What to do about missing sets."""
    return (
        f"not on this machine: {', '.join(names)}. Fetch with `make data`, or "
        f"`python -m llm_from_scratch.corpus.fetch {' '.join(names)}`, or do "
        "without: --set corpus.real=false"
    )


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """A byte-level BPE vocabulary, learned from the training texts."""

    vocab_size: int = 4096
    pattern: Literal["gpt2", "cl100k"] = "gpt2"
    sample_bytes: int = 16_000_000  # of text, all sources in turn

    def __post_init__(self) -> None:
        if self.vocab_size < 257 or self.sample_bytes < 1:
            raise ValueError(
                "vocab_size must be at least 257 (256 bytes and the end of a "
                "text) and sample_bytes at least 1, got "
                f"{self.vocab_size} and {self.sample_bytes}"
            )


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """How tokens lie on the disk."""

    shard_bytes: int = 1 << 25  # of text
    threads: int = 2

    def __post_init__(self) -> None:
        if self.shard_bytes < 1 or self.threads < 1:
            raise ValueError(
                "shard_bytes and threads must be at least 1, got "
                f"{self.shard_bytes} and {self.threads}"
            )


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How rows of a batch are made from tokens."""

    packing: Packing = "cut"
    mask_documents: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The model's sizes, by their names in ModelConfig.

    Its vocabulary is the tokenizer's, its places are the run's context. An
    absent `intermediate_size` is that of `swiglu_width`.
    """

    hidden_size: int = 192
    intermediate_size: int | None = None
    num_hidden_layers: int = 4
    num_attention_heads: int = 3
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    rope_theta: float = 10000.0
    tie_word_embeddings: bool = True
    model_type: str = "llama"

    def __post_init__(self) -> None:
        self.config(1, 1)  # refuse what no model can have

    def config(
        self, vocab_size: int, context: int, end: int | None = None
    ) -> ModelConfig:
        """The whole configuration; `end` is the id of the end of a text."""
        sizes = settings(self)
        if self.intermediate_size is None:
            sizes["intermediate_size"] = swiglu_width(self.hidden_size)
        return ModelConfig(
            vocab_size=vocab_size,
            max_position_embeddings=context,
            eos_token_id=end,
            **sizes,
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How much held-out text and how many questions; 0 means all.

    The `quick_` sizes are those of the looks during training.
    """

    texts: int = 400  # held-out texts of each source
    questions: int = 0
    quick_texts: int = 40
    quick_questions: int = 64
    prompts: tuple[str, ...] = (
        "Once upon a time",
        "Questions about Oban\n\nQuestion: Who is Oban's mother?\n\nAnswer:",
        "How to",
    )
    sample_tokens: int = 60
    temperature: float = 0.7
    top_p: float = 0.95

    def __post_init__(self) -> None:
        for name, value in settings(self).items():
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        Sampling(temperature=self.temperature, top_p=self.top_p)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run is made from, a section for each stage."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    model: ModelShape = field(default_factory=ModelShape)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=2000))
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    @property
    def model_config(self) -> ModelConfig:
        """The model if the tokenizer reaches the size that it was asked."""
        return self.model.config(self.tokenizer.vocab_size, self.train.context)


OPERATION = (
    "shards.threads",
    "train.checkpoint_every",
    "train.device",
    "train.eval_every",
    "train.keep_checkpoints",
    "train.log_every",
    "train.patience",
    "train.sample_every",
    "train.threads",
)


SECTIONS: dict[str, tuple[str, ...]] = {
    "corpus": ("corpus",),
    "tokenizer": ("tokenizer",),
    "shards": ("shards",),
    "pretrain": ("corpus", "loader", "model", "train"),
    "evaluate": ("evaluation",),
}


def steering(config: RunConfig, stage: str) -> dict[str, Any]:
    """The settings that decide what comes out of a stage."""
    return {
        name: value
        for name, value in settings(config).items()
        if name.partition(".")[0] in SECTIONS[stage] and name not in OPERATION
    }
