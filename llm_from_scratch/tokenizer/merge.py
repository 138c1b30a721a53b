# Generated from chapters/06_a_tokenizer_of_your_own.md
# by `make export`. Do not edit.
"""The merge loop of BPE training, over distinct pieces with weights."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.compiled import kernel

__all__ = [
    "EDGE",
    "GONE",
    "Pairs",
    "Pieces",
    "add_neighbors",
    "apply_merge",
    "best_row",
    "first_pairs",
    "goes_first",
    "lay_out",
    "merge_loop",
    "open_row",
    "push_row",
    "recount",
    "sink_row",
]


EDGE, GONE = -1, -2  # symbols: between two pieces; swallowed by a merge


class Pieces(NamedTuple):
    """The distinct pieces one after another, with an edge around each."""

    text: NDArray[np.uint8]  # their bytes, which stay
    symbols: NDArray[Any]  # the token that starts here
    before: NDArray[Any]  # where the token to the left starts
    weight: NDArray[np.int64]  # how often the piece occurs
    place: NDArray[Any]  # of each token: where its bytes can be read
    size: NDArray[np.int64]  # of each token: how many bytes it has


class Pairs(NamedTuple):
    """One row for each pair of tokens ever seen, and a heap over the rows."""

    sides: NDArray[np.int64]  # (pairs, 2), the two tokens
    counts: NDArray[np.int64]  # an upper bound that `recount` makes exact
    span: NDArray[Any]  # (pairs, 2), its slice of `where`
    where: NDArray[Any]  # places of the left tokens, ascending
    heap: NDArray[Any]  # rows, the best first
    row: NDArray[np.int64]  # scratch: row of a pair under construction
    used: NDArray[np.int64]  # rows, places and heap entries in use


@kernel
def goes_first(p: int, q: int, pairs: Any, pieces: Any) -> bool:
    """Tell whether row p beats row q: by count, then by bytes."""
    if pairs.counts[p] != pairs.counts[q]:
        return pairs.counts[p] > pairs.counts[q]
    for side in range(2):
        x, y = pairs.sides[p, side], pairs.sides[q, side]
        if x != y:
            i, j = pieces.place[x], pieces.place[y]
            for k in range(min(pieces.size[x], pieces.size[y])):
                if pieces.text[i + k] != pieces.text[j + k]:
                    return pieces.text[i + k] > pieces.text[j + k]
            return pieces.size[x] > pieces.size[y]
    return False


@kernel
def push_row(p: int, pairs: Any, pieces: Any) -> None:
    """Add row p to the heap."""
    heap, at = pairs.heap, pairs.used[2]
    pairs.used[2] += 1
    while at > 0 and goes_first(p, heap[(at - 1) >> 1], pairs, pieces):
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = p


@kernel
def sink_row(p: int, pairs: Any, pieces: Any) -> None:
    """Let row p sink from the top of the heap to its place."""
    heap, n, at = pairs.heap, pairs.used[2], 0
    while True:
        kid = 2 * at + 1
        if kid + 1 < n and goes_first(heap[kid + 1], heap[kid], pairs, pieces):
            kid += 1
        if kid >= n or not goes_first(heap[kid], p, pairs, pieces):
            break
        heap[at] = heap[kid]
        at = kid
    heap[at] = p


@kernel
def recount(p: int, pairs: Any, pieces: Any) -> int:
    """Count row p anew; keep only the places where the pair still stands."""
    a, b = pairs.sides[p, 0], pairs.sides[p, 1]
    total, kept = 0, pairs.span[p, 0]
    for k in range(pairs.span[p, 0], pairs.span[p, 1]):
        i = pairs.where[k]
        if pieces.symbols[i] == a and pieces.symbols[i + pieces.size[a]] == b:
            pairs.where[kept] = i
            kept += 1
            total += pieces.weight[i]
    pairs.span[p, 1] = kept
    return total


@kernel
def best_row(pairs: Any, pieces: Any) -> int:
    """Take the row of the best pair off the heap, or -1 if none is left."""
    checked = -1
    while pairs.used[2] > 0:
        p = pairs.heap[0]
        bound = pairs.counts[p]
        if p != checked:
            pairs.counts[p] = recount(p, pairs, pieces)
            checked = p
        if pairs.counts[p] == bound or pairs.counts[p] == 0:
            pairs.used[2] -= 1
            sink_row(pairs.heap[pairs.used[2]], pairs, pieces)
            if pairs.counts[p] > 0:
                return p
        else:
            sink_row(p, pairs, pieces)
    return -1


@kernel
def apply_merge(p: int, new: int, pairs: Any, pieces: Any) -> None:
    """Write token `new` over every place of row p, from left to right."""
    a, b = pairs.sides[p, 0], pairs.sides[p, 1]
    pieces.place[new] = pairs.where[pairs.span[p, 0]]
    pieces.size[new] = pieces.size[a] + pieces.size[b]
    kept = pairs.span[p, 0]
    for k in range(pairs.span[p, 0], pairs.span[p, 1]):
        i = pairs.where[k]
        j = i + pieces.size[a]
        if pieces.symbols[i] == a and pieces.symbols[j] == b:  # aaa overlaps
            pieces.symbols[i], pieces.symbols[j] = new, GONE
            pieces.before[j + pieces.size[b]] = i
            pairs.where[kept] = i
            kept += 1
    pairs.span[p, 1] = kept


@kernel
def open_row(a: int, b: int, key: int, pairs: Any) -> int:
    """Return the row of the pair under construction, a new one if needed."""
    q = pairs.row[key]
    if q < 0:
        q = pairs.used[0]
        pairs.used[0] += 1
        pairs.row[key] = q
        pairs.sides[q, 0], pairs.sides[q, 1] = a, b
        pairs.counts[q] = pairs.span[q, 1] = 0
    return q


@kernel
def lay_out(first: int, pairs: Any) -> None:
    """Give each row from `first` on a slice of `where` as long as it needs."""
    for q in range(first, pairs.used[0]):
        pairs.span[q, 0] = pairs.used[1]
        pairs.used[1] += pairs.span[q, 1]
        pairs.span[q, 1] = pairs.span[q, 0]


@kernel
def add_neighbors(p: int, new: int, side: int, pairs: Any, pieces: Any) -> None:
    """Make the pairs (x, new) for side 0, (new, x) for side 1.

    Two passes over the places of the merge: one counts each pair, one
    writes its places into the slice that the count has reserved.
    """
    first = pairs.used[0]
    for fill in range(2):
        for k in range(pairs.span[p, 0], pairs.span[p, 1]):
            i = pairs.where[k]
            j = pieces.before[i] if side == 0 else i + pieces.size[new]
            x = pieces.symbols[j]
            if x == EDGE:
                continue
            a, b = (x, new) if side == 0 else (new, x)
            q = open_row(a, b, x, pairs)
            if fill:
                pairs.where[pairs.span[q, 1]] = j if side == 0 else i
            else:
                pairs.counts[q] += pieces.weight[i]
            pairs.span[q, 1] += 1
        if not fill:
            lay_out(first, pairs)
    for q in range(first, pairs.used[0]):
        pairs.row[pairs.sides[q, side]] = -1
        push_row(q, pairs, pieces)


@kernel
def first_pairs(pairs: Any, pieces: Any) -> None:
    """Make the pairs of single bytes."""
    for fill in range(2):
        for i in range(len(pieces.symbols) - 1):
            a, b = pieces.symbols[i], pieces.symbols[i + 1]
            if a == EDGE or b == EDGE:
                continue
            q = open_row(a, b, a << 8 | b, pairs)
            if fill:
                pairs.where[pairs.span[q, 1]] = i
            else:
                pairs.counts[q] += pieces.weight[i]
            pairs.span[q, 1] += 1
        if not fill:
            lay_out(0, pairs)
    pairs.row[:] = -1
    for q in range(pairs.used[0]):
        push_row(q, pairs, pieces)


@kernel
def merge_loop(merges: Any, pairs: Any, pieces: Any) -> int:
    """Fill `merges` with the best pair, again and again; return how many."""
    first_pairs(pairs, pieces)
    for done in range(len(merges)):
        p = best_row(pairs, pieces)
        if p < 0:
            return done
        merges[done, 0], merges[done, 1] = pairs.sides[p, 0], pairs.sides[p, 1]
        apply_merge(p, 256 + done, pairs, pieces)
        for side in range(2):
            add_neighbors(p, 256 + done, side, pairs, pieces)
    return len(merges)
