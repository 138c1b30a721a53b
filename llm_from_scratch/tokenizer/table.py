# Generated from chapters/appendix_tokenizer.md by `make export`. Do not edit.
"""A hash table from pieces of text to numbers, exact and without objects.

A row is four 64-bit words: two of key, a value, and where the bytes of a
long piece lie in the arena. A piece of at most 15 bytes is its own key, its
length in the last byte, so no two share one. Longer ones are compared.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.compiled import kernel
from llm_from_scratch.tokenizer.split import padded

__all__ = [
    "Contents",
    "Table",
    "add_pieces",
    "add_values",
    "contents",
    "copy_table",
    "find_row",
    "first_row",
    "grow",
    "has_room",
    "move_rows",
    "new_table",
    "piece_key",
    "put_row",
    "same_bytes",
    "unpack",
]


_LOW = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], np.uint64)
_HIGH = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], np.uint64)
_SIZE = np.array([n << 56 for n in range(16)], np.uint64)
_LONG, _HALF = np.uint64(0xFF << 56), np.uint64(32)
_MIX, _STIR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


class Table(NamedTuple):
    """The arrays of a table, as the kernels take them."""

    rows: NDArray[np.uint64]  # (a power of two, 4); word 1 of a free row is 0
    arena: NDArray[np.uint64]  # length and bytes of long pieces
    used: NDArray[np.int64]  # how many rows, and words of the arena


@kernel
def piece_key(words: Any, start: int, size: int) -> tuple[Any, Any]:
    """Return the two words of key of a piece; a long one is hashed."""
    if size < 16:
        low = words[start] & _LOW[size]
        return low, words[start + 8] & _HIGH[size] | _SIZE[size]
    a, b = np.uint64(size), _STIR
    for i in range(start, start + size - 7, 8):
        a = (a ^ words[i]) * _MIX
        b = (b ^ (a >> _HALF)) * _STIR
    tail = words[start + size - 8]
    return (a ^ tail) * _MIX ^ b, (b ^ tail) * _STIR | _LONG


@kernel
def first_row(rows: Any, a: Any, b: Any) -> Any:
    """Return the row where the search for a key begins."""
    mixed = (a * _MIX) ^ (b * _STIR)
    mixed = (mixed ^ (mixed >> _HALF)) * _MIX >> _HALF
    return np.int64(mixed) & (len(rows) - 1)


@kernel
def same_bytes(arena: Any, at: int, words: Any, start: int, size: int) -> bool:
    """Compare a piece with one in the arena, eight bytes at a time."""
    if arena[at] != np.uint64(size):
        return False
    for i in range(0, size - 7, 8):
        if arena[at + 1 + (i >> 3)] != words[start + i]:
            return False
    return arena[at + 1 + (size - 1 >> 3)] == words[start + size - 8]


@kernel
def find_row(
    table: Any, words: Any, start: int, size: int, a: Any, b: Any
) -> int:
    """Return the row of a piece with key (a, b), or the free row for it."""
    rows = table.rows
    row = first_row(rows, a, b)
    while rows[row, 1] != 0:
        if rows[row, 0] == a and rows[row, 1] == b:
            at = np.int64(rows[row, 3])
            if size < 16 or same_bytes(table.arena, at, words, start, size):
                break
        row = (row + 1) & (len(rows) - 1)
    return row


@kernel
def has_room(table: Any, size: int) -> bool:
    """Tell whether a piece can be put; half of the rows stay free."""
    return 2 * table.used[0] < len(table.rows) and table.used[1] + (
        size >> 3
    ) + 2 <= len(table.arena)


@kernel
def put_row(
    table: Any, words: Any, start: int, size: int, row: int, a: Any, b: Any
) -> None:
    """Fill a free row with the key of a piece; copy a long one."""
    table.rows[row, 0], table.rows[row, 1] = a, b
    table.used[0] += 1
    if size >= 16:
        arena, at = table.arena, table.used[1]
        table.rows[row, 3] = at
        arena[at] = size
        for i in range(0, size - 7, 8):
            arena[at + 1 + (i >> 3)] = words[start + i]
        arena[at + 1 + (size - 1 >> 3)] = words[start + size - 8]
        table.used[1] = at + 2 + (size - 1 >> 3)


@kernel
def move_rows(old: Any, new: Any) -> None:
    """Put the rows of one table into an empty larger one."""
    for r in range(len(old)):
        if old[r, 1] != 0:
            row = first_row(new, old[r, 0], old[r, 1])
            while new[row, 1] != 0:
                row = (row + 1) & (len(new) - 1)
            for k in range(4):
                new[row, k] = old[r, k]


@kernel
def add_values(
    table: Any, words: Any, bounds: Any, values: Any, first: int, last: int
) -> int:
    """Add to the value of each piece; return where room ran out."""
    for n in range(first, last):
        start = np.int64(bounds[n, 0])
        if start < 0:
            continue  # a mark, not a piece
        size = bounds[n, 1] - start
        a, b = piece_key(words, start, size)
        row = find_row(table, words, start, size, a, b)
        if table.rows[row, 1] == 0:
            if not has_room(table, size):
                return n
            put_row(table, words, start, size, row, a, b)
        table.rows[row, 2] += values[n]
    return last


def new_table(rows: int = 1 << 12) -> Table:
    """Return an empty table."""
    arena = np.empty(rows, np.uint64)
    return Table(np.zeros((rows, 4), np.uint64), arena, np.zeros(2, np.int64))


def copy_table(table: Table) -> Table:
    """Return a table that shares nothing with this one."""
    return Table(table.rows.copy(), table.arena.copy(), table.used.copy())


def grow(table: Table, size: int) -> Table:
    """Double what is full, so that a piece of `size` bytes fits."""
    rows, arena, used = table
    if 2 * used[0] >= len(rows):
        rows = np.zeros((2 * len(rows), 4), np.uint64)
        move_rows(table.rows, rows)
    need = int(used[1]) + size // 8 + 2
    if need > len(arena):
        arena = np.resize(arena, 2 * need)
    return Table(rows, arena, used)


def add_pieces(
    table: Table,
    words: NDArray[np.uint64],
    bounds: NDArray[np.integer],
    values: NDArray[np.uint64],
) -> Table:
    """Add values to pieces, new ones starting from 0; grow as needed."""
    k, n = 0, len(bounds)
    while (k := add_values(table, words, bounds, values, k, n)) < n:
        table = grow(table, int(bounds[k, 1] - bounds[k, 0]))
    return table


@kernel
def unpack(table: Any, text: Any, bounds: Any, values: Any) -> Any:
    """Write the pieces, a free byte around each; return the bytes needed.

    With no `text` to write to it only measures.
    """
    rows, at, n = table.rows, np.int64(1), 0
    for r in range(len(rows)):
        word, place = rows[r, 0], np.int64(-1)
        size = np.int64(rows[r, 1] >> np.uint64(56))
        if size == 255:
            place = np.int64(rows[r, 3])
            size = np.int64(table.arena[place])
        if size > 0 and len(text) > 0:
            bounds[n, 0], bounds[n, 1], values[n] = at, at + size, rows[r, 2]
            for k in range(size):
                if place >= 0 and k % 8 == 0:
                    word = table.arena[place + 1 + (k >> 3)]
                    if k + 8 > size:  # the last word ends with the piece
                        word >>= np.uint64(8 * (k + 8 - size))
                elif k == 8:
                    word = rows[r, 1]
                text[at + k] = word & np.uint64(255)
                word >>= np.uint64(8)
        if size > 0:
            at, n = at + size + 1, n + 1
    return at


class Contents(NamedTuple):
    """The pieces of a table: text[bounds[k, 0] : bounds[k, 1]] -> values[k].

    A byte of 0 stands before, between and after them.
    """

    text: NDArray[np.uint8]
    words: NDArray[np.uint64]
    bounds: NDArray[np.int64]
    values: NDArray[np.uint64]


def contents(table: Table) -> Contents:
    """Return all pieces of a table with their values."""
    n = int(table.used[0])
    bounds, values = np.empty((n, 2), np.int64), np.empty(n, np.uint64)
    size = unpack(table, np.empty(0, np.uint8), bounds, values)
    text, words = padded(size)
    unpack(table, text, bounds, values)
    return Contents(text[:size], words, bounds, values)
