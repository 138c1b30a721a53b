# Generated from chapters/appendix_shards.md by `make export`. Do not edit.
"""How documents fill rows: padding, cutting, best fit, and the waste."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from llm_from_scratch.data.bins import best_fit

__all__ = [
    "Packing",
    "RowPlan",
    "Waste",
    "plan_rows",
    "restart_positions",
    "waste",
]


Packing = Literal["cut", "pad", "fit"]


@dataclass(frozen=True)
class RowPlan:
    """Which pieces of the token sequence stand in which row.

    Row i holds the pieces first[i] to first[i + 1] - 1, one behind the
    other; piece j is `lengths[j]` tokens from `starts[j]` on.
    """

    context: int
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def filled(self) -> NDArray[np.int64]:
        """How many places of each row hold a token."""
        return np.add.reduceat(self.lengths, self.first[:-1])


def plan_rows(
    document_starts: NDArray[np.int64], context: int, packing: Packing
) -> RowPlan:
    """Place all documents in rows of `context` tokens.

    "cut": one behind the other, cut where a row is full; "pad": each in a
    row of its own; "fit": whole, several in a row, by best fit. A document
    longer than a row is cut to pieces first. Source: ding2024fewer.
    """
    if context < 1:
        raise ValueError(f"context must be at least 1, got {context}")
    if packing == "cut":
        return _cut(document_starts, context)
    starts, lengths = _pieces(document_starts, context)
    if packing == "pad":
        rows = np.arange(len(starts))
    elif packing == "fit":
        rows = best_fit(lengths, context)
    else:
        raise ValueError(
            f'packing must be "cut", "pad" or "fit", got {packing!r}'
        )
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], np.arange(rows.max() + 2))
    return RowPlan(context, starts[order], lengths[order], first)


def _cut(document_starts: NDArray[np.int64], context: int) -> RowPlan:
    """Rows one after the other, their pieces parted where documents end."""
    total = int(document_starts[-1])
    edges = np.arange(0, total, context)
    bounds = np.union1d(edges, document_starts)
    first = np.searchsorted(bounds, np.append(edges, total))
    return RowPlan(context, bounds[:-1], np.diff(bounds), first)


def _pieces(
    document_starts: NDArray[np.int64], context: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and length of each document, in pieces that fit into a row."""
    counts = -(-np.diff(document_starts) // context)
    owner = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(owner)) - np.repeat(
        np.cumsum(counts) - counts, counts
    )
    starts = document_starts[:-1][owner] + number * context
    stops = np.minimum(starts + context, document_starts[1:][owner])
    return starts, stops - starts


@dataclass(frozen=True)
class Waste:
    """What a way of packing costs, as shares of one."""

    rows: int
    padding: float  # places without a token
    cut: float  # documents that would fit into a row and were cut


def waste(plan: RowPlan, document_starts: NDArray[np.int64]) -> Waste:
    """Count the padding and the needless cuts of a plan."""
    tokens, places = int(plan.lengths.sum()), len(plan) * plan.context
    short = np.diff(document_starts) <= plan.context
    owner = np.searchsorted(document_starts, plan.starts, "right") - 1
    pieces = np.bincount(owner, minlength=len(short))
    cut = (pieces[short] > 1).mean() if short.any() else 0.0
    return Waste(len(plan), 1 - tokens / places, float(cut))


def restart_positions(
    document_ids: Int[Tensor, "B T"],
) -> Int[Tensor, "B T"]:
    """The place of each token in its own document's part of the row."""
    place = document_ids.new_ones(document_ids.shape).cumsum(1) - 1
    begins = document_ids[:, 1:] != document_ids[:, :-1]
    start = place.clone()
    start[:, 1:] *= begins
    return place - start.cummax(1).values
