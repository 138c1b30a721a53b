"""Prove that text notebooks, executed notebooks and package agree.

    python -m book.press.sync

Same cells in .md and .ipynb; every cell executed, in order, without error or
warning; the package as the chapters have it. Nothing is run or written.
"""

import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from nbformat import NotebookNode

from book.press.export import export
from book.press.paths import Layout, PressError
from book.press.run import noise
from book.press.text import (
    Text,
    content,
    dump,
    fingerprint,
    read_notebook,
    read_text,
    tags,
)

RUN_AGAIN = "`make run` executes it again"


def compare(text: Text, stored: NotebookNode, name: str) -> Iterator[str]:
    """The first cell that differs between a text and its notebook."""
    ours, theirs = content(text.notebook), content(stored)
    parts = ("type", "source", "tags or options")
    for index, (old, new) in enumerate(zip_longest(ours, theirs)):
        if old == new:
            continue
        if old is None or new is None:
            yield (
                f"{text.name} has {len(ours)} cells, {name} has {len(theirs)}; "
                f"{RUN_AGAIN}"
            )
        else:
            same = [a == b for a, b in zip(old, new, strict=True)]
            what = parts[same.index(False)]
            yield f"{text.place(index)}: {what} differs in {name}; {RUN_AGAIN}"
        return


def unfinished(text: Text, stored: NotebookNode, name: str) -> Iterator[str]:
    """Cells that were not executed in one go, or that failed or warned."""
    expected = 0
    for number, cell in enumerate(stored.cells, 1):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        place = f"{name}: cell {number}"
        if "skip-execution" in tags(cell):
            continue
        expected += 1
        if cell.execution_count != expected:
            yield (
                f"{place}: execution count {cell.execution_count}, "
                f"expected {expected}; {RUN_AGAIN}"
            )
            return
        for output in cell.outputs:
            failed = output.output_type == "error"
            if failed and "raises-exception" not in tags(cell):
                yield f"{place}: stored error {output.ename}; {RUN_AGAIN}"
    yield from noise(text, stored)


def agree(path: Path, layout: Layout) -> Iterator[str]:
    """Problems of one text notebook and the .ipynb beside it."""
    text, target = read_text(path, layout), path.with_suffix(".ipynb")
    name = layout.name(target)
    if not target.exists():
        chosen = path.relative_to(layout.chapters).with_suffix("")
        yield f"{name} is missing; `make run CH={chosen}` writes it"
        return
    stored = read_notebook(target, layout)
    differences = list(compare(text, stored, name))
    yield from differences
    if differences:
        return
    yield from unfinished(text, stored, name)
    if stored.metadata.get("text") != fingerprint(stored):
        yield f"{name}: not written by `make run`; {RUN_AGAIN}"
    elif target.read_text("utf-8") != dump(stored):
        yield f"{name}: not in canonical form; {RUN_AGAIN}"


def problems(layout: Layout) -> Iterator[str]:
    """Everything out of sync in the book."""
    for path in layout.texts():
        try:
            yield from agree(path, layout)
        except PressError as error:
            yield str(error)
    for target in layout.notebooks():
        if not target.with_suffix(".md").exists():
            yield (
                f"{layout.name(target)} has no text; "
                f"`make adopt CH={target.stem}` writes it"
            )
    yield from export(layout, check=True).complaints()


def main() -> int:
    """Command line."""
    layout, found = Layout(), 0
    for problem in problems(layout):
        print(f"sync: {problem}", file=sys.stderr)
        found = 1
    if not found:
        print(f"{len(layout.texts())} text notebooks and the package agree")
    return found


if __name__ == "__main__":
    sys.exit(main())
