# Generated from chapters/appendix_tokenizer.md by `make export`. Do not edit.
"""What one thread encodes with: buffers, and the pieces it has met."""

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.encode import (
    Merges,
    Output,
    Work,
    encode_pieces,
)
from llm_from_scratch.tokenizer.split import Segments, Splitter
from llm_from_scratch.tokenizer.table import Table, copy_table, grow

__all__ = [
    "Memory",
    "new_output",
    "new_work",
]


def new_work(size: int) -> Work:
    """Return scratch for pieces of up to `size` bytes."""
    return Work(*(np.empty(n * size, np.int64) for n in (1, 1, 1, 1, 3)))


def new_output(size: int) -> Output:
    """Return room for `size` ids and for the pool."""
    ids, pool = np.empty(size, np.uint32), np.empty(size, np.uint32)
    return Output(ids, np.empty(0, np.int64), pool, np.zeros(2, np.int64))


class Memory:
    """What one thread encodes with: buffers, and the pieces it has met.

    It starts from a table of known pieces, and returns to it when `LIMIT`
    rows would be needed, so that it stays bounded on any text.
    """

    LIMIT = 1 << 20

    def __init__(self, pattern: str, merges: Merges, known: Table) -> None:
        self.split, self.merges, self.known = Splitter(pattern), merges, known
        self.table = copy_table(known)
        self.work = new_work(1 << 10)
        self.output = new_output(1 << 12)

    def make_room(self, size: int) -> None:
        """Enlarge what is too small for a piece, or forget the pieces met."""
        if size > len(self.work.ids):
            self.work = new_work(2 * size)
        if 2 * self.table.used[0] >= self.LIMIT:
            self.table = copy_table(self.known)
            self.output.used[1] = 0
        self.table = grow(self.table, size)
        need = int(self.output.used[1]) + size
        if need > len(self.output.pool):
            pool = np.resize(self.output.pool, 2 * need)
            self.output = self.output._replace(pool=pool)

    def encode_some(self, bounds: NDArray[np.int32], first: int) -> int:
        """Encode pieces until one finds no room; return its place."""
        arrays = (self.table, self.merges, self.work, self.output)
        return encode_pieces(self.split.text, bounds, first, *arrays)

    def encode(
        self, data: bytes, segments: Segments, num_documents: int = 0
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the ids, and where each of the documents ends in them."""
        room = len(data) + len(segments)
        if room > len(self.output.ids):
            ids = np.empty(2 * room, np.uint32)
            self.output = self.output._replace(ids=ids)
        if num_documents:
            ends = np.empty(num_documents, np.int64)
            self.output = self.output._replace(ends=ends)
        self.output.used[0] = 0
        for bounds in self.split(data, segments):
            k = 0
            while (k := self.encode_some(bounds, k)) < len(bounds):
                self.make_room(int(bounds[k, 1] - bounds[k, 0]))
        return self.output.ids[: self.output.used[0]].copy(), self.output.ends
