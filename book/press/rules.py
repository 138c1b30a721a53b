"""House rules that each text notebook must keep, one function a rule."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from book.press.manuscript import Directive, Markdown, read_markdown, words
from book.press.paths import Layout
from book.press.source import COLUMNS, parse
from book.press.text import Text, exports, read_text, tags

CELL_LINES = 35
CLASS_LINES = 60
DATA_FIGURES = 3
UNSEEN = {"remove-cell", "remove-input", "hide-input", "hide-cell"}
TAGS = UNSEEN | {
    *("allow-stderr", "hide-output", "nbval-check-output"),
    *("nbval-ignore-output", "nbval-skip", "raises-exception"),
    *("remove-output", "skip-execution"),
}
BOX = ("Needs", "Builds", "Measures", "Costs")


class Chapter:
    """One text notebook, scanned once."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self.text: Text = read_text(path, layout)
        self.name = self.text.name
        self.is_solution = path.parent == layout.solutions
        self.is_numbered = path.name[0].isdigit() and not self.is_solution

    @property
    def cells(self) -> list[NotebookNode]:
        """The cells in order."""
        return self.text.cells

    @cached_property
    def code(self) -> list[tuple[str, NotebookNode]]:
        """Code cells with their places."""
        return [
            (self.text.place(index), cell)
            for index, cell in enumerate(self.cells)
            if cell.cell_type == "code"
        ]

    @cached_property
    def markdown(self) -> list[tuple[int, Markdown]]:
        """Index and scan of each Markdown cell."""
        return [
            (index, read_markdown(cell.source.split("\n"), self.line(index)))
            for index, cell in enumerate(self.cells)
            if cell.cell_type == "markdown"
        ]

    def line(self, index: int) -> int:
        """The line of the file where a Markdown cell's text begins."""
        lines = self.path.read_text("utf-8").split("\n")
        line = self.text.lines[index]
        while line <= len(lines) and not lines[line - 1].strip():
            line += 1
        return line

    @cached_property
    def directives(self) -> list[Directive]:
        """All directives, code cells apart."""
        return [d for _, part in self.markdown for d in part.directives]

    @cached_property
    def prose(self) -> list[tuple[int, str]]:
        """All lines of prose with their numbers."""
        return [line for _, part in self.markdown for line in part.prose]

    @cached_property
    def headings(self) -> list[tuple[int, int, str]]:
        """(line, level, title) of each heading."""
        found = []
        for line, text in self.prose:
            if hit := re.match(r"(#+)\s+(.*)", text):
                found.append((line, len(hit[1]), hit[2].strip()))
        return found

    def at(self, line: int, problem: str) -> str:
        """A message about a line."""
        return f"{self.name}:{line}: {problem}"


def opening(chapter: Chapter) -> Iterator[str]:
    """Label and title come first; one title; chapters show box and map."""
    first = chapter.cells[0].source.split("\n") if chapter.cells else []
    label = "sol" if chapter.is_solution else "ch|app"
    if not first or not re.fullmatch(rf"\(({label}):[\w-]+\)=", first[0]):
        yield chapter.at(6, f"must begin with a label ({label}:...)=")
    elif len(first) < 2 or not first[1].startswith("# "):
        yield chapter.at(7, "the title must follow the label")
    for line, level, title in chapter.headings[1:]:
        if level == 1:
            yield chapter.at(line, f"second title {title!r}")
    if chapter.is_solution:
        return
    boxes = [
        d
        for d in chapter.directives
        if "chapter-box" in d.options.get("class", "")
    ]
    if len(boxes) != 1:
        yield chapter.at(6, f"has {len(boxes)} chapter-box admonitions, not 1")
    for box in boxes:
        said = box.argument + "\n".join(box.body)
        for word in BOX:
            if word not in said:
                yield chapter.at(box.line, f"the chapter box lacks {word!r}")
    maps = [d for d in chapter.directives if "figures/map-" in d.argument]
    if len(maps) != 1:
        yield chapter.at(6, f"has {len(maps)} map-* figures, not 1")


def sections(chapter: Chapter) -> Iterator[str]:
    """The required sections of level 2, once each."""
    if chapter.is_solution:
        return
    required = ["Summary", "Sources"]
    if chapter.is_numbered:
        required = ["Pitfalls", "Exercises", *required]
    titles = [title for _, level, title in chapter.headings if level == 2]
    for title in required:
        if titles.count(title) != 1:
            count = titles.count(title)
            yield chapter.at(6, f"has {count} sections '## {title}', not 1")


def figures(chapter: Chapter) -> Iterator[str]:
    """Every figure has a name, a caption and an alt text."""
    for directive in chapter.directives:
        if directive.name != "figure":
            if directive.name == "image":
                yield chapter.at(directive.line, "use {figure}, with a caption")
            continue
        name = directive.options.get("name", "")
        if not name.startswith("fig-"):
            yield chapter.at(directive.line, "figure without ':name: fig-...'")
        if not directive.options.get("alt"):
            yield chapter.at(directive.line, f"figure {name} has no alt text")
        if not "".join(directive.body).strip():
            yield chapter.at(directive.line, f"figure {name} has no caption")
        yield from _files(chapter, directive)
    for place, cell in chapter.code:
        yield from _code_figure(place, cell)


