# Generated from chapters/appendix_tokenizer.md by `make export`. Do not edit.
"""Kernels that find the pieces of UTF-8 text under the known patterns."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.tokenizer.compiled import kernel
from llm_from_scratch.tokenizer.pattern import (
    BREAK,
    LETTER,
    LOWER,
    NUMBER,
    SPACE,
    UPPER,
    WORD,
    Rule,
)

__all__ = [
    "ANY_CASE",
    "AS_IS",
    "Text",
    "cased_end",
    "contraction",
    "find_pieces",
    "gpt2_end",
    "gpt4_end",
    "gpt4o_end",
    "letters_end",
    "other_end",
    "read_char",
    "skip",
    "space_end",
]


class Text(NamedTuple):
    """Bytes to be split, and what the kernels need beside them."""

    data: NDArray[np.uint8]
    words: NDArray[np.uint64]  # the eight bytes that start at each byte
    classes: NDArray[np.uint8]  # of each code point
    rule: Rule


@kernel
def read_char(text: Any, i: int) -> tuple[int, int]:
    """Return the class bits of the character at byte i, and its end."""
    data, b = text.data, text.data[i]
    if b < 0x80:
        return text.classes[b], i + 1
    if b < 0xE0:
        return text.classes[(b & 31) << 6 | data[i + 1] & 63], i + 2
    code = (b & 15) << 12 | (data[i + 1] & 63) << 6 | data[i + 2] & 63
    if b < 0xF0:
        return text.classes[code], i + 3
    return text.classes[(code & 0x7FFF) << 6 | data[i + 3] & 63], i + 4


@kernel
def skip(text: Any, i: int, stop: int, mask: int, want: int) -> int:
    """Advance over characters whose class bits under `mask` are `want`."""
    while i < stop:
        c, j = read_char(text, i)
        if c & mask != want:
            break
        i = j
    return i


ANY_CASE, AS_IS = np.uint64(0x2020202020202020), np.uint64(0)
_SEVEN, _TOP = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080)
_FROM_A, _PAST_Z = np.uint64(0x1F1F1F1F1F1F1F1F), np.uint64(0x0505050505050505)
_PLACE, _ONE = np.uint64(0x0001020304050607), np.uint64(1)
_BIT, _BYTE = np.uint64(7), np.uint64(56)


@kernel
def letters_end(text: Any, i: int, fold: Any) -> Any:
    """Return the end of a run of ASCII letters, eight bytes at a time."""
    while True:
        word = text.words[i]
        low = (word | fold) & _SEVEN
        other = ~((low + _FROM_A) & ~(low + _PAST_Z) & ~word) & _TOP
        if other != 0:  # its lowest bit marks the first other byte
            first = (other & (~other + _ONE)) >> _BIT
            return i + np.int64((first * _PLACE) >> _BYTE)
        i += 8


@kernel
def contraction(text: Any, i: int, stop: int, fold: bool) -> int:
    """Return the end of 's, 'd, 'm, 't, 'll, 've or 're at i, else i."""
    if i + 1 >= stop or text.data[i] != 39:
        return i
    lower = 32 if fold else 0
    a = text.data[i + 1] | lower
    if a == 115 or a == 100 or a == 109 or a == 116:  # s d m t
        return i + 2
    if i + 2 >= stop:
        return i
    b = text.data[i + 2] | lower
    if (a == 108 and b == 108) or ((a == 118 or a == 114) and b == 101):
        return i + 3  # ll ve re
    if fold and text.data[i + 1] == 0xC5 and text.data[i + 2] == 0xBF:
        return i + 3  # the long s is a form of S
    return i


@kernel
def space_end(text: Any, i: int, stop: int) -> int:
    """Return the end of a piece of white space that starts at i."""
    last = end = line = i
    while end < stop:
        c, j = read_char(text, end)
        if not c & SPACE:
            break
        last, end = end, j
        if c & BREAK:
            line = j
    if text.rule.tail and end == stop:
        return end
    if text.rule.family != 2 and line > i:
        return line
    return end if end == stop or last == i else last


