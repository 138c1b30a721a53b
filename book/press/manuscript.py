"""Reading MyST: directives, their options, and the prose around them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

OPEN = re.compile(r"^( *)(`{3,}|~{3,}|:{3,})(\{[^}]+\})?(.*)$")
OPTION = re.compile(r"^\s*:([\w-]+):\s*(.*)$")
INLINE = re.compile(r"(\{[^}\s]+\})?(`+)(.+?)\2", re.DOTALL)
MATH = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
LINK = re.compile(r"\]\([^)\s]*\)")
COMMENT = re.compile(r"^%.*$", re.MULTILINE)

# Directives whose body is text for the reader.
PROSE = {
    *("admonition", "attention", "caution", "danger", "dropdown", "epigraph"),
    *("error", "example", "exercise", "figure", "glossary", "hint"),
    *("important", "list-table", "margin", "note", "seealso", "sidebar"),
    *("solution", "table", "tip", "warning"),
}


@dataclass
class Directive:
    """One directive: `line` counts from the top of the text given."""

    name: str
    argument: str
    line: int
    options: dict[str, str] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)

    @property
    def is_prose(self) -> bool:
        """Whether the body is text, rather than code or mathematics."""
        return self.name in PROSE or self.name.startswith("prf:")


@dataclass
class Markdown:
    """Directives of a Markdown text and its lines of prose."""

    directives: list[Directive] = field(default_factory=list)
    prose: list[tuple[int, str]] = field(default_factory=list)


def read_markdown(lines: list[str], first: int = 1) -> Markdown:
    """Scan lines; nested directives are found, code fences left out."""
    found, index = Markdown(), 0
    while index < len(lines):
        opened = OPEN.match(lines[index])
        if opened is None or (opened[3] is None and opened[2][0] == ":"):
            found.prose.append((first + index, lines[index]))
            index += 1
            continue
        fence, line = opened[2], first + index
        close = re.compile(rf"^ *{re.escape(fence)}{re.escape(fence[0])}* *$")
        end = index + 1
        while end < len(lines) and not close.match(lines[end]):
            end += 1
        if opened[3]:
            body = lines[index + 1 : end]
            name = opened[3].strip("{}").strip()
            _add(found, Directive(name, opened[4].strip(), line), body)
        index = end + 1
    return found


def _add(found: Markdown, directive: Directive, body: list[str]) -> None:
    """Split options from the body; read the body of prose directives."""
    start = 0
    if body and body[0].strip() == "---":
        start = next(
            (n for n, text in enumerate(body[1:], 2) if text.strip() == "---"),
            len(body),
        )
        pairs = (text.partition(":") for text in body[1 : start - 1])
        directive.options = {
            key.strip(): value.strip() or "..." for key, _, value in pairs
        }
    else:
        while start < len(body) and (option := OPTION.match(body[start])):
            directive.options[option[1]] = option[2].strip()
            start += 1
    directive.body = body[start:]
    found.directives.append(directive)
    if directive.is_prose:
        first = directive.line + 1 + start
        if directive.name not in ("figure", "list-table"):
            found.prose.append((directive.line, directive.argument))
        inner = read_markdown(directive.body, first)
        found.directives += inner.directives
        found.prose += inner.prose


def words(prose: list[tuple[int, str]]) -> str:
    """Prose as one text, without code, mathematics, roles and targets."""
    text = "\n".join(line for _, line in prose)
    for pattern in (COMMENT, INLINE, MATH, LINK):
        text = pattern.sub(lambda hit: "\n" * hit[0].count("\n"), text)
    return text


def plain_lines(prose: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Each prose line with its number, stripped as `words` strips."""
    stripped = words(prose).split("\n")
    for (number, _), line in zip(prose, stripped, strict=True):
        yield number, line


def roles(text: str, names: str) -> Iterator[tuple[str, str]]:
    """(name, content) of roles whose name matches the pattern `names`."""
    pattern = rf"\{{({names})\}}`([^`]+)`"
    for hit in re.finditer(pattern, text):
        yield hit[1], hit[2]
