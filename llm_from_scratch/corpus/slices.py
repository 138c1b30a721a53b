# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""One small reader for each real set of prose, and the vocabularies."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_from_scratch.corpus.fetch import slice_files
from llm_from_scratch.corpus.records import Document, slug, unwrap

__all__ = [
    "novels",
    "recipes",
    "speeches",
    "tales",
    "tiktoken_ranks",
    "vocabulary",
    "wikipedia",
]


def _works(path: Path) -> Iterator[tuple[str, str]]:
    """Heading and text of each part of a typed book.

    Four line ends or more part two chapters; a part that is hardly more than
    a heading belongs to the next one.
    """
    text = path.read_text("utf-8-sig").replace("\r\n", "\n").strip()
    held = ""
    for part in re.split(r"\n{4,}", text):
        held += "\n\n" + part
        if len(part) >= 200:
            yield held.split("\n\n")[1], unwrap(held)
            held = ""
    if held:
        yield held.split("\n\n")[1], unwrap(held)


def tales() -> Iterator[Document]:
    """The fairy tales of Andersen, each with its title as first line."""
    [path] = slice_files("tales")
    for number, (heading, text) in enumerate(_works(path), 1):
        yield Document(f"tales/{number:03}-{slug(heading)}", text)


def novels() -> Iterator[Document]:
    """Eight books, a document for each chapter."""
    for path in slice_files("novels"):
        book = slug(path.stem.partition(" - ")[2])
        for number, (_, text) in enumerate(_works(path), 1):
            yield Document(f"novels/{book}/{number:02}", text)


def recipes() -> Iterator[Document]:
    """Recipes of the Wikibooks Cookbook: title, ingredients, numbered steps."""
    [path] = slice_files("recipes")
    for number, recipe in enumerate(json.loads(path.read_text()).values(), 1):
        lines = [recipe["title"], "", "Ingredients:"]
        lines += [f"- {_tidy(item)}" for item in recipe["ingredients"]]
        lines += ["", "Steps:"]
        steps = enumerate(map(_tidy, recipe["steps"]), 1)
        lines += [f"{place}. {step}" for place, step in steps]
        id = f"recipes/{number:04}-{slug(recipe['title'])}"
        yield Document(id, "\n".join(lines))


def _tidy(text: str) -> str:
    """Drop the empty brackets that a stripped wiki template left behind."""
    text = re.sub(r"\(\s*/?\s*\)", "", text)
    return re.sub(r"\s+([,.;:])", r"\1", re.sub(r"\s+", " ", text)).strip()


def wikipedia() -> Iterator[Document]:
    """Distinct passages of Wikipedia, as "title", empty line, text.

    Passages of one article share an id up to "#".
    """
    [path] = slice_files("wikipedia")
    seen: set[str] = set()
    parts: dict[str, int] = {}
    for record in _jsonl(path):
        passage = record["passage"].strip()
        if passage in seen:
            continue
        seen.add(passage)
        title, _, text = passage.partition(" -- ")
        article = slug(title)
        parts[article] = parts.get(article, 0) + 1
        id = f"wikipedia/{article}#{parts[article]}"
        yield Document(id, f"{title}\n\n{text}")


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def speeches() -> Iterator[Document]:
    """State of the Union addresses, in order of their year."""
    for path in slice_files("speeches"):
        name = slug(path.stem.replace("_", " "))
        yield Document(f"speeches/{name}", unwrap(path.read_text("utf-8")))


def vocabulary(name: str) -> dict[str, Any]:
    """The published vocabulary "gpt2", "cl100k_base" or "o200k_base".

    A dict with `pat_str` (the split pattern), `special_tokens` (id by name)
    and `bpe_ranks` (rank by bytes). ValueError for another name.
    """
    files = {path.stem: path for path in slice_files("vocabularies")}
    if name not in files:
        known = ", ".join(files)
        raise ValueError(f"no vocabulary is named {name!r}; known are {known}")
    table: dict[str, Any] = json.loads(files[name].read_text("utf-8"))
    ranks: dict[bytes, int] = {}
    for line in table["bpe_ranks"].splitlines():
        _, first, *tokens = line.split(" ")
        for rank, token in enumerate(tokens, int(first)):
            ranks[base64.b64decode(token)] = rank
    return {**table, "bpe_ranks": ranks}


def tiktoken_ranks(name: str) -> dict[bytes, int]:
    """Rank by bytes of a published vocabulary, special tokens left out."""
    ranks: dict[bytes, int] = vocabulary(name)["bpe_ranks"]
    return ranks
