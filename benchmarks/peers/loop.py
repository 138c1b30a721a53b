"""A training loop as nanoGPT writes it: random windows of one long file.

Written anew after train.py of github.com/karpathy/nanoGPT (MIT), with its
defaults except where a setting says otherwise: AdamW with betas of 0.9 and
0.95, decay of 0.1 on all matrices, the embedding among them, clipping at 1,
warm-up, and a cosine to a tenth of the peak.
"""

import contextlib
import math
from dataclasses import dataclass

import numpy as np
import torch

from peers.nanogpt import GPT


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """What nanoGPT's command line sets."""

    steps: int
    batch_size: int
    context: int
    lr: float
    warmup: int = 100
    final_fraction: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0
    bf16: bool = True
    compile: bool = True
    seed: int = 0


def get_batch(data, batch_size, context):
    """Windows that begin anywhere, drawn with replacement."""
    at = torch.randint(len(data) - context, (batch_size,))
    x = np.stack([data[i : i + context] for i in at.tolist()])
    y = np.stack([data[i + 1 : i + 1 + context] for i in at.tolist()])
    return tuple(torch.from_numpy(a.astype(np.int64)) for a in (x, y))


def get_lr(step, config):
    """Linear warm-up from almost nothing, then a cosine to the final share."""
    warmup = min(config.warmup, max(1, config.steps // 10))
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, config.steps - warmup))
    low = config.final_fraction
    return config.lr * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done)))


def make_gpt(sizes, seed):
    """A GPT of given sizes and seed."""
    torch.manual_seed(seed)
    return GPT(
        sizes["vocab"],
        sizes["context"],
        sizes["width"],
        sizes["layers"],
        sizes["heads"],
    )


def make_adamw(model, config):
    """Matrices decay, vectors do not; one fused kernel."""
    weights = list(model.parameters())
    return torch.optim.AdamW(
        [
            {"params": [p for p in weights if p.dim() > 1]},
            {
                "params": [p for p in weights if p.dim() < 2],
                "weight_decay": 0.0,
            },
        ],
        lr=config.lr,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=True,
    )


def train(model, data, config, after_step):
    """Train in place on the tokens `data`.

    `after_step(step, loss)` is called after each step, from 1 on.
    """
    torch.manual_seed(config.seed)
    optimizer = make_adamw(model, config)
    loss_of = torch.compile(model) if config.compile else model
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = get_lr(step, config)
        x, y = get_batch(data, config.batch_size, config.context)
        with (
            torch.autocast("cpu", torch.bfloat16)
            if config.bf16
            else contextlib.nullcontext()
        ):
            loss = loss_of(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        after_step(step + 1, loss.item())
