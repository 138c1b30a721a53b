# Generated from chapters/06_a_tokenizer_of_your_own.md
# by `make export`. Do not edit.
"""The tokenizer: text to ids and back, by the merges that training found."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.coder import (
    Coder,
    batches,
    listed_merges,
    merge_table,
    to_utf8,
    token_table,
    utf8_chunks,
)
from llm_from_scratch.tokenizer.files import Formats
from llm_from_scratch.tokenizer.stream import (
    BLOCK,
    Block,
    blocks,
    in_threads,
)
from llm_from_scratch.tokenizer.table import new_table
from llm_from_scratch.tokenizer.vocab import Allowed

__all__ = [
    "Tokenizer",
]


class Tokenizer(Formats):
    """Byte-level BPE. Takes what `Vocabulary` takes.

    With merges None any pair that makes a token joins, lower ids first, and
    a piece that is a token stays whole, as in tiktoken.
    """

    def __init__(self, vocab: Any, merges: Any, *args: Any, **named: Any):
        super().__init__(vocab, merges, *args, **named)
        table, splits = token_table(self.plain)
        pairs = splits if merges is None else listed_merges(merges, self.plain)
        known = table if self.ignore_merges else new_table()
        self._code = Coder(self.pattern, merge_table(pairs, self.plain), known)

    def encode(
        self, text: str, *, allowed_special: Allowed = "all"
    ) -> list[int]:
        """Return the ids of a text, special tokens in it being special.

        For text that others wrote give `allowed_special="none"`.
        """
        return self.encode_array(text, allowed_special=allowed_special).tolist()

    def encode_array(
        self,
        text: str | bytes,
        *,
        allowed_special: Allowed = "all",
        num_threads: int = 1,
    ) -> NDArray[np.uint32]:
        """Return the ids of a text of any length as an array."""
        data, finder = to_utf8(text), self.special_finder(allowed_special)
        if len(data) <= BLOCK:
            return self._code.block(Block(data, finder(data), 0))
        chunks = (data[i : i + BLOCK] for i in range(0, len(data), BLOCK))
        work = blocks(chunks, finder, self.pattern)
        parts = in_threads(self._code.block, work, num_threads)
        return np.concatenate(list(parts))

    def encode_documents(
        self,
        documents: Iterable[str | bytes],
        *,
        allowed_special: Allowed = "all",
        num_threads: int = 1,
    ) -> Iterator[NDArray[np.uint32]]:
        """Yield the ids of each document, in order, in bounded memory."""
        finder = self.special_finder(allowed_special)
        encode = partial(self._code.batch, finder=finder)
        work = in_threads(encode, batches(documents), num_threads)
        yield from chain.from_iterable(work)

    def encode_iterable(
        self, texts: Iterable[str], *, allowed_special: Allowed = "all"
    ) -> Iterator[int]:
        """Yield the ids of a text that comes in chunks, as if it were whole."""
        finder = self.special_finder(allowed_special)
        for block in blocks(utf8_chunks(texts), finder, self.pattern, 1 << 16):
            yield from self._code.block(block).tolist()
