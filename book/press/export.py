"""Write the package from the text notebooks, or check that the two agree.

    python -m book.press.export            write llm_from_scratch/**.py
    python -m book.press.export --check    write nothing; exit 1 with a diff

A code cell tagged `export:PKG.MODULE` goes to llm_from_scratch/PKG/MODULE.py.
"""

import argparse
import ast
import difflib
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from book.press.package import ROOT_PACKAGE, render_package, render_top
from book.press.paths import Layout, PressError, write_atomic
from book.press.source import (
    COLUMNS,
    Cell,
    Definition,
    Module,
    bound_names,
    module_problems,
    parse,
    public,
    render,
)
from book.press.text import Text, read_text, tags

MODULE = re.compile(r"[a-z_]\w*(\.[a-z_]\w*)+")
PASTED_LINES = 4  # shorter helpers may occur twice


@dataclass
class Plan:
    """What the chapters want the package to be, and what is wrong."""

    files: dict[Path, str] = field(default_factory=dict)
    held: set[Path] = field(default_factory=set)  # cannot be rendered now
    problems: dict[str, list[str]] = field(default_factory=dict)

    def report(self, chapter: str, problem: str) -> None:
        """Note a problem of one chapter."""
        self.problems.setdefault(chapter, []).append(problem)

    def complaints(self, chapters: list[str] | None = None) -> list[str]:
        """All problems, or those of some chapters."""
        return [
            problem
            for chapter, problems in sorted(self.problems.items())
            for problem in problems
            if chapters is None or chapter in chapters
        ]


def read_texts(layout: Layout, plan: Plan) -> list[Text]:
    """Every text notebook that can be read."""
    texts = []
    for path in layout.texts():
        try:
            texts.append(read_text(path, layout))
        except PressError as error:
            plan.report(layout.name(path), str(error))
            plan.held.update(generated_by(layout, layout.name(path)))
    return texts


def generated_by(layout: Layout, chapter: str) -> list[Path]:
    """Modules on the disk that an earlier export made from a chapter."""
    mark = f"# Generated from {chapter} by"
    files = sorted(layout.package.rglob("*.py"))
    return [p for p in files if p.read_text("utf-8").startswith(mark)]


def target(layout: Layout, module: str) -> Path:
    """The file of a module."""
    return layout.package.joinpath(*module.split(".")).with_suffix(".py")


def collect(layout: Layout, texts: list[Text], plan: Plan) -> list[Module]:
    """All modules with their cells; faulty cells are reported."""
    modules: dict[str, Module] = {}
    for text in texts:
        for index, cell in enumerate(text.cells):
            place = text.place(index)
            for tag in tags(cell):
                if not tag.startswith("export"):
                    continue
                name = tag.removeprefix("export:")
                if name == tag or not MODULE.fullmatch(name):
                    plan.report(
                        text.name,
                        f"{place}: tag {tag!r} is not export:PACKAGE.MODULE",
                    )
                    continue
                module = modules.setdefault(name, Module(name, text.name))
                parsed = parse(place, cell.source)
                if module.chapter != text.name:
                    parsed = f"{place}: {name} belongs to {module.chapter}"
                if isinstance(parsed, Cell):
                    module.cells.append(parsed)
                else:
                    plan.report(text.name, parsed)
                    plan.held.add(target(layout, name))
    return [modules[name] for name in sorted(modules)]


def find_pasted(texts: list[Text], plan: Plan) -> None:
    """Report definitions that one chapter pastes from another."""
    seen: dict[str, tuple[str, str]] = {}
    for text in texts:
        for index, cell in enumerate(text.cells):
            if cell.cell_type != "code":
                continue
            parsed = parse(
                text.place(index), re.sub(r"(?m)^[%!].*$", "", cell.source)
            )
            if not isinstance(parsed, Cell):
                continue
            for node in parsed.tree.body:
                if not isinstance(node, Definition) or node.name[0] == "_":
                    continue
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if ast.get_docstring(node) is not None:
                    node.body = node.body[1:]
                code = ast.dump(node)
                chapter, place = seen.setdefault(
                    code, (text.name, text.place(index))
                )
                if chapter != text.name and lines >= PASTED_LINES:
                    plan.report(
                        text.name,
                        parsed.at(
                            f"{node.name} is pasted from {place}; import it"
                        ),
                    )


def public_on_disk(path: Path) -> list[str]:
    """Public names of a module as an earlier export left it."""
    if not path.exists():
        return []
    return public(bound_names(ast.parse(path.read_text("utf-8"))))


