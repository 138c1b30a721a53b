# Generated from chapters/appendix_tokenizer.md by `make export`. Do not edit.
"""Kernels that turn pieces of text into token ids."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.compiled import kernel
from llm_from_scratch.tokenizer.table import (
    find_row,
    has_room,
    piece_key,
    put_row,
)

__all__ = [
    "CACHED",
    "Merges",
    "Output",
    "Work",
    "all_splits",
    "drop_key",
    "emit",
    "encode_pieces",
    "fill_merges",
    "lacks_room",
    "merge_long",
    "merge_piece",
    "merge_row",
    "merge_short",
    "merged",
    "offer",
    "push_key",
]


CACHED = 64  # bytes; a longer piece is merged anew each time
_NEVER = 1 << 62
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


class Merges(NamedTuple):
    """A hash table (left << 32 | right) -> (rank << 32 | id)."""

    rows: NDArray[np.int64]  # (a power of two, 2); -1 in a free row
    byte_id: NDArray[np.int64]  # of the 256 bytes


@kernel
def merge_row(key: int, rows: Any) -> Any:
    """Return the row of a pair, or the free row for it."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15) >> _HALF
    row = np.int64(mixed) & (len(rows) - 1)
    while rows[row, 0] != key and rows[row, 0] >= 0:
        row = (row + 1) & (len(rows) - 1)
    return row


@kernel
def fill_merges(pairs: Any, rows: Any) -> None:
    """Put (key, value) pairs; of two with one key the first stays."""
    for k in range(len(pairs)):
        row = merge_row(pairs[k, 0], rows)
        if rows[row, 0] < 0:
            rows[row, 0], rows[row, 1] = pairs[k, 0], pairs[k, 1]


@kernel
def merged(a: int, b: int, merges: Any) -> Any:
    """Return rank << 32 | id of the token that a and b make, if any."""
    row = merge_row(a << 32 | b, merges.rows)
    return merges.rows[row, 1] if merges.rows[row, 0] >= 0 else _NEVER


class Work(NamedTuple):
    """Scratch for one piece; the arrays are as long as a piece may be."""

    ids: NDArray[np.int64]
    best: NDArray[np.int64]  # the merge that is possible here
    after: NDArray[np.int64]  # the next token, in `merge_long`
    before: NDArray[np.int64]
    heap: NDArray[np.int64]  # three times as long


@kernel
def merge_short(size: int, merges: Any, work: Any) -> int:
    """Merge the leftmost best pair until none is left; return how many ids."""
    ids, best, n = work.ids, work.best, size
    for k in range(size - 1):
        best[k] = merged(ids[k], ids[k + 1], merges)
    while n > 1:
        at = 0
        for k in range(1, n - 1):
            if best[k] < best[at]:
                at = k
        if best[at] == _NEVER:
            break
        ids[at] = best[at] & 0xFFFFFFFF
        n -= 1
        for k in range(at + 1, n):
            ids[k], best[k] = ids[k + 1], best[k + 1]
        if at + 1 < n:
            best[at] = merged(ids[at], ids[at + 1], merges)
        if at > 0:
            best[at - 1] = merged(ids[at - 1], ids[at], merges)
    return n


@kernel
def push_key(heap: Any, n: int, key: int) -> int:
    """Add a key to a heap of n; return n + 1."""
    at = n
    while at > 0 and key < heap[(at - 1) >> 1]:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key
    return n + 1


@kernel
def drop_key(heap: Any, n: int) -> int:
    """Remove the least of n keys; return n - 1."""
    n -= 1
    key, at = heap[n], 0
    while 2 * at + 1 < n:
        kid = 2 * at + 1
        if kid + 1 < n and heap[kid + 1] < heap[kid]:
            kid += 1
        if key <= heap[kid]:
            break
        heap[at] = heap[kid]
        at = kid
    heap[at] = key
    return n


@kernel
def offer(i: int, size: int, n: int, merges: Any, work: Any) -> int:
    """Push the pair at place i if it can merge; return the heap's size."""
    j = work.after[i]
    value = merged(work.ids[i], work.ids[j], merges) if j < size else _NEVER
    work.best[i] = value
    if value == _NEVER:
        return n
    return push_key(work.heap, n, value >> 32 << 32 | i)


