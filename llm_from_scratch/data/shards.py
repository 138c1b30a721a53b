# Generated from chapters/appendix_shards.md by `make export`. Do not edit.
"""Shards: files of token ids that can be mapped and checked."""

import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.core.files import atomic_write
from llm_from_scratch.tokenizer.vocab import Vocabulary

__all__ = [
    "HEADER",
    "MAGIC",
    "PIECE",
    "VERSION",
    "Shard",
    "ShardHeader",
    "ShardWriter",
    "read_header",
    "token_dtype",
    "tokenizer_hash",
    "write_shard",
]


MAGIC = b"LLMSHARD"
VERSION = 1
HEADER = 1024  # bytes before the first token
PIECE = 2**24  # bytes that are checked at a time


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest little-endian integers that hold every id."""
    if not 0 < vocab_size <= 2**32:
        raise ValueError(f"vocab_size must be 1 to 2**32, got {vocab_size}")
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


@dataclass(frozen=True, kw_only=True)
class ShardHeader:
    """What the first kilobyte of a shard says: magic, then JSON, then blanks.

    After it come the tokens, zero bytes up to a multiple of 8, and where
    each document starts, with the number of tokens last, as int64.
    """

    version: int = VERSION
    vocab_size: int
    end_of_text: int  # the last token of every document
    tokens: int
    documents: int
    tokenizer: str  # hash of the tokenizer
    text: str  # hash of the texts
    sha256: str  # of everything behind the header

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one token."""
        return token_dtype(self.vocab_size)

    @property
    def starts_at(self) -> int:
        """The byte at which the document index begins."""
        return HEADER + -(-self.tokens * self.dtype.itemsize // 8) * 8

    @property
    def file_size(self) -> int:
        """The bytes of the whole file."""
        return self.starts_at + 8 * (self.documents + 1)

    def to_bytes(self) -> bytes:
        """The kilobyte that begins the file."""
        fields = json.dumps(asdict(self)).encode()
        raw = (MAGIC + fields).ljust(HEADER - 1) + b"\n"
        if len(raw) != HEADER:
            raise ValueError(
                f"a header of {len(raw)} bytes does not fit into {HEADER}; "
                "give hashes as `tokenizer` and `text`"
            )
        return raw


def read_header(path: str | os.PathLike[str]) -> ShardHeader:
    """The header of a shard; ValueError says what is wrong with the file."""
    again = "delete it and run write_shards again"
    with open(path, "rb") as file:
        raw = file.read(HEADER)
        size = os.fstat(file.fileno()).st_size
    if not raw.startswith(MAGIC):
        raise ValueError(
            f"{path} is not a shard: it begins with {raw[:8]!r}, not {MAGIC!r}"
        )
    try:
        fields = json.loads(raw[len(MAGIC) :])
        version = fields["version"]
        header = ShardHeader(**fields) if version == VERSION else None
        expected = header.file_size if header else size
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"the header of {path} is damaged; {again}") from None
    if header is None:
        raise ValueError(
            f"{path} has format {version}, this program reads {VERSION}; "
            f"{again}"
        )
    if size != expected:
        raise ValueError(
            f"{path} has {size} bytes where its header announces {expected}: "
            f"it is cut short or was changed; {again}"
        )
    return header


def tokenizer_hash(tokenizer: Vocabulary) -> str:
    """SHA-256 of all that decides which ids a text gets, 64 hex digits.

    The same for a tokenizer that was saved and read again.
    """
    known = hashlib.sha256()
    for id, token in sorted(tokenizer.vocab.items()):
        known.update(b"%d %d " % (id, len(token)) + token)
    for pair in tokenizer.merges or ():
        known.update(b"+%d %d " % (len(pair[0]), len(pair[1])))
        known.update(pair[0] + pair[1])
    rules = {
        "special": sorted(tokenizer.special_tokens.items()),
        "pattern": tokenizer.pattern,
        "ignore_merges": tokenizer.ignore_merges,
        "listed": tokenizer.merges is not None,
    }
    known.update(json.dumps(rules, sort_keys=True).encode())
    return known.hexdigest()


