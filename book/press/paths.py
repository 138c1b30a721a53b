"""Where things are, and the error that every press command reports."""

import os
from pathlib import Path

ROOT = Path(os.environ.get("PRESS_ROOT", Path(__file__).parents[2])).resolve()


class PressError(Exception):
    """A defect in the manuscript: the message names the place and the fix."""


class Layout:
    """The folders of one book; tests make small books of their own."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.chapters = root / "chapters"
        self.solutions = root / "chapters" / "solutions"
        self.book = root / "book"
        self.package = root / "llm_from_scratch"

    def name(self, path: Path) -> str:
        """The path as messages print it: relative to the root, with slashes."""
        return path.relative_to(self.root).as_posix()

    def texts(self) -> list[Path]:
        """Every text notebook: chapters and appendices, then solutions."""
        found = sorted(self.chapters.glob("*.md"))
        return found + sorted(self.solutions.glob("*.md"))

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
            hits = [p for p in texts if self._matches(p, prefix)]
            if not hits:
                known = ", ".join(p.stem for p in texts)
                raise PressError(f"no text notebook {prefix}*; have {known}")
            chosen.update(hits)
        return [p for p in texts if p in chosen]

    def _matches(self, path: Path, prefix: str) -> bool:
        relative = path.relative_to(self.chapters).as_posix()
        prefix = prefix.removeprefix("chapters/").removesuffix(".md")
        return path.name.startswith(prefix) or relative.startswith(prefix)
