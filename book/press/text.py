"""Text notebooks (MyST Markdown) as nbformat nodes, and back."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from jupytext.myst import myst_to_notebook
from nbformat import NotebookNode

from book.press.paths import Layout, PressError

HEADER = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT = ("tags", "mystnb")  # cell metadata that belongs to the manuscript
ORDER = ["tags", "mystnb", "figure", "image", "name", "caption", "alt"]


@dataclass
class Text:
    """A text notebook: its name, its cells and the line each begins at."""

    name: str
    notebook: NotebookNode
    lines: list[int]

    @property
    def cells(self) -> list[NotebookNode]:
        """The cells in order."""
        return list(self.notebook.cells)

    def place(self, index: int) -> str:
        """File, line and number of a cell, for messages; index from 0."""
        return f"{self.name}:{self.lines[index]}: cell {index + 1}"


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def exports(cell: NotebookNode) -> list[str]:
    """Modules that a cell is exported to."""
    marks = [tag for tag in tags(cell) if tag.startswith("export:")]
    return [mark.removeprefix("export:") for mark in marks]


def kept_metadata(cell: NotebookNode) -> dict[str, Any]:
    """What the manuscript says about a cell: not what editors add."""
    return {key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)}


def clean_source(source: str) -> str:
    """A source without blank lines around it or spaces at line ends."""
    lines = [line.rstrip() for line in source.splitlines()]
    return "\n".join(lines).strip("\n")


def content(notebook: NotebookNode) -> list[tuple[str, str, str]]:
    """All that text and notebook must share: type, source, metadata."""
    return [
        (
            cell.cell_type,
            clean_source(cell.source),
            json.dumps(kept_metadata(cell), sort_keys=True),
        )
        for cell in notebook.cells
        if cell.source.strip() or cell.cell_type == "code"
    ]


def fingerprint(notebook: NotebookNode) -> str:
    """Hash of the shared content."""
    text = json.dumps(content(notebook))
    return hashlib.sha256(text.encode()).hexdigest()


def normalize(notebook: NotebookNode) -> NotebookNode:
    """Canonical metadata and sources; ids made from content, in place."""
    notebook.metadata = nbformat.from_dict(  # type: ignore[no-untyped-call]
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.source = clean_source(cell.source)
        cell.metadata = nbformat.from_dict(  # type: ignore[no-untyped-call]
            kept_metadata(cell)
        )
        text = f"{cell.cell_type}\0{cell.source}".encode()
        digest = hashlib.sha256(text).hexdigest()[:8]
        seen[digest] = count = seen.get(digest, 0) + 1
        cell["id"] = digest if count == 1 else f"{digest}-{count}"
    return notebook


def parse_text(text: str, name: str) -> Text:
    """Cells of a MyST text. PressError (with `name`) if it is none."""
    if not text.startswith("---\n"):
        raise PressError(f"{name}:1: the jupytext header is missing")
    try:
        notebook = myst_to_notebook(text, add_source_map=True)
    except Exception as error:  # bad YAML, tags that are no words, ...
        reason = " ".join(str(error).split())[:200]
        raise PressError(f"{name}: unreadable cell: {reason}") from error
    lines = [line + 1 for line in notebook.metadata["source_map"]]
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            lines[index] -= 1  # jupytext counts from after the fence
        if unknown := set(cell.metadata) - set(KEPT):
            raise PressError(
                f"{name}:{lines[index]}: unknown cell option "
                f"{', '.join(sorted(unknown))}; known: {', '.join(KEPT)}"
            )
    return Text(name, normalize(notebook), lines)


def read_text(path: Path, layout: Layout) -> Text:
    """A text notebook from its file."""
    return parse_text(path.read_text(encoding="utf-8"), layout.name(path))


def read_notebook(path: Path, layout: Layout) -> NotebookNode:
    """An .ipynb file as stored. PressError if it is no notebook."""
    try:
        return nbformat.read(  # type: ignore[no-untyped-call]
            path, as_version=4
        )
    except Exception as error:
        raise PressError(
            f"{layout.name(path)}: not a notebook ({error}); "
            "`make run` writes it anew once it is deleted"
        ) from error


def dump(notebook: NotebookNode) -> str:
    """The bytes of an .ipynb: sorted keys, one newline at the end."""
    text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    return str(text).rstrip("\n") + "\n"


class _Block(yaml.SafeDumper):
    """YAML as people write it: flow lists, text in blocks."""


def _scalar(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else ">" if len(value) > 66 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _list(dumper: yaml.SafeDumper, value: list[object]) -> yaml.SequenceNode:
    tag = "tag:yaml.org,2002:seq"
    return dumper.represent_sequence(tag, value, flow_style=True)


_Block.add_representer(str, _scalar)
_Block.add_representer(list, _list)


def _ordered(value: Any) -> Any:
    """Mappings in the order of the manuscript, not of the JSON file."""
    if not isinstance(value, dict):
        return value
    known = {key: place for place, key in enumerate(ORDER)}
    keys = sorted(value, key=lambda key: (known.get(key, len(ORDER)), key))
    return {key: _ordered(value[key]) for key in keys}


def _options(metadata: dict[str, Any]) -> str:
    """The option lines of a code cell."""
    if not metadata:
        return ""
    if set(metadata) == {"tags"}:
        return f":tags: [{', '.join(metadata['tags'])}]\n\n"
    block = yaml.dump(
        _ordered(json.loads(json.dumps(metadata))),
        Dumper=_Block,
        sort_keys=False,
        allow_unicode=True,
        width=68,
    )
    return f"---\n{block}---\n"


def write_text(notebook: NotebookNode, name: str) -> str:
    """The canonical text of a notebook; parsing it gives the same cells.

    PressError if a cell cannot be written as text, such as a Markdown cell
    that itself holds a `+++` line or a code cell fence.
    """
    parts, after_markdown = [HEADER], False
    for cell in notebook.cells:
        source, metadata = clean_source(cell.source), kept_metadata(cell)
        if cell.cell_type == "code":
            runs = re.findall(r"^`{3,}", source, re.MULTILINE)
            fence = "`" * max([3, *(len(run) + 1 for run in runs)])
            head = f"{fence}{{code-cell}} ipython3\n{_options(metadata)}"
            body = f"{source}\n" if source else ""
            parts.append(f"{head}{body}{fence}\n")
        elif source:
            mark = f"+++ {json.dumps(metadata)}\n\n" if metadata else ""
            if after_markdown and not mark:
                mark = "+++\n\n"
            parts.append(f"{mark}{source}\n")
        after_markdown = cell.cell_type != "code"
    text = "\n".join(parts)
    _prove(text, notebook, name)
    return text


def _prove(text: str, notebook: NotebookNode, name: str) -> None:
    """PressError unless the text reads back as the same cells."""
    back, wanted = content(parse_text(text, name).notebook), content(notebook)
    for number, (old, new) in enumerate(zip(wanted, back, strict=False), 1):
        if old != new:
            raise PressError(
                f"{name}: cell {number} cannot be written as text: "
                f"{old[1][:60]!r}"
            )
    if len(back) != len(wanted):
        raise PressError(f"{name}: {len(wanted)} cells, {len(back)} as text")
