"""Execute text notebooks into the .ipynb beside them, byte for byte stable.

python -m book.press.run [PREFIX ...]     no prefix: all of them
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from book.press.export import export
from book.press.paths import Layout, PressError
from book.press.text import dump, normalize, read_text, tags

ENVIRONMENT = {
    "SOURCE_DATE_EPOCH": "315619200",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TZ": "UTC",
    "JUPYTER_PREFER_ENV_PATH": "1",
}
CELL_SECONDS = 300
NOTEBOOK_SECONDS = 150


def kernel_environment(layout: Layout, scratch: str) -> dict[str, str]:
    """What a kernel sees: the reader's own settings do not leak in."""
    environment = {**os.environ, **ENVIRONMENT}
    environment.pop("MPLBACKEND", None)
    environment["IPYTHONDIR"] = scratch
    environment["PYTHONPATH"] = str(layout.root)
    return environment


def clean(notebook: NotebookNode) -> NotebookNode:
    """Drop what changes from run to run: timings and transient metadata."""
    normalize(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("needs_background", None)
    return notebook


def execute(path: Path, layout: Layout) -> NotebookNode:
    """The executed notebook. PressError names the cell that failed."""
    notebook, name = read_text(path), layout.name(path)
    start, total = time.monotonic(), len(notebook.cells)

    def progress(cell: NotebookNode, cell_index: int) -> None:
        seconds = time.monotonic() - start
        print(
            f"\r{name}: cell {cell_index + 1} of {total}, {seconds:.0f} s ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    with tempfile.TemporaryDirectory() as scratch:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(layout.chapters)}},
            on_cell_execute=progress,
        )
        try:
            client.execute(env=kernel_environment(layout, scratch))
        except (CellExecutionError, CellTimeoutError) as error:
            number = client.code_cells_executed
            raise PressError(f"{name}, code cell {number}:\n{error}") from error
        finally:
            print(file=sys.stderr)
    seconds = time.monotonic() - start
    if seconds > NOTEBOOK_SECONDS:
        print(
            f"warning: {name} took {seconds:.0f} s; "
            f"a chapter has {NOTEBOOK_SECONDS} s",
            file=sys.stderr,
        )
    return clean(notebook)


def stderr_cells(notebook: NotebookNode, name: str) -> list[str]:
    """Complaints about warnings that would be printed in the book."""
    found = []
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            noisy = output.get("name") == "stderr"
            if noisy and "allow-stderr" not in tags(cell):
                text = output.text.strip()
                found.append(f"{name}, cell {number} writes stderr: {text}")
    return found


def write_atomic(path: Path, text: str) -> None:
    """Replace a file only when all of the new text is on the disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def run(path: Path, layout: Layout) -> bool:
    """Execute one text notebook; whether its .ipynb changed."""
    notebook = execute(path, layout)
    if noise := stderr_cells(notebook, layout.name(path)):
        raise PressError("\n".join(noise))
    nbformat.validate(notebook)
    target, text = path.with_suffix(".ipynb"), dump(notebook)
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return False
    write_atomic(target, text)
    return True


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prefix", nargs="*")
    layout = Layout()
    try:
        paths = layout.select(parser.parse_args().prefix)
        export(layout, check=False)
        for path in paths:
            state = "wrote" if run(path, layout) else "unchanged"
            print(f"{state} {layout.name(path.with_suffix('.ipynb'))}")
    except PressError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
