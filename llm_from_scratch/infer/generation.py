# Generated from chapters/appendix_speed.md by `make export`. Do not edit.
"""Text from a language model, token by token, for a whole batch.

Axes: B batch, T tokens of the prompts, S all tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llm_from_scratch.infer.cache import (
    KVCache,
    padded_mask,
    padded_positions,
)

__all__ = [
    "EndTokens",
    "Sampling",
    "generate",
    "next_logits",
    "next_token_probabilities",
    "pad_left",
    "real_tokens",
    "with_room",
]


def pad_left(
    prompts: Sequence[Sequence[int]], pad_id: int
) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """Stack prompts of different lengths, ends aligned; True = real token."""
    longest = max(map(len, prompts), default=0)
    rows = [[pad_id] * (longest - len(p)) + list(p) for p in prompts]
    lengths = torch.tensor([len(p) for p in prompts], dtype=torch.long)
    ids = torch.tensor(rows, dtype=torch.long).view(len(rows), longest)
    return ids, torch.arange(longest) >= longest - lengths[:, None]


def next_token_probabilities(
    logits: Float[Tensor, "B V"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "B V"]:
    """Distribution to draw from: softmax(logits / temperature), cut twice.

    `top_k` keeps the k likeliest, ties with the last of them included; of
    these `top_p` keeps the fewest that hold probability p or more, at
    least one. Source: holtzman2020curious.
    """
    scores = logits.float() / temperature
    if top_k is not None and top_k < scores.shape[-1]:
        last = scores.topk(top_k).values[:, -1:]
        scores = scores.masked_fill(scores < last, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, order = scores.sort(-1)  # the least likely first
        below = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
        below[:, -1] = False
        cut = below.scatter(1, order, below)
        scores = scores.masked_fill(cut, -torch.inf)
    return scores.softmax(-1)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is chosen: the likeliest if temperature is 0, or drawn.

    ValueError for settings that name no distribution.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(
                f"temperature is {self.temperature}; need a number from 0 up, "
                "where 0 takes the likeliest token"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(
                f"top_k is {self.top_k}; need at least 1, or None for all"
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(
                f"top_p is {self.top_p}; need more than 0 and at most 1"
            )

    def __call__(
        self,
        logits: Float[Tensor, "B V"],
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " B"]:
        """Choose one token for each row."""
        if self.temperature == 0 or not len(logits):
            return logits.float().argmax(-1)  # bfloat16's is slow
        p = next_token_probabilities(
            logits, self.temperature, self.top_k, self.top_p
        )
        return p.multinomial(1, generator=generator)[:, 0]


class EndTokens:
    """Puts padding behind the end of each row, and knows when all ended."""

    def __init__(
        self,
        eos_token_id: int | Sequence[int] | None,
        pad_token_id: int | None,
        like: Int[Tensor, "B T"],
    ) -> None:
        ends: list[int] = []
        if isinstance(eos_token_id, int):
            ends = [eos_token_id]
        elif eos_token_id is not None:
            ends = list(eos_token_id)
        self.ends = like.new_tensor(ends)
        self.pad = (ends or [0])[0] if pad_token_id is None else pad_token_id
        self.met = like.new_zeros(len(like), dtype=torch.bool)

    def __call__(self, token: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """Return the tokens of this step, padding where a row has ended."""
        if not len(self.ends):
            return token
        token = token.masked_fill(self.met, self.pad)
        self.met |= torch.isin(token, self.ends)
        return token

    def all_met(self) -> bool:
        """Whether nothing is left to say; waits for the device."""
        return bool(len(self.ends) and self.met.all())


def real_tokens(
    input_ids: Int[Tensor, "B T"], attention_mask: Tensor | None
) -> Bool[Tensor, "B T"] | None:
    """Which tokens are no padding, None if all; ValueError if unusable."""
    if attention_mask is None:
        return None
    real = attention_mask.bool()
    if real.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask is {tuple(real.shape)}, but input_ids is "
            f"{tuple(input_ids.shape)}; need the same shape"
        )
    if not real[:, -1].all() or (real[:, :-1] & ~real[:, 1:]).any():
        raise ValueError(
            "attention_mask has padding right of a token, or a row without "
            "any; pad on the left (pad_left does) and give each row a token"
        )
    return None if real.all() else real


def with_room(
    input_ids: Int[Tensor, "B T"],
    attention_mask: Tensor | None,
    num_new: int,
    limit: int,
) -> tuple[Int[Tensor, "B S"], Bool[Tensor, "B S"] | None]:
    """Prompts with room behind them, and what is real; ValueError if unfit."""
    batch, length = input_ids.shape
    if length < 1 or num_new < 0 or length + num_new > limit:
        raise ValueError(
            f"a prompt of {length} tokens and {num_new} new ones; need at "
            f"least one token, at least 0 new ones and at most {limit} in "
            "all, which is max_position_embeddings"
        )
    ids = input_ids.new_zeros(batch, length + num_new)
    ids[:, :length] = input_ids
    real = real_tokens(input_ids, attention_mask)
    if real is not None:
        real = torch.cat([real, real.new_ones(batch, num_new)], 1)
    return ids, real


def next_logits(
    model: Any,
    ids: Int[Tensor, "B S"],
    real: Bool[Tensor, "B S"] | None,
    cache: KVCache | None,
) -> Float[Tensor, "B V"]:
    """Logits of the token after `ids`; only what the cache lacks is run."""
    new = ids[:, 0 if cache is None else cache.length :]
    where: dict[str, Tensor] = {}
    if real is not None:
        num = new.shape[1]
        where["positions"] = padded_positions(real, num)
        where["mask"] = padded_mask(real, num)
    hidden = model.hidden_states(new, cache=cache, **where)
    return model.lm_head(hidden[:, -1])


@torch.no_grad()
def generate(
    model: Any,
    input_ids: Int[Tensor, "B T"],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_token_id: int | Sequence[int] | None = None,
    pad_token_id: int | None = None,
    use_cache: bool = True,
    attention_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "B S"]:
    """Continue each prompt by up to `max_new_tokens`; return all ids.

    Greedy at temperature 0, else drawn. A row that met `eos_token_id` gets
    `pad_token_id` (default: the end token) until all have. Prompts of
    different lengths are padded on the left, False in `attention_mask`.
    """
    choose = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    ends = EndTokens(eos_token_id, pad_token_id, input_ids)
    length, limit = input_ids.shape[1], model.config.max_position_embeddings
    ids, real = with_room(input_ids, attention_mask, max_new_tokens, limit)
    cache = KVCache.like(model, *ids.shape) if use_cache else None
    for end in range(length, ids.shape[1]):
        seen = None if real is None else real[:, :end]
        logits = next_logits(model, ids[:, :end], seen, cache)
        ids[:, end] = ends(choose(logits, generator))
        if ends.all_met():
            return ids[:, : end + 1]
    return ids