def _files(chapter: Chapter, directive: Directive) -> Iterator[str]:
    """The files of a drawn figure exist, for print and for screen."""
    path = chapter.path.parent / directive.argument
    ends = [".pdf", ".svg"] if path.suffix == ".*" else [path.suffix]
    for end in ends:
        if not path.with_suffix(end).exists():
            missing = path.with_suffix(end).name
            yield chapter.at(
                directive.line, f"figure file {missing} is missing"
            )


def _code_figure(place: str, cell: NotebookNode) -> Iterator[str]:
    options: dict[str, Any] = cell.metadata.get("mystnb", {})
    figure, image = options.get("figure", {}), options.get("image", {})
    if not figure:
        if "plt.show()" in cell.source and "remove-cell" not in tags(cell):
            yield f"{place}: a plot needs mystnb.figure (name, caption, alt)"
        return
    if not str(figure.get("name", "")).startswith("fig-"):
        yield f"{place}: mystnb.figure.name must be fig-..."
    if not str(figure.get("caption", "")).strip():
        yield f"{place}: mystnb.figure.caption is missing"
    if not str(image.get("alt", "")).strip():
        yield f"{place}: mystnb.image.alt is missing"


def enough_figures(chapter: Chapter) -> Iterator[str]:
    """A numbered chapter shows data that it measured."""
    drawn = [1 for _, cell in chapter.code if "figure" in _mystnb(cell)]
    if chapter.is_numbered and len(drawn) < DATA_FIGURES:
        yield chapter.at(
            6, f"has {len(drawn)} data figures; at least {DATA_FIGURES}"
        )


def _mystnb(cell: NotebookNode) -> dict[str, Any]:
    return dict(cell.metadata.get("mystnb", {}))


def code_size(chapter: Chapter) -> Iterator[str]:
    """Cells fit one look and lines fit the page; a class may be longer."""
    for place, cell in chapter.code:
        lines = [line for line in cell.source.split("\n") if line.strip()]
        limit = CLASS_LINES if _is_class(cell) else CELL_LINES
        if len(lines) > limit:
            yield f"{place}: {len(lines)} lines of code; at most {limit}"
        for line in lines:
            if len(line) > COLUMNS:
                yield f"{place}: {len(line)} columns: {line.strip()[:40]}..."


def _is_class(cell: NotebookNode) -> bool:
    parsed = parse("", cell.source)
    if isinstance(parsed, str):
        return False
    body = parsed.tree.body
    return len(body) == 1 and hasattr(body[0], "bases")


def prose_between(chapter: Chapter) -> Iterator[str]:
    """Between any two visible code cells stands a paragraph."""
    since = True
    scans = dict(chapter.markdown)
    for index, cell in enumerate(chapter.cells):
        if cell.cell_type == "markdown":
            since = since or len(words(scans[index].prose).split()) > 2
        elif not UNSEEN & set(tags(cell)):
            if not since:
                place = chapter.text.place(index)
                yield f"{place}: no prose since the last code cell"
            since = False


def known_tags(chapter: Chapter) -> Iterator[str]:
    """Tags are spelled right and skipped cells are skipped everywhere."""
    for place, cell in chapter.code:
        unknown = set(tags(cell)) - TAGS
        for tag in sorted(unknown - {f"export:{m}" for m in exports(cell)}):
            yield f"{place}: unknown tag {tag!r}"
        skips = {"skip-execution", "nbval-skip"} & set(tags(cell))
        if len(skips) == 1:
            yield f"{place}: skip-execution and nbval-skip go together"
    for index, cell in enumerate(chapter.cells):
        if cell.cell_type == "markdown" and "{code-cell}" in cell.source:
            place = chapter.text.place(index)
            yield f"{place}: a {{code-cell}} cannot stand inside a directive"


def asserted(chapter: Chapter) -> Iterator[str]:
    """A claim about an output that may vary is held by an assert."""
    checked = [_asserts(cell) for _, cell in chapter.code]
    for index, (place, cell) in enumerate(chapter.code):
        if "nbval-ignore-output" not in tags(cell):
            continue
        held = any(checked) if _is_plot(cell) else any(checked[index:])
        if not held:
            yield (
                f"{place}: its output may vary, and no assert in or after it "
                "holds the claim"
            )


def _asserts(cell: NotebookNode) -> bool:
    return (
        re.search(r"^\s*assert\b|assert_close\(", cell.source, re.M) is not None
    )


def _is_plot(cell: NotebookNode) -> bool:
    return "figure" in _mystnb(cell)


def vector_figures(chapter: Chapter) -> Iterator[str]:
    """A notebook that plots asks for figures that print sharply."""
    sources = "\n".join(cell.source for _, cell in chapter.code)
    if "plt.show()" in sources and "figure_formats" not in sources:
        yield chapter.at(6, "plots, but does not set figure_formats")


RULES = (
    opening,
    sections,
    figures,
    enough_figures,
    code_size,
    prose_between,
    known_tags,
    asserted,
    vector_figures,
)
