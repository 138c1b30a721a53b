# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""Personal data with gold spans, and numbers that only look like it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from llm_from_scratch.corpus.phrases import SLOT, web_bank

__all__ = [
    "ALIKE",
    "PRIVATE",
    "Span",
    "luhn_digit",
    "plant_private",
]


@dataclass(frozen=True)
class Span:
    """Characters start to end of a text, and what they are."""

    start: int
    end: int
    kind: str

    def shift(self, by: int) -> "Span":
        """The span in a text that has `by` more characters before it."""
        return Span(self.start + by, self.end + by, self.kind)


def luhn_digit(digits: str) -> str:
    """The digit that makes the Luhn sum of `digits` a multiple of ten."""
    total = 0
    for i, c in enumerate(reversed(digits)):
        value = int(c) * (1 if i % 2 else 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def _grouped(rng: Random, number: str) -> str:
    """Sixteen digits as people write them."""
    sep = rng.choice((" ", "-", ""))
    return sep.join(number[i : i + 4] for i in range(0, len(number), 4))


def _email(rng: Random) -> str:
    bank = web_bank("private")
    first, last = rng.choice(bank["first"]), rng.choice(bank["last"])
    forms = ("{f}.{l}", "{f}{l}", "{f}_{l}{n}", "{f}+{n}", "{i}.{l}")
    n, domain = rng.randrange(100), rng.choice(bank["domain"])
    local = rng.choice(forms).format(f=first, l=last, n=n, i=first[0])
    return f"{local.lower()}@{domain}"


def _phone(rng: Random) -> str:
    """A number that is kept for fiction: 555-0100 to 555-0199."""
    area, last = rng.randrange(201, 990), f"01{_digits(rng, 2)}"
    forms = ("({}) 555-{}", "{}-555-{}", "+1 {} 555 {}", "{}.555.{}")
    return rng.choice(forms).format(area, last)


def _ip(rng: Random) -> str:
    """An address of the networks that are kept for documents."""
    net = rng.choice(("192.0.2", "198.51.100", "203.0.113"))
    return f"{net}.{rng.randrange(1, 255)}"


def _card(rng: Random) -> str:
    stem = "400000" + _digits(rng, 9)
    return _grouped(rng, stem + luhn_digit(stem))


def _bad_card(rng: Random) -> str:
    stem = "40" + _digits(rng, 13)
    wrong = (int(luhn_digit(stem)) + rng.randrange(1, 10)) % 10
    return _grouped(rng, f"{stem}{wrong}")


def _bad_ip(rng: Random) -> str:
    parts = [rng.randrange(256) for _ in range(3)] + [rng.randrange(256, 1000)]
    rng.shuffle(parts)
    return ".".join(map(str, parts))


def _version(rng: Random) -> str:
    return ".".join(str(rng.randrange(1, 20)) for _ in range(4))


def _date(rng: Random) -> str:
    month, day = rng.randrange(10, 13), rng.randrange(10, 29)
    return f"0{rng.randrange(380, 400)}-{month}-{day}"


def _isbn(rng: Random) -> str:
    return f"978-0-{_digits(rng, 4)}-{_digits(rng, 4)}-{_digits(rng, 1)}"


def _order(rng: Random) -> str:
    return f"{_digits(rng, 3)}-{_digits(rng, 7)}"


def _handle(rng: Random) -> str:
    return "@" + str(rng.choice(web_bank("private")["last"])).lower()


PRIVATE: dict[str, Callable[[Random], str]] = {
    "email": _email,
    "phone": _phone,
    "ip": _ip,
    "card": _card,
}
ALIKE: dict[str, Callable[[Random], str]] = {
    "badcard": _bad_card,
    "badip": _bad_ip,
    "version": _version,
    "date": _date,
    "order": _order,
    "handle": _handle,
    "isbn": _isbn,
}


def plant_private(rng: Random, alike: bool) -> tuple[str, list[Span]]:
    """A sentence and the spans of the data, or of look-alikes, in it."""
    bank = web_bank("private")
    shape = rng.choice(bank["alike" if alike else "planted"])
    makers, text, spans, at = {**PRIVATE, **ALIKE}, "", [], 0
    for match in SLOT.finditer(shape):
        text += shape[at : match.start()]
        at, name = match.end(), match[1]
        if name in makers:
            value = makers[name](rng)
            spans.append(Span(len(text), len(text) + len(value), name))
        else:
            value = rng.choice(bank[name])
        text += value
    return text + shape[at:], spans
