# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""English from templates: word lists, word forms and references."""

from functools import cache
from importlib.resources import files

__all__ = [
    "read_lists",
    "words",
]


@cache
def read_lists(name: str) -> dict[str, tuple[str, ...]]:
    """The lists of a data file `name`.txt: "== title", then one item a line.

    Blank lines and lines that begin with # are skipped.
    """
    path = files("llm_from_scratch.corpus") / "data" / f"{name}.txt"
    lists: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("== "):
            title = line.removeprefix("== ").strip()
            if title in lists:
                raise ValueError(f"{name}.txt has two lists named {title!r}")
            lists[title] = []
        elif line.strip() and not line.startswith("#"):
            lists[title].append(line.strip())
    return {title: tuple(items) for title, items in lists.items()}


def words(title: str) -> tuple[str, ...]:
    """A list of words.txt; ValueError if there is none of that title."""
    lists = read_lists("words")
    if title not in lists:
        raise ValueError(f"words.txt has no list named {title!r}")
    return lists[title]
