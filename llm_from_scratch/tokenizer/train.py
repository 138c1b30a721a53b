# Generated from chapters/06_a_tokenizer_of_your_own.md
# by `make export`. Do not edit.
"""Training: from a file to a vocabulary and its merges."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.count import count_pieces
from llm_from_scratch.tokenizer.merge import EDGE, Pairs, Pieces, merge_loop
from llm_from_scratch.tokenizer.pattern import GPT2_PATTERN
from llm_from_scratch.tokenizer.stream import SpecialFinder, num_cores
from llm_from_scratch.tokenizer.table import Contents, contents
from llm_from_scratch.tokenizer.vocab import assign_special

__all__ = [
    "check_request",
    "lay_out_pieces",
    "learn_merges",
    "train_bpe",
]


def lay_out_pieces(found: Contents, num_tokens: int) -> Pieces:
    """Prepare the pieces for merging: every byte is a token of its own."""
    n = len(found.text)
    index = np.int32 if 3 * n < 2**31 else np.int64
    symbols = found.text.astype(index)
    symbols[found.bounds[:, 0] - 1] = symbols[-1] = EDGE
    weight = np.zeros(n, np.int64)
    lengths = found.bounds[:, 1] - found.bounds[:, 0]
    weight[symbols != EDGE] = np.repeat(found.values.astype(np.int64), lengths)
    place = np.zeros(num_tokens, index)
    place[:256] = np.arange(n, n + 256)
    return Pieces(
        text=np.append(found.text, np.arange(256, dtype=np.uint8)),
        symbols=symbols,
        before=np.arange(-1, n - 1, dtype=index),
        weight=weight,
        place=place,
        size=np.ones(num_tokens, np.int64),
    )


def learn_merges(found: Contents, num_merges: int) -> NDArray[np.int64]:
    """Return up to `num_merges` rows (left id, right id), in their order."""
    pieces = lay_out_pieces(found, 256 + num_merges)
    index = pieces.symbols.dtype
    rows = 3 * len(found.text)  # a merge makes at most two pairs a place
    pairs = Pairs(
        sides=np.empty((rows, 2), index),
        counts=np.empty(rows, np.int64),
        span=np.empty((rows, 2), index),
        where=np.empty(rows, index),
        heap=np.empty(rows, index),
        row=np.full(max(1 << 16, 256 + num_merges), -1, np.int64),
        used=np.zeros(3, np.int64),
    )
    merges = np.empty((num_merges, 2), np.int64)
    return merges[: merge_loop(merges, pairs, pieces)]


def check_request(vocab_size: int, special_tokens: Sequence[str]) -> None:
    """Raise ValueError for a vocabulary that cannot be built."""
    assign_special({}, special_tokens)
    if vocab_size < 256 + len(special_tokens):
        raise ValueError(
            f"vocab_size {vocab_size} is too small: 256 bytes and "
            f"{len(special_tokens)} special tokens need "
            f"{256 + len(special_tokens)}"
        )


def train_bpe(
    input_path: str | os.PathLike[str],
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = GPT2_PATTERN,
    num_threads: int | None = None,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learn a byte-level BPE vocabulary from a UTF-8 file.

    Each merge joins the pair that occurs most often within pieces; of equal
    counts the lexicographically greater pair of bytes. Ids: 256 bytes, then
    merges, then special tokens. A small text may yield fewer merges.
    Source: sennrich2016neural, radford2019language.
    """
    check_request(vocab_size, special_tokens)
    finder = SpecialFinder(dict.fromkeys(special_tokens, 0))
    threads = num_threads or num_cores()
    found = contents(count_pieces(input_path, pattern, finder, threads))
    num_merges = vocab_size - 256 - len(special_tokens)
    tokens = [bytes([b]) for b in range(256)]
    merges = []
    for a, b in learn_merges(found, num_merges).tolist():
        merges.append((tokens[a], tokens[b]))
        tokens.append(tokens[a] + tokens[b])
    tokens += [name.encode() for name in special_tokens]
    return dict(enumerate(tokens)), merges
