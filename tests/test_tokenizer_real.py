# ruff: noqa: RUF001
"""The published vocabularies, on adversarial strings and on real prose."""

import random

import numpy as np
import pytest
import tiktoken

from llm_from_scratch.corpus.documents import documents
from llm_from_scratch.corpus.slices import vocabulary
from llm_from_scratch.tokenizer import Tokenizer
from llm_from_scratch.tokenizer.pattern import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    O200K_PATTERN,
)

pytestmark = pytest.mark.data
# As in tiktoken_ext/openai_public.py of tiktoken 0.14.
THEIRS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++"
    r"|\s++$|\s+(?!\S)|\s",
    "cl100k_base": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++"
    r"|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k_base": O200K_PATTERN,
}
OURS = {
    "gpt2": GPT2_PATTERN,
    "cl100k_base": CL100K_PATTERN,
    "o200k_base": O200K_PATTERN,
}
PARTS = [
    *("a", "b", "the", "The", "THE", "CamelCase", "ß", "ſ", "ǅ", "ʰ", "é"),
    *("e\u0301", "\u0301", "漢字", "ひらがな", "한국어", "نص", "हिन्दी", "ไทย"),
    *("'s", "'S", "'ſ", "'ll", "'LL", "'Ve", "'", "''", "’s", "l'"),
    *("0", "12", "123", "1234", "३४", "½", "Ⅷ", "1.5", "1,000"),
    *(" ", "  ", "    ", "\t", "\n", "\r\n", "\n\n", "\r", " \n", "\n ", "\f"),
    *("\u00a0", "\u2003", "\u2028", "\u3000", "\u200b", "\ufeff", "\x85"),
    *("!", "!!", "...", "/", "//", "/\n", "_", "--", "=====", "<|", "|>", "#"),
    *("👍", "👍🏽", "👨‍👩‍👧", "🇫🇷", "𝔘", "\x00", "\x1c", "\x7f", "\ue000"),
    *(
        "<|endoftext|>",
        "<|endofprompt|>",
        "<|fim_prefix|>",
        " SolidGoldMagikarp",
    ),
    *("a" * 50, " " * 90, "\n" * 20, "ab" * 60, "=" * 70, "x" * 300),
]


@pytest.fixture(scope="module", params=list(THEIRS))
def pair(request):
    """Our tokenizer and tiktoken's of one name."""
    name, found = request.param, vocabulary(request.param)
    ranks, special = found["bpe_ranks"], found["special_tokens"]
    theirs = tiktoken.Encoding(
        name,
        pat_str=THEIRS[name],
        mergeable_ranks=ranks,
        special_tokens=special,
    )
    return Tokenizer.from_ranks(ranks, special, pattern=OURS[name]), theirs


def test_adversarial_strings_equal_tiktoken(pair):
    ours, theirs = pair
    rng = random.Random(1)
    texts = [*PARTS, *(a + b for a in PARTS for b in PARTS)]
    texts += [
        "".join(rng.choices(PARTS, k=rng.randint(3, 40))) for _ in range(3000)
    ]
    for text in texts:
        ids = ours.encode(text)
        assert ids == theirs.encode(text, allowed_special="all"), repr(text)
        safe = ours.encode(text, allowed_special="none")
        assert safe == theirs.encode_ordinary(text), repr(text)
        assert ours.decode(ids) == text


def test_every_token_encodes_as_in_tiktoken(pair):
    ours, theirs = pair
    for token in list(ours.plain)[::7]:
        text = token.decode(errors="replace")
        assert ours.encode(text, allowed_special="none") == (
            theirs.encode_ordinary(text)
        )


def test_random_unicode_equals_tiktoken(pair):
    ours, theirs = pair
    rng = random.Random(2)
    blocks = [(0, 128), (0, 0x250), (0x300, 0x700), (0x900, 0xD00)]
    blocks += [(0x3000, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF)]
    for _ in range(1500):
        low, high = rng.choice(blocks)
        text = "".join(chr(rng.randrange(low, high)) for _ in range(40))
        assert ours.encode(text) == theirs.encode_ordinary(text), repr(text)


def test_lone_surrogates_equal_tiktoken(pair):
    ours, theirs = pair
    for text in ("\ud83d", "a\ud83d\ude00b", "\ude00\ud83d"):
        assert ours.encode(text) == theirs.encode(text)


@pytest.mark.parametrize("source", ["tales", "recipes", "wikipedia"])
def test_real_prose_equals_tiktoken(pair, source):
    ours, theirs = pair
    texts = [document.text for document in documents(source)][:300]
    got = list(ours.encode_documents(texts, num_threads=2))
    for ids, text in zip(got, texts, strict=True):
        assert ids.tolist() == theirs.encode_ordinary(text)
    whole = "\n".join(texts)
    assert np.array_equal(
        ours.encode_array(whole, num_threads=2), theirs.encode_ordinary(whole)
    )


def test_stream_equals_tiktoken(pair):
    ours, theirs = pair
    text = "".join(random.Random(3).choices(PARTS, k=4000))
    chunks = (text[i : i + 5] for i in range(0, len(text), 5))
    got = list(ours.encode_iterable(chunks))
    assert got == theirs.encode(text, allowed_special="all")
