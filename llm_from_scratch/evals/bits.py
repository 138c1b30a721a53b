# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""Bits per byte on whole texts, each predicted from its first byte on.

Axes: N rows, T places, C width.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from llm_from_scratch.core import bits as units

__all__ = [
    "TextBits",
    "bits_per_byte",
    "span_bits",
    "windows",
]


@torch.no_grad()
def span_bits(
    model: Any,
    rows: Sequence[Sequence[int]],
    starts: Sequence[int],
    *,
    batch_tokens: int = 4096,
) -> Float[np.ndarray, " N"]:
    """Bits that the model pays for rows[i][starts[i]:], given what precedes.

    Rows are batched by length, at most `batch_tokens` places at a time with
    padding. ValueError if a span is empty or nothing precedes it.
    """
    for row, start in zip(rows, starts, strict=True):
        if not 1 <= start < len(row):
            raise ValueError(
                f"a row of {len(row)} tokens has no span that starts at "
                f"{start}; need at least one token before it and one in it"
            )
    found, mode = np.zeros(len(rows)), model.training
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    model.eval()
    try:
        while order:
            count = max(1, batch_tokens // (len(rows[order[0]]) - 1))
            some, order = order[:count], order[count:]
            found[some] = _batch_bits(
                model, [rows[i] for i in some], [starts[i] for i in some]
            )
    finally:
        model.train(mode)
    return found


def _batch_bits(
    model: Any, rows: list[Sequence[int]], starts: list[int]
) -> Float[np.ndarray, " N"]:
    """The same for one batch, the longest row first; padding counts not."""
    device, longest = model.lm_head.weight.device, len(rows[0])
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    counts = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        counts[i, start : len(row)] = True
    ids, counts = ids.to(device), counts[:, 1:].to(device)
    hidden = model.hidden_states(ids[:, :-1])[counts]  # (n, C)
    parts = []
    for h, target in zip(
        hidden.split(512), ids[:, 1:][counts].split(512), strict=True
    ):
        scores = model.lm_head(h).float().log_softmax(-1)
        parts.append(scores.gather(1, target[:, None])[:, 0])
    each = torch.zeros(counts.shape, dtype=torch.double, device=device)
    each[counts] = torch.cat(parts).double()
    return (each.sum(1) / -math.log(2)).cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class TextBits:
    """What a model pays for some texts: bits and bytes of each of them."""

    bits: Float[np.ndarray, " d"]
    bytes: Int[np.ndarray, " d"]
    tokens: int

    @property
    def per_byte(self) -> float:
        """All bits over all bytes."""
        return float(self.bits.sum() / self.bytes.sum())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Where the score would lie with other texts, by the bootstrap."""
        rng = np.random.default_rng(0)
        return units.bits_per_byte_interval(
            self.bits, self.bytes, rng, level=level
        )


def windows(
    length: int, context: int, overlap: int
) -> Iterator[tuple[int, int, int]]:
    """Yield (first input, first target that counts, end) over a text.

    Each target counts once. But for the first window, at least `overlap`
    tokens of the text precede what counts.
    """
    done = 0
    while done < length:
        start = max(0, done - overlap)
        stop = min(start + context, length)
        yield start, done, stop
        done = stop


def bits_per_byte(
    model: nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    context: int,
    overlap: int | None = None,
    end_token: str = "<|endoftext|>",
    batch_tokens: int = 4096,
) -> TextBits:
    """Bits per byte of UTF-8 of texts that the model sees from the start.

    Before it stands `end_token`, which closed another text in training;
    the end of a text is not charged. Longer texts are read in windows of
    `context` that repeat `overlap` tokens (default: half). ValueError for
    no texts, an empty one, bad sizes.
    """
    overlap = context // 2 if overlap is None else overlap
    if not 0 <= overlap < context:
        raise ValueError(f"need 0 <= overlap {overlap} < context {context}")
    if not texts or not all(texts):
        raise ValueError("need at least one text, and none of them empty")
    first = tokenizer.special_tokens[end_token]
    found = list(tokenizer.encode_documents(texts, allowed_special="none"))
    rows, starts, owner = [], [], []
    for number, ids in enumerate(found):
        line = [first, *ids.tolist()]
        for start, done, stop in windows(len(ids), context, overlap):
            rows.append(line[start : stop + 1])
            starts.append(done - start + 1)
            owner.append(number)
    costs = span_bits(model, rows, starts, batch_tokens=batch_tokens)
    sizes = np.array([len(text.encode()) for text in texts])
    bits = np.bincount(owner, costs, len(texts))
    return TextBits(bits=bits, bytes=sizes, tokens=sum(map(len, found)))
