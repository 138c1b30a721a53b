"""Where things are, and the one error that press commands report."""

import os
from pathlib import Path

ROOT = Path(os.environ.get("PRESS_ROOT", Path(__file__).parents[2])).resolve()


class PressError(Exception):
    """A defect in the manuscript: the message names the place and the fix."""


class Layout:
    """The folders of one book; the tests make small books of their own."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.chapters = root / "chapters"
        self.solutions = self.chapters / "solutions"
        self.book = root / "book"
        self.bibliography = root / "book" / "references.bib"
        self.package = root / "llm_from_scratch"
        self.cache = root / ".cache"

    def name(self, path: Path) -> str:
        """The path as messages print it: from the root, with slashes."""
        return path.relative_to(self.root).as_posix()

    def texts(self) -> list[Path]:
        """Every text notebook: chapters and appendices, then solutions."""
        chapters = sorted(self.chapters.glob("*.md"))
        return chapters + sorted(self.solutions.glob("*.md"))

    def notebooks(self) -> list[Path]:
        """Every executed notebook."""
        chapters = sorted(self.chapters.glob("*.ipynb"))
        return chapters + sorted(self.solutions.glob("*.ipynb"))

    def pages(self) -> list[Path]:
        """The pages of the book that hold no code."""
        found = self.book.rglob("*.md")
        return sorted(p for p in found if p.name != "README.md")

    def select(self, prefixes: list[str]) -> list[Path]:
        """Text notebooks whose file name begins with one of the prefixes.

        A prefix may carry a folder (`solutions/06`); no prefix selects all.
        PressError if a prefix matches nothing.
        """
        texts = self.texts()
        if not prefixes:
            return texts
        chosen: set[Path] = set()
        for prefix in prefixes:
            hits = [path for path in texts if self._begins(path, prefix)]
            if not hits:
                known = ", ".join(path.stem for path in texts) or "none"
                raise PressError(f"no text notebook {prefix}*; known: {known}")
            chosen.update(hits)
        return [path for path in texts if path in chosen]

    def _begins(self, path: Path, prefix: str) -> bool:
        stem = prefix.removeprefix("chapters/").removesuffix(".md")
        relative = path.relative_to(self.chapters).as_posix()
        return path.name.startswith(stem) or relative.startswith(stem)


def write_atomic(path: Path, text: str) -> None:
    """Replace a file only when all of the new text is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
