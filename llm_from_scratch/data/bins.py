# Generated from chapters/07_shards_order_and_the_loader.md
# by `make export`. Do not edit.
"""Best fit: pieces into the fullest row that has room."""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "best_fit",
]


def best_fit(lengths: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """The row of each piece: longest first, to the fullest row with room.

    Rows are found by their free space, whose values are the bits of one
    integer. Source: johnson1974worst.
    """
    if len(lengths) and lengths.max() > capacity:
        raise ValueError(
            f"a piece of {lengths.max()} does not fit into {capacity}"
        )
    rows = np.empty(len(lengths), np.int64)
    by_space: list[list[int]] = [[] for _ in range(capacity + 1)]
    spaces, used = 0, 0
    for piece in np.argsort(-lengths, kind="stable").tolist():
        need = int(lengths[piece])
        roomy = spaces >> need
        if roomy:
            space = need + (roomy & -roomy).bit_length() - 1
            row = by_space[space].pop()
            if not by_space[space]:
                spaces ^= 1 << space
        else:
            space, row, used = capacity, used, used + 1
        rows[piece] = row
        if space > need:
            by_space[space - need].append(row)
            spaces |= 1 << (space - need)
    return rows
