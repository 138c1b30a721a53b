# Generated from chapters/11_the_block.md by `make export`. Do not edit.
"""Weights to begin with: a scale for each matrix, from width and depth."""

import torch
from llm_from_scratch.model.embedding import Embedding, Linear
from llm_from_scratch.model.layers import RMSNorm
from torch import Tensor, nn

__all__ = [
    "RESIDUAL_OUTPUTS",
    "init_weights",
]


RESIDUAL_OUTPUTS = ("o_proj", "down_proj")  # their output is added to x


@torch.no_grad()
def init_weights(
    module: nn.Module,
    num_layers: int,
    *,
    generator: torch.Generator | None = None,
    embedding_std: float = 0.02,
) -> None:
    """Draw all weights anew: matrices by fan-in, embeddings by a fixed std.

    Linear: normal of std 1/sqrt(in), cut at 3 std; over sqrt(2 L) if what
    it computes is added to the residual stream. Embedding, and a head tied
    to it: normal of `embedding_std`. Norms: ones. Biases: zeros. The
    generator lives on the weights' device. Source: radford2019language.
    """
    if num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, got {num_layers}")
    embeddings = [m for m in module.modules() if isinstance(m, Embedding)]
    for part in embeddings:
        nn.init.normal_(part.weight, std=embedding_std, generator=generator)
    tied = {id(part.weight) for part in embeddings}
    for name, part in module.named_modules():
        if isinstance(part, RMSNorm):
            nn.init.ones_(part.weight)
        elif isinstance(part, Linear) and id(part.weight) not in tied:
            std = part.weight.shape[1] ** -0.5
            if name.rpartition(".")[2] in RESIDUAL_OUTPUTS:
                std /= (2 * num_layers) ** 0.5
            _truncated_normal(part.weight, std, generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _truncated_normal(
    weight: Tensor, std: float, generator: torch.Generator | None
) -> None:
    """Fill in place from a normal whose tails beyond 3 std are cut off."""
    cut = 3 * std
    nn.init.trunc_normal_(weight, 0.0, std, -cut, cut, generator)
