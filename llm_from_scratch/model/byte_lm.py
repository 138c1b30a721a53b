# Generated from chapters/01_predict_the_next_byte.md
# by `make export`. Do not edit.
"""A small neural model of the next byte, after Bengio's of the next word.

Axes: B examples, n bytes of context, 256 next bytes.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

__all__ = [
    "ByteMLP",
    "byte_lm_bits",
    "byte_lm_distribution",
    "byte_windows",
    "train_byte_lm",
]


class ByteMLP(nn.Module):
    """Logits of the next byte from the last `context` bytes.

    Each byte becomes a learned vector of `width` numbers; their row of
    context * width numbers goes through `depth` layers of `hidden` units,
    each layer after the first adding to what it was given.
    Source: bengio2003neural.
    """

    def __init__(
        self,
        context: int = 8,
        width: int = 16,
        hidden: int = 128,
        depth: int = 3,
    ) -> None:
        super().__init__()
        if min(context, width, hidden, depth) < 1:
            raise ValueError(
                "context, width, hidden and depth must be at least 1, got "
                f"{context}, {width}, {hidden}, {depth}"
            )
        self.context = context
        self.embed = nn.Embedding(256, width)
        self.first = nn.Linear(context * width, hidden)
        self.rest = nn.ModuleList(
            nn.Linear(hidden, hidden) for _ in range(depth - 1)
        )
        self.head = nn.Linear(hidden, 256)

    def forward(self, ids: Int[Tensor, "B n"]) -> Float[Tensor, "B 256"]:
        h = F.relu(self.first(self.embed(ids).flatten(1)))  # (B, hidden)
        for layer in self.rest:
            h = h + F.relu(layer(h))
        return self.head(h)


def byte_windows(
    data: bytes, context: int, history: bytes = b""
) -> UInt8[Tensor, "n window"]:
    """Each byte of `data` as the last of `context` + 1; zeros come first.

    A zero byte ends a document, so a text without history looks like one
    that begins after another.
    """
    before = (bytes(context) + history)[len(history) :]
    stream = torch.frombuffer(bytearray(before + data), dtype=torch.uint8)
    return stream.unfold(0, context + 1, 1)


@torch.no_grad()
def byte_lm_bits(
    model: ByteMLP, data: bytes, history: bytes = b""
) -> Float[np.ndarray, " n"]:
    """Bits of each byte of `data` given the bytes before it."""
    device = model.head.weight.device
    parts = []
    for window in byte_windows(data, model.context, history).split(8192):
        ids = window.to(device).long()
        loss = F.cross_entropy(model(ids[:, :-1]), ids[:, -1], reduction="none")
        parts.append(loss.double().cpu().numpy() / math.log(2))
    return np.concatenate(parts)


@torch.no_grad()
def byte_lm_distribution(
    model: ByteMLP, history: bytes
) -> Float[np.ndarray, "256"]:
    """Probabilities of all 256 next bytes after `history`."""
    window = byte_windows(b"\0", model.context, history)[:, :-1]
    logits = model(window.to(model.head.weight.device).long())[0]
    return logits.double().softmax(0).cpu().numpy()


def train_byte_lm(
    model: ByteMLP,
    data: bytes,
    *,
    steps: int,
    batch_size: int = 256,
    lr: float = 8e-3,
    generator: torch.Generator | None = None,
) -> Float[np.ndarray, " steps"]:
    """Lower the cross-entropy of random windows of `data`; return it in bits.

    AdamW, 50 steps of warm-up, then a cosine down to 2 % of `lr`.
    ValueError if `data` is empty.
    """
    if not data:
        raise ValueError("there is no byte to predict: data is empty")
    windows = byte_windows(data, model.context)
    device = model.head.weight.device
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01
    )
    losses = []
    for step in range(steps):
        wave = 0.5 + 0.5 * math.cos(math.pi * step / steps)
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1, (step + 1) / 50) * (0.02 + 0.98 * wave)
        at = torch.randint(len(windows), (batch_size,), generator=generator)
        ids = windows[at].to(device).long()
        loss = F.cross_entropy(model(ids[:, :-1]), ids[:, -1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / math.log(2))
    return np.array(losses)
