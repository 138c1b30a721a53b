# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""Checks of the function that is trained. B batch, T places."""

import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from llm_from_scratch.data.batch import IGNORED, Batch
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.train.cage import pick_rows
from llm_from_scratch.train.parts import Parts
from llm_from_scratch.train.reference import plain_nats
from llm_from_scratch.train.verdict import (
    Finding,
    check,
    counted_targets,
    tolerance,
    twin,
)

__all__ = [
    "moved_by",
]


def moved_by(
    parts: Parts,
    batch: Batch,
    keep: Bool[Tensor, "B T"],
    other: Bool[Tensor, "B T"],
) -> float:
    """How much other ids at `other` change the loss at `keep`, relatively."""
    ids, run = batch.input_ids, twin(parts)
    batch = replace(batch, targets=batch.targets.where(keep, IGNORED))
    changed = replace(batch, input_ids=ids.where(~other, ids.max() - ids))
    with torch.no_grad():
        before = run.loss(run.model, batch).item()
        after = run.loss(run.model, changed).item()
    return abs(after - before) / max(abs(before), 1e-9)


@check("future")
def _future(parts: Parts) -> Finding:
    """Does the loss of the first half stay if the second half changes?"""
    batch = parts.next_batch(0)
    places = torch.arange(batch.input_ids.shape[1])
    late = (places >= len(places) // 2).expand_as(batch.input_ids)
    late = late.to(batch.input_ids.device)
    moved = moved_by(parts, batch, ~late, late)
    told = f"another second half moves the loss of the first by {moved:.0e}"
    return moved <= tolerance(parts, 1e-6), told


@check("documents")
def _documents(parts: Parts) -> Finding:
    """Does a document's loss stay if its neighbors in the row change?"""
    for step in range(8):
        batch = parts.next_batch(step)
        owner = batch.document_ids
        if owner is None:
            return None, "rows are not divided into documents"
        last = owner == owner.amax(1, keepdim=True)
        if not last[owner >= 0].all():
            moved = moved_by(parts, batch, last, ~last)
            told = f"other neighbors move a document's loss by {moved:.0e}"
            return moved <= tolerance(parts, 1e-6), told
    return None, "no row holds two documents"


@check("start")
def _start(parts: Parts) -> Finding:
    """Before training, is the loss ln V, a guess, or not much above?"""
    if parts.optimizer.state:
        return None, "the run has begun"
    batch, run = parts.next_batch(0), twin(parts)
    with torch.no_grad():
        loss = run.loss(run.model, batch).item() / counted_targets(batch)
        size = run.model(batch.input_ids[:1, :2]).shape[-1]
    guess = math.log(size)
    told = f"first loss {loss:.2f} nats, a guess has {guess:.2f}"
    return guess - 0.25 < loss < guess + 1.5, told


@check("tied")
def _tied(parts: Parts) -> Finding:
    """Is a tied head the embedding itself?"""
    config = getattr(parts.model, "config", None)
    if not getattr(config, "tie_word_embeddings", False):
        return None, "the head is not tied"
    head: Any = parts.model.get_submodule("lm_head")
    table: Any = parts.model.get_submodule("model.embed_tokens")
    same = head.weight.data_ptr() == table.weight.data_ptr()
    told = "one tensor" if same else "two tensors"
    return same, f"embedding and head are {told}"


@check("reference")
def _reference(parts: Parts) -> Finding:
    """Is the loss that of the formulas, computed apart in float64?"""
    config = getattr(parts.model, "config", None)
    if not isinstance(config, ModelConfig) or parts.config.z_loss:
        return None, "no formulas are known for this model and loss"
    run, batch = twin(parts), pick_rows(parts.next_batch(0), slice(0, 2))
    with torch.no_grad():
        for name, p in run.model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                p.mul_(4)  # attention that chooses, or its errors are small
        ours = run.loss(run.model, batch).item()
        weights, owner = run.model.state_dict(), batch.document_ids
        nats = plain_nats(weights, config, batch.input_ids, owner)
        counts = batch.targets != IGNORED
        there = batch.targets.clamp(min=0)[..., None]
        theirs = nats.gather(-1, there)[..., 0][counts].sum().item()
    apart = abs(ours - theirs) / max(theirs, 1e-9)
    told = f"loss {ours:.3f}, by the formulas {theirs:.3f}"
    return apart <= tolerance(parts, 1e-5), told
