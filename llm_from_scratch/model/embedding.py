# Generated from chapters/09_meaning_and_place.md by `make export`. Do not edit.
"""The two ends of a model: token ids to vectors, vectors to logits.

Weights are stored as PyTorch stores them, one row for each output.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = [
    "Embedding",
    "Linear",
    "check_range",
]


class Linear(nn.Module):
    """y = x W^T (+ b): every output is a dot product with a row of W.

    Takes (..., in), returns (..., out); W is (out, in). W starts normal with
    standard deviation 1/sqrt(in), cut at three of them, so that outputs have
    the scale of the inputs; the bias starts at zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        empty = torch.empty(
            out_features, in_features, device=device, dtype=dtype
        )
        self.weight = nn.Parameter(empty)
        self.bias = (
            nn.Parameter(empty.new_zeros(out_features)) if bias else None
        )
        std = 1 / math.sqrt(max(1, in_features))
        nn.init.trunc_normal_(self.weight, std=std, a=-3 * std, b=3 * std)

    def forward(self, x: Float[Tensor, "... n"]) -> Float[Tensor, "... m"]:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return f"{self.in_features}, {self.out_features}"


class Embedding(nn.Module):
    """Row `id` of a learned table for each token id.

    Takes integers (...), returns (..., C). Rows start normal with standard
    deviation `std`. ValueError for an id outside [0, V) on the CPU and on
    "mps"; on CUDA, and in compiled code, the kernel's own check stops it,
    since looking would wait for the device.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        std: float = 0.02,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        empty = torch.empty(
            num_embeddings, embedding_dim, device=device, dtype=dtype
        )
        self.weight = nn.Parameter(empty)
        nn.init.normal_(self.weight, std=std)

    def forward(self, ids: Int[Tensor, "..."]) -> Float[Tensor, "... C"]:
        if not torch.compiler.is_compiling():
            check_range(ids, self.num_embeddings, "token id")
        return F.embedding(ids, self.weight)

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return f"{self.num_embeddings}, {self.embedding_dim}"


def check_range(ids: Int[Tensor, "..."], size: int, what: str) -> None:
    """ValueError for an index outside [0, size), on the CPU and on "mps".

    Tensors on other devices pass: their kernels look, and to look at one
    number here would make the program wait for the device.
    """
    if ids.device.type not in ("cpu", "mps") or ids.numel() == 0:
        return
    low, high = (int(x) for x in ids.aminmax())
    if low < 0 or high >= size:
        raise ValueError(
            f"{what} {low if low < 0 else high} is out of range: "
            f"there are {size}, numbered 0 to {size - 1}"
        )
