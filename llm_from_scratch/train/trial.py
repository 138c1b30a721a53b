# Generated from chapters/09_meaning_and_place.md by `make export`. Do not edit.
"""A small, deterministic way to train a byte model, for experiments.

The trainer of real runs is another; this one fits on two pages.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from llm_from_scratch.corpus.documents import Document, documents

__all__ = [
    "Trial",
    "byte_stream",
    "train_trial",
    "trial_batch",
    "trial_bits",
]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a run of `train_trial` costs and how it learns."""

    steps: int
    batch_size: int = 16
    context: int = 128
    lr: float = 2e-3
    warmup: int = 20
    weight_decay: float = 0.1


def byte_stream(source: str, split: str, limit: int) -> UInt8[Tensor, " n"]:
    """The first `limit` bytes of shuffled documents, each ended by a zero.

    The order is fixed. ValueError if the source holds fewer bytes.
    """
    found = documents(source, split=split)
    texts = [d.text.encode() for d in found if isinstance(d, Document)]
    order = np.random.default_rng(0).permutation(len(texts))
    data = bytearray()
    for i in order:
        data += texts[i] + b"\0"
        if len(data) >= limit:
            return torch.frombuffer(data, dtype=torch.uint8)[:limit].clone()
    raise ValueError(
        f"{source!r} ({split}) has {len(data)} bytes, fewer than {limit}"
    )


def trial_batch(
    data: UInt8[Tensor, " n"],
    batch_size: int,
    context: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Random windows of `data` and, for each byte, the byte after it."""
    if len(data) <= context:
        raise ValueError(
            f"{len(data)} bytes hold no window of {context} and a next byte"
        )
    windows = data.unfold(0, context + 1, 1)
    at = torch.randint(len(windows), (batch_size,), generator=generator)
    ids = windows[at].long()
    return ids[:, :-1], ids[:, 1:]


def train_trial(
    model: nn.Module, data: UInt8[Tensor, " n"], trial: Trial, seed: int
) -> Float[np.ndarray, " steps"]:
    """Train `model` (ids -> logits) in place; return each step's bits per byte.

    AdamW with weight decay on matrices, linear warm-up, linear decay to
    zero, gradients clipped to norm 1. `seed` fixes the batches; the caller
    seeds the model.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = list(model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in weights if p.dim() > 1]},
        {"params": [p for p in weights if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, betas=(0.9, 0.95), weight_decay=trial.weight_decay, fused=True
    )
    curve = np.empty(trial.steps)
    for step in range(trial.steps):
        rise = (step + 1) / max(1, trial.warmup)
        fall = (trial.steps - step) / max(1, trial.steps - trial.warmup)
        for group in optimizer.param_groups:
            group["lr"] = trial.lr * min(1, rise, fall)
        batch = trial_batch(data, trial.batch_size, trial.context, generator)
        x, y = (ids.to(weights[0].device) for ids in batch)
        loss = F.cross_entropy(model(x).flatten(0, 1).float(), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        curve[step] = loss.item() / math.log(2)
    return curve


@torch.no_grad()
def trial_bits(
    model: nn.Module,
    data: UInt8[Tensor, " n"],
    context: int,
    windows: int = 64,
) -> float:
    """Mean bits per byte on `windows` windows spread evenly over `data`.

    Each window starts from nothing, so the score depends on `context`:
    compare only scores of one context.
    """
    if len(data) <= context:
        raise ValueError(
            f"{len(data)} bytes hold no window of {context} and a next byte"
        )
    device = next(model.parameters()).device
    last = len(data) - context - 1
    # In float32 the end of many millions may be rounded up, past the last.
    at = torch.linspace(0, last, windows).long().clamp(max=last)
    ids = data.unfold(0, context + 1, 1)[at].long().to(device)
    total = 0.0
    for part in ids.split(16):
        logits = model(part[:, :-1]).flatten(0, 1).float()
        total += F.cross_entropy(
            logits, part[:, 1:].flatten(), reduction="sum"
        ).item()
    return total / (windows * context * math.log(2))
