"""Training equals a brute-force recount, and says what it cannot do."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_reference import SAMPLE, train_slowly

from llm_from_scratch.tokenizer import stream
from llm_from_scratch.tokenizer.pattern import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    O200K_PATTERN,
)
from llm_from_scratch.tokenizer.train import train_bpe

PATTERNS = [GPT2_PATTERN, CL100K_PATTERN, O200K_PATTERN, r"\w+|\W"]


@pytest.fixture
def train(tmp_path):
    def run(text, num_merges, special=(), **options):
        path = tmp_path / "text.txt"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        size = 256 + num_merges + len(special)
        return train_bpe(path, size, list(special), **options)

    return run


def test_by_hand(train):
    # "ab" 3, "bc" 2, "abc" pieces; ties go to the greater pair of bytes.
    vocab, merges = train("abc abc ab", 2)
    assert merges == [(b"a", b"b"), (b"ab", b"c")]
    assert vocab[256] == b"ab"
    assert vocab[97] == b"a"


def test_ties_go_to_the_greater_pair(train):
    assert train("xy ba", 1)[1] == [(b"x", b"y")]
    # By bytes, not by ids: "aa" + "a" is new, yet less than "b" + "b".
    assert train("aaaa bbbbb aaaa", 3)[1][0] == (b"a", b"a")


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("threads", [1, 2])
def test_sample_equals_recount(train, pattern, threads):
    _, merges = train(SAMPLE, 300, pattern=pattern, num_threads=threads)
    assert merges == train_slowly(SAMPLE, 300, pattern)


@pytest.mark.parametrize("seed", range(25))
def test_ambiguous_text_equals_recount(train, seed):
    rng = random.Random(seed)
    words = ["aaaa", "aaa", "abab" * 4, "ababa", "zzzzzzzzz", "é" * 5, "xyz"]
    text = " ".join(rng.choices(words, k=60))
    text += "".join(rng.choices("ab \n1", k=300))
    assert train(text, 120)[1] == train_slowly(text, 120, GPT2_PATTERN)


@given(text=st.text(alphabet="ab c\né", min_size=1, max_size=80))
def test_any_text_equals_recount(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("train") / "text.txt"
    path.write_text(text, "utf-8", newline="")
    merges = train_bpe(path, 300, [])[1]
    assert merges == train_slowly(text, 44, GPT2_PATTERN)


def test_special_tokens_never_merge(train):
    text = "<|end|>".join(["the end", "the end of it", "end"] * 5)
    vocab, merges = train(text, 40, ["<|end|>"])
    assert merges == train_slowly(text, 40, GPT2_PATTERN, ["<|end|>"])
    assert not any(b"<" in a + b or b"|" in a + b for a, b in merges)
    assert vocab[len(vocab) - 1] == b"<|end|>"


def test_ids_are_bytes_merges_specials(train):
    vocab, merges = train(SAMPLE, 20, ["<s>", "</s>"])
    assert list(vocab) == list(range(278))
    assert [vocab[i] for i in range(256)] == [bytes([i]) for i in range(256)]
    assert [vocab[256 + n] for n in range(20)] == [a + b for a, b in merges]
    assert [vocab[276], vocab[277]] == [b"<s>", b"</s>"]


def test_no_token_is_learned_twice(train):
    vocab, _ = train(SAMPLE, 10_000)
    assert len(set(vocab.values())) == len(vocab)


def test_small_text_yields_fewer_merges(train):
    vocab, merges = train("ab", 1000)
    assert merges == [(b"a", b"b")]
    assert len(vocab) == 257


def test_text_of_special_tokens_only(train):
    assert train("<s><s>", 5, ["<s>"])[1] == []


@pytest.mark.parametrize("block", [64, 100, 1000])
def test_blocks_do_not_change_merges(train, monkeypatch, block):
    text = SAMPLE + "<|a b|>" + SAMPLE + "猫" * 200
    want = train(text, 100, ["<|a b|>"])
    monkeypatch.setattr("llm_from_scratch.tokenizer.count.BLOCK", block)
    monkeypatch.setattr(stream.blocks, "__defaults__", (block,))
    assert train(text, 100, ["<|a b|>"], num_threads=2) == want


def test_keyword_names_of_other_suites(train, tmp_path):
    (tmp_path / "t.txt").write_text("hello")
    vocab, _ = train_bpe(
        input_path=str(tmp_path / "t.txt"),
        vocab_size=257,
        special_tokens=["<|endoftext|>"],
    )
    assert len(vocab) == 257


def test_errors_name_the_thing_and_the_fix(train, tmp_path):
    with pytest.raises(ValueError, match=r"text\.txt is empty; give it text"):
        train("", 1)
    with pytest.raises(ValueError, match="0xff at offset 3; convert it first"):
        train(b"abc\xffdef", 1)
    with pytest.raises(ValueError, match="255 is too small: 256 bytes and 0"):
        train("a", -1)
    with pytest.raises(ValueError, match=r"256 is too small: [^:]* need 257"):
        train_bpe(tmp_path / "x", 256, ["<s>"])
    with pytest.raises(ValueError, match="'<s>' is given twice"):
        train("a", 1, ["<s>", "<s>"])
    with pytest.raises(ValueError, match="special token '' is empty; remove"):
        train("a", 1, [""])
    with pytest.raises(FileNotFoundError, match="absent"):
        train_bpe(tmp_path / "absent", 300, [])


def test_offset_of_a_bad_byte_counts_all_blocks(train, monkeypatch):
    monkeypatch.setattr(stream.blocks, "__defaults__", (64,))
    monkeypatch.setattr("llm_from_scratch.tokenizer.count.BLOCK", 64)
    with pytest.raises(ValueError, match="0xfe at offset 700"):
        train(b"abc def" * 100 + b"\xfe" + b" abc" * 100, 1)


def test_checking_a_block_makes_no_copy_of_it():
    """Decoded whole it would be four times as large, because of one emoji."""
    import tracemalloc

    from llm_from_scratch.tokenizer.count import check_utf8

    data = b"x" * 1_000_000 + "🐈".encode()
    tracemalloc.start()
    check_utf8(data, "text")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize("lead", ["", "a"])
@pytest.mark.parametrize("pairs", [16383, 16384, 16385, 30_000])
def test_bad_bytes_at_the_edges_of_parts(lead, pairs):
    from llm_from_scratch.tokenizer.count import check_utf8

    good = (lead + "é" * pairs).encode()
    check_utf8(good, "text")
    with pytest.raises(ValueError, match=f"0xff at offset {len(good)};"):
        check_utf8(good + b"\xff" + good, "text")
    with pytest.raises(ValueError, match=f"0xc3 at offset {len(good) - 2};"):
        check_utf8(good[:-1], "text")
