# Generated from chapters/appendix_shards.md by `make export`. Do not edit.
"""What a model is fed: ids, targets, and whose they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from llm_from_scratch.data.packing import restart_positions

__all__ = [
    "IGNORED",
    "Batch",
    "get_batch",
]


IGNORED = -100  # the target that no loss counts


@dataclass(frozen=True)
class Batch:
    """Token ids, the tokens that follow them, and whose they are.

    Targets of -100 are not to be counted. `document_ids` number the
    documents of a row, -1 where it is padded; None if all may see all.
    """

    input_ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    document_ids: Int[Tensor, "B T"] | None = None

    @property
    def positions(self) -> Int[Tensor, "B T"] | None:
        """Places counted from the start of each document, for the model."""
        if self.document_ids is None:
            return None
        return restart_positions(self.document_ids)

    def to(self, device: torch.device | str, **options: Any) -> "Batch":
        """The same batch on a device; options as `Tensor.to` takes them."""
        return self._map(lambda tensor: tensor.to(device, **options))

    def pin_memory(self) -> "Batch":
        """The same batch in pages that a GPU can fetch by itself."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        ids = self.document_ids
        return Batch(
            change(self.input_ids),
            change(self.targets),
            None if ids is None else change(ids),
        )


def get_batch(
    dataset: NDArray[np.integer],
    batch_size: int,
    context_length: int,
    device: torch.device | str,
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Random windows of an array and the tokens that follow each of theirs.

    With replacement, from torch's global generator: for experiments, where
    `TokenLoader` is for runs.
    """
    count = len(dataset) - context_length
    if count < 1:
        raise ValueError(
            f"{len(dataset)} tokens hold no window of {context_length} and "
            "a next token"
        )
    starts = torch.randint(count, (batch_size,)).numpy()
    places = starts[:, None] + np.arange(context_length + 1)
    rows = torch.from_numpy(dataset[places].astype(np.int64)).to(device)
    return rows[:, :-1], rows[:, 1:]
