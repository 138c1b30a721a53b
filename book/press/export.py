"""Write the package from the text notebooks, or check that the two agree.

python -m book.press.export            write llm_from_scratch/**.py
python -m book.press.export --check    write nothing; exit 1 with a diff
"""

import argparse
import ast
import difflib
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from book.press.paths import Layout, PressError
from book.press.text import read_text, tags

MODULE = re.compile(r"[a-z_]\w*(\.[a-z_]\w*)*")
MARK = "# Generated from "


@dataclass
class Cell:
    """One exported cell and where it stands."""

    chapter: str
    number: int
    source: str

    @property
    def place(self) -> str:
        """Notebook, cell and first line, for messages."""
        lines = self.source.strip().splitlines() or ["(empty)"]
        return f"{self.chapter}, cell {self.number} ({lines[0][:50]!r})"


@dataclass
class Module:
    """The cells that make one module, in the order of the notebook."""

    name: str
    chapter: str
    cells: list[Cell] = field(default_factory=list)


def collect(layout: Layout) -> list[Module]:
    """All modules that the chapters export."""
    modules: dict[str, Module] = {}
    for path in layout.texts():
        chapter = layout.name(path)
        for number, cell in enumerate(read_text(path).cells, 1):
            for tag in tags(cell):
                if not tag.startswith("export"):
                    continue
                name = tag.removeprefix("export:")
                here = Cell(chapter, number, cell.source.strip("\n"))
                if not MODULE.fullmatch(name) or name == tag:
                    raise PressError(
                        f"{here.place}: tag {tag!r} is not export:PKG.MODULE"
                    )
                module = modules.setdefault(name, Module(name, chapter))
                if module.chapter != chapter:
                    raise PressError(
                        f"{here.place}: module {name} belongs to "
                        f"{module.chapter}"
                    )
                module.cells.append(here)
    return [modules[name] for name in sorted(modules)]


def public_names(tree: ast.Module) -> list[str]:
    """Public names bound by definitions and assignments, in order."""
    names: list[str] = []
    for node in tree.body:
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [
                leaf.id
                for target in node.targets
                for leaf in ast.walk(target)
                if isinstance(leaf, ast.Name)
            ]
        elif isinstance(node, ast.AnnAssign) and isinstance(
            node.target, ast.Name
        ):
            names.append(node.target.id)
    return [name for name in names if not name.startswith("_")]


def isort_key(name: str) -> tuple[int, list[tuple[int, int, str]]]:
    """Order of ruff's RUF022: CONSTANTS, Classes, functions; natural."""
    group = 0 if name.isupper() else 1 if name[0].isupper() else 2
    parts = re.findall(r"\d+|\D+", name)
    return group, [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]


def split_head(source: str) -> tuple[str, str]:
    """A module's first cell as (docstring and imports, the rest)."""
    tree = ast.parse(source)
    last = 0
    for node in tree.body:
        imports = any(
            isinstance(leaf, ast.Import | ast.ImportFrom)
            for leaf in ast.walk(node)
        )
        inner = isinstance(
            node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
        )
        if node is tree.body[0] or (imports and not inner):
            last = node.end_lineno or last
    lines = source.splitlines()
    return "\n".join(lines[:last]), "\n".join(lines[last:]).strip("\n")


def render(module: Module) -> tuple[str, list[str]]:
    """Text of a module and its public names."""
    first = module.cells[0]
    tree = parse(first)
    if ast.get_docstring(tree) is None:
        raise PressError(
            f"{first.place}: the first cell of {module.name} must begin with "
            "the module's docstring"
        )
    names: list[str] = []
    for cell in module.cells:
        for name in public_names(parse(cell)):
            if name in names:
                raise PressError(f"{cell.place}: {name} is defined twice")
            names.append(name)
    head, rest = split_head(first.source)
    names.sort(key=isort_key)
    listed = "".join(f'    "{name}",\n' for name in names)
    exported = f"__all__ = [\n{listed}]" if names else "__all__: list[str] = []"
    bodies = [rest, *(cell.source.strip("\n") for cell in module.cells[1:])]
    body = "\n\n\n".join(b for b in bodies if b)
    text = (
        f"{MARK}{module.chapter} by `make export`. Do not edit.\n"
        f"{head}\n\n{exported}\n\n\n{body}"
    )
    return text.rstrip("\n") + "\n", names


