# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""Configurations by name, from seconds on a core to hours on a GPU."""

from collections.abc import Callable

from llm_from_scratch.corpus.documents import BENCH
from llm_from_scratch.runs.config import (
    CorpusConfig,
    EvaluationConfig,
    ModelShape,
    RunConfig,
    ShardsConfig,
    TokenizerConfig,
)
from llm_from_scratch.train.config import TrainConfig

__all__ = [
    "PRESETS",
    "gpu",
    "laptop",
    "preset",
    "tiny",
]


def tiny() -> RunConfig:
    """Seconds on one core, no fetched data: to see every stage at work."""
    return RunConfig(
        corpus=CorpusConfig(sources=("smallweb",), pages=300),
        tokenizer=TokenizerConfig(vocab_size=512, sample_bytes=200_000),
        shards=ShardsConfig(shard_bytes=200_000, threads=1),
        model=ModelShape(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=2
        ),
        train=TrainConfig(
            steps=60,
            batch_size=8,
            context=128,
            lr=3e-3,
            eval_every=30,
            sample_every=30,
            checkpoint_every=20,
        ),
        evaluation=EvaluationConfig(
            texts=8,
            questions=24,
            quick_texts=4,
            quick_questions=8,
            sample_tokens=24,
        ),
    )


def laptop() -> RunConfig:
    """Two cores, under ten minutes: a model that writes and answers."""
    return RunConfig(
        corpus=CorpusConfig(
            sources=("smallweb", "tales", "recipes"), pages=20_000
        ),
        model=ModelShape(
            hidden_size=256, num_hidden_layers=4, num_attention_heads=4
        ),
        train=TrainConfig(
            steps=1350,
            batch_size=16,
            context=256,
            optimizer="muon",
            lr=8e-3,
            precision="bf16",
            compile=True,
            eval_every=150,
            sample_every=450,
            checkpoint_every=150,
        ),
    )


def gpu() -> RunConfig:
    """One accelerator: GPT-2's size in bf16, compiled."""
    return RunConfig(
        corpus=CorpusConfig(sources=("smallweb", *BENCH), pages=40_000),
        tokenizer=TokenizerConfig(vocab_size=16_384, sample_bytes=64_000_000),
        model=ModelShape(
            hidden_size=768, num_hidden_layers=12, num_attention_heads=12
        ),
        train=TrainConfig(
            steps=2000,
            batch_size=64,
            micro_batch_size=32,
            context=1024,
            lr=6e-4,
            precision="bf16",
            compile=True,
            eval_every=200,
            sample_every=500,
            checkpoint_every=500,
        ),
    )


PRESETS: dict[str, Callable[[], RunConfig]] = {
    "tiny": tiny,
    "laptop": laptop,
    "gpu": gpu,
}


def preset(name: str) -> RunConfig:
    """A configuration by name; ValueError, listing all, for no preset."""
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise ValueError(f"no preset is named {name!r}; known: {known}")
    return PRESETS[name]()