@kernel
def gpt2_end(text: Any, i: int, stop: int) -> int:
    """Return the end of the piece of GPT-2's pattern that starts at i."""
    j = i + 1 if text.data[i] == 32 else i  # a space joins what follows it
    end = letters_end(text, j, ANY_CASE)
    if j < end and j < stop and text.data[end] < 0x80:
        return min(end, stop)
    end = contraction(text, i, stop, False)
    if end > i:
        return end
    c, end = read_char(text, j if j < stop else i)
    if c & SPACE:
        return space_end(text, i, stop)
    return skip(text, end, stop, WORD, c & WORD)


@kernel
def gpt4_end(text: Any, i: int, stop: int) -> int:
    """Return the end of the piece of GPT-4's pattern that starts at i."""
    end = contraction(text, i, stop, True)
    if end > i:
        return end
    c, j = read_char(text, i)
    start = i if c & (BREAK | LETTER | NUMBER) else j
    end = letters_end(text, start, ANY_CASE)
    if start < end and start < stop and text.data[end] < 0x80:
        return min(end, stop)
    end = skip(text, start, stop, LETTER, LETTER)
    return end if end > start else other_end(text, i, j, c, stop)


@kernel
def other_end(text: Any, i: int, j: int, c: int, stop: int) -> int:
    """Return the end of a piece without letters, for GPT-4 and GPT-4o."""
    if c & NUMBER:
        for _ in range(text.rule.digits - 1):
            if j < stop:
                d, k = read_char(text, j)
                j = k if d & NUMBER else j
        return j
    if text.data[i] == 32 and j < stop:  # a space joins signs
        d, k = read_char(text, j)
        if not d & WORD:
            c, j = d, k
    if c & SPACE:
        return space_end(text, i, stop)
    j = skip(text, j, stop, WORD, 0)
    slash = 47 if text.rule.family == 5 else 10
    while j < stop and text.data[j] in (10, 13, slash):
        j += 1
    return j


@kernel
def cased_end(text: Any, i: int, stop: int) -> int:
    """Return the end of U*L+ at i, with U and L the two case classes."""
    end, both = i, i  # `both`: end of the last character in U and in L
    while end < stop:
        c, j = read_char(text, end)
        if not c & UPPER:
            break
        end, both = j, j if c & LOWER else both
    lower = skip(text, end, stop, LOWER, LOWER)
    return lower if lower > end else both


@kernel
def gpt4o_end(text: Any, i: int, stop: int) -> int:
    """Return the end of the piece of GPT-4o's pattern that starts at i."""
    c, j = read_char(text, i)
    prefix = i if c & (BREAK | LETTER | NUMBER) else j
    start = prefix + 1 if 65 <= text.data[prefix] <= 90 else prefix
    end = letters_end(text, start, AS_IS)
    if start < end and start < stop and text.data[end] < 0x80:
        return contraction(text, min(end, stop), stop, True)
    for attempt in range(4):  # U*L+ then U+, each with the prefix first
        start = i if attempt & 1 else prefix
        if attempt < 2:
            end = cased_end(text, start, stop)
        else:
            end = skip(text, start, stop, UPPER, UPPER)
        if end > start:
            return contraction(text, end, stop, True)
    return other_end(text, i, j, c, stop)


@kernel
def find_pieces(text: Any, segments: Any, cursor: Any, bounds: Any) -> int:
    """Write the bounds of the next pieces into `bounds`; return how many.

    `segments` holds rows (start, stop); a row with a negative start is a
    mark and is passed on. `cursor` (segment, byte) says where to go on.
    """
    s, i, n = cursor[0], cursor[1], 0
    while s < len(segments) and n < len(bounds):
        start, stop = segments[s, 0], segments[s, 1]
        if start < 0:
            bounds[n, 0], bounds[n, 1] = start, stop
            n += 1
        i = max(i, start)
        while start >= 0 and i < stop and n < len(bounds):
            if text.rule.family == 2:
                end = gpt2_end(text, i, stop)
            elif text.rule.family == 4:
                end = gpt4_end(text, i, stop)
            else:
                end = gpt4o_end(text, i, stop)
            bounds[n, 0], bounds[n, 1] = i, end
            n, i = n + 1, end
        if start < 0 or i >= stop:
            s, i = s + 1, 0
    cursor[0], cursor[1] = s, i
    return n
