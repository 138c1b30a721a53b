"""Check the manuscript against the rules of the house.

    python -m book.press.structure [PREFIX ...]     no prefix: the whole book

Messages name file and line. With prefixes only these files are reported.
"""

import sys
from collections.abc import Iterator

from book.press.paths import Layout, PressError
from book.press.references import (
    bare_urls,
    citations,
    exercises,
    glue_keys,
    pages,
    typed_numbers,
)
from book.press.rules import RULES, Chapter


def problems(layout: Layout) -> Iterator[str]:
    """Every broken rule of the book."""
    chapters = []
    for path in layout.texts():
        try:
            chapters.append(Chapter(path, layout))
        except PressError as error:
            yield str(error)
    for chapter in chapters:
        for rule in RULES:
            yield from rule(chapter)
    for page in pages(layout, chapters):
        yield from typed_numbers(page)
        yield from bare_urls(page)
    yield from citations(layout, chapters)
    yield from exercises(chapters)
    yield from glue_keys(chapters)


def main() -> int:
    """Command line."""
    layout = Layout()
    try:
        names = [layout.name(path) for path in layout.select(sys.argv[1:])]
    except PressError as error:
        print(f"structure: {error}", file=sys.stderr)
        return 1
    found = [
        problem
        for problem in problems(layout)
        if not sys.argv[1:] or problem.startswith(tuple(names))
    ]
    for problem in found:
        print(f"structure: {problem}", file=sys.stderr)
    if not found:
        print(f"structure: {len(names)} text notebooks keep the rules")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
