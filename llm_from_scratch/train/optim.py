# Generated from chapters/14_loss_and_optimizer.md
# by `make export`. Do not edit.
"""Which weight is stepped by which optimizer, and which of them decay."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from llm_from_scratch.model.embedding import Embedding
from llm_from_scratch.train.adamw import AdamW
from llm_from_scratch.train.muon import Muon

__all__ = [
    "HEADS",
    "make_optimizer",
    "parameter_groups",
]


HEADS = ("lm_head", "head")  # matrices that write logits


def parameter_groups(
    model: nn.Module, weight_decay: float
) -> list[dict[str, Any]]:
    """Every weight once, in two groups: matrices, which decay, and the rest.

    Norms, biases and embeddings do not decay, nor does a head that is tied to
    an embedding.
    """
    embeddings = {
        id(part.weight)
        for part in model.modules()
        if isinstance(part, (Embedding, nn.Embedding))
    }
    decayed: list[Tensor] = []
    rest: list[Tensor] = []
    for p in model.parameters():  # one that is shared comes once
        matrix = p.dim() > 1 and id(p) not in embeddings
        (decayed if matrix else rest).append(p)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


def make_optimizer(
    model: nn.Module,
    *,
    name: str = "adamw",
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.1,
    muon_lr_scale: float = 1.0,
    fused: bool = True,
) -> Optimizer:
    """The optimizer of a whole model: "adamw", or "muon" with AdamW's help.

    Muon takes the matrices inside, at lr * muon_lr_scale; AdamW takes
    embeddings, head, norms and biases. A schedule sets every group's lr to
    its own value times group["lr_scale"].
    """
    groups = parameter_groups(model, weight_decay)
    adamw: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps}
    adamw |= {"fused": fused, "lr_scale": 1.0}
    if name == "adamw":
        return AdamW([group | adamw for group in groups])
    if name != "muon":
        raise ValueError(f'optimizer is "adamw" or "muon", got {name!r}')
    inside, outside = _split(model, groups[0]["params"])
    muon = {"params": inside, "lr_scale": muon_lr_scale}
    muon |= {"lr": lr * muon_lr_scale, "adjust_lr_fn": "match_rms_adamw"}
    others = [groups[0] | {"params": outside}, groups[1]]
    others = [group | adamw | {"use_muon": False} for group in others]
    return Muon([muon, *others], weight_decay=weight_decay)


def _split(
    model: nn.Module, matrices: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """The matrices inside of a model, and those that are a head."""
    heads = {
        id(part.weight)
        for path, part in model.named_modules()
        if path.rpartition(".")[2] in HEADS and hasattr(part, "weight")
    }
    inside = [p for p in matrices if p.dim() == 2 and id(p) not in heads]
    chosen = {id(p) for p in inside}
    return inside, [p for p in matrices if id(p) not in chosen]
