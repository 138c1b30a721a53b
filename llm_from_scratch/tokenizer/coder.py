# Generated from chapters/appendix_tokenizer.md by `make export`. Do not edit.
"""From bytes to arrays of ids, on any number of threads."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.count import check_utf8
from llm_from_scratch.tokenizer.encode import (
    Merges,
    all_splits,
    fill_merges,
)
from llm_from_scratch.tokenizer.memory import Memory
from llm_from_scratch.tokenizer.split import Segments, padded
from llm_from_scratch.tokenizer.stream import (
    BLOCK,
    Block,
    SpecialFinder,
    segments_of,
)
from llm_from_scratch.tokenizer.table import Table, add_pieces, new_table

__all__ = [
    "Coder",
    "batches",
    "listed_merges",
    "merge_table",
    "to_utf8",
    "token_table",
    "utf8_chunks",
]


def token_table(
    ids: Mapping[bytes, int],
) -> tuple[Table, NDArray[np.int64]]:
    """Return the table token -> 1 << 32 | id, and all splits of tokens.

    A split is a row (left << 32 | right, id << 32 | id).
    """
    values = np.fromiter(ids.values(), np.int64, len(ids))
    sizes = np.fromiter(map(len, ids), np.int64, len(ids))
    ends = np.cumsum(sizes)
    text, words = padded(int(ends[-1]))
    text[: ends[-1]] = np.frombuffer(b"".join(ids), np.uint8)
    bounds = np.stack((ends - sizes, ends), 1)
    tagged = (values | 1 << 32).astype(np.uint64)
    table = add_pieces(new_table(), words, bounds, tagged)
    pairs = np.empty((len(text), 2), np.int64)
    return table, pairs[: all_splits(words, bounds, values, table, pairs)]


def listed_merges(
    merges: Iterable[tuple[bytes, bytes]], ids: Mapping[bytes, int]
) -> NDArray[np.int64]:
    """Return a row (left << 32 | right, rank << 32 | id) for each merge."""
    rows = []
    for rank, (a, b) in enumerate(merges):
        try:
            rows.append((ids[a] << 32 | ids[b], rank << 32 | ids[a + b]))
        except KeyError as error:
            raise ValueError(
                f"merge {rank} of {a!r} and {b!r} needs the token "
                f"{error.args[0]!r}, which the vocabulary lacks"
            ) from None
    return np.array(rows, np.int64).reshape(-1, 2)


def merge_table(pairs: NDArray[np.int64], ids: Mapping[bytes, int]) -> Merges:
    """Hash (key, value) rows for the kernels, half of the rows free."""
    rows = np.full((1 << (2 * len(pairs)).bit_length(), 2), -1, np.int64)
    fill_merges(pairs, rows)
    return Merges(rows, np.array([ids[bytes([b])] for b in range(256)]))


def to_utf8(text: str | bytes) -> bytes:
    """Return UTF-8; half a surrogate pair becomes U+FFFD, as in tiktoken.

    ValueError for bytes that are not UTF-8.
    """
    if isinstance(text, bytes):
        check_utf8(text, "the text")
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        pairs = text.encode("utf-16", "surrogatepass")
        return pairs.decode("utf-16", "replace").encode()


def utf8_chunks(texts: Iterable[str]) -> Iterator[bytes]:
    """Encode a stream of strings; a surrogate pair may be cut between two."""
    held = ""
    for text in texts:
        whole = held + text
        held = whole[-1:] if "\ud800" <= whole[-1:] < "\udc00" else ""
        yield to_utf8(whole[: len(whole) - len(held)])
    yield to_utf8(held)


def batches(documents: Iterable[str | bytes]) -> Iterator[list[bytes]]:
    """Gather documents to lists of about a block."""
    batch, size = list[bytes](), 0
    for document in documents:
        batch.append(to_utf8(document))
        size += len(batch[-1])
        if size >= BLOCK:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Coder:
    """Turns UTF-8 into ids, with one memory for each thread at work."""

    def __init__(self, pattern: str, merges: Merges, known: Table) -> None:
        self.pattern, self.merges, self.known = pattern, merges, known
        self.idle: list[Memory] = []

    def __call__(
        self, data: bytes, segments: Segments, num_documents: int = 0
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the ids of the segments, and where documents end in them."""
        try:
            memory = self.idle.pop()
        except IndexError:  # all are at work
            memory = Memory(self.pattern, self.merges, self.known)
        try:
            return memory.encode(data, segments, num_documents)
        finally:
            self.idle.append(memory)

    def block(self, block: Block) -> NDArray[np.uint32]:
        """Return the ids of a block."""
        segments = segments_of(len(block.data), block.matches)
        return self(block.data, segments)[0]

    def batch(
        self, batch: list[bytes], finder: SpecialFinder
    ) -> list[NDArray[np.uint32]]:
        """Return the ids of each document, from one call of the kernels."""
        rows, at = list[tuple[int, int]](), 0
        for number, data in enumerate(batch):
            rows += segments_of(len(data), finder(data), at)
            rows.append((-1, number))
            at += len(data)
        ids, ends = self(b"".join(batch), rows, len(batch))
        starts = [0, *ends.tolist()]
        return [ids[i:j] for i, j in pairwise(starts)]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"idle": []}  # memories hold views: never copy
