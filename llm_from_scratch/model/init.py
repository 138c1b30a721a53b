# Generated from chapters/11_the_block.md by `make export`. Do not edit.
"""Weights to begin with: a scale for each matrix, from width and depth."""

import torch
from torch import Tensor, nn

from llm_from_scratch.model.embedding import Embedding, Linear
from llm_from_scratch.model.layers import RMSNorm

__all__ = [
    "RESIDUAL_OUTPUTS",
    "init_weights",
]


RESIDUAL_OUTPUTS = ("o_proj", "down_proj")  # added to the residual stream


@torch.no_grad()
def init_weights(
    module: nn.Module,
    num_layers: int,
    *,
    generator: torch.Generator | None = None,
    embedding_std: float | None = None,
) -> None:
    """Draw all weights anew, each matrix by its fan-in and place.

    Linear: normal of std 1/sqrt(in), cut at 3 std; over sqrt(2 L) if its
    output is added to the stream. Embedding: std 1, since a one-hot input
    has one entry; 1/sqrt(C) if a head shares it; or `embedding_std`.
    Norms: ones; biases: zeros. The generator is on the weights' device.
    Source: radford2019language.
    """
    if num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, got {num_layers}")
    parts = dict(module.named_modules())
    linear = {n: m for n, m in parts.items() if isinstance(m, Linear)}
    shared = {id(m.weight) for m in linear.values()}
    for part in parts.values():
        if isinstance(part, Embedding):
            tied = id(part.weight) in shared
            natural = part.weight.shape[1] ** -0.5 if tied else 1.0
            std = natural if embedding_std is None else embedding_std
            nn.init.normal_(part.weight, 0.0, std, generator)
            shared.discard(id(part.weight))
        elif isinstance(part, RMSNorm):
            nn.init.ones_(part.weight)
    for name, part in linear.items():
        if id(part.weight) in shared:
            last = name.rpartition(".")[2]
            depth = 2 * num_layers if last in RESIDUAL_OUTPUTS else 1
            _draw(part, (part.weight.shape[1] * depth) ** -0.5, generator)


def _draw(part: Linear, std: float, generator: torch.Generator | None) -> None:
    """Normal weights without the tails beyond 3 std, and a bias of zero."""
    cut = 3 * std
    nn.init.trunc_normal_(part.weight, 0.0, std, -cut, cut, generator)
    if part.bias is not None:
        nn.init.zeros_(part.bias)
