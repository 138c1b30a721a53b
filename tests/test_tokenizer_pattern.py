# ruff: noqa: RUF001
"""The kernels cut text exactly where `regex` cuts it."""

import itertools
import random

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.tokenizer.pattern import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    O200K_PATTERN,
    Rule,
    character_classes,
    rule_of,
)
from llm_from_scratch.tokenizer.split import Splitter

PATTERNS = [GPT2_PATTERN, CL100K_PATTERN, O200K_PATTERN]
ALIASES = {
    "tiktoken's GPT-2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++"
    r"| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "tiktoken's cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++"
    r"|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "Llama 3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "Qwen": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
ALL = [*PATTERNS, *ALIASES.values()]
# What the alternatives tell apart: case, marks, digits, spaces, ends of line.
ODD = "aZ'sSdtmlvre ſʰǅ漢\u0301١½1 \t\n\r\u00a0\u2028\x85\u3000/.!_😀\x00\x1c"


def split(splitter, text):
    data = text.encode()
    segments = [(0, len(data))]
    rows = [b.tolist() for b in splitter(data, segments)]
    return [data[i:j].decode() for i, j in itertools.chain(*rows)]


def test_gpt2_by_hand():
    got = split(Splitter(GPT2_PATTERN), "He's  got 12 cats!!  \n")
    assert got == ["He", "'s", " ", " got", " 12", " cats", "!!", "  \n"]


def test_gpt4_by_hand():
    got = split(Splitter(CL100K_PATTERN), "HE'S 1234!!\nx\n ")
    assert got == ["HE", "'S", " ", "123", "4", "!!\n", "x", "\n "]


def test_gpt4o_by_hand():
    got = split(Splitter(O200K_PATTERN), "CamelCase HE'S a/\n/b")
    assert got == ["Camel", "Case", " HE'S", " a", "/\n/", "b"]


@pytest.mark.parametrize("pattern", ALL)
def test_all_short_strings_equal_regex(pattern):
    assert rule_of(pattern)
    splitter, reference = Splitter(pattern), regex.compile(pattern)
    for chars in ("a'S \n1ſ/", "aAʰ漢\u0301'\u00a0\n1ǅ"):
        for length in range(1, 5):
            for letters in itertools.product(chars, repeat=length):
                text = "".join(letters)
                assert split(splitter, text) == reference.findall(text)


@pytest.mark.parametrize("pattern", ALL)
def test_random_strings_equal_regex(pattern):
    splitter, reference = Splitter(pattern), regex.compile(pattern)
    for _ in range(1000):
        text = "".join(random.choices(ODD, k=random.randint(1, 40)))
        assert split(splitter, text) == reference.findall(text), repr(text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_character_equals_regex(pattern):
    splitter, reference = Splitter(pattern), regex.compile(pattern)
    codes = [*range(0xD800), *range(0xE000, 0x110000)]
    text = "".join(f"{chr(c)}a{chr(c)} {chr(c)}B'{chr(c)}" for c in codes)
    for at in range(0, len(text), 1 << 20):
        part = text[at : at + (1 << 20)]
        assert split(splitter, part) == reference.findall(part)


@given(st.text(max_size=60), st.sampled_from(PATTERNS))
def test_any_text_equals_regex(text, pattern):
    assert split(Splitter(pattern), text) == regex.findall(pattern, text)


def test_classes_equal_regex():
    classes = character_classes()
    for code in random.sample(range(0xE000, 0x110000), 3000):
        letter, number, space = (
            bool(regex.match(p, chr(code))) for p in (r"\p{L}", r"\p{N}", r"\s")
        )
        assert classes[code] & 7 == letter + 2 * number + 4 * space


def test_unknown_pattern_goes_to_regex():
    splitter = Splitter(r"\p{L}|\p{N}+")
    assert rule_of(r"\p{L}|\p{N}+") is None
    assert split(splitter, "äb12 c!") == ["ä", "b", "12", " ", "c", "!"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_marks_pass_through(pattern):
    segments = [(0, 2), (-7, 0), (2, 2), (-1, 3), (2, 4)]
    [rows] = Splitter(pattern)(b"abcd", segments)
    assert rows.tolist() == [[0, 2], [-7, 0], [-1, 3], [2, 4]]


def test_long_text_is_split_in_parts():
    text = "a b " * 40_000
    assert split(Splitter(GPT2_PATTERN), text) == regex.findall(
        GPT2_PATTERN, text
    )


def test_rules_say_what_differs():
    assert rule_of(ALIASES["tiktoken's cl100k"]) == Rule(4, 3, True)
    assert rule_of(ALIASES["Llama 3"]) == Rule(4, 3, False)
    text = "end\n  "
    assert split(Splitter(CL100K_PATTERN), text) == ["end", "\n  "]
    assert split(Splitter(ALIASES["Llama 3"]), text) == ["end", "\n", "  "]