def add_packages(layout: Layout, modules: list[Module], plan: Plan) -> None:
    """Plan the `__init__.py` of every package."""
    taken = {f"{ROOT_PACKAGE}.{module.name}" for module in modules}
    homes: dict[str, dict[str, str]] = {}
    for module in modules:
        parts, home = module.name.split("."), f"{ROOT_PACKAGE}.{module.name}"
        path = target(layout, module.name)
        names = public(
            [n for cell in module.cells for n in bound_names(cell.tree)]
            if path not in plan.held
            else public_on_disk(path)
        )
        for depth in range(1, len(parts)):
            package = ".".join([ROOT_PACKAGE, *parts[:depth]])
            known = homes.setdefault(package, {})
            for name in names:
                if f"{package}.{name}" in taken or parts[-1] == "__main__":
                    continue  # a module of the same name wins
                if known.setdefault(name, home) != home:
                    plan.report(
                        module.chapter,
                        f"{module.chapter}: {name} is public in {home} "
                        f"and in {known[name]}",
                    )
    for package, known in homes.items():
        folder = layout.root.joinpath(*package.split("."))
        plan.files[folder / "__init__.py"] = render_package(package, known)
    plan.files[layout.package / "__init__.py"] = render_top(version(layout))
    plan.files[layout.package / "py.typed"] = ""


def version(layout: Layout) -> str:
    """The version in pyproject.toml."""
    path = layout.root / "pyproject.toml"
    text = path.read_text("utf-8") if path.exists() else ""
    project = tomllib.loads(text).get("project", {})
    return str(project.get("version", "0"))


def make_plan(layout: Layout) -> Plan:
    """Read every chapter and plan every generated file."""
    plan = Plan()
    texts = read_texts(layout, plan)
    modules = collect(layout, texts, plan)
    find_pasted(texts, plan)
    for module in modules:
        path = target(layout, module.name)
        if path in plan.held or not module.cells:
            continue
        for problem in module_problems(module):
            plan.report(module.chapter, problem)
        try:
            plan.files[path] = ruff_format(render(module), path)
        except PressError as error:
            plan.report(module.chapter, str(error))
            plan.held.add(path)
            continue
        if (lines := plan.files[path].count("\n")) > 300:
            plan.report(
                module.chapter,
                f"{module.chapter}: {module.name} has {lines} lines; "
                "at most 300",
            )
    add_packages(layout, modules, plan)
    for path, text in plan.files.items():
        if path.name == "__init__.py":
            plan.files[path] = ruff_format(text, path)
    return plan


def ruff_format(text: str, path: Path) -> str:
    """The text as `ruff format` leaves it."""
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache"]
    style = ["--line-length", str(COLUMNS), "--target-version", "py311"]
    done = subprocess.run(
        [*ruff, *style, "--stdin-filename", path.name, "-"],
        input=text,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PressError(f"{path}: ruff format: {done.stderr.strip()}")
    return done.stdout


def strays(layout: Layout, plan: Plan) -> tuple[list[Path], list[Path]]:
    """Python files that no chapter makes: (formerly generated, orphans)."""
    stale: list[Path] = []
    orphans: list[Path] = []
    for path in sorted(layout.package.rglob("*.py")):
        if path not in plan.files and path not in plan.held:
            made = path.read_text("utf-8").startswith("# Generated ")
            (stale if made else orphans).append(path)
    return stale, orphans


def export(layout: Layout, check: bool = False) -> Plan:
    """Write the package, or with `check` only print what differs.

    What differs in a check counts as a problem, as do orphans.
    """
    plan = make_plan(layout)
    for path, text in plan.files.items():
        old = path.read_text("utf-8") if path.exists() else None
        if old == text:
            continue
        name = layout.name(path)
        if not check:
            write_atomic(path, text)
            print(f"wrote {name}")
            continue
        diff = difflib.unified_diff(
            (old or "").splitlines(),
            text.splitlines(),
            name,
            f"{name} as the chapters have it",
            lineterm="",
        )
        print(*diff, sep="\n")
        plan.report(name, f"{name}: out of date; run `make export`")
    stale, orphans = strays(layout, plan)
    for path in orphans:
        name = layout.name(path)
        plan.report(name, f"{name}: no chapter exports it")
    for path in stale:
        if check:
            name = layout.name(path)
            plan.report(name, f"{name}: no chapter exports it any more")
        else:
            path.unlink()
            print(f"removed {layout.name(path)}")
    return plan


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    plan = export(Layout(), parser.parse_args().check)
    complaints = plan.complaints()
    for complaint in complaints:
        print(f"export: {complaint}", file=sys.stderr)
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
