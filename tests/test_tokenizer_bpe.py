# ruff: noqa: RUF001
"""Encoding equals slow BPE, whatever the chunks, threads and documents."""

import copy
import itertools
import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_reference import SAMPLE, encode_slowly

from llm_from_scratch.tokenizer import Tokenizer, train_bpe
from llm_from_scratch.tokenizer.memory import Memory
from llm_from_scratch.tokenizer.pattern import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    O200K_PATTERN,
)

PATTERNS = [GPT2_PATTERN, CL100K_PATTERN, O200K_PATTERN, r"\w+|\W"]
SPECIAL = ["<|end|>", "<|end|><|end|>", "<|a b|>"]
ODD = st.text(
    st.one_of(
        st.sampled_from("ae' \n<|>d"), st.characters(exclude_categories=["Cs"])
    ),
    max_size=80,
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Vocabulary and merges of the sample, for each pattern."""
    path = tmp_path_factory.mktemp("bpe") / "text.txt"
    path.write_text(SAMPLE, "utf-8", newline="")
    return {p: train_bpe(path, 500, [], pattern=p) for p in PATTERNS}


@pytest.fixture(scope="module")
def make(learned):
    def tokenizer(pattern=GPT2_PATTERN, special=None, **options):
        return Tokenizer(*learned[pattern], special, pattern=pattern, **options)

    return tokenizer


@pytest.fixture(scope="module")
def plain(make):
    return make()


@pytest.fixture(scope="module")
def special(make):
    return make(special=SPECIAL)


def test_by_hand():
    vocab = {i: bytes([i]) for i in range(256)}
    vocab |= {256: b"he", 257: b"ll", 258: b"hell"}
    merges = [(b"h", b"e"), (b"l", b"l"), (b"he", b"ll")]
    assert Tokenizer(vocab, merges).encode("hello") == [258, 111]
    assert Tokenizer(vocab, merges[:2]).encode("hello") == [256, 257, 111]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_sample_equals_slow_bpe(make, learned, pattern):
    tokenizer = make(pattern)
    got = [tokenizer.vocab[i] for i in tokenizer.encode(SAMPLE)]
    assert got == encode_slowly(SAMPLE, learned[pattern][1], pattern)


@given(text=ODD)
def test_any_text_equals_slow_bpe(plain, learned, text):
    got = [plain.vocab[i] for i in plain.encode(text)]
    assert got == encode_slowly(text, learned[GPT2_PATTERN][1], GPT2_PATTERN)


@given(text=ODD)
def test_round_trip(special, text):
    assert special.decode(special.encode(text)) == text


def test_long_pieces_equal_slow_bpe(plain, learned):
    for size in (63, 64, 65, 66, 300, 3000):
        text = "".join(random.choices("ath", k=size))
        got = [plain.vocab[i] for i in plain.encode(text)]
        assert got == encode_slowly(
            text, learned[GPT2_PATTERN][1], GPT2_PATTERN
        )


def test_a_piece_of_a_megabyte_takes_no_quadratic_time(plain):
    text = "a" * 1_000_000
    assert plain.decode(plain.encode(text)) == text


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_blocks_change_nothing(special, threads, monkeypatch):
    text = (SAMPLE + "<|end|>") * 20 + "猫" * 5000
    want = special.encode_array(text)
    for module in ("bpe", "coder"):
        name = f"llm_from_scratch.tokenizer.{module}.BLOCK"
        monkeypatch.setattr(name, 2000)
    got = special.encode_array(text, num_threads=threads)
    assert got.dtype == np.uint32
    assert np.array_equal(got, want)
    assert np.array_equal(special.encode_array(text.encode()), want)


@pytest.mark.parametrize("threads", [1, 2])
def test_documents_are_encoded_apart(special, threads, monkeypatch):
    monkeypatch.setattr("llm_from_scratch.tokenizer.coder.BLOCK", 500)
    documents = ["", "a ", " b<|end|>", "<|e", "nd|>", SAMPLE, "", "ends 's"]
    got = special.encode_documents(documents * 9, num_threads=threads)
    want = [special.encode(document) for document in documents] * 9
    assert [ids.tolist() for ids in got] == want


# --- streams


def chunks_of(text, sizes):
    at = 0
    for size in sizes:
        yield text[at : at + size]
        at += size


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 10**6])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_stream_equals_whole_text(make, size, pattern):
    tokenizer = make(pattern, SPECIAL)
    text = SAMPLE + "<|end|><|end|> <|a b|>\n" + SAMPLE + " \n \n"
    stream = tokenizer.encode_iterable(chunks_of(text, [size] * len(text)))
    assert list(stream) == tokenizer.encode(text)


@pytest.mark.parametrize("pattern", PATTERNS[:3])
@pytest.mark.parametrize("start", [16, 17, 40])
def test_any_cut_equals_whole_text(make, pattern, start, monkeypatch):
    """Tiny blocks, so that every rule of cutting is at work."""
    from llm_from_scratch.tokenizer import bpe, stream

    tokenizer = make(pattern, SPECIAL)
    small = lambda *args: stream.blocks(*args[:3], start)  # noqa: E731
    monkeypatch.setattr(bpe, "blocks", small)
    pools = ["a'S \n1ſ/", "aAʰ漢\u0301'\u00a0\n1ǅ猫", "<|end|> ab", "漢 字"]
    for seed in range(150):
        rng = random.Random(seed)
        text = "".join(rng.choices(pools[seed % 4], k=rng.randint(1, 300)))
        got = tokenizer.encode_iterable(chunks_of(text, [3] * 100))
        assert list(got) == tokenizer.encode(text), repr(text)


@given(st.lists(ODD, max_size=12))
def test_any_chunking_equals_whole_text(special, chunks):
    assert list(special.encode_iterable(chunks)) == special.encode(
        "".join(chunks)
    )


def test_stream_is_lazy(plain):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "word " * 100

    ids = list(itertools.islice(plain.encode_iterable(endless()), 1000))
    assert plain.decode(ids).startswith("word word word")
    assert read < 1000


def test_surrogate_pair_cut_between_chunks(plain):
    cat = "\N{CAT}"
    high, low = (
        cat.encode("utf-16-be", "surrogatepass").decode(
            "utf-16-be", "surrogatepass"
        ),
        "",
    )
    pair = [chr(0xD83D), chr(0xDC08)]
    assert high + low == cat
    want = plain.encode(cat)
    assert list(plain.encode_iterable(pair)) == want
    assert plain.encode("".join(pair)) == want
    assert list(plain.encode_iterable(["a", pair[0]])) == plain.encode(
        "a\ufffd"
    )


# --- special tokens


def test_special_tokens_are_one_id(special):
    end = special.special_tokens["<|end|>"]
    assert special.encode("a<|end|>b").count(end) == 1
    assert special.decode([end]) == "<|end|>"


def test_longest_special_token_wins(special):
    two = special.special_tokens["<|end|><|end|>"]
    one = special.special_tokens["<|end|>"]
    assert special.encode("<|end|>" * 3) == [two, one]


def test_untrusted_text_makes_no_special_token(special):
    ids = special.encode("a<|end|>b", allowed_special="none")
    assert not set(ids) & set(special.special_tokens.values())
    assert special.decode(ids) == "a<|end|>b"
    assert special.encode("a<|end|>b", allowed_special=set()) == ids


def test_some_special_tokens_may_be_allowed(special):
    allowed = {"<|a b|>"}
    ids = special.encode("<|end|><|a b|>", allowed_special=allowed)
    found = set(ids) & set(special.special_tokens.values())
    assert found == {special.special_tokens["<|a b|>"]}


def test_whole_piece_never_becomes_a_special_token(learned):
    vocab, merges = learned[GPT2_PATTERN]
    tokenizer = Tokenizer(vocab, merges, ["hello"], ignore_merges=True)
    id = tokenizer.special_tokens["hello"]
    assert tokenizer.encode("hello") == [id]
    assert id not in tokenizer.encode("hello", allowed_special="none")


def test_special_token_of_the_vocabulary_keeps_its_id(learned):
    vocab, merges = learned[GPT2_PATTERN]
    tokenizer = Tokenizer(vocab | {900: b"<|end|>"}, merges, ["<|end|>", "<s>"])
    assert tokenizer.special_tokens == {"<|end|>": 900, "<s>": 901}


def test_unnamed_special_token_of_the_vocabulary_is_not_special(learned):
    vocab, merges = learned[GPT2_PATTERN]
    tokenizer = Tokenizer(vocab | {900: b"<|end|>"}, merges)
    assert 900 not in tokenizer.encode("<|end|>")


# --- decoding


def test_part_of_a_character_decodes_to_a_mark(plain):
    ids = [256 - 256 + b for b in "é".encode()]
    assert plain.decode(ids) == "é"
    assert plain.decode(ids[:1]) == "\ufffd"
    assert plain.decode_bytes(ids[:1]) == b"\xc3"


def test_decode_takes_arrays(plain):
    assert plain.decode(plain.encode_array("a cat")) == "a cat"


@given(st.lists(st.integers(0, 414), max_size=30))
def test_decode_never_fails_on_known_ids(plain, ids):
    plain.decode(ids)


# --- state


def test_memory_stays_bounded_and_right(plain, monkeypatch):
    monkeypatch.setattr(Memory, "LIMIT", 256)
    tokenizer = pickle.loads(pickle.dumps(plain))
    text = " ".join(str(n * n) for n in range(6000))
    assert tokenizer.encode(text) == plain.encode(text)
    [memory] = tokenizer._code.idle
    assert len(memory.table.rows) <= 1 << 12
    assert len(memory.output.pool) <= 1 << 13


def test_copies_do_not_share_buffers(plain):
    plain.encode("warm up")
    for twin in (copy.deepcopy(plain), pickle.loads(pickle.dumps(plain))):
        assert twin.encode(SAMPLE) == plain.encode(SAMPLE)


def test_empty_text(special):
    assert special.encode("") == []
    assert special.encode_array(b"").size == 0
    assert list(special.encode_iterable([])) == []
    assert list(special.encode_documents([])) == []
    assert special.decode([]) == ""


# --- errors


def test_errors_name_the_thing_and_the_fix(learned, special):
    vocab, merges = learned[GPT2_PATTERN]
    cases = {
        "special token '' is empty; remove": (vocab, merges, [""]),
        "'<s>' is given twice; remove": (vocab, merges, ["<s>", "<s>"]),
        "'<s>': id 7 is taken": (vocab, merges, {"<s>": 7}),
        "'<t>': id 900 is taken": (vocab, merges, {"<s>": 900, "<t>": 900}),
        "lacks the byte 0x41": (
            {i: t for i, t in vocab.items() if i != 65},
            merges,
        ),
        "occurs twice": (vocab | {999: b"a"}, merges),
        "b'' is empty": (vocab | {999: b""}, merges),
        "merge 0 of b'q' and b'zx'.* lacks": (vocab, [(b"q", b"zx")]),
    }
    for message, arguments in cases.items():
        with pytest.raises(ValueError, match=message):
            Tokenizer(*arguments)
    with pytest.raises(ValueError, match="id 12345 is none of the 418 ids"):
        special.decode([12345])
    with pytest.raises(ValueError, match="id -1 is none"):
        special.decode([-1])
    with pytest.raises(ValueError, match="'<s>'; give 'all', 'none' or a set"):
        special.encode("a", allowed_special={"<s>"})
    with pytest.raises(ValueError, match="'some'; give 'all', 'none'"):
        special.encode("a", allowed_special="some")
    with pytest.raises(ValueError, match="the text is not UTF-8: byte 0xff"):
        special.encode_array(b"\xff")


@pytest.mark.parametrize("cut", range(1, 9))
def test_no_cut_inside_a_special_token(make, cut, monkeypatch):
    """Blocks that end anywhere in a special token with a blank in it."""
    from llm_from_scratch.tokenizer import bpe, stream

    tokenizer = make(special=["<|a b|>", "<|a b|> !"])
    small = lambda *args: stream.blocks(*args[:3], 16)  # noqa: E731
    monkeypatch.setattr(bpe, "blocks", small)
    text = "one two three" + "x" * cut + "<|a b|> !" + " <|a b|>?" * 9
    for size in (1, 3, 16):
        parts = (text[k : k + size] for k in range(0, len(text), size))
        assert list(tokenizer.encode_iterable(parts)) == tokenizer.encode(text)


@pytest.mark.parametrize("count", range(20, 60, 7))
def test_no_cut_before_a_run_that_is_not_over(make, count):
    """What follows the capitals decides whether the Han sign joins them."""
    from llm_from_scratch.tokenizer.stream import blocks

    tokenizer = make(O200K_PATTERN)
    text = "猫" + "A" * count + "b" + "猫" * 30
    parts = (text[k : k + 3].encode() for k in range(0, len(text), 3))
    found = blocks(
        parts, tokenizer.special_finder("none"), tokenizer.pattern, 16
    )
    whole = "猫" + "A" * count + "b"  # is one piece
    assert all(
        whole in b.data.decode() or "A" not in b.data.decode() for b in found
    )
