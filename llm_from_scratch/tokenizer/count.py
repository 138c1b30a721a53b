# Generated from chapters/06_a_tokenizer_of_your_own.md
# by `make export`. Do not edit.
"""Count the distinct pieces of a file, block by block, on several threads."""

import codecs
import os
from collections.abc import Iterator

import numpy as np

from llm_from_scratch.tokenizer.split import Splitter
from llm_from_scratch.tokenizer.stream import (
    BLOCK,
    Block,
    SpecialFinder,
    blocks,
    in_threads,
    segments_of,
)
from llm_from_scratch.tokenizer.table import (
    Table,
    add_pieces,
    contents,
    new_table,
)

__all__ = [
    "PART",
    "check_utf8",
    "count_pieces",
    "read_chunks",
]


PART = 1 << 15  # bytes that are checked at a time


def read_chunks(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield a file in chunks; ValueError if it is empty."""
    with open(path, "rb") as file:
        chunk = file.read(BLOCK)
        if not chunk:
            raise ValueError(f"{os.fspath(path)} is empty; give it text")
        while chunk:
            yield chunk
            chunk = file.read(BLOCK)


def check_utf8(data: bytes, name: str, offset: int = 0) -> None:
    """Raise ValueError with the place of the first byte that is not UTF-8."""
    if data.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(data), PART):
        part, held = data[at : at + PART], len(decoder.getstate()[0])
        try:
            decoder.decode(part, at + PART >= len(data))
        except UnicodeDecodeError as error:
            bad = at - held + error.start
            raise ValueError(
                f"{name} is not UTF-8: byte {data[bad]:#04x} at offset "
                f"{offset + bad}; convert it first, for example with iconv"
            ) from None


def count_pieces(
    path: str | os.PathLike[str],
    pattern: str,
    finder: SpecialFinder,
    num_threads: int,
) -> Table:
    """Count the distinct pieces of a file; special tokens are left out.

    Reads in blocks: memory grows with the distinct pieces, not with the
    file. ValueError if the file is empty or not UTF-8.
    """
    idle = [(Splitter(pattern), new_table()) for _ in range(num_threads)]

    def count(block: Block) -> None:
        check_utf8(block.data, os.fspath(path), block.offset)
        split, table = idle.pop()
        segments = segments_of(len(block.data), block.matches)
        for bounds in split(block.data, segments):
            ones = np.ones(len(bounds), np.uint64)
            table = add_pieces(table, split.text.words, bounds, ones)
        idle.append((split, table))

    work = blocks(read_chunks(path), finder, pattern)
    for _ in in_threads(count, work, num_threads):
        pass
    total = idle.pop()[1]
    for _, table in idle:
        total = add_pieces(total, *contents(table)[1:])
    return total
