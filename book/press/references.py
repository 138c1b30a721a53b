"""Rules about what refers to what: citations, exercises, numbers, glue."""

import re
from collections.abc import Iterator
from itertools import zip_longest

import nbformat

from book.press.manuscript import plain_lines, read_markdown, roles
from book.press.paths import Layout
from book.press.rules import Chapter

TYPED = re.compile(
    r"\b(Figures?|Figs?\.|Chapters?|Sections?|Tables?|Equations?|Eqs?\."
    r"|Exercises?|Appendix|Appendices|Listings?|Theorems?)"
    r"(?:[ ~]+|\n)(\d+(\.\d+)*|[IVX]+|[A-Z])\b(?![\w'\u2019])"
)
URL = re.compile(r"(https?://|www\.)\S+")
CITE = r"(?:foot)?cite(?::[\w:]+)?"
ENTRY = re.compile(r"^\s*@(\w+)\s*\{\s*([^,\s]+)\s*,", re.MULTILINE)
SOURCE = re.compile(r"\bSources?:\s*([^\n]*)")
KEY = re.compile(r"[a-z][\w-]*\d{4}[\w-]*")
GLUE = re.compile(r"""\bglue\(\s*["']([^"'{}]+)["']""")
COMPUTED_GLUE = re.compile(r"""\bglue\(\s*(?!["'\s])""")
RECORD = "application/papermill.record/"

Page = tuple[str, list[tuple[int, str]], str]  # name, prose, whole text


def pages(layout: Layout, chapters: list[Chapter]) -> Iterator[Page]:
    """Everything with prose: text notebooks and the book's other pages."""
    for chapter in chapters:
        yield chapter.name, chapter.prose, chapter.path.read_text("utf-8")
    for path in layout.pages():
        text = path.read_text("utf-8")
        prose = read_markdown(text.split("\n")).prose
        yield layout.name(path), prose, text


def typed_numbers(page: Page) -> Iterator[str]:
    """Numbers of figures and chapters come from the build, not from hands."""
    name, prose, _ = page
    lines = list(plain_lines(prose))
    for (line, text), after in zip_longest(lines, lines[1:], fillvalue=(0, "")):
        joined = f"{text}\n{after[1]}" if after[0] == line + 1 else text
        for hit in TYPED.finditer(joined):
            if hit.start() < len(text):
                said = " ".join(hit[0].split())
                yield f"{name}:{line}: typed reference {said!r}; use a role"


def bare_urls(page: Page) -> Iterator[str]:
    """Addresses stand in the bibliography or behind words."""
    name, prose, _ = page
    for line, text in plain_lines(prose):
        for hit in URL.finditer(text):
            yield f"{name}:{line}: bare address {hit[0]}; cite it or link words"


def citations(layout: Layout, chapters: list[Chapter]) -> Iterator[str]:
    """Every key is defined once and used; every cited key is defined."""
    path = layout.bibliography
    text = path.read_text("utf-8") if path.exists() else ""
    keys = [key for kind, key in ENTRY.findall(text) if kind != "comment"]
    bibliography, used = layout.name(path), set()
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"{bibliography}: {key} is defined twice"
    for name, _, whole in pages(layout, chapters):
        for _, content in roles(whole, CITE):
            for key in re.split(r"[,;]\s*", re.sub(r"\{[^}]*\}", "", content)):
                used.add(key.strip())
                if key.strip() not in keys:
                    yield f"{name}: {{cite}} of unknown key {key.strip()!r}"
    for chapter in chapters:
        for place, cell in chapter.code:
            for listed in SOURCE.findall(cell.source):
                found = KEY.findall(listed)
                used.update(found)
                if not found:
                    yield f"{place}: 'Source: {listed}' names no key"
                for key in found:
                    if key not in keys:
                        yield f"{place}: 'Source:' has unknown key {key!r}"
    for key in sorted(set(keys) - used):
        yield f"{bibliography}: {key} is never cited"


def exercises(chapters: list[Chapter]) -> Iterator[str]:
    """Each exercise is solved once, in chapters/solutions."""
    asked: dict[str, str] = {}
    solved: dict[str, str] = {}
    for chapter in chapters:
        started = ended = 0
        for directive in chapter.directives:
            place = f"{chapter.name}:{directive.line}"
            label = directive.options.get("label", "")
            if directive.name in ("exercise", "exercise-start"):
                if not label.startswith("ex-"):
                    yield f"{place}: exercise without ':label: ex-...'"
                elif label in asked:
                    yield f"{place}: {label} is also at {asked[label]}"
                asked.setdefault(label, place)
            if directive.name in ("solution", "solution-start"):
                if not label.startswith("sol-"):
                    yield f"{place}: solution without ':label: sol-...'"
                if not chapter.is_solution:
                    yield f"{place}: solutions stand in chapters/solutions"
                if directive.argument in solved:
                    first = solved[directive.argument]
                    yield f"{place}: {directive.argument} solved at {first}"
                solved[directive.argument] = place
                started += directive.name == "solution-start"
            ended += directive.name == "solution-end"
        if started != ended:
            yield (
                f"{chapter.name}: {started} solution-start, "
                f"{ended} solution-end"
            )
    for label in asked.keys() - solved.keys():
        yield f"{asked[label]}: {label} has no solution"
    for label in solved.keys() - asked.keys():
        yield f"{solved[label]}: solves the unknown exercise {label!r}"


def glued(chapter: Chapter) -> set[str]:
    """Keys that a chapter glues: in its code, and in its last execution."""
    keys = set()
    for _, cell in chapter.code:
        keys.update(GLUE.findall(cell.source))
    stored = chapter.path.with_suffix(".ipynb")
    if stored.exists():
        notebook = nbformat.read(  # type: ignore[no-untyped-call]
            stored, as_version=4
        )
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                record = output.get("metadata", {}).get("scrapbook", {})
                keys.update([record["name"]] if "name" in record else [])
    return keys


def glue_keys(chapters: list[Chapter]) -> Iterator[str]:
    """Numbers in sentences come from a run, from one place each."""
    known: dict[str, str] = {}
    keys = {chapter.name: glued(chapter) for chapter in chapters}
    for chapter in chapters:
        literal = [
            key for _, cell in chapter.code for key in GLUE.findall(cell.source)
        ]
        for key in sorted({key for key in literal if literal.count(key) > 1}):
            yield f"{chapter.name}: glue key {key!r} is set twice"
        for key in sorted(keys[chapter.name]):
            other = known.setdefault(key, chapter.name)
            if other != chapter.name:
                yield f"{chapter.name}: glue key {key!r} is also in {other}"
    for chapter in chapters:
        yield from _glue_uses(chapter, keys)


def _glue_uses(chapter: Chapter, keys: dict[str, set[str]]) -> Iterator[str]:
    computed = any(COMPUTED_GLUE.search(c.source) for _, c in chapter.code)
    if computed and not chapter.path.with_suffix(".ipynb").exists():
        return  # known after the first run
    whole = chapter.path.read_text("utf-8")
    used = [content for _, content in roles(whole, r"glue(?::\w+)?")]
    used += [
        d.argument for d in chapter.directives if d.name.startswith("glue")
    ]
    for content in used:
        document, _, key = content.rpartition("::")
        key = key if document else content
        key = re.sub(r":[^:]*$", "", key)
        own = keys[chapter.name]
        pool = set().union(*keys.values()) if document else own
        if key not in pool:
            yield f"{chapter.name}: glue key {key!r} is never set"
