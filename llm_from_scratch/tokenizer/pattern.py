# Generated from chapters/06_a_tokenizer_of_your_own.md
# by `make export`. Do not edit.
"""The split patterns of GPT-2, GPT-4 and GPT-4o, as kernels over bytes.

A pattern cuts text into pieces; no token ever crosses a cut. The kernels
below read UTF-8 and equal the `regex` module on every string.
"""

import functools
from typing import NamedTuple

import numpy as np
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

__all__ = [
    "BREAK",
    "CL100K_PATTERN",
    "GPT2_PATTERN",
    "LETTER",
    "LOWER",
    "NUMBER",
    "O200K_PATTERN",
    "SPACE",
    "UPPER",
    "WORD",
    "Rule",
    "character_classes",
    "rule_of",
]


GPT2_PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)
CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?![\s\S])|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K_PATTERN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_SUFFIX}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Rule(NamedTuple):
    """What a kernel needs to know of a pattern: its family and options.

    `family` 2, 4 or 5 stands for GPT-2, GPT-4 and GPT-4o; `digits` is the
    longest run of digits (0: any); `tail` keeps white space at the end of a
    text in one piece, as tiktoken's spelling of GPT-4's pattern does.
    """

    family: int
    digits: int = 0
    tail: bool = False


_OLD = (
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_RULES = {
    GPT2_PATTERN: Rule(2),
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++"
    r"|\s++$|\s+(?!\S)|\s": Rule(2),
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+": Rule(2),
    CL100K_PATTERN: Rule(4, 3, True),
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s": Rule(
        4, 3, True
    ),
    r"'(?i:[sdmt]|ll|ve|re)" + _OLD: Rule(4, 3),
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)" + _OLD: Rule(4, 3),
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)" + _OLD.replace("{1,3}", ""): Rule(4, 1),
    O200K_PATTERN: Rule(5, 3),
}


def rule_of(pattern: str) -> Rule | None:
    """Return the rule of a pattern that the kernels know, else None."""
    return _RULES.get(pattern)


LETTER, NUMBER, SPACE, BREAK, UPPER, LOWER = 1, 2, 4, 8, 16, 32
WORD = LETTER | NUMBER | SPACE


@functools.cache
def character_classes() -> NDArray[np.uint8]:
    """Give the class bits of all 0x110000 code points, asked of `regex`."""
    text = "".join(map(chr, range(0xD800))) + "".join(
        map(chr, range(0xE000, 0x110000))
    )
    table = np.zeros(0x110000, np.uint8)
    for bit, members in (
        (LETTER, r"\p{L}+"),
        (NUMBER, r"\p{N}+"),
        (SPACE, r"\s+"),
        (BREAK, r"[\r\n]+"),
        (UPPER, rf"[{_UPPER}]+"),
        (LOWER, rf"[{_LOWER}]+"),
    ):
        for run in regex.finditer(members, text):
            table[ord(run[0][0]) : ord(run[0][-1]) + 1] |= np.uint8(bit)
    return table
