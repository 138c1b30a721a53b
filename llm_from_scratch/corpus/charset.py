# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""Text to bytes as servers do it: rightly, silently, falsely, twice."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random

__all__ = [
    "HABITS",
    "SINGLE",
    "TO_BYTE",
    "TO_CHAR",
    "WESTERN",
    "CharsetPlan",
    "Spans",
    "break_text",
    "encode_page",
    "mend_text",
    "meta_tag",
    "plan_charset",
]


@dataclass(frozen=True)
class CharsetPlan:
    """How a page is encoded, and what it says about that.

    `charset` decodes the bytes. `repair` names the encodings by which the
    decoded text must be encoded, and read as UTF-8, to undo mojibake.
    """

    kind: str
    charset: str = "utf-8"
    header: str = ""  # in Content-Type
    meta: str = ""  # in the head of the page
    repair: tuple[str, ...] = ()
    cut: bool = False  # the last character is incomplete


SINGLE = {"pl": "iso-8859-2", "ru": "windows-1251", "el": "iso-8859-7"}
WESTERN = ("windows-1252", "iso-8859-1")
HABITS = {
    "utf-8": 0.70,
    "silent": 0.10,
    "legacy": 0.06,
    "lying": 0.03,
    "crossed": 0.03,
    "mojibake": 0.04,
    "double": 0.01,
    "cut": 0.03,
}


def plan_charset(rng: Random, language: str) -> CharsetPlan:
    """Draw the habit of the server that sends this page."""
    (kind,) = rng.choices(list(HABITS), list(HABITS.values()))
    old = SINGLE.get(language) or rng.choice(WESTERN)
    both = CharsetPlan(kind, header="utf-8", meta="utf-8", cut=kind == "cut")
    match kind:
        case "silent":
            return CharsetPlan(kind, meta=rng.choice(("utf-8", "")))
        case "legacy":
            header = rng.choice((old, ""))
            return CharsetPlan(kind, old, header=header, meta=old)
        case "lying":
            return CharsetPlan(kind, old, header="utf-8")
        case "crossed":
            return CharsetPlan(kind, header="iso-8859-1", meta="utf-8")
        case "mojibake":
            return replace(both, repair=("cp1252",))
        case "double":
            return replace(both, repair=("cp1252", "cp1252"))
        case _:
            return both


def meta_tag(plan: CharsetPlan, old: bool) -> str:
    """The declaration of the charset in HTML, "" if the page has none."""
    if not plan.meta:
        return ""
    if old:
        return (
            '<META HTTP-EQUIV="Content-Type" '
            f'CONTENT="text/html; charset={plan.meta}">'
        )
    return f'<meta charset="{plan.meta}">'


def _sloppy() -> tuple[list[str], dict[str, int]]:
    """Windows-1252 as browsers read it: all 256 bytes mean something."""
    table = []
    for byte in range(256):
        try:
            table.append(bytes([byte]).decode("cp1252"))
        except UnicodeDecodeError:
            table.append(chr(byte))  # the five holes are control characters
    return table, {c: byte for byte, c in enumerate(table)}


TO_CHAR, TO_BYTE = _sloppy()


def break_text(text: str) -> str:
    """Mojibake: the text in UTF-8, read as Windows-1252."""
    return "".join(TO_CHAR[byte] for byte in text.encode("utf-8"))


def mend_text(text: str) -> str:
    """Undo `break_text`. ValueError if the text is not such a mishap."""
    try:
        return bytes(TO_BYTE[c] for c in text).decode("utf-8")
    except (KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"not mojibake: {text[:40]!r}") from error


Spans = tuple[tuple[int, int], ...]


def _moved(html: str, spans: Spans, how: Callable[[str], str]) -> Spans:
    """The spans after `how`, which works character by character."""
    return tuple(
        (len(how(html[:start])), len(how(html[:end]))) for start, end in spans
    )


def _fit(text: str, charset: str) -> str:
    """The text with a numeric entity for what the charset lacks."""
    return text.encode(charset, "xmlcharrefreplace").decode(charset)


def encode_page(
    html: str, spans: Spans, plan: CharsetPlan
) -> tuple[bytes, Spans]:
    """The bytes of a page, and its spans in what the bytes decode to.

    `_fit` and `break_text` treat every character by itself.
    """
    for _ in plan.repair:
        html, spans = break_text(html), _moved(html, spans, break_text)
    if plan.charset != "utf-8":
        how = partial(_fit, charset=plan.charset)
        html, spans = how(html), _moved(html, spans, how)
    data = html.encode(plan.charset)
    if plan.cut:
        whole = html[: html.lower().rindex("</body>")] + "\u00a9"
        data = whole.encode("utf-8")[:-1]
    return data, spans
