"""Read a LaTeX log and say what in it must not reach a reader."""

import re
from dataclasses import dataclass

# In points. A line that sticks out by a hair is not seen; a page of code may
# be too high by less than a line, which the foot margin swallows.
OVERFULL_LIMITS = {"h": 2.0, "v": 9.0}

FATAL = re.compile(
    r"""
      Missing\ character
    | undefined\ (?:on\ input\ line|references|citations)
    | multiply[ -]defined
    | Font\ shape\ .*\ undefined
    | Some\ font\ shapes\ were\ not\ available
    | size\ substitutions\ with\ differences
    | Float\ too\ large
    | [Rr]erun\ to\ get | Rerun\ LaTeX
    | has\ been\ referenced\ but\ does\ not\ exist
    | (?:destination|name\{.*\}).*(?:duplicate|already)
    | File\ `?.*'?\ not\ found
    | ^!\x20
    """,
    re.VERBOSE,
)
OVERFULL = re.compile(r"Overfull \\([hv])box \(([\d.]+)pt too (?:wide|high)\)")
CONTEXT = re.compile(r"(?:at lines? [\d-]+|while \\output is active)")


@dataclass(frozen=True)
class Problem:
    """One message of the log and what stood beside it."""

    message: str
    context: str = ""

    def __str__(self) -> str:
        return (
            f"{self.message}\n    {self.context}"
            if self.context
            else (self.message)
        )


def unwrap(log: str) -> list[str]:
    """Return the lines, those that TeX broke at 79 columns joined again."""
    lines: list[str] = []
    joining = False
    for line in log.splitlines():
        if joining:
            lines[-1] += line
        else:
            lines.append(line)
        joining = len(line) == 79
    return lines


def problems(log: str) -> list[Problem]:
    """Return every message that fails the build, each only once."""
    found: dict[str, Problem] = {}
    lines = unwrap(log)
    for index, line in enumerate(lines):
        overfull = OVERFULL.search(line)
        if overfull:
            kind, excess = overfull.groups()
            if float(excess) > OVERFULL_LIMITS[kind]:
                context = lines[index + 1] if index + 1 < len(lines) else ""
                found.setdefault(line, Problem(line, readable(context)))
        elif FATAL.search(line):
            found.setdefault(line, Problem(line.strip()))
    return list(found.values())


def readable(context: str) -> str:
    r"""Return the words of an overfull line without TeX's font names.

    TeX shows the line as `[]\TU/texgyrepagella(0)/m/n/10 Some words`.
    """
    text = re.sub(r"\\TU/\S+ ?", "", context)
    return re.sub(r"\[\]|\|", "", text).strip()[:160]


def unresolved_marks(text: str) -> list[str]:
    """Return the lines of the printed text in which a reference failed.

    LaTeX sets `??` for a label and `[?]` for a citation that it does not
    know. A lone `??` in code (C's trigraphs, a regular expression) is
    surrounded by other signs and does not count.
    """
    mark = re.compile(r"(?:^|(?<=[\s(]))\?\?(?=$|[\s.,;:)])|\[\?\]")
    return [line.strip() for line in text.splitlines() if mark.search(line)]
