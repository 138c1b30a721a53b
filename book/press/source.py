"""What one exported cell or module may contain, and what it defines."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

FUNCTION_LINES = 40
MODULE_LINES = 300
COLUMNS = 80

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom


@dataclass
class Cell:
    """One exported cell and where it stands."""

    place: str
    source: str
    tree: ast.Module

    def at(self, problem: str) -> str:
        """A message about this cell."""
        first = self.source.splitlines()[0] if self.source else "(empty)"
        return f"{self.place} ({first[:50]!r}): {problem}"


@dataclass
class Module:
    """The cells that make one module, in the order of the notebook."""

    name: str
    chapter: str
    cells: list[Cell] = field(default_factory=list)


def parse(place: str, source: str) -> Cell | str:
    """The cell, or what keeps it from being Python."""
    cell = Cell(place, source, ast.Module([], []))
    for line in source.splitlines():
        if line.startswith(("%", "!", "?")) or line.endswith("?"):
            return cell.at(f"no IPython in exported cells: {line}")
    try:
        cell.tree = ast.parse(source)
    except SyntaxError as error:
        return cell.at(f"syntax error, line {error.lineno}: {error.msg}")
    return cell


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run at import: branches too, functions' bodies not."""
    for node in body:
        yield node
        if isinstance(node, Definition):
            continue
        for block in ("body", "orelse", "finalbody"):
            yield from statements(getattr(node, block, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def bound_names(tree: ast.Module) -> list[str]:
    """Names that definitions and assignments bind at import, in order.

    A name that the same statement imports is not ours: `try: import x`,
    `except ImportError: x = None`.
    """
    names: list[str] = []
    for outer in tree.body:
        inside = list(statements([outer]))
        borrowed = {name for node in inside for name in imported_names(node)}
        found = (name for node in inside for name in assigned_names(node))
        names += [name for name in found if name not in borrowed]
    return names


def imported_names(node: ast.stmt) -> Iterator[str]:
    """Names that one import statement binds."""
    if isinstance(node, Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]


def assigned_names(node: ast.stmt) -> Iterator[str]:
    """Names that one statement, not those inside it, defines or assigns."""
    targets: list[ast.expr] = []
    if isinstance(node, Definition):
        yield node.name
    elif isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.For):
        targets = [node.target]
    for target in targets:
        for leaf in ast.walk(target):
            if isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Store):
                yield leaf.id


def public(names: list[str]) -> list[str]:
    """The names without a leading underscore, in the order ruff wants."""
    shown = {name for name in names if not name.startswith("_")}
    return sorted(shown, key=sort_key)


def sort_key(name: str) -> tuple[int, list[tuple[int, int, str]]]:
    """CONSTANTS, Classes, functions; numbers inside names by value."""
    constant = name.isupper() and len(name) > 1
    group = 0 if constant else 1 if name[0].isupper() else 2
    parts = re.findall(r"\d+|\D+", name)
    return group, [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts
    ]


def import_key(name: str) -> tuple[int, list[tuple[int, int, str]], str]:
    """The same for imports, where ruff looks at the case only in ties."""
    return sort_key(name)[0], sort_key(name.lower())[1], name


def code_lines(node: Definition) -> int:
    """Lines of a definition, decorators counted and docstring not."""
    start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    lines = (node.end_lineno or start) - start + 1
    if ast.get_docstring(node, clean=False) is not None:
        text = node.body[0]
        lines -= (text.end_lineno or text.lineno) - text.lineno + 1
    return lines


def cell_problems(cell: Cell, first: bool) -> Iterator[str]:
    """What the house style forbids in one exported cell."""
    for node in statements(cell.tree.body):
        if isinstance(node, Import) and not first:
            yield cell.at("imports belong into the module's first cell")
        if isinstance(node, ast.ImportFrom):
            if any(alias.name == "*" for alias in node.names):
                yield cell.at(f"star import from {node.module}")
            if node.level:
                yield cell.at("write the import with its full module name")
    for function in ast.walk(cell.tree):
        if not isinstance(function, Function):
            continue
        if (lines := code_lines(function)) > FUNCTION_LINES:
            yield cell.at(
                f"{function.name} has {lines} lines; at most {FUNCTION_LINES}"
            )
    for line in cell.source.splitlines():
        if len(line) > COLUMNS:
            yield cell.at(f"line of {len(line)} columns: {line[:40]}...")


def module_problems(module: Module) -> Iterator[str]:
    """What is wrong with a module as a whole and with each of its cells."""
    first = module.cells[0]
    if ast.get_docstring(first.tree) is None:
        yield first.at(f"{module.name} must begin with its docstring")
    seen: set[str] = set()
    for cell in module.cells:
        yield from cell_problems(cell, cell is first)
        for name in dict.fromkeys(bound_names(cell.tree)):
            if name in seen:
                yield cell.at(f"{name} is already defined in {module.name}")
            seen.add(name)
        definitions = [
            node.name for node in cell.tree.body if isinstance(node, Definition)
        ]
        for name in sorted(
            {n for n in definitions if definitions.count(n) > 1}
        ):
            yield cell.at(f"{name} is defined twice in one cell")


def split_head(cell: Cell) -> tuple[str, str]:
    """A module's first cell as (docstring and imports, the rest)."""
    end = 0
    for place, node in enumerate(cell.tree.body):
        imports = any(isinstance(s, Import) for s in statements([node]))
        if place == 0 or imports:
            end = node.end_lineno or end
    lines = cell.source.splitlines()
    return "\n".join(lines[:end]), "\n".join(lines[end:]).strip("\n")


def header(chapter: str) -> str:
    """The first comment of a generated module, within the columns."""
    words = f"# Generated from {chapter} by `make export`. Do not edit."
    return words if len(words) <= COLUMNS else words.replace(" by", "\n# by")


def render(module: Module) -> str:
    """The module's text, before formatting."""
    head, rest = split_head(module.cells[0])
    names = public([n for c in module.cells for n in bound_names(c.tree)])
    listed = "".join(f'    "{name}",\n' for name in names)
    mark = header(module.chapter)
    bodies = [rest, *(cell.source for cell in module.cells[1:])]
    body = "\n\n\n".join(part for part in bodies if part)
    contents = f"__all__ = [\n{listed}]" if names else "__all__: list[str] = []"
    return f"{mark}\n{head}\n\n{contents}\n\n\n{body}".rstrip("\n") + "\n"