@kernel
def merge_long(size: int, merges: Any, work: Any) -> int:
    """Do what `merge_short` does in n log n steps: a heap of (rank, place)."""
    ids, after, before, n = work.ids, work.after, work.before, 0
    for k in range(size):
        after[k], before[k] = k + 1, k - 1
    for k in range(size - 1):
        n = offer(k, size, n, merges, work)
    while n > 0:
        i, rank = work.heap[0] & 0xFFFFFFFF, work.heap[0] >> 32
        n = drop_key(work.heap, n)
        if ids[i] < 0 or work.best[i] >> 32 != rank:
            continue  # one of the two has merged since
        j = after[i]
        ids[i], ids[j] = work.best[i] & 0xFFFFFFFF, -1
        after[i] = after[j]
        if after[i] < size:
            before[after[i]] = i
        n = offer(i, size, n, merges, work)
        if before[i] >= 0:
            n = offer(before[i], size, n, merges, work)
    for k in range(size):
        if ids[k] >= 0:
            ids[n] = ids[k]
            n += 1
    return n


class Output(NamedTuple):
    """Where the ids go."""

    ids: NDArray[np.uint32]
    ends: NDArray[np.int64]  # of each document: how many ids so far
    pool: NDArray[np.uint32]  # ids of known pieces of several tokens
    used: NDArray[np.int64]  # how many of `ids`, how many of `pool`


@kernel
def emit(value: Any, output: Any) -> None:
    """Write the ids of a known piece: the one in `value`, or several."""
    n, at = np.int64(value >> _HALF), np.int64(value & _LOW)
    out = output.used[0]
    if n == 1:
        output.ids[out] = at
    else:
        for i in range(n):
            output.ids[out + i] = output.pool[at + i]
    output.used[0] = out + n


@kernel
def merge_piece(
    text: Any, start: int, size: int, merges: Any, work: Any, output: Any
) -> Any:
    """Merge a new piece; return how many ids << 32 | the id, or its place."""
    for k in range(size):
        work.ids[k] = merges.byte_id[text.data[start + k]]
    if size <= CACHED:
        n = merge_short(size, merges, work)
    else:
        n = merge_long(size, merges, work)
    at = work.ids[0]
    if n > 1:
        at = output.used[1]
        for i in range(n):
            output.pool[at + i] = work.ids[i]
        output.used[1] += n if size <= CACHED else 0
    return np.uint64(n) << _HALF | np.uint64(at)


@kernel
def lacks_room(size: int, table: Any, work: Any, output: Any) -> bool:
    """Tell whether a new piece does not fit into the arrays."""
    if size > len(work.ids) or output.used[1] + size > len(output.pool):
        return True
    return not has_room(table, size)


@kernel
def encode_pieces(
    text: Any,
    bounds: Any,
    first: int,
    table: Any,
    merges: Any,
    work: Any,
    output: Any,
) -> int:
    """Encode pieces from `first` on; return where the arrays were too small.

    Marks in `bounds`: -1 the end of a document, -2 - id a special token.
    """
    for k in range(first, len(bounds)):
        start = np.int64(bounds[k, 0])
        if start == -1:
            output.ends[bounds[k, 1]] = output.used[0]
        elif start < 0:
            output.ids[output.used[0]] = -2 - start
            output.used[0] += 1
        else:
            size = bounds[k, 1] - start
            a, b = piece_key(text.words, start, size)
            row = find_row(table, text.words, start, size, a, b)
            value = table.rows[row, 2]
            if table.rows[row, 1] == 0:
                if lacks_room(size, table, work, output):
                    return k
                value = merge_piece(text, start, size, merges, work, output)
                if size <= CACHED:
                    put_row(table, text.words, start, size, row, a, b)
                    table.rows[row, 2] = value
            emit(value, output)
    return len(bounds)


@kernel
def all_splits(
    words: Any, bounds: Any, ids: Any, table: Any, pairs: Any
) -> int:
    """List the pairs of tokens that make a token; return how many.

    Rows of `pairs` are (left << 32 | right, id << 32 | id): the lower id
    merges first, which is how tiktoken reads a vocabulary.
    """
    n = 0
    for k in range(len(bounds)):
        start, stop = bounds[k, 0], bounds[k, 1]
        for cut in range(start + 1, stop):
            a, b = piece_key(words, start, cut - start)
            x = table.rows[find_row(table, words, start, cut - start, a, b), 2]
            a, b = piece_key(words, cut, stop - cut)
            y = table.rows[find_row(table, words, cut, stop - cut, a, b), 2]
            if x != 0 and y != 0:  # values are 1 << 32 | id
                pairs[n, 0] = np.int64(x << _HALF | y & _LOW)
                pairs[n, 1] = ids[k] << 32 | ids[k]
                n += 1
    return n
