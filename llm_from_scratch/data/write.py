# Generated from chapters/appendix_shards.md by `make export`. Do not edit.
"""From documents to a folder of shards, resumable and in parallel."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_from_scratch.core.files import atomic_write
from llm_from_scratch.corpus.records import Document
from llm_from_scratch.data.shard_set import INDEX
from llm_from_scratch.data.shards import (
    Shard,
    read_header,
    tokenizer_hash,
    write_shard,
)
from llm_from_scratch.tokenizer.bpe import Tokenizer
from llm_from_scratch.tokenizer.coder import to_utf8

__all__ = [
    "ShardJob",
    "Written",
    "cleared",
    "finish",
    "groups",
    "text_hash",
    "write_shards",
]


def groups(
    documents: Iterable[str | bytes | Document], shard_bytes: int
) -> Iterator[list[bytes]]:
    """Cut a stream of documents into the texts of one shard each.

    A group ends with the document that fills `shard_bytes` of UTF-8, so
    where it ends depends on the texts alone.
    """
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes must be at least 1, got {shard_bytes}")
    group, size = list[bytes](), 0
    for item in documents:
        text = item.text if isinstance(item, Document) else item
        group.append(to_utf8(text))
        size += len(group[-1])
        if size >= shard_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


def text_hash(texts: Iterable[bytes]) -> str:
    """SHA-256 of documents and of where one ends and the next begins."""
    total = hashlib.sha256()
    for text in texts:
        total.update(len(text).to_bytes(8, "little"))
        total.update(text)
    return total.hexdigest()


@dataclass(frozen=True)
class Written:
    """What one call of `write_shards` did."""

    shards: int  # of the whole stream
    written: int
    kept: int  # found finished and unchanged
    documents: int
    text_bytes: int
    complete: bool  # all shards are there, also those of other writers


class ShardJob:
    """A pass over the texts of all shards, making some of them."""

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, mark: int, num_threads: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.tokenizer = folder, tokenizer
        self.num_threads = num_threads
        self.common: dict[str, Any] = {
            "tokenizer": tokenizer_hash(tokenizer),
            "vocab_size": len(tokenizer.vocab),
            "end_of_text": mark,
        }
        self.hashes = list[str]()
        self.written = self.kept = self.documents = self.text_bytes = 0

    def path(self, number: int) -> Path:
        """The file of one shard."""
        return self.folder / f"shard-{number:05}.tokens"

    def take(self, texts: list[bytes], mine: bool) -> None:
        """Count the texts of the next shard, and make it if it is ours."""
        number = len(self.hashes)
        self.hashes.append(text_hash(texts))
        self.documents += len(texts)
        self.text_bytes += sum(map(len, texts))
        if mine and self.is_made(number, whole=True):
            self.kept += 1
        elif mine:
            (self.folder / INDEX).unlink(missing_ok=True)  # no longer true
            self._make(number, texts)
            self.written += 1

    def is_made(self, number: int, whole: bool = False) -> bool:
        """Whether a shard is there; if `whole`, every byte is looked at."""
        wanted = {**self.common, "text": self.hashes[number]}
        try:
            header = read_header(self.path(number))
            if whole:
                Shard(self.path(number)).verify()
        except (OSError, ValueError):
            return False
        return all(getattr(header, k) == v for k, v in wanted.items())

    def _make(self, number: int, texts: list[bytes]) -> None:
        ids = self.tokenizer.encode_documents(
            texts, allowed_special="none", num_threads=self.num_threads
        )
        note = {**self.common, "text": self.hashes[number]}
        with cleared(self.path(number)) as path:
            write_shard(path, ids, **note)


@contextlib.contextmanager
def cleared(path: Path) -> Iterator[Path]:
    """A path without leftovers of killed writers, and errors that advise."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        part.unlink(missing_ok=True)
    try:
        yield path
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror} while writing shards; those that are finished "
            "are kept: make room and run the same again",
            str(path),
        ) from error


def finish(job: ShardJob) -> bool:
    """Write the index if every shard is there; remove what is not listed."""
    numbers = range(len(job.hashes))
    if not all(map(job.is_made, numbers)):
        return False
    shards = []
    for path in map(job.path, numbers):
        header = read_header(path)
        fields = {k: getattr(header, k) for k in ("tokens", "documents")}
        shards.append({"name": path.name, **fields, "sha256": header.sha256})
    index: dict[str, Any] = {**job.common, "shards": shards}
    digest = hashlib.sha256(json.dumps(index, sort_keys=True).encode())
    index["fingerprint"] = digest.hexdigest()[:16]
    with cleared(job.folder / INDEX) as path, atomic_write(path, "w") as file:
        json.dump(index, file, indent=1)
    listed = {entry["name"] for entry in shards}
    for path in job.folder.glob("shard-*.tokens"):
        if path.name not in listed:
            path.unlink()
    return True


def write_shards(
    documents: Iterable[str | bytes | Document],
    tokenizer: Tokenizer,
    out_dir: str | os.PathLike[str],
    *,
    end_of_text: str = "<|endoftext|>",
    shard_bytes: int = 2**25,
    num_threads: int = 1,
    writer: int = 0,
    num_writers: int = 1,
    report: Callable[[int, int], Any] | None = None,
) -> Written:
    """Tokenize documents into a folder that `ShardSet` reads.

    A shard holds the documents that fill `shard_bytes` of text. Shards that
    are there and whole, of the same texts and tokenizer, are kept. Writer
    i of n makes every n-th shard, and the last to finish writes the index:
    give each the same documents. `report` is called with the number of
    shards and of bytes done. ValueError if there are no documents.
    """
    if not 0 <= writer < num_writers:
        raise ValueError(f"writer {writer} is not one of {num_writers}")
    mark = _end_id(tokenizer, end_of_text)
    job = ShardJob(Path(out_dir), tokenizer, mark, num_threads)
    for number, texts in enumerate(groups(documents, shard_bytes)):
        job.take(texts, mine=number % num_writers == writer)
        if report:
            report(number + 1, job.text_bytes)
    if not job.documents:
        raise ValueError("there are no documents to write; check the source")
    done = (job.written, job.kept, job.documents, job.text_bytes)
    return Written(len(job.hashes), *done, complete=finish(job))


def _end_id(tokenizer: Tokenizer, name: str) -> int:
    """The id of the mark behind each document."""
    if name not in tokenizer.special_tokens:
        raise ValueError(
            f"the tokenizer has no special token {name!r}, only "
            f"{sorted(tokenizer.special_tokens)}; train it with one"
        )
    return tokenizer.special_tokens[name]
