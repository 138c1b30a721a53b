"""Draw the text of the cover: what byte models of growing order write.

Each band of rows is sampled from a model that predicts a byte from as many
bytes before it as the band's order says, trained on the prose of this book.
The result is committed; run this module only to draw another.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

ROWS = (("uniform", 3), (0, 3), (1, 3), (2, 3), (3, 3), (4, 3), (6, 3), (9, 2))
WIDTH = 74
LAST = "a language model predicts the next byte"
TARGET = Path("book/theme/latex/cover-text.def")
PRINTABLE = "".join(map(chr, range(33, 127)))


def prose(paths: Iterable[Path]) -> str:
    """Return the running text of Markdown files, without code and markup."""
    text = ""
    for path in paths:
        source = path.read_text("utf-8")
        source = re.sub(r"\A---\n.*?\n---\n", "", source, flags=re.S)
        source = re.sub(r"^(```|:::).*?^\1\s*$", "", source, flags=re.S | re.M)
        for paragraph in source.split("\n\n"):
            if re.match(r"[A-Z]", paragraph) and "|" not in paragraph:
                text += " " + paragraph
    text = re.sub(r"\{[\w:]+\}`[^`]*`|\$[^$]*\$|[*`_]", "", text)
    text = re.sub(r"[^ -~]+", " ", text)
    return re.sub(r"\s+", " ", text).strip()


def sample(text: str, order: int, length: int, rng: random.Random) -> str:
    """Draw bytes from the counts of what follows each run of `order` bytes."""
    follow: dict[str, Counter[str]] = defaultdict(Counter)
    for index in range(order, len(text)):
        follow[text[index - order : index]][text[index]] += 1
    start = rng.randrange(len(text) - order)
    start = text.find(" ", start) + 1 if order else start
    drawn = text[start : start + order]
    while len(drawn) < length + order:
        counts = follow.get(drawn[len(drawn) - order :])
        if not counts:
            drawn += " "
            continue
        drawn += rng.choices(list(counts), list(counts.values()))[0]
    return drawn[:length]


def escape(text: str) -> str:
    """Write ASCII text so that TeX sets every byte of it."""
    return "".join(
        "~" if c == " " else c if c.isalnum() else rf"\char{ord(c)} "
        for c in text
    )


def draw(text: str) -> str:
    """Return the TeX of all rows, from noise to the sentence."""
    rng = random.Random(6)
    rows: list[tuple[str, str]] = []
    for order, count in ROWS:
        for index in range(count):
            if isinstance(order, str):
                line = "".join(rng.choices(PRINTABLE, k=WIDTH))
            else:
                line = sample(text, order, WIDTH, rng)
            rows.append((str(order) if index == 0 else "", line))
    lines = []
    for index, (label, line) in enumerate(rows):
        share = round(100 * index / (len(rows) - 1))
        lines.append(rf"\bookrow{{{share}}}{{{label}}}{{{escape(line)}}}")
    lines.append(rf"\bookrowlast{{{escape(LAST)}}}")
    return "% Written by book/press/print_cover.py.\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Write the rows from the prose of the manuscript."""
    paths = [*Path("book").glob("*.md"), *Path("chapters").glob("*.md")]
    TARGET.write_text(draw(prose(sorted(paths))), encoding="utf-8")
    print(TARGET)


if __name__ == "__main__":
    main()
