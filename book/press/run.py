"""Execute text notebooks into the .ipynb beside them, byte for byte stable.

python -m book.press.run [--force] [--text] [PREFIX ...]

No prefix: all of them. With --text, only prose and captions changed: outputs
are taken from the .ipynb, which must have the same code.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from book.press.export import export
from book.press.kernel import environment
from book.press.paths import Layout, PressError, write_atomic
from book.press.text import (
    Text,
    content,
    dump,
    fingerprint,
    normalize,
    read_notebook,
    read_text,
    tags,
)

CELL_SECONDS = 300
NOTEBOOK_SECONDS = 150


def clean(notebook: NotebookNode) -> NotebookNode:
    """Drop what changes from run to run; record what text it came from."""
    normalize(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("needs_background", None)
    notebook.metadata["text"] = fingerprint(notebook)
    return notebook


def edited(target: Path, text: Text, layout: Layout) -> bool:
    """Whether an .ipynb holds edits of its own that the text lacks."""
    if not target.exists():
        return False
    stored = read_notebook(target, layout)
    unchanged = stored.metadata.get("text") == fingerprint(stored)
    return not unchanged and content(stored) != content(text.notebook)


def execute(text: Text, folder: Path, layout: Layout) -> NotebookNode:
    """The executed notebook. PressError names the cell that failed."""
    start, total, last = time.monotonic(), len(text.cells), 0

    def progress(cell: NotebookNode, cell_index: int) -> None:
        nonlocal last
        last = cell_index
        if sys.stderr.isatty():
            seconds = time.monotonic() - start
            line = f"{text.name}: cell {cell_index + 1} of {total}"
            print(f"\r{line}, {seconds:.0f} s", end="", file=sys.stderr)

    client = NotebookClient(
        text.notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=progress,
    )
    try:
        client.execute(env=environment(layout))
    except CellTimeoutError as error:
        message = f"{text.name}: a cell ran over {CELL_SECONDS} s"
        raise PressError(f"{message}\n{error}") from error
    except CellExecutionError as error:
        raise PressError(f"{text.place(last)} failed\n{error}") from error
    seconds = time.monotonic() - start
    print(f"\r{text.name}: {total} cells, {seconds:.0f} s", file=sys.stderr)
    remember(text.name, seconds, layout)
    if seconds > NOTEBOOK_SECONDS:
        limit = f"a chapter has {NOTEBOOK_SECONDS} s"
        print(f"warning: {text.name}: {limit}", file=sys.stderr)
    return clean(text.notebook)


def retell(text: Text, target: Path, layout: Layout) -> NotebookNode:
    """New prose around the outputs stored for the same code.

    PressError if there are none, or if code cells or their tags changed.
    """
    old = read_notebook(target, layout).cells if target.exists() else []
    stored = [cell for cell in old if cell.cell_type == "code"]
    places = [i for i, c in enumerate(text.cells) if c.cell_type == "code"]
    for number, index in enumerate(places):
        cell = text.cells[index]
        one = stored[number] if number < len(stored) else None
        if one is None or (one.source, tags(one)) != (cell.source, tags(cell)):
            raise PressError(
                f"{text.place(index)} is not in {layout.name(target)}: its "
                "code changed, so run it without TEXT=1"
            )
        for key in ("outputs", "execution_count"):
            cell[key] = one[key]
    if len(stored) > len(places):
        raise PressError(
            f"{layout.name(target)} has code that {text.name} lacks, so run "
            "it without TEXT=1"
        )
    return clean(text.notebook)


def remember(name: str, seconds: float, layout: Layout) -> None:
    """Keep how long a notebook took, so that long ones can start first."""
    path = layout.cache / "seconds.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known[name] = round(seconds)
    write_atomic(path, json.dumps(known, indent=1, sort_keys=True) + "\n")


def noise(text: Text, notebook: NotebookNode) -> list[str]:
    """Complaints about cells that write warnings into the book."""
    found = []
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            loud = output.get("name") == "stderr"
            if loud and "allow-stderr" not in tags(cell):
                place, said = text.place(index), output.text.strip()
                found.append(f"{place} writes to stderr:\n{said}")
    return found


def run(
    path: Path, layout: Layout, force: bool = False, only_text: bool = False
) -> bool:
    """Execute one text notebook; whether its .ipynb changed.

    With `only_text` nothing is executed: see `retell`.
    PressError, and nothing written, if a cell fails or warns, or if the
    .ipynb holds edits that the text lacks (unless `force`).
    """
    text, target = read_text(path, layout), path.with_suffix(".ipynb")
    if not force and edited(target, text, layout):
        raise PressError(
            f"{layout.name(target)} has edits that the text lacks: "
            f"`make adopt CH={path.stem}` takes them over, "
            f"`make run CH={path.stem} FORCE=1` drops them"
        )
    if only_text:
        notebook = retell(text, target, layout)
    else:
        notebook = execute(text, path.parent, layout)
    if loud := noise(text, notebook):
        raise PressError("\n".join(loud))
    nbformat.validate(notebook)
    new = dump(notebook)
    if target.exists() and target.read_text("utf-8") == new:
        return False
    write_atomic(target, new)
    return True


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prefix", nargs="*")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--text", action="store_true")
    options, layout, failed = parser.parse_args(), Layout(), 0
    try:
        paths = layout.select(options.prefix)
    except PressError as error:
        paths, failed = [], 1
        print(f"run: {error}", file=sys.stderr)
    names = [layout.name(path) for path in paths]
    for complaint in export(layout).complaints(names):
        print(f"run: {complaint}", file=sys.stderr)
        failed = 1
    for path in paths if not failed else []:
        try:
            changed = run(path, layout, options.force, options.text)
        except PressError as error:
            print(f"run: {error}", file=sys.stderr)
            failed = 1
        else:
            name = layout.name(path.with_suffix(".ipynb"))
            print(f"{'wrote' if changed else 'unchanged'} {name}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
