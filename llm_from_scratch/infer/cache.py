# Generated from chapters/appendix_speed.md by `make export`. Do not edit.
"""Memory of keys and values, and what left-padded batches need.

Axes: B batch, T new tokens, S all tokens so far, H key-value heads, D width
of a head.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llm_from_scratch.model.config import ModelConfig

__all__ = [
    "KVCache",
    "padded_mask",
    "padded_positions",
]


class KVCache:
    """Keys and values of all tokens so far, in memory taken once.

    `update` writes the T new ones of a layer behind the `length` old ones
    and returns views of all S = length + T, each (B, H, S, D). The length
    moves on when the last layer has written. ValueError if they do not fit.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int,
        max_length: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        if batch_size < 0 or max_length < 1:
            raise ValueError(
                f"a cache for {batch_size} texts of {max_length} tokens; need "
                "batch_size of at least 0 and max_length of at least 1"
            )
        layers, heads = config.num_hidden_layers, config.num_key_value_heads
        shape = (layers, batch_size, heads, max_length, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    @classmethod
    def like(cls, model: Any, batch_size: int, max_length: int) -> "KVCache":
        """Make one for a model, in the dtype and on the device it has."""
        weight = next(model.parameters())
        config, dtype = model.config, weight.dtype
        return cls(
            config, batch_size, max_length, dtype=dtype, device=weight.device
        )

    @property
    def max_length(self) -> int:
        """How many tokens of each text there is room for."""
        return self.keys.shape[3]

    def update(
        self,
        layer: int,
        k: Float[Tensor, "B H T D"],
        v: Float[Tensor, "B H T D"],
    ) -> tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]:
        old, new = self.length, self.length + k.shape[2]
        room = self.keys[layer]
        if new > self.max_length or len(k) != len(room):
            raise ValueError(
                f"{k.shape[2]} tokens for each of {len(k)} texts do not fit: "
                f"the cache holds {old} of {self.max_length} tokens for "
                f"{len(room)} texts; make a larger one, or reset it"
            )
        self.keys[layer, :, :, old:new] = k
        self.values[layer, :, :, old:new] = v
        if layer == len(self.keys) - 1:
            self.length = new
        return self.keys[layer, :, :, :new], self.values[layer, :, :, :new]

    def reset(self) -> None:
        """Forget every token; the memory stays."""
        self.length = 0


def padded_positions(
    real: Bool[Tensor, "B S"], num_new: int
) -> Int[Tensor, "B T"]:
    """Places of the last `num_new` tokens, counted from each first real one.

    Padding in front gets place 0; nobody reads what is computed there.
    """
    places = real.long().cumsum(-1) - 1
    return places.clamp(min=0)[:, real.shape[1] - num_new :]


def padded_mask(
    real: Bool[Tensor, "B S"], num_new: int
) -> Bool[Tensor, "B 1 T S"]:
    """Which of S tokens the last `num_new` may attend to; True = attend.

    The past and the token itself, without padding. Padding sees itself, as a
    row of a softmax without any entry would be NaN.
    """
    s = torch.arange(real.shape[1], device=real.device)
    t = s[real.shape[1] - num_new :, None]  # (T, 1)
    return (((s <= t) & real[:, None]) | (s == t))[:, None]
