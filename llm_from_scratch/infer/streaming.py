# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""Text from a language model, handed out while it is made."""

import codecs
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from llm_from_scratch.infer.cache import KVCache
from llm_from_scratch.infer.generation import Sampling, next_logits

__all__ = [
    "stream_text",
    "stream_tokens",
]


@torch.no_grad()
def stream_tokens(
    model: Any,
    prompt: Sequence[int],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_token_id: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Yield what `generate` would append to one prompt, token by token.

    Ends before `eos_token_id`. Where the model has no place left it goes on
    from the last half of them. ValueError for an empty prompt.
    """
    if not prompt or max_new_tokens < 0:
        raise ValueError(
            f"{len(prompt)} tokens and {max_new_tokens} new ones; need at "
            "least one token, and at least 0 new ones"
        )
    choose = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    limit = model.config.max_position_embeddings
    ids, device = list(prompt), next(model.parameters()).device
    cache = None
    for _ in range(max_new_tokens):
        if cache is None or cache.length >= limit:
            ids = ids if len(ids) <= limit else ids[-max(1, limit // 2) :]
            cache = KVCache.like(model, 1, limit)
        row = torch.tensor([ids], device=device)
        token = int(choose(next_logits(model, row, None, cache), generator))
        if token == eos_token_id:
            return
        yield token
        ids.append(token)


def stream_text(
    model: Any, tokenizer: Any, prompt: str, max_new_tokens: int, **how: Any
) -> Iterator[str]:
    """Yield the continuation of a text in pieces that are whole characters.

    `how` is what `stream_tokens` takes; the end of a text is known to it.
    """
    end = tokenizer.special_tokens.get("<|endoftext|>")
    ids = tokenizer.encode(prompt, allowed_special="none")
    start = ids if end is None else [end, *ids]
    decode = codecs.getincrementaldecoder("utf-8")("replace")
    tokens = stream_tokens(
        model, start, max_new_tokens, eos_token_id=end, **how
    )
    for token in tokens:
        if piece := decode.decode(tokenizer.decode_bytes([token])):
            yield piece
    if rest := decode.decode(b"", final=True):
        yield rest
