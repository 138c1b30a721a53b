# Generated from chapters/07_shards_order_and_the_loader.md
# by `make export`. Do not edit.
"""The rows of one source, in an order that is new in each epoch."""

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.data.order import Permutation, derive_seed
from llm_from_scratch.data.shard_set import TokenSource

__all__ = [
    "CutRows",
    "shuffled",
]


def shuffled(
    numbers: NDArray[np.int64], size: int, seed: int
) -> NDArray[np.int64]:
    """The row of each number: all rows once, in an order of the epoch."""
    places = np.empty_like(numbers)
    for epoch in np.unique(numbers // size).tolist():
        here = numbers // size == epoch
        order = Permutation(size, derive_seed(seed, 0, epoch))
        places[here] = order(numbers[here] % size)
    return places


class CutRows:
    """Rows of a source cut at every `context` tokens, in a shuffled order.

    Each epoch cuts at other places and goes through the rows in another
    order. Every token is a target once, but for a rest shorter than a row.
    """

    def __init__(
        self, source: TokenSource, context: int, seed: int, mask: bool
    ) -> None:
        if len(source) < context:
            raise ValueError(
                f"{len(source)} tokens do not fill one row of {context}; use "
                "more text or a shorter context"
            )
        self.source, self.context, self.mask = source, context, mask
        self.seed, self.num_rows = seed, len(source) // context

    def starts(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the source the targets of each row begin."""
        places = shuffled(numbers, self.num_rows, self.seed)
        epochs = numbers // self.num_rows
        shifts = [
            derive_seed(self.seed, 1, epoch) % len(self.source)
            for epoch in epochs.tolist()
        ]
        return (np.array(shifts) + places * self.context) % len(self.source)

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Inputs, targets and document ids of rows, as (3, rows, T)."""
        out = np.empty((3, len(numbers), self.context), np.int64)
        for row, start in enumerate(self.starts(numbers).tolist()):
            window = self.source.window(start - 1, self.context + 1)
            out[0, row], out[1, row] = window[:-1], window[1:]
        if self.mask:  # the mark that ends a document begins the next
            out[2] = np.cumsum(out[0] == self.source.end_of_text, axis=1)
        return out
