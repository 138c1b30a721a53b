# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""A run of two seconds in which a bug can be watched.

Sentences of the invented web as bytes, a model of 109 thousand weights.
"""

import copy
import math
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from llm_from_scratch.corpus.documents import Document, documents
from llm_from_scratch.data.batch import IGNORED
from llm_from_scratch.data.loader import TokenLoader
from llm_from_scratch.data.shard_set import TokenArray
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.transformer import TransformerLM
from llm_from_scratch.train.bugs import infect
from llm_from_scratch.train.config import TrainConfig
from llm_from_scratch.train.parts import Parts, make_parts, train_step

__all__ = [
    "ZOO_CONFIG",
    "ZOO_MODEL",
    "ZooRun",
    "mean_bits",
    "zoo_parts",
    "zoo_run",
    "zoo_text",
]


ZOO_MODEL = ModelConfig(
    vocab_size=256,
    hidden_size=64,
    intermediate_size=176,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    tie_word_embeddings=True,
)
ZOO_CONFIG = TrainConfig(
    steps=100,
    batch_size=8,
    micro_batch_size=2,
    context=64,
    lr=1e-2,
    warmup_fraction=0.05,
    device="cpu",
)


@cache
def zoo_text(split: str, pages: int = 600) -> TokenArray:
    """Sentences of smallweb's pages as documents of bytes, each ended by 0."""
    data = bytearray()
    for page in documents("smallweb", split=split, pages=pages):
        if isinstance(page, Document):
            for paragraph in page.text.split("\n\n"):
                if len(paragraph) > 30:  # no headings
                    data += paragraph.replace(". ", ".\0").encode() + b"\0"
    return TokenArray(np.frombuffer(data, np.uint8), 0, 256)


def zoo_parts(seed: int = 0, config: TrainConfig = ZOO_CONFIG) -> Parts:
    """Healthy parts of a small run; the seed draws weights and order."""
    config = replace(config, seed=seed)
    rows, places = config.batch_size, config.context
    loader, other = (
        TokenLoader(
            zoo_text(split),
            batch_size=rows,
            context=places,
            seed=seed if split == "train" else 0,
            packing="fit",
        )
        for split in ("train", "heldout")
    )
    generator = torch.Generator().manual_seed(seed)
    return make_parts(
        TransformerLM(ZOO_MODEL, generator=generator),
        loader,
        config,
        heldout=lambda: [other.batch(step) for step in range(16)],
    )


@torch.no_grad()
def mean_bits(parts: Parts) -> float:
    """Bits per token on the held-out batches, by the run's own loss."""
    nats, counted = 0.0, 0
    for batch in parts.heldout() if parts.heldout else ():
        nats += parts.loss(parts.model, batch).item()
        counted += int((batch.targets != IGNORED).sum())
    return nats / max(1, counted) / math.log(2)


class ZooRun(NamedTuple):
    """Bits per byte and gradient norms of all steps; the held-out scores."""

    curve: Float[np.ndarray, " steps"]
    norms: Float[np.ndarray, " steps"]
    told: float
    true: float

    @property
    def end(self) -> float:
        """Mean of the last ten steps."""
        return float(self.curve[-10:].mean())


def zoo_run(
    name: str | None = None, seed: int = 0, config: TrainConfig = ZOO_CONFIG
) -> ZooRun:
    """Train with a bug, or with none; stopped and resumed half-way.

    `true` scores the weights in a healthy program: they are saved without
    a head, as files of tied models are, and loaded.
    """
    parts, seen, step = infect(zoo_parts(seed, config), name), [], 0
    while step < config.steps:
        if step == config.steps // 2:
            state = copy.deepcopy(parts.save(parts, step))
            parts = infect(zoo_parts(seed, config), name)
            step = parts.restore(parts, state)
        seen.append(train_step(parts, step))
        step += 1
    healthy = zoo_parts(seed, config)
    weights = dict(parts.model.state_dict())
    weights.pop("lm_head.weight", None)
    healthy.model.load_state_dict(weights, strict=False)
    curve = np.array([row.loss for row in seen]) / math.log(2)
    norms = np.array([row.norm for row in seen])
    return ZooRun(curve, norms, mean_bits(parts), mean_bits(healthy))
