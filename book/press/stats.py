"""Count what each chapter holds: words, code, figures, exercises.

python -m book.press.stats
"""

import re

from book.press.manuscript import words
from book.press.paths import Layout
from book.press.rules import UNSEEN, Chapter
from book.press.text import exports, tags

COLUMNS = ("words", "cells", "lines", "figures", "data", "exercises")


def count(chapter: Chapter) -> dict[str, int]:
    """The counts of one text notebook; cells and lines as printed."""
    shown = [c for _, c in chapter.code if not UNSEEN & set(tags(c))]
    data = [c for _, c in chapter.code if "mystnb" in c.metadata]
    named = [directive.name for directive in chapter.directives]
    return {
        "words": len(re.findall(r"\w[\w'-]*", words(chapter.prose))),
        "cells": len(shown),
        "lines": sum(len(cell.source.splitlines()) for cell in shown),
        "figures": named.count("figure") + len(data),
        "data": len(data),
        "exercises": named.count("exercise"),
    }


def main() -> None:
    """Command line."""
    layout = Layout()
    chapters = [Chapter(path, layout) for path in layout.texts()]
    width = max((len(chapter.name) for chapter in chapters), default=0)
    print(" " * width, *(f"{name:>9}" for name in COLUMNS), "  modules")
    for chapter in chapters:
        counts = count(chapter)
        modules = {m for _, cell in chapter.code for m in exports(cell)}
        numbers = (f"{counts[name]:>9,}" for name in COLUMNS)
        print(f"{chapter.name:<{width}}", *numbers, f"{len(modules):>9}")


if __name__ == "__main__":
    main()
