"""Write the package from the text notebooks, or check that the two agree.

    python -m book.press.export            write llm_from_scratch/**.py
    python -m book.press.export --check    write nothing; exit 1 with a diff

A code cell tagged `export:PKG.MODULE` goes to llm_from_scratch/PKG/MODULE.py.
"""

import argparse
import difflib
import sys
from pathlib import Path

from book.press.paths import Layout, write_atomic
from book.press.plan import Plan, make_plan


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
