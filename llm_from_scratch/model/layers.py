# Generated from chapters/11_the_block.md by `make export`. Do not edit.
"""What a block does to one token at a time: RMSNorm and SwiGLU.

Axes: ``...`` any leading axes, usually (B, T); C width; M hidden width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from llm_from_scratch.model.embedding import Linear

__all__ = [
    "RMSNorm",
    "SwiGLU",
    "silu",
    "swiglu_width",
]


class RMSNorm(nn.Module):
    """Scale each token's vector to a mean square of one, times a weight.

    y = weight * x / sqrt(mean(x**2) + eps), the mean over the last axis.
    (..., C) in, (..., C) out; squares and mean in float32 or wider, cast
    back to the dtype of x, then times the weight. `eps` is in units of
    x**2. ValueError if the last axis is not C. Source: zhang2019root.
    """

    def __init__(
        self,
        d: int,
        eps: float = 1e-6,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if d < 1 or eps < 0:
            raise ValueError(f"need d >= 1 and eps >= 0, got {d} and {eps}")
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d, device=device, dtype=dtype))

    def forward(self, x: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        if x.shape[-1] != self.weight.shape[0]:  # a width of 1 would broadcast
            raise ValueError(
                f"the last axis of x is {x.shape[-1]}, the norm was made "
                f"for {self.weight.shape[0]}"
            )
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean_square = wide.square().mean(-1, keepdim=True)  # (..., 1)
        normed = wide * torch.rsqrt(mean_square + self.eps)
        return self.weight * normed.to(x.dtype)

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


def silu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A gate that gates itself: x / (1 + exp(-x)), also called Swish.

    PyTorch's kernel: it keeps only x for the backward pass, and computes
    half precision inside in float32. Source: elfwing2018sigmoid.
    """
    return F.silu(x)


def swiglu_width(d_model: int, multiple_of: int = 64) -> int:
    """Hidden width that costs what a two-matrix layer of width 4C costs.

    Three C x M matrices match two of C x 4C at M = 8C/3, rounded up to
    `multiple_of` so that kernels work on full tiles. Source: shazeer2020glu.
    """
    if d_model < 1 or multiple_of < 1:
        raise ValueError(
            "d_model and multiple_of must be at least 1, got "
            f"{d_model} and {multiple_of}"
        )
    return -(-8 * d_model // (3 * multiple_of)) * multiple_of


class SwiGLU(nn.Module):
    """Gated feed-forward layer: down(silu(gate(x)) * up(x)), no biases.

    (..., C) in, (..., C) out. `d_ff` is M, `swiglu_width(C)` if None.
    3CM parameters, 6CM FLOPs a token forward. Source: shazeer2020glu.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        d_ff = swiglu_width(d_model) if d_ff is None else d_ff
        self.gate_proj = Linear(d_model, d_ff, device=device, dtype=dtype)
        self.up_proj = Linear(d_model, d_ff, device=device, dtype=dtype)
        self.down_proj = Linear(d_ff, d_model, device=device, dtype=dtype)

    def forward(self, x: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        h = silu(self.gate_proj(x)) * self.up_proj(x)  # (..., M)
        return self.down_proj(h)
