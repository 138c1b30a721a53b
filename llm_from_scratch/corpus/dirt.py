# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""Texts that nobody should learn from, and innocent ones that look so."""

from random import Random
from typing import Any

from llm_from_scratch.corpus.phrases import fill_shape, web_bank

__all__ = [
    "JUNK",
    "ROWS",
    "Text",
    "adult_text",
    "decoy_notice",
    "foreign_text",
    "list_text",
    "lorem_text",
    "lost_text",
    "spam_text",
]


Text = tuple[str, list[str]]  # a title and paragraphs


def spam_text(rng: Random) -> Text:
    """Advertising for one or two things, as key words or as sentences."""
    bank = web_bank("junk")["spam"]
    brand = rng.choice(bank["brand_a"]) + rng.choice(bank["brand_b"])
    x, y = rng.sample(bank["things"], 2)
    slots = {"x": [x, x, x, y], "y": y, "brand": brand}
    title = fill_shape(rng, "{x} - best {x} at {brand}", slots)
    if rng.random() < 0.35:  # a heap of key words
        many = {"x": rng.sample(bank["things"], 6)}
        words = [
            fill_shape(rng, rng.choice(bank["shapes"]), many)
            for _ in range(rng.randrange(50, 130))
        ]
        return title, [", ".join(words)]
    lines = [
        fill_shape(rng, rng.choice(bank["sentences"]), slots)
        for _ in range(rng.randrange(10, 24))
    ]
    return title, [" ".join(lines[i : i + 5]) for i in range(0, len(lines), 5)]


def adult_text(rng: Random) -> Text:
    """The signals of an adult page around nouns that mean nothing."""
    bank = web_bank("junk")["adult"]
    x, y = rng.sample(bank["nouns"], 2)
    slots = {"x": [x, x, y], "y": bank["nouns"]}
    lines = [
        fill_shape(rng, rng.choice(bank["sentences"]), slots)
        for _ in range(rng.randrange(6, 16))
    ]
    title = fill_shape(rng, rng.choice(bank["titles"]), slots)
    return title, [" ".join(lines[i : i + 4]) for i in range(0, len(lines), 4)]


def _stock_row(rng: Random, bank: dict[str, Any]) -> str:
    part, color = rng.choice(bank["parts"]), rng.choice(bank["colors"])
    number, price = rng.randrange(10000, 99999), rng.randrange(100, 9999)
    size = f"{rng.randrange(2, 60)}x{rng.randrange(2, 90)}"
    return f"{number} | {part} {color} {size} mm | {price / 100:.2f}"


def _log_row(rng: Random, bank: dict[str, Any]) -> str:
    clock = [rng.randrange(limit) for limit in (24, 60, 60, 1000)]
    time = "{:02}:{:02}:{:02}.{:03}".format(*clock)
    level, event = rng.choice(bank["levels"]), rng.choice(bank["events"])
    return f"{time} {level} [{rng.randrange(4096):03x}] {event}"


def _timetable_row(rng: Random, bank: dict[str, Any]) -> str:
    hour, line = rng.randrange(5, 20), rng.randrange(1, 80)
    stops = [f"{hour + i}.{rng.randrange(60):02}" for i in range(4)]
    return f"{line} {' '.join(stops)}"


ROWS = (_stock_row, _log_row, _timetable_row)


def list_text(rng: Random) -> Text:
    """Rows that a machine wrote: goods, events or times."""
    row, bank = rng.choice(ROWS), web_bank("junk")["list"]
    rows = [row(rng, bank) for _ in range(rng.randrange(25, 90))]
    title = rng.choice(("Price list", "Log", "Timetable", "Export", "Index of"))
    return f"{title} {rng.randrange(1000)}", ["\n".join(rows)]


def _lorem_line(rng: Random) -> str:
    words = web_bank("junk")["lorem"]["words"]
    chosen = rng.choices(words, k=rng.randrange(5, 15))
    return " ".join(chosen).capitalize() + "."


def lorem_text(rng: Random) -> Text:
    """The filler text of typesetters."""
    paragraphs = [
        " ".join(_lorem_line(rng) for _ in range(rng.randrange(3, 8)))
        for _ in range(rng.randrange(2, 6))
    ]
    paragraphs[0] = f"Lorem ipsum dolor sit amet. {paragraphs[0]}"
    return "Sample page", paragraphs


def lost_text(rng: Random) -> Text:
    """An error message sent with status 200: a soft 404."""
    bank = web_bank("junk")["lost"]
    line = fill_shape(rng, rng.choice(bank["texts"]), {})
    return rng.choice(bank["titles"]), [line]


JUNK = {
    "spam": spam_text,
    "adult": adult_text,
    "listing": list_text,
    "lorem": lorem_text,
    "soft404": lost_text,
}


def decoy_notice(rng: Random) -> str:
    """An innocent notice in words that spam and adult filters look for."""
    notices = web_bank("junk")["decoy"]["notices"]
    return fill_shape(rng, rng.choice(notices), {})


def foreign_text(rng: Random) -> tuple[str, Text]:
    """A language code and a page in that language."""
    language = rng.choice(sorted(web_bank("languages")))
    bank = web_bank("languages")[language]
    lines = [
        fill_shape(rng, rng.choice(bank["frames"]), bank)
        for _ in range(rng.randrange(8, 20))
    ]
    title = fill_shape(rng, rng.choice(bank["title"]), bank)
    step = rng.randrange(3, 6)
    starts = range(0, len(lines), step)
    return language, (title, [" ".join(lines[i : i + step]) for i in starts])
