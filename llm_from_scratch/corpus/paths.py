# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""Read the documents of a file or a directory, one at a time."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator

from llm_from_scratch.corpus.records import Document, RawDocument

__all__ = [
    "BOUNDARY",
    "read_jsonl",
    "read_path",
    "read_txt",
    "read_warc",
]


def _lines(path: Path) -> Iterator[str]:
    """Decoded lines of a file (gzip if named so), CRLF turned into LF.

    ValueError with the offset of the first byte that is not UTF-8; OSError
    if a gzip file is damaged or stops early.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    offset = 0
    with opener(path, "rb") as file:
        try:
            for line in file:
                text = line.decode("utf-8-sig" if offset == 0 else "utf-8")
                yield text.replace("\r\n", "\n")
                offset += len(line)
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise ValueError(
                f"{path}: byte {offset + error.start} (0x{byte:02x}) is not "
                "UTF-8; convert the file first, for example with iconv"
            ) from error
        except (EOFError, zlib.error) as error:
            raise OSError(
                f"{path} is damaged or incomplete after byte {offset} of its "
                f"text ({error}); fetch it again"
            ) from error


BOUNDARY = "<|endoftext|>"  # alone on a line: one document of a .txt ends


def read_txt(path: Path) -> Iterator[Document]:
    """One document, or several with a BOUNDARY line between them."""
    held: list[str] = []
    number = 0
    for line in chain(_lines(path), [BOUNDARY]):
        if line.strip() != BOUNDARY:
            held.append(line)
        elif text := "".join(held).strip():
            number += 1
            yield Document(f"{path.stem}/{number:06}", text)
            held = []


def read_jsonl(path: Path) -> Iterator[Document]:
    """One document a line: a JSON object with "text", and perhaps "id"."""
    stem = path.name.partition(".json")[0]
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}: not JSON ({error})"
            ) from error
        if not isinstance(record, dict) or not isinstance(
            record.get("text"), str
        ):
            raise ValueError(f'{path}, line {number}: no string "text"')
        id = str(record.get("id", f"{stem}/{number:06}"))
        yield Document(id, record["text"])


def read_warc(path: Path) -> Iterator[RawDocument]:
    """The body of every response in a WARC file, unpacked and unchunked.

    ValueError if a record ends before its length, which warcio lets pass.
    """
    with open(path, "rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type != "response":
                continue
            headers = record.rec_headers
            url = headers.get_header("WARC-Target-URI", "")
            id = headers.get_header("WARC-Record-ID", "").strip("<>")
            data = record.content_stream().read()
            record.raw_stream.read()
            if record.raw_stream.limit > 0:
                raise ValueError(
                    f"{path}: the record of {url} is cut off; fetch it again"
                )
            yield RawDocument(id.removeprefix("urn:uuid:"), url, data)


_READERS: dict[str, Callable[[Path], Iterator[Document | RawDocument]]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".warc": read_warc,
    ".warc.gz": read_warc,
}


def read_path(path: Path) -> Iterator[Document | RawDocument]:
    """The documents of a file, or of all files below a directory, sorted.

    FileNotFoundError if nothing is there; ValueError for a kind of file that
    no reader knows, and for a path that holds no document.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    count = 0
    for file in files:
        ends = [end for end in _READERS if file.name.endswith(end)]
        if ends and file.is_file():
            for record in _READERS[ends[-1]](file):
                count += 1
                yield record
        elif file == path:
            kinds = ", ".join(_READERS)
            raise ValueError(f"{path}: cannot read this kind; known: {kinds}")
    if count == 0:
        raise ValueError(f"{path} holds no document")
