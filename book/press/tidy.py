"""Bring text notebooks into canonical form: header, options, code style.

python -m book.press.tidy [--check] [PREFIX ...]     no prefix: all
"""

import argparse
import subprocess
import sys
from pathlib import Path

import nbformat

from book.press.paths import ROOT, Layout, PressError, write_atomic
from book.press.text import dump, read_text, write_text


def ruff(notebook: str, name: str, *command: str) -> str:
    """An .ipynb as one ruff command leaves it."""
    config = ("--config", str(ROOT / "pyproject.toml"), "--no-cache")
    source = ("--stdin-filename", f"chapters/{name}.ipynb", "-")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, *config, *source],
        input=notebook,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PressError(f"{name}: {done.stderr.strip()}")
    return done.stdout


def tidy(path: Path, layout: Layout) -> str:
    """The canonical text: imports sorted and code formatted by ruff."""
    text = read_text(path, layout)
    new = dump(text.notebook)
    new = ruff(new, path.stem, "check", "--select=I", "--fix-only", "-q")
    new = ruff(new, path.stem, "format")
    formatted = nbformat.reads(  # type: ignore[no-untyped-call]
        new, as_version=4
    )
    return write_text(formatted, text.name)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prefix", nargs="*")
    parser.add_argument("--check", action="store_true")
    options, layout, failed = parser.parse_args(), Layout(), 0
    try:
        for path in layout.select(options.prefix):
            new = tidy(path, layout)
            if new == path.read_text("utf-8"):
                continue
            name = layout.name(path)
            if options.check:
                failed = 1
                print(f"tidy: {name}: run `make format`", file=sys.stderr)
            else:
                write_atomic(path, new)
                print(f"formatted {name}")
    except PressError as error:
        print(f"tidy: {error}", file=sys.stderr)
        failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
