# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""Bugs in the function that is trained: attention, places, head, loss.

B batch, T places, H heads, D width of a head.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm_from_scratch.data.batch import IGNORED, Batch
from llm_from_scratch.model.attention import Attention, document_mask
from llm_from_scratch.model.rope import apply_rotary
from llm_from_scratch.train.cage import bug
from llm_from_scratch.train.parts import Parts

__all__ = [
    "attention_layers",
]


def attention_layers(model: nn.Module) -> list[Attention]:
    """The attention layers; ValueError if there is none to break."""
    found = [part for part in model.modules() if isinstance(part, Attention)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no Attention to break")
    return found


@bug(
    "no-causal-mask",
    "every token reads those that come after it",
    check="future",
    source="transformers48745",
)
def _no_causal_mask(parts: Parts) -> Parts:
    def open_up(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, rotation, mask, cache = args
        if mask is None:
            mask = x.new_ones(x.shape[1], x.shape[1], dtype=torch.bool)
        return x, rotation, mask | mask.mT, cache

    for layer in attention_layers(parts.model):
        layer.register_forward_pre_hook(open_up)
    return parts


@bug(
    "leaking-documents",
    "a token reads the documents before its own in the row",
    check="documents",
    source="profam495",
)
def _leaking_documents(parts: Parts) -> Parts:
    loss = parts.loss

    def leaking(model: nn.Module, batch: Batch) -> Tensor:
        return loss(model, replace(batch, document_ids=None))

    return replace(parts, loss=leaking)


@bug(
    "rotary-over-heads",
    "RoPE turns by the number of the head, not by the place",
    check="reference",
    source="openlm5",
)
def _rotary_over_heads(parts: Parts) -> Parts:
    rotary: Any = parts.model.get_submodule("model.rotary")

    def forget(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, _, mask, cache = args
        return x, None, mask, cache

    def turn(layer: nn.Module, args: Any, y: Tensor) -> Tensor:
        heads = y.unflatten(-1, (-1, rotary.head_dim))  # (B, T, H, D)
        numbers = torch.arange(heads.shape[2], device=y.device)
        tables = rotary.tables(numbers, y.dtype)
        return apply_rotary(heads, *tables).flatten(2)

    for layer in attention_layers(parts.model):
        layer.register_forward_pre_hook(forget)
        layer.q_proj.register_forward_hook(turn)
        layer.k_proj.register_forward_hook(turn)
    return parts


@bug(
    "wrong-attention-scale",
    "scores are divided by the root of the model's width, not the head's",
    check="reference",
    source="lecture6",
)
def _wrong_attention_scale(parts: Parts) -> Parts:
    for layer in attention_layers(parts.model):
        factor = (layer.head_dim / layer.q_proj.in_features) ** 0.5

        def shrink(
            part: nn.Module, args: Any, y: Tensor, factor: float = factor
        ) -> Tensor:
            return y * factor

        last = layer.q_norm if layer.q_norm is not None else layer.q_proj
        last.register_forward_hook(shrink)
    return parts


@bug(
    "untied-head",
    "the head is a copy of the embedding, made once",
    check="tied",
    source="raschka822",
)
def _untied_head(parts: Parts) -> Parts:
    head: Any = parts.model.get_submodule("lm_head")
    shared = head.weight
    head.weight = nn.Parameter(shared.detach().clone())
    for group in list(parts.optimizer.param_groups):
        if any(p is shared for p in group["params"]):
            options = {k: v for k, v in group.items() if k != "params"}
            added = {"params": [head.weight], **options}
            parts.optimizer.add_param_group(added)
    return parts


@bug(
    "softmax-twice",
    "the loss takes logits and is given probabilities",
    check="overfit",
    source="gcnqa32",
)
def _softmax_twice(parts: Parts) -> Parts:
    def loss(model: nn.Module, batch: Batch) -> Tensor:
        ids = batch.document_ids
        mask = None if ids is None else document_mask(ids)
        probabilities = model(batch.input_ids, mask=mask).softmax(-1)
        return F.cross_entropy(
            probabilities.flatten(0, 1).float(),
            batch.targets.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )

    return replace(parts, loss=loss)
