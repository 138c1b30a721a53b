# Generated from chapters/01_predict_the_next_byte.md
# by `make export`. Do not edit.
"""Byte n-gram models: the counts of what followed each short context.

Orders: 0 knows nothing, 1 knows no context, n sees the last n - 1 bytes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

__all__ = [
    "AdaptiveNGram",
    "CountTable",
    "NGram",
    "find_codes",
    "gram_codes",
    "ngram_distribution",
]


def gram_codes(data: bytes, num_context: int) -> UInt64[np.ndarray, " n"]:
    """Each byte with the `num_context` bytes before it, packed in a number.

    The newest byte is lowest, so code >> 8 is the context alone. The first
    `num_context` positions lack bytes before them and hold shorter grams.
    """
    symbols = np.frombuffer(data, np.uint8).astype(np.uint64)
    codes = symbols.copy()
    for back in range(1, num_context + 1):
        codes[back:] |= symbols[:-back] << np.uint64(8 * back)
    return codes


def find_codes(
    keys: UInt64[np.ndarray, " k"], wanted: UInt64[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Index of each wanted value in sorted keys, and whether it is there."""
    index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return index, keys[index] == wanted


@dataclass(frozen=True)
class CountTable:
    """What followed every context c of one length: n(cx), N(c) and T(c).

    Sorted by code: rows of a context are neighbors. Axes: grams, contexts.
    """

    grams: UInt64[np.ndarray, " g"]
    counts: Int[np.ndarray, " g"]
    contexts: UInt64[np.ndarray, " c"]
    starts: Int[np.ndarray, " c"]  # first row of each context
    totals: Int[np.ndarray, " c"]  # N(c)
    types: Int[np.ndarray, " c"]  # T(c)

    @classmethod
    def count(cls, codes: UInt64[np.ndarray, " n"]) -> "CountTable":
        grams, counts = np.unique(codes, return_counts=True)
        contexts, starts, types = np.unique(
            grams >> np.uint64(8), return_index=True, return_counts=True
        )
        sums = np.cumsum(np.append(0, counts))
        totals = sums[starts + types] - sums[starts]
        return cls(grams, counts, contexts, starts, totals, types)

    def lookup(
        self, codes: UInt64[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " n"], ...]:
        """n(cx), N(c) and T(c) for each packed gram; 0 where never seen."""
        row, seen = find_codes(self.grams, codes)
        context, known = find_codes(self.contexts, codes >> np.uint64(8))
        return (
            np.where(seen, self.counts[row], 0),
            np.where(known, self.totals[context], 0),
            np.where(known, self.types[context], 0),
        )


class NGram:
    """Byte n-gram model that backs off to shorter contexts, Witten-Bell.

    p_k(x|c) = (n(cx) + T(c) p_{k-1}(x|c')) / (N(c) + T(c)), p_{-1} = 1/256.
    ValueError for an order beyond 0 to 8. Source: witten1991zero.
    """

    def __init__(self, order: int) -> None:
        if not 0 <= order <= 8:  # eight bytes fill a 64-bit gram code
            raise ValueError(f"order must be 0 to 8, got {order}")
        self.order, self.tables = order, list[CountTable]()

    def fit(self, data: bytes) -> "NGram":
        """Count `data`; what was counted before is forgotten."""
        if len(data) < self.order:
            raise ValueError(
                f"{len(data)} bytes hold no gram of order {self.order}"
            )
        self.tables = [
            CountTable.count(gram_codes(data, k)[k:]) for k in range(self.order)
        ]
        return self

    def probabilities(
        self, data: bytes, history: bytes = b""
    ) -> Float[np.ndarray, "orders n"]:
        """Of each byte of `data`; row k by order k. `history` is not scored."""
        text = history + data
        rows = [np.full(len(text), 1 / 256)]
        for k, table in enumerate(self.tables):
            seen, total, types = table.lookup(gram_codes(text, k))
            total[:k] = types[:k] = seen[:k] = 0  # not enough history
            mixed = (seen + types * rows[-1]) / np.maximum(total + types, 1)
            rows.append(np.where(total > 0, mixed, rows[-1]))
        return np.stack(rows)[:, len(history) :]


def ngram_distribution(
    model: NGram, history: bytes
) -> Float[np.ndarray, "256"]:
    """Probabilities of all 256 next bytes after `history`.

    The same recursion as `NGram.probabilities`, for one place and all x.
    """
    p = np.full(256, 1 / 256)
    for k, table in enumerate(model.tables[: len(history) + 1]):
        context = int.from_bytes(history[len(history) - k :])
        at, known = find_codes(table.contexts, np.array([context], np.uint64))
        if not known[0]:
            break  # a longer context cannot have been seen either
        c = at[0]
        rows = slice(table.starts[c], table.starts[c] + table.types[c])
        p = table.types[c] * p
        byte = (table.grams[rows] & np.uint64(255)).astype(np.int64)
        p[byte] += table.counts[rows]
        p /= table.totals[c] + table.types[c]
    return p


def _suffixes(history: bytes, num: int) -> list[bytes]:
    """The last 0, 1, ..., num - 1 bytes of a history, as far as it goes."""
    end = len(history)
    return [history[end - k :] for k in range(min(num, end + 1))]


# n(cx) of the 256 bytes x, N(c), T(c)
_Counts = tuple[Int[np.ndarray, "256"], int, int]


class AdaptiveNGram:
    """Witten-Bell that learns each byte after it is coded: a ByteSource."""

    def __init__(self, order: int) -> None:
        self.order, self.history = order, b""
        self.seen: dict[bytes, _Counts] = {}

    def frequencies(self) -> Int[np.ndarray, "256"]:
        weights = np.full(256, 1 << 16)
        for context in _suffixes(self.history, self.order):
            if context not in self.seen:
                break
            counts, total, types = self.seen[context]
            weights = ((counts << 24) + types * weights) // (total + types)
        return weights + 1

    def update(self, byte: int) -> None:
        none = np.zeros(256, np.int64)
        for context in _suffixes(self.history, self.order):
            counts, total, types = self.seen.get(context, (none.copy(), 0, 0))
            new = int(counts[byte] == 0)
            counts[byte] += 1
            self.seen[context] = counts, total + 1, types + new
        self.history = (self.history + bytes([byte]))[-max(1, self.order) :]
