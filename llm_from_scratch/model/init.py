# Generated from chapters/11_the_block.md by `make export`. Do not edit.
"""Weights to begin with: a scale for each matrix, from width and depth."""

import torch
from torch import nn

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

    Linear: normal of std 1/sqrt(in), over sqrt(2 L) if its output is added
    to the stream. Embedding: std 1, since a one-hot input has one entry;
    1/sqrt(C) if a head shares it; or `embedding_std`. Norms: ones; biases:
    zeros. The generator is on the weights' device.
    Source: radford2019language.
    """
    if num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, got {num_layers}")
    matrices, embeddings = {}, []
    for name, part in module.named_modules():
        if isinstance(part, Linear):
            matrices[name] = part
        elif isinstance(part, Embedding):
            embeddings.append(part)
        elif isinstance(part, RMSNorm):
            nn.init.ones_(part.weight)
    _draw_embeddings(embeddings, matrices, embedding_std, generator)
    for name, part in matrices.items():
        last = name.rpartition(".")[2]
        depth = 2 * num_layers if last in RESIDUAL_OUTPUTS else 1
        _draw(part, (part.weight.shape[1] * depth) ** -0.5, generator)


def _draw_embeddings(
    embeddings: list[Embedding],
    matrices: dict[str, Linear],
    std: float | None,
    generator: torch.Generator | None,
) -> None:
    """Fill the embeddings, and take heads tied to them out of `matrices`."""
    for part in embeddings:
        tied = [n for n, m in matrices.items() if m.weight is part.weight]
        natural = part.weight.shape[1] ** -0.5 if tied else 1.0
        chosen = natural if std is None else std
        nn.init.normal_(part.weight, 0.0, chosen, generator)
        for name in tied:
            del matrices[name]


def _draw(part: Linear, std: float, generator: torch.Generator | None) -> None:
    """Normal weights without the tails beyond 3 std, and a bias of zero."""
    cut = 3 * std
    nn.init.trunc_normal_(part.weight, 0.0, std, -cut, cut, generator)
    if part.bias is not None:
        nn.init.zeros_(part.bias)
