"""Definitions that one chapter pastes from another instead of importing."""

import ast
import re
from collections.abc import Iterator

from book.press.source import Cell, Definition, parse
from book.press.text import Text

PASTED_LINES = 4  # shorter helpers may occur twice


def find_pasted(texts: list[Text]) -> Iterator[tuple[str, str]]:
    """(chapter, problem) of each public definition with a body seen before.

    Docstrings may differ, and a chapter may repeat itself.
    """
    seen: dict[str, tuple[str, str]] = {}
    for text in texts:
        for index, cell in enumerate(text.cells):
            if cell.cell_type != "code":
                continue
            plain = re.sub(r"(?m)^[%!].*$", "", cell.source)
            parsed = parse(text.place(index), plain)
            for node, code in definitions(parsed):
                first, place = seen.setdefault(
                    code, (text.name, text.place(index))
                )
                if first != text.name and isinstance(parsed, Cell):
                    problem = f"{node.name} is pasted from {place}; import it"
                    yield text.name, parsed.at(problem)


def definitions(cell: Cell | str) -> Iterator[tuple[Definition, str]]:
    """Public definitions of some length, with their code but docstring."""
    for node in cell.tree.body if isinstance(cell, Cell) else []:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        if lines >= PASTED_LINES:
            yield node, ast.dump(node)
