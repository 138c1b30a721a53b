# Generated from chapters/appendix_tokenizer.md by `make export`. Do not edit.
"""Split text into pieces under any pattern, the known ones by kernel."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.pattern import (
    Rule,
    character_classes,
    rule_of,
)
from llm_from_scratch.tokenizer.scan import Text, find_pieces

__all__ = [
    "Segments",
    "Splitter",
    "padded",
    "regex_bounds",
]


Segments = Sequence[tuple[int, int]]  # (start, stop) or a mark below zero


def padded(size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Return `size` bytes, and the eight bytes from each on as one word."""
    array = np.zeros((size + 39) // 8 * 8, np.uint8)
    words = np.lib.stride_tricks.as_strided(
        array[:8].view(np.uint64), (len(array) - 7,), (1,)
    )
    return array, words


def regex_bounds(
    pattern: Any, data: bytes, segments: Segments
) -> NDArray[np.int32]:
    """Return the bounds of all pieces under any pattern, by `regex`.

    What the pattern skips becomes a piece too, so that nothing is lost.
    """
    rows: list[tuple[int, int]] = []
    for start, stop in segments:
        text = data[start:stop].decode() if start >= 0 else ""
        if start < 0:
            rows.append((start, stop))
        cuts = {0, len(text)}
        cuts.update(i for m in pattern.finditer(text) for i in m.span())
        for i, j in pairwise(sorted(cuts)):
            end = start + len(text[i:j].encode())
            rows.append((start, end))
            start = end
    return np.array(rows, np.int32).reshape(-1, 2)


class Splitter:
    """Splits text into pieces; it owns buffers, so each thread needs one."""

    def __init__(self, pattern: str) -> None:
        self.rule = rule_of(pattern)
        self.regex = None if self.rule else regex.compile(pattern)
        self.bounds = np.empty((1 << 15, 2), np.int32)
        self.reserve(1 << 12)

    def reserve(self, size: int) -> None:
        """Make the buffer large enough for a text."""
        rule = self.rule or Rule(0)
        self.text = Text(*padded(size), character_classes(), rule)

    def __call__(
        self, data: bytes, segments: Segments
    ) -> Iterator[NDArray[np.int32]]:
        """Yield the bounds of the pieces of `segments`, many at a time."""
        n = len(data)
        if n > 2**31 - 64:
            raise ValueError(
                f"a text of {n} bytes is too long to be split at once; "
                "give it in chunks to encode_iterable"
            )
        if n + 16 > len(self.text.data):
            self.reserve(2 * n)
        self.text.data[:n] = np.frombuffer(data, np.uint8)
        self.text.data[n : n + 16] = 0
        if self.regex is not None:
            yield regex_bounds(self.regex, data, segments)
            return
        rows, cursor = np.array(segments, np.int64), np.zeros(2, np.int64)
        while True:
            n = find_pieces(self.text, rows, cursor, self.bounds)
            yield self.bounds[:n]
            if n < len(self.bounds):
                return
