"""Write the measured numbers of the README from the executed chapters.

    python -m book.press.readme [--check]

`book/measured.md.in` holds the text with `{key}` or `{key:.1f}` where a
number stands; the keys are those that the chapters glue. What it gives goes
between two marks of README.md, so that no number is typed a second time.
"""

import argparse
import ast
import re
import sys

from book.press.paths import Layout, PressError, write_atomic
from book.press.text import read_notebook

BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->"
FIELD = re.compile(r"\{([\w-]+)(:[^{}]*)?\}")
NUMPY = re.compile(r"np\.\w+\((.*)\)")


def glued_values(layout: Layout) -> dict[str, str]:
    """What every glued key showed in the last run of the chapters."""
    values = {}
    for path in layout.notebooks():
        for cell in read_notebook(path, layout).cells:
            for output in cell.get("outputs", []):
                record = output.get("metadata", {}).get("scrapbook", {})
                if "name" in record:
                    shown = output.data[record["mime_prefix"] + "text/plain"]
                    bare = NUMPY.fullmatch(shown)
                    values[record["name"]] = bare[1] if bare else shown
    return values


def filled(template: str, values: dict[str, str]) -> str:
    """The template with its numbers. PressError names an unknown key."""

    def number(match: re.Match[str]) -> str:
        key, spec = match[1], match[2] or ":"
        if key not in values:
            raise PressError(f"book/measured.md.in: no chapter glues {key!r}")
        try:
            return format(ast.literal_eval(values[key]), spec[1:])
        except (SyntaxError, ValueError, TypeError) as error:
            raise PressError(
                f"book/measured.md.in: {values[key]!r} cannot be written as "
                f"{match[0]}: {error}"
            ) from error

    return FIELD.sub(number, template)


def readme(layout: Layout) -> tuple[str, str]:
    """README.md as it is and as it should be."""
    old = (layout.root / "README.md").read_text("utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1:
        raise PressError(f"README.md must hold {BEGIN.strip()} and {END} once")
    template = (layout.book / "measured.md.in").read_text("utf-8")
    head, _, rest = old.partition(BEGIN)
    table = filled(template, glued_values(layout))
    return old, head + BEGIN + table + rest[rest.index(END) :]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check, layout = parser.parse_args().check, Layout()
    try:
        old, new = readme(layout)
    except PressError as error:
        print(f"readme: {error}", file=sys.stderr)
        return 1
    if old != new and check:
        print(
            "readme: README.md does not show the measured numbers; "
            "`make export` writes them",
            file=sys.stderr,
        )
        return 1
    if old != new:
        write_atomic(layout.root / "README.md", new)
        print("wrote README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
