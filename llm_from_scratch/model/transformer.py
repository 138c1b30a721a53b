# Generated from chapters/12_the_whole_model.md by `make export`. Do not edit.
"""The whole decoder: token ids in, logits of the next token out.

Axes: B batch, T tokens, C width, V vocabulary.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llm_from_scratch.model.attention import Cache
from llm_from_scratch.model.block import TransformerBlock
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.embedding import Embedding, Linear
from llm_from_scratch.model.init import init_weights
from llm_from_scratch.model.layers import RMSNorm
from llm_from_scratch.model.rope import RotaryEmbedding

__all__ = [
    "Decoder",
    "TransformerLM",
    "check_weights",
]


class Decoder(nn.Module):
    """All but the head: embedding, blocks, final norm, and RoPE's tables."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            TransformerBlock(
                config.hidden_size,
                config.intermediate_size,
                config.num_attention_heads,
                config.num_key_value_heads,
                config.head_dim,
                rms_norm_eps=config.rms_norm_eps,
                qk_norm=config.qk_norm,
                layer_index=i,
            )
            for i in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary = RotaryEmbedding(
            config.head_dim,
            config.rope_theta,
            config.max_position_embeddings,
        )


class TransformerLM(nn.Module):
    """A decoder-only language model whose state dict is that of HF's Llama.

    Ids (B, T) in, logits (B, T, V) out: at place t, of the token at t + 1.
    A tied head is the embedding's own Parameter. `generator` makes the
    initial weights reproducible. Sources: vaswani2017attention,
    touvron2023llama.
    """

    def __init__(
        self, config: ModelConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self.tie_weights()
        init_weights(self, config.num_hidden_layers, generator=generator)
        if not config.tie_word_embeddings:  # logits near 0: a loss of ln V
            std = 1 / config.hidden_size
            nn.init.normal_(self.lm_head.weight, std=std, generator=generator)

    def tie_weights(self) -> None:
        """Make the head's weight the embedding's, if the config says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        *,
        cache: Cache | None = None,
        positions: Int[Tensor, "..."] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T V"]:
        hidden = self.hidden_states(
            input_ids, cache=cache, positions=positions, mask=mask
        )
        return self.lm_head(hidden)

    def hidden_states(
        self,
        input_ids: Int[Tensor, "B T"],
        *,
        cache: Cache | None = None,
        positions: Int[Tensor, "..."] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T C"]:
        """What the head reads: the residual stream after the final norm.

        `positions` (T) or (B, T) default to those after the cache's.
        `mask`, True = attend, is (T, S) or (B, 1, T, S) and stands in for
        the causal one, so it must contain it. ValueError, before any
        computation, for ids that are no (B, T) integers on the model's
        device, places that do not fit, and, with T > 1, mixed weights.
        """
        _check_input(self, input_ids)
        positions = _places(self, input_ids, cache, positions)
        x = self.model.embed_tokens(input_ids)
        rotation = self.model.rotary.tables(positions, x.dtype)
        for layer in self.model.layers:
            x = layer(x, rotation, mask, cache)
        return self.model.norm(x)


def _places(
    model: TransformerLM,
    input_ids: Tensor,
    cache: Cache | None,
    given: Tensor | None,
) -> Int[Tensor, "*B T"]:
    """Places of new tokens: as given, or those that follow the cache."""
    if given is not None:
        if given.shape[-1:] != input_ids.shape[1:]:
            raise ValueError(
                f"positions {tuple(given.shape)} do not number the "
                f"{input_ids.shape[1]} tokens of each text"
            )
        return given
    if cache is not None and not hasattr(cache, "length"):
        raise ValueError(
            "the cache does not say how many tokens it holds: give it a "
            "`length`, or give `positions`"
        )
    past, new = int(getattr(cache, "length", 0)), input_ids.shape[1]
    limit = model.config.max_position_embeddings
    if past + new > limit:
        raise ValueError(
            f"{past} tokens in the cache and {new} new ones need "
            f"{past + new} places, this model has {limit} "
            "(max_position_embeddings): shorten the text"
        )
    return torch.arange(past, past + new, device=input_ids.device)


def _check_input(model: TransformerLM, input_ids: Tensor) -> None:
    """ValueError for inputs and weights that do not go together."""
    whole = input_ids.dtype in (torch.int64, torch.int32)
    if input_ids.dim() != 2 or not whole:
        raise ValueError(
            "input_ids must be int64 or int32 and (B, T), got "
            f"{input_ids.dtype} and {tuple(input_ids.shape)}"
        )
    device = model.model.embed_tokens.weight.device
    if input_ids.device != device:
        raise ValueError(
            f"input_ids are on {input_ids.device}, the model is on {device}: "
            f'call input_ids.to("{device}")'
        )
    # One new token a time comes after a prompt, which was checked.
    if input_ids.shape[1] != 1 and not torch.compiler.is_compiling():
        check_weights(model)


def check_weights(model: nn.Module) -> None:
    """ValueError if two weights differ in device or in dtype."""
    first, kind = "", None
    for name, weight in model.named_parameters():
        this = weight.device, weight.dtype
        if kind is None:
            first, kind = name, this
        elif this != kind:
            raise ValueError(
                f"{name} is {this[1]} on {this[0]}, but {first} is "
                f"{kind[1]} on {kind[0]}: call model.to(...) on the whole model"
            )
