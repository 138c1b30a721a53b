"""Plan the package: read every chapter and render every generated file."""

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from book.press.package import ROOT_PACKAGE, render_package, render_top
from book.press.pasted import find_pasted
from book.press.paths import Layout, PressError
from book.press.source import (
    COLUMNS,
    MODULE_LINES,
    Cell,
    Module,
    bound_names,
    header,
    module_problems,
    parse,
    public,
    render,
)
from book.press.text import Text, read_text, tags

MODULE = re.compile(r"__main__|[a-z_]\w*(\.[a-z_]\w*)+")


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
    files = sorted(layout.package.rglob("*.py"))
    mark = header(chapter)
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
    for chapter, problem in find_pasted(texts):
        plan.report(chapter, problem)
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
        if (lines := plan.files[path].count("\n")) > MODULE_LINES:
            plan.report(
                module.chapter,
                f"{module.chapter}: {module.name} has {lines} lines; "
                f"at most {MODULE_LINES}",
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
