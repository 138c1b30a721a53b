"""Text notebooks (MyST Markdown) as nbformat nodes, and back."""

import hashlib
import re
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from book.press.paths import PressError

HEADER = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def add_ids(notebook: NotebookNode) -> None:
    """Give each cell an id made from its content, so that re-runs agree."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        content = f"{cell.cell_type}\0{cell.source}".encode()
        digest = hashlib.sha256(content).hexdigest()[:8]
        seen[digest] = count = seen.get(digest, 0) + 1
        cell["id"] = digest if count == 1 else f"{digest}-{count}"


def normalize(notebook: NotebookNode) -> NotebookNode:
    """Canonical metadata, format version and cell ids, in place."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    add_ids(notebook)
    return notebook


def parse_text(text: str, name: str) -> NotebookNode:
    """Notebook of a MyST text. PressError (naming `name`) if it is none."""
    if not text.startswith("---\n"):
        raise PressError(f"{name}: does not begin with a `---` header")
    try:
        notebook = jupytext.reads(text, fmt="md:myst")
    except Exception as error:
        raise PressError(f"{name}: not a MyST notebook: {error}") from error
    return normalize(notebook)


def read_text(path: Path) -> NotebookNode:
    """Notebook of a text file."""
    return parse_text(path.read_text(encoding="utf-8"), path.name)


def write_text(notebook: NotebookNode) -> str:
    """The canonical text of a notebook: fixed header, then its cells."""
    plain = nbformat.from_dict(notebook)
    plain.metadata = nbformat.from_dict(METADATA)
    for cell in plain.cells:
        cell.pop("id", None)
    body: str = jupytext.writes(plain, fmt="md:myst")
    body = re.sub(r"\A---\n.*?\n---\n", "", body, count=1, flags=re.DOTALL)
    return HEADER + body


def read_notebook(path: Path) -> NotebookNode:
    """An .ipynb file. PressError if it is no version 4 notebook."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise PressError(f"{path.name}: not a notebook: {error}") from error


def dump(notebook: NotebookNode) -> str:
    """The bytes of an .ipynb: sorted keys, one newline at the end."""
    return str(nbformat.writes(notebook)).rstrip("\n") + "\n"
