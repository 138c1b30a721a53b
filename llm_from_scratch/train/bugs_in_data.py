# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""Bugs in what a run reads, for training and for its held-out score."""

from dataclasses import replace

import torch

from llm_from_scratch.data.batch import IGNORED, Batch
from llm_from_scratch.train.cage import bug, change_batches, micro_rows
from llm_from_scratch.train.parts import Parts

__all__: list[str] = []


@bug(
    "unshifted-targets",
    "the target of a token is the token itself",
    check="targets",
    source="mbart27517",
)
def _unshifted_targets(parts: Parts) -> Parts:
    def change(batch: Batch) -> Batch:
        same = batch.input_ids.where(batch.targets != IGNORED, IGNORED)
        return replace(batch, targets=same)

    return change_batches(parts, change, heldout=True)


@bug(
    "shifted-twice",
    "loader and loss both shift: the target is the token after the next",
    check="targets",
    source="jetmoe37830",
)
def _shifted_twice(parts: Parts) -> Parts:
    def change(batch: Batch) -> Batch:
        later = torch.full_like(batch.targets, IGNORED)
        later[:, :-1] = batch.targets[:, 1:]
        return replace(batch, targets=later)

    return change_batches(parts, change, heldout=True)


@bug(
    "padding-counted",
    "what fills up a row is a target like any other",
    check="padding",
    source="axolotl2227",
)
def _padding_counted(parts: Parts) -> Parts:
    def change(batch: Batch) -> Batch:
        filled = batch.targets.where(batch.targets != IGNORED, batch.input_ids)
        return replace(batch, targets=filled)

    return change_batches(parts, change, heldout=True)


@bug(
    "repeated-rows",
    "all workers read the same rows",
    check="coverage",
    source="magicdance55",
)
def _repeated_rows(parts: Parts) -> Parts:
    def change(batch: Batch) -> Batch:
        size = len(batch.input_ids)
        same = torch.arange(size, device=batch.input_ids.device)
        same %= micro_rows(parts, size)
        ids = batch.document_ids
        return Batch(
            batch.input_ids[same],
            batch.targets[same],
            None if ids is None else ids[same],
        )

    return change_batches(parts, change)


@bug(
    "restarted-loader",
    "every resumed run reads the data from the beginning",
    check="coverage",
    source="entrenar294",
)
def _restarted_loader(parts: Parts) -> Parts:
    read, period = parts.next_batch, max(1, parts.config.steps // 6)
    return replace(parts, next_batch=lambda step: read(step % period))


@bug(
    "seen-heldout",
    "one split was cut after a shuffle, the other before: they overlap",
    check="heldout",
    source="marin2700",
)
def _seen_heldout(parts: Parts) -> Parts:
    read, apart = parts.next_batch, max(1, parts.config.steps // 16)
    return replace(parts, heldout=lambda: [read(apart * i) for i in range(16)])
