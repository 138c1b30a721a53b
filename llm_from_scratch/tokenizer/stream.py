# Generated from chapters/appendix_tokenizer.md by `make export`. Do not edit.
"""Cut a stream of UTF-8 into blocks that can be tokenized on their own."""

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple, TypeVar

from llm_from_scratch.tokenizer.split import Splitter

__all__ = [
    "BLOCK",
    "Block",
    "In",
    "Match",
    "Out",
    "SpecialFinder",
    "blocks",
    "in_threads",
    "last_cut",
    "num_cores",
    "scanned_cut",
    "segments_of",
]


In = TypeVar("In")
Out = TypeVar("Out")
BLOCK = 1 << 20  # bytes


class Match(NamedTuple):
    """A special token found at data[start:end]."""

    start: int
    end: int
    id: int


class SpecialFinder:
    """Find special tokens in bytes; where several fit, the longest wins."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self.ids = {name.encode(): id for name, id in ids.items()}
        names = sorted(self.ids, key=len, reverse=True)
        self.longest = len(names[0]) if names else 0
        self._find = re.compile(b"|".join(map(re.escape, names)))

    def __call__(self, data: bytes) -> list[Match]:
        """List all special tokens of `data` from left to right."""
        found = self._find.finditer(data) if self.ids else ()
        return [Match(m.start(), m.end(), self.ids[m[0]]) for m in found]


def segments_of(
    size: int, matches: Iterable[Match], start: int = 0
) -> list[tuple[int, int]]:
    """Return rows (start, stop) of text and (-2 - id, 0) of special tokens.

    The text of `size` bytes lies from `start` on.
    """
    rows, at = list[tuple[int, int]](), start
    for m in matches:
        rows += [(at, start + m.start), (-2 - m.id, 0)]
        at = start + m.end
    return [*rows, (at, start + size)]


def last_cut(
    data: bytes, matches: list[Match], longest: int, split: Splitter
) -> int:
    """Return the last place where `data` can be cut, whatever follows it.

    A space behind a visible ASCII character begins a piece under every known
    pattern. Text without one is scanned. Under an unknown pattern only
    special tokens cut. A result of 0 says that more data is needed.
    """
    limit = max(len(data) - longest, 0)  # special tokens before it are whole
    certain = [m for m in matches if m.start < limit]
    floor = certain[-1].end if certain else 0
    if split.rule is None or floor >= limit:
        return floor
    at = data.rfind(b" ", floor, limit)
    while at > floor and not 33 <= data[at - 1] <= 126:
        at = data.rfind(b" ", floor, at)
    return at if at > floor else scanned_cut(data, floor, limit, split)


def scanned_cut(data: bytes, floor: int, limit: int, split: Splitter) -> int:
    """Cut behind a piece that three more pieces and 16 bytes follow.

    It may not end in white space, which is split by another rule at the end
    of a text than before a word.
    """
    limit = min(limit, len(data) - 4)  # the last character may be cut in two
    while limit > floor and data[limit] & 0xC0 == 0x80:
        limit -= 1
    segments = [(floor, max(limit, floor))]
    ends = [bounds[:, 1].tolist() for bounds in split(data, segments)]
    sure = [end for end in chain.from_iterable(ends) if end <= limit - 16]
    for end in reversed(sure[:-3]):
        last = data[max(end - 4, 0) : end].decode(errors="ignore")[-1]
        if not last.isspace():
            return end
    return floor


class Block(NamedTuple):
    """Bytes that begin and end between two pieces, with their specials."""

    data: bytes
    matches: list[Match]
    offset: int  # of the first byte in the stream


def blocks(
    chunks: Iterable[bytes],
    finder: SpecialFinder,
    pattern: str,
    block_size: int = BLOCK,
) -> Iterator[Block]:
    """Join chunks of any size to blocks; cutting them changes no token."""
    held, size, want, offset = list[bytes](), 0, block_size, 0
    split = Splitter(pattern)
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size < want:
            continue
        data = b"".join(held)
        matches = finder(data)
        cut = last_cut(data, matches, finder.longest, split)
        if cut > 0:
            before = [m for m in matches if m.end <= cut]
            yield Block(data[:cut], before, offset)
        held, size, offset = [data[cut:]], len(data) - cut, offset + cut
        want = block_size if cut > 0 else 2 * want  # a rescan costs its size
    data = b"".join(held)
    if data:
        yield Block(data, finder(data), offset)


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(
    function: Callable[[In], Out], items: Iterable[In], num_threads: int
) -> Iterator[Out]:
    """Map in order on threads, holding at most a few items at a time."""
    if num_threads < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(num_threads) as pool:
        waiting = deque[Future[Out]]()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
