"""A run of a second, for tests, and as a process that may be killed."""

import itertools
import sys
from typing import Any

import numpy as np
import torch

from llm_from_scratch.data.loader import TokenLoader
from llm_from_scratch.data.shard_set import TokenArray
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.transformer import TransformerLM
from llm_from_scratch.train.config import TrainConfig
from llm_from_scratch.train.trainer import Trainer

SHAPE = ModelConfig(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=32,
    tie_word_embeddings=True,
)
PLAIN: dict[str, Any] = {
    "steps": 30,
    "batch_size": 4,
    "context": 16,
    "lr": 5e-3,
    "warmup_fraction": 0.1,
    "device": "cpu",
    "threads": 1,
}


def tokens(seed: int = 0, size: int = 3000) -> TokenArray:
    """Ids with something to learn: mostly each one more than the last."""
    rng = np.random.default_rng(seed)
    ids = np.cumsum(rng.choice([1, 1, 1, 7], size)) % 64
    ids[-1] = 0
    return TokenArray(ids, 0, 64)


def small(**settings: Any) -> tuple[TransformerLM, TokenLoader, TrainConfig]:
    """Model, loader and configuration, always the same."""
    config = TrainConfig(**(PLAIN | settings))
    generator = torch.Generator().manual_seed(config.seed)
    loader = TokenLoader(
        tokens(),
        batch_size=config.batch_size,
        context=config.context,
        seed=config.seed,
    )
    return TransformerLM(SHAPE, generator=generator), loader, config


def weights(trainer: Trainer) -> list[torch.Tensor]:
    """Copies of all weights, to compare bits."""
    return [p.detach().clone() for p in trainer.parts.model.parameters()]


def same_bits(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def heldout() -> list[Any]:
    loader = TokenLoader(tokens(9), batch_size=4, context=16, seed=0)
    return list(itertools.islice(loader, 3))


def child(folder: str, settings: dict[str, Any]) -> None:
    """Train in this process; leave as the command does, 128 + signal."""
    torch.set_num_threads(1)
    result = Trainer(*small(**settings), folder).run()
    sys.exit(128 + result.signal if result.signal else 0)
