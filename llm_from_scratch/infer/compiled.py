# Generated from chapters/appendix_speed.md by `make export`. Do not edit.
"""A decoder whose shapes never change, compiled for one batch and length.

Axes: B batch, T tokens of a call, S all tokens there is room for.
"""

import copy
import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llm_from_scratch.infer.generation import EndTokens, Sampling, with_room

__all__ = [
    "CPU_OPTIONS",
    "CompiledDecoder",
    "StaticCache",
    "StaticDecoder",
    "compiled_step",
    "has_cpp_compiler",
    "static_mask",
]


@dataclass
class StaticCache:
    """Keys and values of all S places, written or not; a mask must choose.

    `update` writes T tokens at `slots` and returns everything there is.
    """

    keys: list[Float[Tensor, "B H S D"]]
    values: list[Float[Tensor, "B H S D"]]
    slots: Int[Tensor, " T"]

    def update(
        self, layer: int, k: Tensor, v: Tensor
    ) -> tuple[Float[Tensor, "B H S D"], Float[Tensor, "B H S D"]]:
        self.keys[layer].index_copy_(2, self.slots, k)
        self.values[layer].index_copy_(2, self.slots, v)
        return self.keys[layer], self.values[layer]


def static_mask(
    slots: Int[Tensor, " T"], starts: Int[Tensor, "B 1"], length: int
) -> Bool[Tensor, "B 1 T S"]:
    """Which places the tokens in `slots` may attend to; True = attend.

    From the first real token of each text, at `starts`, to the token itself.
    """
    places = torch.arange(length, device=slots.device)
    here = slots[:, None]  # (T, 1)
    known = (places <= here) & (places >= starts[:, :, None])  # (B, T, S)
    return (known | (places == here))[:, None]


class StaticDecoder:
    """A copy of a model, with room for so many texts of so many tokens.

    `logits` has the same shapes and reads the same memory in every call.
    ValueError if the model has not so many places.
    """

    def __init__(
        self,
        model: Any,
        batch_size: int,
        max_length: int,
        *,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        config = model.config
        limit = config.max_position_embeddings
        if batch_size < 1 or not 1 <= max_length <= limit:
            raise ValueError(
                f"a decoder for {batch_size} texts of {max_length} tokens; "
                f"need at least one text and 1 to {limit} tokens, which is "
                "max_position_embeddings"
            )
        self.model = copy.deepcopy(model).to(dtype).requires_grad_(False)
        self.batch_size, self.max_length = batch_size, max_length
        self.device = next(self.model.parameters()).device
        heads, width = config.num_key_value_heads, config.head_dim
        shape = (batch_size, heads, max_length, width)
        empty = torch.zeros(shape, dtype=dtype, device=self.device)
        layers = range(config.num_hidden_layers)
        self.keys = [empty.clone() for _ in layers]
        self.values = [empty.clone() for _ in layers]

    def logits(
        self,
        tokens: Int[Tensor, "B T"],
        slots: Int[Tensor, " T"],
        starts: Int[Tensor, "B 1"],
    ) -> Float[Tensor, "B V"]:
        """Write `tokens` into `slots`; return the logits after the last."""
        hidden = self.model.hidden_states(
            tokens,
            cache=StaticCache(self.keys, self.values, slots),
            positions=(slots - starts).clamp(min=0),
            mask=static_mask(slots, starts, self.max_length),
        )
        return self.model.lm_head(hidden[:, -1])


def has_cpp_compiler() -> bool:
    """Whether torch.compile will find the C++ compiler that it calls."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", usual)) is not None


CPU_OPTIONS = {"freezing": True, "cpp_wrapper": True}  # of torch._inductor


@torch.no_grad()
def compiled_step(decoder: StaticDecoder) -> Any:
    """Return `decoder.logits` compiled for one token, by calling it once."""
    device = decoder.device
    cpu = device.type == "cpu"
    if cpu and not has_cpp_compiler():
        warnings.warn(
            "no C++ compiler found, so tokens are made uncompiled, which is "
            "slower; install g++ or set CXX",
            stacklevel=3,
        )
        return decoder.logits
    step = torch.compile(decoder.logits, fullgraph=True, dynamic=False)
    token = torch.zeros(decoder.batch_size, 1, dtype=torch.long, device=device)
    with torch._inductor.config.patch(CPU_OPTIONS if cpu else {}):
        step(token, token.new_zeros(1), token.clone())
    return step


class CompiledDecoder(StaticDecoder):
    """Generates for exactly `batch_size` texts of up to `max_length` tokens.

    Holds a copy of the model in `dtype`, whose weights become constants of
    one compiled function: later changes of the model do not reach it. That
    function is made here, in half a minute or less, for the number of
    threads set now. Without a C++ compiler it warns and runs uncompiled.
    """

    def __init__(
        self,
        model: Any,
        batch_size: int,
        max_length: int,
        *,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(model, batch_size, max_length, dtype=dtype)
        self.step = compiled_step(self)

    @torch.no_grad()
    def generate(
        self,
        input_ids: Int[Tensor, "B T"],
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        eos_token_id: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        attention_mask: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "B S"]:
        """Continue each prompt, as `generate` does, with its arguments."""
        choose = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        ends = EndTokens(eos_token_id, pad_token_id, input_ids)
        ids, real = with_room(
            input_ids, attention_mask, max_new_tokens, self.max_length
        )
        if len(ids) != self.batch_size:
            raise ValueError(
                f"{len(ids)} prompts for a decoder of {self.batch_size}; "
                "make one for this batch size"
            )
        starts = ids.new_zeros(len(ids), 1)
        if real is not None:
            starts = (~real).sum(1, keepdim=True)
        length = input_ids.shape[1]
        slots, run = torch.arange(length, device=ids.device), self.logits
        for end in range(length, ids.shape[1]):
            token = choose(run(ids[:, slots], slots, starts), generator)
            ids[:, end] = ends(token)
            if ends.all_met():
                return ids[:, : end + 1]
            slots, run = slots.new_tensor([end]), self.step
        return ids
