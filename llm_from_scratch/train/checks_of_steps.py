# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""Checks of gradient, update, schedule and state."""

import copy
import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llm_from_scratch.data.batch import IGNORED, Batch
from llm_from_scratch.train.cage import micro_rows, pick_rows
from llm_from_scratch.train.config import TrainConfig
from llm_from_scratch.train.parts import Parts, train_step
from llm_from_scratch.train.verdict import (
    Finding,
    check,
    counted_targets,
    tolerance,
    twin,
)

__all__ = [
    "all_gradients",
    "batch_gradient",
]


def all_gradients(parts: Parts) -> Float[Tensor, " n"]:
    """The gradients of all weights in a row, in float64."""
    return torch.cat(
        [
            (torch.zeros_like(p) if p.grad is None else p.grad).flatten()
            for p in parts.model.parameters()
        ]
    ).double()


def batch_gradient(parts: Parts, batch: Batch) -> Float[Tensor, " n"]:
    """The gradient of one batch, as a step of the run would make it."""
    parts.zero_grad(parts.optimizer)
    parts.backward(parts, batch)
    return all_gradients(parts)


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


@check("accumulation")
def _accumulation(parts: Parts) -> Finding:
    """Do micro-batches add up to the gradient of the whole batch's mean?"""
    batch = parts.next_batch(0)
    size, places = batch.input_ids.shape
    device = batch.input_ids.device
    few = torch.arange(places, device=device) % 8 == 0
    late = torch.arange(size, device=device) >= size // 2
    uneven = batch.targets.where(late[:, None] | few, IGNORED)
    batch = replace(batch, targets=uneven)
    config = replace(parts.config, micro_batch_size=micro_rows(parts, size))
    run = twin(parts, config=config, scaler=None)
    ours = batch_gradient(run, batch)
    run = twin(parts, scaler=None)
    run.model.zero_grad(set_to_none=True)
    mean = run.loss(run.model, batch) / counted_targets(batch)
    mean.backward()
    apart = _apart(ours, all_gradients(run))
    told = f"the gradient in parts is {apart:.0e} from that of the whole"
    return apart <= tolerance(parts, 1e-3), told


@check("fresh")
def _fresh(parts: Parts) -> Finding:
    """Does a step begin without the gradients of the last one?"""
    run, batch = twin(parts), parts.next_batch(0)
    first = batch_gradient(run, batch)
    apart = _apart(batch_gradient(run, batch), first)
    told = f"the same batch again gives a gradient {apart:.0e} away"
    return apart <= tolerance(parts, 1e-4), told


@check("clip")
def _clip(parts: Parts) -> Finding:
    """Is a long gradient cut to the limit, and a short one left alone?"""
    limit, told, passed = parts.config.clip_norm, [], True
    if not limit:
        return None, "the run does not clip"
    for length in (8.0, 0.5):
        run = twin(parts, scaler=None)
        before = float(batch_gradient(run, run.next_batch(0)).norm())
        for p in run.model.parameters():
            if p.grad is not None:
                p.grad.mul_(length * limit / before)
        run.clip(run)
        left = float(all_gradients(run).norm()) / limit
        passed &= abs(left - min(length, 1)) < 0.02
        told.append(f"{length:g} becomes {left:.2g}")
    return passed, "in units of the limit, " + " and ".join(told)


def _due(config: TrainConfig) -> float:
    """The rate half-way that the settings ask for, in units of the peak."""
    rise, fall = config.warmup_fraction, config.decay_fraction
    if rise >= 0.5:
        return 0.5 / rise
    done = (0.5 - rise) / (1 - rise)
    left = {
        "cosine": (1 + math.cos(math.pi * done)) / 2,
        "linear": 1 - done,
        "wsd": 0.5 / max(0.5, min(fall, 1 - rise)),
    }.get(config.schedule, 1.0)
    return config.final_fraction + (1 - config.final_fraction) * left


@check("schedule")
def _schedule(parts: Parts) -> Finding:
    """Does the rate peak after the warm-up, and stand right half-way?"""
    c = parts.config
    if c.steps < 25:
        return None, f"{c.steps} steps are too few to have a shape"
    rates = [parts.schedule(step + 1) / c.lr for step in range(c.steps)]
    top = next(i for i, rate in enumerate(rates) if rate > 0.999 * max(rates))
    when, half, due = (top + 1) / c.steps, rates[c.steps // 2 - 1], _due(c)
    late = when > c.warmup_fraction + 0.05 + 1 / c.steps
    wrong = abs(max(rates) - 1) > 0.05
    told = f"peak {max(rates):.2f} at {when:.0%}, half-way {half:.2f}"
    told += f", should be {due:.2f}"
    return not (late or wrong) and abs(half - due) < 0.1, told


@check("moves")
def _moves(parts: Parts) -> Finding:
    """Do all weights with a gradient move, even at the end's small rate?"""
    rate = parts.schedule(round(0.9 * parts.config.steps))
    run = twin(parts, schedule=lambda step: rate)
    old = [p.detach().clone() for p in run.model.parameters()]
    for step in range(2):
        train_step(run, step)
    worst, least = "", 2.0
    for before, (name, p) in zip(
        old, run.model.named_parameters(), strict=True
    ):
        moved = (p.detach() != before)[p.grad != 0]
        share = float(moved.double().mean()) if len(moved) else 0.0
        if p.requires_grad and share < least:
            worst, least = name, share
    return least > 0.9, f"of {worst}, the slowest, {least:.0%} has moved"


@check("decay")
def _decay(parts: Parts) -> Finding:
    """Is each weight the optimizer's, and do only matrices decay?"""
    tables = {
        id(part.weight)
        for part in parts.model.modules()
        if "Embedding" in type(part).__name__ and hasattr(part, "weight")
    }
    decay = {
        id(p): group.get("weight_decay", 0.0)
        for group in parts.optimizer.param_groups
        for p in group["params"]
    }
    weights = dict(parts.model.named_parameters())
    lost = [name for name, p in weights.items() if id(p) not in decay]
    wrong = [
        name
        for name, p in weights.items()
        if (p.dim() < 2 or id(p) in tables) and decay.get(id(p))
    ]
    told = f"{len(lost)} weights have no optimizer, "
    told += f"{len(wrong)} norms or embeddings decay"
    return not lost and not wrong, told


@check("overfit")
def _overfit(parts: Parts, steps: int = 60) -> Finding:
    """Can two rows be learnt by heart? Source: karpathy2019recipe."""
    rows = pick_rows(parts.next_batch(0), slice(0, 2))
    rate = parts.config.lr
    run = twin(parts, schedule=lambda step: rate, next_batch=lambda step: rows)
    losses = [train_step(run, step).loss for step in range(steps)]
    told = f"two rows: {losses[0]:.2f} nats, after {steps} steps "
    return losses[-1] < losses[0] / 2, told + f"{losses[-1]:.2f}"


@check("resume")
def _resume(parts: Parts) -> Finding:
    """Does a run that is stopped and resumed end with the same bits?"""
    straight, first, second = twin(parts), twin(parts), twin(parts)
    for step in range(4):
        train_step(straight, step)
    for step in range(2):
        train_step(first, step)
    state: dict[str, Any] = copy.deepcopy(first.save(first, 2))
    again = second.restore(second, state)
    for step in range(again, 4):
        train_step(second, step)
    pairs = zip(
        straight.model.parameters(), second.model.parameters(), strict=True
    )
    wrong = sum(not torch.equal(a, b) for a, b in pairs)
    told = f"resumed at {again} of 2, {wrong} tensors differ after 4"
    return again == 2 and wrong == 0, told
