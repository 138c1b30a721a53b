# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""Readers of the real sets that carry labels, for the chapters on data."""

import ast
import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_from_scratch.corpus.fetch import slice_files
from llm_from_scratch.corpus.records import Document, RawDocument, slug

__all__ = [
    "Chat",
    "Comment",
    "Declaration",
    "GoldPage",
    "Mail",
    "NewsPage",
    "chats",
    "language_model",
    "languages",
    "news",
    "pages",
    "spam",
    "toxicity",
    "toxicity_prompts",
]


@dataclass(frozen=True)
class Chat(Document):
    """A chat of two; `ratings` (1 to 10) are what one of them thought of it."""

    turns: tuple[tuple[str, str], ...]  # speaker "A" or "B", and the words
    ratings: Mapping[str, int]  # witty, upbeat, interesting; may be empty


def chats() -> Iterator[Chat]:
    """Chats in which both spoke, a line for each turn."""
    [path] = slice_files("chats")
    table = json.loads(path.read_text("utf-8"))
    for key, chat in table.items():
        names: dict[str, str] = {}
        turns = []
        for turn in chat["messages"]:
            words = " ".join(message["text"] for message in turn)
            sender, words = turn[0]["sender"], " ".join(words.split())
            if words:
                if sender not in names:
                    names[sender] = "AB"[len(names)]
                turns.append((names[sender], words))
        if len(names) == 2:
            text = "\n".join(f"{name}: {words}" for name, words in turns)
            ratings = {k: int(v) for k, v in chat.get("ratings", {}).items()}
            yield Chat(f"chats/{key[:13]}", text, tuple(turns), ratings)


@dataclass(frozen=True)
class Mail(RawDocument):
    """A mail with all its headers."""

    spam: bool


def spam() -> Iterator[Mail]:
    """Mails of SpamAssassin; the folder is the second part of the id."""
    for path in slice_files("spam"):
        folder, number = path.parent.name, path.stem.partition(".")[0]
        spam = folder.startswith("spam")
        yield Mail(f"spam/{folder}/{number}", "", path.read_bytes(), spam)


@dataclass(frozen=True)
class Comment(Document):
    """A sentence that may hurt, and how toxic it was judged, from 0 to 1."""

    scores: Mapping[str, float]


def toxicity() -> Iterator[Comment]:
    """Prompts with a score for each of eight kinds of toxicity."""
    [path] = slice_files("toxicity")
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            scores = json.loads(line)
            text = scores.pop("text").strip()
            yield Comment(f"toxicity/{number:04}", text, scores)


def toxicity_prompts() -> Iterator[Comment]:
    """Distinct prompts, each listed under one or several kinds."""
    kinds: dict[str, dict[str, float]] = {}
    for path in slice_files("toxicity-prompts"):
        kind = path.stem.removeprefix("rtp_")
        for line in path.read_text("utf-8").splitlines():
            if line.strip():
                kinds.setdefault(line.strip(), {})[kind] = 1.0
    for number, (text, scores) in enumerate(kinds.items(), 1):
        yield Comment(f"toxicity-prompts/{number:03}", text, scores)


@dataclass(frozen=True)
class Declaration(Document):
    """The Declaration of Human Rights in one language or orthography."""

    language: str  # ISO 639-3
    code: str  # unique: the language, and the orthography if there are several


def languages() -> Iterator[Declaration]:
    """The declaration in each language, a line for each paragraph."""
    for path in slice_files("languages"):
        page = path.read_text("utf-8")
        attributes = dict(re.findall(r'data-(\w+)="([^"]*)"', page[:300]))
        lines = re.findall(r"<(?:h\d|p|li)\b[^>]*>(.*?)</", page, re.DOTALL)
        words = (html.unescape(re.sub(r"<[^>]+>", "", x)) for x in lines)
        text = "\n".join(re.sub(r"\s+", " ", x).strip() for x in words)
        code = attributes["code"]
        language = attributes["iso6393"]
        yield Declaration(f"languages/{code}", text, language, code)


def language_model() -> Path:
    """The file lid.176.ftz, for fastText or its reimplementations."""
    [path] = slice_files("language-model")
    return path


@dataclass(frozen=True)
class GoldPage(RawDocument):
    """A page with strings that its main text must, and must not, contain."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


def pages() -> Iterator[GoldPage]:
    """Real pages; the gold is read out of the assertions of a test file."""
    *files, tests = slice_files("pages")
    tree = ast.parse(tests.read_text("utf-8"))
    names = _dict_of(tree, "MOCK_PAGES")
    gold = _assertions(tree)
    for number, (url, (wanted, unwanted)) in enumerate(gold.items(), 1):
        data = (files[0].parent / names[url]).read_bytes()
        id = f"pages/{number:02}"
        yield GoldPage(id, url, data, tuple(wanted), tuple(unwanted))


def _dict_of(tree: ast.Module, name: str) -> dict[str, str]:
    """The literal dict that a module assigns to a name."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id == name:
                return dict(ast.literal_eval(node.value))
    raise ValueError(f"no assignment to {name}")


def _assertions(tree: ast.Module) -> dict[str, tuple[list[str], list[str]]]:
    """Strings asserted "in" and "not in" the result for each page's URL."""
    gold: dict[str, tuple[list[str], list[str]]] = {}
    url = ""
    for node in (n for f in tree.body for n in getattr(f, "body", ())):
        match node:
            case ast.Assign(
                value=ast.Call(
                    func=ast.Name("load_mock_page"),
                    args=[ast.Constant(str(page)), *_],
                )
            ):
                url = page
            case ast.Assign(targets=[ast.Name("result")]):
                url = ""  # another result, of no page
            case ast.Assert(test) if url:
                for part in ast.walk(test):
                    match part:
                        case ast.Compare(
                            ast.Constant(str(text)), [op], [ast.Name("result")]
                        ):
                            kind = isinstance(op, ast.NotIn)
                            gold.setdefault(url, ([], []))[kind].append(text)
    return gold


@dataclass(frozen=True)
class NewsPage(RawDocument):
    """A news page and the text that a person copied out of it."""

    text: str


def news() -> Iterator[NewsPage]:
    """News pages in many scripts that come with their full text."""
    files = slice_files("news")
    texts = {path.stem: path for path in files if path.suffix == ".txt"}
    for path in files:
        if path.suffix == ".html" and path.stem in texts:
            id, data = f"news/{slug(path.stem)}", path.read_bytes()
            text = texts[path.stem].read_text("utf-8").strip()
            yield NewsPage(id, "", data, text)
