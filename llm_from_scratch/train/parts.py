# Generated from chapters/16_the_run.md by `make export`. Do not edit.
"""One step of training, and the parts that it is made of."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from llm_from_scratch.core.runtime import pick_device
from llm_from_scratch.data.batch import Batch
from llm_from_scratch.model.attention import document_mask
from llm_from_scratch.model.head import linear_cross_entropy
from llm_from_scratch.train.config import TrainConfig
from llm_from_scratch.train.gradients import backward_in_parts, clip_grad_norm_
from llm_from_scratch.train.optim import make_optimizer
from llm_from_scratch.train.precision import (
    LossScaler,
    autocast,
    checkpoint_blocks,
)
from llm_from_scratch.train.schedule import Schedule, set_lr

__all__ = [
    "Loader",
    "Parts",
    "StepResult",
    "backward",
    "clip",
    "make_parts",
    "on_device",
    "restore",
    "save",
    "token_loss",
    "train_step",
    "update",
]


@runtime_checkable
class Loader(Protocol):
    """What a run reads from: the batch of each step, and a state to check."""

    def batch(self, step: int) -> Batch: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that one step touches, each of it replaceable.

    A function is given what it works on and keeps hold of no model, so
    that copies of model and optimizer make a run of its own. `loss` is the
    sum over targets that count, in nats; `backward` adds the gradient of
    their mean; `clip` returns the norm before; `heldout` gives held-out
    batches.
    """

    config: TrainConfig
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Callable[[int], float]
    next_batch: Callable[[int], Batch]
    loss: Callable[[nn.Module, Batch], Tensor]
    zero_grad: Callable[[torch.optim.Optimizer], None]
    backward: Callable[["Parts", Batch], tuple[Tensor, int]]
    clip: Callable[["Parts"], Tensor]
    update: Callable[["Parts"], bool]
    save: Callable[["Parts", int], dict[str, Any]]
    restore: Callable[["Parts", Mapping[str, Any]], int]
    heldout: Callable[[], Iterable[Batch]] | None = None
    scaler: LossScaler | None = None


class StepResult(NamedTuple):
    """What a step tells: mean loss in nats, targets, norm before clipping."""

    step: int
    loss: float
    counted: int
    norm: float
    lr: float
    updated: bool


def train_step(parts: Parts, step: int) -> StepResult:
    """The step after `step` updates: batch, gradient, clip, update.

    Weights change only if loss and gradient are finite, so that one bad
    batch cannot spoil them.
    """
    lr = parts.schedule(step + 1)  # a schedule is 0 at 0
    set_lr(parts.optimizer, lr)
    batch = parts.next_batch(step)
    parts.zero_grad(parts.optimizer)
    mean, counted = parts.backward(parts, batch)
    norm = parts.clip(parts).to(mean.device)
    loss, size = torch.stack((mean.float(), norm.float())).tolist()
    finite = math.isfinite(loss) and math.isfinite(size)
    updated = (finite or parts.scaler is not None) and parts.update(parts)
    return StepResult(step, loss, counted, size, lr, updated)


def token_loss(
    model: Any,
    batch: Batch,
    *,
    precision: str = "fp32",
    z_loss: float = 0.0,
) -> Tensor:
    """Sum of the nats of all targets that count, never all logits at once.

    Tokens of other documents in a row are masked. The `model` is ours:
    `hidden_states`, and a matrix `lm_head`.
    """
    ids = batch.document_ids
    mask = None if ids is None else document_mask(ids)
    with autocast(batch.input_ids.device, precision):
        hidden = model.hidden_states(
            batch.input_ids, positions=batch.positions, mask=mask
        )
        return linear_cross_entropy(
            hidden,
            model.lm_head.weight,
            batch.targets,
            reduction="sum",
            z_loss=z_loss,
        )


def backward(parts: Parts, batch: Batch) -> tuple[Tensor, int]:
    """Add the gradient of the batch's mean; return the mean and its count."""

    def loss(ids: Tensor, targets: Tensor, documents: Tensor | None) -> Tensor:
        return parts.loss(parts.model, Batch(ids, targets, documents))

    return backward_in_parts(
        loss,
        batch.input_ids,
        batch.targets,
        batch.document_ids,
        micro_batch_size=parts.config.micro_batch_size,
        scale=parts.scaler.scale if parts.scaler else None,
    )


def clip(parts: Parts) -> Tensor:
    """Bring the norm of all gradients down to `clip_norm`; what it was."""
    if parts.scaler:
        parts.scaler.unscale_(parts.optimizer)  # before it is measured
    limit = parts.config.clip_norm or math.inf
    return clip_grad_norm_(parts.model.parameters(), limit)


def update(parts: Parts) -> bool:
    """Move the weights; False if the scaler met an overflow."""
    if parts.scaler is None:
        parts.optimizer.step()
        return True
    moved = parts.scaler.step(parts.optimizer)
    parts.scaler.update()
    return moved


def save(parts: Parts, step: int) -> dict[str, Any]:
    """The state after `step` updates, as it stands: no copy."""
    return {
        "step": step,
        "model": parts.model.state_dict(),
        "optimizer": parts.optimizer.state_dict(),
        "scaler": parts.scaler.state_dict() if parts.scaler else None,
    }


def restore(parts: Parts, state: Mapping[str, Any]) -> int:
    """Put everything back; return the step to go on with."""
    parts.model.load_state_dict(state["model"])
    parts.optimizer.load_state_dict(state["optimizer"])
    if parts.scaler:
        parts.scaler.load_state_dict(state["scaler"])
    return int(state["step"])


def make_parts(
    model: nn.Module,
    loader: Loader,
    config: TrainConfig,
    *,
    heldout: Callable[[], Iterable[Batch]] | None = None,
) -> Parts:
    """The healthy parts of a run; moves the model to the run's device."""
    device = pick_device(config.device)
    model.to(device)
    if config.activation_checkpointing:
        checkpoint_blocks(model)
    fp16, precision = config.precision == "fp16", config.precision
    return Parts(
        config=config,
        model=model,
        optimizer=_optimizer(model, config),
        schedule=_schedule(config),
        next_batch=lambda step: on_device(loader.batch(step), device),
        loss=partial(token_loss, precision=precision, z_loss=config.z_loss),
        zero_grad=lambda optimizer: optimizer.zero_grad(set_to_none=True),
        backward=backward,
        clip=clip,
        update=update,
        save=save,
        restore=restore,
        heldout=heldout,
        scaler=LossScaler() if fp16 else None,
    )


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch where the model is; the copy runs beside the computation."""
    if device.type == "cpu":
        return batch
    if device.type == "cuda":
        batch = batch.pin_memory()
    return batch.to(device, non_blocking=True)


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    return make_optimizer(
        model,
        name=config.optimizer,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
    )


def _schedule(config: TrainConfig) -> Schedule:
    return Schedule(
        kind=config.schedule,
        max_lr=config.lr,
        steps=config.steps,
        warmup_fraction=config.warmup_fraction,
        final_fraction=config.final_fraction,
        decay_fraction=config.decay_fraction,
    )
