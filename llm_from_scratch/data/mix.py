# Generated from chapters/07_shards_order_and_the_loader.md
# by `make export`. Do not edit.
"""Several sources in fixed proportions, without a state."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.data.order import Permutation, derive_seed

__all__ = [
    "Mixture",
    "apportion",
]


def apportion(weights: Sequence[float | int], seats: int) -> NDArray[np.int64]:
    """Whole numbers proportional to weights that add up to `seats`.

    Each weight gets its share rounded down; the seats that are left go to
    the largest remainders, the first of equals first.
    """
    share = np.asarray(weights, np.float64)
    if not len(share) or not np.isfinite(share).all() or (share <= 0).any():
        raise ValueError(f"weights must be positive, got {list(weights)}")
    exact = share / share.sum() * seats
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: seats - counts.sum()]] += 1
    return counts


class Mixture:
    """Which source each sample comes from, and which of its samples it is.

    Every block of `block` samples holds the same number of each source, in
    an order of its own. A pure function of the sample's number.
    ValueError for a weight so small that a block has no room for it.
    """

    def __init__(
        self, weights: Sequence[float | int], seed: int, block: int = 1024
    ) -> None:
        self.seed, self.block = seed, block
        self.counts = apportion(weights, block)
        if (self.counts == 0).any():
            raise ValueError(
                f"a weight in {list(weights)} is less than one sample in "
                f"{block}; make it larger or leave the source out"
            )
        self._ends = np.cumsum(self.counts)

    def __call__(
        self, samples: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The source of each sample, and its number among the source's."""
        if len(self.counts) == 1:
            return np.zeros_like(samples), samples
        block, place = np.divmod(samples, self.block)
        ticket = np.empty_like(place)
        for b in np.unique(block):
            here = block == b
            shuffle = Permutation(self.block, derive_seed(self.seed, int(b)))
            ticket[here] = shuffle(place[here])
        source = np.searchsorted(self._ends, ticket, "right")
        within = ticket - (self._ends - self.counts)[source]
        return source, block * self.counts[source] + within

    def taken(self, samples: int) -> NDArray[np.int64]:
        """How many of the first `samples` come from each source."""
        blocks, rest = divmod(samples, self.block)
        last = np.arange(samples - rest, samples)
        part = np.bincount(self(last)[0], minlength=len(self.counts))
        return blocks * self.counts + part
