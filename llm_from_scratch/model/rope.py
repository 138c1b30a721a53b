# Generated from chapters/09_meaning_and_place.md by `make export`. Do not edit.
"""Place as an angle: rotary position embedding, and the sinusoids before it.

Half-split layout as in Hugging Face files: component j turns with j + D/2.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from llm_from_scratch.model.embedding import check_range

__all__ = [
    "RotaryEmbedding",
    "apply_rotary",
    "half_to_interleaved",
    "interleaved_to_half",
    "rope_frequencies",
    "sinusoidal_positions",
]


def rope_frequencies(
    head_dim: int, theta: float = 10000.0, *, device: Any = None
) -> Float[Tensor, " half"]:
    """Radians per place of each pair: theta ** (-2j / head_dim).

    Computed in float32, step by step as `transformers` does, so that tables
    agree to the last bit. ValueError if head_dim is odd or not positive, or
    theta is not positive. Source: su2021roformer.
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(
            f"head_dim must be even and positive, to be cut in pairs; "
            f"got {head_dim}"
        )
    if not theta > 0:
        raise ValueError(f"theta must be positive, got {theta}")
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device)
    return 1.0 / theta ** (pairs / head_dim)


def sinusoidal_positions(
    max_seq_len: int, dim: int
) -> Float[Tensor, "max_seq_len dim"]:
    """Sines (even columns) and cosines (odd) of each place, to be added.

    Columns 2j and 2j+1 turn by 10000 ** (-2j / dim) radians per place.
    ValueError if dim is odd. Source: vaswani2017attention.
    """
    freq = rope_frequencies(dim).double()
    angles = torch.arange(max_seq_len).double()[:, None] * freq
    pairs = torch.stack((angles.sin(), angles.cos()), dim=-1)
    return pairs.flatten(1).float()


def interleaved_to_half(
    x: Float[Tensor, "..."], head_dim: int, dim: int = 0
) -> Float[Tensor, "..."]:
    """Reorder pairs (2j, 2j+1) of each head to (j, j + head_dim/2).

    `dim` is the axis of heads times head_dim: 0, the rows, for the weight or
    bias of a query or key projection; -1 for vectors. ValueError if the axis
    is no multiple of an even head_dim.
    """
    return _reorder(x, head_dim, dim, (-1, 2))


def half_to_interleaved(
    x: Float[Tensor, "..."], head_dim: int, dim: int = 0
) -> Float[Tensor, "..."]:
    """Undo `interleaved_to_half`."""
    return _reorder(x, head_dim, dim, (2, -1))


def _reorder(
    x: Tensor, head_dim: int, dim: int, grid: tuple[int, int]
) -> Tensor:
    size = x.shape[dim]
    if head_dim < 2 or head_dim % 2 or size % head_dim:
        raise ValueError(
            f"axis {dim} of {size} is not made of heads of even width; "
            f"got head_dim {head_dim}"
        )
    order = torch.arange(head_dim).view(grid).T.flatten()
    starts = torch.arange(0, size, head_dim)
    index = (starts[:, None] + order).flatten().to(x.device)
    return x.index_select(dim, index)


def apply_rotary(
    x: Float[Tensor, "*B T D"],
    cos: Float[Tensor, "*P T half"],
    sin: Float[Tensor, "*P T half"],
) -> Float[Tensor, "*B T D"]:
    """Turn each pair (j, j + D/2) of x by the angle of its place.

    cos and sin come from `RotaryEmbedding.tables`; their leading axes stand
    for the first axes of x, and what is missing before T broadcasts (heads).
    Products are in x's dtype, as in `transformers`. ValueError if the widths
    do not fit.
    """
    if 2 * cos.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"tables of {cos.shape[-1]} angles turn {2 * cos.shape[-1]} "
            f"components, but x has {x.shape[-1]}"
        )
    if cos.dim() > 2:
        gap = (1,) * (x.dim() - cos.dim())
        shape = (*cos.shape[:-2], *gap, *cos.shape[-2:])
        cos, sin = cos.view(shape), sin.view(shape)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class RotaryEmbedding(nn.Module):
    """Cosines and sines of all places, and the rotation by them.

    `tables(positions)` is meant to be called once per forward pass and shared
    by all layers. The tables are float32 whatever the model is cast to, and
    are not saved. ValueError for a position outside [0, max_seq_len), as
    `check_range` finds it. Source: su2021roformer.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        head_dim: int,
        theta: float = 10000.0,
        max_seq_len: int = 2048,
        *,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.head_dim, self.theta = head_dim, theta
        self.max_seq_len = max_seq_len
        self._fill(device)

    def _fill(self, device: torch.device | str | None) -> None:
        freq = rope_frequencies(self.head_dim, self.theta, device=device)
        places = torch.arange(self.max_seq_len, device=freq.device)
        angles = places[:, None].float() * freq  # (max_seq_len, half)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def _apply(
        self, fn: Callable[..., Any], recurse: bool = True
    ) -> "RotaryEmbedding":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._fill(self.cos.device)  # moved, but never cast nor left empty
        return self

    def tables(
        self,
        positions: Int[Tensor, "*P T"],
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Float[Tensor, "*P T half"], Float[Tensor, "*P T half"]]:
        """Cosines and sines of the angles at these positions."""
        if not torch.compiler.is_compiling():
            check_range(positions, self.max_seq_len, "position")
        cos = F.embedding(positions, self.cos).to(dtype)
        return cos, F.embedding(positions, self.sin).to(dtype)

    def forward(
        self, x: Float[Tensor, "*B T D"], positions: Int[Tensor, "*P T"]
    ) -> Float[Tensor, "*B T D"]:
        return apply_rotary(x, *self.tables(positions, x.dtype))
