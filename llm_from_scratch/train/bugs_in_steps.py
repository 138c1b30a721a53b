# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""Bugs between the loss and the next step: gradient, update, state."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from llm_from_scratch.data.batch import IGNORED, Batch
from llm_from_scratch.train.cage import bug, micro_batches, micro_rows
from llm_from_scratch.train.parts import Parts

__all__: list[str] = []


@bug(
    "mean-of-means",
    "each micro-batch weighs the same, however few targets it has",
    check="accumulation",
    source="transformers24725",
)
def _mean_of_means(parts: Parts) -> Parts:
    def backward(parts: Parts, batch: Batch) -> tuple[Tensor, int]:
        pieces = list(micro_batches(parts, batch))
        total = torch.zeros((), device=batch.input_ids.device)
        for piece in pieces:
            counted = (piece.targets != IGNORED).sum().clamp(min=1)
            mean = parts.loss(parts.model, piece) / counted / len(pieces)
            mean.backward()
            total += mean.detach()
        return total, int((batch.targets != IGNORED).sum())

    return replace(parts, backward=backward)


@bug(
    "last-micro-batch",
    "gradients are reset inside the loop that adds them up",
    check="accumulation",
    source="alpacafarm57",
)
def _last_micro_batch(parts: Parts) -> Parts:
    def backward(parts: Parts, batch: Batch) -> tuple[Tensor, int]:
        counted = int((batch.targets != IGNORED).sum())
        total = torch.zeros((), device=batch.input_ids.device)
        for piece in micro_batches(parts, batch):
            parts.zero_grad(parts.optimizer)
            mean = parts.loss(parts.model, piece) / counted
            mean.backward()
            total += mean.detach()
        return total, counted

    return replace(parts, backward=backward)


@bug(
    "no-zero-grad",
    "the gradients of all steps are added up",
    check="fresh",
    source="transformers340",
)
def _no_zero_grad(parts: Parts) -> Parts:
    return replace(parts, zero_grad=lambda optimizer: None)


@bug(
    "clipped-before-unscaling",
    "gradients are clipped while they carry a loss scale of 2^16",
    check="clip",
    source="lightning9330",
)
def _clipped_before_unscaling(parts: Parts) -> Parts:
    clip, scale = parts.clip, 2.0**16

    def early(parts: Parts) -> Tensor:
        grads = [p.grad for p in parts.model.parameters() if p.grad is not None]
        torch._foreach_mul_(grads, scale)
        norm = clip(parts)
        torch._foreach_div_(grads, scale)
        return norm / scale

    return replace(parts, clip=early)


@bug(
    "orphaned-layer",
    "a layer was replaced after the optimizer had its list of weights",
    check="moves",
    source="nncf327",
)
def _orphaned_layer(parts: Parts) -> Parts:
    layer = parts.model.get_submodule("model.layers.0.mlp")
    for part in layer.children():
        old: Any = part.weight
        part.weight = nn.Parameter(old.detach().clone())
    return parts


@bug(
    "decayed-norms",
    "weight decay pulls on norms and embeddings, too",
    check="decay",
    source="transformers35927",
)
def _decayed_norms(parts: Parts) -> Parts:
    for group in parts.optimizer.param_groups:
        group["weight_decay"] = parts.config.weight_decay
    return parts


@bug(
    "bf16-weights",
    "the weights themselves are bfloat16: small steps round to nothing",
    check="moves",
    source="mlbyhand85",
)
def _bf16_weights(parts: Parts) -> Parts:
    for p in parts.model.parameters():
        p.data = p.data.bfloat16()
    return parts


@bug(
    "hasty-schedule",
    "the schedule is moved on by every micro-batch",
    check="schedule",
    source="starvla210",
)
def _hasty_schedule(parts: Parts) -> Parts:
    config, schedule = parts.config, parts.schedule
    times = config.batch_size // micro_rows(parts, config.batch_size)

    def hasty(step: int) -> float:
        return schedule(min(config.steps, times * step))

    return replace(parts, schedule=hasty)


@bug(
    "forgotten-moments",
    "a resumed run begins with an empty optimizer",
    check="resume",
    source="lightning2613",
)
def _forgotten_moments(parts: Parts) -> Parts:
    restore = parts.restore

    def forgetful(parts: Parts, state: Mapping[str, Any]) -> int:
        step = restore(parts, state)
        parts.optimizer.state.clear()
        return step

    return replace(parts, restore=forgetful)