class ShardWriter:
    """Writes ids to an open file; `finish` adds the index and the header.

    ValueError for an id that is not below `vocab_size`.
    """

    def __init__(
        self, file: IO[bytes], vocab_size: int, end_of_text: int
    ) -> None:
        self.file, self.tokens, self.total = file, 0, hashlib.sha256()
        self.vocab_size, self.end_of_text = vocab_size, end_of_text
        self.dtype, self.ends = token_dtype(vocab_size), [np.zeros(1, np.int64)]
        file.write(bytes(HEADER))

    def add(self, ids: NDArray[np.integer], lengths: list[int]) -> None:
        """Append whole documents, marks included, and their lengths."""
        if ids.max() >= self.vocab_size or ids.min() < 0:
            wrong = ids[(ids >= self.vocab_size) | (ids < 0)][0]
            raise ValueError(
                f"id {wrong} is outside the vocabulary of {self.vocab_size}; "
                "was the text encoded with another tokenizer?"
            )
        self._write(ids.astype(self.dtype).tobytes())
        self.ends.append(self.tokens + np.cumsum(lengths))
        self.tokens += len(ids)

    def finish(self, tokenizer: str, text: str) -> ShardHeader:
        """Write where documents start, then the header."""
        starts = np.concatenate(self.ends).astype("<i8")
        gap = bytes(-self.tokens * self.dtype.itemsize % 8)
        self._write(gap + starts.tobytes())
        header = ShardHeader(
            vocab_size=self.vocab_size,
            end_of_text=self.end_of_text,
            tokens=self.tokens,
            documents=len(starts) - 1,
            tokenizer=tokenizer,
            text=text,
            sha256=self.total.hexdigest(),
        )
        self.file.seek(0)
        self.file.write(header.to_bytes())
        return header

    def _write(self, data: bytes) -> None:
        self.total.update(data)
        self.file.write(data)


def write_shard(
    path: str | os.PathLike[str],
    documents: Iterable[NDArray[np.integer]],
    *,
    vocab_size: int,
    end_of_text: int,
    tokenizer: str = "",
    text: str = "",
) -> ShardHeader:
    """Write the ids of documents as one shard, whole or not at all.

    Each document gets `end_of_text` behind it. `tokenizer` and `text` are
    hashes to remember. Memory: a block of ids and 8 bytes a document.
    """
    with atomic_write(path) as file:
        writer = ShardWriter(file, vocab_size, end_of_text)
        for ids, lengths in _blocks(documents, end_of_text):
            writer.add(ids, lengths)
        return writer.finish(tokenizer, text)


def _blocks(
    documents: Iterable[NDArray[np.integer]], end_of_text: int
) -> Iterator[tuple[NDArray[np.integer], list[int]]]:
    """Join documents to arrays of a quarter million ids, and their lengths."""
    mark = np.array([end_of_text], np.uint32)
    parts, lengths, held = list[NDArray[np.integer]](), list[int](), 0
    for ids in documents:
        parts += (ids, mark)
        lengths.append(len(ids) + 1)
        held += lengths[-1]
        if held >= 2**18:
            yield np.concatenate(parts), lengths
            parts, lengths, held = [], [], 0
    if parts:
        yield np.concatenate(parts), lengths


class Shard:
    """A shard, mapped into memory: pages are read when they are touched.

    `tokens` are the ids of all documents with their end marks; document i is
    tokens[starts[i] : starts[i + 1]]. Opening reads the header only.
    ValueError for what is no whole shard.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.header = read_header(path)
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        head = self.header
        self.tokens = np.frombuffer(self._map, head.dtype, head.tokens, HEADER)
        self.starts = np.frombuffer(
            self._map, "<i8", head.documents + 1, head.starts_at
        )

    def __len__(self) -> int:
        return self.header.tokens

    def document(self, index: int) -> NDArray[np.integer]:
        """The ids of one document, without its end mark."""
        start, stop = self.starts[index], self.starts[index + 1]
        return self.tokens[start : stop - 1]

    def release(self) -> None:
        """Give the pages read so far back to the system, which may cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def verify(self) -> None:
        """Read everything; ValueError if a byte is not as it was written."""
        total = hashlib.sha256()
        for at in range(HEADER, len(self._map), PIECE):
            total.update(self._map[at : at + PIECE])
            self.release()
        if total.hexdigest() != self.header.sha256:
            raise ValueError(
                f"{self.path} is damaged: its content does not have the "
                "checksum in its header; delete it and run write_shards again"
            )
