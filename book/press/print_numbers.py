"""Numbers of parts, chapters and appendices, the same in print and on the site.

A chapter's number is in its file name (`chapters/06_x` is Chapter 6), so a
book with gaps keeps the numbers that readers cite. Appendices are lettered
in the order of the table of contents.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from docutils import nodes
from sphinx import addnodes
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector

Number = tuple[int | str, ...]

# The seven parts in order, each with the line that its opening page carries.
PARTS = {
    "The target": "A machine that predicts the next byte, "
    "and the score that tells a better one from a worse one.",
    "Data": "From the raw bytes of the web to the shards that a model reads.",
    "The model": "Vectors, angles, attention, and every byte of a transformer "
    "accounted for.",
    "Training": "Loss, optimizer, schedule, and what a run is worth.",
    "Many machines": "The same numbers from two processes or a thousand.",
    "From model to assistant": "Instructions, preferences, "
    "and rewards that can be checked.",
    "Use": "Sampling, serving, and looking inside.",
}
FRONT, APPENDICES, BACK = "Front matter", "Appendices", "Back matter"
CAPTIONS = {FRONT, APPENDICES, BACK, *PARTS}
ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII")
CHAPTER = re.compile(r"chapters/(\d\d)_[^/]+")
DEPTH = 2  # chapters and their sections carry numbers, deeper headings do not


class NumberingError(Exception):
    """The table of contents and the file names disagree."""


@dataclass(frozen=True)
class Entry:
    """One document of the table of contents and the part that it stands in."""

    docname: str
    caption: str
    number: Number | None


def part_number(caption: str) -> int:
    """Return the number of a part, 1 for the first."""
    return list(PARTS).index(caption) + 1


def chapter_number(docname: str) -> int:
    """Return the number that the file name of a chapter begins with."""
    match = CHAPTER.fullmatch(docname)
    if match is None:
        raise NumberingError(
            f"{docname} stands in a numbered part of _toc.yml, but its name "
            "is not chapters/NN_slug"
        )
    return int(match.group(1))


def toctrees(env: BuildEnvironment) -> Iterator[tuple[str, list[str]]]:
    """Yield each part's caption and its documents."""
    root = env.get_doctree(env.config.root_doc)
    for toctree in root.findall(addnodes.toctree):
        caption = toctree.get("bookcaption", toctree.get("caption") or "")
        if caption not in CAPTIONS:
            raise NumberingError(
                f"_toc.yml: unknown part {caption!r}; add it to PARTS in "
                "book/press/print_numbers.py"
            )
        yield caption, [docname for _, docname in toctree["entries"]]


def entries(env: BuildEnvironment) -> list[Entry]:
    """Return the documents of the book in order, with their numbers."""
    found = []
    letters = iter(string.ascii_uppercase)
    for caption, docnames in toctrees(env):
        for docname in docnames:
            number: Number | None = None
            if caption in PARTS:
                number = (chapter_number(docname),)
            elif caption == APPENDICES:
                number = (next(letters),)
            found.append(Entry(docname, caption, number))
    return found


def _number_document(
    env: BuildEnvironment, docname: str, number: Number
) -> None:
    """Give the document, its sections and its nested documents numbers."""
    table = cast(dict[str, dict[str, Number | None]], env.toc_secnumbers)
    numbers = table.setdefault(docname, {})
    env.titles[docname]["secnumber"] = number

    def walk(node: nodes.Element, number: Number) -> None:
        count = 0
        for item in node.children:
            if isinstance(item, addnodes.toctree):
                for _, nested in item["entries"]:
                    count += 1
                    _number_document(env, nested, (*number, count))
                continue
            if not isinstance(item, nodes.list_item):
                continue
            count += 1
            own = (*number, count)
            mark(item, own)

    def mark(item: nodes.list_item, own: Number) -> None:
        shown = own if len(own) <= DEPTH else None
        reference = item[0][0]
        reference["secnumber"] = shown
        numbers[reference["anchorname"]] = shown
        for child in item.children[1:]:
            if isinstance(child, nodes.bullet_list):
                walk(child, own)
            elif isinstance(child, addnodes.toctree):
                walk(nodes.bullet_list("", child.deepcopy()), own)

    first = env.tocs[docname][0]
    if isinstance(first, nodes.list_item):
        mark(first, number)


def assign_section_numbers(
    collector: TocTreeCollector, env: BuildEnvironment
) -> list[str]:
    """Number all documents; return those whose numbers changed."""
    before, env.toc_secnumbers = env.toc_secnumbers, {}
    for entry in entries(env):
        if entry.number is not None and entry.docname in env.tocs:
            _number_document(env, entry.docname, entry.number)
    return [
        docname
        for docname, numbers in env.toc_secnumbers.items()
        if numbers != before.get(docname)
    ]
