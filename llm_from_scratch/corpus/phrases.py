# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""Word banks of the small web, and the dice that draw from them."""

import re
import tomllib
from functools import cache
from importlib import resources
from random import Random
from string import Template
from typing import Any

__all__ = [
    "NUMBERS",
    "SLOT",
    "dice",
    "fill_shape",
    "web_bank",
    "web_template",
]


@cache
def web_bank(name: str) -> dict[str, Any]:
    """The lists of words and shapes in `corpus/data/web_{name}.toml`."""
    data = resources.files("llm_from_scratch.corpus") / "data"
    file = data / f"web_{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


@cache
def web_template(name: str) -> Template:
    """The HTML of one kind of site, with $names where the page goes."""
    data = resources.files("llm_from_scratch.corpus") / "data"
    file = data / f"web_template_{name}.html"
    return Template(file.read_text(encoding="utf-8"))


def dice(*key: object) -> Random:
    """A random generator that depends on the key and on nothing else."""
    return Random("/".join(map(str, key)))


SLOT = re.compile(r"\{(\w+)\}")
NUMBERS = {
    "n": [str(n) for n in range(3, 90)],
    "price": [str(n) for n in range(19, 2000, 10)],
    "count": [str(n) for n in range(101, 9999, 7)],
    "minor": [str(n) for n in range(1, 10)],
    "hour": ["7", "8", "9"],
    "years": ["6", "7", "8", "9", "12", "15", "18", "20", "25", "30"],
    "year": ["396", "397", "398", "399", "400"],
    "date": [f"{d} {m} 400" for d in range(1, 29) for m in ("May", "October")],
}


def _draw(rng: Random, slot: str, bank: dict[str, Any]) -> str:
    found = bank[slot] if slot in bank else NUMBERS[slot]
    return found if isinstance(found, str) else str(rng.choice(found))


def fill_shape(rng: Random, shape: str, bank: dict[str, Any]) -> str:
    """The shape with every {slot} filled from the bank, first letter up.

    A slot is a list to choose from or a string. KeyError for other slots.
    """
    text = SLOT.sub(lambda match: _draw(rng, match[1], bank), shape)
    return text[:1].upper() + text[1:]
