# Generated from chapters/appendix_shards.md by `make export`. Do not edit.
"""Many shards as one long sequence of tokens."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.data.shards import Shard, tokenizer_hash
from llm_from_scratch.tokenizer.vocab import Vocabulary

__all__ = [
    "INDEX",
    "MAX_OPEN",
    "PAGES",
    "RELEASE",
    "ShardFolder",
    "ShardSet",
    "TokenArray",
    "TokenSource",
]


INDEX = "index.json"
PAGES = 2**21  # the most that a system maps around one byte touched
RELEASE = 2**26  # bytes mapped, 64 MiB, before they are given back
MAX_OPEN = 64


class TokenSource(ABC):
    """A circular sequence of documents, each ended by `end_of_text`."""

    vocab_size: int
    end_of_text: int
    fingerprint: str  # changes with the content

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def document_starts(self) -> NDArray[np.int64]:
        """Where documents start, and the length of all at the end."""

    @abstractmethod
    def window(self, start: int, length: int) -> NDArray[np.integer]:
        """A copy of `length` tokens from `start` on, around the end."""


class TokenArray(TokenSource):
    """A TokenSource in memory, for tests and small experiments."""

    def __init__(
        self, tokens: NDArray[np.integer], end_of_text: int, vocab_size: int
    ) -> None:
        if len(tokens) == 0 or tokens[-1] != end_of_text:
            raise ValueError(
                f"the last of {len(tokens)} tokens must be the end of text, "
                f"{end_of_text}"
            )
        self.tokens = tokens
        self.end_of_text, self.vocab_size = end_of_text, vocab_size
        kind = f"{tokens.dtype} {end_of_text} {vocab_size} ".encode()
        digest = hashlib.sha256(kind + tokens.tobytes())
        self.fingerprint = digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def document_starts(self) -> NDArray[np.int64]:
        ends = np.flatnonzero(self.tokens == self.end_of_text) + 1
        return np.concatenate(([0], ends))

    def window(self, start: int, length: int) -> NDArray[np.integer]:
        start %= len(self)
        if start + length <= len(self):
            return self.tokens[start : start + length].copy()
        return self.tokens.take(range(start, start + length), mode="wrap")


class ShardFolder:
    """A finished folder of shards, each opened when it is asked for.

    With a `tokenizer`, ValueError if the shards were made with another;
    FileNotFoundError if the folder is absent or was not finished.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        tokenizer: Vocabulary | None = None,
    ) -> None:
        self.folder = Path(folder)
        index = _read_index(self.folder)
        self.tokenizer: str = index["tokenizer"]
        self.vocab_size: int = index["vocab_size"]
        self.end_of_text: int = index["end_of_text"]
        self.entries: list[dict[str, Any]] = index["shards"]
        self.fingerprint: str = index["fingerprint"]
        self.num_documents: int = sum(e["documents"] for e in self.entries)
        self._open: dict[int, Shard] = {}
        if tokenizer is not None:
            self.check_tokenizer(tokenizer)

    def check_tokenizer(self, tokenizer: Vocabulary) -> None:
        """ValueError if the shards were written with another tokenizer."""
        given = tokenizer_hash(tokenizer)
        if given != self.tokenizer:
            raise ValueError(
                f"the shards in {self.folder} were made with the tokenizer "
                f"{self.tokenizer[:16]}, this one is {given[:16]}: load that "
                "tokenizer, or write the shards again"
            )

    def shard(self, number: int) -> Shard:
        """One of the shards, opened if it is not open."""
        shard = self._open.get(number)
        if shard is None:
            entry = self.entries[number]
            shard = Shard(self.folder / entry["name"])
            if shard.header.sha256 != entry["sha256"]:
                raise ValueError(
                    f"{shard.path} is not the file that {INDEX} lists; run "
                    "write_shards again"
                )
            if len(self._open) >= MAX_OPEN:
                oldest, *_ = self._open
                self._open.pop(oldest, None)
            self._open[number] = shard
        return shard

    def verify(self) -> None:
        """Read every shard; ValueError names the first that is damaged."""
        for number in range(len(self.entries)):
            self.shard(number).verify()


def _read_index(folder: Path) -> dict[str, Any]:
    """The index of a set of shards."""
    path = folder / INDEX
    if not path.exists():
        count = len(list(folder.glob("shard-*.tokens")))
        found = f"{count} shards and no {INDEX}" if count else "no shards"
        raise FileNotFoundError(
            f"{folder} holds {found}; run write_shards to the end"
        )
    try:
        index = json.loads(path.read_bytes())
        return {**index, "shards": list(index["shards"])}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged; run write_shards again") from None


class ShardSet(ShardFolder, TokenSource):
    """The shards of a folder as one circular sequence of tokens.

    `write_shards` makes the folder. Memory of `window` stays at about
    64 MiB of touched pages, however large the shards are;
    `document_starts` takes 8 bytes a document. Threads may share a set.
    """

    _touched = 0

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """Where each shard starts in the sequence, and its length."""
        return np.cumsum([0, *(entry["tokens"] for entry in self.entries)])

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def window(self, start: int, length: int) -> NDArray[np.integer]:
        """A copy of `length` tokens from `start` on, around the end."""
        start %= len(self)
        number = int(np.searchsorted(self.bounds, start, "right")) - 1
        shard, at = self.shard(number), start - int(self.bounds[number])
        first = shard.tokens[at : at + length].copy()
        self._touched += first.nbytes + PAGES
        if self._touched > RELEASE:
            self.release()
        if len(first) == length:
            return first
        rest = self.window(start + len(first), length - len(first))
        return np.concatenate((first, rest))

    def release(self) -> None:
        """Give all mapped pages back to the system."""
        for shard in [*self._open.values()]:  # others may open some
            shard.release()
        self._touched = 0

    @cached_property
    def document_starts(self) -> NDArray[np.int64]:
        """Where documents start, and the length of all at the end."""
        shards = map(self.shard, range(len(self.entries)))
        parts = [
            shard.starts[:-1] + start
            for shard, start in zip(shards, self.bounds, strict=False)
        ]
        return np.concatenate((*parts, self.bounds[-1:]))

    def document(self, index: int) -> NDArray[np.integer]:
        """The ids of one document, without its end mark."""
        start, stop = self.document_starts[index : index + 2]
        return self.window(int(start), int(stop - start - 1))
