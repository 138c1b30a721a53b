# Generated from chapters/appendix_shards.md by `make export`. Do not edit.
"""Rows of whole documents, and batches of rows of any kind."""

import numpy as np
import torch
from numpy.typing import NDArray

from llm_from_scratch.data.batch import IGNORED, Batch
from llm_from_scratch.data.packing import Packing, plan_rows
from llm_from_scratch.data.rows import CutRows, shuffled
from llm_from_scratch.data.shard_set import TokenSource

__all__ = [
    "PackedRows",
    "make_rows",
    "read_rows",
]


class PackedRows:
    """Rows of whole documents, padded at their end, in a shuffled order."""

    mask = True

    def __init__(
        self, source: TokenSource, context: int, seed: int, packing: Packing
    ) -> None:
        self.source, self.context, self.seed = source, context, seed
        self.plan = plan_rows(source.document_starts, context, packing)
        self.num_rows = len(self.plan)

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Inputs, targets and document ids of rows, as (3, rows, T)."""
        plan, end = self.plan, self.source.end_of_text
        out = np.empty((3, len(numbers), self.context), np.int64)
        out[0], out[1], out[2] = end, IGNORED, -1
        places = shuffled(numbers, self.num_rows, self.seed)
        for row, place in enumerate(places.tolist()):
            at = 0
            pieces = range(plan.first[place], plan.first[place + 1])
            for number, piece in enumerate(pieces):
                length = int(plan.lengths[piece])
                start = int(plan.starts[piece])
                window = self.source.window(start - 1, length + 1)
                here = slice(at, at + length)
                out[0, row, here], out[1, row, here] = window[:-1], window[1:]
                out[2, row, here] = number
                at += length
        return out


def make_rows(
    source: TokenSource, seed: int, context: int, packing: Packing, mask: bool
) -> CutRows | PackedRows:
    """The rows of one source."""
    if packing == "cut":
        return CutRows(source, context, seed, mask)
    return PackedRows(source, context, seed, packing)


def read_rows(
    rows: list[CutRows | PackedRows],
    source: NDArray[np.int64],
    number: NDArray[np.int64],
) -> Batch:
    """A batch of the rows with these numbers of these sources."""
    parts = np.empty((3, len(source), rows[0].context), np.int64)
    for k in np.unique(source).tolist():
        parts[:, source == k] = rows[k].read(number[source == k])
    tensors = [torch.from_numpy(part) for part in parts]
    return Batch(*tensors[: 3 if rows[0].mask else 2])
