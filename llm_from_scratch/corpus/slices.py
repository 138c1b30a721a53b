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
    "countries",
    "grimm",
    "moby_dick",
    "novels",
    "parables",
    "plays",
    "recipes",
    "sections",
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
        passage = record["passage"].replace("\ufeff", "").strip()
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


def moby_dick() -> Iterator[Document]:
    """Moby-Dick, a document for each of its 135 chapters."""
    chapters = [json.loads(p.read_text()) for p in slice_files("moby-dick")]
    for entry in sorted(chapters, key=lambda entry: int(entry["chapter"])):
        title = f"Chapter {entry['chapter']}. {entry['title']}"
        id = f"moby-dick/{int(entry['chapter']):03}"
        yield Document(id, f"{title}\n\n{unwrap(entry['text'])}")


def plays() -> Iterator[Document]:
    """Plays and poems of Shakespeare; lines and speakers as printed.

    Cymbeline is left out: the package's file lacks its third and fourth act.
    """
    for path in slice_files("plays"):
        name = slug(path.stem.removesuffix("_gut").replace("_", " "))
        if name != "cymbeline":
            lines = path.read_text("utf-8").strip().split("\n")
            text = "\n".join(line.rstrip() for line in lines)
            yield Document(f"plays/{name}", re.sub(r"\n{3,}", "\n\n", text))


def sections() -> Iterator[Document]:
    """Distinct sections of Wikipedia articles, as QuAC took them."""
    [path] = slice_files("sections")
    texts = dict.fromkeys(record["passage"] for record in _jsonl(path))
    for number, text in enumerate(texts, 1):
        text = text.removesuffix("CANNOTANSWER").strip()
        yield Document(f"sections/{number:04}", text)


def countries() -> Iterator[Document]:
    """The World Factbook, a document for each country: "key: text" lines."""
    for path in slice_files("countries"):
        profile = json.loads(path.read_text("utf-8"))
        lines = [
            line
            for part, entries in profile.items()
            for line in ["", part, *_leaves(entries)]
        ]
        id = f"countries/{slug(path.parent.name)}/{path.stem}"
        yield Document(id, "\n".join(lines).strip())


def _leaves(entry: dict[str, Any], key: str = "") -> Iterator[str]:
    """Every text in a nested entry, after the key it stands under."""
    for name, value in entry.items():
        if isinstance(value, dict):
            yield from _leaves(value, name)
        elif value:
            yield f"{key}: {value}"


def grimm() -> Iterator[Document]:
    """Tales of the brothers Grimm: title, empty line, text."""
    [path] = slice_files("grimm")
    lines = path.read_text("utf-8").splitlines()[3:]
    for number, line in enumerate(filter(None, lines), 1):
        _, title, _, text, *_ = line.split("\t")
        id = f"grimm/{number:02}-{slug(title)}"
        yield Document(id, f"{title}\n\n{unwrap(text)}")


def parables() -> Iterator[Document]:
    """Distinct short parables, spaces after full stops restored."""
    [path] = slice_files("parables")
    asked = (record["input"][-1]["content"] for record in _jsonl(path))
    texts = dict.fromkeys(a.split("\nWhich moral is this")[0] for a in asked)
    for number, text in enumerate(texts, 1):
        text = re.sub(r"([a-z][.!?]\"?)(?=[A-Z])", r"\1 ", text)
        text = re.sub(r"([,:])(?=\"[A-Z])", r"\1 ", text)
        yield Document(f"parables/{number:04}", unwrap(text))


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