def parse(cell: Cell) -> ast.Module:
    """Syntax tree of a cell; PressError for magics and syntax errors."""
    for line in cell.source.splitlines():
        if line.startswith(("%", "!")):
            raise PressError(f"{cell.place}: magic in an exported cell: {line}")
    try:
        return ast.parse(cell.source)
    except SyntaxError as error:
        raise PressError(
            f"{cell.place}: syntax error in line {error.lineno}: {error.msg}"
        ) from error


LAZY = '''\
# Generated by `make export`. Do not edit.
"""Public names of `{package}`, loaded on first use."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
{imports}

_HOME = {{
{homes}
}}

__all__ = [
{names}
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"{{__name__}} has no attribute {{name!r}}")
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({{*globals(), *__all__}})
'''


def render_package(package: str, homes: dict[str, str]) -> str:
    """The lazy `__init__.py` of a subpackage: names and their modules."""
    if not homes:
        return (
            "# Generated by `make export`. Do not edit.\n"
            f'"""Modules of `{package}`; import them by name."""\n'
        )
    order = sorted(homes, key=isort_key)
    return LAZY.format(
        package=package,
        imports="\n".join(
            f"    from {homes[n]} import {n} as {n}"
            for n in sorted(order, key=lambda n: (homes[n], isort_key(n)))
        ),
        homes="\n".join(f'    "{n}": "{homes[n]}",' for n in order),
        names="\n".join(f'    "{n}",' for n in order),
    )


def package_files(layout: Layout) -> dict[Path, str]:
    """Every generated file of the package and its text."""
    files: dict[Path, str] = {}
    packages: dict[str, dict[str, str]] = {}
    modules = collect(layout)
    taken = {f"{layout.package.name}.{m.name}" for m in modules}
    for module in modules:
        text, names = render(module)
        parts = module.name.split(".")
        files[layout.package.joinpath(*parts).with_suffix(".py")] = text
        for depth in range(1, len(parts)):
            package = ".".join([layout.package.name, *parts[:depth]])
            homes = packages.setdefault(package, {})
            for name in names:
                if f"{package}.{name}" in taken or parts[-1] == "__main__":
                    continue  # the module of that name wins
                home = f"{layout.package.name}.{module.name}"
                if name in homes:
                    raise PressError(
                        f"{module.chapter}: {name} is public in {home} and "
                        f"in {homes[name]}"
                    )
                homes[name] = home
    for package, homes in packages.items():
        path = layout.root.joinpath(*package.split("."), "__init__.py")
        files[path] = render_package(package, homes)
    files[layout.package / "__init__.py"] = (
        "# Generated by `make export`. Do not edit.\n"
        '"""The program of the book *LLM from Scratch*."""\n\n'
        '__version__ = "0.1.0"\n'
    )
    files[layout.package / "py.typed"] = ""
    return {path: ruff_format(text, path) for path, text in files.items()}


def ruff_format(text: str, path: Path) -> str:
    """The text as `ruff format` leaves it."""
    if path.suffix != ".py":
        return text
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename"]
    done = subprocess.run(
        [*command, str(path), "-"], input=text, capture_output=True, text=True
    )
    if done.returncode:
        raise PressError(f"{path.name}: ruff format: {done.stderr.strip()}")
    return done.stdout


def export(layout: Layout, check: bool) -> int:
    """Write or compare; the number of files that differ."""
    wanted = package_files(layout)
    stale = 0
    for path, text in wanted.items():
        old = path.read_text(encoding="utf-8") if path.exists() else None
        if old == text:
            continue
        stale += 1
        name = layout.name(path)
        if check:
            lines = (old or "").splitlines(), text.splitlines()
            diff = difflib.unified_diff(
                *lines, name, f"{name} (from the notebooks)", lineterm=""
            )
            print(*diff, sep="\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    for path in sorted(layout.package.rglob("*.py")):
        if path not in wanted:
            stale += 1
            print(f"{layout.name(path)}: no notebook exports it", end="")
            print("" if check else "; delete it")
    return stale


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    try:
        stale = export(Layout(), check)
    except PressError as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
