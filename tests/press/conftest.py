"""Small books in a temporary folder, to be broken on purpose."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from book.press.paths import Layout
from book.press.text import HEADER


class SmallBook(Layout):
    """A book of its own with shorthands for writing its text notebooks."""

    def write(self, name: str, *cells: str) -> Path:
        """A text notebook `chapters/NAME.md` of the given cells."""
        path = self.chapters / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([HEADER, *cells]), encoding="utf-8")
        return path

    def edit(self, name: str, old: str, new: str) -> Path:
        """Replace text in a file of the book that must hold it."""
        path = self.root / name
        text = path.read_text("utf-8")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path


def code(source: str, *tags: str) -> str:
    """A code cell with tags."""
    options = f":tags: [{', '.join(tags)}]\n\n" if tags else ""
    return f"```{{code-cell}} ipython3\n{options}{source}\n```\n"


@pytest.fixture
def small(tmp_path: Path) -> SmallBook:
    """An empty book."""
    book = SmallBook(tmp_path)
    for folder in (book.solutions, book.book, book.package):
        folder.mkdir(parents=True)
    return book


@pytest.fixture
def cell():
    """The function that writes a code cell."""
    return code


@pytest.fixture
def only():
    """Assert that exactly one message was given, and that it says this."""

    def check(messages: Iterable[str], *parts: str) -> None:
        found = list(messages)
        assert len(found) == 1, found
        for part in parts:
            assert part in found[0], found

    return check
