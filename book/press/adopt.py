"""Carry edits made in Jupyter from an .ipynb back into its text.

    python -m book.press.adopt [--force] PREFIX ...

Each .ipynb records which text it was executed from. If the text has changed
since then too, nothing is written, unless forced; a forced text is kept as
.md.bak.
"""

import argparse
import difflib
import sys
from pathlib import Path

from book.press.paths import Layout, PressError, write_atomic
from book.press.text import (
    content,
    fingerprint,
    parse_text,
    read_notebook,
    write_text,
)


def find(layout: Layout, prefixes: list[str]) -> list[Path]:
    """Text files, existing or not, of the chosen executed notebooks."""
    chosen = []
    for prefix in prefixes:
        hits = [
            path.with_suffix(".md")
            for path in layout.notebooks()
            if path.relative_to(layout.chapters).as_posix().startswith(prefix)
            or path.name.startswith(prefix)
        ]
        if not hits:
            raise PressError(f"no notebook {prefix}*.ipynb")
        chosen += hits
    return list(dict.fromkeys(chosen))


def difference(old: str, new: str, name: str) -> str:
    """Unified diff of two texts."""
    ours, theirs = old.splitlines(), new.splitlines()
    labels = name, f"{name} from Jupyter"
    return "\n".join(
        difflib.unified_diff(ours, theirs, *labels, lineterm="", n=1)
    )


def adopt(path: Path, layout: Layout, force: bool = False) -> str:
    """Write the text of one notebook if Jupyter changed it; say what was done.

    PressError, and nothing written, if both sides changed.
    """
    name = layout.name(path)
    stored = read_notebook(path.with_suffix(".ipynb"), layout)
    new = write_text(stored, name)
    if not path.exists():
        write_atomic(path, new)
        return f"wrote {name}"
    old = path.read_text("utf-8")
    text, base = parse_text(old, name), stored.metadata.get("text")
    if content(text.notebook) == content(stored):
        return f"unchanged {name}"
    if base == fingerprint(stored):
        return (
            f"unchanged {name}: the notebook was not edited, the text was; "
            f"`make run CH={path.stem}` executes it"
        )
    if base != fingerprint(text.notebook):
        if not force:
            raise PressError(
                f"{difference(old, new, name)}\n"
                f"{name} and its notebook were both edited. Bring one side "
                f"up to the other, or take Jupyter's side with "
                f"`make adopt CH={path.stem} FORCE=1` (keeps {path.name}.bak)"
            )
        write_atomic(path.with_name(f"{path.name}.bak"), old)
    write_atomic(path, new)
    print(difference(old, new, name))
    return f"wrote {name}; `make run CH={path.stem}` executes it"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prefix", nargs="+")
    parser.add_argument("--force", action="store_true")
    options, layout, failed = parser.parse_args(), Layout(), 0
    try:
        for path in find(layout, options.prefix):
            print(adopt(path, layout, options.force))
    except PressError as error:
        print(f"adopt: {error}", file=sys.stderr)
        failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
