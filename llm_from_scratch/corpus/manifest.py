# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""The real sets of the book: where each is, and what it must hash to."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from llm_from_scratch.core.files import format_size

__all__ = [
    "Package",
    "Slice",
    "find_slice",
    "manifest",
    "sources_page",
]


@dataclass(frozen=True, kw_only=True)
class Package:
    """One archive of a registry, pinned by version and by content."""

    key: str
    registry: str  # "pypi" or "npm"
    name: str
    version: str
    file: str
    sha256: str
    size: int  # bytes
    license: str  # of the package, not of the text in it


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A set of texts: some members of one package, and who may use them."""

    key: str
    package: Package
    members: tuple[str, ...] = field(repr=False)  # patterns, "*" matches any
    title: str
    author: str
    license: str  # of the text
    purpose: str
    optional: bool = False  # fetched only by name or with --all


@cache
def manifest() -> dict[str, Slice]:
    """Every set by name, as `corpus/data/slices.toml` lists them."""
    file = resources.files("llm_from_scratch.corpus") / "data/slices.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    packages = {
        key: Package(key=key, **entry)
        for key, entry in table["package"].items()
    }
    return {
        key: _slice(key, entry, packages) for key, entry in table["set"].items()
    }


def _slice(
    key: str, entry: dict[str, Any], packages: dict[str, Package]
) -> Slice:
    package = packages[entry["package"]]
    members = tuple(entry["members"])
    return Slice(key=key, **{**entry, "package": package, "members": members})


def find_slice(name: str) -> Slice:
    """The set of this name. ValueError, listing the known, if none has it."""
    if name not in manifest():
        known = ", ".join(sorted(manifest()))
        raise ValueError(f"no set is named {name!r}; known are {known}")
    return manifest()[name]


_PAGE = """% Written by `python -m llm_from_scratch.corpus.fetch --sources`.

(app:data-sources)=
# Data sources

Every real text that this book reads, with the license of the text itself,
which is not the license of the package that carries it. Sizes are those of
the downloads; sets with the same package share one. {ref}`ch:slices` says
how the sets are fetched, checked and read.

:::{list-table} The sets
:name: tab-data-sources
:header-rows: 1
:widths: 14 40 22 24
:class: longtable

ROWS
:::
"""


def sources_page() -> str:
    """The page book/data-sources.md: every set, its author and license."""
    rows = [["Set", "Content", "License of the text", "Package"]]
    for s in manifest().values():
        package, size = s.package, format_size(s.package.size)
        optional = ", optional" if s.optional else ""
        rows.append(
            [
                f"`{s.key}`",
                f"{s.title}, by {s.author}. *For:* {s.purpose}.",
                s.license,
                f"{package.registry}: {package.name} {package.version}, "
                f"{package.license}, {size}{optional}",
            ]
        )
    head, _, tail = _PAGE.partition("ROWS")
    cells = "\n".join(
        ("  - " if column else "* - ") + text
        for row in rows
        for column, text in enumerate(row)
    )
    return head + cells + tail
